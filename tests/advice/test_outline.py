"""The outline of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from blockpool.advice.columns import Columns, live_bytes
from blockpool.advice.outline import outline_of, sizes_of
from blockpool.traces import Trace, build
from made_traces import frames, mixed, of_steps, spread

if TYPE_CHECKING:
    from blockpool.advice.results import Outline


def outline(trace: Trace) -> Outline:
    """Return a trace's outline."""
    live = live_bytes(Columns(trace.size, Columns.of(trace).sign))
    return outline_of(trace, sizes_of(trace.size[trace.kind == 0]), live)


def test_an_empty_trace_has_an_outline_of_zeros():
    """A trace without events gives zeros and no history."""
    found = outline(build(kind=[], size=[], key=[]))
    assert (found.events, found.peak_bytes, found.mean_bytes, found.largest) == (0, 0, 0, 0)
    assert found.sizes == ()
    assert found.history == ()


def test_the_peak_is_of_bytes_live_at_a_time():
    """The peak counts what is live together, and not what was freed before."""
    found = outline(of_steps([100, 200, -1, 50, -2, -3]))
    assert found.peak_bytes == 300
    assert (found.events, found.allocations, found.live_at_end) == (6, 3, 0)


def test_the_mean_is_weighted_by_time():
    """100 bytes that live for 9 µs, and 1100 that live for 1 µs, are 200 on average."""
    found = outline(build(kind=[0, 0, 1], size=[100, 1000, 0], key=[0, 1, 1], time=[0, 9000, 10_000]))
    assert found.mean_bytes == 200
    assert found.seconds == pytest.approx(10e-6)
    assert found.live_at_end == 1


def test_without_times_the_mean_is_over_events():
    """A trace whose times number its events has no seconds, and each event counts as much as another."""
    trace = of_steps([100, 100, -1, -2])
    assert not trace.timed
    found = outline(trace)
    assert (found.mean_bytes, found.seconds) == (100, 0.0)


def test_the_most_frequent_sizes_come_first():
    """Sizes are counted over allocations; at most 16 are told."""
    found = outline(of_steps([*[64] * 5, *range(100, 140), *[32] * 7, -1]))
    assert found.sizes[:2] == ((32, 7), (64, 5))
    assert len(found.sizes) == 16
    assert (found.smallest, found.largest) == (32, 139)


def test_the_median_is_a_size_that_at_least_half_do_not_exceed():
    """The median is one of the sizes, and at least half of the requests are not larger, and half not smaller."""
    size = spread().size[spread().kind == 0]
    found = outline(spread()).median
    assert np.count_nonzero(size <= found) * 2 >= len(size)
    assert np.count_nonzero(size >= found) * 2 >= len(size)


@pytest.mark.parametrize("trace", [frames(), mixed(), spread(), of_steps([8, -1]), of_steps([10, 20, 30])])
def test_the_history_has_the_peak_and_no_point_too_much(trace: Trace):
    """The points ascend, there are at most 512, and the highest is the peak."""
    found = outline(trace)
    assert 0 < len(found.history) <= 512
    assert max(most for _, most in found.history) == found.peak_bytes
    assert sorted(at for at, _ in found.history) == [at for at, _ in found.history]


def test_the_history_keeps_what_is_live_while_nothing_happens():
    """A stretch without events shows what was live before it."""
    trace = build(kind=[0, 1], size=[700, 0], key=[0, 0], time=[0, 10**9])
    assert [most for _, most in outline(trace).history] == [700, 700]


def test_a_history_over_all_times_that_there_are():
    """A trace may last 2**63 - 1 nanoseconds: its history ends then, and not before it began."""
    trace = build(kind=[0, 1], size=[700, 0], key=[0, 0], time=[0, 2**63 - 1])
    assert [at for at, _ in outline(trace).history] == pytest.approx([2**62 * 1e-9, 2**63 * 1e-9])


def test_a_history_agrees_with_a_plain_loop():
    """Each point has the most bytes that were live at any moment after the point before it."""
    trace = spread(700)
    points = outline(trace).history
    time = (trace.time - trace.time[0]) * 1e-9
    live = np.cumsum(np.where(trace.kind == 0, trace.size, -trace.size))
    before = -1.0
    for at, most in points:
        inside = live[(time > before + 1e-12) & (time <= at + 1e-12)]
        carried = live[time <= before + 1e-12]
        expected = max([*inside.tolist(), *carried[-1:].tolist()])
        assert most == expected
        before = at


def test_threads_are_those_that_did_something():
    """A thread of the list that neither allocates nor frees is not counted."""
    trace = build(kind=[0, 0], size=[8, 8], key=[0, 1], thread=[0, 2], threads=["a", "b", "c"])
    assert outline(trace).threads == 2
