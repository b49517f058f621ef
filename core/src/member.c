/* member.c: see member.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "member.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "os.h"

#define LOCK_TRIES 100
#define STARTS_OVER 100 /* a name that changes more often than this while we open it is somebody's malice */

/* --- taking turns inside this process --- */

/* One for all pools: the gate's locks belong to descriptions, and so do not exclude threads. Reentrant, as fork holds it. */
static pthread_mutex_t turn = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static bool take_turn(double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    double whole = (double)until.tv_sec + (double)until.tv_nsec * 1e-9 + seconds;
    until.tv_sec = (time_t)whole;
    until.tv_nsec = (long)((whole - (double)until.tv_sec) * 1e9);
    return pthread_mutex_timedlock(&turn, &until) == 0;
}

static void end_turn(void) { pthread_mutex_unlock(&turn); }

/* Takes the gate of a segment; on MEMBER_OK *gate is to be left. */
static enum member_status enter_gate(int file, void *memory, double seconds, int *gate,
                                     struct member_failure *failure) {
    struct segment_header *header = memory;
    if (!take_turn(seconds)) {
        failure->process = (uint64_t)os_process();
        return MEMBER_BUSY;
    }
    *gate = slots_gate_enter(file, memory, seconds);
    if (*gate >= 0) {
        return MEMBER_OK;
    }
    end_turn();
    if (*gate == -EAGAIN) {
        failure->process = load_relaxed(&header->gate_process);
        return MEMBER_BUSY;
    }
    failure->error = *gate;
    return MEMBER_SYSTEM;
}

static void leave_gate(int gate) {
    slots_gate_leave(gate);
    end_turn();
}

/* The local lock: a few dozen instructions, in which the holder needs nobody; or a fork. */
static bool lock(struct member *member) {
    uint64_t me = os_thread_number();
    if (load_relaxed(&member->lock) == me) {
        member->depth++;
        return true;
    }
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        uint64_t open = 0;
        if (compare_exchange_seq(&member->lock, &open, me)) {
            member->depth = 1;
            return true;
        }
    }
    return false;
}

static void unlock(struct member *member) {
    if (--member->depth == 0) {
        store_release(&member->lock, 0);
    }
}

/* --- recovery, under the gate --- */

static unsigned recover_slots(struct member *member, uint64_t dead) {
    unsigned count = 0;
    for (uint64_t left = dead; left; left &= left - 1) {
        shared_recover(&member->shared, (unsigned)__builtin_ctzll(left));
    }
    if (dead) {
        shared_recover(&member->shared,
                       SEGMENT_TICKET_SLOT); /* whoever dropped tickets under the gate may have died of it */
        (void)shared_mend(&member->shared);
        (void)fetch_and_seq(&member->shared.waiting->slots, ~dead);
    }
    for (uint64_t left = dead; left; left &= left - 1) { /* only now may somebody else have the slots */
        slots_free(member->memory, &member->geometry, (unsigned)__builtin_ctzll(left));
        count++;
    }
    return count;
}

static uint64_t dead_slots(const struct member *member) {
    return slots_dead(member->file, member->memory, &member->geometry, member->slot);
}

/* --- opening --- */

static void forget(struct member *member) {
    memset(member, 0, sizeof *member);
    member->file = -1;
    member->slot = SLOTS_NONE;
    member->child = SLOTS_NONE;
    member->child_description = -1;
}

void member_unmap(struct member *member) {
    if (member->memory) {
        os_unmap_file(member->memory, member->geometry.bytes);
    }
    if (member->hold && (!member_is_stray(member) || member->slot == SLOTS_NONE)) {
        os_release_hold(member->hold); /* a stray child did not inherit it: something else may be there */
    }
    if (member->alive) {
        os_release_wiped(member->alive);
    }
    if (member->extra) {
        os_unmap(member->extra, member->geometry.blocks * sizeof *member->extra);
    }
    if (member->file >= 0) {
        os_close(member->file);
    }
    forget(member);
}

