"""Threads that race for one pool or one block: what is allocated once comes back once, and losers get typed errors."""

import contextlib
import itertools
import threading

import pytest

import blockpool as bp
from threads import together

THREADS = 4  # as many as `together` starts

pytestmark = [pytest.mark.stress, pytest.mark.usefixtures("switch_often")]


@pytest.mark.parametrize("blocks", [400, 70_000], ids=["with the GIL", "without the GIL"])
def test_no_block_is_given_twice(blocks):
    """Threads that empty a pool together get each block exactly once."""
    pool = bp.Pool(8, blocks)

    def drain(number):
        got = []
        with contextlib.suppress(bp.PoolExhausted):
            while True:
                if number % 2:
                    got.append(pool.allocate())
                elif pool.stats().largest_free_run > 2:
                    got.append(pool.allocate(blocks=3))
                else:
                    got.extend(pool.allocate_many(1))
                if len(got) > 20_000:
                    got.extend(pool.allocate_many(1000))
        return got

    got = _flat(together(drain if blocks < 1000 else lambda _: drain(1)))
    taken = [index for block in got for index in range(block.index, block.index + block.blocks)]
    assert len(taken) == len(set(taken)) == blocks
    assert pool.stats().free == 0
    assert pool.stats().peak == blocks
    del got
    assert pool.check() == bp.Audit(blocks=blocks, allocated=0, runs=0)


def _flat(lists):
    return list(itertools.chain.from_iterable(lists))


def _outcome(call):
    try:
        call()
    except bp.BlockPoolError as error:
        return type(error)
    return None


def test_one_free_of_many_succeeds(pool):
    """Of threads that free one block at once, one succeeds and the others get DoubleFree or BlockInUse."""
    for _ in range(200):
        block = pool.allocate()
        outcomes = together(lambda _, block=block: _outcome(block.free))
        assert outcomes.count(None) == 1
        assert set(outcomes) <= {None, bp.DoubleFree, bp.BlockInUse}
    stats = pool.stats()
    assert (stats.allocations, stats.frees, stats.allocated) == (200, 200, 0)


def test_releases_at_once(pool):
    """A block that several threads release at once comes back once."""
    for _ in range(200):
        block = pool.allocate()
        together(lambda _, block=block: block.release())
    stats = pool.stats()
    assert (stats.allocations, stats.frees, stats.allocated) == (200, 200, 0)


def test_a_view_or_a_free(pool):
    """If one thread takes a view while another frees the block, either there is a view or the free succeeds."""
    seen = set()
    for _ in range(300):
        block = pool.allocate()
        views = []

        def race(number, block=block, views=views):
            if number % 2:
                return _outcome(lambda: views.append(block.buf))
            return _outcome(block.free)

        outcomes = together(race)
        freed = None in (outcomes[0], outcomes[2])
        assert pool.stats().allocated == (0 if freed else 1)
        if freed:
            assert not views or None not in (outcomes[0], outcomes[2])
        assert set(outcomes) <= {None, bp.DoubleFree, bp.BlockInUse, bp.InvalidBlock}
        seen.add(freed)
        del views, race
        block.release()
        assert pool.stats().allocated == 0
    assert pool.check().runs == 0


def test_twins_at_once(pool):
    """Several threads can make and drop read-only twins and views of one block at once."""
    block = pool.allocate()
    block.buf[:4] = b"same"

    def look(_):
        for _ in range(300):
            twin = block.readonly()
            assert bytes(twin.buf[:4]) == b"same"
            twin.release()

    together(look)
    block.free()
    assert pool.stats().frees == 1


def test_the_first_view_at_once(pool):
    """First views that several threads take of one block at once show the same memory, and each pins it."""
    for _ in range(100):
        block = pool.allocate()
        views = together(lambda _, block=block: block.buf)
        for number in range(THREADS):
            views[number][0] = number
            assert [view[0] for view in views] == [number] * THREADS
        while views:
            assert _outcome(block.free) is bp.BlockInUse
            views.pop()
        block.free()


def test_closing_while_others_allocate():
    """Threads that allocate while the pool is closed get blocks, then PoolClosed, and all blocks stay usable."""
    for _ in range(30):
        pool = bp.Pool(64, 64)
        begun = threading.Event()

        def work(number, pool=pool, begun=begun):
            got = []
            if number == 0:
                begun.wait(60)
                pool.close()
                return got
            with contextlib.suppress(bp.PoolClosed):
                while True:
                    got = [pool.allocate(), *pool.allocate_many(2), pool.allocate(blocks=2)]
                    begun.set()
            return got

        blocks = _flat(together(work))
        for block in blocks:
            block.buf[0] = 1
            block.free()


def test_statistics_add_up(pool):
    """The statistics count all allocations and frees of several threads."""

    def work(_):
        for _ in range(500):
            with pool.allocate(timeout=None) as block:
                block.buf[0] = 1
            for block in pool.allocate_many(2, timeout=None):
                block.free()

    together(work)
    stats = pool.stats()
    assert (stats.allocated, stats.requested_bytes, stats.failures) == (0, 0, 0)
    assert stats.allocations == stats.frees == THREADS * 500 * 3
    assert 2 <= stats.peak <= 16
    pool.check()


def test_reports_while_others_work(pool):
    """Calling stats, runs and check while other threads allocate and free finds nothing wrong."""
    stop = threading.Event()

    def work(number):
        if number == 0:
            for _ in range(300):
                stats = pool.stats()
                assert stats.allocated + stats.free == 16
                for run in pool.runs():
                    assert 0 <= run.index < run.index + run.blocks <= 16
                pool.check()
            stop.set()
            return
        while not stop.is_set():
            with contextlib.suppress(bp.PoolExhausted):
                pool.allocate(blocks=number + 1).free()

    together(work)
    assert pool.check().runs == 0
