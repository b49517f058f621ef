"""Arrays in a pool are NumPy's own, except that their memory is the pool's and comes back with the last view."""

import threading
import time

import hypothesis
import hypothesis.extra.numpy as given_numpy
import numpy as np
import pytest
from hypothesis import strategies as st

import blockpool as bp
from placement import address_of, lies_in


def test_the_memory_is_the_pools(each, make_array):
    """An array is a plain, writeable ndarray whose memory is the pool's, and comes back when the array is gone."""
    array = make_array(each)
    assert type(array) is np.ndarray
    assert (array.shape, array.dtype, array.strides) == ((16, 64), np.float64, (512, 8))
    assert array.flags.carray
    assert not array.flags.owndata
    assert lies_in(array, each)
    assert each.stats().allocated == 2
    array[:] = 3.25
    assert (array == 3.25).all()
    del array
    assert each.stats().allocated == 0


def test_what_they_are_filled_with(each):
    """`zeros` is zero even where the memory was used before, and `full` has the value everywhere."""
    each.empty(16 * 512)[:] = 7
    zeros = each.zeros((8, 512))
    assert not zeros.any()
    del zeros
    full = each.full((8, 512), -1, np.int16)
    assert (full == -1).all()
    assert full.dtype == np.int16


def test_large_zeros():
    """`zeros` of several MiB, which are cleared without the GIL, are zero where the memory was used before."""
    pool = bp.Pool("1MiB", 4)
    pool.empty(1 << 22, np.uint8)[:] = 255
    assert not pool.zeros(1 << 22, np.uint8).any()


def test_writes_reach_every_view(each):
    """What is written through a view of an array is seen through the array and its memoryview."""
    array = each.zeros((4, 4), np.uint16)
    view, raw = array.T, memoryview(array)
    view[1, 2] = 500
    assert array[2, 1] == raw[2, 1] == 500


@pytest.mark.parametrize("size", [8, 24, 64, 192, 320, 4096, 12288])
def test_alignment(size):
    """The address is a multiple of the pool's alignment, and of 64 if the block size is; flags.aligned is right."""
    pool = bp.Pool(size, 64)
    arrays = [pool.empty(1, np.longdouble) for _ in range(8)]
    for array in arrays:
        address = address_of(array)
        assert address % pool.alignment == 0
        assert address % 64 == 0 or size % 64
        assert array.flags.aligned == (address % np.dtype(np.longdouble).alignment == 0)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), 5, (5,), [2, 3], (3, 4, 5), (1, 5, 1), np.int64(4)])
def test_shape_and_order(each, shape, order):
    """Shape, strides and contiguity are those of numpy.empty with the same shape, dtype and order."""
    for made in (
        each.empty(shape, np.int32, order=order),
        each.zeros(shape, np.int32, order=order),
        each.full(shape, 1, np.int32, order=order),
        each.allocate().array(shape, np.int32, order=order),
    ):
        like = np.empty(shape, np.int32, order)
        assert (made.shape, made.strides) == (like.shape, like.strides)
        assert (made.flags.c_contiguous, made.flags.f_contiguous) == (
            like.flags.c_contiguous,
            like.flags.f_contiguous,
        )


def test_sixty_four_dimensions(each, unchanged):
    """An array can have as many dimensions as NumPy allows; one more raises ValueError."""
    most = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32
    array = each.empty((1,) * (most - 1) + (5,))
    assert array.shape == (1,) * (most - 1) + (5,)
    assert lies_in(array, each)
    block = each.allocate()
    assert block.array((1,) * most).ndim == most
    with unchanged(each):
        for call in (each.empty, each.zeros, block.array):
            with pytest.raises(ValueError, match="dimension"):
                call((1,) * (most + 1))


