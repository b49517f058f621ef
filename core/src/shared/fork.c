/* fork.c: the attachments of this process, and what a forked child gets of them; see attachment.h.
 *
 * REJECTED: fork hooks of the language that uses the library. Other hooks, signals and imports run between those and
 * the fork, and each may wait for a thread that waits for this one. And a hook may fail or be skipped; then the child
 * would work on other processes' memory.
 */
#include "shared/attachment_parts.h"
#include "shared/recording.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "os/fault.h"
#include "os/lock.h"
#include "os/thread.h"

/* Seconds to wait for a gate, which is usually free soon; a fork must not wait for a stopped process. */
#define FORK_PATIENCE 0.02

static struct attachment *attachments;
static int unhandled; /* negative errno if the fork handlers could not be installed */

enum pool_status attachment_register(struct attachment *attachment, struct pool_failure *failure) {
    gate_mutex_lock();
    attachment_unregister(attachment); /* in a stray child it may be a copy of one */
    attachment_reset(attachment);
    *failure = (struct pool_failure){.error = unhandled};
    if (!unhandled) {
        attachment->next = attachments;
        attachments = attachment;
    }
    gate_mutex_unlock();
    return unhandled ? POOL_SYSTEM : POOL_OK;
}

void attachment_unregister(const struct attachment *attachment) {
    struct attachment **at = &attachments;
    while (*at && *at != attachment) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = attachment->next;
    }
}

struct attachment *attachment_first(void) { return attachments; }

/* --- before --- */

static unsigned take_slot(struct attachment *attachment) {
    return slots_take(&attachment->file, attachment->memory, &attachment->geometry, NULL,
                      &attachment->child.description, &attachment->child.error);
}

/* All slots are in use: recovers the dead and takes one of theirs. */
static void take_slot_of_dead(struct attachment *attachment) {
    struct pool_failure failure;
    int gate;
    struct slot_set dead;
    attachment_dead_slots(attachment, &dead);
    if (slot_set_is_empty(&dead)) {
        attachment->child.fate = FATE_NO_SLOT;
    } else if (gate_enter(attachment, FORK_PATIENCE, &gate, &failure) != POOL_OK) {
        attachment->child.fate = FATE_SLOTS_BUSY;
    } else {
        attachment_dead_slots(attachment, &dead);
        (void)attachment_recover_slots(attachment, &dead);
        attachment->child.slot = take_slot(attachment);
        attachment->child.fate = FATE_NO_SLOT; /* unless another process was quicker */
        gate_leave(attachment, gate);
    }
}

/* Makes the child's slot a holder of what this process holds among the blocks. */
static bool give_group(struct attachment *attachment, uint64_t first, uint64_t n, unsigned child) {
    return shared_pool_fork(&attachment->shared, attachment->slot, child, first, n) > 0;
}

/* Decides what the child gets, and makes it a holder of everything this process holds. */
static void prepare(struct attachment *attachment) {
    struct attachment_child *child = &attachment->child;
    *child = (struct attachment_child){SLOTS_NONE, -1, FATE_DETACHED, 0};
    if (attachment_is_stray(attachment)) {
        child->fate = attachment_why_stray(attachment);
        child->error = attachment->fate_error;
    } else if (attachment->on_fork == ON_FORK_SHARE) {
        struct pool_failure failure;
        if (descriptor_ready(attachment, &failure) != POOL_OK) {
            child->fate = FATE_REFUSED;
            child->error = failure.error;
            return;
        }
        child->slot = take_slot(attachment);
        if (child->slot == SLOTS_NONE && child->error == 0) {
            take_slot_of_dead(attachment);
        }
        if (child->slot != SLOTS_NONE) {
            attachment_visit_groups(attachment, give_group, child->slot);
            if (load_seq(&attachment->uses_queues)) {
                queues_fork(&attachment->queues, attachment->slot, child->slot);
            }
        } else if (child->error) {
            child->fate = FATE_REFUSED;
        }
    }
}

static void before_fork(void) {
    gate_mutex_lock();
    for (struct attachment *attachment = attachments; attachment; attachment = attachment->next) {
        while (!attachment_lock(attachment)) {
            os_yield();
        }
        if (attachment->on_fork != ON_FORK_NOTHING) {
            prepare(attachment);
        }
    }
}

/* --- after, in the parent --- */

/* The description with the lock of the child's slot; its number may have been lost, see slots.h. */
static struct os_descriptor description_of(const struct attachment *attachment) {
    return (struct os_descriptor){attachment->child.description, attachment->file.identity};
}

static void close_description(const struct attachment *attachment) {
    struct os_descriptor description = description_of(attachment);
    if (description.number >= 0) {
        os_close_kept(&description);
    }
}

static void note_stray(struct attachment *attachment) {
    const struct attachment_child *child = &attachment->child;
    if (child->slot == SLOTS_NONE && attachment->on_fork == ON_FORK_SHARE && !attachment_is_stray(attachment)) {
        attachment->strays = (struct attachment_strays){attachment->strays.count + 1, child->fate, child->error};
    }
}

