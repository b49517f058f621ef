"""The three ways in which the demo carries a message to a worker.

Each packs the files of a message into what the worker will get; what must be kept until the worker has answered, it
keeps. The queue through which the payload goes is the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, cast

from blockpool.cli.files import fill, join
from blockpool.report.results import POOL, QUEUE, SHARED_MEMORY

if TYPE_CHECKING:
    from blockpool import Block, Pool
    from blockpool.cli.files import Message
    from blockpool.cli.worker import Payload

__all__ = ["ThroughPool", "ThroughQueue", "ThroughSharedMemory", "Way"]


class Way(ABC):
    """A way to carry messages."""

    name: str

    @abstractmethod
    def pack(self, message: Message) -> Payload:
        """Read the message's files, and return what is to be sent."""

    @abstractmethod
    def done(self, payload: Payload) -> None:
        """Give back what carried a message: its worker has answered, or never will."""

    @abstractmethod
    def close(self) -> None:
        """Give back all that is still kept."""


class ThroughPool(Way):
    """A block of a pool for each message, which the worker finds by its handle.

    This process holds the block until the worker has answered. So a worker that is killed takes nothing with it, and
    another can be sent the same handle.
    """

    name = POOL

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._blocks: dict[Payload, Block] = {}

    def pack(self, message: Message) -> Payload:
        """Have the kernel write the files into a block."""
        block = self._pool.allocate(nbytes=sum(piece.nbytes for piece in message))
        handle = block.handle
        self._blocks[handle] = block
        with block.buf as view:
            fill(view, message)
        return handle

    def done(self, payload: Payload) -> None:
        """Give the block back."""
        self._blocks.pop(payload).release()

    def close(self) -> None:
        """Give back the blocks of messages that nobody has answered."""
        for payload in list(self._blocks):
            self.done(payload)


class ThroughQueue(Way):
    """The bytes themselves: multiprocessing.Queue pickles them, and writes them into a pipe."""

    name = QUEUE

    def pack(self, message: Message) -> Payload:
        """Read the files into an object."""
        return join(message)

    def done(self, payload: Payload) -> None:
        """Keep nothing."""

    def close(self) -> None:
        """Keep nothing."""


class ThroughSharedMemory(Way):
    """A multiprocessing.shared_memory.SharedMemory of its own for each message, which the worker opens by its name."""

    name = SHARED_MEMORY

    def __init__(self) -> None:
        self._segments: dict[Payload, SharedMemory] = {}

    def pack(self, message: Message) -> Payload:
        """Create a segment, and have the kernel write the files into it."""
        segment = SharedMemory(create=True, size=sum(piece.nbytes for piece in message))
        self._segments[segment.name] = segment
        with cast("memoryview", segment.buf)[:] as view:
            fill(view, message)
        return segment.name

    def done(self, payload: Payload) -> None:
        """Close the segment, and delete it."""
        segment = self._segments.pop(payload)
        segment.close()
        segment.unlink()

    def close(self) -> None:
        """Delete the segments of messages that nobody has answered."""
        for payload in list(self._segments):
            self.done(payload)
