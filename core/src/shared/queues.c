/* queues.c: see queues.h. */
#include "shared/queues.h"

#include <errno.h>

#include "os/thread.h"
#include "os/wait.h"
#include "shared/attachment_parts.h"

#define TRIES 1000 /* a name, or a position, that has another run at each look */
#define SPIN_LOOKS 32

static enum pool_status status_of(enum queue_status status) {
    switch (status) {
    case QUEUE_OK:
        return POOL_OK;
    case QUEUE_FULL:
        return POOL_QUEUE_FULL;
    case QUEUE_EMPTY:
        return POOL_QUEUE_EMPTY;
    case QUEUE_SHUT:
        return POOL_QUEUE_SHUT;
    case QUEUE_NO_ROOM:
        return POOL_EXHAUSTED;
    case QUEUE_TICKETS:
        return POOL_TICKETS;
    case QUEUE_NO_CURSOR:
        return POOL_FULL;
    default:
        return POOL_CORRUPT;
    }
}

/* --- references to runs of the annex --- */

typedef enum shared_pool_status take_function(struct shared_pool *, unsigned slot, struct pool_run *, bool *set);

static enum pool_status take(struct attachment *attachment, take_function *function, struct pool_run *run) {
    bool set = false;
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    if (!attachment_lock(attachment)) {
        return POOL_LOCKED;
    }
    enum shared_pool_status status = function(&attachment->queues.annex, attachment->slot, run, &set);
    if (status == SHARED_POOL_OK) {
        attachment->queue_references[run->index] += !set;
    }
    attachment_unlock(attachment);
    return status == SHARED_POOL_OK ? POOL_OK : status == SHARED_POOL_STALE ? POOL_STALE : POOL_CORRUPT;
}

static enum pool_status drop(struct attachment *attachment, const struct pool_run *run) {
    struct shared_pool *annex = &attachment->queues.annex;
    enum shared_pool_status status = SHARED_POOL_OK;
    bool last = false;
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    if (!attachment_lock(attachment)) {
        return POOL_LOCKED;
    }
    if (attachment->queue_references[run->index]) {
        attachment->queue_references[run->index]--;
    } else {
        status = shared_pool_drop(annex, attachment->slot, run, &last);
    }
    if (last) {
        shared_pool_finish(annex, run); /* under the lock: the messages of a queue end with it */
    }
    attachment_unlock(attachment);
    return status == SHARED_POOL_OK ? POOL_OK : POOL_CORRUPT;
}

/* The lock, however long another thread of this process has it; none waits for anything while it does. */
static void lock_patiently(struct attachment *attachment) {
    while (!attachment_lock(attachment)) {
        os_yield();
    }
}

static void drop_patiently(struct attachment *attachment, const struct pool_run *run) {
    while (drop(attachment, run) == POOL_LOCKED) {
        os_yield();
    }
}

/* --- opening and closing --- */

static enum pool_status make(struct attachment *attachment, const char *name, const struct queue_request *request,
                             struct queue *queue) {
    enum pool_status status = status_of(queue_make(&attachment->queues, attachment->slot, request, queue));
    if (status != POOL_OK || !name) {
        return status;
    }
    struct catalog catalog = attachment_catalog(attachment);
    bool kept = request->flags & QUEUE_PERMANENT;
    status = attachment_catalog_status(
        catalog_keep(&catalog, attachment->slot, name, &queue->run, (unsigned)request->kind, kept, false));
    if (status != POOL_OK) {
        drop_patiently(attachment, &queue->run);
    }
    return status;
}

/* Opens the queue of that name. */
static enum pool_status find(struct attachment *attachment, const char *name, enum queue_kind wanted,
                             struct queue *queue) {
    struct catalog catalog = attachment_catalog(attachment);
    for (int tries = 0; tries < TRIES; tries++) {
        struct pool_run run;
        unsigned kind = 0;
        enum pool_status status = attachment_catalog_status(catalog_find(&catalog, name, &run, &kind));
        if (status == POOL_OK && kind != (unsigned)wanted) {
            status = POOL_OTHER_KIND;
        }
        if (status == POOL_OK) {
            status = take(attachment, shared_pool_hold, &run);
        }
        if (status == POOL_OK && (queue_view(&attachment->queues, &run, queue) != QUEUE_OK || queue->kind != wanted)) {
            drop_patiently(attachment, &run);
            return POOL_CORRUPT;
        }
        if (status != POOL_STALE) {
            return status;
        }
    }
    return POOL_CORRUPT;
}

