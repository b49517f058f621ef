/* layout.c: see layout.h. */
#include "shared/layout.h"

#include <stddef.h>
#include <string.h>

static uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

/* FNV-1a, 64 bits: against accidents, not against malice. */
static uint64_t checksum_of(const struct layout_geometry *geometry) {
    const unsigned char *bytes = (const unsigned char *)geometry;
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < offsetof(struct layout_geometry, checksum); i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

bool layout_plan(struct layout_geometry *geometry, uint64_t block_size, uint64_t blocks, unsigned processes) {
    if (block_size < 8 || block_size % 8 || blocks < 1 || blocks > LEDGER_MOST_BLOCKS ||
        block_size > LAYOUT_MOST_BYTES / blocks || processes < 1 || processes > LAYOUT_MOST_PROCESSES) {
        return false;
    }
    geometry->magic = LAYOUT_MAGIC;
    geometry->version = LAYOUT_VERSION;
    geometry->block_size = block_size;
    geometry->blocks = blocks;
    geometry->processes = (uint16_t)processes;
    geometry->slots_at = LAYOUT_PAGE;
    geometry->catalog_at = geometry->slots_at + processes * sizeof(struct slot_record);
    geometry->bitmap_at = geometry->catalog_at + CATALOG_NAMES * sizeof(struct catalog_entry);
    geometry->entries_at = geometry->bitmap_at + bitmap_bytes(blocks);
    geometry->data_at = round_up(geometry->entries_at + blocks * shared_pool_entry_bytes(processes), LAYOUT_PAGE);
    geometry->bytes = round_up(geometry->data_at + blocks * block_size, LAYOUT_PAGE);
    return true;
}

void layout_make(void *memory, struct layout_geometry *geometry) {
    struct layout_header *header = memory;
    struct bitmap bitmap;
    geometry->checksum = checksum_of(geometry);
    bitmap_init(&bitmap, (char *)memory + geometry->bitmap_at, geometry->blocks, true);
    header->geometry = *geometry;
    memcpy(header->made_by, LAYOUT_LIBRARY, sizeof LAYOUT_LIBRARY);
}

enum layout_verdict layout_validate(const struct layout_geometry *geometry, uint64_t file_bytes) {
    struct layout_geometry planned = *geometry;
    if (geometry->magic != LAYOUT_MAGIC) {
        return LAYOUT_NO_POOL;
    }
    if (file_bytes < sizeof(struct layout_header)) {
        return LAYOUT_TRUNCATED;
    }
    if (geometry->version != LAYOUT_VERSION && geometry->version != 0) { /* there never was a version 0 */
        return LAYOUT_OTHER;
    }
    if (geometry->checksum != checksum_of(geometry) || geometry->version != LAYOUT_VERSION ||
        !layout_plan(&planned, geometry->block_size, geometry->blocks, geometry->processes) ||
        memcmp(&planned, geometry, sizeof planned) != 0) {
        return LAYOUT_DAMAGED;
    }
    return geometry->bytes == file_bytes ? LAYOUT_OK : LAYOUT_TRUNCATED;
}

void layout_init(struct shared_pool *shared, void *memory, const struct layout_geometry *geometry) {
    struct layout_header *header = memory;
    char *base = memory;
    struct shared_pool_parts parts = {base + geometry->bitmap_at, base + geometry->entries_at, &header->waiting};
    shared_pool_init(shared, &parts, geometry->blocks, geometry->block_size, geometry->processes);
}
