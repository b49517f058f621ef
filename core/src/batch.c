/* batch.c: see batch.h. */
#include "batch.h"

#include <string.h>

/* The smallest power of two that leaves half of the table empty, as an exponent. */
static unsigned log_for(uint64_t most) {
    unsigned log_size = 4;
    while (UINT64_C(1) << log_size < 2 * most) {
        log_size++;
    }
    return log_size;
}

size_t batch_bytes(uint64_t most) {
    return (size_t)(most * sizeof(struct batch_part) + (sizeof(uint32_t) << log_for(most)));
}

void batch_view(struct batch *batch, void *memory, uint64_t most, uint64_t bits) {
    batch->parts = memory;
    batch->count = 0;
    batch->bits = bits;
    batch->table = (uint32_t *)(batch->parts + most);
    batch->log_size = 0;
    batch->log_most = log_for(most);
}

/* Where in the table the word is, or would be. Multiplicative hashing, linear probing (Knuth, vol. 3, 6.4). */
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
        released += (unsigned)__builtin_popcountll(mine);
        part->mask &= ~mine;
    }
    return released;
}
