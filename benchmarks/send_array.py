"""What does blockpool.multiprocessing cost: the first send of an array, and messages without large arrays?

An array from outside the pool is copied into it when it is sent; that is measured beside a plain copy into memory that
was written before, and beside pickling. Messages of small objects are carried by a Pipe within this process (pickled,
written, read, unpickled), in turn with and without `install`; between processes they take longer, and `install` adds
the same.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.reduction import ForkingPickler

import _measure
import numpy as np

import blockpool
import blockpool.multiprocessing as carrier

TIMES = 2000
SMALL = {
    "32 bytes": bytes(32),
    "a dict of small objects": {"number": 7, "name": "frame", "corners": [(1, 2), (3.5, 4.5)]},
    "100 strings": [f"line {i}" for i in range(100)],
    "an array of 10 numbers": np.arange(10),
}


def small_messages(pool: blockpool.Pool) -> list[_measure.Comparison]:
    """Compare messages with and without install."""
    here, there = multiprocessing.Pipe()
    rows = []
    for name, message in SMALL.items():

        def carry(message: object = message) -> None:
            here.send(message)
            there.recv()

        with_install, without = [], []
        for _ in range(_measure.PAIRS):
            carrier.install(pool)
            with_install.append(_measure.quickest(carry, TIMES))
            carrier.uninstall()
            without.append(_measure.quickest(carry, TIMES))
        row = _measure.of_pairs(f"{name}, installed", with_install, "not installed", without, limit=1.05)
        rows.append(row)
    return rows


def first_send(size: int) -> list[_measure.Comparison]:
    """Compare an array that is copied in, received and dropped with a copy, and with a pickle."""
    pool = blockpool.Pool.create("64KiB", 2 * size // (64 << 10), prefault=True)
    array, target = np.ones(size, "u1"), np.ones(size, "u1")
    label = f"{size >> 20} MiB array from outside, installed"
    times = max(1, (32 << 20) // size)

    def carry() -> None:
        ForkingPickler.loads(ForkingPickler.dumps(array))

    installed, copied, pickled = [], [], []
    for _ in range(_measure.PAIRS):
        carrier.install(pool)
        installed.append(_measure.quickest(carry, times))
        carrier.uninstall()
        copied.append(_measure.quickest(lambda: np.copyto(target, array), times))
        pickled.append(_measure.quickest(carry, max(1, times // 4)))
    return [
        _measure.of_pairs(label, installed, "a copy into warm memory", copied),
        _measure.of_pairs(label, installed, "pickled and unpickled", pickled, faster=True),
    ]


def main() -> None:
    """Measure, and print the table."""
    rows = small_messages(blockpool.Pool.create("64KiB", 16))
    for size in (1 << 20, 8 << 20, 64 << 20):
        rows += first_send(size)
    _measure.report("What install costs: messages of small objects, and the first send of an array", rows)


if __name__ == "__main__":
    main()
