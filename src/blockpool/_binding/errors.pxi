# See errors.pxd.

cdef error_text(int error):
    """The kernel's text for an error number."""
    return strerror(error).decode("utf-8", "replace")


cdef titled(name):
    return "the pool" if name is None else f"pool {name!r}"


cdef remedy_of(pool_status status, int error):
    """What the kernel refused, and what to do about it."""
    if status == POOL_NO_DESCRIPTOR:
        return f"{error_text(-error)}: {NO_DESCRIPTOR}"
    if status == POOL_NO_PROC:
        return NO_PROC
    if status == POOL_NO_DIRECTORY:
        return "there is no /dev/shm for pools with names; mount it, or create the pool without a name"
    if status == POOL_UNREACHABLE:
        return (
            "the program closed the pool's file descriptor, and no other process has the pool open to get it from, so "
            "it cannot be told which processes are dead; keep the descriptors named blockpool in /proc/self/fd when "
            "closing others"
        )
    return error_text(-error)


# --- pools ---

cdef int raise_failure(pool_status status, const pool_failure *failure, name) except -1:
    """Raise the error of a failed attempt on the pool with that name."""
    what = titled(name)
    if status == POOL_EXISTS:
        if failure.found != POOL_OK:
            raise PoolExists(unusable(failure.found, failure, name)[1])
        raise PoolExists(f"{what} exists already; attach it, choose another name, or unlink it")
    if status == POOL_NOT_FOUND:
        raise PoolNotFound(
            f"{what} does not exist: it was never created, its last process has left, or its name was removed"
        )
    if status == POOL_FORBIDDEN and failure.error:
        raise PoolForbidden(
            f"{what} belongs to another user, the mode of its file was changed, or this process may not use /dev/shm: "
            f"{error_text(-failure.error)}; only processes of the same user can share a pool"
        )
    if status == POOL_FORBIDDEN:
        raise PoolForbidden(f"{what} belongs to another user; only processes of the same user can share a pool")
    if status in (POOL_NO_POOL, POOL_OTHER_VERSION, POOL_TRUNCATED, POOL_CORRUPT):
        kind, why = unusable(status, failure, name)
        raise kind(why)
    if status == POOL_FULL:
        raise TooManyProcesses(
            f"{what} has {failure.processes} processes attached, as many as it was created for; let one leave first, "
            "or create it with more (Pool.create(processes=…))"
        )
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
            f"{what}: the kernel maps no more memory into this process; raise its limit on address space (ulimit -v) "
            "or on mappings (vm.max_map_count), or free some"
        )
    raise OSError(-failure.error, f"{what}: {remedy_of(status, failure.error)}")


cdef tuple unusable(pool_status status, const pool_failure *failure, name):
    """The class and message of the error for a file that this release cannot attach."""
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
            f"{(<bytes>LAYOUT_LIBRARY).decode()} (layout {LAYOUT_VERSION}); use one release in all processes, or "
            "choose another name"
            + ("" if name is None else f"; if no process needs it any more, remove it with blockpool.unlink({name!r})")
        )
    if status == POOL_TRUNCATED:
        return PoolCorrupt, f"{what} is damaged: the size of its file is not the one that it was created with{remedy}"
    return PoolCorrupt, f"{what} is damaged: something wrote over its header{remedy}"


cdef no_room_error(const pool_failure *failure, size, count, bint shared, bint prefault):
    """The error of a new pool for which there is not enough memory."""
    limit = (<bytes>failure.limit).decode("utf-8", "replace")
    there, remedy = shortage(limit, failure.available, ever=not shared and not prefault)
    bookkeeping = max(0, failure.asked - <object>size * count)
    if failure.error and not shared:
        return PoolExhausted(
            f"asked for {size * count} bytes ({count} blocks of {size}); the kernel refuses "
            f"({error_text(-failure.error)}); ask for fewer or smaller blocks"
        )
    if failure.error and failure.asked <= failure.available:  # something else ran out, such as inodes
        there, remedy = f"the kernel gives no more ({error_text(-failure.error)}), although {there}", "free some"
    if shared:
        missing = max(1, <object>failure.asked - failure.available)
        there += unswept(0 if limit == "/dev/shm" else missing)
    return PoolExhausted(
        f"asked for {readable(size * count)} bytes{' of shared memory' if shared else ''} "
        f"({readable(count)} blocks of {size})" + (f" and {bookkeeping} of bookkeeping" if bookkeeping else "") +
        f"; {there}; ask for fewer or smaller blocks, or {remedy}"
    )


