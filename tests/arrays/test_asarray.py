"""pool.asarray copies into the pool what is not there already; pool.full fills with what NumPy can cast."""

import contextlib
import warnings

import numpy as np
import pytest

import blockpool as bp

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


def _in(array, pool):
    return pool.address <= array.__array_interface__["data"][0] < pool.address + pool.nbytes


@sources
@pytest.mark.parametrize("order", ["K", "C", "F"])
def test_a_copy_in_the_pool(each, source, order):
    """Elements, dtype and order of axes are those that numpy.copy gives; it may be written to, and stands alone."""
    like = np.array(source, order=order, copy=True)
    made = each.asarray(source, order=order)
    assert type(made) is np.ndarray
    assert (made.shape, made.dtype) == (like.shape, like.dtype)
    assert made.size == 0 or made.strides == like.strides
    assert made.flags.carray == like.flags.carray
    assert made.flags.farray == like.flags.farray
    assert made.tobytes() == like.tobytes()
    assert made.size == 0 or _in(made, each)
    assert made.flags.writeable
    assert not np.may_share_memory(made, source)


@sources
def test_what_is_in_the_pool_is_not_copied(each, unchanged, source):
    """An array of that pool, of whatever order, is returned itself; so is a view of one."""
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
    """Nor is one of a block, of a memoryview of it, or a read-only one."""
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
    """An array in the pool that is not in the order asked for is copied."""
    first = each.asarray(GRID)
    second = each.asarray(first, order="F")
    assert second is not first
    assert second.flags.f_contiguous
    assert (second == first).all()
    assert each.asarray(first.T, order="F").base is first.base or each.stats().allocated == 2


def test_another_dtype_is_copied(each):
    """An array in the pool of another dtype, if only in its byte order, is copied and cast."""
    first = each.asarray(GRID, np.float32)
    assert first.dtype == np.float32
    assert (first == GRID).all()
    for dtype in (np.int8, ">f4", "S3", complex):
        second = each.asarray(first, dtype)
        assert second.dtype == np.dtype(dtype)
        assert (second == GRID.astype(np.float32).astype(dtype)).all()
        assert not np.may_share_memory(first, second)


def test_an_array_of_another_pool_is_copied(each):
    """What is in another pool, or in a pool within the pool, is not in this one."""
    other = bp.Pool("4KiB", 4)
    inner = bp.Pool(64, buffer=each.allocate().buf)
    for pool in (other, inner):
        array = pool.zeros(4)
        made = each.asarray(array)
        assert made is not array
        assert _in(made, each)
        assert not np.may_share_memory(made, array)


def test_another_object_of_the_same_pool(pool_name):
    """Two Pool objects of one shared pool are one pool."""
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
    """Lists, scalars, buffers: as numpy.asarray makes them."""
    like = np.asarray(source)
    made = each.asarray(source)
    assert type(made) is np.ndarray
    assert (made.shape, made.dtype, made.tolist()) == (like.shape, like.dtype, like.tolist())
    assert like.size == 0 or _in(made, each)


@pytest.mark.parametrize("dtype", ["U", "S", np.str_, bytes, "U9", "S1"])
def test_the_length_of_strings(each, dtype):
    """Where the dtype leaves it open, it is that of the longest, as for numpy.asarray."""
    for source in (["a", "longer", ""], np.array([12345, 6]), [1.5, 2]):
        like = np.array(source, dtype)
        made = each.asarray(source, dtype)
        assert (made.dtype, made.tolist()) == (like.dtype, like.tolist())


def test_a_list_of_records(each):
    """Tuples are records where the dtype has fields; whole numbers keep all their digits."""
    assert each.asarray([(1, 2.5), (3, 4)], "u1,f8").tolist() == [(1, 2.5), (3, 4.0)]
    assert each.asarray([2**63 + 1, 0.0], "u8").tolist() == [2**63 + 1, 0]


@pytest.mark.skipif(np.__version__.startswith("1."), reason="an older NumPy")
def test_a_class_of_dtypes(each):
    """numpy.dtypes.Int8DType does for numpy.int8."""
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
    """A typed error, and nothing stays allocated."""
    with pytest.raises(error):
        each.asarray(*arguments, **options)
    assert each.stats().allocated == 0
    each.check()


def test_too_large_a_source(each, unchanged):
    """PoolExhausted, and nothing is taken."""
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
    """Type, casting and broadcasting are those of numpy.full."""
    like = np.full((2, 3), value, dtype)
    made = each.full((2, 3), value, dtype)
    assert (made.dtype, made.tolist()) == (like.dtype, like.tolist())
    assert _in(made, each)


def test_full_with_a_value_that_does_not_fit(each):
    """A ValueError of NumPy's, and nothing stays allocated."""
    for shape, value, dtype in ((2, [1, 2, 3], None), (2, "x", int)):
        with pytest.raises(ValueError, match=r"broadcast|invalid literal"):
            each.full(shape, value, dtype)
    assert each.stats().allocated == 0


# --- without NumPy ---


ABSENT = {
    "not installed": """
        import sys
        class Absent:
            def find_spec(name, path, target=None):
                if name == "numpy":
                    raise ModuleNotFoundError("No module named 'numpy'", name=name)
        sys.meta_path.insert(0, Absent)
    """,
    "blocked": """
        import sys
        sys.modules["numpy"] = None
    """,
}


@pytest.mark.parametrize("absent", ABSENT.values(), ids=ABSENT)
def test_without_numpy(run_python, absent):
    """All else works without NumPy; what makes arrays says what to install, each time, and changes nothing."""
    out = run_python(f"""{absent}
        import blockpool as bp
        for pool in (bp.Pool(64, 4), bp.Pool.create(64, 4)):
            block = pool.allocate()
            block.buf[:2] = b"ok"
            calls = [pool.empty, pool.zeros, pool.asarray, block.array, lambda n: pool.full(n, 1)]
            for call in 2 * calls:
                try:
                    call(3)
                except ImportError as error:
                    print(error)
            assert block.__dlpack_device__() == (1, 0)
            del block.__array_interface__["data"]
            block.__dlpack__()
            block.free()
            assert pool.stats().allocations == 1
            pool.check()
    """)
    lines = out.splitlines()
    assert len(lines) == 20
    assert set(lines) == {"arrays need NumPy, which cannot be imported; install it with: pip install 'numpy>=1.26'"}


@pytest.mark.parametrize("shape", [(3, 4, 5), (5, 4, 3, 1), (60,)])
def test_a_source_that_changes_its_shape_meanwhile(shape):
    """Whatever runs while asarray looks at its arguments, or waits: an error or a right copy, and nothing stays."""
    pool = bp.Pool("4KiB", 4)
    source = np.arange(60.0).reshape(1, 5, 3, 4).transpose(0, 2, 3, 1)

    class Timeout:
        def __float__(self):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # setting a shape goes out of use
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
