"""multiprocessing.Queue: pickled bytes through a pipe, by a thread."""

from __future__ import annotations

import multiprocessing
import platform
from typing import Any

from blockpool.bench.peers._peer import Peer
from blockpool.bench.peers.shared_memory import sleeps

PEER = Peer(
    "multiprocessing.Queue",
    "put(bytearray), get(): the bytes are pickled, and copied through a pipe",
    against="shared_pool",
)


def version() -> str:
    """Return the version of Python."""
    return platform.python_version()


class _End:
    def __init__(self, token: Any, size: int) -> None:
        self.token = token
        self._there, self._back = token
        self._message = bytearray(size)

    def send(self) -> None:
        """Send a buffer, written at its ends."""
        self._message[0] = self._message[-1] = 1
        self._there.put(self._message)

    def receive(self) -> bool:
        """Receive a buffer, and look at its ends."""
        message = self._there.get()
        return bool(message[0] == message[-1] == 1)

    def answer(self) -> None:
        """Answer with a few bytes."""
        self._back.put(b"had it")

    def wait(self) -> None:
        """Await the answer."""
        self._back.get()

    def close(self) -> None:
        """Close the queues."""
        for queue in self.token:
            queue.close()
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
