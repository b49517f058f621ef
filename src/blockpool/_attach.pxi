# Shared pools of this process: made, attached, found again.

# The shared mappings of this process: weak references, by pool id. A plain dict, as no Python code may run in a look.
cdef dict mappings = {}


cdef _Mapping new_member():
    """A mapping with room for a membership, that is none yet."""
    cdef _Mapping m = _Mapping.__new__(_Mapping)
    cdef void *memory = NULL
    if os_map_private(sizeof(attachment), False, &memory):
        raise MemoryError("no memory for a membership in a pool")
    m.attachment = <attachment *>memory
    return m


cdef _Mapping joined(_Mapping m, on_fork):
    """Complete a mapping whose membership began; or the one that this process has of the same pool already.

    `on_fork` is None for a pool that children share or not as it was made.
    """
    cdef bint detached = m.attachment.geometry.flags & LAYOUT_DETACH if on_fork is None else on_fork == "detach"
    m.data = layout_data(m.attachment.memory, &m.attachment.geometry)
    m.block_size = m.attachment.geometry.block_size
    m.blocks = m.attachment.geometry.blocks
    m.alignment = alignment_of(<uintptr_t>m.data, m.block_size)
    m.id = <bytes>m.attachment.geometry.id[:LAYOUT_ID_BYTES]
    m.name = (<bytes>m.attachment.name).decode()[len("blockpool."):] or None
    m.sampling = 7
    while (m.sampling + 1) * 8 < m.blocks:  # as often as costs next to nothing: a look takes time by the pool's size
        m.sampling = m.sampling * 2 + 1
    m.reference = PyWeakref_NewRef(m, None)
    # From this look to the entry no Python code runs, so of two threads that attach one pool one comes second, and its
    # membership ends with `m`.
    existing = known(m.id)
    if existing is not None:
        return existing
    mappings[m.id] = m.reference
    m.attachment.on_fork = ON_FORK_DETACH if detached else ON_FORK_SHARE
    return m


cdef void strike_off(_Mapping m) noexcept:
    """Take the mapping out of the table. Runs no Python code."""
    if m.reference is not None and mappings is not None and mappings.get(m.id) is m.reference:
        del mappings[m.id]


cdef _Mapping known(bytes pool_id):
    """The mapping that this process has of a pool, if it has a part in the pool through it; else None."""
    reference = mappings.get(pool_id)
    cdef _Mapping m = None if reference is None else reference()
    return m if m is not None and not attachment_is_stray(m.attachment) else None


cdef shares(on_fork):
    """The argument itself, if it is one of those that there are."""
    if on_fork not in (None, "share", "detach"):
        raise ValueError(f"on_fork must be 'share' or 'detach', not {on_fork!r:.60}")
    return on_fork


cdef _Mapping agreed(_Mapping m, on_fork):
    """The mapping, if what is asked for its children is what this process has."""
    has = "share" if m.attachment.on_fork == ON_FORK_SHARE else "detach"
    if on_fork is not None and on_fork != has:
        raise ValueError(
            f"this process has attached {titled(m.name)} already, with on_fork={has!r}, so it cannot have {on_fork!r} "
            "too; leave on_fork out, or first close its Pool and drop its blocks"
        )
    return m


cdef int refuse(pool_status status, pool_failure *failure, name) except -1:
    """Raise what a failed attempt to make, attach or remove the pool of that name is."""
    what = titled(name)
    if status == POOL_EXISTS:
        if failure.found != POOL_OK:
            raise PoolExists(unusable(failure.found, failure, name)[1])
        raise PoolExists(f"{what} exists already; attach it, choose another name, or unlink it")
    if status == POOL_NOT_FOUND:
        raise PoolNotFound(
            f"{what} does not exist: it was never made, or its last process has left, or its name was removed"
        )
    if status == POOL_FORBIDDEN and failure.error:
        raise PoolForbidden(
            f"{what} belongs to another user, or its mode was changed, or this process may not use /dev/shm: "
            f"{error_text(-failure.error)}; only processes of the same user can share a pool"
        )
    if status == POOL_FORBIDDEN:
        raise PoolForbidden(f"{what} belongs to another user; only processes of the same user can share a pool")
    if status in (POOL_NO_POOL, POOL_OTHER_VERSION, POOL_TRUNCATED, POOL_CORRUPT):
        kind, why = unusable(status, failure, name)
        raise kind(why)
    if status == POOL_FULL:
        raise TooManyProcesses(f"{what} has 47 processes attached, the most it can have; let one leave first")
    if status == POOL_BUSY and failure.process == <uint64_t>getpid():
        raise PoolBusy(
            f"{what}: another thread of this process was recovering, checking or forking for {GATE_SECONDS:g} s; "
            "try again"
        )
    if status == POOL_BUSY:
        raise PoolBusy(
            f"{what}: process {failure.process} has kept others from attaching, leaving and recovering for "
            f"{GATE_SECONDS:g} s; if it is stopped, continue or kill it"
        )
    if status == POOL_NO_MAPPING:
        raise PoolExhausted(
            f"{what}: the kernel maps no more memory into this process; raise its limit of address space (ulimit -v) "
            "or of mappings (vm.max_map_count), or free some"
        )
    raise OSError(-failure.error, f"{what}: {remedy_of(status, failure.error)}")


