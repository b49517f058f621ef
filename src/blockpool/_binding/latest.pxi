# See latest.pxd.

cdef object open_latest(_Mapping m, name, permanent, spin):
    cdef Latest latest = Latest.__new__(Latest)
    open_channel(latest, m, name, QUEUE_IS_LATEST, 1, 1, None, permanent, spin)
    return latest


@cython.final
@cython.no_gc_clear
cdef class Latest(_Channel):
    """A value of a shared pool of which only the newest counts, from `Pool.latest`: a pose, a setting, a heartbeat.

    Any process may `set` it, and any number may `get` it. A reader gets a whole value, the newest at that time, however
    often it is set meanwhile. Neither waits for the other, and the value outlives the process that set it.

    Values are what `Queue.put` takes: a Block or an array of the pool is passed on without a copy, other large arrays
    and buffers are copied into the pool once, and everything else is pickled. An array that was passed on without a
    copy is shared memory: set a new one instead of writing into it.

    Attributes
    ----------
    name : str or None
        Its name in the pool.

    Notes
    -----
    Thread safety: all methods may be called from any thread. Process safety: a latest value can be pickled, which puts
    a reference in flight (see `Block.share`), and a forked child has what its parent had open. With a name it stays
    until `unlink`, as long as the pool, unless it was made with ``permanent=False``; otherwise it ends when no process
    has it open any more. What a reader got stays its own.

    Every method raises `QueueClosed` after `close`; `PoolClosed`, `TooManyProcesses` or `PoolBusy` if this process is a
    forked child without a part in the pool (see Notes of `Pool`); and `PoolCorrupt` if something wrote over the pool's
    bookkeeping.

    Examples
    --------
    >>> import blockpool
    >>> pool = blockpool.Pool.create("4KiB", 16)
    >>> pose = pool.latest("pose")
    >>> pose.get(default=None)
    >>> pose.set((1.0, 2.0, 0.5))
    >>> pool.latest("pose").get()
    (1.0, 2.0, 0.5)
    >>> sample = pose.read()
    >>> sample.position, sample.age < 60, sample.writer_alive
    (0, True, True)
    """

    def __init__(self):
        raise TypeError("a Latest comes from Pool.latest()")

    # --- writing ---

    @cython.nonecheck(False)
    def set(self, value, /):
        """Set the value. Never waits.

        Parameters
        ----------
        value : object
            A Block or array of the pool, bytes, or anything that can be pickled.

        Raises
        ------
        PoolExhausted
            If there is no room for the message itself, or for a copy in the pool. The old value stays until the new one
            is there, so it takes room for both.
        InvalidBlock
            If a Block was released or freed, or is of another pool.
        TooManyTickets
            If the Block is in thousands of messages at the same time.
        Exception
            Whatever pickle raises for the value.

        Notes
        -----
        Whatever is raised, the value is what it was, and nothing of the new one is left behind.
        """
        cdef queue_message message
        cdef _Mapping m = self.enter()
        try:
            pack_item(self, m, value, 0, &message)
            try:
                self.put_message(m, 0, &message)
            except BaseException:
                self.end(m, &message)
                raise
        finally:
            self.leave()

    # --- reading ---

    @cython.nonecheck(False)
    def get(self, default=...):
        """Return the newest value.

        Parameters
        ----------
        default : object, optional
            What to return if it was never set.

        Returns
        -------
        object
            What was set: a Block of the same memory, an array that shows it, bytes, or an equal object.

        Raises
        ------
        queue.Empty
            As `QueueEmpty`: if it was never set, and there is no default.
        Exception
            Whatever pickle raises for the value.

        Notes
        -----
        The call takes no lock that another process could hold.
        """
        cdef uint64_t position
        cdef _Mapping m = self.enter()
        try:
            value = self.newest(m, 0, &position, None)
        finally:
            self.leave()
        if value is not NOTHING:
            return value
        if default is ...:
            raise never_set(self)
        return default

    def read(self):
        """Return the newest value, with what is known of it.

        Returns
        -------
        Sample
            The value, its number, its age, and who set it.

        Raises
        ------
        queue.Empty
            As `QueueEmpty`: if it was never set.
        Exception
            Whatever pickle raises for the value.
        """
        cdef Sample sample
        cdef _Mapping m = self.enter()
        try:
            sample = self.newer(m, 0)
        finally:
            self.leave()
        if sample is None:
            raise never_set(self)
        return sample

    def wait(self, newer_than=None, timeout=None):
        """Wait for a newer value.

        Parameters
        ----------
        newer_than : Sample or int, optional
            The last one that was read, or its position. Without it, any value will do.
        timeout : float, optional
            Seconds to wait at most; None waits as long as it takes. Ctrl-C interrupts the wait.

        Returns
        -------
        Sample
            The newest value; those between may have been missed.

        Raises
        ------
        queue.Empty
            As `QueueEmpty`: if none comes.
        TypeError, ValueError
            If an argument has the wrong type or is out of range; and whatever pickle raises for the value.
        """
        cdef uint64_t first = self.first_after(newer_than)
        cdef double deadline = deadline_given(True, timeout)
        cdef Sample sample
        cdef uint32_t sequence
        cdef _Mapping m = self.enter()
        try:
            sample = self.newer(m, first)
            if sample is None and deadline == 0:
                self.look_for_the_dead(m)
                sample = self.newer(m, first)
            elif sample is None:
                if self.spins_at(m, first, deadline):
                    sample = self.newer(m, first)
                while sample is None:
                    sequence = self.sequence(m, QUEUE_READABLE)
                    sample = self.newer(m, first)
                    if sample is None and not self.sleep(m, QUEUE_READABLE, sequence, deadline):
                        break
        finally:
            self.leave()
        if sample is None:
            raise QueueEmpty(f"{described(self)} was not set again; wait longer (timeout=)")
        return sample

    def wait_async(self, newer_than=None, timeout=None):
        """Wait for a newer value as `wait` does, but let asyncio's event loop run until there is one.

        Parameters
        ----------
        newer_than : Sample or int, optional
            The last one that was read, or its position.
        timeout : float, optional
            Seconds to wait at most, counted from when the call is awaited; None waits as long as it takes.

        Returns
        -------
        awaitable of Sample
            Await it once, in a running event loop. It raises what `wait` does.

        Notes
        -----
        One descriptor of the process is used while any call waits for this object in the loop.
        """
        from blockpool._async_queues import newer_async

        self.first_after(newer_than)
        return newer_async(self, newer_than, as_seconds(timeout))

    cdef uint64_t first_after(self, newer_than) except? 0:
        """The lowest position that is newer."""
        cdef Sample sample
        if newer_than is None:
            return 0
        if isinstance(newer_than, Sample):
            sample = <Sample>newer_than
            if sample.index != self.view.run.index or sample.generation != self.view.run.generation:
                raise ValueError(f"newer_than is a sample of another latest value, not of {described(self)}")
            return <uint64_t>sample.position + 1
        try:
            number = PyNumber_Index(newer_than)
        except TypeError:
            raise TypeError(
                f"newer_than must be a Sample, a position or None, not {type(newer_than).__name__}"
            ) from None
        if not 0 <= number < INT64_MAX:
            raise ValueError(f"newer_than must be a position, 0 or more, not {readable(number)}")
        return <uint64_t>number + 1

    cdef Sample newer(self, _Mapping m, uint64_t first):
        """A sample at that position or later, or None."""
        cdef Sample sample = Sample.__new__(Sample)
        cdef uint64_t position
        sample.value = self.newest(m, first, &position, sample)
        if sample.value is NOTHING:
            return None
        sample.position = position
        sample.index = self.view.run.index
        sample.generation = self.view.run.generation
        sample.mapping = m
        return sample

    @cython.nonecheck(False)
    cdef object newest(self, _Mapping m, uint64_t first, uint64_t *position, Sample sample):
        """The newest value, if it is at that position or later; otherwise NOTHING."""
        cdef message_copy copy
        cdef uint64_t next, lost = 0
        if self.descriptor >= 0:
            self.rearm(m)
        while True:
            next = queue_next(&self.view)
            if next == 0 or next - 1 < first:
                return NOTHING
            position[0] = next - 1
            if not self.try_copy(m, position, &lost, &copy):
                return NOTHING
            try:
                if sample is not None:
                    sample.sent_at = copy.message.message.sent
                    sample.process = copy.message.message.process
                return unpack_item(self, m, &copy.message)
            except MessageEnded:
                continue
            finally:
                free_copy(&copy)

    # --- its state ---

    @property
    def position(self):
        """The number of the newest value, counted from 0, or None if it was never set."""
        cdef uint64_t next
        self.enter()
        try:
            next = queue_next(&self.view)
            return None if next == 0 else next - 1
        finally:
            self.leave()

    @property
    def permanent(self):
        """Whether it stays until `unlink`, although no process has it open."""
        return self.view.flags & QUEUE_PERMANENT != 0

    @property
    def pool(self):
        """The pool that it is in; an open Pool object if there is one."""
        return owner_of(self.opened())

    @property
    def closed(self):
        """Whether `close` was called."""
        return not state_is_open(&self.state)

    def fileno(self):
        """Return a descriptor for event loops: it becomes readable when the value may have been set.

        Then call `get` or `read`, which makes the descriptor wait for the next value. Do so once before the first wait
        too.

        Returns
        -------
        int
            It stays open until `close`. A forked child asks for its own.

        Raises
        ------
        OSError
            If there is no free file descriptor.
        """
        cdef _Mapping m = self.enter()
        try:
            return self.watch(m)
        finally:
            self.leave()

    # --- its end ---

    def close(self):
        """Close this object; closing it again does nothing. Calls that wait at the moment raise `QueueClosed`."""
        self.close_channel()

    def unlink(self):
        """Take its name away.

        Processes that have it open go on; it ends with the last of them.

        Raises
        ------
        NameNotFound
            If it has no name, or lost it before.
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        """
        unlink_channel(self)

    def __enter__(self):
        self.opened()
        return self

    def __exit__(self, kind, value, traceback, /):
        self.close()

    def __repr__(self):
        what = "" if self.name is None else f" {self.name!r}"
        if not state_is_open(&self.state):
            return f"<blockpool.Latest{what} closed>"
        if is_lost(self.mapping):
            return f"<blockpool.Latest{what} of a pool in which this process has no part>"
        return f"<blockpool.Latest{what}, set {queue_next(&self.view)} times>"

    def _repr_html_(self):
        """Return what a notebook shows, as HTML. It changes nothing, and never raises."""
        return notebook_view(self)

    def __reduce_ex__(self, protocol):
        self.enter()
        try:
            return _receive_latest, (*self.sent_channel(), None if self.spin < 0 else self.spin)
        finally:
            self.leave()