DTYPES = [
    None,
    bool,
    float,
    "f2",
    ">i4",
    "<u8",
    np.complex128,
    np.longdouble,
    "S5",
    "U7",
    "S",
    "U",
    "S0",
    "V3",
    "M8[ns]",
    "m8[us]",
    [("a", "<u1"), ("b", ">f8")],
    np.dtype([("a", "u1"), ("b", "f8")], align=True),
    {"names": ["x"], "formats": ["f4"], "offsets": [4], "itemsize": 12},
    "(2,3)i4",
    [("p", "(2,)i2"), ("q", [("r", "S3")])],
    "i1" if np.__version__.startswith("1.") else np.dtypes.Int8DType,
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(each, dtype):
    """Every dtype that NumPy accepts, of any byte order, gives an array like numpy.zeros, string lengths included."""
    like = np.zeros((3, 2), dtype)
    block = each.allocate()
    full = each.full((3, 2), np.zeros((), dtype), dtype)
    for made in (each.empty((3, 2), dtype), block.array((3, 2), dtype), full):
        assert (made.dtype, made.shape, made.strides) == (like.dtype, like.shape, like.strides)
        assert lies_in(made, each)
        made[...] = like
        assert repr(made) == repr(like)
    assert each.zeros((3, 2), dtype).tobytes() == like.tobytes()


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [(0, None), ((3, 0), "i4"), ((2, 0, 5), "u1"), (3, "V0"), (2, [("a", "S0")])],
)
def test_no_bytes(each, unchanged, shape, dtype):
    """An array without bytes takes no block, but its pool must be open and its timeout valid."""
    like = np.empty(shape, dtype, "F")
    with unchanged(each):
        for call in (each.empty, each.zeros):
            made = call(shape, dtype, order="F")
            assert (made.shape, made.dtype, made.nbytes) == (like.shape, like.dtype, 0)
            with pytest.raises(ValueError, match="timeout"):
                call(shape, dtype, timeout=-1)
    block = each.allocate()
    assert block.array(shape, dtype).nbytes == 0
    each.close()
    with pytest.raises(bp.PoolClosed):
        each.empty(shape, dtype)


def test_an_array_of_no_bytes_of_a_block(each):
    """An array without bytes that was made from a block keeps the block in use."""
    block = each.allocate()
    array = block.array((0, 3))
    with pytest.raises(bp.BlockInUse):
        block.free()
    del array
    block.free()


class _Odd:
    def __index__(self):
        raise RuntimeError("odd")


WRONG = {
    "object": ((2, object), {}, TypeError, "pointers"),
    "a field of objects": ((2, [("a", "u1"), ("b", "O")]), {}, TypeError, "pointers"),
    "no dtype": ((2, "nonsense"), {}, TypeError, "nonsense"),
    "a number for a dtype": ((2, 5), {}, TypeError, None),
    "negative": ((-1,), {}, ValueError, "negative dimensions, not -1"),
    "negative among others": (((2, -3, 0),), {}, ValueError, "negative dimensions, not"),
    "more than an int holds": ((2**63,), {}, ValueError, "9223372036854775808"),
    "more than a dimension holds": (((2**70, 2),), {}, ValueError, None),
    "overflow": (((2**40, 2**40),), {}, ValueError, "more bytes than can be addressed"),
    "overflow by the size of an item": ((2**61, "i8"), {}, ValueError, "more bytes"),
    "float": ((2.0,), {}, TypeError, None),
    "string": (("2",), {}, TypeError, None),
    "a string among ints": (((1, "2"),), {}, TypeError, None),
    "an index that raises": ((_Odd(),), {}, (TypeError, RuntimeError), None),
    "order": ((2,), {"order": "A"}, ValueError, "order must be 'C' or 'F', not 'A'"),
    "no order": ((2,), {"order": None}, ValueError, "order must be"),
}
if not np.__version__.startswith("1."):
    WRONG["no shape"] = ((None,), {}, TypeError, None)
    WRONG["StringDType"] = ((2, np.dtypes.StringDType()), {}, TypeError, "pointers")


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_arguments(each, unchanged, wrong):
    """Wrong arguments raise an error with the value or the reason, and take nothing from the pool."""
    arguments, options, error, why = wrong
    shape, *dtype = arguments
    block = each.allocate()
    with unchanged(each):
        for call in (each.empty, each.zeros, block.array):
            with pytest.raises(error, match=why):
                call(*arguments, **options)
        with pytest.raises(error):
            each.full(shape, 1, *dtype, **options)
    block.free()


