# How a run of a shared pool passes from process to process: handles, tickets, pickles.

cdef handle_of(_Mapping m, const pool_run *run, kind):
    if m.attachment == NULL:
        raise TypeError(
            "a block of a private pool has no name that another process could use; make the pool with Pool.create()"
        )
    return kind(m.id.hex(), run.index if run != NULL else 0, run.generation if run != NULL else 0, getpid(), m.name)


cdef int share_run(_Mapping m, const pool_run *run, count) except -1:
    """Take references of a shared pool into flight; whatever they travel in is made before."""
    cdef pool_status status
    status = attachment_share(m.attachment, run, count) if count <= LEDGER_MOST_TICKETS else POOL_TICKETS
    if status != POOL_OK:
        fail(m, status, run.index)
    return 0


cdef int send_run(_Mapping m, const pool_run *run, tuple parts, list sent) except -1:
    """Take the reference that goes with the parts, and note them among what a message sends, if that is noted."""
    if sent is None:
        return share_run(m, run, 1)
    sent.append(parts)
    try:
        share_run(m, run, 1)
    except BaseException:
        sent.pop()
        raise
    return 0


def redeem(handle, /):
    """Take the run that a handle or ticket names, in any process; attaches its pool if need be.

    Parameters
    ----------
    handle : Handle, Ticket, str or bytes

    Returns
    -------
    Block

    Raises
    ------
    StaleHandle
        If the run is no more: freed by all that held it.
    PoolNotFound
        If the pool is no more.
    ValueError, TypeError
        If it is no handle or ticket.
    """
    handle = Handle.parse(handle)
    return redeemed(mapping_of_handle(handle, None), handle.index, handle.generation, isinstance(handle, Ticket))


cdef Block redeemed(_Mapping m, uint64_t index, uint64_t generation, bint flying):
    cdef pool_run run
    cdef pool_status status
    cdef Block block = Block.__new__(Block)
    cdef uint64_t slack
    if is_lost(m):
        raise lost_error(m)
    run.index = index
    run.generation = generation
    run.blocks = 0
    # a handle takes nothing
    status = attachment_redeem(m.attachment, &run) if flying else attachment_add_reference(m.attachment, &run)
    while status == POOL_LOCKED:
        with nogil:
            os_yield()
            status = attachment_redeem(m.attachment, &run) if flying else attachment_add_reference(m.attachment, &run)
    if status == POOL_STALE:
        raise StaleHandle(
            f"the run at block {index} that this {'ticket' if flying else 'handle'} names was freed; "
            "keep a Block of it, or send a ticket (Block.share()) for each receiver"
        )
    if status != POOL_OK:
        fail(m, status, index)
    slack = shared_pool_slack(&m.attachment.shared, run.index)
    open_block(block, m, &run, run.blocks * m.block_size - min(slack, m.block_size - 1))
    return block


cdef tuple reference_of(_Mapping m, const pool_run *run):
    """A ticket as pickles carry it; `received` takes it."""
    return m.id, run.index, run.generation, getpid(), m.name


cdef Block received(pool_id, index, generation, process, name):
    """Redeem a reference that came in a message."""
    cdef uint64_t first = number_field("block", index, 0, LEDGER_MOST_BLOCKS - 1)
    cdef uint64_t born = number_field("generation", generation, 0, MOST_GENERATIONS)
    number_field("process", process, 0, INT32_MAX)
    return redeemed(mapping_of(id_field(pool_id), process, name_field(name), None), first, born, True)


def _receive_block(pool_id, index, generation, process, name, nbytes, readonly, /):
    """Unpickle a Block."""
    cdef Block block = received(pool_id, index, generation, process, name)
    block.nbytes = number_field("length", nbytes, 1, block.run.blocks * block.mapping.block_size)
    if not flag_field("readonly", readonly):
        return block
    twin = block.readonly()
    block.release()
    return twin


# The function that pickles of a Block name.
cdef object receive_block = None


def name_receiver(function, /):
    """Have pickles of a Block name this function."""
    global receive_block
    receive_block = function


def _send_block(Block block not None):
    """Pickle a Block: what to call, and with a reference in flight."""
    return block.sent(None)


copyreg.pickle(Block, _send_block)  # found sooner than __reduce_ex__