enum pool_status attachment_queue_open(struct attachment *attachment, const char *name,
                                       const struct queue_request *request, bool may_make, double gate_seconds,
                                       struct queue *queue, bool *made, struct pool_failure *failure) {
    int gate;
    *made = false;
    *failure = (struct pool_failure){0};
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    store_seq(&attachment->uses_queues, 1);
    if (!name) {
        *made = true;
        return make(attachment, NULL, request, queue);
    }
    enum pool_status status = find(attachment, name, request->kind, queue);
    if (status != POOL_NOT_FOUND || !may_make) {
        return status;
    }
    status = gate_enter(attachment, gate_seconds, &gate, failure);
    if (status != POOL_OK) {
        return status;
    }
    status = find(attachment, name, request->kind, queue);
    if (status == POOL_NOT_FOUND) {
        status = make(attachment, name, request, queue);
        *made = status == POOL_OK;
    }
    gate_leave(attachment, gate);
    return status;
}

enum pool_status attachment_queue_redeem(struct attachment *attachment, struct pool_run *run, struct queue *queue) {
    store_seq(&attachment->uses_queues, 1);
    enum pool_status status = take(attachment, shared_pool_redeem, run);
    if (status == POOL_OK && queue_view(&attachment->queues, run, queue) != QUEUE_OK) {
        drop_patiently(attachment, run);
        return POOL_CORRUPT;
    }
    return status;
}

enum pool_status attachment_queue_again(struct attachment *attachment, const struct queue *queue) {
    struct pool_run run = queue->run;
    return take(attachment, shared_pool_hold, &run);
}

enum pool_status attachment_queue_close(struct attachment *attachment, struct queue *queue) {
    return drop(attachment, &queue->run);
}

enum pool_status attachment_queue_share(struct attachment *attachment, const struct queue *queue) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    switch (shared_pool_share(&attachment->queues.annex, attachment->slot, &queue->run, 1, os_seconds())) {
    case SHARED_POOL_OK:
        return POOL_OK;
    case SHARED_POOL_TICKETS:
        return POOL_TICKETS;
    default:
        return POOL_CORRUPT;
    }
}

bool attachment_queue_withdraw(struct attachment *attachment, const struct queue *queue) {
    return !attachment_is_stray(attachment) &&
           shared_pool_withdraw(&attachment->queues.annex, attachment->slot, &queue->run);
}

enum pool_status attachment_queue_kind(struct attachment *attachment, const char *name, enum queue_kind *kind) {
    struct pool_run run;
    unsigned found = 0;
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    struct catalog catalog = attachment_catalog(attachment);
    enum pool_status status = attachment_catalog_status(catalog_find(&catalog, name, &run, &found));
    *kind = found < QUEUE_KINDS ? (enum queue_kind)found : QUEUE_NONE;
    return status;
}

/* --- messages --- */

enum pool_status attachment_message_begin(struct attachment *attachment, struct queue *queue, uint32_t kind,
                                          unsigned runs, uint64_t bytes, struct queue_message *message) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    enum pool_status status = status_of(queue_begin(queue, attachment->slot, kind, runs, bytes, message));
    message->forks = attachment->forks;
    return status;
}

enum pool_status attachment_message_carry(struct attachment *attachment, struct queue *queue,
                                          struct queue_message *message, const struct pool_run *run) {
    return attachment_is_stray(attachment) ? POOL_STRAY : status_of(queue_carry(queue, attachment->slot, message, run));
}

