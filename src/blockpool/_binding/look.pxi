# See look.pxd.

@cython.final
cdef class Inspector:
    """A look at a shared pool from outside; from `inspect`.

    It takes no part in the pool: it holds nothing, uses up none of the places for processes, waits for nobody and
    changes not a byte. What a dead process held is shown as held until somebody recovers it (`Pool.recover`; processes
    that need room do it by themselves). Each method looks again, for as long as the inspector is open, even if the pool
    loses its name or its last process meanwhile.

    Attributes
    ----------
    name : str or None
        The name by which the pool was found; see `exists`. None if it has none.
    pool_id : str
        The pool's random id: 32 hexadecimal digits.
    block_size, blocks, nbytes : int
        Size of a block in bytes, number of blocks, and size of all blocks together.
    segment_bytes : int
        Size of its shared memory with all bookkeeping, but without notes and recordings.
    max_processes : int
        The most processes that can be attached.
    permanent : bool
        Whether the pool stays until it is unlinked.
    on_fork : str
        What the pool was created with: "share" or "detach".
    made_by : str
        The release of blockpool that made the pool.
    created : float or None
        When it was made, in seconds since the epoch.
    debug : bool
        Whether it is in debug mode.

    Notes
    -----
    The attributes stay when the inspector is closed. Methods may be called from any thread. In a forked child an
    inspector of the parent is of no use: its methods raise `PoolClosed`.

    Examples
    --------
    >>> import blockpool
    >>> pool = blockpool.Pool.create("4KiB", 16)
    >>> block = pool.allocate(blocks=2)
    >>> with blockpool.inspect(pool) as inspector:
    ...     inspector.stats().allocated
    2
    """
    cdef _Mapping mapping
    cdef readonly object name, pool_id, block_size, blocks, nbytes, segment_bytes, max_processes
    cdef readonly object permanent, on_fork, made_by, created, debug

    def __init__(self):
        raise TypeError("an Inspector comes from blockpool.inspect()")

    cdef _Mapping look(self):
        """The mapping. Raises PoolClosed, or PoolCorrupt if the file was cut short."""
        cdef _Mapping m
        with cython.critical_section(self):  # close() may be taking it away
            m = self.mapping
        if m is None:
            raise PoolClosed("the inspector is closed; call inspect() again")
        require_look(m)
        return m

    @property
    def closed(self):
        """Whether `close` was called."""
        return self.mapping is None

    def stats(self):
        """Return the state of the pool, as `Pool.stats` does.

        Returns
        -------
        PoolStats
            While processes are at work, the numbers are of no single moment.

        Raises
        ------
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        return stats_of(self.look())

    def counts(self):
        """Return those numbers of `stats` that take no look at every run.

        Returns
        -------
        PoolCounts
            In a pool of ten million blocks this takes less than a millisecond.

        Raises
        ------
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        return counts_of(self.look())

    def map(self, cells=4096, *, first=0, blocks=None):
        """Return a picture of the pool, or of a part of it.

        Parameters
        ----------
        cells : int
            How many cells it is to have, at most 2**20; not more than there are blocks.
        first : int
            The first block.
        blocks : int or None
            How many blocks; None means all from `first` on.

        Returns
        -------
        PoolMap
            How much of each cell is allocated, who holds it and for how long. Its cost depends on the number of cells
            and hardly on that of the blocks.

        Raises
        ------
        ValueError, TypeError
            If there are no such blocks, or too many cells.
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        return map_of(self.look(), cells, first, blocks)

    def survey(self, most=100, *, order="age"):
        """Go through all runs once, to count who holds how much, and to find the oldest or largest.

        Parameters
        ----------
        most : int
            How many runs to list.
        order : str
            "age" lists the oldest runs, "size" the largest.

        Returns
        -------
        Survey
            While processes are at work, it is of no single moment.

        Raises
        ------
        ValueError, TypeError
            If an argument is nothing of these.
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        return self.surveyor(most, order=order).go_on(self.blocks)

    def surveyor(self, most=100, *, order="age"):
        """Begin a survey that goes on when it is asked to, for programs that show a pool live.

        Parameters
        ----------
        most : int
            How many runs to list.
        order : str
            "age" lists the oldest runs, "size" the largest.

        Returns
        -------
        Surveyor
            It has looked at nothing yet. It may be used after the inspector is closed.

        Raises
        ------
        ValueError, TypeError
            If an argument is nothing of these.
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        return surveyor_of(self.look(), most, order)

    def gate(self):
        """Return which process is in the pool's gate: one that attaches, recovers or audits, and keeps others from it.

        Returns
        -------
        int or None
            Its id, in its own PID namespace; None if no process is, or that cannot be known.

        Raises
        ------
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        return look_gate(self.look().engine.attachment) or None

    def damage(self):
        """Return what debug mode found past the ends of runs whose last holder was not told, as when it was killed.

        Returns
        -------
        list of Damage
            In the order of addresses. The next allocation of each of these blocks is told, and takes it off the list.
            Empty if the pool is not in debug mode.

        Raises
        ------
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        return damage_of(self.look())

    def runs(self):
        """Return every live run, in the order of addresses, as `Pool.runs` does.

        Returns
        -------
        list of Run
            Runs that processes allocate or free during the call may or may not be in it.

        Raises
        ------
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        return runs_of(self.look())

    def check(self):
        """Audit the pool's bookkeeping, as `Pool.check` with ``repair=False`` does.

        Returns
        -------
        Audit
            What was examined. What a dead process left half done is in transit.

        Raises
        ------
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the bookkeeping contradicts itself, or the pool's file was cut short.
        """
        return check_pool(self.look(), False)

    def processes(self):
        """Return the processes that have the pool attached, and dead ones that were not recovered yet.

        Returns
        -------
        list of ProcessInfo
            In the order of their places in the pool.

        Raises
        ------
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        return processes_of(self.look())

    def names(self):
        """Return the names that the pool's catalog has.

        Returns
        -------
        list of str
            In alphabetical order.

        Raises
        ------
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        return sorted(all_names(self.look()))

    def queues(self):
        """Return the queues, topics and latest values of the pool.

        Returns
        -------
        list of QueueInfo
            In the order of their numbers. Those that processes make or end during the call may or may not be in it.

        Raises
        ------
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        return queues_of(self.look())

    def exists(self):
        """Whether the pool can still be reached: it has its name, or a process has it attached.

        Returns
        -------
        bool
            False if nobody can attach it any more. It is also False if another pool has taken the name.

        Raises
        ------
        PoolClosed
            If the inspector is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        cdef _Mapping m = self.look()
        return look_has_name(m.engine.attachment) or has_living(processes_of(m))

    def close(self):
        """End the look; the memory is unmapped. Closing it again does nothing."""
        cdef _Mapping m
        with cython.critical_section(self):
            m = self.mapping
            self.mapping = None
        if WITHOUT_GIL and m is not None:
            end_unless_used(m)

    def __enter__(self):
        self.look()
        return self

    def __exit__(self, kind, value, traceback, /):
        self.close()

    def __repr__(self):
        size = f"{self.blocks} blocks of {self.block_size} bytes"
        closed = " closed" if self.mapping is None else ""
        return f"<blockpool.Inspector{closed} {self.name or self.pool_id!r}, {size}>"

    def _repr_html_(self):
        """Return what a notebook shows, as HTML. It changes nothing, and never raises."""
        return notebook_view(self)


