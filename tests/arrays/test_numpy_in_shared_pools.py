"""NumPy's memory from a shared pool, which blockpool.dask has tasks take: it is held, sent and freed as a run is."""

import gc
import os

import numpy as np
import pytest

import blockpool as bp
from blockpool._core import _receive_array, memory_in_a_pool, numpy_allocator_of, send_array
from forking import await_child, in_child
from placement import address_of, lies_in


@pytest.fixture
def pool(shared):
    """Give a pool of 16 blocks of 4 KiB, not in debug mode; in the end nothing is in it."""
    if shared.debug:
        pytest.skip("pools in debug mode are refused")
    yield shared
    gc.collect()
    shared.recover()
    assert (shared.stats().allocated, shared.stats().tickets) == (0, 0)


def test_arrays_of_numpy_are_in_the_pool(pool):
    """Arrays that NumPy makes inside are in the pool, and give it back when they end; small ones are elsewhere."""
    with numpy_allocator_of(pool):
        a = np.ones(2000)
        b = a + a
        small = np.ones(10)
    assert lies_in(a, pool)
    assert lies_in(b, pool)
    assert not lies_in(small, pool)
    assert not lies_in(a + b, pool)
    assert pool.stats().allocated == 8
    del a
    assert pool.stats().allocated == 4
    assert b.sum() == 4000


def test_memory_that_others_hold_outlives_the_array(pool):
    """What was sent stays as it was when NumPy frees or resizes the array, and new arrays do not get its memory."""
    for end in (lambda _: None, lambda a: a.resize(6000, refcheck=False), lambda a: a.resize(600, refcheck=False)):
        with numpy_allocator_of(pool):
            a = np.full(2000, 7.0)
        memory = memory_in_a_pool(address_of(a), a.nbytes)
        parts = send_array(np.frombuffer(memory), True, 1, [])  # noqa: FBT003 - a function of C
        del memory
        end(a)
        del a
        with numpy_allocator_of(pool):
            others = [np.zeros(512) for _ in range(16)]
        received = _receive_array(*parts)
        assert not received.flags.writeable
        assert (received == 7.0).all()
        del received, others


def test_arrays_grow_and_shrink(pool):
    """An array that is resized keeps its elements, whether it finds room or not."""
    with numpy_allocator_of(pool):
        a = np.arange(1000.0)
        for n in (1010, 4000, 100_000, 500, 8):
            a.resize(n, refcheck=False)
            assert (a[: min(n, 500)] == np.arange(1000.0)[: min(n, 500)]).all()


def test_a_full_pool_is_bypassed(pool):
    """What finds no room is in NumPy's own memory, and counted; so is everything once the pool is closed."""
    with numpy_allocator_of(pool):
        first, second = np.ones(16 * 512), np.ones(512)
        assert lies_in(first, pool)
        assert not lies_in(second, pool)
        assert pool.stats().failures == 1
        del first
        other = bp.Pool.attach(pool.name)
        assert lies_in(np.ones(512), pool)
        other.close()


def test_a_closed_pool_is_bypassed():
    """Arrays outlive the pool that they were made in; new ones are elsewhere."""
    made = bp.Pool.create("4KiB", 16, debug=False)
    with numpy_allocator_of(made):
        a = np.full(1000, 3.0)
        made.close()
        b = np.ones(1000)
    with pytest.raises(bp.PoolClosed):
        made.stats()
    assert (a.sum(), b.sum()) == (3000, 1000)


@pytest.mark.parametrize("on_fork", ["share", "detach"])
def test_a_child_leaves_its_parents_arrays_alone(on_fork):
    """A forked child may drop, resize and make arrays; its parent's stay as they are, and are freed by the parent."""
    with bp.Pool.create("4KiB", 16, debug=False, on_fork=on_fork) as made:
        memory = range(made.address, made.address + made.nbytes)
        with numpy_allocator_of(made):
            a, b = np.full(1000, 3.0), [np.full(1000, 4.0)]

            def work():
                b.clear()
                c = np.ones(1000)
                assert c.sum() == 1000
                assert (address_of(c) in memory) == (on_fork == "share")
                os._exit(0)

            await_child(in_child(work))
            made.recover()
            assert made.stats().allocated == 4
            others = [np.zeros(512) for _ in range(12)]
        assert (a == 3.0).all()
        assert (b[0] == 4.0).all()
        del a, others
        b.clear()
        assert made.stats().allocated == 0


def test_pools_that_are_refused():
    """A pool in debug mode is refused, as a private one is."""
    with bp.Pool.create("4KiB", 4, debug=True) as made, pytest.raises(ValueError, match="debug"):
        numpy_allocator_of(made)
