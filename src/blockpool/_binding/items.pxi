# See items.pxd.

cdef enum: OWN_MOST = 4096  # bytes of a pickle, or of bytes, that a message has itself

# The bytes of a message with a pickle and runs: this, then its buffers, then the pickle unless that is in a run.
cdef struct packed_head:
    uint32_t buffers
    uint32_t run        # that has the pickle, one up; 0 if it follows
    uint64_t offset, length

cdef struct packed_buffer:
    uint32_t run
    uint32_t readonly
    uint64_t offset, length

# --- objects to messages ---

cdef int pack_item(_Channel channel, _Mapping m, item, double deadline, queue_message *message) except -1:
    cdef Py_ssize_t length
    notice_numpy()
    if type(item) is Block:
        return pack_block(channel, m, <Block>item, deadline, message)
    if PyBytes_CheckExact(item):
        length = PyBytes_GET_SIZE(item)
        if length > OWN_MOST:
            return pack_long_bytes(channel, m, item, deadline, message)
        channel.begin(m, MESSAGE_IS_BYTES, 0, length, deadline, message)
        memcpy(message.bytes, PyBytes_AS_STRING(item), length)
        return 0
    if is_known_ndarray(item) and pack_array(channel, m, item, deadline, message):
        return 0
    need_pickle()
    if type(item) in PLAIN or has_plain_parts(item):
        return pack_plain(channel, m, item, deadline, message)
    return pack_object(channel, m, item, deadline, message)


# Types that neither are nor contain arrays, blocks or buffers.
cdef object PLAIN = frozenset({str, int, float, bool, complex, type(None)})
# How many parts of a tuple, list or dict are looked at.
cdef Py_ssize_t PARTS_MOST = 16


cdef bint has_plain_parts(item) except -1:
    """Whether it is a short tuple, list or dict of plain objects, for which pickle needs no help."""
    if type(item) is tuple or type(item) is list:
        if len(item) > PARTS_MOST:
            return False
        for part in item:
            if type(part) not in PLAIN:
                return False
        return True
    if type(item) is not dict or len(<dict>item) > PARTS_MOST:
        return False
    for key, part in (<dict>item).items():
        if type(key) not in PLAIN or type(part) not in PLAIN:
            return False
    return True


cdef int carry_all(_Channel channel, _Mapping m, queue_message *message, list leases) except -1:
    """Add the runs of the leases to a message; end it if that fails."""
    cdef _Lease lease
    try:
        for lease in leases:
            channel.carry(m, message, &lease.run)
    except BaseException:
        channel.end(m, message)
        raise
    return 0


cdef int carry_one(_Channel channel, _Mapping m, queue_message *message, const pool_run *run) except -1:
    try:
        channel.carry(m, message, run)
    except BaseException:
        channel.end(m, message)
        raise
    return 0


@cython.nonecheck(False)
cdef int pack_block(_Channel channel, _Mapping m, Block block, double deadline, queue_message *message) except -1:
    cdef bint readonly
    block.enter()
    try:
        if block.mapping is not m:
            raise foreign_block(m)
        readonly = block.is_readonly()
        channel.begin(m, MESSAGE_IS_BLOCK, 1, readonly, deadline, message)
        if readonly:
            message.bytes[0] = 1
        carry_one(channel, m, message, &block.run)
    finally:
        block.leave()
    return 0


cdef int pack_long_bytes(_Channel channel, _Mapping m, bytes item, double deadline, queue_message *message) except -1:
    cdef _Lease lease = lease_until(channel, m, len(item), deadline)
    copy_memory(address_of(m, lease.run.index), PyBytes_AS_STRING(item), len(item))
    channel.begin(m, MESSAGE_IS_BYTES, 1, 0, deadline, message)
    return carry_one(channel, m, message, &lease.run)


cdef _Lease lease_until(_Channel channel, _Mapping m, uint64_t nbytes, double deadline):
    """Allocate a run; waits until the deadline."""
    cdef uint64_t n = (nbytes - 1) // m.engine.block_size + 1, slack = n * m.engine.block_size - nbytes
    cdef pool_run run
    if n > m.engine.blocks:
        raise count_exhausted(m, n, True)
    while channel.drops:  # what is old makes room
        try:
            allocate_run(channel, m, n, slack, False, 0, &run)
            return lease_run(m, &run, nbytes)
        except PoolExhausted:
            if not channel.drop_one(m):
                break
    allocate_run(channel, m, n, slack, False, deadline, &run)
    return lease_run(m, &run, nbytes)


cdef int pack_plain(_Channel channel, _Mapping m, item, double deadline, queue_message *message) except -1:
    cdef bytes pickled = pickle_dumps(item, 5)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(pickled)
    if length > OWN_MOST:
        return pack_parts(channel, m, pickled, [], [], deadline, message)
    channel.begin(m, MESSAGE_IS_PICKLE, 0, length, deadline, message)
    memcpy(message.bytes, PyBytes_AS_STRING(pickled), length)
    return 0


