"""pool.asarray copies into the pool what is not there already; pool.full casts and broadcasts as NumPy does."""

import contextlib
import warnings

import numpy as np
import pytest

import blockpool as bp
from placement import lies_in

GRID = np.arange(120).reshape(4, 5, 6)
SOURCES = {
    "C": GRID,
    "F": np.asfortranarray(GRID),
    "permuted": GRID.transpose(1, 2, 0),
    "one axis reversed": GRID[:, ::-1],
    "all reversed": GRID[::-1, ::-1, ::-1],
    "steps": GRID[::2, :, 1::3],
    "steps of F": np.asfortranarray(GRID)[::2, ::3],
    "broadcast": np.broadcast_to(np.arange(3), (4, 3)),
    "broadcast and permuted": np.broadcast_to(GRID[0].T, (3, 6, 5)).transpose(2, 0, 1),
    "empty": GRID[:0],
    "0-d": np.array(5),
    "a slice of one": GRID[:1, :1].swapaxes(0, 1),
    "misaligned": np.frombuffer(bytes(41), np.uint8)[1:].view(np.float64),
    "big-endian": np.arange(5, dtype=">i4"),
    "records": np.zeros((2, 3), [("a", "u1"), ("b", "f8")])[:, ::2],
    "strings": np.array(["a", "longer"]),
    "dates": np.array(["2024-02-29", "NaT"], "M8[D]"),
    "read-only": np.frombuffer(b"read-only", np.uint8),
}
sources = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


@sources
@pytest.mark.parametrize("order", ["K", "C", "F"])
def test_a_copy_in_the_pool(each, source, order):
    """`asarray` copies any array with the elements, dtype and axis order of numpy.copy; the copy is writeable."""
    like = np.array(source, order=order, copy=True)
    made = each.asarray(source, order=order)
    assert type(made) is np.ndarray
    assert (made.shape, made.dtype) == (like.shape, like.dtype)
    assert made.size == 0 or made.strides == like.strides
    assert made.flags.carray == like.flags.carray
    assert made.flags.farray == like.flags.farray
    assert made.tobytes() == like.tobytes()
    assert made.size == 0 or lies_in(made, each)
    assert made.flags.writeable
    assert not np.may_share_memory(made, source)


@sources
def test_what_is_in_the_pool_is_not_copied(each, unchanged, source):
    """`asarray` of an array in the pool, or of a view of one, returns that array itself."""
    first = each.asarray(source)
    if first.size == 0:
        return
    with unchanged(each):
        for array in (first, first.T, first[::-1] if first.ndim else first[...]):
            assert each.asarray(array) is array
            assert each.asarray(array, array.dtype, order="K") is array
        if first.flags.c_contiguous:
            assert each.asarray(first, order="C") is first


def test_an_array_of_a_block_is_not_copied(each):
    """`asarray` returns an array over a block's memory itself, however it was made and also if it is read-only."""
    block = each.allocate()
    arrays = [
        block.array(4),
        np.frombuffer(block.buf, np.uint8),
        np.frombuffer(block.buf[8:].cast("i"), np.int32),
        np.asarray(memoryview(block.array(4))),
        block.readonly().array(4),
    ]
    for array in arrays:
        assert each.asarray(array) is array
    assert each.stats().allocated == 1


def test_another_order_is_copied(each):
    """`asarray` copies an array in the pool whose order is not the one asked for."""
    first = each.asarray(GRID)
    second = each.asarray(first, order="F")
    assert second is not first
    assert second.flags.f_contiguous
    assert (second == first).all()
    assert each.asarray(first.T, order="F").base is first.base or each.stats().allocated == 2


def test_another_dtype_is_copied(each):
    """`asarray` copies and casts an array in the pool of another dtype, even if only the byte order differs."""
    first = each.asarray(GRID, np.float32)
    assert first.dtype == np.float32
    assert (first == GRID).all()
    for dtype in (np.int8, ">f4", "S3", complex):
        second = each.asarray(first, dtype)
        assert second.dtype == np.dtype(dtype)
        assert (second == GRID.astype(np.float32).astype(dtype)).all()
        assert not np.may_share_memory(first, second)


def test_an_array_of_another_pool_is_copied(each):
    """`asarray` copies an array of another pool, even of one whose memory is a block of this pool."""
    other = bp.Pool("4KiB", 4)
    inner = bp.Pool(64, buffer=each.allocate().buf)
    for pool in (other, inner):
        array = pool.zeros(4)
        made = each.asarray(array)
        assert made is not array
        assert lies_in(made, each)
        assert not np.may_share_memory(made, array)


def test_another_object_of_the_same_pool(pool_name):
    """`asarray` does not copy an array that was made through another Pool object of the same shared pool."""
    first = bp.Pool.create("4KiB", 4, name=pool_name)
    second = bp.Pool.attach(pool_name)
    array = first.zeros(4)
    assert second.asarray(array) is array


LIKES = {
    "list": [1, 2, 3],
    "nested": [[1.5, 2], [3, 4]],
    "scalar": 5,
    "complex": 1j,
    "text": "text",
    "texts": ["a", "longer"],
    "bytes": [b"a", b"bb"],
    "range": range(5),
    "memoryview": memoryview(b"bytes").toreadonly(),
    "nothing": [],
    "NumPy's scalar": np.float32(3),
    "date": np.datetime64("2024-02-29"),
    "matrix of a subclass": np.ma.masked_array([1, 2], [0, 1]),
}


