"""bytearray: memory from the C library's malloc, set to zero."""

from __future__ import annotations

import platform

from blockpool.bench.peers._many import SMALL, thinned
from blockpool.bench.peers._peer import Peer
from blockpool.bench.tasks import Statement, marks

PEER = Peer("bytearray", "bytearray(size), dropped; Python sets it to zero, and cannot be told not to")


def version() -> str:
    """Return the version of Python."""
    return platform.python_version()


def create(size: int) -> Statement:
    """Create one and drop it."""
    return Statement("bytearray(size)", {"size": size})


def write(size: int) -> Statement:
    """Create one, write a byte of each page, and drop it."""
    return Statement("bytearray(size)[::4096] = marks", {"size": size, "marks": marks(size)})


def hold(size: int, count: int) -> object:
    """Keep so many; all of their bytes are written anyway."""
    return [bytearray(size) for _ in range(count)]


def grown(blocks: int, filling: float) -> Statement:
    """Create one and drop it, while others are alive, with gaps at random places between them."""
    held = thinned(lambda number: (bytearray(SMALL) for _ in range(number)), blocks, filling)
    return Statement(f"bytearray({SMALL})", {"held": held})
