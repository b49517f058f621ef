# See transfer.pxd.

# What this process has sent since it was started or forked; changed by tally().
cdef uint64_t sent_count = 0, copied_count = 0, copied_bytes = 0, refused_count = 0


cdef void forget_counts() noexcept:
    global sent_count, copied_count, copied_bytes, refused_count
    sent_count = copied_count = copied_bytes = refused_count = 0


call_in_child(forget_counts)


def transfers():
    """Return how many arrays and buffers were sent uncopied, how many copied, their bytes, and how many refused."""
    return sent_count - copied_count, copied_count, copied_bytes, refused_count


# --- copying into the pool ---

cdef int refuse_copy(name, bytes pool_id, why) except -1:
    tally(&refused_count, 1)
    return tell_of_refusal(name, pool_id, why, True)


cdef _Lease lease_for_copy(_Access access, _Mapping m, uint64_t nbytes, bint must, timeout):
    """Allocate a run for a copy.

    It waits and raises like other allocations if the copy `must` be made. Otherwise it neither waits nor collects
    garbage, and returns None if there is no room.
    """
    cdef uint64_t n = (nbytes - 1) // m.engine.block_size + 1, slack = n * m.engine.block_size - nbytes
    cdef _Lease lease
    if must:
        lease = allocate_lease(access, nbytes, timeout)
        tally(&copied_count, 1)
        tally(&copied_bytes, nbytes)
        return lease
    lease = _Lease.__new__(_Lease)
    if n <= m.engine.blocks and (
        try_allocate(m, n, slack, False, &lease.run) or (
            reclaim(m, False) and try_allocate(m, n, slack, False, &lease.run)
        )
    ):
        lease.nbytes = nbytes
        lease.mapping = m
        pool_count(&m.engine, n, nbytes)
        tally(&copied_count, 1)
        tally(&copied_bytes, nbytes)
        return lease
    pool_count_failure(&m.engine)
    refuse_copy(
        m.name, m.id,
        f"there was no room for {nbytes} bytes; make the pool larger, or drop what is no longer needed "
        "(blockpool.inspect() shows who holds what)",
    )
    return None


cdef copied_to_send(_Access access, _Mapping m, array, bint must, timeout):
    cdef form copied
    cdef int i
    cdef PyObject *source = as_array(array)
    cdef bint columns = array_is_f(source) and not array_is_c(source)
    cdef _Lease lease
    if descr_has_objects(array_descr(source)):
        tell_of_refusal(m.name, m.id, f"an array of {array.dtype} has Python objects, which no pool can hold", False)
        return None
    lease = lease_for_copy(access, m, array.nbytes, must, timeout)
    if lease is None:
        return None
    copied.descr = array_descr(source)
    Py_INCREF(<object>copied.descr)
    copied.dimensions = array_dimensions(source)
    for i in range(copied.dimensions):
        copied.shape[i] = array_shape(source)[i]
    made = array_on(lease, &copied, 0, NULL, NPY_ARRAY_FARRAY if columns else NPY_ARRAY_CARRAY)
    if columns or array_is_c(source):
        copy_memory(array_data(<PyObject *>made), array_data(source), lease.nbytes)
    else:
        copy_elements(made, array)
    return made


cdef bytes_copied_to_send(_Access access, _Mapping m, memoryview source, bint must, timeout):
    cdef Py_buffer *given = as_bytes(source)
    cdef _Lease lease = lease_for_copy(access, m, given.len, must, timeout)
    if lease is None:
        return None
    copy_memory(address_of(lease.mapping, lease.run.index), given.buf, lease.nbytes)
    return PyMemoryView_FromObject(lease)


cdef PyObject *as_array(array) except NULL:
    if not is_ndarray(array):
        raise TypeError(f"a numpy.ndarray is needed, not {type(array).__name__}")
    return <PyObject *>array


cdef Py_buffer *as_bytes(memoryview view) except NULL:
    view.nbytes  # raises if it was released
    if not PyBuffer_IsContiguous(PyMemoryView_GET_BUFFER(view), b"C"):
        raise ValueError("a contiguous buffer is needed")
    return PyMemoryView_GET_BUFFER(view)


cdef void copy_memory(void *to, const void *source, size_t nbytes) noexcept:
    if nbytes < MANY_BYTES:
        memcpy(to, source, nbytes)
        return
    with nogil:
        memcpy(to, source, nbytes)


# --- sending ---

cdef _Lease shared_lease(view):
    cdef _Lease lease = lease_behind(view)
    if lease is None or lease.mapping is None or not pool_is_shared(&lease.mapping.engine):
        return None
    return lease


