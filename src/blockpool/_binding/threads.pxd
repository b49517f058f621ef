# What the binding does otherwise in a build of Python without the GIL; _threads.h has the contracts.
#
# A function declared here with an object, and not defined in the header as one, is a macro.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "_threads.h":
    enum:
        WITHOUT_GIL

    void leave_uncounted(PyObject *object) noexcept
    void tally(uint64_t *number, uint64_t by) noexcept nogil
    uint32_t count_by(uint32_t *count, int by) noexcept nogil
    uint32_t count_now(const uint32_t *count) noexcept nogil
    int64_t count_signed(int64_t *count, int64_t by) noexcept nogil
    void raise_to(uint64_t *number, uint64_t to) noexcept nogil
    bint take_flag(int *flag) noexcept nogil
    void drop_flag(int *flag) noexcept nogil
    void publish(int *flag) noexcept nogil
    bint is_published(const int *flag) noexcept nogil
    PyObject *swap_object(PyObject **place, PyObject *object) noexcept
    void lock_tables() noexcept
    void unlock_tables() noexcept
    void renew_tables_lock() noexcept nogil

    ctypedef struct block_keeper:
        pass

    struct pool_place:
        pass

    pool_place *place_of_thread(pool_place **places, uint32_t thread) noexcept
    PyObject *keeper_at(pool_place *place) noexcept
    void set_keeper(pool_place *place, PyObject *keeper) noexcept
    void empty_places(pool_place *places) noexcept
