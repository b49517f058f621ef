# Shared pools by name, by id and by handle: created, attached, found again, removed.

cdef _Mapping create_shared(block_size, blocks, name, exist_ok, permanent, prefault, on_fork)
# The mapping of the pool of that name, attached now if it has to be.
cdef _Mapping attach_named(name, on_fork)
# The mapping, if what is asked for its children is what this process has; else raises ValueError.
cdef _Mapping agreed(_Mapping m, on_fork)
# The mapping of a pool by its parts, as handles and messages have them; they were checked before.
cdef _Mapping mapping_of(bytes pool_id, process, name, on_fork)
cdef _Mapping mapping_of_handle(handle, on_fork)
# Removes the name; with an id only from that pool.
cdef int unlink_named(name, bytes pool_id) except -1
