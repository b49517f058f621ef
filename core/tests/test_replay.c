/* Tests of replay.c: what pools and heaps do with a trace, waits by a model, and columns that make no sense. */
#include "replay/replay.h"

#include "check.h"

#define MOST_EVENTS 4000
#define MOST_BLOCKS 4096

/* --- a trace, and pools without memory behind them --- */

static uint8_t kind[MOST_EVENTS];
static int64_t size[MOST_EVENTS], when[MOST_EVENTS];
static int32_t id[MOST_EVENTS], thread[MOST_EVENTS];
static struct replay replay;
static void *memory;
static struct private_pool pools[REPLAY_POOLS];
static void *metadata[REPLAY_POOLS];

static void begin_trace(void) { replay = (struct replay){.trace = {kind, size, id, thread, when, 0, 0, 1}}; }

static void add(uint8_t of_kind, int32_t of_id, int64_t of_size, int32_t of_thread, int64_t at) {
    uint64_t e = replay.trace.events++;
    kind[e] = of_kind;
    id[e] = of_id;
    size[e] = of_size;
    thread[e] = of_thread;
    when[e] = at;
}

static void add_pool(uint64_t block_size, uint64_t blocks, void *data, int64_t above, int64_t up_to) {
    unsigned p = replay.pool_count++;
    size_t bytes = private_pool_metadata_bytes(blocks);
    metadata[p] = aligned_alloc(64, bytes);
    memset(metadata[p], 0, bytes);
    private_pool_init(&pools[p], metadata[p], data, block_size, blocks);
    replay.pools[p] = (struct replay_pool){.pool = &pools[p], .above = above, .up_to = up_to};
}

static void add_one_pool(uint64_t block_size, uint64_t blocks) { add_pool(block_size, blocks, NULL, -1, INT64_MAX); }

static void begin(void) {
    replay.trace.ids = replay_count_ids(kind, replay.trace.events);
    size_t bytes = replay_bytes(&replay.trace, replay.wait != 0);
    memory = calloc(1, bytes);
    replay_begin(&replay, memory);
}

static enum replay_status go_through(uint64_t step) {
    enum replay_status status = REPLAY_GOES_ON;
    while (status == REPLAY_GOES_ON) {
        status = replay_go_on(&replay, step);
    }
    return status;
}

static void end(void) {
    replay_end(&replay);
    for (unsigned p = 0; p < replay.pool_count; p++) {
        CHECK(bitmap_count(&pools[p].bitmap), ==, 0);
        CHECK(private_pool_runs(&pools[p]), ==, 0);
        free(metadata[p]);
    }
    free(memory);
}

/* --- pools --- */

static void a_request_gets_as_many_blocks_as_it_needs(void) {
    begin_trace();
    add(0, 0, 0, 0, 0);
    add(0, 1, 1, 0, 0);
    add(0, 2, 64, 0, 0);
    add(0, 3, 65, 0, 0);
    add(0, 4, 1000, 0, 0);
    add(1, 4, 0, 0, 0);
    add_one_pool(64, 100);
    begin();
    CHECK(go_through(1), ==, REPLAY_DONE);
    CHECK(replay.allocations, ==, 5);
    CHECK(replay.failures, ==, 0);
    CHECK(replay.peak, ==, 1130);
    CHECK(replay.asked, ==, 130);
    CHECK(replay.pools[0].peak, ==, 1 + 1 + 1 + 2 + 16);
    CHECK(replay.pools[0].in_use, ==, 5);
    CHECK(replay.pools[0].longest, ==, 16);
    CHECK(replay.pools[0].asked_at_peak, ==, 1130);
    CHECK(bitmap_count(&pools[0].bitmap), ==, 5);
    end();
}

static void a_refused_request_is_counted_and_its_free_is_skipped(void) {
    begin_trace();
    add(0, 0, 64, 0, 0);
    add(0, 1, 65, 0, 0);        /* there is one block */
    add(0, 2, INT64_MAX, 0, 0); /* no pool has that many */
    add(1, 2, 0, 0, 0);
    add(1, 1, 0, 0, 0);
    add(1, 0, 0, 0, 0);
    add(0, 3, 65, 0, 0);
    add_one_pool(64, 2);
    begin();
    CHECK(go_through(100), ==, REPLAY_DONE);
    CHECK(replay.allocations, ==, 2);
    CHECK(replay.failures, ==, 2);
    CHECK(replay.pools[0].longest, ==, ((uint64_t)INT64_MAX - 1) / 64 + 1);
    end();
}

