/* Tests of lanes.c and lanes.h: events that one thread puts and another takes. */
#include "check.h"

#include <pthread.h>
#include <string.h>

#include "shared/lanes.h"

static struct lane lane;
static struct lane_cell cells[LANE_CELLS], out[2 * LANE_CELLS];

static bool put(uint64_t number) {
    if (!lane_has_room(&lane, 1)) {
        lane_count_lost(&lane);
        return false;
    }
    uint64_t head = load_relaxed(&lane.head);
    lane_write(cells, head, number << 8 | LANE_FREED, ~number);
    store_release(&lane.head, head + 1);
    return true;
}

static uint64_t take(uint64_t most) { return lane_take(&lane, cells, load_seq(&lane.head), out, most); }

static bool is_number(const struct lane_cell *cell, uint64_t number) {
    return load_relaxed(&cell->what) == (number << 8 | LANE_FREED) && load_relaxed(&cell->value) == ~number;
}

static void reset(void) { memset(&lane, 0, sizeof lane); }

static void what_is_put_is_taken_in_order(void) {
    uint64_t next = 0;
    reset();
    for (uint64_t round = 0; round < 5; round++) {
        uint64_t before = next;
        for (uint64_t i = 0; i < LANE_CELLS / 2 + 7; i++) {
            CHECK(put(next++), ==, true);
        }
        CHECK(take(LANE_CELLS), ==, LANE_CELLS / 2 + 7);
        for (uint64_t i = before; i < next; i++) {
            CHECK(is_number(&out[i - before], i), ==, true);
        }
    }
    CHECK(take(LANE_CELLS), ==, 0);
    CHECK(lane.lost, ==, 0);
}

static void a_full_lane_loses_what_comes_and_keeps_what_it_has(void) {
    reset();
    for (uint64_t i = 0; i < LANE_CELLS; i++) {
        CHECK(put(i), ==, true);
    }
    CHECK(put(LANE_CELLS), ==, false);
    CHECK(put(LANE_CELLS), ==, false);
    CHECK(lane.lost, ==, 2);
    CHECK(take(10), ==, 10);
    CHECK(put(LANE_CELLS), ==, true);
    CHECK(take(2 * LANE_CELLS), ==, LANE_CELLS - 9);
    for (uint64_t i = 0; i < LANE_CELLS - 9; i++) {
        CHECK(is_number(&out[i], i + 10), ==, true);
    }
}

static void a_garbled_lane_is_emptied(void) {
    reset();
    for (uint64_t tail = 1; tail; tail <<= 1) {
        lane.head = 0;
        lane.tail = tail;
        CHECK(take(LANE_CELLS), ==, 0);
        CHECK(lane.tail, ==, 0);
    }
    lane.head = 3 * LANE_CELLS;
    CHECK(take(LANE_CELLS), ==, 0);
    lane.seen = 17; /* more than was put: there is no room, until the tail is read */
    CHECK(put(1), ==, true);
    CHECK(take(LANE_CELLS), ==, 1);
}

static void owners_are_told_apart(void) {
    static const unsigned slots[] = {0, 1, 511, 4095};
    static const uint32_t threads[] = {0, 1, 7, (1u << 22) - 1};
    for (unsigned i = 0; i < 16; i++) {
        uint64_t owner = lane_owner(slots[i / 4], threads[i % 4]);
        CHECK(owner, !=, 0);
        CHECK(lane_whose(owner), ==, owner);
        CHECK(lane_slot(owner), ==, slots[i / 4]);
        CHECK(lane_thread(owner), ==, threads[i % 4]);
    }
    CHECK(lane_slot(0), >, 4096); /* nobody's: no slot */
}

static void a_lane_passes_only_from_the_owner_that_was_seen(void) {
    uint64_t first = lane_owner(4095, 77), second = lane_owner(0, 5), seen;
    reset();
    CHECK(lane_pass(&lane, 0, first), ==, true);
    seen = lane.owner;
    CHECK(lane_whose(seen), ==, first);
    CHECK(lane_pass(&lane, first, second), ==, false);
    CHECK(lane_pass(&lane, seen, second), ==, true);
    CHECK(lane_pass(&lane, lane.owner, 0), ==, true);
    CHECK(lane_whose(lane.owner), ==, 0);
    CHECK(lane_pass(&lane, lane.owner, first), ==, true); /* one of the same name */
    CHECK(lane_whose(lane.owner), ==, first);
    CHECK(lane_pass(&lane, seen, second), ==, false);
    lane.owner = UINT64_MAX;
    CHECK(lane_pass(&lane, UINT64_MAX, second), ==, true);
    CHECK(lane.owner, ==, second);
}

#define MANY (40 * LANE_CELLS)

static void *put_many(void *unused) {
    (void)unused;
    for (uint64_t i = 0; i < MANY;) {
        i += put(i);
    }
    return NULL;
}

static void two_threads_put_and_take(void) {
    pthread_t thread;
    uint64_t next = 0;
    reset();
    CHECK(pthread_create(&thread, NULL, put_many, NULL), ==, 0);
    while (next < MANY) {
        uint64_t n = take(LANE_CELLS / 3);
        for (uint64_t i = 0; i < n; i++) {
            CHECK(is_number(&out[i], next), ==, true);
            next++;
        }
    }
    pthread_join(thread, NULL);
}

int main(void) {
    RUN(what_is_put_is_taken_in_order);
    RUN(a_full_lane_loses_what_comes_and_keeps_what_it_has);
    RUN(a_garbled_lane_is_emptied);
    RUN(owners_are_told_apart);
    RUN(a_lane_passes_only_from_the_owner_that_was_seen);
    RUN(two_threads_put_and_take);
    return check_end();
}