static enum member_status refused(int error, struct member_failure *failure) {
    failure->error = error;
    switch (-error) {
    case ENOENT:
        return MEMBER_NOT_FOUND;
    case EACCES:
    case EPERM:
        return MEMBER_FORBIDDEN;
    case EEXIST:
        return MEMBER_EXISTS;
    case ELOOP:
    case EISDIR:
    case ENXIO:
        return MEMBER_NO_POOL;
    case ENOSPC:
    case ENOMEM:
        failure->available = os_shm_available();
        return MEMBER_NO_ROOM;
    default:
        return MEMBER_SYSTEM;
    }
}

/* Maps the segment and what belongs to this process alone. */
static enum member_status map(struct member *member, struct member_failure *failure) {
    void *page = NULL, *counts = NULL;
    int error = os_map_file(member->file, member->geometry.bytes, &member->memory);
    if (error) {
        member->memory = NULL;
        return refused(error, failure);
    }
    if ((error = os_wiped_on_fork(&page)) == 0) {
        member->alive = page;
        error = os_map_private(member->geometry.blocks * sizeof *member->extra, false, &counts);
        member->extra = counts;
    }
    if (error) {
        return refused(error, failure);
    }
    segment_view(&member->shared, member->memory, &member->geometry);
    return MEMBER_OK;
}

/* Takes a slot; under the gate, or before anybody can see the segment. */
static enum member_status take_slot(struct member *member, struct member_failure *failure) {
    int error;
    member->slot = slots_take(member->file, member->memory, &member->geometry, &member->hold, NULL, &error);
    if (member->slot == SLOTS_NONE) {
        return error ? refused(error, failure) : MEMBER_FULL;
    }
    slots_sign(member->memory, &member->geometry, member->slot);
    bitmap_begin_at(&member->shared.bitmap, member->slot);
    member->place = segment_slot(member->memory, &member->geometry, member->slot);
    store_relaxed(member->alive, 1);
    return MEMBER_OK;
}

/* Judges an open file, and keeps a private copy of its geometry. */
static enum member_status judge(struct member *member, struct os_file *file, struct member_failure *failure) {
    int error = os_stat(member->file, file);
    if (error) {
        return refused(error, failure);
    }
    if (file->owner != os_user()) {
        return MEMBER_FORBIDDEN;
    }
    if (!file->regular) {
        return MEMBER_NO_POOL;
    }
    error = os_read(member->file, &member->geometry, sizeof member->geometry);
    if (error) {
        return file->bytes < sizeof member->geometry ? MEMBER_NO_POOL : refused(error, failure);
    }
    switch (segment_judge(&member->geometry, file->bytes)) {
    case SEGMENT_OK:
        return MEMBER_OK;
    case SEGMENT_NO_POOL:
        return MEMBER_NO_POOL;
    case SEGMENT_NEWER:
        return MEMBER_NEWER;
    case SEGMENT_TRUNCATED:
        return MEMBER_TRUNCATED;
    default:
        return MEMBER_CORRUPT;
    }
}

/* Joins the segment in member->file. MEMBER_NOT_FOUND also when it was a leftover, or its name went to another one meanwhile. */
static enum member_status join(struct member *member, double gate_seconds, struct member_failure *failure) {
    struct os_file file;
    int gate;
    enum member_status status = judge(member, &file, failure);
    if (status == MEMBER_OK) {
        status = map(member, failure);
    }
    if (status == MEMBER_OK) {
        status = enter_gate(member->file, member->memory, gate_seconds, &gate, failure);
    }
    if (status != MEMBER_OK) {
        return status;
    }
    bool named = member->name[0] != 0;
    if (named && !os_shm_names(member->name, &file)) {
        status = MEMBER_NOT_FOUND;
    } else {
        uint64_t dead = dead_slots(member), used = slots_used(member->memory, &member->geometry);
        if (dead == used && !(member->geometry.flags & SEGMENT_PERMANENT)) {
            /* a leftover: its last process is gone */
            if (named) {
                (void)os_shm_unlink(member->name);
            }
            status = MEMBER_NOT_FOUND;
        } else {
            (void)recover_slots(member, dead);
            status = take_slot(member, failure);
        }
    }
    leave_gate(gate);
    return status;
}

