# See numpy_allocator.pxd.

# The name that NumPy gives capsules of memory handlers.
cdef const char *CAPSULE = "mem_handler"

# The alignment that NumPy, and code compiled for it, expects of memory: that of malloc.
cdef enum: NUMPY_ALIGNMENT = 16

# NumPy's own handler, which lives as long as NumPy; NULL until it is needed.
cdef PyDataMemAllocator *numpys_own = NULL

# A linked list of what is entered in this context, the innermost first: (allocator, previous handler, rest), or ().
cdef object entered = PyContextVar_New_with_default("blockpool.numpy_allocator", ())


cdef void *claim_for_numpy(_Mapping m, size_t size) noexcept:
    """Memory of the pool; NULL if there is no room, or a block is more than twice the size."""
    cdef pool_run run
    cdef uint64_t n
    if size < m.engine.block_size // 2 or m.closed or is_lost(m):
        return NULL
    n = (size - 1) // m.engine.block_size + 1
    if n > m.engine.blocks or not allocate_quickly(m, n, 0, &run):
        pool_count_failure(&m.engine)
        return NULL
    pool_count(&m.engine, n, n * m.engine.block_size)
    return address_of(m, run.index)


cdef bint run_of_numpy(_Mapping m, const void *memory, pool_run *run) noexcept:
    """Find the run that begins at an address; 0 blocks if there is none. Return whether the pool has the address."""
    cdef uintptr_t at = <uintptr_t>memory, start = <uintptr_t>m.engine.data
    cdef pool_look look
    cdef pool_run held
    if at < start or at - start >= m.engine.blocks * m.engine.block_size:
        return False
    run.index = (at - start) // m.engine.block_size
    run.generation = 0
    run.blocks = 0
    if address_of(m, run.index) != memory:
        return True
    if pool_is_shared(&m.engine):
        # a child without a part holds nothing
        if not is_lost(m) and pool_held_run(&m.engine, run.index, &held) and held.index == run.index:
            run[0] = held
    elif pool_next_run(&m.engine, run.index, &look):
        run.blocks = look.run.blocks if look.run.index == run.index else 0
    return True


cdef void *numpy_malloc(void *ctx, size_t size) noexcept with gil:
    cdef void *memory = claim_for_numpy(<_Mapping>ctx, size)
    return memory if memory != NULL else numpys_own.malloc(numpys_own.ctx, size)


cdef void *numpy_calloc(void *ctx, size_t count, size_t size) noexcept with gil:
    cdef void *memory
    if size and count > <size_t>-1 // size:
        return NULL
    memory = claim_for_numpy(<_Mapping>ctx, count * size)
    if memory == NULL:
        return numpys_own.calloc(numpys_own.ctx, count, size)
    return memset(memory, 0, count * size)


cdef void *numpy_realloc(void *ctx, void *memory, size_t size) noexcept with gil:
    """Resize memory. What NumPy's own handler gave stays with that handler, as its size is not known here."""
    cdef _Mapping m = <_Mapping>ctx
    cdef pool_run run
    cdef size_t had
    cdef void *moved
    if memory == NULL:
        return numpy_malloc(ctx, size)
    if not run_of_numpy(m, memory, &run):
        return numpys_own.realloc(numpys_own.ctx, memory, size)
    if not run.blocks:
        return NULL
    had = run.blocks * m.engine.block_size
    if had // 2 <= size <= had:
        return memory
    moved = numpy_malloc(ctx, size)
    if moved == NULL:
        return memory if size < had else NULL
    memcpy(moved, memory, min(size, had))
    numpy_free(ctx, memory, had)
    return moved


cdef void numpy_free(void *ctx, void *memory, size_t size) noexcept with gil:
    cdef _Mapping m = <_Mapping>ctx
    cdef pool_run run
    if not run_of_numpy(m, memory, &run):
        numpys_own.free(numpys_own.ctx, memory, size)
    elif run.blocks:  # otherwise it was freed before
        release_run(m, &run, run.blocks * m.engine.block_size)


cdef void drop_handler(capsule) noexcept:
    cdef PyDataMem_Handler *handler = <PyDataMem_Handler *>PyCapsule_GetPointer(capsule, CAPSULE)
    Py_DECREF(<object>handler.allocator.ctx)
    c_free(handler)


cdef object handler_capsule(_Mapping m):
    """A capsule of the mapping's handler, which keeps the mapping."""
    cdef PyDataMem_Handler *handler = <PyDataMem_Handler *>malloc(sizeof(PyDataMem_Handler))
    if handler == NULL:
        raise MemoryError(f"no memory for a handler of {sizeof(PyDataMem_Handler)} bytes")
    memset(handler, 0, sizeof(PyDataMem_Handler))
    memcpy(handler.name, b"blockpool", 9)
    handler.version = 1
    handler.allocator.ctx = <void *>m
    handler.allocator.malloc = numpy_malloc
    handler.allocator.calloc = numpy_calloc
    handler.allocator.realloc = numpy_realloc
    handler.allocator.free = numpy_free
    try:
        capsule = PyCapsule_New(handler, CAPSULE, drop_handler)
    except BaseException:
        c_free(handler)
        raise
    Py_INCREF(m)
    return capsule


@cython.final
@cython.internal
cdef class _NumpyAllocator:
    """What `Pool.numpy_allocator` returns."""

    cdef _Mapping mapping
    cdef object capsule

    def __enter__(self):
        if self.mapping.closed:
            raise closed_error()
        PyContextVar_Set(entered, (self, PyDataMem_SetHandler(self.capsule), get_value(entered)))

    def __exit__(self, kind, value, traceback, /):
        innermost = get_value(entered)
        if not innermost or innermost[0] is not self:
            raise RuntimeError(
                "this is not the innermost numpy_allocator() entered in this context; leave each in the context that "
                "entered it, the last one first"
            )
        PyDataMem_SetHandler(innermost[1])
        PyContextVar_Set(entered, innermost[2])


cdef object numpy_allocator(_Mapping m, bint shared):
    global numpys_own
    cdef _NumpyAllocator made
    if pool_is_shared(&m.engine) and not shared:
        raise ValueError(
            "numpy_allocator() is for private pools: a shared one would keep arrays that no other process knows; "
            "create a private pool for them, or single arrays with empty() and zeros()"
        )
    if m.guard is not None:
        raise ValueError(
            "numpy_allocator() is not for pools in debug mode: NumPy's arrays have no slack to watch and no stack to "
            "remember; create the pool with debug=False"
        )
    if m.alignment < NUMPY_ALIGNMENT:
        raise ValueError(
            f"NumPy needs memory aligned to {NUMPY_ALIGNMENT}, and the blocks of this pool are aligned to "
            f"{m.alignment}; make block_size a multiple of {NUMPY_ALIGNMENT}"
            + (", and start the buffer on one" if m.borrowed else "")
        )
    need_numpy()
    if numpys_own == NULL:
        numpys_own = &(<PyDataMem_Handler *>PyCapsule_GetPointer(<object>PyDataMem_DefaultHandler, CAPSULE)).allocator
    made = _NumpyAllocator.__new__(_NumpyAllocator)
    made.mapping = m
    made.capsule = handler_capsule(m)
    return made
