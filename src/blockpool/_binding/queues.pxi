# See queues.pxd.

cdef enum:
    OVERFLOW_WAIT
    OVERFLOW_OLDEST
    OVERFLOW_NEWEST
    OVERFLOW_RAISE
    QUEUE_CAPACITY = 64
    TAKEN_MOST = 1024  # messages after which a receiver that never waits looks for the dead

cdef tuple OVERFLOWS = ("wait", "drop_oldest", "drop_newest", "raise")


cdef int as_overflow(overflow) except -1:
    if overflow not in OVERFLOWS:
        raise ValueError(f"overflow must be one of {', '.join(OVERFLOWS)}, not {overflow!r:.60}")
    return OVERFLOWS.index(overflow)


cdef object open_queue(_Mapping m, name, capacity, overflow, redeliver, permanent, spin):
    cdef Queue queue = Queue.__new__(Queue)
    queue.overflow_code = as_overflow(overflow)
    queue.drops = queue.overflow_code == OVERFLOW_OLDEST
    queue.unfinished_items = []
    open_channel(queue, m, name, QUEUE_IS_QUEUE, capacity, QUEUE_CAPACITY, redeliver, permanent, spin)
    return queue


@cython.final
@cython.no_gc_clear
cdef class Queue(_Channel):
    """A queue between any processes that share a pool; from `Pool.queue`.

    It is used like `queue.Queue`. What is put is received once, by one receiver; messages of one sender come in order.
    A process that is killed or stopped, at any moment, holds nobody up. What it had put is received, and what it had
    received but not finished is received by another one, if the queue redelivers.

    ``for item in queue`` receives items until the queue is shut down. If the queue redelivers, an item is done when the
    next one is asked for; the last one before a ``break`` or an exception goes back into the queue. ``async for`` does
    the same.

    A Block or an array of the pool is passed on without a copy, also within another object; the sender keeps its own
    reference. Other arrays and large buffers are copied once. Everything else is pickled.

    Attributes
    ----------
    name : str or None
        Its name in the pool.

    Notes
    -----
    Thread safety: all methods may be called from any thread. Process safety: a queue can be pickled, which puts a
    reference in flight (see `Block.share`), and a forked child has what its parent had open. The queue ends when no
    process has it open any more, unless it is permanent; then its messages end too.

    Every method raises `QueueClosed` after `close`; `PoolClosed`, `TooManyProcesses` or `PoolBusy` if this process is a
    forked child without a part in the pool (see Notes of `Pool`); and `PoolCorrupt` if something wrote over the pool's
    bookkeeping.

    Examples
    --------
    >>> import blockpool
    >>> pool = blockpool.Pool.create("4KiB", 16)
    >>> queue = pool.queue()
    >>> queue.put(pool.zeros(3))
    >>> queue.put("done")
    >>> queue.get(), queue.get()
    (array([0., 0., 0.]), 'done')
    """

    cdef int overflow_code      # OVERFLOW_…
    cdef list unfinished_items  # Messages that get() gave, oldest first; only with redelivery
    cdef uint32_t unfinished_of  # of the process after so many forks
    cdef uint32_t taken         # messages received since somebody looked for the dead

    def __init__(self):
        raise TypeError("a Queue comes from Pool.queue()")

    # --- sending ---

    @cython.nonecheck(False)
    def put(self, item, block=True, timeout=None):
        """Put an item into the queue.

        Parameters
        ----------
        item : object
            A Block or array of the pool, bytes, or anything that can be pickled.
        block : bool
            Wait while the queue is full. Ctrl-C interrupts the wait.
        timeout : float, optional
            Seconds to wait at most; None waits as long as it takes.

        Raises
        ------
        queue.Full
            As `QueueFull`: if the queue stays full.
        PoolExhausted
            If there is no room for the message itself, or for a copy in the pool.
        QueueShutDown
            If the queue was shut down.
        InvalidBlock
            If a Block was released or freed, or is of another pool.
        TooManyTickets
            If the Block is in thousands of messages at the same time.
        TypeError, ValueError
            If an argument has the wrong type or is out of range; and whatever pickle raises for the item.

        Notes
        -----
        Whatever is raised, the item was not put, and nothing of it is left behind.
        """
        self.send(item, INFINITY if block is True and timeout is None else deadline_given(block, timeout))

    def put_nowait(self, item):
        """Put an item into the queue, without waiting.

        Parameters
        ----------
        item : object
            As for `put`.

        Raises
        ------
        queue.Full
            As `QueueFull`: if the queue is full.
        """
        self.send(item, 0)

    @cython.nonecheck(False)
    cdef int send(self, item, double deadline) except -1:
        cdef queue_message message
        cdef _Mapping m = self.enter()
        try:
            if self.overflow_code == OVERFLOW_RAISE:
                deadline = 0
            pack_item(self, m, item, deadline, &message)
            try:
                if not self.try_put(m, &message):
                    self.overflowed(m, deadline, &message)
            except BaseException:
                self.end(m, &message)
                raise
        finally:
            self.leave()
        return 0

    cdef int overflowed(self, _Mapping m, double deadline, queue_message *message) except -1:
        """Do what the queue is to do when it is full."""
        if self.overflow_code == OVERFLOW_NEWEST:
            self.look_for_the_dead(m)
            if not self.try_put(m, message):
                self.end(m, message)
                fetch_add_seq(&self.view.header.lost, 1)
            return 0
        if self.overflow_code != OVERFLOW_OLDEST:
            return self.put_message(m, deadline, message)
        while not self.try_put(m, message):
            attachment_queue_drop_oldest(m.engine.attachment, &self.view, message)
            PyErr_CheckSignals()
        return 0

    # --- receiving ---

    @cython.nonecheck(False)
    def get(self, block=True, timeout=None):
        """Receive the oldest item.

        If the queue redelivers, the item counts as unfinished until `task_done`.

        Parameters
        ----------
        block : bool
            Wait for an item. Ctrl-C interrupts the wait.
        timeout : float, optional
            Seconds to wait at most; None waits as long as it takes.

        Returns
        -------
        object
            What was put: a Block of the same memory, an array that shows it, bytes, or an equal object.

        Raises
        ------
        queue.Empty
            As `QueueEmpty`: if no item comes.
        QueueShutDown
            If the queue was shut down, and is empty.
        TypeError, ValueError
            If an argument has the wrong type or is out of range; and whatever pickle raises for the item, which is
            received then.
        """
        return self.receive_item(INFINITY if block is True and timeout is None else deadline_given(block, timeout))

    def get_nowait(self):
        """Receive the oldest item, without waiting.

        Returns
        -------
        object
            As from `get`.

        Raises
        ------
        queue.Empty
            As `QueueEmpty`: if there is none.
        """
        return self.receive_item(0)

    @cython.nonecheck(False)
    cdef object receive_item(self, double deadline):
        cdef queue_message message
        cdef _Mapping m = self.enter()
        cdef Message noted
        try:
            if self.view.flags & QUEUE_REDELIVERS:
                noted = self.receive_message(m, deadline)
                item, noted.item = noted.item, None
                self.note(noted)
                return item
            self.take(m, deadline, &message)
            try:
                return unpack_item(self, m, &message)
            finally:
                self.end(m, &message)
        finally:
            self.leave()

    def receive(self, block=True, timeout=None):
        """Receive the oldest item, with what is known of its message.

        Parameters
        ----------
        block : bool
            Wait for an item, as `get` does.
        timeout : float, optional
            Seconds to wait at most; None waits as long as it takes.

        Returns
        -------
        Message
            If the queue redelivers, call its `done`, or use it in a ``with``.

        Raises
        ------
        queue.Empty
            As `QueueEmpty`: if no item comes.
        QueueShutDown
            If the queue was shut down, and is empty.
        TypeError, ValueError
            As for `get`.
        """
        cdef double deadline = deadline_given(block, timeout)
        cdef _Mapping m = self.enter()
        try:
            return self.receive_message(m, deadline)
        finally:
            self.leave()

    cdef Message receive_message(self, _Mapping m, double deadline):
        """Take a message; it is unfinished if the queue redelivers."""
        cdef Message message = Message.__new__(Message)
        cdef bint redelivers = self.view.flags & QUEUE_REDELIVERS
        if redelivers and count_by(&self.taken, 1) % TAKEN_MOST == 0:
            reclaim(m, True)
        self.take(m, deadline, &message.message)
        try:
            message.item = unpack_item(self, m, &message.message)
            message.sent_at = message.message.message.sent
            message.process = message.message.message.process
            message.thread = PyThread_get_thread_ident()
            message.forks = self.forks(m)
            if redelivers:
                self.enter()
                message.channel = self
                return message
        except Exception:
            self.end(m, &message.message)
            raise
        except BaseException:  # Ctrl-C, or the end of the program: it can be received again
            attachment_message_return(m.engine.attachment, &self.view, &message.message)
            raise
        self.end(m, &message.message)
        return message

    cdef int note(self, Message message) except -1:
        """Remember a message that get() gave, for task_done()."""
        with cython.critical_section(self):
            if self.unfinished_of != message.forks:
                self.unfinished_of = message.forks
                self.unfinished_items = []
            self.unfinished_items.append(message)
        return 0

    # --- in event loops ---

    def put_async(self, item, timeout=None):
        """Put an item as `put` does, but let asyncio's event loop run while the queue is full.

        Parameters
        ----------
        item : object
            As for `put`. It is pickled, or copied, when there is room.
        timeout : float, optional
            Seconds to wait at most, counted from when the call is awaited; None waits as long as it takes.

        Returns
        -------
        awaitable
            Await it once, in a running event loop. It raises what `put` does.

        Notes
        -----
        A call that waits looks for room every few milliseconds.
        """
        from blockpool._async_queues import put_async

        self.opened()
        return put_async(self, item, as_seconds(timeout))

    def get_async(self, timeout=None):
        """Receive the oldest item as `get` does, but let asyncio's event loop run until there is one.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most, counted from when the call is awaited; None waits as long as it takes.

        Returns
        -------
        awaitable of object
            Await it once, in a running event loop. It raises what `get` does.

        Notes
        -----
        One descriptor of the process is used while any call waits for this queue in the loop. A call that is cancelled
        has received nothing.
        """
        from blockpool._async_queues import get_async

        self.opened()
        return get_async(self, as_seconds(timeout))

    def receive_async(self, timeout=None):
        """Receive the oldest item as `receive` does, but let asyncio's event loop run until there is one.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most, as for `get_async`.

        Returns
        -------
        awaitable of Message
            Await it once, in a running event loop. It raises what `receive` does.
        """
        from blockpool._async_queues import receive_async

        self.opened()
        return receive_async(self, as_seconds(timeout))

    def join_async(self, timeout=None):
        """Wait as `join` does, but let asyncio's event loop run.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most, counted from when the call is awaited; None waits as long as it takes.

        Returns
        -------
        awaitable
            Await it once, in a running event loop. It raises what `join` does.
        """
        from blockpool._async_queues import join_async

        self.opened()
        return join_async(self, as_seconds(timeout))

    def __aiter__(self):
        from blockpool._async_queues import items_async

        self.opened()
        return items_async(self)

    # --- finishing ---

    def task_done(self):
        """Finish the oldest item that `get` gave this thread; without one, the oldest that it gave this process.

        Raises
        ------
        ValueError
            If there is none; or if the queue does not redeliver, so that an item is done when it is received.
        """
        cdef Message message, found = None
        cdef unsigned long thread = PyThread_get_thread_ident()
        cdef _Mapping m = self.enter()
        try:
            if not self.view.flags & QUEUE_REDELIVERS:
                raise ValueError(
                    f"{described(self)} does not redeliver, so an item is done when it is received; make it with "
                    "redeliver=True"
                )
            with cython.critical_section(self):
                if self.unfinished_of == self.forks(m):
                    for message in self.unfinished_items:
                        if found is None or message.thread == thread:
                            found = message
                        if message.thread == thread:
                            break
                    if found is not None:
                        self.unfinished_items.remove(found)
            if found is None:
                raise ValueError("task_done() called more often than get() in this process")
            found.finish(False)
        finally:
            self.leave()

    def join(self, timeout=None):
        """Wait until every item that was put is done.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most; None waits as long as it takes. Ctrl-C interrupts the wait.

        Raises
        ------
        TimeoutError
            If some are not.
        TypeError, ValueError
            If `timeout` is not a number, or negative.
        """
        cdef double deadline = deadline_given(True, timeout)
        cdef uint64_t waiting = 0, taken = 0
        cdef uint32_t sequence
        cdef _Mapping m = self.enter()
        try:
            while True:
                sequence = self.sequence(m, QUEUE_WRITABLE)
                attachment_queue_count(m.engine.attachment, &self.view, &waiting, &taken)
                if waiting == 0 and taken == 0:
                    return
                if not self.sleep(m, QUEUE_WRITABLE, sequence, deadline):
                    raise TimeoutError(
                        f"{described(self)}: {waiting} items wait, and {taken} were received and are not done"
                    )
        finally:
            self.leave()

    def __iter__(self):
        cdef _Items items = _Items.__new__(_Items)
        self.opened()
        items.queue = self
        return items

    # --- its state ---

    def qsize(self):
        """Return how many items wait in the queue. With other threads and processes at work, it may be others by now.

        Returns
        -------
        int
            Without those that were received and are not done.
        """
        return self.count_of(False)

    def empty(self):
        """Return whether no item waits in the queue; as for `qsize`, that may change at once.

        Returns
        -------
        bool
            Whether `qsize` is 0.
        """
        return self.count_of(False) == 0

    def full(self):
        """Return whether `put` would have to wait; as for `qsize`, that may change at once.

        Returns
        -------
        bool
            Whether as many items wait as the queue has room for.
        """
        return self.count_of(False) >= self.view.capacity

    cdef object count_of(self, bint with_taken):
        cdef uint64_t waiting = 0, taken = 0
        cdef _Mapping m = self.enter()
        try:
            # counting what was taken means looking at every block of the room for messages
            attachment_queue_count(m.engine.attachment, &self.view, &waiting, &taken if with_taken else NULL)
        finally:
            self.leave()
        return waiting + taken

    @property
    def unfinished(self):
        """How many items were put and are not done: those that wait, and those that were received and not finished."""
        return self.count_of(True)

    @property
    def lost(self):
        """How many items were dropped because the queue was full; see `overflow` of `Pool.queue`."""
        self.opened()
        return load_relaxed(&self.view.header.lost)

    @property
    def capacity(self):
        """How many items can wait in the queue."""
        return self.view.capacity

    @property
    def maxsize(self):
        """The capacity, under the name that it has in `queue.Queue`."""
        return self.view.capacity

    @property
    def redeliver(self):
        """Whether an item is received again by another process, if its receiver dies before it is done."""
        return self.view.flags & QUEUE_REDELIVERS != 0

    @property
    def permanent(self):
        """Whether the queue stays until `unlink`, although no process has it open."""
        return self.view.flags & QUEUE_PERMANENT != 0

    @property
    def overflow(self):
        """What `put` does through this object when the queue is full; see `Pool.queue`."""
        return OVERFLOWS[self.overflow_code]

    @property
    def pool(self):
        """The pool that the queue is in; an open Pool object if there is one."""
        return owner_of(self.opened())

    @property
    def closed(self):
        """Whether `close` was called."""
        return not state_is_open(&self.state)

    # --- its end ---

    def shutdown(self, immediate=False):
        """Shut the queue down, for all processes and for ever.

        From then on `put` raises `QueueShutDown`, and so does `get` once the queue is empty.

        Parameters
        ----------
        immediate : bool
            Also drop the items that wait in it.
        """
        cdef _Mapping m = self.enter()
        try:
            attachment_queue_shut(m.engine.attachment, &self.view, bool(immediate))
        finally:
            self.leave()

    def close(self):
        """Close the queue in this process, or this object of it; closing it again does nothing.

        What `get` gave and was not done goes back into the queue, if it redelivers. Other calls that wait at the moment
        raise `QueueClosed`.
        """
        cdef Message message
        cdef list unfinished
        cdef bint lost = self.mapping is None or is_lost(self.mapping)
        if not self.close_channel() and not lost:
            return
        with cython.critical_section(self):
            unfinished = self.unfinished_items
            self.unfinished_items = []
        if lost or unfinished is None:
            return
        for message in reversed(unfinished):
            message.finish(True)

    def unlink(self):
        """Take the queue's name away.

        Processes that have it open go on; a permanent queue too ends with the last of them.

        Raises
        ------
        NameNotFound
            If it has no name, or lost it before.
        PoolBusy
            If another process kept this one waiting too long; it may be stopped.
        """
        cdef _Mapping m = self.enter()
        try:
            if self.name is None:
                raise NameNotFound("the queue has no name to remove")
            forget_channel(self, m)
        finally:
            self.leave()

    def fileno(self):
        """Return a descriptor for event loops: it becomes readable when there may be an item.

        Then call `get_nowait` until it raises `queue.Empty`, which makes the descriptor wait for the next item. Do so
        once before the first wait too.

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

    def __enter__(self):
        self.opened()
        return self

    def __exit__(self, kind, value, traceback, /):
        self.close()

    def __repr__(self):
        cdef uint64_t waiting = 0
        what = "" if self.name is None else f" {self.name!r}"
        if not state_is_open(&self.state):
            return f"<blockpool.Queue{what} closed>"
        if is_lost(self.mapping):
            return f"<blockpool.Queue{what} of a pool in which this process has no part>"
        attachment_queue_count(self.mapping.engine.attachment, &self.view, &waiting, NULL)
        return f"<blockpool.Queue{what}, {waiting} of {self.view.capacity}>"

    def _repr_html_(self):
        """Return what a notebook shows, as HTML. It changes nothing, and never raises."""
        return notebook_view(self)

    def __reduce_ex__(self, protocol):
        self.enter()
        try:
            spin = None if self.spin < 0 else self.spin
            parts = self.sent_channel()
            return _receive_queue, (*parts, self.overflow_code, spin)
        finally:
            self.leave()


def _receive_queue(pool_id, index, generation, process, pool_name, name, overflow, spin, /):
    """Unpickle a queue."""
    cdef Queue queue = Queue.__new__(Queue)
    queue.overflow_code = number_field("overflow", overflow, 0, len(OVERFLOWS) - 1)
    queue.drops = queue.overflow_code == OVERFLOW_OLDEST
    queue.unfinished_items = []
    redeem_channel(queue, QUEUE_IS_QUEUE, pool_id, index, generation, process, pool_name, name, spin)
    return queue


# --- iteration ---

@cython.internal
@cython.final
cdef class _Items:
    """The items of a queue, until it is shut down; an item is done when the next one is asked for."""

    cdef Queue queue
    cdef Message message    # of the last item, if the queue redelivers

    def __iter__(self):
        return self

    def __next__(self):
        cdef _Mapping m
        cdef Message message
        with cython.critical_section(self):
            message = self.message
            self.message = None
        if message is not None:
            message.finish(False)
        m = self.queue.enter()
        try:
            if not self.queue.view.flags & QUEUE_REDELIVERS:
                return self.queue.receive_item(INFINITY)
            message = self.queue.receive_message(m, INFINITY)
            with cython.critical_section(self):
                self.message = message
            return message.item
        except QueueShutDown:
            raise StopIteration from None
        finally:
            self.queue.leave()
