/* batch.h: many bits of a bitmap, collected and checked before any of them changes, then released together.
 *
 * A batch keeps the bits word by word, as (word, mask) parts, so that releasing it costs one atomic instruction a word.
 * Bits in ascending order, as allocation gives them, cost one comparison each. At the first word that lies below an
 * earlier one, the batch builds a hash table of its parts and looks words up in it from then on.
 *
 * Use: batch_init, batch_add…, batch_missing, batch_release. A batch belongs to one thread.
 */
#ifndef BLOCKPOOL_BATCH_H
#define BLOCKPOOL_BATCH_H

#include "bitmap/bitmap.h"

enum batch_status {
    BATCH_OK,
    BATCH_OUTSIDE,   /* not a bit of the bitmap */
    BATCH_DUPLICATE, /* in the batch already */
};

struct batch_part {
    uint64_t word;
    uint64_t mask;
};

struct batch {
    struct batch_part *parts;
    uint64_t count;
    uint64_t bits;     /* of the bitmap */
    uint32_t *table;   /* of part numbers plus 1; 0 is an empty place */
    unsigned log_size; /* of the table; 0 until it is needed */
    unsigned log_most; /* what it will be */
};

/* Bytes that a batch of up to `most` bits needs, aligned to 8; most < 2^31. */
size_t batch_bytes(uint64_t most);

/* Makes *batch an empty batch in `memory`, for up to `most` bits of a bitmap of `bits`. */
void batch_init(struct batch *batch, void *memory, uint64_t most, uint64_t bits);

/* Adds one bit. */
static inline enum batch_status batch_add(struct batch *batch, uint64_t bit);

/* Adds n bits given as signed integers of `width` bytes, 4 or 8; a negative one is outside. Stops at the first word
 * with a refused one, and stores that in *refused. */
enum batch_status batch_add_integers(struct batch *batch, const void *integers, unsigned width, uint64_t n,
                                     uint64_t *refused);

/* The first bit of the batch that is not taken; BITMAP_NONE when all are. */
uint64_t batch_missing(const struct batch *batch, const struct bitmap *bitmap);

/* Releases every bit; returns how many this call changed from 1 to 0. The others remain in the batch: bits that another
 * caller released after batch_missing found them taken. */
uint64_t batch_release(struct batch *batch, struct bitmap *bitmap);

/* The first bit that remains in the batch; BITMAP_NONE when it is empty. */
uint64_t batch_first(const struct batch *batch);

/* The same as batch_missing and batch_release for adjacent bits first .. first + n - 1, which need no memory. *left is
 * what batch_first would return. */
uint64_t batch_missing_range(const struct bitmap *bitmap, uint64_t first, uint64_t n);
uint64_t batch_release_range(struct bitmap *bitmap, uint64_t first, uint64_t n, uint64_t *left);

/* --- what follows is here to be inlined --- */

struct batch_part *batch_part_of(struct batch *batch, uint64_t word);

static inline enum batch_status batch_add(struct batch *batch, uint64_t bit) {
    if (bit >= batch->bits) {
        return BATCH_OUTSIDE;
    }
    uint64_t mask = UINT64_C(1) << bit % 64;
    struct batch_part *part = batch->count ? &batch->parts[batch->count - 1] : NULL;
    if (__builtin_expect(!part || part->word != bit / 64, 0)) {
        part = batch_part_of(batch, bit / 64);
    }
    if (part->mask & mask) {
        return BATCH_DUPLICATE;
    }
    part->mask |= mask;
    return BATCH_OK;
}

#endif
