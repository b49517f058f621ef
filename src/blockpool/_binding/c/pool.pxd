# core/src/pool.h: one engine for both kinds of pools; the header has the contracts.

from libc.stdint cimport uint32_t, uint64_t

from blockpool._binding.c.attachment cimport (
    attachment, attachment_request, pool_failure, pool_run, pool_status, slot_set,
)
from blockpool._binding.c.os cimport os_file_t, os_pause
from blockpool._binding.c.sites cimport site_caller, site_finding


cdef extern from "pool.h" nogil:
    struct private_pool:
        pass

    struct pool:
        attachment *attachment
        private_pool *private_pool
        unsigned char *data
        uint64_t block_size
        uint64_t blocks
        size_t metadata_bytes
        void (*let_others_run "yield")() noexcept

    struct pool_request:
        uint64_t block_size
        uint64_t blocks
        void *memory
        bint bare
        bint prefault
        bint huge
        bint debug
        bint serial
        os_pause pause

    pool_status pool_open(pool *self, const pool_request *request, pool_failure *failure)
    pool_status pool_create(pool *self, const attachment_request *request, pool_failure *failure)
    pool_status pool_attach(pool *self, const char *name, double gate_seconds, pool_failure *failure)
    pool_status pool_attach_through(
        pool *self, int process, int number, const unsigned char *id, double gate_seconds, pool_failure *failure
    )
    pool_status pool_look_at(pool *self, const char *name, os_file_t *file, pool_failure *failure)
    pool_status pool_look_through(
        pool *self, int process, int number, const unsigned char *id, os_file_t *file, pool_failure *failure
    )
    pool_status pool_look_beside(pool *self, const pool *attached, pool_failure *failure)
    void pool_set_on_fork(pool *self, bint detach)
    void pool_make_serial(pool *self)
    void pool_begin_close(pool *self)
    void pool_close(pool *self, double gate_seconds)
    void pool_forked()

    bint pool_is_shared(const pool *self)
    bint pool_is_lost(const pool *self)
    void *pool_address(const pool *self, uint64_t index)

    void pool_go_outside(pool *self)
    void pool_come_back(pool *self)
    pool_status pool_allocate(pool *self, uint64_t n, uint64_t slack, pool_run *run)
    pool_status pool_allocate_many(pool *self, uint64_t n, pool_run *runs)
    void pool_count(pool *self, uint64_t blocks, uint64_t nbytes)
    void pool_count_failure(pool *self)
    void pool_count_wait(pool *self, double seconds)
    pool_status pool_release(pool *self, const pool_run *run, uint64_t nbytes)
    pool_status pool_unclaim(pool *self, const pool_run *run)

    struct pool_users:
        slot_set holders
        uint64_t tickets
        bint kept
        bint carried
        uint32_t local_references

    pool_status pool_free_watched(
        pool *self, const pool_run *run, const site_caller *caller, pool_users *users, site_finding *finding
    )
    pool_status pool_free(pool *self, const pool_run *run, uint64_t nbytes, pool_users *users)
    void pool_rest(pool *self, const pool_run *run, uint64_t nbytes)
    bint pool_reclaim(pool *self, bint waiting)
    bint pool_has_ended_tickets(const pool *self)
    pool_status pool_recover(
        pool *self, double gate_seconds, double ticket_seconds, unsigned *processes, uint64_t *tickets,
        pool_failure *failure,
    )

    pool_status pool_add_reference(pool *self, pool_run *run)
    pool_status pool_redeem(pool *self, pool_run *run)
    pool_status pool_share(pool *self, const pool_run *run, uint64_t n)
    pool_status pool_share_for(
        pool *self, const pool_run *run, uint64_t n, uint32_t lifetime, pool_failure *failure
    )
    pool_status pool_get(pool *self, const char *name, pool_run *run)
    bint pool_withdraw(pool *self, const pool_run *run)

    enum:
        NOTE_MOST

    pool_status pool_set_note(
        pool *self, const pool_run *run, const void *text, unsigned length, double seconds, pool_failure *failure
    )
    unsigned pool_note(const pool *self, const pool_run *run, unsigned char *text)

    uint64_t pool_tickets(const pool *self, uint64_t index)
    bint pool_is_held_elsewhere(const pool *self, const pool_run *run)
    uint64_t pool_run_bytes(const pool *self, const pool_run *run)
    int pool_process(const pool *self, unsigned slot)

    void pool_wait_begin(pool *self, uint32_t *wait)
    void pool_wait_end(pool *self, uint32_t wait)
    bint pool_wait_is_over(const pool *self, uint32_t wait)
    uint32_t pool_free_sequence(const pool *self)
    void pool_wait_sleep(pool *self, uint32_t sequence, double seconds)

    struct pool_stats_t "pool_stats":
        uint64_t allocated
        uint64_t peak
        uint64_t longest_free
        uint64_t runs
        uint64_t requested
        uint64_t allocations
        uint64_t failures
        uint64_t waits
        uint64_t waited
        uint64_t tickets
        uint64_t only_tickets
        uint64_t endless
        double next_end
        double oldest_ticket
        uint64_t processes

    void pool_stats(pool *self, pool_stats_t *stats)
    void pool_counts(pool *self, pool_stats_t *stats)
    uint64_t pool_allocated(const pool *self)

    struct pool_look:
        pool_run run
        uint64_t slack
        uint64_t tickets
        bint kept
        bint carried
        uint64_t queue
        double age
        double ends
        slot_set holders

    bint pool_is_live(const pool *self, const pool_run *run)
    bint pool_held_run(const pool *self, uint64_t index, pool_run *run)
    bint pool_next_run(const pool *self, uint64_t start, pool_look *look)

    enum pool_fault_kind:
        POOL_FAULT_CONTINUATION_FREE
        POOL_FAULT_CONTINUATION_LOST
        POOL_FAULT_SUMMARY
        POOL_FAULT_PAST_END
        POOL_FAULT_WORD
        POOL_FAULT_TAIL
        POOL_FAULT_OVERLAP
        POOL_FAULT_HOLDER
        POOL_FAULT_LOST
        POOL_FAULT_HALF
        POOL_FAULT_ROW
        POOL_FAULT_NAME
        POOL_FAULT_CARRIED
        POOL_FAULT_ANNEX
        POOL_FAULT_QUEUE
        POOL_FAULT_CELL
        POOL_FAULT_MESSAGE

    struct pool_fault:
        pool_fault_kind kind
        uint64_t index

    struct pool_audit:
        uint64_t faults
        uint64_t allocated
        uint64_t runs
        uint64_t healed
        uint64_t in_transit

    pool_status pool_check(
        pool *self, double gate_seconds, pool_fault *faults, uint64_t most, pool_audit *audit, pool_failure *failure
    )
    void pool_audit_only(pool *self, pool_fault *faults, uint64_t most, pool_audit *audit)