cdef Inspector inspector_of(_Mapping m):
    """An Inspector with a mapping whose engine has just begun to look."""
    cdef Inspector inspector = Inspector.__new__(Inspector)
    complete_look(m)
    inspector.name = m.name
    inspector.pool_id = m.id.hex()
    inspector.block_size = m.engine.block_size
    inspector.blocks = m.engine.blocks
    inspector.nbytes = m.engine.block_size * m.engine.blocks
    inspector.segment_bytes = layout_reserved(
        &m.engine.attachment.geometry, endings_are_ready(&m.engine.attachment.shared.endings)
    )
    inspector.max_processes = m.engine.attachment.geometry.processes
    inspector.permanent = is_permanent(m)
    inspector.on_fork = "detach" if m.engine.attachment.geometry.flags & LAYOUT_DETACH else "share"
    inspector.made_by = maker_of(m)
    inspector.created = created_of(m)
    inspector.debug = sites_are_kept(m.engine.attachment)
    inspector.mapping = m
    return inspector


cdef int complete_look(_Mapping m) except -1:
    m.id = <bytes>m.engine.attachment.geometry.id[:LAYOUT_ID_BYTES]
    m.name = (<bytes>m.engine.attachment.name).decode()[len("blockpool."):] or None
    return 0


cdef bint is_permanent(_Mapping m) noexcept:
    return m.engine.attachment.geometry.flags & LAYOUT_PERMANENT != 0


