# The C library as Cython sees it; core/src/*.h have the contracts.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from "<stdbool.h>":
    ctypedef bint c_bool "bool"


cdef extern from "os.h" nogil:
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


cdef extern from "os_memory.h" nogil:
    struct os_limit:
        uint64_t bytes
        char *by

    struct os_memory_t "os_memory":
        os_limit total
        os_limit available

    const uint64_t OS_MEMORY_SURE
    void os_memory(os_memory_t *memory)


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
    uint64_t pool_runs(const pool *core)
    bint pool_next_run(const pool *core, uint64_t start, uint64_t *first, uint64_t *n)
    void *pool_address(const pool *core, uint64_t index)
    void pool_wait_enter(pool *core)
    uint32_t pool_wait_sequence(const pool *core)
    void pool_wait_sleep(pool *core, uint32_t sequence, double seconds)
    void pool_wait_leave(pool *core)
    void pool_wait_forget(pool *core)
    uint64_t pool_check(pool *core, pool_fault *faults, uint64_t most, uint64_t *in_transit)


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
    batch_status batch_add_integers(
        batch *gathered, const void *integers, unsigned width, uint64_t n, uint64_t *refused
    )
    uint64_t batch_missing(const batch *gathered, const bitmap *bits)
    uint64_t batch_release(batch *gathered, bitmap *bits)
    uint64_t batch_first(const batch *gathered)
    uint64_t batch_missing_range(const bitmap *bits, uint64_t first, uint64_t n)
    uint64_t batch_release_range(bitmap *bits, uint64_t first, uint64_t n, uint64_t *left)


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
    state_outcome state_release(block_state *state)


cdef extern from "atomic.h" nogil:
    ctypedef struct atomic_word:
        pass

    uint64_t load_relaxed(const atomic_word *word)
    uint64_t load_seq(const atomic_word *word)


cdef extern from "shared.h" nogil:
    enum:
        LEDGER_TICKET_SLOT
        LEDGER_MOST_TICKETS
        LEDGER_MOST_BLOCKS

    struct shared:
        bitmap bitmap
        const atomic_word *ledger

    struct shared_run:
        uint64_t index
        uint64_t blocks
        uint64_t generation

    struct shared_totals:
        uint64_t allocated
        uint64_t runs
        uint64_t slack
        uint64_t tickets
        uint64_t only_tickets
        uint64_t oldest

    enum shared_fault_kind:
        SHARED_FAULT_WORD
        SHARED_FAULT_TAIL
        SHARED_FAULT_OVERLAP
        SHARED_FAULT_HOLDER
        SHARED_FAULT_LOST
        SHARED_FAULT_PAST_END
        SHARED_FAULT_HALF

    struct shared_fault:
        shared_fault_kind kind
        uint64_t index

    struct shared_audit:
        uint64_t faults
        uint64_t healed
        uint64_t in_transit

    uint64_t ledger_tickets(uint64_t word)
    uint64_t ledger_holders(uint64_t word)
    uint64_t ledger_slot_bit(unsigned slot)
    uint64_t shared_slack(const shared *view, uint64_t index)
    bint shared_next_run(const shared *view, uint64_t start, shared_run *run, uint64_t *word)
    void shared_count(const shared *view, shared_totals *totals)