enum member_status member_attach_file(struct member *member, int file, double gate_seconds,
                                      struct member_failure *failure) {
    forget(member);
    *failure = (struct member_failure){0};
    member->file = file;
    enum member_status status = join(member, gate_seconds, failure);
    if (status != MEMBER_OK) {
        member_unmap(member);
    }
    return status;
}

enum member_status member_attach(struct member *member, const char *name, double gate_seconds,
                                 struct member_failure *failure) {
    enum member_status status = MEMBER_NOT_FOUND;
    forget(member);
    *failure = (struct member_failure){0};
    for (int tries = 0; tries < STARTS_OVER; tries++) {
        int file = os_shm_open(name);
        if (file < 0) {
            return refused(file, failure);
        }
        member->file = file;
        snprintf(member->name, sizeof member->name, "%s", name);
        status = join(member, gate_seconds, failure);
        if (status == MEMBER_OK) {
            return MEMBER_OK;
        }
        member_unmap(member);
        if (status != MEMBER_NOT_FOUND) {
            return status;
        }
    }
    return status;
}

/* Makes the segment in a file that nobody can see yet. */
static enum member_status build(struct member *member, const struct member_request *request,
                                struct member_failure *failure) {
    struct segment_geometry *geometry = &member->geometry;
    if (!segment_plan(geometry, request->block_size, request->blocks)) {
        return MEMBER_NO_ROOM;
    }
    geometry->flags = request->permanent ? SEGMENT_PERMANENT : 0;
    int error = os_random(geometry->id, sizeof geometry->id);
    if (error) {
        return refused(error, failure);
    }
    /* compared first: to reserve more than there is may wake the killer of processes instead of failing */
    struct os_memory machine;
    os_memory(&machine);
    failure->available = machine.available;
    if (request->name && os_shm_available() < failure->available) {
        failure->available = os_shm_available();
    }
    if (geometry->bytes > failure->available) {
        return MEMBER_NO_ROOM;
    }
    char label[64];
    int used = snprintf(label, sizeof label, "blockpool-");
    for (unsigned i = 0; i < SEGMENT_ID_BYTES; i++) {
        used += snprintf(label + used, sizeof label - (size_t)used, "%02x", geometry->id[i]);
    }
    member->file = request->name ? os_shm_unnamed() : os_memfd(label);
    if (member->file < 0) {
        return refused(member->file, failure);
    }
    error = os_reserve(member->file, geometry->bytes);
    if (error == 0 && !request->name) {
        error = os_seal(member->file);
    }
    if (error) {
        return refused(error, failure);
    }
    enum member_status status = map(member, failure);
    if (status == MEMBER_OK) {
        segment_make(member->memory, geometry);
        segment_view(&member->shared, member->memory, geometry);
        status = take_slot(member, failure);
    }
    return status;
}

/* Removes the pool of that name if it is a leftover: attaching finds that out. */
static enum member_status sweep_name(const char *name, double gate_seconds, struct member_failure *failure) {
    struct member other;
    enum member_status status = member_attach(&other, name, gate_seconds, failure);
    if (status == MEMBER_OK) {
        member_leave(&other, gate_seconds);
        member_unmap(&other);
        return MEMBER_EXISTS;
    }
    if (status == MEMBER_NOT_FOUND) {
        return MEMBER_OK;
    }
    return status == MEMBER_BUSY || status == MEMBER_FORBIDDEN ? status : MEMBER_EXISTS;
}

