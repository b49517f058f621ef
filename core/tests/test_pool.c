/* Tests of pool.c: one set of calls for pools of both kinds. What a kind does by itself is tested with it. */
#define _GNU_SOURCE /* pthread_barrier_t */
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "os/memory.h"
#include "os/thread.h"
#include "os/wait.h"
#include "shared/attachment_parts.h"

#define BLOCKS 64u
#define BLOCK 4096u
#define GATE 5.0
#define PROCESSES 8u

static struct pool pool;
static struct pool_failure failure;

static enum pool_status open_private(uint64_t block_size, uint64_t blocks, bool debug) {
    struct pool_request request = {.block_size = block_size, .blocks = blocks, .debug = debug};
    return pool_open(&pool, &request, &failure);
}

static enum pool_status create_shared(void) {
    struct attachment_request request = {
        .block_size = BLOCK, .blocks = BLOCKS, .processes = PROCESSES, .gate_seconds = GATE};
    enum pool_status status = pool_create(&pool, &request, &failure);
    if (status == POOL_OK) {
        pool_set_on_fork(&pool, false);
    }
    return status;
}

static void close_pool(void) {
    pool_begin_close(&pool);
    pool_close(&pool, GATE);
}

/* Runs a test on a pool of each kind. */
static void on_each_kind(void (*test)(void)) {
    for (int shared = 0; shared < 2; shared++) {
        CHECK(shared ? create_shared() : open_private(BLOCK, BLOCKS, false), ==, POOL_OK);
        CHECK(pool_is_shared(&pool), ==, shared);
        test();
        struct pool_fault fault;
        struct pool_audit audit;
        CHECK(pool_check(&pool, GATE, &fault, 1, &audit, &failure), ==, POOL_OK);
        CHECK(audit.faults, ==, 0);
        CHECK(audit.allocated, ==, 0);
        CHECK(audit.runs, ==, 0);
        close_pool();
    }
}

static struct pool_run allocate(uint64_t n) {
    struct pool_run run = {0, 0, 0};
    CHECK(pool_allocate(&pool, n, 0, &run), ==, POOL_OK);
    CHECK(run.blocks, ==, n);
    pool_count(&pool, n, n * BLOCK);
    return run;
}

/* --- allocating and giving back --- */

static void runs_are_given_back_once(void) {
    struct pool_users users;
    struct pool_run one = allocate(1), three = allocate(3), other;
    CHECK(pool_allocated(&pool), ==, 4);
    memset(pool_address(&pool, three.index), 7, 3 * (size_t)BLOCK);
    CHECK(pool_free(&pool, &three, 3 * (uint64_t)BLOCK, &users), ==, POOL_OK);
    CHECK(pool_release(&pool, &one, BLOCK), ==, POOL_OK);
    CHECK(pool_allocated(&pool), ==, 0);
    CHECK(pool_allocate(&pool, BLOCKS, 0, &other), ==, POOL_OK);
    CHECK(pool_allocate(&pool, 1, 0, &one), ==, POOL_EXHAUSTED);
    CHECK(pool_unclaim(&pool, &other), ==, POOL_OK);
}

static void many_are_all_or_nothing(void) {
    struct pool_run runs[BLOCKS];
    struct pool_run one = allocate(1);
    CHECK(pool_allocate_many(&pool, BLOCKS, runs), ==, POOL_EXHAUSTED);
    CHECK(pool_allocated(&pool), ==, 1);
    CHECK(pool_allocate_many(&pool, BLOCKS - 1, runs), ==, POOL_OK);
    uint64_t seen = UINT64_C(1) << one.index;
    for (unsigned i = 0; i < BLOCKS - 1; i++) {
        CHECK(runs[i].blocks, ==, 1);
        CHECK(runs[i].index, <, BLOCKS);
        CHECK(seen >> runs[i].index & 1, ==, 0);
        seen |= UINT64_C(1) << runs[i].index;
        CHECK(pool_unclaim(&pool, &runs[i]), ==, POOL_OK);
    }
    CHECK(pool_unclaim(&pool, &one), ==, POOL_OK);
}

