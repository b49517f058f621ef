/* shared_slots.c: see shared_slots.h. The real slots.c runs on the kernel of kernel.c. */
#include "shared_slots.h"

#include <errno.h>
#include <string.h>

#include "kernel.h"
#include "os/lock.h"
#include "shared/slots.h"
#include "steps.h"

static const struct layout_geometry geometry = {.processes = 2 * PROCESSES};
static const struct os_descriptor segment = {.number = -1}; /* carries no locks */
static unsigned char *memory;
static unsigned slot_of[EXPLORE_THREADS];
static void *hold_of[EXPLORE_THREADS];

void slots_stopped(void) { kernel_stopped(); }

void slots_set_up(void) {
    kernel_set_up(true);
    steps_set_up(COARSE, FINE);
    memory = kernel_memory(0);
    steps_idle(NULL, 0);
    steps_pool((const void *)memory, layout_catalog(memory, &geometry));
    memset(memory, 0, LAYOUT_PAGE + geometry.processes * sizeof(struct slot_record));
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

/* Looks for the dead, other than its own. */
static void probe(unsigned own, struct slot_set *dead) {
    unsigned dead_processes = 0;
    if (slots_dead(&segment, memory, &geometry, own, dead) != 0) {
        explore_fail("nobody is known to be dead or alive");
    }
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        dead_processes += is_dead(t);
        if (slot_of[t] != SLOTS_NONE && slot_set_has(dead, slot_of[t]) && !is_dead(t)) {
            explore_fail("process %u is taken for dead, and lives", t);
        }
    }
    if (slot_set_count(dead) > dead_processes) {
        explore_fail("a newcomer is taken for dead, and lives");
    }
}

void slots_take_and_probe(unsigned thread) {
    struct slot_set dead;
    if (thread == 0) {
        take();
    } else {
        probe(SLOTS_NONE, &dead);
        if (thread == 1) {
            take();
            probe(slot_of[1], &dead);
        }
    }
}

static int enter(void) {
    int gate;
    while ((gate = slots_gate_try(&segment, memory)) == -EAGAIN) {
        if (kernel_is_locked(0, -1, SLOTS_GATE_BYTE)) { /* gate.c sleeps here */
            kernel_await_lock();
        }
    }
    if (gate < 0) {
        explore_fail("the gate is shut");
    }
    if (kernel_is_locked(0, gate, SLOTS_GATE_BYTE)) {
        explore_fail("two are in the gate");
    }
    return gate;
}

void slots_come_and_go(unsigned thread) {
    struct slot_set dead;
    int gate = enter();
    probe(SLOTS_NONE, &dead);
    for (unsigned slot = slot_set_next(&dead, 0); slot != SLOTS_NONE; slot = slot_set_next(&dead, slot + 1)) {
        slots_free(memory, slot);
    }
    take();
    slots_gate_leave(&segment, gate);
    if (thread != 2) {
        gate = enter();
        unsigned slot = slot_of[thread];
        slot_of[thread] = SLOTS_NONE;
        slots_free(memory, slot);
        slots_gate_leave(&segment, gate);
        os_unpin_lock(hold_of[thread]);
    }
}

void slots_at_rest(void) {
    struct slot_set used, dead;
    slots_used(memory, &geometry, &used);
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        if (slot_of[t] != SLOTS_NONE && !is_dead(t) &&
            !(slot_set_has(&used, slot_of[t]) && kernel_is_locked(0, -1, SLOTS_BYTE(slot_of[t])))) {
            explore_fail("the slot of process %u is free, or not locked", t);
        }
    }
    if (kernel_is_locked(0, -1, SLOTS_GATE_BYTE)) {
        explore_fail("the gate is locked forever");
    }
    probe(SLOTS_NONE, &dead);
}
