# See pool.pxd.

cdef class Pool(_Access):
    """Pool(block_size, blocks=None, *, buffer=None, prefault=False, huge_pages=False, debug=None)
--

    A contiguous piece of memory, cut into blocks of one size.

    The constructor creates a pool that is private to this process. `create` and `attach` give pools that processes
    share. They return objects of the class they are called on, as unpickling does, but don't call its `__init__`, which
    creates a private pool. A subclass therefore sets up what every pool needs in `__new__`.

    Parameters
    ----------
    block_size : int or str
        Size of a block in bytes, a multiple of 8: an int, or a string such as ``"4KiB"``.
    blocks : int, optional
        Number of blocks. With `buffer`, the default is as many as fit.
    buffer : writable contiguous buffer, optional
        Memory to use instead of reserving some. Its address must be a multiple of 8. It stays exported until the pool,
        its blocks and their views are gone.
    prefault : bool
        Have the kernel make every page present now, so that no later access has to wait for it. Otherwise a page comes
        with its first use.
    huge_pages : bool
        Ask the kernel for huge pages; `residency` says what it gave.
    debug : bool, optional
        Look for misuse, at some cost. Memory is filled with patterns. The slack after `nbytes` is checked when a run is
        freed, and freed memory when it is reused and when the pool is closed. Freed runs rest before they are used
        again. Every allocation remembers its stack (`outstanding`) and is reported to `tracemalloc`, in the domain
        `TRACEMALLOC_DOMAIN`. The default is what ``python -X dev`` or the environment variable ``BLOCKPOOL_DEBUG``
        says.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range, or if this object is open already.
    PoolExhausted
        If the machine or the process's cgroup does not have that much memory.
    MemoryError
        If there is no memory for the bookkeeping of debug mode.
    RuntimeError
        If debug mode is first used while the interpreter is shutting down.

    Notes
    -----
    A closed pool raises `PoolClosed` from every method and property except `close`, `closed`, `debug`, `name`,
    `outstanding` and `unlink`.

    Thread safety: all methods may be called from any thread.

    Process safety: a forked child has its own copy (copy-on-write) of a private pool and of what is allocated in it. In
    a shared pool it has a part like any process, and holds everything its parent holds. A child has no part if the pool
    has ``on_fork="detach"`` or no file descriptor was free (its calls raise `PoolClosed`), or if as many processes were
    attached already as the pool was created for (`TooManyProcesses`, or `PoolBusy` if it could not find out which of
    them are dead). It can attach the pool again.

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
            refuse_keyword("Pool", others, "Pool.create",
                           ("name", "processes", "exist_ok", "permanent", "on_fork", "queue_room",
                            "ticket_lifetime"))
        if self.mapping is not None:
            raise ValueError("this Pool is open already; create a new one")
        cdef _Mapping m = _Mapping.__new__(_Mapping)
        cdef bint guarded
        size = as_block_size(block_size)
        if blocks is not None:
            blocks = as_count(blocks, "blocks")
        if buffer is not None and (prefault or huge_pages):
            raise ValueError("prefault and huge_pages are for memory that the pool reserves itself, not for buffer=")
        guarded = is_debug(debug, True)
        open_private(m, size, blocks, buffer, bool(prefault), bool(huge_pages), guarded)
        if guarded:
            require_imports("pools in debug mode")
            from blockpool._debug import Guard

            m.guard = Guard(size)
        adopt(self, m)

    @classmethod
    @cython.embedsignature(False)
    def create(
        cls, block_size, blocks, *, name=None, processes=256, exist_ok=False, permanent=False, prefault=False,
        on_fork=None, queue_room=None, ticket_lifetime=None, debug=None, **others
    ):
        """create($type, /, block_size, blocks, *, name=None, processes=256, exist_ok=False, permanent=False,
    prefault=False, on_fork=None, queue_room=None, ticket_lifetime=None, debug=None)
