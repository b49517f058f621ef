# Pool: the class whose methods programs call. Nothing in the binding is above it but package.pxi.

cdef class Pool(_Access):
    cdef object __weakref__
    cdef _Mapping quick         # the same, but None in debug mode: what the quick calls use
    # What is left after close().
    cdef object guard           # None unless in debug mode
    cdef object kept_name
    cdef bytes kept_id          # None for a private pool
    cdef bint may_have_ended    # whether the pool, and its name, may have ended with its last process

    # allocate() with any arguments; raises as it does.
    cdef allocate_slowly(self, blocks, nbytes, timeout)

# A Pool object of the mapping: an open one if there is one, else a closed one.
cdef object object_of(_Mapping m)

# The engine of an open pool, for blockpool._testing, which finds this in __pyx_capi__. Raises as Pool.opened().
cdef pool *engine_of(Pool owner) except NULL
