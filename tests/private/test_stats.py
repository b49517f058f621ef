"""`stats`: every field after known sequences of calls."""

import dataclasses
import gc
import os
import signal

import pytest

import blockpool as bp


def test_a_fresh_pool():
    """In the stats of a fresh pool nothing is allocated, and all of it is one free run."""
    assert bp.Pool("4KiB", 16).stats() == bp.PoolStats(
        blocks=16,
        block_size=4096,
        allocated=0,
        free=16,
        peak=0,
        largest_free_run=16,
        fragmentation=0.0,
        requested_bytes=0,
        allocated_bytes=0,
        utilization=1.0,
        allocations=0,
        frees=0,
        failures=0,
        waits=0,
        waited=0.0,
        tickets=0,
        oldest_ticket=None,
        processes=1,
        max_processes=1,
    )


def test_the_types_of_the_fields(pool):
    """The fields of stats are plain ints, except for three floats."""
    kept = pool.allocate(nbytes=100)
    stats = pool.stats()
    floats = {"fragmentation", "utilization", "waited"}
    for field in dataclasses.fields(stats):
        if field.name != "oldest_ticket":
            assert type(getattr(stats, field.name)) is (float if field.name in floats else int), field.name
    del kept


def test_all_fields_together(pool):
    """After a run, a block, a failure and a free, every field of stats has the right value."""
    run = pool.allocate(nbytes=10_000)
    block = pool.allocate()
    pool.allocate(blocks=2).free()
    with pytest.raises(bp.PoolExhausted):
        pool.allocate(blocks=13)
    assert pool.stats() == bp.PoolStats(
        blocks=16,
        block_size=4096,
        allocated=4,
        free=12,
        peak=6,
        largest_free_run=12,
        fragmentation=0.0,
        requested_bytes=14_096,
        allocated_bytes=16_384,
        utilization=14_096 / 16_384,
        allocations=3,
        frees=1,
        failures=1,
        waits=0,
        waited=0.0,
        tickets=0,
        oldest_ticket=None,
        processes=1,
        max_processes=1,
    )
    del run, block


@pytest.mark.parametrize("give_back", ["free", "release", "drop", "with"])
def test_peak_is_exact(pool, give_back):
    """The peak is the most blocks that were allocated at once, not the total and not a sample."""
    peak = current = 0
    held = []
    for step, amount in enumerate([3, 1, -1, 5, -5, 2, 4, -2, 4, -1, -1, -1, 7, -1]):
        if amount > 0:
            held.append(pool.allocate(blocks=amount))
            current += amount
        else:
            block = held.pop(step % len(held))
            current -= block.blocks
            if give_back == "with":
                with block:
                    pass
            elif give_back != "drop":
                getattr(block, give_back)()
            del block
        peak = max(peak, current)
        assert (pool.stats().peak, pool.stats().allocated) == (peak, current)
    assert peak == 13


def test_peak_counts_allocate_many(pool):
    """allocate_many raises the peak by all its blocks; a failed request does not."""
    pool.allocate_many(12)
    assert pool.stats().peak == 12
    kept = pool.allocate_many(2)
    with pytest.raises(bp.PoolExhausted):
        pool.allocate_many(15)
    assert pool.stats().peak == 12
    kept += pool.allocate_many(11)
    assert pool.stats().peak == 13


def test_peak_counts_what_views_hold(pool):
    """Memory that only a view holds counts towards the peak until the view goes."""
    view = pool.allocate(blocks=10).buf
    other = pool.allocate(blocks=5)
    assert pool.stats().peak == 15
    del view, other
    kept = pool.allocate(blocks=16)
    assert pool.stats().peak == 16
    del kept


@pytest.mark.parametrize(
    ("kept", "largest", "fragmentation"),
    [
        ([], 16, 0.0),
        (range(16), 0, 0.0),
        (range(8), 8, 0.0),
        (range(8, 16), 8, 0.0),
        (range(0, 16, 2), 1, 7 / 8),
        (range(1, 16, 2), 1, 7 / 8),
        ([8], 8, 1 - 8 / 15),
        ([3, 4, 10], 5, 1 - 5 / 13),
        (range(1, 15), 1, 0.5),
        (range(15), 1, 0.0),
    ],
    ids=str,
)
def test_fragmentation(pool, kept, largest, fragmentation):
    """Fragmentation is the share of the free blocks that is outside the largest free run."""
    blocks = pool.allocate_many(16)
    blocks = [block for block in blocks if block.index in kept]
    block = None
    stats = pool.stats()
    assert stats.allocated == len(blocks) == len(kept)
    assert stats.largest_free_run == largest
    assert stats.fragmentation == pytest.approx(fragmentation)
    del block


def test_the_largest_free_run_can_be_had(pool):
    """A run of largest_free_run blocks can be allocated, and not one block more."""
    blocks = pool.allocate_many(16)
    for index in (1, 2, 3, 6, 7, 8, 9, 13):
        blocks[index].free()
    assert pool.stats().largest_free_run == 4
    with pytest.raises(bp.PoolExhausted, match="longest run 4"):
        pool.allocate(blocks=5)
    assert pool.allocate(blocks=4).index == 6


