"""A worker process of the demo: it gets a message, hashes its pieces in place, and answers with the digests.

It does the same for every way of carrying a message; only where the memory comes from differs.
"""

from __future__ import annotations

import hashlib
import os
import resource
import threading
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from blockpool import Handle, redeem
from blockpool.report.results import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.queues import Queue

    from blockpool import Pool

__all__ = ["Answer", "Job", "Payload", "digests_of", "usage", "work"]

# The bytes themselves, the name of a SharedMemory, or a run of a pool.
Payload = bytes | str | Handle


class Job(NamedTuple):
    """A message in flight: its number in the lap, what carries it, and the lengths of its pieces."""

    number: int
    payload: Payload
    lengths: tuple[int, ...]


class Answer(NamedTuple):
    """The digests of a message's pieces."""

    number: int
    digests: tuple[bytes, ...]


def usage() -> Usage:
    """Return the resources that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    moved = 0
    with suppress(OSError), Path("/proc/self/io").open(encoding="ascii") as file:
        counts = dict(line.split(": ") for line in file)
        moved = int(counts["rchar"]) + int(counts["wchar"])
    return Usage(used.ru_minflt + used.ru_majflt, used.ru_utime + used.ru_stime, moved)


def work(jobs: Queue[Job | bool], answers: Connection[Answer | Usage, Answer], pool: Pool, algorithm: str) -> None:
    """Run as a worker until it receives False; True asks for its usage."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    attached = pool  # stays attached between two messages
    while message := jobs.get():
        if isinstance(message, Job):
            with _opened(message.payload) as view:
                digests = digests_of(view, message.lengths, algorithm)
            answers.send(Answer(message.number, digests))
        else:
            answers.send(usage())
    attached.close()


def digests_of(view: memoryview, lengths: tuple[int, ...], algorithm: str) -> tuple[bytes, ...]:
    """Hash the consecutive pieces in the memory."""
    digests = []
    begin = 0
    for length in lengths:
        with view[begin : begin + length] as piece:
            digests.append(hashlib.new(algorithm, piece).digest())
        begin += length
    return tuple(digests)


@contextmanager
def _opened(payload: Payload) -> Iterator[memoryview]:
    """Yield the memory of a message."""
    if isinstance(payload, Handle):
        with redeem(payload) as block, block.buf as view:
            yield view
    elif isinstance(payload, str):
        memory = SharedMemory(payload)
        try:
            with cast("memoryview", memory.buf)[:] as view:
                yield view
        finally:
            memory.close()
    else:
        with memoryview(payload) as view:
            yield view


def _end_with_parent() -> None:
    """End this process when the one that started it ends, for whatever reason: nobody would read its answers."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
