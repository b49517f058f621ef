# Runs of blocks: allocated, waited for, given back. The primitives on which blocks, arrays and messages stand.

# For calls of Python that the whole process serves: a thread that waits wakes so often to let Ctrl-C in.
cdef extern from *:
    """
    #define SLICE 0.25
    """
    const double SLICE

# The quick way, which keeps the GIL and raises nothing: false is no room, or damage. `quick_length` tells how many
# blocks an argument asks for, if that is an int and the search so short; else 0.
cdef bint allocate_quickly(_Mapping m, uint64_t n, uint64_t slack, pool_run *run) noexcept
cdef uint64_t quick_length(_Mapping m, blocks) noexcept
cdef bint is_quick(_Mapping m, uint64_t n) noexcept

# One try: n adjacent blocks, or with `many` n single ones, all or nothing. False is no room.
cdef bint try_allocate(_Mapping m, uint64_t n, uint64_t slack, bint many, pool_run *out) except -1

# As long as it takes, up to the deadline; raises PoolExhausted then, and PoolClosed when *closed is set meanwhile. A
# deadline of 0 collects garbage once, and does not wait.
cdef int allocate_run(
    _Mapping m, const bint *closed, uint64_t n, uint64_t slack, bint many, double deadline, pool_run *out
) except -1

# What an allocation asks for in blocks and bytes; raises if that is wrong, or more than the pool has.
cdef int measure(_Mapping m, blocks, nbytes, uint64_t *n, uint64_t *length) except -1

# Counts a failure, and returns its error.
cdef count_exhausted(_Mapping m, n, bint adjacent)

# One owner of a run less, that was counted with so many bytes; the same of a run that was never counted.
cdef void release_run(_Mapping m, const pool_run *run, uint64_t nbytes) noexcept
cdef void undo_allocation(_Mapping m, const pool_run *run) noexcept

# Has Python free what nothing can reach, and the pool take back what nobody uses.
cdef int collect(_Mapping m) except -1
# Whether a wait that began then should do so now.
cdef bint is_garbage_due(double began, bint last_look) noexcept
cdef bint reclaim(_Mapping m) except -1

cdef closed_error()
