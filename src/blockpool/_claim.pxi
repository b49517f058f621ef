# How blocks are claimed, whichever kind the pool is of.

cdef bint reclaim(_Mapping m) except -1:
    """Have the pool take back what nobody uses, but nobody has returned yet; say whether there may be some."""
    if m.attachment != NULL:
        return recover_shared(m)
    return end_all_rest(m)


# When any thread last collected garbage, on the monotonic clock, and how long that took.
cdef double collected_at = -INFINITY, collecting_took = 0


cdef int collect(_Mapping m) except -1:
    """Have Python free what nobody can reach."""
    global collected_at, collecting_took
    cdef double began = os_now()
    collect_garbage()
    collected_at = os_now()
    collecting_took = collected_at - began
    reclaim(m)
    return 0


cdef bint is_garbage_due(double began, bint last_look) noexcept:
    """Whether a wait that began then should collect garbage now: after 0.25, 0.5, 1, 2, 4 s, then every 4 s.

    A block may become garbage at any time, and nobody tells. All waits of the process share one clock, and another
    collection comes only when the last took no more than 2 % of the time since. A last look collects all the same,
    unless there was a collection since the wait began.
    """
    cdef double now = os_now()
    cdef bint rested = now - collected_at >= 50 * collecting_took
    if last_look:
        return rested or collected_at < began
    return rested and now - max(began, collected_at) >= max(SLICE, min((now - began) / 2, 4))


@cython.nonecheck(False)
cdef inline bint claim_one(_Mapping m, pool_run *run) noexcept:
    """Claim a block without waiting, or looking for the dead."""
    if m.attachment != NULL:
        return attachment_allocate(m.attachment, 1, 0, run) == POOL_OK
    run.index = private_pool_allocate(m.core)
    run.blocks = 1
    run.generation = 0
    return run.index != BITMAP_NONE


@cython.nonecheck(False)
cdef inline uint64_t few(_Mapping m, blocks) noexcept:
    """How many blocks are asked for, if that is an int and the search short enough to keep the GIL; else 0."""
    cdef int overflow = 0
    cdef long long n
    if not PyLong_CheckExact(blocks) or m.blocks > LARGE_POOL:
        return 0
    n = PyLong_AsLongLongAndOverflow(blocks, &overflow)
    return <uint64_t>n if 0 < n <= <long long>MANY and <uint64_t>n <= m.blocks else 0


@cython.nonecheck(False)
cdef inline bint claim_few(_Mapping m, uint64_t n, uint64_t slack, pool_run *run) noexcept:
    """Claim a run without waiting, or looking for the dead."""
    if m.attachment != NULL:
        return attachment_allocate(m.attachment, n, slack, run) == POOL_OK
    run.index = private_pool_allocate(m.core) if n == 1 else private_pool_allocate_run(m.core, n)
    run.blocks = n
    run.generation = 0
    return run.index != BITMAP_NONE


cdef bint attempt(_Mapping m, uint64_t n, uint64_t slack, bint many, pool_run *out) except -1:
    """Claim n blocks, or nothing."""
    return attempt_shared(m, n, slack, many, out) if m.attachment != NULL else attempt_private(m, n, many, out)


cdef uint64_t allocated_of(_Mapping m) noexcept:
    cdef shared_pool_totals totals
    if m.attachment != NULL:
        shared_pool_count(&m.attachment.shared, &totals)
        return totals.allocated
    return bitmap_count(&m.core.bitmap)
