# See block.pxd.

# The function that the pickle of a Block calls; see name_receiver().
cdef object receive_block = None


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Block:
    """A run of one or more adjacent blocks of a pool; from `Pool.allocate`.

    The memory comes back when the last of these is gone: this object and its twins (`readonly`), and every view of the
    memory, however it was made. `free` gives it back at once, or says what still uses it.

    Attributes
    ----------
    nbytes : int
        Length in bytes, as asked for: `nbytes` of the allocation, or whole blocks.

    Notes
    -----
    Thread safety: all methods may be called from any thread.

    Process safety: a block of a private pool belongs to one process; a forked child gets a copy. A block of a shared
    pool can be sent to other processes: pickle it, or send its `handle` or a ticket (`share`).

    A block used as a context manager is released at the end of its ``with``, unless something besides the ``with`` and
    one name refers to it.
    """

    def __init__(self):
        raise TypeError("a Block comes from Pool.allocate()")

    @cython.nonecheck(False)
    def __dealloc__(self):
        cdef PyObject *m = <PyObject *>self.mapping
        if self.lease is not None:
            count_by(&self.lease.blocks, -1)
        elif state_is_open(&self.state):
            release_run(<_Mapping>m, &self.run, self.nbytes)
        let_mapping_go(self)

    @property
    def index(self):
        """The number of the run's first block in the pool."""
        return self.run.index

    @property
    def blocks(self):
        """Length in blocks."""
        return self.run.blocks

    @property
    def pool(self):
        """The pool that the block is from; an open Pool object if there is one.

        Raises
        ------
        InvalidBlock
            If this object was never allocated.
        """
        if self.mapping is None:
            raise InvalidBlock("this Block was never allocated; get blocks from Pool.allocate()")
        return owner_of(self.mapping)

    @property
    def address(self):
        """The address of the first byte in this process, a multiple of `Pool.alignment`.

        An address does not keep the memory allocated.

        Raises
        ------
        InvalidBlock
            If the block was released or freed.
        PoolClosed, TooManyProcesses, PoolBusy
            If this process is a forked child without a part in the pool (see Notes of `Pool`).
        """
        self.require_open()
        return <uintptr_t>address_of(self.mapping, self.run.index)

    @property
    def buf(self):
        """A writable memoryview of `nbytes` bytes; read-only if the block is.

        The view, and whatever is made from it (slices, arrays, ctypes objects), keeps the memory allocated.

        Raises
        ------
        InvalidBlock
            If the block was released or freed.
        PoolClosed, TooManyProcesses, PoolBusy
            If this process is a forked child without a part in the pool (see Notes of `Pool`).
        """
        self.enter()
        try:
            return PyMemoryView_FromObject(self.view_lease())
        finally:
            self.leave()

    @property
    def note(self):
        """Up to 120 bytes that belong to the memory, beside it: a time, a camera, a shape; ``b""`` if there are none.

        Every holder of the run can set and read it: it goes with the run through queues, pickles, tickets, names and
        forks, and ends with it. It can be set to any bytes-like object; ``b""`` takes it away.

        Raises
        ------
        InvalidBlock
            If the block was released or freed.
        PoolClosed, TooManyProcesses, PoolBusy
            If this process is a forked child without a part in the pool (see Notes of `Pool`). `PoolBusy` also if
            another process has been setting the note for 5 seconds, as one does that is stopped in the middle.
        TypeError, ValueError
            If it is set through a read-only Block, or to what is not bytes-like or has more than 120 bytes.
        PoolExhausted
            If there is no memory for it: notes of a shared pool take it once they are set, 4 KiB for each 30 blocks.
        OSError
            If the kernel refuses that memory for another reason.

        Notes
        -----
        Setting is one step: a reader meanwhile gets the old note, the new one, or ``b""``, never a part of one. If
        the process is killed in it, there is no note.
        """
        cdef _Lease owner
        self.enter()
        try:
            if pool_is_shared(&self.mapping.engine):
                return note_of(self.mapping, &self.run)
            with cython.critical_section(self):
                owner = self.lease
            if owner is None:
                return b""
            if owner.parent is not None:
                owner = owner.parent
            with cython.critical_section(owner):
                return b"" if owner.note is None else owner.note
        finally:
            self.leave()

    @note.setter
    def note(self, value):
        cdef bytes note = as_note(value)
        cdef _Lease owner
        self.enter()
        try:
            if self.is_readonly():
                raise TypeError(f"this Block of {self.describe()} is read-only, and so is its note")
            if pool_is_shared(&self.mapping.engine):
                set_note(self.mapping, &self.run, note)
                return
            owner = self.own_lease()
            with cython.critical_section(owner):
                owner.note = note
        finally:
            self.leave()

    @note.deleter
    def note(self):
        raise AttributeError('a note cannot be deleted; set it to b"" to take it away')

    def array(self, shape, dtype=None, *, order="C"):
        """Return the memory as an array; it is read-only if the block is.

        Parameters
        ----------
        shape : int or sequence of int
            Length of each dimension, in elements. The array may be shorter than the block.
        dtype : numpy dtype, optional
            The default is float64. Types whose elements are pointers (Python objects, ``StringDType``) are refused.
        order : {"C", "F"}
            Row-major or column-major.

        Returns
        -------
        numpy.ndarray
            It, and whatever is made from it, keeps the memory allocated.

        Raises
        ------
        InvalidBlock
            If the block was released or freed.
        PoolClosed, TooManyProcesses, PoolBusy
            If this process is a forked child without a part in the pool (see Notes of `Pool`).
        TypeError, ValueError
            If an argument has the wrong type or is out of range, or the array needs more than `nbytes` bytes.
        ImportError
            If NumPy cannot be imported.
        RuntimeError
            If NumPy is first needed while the interpreter is shutting down.
        """
        cdef form wanted
        cdef int flags = flags_of(order)
        form_of(shape, dtype, &wanted)
        try:
            if wanted.nbytes > self.nbytes:
                raise ValueError(
                    f"an array of shape {shape!r:.60} and {<object>wanted.descr} takes {wanted.nbytes} bytes; "
                    f"{self.describe()} has {self.nbytes}"
                )
            self.enter()
        except BaseException:
            Py_DECREF(<object>wanted.descr)
            raise
        try:
            return array_on(self.view_lease(), &wanted, 0, NULL, flags)
        finally:
            self.leave()

    @property
    def __array_interface__(self):
        """The bytes of the block in NumPy's array interface, so that ``numpy.asarray(block)`` needs no copy.

        The memory is given as an object that keeps it, never as a bare address.
        """
        self.enter()
        try:
            return {"version": 3, "typestr": "|u1", "shape": (self.nbytes,), "data": self.view_lease()}
        finally:
            self.leave()

    def __dlpack_device__(self):
        """Return DLPack's name for the device that has the memory: the CPU, (1, 0)."""
        return DLPACK_CPU, 0

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """Return the bytes as a DLPack tensor of uint8, for ``from_dlpack`` of NumPy, PyTorch and others.

        Parameters
        ----------
        stream : None
            A block has none.
        max_version : tuple of two ints, optional
            The newest version of DLPack that the consumer knows. Only from (1, 0) on can it be told that a block is
            read-only.
        dl_device : tuple of two ints, optional
            The device to put it on; only the CPU, (1, 0), is supported.
        copy : bool, optional
            True gives a copy outside the pool. Otherwise the consumer sees the memory itself, and keeps it allocated.

        Returns
        -------
        capsule
            A ``dltensor``, or from `max_version` (1, 0) on a ``dltensor_versioned``; of shape (`nbytes`,).

        Raises
        ------
        InvalidBlock
            If the block was released or freed.
        PoolClosed, TooManyProcesses, PoolBusy
            If this process is a forked child without a part in the pool (see Notes of `Pool`).
        BufferError
            If the block is read-only and the consumer cannot be told, or another device is asked for.
        TypeError, RuntimeError
            If an argument has the wrong type, or a stream is given.
        """
        cdef bint versioned = takes_versions(stream, max_version, dl_device, copy)
        self.enter()
        try:
            return dlpack_of(self.view_lease(), self.describe(), versioned, copy)
        finally:
            self.leave()

    def readonly(self):
        """Return another Block of the same memory whose views are read-only.

        Returns
        -------
        Block
            Writing to its views raises TypeError. It keeps the memory as any Block does, so `free` of either raises
            `BlockInUse` until the other is released.

        Raises
        ------
        InvalidBlock
            If the block was released or freed.
        PoolClosed, TooManyProcesses, PoolBusy
            If this process is a forked child without a part in the pool (see Notes of `Pool`).
        """
        cdef _Lease lease
        cdef Block twin
        self.enter()
        try:
            lease = self.own_lease()
            if lease.parent is None:
                lease = new_lease(self.mapping, lease, &self.run, self.nbytes)
            twin = Block.__new__(Block)
            hold_mapping_of(twin, self)
            twin.lease = lease
            count_by(&lease.blocks, 1)
            twin.run = self.run
            twin.nbytes = self.nbytes
            state_open(&twin.state)
            return twin
        finally:
            self.leave()

    @cython.nonecheck(False)
    def free(self):
        """Give the memory back now; this was the last use.

        Raises
        ------
        BlockInUse
            If a view, another Block, another process or a ticket still uses the memory, or another thread is using the
            block at this moment. Nothing was changed.
        DoubleFree
            If it was freed before.
        InvalidBlock
            If it was released before.
        PoolClosed, TooManyProcesses, PoolBusy
            If this process is a forked child without a part in the pool (see Notes of `Pool`).
        BlockOverrun
            In debug mode, if something wrote past `nbytes`. The memory was given back all the same.
        PoolCorrupt
            If something wrote over the bookkeeping of a shared pool.
        """
        # not is_lost(): the reference that a call takes would be one to what all threads share
        if self.mapping is not None and pool_is_lost(&self.mapping.engine):
            raise lost_error(&self.mapping.engine, self.mapping.name)
        # A dead process holds nothing. This comes first: between begin and end of the free, no Python code may run.
        if self.mapping is not None and pool_is_held_elsewhere(&self.mapping.engine, &self.run):
            reclaim(self.mapping, False)
        cdef state_outcome outcome = state_begin_free(&self.state)
        cdef pool_status status = POOL_OK
        cdef Py_ssize_t references = 0
        cdef PyObject *lease
        cdef pool_users users
        cdef bint shared
        if outcome == STATE_BUSY:
            raise BlockInUse(f"{self.describe()} is in use by another thread right now; try again")
        if outcome != STATE_OK:
            self.raise_why(outcome)
        shared = pool_is_shared(&self.mapping.engine)
        if self.lease is not None:
            if shared and self.mapping.guard is not None:
                state_end_free(&self.state, False)
                self.free_watched()
                return
            lease = <PyObject *>self.lease
            references = users_besides(<_Lease>lease)
        if references == 0 and (shared or self.lease is None):
            status = pool_free(&self.mapping.engine, &self.run, self.nbytes, &users)
        state_end_free(&self.state, references == 0 and status == POOL_OK)
        if unlikely(references != 0 or status != POOL_OK):
            self.require_freed(references, status, &users)
        if self.lease is not None:
            if shared:
                forget_run(self.lease)
            self.drop()

    def release(self):
        """Finish using this object; the memory comes back when no view and no other Block is left.

        Later calls of this object raise `InvalidBlock`, but releasing it again, or after `free`, does nothing.

        Raises
        ------
        BlockOverrun
            In debug mode, if something wrote past `nbytes`. The memory was given back all the same.
        """
        self.end_use()

    @property
    def handle(self):
        """The name of the run, with which any process can `redeem` it while some process holds it.

        A handle takes no reference.

        Raises
        ------
        TypeError
            If the pool is private.
        InvalidBlock
            If the block was released or freed.
        PoolClosed, TooManyProcesses, PoolBusy
            If this process is a forked child without a part in the pool (see Notes of `Pool`).
        """
        self.require_open()
        return handle_of(self.mapping, &self.run, Handle)

    def share(self, n=1, *, lifetime=None):
        """Put `n` references in flight to other processes.

        Parameters
        ----------
        n : int
            How many times the ticket is to be redeemed; at least 1.
        lifetime : float, optional
            Seconds after which the references may be dropped, as if they had been redeemed and released: when a call
            needs the room, or `Pool.recover` is called. At most 10**9. The default is the pool's `ticket_lifetime`.

        Returns
        -------
        Ticket
            It can be pickled, and turned into `str` or `bytes`. The memory stays allocated until the ticket was
            redeemed `n` times and all that redeemed it are done, even if this process ends before that; or until its
            lifetime is over.

        Raises
        ------
        TooManyTickets
            If more than 8191 references to the run would be in flight.
        TypeError
            If the pool is private, `n` is not an int, or `lifetime` is not a number.
        ValueError
            If `n` is less than 1, or `lifetime` is not a possible one.
        InvalidBlock
            If the block was released or freed.
        PoolClosed, TooManyProcesses, PoolBusy
            If this process is a forked child without a part in the pool (see Notes of `Pool`).
        PoolCorrupt
            If something wrote over the pool's bookkeeping.
        PoolExhausted, OSError
            If this is the first lifetime in a pool without one, and the kernel gives no memory to keep lifetimes: 8
            bytes for each block of the pool.

        Notes
        -----
        References to one run are not told apart: they end together, when the last of their lifetimes is over. Lifetimes
        count in whole seconds, and may be up to two seconds longer.
        """
        count = as_count(n, "n")
        cdef double seconds = as_lifetime(lifetime, "lifetime")
        self.enter()
        try:
            if not pool_is_shared(&self.mapping.engine):
                raise TypeError("a block of a private pool cannot be shared; create the pool with Pool.create()")
            ticket = handle_of(self.mapping, &self.run, Ticket)
            if lifetime is None:  # last, so that nothing fails after it
                share_run(self.mapping, &self.run, count)
            else:
                share_run_for(self.mapping, &self.run, count, seconds)
            return ticket
        finally:
            self.leave()

    def __enter__(self):
        self.require_open()
        return self

    def __exit__(self, kind, value, traceback, /):
        # Two references are the `with`'s own and the name after `as`, if any. Anything else that has one (a queue that
        # will pickle the block later, a list, a `return`) still needs it.
        if not has_more_references(<PyObject *>self, 2):
            self.end_use()

    # A Block is not a buffer and has no items: these say where to find them.

    def __getbuffer__(self, Py_buffer *view, int flags):
        raise TypeError("a Block is not itself a buffer; use block.buf, a memoryview of its memory")

    def __bytes__(self):
        raise TypeError("a Block is not itself a buffer; use bytes(block.buf)")

    def __len__(self):
        raise TypeError("a Block has no len(); use block.nbytes for bytes, or block.blocks for blocks")

    def __bool__(self):
        return True

    def __repr__(self):
        cdef str state = ""
        if not state_is_open(&self.state):
            state = " (no longer valid)"
        elif self.is_readonly():
            state = " (read-only)"
        return f"<blockpool.Block {self.run.index}, blocks={self.run.blocks}, nbytes={self.nbytes}{state}>"

    def _repr_html_(self):
        """Return what a notebook shows, as HTML. It changes nothing, and never raises."""
        return notebook_view(self)

    def __copy__(self):
        raise TypeError(
            "a Block cannot be copied: two owners would share the same memory. Assign it (both names are then one "
            "Block), use readonly() for a second Block, or copy the bytes: other.buf[:] = block.buf"
        )

    def __deepcopy__(self, memo):
        return self.__copy__()

    def __reduce_ex__(self, protocol):
        return self.sent(None)

    cdef tuple sent(self, list noted):
        """What pickle makes of the block; see block.pxd."""
        cdef _Mapping m = self.mapping
        if m is None or not pool_is_shared(&m.engine):
            raise TypeError(
                "a block of a private pool cannot be pickled: no other process can reach its memory. "
                "Send bytes(block.buf) instead"
            )
        try:
            self.enter()
        except InvalidBlock as error:
            raise InvalidBlock(
                f"{error}. If it was put in a queue: that pickles later, so don't release or free a block after put()"
            ) from None
        try:
            readonly = self.is_readonly()
            parts = (*reference_of(m, &self.run), self.nbytes, readonly)
            reduced = receive_block, parts
            send_run(m, &self.run, parts, noted)  # last, so that nothing fails after it
            return reduced
        finally:
            self.leave()

    cdef describe(self):
        if self.run.blocks == 1:
            return f"block {self.run.index}"
        return f"the run of {self.run.blocks} blocks at {self.run.index}"

    cdef int require_freed(self, Py_ssize_t references, pool_status status, const pool_users *users) except -1:
        """Raise why a free was refused, if it was."""
        if references:
            raise BlockInUse(
                f"{self.describe()} still has {references} user{'s' if references > 1 else ''}: "
                f"{users_of(self.lease, references)}; "
                "drop those first, or call release(), and the last of them frees it"
            )
        if status == POOL_IN_USE:
            raise in_use_error(&self.mapping.engine, users, self.describe())
        if status != POOL_OK:
            raise_run_failure(&self.mapping.engine, self.mapping.name, status, self.run.index)
        return 0

    cdef int free_watched(self) except -1:
        """`free` in a shared pool in debug mode. What can run Python code, and so fail, comes first and last."""
        cdef site_caller caller
        cdef site_finding finding
        cdef pool_users users
        cdef pool_status status = POOL_OK
        cdef Py_ssize_t references
        cdef _Lease lease
        cdef PyObject *counted
        cdef bint sound = True
        error = found = None
        caller.thread = caller.length = 0
        caller.text = NULL
        try:
            found = caller_of(self.mapping, &caller)
        except BaseException as stopped:  # the run comes back all the same, as in a private pool
            error = stopped
        if is_lost(self.mapping):
            raise lost_error(&self.mapping.engine, self.mapping.name)
        cdef state_outcome outcome = state_begin_free(&self.state)
        if outcome == STATE_BUSY:
            raise BlockInUse(f"{self.describe()} is in use by another thread right now; try again")
        if outcome != STATE_OK:
            self.raise_why(outcome)
        counted = <PyObject *>self.lease
        references = users_besides(<_Lease>counted)
        if references == 0:
            status = pool_free_watched(&self.mapping.engine, &self.run, &caller, &users, &finding)
            sound = finding.found == SITE_SOUND
        state_end_free(&self.state, references == 0 and status == POOL_OK)
        if references == 0 and status == POOL_OK:  # drop() would no longer be inlined in free()
            lease = self.lease
            forget_run(lease)
            with cython.critical_section(self):
                self.lease = None
            count_by(&lease.blocks, -1)
        if error is not None:
            raise error
        self.require_freed(references, status, &users)
        if not sound and not Py_IsFinalizing():
            raise finding_error(self.mapping, &finding, found)
        return 0

    cdef int watch(self) except -1:
        """In debug mode, give the block the lease that it has from the start there; see lease.pxd."""
        if self.mapping.guard is not None:
            self.own_lease()
        return 0

    cdef int raise_why(self, state_outcome outcome) except -1:
        if outcome == STATE_FREED:
            raise DoubleFree(f"{self.describe()} was freed before; drop this object, and allocate a new one")
        if self.mapping is None:
            raise InvalidBlock("this Block was never allocated; get blocks from Pool.allocate()")
        raise InvalidBlock(
            f"this object of {self.describe()} was released, by release() or at the end of `with`; "
            "drop it, and allocate a new one"
        )

    @cython.nonecheck(False)
    cdef inline int require_open(self) except -1:
        if not state_is_open(&self.state) or is_lost(self.mapping):
            self.enter()
            self.leave()
        return 0

    @cython.nonecheck(False)
    cdef bint is_in(self, _Mapping m) noexcept:
        return self.mapping is m and state_is_open(&self.state) and not is_lost(m)

    cdef int enter(self) except -1:
        if self.mapping is not None and is_lost(self.mapping):
            raise lost_error(&self.mapping.engine, self.mapping.name)
        cdef state_outcome outcome = state_enter(&self.state)
        while outcome == STATE_BUSY:
            with nogil:
                os_yield()
            outcome = state_enter(&self.state)
        if outcome == STATE_OK:
            return 0
        if outcome == STATE_FREED:
            raise InvalidBlock(f"{self.describe()} was freed; drop this object, and allocate a new one")
        return self.raise_why(outcome)

    @cython.nonecheck(False)
    cdef int leave(self) except -1:
        if state_leave(&self.state):
            self.drop()
        return 0

    @cython.nonecheck(False)
    cdef _Lease own_lease(self):
        with cython.critical_section(self):
            if self.lease is None:
                self.lease = new_lease(self.mapping, None, &self.run, self.nbytes)
                count_by(&self.lease.blocks, 1)
        return self.lease

    @cython.nonecheck(False)
    cdef inline _Lease view_lease(self):
        return lease_for_view(self.own_lease())

    cdef bint is_readonly(self):
        cdef _Lease lease
        with cython.critical_section(self):
            lease = self.lease
        return lease is not None and lease.readonly

    @cython.nonecheck(False)
    cdef inline int end_use(self) except -1:
        cdef state_outcome outcome = state_release(&self.state)
        if outcome == STATE_OK:
            return self.drop()
        return self.end_use_later() if outcome == STATE_BUSY else 0

    cdef int end_use_later(self) except -1:
        """End the use when a free() in another thread has decided."""
        with nogil:
            os_yield()
        return self.end_use()

    @cython.nonecheck(False)
    cdef inline int drop(self) except -1:
        """Give up this object's part in the run."""
        cdef PyObject *m = <PyObject *>self.mapping  # Cython would count a reference for the call
        if self.lease is not None:
            return self.drop_lease()
        release_run(<_Mapping>m, &self.run, self.nbytes)
        return 0

    cdef int drop_lease(self) except -1:
        """The same for a Block with a lease."""
        cdef _Lease lease
        with cython.critical_section(self):
            lease = self.lease
            self.lease = None
        count_by(&lease.blocks, -1)
        if self.mapping.guard is None:
            return 0
        # In debug mode the run comes back here, where errors can be raised, and not when `lease` is destroyed.
        if lease.parent is not None and is_unused(lease):
            mapping_taken(lease)  # the lease of a read-only twin owns no run; go on with the one that does
            lease = lease.parent
        return release_guarded(lease) if lease.parent is None and is_unused(lease) else 0


