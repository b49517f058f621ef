"""IndexPool: freeing one index or many, every wrong way, and that a failing call frees nothing."""

import random
import threading
from array import array
from functools import partial

import pytest

import blockpool as bp
from indices import Index, orders, refuses
from threads import outcomes


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled", "back and forth"])
@pytest.mark.parametrize("kind", [list, tuple, lambda x: array("i", x), lambda x: array("q", x)])
@pytest.mark.parametrize("n", [1, 64, 65, 400, 1025, 5000])
def test_free_many_in_any_order(kind, order, n):
    """free_many frees a list, tuple or buffer in any order; a second time it raises DoubleFree and frees nothing."""
    ids = bp.IndexPool(5000)
    ids.allocate_many(5000)
    indices = orders(n)[order]
    assert ids.free_many(kind(indices)) is None
    assert ids.check() == 5000 - n
    assert not any(i in ids for i in indices)
    with refuses(ids, bp.DoubleFree, "is not allocated: freed before, or never allocated"):
        ids.free_many(kind(indices))
    assert sorted(ids.allocate_many(n)) == sorted(indices)


@pytest.mark.parametrize("step", [1, 2, 3, 63, 64, 65, 600, -1, -2, -64, -65, -999])
def test_free_many_of_a_range(step):
    """free_many frees a range of any step."""
    ids = bp.IndexPool(2000)
    ids.allocate_many(2000)
    indices = range(5, 1990, step) if step > 0 else range(1990, 5, step)
    ids.free_many(indices)
    assert [i for i in range(2000) if i not in ids] == sorted(indices)
    with refuses(ids, bp.DoubleFree, "is not allocated"):
        ids.free_many(indices)
    assert ids.check() == 2000 - len(indices)


@pytest.mark.parametrize("nothing", [[], (), range(0), range(9, 9), range(2**80, 2**70)])
def test_an_empty_list_or_range_frees_nothing(nothing):
    """free_many of an empty list or range frees nothing and raises nothing."""
    ids = bp.IndexPool(10)
    ids.free_many(nothing)
    assert ids.stats().frees == 0


@pytest.mark.parametrize(
    "indices",
    [
        range(90, 101),
        range(100, 50, -1),
        range(5, -2, -1),
        range(-1, 5),
        range(2**62),
        range(0, 2**70, 2**69),
        range(2**64, 2**64 + 2),
        range(2**64),
        range(0, -(2**70), -1),
    ],
)
def test_a_range_that_leaves_the_pool(indices):
    """A range that leaves the pool, however long, raises InvalidBlock and frees nothing."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    with refuses(ids, bp.InvalidBlock, "they are 0 to 99"):
        ids.free_many(indices)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [100, 127, 128, 2**31, 2**32 + 5, 2**63, 2**64, 2**64 + 5, 2**70])
def test_an_index_outside(sign, size):
    """Freeing an index outside the pool, alone or among others, raises InvalidBlock and frees nothing."""
    index = sign * size
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    with refuses(ids, bp.InvalidBlock, index, "they are 0 to 99"):
        ids.free(index)
    with refuses(ids, bp.InvalidBlock, index, "they are 0 to 99"):
        ids.free_many([5, 7, index, 9])
    assert index not in ids


@pytest.mark.parametrize("kind", ["i", "q"])
@pytest.mark.parametrize("index", [-1, 100, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)])
def test_an_index_outside_in_a_buffer(kind, index):
    """An index outside the pool in a buffer raises an InvalidBlock that shows it, and nothing is freed."""
    if kind == "i" and not -(2**31) <= index < 2**31:
        pytest.skip("not in 32 bits")
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    for place in range(3):
        indices = [5, 6]
        indices.insert(place, index)
        with refuses(ids, bp.InvalidBlock, f"no index {index} here", "nothing was freed"):
            ids.free_many(array(kind, indices))


@pytest.mark.parametrize(
    ("kind", "index"),
    [("I", 100), ("I", 2**31), ("I", 2**32 - 1), ("Q", 2**31), ("Q", 2**63 + 1), ("Q", 2**64 - 1)],
)
def test_an_unsigned_index_outside_in_a_buffer(kind, index):
    """A large unsigned index in a buffer raises an InvalidBlock that does not show it as a negative one."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    with refuses(ids, bp.InvalidBlock, f"no index {index} here", "nothing was freed"):
        ids.free_many(array(kind, [5, index]))