cdef _Lease lease_at(uintptr_t address, uint64_t nbytes):
    cdef _Mapping m = mapping_at(address) if nbytes else None
    cdef _Lease lease
    cdef pool_run run
    cdef uintptr_t start, offset
    if m is None:
        return None
    start = <uintptr_t>m.engine.data
    if not pool_held_run(&m.engine, (address - start) // m.engine.block_size, &run):
        return None
    lease = _Lease.__new__(_Lease)
    try:
        redeem_run(m, &run, False)
    except StaleHandle:
        return None
    lease.run = run
    lease.nbytes = pool_run_bytes(&m.engine, &run)
    lease.mapping = m
    offset = address - <uintptr_t>address_of(m, run.index)
    return lease if offset <= lease.nbytes and nbytes <= lease.nbytes - offset else None


def send_array(array, bint readonly, threshold, list sent not None):
    """Put a reference to an array in a shared pool in flight; return the arguments of `_receive_array`.

    They are also appended to `sent`, for `take_back`. Returns None if the array is not in a shared pool.
    """
    cdef PyObject *a = as_array(array)
    cdef _Lease lease = shared_lease(array)
    cdef _Mapping m
    cdef int number
    if lease is None:
        return None
    m = lease.mapping
    number = descr_number(array_descr(a))
    parts = (  # written out, as that is fastest
        threshold, readonly, m.id, lease.run.index, lease.run.generation, getpid(), m.name,
        array_data(a) - <char *>address_of(m, lease.run.index),
        array.shape,
        None if array_is_c(a) else array.strides,
        array.dtype if number < 0 else number,
        readonly or not array_is_writeable(a),
    )
    send_run(m, &lease.run, parts, sent)
    tally(&sent_count, 1)
    return parts


def send_buffer(memoryview view not None, bint readonly, threshold, list sent not None):
    """The same for a contiguous memoryview, with the arguments of `_receive_buffer`."""
    cdef Py_buffer *found = as_bytes(view)
    cdef _Lease lease = shared_lease(view)
    if lease is None:
        lease = lease_at(<uintptr_t>found.buf, found.len)
    if lease is None:
        return None
    offset = <char *>found.buf - <char *>address_of(lease.mapping, lease.run.index)
    reference = reference_of(lease.mapping, &lease.run)
    parts = threshold, readonly, *reference, offset, found.len, readonly or found.readonly != 0
    send_run(lease.mapping, &lease.run, parts, sent)
    tally(&sent_count, 1)
    return parts


def send_memory(uintptr_t address, uint64_t nbytes, bint readonly, list sent not None):
    """The same for memory in use, whatever object has it, with the arguments of `_receive_memory`."""
    cdef _Lease lease = lease_at(address, nbytes)
    if lease is None:
        return None
    reference = reference_of(lease.mapping, &lease.run)
    parts = *reference, address - <uintptr_t>address_of(lease.mapping, lease.run.index), nbytes, readonly
    send_run(lease.mapping, &lease.run, parts, sent)
    tally(&sent_count, 1)
    return parts


def take_back(list sent not None):
    """Take the references in `sent` out of flight, since no process will receive them."""
    take_references_back(sent)


@cython.final
@cython.internal
cdef class _Packed:
    """The pickle of a message with references in flight; a buffer of its bytes.

    The references come back if this object ends before anything has read its bytes, or if the connection that read them
    could not deliver them (`undelivered`). Otherwise some process may have received them.
    """

    cdef bytes data
    cdef list sent
    cdef int process
    cdef uint64_t readers       # how many times the bytes were read; by tally()
    cdef bint failed

    cdef int require_whole(self) except -1:
        if self.failed:
            raise InvalidBlock(
                "the references in this message were taken back when it could not be sent; to send it, pickle it again"
            )
        return 0

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        self.require_whole()
        PyBuffer_FillInfo(buffer, self, PyBytes_AS_STRING(self.data), len(self.data), 1, flags)
        tally(&self.readers, 1)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, key):
        return memoryview(self)[key]

    def __del__(self):
        # a forked child has a copy of the message; the references are the parent's business
        if self.readers == 0 and self.process == getpid():
            while self.sent:
                take_reference_back(<tuple>self.sent.pop())


def pack(bytes data not None, list sent not None, /):
    """Make a message from its pickle and the references that were noted during pickling."""
    cdef _Packed packed = _Packed.__new__(_Packed)
    packed.data = data
    packed.sent = sent
    packed.process = getpid()
    return packed


