# The C library: replay/replay.h.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from blockpool._binding.c.pool cimport private_pool


cdef extern from "replay/replay.h" nogil:
    enum:
        REPLAY_POOLS
        REPLAY_EVENTS
        REPLAY_THREADS

    struct replay_trace:
        const uint8_t *kind
        const int64_t *size
        const int32_t *id
        const int32_t *thread
        const int64_t *time
        uint64_t events
        uint32_t ids
        uint32_t threads

    struct replay_pool:
        private_pool *pool
        int64_t above
        int64_t up_to
        uint64_t peak
        uint64_t longest
        int64_t asked_at_peak

    struct replay_heap:
        void *(*allocate)(size_t size) noexcept nogil
        void (*free)(void *memory) noexcept nogil

    enum replay_status:
        REPLAY_GOES_ON
        REPLAY_DONE
        REPLAY_BAD_KIND
        REPLAY_BAD_SIZE
        REPLAY_BAD_ID
        REPLAY_BAD_THREAD
        REPLAY_BAD_TIME
        REPLAY_ALLOCATED
        REPLAY_NOT_ALLOCATED
        REPLAY_FREED

    ctypedef struct replay_t "struct replay":
        replay_trace trace
        replay_pool *pools
        unsigned pool_count
        replay_heap heap
        bint touch
        int64_t wait
        uint64_t at
        uint64_t bad
        uint64_t allocations
        uint64_t failures
        uint64_t waits
        uint64_t waited
        int64_t peak
        uint64_t nanoseconds

    uint32_t replay_count_ids(const uint8_t *kind, uint64_t events)
    size_t replay_bytes(const replay_trace *trace, bint waits)
    void replay_begin(replay_t *replay, void *memory)
    replay_status replay_go_on(replay_t *replay, uint64_t events)
    void replay_end(replay_t *replay)
