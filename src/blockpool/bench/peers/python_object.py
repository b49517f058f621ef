"""object(): the cheapest thing that Python can create and destroy; no memory to use comes with it."""

from __future__ import annotations

import platform

from blockpool.bench.peers._many import SMALL
from blockpool.bench.peers._peer import Peer
from blockpool.bench.tasks import Declined, Statement

PEER = Peer("object()", "object(), dropped: a floor, for it is no buffer, whatever the size")


def version() -> str:
    """Return the version of Python."""
    return platform.python_version()


def create(size: int) -> Statement:
    """Create an object and drop it."""
    if size > SMALL:
        raise Declined("it is no buffer; it is the floor at the smallest size")
    return Statement("object()", {})