cdef remedy_of(pool_status status, int error):
    """What the kernel refused, and what to do about it."""
    if status == POOL_NO_DESCRIPTOR:
        return f"{error_text(-error)}: {NO_DESCRIPTOR}"
    if status == POOL_NO_PROC:
        return NO_PROC
    if status == POOL_NO_DIRECTORY:
        return "there is no /dev/shm for pools with names; mount it, or make the pool without a name"
    if status == POOL_UNREACHABLE:
        return (
            "the program closed the pool's file descriptor, and no other process has the pool open to get it from, so "
            "nobody can be known to be dead; keep the descriptors named blockpool in /proc/self/fd when closing others"
        )
    return error_text(-error)


cdef titled(name):
    return "the pool" if name is None else f"pool {name!r}"


cdef tuple unusable(pool_status status, pool_failure *failure, name):
    """The exception and its message for a file that no process of this release can attach."""
    what = titled(name)
    if status == POOL_NO_POOL:
        return PoolCorrupt, f"{what} is not a pool: {foreign(name)}"
    remedy = "" if name is None else f"; remove it with blockpool.unlink({name!r}), and create it again"
    if status == POOL_OTHER_VERSION:
        made_by = (<bytes>failure.made_by).decode("ascii", "replace")
        if not made_by.isprintable() or not made_by:
            made_by = "an older release" if failure.version < LAYOUT_VERSION else "a newer release"
        return PoolVersion, (
            f"{what} was made by another release of blockpool, {made_by} (layout {failure.version}); this is "
            f"{library()} (layout {LAYOUT_VERSION}); use one release in all processes, or choose another name"
            + ("" if name is None else f"; if no process needs it any more, remove it with blockpool.unlink({name!r})")
        )
    if status == POOL_TRUNCATED:
        return PoolCorrupt, f"{what} is damaged: the size of its file is not the one that it was created with{remedy}"
    return PoolCorrupt, f"{what} is damaged: something wrote over its header{remedy}"


cdef library():
    """The release of this library."""
    return (<bytes>LAYOUT_LIBRARY).decode()


cdef _Mapping create_shared(block_size, blocks, name, exist_ok, permanent, prefault, on_fork):
    cdef attachment_request request
    cdef pool_failure failure
    cdef pool_status status
    cdef _Mapping m
    cdef int error
    shares(on_fork)
    size = as_block_size(block_size)
    count = as_count(blocks, "blocks")
    if count > LEDGER_MOST_BLOCKS:
        raise ValueError(f"blocks must be at most {LEDGER_MOST_BLOCKS} in a shared pool, not {readable(count)}")
    if size * count > LAYOUT_MOST_BYTES:
        raise PoolExhausted(
            f"asked for {readable(size * count)} bytes ({count} blocks of {size}); ask for fewer or smaller blocks"
        )
    if permanent and name is None:
        raise ValueError("a permanent pool needs a name, or nobody could come back to it")
    cdef bytes file = b"" if name is None else file_name(name).encode()
    request.name = NULL
    if name is not None:
        request.name = file
    request.block_size = size
    request.blocks = count
    request.permanent = bool(permanent)
    request.detach = on_fork == "detach"
    request.gate_seconds = GATE_SECONDS
    cdef list raised = []
    request.pause.may_go_on = let_signals_in
    request.pause.context = <void *>raised
    for _ in range(100):  # it may vanish between the one attempt and the other
        m = new_member()
        with nogil:
            status = attachment_create(m.attachment, &request, &failure)
        if status == POOL_OK:
            break
        if status == POOL_STOPPED:
            raise raised[0]
        if status == POOL_NO_ROOM:
            raise no_room(size, count, &failure)
        if status != POOL_EXISTS or not exist_ok:
            refuse(status, &failure, name)
        try:
            m = agreed(attach_named(name, on_fork), on_fork)
        except PoolNotFound:
            continue
        if m.block_size != size or m.blocks != count:
            raise PoolExists(
                f"{titled(name)} exists with {m.blocks} blocks of {m.block_size} bytes, not {count} of {size}; "
                "attach it as it is, or choose another name"
            )
        return m
    else:
        raise PoolExists(f"{titled(name)} keeps vanishing and coming back; choose another name")
    m = joined(m, on_fork)
    if prefault:
        with nogil:
            error = os_prefault(m.attachment.memory, m.attachment.geometry.bytes, &request.pause)
        if raised:
            raise raised[0]
        if is_lost(m):  # a signal's handler forked: this is the child
            raise lost_error(m)
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
    m = new_member()
    with nogil:
        status = attachment_attach(m.attachment, file_chars, GATE_SECONDS, &failure)
    if status != POOL_OK:
        refuse(status, &failure, name)
    return joined(m, on_fork)


