# Pool, the roof: what a program calls.

cdef class Pool:
    cdef object __weakref__
    cdef _Mapping mapping       # None once closed
    cdef _Mapping quick         # the same, but None in debug mode
    cdef bint was_closed        # a wait that goes on looks here
    # What outlives the closing.
    cdef object guard           # of debug mode
    cdef object kept_name
    cdef bytes kept_id          # None for a private pool
    cdef bint may_have_ended    # when its last process left, and with the pool its name

    # The mapping; raises if the pool is closed, or this process has no part in it.
    cdef _Mapping opened(self)
    cdef allocate_slowly(self, blocks, nbytes, timeout)

# A Pool object of the mapping, an open one if there is one.
cdef object object_of(_Mapping m)

# The engine of an open pool, for blockpool._testing, which finds this by __pyx_capi__; raises as Pool.opened.
cdef pool *engine_of(Pool owner) except NULL
