/* recovery.c: recovering what dead processes held, and the audit; both under the gate. See attachment.h. */
#include "shared/attachment_parts.h"

#include "os/process.h"
#include "os/thread.h"
#include "os/wait.h"

#define CHECK_LOOKS 3
#define REST_SECONDS 0.3 /* how long to wait until the other threads of this process sleep */

unsigned attachment_recover_slots(struct attachment *attachment, uint64_t dead) {
    unsigned count = 0;
    if (dead) { /* and the mark: a process may have died while dropping tickets under the gate */
        shared_pool_recover(&attachment->shared, dead | LEDGER_MARK);
        (void)shared_pool_mend(&attachment->shared);
        (void)fetch_and_seq(&attachment->shared.waiting->slots, ~dead);
    }
    for (uint64_t left = dead; left; left &= left - 1) { /* only now may other processes have the slots */
        slots_free(attachment->memory, &attachment->geometry, (unsigned)__builtin_ctzll(left));
        count++;
    }
    return count;
}

uint64_t attachment_dead_slots(const struct attachment *attachment) {
    uint64_t dead;
    int unknown = slots_dead(&attachment->file, attachment->memory, &attachment->geometry, attachment->slot, &dead);
    return unknown ? 0 : dead;
}

/* The same without the gate. If it cannot look, the status says why. */
static enum pool_status look_for_dead(struct attachment *attachment, double seconds, uint64_t *dead,
                                      struct pool_failure *failure) {
    if (!gate_mutex_lock_within(seconds)) {
        failure->process = (uint64_t)os_process();
        return POOL_BUSY;
    }
    enum pool_status status = descriptor_ready(attachment, failure);
    if (status == POOL_OK) {
        int error = slots_dead(&attachment->file, attachment->memory, &attachment->geometry, attachment->slot, dead);
        status = error ? pool_status_from_errno(error, failure) : POOL_OK;
    }
    gate_mutex_unlock();
    return status;
}

uint64_t attachment_living_slots(struct attachment *attachment) {
    struct pool_failure failure;
    uint64_t dead = 0, used = slots_used(attachment->memory, &attachment->geometry);
    return look_for_dead(attachment, 0, &dead, &failure) == POOL_OK ? used & ~dead : used;
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
    uint64_t dead = 0;
    enum pool_status status = look_for_dead(attachment, gate_seconds, &dead, failure);
    if (status != POOL_OK || (ticket_seconds < 0 && dead == 0)) {
        return status; /* nothing to recover */
    }
    status = gate_enter(attachment, gate_seconds, &gate, failure);
    if (status != POOL_OK) {
        return status;
    }
    *slots = attachment_recover_slots(attachment, attachment_dead_slots(attachment));
    if (ticket_seconds >= 0) {
        double before = (double)os_seconds() - ticket_seconds;
        if (before >= 0) {
            *tickets = shared_pool_drop_tickets(&attachment->shared, (uint32_t)before);
        }
    }
    gate_leave(attachment, gate);
    return POOL_OK;
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
    (void)attachment_recover_slots(attachment, attachment_dead_slots(attachment));
    uint64_t used, now = slots_used(attachment->memory, &attachment->geometry);
    do {
        used = now;
        bool alone = used == ledger_slot_bit(attachment->slot); /* and stays so: attaching needs the gate */
        for (unsigned looks = 0; looks < CHECK_LOOKS; looks++) {
            uint64_t healed = audit->healed;
            shared_pool_check(&attachment->shared, used | LEDGER_MARK, alone, faults, most, audit);
            audit->healed += healed;
            if (!alone || audit->faults == 0) {
                break;
            }
            alone = os_at_rest(
                REST_SECONDS); /* if another thread was halfway through something, the next look finds no fault */
        }
        now = slots_used(attachment->memory, &attachment->geometry);
    } while (audit->faults && now != used); /* a process that forks takes a slot for its child without the gate */
    gate_leave(attachment, gate);
    return POOL_OK;
}