def test_misaligned_buffers():
    """A buffer that does not start at a multiple of its item size raises ValueError: C cannot read it."""
    numpy = pytest.importorskip("numpy")
    ids = bp.IndexPool(100)
    ids.allocate_many(50)
    for kind, past in (("i4", 1), ("i4", 2), ("i8", 4), ("u8", 1), ("u4", 3)):
        room = numpy.zeros(100, "u1")
        odd = room[(-room.ctypes.data) % 8 + past :][:80].view(kind)
        assert odd.ctypes.data % odd.itemsize
        with refuses(ids, ValueError, f"must start at a multiple of {odd.itemsize}"):
            ids.allocate_into(odd)
        with refuses(ids, ValueError, f"must start at a multiple of {odd.itemsize}"):
            ids.free_many(odd)
        assert not room.any()


def test_a_range_of_more_than_31_bits():
    """A range of more than 2**31 indices can be freed, all or nothing, from either end."""
    length = 2**31 + 70
    try:
        ids = bp.IndexPool(length + 100)
    except bp.PoolExhausted:
        pytest.skip("the machine has no room for the bitmap")
    run = ids.allocate_run(length + 1)
    with pytest.raises(bp.DoubleFree, match=f"index {run.stop} is not allocated"):
        ids.free_many(range(run.start, run.stop + 1))
    assert len(ids) == length + 1
    ids.free_many(run[:0:-1])
    assert len(ids) == 1
    ids.free_many(run[:1])
    assert ids.check() == 0


@pytest.mark.parametrize("index", [1.0, "1", None, b"1", [1], 1j])
def test_an_index_that_is_no_integer(index):
    """Freeing what is not an integer raises a TypeError that names its type, and frees nothing."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    with refuses(ids, TypeError, f"an index must be an int, not {type(index).__name__}"):
        ids.free(index)
    with refuses(ids, TypeError, f"an index must be an int, not {type(index).__name__}"):
        ids.free_many([5, index, 9])
    assert index not in ids


def test_numpy_numbers():
    """NumPy integers can be freed as indices; NumPy floats raise TypeError."""
    numpy = pytest.importorskip("numpy")
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    for wrong in (numpy.float64(1), numpy.float32(1)):
        with refuses(ids, TypeError, "an index must be an int"):
            ids.free(wrong)
        with refuses(ids, TypeError, "an index must be an int"):
            ids.free_many([0, wrong])
        assert wrong not in ids
    ids.free(numpy.int64(3))
    ids.free_many([numpy.int8(4), numpy.uint64(5), True])
    assert [i for i in range(100) if i not in ids] == [1, 3, 4, 5]


@pytest.mark.parametrize("kind", [list, tuple, lambda x: array("i", x), lambda x: array("q", x)])
@pytest.mark.parametrize(
    "indices",
    [
        [3, 3],
        [3, 4, 3],
        [63, 64, 63],
        [0, 64, 128, 0],
        [700, 3, 700],
        [*range(999, -1, -1), 500],
        [*range(1000), 0],
        [0, *range(999, -1, -1)],
        [*orders(1000)["shuffled"], 999],
        [*orders(5000)["shuffled"], 123],
        [*orders(5000)["back and forth"], 64],
    ],
    ids=range(11),
)
def test_an_index_twice(indices, kind):
    """An index that is twice in a batch, in any two places, raises DoubleFree, and nothing is freed."""
    ids = bp.IndexPool(5000)
    ids.allocate_many(5000)
    twice = next(i for at, i in enumerate(indices) if i in indices[:at])
    with refuses(ids, bp.DoubleFree, f"index {twice} is there twice", "nothing was freed"):
        ids.free_many(kind(indices))


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_one_index_of_many_not_allocated(order):
    """If one index of a batch is not allocated, free_many raises a DoubleFree that names it and frees nothing."""
    ids = bp.IndexPool(3000)
    ids.allocate_many(3000)
    ids.free(1700)
    for indices in (orders(3000)[order], array("i", orders(3000)[order])):
        with refuses(ids, bp.DoubleFree, "index 1700 is not allocated", "nothing was changed"):
            ids.free_many(indices)
    with refuses(ids, bp.DoubleFree, "index 1700 is not allocated"):
        ids.free_many(range(3000))


def test_a_second_free():
    """Freeing an index again raises DoubleFree and changes nothing, until the index is handed out again."""
    ids = bp.IndexPool(100)
    index = ids.allocate()
    ids.free(index)
    with refuses(ids, bp.DoubleFree, f"index {index} is not allocated"):
        ids.free(index)
    assert ids.allocate() == index
    ids.free(index)


def test_a_list_that_its_own_items_change():
    """free_many frees what a list held at the call, even if an item's __index__ changes the list."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    for others in ([], [90], [50] * 1000):
        indices = [1, 2, 3]
        indices[1] = Index(2, lambda held=indices, others=others: held.__init__(others))
        ids.free_many(indices)
        assert [i for i in range(100) if i not in ids] == [1, 2, 3]
        ids.allocate_many(3)


