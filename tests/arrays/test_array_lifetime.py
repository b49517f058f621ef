"""Arrays and the memory of a pool: who keeps it, and when it comes back."""

import contextlib
import gc
import random
import sys
import threading

import numpy as np
import pytest

import blockpool as bp

VIEWS = {
    "slice": lambda array: array[3:5],
    "negative strides": lambda array: array[::-1, ::-2],
    "empty slice": lambda array: array[:0],
    "element": lambda array: array[1:2, 1:2].reshape(()),
    "reshape": lambda array: array.reshape(-1),
    "transpose": lambda array: array.T,
    "dtype": lambda array: array.view(np.uint8),
    "broadcast": lambda array: np.broadcast_to(array, (2, 16, 64)),
    "view of views": lambda array: array.T[1:].view()[..., None].squeeze(),
    "flat": lambda array: array.flat,
    "memoryview": memoryview,
    "from_dlpack": np.from_dlpack,
    "asarray of a memoryview": lambda array: np.asarray(memoryview(array)),
    "masked": np.ma.asarray,
    "real": lambda array: array.view(np.complex128).real,
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_keeps_the_memory(each, make_array, view):
    """Whatever shows the array's memory keeps it when the array has gone; the last gives it back."""
    kept = view(make_array(each))
    assert each.stats().allocated == 2
    del kept
    assert each.stats().allocated == 0


COPIES = {
    "fancy": lambda array: array[[1, 2]],
    "mask": lambda array: array[array != array],  # noqa: PLR0124 - whatever is there
    "copy": np.copy,
    "sum": lambda array: array + 1,
    "astype": lambda array: array.astype(np.int8),
    "scalar": lambda array: array[0, 0],
    "bytes": lambda array: array.tobytes(),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_does_not(each, copy):
    """What has memory of its own lets the array's go."""
    kept = copy(each.zeros((16, 64)))
    assert each.stats().allocated == 0
    del kept


def test_an_array_outlives_pool_and_block(make_array):
    """After close and the end of the Pool object, the memory is still there."""
    pool = bp.Pool("4KiB", 4)
    array = make_array(pool)
    array[:] = 5
    pool.close()
    del pool
    gc.collect()
    assert (array == 5).all()
    array[:] = 6
    assert array.sum() == 6 * 16 * 64


def test_a_shared_pool_ends_with_its_last_array(pool_name, file_of):
    """The process stays in the pool as long as it has an array there."""
    array = bp.Pool.create("4KiB", 4, name=pool_name).zeros(3)
    gc.collect()
    assert file_of(pool_name).exists()
    assert array.tolist() == [0, 0, 0]
    del array
    assert not file_of(pool_name).exists()


def test_debug_mode_watches_arrays(each):
    """An array's run has a stack, as a block's has, until it comes back."""
    if not each.debug:
        with pytest.raises(ValueError, match="keeps no stacks"):
            each.outstanding()
        return
    array = each.empty(10, np.uint8)
    (run,) = each.outstanding()
    assert (run.nbytes, run.blocks) == (10, 1)
    assert "test_debug_mode_watches_arrays" in run.stack
    del array
    assert each.outstanding() == []


@pytest.mark.parametrize(
    "make",
    ["bp.Pool('4KiB', 4)", "bp.Pool('4KiB', 4, debug=True)", "bp.Pool.create('4KiB', 4)"],
)
def test_a_forked_child(run_python, make):
    """It has its parent's arrays and makes its own; what it drops is still there for the parent."""
    run_python(f"""
        import os, warnings
        import numpy as np
        import blockpool as bp
        warnings.simplefilter("ignore", DeprecationWarning)
        pool = {make}
        array = pool.full(512, 7)
        child = os.fork()
        if child == 0:
            assert (array == 7).all()
            mine = pool.zeros(512)
            assert pool.stats().allocated == 2
            array, mine = mine, None
            assert not array.any()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (array == 7).all()
        del array
        assert pool.stats().allocated == 0 if pool.recover() else True
        pool.check()
    """)


def test_a_forked_child_without_a_part_in_the_pool(run_python):
    """With on_fork="detach", PoolClosed; the parent goes on."""
    run_python("""
        import os
        import blockpool as bp
        pool = bp.Pool.create("4KiB", 4, on_fork="detach")
        array, block = pool.zeros(512), pool.allocate()
        child = os.fork()
        if child == 0:
            for call in (pool.empty, pool.zeros, pool.asarray, block.array):
                try:
                    call(3)
                except bp.PoolClosed:
                    continue
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not array.any()
        pool.empty(3)
    """)


@pytest.mark.stress
def test_arrays_in_many_threads(each):
    """No two arrays share memory, whoever makes and drops them; in the end all of it is back."""
    seed = random.randrange(2**32)
    problems = []

    def work(number):
        rng = random.Random(seed + number)
        kept = []
        for step in range(40 if each.debug else 400):
            with contextlib.suppress(bp.PoolExhausted):
                made = each.full(rng.choice([1, 500, 600, 1500]), number * 1000 + step, np.int64)
                kept.append((made[::-1], number * 1000 + step))
            while len(kept) > 3 or (kept and rng.random() < 0.4):
                array, value = kept.pop(rng.randrange(len(kept)))
                if not (array == value).all():
                    problems.append((number, step))
                del array

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not problems, f"seed {seed}"
    assert each.stats().allocated == 0
    each.check()
