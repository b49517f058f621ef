# See attach.pxd.

cdef _Mapping create_shared(
    block_size, blocks, name, processes, exist_ok, permanent, prefault, on_fork, queue_room, ticket_lifetime, debug
):
    cdef attachment_request request
    cdef pool_failure failure
    cdef pool_status status
    cdef _Mapping m
    cdef int error
    as_on_fork(on_fork)
    size = as_block_size(block_size)
    count = as_count(blocks, "blocks")
    if count > LEDGER_MOST_BLOCKS:
        raise ValueError(f"blocks must be at most {LEDGER_MOST_BLOCKS} in a shared pool, not {readable(count)}")
    most = as_count(processes, "processes")
    if most > LAYOUT_MOST_PROCESSES:
        raise ValueError(f"processes must be 1 to {LAYOUT_MOST_PROCESSES}, not {readable(most)}")
    room = 0 if queue_room is None else parse_size(queue_room, "queue_room")
    if room > LAYOUT_MOST_SMALL * LAYOUT_SMALL:
        raise ValueError(f"queue_room must be at most {LAYOUT_MOST_SMALL * LAYOUT_SMALL} bytes, not {readable(room)}")
    if size * count > LAYOUT_MOST_BYTES:
        raise PoolExhausted(
            f"asked for {readable(size * count)} bytes ({count} blocks of {size}); ask for fewer or smaller blocks"
        )
    if permanent and name is None:
        raise ValueError("a permanent pool needs a name, so that processes can attach it later; pass name=")
    cdef bytes file = b"" if name is None else file_name(name).encode()
    request.name = NULL
    if name is not None:
        request.name = file
    request.block_size = size
    request.blocks = count
    request.processes = most
    request.small_blocks = (room + LAYOUT_SMALL - 1) // LAYOUT_SMALL  # 0 for the default
    request.permanent = bool(permanent)
    request.detach = on_fork == "detach"
    request.debug = is_debug(debug, False)
    request.lifetime = as_lifetime(ticket_lifetime, "ticket_lifetime")
    request.gate_seconds = GATE_SECONDS
    cdef list raised = []
    request.pause.may_go_on = let_signals_in
    request.pause.context = <void *>raised
    for _ in range(100):  # the pool may vanish between creating it, which fails, and attaching it
        m = _Mapping.__new__(_Mapping)
        with nogil:
            status = pool_create(&m.engine, &request, &failure)
        tell_of_swept()
        if status == POOL_OK:
            break
        if status == POOL_STOPPED:
            raise raised[0]
        if status == POOL_NO_ROOM:
            raise no_room_error(&failure, size, count, True, prefault)
        if status != POOL_EXISTS or not exist_ok:
            raise_failure(status, &failure, name)
        try:
            m = agreed(attach_named(name, on_fork), on_fork)
        except PoolNotFound:
            continue
        if m.engine.block_size != size or m.engine.blocks != count:
            raise PoolExists(
                f"{titled(name)} exists with {m.engine.blocks} blocks of {m.engine.block_size} bytes, "
                f"not {count} of {size}; attach it as it is, or choose another name"
            )
        return m
    else:
        raise PoolExists(f"other processes keep creating and removing {titled(name)}; choose another name")
    m = open_shared(m, on_fork)
    if prefault:
        with nogil:
            error = os_prefault(
                m.engine.attachment.memory, layout_reserved(&m.engine.attachment.geometry, request.lifetime > 0),
                &request.pause,
            )
        if raised:
            raise raised[0]
        if is_lost(m):  # a signal handler forked, and this is the child
            raise lost_error(&m.engine, m.name)
        if error:
            raise PoolExhausted(f"{titled(name)}: the kernel cannot map every page: {error_text(-error)}")
    return m


cdef _Mapping attach_named(name, on_fork):
    cdef bytes file = file_name(name).encode()
    cdef const char *file_chars = file
    cdef unsigned char id[LAYOUT_ID_BYTES]
    cdef pool_failure failure
    cdef pool_status status
    cdef _Mapping m
    with nogil:
        status = pools_identify(file_chars, id)
    if status == POOL_OK:
        m = known(<bytes>id[:LAYOUT_ID_BYTES])
        if m is not None:
            return m
    m = _Mapping.__new__(_Mapping)
    with nogil:
        status = pool_attach(&m.engine, file_chars, GATE_SECONDS, &failure)
    if status != POOL_OK:
        raise_failure(status, &failure, name)
    return open_attached(m, on_fork)


