/* public_queue.c: queues for programs in C: open, put, get, done; see blockpool_shared.h.
 *
 * A struct blockpool_received that a program has is a message that its process has taken. The words in shared memory
 * say whether it still is (queue.h), so a copy of one that is done does no harm.
 */
#include "public/public_parts.h"

#include <stdlib.h>
#include <string.h>

#include "os/wait.h"
#include "shared/queues.h"

#define CAPACITY 64u    /* by default */
#define LOOK_EACH 1024u /* messages: who gets so many without a wait looks for the dead, who may have left older ones */

struct blockpool_queue {
    struct blockpool_pool *pool;
    struct queue queue;
    atomic_word taken; /* forks << 32 | messages that this process, as old as so many forks, has taken and not done */
    atomic_word spin;  /* nanoseconds */
    atomic_word overflow; /* enum blockpool_overflow */
};

_Static_assert(sizeof(struct queue_message) <= sizeof((struct blockpool_received *)0)->internal, "it is kept there");
_Static_assert(sizeof(struct blockpool_array) == sizeof(struct message_array) &&
                   offsetof(struct blockpool_array, offset) == offsetof(struct message_array, offset) &&
                   offsetof(struct blockpool_array, shape) == offsetof(struct message_array, shape) &&
                   offsetof(struct blockpool_array, strides) == offsetof(struct message_array, strides),
               "they are copied as they are");
_Static_assert((int)BLOCKPOOL_BYTES == MESSAGE_IS_BYTES && (int)BLOCKPOOL_PICKLE == MESSAGE_IS_PICKLE &&
                   (int)BLOCKPOOL_BLOCK == MESSAGE_IS_BLOCK && (int)BLOCKPOOL_ARRAY == MESSAGE_IS_ARRAY,
               "the same numbers");

static struct attachment *attachment_of(const struct blockpool_queue *queue) { return queue->pool->engine.attachment; }

/* How many messages this process has taken and is not done with. A forked child has none of its parent's. */
static uint32_t taken_by(const struct blockpool_queue *queue, uint64_t word) {
    return word >> 32 == attachment_of(queue)->forks ? (uint32_t)word : 0;
}

static void count_taken(struct blockpool_queue *queue, uint32_t change) {
    uint64_t word = load_seq(&queue->taken), forks = attachment_of(queue)->forks;
    while (!compare_exchange_seq(&queue->taken, &word, forks << 32 | (uint32_t)(taken_by(queue, word) + change))) {
    }
}

/* --- opening and closing --- */

static int check_options(const char *name, const struct blockpool_queue_options *options) {
    uint64_t reserved = 0;
    for (size_t i = 0; i < sizeof options->reserved / sizeof *options->reserved; i++) {
        reserved |= options->reserved[i];
    }
    bool good = options->capacity <= QUEUE_MOST_CAPACITY && reserved == 0 && (name || !options->permanent);
    return good ? BLOCKPOOL_OK : BLOCKPOOL_BAD_OPTIONS;
}

static int status_of_open(enum pool_status status, const struct pool_failure *failure) {
    return status == POOL_FULL        ? BLOCKPOOL_TOO_MANY_NAMES
           : status == POOL_EXHAUSTED ? BLOCKPOOL_NO_QUEUE_ROOM
                                      : public_status(status, failure);
}

static int open_queue(struct blockpool_pool *pool, const char *name, const struct queue_request *request, bool may_make,
                      struct blockpool_queue **queue) {
    struct pool_failure failure;
    enum pool_status status;
    bool made;
    if (name && !public_is_name(name)) {
        return BLOCKPOOL_BAD_NAME;
    }
    struct blockpool_queue *opened = calloc(1, sizeof *opened);
    if (!opened) {
        return BLOCKPOOL_NO_MEMORY;
    }
    opened->pool = pool;
    PUBLIC_PATIENTLY(pool, status,
                     attachment_queue_open(attachment_of(opened), name, request, may_make, PUBLIC_GATE_SECONDS,
                                           &opened->queue, &made, &failure));
    if (status != POOL_OK) {
        free(opened);
        return status_of_open(status, &failure);
    }
    half_fetch_add_seq(&pool->queues, 1);
    *queue = opened;
    return BLOCKPOOL_OK;
}