def packed_behind(buffer, /):
    """Return the message that `buffer` is, or is a memoryview of; None if it is something else."""
    if type(buffer) is _Packed:
        return buffer
    owner = buffer.obj if PyMemoryView_Check(buffer) else None
    return owner if type(owner) is _Packed else None


def bytes_to_send(_Packed packed not None, buffer, /):
    """Return what a connection has to write for a message that `packed_behind` found; counts it as read."""
    if buffer is not packed:
        return buffer  # making the memoryview was counted as a read
    packed.require_whole()
    tally(&packed.readers, 1)
    return packed.data


def undelivered(_Packed packed not None, /):
    """Take the references of a message back: a connection could not write it, so no process will ever have all of it.

    Does nothing if the bytes were read more than once, as another connection may have sent them.
    """
    cdef list sent = []
    with cython.critical_section(packed):
        if packed.readers == 1 and packed.process == getpid():
            packed.failed = True
            sent, packed.sent = packed.sent, sent
    take_references_back(sent)


# --- receiving ---

cdef bint frames_noticed = False


cdef int notice_frames() except -1:
    global frames_noticed
    if not frames_noticed and "pandas" in modules and not Py_IsFinalizing():
        frames_noticed = True
        try:
            __import__("blockpool._frames")
        except ImportError:
            pass  # an older pandas: its frames are sent as arrays are
    return 0


cdef _Lease received_lease(threshold, all_readonly, pool_id, index, generation, process, name, readonly):
    """Receive the reference of an array or buffer; the first two fields are the sender's settings, for the package."""
    cdef bint only_to_read = flag_field("readonly", readonly)
    cdef _Lease lease = _Lease.__new__(_Lease)
    cdef _Mapping m
    notice_frames()
    number_field("threshold", threshold, 1, INT64_MAX)
    flag_field("readonly", all_readonly)
    m = receive_run(pool_id, index, generation, process, name, &lease.run)
    lease.nbytes = pool_run_bytes(&m.engine, &lease.run)
    lease.mapping = m
    return new_lease(m, lease, &lease.run, lease.nbytes) if only_to_read else lease


cdef object dtype_field(value):
    """Return the dtype that a field gives, itself or as its number."""
    if PyLong_CheckExact(value):
        if not number_is_plain(number_field("dtype", value, 0, INT32_MAX)):
            raise garbled("dtype", value)
        return descr_numbered(value)
    if not is_dtype(value):
        raise garbled("dtype", value)
    return value


def _receive_array(
    threshold, all_readonly, pool_id, index, generation, process, name, offset, shape, strides, dtype, readonly, /
):
    """Unpickle an array."""
    cdef _Lease lease = received_lease(threshold, all_readonly, pool_id, index, generation, process, name, readonly)
    cdef uint64_t room = lease.run.blocks * lease.mapping.engine.block_size
    cdef int64_t begin = number_field("offset", offset, 0, room)
    cdef tuple given = None if strides is None else tuple_field("strides", strides)
    cdef form array
    cdef npy_intp steps[MOST_DIMENSIONS]
    cdef uint64_t step
    cdef int i
    need_numpy()
    form_of(tuple_field("shape", shape), dtype_field(dtype), &array)
    try:
        if given is not None and len(given) != array.dimensions:
            raise garbled(f"strides for {array.dimensions} dimensions", given)
        step = descr_size(array.descr)
        for i in reversed(range(array.dimensions)):
            steps[i] = step if given is None else number_field("stride", given[i], INT64_MIN, INT64_MAX)
            step *= <uint64_t>array.shape[i]  # may overflow, if the shape has no elements
        if not array_fits(descr_size(array.descr), array.dimensions, array.shape, steps, begin, room):
            raise garbled(f"shape, from {begin} on in a run of {room} bytes,", shape)
    except BaseException:
        Py_DECREF(<object>array.descr)
        raise
    return array_on(lease, &array, begin, steps, 0 if lease.readonly else NPY_ARRAY_CARRAY)


def _receive_buffer(
    threshold, all_readonly, pool_id, index, generation, process, name, offset, nbytes, readonly, /
):
    """Unpickle bytes."""
    cdef _Lease lease = received_lease(threshold, all_readonly, pool_id, index, generation, process, name, readonly)
    cdef int64_t begin = number_field("offset", offset, 0, lease.nbytes)
    cdef int64_t length = number_field("length", nbytes, 0, lease.nbytes - begin)
    return PyMemoryView_FromObject(lease)[begin:begin + length]


def _receive_memory(pool_id, index, generation, process, name, offset, nbytes, readonly, /):
    """Unpickle bytes that some object had; this process does not send as the sender does."""
    return _receive_buffer(1, False, pool_id, index, generation, process, name, offset, nbytes, readonly)
