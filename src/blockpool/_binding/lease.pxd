# The lease: the owner of a run that has views, and the exporter of all of them.
#
# Whether a run is in use is told by the reference count of its lease. Exports are not counted for that:
# numpy.ndarray(buffer=…) releases its export at once and keeps only a reference to the exporter. In debug mode a run
# has its lease from the start, and the lease tells the mapping's guard (blockpool._debug) when the run comes back, so
# the quick calls need not know of it.

@cython.final
@cython.internal
@cython.no_gc
@cython.freelist(64)
cdef class _Lease:
    cdef _Mapping mapping       # None: there is no run, or none any more
    cdef _Lease parent          # of a read-only lease, which exports the memory of another one and keeps that
    cdef pool_run run
    cdef uint64_t nbytes
    # What refers to it, as far as that is known; for messages only.
    cdef uint32_t blocks, children, exports

cdef _Lease new_lease(_Mapping mapping, _Lease parent, const pool_run *run, uint64_t nbytes)
# Makes a lease the owner of a run that was claimed, and counts that; if it cannot, the run goes back.
cdef _Lease lease_run(_Mapping m, const pool_run *run, uint64_t nbytes)
# Allocates a run of so many bytes for views alone.
cdef _Lease allocate_lease(_Mapping m, const bint *closed, uint64_t nbytes, timeout)
# In debug mode: has the run of the lease, which has none from then on, rest before it goes back. Raises what the
# guard found.
cdef int release_guarded(_Lease lease) except -1
# The run of the lease went back already.
cdef void forget_run(_Lease lease) noexcept
# What uses the memory besides the Block that asks, in words; so many refer to the lease in all.
cdef users_of(_Lease lease, Py_ssize_t users)
