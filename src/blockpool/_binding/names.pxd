# Names: runs of shared pools that have a name in the pool's catalog, which holds them.
#
# All may be called from any thread, and by several processes at once. Names are checked here.

# Gives the name to a run that this process holds; with `replace`, the run that had it loses it. Raises NameTaken,
# PoolExhausted if the catalog is full, PoolBusy, lost_error(), or TypeError or ValueError for a bad name.
cdef int keep_run(_Mapping m, name, const pool_run *run, bint replace) except -1
# Makes this process a holder of the run that has the name, and fills in *run. Raises NameNotFound, or as above.
cdef int get_run(_Mapping m, name, pool_run *run) except -1
# Takes the name from its run. Raises NameNotFound, or as above.
cdef int forget_name(_Mapping m, name) except -1
# All names, of blocks and of queues.
cdef list all_names(_Mapping m)
# Whether the name is that of the queue at that run, of the kind `wanted`.
cdef bint is_named(_Mapping m, name, unsigned wanted, const pool_run *named) except -1
# All names of blocks, as a dict from (index, generation) of the run to its names; and those of queues, whose runs are
# in the annex.
cdef dict names_of(_Mapping m)
cdef dict queue_names_of(_Mapping m)
