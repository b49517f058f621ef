"""How many blocks a trace needs, found out with the code of real pools.

Without fragmentation the most blocks allocated at a time would do. Where requests take runs of blocks, a pool with so
many may have no run that is long enough. How many more it needs depends on where everything lies, so it is found by
simulation: upwards in growing steps until nothing is refused, then by halves. A simulation ends with the first refusal,
so those that fail are short. The pools of a split have nothing in common, so each is simulated alone, and serves
several splits.

Simulations may take a certain time. When it is over, what was found stays exact; there are only fewer candidates, and
in long traces the last of them has a few more blocks than it needs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from blockpool.advice.choices import allowed
from blockpool.advice.columns import blocks_for, need
from blockpool.advice.results import Candidate
from blockpool.replay.arguments import columns_of
from blockpool.replay.results import Plan
from blockpool.replay.simulation import STEP, begin

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from blockpool.advice.choices import Range
    from blockpool.advice.columns import Columns
    from blockpool.advice.outline import Sizes
    from blockpool.traces import Trace

__all__ = ["Search"]

_CLOSELY = 100_000  # events; in longer traces, the first search is content with a 32nd of the blocks too many
_COARSE = 32
_FASTER = 2
_MOST_STEPS = 16


@dataclass(slots=True)
class _Fit:
    """How many blocks a pool needs: `enough` is, `few` is not. `counts` tells what happened in a pool with enough."""

    few: int
    enough: int
    counts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Search:
    """Finds the numbers of blocks for pools that serve a trace.

    Attributes
    ----------
    trace : Trace
        What is simulated.
    columns : Columns
        Its events.
    sizes : Sizes
        The sizes of its requests.
    at_peak : ndarray of int64
        The sizes of what is live when most bytes are.
    until : float
        When simulations begin no more, in seconds of this process's processor time.
    """

    trace: Trace
    columns: Columns
    sizes: Sizes
    at_peak: NDArray[np.int64]
    until: float
    _fits: dict[Range, _Fit | None] = field(default_factory=dict)
    _elsewhere: dict[tuple[int, int], NDArray[np.int64]] = field(default_factory=dict)

    def candidate(self, ranges: tuple[Range, ...]) -> Candidate | None:
        """Return the pools with as many blocks as they need.

        None if the time is over, or the block size is no choice.
        """
        for pool in ranges:
            if pool not in self._fits:
                self._fits[pool] = self._fit(pool)
        return self._candidate(ranges)

    def refined(self, ranges: tuple[Range, ...], until: float) -> Candidate | None:
        """Return the same with the numbers of blocks found exactly, unless that takes longer than `until`."""
        self.until = until
        for pool in ranges:
            fit = self._fits[pool]
            if fit:
                self._halve(pool, fit, 1)
        return self._candidate(ranges)

    def _fit(self, pool: Range) -> _Fit | None:
        """Find how many blocks a pool needs for its range of sizes."""
        bound = need(self.columns.within(pool.above, pool.up_to), pool.block_size).blocks
        if not allowed(pool.block_size, bound, self.sizes.within(pool.above, pool.up_to).mean):
            return None
        fit, step = _Fit(bound - 1, bound), max(bound // _COARSE, 1)
        for _ in range(_MOST_STEPS):
            counts = self._served(pool, fit.enough)
            if counts:
                fit.counts = counts
                closely = len(self.trace) <= _CLOSELY
                self._halve(pool, fit, 1 if closely else max(bound // _COARSE, 1))
                return fit
            if time.process_time() > self.until:
                return None
            fit.few, fit.enough, step = fit.enough, fit.enough + step, step * _FASTER
        return None

    def _halve(self, pool: Range, fit: _Fit, close: int) -> None:
        """Bring `few` and `enough` together, until they differ by `close` blocks or the time is over."""
        while fit.enough - fit.few > close and time.process_time() < self.until:
            middle = (fit.few + fit.enough) // 2
            counts = self._served(pool, middle)
            if counts:
                fit.enough, fit.counts = middle, counts
            else:
                fit.few = middle

    def _served(self, pool: Range, blocks: int) -> dict[str, Any] | None:
        """Simulate a pool, and return what happened; None as soon as it refuses a request."""
        elsewhere = self._requests_elsewhere(pool)
        plan = Plan(pool.block_size, blocks, pool.above, pool.up_to)
        replaying = begin(columns_of(self.trace), len(self.trace.threads), (plan,))
        for others in elsewhere:
            replaying.go_on(STEP)
            counts: dict[str, Any] = replaying.counts()
            if counts["failures"] > others:
                return None
        return counts

    def _requests_elsewhere(self, pool: Range) -> NDArray[np.int64]:
        """Return how many requests are not for the pool, up to the end of each step of a replay."""
        key = pool.above, pool.up_to
        if key not in self._elsewhere:
            found = []
            for start in range(0, len(self.trace), STEP):
                size = self.columns.size[start : start + STEP]
                outside = ((size <= pool.above) | (size > pool.up_to)) & (self.columns.sign[start : start + STEP] > 0)
                found.append(np.count_nonzero(outside))
            self._elsewhere[key] = np.cumsum(found, dtype=np.int64)
        return self._elsewhere[key]

    def _candidate(self, ranges: tuple[Range, ...]) -> Candidate | None:
        """Put the pools together."""
        fits = [fit for fit in (self._fits[pool] for pool in ranges) if fit]
        if len(fits) < len(ranges):
            return None
        plans = plans_of(ranges, [fit.enough for fit in fits])
        peaks, runs = (tuple(fit.counts[name][0] for fit in fits) for name in ("peak_blocks", "longest_run"))
        used = [self._used_at_peak(plan) for plan in plans]
        asked = int(self.at_peak.sum())
        total = sum(fit.counts["bytes"] for fit in fits)
        seconds = sum(fit.counts["seconds"] for fit in fits)
        return Candidate(
            plans=plans,
            peak_blocks=peaks,
            longest_run=runs,
            refusals=0,
            bytes=total,
            metadata=total - sum(plan.block_size * plan.blocks for plan in plans),
            inner=sum(blocks * plan.block_size for blocks, plan in zip(used, plans, strict=True)) - asked,
            outer=sum((plan.blocks - blocks) * plan.block_size for blocks, plan in zip(used, plans, strict=True)),
            waste=total - asked,
            nanoseconds=seconds * 1e9 / self.sizes.requests,
        )

    def _used_at_peak(self, plan: Plan) -> int:
        """Return how many blocks of a pool are allocated when most bytes are live."""
        size = np.maximum(self.at_peak, 1)  # a request of 0 bytes takes a block too
        size = size[size > plan.above]
        size = size if plan.up_to is None else size[size <= plan.up_to]
        return int(blocks_for(size, plan.block_size).sum())


def plans_of(ranges: tuple[Range, ...], blocks: list[int]) -> tuple[Plan, ...]:
    """Return the pools as plans; the last one takes all sizes that are larger than those of the others."""
    return tuple(
        Plan(pool.block_size, count, pool.above, None if pool is ranges[-1] else pool.up_to)
        for pool, count in zip(ranges, blocks, strict=True)
    )
