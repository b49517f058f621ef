/* Tests of layout.c: the layout, and the validation of files. */
#include "shared/layout.h"

#include "check.h"

/* The checksum once more, so that a test can forge a header that contradicts itself and yet sums up. */
static uint64_t sum_of(const struct layout_geometry *geometry) {
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < offsetof(struct layout_geometry, checksum); i++) {
        sum = (sum ^ ((const unsigned char *)geometry)[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

#define SMALL 70u /* blocks of the annexes here */

static void *made(struct layout_geometry *geometry, uint64_t block_size, uint64_t blocks, unsigned processes) {
    memset(geometry, 0, sizeof *geometry);
    CHECK(layout_plan(geometry, block_size, blocks, processes, SMALL), ==, true);
    void *memory = aligned_alloc(4096, geometry->bytes);
    memset(memory, 0, geometry->bytes);
    layout_make(memory, geometry);
    return memory;
}

/* --- layout --- */

static const uint64_t counts[] = {1, 2, 63, 64, 65, 511, 512, 513, 32768, 100000, 1000000, UINT64_C(1) << 24};
#define COUNTS (sizeof counts / sizeof *counts)
static const unsigned widths[] = {1, 2, 63, 64, 65, 255, 256, 257, 320, 321, 1000, 4095, 4096};
#define WIDTHS (sizeof widths / sizeof *widths)

static void the_parts_follow_each_other_and_are_aligned(void) {
    static const uint64_t sizes[] = {8, 24, 4096, 65536, UINT64_C(1) << 22},
                          smalls[] = {1, 64, 1000, LAYOUT_MOST_SMALL};
    for (unsigned c = 0; c < COUNTS * 4; c++) {
        for (unsigned s = 0; s < (sizeof sizes / sizeof *sizes) * WIDTHS; s++) {
            struct layout_geometry g = {0};
            uint64_t size = sizes[s / WIDTHS], processes = widths[s % WIDTHS], row = (processes + 63) / 64 * 8,
                     blocks = counts[c / 4], small = smalls[c % 4];
            CHECK(layout_plan(&g, size, blocks, (unsigned)processes, small), ==, true);
            CHECK(g.processes, ==, processes);
            CHECK(g.small_blocks, ==, small);
            CHECK(g.catalog_at, >=, LAYOUT_PAGE + processes * sizeof(struct slot_record));
            CHECK(g.bitmap_at, >=, g.catalog_at + CATALOG_NAMES * sizeof(struct catalog_entry));
            CHECK(g.entries_at, >=, g.bitmap_at + bitmap_bytes(blocks));
            /* the head, the record, the message, and the row */
            CHECK(layout_small_bitmap_at(&g), >=, g.entries_at + blocks * (32 + row));
            CHECK(layout_small_entries_at(&g), >=, layout_small_bitmap_at(&g) + bitmap_bytes(small));
            CHECK(layout_small_at(&g), >=, layout_small_entries_at(&g) + small * (32 + row));
            CHECK(layout_note_marks_at(&g), >=, layout_small_at(&g) + small * LAYOUT_SMALL);
            CHECK(g.data_at, >=, layout_note_marks_at(&g) + layout_note_pages(&g) * sizeof(atomic_half));
            CHECK(layout_endings_at(&g), >=, g.data_at + size * blocks);
            CHECK(layout_endings_at(&g) - g.data_at - size * blocks, <, LAYOUT_PAGE);
            CHECK(layout_notes_at(&g), >=, layout_endings_at(&g) + blocks * 8);
            CHECK(layout_notes_at(&g) - layout_endings_at(&g) - blocks * 8, <, LAYOUT_PAGE);
            CHECK(layout_endings_at(&g) % LAYOUT_PAGE, ==, 0);
            CHECK(layout_reserved(&g, false), ==, layout_endings_at(&g));
            CHECK(layout_reserved(&g, true), ==, layout_notes_at(&g));
            CHECK(layout_lanes_at(&g) - layout_notes_at(&g), ==, (blocks + 29) / 30 * LAYOUT_PAGE);
            CHECK(layout_lane_cells_at(&g, 0), >=, layout_lanes_at(&g) + LANES_MOST * sizeof(struct lane));
            CHECK(layout_lane_cells_at(&g, 0) % LAYOUT_PAGE, ==, 0);
            CHECK(g.bytes - layout_lane_cells_at(&g, 0), ==, UINT64_C(16) << 20);
            CHECK(g.catalog_at % 64 + g.entries_at % 64 + g.bitmap_at % 64, ==, 0);
            CHECK(layout_small_bitmap_at(&g) % 64 + layout_small_entries_at(&g) % 64 + layout_small_at(&g) % 64, ==, 0);
            CHECK(g.data_at % LAYOUT_PAGE + layout_notes_at(&g) % LAYOUT_PAGE + g.bytes % LAYOUT_PAGE, ==, 0);
        }
    }
}

static void the_annex_is_a_64th_of_the_pool_within_limits(void) {
    static const struct {
        uint64_t block_size, blocks, bytes;
    } pools[] = {
        {8, 1, 128 << 10},
        {4096, 2048, 128 << 10}, /* 8 MiB: what a 64th of it is */
        {4096, 2048 + 64, 132 << 10},
        {4096, 4096, 256 << 10},
        {4096, 8192, 512 << 10},
        {4096, 8192 + 64, 516 << 10},
        {65536, 4096, 4 << 20},
        {65536, 16384, 16 << 20}, /* 1 GiB */
        {65536, 16385, 16 << 20},
        {8, LEDGER_MOST_BLOCKS, 2 << 20},
        {UINT64_C(1) << 22, LEDGER_MOST_BLOCKS, 16 << 20},
        {LAYOUT_MOST_BYTES, 1, 16 << 20},
    };
    for (unsigned i = 0; i < sizeof pools / sizeof *pools; i++) {
        struct layout_geometry g = {0};
        uint64_t small = layout_small_blocks(pools[i].block_size, pools[i].blocks);
        CHECK(small * LAYOUT_SMALL, ==, pools[i].bytes);
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, 8, small), ==, true);
    }
}

static void no_note_lies_on_two_pages_or_on_another(void) {
    struct layout_geometry g = {0};
    CHECK(layout_plan(&g, 24, 1000, 4, 64), ==, true);
    uint64_t end = layout_notes_at(&g);
    for (uint64_t i = 0; i < g.blocks; i++) {
        uint64_t at = layout_note_at(&g, i), last = at + sizeof(struct note) - 1;
        CHECK(at, >=, end);
        CHECK(at % sizeof(atomic_word), ==, 0);
        CHECK(at / LAYOUT_PAGE, ==, last / LAYOUT_PAGE);
        CHECK((at - layout_notes_at(&g)) / LAYOUT_PAGE, ==, i / LAYOUT_NOTES_A_PAGE);
        end = last + 1;
    }
    CHECK(end, <=, g.bytes);
}

static void a_block_costs_a_cache_line_for_256_processes_and_more_for_more(void) {
    static const struct {
        unsigned processes;
        uint64_t entry;
    } costs[] = {{1, 64}, {64, 64}, {256, 64}, {257, 128}, {768, 128}, {769, 192}, {4096, 576}};
    for (unsigned i = 0; i < sizeof costs / sizeof *costs; i++) {
        struct layout_geometry g = {0};
        CHECK(layout_plan(&g, 4096, 1000000, costs[i].processes, SMALL), ==, true);
        CHECK(shared_pool_entry_bytes(costs[i].processes), ==, costs[i].entry);
        CHECK(layout_small_bitmap_at(&g) - g.bitmap_at, <=,
              (costs[i].entry + 1) * UINT64_C(1000000));                 /* with the bitmap */
        CHECK(g.bitmap_at, ==, 4096 + 65536 + 256 * costs[i].processes); /* once */
    }
}

static void numbers_out_of_range_are_refused(void) {
    static const struct {
        uint64_t block_size, blocks;
        bool fits;
    } pools[] = {
        {0, 1, false},
        {7, 1, false},
        {12, 1, false},
        {8, 0, false},
        {8, LEDGER_MOST_BLOCKS, true},
        {8, LEDGER_MOST_BLOCKS + 1, false},
        {8, UINT64_MAX, false},
        {LAYOUT_MOST_BYTES, 1, true},
        {LAYOUT_MOST_BYTES + 8, 1, false},
        {LAYOUT_MOST_BYTES, 2, false},
        {UINT64_C(1) << 63, 2, false},
        {UINT64_MAX - 7, LEDGER_MOST_BLOCKS, false},
    };
    for (unsigned i = 0; i < sizeof pools / sizeof *pools; i++) {
        struct layout_geometry g = {0};
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, 1, SMALL), ==, pools[i].fits);
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, 4096, SMALL), ==, pools[i].fits);
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, 0, SMALL), ==, false);
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, 4097, SMALL), ==, false);
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, 1 << 16 | 8, SMALL), ==,
              false); /* cut to 16 bits: 8 */
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, UINT32_MAX, SMALL), ==, false);
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, 1, 1), ==, pools[i].fits);
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, 1, LAYOUT_MOST_SMALL), ==, pools[i].fits);
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, 1, 0), ==, false);
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, 1, LAYOUT_MOST_SMALL + 1), ==, false);
        CHECK(layout_plan(&g, pools[i].block_size, pools[i].blocks, 1, UINT64_MAX), ==, false);
    }
}

