# See names.pxd.

cdef int keep_run(_Mapping m, name, const pool_run *run, bint replace) except -1:
    cdef bytes text = name_of(name).encode()
    cdef const char *chars = text
    cdef pool_failure failure
    cdef pool_status status
    with nogil:
        status = attachment_keep(m.engine.attachment, chars, run, replace, GATE_SECONDS, &failure)
    if status == POOL_OTHER_KIND:
        raise NameTaken(
            f"{titled(m.name)} has a queue, topic or latest value named {name!r}, which no block can replace; choose "
            "another name, or forget() that one first"
        )
    if status == POOL_EXISTS:
        raise NameTaken(f"{titled(m.name)} has a block named {name!r} already; pass replace=True, or forget() it first")
    if status == POOL_FULL:
        raise PoolExhausted(f"{titled(m.name)} has {CATALOG_NAMES} names, the most it can have; forget() some")
    if status == POOL_CORRUPT:
        raise_run_failure(&m.engine, m.name, status, run.index)
    require_part(m, status, &failure)
    return 0


cdef int get_run(_Mapping m, name, pool_run *run) except -1:
    cdef bytes text = name_of(name).encode()
    cdef pool_status status = pool_get(&m.engine, text, run)
    if status == POOL_NOT_FOUND:
        raise unknown_error(m, name)
    if status == POOL_OTHER_KIND:
        raise WrongKind(
            f"{name!r} is no block of {titled(m.name)}, but a queue, topic or latest value; open it with queue(), "
            "topic() or latest()"
        )
    if status != POOL_OK:
        raise_run_failure(&m.engine, m.name, status, run.index)
    return 0


cdef int forget_name(_Mapping m, name) except -1:
    cdef bytes text = name_of(name).encode()
    cdef const char *chars = text
    cdef pool_failure failure
    cdef pool_status status
    with nogil:
        status = attachment_forget(m.engine.attachment, chars, GATE_SECONDS, &failure)
    if status == POOL_NOT_FOUND:
        raise unknown_error(m, name)
    require_part(m, status, &failure)
    return 0


cdef unknown_error(_Mapping m, name):
    return NameNotFound(f"{titled(m.name)} has no block named {name!r}; names() lists those that it has")


cdef list all_names(_Mapping m):
    cdef char text[CATALOG_NAME_BYTES]
    cdef pool_run run
    cdef unsigned at = 0, kind = 0
    cdef list found = []
    while True:
        at = attachment_next_name(m.engine.attachment, at, text, &run, &kind)
        if at >= CATALOG_NAMES:
            return found
        found.append((<bytes>text).decode("ascii", "replace"))
        at += 1


cdef bint is_named(_Mapping m, name, unsigned wanted, const pool_run *named) except -1:
    cdef char text[CATALOG_NAME_BYTES]
    cdef pool_run run
    cdef unsigned at = 0, kind = 0
    while True:
        at = attachment_next_name(m.engine.attachment, at, text, &run, &kind)
        if at >= CATALOG_NAMES:
            return False
        if kind == wanted and run.index == named.index and run.generation == named.generation:
            return (<bytes>text).decode("ascii", "replace") == name
        at += 1


cdef dict names_of(_Mapping m):
    """The names of blocks, by (index, generation)."""
    return all_names_of(m, False)


cdef dict queue_names_of(_Mapping m):
    """The names of queues, topics and latest values, by (index, generation) of their runs in the annex."""
    return all_names_of(m, True)


cdef dict all_names_of(_Mapping m, bint of_queues):
    cdef char text[CATALOG_NAME_BYTES]
    cdef pool_run run
    cdef unsigned at = 0, kind = 0
    cdef dict found = {}
    while True:
        at = attachment_next_name(m.engine.attachment, at, text, &run, &kind)
        if at >= CATALOG_NAMES:
            return found
        if (kind != 0) == of_queues:
            found.setdefault((run.index, run.generation), []).append((<bytes>text).decode("ascii", "replace"))
        at += 1
