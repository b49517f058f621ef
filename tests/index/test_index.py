"""IndexPool: every call, every wrong way to make it, and that whatever fails changes nothing."""

import copy
import ctypes
import dataclasses
import gc
import pickle
import random
import struct
import threading
import weakref
from array import array
from contextlib import contextmanager, suppress
from functools import partial

import pytest

import blockpool as bp


def state(ids, buffers, failures=0):
    """Return all that can be seen of the pool and the buffers, less so many failures."""
    stats = ids.stats()
    stats = dataclasses.replace(stats, failures=stats.failures - failures)
    return bytes(ids.bitmap), stats, ids.check(), [memoryview(b).tobytes() for b in buffers]


@contextmanager
def refuses(ids, error, *words, buffers=(), failures=0):
    """Exactly this error, its message has the words, and nothing but the count of failures changed."""
    before = state(ids, buffers)
    with pytest.raises(error) as caught:
        yield
    assert caught.type is error, caught.value
    for word in words:
        assert str(word) in str(caught.value)
    assert state(ids, buffers, failures) == before


def numpy_array(kind):
    """Return what makes NumPy arrays of that type."""

    def make(n):
        return pytest.importorskip("numpy").full(n, 9, kind)

    return make


BUFFERS = {
    "array i": lambda n: array("i", [-1] * n),
    "array l": lambda n: array("l", [-1] * n),
    "array q": lambda n: array("q", [-1] * n),
    "array I": lambda n: array("I", [9] * n),
    "array Q": lambda n: array("Q", [9] * n),
    "ctypes int32": lambda n: (ctypes.c_int32 * n)(),
    "ctypes int64": lambda n: (ctypes.c_int64 * n)(),
    "ctypes size_t": lambda n: (ctypes.c_size_t * n)(),
    "memoryview i": lambda n: memoryview(bytearray(4 * n)).cast("i"),
    "memoryview q": lambda n: memoryview(bytearray(8 * n)).cast("q"),
    "memoryview n": lambda n: memoryview(bytearray(8 * n)).cast("n"),
    "memoryview, 2 dimensions": lambda n: memoryview(bytearray(4 * n)).cast("i", [n // 2, 2]),
    "part of a memoryview": lambda n: memoryview(bytearray(4 * n + 12)).cast("i")[2:-1],
    "numpy int32": numpy_array("int32"),
    "numpy int64": numpy_array("int64"),
    "numpy uint32": numpy_array("uint32"),
    "numpy <i4": numpy_array("<i4"),
}
every_buffer = pytest.mark.parametrize("make", BUFFERS.values(), ids=BUFFERS)


def values(buffer):
    """Return the integers in the buffer, whatever it calls its items."""
    view = memoryview(buffer)
    kind = {4: "i", 8: "q"}[view.itemsize]
    return list(struct.unpack(f"={view.nbytes // view.itemsize}{kind}", view.tobytes()))


class Index:
    """Has an index, and may do something when asked for it."""

    def __init__(self, value, then=lambda: None):
        self.value, self.then = value, then

    def __index__(self):
        self.then()
        return self.value


# --- making a pool ---


@pytest.mark.parametrize("capacity", [1, 63, 64, 65, 511, 512, 513, 40_000])
def test_every_index_is_handed_out_once(capacity):
    """A pool of any capacity hands out 0 to capacity - 1, once each, and then none; freed, it begins anew."""
    ids = bp.IndexPool(capacity)
    assert (ids.capacity, len(ids), ids.check()) == (capacity, 0, 0)
    for _ in range(2):
        assert sorted(ids.allocate() for _ in range(capacity)) == list(range(capacity))
        assert ids.check() == len(ids) == capacity
        with refuses(ids, bp.PoolExhausted, "asked for 1 index; 0 of", "longest run 0", failures=1):
            ids.allocate()
        for index in range(capacity):
            ids.free(index)
        assert ids.check() == len(ids) == 0
    assert ids.stats().failures == 2


def test_the_capacity_may_have_a_name_and_an_index():
    """`capacity` is any whole number, also by name."""
    assert bp.IndexPool(capacity=Index(7)).capacity == 7


@pytest.mark.parametrize("capacity", [0, -1, -(2**70)])
def test_a_capacity_below_one_is_a_value_error(capacity):
    """The message names it."""
    with pytest.raises(ValueError, match=f"capacity must be at least 1, not {capacity}"):
        bp.IndexPool(capacity)


@pytest.mark.parametrize("capacity", [1.0, "100", None, [1]])
def test_a_capacity_that_is_no_whole_number_is_a_type_error(capacity):
    """The message names its type."""
    with pytest.raises(TypeError, match=f"capacity must be an int, not {type(capacity).__name__}"):
        bp.IndexPool(capacity)


@pytest.mark.parametrize("capacity", [2**48, 2**48 + 1, 2**62, 2**63, 2**64, 2**64 + 5, 2**70])
def test_more_than_the_machine_has(capacity):
    """A bitmap that does not fit is PoolExhausted at once, whatever the integer's size."""
    with pytest.raises(bp.PoolExhausted, match=f"asked for {capacity} indices.*ask for fewer"):
        bp.IndexPool(capacity)


def test_construction_without_a_capacity():
    """No way around the constructor leaves a pool without memory."""
    with pytest.raises(TypeError):
        bp.IndexPool()
    with pytest.raises(TypeError):
        bp.IndexPool.__new__(bp.IndexPool)
    with pytest.raises(TypeError):
        object.__new__(bp.IndexPool)
    with pytest.raises(TypeError):
        type("Derived", (bp.IndexPool,), {})


def test_a_pool_cannot_be_pickled_or_copied():
    """Two copies would hand out the same indices."""
    ids = bp.IndexPool(3)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            pickle.dumps(ids, protocol)
    for way in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            way(ids)


def test_a_pool_ends_with_its_last_reference():
    """It can be referred to weakly, and goes at once."""
    ids = bp.IndexPool(3)
    gone = weakref.ref(ids)
    assert repr(ids) == "<blockpool.IndexPool 0 of 3 allocated>"
    del ids
    assert gone() is None


# --- allocating ---


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("count", [1, 2, 64, 512, 513, 1024, 1025, 5000])
def test_allocate_many(count, packed):
    """It gives a list of so many different indices; also beyond what fits on the stack, and without the GIL."""
    ids = bp.IndexPool(5000)
    found = ids.allocate_many(count, packed=packed)
    assert type(found) is list
    assert sorted(found) == list(range(count))
    assert ids.check() == count
    ids.free_many(found)
    assert ids.check() == 0


def test_counts_may_have_an_index():
    """A count is any whole number."""
    ids = bp.IndexPool(5)
    assert ids.allocate_many(Index(2)) == [0, 1]
    assert ids.allocate_run(Index(3)) == range(2, 5)


@pytest.mark.parametrize("name", ["allocate_many", "allocate_run"])
@pytest.mark.parametrize(
    ("count", "error", "words"),
    [
        (0, ValueError, "at least 1, not 0"),
        (-1, ValueError, "at least 1, not -1"),
        (-(2**70), ValueError, f"at least 1, not {-(2**70)}"),
        (1.0, TypeError, "not float 1.0"),
        ("1", TypeError, "not str '1'"),
        (None, TypeError, "not NoneType"),
    ],
)
def test_wrong_counts(name, count, error, words):
    """A count below 1, or no whole number, changes nothing."""
    ids = bp.IndexPool(100)
    with refuses(ids, error, words):
        getattr(ids, name)(count)


@pytest.mark.parametrize("name", ["allocate_many", "allocate_run"])
@pytest.mark.parametrize("count", [101, 2**31, 2**64, 2**70])
def test_counts_over_the_capacity(name, count):
    """More than there are is PoolExhausted, counted as a failure, and says what to do."""
    ids = bp.IndexPool(100)
    with refuses(ids, bp.PoolExhausted, count, "the pool has only 100; make it larger", failures=1):
        getattr(ids, name)(count)


@pytest.mark.parametrize("packed", [False, True])
def test_many_are_all_or_nothing(packed):
    """One index too few, scattered as they may be: none is allocated, and the buffer stays."""
    ids = bp.IndexPool(3000)
    ids.allocate_many(3000)
    ids.free_many(range(0, 3000, 7))
    free = 3000 - len(ids)
    buffer = array("i", [-7] * (free + 1))
    words = f"{free} of 3000 free, longest run 1"
    with refuses(ids, bp.PoolExhausted, f"asked for {free + 1} indices", words, failures=1):
        ids.allocate_many(free + 1, packed=packed)
    with refuses(ids, bp.PoolExhausted, words, buffers=[buffer], failures=1):
        ids.allocate_into(buffer, packed=packed)
    assert sorted(ids.allocate_many(free, packed=packed)) == list(range(0, 3000, 7))


def test_allocate_run():
    """It gives a range of adjacent indices: the first that is long enough."""
    ids = bp.IndexPool(200)
    assert ids.allocate_run(200) == range(200)
    ids.free_many(range(10, 13))
    ids.free_many(range(60, 135))
    with refuses(ids, bp.PoolExhausted, "asked for 76 adjacent", "78 of 200", "run 75", failures=1):
        ids.allocate_run(76)
    assert ids.allocate_run(4) == range(60, 64)
    assert ids.allocate_run(3) == range(10, 13)
    assert ids.allocate_run(71) == range(64, 135)
    assert len(ids) == 200


def test_packed_takes_the_longest_runs_first():
    """Of free runs of 5, 40, 20 and 64 adjacent indices, 100 are found in two."""
    ids = bp.IndexPool(1000)
    ids.allocate_run(1000)
    for run in (range(5), range(100, 140), range(300, 320), range(600, 664)):
        ids.free_many(run)
    assert ids.allocate_many(100, packed=True) == [*range(600, 664), *range(100, 136)]
    buffer = array("q", [0] * 24)
    ids.allocate_into(buffer, packed=True)
    assert list(buffer) == [*range(300, 320), *range(4)]


@pytest.mark.parametrize("packed", [False, True])
@every_buffer
def test_allocate_into_and_free(make, packed):
    """Any contiguous buffer of 32-bit or 64-bit integers is filled, and free_many takes it as it is."""
    for n in (2, 64, 512, 1026, 4998):
        ids = bp.IndexPool(5001)
        ids.allocate_run(3)
        buffer = make(n)
        assert ids.allocate_into(buffer, packed=packed) is None
        assert sorted(values(buffer)) == list(range(3, 3 + n))
        assert ids.check() == n + 3
        ids.free_many(buffer)
        assert ids.check() == 3


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: bytearray(8), TypeError, "format 'B'"),
        (lambda: array("h", [1, 1]), TypeError, "format 'h'"),
        (lambda: array("b", [1, 1]), TypeError, "format 'b'"),
        (lambda: array("f", [1, 1]), TypeError, "format 'f'"),
        (lambda: array("d", [1, 1]), TypeError, "format 'd'"),
        (lambda: memoryview(bytearray(2)).cast("?"), TypeError, "format '?'"),
        (lambda: memoryview(bytearray(16)).cast("P"), TypeError, "format 'P'"),
        (lambda: (ctypes.c_int32.__ctype_be__ * 2)(1, 1), TypeError, "format '>i'"),
        (lambda: (ctypes.c_int64.__ctype_be__ * 2)(1, 1), TypeError, "format '>"),
        (lambda: memoryview(array("i", range(8)))[::2], ValueError, "contiguous"),
        (lambda: memoryview(array("i", range(8)))[::-1], ValueError, "contiguous"),
        (lambda: array("i"), ValueError, "empty"),
        (lambda: array("q"), ValueError, "empty"),
        (lambda: {1, 2}, TypeError, "not set"),
        (lambda: 3, TypeError, "not int"),
        (lambda: None, TypeError, "not NoneType"),
        (lambda: "12", TypeError, "not str"),
        (lambda: iter([1, 2]), TypeError, "not list_iterator"),
    ],
)
def test_wrong_buffers(make, error, words):
    """Neither filled nor freed: another type, order of bytes, strided, empty, or no buffer at all."""
    ids = bp.IndexPool(100)
    ids.allocate_many(40)
    buffer = make()
    with refuses(ids, error, words):
        ids.allocate_into(buffer)
    with refuses(ids, error, words):
        ids.free_many(buffer)


