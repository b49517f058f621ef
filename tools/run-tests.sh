#!/usr/bin/env bash
# The C tests as shipped, then pytest, with the first Python found: what one runs after a change.
#
#   run-tests.sh            with the first Python found
#   run-tests.sh all        with 3.11 to 3.14 and a free-threaded build, as far as they are found: the oldest runs all but
#                           what `make engines-test` runs, 3.14 the tests of the binding, what lies between them those of
#                           private pools and arrays, a free-threaded build those of private pools and the stress of
#                           threads
#   run-tests.sh 3.12 3.13  with those, every test
#
# With C_TESTS_RAN=1 in the environment, pytest alone. Goes on after a failure, ends with one line per version, and fails
# if any of them failed.
set -euo pipefail
cd "$(dirname "$0")/.."

newest=3.14 free=3.13t
between=(tests/{private,arrays,index,package,typing,stdlib} -m "not stress")
# The tests of the binding. What is not here is about Python code, which runs on each version as on the next.
binding=(tests/{private,shared,arrays,transfer,queues,asyncio,stdlib,index,property,package,typing})
# More than half of their time, and about NumPy.
without=(--deselect tests/arrays/test_numpy_allocator.py::test_numpys_own_tests_pass)
binding+=("${without[@]}")
threads=(tests/{private,index} tests/stress/test_{threads,index_threads,objects_of_threads,races}.py
    tests/stress/test_hostile.py::test_random_calls)

case "${1:-}" in
"") lines=$(tools/preflight.sh versions | head -n 1) ;;
# The oldest first. Those that are found: a machine may have others, which CI does not.
all) lines=$(tools/preflight.sh versions | grep -E "^3\.(1[1-4]|${free#3.}) ") ;;
*) lines=$(tools/preflight.sh versions "$@") ;;
esac
summary=() failed=0
make=${MAKE:-make}
eval "pytest_args=(${PYTEST_ARGS:-})" # quoted as in a shell: PYTEST_ARGS="-k 'run and not view'"
note() { summary+=("$(printf '%-14s %s' "$1" "$2")"); }

first=${lines%% *}
if [ -z "${C_TESTS_RAN:-}" ]; then
    "$make" do-core-release VERSION="$first"
fi
logs=build/logs
mkdir -p "$logs"
while read -r version patch _ <&3; do
    name="Python ${version%t}.$patch${version##*[0-9]}"
    echo "== $name"
    which=() needs=test
    case ${1:-}/$version in
    all/"$first") which=(--ignore tests/engines) ;;
    all/"$newest") which=("${binding[@]}" -m "not stress") ;;
    all/"$free") which=("${threads[@]}") needs=binding-test ;;
    all/*) which=("${between[@]}" "${without[@]}") ;;
    esac
    if ! "$make" ".venv/$version/.package" ".venv/$version/.$needs"; then
        note "$name" "did not build"
        failed=1
        continue
    fi
    color=no
    [ -t 1 ] && color=yes
    log="$logs/pytest-$version.txt"
    if ! ".venv/$version/bin/python" -m pytest -n "$(nproc)" --dist worksteal --color="$color" "${which[@]}" \
        "${pytest_args[@]}" </dev/null | tee "$log"; then
        failed=1
    fi
    counts=$(tail -n 1 "$log" | sed 's/\x1b\[[0-9;]*m//g; s/^=* //; s/ =*$//')
    note "$name" "${counts:-pytest did not run}"
done 3<<<"$lines"

if [ "${1:-}" = all ] && ! grep -q "^$free " <<<"$lines"; then
    note "Python $free" "not tested: it is not found (tools/interpreters.sh brings it)"
fi
echo
printf '%s\n' "${summary[@]}"
exit "$failed"
