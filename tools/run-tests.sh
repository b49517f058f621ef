#!/usr/bin/env bash
# The C tests as shipped, then pytest, with the first Python found: what one runs after a change.
#
#   run-tests.sh            with the first Python found
#   run-tests.sh all        with each
#   run-tests.sh 3.12 3.13  with those
#
# Of several, only the oldest and the newest run the tests that are marked as stress: they look for races, and take long.
#
# With C_TESTS_RAN=1 in the environment, pytest alone. Goes on after a failure, ends with one line per version, and fails
# if any of them failed.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
"") lines=$(tools/preflight.sh versions | head -n 1) ;;
all) lines=$(tools/preflight.sh versions) ;;
*) lines=$(tools/preflight.sh versions "$@") ;;
esac
summary=() failed=0
make=${MAKE:-make}
eval "pytest_args=(${PYTEST_ARGS:-})" # quoted as in a shell: PYTEST_ARGS="-k 'run and not view'"
note() { summary+=("$(printf '%-13s %s' "$1" "$2")"); }

first=${lines%% *}
if [ -z "${C_TESTS_RAN:-}" ]; then
    "$make" do-core-release VERSION="$first"
fi
logs=build/logs
mkdir -p "$logs"
oldest=${lines%% *} newest=${lines##*$'\n'}
newest=${newest%% *}
while read -r version patch _ <&3; do
    name="Python $version.$patch"
    echo "== $name"
    if ! "$make" ".venv/$version/.package" ".venv/$version/.test"; then
        note "$name" "did not build"
        failed=1
        continue
    fi
    color=no
    [ -t 1 ] && color=yes
    marks=()
    [ "$version" = "$oldest" ] || [ "$version" = "$newest" ] || marks=(-m "not stress")
    log="$logs/pytest-$version.txt"
    if ! ".venv/$version/bin/python" -m pytest -n "$(nproc)" --dist worksteal --color="$color" "${marks[@]}" \
        "${pytest_args[@]}" </dev/null | tee "$log"; then
        failed=1
    fi
    counts=$(tail -n 1 "$log" | sed 's/\x1b\[[0-9;]*m//g; s/^=* //; s/ =*$//')
    note "$name" "${counts:-pytest did not run}"
done 3<<<"$lines"

echo
printf '%s\n' "${summary[@]}"
exit "$failed"
