#!/usr/bin/env bash
# Kills processes in shared pools, then runs the programs that call everything there is, rightly and wrongly.
#
#   tools/soak.sh [arguments of tests/stress/soak.py]
set -euo pipefail
cd "$(dirname "$0")/.."

python tests/stress/soak.py "$@"
for program in random_calls hostile_messages like_the_standard leaks shutdown; do
    echo "== $program"
    python "tests/stress/$program.py"
done
