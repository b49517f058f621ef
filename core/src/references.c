/* references.c: the references that this process has to runs of a shared pool; see member.h. */
#include "member_parts.h"
#include "os.h"

#ifndef MEMBER_LOCK_TRIES
#define MEMBER_LOCK_TRIES 100
#endif

bool member_lock(struct member *member) {
    for (int tries = 0; tries < MEMBER_LOCK_TRIES; tries++) {
        uint64_t open = 0;
        if (compare_exchange_seq(&member->lock, &open, 1)) {
            return true;
        }
    }
    return false;
}

void member_unlock(struct member *member) { store_release(&member->lock, 0); }

/* --- allocating and freeing --- */

static enum member_status status_of(enum shared_status status) {
    switch (status) {
    case SHARED_OK:
        return MEMBER_OK;
    case SHARED_STALE:
        return MEMBER_STALE;
    case SHARED_TICKETS:
        return MEMBER_TICKETS;
    default:
        return MEMBER_CORRUPT;
    }
}

enum member_status member_allocate(struct member *member, uint64_t n, uint64_t slack, struct shared_run *run) {
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    enum shared_status status = shared_allocate(&member->shared, member->slot, n, slack, run);
    return status == SHARED_OK && run->index == BITMAP_NONE ? MEMBER_EXHAUSTED : status_of(status);
}

enum member_status member_drop(struct member *member, const struct shared_run *run, bool *freed) {
    enum shared_status status = SHARED_OK;
    *freed = false;
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    if (!member_lock(member)) {
        return MEMBER_LOCKED;
    }
    if (member->extra[run->index]) {
        member->extra[run->index]--;
    } else {
        status = shared_drop(&member->shared, member->slot, run, freed);
    }
    member_unlock(member);
    if (*freed) {
        shared_finish(&member->shared, run);
    }
    return status_of(status);
}

enum member_status member_free(struct member *member, const struct shared_run *run, uint64_t *word, uint32_t *extra) {
    enum shared_status status = SHARED_OK;
    bool last = false;
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    if (!member_lock(member)) {
        return MEMBER_LOCKED;
    }
    *extra = member->extra[run->index];
    *word = 0;
    if (*extra == 0) {
        status = shared_drop_last(&member->shared, member->slot, run, &last, word);
    }
    member_unlock(member);
    if (last) {
        shared_finish(&member->shared, run);
    }
    return last ? MEMBER_OK : status == SHARED_OK ? MEMBER_IN_USE : status_of(status);
}

enum member_status member_share(struct member *member, const struct shared_run *run, uint64_t n) {
    return member_is_stray(member) ? MEMBER_STRAY
                                   : status_of(shared_share(&member->shared, member->slot, run, n, os_seconds()));
}

typedef enum shared_status take_function(struct shared *, unsigned slot, struct shared_run *, bool *set);

/* One reference of this process more, taken by the function. */
static enum member_status take(struct member *member, take_function *function, struct shared_run *run) {
    bool set = false;
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    if (!member_lock(member)) {
        return MEMBER_LOCKED;
    }
    enum shared_status status = function(&member->shared, member->slot, run, &set);
    if (status == SHARED_OK) {
        member->extra[run->index] += !set;
    }
    member_unlock(member);
    return status_of(status);
}

enum member_status member_hold(struct member *member, struct shared_run *run) { return take(member, shared_hold, run); }

enum member_status member_redeem(struct member *member, struct shared_run *run) {
    return take(member, shared_redeem, run);
}

bool member_withdraw(struct member *member, const struct shared_run *run) {
    return !member_is_stray(member) && shared_withdraw(&member->shared, member->slot, run);
}

/* --- waiting --- */

enum member_status member_wait_enter(struct member *member, uint32_t *wait) {
    if (member_is_stray(member)) {
        return MEMBER_STRAY; /* it may have no slot, and so no bit */
    }
    if (!member_lock(member)) {
        return MEMBER_LOCKED;
    }
    if (member->waiters++ == 0) {
        (void)fetch_or_seq(&member->shared.waiting->slots, ledger_slot_bit(member->slot));
    }
    *wait = member->forks;
    member_unlock(member);
    return MEMBER_OK;
}

/* A wait may find itself in a stray child at any step, where the memory is not to be touched. */
uint32_t member_wait_sequence(const struct member *member) {
    return member_is_stray(member) ? 0 : half_load_seq(&member->shared.waiting->sequence);
}

void member_wait_sleep(struct member *member, uint32_t sequence, double seconds) {
    if (!member_is_stray(member)) {
        os_wait_shared(&member->shared.waiting->sequence, sequence, seconds);
    }
}

enum member_status member_wait_leave(struct member *member, uint32_t wait) {
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    if (!member_lock(member)) {
        return MEMBER_LOCKED;
    }
    if (wait == member->forks && --member->waiters == 0) { /* else it began in the parent, and nobody counted it here */
        (void)fetch_and_seq(&member->shared.waiting->slots, ~ledger_slot_bit(member->slot));
    }
    member_unlock(member);
    return MEMBER_OK;
}
