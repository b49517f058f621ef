/* shared_slots.c: see shared_slots.h. slots.c runs as it is; the kernel's part (descriptions, locks, mappings) is a table here.
 *
 * A description is open, or mapped, or neither: then its locks are gone. The death of its process takes both away.
 */
#include "shared_slots.h"

#include <errno.h>
#include <string.h>

#include "scheduler.h"
#include "slots.h"

#define MOST_DESCRIPTIONS 64

static struct description {
    unsigned process;
    bool open, mapped;
    uint64_t locks; /* a bit per byte */
} descriptions[MOST_DESCRIPTIONS];
static int made;
static _Alignas(64) unsigned char memory[SEGMENT_PAGE + SEGMENT_SLOTS * sizeof(struct segment_slot)];
static const struct segment_geometry geometry = {.slots_at = SEGMENT_PAGE};
static const struct os_descriptor segment = {.number = -1}; /* carries no locks */
static unsigned slot_of[EXPLORE_THREADS];
static void *hold_of[EXPLORE_THREADS];
static unsigned in_a_row[EXPLORE_THREADS + 1]; /* accesses of the thread since its last call of the kernel */

/* --- the accesses of slots.c --- */

void explore_step_of_slots(void);

/* A walk over all the slots is worth looking at as far as somebody uses them. */
void explore_step_of_slots(void) {
    if (in_a_row[explore_thread()]++ < EXPLORE_THREADS) {
        explore_step();
    }
}

/* --- the kernel's part --- */

static void step_of_kernel(void) {
    in_a_row[explore_thread()] = 0;
    explore_step();
}

static bool is_alive(const struct description *description) {
    unsigned step;
    return (description->open || description->mapped) && !explore_stopped(description->process, &step);
}

static bool is_locked(int by_other_than, uint64_t byte) {
    for (int d = 0; d < made; d++) {
        if (d != by_other_than && is_alive(&descriptions[d]) && descriptions[d].locks >> byte & 1) {
            return true;
        }
    }
    return false;
}

int os_verify(const struct os_descriptor *file) {
    (void)file;
    return 0;
}

int os_reopen(const struct os_descriptor *file) {
    (void)file;
    if (made == MOST_DESCRIPTIONS) {
        explore_fail("too many descriptions");
    }
    descriptions[made] = (struct description){.process = explore_thread(), .open = true};
    return made++;
}

void os_close(int file) {
    step_of_kernel();
    descriptions[file].open = false;
    explore_wake(descriptions);
}

int os_lock(int file, uint64_t byte) {
    step_of_kernel();
    if (is_locked(file, byte)) {
        return -EAGAIN;
    }
    descriptions[file].locks |= UINT64_C(1) << byte;
    return 0;
}

int os_unlock(int file, uint64_t byte) {
    step_of_kernel();
    descriptions[file].locks &= ~(UINT64_C(1) << byte);
    explore_wake(descriptions);
    return 0;
}

int os_is_locked(int file, uint64_t byte) {
    step_of_kernel();
    return is_locked(file, byte);
}

int os_hold(int file, void **page) {
    step_of_kernel();
    if (!descriptions[file].open) {
        descriptions[file].locks = 0;
    }
    descriptions[file].mapped = true;
    *page = &descriptions[file];
    return 0;
}

void os_release_hold(void *page) {
    step_of_kernel();
    ((struct description *)page)->mapped = false;
    explore_wake(descriptions);
}

pid_t os_process(void) { return (pid_t)explore_thread() + 1; }

uint64_t os_process_start(void) { return 1; }

void os_process_command(char *command, size_t size) { memset(command, 0, size); }

/* --- the scenarios --- */

void slots_stopped(void) { explore_wake(descriptions); }

void slots_set_up(void) {
    memset(memory, 0, sizeof memory);
    memset(in_a_row, 0, sizeof in_a_row);
    made = 0;
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        slot_of[t] = SLOTS_NONE;
    }
}

static bool is_dead(unsigned process) {
    unsigned step;
    return explore_stopped(process, &step);
}

static void take(void) {
    int error;
    unsigned me = explore_thread();
    unsigned slot = slots_take(&segment, memory, &geometry, &hold_of[me], NULL, &error);
    if (slot == SLOTS_NONE) {
        explore_fail("process %u got no slot", me);
    }
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        if (slot_of[t] == slot && !is_dead(t)) {
            explore_fail("slot %u belongs to process %u and to %u", slot, t, me);
        }
    }
    slot_of[me] = slot;
}

/* Looks for the dead, other than its own; returns their slots. */
static uint64_t probe(unsigned own) {
    unsigned dead_processes = 0;
    uint64_t dead;
    if (slots_dead(&segment, memory, &geometry, own, &dead) != 0) {
        explore_fail("nobody is known to be dead or alive");
    }
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        dead_processes += is_dead(t);
        if (slot_of[t] != SLOTS_NONE && dead >> slot_of[t] & 1 && !is_dead(t)) {
            explore_fail("process %u is taken for dead, and lives", t);
        }
    }
    if ((unsigned)__builtin_popcountll(dead) > dead_processes) {
        explore_fail("a newcomer is taken for dead, and lives");
    }
    return dead;
}

void slots_take_and_probe(unsigned thread) {
    if (thread == 0) {
        take();
    } else {
        (void)probe(SLOTS_NONE);
        if (thread == 1) {
            take();
            (void)probe(slot_of[1]);
        }
    }
}

static int enter(void) {
    int gate;
    while ((gate = slots_gate_try(&segment, memory)) == -EAGAIN) {
        if (is_locked(-1, SLOTS_GATE_BYTE)) { /* gate.c sleeps here */
            explore_sleep(descriptions);
        }
    }
    if (gate < 0) {
        explore_fail("the gate is shut");
    }
    if (is_locked(gate, SLOTS_GATE_BYTE)) {
        explore_fail("two are in the gate");
    }
    return gate;
}

void slots_come_and_go(unsigned thread) {
    int gate = enter();
    for (uint64_t dead = probe(SLOTS_NONE); dead; dead &= dead - 1) {
        slots_free(memory, &geometry, (unsigned)__builtin_ctzll(dead));
    }
    take();
    slots_gate_leave(gate);
    if (thread != 2) {
        gate = enter();
        unsigned slot = slot_of[thread];
        slot_of[thread] = SLOTS_NONE;
        slots_free(memory, &geometry, slot);
        slots_gate_leave(gate);
        os_release_hold(hold_of[thread]);
    }
}

void slots_at_rest(void) {
    uint64_t used = slots_used(memory, &geometry);
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        if (slot_of[t] != SLOTS_NONE && !is_dead(t) && !(used >> slot_of[t] & 1 && is_locked(-1, slot_of[t]))) {
            explore_fail("the slot of process %u is free, or not locked", t);
        }
    }
    if (is_locked(-1, SLOTS_GATE_BYTE)) {
        explore_fail("the gate is locked for ever");
    }
    (void)probe(SLOTS_NONE);
}