static void statistics_count_what_was_asked_for(void) {
    struct pool_stats stats;
    struct pool_run run;
    CHECK(pool_allocate(&pool, 2, 100, &run), ==, POOL_OK);
    pool_count(&pool, 2, 2 * BLOCK - 100);
    pool_count_failure(&pool);
    pool_stats(&pool, &stats);
    CHECK(stats.allocated, ==, 2);
    CHECK(stats.peak, ==, 2);
    CHECK(stats.runs, ==, 1);
    CHECK(stats.requested, ==, 2 * BLOCK - 100);
    CHECK(stats.allocations, ==, 1);
    CHECK(stats.failures, ==, 1);
    CHECK(stats.longest_free, ==, BLOCKS - 2);
    CHECK(stats.tickets, ==, 0);
    CHECK(stats.oldest_ticket < 0, ==, true);
    CHECK(stats.processes, ==, 1);
    CHECK(pool_release(&pool, &run, 2 * BLOCK - 100), ==, POOL_OK);
    pool_stats(&pool, &stats);
    CHECK(stats.allocated, ==, 0);
    CHECK(stats.requested, ==, 0);
    CHECK(stats.peak, ==, 2);
}

static void waits_are_counted(void) {
    struct pool_stats stats;
    pool_stats(&pool, &stats);
    CHECK(stats.waits + stats.waited, ==, 0);
    pool_count_wait(&pool, 0);
    pool_count_wait(&pool, 1.5);
    pool_count_wait(&pool, 0.000000001);
    pool_stats(&pool, &stats);
    CHECK(stats.waits, ==, 3);
    CHECK(stats.waited, ==, 1500000001);
    if (pool_is_shared(&pool)) {
        CHECK(load_relaxed(&pool.attachment->slot_record->waits), ==, 3);
        CHECK(load_relaxed(&pool.attachment->slot_record->waited), ==, 1500000001);
    }
    pid_t child = fork();
    if (child == 0) { /* counts for itself */
        pool_forked();
        pool_count_wait(&pool, 1);
        struct pool_stats own;
        pool_stats(&pool, &own);
        _exit(own.waits == 4 && own.waited == 2500000001 ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0), ==, child);
    CHECK(status, ==, 0);
    pool_stats(&pool, &stats); /* a shared pool has the counts of processes that are gone too */
    CHECK(stats.waits, ==, pool_is_shared(&pool) ? 4 : 3);
}

static void runs_are_listed_in_order(void) {
    struct pool_run runs[] = {allocate(1), allocate(5), allocate(2)};
    struct pool_look look;
    uint64_t at = 0, count = 0, blocks = 0;
    for (; pool_next_run(&pool, at, &look); at = look.run.index + look.run.blocks) {
        CHECK(look.run.index, >=, at);
        CHECK(look.slack, ==, 0);
        CHECK(look.tickets, ==, 0);
        CHECK(look.kept, ==, false);
        if (pool_is_shared(&pool)) {
            CHECK(slot_set_count(&look.holders), ==, 1);
            CHECK(slot_set_has(&look.holders, pool.attachment->slot), ==, true);
        } else {
            CHECK(slot_set_is_empty(&look.holders), ==, true);
        }
        count++;
        blocks += look.run.blocks;
    }
    CHECK(count, ==, 3);
    CHECK(blocks, ==, 8);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(pool_release(&pool, &runs[i], runs[i].blocks * BLOCK), ==, POOL_OK);
    }
}

/* --- waiting --- */

static struct pool_run held;

static void *release_soon(void *unused) {
    (void)pool_release(&pool, &held, BLOCKS * BLOCK);
    return unused;
}

static void a_waiter_is_woken_by_a_release(void) {
    struct pool_run run;
    pthread_t thread;
    uint32_t wait = 0;
    held = allocate(BLOCKS);
    pool_wait_begin(&pool, &wait);
    CHECK(pool_wait_is_over(&pool, wait), ==, false);
    uint32_t sequence = pool_free_sequence(&pool);
    CHECK(pthread_create(&thread, NULL, release_soon, NULL), ==, 0);
    while (pool_free_sequence(&pool) == sequence) {
        pool_wait_sleep(&pool, sequence, 60);
    }
    CHECK(pool_allocate(&pool, 1, 0, &run), ==, POOL_OK);
    pool_wait_end(&pool, wait);
    pthread_join(thread, NULL);
    sequence = pool_free_sequence(&pool);
    CHECK(pool_unclaim(&pool, &run), ==, POOL_OK);
    CHECK(pool_free_sequence(&pool), ==, sequence); /* nobody waits any more, so nobody is told */
}

