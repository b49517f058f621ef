"""multiprocessing.Queue: pickled bytes through a pipe, by a thread."""

from __future__ import annotations

import multiprocessing
import platform
from typing import Any

from blockpool.bench.peers._ends import QueueEnd, sleeps
from blockpool.bench.peers._peer import Peer

PEER = Peer(
    "multiprocessing.Queue",
    "put(bytearray), get(): the bytes are pickled, and copied through a pipe",
    against="shared_pool",
)


def version() -> str:
    """Return the version of Python."""
    return platform.python_version()


class _End(QueueEnd):
    """Both ends: queues, each with a thread."""

    def close(self) -> None:
        """Close the queues, and wait until their threads end."""
        super().close()
        for queue in self.token:
            queue.join_thread()


def sender(size: int, waiting: str) -> _End:
    """Make two queues."""
    sleeps(waiting)
    context = multiprocessing.get_context("spawn")
    return _End((context.Queue(), context.Queue()), size)


def receiver(token: Any, size: int, waiting: str) -> _End:
    """Take the other end."""
    del waiting
    return _End(token, size)
