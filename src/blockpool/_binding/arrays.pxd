# NumPy arrays in a pool, made with NumPy's C interface: going through a memoryview takes twice as long.
#
# The base of such an array is a lease, like that of any view, so the run goes back with its last array or other view.
# NumPy is imported when it is first needed. All functions need the GIL; they raise as Pool.empty() says.


cdef extern from "_ndarray.h":
    ctypedef Py_ssize_t npy_intp

    ctypedef struct PyArray_Descr:
        pass

    ctypedef struct PyArray_Dims:
        npy_intp *ptr
        int len

    enum:
        NPY_ARRAY_CARRAY
        NPY_ARRAY_FARRAY
        NPY_ARRAY_WRITEABLE
        NPY_DOUBLE

    int array_load() except -1
    bint array_is(PyObject *o) noexcept
    PyObject *array_base(PyObject *array) noexcept
    PyArray_Descr *array_descr(PyObject *array) noexcept
    char *array_data(PyObject *array) noexcept
    int array_dimensions(PyObject *array) noexcept
    npy_intp *array_shape(PyObject *array) noexcept
    npy_intp *array_strides(PyObject *array) noexcept
    bint array_is_writeable(PyObject *array) noexcept
    bint array_is_c(PyObject *array) noexcept
    bint array_is_f(PyObject *array) noexcept
    void array_strides_like(PyObject *array, Py_ssize_t item, npy_intp *strides) noexcept
    Py_ssize_t descr_size(const PyArray_Descr *descr) noexcept
    bint descr_has_objects(const PyArray_Descr *descr) noexcept
    bint array_has_shape(PyObject *array, int dimensions, const npy_intp *shape) noexcept
    int descr_number(const PyArray_Descr *descr) noexcept
    object array_over(
        PyArray_Descr *descr, int dimensions, const npy_intp *shape, const npy_intp *strides, void *data, int flags
    )
    object array_made(PyArray_Descr *descr, int dimensions, const npy_intp *shape)
    void array_forbid_writing(PyObject *array) noexcept
    int array_keep(object array, object base) except -1
    bint size_multiply(size_t *size, npy_intp by) noexcept
    bint array_fits(
        size_t item, int dimensions, const npy_intp *shape, const npy_intp *strides, int64_t offset, uint64_t room
    ) noexcept
    object descr_numbered(int number)
    bint number_is_plain(int number) noexcept
    int PyArray_DescrConverter(object dtype, PyArray_Descr **descr) except 0
    int PyArray_IntpConverter(object shape, PyArray_Dims *dims) except 0
    void PyDimMem_FREE(npy_intp *dims) noexcept

# The limit of NumPy 2; NumPy 1 itself refuses more than 32.
cdef enum: MOST_DIMENSIONS = 64
# The size in bytes from which memory is filled or copied without the GIL.
cdef enum: MANY_BYTES = 1 << 20

# The shape and dtype of an array that is to be made.
cdef struct form:
    PyArray_Descr *descr        # owns a reference
    int dimensions
    npy_intp shape[MOST_DIMENSIONS]
    size_t nbytes

# Imports NumPy unless it is imported already. Raises ImportError if that fails, RuntimeError if the interpreter is
# shutting down. To be called before any function of _ndarray.h.
cdef int need_numpy() except -1
# The same if the program has imported NumPy, from whatever module its arrays come; otherwise does nothing.
cdef int notice_numpy() except -1
# Whether the value is a numpy.ndarray, not of a subclass.
cdef bint is_ndarray(value) except -1
# The same, without importing NumPy: false for all values until this process has needed it.
cdef bint is_known_ndarray(value) noexcept
# The dtype that NumPy makes of a description.
cdef object dtype_from(description)
# Whether the value is a numpy.dtype.
cdef bint is_dtype(value) except -1
# Copies elements, cast to the target's type without a check, and broadcast; raises as numpy.copyto().
cdef int copy_elements(target, source) except -1
# Reads shape and dtype; None is float64. The caller then owns the reference to the descr; if this raises, nothing.
cdef int form_of(shape, dtype, form *out) except -1
# NumPy's flags for the order "C" or "F"; raises ValueError for another one.
cdef int flags_of(order) except -1
# An array of the lease's memory from `offset` bytes on, read-only if the lease is; it keeps the lease. Takes over the
# reference to the descr, even if it raises. If strides is NULL, the flags say the order.
cdef object array_on(_Lease lease, form *array, int64_t offset, const npy_intp *strides, int flags)
# An array in a new run, of zeros if `zeroed`, else with what the memory holds. If `like` is given, an array of that
# shape, the new one has its order of axes and `order` is ignored.
cdef object new_array(_Access access, shape, dtype, order, timeout, bint zeroed, like=*)
# An array in a new run, filled with a value; without dtype, of the type that NumPy gives the value.
cdef object filled_array(_Access access, shape, value, dtype, order, timeout)
# What Pool.asarray returns: `source` itself if it is in this pool, of that type and order; else a copy in a new run.
cdef object copied_array(_Access access, source, dtype, order, timeout)
# The lease whose memory an array or memoryview shows; None if it does not show a pool's memory. Raises ValueError for a
# released memoryview.
cdef _Lease lease_behind(view)
