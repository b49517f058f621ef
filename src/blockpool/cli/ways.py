"""The three ways in which the demo carries a message to a worker.

Each reads the files of a message into what the worker will get, and keeps what is needed until the worker has
answered. All use the same queue.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any, cast

from blockpool.cli.files import fill, join
from blockpool.report.results import POOL, QUEUE, SHARED_MEMORY

if TYPE_CHECKING:
    from blockpool import Pool
    from blockpool.cli.files import Message
    from blockpool.cli.worker import Payload

__all__ = ["ThroughPool", "ThroughQueue", "ThroughSharedMemory", "Way"]


class Way(ABC):
    """A way to carry messages. `_kept` has what a worker still needs, by what was sent to it."""

    name: str

    def __init__(self) -> None:
        self._kept: dict[Payload, Any] = {}

    @abstractmethod
    def pack(self, message: Message) -> Payload:
        """Read the message's files, and return what to send."""

    def done(self, payload: Payload) -> None:
        """Free what carried a message: its worker has answered, or never will."""
        self._kept.pop(payload, None)

    def close(self) -> None:
        """Free everything that is still kept."""
        for payload in list(self._kept):
            self.done(payload)


class ThroughPool(Way):
    """A block of a pool for each message, which the worker finds by its handle.

    This process holds the block until the worker has answered. So a killed worker takes nothing with it, and the same
    handle can be sent to another one.
    """

    name = POOL

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    def pack(self, message: Message) -> Payload:
        """Read the files straight into a block."""
        block = self._pool.allocate(nbytes=sum(piece.nbytes for piece in message))
        handle = block.handle
        self._kept[handle] = block
        with block.buf as view:
            fill(view, message)
        return handle

    def done(self, payload: Payload) -> None:
        """Release the block."""
        self._kept.pop(payload).release()


class ThroughQueue(Way):
    """The bytes themselves: multiprocessing.Queue pickles them, and writes them into a pipe."""

    name = QUEUE

    def pack(self, message: Message) -> Payload:
        """Read the files into an object."""
        return join(message)


class ThroughSharedMemory(Way):
    """A new multiprocessing.shared_memory.SharedMemory for each message, which the worker opens by its name."""

    name = SHARED_MEMORY

    def pack(self, message: Message) -> Payload:
        """Create a segment, and read the files straight into it."""
        segment = SharedMemory(create=True, size=sum(piece.nbytes for piece in message))
        self._kept[segment.name] = segment
        with cast("memoryview", segment.buf)[:] as view:
            fill(view, message)
        return segment.name

    def done(self, payload: Payload) -> None:
        """Close the segment and remove it."""
        segment = self._kept.pop(payload)
        segment.close()
        segment.unlink()