# --- arrays ---

# The type of plain numbers by their number in NumPy, as message_array has it; empty until it is needed.
cdef char type_codes[64][8]
# And dtypes by that code.
cdef dict dtypes = {}


cdef bint code_of_dtype(dtype, char *code) except -1:
    """Write the code of a type of elements; return whether it says everything about it."""
    cdef bytes text
    cdef int i
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None or dtype.metadata is not None:
        return False
    text = dtype.str.encode("ascii", "replace")
    if len(text) > 8:
        return False
    again = dtype_from(text.decode())
    if again.num != dtype.num or again != dtype:
        return False
    for i in range(8):
        code[i] = text[i] if i < len(text) else 0
    return True


cdef bint pack_array(_Channel channel, _Mapping m, item, double deadline, queue_message *message) except -1:
    """Make a message of an array, if its description is short enough; return whether it is."""
    cdef PyObject *array = <PyObject *>item
    cdef int dimensions = array_dimensions(array), number = descr_number(array_descr(array)), i
    cdef char code[8]
    cdef _Lease lease
    cdef message_array *says
    cdef bint writeable = array_is_writeable(array)
    if dimensions > MESSAGE_MOST_DIMENSIONS:
        return False
    if 0 <= number < 64 and type_codes[number][0]:
        memcpy(code, type_codes[number], 8)
    elif not code_of_dtype(item.dtype, code):
        return False
    elif 0 <= number < 64:
        memcpy(type_codes[number], code, 8)
    lease = lease_behind(item)
    if lease is None or lease.mapping is not m:
        if item.nbytes < COPIED_LEAST:
            return array_is_c(array) and pack_small_array(channel, m, item, code, deadline, message)
        lease = lease_until(channel, m, item.nbytes, deadline)
        item = copy_on(lease, item)
        array = <PyObject *>item
    channel.begin(m, MESSAGE_IS_ARRAY, 1, sizeof(message_array), deadline, message)
    says = describe_array(array, code, message)
    says.readonly = not writeable
    says.offset = array_data(array) - <char *>address_of(m, lease.run.index)
    for i in range(dimensions):
        says.strides[i] = array_strides(array)[i]
    carry_one(channel, m, message, &lease.run)
    return True


cdef bint pack_small_array(
    _Channel channel, _Mapping m, item, const char *code, double deadline, queue_message *message
) except -1:
    """Make a message of an array in C order, elements and all; return whether it is small enough."""
    cdef PyObject *array = <PyObject *>item
    cdef size_t nbytes = item.nbytes, stride = descr_size(array_descr(array))
    cdef message_array *says
    cdef int i
    if nbytes + sizeof(message_array) > OWN_MOST or stride == 0:
        return False
    channel.begin(m, MESSAGE_IS_ARRAY, 0, sizeof(message_array) + nbytes, deadline, message)
    says = describe_array(array, code, message)
    for i in range(says.dimensions - 1, -1, -1):
        says.strides[i] = stride
        stride *= max(says.shape[i], 1)
    memcpy(says + 1, array_data(array), nbytes)
    return True


cdef message_array *describe_array(PyObject *array, const char *code, queue_message *message) noexcept:
    """Begin the message of an array, without strides."""
    cdef message_array *says = <message_array *>message.bytes
    cdef int i
    memcpy(says.type, code, 8)
    says.dimensions = array_dimensions(array)
    says.readonly = not array_is_writeable(array)
    says.offset = 0
    for i in range(says.dimensions):
        says.shape[i] = array_shape(array)[i]
    return says


cdef object copy_on(_Lease lease, item):
    """A copy of the array in the lease's memory, in the same order of axes."""
    cdef form copied
    cdef int i
    cdef PyObject *source = <PyObject *>item
    cdef npy_intp strides[MOST_DIMENSIONS]
    copied.descr = array_descr(source)
    Py_INCREF(<object>copied.descr)
    copied.dimensions = array_dimensions(source)
    for i in range(copied.dimensions):
        copied.shape[i] = array_shape(source)[i]
    array_strides_like(source, descr_size(copied.descr), strides)
    made = array_on(lease, &copied, 0, strides, NPY_ARRAY_CARRAY)
    if array_is_c(source):
        copy_memory(array_data(<PyObject *>made), array_data(source), lease.nbytes)
    else:
        copy_elements(made, item)
    return made


# --- other objects ---

cdef int pack_object(_Channel channel, _Mapping m, item, double deadline, queue_message *message) except -1:
    cdef _Packing packing = new_packing(m, COPIED_LEAST)
    cdef bytes pickled
    try:
        pickled = packing.dump(item)
        pack_parts(channel, m, pickled, packing.leases, packing.buffers, deadline, message)
    except BaseException:
        packing.give_up()
        raise
    return keep_packing(packing)


