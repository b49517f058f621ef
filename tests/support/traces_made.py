"""Traces for tests: a small one that has everything, any at all for Hypothesis, and whether two are the same."""

from dataclasses import fields

import numpy as np
from hypothesis import strategies as st

from blockpool.traces import ALLOCATE, FREE, build

STACKS = (
    (("decode", "/app/images.py", 12), ("main", "/app/run.py", 3)),
    (("Reader.read", "/app/files.py", 7), ("main", "/app/run.py", 4)),
    (),
)

# Events of few keys, so that many meet: (whether it is a free, size, key, thread, stack).
EVENTS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 1 << 40), st.integers(0, 5), st.integers(0, 1), st.integers(-1, 2))
)


def small():
    """Return a trace with two threads, three stacks, a free that was not recorded, and one without an allocation."""
    return build(
        time=[1_000, 2_000, 3_000, 4_000, 5_000, 6_000],
        kind=[ALLOCATE, ALLOCATE, FREE, FREE, ALLOCATE, ALLOCATE],
        size=[100, 200, 0, 0, 300, 0],
        key=[16, 32, 48, 16, 32, 64],
        thread=[0, 1, 0, 1, 0, 1],
        stack=[0, 1, -1, -1, 2, -1],
        threads=("main", "worker 1"),
        stacks=STACKS,
        source="a test",
        lost=3,
    )


def built(events):
    """Return the trace of these events, which are a microsecond apart."""
    kind, size, key, thread, stack = zip(*events, strict=True) if events else [()] * 5
    time = range(0, 1_000 * len(events), 1_000)
    return build(
        time=list(time), kind=kind, size=size, key=key, thread=thread, stack=stack, threads=("a", "b"), stacks=STACKS
    )


def assert_same(one, other):
    """Two traces have the same columns, of the same types, and the same names and counts."""
    for field in fields(one):
        first, second = getattr(one, field.name), getattr(other, field.name)
        if isinstance(first, np.ndarray):
            assert first.dtype == second.dtype, field.name
            assert first.tolist() == second.tolist(), field.name
        else:
            assert first == second, field.name
            assert type(first) is type(second), field.name
