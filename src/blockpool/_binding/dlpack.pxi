# See dlpack.pxd.

cdef bint takes_versions(stream, max_version, dl_device, copy) except -1:
    cdef bint versioned = False
    if stream is not None:
        raise RuntimeError(f"a block has no stream: stream must be None, not {stream!r:.60}")
    if max_version is not None:
        if not isinstance(max_version, tuple) or len(max_version) != 2:
            raise TypeError(f"max_version must be None or a tuple of two ints, not {max_version!r:.60}")
        versioned = PyNumber_Index(max_version[0]) >= 1
    if dl_device is not None:
        if not isinstance(dl_device, tuple) or len(dl_device) != 2:
            raise TypeError(f"dl_device must be None or a tuple of two ints, not {dl_device!r:.60}")
        if dl_device != (DLPACK_CPU, 0):
            raise BufferError(
                f"a block is in CPU memory, device ({DLPACK_CPU}, 0), not on {dl_device!r:.60}; "
                "make an array of it, and copy that to the device"
            )
    if copy is not None and type(copy) is not bool:
        raise TypeError(f"copy must be True, False or None, not {copy!r:.60}")
    return versioned


cdef dlpack_of(_Lease lease, what, bint versioned, copy):
    cdef uint64_t flags = 0
    if copy:
        copied = bytearray(lease)
        return dlpack_capsule(<char *>copied, lease.nbytes, copied, versioned, DLPACK_IS_COPIED)
    if lease.readonly:
        if not versioned:
            raise BufferError(
                f"{what} is read-only here, which DLPack before version 1 cannot express; pass "
                "max_version=(1, 0) or copy=True, or use a writable block"
            )
        flags = DLPACK_READ_ONLY
    return dlpack_capsule(address_of(lease.mapping, lease.run.index), lease.nbytes, lease, versioned, flags)