def _receive_latest(pool_id, index, generation, process, pool_name, name, spin, /):
    """Unpickle a latest value."""
    cdef Latest latest = Latest.__new__(Latest)
    redeem_channel(latest, QUEUE_IS_LATEST, pool_id, index, generation, process, pool_name, name, spin)
    return latest


def writer_alive(Latest latest not None, process, double sent, /):
    """Return what `Sample.writer_alive` is of a value that this process set at that time; for tests."""
    cdef _Mapping m = latest.enter()
    try:
        return is_attached(m, process, <uint64_t>(sent * 1e9))
    finally:
        latest.leave()


cdef never_set(Latest latest):
    return QueueEmpty(f"{described(latest)} was never set; give a default, or wait()")


@cython.final
cdef class Sample:
    """A value that was read, with what is known of it; from `Latest.read` and `Latest.wait`.

    Attributes
    ----------
    value : object
        What was set.
    position : int
        Its number, counted from 0; for `Latest.wait`.
    process : int
        Id of the process that set it.
    """

    cdef readonly object value
    cdef readonly object position
    cdef readonly uint32_t process
    cdef uint64_t sent_at  # nanoseconds on the monotonic clock
    cdef uint64_t index, generation  # of the latest value's run
    cdef _Mapping mapping

    def __init__(self):
        raise TypeError("a Sample comes from Latest.read()")

    @property
    def sent(self):
        """When it was set: seconds on the clock of `time.monotonic`."""
        return self.sent_at * 1e-9

    @property
    def age(self):
        """How many seconds ago it was set; it grows."""
        return os_now() - self.sent_at * 1e-9

    @property
    def writer_alive(self):
        """Whether the process that set it has the pool attached and lives, asked now; None if that cannot be known.

        A later process with the same id is told from it. False says that it has died, or has left the pool.
        """
        if self.mapping is None or is_lost(self.mapping):
            return None
        return is_attached(self.mapping, self.process, self.sent_at)

    def __repr__(self):
        return f"<blockpool.Sample {self.position}, {self.value!r:.60}>"
