"""blockpool, a private pool: one block for each buffer."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import blockpool
from blockpool.bench.peers._peer import Peer
from blockpool.bench.tasks import Statement, marks

if TYPE_CHECKING:
    from blockpool import Block, Pool

PEER = Peer("private pool", "pool.allocate(), dropped; the pool is made before, and prefaulted where it is written")

_SMALL = 64
_ROOM = 32 << 20


def version() -> str:
    """Return the version of blockpool."""
    return blockpool.__version__


def _pool(size: int) -> Pool:
    return blockpool.Pool(size, max(4, min(1024, _ROOM // size)), prefault=True)


def create(size: int) -> Statement:
    """Allocate a block and drop it."""
    return Statement("pool.allocate()", {"pool": _pool(size)})


def write(size: int) -> Statement:
    """Allocate a block, write a byte of each page, and drop it."""
    return Statement(
        "with pool.allocate() as block: block.buf[::4096] = marks", {"pool": _pool(size), "marks": marks(size)}
    )


def hold(size: int, count: int) -> object:
    """Allocate as many blocks as the pool has; their size is the next multiple of 8."""
    return filled(blockpool.Pool(-(-size // 8) * 8, count), size, count)


def filled(pool: Pool, size: int, count: int) -> object:
    """Allocate so many blocks and write to their pages."""
    blocks = pool.allocate_many(count)
    for block in blocks:
        with block.buf as view:
            view[::4096] = marks(len(view))[: len(view[::4096])]
    return pool, blocks, size


def grown(blocks: int, filling: float) -> Statement:
    """Allocate a block and drop it in a pool that is that full, at random places."""
    pool = blockpool.Pool(_SMALL, blocks)
    return Statement("pool.allocate()", {"pool": pool, "held": thinned(pool, blocks, filling)})


def thinned(pool: Pool, blocks: int, filling: float) -> list[Block | None]:
    """Fill a pool, and free blocks at random until it is that full, or has a free block."""
    if filling == 0:
        return []
    held: list[Block | None] = list(pool.allocate_many(blocks))
    free = max(1, round(blocks * (1 - filling)))
    for place in random.Random(1).sample(range(blocks), free):  # noqa: S311 - the same places each time
        held[place] = None
    return held