enum member_status member_create(struct member *member, const struct member_request *request,
                                 struct member_failure *failure) {
    forget(member);
    *failure = (struct member_failure){0};
    enum member_status status = build(member, request, failure);
    for (int tries = 0; status == MEMBER_OK && request->name && tries < STARTS_OVER; tries++) {
        int error = os_shm_link(member->file, request->name);
        if (error == 0) {
            snprintf(member->name, sizeof member->name, "%s", request->name);
            return MEMBER_OK;
        }
        status = error == -EEXIST ? sweep_name(request->name, request->gate_seconds, failure) : refused(error, failure);
    }
    if (status == MEMBER_OK && !request->name) {
        return MEMBER_OK;
    }
    member_unmap(member);
    return status == MEMBER_OK ? MEMBER_EXISTS : status;
}

/* --- leaving --- */

/* Removes the name, if it is still that of this segment; under the gate. */
static int remove_name(const struct member *member) {
    struct os_file file;
    if (!member->name[0] || os_stat(member->file, &file) != 0 || !os_shm_names(member->name, &file)) {
        return -ENOENT;
    }
    return os_shm_unlink(member->name);
}

void member_leave(struct member *member, double gate_seconds) {
    struct member_failure failure;
    int gate;
    if (member_is_stray(member) || member->slot == SLOTS_NONE ||
        enter_gate(member->file, member->memory, gate_seconds, &gate, &failure) != MEMBER_OK) {
        return;
    }
    uint64_t dead = dead_slots(member),
             others = slots_used(member->memory, &member->geometry) & ~dead & ~ledger_slot_bit(member->slot);
    (void)recover_slots(member, ledger_slot_bit(member->slot));
    if (others == 0 && !(member->geometry.flags & SEGMENT_PERMANENT)) {
        (void)remove_name(member);
    }
    member->slot = SLOTS_NONE;
    store_relaxed(member->alive, 0);
    leave_gate(gate);
}

enum member_status member_unlink(struct member *member, double gate_seconds, struct member_failure *failure) {
    int gate;
    *failure = (struct member_failure){0};
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    enum member_status status = enter_gate(member->file, member->memory, gate_seconds, &gate, failure);
    if (status != MEMBER_OK) {
        return status;
    }
    int error = remove_name(member);
    leave_gate(gate);
    return error ? refused(error, failure) : MEMBER_OK;
}

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

/* Between the halves of a fork, what the forking thread takes may be in the child's copy of its memory too. A holder too many
 * until the child leaves is harmless, one too few is not; so a drop there takes nothing from the child. */
static void hold_for_child(struct member *member, struct shared_run *run) {
    bool set;
    if (__builtin_expect(member->child != SLOTS_NONE, 0)) {
        enum shared_status held = shared_hold(&member->shared, member->child, run, &set);
        (void)held; /* it is there: this process holds it */
    }
}

enum member_status member_allocate(struct member *member, uint64_t n, uint32_t slack, struct shared_run *run) {
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    enum shared_status status = shared_allocate(&member->shared, member->slot, n, slack, run);
    if (status == SHARED_OK && run->index != BITMAP_NONE) {
        hold_for_child(member, run);
    }
    return status == SHARED_OK && run->index == BITMAP_NONE ? MEMBER_EXHAUSTED : status_of(status);
}

enum member_status member_drop(struct member *member, const struct shared_run *run, bool *freed) {
    enum shared_status status = SHARED_OK;
    *freed = false;
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    if (!lock(member)) {
        return MEMBER_LOCKED;
    }
    if (member->extra[run->index]) {
        member->extra[run->index]--;
    } else {
        status = shared_drop(&member->shared, member->slot, run, freed);
    }
    unlock(member);
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
    if (!lock(member)) {
        return MEMBER_LOCKED;
    }
    *extra = member->extra[run->index];
    *word = 0;
    if (*extra == 0) {
        status = shared_drop_last(&member->shared, member->slot, run, &last, word);
    }
    unlock(member);
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
    if (!lock(member)) {
        return MEMBER_LOCKED;
    }
    enum shared_status status = function(&member->shared, member->slot, run, &set);
    if (status == SHARED_OK) {
        member->extra[run->index] += !set;
        hold_for_child(member, run);
    }
    unlock(member);
    return status_of(status);
}

enum member_status member_hold(struct member *member, struct shared_run *run) { return take(member, shared_hold, run); }

