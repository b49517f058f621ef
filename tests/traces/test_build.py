"""Traces are built: frees are paired with allocations by key, and what cannot be right is refused."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given

from blockpool import TraceInvalid
from blockpool._extras import install_command
from blockpool.traces import ALLOCATE, FREE, Frame, build, check
from traces_made import EVENTS, STACKS, built, small


def test_events_are_paired_by_key_and_numbered_by_allocation():
    """A free has the id, size and stack of its allocation, whatever it says itself, and its own time and thread."""
    trace = build(
        time=[50, 60, 70],
        kind=[ALLOCATE, ALLOCATE, FREE],
        size=[10, 20, 999],
        key=[7, 8, 7],
        thread=[0, 0, 1],
        stack=[0, 1, 2],
        threads=["a", "b"],
        stacks=STACKS,
    )
    assert trace.time.tolist() == [0, 10, 20]
    assert trace.kind.tolist() == [ALLOCATE, ALLOCATE, FREE]
    assert trace.size.tolist() == [10, 20, 10]
    assert trace.id.tolist() == [0, 1, 0]
    assert trace.thread.tolist() == [0, 0, 1]
    assert trace.stack.tolist() == [0, 1, 0]
    assert trace.stacks[0][0] == Frame("decode", "/app/images.py", 12)
    assert (trace.timed, trace.unmatched, trace.lost, len(trace)) == (True, 0, 0, 3)


def test_a_free_without_an_allocation_is_left_out_and_counted():
    """Frees of what was allocated before the trace began, and second frees, are not in the trace."""
    trace = build(kind=[1, 0, 1, 1], size=[0, 5, 0, 0], key=[9, 9, 9, 9])
    assert trace.kind.tolist() == [0, 1]
    assert trace.unmatched == 2


def test_a_key_that_is_allocated_again_was_freed_right_before():
    """The free that nobody recorded is put in, at the time and by the thread of the second allocation."""
    trace = build(time=[0, 5, 9], kind=[0, 0, 1], size=[10, 20, 0], key=[1, 1, 1], thread=[0, 1, 0], threads=["a", "b"])
    assert trace.kind.tolist() == [0, 1, 0, 1]
    assert trace.id.tolist() == [0, 0, 1, 1]
    assert trace.size.tolist() == [10, 10, 20, 20]
    assert trace.time.tolist() == [0, 5, 5, 9]
    assert trace.thread.tolist() == [0, 1, 1, 0]


@given(EVENTS)
def test_pairs_are_those_of_a_dict(events):
    """The trace is the one that a plain loop with a dict of live allocations makes."""
    expected, live, unmatched = [], {}, 0
    for at, (is_free, size, key, thread, stack) in enumerate(events):
        if is_free and key not in live:
            unmatched += 1
            continue
        if key in live:
            number, held, caller = live.pop(key)
            expected.append((at * 1_000, FREE, held, number, thread, caller))
        if not is_free:
            live[key] = (sum(kind == ALLOCATE for _, kind, *_ in expected), size, stack)
            expected.append((at * 1_000, ALLOCATE, size, live[key][0], thread, stack))
    trace = built(events)
    columns = (trace.time, trace.kind, trace.size, trace.id, trace.thread, trace.stack)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected
    assert trace.unmatched == unmatched
    check(trace)


def test_a_trace_may_be_empty():
    """No events make a trace without events."""
    trace = build(kind=[], size=[], key=[], time=[])
    assert len(trace) == 0
    check(trace)


def test_sizes_may_be_nothing_and_nearly_2_to_the_63():
    """A size of 0 is legal, and so is the largest that fits."""
    trace = build(kind=[0, 0], size=[0, 2**63 - 1], key=[1, 2])
    assert trace.size.tolist() == [0, 2**63 - 1]


def test_keys_are_any_64_bits():
    """A negative key is another one than a positive, and the largest unsigned one is equal to -1."""
    assert build(kind=[0, 1], size=[1, 0], key=[-5, 5]).unmatched == 1
    assert build(kind=[0, 1], size=[1, 0], key=np.array([2**64 - 1, 2**64 - 1], np.uint64)).unmatched == 0


def test_without_times_events_are_numbered():
    """The trace says that its times were not measured."""
    trace = build(kind=[0, 1, 0], size=[1, 0, 1], key=[1, 2, 2])
    assert trace.time.tolist() == [0, 1]
    assert trace.timed is False


def test_times_may_be_a_second_late():
    """A time up to a second before an earlier one becomes that, and the order of the rows stays."""
    trace = build(kind=[0, 0, 0], size=[1, 2, 3], key=[1, 2, 3], time=[10**9, 2 * 10**9, 10**9 + 1])
    assert trace.time.tolist() == [0, 10**9, 10**9]


def test_columns_cannot_be_written_to_and_are_its_own():
    """Who holds the given arrays can neither change the trace through them nor write to its columns."""
    size = np.array([1, 2], np.int64)
    trace = build(kind=np.zeros(2, np.uint8), size=size, key=np.arange(2, dtype=np.uint64), time=np.arange(2))
    size[0] = 99
    assert trace.size.tolist() == [1, 2]
    for name in ("time", "kind", "size", "id", "thread", "stack"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(trace, name)[0] = 0


GOOD = {"kind": [0, 0, 1], "size": [1, 2, 3], "key": [1, 2, 1], "time": [0, 1, 2], "thread": [0, 0, 0]}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"size": [1, -2, 3]}, "row 1: size must be .* not -2"),
        ({"size": [1, 2**63, 3]}, f"row 1: size must be .* not {2**63}"),
        ({"size": [2**64, 2, 3]}, "row 0: size must be"),
        ({"size": np.array([1, 2**63, 3], np.uint64)}, "row 1: size must be"),
        ({"size": [1.5, 2, 3]}, "row 0: size .* not 1.5"),
        ({"size": [None, 2, 3]}, "row 0: size .* not None"),
        ({"size": ["1", "2", "3"]}, "size must hold whole numbers"),
        ({"size": [2**62, 2**62, 0], "kind": [0, 0, 0], "key": [1, 2, 3]}, "row 1: size .* live bytes to 2"),
        ({"time": [0, -1, 2]}, "row 1: time must be"),
        ({"time": [0, 2**63, 2]}, "row 1: time must be"),
        ({"time": [2 * 10**9, 10**9 - 1, 2 * 10**9]}, "row 1: time 999,999,999 is 1,000,000,001 ns before"),
        ({"time": [0, float("nan"), 2]}, "row 1: time .* not nan"),
        ({"time": np.array([0, 1, 2.5])}, "time must hold whole numbers, not float64"),
        ({"kind": [0, 2, 1]}, "row 1: kind must be .* from 0 to 1, not 2"),
        ({"kind": ["allocate", "free", "free"]}, "kind must hold whole numbers"),
        ({"thread": [0, 1, 0]}, "row 1: thread must be .* from 0 to 0, not 1"),
        ({"thread": [0, -1, 0]}, "row 1: thread"),
        ({"stack": [-1, 0, 0]}, "row 1: stack must be .* from -1 to -1, not 0"),
        ({"stack": [-2, -1, -1]}, "row 0: stack"),
        ({"key": [1.0, 2.0, 1.0]}, "row 0: key .* not 1.0"),
        ({"key": [1, 2**64, 1]}, "row 1: key must be"),
        ({"key": [1, 2]}, "column key has 2 rows, but kind has 3"),
        ({"time": []}, "column time has 0 rows"),
        ({"size": 7}, "size must be an array of one dimension, not of 0"),
        ({"size": [[1], [2], [3]]}, "one dimension, not of 2"),
        ({"size": [[1], [2, 3], [4]]}, "column size must be an array"),
        ({"threads": [1]}, "threads must be a tuple of str"),
        ({"stacks": [["decode"]]}, "stack 0 must be|a call in a stack"),
        ({"stacks": [[("decode", "a.py")]]}, r"a call in a stack is \(function, file, line\)"),
        ({"stacks": [[("decode", "a.py", "12")]]}, "stack 0 must be a tuple of Frame"),
        ({"source": None}, "source must be a str"),
        ({"lost": -1}, "lost must be a count"),
        ({"lost": 2**63}, "lost must be a count"),
    ],
)
def test_what_cannot_be_right_is_refused(bad, message):
    """The message names the column and, where there is one, the row and its value."""
    with pytest.raises(TraceInvalid, match=message):
        build(**GOOD | bad)


def test_sizes_of_frees_are_ignored():
    """What a log says of the size of a free, or of its stack, need not fit."""
    trace = build(kind=[0, 1], size=[5, -1], key=[1, 1], stack=[-1, 77])
    assert trace.size.tolist() == [5, 5]


def test_too_many_events_are_refused():
    """More events than can be numbered are refused before any memory is needed for them."""
    many = np.broadcast_to(np.uint8(0), (1 << 30,))
    tracemalloc.start()
    try:
        with pytest.raises(TraceInvalid, match="1,073,741,824 events are more than"):
            build(kind=many, size=many, key=many)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_missing_package_is_named():
    """Without pyarrow, the import says what to install."""
    program = "import sys; sys.modules['pyarrow'] = None; import blockpool.traces"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: blockpool.traces needs pyarrow" in run.stderr
    assert install_command("advise") in run.stderr


def test_importing_blockpool_imports_no_traces():
    """`import blockpool` stays quick: neither traces nor pyarrow come with it."""
    program = "import sys, blockpool; print([name for name in ('blockpool.traces', 'pyarrow') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_the_small_trace_has_everything():
    """What other tests take for granted of it."""
    trace = small()
    assert trace.kind.tolist() == [0, 0, 1, 1, 0, 0]
    assert trace.id.tolist() == [0, 1, 0, 1, 2, 3]
    assert (trace.unmatched, trace.lost) == (1, 3)
