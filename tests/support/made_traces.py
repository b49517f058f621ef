"""Traces made for tests of the advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from blockpool.traces import Trace, build

if TYPE_CHECKING:
    from collections.abc import Sequence


def of_steps(steps: Sequence[int], **others: object) -> Trace:
    """Return a trace: a positive number allocates so many bytes, -n frees allocation n - 1; there are no times."""
    sizes = [step for step in steps if step > 0]
    made = 0
    kind, size, key = [], [], []
    for step in steps:
        kind.append(int(step < 0))
        size.append(step if step > 0 else sizes[-step - 1])
        key.append(made if step > 0 else -step - 1)
        made += step > 0
    return build(kind=kind, size=size, key=key, **others)


def of_lives(
    sizes: Sequence[int], lives: Sequence[int], *, spacing: int = 1000, threads: int = 1, **others: object
) -> Trace:
    """Return a trace that allocates at each multiple of `spacing` ns and frees after so many more allocations.

    A life of -1 lasts until the trace ends. Allocation i is made, and freed, by thread i modulo `threads`.
    """
    count = len(sizes)
    size, life = np.array(sizes, np.int64), np.array(lives, np.int64)
    freed = np.flatnonzero(life >= 0)
    # In half steps: a free comes half a step after the allocation that it waits for.
    when = np.concatenate([np.arange(count) * 2, (freed + life[freed]) * 2 + 1])
    which = np.concatenate([np.arange(count), freed])
    order = np.argsort(when, kind="stable")
    of = which[order]
    return build(
        kind=(order >= count).astype(np.uint8),
        size=size[of],
        key=of,
        time=when[order] * (spacing // 2),
        thread=of % threads,
        threads=[f"thread {i}" for i in range(threads)],
        **others,
    )


def frames(count: int = 400, live: int = 4, size: int = 6_220_800, **others: object) -> Trace:
    """Return a trace of equal requests; `live` of them are live at a time."""
    return of_lives([size] * count, [live - 1] * count, **others)


def mixed(count: int = 2000, seed: int = 1, **others: object) -> Trace:
    """Return a trace of requests of a few sizes that differ a lot, with random lives."""
    random = np.random.default_rng(seed)
    sizes = random.choice([1024, 4096, 602_112, 38_535_168], count, p=[0.1, 0.3, 0.5, 0.1])
    return of_lives(sizes, random.integers(0, 64, count), **others)


def spread(count: int = 2000, seed: int = 1, **others: object) -> Trace:
    """Return a trace of requests whose sizes spread over many orders of magnitude."""
    random = np.random.default_rng(seed)
    sizes = np.exp(random.normal(11, 1.5, count)).astype(np.int64) + 1
    return of_lives(sizes, random.exponential(100, count).astype(np.int64), **others)
