"""What a worker process of a demo does: take tickets, hash the blocks that they name in place, answer.

A job is a piece of a file: its blocks, in order. All pieces of a file come to one worker, one after the other; the
first one begins a new digest, the last one is answered with it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from blockpool import BlockPoolError, redeem

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from blockpool import Block, Ticket
    from blockpool.cli.pipeline import Hash

__all__ = ["Answer", "Job", "hash_run", "work"]


class Job(NamedTuple):
    """A piece of a file to hash."""

    first: bool
    last: bool
    tickets: tuple[Ticket, ...]


class Answer(NamedTuple):
    """A piece is hashed: the digest if it was the last of its file, or what went wrong."""

    hexdigest: str | None = None
    problem: str | None = None


def work(connection: Connection[Answer, Any]) -> None:
    """Be a worker: first comes the pool, then jobs, at the end None. Whoever sends them may also just vanish."""
    digest: Hash = hashlib.sha256()
    try:
        pool = connection.recv()  # kept, so that the pool stays attached between two jobs
        while pool is not None and (job := connection.recv()) is not None:
            if job.first:
                digest = hashlib.sha256()
            try:
                for ticket in job.tickets:
                    hash_run(digest, redeem(ticket))
            except BlockPoolError as error:
                connection.send(Answer(problem=str(error)))
            else:
                connection.send(Answer(digest.hexdigest() if job.last else None))
    except (EOFError, ConnectionError):
        pass


def hash_run(digest: Hash, block: Block) -> None:
    """Feed the block to the digest, and be done with it; the reader keeps its own part."""
    with block.buf as view:
        digest.update(view)
    block.release()