cdef _Mapping open_attached(_Mapping m, on_fork):
    cdef _Mapping opened = open_shared(m, on_fork)
    tell_of_recovered(m)
    return opened


cdef _Mapping attach_found(pool_id, process, on_fork):
    """Attach a pool without a name through the file descriptor of a process that has it."""
    cdef pool_failure failure
    cdef pool_status status = POOL_NOT_FOUND
    cdef _Mapping m
    cdef bytes id = bytes.fromhex(pool_id)
    cdef const unsigned char *id_bytes = id
    cdef int owner, number
    for owner, number in find_descriptor(pool_id, process):
        m = _Mapping.__new__(_Mapping)
        with nogil:
            status = pool_attach_through(&m.engine, owner, number, id_bytes, GATE_SECONDS, &failure)
        if status == POOL_OK:
            return open_attached(m, on_fork)
        if status not in (POOL_NOT_FOUND, POOL_FORBIDDEN, POOL_NO_POOL):  # closed in the meantime, or not this pool
            raise_failure(status, &failure, None)
    raise PoolNotFound(why_not_found(process))


cdef _Mapping agreed(_Mapping m, on_fork):
    has = "share" if m.engine.attachment.on_fork == ON_FORK_SHARE else "detach"
    if on_fork is not None and on_fork != has:
        raise ValueError(
            f"this process has attached {titled(m.name)} already, with on_fork={has!r}, so it cannot attach it "
            f"with {on_fork!r}; leave on_fork out, or first close its Pool and drop its blocks"
        )
    return m


cdef _Mapping mapping_of(bytes pool_id, process, name, on_fork):
    cdef _Mapping m = known(pool_id)
    if m is not None:
        return m
    if name is None:
        return attach_found(pool_id.hex(), process, on_fork)
    m = attach_named(name, on_fork)
    if m.id != pool_id:
        raise PoolNotFound(f"the pool {name!r} that the handle names is gone; another one has its name now")
    return m


cdef _Mapping mapping_of_handle(handle, on_fork):
    return mapping_of(bytes.fromhex(handle.pool_id), handle.process, handle.name, on_fork)


cdef int unlink_named(name, bytes pool_id) except -1:
    cdef pool_failure failure
    cdef pool_status status
    cdef bytes file = file_name(name).encode()
    cdef const char *file_chars = file
    cdef const unsigned char *id = NULL
    if pool_id is not None:
        id = pool_id
    with nogil:
        status = pools_unlink(file_chars, id, GATE_SECONDS, &failure)
    if status == POOL_NOT_FOUND or (status == POOL_NO_POOL and pool_id is not None):
        raise PoolNotFound(f"{titled(name)} has no name to remove: it does not exist, or its name was removed before")
    if status != POOL_OK:
        raise_failure(status, &failure, name)
    return 0


def unlink(name):
    """Remove the pool with that name, or whatever else has the name.

    This also removes a pool that no process can attach, because it is damaged or was made by another release of
    blockpool, and a file that is not a pool. Attached processes go on.

    Parameters
    ----------
    name : str
        The name given to `Pool.create`.

    Raises
    ------
    PoolNotFound
        If nothing has that name.
    PoolForbidden
        If it belongs to another user.
    PoolCorrupt
        If it is a directory.
    PoolBusy
        If another process kept this one waiting too long; it may be stopped.
    TypeError, ValueError
        If `name` is not a name that a pool can have.
    OSError
        If there is no free file descriptor, no ``/proc`` or no ``/dev/shm``.
    """
    unlink_named(name, None)


def sweep():
    """Remove what killed programs left behind.

    That is every named pool of this user that is not permanent and has no living process. The first `Pool.create` of a
    process does it too, and so does one that finds no room.

    Returns
    -------
    int
        How many pools were removed.

    Notes
    -----
    May be called from any thread, and by several processes at once. It does not attach the pools that it looks at.
    """
    cdef unsigned count
    with nogil:
        count = pools_sweep()
    tell_of_swept()
    return count
