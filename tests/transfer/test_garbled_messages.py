"""Messages whose parts were changed: they raise a typed error, and show no memory outside their run."""

from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blockpool as bp
from blockpool import _core, _receive_arrays

LARGE = 10_000  # elements


@pytest.fixture
def pool(carrying):
    """Make a shared pool, and have arrays travel through it."""
    return carrying("16KiB", 64)


TYPED = (bp.BlockPoolError, TypeError, ValueError, OverflowError, AttributeError, MemoryError)
PARTS = (
    *("threshold", "all_readonly"),
    *("pool_id", "index", "generation", "process", "name"),
    *("offset", "shape", "strides", "dtype", "readonly"),
)


@contextmanager
def array_parts(pool):
    """Give the parts of the message of an array, which is unchanged afterwards and held by nobody else."""
    array = pool.full((50, 40), 7, dtype="i4")
    yield dict(zip(PARTS, _core.send_array(array, False, 65536, []), strict=True))  # noqa: FBT003 - readonly
    assert (array == 7).all()
    assert pool.recover(tickets_older_than=0).tickets <= 1
    del array
    assert pool.stats().allocated == 0


GARBLED = {
    "a negative offset": {"offset": -4},
    "an offset at the end": {"offset": 16384},
    "an offset beyond": {"offset": 2**40},
    "the least offset": {"offset": -(2**63)},
    "a shape beyond": {"shape": (50, 100)},
    "a shape far beyond": {"shape": (2**40, 2**10)},
    "more bytes than there are": {"shape": (2**62, 2**10)},
    "no room even if empty": {"shape": (0, 10), "offset": 16385},
    "a negative shape": {"shape": (-50, 40)},
    "65 dimensions": {"shape": (1,) * 65},
    "no shape": {"shape": None},
    "a list as shape": {"shape": [50, 40]},
    "a shape of text": {"shape": ("a", "b")},
    "strides that leave": {"strides": (400, 4)},
    "strides that leave before": {"strides": (-160, 4)},
    "huge strides": {"strides": (2**62, 2**62)},
    "no strides for a shape": {"strides": ()},
    "too few strides": {"strides": (160,)},
    "too many strides": {"strides": (160, 4, 4)},
    "a list as strides": {"strides": [160, 4]},
    "strides of text": {"strides": ("a", "b")},
    "a larger type": {"dtype": "c16"},
    "objects": {"dtype": "O"},
    "strings that are elsewhere": {"dtype": "T"},
    "objects in a structure": {"dtype": np.dtype([("a", "O")])},
    "no type": {"dtype": "no type"},
    "a type of 2**40 bytes": {"dtype": f"V{2**30}"},
    **{
        f"type number {n}": {"dtype": n}
        for n in (-1, -(2**31), 17, 18, 19, 20, 24, 25, 26, 99, 255, 2056, 2**31, 2**70)
    },
}


@pytest.mark.parametrize("kind", GARBLED)
def test_garbled_arrays(pool, kind):
    """A message of an array with one wrong part raises a typed error, and its reference is given back."""
    with array_parts(pool) as parts:
        with pytest.raises(TYPED):
            _receive_arrays.array(*(parts | GARBLED[kind]).values())
        assert pool.stats().tickets == 0


@pytest.mark.parametrize("beyond", [{"offset": 2**63}, {"nbytes": 2**64}, {"offset": -1}, {"offset": "x"}])
def test_garbled_buffers(pool, beyond):
    """A message of a buffer with a wrong offset or length raises a typed error or gives no bytes."""
    array = pool.zeros(LARGE, "u1")
    names = (*PARTS[:8], "nbytes", "readonly")
    sent = _core.send_buffer(memoryview(array), False, 65536, [])  # noqa: FBT003 - readonly
    parts = dict(zip(names, sent, strict=True))
    try:
        view = _core._receive_buffer(*(parts | beyond).values())
    except TYPED:
        pass
    else:
        assert len(view) == 0
    pool.recover(tickets_older_than=0)


NUMBERS = st.integers(-(2**65), 2**65) | st.integers(-300, 300)
WRONG = {
    "pool_id": st.none() | st.binary(max_size=20) | st.text(max_size=3),
    "index": NUMBERS | st.none(),
    "generation": NUMBERS | st.floats(),
    "offset": NUMBERS | st.none(),
    "shape": st.lists(NUMBERS, max_size=4).map(tuple) | NUMBERS | st.none(),
    "strides": st.lists(NUMBERS, max_size=4).map(tuple) | NUMBERS | st.text(max_size=3),
    "dtype": NUMBERS | st.sampled_from(["i1", "S", "U0", "V0", "S9", "O", "i4,f8", "(2,3)i4", None, 3.5, [], b"i4"]),
    "readonly": st.booleans() | st.none(),
}


@pytest.fixture(scope="module")
def fuzzed():
    """Make one pool for all examples."""
    with bp.Pool.create("16KiB", 8) as made:
        yield made


@given(change=st.fixed_dictionaries({}, optional=WRONG))
def test_any_garbled_array(fuzzed, change):
    """Whatever its parts, a message gives an array within its run or a typed error, and leaves nothing allocated."""
    with array_parts(fuzzed) as parts:
        try:
            got = _core._receive_array(*(parts | change).values())
        except TYPED:
            pass
        else:
            low, high = np.lib.array_utils.byte_bounds(got) if got.size else (0, 0)
            assert not got.size or (fuzzed.address <= low <= high <= fuzzed.address + 16384)
            got.tobytes()
            del got


@given(change=st.fixed_dictionaries({}, optional={**WRONG, "shape": NUMBERS, "strides": st.booleans()}))
def test_any_garbled_buffer(fuzzed, change):
    """Whatever its parts, a message gives bytes within its run or a typed error, and leaves nothing allocated."""
    array = fuzzed.zeros(LARGE, "u1")
    sent = _core.send_buffer(memoryview(array), False, 65536, [])  # noqa: FBT003 - readonly
    parts = dict(zip(PARTS, sent, strict=False))
    change = {name: value for name, value in change.items() if name in parts}
    try:
        view = _core._receive_buffer(*(parts | change).values())
    except TYPED:
        pass
    else:
        assert len(view) <= LARGE
        assert not any(view)
        del view
    assert fuzzed.recover(tickets_older_than=0).tickets <= 1
    del array
    assert fuzzed.stats().allocated == 0