/* Tells those who watch the file. First the touch, which is what they see: who dies in between tells them twice. */
static void tell_watchers(struct attachment *attachment, struct queue_event *event) {
    uint32_t told = half_load_seq(&event->told), watched = half_load_seq(&event->watched);
    if (watched == told) {
        return;
    }
    struct pool_failure failure;
    gate_mutex_lock(); /* for the descriptor */
    if (descriptor_ready(attachment, &failure) == POOL_OK && os_touch(attachment->file.number) == 0) {
        (void)half_compare_exchange_seq(&event->told, &told, watched);
    }
    gate_mutex_unlock();
}

enum pool_status attachment_message_put(struct attachment *attachment, struct queue *queue,
                                        struct queue_message *message) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    message->message->sent = os_nanoseconds();
    message->message->process = (uint32_t)load_relaxed(&attachment->slot_record->process);
    bool ends_others = queue->kind != QUEUE_IS_QUEUE;
    if (ends_others) {
        lock_patiently(attachment);
    }
    enum pool_status status = status_of(queue_put(queue, attachment->slot, message));
    if (ends_others) {
        attachment_unlock(attachment);
    }
    if (status == POOL_OK) {
        tell_watchers(attachment, &queue->header->readable);
        if (queue_is_shut(queue)) {
            lock_patiently(attachment);
            status = queue_withdraw(queue, attachment->slot, message) ? POOL_QUEUE_SHUT : POOL_OK;
            attachment_unlock(attachment);
        }
    }
    return status;
}

enum pool_status attachment_message_take(struct attachment *attachment, struct queue *queue,
                                         struct queue_message *message) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    enum pool_status status = status_of(queue_take(queue, attachment->slot, message));
    message->forks = attachment->forks;
    return status;
}

void attachment_message_end(struct attachment *attachment, struct queue *queue, const struct queue_message *message) {
    if (!attachment_is_stray(attachment) && message->forks == attachment->forks) {
        lock_patiently(attachment);
        queue_end(queue, attachment->slot, message);
        attachment_unlock(attachment);
    }
}

void attachment_message_return(struct attachment *attachment, struct queue *queue,
                               const struct queue_message *message) {
    if (!attachment_is_stray(attachment) && message->forks == attachment->forks) {
        lock_patiently(attachment);
        queue_return(queue, attachment->slot, message);
        attachment_unlock(attachment);
        tell_watchers(attachment, &queue->header->readable);
    }
}

void attachment_queue_drop_oldest(struct attachment *attachment, struct queue *queue,
                                  const struct queue_message *message) {
    if (!attachment_is_stray(attachment)) {
        lock_patiently(attachment);
        queue_drop_oldest(queue, attachment->slot, message);
        attachment_unlock(attachment);
    }
}

enum pool_status attachment_message_hold(struct attachment *attachment, const struct queue_message *message, unsigned i,
                                         struct pool_run *run) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    return queue_carried(&attachment->queues, message, i, run) ? attachment_add_reference(attachment, run)
                                                               : POOL_CORRUPT;
}

enum pool_status attachment_message_read(struct attachment *attachment, struct queue *queue, uint64_t *position,
                                         uint64_t *lost, struct queue_message *message) {
    for (int tries = 0; tries < TRIES; tries++) {
        struct pool_run run;
        if (attachment_is_stray(attachment)) {
            return POOL_STRAY;
        }
        enum pool_status status = status_of(queue_find(queue, position, lost, &run));
        if (status == POOL_OK) {
            status = take(attachment, shared_pool_hold, &run);
        }
        if (status == POOL_OK) {
            status = status_of(queue_open(queue, &run, message));
            message->forks = attachment->forks;
            if (status != POOL_OK) {
                drop_patiently(attachment, &run);
            }
        }
        if (status != POOL_STALE) { /* ended meanwhile: there is a later one */
            return status;
        }
    }
    return POOL_CORRUPT;
}

void attachment_message_close(struct attachment *attachment, const struct queue_message *message) {
    if (message->forks == attachment->forks) {
        drop_patiently(attachment, &message->run);
    }
}

enum pool_status attachment_message_copy(const struct attachment *attachment, struct queue *queue, uint64_t *position,
                                         uint64_t *lost, void *copy, uint64_t room, struct queue_message *message) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    enum pool_status status = status_of(queue_copy(queue, position, lost, copy, room, message));
    message->forks = attachment->forks;
    return status;
}