/* The entries of a fresh pool, whose parts lie at these offsets, and no part in another. */
static void fresh(struct shared_pool *shared, const char *memory, const struct layout_geometry *g, uint64_t blocks,
                  uint64_t entries_at, uint64_t next_at) {
    struct shared_pool_fault fault;
    struct shared_pool_audit audit;
    const struct slot_set nobody = {{0}};
    CHECK(shared->blocks, ==, blocks);
    CHECK(shared->slots, ==, g->processes);
    CHECK(shared->row_words * 64, >=, g->processes);
    CHECK(bitmap_count(&shared->bitmap), ==, 0);
    shared_pool_check(shared, &nobody, true, true, &fault, 1, &audit);
    CHECK(audit.faults + audit.healed + audit.in_transit, ==, 0);
    for (uint64_t i = 0; i < blocks; i++) { /* an entry has its own cache lines, and ends before the next */
        struct shared_pool_entry *entry = shared_pool_entry(shared, i);
        uint64_t at = (uint64_t)((char *)entry - memory),
                 end = (uint64_t)((char *)&entry->row[shared->row_words] - memory);
        CHECK(at, ==, entries_at + i * shared_pool_entry_bytes(g->processes));
        CHECK(at % 64, ==, 0);
        CHECK(end, <=, i + 1 < blocks ? at + shared_pool_entry_bytes(g->processes) : next_at);
    }
}

