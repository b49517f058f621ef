# A shared pool: attach and leave, pass on, recover, fork.

# The shared mappings of this process, by pool id.
cdef object mappings = weakref.WeakValueDictionary()

# Those that take part in the fork that is under way.
cdef list in_fork = []


# --- attaching ---

cdef _Mapping new_member():
    """A mapping with room for a membership, that is none yet."""
    cdef _Mapping m = _Mapping.__new__(_Mapping)
    cdef void *memory = NULL
    if os_map_private(sizeof(member), False, &memory):
        raise MemoryError("no memory for a membership in a pool")
    m.member = <member *>memory
    enlist(m.member)
    return m


cdef _Mapping joined(_Mapping m, bint fork_shares):
    """Complete a mapping whose membership began; or the one that this process has of the same pool already."""
    m.data = segment_data(m.member.memory, &m.member.geometry)
    m.block_size = m.member.geometry.block_size
    m.blocks = m.member.geometry.blocks
    m.alignment = alignment_of(<uintptr_t>m.data, m.block_size)
    m.id = <bytes>m.member.geometry.id[:SEGMENT_ID_BYTES]
    m.name = (<bytes>m.member.name).decode()[len("blockpool."):] or None
    m.fork_shares = fork_shares
    existing = known(m.id)
    if existing is not None:
        return existing
    mappings[m.id] = m
    return m


cdef _Mapping known(bytes pool_id):
    """The mapping that this process has of a pool, if it has a part in the pool through it; else None."""
    reference = mappings.data.get(pool_id)  # as mappings.get, but without a call of Python
    cdef _Mapping m = None if reference is None else reference()
    return m if m is not None and m.lost is None and not member_is_stray(m.member) else None


cdef bint shares(on_fork) except -1:
    if on_fork not in ("share", "detach"):
        raise ValueError(f"on_fork must be 'share' or 'detach', not {on_fork!r:.60}")
    return on_fork == "share"


cdef int refuse(member_status status, member_failure *failure, what) except -1:
    """Raise what a failed attempt to make or attach a pool is."""
    if status == MEMBER_EXISTS:
        raise PoolExists(f"{what} exists already; attach it, choose another name, or unlink it")
    if status == MEMBER_NOT_FOUND:
        raise PoolNotFound(
            f"{what} does not exist: it was never made, or its last process has left, or its name was removed"
        )
    if status == MEMBER_FORBIDDEN:
        raise PoolForbidden(f"{what} belongs to another user; processes of one user can share a pool")
    if status == MEMBER_NO_POOL:
        raise PoolCorrupt(f"{what} is no pool: the file holds something else")
    if status == MEMBER_NEWER:
        raise PoolCorrupt(f"{what} was made by a newer version of blockpool; upgrade, or make the pool anew")
    if status == MEMBER_TRUNCATED:
        raise PoolCorrupt(
            f"{what} is damaged: its file has another size than its header says; unlink it, and make it anew"
        )
    if status == MEMBER_CORRUPT:
        raise PoolCorrupt(f"{what} is damaged: its header contradicts itself; unlink it, and make it anew")
    if status == MEMBER_FULL:
        raise TooManyProcesses(f"{what} has 47 processes attached, which is the most; let one leave first")
    if status == MEMBER_BUSY:
        raise PoolBusy(
            f"{what}: process {failure.process} has kept others from attaching, leaving and recovering for "
            f"{GATE_SECONDS:g} s; if it is stopped, continue or kill it"
        )
    if status == MEMBER_NO_ROOM:
        raise PoolExhausted(
            f"{what}: not enough shared memory; {failure.available} bytes are available; ask for less, or free some"
        )
    raise OSError(-failure.error, f"{what}: {os.strerror(-failure.error)}")


cdef titled(name):
    return "the pool" if name is None else f"pool {name!r}"


