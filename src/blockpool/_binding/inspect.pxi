# See inspect.pxd.

# The most faults that check() lists.
cdef enum: FAULTS = 16


cdef stats_of(_Mapping m):
    cdef pool_stats_t stats
    with nogil:
        pool_stats(&m.engine, &stats)
    free = m.engine.blocks - stats.allocated
    allocated_bytes = stats.allocated * m.engine.block_size
    return report("PoolStats", dict(
        blocks=m.engine.blocks,
        block_size=m.engine.block_size,
        allocated=stats.allocated,
        free=free,
        peak=stats.peak,
        largest_free_run=stats.longest_free,
        fragmentation=fragmentation_of(free, stats.longest_free),
        requested_bytes=stats.requested,
        allocated_bytes=allocated_bytes,
        utilization=stats.requested / allocated_bytes if allocated_bytes else 1.0,
        allocations=stats.allocations,
        frees=max(stats.allocations, stats.runs) - stats.runs,
        failures=stats.failures,
        waits=stats.waits,
        waited=stats.waited / 1e9,
        tickets=stats.tickets,
        oldest_ticket=None if stats.oldest_ticket < 0 else stats.oldest_ticket,
        processes=stats.processes,
        max_processes=m.engine.attachment.geometry.processes if pool_is_shared(&m.engine) else 1,
    ))


cdef counts_of(_Mapping m):
    cdef pool_stats_t stats
    with nogil:
        pool_counts(&m.engine, &stats)
    free = m.engine.blocks - stats.allocated
    return report("PoolCounts", dict(
        blocks=m.engine.blocks,
        block_size=m.engine.block_size,
        allocated=stats.allocated,
        free=free,
        peak=stats.peak,
        largest_free_run=stats.longest_free,
        fragmentation=fragmentation_of(free, stats.longest_free),
        allocations=stats.allocations,
        failures=stats.failures,
        waits=stats.waits,
        waited=stats.waited / 1e9,
        processes=stats.processes,
        max_processes=m.engine.attachment.geometry.processes if pool_is_shared(&m.engine) else 1,
    ))


cdef list runs_of(_Mapping m):
    cdef pool_look look
    cdef uint64_t at = 0
    cdef list found = []
    cdef tuple this_process = (getpid(),)
    cdef dict names = names_of(m) if pool_is_shared(&m.engine) else {}
    if m.guard is not None and not pool_is_shared(&m.engine):
        # it knows the bytes that were asked for, and does not list runs at rest
        for index in sorted(m.guard.live):
            run = m.guard.live.get(index)
            if run is not None:
                found.append(run_report(
                    index, run.blocks, run.nbytes, this_process, 0, (), None, None, None, run.stack(), this_process[0],
                    None,
                ))
        return found
    while pool_next_run(&m.engine, at, &look):
        found.append(run_of(m, &look, names))
        at = look.run.index + look.run.blocks
    return found


cdef run_of(_Mapping m, const pool_look *look, dict names):
    nbytes = look.run.blocks * m.engine.block_size - look.slack
    if not pool_is_shared(&m.engine):
        return run_report(
            look.run.index, look.run.blocks, nbytes, (getpid(),), 0, (), None, None, None, None, None, None
        )
    holders = tuple(holders_of(&m.engine, &look.holders))
    named = tuple(names.get((look.run.index, look.run.generation), ()))
    queue = look.queue if look.carried and look.queue < LEDGER_MOST_BLOCKS else None
    stack, allocated_by = origin_of(m, &look.run)
    return run_report(
        look.run.index, look.run.blocks, nbytes, holders, look.tickets, named, queue, look.age,
        handle_of(m, &look.run, Handle), stack, allocated_by, None if look.ends < 0 else look.ends,
    )


cdef tuple origin_of(_Mapping m, const pool_run *run):
    """Where a run was allocated, and by which process; None and None if the pool does not know."""
    cdef site_story story
    if not sites_story(m.engine.attachment, run, &story):
        return None, None
    return stack_text(&story.allocated), process_field(story.allocated.process)


