# Arrays and buffers that travel between processes through a shared pool; blockpool.multiprocessing decides which do,
# and calls the functions of Python here and in package.pxi.
#
# What is sent is a tuple: the reference to the run, taken when the tuple is made, and what part of the run it is.

# The lease of a shared pool behind an array or memoryview, or None.
cdef _Lease shared_lease(view)
# A copy of an array of at least one byte in the shared pool, of the same order, writeable; None if there is no room,
# or it holds objects. The same of contiguous bytes, as a memoryview.
cdef copied_to_send(_Mapping m, array)
cdef bytes_copied_to_send(_Mapping m, memoryview source)
# Counts a copy that is not made.
cdef void refuse_copy() noexcept
