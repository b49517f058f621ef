"""Each operation many times: no memory, descriptor, mapping or Python object may be left behind.

    python tests/stress/leaks.py [--calls 10000] [--seconds 2] [KIND…]

The operations are those of operations.py. Each is called `--calls` times (fewer if that takes longer than `--seconds`),
after a first hundred that fill caches. Then the resources of the process are compared, and the pool must be as before.
Exit status 0: nothing grew.
"""

import argparse
import gc
import os
import sys
import time
from pathlib import Path

from operations import OPERATIONS, make, state

# What may come and go by itself: pages of the allocator, the free lists of Python's types.
KIB, OBJECTS, MAPPINGS, DESCRIPTORS = 512, 60, 3, 0


def resources():
    """Return KiB of resident memory, Python's memory blocks, mappings and open files."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    mappings = Path("/proc/self/maps").read_text().count("\n")
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path would open more
    return pages * os.sysconf("SC_PAGESIZE") // 1024, sys.getallocatedblocks(), mappings, files


def growth(operation, pool, calls, seconds):
    """Call an operation `calls` times, or for `seconds`; return how often it was called, and what grew by how much."""
    for _ in range(100):
        operation(pool)
    before = resources()
    end = time.monotonic() + seconds
    done = 0
    while done < calls and time.monotonic() < end:
        for _ in range(100):
            operation(pool)
        done += 100
    return done, [now - then for now, then in zip(resources(), before, strict=True)]


def leaks(grown):
    """Return whether resources grew by more than what comes and goes by itself."""
    return any(more > most for more, most in zip(grown, (KIB, OBJECTS, MAPPINGS, DESCRIPTORS), strict=True))


def main():
    """Try every operation, a second time if it seems to leak: it may only have filled a cache."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("kinds", nargs="*", default=list(OPERATIONS))
    options = parser.parse_args()
    failed = calls = 0
    for kind in options.kinds:
        pool, kept = make(kind)
        before = state(pool)
        for name, operation in OPERATIONS[kind].items():
            done, grown = growth(operation, pool, options.calls, options.seconds)
            calls += done
            if leaks(grown):
                done, grown = growth(operation, pool, options.calls, options.seconds)
            if leaks(grown) or state(pool) != before:
                failed += 1
                words = "KiB", "Python blocks", "mappings", "descriptors"
                what = ", ".join(f"{n:+} {w}" for n, w in zip(grown, words, strict=True))
                print(f"{kind}, {name}: {done} calls leave {what}; {state(pool)}, before {before}")
        del kept
    print(f"{calls} calls, {failed} operations leak")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
