# core/src/shared/queues.h: queues, topics and latest values of an attachment; queue.h and message.h have the contracts.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from blockpool._binding.c.attachment cimport attachment, pool_failure, pool_run, pool_status
from blockpool._binding.c.os cimport c_bool


cdef extern from "os/atomic.h" nogil:
    ctypedef struct atomic_word:
        pass

    uint64_t load_relaxed(const atomic_word *word)
    uint64_t fetch_add_seq(atomic_word *word, uint64_t value)


cdef extern from "shared/shared_pool.h" nogil:
    struct shared_pool:
        uint64_t blocks

    struct shared_pool_totals:
        uint64_t allocated

    void shared_pool_count(const shared_pool *self, shared_pool_totals *totals)


cdef extern from "shared/message.h" nogil:
    enum:
        MESSAGE_MOST_RUNS
        MESSAGE_MOST_DIMENSIONS
        MESSAGE_IS_BYTES
        MESSAGE_IS_PICKLE
        MESSAGE_IS_BLOCK
        MESSAGE_IS_ARRAY
    const uint64_t MESSAGE_BLOCK

    struct message_array:
        char *type
        uint32_t dimensions
        uint32_t readonly
        uint64_t offset
        int64_t *shape
        int64_t *strides

    struct message_t "message":
        uint64_t sent
        uint32_t process


cdef extern from "shared/queue.h" nogil:
    enum queue_kind:
        QUEUE_NONE
        QUEUE_IS_QUEUE
        QUEUE_IS_TOPIC
        QUEUE_IS_LATEST

    enum:
        QUEUE_REDELIVERS
        QUEUE_PERMANENT
        QUEUE_CURSORS
    const uint64_t QUEUE_MOST_CAPACITY

    struct queue_header:
        atomic_word lost

    struct queue_t "queue":
        queues_t *queues
        queue_header *header
        pool_run run
        uint64_t ring
        uint64_t capacity
        queue_kind kind
        unsigned flags

    struct queue_message:
        pool_run run
        message_t *message
        unsigned char *bytes
        uint64_t position
        c_bool again
        uint32_t kind
        uint32_t count
        uint64_t length
        uint32_t forks

    struct queue_request:
        queue_kind kind
        uint64_t capacity
        unsigned flags

    struct queues_t "queues":
        shared_pool annex

    uint64_t queue_bytes(const queue_request *request)
    uint64_t queue_oldest(const queue_t *queue)
    uint64_t queue_next(const queue_t *queue)
    bint queue_is_writable(const queue_t *queue)


cdef extern from "shared/queues.h" nogil:
    pool_status attachment_queue_open(
        attachment *self, const char *name, const queue_request *request, bint may_make, double gate_seconds,
        queue_t *queue, c_bool *made, pool_failure *failure,
    )
    pool_status attachment_queue_redeem(attachment *self, pool_run *run, queue_t *queue)
    pool_status attachment_queue_again(attachment *self, const queue_t *queue)
    pool_status attachment_queue_close(attachment *self, queue_t *queue)
    pool_status attachment_queue_share(attachment *self, const queue_t *queue)
    bint attachment_queue_withdraw(attachment *self, const queue_t *queue)
    pool_status attachment_queue_kind(attachment *self, const char *name, queue_kind *kind)

    pool_status attachment_message_begin(
        attachment *self, queue_t *queue, uint32_t kind, unsigned runs, uint64_t bytes, queue_message *message
    )
    pool_status attachment_message_carry(
        attachment *self, queue_t *queue, queue_message *message, const pool_run *run
    )
    pool_status attachment_message_put(attachment *self, queue_t *queue, queue_message *message)
    pool_status attachment_message_take(attachment *self, queue_t *queue, queue_message *message)
    void attachment_message_end(attachment *self, queue_t *queue, const queue_message *message)
    void attachment_message_return(attachment *self, queue_t *queue, const queue_message *message)
    void attachment_queue_drop_oldest(attachment *self, queue_t *queue, const queue_message *message)
    pool_status attachment_message_hold(
        attachment *self, const queue_message *message, unsigned i, pool_run *run
    )

    pool_status attachment_message_copy(
        const attachment *self, queue_t *queue, uint64_t *position, uint64_t *lost, void *copy, uint64_t room,
        queue_message *message,
    )
    pool_status attachment_queue_subscribe(attachment *self, queue_t *queue, unsigned *cursor, uint64_t *position)
    void attachment_queue_advance(attachment *self, queue_t *queue, unsigned cursor, uint64_t position)
    void attachment_queue_unsubscribe(attachment *self, queue_t *queue, unsigned cursor)

    void attachment_queue_shut(attachment *self, queue_t *queue, bint for_all)
    void attachment_queue_count(const attachment *self, const queue_t *queue, uint64_t *waiting, uint64_t *taken)

    enum queue_side:
        QUEUE_READABLE
        QUEUE_WRITABLE

    bint attachment_queue_spin(const attachment *self, queue_t *queue, queue_side side, double seconds)
    bint attachment_message_spin(const attachment *self, queue_t *queue, uint64_t position, double seconds)
    uint32_t attachment_queue_sequence(const attachment *self, queue_t *queue, queue_side side)
    void attachment_queue_sleep(
        const attachment *self, queue_t *queue, queue_side side, uint32_t sequence, double seconds
    )
    int attachment_watch(attachment *self)
    void attachment_queue_watch(attachment *self, queue_t *queue)
