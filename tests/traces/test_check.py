"""A trace that someone made by hand is checked: each promise of its form is broken once."""

from dataclasses import replace

import numpy as np
import pytest

from blockpool import TraceInvalid
from blockpool.traces import Frame, Trace, build, check
from traces_made import small


def changed(name, row, value):
    """Return the small trace with another value in one row."""
    column = getattr(small(), name).copy()
    column[row] = value
    column.flags.writeable = False
    return replace(small(), **{name: column})


def test_a_good_trace_passes():
    """What `build` makes is right."""
    check(small())


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("time", 0, -1, "row 0: time -1 is negative"),
        ("time", 2, 0, "row 2: time 0 is before that of the row above"),
        ("kind", 1, 2, "row 1: kind 2 is neither"),
        ("kind", 0, 1, "row 0: id 0 is freed without an allocation"),
        ("size", 0, -100, "row 0: size -100 is negative"),
        ("size", 2, 101, "row 2: size 101 is not that of the allocation"),
        ("size", 5, 2**63 - 1, "row 5: size .* brings the live bytes to 2"),
        ("id", 0, 1, "row 0: id 1 of an allocation is not the next number"),
        ("id", 4, 1, "row 4: id 1 of an allocation is not the next number"),
        ("id", 2, 2, "row 2: id 2 is freed without an allocation before it"),
        ("id", 2, -1, "row 2: id -1 is freed without"),
        ("id", 3, 0, "row 3: id 0 is freed twice"),
        ("thread", 3, 2, "row 3: thread 2 is not one of"),
        ("thread", 3, -1, "row 3: thread -1 is not one of"),
        ("stack", 0, 3, "row 0: stack 3 is neither"),
        ("stack", 0, -2, "row 0: stack -2 is neither"),
        ("stack", 2, 2, "row 2: stack 2 is not that of the allocation"),
    ],
)
def test_a_wrong_value_is_named(name, row, value, message):
    """The message has the row, the column and the value."""
    with pytest.raises(TraceInvalid, match=message):
        check(changed(name, row, value))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"time": [0] * 6}, "column time must be a one-dimensional array of int64, not list"),
        ({"size": np.zeros(6, np.int32)}, "column size must be .* not int32"),
        ({"id": np.zeros((6, 1), np.int32)}, r"column id must be .* shape \(6, 1\)"),
        ({"kind": np.zeros(5, np.uint8)}, "column kind has 5 rows, but time has 6"),
        ({"thread": np.zeros(6, np.int32)}, "column thread must be contiguous, and must not be writable"),
        ({"thread": np.broadcast_to(np.int32(0), 6)}, "column thread must be contiguous"),
        ({"threads": ["main", "worker 1"]}, "threads must be a tuple"),
        ({"stacks": [()]}, "stacks must be a tuple"),
        ({"stacks": ((), (("f", "a.py", 1),), ())}, "stack 1 must be a tuple of Frame"),
        ({"stacks": ((), (Frame("f", "a.py", 1.0),), ())}, "stack 1 must be a tuple of Frame"),
        ({"timed": 1}, "timed a bool"),
        ({"unmatched": True}, "unmatched must be a count"),
        ({"lost": 2**63}, "lost must be a count"),
    ],
)
def test_a_wrong_form_is_named(bad, message):
    """Columns have their types, lengths and layout, and names are text."""
    with pytest.raises(TraceInvalid, match=message):
        check(replace(small(), **bad))


def test_something_else_is_no_trace():
    """A call with a path is told what is needed."""
    with pytest.raises(TypeError, match="a Trace is needed, not str"):
        check("trace.parquet")


ROWS = (1 << 18) * 2 + 10  # more than are looked at in one go


def long_trace(**other):
    """Return a long trace: pairs of an allocation and its free, a nanosecond apart."""
    numbers = np.arange(ROWS)
    trace = build(kind=numbers % 2, size=np.full(ROWS, 8), key=np.zeros(ROWS, np.uint64), time=numbers)
    for name, changes in other.items():
        column = getattr(trace, name).copy()
        for row, value in changes.items():
            column[row] = value
        column.flags.writeable = False
        trace = replace(trace, **{name: column})
    return trace


EDGE = 1 << 18


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, None),
        ({"time": {EDGE: 5}}, f"row {EDGE:,}: time 5 is before"),
        ({"id": {EDGE: 0}}, f"row {EDGE:,}: id 0 of an allocation"),
        ({"id": {EDGE + 1: EDGE // 2 - 1}}, f"row {EDGE + 1:,}: id {EDGE // 2 - 1:,} is freed twice"),
        ({"id": {EDGE + 1: EDGE}}, f"row {EDGE + 1:,}: id {EDGE:,} is freed without"),
        ({"size": {2 * EDGE + 1: 9}}, f"row {2 * EDGE + 1:,}: size 9 is not that"),
        ({"size": {EDGE - 2: 2**63 - 1, EDGE - 1: 2**63 - 1}}, None),
    ],
)
def test_long_traces_are_checked_across_parts(other, message):
    """A fault between two parts that are looked at one after the other is found, and none is made up."""
    trace = long_trace(**other)
    if message is None:
        check(trace)
    else:
        with pytest.raises(TraceInvalid, match=message):
            check(trace)


def test_live_bytes_add_up_across_parts():
    """What lived when a part ended counts in the next."""
    kind = np.zeros(EDGE + 1, np.uint8)
    size = np.zeros(EDGE + 1, np.int64)
    size[0] = size[-1] = 2**62
    with pytest.raises(TraceInvalid, match=f"row {EDGE:,}: size .* live bytes"):
        build(kind=kind, size=size, key=np.arange(EDGE + 1))


def test_the_form_holds_no_more_than_its_columns():
    """A Trace is made of the columns that `check` knows, and of names and counts."""
    columns = {"time", "kind", "size", "id", "thread", "stack"}
    assert set(Trace.__slots__) - columns == {"threads", "stacks", "source", "timed", "unmatched", "lost"}
