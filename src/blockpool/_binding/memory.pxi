# See memory.pxd.

# The page size: the best alignment that the start of a mapping guarantees.
cdef enum: BEST_ALIGNMENT = 4096

# The shared pools of this process: weak references to mappings, by pool id. A plain dict, so that no Python code runs
# during a lookup.
cdef dict mappings = {}


@cython.final
@cython.internal
@cython.no_gc_clear
cdef class _Mapping:
    """The memory of a pool. It is unmapped, and a shared pool left, when nothing refers to this any more."""

    def __getbuffer__(self, Py_buffer *view, int flags):
        # only for the guard of debug mode, and for pinning
        PyBuffer_FillInfo(view, self, self.engine.data, self.engine.blocks * self.engine.block_size, 0, flags)

    def __dealloc__(self):
        end_mapping(self)


cdef void end_mapping(_Mapping m) noexcept:
    """Unmap the memory; a second time does nothing."""
    strike_off(m)
    pool_begin_close(&m.engine)  # with the GIL, before another thread can fork
    if ends_beside_threads():
        return
    with nogil:
        pool_close(&m.engine, GATE_SECONDS)
    if m.borrowed:
        m.borrowed = False
        PyBuffer_Release(&m.lender)


cdef void end_unless_used(_Mapping m) noexcept:
    if Py_REFCNT(<PyObject *>m) == 1:
        end_mapping(m)


@cython.internal
cdef class _Access:
    """Access to the memory of a pool."""

    cdef _Mapping opened(self):
        cdef _Mapping m
        with cython.critical_section(self):  # close() may be taking it away
            m = self.mapping
        if m is None:
            raise closed_error()
        if is_lost(m):
            raise lost_error(&m.engine, m.name)
        return m


@cython.nonecheck(False)
cdef inline bint is_lost(_Mapping m) noexcept:
    return pool_is_lost(&m.engine)


@cython.nonecheck(False)
cdef inline void *address_of(_Mapping m, uint64_t index) noexcept:
    return pool_address(&m.engine, index)


cdef int require_part(_Mapping m, pool_status status, const pool_failure *failure) except -1:
    if status == POOL_STRAY:
        raise lost_error(&m.engine, m.name)
    if status != POOL_OK:
        raise_failure(status, failure, m.name)
    return 0


cdef void let_others_run() noexcept:
    """Let the thread that the engine waits for go on; it may need the GIL."""
    if PyGILState_Check():
        with nogil:
            os_yield()
    else:
        os_yield()


cdef c_bool let_signals_in(void *raised) noexcept with gil:
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<list>raised).append(error)
        return False
    return True


cdef size_t alignment_of(uintptr_t address, size_t block_size) noexcept:
    cdef size_t both = address | block_size | BEST_ALIGNMENT
    return both & -both


# --- private pools ---

cdef int open_private(_Mapping m, size, blocks, buffer, bint prefault, bint huge_pages, bint debug) except -1:
    cdef pool_request request
    request.memory = NULL
    if buffer is not None:
        blocks = borrow(m, buffer, size, blocks)
        request.memory = m.lender.buf
    elif blocks is None:
        raise TypeError("blocks is missing; pass the number of blocks")
    request.bare = False
    request.prefault = prefault
    request.huge = huge_pages
    request.debug = debug
    request.serial = not WITHOUT_GIL
    return open_engine(m, &request, size, blocks)


cdef int open_bare(_Mapping m, size, blocks) except -1:
    cdef pool_request request
    request.memory = NULL
    request.bare = True
    request.prefault = request.huge = request.debug = False
    request.serial = not WITHOUT_GIL  # nobody shares it, but it is to say how much memory a pool has
    return open_engine(m, &request, size, blocks)


cdef int open_engine(_Mapping m, pool_request *request, size, blocks) except -1:
    cdef pool_failure failure
    cdef pool_status status
    cdef list raised = []
    # a number of more than 64 bits is more than any machine has, and is refused as such
    request.block_size = size
    request.blocks = min(blocks, <uint64_t>-1)
    request.pause.may_go_on = let_signals_in
    request.pause.context = <void *>raised
    with nogil:
        status = pool_open(&m.engine, request, &failure)
    if status == POOL_STOPPED:
        raise raised[0]
    if status == POOL_NO_ROOM:
        raise no_room_error(&failure, size, blocks, False, request.prefault)
    if status != POOL_OK:
        raise PoolExhausted(
            f"no memory for the bookkeeping of {blocks} blocks: {failure.asked} bytes; ask for fewer blocks"
        )
    m.engine.let_others_run = let_others_run
    m.alignment = alignment_of(<uintptr_t>m.engine.data, size)
    return 0


