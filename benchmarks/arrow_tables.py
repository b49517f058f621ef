"""How long does it take to hand a table of 100 MB, with strings, to another process, and to get one number back?

The receiver is a process of its own, has the pool, and answers with the sum of a column. "Pipe" is what
multiprocessing does: pickle, and write to a pipe. "IPC" writes Arrow's own stream into a pipe. The pool has room for
three tables; what is copied into it goes back with each answer.
"""

from __future__ import annotations

import multiprocessing
import pickle
from typing import TYPE_CHECKING, Any

import _measure

import blockpool as bp
from blockpool.multiprocessing import install

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = 5  # as a turn takes up to a second
ROWS = 3_000_000
processes = multiprocessing.get_context("spawn")


def as_stream(table: Any) -> Any:
    """Return a table as a stream of Arrow's, as one that sends it has to."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def of_stream(data: bytes) -> Any:
    """Return the table of a stream."""
    import pyarrow as pa

    return pa.ipc.open_stream(pa.py_buffer(data)).read_all()


LOAD: dict[str, Callable[[bytes], Any]] = {
    "pickle": pickle.loads,
    "stream": of_stream,
    "ticket": bp.get,
}


def receive(pipe: Any, pool: bp.Pool) -> None:
    """Answer each message, which comes after the name of its form, until None comes."""
    import pyarrow.compute as pc

    while (form := pipe.recv()) is not None:
        table = LOAD[form](pipe.recv_bytes())
        pipe.send(pc.sum(table["number"]).as_py())
        del table
    del pool


class Receiver:
    """Another process, and the ways to hand it a table."""

    def __init__(self, pool: bp.Pool) -> None:
        self.pool = pool
        self.pipe, there = processes.Pipe()
        self.process = processes.Process(target=receive, args=(there, pool))
        self.process.start()

    def ask(self, form: str, message: Any) -> None:
        """Send a message and check the answer."""
        self.pipe.send(form)
        self.pipe.send_bytes(message)
        assert self.pipe.recv() == ROWS * (ROWS - 1) // 2

    def pickled(self, table: Any) -> None:
        """Send what Pipe.send would send without `install`."""
        self.ask("pickle", pickle.dumps(table))

    def streamed(self, table: Any) -> None:
        """Send a stream of Arrow's."""
        self.ask("stream", as_stream(table))

    def installed(self, table: Any) -> None:
        """Send what Pipe.send sends after `install`."""
        self.ask("pickle", multiprocessing.reduction.ForkingPickler.dumps(table))

    def put(self, table: Any) -> None:
        """Put the table into the pool, and send the ticket."""
        self.ask("ticket", bytes(bp.put(table, self.pool)))

    def end(self) -> None:
        """Let the process end."""
        self.pipe.send(None)
        self.process.join()


def main() -> None:
    """Measure and report."""
    pa: Any = _measure.peer("pyarrow")
    if pa is None:
        return
    from blockpool import arrow

    pool = bp.Pool.create("64KiB", 3 * 100 * 16 + 200)
    numbers = pa.array(range(ROWS))
    texts = pa.array([f"a text, number {number}" for number in range(ROWS)])
    table = pa.table({"number": numbers, "text": texts})
    inside = arrow.to_pool(table, pool)
    install(pool)
    receiver = Receiver(pool)
    rows = []
    for what, ours, given in (
        ("install, table outside the pool", receiver.installed, table),
        ("put and get, table outside the pool", receiver.put, table),
        ("install, table in the pool", receiver.installed, inside),
        ("put and get, table in the pool", receiver.put, inside),
    ):
        for peer, theirs in (("Pipe", receiver.pickled), ("IPC through a Pipe", receiver.streamed)):
            rows.append(
                _measure.compare(
                    what,
                    lambda ours=ours, given=given: ours(given),
                    lambda theirs=theirs: theirs(table),
                    {},
                    peer_name=peer,
                    faster=True,
                    pairs=PAIRS,
                )
            )
    receiver.end()
    facts = {"bytes": table.nbytes, "pyarrow": pa.__version__, "pairs of this one": PAIRS}
    _measure.report("A table to another process, and one answer", rows, facts)


if __name__ == "__main__":
    main()