cdef unswept(uint64_t missing):
    """For a message: the largest pools that could not be swept, and why; "" if all have less than `missing` bytes."""
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


cdef kernel_error(int error):
    """The error of a question about the pool's memory that the kernel did not answer."""
    cdef pool_status status = POOL_SYSTEM
    if -error in (EMFILE, ENFILE):
        status = POOL_NO_DESCRIPTOR
    elif -error == ENOENT:
        status, error = POOL_NO_PROC, -ENOSYS
    return OSError(-error, f"cannot ask the kernel about the pool's memory: {remedy_of(status, error)}")


cdef closed_error():
    return PoolClosed("the pool is closed; create a new one")


cdef lost_error(const pool *engine, name):
    """The error of a call in a process that has no part in the pool."""
    cdef attachment_fate fate = attachment_why_stray(engine.attachment)
    kind = TooManyProcesses if fate == FATE_NO_SLOT else PoolBusy if fate == FATE_SLOTS_BUSY else PoolClosed
    return kind(f"this process has no part in {titled(name)}: {why_lost(engine, fate, engine.attachment.fate_error)}")


cdef why_lost(const pool *engine, attachment_fate fate, int error):
    """Why a process has no part in the pool, and what it can do."""
    cdef pool_status status = POOL_SYSTEM
    most = engine.attachment.geometry.processes
    if fate == FATE_DETACHED:
        return "it was forked with on_fork='detach'; attach the pool again"
    if fate == FATE_NO_SLOT:
        return (
            f"{most} processes, as many as it was created for, were attached when it was forked; let one leave, then "
            "attach the pool again, or create it with more (Pool.create(processes=…))"
        )
    if fate == FATE_SLOTS_BUSY:
        return (
            f"all {most} places were taken when it was forked, and another process kept it from finding out which of "
            "their owners are dead; attach the pool again"
        )
    if fate == FATE_REFUSED:
        if -error in (EMFILE, ENFILE):
            status = POOL_NO_DESCRIPTOR
        return f"when it was forked, {remedy_of(status, error)}; then attach the pool again"
    if fate == FATE_LEFT:
        return "it has left the pool"
    return "it was made by a bare clone(), not by fork(); attach the pool again"


# --- runs ---

cdef int raise_run_failure(const pool *engine, name, pool_status status, uint64_t index) except -1:
    """Raise the error of a failed operation on the run at block `index`."""
    if status == POOL_STRAY:
        raise lost_error(engine, name)
    if status == POOL_STALE:
        ended = endings_are_ready(&engine.attachment.shared.endings)
        raise StaleHandle(
            f"the run at block {index} that this handle or ticket names was freed"
            + (", perhaps because the lifetime of the ticket was over" if ended else "")
            + "; keep a Block of it, or send a ticket (Block.share()) for each receiver"
            + (", with a longer lifetime" if ended else "")
        )
    if status == POOL_TICKETS:
        raise TooManyTickets(
            f"more than {LEDGER_MOST_TICKETS} references to block {index} would be in flight; "
            "have some redeemed, or drop them: Pool.recover(tickets_older_than=…)"
        )
    raise PoolCorrupt(
        f"the bookkeeping of {titled(name)} is damaged near block {index}: something wrote over it; run check(), and "
        "create a new pool"
    )


