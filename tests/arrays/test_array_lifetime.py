"""Arrays and the memory of a pool: what keeps it, and when it comes back."""

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
    """Anything that shows an array's memory keeps it after the array is gone; the last view gives it back."""
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
    """A copy of an array does not keep the array's memory."""
    kept = copy(each.zeros((16, 64)))
    assert each.stats().allocated == 0
    del kept


def test_an_array_outlives_pool_and_block(make_array):
    """An array can be read and written after its pool is closed and the Pool object is gone."""
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
    """A shared pool stays as long as a process has an array in it, and ends with the last one."""
    array = bp.Pool.create("4KiB", 4, name=pool_name).zeros(3)
    gc.collect()
    assert file_of(pool_name).exists()
    assert array.tolist() == [0, 0, 0]
    del array
    assert not file_of(pool_name).exists()


def test_debug_mode_watches_arrays(each):
    """In debug mode `outstanding` has the stack of each array, until its memory comes back."""
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


@pytest.mark.parametrize("kind", ["private", "debug", "shared"])
def test_a_forked_child(run_program, kind):
    """A forked child has its parent's arrays and makes its own; what it drops stays for the parent."""
    run_program("arrays/child_with_arrays.py", kind)


def test_a_forked_child_without_a_part_in_the_pool(run_program):
    """With on_fork='detach' every way to make an array raises PoolClosed in the child; the parent goes on."""
    run_program("arrays/detached_child.py")


@pytest.mark.stress
def test_arrays_in_many_threads(each):
    """Arrays that threads make and drop at once never share memory, and in the end all of it is back."""
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
