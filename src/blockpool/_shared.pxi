# A shared pool: its claims, its numbers, what the dead held.

# --- allocating and freeing ---

cdef bint attempt_shared(_Mapping m, uint64_t n, uint64_t slack, bint many, pool_run *out) except -1:
    cdef uint64_t runs = n if many else 1, i
    cdef uint64_t length = 1 if many else n
    cdef pool_status status = POOL_OK
    for i in range(runs):
        if length > MANY or m.blocks > LARGE_POOL:
            with nogil:
                status = attachment_allocate(m.attachment, length, slack, &out[i])
        else:
            status = attachment_allocate(m.attachment, length, slack, &out[i])
        if status != POOL_OK:
            runs = i
            break
    if status == POOL_OK:
        return True
    for i in range(runs):
        give_back_shared(m, &out[i])
    if status != POOL_EXHAUSTED:
        fail(m, status, 0)
    return False


cdef int fail(_Mapping m, pool_status status, uint64_t index) except -1:
    """Raise what a failed operation on a run is."""
    if status == POOL_STRAY:
        raise lost_error(m)
    if status == POOL_TICKETS:
        raise TooManyTickets(
            f"more than {LEDGER_MOST_TICKETS} references to block {index} would be in flight; "
            "have some redeemed, or drop them: Pool.recover(tickets_older_than=…)"
        )
    raise PoolCorrupt(
        f"the bookkeeping of {titled(m.name)} is damaged near block {index}: something wrote over it; run check(), and "
        "create a new pool"
    )


cdef pool_status free_shared(_Mapping m, const pool_run *run, uint64_t *word, uint32_t *extra) noexcept:
    """Free a run that this process holds once, if nobody else has a part in it. Runs no Python."""
    cdef pool_status status = attachment_free(m.attachment, run, word, extra)
    while status == POOL_LOCKED:
        with nogil:
            os_yield()
            status = attachment_free(m.attachment, run, word, extra)
    return status


cdef bint is_held_elsewhere(_Mapping m, const pool_run *run) noexcept:
    """Whether another process holds the run, as far as the ledger says; it may be dead."""
    cdef uint64_t word = load_relaxed(&m.attachment.shared.ledger[run.index])
    return (ledger_holders(word) & ~ledger_slot_bit(m.attachment.slot)) != 0


cdef int refuse_free(
    _Mapping m, const pool_run *run, pool_status status, uint64_t word, uint32_t extra, what
) except -1:
    """Raise why a run was not freed."""
    if status != POOL_IN_USE:
        fail(m, status, run.index)
    if extra:  # the word was not looked at
        word = load_seq(&m.attachment.shared.ledger[run.index])
    cdef list others = [pid for pid in holders_of(m, word) if pid != getpid()]
    cdef list known = [str(pid) for pid in others if pid]
    cdef list users = []
    if extra:
        users.append(f"{extra} other Block{'s' if extra > 1 else ''} redeemed in this process")
    if known:
        users.append(f"process{'es' if len(known) > 1 else ''} {', '.join(known)}")
    if len(others) > len(known):
        users.append("a process that is still attaching")
    if ledger_tickets(word):
        users.append(listed([(ledger_tickets(word), "ticket in flight", "tickets in flight")]))
    raise BlockInUse(f"{what} is still used by {', '.join(users)}; call release(), and the last of them frees it")


# --- looking ---

cdef list holders_of(_Mapping m, uint64_t word):
    """Process ids of the slots that hold a run."""
    cdef unsigned slot
    return [attachment_process(m.attachment, slot) for slot in range(LEDGER_TICKET_SLOT) if word >> slot & 1]


cdef oldest_of(const shared_pool_totals *totals):
    """Seconds since the newest ticket of the run whose newest ticket is oldest."""
    return None if totals.oldest == BITMAP_NONE else float(max(0, os_seconds() - <int64_t>totals.oldest))


cdef exhausted_shared(_Mapping m, asked):
    cdef shared_pool_totals totals
    cdef uint64_t longest
    with nogil:
        shared_pool_count(&m.attachment.shared, &totals)
        longest = bitmap_longest_free(&m.attachment.shared.bitmap)
    note_peak(m, totals.allocated)
    tickets, recover = "", ""
    if totals.only_tickets:
        tickets = f", {totals.only_tickets} held only by tickets (oldest {oldest_of(&totals):.0f} s)"
        recover = "drop tickets whose receivers are gone (recover(tickets_older_than=seconds)), "
    return PoolExhausted(
        f"asked for {asked}; {m.blocks - totals.allocated} of {m.blocks} free, longest run {longest}{tickets}; "
        f"free some, ask for fewer, wait for them (timeout=), {recover}or make the pool larger"
    )


