"""IndexPool: making one, allocating, looking at it, every wrong way, and that a failing call changes nothing."""

import copy
import ctypes
import gc
import pickle
import weakref
from array import array

import pytest

import blockpool as bp
from indices import Index, every_buffer, refuses, values

# --- making a pool ---


@pytest.mark.parametrize("capacity", [1, 63, 64, 65, 511, 512, 513, 40_000])
def test_every_index_is_handed_out_once(capacity):
    """A pool of any capacity hands out each of 0 to capacity - 1 once; after all were freed it does so again."""
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
    """The capacity is an int or an object with __index__, and can be given by name."""
    assert bp.IndexPool(capacity=Index(7)).capacity == 7


@pytest.mark.parametrize("capacity", [0, -1, -(2**70)])
def test_a_capacity_below_one_is_a_value_error(capacity):
    """A capacity below 1 raises a ValueError that repeats it."""
    with pytest.raises(ValueError, match=f"capacity must be at least 1, not {capacity}"):
        bp.IndexPool(capacity)


@pytest.mark.parametrize("capacity", [1.0, "100", None, [1]])
def test_a_capacity_that_is_no_whole_number_is_a_type_error(capacity):
    """A capacity that is not an int raises a TypeError that names its type."""
    with pytest.raises(TypeError, match=f"capacity must be an int, not {type(capacity).__name__}"):
        bp.IndexPool(capacity)


@pytest.mark.parametrize("capacity", [2**48, 2**48 + 1, 2**62, 2**63, 2**64, 2**64 + 5, 2**70])
def test_more_than_the_machine_has(capacity):
    """A pool whose bitmap does not fit into memory raises PoolExhausted at once, however large the capacity."""
    with pytest.raises(bp.PoolExhausted, match=f"asked for {capacity} indices.*ask for fewer"):
        bp.IndexPool(capacity)


def test_construction_without_a_capacity():
    """An IndexPool cannot be made without a capacity, nor be subclassed."""
    with pytest.raises(TypeError):
        bp.IndexPool()
    with pytest.raises(TypeError):
        bp.IndexPool.__new__(bp.IndexPool)
    with pytest.raises(TypeError):
        object.__new__(bp.IndexPool)
    with pytest.raises(TypeError):
        type("Derived", (bp.IndexPool,), {})


def test_a_pool_cannot_be_pickled_or_copied():
    """Copying or pickling an IndexPool raises TypeError: two copies would hand out the same indices."""
    ids = bp.IndexPool(3)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            pickle.dumps(ids, protocol)
    for way in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            way(ids)


def test_a_pool_ends_with_its_last_reference():
    """An IndexPool can be referred to weakly, and goes with its last reference."""
    ids = bp.IndexPool(3)
    gone = weakref.ref(ids)
    assert repr(ids) == "<blockpool.IndexPool 0 of 3 allocated>"
    del ids
    assert gone() is None


# --- allocating ---


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("count", [1, 2, 64, 512, 513, 1024, 1025, 5000])
def test_allocate_many(count, packed):
    """allocate_many returns a list of different indices, also when there are so many that it drops the GIL."""
    ids = bp.IndexPool(5000)
    found = ids.allocate_many(count, packed=packed)
    assert type(found) is list
    assert sorted(found) == list(range(count))
    assert ids.check() == count
    ids.free_many(found)
    assert ids.check() == 0


def test_counts_may_have_an_index():
    """A count is an int or an object with __index__."""
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
    """A count that is below 1 or not an int raises, and changes nothing."""
    ids = bp.IndexPool(100)
    with refuses(ids, error, words):
        getattr(ids, name)(count)


@pytest.mark.parametrize("name", ["allocate_many", "allocate_run"])
@pytest.mark.parametrize("count", [101, 2**31, 2**64, 2**70])
def test_counts_over_the_capacity(name, count):
    """A count over the capacity raises a PoolExhausted that says what to do, and counts as a failure."""
    ids = bp.IndexPool(100)
    with refuses(ids, bp.PoolExhausted, count, "the pool has only 100; make it larger", failures=1):
        getattr(ids, name)(count)


