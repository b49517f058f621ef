"""Simulated replays: the same as real pools that are driven event by event, and what is counted."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blockpool as bp
import replays
from blockpool._core import begin_replay
from blockpool.replay import Plan, simulate
from blockpool.replay.arguments import columns_of
from blockpool.traces.form import ALLOCATE, FREE
from replays import drive, own_number, random_events, trace_of


def in_own_thread(events):
    """Return the events with the thread whose place in a pool is that of this thread."""
    number = own_number()
    return [(*event[:3], number, event[4]) for event in events]


@given(
    seed=st.integers(0, 2**32),
    block_size=st.sampled_from([8, 16, 64, 256]),
    blocks=st.sampled_from([1, 7, 63, 64, 65, 100, 511, 512, 513, 700, 1300, 9000]),
    frees=st.sampled_from([0.2, 0.45, 0.5, 0.6]),
)
def test_it_is_what_a_real_pool_does(seed, block_size, blocks, frees):
    """Refusals, peaks and allocations are those of a real pool, full pools and runs across words included."""
    events = random_events(seed, largest=block_size * 90, frees=frees)
    plans = [Plan(block_size, blocks)]
    driven = drive(events, plans)
    found = simulate(trace_of(in_own_thread(events), threads=16), plans)
    assert (found.allocations, found.failures) == (driven.allocations, driven.failures)
    assert (found.peak_bytes, list(found.peak_blocks)) == (driven.peak_bytes, driven.peak_blocks)
    assert found.complete
    assert found.events == len(events)


@given(seed=st.integers(0, 2**32), blocks=st.lists(st.sampled_from([3, 64, 200, 600]), min_size=3, max_size=3))
def test_pools_for_different_sizes_are_what_real_ones_do(seed, blocks):
    """Each request goes to the pool for its size, and is refused there, or because there is no pool for it."""
    events = random_events(seed, largest=6000)
    plans = [Plan(64, blocks[0], 0, 64), Plan(512, blocks[1], 1000, 4000), Plan(128, blocks[2], 64, 1000)]
    driven = drive(events, plans)
    found = simulate(trace_of(in_own_thread(events), threads=16), plans)
    assert (found.allocations, found.failures) == (driven.allocations, driven.failures)
    assert (found.peak_bytes, list(found.peak_blocks)) == (driven.peak_bytes, driven.peak_blocks)


def test_which_requests_are_refused_is_what_a_real_pool_does():
    """Not only as many requests are refused as by a real pool, but the same: the trace's prefixes agree one by one."""
    events = random_events(5, largest=64 * 40, frees=0.45)
    plans = [Plan(64, 300)]
    refused = drive(events, plans).refused
    assert len(refused) > 5
    placed = in_own_thread(events)
    counts = [simulate(trace_of(placed[:length], threads=16), plans).failures for length in range(1, len(events) + 1)]
    expected, so_far = [], 0
    for kind, number, *_ in events:
        so_far += kind == ALLOCATE and number in refused
        expected.append(so_far)
    assert counts == expected


def test_threads_of_the_trace_are_threads_of_a_program():
    """Each thread of a trace searches where that thread of a real program would, so runs are refused alike."""
    number = own_number()
    plans = [Plan(8, 16 * 512)]
    length = 16 * 512 - 10
    alone = [(ALLOCATE, 0, 8, 0), (ALLOCATE, 1, 8 * length, 0)]
    apart = [(ALLOCATE, 0, 8, 1), (ALLOCATE, 1, 8 * length, 0)]
    assert simulate(trace_of(alone), plans).failures == 0
    assert simulate(trace_of(apart, threads=2), plans).failures == 1
    assert own_number() == number


def test_it_does_not_depend_on_the_thread_that_calls():
    """A thread of any number gets the same result."""
    trace = trace_of(random_events(3, largest=40_000, threads=5), threads=5)
    found = []
    for _ in range(5):
        thread = threading.Thread(target=lambda: found.append(simulate(trace, [Plan(8, 9000)], wait=1e-8)))
        thread.start()
        thread.join()
    assert len({replace(each, seconds=0) for each in found}) == 1
    assert found[0].failures


def test_what_is_counted():
    """Peaks, the longest run and what nobody asked for are those of a trace that is worked out by hand."""
    events = [
        (ALLOCATE, 0, 100),
        (ALLOCATE, 1, 0),
        (ALLOCATE, 2, 257),  # five blocks of 64; seven are allocated then
        (FREE, 0, 100),
        (ALLOCATE, 3, 10_000),  # refused
        (ALLOCATE, 4, 128),
        (FREE, 3, 10_000),
    ]
    found = simulate(trace_of(events), [Plan(64, 8)])
    assert (found.allocations, found.failures, found.waits, found.waited) == (4, 1, 0, 0)
    assert (found.peak_bytes, found.peak_blocks, found.longest_run) == (385, (8,), (157,))
    assert found.inner == (8 * 64 - 357,)
    assert 8 * 64 < found.bytes < 8 * 64 + 4096
    assert (found.resident, found.touched_seconds) == (None, None)
    assert found.seconds > 0


