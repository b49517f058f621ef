# See references.pxd.

cdef handle_of(_Mapping m, const pool_run *run, kind):
    if not pool_is_shared(&m.engine):
        raise TypeError(
            "a block of a private pool has no name that another process could use; create the pool with Pool.create()"
        )
    return kind(m.id.hex(), run.index if run != NULL else 0, run.generation if run != NULL else 0, getpid(), m.name)


cdef int share_run(_Mapping m, const pool_run *run, count) except -1:
    cdef pool_status status = pool_share(&m.engine, run, min(count, <uint64_t>-1))
    if status != POOL_OK:
        raise_run_failure(&m.engine, m.name, status, run.index)
    return 0


cdef int share_run_for(_Mapping m, const pool_run *run, count, double lifetime) except -1:
    cdef pool_failure failure
    cdef pool_status status
    status = pool_share_for(&m.engine, run, min(count, <uint64_t>-1), endings_whole(lifetime), &failure)
    if status == POOL_OK:
        return 0
    if status == POOL_NO_ROOM:
        raise lifetime_error(&failure, m.name)
    if status in (POOL_STRAY, POOL_TICKETS, POOL_CORRUPT):
        raise_run_failure(&m.engine, m.name, status, run.index)
    raise_failure(status, &failure, m.name)


cdef int redeem_run(_Mapping m, pool_run *run, bint flying) except -1:
    cdef pool_status status
    run.blocks = 0
    status = pool_redeem(&m.engine, run) if flying else pool_add_reference(&m.engine, run)
    if status != POOL_OK:
        raise_run_failure(&m.engine, m.name, status, run.index)
    return 0


# --- messages ---

cdef tuple reference_of(_Mapping m, const pool_run *run):
    return m.id, run.index, run.generation, getpid(), m.name


cdef _Mapping receive_run(pool_id, index, generation, process, name, pool_run *run):
    cdef _Mapping m
    run.index = number_field("block", index, 0, LEDGER_MOST_BLOCKS - 1)
    run.generation = number_field("generation", generation, 0, MOST_GENERATIONS)
    number_field("process", process, 0, INT32_MAX)
    m = mapping_of(id_field(pool_id), process, name_field(name), None)
    redeem_run(m, run, True)
    return m


cdef int send_run(_Mapping m, const pool_run *run, tuple parts, list sent) except -1:
    if sent is None:
        return share_run(m, run, 1)
    sent.append(parts)
    try:
        share_run(m, run, 1)
    except BaseException:
        sent.pop()
        raise
    return 0


cdef Py_ssize_t reference_in(tuple parts) noexcept:
    """The position of the reference in what was sent: arrays and buffers have two settings of their sender first."""
    return 0 if PyBytes_CheckExact(parts[0]) else 2


cdef bint take_reference_back(tuple parts) noexcept:
    """Redeem the reference and drop it, as a receiver would; return false if this process has left the pool."""
    cdef Py_ssize_t at = reference_in(parts)
    cdef _Mapping m = known(<bytes>parts[at])
    cdef pool_run run
    if m is None:
        return False
    run.index = parts[at + 1]
    run.generation = parts[at + 2]
    run.blocks = 0
    if pool_redeem(&m.engine, &run) == POOL_OK:
        undo_allocation(m, &run)
    return True


cdef int take_references_back(list sent) except -1:
    cdef Py_ssize_t at
    cdef _Mapping m
    cdef pool_run run
    while sent:
        parts = sent.pop()
        if take_reference_back(parts):
            continue
        at = reference_in(parts)
        try:
            m = receive_run(parts[at], parts[at + 1], parts[at + 2], parts[at + 3], parts[at + 4], &run)
        except BlockPoolError:
            continue  # the pool is gone, and everything in flight with it
        undo_allocation(m, &run)
    return 0
