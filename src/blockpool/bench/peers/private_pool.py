"""blockpool, a private pool: one block for each buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import blockpool
from blockpool.bench.peers._many import SMALL
from blockpool.bench.peers._peer import Peer
from blockpool.bench.peers._pools import allocated, blocks_of, filled, grown_in, version, written

if TYPE_CHECKING:
    from blockpool import Pool
    from blockpool.bench.tasks import Statement

__all__ = ["PEER", "create", "grown", "hold", "version", "write"]

PEER = Peer("private pool", "pool.allocate(), dropped; the pool is made before, and prefaulted where it is written")


def _pool(size: int) -> Pool:
    return blockpool.Pool(size, blocks_of(size), prefault=True)


def create(size: int) -> Statement:
    """Allocate a block and drop it."""
    return allocated(_pool(size))


def write(size: int) -> Statement:
    """Allocate a block, write a byte of each page, and drop it."""
    return written(_pool(size), size)


def hold(size: int, count: int) -> object:
    """Allocate as many blocks as the pool has; their size is the next multiple of 8."""
    return filled(blockpool.Pool(-(-size // 8) * 8, count), count)


def grown(blocks: int, filling: float) -> Statement:
    """Allocate a block and drop it in a pool that is that full, at random places."""
    return grown_in(blockpool.Pool(SMALL, blocks), blocks, filling)
