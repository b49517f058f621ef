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


# Set in a child from fork() on until the package's locks are renewed. Before its hooks run, Python ends the states of
# the parent's other threads, and with them what only these had.
cdef int just_forked = 0


cdef void right_after_fork_in_child() noexcept nogil:
    publish(&just_forked)
    pool_forked()
    renew_tables_lock()


cdef inline int before_locks_in_child() except -1:
    if unlikely(is_published(&just_forked)):
        renew_locks()
    return 0


cdef int renew_locks() except -1:
    for lock in renewed_locks:
        if not lock._is_owned():
            lock._at_fork_reinit()
    drop_flag(&just_forked)
    return 0


def _after_fork_in_child():
    """Reset the child, in the order that fork.pxd gives."""
    cdef int i
    give_up_import()
    for i in range(hook_count):
        hooks[i]()
    renew_locks()
    for table in renewed_tables:
        table.clear()


cdef int near_the_end = 0
# Whether the shutdown is beside threads that ran Python; -1 until that is known.
cdef int beside_threads = 0


def _program_ends():
    """Look for threads that run Python now. Threads that do not, as those of a library for matrices, hold no blocks."""
    global beside_threads
    others = _current_frames()
    others.pop(PyThread_get_thread_ident(), None)
    if others:
        beside_threads = -1
    publish(&near_the_end)


cdef bint ends_beside_threads() noexcept:
    global beside_threads
    if not is_published(&near_the_end) or not Py_IsFinalizing():
        return False
    if beside_threads < 0:
        beside_threads = not os_is_alone()  # they may have ended meanwhile
    return beside_threads > 0


cdef void leave_all() noexcept nogil:
    """Leave every pool, after all Python code has run: until then, blocks may be used and sent."""
    attachment_exit(GATE_SECONDS)


if pthread_atfork(NULL, NULL, right_after_fork_in_child) != 0:
    raise MemoryError("no memory for a fork handler of the C library")
os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_program_ends)
Py_AtExit(leave_all)  # if Python refuses (it takes 32), other processes clean up as after one that was killed
