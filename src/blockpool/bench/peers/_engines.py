"""Allocating and freeing in C: a trace of pairs that the loop of `blockpool.replay` runs, in a pool or in malloc.

The time is the processor time of the calls, without the loop around them, which is measured apart.
"""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from blockpool._core import begin_replay

if TYPE_CHECKING:
    from blockpool import Pool

__all__ = ["Pairs", "malloc", "preloaded"]

_PAIRS = 1 << 14
_REPEATS = 5
_LARGEST = 2**63 - 1


class Pairs:
    """Allocates and frees a buffer of that size, again and again: in a pool, or in malloc where there is none."""

    def __init__(self, size: int, pool: Pool | None) -> None:
        events = 2 * _PAIRS
        ids = [number // 2 for number in range(events)]
        self._columns = (
            memoryview(array("B", [number % 2 for number in range(events)])),
            memoryview(array("q", [size] * events)),
            memoryview(array("i", ids)),
            memoryview(array("i", [0] * events)),
            memoryview(array("q", range(events))),
        )
        self._pools = [] if pool is None else [pool]

    def turn(self) -> float:
        """Return nanoseconds for an allocation and its free."""
        took = min(self._run(nothing=False) for _ in range(_REPEATS)) - min(
            self._run(nothing=True) for _ in range(_REPEATS)
        )
        return max(took, 1e-12) / _PAIRS * 1e9

    def _run(self, *, nothing: bool) -> float:
        pools = [] if nothing else self._pools
        ranges = [(-1, _LARGEST)] if pools else []
        replaying = begin_replay(self._columns, 1, pools, ranges, 0, nothing=nothing)
        replaying.go_on(2 * _PAIRS)
        counts = replaying.counts()
        replaying.end()
        if counts["failures"]:
            raise MemoryError(f"{counts['failures']} allocations failed")
        return float(counts["seconds"])

    def close(self) -> None:
        """Forget the pool."""
        self._pools = []


def malloc(size: int) -> Pairs:
    """Allocate and free memory of that size, with the malloc of this process."""
    return Pairs(size, None)


def preloaded() -> str:
    """Return which library its malloc is from: the file that the usual name leads to has the version in its own."""
    return Path(os.environ["LD_PRELOAD"]).resolve().name
