# See packing.pxd.

cdef object pickle_dumps = None, pickle_loads, PickleBuffer, ObjectPickler, forking_reducers = None
cdef int pickle_is_there = 0


cdef int need_pickle() except -1:
    global pickle_dumps, pickle_loads, PickleBuffer, ObjectPickler
    if not is_published(&pickle_is_there):
        require_imports("queues and put()")
        import pickle

        PickleBuffer = pickle.PickleBuffer
        pickle_loads = pickle.loads
        # a subclass, as objects of pickle.Pickler itself take no reducer_override
        ObjectPickler = type("ObjectPickler", (pickle.Pickler,), {})
        pickle_dumps = pickle.dumps
        publish(&pickle_is_there)
    return 0


cdef foreign_block(_Mapping m):
    return InvalidBlock(
        f"the block is not of {titled(m.name)}, into which it goes; allocate it there, or put a copy: bytes(block.buf)"
    )


@cython.internal
@cython.final
cdef class _Packing:
    """An object that is being pickled: its pickler, and its runs and buffers."""

    def write(self, data):
        """Take a piece of the pickle."""
        self.written.append(data)

    def reduce(self, value):
        """Say what to pickle in place of an object; what pickle calls reducer_override."""
        cdef _Lease lease
        if type(value) is Block:
            return block_on, (PickleBuffer(self.lease_of(<Block>value)),)
        if is_known_ndarray(value):
            lease = lease_behind(value)
            if lease is None or lease.mapping is not self.mapping:
                return self.reduce_outside(value)
            whole = PyMemoryView_FromObject(lease)
            if not array_is_writeable(<PyObject *>value):
                whole = whole.toreadonly()
            offset = array_data(<PyObject *>value) - <char *>address_of(self.mapping, lease.run.index)
            return type(value), (value.shape, value.dtype, PickleBuffer(whole), offset, value.strides)
        if PyMemoryView_Check(value):
            return memoryview, (PickleBuffer(value),)
        if isinstance(value, _Channel):
            reduced = value.__reduce_ex__(5)
            self.sent.append(value)
            return reduced
        packer = packers.get(type(value))
        reduced = None if packer is None else packer(value)
        if reduced is not None:
            return reduced
        reducer = reducers_of_multiprocessing().get(type(value))
        return NotImplemented if reducer is None else reducer(value)

    cdef reduce_outside(self, array):
        """The same for an array outside the pool: NumPy itself would put some into the pickle, however large."""
        cdef PyObject *given = <PyObject *>array
        if array.nbytes < self.least or descr_has_objects(array_descr(given)):
            return NotImplemented
        gaps = not (array_is_c(given) or array_is_f(given))
        if gaps:
            array = array.copy("K")
        if array.dtype.kind in "mM":  # dates and durations, which buffers cannot have
            return type(array), (array.shape, array.dtype, PickleBuffer(array.view("i8")), 0, array.strides)
        return array.__reduce_ex__(5) if gaps else NotImplemented

    cdef _Lease lease_of(self, Block block):
        block.enter()
        try:
            if block.mapping is not self.mapping:
                raise foreign_block(self.mapping)
            return block.view_lease()
        finally:
            block.leave()

    def buffer(self, pickled):
        """Take a buffer that pickle leaves out; return whether it is to be part of the pickle instead."""
        view = pickled.raw()
        cdef Py_buffer *found = PyMemoryView_GET_BUFFER(view)
        cdef _Lease lease = lease_behind(view)
        if lease is None:
            lease = lease_at(<uintptr_t>found.buf, found.len)  # Arrow's buffers do not say whose memory they have
        if lease is not None and lease.mapping is self.mapping:
            number = self.numbers.get(lease.run.index)
            if number is None:
                number = self.numbers[lease.run.index] = len(self.leases)
                self.leases.append(lease)
            offset = <char *>found.buf - <char *>address_of(self.mapping, lease.run.index)
            self.buffers.append((number, found.readonly != 0, offset, found.len))
            return False
        if found.len < self.least:
            return True
        self.buffers.append(view)
        return False

    cdef bytes dump(self, item):
        self.pickler.dump(item)
        return self.written[0] if len(self.written) == 1 else b"".join(self.written)

    cdef int give_up(self) except -1:
        while self.sent:
            (<_Channel>self.sent.pop()).take_back_sent()
        self.forget()
        self.pickler = None  # which refers to this object
        return 0

    cdef int forget(self) except -1:
        """Let go of what was pickled: a debugger, for one, may keep this object."""
        self.pickler.clear_memo()
        self.mapping = None
        self.written.clear()
        self.leases.clear()
        self.numbers.clear()
        self.buffers.clear()
        self.sent.clear()
        return 0


