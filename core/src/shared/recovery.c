/* recovery.c: recovering what dead processes held, and the audit; both under the gate. See attachment.h. */
#include "shared/attachment_parts.h"
#include "shared/queue_check.h"

#include "os/process.h"
#include "os/thread.h"
#include "os/wait.h"

#include <string.h>

#define CHECK_LOOKS 3
#define RECOVERED_TOGETHER BITMAP_CHUNK_BITS /* blocks: their entries stay in the cache from one step to the next */
#define LOOKED_MOST 200                      /* milliseconds for which a look by one process serves all that wait */
#define REST_SECONDS 0.3                     /* how long to wait until the other threads of this process sleep */

/* Adds a dead process to the account; under the gate, and so under the gate mutex. */
static void note_recovered(struct attachment_recovered *recovered, const struct slot_record *dead) {
    uint64_t count = load_relaxed(&recovered->processes);
    if (count < RECOVERED_NAMED) {
        struct attachment_dead *one = &recovered->first[count];
        one->process = load_relaxed(&dead->process);
        memcpy(one->command, dead->command, sizeof one->command);
        one->command[sizeof one->command - 1] = 0;
    }
    store_relaxed(&recovered->processes, count + 1);
}

void attachment_take_recovered(struct attachment *attachment, struct attachment_recovered *recovered) {
    gate_mutex_lock();
    memcpy(recovered, &attachment->recovered, sizeof *recovered);
    attachment_forget_recovered(attachment);
    gate_mutex_unlock();
}

void attachment_forget_recovered(struct attachment *attachment) {
    store_relaxed(&attachment->recovered.processes, 0);
    store_relaxed(&attachment->recovered.tickets, 0);
    attachment->recovered.blocks = attachment->recovered.their_blocks = 0;
}

/* Drops the tickets that have ended, under the gate. */
static void end_tickets(struct attachment *attachment) {
    if (!endings_are_ready(&attachment->shared.endings)) {
        return;
    }
    struct attachment_recovered *recovered = &attachment->recovered;
    uint64_t tickets = shared_pool_end_tickets(&attachment->shared, os_seconds(), &recovered->their_blocks);
    store_relaxed(&recovered->tickets, load_relaxed(&recovered->tickets) + tickets);
}

unsigned attachment_recover_slots(struct attachment *attachment, const struct slot_set *dead) {
    if (slot_set_is_empty(dead)) {
        return 0;
    }
    struct shared_pool *shared = &attachment->shared, *annex = &attachment->queues.annex;
    struct catalog catalog = attachment_catalog(attachment);
    /* the messages first, while the dead still hold what these carry; then their queues */
    queues_recover(&attachment->queues, dead, LEDGER_RECOVERY);
    shared_pool_recover(annex, dead, LEDGER_RECOVERY, 0, annex->blocks);
    catalog_recover(&catalog, annex, 0, annex->blocks);
    (void)shared_pool_mend(annex, 0, annex->blocks);
    for (uint64_t first = 0; first < shared->blocks; first += RECOVERED_TOGETHER) {
        uint64_t left = shared->blocks - first, n = left < RECOVERED_TOGETHER ? left : RECOVERED_TOGETHER;
        attachment->recovered.blocks += shared_pool_recover(shared, dead, LEDGER_RECOVERY, first, n);
        catalog_recover(&catalog, shared, first, n);
        (void)shared_pool_mend(shared, first, n);
    }
    end_tickets(attachment); /* one of the dead may have been about to say when its tickets end */
    shared_pool_forget_waiters(shared, dead);
    for (unsigned slot = slot_set_next(dead, 0); slot != SLOTS_NONE; slot = slot_set_next(dead, slot + 1)) {
        note_recovered(&attachment->recovered, slot_record(attachment->memory, slot));
        slots_free(attachment->memory, slot); /* only now may other processes have it */
    }
    return slot_set_count(dead);
}

void attachment_dead_slots(const struct attachment *attachment, struct slot_set *dead) {
    if (slots_dead(&attachment->file, attachment->memory, &attachment->geometry, attachment->slot, dead) != 0) {
        *dead = (struct slot_set){{0}}; /* unknown */
    }
}

static uint64_t milliseconds(void) { return (uint64_t)(os_now() * 1000); }

bool attachment_has_ended_tickets(const struct attachment *attachment) {
    return !attachment_is_stray(attachment) && endings_are_due(&attachment->shared.endings, os_seconds());
}

bool attachment_is_looked_after(const struct attachment *attachment) {
    const struct layout_header *header = attachment->memory;
    return !attachment_is_stray(attachment) && milliseconds() - load_relaxed(&header->looked) < LOOKED_MOST;
}

/* The same without the gate. If it cannot look, the status says why. Only who looks in order `to_recover` tells others
 * that they need not: otherwise somebody who counts the living again and again would keep all that wait from it. */
