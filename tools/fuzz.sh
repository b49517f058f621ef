#!/usr/bin/env bash
# Damages segments and uses them, guided by coverage, for so many seconds.
#
#   tools/fuzz.sh SECONDS
#
# Interesting inputs are kept in core/build/fuzz/corpus; failing ones beside it, as crash-... or timeout-...
set -euo pipefail
cd "$(dirname "$0")/../core"

if ! command -v clang >/dev/null; then
    echo "make fuzz needs clang and its libFuzzer (Debian: clang libclang-rt-dev)" >&2
    exit 1
fi
cmake --preset fuzz
cmake --build --preset fuzz
mkdir -p build/fuzz/corpus
build/fuzz/fuzz/fuzz_segment_guided build/fuzz/corpus -timeout=5 -max_len=600 \
    -max_total_time="$1" -print_final_stats=1 -artifact_prefix=build/fuzz/
