# A private pool: its memory, its claims, its numbers.

cdef bint attempt_private(_Mapping m, uint64_t n, bint many, pool_run *out) except -1:
    cdef uint64_t *indices
    cdef uint64_t i
    cdef bint done
    if not many:
        if n > MANY or m.blocks > LARGE_POOL:
            with nogil:
                out.index = private_pool_allocate_run(m.core, n)
        else:
            out.index = private_pool_allocate_run(m.core, n)
        out.blocks = n
        out.generation = 0
        return out.index != BITMAP_NONE
    indices = <uint64_t *>malloc(n * sizeof(uint64_t))
    if indices == NULL:
        raise MemoryError(f"no memory for a list of {n} blocks")
    with nogil:
        done = private_pool_allocate_many(m.core, n, indices)
        if done:
            for i in range(n):
                out[i].index = indices[i]
                out[i].blocks = 1
                out[i].generation = 0
    c_free(indices)
    return done


cdef stats_private(_Mapping m):
    cdef uint64_t allocated, longest, runs
    with nogil:
        allocated = bitmap_count(&m.core.bitmap)
        runs = private_pool_runs(m.core)
        longest = bitmap_longest_free(&m.core.bitmap)
    runs -= m.resting.count
    allocated -= m.resting.blocks
    free = m.blocks - allocated
    allocated_bytes = allocated * m.block_size
    return report("PoolStats", dict(
        blocks=m.blocks,
        block_size=m.block_size,
        allocated=allocated,
        free=free,
        peak=m.peak,
        largest_free_run=longest,
        fragmentation=fragmentation_of(free, longest),
        requested_bytes=m.requested,
        allocated_bytes=allocated_bytes,
        utilization=m.requested / allocated_bytes if allocated_bytes else 1.0,
        allocations=m.allocations,
        frees=max(m.allocations, runs) - runs,
        failures=m.failures,
        tickets=0,
        oldest_ticket=None,
        processes=1,
    ))


cdef list runs_private(_Mapping m):
    cdef uint64_t first = 0, n = 0, at = 0
    cdef list found = []
    holders = (getpid(),)
    if m.guard is not None:
        for index in sorted(m.guard.live):
            run = m.guard.live.get(index)
            if run is not None:
                found.append(run_report(index, run.blocks, run.nbytes, holders, 0))
        return found
    while private_pool_next_run(m.core, at, &first, &n):
        found.append(run_report(first, n, n * m.block_size, holders, 0))
        at = first + n
    return found


cdef check_private(_Mapping m):
    cdef private_pool_fault faults[FAULTS]
    cdef uint64_t count, in_transit, allocated, runs = 0, first = 0, n = 0, at = 0, i
    with nogil:
        count = private_pool_check(m.core, faults, FAULTS, &in_transit)
        allocated = bitmap_count(&m.core.bitmap)
        while private_pool_next_run(m.core, at, &first, &n):
            runs += 1
            at = first + n
    if count:
        raise corrupt([describe_fault(faults[i]) for i in range(min(count, <uint64_t>FAULTS))], count)
    allocated -= m.resting.blocks
    runs -= m.resting.count
    return report("Audit", dict(blocks=m.blocks, allocated=allocated, runs=runs, in_transit=in_transit))


cdef corrupt(list found, uint64_t count):
    """The error of an audit that found faults."""
    if count > <uint64_t>len(found):
        found.append(f"and {count - <uint64_t>len(found)} more")
    return PoolCorrupt(
        f"{count} fault{'s' if count > 1 else ''} in the bookkeeping: {'; '.join(found)}. "
        "Something wrote over it, through a wild pointer perhaps; save what you can, and make a new pool"
    )


cdef bint debug_wanted() except -1:
    """Whether the program as a whole runs in debug mode."""
    return flags.dev_mode or environ.get("BLOCKPOOL_DEBUG", "0") not in ("", "0")


cdef int refuse_keyword(str what, dict given, str other, tuple of_other) except -1:
    """Raise that there is no such argument, or that the other kind of pool has it."""
    name = next(iter(given))
    if name in of_other:
        kind = "shared" if other == "Pool.create" else "private"
        raise TypeError(f"{what}() has no {name}=: that is for {kind} pools; make one with {other}(…, {name}=…)")
    raise TypeError(f"{what}() has no argument {name!r}")


cdef int refuse_positional(str method, given) except -1:
    """Raise that the arguments of an allocation have names."""
    name = "nbytes" if type(given) is str else "blocks"
    raise TypeError(f"{method}() takes its arguments by name: write {method}({name}={given!r:.60})")


cdef as_count(value, what):
    """A whole number of at least 1."""
    try:
        count = PyNumber_Index(value)
    except TypeError:
        raise TypeError(f"{what} must be an int, not {type(value).__name__} {value!r:.60}") from None
    if count < 1:
        raise ValueError(f"{what} must be at least 1, not {readable(count)}")
    return count


cdef as_block_size(value):
    """Bytes of a block."""
    size = parse_size(value, "block_size")
    if size % 8:
        raise ValueError(f"block_size must be a multiple of 8, not {size}; the next one is {size + 8 - size % 8}")
    return size


