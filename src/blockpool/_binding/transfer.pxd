# Transfers: arrays and buffers that travel between processes through a shared pool.
#
# The package (blockpool._sending) decides which of them do, and calls the Python functions here and in package.pxi.
# A message carries a tuple: the reference to a run, put in flight when the tuple is made, and which part of the run it
# is.

# The lease behind an array or memoryview, if it is in a shared pool; else None.
cdef _Lease shared_lease(view)
# A lease of the run of a shared pool that has those bytes, whatever object they belong to; None if this process holds
# no such run.
cdef _Lease lease_at(uintptr_t address, uint64_t nbytes)
# A writable copy of an array in the shared pool, in the same order. The array has at least one byte. None if its
# elements are pointers. If there is no room right now, a copy that `must` be made waits until `timeout` is over and
# then raises, as other allocations do; for any other None is returned, without waiting or collecting garbage.
cdef copied_to_send(_Access access, _Mapping m, array, bint must, timeout)
# The same for a contiguous memoryview of at least one byte; returns a memoryview.
cdef bytes_copied_to_send(_Access access, _Mapping m, memoryview source, bint must, timeout)
# If the program uses pandas, sees to it that its frames are sent as such. To be called where objects are received that
# may be frames: only then do frames lie in a pool.
cdef int notice_frames() except -1
# Copies memory, without the GIL if there is much of it.
cdef void copy_memory(void *to, const void *source, size_t nbytes) noexcept
# Counts an array or buffer that could not be copied into the pool, and tells the log of the first.
cdef int refuse_copy(name, bytes pool_id, why) except -1
