/* references.c: the references of this process to runs of a shared pool; see attachment.h. */
#include "shared/attachment_parts.h"

#include "os/wait.h"
#include "shared/sites.h"

#ifndef ATTACHMENT_LOCK_TRIES
#define ATTACHMENT_LOCK_TRIES 100
#endif

bool attachment_lock(struct attachment *attachment) {
    for (int tries = 0; tries < ATTACHMENT_LOCK_TRIES; tries++) {
        uint64_t open = 0;
        if (compare_exchange_seq(&attachment->lock, &open, 1)) {
            return true;
        }
    }
    return false;
}

void attachment_unlock(struct attachment *attachment) { store_release(&attachment->lock, 0); }

/* --- what this process may hold --- */

static inline void note_group(struct attachment *attachment, uint64_t index) {
    byte_store_release(&attachment->groups[index / 64], 1);
}

void attachment_visit_groups(struct attachment *attachment,
                             bool visit(struct attachment *attachment, uint64_t first, uint64_t n, unsigned argument),
                             unsigned argument) {
    uint64_t blocks = attachment->shared.blocks;
    for (uint64_t first = 0; first < blocks; first += 64) {
        atomic_byte *group = &attachment->groups[first / 64];
        if (byte_load_seq(group) && byte_exchange_seq(group, 0) &&
            visit(attachment, first, blocks - first < 64 ? blocks - first : 64, argument)) {
            byte_store_release(group, 1);
        }
    }
}

/* --- allocating and freeing --- */

static enum pool_status status_of(enum shared_pool_status status) {
    switch (status) {
    case SHARED_POOL_OK:
        return POOL_OK;
    case SHARED_POOL_STALE:
        return POOL_STALE;
    case SHARED_POOL_TICKETS:
        return POOL_TICKETS;
    default:
        return POOL_CORRUPT;
    }
}

enum pool_status attachment_allocate(struct attachment *attachment, uint64_t n, uint64_t slack, struct pool_run *run) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    enum shared_pool_status status =
        shared_pool_allocate(&attachment->shared, attachment->slot, n, slack, os_seconds(), run);
    if (status != SHARED_POOL_OK) {
        return status_of(status);
    }
    if (run->index == BITMAP_NONE) {
        return POOL_EXHAUSTED;
    }
    note_group(attachment, run->index);
    return POOL_OK;
}

enum pool_status attachment_drop(struct attachment *attachment, const struct pool_run *run, bool *freed) {
    enum shared_pool_status status = SHARED_POOL_OK;
    *freed = false;
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    if (shared_pool_drop_alone(&attachment->shared, attachment->slot, run)) {
        *freed = true;
        return POOL_OK;
    }
    if (!attachment_lock(attachment)) {
        return POOL_LOCKED;
    }
    if (attachment->local_references[run->index]) {
        attachment->local_references[run->index]--;
    } else {
        status = shared_pool_drop(&attachment->shared, attachment->slot, run, freed);
    }
    attachment_unlock(attachment);
    if (*freed) {
        shared_pool_finish(&attachment->shared, run);
    }
    return status_of(status);
}

/* Compiled twice, so that each form has one caller, and the first is inlined there. */
static inline __attribute__((always_inline)) enum pool_status free_run(struct attachment *attachment,
                                                                       const struct pool_run *run, uint32_t *extra) {
    enum shared_pool_status status = SHARED_POOL_OK;
    bool last = false;
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    if (shared_pool_drop_alone(&attachment->shared, attachment->slot, run)) {
        return POOL_OK;
    }
    if (!attachment_lock(attachment)) {
        return POOL_LOCKED;
    }
    *extra = attachment->local_references[run->index];
    if (*extra == 0) {
        status = shared_pool_drop_last(&attachment->shared, attachment->slot, run, &last);
    }
    attachment_unlock(attachment);
    if (last) {
        shared_pool_finish(&attachment->shared, run);
    }
    return last ? POOL_OK : status == SHARED_POOL_OK ? POOL_IN_USE : status_of(status);
}

enum pool_status attachment_free(struct attachment *attachment, const struct pool_run *run, uint32_t *extra) {
    return free_run(attachment, run, extra);
}

enum pool_status attachment_free_watched(struct attachment *attachment, const struct pool_run *run, uint32_t *extra,
                                         const struct site_caller *caller, struct site_finding *finding) {
    bool sound = sites_are_sound(attachment, run, finding);
    sites_set_caller(caller);
    enum pool_status status = free_run(attachment, run, extra);
    sites_set_caller(NULL);
    if (status != POOL_OK && !sound) {
        sites_take_back(attachment, run);
    }
    return status;
}