cdef borrow(_Mapping m, buffer, size, blocks):
    """Give the mapping the caller's memory; return the number of blocks."""
    if not PyObject_CheckBuffer(buffer):
        raise TypeError(
            f"buffer must be an object with writable memory (bytearray, mmap, array), not {type(buffer).__name__}"
        )
    try:
        PyObject_GetBuffer(buffer, &m.lender, PyBUF_WRITABLE | PyBUF_ANY_CONTIGUOUS | PyBUF_FORMAT)
    except (BufferError, ValueError) as error:
        raise ValueError(f"buffer must be writable and contiguous, and of bytes or numbers: {error}") from None
    m.borrowed = True
    if not is_plain(m.lender.format):
        given = (<bytes>m.lender.format).decode("utf-8", "replace")
        raise TypeError(
            f"buffer must be of bytes or numbers, not of format {given!r:.60}: "
            "a pool would write over objects or pointers; if it holds none, pass its bytes (an array's .view('u1'))"
        )
    address = <uintptr_t>m.lender.buf
    if address % 8:
        raise ValueError(f"buffer must start at a multiple of 8; its address is {address:#x}, {address % 8} past one")
    fit = m.lender.len // size
    if fit < 1 or (blocks is not None and blocks > fit):
        raise ValueError(
            f"buffer is too small: {m.lender.len} bytes hold {fit} blocks of {size}, "
            f"and {1 if blocks is None else readable(blocks)} are needed"
        )
    return fit if blocks is None else blocks


cdef bint is_plain(const char *code) noexcept:
    """Whether the format of a buffer means bytes or numbers of one type."""
    if code == NULL:  # means unsigned bytes
        return True
    if code[0] in b"@=<>!":
        code += 1
    while b"0" <= code[0] <= b"9":  # the length of a bytes string
        code += 1
    if code[0] == b"Z":  # complex
        return code[1] in b"fdg" and code[2] == 0
    return code[0] in b"cbB?hHiIlLqQnNefdgs" and code[1] == 0


# --- shared pools ---

cdef _Mapping open_shared(_Mapping m, on_fork):
    cdef attachment *attached = m.engine.attachment
    cdef _Mapping existing
    cdef bint detach = attached.geometry.flags & LAYOUT_DETACH if on_fork is None else on_fork == "detach"
    m.engine.let_others_run = let_others_run
    m.alignment = alignment_of(<uintptr_t>m.engine.data, m.engine.block_size)
    m.id = <bytes>attached.geometry.id[:LAYOUT_ID_BYTES]
    m.name = (<bytes>attached.name).decode()[len("blockpool."):] or None
    m.reference = PyWeakref_NewRef(m, None)
    if sites_are_kept(attached):
        require_imports("pools in debug mode")
        from blockpool._debug_shared import SharedGuard

        m.guard = SharedGuard(m.reference)
    # No other thread comes between this lookup and the new entry. So of two threads that attach the same pool, the
    # second one finds the first one's mapping, and its own attachment ends with `m`.
    lock_tables()
    try:
        reference = mappings.get(m.id)
        existing = None if reference is None else reference()
        if existing is None or is_lost(existing):
            mappings[m.id] = m.reference
    finally:
        unlock_tables()
    if existing is not None and not is_lost(existing):
        return existing
    if not WITHOUT_GIL:
        pool_make_serial(&m.engine)
    pool_set_on_fork(&m.engine, detach)
    begin_to_tell()
    return m


cdef _Mapping known(bytes pool_id):
    reference = mappings.get(pool_id)
    cdef _Mapping m = None if reference is None else reference()
    return m if m is not None and not is_lost(m) else None


cdef _Mapping mapping_at(uintptr_t address):
    cdef _Mapping m
    cdef uintptr_t start
    for reference in list(mappings.values()):
        m = reference()
        if m is None or is_lost(m):
            continue
        start = <uintptr_t>m.engine.data
        if start <= address < start + m.engine.blocks * m.engine.block_size:
            return m
    return None


cdef void strike_off(_Mapping m) noexcept:
    """Remove the mapping from the table. Runs no Python code."""
    if m.reference is not None and mappings is not None:
        lock_tables()
        if mappings.get(m.id) is m.reference:
            del mappings[m.id]
        unlock_tables()


cdef void tell_of_strays() noexcept:
    """Say which forked children have no part in a shared pool although they should."""
    cdef attachment_strays strays
    cdef _Mapping m
    cdef bytes line
    for reference in list(mappings.values()):
        m = reference()
        if m is None:
            continue
        strays = attachment_take_strays(m.engine.attachment)
        if strays.count:
            why = why_lost(&m.engine, strays.fate, strays.error)
            message = f"a forked child has no part in {titled(m.name)}: {why}"
            if not tell_of_fork(message, m.name, m.id.hex(), children=strays.count, reason=why):
                line = f"blockpool: {message}\n".encode()
                os_say(line, len(line))


cdef bint tells_of_strays = False


cdef int begin_to_tell() except -1:
    """Register the hook, once; with the first shared pool, so that the hook of logging usually comes before."""
    global tells_of_strays
    if not tells_of_strays:
        tells_of_strays = True
        os.register_at_fork(after_in_parent=_tell_of_strays)
    return 0


def _tell_of_strays():
    tell_of_strays()