@cython.nonecheck(False)
cdef inline void open_block(Block block, _Mapping mapping, const pool_run *run, uint64_t nbytes) noexcept:
    """Make the block the owner of one reference to a run."""
    hold_mapping(block, mapping)
    block.run = run[0]
    block.nbytes = nbytes
    state_open(&block.state)


@cython.nonecheck(False)
cdef inline void open_block_kept(
    Block block, _Mapping mapping, PyObject *kept_by, const pool_run *run, uint64_t nbytes
) noexcept:
    hold_mapping_by(block, mapping, kept_by)
    block.run = run[0]
    block.nbytes = nbytes
    state_open(&block.state)


cdef Block block_of_run(_Mapping m, const pool_run *run, uint64_t nbytes):
    cdef Block block
    cdef _Lease lease = None
    try:
        block = Block.__new__(Block)
        if m.guard is None:
            open_block(block, m, run, nbytes)
            pool_count(&m.engine, run.blocks, nbytes)
            return block
    except BaseException:
        undo_allocation(m, run)
        raise
    lease = lease_run(m, run, nbytes)  # gives the run back if it fails
    block.lease = lease
    count_by(&lease.blocks, 1)
    open_block(block, m, run, nbytes)
    return block


cdef object owner_of(_Mapping m):
    return pool_object(m)


