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

static void *made(struct layout_geometry *geometry, uint64_t block_size, uint64_t blocks) {
    memset(geometry, 0, sizeof *geometry);
    CHECK(layout_plan(geometry, block_size, blocks), ==, true);
    void *memory = aligned_alloc(4096, geometry->bytes);
    memset(memory, 0, geometry->bytes);
    layout_make(memory, geometry);
    return memory;
}

/* --- layout --- */

static const uint64_t counts[] = {1, 2, 63, 64, 65, 511, 512, 513, 32768, 100000, 1000000, UINT64_C(1) << 24};
#define COUNTS (sizeof counts / sizeof *counts)

static void the_parts_follow_each_other_and_are_aligned(void) {
    static const uint64_t sizes[] = {8, 24, 4096, 65536, UINT64_C(1) << 22};
    for (unsigned c = 0; c < COUNTS; c++) {
        for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            struct layout_geometry g = {0};
            CHECK(layout_plan(&g, sizes[s], counts[c]), ==, true);
            CHECK(g.slots_at, ==, sizeof(struct layout_header));
            CHECK(g.ledger_at, >=, g.slots_at + LAYOUT_SLOTS * sizeof(struct slot_record));
            CHECK(g.records_at, >=, g.ledger_at + 8 * counts[c]);
            CHECK(g.bitmap_at, >=, g.records_at + 16 * counts[c]);
            CHECK(g.data_at, >=, g.bitmap_at + bitmap_bytes(counts[c]));
            CHECK(g.bytes, >=, g.data_at + sizes[s] * counts[c]);
            CHECK(g.slots_at % 64 + g.ledger_at % 64 + g.records_at % 64 + g.bitmap_at % 64, ==, 0);
            CHECK(g.data_at % LAYOUT_PAGE + g.bytes % LAYOUT_PAGE, ==, 0);
            CHECK(g.bytes - g.data_at - sizes[s] * counts[c], <, LAYOUT_PAGE);
        }
    }
}

static void a_block_costs_at_most_25_bytes(void) {
    struct layout_geometry g = {0};
    CHECK(layout_plan(&g, 4096, 1000000), ==, true);
    CHECK(g.data_at - g.ledger_at, <=, 25 * UINT64_C(1000000));
    CHECK(g.ledger_at, <=, 16384); /* header and slots, once */
    CHECK(g.bytes - 1000000 * UINT64_C(4096), <=, 25 * UINT64_C(1000000) + 16384 + 2 * LAYOUT_PAGE);
    CHECK(layout_plan(&g, 4096, LEDGER_MOST_BLOCKS), ==, true);
    CHECK(g.data_at - g.ledger_at, <=, 25 * LEDGER_MOST_BLOCKS);
}

static void numbers_out_of_range_are_refused(void) {
    struct layout_geometry g = {0};
    CHECK(layout_plan(&g, 0, 1), ==, false);
    CHECK(layout_plan(&g, 7, 1), ==, false);
    CHECK(layout_plan(&g, 12, 1), ==, false);
    CHECK(layout_plan(&g, 8, 0), ==, false);
    CHECK(layout_plan(&g, 8, LEDGER_MOST_BLOCKS), ==, true);
    CHECK(layout_plan(&g, 8, LEDGER_MOST_BLOCKS + 1), ==, false);
    CHECK(layout_plan(&g, 8, UINT64_MAX), ==, false);
    CHECK(layout_plan(&g, LAYOUT_MOST_BYTES, 1), ==, true);
    CHECK(layout_plan(&g, LAYOUT_MOST_BYTES + 8, 1), ==, false);
    CHECK(layout_plan(&g, LAYOUT_MOST_BYTES, 2), ==, false);
    CHECK(layout_plan(&g, UINT64_C(1) << 63, 2), ==, false);
    CHECK(layout_plan(&g, UINT64_MAX - 7, LEDGER_MOST_BLOCKS), ==, false);
}

static void a_fresh_segment_is_empty_and_sound(void) {
    static const uint64_t few[] = {1, 64, 70, 512, 600};
    for (unsigned c = 0; c < sizeof few / sizeof *few; c++) {
        struct layout_geometry g;
        struct shared_pool shared;
        struct shared_pool_fault fault;
        struct shared_pool_audit audit;
        void *memory = made(&g, 64, few[c]);
        layout_init(&shared, memory, &g);
        CHECK(shared.blocks, ==, few[c]);
        CHECK(bitmap_count(&shared.bitmap), ==, 0);
        shared_pool_check(&shared, 0, true, &fault, 1, &audit);
        CHECK(audit.faults + audit.healed + audit.in_transit, ==, 0);
        CHECK((char *)shared.ledger - (char *)memory, ==, g.ledger_at);
        CHECK((char *)shared.records - (char *)memory, ==, g.records_at);
        CHECK((char *)slot_record(memory, &g, 46) - (char *)memory, ==, g.slots_at + 46 * 256);
        CHECK((char *)layout_data(memory, &g) - (char *)memory, ==, g.data_at);
        CHECK(layout_validate(memory, g.bytes), ==, LAYOUT_OK);
        free(memory);
    }
}

/* --- judgement --- */

static void any_flipped_bit_of_the_geometry_is_found(void) {
    struct layout_geometry g;
    void *memory = made(&g, 4096, 1000);
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
    void *memory = made(&g, 4096, 1000);
    uint64_t *fields[] = {&g.block_size, &g.blocks,    &g.slots_at, &g.ledger_at,
                          &g.records_at, &g.bitmap_at, &g.data_at,  &g.bytes};
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
    g.version = 0;
    g.checksum = sum_of(&g);
    CHECK(layout_validate(&g, g.bytes), ==, LAYOUT_DAMAGED);
    g.version = LAYOUT_VERSION + 1;
    g.checksum = sum_of(&g);
    CHECK(layout_validate(&g, g.bytes), ==, LAYOUT_OTHER);
    free(memory);
}

static void a_file_of_another_size_is_refused(void) {
    struct layout_geometry g;
    void *memory = made(&g, 4096, 1000);
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
    RUN(a_block_costs_at_most_25_bytes);
    RUN(numbers_out_of_range_are_refused);
    RUN(a_fresh_segment_is_empty_and_sound);
    RUN(any_flipped_bit_of_the_geometry_is_found);
    RUN(a_contradiction_is_found_even_if_the_sum_is_right);
    RUN(a_file_of_another_size_is_refused);
    RUN(what_has_no_magic_is_no_pool_whatever_its_size);
    return check_end();
}
