# Replays of traces, for blockpool.replay; see replay/replay.h. Nothing uses this part.

cdef enum: COLUMNS = 5

# The columns of a trace: what each is called, and how many bytes an element has.
cdef tuple COLUMN_NAMES = ("kind", "size", "id", "thread", "time")
cdef size_t[COLUMNS] COLUMN_WIDTHS = [1, 8, 4, 4, 8]


cdef void *allocate_nothing(size_t size) noexcept nogil:
    """A heap that does nothing: a replay against it takes as long as the loop."""
    return <void *>8


cdef void free_nothing(void *memory) noexcept nogil:
    pass


@cython.final
@cython.internal
cdef class _Replaying:
    """A replay that goes on when it is asked to; from `begin_replay`."""

    cdef replay_t state
    cdef void *memory
    cdef size_t memory_bytes
    cdef Py_buffer[COLUMNS] columns
    cdef int column_count
    cdef list pools      # their mappings
    cdef int busy       # a thread is at it
    cdef bint ended

    def __dealloc__(self):
        cdef int c
        if self.memory != NULL:
            if not self.ended:
                replay_end(&self.state)
            os_unmap(self.memory, self.memory_bytes)
        for c in range(self.column_count):
            PyBuffer_Release(&self.columns[c])

    def go_on(self, uint64_t events):
        """Let so many events go by; return whether that was the end. Raises TraceInvalid at one that cannot be."""
        cdef replay_status status
        self.begin_turn()
        with nogil:
            status = replay_go_on(&self.state, max(events, 1))
        drop_flag(&self.busy)
        if status > REPLAY_DONE:
            raise TraceInvalid(f"event {self.state.bad:,} {what_is_wrong(self, status)}")
        return status == REPLAY_DONE

    def end(self):
        """Free what is live. After that, only `counts` may be called."""
        self.begin_turn()
        self.ended = True
        with nogil:
            replay_end(&self.state)
        drop_flag(&self.busy)

    cdef int begin_turn(self) except -1:
        cdef bint mine = take_flag(&self.busy)
        if mine and not self.ended:
            return 0
        if mine:
            drop_flag(&self.busy)
        raise RuntimeError("the replay has ended, or another thread is at it")

    def own_bytes(self):
        """Return how much memory the replay itself has, in whole pages; with `touch` all of it is resident."""
        return -(-self.memory_bytes // os_page_size()) * os_page_size()

    def counts(self):
        """Return what happened so far, by the names of `blockpool.replay.Replayed`; `seconds` includes the loop."""
        cdef replay_t *state = &self.state
        cdef replay_pool *each
        cdef unsigned p
        peaks, runs, inner, nbytes = [], [], [], 0
        for p in range(state.pool_count):
            each = &state.pools[p]
            engine = (<_Mapping>self.pools[p]).engine
            peaks.append(each.peak)
            runs.append(each.longest)
            inner.append(each.peak * engine.block_size - each.asked_at_peak)
            nbytes += engine.blocks * engine.block_size + engine.metadata_bytes
        return {
            "events": state.at,
            "allocations": state.allocations,
            "failures": state.failures,
            "waits": state.waits,
            "waited": state.waited / 1e9,
            "peak_bytes": state.peak,
            "peak_blocks": tuple(peaks),
            "longest_run": tuple(runs),
            "inner": tuple(inner),
            "bytes": nbytes,
            "seconds": state.nanoseconds / 1e9,
        }


cdef what_is_wrong(_Replaying replaying, replay_status status):
    cdef uint64_t at = replaying.state.bad
    kind, size, id, thread, time = [memoryview(replaying.columns[c].obj)[at] for c in range(COLUMNS)]
    if status == REPLAY_BAD_KIND:
        return f"is of kind {kind}; 0 is an allocation and 1 a free"
    if status == REPLAY_BAD_SIZE:
        return f"asks for {size} bytes; a size is never negative"
    if status == REPLAY_BAD_ID:
        return f"has the id {id}; the trace has {replaying.state.trace.ids:,} allocations, numbered from 0"
    if status == REPLAY_BAD_THREAD:
        return f"has the thread {thread}, or it has changed; there are {replaying.state.trace.threads:,}, from 0"
    if status == REPLAY_BAD_TIME:
        return f"is at {time} nanoseconds; times are never negative"
    if status == REPLAY_ALLOCATED:
        return f"is a second allocation of id {id}"
    if status == REPLAY_FREED:
        return f"is a second free of id {id}"
    return f"frees id {id} before it is allocated"


def begin_replay(columns, threads, pools, ranges, wait, /, *, bint touch=False, bint nothing=False):
    """Begin a replay.

    `columns` are buffers in the order of COLUMN_NAMES. `pools` are new private pools; or for a simulation, without
    `touch`, the block size and the number of blocks of each, and it gets no memory but for its bookkeeping. Until the
    replay has ended, nothing else may use them: it does not hold the GIL while it does, and they are serial. `ranges`
    are the sizes that each takes: more than the first, at most the second. No pools: the malloc of this process; or
    with `nothing`, a heap that does nothing. `wait` is in nanoseconds.
    """
    cdef _Replaying replaying = _Replaying.__new__(_Replaying)
    cdef replay_t *state = &replaying.state
    cdef uint64_t events = 0
    cdef int c
    for c in range(COLUMNS):
        PyObject_GetBuffer(columns[c], &replaying.columns[c], PyBUF_ANY_CONTIGUOUS | PyBUF_FORMAT)
        replaying.column_count += 1
        if <size_t>replaying.columns[c].itemsize != COLUMN_WIDTHS[c]:
            raise TypeError(f"{COLUMN_NAMES[c]} must have elements of {COLUMN_WIDTHS[c]} bytes")
        if c == 0:
            events = replaying.columns[0].len
        elif <uint64_t>replaying.columns[c].len != events * COLUMN_WIDTHS[c]:
            raise ValueError(f"{COLUMN_NAMES[c]} has another length than kind")
    if events > REPLAY_EVENTS:
        raise ValueError(f"{events:,} events are too many; a replay takes at most {REPLAY_EVENTS:,}")
    if threads > REPLAY_THREADS:
        raise ValueError(f"{threads:,} threads are too many; a replay takes at most {REPLAY_THREADS:,}")
    state.trace.kind = <const uint8_t *>replaying.columns[0].buf
    state.trace.size = <const int64_t *>replaying.columns[1].buf
    state.trace.id = <const int32_t *>replaying.columns[2].buf
    state.trace.thread = <const int32_t *>replaying.columns[3].buf
    state.trace.time = <const int64_t *>replaying.columns[4].buf
    state.trace.events = events
    state.trace.threads = threads
    state.trace.ids = replay_count_ids(state.trace.kind, events)
    state.touch = touch
    state.wait = wait
    if len(pools) > REPLAY_POOLS:
        raise ValueError(f"{len(pools)} pools are too many; a replay takes at most {REPLAY_POOLS}")
    replaying.pools = []
    for pool, (above, up_to) in zip(pools, ranges, strict=True):
        add_pool(replaying, mapping_for(pool, touch), above, up_to)
    state.heap.allocate = allocate_nothing if nothing else malloc
    state.heap.free = free_nothing if nothing else c_free
    replaying.memory_bytes = replay_bytes(&state.trace, state.wait != 0)
    if os_map_private(replaying.memory_bytes, False, &replaying.memory):
        replaying.memory = NULL
        raise MemoryError(f"no memory for a replay of {events:,} events: {replaying.memory_bytes:,} bytes")
    if touch:
        memset(replaying.memory, 0, replaying.memory_bytes)  # now, so that it is not taken for memory of the trace
    replay_begin(state, replaying.memory)
    return replaying


cdef _Mapping mapping_for(pool, bint touch):
    """Return the mapping of a pool, or a new one without memory for its blocks."""
    cdef _Mapping m
    if not isinstance(pool, tuple):
        return (<Pool?>pool).opened()
    if touch:
        raise ValueError("memory can be touched only in pools that have some")
    block_size, blocks = pool
    m = _Mapping.__new__(_Mapping)
    open_bare(m, as_block_size(block_size), as_count(blocks, "blocks"))
    return m


cdef int add_pool(_Replaying replaying, _Mapping m, above, up_to) except -1:
    cdef replay_pool *to = &replaying.state.pools[replaying.state.pool_count]
    if m.engine.private_pool == NULL or pool_allocated(&m.engine):
        raise ValueError("a replay needs new private pools")
    to.pool = m.engine.private_pool
    to.above = above
    to.up_to = up_to
    replaying.pools.append(m)
    replaying.state.pool_count += 1
    return 0
