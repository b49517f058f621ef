# See runs.pxd.

# A search for more blocks than MANY, or in a pool with more than LARGE_POOL, releases the GIL.
cdef enum:
    MANY = 4096
    LARGE_POOL = 1 << 16


# --- the quick way ---

@cython.nonecheck(False)
cdef inline bint allocate_quickly(_Mapping m, uint64_t n, uint64_t slack, pool_run *run) noexcept:
    return pool_allocate(&m.engine, n, slack, run) == POOL_OK


@cython.nonecheck(False)
cdef inline bint is_quick(_Mapping m, uint64_t n) noexcept:
    return n <= MANY and m.engine.blocks <= LARGE_POOL and n <= m.engine.blocks


@cython.nonecheck(False)
cdef inline uint64_t quick_length(_Mapping m, blocks) noexcept:
    cdef int overflow = 0
    cdef long long n
    if not PyLong_CheckExact(blocks):
        return 0
    n = PyLong_AsLongLongAndOverflow(blocks, &overflow)
    return <uint64_t>n if n > 0 and is_quick(m, <uint64_t>n) else 0


# --- the thorough way, with waiting and signals ---

# Without the GIL, an object that ends in another thread than the one that made it is left to the latter, which ends it
# between two steps of Python code. So a thread that waits for room lets Python run that often, in seconds.
cdef double TURN_SLICE = 0.005


cdef bint try_allocate(_Mapping m, uint64_t n, uint64_t slack, bint many, pool_run *out) except -1:
    cdef pool_status status
    if is_quick(m, n) and not many:
        status = pool_allocate(&m.engine, n, slack, out)
    else:
        pool_go_outside(&m.engine)
        with nogil:
            if many:
                status = pool_allocate_many(&m.engine, n, out)
            else:
                status = pool_allocate(&m.engine, n, slack, out)
        pool_come_back(&m.engine)
    if status == POOL_OK:
        return True
    if status != POOL_EXHAUSTED:
        raise_run_failure(&m.engine, m.name, status, 0)
    return False


cdef int allocate_run(
    _Access access, _Mapping m, uint64_t n, uint64_t slack, bint many, double deadline, pool_run *out
) except -1:
    cdef uint32_t sequence, wait = 0
    cdef double left, began = os_now()
    cdef bint looked_last = False, undisturbed
    cdef double looked = began
    if try_allocate(m, n, slack, many, out):
        return 0
    if reclaim(m, False) and try_allocate(m, n, slack, many, out):
        return 0
    if deadline == 0:
        collect(m, False)
        if try_allocate(m, n, slack, many, out):
            return 0
        raise count_exhausted(m, n, not many)
    pool_wait_begin(&m.engine, &wait)
    try:
        while True:
            sequence = pool_free_sequence(&m.engine)
            if try_allocate(m, n, slack, many, out):
                return 0
            left = deadline - os_now()
            if looked_last:
                break
            if left <= 0 or is_garbage_due(began, False):
                looked_last = left <= 0
                if not looked_last or is_garbage_due(began, True):
                    collect(m, not looked_last)
                continue
            with nogil:
                pool_wait_sleep(&m.engine, sequence, min(left, TURN_SLICE if WITHOUT_GIL else SLICE))
            undisturbed = pool_free_sequence(&m.engine) == sequence
            PyErr_CheckSignals()
            if WITHOUT_GIL:
                take_a_turn()
                undisturbed = undisturbed and os_now() - looked >= SLICE
            if access.opened() is not m:  # closed, and opened again as another pool
                raise closed_error()
            if pool_wait_is_over(&m.engine, wait):  # a signal handler forked, and this is the child
                pool_wait_begin(&m.engine, &wait)
            if undisturbed or pool_has_ended_tickets(&m.engine):
                looked = os_now()
                reclaim(m, True)
    finally:
        pool_wait_end(&m.engine, wait)
        pool_count_wait(&m.engine, os_now() - began)
    raise count_exhausted(m, n, not many)


cdef int measure(_Mapping m, blocks, nbytes, uint64_t *n, uint64_t *length) except -1:
    size = m.engine.block_size
    if nbytes is None:
        blocks = 1 if blocks is None else as_count(blocks, "blocks")
        nbytes = blocks * size
    elif blocks is None:
        nbytes = parse_size(nbytes, "nbytes")
        blocks = -(-nbytes // size)
    else:
        raise TypeError("give blocks or nbytes, not both: nbytes says how many blocks it takes")
    if blocks > m.engine.blocks:
        raise count_exhausted(m, blocks, True)
    n[0] = blocks
    length[0] = nbytes
    return 0


cdef count_exhausted(_Mapping m, n, bint adjacent):
    if is_lost(m):  # the caller's __index__ forked, and this is the child
        return lost_error(&m.engine, m.name)
    pool_count_failure(&m.engine)
    error = exhausted_error(&m.engine, n, adjacent)
    tell_of_exhaustion(m, error)
    return error


# --- giving back ---

@cython.nonecheck(False)
cdef inline void release_run(_Mapping m, const pool_run *run, uint64_t nbytes) noexcept:
    if unlikely(is_published(&near_the_end)):
        release_late(m, run, nbytes)
        return
    if unlikely(pool_release(&m.engine, run, nbytes) != POOL_OK):
        report_damage(run.index)


@cython.nonecheck(False)
cdef void release_late(_Mapping m, const pool_run *run, uint64_t nbytes) noexcept:
    """Release a run while the program ends; apart, so that it costs nothing before."""
    if not ends_beside_threads() and pool_release(&m.engine, run, nbytes) != POOL_OK:
        report_damage(run.index)


cdef void undo_allocation(_Mapping m, const pool_run *run) noexcept:
    if pool_unclaim(&m.engine, run) != POOL_OK:
        report_damage(run.index)


cdef bint reclaim(_Mapping m, bint waiting) except -1:
    """Take back runs that have no user but were not returned; return whether there may be any."""
    cdef bint any
    if not pool_is_shared(&m.engine):
        return pool_reclaim(&m.engine, waiting)
    with nogil:
        any = pool_reclaim(&m.engine, waiting)
    tell_of_recovered(m)
    return any


# When a thread last collected garbage, on the monotonic clock, and how many seconds that took.
cdef double collected_at = -INFINITY, collecting_took = 0


cdef int collect(_Mapping m, bint waiting) except -1:
    global collected_at, collecting_took
    cdef double began = os_now()
    collect_garbage()
    collected_at = os_now()
    collecting_took = collected_at - began
    reclaim(m, waiting)
    return 0


cdef bint is_garbage_due(double began, bint last_look) noexcept:
    """Whether a wait that began then should collect garbage now: after 0.25, 0.5, 1, 2 and 4 s, then every 4 s.

    A block may become garbage at any time, unnoticed. All waits of the process count from the last collection of any of
    them, and the next one comes only when the last took at most 2 % of the time since. The last look collects
    regardless, unless there was a collection since the wait began.
    """
    cdef double now = os_now()
    cdef bint rested = now - collected_at >= 50 * collecting_took
    if last_look:
        return rested or collected_at < began
    return rested and now - max(began, collected_at) >= max(SLICE, min((now - began) / 2, 4))
