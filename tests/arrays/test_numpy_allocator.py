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

try:
    from numpy._core.multiarray import get_handler_name
except ImportError:  # NumPy 1
    from numpy.core.multiarray import get_handler_name

NUMPYS_OWN = "default_allocator"
CORE = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"
SUITE = Path(__file__).parents[1] / "suites" / "numpy_suite.py"


@pytest.fixture
def pool():
    """Make a private pool of 16 blocks of 4 KiB, not in debug mode whatever the environment says; audit it."""
    made = bp.Pool("4KiB", 16, debug=False)
    yield made
    gc.collect()
    if not made.closed:
        made.check()


def is_in(pool, array):
    """Whether the array's bytes are in the pool's memory."""
    return pool.address <= array.ctypes.data < pool.address + pool.nbytes


def blocks_of(pool):
    """Return the runs that are allocated: first block, length."""
    return [(run.index, run.blocks) for run in pool.runs()]


def test_arrays_take_their_data_from_the_pool(pool):
    """Inside, new arrays and the results of arithmetic are in the pool; outside, they are not."""
    with pool.numpy_allocator():
        a = np.ones(1024)
        b = a + a
        assert blocks_of(pool) == [(0, 2), (2, 2)]
    c = a + b
    assert is_in(pool, a)
    assert is_in(pool, b)
    assert not is_in(pool, c)
    assert c.sum() == 3 * 1024
    assert get_handler_name(a) == get_handler_name(b) == "blockpool"
    assert get_handler_name(c) == NUMPYS_OWN


def test_freed_outside_of_the_context(pool):
    """An array that outlives the context gives its run back when it is gone, not before."""
    with pool.numpy_allocator():
        a = np.ones(1024)
    view = a[10:]
    del a
    assert blocks_of(pool) == [(0, 2)]
    del view
    assert blocks_of(pool) == []


def test_memory_of_numpys_own_goes_back_to_numpy(pool):
    """Arrays made before, and freed inside, do not touch the pool."""
    before = [np.ones(n) for n in (1, 10, 1000, 100_000)]
    with pool.numpy_allocator():
        del before
        assert pool.stats().frees == 0


def test_full_pool_falls_back(pool):
    """An array that finds no room is NumPy's own; the next that does is in the pool again."""
    with pool.numpy_allocator():
        a, b, c = (np.zeros(8 * 4096, "u1") for _ in range(3))
        assert [is_in(pool, x) for x in (a, b, c)] == [True, True, False]
        assert pool.stats().failures == 1
        a = None
        d = np.zeros(8 * 4096, "u1")
        assert is_in(pool, d)
    b = c = d = None
    assert (a, b, c, d) == (None,) * 4
    assert blocks_of(pool) == []


def test_too_large_falls_back(pool):
    """An array of more bytes than the pool has is NumPy's own, and one of exactly as many is not."""
    with pool.numpy_allocator():
        whole = np.ones(pool.nbytes, "u1")
        assert is_in(pool, whole)
        del whole
        assert not is_in(pool, np.ones(pool.nbytes + 1, "u1"))
        assert pool.stats().failures == 1


def test_impossible_sizes_are_numpys_error(pool):
    """What no memory can hold is a MemoryError of NumPy's, as without the pool."""
    with pool.numpy_allocator():
        for make in (np.empty, np.zeros):
            with pytest.raises(MemoryError):
                make(2**62, "u1")


