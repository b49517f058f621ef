/* _borrowed.h: the references to an object, those included that Python does not count.
 *
 * From Python 3.14 on, a frame may borrow a reference that one of its names, or one of its caller's, has: the object's
 * reference count does not know of it. Such are what `return` keeps while a `with` ends, the object that a `with` has
 * to call at its end, and arguments. All that matter to a method of the object stand in the frame that called it.
 */
#ifndef BLOCKPOOL_BORROWED_H
#define BLOCKPOOL_BORROWED_H

#include <Python.h>

#if PY_VERSION_HEX >= 0x03100000
#error "blockpool knows the frames of Python 3.11 to 3.15, not those of this one"
#elif PY_VERSION_HEX >= 0x030E0000
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "internal/pycore_interpframe_structs.h"
/* How a reference on the stack says that it is borrowed; Py_TAG_REFCNT in CPython. */
#define BORROWED_TAG ((uintptr_t)1)
#endif

/* How many references to `object` the running frame of this thread borrowed. Stops at `enough`. */
static inline Py_ssize_t borrowed_references(PyObject *object, Py_ssize_t enough) {
    Py_ssize_t found = 0;
#if PY_VERSION_HEX >= 0x030E0000
    const struct _PyInterpreterFrame *frame = PyThreadState_GetUnchecked()->current_frame;
    if (frame == NULL || frame->stackpointer == NULL) {
        return 0;
    }
    const uintptr_t borrowed = (uintptr_t)object | BORROWED_TAG;
    /* From the top: what a `with` has is there. */
    for (const _PyStackRef *at = frame->stackpointer; at > frame->localsplus && found < enough;) {
        found += (--at)->bits == borrowed;
    }
#else
    (void)object;
    (void)enough;
#endif
    return found;
}

/* The reference count. Without the GIL, other threads change it meanwhile, in two parts, and one may take what another
 * gives: then it is read until it stood still. */
static inline Py_ssize_t counted_references(PyObject *object) {
#ifdef Py_GIL_DISABLED
    for (;;) {
        uint32_t local = _Py_atomic_load_uint32(&object->ob_ref_local);
        Py_ssize_t shared = _Py_atomic_load_ssize(&object->ob_ref_shared);
        if (local == _Py_atomic_load_uint32(&object->ob_ref_local) &&
            shared == _Py_atomic_load_ssize(&object->ob_ref_shared)) {
            return (Py_ssize_t)local + Py_ARITHMETIC_RIGHT_SHIFT(Py_ssize_t, shared, _Py_REF_SHARED_SHIFT);
        }
    }
#else
    return Py_REFCNT(object);
#endif
}

/* Whether more than `count` references to `object` exist, besides those of C code that Python does not count. */
static inline int has_more_references(PyObject *object, Py_ssize_t count) {
    Py_ssize_t left = count - counted_references(object);
    return left < 0 || borrowed_references(object, left + 1) > left;
}

#endif
