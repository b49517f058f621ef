"""What private and shared pools have in common: both are used by the same calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import blockpool
from blockpool.bench.peers._many import thinned
from blockpool.bench.tasks import Statement, marks

if TYPE_CHECKING:
    from blockpool import Pool

__all__ = ["allocated", "blocks_of", "filled", "grown_in", "version", "written"]

_ROOM = 32 << 20


def version() -> str:
    """Return the version of blockpool."""
    return blockpool.__version__


def blocks_of(size: int) -> int:
    """Return how many blocks of a size the pool has from which one at a time is taken."""
    return max(4, min(1024, _ROOM // size))


def allocated(pool: Pool) -> Statement:
    """Allocate a block and drop it."""
    return Statement("pool.allocate()", {"pool": pool})


def written(pool: Pool, size: int) -> Statement:
    """Allocate a block, write a byte of each page, and drop it."""
    return Statement("with pool.allocate() as block: block.buf[::4096] = marks", {"pool": pool, "marks": marks(size)})


def filled(pool: Pool, count: int) -> object:
    """Allocate so many blocks and write to their pages."""
    blocks = pool.allocate_many(count)
    for block in blocks:
        with block.buf as view:
            view[::4096] = marks(len(view))
    return pool, blocks


def grown_in(pool: Pool, blocks: int, filling: float) -> Statement:
    """Allocate a block and drop it in a pool that is that full, at random places."""
    return Statement("pool.allocate()", {"pool": pool, "held": thinned(pool.allocate_many, blocks, filling)})
