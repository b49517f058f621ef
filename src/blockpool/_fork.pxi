# What a process has of shared pools when it forks, and when it ends.

# Those that take part in the fork that is under way, and whose turn it is: threads may fork at the same time.
cdef list in_fork = []
cdef object fork_turn = RLock()


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
    for owner in owners_of(m):
        (<Pool>owner).quick = m if m.forking is None and m.lost is None and (<Pool>owner).mapping is m else None
    return 0


def _before_fork():
    import threading

    cdef _Mapping m
    fork_turn.acquire()
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
    fork_turn.release()


def _after_fork_in_shared_child():
    cdef _Mapping m
    for mapping in in_fork:
        m = mapping
        if member_fork_child(m.member) != MEMBER_OK:
            m.lost = TooManyProcesses if m.fork_shares else PoolClosed
        m.forking = None
        set_quick(m)
    in_fork.clear()
    fork_turn.release()


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
