# The C library as Cython sees it; core/src/*.h have the contracts.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from "<stdbool.h>":
    ctypedef bint c_bool "bool"


cdef extern from "os/os.h" nogil:
    struct os_residency_t "os_residency":
        uint64_t resident_bytes
        uint64_t huge_bytes

    size_t os_page_size()
    int os_map_private(size_t size, bint huge, void **memory)
    void os_unmap(void *memory, size_t size)
    struct os_pause:
        c_bool (*may_go_on)(void *context) noexcept nogil
        void *context

    int os_prefault(void *memory, size_t size, const os_pause *pause)
    int os_residency(const void *memory, size_t size, os_residency_t *residency)
    double os_now()
    void os_yield()


cdef extern from "os/limits.h" nogil:
    struct os_limit:
        uint64_t bytes
        char *by

    struct os_memory_t "os_memory":
        os_limit total
        os_limit available

    const uint64_t OS_MEMORY_SURE
    void os_memory(os_memory_t *memory)


cdef extern from "private/private_pool.h" nogil:
    const uint64_t BITMAP_NONE
    const uint64_t BITMAP_MOST

    struct bitmap:
        void *words
        uint64_t bits

    size_t bitmap_bytes(uint64_t bits)
    void bitmap_init(bitmap *view, void *memory, uint64_t bits, bint fresh)
    uint64_t bitmap_claim(bitmap *bits)
    uint64_t bitmap_claim_run(bitmap *bits, uint64_t n)
    bint bitmap_claim_many(bitmap *bits, uint64_t n, uint64_t *out)
    bint bitmap_claim_packed(bitmap *bits, uint64_t n, uint64_t *out)
    bint bitmap_release(bitmap *bits, uint64_t bit)
    bint bitmap_test(const bitmap *bits, uint64_t bit)
    uint64_t bitmap_summary_fault(const bitmap *bits)
    uint64_t bitmap_count(const bitmap *bits)
    uint64_t bitmap_longest_free(const bitmap *bits)

    struct private_pool:
        bitmap bitmap
        unsigned char *data
        uint64_t block_size
        uint64_t blocks

    enum private_pool_fault_kind:
        PRIVATE_POOL_FAULT_CONTINUATION_FREE
        PRIVATE_POOL_FAULT_CONTINUATION_LOST
        PRIVATE_POOL_FAULT_PAST_END
        PRIVATE_POOL_FAULT_SUMMARY

    struct private_pool_fault:
        private_pool_fault_kind kind
        uint64_t index

    size_t private_pool_metadata_bytes(uint64_t blocks)
    void private_pool_init(private_pool *core, void *metadata, void *data, uint64_t block_size, uint64_t blocks)
    uint64_t private_pool_allocate(private_pool *core)
    uint64_t private_pool_allocate_run(private_pool *core, uint64_t n)
    bint private_pool_allocate_many(private_pool *core, uint64_t n, uint64_t *out)
    uint64_t private_pool_release(private_pool *core, uint64_t first, uint64_t n)
    uint64_t private_pool_runs(const private_pool *core)
    bint private_pool_next_run(const private_pool *core, uint64_t start, uint64_t *first, uint64_t *n)
    void *private_pool_address(const private_pool *core, uint64_t index)
    void private_pool_wait_enter(private_pool *core)
    uint32_t private_pool_wait_sequence(const private_pool *core)
    void private_pool_wait_sleep(private_pool *core, uint32_t sequence, double seconds)
    void private_pool_wait_leave(private_pool *core)
    void private_pool_wait_reset(private_pool *core)
    uint64_t private_pool_check(private_pool *core, private_pool_fault *faults, uint64_t most, uint64_t *in_transit)


cdef extern from "bitmap/batch.h" nogil:
    enum batch_status:
        BATCH_OK
        BATCH_OUTSIDE
        BATCH_DUPLICATE

    struct batch:
        pass

    size_t batch_bytes(uint64_t most)
    void batch_init(batch *view, void *memory, uint64_t most, uint64_t bits)
    batch_status batch_add(batch *gathered, uint64_t bit)
    batch_status batch_add_integers(
        batch *gathered, const void *integers, unsigned width, uint64_t n, uint64_t *refused
    )
    uint64_t batch_missing(const batch *gathered, const bitmap *bits)
    uint64_t batch_release(batch *gathered, bitmap *bits)
    uint64_t batch_first(const batch *gathered)
    uint64_t batch_missing_range(const bitmap *bits, uint64_t first, uint64_t n)
    uint64_t batch_release_range(bitmap *bits, uint64_t first, uint64_t n, uint64_t *left)


cdef extern from "private/block_state.h" nogil:
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
    state_outcome state_release(block_state *state)


cdef extern from "os/atomic.h" nogil:
    ctypedef struct atomic_word:
        pass

    uint64_t load_relaxed(const atomic_word *word)
    uint64_t load_seq(const atomic_word *word)


cdef extern from "shared/shared_pool.h" nogil:
    enum:
        LEDGER_TICKET_SLOT
        LEDGER_MOST_TICKETS
        LEDGER_MOST_BLOCKS

    struct shared_pool:
        bitmap bitmap
        const atomic_word *ledger

    struct pool_run:
        uint64_t index
        uint64_t blocks
        uint64_t generation

    struct shared_pool_totals:
        uint64_t allocated
        uint64_t runs
        uint64_t slack
        uint64_t tickets
        uint64_t only_tickets
        uint64_t oldest

    enum shared_pool_fault_kind:
        SHARED_POOL_FAULT_WORD
        SHARED_POOL_FAULT_TAIL
        SHARED_POOL_FAULT_OVERLAP
        SHARED_POOL_FAULT_HOLDER
        SHARED_POOL_FAULT_LOST
        SHARED_POOL_FAULT_PAST_END
        SHARED_POOL_FAULT_HALF

    struct shared_pool_fault:
        shared_pool_fault_kind kind
        uint64_t index

    struct shared_pool_audit:
        uint64_t faults
        uint64_t healed
        uint64_t in_transit

    uint64_t ledger_tickets(uint64_t word)
    uint64_t ledger_holders(uint64_t word)
    uint64_t ledger_slot_bit(unsigned slot)
    uint64_t shared_pool_slack(const shared_pool *view, uint64_t index)
    bint shared_pool_next_run(const shared_pool *view, uint64_t start, pool_run *run, uint64_t *word)
    void shared_pool_count(const shared_pool *view, shared_pool_totals *totals)


