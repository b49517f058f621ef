#!/usr/bin/env bash
# Formats, linters, types and C warnings: all of them, or those that are named.
#
#   tools/check.sh [python|types|cython|c|warnings]...
#
# Uses the tools on PATH; where they are not (a git hook), those of the first virtual environment that has them.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v clang-format >/dev/null; then
    stamp=$(find .venv -mindepth 2 -maxdepth 2 -name .lint | sort | head -n 1)
    if [ -z "$stamp" ]; then
        echo "the linters are not installed yet; run make check once" >&2
        exit 1
    fi
    PATH="$PWD/$(dirname "$stamp")/bin:$PATH"
fi

c_files() { find core src -path core/build -prune -o -name '*.[ch]' -print; }
cython_files() { find src -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi'; }

check_python() {
    ruff format --check
    ruff check
}
check_types() { mypy src tests/typing/*.py; }
check_cython() { cython_files | xargs cython-lint; }
check_c() { c_files | xargs clang-format --dry-run -Werror; }
check_warnings() { (cd core && cmake --preset release && cmake --build --preset release --target all bench); }

for name in "${@:-python types cython c warnings}"; do
    for check in $name; do
        echo "== $check"
        "check_$check"
    done
done
