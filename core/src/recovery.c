/* recovery.c: bringing back what dead members held, and the audit; both under the gate. See member.h. */
#include "member_parts.h"

unsigned member_recover_slots(struct member *member, uint64_t dead) {
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

uint64_t member_dead_slots(const struct member *member) {
    uint64_t dead;
    int unknown = slots_dead(&member->file, member->memory, &member->geometry, member->slot, &dead);
    return unknown ? 0 : dead;
}

/* The same without the gate; says what keeps it from looking. */
static enum member_status look_for_dead(struct member *member, double seconds, uint64_t *dead,
                                        struct member_failure *failure) {
    if (!turn_take_within(seconds)) {
        failure->process = (uint64_t)os_process();
        return MEMBER_BUSY;
    }
    enum member_status status = descriptor_ready(member, failure);
    if (status == MEMBER_OK) {
        int error = slots_dead(&member->file, member->memory, &member->geometry, member->slot, dead);
        status = error ? member_refused(error, failure) : MEMBER_OK;
    }
    turn_end();
    return status;
}

enum member_status member_recover(struct member *member, double gate_seconds, double ticket_seconds, unsigned *slots,
                                  uint64_t *tickets, struct member_failure *failure) {
    int gate;
    *slots = 0;
    *tickets = 0;
    *failure = (struct member_failure){0};
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    uint64_t dead = 0;
    enum member_status status = look_for_dead(member, gate_seconds, &dead, failure);
    if (status != MEMBER_OK || (ticket_seconds < 0 && dead == 0)) {
        return status; /* nobody to recover */
    }
    status = gate_enter(member, gate_seconds, &gate, failure);
    if (status != MEMBER_OK) {
        return status;
    }
    *slots = member_recover_slots(member, member_dead_slots(member));
    if (ticket_seconds >= 0) {
        double before = (double)os_seconds() - ticket_seconds;
        if (before >= 0) {
            *tickets = shared_drop_tickets(&member->shared, SEGMENT_TICKET_SLOT, (uint32_t)before);
        }
    }
    gate_leave(gate);
    return MEMBER_OK;
}

enum member_status member_check(struct member *member, double gate_seconds, struct shared_fault *faults, uint64_t most,
                                uint64_t *count, uint64_t *healed, struct member_failure *failure) {
    int gate;
    *failure = (struct member_failure){0};
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    enum member_status status = gate_enter(member, gate_seconds, &gate, failure);
    if (status != MEMBER_OK) {
        return status;
    }
    (void)member_recover_slots(member, member_dead_slots(member));
    uint64_t used = slots_used(member->memory, &member->geometry) | ledger_slot_bit(SEGMENT_TICKET_SLOT);
    *count = shared_check(&member->shared, used, faults, most, healed);
    gate_leave(gate);
    return MEMBER_OK;
}
