# The C library as Cython sees it; core/src/*.h have the contracts.

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "os.h" nogil:
    struct os_residency_t "os_residency":
        uint64_t resident_bytes
        uint64_t huge_bytes

    struct os_memory_t "os_memory":
        uint64_t total
        uint64_t available

    size_t os_page_size()
    int os_map_private(size_t size, bint huge, void **memory)
    void os_unmap(void *memory, size_t size)
    int os_prefault(void *memory, size_t size)
    int os_residency(const void *memory, size_t size, os_residency_t *residency)
    void os_memory(os_memory_t *memory)
    double os_now()


cdef extern from "pool.h" nogil:
    const uint64_t BITMAP_NONE
    const uint64_t BITMAP_MOST

    struct bitmap:
        void *words
        uint64_t bits

    size_t bitmap_bytes(uint64_t bits)
    void bitmap_view(bitmap *view, void *memory, uint64_t bits, bint fresh)
    uint64_t bitmap_claim(bitmap *bits)
    uint64_t bitmap_claim_run(bitmap *bits, uint64_t n)
    bint bitmap_claim_many(bitmap *bits, uint64_t n, uint64_t *out)
    bint bitmap_claim_packed(bitmap *bits, uint64_t n, uint64_t *out)
    bint bitmap_release(bitmap *bits, uint64_t bit)
    bint bitmap_test(const bitmap *bits, uint64_t bit)
    uint64_t bitmap_summary_fault(const bitmap *bits)
    uint64_t bitmap_count(const bitmap *bits)
    uint64_t bitmap_longest_free(const bitmap *bits)

    struct pool "pool":
        bitmap bitmap
        unsigned char *data
        uint64_t block_size
        uint64_t blocks

    enum pool_fault_kind:
        POOL_FAULT_CONTINUATION_FREE
        POOL_FAULT_CONTINUATION_LOST
        POOL_FAULT_PAST_END
        POOL_FAULT_SUMMARY

    struct pool_fault:
        pool_fault_kind kind
        uint64_t index

    size_t pool_metadata_bytes(uint64_t blocks)
    void pool_view(pool *core, void *metadata, void *data, uint64_t block_size, uint64_t blocks)
    uint64_t pool_allocate(pool *core)
    uint64_t pool_allocate_run(pool *core, uint64_t n)
    bint pool_allocate_many(pool *core, uint64_t n, uint64_t *out)
    uint64_t pool_release(pool *core, uint64_t first, uint64_t n)
    bint pool_next_run(const pool *core, uint64_t start, uint64_t *first, uint64_t *n)
    void *pool_address(const pool *core, uint64_t index)
    void pool_wait_enter(pool *core)
    uint32_t pool_wait_sequence(const pool *core)
    void pool_wait_sleep(pool *core, uint32_t sequence, double seconds)
    void pool_wait_leave(pool *core)
    void pool_wait_forget(pool *core)
    uint64_t pool_check(pool *core, pool_fault *faults, uint64_t most)


cdef extern from "batch.h" nogil:
    enum batch_status:
        BATCH_OK
        BATCH_OUTSIDE
        BATCH_DUPLICATE

    struct batch:
        pass

    size_t batch_bytes(uint64_t most)
    void batch_view(batch *view, void *memory, uint64_t most, uint64_t bits)
    batch_status batch_add(batch *gathered, uint64_t bit)
    uint64_t batch_missing(const batch *gathered, const bitmap *bits)
    uint64_t batch_release(batch *gathered, bitmap *bits)
    uint64_t batch_first(const batch *gathered)


cdef extern from "_state.h" nogil:
    ctypedef struct block_state:
        pass

    enum state_outcome:
        STATE_OK
        STATE_BUSY
        STATE_FREED
        STATE_RELEASED

    void state_open(block_state *state)
    bint state_is_open(const block_state *state)
    state_outcome state_enter(block_state *state)
    bint state_leave(block_state *state)
    state_outcome state_begin_free(block_state *state)
    void state_end_free(block_state *state, bint freed)
    bint state_release(block_state *state)
