#!/usr/bin/env bash
# Everything that must hold before a change lands, cheapest first. Prints how long each step took.
#
#   tools/test-all.sh [X.Y..]   with these Pythons (default: see run-tests.sh)
set -euo pipefail
cd "$(dirname "$0")/.."

steps=()
step() {
    local start=$SECONDS
    echo "==== $*"
    "$@"
    steps+=("$(printf '%5d s  %s' $((SECONDS - start)) "$*")")
}
trap 'status=$?; echo; echo "==== time of each step that succeeded"; printf "%s\n" "${steps[@]}"; exit $status' EXIT

make=${MAKE:-make}
step "$make" check
if command -v musl-gcc >/dev/null; then
    step tools/check-platforms.sh
else
    echo "==== not checked: musl-gcc is missing (Debian: musl-tools)"
fi
step "$make" wheel
step "$make" core-test
C_TESTS_RAN=1 step tools/run-tests.sh "${@:-all}" # core-test ran them
step "$make" engines-test
step "$make" browser-test
step "$make" docs # after browser-test, which brings axe-core