cdef int pack_parts(
    _Channel channel, _Mapping m, bytes pickled, list leases, list buffers, double deadline, queue_message *message
) except -1:
    """Make a message of a pickle with its buffers, some of which are copied now."""
    cdef uint64_t length = len(pickled), own = sizeof(packed_head) + len(buffers) * sizeof(packed_buffer), end, copied
    cdef bint is_own
    cdef _Lease lease = None
    cdef packed_head *head
    cdef packed_buffer *next
    cdef char *memory
    cdef list places = []   # offsets in the new run
    if not leases and not buffers and length <= OWN_MOST:
        channel.begin(m, MESSAGE_IS_PICKLE, 0, length, deadline, message)
        memcpy(message.bytes, PyBytes_AS_STRING(pickled), length)
        return 0
    end = place_copies(buffers, places)
    is_own = own + length <= OWN_MOST
    copied = end if is_own else end + length
    if copied:
        lease = lease_until(channel, m, copied, deadline)
        leases.append(lease)
        memory = <char *>address_of(m, lease.run.index)
        copy_into_places(memory, buffers, places)
        if not is_own:
            copy_memory(memory + end, PyBytes_AS_STRING(pickled), length)
    if len(leases) > MESSAGE_MOST_RUNS:
        raise ValueError(
            f"the object has {len(leases)} blocks and arrays of the pool in it; a message carries at most "
            f"{MESSAGE_MOST_RUNS}; put fewer at a time, or stack the arrays"
        )
    channel.begin(m, MESSAGE_IS_PICKLE, len(leases), own + (length if is_own else 0), deadline, message)
    head = <packed_head *>message.bytes
    head.buffers = len(buffers)
    head.run = 0 if is_own else len(leases)
    head.offset = 0 if is_own else end
    head.length = length
    next = <packed_buffer *>(head + 1)
    at = 0
    for buffer in buffers:
        if type(buffer) is tuple:
            next.run, next.readonly, next.offset, next.length = buffer
        else:
            next.run = len(leases) - 1
            next.readonly = buffer.readonly
            next.offset = places[at]
            next.length = buffer.nbytes
            at += 1
        next += 1
    if is_own:
        memcpy(next, PyBytes_AS_STRING(pickled), length)
    return carry_all(channel, m, message, leases)


# --- messages to objects ---

cdef object unpack_item(_Channel channel, _Mapping m, const queue_message *message):
    cdef uint32_t kind = message.kind
    cdef uint64_t length = message.length
    if kind == MESSAGE_IS_BLOCK:
        return unpack_block(channel, m, message)
    if kind == MESSAGE_IS_BYTES:
        if message.count == 0:
            return PyBytes_FromStringAndSize(<char *>message.bytes, length)
        return unpack_long_bytes(channel, m, message)
    if kind == MESSAGE_IS_ARRAY:
        return unpack_array(channel, m, message)
    if kind == MESSAGE_IS_PICKLE:
        return unpack_object(channel, m, message)
    raise garbled_message(channel, "kind", kind)


cdef garbled_message(_Channel channel, what, value):
    return PoolCorrupt(
        f"a message of {described(channel)} arrived garbled: its {what} is {value}; something wrote over it, or it "
        "was sent by another release of blockpool"
    )


cdef _Lease held_lease(_Channel channel, _Mapping m, const queue_message *message, unsigned i, bint readonly):
    """A lease of the run of number i."""
    cdef _Lease lease = _Lease.__new__(_Lease)  # first, so that nothing fails once this process holds the run
    channel.hold(m, message, i, &lease.run)
    lease.nbytes = pool_run_bytes(&m.engine, &lease.run)
    lease.mapping = m
    return new_lease(m, lease, &lease.run, lease.nbytes) if readonly else lease


@cython.nonecheck(False)
cdef object unpack_block(_Channel channel, _Mapping m, const queue_message *message):
    cdef Block block = Block.__new__(Block)
    cdef pool_run run
    channel.hold(m, message, 0, &run)
    open_block(block, m, &run, pool_run_bytes(&m.engine, &run))
    block.watch()
    if message.length == 0 or message.bytes[0] == 0:
        return block
    twin = block.readonly()
    block.release()
    return twin


cdef object unpack_long_bytes(_Channel channel, _Mapping m, const queue_message *message):
    cdef _Lease lease = held_lease(channel, m, message, 0, False)
    made = PyBytes_FromStringAndSize(NULL, lease.nbytes)
    copy_memory(PyBytes_AS_STRING(made), address_of(m, lease.run.index), lease.nbytes)
    return made


