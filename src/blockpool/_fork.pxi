# What a process has of pools when it is forked, and when it ends. Shared pools need nothing here: see core/src/shared/fork.c.

# How many forks lie between the process that imported this and this one.
cdef uint32_t forks = 0

# The private pools in which somebody has waited, of which a child has no waiters: a list through the mappings.
cdef PyObject *first_waited = NULL

# What the package has besides, see blockpool/_forks.py.
cdef tuple renewed_locks = (), renewed_tables = ()


cdef void remember_waited(_Mapping m) noexcept:
    global first_waited
    if not m.waited:
        m.waited = True
        m.next_waited = first_waited
        first_waited = <PyObject *>m


cdef void forget_waited(_Mapping m) noexcept:
    cdef PyObject **at = &first_waited
    while at[0] != <PyObject *>m:
        at = &(<_Mapping>at[0]).next_waited
    at[0] = m.next_waited


def renew_in_child(tuple locks, tuple tables, /):
    """Have each forked child begin with these locks free, but for those of the thread that forks, and the tables empty.

    In this order. The locks are reentrant ones of `_thread`.
    """
    global renewed_locks, renewed_tables
    renewed_locks, renewed_tables = locks, tables


def _after_fork_in_child():
    """Begin again. C alone, up to the tables: no signal's handler comes in between, and nothing can fail."""
    global forks, sent_count, copied_count, copied_bytes, refused_count, stats_never_come
    cdef PyObject *waited = first_waited
    forks += 1
    stats_never_come = stats_come
    sent_count = copied_count = copied_bytes = refused_count = 0
    while waited != NULL:
        private_pool_wait_reset((<_Mapping>waited).core)
        waited = (<_Mapping>waited).next_waited
    for lock in renewed_locks:
        if not lock._is_owned():
            lock._at_fork_reinit()
    for table in renewed_tables:
        table.clear()


cdef lost_error(_Mapping m):
    """The error of a call in a process that has no part in the pool."""
    cdef attachment_fate fate = attachment_why_stray(m.attachment)
    cdef pool_status status = POOL_SYSTEM
    has_none = f"this process has no part in {titled(m.name)}: "
    if fate == FATE_DETACHED:
        return PoolClosed(f"{has_none}it was forked with on_fork='detach'; attach the pool again")
    if fate == FATE_NO_SLOT:
        return TooManyProcesses(
            f"{has_none}47 processes were attached when it was forked, which is the most; let one leave, then attach "
            "the pool again"
        )
    if fate == FATE_SLOTS_BUSY:
        return PoolBusy(
            f"{has_none}all 47 places were taken when it was forked, and another process kept it from looking whose "
            "owners are dead; attach the pool again"
        )
    if fate == FATE_REFUSED:
        if -m.attachment.fate_error in (EMFILE, ENFILE):
            status = POOL_NO_DESCRIPTOR
        return PoolClosed(
            f"{has_none}when it was forked, {remedy_of(status, m.attachment.fate_error)}; then attach the pool again"
        )
    if fate == FATE_LEFT:
        return PoolClosed(f"{has_none}it has left the pool")
    return PoolClosed(f"{has_none}it was made by a bare clone(), not by fork(); attach the pool again")


cdef void leave_all() noexcept nogil:
    """Leave every pool, after the last line of Python: until then somebody may use a block, or have one to send."""
    attachment_exit(GATE_SECONDS)


os.register_at_fork(after_in_child=_after_fork_in_child)
Py_AtExit(leave_all)  # refused, the process leaves as a killed one does
