# See notes.pxd.

cdef bytes as_note(value):
    if PyBytes_CheckExact(value) and PyBytes_GET_SIZE(value) <= NOTE_MOST:
        return value
    if not PyObject_CheckBuffer(value):
        raise TypeError(f"note must be bytes-like, not {type(value).__name__} {value!r:.60}; encode it, or pickle it")
    view = PyMemoryView_FromObject(value)
    if view.nbytes > NOTE_MOST:
        raise ValueError(
            f"note has {view.nbytes} bytes; a note has at most {NOTE_MOST}: what is longer belongs in the block itself"
        )
    return view.tobytes()


cdef int set_note(_Mapping m, const pool_run *run, bytes note) except -1:
    cdef const char *text = PyBytes_AS_STRING(note)
    cdef unsigned length = <unsigned>PyBytes_GET_SIZE(note)
    cdef pool_failure failure
    cdef pool_status status = pool_set_note(&m.engine, run, text, length, 0, &failure)
    if status == POOL_LOCKED:
        with nogil:
            status = pool_set_note(&m.engine, run, text, length, GATE_SECONDS, &failure)
    if status == POOL_NO_ROOM or status == POOL_BUSY:
        raise note_error(status, &failure, run.index)
    return require_part(m, status, &failure)


cdef bytes note_of(_Mapping m, const pool_run *run):
    cdef unsigned char text[NOTE_MOST]
    cdef unsigned length = pool_note(&m.engine, run, text)
    return PyBytes_FromStringAndSize(<char *>text, length)