cdef _Mapping create_shared(block_size, blocks, name, exist_ok, permanent, prefault, on_fork):
    cdef member_request request
    cdef member_failure failure
    cdef member_status status
    cdef bint fork_shares = shares(on_fork)
    cdef _Mapping m
    cdef int error
    size = as_block_size(block_size)
    count = as_count(blocks, "blocks")
    if count > LEDGER_MOST_BLOCKS:
        raise ValueError(f"blocks must be at most {LEDGER_MOST_BLOCKS} in a shared pool, not {readable(count)}")
    if size * count > SEGMENT_MOST_BYTES:
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
    request.gate_seconds = GATE_SECONDS
    for _ in range(100):  # it may vanish between the one attempt and the other
        m = new_member()
        with nogil:
            status = member_create(m.member, &request, &failure)
        if status == MEMBER_OK:
            break
        if status == MEMBER_NO_ROOM:
            raise PoolExhausted(
                f"asked for {size * count} bytes ({count} blocks of {size}) of shared memory; "
                f"{failure.available} bytes are available; ask for fewer or smaller blocks, "
                "free some memory, or make /dev/shm larger"
            )
        if status != MEMBER_EXISTS or not exist_ok:
            refuse(status, &failure, titled(name))
        try:
            m = attach_named(name, on_fork)
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
    m = joined(m, fork_shares)
    if prefault:
        with nogil:
            error = os_prefault(m.member.memory, m.member.geometry.bytes)
        if error:
            raise PoolExhausted(f"{titled(name)}: the kernel cannot map every page: {os.strerror(-error)}")
    return m


cdef _Mapping attach_named(name, on_fork):
    cdef bint fork_shares = shares(on_fork)
    cdef bytes file = file_name(name).encode()
    cdef const char *file_chars = file
    cdef unsigned char id[SEGMENT_ID_BYTES]
    cdef member_failure failure
    cdef member_status status
    cdef _Mapping m
    if member_identify(file_chars, id) == MEMBER_OK:
        m = known(<bytes>id[:SEGMENT_ID_BYTES])
        if m is not None:
            return m
    m = new_member()
    with nogil:
        status = member_attach(m.member, file_chars, GATE_SECONDS, &failure)
    if status != MEMBER_OK:
        refuse(status, &failure, titled(name))
    return joined(m, fork_shares)


cdef _Mapping attach_found(pool_id, process):
    """Attach a pool without a name, through a descriptor that some process has of it."""
    cdef member_failure failure
    cdef member_status status = MEMBER_NOT_FOUND
    cdef _Mapping m
    cdef int file
    for owner, number in find_descriptor(pool_id, process):
        file = os_open_of(owner, number)
        if file < 0:
            continue
        m = new_member()
        with nogil:
            status = member_attach_file(m.member, file, GATE_SECONDS, &failure)
        if status == MEMBER_OK:
            if (<bytes>m.member.geometry.id[:SEGMENT_ID_BYTES]).hex() == pool_id:
                return joined(m, True)
            status = MEMBER_NOT_FOUND
        elif status not in (MEMBER_NOT_FOUND, MEMBER_FORBIDDEN):
            refuse(status, &failure, "the pool")
    raise PoolNotFound("the pool is gone: no process of this user has it any more")


cdef _Mapping mapping_of(handle):
    """This process's mapping of the pool that a handle names, attached now if it has to be."""
    cdef _Mapping m = known(bytes.fromhex(handle.pool_id))
    if m is not None:
        return m
    if handle.name is None:
        return attach_found(handle.pool_id, handle.process)
    m = attach_named(handle.name, "share")
    if m.id.hex() != handle.pool_id:
        raise PoolNotFound(f"the pool {handle.name!r} that the handle names is gone; another one has its name now")
    return m


def _attach_pickled(text, fork_shares):
    """Unpickle a shared pool."""
    owner = Pool.__new__(Pool)
    m = mapping_of(Handle.parse(text))
    adopt(<Pool>owner, m)
    return owner