static void a_fresh_segment_is_empty_and_sound(void) {
    static const uint64_t few[] = {1, 64, 70, 512, 600};
    for (unsigned c = 0; c < (sizeof few / sizeof *few) * WIDTHS; c++) {
        struct layout_geometry g;
        struct shared_pool shared, annex;
        uint64_t blocks = few[c / WIDTHS];
        unsigned processes = widths[c % WIDTHS];
        char *memory = made(&g, 64, blocks, processes);
        layout_init(&shared, &annex, memory, &g);
        fresh(&shared, memory, &g, blocks, g.entries_at, layout_small_bitmap_at(&g));
        fresh(&annex, memory, &g, SMALL, layout_small_entries_at(&g), layout_small_at(&g));
        CHECK(annex.waiting == shared.waiting, ==, true);
        CHECK((char *)layout_catalog(memory, &g) - memory, ==, g.catalog_at);
        CHECK((char *)slot_record(memory, processes - 1) - memory, ==, LAYOUT_PAGE + (processes - 1) * 256);
        CHECK((char *)layout_data(memory, &g) - memory, ==, g.data_at);
        CHECK((char *)layout_small(memory, &g) - memory, ==, layout_small_at(&g));
        CHECK(layout_validate(&g, g.bytes), ==, LAYOUT_OK);
        CHECK(memcmp(memory, &g, sizeof g), ==, 0);
        free(memory);
    }
}

