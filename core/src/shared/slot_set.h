/* slot_set.h: a set of slots, private to the thread that has it: a bit for each. */
#ifndef BLOCKPOOL_SLOT_SET_H
#define BLOCKPOOL_SLOT_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/ledger.h"

#define SLOT_SET_WORDS (LEDGER_MOST_SLOTS / 64)

struct slot_set {
    uint64_t words[SLOT_SET_WORDS];
};

static inline void slot_set_add(struct slot_set *set, unsigned slot) {
    set->words[slot / 64] |= UINT64_C(1) << slot % 64;
}

static inline void slot_set_remove(struct slot_set *set, unsigned slot) {
    set->words[slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

/* False also for what is no slot. */
static inline bool slot_set_has(const struct slot_set *set, unsigned slot) {
    return slot < LEDGER_MOST_SLOTS && set->words[slot / 64] >> slot % 64 & 1;
}

static inline bool slot_set_is_empty(const struct slot_set *set) {
    uint64_t any = 0;
    for (unsigned w = 0; w < SLOT_SET_WORDS; w++) {
        any |= set->words[w];
    }
    return any == 0;
}

static inline unsigned slot_set_count(const struct slot_set *set) {
    unsigned count = 0;
    for (unsigned w = 0; w < SLOT_SET_WORDS; w++) {
        count += (unsigned)__builtin_popcountll(set->words[w]);
    }
    return count;
}

static inline bool slot_set_equals(const struct slot_set *a, const struct slot_set *b) {
    uint64_t differ = 0;
    for (unsigned w = 0; w < SLOT_SET_WORDS; w++) {
        differ |= a->words[w] ^ b->words[w];
    }
    return differ == 0;
}

/* Takes the members of `other` out of the set. */
static inline void slot_set_subtract(struct slot_set *set, const struct slot_set *other) {
    for (unsigned w = 0; w < SLOT_SET_WORDS; w++) {
        set->words[w] &= ~other->words[w];
    }
}

/* Takes all but the slots below `count` out of the set. */
static inline void slot_set_keep_first(struct slot_set *set, unsigned count) {
    for (unsigned w = count / 64; w < SLOT_SET_WORDS; w++) {
        set->words[w] &= w == count / 64 ? (UINT64_C(1) << count % 64) - 1 : 0;
    }
}

/* The first member that is `from` or greater; LEDGER_NOBODY if there is none. */
static inline unsigned slot_set_next(const struct slot_set *set, unsigned from) {
    for (unsigned w = from / 64; w < SLOT_SET_WORDS; w++) { /* also if `from` is past the last */
        uint64_t left = set->words[w] & (w == from / 64 ? UINT64_MAX << from % 64 : UINT64_MAX);
        if (left) {
            return w * 64 + (unsigned)__builtin_ctzll(left);
        }
    }
    return LEDGER_NOBODY;
}

#endif