int blockpool_queue_make(struct blockpool_pool *pool, const char *name, const struct blockpool_queue_options *options,
                         struct blockpool_queue **queue) {
    static const struct blockpool_queue_options defaults = {0};
    if (queue) {
        *queue = NULL;
    }
    if (!pool || !queue) {
        return BLOCKPOOL_NULL;
    }
    options = options ? options : &defaults;
    int status = check_options(name, options);
    if (status != BLOCKPOOL_OK) {
        return status;
    }
    struct queue_request request = {.kind = QUEUE_IS_QUEUE,
                                    .capacity = options->capacity ? options->capacity : CAPACITY,
                                    .flags = (options->redeliver ? QUEUE_REDELIVERS : 0) |
                                             (options->permanent ? QUEUE_PERMANENT : 0)};
    return open_queue(pool, name, &request, true, queue);
}

int blockpool_queue_open(struct blockpool_pool *pool, const char *name, struct blockpool_queue **queue) {
    if (queue) {
        *queue = NULL;
    }
    if (!pool || !name || !queue) {
        return BLOCKPOOL_NULL;
    }
    static const struct queue_request request = {.kind = QUEUE_IS_QUEUE, .capacity = 1};
    return open_queue(pool, name, &request, false, queue);
}

int blockpool_queue_close(struct blockpool_queue *queue) {
    enum pool_status status;
    if (!queue) {
        return BLOCKPOOL_NULL;
    }
    if (taken_by(queue, load_seq(&queue->taken)) != 0) {
        return BLOCKPOOL_UNFINISHED;
    }
    PUBLIC_PATIENTLY(queue->pool, status, attachment_queue_close(attachment_of(queue), &queue->queue));
    half_fetch_add_seq(&queue->pool->queues, UINT32_MAX);
    free(queue);
    return status == POOL_STRAY ? BLOCKPOOL_OK : public_status(status, NULL); /* which has nothing to close */
}

int blockpool_queue_shutdown(struct blockpool_queue *queue, int immediate) {
    if (!queue) {
        return BLOCKPOOL_NULL;
    }
    if (attachment_is_stray(attachment_of(queue))) {
        return BLOCKPOOL_NO_PART;
    }
    attachment_queue_shut(attachment_of(queue), &queue->queue, immediate != 0);
    return BLOCKPOOL_OK;
}

int blockpool_queue_spin(struct blockpool_queue *queue, double seconds) {
    if (!queue) {
        return BLOCKPOOL_NULL;
    }
    if (!(seconds >= 0 && seconds < 1)) {
        return BLOCKPOOL_BAD_TIMEOUT;
    }
    store_relaxed(&queue->spin, (uint64_t)(seconds * 1e9));
    return BLOCKPOOL_OK;
}

int blockpool_queue_overflow(struct blockpool_queue *queue, enum blockpool_overflow overflow) {
    if (!queue) {
        return BLOCKPOOL_NULL;
    }
    if (overflow != BLOCKPOOL_WAIT && overflow != BLOCKPOOL_DROP_OLDEST) {
        return BLOCKPOOL_BAD_OPTIONS;
    }
    store_relaxed(&queue->overflow, (uint64_t)overflow);
    return BLOCKPOOL_OK;
}

int blockpool_queue_stats(struct blockpool_queue *queue, struct blockpool_queue_info *info) {
    if (info) {
        *info = (struct blockpool_queue_info){0};
    }
    if (!queue || !info) {
        return BLOCKPOOL_NULL;
    }
    if (attachment_is_stray(attachment_of(queue))) {
        return BLOCKPOOL_NO_PART;
    }
    info->capacity = queue->queue.capacity;
    info->redeliver = (queue->queue.flags & QUEUE_REDELIVERS) != 0;
    info->permanent = (queue->queue.flags & QUEUE_PERMANENT) != 0;
    info->lost = load_relaxed(&queue->queue.header->lost);
    attachment_queue_count(attachment_of(queue), &queue->queue, &info->waiting, &info->unfinished);
    return BLOCKPOOL_OK;
}

/* --- waiting --- */

/* A call's wait for a message, or for room. */
struct wait {
    struct blockpool_queue *queue;
    enum queue_side side;
    double deadline;
    uint32_t sequence; /* before the next try */
    bool spun;
};

