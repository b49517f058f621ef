"""multiprocessing.shared_memory: a segment for each buffer.

Its documentation knows no other way to give memory to one process after another: a segment is created, opened by its
name, closed by all, and unlinked by one.
"""

from __future__ import annotations

import multiprocessing
import platform
import resource
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

from blockpool.bench.peers._ends import sleeps
from blockpool.bench.peers._peer import Peer
from blockpool.bench.peers.mmap_anonymous import MOST_MAPPINGS
from blockpool.bench.tasks import Declined, Statement, marks

if TYPE_CHECKING:
    from collections.abc import Sequence

PEER = Peer(
    "SharedMemory",
    "SharedMemory(create=True), close(), unlink(); its name is handed over through a Pipe",
    against="shared_pool",
)

_SPARE = 100


def version() -> str:
    """Return the version of Python."""
    return platform.python_version()


def create(size: int) -> Statement:
    """Create a segment, close and unlink it."""
    return Statement(
        "memory = SharedMemory(create=True, size=size); memory.close(); memory.unlink()",
        {"SharedMemory": SharedMemory, "size": size},
    )


def write(size: int) -> Statement:
    """Create a segment, write a byte of each page, close and unlink it."""
    return Statement(
        "memory = SharedMemory(create=True, size=size); memory.buf[:size:4096] = marks\n"
        "memory.close(); memory.unlink()",
        {"SharedMemory": SharedMemory, "size": size, "marks": marks(size)},
    )


class hold:  # noqa: N801 - a function, to those who call it
    """Keep so many, written; they are unlinked at once, and end with this object."""

    _held: Sequence[SharedMemory] = ()

    def __init__(self, size: int, count: int) -> None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if count > min(most // 2, MOST_MAPPINGS) - _SPARE:  # two descriptors each
            raise Declined(f"{count} of them are more than a process may have mapped or open")
        self._held = [SharedMemory(create=True, size=size) for _ in range(count)]
        for each in self._held:
            each.unlink()
            _view(each)[:size:4096] = marks(size)

    def __del__(self) -> None:
        for each in self._held:
            each.close()


def _view(memory: SharedMemory) -> memoryview:
    view = memory.buf
    if view is None:
        raise ValueError("the segment was closed")
    return view


class _Sender:
    def __init__(self, size: int) -> None:
        self._size = size
        self._pipe, self.token = multiprocessing.get_context("spawn").Pipe()

    def send(self) -> None:
        """Send the name of a new segment, written at its ends."""
        self._memory = SharedMemory(create=True, size=self._size)
        view = _view(self._memory)
        view[0] = view[self._size - 1] = 1
        self._pipe.send_bytes(self._memory.name.encode())

    def wait(self) -> None:
        """Await the answer, and end the segment."""
        self._pipe.recv_bytes()
        self._memory.close()
        self._memory.unlink()

    def close(self) -> None:
        """Close the pipe."""
        self._pipe.close()


class _Receiver:
    def __init__(self, token: Any, size: int) -> None:
        self._pipe, self._size = token, size

    def receive(self) -> bool:
        """Open a segment, look at its ends, and close it."""
        memory = SharedMemory(self._pipe.recv_bytes().decode())
        view = _view(memory)
        found = bool(view[0] == view[self._size - 1] == 1)
        memory.close()
        return found

    def answer(self) -> None:
        """Answer with a few bytes."""
        self._pipe.send_bytes(b"had it")


def sender(size: int, waiting: str) -> _Sender:
    """Make a pipe."""
    sleeps(waiting)
    return _Sender(size)


def receiver(token: Any, size: int, waiting: str) -> _Receiver:
    """Take the other end."""
    del waiting
    return _Receiver(token, size)