def test_wrong_numpy_buffers():
    """The same, of NumPy arrays; one of no dimensions is an index."""
    numpy = pytest.importorskip("numpy")
    ids = bp.IndexPool(100)
    for kind in [
        "float32",
        "float64",
        "int8",
        "int16",
        "uint16",
        "bool",
        ">i4",
        ">i8",
        "c8",
        "i4,i4",
        "O",
    ]:
        wrong = numpy.zeros(4, kind)
        with refuses(ids, TypeError, "32-bit or 64-bit integers, not of format"):
            ids.allocate_into(wrong)
        with refuses(ids, TypeError, "32-bit or 64-bit integers, not of format"):
            ids.free_many(wrong)
    with refuses(ids, ValueError):  # NumPy does not export it at all
        ids.free_many(numpy.zeros(4, "M8[s]"))
    for strided in (numpy.zeros((4, 4), "i4").T[1:], numpy.zeros(8, "i4")[::2]):
        with refuses(ids, ValueError, "contiguous", buffers=[strided]):
            ids.allocate_into(strided)
    one = numpy.array(-1, "i4")
    ids.allocate_into(one)
    assert one == 0
    ids.free_many(one)
    assert len(ids) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"12345678",
        lambda: memoryview(array("i", [5])).toreadonly(),
        lambda: bp.IndexPool(64).bitmap,
    ],
)
def test_what_is_read_only_is_not_filled(make):
    """The message says so."""
    ids = bp.IndexPool(100)
    buffer = make()
    with refuses(ids, ValueError, "must be writable", buffers=[buffer]):
        ids.allocate_into(buffer)


