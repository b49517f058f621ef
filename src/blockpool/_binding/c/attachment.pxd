# core/src/shared: what is known of shared pools besides what pool.h does with them; attachment.h has the contracts.

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from blockpool._binding.c.os cimport c_bool, os_pause


cdef extern from "shared/attachment.h" nogil:
    enum:
        LAYOUT_ID_BYTES
        LAYOUT_DETACH
        LAYOUT_PERMANENT
        LAYOUT_VERSION
        LAYOUT_MOST_PROCESSES
        LEDGER_MOST_TICKETS
        LEDGER_MOST_BLOCKS
        POOLS_SURVEYED
        QUEUE_REDELIVERS
        QUEUE_PERMANENT
        MESSAGE_QUEUED
        MESSAGE_TAKEN
        MESSAGE_RETURNED
    const char *LAYOUT_LIBRARY
    const uint64_t LAYOUT_MOST_BYTES

    const uint64_t LAYOUT_SMALL
    const uint64_t LAYOUT_MOST_SMALL

    struct layout_geometry:
        uint16_t flags
        uint16_t processes
        uint64_t small_blocks
        uint64_t bytes
        unsigned char *id

    uint64_t layout_reserved(const layout_geometry *geometry, bint endings)

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
        POOL_OTHER_KIND
        POOL_QUEUE_FULL
        POOL_QUEUE_EMPTY
        POOL_QUEUE_SHUT
        POOL_LOCKED

    struct slot_set:
        pass

    bint slot_set_has(const slot_set *self, unsigned slot)
    unsigned slot_set_next(const slot_set *self, unsigned start)

    struct pool_run:
        uint64_t index
        uint64_t blocks
        uint64_t generation

    struct pool_failure:
        int error
        uint64_t process
        uint32_t processes
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

    enum:
        ENDINGS_MOST

    struct endings:
        pass

    bint endings_are_ready(const endings *self)
    double endings_seconds(const endings *self)
    uint32_t endings_whole(double seconds)

    struct shared_pool:
        endings endings

    struct attachment:
        unsigned slot
        shared_pool shared
        attachment_on_fork on_fork
        int fate_error
        void *memory
        layout_geometry geometry
        uint32_t lifetime
        uint32_t forks
        char *name

    struct attachment_request:
        const char *name
        uint64_t block_size
        uint64_t blocks
        unsigned processes
        uint64_t small_blocks
        bint permanent
        bint detach
        bint debug
        double lifetime
        double gate_seconds
        os_pause pause

    struct attachment_strays:
        unsigned count
        attachment_fate fate
        int error

    attachment_strays attachment_take_strays(attachment *self)

    enum:
        RECOVERED_NAMED
        SWEPT_NAMED

    struct attachment_dead:
        uint64_t process
        char *command

    struct attachment_recovered:
        uint64_t processes
        uint64_t blocks
        uint64_t tickets
        uint64_t their_blocks
        attachment_dead *first

    bint attachment_has_recovered(const attachment *self)
    void attachment_take_recovered(attachment *self, attachment_recovered *recovered)
    attachment_fate attachment_why_stray(const attachment *self)
    void attachment_exit(double gate_seconds)

    enum:
        CATALOG_NAMES
        CATALOG_NAME_BYTES

    pool_status attachment_keep(
        attachment *self, const char *name, const pool_run *run, bint replace, double gate_seconds,
        pool_failure *failure,
    )
    pool_status attachment_forget(attachment *self, const char *name, double gate_seconds, pool_failure *failure)
    unsigned attachment_next_name(
        const attachment *self, unsigned start, char *name, pool_run *run, unsigned *kind,
    )

    struct pools_surveyed:
        char *name
        uint64_t bytes
        pool_status is_ "is"
        bint used

    struct pools_survey_t "pools_survey":
        pools_surveyed *largest
        uint64_t count
        uint64_t bytes

    pool_status pools_identify(const char *name, unsigned char *id)
    pool_status pools_unlink(const char *name, const unsigned char *id, double gate_seconds, pool_failure *failure)
    unsigned pools_sweep()

    struct pools_swept:
        uint64_t count
        uint64_t bytes
        char **names  # in C, an array of arrays

    bint pools_take_swept(pools_swept *taken)
    void pools_survey(pools_survey_t *survey)


cdef extern from "shared/look.h" nogil:
    const unsigned LAYOUT_MADE_BY_BYTES

    struct look_process:
        uint64_t process
        uint64_t start
        uint64_t allocations
        uint64_t failures
        uint64_t waits
        uint64_t waited
        char *command

    pool_status look_is_whole(const attachment *self)
    bint look_has_name(const attachment *self)
    void look_made_by(const attachment *self, char *made_by)
    void look_slots(attachment *self, slot_set *used, slot_set *dead, c_bool *known)
    void look_slot(const attachment *self, unsigned slot, look_process *found)
    uint64_t look_gate(attachment *self)
    uint64_t look_created(const attachment *self)

    struct look_queue:
        pool_run run
        unsigned kind
        unsigned flags
        uint64_t capacity
        uint64_t waiting
        uint64_t taken
        uint64_t put
        uint64_t lost
        unsigned cursors
        bint shut
        slot_set holders

    struct queue_look:
        uint64_t block
        unsigned state
        unsigned slot
        bint again
        uint32_t process
        uint64_t sent
        uint64_t length
        uint32_t carried

    bint look_next_queue(attachment *self, uint64_t start, look_queue *found)
    bint look_next_message(attachment *self, const pool_run *queue, uint64_t start, queue_look *found)