@pytest.mark.parametrize("packed", [False, True])
def test_many_are_all_or_nothing(packed):
    """If one index is missing, allocating many allocates none, and the buffer stays as it was."""
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
    """allocate_run returns a range of adjacent indices: the first free one that is long enough."""
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
    """With packed=True the longest free runs are used first."""
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
    """allocate_into fills any contiguous buffer of 32-bit or 64-bit integers, and free_many takes it as it is."""
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
    """A buffer of another type or byte order, a strided or empty one, or no buffer is neither filled nor freed."""
    ids = bp.IndexPool(100)
    ids.allocate_many(40)
    buffer = make()
    with refuses(ids, error, words):
        ids.allocate_into(buffer)
    with refuses(ids, error, words):
        ids.free_many(buffer)


def test_wrong_numpy_buffers():
    """NumPy arrays of another type or byte order, or strided, are neither filled nor freed; one of no dimensions is."""
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
    """allocate_into raises a ValueError for a read-only buffer and leaves it as it was."""
    ids = bp.IndexPool(100)
    buffer = make()
    with refuses(ids, ValueError, "must be writable", buffers=[buffer]):
        ids.allocate_into(buffer)


def test_allocate_into_wants_a_buffer():
    """allocate_into raises a TypeError for a list, and shows a buffer that will do."""
    ids = bp.IndexPool(100)
    with refuses(ids, TypeError, "array.array('i')", "not list"):
        ids.allocate_into([0, 0])


def test_a_buffer_longer_than_the_pool():
    """A buffer longer than the pool raises PoolExhausted and stays as it was."""
    ids = bp.IndexPool(100)
    buffer = array("i", [5] * 101)
    with refuses(ids, bp.PoolExhausted, "has only 100", buffers=[buffer], failures=1):
        ids.allocate_into(buffer)


def test_a_pool_too_large_for_32_bits():
    """A pool with indices beyond 2**31 - 1 fills only buffers of 64-bit integers."""
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


def test_calls_take_no_other_arguments():
    """The calls of an IndexPool take their argument by position, and `packed` by name."""
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
    """An error from the truth value of `packed` passes through, and nothing is allocated."""

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
    """An index is `in` the pool if it is allocated; what is not an index is not."""
    ids = bp.IndexPool(130)
    ids.allocate_run(130)
    ids.free_many([0, 64, 129])
    assert [i for i in range(-5, 140) if i in ids] == sorted({*range(130)} - {0, 64, 129})
    assert Index(5) in ids
    assert Index(64) not in ids
    assert object() not in ids


def test_stats():
    """IndexStats counts indices, the longest free run, the peak, and calls that failed."""
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
    """The bitmap is a live, read-only view of 64-bit words, in which bits past the capacity are 1."""
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
    """A NumPy array of the bitmap is live and read-only, and cannot be made writable."""
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
    """A view of the bitmap keeps the memory after the pool has gone."""
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
    """The object behind the bitmap cannot be created, initialised again, copied, pickled or subclassed."""
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
    """Return the words of the bitmap, writable, as a wild pointer could reach them."""

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
    """`check` finds a cleared bit past the last index, and names that index."""
    ids = bp.IndexPool(100)
    words_of(ids)[1] = 0
    with pytest.raises(bp.PoolCorrupt, match="past the last index, 99, was cleared"):
        ids.check()


def test_check_finds_a_summary_that_promises_too_little():
    """`check` finds a summary that promises less room than there is."""
    ids = bp.IndexPool(2048)
    ids.allocate_many(2048)
    words_of(ids)[0] = 0
    with pytest.raises(bp.PoolCorrupt, match="summary 0 promises less room than there is"):
        ids.check()