def test_requested_bytes(pool):
    """requested_bytes adds up nbytes where given, else whole blocks; utilization is its share of allocated_bytes."""
    small = pool.allocate(nbytes=1)
    assert (pool.stats().requested_bytes, pool.stats().allocated_bytes) == (1, 4096)
    assert pool.stats().utilization == pytest.approx(1 / 4096)
    whole = pool.allocate(blocks=2)
    assert pool.stats().requested_bytes == 1 + 8192
    odd = pool.allocate(nbytes=4097)
    assert pool.stats().requested_bytes == 1 + 8192 + 4097
    assert pool.stats().allocated_bytes == 5 * 4096
    small.free()
    twin = odd.readonly()
    odd.release()
    assert pool.stats().requested_bytes == 8192 + 4097
    del twin
    whole.release()
    stats = pool.stats()
    assert (stats.requested_bytes, stats.allocated_bytes, stats.utilization) == (0, 0, 1.0)


def test_allocations_and_frees_count_runs(pool):
    """Each run counts as one allocation and one free, however it ends; twins and views do not count."""
    run = pool.allocate(blocks=5)
    twin, view = run.readonly(), run.buf
    many = pool.allocate_many(4)
    assert (pool.stats().allocations, pool.stats().frees) == (5, 0)
    run.release()
    twin.release()
    assert pool.stats().frees == 0
    del view
    assert pool.stats().frees == 1
    many[0].free()
    many[1].release()
    del many
    stats = pool.stats()
    assert (stats.allocations, stats.frees, stats.allocated) == (5, 5, 0)


def test_failures_count_requests_without_room(pool):
    """Each request that finds no room counts as one failure; a wrong argument or a refused free does not."""
    kept = pool.allocate(blocks=16)
    requests = [
        pool.allocate,
        lambda: pool.allocate(blocks=2),
        lambda: pool.allocate(nbytes=1),
        lambda: pool.allocate_many(3),
        lambda: pool.allocate(blocks=17),
        lambda: pool.allocate(timeout=0.001),
    ]
    for number, request in enumerate(requests, start=1):
        with pytest.raises(bp.PoolExhausted):
            request()
        assert pool.stats().failures == number
    with pytest.raises(ValueError):
        pool.allocate(blocks=0)
    view = kept.buf
    with pytest.raises(bp.BlockInUse):
        kept.free()
    del view
    kept.free()
    with pytest.raises(bp.DoubleFree):
        kept.free()
    stats = pool.stats()
    assert (stats.failures, stats.allocations, stats.frees) == (len(requests), 1, 1)


def test_a_request_that_the_collector_saves_is_no_failure(pool):
    """A request that succeeds after garbage collection is no failure."""
    gc.collect()
    cycle = [pool.allocate(blocks=16)]
    cycle.append(cycle)
    del cycle
    pool.allocate().free()
    stats = pool.stats()
    assert (stats.failures, stats.allocations, stats.frees) == (0, 2, 2)


def test_pools_count_for_themselves(pool):
    """The stats of one pool do not count what happens in another."""
    other = bp.Pool(64, 4)
    kept = other.allocate_many(4)
    assert pool.stats().allocations == 0
    assert other.stats().allocated == 4
    del kept


def test_stats_are_a_snapshot(pool):
    """Stats are a snapshot that does not change later."""
    before = pool.stats()
    kept = pool.allocate()
    assert before.allocated == 0
    assert pool.stats() != before
    del kept


def in_a_child(work):
    """Do the work in a forked child that is killed with what it got; return when it is dead."""
    child = os.fork()
    if child == 0:
        kept = work()
        os.kill(os.getpid(), signal.SIGKILL)
        del kept
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def test_the_peak_of_a_shared_pool_sees_what_others_had():
    """`peak` of a shared pool counts what other processes had, short by at most seven blocks, and never more."""
    shared = bp.Pool.create(64, 64)
    for number in (30, 61):
        in_a_child(lambda number=number: [shared.allocate() for _ in range(number)].clear())
        assert number - 8 < shared.stats().peak <= number
    kept = [shared.allocate() for _ in range(64)]
    assert shared.stats().peak == 64
    del kept
    assert shared.stats().peak == 64


@pytest.mark.parametrize("way", ["recover", "allocate", "check"])
def test_frees_count_what_recovery_freed(shared, way):
    """Runs of a killed process or a withdrawn ticket count as freed, however they come back."""
    in_a_child(lambda: [shared.allocate(), shared.allocate(blocks=3), *shared.allocate_many(4)])
    stats = shared.stats()
    assert (stats.allocations, stats.frees, stats.allocated) == (6, 0, 8)
    if way == "allocate":
        shared.allocate(blocks=16).free()
    else:
        getattr(shared, way)()
    stats = shared.stats()
    assert (stats.allocations - stats.frees, stats.allocated) == (0, 0)
    shared.allocate().share()
    assert shared.stats().allocations - shared.stats().frees == 1
    shared.recover(tickets_older_than=0)
    assert shared.stats().allocations == shared.stats().frees


def test_processes_count_the_living(shared):
    """`processes` does not count a killed process, even before its blocks were recovered."""
    assert shared.stats().processes == 1
    in_a_child(shared.allocate)
    stats = shared.stats()
    assert (stats.processes, stats.allocated) == (1, 1)
    assert shared.recover().processes == 1
    assert (shared.stats().processes, shared.stats().allocated) == (1, 0)
