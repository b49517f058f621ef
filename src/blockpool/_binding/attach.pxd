# Shared pools by name, id or handle: creating, attaching, finding and removing them.
#
# A process attaches a pool once: if it has a mapping of the pool already, that one is returned. `on_fork` is "share",
# "detach", or None for what the pool was created with. All may be called from any thread; they release the GIL while
# they wait for another process, at most GATE_SECONDS. They raise as Pool.create() and Pool.attach() say.

# The mapping of a new shared pool; with exist_ok, perhaps of an existing one. Checks all its arguments.
cdef _Mapping create_shared(
    block_size, blocks, name, processes, exist_ok, permanent, prefault, on_fork, queue_room, ticket_lifetime, debug
)
# The mapping of the pool with that name, which this process attaches now unless it has. One that it has keeps its
# on_fork; see agreed().
cdef _Mapping attach_named(name, on_fork)
# Returns the mapping; raises ValueError if on_fork is neither None nor what this process attached the pool with.
cdef _Mapping agreed(_Mapping m, on_fork)
# The mapping of the pool that a handle or message names, attached now unless it was. The parts were checked before.
# `process` is asked first for a pool without a name. Raises PoolNotFound if the pool is gone or its name taken over.
cdef _Mapping mapping_of(bytes pool_id, process, name, on_fork)
# The same for a Handle that Handle.parse has checked.
cdef _Mapping mapping_of_handle(handle, on_fork)
# Removes the name of a pool; if pool_id is not None, only from the pool with that id. Raises PoolNotFound if the name
# is gone, or another pool has it.
cdef int unlink_named(name, bytes pool_id) except -1