cdef object process_field(uint64_t process):
    """A process's number as the segment has it; None if it cannot be one."""
    return process if 0 < process <= INT32_MAX else None


cdef list outstanding_of(_Mapping m):
    cdef pool_look look
    cdef uint64_t at = 0
    cdef list found = []
    while pool_next_run(&m.engine, at, &look):
        at = look.run.index + look.run.blocks
        if slot_set_has(&look.holders, m.engine.attachment.slot):
            stack, _process = origin_of(m, &look.run)
            found.append(report("Outstanding", dict(
                index=look.run.index, blocks=look.run.blocks,
                nbytes=look.run.blocks * m.engine.block_size - look.slack, stack=stack or "",
            )))
    return found


cdef list damage_of(_Mapping m):
    cdef site_finding finding
    cdef uint64_t at = 0
    cdef list found = []
    while sites_next_damage(m.engine.attachment, at, &finding):
        at = finding.block + 1
        known = finding.known
        found.append(report("Damage", dict(
            index=finding.story.index if known else finding.block,
            blocks=finding.story.blocks if known else 1,
            nbytes=finding.story.nbytes if known else None,
            at=finding.at,
            found=finding.byte,
            allocated_by=process_field(finding.story.allocated.process) if known else None,
            stack=stack_text(&finding.story.allocated) if known else None,
            freed_by=process_field(finding.story.freed.process) if known else None,
            freed_stack=stack_text(&finding.story.freed) if known else None,
        )))
    return found


cdef run_report(
    index, blocks, nbytes, tuple holders, tickets, tuple names, queue, age, handle, stack, allocated_by, ticket_ends
):
    return report("Run", dict(
        index=index, blocks=blocks, nbytes=nbytes, holders=holders, tickets=tickets, names=names, queue=queue,
        age=age, handle=handle, stack=stack, allocated_by=allocated_by, ticket_ends=ticket_ends,
    ))


cdef check_pool(_Mapping m, bint repair):
    cdef pool_fault faults[FAULTS]
    cdef pool_audit audit
    cdef pool_failure failure
    cdef pool_status status = POOL_OK
    need_reports()
    with nogil:
        if repair:
            status = pool_check(&m.engine, GATE_SECONDS, faults, FAULTS, &audit, &failure)
        else:
            pool_audit_only(&m.engine, faults, FAULTS, &audit)
    tell_of_recovered(m)
    require_part(m, status, &failure)
    if audit.faults:
        raise corrupt_error(faults, FAULTS, audit.faults)
    return report("Audit", dict(
        blocks=m.engine.blocks, allocated=audit.allocated, runs=audit.runs, healed=audit.healed,
        in_transit=audit.in_transit,
    ))


cdef recover_pool(_Mapping m, double ticket_seconds):
    cdef unsigned processes = 0, more = 0
    cdef uint64_t ended = 0, old = 0
    cdef pool_failure failure
    cdef pool_status status
    need_reports()
    with nogil:
        status = pool_recover(&m.engine, GATE_SECONDS, -1, &processes, &ended, &failure)
        if status == POOL_OK and ticket_seconds >= 0:
            status = pool_recover(&m.engine, GATE_SECONDS, ticket_seconds, &more, &old, &failure)
    tell_of_recovered(m)
    tell_of_dropped(m, old, ticket_seconds)
    require_part(m, status, &failure)
    return report("Recovered", dict(processes=processes + more, tickets=ended + old))


cdef residency_of(_Mapping m):
    cdef os_residency_t found
    cdef int error
    with nogil:
        error = os_residency(m.engine.data, m.engine.blocks * m.engine.block_size, &found)
    if error:
        raise kernel_error(error)
    return report("Residency", dict(resident_bytes=found.resident_bytes, huge_page_bytes=found.huge_bytes))