/* A thread that waits forks: in the child nobody waits until it begins again. */
static void a_forked_child_does_not_wait_for_its_parent(void) {
    uint32_t wait = 0;
    pool_wait_begin(&pool, &wait);
    pid_t child = fork();
    if (child == 0) {
        pool_forked();
        bool over = pool_wait_is_over(&pool, wait);
        pool_wait_end(&pool, wait); /* does no harm */
        uint32_t sequence = pool_free_sequence(&pool);
        struct pool_run run;
        bool right = over && pool_allocate(&pool, 1, 0, &run) == POOL_OK && pool_unclaim(&pool, &run) == POOL_OK;
        if (!pool_is_shared(&pool)) { /* in a shared pool the parent still waits */
            right = right && pool_free_sequence(&pool) == sequence;
        }
        pool_wait_begin(&pool, &wait);
        right = right && !pool_wait_is_over(&pool, wait);
        pool_wait_end(&pool, wait);
        _exit(right ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0), ==, child);
    CHECK(status, ==, 0);
    pool_wait_end(&pool, wait);
}

/* --- what only one kind has --- */

static void private_memory_that_is_not_there_is_refused(void) {
    CHECK(open_private(UINT64_C(1) << 40, UINT64_C(1) << 40, false), ==, POOL_NO_ROOM); /* more than 64 bits can say */
    CHECK(failure.asked, ==, UINT64_MAX);
    CHECK(failure.available, >, 0);
    CHECK(open_private(8, UINT64_C(1) << 57, false), ==, POOL_NO_ROOM); /* more blocks than a bitmap can have */
    CHECK(failure.asked, ==, UINT64_C(1) << 60);
    close_pool(); /* does no harm */
}

static void a_bare_pool_may_be_larger_than_the_machine(void) {
    struct pool_request request = {.block_size = UINT64_C(1) << 40, .blocks = 1000, .bare = true};
    CHECK(pool_open(&pool, &request, &failure), ==, POOL_OK);
    CHECK(pool.data == NULL, ==, true);
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK(private_pool_allocate(pool.private_pool), !=, BITMAP_NONE);
    }
    CHECK(private_pool_allocate(pool.private_pool), ==, BITMAP_NONE);
    close_pool();
}

static void a_bare_pool_has_room_for_its_numbers_and_its_bookkeeping(void) {
    struct pool_request request = {.block_size = UINT64_C(1) << 40, .blocks = UINT64_C(1) << 24, .bare = true};
    CHECK(pool_open(&pool, &request, &failure), ==, POOL_NO_ROOM);
    request = (struct pool_request){.block_size = 8, .blocks = BITMAP_MOST + 1, .bare = true};
    CHECK(pool_open(&pool, &request, &failure), ==, POOL_NO_ROOM);
    request.blocks = BITMAP_MOST;
    CHECK(pool_open(&pool, &request, &failure), ==, POOL_NO_MAPPING);
    CHECK(failure.asked, ==, private_pool_metadata_bytes(BITMAP_MOST));
}

static void memory_of_the_callers_stays_the_callers(void) {
    void *mapped = NULL; /* so that unmapping it by mistake would work */
    CHECK(os_map_private(8192, false, &mapped), ==, 0);
    struct pool_request request = {.block_size = 64, .blocks = 128, .memory = mapped};
    CHECK(pool_open(&pool, &request, &failure), ==, POOL_OK);
    struct pool_run run = allocate(128);
    memset(pool_address(&pool, run.index), 1, 8192);
    close_pool();
    CHECK(((unsigned char *)mapped)[8191], ==, 1);
    os_unmap(mapped, 8192);
}

static bool stop(void *asked) {
    ++*(int *)asked;
    return false;
}

static void prefaulting_can_be_stopped(void) {
    int asked = 0;
    struct pool_request request = {
        .block_size = 1 << 20, .blocks = 256, .prefault = true, .pause = {.may_go_on = stop, .context = &asked}};
    CHECK(pool_open(&pool, &request, &failure), ==, POOL_STOPPED);
    CHECK(asked, ==, 1);
    CHECK((pool.data == NULL), ==, true);
}

