# See fork.pxd.

cdef enum: HOOKS = 4
cdef void (*hooks[HOOKS])() noexcept
cdef int hook_count = 0

# What the package has to reset as well; see blockpool/_forks.py.
cdef tuple renewed_locks = (), renewed_tables = ()


cdef int call_in_child(void (*call)() noexcept) except -1:
    global hook_count
    if hook_count == HOOKS:
        raise RuntimeError(f"more than {HOOKS} parts of the binding have a fork hook; increase HOOKS")
    hooks[hook_count] = call
    hook_count += 1
    return 0


def renew_in_child(tuple locks, tuple tables, /):
    """Free these locks and empty these tables in each forked child; locks that the forking thread holds stay held.

    The locks are RLocks of `_thread`.
    """
    global renewed_locks, renewed_tables
    renewed_locks, renewed_tables = locks, tables


def _after_fork_in_child():
    """Reset the child, in the order that fork.pxd gives."""
    cdef int i
    pool_forked()
    renew_tables_lock()
    give_up_import()
    for i in range(hook_count):
        hooks[i]()
    for lock in renewed_locks:
        if not lock._is_owned():
            lock._at_fork_reinit()
    for table in renewed_tables:
        table.clear()


cdef void leave_all() noexcept nogil:
    """Leave every pool, after all Python code has run: until then, blocks may be used and sent."""
    attachment_exit(GATE_SECONDS)


os.register_at_fork(after_in_child=_after_fork_in_child)
Py_AtExit(leave_all)  # if Python refuses (it takes 32), other processes clean up as after one that was killed
