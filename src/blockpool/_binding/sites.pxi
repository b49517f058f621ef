# See sites.pxd.

# From how many bytes on a run is filled without the GIL.
cdef enum: MANY_TO_FILL = 1 << 20


cdef tuple caller_of(_Mapping m, site_caller *caller):
    cdef tuple found = (0, b"")
    if not Py_IsFinalizing():
        found = m.guard.caller()
    caller.thread = found[0]
    caller.text = <const char *>PyBytes_AS_STRING(found[1])
    caller.length = <unsigned>min(PyBytes_GET_SIZE(found[1]), SITE_TEXT_MOST)
    return found


cdef str stack_text(const site_told *told):
    return PyBytes_FromStringAndSize(<const char *>told.text, told.length).decode("utf-8", "replace")


cdef object finding_error(_Mapping m, const site_finding *finding, tuple freed):
    story = None
    kind = "overrun" if finding.found == SITE_OVERRUN else "late write"
    if finding.known:
        allocated = finding.story.allocated.process, stack_text(&finding.story.allocated)
        if freed is not None:
            freed = getpid(), (<bytes>freed[1]).decode("utf-8", "replace")
        elif finding.story.freed.process:
            freed = finding.story.freed.process, stack_text(&finding.story.freed)
        story = finding.story.index, finding.story.blocks, finding.story.nbytes, allocated, freed
    return m.guard.error(kind, finding.block, finding.at, finding.byte, story)


cdef int issue_run(_Mapping m, const pool_run *run, uint64_t nbytes) except -1:
    cdef site_caller caller
    cdef site_finding finding
    cdef bint sound = False
    found = caller_of(m, &caller)  # keeps the text
    while not sound:
        if is_lost(m):  # a signal handler forked, and this is the child
            raise lost_error(&m.engine, m.name)
        if run.blocks * m.engine.block_size >= MANY_TO_FILL:
            with nogil:
                sound = sites_issue(m.engine.attachment, run, nbytes, &caller, &finding)
        else:
            sound = sites_issue(m.engine.attachment, run, nbytes, &caller, &finding)
        if not sound and not Py_IsFinalizing():
            raise finding_error(m, &finding, None)
    recording_put_stack(m.engine.attachment, run, caller.text, caller.length)
    return 0


cdef int release_watched(_Mapping m, const pool_run *run, uint64_t nbytes) except -1:
    cdef site_caller caller
    cdef site_finding finding
    error = found = None
    caller.thread = caller.length = 0
    caller.text = NULL
    try:
        found = caller_of(m, &caller)
        if not is_lost(m) and not sites_are_sound(m.engine.attachment, run, &finding) and not Py_IsFinalizing():
            error = finding_error(m, &finding, found)
    except BaseException as stopped:  # Ctrl-C, no memory, too deep a recursion: the run comes back all the same
        error = stopped
    sites_set_caller(&caller)
    release_run(m, run, nbytes)
    sites_set_caller(NULL)
    if error is not None:
        raise error
    return 0
