"""pyarrow: buffers of its default memory pool, and record batches as IPC messages.

Its shared store, Plasma, left Arrow with release 12; what is left for processes is the IPC format, copied through a
pipe.
"""

from __future__ import annotations

import multiprocessing
from typing import Any

from blockpool.bench.peers._ends import sleeps
from blockpool.bench.peers._peer import Peer
from blockpool.bench.tasks import Statement, marks

PEER = Peer(
    "pyarrow",
    "allocate_buffer(size), dropped, of the default memory pool (mimalloc, where the wheel has it); handed over as a "
    "record batch in the IPC format, through a Pipe, and read without a further copy",
    needs="pyarrow>=17",
)


def version() -> str:
    """Return the version of pyarrow, and which memory pool it has."""
    import pyarrow as pa  # type: ignore[import-untyped]

    return f"{pa.__version__} ({pa.default_memory_pool().backend_name})"


def create(size: int) -> Statement:
    """Allocate a buffer and drop it."""
    import pyarrow as pa

    return Statement("allocate(size)", {"allocate": pa.allocate_buffer, "size": size})


def write(size: int) -> Statement:
    """Allocate a buffer, write a byte of each page, and drop it."""
    import pyarrow as pa

    names = {"allocate": pa.allocate_buffer, "size": size, "marks": marks(size), "view": memoryview}
    return Statement("view(allocate(size)).cast('B')[::4096] = marks", names)


def hold(size: int, count: int) -> object:
    """Keep so many, written."""
    import pyarrow as pa

    found = [pa.allocate_buffer(size) for _ in range(count)]
    for each in found:
        memoryview(each).cast("B")[::4096] = marks(size)
    return found


class _End:
    def __init__(self, pipe: Any, token: Any, size: int) -> None:
        import pyarrow as pa

        self._arrow, self._pipe, self.token = pa, pipe, token
        memory = pa.allocate_buffer(size)
        self._view = memoryview(memory).cast("B")
        self._batch = pa.record_batch([pa.Array.from_buffers(pa.uint8(), size, [None, memory])], ["bytes"])

    def send(self) -> None:
        """Send the batch, written at its ends."""
        self._view[0] = self._view[-1] = 1
        self._pipe.send_bytes(self._batch.serialize())

    def receive(self) -> bool:
        """Receive a batch, and look at its ends."""
        batch = self._arrow.ipc.read_record_batch(self._arrow.py_buffer(self._pipe.recv_bytes()), self._batch.schema)
        values = memoryview(batch.column(0).buffers()[1]).cast("B")
        return bool(values[0] == values[len(batch) - 1] == 1)

    def answer(self) -> None:
        """Answer with a few bytes."""
        self._pipe.send_bytes(b"had it")

    def wait(self) -> None:
        """Await the answer."""
        self._pipe.recv_bytes()

    def close(self) -> None:
        """Close the pipe."""
        self._pipe.close()


def sender(size: int, waiting: str) -> _End:
    """Make a pipe."""
    sleeps(waiting)
    return _End(*multiprocessing.get_context("spawn").Pipe(), size)


def receiver(token: Any, size: int, waiting: str) -> _End:
    """Take the other end."""
    del waiting
    return _End(token, None, size)
