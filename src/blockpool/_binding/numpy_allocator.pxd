# NumPy's array data from a private pool: a memory handler as NEP 49 describes it.
#
# Every array keeps a reference to the capsule of the handler that gave it its memory, and calls that handler to give
# it back. The capsule keeps the mapping. So the memory outlives the context, the Pool object and the asking thread.
#
# NumPy nearly always calls a handler with the GIL held; fromstring and fromfile resize without it. So each function
# takes the GIL, held or not. Counters can then be plain numbers, and no other thread runs between looking at a run and
# releasing it. Nothing gives up the GIL in between: NumPy is in the middle of making an array.
#
# What does not go to the pool goes to NumPy's own handler, with just the arguments that NumPy gave. The address tells
# where a pointer came from.

cdef extern from "_ndarray.h":
    ctypedef struct PyDataMemAllocator:
        void *ctx
        void *(*malloc)(void *ctx, size_t size) noexcept
        void *(*calloc)(void *ctx, size_t count, size_t size) noexcept
        void *(*realloc)(void *ctx, void *memory, size_t size) noexcept
        void (*free)(void *ctx, void *memory, size_t size) noexcept

    ctypedef struct PyDataMem_Handler:
        char name[127]
        unsigned char version
        PyDataMemAllocator allocator

    PyObject *PyDataMem_DefaultHandler
    object PyDataMem_SetHandler(object capsule)

# What Pool.numpy_allocator returns; raises ValueError for a pool that NumPy cannot use.
cdef object numpy_allocator(_Mapping m)
