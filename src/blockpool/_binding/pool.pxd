# Pool: the class whose methods programs call. Nothing in the binding is above it but package.pxi.

cdef class Pool(_Access):
    cdef object __weakref__
    cdef _Mapping quick         # the same, but None in debug mode: what the quick calls use
    cdef pool_place *places     # without the GIL: what each thread has of the pool, see _threads.h; NULL at first
    # What is left after close().
    cdef object guard           # None unless in debug mode
    cdef object kept_name
    cdef bytes kept_id          # None for a private pool
    cdef bint may_have_ended    # whether the pool, and its name, may have ended with its last process

    # allocate() with any arguments; raises as it does.
    cdef allocate_slowly(self, blocks, nbytes, timeout)
    # The same without the GIL, where close() may come at any time; quick if it can be.
    cdef allocate_beside(self, blocks, nbytes, timeout)
    # A new reference to the object of this thread that keeps the mapping; NULL if the pool has to be asked slowly.
    cdef PyObject *keeper(self) noexcept
    cdef PyObject *new_keeper(self, pool_place *place) noexcept
    # The mapping, or None if the pool is closed.
    cdef _Mapping now(self)


# Keeps a mapping, for the blocks that one thread allocates: if all of them referred to the mapping itself, threads
# would meet at its reference count.
@cython.final
@cython.internal
@cython.no_gc
cdef class _Keeper:
    cdef _Mapping mapping

# A Pool object of the mapping: an open one if there is one, else a closed one.
cdef object object_of(_Mapping m)

# The engine of an open pool, for blockpool._testing, which finds this in __pyx_capi__. Raises as Pool.opened().
cdef pool *engine_of(Pool owner) except NULL
