"""How much more do two threads allocate than one, in a build of Python without the GIL?

A peer does as much without a pool: it makes an object that only its thread knows, and calls a method of it. What the
pool's threads lose and the peer's do not, the pool loses. Processor time tells it on a busy machine too.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import _measure

import blockpool

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCKS = 4096
SECONDS = 0.02


def allocating(pool: blockpool.Pool) -> Callable[[float], int]:
    """Return what a thread does: allocate and free until that time; it returns how often."""

    def work(until: float) -> int:
        allocate = pool.allocate  # a thread's own: a name that threads share has a reference count that they share
        now, calls = time.perf_counter, 0
        while now() < until:
            for _ in range(50):
                allocate().free()
            calls += 50
        return calls

    return work


def without_a_pool() -> Callable[[float], int]:
    """Return the same with an object of the thread's own."""

    def work(until: float) -> int:
        now, calls = time.perf_counter, 0
        while now() < until:
            for _ in range(50):
                bytearray(8).clear()
            calls += 50
        return calls

    return work


class Crew:
    """Threads that do the same work at the same time, as many as are asked for."""

    def __init__(self, work: Callable[[float], int]) -> None:
        self._work = work

    def time_of_a_call(self, threads: int) -> tuple[float, float]:
        """Return nanoseconds a call of all threads together: by the clock, and by the processor time of each."""
        start = threading.Barrier(threads)
        calls, took = [0] * threads, [1] * threads
        processors = sorted(os.sched_getaffinity(0))

        def run(number: int) -> None:
            os.sched_setaffinity(0, {processors[number]})  # of this thread
            start.wait()
            begun = time.thread_time_ns()
            calls[number] = self._work(time.perf_counter() + SECONDS)
            took[number] = time.thread_time_ns() - begun

        crew = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
        by_clock = SECONDS * 1e9 / max(1, sum(calls))
        return by_clock, 1 / max(1e-9, sum(n / max(1, ns) for n, ns in zip(calls, took, strict=True)))


def compared(what: str, work: Callable[[float], int], limit: float | None) -> list[_measure.Comparison]:
    """Compare the throughput of two threads with that of one."""
    crew = Crew(work)
    two: list[list[float]] = []
    one: list[list[float]] = []
    for _ in range(_measure.PAIRS):
        turns = [(crew.time_of_a_call(2), crew.time_of_a_call(1)) for _ in range(_measure.TURNS)]
        two.append([min(turn[0][kind] for turn in turns) for kind in range(2)])
        one.append([min(turn[1][kind] for turn in turns) for kind in range(2)])
    return [
        _measure.of_pairs(
            f"two threads, {what}, {kind}",
            [ns[column] for ns in two],
            "one",
            [ns[column] for ns in one],
            limit=limit,
            faster=True,
        )
        for column, kind in enumerate(("by the clock", "processor time"))
    ]


def main() -> None:
    """Measure, and print the table."""
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        print("with the GIL, two threads allocate as much as one")
        return
    if len(os.sched_getaffinity(0)) < 2:
        print("two processors are needed to compare two threads with one")
        return
    private, shared = blockpool.Pool(64, BLOCKS), blockpool.Pool.create(64, BLOCKS)
    rows = [
        *compared("one private pool", allocating(private), 1.5),
        *compared("one shared pool", allocating(shared), 1.5),
        *compared("bytearray(8).clear()", without_a_pool(), None),
    ]
    _measure.report("Threads without the GIL", rows)


if __name__ == "__main__":
    main()
