"""faster-fifo: pickled messages in a ring of shared memory."""

from __future__ import annotations

from typing import Any

from blockpool.bench.peers._ends import QueueEnd, sleeps
from blockpool.bench.peers._peer import Peer

PEER = Peer(
    "faster-fifo",
    "put(bytearray), get(): the bytes are pickled, and copied into a ring that has room for four messages",
    against="shared_pool",
    needs="faster-fifo>=1.5",
)

_ROOM = 1 << 16


def version() -> str:
    """Return the version of faster-fifo."""
    from importlib.metadata import version as version_of

    import faster_fifo  # noqa: F401 - it must be there

    return version_of("faster-fifo")


def sender(size: int, waiting: str) -> QueueEnd:
    """Make two queues."""
    sleeps(waiting)
    import faster_fifo

    return QueueEnd((faster_fifo.Queue(4 * size + _ROOM), faster_fifo.Queue(_ROOM)), size)


def receiver(token: Any, size: int, waiting: str) -> QueueEnd:
    """Take the other end."""
    del waiting
    import faster_fifo_reduction  # noqa: F401 - as its documentation says, for spawned processes

    return QueueEnd(token, size)
