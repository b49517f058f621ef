# The steps of a wait for room. Pool.obtain takes them in C; blockpool._async, which waits for many calls at once and
# must not block in any, takes them in Python.

cdef int wait_enter(_Mapping m, uint32_t *wait) except -1:
    if m.attachment == NULL:
        remember_waited(m)
        private_pool_wait_enter(m.core)
        wait[0] = forks
        return 0
    while attachment_wait_enter(m.attachment, wait) == POOL_LOCKED:
        with nogil:
            os_yield()
    return 0


cdef bint wait_is_over(_Mapping m, uint32_t wait) noexcept:
    """Whether the wait was entered by the parent of this process, which nobody counts here."""
    return wait != forks if m.attachment == NULL else attachment_wait_is_over(m.attachment, wait)


cdef uint32_t wait_sequence(_Mapping m) noexcept:
    return private_pool_wait_sequence(m.core) if m.attachment == NULL else attachment_wait_sequence(m.attachment)


cdef int wait_sleep(_Mapping m, uint32_t sequence, double seconds) except -1:
    with nogil:
        if m.attachment == NULL:
            private_pool_wait_sleep(m.core, sequence, seconds)
        else:
            attachment_wait_sleep(m.attachment, sequence, seconds)
    return 0


cdef int wait_leave(_Mapping m, uint32_t wait) except -1:
    if m.attachment == NULL:
        if not wait_is_over(m, wait):
            private_pool_wait_leave(m.core)
        return 0
    while attachment_wait_leave(m.attachment, wait) == POOL_LOCKED:
        with nogil:
            os_yield()
    return 0


def mapping_of_pool(Pool pool not None, /):
    """What all Pool objects of one pool have in common; for identity, and for the steps below."""
    return pool.opened()


def claim(Pool pool not None, uint64_t blocks, uint64_t nbytes, /):
    """Allocate a run, or return None if there is no room at this moment. The numbers are checked already."""
    cdef _Mapping m = pool.opened()
    cdef pool_run run
    if not 0 < blocks <= m.blocks or nbytes > blocks * m.block_size:
        raise ValueError(f"{nbytes} bytes in {blocks} blocks cannot be claimed")
    if not attempt(m, blocks, blocks * m.block_size - nbytes, False, &run):
        return None
    return hand_out(m, &run, nbytes)


def given_up(Pool pool not None, uint64_t blocks, /):
    """Count a failure, and return its error."""
    return pool.exhausted(pool.opened(), blocks, True)


def begin_wait(_Mapping m not None, /):
    """From now on, whoever frees something says so; until `end_wait` of what this returns."""
    cdef uint32_t wait = 0
    wait_enter(m, &wait)
    return wait


def end_wait(_Mapping m not None, uint32_t wait, /):
    """Undo one `begin_wait`."""
    wait_leave(m, wait)


def moment(_Mapping m not None, /):
    """Return a number that is another one after something was freed."""
    return wait_sequence(m)


def sleep_since(_Mapping m not None, uint32_t sequence, /):
    """Sleep until something is freed after that moment, at most for a slice; say whether something was."""
    wait_sleep(m, sequence, SLICE)
    return wait_sequence(m) != sequence


def recover_unused(_Mapping m not None, /):
    """Bring back what the dead held, or what rests."""
    reclaim(m)


def collect_if_due(_Mapping m not None, double began, bint last_look, /):
    """The same, and what nobody in this process can reach, if a wait that began then should do so now; say whether."""
    if not is_garbage_due(began, last_look):
        return False
    collect(m)
    return True