static void the_pool_and_its_annex_share_no_block(void) {
    struct layout_geometry g;
    struct shared_pool shared, annex;
    struct pool_run run, small;
    char *memory = made(&g, 64, 70, 8);
    layout_init(&shared, &annex, memory, &g);
    CHECK(shared_pool_allocate(&shared, 3, 70, 0, 0, &run), ==, SHARED_POOL_OK);
    CHECK(run.index, ==, 0);
    CHECK(bitmap_count(&annex.bitmap), ==, 0);
    CHECK(shared_pool_allocate(&annex, 4, SMALL, 0, 0, &small), ==, SHARED_POOL_OK);
    CHECK(small.index, ==, 0);
    CHECK(shared_pool_drop_alone(&shared, 3, &run), ==, true);
    CHECK(bitmap_count(&annex.bitmap), ==, SMALL);
    CHECK(shared_pool_is_live(&annex, &small), ==, true);
    free(memory);
}

/* --- judgement --- */

static void any_flipped_bit_of_the_geometry_is_found(void) {
    struct layout_geometry g;
    void *memory = made(&g, 4096, 1000, 256);
    for (size_t bit = 0; bit < 8 * sizeof g; bit++) {
        struct layout_geometry bad = g;
        ((unsigned char *)&bad)[bit / 8] ^= (unsigned char)(1u << bit % 8);
        enum layout_verdict wanted = bad.magic != LAYOUT_MAGIC                      ? LAYOUT_NO_POOL
                                     : bad.version && bad.version != LAYOUT_VERSION ? LAYOUT_OTHER
                                                                                    : LAYOUT_DAMAGED;
        CHECK(layout_validate(&bad, g.bytes), ==, wanted);
    }
    free(memory);
}

static void a_contradiction_is_found_even_if_the_sum_is_right(void) {
    struct layout_geometry g;
    void *memory = made(&g, 4096, 1000, 256);
    uint64_t *fields[] = {&g.block_size, &g.blocks,    &g.small_blocks, &g.catalog_at,
                          &g.entries_at, &g.bitmap_at, &g.data_at,      &g.bytes};
    static const uint64_t values[] = {0,
                                      1,
                                      7,
                                      4088,
                                      4104,
                                      UINT64_C(1) << 24,
                                      (UINT64_C(1) << 24) + 1,
                                      1 << 30,
                                      UINT64_C(1) << 46,
                                      UINT64_C(1) << 63,
                                      UINT64_MAX - 7,
                                      UINT64_MAX};
    CHECK(sum_of(&g), ==, g.checksum);
    for (unsigned f = 0; f < sizeof fields / sizeof *fields; f++) {
        for (unsigned v = 0; v < sizeof values / sizeof *values; v++) {
            struct layout_geometry was = g;
            *fields[f] = values[v];
            g.checksum = sum_of(&g);
            CHECK(layout_validate(&g, was.bytes), ==, LAYOUT_DAMAGED);
            CHECK(layout_validate(&g, g.bytes), !=, LAYOUT_OK);
            g = was;
        }
    }
    static const uint16_t processes[] = {0, 1, 255, 257, 4095, 4096, 4097, UINT16_MAX};
    for (unsigned i = 0; i < sizeof processes / sizeof *processes; i++) {
        g.processes = processes[i];
        g.checksum = sum_of(&g);
        CHECK(layout_validate(&g, g.bytes), ==, LAYOUT_DAMAGED);
    }
    g.processes = 256;
    g.version = 0;
    g.checksum = sum_of(&g);
    CHECK(layout_validate(&g, g.bytes), ==, LAYOUT_DAMAGED);
    g.version = LAYOUT_VERSION + 1;
    g.checksum = sum_of(&g);
    CHECK(layout_validate(&g, g.bytes), ==, LAYOUT_OTHER);
    free(memory);
}

