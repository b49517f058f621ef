"""The handler behind numpy_allocator, called as NumPy's C code might call it, in ways to which no array leads."""

import ctypes
import threading
from contextlib import contextmanager

import numpy as np
import pytest

import blockpool as bp

try:
    from numpy._core._multiarray_umath import _ARRAY_API
except ImportError:  # NumPy 1
    from numpy.core._multiarray_umath import _ARRAY_API

GET_HANDLER = 305  # its place in NumPy's table of functions
SIZE_MAX = 2**64 - 1


class Handler(ctypes.Structure):
    """NumPy's PyDataMem_Handler."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("ctx", ctypes.c_void_p),
        *(
            (name, ctypes.PYFUNCTYPE(result, ctypes.c_void_p, *arguments))
            for name, result, *arguments in (
                ("malloc", ctypes.c_void_p, ctypes.c_size_t),
                ("calloc", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t),
                ("realloc", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
                ("free", None, ctypes.c_void_p, ctypes.c_size_t),
            )
        ),
    )


def pointer_in(capsule, name):
    """Return the address in a capsule."""
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    return get(("PyCapsule_GetPointer", ctypes.pythonapi))(capsule, name)


@pytest.fixture
def pool():
    """Make a pool of 8 blocks of 256 bytes, and audit it after the test."""
    made = bp.Pool(256, 8, debug=False)
    yield made
    assert made.check().allocated == 0


@contextmanager
def current(pool):
    """Give the handler of a pool, as NumPy has it inside the context."""
    functions = ctypes.cast(pointer_in(_ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    with pool.numpy_allocator():
        capsule = ctypes.PYFUNCTYPE(ctypes.py_object)(functions[GET_HANDLER])()
        yield Handler.from_address(pointer_in(capsule, b"mem_handler"))


@pytest.fixture
def handler(pool):
    """Give the handler of the fixture's pool."""
    with current(pool) as found:
        yield found


def test_name_and_version(handler):
    """The handler's name is blockpool, and its version is 1."""
    assert (handler.name, handler.version) == (b"blockpool", 1)


def test_no_bytes_have_an_address(pool, handler):
    """Requests for no bytes get a pointer that can be freed, and take no block."""
    for memory in (
        handler.malloc(handler.ctx, 0),
        handler.calloc(handler.ctx, 0, 8),
        handler.calloc(handler.ctx, 8, 0),
        handler.realloc(handler.ctx, None, 0),
    ):
        assert memory
        handler.free(handler.ctx, memory, 0)
    assert pool.stats().allocations == 0


@pytest.mark.parametrize("product", [(2, SIZE_MAX), (2**32, 2**32), (2**60, 17)])
def test_products_that_overflow_get_nothing(pool, handler, product):
    """`calloc` whose count times size overflows returns NULL, instead of as many bytes as the remainder."""
    assert handler.calloc(handler.ctx, *product) is None
    assert pool.stats().allocations == 0


def test_sizes_that_nobody_has_get_nothing(handler):
    """`malloc` and realloc of the largest size return NULL, and the memory to be resized stays."""
    assert handler.malloc(handler.ctx, SIZE_MAX) is None
    memory = handler.malloc(handler.ctx, 256)
    assert handler.realloc(handler.ctx, memory, SIZE_MAX) is None
    handler.free(handler.ctx, memory, 256)


def test_realloc_of_nothing_allocates(pool, handler):
    """`realloc` of NULL allocates."""
    memory = handler.realloc(handler.ctx, None, 256)
    assert memory == pool.address
    handler.free(handler.ctx, memory, 256)


def test_free_of_nothing_does_nothing(pool, handler):
    """`free` of NULL does nothing; NumPy calls it so after sorting."""
    handler.free(handler.ctx, None, 256)
    assert pool.stats().frees == 0


def test_free_believes_no_size(pool, handler):
    """`free` gives back the whole run whatever size it is told, as NumPy's sizes are not reliable."""
    for size in (0, 1, 256, SIZE_MAX):
        memory = handler.malloc(handler.ctx, 700)
        assert [run.blocks for run in pool.runs()] == [3]
        handler.free(handler.ctx, memory, size)
        assert pool.runs() == []
    assert pool.stats().requested_bytes == 0


def test_wrong_frees_are_ignored(pool, handler):
    """A second free, or one inside a block or run, changes nothing, even if others have the memory by then."""
    memory = handler.malloc(handler.ctx, 700)
    keep = np.ones(256, "u1")
    before = pool.stats()
    for wrong in (memory + 8, memory + 256, memory + 512, memory + 4 * 256):
        handler.free(handler.ctx, wrong, 256)
    assert pool.stats() == before
    handler.free(handler.ctx, memory, 700)
    handler.free(handler.ctx, memory, 700)
    assert pool.stats().frees == 1
    assert [run.index for run in pool.runs()] == [3]
    assert keep.all()


def test_called_without_the_gil():
    """Threads that call malloc without the GIL, as fromstring does, get memory of their own, and all is counted."""
    pool = bp.Pool(16, 4_000_000, debug=False)
    # lfind calls the function for each element with a key and the element's address. The handler takes the address for
    # a size, and stays the same with elements of no width: a loop in C that asks for 16 bytes without the GIL.
    lfind = ctypes.CDLL(None).lfind
    lfind.argtypes = [ctypes.c_void_p] * 2 + [ctypes.POINTER(ctypes.c_size_t), ctypes.c_size_t]
    with current(pool) as handler:
        malloc = ctypes.cast(handler.malloc, ctypes.c_void_p)
        context, times = handler.ctx, ctypes.c_size_t(pool.blocks // 4)
        start = threading.Barrier(4)

        def work():
            start.wait(60)
            lfind(context, 16, ctypes.byref(times), 0, malloc)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    stats = pool.stats()
    assert (stats.allocated, stats.allocations, stats.failures) == (4_000_000, 4_000_000, 0)
    assert (stats.peak, stats.requested_bytes) == (4_000_000, 64_000_000)


def test_text_is_read_into_the_pool():
    """An array that grows without the GIL while NumPy reads text grows in the pool."""
    pool = bp.Pool("4KiB", 64, debug=False)
    with pool.numpy_allocator():
        numbers = np.fromstring(" ".join(map(str, range(10_000))), sep=" ")
    assert (numbers == np.arange(10_000)).all()
    (run,) = pool.runs()
    assert 20 <= run.blocks <= 40
    assert pool.check().runs == 1