/* After a try that failed: waits until the queue may have changed, or for a moment. False at the deadline. */
static bool wait_on(struct wait *wait) {
    struct blockpool_queue *queue = wait->queue;
    struct attachment *attachment = attachment_of(queue);
    double seconds = public_slice(wait->deadline), spin = (double)load_relaxed(&queue->spin) * 1e-9;
    if (seconds == 0) {
        return pool_reclaim(&queue->pool->engine, true);
    }
    if (!wait->spun) { /* the first try was without a sequence, so that who does not sleep costs others nothing */
        wait->spun = true;
        if (spin == 0 ||
            !attachment_queue_spin(attachment, &queue->queue, wait->side, spin < seconds ? spin : seconds)) {
            wait->sequence = attachment_queue_sequence(attachment, &queue->queue, wait->side);
        } else {
            wait->spun = false;
        }
        return true;
    }
    attachment_queue_sleep(attachment, &queue->queue, wait->side, wait->sequence, seconds);
    uint32_t sequence = attachment_queue_sequence(attachment, &queue->queue, wait->side);
    if (sequence == wait->sequence) {
        (void)pool_reclaim(&queue->pool->engine, true);
    }
    wait->sequence = sequence;
    return true;
}

/* --- putting --- */

/* What a message is to be. */
struct letter {
    uint32_t kind;
    const struct pool_run *run; /* or NULL */
    const void *bytes;
    size_t length;
};

/* Makes the message and puts it into the queue, once. What could not be put is ended. */
static enum pool_status try_to_put(struct blockpool_queue *queue, const struct letter *letter) {
    struct attachment *attachment = attachment_of(queue);
    struct queue_message message;
    enum pool_status status;
    PUBLIC_PATIENTLY(queue->pool, status,
                     attachment_message_begin(attachment, &queue->queue, letter->kind, letter->run != NULL,
                                              letter->length, &message));
    if (status != POOL_OK) {
        return status;
    }
    if (letter->length) {
        memcpy(message.bytes, letter->bytes, letter->length);
    }
    if (letter->run) {
        PUBLIC_PATIENTLY(queue->pool, status,
                         attachment_message_carry(attachment, &queue->queue, &message, letter->run));
    }
    if (status == POOL_OK) {
        PUBLIC_PATIENTLY(queue->pool, status, attachment_message_put(attachment, &queue->queue, &message));
    }
    while (status == POOL_QUEUE_FULL && load_relaxed(&queue->overflow) == BLOCKPOOL_DROP_OLDEST) {
        attachment_queue_drop_oldest(attachment, &queue->queue, &message);
        PUBLIC_PATIENTLY(queue->pool, status, attachment_message_put(attachment, &queue->queue, &message));
    }
    if (status != POOL_OK) {
        attachment_message_end(attachment, &queue->queue, &message);
    }
    return status;
}

/* Whether there would be room for it if no other queue or message were there. */
static bool fits(const struct blockpool_queue *queue, const struct letter *letter) {
    uint64_t room = (queue->queue.queues->annex.blocks - queue->queue.run.blocks) * LAYOUT_SMALL;
    uint64_t header = sizeof(struct message) + (letter->run != NULL) * sizeof(struct message_run);
    return header <= room && letter->length <= room - header;
}

static int put(struct blockpool_queue *queue, const struct letter *letter, double timeout) {
    struct attachment *attachment = attachment_of(queue);
    struct wait wait = {.queue = queue, .side = QUEUE_WRITABLE};
    enum pool_status status;
    if (!public_deadline(timeout, &wait.deadline)) {
        return BLOCKPOOL_BAD_TIMEOUT;
    }
    if (attachment_is_stray(attachment)) {
        return BLOCKPOOL_NO_PART;
    }
    if (!fits(queue, letter)) {
        return BLOCKPOOL_NO_QUEUE_ROOM;
    }
    do {
        status = try_to_put(queue, letter);
    } while ((status == POOL_QUEUE_FULL || status == POOL_EXHAUSTED) && wait_on(&wait));
    return status == POOL_EXHAUSTED ? BLOCKPOOL_QUEUE_FULL : public_status(status, NULL);
}

