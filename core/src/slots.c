/* slots.c: see slots.h. */
#include "slots.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "os.h"

int slots_gate_try(const struct os_descriptor *file, void *memory) {
    struct segment_header *header = memory;
    int gate = os_reopen(file);
    if (gate < 0) {
        return gate;
    }
    int error = os_lock(gate, SLOTS_GATE_BYTE);
    if (error) {
        os_close(gate);
        return error;
    }
    store_relaxed(&header->gate_process, (uint64_t)os_process());
    return gate;
}

void slots_gate_leave(int gate) {
    (void)os_unlock(gate, SLOTS_GATE_BYTE); /* closing is not enough if a fork inherited the descriptor */
    os_close(gate);
}

unsigned slots_take(const struct os_descriptor *file, void *memory, const struct segment_geometry *geometry,
                    void **hold, int *description, int *error) {
    *error = 0;
    for (unsigned slot = 0; slot < SEGMENT_SLOTS; slot++) {
        struct segment_slot *place = segment_slot(memory, geometry, slot);
        if (load_seq(&place->used)) {
            continue;
        }
        int locked = os_reopen(file);
        if (locked < 0) {
            *error = locked;
            return SLOTS_NONE;
        }
        uint64_t was_free = 0;
        int refused = os_lock(locked, slot);
        if (refused == 0 && compare_exchange_seq(&place->used, &was_free, 1)) {
            if (!hold) {
                *description = locked;
                return slot;
            }
            *error = os_hold(locked, hold);
            os_close(locked);
            if (*error == 0) {
                return slot;
            }
            store_release(&place->used, 0);
            return SLOTS_NONE;
        }
        os_close(locked); /* and with it the lock */
        if (refused && refused != -EAGAIN) {
            *error = refused;
            return SLOTS_NONE;
        }
    }
    return SLOTS_NONE;
}

void slots_free(void *memory, const struct segment_geometry *geometry, unsigned slot) {
    struct segment_slot *place = segment_slot(memory, geometry, slot);
    store_relaxed(&place->process, 0);
    store_release(&place->used, 0);
}

void slots_sign(void *memory, const struct segment_geometry *geometry, unsigned slot) {
    struct segment_slot *place = segment_slot(memory, geometry, slot);
    store_relaxed(&place->start, os_process_start());
    os_process_command(place->command, sizeof place->command);
    store_relaxed(&place->process, (uint64_t)os_process());
}

uint64_t slots_used(void *memory, const struct segment_geometry *geometry) {
    uint64_t used = 0;
    for (unsigned slot = 0; slot < SEGMENT_SLOTS; slot++) {
        used |= (uint64_t)(load_seq(&segment_slot(memory, geometry, slot)->used) != 0) << slot;
    }
    return used;
}

int slots_dead(const struct os_descriptor *file, void *memory, const struct segment_geometry *geometry, unsigned own,
               uint64_t *dead) {
    uint64_t found = 0;
    *dead = 0;
    int error = os_verify(file);
    for (uint64_t used = slots_used(memory, geometry); used && error == 0; used &= used - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(used);
        int locked = slot == own ? 1 : os_is_locked(file->number, slot);
        error = locked < 0 ? locked : 0;
        found |= locked == 0 ? ledger_slot_bit(slot) : 0;
    }
    if (error == 0) {
        error = os_verify(file); /* or it was another file's locks that we saw */
    }
    *dead = error ? 0 : found;
    return error;
}
