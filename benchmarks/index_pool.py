"""What does an index cost, allocated and freed, from an IndexPool and from what people use instead?

- allocate_into: IndexPool fills an int32 array, free_many takes it back; it refuses double frees.
- deque: popleft n times into a list, extend.
- list: the last n of a list as a slice, del, extend.
- NumPy stack: an int32 array and how many of it are free; copies of its top.
- int: a Python int with a bit per free index; lowest bits taken one by one into a list, or'ed back.

Only IndexPool checks anything. After churn, half of the indices are allocated, at random places.
"""

from __future__ import annotations

import random
import statistics
import timeit
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import _measure
import numpy as np

import blockpool

CAPACITY = 100_000
LIMIT_NS = 5.0  # an index, where two uncontended locked instructions take 10 ns
LIMIT_BITS = 2.25


class Deque:
    """A deque of the free indices."""

    def __init__(self, free: list[int]) -> None:
        self.free = deque(free)

    def both(self, n: int) -> None:
        """Allocate n, and free them."""
        popleft = self.free.popleft
        self.free.extend([popleft() for _ in range(n)])


class List:
    """A list of the free indices, used at its end."""

    def __init__(self, free: list[int]) -> None:
        self.free = free[::-1]

    def both(self, n: int) -> None:
        """Allocate n, and free them."""
        free = self.free
        got = free[-n:]
        del free[-n:]
        free.extend(got)


class Stack:
    """An int32 array of the free indices, used at its end."""

    def __init__(self, free: list[int]) -> None:
        self.free = np.zeros(CAPACITY, np.int32)
        self.top = len(free)
        self.free[: self.top] = free[::-1]

    def both(self, n: int) -> None:
        """Allocate n, and free them."""
        self.top -= n
        got = self.free[self.top : self.top + n].copy()
        self.free[self.top : self.top + n] = got
        self.top += n


class Bits:
    """One int with a bit per free index."""

    def __init__(self, free: list[int]) -> None:
        self.free = int.from_bytes(np.packbits(np.isin(range(CAPACITY), free), bitorder="little"), "little")

    def both(self, n: int) -> None:
        """Allocate n, and free them."""
        free, got = self.free, []
        for _ in range(n):
            lowest = free & -free
            free ^= lowest
            got.append(lowest.bit_length() - 1)
        for index in got:
            free |= 1 << index
        self.free = free


class Pool:
    """An IndexPool and an array to fill."""

    def __init__(self, free: list[int]) -> None:
        self.ids = blockpool.IndexPool(CAPACITY)
        self.ids.allocate_many(CAPACITY)
        self.ids.free_many(free)
        self.arrays = {n: np.empty(n, np.int32) for n in (1, 16, 256)}

    def statement(self, n: int) -> tuple[str, dict[str, Any]]:
        """Return what timeit runs, and the names in it."""
        names = {"into": self.ids.allocate_into, "free": self.ids.free_many, "a": self.arrays[n]}
        return "into(a); free(a)", names


PEERS: dict[str, Any] = {"deque": Deque, "list": List, "NumPy stack": Stack, "int": Bits}


def free_indices(churned: bool) -> list[int]:  # noqa: FBT001
    """Return what is free: all, in order; or half of all at random, in the order of their frees."""
    if not churned:
        return list(range(CAPACITY))
    return random.Random(1).sample(range(CAPACITY), CAPACITY // 2)


def per_index(row: _measure.Comparison, n: int) -> _measure.Comparison:
    """Return the line with its times divided by n."""
    return replace(row, ours_ns=row.ours_ns / n, peer_ns=row.peer_ns / n)


def runs(indices: Any) -> int:
    """Return how many runs of adjacent indices they are."""
    return 1 + int(np.count_nonzero(np.diff(np.sort(indices)) != 1))


def runs_after_churn(n: int = 256) -> dict[str, float]:
    """Return how many runs n indices form after churn, as the average of the first ten times."""
    free = free_indices(churned=True)
    queue = deque(free)
    found: dict[str, list[int]] = {"deque": [], "plain": [], "packed": []}
    for name, packed in (("plain", False), ("packed", True)):
        ids = Pool(free).ids
        for _ in range(10):
            found[name].append(runs(ids.allocate_many(n, packed=packed)))
    for _ in range(10):
        found["deque"].append(runs([queue.popleft() for _ in range(n)]))
    return {name: statistics.fmean(numbers) for name, numbers in found.items()}


def private_kib() -> int:
    """Return this process's private memory in KiB."""
    return sum(
        int(line.split()[1])
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines()
        if line.startswith("Private_")
    )


def bits_an_index(capacity: int) -> float:
    """Return how many bits an index takes, as the kernel counts them."""
    before = private_kib()
    ids = blockpool.IndexPool(capacity)
    ids.allocate_run(capacity)
    return (private_kib() - before) * 1024 * 8 / capacity


def against_locked() -> list[str]:
    """Return the requirement in words: what an index takes, and the limit on this machine at that moment."""
    locked = _measure.locked_pair()
    said = []
    for churned in (False, True):
        statement, names = Pool(free_indices(churned)).statement(256)
        timer = timeit.Timer(statement, globals=names)
        ours, pairs = [], []
        for _ in range(_measure.PAIRS):
            pairs.append(locked(10**6))  # as long as ours: a machine's speed may halve from one moment to the next
            ours.append(timer.timeit(5000) / 5000 / 256 * 1e9)
        limits = [LIMIT_NS * pair / 10 for pair in pairs]
        ratio = statistics.median(ns / limit for ns, limit in zip(ours, limits, strict=True))
        said.append(
            f"{statistics.median(ours):.2f} ns an index [{min(ours):.2f}, {max(ours):.2f}]; two locked instructions "
            f"{statistics.median(pairs):.1f} ns, so at most {statistics.median(limits):.2f} ns  "
            + ("ok" if ratio <= 1 else "MISSED")
        )
    return said


def main() -> None:
    """Measure, and print."""
    blockpool.IndexPool(10**6).allocate_run(1000)  # pay for what only the first pool needs
    bits = bits_an_index(10**8)
    rows = []
    for churned in (False, True):
        free = free_indices(churned)
        for n in (1, 16, 256):
            ours, names = Pool(free).statement(n)
            for name, kind in PEERS.items():
                both = kind(free).both
                rows.append(
                    per_index(
                        _measure.compare(
                            f"allocate_into({n}), free_many{', churned' if churned else ''}",
                            ours,
                            "both(n)",
                            names | {"both": both, "n": n},
                            peer_name=name,
                        ),
                        n,
                    )
                )
    empty, churned_too = against_locked()
    found = runs_after_churn()
    _measure.report(
        "IndexPool, nanoseconds an index",
        rows,
        {
            "allocate_into(256) int32 and free_many, empty": empty,
            "allocate_into(256) int32 and free_many, churned": churned_too,
            "runs in 256 indices, churned": ", ".join(f"{name} {count:.1f}" for name, count in found.items()),
            "memory, bits an index, 10⁸ indices": f"{bits:.3f}  at most {LIMIT_BITS:g}  "
            + ("ok" if bits <= LIMIT_BITS else "MISSED"),
        },
    )


if __name__ == "__main__":
    main()
