/* slots.c: see slots.h. */
#include "shared/slots.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "os/lock.h"
#include "os/process.h"

/* Locks the byte through a descriptor that was just opened. -EAGAIN also if the number was lost. */
static int lock_through(const struct os_descriptor *opened, uint64_t byte) {
    int error = os_lock(opened->number, byte);
    return os_verify(opened) == 0 ? error : -EAGAIN;
}

int slots_gate_try(const struct os_descriptor *file, void *memory) {
    struct layout_header *header = memory;
    struct os_descriptor gate = {os_reopen(file), file->identity};
    if (gate.number < 0) {
        return gate.number;
    }
    int error = lock_through(&gate, SLOTS_GATE_BYTE);
    if (error) {
        os_close_kept(&gate);
        return error;
    }
    store_relaxed(&header->gate_process, (uint64_t)os_process());
    return gate.number;
}

void slots_gate_leave(const struct os_descriptor *file, int gate) {
    struct os_descriptor left = {gate, file->identity};
    if (os_verify(&left) == 0) {
        (void)os_unlock(gate, SLOTS_GATE_BYTE); /* closing is not enough if a fork inherited the descriptor */
        os_close(gate);
    }
}

/* Maps the page that keeps the lock. -EAGAIN also if the number was lost. */
static int keep_lock(const struct os_descriptor *locked, void **hold) {
    int error = os_pin_lock(locked->number, hold);
    if (os_verify(locked) == 0) {
        return error;
    }
    if (error == 0) {
        os_unpin_lock(*hold);
    }
    return -EAGAIN;
}

/* Clears the lanes that threads of the last process in the slot had; for who has just got it. */
static void clear_lanes(void *memory, const struct layout_geometry *geometry, unsigned slot) {
    struct lane *lanes = (struct lane *)(void *)((char *)memory + layout_lanes_at(geometry));
    for (unsigned i = 0; i < layout_lanes_ready(memory); i++) {
        uint64_t owner = load_relaxed(&lanes[i].owner);
        if (lane_slot(owner) == slot) {
            (void)lane_pass(&lanes[i], owner, 0);
        }
    }
}

/* Locks the slot's byte; then its last process is gone. A process that takes the slot is not at its end: that
 * must be so before the slot's bit is set, since others may look at once when it is taken for a fork. */
static int lock_slot(const struct os_descriptor *opened, void *memory, unsigned slot) {
    int error = lock_through(opened, SLOTS_BYTE(slot));
    if (error == 0) {
        store_seq(&slot_record(memory, slot)->ending, 0);
    }
    return error;
}

unsigned slots_take(const struct os_descriptor *file, void *memory, const struct layout_geometry *geometry, void **hold,
                    int *description, int *error) {
    *error = 0;
    struct layout_header *header = memory;
    for (unsigned slot = 0; slot < geometry->processes; slot++) {
        atomic_word *used = &header->used[slot / 64];
        if (load_seq(used) >> slot % 64 & 1) {
            continue;
        }
        struct os_descriptor locked = {os_reopen(file), file->identity};
        if (locked.number < 0) {
            *error = locked.number;
            return SLOTS_NONE;
        }
        int refused = lock_slot(&locked, memory, slot);
        bool taken = refused == 0 && set_bit_seq(used, slot % 64);
        if (taken) {
            clear_lanes(memory, geometry, slot);
        }
        if (taken && !hold) {
            *description = locked.number;
            return slot;
        }
        if (taken && (refused = keep_lock(&locked, hold)) != 0) {
            (void)clear_bit_seq(used, slot % 64);
            taken = false;
        }
        os_close_kept(&locked); /* and the lock with it, unless it is pinned */
        if (taken) {
            return slot;
        }
        if (refused && refused != -EAGAIN) {
            *error = refused;
            return SLOTS_NONE;
        }
    }
    return SLOTS_NONE;
}

void slots_free(void *memory, unsigned slot) {
    struct layout_header *header = memory;
    if (load_seq(&header->recording.recorder) == (uint64_t)slot + 1) { /* nobody takes the events any more */
        store_seq(&header->recording.on, 0);
        store_seq(&header->recording.recorder, 0);
    }
    store_relaxed(&slot_record(memory, slot)->process, 0);
    (void)clear_bit_seq(&header->used[slot / 64], slot % 64);
}

void slots_end(void *memory, unsigned slot) { store_seq(&slot_record(memory, slot)->ending, 1); }

void slots_sign(void *memory, unsigned slot) {
    struct slot_record *place = slot_record(memory, slot);
    store_relaxed(&place->start, os_process_start());
    os_process_command(place->command, sizeof place->command);
    store_relaxed(&place->past.allocations, slot_record_allocations(place));
    store_relaxed(&place->past.failures, load_relaxed(&place->failures));
    store_relaxed(&place->past.waits, load_relaxed(&place->waits));
    store_relaxed(&place->past.waited, load_relaxed(&place->waited));
    store_release(&place->noting, 0); /* the last one may have died in it */
    store_relaxed(&place->process, (uint64_t)os_process());
}

void slots_used(void *memory, const struct layout_geometry *geometry, struct slot_set *used) {
    const struct layout_header *header = memory;
    *used = (struct slot_set){{0}};
    for (unsigned w = 0; w * 64 < geometry->processes; w++) {
        used->words[w] = load_seq(&header->used[w]);
    }
    slot_set_keep_first(used, geometry->processes);
}

/* The slots in use, except `own`. */
static void used_by_others(void *memory, const struct layout_geometry *geometry, unsigned own, struct slot_set *used) {
    slots_used(memory, geometry, used);
    if (own != SLOTS_NONE) {
        slot_set_remove(used, own);
    }
}

bool slots_have_others(const struct os_descriptor *file, void *memory, const struct layout_geometry *geometry,
                       unsigned own) {
    struct slot_set used, later;
    used_by_others(memory, geometry, own, &used);
    for (unsigned slot = slot_set_next(&used, 0); slot != SLOTS_NONE; slot = slot_set_next(&used, slot + 1)) {
        if (load_seq(&slot_record(memory, slot)->ending) == 0 && os_is_locked(file->number, SLOTS_BYTE(slot)) != 0) {
            return true; /* also if that was a lock of another file, see slots.h: then nothing is known */
        }
    }
    used_by_others(memory, geometry, own, &later);
    if (!slot_set_is_empty(&used) && os_verify(file) != 0) {
        return true;
    }
    slot_set_subtract(&later, &used); /* a process may have taken one for its child before it died */
    return !slot_set_is_empty(&later);
}

int slots_dead(const struct os_descriptor *file, void *memory, const struct layout_geometry *geometry, unsigned own,
               struct slot_set *dead) {
    struct slot_set used, found = {{0}};
    *dead = found;
    int error = os_verify(file);
    slots_used(memory, geometry, &used);
    for (unsigned slot = slot_set_next(&used, 0); slot != SLOTS_NONE && error == 0;
         slot = slot_set_next(&used, slot + 1)) {
        int locked = slot == own ? 1 : os_is_locked(file->number, SLOTS_BYTE(slot));
        if (locked == 0) {
            slot_set_add(&found, slot);
        }
        error = locked < 0 ? locked : 0;
    }
    if (error == 0) {
        error = os_verify(file); /* otherwise these were another file's locks */
    }
    if (error == 0) {
        *dead = found;
    }
    return error;
}
