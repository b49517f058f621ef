#!/usr/bin/env bash
# Runs every benchmark: those in C, then those in Python.
set -euo pipefail
cd "$(dirname "$0")/.."

(cd core && cmake --preset release && cmake --build --preset release --target bench)
for bench in core/build/release/bin/*; do
    echo "== $bench"
    "$bench"
done
for bench in benchmarks/[!_]*.py; do
    echo "== $bench"
    python "$bench"
done
