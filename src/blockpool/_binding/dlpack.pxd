# DLPack: a block as a tensor of its bytes, for NumPy, PyTorch, JAX and others.

cdef extern from "_dlpack.h":
    enum: DLPACK_CPU
    uint64_t DLPACK_READ_ONLY
    uint64_t DLPACK_IS_COPIED
    object dlpack_capsule(void *data, int64_t nbytes, object owner, bint versioned, uint64_t flags)

# Checks the arguments of __dlpack__; returns whether the consumer understands DLPack 1. Raises what NumPy's arrays
# would: RuntimeError for a stream, BufferError for another device than the CPU, TypeError for a wrong type.
cdef bint takes_versions(stream, max_version, dl_device, copy) except -1
# A capsule of the lease's bytes, which keeps the lease; or of a copy of them if `copy` is true. `what` names the block
# in messages. Raises BufferError if the lease is read-only and the consumer cannot be told.
cdef dlpack_of(_Lease lease, what, bint versioned, copy)
