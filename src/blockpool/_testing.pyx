# cython: language_level=3, binding=False, freethreading_compatible=True
"""What tests look at and damage: the bookkeeping of a private pool.

Built only with the CMake option BLOCKPOOL_TESTING, as `make` does for the tests; wheels do not carry it.
"""

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport uint32_t, uintptr_t

from blockpool import _core

cdef extern from "pool.h" nogil:
    struct bitmap:
        void *words
        void *chunks

    struct private_pool:
        bitmap bitmap
        void *continuations
        uint32_t waiting

    struct pool:
        private_pool *private_pool

ctypedef pool *(*engine_function)(object) except NULL

cdef object found = _core.__pyx_capi__["engine_of"]
cdef engine_function engine_of = <engine_function>PyCapsule_GetPointer(found, PyCapsule_GetName(found))


def bookkeeping(pool, /):
    """Return the addresses of a private pool's words, chunk summaries, continuation marks and count of waiters.

    They are valid as long as the pool is open.
    """
    cdef private_pool *core
    if not isinstance(pool, _core.Pool):
        raise TypeError(f"a Pool is needed, not {type(pool).__name__}")
    core = engine_of(pool).private_pool
    if core == NULL:
        raise ValueError("the pool is shared; its bookkeeping is in its file")
    return (
        <uintptr_t>core.bitmap.words, <uintptr_t>core.bitmap.chunks, <uintptr_t>core.continuations,
        <uintptr_t>&core.waiting,
    )
