"""What does watching cost the watcher, and the watched?

A pool of 10⁷ blocks of 64 bytes is half full, and processes allocate and free in it. `blockpool top` watches it in a
terminal of its own. The watcher's cost is the processor time of its whole process, and how often it brought the
terminal up to date. The cost to the watched is the processor time of a call: they take turns with the watcher at work
and with it stopped (SIGSTOP), A B A B … Their time by the clock is given too; on a machine with other work it is mostly
that of the others.

    python benchmarks/watching.py [--seconds 20] [--pairs 21] [--blocks 10000000]
"""

from __future__ import annotations

import argparse
import fcntl
import multiprocessing
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _measure

import blockpool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = 64
RUN = 10  # blocks of the runs that fill half of the pool
ALLOCATING = 1  # processes; the watcher has another processor
BURST = 0.02  # seconds of silence after which output is a further update
SETTLED = 3.0  # seconds until a watcher has begun
SLICE = 0.5  # seconds of a turn
MOST_OF_A_CORE = 0.20
FEWEST_UPDATES = 10.0
MOST_LOST = 0.02

processes = multiprocessing.get_context("spawn")


# --- watchers ---


@dataclass
class Watcher:
    """What watches a pool: its processes, and when it showed something new."""

    pids: list[int]
    updates: list[float] = field(default_factory=list)

    def pause(self) -> None:
        """Stop it."""
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)

    def processor_seconds(self) -> float:
        """Return what its processes took so far."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids]
        return sum(int(found[11]) + int(found[12]) for found in fields) / os.sysconf("SC_CLK_TCK")


@contextmanager
def top(name: str, columns: int, rows: int) -> Iterator[Watcher]:
    """Run `blockpool top` in a terminal of that size, and read what it writes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "blockpool", "top", name],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLORTERM": ""},
        start_new_session=True,
    )
    os.close(theirs)
    watcher = Watcher([process.pid])

    def read() -> None:
        last = 0.0
        with suppress(OSError):  # the end
            while True:
                select.select([ours], [], [])
                if not os.read(ours, 1 << 16):
                    return
                now = time.monotonic()
                if now - last > BURST:
                    watcher.updates.append(now)
                last = now

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        time.sleep(SETTLED)
        yield watcher
    finally:
        watcher.go_on()
        os.write(ours, b"q")
        try:
            process.wait(20)
        finally:
            process.kill()
            os.close(ours)
    assert process.returncode == 0, f"blockpool top ended with {process.returncode}"


# What watches; watching_pages.py has pages, and pages together with a terminal.
WATCHERS: dict[str, Callable[[str], Any]] = {
    "top, 80 × 24": lambda name: top(name, 80, 24),
    "top, 200 × 50": lambda name: top(name, 200, 50),
}


# --- the watched ---


def filler(pipe: Any, name: str) -> None:
    """Allocate every second run of the pool, say so, and keep them."""
    pool = blockpool.Pool.attach(name)
    kept = []
    with suppress(blockpool.PoolExhausted):
        while True:
            kept.append(pool.allocate(blocks=RUN))
    del kept[::2]
    pipe.send(pool.stats().allocated)
    pipe.recv()


def caller(pipe: Any, name: str, calls: Any, took: Any, at: int) -> None:
    """Allocate and free endlessly, also a thousand at a time, and count."""
    pool = blockpool.Pool.attach(name)
    allocate = pool.allocate
    pipe.send("ready")
    held: list[Any] = []
    while not pipe.poll():
        for _ in range(2000):
            allocate()
        if len(held) < 1000:
            held += [allocate() for _ in range(20)]
        else:
            held.clear()
        calls[at] += 2000
        took[at] = time.process_time_ns()


@dataclass
class Busy:
    """The pool, and what the processes at work in it count: calls, and nanoseconds that a processor was at them."""

    name: str
    calls: Any
    took: Any


def loss(busy: Busy, watcher: Watcher, pairs: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return nanoseconds a call, of a processor and by the clock: while it watches, and while it is stopped."""
    watched, alone = [], []

    def turn() -> tuple[float, float]:
        time.sleep(SLICE / 10)
        before, before_took, start = sum(busy.calls), sum(busy.took), time.perf_counter_ns()
        time.sleep(SLICE)
        calls = max(1, sum(busy.calls) - before)
        return (sum(busy.took) - before_took) / calls, (time.perf_counter_ns() - start) * ALLOCATING / calls

    for _ in range(pairs):
        watcher.go_on()
        watched.append(turn())
        watcher.pause()
        alone.append(turn())
    watcher.go_on()
    return watched, alone


# --- measuring ---


@contextmanager
def busy_pool(blocks: int) -> Iterator[Busy]:
    """Make the pool, fill half of it, and have processes at work in it."""
    name = f"bench-watching-{os.getpid()}"
    pool = blockpool.Pool.create(BLOCK, blocks, name=name)
    busy = Busy(name, processes.RawArray("Q", ALLOCATING), processes.RawArray("Q", ALLOCATING))
    with ExitStack() as stack:
        stack.callback(pool.unlink)
        started: list[tuple[Callable[..., None], tuple[Any, ...]]] = [(filler, ())]
        started += [(caller, (busy.calls, busy.took, at)) for at in range(ALLOCATING)]
        for function, extra in started:
            ours, theirs = processes.Pipe()
            process = processes.Process(target=function, args=(theirs, name, *extra))
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(ours.send, None)
            ours.recv()
        yield busy


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="how long to measure the watcher's cost")
    parser.add_argument("--pairs", type=int, default=_measure.PAIRS)
    parser.add_argument("--blocks", type=int, default=10**7)
    options = parser.parse_args()
    rows, facts = [], {}
    with busy_pool(options.blocks) as busy:
        for what, start in WATCHERS.items():
            with start(busy.name) as watcher:
                before, begin, seen = watcher.processor_seconds(), time.monotonic(), len(watcher.updates)
                time.sleep(options.seconds)
                took = time.monotonic() - begin
                core = (watcher.processor_seconds() - before) / took
                updates = (len(watcher.updates) - seen) / took
                facts[f"{what}, part of a core"] = (
                    f"{core:.3f}  at most {MOST_OF_A_CORE}  {'ok' if core <= MOST_OF_A_CORE else 'MISSED'}"
                )
                facts[f"{what}, updates a second"] = (
                    f"{updates:.1f}  at least {FEWEST_UPDATES:g}  {'ok' if updates >= FEWEST_UPDATES else 'MISSED'}"
                )
                if options.pairs:
                    watched, alone = loss(busy, watcher, options.pairs)
                    for at, limit, unit in ((0, 1 + MOST_LOST, "processor time"), (1, None, "by the clock")):
                        ours, theirs = [turn[at] for turn in watched], [turn[at] for turn in alone]
                        rows.append(_measure.of_pairs(f"a call, {what}, {unit}", ours, "alone", theirs, limit=limit))
                        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
                        facts[f"{what}, {unit}, middle half of the ratios"] = " to ".join(
                            f"{part:.3f}" for part in statistics.quantiles(ratios, n=4)[::2]
                        )
    facts["processors, load"] = f"{len(os.sched_getaffinity(0))}, {os.getloadavg()[0]:.1f}"
    _measure.report(f"Watching a pool of {options.blocks:,} blocks", rows, facts)


if __name__ == "__main__":
    main()
