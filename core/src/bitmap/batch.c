/* batch.c: see batch.h. */
#include "bitmap/batch.h"

#include <string.h>

/* The smallest power of two that leaves half of the table empty, as an exponent. */
static unsigned log_for(uint64_t most) { return most <= 8 ? 4 : 65 - (unsigned)__builtin_clzll(most - 1); }

size_t batch_bytes(uint64_t most) {
    return (size_t)(most * sizeof(struct batch_part) + (sizeof(uint32_t) << log_for(most)));
}

void batch_init(struct batch *batch, void *memory, uint64_t most, uint64_t bits) {
    batch->parts = memory;
    batch->count = 0;
    batch->bits = bits;
    batch->table = (uint32_t *)(batch->parts + most);
    batch->log_size = 0;
    batch->log_most = log_for(most);
}

/* Where in the table the word is or would be. Multiplicative hashing, linear probing (Knuth, vol. 3, 6.4). */
static uint32_t *place_of(struct batch *batch, uint64_t word) {
    uint64_t size = UINT64_C(1) << batch->log_size;
    uint64_t at = word * UINT64_C(0x9e3779b97f4a7c15) >> (64 - batch->log_size);
    while (batch->table[at] && batch->parts[batch->table[at] - 1].word != word) {
        at = (at + 1) & (size - 1);
    }
    return &batch->table[at];
}

struct batch_part *batch_part_of(struct batch *batch, uint64_t word) {
    bool ascending = batch->count == 0 || word > batch->parts[batch->count - 1].word;
    if (batch->log_size == 0 && !ascending) {
        batch->log_size = batch->log_most;
        memset(batch->table, 0, sizeof(uint32_t) << batch->log_size);
        for (uint64_t i = 0; i < batch->count; i++) {
            *place_of(batch, batch->parts[i].word) = (uint32_t)(i + 1);
        }
    }
    struct batch_part *part = &batch->parts[batch->count];
    if (batch->log_size) {
        uint32_t *place = place_of(batch, word);
        if (*place) {
            return &batch->parts[*place - 1];
        }
        *place = (uint32_t)(batch->count + 1);
    }
    batch->count++;
    *part = (struct batch_part){word, 0};
    return part;
}

static inline __attribute__((always_inline)) uint64_t integer_at(const void *integers, unsigned width, uint64_t i) {
    return width == 4 ? (uint64_t)((const int32_t *)integers)[i] : (uint64_t)((const int64_t *)integers)[i];
}

/* Whether n integers count up from `first`. No branch in the loop, so that the compiler can vectorize it. */
static inline __attribute__((always_inline)) bool counts_up(const void *integers, unsigned width, uint64_t first,
                                                            unsigned n) {
    uint64_t differs = 0;
    uint32_t differs_half = 0;
    for (unsigned i = 0; i < n; i++) {
        if (width == 4) {
            differs_half |= ((const uint32_t *)integers)[i] ^ ((uint32_t)first + i);
        } else {
            differs |= ((const uint64_t *)integers)[i] ^ (first + i);
        }
    }
    return !(differs | differs_half);
}

/* batch_add_integers for one width. The mask of the current word stays in a register: through memory, each bit would
 * wait for the previous one to be stored and loaded. */
