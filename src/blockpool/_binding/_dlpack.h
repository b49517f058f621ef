/* _dlpack.h: bytes as a DLPack tensor, in a capsule that owns them until a consumer takes them over.
 *
 * The structures are those of the DLPack specification, version 1.0 and earlier. A tensor has a reference to its owner.
 * Its deleter may be called once, from any thread, with or without the GIL; after Python has ended it does nothing.
 */
#ifndef BLOCKPOOL_DLPACK_H
#define BLOCKPOOL_DLPACK_H

#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if PY_VERSION_HEX < 0x030D0000
#define Py_IsFinalizing _Py_IsFinalizing
#endif

#define DLPACK_MAJOR 1
#define DLPACK_MINOR 0
#define DLPACK_CPU 1
#define DLPACK_UINT 1
#define DLPACK_READ_ONLY (UINT64_C(1) << 0)
#define DLPACK_IS_COPIED (UINT64_C(1) << 1)

typedef struct {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} dlpack_tensor;

typedef struct dlpack_legacy {
    dlpack_tensor tensor;
    void *owner;
    void (*deleter)(struct dlpack_legacy *self);
} dlpack_legacy;

typedef struct dlpack_versioned {
    struct {
        uint32_t major, minor;
    } version;
    void *owner;
    void (*deleter)(struct dlpack_versioned *self);
    uint64_t flags;
    dlpack_tensor tensor;
} dlpack_versioned;

_Static_assert(sizeof(dlpack_tensor) == 48 && offsetof(dlpack_tensor, shape) == 24, "as in the specification");
_Static_assert(sizeof(dlpack_legacy) == 64 && sizeof(dlpack_versioned) == 80, "as in the specification");

/* What is allocated: a tensor in one of the two forms, and the numbers that it points to. */
typedef struct {
    union {
        dlpack_legacy legacy;
        dlpack_versioned versioned;
    };
    int64_t shape, stride;
} dlpack_export;

static inline void dlpack_drop(void *owner, void *export) {
    /* During finalization, any other thread than the finalizing one would never get the GIL. */
    if (!Py_IsInitialized() || (Py_IsFinalizing() && !PyGILState_Check())) {
        return;
    }
    PyGILState_STATE state = PyGILState_Ensure();
    Py_DECREF((PyObject *)owner);
    PyGILState_Release(state);
    free(export);
}

static inline void dlpack_delete_legacy(dlpack_legacy *self) { dlpack_drop(self->owner, self); }
static inline void dlpack_delete_versioned(dlpack_versioned *self) { dlpack_drop(self->owner, self); }

/* The capsule's destructor. A consumer that took the tensor has renamed the capsule and calls the deleter itself. */
static inline void dlpack_end_capsule(PyObject *capsule) {
    if (PyCapsule_IsValid(capsule, "dltensor")) {
        dlpack_legacy *legacy = (dlpack_legacy *)PyCapsule_GetPointer(capsule, "dltensor");
        legacy->deleter(legacy);
    } else if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        dlpack_versioned *versioned = (dlpack_versioned *)PyCapsule_GetPointer(capsule, "dltensor_versioned");
        versioned->deleter(versioned);
    }
}

/* Returns a capsule of `nbytes` bytes that keeps the owner; NULL and an exception if there is no memory. `flags` is
 * only for the versioned form. Needs the GIL. */
static inline PyObject *dlpack_capsule(void *data, int64_t nbytes, PyObject *owner, bool versioned, uint64_t flags) {
    dlpack_export *made = (dlpack_export *)malloc(sizeof *made);
    if (made == NULL) {
        return PyErr_NoMemory();
    }
    made->shape = nbytes;
    made->stride = 1;
    dlpack_tensor tensor = {
        .data = data,
        .device = {.type = DLPACK_CPU},
        .ndim = 1,
        .dtype = {.code = DLPACK_UINT, .bits = 8, .lanes = 1},
        .shape = &made->shape,
        .strides = &made->stride,
    };
    if (versioned) {
        made->versioned = (dlpack_versioned){
            .version = {.major = DLPACK_MAJOR, .minor = DLPACK_MINOR},
            .owner = owner,
            .deleter = dlpack_delete_versioned,
            .flags = flags,
            .tensor = tensor,
        };
    } else {
        made->legacy = (dlpack_legacy){.tensor = tensor, .owner = owner, .deleter = dlpack_delete_legacy};
    }
    PyObject *capsule = PyCapsule_New(made, versioned ? "dltensor_versioned" : "dltensor", dlpack_end_capsule);
    if (capsule == NULL) {
        free(made);
        return NULL;
    }
    Py_INCREF(owner);
    return capsule;
}

#endif