cdef maker_of(_Mapping m):
    cdef char made_by[LAYOUT_MADE_BY_BYTES]
    look_made_by(m.engine.attachment, made_by)
    return (<bytes>made_by).decode("ascii", "replace") or "unknown"


cdef created_of(_Mapping m):
    return <double>look_created(m.engine.attachment) or None


cdef list processes_of(_Mapping m):
    cdef slot_set used, dead
    cdef c_bool known
    cdef look_process one
    cdef list found = []
    need_reports()
    with nogil:
        look_slots(m.engine.attachment, &used, &dead, &known)
    cdef unsigned slot = slot_set_next(&used, 0)
    while slot < LAYOUT_MOST_PROCESSES:
        look_slot(m.engine.attachment, slot, &one)
        found.append(report("ProcessInfo", dict(
            slot=slot,
            pid=one.process or None,
            alive=not slot_set_has(&dead, slot) if known else None,
            command=(<bytes>one.command).decode("utf-8", "replace").strip(),
            started=round(os_start_time(one.start), 3) if one.start else None,  # two clocks differ by less at each look
            allocations=one.allocations,
            failures=one.failures,
            waits=one.waits,
            waited=one.waited / 1e9,
        )))
        slot = slot_set_next(&used, slot + 1)
    return found


cdef list queues_of(_Mapping m):
    cdef look_queue one
    cdef queue_look message
    cdef uint64_t at = 0, inside
    cdef list found = []
    cdef dict names = queue_names_of(m), taken
    cdef object first
    need_reports()
    while look_next_queue(m.engine.attachment, at, &one):
        at = one.run.index + 1
        inside = 0
        taken = {}
        first = None
        while look_next_message(m.engine.attachment, &one.run, inside, &message):
            inside = message.block + 1
            if message.state == MESSAGE_TAKEN:
                pid = pool_process(&m.engine, message.slot) or None
                taken[pid] = taken.get(pid, 0) + 1
            elif message.state in (MESSAGE_QUEUED, MESSAGE_RETURNED) and message.sent:
                first = message.sent if first is None else min(first, message.sent)
        found.append(report("QueueInfo", dict(
            number=one.run.index,
            kind=("", "queue", "topic", "latest")[one.kind],
            name=names.get((one.run.index, one.run.generation), [None])[0],
            capacity=one.capacity,
            redeliver=one.flags & QUEUE_REDELIVERS != 0,
            permanent=one.flags & QUEUE_PERMANENT != 0,
            shut=one.shut,
            waiting=one.waiting,
            taken=tuple(sorted(taken.items(), key=lambda item: -item[1])),
            oldest=None if first is None else max(os_now() - first / 1e9, 0.0),
            put=one.put,
            lost=one.lost,
            readers=one.cursors,
            processes=tuple(holders_of(&m.engine, &one.holders)),
        )))
    return found


cdef bint has_living(list processes) except -1:
    return any([one.alive is not False for one in processes])


# --- for blockpool._looking ---

def look_at(name, /):
    """Return an Inspector of the pool with that name."""
    cdef bytes file = file_name(name).encode()
    cdef const char *file_chars = file
    cdef os_file_t ignored
    cdef pool_failure failure
    cdef pool_status status
    cdef _Mapping m = _Mapping.__new__(_Mapping)
    with nogil:
        status = pool_look_at(&m.engine, file_chars, &ignored, &failure)
    if status != POOL_OK:
        raise_failure(status, &failure, name)
    return inspector_of(m)