cdef int unlink_shared(_Mapping m) except -1:
    cdef member_failure failure
    cdef member_status status
    if m.member == NULL:
        raise PoolNotFound("the pool is private: it has no name to remove")
    with nogil:
        status = member_unlink(m.member, GATE_SECONDS, &failure)
    if status == MEMBER_NOT_FOUND:
        raise PoolNotFound(f"{titled(m.name)} has no name to remove: it never had one, or it was removed before")
    if status == MEMBER_STRAY:
        fail(m, status, 0)
    if status != MEMBER_OK:
        refuse(status, &failure, titled(m.name))
    return 0


def sweep():
    """Remove what killed programs left behind.

    That is every named pool of this user that is not permanent and has no living process.

    Returns
    -------
    int
        How many pools were removed.
    """
    cdef unsigned count
    with nogil:
        count = member_sweep()
    return count


# --- allocating and freeing ---

cdef bint attempt_shared(_Mapping m, uint64_t n, uint64_t slack, bint many, shared_run *out) except -1:
    cdef uint64_t runs = n if many else 1, i
    cdef uint64_t length = 1 if many else n
    cdef uint32_t kept = recorded(slack)
    cdef member_status status = MEMBER_OK
    for i in range(runs):
        if length > MANY or m.blocks > LARGE_POOL:
            with nogil:
                status = member_allocate(m.member, length, kept, &out[i])
        else:
            status = member_allocate(m.member, length, kept, &out[i])
        if status != MEMBER_OK:
            runs = i
            break
    if status == MEMBER_OK:
        return True
    for i in range(runs):
        give_back_shared(m, &out[i])
    if status != MEMBER_EXHAUSTED:
        fail(m, status, 0)
    return False


cdef int fail(_Mapping m, member_status status, uint64_t index) except -1:
    """Raise what a failed operation on a run is."""
    if status == MEMBER_STRAY:
        if m.lost is not None:
            await_fork(m)
        raise PoolClosed(
            "this process was forked without Python's knowledge, and has no part in the pool; attach it anew"
        )
    if status == MEMBER_TICKETS:
        raise TooManyTickets(
            f"more than {LEDGER_MOST_TICKETS} references to block {index} would be in flight; "
            "have some redeemed, or drop them: Pool.recover(tickets_older_than=…)"
        )
    raise PoolCorrupt(
        f"the ledger of {titled(m.name)} holds what no blockpool wrote, near block {index}: something wrote over it; "
        "run check(), and make a new pool"
    )


cdef member_status attempt_free(_Mapping m, const shared_run *run, uint64_t *word, uint32_t *extra) noexcept:
    cdef member_status status = member_free(m.member, run, word, extra)
    while status == MEMBER_LOCKED:
        with nogil:
            os_yield()
            status = member_free(m.member, run, word, extra)
    return status


cdef member_status free_shared(_Mapping m, const shared_run *run, uint64_t *word, uint32_t *extra) noexcept:
    """Free a run that this process holds once, if nobody else has a part in it. Runs no Python."""
    cdef member_status status = attempt_free(m, run, word, extra)
    if status == MEMBER_OK:
        m.member.place.frees += 1
    return status


cdef bint is_held_elsewhere(_Mapping m, const shared_run *run) noexcept:
    """Whether another process holds the run, as far as the ledger says; it may be dead."""
    cdef uint64_t word = load_relaxed(&m.member.shared.ledger[run.index])
    return (ledger_holders(word) & ~ledger_slot_bit(m.member.slot)) != 0


cdef int refuse_free(
    _Mapping m, const shared_run *run, member_status status, uint64_t word, uint32_t extra, what
) except -1:
    """Raise why a run was not freed."""
    if status != MEMBER_IN_USE:
        fail(m, status, run.index)
    if extra:
        users = "another Block of it in this process"
    else:
        others = [pid or "that begins" for pid in holders_of(m, word) if pid != os.getpid()]
        tickets = ledger_tickets(word)
        users = " and ".join(
            ([f"process{'es' if len(others) > 1 else ''} {', '.join(map(str, others))}"] if others else [])
            + ([f"{tickets} ticket{'s' if tickets > 1 else ''} in flight"] if tickets else [])
        )
    raise BlockInUse(f"{what} is still used by {users}; call release() to let the last of them free it")


# --- passing on ---

