# Transfers: arrays and buffers that travel between processes through a shared pool.
#
# The package (blockpool._sending) decides which of them do, and calls the Python functions here and in package.pxi.
# A message carries a tuple: the reference to a run, put in flight when the tuple is made, and which part of the run it
# is.

# The lease behind an array or memoryview, if it is in a shared pool; else None.
cdef _Lease shared_lease(view)
# A writable copy of an array in the shared pool, in the same order. The array has at least one byte. None if there is
# no room right now, or its elements are pointers. Neither waits nor collects garbage.
cdef copied_to_send(_Mapping m, array)
# The same for a contiguous memoryview of at least one byte; returns a memoryview.
cdef bytes_copied_to_send(_Mapping m, memoryview source)
# Copies memory, without the GIL if there is much of it.
cdef void copy_memory(void *to, const void *source, size_t nbytes) noexcept
# Counts an array or buffer that could not be copied into the pool, and tells the log of the first.
cdef int refuse_copy(name, bytes pool_id, why) except -1