int blockpool_queue_put_bytes(struct blockpool_queue *queue, const void *bytes, size_t length, double timeout) {
    if (!queue || (!bytes && length)) {
        return BLOCKPOOL_NULL;
    }
    struct letter letter = {MESSAGE_IS_BYTES, NULL, bytes, length};
    return put(queue, &letter, timeout);
}

/* BLOCKPOOL_OK if the block, which this process holds, may go into the queue. */
static int run_for(struct blockpool_queue *queue, const struct blockpool_block *block, struct pool_run *run) {
    if (!queue || !block) {
        return BLOCKPOOL_NULL;
    }
    int status = public_run(block, run);
    return status == BLOCKPOOL_OK && block->pool != queue->pool ? BLOCKPOOL_OTHER_POOL : status;
}

int blockpool_queue_put_block(struct blockpool_queue *queue, const struct blockpool_block *block, double timeout) {
    struct pool_run run;
    int status = run_for(queue, block, &run);
    if (status != BLOCKPOOL_OK) {
        return status;
    }
    struct letter letter = {MESSAGE_IS_BLOCK, &run, NULL, 0};
    return put(queue, &letter, timeout);
}

int blockpool_queue_put_array(struct blockpool_queue *queue, const struct blockpool_block *block,
                              const struct blockpool_array *array, double timeout) {
    struct pool_run run;
    if (!array) {
        return BLOCKPOOL_NULL;
    }
    int status = run_for(queue, block, &run);
    if (status != BLOCKPOOL_OK) {
        return status;
    }
    struct blockpool_array checked = *array;
    if (!public_array_fits(&checked, block->bytes)) {
        return BLOCKPOOL_BAD_ARRAY;
    }
    struct letter letter = {MESSAGE_IS_ARRAY, &run, &checked, sizeof checked};
    return put(queue, &letter, timeout);
}

/* --- getting --- */

/* Fills in what a message of one block has: all of it, or the array in it. */
static bool describe_block(const struct blockpool_queue *queue, const struct queue_message *message,
                           struct blockpool_received *received) {
    struct pool_run run;
    const struct pool *engine = &queue->pool->engine;
    const uint64_t head = sizeof received->array;
    if (message->kind == MESSAGE_IS_ARRAY && message->count == 0 && message->length >= head) {
        memcpy(&received->array, message->bytes, head);
        received->data = message->bytes + head + received->array.offset;
        received->bytes = blockpool_array_bytes(&received->array);
        return public_array_fits(&received->array, message->length - head);
    }
    if (message->count != 1 || !queue_carried(queue->queue.queues, message, 0, &run)) {
        return false;
    }
    run.blocks = shared_pool_length(queue->queue.queues->pool, run.index);
    if (run.blocks == 0) {
        return false;
    }
    uint64_t room = run.blocks * engine->block_size;
    if (message->kind == MESSAGE_IS_BLOCK) {
        received->data = pool_address(engine, run.index);
        received->bytes = pool_run_bytes(engine, &run);
        return true;
    }
    if (message->length != sizeof received->array) {
        return false;
    }
    memcpy(&received->array, message->bytes, sizeof received->array);
    received->data = (char *)pool_address(engine, run.index) + received->array.offset;
    received->bytes = blockpool_array_bytes(&received->array);
    return public_array_fits(&received->array, room);
}

/* Fills in all of it; false if the message is garbled. */
static bool describe(struct blockpool_queue *queue, const struct queue_message *message,
                     struct blockpool_received *received) {
    *received = (struct blockpool_received){.queue = queue,
                                            .kind = (enum blockpool_kind)message->kind,
                                            .again = message->again,
                                            .data = message->bytes,
                                            .bytes = message->length,
                                            .blocks = message->count,
                                            .process = message->message->process,
                                            .sent = message->message->sent,
                                            .position = message->position};
    memcpy(received->internal, message, sizeof *message);
    switch (message->kind) {
    case MESSAGE_IS_BYTES:
        return message->count == 0;
    case MESSAGE_IS_PICKLE:
        return true;
    case MESSAGE_IS_BLOCK:
    case MESSAGE_IS_ARRAY:
        return describe_block(queue, message, received);
    default:
        return false;
    }
}