static enum pool_status look_for_dead(struct attachment *attachment, bool to_recover, double seconds,
                                      struct slot_set *dead, struct pool_failure *failure) {
    if (!gate_mutex_lock_within(seconds)) {
        failure->process = (uint64_t)os_process();
        return POOL_BUSY;
    }
    enum pool_status status = descriptor_ready(attachment, failure);
    if (status == POOL_OK) {
        if (to_recover) {
            struct layout_header *header = attachment->memory;
            store_relaxed(&header->looked, milliseconds());
        }
        int error = slots_dead(&attachment->file, attachment->memory, &attachment->geometry, attachment->slot, dead);
        status = error ? pool_status_from_errno(error, failure) : POOL_OK;
    }
    gate_mutex_unlock();
    return status;
}

unsigned attachment_living(struct attachment *attachment) {
    struct pool_failure failure;
    struct slot_set dead, used;
    slots_used(attachment->memory, &attachment->geometry, &used);
    if (look_for_dead(attachment, false, 0, &dead, &failure) == POOL_OK) {
        slot_set_subtract(&used, &dead);
    }
    return slot_set_count(&used);
}

enum pool_status attachment_recover(struct attachment *attachment, double gate_seconds, double ticket_seconds,
                                    unsigned *slots, uint64_t *tickets, struct pool_failure *failure) {
    int gate;
    *slots = 0;
    *tickets = 0;
    *failure = (struct pool_failure){0};
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    struct slot_set dead = {{0}};
    enum pool_status status = look_for_dead(attachment, true, gate_seconds, &dead, failure);
    /* who has time looks at all tickets: the word that says when may be damaged */
    bool look =
        gate_seconds > 0 ? endings_are_ready(&attachment->shared.endings) : attachment_has_ended_tickets(attachment);
    if (status != POOL_OK || (ticket_seconds < 0 && !look && slot_set_is_empty(&dead))) {
        return status; /* nothing to recover */
    }
    status = gate_enter(attachment, gate_seconds, &gate, failure);
    if (status != POOL_OK) {
        return status;
    }
    attachment_dead_slots(attachment, &dead);
    uint64_t told = load_relaxed(&attachment->recovered.tickets);
    *slots = attachment_recover_slots(attachment, &dead);
    if (*slots == 0) { /* otherwise that was done */
        end_tickets(attachment);
    }
    *tickets = load_relaxed(&attachment->recovered.tickets) - told;
    if (ticket_seconds >= 0) {
        double before = (double)os_seconds() - ticket_seconds;
        if (before >= 0) {
            queues_renew_tickets(&attachment->queues, (uint32_t)before + 1);
            *tickets += shared_pool_drop_tickets(&attachment->shared, (uint32_t)before) +
                        shared_pool_drop_tickets(&attachment->queues.annex, (uint32_t)before);
        }
    }
    gate_leave(attachment, gate);
    return POOL_OK;
}

static void check_names(const struct attachment *attachment, struct shared_pool_fault *faults, uint64_t most,
                        struct shared_pool_audit *audit) {
    struct catalog catalog = attachment_catalog(attachment);
    for (unsigned i = 0; (i = catalog_fault(&catalog, i)) < CATALOG_NAMES; i++) {
        shared_pool_add_fault(audit, faults, most, SHARED_POOL_FAULT_NAME, i);
    }
}

enum pool_status attachment_check(struct attachment *attachment, double gate_seconds, struct shared_pool_fault *faults,
                                  uint64_t most, struct shared_pool_audit *audit, struct pool_failure *failure) {
    int gate;
    *audit = (struct shared_pool_audit){0};
    *failure = (struct pool_failure){0};
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    enum pool_status status = gate_enter(attachment, gate_seconds, &gate, failure);
    if (status != POOL_OK) {
        return status;
    }
    struct slot_set dead, used, now, own = {{0}};
    slot_set_add(&own, attachment->slot);
    attachment_dead_slots(attachment, &dead);
    (void)attachment_recover_slots(attachment, &dead);
    slots_used(attachment->memory, &attachment->geometry, &now);
    do {
        used = now;
        bool alone = slot_set_equals(&used, &own); /* and stays so: attaching needs the gate */
        for (unsigned looks = 0; looks < CHECK_LOOKS; looks++) {
            uint64_t healed = audit->healed;
            shared_pool_check(&attachment->shared, &used, alone, true, faults, most, audit);
            audit->healed += healed;
            check_names(attachment, faults, most, audit);
            queues_check(&attachment->queues, &used, alone, true, faults, most, audit);
            if (!alone || audit->faults == 0) {
                break;
            }
            alone = os_at_rest(
                REST_SECONDS); /* if another thread was halfway through something, the next look finds no fault */
        }
        slots_used(attachment->memory, &attachment->geometry, &now);
    } while (audit->faults &&
             !slot_set_equals(&now, &used)); /* a process that forks takes a slot for its child without the gate */
    gate_leave(attachment, gate);
    return POOL_OK;
}