cdef stats_shared(_Mapping m):
    cdef shared_pool_totals totals
    cdef attachment_counts counts
    cdef uint64_t longest
    with nogil:
        attachment_count(m.attachment, &counts)  # before the runs, so that these are no more than were allocated
        shared_pool_count(&m.attachment.shared, &totals)
        longest = bitmap_longest_free(&m.attachment.shared.bitmap)
    note_peak(m, totals.allocated)
    free = m.blocks - totals.allocated
    allocated_bytes = totals.allocated * m.block_size
    requested = max(0, allocated_bytes - <object>totals.slack)
    return report("PoolStats", dict(
        blocks=m.blocks,
        block_size=m.block_size,
        allocated=totals.allocated,
        free=free,
        peak=max(counts.peak, totals.allocated),
        largest_free_run=min(longest, m.blocks),
        fragmentation=fragmentation_of(free, longest),
        requested_bytes=requested,
        allocated_bytes=allocated_bytes,
        utilization=requested / allocated_bytes if allocated_bytes else 1.0,
        allocations=counts.allocations,
        frees=max(counts.allocations, totals.runs) - totals.runs,
        failures=counts.failures,
        tickets=totals.tickets,
        oldest_ticket=oldest_of(&totals),
        processes=counts.processes,
    ))


cdef list runs_shared(_Mapping m):
    cdef pool_run run
    cdef uint64_t word = 0, at = 0, slack
    cdef list found = []
    while shared_pool_next_run(&m.attachment.shared, at, &run, &word):
        slack = min(shared_pool_slack(&m.attachment.shared, run.index), m.block_size - 1)
        holders = tuple(holders_of(m, word))
        nbytes = run.blocks * m.block_size - slack
        found.append(run_report(run.index, run.blocks, nbytes, holders, ledger_tickets(word)))
        at = run.index + run.blocks
    return found


cdef check_shared(_Mapping m):
    cdef shared_pool_fault faults[FAULTS]
    cdef shared_pool_audit audit
    cdef uint64_t runs = 0, word = 0, at = 0, i
    cdef shared_pool_totals totals
    cdef pool_run run
    cdef pool_failure failure
    cdef pool_status status
    with nogil:
        status = attachment_check(m.attachment, GATE_SECONDS, faults, FAULTS, &audit, &failure)
        shared_pool_count(&m.attachment.shared, &totals)
        while shared_pool_next_run(&m.attachment.shared, at, &run, &word):
            runs += 1
            at = run.index + run.blocks
    if status == POOL_STRAY:
        fail(m, status, 0)
    if status != POOL_OK:
        refuse(status, &failure, m.name)
    if audit.faults:
        raise corrupt(
            [describe_shared_fault(faults[i]) for i in range(min(audit.faults, <uint64_t>FAULTS))], audit.faults
        )
    return report("Audit", dict(
        blocks=m.blocks, allocated=totals.allocated, runs=runs, healed=audit.healed, in_transit=audit.in_transit
    ))


cdef describe_shared_fault(shared_pool_fault fault):
    if fault.kind == SHARED_POOL_FAULT_WORD:
        return f"the ledger's word of block {fault.index} is none that blockpool writes"
    if fault.kind == SHARED_POOL_FAULT_TAIL:
        return f"block {fault.index} belongs to a run that does not reach it"
    if fault.kind == SHARED_POOL_FAULT_OVERLAP:
        return f"the run at block {fault.index} is not all there"
    if fault.kind == SHARED_POOL_FAULT_HOLDER:
        return f"the run at block {fault.index} is held by a process that is not attached"
    if fault.kind == SHARED_POOL_FAULT_LOST:
        return f"block {fault.index} is marked as allocated but nobody has it"
    if fault.kind == SHARED_POOL_FAULT_HALF:
        return f"the run at block {fault.index} was left half made or half freed"
    return f"bit {fault.index}, past the last block, was changed"


cdef bint recover_shared(_Mapping m) except -1:
    """Bring back what the dead held, if nobody else is at it; say whether there was any."""
    cdef unsigned slots = 0
    cdef uint64_t tickets = 0
    cdef pool_failure failure
    with nogil:
        status = attachment_recover(m.attachment, 0, -1, &slots, &tickets, &failure)
    return status == POOL_OK and slots > 0


cdef recover_and_report(_Mapping m, double ticket_seconds):
    """Bring back what the dead held, and tickets older than that."""
    cdef unsigned slots = 0
    cdef uint64_t tickets = 0
    cdef pool_failure failure
    cdef pool_status status
    with nogil:
        status = attachment_recover(m.attachment, GATE_SECONDS, ticket_seconds, &slots, &tickets, &failure)
    if status == POOL_STRAY:
        fail(m, status, 0)
    if status != POOL_OK:
        refuse(status, &failure, m.name)
    return report("Recovered", dict(processes=slots, tickets=tickets))
