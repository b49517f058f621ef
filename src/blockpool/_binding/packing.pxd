# Packing: an object becomes a pickle (protocol 5), with the runs and buffers that are not part of it.
#
# What queues, topics and latest values carry, and what put() stores, is packed here. Every Block and array of the pool
# within the object, and whatever else shows the pool's memory when pickle asks for its buffers, is a reference to a
# run, one for each run. Other large arrays and buffers are to be copied by the caller. The rest is the pickle.
#
#     packing = new_packing(m, COPIED_LEAST)
#     try:
#         pickled = packing.dump(item)
#         ...use packing.leases and packing.buffers...
#     except BaseException:
#         packing.give_up()
#         raise
#     keep_packing(packing)

cdef enum: COPIED_LEAST = 4096  # bytes of a buffer that is usually copied, apart from its pickle
cdef enum: ALIGNED = 64  # buffers that are copied behind each other begin at a multiple of this


@cython.internal
@cython.final
cdef class _Packing:
    cdef object pickler
    cdef list written       # what the pickler wrote
    cdef _Mapping mapping
    cdef uint64_t least     # bytes of a buffer that is to be copied; a smaller one is part of the pickle
    cdef list leases        # of the runs to carry, each once
    cdef dict numbers       # of the runs, by the index of their blocks
    cdef list buffers       # (number of the run, readonly, offset, length), or a memoryview that is to be copied
    cdef list sent          # channels with a reference in flight

    # Pickles it, and returns the pickle. Raises InvalidBlock for a Block of another pool, or what pickle raises.
    cdef bytes dump(self, item)
    # Takes back what is in flight, as nobody will get the object.
    cdef int give_up(self) except -1
    cdef int forget(self) except -1
    cdef _Lease lease_of(self, Block block)
    cdef reduce_outside(self, array)

# To pack one object for that pool. An object's own pickling may pack another one meanwhile.
cdef _Packing new_packing(_Mapping m, uint64_t least)
# Is to be called when an object was packed.
cdef int keep_packing(_Packing packing) except -1
# Appends to `places` where each buffer that is to be copied goes, as an offset, in their order; returns where the last
# one ends, a multiple of ALIGNED. Buffers that are the same memory stay so: pickle meets a dictionary of Arrow's once
# for each chunk that uses it.
cdef uint64_t place_copies(list buffers, list places) except? <uint64_t>-1
# Copies them, `places` apart from that memory.
cdef int copy_into_places(char *memory, list buffers, list places) except -1
# Imports pickle unless it is imported already; raises RuntimeError if the interpreter is shutting down.
cdef int need_pickle() except -1
# pickle's functions, once it is imported.
cdef object pickle_dumps, pickle_loads
# InvalidBlock for a Block of another pool than that.
cdef foreign_block(_Mapping m)
