# See pool.pxd.

cdef class Pool:
    """Pool(block_size, blocks=None, *, buffer=None, prefault=False, huge_pages=False, debug=None)
--

    A contiguous piece of memory, cut into blocks of one size.

    The constructor makes a pool that is private to this process; `create` and `attach` give pools that processes share.
    They make objects of the class that they are called on, as unpickling does, but do not call its `__init__`, which is
    how a private pool is made: what a subclass needs in every pool it sets in `__new__`.

    Parameters
    ----------
    block_size : int or str
        Bytes of a block, a multiple of 8: an int, or a string such as ``"4KiB"``.
    blocks : int, optional
        How many blocks. Without it, as many as fit in `buffer`.
    buffer : writable contiguous buffer, optional
        Memory to use instead of reserving some. Its address must be a multiple of 8. It stays exported until the
        pool, its blocks and their views are gone.
    prefault : bool
        Have the kernel make every page present now, so that no later access has to wait for it. Without it pages come
        at their first use.
    huge_pages : bool
        Ask the kernel for huge pages; `residency` tells what it gave.
    debug : bool, optional
        Look for misuse at some cost: memory is filled with patterns, slack after `nbytes` is checked at free, freed
        memory at reuse and at close, freed runs rest before they are used again, and every allocation remembers its
        stack (`outstanding`) and is known to `tracemalloc`, in the domain `TRACEMALLOC_DOMAIN`. Default: as ``python -X
        dev`` or the environment variable ``BLOCKPOOL_DEBUG`` say.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.
    PoolExhausted
        If the machine, or this process's cgroup, has not so much memory.

    Notes
    -----
    All methods may be called from any thread. A forked child has its own copy (copy-on-write) of a private pool and of
    what is allocated in it.

    Examples
    --------
    >>> import blockpool
    >>> pool = blockpool.Pool("4KiB", 16)
    >>> with pool.allocate(nbytes=5) as block:
    ...     block.buf[:] = b"hello"
    ...     bytes(block.buf)
    b'hello'
    """

    def __init__(self, block_size, blocks=None, *, buffer=None, prefault=False, huge_pages=False, debug=None, **others):
        if others:
            refuse_keyword("Pool", others, "Pool.create", ("name", "exist_ok", "permanent", "on_fork"))
        if self.mapping is not None:
            raise ValueError("this Pool is open already; make a new one")
        cdef _Mapping m = _Mapping.__new__(_Mapping)
        cdef bint guarded
        size = as_block_size(block_size)
        if blocks is not None:
            blocks = as_count(blocks, "blocks")
        if buffer is not None and (prefault or huge_pages):
            raise ValueError("prefault and huge_pages are for memory that the pool reserves itself, not for buffer=")
        guarded = is_debug(debug)
        open_private(m, size, blocks, buffer, bool(prefault), bool(huge_pages), guarded)
        if guarded:
            require_imports("pools in debug mode")
            from blockpool._debug import Guard

            m.guard = Guard(size)
        adopt(self, m)

    @classmethod
    @cython.embedsignature(False)
    def create(
        cls, block_size, blocks, *, name=None, exist_ok=False, permanent=False, prefault=False, on_fork=None,
        **others
    ):
        """create($type, /, block_size, blocks, *, name=None, exist_ok=False, permanent=False, prefault=False,
    on_fork=None)
--

        Make a pool that processes share.

        Parameters
        ----------
        block_size : int or str
            Bytes of a block, a multiple of 8.
        blocks : int
            How many blocks, at most 2**24.
        name : str, optional
            Name by which others `attach`: 1 to 180 letters, digits, ``_``, ``-`` and ``.``. Without one, the pool is
            reached by fork, and by passing the pool, a block or a ticket.
        exist_ok : bool
            Attach the pool of that name if there is one, of the same geometry.
        permanent : bool
            Keep the pool until `unlink`. Without it, a pool ends when its last process leaves.
        prefault : bool
            Have the kernel map every page into this process now.
        on_fork : {"share", "detach"}, optional
            Whether a forked child has its part in the pool, with a reference to all that its parent holds; or none.
            Default "share". Processes that attach the pool do likewise unless they say otherwise.

        Returns
        -------
        Pool

        Raises
        ------
        PoolExists
            If there is a pool of that name, or with `exist_ok` one of another geometry; or a file that is no pool.
        PoolExhausted
            If there is not so much shared memory.
        PoolForbidden
            If the name is another user's.
        PoolBusy
            If another process keeps everybody waiting, a stopped one perhaps.
        TypeError, ValueError
            If an argument is of the wrong kind or out of range.

        Notes
        -----
        Up to 47 processes can be attached at a time. What a process held when it died, whatever it died of, comes back
        by itself.
        """
        if others:
            refuse_keyword("Pool.create", others, "Pool", ("buffer", "huge_pages", "debug"))
        owner = cls.__new__(cls)
        adopt(<Pool?>owner, create_shared(block_size, blocks, name, exist_ok, permanent, prefault, on_fork))
        return owner

    @classmethod
    def attach(cls, name, *, on_fork=None):
        """Attach the shared pool of that name.

        Parameters
        ----------
        name : str
        on_fork : {"share", "detach"}, optional
            Whether children that this process forks have a part in the pool. Default: as the pool was made, or as this
            process has attached it before.

        Returns
        -------
        Pool

        Raises
        ------
        PoolNotFound
            If there is no such pool.
        PoolCorrupt
            If what has the name is no pool, or damaged.
        PoolVersion
            If it was made by another release of blockpool, whose pools are laid out differently.
        PoolForbidden
            If it is another user's.
        TooManyProcesses
            If 47 processes are attached already.
        PoolBusy
            If another process keeps everybody waiting.
        ValueError
            If this process has attached the pool before, with another `on_fork`.
        """
        owner = cls.__new__(cls)
        adopt(<Pool?>owner, agreed(attach_named(name, as_on_fork(on_fork)), on_fork))
        return owner

    def unlink(self):
        """Remove the name of a shared pool. Who is attached goes on; nobody else can attach.

        It works after `close` as well. A pool that is not permanent may have ended then, and its name with it: that is
        as if this call had removed it. Another pool that has the name by now is left alone; see `blockpool.unlink`.

        Raises
        ------
        PoolNotFound
            If the name was removed before, or the pool has none.
        """
        unlink_pool(self)

    def recover(self, *, tickets_older_than=None):
        """Bring back what dead processes held. Allocation does this by itself when the pool is full.

        Parameters
        ----------
        tickets_older_than : float, optional
            Also drop the tickets of every run whose newest one is older than so many seconds: their receivers are gone.

        Returns
        -------
        Recovered
            How many processes were found dead, and how many tickets dropped.
        """
        cdef _Mapping m = self.opened()
        cdef double age = -1
        if tickets_older_than is not None:
            age = number_of_seconds("tickets_older_than", tickets_older_than, "")
            if not age >= 0:
                raise ValueError(f"tickets_older_than must be 0 or more seconds, not {tickets_older_than!r:.60}")
        return recover_pool(m, age)

    @property
    def name(self):
        """The name under which processes attach the pool; None if it is private or has none."""
        return self.kept_name

    @property
    def block_size(self):
        """Bytes of a block."""
        return self.opened().engine.block_size

    @property
    def blocks(self):
        """How many blocks the pool has, allocated or not."""
        return self.opened().engine.blocks

    @property
    def nbytes(self):
        """Bytes of all blocks together."""
        cdef _Mapping m = self.opened()
        return m.engine.blocks * m.engine.block_size

    @property
    def address(self):
        """The address of block 0."""
        return <uintptr_t>self.opened().engine.data

    @property
    def alignment(self):
        """What the address of every block is a multiple of.

        The largest power of two that divides the block size and the address of the pool, at most 4096. A pool that
        reserves its own memory starts on a page, so there it depends on the block size alone: 64 for blocks of 64, 192,
        320 bytes.
        """
        return self.opened().alignment

    @property
    def debug(self):
        """Whether the pool is in debug mode."""
        return self.guard is not None

    @property
    def closed(self):
        """Whether `close` was called."""
        return self.mapping is None

    @cython.nonecheck(False)
    @cython.embedsignature(False)
    def allocate(self, given=ABSENT, second=ABSENT, third=ABSENT, /, *, blocks=None, nbytes=None, timeout=0):
        """allocate($self, /, *, blocks=None, nbytes=None, timeout=0)
--

        Allocate one block, or a run of adjacent blocks.

        Parameters
        ----------
        blocks : int, optional
            Length of the run in blocks. Default 1.
        nbytes : int or str, optional
            Length in bytes, instead of `blocks`: the run has as many blocks as that takes, and the Block remembers
            `nbytes`.
        timeout : float or None
            Seconds to wait for room; 0 does not wait, None waits as long as it takes. Ctrl-C interrupts.

        Returns
        -------
        Block
            Its bytes are what the last user left there; fresh pools are zeroed.

        Raises
        ------
        PoolExhausted
            If there is no such run, even after Python's garbage collector has run.
        PoolClosed
            If the pool is closed, or is closed while waiting.
        TypeError, ValueError
            If an argument is of the wrong kind or out of range.
        """
        cdef _Mapping m = self.quick
        cdef Block block
        cdef pool_run run
        cdef uint64_t n
        if given is not ABSENT:
            refuse_positional("allocate", given)
        if nbytes is None and timeout is ZERO and m is not None:
            if blocks is None:
                block = Block.__new__(Block)  # first, so that no failure comes after the claim
                if allocate_quickly(m, 1, 0, &run):
                    open_block(block, m, &run, m.engine.block_size)
                    pool_count(&m.engine, 1, m.engine.block_size)
                    return block
            else:
                n = quick_length(m, blocks)
                if n:
                    block = Block.__new__(Block)
                    if allocate_quickly(m, n, 0, &run):
                        open_block(block, m, &run, n * m.engine.block_size)
                        pool_count(&m.engine, n, n * m.engine.block_size)
                        return block
        return self.allocate_slowly(blocks, nbytes, timeout)

    @cython.embedsignature(False)
    def allocate_async(self, given=ABSENT, second=ABSENT, third=ABSENT, /, *, blocks=None, nbytes=None, timeout=None):
        """allocate_async($self, /, *, blocks=None, nbytes=None, timeout=None)
--

        Allocate as `allocate` does, but let the event loop of asyncio go on while there is no room.

        Parameters
        ----------
        blocks, nbytes : optional
            As for `allocate`.
        timeout : float or None
            Seconds to wait for room once it is awaited; None, the default, waits as long as it takes, 0 does not wait.

        Returns
        -------
        awaitable of Block

        Raises
        ------
        PoolExhausted, PoolClosed, TypeError, ValueError
            As for `allocate`: wrong arguments at the call, the rest when it is awaited.

        Notes
        -----
        First come, first served, among all that this process awaits of the pool: a long run at the head of the queue
        holds up the single blocks behind it, and so gets its room. So do not wait for more while you hold what
        the queue waits for. Calls of `allocate`, and other processes, take what they find; so does a call whose time is
        over, in a last look.

        A call that is cancelled gives back what it was given meanwhile. While any waits, one daemon thread a pool
        waits for all of them.
        """
        if given is not ABSENT:
            refuse_positional("allocate_async", given)
        require_imports("asyncio and allocate_async()")
        from blockpool._async import allocate_async

        cdef double seconds = as_seconds(timeout)
        cdef uint64_t n = 0, length = 0
        measure(self.opened(), blocks, nbytes, &n, &length)
        return allocate_async(self, n, length, seconds)

    def allocate_many(self, count, *, timeout=0):
        """Allocate `count` single blocks, all or nothing.

        Parameters
        ----------
        count : int
            How many, at least 1. They need not be adjacent.
        timeout : float or None
            As for `allocate`.

        Returns
        -------
        list of Block

        Raises
        ------
        PoolExhausted, PoolClosed, TypeError, ValueError
            As for `allocate`.
        """
        cdef _Mapping m = self.opened()
        count = as_count(count, "count")
        cdef double deadline = deadline_of(timeout)
        if count > m.engine.blocks:
            raise count_exhausted(m, count, False)
        cdef uint64_t n = count, i = 0
        cdef pool_run *runs = <pool_run *>malloc(n * sizeof(pool_run))
        if runs == NULL:
            raise MemoryError(f"no memory for a list of {n} blocks")
        try:
            found = []  # first: from the claim on, whatever fails gives back
            allocate_run(m, &self.was_closed, n, 0, True, deadline, runs)
            try:
                while i < n:
                    i += 1  # block_of_run answers for this one from here on
                    found.append(block_of_run(m, &runs[i - 1], m.engine.block_size))
            except BaseException:
                while i < n:
                    undo_allocation(m, &runs[i])
                    i += 1
                raise
            return found
        finally:
            c_free(runs)

    def empty(self, shape, dtype=None, *, order="C", timeout=0):
        """Return a new array in the pool, with whatever its memory holds.

        Parameters
        ----------
        shape : int or sequence of int
        dtype : numpy dtype, optional
            Default float64. Types that hold Python objects are refused.
        order : {"C", "F"}
        timeout : float or None
            As for `allocate`.

        Returns
        -------
        numpy.ndarray
            The memory comes back when it and every array made from it are gone. Its address is a multiple of
            `alignment`. An array of no bytes is NumPy's own.

        Raises
        ------
        PoolExhausted, PoolClosed
            As for `allocate`.
        TypeError, ValueError
            If an argument is of the wrong kind or out of range.
        ImportError
            If there is no NumPy.
        """
        return new_array(self.opened(), &self.was_closed, shape, dtype, order, timeout, False)

    def zeros(self, shape, dtype=None, *, order="C", timeout=0):
        """Return a new array in the pool, filled with zeros; otherwise as `empty`."""
        return new_array(self.opened(), &self.was_closed, shape, dtype, order, timeout, True)

    def full(self, shape, fill_value, dtype=None, *, order="C", timeout=0):
        """Return a new array in the pool, filled with a value; otherwise as `empty`.

        Without `dtype`, the array has the type that NumPy gives `fill_value`.
        """
        return filled_array(self.opened(), &self.was_closed, shape, fill_value, dtype, order, timeout)

    def asarray(self, source, dtype=None, *, order="K", timeout=0):
        """Return an array in the pool with the elements of `source`.

        Parameters
        ----------
        source : array_like
            An array that is in this pool already, of that type and order, is returned as it is; all else is copied.
        dtype : numpy dtype, optional
            Default: that of `source`.
        order : {"K", "C", "F"}
            "K" is the order of `source`, however its axes are permuted.
        timeout : float or None
            As for `allocate`.

        Returns
        -------
        numpy.ndarray

        Raises
        ------
        PoolExhausted, PoolClosed, TypeError, ValueError, ImportError
            As for `empty`.
        """
        return copied_array(self.opened(), &self.was_closed, source, dtype, order, timeout)

    def numpy_allocator(self):
        """Return a context manager, in which NumPy takes array data from this private pool.

        It may be entered any number of times, and inside others; the innermost counts. It holds for the context
        (`contextvars`) that enters it: tasks that start inside inherit it, a new thread starts with NumPy's own.

        Returns
        -------
        context manager

        Raises
        ------
        ValueError
            If the pool is shared, in debug mode, or its `alignment` is less than 16.
        PoolClosed
            If the pool is closed.
        ImportError
            If there is no NumPy.

        Notes
        -----
        Every array gives its memory back where it came from, whenever and in whatever thread it ends; the pool's memory
        stays mapped until then. NumPy's own memory serves what finds no room, counted among `failures`, what is
        smaller than half a block, which would waste most of it, and all once the pool is closed. An array that grows
        stays in the kind of memory where it began, unless the pool has no room. Nothing waits or collects garbage for
        room.

        What arrays take and give counts in whole blocks.

        Examples
        --------
        >>> import blockpool, numpy
        >>> pool = blockpool.Pool("1MiB", 64, prefault=True)
        >>> with pool.numpy_allocator():
        ...     a = numpy.ones(1_000_000)
        >>> pool.stats().allocated
        8
        """
        return numpy_allocator(self.opened())

    def stats(self):
        """Return the state of the pool.

        Returns
        -------
        PoolStats
        """
        return stats_of(self.opened())

    def runs(self):
        """Return every live run, in the order of addresses.

        Returns
        -------
        list of Run
            With other threads at work, runs that they allocate or free meanwhile may or may not be among them.
        """
        return runs_of(self.opened())

    def check(self):
        """Audit the pool's bookkeeping.

        Returns
        -------
        Audit
            What was looked at.

        Raises
        ------
        PoolCorrupt
            If the bookkeeping contradicts itself; the message says what is wrong and where.
        """
        return check_pool(self.opened())

    def residency(self):
        """Ask the kernel what it really gave the pool.

        Returns
        -------
        Residency
            For a pool in memory of the caller's, of the whole mapping that the memory is a part of.
        """
        return residency_of(self.opened())

    def close(self):
        """Close the pool: it allocates no more. Closing again does nothing.

        Blocks and views stay valid; the memory is unmapped when the last is gone. In debug mode, what is still
        allocated is reported to the logger ``blockpool``, with the stacks of the allocations (and see `outstanding`).

        Raises
        ------
        WriteAfterFree
            In debug mode, if somebody wrote to a freed block. The pool is closed all the same.
        """
        cdef _Mapping m = self.mapping
        if m is not None:
            m.closed = self.was_closed = True
            self.mapping = self.quick = None
            if m.guard is not None and not Py_IsFinalizing():  # else little of Python is left to tell with
                m.guard.close(PyMemoryView_FromObject(m))

    def outstanding(self):
        """Return what is allocated, with the stacks of the allocations; also after `close`.

        Returns
        -------
        list of Outstanding

        Raises
        ------
        ValueError
            If the pool is not in debug mode.
        """
        if self.guard is None:
            if self.mapping is not None and pool_is_shared(&self.mapping.engine):
                raise ValueError("a shared pool keeps no stacks; runs() shows which process holds what")
            raise ValueError("the pool keeps no stacks; make it with debug=True, or run python -X dev")
        if Py_IsFinalizing():
            raise RuntimeError("the interpreter is ending, and no stack can be read any more; ask sooner")
        return self.guard.outstanding()

    def __enter__(self):
        self.opened()
        return self

    def __exit__(self, kind, value, traceback, /):
        self.close()

    def __repr__(self):
        cdef _Mapping m = self.mapping
        if m is None:
            return f"<blockpool.{type(self).__name__} closed>"
        kind = "private" if not pool_is_shared(&m.engine) else "shared" if m.name is None else repr(m.name)
        if is_lost(m):
            return f"<blockpool.{type(self).__name__} {kind}, in which this process has no part>"
        size = f"{m.engine.blocks} blocks of {m.engine.block_size} bytes"
        return f"<blockpool.{type(self).__name__} {kind}, {size}, {pool_allocated(&m.engine)} allocated>"

    def __reduce_ex__(self, protocol):
        cdef _Mapping m = self.opened()
        if not pool_is_shared(&m.engine):
            raise TypeError(
                "a private pool cannot be pickled or copied: no other process can reach its memory; "
                "make it with Pool.create()"
            )
        fork_shares = m.engine.attachment.on_fork == ON_FORK_SHARE
        return _attach_pickled, (str(handle_of(m, NULL, Handle)), fork_shares, type(self)), self.__getstate__()

    cdef _Mapping opened(self):
        cdef _Mapping m = self.mapping
        if m is None:
            raise closed_error()
        if is_lost(m):
            raise lost_error(&m.engine, m.name)
        return m

    cdef allocate_slowly(self, blocks, nbytes, timeout):
        """`allocate` with all its arguments."""
        cdef _Mapping m = self.opened()
        cdef double deadline = deadline_of(timeout)
        cdef uint64_t n = 0, length = 0
        cdef pool_run run
        measure(m, blocks, nbytes, &n, &length)
        allocate_run(m, &self.was_closed, n, n * m.engine.block_size - length, False, deadline, &run)
        return block_of_run(m, &run, length)


