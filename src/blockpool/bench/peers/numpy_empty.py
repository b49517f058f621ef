"""np.empty: memory from the C library's malloc, which NumPy keeps at hand where it is small."""

from __future__ import annotations

from typing import Any

from blockpool.bench.peers._many import SMALL, thinned
from blockpool.bench.peers._peer import Peer
from blockpool.bench.tasks import Statement, marks

PEER = Peer("np.empty", "np.empty(size, 'u1'), dropped: not set to zero")


def version() -> str:
    """Return the version of NumPy."""
    import numpy as np

    return np.__version__


def _empty() -> Any:
    import numpy as np

    return np.empty


def create(size: int) -> Statement:
    """Create an array and drop it."""
    return Statement("empty(size, 'u1')", {"empty": _empty(), "size": size})


def write(size: int) -> Statement:
    """Create an array, write a byte of each page, and drop it."""
    names = {"empty": _empty(), "size": size, "marks": marks(size), "view": memoryview}
    return Statement("view(empty(size, 'u1'))[::4096] = marks", names)


def hold(size: int, count: int) -> object:
    """Keep so many, written."""
    empty = _empty()
    found = [empty(size, "u1") for _ in range(count)]
    for each in found:
        each[::4096] = 1
    return found


def grown(blocks: int, filling: float) -> Statement:
    """Create an array and drop it, while others are alive, with gaps at random places between them."""
    empty = _empty()
    held = thinned(lambda number: (empty(SMALL, "u1") for _ in range(number)), blocks, filling)
    return Statement(f"empty({SMALL}, 'u1')", {"empty": empty, "held": held})