cdef object reducers_of_multiprocessing():
    """What was registered with multiprocessing's pickler: for connections, locks and the like."""
    global forking_reducers
    if forking_reducers is None:
        reduction = modules.get("multiprocessing.reduction")
        if reduction is None or not hasattr(reduction, "ForkingPickler"):
            return NO_REDUCERS
        forking_reducers = reduction.ForkingPickler._extra_reducers
    return forking_reducers


cdef dict NO_REDUCERS = {}

# How objects of other libraries are packed whose memory may be in a pool, by their type; see name_packer().
cdef dict packers = {}


def name_packer(kind, function, /):
    """Say how objects of a type are packed: the function returns what to pickle instead, with their memory in a
    PickleBuffer, or None to have them packed as multiprocessing sends them."""
    packers[kind] = function


# One that is not in use, as making one takes longer than most pickles; or NULL. Only by swap_object().
cdef PyObject *spare = NULL


cdef _Packing new_packing(_Mapping m, uint64_t least):
    """The spare one if there is one; there is none while the pickle of one object puts another one into a queue."""
    cdef _Packing packing
    cdef PyObject *found
    need_pickle()
    found = swap_object(&spare, NULL)
    if found != NULL:
        packing = <_Packing>found
        Py_DECREF(packing)
    else:
        packing = _Packing.__new__(_Packing)
        packing.written = []
        packing.leases = []
        packing.numbers = {}
        packing.buffers = []
        packing.sent = []
        packing.pickler = ObjectPickler(packing, 5, buffer_callback=packing.buffer)
        packing.pickler.reducer_override = packing.reduce
    packing.mapping = m
    packing.least = least
    return packing


cdef int keep_packing(_Packing packing) except -1:
    """Make it the spare one."""
    cdef PyObject *before
    packing.forget()
    Py_INCREF(packing)
    before = swap_object(&spare, <PyObject *>packing)
    if before != NULL:
        Py_DECREF(<object>before)
    return 0


# --- copies ---

cdef uint64_t place_copies(list buffers, list places) except? <uint64_t>-1:
    cdef uint64_t end = 0
    cdef Py_buffer *found
    shared = {}
    for buffer in buffers:
        if type(buffer) is tuple:
            continue
        found = PyMemoryView_GET_BUFFER(buffer)
        key = <uintptr_t>found.buf, found.len
        place = shared.get(key)
        if place is None:
            place = shared[key] = end
            end += (<uint64_t>found.len + ALIGNED - 1) // ALIGNED * ALIGNED
        places.append(place)
    return end


cdef int copy_into_places(char *memory, list buffers, list places) except -1:
    cdef uint64_t place, end = 0
    cdef Py_ssize_t at = 0
    cdef Py_buffer *found
    for buffer in buffers:
        if type(buffer) is tuple:
            continue
        found = PyMemoryView_GET_BUFFER(buffer)
        place = places[at]
        at += 1
        if place >= end:  # otherwise it was copied before
            copy_memory(memory + place, found.buf, found.len)
            end = place + 1
    return 0


# --- blocks within objects ---

def _block_on(view, /):
    """Unpickle a Block that came within another object; `view` shows the memory of the whole run."""
    cdef _Lease lease = lease_behind(view), owner
    cdef Block block
    if WITHOUT_GIL and lease is not None:  # views made from now on are counted apart from this one
        if lease.parent is None:
            raise garbled("block", view)
        owner = lease.parent if lease.parent.parent is None else lease.parent.parent
        lease = new_lease(lease.mapping, owner, &lease.run, lease.nbytes) if lease.readonly else owner
    if lease is None or lease.mapping is None:
        raise garbled("block", view)
    block = Block.__new__(Block)
    block.lease = lease
    count_by(&lease.blocks, 1)
    open_block(block, lease.mapping, &lease.run, lease.nbytes)
    return block


# What pickles of them call; see name_receivers_within().
cdef object block_on = None


def name_receiver_within(function, /):
    """Set the function that pickles of objects with Blocks in them call."""
    global block_on
    block_on = function
