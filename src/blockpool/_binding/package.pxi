# Calls for the package's own modules: blockpool._async, which waits for many allocations at once without blocking;
# blockpool._sending, which sends arrays and blocks; blockpool._segments, which keeps segments by name.

def mapping_of_pool(Pool pool not None, /):
    """Return the mapping, which all Pool objects of one pool share. It identifies the pool; the calls below take it."""
    return pool.opened()


def id_of_pool(Pool pool not None, /):
    """Return the id of a shared pool, also of a closed one; None for a private pool."""
    return None if pool.kept_id is None else pool.kept_id.hex()


# --- waiting, a step at a time ---

def claim(Pool pool not None, uint64_t blocks, uint64_t nbytes, /):
    """Allocate a run, or return None if there is no room right now. The numbers were checked before."""
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
    """Make every free wake the pool's waiting threads; return a number to pass to `end_wait`."""
    cdef uint32_t wait = 0
    pool_wait_begin(&m.engine, &wait)
    return wait


def end_wait(_Mapping m not None, uint32_t wait, /):
    """Undo one `begin_wait`."""
    pool_wait_end(&m.engine, wait)


def count_wait(_Mapping m not None, double seconds, /):
    """Count a request that waited so long."""
    pool_count_wait(&m.engine, seconds)


def free_sequence(_Mapping m not None, /):
    """Return a number that changes whenever something is freed during a wait."""
    return pool_free_sequence(&m.engine)


def sleep_since(_Mapping m not None, uint32_t sequence, /):
    """Sleep until something is freed, at most for a slice; return whether anything was since `sequence` was read."""
    with nogil:
        pool_wait_sleep(&m.engine, sequence, SLICE)
    return pool_free_sequence(&m.engine) != sequence


def recover_unused(_Mapping m not None, bint waiting, /):
    """Bring back what dead processes held, and runs at rest in debug mode.

    A caller that is `waiting` leaves it to another process that did so a moment ago.
    """
    reclaim(m, waiting)


def collect_if_due(_Mapping m not None, double began, bint last_look, /):
    """Collect garbage if a wait that began at that time should do so now; return whether it did."""
    if not is_garbage_due(began, last_look):
        return False
    collect(m, not last_look)
    return True


# --- sending ---

def require_shared(Pool pool not None):
    """Raise ValueError for a private pool."""
    if not pool_is_shared(&pool.opened().engine):
        raise ValueError("the pool is private: no other process can reach its memory; create one with Pool.create()")


def numpy_allocator_of(Pool pool not None):
    """Return what `Pool.numpy_allocator` returns, also for a shared pool."""
    return numpy_allocator(pool.opened(), True)


cdef _Mapping mapping_to_copy_into(Pool pool):
    """The mapping; None, counting a refusal, if the pool is closed or this process has no part in it."""
    try:
        require_shared(pool)
        return pool.opened()
    except (PoolClosed, PoolBusy, TooManyProcesses) as error:
        refuse_copy(pool.kept_name, pool.kept_id, f"{error}")
        return None


def copy_array(Pool pool not None, array, bint must=False, timeout=0):
    """Copy an array of at least one byte into a shared pool.

    Returns a writable array in the same order; None if the array holds Python objects, or the pool is closed. If there
    is no room, a copy that `must` be made waits up to `timeout` seconds and then raises PoolExhausted; for any other
    None is returned at once.
    """
    cdef _Mapping m = mapping_to_copy_into(pool)
    return None if m is None else copied_to_send(pool, m, array, must, timeout)


def copy_buffer(Pool pool not None, memoryview source not None, bint must=False, timeout=0):
    """Copy at least one contiguous byte into a shared pool; return a memoryview, or None. Otherwise as `copy_array`."""
    cdef _Mapping m = mapping_to_copy_into(pool)
    return None if m is None else bytes_copied_to_send(pool, m, source, must, timeout)


def tell_of_kind(Pool pool not None, kind, /):
    """Tell the log, once, that something large of a kind that cannot go through the pool was sent without it."""
    tell_of_refusal(pool.kept_name, pool.kept_id, f"{kind}s are pickled by their own code", False)


def send_block(Block block not None, list sent not None):
    """Put a reference to a block in flight; return what pickle makes of the block, and append its fields to `sent`."""
    return block.sent(sent)


def pool_of(view, /):
    """Return a Pool object of the shared pool that an array or memoryview is in; None if it is in none."""
    notice_numpy()
    cdef _Lease lease = shared_lease(view)
    return None if lease is None else object_of(lease.mapping)


# --- segments by name ---

def expect_full(Pool pool not None, /):
    """Make the log say nothing when the pool is full: its caller takes another one then."""
    pool.opened().fills_up = True


def withdraw(Block block not None, /):
    """Take one reference to a block out of flight, the opposite of ``share(1)``; return whether there was one."""
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
    """Return the handle of the first run in a shared pool; None if there is none, or the pool is private."""
    cdef _Mapping m = pool.opened()
    cdef pool_look look
    if not pool_is_shared(&m.engine) or not pool_next_run(&m.engine, 0, &look):
        return None
    return handle_of(m, &look.run, Handle)