static void each_pool_has_its_sizes_and_what_fits_none_is_refused(void) {
    begin_trace();
    add(0, 0, 0, 0, 0);
    add(0, 1, 64, 0, 0);
    add(0, 2, 65, 0, 0);
    add(0, 3, 4096, 0, 0);
    add(0, 4, 4097, 0, 0);
    add(0, 5, 8192, 0, 0);
    add(0, 6, 8193, 0, 0);
    add_pool(64, 10, NULL, -1, 64);
    add_pool(4096, 10, NULL, 4096, 8192);
    add_pool(1024, 10, NULL, 64, 4096);
    begin();
    CHECK(go_through(3), ==, REPLAY_DONE);
    CHECK(replay.pools[0].peak, ==, 2);
    CHECK(replay.pools[1].peak, ==, 4);
    CHECK(replay.pools[2].peak, ==, 1 + 4);
    CHECK(replay.failures, ==, 1);
    end();
}

/* A pool that is driven by the calls of a program must refuse the same, and have the same bits at the end. */
static void a_pool_is_driven_as_a_program_drives_it(void) {
    static uint64_t first[MOST_EVENTS], blocks[MOST_EVENTS];
    struct private_pool other;
    for (int turn = 0; turn < 50; turn++) {
        uint64_t n = 1 + check_below(2000), failures = 0, in_use = 0, peak = 0;
        int32_t ids = 0;
        begin_trace();
        add_one_pool(32, n);
        size_t bytes = private_pool_metadata_bytes(n);
        void *bookkeeping = aligned_alloc(64, bytes);
        memset(bookkeeping, 0, bytes);
        private_pool_init(&other, bookkeeping, NULL, 32, n);
        os_thread_pose(1);
        for (int e = 0; e < MOST_EVENTS; e++) {
            int32_t one = ids ? (int32_t)check_below((uint64_t)ids) : 0;
            if (ids && check_below(9) < 4 && blocks[one] != UINT64_MAX) {
                add(1, one, 0, 0, 0);
                if (first[one] != BITMAP_NONE) {
                    CHECK(private_pool_release(&other, first[one], blocks[one]), ==, blocks[one]);
                    in_use -= blocks[one];
                }
                blocks[one] = UINT64_MAX; /* no second free */
                continue;
            }
            uint64_t wanted = check_below(3) ? 1 : 1 + check_below(200);
            add(0, ids, (int64_t)(wanted * 32 - check_below(32)), 0, 0);
            first[ids] = wanted == 1 ? private_pool_allocate(&other) : private_pool_allocate_run(&other, wanted);
            blocks[ids] = wanted;
            failures += first[ids] == BITMAP_NONE;
            in_use += first[ids] == BITMAP_NONE ? 0 : wanted;
            peak = in_use > peak ? in_use : peak;
            ids++;
        }
        begin();
        CHECK(go_through(777), ==, REPLAY_DONE);
        CHECK(replay.failures, ==, failures);
        CHECK(replay.pools[0].peak, ==, peak);
        for (uint64_t w = 0; w < (n + 63) / 64; w++) {
            CHECK(load_seq(&pools[0].bitmap.words[w]), ==, load_seq(&other.bitmap.words[w]));
        }
        end();
        free(bookkeeping);
    }
}

static void threads_of_the_trace_begin_where_threads_of_a_program_would(void) {
    uint32_t own = os_thread_number();
    begin_trace();
    replay.trace.threads = 2;
    add(0, 0, 1, 0, 0);
    add(0, 1, 1, 1, 0);
    add_one_pool(8, 1024);
    begin();
    CHECK(go_through(2), ==, REPLAY_DONE);
    CHECK(bitmap_test(&pools[0].bitmap, 0), ==, true);
    CHECK(bitmap_test(&pools[0].bitmap, 512), ==, true);
    CHECK(os_thread_number(), ==, own);
    end();
}

static void touching_writes_one_byte_to_each_page_of_the_request(void) {
    unsigned char *data = aligned_alloc(4096, 10 * 4096);
    for (int64_t asked = 0; asked <= 3 * 4096 + 1; asked += asked < 3 || asked % 4096 >= 4095 ? 1 : 31) {
        memset(data, 0, 10 * 4096);
        begin_trace();
        replay.touch = true;
        add(0, 0, 1, 0, 0);
        add(0, 1, asked, 0, 0);
        add_pool(1000, 40, data, -1, INT64_MAX);
        begin();
        CHECK(go_through(2), ==, REPLAY_DONE);
        int64_t start = 1000, written = 0;
        for (int64_t at = 0; at < 40000; at++) {
            written += data[at] && at != 0;
            CHECK(data[at] == 0 || at == 0 || (at >= start && at < start + asked), ==, true);
        }
        CHECK(written, ==, asked ? (start + asked - 1) / 4096 - start / 4096 + 1 : 0);
        end();
    }
    free(data);
}

