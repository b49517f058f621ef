/* fork.c: the memberships of this process, and what a forked child gets of them; see member.h.
 *
 * REJECTED: hooks of the language that uses the library. Other hooks, signals and imports run between those and the fork, each of which
 * may wait for a thread that waits for us; and a hook may fail or be left out, and then the child works on memory of others.
 */
#include "member_parts.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "os.h"
#include "os_fault.h"

/* Seconds for a gate that most likely is free in a moment; a fork must not wait for a stopped process. */
#define FORK_PATIENCE 0.02

static struct member *members;
static int unhandled; /* why forks are not taken care of */

enum member_status member_begin(struct member *member, struct member_failure *failure) {
    turn_take();
    member_strike(member); /* in a stray child it may be a copy of one */
    member_reset(member);
    *failure = (struct member_failure){.error = unhandled};
    if (!unhandled) {
        member->next = members;
        members = member;
    }
    turn_end();
    return unhandled ? MEMBER_SYSTEM : MEMBER_OK;
}

void member_strike(const struct member *member) {
    struct member **at = &members;
    while (*at && *at != member) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = member->next;
    }
}

struct member *member_first(void) { return members; }

/* --- before --- */

static unsigned take_slot(struct member *member) {
    return slots_take(&member->file, member->memory, &member->geometry, NULL, &member->child.description,
                      &member->child.error);
}

/* All slots are in use: takes one of the dead. */
static void take_slot_of_dead(struct member *member) {
    struct member_failure failure;
    int gate;
    if (member_dead_slots(member) == 0) {
        member->child.fate = MEMBER_NO_SLOT;
    } else if (gate_enter(member, FORK_PATIENCE, &gate, &failure) != MEMBER_OK) {
        member->child.fate = MEMBER_SLOTS_BUSY;
    } else {
        (void)member_recover_slots(member, member_dead_slots(member));
        member->child.slot = take_slot(member);
        member->child.fate = MEMBER_NO_SLOT; /* somebody else was quicker */
        gate_leave(member, gate);
    }
}

/* Decides what the child gets, and makes it a holder of all that this process holds. */
static void prepare(struct member *member) {
    struct member_child *child = &member->child;
    *child = (struct member_child){SLOTS_NONE, -1, MEMBER_DETACHED, 0};
    if (member_is_stray(member)) {
        child->fate = member_why_stray(member);
        child->error = member->fate_error;
    } else if (member->on_fork == MEMBER_FORK_SHARE) {
        struct member_failure failure;
        if (descriptor_ready(member, &failure) != MEMBER_OK) {
            child->fate = MEMBER_REFUSED;
            child->error = failure.error;
            return;
        }
        child->slot = take_slot(member);
        if (child->slot == SLOTS_NONE && child->error == 0) {
            take_slot_of_dead(member);
        }
        if (child->slot != SLOTS_NONE) {
            shared_fork(&member->shared, member->slot, child->slot);
        } else if (child->error) {
            child->fate = MEMBER_REFUSED;
        }
    }
}

static void before_fork(void) {
    turn_take();
    for (struct member *member = members; member; member = member->next) {
        while (!member_lock(member)) {
            os_yield();
        }
        if (member->on_fork != MEMBER_FORK_NOTHING) {
            prepare(member);
        }
    }
}

/* --- after, in the parent --- */

/* The description with the lock of the child's slot; its number may have been lost, see slots.h. */
static struct os_descriptor description_of(const struct member *member) {
    return (struct os_descriptor){member->child.description, member->file.identity};
}

static void close_description(const struct member *member) {
    struct os_descriptor description = description_of(member);
    if (description.number >= 0) {
        os_close_kept(&description);
    }
}

static void after_fork_in_parent(void) {
    for (struct member *member = members; member; member = member->next) {
        close_description(member);
        member->child = (struct member_child){SLOTS_NONE, -1, MEMBER_HAS_PART, 0};
        member_unlock(member);
    }
    turn_end();
}

/* --- after, in the child --- */

static const char *reason(enum member_fate fate) {
    switch (fate) {
    case MEMBER_DETACHED:
        return "it was forked with on_fork=\"detach\"";
    case MEMBER_NO_SLOT:
        return "when it was forked, as many processes were attached as can be";
    case MEMBER_SLOTS_BUSY:
        return "when it was forked, all places were taken, and another process kept it from looking for dead ones";
    case MEMBER_REFUSED:
        return "when it was forked, the kernel refused a descriptor or a mapping";
    default:
        return "it left";
    }
}

/* The pool's name as the program knows it. */
static const char *shown_name(const struct member *member) {
    static const size_t prefix = sizeof MEMBER_PREFIX - 1;
    if (!member->name[0]) {
        return "without a name";
    }
    return strncmp(member->name, MEMBER_PREFIX, prefix) == 0 ? member->name + prefix : member->name;
}

/* Tells what is behind a fault, if it is a pool in which this process has no part. In a signal handler. */
static void explain(const void *address) {
    char line[512];
    for (const struct member *member = members; member; member = member->next) {
        const char *start = member->memory;
        if (start && member_is_stray(member) && (const char *)address >= start &&
            (const char *)address < start + member->geometry.bytes) {
            const char *parts[] = {"blockpool: this process used memory of the pool ", shown_name(member),
                                   ", in which it has no part: ", reason(member->fate), ". Attach the pool again.\n"};
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

/* Leaves nothing of the pool but its addresses. */
static void forbid(struct member *member, enum member_fate fate, int error) {
    static const char helpless[] = "blockpool: the kernel does not let a forked child give up the memory of a pool\n";
    member->fate = fate;
    member->fate_error = error;
    member->slot = SLOTS_NONE;
    if (os_forbid(member->memory, member->geometry.bytes) != 0) {
        os_say(helpless, sizeof helpless - 1);
        os_end();
    }
    os_on_fault(explain);
    descriptor_close(member);
}

/* Takes the part that the parent has prepared; a negative errno when the kernel does not let it. */
static int take_part(struct member *member) {
    struct os_descriptor description = description_of(member);
    int lost = os_verify(&description);
    if (lost) {
        return lost; /* and with it the lock: for others the slot is a dead one */
    }
    int error = os_hold(member->child.description, &member->hold);
    if (error) {
        member->hold = NULL;
        return error;
    }
    member->slot = member->child.slot;
    member->place = segment_slot(member->memory, &member->geometry, member->slot);
    bitmap_begin_at(&member->shared.bitmap, member->slot);
    slots_sign(member->memory, &member->geometry, member->slot);
    store_relaxed(member->alive, 1);
    return 0;
}

static void after_fork_in_child(void) {
    turn_begin_in_child();
    for (struct member *member = members, *next; member; member = next) {
        struct member_child *child = &member->child;
        next = member->next;
        member_unlock(member);
        member->hold = NULL; /* not inherited */
        member->waiters = 0;
        member->forks++;
        if (member->on_fork == MEMBER_FORK_NOTHING) {
            member_unmap(member);
            continue;
        }
        int error = child->slot != SLOTS_NONE ? take_part(member) : 0;
        close_description(member);
        if (member_is_stray(member)) {
            forbid(member, error ? MEMBER_REFUSED : child->fate, error ? error : child->error);
        }
        *child = (struct member_child){SLOTS_NONE, -1, MEMBER_HAS_PART, 0};
    }
}

/* As soon as the library is there: what registers later runs before our first handler, and after our last. */
__attribute__((constructor)) static void handle_forks(void) {
    unhandled = -pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
