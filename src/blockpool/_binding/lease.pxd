# Leases: a lease owns a run that has views, and exports all of them.
#
# The reference count of a lease tells whether its run is in use. The number of exports cannot: numpy.ndarray(buffer=…)
# releases its export at once and keeps only a reference to the exporter. In debug mode a run has its lease from the
# start, and the lease tells the mapping's guard (blockpool._debug) when the run comes back. So the quick calls know
# nothing of debug mode.

@cython.final
@cython.internal
@cython.no_gc
@cython.freelist(64)
cdef class _Lease:
    cdef _Mapping mapping       # None if it has no run, or no longer
    cdef _Lease parent          # of a read-only lease, or of one for a view: the lease that owns the run; else None
    cdef bint readonly
    cdef bint for_view          # whether it is for one view; see lease_for_view
    cdef pool_run run
    cdef uint64_t nbytes        # length of each export
    cdef bytes note             # of a private pool's run, in the lease that owns it; None for none
    # What refers to it, as far as that is known: Blocks, read-only leases, leases for views, and memoryviews. Without
    # the GIL the first three are all there is, and exact.
    cdef uint32_t blocks, children, views, exports

# A lease that owns a run this process holds; or with a parent, a read-only one that keeps the parent. Counts nothing.
# If the mapping is None, the lease owns nothing until it is set.
cdef _Lease new_lease(_Mapping mapping, _Lease parent, const pool_run *run, uint64_t nbytes)
# The lease that a view of a Block's memory is to keep: the Block's own. Without the GIL, a new one, which keeps that:
# there a reference count may not be read while other threads use the object, so the views are counted here.
cdef _Lease lease_for_view(_Lease lease)
# How many references there are to the lease of a Block, and to the one that it keeps, besides the Block's own. To be
# called with a pointer, cast, for which Cython makes no reference.
cdef Py_ssize_t users_besides(_Lease lease) noexcept
# Whether nothing refers to the lease but the caller, who has it in one variable.
cdef bint is_unused(_Lease lease) noexcept
# A lease that owns a run that was just allocated; counts the allocation, and tells the guard of debug mode. If this
# raises, the run has gone back.
cdef _Lease lease_run(_Mapping m, const pool_run *run, uint64_t nbytes)
# Allocates a run of nbytes bytes, at least 1, for views without a Block. Raises as Pool.allocate().
cdef _Lease allocate_lease(_Access access, uint64_t nbytes, timeout)
# In debug mode, takes the run from the lease; puts it to rest, before it goes back, or in a shared pool drops it. After
# that, raises what was found (BlockOverrun). Does nothing if the lease has forgotten its run.
cdef int release_guarded(_Lease lease) except -1
# Takes the mapping from the lease, for the first caller; None for the others.
cdef _Mapping mapping_taken(_Lease lease)
# Makes the lease, and its parent, forget the run, as it has gone back already.
cdef void forget_run(_Lease lease) noexcept
# For a message: what uses the memory besides the Block that asks. `users` is how many references there are in all.
cdef users_of(_Lease lease, Py_ssize_t users)

cdef extern from "_threads.h":
    PyObject *take_mapping(_Lease lease) noexcept
