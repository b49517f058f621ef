# Objects in a pool: put() stores what pickle makes of an object in one run, and get() loads it there, in place.
#
# A run that has an object begins with a head, and tables of the runs and buffers that belong to it; the pickle follows,
# then the buffers that were copied. The tables and the pickle have a checksum, so that damage is found before pickle
# could act on it. Buffers have none: they may be written to.
#
# WHO HOLDS THE RUNS within the object, of blocks and arrays of the pool? Each has a reference in flight, as the run of
# the object has. So all of them end together: with the lifetime of the ticket, in recover(), or in get(). get() first
# makes this process a holder of all, then loads, and only then takes the references out of flight. What fails before
# that has changed nothing. Only the get() that finds `flying` set takes those within the object: another one may
# have the same ticket, or one that somebody made of the run by hand.

cdef extern from *:
    """
    static inline uint32_t exchange_acq_rel(uint32_t *at, uint32_t value) {
        return __atomic_exchange_n(at, value, __ATOMIC_ACQ_REL);
    }
    """
    uint32_t exchange_acq_rel(uint32_t *at, uint32_t value) noexcept

cdef enum: OBJECT_VERSION = 1
cdef const char *OBJECT_MAGIC = b"bpobject"

cdef struct object_head:
    char[8] magic
    uint32_t flying         # 1 while each run of the table has a reference in flight for this object
    uint32_t checksum       # of all that follows, up to the end of the pickle
    uint32_t version
    uint32_t runs
    uint64_t buffers
    uint64_t length         # of the pickle

cdef struct object_run:
    uint64_t index, generation

cdef struct object_buffer:
    uint32_t run            # that it is in: of the table, one up, or 0 for that of the object
    uint32_t readonly
    uint64_t offset, length

# Where the checksum begins.
cdef enum: CHECKED_FROM = 16

cdef object crc32 = None


cdef uint32_t checksum_of(view) except? <uint32_t>-1:
    global crc32
    if crc32 is None:
        require_imports("put() and get()")
        from binascii import crc32 as found

        crc32 = found
    return crc32(view)


# --- putting ---

def put_object(obj, Pool pool not None, lifetime, timeout, /):
    """What blockpool.put does."""
    cdef _Mapping m = pool.opened()
    cdef _Packing packing
    cdef bytes pickled
    if not pool_is_shared(&m.engine):
        raise ValueError("the pool is private, so no process could get the object; create one with Pool.create()")
    deadline_of(timeout)
    cdef double seconds = as_lifetime(lifetime, "lifetime")  # once, as it may call __float__
    notice_numpy()
    packing = new_packing(m, COPIED_LEAST)
    try:
        pickled = packing.dump(obj)
        ticket = store(pool, m, packing, pickled, seconds, timeout)
    except BaseException:
        packing.give_up()
        raise
    keep_packing(packing)
    return ticket


cdef store(Pool pool, _Mapping m, _Packing packing, bytes pickled, double lifetime, timeout):
    """Write a packed object into a run, and put it in flight."""
    cdef list places = []
    cdef uint64_t end, copied = place_copies(packing.buffers, places)
    cdef uint64_t nbytes
    cdef _Lease lease
    cdef char *memory
    end = sizeof(object_head) + len(packing.leases) * sizeof(object_run)
    end += len(packing.buffers) * sizeof(object_buffer) + len(pickled)
    nbytes = end
    if copied:
        nbytes = (end + ALIGNED - 1) // ALIGNED * ALIGNED + copied
        if m.engine.block_size % ALIGNED != 0:
            nbytes += ALIGNED  # the run may begin between two multiples of it
    lease = allocate_lease(pool, nbytes, timeout)
    if lease.mapping is not m:
        raise closed_error()  # the pool was closed, and opened again, while this call waited
    memory = <char *>address_of(m, lease.run.index)
    write_object(lease, memory, packing, pickled, places, end)
    if copied:
        copy_into_places(memory + aligned_after(memory, end), packing.buffers, places)
    return fly(m, lease, packing.leases, lifetime)


cdef uint64_t aligned_after(const char *memory, uint64_t end) noexcept:
    """The first offset from `end` on at which memory is aligned."""
    return end + (ALIGNED - (<uintptr_t>memory + end) % ALIGNED) % ALIGNED