static void in_debug_mode_freed_runs_rest(void) {
    struct pool_stats stats;
    struct pool_fault fault;
    struct pool_audit audit;
    CHECK(open_private(BLOCK, BLOCKS, true), ==, POOL_OK);
    struct pool_run run = allocate(3);
    pool_rest(&pool, &run, 3 * BLOCK);
    pool_stats(&pool, &stats);
    CHECK(stats.allocated, ==, 0);
    CHECK(stats.runs, ==, 0);
    CHECK(pool_allocate(&pool, BLOCKS, 0, &run), ==, POOL_EXHAUSTED);
    CHECK(pool_check(&pool, GATE, &fault, 1, &audit, &failure), ==, POOL_OK);
    CHECK(audit.allocated, ==, 0);
    CHECK(pool_reclaim(&pool, false), ==, true);
    CHECK(pool_reclaim(&pool, false), ==, false);
    CHECK(pool_allocate(&pool, BLOCKS, 0, &run), ==, POOL_OK);
    close_pool();
}

static void damage_is_told_with_its_place(void) {
    struct pool_fault fault;
    struct pool_audit audit;
    CHECK(open_private(BLOCK, BLOCKS, false), ==, POOL_OK);
    (void)fetch_or_seq(&pool.private_pool->continuations[0], UINT64_C(1) << 5);
    CHECK(pool_check(&pool, GATE, &fault, 1, &audit, &failure), ==, POOL_OK);
    CHECK(audit.faults, >, 0);
    CHECK(fault.kind, ==, POOL_FAULT_CONTINUATION_FREE);
    CHECK(fault.index, ==, 5);
    close_pool();
    CHECK(create_shared(), ==, POOL_OK);
    (void)fetch_or_seq(&pool.attachment->shared.bitmap.words[0], UINT64_C(1) << 9);
    CHECK(pool_check(&pool, GATE, &fault, 1, &audit, &failure), ==, POOL_OK);
    CHECK(audit.faults, ==, 1);
    CHECK(fault.kind, ==, POOL_FAULT_LOST);
    CHECK(fault.index, ==, 9);
    close_pool();
}

static void references_keep_a_shared_run(void) {
    struct pool_users users;
    CHECK(create_shared(), ==, POOL_OK);
    struct pool_run run = allocate(2), again = run;
    CHECK(pool_run_bytes(&pool, &run), ==, 2 * BLOCK);
    CHECK(pool_is_held_elsewhere(&pool, &run), ==, false);
    CHECK(pool_add_reference(&pool, &again), ==, POOL_OK);
    CHECK(pool_free(&pool, &run, 2 * BLOCK, &users), ==, POOL_IN_USE);
    CHECK(users.local_references, ==, 1);
    CHECK(slot_set_count(&users.holders), ==, 1);
    CHECK(slot_set_has(&users.holders, pool.attachment->slot), ==, true);
    CHECK(pool_release(&pool, &again, 2 * BLOCK), ==, POOL_OK);
    CHECK(pool_share(&pool, &run, LEDGER_MOST_TICKETS + 1), ==, POOL_TICKETS);
    CHECK(pool_share(&pool, &run, 2), ==, POOL_OK);
    CHECK(pool_tickets(&pool, run.index), ==, 2);
    CHECK(pool_free(&pool, &run, 2 * BLOCK, &users), ==, POOL_IN_USE);
    CHECK(users.tickets, ==, 2);
    CHECK(pool_withdraw(&pool, &run), ==, true);
    CHECK(pool_redeem(&pool, &again), ==, POOL_OK);
    CHECK(pool_tickets(&pool, run.index), ==, 0);
    CHECK(pool_release(&pool, &again, 2 * BLOCK), ==, POOL_OK);
    CHECK(pool_free(&pool, &run, 2 * BLOCK, &users), ==, POOL_OK);
    CHECK(pool_redeem(&pool, &again), ==, POOL_STALE);
    CHECK(pool_release(&pool, &run, 2 * BLOCK), ==, POOL_CORRUPT); /* freed before */
    close_pool();
}

/* Takes a slot without living. */
static void add_a_dead_process(void) {
    struct layout_header *header = pool.attachment->memory;
    (void)set_bit_seq(&header->used[0], 5);
}