cdef extern from "shared/attachment.h" nogil:
    enum:
        LAYOUT_ID_BYTES
        LAYOUT_DETACH
        LAYOUT_PERMANENT
        LAYOUT_VERSION
        POOLS_SURVEYED
    const char *LAYOUT_LIBRARY
    const uint64_t LAYOUT_MOST_BYTES

    struct layout_geometry:
        uint32_t flags
        uint64_t block_size
        uint64_t blocks
        uint64_t bytes
        unsigned char *id

    struct slot_record:
        uint64_t allocations
        uint64_t failures
        uint64_t peak

    enum pool_status:
        POOL_OK
        POOL_EXHAUSTED
        POOL_STALE
        POOL_IN_USE
        POOL_TICKETS
        POOL_CORRUPT
        POOL_STRAY
        POOL_FULL
        POOL_BUSY
        POOL_EXISTS
        POOL_NOT_FOUND
        POOL_FORBIDDEN
        POOL_NO_POOL
        POOL_OTHER_VERSION
        POOL_TRUNCATED
        POOL_NO_ROOM
        POOL_NO_DESCRIPTOR
        POOL_NO_MAPPING
        POOL_NO_PROC
        POOL_NO_DIRECTORY
        POOL_UNREACHABLE
        POOL_SYSTEM
        POOL_STOPPED
        POOL_LOCKED

    struct pool_failure:
        int error
        uint64_t process
        uint64_t asked
        uint64_t available
        char *limit
        pool_status found
        uint32_t version
        char *made_by

    enum attachment_on_fork:
        ON_FORK_NOTHING
        ON_FORK_SHARE
        ON_FORK_DETACH

    enum attachment_fate:
        FATE_LEFT
        FATE_DETACHED
        FATE_NO_SLOT
        FATE_SLOTS_BUSY
        FATE_REFUSED

    struct attachment:
        shared_pool shared
        unsigned slot
        attachment_on_fork on_fork
        int fate_error
        void *memory
        layout_geometry geometry
        slot_record *slot_record
        char *name

    struct attachment_request:
        const char *name
        uint64_t block_size
        uint64_t blocks
        bint permanent
        bint detach
        double gate_seconds
        os_pause pause

    struct attachment_counts:
        uint64_t processes
        uint64_t allocations
        uint64_t failures
        uint64_t peak

    unsigned char *layout_data(void *memory, const layout_geometry *geometry)
    uint32_t os_seconds()
    pool_status attachment_create(attachment *self, const attachment_request *request, pool_failure *failure)
    pool_status attachment_attach(attachment *self, const char *name, double gate_seconds, pool_failure *failure)
    pool_status attachment_attach_through(attachment *self, int process, int number, const unsigned char *id,
                                        double gate_seconds, pool_failure *failure)
    void attachment_leave(attachment *self, double gate_seconds)
    void attachment_unmap(attachment *self)
    pool_status pools_unlink(
        const char *name, const unsigned char *id, double gate_seconds, pool_failure *failure
    )
    pool_status attachment_allocate(attachment *self, uint64_t n, uint64_t slack, pool_run *run)
    pool_status attachment_drop(attachment *self, const pool_run *run, c_bool *freed)
    pool_status attachment_free(attachment *self, const pool_run *run, uint64_t *word, uint32_t *extra)
    pool_status attachment_share(attachment *self, const pool_run *run, uint64_t n)
    pool_status attachment_add_reference(attachment *self, pool_run *run)
    bint attachment_withdraw(attachment *attached, const pool_run *run)
    pool_status attachment_redeem(attachment *self, pool_run *run)
    pool_status attachment_recover(attachment *self, double gate_seconds, double ticket_seconds, unsigned *slots,
                                 uint64_t *tickets, pool_failure *failure)
    pool_status attachment_check(attachment *self, double gate_seconds, shared_pool_fault *faults, uint64_t most,
                               shared_pool_audit *audit, pool_failure *failure)
    void attachment_count(attachment *self, attachment_counts *counts)
    int attachment_process(const attachment *self, unsigned slot)
    pool_status pools_identify(const char *name, unsigned char *id)
    pool_status attachment_wait_enter(attachment *self, uint32_t *wait)
    uint32_t attachment_wait_sequence(const attachment *self)
    void attachment_wait_sleep(attachment *self, uint32_t sequence, double seconds)
    pool_status attachment_wait_leave(attachment *self, uint32_t wait)
    bint attachment_wait_is_over(const attachment *self, uint32_t wait)
    void attachment_exit(double gate_seconds)
    unsigned pools_sweep()

    struct pools_surveyed:
        char *name
        uint64_t bytes
        pool_status is_ "is"
        bint used

    struct pools_survey_t "pools_survey":
        pools_surveyed *largest
        uint64_t count
        uint64_t bytes

    void pools_survey(pools_survey_t *survey)
    bint attachment_is_stray(const attachment *self)
    attachment_fate attachment_why_stray(const attachment *self)
