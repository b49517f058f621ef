/* exit.c: leaving all pools when the process ends; see member.h. */
#include "member_parts.h"
#include "os.h"
#include "os_shm.h"

#define LOOKS 10 /* a thread that was joined may still be there for a moment */
#define LOOK_SECONDS 0.0002

static bool is_alone(void) {
    unsigned looks = 1;
    while (os_threads() != 1 && looks++ < LOOKS) {
        os_sleep(LOOK_SECONDS);
    }
    return looks <= LOOKS;
}

/* What member_leave does, but unless `alone` others may be at work in the memory: then the end of the lock tells when they are not. */
static void leave_at_exit(struct member *member, bool alone, double gate_seconds) {
    struct member_failure failure;
    int gate;
    if (alone) {
        member_drop_all(member);
    }
    if (gate_enter(member, gate_seconds, &gate, &failure) == MEMBER_OK) {
        member_end_if_last(member);
        if (alone) {
            member_free_slot(member);
        }
        gate_leave(member, gate);
    }
}

void member_exit(double gate_seconds) {
    double deadline = os_now() + gate_seconds;
    bool alone = is_alone();
    turn_take(); /* nothing comes or goes any more */
    for (struct member *member = member_first(); member; member = member->next) {
        double left = deadline - os_now();
        if (!member_is_stray(member)) {
            leave_at_exit(member, alone, left > 0 ? left : 0);
        }
    }
    turn_end();
}