# --- redeeming ---

cdef Block block_redeemed(_Mapping m, uint64_t index, uint64_t generation, bint flying):
    cdef Block block = Block.__new__(Block)  # first, so that nothing fails once this process holds the run
    cdef pool_run run
    if is_lost(m):
        raise lost_error(&m.engine, m.name)
    run.index = index
    run.generation = generation
    redeem_run(m, &run, flying)
    open_block(block, m, &run, pool_run_bytes(&m.engine, &run))
    block.watch()
    return block


def redeem(handle, /):
    """Take the run that a handle or ticket names, in any process, attaching its pool if need be.

    Parameters
    ----------
    handle : Handle, Ticket, str or bytes
        What `Block.handle` or `Block.share` returned, or its text.

    Returns
    -------
    Block
        A Block of the same memory, with the same `nbytes`. A ticket gives it one of its references; with none left, and
        for a handle, it takes a new one.

    Raises
    ------
    StaleHandle
        If the run was freed: nothing held it any more, perhaps because the ticket's lifetime was over.
    PoolNotFound
        If the pool is gone, another pool has its name, or it is out of this process's sight.
    TypeError, ValueError
        If `handle` is not a handle or ticket.
    PoolForbidden, PoolVersion, PoolCorrupt, PoolExhausted, TooManyProcesses, PoolBusy, OSError
        If the pool cannot be attached; as for `Pool.attach`.

    Notes
    -----
    May be called from any thread. If two processes redeem the last reference of a ticket at the same time, the other
    one gets a reference of its own as long as the run is held, and `StaleHandle` otherwise.
    """
    handle = Handle.parse(handle)
    return block_redeemed(mapping_of_handle(handle, None), handle.index, handle.generation, isinstance(handle, Ticket))


def _receive_block(pool_id, index, generation, process, name, nbytes, readonly, /):
    """Unpickle a Block."""
    cdef Block block = Block.__new__(Block)
    cdef pool_run run
    cdef _Mapping m = receive_run(pool_id, index, generation, process, name, &run)
    open_block(block, m, &run, pool_run_bytes(&m.engine, &run))
    block.nbytes = number_field("length", nbytes, 1, run.blocks * m.engine.block_size)
    block.watch()
    if not flag_field("readonly", readonly):
        return block
    twin = block.readonly()
    block.release()
    return twin


def name_receiver(function, /):
    """Set the function that pickles of a Block call."""
    global receive_block
    receive_block = function


def _send_block(Block block not None):
    """Pickle a Block; puts a reference in flight."""
    return block.sent(None)


copyreg.pickle(Block, _send_block)  # faster than __reduce_ex__, as pickle looks here first
