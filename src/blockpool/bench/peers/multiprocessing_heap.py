"""multiprocessing.heap: the allocator below multiprocessing.Array; only processes that are forked later have it too."""

from __future__ import annotations

import platform
from multiprocessing.heap import BufferWrapper

from blockpool.bench.peers._many import SMALL, thinned
from blockpool.bench.peers._peer import Peer
from blockpool.bench.tasks import Declined, Statement, marks

PEER = Peer(
    "multiprocessing.heap",
    "BufferWrapper(size), dropped: what multiprocessing.Array and Value have their memory from",
    against="shared_pool",
)

_MOST = 10**5


def version() -> str:
    """Return the version of Python."""
    return platform.python_version()


def create(size: int) -> Statement:
    """Create a buffer and drop it."""
    return Statement("BufferWrapper(size)", {"BufferWrapper": BufferWrapper, "size": size, "kept": BufferWrapper(size)})


def write(size: int) -> Statement:
    """Create a buffer, write a byte of each page, and drop it."""
    return Statement(
        "BufferWrapper(size).create_memoryview()[::4096] = marks",
        {"BufferWrapper": BufferWrapper, "size": size, "marks": marks(size), "kept": BufferWrapper(size)},
    )


def hold(size: int, count: int) -> object:
    """Keep so many, written."""
    found = [BufferWrapper(size) for _ in range(count)]
    for each in found:
        each.create_memoryview()[::4096] = marks(size)
    return found


def grown(blocks: int, filling: float) -> Statement:
    """Create a buffer and drop it, while others are alive, with gaps at random places between them."""
    if blocks > _MOST:
        raise Declined("more than 100,000 buffers of it take minutes to make")
    held = thinned(lambda number: (BufferWrapper(SMALL) for _ in range(number)), blocks, filling)
    return Statement(f"BufferWrapper({SMALL})", {"BufferWrapper": BufferWrapper, "held": held})
