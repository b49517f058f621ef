/* Tests of quarantine.c: freed runs rest, the oldest comes out first, and none is lost. */
#include "private/quarantine.h"

#include "check.h"

#define BLOCK 16u

static struct private_pool pool;
static struct quarantine quarantine;
static void *metadata, *ring;
static unsigned char *data;

static void make(uint64_t blocks) {
    metadata = aligned_alloc(64, private_pool_metadata_bytes(blocks));
    memset(metadata, 0, private_pool_metadata_bytes(blocks));
    data = calloc(blocks, BLOCK);
    private_pool_init(&pool, metadata, data, BLOCK, blocks);
    ring = malloc(quarantine_bytes(blocks));
    quarantine_init(&quarantine, ring, blocks);
}

static void unmake(void) {
    free(metadata);
    free(data);
    free(ring);
}

static uint64_t count(void) { return bitmap_count(&pool.bitmap); }

static void a_freed_run_rests_until_others_push_it_out(void) {
    make(64); /* of which 8 may rest */
    uint64_t first = private_pool_allocate_run(&pool, 3), second = private_pool_allocate_run(&pool, 4),
             third = private_pool_allocate_run(&pool, 2);
    quarantine_add(&quarantine, &pool, first, 3);
    quarantine_add(&quarantine, &pool, second, 4);
    CHECK(count(), ==, 9); /* nothing came back */
    CHECK(quarantine.count, ==, 2);
    CHECK(quarantine.blocks, ==, 7);
    quarantine_add(&quarantine, &pool, third, 2);
    CHECK(bitmap_test(&pool.bitmap, first), ==, false); /* the oldest is out, and only that */
    CHECK(bitmap_test(&pool.bitmap, second), ==, true);
    CHECK(quarantine.blocks, ==, 6);
    CHECK(count(), ==, 6);
    unmake();
}

static void a_run_that_is_longer_than_what_may_rest_comes_back_at_once(void) {
    make(64);
    uint64_t small = private_pool_allocate(&pool), large = private_pool_allocate_run(&pool, 20);
    quarantine_add(&quarantine, &pool, small, 1);
    quarantine_add(&quarantine, &pool, large, 20);
    CHECK(quarantine.count, ==, 0);
    CHECK(count(), ==, 0);
    unmake();
}

/* Single blocks fill the ring to its last place, again and again. */
static void the_ring_is_never_too_small(void) {
    make(64);
    for (int i = 0; i < 100; i++) {
        uint64_t block = private_pool_allocate(&pool);
        CHECK(bitmap_test(&pool.bitmap, block), ==, true);
        quarantine_add(&quarantine, &pool, block, 1);
        CHECK(count(), ==, quarantine.blocks);
    }
    CHECK(quarantine.blocks, ==, 8);
    CHECK(quarantine_release_all(&quarantine, &pool), ==, true);
    CHECK(count(), ==, 0);
    unmake();
}

static void releasing_all_empties_it(void) {
    make(640);
    CHECK(quarantine_release_all(&quarantine, &pool), ==, false); /* there was nothing */
    for (int i = 0; i < 50; i++) {
        quarantine_add(&quarantine, &pool, private_pool_allocate(&pool), 1);
    }
    CHECK(count(), ==, 50);
    CHECK(quarantine_release_all(&quarantine, &pool), ==, true);
    CHECK(count(), ==, 0);
    CHECK(quarantine.blocks, ==, 0);
    unmake();
}

static void the_smallest_pool_has_room_for_one(void) {
    make(1);
    uint64_t block = private_pool_allocate(&pool);
    quarantine_add(&quarantine, &pool, block, 1);
    CHECK(count(), ==, 1);
    CHECK(quarantine_release_all(&quarantine, &pool), ==, true);
    CHECK(private_pool_allocate(&pool), ==, block);
    unmake();
}

/* The ring goes round many times; what is allocated is always what rests and what has an owner. */
static void nothing_is_lost_however_often_the_ring_goes_round(void) {
    uint64_t owned[40], lengths[40], have = 0, blocks = 0;
    make(300);
    for (int step = 0; step < 20000; step++) {
        if (have < 40 && check_below(2)) {
            uint64_t n = 1 + check_below(5), at = private_pool_allocate_run(&pool, n);
            if (at == BITMAP_NONE) {
                (void)quarantine_release_all(&quarantine, &pool);
                continue;
            }
            owned[have] = at;
            lengths[have++] = n;
            blocks += n;
        } else if (have > 0) {
            uint64_t i = check_below(have);
            quarantine_add(&quarantine, &pool, owned[i], lengths[i]);
            blocks -= lengths[i];
            owned[i] = owned[--have];
            lengths[i] = lengths[have];
        }
        CHECK(count(), ==, blocks + quarantine.blocks);
        CHECK(quarantine.blocks, <=, quarantine.most);
        CHECK(quarantine.count, <, quarantine.room);
    }
    unmake();
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(a_freed_run_rests_until_others_push_it_out);
    RUN(a_run_that_is_longer_than_what_may_rest_comes_back_at_once);
    RUN(the_ring_is_never_too_small);
    RUN(releasing_all_empties_it);
    RUN(the_smallest_pool_has_room_for_one);
    RUN(nothing_is_lost_however_often_the_ring_goes_round);
    return check_end();
}