/* --- heaps --- */

static unsigned heap_calls, heap_frees, heap_fails_at;

static void *heap_allocate(size_t bytes) { return ++heap_calls == heap_fails_at ? NULL : malloc(bytes); }

static void heap_free(void *block) {
    heap_frees++;
    free(block);
}

static void a_heap_gets_the_calls_and_all_is_freed_at_the_end(void) {
    begin_trace();
    heap_calls = heap_frees = 0;
    heap_fails_at = 2;
    replay.touch = true;
    replay.wait = 1000; /* nothing waits for a heap */
    replay.heap = (struct replay_heap){heap_allocate, heap_free};
    add(0, 0, 5000, 0, 0);
    add(0, 1, 70, 0, 0);
    add(0, 2, 0, 0, 0);
    add(1, 0, 0, 0, 0);
    add(1, 1, 0, 0, 0);
    begin();
    CHECK(go_through(2), ==, REPLAY_DONE);
    CHECK(heap_calls, ==, 3);
    CHECK(heap_frees, ==, 1);
    CHECK(replay.failures, ==, 1);
    CHECK(replay.waits, ==, 0);
    CHECK(replay.peak, ==, 5000);
    end();
    CHECK(heap_frees, ==, 2);
}

/* --- waiting --- */

static void a_request_waits_until_there_is_room_and_its_thread_with_it(void) {
    begin_trace();
    replay.trace.threads = 2;
    replay.wait = 100;
    add(0, 0, 8, 0, 0);
    add(0, 1, 8, 1, 10); /* waits */
    add(0, 2, 0, 1, 11); /* behind it */
    add(1, 2, 0, 1, 12);
    add(1, 0, 0, 0, 50); /* serves it */
    add(1, 1, 0, 1, 60);
    add_one_pool(8, 1);
    begin();
    CHECK(go_through(1), ==, REPLAY_DONE);
    CHECK(replay.allocations, ==, 2);
    CHECK(replay.failures, ==, 1); /* id 2 waited too, until the end, for id 1 is freed behind it */
    CHECK(replay.waits, ==, 2);
    CHECK(replay.waited, ==, 40 + 10);
    CHECK(replay.pools[0].peak, ==, 1);
    end();
}

static void a_request_whose_time_is_up_is_refused(void) {
    for (int64_t late = 0; late < 2; late++) {
        begin_trace();
        replay.trace.threads = 2;
        replay.wait = 100;
        add(0, 0, 8, 0, 0);
        add(0, 1, 8, 1, 10);
        add(1, 0, 0, 0, 110 + late);
        add_one_pool(8, 1);
        begin();
        CHECK(go_through(1), ==, REPLAY_DONE);
        CHECK(replay.failures, ==, late);
        CHECK(replay.waits, ==, 1);
        CHECK(replay.waited, ==, 100);
        end();
    }
}

static void requests_are_served_in_the_order_in_which_they_came(void) {
    begin_trace();
    replay.trace.threads = 4;
    replay.wait = 1000;
    add(0, 0, 16, 0, 0);
    add(0, 1, 16, 1, 1); /* waits for two blocks */
    add(0, 2, 8, 2, 2);  /* waits for one */
    add(0, 3, 8, 3, 3);
    add(1, 0, 0, 0, 10); /* serves id 1 */
    add(1, 1, 0, 0, 20); /* serves ids 2 and 3 */
    add_one_pool(8, 2);
    begin();
    CHECK(go_through(1), ==, REPLAY_DONE);
    CHECK(replay.allocations, ==, 4);
    CHECK(replay.waits, ==, 3);
    CHECK(replay.waited, ==, 9 + 18 + 17);
    end();
}

static void a_free_of_what_is_waited_for_waits_too(void) {
    begin_trace();
    replay.trace.threads = 3;
    replay.wait = 1000;
    add(0, 0, 8, 0, 0);
    add(0, 1, 8, 1, 1);
    add(1, 1, 0, 2, 2); /* by another thread */
    add(0, 2, 9, 2, 3); /* for two blocks: the pool never has them, so this does not wait */
    add(1, 0, 0, 0, 10);
    add(0, 3, 8, 2, 11); /* the block is free again */
    add_one_pool(8, 1);
    begin();
    CHECK(go_through(1), ==, REPLAY_DONE);
    CHECK(replay.allocations, ==, 3);
    CHECK(replay.failures, ==, 1);
    CHECK(replay.waits, ==, 1);
    end();
}

