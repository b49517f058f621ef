"""Do two processes in one pool get more done than one, and how soon does one that waits for room wake up?

Each process has a processor of its own and calls allocate and drop from a set moment for a set time; "one" has the
pool to itself. By the clock, other work on the machine counts; by processor time it does not, but what the two do to
each other does.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import statistics
import time
from typing import Any

import _measure

import blockpool

BLOCKS = 1024
SECONDS = 0.02  # of one run
LEAD = 0.003  # until it begins
CALLS = 200  # between looks at the clock
WAKES = 5  # for one pair
SETTLE = 0.003  # until a process surely waits

processes = multiprocessing.get_context("spawn")


def pin(number: int) -> None:
    """Keep this process on one of its processors."""
    mine = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {mine[number % len(mine)]})


# --- throughput ---


def caller(pipe: Any, name: str, number: int) -> None:
    """For each start time received, make calls for SECONDS from then on; send their number and time."""
    pin(number)
    pool = blockpool.Pool.attach(name)
    allocate, clock = pool.allocate, time.monotonic
    pipe.send("ready")
    while (begin := pipe.recv()) is not None:
        end, calls = begin + SECONDS, 0
        while clock() < begin:
            pass
        before = time.process_time_ns()
        while clock() < end:
            for _ in itertools.repeat(None, CALLS):
                allocate()
            calls += CALLS
        pipe.send((calls, time.process_time_ns() - before))


def run(pipes: list[Any]) -> tuple[float, float]:
    """Run the callers behind these pipes at the same time; return ns per call, by the clock and by processor time."""
    begin = time.monotonic() + LEAD
    for pipe in pipes:
        pipe.send(begin)
    results = [pipe.recv() for pipe in pipes]
    by_clock = SECONDS * 1e9 / max(1, sum(calls for calls, _ in results))
    by_processor = 1 / max(1e-9, sum(calls / max(1, took) for calls, took in results))
    return by_clock, by_processor


def throughput() -> list[_measure.Comparison]:
    """Compare the throughput of two with that of one."""
    name = f"bench-{os.getpid()}"
    pool = blockpool.Pool.create(64, BLOCKS, name=name)
    pipes = []
    for number in range(2):
        ours, theirs = processes.Pipe()
        processes.Process(target=caller, args=(theirs, name, number)).start()
        assert ours.recv() == "ready"
        pipes.append(ours)
    two: list[list[float]] = []
    one: list[list[float]] = []
    for pair in range(_measure.PAIRS):
        turns = [(run(pipes), run([pipes[(pair + turn) % 2]])) for turn in range(_measure.TURNS)]
        for found, column in ((two, 0), (one, 1)):
            found.append([min(turn[column][kind] for turn in turns) for kind in range(2)])
    for pipe in pipes:
        pipe.send(None)
    pool.unlink()
    return [
        _measure.of_pairs(
            f"two processes, {BLOCKS} blocks, a call, {kind}",
            [ns[column] for ns in two],
            "one",
            [ns[column] for ns in one],
            limit=1.5,
            faster=True,
        )
        for column, kind in enumerate(("by the clock", "processor time"))
    ]


# --- waking ---


def sleeper(pipe: Any, name: str) -> None:
    """Wait for a message or for room, as requested; send the time when it came."""
    pin(1)
    pool = blockpool.Pool.attach(name)
    pipe.send("ready")
    while (what := pipe.recv()) is not None:
        if what == "room":
            block = pool.allocate(timeout=5)
            woken = time.perf_counter_ns()
            block.free()
        else:
            pipe.recv_bytes()
            woken = time.perf_counter_ns()
        pipe.send(woken)


def waking() -> list[_measure.Comparison]:
    """Compare how soon after a free a waiting allocate returns, with how soon after a send a receive does."""
    pin(0)
    name = f"bench-{os.getpid()}-wake"
    pool = blockpool.Pool.create(64, BLOCKS, name=name)
    kept = pool.allocate_many(BLOCKS - 1)
    pipe, theirs = processes.Pipe()
    process = processes.Process(target=sleeper, args=(theirs, name))
    process.start()
    assert pipe.recv() == "ready"
    room, message = [], []
    for _ in range(_measure.PAIRS):
        rooms, messages = [], []
        for _ in range(WAKES):
            block = pool.allocate(timeout=1)
            pipe.send("room")
            time.sleep(SETTLE)
            start = time.perf_counter_ns()
            block.free()
            rooms.append(pipe.recv() - start)
            pipe.send("message")
            time.sleep(SETTLE)
            start = time.perf_counter_ns()
            pipe.send_bytes(b"8 bytes.")
            messages.append(pipe.recv() - start)
        room.append(statistics.median(rooms))
        message.append(statistics.median(messages))
    pipe.send(None)
    process.join()
    del kept
    pool.unlink()
    return [_measure.of_pairs("a waiting allocate returns after a free", room, "a Pipe's reader", message, limit=3)]


def main() -> None:
    """Measure, and print the table."""
    if len(os.sched_getaffinity(0)) < 2:
        print("two processors are needed to compare two processes with one")
        return
    rows = throughput() + waking()
    _measure.report("Processes in one pool", rows)


if __name__ == "__main__":
    main()
