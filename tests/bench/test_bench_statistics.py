"""Medians, their intervals, verdicts and percentiles, of numbers that are made up."""

import random

import pytest

from blockpool.bench.questions import tails
from blockpool.bench.statistics import Median, median_of, percentile, verdict_of


@pytest.mark.parametrize(("n", "k", "coverage"), [(6, 1, 0.969), (9, 2, 0.961), (21, 6, 0.973), (15, 4, 0.965)])
def test_the_interval_is_that_of_order_statistics(n, k, coverage):
    """It is the narrowest that covers 95 %: from the k-th smallest to the k-th largest, as tables have it."""
    values = list(range(1, n + 1))
    random.Random(n).shuffle(values)
    found = median_of(values)
    assert (found.low, found.high) == (k, n + 1 - k)
    assert found.coverage == pytest.approx(coverage, abs=0.001)
    assert found.value == (n + 1) / 2


@pytest.mark.parametrize(
    ("values", "coverage"), [([3], 0), ([3, 1], 0.5), ([3, 1, 2], 0.75), ([1, 5, 2, 4, 3], 0.9375)]
)
def test_few_values_say_how_little_they_cover(values, coverage):
    """Of fewer than six values it is the least and the greatest, with what that covers."""
    found = median_of(values)
    assert (found.low, found.high, found.coverage) == (min(values), max(values), coverage)


def test_the_interval_covers_what_it_says():
    """Of many samples, the true median is in the interval of at least 95 %."""
    chance = random.Random(1)
    inside = 0
    for _ in range(1000):
        found = median_of([chance.expovariate(1) for _ in range(21)])
        inside += found.low <= 0.6931 <= found.high
    assert inside >= 950


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.5, 0.99, "won"), (1.01, 2, "lost"), (0.9, 1.1, "even"), (1.0, 1.5, "even"), (0.5, 1.0, "even")],
)
def test_a_verdict_needs_the_whole_interval(low, high, verdict):
    """A line is won or lost only if all of the interval is on one side of 1."""
    assert verdict_of(Median(1.0, low, high, 0.97)) == verdict


def test_percentiles_of_counts():
    """A percentile is a value that was seen, which so many do not exceed."""
    counts = {10: 90, 100: 9, 1000: 1}
    assert [percentile(counts, each) for each in (0, 50, 90, 91, 99, 99.9, 100)] == [10, 10, 10, 100, 100, 1000, 1000]


def test_tails_are_grouped_as_far_as_they_reach():
    """Frequent delays give eleven pairs, rare ones fewer, and those that were never seen none."""
    turns = [tails.Counter({1000: 990, 5000: 10}) for _ in range(22)]
    found = tails.compared(turns, turns)
    assert [len(pairs) for _, pairs in found.values()] == [11, 11, 11, 2]
    assert list(found) == ["p50", "p90", "p99", "p99.9"]
    assert found["p50"] == (50, [(1000, 1000)] * 11)
    assert found["p99.9"][1][0] == (5000, 5000)
