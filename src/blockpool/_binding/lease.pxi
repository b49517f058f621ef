# See lease.pxd.

# The domain of pool memory in tracemalloc: "pool" in ASCII.
cdef enum: TRACEMALLOC = 0x706F6F6C
TRACEMALLOC_DOMAIN = TRACEMALLOC


@cython.final
@cython.internal
@cython.no_gc
@cython.freelist(64)
cdef class _Lease:
    """The owner of a run that has views; the run goes back with it."""

    def __init__(self):
        raise TypeError("the memory of a block comes from Block.buf")

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.mapping is None:
            raise BufferError("this object has no memory")
        if is_lost(self.mapping):
            raise lost_error(&self.mapping.engine, self.mapping.name)
        PyBuffer_FillInfo(view, self, address_of(self.mapping, self.run.index), self.nbytes,
                          self.readonly, flags)
        count_by(&self.parent.exports if self.for_view else &self.exports, 1)

    def __releasebuffer__(self, Py_buffer *view):
        count_by(&self.parent.exports if self.for_view else &self.exports, -1)

    def __repr__(self):
        return f"<memory of blockpool block {self.run.index}>"

    @cython.nonecheck(False)
    def __dealloc__(self):
        if self.parent is not None:
            count_by(&self.parent.views if self.for_view else &self.parent.children, -1)
            return
        if self.mapping is None:
            return
        if self.mapping.guard is None:
            release_run(self.mapping, &self.run, self.nbytes)
        else:
            release_guarded(self)


@cython.nonecheck(False)
cdef inline _Lease new_lease(_Mapping mapping, _Lease parent, const pool_run *run, uint64_t nbytes):
    cdef _Lease lease = _Lease.__new__(_Lease)
    if WITHOUT_GIL and parent is not None and parent.for_view:
        parent = parent.parent
    lease.parent = parent
    if parent is not None:
        lease.readonly = True
        count_by(&parent.children, 1)
    lease.run = run[0]
    lease.nbytes = nbytes
    lease.mapping = mapping
    return lease


cdef inline _Lease lease_for_view(_Lease lease):
    cdef _Lease made
    if not WITHOUT_GIL:
        return lease
    if lease.for_view:
        lease = lease.parent
    made = _Lease.__new__(_Lease)
    made.parent = lease
    made.readonly = lease.readonly
    made.for_view = True
    made.run = lease.run
    made.nbytes = lease.nbytes
    made.mapping = lease.mapping
    count_by(&lease.views, 1)
    return made


cdef Py_ssize_t users_besides(_Lease lease) noexcept:
    cdef Py_ssize_t users
    if WITHOUT_GIL:
        users = <Py_ssize_t>count_now(&lease.blocks) + count_now(&lease.children) + count_now(&lease.views) - 1
        if lease.parent is not None:
            users += <Py_ssize_t>count_now(&lease.parent.blocks) + count_now(&lease.parent.children)
            users += <Py_ssize_t>count_now(&lease.parent.views) - 1
        return users
    users = Py_REFCNT(<PyObject *>lease) - 1
    if lease.parent is not None:
        users += Py_REFCNT(<PyObject *>lease.parent) - 1
    return users


cdef bint is_unused(_Lease lease) noexcept:
    if WITHOUT_GIL:
        return count_now(&lease.blocks) + count_now(&lease.children) + count_now(&lease.views) == 0
    return Py_REFCNT(<PyObject *>lease) == 1


cdef _Lease lease_run(_Mapping m, const pool_run *run, uint64_t nbytes):
    cdef _Lease lease
    try:
        lease = new_lease(None, None, run, nbytes)
        if m.guard is not None:
            if pool_is_shared(&m.engine):
                issue_run(m, run, nbytes)
            elif not Py_IsFinalizing():  # the guard is Python code; see release_guarded
                m.guard.issue(PyMemoryView_FromObject(m), run.index, run.blocks, nbytes)
            if not pool_is_shared(&m.engine):
                PyTraceMalloc_Track(TRACEMALLOC, <uintptr_t>address_of(m, run.index), nbytes)
        lease.mapping = m
        pool_count(&m.engine, run.blocks, nbytes)
        return lease
    except BaseException:
        if m.guard is not None and not pool_is_shared(&m.engine):
            forget_live(m, run.index)
        undo_allocation(m, run)
        raise


cdef _Lease allocate_lease(_Access access, uint64_t nbytes, timeout):
    cdef _Mapping m = access.opened()
    cdef uint64_t n = 1
    cdef pool_run run
    cdef _Lease lease
    if nbytes > m.engine.block_size:
        n = (nbytes - 1) // m.engine.block_size + 1
    if timeout is ZERO and m.guard is None and is_quick(m, n):
        lease = _Lease.__new__(_Lease)  # first, so that nothing fails after the allocation
        if allocate_quickly(m, n, n * m.engine.block_size - nbytes, &lease.run):
            lease.nbytes = nbytes
            lease.mapping = m
            pool_count(&m.engine, n, nbytes)
            return lease
    cdef double deadline = deadline_of(timeout)
    if n > m.engine.blocks:
        raise count_exhausted(m, n, True)
    allocate_run(access, m, n, n * m.engine.block_size - nbytes, False, deadline, &run)
    return lease_run(m, &run, nbytes)


cdef int release_guarded(_Lease lease) except -1:
    cdef _Mapping m = mapping_taken(lease)
    if m is None:  # the run went back before; see forget_run
        return 0
    if pool_is_shared(&m.engine):
        return release_watched(m, &lease.run, lease.nbytes)
    PyTraceMalloc_Untrack(TRACEMALLOC, <uintptr_t>address_of(m, lease.run.index))
    if Py_IsFinalizing():  # too little of Python is left to run the guard or to raise its errors
        release_run(m, &lease.run, lease.nbytes)
        return 0
    error = None
    try:
        before_locks_in_child()
        error = m.guard.take_back(PyMemoryView_FromObject(m), lease.run.index)
    except BaseException as stopped:  # Ctrl-C, no memory, too deep a recursion: the run comes back all the same
        error = stopped
    forget_live(m, lease.run.index)  # first, as another thread may be given the run at once
    pool_rest(&m.engine, &lease.run, lease.nbytes)
    if error is not None:
        raise error
    return 0


cdef _Mapping mapping_taken(_Lease lease):
    cdef PyObject *taken = take_mapping(lease)
    cdef object m = <object>taken
    Py_DECREF(m)
    return m


cdef int forget_live(_Mapping m, uint64_t index) except -1:
    """Remove the run from the guard's list without running Python code, which a signal could interrupt."""
    (<dict>m.guard.live).pop(index, None)
    return 0


cdef inline void forget_run(_Lease lease) noexcept:
    lease.mapping = None
    if lease.parent is not None:
        lease.parent.mapping = None


cdef users_of(_Lease lease, Py_ssize_t users):
    cdef Py_ssize_t views = count_now(&lease.exports), readers = count_now(&lease.children)
    cdef Py_ssize_t blocks = <Py_ssize_t>count_now(&lease.blocks) - 1
    cdef _Lease parent = lease.parent
    if parent is not None:
        views += count_now(&parent.exports)
        blocks += count_now(&parent.blocks)
        readers += <Py_ssize_t>count_now(&parent.children) - 1
    cdef Py_ssize_t others = users - views - blocks - readers
    return in_words((
        (views, "memoryview or object made from it", "memoryviews or objects made from them"),
        (blocks, "other Block", "other Blocks"),
        (readers, "read-only Block or its views", "read-only Blocks or their views"),
        (others, "array or other object made from it", "arrays or other objects made from it"),
    ))