def test_an_empty_trace():
    """A trace without events is replayed, with all counts 0."""
    found = simulate(trace_of([]), [Plan(64, 8)], wait=1)
    assert (found.events, found.allocations, found.peak_blocks, found.complete) == (0, 0, (0,), True)


def test_a_trace_that_ends_with_everything_live():
    """What is live at the end is no fault."""
    found = simulate(trace_of([(ALLOCATE, number, 64) for number in range(8)]), [Plan(64, 8)])
    assert (found.allocations, found.failures, found.peak_blocks) == (8, 0, (8,))


def test_the_largest_sizes_are_refused():
    """Requests of up to 2**63 - 1 bytes are counted and refused, also if they may wait."""
    events = [(ALLOCATE, 0, 2**63 - 1), (ALLOCATE, 1, 2**62), (FREE, 0, 0)]
    for wait in (0, 1, float("inf")):
        found = simulate(trace_of(events), [Plan(8, 10)], wait=wait)
        assert (found.failures, found.waits, found.longest_run) == (2, 0, (2**60,))


BAD_EVENTS = {
    "kind": [(2, 0, 8)],
    "size": [(ALLOCATE, 0, -1)],
    "id": [(ALLOCATE, 1, 8)],
    "id below 0": [(ALLOCATE, -1, 8)],
    "thread": [(ALLOCATE, 0, 8, 1)],
    "thread below 0": [(ALLOCATE, 0, 8, -1)],
    "second allocation": [(ALLOCATE, 0, 8), (ALLOCATE, 0, 8)],
    "second free": [(ALLOCATE, 0, 8), (FREE, 0, 8), (FREE, 0, 8)],
    "before it is allocated": [(FREE, 0, 8), (ALLOCATE, 0, 8)],
}


@pytest.mark.parametrize("what", BAD_EVENTS)
@pytest.mark.parametrize("wait", [0, 1])
def test_events_that_cannot_be(what, wait):
    """An event that cannot be is an error that names the event and what is wrong with it."""
    events = BAD_EVENTS[what]
    at = 0 if what.startswith("before") else len(events) - 1
    with pytest.raises(bp.TraceInvalid, match=rf"^event {at} .*{what.removesuffix(' below 0')}"):
        simulate(trace_of(events), [Plan(8, 4)], wait=wait)


def test_negative_times_with_waits():
    """A negative time is an error if it is needed, which it is only for waits."""
    trace = trace_of([(ALLOCATE, 0, 8, 0, -5)])
    assert simulate(trace, [Plan(8, 4)]).allocations == 1
    with pytest.raises(bp.TraceInvalid, match="event 0 is at -5 nanoseconds"):
        simulate(trace, [Plan(8, 4)], wait=1)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("kind", np.zeros(2, np.int8)),
        ("size", np.zeros(1, np.int64)),
        ("id", np.zeros((2, 1), np.int32)),
        ("thread", np.zeros(2, ">i4")),
        ("time", [1, 2]),
        ("size", np.zeros(2, np.float64)),
    ],
)
def test_columns_of_other_types_or_lengths(column, value):
    """A column of another type or length than it should have is an error that names it."""
    trace = trace_of([(ALLOCATE, 0, 8), (ALLOCATE, 1, 8)])
    with pytest.raises(bp.TraceInvalid, match=f"the column {column} must have"):
        simulate(replace(trace, **{column: value}), [Plan(8, 4)])


def test_columns_that_are_not_contiguous():
    """Columns that are views with steps are replayed as they are."""
    trace = trace_of(random_events(2, largest=100))
    doubled = {name: np.repeat(getattr(trace, name), 2)[::2] for name in ("time", "kind", "size", "id", "thread")}
    assert not doubled["size"].flags.c_contiguous
    first, second = (simulate(each, [Plan(8, 100)]) for each in (trace, replace(trace, **doubled)))
    assert replace(first, seconds=0) == replace(second, seconds=0)


def test_what_is_not_a_trace():
    """Anything else than a trace is a TypeError that says how to get one."""
    with pytest.raises(TypeError, match=r"a Trace is needed, not str; blockpool\.traces\.read\(\) reads one"):
        simulate("trace.parquet", [Plan(8, 4)])


@pytest.mark.parametrize(
    ("plans", "error", "says"),
    [
        ([], ValueError, "1 to 3 plans, not 0"),
        ([Plan(8, 1, n, n + 1) for n in range(4)], ValueError, "1 to 3 plans, not 4"),
        ([Plan(8, 1), Plan(16, 1, 8)], ValueError, "two plans take requests of 9 bytes"),
        ([Plan(8, 1, 10, 20), Plan(8, 1, 19, 30)], ValueError, "two plans take requests of 20 bytes"),
        ([Plan(8, 1, 5, 5)], ValueError, "takes no requests"),
        ([Plan(8, 1, -1)], ValueError, "takes no requests"),
        ([Plan(8, 1, 0.5)], TypeError, "must be an int, not float"),
        ([(8, 1)], TypeError, "must be Plan objects, not tuple"),
        (5, TypeError, "not int"),
    ],
)
def test_plans_that_cannot_be(plans, error, says):
    """Plans of other types, too many of them, and sizes that none or two take are errors that say so."""
    with pytest.raises(error, match=says):
        simulate(trace_of([]), plans)