cdef object unpack_array(_Channel channel, _Mapping m, const queue_message *message):
    cdef const message_array *says = <const message_array *>message.bytes
    cdef _Lease lease
    cdef form array
    cdef npy_intp strides[MOST_DIMENSIONS]
    cdef uint64_t offset = says.offset, length = message.length, room
    cdef int i
    need_numpy()
    if length < sizeof(message_array) or says.dimensions > MESSAGE_MOST_DIMENSIONS:
        raise garbled_message(channel, "description of an array", f"{length} bytes")
    code = (<char *>says.type)[:8]
    dtype = dtypes.get(code)
    if dtype is None:
        dtype = dtype_of_code(channel, code)
    if message.count != 0:
        lease = held_lease(channel, m, message, 0, says.readonly != 0)
    array.dimensions = says.dimensions
    for i in range(array.dimensions):
        array.shape[i] = says.shape[i]
        strides[i] = says.strides[i]
        if array.shape[i] < 0:
            raise garbled_message(channel, "shape", array.shape[i])
    array.descr = <PyArray_Descr *>dtype
    room = length - sizeof(message_array) if message.count == 0 else lease.run.blocks * m.engine.block_size
    if not array_fits(descr_size(array.descr), array.dimensions, array.shape, strides, offset, room):
        raise garbled_message(channel, "shape", tuple([array.shape[i] for i in range(array.dimensions)]))
    if message.count == 0:
        return unpack_small_array(channel, message, &array, strides, offset, says.readonly)
    Py_INCREF(dtype)
    return array_on(lease, &array, offset, strides, 0 if lease.readonly else NPY_ARRAY_CARRAY)


cdef object unpack_small_array(
    _Channel channel, const queue_message *message, form *array, const npy_intp *strides, uint64_t offset, bint readonly
):
    """A copy of the elements, which follow; the array was seen to fit in the message."""
    cdef size_t item = descr_size(array.descr), nbytes = item, stride = item
    cdef int i
    for i in range(array.dimensions - 1, -1, -1):
        if array.shape[i] > 1 and strides[i] != <npy_intp>stride:
            raise garbled_message(channel, "strides", tuple([strides[i] for i in range(array.dimensions)]))
        nbytes *= array.shape[i]
        stride *= max(array.shape[i], 1)
    Py_INCREF(<object>array.descr)
    made = array_made(array.descr, array.dimensions, array.shape)
    memcpy(array_data(<PyObject *>made), <char *>message.bytes + sizeof(message_array) + offset, nbytes)
    if readonly:
        array_forbid_writing(<PyObject *>made)
    return made


cdef object dtype_of_code(_Channel channel, bytes code):
    try:
        found = dtype_from(code.rstrip(b"\0").decode("ascii"))
    except (TypeError, ValueError):
        raise garbled_message(channel, "type of elements", code) from None
    if found.hasobject or found.itemsize == 0:
        raise garbled_message(channel, "type of elements", code)
    if len(dtypes) < 1000:
        dtypes[code] = found
    return found


cdef object unpack_object(_Channel channel, _Mapping m, const queue_message *message):
    cdef const packed_head *head = <const packed_head *>message.bytes
    cdef const packed_buffer *next
    cdef uint64_t before, buffers, i, length = message.length
    cdef _Lease lease
    need_pickle()
    if message.count == 0:
        return pickle_loads(PyBytes_FromStringAndSize(<char *>message.bytes, length))
    if length < sizeof(packed_head):
        raise garbled_message(channel, "length", length)
    buffers = head.buffers
    before = sizeof(packed_head) + buffers * sizeof(packed_buffer)
    if length < before:
        raise garbled_message(channel, "length", length)
    held = {}
    views = []
    next = <const packed_buffer *>(head + 1)
    for i in range(buffers):
        views.append(
            view_of_part(channel, m, message, held, next[i].run, next[i].readonly, next[i].offset, next[i].length)
        )
    if head.run:
        pickled = view_of_part(channel, m, message, held, head.run - 1, 1, head.offset, head.length)
    else:
        pickled = PyBytes_FromStringAndSize(<char *>message.bytes + before, length - before)
    made = pickle_loads(pickled, buffers=views)
    notice_frames()
    return made


cdef object view_of_part(
    _Channel channel, _Mapping m, const queue_message *message, dict held, uint32_t run, bint readonly, uint64_t offset,
    uint64_t length
):
    """A memoryview of a part of the run of that number."""
    cdef _Lease lease = held.get(run)
    if lease is None:
        lease = held[run] = held_lease(channel, m, message, run, False)
    if offset > lease.nbytes or length > lease.nbytes - offset:
        raise garbled_message(channel, "part of a run", (offset, length))
    lease = new_lease(m, lease, &lease.run, lease.nbytes) if readonly else lease_for_view(lease)
    return PyMemoryView_FromObject(lease)[offset:offset + length]
