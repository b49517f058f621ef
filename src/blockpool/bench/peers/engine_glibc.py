"""glibc's malloc, in C, by one thread."""

from __future__ import annotations

import platform

from blockpool.bench.peers._engines import Pairs
from blockpool.bench.peers._peer import Peer

PEER = Peer("malloc, glibc", "malloc(size), free(), as its settings are", against="engine_pool")


def version() -> str:
    """Return which library it is."""
    return " ".join(platform.libc_ver())


def engine(size: int) -> Pairs:
    """Allocate and free memory of that size."""
    return Pairs(size, None)
