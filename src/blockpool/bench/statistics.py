"""The median of ratios, an interval for it, and the verdict: what two contenders that took turns come to.

The interval rests on nothing but the order of the ratios: a value is below the true median with chance one half, so
how many of n are is binomial, and the k-th smallest and the k-th largest have the median between them with a chance
that can be counted out. No assumption is made of how times are distributed, which is never as one would like it.
"""

from __future__ import annotations

import statistics
from math import comb
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["CONFIDENCE", "Median", "median_of", "percentile", "verdict_of"]

CONFIDENCE = 0.95


class Median(NamedTuple):
    """A median, the ends of an interval for the true one, and the chance that it is in there."""

    value: float
    low: float
    high: float
    coverage: float


def median_of(values: Sequence[float]) -> Median:
    """Return the median of some values, with the narrowest interval of order statistics that covers 95 %.

    Of fewer than six values, the least and the greatest: no interval covers 95 % then, and `coverage` says how much.
    """
    ordered = sorted(values)
    n = len(ordered)
    outside = 0.0  # the chance that the median is below the k-th smallest
    k = 0
    while k < n // 2:
        more = outside + comb(n, k) / 2**n
        if k and 1 - 2 * more < CONFIDENCE:
            break
        outside = more
        k += 1
    k = max(k, 1)
    coverage = 0.0 if n == 1 else 1 - 2 * outside
    return Median(statistics.median(ordered), ordered[k - 1], ordered[n - k], coverage)


def verdict_of(median: Median) -> Literal["won", "lost", "even"]:
    """Say whether the ratio of ours to a peer's is below 1, above it, or cannot be told from 1."""
    if median.high < 1:
        return "won"
    return "lost" if median.low > 1 else "even"


def percentile(counts: Mapping[int, int], percent: float) -> float:
    """Return the value that so many percent of the counted ones do not exceed."""
    left = sum(counts.values()) * percent / 100
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return float(value)
    return float(max(counts))
