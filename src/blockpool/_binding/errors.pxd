# The one place where a status of the engine becomes an exception, and where its message is written.
#
# Each function either raises or returns the exception, as its name says. They change nothing, and take the engine and
# the pool's name: what is above it, they do not know.

# For calls that may wait: how long for another process to finish attaching, leaving or recovering.
cdef extern from *:
    """
    #define GATE_SECONDS 5.0
    """
    const double GATE_SECONDS

# What the kernel says.
cdef error_text(int error)

# A pool that could not be made, attached, removed, audited or recovered.
cdef int raise_failure(pool_status status, const pool_failure *failure, name) except -1
cdef no_room_error(const pool_failure *failure, size, count, bint shared, bint prefault)
cdef kernel_error(int error)

# A call in a process that has no part in the pool.
cdef lost_error(const pool *engine, name)

# A run: an operation that failed, one that is in use, one that is not to be had, damage.
cdef int raise_run_failure(const pool *engine, name, pool_status status, uint64_t index) except -1
cdef in_use_error(const pool *engine, const pool_users *users, what)
cdef exhausted_error(pool *engine, n, bint adjacent)
cdef void report_damage(uint64_t index) noexcept
cdef corrupt_error(const pool_fault *faults, uint64_t listed, uint64_t count)

# "2 views, 1 ticket": a list in words of (how many, what one is, what more are).
cdef in_words(counted)
cdef titled(name)
# Process ids of the slots that hold a run; 0 for a process that is still attaching.
cdef list holders_of(const pool *engine, uint64_t holders)
