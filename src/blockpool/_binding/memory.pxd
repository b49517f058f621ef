# Mappings: a mapping is the memory of a pool, private or shared, with the engine that manages it.
#
# It knows nothing of runs, blocks or Pool objects; everything that uses the memory refers to it. When the last
# reference is gone, the memory is unmapped, and this process leaves the pool if it is shared.

@cython.final
@cython.internal
@cython.no_gc_clear
cdef class _Mapping:
    cdef object __weakref__
    cdef pool engine
    cdef Py_buffer lender       # the caller's memory, if `borrowed`
    cdef bint borrowed
    cdef size_t alignment       # in bytes, of every block
    cdef object guard           # None unless in debug mode
    cdef bint closed            # whether a Pool object of it was closed
    # For events.pxi: when, on the monotonic clock, exhaustion may be told again, and how often it was not told since;
    # in which process that was, as a number of forks; and whether to be full is nothing special for this pool.
    cdef double quiet_until
    cdef uint64_t left_out
    cdef uint64_t told_in
    cdef bint fills_up
    # Only for a shared pool.
    cdef object name            # None if it has none
    cdef bytes id
    cdef object reference       # a weak reference to itself; the entry in this process's table of shared pools
    # For pool.pxi: weak references to its Pool objects, and to the latest of them.
    cdef object pool_ref
    cdef list owners


# Access to a mapping that can be closed, and opened again on another one. Pool is one; lower parts know only this.
@cython.internal
cdef class _Access:
    cdef _Mapping mapping       # None once closed

    # The mapping. Raises PoolClosed if it is closed, lost_error() if this process has no part in it.
    cdef _Mapping opened(self)


# Unmaps the memory now if the caller has the only reference, and nobody can get another one. Without the GIL it would
# else stay until the thread that made the mapping runs again.
cdef void end_unless_used(_Mapping m) noexcept

# Whether this process has no part in its shared pool, and so must not touch the memory. False for a private pool.
cdef bint is_lost(_Mapping m) noexcept
# The address of a block, which is not checked.
cdef void *address_of(_Mapping m, uint64_t index) noexcept

# Raises the error of a call on the mapping's pool, unless the status is POOL_OK.
cdef int require_part(_Mapping m, pool_status status, const pool_failure *failure) except -1

# Opens a private pool in a new mapping, in memory of its own or in the caller's `buffer`. size and blocks were checked
# as numbers. Raises as Pool() does; the mapping is of no use then.
cdef int open_private(_Mapping m, size, blocks, buffer, bint prefault, bint huge_pages, bint debug) except -1
# The same without memory for the blocks: nobody may use an address in it. It may be larger than the machine.
cdef int open_bare(_Mapping m, size, blocks) except -1
# Completes a mapping whose engine has just attached a shared pool, and returns it; or returns the mapping that this
# process has of that pool already, and then `m` is to be dropped. on_fork is as in attach.pxd.
cdef _Mapping open_shared(_Mapping m, on_fork)
# The mapping that this process has of the shared pool with that id; None if it has none, or no part in the pool.
cdef _Mapping known(bytes pool_id)

# The mapping of the shared pool whose blocks the address lies in; None if there is none.
cdef _Mapping mapping_at(uintptr_t address)

# The engine calls this between two pieces of a long call, so that Python can handle signals. If a handler raises, it
# appends the exception to the list and returns false: the call is to stop.
cdef c_bool let_signals_in(void *raised) noexcept with gil
