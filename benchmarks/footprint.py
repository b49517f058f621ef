"""What does blockpool cost besides its calls: importing it, and metadata per block?"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import _measure

import blockpool

LIMIT_MS = 30.0
LIMIT_BITS = 2.25


def import_ms() -> list[float]:
    """Return what `import blockpool` adds to starting the interpreter, in ms, once for each pair of starts."""
    found = []
    for _ in range(_measure.PAIRS):
        took = []
        for statement in ("import blockpool", "pass"):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            took.append(time.perf_counter() - start)
        found.append((took[0] - took[1]) * 1e3)
    return found


def private_kib() -> int:
    """Return this process's private memory in KiB."""
    return sum(
        int(line.split()[1])
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines()
        if line.startswith("Private_")
    )


def metadata_bits(blocks: int) -> float:
    """Return how many bits per block a pool takes besides its (untouched) blocks, as the kernel counts them."""
    before = private_kib()
    pool = blockpool.Pool(8, blocks)
    runs = [pool.allocate(blocks=blocks)]  # a run touches both bitmaps
    bits = (private_kib() - before) * 1024 * 8 / blocks
    del runs
    return bits


def main() -> None:
    """Measure, and print."""
    blockpool.Pool(8, 10**6).allocate(blocks=1000)  # pay for what only the first pool needs
    took = import_ms()
    bits = metadata_bits(10**8)
    median = statistics.median(took)
    _measure.report(
        "Footprint",
        [],
        {
            "import blockpool, ms": f"{median:.1f} [{min(took):.1f}, {max(took):.1f}]  at most {LIMIT_MS:g}  "
            + ("ok" if median <= LIMIT_MS else "MISSED"),
            "metadata, bits a block, 10⁸ blocks": f"{bits:.3f}  at most {LIMIT_BITS:g}  "
            + ("ok" if bits <= LIMIT_BITS else "MISSED"),
        },
    )


if __name__ == "__main__":
    main()