/* Ids 0 to 199 have a block each of 200; a run of three waits, and blocks around a word's end are freed one by one. */
static void a_run_is_served_by_the_last_of_its_blocks_that_is_freed(void) {
    static const int32_t orders[][3] = {{126, 127, 128}, {128, 127, 126}, {126, 128, 127},
                                        {63, 64, 65},    {197, 198, 199}, {2, 1, 0}};
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
        begin_trace();
        replay.trace.threads = 2;
        replay.wait = 1000;
        for (int32_t i = 0; i < 200; i++) {
            add(0, i, 8, 0, 0);
        }
        add(0, 200, 24, 1, 0);
        for (int f = 0; f < 3; f++) {
            add(1, orders[o][f], 0, 0, 10 + f);
        }
        add(1, 50, 0, 0, 500);
        add_one_pool(8, 200);
        begin();
        CHECK(go_through(1), ==, REPLAY_DONE);
        CHECK(replay.failures, ==, 0);
        CHECK(replay.waited, ==, 12);
        end();
    }
}

static void what_waits_when_the_trace_ends_is_refused_and_its_thread_goes_on(void) {
    begin_trace();
    replay.trace.threads = 2;
    replay.wait = INT64_MAX;
    add(0, 0, 8, 0, 0);
    add(0, 1, 8, 0, 5);  /* waits for what its own thread holds */
    add(1, 0, 0, 0, 7);  /* behind it */
    add(0, 2, 8, 1, 10); /* waits; served once the trace is at its end */
    add_one_pool(8, 1);
    begin();
    CHECK(go_through(1), ==, REPLAY_DONE);
    CHECK(replay.failures, ==, 1);
    CHECK(replay.allocations, ==, 2);
    CHECK(replay.waits, ==, 2);
    CHECK(replay.waited, ==, 5 + 0);
    end();
}

/* --- columns that make no sense --- */

static enum replay_status status_of(int64_t wait) {
    replay.wait = wait;
    add_one_pool(8, 4);
    begin();
    enum replay_status status = go_through(3);
    end();
    return status;
}

static void an_event_that_cannot_be_has_a_status(void) {
    for (int64_t wait = 0; wait < 2; wait++) {
        struct {
            enum replay_status status;
            uint8_t kind;
            int32_t id;
            int64_t size;
            int32_t thread;
        } bad[] = {
            {REPLAY_BAD_KIND, 2, 1, 8, 0},         {REPLAY_BAD_KIND, 255, 1, 8, 0},
            {REPLAY_BAD_SIZE, 0, 1, -1, 0},        {REPLAY_BAD_SIZE, 0, 1, INT64_MIN, 0},
            {REPLAY_BAD_ID, 0, 4, 8, 0},           {REPLAY_BAD_ID, 1, INT32_MAX, 8, 0},
            {REPLAY_BAD_ID, 1, -1, 8, 0},          {REPLAY_BAD_ID, 0, INT32_MIN, 8, 0},
            {REPLAY_BAD_THREAD, 0, 1, 8, 1},       {REPLAY_BAD_THREAD, 1, 0, 8, -1},
            {REPLAY_BAD_THREAD, 1, 0, 8, 1 << 30}, {REPLAY_ALLOCATED, 0, 0, 8, 0},
            {REPLAY_NOT_ALLOCATED, 1, 2, 8, 0},
        };
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            begin_trace();
            add(0, 0, 8, 0, 1);
            add(bad[b].kind, bad[b].id, bad[b].size, bad[b].thread, 2);
            add(0, 2, 8, 0, 3);
            add(0, 3, 8, 0, 3);
            CHECK(status_of(wait), ==, bad[b].status);
            CHECK(replay.bad, ==, 1);
            CHECK(replay.at, ==, 1);
        }
        begin_trace();
        add(0, 0, 8, 0, 0);
        add(1, 0, 8, 0, 0);
        add(1, 0, 8, 0, 0);
        CHECK(status_of(wait), ==, REPLAY_FREED);
        begin_trace();
        add(0, 0, 99, 0, 0); /* refused */
        add(1, 0, 8, 0, 0);
        add(1, 0, 8, 0, 0);
        CHECK(status_of(wait), ==, REPLAY_FREED);
    }
    begin_trace();
    add(0, 0, 8, 0, -1);
    CHECK(status_of(1), ==, REPLAY_BAD_TIME);
    begin_trace();
    add(0, 0, 32, 0, 0);
    add(0, 1, 8, 0, 0); /* waits */
    add(0, 1, 8, 0, 0); /* behind it */
    CHECK(status_of(1), ==, REPLAY_ALLOCATED);
    begin_trace();
    CHECK(status_of(0), ==, REPLAY_DONE);
    begin_trace();
    CHECK(status_of(1), ==, REPLAY_DONE);
}

