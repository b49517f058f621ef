# See topics.pxd.

cdef enum:
    TOPIC_HISTORY = 8

# What stands for no message.
cdef object NOTHING = object()


cdef object open_topic(_Mapping m, name, history, permanent, spin):
    cdef Topic topic = Topic.__new__(Topic)
    topic.drops = True
    open_channel(topic, m, name, QUEUE_IS_TOPIC, history, TOPIC_HISTORY, None, permanent, spin)
    return topic


@cython.final
@cython.no_gc_clear
cdef class Topic(_Channel):
    """A topic of a shared pool, from `Pool.topic`: each of its readers gets everything that is published.

    Readers `subscribe`. The topic keeps the last `history` items. A reader that falls further behind misses the oldest
    and learns how many; nobody waits for it. A reader that must not miss any subscribes with ``wait=True``; then
    `publish` waits for it, until it has read, leaves or dies.

    Items are what `Queue.put` takes: a Block or an array of the pool is passed on without a copy, other arrays and
    large buffers are copied once, however many read them, and everything else is pickled. All readers and the publisher
    share the memory of an array, so who writes into it changes what the others see.

    Attributes
    ----------
    name : str or None
        Its name in the pool.

    Notes
    -----
    Thread safety: all methods may be called from any thread. Process safety: a topic can be pickled, which puts a
    reference in flight (see `Block.share`), and a forked child has what its parent had open. It ends when no process
    has it open any more, unless it is permanent; then its history ends too. What a reader received stays its own.

    Every method raises `QueueClosed` after `close`; `PoolClosed`, `TooManyProcesses` or `PoolBusy` if this process is a
    forked child without a part in the pool (see Notes of `Pool`); and `PoolCorrupt` if something wrote over the pool's
    bookkeeping.

    Examples
    --------
    >>> import blockpool
    >>> pool = blockpool.Pool.create("4KiB", 16)
    >>> topic = pool.topic(history=2)
    >>> early = topic.subscribe()
    >>> for number in range(3):
    ...     topic.publish(number)
    >>> early.get(), early.lost
    (1, 1)
    >>> list(map(topic.subscribe().get, (False, False)))
    [1, 2]
    """

    def __init__(self):
        raise TypeError("a Topic comes from Pool.topic()")

    # --- publishing ---

    @cython.nonecheck(False)
    def publish(self, item, block=True, timeout=None):
        """Publish an item to all readers.

        Parameters
        ----------
        item : object
            A Block or array of the pool, bytes, or anything that can be pickled.
        block : bool
            Wait for waiting subscriptions that are `history` items behind. Ctrl-C interrupts the wait.
        timeout : float, optional
            Seconds to wait at most; None waits as long as it takes.

        Raises
        ------
        queue.Full
            As `QueueFull`: if a waiting subscription stays behind.
        PoolExhausted
            If there is no room for the message itself, or for a copy in the pool, although the history was dropped.
        QueueShutDown
            If the topic was shut down.
        InvalidBlock
            If a Block was released or freed, or is of another pool.
        TooManyTickets
            If the Block is in thousands of messages at the same time.
        TypeError, ValueError
            If an argument has the wrong type or is out of range; and whatever pickle raises for the item.

        Notes
        -----
        Whatever is raised, the item was not published, and nothing of it is left behind. Without room for a message or
        a copy, the oldest items of the history are dropped first, except those that a waiting subscription has not
        read; then the call waits for room.
        """
        self.send(item, INFINITY if block is True and timeout is None else deadline_given(block, timeout))

    def publish_nowait(self, item):
        """Publish an item without waiting.

        Parameters
        ----------
        item : object
            As for `publish`.

        Raises
        ------
        queue.Full
            As `QueueFull`: if a waiting subscription is `history` items behind.
        """
        self.send(item, 0)

    def publish_async(self, item, timeout=None):
        """Publish an item as `publish` does, but let asyncio's event loop run while it waits.

        Parameters
        ----------
        item : object
            As for `publish`. It is pickled, or copied, when there is room.
        timeout : float, optional
            Seconds to wait at most, counted from when the call is awaited; None waits as long as it takes.

        Returns
        -------
        awaitable
            Await it once, in a running event loop. It raises what `publish` does.

        Notes
        -----
        A call that waits looks every few milliseconds.
        """
        from blockpool._async_queues import publish_async

        return publish_async(self, item, as_seconds(timeout))

    @cython.nonecheck(False)
    cdef int send(self, item, double deadline) except -1:
        cdef queue_message message
        cdef _Mapping m = self.enter()
        try:
            pack_item(self, m, item, deadline, &message)
            try:
                self.put_message(m, deadline, &message)
            except BaseException:
                self.end(m, &message)
                raise
        finally:
            self.leave()
        return 0

    # --- reading ---

    def subscribe(self, *, wait=False, start="history"):
        """Begin to read the topic.

        Parameters
        ----------
        wait : bool
            Whether publishers wait for this reader, so that it misses nothing. Otherwise it is lossy.
        start : {"history", "now"}
            Begin with the oldest item that the topic keeps, or with the next one to be published.

        Returns
        -------
        Subscription
            A new reader.

        Raises
        ------
        PoolExhausted
            If the topic has 256 waiting subscriptions, the most it can have.
        ValueError
            If `start` is neither of these.
        """
        cdef Subscription reader
        cdef _Mapping m
        if start not in ("history", "now"):
            raise ValueError(f"start must be 'history' or 'now', not {start!r:.60}")
        reader = Subscription.__new__(Subscription)
        reader.waits = bool(wait)
        reader.inside = []
        m = self.enter()
        try:
            open_again(reader, self, m)
            reader.forked = reader.forks(m)
            if reader.waits:
                reader.take_cursor(m)
            else:
                reader.next = queue_oldest(&reader.view)
            if start == "now":
                reader.next = queue_next(&reader.view)
                reader.move_cursor(m)
        finally:
            self.leave()
        return reader

    # --- its state ---

    def full(self):
        """Return whether `publish` would have to wait for a waiting subscription; that may change at once.

        Returns
        -------
        bool
            Never true without waiting subscriptions.
        """
        self.enter()
        try:
            return not queue_is_writable(&self.view)
        finally:
            self.leave()

    @property
    def history(self):
        """How many items the topic keeps, for readers that come late or are slow."""
        return self.view.capacity

    @property
    def subscribers(self):
        """How many subscriptions publishers wait for, in all processes. Nobody knows of the others."""
        cdef look_queue found
        cdef _Mapping m = self.enter()
        try:
            if not look_next_queue(m.engine.attachment, self.view.run.index, &found):
                return 0
            return found.cursors
        finally:
            self.leave()

    @property
    def position(self):
        """The number of the next item, counted from the first that was published."""
        self.enter()
        try:
            return queue_next(&self.view)
        finally:
            self.leave()

    @property
    def permanent(self):
        """Whether the topic stays until `unlink`, although no process has it open."""
        return self.view.flags & QUEUE_PERMANENT != 0

    @property
    def pool(self):
        """The pool that the topic is in; an open Pool object if there is one."""
        return owner_of(self.opened())

    @property
    def closed(self):
        """Whether `close` was called."""
        return not state_is_open(&self.state)

    # --- its end ---

    def shutdown(self, immediate=False):
        """Shut the topic down, for all processes and for ever.

        `publish` raises `QueueShutDown`, and so do subscriptions when they have read what is left.

        Parameters
        ----------
        immediate : bool
            Also drop what is left.
        """
        cdef _Mapping m = self.enter()
        try:
            attachment_queue_shut(m.engine.attachment, &self.view, bool(immediate))
        finally:
            self.leave()

    def close(self):
        """Close this object; closing it again does nothing.

        Calls that wait at the moment raise `QueueClosed`. Subscriptions stay open; close them too.
        """
        self.close_channel()

    def unlink(self):
        """Take the topic's name away.

        Processes that have it open go on; a permanent topic too ends with the last of them.

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
        cdef uint64_t next
        what = "" if self.name is None else f" {self.name!r}"
        if not state_is_open(&self.state):
            return f"<blockpool.Topic{what} closed>"
        if is_lost(self.mapping):
            return f"<blockpool.Topic{what} of a pool in which this process has no part>"
        next = queue_next(&self.view)
        return f"<blockpool.Topic{what}, {next - queue_oldest(&self.view)} of {self.view.capacity}>"

    def _repr_html_(self):
        """Return what a notebook shows, as HTML. It changes nothing, and never raises."""
        return notebook_view(self)

    def __reduce_ex__(self, protocol):
        self.enter()
        try:
            return _receive_topic, (*self.sent_channel(), None if self.spin < 0 else self.spin)
        finally:
            self.leave()


def _receive_topic(pool_id, index, generation, process, pool_name, name, spin, /):
    """Unpickle a topic."""
    cdef Topic topic = Topic.__new__(Topic)
    topic.drops = True
    redeem_channel(topic, QUEUE_IS_TOPIC, pool_id, index, generation, process, pool_name, name, spin)
    return topic


@cython.final
@cython.no_gc_clear
cdef class Subscription(_Channel):
    """A reader of a topic, from `Topic.subscribe`.

    Each subscription gets every item that is published from where it began, in order, unless it is lossy and falls
    behind by more than the topic's history; then it goes on with the oldest item that is left, and `lost` has grown.

    ``for item in subscription`` receives items until the topic is shut down, and so does ``async for``.

    Attributes
    ----------
    name : str or None
        The topic's name in the pool.

    Notes
    -----
    Thread safety: all methods may be called from any thread; each item goes to one of the calls. Process safety: a
    subscription cannot be pickled; send the `Topic`, and subscribe in the other process. In a forked child, it goes on
    from where it was, apart from the parent's; publishers wait for the child from its first call on.

    Received Blocks and arrays belong to this process, as others do. They stay when the topic drops them.

    Every method raises `QueueClosed` after `close`; and the same errors as those of a `Topic`.
    """

    cdef bint waits
    cdef uint32_t forked        # of the process whose cursor it is
    cdef unsigned cursor
    cdef uint64_t next          # position
    cdef uint64_t lost_count
    cdef uint64_t missed        # of these, since the last item
    cdef uint64_t last_missed   # of these, right before the last item
    cdef list inside            # the positions that threads are unpacking, if it waits

    def __init__(self):
        raise TypeError("a Subscription comes from Topic.subscribe()")

    # --- the cursor ---

    cdef int take_cursor(self, _Mapping m) except -1:
        cdef pool_status status = attachment_queue_subscribe(
            m.engine.attachment, &self.view, &self.cursor, &self.next
        )
        if status == POOL_OK:
            return 0
        self.waits = False
        if status == POOL_FULL:
            raise PoolExhausted(
                f"{described(self)} has {QUEUE_CURSORS} waiting subscriptions, the most it can have; close some, or "
                "subscribe without wait=True"
            )
        return raise_run_failure(&m.engine, m.name, status, self.view.run.index)

    cdef void move_cursor(self, _Mapping m) noexcept:
        if self.waits:
            attachment_queue_advance(
                m.engine.attachment, &self.view, self.cursor, min(self.inside) if self.inside else self.next
            )

    cdef int follow_fork(self, _Mapping m) except -1:
        """Give a forked child a cursor of its own."""
        cdef uint64_t next = self.next
        cdef uint32_t forked = self.forked
        self.forked = self.forks(m)
        self.inside = []
        if self.waits:
            try:
                self.take_cursor(m)
            except BaseException:
                self.waits = True
                self.forked = forked
                raise
            self.next = next
            self.move_cursor(m)
        return 0

    cdef void let_go(self) noexcept:
        cdef _Mapping m = self.mapping
        if self.waits and self.forked == self.forks(m):
            attachment_queue_unsubscribe(m.engine.attachment, &self.view, self.cursor)
        _Channel.let_go(self)

    # --- receiving ---

    @cython.nonecheck(False)
    def get(self, block=True, timeout=None):
        """Receive the next item.

        Parameters
        ----------
        block : bool
            Wait for an item. Ctrl-C interrupts the wait.
        timeout : float, optional
            Seconds to wait at most; None waits as long as it takes.

        Returns
        -------
        object
            What was published: a Block of the same memory, an array that shows it, bytes, or an equal object.

        Raises
        ------
        queue.Empty
            As `QueueEmpty`: if no item comes.
        QueueShutDown
            If the topic was shut down, and everything was read.
        TypeError, ValueError
            If an argument has the wrong type or is out of range; and whatever pickle raises for the item, which is
            received then.
        """
        return self.receive_item(INFINITY if block is True and timeout is None else deadline_given(block, timeout))

    def get_nowait(self):
        """Receive the next item, without waiting.

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

    def get_async(self, timeout=None):
        """Receive the next item as `get` does, but let asyncio's event loop run until there is one.

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
        One descriptor of the process is used while any call waits for this subscription in the loop. A call that is
        cancelled has received nothing.
        """
        from blockpool._async_queues import get_async

        return get_async(self, as_seconds(timeout))

    @cython.nonecheck(False)
    cdef object receive_item(self, double deadline):
        cdef uint32_t sequence
        cdef _Mapping m = self.enter()
        try:
            item = self.try_get(m)
            if item is not NOTHING:
                return item
            if deadline == 0:
                self.look_for_the_dead(m)
                if self.descriptor >= 0:
                    self.rearm(m)
                item = self.try_get(m)
            else:
                if self.spins_at(m, self.next, deadline):
                    item = self.try_get(m)
                while item is NOTHING:
                    sequence = self.sequence(m, QUEUE_READABLE)
                    item = self.try_get(m)
                    if item is NOTHING and not self.sleep(m, QUEUE_READABLE, sequence, deadline):
                        break
            if item is NOTHING:
                raise QueueEmpty(f"{described(self)} has no new message; wait for one (timeout=)")
            return item
        finally:
            self.leave()

    @cython.nonecheck(False)
    cdef object try_get(self, _Mapping m):
        """Return the next item, or NOTHING."""
        cdef message_copy copy
        cdef uint64_t lost, at
        cdef bint found
        while True:
            with cython.critical_section(self):
                if self.forked != self.forks(m):
                    self.follow_fork(m)
                lost = 0
                found = self.try_copy(m, &self.next, &lost, &copy)
                self.lost_count += lost
                self.missed += lost
                if found:
                    at = self.next
                    self.next += 1
                    if self.waits:
                        self.inside.append(at)
            if not found:
                return NOTHING
            try:
                item = unpack_item(self, m, &copy.message)
            except MessageEnded:
                self.read(m, at, True)
                continue
            except BaseException:
                self.read(m, at, False)
                raise
            finally:
                free_copy(&copy)
            self.read(m, at, False)
            return item

    @cython.nonecheck(False)
    cdef int read(self, _Mapping m, uint64_t at, bint ended) except -1:
        """What was at the position has been read, or has ended before it could be."""
        with cython.critical_section(self):
            if ended:
                self.lost_count += 1
                self.missed += 1
            else:
                self.last_missed = self.missed
                self.missed = 0
            if self.waits and self.forked == self.forks(m):
                self.inside.remove(at)
                self.move_cursor(m)
        return 0

    def __iter__(self):
        self.opened()
        return self

    def __next__(self):
        try:
            return self.receive_item(INFINITY)
        except QueueShutDown:
            raise StopIteration from None

    def __aiter__(self):
        from blockpool._async_queues import read_async

        self.opened()
        return read_async(self)

    # --- its state ---

    @property
    def wait(self):
        """Whether publishers wait for this reader."""
        return bool(self.waits)

    @property
    def lost(self):
        """How many items this reader has missed so far, as far as it has noticed: a call that reads finds out."""
        return self.lost_count

    @property
    def last_lost(self):
        """How many items were missed right before the last one that was received."""
        return self.last_missed

    @property
    def position(self):
        """The number of the next item that this reader wants, counted from the first that was published."""
        return self.next

    @property
    def behind(self):
        """How many items were published that this reader has not received, including those that it will miss."""
        cdef uint64_t newest, next
        self.enter()
        try:
            newest, next = queue_next(&self.view), self.next
            return newest - next if newest > next else 0
        finally:
            self.leave()

    @property
    def history(self):
        """How many items the topic keeps."""
        return self.view.capacity

    @property
    def pool(self):
        """The pool that the topic is in; an open Pool object if there is one."""
        return owner_of(self.opened())

    @property
    def closed(self):
        """Whether `close` was called."""
        return not state_is_open(&self.state)

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

    def close(self):
        """Stop reading; closing it again does nothing. Publishers no longer wait for this reader.

        Calls that wait at the moment raise `QueueClosed`.
        """
        self.close_channel()

    def __enter__(self):
        self.opened()
        return self

    def __exit__(self, kind, value, traceback, /):
        self.close()

    def __repr__(self):
        what = "" if self.name is None else f" of {self.name!r}"
        if not state_is_open(&self.state):
            return f"<blockpool.Subscription{what} closed>"
        waiting = "waiting, " if self.waits else ""
        return f"<blockpool.Subscription{what}, {waiting}next {self.next}, lost {self.lost_count}>"

    def __reduce_ex__(self, protocol):
        raise TypeError("a Subscription belongs to its process; send the Topic, and subscribe there")
