# What the package's own modules call: blockpool._async, which waits for many calls at once and must not block in any;
# blockpool.multiprocessing, which sends; blockpool._segments, which keeps segments by name.

def mapping_of_pool(Pool pool not None, /):
    """Return what all Pool objects of one pool have in common; for identity, and for the steps of a wait."""
    return pool.opened()


# --- waiting, a step at a time ---

def claim(Pool pool not None, uint64_t blocks, uint64_t nbytes, /):
    """Allocate a run, or return None if there is no room at this moment. The numbers are checked already."""
    cdef _Mapping m = pool.opened()
    cdef pool_run run
    if not 0 < blocks <= m.engine.blocks or nbytes > blocks * m.engine.block_size:
        raise ValueError(f"{nbytes} bytes in {blocks} blocks cannot be claimed")
    if not try_allocate(m, blocks, blocks * m.engine.block_size - nbytes, False, &run):
        return None
    return block_of_run(m, &run, nbytes)


def exhausted(Pool pool not None, uint64_t blocks, /):
    """Count a failure, and return its error."""
    return count_exhausted(pool.opened(), blocks, True)


def begin_wait(_Mapping m not None, /):
    """Have every free say so, until `end_wait` of what this returns."""
    cdef uint32_t wait = 0
    pool_wait_begin(&m.engine, &wait)
    return wait


def end_wait(_Mapping m not None, uint32_t wait, /):
    """Undo one `begin_wait`."""
    pool_wait_end(&m.engine, wait)


def free_sequence(_Mapping m not None, /):
    """Return a number that is another one after something was freed."""
    return pool_free_sequence(&m.engine)


def sleep_since(_Mapping m not None, uint32_t sequence, /):
    """Sleep until something is freed after `sequence` was read, at most for a slice; say whether something was."""
    with nogil:
        pool_wait_sleep(&m.engine, sequence, SLICE)
    return pool_free_sequence(&m.engine) != sequence


def recover_unused(_Mapping m not None, /):
    """Bring back what dead processes held, or what rests."""
    reclaim(m)


def collect_if_due(_Mapping m not None, double began, bint last_look, /):
    """Collect garbage too, if a wait that began then should do so now; say whether."""
    if not is_garbage_due(began, last_look):
        return False
    collect(m)
    return True


# --- sending ---

def require_shared(Pool pool not None):
    """Raise unless processes can share the pool."""
    if not pool_is_shared(&pool.opened().engine):
        raise ValueError("the pool is private: no other process can reach its memory; create one with Pool.create()")


cdef _Mapping mapping_to_copy_into(Pool pool):
    """The mapping; None if it is closed, or this process was forked without a part in it: then nothing is copied."""
    try:
        require_shared(pool)
    except (PoolClosed, PoolBusy, TooManyProcesses):
        refuse_copy()
        return None
    return pool.mapping


def copy_array(Pool pool not None, array):
    """Copy an array of at least one byte into a shared pool; None if there is no room, or it holds objects.

    Returns an array of the same order, writeable.
    """
    cdef _Mapping m = mapping_to_copy_into(pool)
    return None if m is None else copied_to_send(m, array)


def copy_buffer(Pool pool not None, memoryview source not None):
    """Copy contiguous bytes, at least one, into a shared pool; None if there is no room. Returns a memoryview."""
    cdef _Mapping m = mapping_to_copy_into(pool)
    return None if m is None else bytes_copied_to_send(m, source)


def send_block(Block block not None, list sent not None):
    """Take a reference to a block, and return what pickle makes of it; its parts are appended to `sent`."""
    return block.sent(sent)


def pool_of(view, /):
    """Return a Pool object of the shared pool that an array or memoryview is in."""
    cdef _Lease lease = shared_lease(view)
    return None if lease is None else object_of(lease.mapping)


# --- segments by name ---

def withdraw(Block block not None, /):
    """Take one reference to a block out of flight; say whether there was one. The opposite of ``share(1)``."""
    block.enter()
    try:
        return pool_withdraw(&block.mapping.engine, &block.run)
    finally:
        block.leave()


def in_flight(Block block not None, /):
    """Return how many references to the block are in flight."""
    block.enter()
    try:
        return pool_tickets(&block.mapping.engine, block.run.index)
    finally:
        block.leave()


def first_run(Pool pool not None, /):
    """Return the handle of the first run of a shared pool; None if there is no run."""
    cdef _Mapping m = pool.opened()
    cdef pool_look look
    if not pool_is_shared(&m.engine) or not pool_next_run(&m.engine, 0, &look):
        return None
    return handle_of(m, &look.run, Handle)