static void one_that_waits_leaves_the_dead_to_others_for_a_moment(void) {
    CHECK(create_shared(), ==, POOL_OK);
    struct layout_header *header = pool.attachment->memory;
    bool left = false;
    for (unsigned i = 0; i < 100 && !left; i++) { /* again if it took longer than that moment */
        add_a_dead_process();
        store_relaxed(&header->looked, (uint64_t)(os_now() * 1000));
        left = !pool_reclaim(&pool, true);
    }
    CHECK(left, ==, true);
    CHECK(pool_reclaim(&pool, false), ==, true);
    CHECK(pool_reclaim(&pool, false), ==, false); /* no more dead */
    add_a_dead_process();
    store_relaxed(&header->looked, 0);
    CHECK(pool_reclaim(&pool, true), ==, true);
    close_pool();
}

static void a_name_keeps_a_shared_run(void) {
    struct pool_users users = {0};
    struct pool_look look;
    CHECK(create_shared(), ==, POOL_OK);
    struct pool_run run = allocate(2), got;
    CHECK(pool_get(&pool, "model", &got), ==, POOL_NOT_FOUND);
    CHECK(attachment_keep(pool.attachment, "model", &run, false, GATE, &failure), ==, POOL_OK);
    CHECK(pool_free(&pool, &run, 2 * BLOCK, &users), ==, POOL_IN_USE);
    CHECK(users.kept, ==, true);
    CHECK(users.tickets + users.local_references, ==, 0);
    CHECK(slot_set_count(&users.holders), ==, 1);
    CHECK(pool_get(&pool, "model", &got), ==, POOL_OK);
    CHECK(got.index == run.index && got.blocks == 2, ==, true);
    CHECK(pool_release(&pool, &got, 2 * BLOCK), ==, POOL_OK);
    CHECK(pool_release(&pool, &run, 2 * BLOCK), ==, POOL_OK);
    CHECK(pool_next_run(&pool, 0, &look), ==, true);
    CHECK(look.kept, ==, true);
    CHECK(slot_set_is_empty(&look.holders), ==, true);
    CHECK(attachment_forget(pool.attachment, "model", GATE, &failure), ==, POOL_OK);
    CHECK(pool_next_run(&pool, 0, &look), ==, false);
    close_pool();
}

/* --- a lock that is taken --- */

static int yields;

static void let_go(void) {
    if (++yields == 3) {
        attachment_unlock(pool.attachment);
    }
}

/* The call waits while another thread has the lock of this process's counts, and then succeeds. */
static void a_call_goes_on_when_the_lock_is_free(void) {
    CHECK(create_shared(), ==, POOL_OK);
    struct pool_run alone = allocate(1), run = allocate(1), again = run;
    CHECK(pool_add_reference(&pool, &again), ==, POOL_OK);
    pool.yield = let_go;
    yields = 0;
    CHECK(attachment_lock(pool.attachment), ==, true);
    CHECK(pool_release(&pool, &alone, BLOCK), ==, POOL_OK); /* no other reference has ever been to it: needs no lock */
    CHECK(yields, ==, 0);
    CHECK(pool_release(&pool, &again, BLOCK), ==, POOL_OK);
    CHECK(yields, ==, 3);
    CHECK(pool_allocated(&pool), ==, 1);
    CHECK(pool_release(&pool, &run, BLOCK), ==, POOL_OK);
    CHECK(pool_allocated(&pool), ==, 0);
    pool.yield = os_yield;
    close_pool();
}

static void a_pool_that_is_all_zero_is_closed(void) {
    struct pool none = {0};
    pool_begin_close(&none);
    pool_close(&none, GATE);
    CHECK(pool_is_lost(&none), ==, false);
}

#define ON_EACH(test)                                                                                                  \
    static void test##_in_both_kinds(void) { on_each_kind(test); }
ON_EACH(runs_are_given_back_once)
ON_EACH(many_are_all_or_nothing)
ON_EACH(statistics_count_what_was_asked_for)
ON_EACH(waits_are_counted)
ON_EACH(runs_are_listed_in_order)
ON_EACH(a_waiter_is_woken_by_a_release)
ON_EACH(a_forked_child_does_not_wait_for_its_parent)

/* --- threads in one pool --- */

#define THREADS 4
#define STEPS 20000

/* What a thread gave to the next one, to be given back there. */
static struct pool_run handed[THREADS];
static pthread_barrier_t barrier;

