"""mimalloc, in C, by one thread."""

from __future__ import annotations

from blockpool.bench.peers._engines import malloc as engine
from blockpool.bench.peers._engines import preloaded as version
from blockpool.bench.peers._peer import Peer

__all__ = ["PEER", "engine", "version"]

PEER = Peer(
    "mimalloc", "malloc(size), free(), by LD_PRELOAD, as its settings are", against="engine_pool", preload="mimalloc"
)