--

        Create a pool that processes share.

        Parameters
        ----------
        block_size : int or str
            Size of a block in bytes, a multiple of 8: an int, or a string such as ``"4KiB"``.
        blocks : int
            Number of blocks, at most 2**24.
        name : str, optional
            Name that others pass to `attach`: 1 to 180 letters, digits, ``_``, ``-`` and ``.``. Other processes reach a
            pool without a name by fork, or by being sent the pool, a block or a ticket.
        processes : int
            The most processes that can be attached at a time, 1 to 4096. With more than 256, the pool needs more memory
            for each block, besides its data: 64 bytes up to 256 processes, 576 for 4096.
        exist_ok : bool
            If there is a pool with that name and geometry already, attach it; it may be for another number of
            processes.
        permanent : bool
            Keep the pool until `unlink`. Otherwise it ends when its last process leaves. Needs a name.
        prefault : bool
            Have the kernel map every page into this process now.
        on_fork : {"share", "detach"}, optional
            What a forked child gets: a part in the pool, with a reference to everything its parent holds; or nothing.
            The default is "share". Processes that attach the pool do the same unless they say otherwise.
        queue_room : int or str, optional
            Bytes for queues and their messages, besides the blocks: an int, or a string such as ``"4MiB"``; at most
            256 MiB. A small message takes 256 bytes. The default is a 64th of the pool, at least 128 KiB and at most
            16 MiB.
        ticket_lifetime : float, optional
            Seconds for which a reference in flight (`Block.share`, a pickled block or array) keeps its memory, at most
            10**9. Later it is dropped as soon as a call finds no room or waits for some, or `recover` is called. Give
            more than any message may have to wait for its receiver. The default is for ever. With `exist_ok`, an
            existing pool keeps its own.
        debug : bool, optional
            Look for misuse, at some cost, in every process that attaches the pool. Memory is filled with patterns. The
            slack after `nbytes` is checked when a reference is given back, and freed memory when it is reused. The pool
            keeps who allocated and freed each run, with a short stack, for `runs` and `inspect`; that takes 1 KiB more
            for each block. The default is what the environment variable ``BLOCKPOOL_DEBUG`` says; ``python -X dev`` is
            about one process, and does not count here. With `exist_ok`, an existing pool stays as it is.

        Returns
        -------
        Pool
            The new pool, or with `exist_ok` perhaps an existing one. It is an object of the class this was called on.

        Raises
        ------
        PoolExists
            If the name is taken: by a pool, with `exist_ok` by one with another geometry, or by a file that is not a
            pool.
        PoolExhausted
            If there is not enough shared memory, or the process's address space is full.
        PoolForbidden
            If the name belongs to another user, or this process may not use ``/dev/shm``.
        PoolVersion, PoolCorrupt, TooManyProcesses
            With `exist_ok`, as for `attach`.
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        TypeError, ValueError
            If an argument has the wrong type or is out of range, if a permanent pool has no name, or if this process
            has attached the pool with another `on_fork`.
        OSError
            If there is no free file descriptor, no ``/proc`` or, for a pool with a name, no ``/dev/shm``.

        Notes
        -----
        If a process dies, for whatever reason, what it held comes back by itself.

        Several processes may call this with the same name and `exist_ok` at the same time: one creates the pool, and
        the others wait for it and attach it. They reserve nothing.
        """
        if others:
            refuse_keyword("Pool.create", others, "Pool", ("buffer", "huge_pages"))
        owner = cls.__new__(cls)
        adopt(<Pool?>owner, create_shared(
            block_size, blocks, name, processes, exist_ok, permanent, prefault, on_fork, queue_room, ticket_lifetime,
            debug,
        ))
        return owner

    @classmethod
    def attach(cls, name, *, on_fork=None):
        """Attach the shared pool that has a name.

        Parameters
        ----------
        name : str
            The name given to `create`.
        on_fork : {"share", "detach"}, optional
            Whether children that this process forks have a part in the pool. The default is what the pool was created
            with, or what this process attached it with before.

        Returns
        -------
        Pool
            An object of the class this was called on. All Pool objects of one pool in a process share one membership.

        Raises
        ------
        PoolNotFound
            If there is no such pool.
        PoolCorrupt
            If whatever has the name is damaged, or not a pool.
        PoolVersion
            If it was made by another release of blockpool, with a different layout.
        PoolForbidden
            If it belongs to another user, or this process may not use ``/dev/shm``.
        PoolExhausted
            If the process's address space is full.
        TooManyProcesses
            If as many processes are attached already as the pool was created for.
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        TypeError, ValueError
            If `name` is not a name that a pool can have, if `on_fork` is something else, or if this process has
            attached the pool with another `on_fork`.
        OSError
            If there is no free file descriptor, no ``/proc`` or no ``/dev/shm``.
        """
        owner = cls.__new__(cls)
        adopt(<Pool?>owner, agreed(attach_named(name, as_on_fork(on_fork)), on_fork))
        return owner

    def keep(self, name, block, *, replace=False):
        """Give a block of this shared pool a name. The pool's catalog holds it until `forget`, or as long as the pool.

        Parameters
        ----------
        name : str
            1 to 180 letters, digits, ``_``, ``-`` and ``.``.
        block : Block
            The block. Its object may be released afterwards, and its process may end.
        replace : bool
            Take the name from the block that has it, if there is one. This is one step: `get` returns the old block or
            the new one.

        Raises
        ------
        NameTaken
            If a block has the name already, and `replace` is false.
        PoolExhausted
            If the catalog has 256 names, the most it can have.
        InvalidBlock
            If the block was released or freed.
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        PoolCorrupt
            If something wrote over the pool's bookkeeping.
        PoolClosed, TooManyProcesses
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        TypeError, ValueError
            If an argument has the wrong type, the name is not one that a block can have, or the block is not of this
            pool, or the pool is private.
        OSError
            If there is no free file descriptor, or no ``/proc``.

        Notes
        -----
        May be called from any thread. The names of a permanent pool outlive all processes.

        Examples
        --------
        >>> import blockpool
        >>> pool = blockpool.Pool.create("4KiB", 16)
        >>> with pool.allocate(nbytes=5) as block:
        ...     block.buf[:] = b"hello"
        ...     pool.keep("greeting", block)
        >>> bytes(pool.get("greeting").buf)
        b'hello'
        >>> pool.names()
        ['greeting']
        >>> pool.forget("greeting")
        """
        keep_block(with_catalog(self), name, block, replace)

    def get(self, name):
        """Return the block that has a name; see `keep`.

        Parameters
        ----------
        name : str
            The name given to `keep`.

        Returns
        -------
        Block
            A new object. The block stays allocated while this exists, also if it loses its name.

        Raises
        ------
        NameNotFound
            If no block has the name.
        PoolCorrupt
            If something wrote over the pool's bookkeeping.
        PoolClosed, TooManyProcesses, PoolBusy
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        TypeError, ValueError
            If the name is not one that a block can have, or the pool is private.

        Notes
        -----
        May be called from any thread. It waits for no other process.
        """
        cdef _Mapping m = with_catalog(self)
        cdef Block block = Block.__new__(Block)  # first, so that nothing fails once the run is held
        cdef pool_run run
        get_run(m, name, &run)
        open_block(block, m, &run, pool_run_bytes(&m.engine, &run))
        block.watch()
        return block

    def forget(self, name):
        """Take a block's name away. The block is freed when nothing else holds it.

        Parameters
        ----------
        name : str
            The name given to `keep`.

        Raises
        ------
        NameNotFound
            If no block has the name.
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        PoolClosed, TooManyProcesses
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        TypeError, ValueError
            If the name is not one that a block can have, or the pool is private.
        OSError
            If there is no free file descriptor, or no ``/proc``.
        """
        forget_name(with_catalog(self), name)

    def names(self):
        """Return the names that blocks and queues of this shared pool have; see `keep` and `queue`.

        Returns
        -------
        list of str
            In alphabetical order.

        Raises
        ------
        PoolClosed, TooManyProcesses, PoolBusy
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        ValueError
            If the pool is private.
        """
        return sorted(all_names(with_catalog(self)))

    def queue(self, name=None, capacity=None, *, overflow="wait", redeliver=None, permanent=None, spin=None):
        """Open the queue of this shared pool that has a name, or make one; see `Queue`.

        Parameters
        ----------
        name : str, optional
            1 to 180 letters, digits, ``_``, ``-`` and ``.``. Without a name, this makes a new queue, which other
            processes reach by fork or by being sent it.
        capacity : int, optional
            How many items can wait in it, at most 2**20; 64 unless given.
        overflow : {"wait", "drop_oldest", "drop_newest", "raise"}
            What `Queue.put` does through this object when the queue is full: wait for room; drop the item that has
            waited longest; drop the new one; raise `QueueFull` at once. `Queue.lost` counts what was dropped.
        redeliver : bool, optional
            Whether an item whose receiver dies before it is done (`Queue.task_done`, `Message.done`) is received again,
            by another one. Otherwise it is done as soon as it is received.
        permanent : bool, optional
            Keep the queue, and what waits in it, until `Queue.unlink`, as long as the pool. Otherwise it ends when no
            process has it open any more. Needs a name.
        spin : float, optional
            For how many seconds a call that waits looks again and again before it sleeps; 0 to sleep at once. By
            default, this adapts to what has been worth it.

        Returns
        -------
        Queue
            A new object.

        Raises
        ------
        NameTaken
            If the queue exists with another `capacity`, `redeliver` or `permanent` than what is given.
        WrongKind
            If the name belongs to a block, a topic or a latest value.
        PoolExhausted
            If the pool has no room for the queue (`queue_room` of `create`), or no more names.
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        PoolCorrupt
            If something wrote over the pool's bookkeeping.
        PoolClosed, TooManyProcesses
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        TypeError, ValueError
            If an argument has the wrong type or is out of range, or the pool is private.
        OSError
            If there is no free file descriptor, or no ``/proc``.

        Examples
        --------
        >>> import blockpool
        >>> pool = blockpool.Pool.create("4KiB", 16)
        >>> queue = pool.queue("work", capacity=8)
        >>> queue.put({"job": 1})
        >>> pool.queue("work").get()
        {'job': 1}
        """
        return open_queue(with_channels(self), name, capacity, overflow, redeliver, permanent, spin)

    def topic(self, name=None, history=None, *, permanent=None, spin=None):
        """Open the topic of this shared pool that has a name, or make one; see `Topic`.

        Parameters
        ----------
        name : str, optional
            1 to 180 letters, digits, ``_``, ``-`` and ``.``. Without a name, this makes a new topic, which other
            processes reach by fork or by being sent it.
        history : int, optional
            How many items it keeps for readers that come late or are slow, at most 2**20; 8 unless given.
        permanent : bool, optional
            Keep the topic, and its history, until `Topic.unlink`, as long as the pool. Otherwise it ends when no
            process has it open any more. Needs a name.
        spin : float, optional
            For how many seconds a call that waits looks again and again before it sleeps; 0 to sleep at once. By
            default, this adapts to what has been worth it.

        Returns
        -------
        Topic
            A new object.

        Raises
        ------
        NameTaken
            If the topic exists with another `history` or `permanent` than what is given.
        WrongKind
            If the name belongs to a block, a queue or a latest value.
        PoolExhausted
            If the pool has no room for the topic (`queue_room` of `create`), or no more names.
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        PoolCorrupt
            If something wrote over the pool's bookkeeping.
        PoolClosed, TooManyProcesses
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        TypeError, ValueError
            If an argument has the wrong type or is out of range, or the pool is private.
        OSError
            If there is no free file descriptor, or no ``/proc``.

        Examples
        --------
        >>> import blockpool
        >>> pool = blockpool.Pool.create("4KiB", 16)
        >>> topic = pool.topic("frames")
        >>> reader = pool.topic("frames").subscribe()
        >>> topic.publish({"frame": 1})
        >>> reader.get()
        {'frame': 1}
        """
        return open_topic(with_channels(self), name, history, permanent, spin)

    def latest(self, name=None, *, permanent=None, spin=None):
        """Open the latest value of this shared pool that has a name, or make one; see `Latest`.

        Parameters
        ----------
        name : str, optional
            1 to 180 letters, digits, ``_``, ``-`` and ``.``. Without a name, this makes a new one, which other
            processes reach by fork or by being sent it.
        permanent : bool, optional
            Keep it until `Latest.unlink`, as long as the pool, although no process has it open. True for one that is
            made with a name, unless given.
        spin : float, optional
            For how many seconds a call that waits looks again and again before it sleeps; 0 to sleep at once. By
            default, this adapts to what has been worth it.

        Returns
        -------
        Latest
            A new object.

        Raises
        ------
        NameTaken
            If it exists with another `permanent` than what is given.
        WrongKind
            If the name belongs to a block, a queue or a topic.
        PoolExhausted
            If the pool has no room for it (`queue_room` of `create`), or no more names.
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        PoolCorrupt
            If something wrote over the pool's bookkeeping.
        PoolClosed, TooManyProcesses
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        TypeError, ValueError
            If an argument has the wrong type or is out of range, or the pool is private.
        OSError
            If there is no free file descriptor, or no ``/proc``.

        Examples
        --------
        >>> import blockpool
        >>> pool = blockpool.Pool.create("4KiB", 16)
        >>> pool.latest("exposure").set(0.02)
        >>> pool.latest("exposure").get()
        0.02
        """
        return open_latest(with_channels(self), name, permanent, spin)

    def __contains__(self, what, /):
        cdef _Mapping m = self.opened()
        if isinstance(what, Block):
            return (<Block>what).is_in(m)
        if isinstance(what, Handle):
            return names_live_run(m, Handle.parse(what))
        raise TypeError(f"a pool has Blocks, handles and tickets in it, not {type(what).__name__}")

    def unlink(self):
        """Remove the name of a shared pool. Attached processes go on; no other process can attach.

        This works after `close` too. A pool that is not permanent may have ended by then, and its name with it; that
        counts as if this call had removed it. If another pool has taken the name, it is left alone; see
        `blockpool.unlink`.

        Raises
        ------
        PoolNotFound
            If the name was removed before, or the pool has none.
        PoolForbidden
            If this process may not remove it.
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        PoolClosed, TooManyProcesses
            If this process is a forked child without a part in the pool (see Notes of `Pool`).
        """
        unlink_pool(self)

    def recover(self, *, tickets_older_than=None):
        """Bring back what dead processes held, and drop tickets whose lifetime is over.

        Allocation does this by itself when the pool is full. A process is dead when its memory is gone: a moment after
        its parent has waited for it, if a monitor reads its ``cmdline`` or ``smaps`` in ``/proc`` just then.

        Parameters
        ----------
        tickets_older_than : float, optional
            Age in seconds. Also drop the tickets of every run whose newest ticket is older than that: their receivers
            are taken to be gone.

        Returns
        -------
        Recovered
            How many processes were found dead, and how many tickets were dropped, for their age or because their
            lifetime was over; zeros for a private pool.

        Raises
        ------
        PoolClosed, TooManyProcesses
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        PoolCorrupt
            If something wrote over the pool's bookkeeping.
        TypeError, ValueError
            If `tickets_older_than` is not a number, or negative.
        OSError
            If the pool's file can no longer be reached, so that no process can be known to be dead.
        """
        cdef _Mapping m = self.opened()
        cdef double age = -1
        if tickets_older_than is not None:
            age = number_of_seconds("tickets_older_than", tickets_older_than, "")
            if not age >= 0:
                raise ValueError(f"tickets_older_than must be 0 or more seconds, not {tickets_older_than!r:.60}")
        return recover_pool(m, age)

    def record(self, path=None):
        """Record what all processes allocate in this shared pool, and free.

        Needs the extra ``advise``. A thread of this process takes the events until the recording is stopped. Nobody
        waits for it: an event for which there is no room is lost, and counted. A process puts at most some ten million
        events a second. The blocks of queues and messages are not recorded. Meanwhile an allocation and its free take
        about a tenth longer.

        Parameters
        ----------
        path : str or path, optional
            The file to write in the end, for `blockpool.traces.read` and the command ``blockpool advise``. Without it,
            only `Recording.stop` gives the trace.

        Returns
        -------
        Recording
            For use in a `with`, which stops it.

        Raises
        ------
        TypeError
            If the pool is private: only its own process uses it, so a profiler such as memray sees all of it.
        PoolBusy
            If a process, perhaps this one, is recording the pool already, or another process kept this one waiting too
            long; it may be stopped.
        PoolExhausted
            If there is no memory for what a recording needs in the pool's segment: 2 MiB for every 8 threads.
        PoolClosed, TooManyProcesses
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        ImportError
            If NumPy or pyarrow is not installed.
        OSError
            If no file can be made in the folder of `path`.

        Notes
        -----
        Any thread may call this. The recording keeps the pool attached until it is stopped, even if the Pool is
        closed. In a pool in debug mode, the trace has the stacks of allocations. It says of a run that was live at the
        beginning that it was allocated then.

        Examples
        --------
        >>> import blockpool
        >>> pool = blockpool.Pool.create("4KiB", 16)
        >>> with pool.record() as recording:
        ...     pool.allocate(blocks=3).free()
        >>> trace = recording.stop()
        >>> len(trace), int(trace.size[0])
        (2, 12288)
        """
        self.opened()
        require_imports("recordings")
        from blockpool._recording import Recording
        return Recording(self, path)

    def pin(self):
        """Pin the pool's pages for GPUs, in this process.

        Copies between the pool and a GPU then need no buffer in between, and can be asynchronous, as with any pinned
        memory: ``tensor.to("cuda", non_blocking=True)``. Needs NVIDIA's driver, and no other library.

        Returns
        -------
        Pinned
            The pool is pinned until its ``unpin()``, the end of its ``with``, or the end of the process.

        Raises
        ------
        PinFailed
            If there is no driver or no device, or the driver refuses; the message says why. Nothing was changed.
        PoolClosed, TooManyProcesses, PoolBusy
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        RuntimeError
            If it is first used while the interpreter is shutting down.

        Notes
        -----
        Any thread may call this, and more than once: the pool stays pinned until each of the objects was unpinned.
        Every process pins for itself. A forked child has nothing pinned, and cannot use CUDA if its parent did.

        All pages of the pool become present, and cannot be swapped out. They stay mapped, and this process attached,
        while the pool is pinned, even if it is closed.

        The pages are pinned for all devices. That takes a CUDA context: the current one's device is used, else the
        first that this process uses already, else device 0.
        """
        cdef _Mapping m = self.opened()
        require_imports("pinned pools")
        from blockpool._pinning import pin
        return pin(self, PyMemoryView_FromObject(m))

    @property
    def name(self):
        """The name with which processes attach the pool; None if it is private or has none."""
        return self.kept_name

    @property
    def block_size(self):
        """Size of a block in bytes."""
        return self.opened().engine.block_size

    @property
    def blocks(self):
        """Number of blocks in the pool, allocated or not."""
        return self.opened().engine.blocks

    @property
    def nbytes(self):
        """Size of all blocks together, in bytes."""
        cdef _Mapping m = self.opened()
        return m.engine.blocks * m.engine.block_size

    @property
    def address(self):
        """The address of block 0 in this process."""
        return <uintptr_t>self.opened().engine.data

    @property
    def alignment(self):
        """The alignment of the blocks: the address of every block is a multiple of this many bytes.

        It is the largest power of two that divides the block size and the address of the pool, at most 4096. A pool
        that reserves its own memory starts on a page, so there it depends on the block size alone: it is 64 for blocks
        of 64, 192 or 320 bytes.
        """
        return self.opened().alignment

    @property
    def ticket_lifetime(self):
        """Seconds for which tickets keep their memory, unless they say otherwise; None for ever, and if private."""
        cdef _Mapping m = self.opened()
        cdef double seconds = 0
        if pool_is_shared(&m.engine):
            seconds = endings_seconds(&m.engine.attachment.shared.endings)
        return seconds or None

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
            Length of the run in blocks. The default is 1.
        nbytes : int or str, optional
            Length in bytes, instead of `blocks`: an int, or a string such as ``"4KiB"``. The run has as many blocks as
            that takes, and the Block remembers `nbytes`.
        timeout : float or None
            Seconds to wait for room: 0 does not wait, None waits as long as it takes. Ctrl-C interrupts the wait.

        Returns
        -------
        Block
            Its memory holds what its last user left there; a new pool is all zeros.

        Raises
        ------
        PoolExhausted
            If there is no such run, even after Python's garbage collector has run.
        PoolClosed, TooManyProcesses, PoolBusy
            If the pool is closed, perhaps while this call waits, or this process is a forked child without a part in it
            (see Notes of `Pool`).
        WriteAfterFree
            In debug mode, if something wrote to the memory after it was freed.
        PoolCorrupt
            If something wrote over the bookkeeping of a shared pool.
        TypeError, ValueError
            If an argument has the wrong type or is out of range, or if both `blocks` and `nbytes` are given.

        Notes
        -----
        May be called from any thread; a wait lets other threads run. Processes and threads that wait take what they
        find, in no particular order.
        """
        cdef _Mapping m
        cdef Block block
        cdef pool_run run
        cdef uint64_t n
        if given is not ABSENT:
            refuse_positional("allocate", given)
        if WITHOUT_GIL:
            return self.allocate_beside(blocks, nbytes, timeout)
        m = self.quick
        if nbytes is None and timeout is ZERO and m is not None:
            if blocks is None:
                block = Block.__new__(Block)  # first, so that nothing fails after the allocation
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

        Allocate as `allocate` does, but let asyncio's event loop run while there is no room.

        Parameters
        ----------
        blocks : int, optional
            Length of the run in blocks, as for `allocate`.
        nbytes : int or str, optional
            Length in bytes, as for `allocate`.
        timeout : float or None
            Seconds to wait for room, counted from when the call is awaited. None, the default, waits as long as it
            takes; 0 does not wait.

        Returns
        -------
        awaitable of Block
            Await it once, in a running event loop.

        Raises
        ------
        TypeError, ValueError
            As for `allocate`, at the call.
        PoolClosed, TooManyProcesses, PoolBusy
            As for `allocate`, at the call or when it is awaited.
        PoolExhausted
            If there is no room within the time, when it is awaited; if the pool can never have it, at the call.
        WriteAfterFree, PoolCorrupt
            As for `allocate`, when it is awaited.
        RuntimeError
            If this is first used while the interpreter is shutting down, or if no thread can be started.

        Notes
        -----
        First come, first served, among the calls this process awaits on the pool. A long run at the head of the queue
        holds up single blocks behind it until it has its room, so don't wait for more while you hold what the queue is
        waiting for. Calls of `allocate` and other processes don't queue; they take what they find, and so does a call
        in a last look when its time is over.

        A call that is cancelled gives back what it was given in the meantime. While any call waits, one daemon thread
        per pool waits for all of them. Calls may come from event loops in several threads.
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
            Number of blocks, at least 1. They need not be adjacent.
        timeout : float or None
            Seconds to wait for room, as for `allocate`.

        Returns
        -------
        list of Block
            Blocks of one block each, in no particular order.

        Raises
        ------
        PoolExhausted
            If fewer are free; none was allocated.
        PoolClosed, TooManyProcesses, PoolBusy, WriteAfterFree, PoolCorrupt
            As for `allocate`.
        TypeError, ValueError
            If an argument has the wrong type or is out of range.
        MemoryError
            If there is no memory for the list.
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
            found = []  # first: once the blocks are allocated, a failure has to give them back
            allocate_run(self, m, n, 0, True, deadline, runs)
            try:
                while i < n:
                    i += 1  # block_of_run gives this one back if it fails
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
            Length of each dimension, in elements.
        dtype : numpy dtype, optional
            The default is float64. Types whose elements are pointers (Python objects, ``StringDType``) are refused.
        order : {"C", "F"}
            Row-major or column-major.
        timeout : float or None
            Seconds to wait for room, as for `allocate`.

        Returns
        -------
        numpy.ndarray
            Its memory comes back when it and every array made from it are gone. Its address is a multiple of
            `alignment`. An array of no bytes is NumPy's own.

        Raises
        ------
        PoolExhausted, PoolClosed, TooManyProcesses, PoolBusy, WriteAfterFree, PoolCorrupt
            As for `allocate`.
        TypeError, ValueError
            If an argument has the wrong type or is out of range, or the array would be larger than any pool.
        ImportError
            If NumPy cannot be imported.
        RuntimeError
            If NumPy is first needed while the interpreter is shutting down.
        """
        return new_array(self, shape, dtype, order, timeout, False)

    def zeros(self, shape, dtype=None, *, order="C", timeout=0):
        """Return a new array in the pool, filled with zeros.

        Parameters
        ----------
        shape : int or sequence of int
            Length of each dimension, in elements.
        dtype : numpy dtype, optional
            As for `empty`; the default is float64.
        order : {"C", "F"}
            Row-major or column-major.
        timeout : float or None
            Seconds to wait for room, as for `allocate`.

        Returns
        -------
        numpy.ndarray
            As from `empty`. Every byte is written, so unlike NumPy's zeros it takes time by its size.

        Raises
        ------
        PoolExhausted, PoolClosed, TooManyProcesses, PoolBusy, WriteAfterFree, PoolCorrupt
            As for `allocate`.
        TypeError, ValueError, ImportError, RuntimeError
            As for `empty`.
        """
        return new_array(self, shape, dtype, order, timeout, True)

    def full(self, shape, fill_value, dtype=None, *, order="C", timeout=0):
        """Return a new array in the pool, filled with a value.

        Parameters
        ----------
        shape : int or sequence of int
            Length of each dimension, in elements.
        fill_value : scalar or array_like
            The value, or what is broadcast to `shape`.
        dtype : numpy dtype, optional
            As for `empty`; the default is the type NumPy gives `fill_value`.
        order : {"C", "F"}
            Row-major or column-major.
        timeout : float or None
            Seconds to wait for room, as for `allocate`.

        Returns
        -------
        numpy.ndarray
            As from `empty`.

        Raises
        ------
        PoolExhausted, PoolClosed, TooManyProcesses, PoolBusy, WriteAfterFree, PoolCorrupt
            As for `allocate`.
        TypeError, ValueError, ImportError, RuntimeError
            As for `empty`, and if `fill_value` cannot be converted or broadcast.
        """
        return filled_array(self, shape, fill_value, dtype, order, timeout)

    def asarray(self, source, dtype=None, *, order="K", timeout=0):
        """Return an array in the pool with the elements of `source`.

        Parameters
        ----------
        source : array_like
            If it is an array in this pool already, with that type and order, it is returned as it is. Everything else
            is copied.
        dtype : numpy dtype, optional
            The default is that of `source`. Values are cast as by ``astype``.
        order : {"K", "C", "F"}
            Row-major, column-major, or "K": the order of `source`, however its axes are permuted.
        timeout : float or None
            Seconds to wait for room, as for `allocate`.

        Returns
        -------
        numpy.ndarray
            As from `empty`; it has the shape of `source`.

        Raises
        ------
        PoolExhausted, PoolClosed, TooManyProcesses, PoolBusy, WriteAfterFree, PoolCorrupt
            As for `allocate`.
        TypeError, ValueError, ImportError, RuntimeError
            As for `empty`, and if `source` cannot be converted, or changes its shape while this call waits.
        """
        return copied_array(self, source, dtype, order, timeout)

    def numpy_allocator(self):
        """Return a context manager in which NumPy takes array data from this private pool.

        It may be entered any number of times, also inside others; the innermost counts. It holds for the context
        (`contextvars`) that enters it: tasks that start inside inherit it, while a new thread starts with NumPy's own
        allocator.

        Returns
        -------
        context manager
            Entering it returns None.

        Raises
        ------
        ValueError
            If the pool is shared, in debug mode, or its `alignment` is less than 16 bytes.
        PoolClosed
            If the pool is closed, now or when it is entered.
        ImportError
            If NumPy cannot be imported.
        RuntimeError
            If it is left in another order than entered, or first used while the interpreter is shutting down.

        Notes
        -----
        Every array gives its memory back where it came from, whenever and in whatever thread it ends; the pool's memory
        stays mapped until then. NumPy's own memory serves requests that find no room (counted in `failures`), requests
        smaller than half a block, which would waste most of it, and every request once the pool is closed. An array
        that grows stays where it began unless the pool has no room. Nothing waits, or collects garbage, for room.

        `stats` counts these arrays in whole blocks.

        Examples
        --------
        >>> import blockpool, numpy
        >>> pool = blockpool.Pool("1MiB", 64, prefault=True)
        >>> with pool.numpy_allocator():
        ...     a = numpy.ones(1_000_000)
        >>> pool.stats().allocated
        8
        """
        return numpy_allocator(self.opened(), False)

    def stats(self):
        """Return the state of the pool.

        Returns
        -------
        PoolStats
            Numbers of blocks, bytes and calls. While other threads or processes are at work, they are of no single
            moment.

        Raises
        ------
        PoolClosed, TooManyProcesses, PoolBusy
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        """
        return stats_of(self.opened())

    def runs(self):
        """Return every live run, in the order of addresses.

        Returns
        -------
        list of Run
            Runs that other threads or processes allocate or free during the call may or may not be in it.

        Raises
        ------
        PoolClosed, TooManyProcesses, PoolBusy
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        """
        return runs_of(self.opened())

    def check(self, *, repair=True):
        """Audit the pool's bookkeeping.

        Parameters
        ----------
        repair : bool
            In a shared pool, first bring back what dead processes held, and set bits that are clear although their
            block is allocated. Without, nothing is changed, and no other process is waited for.

        Returns
        -------
        Audit
            What was examined.

        Raises
        ------
        PoolCorrupt
            If the bookkeeping contradicts itself; the message says what is wrong and where.
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        PoolClosed, TooManyProcesses
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).

        Notes
        -----
        May be called while other threads and processes use the pool. A process that was stopped in the middle of a call
        is not taken for damage.
        """
        return check_pool(self.opened(), bool(repair))

    def residency(self):
        """Ask the kernel how much memory it really gave the pool.

        Returns
        -------
        Residency
            Bytes. For a pool in a `buffer`, they are those of the whole mapping that the buffer is part of.

        Raises
        ------
        PoolClosed, TooManyProcesses, PoolBusy
            If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
        OSError
            If the kernel cannot be asked: there is no free file descriptor, or no ``/proc``.
        """
        return residency_of(self.opened())

    def close(self):
        """Close the pool: it allocates no more. Closing it again does nothing.

        Blocks and views stay valid; the memory is unmapped when the last of them is gone. In debug mode, what is still
        allocated is reported to the logger ``blockpool``, with the stacks of the allocations (see also `outstanding`).

        Raises
        ------
        WriteAfterFree
            In debug mode, if something wrote to a freed block. The pool is closed all the same.
        """
        cdef _Mapping m
        with cython.critical_section(self):
            m = self.mapping
            self.mapping = self.quick = None
        if WITHOUT_GIL:
            empty_places(self.places)
        if m is not None:
            m.closed = True
            if m.guard is None or Py_IsFinalizing():  # then too little of Python is left for a report
                return
            if not pool_is_shared(&m.engine):
                m.guard.close(PyMemoryView_FromObject(m))
            elif not is_lost(m) and not is_open(m):
                m.guard.close(outstanding_of(m))

    def outstanding(self):
        """Return what is allocated, with the stacks of the allocations. It works after `close` too.

        Returns
        -------
        list of Outstanding
            One for each run, in the order of addresses.

        Raises
        ------
        ValueError
            If the pool is not in debug mode.
        RuntimeError
            If the interpreter is shutting down.
        """
        cdef _Mapping m
        if self.guard is None:
            if self.kept_id is not None:
                raise ValueError(
                    "the pool keeps no stacks; create it with debug=True. runs() shows which process holds what"
                )
            raise ValueError("the pool keeps no stacks; create it with debug=True, or run python -X dev")
        if Py_IsFinalizing():
            raise RuntimeError("the interpreter is shutting down, so stacks can no longer be read; ask earlier")
        if self.kept_id is None:
            return self.guard.outstanding()
        m = self.guard.mapping()
        if m is None:
            return []
        if is_lost(m):
            raise lost_error(&m.engine, m.name)
        return outstanding_of(m)

    def __enter__(self):
        self.opened()
        return self

    def __exit__(self, kind, value, traceback, /):
        self.close()

    def __repr__(self):
        cdef _Mapping m = self.now()
        if m is None:
            return f"<blockpool.{type(self).__name__} closed>"
        kind = "private" if not pool_is_shared(&m.engine) else "shared" if m.name is None else repr(m.name)
        if is_lost(m):
            return f"<blockpool.{type(self).__name__} {kind}, in which this process has no part>"
        size = f"{m.engine.blocks} blocks of {m.engine.block_size} bytes"
        return f"<blockpool.{type(self).__name__} {kind}, {size}, {pool_allocated(&m.engine)} allocated>"

    def _repr_html_(self):
        """Return what a notebook shows, as HTML. It changes nothing, and never raises."""
        return notebook_view(self)

    def __reduce_ex__(self, protocol):
        cdef _Mapping m = self.opened()
        if not pool_is_shared(&m.engine):
            raise TypeError(
                "a private pool cannot be pickled or copied: no other process can reach its memory; "
                "create it with Pool.create()"
            )
        fork_shares = m.engine.attachment.on_fork == ON_FORK_SHARE
        return _attach_pickled, (str(handle_of(m, NULL, Handle)), fork_shares, type(self)), self.__getstate__()

    def __dealloc__(self):
        if WITHOUT_GIL:
            empty_places(self.places)
            c_free(self.places)

    @cython.nonecheck(False)
    cdef allocate_beside(self, blocks, nbytes, timeout):
        """`allocate` without the GIL."""
        cdef Block block
        cdef pool_run run
        cdef PyObject *kept_by
        cdef PyObject *m
        cdef uint64_t n = 1
        if nbytes is None and timeout is ZERO:
            block = Block.__new__(Block)  # first, so that nothing fails after the allocation
            kept_by = self.keeper()
            if kept_by != NULL:
                m = <PyObject *>(<_Keeper>kept_by).mapping  # not counted: see _Keeper
                if blocks is not None:
                    n = quick_length(<_Mapping>m, blocks)
                if n and allocate_quickly(<_Mapping>m, n, 0, &run):
                    pool_count(&(<_Mapping>m).engine, n, n * (<_Mapping>m).engine.block_size)
                    open_block_kept(block, <_Mapping>m, kept_by, &run, n * (<_Mapping>m).engine.block_size)
                    return block
                Py_DECREF(<object>kept_by)
        return self.allocate_slowly(blocks, nbytes, timeout)

    @cython.nonecheck(False)
    cdef inline PyObject *keeper(self) noexcept:
        cdef pool_place *place = place_of_thread(&self.places, os_thread_number())
        cdef PyObject *found = keeper_at(place) if place != NULL else NULL
        return found if found != NULL or place == NULL else self.new_keeper(place)

    cdef PyObject *new_keeper(self, pool_place *place) noexcept:
        cdef _Keeper made = None
        try:
            made = _Keeper.__new__(_Keeper)
            # close() comes before it, and there is none, or after it, and takes it away
            with cython.critical_section(self):
                if self.quick is None:
                    return NULL
                made.mapping = self.quick
                set_keeper(place, <PyObject *>made)
        except MemoryError:
            return NULL
        Py_INCREF(made)
        return <PyObject *>made

    cdef _Mapping now(self):
        with cython.critical_section(self):
            return self.mapping

    cdef allocate_slowly(self, blocks, nbytes, timeout):
        """`allocate` with any arguments."""
        cdef _Mapping m = self.opened()
        cdef double deadline = deadline_of(timeout)
        cdef uint64_t n = 0, length = 0
        cdef pool_run run
        measure(m, blocks, nbytes, &n, &length)
        allocate_run(self, m, n, n * m.engine.block_size - length, False, deadline, &run)
        return block_of_run(m, &run, length)


# --- names ---

cdef _Mapping with_catalog(Pool owner):
    """The mapping of a shared pool."""
    cdef _Mapping m = owner.opened()
    if not pool_is_shared(&m.engine):
        raise ValueError("the pool is private: it has no names, as no other process can get them; use a dict")
    return m


cdef _Mapping with_channels(Pool owner):
    """The mapping of a shared pool."""
    cdef _Mapping m = owner.opened()
    if not pool_is_shared(&m.engine):
        raise ValueError(
            "the pool is private: no other process could reach its queue; create the pool with Pool.create(), or use "
            "queue.Queue"
        )
    return m


cdef int keep_block(_Mapping m, name, block, replace) except -1:
    if not isinstance(block, Block):
        raise TypeError(f"block must be a Block, not {type(block).__name__}")
    (<Block>block).enter()
    try:
        if (<Block>block).mapping is not m:
            raise ValueError(f"the block is not of {titled(m.name)}; keep it in its own pool (block.pool)")
        keep_run(m, name, &(<Block>block).run, bool(replace))
    finally:
        (<Block>block).leave()
    return 0


cdef bint names_live_run(_Mapping m, handle) except -1:
    cdef pool_run run
    run.index = handle.index
    run.generation = handle.generation
    return pool_is_shared(&m.engine) and handle.pool_id == m.id.hex() and pool_is_live(&m.engine, &run)


# --- the Pool objects of a mapping ---

cdef object object_of(_Mapping m):
    """A Pool object of the mapping: an open one if there is one."""
    cdef _Mapping has
    with cython.critical_section(m):
        reference = m.pool_ref
    owner = None if reference is None else reference()
    if owner is None or (<Pool>owner).mapping is not m:
        for other in owners_of(m):
            if (<Pool>other).mapping is m:
                return other
    # A closed one will do, unless it was opened again since, as another pool.
    has = None if owner is None else (<Pool>owner).now()
    if owner is None or (has is not None and has is not m):
        owner = Pool.__new__(Pool)
        if not m.closed:
            adopt(<Pool>owner, m)
    return owner


cdef bint is_open(_Mapping m) except -1:
    """Whether some Pool object has the mapping open."""
    for owner in owners_of(m):
        if (<Pool>owner).mapping is m:
            return True
    return False


cdef pool *engine_of(Pool owner) except NULL:
    return &owner.opened().engine


cdef list owners_of(_Mapping m):
    """The Pool objects of the mapping, closed ones too. Calls no method of theirs, which a subclass may override."""
    cdef list found = [], references
    with cython.critical_section(m):
        references = list(m.owners or ())
    for reference in references:
        owner = reference()
        if owner is not None:
            found.append(owner)
    return found


cdef int adopt(Pool owner, _Mapping mapping) except -1:
    """Attach the Pool object to the mapping."""
    cdef set dead = set()
    reference = PyWeakref_NewRef(owner, None)
    with cython.critical_section(owner):
        if owner.mapping is not None:  # checked here, where no other code can run in between
            raise ValueError("this Pool is open already; create a new one")
        owner.guard = mapping.guard
        owner.kept_name = mapping.name
        owner.kept_id = mapping.id
        owner.may_have_ended = (
            pool_is_shared(&mapping.engine) and not mapping.engine.attachment.geometry.flags & LAYOUT_PERMANENT
        )
        owner.mapping = mapping
        owner.quick = mapping if mapping.guard is None else None
    with cython.critical_section(mapping):
        others = list(mapping.owners or ())
    for other in others:  # without the section: a destructor may run here, and adopt another one
        if other() is None:
            dead.add(id(other))
    with cython.critical_section(mapping):
        mapping.pool_ref = reference
        mapping.owners = [other for other in mapping.owners or () if id(other) not in dead]
        mapping.owners.append(reference)
    return 0


pool_object = object_of


def _attach_pickled(text, fork_shares, kind=Pool):
    """Unpickle a shared pool as an object of the class `kind`."""
    if not isinstance(kind, type) or not issubclass(kind, Pool):
        raise garbled("class", kind)
    m = mapping_of_handle(Handle.parse(text), "share" if flag_field("fork_shares", fork_shares) else "detach")
    owner = kind.__new__(kind)
    adopt(<Pool?>owner, m)
    return owner


cdef int unlink_pool(Pool owner) except -1:
    """Remove the name of the pool that the object refers to, or did before it was closed."""
    if owner.kept_id is None:
        raise PoolNotFound("the pool is private: it has no name to remove")
    if owner.kept_name is None:
        raise PoolNotFound("the pool has no name to remove: it was created without one")
    if owner.mapping is not None:
        owner.opened()
    try:
        unlink_named(owner.kept_name, owner.kept_id)
    except PoolNotFound:
        if owner.mapping is not None or not owner.may_have_ended:
            raise
    owner.may_have_ended = False
    return 0
