# See survey.pxd.

# The most cells of a map, and the most runs that a survey remembers.
cdef enum: MOST_CELLS = 1 << 20
cdef enum: MOST_REMEMBERED = 100_000


cdef int require_look(_Mapping m) except -1:
    cdef pool_failure failure
    cdef pool_status status
    if is_lost(m):
        raise PoolClosed(
            "the inspector belongs to the process that this one was forked from; call inspect() in this process"
        )
    status = look_is_whole(m.engine.attachment)
    if status != POOL_OK:
        raise_failure(status, &failure, m.name)
    return 0


# --- maps ---

cdef map_of(_Mapping m, cells, first, blocks):
    cdef uint64_t all_blocks = m.engine.blocks, at, n, count, i
    cdef uint32_t now = os_seconds()
    cdef survey_cell *drawn
    start = PyNumber_Index(first)
    if not 0 <= start < all_blocks:
        raise ValueError(f"first={first} is not a block of this pool; they are 0 to {all_blocks - 1}")
    at = start
    length = all_blocks - at if blocks is None else as_count(blocks, "blocks")
    if length > all_blocks - at:
        raise ValueError(f"blocks={blocks}: there are {all_blocks - at} blocks from block {first} on")
    n = length
    wanted = as_count(cells, "cells")
    if wanted > MOST_CELLS:
        raise ValueError(f"cells={cells} is too many; a map has at most {MOST_CELLS}")
    count = min(wanted, length)
    need_reports()
    drawn = <survey_cell *>malloc(count * sizeof(survey_cell))
    if drawn == NULL:
        raise MemoryError
    try:
        with nogil:
            survey_map(&m.engine.attachment.shared, at, n, count, drawn)
        for i in range(count):  # times become ages in place
            drawn[i].since = now - drawn[i].since if drawn[i].allocated and drawn[i].since < now else 0
        return report("PoolMap", dict(
            first=at,
            blocks=n,
            cells=count,
            allocated=fields_of(drawn, count, 0),
            holder=fields_of(drawn, count, 1),
            shared=fields_of(drawn, count, 2),
            age=fields_of(drawn, count, 3),
        ))
    finally:
        c_free(drawn)


cdef fields_of(const survey_cell *drawn, uint64_t count, int field):
    """One field of all cells, as an array.array of unsigned 32 or 16 bit."""
    cdef bytes wide = PyBytes_FromStringAndSize(NULL, count * (4 if field in (0, 3) else 2))
    cdef uint32_t *words = <uint32_t *>PyBytes_AS_STRING(wide)
    cdef uint16_t *halves = <uint16_t *>words
    cdef uint64_t i
    for i in range(count):
        if field == 0:
            words[i] = drawn[i].allocated
        elif field == 1:
            halves[i] = drawn[i].holder
        elif field == 2:
            halves[i] = drawn[i].shared
        else:
            words[i] = drawn[i].since
    return number_array("I" if field in (0, 3) else "H", wide)


# --- surveys ---

cdef str NEVER_BEGUN = "the survey was never begun; call Inspector.surveyor()"


@cython.final
cdef class Surveyor:
    """A survey of a shared pool that goes on when it is asked to; from `Inspector.surveyor`.

    A pool of ten million blocks takes a tenth of a second to go through. A program that shows it live goes on by some
    blocks at each of its updates.
    """

    cdef _Mapping mapping
    cdef survey_t *state
    cdef int busy   # a thread is at it

    def __init__(self):
        raise TypeError("a Surveyor comes from Inspector.surveyor()")

    def __dealloc__(self):
        if self.state != NULL:
            c_free(self.state.found)
            c_free(self.state)

    @property
    def progress(self):
        """How much of the pool was looked at, from 0 to 1."""
        if self.state == NULL:
            raise PoolClosed(NEVER_BEGUN)
        return self.state.next / <double>self.mapping.engine.blocks

    def go_on(self, blocks):
        """Look at so many more blocks.

        Parameters
        ----------
        blocks : int
            How many; the last run may reach further.

        Returns
        -------
        Survey or None
            The survey, if that was the end; the next call begins again. Else None.

        Raises
        ------
        PoolClosed
            If the inspector was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        RuntimeError
            If another thread is at it.
        """
        cdef uint64_t n
        cdef bint ended
        cdef survey_t *state = self.state
        cdef _Mapping m = self.mapping
        if self.state == NULL:
            raise PoolClosed(NEVER_BEGUN)
        n = min(as_count(blocks, "blocks"), m.engine.blocks)
        require_look(m)
        if not take_flag(&self.busy):
            raise RuntimeError("another thread goes on with this survey; begin one for each thread")
        try:
            with nogil:
                ended = survey_go_on(state, &m.engine.attachment.shared, n)
            if not ended:
                return None
            found = survey_report(m, state)
            survey_begin(state, state.order, state.found, state.most)
            return found
        finally:
            drop_flag(&self.busy)


cdef surveyor_of(_Mapping m, most, order):
    cdef Surveyor surveyor = Surveyor.__new__(Surveyor)
    cdef unsigned room
    cdef survey_found *found
    if order not in ("age", "size"):
        raise ValueError(f"order={order!r} is neither 'age' nor 'size'")
    wanted = PyNumber_Index(most)
    if not 0 <= wanted <= MOST_REMEMBERED:
        raise ValueError(f"most={most} is not a number of runs from 0 to {MOST_REMEMBERED}")
    room = min(wanted, m.engine.blocks)
    surveyor.mapping = m
    surveyor.state = <survey_t *>malloc(sizeof(survey_t))
    if surveyor.state == NULL:
        raise MemoryError
    found = <survey_found *>malloc(max(room, 1u) * sizeof(survey_found))
    survey_begin(surveyor.state, SURVEY_BY_SIZE if order == "size" else SURVEY_BY_AGE, found, room)
    if found == NULL:
        raise MemoryError
    return surveyor


cdef survey_report(_Mapping m, const survey_t *state):
    cdef uint64_t bytes = state.allocated * m.engine.block_size
    cdef uint64_t now = os_seconds()
    cdef pool_look look
    cdef unsigned i
    cdef dict names = names_of(m), held = {}
    cdef list top = []
    for i in range(m.engine.attachment.geometry.processes):
        if state.held[i]:
            held[i] = state.held[i]
    for i in range(state.count):
        # it may be gone meanwhile, and another run be there
        if pool_next_run(&m.engine, state.found[i].run.index, &look) and (
            look.run.index == state.found[i].run.index and look.run.generation == state.found[i].run.generation
        ):
            top.append(run_of(m, &look, names))
    return report("Survey", dict(
        allocated=state.allocated,
        runs=state.runs,
        requested_bytes=bytes - state.slack if bytes > state.slack else 0,
        tickets=state.tickets,
        oldest_ticket=None if not state.tickets else <double>(now - state.oldest_ticket)
        if state.oldest_ticket < now else 0.0,
        held=held,
        only_kept=state.held[SURVEY_KEPT],
        only_messages=state.held[SURVEY_MESSAGE],
        only_tickets=state.held[SURVEY_TICKETS],
        nobody=state.held[SURVEY_NOBODY],
        top=tuple(top),
    ))