@pytest.mark.parametrize(("timeout", "error"), [(-1, ValueError), ("1", TypeError), (float("nan"), ValueError)])
def test_wrong_timeouts(each, unchanged, timeout, error):
    """A timeout that is negative, not a number or of a wrong type raises the error that allocate raises for it."""
    with unchanged(each):
        for call in (each.empty, each.zeros, each.asarray):
            with pytest.raises(error, match="timeout"):
                call(2, timeout=timeout)


@pytest.mark.parametrize("shape", [16 * 512 + 1, (2**30, 2**20)])
def test_too_large(each, unchanged, shape):
    """An array of more bytes than the pool has raises PoolExhausted, which says how many blocks the pool has."""
    with unchanged(each, failures=3):
        for call in (each.empty, each.zeros):
            with pytest.raises(bp.PoolExhausted, match="only 16"):
                call(shape)
        with pytest.raises(bp.PoolExhausted, match="only 16"):
            each.full(shape, 1.0)


def test_no_room(each, unchanged):
    """An array that finds no room raises PoolExhausted, after arrays in unreachable cycles have been collected."""
    kept = each.empty(15 * 512)
    cycle = [each.empty(512)]
    cycle.append(cycle)
    del cycle
    kept = [kept, each.empty(512)]
    with unchanged(each, failures=1), pytest.raises(bp.PoolExhausted):
        each.empty(1)
    del kept


def test_a_request_waits(each):
    """With a timeout, making an array waits for room, and raises PoolExhausted when the time is over."""
    kept = [each.empty(16 * 512)]
    timer = threading.Timer(0.05, kept.clear)
    timer.start()
    assert each.empty(1, timeout=60).size == 1
    timer.join()
    kept = each.empty(16 * 512)
    start = time.monotonic()
    with pytest.raises(bp.PoolExhausted):
        each.zeros(1, timeout=0.05)
    assert time.monotonic() - start >= 0.05
    del kept


def test_a_closed_pool(each):
    """Every way to make an array in a closed pool raises PoolClosed; a block of it still gives arrays."""
    block = each.allocate()
    inside = each.zeros(3)
    each.close()
    calls = (each.empty, each.zeros, each.asarray, lambda shape: each.full(shape, 1))
    for call in calls:
        with pytest.raises(bp.PoolClosed):
            call(3)
    with pytest.raises(bp.PoolClosed):
        each.asarray(inside)
    assert block.array(3).size == 3


def test_nbytes_is_remembered(each):
    """Statistics count the bytes that were asked for, and `runs` lists them where the pool keeps them."""
    array = each.empty(1000, np.uint8)
    assert each.stats().requested_bytes == 1000
    larger = each.zeros(5000, np.uint8)
    assert each.stats().requested_bytes == 6000
    assert each.stats().allocated_bytes == 3 * 4096
    (first, second) = each.runs()
    assert (first.blocks, second.blocks) == (1, 2)
    exact = each.debug or first.nbytes == 1000
    assert (first.nbytes, second.nbytes) == ((1000, 5000) if exact else (4096, 8192))
    assert (each.stats().allocations, each.stats().failures) == (2, 0)
    del array, larger
    assert (each.stats().requested_bytes, each.stats().frees) == (0, 2)


# --- Block.array ---


def test_an_array_of_a_block_is_in_use(each, unchanged):
    """An array of a block shows its bytes from the first on, and free raises BlockInUse while it exists."""
    block = each.allocate()
    block.buf[:8] = bytes(range(8))
    array = block.array((2, 2), ">u2")
    assert array.tolist() == [[0x0001, 0x0203], [0x0405, 0x0607]]
    assert address_of(array) == block.address
    with unchanged(each), pytest.raises(bp.BlockInUse):
        block.free()
    array[0, 0] = 0x4142
    assert bytes(block.buf[:2]) == b"AB"
    del array
    block.free()


