#!/usr/bin/env bash
# Makes a wheel that was built here one for all systems that it runs on: the tag that `auditwheel` finds, the bill of
# materials, and a look at what is in it.
#
#   tools/repair-wheel.sh WHEEL FOLDER    the result is in FOLDER; cibuildwheel calls this for each wheel
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

auditwheel show "$1"
auditwheel repair --wheel-dir "$2" "$1"
made=("$2"/blockpool-*.whl)
python "$here/add-sbom.py" "${made[-1]}"
check-wheel-contents "${made[-1]}"