cdef in_use_error(const pool *engine, const pool_users *users, what):
    """The error of a run that was not freed because something else uses it."""
    cdef list others = [pid for pid in holders_of(engine, &users.holders) if pid != getpid()]
    cdef list attached = [str(pid) for pid in others if pid]
    cdef list found = []
    if users.local_references:
        found.append(
            f"{users.local_references} other Block{'s' if users.local_references > 1 else ''} redeemed in this process"
        )
    if attached:
        found.append(f"process{'es' if len(attached) > 1 else ''} {', '.join(attached)}")
    if len(others) > len(attached):
        found.append("a process that is still attaching")
    if users.kept:
        found.append("the pool's catalog, under a name")
    if users.carried:
        found.append("a message in a queue")
    if users.tickets:
        found.append(in_words([(users.tickets, "ticket in flight", "tickets in flight")]))
    return BlockInUse(f"{what} is still used by {', '.join(found)}; call release(), and the last of them frees it")


cdef note_error(pool_status status, const pool_failure *failure, uint64_t index):
    """The error of a note that was not set."""
    if status == POOL_BUSY and failure.process == <uint64_t>getpid():
        return PoolBusy(f"another thread was setting notes or forking for {GATE_SECONDS:g} s: try again")
    if status == POOL_BUSY:
        return PoolBusy(
            f"process {failure.process} has been setting the note of block {index} for {GATE_SECONDS:g} s; if it is "
            "stopped, continue or kill it"
        )
    needs = f"the note of block {index} needs a page of memory, {failure.asked} bytes, for itself and its neighbors"
    if failure.available >= failure.asked:
        return PoolExhausted(f"{needs}; the kernel refuses ({error_text(-failure.error)}); free some memory")
    there, remedy = shortage((<bytes>failure.limit).decode("utf-8", "replace"), failure.available)
    return PoolExhausted(f"{needs}; {there}; {remedy}")


cdef lifetime_error(const pool_failure *failure, name):
    """The error of a ticket with a lifetime for which the pool has no memory yet."""
    needs = f"the first ticket with a lifetime in {titled(name)} needs {failure.asked} bytes of memory, for all blocks"
    if failure.available >= failure.asked:
        return PoolExhausted(f"{needs}; the kernel refuses ({error_text(-failure.error)}); free some memory")
    there, remedy = shortage((<bytes>failure.limit).decode("utf-8", "replace"), failure.available)
    return PoolExhausted(f"{needs}; {there}; {remedy}")


cdef recording_error(pool_status status, const pool_failure *failure, name):
    """The error of a recording that was not begun."""
    if status == POOL_EXISTS:
        return PoolBusy(
            f"process {failure.process} is recording {titled(name)} already, and only one recording at a time is "
            "possible; stop that one, or wait for its end"
        )
    needs = f"to record {titled(name)} needs {failure.asked} bytes of memory in its segment"
    if failure.available >= failure.asked:
        return PoolExhausted(f"{needs}; the kernel refuses ({error_text(-failure.error)}); free some memory")
    there, remedy = shortage((<bytes>failure.limit).decode("utf-8", "replace"), failure.available)
    return PoolExhausted(f"{needs}; {there}; {remedy}")


cdef list holders_of(const pool *engine, const slot_set *holders):
    cdef unsigned slot = slot_set_next(holders, 0)
    cdef list found = []
    while slot < LAYOUT_MOST_PROCESSES:
        found.append(pool_process(engine, slot) or None)  # it has no id before it is attached
        slot = slot_set_next(holders, slot + 1)
    return found


cdef in_words(counted):
    return ", ".join([f"{n} {one if n == 1 else more}" for n, one, more in counted if n > 0])


