"""What do twenty pages of a large pool cost: the server's processor time, and what the pool's users lose?

A process allocates and frees in a pool of ten million blocks. In turn, it is left alone, and shown by twenty pages that
take ten updates a second each; then by a terminal (`blockpool top`) as well. The pages are connections of one process
that reads what comes and drops it. Processor time is compared, so that other work on the machine counts little. The
allocating process has a processor of its own if there are two.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _measure
import watching

import blockpool

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCKS = 10**7
PAGES = 20
RATE = 10
SECONDS = 5.0  # of a measurement of the server
TURN = 0.4  # seconds that pages are open, or not
SETTLE = 0.4  # until all pages have begun, or ended
HELD = 100_000  # blocks that the allocating process replaces, one after the other
CALLS = 1000  # between looks at the clock

processes = multiprocessing.get_context("spawn")

_EVENT = b"event: snapshot\n"


@dataclass(frozen=True, slots=True)
class Cost:
    """What the server did for the pages.

    Attributes
    ----------
    share : float
        Of one processor.
    updates : float
        Updates that each page got, a second.
    nbytes : float
        Bytes that all pages got, a second.
    """

    share: float
    updates: float
    nbytes: float


@contextmanager
def server() -> Iterator[tuple[int, int]]:
    """Run `blockpool serve`; yield its process id and port."""
    command = [sys.executable, "-m", "blockpool", "serve", "--port", "0", "--rate", str(RATE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = re.search(r":(\d+)/", process.stdout.readline())
            assert found
            yield process.pid, int(found[1])
        finally:
            process.terminate()


def processor_seconds(pid: int) -> float:
    """Return how much processor time a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(pipe: Any, port: int, name: str, pages: int) -> None:
    """Open and close pages as told; a number of seconds means to read for so long, and send what came."""
    places = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {places[-1]})
    opened: list[socket.socket] = []
    selector = selectors.DefaultSelector()
    request = f"GET /api/pools/{name}/events?rate={RATE} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    while (told := pipe.recv()) is not None:
        if told == "open":
            for _ in range(pages):
                page = socket.create_connection(("127.0.0.1", port))
                page.sendall(request)
                opened.append(page)
                selector.register(page, selectors.EVENT_READ)
            pipe.send("opened")
        elif told == "close":
            for page in opened:
                selector.unregister(page)
                page.close()
            opened.clear()
            pipe.send("closed")
        else:
            pipe.send(read_for(selector, told))


def read_for(selector: selectors.BaseSelector, seconds: float) -> tuple[int, int]:
    """Read what comes for so long; return the number of events and of bytes."""
    end = time.monotonic() + seconds
    events = nbytes = 0
    while (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            page = key.fileobj
            assert isinstance(page, socket.socket)
            came = page.recv(1 << 20)
            assert came, "a page ended"
            nbytes += len(came)
            events += came.count(_EVENT)
    return events, nbytes


def cost_of_pages(port: int, pid: int, name: str, *, pages: int = PAGES, seconds: float = SECONDS) -> Cost:
    """Measure what the server needs for so many pages of a pool in which a process allocates and frees."""
    pipe, theirs = processes.Pipe()
    worker = processes.Process(target=allocate, args=(theirs, name))
    worker.start()
    assert pipe.recv() == "ready"
    pipe.send(seconds + 2)
    ours, theirs = processes.Pipe()
    process = processes.Process(target=show, args=(theirs, port, name, pages))
    process.start()
    ours.send("open")
    ours.recv()
    ours.send(1.0)  # the first pictures
    ours.recv()
    before, began = processor_seconds(pid), time.monotonic()
    ours.send(seconds)
    events, nbytes = ours.recv()
    took = time.monotonic() - began
    share = (processor_seconds(pid) - before) / took
    ours.send(None)
    process.join()
    pipe.recv()
    pipe.send(None)
    worker.join()
    return Cost(share, events / took / pages, nbytes / took)


# --- what the pool's users lose ---


def allocate(pipe: Any, name: str) -> None:
    """For each number of seconds received, allocate and free for so long; send the nanoseconds of a call."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pool = blockpool.Pool.attach(name)
    call, clock = pool.allocate, time.monotonic
    held = [call() for _ in range(HELD)]  # so that the picture changes all the time
    places = itertools.cycle(range(0, HELD - CALLS, CALLS))
    pipe.send("ready")
    while (seconds := pipe.recv()) is not None:
        end = clock() + seconds
        spent: list[float] = []
        while clock() < end:
            first = next(places)
            before = time.thread_time_ns()
            for at in range(first, first + CALLS):
                held[at] = call()
            spent.append((time.thread_time_ns() - before) / CALLS)
        pipe.send(statistics.median(spent))
    held.clear()
    pool.close()


def loss(port: int, name: str, also: watching.Watcher | None = None) -> _measure.Comparison:
    """Compare calls in a pool that twenty pages show, and another watcher also, with calls in one that nobody sees."""
    pipe, theirs = processes.Pipe()
    worker = processes.Process(target=allocate, args=(theirs, name))
    worker.start()
    assert pipe.recv() == "ready"
    pages, theirs = processes.Pipe()
    reader = processes.Process(target=show, args=(theirs, port, name, PAGES))
    reader.start()
    shown, alone = [], []
    for pair in range(_measure.PAIRS):
        for seen in (True, False) if pair % 2 else (False, True):
            if seen:
                pages.send("open")
                pages.recv()
                pages.send(SETTLE + TURN)
                if also is not None:
                    also.go_on()
            time.sleep(SETTLE)
            pipe.send(TURN)
            (shown if seen else alone).append(pipe.recv())
            if seen:
                pages.recv()
                pages.send("close")
                pages.recv()
                if also is not None:
                    also.pause()
    pipe.send(None)
    pages.send(None)
    worker.join()
    reader.join()
    what = f"a call while {PAGES} pages{'' if also is None else ' and top'} show {BLOCKS:.0e} blocks"
    return _measure.of_pairs(what, shown, "while none does", alone, limit=1.02)


def main() -> None:
    """Measure, and print the table."""
    name = f"bench-pages-{os.getpid()}"
    pool = blockpool.Pool.create(64, BLOCKS, name=name)
    kept = [pool.allocate(blocks=1 + 37 * number % 4000) for number in range(2000)]
    places = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, {places[-1]})  # the server too, which inherits it
        with server() as (pid, port):
            cost = cost_of_pages(port, pid, name)
            rows = [loss(port, name)]
            with watching.top(name, 80, 24) as terminal:
                terminal.pause()
                rows.append(loss(port, name, terminal))
    finally:
        os.sched_setaffinity(0, set(places))
        pool.unlink()
    del kept
    facts = {
        f"the server, for {PAGES} pages": f"{cost.share:.1%} of a processor (at most 20 %)",
        "updates that each page got": f"{cost.updates:.1f} a second (at least {RATE})",
        "bytes that they got": f"{cost.nbytes / 1e6:.1f} MB a second",
    }
    _measure.report("Pages that show a pool", rows, facts)


if __name__ == "__main__":
    main()
