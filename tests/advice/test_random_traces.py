"""Advice on random traces, and whether it comes true."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from blockpool.advice import advise
from blockpool.replay import simulate
from made_traces import of_lives

SIZES = st.one_of(
    st.integers(0, 300), st.sampled_from([64, 4096, 100_000]), st.integers(0, 2**21), st.sampled_from([2**34, 2**40])
)
LIVES = st.one_of(st.integers(0, 5), st.integers(0, 60), st.just(-1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(SIZES, LIVES), min_size=1, max_size=80), st.integers(1, 4), st.integers(1, 3))
def test_what_is_recommended_works_and_nothing_wastes_less(calls: list[tuple[int, int]], threads: int, pools: int):
    """For any trace, the candidates refuse nothing and have the peaks they say, and the first wastes least."""
    trace = of_lives([size for size, _ in calls], [life for _, life in calls], threads=threads)
    advice = advise(trace, measure=False, pools=pools)
    best = advice.recommended
    if best is None:
        assert advice.outline.peak_bytes > 2**45  # so a pool for it may have more than 2**46, the most that is advised
        return
    peak = int(np.cumsum(np.where(trace.kind == 0, trace.size, -trace.size)).max())
    assert advice.outline.peak_bytes == peak
    for candidate in advice.candidates:
        replayed = simulate(trace, candidate.plans)
        assert replayed.failures == 0
        assert replayed.allocations == len(calls)
        assert replayed.peak_blocks == candidate.peak_blocks
        assert candidate.waste == replayed.bytes - peak >= best.waste
        assert 1 <= len(candidate.plans) <= pools