enum member_status member_redeem(struct member *member, struct shared_run *run) {
    return take(member, shared_redeem, run);
}

bool member_withdraw(struct member *member, const struct shared_run *run) {
    return !member_is_stray(member) && shared_withdraw(&member->shared, member->slot, run);
}

/* --- looking after the others --- */

enum member_status member_recover(struct member *member, double gate_seconds, double ticket_seconds, unsigned *slots,
                                  uint64_t *tickets, struct member_failure *failure) {
    int gate;
    *slots = 0;
    *tickets = 0;
    *failure = (struct member_failure){0};
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    if (ticket_seconds < 0 && dead_slots(member) == 0) {
        return MEMBER_OK; /* looked at without the gate: nobody to recover */
    }
    enum member_status status = enter_gate(member->file, member->memory, gate_seconds, &gate, failure);
    if (status != MEMBER_OK) {
        return status;
    }
    *slots = recover_slots(member, dead_slots(member));
    if (ticket_seconds >= 0) {
        double before = (double)os_seconds() - ticket_seconds;
        if (before >= 0) {
            *tickets = shared_drop_tickets(&member->shared, SEGMENT_TICKET_SLOT, (uint32_t)before);
        }
    }
    leave_gate(gate);
    return MEMBER_OK;
}

enum member_status member_check(struct member *member, double gate_seconds, struct shared_fault *faults, uint64_t most,
                                uint64_t *count, uint64_t *healed, struct member_failure *failure) {
    int gate;
    *failure = (struct member_failure){0};
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    enum member_status status = enter_gate(member->file, member->memory, gate_seconds, &gate, failure);
    if (status != MEMBER_OK) {
        return status;
    }
    (void)recover_slots(member, dead_slots(member));
    uint64_t used = slots_used(member->memory, &member->geometry) | ledger_slot_bit(SEGMENT_TICKET_SLOT);
    *count = shared_check(&member->shared, used, faults, most, healed);
    leave_gate(gate);
    return MEMBER_OK;
}

void member_count(struct member *member, uint64_t allocated, struct member_counts *counts) {
    *counts = (struct member_counts){.peak = allocated};
    if (load_relaxed(&member->place->peak) < allocated) {
        store_relaxed(&member->place->peak, allocated);
    }
    for (unsigned slot = 0; slot < SEGMENT_SLOTS; slot++) {
        const struct segment_slot *place = segment_slot(member->memory, &member->geometry, slot);
        uint64_t peak = load_relaxed(&place->peak);
        counts->processes += load_relaxed(&place->used) != 0;
        counts->allocations += load_relaxed(&place->allocations);
        counts->frees += load_relaxed(&place->frees);
        counts->failures += load_relaxed(&place->failures);
        counts->peak = peak > counts->peak && peak <= member->geometry.blocks ? peak : counts->peak;
    }
}

pid_t member_process(const struct member *member, unsigned slot) {
    return slot < SEGMENT_SLOTS ? (pid_t)load_relaxed(&segment_slot(member->memory, &member->geometry, slot)->process)
                                : 0;
}

enum member_status member_identify(const char *name, unsigned char id[SEGMENT_ID_BYTES]) {
    struct segment_geometry geometry;
    int file = os_shm_open(name);
    if (file < 0) {
        return MEMBER_NOT_FOUND;
    }
    int error = os_read(file, &geometry, sizeof geometry);
    os_close(file);
    if (error || geometry.magic != SEGMENT_MAGIC) {
        return MEMBER_NO_POOL;
    }
    memcpy(id, geometry.id, SEGMENT_ID_BYTES);
    return MEMBER_OK;
}

/* --- waiting --- */

enum member_status member_wait_enter(struct member *member) {
    if (member_is_stray(member)) {
        return MEMBER_STRAY; /* it may have no slot, and so no bit */
    }
    if (!lock(member)) {
        return MEMBER_LOCKED;
    }
    if (member->waiters++ == 0) {
        (void)fetch_or_seq(&member->shared.waiting->slots, ledger_slot_bit(member->slot));
    }
    unlock(member);
    return MEMBER_OK;
}

