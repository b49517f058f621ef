"""glibc's malloc, in C, by one thread."""

from __future__ import annotations

import platform

from blockpool.bench.peers._engines import malloc as engine
from blockpool.bench.peers._peer import Peer

__all__ = ["PEER", "engine", "version"]

PEER = Peer("malloc, glibc", "malloc(size), free(), as its settings are", against="engine_pool")


def version() -> str:
    """Return which library it is."""
    return " ".join(platform.libc_ver())