/* Makes sure that the words of the endings are there. */
static enum pool_status prepare_endings(struct attachment *attachment, struct pool_failure *failure) {
    const struct layout_geometry *geometry = &attachment->geometry;
    if (endings_are_ready(&attachment->shared.endings)) {
        return POOL_OK;
    }
    uint64_t at = layout_endings_at(geometry);
    enum pool_status status = attachment_reserve(attachment, at, layout_notes_at(geometry) - at, failure);
    if (status == POOL_OK) {
        store_seq(&attachment->shared.endings.head->ready, ENDINGS_READY);
    }
    return status;
}

__attribute__((noinline)) enum pool_status attachment_share_for(struct attachment *attachment,
                                                                const struct pool_run *run, uint64_t n,
                                                                uint32_t lifetime, struct pool_failure *failure) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    uint32_t now = os_seconds();
    if (lifetime == 0) {
        return status_of(shared_pool_share(&attachment->shared, attachment->slot, run, n, now));
    }
    enum pool_status status = prepare_endings(attachment, failure);
    return status == POOL_OK ? status_of(shared_pool_share_until(&attachment->shared, attachment->slot, run, n, now,
                                                                 endings_end(now, lifetime)))
                             : status;
}

enum pool_status attachment_share(struct attachment *attachment, const struct pool_run *run, uint64_t n) {
    if (__builtin_expect(attachment->lifetime != 0, 0)) {
        struct pool_failure failure;
        return attachment_share_for(attachment, run, n, attachment->lifetime, &failure);
    }
    return attachment_is_stray(attachment)
               ? POOL_STRAY
               : status_of(shared_pool_share(&attachment->shared, attachment->slot, run, n, os_seconds()));
}

typedef enum shared_pool_status take_function(struct shared_pool *, unsigned slot, struct pool_run *, bool *set);

/* Adds one reference of this process, by means of the function. */
static enum pool_status take(struct attachment *attachment, take_function *function, struct pool_run *run) {
    bool set = false;
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    if (!attachment_lock(attachment)) {
        return POOL_LOCKED;
    }
    enum shared_pool_status status = function(&attachment->shared, attachment->slot, run, &set);
    if (status == SHARED_POOL_OK) {
        attachment->local_references[run->index] += !set;
        note_group(attachment, run->index);
    }
    attachment_unlock(attachment);
    return status_of(status);
}

enum pool_status attachment_add_reference(struct attachment *attachment, struct pool_run *run) {
    return take(attachment, shared_pool_hold, run);
}

enum pool_status attachment_redeem(struct attachment *attachment, struct pool_run *run) {
    return take(attachment, shared_pool_redeem, run);
}

bool attachment_withdraw(struct attachment *attachment, const struct pool_run *run) {
    return !attachment_is_stray(attachment) && shared_pool_withdraw(&attachment->shared, attachment->slot, run);
}

/* --- waiting --- */

enum pool_status attachment_wait_enter(struct attachment *attachment, uint32_t *wait) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY; /* it may have no slot, and so no bit */
    }
    if (!attachment_lock(attachment)) {
        return POOL_LOCKED;
    }
    if (attachment->waiters++ == 0) {
        (void)set_bit_seq(&attachment->shared.waiting->slots[attachment->slot / 64], attachment->slot % 64);
    }
    *wait = attachment->forks;
    attachment_unlock(attachment);
    return POOL_OK;
}

/* At any step a wait may find itself in a stray child, which must not touch the memory. */
uint32_t attachment_wait_sequence(const struct attachment *attachment) {
    return attachment_is_stray(attachment) ? 0 : half_load_seq(&attachment->shared.waiting->sequence);
}

void attachment_wait_sleep(struct attachment *attachment, uint32_t sequence, double seconds) {
    if (!attachment_is_stray(attachment)) {
        os_wait_shared(&attachment->shared.waiting->sequence, sequence, seconds);
    }
}

enum pool_status attachment_wait_leave(struct attachment *attachment, uint32_t wait) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    if (!attachment_lock(attachment)) {
        return POOL_LOCKED;
    }
    if (wait == attachment->forks &&
        --attachment->waiters == 0) { /* otherwise it began in the parent, and was not counted here */
        (void)clear_bit_seq(&attachment->shared.waiting->slots[attachment->slot / 64], attachment->slot % 64);
    }
    attachment_unlock(attachment);
    return POOL_OK;
}
