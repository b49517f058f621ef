# The memory of a pool, private or shared. Knows nothing of runs, blocks or Pool objects.

@cython.final
@cython.internal
@cython.no_gc_clear
cdef class _Mapping:
    cdef object __weakref__
    cdef pool engine
    cdef Py_buffer lender       # the caller's memory, if the pool is in it
    cdef bint borrowed
    cdef size_t alignment
    cdef object guard           # of debug mode; None without
    cdef bint closed            # a Pool object of it was closed
    # Of a shared pool.
    cdef object name            # None without one
    cdef bytes id
    cdef object reference       # weak, to itself; what the table of this process's shared pools has
    # For the roof: weak references to the Pool objects of it, and to the last of them.
    cdef object pool_ref
    cdef list owners

# Whether this process was forked without a part in the shared pool: it must not touch the memory.
cdef bint is_lost(_Mapping m) noexcept
cdef void *address_of(_Mapping m, uint64_t index) noexcept

# Gives the mapping a private pool: in memory of its own, or in the caller's `buffer`. Raises as Pool() does.
cdef int open_private(_Mapping m, size, blocks, buffer, bint prefault, bint huge_pages, bint debug) except -1
# Completes a mapping whose engine has attached a shared pool; or returns the one that this process has of it already.
# `on_fork` is None for a pool that children share or not as it was created.
cdef _Mapping open_shared(_Mapping m, on_fork)
# The mapping that this process has of a pool, if it has a part in the pool through it; else None.
cdef _Mapping known(bytes pool_id)

# Between two pieces of a long call: lets Python handle signals; false, with the exception in the list, if that raises.
cdef c_bool let_signals_in(void *raised) noexcept with gil
