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

uint64_t layout_small_blocks(uint64_t block_size, uint64_t blocks) {
    uint64_t wanted = block_size * blocks / 64 / LAYOUT_SMALL, least = (UINT64_C(128) << 10) / LAYOUT_SMALL,
             most = (UINT64_C(16) << 20) / LAYOUT_SMALL;
    return wanted < least ? least : wanted > most ? most : wanted;
}

bool layout_plan(struct layout_geometry *geometry, uint64_t block_size, uint64_t blocks, unsigned processes,
                 uint64_t small_blocks) {
    if (block_size < 8 || block_size % 8 || blocks < 1 || blocks > LEDGER_MOST_BLOCKS ||
        block_size > LAYOUT_MOST_BYTES / blocks || processes < 1 || processes > LAYOUT_MOST_PROCESSES ||
        small_blocks < 1 || small_blocks > LAYOUT_MOST_SMALL) {
        return false;
    }
    geometry->magic = LAYOUT_MAGIC;
    geometry->version = LAYOUT_VERSION;
    geometry->block_size = block_size;
    geometry->blocks = blocks;
    geometry->processes = (uint16_t)processes;
    geometry->small_blocks = small_blocks;
    geometry->catalog_at = LAYOUT_PAGE + processes * sizeof(struct slot_record);
    geometry->bitmap_at = geometry->catalog_at + CATALOG_NAMES * sizeof(struct catalog_entry);
    geometry->entries_at = geometry->bitmap_at + bitmap_bytes(blocks);
    uint64_t end = layout_small_at(geometry) + small_blocks * LAYOUT_SMALL;
    if (geometry->flags & LAYOUT_DEBUG) {
        end = layout_site_at(geometry, blocks);
    }
    geometry->data_at = round_up(end + layout_note_marks_bytes(geometry), LAYOUT_PAGE);
    geometry->bytes = layout_lane_cells_at(geometry, LANES_MOST);
    return true;
}

void layout_make(void *memory, struct layout_geometry *geometry) {
    struct layout_header *header = memory;
    struct bitmap bitmap;
    geometry->checksum = checksum_of(geometry);
    bitmap_init(&bitmap, (char *)memory + geometry->bitmap_at, geometry->blocks, true);
    bitmap_init(&bitmap, (char *)memory + layout_small_bitmap_at(geometry), geometry->small_blocks, true);
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
        !layout_plan(&planned, geometry->block_size, geometry->blocks, geometry->processes, geometry->small_blocks) ||
        memcmp(&planned, geometry, sizeof planned) != 0) {
        return LAYOUT_DAMAGED;
    }
    return geometry->bytes == file_bytes ? LAYOUT_OK : LAYOUT_TRUNCATED;
}

void layout_init(struct shared_pool *shared, struct shared_pool *annex, void *memory,
                 const struct layout_geometry *geometry) {
    struct layout_header *header = memory;
    char *base = memory;
    struct endings endings = {&header->endings, (atomic_word *)(void *)(base + layout_endings_at(geometry))};
    struct shared_pool_parts parts = {base + geometry->bitmap_at, base + geometry->entries_at, &header->waiting,
                                      endings};
    struct shared_pool_parts small = {base + layout_small_bitmap_at(geometry),
                                      base + layout_small_entries_at(geometry),
                                      &header->waiting,
                                      {NULL, NULL}};
    shared_pool_init(shared, &parts, geometry->blocks, geometry->block_size, geometry->processes);
    shared_pool_init(annex, &small, geometry->small_blocks, LAYOUT_SMALL, geometry->processes);
}
