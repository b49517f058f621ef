# What the binding calls itself of core/src/os; the headers there have the contracts.

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "<stdbool.h>":
    ctypedef bint c_bool "bool"


cdef extern from "os/memory.h" nogil:
    size_t os_page_size()
    struct os_residency_t "os_residency":
        uint64_t resident_bytes
        uint64_t huge_bytes

    struct os_pause:
        c_bool (*may_go_on)(void *context) noexcept nogil
        void *context

    int os_map_private(size_t size, bint huge, void **memory)
    void os_unmap(void *memory, size_t size)
    int os_prefault(void *memory, size_t size, const os_pause *pause)
    int os_residency(const void *memory, size_t size, os_residency_t *residency)


cdef extern from "os/file.h" nogil:
    struct os_file_t "os_file":
        uint64_t memory
        uint64_t links


cdef extern from "os/process.h" nogil:
    double os_start_time(uint64_t start)


cdef extern from "os/wait.h" nogil:
    double os_now()
    uint32_t os_seconds()


cdef extern from "os/thread.h" nogil:
    bint os_is_alone()
    uint32_t os_thread_number()
    void os_yield()


cdef extern from "os/limits.h" nogil:
    struct os_limit:
        uint64_t bytes
        char *by

    struct os_limits_t "os_limits":
        os_limit total
        os_limit available

    const uint64_t OS_MEMORY_SURE
    void os_limits(os_limits_t *limits)


cdef extern from "os/fault.h" nogil:
    void os_say(const char *text, size_t length)
