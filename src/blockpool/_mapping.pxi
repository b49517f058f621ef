# The memory of a pool, private or shared, and how a run goes back to it.

@cython.final
@cython.internal
@cython.no_gc_clear
cdef class _Mapping:
    """The memory of a pool, and the counts that belong to it. Gone when nobody refers to it."""

    cdef object __weakref__
    cdef private_pool *core             # of a private pool: at the start of its own mapping, followed by the metadata
    cdef size_t core_bytes
    cdef attachment *attachment         # of a shared pool, else NULL
    cdef unsigned char *data
    cdef uint64_t block_size, blocks
    cdef bint borrowed          # the memory is the caller's
    cdef Py_buffer lender
    cdef object pool_ref        # a weak reference to a Pool of it
    cdef list owners            # weak references to all of them
    cdef object guard           # of debug mode; None without
    cdef quarantine resting     # the same
    cdef size_t alignment
    cdef bint closed
    # Of a shared pool.
    cdef object name            # None without one
    cdef bytes id
    cdef object reference       # weak, to itself; what the table of this process's pools has
    cdef uint64_t sampling      # one less than how many allocations there are from one look at the peak to the next
    # Of a private pool in which somebody has waited, see _fork.pxi.
    cdef bint waited
    cdef PyObject *next_waited
    # Statistics of a private pool, written with the GIL held; no invariant rests on them.
    cdef uint64_t allocations, failures, in_use, peak, requested

    def __dealloc__(self):
        if self.attachment != NULL:
            strike_off(self)
            self.attachment.on_fork = ON_FORK_NOTHING  # before another thread can fork
            with nogil:
                attachment_leave(self.attachment, GATE_SECONDS)
                attachment_unmap(self.attachment)
                os_unmap(self.attachment, sizeof(attachment))
            return
        c_free(self.resting.runs)
        if self.waited:
            forget_waited(self)
        if self.core != NULL:
            os_unmap(self.core, self.core_bytes)
        if self.borrowed:
            PyBuffer_Release(&self.lender)
        elif self.data != NULL:
            with nogil:
                os_unmap(self.data, self.blocks * self.block_size)


@cython.nonecheck(False)
cdef inline bint is_lost(_Mapping m) noexcept:
    """Whether this process was forked without a part in the shared pool: it must not touch the memory."""
    return m.attachment != NULL and attachment_is_stray(m.attachment)


@cython.nonecheck(False)
cdef inline void *address_of(_Mapping m, uint64_t index) noexcept:
    return m.data + index * m.block_size


@cython.nonecheck(False)
cdef inline void count_allocation(_Mapping m, uint64_t blocks, uint64_t nbytes) noexcept:
    cdef uint64_t count
    if m.attachment != NULL:
        m.attachment.slot_record.allocations = count = m.attachment.slot_record.allocations + 1
        if unlikely(count & m.sampling == 0):
            look_at_peak(m)
        return
    m.allocations += 1
    m.requested += nbytes
    m.in_use += blocks
    if m.in_use > m.peak:
        m.peak = m.in_use


cdef void look_at_peak(_Mapping m) noexcept:
    note_peak(m, bitmap_count(&m.attachment.shared.bitmap))


cdef void note_peak(_Mapping m, uint64_t blocks) noexcept:
    """So many blocks of a shared pool are allocated now."""
    if blocks > m.attachment.slot_record.peak:
        m.attachment.slot_record.peak = blocks


@cython.nonecheck(False)
cdef inline void give_back(_Mapping m, const pool_run *run, uint64_t nbytes) noexcept:
    """One owner of the run less; in a private pool there is only one."""
    if m.attachment != NULL:
        give_back_shared(m, run)
        return
    private_pool_release(m.core, run.index, run.blocks)
    m.requested -= nbytes
    m.in_use -= run.blocks


cdef void give_back_shared(_Mapping m, const pool_run *run) noexcept:
    """The same, uncounted."""
    cdef c_bool freed = False
    cdef pool_status status = attachment_drop(m.attachment, run, &freed)
    while status == POOL_LOCKED:
        with nogil:
            os_yield()
            status = attachment_drop(m.attachment, run, &freed)
    if status == POOL_CORRUPT:
        report_corrupt(run.index)


cdef void report_corrupt(uint64_t index) noexcept:
    """Tell of damage that a destructor meets, where Python sends what cannot be raised."""
    raise PoolCorrupt(f"the ledger does not say that this process holds block {index}: something wrote over it")


cdef pool_object(_Mapping m):
    """A Pool object of the mapping, an open one if there is one."""
    owner = None if m.pool_ref is None else m.pool_ref()
    if owner is None or (<Pool>owner).mapping is not m:
        for other in owners_of(m):
            if (<Pool>other).mapping is m:
                return other
    # One that was closed will do, but not if it was opened again since, as another pool.
    if owner is None or (<Pool>owner).mapping not in (None, m):
        owner = Pool.__new__(Pool)
        if not m.closed:
            adopt(<Pool>owner, m)
    return owner


cdef list owners_of(_Mapping m):
    """The Pool objects of the mapping, closed ones too. No method of theirs is called: a subclass may have any."""
    cdef list found = []
    for reference in m.owners or ():
        owner = reference()
        if owner is not None:
            found.append(owner)
    return found


cdef int adopt(Pool owner, _Mapping mapping) except -1:
    """Make the Pool object one of the mapping's."""
    cdef Py_ssize_t i = 0
    if owner.mapping is not None:  # looked at here, where no other code can come between
        raise ValueError("this Pool is open already; make a new one")
    owner.mapping = mapping
    owner.guard = mapping.guard
    owner.kept_name = mapping.name
    owner.kept_id = mapping.id
    owner.may_have_ended = mapping.attachment != NULL and not mapping.attachment.geometry.flags & LAYOUT_PERMANENT
    owner.quick = mapping if mapping.guard is None else None
    mapping.pool_ref = PyWeakref_NewRef(owner, None)
    if mapping.owners is None:
        mapping.owners = []
    mapping.owners.append(mapping.pool_ref)
    # In place and step by step: what a destructor does meanwhile, to this list as well, stays.
    while i < len(mapping.owners):
        if mapping.owners[i]() is None:
            del mapping.owners[i]
        else:
            i += 1
    return 0
