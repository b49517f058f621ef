"""Parts of a trace, its live bytes and its peak."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockpool.traces import ALLOCATE, build, check, live, peak, select
from traces_made import EVENTS, assert_same, built, small


@given(EVENTS)
def test_live_bytes_are_those_of_a_loop(events):
    """What is live after each event is what a plain loop adds up, and the peak is the most of it."""
    trace = built(events)
    sums, now = [], 0
    for kind, size in zip(trace.kind.tolist(), trace.size.tolist(), strict=True):
        now += size if kind == ALLOCATE else -size
        sums.append(now)
    assert live(trace).tolist() == sums
    assert live(trace).dtype == np.int64
    assert peak(trace) == max(sums, default=0)
    assert type(peak(trace)) is int


def test_the_peak_of_nothing_is_0():
    """An empty trace has no live bytes."""
    assert peak(build(kind=[], size=[], key=[])) == 0


@given(EVENTS, st.sampled_from(["decode", "run.py:4", "nothing"]), st.integers(0, 1 << 40), st.sampled_from("ab"))
def test_selected_events_are_those_of_a_loop(events, stack, high, thread):
    """An allocation stays with its free if it fits all that is given; the ids are numbered again."""
    trace = built(events)
    part = select(trace, stack=stack, sizes=(0, high), thread=thread)
    check(part)
    rows = list(range(len(trace)))
    first = {number: row for row, number in reversed(list(enumerate(trace.id.tolist())))}
    fits = {
        number
        for number, row in first.items()
        if trace.size[row] <= high
        and trace.threads[trace.thread[row]] == thread
        and trace.stack[row] >= 0
        and any(
            stack in each.function or stack in f"{each.file}:{each.line}" for each in trace.stacks[trace.stack[row]]
        )
    }
    kept = [row for row in rows if trace.id[row] in fits]
    for name in ("time", "kind", "size", "thread", "stack"):
        assert getattr(part, name).tolist() == getattr(trace, name)[kept].tolist()
    numbers = {number: at for at, number in enumerate(sorted(fits))}
    assert part.id.tolist() == [numbers[number] for number in trace.id[kept].tolist()]


def test_without_conditions_all_stays():
    """The part is then the whole."""
    assert_same(select(small()), small())


@pytest.mark.parametrize(
    ("stack", "sizes"),
    [
        ("decode", [100]),
        ("Reader.read", [200]),
        ("read", [200]),
        ("main", [100, 200]),
        ("/app/run.py:3", [100]),
        ("images", [100]),
        ("DECODE", []),
        ("run.py:4", [200]),
        (re.compile("DECODE", re.IGNORECASE), [100]),
        (re.compile(r"^read$"), []),
        (re.compile(r"\bread$"), [200]),
        (re.compile(r"run\.py:[34]$"), [100, 200]),
    ],
)
def test_a_stack_has_the_text_in_a_function_or_place(stack, sizes):
    """Texts are searched as they are, expressions as expressions, in each call."""
    part = select(small(), stack=stack)
    assert part.size[part.kind == ALLOCATE].tolist() == sizes
    check(part)


def test_sizes_are_from_the_smallest_to_the_largest():
    """Both ends belong to it."""
    assert set(select(small(), sizes=(100, 200)).size.tolist()) == {100, 200}
    assert set(select(small(), sizes=(0, 0)).size.tolist()) == {0}
    assert len(select(small(), sizes=(1, 99))) == 0
    assert set(select(small(), sizes=(300, 2**64)).size.tolist()) == {300}
    assert set(select(small(), sizes=(200, None)).size.tolist()) == {200, 300}
    assert len(select(small(), sizes=(301, None))) == 0


def test_a_thread_is_the_one_that_allocated():
    """Frees go with their allocation, whichever thread called them."""
    part = select(small(), thread="worker")
    assert part.size.tolist() == [200, 200, 0]
    assert [part.threads[each] for each in part.thread] == ["worker 1", "main", "worker 1"]
    part = select(small(), thread=re.compile("^main$"))
    assert [part.threads[each] for each in part.thread] == ["main", "worker 1", "main"]


def test_a_part_is_as_read_only_as_the_whole():
    """Its columns cannot be written to, and the whole is as it was."""
    whole = small()
    part = select(whole, stack="decode")
    with pytest.raises(ValueError, match="read-only"):
        part.size[0] = 1
    assert_same(whole, small())
    assert (part.unmatched, part.lost, part.source) == (whole.unmatched, whole.lost, whole.source)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"stack": 5}, TypeError, "stack must be a str or a compiled expression"),
        ({"stack": b"decode"}, TypeError, "stack must be"),
        ({"stack": re.compile(b"decode")}, TypeError, "stack must be"),
        ({"stack": ""}, ValueError, "stack is an empty text"),
        ({"thread": 0}, TypeError, "thread must be"),
        ({"thread": ""}, ValueError, "thread is an empty text"),
        ({"sizes": 5}, TypeError, "sizes must be two integers"),
        ({"sizes": (1, 2, 3)}, TypeError, "sizes must be two integers"),
        ({"sizes": (1.0, 2)}, TypeError, "sizes must be two integers"),
        ({"sizes": "12"}, TypeError, "sizes must be two integers"),
        ({"sizes": (2, 1)}, ValueError, "sizes must be from a smallest"),
        ({"sizes": (-1, 1)}, ValueError, "neither of them negative"),
        ({"sizes": (-1, None)}, ValueError, "neither of them negative"),
        ({"sizes": (None, 1)}, TypeError, "sizes must be two integers"),
    ],
)
def test_conditions_of_another_kind_are_refused(bad, error, message):
    """The message says what can be given."""
    with pytest.raises(error, match=message):
        select(small(), **bad)