cdef int write_object(
    _Lease lease, char *memory, _Packing packing, bytes pickled, list places, uint64_t end
) except -1:
    """Write all but the buffers; `end` is where that ends."""
    cdef object_head *head = <object_head *>memory
    cdef object_run *run = <object_run *>(head + 1)
    cdef object_buffer *next
    cdef _Lease within
    cdef Py_ssize_t at = 0
    memcpy(head.magic, OBJECT_MAGIC, 8)
    head.flying = 1
    head.version = OBJECT_VERSION
    head.runs = len(packing.leases)
    head.buffers = len(packing.buffers)
    head.length = len(pickled)
    for within in packing.leases:
        run.index = within.run.index
        run.generation = within.run.generation
        run += 1
    next = <object_buffer *>run
    for buffer in packing.buffers:
        if type(buffer) is tuple:
            next.run, next.readonly, next.offset, next.length = buffer
            next.run += 1
        else:
            next.run = 0
            next.readonly = buffer.readonly
            next.offset = aligned_after(memory, end) + <uint64_t>places[at]
            next.length = buffer.nbytes
            at += 1
        next += 1
    copy_memory(next, PyBytes_AS_STRING(pickled), len(pickled))
    head.checksum = checksum_of(PyMemoryView_FromObject(lease_for_view(lease))[CHECKED_FROM:end])
    return 0


cdef fly(_Mapping m, _Lease lease, list within, double lifetime):
    """Put the runs within the object in flight, then its own; return its ticket. All or nothing."""
    cdef _Lease one
    cdef list flying = []
    ticket = handle_of(m, &lease.run, Ticket)
    try:
        for one in (*within, lease):
            if lifetime == 0:  # then the pool says it
                share_run(m, &one.run, 1)
            else:
                share_run_for(m, &one.run, 1, lifetime)
            flying.append(one)
    except BaseException:
        for one in flying:
            pool_withdraw(&m.engine, &one.run)
        raise
    return ticket


# --- getting ---

def get_object(ticket, /):
    """What blockpool.get does."""
    cdef _Mapping m
    cdef _Lease lease, one
    cdef list within
    cdef pool_run run
    handle = Handle.parse(ticket)
    need_pickle()
    m = mapping_of_handle(handle, None)
    if is_lost(m):
        raise lost_error(&m.engine, m.name)
    run.index = handle.index
    run.generation = handle.generation
    lease = lease_added(m, &run)
    made, within = load(lease)
    if isinstance(handle, Ticket) and pool_withdraw(&m.engine, &lease.run):
        if exchange_acq_rel(&(<object_head *>address_of(m, lease.run.index)).flying, 0) == 1:
            for one in within:
                pool_withdraw(&m.engine, &one.run)
    return made


cdef _Lease lease_added(_Mapping m, const pool_run *named):
    """Hold the run of that index and generation; return its lease."""
    cdef _Lease lease = _Lease.__new__(_Lease)  # first, so that nothing fails once this process holds the run
    lease.run = named[0]
    redeem_run(m, &lease.run, False)
    lease.nbytes = pool_run_bytes(&m.engine, &lease.run)
    lease.mapping = m
    return lease


cdef not_an_object(_Lease lease, why):
    return InvalidBlock(
        f"block {lease.run.index} of {titled(lease.mapping.name)} has no object that can be loaded: {why}; "
        "pass the ticket that blockpool.put() returned, and put the object again if it was damaged"
    )


cdef tuple load(_Lease lease):
    """Load the object of a run; return it, and the leases of the runs within it."""
    cdef const char *memory = <const char *>address_of(lease.mapping, lease.run.index)
    # copies of what is checked, as the memory may change at any time
    cdef object_head head
    cdef uint64_t room, tables, at
    cdef list within, views = []
    cdef object_run run
    cdef object_buffer buffer
    if lease.nbytes < sizeof(object_head):
        raise not_an_object(lease, f"it has {lease.nbytes} bytes")
    memcpy(&head, memory, sizeof(object_head))
    if memcmp(head.magic, OBJECT_MAGIC, sizeof(head.magic)) != 0:
        raise not_an_object(lease, "it was not put() there")
    room = lease.nbytes - sizeof(object_head)
    if head.version != OBJECT_VERSION:
        raise not_an_object(lease, f"its form is {head.version}, of another release of blockpool, or damaged")
    if head.runs > room // sizeof(object_run) or head.buffers > room // sizeof(object_buffer):
        raise not_an_object(lease, "its table is longer than the run, so it was damaged")
    tables = head.runs * sizeof(object_run) + head.buffers * sizeof(object_buffer)
    if tables > room or head.length > room - tables:
        raise not_an_object(lease, "its pickle is longer than the run, so it was damaged")
    tables += sizeof(object_head)
    whole = PyMemoryView_FromObject(lease_for_view(lease))
    if checksum_of(whole[CHECKED_FROM:tables + head.length]) != head.checksum:
        raise not_an_object(lease, "its checksum is wrong, so it was damaged")
    within = []
    at = sizeof(object_head)
    for _ in range(head.runs):
        memcpy(&run, memory + at, sizeof(object_run))
        within.append(lease_within(lease, &run))
        at += sizeof(object_run)
    for _ in range(head.buffers):
        memcpy(&buffer, memory + at, sizeof(object_buffer))
        views.append(view_within(lease, within, &buffer))
        at += sizeof(object_buffer)
    made = pickle_loads(whole[tables:tables + head.length], buffers=views)
    notice_frames()
    return made, within


