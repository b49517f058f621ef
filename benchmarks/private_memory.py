"""Is memory from a private pool, allocated, written and given back, cheaper than from elsewhere?"""

from __future__ import annotations

import mmap

import _measure
import numpy as np

import blockpool


def main() -> None:
    """Measure, and print the table."""
    rows = []
    for size in (64, 4 << 10, 64 << 10, 1 << 20, 8 << 20):
        pool = blockpool.Pool(size, max(8, (32 << 20) // size), prefault=True)
        names = {
            "pool": pool,
            "size": size,
            "data": bytes(size),
            "warm": memoryview(bytearray(size)),
            "np": np,
            "mmap": mmap.mmap,
        }
        label = f"{size >> 10} KiB" if size >= 1024 else f"{size} B"
        ours = "with pool.allocate() as block: block.buf[:] = data"
        rows += [
            _measure.compare(f"{label}: allocate, write, free", ours, peer, names, peer_name=name)
            for name, peer in (
                ("writing warm memory", "warm[:] = data"),
                ("np.empty, written", "memoryview(np.empty(size, 'u1'))[:] = data"),
                ("bytearray, written", "bytearray(data)"),
                ("mmap, written", "mmap(-1, size)[:] = data"),
            )
        ]
    _measure.report("Allocate, write every byte, give back", rows)


if __name__ == "__main__":
    main()
