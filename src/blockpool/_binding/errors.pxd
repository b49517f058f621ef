# Errors: the one place where a status of the engine becomes an exception, and where its message is written.
#
# A function named raise_… always raises, one named …_error returns the exception. None changes anything. They take the
# engine and the pool's name, since they know nothing of the parts above.

# How many seconds a call waits for another process to finish attaching, leaving or recovering.
cdef extern from *:
    """
    #define GATE_SECONDS 5.0
    """
    const double GATE_SECONDS

# The kernel's text for an error number (positive).
cdef error_text(int error)

# A pool could not be created, attached, removed, audited or recovered: raises PoolExists, PoolNotFound, PoolForbidden,
# PoolCorrupt, PoolVersion, PoolExhausted, TooManyProcesses, PoolBusy or OSError.
cdef int raise_failure(pool_status status, const pool_failure *failure, name) except -1
# POOL_NO_ROOM: PoolExhausted for a new pool of `count` blocks of `size` bytes. It names the limit that was met.
cdef no_room_error(const pool_failure *failure, size, count, bint shared, bint prefault)
# OSError for a question about the pool's memory that the kernel did not answer; `error` is a negative errno.
cdef kernel_error(int error)

# PoolClosed, for a call on a pool that is closed.
cdef closed_error()
# A call in a process that has no part in the pool (is_lost): PoolClosed, TooManyProcesses or PoolBusy, by the reason.
cdef lost_error(const pool *engine, name)
# The reason, as part of a sentence: for a process whose fate and errno are given.
cdef why_lost(const pool *engine, attachment_fate fate, int error)

# An operation on the run at block `index` failed: raises lost_error(), StaleHandle, TooManyTickets or PoolCorrupt.
cdef int raise_run_failure(const pool *engine, name, pool_status status, uint64_t index) except -1
# POOL_IN_USE: BlockInUse for a run of a shared pool, with its other users; `what` names the run.
cdef in_use_error(const pool *engine, const pool_users *users, what)
# POOL_NO_ROOM or POOL_BUSY: PoolExhausted or PoolBusy for the note of the run at block `index`, which was not set.
cdef note_error(pool_status status, const pool_failure *failure, uint64_t index)
# POOL_NO_ROOM: PoolExhausted for the first ticket with a lifetime in a pool without one.
cdef lifetime_error(const pool_failure *failure, name)
# POOL_EXISTS or POOL_NO_ROOM: PoolBusy or PoolExhausted for a recording that was not begun.
cdef recording_error(pool_status status, const pool_failure *failure, name)
# POOL_EXHAUSTED: PoolExhausted for n blocks, with what is free. n may be larger than the pool.
cdef exhausted_error(pool *engine, n, bint adjacent)
# Hands PoolCorrupt to sys.unraisablehook: for destructors, which cannot raise.
cdef void report_damage(uint64_t index) noexcept
# PoolCorrupt for an audit that found `count` faults; the array has the first `listed` of them.
cdef corrupt_error(const pool_fault *faults, uint64_t listed, uint64_t count)

# A list for a message, such as "2 views, 1 ticket", of tuples (number, singular, plural). Leaves out what is 0.
cdef in_words(counted)
# "pool 'x'", or "the pool" if it has no name.
cdef titled(name)
# The ids of the processes whose bits are set in `holders`; 0 for a process that is still attaching.
cdef list holders_of(const pool *engine, const slot_set *holders)
