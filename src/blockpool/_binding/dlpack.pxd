# DLPack: a block as a tensor of its bytes, for NumPy, PyTorch, JAX and others.

cdef extern from "_dlpack.h":
    enum: DLPACK_CPU
    uint64_t DLPACK_READ_ONLY
    uint64_t DLPACK_IS_COPIED
    object dlpack_capsule(void *data, int64_t nbytes, object owner, bint versioned, uint64_t flags)

# Whether the consumer that calls __dlpack__ so takes DLPack 1; raises if it wants what a block cannot give. A refusal
# is of the kind that NumPy's would be.
cdef bint takes_versions(stream, max_version, dl_device, copy) except -1
# A capsule of the lease's bytes; `what` is how messages call the block.
cdef dlpack_of(_Lease lease, what, bint versioned, copy)