@pytest.mark.parametrize(
    ("block_size", "blocks"),
    [
        (0, 1),
        (12, 1),
        (-8, 1),
        ("x", 1),
        (8.0, 1),
        (8, 0),
        (8, 2**63),
        (2**40, 2**24),
        (2**70, 1),
        (8, 2**70),
        (8, "1"),
    ],
)
def test_pools_that_cannot_be_made(block_size, blocks):
    """A pool that cannot be made is the same error as from Pool()."""
    with pytest.raises((ValueError, TypeError, bp.PoolExhausted)) as expected:
        bp.Pool(block_size, blocks)
    with pytest.raises(expected.type) as found:
        simulate(trace_of([]), [Plan(block_size, blocks)])
    assert str(found.value) == str(expected.value)


def test_pools_larger_than_this_machine():
    """A pool has no memory but its bookkeeping: one of an exbibyte serves, refuses and counts like any other."""
    tib = 2**40
    events = [(ALLOCATE, 0, 2**60 - 8 * tib), (ALLOCATE, 1, 8 * tib), (ALLOCATE, 2, 1), (FREE, 1, 0), (ALLOCATE, 3, 1)]
    with pytest.raises(bp.PoolExhausted):
        bp.Pool(tib, 2**20)
    found = simulate(trace_of(events), [Plan(tib, 2**20)])
    assert (found.allocations, found.failures, found.peak_blocks) == (3, 1, (2**20,))
    assert found.peak_bytes == 2**60
    assert 2**60 < found.bytes < 2**60 + 2**20


def test_a_limit_of_address_space_leaves_simulations_alone():
    """Where a process may have no more address space, a simulated pool of 64 GiB works; a real one does not."""
    program = """
import resource
import blockpool
from blockpool.replay import Plan, simulate
from replays import trace_of

trace = trace_of([(0, 0, 2**30)])
simulate(trace, [Plan(2**30, 1)])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
try:
    blockpool.Pool(4096, 2**19)
except blockpool.PoolExhausted:
    print(simulate(trace, [Plan(4096, 2**19)]).peak_blocks)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(replays.__file__).parent)}
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)
    assert ran.stdout == "(262144,)\n"


def test_bookkeeping_that_does_not_fit_this_machine():
    """A simulated pool whose bookkeeping alone is more than the memory of this machine is refused before it is used."""
    with pytest.raises(bp.PoolExhausted, match=r"no memory for the bookkeeping of 281474976710656 blocks: \d+ bytes"):
        simulate(trace_of([]), [Plan(8, 2**48)])


def test_memory_that_is_not_there_cannot_be_touched():
    """A replay that touches memory takes real pools only."""
    columns = columns_of(trace_of([(ALLOCATE, 0, 8)]))
    with pytest.raises(ValueError, match="only in pools that have some"):
        begin_replay(columns, 1, [(8, 1)], [(-1, 8)], 0, touch=True)


@pytest.mark.parametrize(
    ("wait", "error"), [(-1, ValueError), (float("nan"), ValueError), (10**400, ValueError), ("x", TypeError)]
)
def test_times_to_wait_that_cannot_be(wait, error):
    """A time to wait that is negative or not a number is an error."""
    with pytest.raises(error, match="wait must be"):
        simulate(trace_of([]), [Plan(8, 4)], wait=wait)


def test_a_replay_can_be_interrupted(monkeypatch):
    """Ctrl-C ends a replay in its middle."""
    steps = []

    class Interrupted:
        def go_on(self, events):
            steps.append(events)
            if len(steps) == 3:
                signal.raise_signal(signal.SIGINT)
            return False

    monkeypatch.setattr("blockpool.replay.simulation.begin_replay", lambda *_: Interrupted())
    with pytest.raises(KeyboardInterrupt):
        simulate(trace_of([]), [Plan(8, 64)])
    assert len(steps) == 3
    assert max(steps) <= 1 << 20  # some hundredths of a second


def test_a_replay_goes_by_in_steps(monkeypatch):
    """A trace that is replayed in steps of any length gives the same as in one."""
    trace = trace_of(random_events(8, largest=3000, threads=3, crossing=0.3), threads=3)
    found = []
    for step in (1, 7, 1 << 18):
        monkeypatch.setattr("blockpool.replay.simulation.STEP", step)
        found.append(replace(simulate(trace, [Plan(64, 200)], wait=2e-8), seconds=0))
    assert found[0] == found[1] == found[2]
    assert found[0].waits