def test_an_item_that_frees_another():
    """If an item's __index__ frees another item, free_many raises DoubleFree and frees nothing more."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    with pytest.raises(bp.DoubleFree, match="index 5 is not allocated"):
        ids.free_many([5, Index(3, lambda: ids.free(5)), 4])
    assert [i for i in range(100) if i not in ids] == [5]
    assert ids.check() == 99
    assert ids.stats().frees == 1


def test_an_item_whose_index_fails():
    """An error from an item's __index__ passes through, and nothing is freed or allocated."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    wrong = Index(3, lambda: 1 // 0)
    for call in (ids.free, ids.allocate_many, ids.allocate_run, ids.__contains__):
        with refuses(ids, ZeroDivisionError):
            call(wrong)
    with refuses(ids, ZeroDivisionError):
        ids.free_many([1, wrong])
    with refuses(ids, ZeroDivisionError):
        ids.free_many([*range(99, 0, -1), wrong])


# --- threads ---


@pytest.mark.parametrize("kind", [list, lambda x: array("i", x)])
def test_two_threads_that_free_the_same(kind):
    """Of threads that free the same indices, exactly one succeeds; the others get DoubleFree that names an index."""
    ids = bp.IndexPool(20_000)
    for seed in range(20):
        indices = ids.allocate_many(6000)
        random.Random(seed).shuffle(indices)
        found = outcomes(*[partial(ids.free_many, kind(indices))] * 4)
        assert found.count(None) == 1
        for error in found:
            if error is not None:
                assert type(error) is bp.DoubleFree
                assert int(str(error).split()[1]) in indices
        assert ids.check() == 0
    assert ids.stats().frees == 20 * 6000


def test_two_threads_that_free_the_same_at_the_same_moment():
    """Of two threads that are both in the middle of the same list, one frees it and the other gets DoubleFree."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    middle = threading.Barrier(2)
    indices = [70, Index(3, middle.wait), 5]
    found = outcomes(*[partial(ids.free_many, indices)] * 2)
    assert found.count(None) == 1
    error = next(error for error in found if error)
    assert type(error) is bp.DoubleFree
    assert int(str(error).split()[1]) in (70, 3, 5)
    assert ids.check() == 97
    assert ids.stats().frees == 3


def test_a_batch_that_another_thread_frees_a_part_of():
    """Of two threads that free overlapping lists, one frees its list and the other frees nothing."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    middle = threading.Barrier(2)
    lists = [[1, Index(2, middle.wait), 3], [3, Index(4, middle.wait), 5]]
    found = outcomes(*[partial(ids.free_many, indices) for indices in lists])
    assert found.count(None) == 1
    assert "index 3 is not allocated" in str(next(error for error in found if error))
    assert {i for i in range(100) if i not in ids} in ({1, 2, 3}, {3, 4, 5})
