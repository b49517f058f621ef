# Block: what a program holds of a run.
#
# It begins as the only owner of its run. The first view, or the first read-only twin, moves the run to a lease, which
# is the exporter of every view; from then on the run goes back with the lease.

@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Block:
    cdef _Mapping mapping
    cdef _Lease lease           # None while this object alone owns the run
    cdef pool_run run
    cdef readonly uint64_t nbytes
    cdef block_state state

    # For the time of a use: nothing frees the run meanwhile. `enter` raises if the block was released or freed.
    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef int require_open(self) except -1
    # The lease that owns the run, made now if there is none; between enter and leave.
    cdef _Lease own_lease(self)
    # What pickle makes of the block: a call, with a reference in flight that is noted if there is a list.
    cdef tuple sent(self, list noted)
    cdef describe(self)
    cdef int raise_why(self, state_outcome outcome) except -1
    cdef int end_use(self) except -1
    cdef int end_use_later(self) except -1
    cdef int drop(self) except -1

# Makes the block the owner of a run.
cdef void open_block(Block block, _Mapping mapping, const pool_run *run, uint64_t nbytes) noexcept
# A Block of a run that was claimed, counted now; if it cannot be made, the run goes back.
cdef Block block_of_run(_Mapping m, const pool_run *run, uint64_t nbytes)

# Set by the room above: returns a Pool object of the mapping.
cdef object (*pool_object)(_Mapping m)