enum pool_status attachment_queue_subscribe(struct attachment *attachment, struct queue *queue, unsigned *cursor,
                                            uint64_t *position) {
    return attachment_is_stray(attachment) ? POOL_STRAY
                                           : status_of(queue_subscribe(queue, attachment->slot, cursor, position));
}

void attachment_queue_advance(struct attachment *attachment, struct queue *queue, unsigned cursor, uint64_t position) {
    if (!attachment_is_stray(attachment)) {
        queue_advance(queue, attachment->slot, cursor, position);
    }
}

void attachment_queue_unsubscribe(struct attachment *attachment, struct queue *queue, unsigned cursor) {
    if (!attachment_is_stray(attachment)) {
        queue_unsubscribe(queue, attachment->slot, cursor);
    }
}

void attachment_queue_shut(struct attachment *attachment, struct queue *queue, bool for_all) {
    if (!attachment_is_stray(attachment)) {
        lock_patiently(attachment);
        queue_shut(queue, attachment->slot, for_all);
        attachment_unlock(attachment);
        tell_watchers(attachment, &queue->header->readable);
    }
}

void attachment_queue_count(const struct attachment *attachment, const struct queue *queue, uint64_t *waiting,
                            uint64_t *taken) {
    *waiting = 0;
    if (taken) {
        *taken = 0;
    }
    if (!attachment_is_stray(attachment)) {
        queue_count(queue, waiting, taken);
    }
}

void attachment_queues_forked(struct attachment *attachment) {
    uint64_t blocks = load_seq(&attachment->uses_queues) ? attachment->queues.annex.blocks : 0;
    for (uint64_t i = 0; i < blocks; i++) {
        uint32_t *count = &attachment->queue_references[i];
        if (*count &&
            message_state(load_seq(&shared_pool_entry(&attachment->queues.annex, i)->message)) != MESSAGE_IS_QUEUE) {
            *count = 0;
        }
    }
}

/* --- waiting --- */

static struct queue_event *event_of(struct queue *queue, enum queue_side side) {
    return side == QUEUE_READABLE ? &queue->header->readable : &queue->header->writable;
}

bool attachment_queue_spin(const struct attachment *attachment, struct queue *queue, enum queue_side side,
                           double seconds) {
    double end = os_now() + seconds;
    do {
        for (int looks = 0; looks < SPIN_LOOKS; looks++) {
            if (attachment_is_stray(attachment) ||
                (side == QUEUE_READABLE ? queue_is_readable(queue) : queue_is_writable(queue))) {
                return true;
            }
            os_relax();
        }
    } while (os_now() < end);
    return false;
}

bool attachment_message_spin(const struct attachment *attachment, struct queue *queue, uint64_t position,
                             double seconds) {
    double end = os_now() + seconds;
    do {
        for (int looks = 0; looks < SPIN_LOOKS; looks++) {
            if (attachment_is_stray(attachment) || queue_has(queue, position)) {
                return true;
            }
            os_relax();
        }
    } while (os_now() < end);
    return false;
}

uint32_t attachment_queue_sequence(const struct attachment *attachment, struct queue *queue, enum queue_side side) {
    return attachment_is_stray(attachment) ? 0 : queue_event_wait(event_of(queue, side));
}

void attachment_queue_sleep(const struct attachment *attachment, struct queue *queue, enum queue_side side,
                            uint32_t sequence, double seconds) {
    if (!attachment_is_stray(attachment)) {
        os_wait_shared(&event_of(queue, side)->sequence, sequence, seconds);
    }
}

int attachment_watch(struct attachment *attachment) {
    struct pool_failure failure;
    if (attachment_is_stray(attachment)) {
        return -EBADF;
    }
    gate_mutex_lock();
    int watch = descriptor_ready(attachment, &failure) == POOL_OK ? os_watch(attachment->file.number)
                : failure.error                                   ? failure.error
                                                                  : -EBADF;
    gate_mutex_unlock();
    return watch;
}

void attachment_queue_watch(struct attachment *attachment, struct queue *queue) {
    if (!attachment_is_stray(attachment)) {
        queue_event_watch(&queue->header->readable);
    }
}