cdef _Mapping attach_found(pool_id, process, on_fork):
    """Attach a pool without a name, through a descriptor that some process has of it."""
    cdef pool_failure failure
    cdef pool_status status = POOL_NOT_FOUND
    cdef _Mapping m
    cdef bytes id = bytes.fromhex(pool_id)
    cdef const unsigned char *id_bytes = id
    cdef int owner, number
    for owner, number in find_descriptor(pool_id, process):
        m = new_member()
        with nogil:
            status = attachment_attach_through(m.attachment, owner, number, id_bytes, GATE_SECONDS, &failure)
        if status == POOL_OK:
            return joined(m, on_fork)
        if status not in (POOL_NOT_FOUND, POOL_FORBIDDEN, POOL_NO_POOL):  # closed meanwhile, or not ours
            refuse(status, &failure, None)
    raise PoolNotFound(why_not_found(process))


cdef _Mapping mapping_of(bytes pool_id, process, name, on_fork):
    """This process's mapping of a pool, attached now if it has to be; its parts were checked (_messages.pxi)."""
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
    """The same, of a handle as Handle.parse gave it."""
    return mapping_of(bytes.fromhex(handle.pool_id), handle.process, handle.name, on_fork)


def _attach_pickled(text, fork_shares, kind=Pool):
    """Unpickle a shared pool, as an object of its class."""
    if not isinstance(kind, type) or not issubclass(kind, Pool):
        raise garbled("class", kind)
    m = mapping_of_handle(Handle.parse(text), "share" if flag_field("fork_shares", fork_shares) else "detach")
    owner = kind.__new__(kind)
    adopt(<Pool?>owner, m)
    return owner


cdef c_bool let_signals_in(void *raised) noexcept with gil:
    """Between two pieces of a long call: let Python handle signals; no more pieces if a handler raises."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<list>raised).append(error)
        return False
    return True


cdef no_room(size, count, pool_failure *failure):
    """The error of a pool that is larger than what there is."""
    cdef uint64_t missing = max(1, <object>failure.asked - failure.available)
    limit = (<bytes>failure.limit).decode("utf-8", "replace")
    there, remedy = shortage(limit, failure.available)
    if failure.error and failure.asked <= failure.available:  # inodes, say
        there, remedy = f"the kernel gives no more ({error_text(-failure.error)}), although {there}", "free some"
    return PoolExhausted(
        f"asked for {size * count} bytes of shared memory ({count} blocks of {size}) and "
        f"{failure.asked - <object>size * count} of bookkeeping; "
        f"{there}{surveyed(0 if limit == '/dev/shm' else missing)}; ask for fewer or smaller blocks, or {remedy}"
    )


cdef surveyed(uint64_t missing):
    """For a message: the largest pools that could not be swept, and why, if they have so many bytes."""
    cdef pools_survey_t survey
    cdef pools_surveyed *one
    cdef size_t i
    with nogil:
        pools_survey(&survey)
    found = []
    if survey.bytes < missing:
        return ""
    for i in range(min(survey.count, <uint64_t>POOLS_SURVEYED)):
        one = &survey.largest[i]
        name = (<bytes>one.name).decode("ascii", "replace").removeprefix("blockpool.")
        why = (
            "in use" if one.used
            else "permanent" if one.is_ == POOL_OK
            else "of another release" if one.is_ == POOL_OTHER_VERSION
            else "damaged"
        )
        found.append(f"{name!r} {one.bytes} bytes, {why}")
    if not found:
        return ""
    more = f", and {survey.count - <uint64_t>len(found)} more" if survey.count > <uint64_t>len(found) else ""
    return f"; pools take {survey.bytes} bytes in /dev/shm ({'; '.join(found)}{more})"


cdef int unlink_named(name, bytes pool_id) except -1:
    """Remove the name; with an id only from that pool."""
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
        raise PoolNotFound(f"{titled(name)} has no name to remove: there is none, or it was removed before")
    if status != POOL_OK:
        refuse(status, &failure, name)
    return 0


cdef int unlink_pool(Pool owner) except -1:
    """Remove the name of the pool that the object is, or was, a reference to."""
    cdef _Mapping m
    if owner.kept_id is None:
        raise PoolNotFound("the pool is private: it has no name to remove")
    if owner.kept_name is None:
        raise PoolNotFound("the pool has no name to remove: it was made without one")
    if owner.mapping is not None:
        m = owner.opened()
        if attachment_is_stray(m.attachment):
            fail(m, POOL_STRAY, 0)
    try:
        unlink_named(owner.kept_name, owner.kept_id)
    except PoolNotFound:
        if owner.mapping is not None or not owner.may_have_ended:
            raise
    owner.may_have_ended = False
    return 0


def unlink(name):
    """Remove the pool of that name, or whatever else has its name.

    Also a pool that no process can attach, as it is damaged or was made by another release of blockpool; and a file
    that is no pool. Who is attached goes on.

    Parameters
    ----------
    name : str

    Raises
    ------
    PoolNotFound
        If there is nothing of that name.
    PoolForbidden
        If it is another user's.
    PoolCorrupt
        If it is a directory.
    PoolBusy
        If another process keeps everybody waiting.
    TypeError, ValueError
        If it is no name that a pool can have.
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
    """
    cdef unsigned count
    with nogil:
        count = pools_sweep()
    return count
