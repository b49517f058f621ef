"""The quick bounds, and what they are used to choose."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from blockpool.advice.choices import allowed, block_sizes, cuts_of, ways
from blockpool.advice.columns import Columns, blocks_for, live_blocks, live_bytes, need
from blockpool.advice.outline import Sizes, sizes_of
from made_traces import frames, mixed, of_lives, of_steps, spread

if TYPE_CHECKING:
    from blockpool.traces import Trace


def sizes(trace: Trace) -> Sizes:
    """Return the sizes of a trace's requests."""
    return sizes_of(trace.size[trace.kind == 0])


def peak_blocks(trace: Trace, block_size: int) -> int:
    """Return the most blocks allocated at a time, counted by a plain loop."""
    live = most = 0
    for kind, size in zip(trace.kind.tolist(), trace.size.tolist(), strict=True):
        blocks = max(1, -(-size // block_size))
        live += blocks if kind == 0 else -blocks
        most = max(most, live)
    return most


@pytest.mark.parametrize("block_size", [64, 192, 4096, 602_112, 1_000_000])
def test_the_bound_is_the_peak_of_a_plain_loop(block_size: int):
    """The most blocks allocated at a time are those of a loop over the events, for any block size."""
    trace = mixed(3000)
    assert need(Columns.of(trace), block_size).blocks == peak_blocks(trace, block_size)


def test_the_bound_holds_over_many_slices():
    """A trace that is longer than a slice is counted as one."""
    trace = of_lives([100, 5000] * 50_000, [3, 40_000] * 50_000)
    columns = Columns.of(trace)
    assert len(list(live_blocks(columns, 64))) > 1
    assert need(columns, 64).blocks == peak_blocks(trace, 64)


def test_inner_waste_is_what_nobody_asked_for_at_the_peak():
    """Two requests of 100 bytes in blocks of 64 take four blocks, and waste 56 bytes."""
    found = need(Columns.of(of_steps([10, -1, 100, 100, -2])), 64)
    assert (found.blocks, found.inner) == (4, 56)


def test_a_request_of_nothing_takes_a_block():
    """Requests of 0 bytes count as those of 1 byte."""
    trace = of_lives([0, 0, 64], [5, 5, 5])
    assert need(Columns.of(trace), 64).blocks == 3


def test_requests_that_are_too_large_to_round_up_are_counted():
    """A request of 2**63 - 1 bytes does not overflow."""
    assert blocks_for(np.array([2**63 - 1, 1]), 64).tolist() == [2**57, 1]
    assert blocks_for(np.array([2**63 - 1]), 192).tolist() == [-(-(2**63 - 1) // 192)]


@pytest.mark.parametrize("trace", [frames(), mixed(), spread(), of_steps([1]), of_lives([0, 2**40], [1, 1])])
def test_block_sizes_are_few_and_can_be_used(trace: Trace):
    """There are at most 24 block sizes; each is a multiple of 64, and one holds the largest request."""
    found = block_sizes(sizes(trace), cuts_of(sizes(trace)))
    assert 0 < len(found) <= 24
    assert all(size % 64 == 0 for size in found)
    assert max(found) >= sizes(trace).values[-1]
    assert found == sorted(set(found))


def test_the_size_of_frames_is_a_choice_as_are_its_half_and_quarter():
    """The size that most requests have is tried as it is, and in two and four parts."""
    found = block_sizes(sizes(frames(size=6_220_800)))
    assert {6_220_800, 3_110_400, 1_555_200} <= set(found)


def test_a_block_size_that_makes_long_runs_is_no_choice():
    """A block size is refused if the average request would take more than 64 blocks, or the pool too much memory."""
    assert allowed(64, 1000, 64 * 64)
    assert not allowed(64, 1000, 64 * 64 + 1)
    assert not allowed(2**40, 2**10, 2**40)
    assert not allowed(64, 2**27, 64)


def test_cuts_part_the_sizes():
    """Each cut has sizes on both sides, and stands at whole 64 bytes where that parts the same sizes."""
    found = cuts_of(sizes(mixed()))
    assert found == [1024, 4096, 602_112]
    assert cuts_of(sizes(of_lives([100, 5000], [1, 1]))) == [128]
    assert cuts_of(sizes(frames())) == []
    many = cuts_of(sizes(spread(5000)))
    assert 0 < len(many) <= 9
    assert many == sorted(set(many))


def test_splits_cover_all_sizes_without_overlap():
    """The ranges of a split follow each other, from 0 to the largest size."""
    trace = mixed()
    columns = Columns.of(trace)
    found = ways(columns, live_bytes(columns), sizes(trace), 3)
    assert {1, 2} <= {len(ranges) for _, ranges in found}
    for _, ranges in found:
        assert ranges[0].above == 0
        assert ranges[-1].up_to == 38_535_168
        assert all(left.up_to == right.above for left, right in pairwise(ranges))


def test_estimates_rank_a_split_first_where_sizes_differ_a_lot():
    """Small blocks for small requests and large ones for large requests beat one size for both."""
    trace = mixed()
    columns = Columns.of(trace)
    cost, ranges = ways(columns, live_bytes(columns), sizes(trace), 3)[0]
    assert len(ranges) > 1
    exact = sum(
        need(columns.within(pool.above, pool.up_to), pool.block_size).blocks * pool.block_size for pool in ranges
    )
    assert 0.9 * exact <= cost <= 1.01 * exact


def test_one_pool_means_no_splits():
    """With one pool allowed, each way is a single pool for all sizes."""
    trace = mixed()
    columns = Columns.of(trace)
    assert {len(ranges) for _, ranges in ways(columns, live_bytes(columns), sizes(trace), 1)} == {1}
