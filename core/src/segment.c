/* segment.c: see segment.h. */
#include "segment.h"

#include <stddef.h>
#include <string.h>

static uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

/* FNV-1a, 64 bits: against accidents, not against malice. */
static uint64_t checksum_of(const struct segment_geometry *geometry) {
    const unsigned char *bytes = (const unsigned char *)geometry;
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < offsetof(struct segment_geometry, checksum); i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

bool segment_plan(struct segment_geometry *geometry, uint64_t block_size, uint64_t blocks) {
    if (block_size < 8 || block_size % 8 || blocks < 1 || blocks > LEDGER_MOST_BLOCKS ||
        block_size > SEGMENT_MOST_BYTES / blocks) {
        return false;
    }
    geometry->magic = SEGMENT_MAGIC;
    geometry->version = SEGMENT_VERSION;
    geometry->block_size = block_size;
    geometry->blocks = blocks;
    geometry->slots_at = SEGMENT_PAGE;
    geometry->ledger_at = geometry->slots_at + SEGMENT_SLOTS * sizeof(struct segment_slot);
    geometry->records_at = round_up(geometry->ledger_at + blocks * sizeof(atomic_word), 64);
    geometry->bitmap_at = round_up(geometry->records_at + blocks * sizeof(struct shared_record), 64);
    geometry->data_at = round_up(geometry->bitmap_at + bitmap_bytes(blocks), SEGMENT_PAGE);
    geometry->bytes = round_up(geometry->data_at + blocks * block_size, SEGMENT_PAGE);
    return true;
}

void segment_make(void *memory, struct segment_geometry *geometry) {
    struct segment_header *header = memory;
    struct bitmap bitmap;
    geometry->checksum = checksum_of(geometry);
    bitmap_view(&bitmap, (char *)memory + geometry->bitmap_at, geometry->blocks, true);
    header->geometry = *geometry;
    memcpy(header->made_by, SEGMENT_LIBRARY, sizeof SEGMENT_LIBRARY);
}

enum segment_verdict segment_judge(const struct segment_geometry *geometry, uint64_t file_bytes) {
    struct segment_geometry planned = *geometry;
    if (geometry->magic != SEGMENT_MAGIC) {
        return SEGMENT_NO_POOL;
    }
    if (file_bytes < sizeof(struct segment_header)) {
        return SEGMENT_TRUNCATED;
    }
    if (geometry->version != SEGMENT_VERSION && geometry->version != 0) { /* no version 0 was ever made */
        return SEGMENT_OTHER;
    }
    if (geometry->checksum != checksum_of(geometry) || geometry->version != SEGMENT_VERSION ||
        !segment_plan(&planned, geometry->block_size, geometry->blocks) ||
        memcmp(&planned, geometry, sizeof planned) != 0) {
        return SEGMENT_DAMAGED;
    }
    return geometry->bytes == file_bytes ? SEGMENT_OK : SEGMENT_TRUNCATED;
}

void segment_view(struct shared *shared, void *memory, const struct segment_geometry *geometry) {
    struct segment_header *header = memory;
    char *base = memory;
    struct shared_parts parts = {base + geometry->bitmap_at, (atomic_word *)(base + geometry->ledger_at),
                                 (struct shared_record *)(base + geometry->records_at), &header->waiting};
    shared_view(shared, &parts, geometry->blocks, geometry->block_size);
}