def test_an_array_fits_the_block(each, unchanged):
    """An array of more bytes than the block's nbytes raises ValueError, which says how many there are."""
    block = each.allocate(nbytes=5000)
    assert block.array(5000, np.uint8).nbytes == 5000
    with unchanged(each):
        for shape, dtype in ((5001, "u1"), (626, None), ((5000, 2), "u1"), (5001, "S")):
            with pytest.raises(ValueError, match="the run of 2 blocks at 0 has 5000"):
                block.array(shape, dtype)
    block.free()


def test_an_array_of_a_finished_block(each):
    """`array` of a block that was released or freed raises InvalidBlock."""
    released, freed = each.allocate(), each.allocate()
    released.release()
    freed.free()
    for block in (released, freed):
        with pytest.raises(bp.InvalidBlock):
            block.array(3)


def test_an_array_of_a_readonly_block(each):
    """An array of a read-only block cannot be made writeable, and shows what is written through the other block."""
    block = each.allocate()
    writable, array = block.array(4, np.uint8), block.readonly().array(4, np.uint8)
    writable[0] = 9
    assert array[0] == 9
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    for view in (array, array[1:], array.view(np.int8)):
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.setflags(write=True)
    with pytest.raises(bp.BlockInUse):
        block.free()
    del writable, array, view
    block.free()


def test_a_writable_array_may_be_made_readonly_and_writable_again(each):
    """An array can be made read-only and writeable again, as NumPy's own can."""
    array = each.zeros(3)
    array.flags.writeable = False
    array.flags.writeable = True
    array[0] = 1


LIKE = {"private": bp.Pool("4KiB", 64), "shared": bp.Pool.create("4KiB", 64)}


@pytest.mark.parametrize("pool", LIKE.values(), ids=LIKE)
@hypothesis.given(
    shape=given_numpy.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6),
    dtype=given_numpy.array_dtypes(allow_subarrays=True) | given_numpy.scalar_dtypes(),
    order=st.sampled_from("CF"),
)
def test_as_numpy_makes_them(pool, shape, dtype, order):
    """Shape, dtype, strides and flags are those of numpy.empty for all arguments; only the memory is the pool's."""
    hypothesis.assume(not dtype.hasobject)
    like = np.empty(shape, dtype, order)
    if like.nbytes > pool.nbytes // 2:  # the test makes two of them
        return
    block = pool.allocate(nbytes=max(like.nbytes, 1))
    for made in (pool.empty(shape, dtype, order=order), block.array(shape, dtype, order=order)):
        assert (made.shape, made.dtype) == (like.shape, like.dtype)
        assert made.strides == like.strides or made.nbytes == 0
        for flag in ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE", "ALIGNED"):
            assert made.flags[flag] == like.flags[flag]
        assert made.nbytes == 0 or lies_in(made, pool)
    del made, block
    assert pool.stats().allocated == 0


@pytest.mark.parametrize(
    ("name", "arguments", "options", "error"),
    [
        ("empty", (-1,), {}, ValueError),
        ("zeros", (3, "O"), {}, TypeError),
        ("full", (3, 0), {"order": "K"}, ValueError),
        ("asarray", ([1],), {"order": "Z"}, ValueError),
    ],
)
def test_wrong_arguments_to_a_closed_pool(pool, name, arguments, options, error):
    """Wrong arguments are told before a closed pool is, as the caller has to change those in any case."""
    pool.close()
    with pytest.raises(error):
        getattr(pool, name)(*arguments, **options)


def test_a_shape_that_reopens_the_pool():
    """If converting the shape closes the pool and opens it again, the array is in the new memory."""

    class Reopening:
        def __index__(self):
            pool.close()
            pool.__init__(64, 8)
            return 4

    pool = bp.Pool(64, 4)
    array = pool.empty(Reopening())
    assert pool.stats().allocated == 1
    assert pool.address <= array.ctypes.data < pool.address + pool.nbytes