cdef exhausted_error(pool *engine, n, bint adjacent):
    """The error of an allocation of n blocks, adjacent or not, for which there is no room."""
    cdef pool_stats_t stats
    asked = "1 block" if n == 1 else f"{readable(n)} adjacent blocks" if adjacent else f"{readable(n)} blocks"
    if n > engine.blocks:
        return PoolExhausted(
            f"asked for {asked}; the pool has only {engine.blocks}; ask for fewer, or make the pool larger"
        )
    with nogil:
        pool_stats(engine, &stats)
    tickets, recover = "", ""
    if stats.only_tickets:
        tickets = f", {stats.only_tickets} held only by tickets (oldest {stats.oldest_ticket:.0f} s{ends_of(&stats)})"
        recover = "drop tickets whose receivers are gone (recover(tickets_older_than=seconds)), "
        if stats.endless:
            recover += "let tickets end by themselves (Pool.create(ticket_lifetime=seconds)), "
    return PoolExhausted(
        f"asked for {asked}; {engine.blocks - stats.allocated} of {engine.blocks} free, longest run "
        f"{stats.longest_free}{tickets}; "
        f"free some, ask for fewer, wait for them (timeout=), {recover}or make the pool larger"
    )


cdef ends_of(const pool_stats_t *stats):
    """For a message: when the tickets end that alone hold blocks."""
    if stats.next_end < 0:
        return "; they never end"
    never = f", those of {in_words([(stats.endless, 'block', 'blocks')])} never" if stats.endless else ""
    return f"; the next end {f'in {stats.next_end:.0f} s' if stats.next_end else 'now'}{never}"


cdef void report_damage(uint64_t index) noexcept:
    """Report damage found in a destructor: as it cannot raise, Cython hands this to sys.unraisablehook."""
    raise PoolCorrupt(f"the ledger no longer says that this process holds block {index}: something wrote over it")


# --- audits ---

cdef corrupt_error(const pool_fault *faults, uint64_t listed, uint64_t count):
    """The error of an audit that found `count` faults; the first `listed` of them are given."""
    cdef uint64_t i
    found = [fault_text(&faults[i]) for i in range(min(listed, count))]
    if count > listed:
        found.append(f"and {count - listed} more")
    return PoolCorrupt(
        f"{count} fault{'s' if count > 1 else ''} in the bookkeeping: {'; '.join(found)}. "
        "Something wrote over it, perhaps through a wild pointer; save what you can, and create a new pool"
    )


cdef fault_text(const pool_fault *fault):
    if fault.kind == POOL_FAULT_CONTINUATION_FREE:
        return f"block {fault.index} is marked as part of a run but is free"
    if fault.kind == POOL_FAULT_CONTINUATION_LOST:
        return f"block {fault.index} is marked as continuing a run but the block before it is free"
    if fault.kind == POOL_FAULT_SUMMARY:
        return f"summary {fault.index} promises less room than there is"
    if fault.kind == POOL_FAULT_WORD:
        return f"the ledger's word for block {fault.index} is not one that blockpool writes"
    if fault.kind == POOL_FAULT_TAIL:
        return f"block {fault.index} belongs to a run that does not reach it"
    if fault.kind == POOL_FAULT_OVERLAP:
        return f"the run at block {fault.index} is not all there"
    if fault.kind == POOL_FAULT_HOLDER:
        return f"the run at block {fault.index} is held by a process that is not attached"
    if fault.kind == POOL_FAULT_LOST:
        return f"block {fault.index} is marked as allocated but no process holds it"
    if fault.kind == POOL_FAULT_HALF:
        return f"the run at block {fault.index} was left half made or half freed"
    if fault.kind == POOL_FAULT_ROW:
        return f"block {fault.index} is marked as held by a process that is not attached"
    if fault.kind == POOL_FAULT_NAME:
        return f"name {fault.index} of the catalog belongs to a run that does not exist"
    if fault.kind == POOL_FAULT_CARRIED:
        return f"block {fault.index} is marked as carried by a message that does not carry it"
    if fault.kind == POOL_FAULT_ANNEX:
        return f"the ledger's word or the bit of block {fault.index} of the room for queues is wrong"
    if fault.kind == POOL_FAULT_QUEUE:
        return f"the queue at block {fault.index} of the room for queues is damaged"
    if fault.kind == POOL_FAULT_CELL:
        return f"the queue at block {fault.index} of the room for queues names a message that is not in it"
    if fault.kind == POOL_FAULT_MESSAGE:
        return f"the message at block {fault.index} of the room for queues is damaged, or its queue is gone"
    return f"bit {fault.index}, past the last block, was changed"