/* A thread waits with id 1; behind it are the allocation of id 2 and its free. */
static void begin_to_change(void) {
    begin_trace();
    replay.trace.threads = 2;
    replay.wait = 1000;
    add(0, 0, 8, 0, 0);
    add(0, 1, 8, 1, 0);
    add(0, 2, 8, 1, 0);
    add(1, 2, 0, 1, 0);
    add(1, 0, 0, 0, 1);
    add(0, 3, 8, 0, 2);
    add_one_pool(8, 1);
    begin();
    CHECK(replay_go_on(&replay, 4), ==, REPLAY_GOES_ON);
}

static void an_event_that_changes_while_it_is_put_off_ends_the_replay(void) {
    begin_to_change();
    id[2] = 3; /* so nothing allocates id 2 any more, and its free would wait forever */
    CHECK(go_through(1), ==, REPLAY_ALLOCATED);
    end();
    begin_to_change();
    kind[2] = 1;
    CHECK(go_through(1), ==, REPLAY_NOT_ALLOCATED);
    end();
    begin_to_change();
    thread[2] = 0;
    CHECK(go_through(1), ==, REPLAY_NOT_ALLOCATED);
    end();
}

static void a_request_that_changes_while_it_waits_ends_the_replay(void) {
    begin_to_change();
    id[1] = 0; /* freed by then */
    CHECK(go_through(1), ==, REPLAY_ALLOCATED);
    CHECK(replay.bad, ==, 1);
    end();
}

/* Random bytes, which also change while the replay goes on, as another thread might change them: nothing is read or
 * written outside, and the replay ends. A sanitizer sees to the first. */
static void columns_of_garbage_that_change_do_no_harm(void) {
    for (int turn = 0; turn < 300; turn++) {
        begin_trace();
        replay.trace.threads = 1 + (uint32_t)check_below(4);
        replay.wait = (int64_t)check_below(3) * 5;
        for (int e = 0; e < 400; e++) {
            add((uint8_t)(check_below(5) < 2), (int32_t)check_below(100), (int64_t)check_below(40),
                (int32_t)check_below(replay.trace.threads), e);
        }
        int32_t next = 0;
        for (int e = 0; e < 400; e++) { /* sensible at first */
            id[e] = kind[e] ? (next ? (int32_t)check_below((uint64_t)next) : 0) : next++;
        }
        add_pool(8, 10 + check_below(30), NULL, -1, 16);
        add_pool(16, 5, NULL, 16, INT64_MAX);
        begin();
        enum replay_status status = REPLAY_GOES_ON;
        int steps = 0;
        while (status == REPLAY_GOES_ON && steps++ < 1000) {
            status = replay_go_on(&replay, 1);
            for (int change = 0; change < 3; change++) {
                uint64_t e = check_below(400);
                kind[e] = (uint8_t)check_below(2);
                id[e] = (int32_t)check_below(100);
                thread[e] = (int32_t)check_below(4);
                size[e] = (int64_t)check_below(40);
            }
        }
        CHECK(status, !=, REPLAY_GOES_ON);
        replay_end(&replay);
        free(memory);
        free(metadata[0]);
        free(metadata[1]);
    }
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(a_request_gets_as_many_blocks_as_it_needs);
    RUN(a_refused_request_is_counted_and_its_free_is_skipped);
    RUN(each_pool_has_its_sizes_and_what_fits_none_is_refused);
    RUN(a_pool_is_driven_as_a_program_drives_it);
    RUN(threads_of_the_trace_begin_where_threads_of_a_program_would);
    RUN(touching_writes_one_byte_to_each_page_of_the_request);
    RUN(a_heap_gets_the_calls_and_all_is_freed_at_the_end);
    RUN(a_request_waits_until_there_is_room_and_its_thread_with_it);
    RUN(a_request_whose_time_is_up_is_refused);
    RUN(requests_are_served_in_the_order_in_which_they_came);
    RUN(a_free_of_what_is_waited_for_waits_too);
    RUN(a_run_is_served_by_the_last_of_its_blocks_that_is_freed);
    RUN(what_waits_when_the_trace_ends_is_refused_and_its_thread_goes_on);
    RUN(an_event_that_cannot_be_has_a_status);
    RUN(an_event_that_changes_while_it_is_put_off_ends_the_replay);
    RUN(a_request_that_changes_while_it_waits_ends_the_replay);
    RUN(columns_of_garbage_that_change_do_no_harm);
    return check_end();
}
