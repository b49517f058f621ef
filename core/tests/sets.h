/* sets.h: sets of slots as the tests write them: the bits of one number. */
#ifndef BLOCKPOOL_SETS_H
#define BLOCKPOOL_SETS_H

#include "shared/slots.h"

/* The bit of a slot. */
static inline uint64_t bit_of(unsigned slot) { return slot < 63 ? UINT64_C(1) << slot : 0; }

/* The set as bits; all ones if it has a slot past the 62nd. */
static inline uint64_t bits_of(const struct slot_set *set) {
    unsigned next = slot_set_next(set, 63);
    return next == LEDGER_NOBODY ? set->words[0] : UINT64_MAX;
}

static inline struct slot_set set_of(uint64_t bits) { return (struct slot_set){.words = {bits}}; }

/* Which slots hold the run at the block. */
static inline uint64_t holders_at(const struct shared_pool *shared, uint64_t index) {
    struct slot_set holders;
    shared_pool_holders(shared, index, load_seq(&shared_pool_entry(shared, index)->head), &holders);
    return bits_of(&holders);
}

/* Which slots have their bit in the row of the block. */
static inline uint64_t row_at(const struct shared_pool *shared, uint64_t index) {
    struct slot_set row;
    shared_pool_holders(shared, index, LEDGER_FREE, &row);
    return bits_of(&row);
}

/* Which slots are in use. */
static inline uint64_t used_in(void *memory, const struct layout_geometry *geometry) {
    struct slot_set used;
    slots_used(memory, geometry, &used);
    return bits_of(&used);
}

/* Which slots wait. */
static inline uint64_t waiters_of(const struct shared_pool *shared) {
    struct slot_set waiters = {{0}};
    for (unsigned w = 0; w < SLOT_SET_WORDS; w++) {
        waiters.words[w] = load_seq(&shared->waiting->slots[w]);
    }
    return bits_of(&waiters);
}

#endif
