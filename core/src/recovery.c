/* recovery.c: bringing back what dead members held, and the audit; both under the gate. See member.h. */
#include "member_parts.h"
#include "os.h"

#define CHECK_LOOKS 3
#define REST_SECONDS 0.3 /* how long to wait for one look that the other threads of this process sleep */

unsigned member_recover_slots(struct member *member, uint64_t dead) {
    unsigned count = 0;
    if (dead) { /* and the mark: who dropped tickets under the gate may have died of it */
        shared_recover(&member->shared, dead | LEDGER_MARK);
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

uint64_t member_living_slots(struct member *member) {
    struct member_failure failure;
    uint64_t dead = 0, used = slots_used(member->memory, &member->geometry);
    return look_for_dead(member, 0, &dead, &failure) == MEMBER_OK ? used & ~dead : used;
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
            *tickets = shared_drop_tickets(&member->shared, (uint32_t)before);
        }
    }
    gate_leave(member, gate);
    return MEMBER_OK;
}

enum member_status member_check(struct member *member, double gate_seconds, struct shared_fault *faults, uint64_t most,
                                struct shared_audit *audit, struct member_failure *failure) {
    int gate;
    *audit = (struct shared_audit){0};
    *failure = (struct member_failure){0};
    if (member_is_stray(member)) {
        return MEMBER_STRAY;
    }
    enum member_status status = gate_enter(member, gate_seconds, &gate, failure);
    if (status != MEMBER_OK) {
        return status;
    }
    (void)member_recover_slots(member, member_dead_slots(member));
    uint64_t used, now = slots_used(member->memory, &member->geometry);
    do {
        used = now;
        bool alone = used == ledger_slot_bit(member->slot); /* and stays so: to attach takes the gate */
        for (unsigned looks = 0; looks < CHECK_LOOKS; looks++) {
            uint64_t healed = audit->healed;
            shared_check(&member->shared, used | LEDGER_MARK, alone, faults, most, audit);
            audit->healed += healed;
            if (!alone || audit->faults == 0) {
                break;
            }
            alone = os_at_rest(REST_SECONDS); /* what another thread is in the midst of, the next look does not find */
        }
        now = slots_used(member->memory, &member->geometry);
    } while (audit->faults && now != used); /* a process that forks takes a slot for its child without the gate */
    gate_leave(member, gate);
    return MEMBER_OK;
}
