# Block: the object with which a program holds a run.
#
# It starts as the only owner of its run. The first view, or the first read-only twin, hands the run over to a lease,
# which exports every view; from then on the run goes back with the lease. The state (core/src/block_state.h) makes sure
# that only one thread ends the block's use of the run, and only while no other thread is in the middle of using it.

cdef extern from "_borrowed.h":
    bint has_more_references(PyObject *object, Py_ssize_t count)


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Block:
    cdef _Mapping mapping       # None if it was made without a run, by Block.__new__; set by hold_mapping() only
    cdef block_keeper keeper
    cdef _Lease lease           # None while this object alone owns the run
    cdef pool_run run
    cdef readonly uint64_t nbytes
    cdef block_state state

    # Between enter() and leave(), no thread frees the run. enter() waits for a free() in another thread to decide. It
    # raises InvalidBlock if the block was released or freed, and lost_error() if this process has no part in the pool.
    cdef int enter(self) except -1
    cdef int leave(self) except -1
    # Raises as enter() does; the run may be freed right afterwards.
    cdef int require_open(self) except -1
    # Whether the block is one of the mapping, and neither released nor freed.
    cdef bint is_in(self, _Mapping m) noexcept
    # The lease that owns the run, made now if there is none. Only between enter() and leave().
    cdef _Lease own_lease(self)
    # The lease for a view or array that is made now. Only between enter() and leave().
    cdef _Lease view_lease(self)
    # Whether its views are read-only. Only between enter() and leave().
    cdef bint is_readonly(self)
    # What pickle makes of the block: a function and its arguments. Puts a reference in flight, and appends the
    # arguments to `noted` unless that is None. Raises TypeError for a private pool, otherwise as enter() or
    # share_run().
    cdef tuple sent(self, list noted)
    # "block 3", or "the run of 2 blocks at 3": for messages.
    cdef describe(self)
    # Of a Block that was just redeemed: has debug mode watch it.
    cdef int watch(self) except -1
    # The parts of free(), and free() in a shared pool in debug mode.
    cdef int require_freed(self, Py_ssize_t references, pool_status status, const pool_users *users) except -1
    cdef int free_watched(self) except -1
    # Always raises: DoubleFree if the block was freed, InvalidBlock if it was released or never allocated.
    cdef int raise_why(self, state_outcome outcome) except -1
    # Releases the block. Does nothing if it was released or freed before. Raises only what debug mode finds.
    cdef int end_use(self) except -1
    # The same, when a free() in another thread has decided.
    cdef int end_use_later(self) except -1
    # Gives up this object's part in the run. Only for the thread whose state change ended the use.
    cdef int drop(self) except -1
    cdef int drop_lease(self) except -1

# Makes a new Block the owner of one reference to a run that this process holds.
cdef void open_block(Block block, _Mapping mapping, const pool_run *run, uint64_t nbytes) noexcept
# The same, with a keeper of the mapping, to which this takes over a reference.
cdef void open_block_kept(
    Block block, _Mapping mapping, PyObject *kept_by, const pool_run *run, uint64_t nbytes
) noexcept
# A Block of a run that was just allocated, and counts the allocation. If this raises, the run has gone back.
cdef Block block_of_run(_Mapping m, const pool_run *run, uint64_t nbytes)

# A Pool object of the mapping.
cdef object owner_of(_Mapping m)
# Returns one. Set by the part above.
cdef object (*pool_object)(_Mapping m)

cdef extern from "_threads.h":
    void hold_mapping(Block block, _Mapping m) noexcept
    void hold_mapping_by(Block block, _Mapping m, PyObject *kept_by) noexcept
    void hold_mapping_of(Block block, Block other) noexcept
    void let_mapping_go(Block block) noexcept