cdef handle_of(_Mapping m, const shared_run *run, kind):
    if m.member == NULL:
        raise TypeError(
            "a block of a private pool has no name that another process could use; make the pool with Pool.create()"
        )
    return kind(m.id.hex(), run.index if run != NULL else 0, run.generation if run != NULL else 0, os.getpid(), m.name)


cdef int share_run(_Mapping m, const shared_run *run, count) except -1:
    cdef member_status status
    if m.member == NULL:
        raise TypeError("a block of a private pool cannot be shared; make the pool with Pool.create()")
    if m.forking is not None:
        await_fork(m)
    status = member_share(m.member, run, count) if count <= LEDGER_MOST_TICKETS else MEMBER_TICKETS
    if status != MEMBER_OK:
        fail(m, status, run.index)
    return 0


def redeem(handle, /):
    """Take the run that a handle or ticket names, in any process; attaches its pool if need be.

    Parameters
    ----------
    handle : Handle, Ticket, str or bytes

    Returns
    -------
    Block

    Raises
    ------
    StaleHandle
        If the run is no more: freed by all that held it.
    PoolNotFound
        If the pool is no more.
    ValueError, TypeError
        If it is no handle or ticket.
    """
    if not isinstance(handle, Handle):
        handle = Handle.parse(handle)
    return redeemed(mapping_of(handle), handle.index, handle.generation, isinstance(handle, Ticket))


cdef Block redeemed(_Mapping m, uint64_t index, uint64_t generation, bint flying):
    cdef shared_run run
    cdef member_status status
    cdef Block block = Block.__new__(Block)
    cdef uint64_t slack
    if m.lost is not None or m.forking is not None:
        await_fork(m)
    run.index = index
    run.generation = generation
    run.blocks = 0
    # a handle takes nothing
    status = member_redeem(m.member, &run) if flying else member_hold(m.member, &run)
    while status == MEMBER_LOCKED:
        with nogil:
            os_yield()
            status = member_redeem(m.member, &run) if flying else member_hold(m.member, &run)
    if status == MEMBER_STALE:
        raise StaleHandle(
            f"the run at block {index} that this {'ticket' if flying else 'handle'} names was freed; "
            "keep a Block of it, or send a ticket (Block.share()) for each receiver"
        )
    if status != MEMBER_OK:
        fail(m, status, index)
    slack = shared_slack(&m.member.shared, run.index)
    open_block(block, m, &run, run.blocks * m.block_size - min(slack, m.block_size - 1))
    return block


cdef tuple reference_of(_Mapping m, const shared_run *run):
    """A ticket as pickles carry it; `received` takes it."""
    return m.id, run.index, run.generation, getpid(), m.name


cdef Block received(bytes pool_id, uint64_t index, uint64_t generation, process, name):
    """Redeem a reference that came in a pickle."""
    cdef _Mapping m = known(pool_id)
    if m is None:
        m = mapping_of(Ticket(pool_id.hex(), index, generation, process, name))
    return redeemed(m, index, generation, True)


def _receive_block(pool_id, index, generation, process, name, uint64_t nbytes, bint readonly):
    """Unpickle a Block."""
    cdef Block block = received(pool_id, index, generation, process, name)
    if nbytes <= block.run.blocks * block.mapping.block_size:
        block.nbytes = nbytes
    if not readonly:
        return block
    twin = block.readonly()
    block.release()
    return twin


# The function that pickles of a Block name; looked up once.
cdef object receive_block = None


def _send_block(Block block not None):
    """Pickle a Block: what to call, and with a reference in flight."""
    return block.sent()


copyreg.pickle(Block, _send_block)  # found sooner than __reduce_ex__


# --- looking ---

cdef list holders_of(_Mapping m, uint64_t word):
    """Process ids of the slots that hold a run."""
    cdef unsigned slot
    return [member_process(m.member, slot) for slot in range(LEDGER_SLOTS) if word >> slot & 1]