def test_allocate_into_wants_a_buffer():
    """A list cannot be filled."""
    ids = bp.IndexPool(100)
    with refuses(ids, TypeError, "array.array('i')", "not list"):
        ids.allocate_into([0, 0])


def test_a_buffer_longer_than_the_pool():
    """It is PoolExhausted, and stays as it is."""
    ids = bp.IndexPool(100)
    buffer = array("i", [5] * 101)
    with refuses(ids, bp.PoolExhausted, "has only 100", buffers=[buffer], failures=1):
        ids.allocate_into(buffer)


def test_a_pool_too_large_for_32_bits():
    """Indices beyond 2**31 - 1 need 64 bits; with them, all is as ever."""
    try:
        ids = bp.IndexPool(2**31 + 64)
    except bp.PoolExhausted as error:
        pytest.skip(str(error))
    buffer = array("i", [5])
    with pytest.raises(ValueError, match="needs 64-bit integers"):
        ids.allocate_into(buffer)
    assert buffer[0] == 5
    last = range(2**31 - 2, 2**31 + 64)
    ids.allocate_run(2**31 - 2)
    wide = array("q", [0] * len(last))
    ids.allocate_into(wide)
    assert list(wide) == list(last)
    with pytest.raises(bp.InvalidBlock, match="no index -2147483648"):
        ids.free_many(array("i", [-(2**31)]))
    ids.free_many(wide)
    assert len(ids) == 2**31 - 2


