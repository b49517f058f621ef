# See arrays.pxd.

# The largest size in bytes of a pool, and so of an array in one.
cdef size_t MOST_BYTES = <size_t>1 << 62

# The module and what is called of it; None until NumPy is first needed, which is when numpy_is_there is published.
cdef object numpy = None, numpy_array, numpy_asarray, numpy_copyto, numpy_dtype, numpy_empty
cdef int numpy_is_there = 0


cdef int need_numpy() except -1:
    global numpy, numpy_array, numpy_asarray, numpy_copyto, numpy_dtype, numpy_empty
    if not is_published(&numpy_is_there):
        require_imports("arrays")
        try:
            # not an import statement: Cython's takes a None in sys.modules for the module
            found = __import__("numpy")
        except ImportError:
            raise ImportError(
                "arrays need NumPy, which cannot be imported; install it with: pip install 'numpy>=1.26'"
            ) from None
        array_load()
        numpy_array = found.ndarray
        numpy_asarray = found.asarray
        numpy_copyto = found.copyto
        numpy_dtype = found.dtype
        numpy_empty = found.empty
        numpy = found
        publish(&numpy_is_there)
    return 0


cdef int notice_numpy() except -1:
    if not is_published(&numpy_is_there) and "numpy" in modules:
        need_numpy()
    return 0


cdef bint is_ndarray(value) except -1:
    need_numpy()
    return type(value) is numpy_array


cdef inline bint is_known_ndarray(value) noexcept:
    return is_published(&numpy_is_there) and type(value) is numpy_array


cdef object dtype_from(description):
    need_numpy()
    return numpy_dtype(description)


cdef bint is_dtype(value) except -1:
    need_numpy()
    return isinstance(value, numpy_dtype)


cdef int copy_elements(target, source) except -1:
    numpy_copyto(target, source, casting="unsafe")
    return 0


cdef int form_of(shape, dtype, form *out) except -1:
    cdef PyArray_Dims dims
    cdef int i, overflow = 0
    need_numpy()
    if dtype is None:
        dtype = descr_numbered(NPY_DOUBLE)
    PyArray_DescrConverter(dtype, &out.descr)
    if descr_size(out.descr) == 0 or descr_has_objects(out.descr):
        # a string type whose length NumPy chooses for each array, or a class of dtypes
        Py_DECREF(<object>out.descr)
        PyArray_DescrConverter(numpy_empty((), dtype).dtype, &out.descr)
    try:
        if descr_has_objects(out.descr):
            raise TypeError(
                f"an array of {<object>out.descr} cannot be in a pool: its elements are pointers to Python objects or "
                "strings outside the pool; use another dtype, or numpy.empty()"
            )
        if PyLong_CheckExact(shape):
            out.dimensions = 1
            out.shape[0] = PyLong_AsLongLongAndOverflow(shape, &overflow)
            if overflow:
                raise ValueError(f"shape must be at most 2**63 - 1 in any dimension, not {readable(shape)}")
        else:
            try:
                PyArray_IntpConverter(shape, &dims)
            except TypeError:
                raise TypeError(f"shape must be an int or a tuple of ints, not {shape!r:.60}") from None
            out.dimensions = dims.len
            if dims.len <= MOST_DIMENSIONS:
                for i in range(dims.len):
                    out.shape[i] = dims.ptr[i]
            PyDimMem_FREE(dims.ptr)
            if out.dimensions > MOST_DIMENSIONS:
                raise ValueError(f"shape has {out.dimensions} dimensions; an array has at most {MOST_DIMENSIONS}")
        out.nbytes = bytes_of(out, shape)
        return 0
    except BaseException:
        Py_DECREF(<object>out.descr)
        raise


cdef size_t bytes_of(const form *array, shape) except? 0:
    cdef size_t nbytes = descr_size(array.descr)
    cdef bint empty = False
    cdef int i
    for i in range(array.dimensions):
        if array.shape[i] < 0:
            raise ValueError(f"shape must have no negative dimensions, not {shape!r:.60}")
        if array.shape[i] == 0:
            empty = True
        elif not size_multiply(&nbytes, array.shape[i]):
            raise ValueError(
                f"an array of shape {shape!r:.60} and {<object>array.descr} has more bytes than can be addressed"
            )
    if nbytes > MOST_BYTES and not empty:
        raise ValueError(
            f"an array of shape {shape!r:.60} and {<object>array.descr} has more bytes than any pool can have (2**62)"
        )
    return 0 if empty else nbytes


