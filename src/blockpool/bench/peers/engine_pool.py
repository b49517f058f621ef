"""blockpool's C library, a private pool: the calls that are below those of Python."""

from __future__ import annotations

import blockpool
from blockpool.bench.peers._engines import Pairs
from blockpool.bench.peers._peer import Peer
from blockpool.bench.peers._pools import version

__all__ = ["PEER", "engine", "version"]

PEER = Peer("pool, in C", "the C library's calls for a private pool, by one thread", against="engine_pool")


def engine(size: int) -> Pairs:
    """Allocate and free blocks of that size."""
    return Pairs(size, blockpool.Pool(size, 64))
