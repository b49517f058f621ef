# Where freed runs of a pool in debug mode rest before they can be allocated again, the oldest out first.
#
# Plain C, which no signal handler, collector or failure can enter: a run on its way from its owner to the pool is in
# the one place or the other. All of it with the GIL held.

# One block in so many may rest.
cdef enum: RESTING_SHARE = 8

cdef struct resting_run:
    uint64_t index, blocks

cdef struct quarantine:
    resting_run *runs           # a ring
    uint64_t room, first, count
    uint64_t blocks             # of all runs in it


cdef int quarantine_open(quarantine *q, uint64_t blocks) except -1:
    """Make the quarantine of a pool of so many blocks. Freed with its mapping."""
    # as each has one block at least, these and one more are never full
    q.room = most_resting(blocks) + 1
    q.runs = <resting_run *>malloc(q.room * sizeof(resting_run))
    if q.runs == NULL:
        raise MemoryError(f"no memory for the debug mode of a pool of {blocks} blocks")
    return 0


cdef inline uint64_t most_resting(uint64_t blocks) noexcept:
    """How many blocks may rest."""
    return max(1, blocks // RESTING_SHARE)


cdef void rest(_Mapping m, uint64_t index, uint64_t blocks) noexcept:
    """Let a run rest, and let the pool have those that it pushes out."""
    cdef quarantine *q = &m.resting
    q.runs[(q.first + q.count) % q.room] = resting_run(index, blocks)
    q.count += 1
    q.blocks += blocks
    while q.blocks > most_resting(m.blocks):
        end_rest(m)


cdef bint end_all_rest(_Mapping m) noexcept:
    """Let the pool have all that rests; say whether there was any."""
    cdef bint any = m.resting.count > 0
    while m.resting.count:
        end_rest(m)
    return any


cdef void end_rest(_Mapping m) noexcept:
    """Let the pool have the run that has rested longest."""
    cdef quarantine *q = &m.resting
    cdef resting_run run = q.runs[q.first]
    q.first = (q.first + 1) % q.room
    q.count -= 1
    q.blocks -= run.blocks
    private_pool_release(m.core, run.index, run.blocks)
