#!/usr/bin/env bash
# Formats, linters, types, prose, docstrings, layers and C warnings: all of them, or those that are named.
#
#   tools/check.sh [python|types|cython|c|prose|docstrings|layers|workflows|warnings]...
#
# Uses the tools on PATH; where they are not (a git hook), those of the first virtual environment that has them.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v codespell >/dev/null; then
    stamp=$(find .venv -mindepth 2 -maxdepth 2 -name .lint | sort | head -n 1)
    if [ -z "$stamp" ]; then
        echo "the linters are not installed yet; run make check once" >&2
        exit 1
    fi
    PATH="$PWD/$(dirname "$stamp")/bin:$PATH"
fi

c_files() { find core src -path core/build -prune -o -name '*.[ch]' -print; }
cython_files() { find src -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi'; }
prose_files() { find README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md CITATION.cff .github docs examples benchmarks tools src core tests \
    -path core/build -prune -o -path docs/_made -prune -o -name __pycache__ -prune -o -name plain-\*.txt -prune -o -type f -print; }

check_python() { ruff format --check && ruff check; }
check_types() { mypy src tests/typing/*.py; }
check_cython() { cython_files | xargs cython-lint; }
# clang-format leaves comments as they are, so their length is looked at apart.
check_c() {
    local long
    c_files | xargs clang-format --dry-run -Werror || return 1
    long=$(c_files | xargs python -c 'import sys
for name in sys.argv[1:]:
    for number, line in enumerate(open(name, encoding="utf-8"), 1):
        if len(line) > 121:
            print(f"{name}:{number}: {len(line) - 1} characters, at most 120")')
    [ -z "$long" ] || { echo "$long"; return 1; }
}
# Misspelt words and words that nobody says; then phrases and characters, which codespell cannot see.
check_prose() {
    local words=ok phrases
    prose_files | xargs codespell || words=bad
    phrases=$(prose_files | xargs grep -InEif tools/plain-phrases.txt || true)
    if [ -n "$phrases" ]; then
        echo "$phrases"
        echo "say it more plainly: these match tools/plain-phrases.txt" >&2
        return 1
    fi
    [ "$words" = ok ]
}
check_docstrings() { python tools/check_docstrings.py; }
check_layers() { python tools/layers.py; }
# Their form, and the citation's; then what in a workflow would let others in. No network is needed.
check_workflows() {
    check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml &&
        check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff &&
        zizmor --offline --no-progress .github
}
check_warnings() { (cd core && cmake --preset release && cmake --build --preset release --target all bench); }

[ $# -gt 0 ] || set -- python types cython c prose docstrings layers workflows warnings
failed=()
for check in "$@"; do
    echo "== $check"
    "check_$check" || failed+=("$check")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
