/* _ndarray.h: the part of NumPy's C interface that the binding needs, where NumPy has macros. All functions need the
 * GIL, and all but array_load need that to have succeeded. */
#ifndef BLOCKPOOL_NDARRAY_H
#define BLOCKPOOL_NDARRAY_H

#define NPY_NO_DEPRECATED_API NPY_1_23_API_VERSION
#define NPY_TARGET_VERSION NPY_1_23_API_VERSION
#include <Python.h>
#include <numpy/arrayobject.h>
#include <stdbool.h>
#include <stdint.h>

/* Imports NumPy's table of functions; a function, since NumPy's macro returns. Returns 0, or -1 and an exception. */
static inline int array_load(void) {
    import_array1(-1);
    return 0;
}

static inline bool array_is(PyObject *object) { return PyArray_Check(object); }
static inline PyObject *array_base(PyObject *array) { return PyArray_BASE((PyArrayObject *)array); }
static inline PyArray_Descr *array_descr(PyObject *array) { return PyArray_DESCR((PyArrayObject *)array); }
static inline char *array_data(PyObject *array) { return PyArray_BYTES((PyArrayObject *)array); }
static inline int array_dimensions(PyObject *array) { return PyArray_NDIM((PyArrayObject *)array); }
static inline npy_intp *array_shape(PyObject *array) { return PyArray_SHAPE((PyArrayObject *)array); }
static inline npy_intp *array_strides(PyObject *array) { return PyArray_STRIDES((PyArrayObject *)array); }
static inline bool array_is_writeable(PyObject *array) { return PyArray_ISWRITEABLE((PyArrayObject *)array); }
static inline bool array_is_c(PyObject *array) { return PyArray_IS_C_CONTIGUOUS((PyArrayObject *)array); }
static inline bool array_is_f(PyObject *array) { return PyArray_IS_F_CONTIGUOUS((PyArrayObject *)array); }
static inline Py_ssize_t descr_size(const PyArray_Descr *descr) { return PyDataType_ELSIZE(descr); }

/* Whether its elements are pointers, or contain any. */
static inline bool descr_has_objects(const PyArray_Descr *descr) {
    return PyDataType_FLAGCHK(descr, NPY_ITEM_REFCOUNT) || PyDataType_FLAGCHK(descr, NPY_ITEM_IS_POINTER);
}

/* The type with a number from descr_number; a new reference, or NULL and an exception. */
static inline PyObject *descr_numbered(int number) { return (PyObject *)PyArray_DescrFromType(number); }

/* Whether this is the type number of plain numbers; NumPy itself does not check type numbers. */
static inline bool number_is_plain(int number) { return (number >= 0 && number < NPY_OBJECT) || number == NPY_HALF; }

/* The type number, if it says everything about the type: plain numbers in native byte order, no metadata; else -1. */
static inline int descr_number(const PyArray_Descr *descr) {
    int number = descr->type_num;
    return number_is_plain(number) && PyArray_ISNBO(descr->byteorder) && PyDataType_METADATA(descr) == NULL ? number
                                                                                                            : -1;
}

/* A new array of memory that it does not own; strides may be NULL. Steals the descr, even if it fails. */
static inline PyObject *array_over(PyArray_Descr *descr, int dimensions, const npy_intp *shape, const npy_intp *strides,
                                   void *data, int flags) {
    return PyArray_NewFromDescr(&PyArray_Type, descr, dimensions, shape, strides, data, flags, NULL);
}

/* A new array with memory of its own, in C order. Steals the descr, even if it fails. */
static inline PyObject *array_made(PyArray_Descr *descr, int dimensions, const npy_intp *shape) {
    return PyArray_NewFromDescr(&PyArray_Type, descr, dimensions, shape, NULL, NULL, 0, NULL);
}

static inline void array_forbid_writing(PyObject *array) {
    PyArray_CLEARFLAGS((PyArrayObject *)array, NPY_ARRAY_WRITEABLE);
}

/* Sets the array's base, to which it takes a new reference. Returns 0, or -1 and an exception. */
static inline int array_keep(PyObject *array, PyObject *base) {
    Py_INCREF(base);
    return PyArray_SetBaseObject((PyArrayObject *)array, base);
}

/* Writes the strides of a new array without gaps: items of `item` bytes, shape and order of axes as in `array`. */
static inline void array_strides_like(PyObject *array, Py_ssize_t item, npy_intp *strides) {
    npy_stride_sort_item sorted[NPY_MAXDIMS];
    int dimensions = array_dimensions(array);
    PyArray_CreateSortedStridePerm(dimensions, array_strides(array), sorted);
    for (int i = dimensions - 1; i >= 0; i--) {
        strides[sorted[i].perm] = item;
        item *= array_shape(array)[sorted[i].perm];
    }
}

static inline bool array_has_shape(PyObject *array, int dimensions, const npy_intp *shape) {
    return PyArray_NDIM((PyArrayObject *)array) == dimensions &&
           PyArray_CompareLists(array_shape(array), shape, dimensions);
}

/* Multiplies *size by `by`, which is not negative; returns false, leaving it unchanged, if the product is too large. */
static inline bool size_multiply(size_t *size, npy_intp by) {
    size_t product;
    if (__builtin_mul_overflow(*size, (size_t)by, &product) || product > NPY_MAX_INTP) {
        return false;
    }
    *size = product;
    return true;
}

/* Whether an array at `offset` lies within `room` bytes. */
static inline bool array_fits(size_t item, int dimensions, const npy_intp *shape, const npy_intp *strides,
                              int64_t offset, uint64_t room) {
    int64_t low = offset, high = offset;
    for (int i = 0; i < dimensions; i++) {
        if (shape[i] <= 0) {
            return offset >= 0 && (uint64_t)offset <= room; /* no elements, so the strides do not matter */
        }
    }
    for (int i = 0; i < dimensions; i++) {
        int64_t reach;
        if (__builtin_mul_overflow(shape[i] - 1, strides[i], &reach) ||
            __builtin_add_overflow(reach < 0 ? low : high, reach, reach < 0 ? &low : &high)) {
            return false;
        }
    }
    return low >= 0 && item <= INT64_MAX && !__builtin_add_overflow(high, (int64_t)item, &high) &&
           (uint64_t)high <= room;
}

#endif