@pytest.mark.parametrize("block_size", [16, 64, 4096])
def test_half_a_block_is_the_least(block_size):
    """Arrays of half a block and more are in the pool, smaller ones NumPy's own: they would waste most of a block."""
    pool = bp.Pool(block_size, 4, debug=False)
    with pool.numpy_allocator():
        assert is_in(pool, np.empty(block_size // 2, "u1"))
        assert not is_in(pool, np.empty(block_size // 2 - 1, "u1"))
    assert pool.stats().failures == 0


def test_arrays_without_bytes(pool):
    """An array of no elements works, and takes no block."""
    with pool.numpy_allocator():
        assert np.zeros((0, 5)).shape == (0, 5)
        assert np.empty(0).tolist() == []
    assert pool.stats().allocations == 0


def test_one_block_may_serve_no_bytes():
    """Of blocks so small that half of one is less than any array, every array is served."""
    pool = bp.Pool(16, 4, debug=False)
    with pool.numpy_allocator():
        assert is_in(pool, np.empty(1))


def test_zeros_are_zero_in_dirty_blocks(pool):
    """`zeros` clears what the last array left, to the last byte."""
    with pool.numpy_allocator():
        dirty = np.full(pool.nbytes, 0xAB, "u1")
        del dirty
        for nbytes in (4096, 5000, 3 * 4096 - 1):
            clean = np.zeros(nbytes, "u1")
            assert is_in(pool, clean)
            assert not clean.any()


def test_zeros_do_not_write_past_their_bytes(pool):
    """`zeros` leaves the neighbour's block alone."""
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
    """An array keeps its elements when it is resized, in the same place while that fits and is half used."""
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
    """A resize that fails is NumPy's MemoryError, and the array is as it was."""
    with pool.numpy_allocator():
        a = np.arange(1024)
        with pytest.raises(MemoryError):
            a.resize(2**59, refcheck=False)
        assert (a == np.arange(1024)).all()
        assert blocks_of(pool) == [(0, 2)]


def test_resize_outside_of_the_context(pool):
    """A resize asks the handler that the array has, not the one of the context."""
    with pool.numpy_allocator():
        a = np.arange(512)
    b = np.arange(512)
    a.resize(1024, refcheck=False)
    with pool.numpy_allocator():
        b.resize(1024, refcheck=False)
    assert is_in(pool, a)
    assert not is_in(pool, b)
    assert a[:512].tolist() == b[:512].tolist() == list(range(512))


def test_freed_in_other_threads(pool):
    """Arrays come back to the pool from whatever thread drops them."""
    with pool.numpy_allocator():
        arrays = [np.ones(512) for _ in range(16)]
    assert pool.stats().free == 0
    with ThreadPoolExecutor(4) as executor:
        for _ in range(16):
            executor.submit(arrays.pop)
    assert blocks_of(pool) == []
    assert pool.check().allocated == 0


def test_threads_that_allocate_and_free_at_once():
    """Threads in the same pool, freeing what others made, leave nothing behind and never see other's values."""
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
        thread.join(60)
    assert pool.stats().allocations > 100
    exchange.clear()
    assert wrong == []
    assert pool.check().allocated == 0


def test_a_new_thread_starts_with_numpys_own(pool):
    """The context is that of NumPy's context variable: a thread has its own, a copied context carries it along."""
    with pool.numpy_allocator(), ThreadPoolExecutor(1) as executor:
        assert executor.submit(get_handler_name).result() == NUMPYS_OWN
        context = contextvars.copy_context()
        assert executor.submit(context.run, get_handler_name).result() == "blockpool"


def test_tasks_inherit_and_do_not_leak(pool):
    """Tasks started inside inherit the allocator; what a task enters is of no concern to others."""
    entered = pool.numpy_allocator()

    async def inside(seen, other):
        with entered:
            seen.set()
            await other.wait()
            assert is_in(pool, np.ones(512))
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
    """The innermost pool serves; leaving it brings the one before back."""
    other = bp.Pool("4KiB", 16, debug=False)
    with pool.numpy_allocator():
        with other.numpy_allocator():
            a = np.ones(512)
            assert is_in(other, a)
            with pool.numpy_allocator():
                assert is_in(pool, np.ones(512))
            assert is_in(other, np.ones(512))
        assert is_in(pool, np.ones(512))
        del a
    assert get_handler_name() == NUMPYS_OWN
    assert blocks_of(pool) == blocks_of(other) == []


def test_one_object_entered_again(pool):
    """The object that numpy_allocator() returns may be entered again, also inside itself."""
    allocator = pool.numpy_allocator()
    for _ in range(2):
        with allocator:
            with allocator:
                assert is_in(pool, np.ones(512))
            assert is_in(pool, np.ones(512))
        assert get_handler_name() == NUMPYS_OWN


def test_exceptions_leave_and_pass(pool):
    """An exception ends the context and is not swallowed."""
    with pytest.raises(KeyError, match="mine"), pool.numpy_allocator():
        raise KeyError("mine")
    assert get_handler_name() == NUMPYS_OWN


def test_left_in_the_wrong_order(pool):
    """Leaving another one than the innermost, or one that is not entered here, is an error that changes nothing."""
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
    """Memory stays mapped, and right, until the last array is gone, even if Pool and context are."""
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
    """Once Pool, context and arrays are gone, the memory is unmapped."""

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
    """A pool closed inside its context serves nothing more; its arrays stay good."""
    with pool.numpy_allocator():
        a = np.ones(512)
        address = pool.address
        pool.close()
        b = np.ones(512)
        assert a.ctypes.data == address
        assert not address <= b.ctypes.data < address + 16 * 4096
        assert (a == b).all()


def test_closed_pools_are_refused(pool):
    """A closed pool, and an allocator of a pool closed since, say PoolClosed."""
    allocator = pool.numpy_allocator()
    pool.close()
    with pytest.raises(bp.PoolClosed):
        pool.numpy_allocator()
    with pytest.raises(bp.PoolClosed):
        allocator.__enter__()
    assert get_handler_name() == NUMPYS_OWN


def test_shared_pools_are_refused(shared):
    """A shared pool says that private ones are meant."""
    with pytest.raises(ValueError, match="make a private pool"):
        shared.numpy_allocator()


def test_debug_pools_are_refused():
    """A pool in debug mode says how to make one without."""
    with pytest.raises(ValueError, match="debug=False"):
        bp.Pool(64, 4, debug=True).numpy_allocator()


def test_unaligned_pools_are_refused():
    """Blocks at multiples of 8 alone are refused, and the message tells the alignment and what to do."""
    with pytest.raises(ValueError, match=r"aligned to 16.* to 8; make block_size a multiple of 16$"):
        bp.Pool(24, 4, debug=False).numpy_allocator()
    lent = np.empty(1024, "u1")
    start = -lent.ctypes.data % 16 + 8
    with pytest.raises(ValueError, match="start the buffer on one"):
        bp.Pool(64, buffer=lent[start : start + 512], debug=False).numpy_allocator()


def test_without_numpy(run_python):
    """Without NumPy there is an ImportError that says what to install."""
    said = run_python("""
        import sys
        import blockpool
        class Without:
            def find_spec(self, name, path=None, target=None):
                if name == "numpy":
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Without())
        try:
            blockpool.Pool(64, 4, debug=False).numpy_allocator()
        except ImportError as error:
            print(error)
    """)
    assert "pip install 'numpy>=1.26'" in said


def test_a_lent_buffer_serves():
    """A pool in memory of the caller's serves NumPy as well, and keeps the memory."""
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
    """Arrays count as any run does, in whole blocks, beside blocks of the pool's own."""
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
    """An array that goes makes room for a thread that waits for some."""
    with pool.numpy_allocator():
        a = np.ones(pool.nbytes, "u1")
    with ThreadPoolExecutor(1) as executor:
        waits = executor.submit(pool.allocate, timeout=30)
        bookkeeping(pool).await_waiting()
        del a
        waits.result().free()


def test_no_garbage_is_collected(pool):
    """A full pool does not run the garbage collector, as exhaustion does elsewhere."""
    with pool.numpy_allocator():
        keep = np.ones(pool.nbytes, "u1")
        before = [generation["collections"] for generation in gc.get_stats()][2]
        assert not is_in(pool, np.ones(512))
        assert [generation["collections"] for generation in gc.get_stats()][2] == before
        del keep


def test_fork(pool):
    """A child has its own copy of pool and arrays, and what it frees and makes is its own."""
    with pool.numpy_allocator():
        a = np.arange(512)
        child = os.fork()
        if not child:
            failed = 1
            try:
                b = np.ones(512)
                good = is_in(pool, b) and a.sum() == 511 * 256
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


@pytest.mark.parametrize("end", ["", "del pool", "pool.close()", "sys.exit()", "os.fork()"])
def test_arrays_alive_at_exit(run_python, end):
    """The interpreter ends well with arrays of a pool alive, the context still entered, and threads' arrays too."""
    run_python(f"""
        import os, sys, threading
        import numpy as np
        import blockpool
        pool = blockpool.Pool("4KiB", 64, debug=False)
        pool.numpy_allocator().__enter__()
        a, b = np.ones(1024), [np.zeros(5000)]
        b.append(b)
        np.kept = np.ones(1024)
        def work():
            with pool.numpy_allocator():
                threading.kept = np.ones(1024)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert pool.stats().allocations == 4
        {end}
    """)


def test_numpys_own_tests_pass():
    """NumPy's tests of arrays pass with their data in a pool; `make numpy-test` runs all of them."""
    done = subprocess.run(
        [sys.executable, SUITE, f"{CORE}.tests.test_multiarray"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert int(re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)[1]) > 5000
    assert int(re.search(r"the pool served (\d+)", done.stdout)[1]) > 100_000
