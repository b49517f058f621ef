"""numpy_allocator: NumPy takes array data from a pool, and every pointer goes back where it came from."""

import asyncio
import contextvars
import gc
import os
import random
import re
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import blockpool as bp
from placement import lies_in

try:
    from numpy._core.multiarray import get_handler_name
except ImportError:  # NumPy 1
    from numpy.core.multiarray import get_handler_name

NUMPYS_OWN = "default_allocator"
CORE = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"
SUITE = Path(__file__).parents[1] / "suites" / "numpy_suite.py"


@pytest.fixture
def pool():
    """Make a private pool of 16 blocks of 4 KiB, never in debug mode, and audit it after the test."""
    made = bp.Pool("4KiB", 16, debug=False)
    yield made
    gc.collect()
    if not made.closed:
        made.check()


def blocks_of(pool):
    """Return the first block and the length of each allocated run."""
    return [(run.index, run.blocks) for run in pool.runs()]


def test_arrays_take_their_data_from_the_pool(pool):
    """New arrays and results of arithmetic are in the pool inside the context, and outside it are not."""
    with pool.numpy_allocator():
        a = np.ones(1024)
        b = a + a
        assert blocks_of(pool) == [(0, 2), (2, 2)]
    c = a + b
    assert lies_in(a, pool)
    assert lies_in(b, pool)
    assert not lies_in(c, pool)
    assert c.sum() == 3 * 1024
    assert get_handler_name(a) == get_handler_name(b) == "blockpool"
    assert get_handler_name(c) == NUMPYS_OWN


def test_freed_outside_of_the_context(pool):
    """An array that outlives the context gives its run back when its last view is gone."""
    with pool.numpy_allocator():
        a = np.ones(1024)
    view = a[10:]
    del a
    assert blocks_of(pool) == [(0, 2)]
    del view
    assert blocks_of(pool) == []


def test_memory_of_numpys_own_goes_back_to_numpy(pool):
    """Dropping arrays inside the context that were made before it does not touch the pool."""
    before = [np.ones(n) for n in (1, 10, 1000, 100_000)]
    with pool.numpy_allocator():
        del before
        assert pool.stats().frees == 0


def test_full_pool_falls_back(pool):
    """An array for which the pool has no room has NumPy's memory; the next one that fits is in the pool again."""
    with pool.numpy_allocator():
        a, b, c = (np.zeros(8 * 4096, "u1") for _ in range(3))
        assert [lies_in(x, pool) for x in (a, b, c)] == [True, True, False]
        assert pool.stats().failures == 1
        a = None
        d = np.zeros(8 * 4096, "u1")
        assert lies_in(d, pool)
    b = c = d = None
    assert (a, b, c, d) == (None,) * 4
    assert blocks_of(pool) == []


def test_too_large_falls_back(pool):
    """An array of exactly the pool's size is in the pool; one byte more, and it has NumPy's memory."""
    with pool.numpy_allocator():
        whole = np.ones(pool.nbytes, "u1")
        assert lies_in(whole, pool)
        del whole
        assert not lies_in(np.ones(pool.nbytes + 1, "u1"), pool)
        assert pool.stats().failures == 1


def test_impossible_sizes_are_numpys_error(pool):
    """A size that no memory can hold raises NumPy's MemoryError, as without the pool."""
    with pool.numpy_allocator():
        for make in (np.empty, np.zeros):
            with pytest.raises(MemoryError):
                make(2**62, "u1")


