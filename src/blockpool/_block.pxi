# Block, and the lease that owns a run once it has views.

@cython.final
@cython.internal
@cython.no_gc
@cython.freelist(64)
cdef class _Lease:
    """A run that has views: the exporter of all of them. The run goes back with it.

    A read-only lease exports the memory of another one, its parent, and keeps that alive.
    """

    cdef _Mapping mapping
    cdef _Lease parent
    cdef pool_run run
    cdef uint64_t nbytes
    # What refers to it, as far as that is known; for messages only.
    cdef uint32_t blocks, children, exports

    def __init__(self):
        raise TypeError("the memory of a block comes from Block.buf")

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.mapping is None:
            raise BufferError("this object has no memory")
        if is_lost(self.mapping):
            raise lost_error(self.mapping)
        PyBuffer_FillInfo(view, self, address_of(self.mapping, self.run.index), self.nbytes,
                          self.parent is not None, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.exports -= 1

    def __repr__(self):
        return f"<memory of blockpool block {self.run.index}>"

    @cython.nonecheck(False)
    def __dealloc__(self):
        if self.parent is not None:
            self.parent.children -= 1
            return
        if self.mapping is None:
            return
        if self.mapping.guard is None:
            give_back(self.mapping, &self.run, self.nbytes)
        else:
            give_back_guarded(self)


cdef int give_back_guarded(_Lease lease) except -1:
    """What give_back does, in debug mode: the run rests first. The lease has none from then on."""
    cdef _Mapping m = lease.mapping
    lease.mapping = None
    PyTraceMalloc_Untrack(DOMAIN, <uintptr_t>address_of(m, lease.run.index))
    m.requested -= lease.nbytes
    m.in_use -= lease.run.blocks
    if Py_IsFinalizing():  # nobody is left to be told, and little of Python to tell it with
        private_pool_release(m.core, lease.run.index, lease.run.blocks)
        return 0
    error = None
    try:
        error = m.guard.take_back(lease.run.index)
    except BaseException as stopped:  # Ctrl-C, or no memory, or no room for a call: the run comes back all the same
        error = stopped
    rest(m, lease.run.index, lease.run.blocks)
    forget_live(m, lease.run.index)
    if error is not None:
        raise error
    return 0


cdef int forget_live(_Mapping m, uint64_t index) except -1:
    """Have the guard no longer list the run, without a call of Python, into which a signal could come."""
    (<dict>m.guard.live).pop(index, None)
    return 0


@cython.nonecheck(False)
cdef inline _Lease new_lease(_Mapping mapping, _Lease parent, const pool_run *run, uint64_t nbytes):
    cdef _Lease lease = _Lease.__new__(_Lease)
    lease.parent = parent
    if parent is not None:
        parent.children += 1
    lease.run = run[0]
    lease.nbytes = nbytes
    lease.mapping = mapping
    return lease


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Block:
    """A run of one or more adjacent blocks of a pool; from `Pool.allocate`.

    The memory comes back when the last of these is gone: this object and its twins (`readonly`), and every view
    of the memory, however it was made. `free` gives it back at once, or says what still uses it.

    All methods may be called from any thread.

    Attributes
    ----------
    nbytes : int
        Length in bytes as asked for: `nbytes` of the allocation, else whole blocks.
    """

    cdef _Mapping mapping
    cdef _Lease lease           # None while this object alone owns the run
    cdef pool_run run
    cdef readonly uint64_t nbytes
    cdef block_state state

    def __init__(self):
        raise TypeError("a Block comes from Pool.allocate()")

    @cython.nonecheck(False)
    def __dealloc__(self):
        if self.lease is not None:
            self.lease.blocks -= 1
        elif state_is_open(&self.state):
            give_back(self.mapping, &self.run, self.nbytes)

    @property
    def index(self):
        """The first block's place in the pool."""
        return self.run.index

    @property
    def blocks(self):
        """Length in blocks."""
        return self.run.blocks

    @property
    def pool(self):
        """The pool of the block."""
        if self.mapping is None:
            raise InvalidBlock("this Block was never allocated; get blocks from Pool.allocate()")
        return pool_object(self.mapping)

    @property
    def address(self):
        """The address of the first byte, a multiple of `Pool.alignment`. Nothing pins the memory for its user."""
        self.require_open()
        return <uintptr_t>address_of(self.mapping, self.run.index)

    @property
    def buf(self):
        """A writable memoryview of `nbytes` bytes; read-only if the block is.

        It, and whatever is made from it (slices, arrays, ctypes objects), keeps the memory allocated.

        Raises
        ------
        InvalidBlock
            If the block was released or freed.
        """
        self.enter()
        try:
            return PyMemoryView_FromObject(self.own_lease())
        finally:
            self.leave()

    def array(self, shape, dtype=None, *, order="C"):
        """Return the memory as an array; read-only if the block is.

        Parameters
        ----------
        shape : int or sequence of int
        dtype : numpy dtype, optional
            Default float64. Types that hold Python objects are refused.
        order : {"C", "F"}

        Returns
        -------
        numpy.ndarray
            It, and whatever is made from it, keeps the memory allocated.

        Raises
        ------
        InvalidBlock
            If the block was released or freed.
        TypeError, ValueError
            If an argument is of the wrong kind, or the block has not so many bytes.
        ImportError
            If there is no NumPy.
        """
        return array_of_block(self, shape, dtype, order)

    @property
    def __array_interface__(self):
        """The bytes as NumPy's array interface has them, so that ``numpy_asarray(block)`` needs no copy.

        The memory is given as an object that keeps it, never as a bare address.
        """
        self.enter()
        try:
            return {"version": 3, "typestr": "|u1", "shape": (self.nbytes,), "data": self.own_lease()}
        finally:
            self.leave()

    def __dlpack_device__(self):
        """The device of DLPack that has the memory: the CPU."""
        return DLPACK_CPU, 0

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """Return the bytes as a DLPack tensor of uint8, for ``from_dlpack`` of NumPy, PyTorch and others.

        Parameters
        ----------
        stream : None
        max_version : tuple of two ints, optional
            The newest version of DLPack that the consumer knows. Only from (1, 0) on can it be told that a block is
            read-only.
        dl_device : tuple of two ints, optional
            Where to; only the CPU, (1, 0).
        copy : bool, optional
            True gives a copy, outside the pool. By default the consumer sees the memory itself, and keeps it allocated.

        Raises
        ------
        InvalidBlock
            If the block was released or freed.
        BufferError
            If the block is read-only and the consumer cannot be told, or another device is asked for.
        TypeError, RuntimeError
            If an argument is of the wrong kind, or a stream is given.
        """
        return dlpack_of(self, stream, max_version, dl_device, copy)

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
        """
        cdef _Lease lease
        cdef Block twin
        self.enter()
        try:
            lease = self.own_lease()
            if lease.parent is None:
                lease = new_lease(self.mapping, lease, &self.run, self.nbytes)
            twin = Block.__new__(Block)
            twin.mapping = self.mapping
            twin.lease = lease
            lease.blocks += 1
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
            If a view, another Block, another process or a ticket still uses the memory. Nothing was changed.
        DoubleFree
            If it was freed before.
        InvalidBlock
            If it was released before.
        """
        if self.mapping is not None and is_lost(self.mapping):
            raise lost_error(self.mapping)
        # Whoever may be dead holds nothing; looked at first, as between begin and end of the freeing no Python may run.
        if self.mapping is not None and self.mapping.attachment != NULL and is_held_elsewhere(self.mapping, &self.run):
            reclaim(self.mapping)
        cdef state_outcome outcome = state_begin_free(&self.state)
        cdef pool_status status = POOL_OK
        cdef Py_ssize_t users = 0
        cdef uint64_t word = 0
        cdef uint32_t extra = 0
        if outcome == STATE_BUSY:
            raise BlockInUse(f"{self.describe()} is in use by another thread at this moment; try again")
        if outcome != STATE_OK:
            self.raise_why(outcome)
        if self.lease is not None:
            users = Py_REFCNT(<PyObject *>self.lease) - 1
            if self.lease.parent is not None:
                users += Py_REFCNT(<PyObject *>self.lease.parent) - 1
        if users == 0:
            if self.mapping.attachment != NULL:
                status = free_shared(self.mapping, &self.run, &word, &extra)
            elif self.lease is None:
                give_back(self.mapping, &self.run, self.nbytes)
        state_end_free(&self.state, users == 0 and status == POOL_OK)
        if users:
            raise BlockInUse(
                f"{self.describe()} still has {users} user{'s' if users > 1 else ''}: {users_of(self.lease, users)}; "
                "drop those first, or call release(), and the last of them frees it"
            )
        if status != POOL_OK:
            refuse_free(self.mapping, &self.run, status, word, extra, self.describe())
        if self.lease is not None:
            if self.mapping.attachment != NULL:
                forget_run(self.lease)
            self.drop()

    def release(self):
        """End the use of this object; the memory comes back when no view and no other Block is left.

        Later calls of this object raise `InvalidBlock`, but releasing again, or after `free`, does nothing.
        """
        self.end_use()

    @property
    def handle(self):
        """The name of the run, by which any process can `redeem` it while somebody holds it. It takes nothing.

        Raises
        ------
        TypeError
            If the pool is private.
        InvalidBlock
            If the block was released or freed.
        """
        self.require_open()
        return handle_of(self.mapping, &self.run, Handle)

    def share(self, n=1):
        """Send `n` references on their way to other processes.

        Parameters
        ----------
        n : int
            How many times the ticket is to be redeemed.

        Returns
        -------
        Ticket
            It can be pickled, and turned into `str` or `bytes`. The memory stays allocated until it was redeemed `n`
            times and all that redeemed it are done, also if this process ends meanwhile.

        Raises
        ------
        TooManyTickets
            If more than 8191 were in flight.
        TypeError
            If the pool is private.
        InvalidBlock
            If the block was released or freed.
        """
        count = as_count(n, "n")
        self.enter()
        try:
            if self.mapping.attachment == NULL:
                raise TypeError("a block of a private pool cannot be shared; make the pool with Pool.create()")
            ticket = handle_of(self.mapping, &self.run, Ticket)
            share_run(self.mapping, &self.run, count)  # last: nothing fails after it
            return ticket
        finally:
            self.leave()

    def __enter__(self):
        self.require_open()
        return self

    def __exit__(self, kind, value, traceback, /):
        # Python holds this object once for the call, and once if `as` gave it a name. Whoever else holds it (a queue
        # that will pickle it later, a list, a generator) still wants it.
        if Py_REFCNT(<PyObject *>self) <= 2:
            self.end_use()

    # A Block is no buffer and has no items, and what expects one is told where they are.

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
        elif self.lease is not None and self.lease.parent is not None:
            state = " (read-only)"
        return f"<blockpool.Block {self.run.index}, blocks={self.run.blocks}, nbytes={self.nbytes}{state}>"

    def __copy__(self):
        raise TypeError(
            "a Block cannot be copied: two owners would share one memory. Assign it (both names are then one Block), "
            "use readonly() for a second one, or copy the bytes: other.buf[:] = block.buf"
        )

    def __deepcopy__(self, memo):
        return self.__copy__()

    def __reduce_ex__(self, protocol):
        return self.sent(None)

    cdef tuple sent(self, list noted):
        """What pickle makes of the block: a call, with a reference in flight that is noted if there is a list."""
        cdef _Mapping m = self.mapping
        if m is None or m.attachment == NULL:
            raise TypeError(
                "a block of a private pool cannot be pickled: no other process can reach its memory. "
                "Send bytes(block.buf) instead"
            )
        try:
            self.enter()
        except InvalidBlock as error:
            raise InvalidBlock(
                f"{error}. If it was put in a queue: that pickles later, so leave the block alone after put()"
            ) from None
        try:
            readonly = self.lease is not None and self.lease.parent is not None
            parts = (*reference_of(m, &self.run), self.nbytes, readonly)
            reduced = receive_block, parts
            send_run(m, &self.run, parts, noted)  # last: nothing fails after it
            return reduced
        finally:
            self.leave()

    cdef describe(self):
        if self.run.blocks == 1:
            return f"block {self.run.index}"
        return f"the run of {self.run.blocks} blocks at {self.run.index}"

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
    cdef int enter(self) except -1:
        if self.mapping is not None and is_lost(self.mapping):
            raise lost_error(self.mapping)
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
                self.lease.blocks += 1
        return self.lease

    @cython.nonecheck(False)
    cdef inline int end_use(self) except -1:
        cdef state_outcome outcome = state_release(&self.state)
        if outcome == STATE_OK:
            return self.drop()
        return self.end_use_later() if outcome == STATE_BUSY else 0

    cdef int end_use_later(self) except -1:
        """End the use when a free in another thread has decided."""
        with nogil:
            os_yield()
        return self.end_use()

    @cython.nonecheck(False)
    cdef inline int drop(self) except -1:
        """End this object's part in the run."""
        cdef _Lease lease = self.lease
        if lease is None:
            give_back(self.mapping, &self.run, self.nbytes)
            return 0
        self.lease = None
        lease.blocks -= 1
        if self.mapping.guard is None:
            return 0
        # In debug mode the run comes back here, where that can raise, and not when `lease` goes.
        if lease.parent is not None and Py_REFCNT(<PyObject *>lease) == 1:
            lease.mapping = None  # a twin's own lease has no run; go on with the one that has
            lease = lease.parent
        return give_back_guarded(lease) if lease.parent is None and Py_REFCNT(<PyObject *>lease) == 1 else 0


@cython.nonecheck(False)
cdef inline void open_block(Block block, _Mapping mapping, const pool_run *run, uint64_t nbytes) noexcept:
    """Make the block the owner of a reference to a run."""
    block.mapping = mapping
    block.run = run[0]
    block.nbytes = nbytes
    state_open(&block.state)


cdef Block hand_out(_Mapping m, const pool_run *run, uint64_t nbytes):
    """A Block of a run that was claimed; if it cannot be made, the run goes back."""
    cdef Block block
    cdef _Lease lease
    try:
        block = Block.__new__(Block)
        if m.guard is not None:
            lease = new_lease(None, None, run, nbytes)
            if not Py_IsFinalizing():  # as in give_back_guarded
                m.guard.issue(run.index, run.blocks, nbytes)
            lease.mapping = m
            block.lease = lease
            lease.blocks += 1
            PyTraceMalloc_Track(DOMAIN, <uintptr_t>address_of(m, run.index), nbytes)
        open_block(block, m, run, nbytes)
        count_allocation(m, run.blocks, nbytes)
        return block
    except BaseException:
        if m.guard is not None:
            forget_live(m, run.index)
        unclaim(m, run)
        raise


cdef void unclaim(_Mapping m, const pool_run *run) noexcept:
    """Give back a run that was claimed and never counted."""
    if m.attachment != NULL:
        give_back_shared(m, run)
    else:
        private_pool_release(m.core, run.index, run.blocks)


cdef users_of(_Lease lease, Py_ssize_t users):
    """What uses the memory of a Block's lease besides that Block, in words; so many refer to it in all."""
    cdef Py_ssize_t views = lease.exports, blocks = lease.blocks - 1, readers = lease.children
    cdef _Lease parent = lease.parent
    if parent is not None:
        views += parent.exports
        blocks += parent.blocks
        readers += parent.children - 1
    return listed((
        (views, "memoryview or what was made from it", "memoryviews or what was made from them"),
        (blocks, "other Block", "other Blocks"),
        (readers, "read-only Block or its views", "read-only Blocks or their views"),
        (users - views - blocks - readers, "array or other object made of it", "arrays or other objects made of it"),
    ))


cdef listed(counted):
    """A list in words of (how many, what one is, what more are)."""
    return ", ".join([f"{n} {one if n == 1 else more}" for n, one, more in counted if n > 0])


cdef inline void forget_run(_Lease lease) noexcept:
    """The run of the lease, if there is one, went back already."""
    if lease is not None:
        lease.mapping = None
        if lease.parent is not None:
            lease.parent.mapping = None