cdef oldest_of(const shared_totals *totals):
    """Seconds since the newest ticket of the run whose newest ticket is oldest."""
    return None if totals.oldest == BITMAP_NONE else float(max(0, os_seconds() - <int64_t>totals.oldest))


cdef exhausted_shared(_Mapping m, asked):
    cdef shared_totals totals
    cdef member_counts counts
    cdef uint64_t longest
    with nogil:
        shared_count(&m.member.shared, &totals)
        member_count(m.member, totals.allocated, &counts)  # for the high-water mark
        longest = bitmap_longest_free(&m.member.shared.bitmap)
    tickets = ""
    if totals.only_tickets:
        tickets = f", {totals.only_tickets} held only by tickets (oldest {oldest_of(&totals):.0f} s)"
    return PoolExhausted(
        f"asked for {asked}; {m.blocks - totals.allocated} of {m.blocks} free, longest run {longest}{tickets}; "
        "free some, ask for fewer, wait for them (timeout=), or make the pool larger"
    )


cdef stats_shared(_Mapping m):
    from blockpool.stats import PoolStats, fragmentation

    cdef shared_totals totals
    cdef member_counts counts
    cdef uint64_t longest
    with nogil:
        shared_count(&m.member.shared, &totals)
        longest = bitmap_longest_free(&m.member.shared.bitmap)
        member_count(m.member, totals.allocated, &counts)
    free = m.blocks - totals.allocated
    allocated_bytes = totals.allocated * m.block_size
    requested = max(0, allocated_bytes - <object>totals.slack)
    return PoolStats(
        blocks=m.blocks,
        block_size=m.block_size,
        allocated=totals.allocated,
        free=free,
        peak=counts.peak,
        largest_free_run=min(longest, m.blocks),
        fragmentation=fragmentation(free, longest),
        requested_bytes=requested,
        allocated_bytes=allocated_bytes,
        utilization=requested / allocated_bytes if allocated_bytes else 1.0,
        allocations=counts.allocations,
        frees=counts.frees,
        failures=counts.failures,
        tickets=totals.tickets,
        oldest_ticket=oldest_of(&totals),
        processes=counts.processes,
    )


cdef list runs_shared(_Mapping m):
    from blockpool.stats import Run

    cdef shared_run run
    cdef uint64_t word = 0, at = 0, slack
    cdef list found = []
    while shared_next_run(&m.member.shared, at, &run, &word):
        slack = min(shared_slack(&m.member.shared, run.index), m.block_size - 1)
        holders = tuple(holders_of(m, word))
        found.append(Run(run.index, run.blocks, run.blocks * m.block_size - slack, holders, ledger_tickets(word)))
        at = run.index + run.blocks
    return found


cdef check_shared(_Mapping m):
    from blockpool.stats import Audit

    cdef shared_fault faults[FAULTS]
    cdef uint64_t count = 0, healed = 0, runs = 0, word = 0, at = 0, i
    cdef shared_totals totals
    cdef shared_run run
    cdef member_failure failure
    cdef member_status status
    with nogil:
        status = member_check(m.member, GATE_SECONDS, faults, FAULTS, &count, &healed, &failure)
        shared_count(&m.member.shared, &totals)
        while shared_next_run(&m.member.shared, at, &run, &word):
            runs += 1
            at = run.index + run.blocks
    if status == MEMBER_STRAY:
        fail(m, status, 0)
    if status != MEMBER_OK:
        refuse(status, &failure, titled(m.name))
    if count:
        raise corrupt([describe_shared_fault(faults[i]) for i in range(min(count, <uint64_t>FAULTS))], count)
    return Audit(blocks=m.blocks, allocated=totals.allocated, runs=runs, healed=healed)


cdef describe_shared_fault(shared_fault fault):
    if fault.kind == SHARED_FAULT_WORD:
        return f"the ledger's word of block {fault.index} is none that blockpool writes"
    if fault.kind == SHARED_FAULT_TAIL:
        return f"block {fault.index} belongs to a run that does not reach it"
    if fault.kind == SHARED_FAULT_OVERLAP:
        return f"the run at block {fault.index} is not all there"
    if fault.kind == SHARED_FAULT_HOLDER:
        return f"the run at block {fault.index} is held by a process that is not attached"
    if fault.kind == SHARED_FAULT_LOST:
        return f"block {fault.index} is marked as allocated but nobody has it"
    return f"bit {fault.index}, past the last block, was changed"