static inline __attribute__((always_inline)) enum batch_status
add_integers(struct batch *batch, const void *integers, unsigned width, uint64_t n, uint64_t *refused) {
    for (uint64_t i = 0; i < n;) {
        uint64_t bit = integer_at(integers, width, i), word = bit / 64;
        if (bit >= batch->bits) {
            *refused = bit;
            return BATCH_OUTSIDE;
        }
        struct batch_part *part = batch->parts + batch->count - 1;
        if (batch->count == 0 || part->word != word) {
            part = batch_part_of(batch, word);
        }
        uint64_t mask = part->mask;
        /* The rest of the word at once, if all of it comes, as from a fresh pool. */
        unsigned rest = 64 - (unsigned)(bit % 64);
        if (rest >= 8 && n - i >= rest && word * 64 + 63 < batch->bits &&
            integer_at(integers, width, i + rest - 1) == word * 64 + 63 && !(mask >> bit % 64) &&
            counts_up((const char *)integers + i * width, width, bit, rest)) {
            part->mask = mask | UINT64_MAX << bit % 64;
            i += rest;
            continue;
        }
        uint64_t twice = 0, last = word * 64 + 63 < batch->bits ? word * 64 + 63 : batch->bits - 1;
        do {
            uint64_t one = UINT64_C(1) << bit % 64;
            twice |= mask & one;
            mask |= one;
            bit = ++i < n ? integer_at(integers, width, i) : UINT64_MAX;
        } while (bit >= word * 64 && bit <= last);
        if (twice) {
            *refused = word * 64 + (unsigned)__builtin_ctzll(twice);
            return BATCH_DUPLICATE;
        }
        part->mask = mask;
    }
    return BATCH_OK;
}

enum batch_status batch_add_integers(struct batch *batch, const void *integers, unsigned width, uint64_t n,
                                     uint64_t *refused) {
    return width == 4 ? add_integers(batch, integers, 4, n, refused) : add_integers(batch, integers, 8, n, refused);
}

uint64_t batch_first(const struct batch *batch) {
    for (uint64_t i = 0; i < batch->count; i++) {
        if (batch->parts[i].mask) {
            return batch->parts[i].word * 64 + (unsigned)__builtin_ctzll(batch->parts[i].mask);
        }
    }
    return BITMAP_NONE;
}

uint64_t batch_missing(const struct batch *batch, const struct bitmap *bitmap) {
    for (uint64_t i = 0; i < batch->count; i++) {
        uint64_t missing = batch->parts[i].mask & ~load_seq(&bitmap->words[batch->parts[i].word]);
        if (missing) {
            return batch->parts[i].word * 64 + (unsigned)__builtin_ctzll(missing);
        }
    }
    return BITMAP_NONE;
}

uint64_t batch_release(struct batch *batch, struct bitmap *bitmap) {
    uint64_t released = 0;
    for (uint64_t i = 0; i < batch->count; i++) {
        struct batch_part *part = &batch->parts[i];
        uint64_t mine = fetch_and_seq(&bitmap->words[part->word], ~part->mask) & part->mask;
        bitmap_released(bitmap, part->word / BITMAP_CHUNK_WORDS);
        released += mine == UINT64_MAX ? 64 : (unsigned)__builtin_popcountll(mine);
        part->mask &= ~mine;
    }
    return released;
}

/* The bits of first .. end - 1 that are in the word of the first, as a part of a batch. */
static struct batch_part part_of_range(uint64_t first, uint64_t end) {
    uint64_t low = first % 64, here = end - first < 64 - low ? end - first : 64 - low;
    return (struct batch_part){first / 64, UINT64_MAX >> (64 - here) << low};
}

uint64_t batch_missing_range(const struct bitmap *bitmap, uint64_t first, uint64_t n) {
    for (uint64_t end = first + n; first < end; first = (first / 64 + 1) * 64) {
        struct batch_part part = part_of_range(first, end);
        uint64_t missing = batch_missing(&(struct batch){.parts = &part, .count = 1}, bitmap);
        if (missing != BITMAP_NONE) {
            return missing;
        }
    }
    return BITMAP_NONE;
}

uint64_t batch_release_range(struct bitmap *bitmap, uint64_t first, uint64_t n, uint64_t *left) {
    uint64_t released = 0;
    *left = BITMAP_NONE;
    for (uint64_t end = first + n; first < end; first = (first / 64 + 1) * 64) {
        struct batch_part part = part_of_range(first, end);
        struct batch batch = {.parts = &part, .count = 1};
        released += batch_release(&batch, bitmap);
        if (*left == BITMAP_NONE) {
            *left = batch_first(&batch);
        }
    }
    return released;
}
