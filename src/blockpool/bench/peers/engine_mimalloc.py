"""mimalloc, in C, by one thread."""

from __future__ import annotations

import os
from pathlib import Path

from blockpool.bench.peers._engines import Pairs
from blockpool.bench.peers._peer import Peer

PEER = Peer(
    "mimalloc", "malloc(size), free(), by LD_PRELOAD, as its settings are", against="engine_pool", preload="mimalloc"
)


def version() -> str:
    """Return which library it is."""
    # The file that the usual name leads to has the version in its own.
    return Path(os.environ["LD_PRELOAD"]).resolve().name


def engine(size: int) -> Pairs:
    """Allocate and free memory of that size."""
    return Pairs(size, None)
