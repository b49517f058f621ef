#!/usr/bin/env bash
# The Python suite against a wheel: nothing of src/ is there, so nothing of it can be imported.
#
#   tools/wheel-test.sh [WHEEL [PYTEST ARGUMENT...]]    by default the one in dist/ for the python on PATH, and all tests
#
# It runs in a folder of its own, whose name is short, as some tests look at command lines, which are cut to a length. A
# release has no blockpool._testing: what needs it is skipped, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(command -v python)
tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
wheel=${1:-}
[ -n "$wheel" ] || wheel=(dist/blockpool-*-"$tag"-*.whl)
wheel=$(realpath "$wheel")
shift || true
[ $# -gt 0 ] || set -- tests

place=$(mktemp -d /tmp/bp-wheel.XXXXXX)
trap 'rm -rf "$place"' EXIT
mkdir "$place/tree"
git ls-files -z | grep -zv '^src/' | xargs -0 cp --parents -t "$place/tree"
"$python" -m venv "$place/venv"
bin=$place/venv/bin
"$bin/pip" install --quiet --upgrade "pip>=25.1"
cd "$place/tree"
"$bin/pip" install --quiet "blockpool[cli] @ file://$wheel" --group test
BLOCKPOOL_RELEASE=1 PATH="$bin:$PATH" "$bin/python" -m pytest -n "$(nproc)" --dist worksteal "$@"