static void *work_in_a_thread(void *argument) {
    unsigned number = *(unsigned *)argument;
    pthread_barrier_wait(&barrier);
    for (unsigned step = 0; step < STEPS; step++) {
        struct pool_run run = {0, 0, 0};
        uint64_t n = step % 100 ? 1 : 3;
        if (pool_allocate(&pool, n, 0, &run) == POOL_OK) {
            pool_count(&pool, n, n * BLOCK - 1);
            (void)pool_release(&pool, &run, n * BLOCK - 1);
        } else {
            pool_count_failure(&pool);
        }
    }
    handed[number] = (struct pool_run){0, 0, 0};
    while (pool_allocate(&pool, 1, 0, &handed[number]) != POOL_OK) {
        os_yield();
    }
    pool_count(&pool, 1, BLOCK);
    pthread_barrier_wait(&barrier);
    (void)pool_release(&pool, &handed[(number + 1) % THREADS], BLOCK);
    return NULL;
}

static void in_threads(void *work(void *argument)) {
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (unsigned t = 0; t < THREADS; t++) {
        numbers[t] = t;
        CHECK(pthread_create(&threads[t], NULL, work, &numbers[t]), ==, 0);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
    }
    pthread_barrier_destroy(&barrier);
}

static void the_counts_of_threads_add_up(void) {
    struct pool_stats stats;
    CHECK(open_private(BLOCK, BLOCKS, false), ==, POOL_OK);
    in_threads(work_in_a_thread);
    pool_stats(&pool, &stats);
    CHECK(stats.allocations + stats.failures, ==, THREADS * (STEPS + UINT64_C(1)));
    CHECK(stats.allocated, ==, 0);
    CHECK(stats.requested, ==, 0);
    CHECK(stats.peak, >=, THREADS);
    CHECK(stats.peak, <=, BLOCKS);
    close_pool();
}

static void *allocate_and_count(void *many) {
    for (unsigned left = *(unsigned *)many; left > 0; left--) {
        struct pool_run run = allocate(1);
        (void)pool_release(&pool, &run, BLOCK);
    }
    return NULL;
}

static void count_in_a_thread(unsigned many) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, allocate_and_count, &many), ==, 0);
    pthread_join(thread, NULL);
}

static void the_counts_of_threads_in_a_shared_pool_add_up(void) {
    struct pool_stats stats;
    CHECK(create_shared(), ==, POOL_OK);
    in_threads(work_in_a_thread);
    pool_stats(&pool, &stats);
    CHECK(stats.allocations + stats.failures, ==, THREADS * (STEPS + UINT64_C(1)));
    CHECK(stats.allocated, ==, 0);
    CHECK(stats.peak, <=, BLOCKS);
    close_pool();
}

static void one_thread_of_a_shared_pool_counts_apart_from_the_others(void) {
    struct pool_stats stats;
    CHECK(create_shared(), ==, POOL_OK);
    const struct slot_record *record = pool.attachment->slot_record;
    count_in_a_thread(2); /* the first one, which ends: nobody takes its place */
    allocate_and_count(&(unsigned){3});
    count_in_a_thread(4);
    CHECK(load_relaxed(&record->allocations), ==, 2);
    CHECK(load_relaxed(&record->allocations_beside), ==, 7);
    pid_t child = fork(); /* whose one thread is the second here */
    if (child == 0) {
        allocate_and_count(&(unsigned){5});
        count_in_a_thread(6);
        const struct slot_record *own = pool.attachment->slot_record;
        _exit(own != record && load_relaxed(&own->allocations) == 0 && slot_record_allocations(own) == 11 ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0), ==, child);
    CHECK(status, ==, 0);
    pool_stats(&pool, &stats);
    CHECK(stats.allocations, ==, 20);
    close_pool();
}

static void threads_of_a_serial_shared_pool_count_in_one_word(void) {
    CHECK(create_shared(), ==, POOL_OK);
    pool_make_serial(&pool);
    for (unsigned i = 0; i < 3; i++) {
        count_in_a_thread(2);
    }
    CHECK(load_relaxed(&pool.attachment->slot_record->allocations), ==, 6);
    CHECK(load_relaxed(&pool.attachment->slot_record->allocations_beside), ==, 0);
    close_pool();
}