def look_through(int process, int number, str pool_id not None, /):
    """Return an Inspector of the pool with that id through a descriptor of a process; None if that is not there."""
    cdef bytes id = bytes.fromhex(pool_id)
    cdef const unsigned char *id_bytes = id
    cdef os_file_t ignored
    cdef pool_failure failure
    cdef pool_status status
    cdef _Mapping m = _Mapping.__new__(_Mapping)
    with nogil:
        status = pool_look_through(&m.engine, process, number, id_bytes, &ignored, &failure)
    if status in (POOL_NOT_FOUND, POOL_FORBIDDEN, POOL_NO_POOL):  # closed in the meantime, or not this pool
        return None
    if status != POOL_OK:
        raise_failure(status, &failure, None)
    return inspector_of(m)


def look_beside(_Access access not None, /):
    """Return an Inspector of the shared pool that a Pool object has open."""
    cdef _Mapping attached = access.opened(), m = _Mapping.__new__(_Mapping)
    cdef pool_failure failure
    cdef pool_status status
    if not pool_is_shared(&attached.engine):
        raise ValueError("the pool is private: no other process can look at it; ask its stats(), runs() and check()")
    with nogil:
        status = pool_look_beside(&m.engine, &attached.engine, &failure)
    require_part(attached, status, &failure)
    return inspector_of(m)


def summary(name, int process, int number, /):
    """Return a PoolSummary of what has the name or, without a name, of what a descriptor of a process refers to.

    None if there is nothing, or it belongs to another user; without a name, also if it is not a pool in use.
    """
    cdef bytes file = b"" if name is None else file_name(name).encode()
    cdef const char *file_chars = file
    cdef bint named = name is not None
    cdef os_file_t found
    cdef pool_failure failure
    cdef pool_status status
    cdef _Mapping m = _Mapping.__new__(_Mapping)
    need_reports()
    with nogil:
        if named:
            status = pool_look_at(&m.engine, file_chars, &found, &failure)
        else:
            status = pool_look_through(&m.engine, process, number, NULL, &found, &failure)
    if status == POOL_OK:
        return summary_of(m, named, &found)
    state = state_of(status)
    if state is None:
        if status in (POOL_NOT_FOUND, POOL_FORBIDDEN):
            return None
        raise_failure(status, &failure, name)
    if not named:
        return None
    made_by = None
    if status == POOL_OTHER_VERSION:
        made_by = (<bytes>failure.made_by).decode("ascii", "replace") or None
    return report("PoolSummary", dict(
        name=name, state=state, pool_id=None, block_size=None, blocks=None, nbytes=None, allocated=None,
        segment_bytes=found.memory, permanent=None, max_processes=None, made_by=made_by, created=None,
        processes=(), leftover=False,
    ))


cdef state_of(pool_status status):
    if status == POOL_CORRUPT:
        return "damaged"
    if status == POOL_TRUNCATED:
        return "truncated"
    if status == POOL_OTHER_VERSION:
        return "other version"
    if status == POOL_NO_POOL:
        return "not a pool"
    return None


cdef summary_of(_Mapping m, bint named, const os_file_t *file):
    cdef pool_stats_t stats
    complete_look(m)
    if look_is_whole(m.engine.attachment) != POOL_OK:
        return None
    processes = processes_of(m)
    living = has_living(processes)
    if not named and (file.links or not living):  # a pool that has a name is found by that
        return None
    with nogil:
        pool_counts(&m.engine, &stats)
    permanent = is_permanent(m)
    return report("PoolSummary", dict(
        name=m.name,
        state="ok",
        pool_id=m.id.hex(),
        block_size=m.engine.block_size,
        blocks=m.engine.blocks,
        nbytes=m.engine.blocks * m.engine.block_size,
        allocated=stats.allocated,
        segment_bytes=file.memory,
        permanent=permanent,
        max_processes=m.engine.attachment.geometry.processes,
        made_by=maker_of(m),
        created=created_of(m),
        processes=tuple(processes),
        leftover=named and not permanent and not living,
    ))