@pytest.mark.parametrize("source", LIKES.values(), ids=LIKES)
def test_whatever_numpy_makes_an_array_of(each, source):
    """`asarray` of lists, scalars and buffers has the shape, dtype and values of numpy.asarray."""
    like = np.asarray(source)
    made = each.asarray(source)
    assert type(made) is np.ndarray
    assert (made.shape, made.dtype, made.tolist()) == (like.shape, like.dtype, like.tolist())
    assert like.size == 0 or lies_in(made, each)


@pytest.mark.parametrize("dtype", ["U", "S", np.str_, bytes, "U9", "S1"])
def test_the_length_of_strings(each, dtype):
    """Where the dtype leaves the length of strings open, it is that of the longest, as in numpy.asarray."""
    for source in (["a", "longer", ""], np.array([12345, 6]), [1.5, 2]):
        like = np.array(source, dtype)
        made = each.asarray(source, dtype)
        assert (made.dtype, made.tolist()) == (like.dtype, like.tolist())


def test_a_list_of_records(each):
    """`asarray` makes records of tuples if the dtype has fields, and keeps all digits of large integers."""
    assert each.asarray([(1, 2.5), (3, 4)], "u1,f8").tolist() == [(1, 2.5), (3, 4.0)]
    assert each.asarray([2**63 + 1, 0.0], "u8").tolist() == [2**63 + 1, 0]


@pytest.mark.skipif(np.__version__.startswith("1."), reason="an older NumPy")
def test_a_class_of_dtypes(each):
    """A dtype class such as numpy.dtypes.Int8DType is accepted as a dtype."""
    assert each.asarray([1, 2], np.dtypes.Int8DType).dtype == np.int8
    assert each.full(2, 3, np.dtypes.Int8DType).tolist() == [3, 3]


WRONG = {
    "objects": (([object()],), {}, TypeError),
    "objects asked for": (([1],), {"dtype": object}, TypeError),
    "ragged": (([[1], [2, 3]],), {}, ValueError),
    "not a number": ((["x"],), {"dtype": float}, ValueError),
    "dtype": (([1],), {"dtype": "nonsense"}, TypeError),
    "order": (([1],), {"order": "A"}, ValueError),
    "order of lists": (([1],), {"order": ["C"]}, ValueError),
}


@pytest.mark.parametrize(("arguments", "options", "error"), WRONG.values(), ids=WRONG)
def test_wrong_sources(each, arguments, options, error):
    """A source that cannot be an array in a pool raises a typed error, and nothing stays allocated."""
    with pytest.raises(error):
        each.asarray(*arguments, **options)
    assert each.stats().allocated == 0
    each.check()


def test_too_large_a_source(each, unchanged):
    """`asarray` of more than the pool has raises PoolExhausted, and takes nothing."""
    with unchanged(each, failures=1), pytest.raises(bp.PoolExhausted):
        each.asarray(np.zeros(16 * 512 + 1))


# --- full ---


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (5, None),
        (5, "u1"),
        (1.9, int),
        (2.5, ">f4"),
        (True, None),
        ("text", None),
        ("text", "U2"),
        (b"x", "S"),
        (np.datetime64("2024-02-29"), None),
        ([1, 2, 3], None),
        (np.array((1, 2.5), "u1,f8"), None),
    ],
)
def test_full_is_numpys(each, value, dtype):
    """`full` has the dtype, casting and broadcasting of numpy.full."""
    like = np.full((2, 3), value, dtype)
    made = each.full((2, 3), value, dtype)
    assert (made.dtype, made.tolist()) == (like.dtype, like.tolist())
    assert lies_in(made, each)


def test_full_with_a_value_that_does_not_fit(each):
    """`full` with a value that cannot be cast or broadcast raises NumPy's ValueError, and leaves nothing allocated."""
    for shape, value, dtype in ((2, [1, 2, 3], None), (2, "x", int)):
        with pytest.raises(ValueError, match=r"broadcast|invalid literal"):
            each.full(shape, value, dtype)
    assert each.stats().allocated == 0


# --- without NumPy ---


@pytest.mark.parametrize("absent", ["not installed", "blocked"])
def test_without_numpy(run_program, absent):
    """Without NumPy, what makes arrays raises ImportError that says what to install, and all else works."""
    lines = run_program("arrays/without_numpy.py", absent, "arrays").splitlines()
    assert len(lines) == 20
    assert set(lines) == {"arrays need NumPy, which cannot be imported; install it with: pip install 'numpy>=1.26'"}


@pytest.mark.parametrize("shape", [(3, 4, 5), (5, 4, 3, 1), (60,)])
def test_a_source_that_changes_its_shape_meanwhile(shape):
    """If a source changes its shape while asarray runs, the copy is right or an error is raised; nothing stays."""
    pool = bp.Pool("4KiB", 4)
    source = np.arange(60.0).reshape(1, 5, 3, 4).transpose(0, 2, 3, 1)

    class Timeout:
        def __float__(self):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # setting a shape is deprecated
                with contextlib.suppress(AttributeError, ValueError):
                    source.shape = shape
            return 0.5

    try:
        copied = pool.asarray(source, timeout=Timeout())
    except ValueError:
        pass
    else:
        assert copied.sum() == 1770
        del copied
    assert pool.stats().allocated == 0