cdef double deadline_of(timeout) except? -1.0:
    """When to stop waiting, on the monotonic clock; 0 is not to wait at all."""
    cdef double seconds = seconds_of(timeout)
    return os_now() + seconds if seconds else 0


cdef double seconds_of(timeout) except? -1.0:
    """How long to wait; infinitely long for None."""
    if timeout is None:
        return INFINITY
    seconds = number_of_seconds("timeout", timeout, " or None")
    if not seconds >= 0:
        raise ValueError(f"timeout must be 0 or more seconds, or None to wait without end, not {seconds}")
    return seconds


cdef number_of_seconds(what, value, others):
    """A number as a float, of whatever sign and size; `others` says for the message what else it may be."""
    if not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"{what} must be a number of seconds{others}, not {type(value).__name__} {value!r:.60}")
    try:
        return float(value)
    except OverflowError:
        return INFINITY if value > 0 else -INFINITY


cdef describe_fault(private_pool_fault fault):
    if fault.kind == PRIVATE_POOL_FAULT_CONTINUATION_FREE:
        return f"block {fault.index} is marked as part of a run but is free"
    if fault.kind == PRIVATE_POOL_FAULT_CONTINUATION_LOST:
        return f"block {fault.index} is marked as continuing a run but the block before it is free"
    if fault.kind == PRIVATE_POOL_FAULT_PAST_END:
        return f"bit {fault.index}, past the last block, was changed"
    return f"summary {fault.index} promises less room than there is"


cdef size_t alignment_of(uintptr_t address, size_t block_size) noexcept:
    cdef size_t both = address | block_size | BEST_ALIGNMENT
    return both & -both


cdef int reserve(_Mapping m, size, blocks, bint prefault, bint huge_pages) except -1:
    """Give the mapping memory of its own."""
    cdef os_memory_t machine
    cdef size_t nbytes
    cdef void *data = NULL
    cdef int error
    cdef list raised = []
    cdef os_pause pause
    pause.may_go_on = let_signals_in
    pause.context = <void *>raised
    wanted = size * blocks
    bookkeeping = private_pool_metadata_bytes(blocks) if blocks <= BITMAP_MOST else 0  # more fit in no machine
    cdef os_limit *limit = &machine.available if prefault else &machine.total
    limit.bytes = OS_MEMORY_SURE
    if prefault or wanted + bookkeeping > OS_MEMORY_SURE:
        os_memory(&machine)
    if wanted + bookkeeping > limit.bytes:
        there, remedy = shortage((<bytes>limit.by).decode("utf-8", "replace"), limit.bytes, ever=not prefault)
        raise PoolExhausted(
            f"asked for {readable(wanted)} bytes ({readable(blocks)} blocks of {size})"
            + (f" and {bookkeeping} of bookkeeping" if bookkeeping else "") +
            f"; {there}; ask for fewer or smaller blocks, or {remedy}"
        )
    nbytes = wanted
    with nogil:
        error = os_map_private(nbytes, huge_pages, &data)
        if error == 0 and prefault:
            error = os_prefault(data, nbytes, &pause)
            if error:
                os_unmap(data, nbytes)
    if raised:
        raise raised[0]
    if error:
        raise PoolExhausted(
            f"asked for {wanted} bytes ({blocks} blocks of {size}); the kernel refuses ({error_text(-error)}); "
            "ask for fewer or smaller blocks"
        )
    m.data = <unsigned char *>data
    m.block_size = size  # to be unmapped by, should anything else fail
    m.blocks = blocks
    return 0


cdef bint is_plain(const char *form) noexcept:
    """Whether that is the format of a buffer of bytes or numbers, of one kind."""
    if form == NULL:  # unsigned bytes
        return True
    if form[0] in b"@=<>!":
        form += 1
    while b"0" <= form[0] <= b"9":  # how many bytes of text
        form += 1
    if form[0] == b"Z":  # complex
        return form[1] in b"fdg" and form[2] == 0
    return form[0] in b"cbB?hHiIlLqQnNefdgs" and form[1] == 0


cdef borrow(_Mapping m, buffer, size, blocks):
    """Give the mapping the caller's memory; return how many blocks it makes."""
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
        form = (<bytes>m.lender.format).decode("utf-8", "replace")
        raise TypeError(
            f"buffer must be of bytes or numbers, not of format {form!r:.60}: "
            "a pool would write over objects or pointers; if it has none, pass its bytes (an array's .view('u1'))"
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
    m.data = <unsigned char *>m.lender.buf
    return fit if blocks is None else blocks


cdef int view(_Mapping m, uint64_t size, uint64_t blocks) except -1:
    """Give the mapping its bookkeeping: the C structure, then bitmaps and summaries."""
    cdef size_t head = (sizeof(private_pool) + 63) // 64 * 64
    cdef size_t nbytes = head + private_pool_metadata_bytes(blocks)
    cdef void *memory = NULL
    if os_map_private(nbytes, False, &memory):
        raise PoolExhausted(f"no memory for the bookkeeping of {blocks} blocks: {nbytes} bytes; ask for fewer blocks")
    m.core = <private_pool *>memory
    m.core_bytes = nbytes
    m.block_size = size
    m.blocks = blocks
    private_pool_init(m.core, <char *>memory + head, m.data, size, blocks)
    return 0