/* The first page of a segment as the releases before queues made it. */
static void a_segment_of_version_3_is_another_version_and_says_who_made_it(void) {
    struct {
        uint64_t magic;
        uint32_t version;
        uint16_t flags, processes;
        uint64_t block_size, blocks, slots_at, catalog_at, bitmap_at, entries_at, data_at, bytes;
        unsigned char id[16];
        uint64_t checksum;
        char made_by[24];
    } old = {LAYOUT_MAGIC, 3, 0, 8, 64, 70, 4096, 6144, 71680, 71808, 77824, 86016, {1}, 99, "0.1.0"};
    CHECK(offsetof(__typeof__(old), made_by), ==, 104);
    struct layout_geometry now;
    memcpy(&now, &old, sizeof now);
    CHECK(layout_validate(&now, old.bytes), ==, LAYOUT_OTHER);
    CHECK(now.version, ==, 3);
}

/* The first page of a segment as releases with layout version 2 made it: the geometry had other fields after `blocks`,
 * but was as long. */
static void a_segment_of_version_2_is_another_version_and_says_who_made_it(void) {
    struct {
        uint64_t magic;
        uint32_t version, flags;
        uint64_t block_size, blocks, slots_at, ledger_at, records_at, bitmap_at, data_at, bytes;
        unsigned char id[16];
        uint64_t checksum;
        char made_by[24];
    } old = {LAYOUT_MAGIC, 2, 0, 64, 70, 4096, 16128, 16688, 17808, 20480, 28672, {1}, 99, "0.4.0"};
    _Static_assert(offsetof(struct layout_header, made_by) == 104, "where every version has it");
    CHECK(offsetof(__typeof__(old), made_by), ==, 104);
    struct layout_geometry now;
    memcpy(&now, &old, sizeof now);
    CHECK(layout_validate(&now, old.bytes), ==, LAYOUT_OTHER);
    CHECK(now.version, ==, 2);
    CHECK(strcmp((const char *)&old + offsetof(struct layout_header, made_by), "0.4.0"), ==, 0);
}

static void a_file_of_another_size_is_refused(void) {
    struct layout_geometry g;
    void *memory = made(&g, 4096, 1000, 256);
    static const int64_t off[] = {-4096, -1, 1, 4096, 1 << 20};
    for (unsigned i = 0; i < sizeof off / sizeof *off; i++) {
        CHECK(layout_validate(&g, g.bytes + (uint64_t)off[i]), ==, LAYOUT_TRUNCATED);
    }
    CHECK(layout_validate(&g, UINT64_MAX), ==, LAYOUT_TRUNCATED);
    CHECK(layout_validate(&g, 4095), ==, LAYOUT_TRUNCATED);
    CHECK(layout_validate(&g, sizeof g), ==, LAYOUT_TRUNCATED);
    free(memory);
}

static void what_has_no_magic_is_no_pool_whatever_its_size(void) {
    struct layout_geometry g;
    static const uint64_t sizes[] = {104, 4095, 4096, 4097, 1 << 20};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(&g, 0, sizeof g);
        CHECK(layout_validate(&g, sizes[i]), ==, LAYOUT_NO_POOL);
        memset(&g, 'x', sizeof g);
        CHECK(layout_validate(&g, sizes[i]), ==, LAYOUT_NO_POOL);
    }
}

int main(void) {
    RUN(the_parts_follow_each_other_and_are_aligned);
    RUN(no_note_lies_on_two_pages_or_on_another);
    RUN(a_block_costs_a_cache_line_for_256_processes_and_more_for_more);
    RUN(numbers_out_of_range_are_refused);
    RUN(the_annex_is_a_64th_of_the_pool_within_limits);
    RUN(a_fresh_segment_is_empty_and_sound);
    RUN(the_pool_and_its_annex_share_no_block);
    RUN(any_flipped_bit_of_the_geometry_is_found);
    RUN(a_contradiction_is_found_even_if_the_sum_is_right);
    RUN(a_segment_of_version_3_is_another_version_and_says_who_made_it);
    RUN(a_segment_of_version_2_is_another_version_and_says_who_made_it);
    RUN(a_file_of_another_size_is_refused);
    RUN(what_has_no_magic_is_no_pool_whatever_its_size);
    return check_end();
}