int blockpool_queue_get(struct blockpool_queue *queue, double timeout, struct blockpool_received *received) {
    struct wait wait = {.queue = queue, .side = QUEUE_READABLE};
    struct queue_message message;
    enum pool_status status;
    if (received) {
        *received = (struct blockpool_received){0};
    }
    if (!queue || !received) {
        return BLOCKPOOL_NULL;
    }
    if (!public_deadline(timeout, &wait.deadline)) {
        return BLOCKPOOL_BAD_TIMEOUT;
    }
    struct attachment *attachment = attachment_of(queue);
    if (attachment_is_stray(attachment)) {
        return BLOCKPOOL_NO_PART;
    }
    do {
        PUBLIC_PATIENTLY(queue->pool, status, attachment_message_take(attachment, &queue->queue, &message));
    } while (status == POOL_QUEUE_EMPTY && wait_on(&wait));
    if (status != POOL_OK) {
        return public_status(status, NULL);
    }
    if (!describe(queue, &message, received)) {
        attachment_message_end(attachment, &queue->queue, &message);
        *received = (struct blockpool_received){0};
        return BLOCKPOOL_CORRUPT;
    }
    count_taken(queue, 1);
    if (message.position % LOOK_EACH == LOOK_EACH - 1) {
        (void)pool_reclaim(&queue->pool->engine, true);
    }
    return BLOCKPOOL_OK;
}

/* BLOCKPOOL_OK if this process has taken that message and is not done with it. */
static int message_of(const struct blockpool_received *received, struct queue_message *message) {
    const struct blockpool_queue *queue = received->queue;
    if (!queue) {
        return BLOCKPOOL_NOT_RECEIVED;
    }
    const struct attachment *attachment = attachment_of(queue);
    if (attachment_is_stray(attachment)) {
        return BLOCKPOOL_NO_PART;
    }
    memcpy(message, received->internal, sizeof *message);
    const struct shared_pool *annex = &queue->queue.queues->annex;
    if (message->run.index >= annex->blocks) {
        return BLOCKPOOL_NOT_RECEIVED;
    }
    uint64_t word = load_seq(&shared_pool_entry(annex, message->run.index)->message);
    bool taken = message_state(word) == MESSAGE_TAKEN && message_slot(word) == attachment->slot &&
                 message_generation(word) == message->run.generation;
    return taken ? BLOCKPOOL_OK : BLOCKPOOL_NOT_RECEIVED;
}

int blockpool_received_block(const struct blockpool_received *received, unsigned i, struct blockpool_block *block) {
    struct queue_message message;
    struct pool_run run;
    enum pool_status status;
    if (block) {
        *block = (struct blockpool_block){0};
    }
    if (!received || !block) {
        return BLOCKPOOL_NULL;
    }
    int taken = message_of(received, &message);
    if (taken != BLOCKPOOL_OK) {
        return taken;
    }
    if (i >= received->blocks) {
        return BLOCKPOOL_BAD_COUNT;
    }
    struct blockpool_pool *pool = received->queue->pool;
    PUBLIC_PATIENTLY(pool, status, attachment_message_hold(pool->engine.attachment, &message, i, &run));
    if (status == POOL_OK) {
        public_block(pool, &run, block);
    }
    return status == POOL_STALE ? BLOCKPOOL_NOT_RECEIVED : public_status(status, NULL);
}

typedef void end_function(struct attachment *attachment, struct queue *queue, const struct queue_message *message);

/* Ends this process's part in the message by means of the function. */
static int finish(struct blockpool_received *received, end_function *end) {
    struct queue_message message;
    if (!received) {
        return BLOCKPOOL_NULL;
    }
    int taken = message_of(received, &message);
    if (taken != BLOCKPOOL_OK) {
        return taken;
    }
    struct blockpool_queue *queue = received->queue;
    end(attachment_of(queue), &queue->queue, &message);
    count_taken(queue, UINT32_MAX);
    *received = (struct blockpool_received){0};
    return BLOCKPOOL_OK;
}

int blockpool_received_done(struct blockpool_received *received) { return finish(received, attachment_message_end); }

int blockpool_received_return(struct blockpool_received *received) {
    return finish(received, attachment_message_return);
}