# --- freeing ---


def orders(n):
    """Return 0 to n - 1 in four orders."""
    shuffled = list(range(n))
    random.Random(n).shuffle(shuffled)
    return {
        "ascending": list(range(n)),
        "descending": list(range(n - 1, -1, -1)),
        "shuffled": shuffled,
        "back and forth": [i // 2 if i % 2 else n - 1 - i // 2 for i in range(n)],
    }


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled", "back and forth"])
@pytest.mark.parametrize("kind", [list, tuple, lambda x: array("i", x), lambda x: array("q", x)])
@pytest.mark.parametrize("n", [1, 64, 65, 400, 1025, 5000])
def test_free_many_in_any_order(kind, order, n):
    """Lists, tuples and buffers free the same, whatever the order; a second time nothing."""
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
    """A range of any step frees what it names."""
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
    """It is no error."""
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
    """It is InvalidBlock, however long, and frees nothing."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    with refuses(ids, bp.InvalidBlock, "they are 0 to 99"):
        ids.free_many(indices)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [100, 127, 128, 2**31, 2**32 + 5, 2**63, 2**64, 2**64 + 5, 2**70])
def test_an_index_outside(sign, size):
    """It is InvalidBlock, alone or among others, frees nothing, and is not in the pool."""
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
    """The same, of a buffer; the message shows the number as it was."""
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
    """An unsigned integer is never taken for a negative one."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    with refuses(ids, bp.InvalidBlock, f"no index {index} here", "nothing was freed"):
        ids.free_many(array(kind, [5, index]))


def test_misaligned_buffers():
    """Integers that do not start at a multiple of their size are a ValueError: C cannot read them so."""
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
    """A range of any length can be freed, all or nothing, from either end."""
    length = 2**31 + 70
    try:
        ids = bp.IndexPool(length + 100)
    except bp.PoolExhausted:
        pytest.skip("the machine has no room for the bitmap")
    ids.allocate()
    run = ids.allocate_run(length)
    with pytest.raises(bp.DoubleFree, match=f"index {length + 1} is not allocated"):
        ids.free_many(range(length + 2))
    assert len(ids) == length + 1
    ids.free_many(run[::-1])
    assert len(ids) == 1
    ids.free_many(range(1))
    assert ids.check() == 0


@pytest.mark.parametrize("index", [1.0, "1", None, b"1", [1], 1j])
def test_an_index_that_is_no_integer(index):
    """It is a TypeError that names it, frees nothing, and is not in the pool."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    with refuses(ids, TypeError, f"an index must be an int, not {type(index).__name__}"):
        ids.free(index)
    with refuses(ids, TypeError, f"an index must be an int, not {type(index).__name__}"):
        ids.free_many([5, index, 9])
    assert index not in ids


def test_numpy_numbers():
    """NumPy integers are indices, its floats are not."""
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
    """One index twice in a batch is DoubleFree, wherever the two stand, and nothing is freed."""
    ids = bp.IndexPool(5000)
    ids.allocate_many(5000)
    twice = next(i for at, i in enumerate(indices) if i in indices[:at])
    with refuses(ids, bp.DoubleFree, f"index {twice} is there twice", "nothing was freed"):
        ids.free_many(kind(indices))


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_one_index_of_many_not_allocated(order):
    """It is DoubleFree that names it; all others stay allocated."""
    ids = bp.IndexPool(3000)
    ids.allocate_many(3000)
    ids.free(1700)
    for indices in (orders(3000)[order], array("i", orders(3000)[order])):
        with refuses(ids, bp.DoubleFree, "index 1700 is not allocated", "nothing was changed"):
            ids.free_many(indices)
    with refuses(ids, bp.DoubleFree, "index 1700 is not allocated"):
        ids.free_many(range(3000))


def test_a_second_free():
    """It is DoubleFree and changes nothing, until the index is handed out again."""
    ids = bp.IndexPool(100)
    index = ids.allocate()
    ids.free(index)
    with refuses(ids, bp.DoubleFree, f"index {index} is not allocated"):
        ids.free(index)
    assert ids.allocate() == index
    ids.free(index)


def test_a_list_that_its_own_items_change():
    """free_many frees what the list held when it was called."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    for others in ([], [90], [50] * 1000):
        indices = [1, 2, 3]
        indices[1] = Index(2, lambda held=indices, others=others: held.__init__(others))
        ids.free_many(indices)
        assert [i for i in range(100) if i not in ids] == [1, 2, 3]
        ids.allocate_many(3)


def test_an_item_that_frees_another():
    """What an `__index__` frees meanwhile is free; the batch then is a double free, and takes nothing with it."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    with pytest.raises(bp.DoubleFree, match="index 5 is not allocated"):
        ids.free_many([5, Index(3, lambda: ids.free(5)), 4])
    assert [i for i in range(100) if i not in ids] == [5]
    assert ids.check() == 99
    assert ids.stats().frees == 1


def test_an_item_whose_index_fails():
    """Its error comes out, and nothing was freed; in `in`, likewise."""
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


def test_calls_take_no_other_arguments():
    """Arguments are by position, `packed` by name."""
    ids = bp.IndexPool(10)
    for call in (
        lambda: ids.allocate(1),
        lambda: ids.free(index=1),
        ids.free,
        lambda: ids.allocate_many(count=1),
        lambda: ids.allocate_many(1, True),  # noqa: FBT003
        lambda: ids.allocate_into(array("i", [1]), True),  # noqa: FBT003
        lambda: ids.allocate_run(1, packed=True),
        ids.free_many,
    ):
        with refuses(ids, TypeError):
            call()


def test_the_truth_of_packed_is_asked_before_anything_is_claimed():
    """An object without a truth value is its own error, and nothing is allocated."""

    class Undecided:
        def __bool__(self):
            raise RuntimeError("undecided")

    ids = bp.IndexPool(10)
    buffer = array("i", [7, 7])
    with refuses(ids, RuntimeError, "undecided"):
        ids.allocate_many(2, packed=Undecided())
    with refuses(ids, RuntimeError, "undecided", buffers=[buffer]):
        ids.allocate_into(buffer, packed=Undecided())


# --- looking ---


def test_contains():
    """`in` tells what is allocated; what is no index is not in."""
    ids = bp.IndexPool(130)
    ids.allocate_run(130)
    ids.free_many([0, 64, 129])
    assert [i for i in range(-5, 140) if i in ids] == sorted({*range(130)} - {0, 64, 129})
    assert Index(5) in ids
    assert Index(64) not in ids
    assert object() not in ids


def test_stats():
    """Counts of indices, the longest free run, the peak; failures are calls."""
    ids = bp.IndexPool(1000)
    ids.allocate_many(300)
    ids.allocate_run(100)
    ids.allocate_into(array("i", [0] * 50))
    ids.allocate()
    ids.free_many(range(100, 200))
    ids.free(0)
    for _ in range(2):
        with pytest.raises(bp.PoolExhausted):
            ids.allocate_run(600)
    stats = ids.stats()
    assert stats == bp.IndexStats(
        capacity=1000,
        allocated=350,
        free=650,
        peak=451,
        largest_free_run=549,
        fragmentation=1 - 549 / 650,
        allocations=451,
        frees=101,
        failures=2,
    )
    ids.allocate_many(650)
    assert ids.stats().fragmentation == 0.0
    assert ids.stats().peak == 1000


def test_the_bitmap():
    """It is a live, read-only view of 64-bit words; bits past the capacity are 1."""
    ids = bp.IndexPool(100)
    bitmap = ids.bitmap
    assert (bitmap.format, bitmap.itemsize, bitmap.shape, bitmap.readonly) == ("Q", 8, (2,), True)
    padding = ~((1 << 36) - 1) & (2**64 - 1)
    assert list(bitmap) == [0, padding]
    ids.allocate_run(65)
    assert list(bitmap) == [2**64 - 1, padding | 1]
    ids.free(3)
    assert bitmap[0] == 2**64 - 1 - 8
    with pytest.raises(TypeError, match="read-only"):
        bitmap[0] = 0
    with pytest.raises(TypeError):
        (ctypes.c_uint64 * 2).from_buffer(bitmap)
    assert bp.IndexPool(64).bitmap.shape == (1,)
    assert bp.IndexPool(513).bitmap.shape == (9,)


def test_the_bitmap_is_read_only_for_numpy():
    """So is an array made of it, which cannot be made writable."""
    numpy = pytest.importorskip("numpy")
    ids = bp.IndexPool(100)
    words = numpy.asarray(ids.bitmap)
    ids.allocate_run(4)
    assert words[0] == 15
    with pytest.raises(ValueError, match="read-only"):
        words[0] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        words.flags.writeable = True


def test_the_bitmap_outlives_the_pool():
    """Whoever holds the view holds the memory."""
    ids = bp.IndexPool(64 * 4096)
    bitmap = ids.bitmap
    part = bitmap[4000:]
    ids.allocate_many(64 * 4096)
    gone = weakref.ref(ids)
    del ids, bitmap
    gc.collect()
    assert gone() is None
    others = [bp.IndexPool(64 * 4096) for _ in range(8)]
    assert set(part) == {2**64 - 1}
    assert len(others) == 8


def test_the_object_behind_the_bitmap_is_of_no_use():
    """It cannot be made, remade, copied or pickled."""
    ids = bp.IndexPool(100)
    behind = ids.bitmap.obj
    kind = type(behind)
    for wrong in (
        kind,
        behind.__init__,
        lambda: kind.__new__(kind),
        lambda: copy.copy(behind),
        lambda: pickle.dumps(behind),
    ):
        with refuses(ids, TypeError):
            wrong()
    with pytest.raises(TypeError):
        type("Derived", (kind,), {})


def words_of(ids):
    """Return the words of the bitmap, writable: what a wild pointer could reach."""

    class View(ctypes.Structure):
        _fields_ = [
            ("buf", ctypes.c_void_p),
            ("obj", ctypes.py_object),
            ("rest", ctypes.c_char * 128),
        ]

    view = View()
    held = ids.bitmap
    assert ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(held), ctypes.byref(view), 0) == 0
    address = view.buf
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))
    return (ctypes.c_uint64 * len(held)).from_address(address)


def test_check_finds_a_cleared_bit_past_the_end():
    """The message says which index was the last."""
    ids = bp.IndexPool(100)
    words_of(ids)[1] = 0
    with pytest.raises(bp.PoolCorrupt, match="past the last index, 99, was cleared"):
        ids.check()


def test_check_finds_a_summary_that_promises_too_little():
    """Room that the summaries do not know of would never be found."""
    ids = bp.IndexPool(2048)
    ids.allocate_many(2048)
    words_of(ids)[0] = 0
    with pytest.raises(bp.PoolCorrupt, match="summary 0 promises less room than there is"):
        ids.check()


# --- threads ---


def run_threads(*functions):
    """Run each in a thread, all started at once; return what each returned or raised."""
    found = [None] * len(functions)
    start = threading.Barrier(len(functions))

    def run(number, function):
        start.wait()
        try:
            found[number] = function()
        except Exception as error:  # noqa: BLE001 - the caller looks at it
            found[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


class Worker:
    """Allocates and frees at random, and marks what is its own in an array that all share."""

    def __init__(self, ids, owners, number, seed):
        self.ids, self.owners, self.number = ids, owners, number
        self.chance = random.Random(seed + number)
        self.held = []

    def get(self, n):
        """Allocate about n indices in one of the ways there are."""
        match self.chance.randrange(5):
            case 0:
                return [self.ids.allocate()]
            case 1:
                return self.ids.allocate_many(n)
            case 2:
                got = array("i", [0] * n)
                self.ids.allocate_into(got)
                return got
            case 3:
                return self.ids.allocate_run(min(n, 200))
            case _:
                return self.ids.allocate_many(min(n, 300), packed=True)

    def hand_over(self, indices, before, after):
        """Change the owner of each."""
        for index in indices:
            assert self.owners[index] == before
            assert index in self.ids
            self.owners[index] = after

    def give_back(self):
        """Free one of the lots held."""
        self.chance.shuffle(self.held)
        back = self.held.pop()
        self.hand_over(back, self.number, 0)
        self.ids.free_many(back)

    def work(self):
        """Do all that, and leave nothing behind."""
        for _ in range(150):
            with suppress(bp.PoolExhausted):
                got = self.get(self.chance.choice((1, 5, 300, 1500, 5000)))
                self.hand_over(got, 0, self.number)
                self.held.append(got)
            while sum(map(len, self.held)) > 16_000 or (self.held and self.chance.random() < 0.3):
                self.give_back()
        while self.held:
            self.give_back()


@pytest.mark.stress
def test_threads_own_what_they_got():
    """No index has two owners, whichever calls got it, and in the end all are back."""
    ids = bp.IndexPool(60_000)
    owners = bytearray(60_000)
    seed = random.randrange(2**32)
    workers = [Worker(ids, owners, number, seed) for number in (1, 2, 3, 4)]
    assert run_threads(*[worker.work for worker in workers]) == [None] * 4, f"seed {seed}"
    assert ids.check() == len(ids) == 0
    stats = ids.stats()
    assert stats.allocations == stats.frees
    assert stats.peak <= 60_000


@pytest.mark.stress
def test_threads_that_want_more_than_there_is_for_both():
    """Of two that ask for 60 % at once, without the GIL, one gets it; the other gets nothing and leaves nothing."""
    ids = bp.IndexPool(1_000_000)
    buffers = [array("i", [-1]) * 600_000 for _ in range(2)]
    for _ in range(10):
        found = run_threads(*[partial(ids.allocate_into, buffer) for buffer in buffers])
        assert {type(error) for error in found} == {type(None), bp.PoolExhausted}
        assert ids.check() == 600_000
        ids.free_many(buffers[found.index(None)])
        assert ids.check() == 0


@pytest.mark.parametrize("kind", [list, lambda x: array("i", x)])
def test_two_threads_that_free_the_same(kind):
    """Exactly one of them succeeds; the others' error names an index that was theirs no more."""
    ids = bp.IndexPool(20_000)
    for seed in range(20):
        indices = ids.allocate_many(6000)
        random.Random(seed).shuffle(indices)
        found = run_threads(*[partial(ids.free_many, kind(indices))] * 4)
        assert found.count(None) == 1
        for error in found:
            if error is not None:
                assert type(error) is bp.DoubleFree
                assert int(str(error).split()[1]) in indices
        assert ids.check() == 0
    assert ids.stats().frees == 20 * 6000


def test_two_threads_that_free_the_same_at_the_same_moment():
    """With both in the middle of their lists when one frees, it is the same."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    middle = threading.Barrier(2)
    indices = [70, Index(3, middle.wait), 5]
    found = run_threads(*[partial(ids.free_many, indices)] * 2)
    assert found.count(None) == 1
    error = next(error for error in found if error)
    assert type(error) is bp.DoubleFree
    assert int(str(error).split()[1]) in (70, 3, 5)
    assert ids.check() == 97
    assert ids.stats().frees == 3


def test_a_batch_that_another_thread_frees_a_part_of():
    """Lists that overlap are not freed by halves: who comes second frees nothing."""
    ids = bp.IndexPool(100)
    ids.allocate_many(100)
    middle = threading.Barrier(2)
    lists = [[1, Index(2, middle.wait), 3], [3, Index(4, middle.wait), 5]]
    found = run_threads(*[partial(ids.free_many, indices) for indices in lists])
    assert found.count(None) == 1
    assert "index 3 is not allocated" in str(next(error for error in found if error))
    assert {i for i in range(100) if i not in ids} in ({1, 2, 3}, {3, 4, 5})
