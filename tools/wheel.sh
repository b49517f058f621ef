#!/usr/bin/env bash
# The source distribution and this Python's wheel, as they are released, in dist/: built in environments of their own,
# audited, checked, and tried in a bare environment, in which there is no compiler.
#
#   tools/wheel.sh    uses the python on PATH, which has the dependency group `release`
set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf build/release dist
mkdir -p build/release dist
# The wheel is built from the source distribution, so that has all that it takes.
python -m build --outdir build/release . 2>&1 | tail -n 1
built=(build/release/*.whl)
tools/repair-wheel.sh "${built[0]}" dist
mv build/release/*.tar.gz dist
twine check --strict dist/*
python tools/check-release.py dist dist/*

# Only what is in the environment: no compiler, no index.
python -m venv build/release/bare
bare=$PWD/build/release/bare/bin
env -i PATH="$bare" HOME="$HOME" "$bare/pip" install --quiet --no-index dist/*.whl
(cd build/release && env -i PATH="$bare" HOME="$HOME" "$bare/python" -I ../../tests/programs/package/bare_release.py)
ls -l dist
