# See events.pxd.

# The levels of logging.
cdef enum:
    LOG_INFO = 20
    LOG_WARNING = 30

# Seconds between two records of exhaustion.
cdef double exhaustion_rest = 60

# How often this process was forked since the first of its ancestors imported this: what a parent told, its child has
# not told.
cdef uint64_t forked_times = 0
# The ids of the pools whose refusals were told, each with whether it was of a kind that is counted.
cdef set refusing_pools = set()


cdef void forget_told() noexcept:
    global forked_times
    forked_times += 1
    refusing_pools.clear()


call_in_child(forget_told)


# --- recovery ---

cdef int tell_of_recovered(_Mapping m) except -1:
    cdef attachment_recovered recovered
    if m.engine.attachment == NULL or not attachment_has_recovered(m.engine.attachment):
        return 0
    with nogil:
        attachment_take_recovered(m.engine.attachment, &recovered)
    cdef uint64_t count = recovered.processes, i
    tell_of_ended(m, recovered.tickets, recovered.their_blocks)
    if count == 0:
        return 0
    pids, commands = [], []
    for i in range(min(count, <uint64_t>RECOVERED_NAMED)):
        pids.append(recovered.first[i].process or None)
        commands.append((<bytes>recovered.first[i].command).decode("utf-8", "replace").strip())
    came_back = in_words([(recovered.blocks, "block", "blocks")]) or "no blocks"
    tell(
        LOG_WARNING if recovered.blocks else LOG_INFO, "recovered",
        f"{titled(m.name)}: {dead_in_words(pids, commands, count)} ended without leaving it; {came_back} came back",
        m.name, m.id.hex(), processes=count, pids=tuple(pids), commands=tuple(commands), blocks=recovered.blocks,
    )
    return 0


cdef dead_in_words(list pids, list commands, uint64_t count):
    """The processes, `count` in all. Their commands are what they wrote, and so are escaped."""
    found = [
        (f"process {pid}" if pid else "a process that was attaching") + (f" ({command!r})" if command else "")
        for pid, command in zip(pids, commands)
    ]
    if count > <uint64_t>len(found):
        found.append(f"{count - <uint64_t>len(found)} more")
    last = found.pop()
    return f"{', '.join(found)} and {last}" if found else last


cdef int tell_of_ended(_Mapping m, uint64_t tickets, uint64_t blocks) except -1:
    if tickets:
        came_back = in_words([(blocks, "block", "blocks")]) or "no blocks"
        tell(
            LOG_INFO, "tickets_ended",
            f"{titled(m.name)}: the lifetime of {in_words([(tickets, 'ticket', 'tickets')])} was over, and they were "
            f"dropped; {came_back} came back",
            m.name, m.id.hex(), tickets=tickets, blocks=blocks,
        )
    return 0


cdef int tell_of_dropped(_Mapping m, uint64_t tickets, double seconds) except -1:
    if tickets:
        tell(
            LOG_INFO, "tickets_dropped",
            f"{titled(m.name)}: {in_words([(tickets, 'ticket', 'tickets')])} older than {seconds:g} s dropped, as "
            "recover(tickets_older_than=) was asked to",
            m.name, m.id.hex(), tickets=tickets, older_than=seconds,
        )
    return 0


# --- sweeps ---

cdef int tell_of_swept() except -1:
    cdef pools_swept swept
    cdef uint64_t i
    if not pools_take_swept(&swept):
        return 0
    names = [
        (<bytes>swept.names[i]).decode("utf-8", "replace").removeprefix("blockpool.")
        for i in range(min(swept.count, <uint64_t>SWEPT_NAMED))
    ]
    listed = ", ".join([repr(name) for name in names])
    more = f" and {swept.count - <uint64_t>len(names)} more" if swept.count > <uint64_t>len(names) else ""
    tell(
        LOG_INFO, "swept",
        f"removed {in_words([(swept.count, 'pool', 'pools')])} of {swept.bytes} bytes that ended programs left behind: "
        f"{listed}{more}",
        count=swept.count, pools=tuple(names), nbytes=swept.bytes,
    )
    return 0


# --- exhaustion ---

cdef int tell_of_exhaustion(_Mapping m, error) except -1:
    cdef double now = os_now()
    cdef uint64_t left_out = 0
    cdef bint quiet
    with cython.critical_section(m):
        if m.told_in != forked_times:
            m.told_in = forked_times
            m.quiet_until = -INFINITY
            m.left_out = 0
        quiet = now < m.quiet_until or m.fills_up
        if quiet:
            m.left_out += 1
        else:
            left_out, m.left_out = m.left_out, 0
            m.quiet_until = now + exhaustion_rest
    if quiet:
        return 0
    since = f" ({left_out} more since the last record of this)" if left_out else ""
    tell(
        LOG_WARNING, "exhausted", f"{titled(m.name)}: {error}{since}",
        m.name, None if m.id is None else m.id.hex(), left_out=left_out,
    )
    return 0


def rest_after_exhaustion(double seconds, /):
    """Set the least time between two records of exhaustion of a pool, for tests; return what it was."""
    global exhaustion_rest
    before, exhaustion_rest = exhaustion_rest, seconds
    return before


# --- sending ---

cdef int tell_of_refusal(name, bytes pool_id, why, bint counted) except -1:
    cdef bint first
    told = pool_id, counted
    lock_tables()
    try:
        first = told not in refusing_pools
        refusing_pools.add(told)
    finally:
        unlock_tables()
    if first:
        later = "only counted (blockpool.multiprocessing.stats())" if counted else "not told of"
        tell(
            LOG_WARNING, "sent_without_pool",
            f"{titled(name)}: something that blockpool.multiprocessing.install() has sent through it was pickled as a "
            f"whole, which is slower: {why}; later ones are {later}",
            name, pool_id.hex(), reason=why,
        )
    return 0