cdef extern from "member.h" nogil:
    enum:
        SEGMENT_ID_BYTES
        SEGMENT_DETACH
        SEGMENT_PERMANENT
        SEGMENT_VERSION
        MEMBER_SURVEYED
    const char *SEGMENT_LIBRARY
    const uint64_t SEGMENT_MOST_BYTES

    struct segment_geometry:
        uint32_t flags
        uint64_t block_size
        uint64_t blocks
        uint64_t bytes
        unsigned char *id

    struct segment_slot:
        uint64_t allocations
        uint64_t failures
        uint64_t peak

    enum member_status:
        MEMBER_OK
        MEMBER_EXHAUSTED
        MEMBER_STALE
        MEMBER_IN_USE
        MEMBER_TICKETS
        MEMBER_CORRUPT
        MEMBER_STRAY
        MEMBER_FULL
        MEMBER_BUSY
        MEMBER_EXISTS
        MEMBER_NOT_FOUND
        MEMBER_FORBIDDEN
        MEMBER_NO_POOL
        MEMBER_OTHER_VERSION
        MEMBER_TRUNCATED
        MEMBER_NO_ROOM
        MEMBER_NO_DESCRIPTOR
        MEMBER_NO_MAPPING
        MEMBER_NO_PROC
        MEMBER_NO_DIRECTORY
        MEMBER_UNREACHABLE
        MEMBER_SYSTEM
        MEMBER_STOPPED
        MEMBER_LOCKED

    struct member_failure:
        int error
        uint64_t process
        uint64_t asked
        uint64_t available
        char *limit
        member_status found
        uint32_t version
        char *made_by

    enum member_on_fork:
        MEMBER_FORK_NOTHING
        MEMBER_FORK_SHARE
        MEMBER_FORK_DETACH

    enum member_fate:
        MEMBER_LEFT
        MEMBER_DETACHED
        MEMBER_NO_SLOT
        MEMBER_SLOTS_BUSY
        MEMBER_REFUSED

    struct member:
        shared shared
        unsigned slot
        member_on_fork on_fork
        int fate_error
        void *memory
        segment_geometry geometry
        segment_slot *place
        char *name

    struct member_request:
        const char *name
        uint64_t block_size
        uint64_t blocks
        bint permanent
        bint detach
        double gate_seconds
        os_pause pause

    struct member_counts:
        uint64_t processes
        uint64_t allocations
        uint64_t failures
        uint64_t peak

    unsigned char *segment_data(void *memory, const segment_geometry *geometry)
    uint32_t os_seconds()
    member_status member_create(member *self, const member_request *request, member_failure *failure)
    member_status member_attach(member *self, const char *name, double gate_seconds, member_failure *failure)
    member_status member_attach_through(member *self, int process, int number, const unsigned char *id,
                                        double gate_seconds, member_failure *failure)
    void member_leave(member *self, double gate_seconds)
    void member_unmap(member *self)
    member_status member_unlink(
        const char *name, const unsigned char *id, double gate_seconds, member_failure *failure
    )
    member_status member_allocate(member *self, uint64_t n, uint64_t slack, shared_run *run)
    member_status member_drop(member *self, const shared_run *run, c_bool *freed)
    member_status member_free(member *self, const shared_run *run, uint64_t *word, uint32_t *extra)
    member_status member_share(member *self, const shared_run *run, uint64_t n)
    member_status member_hold(member *self, shared_run *run)
    bint member_withdraw(member *attached, const shared_run *run)
    member_status member_redeem(member *self, shared_run *run)
    member_status member_recover(member *self, double gate_seconds, double ticket_seconds, unsigned *slots,
                                 uint64_t *tickets, member_failure *failure)
    member_status member_check(member *self, double gate_seconds, shared_fault *faults, uint64_t most,
                               shared_audit *audit, member_failure *failure)
    void member_count(member *self, member_counts *counts)
    int member_process(const member *self, unsigned slot)
    member_status member_identify(const char *name, unsigned char *id)
    member_status member_wait_enter(member *self, uint32_t *wait)
    uint32_t member_wait_sequence(const member *self)
    void member_wait_sleep(member *self, uint32_t sequence, double seconds)
    member_status member_wait_leave(member *self, uint32_t wait)
    bint member_wait_is_over(const member *self, uint32_t wait)
    void member_exit(double gate_seconds)
    unsigned member_sweep()

    struct member_surveyed:
        char *name
        uint64_t bytes
        member_status is_ "is"
        bint used

    struct member_survey_t "member_survey":
        member_surveyed *largest
        uint64_t count
        uint64_t bytes

    void member_survey(member_survey_t *survey)
    bint member_is_stray(const member *self)
    member_fate member_why_stray(const member *self)
