#!/usr/bin/env bash
# Whether the C library compiles with musl, without a warning; and whether platforms that cannot have it are told why.
set -euo pipefail
cd "$(dirname "$0")/../core"

# musl-gcc comes without the kernel's headers; nothing else of the system's is to be found.
headers=$(mktemp -d)
trap 'rm -rf "$headers"' EXIT
for part in linux asm asm-generic; do
    for at in /usr/include "/usr/include/$(gcc -print-multiarch)"; do
        [ ! -d "$at/$part" ] || ln -sfn "$at/$part" "$headers/$part"
    done
done
for source in $(find src -name "*.c"); do
    musl-gcc -std=c11 -Wall -Wextra -Werror -idirafter "$headers" -Isrc -Iinclude -fsyntax-only "$source"
done

refused() {
    local says=$1 output
    shift
    output=$(gcc "$@" -E -x c src/os/atomic.h 2>&1 >/dev/null || true)
    if [[ $output != *"#error \"blockpool needs $says"* ]]; then
        echo "not refused: gcc $*" >&2
        exit 1
    fi
}
refused "a 64-bit machine" -m32 -ffreestanding
refused Linux -U__linux__
refused "a little-endian machine" -U__BYTE_ORDER__ -D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__
echo "compiles with musl; 32 bits, big-endian machines and other systems are refused with a reason"