cdef int flags_of(order) except -1:
    if order == "C":
        return NPY_ARRAY_CARRAY
    if order == "F":
        return NPY_ARRAY_FARRAY
    raise ValueError(f"order must be 'C' or 'F', not {order!r:.60}")


cdef object array_on(_Lease lease, form *array, int64_t offset, const npy_intp *strides, int flags):
    if lease.readonly:
        flags &= ~NPY_ARRAY_WRITEABLE
    made = array_over(
        array.descr, array.dimensions, array.shape, strides,
        <char *>address_of(lease.mapping, lease.run.index) + offset, flags
    )
    array_keep(made, lease)
    return made


cdef object new_array(_Access access, shape, dtype, order, timeout, bint zeroed, like=None):
    cdef form array
    cdef npy_intp strides[MOST_DIMENSIONS]
    cdef _Lease lease
    cdef void *memory
    cdef int flags = flags_of(order)
    form_of(shape, dtype, &array)
    if array.nbytes == 0:
        Py_DECREF(<object>array.descr)
        deadline_of(timeout)
        access.opened()
        return numpy_empty(shape, dtype, order)
    try:
        lease = allocate_lease(access, array.nbytes, timeout)
    except BaseException:
        Py_DECREF(<object>array.descr)
        raise
    if zeroed:
        memory = address_of(lease.mapping, lease.run.index)
        if array.nbytes >= MANY_BYTES:
            with nogil:
                memset(memory, 0, array.nbytes)
        else:
            memset(memory, 0, array.nbytes)
    if like is None:
        return array_on(lease, &array, 0, NULL, flags)
    if not array_has_shape(<PyObject *>like, array.dimensions, array.shape):
        Py_DECREF(<object>array.descr)
        raise ValueError(
            "the array's shape changed while this call waited for room; leave it unchanged until the call returns"
        )
    array_strides_like(<PyObject *>like, descr_size(array.descr), strides)
    return array_on(lease, &array, 0, strides, flags)


cdef object filled_array(_Access access, shape, value, dtype, order, timeout):
    need_numpy()
    kind = numpy_asarray(value).dtype if dtype is None else dtype
    made = new_array(access, shape, kind, order, timeout, False)
    copy_elements(made, value)
    return made


cdef object copied_array(_Access access, source, dtype, order, timeout):
    cdef _Lease lease
    need_numpy()
    if order not in ("K", "C", "F"):
        raise ValueError(f"order must be 'C', 'F' or 'K', not {order!r:.60}")
    if dtype is not None:
        kind = numpy_dtype(dtype)
        # NumPy works out what a list, or an incomplete dtype, comes to. Arrays are cast while they are copied.
        if not array_is(<PyObject *>source) or kind.itemsize == 0 or kind.hasobject or kind.subdtype is not None:
            source = numpy_asarray(source, dtype)
            dtype = None
    source = numpy_asarray(source)
    if dtype is None:
        kind = source.dtype
    like = None
    if kind == source.dtype and (
        order == "K" or (source.flags.c_contiguous if order == "C" else source.flags.f_contiguous)
    ):
        lease = lease_behind(source)
        if lease is not None and lease.mapping is access.opened():
            return source
    if order == "K":
        order = "F" if source.flags.fnc else "C"
        like = None if source.flags.forc else source
    made = new_array(access, source.shape, kind, order, timeout, False, like)
    copy_elements(made, source)
    return made


cdef _Lease lease_behind(view):
    cdef PyObject *at = <PyObject *>view
    while at != NULL:
        if type(<object>at) is _Lease:
            return <_Lease>at
        if is_published(&numpy_is_there) and array_is(at):
            at = array_base(at)
        elif PyMemoryView_Check(<object>at):
            at = <PyObject *>(<object>at).obj  # raises ValueError if it was released
        else:
            return None
    return None
