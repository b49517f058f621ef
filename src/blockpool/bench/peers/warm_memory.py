"""Memory that is there already: a floor for all that create a buffer before they write to it."""

from __future__ import annotations

import platform

from blockpool.bench.peers._peer import Peer
from blockpool.bench.tasks import Statement, marks

PEER = Peer("warm memory", "a memoryview of one bytearray, kept and written again: a floor, as nothing is created")


def version() -> str:
    """Return the version of Python."""
    return platform.python_version()


def write(size: int) -> Statement:
    """Write a byte of each page."""
    return Statement("memory[::4096] = marks", {"memory": memoryview(bytearray(size)), "marks": marks(size)})
