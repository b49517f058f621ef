"""What tests of IndexPool share: buffers of integers, orders of indices, and that a refused call changes nothing."""

import ctypes
import dataclasses
import random
import struct
from array import array
from contextlib import contextmanager

import pytest


def state(ids, buffers, failures=0):
    """Return all that can be seen of the pool and the buffers, its count of failures less `failures`."""
    stats = ids.stats()
    stats = dataclasses.replace(stats, failures=stats.failures - failures)
    return bytes(ids.bitmap), stats, ids.check(), [memoryview(b).tobytes() for b in buffers]


@contextmanager
def refuses(ids, error, *words, buffers=(), failures=0):
    """Check that a `with` raises exactly this error with these words, and changes nothing but the count of failures."""
    before = state(ids, buffers)
    with pytest.raises(error) as caught:
        yield
    assert caught.type is error, caught.value
    for word in words:
        assert str(word) in str(caught.value)
    assert state(ids, buffers, failures) == before


def numpy_array(kind):
    """Return a function that makes NumPy arrays of a type."""

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
    """Return the integers in a buffer, whatever its format calls them."""
    view = memoryview(buffer)
    kind = {4: "i", 8: "q"}[view.itemsize]
    return list(struct.unpack(f"={view.nbytes // view.itemsize}{kind}", view.tobytes()))


class Index:
    """An object with __index__, which calls a function first."""

    def __init__(self, value, then=lambda: None):
        self.value, self.then = value, then

    def __index__(self):
        self.then()
        return self.value


def orders(n):
    """Return lists of 0 to n - 1 in four orders, by their names."""
    shuffled = list(range(n))
    random.Random(n).shuffle(shuffled)
    return {
        "ascending": list(range(n)),
        "descending": list(range(n - 1, -1, -1)),
        "shuffled": shuffled,
        "back and forth": [i // 2 if i % 2 else n - 1 - i // 2 for i in range(n)],
    }
