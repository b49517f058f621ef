/* fork.c: the two halves of a fork; see member.h. */
#include "member_parts.h"
#include "os.h"

void member_fork_before(struct member *member, bool share, double gate_seconds) {
    struct member_failure failure;
    int gate, error;
    turn_take(); /* a child must not inherit a description that another thread has open */
    member->child = SLOTS_NONE;
    member->child_description = -1;
    member->fork_shares = share;
    bool entered = share && !member_is_stray(member) && gate_enter(member, gate_seconds, &gate, &failure) == MEMBER_OK;
    while (!member_lock(member)) { /* before the child has a slot: so that the two have the same */
        os_yield();
    }
    if (entered) {
        (void)member_recover_slots(member, member_dead_slots(member));
        member->child =
            slots_take(&member->file, member->memory, &member->geometry, NULL, &member->child_description, &error);
        if (member->child != SLOTS_NONE) {
            shared_fork(&member->shared, member->slot, member->child);
        }
        gate_leave(gate);
    }
}

void member_fork_parent(struct member *member) {
    member_unlock(member);
    if (member->child_description >= 0) {
        os_close(member->child_description);
    }
    member->child = SLOTS_NONE;
    member->child_description = -1;
    turn_end();
}

enum member_status member_fork_child(struct member *member) {
    /* the parent's hold page was not inherited, the thread that has the turn is another one, and no thread waits here */
    turn_begin_in_child();
    member_unlock(member);
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
