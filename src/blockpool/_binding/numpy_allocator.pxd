# NumPy's allocator: a memory handler (NEP 49) that takes NumPy's array data from a private pool; or for blockpool.dask,
# from a shared one, where an array's memory is a run that this process holds, as that of a Block is.
#
# Every array refers to the capsule of the handler that gave it its memory, and calls that handler to give it back. The
# capsule keeps the mapping. So the memory outlives the context, the Pool object and the thread that asked for it.
#
# NumPy nearly always calls a handler with the GIL held; fromstring and fromfile resize without it. So each function
# takes the GIL, held or not. Counters can then be plain numbers, and no other thread runs between looking at a run and
# releasing it. Nothing gives up the GIL in between: NumPy is in the middle of making an array.
#
# What the pool does not serve goes to NumPy's own handler, with the arguments unchanged. The address of a piece of
# memory tells where it came from.

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

# The context manager that Pool.numpy_allocator returns. Raises ValueError for a pool that is shared (unless shared ones
# are meant), in debug mode or aligned to less than 16 bytes; otherwise as need_numpy().
cdef object numpy_allocator(_Mapping m, bint shared)
