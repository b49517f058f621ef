# See recording.pxd.

# How many cells a recorder has room for; it hands them on when half of that is filled.
cdef enum: COLLECTED = 8 * LANE_CELLS


@cython.final
@cython.internal
cdef class _Recorder:
    """Takes the events of a shared pool out of its lanes; from `begin_recording`. It keeps the pool attached."""

    cdef _Mapping mapping
    cdef lane_cell *cells
    cdef atomic_half stopped
    cdef bint on    # it is the recorder of the pool
    cdef int busy   # a thread is at it

    def __dealloc__(self):
        if self.on and not is_lost(self.mapping):
            recording_stop(self.mapping.engine.attachment)
            recording_end(self.mapping.engine.attachment)
        c_free(self.cells)

    def collect(self, seconds):
        """Return the cells that were taken in so many seconds, or until much has come; the last ones after `stop`."""
        cdef double most = number_of_seconds("seconds", seconds, "")
        cdef uint64_t used
        cdef _Mapping m = self.mapping
        if not self.on:
            raise PoolClosed("the recording has ended")
        if is_lost(m):
            raise lost_error(&m.engine, m.name)
        if not take_flag(&self.busy):
            raise RuntimeError("another thread is collecting")
        try:
            with nogil:
                used = recording_collect(m.engine.attachment, self.cells, COLLECTED, most, &self.stopped)
        finally:
            drop_flag(&self.busy)
        return PyBytes_FromStringAndSize(<char *>self.cells, used * sizeof(lane_cell))

    def stop(self):
        """Record nothing more. What was put before can be collected until `end`."""
        self.stopped = 1
        if self.on and not is_lost(self.mapping):
            recording_stop(self.mapping.engine.attachment)

    def end(self):
        """Let others record."""
        if not take_flag(&self.busy):
            raise RuntimeError("another thread is collecting")
        if self.on and not is_lost(self.mapping):
            recording_stop(self.mapping.engine.attachment)
            recording_end(self.mapping.engine.attachment)
        self.on = False
        drop_flag(&self.busy)


def begin_recording(_Access pool not None, /):
    """Make this process the recorder of a shared pool; `pool` is a Pool."""
    cdef pool_failure failure
    cdef pool_status status
    cdef _Mapping m = pool.opened()
    cdef _Recorder recorder
    if m.engine.attachment == NULL:
        raise TypeError(
            "a private pool cannot be recorded: only its own process uses it; run that under memray, and read the "
            "capture with blockpool.traces.read"
        )
    recorder = _Recorder.__new__(_Recorder)
    recorder.mapping = m
    recorder.stopped = 0
    recorder.cells = <lane_cell *>malloc(COLLECTED * sizeof(lane_cell))
    if recorder.cells == NULL:
        raise MemoryError
    with nogil:
        status = recording_start(m.engine.attachment, GATE_SECONDS, &failure)
    tell_of_recovered(m)
    if status in (POOL_EXISTS, POOL_NO_ROOM):
        raise recording_error(status, &failure, m.name)
    require_part(m, status, &failure)
    recorder.on = True
    return recorder
