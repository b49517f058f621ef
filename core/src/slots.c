/* slots.c: see slots.h. */
#include "slots.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "os.h"

#define GATE_POLL 0.001 /* seconds between two tries */

int slots_gate_enter(int file, void *memory, double seconds) {
    struct segment_header *header = memory;
    int gate = os_reopen(file);
    if (gate < 0) {
        return gate;
    }
    double deadline = os_now() + seconds;
    int error;
    while ((error = os_lock(gate, SLOTS_GATE_BYTE)) == -EAGAIN && os_now() < deadline) {
        os_sleep(GATE_POLL);
    }
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

unsigned slots_take(int file, void *memory, const struct segment_geometry *geometry, void **hold, int *description,
                    int *error) {
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
    store_relaxed(&place->start, os_process_start(os_process()));
    os_process_command(os_process(), place->command, sizeof place->command);
    store_relaxed(&place->process, (uint64_t)os_process());
}

uint64_t slots_used(void *memory, const struct segment_geometry *geometry) {
    uint64_t used = 0;
    for (unsigned slot = 0; slot < SEGMENT_SLOTS; slot++) {
        used |= (uint64_t)(load_seq(&segment_slot(memory, geometry, slot)->used) != 0) << slot;
    }
    return used;
}

uint64_t slots_dead(int file, void *memory, const struct segment_geometry *geometry, unsigned own) {
    uint64_t dead = 0;
    int probe = os_reopen(file);
    if (probe < 0) {
        return 0;
    }
    for (uint64_t used = slots_used(memory, geometry); used; used &= used - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(used);
        if (slot != own && os_is_locked(probe, slot) == 0) {
            dead |= ledger_slot_bit(slot);
        }
    }
    os_close(probe);
    return dead;
}