uint32_t member_wait_sequence(const struct member *member) { return half_load_seq(&member->shared.waiting->sequence); }

void member_wait_sleep(struct member *member, uint32_t sequence, double seconds) {
    os_wait_shared(&member->shared.waiting->sequence, sequence, seconds);
}

enum member_status member_wait_leave(struct member *member) {
    if (member_is_stray(member)) {
        return MEMBER_STRAY; /* it did not enter, or forked since: no thread waits here */
    }
    if (!lock(member)) {
        return MEMBER_LOCKED;
    }
    if (--member->waiters == 0) {
        (void)fetch_and_seq(&member->shared.waiting->slots, ~ledger_slot_bit(member->slot));
    }
    unlock(member);
    return MEMBER_OK;
}

/* --- fork --- */

void member_fork_before(struct member *member, bool share, double gate_seconds) {
    struct member_failure failure;
    int gate, error;
    /* whatever it takes: a child must not inherit a description that another thread has open */
    pthread_mutex_lock(&turn);
    member->child = SLOTS_NONE;
    member->child_description = -1;
    member->fork_shares = share;
    bool entered = share && !member_is_stray(member) &&
                   enter_gate(member->file, member->memory, gate_seconds, &gate, &failure) == MEMBER_OK;
    while (!lock(member)) { /* before the child has a slot: so that the two have the same */
        os_yield();
    }
    if (entered) {
        (void)recover_slots(member, dead_slots(member));
        member->child =
            slots_take(member->file, member->memory, &member->geometry, NULL, &member->child_description, &error);
        if (member->child != SLOTS_NONE) {
            shared_fork(&member->shared, member->slot, member->child);
        }
        leave_gate(gate);
    }
}

void member_fork_parent(struct member *member) {
    unlock(member);
    if (member->child_description >= 0) {
        os_close(member->child_description);
    }
    member->child = SLOTS_NONE;
    member->child_description = -1;
    end_turn();
}

enum member_status member_fork_child(struct member *member) {
    /* the parent's hold page was not inherited, the thread that has the turn is another one, and no thread waits here */
    pthread_mutex_t fresh = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    turn = fresh;
    unlock(member);
    member->hold = NULL;
    member->waiters = 0;
    member->slot = member->child;
    member->child = SLOTS_NONE;
    enum member_status status = member->fork_shares ? MEMBER_FULL : MEMBER_STRAY;
    if (member->slot != SLOTS_NONE) {
        status = os_hold(member->child_description, &member->hold) == 0 ? MEMBER_OK : MEMBER_FULL;
        os_close(member->child_description);
    }
    member->child_description = -1;
    if (status == MEMBER_OK) {
        bitmap_begin_at(&member->shared.bitmap, member->slot);
        member->place = segment_slot(member->memory, &member->geometry, member->slot);
        slots_sign(member->memory, &member->geometry, member->slot);
        store_relaxed(member->alive, 1);
    } else {
        member->hold = NULL;
        member->slot = SLOTS_NONE;
        (void)os_map_over(member->memory, member->geometry.bytes);
    }
    return status;
}

/* --- leftovers --- */

static bool sweep_one(const char *file_name, void *context) {
    struct member_failure failure;
    unsigned *swept = context;
    struct os_file before, after;
    int file = os_shm_open(file_name);
    if (file < 0 || os_stat(file, &before) != 0) {
        if (file >= 0) {
            os_close(file);
        }
        return true;
    }
    os_close(file);
    if (before.owner == os_user() && sweep_name(file_name, 0, &failure) == MEMBER_OK &&
        ((file = os_shm_open(file_name)) < 0 || os_stat(file, &after) != 0 || after.inode != before.inode)) {
        ++*swept;
    }
    if (file >= 0) {
        os_close(file);
    }
    return true;
}

unsigned member_sweep(void) {
    unsigned swept = 0;
    (void)os_shm_list("blockpool.", sweep_one, &swept);
    return swept;
}