# --- the Pool objects of a mapping ---

cdef object object_of(_Mapping m):
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


cdef pool *engine_of(Pool owner) except NULL:
    return &owner.opened().engine


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
    owner.was_closed = False
    owner.guard = mapping.guard
    owner.kept_name = mapping.name
    owner.kept_id = mapping.id
    owner.may_have_ended = (
        pool_is_shared(&mapping.engine) and not mapping.engine.attachment.geometry.flags & LAYOUT_PERMANENT
    )
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


pool_object = object_of


def _attach_pickled(text, fork_shares, kind=Pool):
    """Unpickle a shared pool, as an object of its class."""
    if not isinstance(kind, type) or not issubclass(kind, Pool):
        raise garbled("class", kind)
    m = mapping_of_handle(Handle.parse(text), "share" if flag_field("fork_shares", fork_shares) else "detach")
    owner = kind.__new__(kind)
    adopt(<Pool?>owner, m)
    return owner


cdef int unlink_pool(Pool owner) except -1:
    """Remove the name of the pool that the object is, or was, a reference to."""
    if owner.kept_id is None:
        raise PoolNotFound("the pool is private: it has no name to remove")
    if owner.kept_name is None:
        raise PoolNotFound("the pool has no name to remove: it was made without one")
    if owner.mapping is not None:
        owner.opened()
    try:
        unlink_named(owner.kept_name, owner.kept_id)
    except PoolNotFound:
        if owner.mapping is not None or not owner.may_have_ended:
            raise
    owner.may_have_ended = False
    return 0