static void *hold_two(void *argument) {
    struct pool_run *runs = handed + *(unsigned *)argument;
    for (unsigned turn = 0; turn < THREADS; turn++) {
        pthread_barrier_wait(&barrier);
        if (turn == *(unsigned *)argument) {
            *runs = allocate(2);
            (void)pool_release(&pool, runs, 2 * (uint64_t)BLOCK);
            *runs = allocate(1);
        }
    }
    return NULL;
}

static void the_peak_is_exact_if_calls_do_not_overlap(void) {
    struct pool_stats stats;
    CHECK(open_private(BLOCK, BLOCKS, false), ==, POOL_OK);
    in_threads(hold_two); /* one after the other: 2, 1; 3, 2; 4, 3; 5, 4 */
    pool_stats(&pool, &stats);
    CHECK(stats.allocated, ==, THREADS);
    CHECK(stats.peak, ==, THREADS + 1);
    for (unsigned t = 0; t < THREADS; t++) { /* in one share, what others have counted */
        (void)pool_release(&pool, &handed[t], BLOCK);
    }
    struct pool_run five = allocate(5);
    pool_stats(&pool, &stats);
    CHECK(stats.peak, ==, 5);
    CHECK(stats.requested, ==, 5 * (uint64_t)BLOCK);
    struct pool_run one = allocate(1);
    pool_stats(&pool, &stats);
    CHECK(stats.peak, ==, 6);
    (void)pool_release(&pool, &five, 5 * (uint64_t)BLOCK);
    (void)pool_release(&pool, &one, BLOCK);
    close_pool();
}

static void *let_runs_rest(void *argument) {
    for (unsigned step = 0; step < STEPS / 10; step++) {
        struct pool_run run = {0, 0, 0};
        uint32_t wait = 0;
        if (pool_allocate(&pool, 1, 0, &run) == POOL_OK) {
            pool_count(&pool, 1, BLOCK);
            pool_rest(&pool, &run, BLOCK);
        } else {
            (void)pool_reclaim(&pool, false);
        }
        pool_wait_begin(&pool, &wait);
        pool_wait_end(&pool, wait);
        if (step % 64 == 0) {
            struct pool_stats stats;
            pool_stats(&pool, &stats);
            CHECK(stats.allocated, <=, THREADS);
        }
    }
    return argument;
}

static void runs_of_several_threads_rest(void) {
    struct pool_stats stats;
    CHECK(open_private(BLOCK, BLOCKS, true), ==, POOL_OK);
    in_threads(let_runs_rest);
    pool_stats(&pool, &stats);
    CHECK(stats.allocated, ==, 0);
    CHECK(stats.runs, ==, 0);
    CHECK(pool_reclaim(&pool, false), ==, true);
    CHECK(pool_allocated(&pool), ==, 0);
    close_pool();
}

int main(void) {
    RUN(runs_are_given_back_once_in_both_kinds);
    RUN(many_are_all_or_nothing_in_both_kinds);
    RUN(statistics_count_what_was_asked_for_in_both_kinds);
    RUN(waits_are_counted_in_both_kinds);
    RUN(runs_are_listed_in_order_in_both_kinds);
    RUN(a_waiter_is_woken_by_a_release_in_both_kinds);
    RUN(a_forked_child_does_not_wait_for_its_parent_in_both_kinds);
    RUN(private_memory_that_is_not_there_is_refused);
    RUN(a_bare_pool_may_be_larger_than_the_machine);
    RUN(a_bare_pool_has_room_for_its_numbers_and_its_bookkeeping);
    RUN(memory_of_the_callers_stays_the_callers);
    RUN(prefaulting_can_be_stopped);
    RUN(in_debug_mode_freed_runs_rest);
    RUN(damage_is_told_with_its_place);
    RUN(references_keep_a_shared_run);
    RUN(one_that_waits_leaves_the_dead_to_others_for_a_moment);
    RUN(a_name_keeps_a_shared_run);
    RUN(a_call_goes_on_when_the_lock_is_free);
    RUN(a_pool_that_is_all_zero_is_closed);
    RUN(the_counts_of_threads_add_up);
    RUN(the_counts_of_threads_in_a_shared_pool_add_up);
    RUN(one_thread_of_a_shared_pool_counts_apart_from_the_others);
    RUN(threads_of_a_serial_shared_pool_count_in_one_word);
    RUN(the_peak_is_exact_if_calls_do_not_overlap);
    RUN(runs_of_several_threads_rest);
    return check_end();
}