@pytest.mark.parametrize("block_size", [16, 64, 4096])
def test_half_a_block_is_the_least(block_size):
    """Arrays of half a block and more are in the pool; smaller ones have NumPy's memory."""
    pool = bp.Pool(block_size, 4, debug=False)
    with pool.numpy_allocator():
        assert lies_in(np.empty(block_size // 2, "u1"), pool)
        assert not lies_in(np.empty(block_size // 2 - 1, "u1"), pool)
    assert pool.stats().failures == 0


def test_arrays_without_bytes(pool):
    """An array without elements works, and takes no block."""
    with pool.numpy_allocator():
        assert np.zeros((0, 5)).shape == (0, 5)
        assert np.empty(0).tolist() == []
    assert pool.stats().allocations == 0


def test_one_block_may_serve_no_bytes():
    """With blocks of 16 bytes even the smallest array is in the pool."""
    pool = bp.Pool(16, 4, debug=False)
    with pool.numpy_allocator():
        assert lies_in(np.empty(1), pool)


def test_zeros_are_zero_in_dirty_blocks(pool):
    """numpy.zeros clears memory that earlier arrays used, up to its last byte."""
    with pool.numpy_allocator():
        dirty = np.full(pool.nbytes, 0xAB, "u1")
        del dirty
        for nbytes in (4096, 5000, 3 * 4096 - 1):
            clean = np.zeros(nbytes, "u1")
            assert lies_in(clean, pool)
            assert not clean.any()


def test_zeros_do_not_write_past_their_bytes(pool):
    """numpy.zeros does not change the block after its own."""
    with pool.numpy_allocator():
        arrays = [np.full(4096, 1, "u1"), np.full(4096, 2, "u1")]
        del arrays[0]
        arrays.insert(0, np.zeros(4096, "u1"))
        assert blocks_of(pool) == [(0, 1), (1, 1)]
        assert (arrays[1] == 2).all()


@pytest.mark.parametrize(
    ("old", "new", "runs"),
    [
        (3000, 4000, [(0, 1)]),  # within the block
        (4096, 2048, [(0, 1)]),  # to half of the run
        (4096, 4097, [(1, 2)]),  # to one byte more than the block has
        (2048, 5000, [(1, 2)]),  # to a longer one: beside itself, since both are needed to copy
        (9000, 3000, [(3, 1)]),  # to less than half: the rest must not be wasted
        (9000, 100, []),  # to less than half a block: NumPy's own
        (2048, 16 * 4096 + 1, []),  # larger than the pool: NumPy's own
        (5000, 15 * 4096, []),  # no room for it: NumPy's own
        (100, 9000, []),  # what began with NumPy stays there
    ],
)
def test_resize(old, new, runs):
    """A resized array keeps its elements, and its place while it fits there and uses at least half of it."""
    pool = bp.Pool("4KiB", 16, debug=False)
    expected = np.arange(old).astype("u1")
    with pool.numpy_allocator():
        a = expected.copy()
        place = a.ctypes.data
        a.resize(new, refcheck=False)
        kept = min(old, new)
        assert (a[:kept] == expected[:kept]).all()
        assert not a[kept:].any()
        assert blocks_of(pool) == runs
        assert (a.ctypes.data == place) == (runs == [(0, 1)]) or not runs
        pool.check()
    del a
    assert blocks_of(pool) == []
    stats = pool.stats()
    assert (stats.requested_bytes, stats.allocations) == (0, stats.frees)


def test_resize_keeps_memory_that_cannot_move(pool):
    """A resize for which there is no memory raises MemoryError and leaves the array as it was."""
    with pool.numpy_allocator():
        a = np.arange(1024)
        with pytest.raises(MemoryError):
            a.resize(2**59, refcheck=False)
        assert (a == np.arange(1024)).all()
        assert blocks_of(pool) == [(0, 2)]


def test_resize_outside_of_the_context(pool):
    """An array is resized by the handler that made it, whatever the context is at that time."""
    with pool.numpy_allocator():
        a = np.arange(512)
    b = np.arange(512)
    a.resize(1024, refcheck=False)
    with pool.numpy_allocator():
        b.resize(1024, refcheck=False)
    assert lies_in(a, pool)
    assert not lies_in(b, pool)
    assert a[:512].tolist() == b[:512].tolist() == list(range(512))


def test_freed_in_other_threads(pool):
    """Arrays come back to the pool from any thread that drops them."""
    with pool.numpy_allocator():
        arrays = [np.ones(512) for _ in range(16)]
    assert pool.stats().free == 0
    with ThreadPoolExecutor(4) as executor:
        for _ in range(16):
            executor.submit(arrays.pop)
    assert blocks_of(pool) == []
    assert pool.check().allocated == 0


def test_threads_that_allocate_and_free_at_once():
    """Threads that free each other's arrays see only the values written, and leave no block allocated."""
    pool = bp.Pool("4KiB", 64, debug=False)
    exchange, wrong = [], []

    def work(number):
        chance = random.Random(number)
        with pool.numpy_allocator():
            for _ in range(300):
                value = chance.randrange(256)
                exchange.append((value, np.full(chance.randrange(1, 20_000), value, "u1")))
                if len(exchange) > 20:
                    value, array = exchange.pop(0)
                    if not (array == value).all():
                        wrong.append(value)
                    del array

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool.stats().allocations > 100
    exchange.clear()
    assert wrong == []
    assert pool.check().allocated == 0


def test_a_new_thread_starts_with_numpys_own(pool):
    """A new thread begins with NumPy's allocator, and a copied context carries the pool's into it."""
    with pool.numpy_allocator(), ThreadPoolExecutor(1) as executor:
        assert executor.submit(get_handler_name).result() == NUMPYS_OWN
        context = contextvars.copy_context()
        assert executor.submit(context.run, get_handler_name).result() == "blockpool"


def test_tasks_inherit_and_do_not_leak(pool):
    """Asyncio tasks started inside the context inherit the allocator; what they enter does not affect others."""
    entered = pool.numpy_allocator()

    async def inside(seen, other):
        with entered:
            seen.set()
            await other.wait()
            assert lies_in(np.ones(512), pool)
        return get_handler_name()

    async def outside():
        seen, other = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(inside(seen, other))
        await seen.wait()
        assert get_handler_name() == NUMPYS_OWN
        with pool.numpy_allocator():
            second = asyncio.create_task(inside(other, seen))  # the same object, left in another order
        return [await first, await second]

    assert asyncio.run(outside()) == [NUMPYS_OWN, "blockpool"]


def test_nested_pools(pool):
    """In nested contexts the innermost pool serves, and leaving it restores the one before."""
    other = bp.Pool("4KiB", 16, debug=False)
    with pool.numpy_allocator():
        with other.numpy_allocator():
            a = np.ones(512)
            assert lies_in(a, other)
            with pool.numpy_allocator():
                assert lies_in(np.ones(512), pool)
            assert lies_in(np.ones(512), other)
        assert lies_in(np.ones(512), pool)
        del a
    assert get_handler_name() == NUMPYS_OWN
    assert blocks_of(pool) == blocks_of(other) == []


def test_one_object_entered_again(pool):
    """The object that numpy_allocator() returns can be entered again, even inside itself."""
    allocator = pool.numpy_allocator()
    for _ in range(2):
        with allocator:
            with allocator:
                assert lies_in(np.ones(512), pool)
            assert lies_in(np.ones(512), pool)
        assert get_handler_name() == NUMPYS_OWN


def test_exceptions_leave_and_pass(pool):
    """An exception leaves the context and is not swallowed."""
    with pytest.raises(KeyError, match="mine"), pool.numpy_allocator():
        raise KeyError("mine")
    assert get_handler_name() == NUMPYS_OWN


def test_left_in_the_wrong_order(pool):
    """Leaving a context that is not the innermost, or not entered here, raises RuntimeError and changes nothing."""
    outer, inner = pool.numpy_allocator(), pool.numpy_allocator()
    with pytest.raises(RuntimeError, match="not the innermost"):
        outer.__exit__(None, None, None)
    with outer, inner:
        with pytest.raises(RuntimeError, match="not the innermost"):
            outer.__exit__(None, None, None)
        assert get_handler_name() == "blockpool"
        with pytest.raises(RuntimeError, match="in the context that"):
            contextvars.Context().run(inner.__exit__, None, None, None)
    assert get_handler_name() == NUMPYS_OWN


def test_arrays_outlive_the_pool():
    """Arrays keep their values after the pool is closed and gone; resizing one takes NumPy's memory."""
    pool = bp.Pool("4KiB", 16, debug=False)
    with pool.numpy_allocator():
        a = np.arange(2048)
    pool.close()
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    assert a.sum() == 2047 * 1024
    a.resize(4096, refcheck=False)  # its handler's pool is closed: NumPy's own
    assert a[:2048].sum() == 2047 * 1024


def test_the_memory_goes_with_the_last_array():
    """The pool's memory is unmapped when Pool, context and the last array are gone."""

    def mapped():
        return sum(address in line for line in Path("/proc/self/maps").read_text().splitlines())

    pool = bp.Pool("1MiB", 67, debug=False)
    address = f"{pool.address:x}-"
    with pool.numpy_allocator():
        a = np.ones(1 << 20, "u1")
    pool.close()
    del pool
    before = mapped()
    del a
    gc.collect()
    assert (before, mapped()) == (1, 0)


def test_closed_inside(pool):
    """After the pool is closed inside its context, new arrays have NumPy's memory, and those in the pool stay good."""
    with pool.numpy_allocator():
        a = np.ones(512)
        address = pool.address
        pool.close()
        b = np.ones(512)
        assert a.ctypes.data == address
        assert not address <= b.ctypes.data < address + 16 * 4096
        assert (a == b).all()


def test_closed_pools_are_refused(pool):
    """numpy_allocator() of a closed pool raises PoolClosed, and so does entering one whose pool was closed since."""
    allocator = pool.numpy_allocator()
    pool.close()
    with pytest.raises(bp.PoolClosed):
        pool.numpy_allocator()
    with pytest.raises(bp.PoolClosed):
        allocator.__enter__()
    assert get_handler_name() == NUMPYS_OWN


def test_shared_pools_are_refused(shared):
    """numpy_allocator() of a shared pool raises ValueError, which says to create a private pool."""
    with pytest.raises(ValueError, match="create a private pool"):
        shared.numpy_allocator()


def test_debug_pools_are_refused():
    """numpy_allocator() of a pool in debug mode raises ValueError, which says to use debug=False."""
    with pytest.raises(ValueError, match="debug=False"):
        bp.Pool(64, 4, debug=True).numpy_allocator()


def test_unaligned_pools_are_refused():
    """Blocks not aligned to 16 bytes raise ValueError, which tells the alignment and what to do."""
    with pytest.raises(ValueError, match=r"aligned to 16.* to 8; make block_size a multiple of 16$"):
        bp.Pool(24, 4, debug=False).numpy_allocator()
    lent = np.empty(1024, "u1")
    start = -lent.ctypes.data % 16 + 8
    with pytest.raises(ValueError, match="start the buffer on one"):
        bp.Pool(64, buffer=lent[start : start + 512], debug=False).numpy_allocator()


def test_without_numpy(run_program):
    """Without NumPy, numpy_allocator() raises ImportError, which says what to install."""
    said = run_program("arrays/without_numpy.py", "not installed", "allocator")
    assert "pip install 'numpy>=1.26'" in said


def test_a_lent_buffer_serves():
    """A pool in a buffer of the caller's serves NumPy too, and keeps the buffer until the last array is gone."""
    lent = bytearray(1 << 20)
    pool = bp.Pool(64, buffer=lent, debug=False)
    if pool.alignment < 16:
        pytest.skip("this bytearray is not aligned")
    with pool.numpy_allocator():
        a = np.full(4096, 7, "u1")
    pool.close()
    del pool
    with pytest.raises(BufferError):
        lent.append(0)
    assert lent.count(7) == 4096
    del a
    lent.append(0)


def test_statistics_are_right(pool):
    """Statistics count NumPy's arrays as runs of whole blocks, beside blocks that the pool gave itself."""
    with pool.numpy_allocator(), pool.allocate(nbytes=10):
        a, b = np.ones(100_00, "u1"), np.ones(4096, "u1")
        stats = pool.stats()
        assert (stats.allocated, stats.peak, stats.requested_bytes) == (5, 5, 4 * 4096 + 10)
        assert (stats.allocations, stats.frees, stats.failures) == (3, 0, 0)
        assert blocks_of(pool) == [(0, 1), (1, 3), (4, 1)]
        assert pool.check().runs == 3
        del a, b
    stats = pool.stats()
    assert (stats.allocated, stats.requested_bytes, stats.peak) == (0, 0, 5)
    assert (stats.allocations, stats.frees, stats.utilization) == (3, 3, 1)


def test_waiting_allocations_are_woken(pool, bookkeeping):
    """Dropping an array wakes a thread that waits for room."""
    with pool.numpy_allocator():
        a = np.ones(pool.nbytes, "u1")
    with ThreadPoolExecutor(1) as executor:
        waits = executor.submit(pool.allocate, timeout=60)
        bookkeeping(pool).await_waiting()
        del a
        waits.result().free()


def test_no_garbage_is_collected(pool):
    """An array that finds the pool full does not run the garbage collector."""
    with pool.numpy_allocator():
        keep = np.ones(pool.nbytes, "u1")
        before = [generation["collections"] for generation in gc.get_stats()][2]
        assert not lies_in(np.ones(512), pool)
        assert [generation["collections"] for generation in gc.get_stats()][2] == before
        del keep


def test_fork(pool):
    """A forked child has its own copy of pool and arrays, and what it frees and makes does not affect the parent."""
    with pool.numpy_allocator():
        a = np.arange(512)
        child = os.fork()
        if not child:
            failed = 1
            try:
                b = np.ones(512)
                good = lies_in(b, pool) and a.sum() == 511 * 256
                del b
                a[:] = 7
                del a
                good = good and pool.stats().allocated == 0 and get_handler_name() == "blockpool"
                pool.check()
                failed = not good
            finally:
                os._exit(failed)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert a.sum() == 511 * 256
        assert blocks_of(pool) == [(0, 1)]


@pytest.mark.parametrize("last", ["nothing", "drop", "close", "exit", "fork"])
def test_arrays_alive_at_exit(run_program, last):
    """The interpreter ends well with arrays alive and the context entered, whatever the program does last."""
    run_program("arrays/arrays_at_exit.py", last)


def test_numpys_own_tests_pass():
    """NumPy's own tests of arrays pass with their data in a pool; `make numpy-test` runs all of them."""
    done = subprocess.run(
        [sys.executable, SUITE, f"{CORE}.tests.test_multiarray"],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert int(re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)[1]) > 5000
    assert int(re.search(r"the pool served (\d+)", done.stdout)[1]) > 100_000
