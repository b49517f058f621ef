# Runs: allocating them, waiting for them and giving them back; what blocks, arrays and messages are built on.
#
# A run is plain data (pool_run). Its caller has to make an owner for it at once, or undo the allocation. Except for the
# quick ones, these calls may release the GIL and run other Python code, such as signal handlers. `slack` is how many
# bytes at the end of the last block were not asked for.

# Seconds of a single sleep: a thread that waits wakes this often to handle signals.
cdef extern from *:
    """
    #define SLICE 0.25
    """
    const double SLICE

# Allocates n adjacent blocks, at most the pool's, without releasing the GIL or running other code; is_quick() tells
# whether the search is short enough for that. Returns false, having changed nothing, if there is no room or the
# bookkeeping is damaged; allocate_run finds out which.
cdef bint allocate_quickly(_Mapping m, uint64_t n, uint64_t slack, pool_run *run) noexcept
# The number of blocks that an argument asks for, if it is exactly an int and is_quick() holds; else 0.
cdef uint64_t quick_length(_Mapping m, blocks) noexcept
# Whether n is possible, and a search for n blocks is short enough to keep the GIL.
cdef bint is_quick(_Mapping m, uint64_t n) noexcept

# Tries once: n adjacent blocks into *out, or with `many` n single blocks into out[0] to out[n - 1], all or nothing.
# Returns false if there is no room. Raises as raise_run_failure().
cdef bint try_allocate(_Mapping m, uint64_t n, uint64_t slack, bint many, pool_run *out) except -1

# The same, but collects garbage and waits for room, until the deadline (see deadline_of); with deadline 0 it collects
# garbage once and does not wait. Raises PoolExhausted then, PoolClosed if the access is closed during the wait,
# lost_error(), or what a signal handler raises.
cdef int allocate_run(
    _Access access, _Mapping m, uint64_t n, uint64_t slack, bint many, double deadline, pool_run *out
) except -1

# Reads the arguments `blocks` and `nbytes` of an allocation: its length in blocks and in bytes. Raises TypeError or
# ValueError, or PoolExhausted if the pool can never have that much.
cdef int measure(_Mapping m, blocks, nbytes, uint64_t *n, uint64_t *length) except -1

# Counts a failed allocation of n blocks, and returns its PoolExhausted.
cdef count_exhausted(_Mapping m, n, bint adjacent)

# Drops one of this process's references to a run that was counted with `nbytes` bytes. The run goes back with the last
# reference. Nothing goes back any more at an end beside other threads; see fork.pxd. Never raises; damage goes to
# report_damage().
cdef void release_run(_Mapping m, const pool_run *run, uint64_t nbytes) noexcept
# The same for a run that was not counted.
cdef void undo_allocation(_Mapping m, const pool_run *run) noexcept

# Runs Python's garbage collector, then reclaim().
cdef int collect(_Mapping m, bint waiting) except -1
# Whether a wait that began at that time (os_now) should collect garbage now; `last_look` is its end.
cdef bint is_garbage_due(double began, bint last_look) noexcept
# Takes back runs that have no user but were not returned: of dead processes, or at rest in debug mode. Returns whether
# another try may find room. A caller that is `waiting` leaves it to another process that did so a moment ago.
cdef bint reclaim(_Mapping m, bint waiting) except -1
