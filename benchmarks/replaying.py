"""How long does a simulated replay take, an event?

Each kind of trace has ten million events. The time is that of a processor, with the loop around the calls; the peer is
the same loop with calls that do nothing, in turn with ours.

- one size: a queue of 64 buffers, as a camera has; the oldest is freed when a new one is allocated.
- random: requests of 100 bytes to 20 kB, 20,000 live at a time; each lives for a random time.
- tight: the same, in a pool that refuses some.
- three pools: the same, split by size.
- waits: the same with 8 threads, in a pool where requests wait.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import _measure
import numpy as np

from blockpool._core import begin_replay
from blockpool.replay import Plan, simulate
from blockpool.replay.arguments import columns_of
from blockpool.traces import Trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVENTS = 10_000_000
LIMIT_NS = 60.0
PAIRS = 3
THREADS = 8


class Case(NamedTuple):
    """A trace and what it is replayed against."""

    trace: Trace
    plans: list[Plan]
    wait: float = 0.0


def trace_of(kind: NDArray[Any], number: NDArray[Any], size: NDArray[Any], threads: int = 1) -> Trace:
    """Return a trace in which a random thread makes each allocation and frees it too."""
    thread = np.random.default_rng(2).integers(threads, size=len(kind) // 2, dtype=np.int32)
    return Trace(
        time=np.arange(len(kind), dtype=np.int64),
        kind=kind.astype(np.uint8),
        size=size[number].astype(np.int64),
        id=number.astype(np.int32),
        thread=thread[number],
        stack=np.full(len(kind), -1, np.int32),
        threads=tuple(f"thread {each}" for each in range(threads)),
    )


def queue(events: int, length: int = 64) -> Trace:
    """Return a trace in which the oldest of so many is freed before each allocation."""
    pairs = events // 2
    at = np.concatenate([np.arange(pairs) * 2.0, np.arange(pairs) * 2.0 + 2 * length - 1])
    return by_time(at, np.full(pairs, 4096))


def random_lives(events: int, live: int = 20_000, threads: int = 1) -> Trace:
    """Return a trace in which so many allocations of random sizes live at a time, for random times."""
    pairs = events // 2
    random = np.random.default_rng(1)
    born = np.arange(pairs) * 2.0
    at = np.concatenate([born, born + 1 + random.exponential(2 * live, pairs)])
    size = random.choice([100, 3000, 5000, 20_000], pairs, p=[0.6, 0.2, 0.15, 0.05])
    return by_time(at, size, threads)


def by_time(at: NDArray[Any], size: NDArray[Any], threads: int = 1) -> Trace:
    """Return a trace of allocations, and then their frees, at such times."""
    order = np.argsort(at, kind="stable")
    return trace_of(order >= len(size), order % len(size), size, threads)


def loop_ns(trace: Trace) -> float:
    """Return nanoseconds an event of the loop with calls that do nothing."""
    replaying = begin_replay(columns_of(trace), len(trace.threads), [], [], 0, nothing=True)
    replaying.go_on(len(trace))
    return float(replaying.counts()["seconds"]) / len(trace) * 1e9


def main() -> None:
    """Measure, and print."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    lives = random_lives(events)
    cases = {
        "one size": Case(queue(events), [Plan(4096, 64)]),
        "random": Case(lives, [Plan(4096, 40_000)]),
        "tight": Case(lives, [Plan(4096, 27_000)]),
        "three pools": Case(lives, [Plan(128, 20_000, 0, 128), Plan(4096, 8000, 128, 4096), Plan(5120, 16_000, 4096)]),
        "waits": Case(random_lives(events, threads=THREADS), [Plan(4096, 27_000)], 1e-6),
    }
    rows, facts = [], {"events": events}
    for name, case in cases.items():
        ours, peer = [], []
        for _ in range(PAIRS):
            found = simulate(case.trace, case.plans, wait=case.wait)
            ours.append(found.seconds / events * 1e9)
            peer.append(loop_ns(case.trace))
        rows.append(_measure.of_pairs(name, ours, "the loop alone", peer))
        facts[name] = (
            f"{min(ours):.1f} ns an event, at most {LIMIT_NS:g}  {'ok' if min(ours) <= LIMIT_NS else 'MISSED'}; "
            f"{found.failures:,} refused, {found.waits:,} waits"
        )
    _measure.report("Simulated replays, ns an event", rows, facts)


if __name__ == "__main__":
    main()
