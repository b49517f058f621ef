# NumPy arrays in a pool, made by NumPy's C interface: the way through a memoryview costs twice as much.
#
# The base of such an array is a lease, as of any view; so the run goes back with the last array or other view.


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

# NumPy's own limit.
cdef enum: MOST_DIMENSIONS = 64
# From here on, filling memory leaves the GIL.
cdef enum: MANY_BYTES = 1 << 20

# What array that is to be.
cdef struct form:
    PyArray_Descr *descr        # a reference of its own
    int dimensions
    npy_intp shape[MOST_DIMENSIONS]
    size_t nbytes

# Imports NumPy, the first time; raises ImportError if there is none.
cdef int need_numpy() except -1
cdef bint is_ndarray(value) except -1
cdef bint is_dtype(value) except -1
cdef int copy_elements(target, source) except -1
# Reads shape and dtype. The caller has a reference to the descr from then on; not if this raises.
cdef int form_of(shape, dtype, form *out) except -1
# NumPy's flags of an order, "C" or "F".
cdef int flags_of(order) except -1
# An array of the lease's memory, which it keeps; takes over the reference to the descr. No strides: as the flags say.
cdef object array_on(_Lease lease, form *array, int64_t offset, const npy_intp *strides, int flags)
# An array in a new run; `like` is one of that shape whose order of axes it gets, instead of `order`.
cdef object new_array(_Mapping m, const bint *closed, shape, dtype, order, timeout, bint zeroed, like=*)
cdef object filled_array(_Mapping m, const bint *closed, shape, value, dtype, order, timeout)
cdef object copied_array(_Mapping m, const bint *closed, source, dtype, order, timeout)
# The lease whose memory the array or memoryview shows; None if it is no pool's.
cdef _Lease lease_behind(view)