cdef _Lease lease_within(_Lease lease, const object_run *found):
    cdef pool_run run
    if found.index >= lease.mapping.engine.blocks or found.generation > MOST_GENERATIONS:
        raise not_an_object(lease, f"a block within it is number {found.index}, so it was damaged")
    run.index = found.index
    run.generation = found.generation
    return lease_added(lease.mapping, &run)


cdef view_within(_Lease lease, list within, const object_buffer *buffer):
    """A memoryview of a buffer of the object."""
    cdef _Lease there = lease
    if buffer.run > <uint64_t>len(within):
        raise not_an_object(lease, f"a buffer of it is in run {buffer.run}, so it was damaged")
    if buffer.run:
        there = within[buffer.run - 1]
    if buffer.offset > there.nbytes or buffer.length > there.nbytes - buffer.offset:
        raise not_an_object(lease, f"a buffer of it is {buffer.length} bytes from {buffer.offset}, so it was damaged")
    there = new_lease(there.mapping, there, &there.run, there.nbytes) if buffer.readonly else lease_for_view(there)
    return PyMemoryView_FromObject(there)[buffer.offset:buffer.offset + buffer.length]


# --- for blockpool.arrow and blockpool.torch ---

def is_in_a_pool(uintptr_t address, uint64_t nbytes, /):
    """Return whether that memory is in a run of a shared pool that this process holds."""
    return lease_at(address, nbytes) is not None


def memory_in_a_pool(uintptr_t address, uint64_t nbytes, /):
    """Return a memoryview of it, which keeps the run allocated; None if it is not in one."""
    cdef _Lease lease = lease_at(address, nbytes)
    if lease is None:
        return None
    offset = address - <uintptr_t>address_of(lease.mapping, lease.run.index)
    return PyMemoryView_FromObject(lease)[offset:offset + nbytes]


def with_buffers_in(obj, Pool pool not None, timeout, /):
    """Return a copy of an object whose buffers are all in a pool: in one run, unless they were in the pool before."""
    cdef _Mapping m = pool.opened()
    cdef _Packing packing
    cdef bytes pickled
    deadline_of(timeout)
    notice_numpy()
    packing = new_packing(m, 1)
    try:
        pickled = packing.dump(obj)
        views = views_of_copies(pool, m, packing, timeout)
    except BaseException:
        packing.give_up()
        raise
    keep_packing(packing)
    return pickle_loads(pickled, buffers=views)


cdef list views_of_copies(Pool pool, _Mapping m, _Packing packing, timeout):
    """Copy the buffers; return a memoryview of each."""
    cdef list places = [], views = []
    cdef uint64_t copied = place_copies(packing.buffers, places), begin = 0
    cdef _Lease lease = None
    cdef object_buffer found
    cdef char *memory
    if copied:
        lease = allocate_lease(pool, copied + (ALIGNED if m.engine.block_size % ALIGNED != 0 else 0), timeout)
        memory = <char *>address_of(lease.mapping, lease.run.index)
        begin = aligned_after(memory, 0)
        copy_into_places(memory + begin, packing.buffers, places)
    at = iter(places)
    for buffer in packing.buffers:
        if type(buffer) is tuple:
            found.run, found.readonly, found.offset, found.length = buffer
            found.run += 1
        else:
            found.run = 0
            found.readonly = buffer.readonly
            found.offset = begin + <uint64_t>next(at)
            found.length = buffer.nbytes
        views.append(view_within(lease, packing.leases, &found))
    return views
