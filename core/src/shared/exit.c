/* exit.c: leaving all pools when the process ends; see attachment.h. */
#include "shared/attachment_parts.h"

#include "os/thread.h"
#include "os/wait.h"
#include "shared/look.h"

/* Like attachment_leave; but unless `alone`, other threads may still use the memory, and only the end of the lock tells
 * when they no longer do. */
static void leave_at_exit(struct attachment *attachment, bool alone, double gate_seconds) {
    struct pool_failure failure;
    int gate;
    slots_end(attachment->memory, attachment->slot);
    if (alone) {
        attachment_drop_all(attachment);
    }
    if (gate_enter(attachment, gate_seconds, &gate, &failure) == POOL_OK) {
        attachment_end_if_last(attachment);
        if (alone) {
            attachment_free_slot(attachment);
        }
        gate_leave(attachment, gate);
    }
}

void attachment_exit(double gate_seconds) {
    double deadline = os_now() + gate_seconds;
    bool alone = os_is_alone();
    gate_mutex_lock(); /* from here on no attachment comes or goes */
    for (struct attachment *attachment = attachment_first(); attachment; attachment = attachment->next) {
        double left = deadline - os_now();
        if (!attachment_is_stray(attachment) && !look_is_one(attachment)) {
            leave_at_exit(attachment, alone, left > 0 ? left : 0);
        }
    }
    gate_mutex_unlock();
}