struct attachment_strays attachment_take_strays(struct attachment *attachment) {
    gate_mutex_lock();
    struct attachment_strays strays = attachment->strays;
    attachment->strays.count = 0;
    gate_mutex_unlock();
    return strays;
}

static void after_fork_in_parent(void) {
    for (struct attachment *attachment = attachments; attachment; attachment = attachment->next) {
        note_stray(attachment);
        close_description(attachment);
        attachment->child = (struct attachment_child){SLOTS_NONE, -1, FATE_HAS_PART, 0};
        attachment_unlock(attachment);
    }
    gate_mutex_unlock();
}

/* --- after, in the child --- */

static const char *reason(enum attachment_fate fate) {
    switch (fate) {
    case FATE_DETACHED:
        return "it was forked with on_fork=\"detach\"";
    case FATE_NO_SLOT:
        return "when it was forked, as many processes were attached as can be";
    case FATE_SLOTS_BUSY:
        return "when it was forked, all places were taken, and another process kept it from looking for dead ones";
    case FATE_REFUSED:
        return "when it was forked, the kernel refused a descriptor or a mapping";
    default:
        return "it left";
    }
}

/* The pool's name as the program knows it. */
static const char *shown_name(const struct attachment *attachment) {
    static const size_t prefix = sizeof POOLS_PREFIX - 1;
    if (!attachment->name[0]) {
        return "without a name";
    }
    return strncmp(attachment->name, POOLS_PREFIX, prefix) == 0 ? attachment->name + prefix : attachment->name;
}

/* Explains a fault in the memory of a pool in which this process has no part. Runs in a signal handler. */
static void explain(const void *address) {
    char line[512];
    for (const struct attachment *attachment = attachments; attachment; attachment = attachment->next) {
        const char *start = attachment->memory;
        if (start && attachment_is_stray(attachment) && (const char *)address >= start &&
            (const char *)address < start + attachment->geometry.bytes) {
            const char *parts[] = {"blockpool: this process used memory of the pool ", shown_name(attachment),
                                   ", in which it has no part: ", reason(attachment->fate),
                                   ". Attach the pool again.\n"};
            size_t length = 0;
            for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
                size_t more = strlen(parts[i]);
                memcpy(line + length, parts[i], more);
                length += more;
            }
            os_say(line, length);
            return;
        }
    }
}

/* Gives up everything of the pool but its addresses. */
static void forbid(struct attachment *attachment, enum attachment_fate fate, int error) {
    static const char helpless[] = "blockpool: the kernel does not let a forked child give up the memory of a pool\n";
    attachment->fate = fate;
    attachment->fate_error = error;
    attachment->slot = SLOTS_NONE;
    if (os_forbid(attachment->memory, attachment->geometry.bytes) != 0) {
        os_say(helpless, sizeof helpless - 1);
        os_end();
    }
    os_on_fault(explain);
    descriptor_close(attachment);
}

/* Takes the part that the parent prepared; a negative errno if the kernel refuses. */
static int take_part(struct attachment *attachment) {
    struct os_descriptor description = description_of(attachment);
    int lost = os_verify(&description);
    if (lost) {
        return lost; /* and the lock with it: to others the slot is dead */
    }
    int error = os_pin_lock(attachment->child.description, &attachment->lock_page);
    if (error) {
        attachment->lock_page = NULL;
        return error;
    }
    attachment->slot = attachment->child.slot;
    attachment->slot_record = slot_record(attachment->memory, attachment->slot);
    bitmap_begin_at(&attachment->shared.bitmap, attachment->slot);
    bitmap_begin_at(&attachment->queues.annex.bitmap, attachment->slot);
    slots_sign(attachment->memory, attachment->slot);
    store_relaxed(attachment->alive, 1);
    attachment_queues_forked(attachment);
    return 0;
}

static void after_fork_in_child(void) {
    gate_mutex_reset_in_child();
    recording_forked();
    for (struct attachment *attachment = attachments, *next; attachment; attachment = next) {
        struct attachment_child *child = &attachment->child;
        next = attachment->next;
        attachment_unlock(attachment);
        attachment->lock_page = NULL; /* not inherited */
        attachment->waiters = 0;
        attachment->strays.count = 0;
        attachment_forget_recovered(attachment);
        attachment->forks++;
        if (attachment->on_fork == ON_FORK_NOTHING) {
            attachment_unmap(attachment);
            continue;
        }
        int error = child->slot != SLOTS_NONE ? take_part(attachment) : 0;
        close_description(attachment);
        if (attachment_is_stray(attachment)) {
            forbid(attachment, error ? FATE_REFUSED : child->fate, error ? error : child->error);
        }
        *child = (struct attachment_child){SLOTS_NONE, -1, FATE_HAS_PART, 0};
    }
}

/* When the library is loaded: handlers registered later run before this library's first and after its last. */
__attribute__((constructor)) static void handle_forks(void) {
    unhandled = -pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