cdef recover_shared(_Mapping m, double gate_seconds, double ticket_seconds):
    """Bring back what the dead held. With 0 gate_seconds only if nobody else is at it; None if there was nothing."""
    from blockpool.stats import Recovered

    cdef unsigned slots = 0
    cdef uint64_t tickets = 0
    cdef member_failure failure
    cdef member_status status
    with nogil:
        status = member_recover(m.member, gate_seconds, ticket_seconds, &slots, &tickets, &failure)
    if gate_seconds == 0 and (slots == 0 or status != MEMBER_OK):
        return None
    if status == MEMBER_STRAY:
        fail(m, status, 0)
    if status != MEMBER_OK:
        refuse(status, &failure, titled(m.name))
    return Recovered(processes=slots, tickets=tickets)


# --- fork and exit ---

cdef int await_fork(_Mapping m) except -1:
    """Wait until another thread has forked; raise if this process has no part in the pool."""
    import threading

    while m.forking is not None and m.forking != threading.get_ident():
        with nogil:
            os_yield()
    if m.lost is not None:
        raise m.lost("this forked process has no part in the pool" + (
            ": 47 processes are attached, which is the most; let one leave, then attach it anew"
            if m.lost is TooManyProcesses else " (on_fork='detach'); attach it anew"
        ))
    return 0


cdef int set_quick(_Mapping m) except -1:
    """Let the mapping's Pool objects take the fast way, or not."""
    for owner in list(m.owners or ()):  # none yet when this process only redeemed
        (<Pool>owner).quick = m if m.forking is None and m.lost is None and (<Pool>owner).mapping is m else None
    return 0


def _before_fork():
    import threading

    cdef _Mapping m
    if mappings:
        # or a child of a fork while another thread imports it would wait for that thread for ever
        import blockpool.stats
    for mapping in list(mappings.values()):
        m = mapping
        if m.lost is not None or member_is_stray(m.member):
            continue
        m.forking = threading.get_ident()
        set_quick(m)
        in_fork.append(m)
        with nogil:
            member_fork_before(m.member, m.fork_shares, GATE_SECONDS)


def _after_fork_in_parent():
    cdef _Mapping m
    for mapping in in_fork:
        m = mapping
        member_fork_parent(m.member)
        m.forking = None
        set_quick(m)
    in_fork.clear()


def _after_fork_in_shared_child():
    cdef _Mapping m
    for mapping in in_fork:
        m = mapping
        if member_fork_child(m.member) != MEMBER_OK:
            m.lost = TooManyProcesses if m.fork_shares else PoolClosed
        m.forking = None
        set_quick(m)
    in_fork.clear()


# The memberships of this process, for its end: then there is no Python any more. Changed with the GIL held.
cdef member **present = NULL
cdef size_t present_count = 0, present_room = 0


cdef int enlist(member *one) except -1:
    global present, present_count, present_room
    cdef member **larger
    if present_count == present_room:
        larger = <member **>realloc(present, (present_room * 2 + 8) * sizeof(member *))
        if larger == NULL:
            raise MemoryError("no memory for a membership in a pool")
        present = larger
        present_room = present_room * 2 + 8
    present[present_count] = one
    present_count += 1
    return 0


cdef void strike_off(member *one) noexcept:
    global present_count
    cdef size_t i
    for i in range(present_count):
        if present[i] == one:
            present_count -= 1
            present[i] = present[present_count]
            return


cdef void leave_all() noexcept nogil:
    """Leave every pool, after the last line of Python: until then somebody may use a block, or have one to send."""
    cdef size_t i
    for i in range(present_count):
        member_leave(present[i], GATE_SECONDS)


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_shared_child
)
Py_AtExit(leave_all)  # refused, the process leaves as a killed one does
