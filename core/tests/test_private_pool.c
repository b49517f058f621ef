/* Tests of private_pool.c: against a plain array, and with threads (this is what ThreadSanitizer watches). */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L /* barriers */
#endif
#include "private/private_pool.h"

#include <pthread.h>

#include "check.h"
#include "os/thread.h"
#include "os/wait.h"

#define BLOCK 16u

static struct private_pool pool;
static void *metadata;
static unsigned char *data;

static void make(uint64_t blocks) {
    metadata = aligned_alloc(64, private_pool_metadata_bytes(blocks));
    memset(metadata, 0, private_pool_metadata_bytes(blocks));
    data = calloc(blocks, BLOCK);
    private_pool_init(&pool, metadata, data, BLOCK, blocks);
}

static void unmake(void) {
    free(metadata);
    free(data);
}

static void sound(void) {
    struct private_pool_fault fault = {0, 0};
    uint64_t in_transit, faults = private_pool_check(&pool, &fault, 1, &in_transit);
    CHECK(faults, ==, 0);
    if (faults) {
        printf("  first fault: kind %d at %llu\n", (int)fault.kind, (unsigned long long)fault.index);
    }
}

/* --- one thread --- */

#define BLOCKS_OF_A_WORD UINT64_C(64)

static void metadata_stays_within_its_budget(void) {
    CHECK(private_pool_metadata_bytes(1) % 64, ==, 0);
    CHECK(private_pool_metadata_bytes(10000000) * 8 * 100, <=, 225 * UINT64_C(10000000)); /* 2.25 bits a block */
    CHECK(private_pool_metadata_bytes(32768) * 8 * 100, <=, 225 * 32768);
}

static void a_run_is_freed_by_its_first_block_alone(void) {
    make(1000);
    static const uint64_t lengths[] = {1, 2, 63, 64, 65, 128, 200, 1000};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (uint64_t before = 0; before < 70; before++) { /* so that it begins anywhere in a word */
            uint64_t n = lengths[i];
            if (before + n > 1000) {
                continue;
            }
            for (uint64_t b = 0; b < before; b++) {
                CHECK(private_pool_allocate(&pool), ==, b);
            }
            CHECK(private_pool_allocate_run(&pool, n), ==, before);
            sound();
            CHECK(private_pool_free(&pool, before), ==, PRIVATE_POOL_OK);
            CHECK(private_pool_free(&pool, before), ==, PRIVATE_POOL_NOT_ALLOCATED);
            CHECK(bitmap_count(&pool.bitmap), ==, before);
            for (uint64_t b = 0; b < before; b++) {
                CHECK(private_pool_free(&pool, b), ==, PRIVATE_POOL_OK);
            }
            sound();
        }
    }
    CHECK(bitmap_count(&pool.bitmap), ==, 0);
    unmake();
}

static void adjacent_runs_are_told_apart(void) {
    make(256);
    CHECK(private_pool_allocate_run(&pool, 3), ==, 0);
    CHECK(private_pool_allocate_run(&pool, 61), ==, 3);
    CHECK(private_pool_allocate_run(&pool, 64), ==, 64);
    CHECK(private_pool_allocate_run(&pool, 128), ==, 128);
    CHECK(private_pool_free(&pool, 3), ==, PRIVATE_POOL_OK);
    CHECK(bitmap_count(&pool.bitmap), ==, 195);
    CHECK(private_pool_free(&pool, 128), ==, PRIVATE_POOL_OK);
    CHECK(private_pool_free(&pool, 64), ==, PRIVATE_POOL_OK);
    CHECK(private_pool_free(&pool, 0), ==, PRIVATE_POOL_OK);
    CHECK(bitmap_count(&pool.bitmap), ==, 0);
    sound();
    unmake();
}

static void a_wrong_free_is_refused_and_changes_nothing(void) {
    make(200);
    CHECK(private_pool_allocate_run(&pool, 150), ==, 0);
    CHECK(private_pool_free(&pool, 1), ==, PRIVATE_POOL_INNER);
    CHECK(private_pool_free(&pool, 64), ==, PRIVATE_POOL_INNER);
    CHECK(private_pool_free(&pool, 149), ==, PRIVATE_POOL_INNER);
    CHECK(private_pool_free(&pool, 150), ==, PRIVATE_POOL_NOT_ALLOCATED);
    CHECK(private_pool_free(&pool, 199), ==, PRIVATE_POOL_NOT_ALLOCATED);
    CHECK(private_pool_free(&pool, 200), ==, PRIVATE_POOL_OUTSIDE);
    CHECK(private_pool_free(&pool, UINT64_MAX), ==, PRIVATE_POOL_OUTSIDE);
    CHECK(private_pool_free_address(&pool, data + 1), ==, PRIVATE_POOL_UNALIGNED);
    CHECK(private_pool_free_address(&pool, data + BLOCK), ==, PRIVATE_POOL_INNER);
    CHECK(private_pool_free_address(&pool, data + 200 * BLOCK), ==, PRIVATE_POOL_OUTSIDE);
    CHECK(private_pool_free_address(&pool, data + 200 * BLOCK - 1), ==, PRIVATE_POOL_UNALIGNED);
    CHECK(private_pool_free_address(&pool, (void *)((uintptr_t)data - BLOCK)), ==, PRIVATE_POOL_OUTSIDE);
    CHECK(private_pool_free_address(&pool, NULL), ==, PRIVATE_POOL_OUTSIDE);
    CHECK(bitmap_count(&pool.bitmap), ==, 150);
    sound();
    CHECK(private_pool_free_address(&pool, private_pool_address(&pool, 0)), ==, PRIVATE_POOL_OK);
    CHECK(bitmap_count(&pool.bitmap), ==, 0);
    unmake();
}

static void a_full_pool_refuses_until_something_is_freed(void) {
    static uint64_t out[200];
    make(130);
    CHECK(private_pool_allocate_many(&pool, 131, out), ==, false);
    CHECK(private_pool_allocate_many(&pool, 130, out), ==, true);
    CHECK(private_pool_allocate(&pool), ==, BITMAP_NONE);
    CHECK(private_pool_allocate_run(&pool, 2), ==, BITMAP_NONE);
    CHECK(private_pool_allocate_many(&pool, 1, out), ==, false);
    CHECK(private_pool_release(&pool, 63, 1), ==, 1);
    CHECK(private_pool_allocate_run(&pool, 2), ==, BITMAP_NONE);
    CHECK(private_pool_release(&pool, 64, 1), ==, 1);
    CHECK(private_pool_allocate_run(&pool, 2), ==, 63);
    CHECK(private_pool_release(&pool, 63, 2), ==, 2);
    CHECK(private_pool_release(&pool, 63, 2), ==, 0);
    sound();
    unmake();
}

static void runs_are_walked_in_order(void) {
    make(300);
    uint64_t first = 0, n = 0;
    CHECK(private_pool_next_run(&pool, 0, &first, &n), ==, false);
    CHECK(private_pool_runs(&pool), ==, 0);
    CHECK(private_pool_allocate(&pool), ==, 0);
    CHECK(private_pool_allocate_run(&pool, 100), ==, 1);
    CHECK(private_pool_allocate_run(&pool, 199), ==, 101);
    CHECK(private_pool_runs(&pool), ==, 3);
    CHECK(private_pool_free(&pool, 1), ==, PRIVATE_POOL_OK);
    CHECK(private_pool_runs(&pool), ==, 2);
    CHECK(private_pool_next_run(&pool, 0, &first, &n), ==, true);
    CHECK(first, ==, 0);
    CHECK(n, ==, 1);
    CHECK(private_pool_next_run(&pool, 1, &first, &n), ==, true);
    CHECK(first, ==, 101);
    CHECK(n, ==, 199);
    CHECK(private_pool_next_run(&pool, 102, &first, &n), ==, false); /* from inside: the next that begins */
    CHECK(private_pool_next_run(&pool, 300, &first, &n), ==, false);
    CHECK(private_pool_next_run(&pool, UINT64_MAX, &first, &n), ==, false);
    unmake();
}

static void check_finds_each_kind_of_damage(void) {
    struct private_pool_fault faults[4];
    uint64_t in_transit;
    make(100);
    CHECK(private_pool_allocate_run(&pool, 10), ==, 0);
    (void)bitmap_release(&pool.bitmap, 5);
    CHECK(private_pool_check(&pool, faults, 4, &in_transit), ==, 2); /* 5 is marked and free, 6 follows a free block */
    CHECK(faults[0].kind, ==, PRIVATE_POOL_FAULT_CONTINUATION_FREE);
    CHECK(faults[0].index, ==, 5);
    CHECK(faults[1].kind, ==, PRIVATE_POOL_FAULT_CONTINUATION_LOST);
    CHECK(faults[1].index, ==, 6);
    CHECK(private_pool_check(&pool, NULL, 0, &in_transit), ==, 2);
    unmake();
    make(100);
    (void)bitmap_release(&pool.bitmap, 100); /* padding */
    CHECK(private_pool_check(&pool, faults, 4, &in_transit), ==, 1);
    CHECK(faults[0].kind, ==, PRIVATE_POOL_FAULT_PAST_END);
    CHECK(faults[0].index, ==, 100);
    unmake();
    make(100);
    store_relaxed(&pool.bitmap.chunks[0], 0);
    CHECK(private_pool_check(&pool, faults, 4, &in_transit), ==, 1);
    CHECK(faults[0].kind, ==, PRIVATE_POOL_FAULT_SUMMARY);
    unmake();
}

static void a_claim_that_is_undone_wakes_who_waits(void) {
    make(200);
    CHECK(bitmap_claim_range(&pool.bitmap, 66, 1), ==, true);
    CHECK(bitmap_claim_range(&pool.bitmap, 60, 8), ==, false); /* 60 to 63 go back */
    CHECK(private_pool_wait_sequence(&pool), ==, 0);           /* nothing waits */
    private_pool_wait_enter(&pool);
    CHECK(bitmap_claim_range(&pool.bitmap, 60, 8), ==, false);
    CHECK(private_pool_wait_sequence(&pool), ==, 1);
    CHECK(bitmap_claim_range(&pool.bitmap, 66, 2), ==, false); /* nothing was claimed, and nothing goes back */
    CHECK(private_pool_wait_sequence(&pool), ==, 1);
    private_pool_wait_leave(&pool);
    (void)bitmap_release(&pool.bitmap, 66);
    unmake();
}

static void a_child_marks_what_its_parents_threads_were_about_to(void) {
    struct private_pool_fault fault;
    uint64_t in_transit;
    make(2000);
    store_relaxed(&pool.bitmap.chunks[3], 0);
    private_pool_wait_enter(&pool);
    private_pool_wait_reset(&pool);
    CHECK(half_load_seq(&pool.waiting), ==, 0);
    CHECK(private_pool_check(&pool, &fault, 1, &in_transit), ==, 0);
    CHECK(private_pool_allocate_run(&pool, 2000), ==, 0);
    (void)private_pool_release(&pool, 0, 2000);
    unmake();
}

/* What the array says: 0 free, 1 first of a run, 2 a further block. */
static unsigned char model[2000];

static uint64_t model_length(uint64_t first, uint64_t blocks) {
    uint64_t n = 1;
    while (first + n < blocks && model[first + n] == 2) {
        n++;
    }
    return n;
}

static uint64_t model_free(uint64_t blocks, uint64_t *longest) {
    uint64_t count = 0, run = 0;
    *longest = 0;
    for (uint64_t b = 0; b < blocks; b++) {
        run = model[b] ? 0 : run + 1;
        *longest = run > *longest ? run : *longest;
        count += !model[b];
    }
    return count;
}

static void model_take(uint64_t first, uint64_t n, uint64_t blocks) {
    CHECK(first + n <= blocks, ==, true);
    for (uint64_t i = 0; i < n && first + i < blocks; i++) {
        CHECK(model[first + i], ==, 0);
        model[first + i] = i ? 2 : 1;
    }
}

static void do_random_calls(bool serial) {
    static const uint64_t sizes[] = {1, 63, 64, 65, 100, 511, 512, 513, 1100, 2000};
    static uint64_t out[2000];
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint64_t blocks = sizes[s], longest;
        make(blocks);
        if (serial) {
            private_pool_make_serial(&pool);
        }
        memset(model, 0, sizeof model);
        for (int step = 0; step < 3000; step++) {
            uint64_t at = check_below(blocks), n = 1 + check_below(step % 8 ? 20 : blocks);
            uint64_t free_blocks = model_free(blocks, &longest);
            switch (check_below(6)) {
            case 0: {
                uint64_t block = private_pool_allocate(&pool);
                CHECK(block == BITMAP_NONE, ==, free_blocks == 0);
                if (block != BITMAP_NONE) {
                    model_take(block, 1, blocks);
                }
                break;
            }
            case 1: {
                uint64_t first = private_pool_allocate_run(&pool, n);
                CHECK(first == BITMAP_NONE, ==, longest < n);
                if (first != BITMAP_NONE) {
                    model_take(first, n, blocks);
                }
                break;
            }
            case 2: {
                n = n > blocks ? blocks : n;
                bool got = private_pool_allocate_many(&pool, n, out);
                CHECK(got, ==, free_blocks >= n);
                for (uint64_t i = 0; got && i < n; i++) {
                    model_take(out[i], 1, blocks);
                }
                break;
            }
            case 3:
                if (model[at] == 1) {
                    n = model_length(at, blocks);
                    CHECK(private_pool_release(&pool, at, n), ==, n);
                    memset(model + at, 0, n);
                }
                break;
            default: {
                enum private_pool_status expected = model[at] == 0   ? PRIVATE_POOL_NOT_ALLOCATED
                                                    : model[at] == 1 ? PRIVATE_POOL_OK
                                                                     : PRIVATE_POOL_INNER;
                n = model_length(at, blocks);
                CHECK(private_pool_free(&pool, at), ==, expected);
                if (expected == PRIVATE_POOL_OK) {
                    memset(model + at, 0, n);
                }
            }
            }
            sound();
            uint64_t from = 0, first, length, wrong = 0;
            while (private_pool_next_run(&pool, from, &first, &length)) {
                for (; from < first; from++) {
                    wrong += model[from] != 0;
                }
                wrong += model[first] != 1 || model_length(first, blocks) != length;
                from = first + length;
            }
            for (; from < blocks; from++) {
                wrong += model[from] != 0;
            }
            CHECK(wrong, ==, 0);
        }
        unmake();
    }
}

static void random_calls_do_what_an_array_does(void) { do_random_calls(false); }

static void random_calls_of_a_serial_pool_do_the_same(void) { do_random_calls(true); }

static void a_block_of_a_serial_pool_comes_back_once(void) {
    make(BLOCKS_OF_A_WORD);
    private_pool_make_serial(&pool);
    for (uint64_t b = 0; b < BLOCKS_OF_A_WORD; b++) {
        CHECK(private_pool_allocate(&pool), ==, b);
    }
    CHECK(private_pool_allocate(&pool), ==, BITMAP_NONE);
    CHECK(private_pool_release(&pool, 5, 1), ==, 1);
    CHECK(private_pool_release(&pool, 5, 1), ==, 0);
    CHECK(private_pool_free(&pool, 5), ==, PRIVATE_POOL_NOT_ALLOCATED);
    CHECK(bitmap_count(&pool.bitmap), ==, BLOCKS_OF_A_WORD - 1);
    CHECK(private_pool_release(&pool, 6, 1), ==, 1);
    CHECK(private_pool_allocate_run(&pool, 2), ==, 5); /* a run of blocks that have just come back */
    sound();
    unmake();
}

/* --- threads --- */

#define THREADS 4u
#define MOST_BLOCKS 700u
#define ROUNDS 20000
#define HELD 6u

static _Atomic unsigned char owner[MOST_BLOCKS];
static _Atomic unsigned wrong_owner, wrong_data, wrong_free, wrong_walk;

static pthread_barrier_t barrier;

struct worker {
    pthread_t thread;
    unsigned char number;
    uint64_t random;
};

static uint64_t worker_below(struct worker *worker, uint64_t limit) {
    worker->random = worker->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (worker->random >> 33) % limit;
}

/* Touches the count only when something is wrong: an atomic addition each time would order the threads, and hide from
 * ThreadSanitizer what the pool fails to order. */
static void count_if(bool wrong, _Atomic unsigned *count) {
    if (wrong) {
        ++*count;
    }
}

/* Relaxed for the same reason. */
static unsigned char enter(uint64_t block, unsigned char number) {
    return atomic_exchange_explicit(&owner[block], number, memory_order_relaxed);
}

/* Enters the blocks as this worker's, and writes to them: plain writes, so that a wrong order is a data race. */
static void take(struct worker *worker, uint64_t first, uint64_t n) {
    for (uint64_t b = first; b < first + n; b++) {
        count_if(enter(b, worker->number) != 0, &wrong_owner);
        data[b * BLOCK] = worker->number;
    }
}

static void leave(struct worker *worker, uint64_t first, uint64_t n) {
    for (uint64_t b = first; b < first + n; b++) {
        count_if(data[b * BLOCK] != worker->number, &wrong_data);
        count_if(enter(b, 0) != worker->number, &wrong_owner);
    }
}

static void give_back(struct worker *worker, uint64_t first, uint64_t n) {
    leave(worker, first, n);
    switch (worker_below(worker, 3)) {
    case 0:
        count_if(private_pool_release(&pool, first, n) != n, &wrong_free);
        break;
    case 1:
        count_if(private_pool_free(&pool, first) != PRIVATE_POOL_OK, &wrong_free);
        break;
    default:
        count_if(private_pool_free_address(&pool, private_pool_address(&pool, first)) != PRIVATE_POOL_OK, &wrong_free);
    }
}

static void *work(void *argument) {
    struct worker *worker = argument;
    pthread_barrier_wait(&barrier);
    struct {
        uint64_t first, n;
    } held[HELD] = {{0, 0}};
    uint64_t many[40];
    for (int round = 0; round < ROUNDS; round++) {
        unsigned h = (unsigned)worker_below(worker, HELD);
        if (held[h].n) {
            give_back(worker, held[h].first, held[h].n);
            held[h].n = 0;
            continue;
        }
        uint64_t kind = worker_below(worker, 10);
        if (kind < 4) {
            held[h].first = private_pool_allocate(&pool);
            held[h].n = held[h].first != BITMAP_NONE;
        } else if (kind < 8) {
            held[h].n = 1 + worker_below(worker, kind == 7 ? 200 : 12);
            held[h].first = private_pool_allocate_run(&pool, held[h].n);
            held[h].n = held[h].first != BITMAP_NONE ? held[h].n : 0;
        } else {
            uint64_t n = 1 + worker_below(worker, 40), first, length;
            if (private_pool_allocate_many(&pool, n, many)) {
                for (uint64_t i = 0; i < n; i++) {
                    take(worker, many[i], 1);
                }
                for (uint64_t i = 0; i < n; i++) {
                    give_back(worker, many[i], 1);
                }
            }
            for (uint64_t from = 0; private_pool_next_run(&pool, from, &first, &length); from = first + length) {
                count_if(length == 0 || first < from || first + length > pool.blocks, &wrong_walk);
            }
        }
        if (held[h].n) {
            take(worker, held[h].first, held[h].n);
        }
    }
    for (unsigned h = 0; h < HELD; h++) {
        if (held[h].n) {
            give_back(worker, held[h].first, held[h].n);
        }
    }
    return NULL;
}

static void threads_never_share_a_block_and_leave_the_pool_empty(void) {
    static const uint64_t sizes[] = {40, 130, MOST_BLOCKS};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        make(sizes[s]);
        struct worker workers[THREADS];
        pthread_barrier_init(&barrier, NULL, THREADS);
        for (unsigned t = 0; t < THREADS; t++) {
            workers[t].number = (unsigned char)(t + 1);
            workers[t].random = check_random();
            pthread_create(&workers[t].thread, NULL, work, &workers[t]);
        }
        for (unsigned t = 0; t < THREADS; t++) {
            pthread_join(workers[t].thread, NULL);
        }
        pthread_barrier_destroy(&barrier);
        CHECK(wrong_owner, ==, 0);
        CHECK(wrong_data, ==, 0);
        CHECK(wrong_free, ==, 0);
        CHECK(wrong_walk, ==, 0);
        CHECK(bitmap_count(&pool.bitmap), ==, 0);
        CHECK(private_pool_allocate_run(&pool, sizes[s]), ==, 0);
        sound();
        unmake();
    }
}

/* Singles only, all in one word: the most that threads can be in each other's way. */
static void *storm(void *argument) {
    struct worker *worker = argument;
    pthread_barrier_wait(&barrier);
    for (int round = 0; round < 10 * ROUNDS; round++) {
        uint64_t block = private_pool_allocate(&pool);
        count_if(enter(block, worker->number) != 0, &wrong_owner);
        count_if(enter(block, 0) != worker->number, &wrong_owner);
        count_if(private_pool_release(&pool, block, 1) != 1, &wrong_free);
    }
    return NULL;
}

/* What callers of a serial pool hold. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void use(struct worker *worker, const uint64_t *blocks, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        count_if(enter(blocks[i], worker->number) != 0, &wrong_owner);
    }
    for (uint64_t i = 0; i < n; i++) {
        count_if(enter(blocks[i], 0) != worker->number, &wrong_owner);
        count_if(private_pool_release(&pool, blocks[i], 1) != 1, &wrong_free);
    }
}

/* Singles with the lock, all in two words; now and then, several times three without it. */
static void *take_turns(void *argument) {
    struct worker *worker = argument;
    uint64_t blocks[3];
    pthread_barrier_wait(&barrier);
    for (int round = 0; round < 10 * ROUNDS; round++) {
        pthread_mutex_lock(&lock);
        if (worker_below(worker, 20) == 0) {
            private_pool_go_outside(&pool);
            pthread_mutex_unlock(&lock);
            for (int again = 0; again < 100; again++) {
                bool got = private_pool_allocate_many(&pool, 3, blocks);
                count_if(!got, &wrong_free);
                use(worker, blocks, got ? 3 : 0);
            }
            pthread_mutex_lock(&lock);
            private_pool_come_back(&pool);
        } else {
            blocks[0] = private_pool_allocate(&pool);
            count_if(blocks[0] == BITMAP_NONE, &wrong_free);
            use(worker, blocks, blocks[0] != BITMAP_NONE);
        }
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void threads_that_take_turns_never_share_a_block(void) {
    struct worker workers[THREADS];
    make(70);
    private_pool_make_serial(&pool);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (unsigned t = 0; t < THREADS; t++) {
        workers[t].number = (unsigned char)(t + 1);
        workers[t].random = check_random();
        pthread_create(&workers[t].thread, NULL, take_turns, &workers[t]);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        pthread_join(workers[t].thread, NULL);
    }
    pthread_barrier_destroy(&barrier);
    CHECK(wrong_owner, ==, 0);
    CHECK(wrong_free, ==, 0);
    CHECK(private_pool_is_alone(&pool), ==, true);
    CHECK(bitmap_count(&pool.bitmap), ==, 0);
    sound();
    unmake();
}

static void threads_in_one_word_never_share_a_block(void) {
    struct worker workers[THREADS];
    make(THREADS + 1); /* never exhausted */
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (unsigned t = 0; t < THREADS; t++) {
        workers[t].number = (unsigned char)(t + 1);
        pthread_create(&workers[t].thread, NULL, storm, &workers[t]);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        pthread_join(workers[t].thread, NULL);
    }
    pthread_barrier_destroy(&barrier);
    CHECK(wrong_owner, ==, 0);
    CHECK(wrong_free, ==, 0);
    CHECK(bitmap_count(&pool.bitmap), ==, 0);
    sound();
    unmake();
}

/* Two threads free the same run as near at once as they can. */
static _Atomic unsigned freed;

static void *free_the_first(void *argument) {
    (void)argument;
    for (int round = 0; round < 3000; round++) {
        pthread_barrier_wait(&barrier);
        freed += private_pool_free(&pool, 0) == PRIVATE_POOL_OK;
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void of_two_who_free_at_once_one_succeeds(void) {
    pthread_t threads[2];
    make(300);
    pthread_barrier_init(&barrier, NULL, 3);
    pthread_create(&threads[0], NULL, free_the_first, NULL);
    pthread_create(&threads[1], NULL, free_the_first, NULL);
    for (int round = 0; round < 3000; round++) {
        uint64_t n = (uint64_t[]){1, 5, 64, 300}[round % 4];
        CHECK(private_pool_allocate_run(&pool, n), ==, 0);
        freed = 0;
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        CHECK(freed, ==, 1);
        CHECK(bitmap_count(&pool.bitmap), ==, 0);
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    pthread_barrier_destroy(&barrier);
    sound();
    unmake();
}

/* --- waiting --- */

static void *wait_for_a_run(void *argument) {
    uint64_t *got = argument, first;
    double deadline = os_now() + 120;
    private_pool_wait_enter(&pool);
    for (;;) {
        uint32_t sequence = private_pool_wait_sequence(&pool);
        first = private_pool_allocate_run(&pool, 3);
        double left = deadline - os_now();
        if (first != BITMAP_NONE || left <= 0) {
            break;
        }
        private_pool_wait_sleep(&pool, sequence, left); /* no shorter naps: a lost wake-up must be seen */
    }
    private_pool_wait_leave(&pool);
    *got = first;
    return NULL;
}

static void a_waiter_gets_what_another_frees(void) {
    for (int way = 0; way < 3; way++) {
        make(8);
        uint64_t got = BITMAP_NONE;
        pthread_t thread;
        CHECK(private_pool_allocate_run(&pool, 8), ==, 0);
        double before = os_now();
        pthread_create(&thread, NULL, wait_for_a_run, &got);
        while (half_load_seq(&pool.waiting) == 0) {
            os_yield();
        }
        atomic_half nap = 0;
        os_wait(&nap, 0, 0.02); /* so that it probably sleeps */
        switch (way) {
        case 0:
            CHECK(private_pool_release(&pool, 0, 8), ==, 8);
            break;
        case 1:
            CHECK(private_pool_free(&pool, 0), ==, PRIVATE_POOL_OK);
            break;
        default:
            CHECK(private_pool_free_address(&pool, data), ==, PRIVATE_POOL_OK);
        }
        pthread_join(thread, NULL);
        CHECK(got, ==, 0);
        CHECK(os_now() - before < 60, ==, 1); /* woken, not timed out */
        CHECK(half_load_seq(&pool.waiting), ==, 0);
        unmake();
    }
}

static void a_waiter_who_is_not_served_gives_up(void) {
    make(8);
    CHECK(private_pool_allocate_run(&pool, 8), ==, 0);
    private_pool_wait_enter(&pool);
    uint32_t sequence = private_pool_wait_sequence(&pool);
    private_pool_wait_sleep(&pool, sequence, 0.001);
    private_pool_wait_sleep(&pool, sequence + 1, 1000); /* something happened meanwhile: no sleep at all */
    private_pool_wait_leave(&pool);
    CHECK(half_load_seq(&pool.waiting), ==, 0);
    private_pool_wait_enter(&pool);
    private_pool_wait_reset(&pool);
    CHECK(half_load_seq(&pool.waiting), ==, 0);
    unmake();
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(metadata_stays_within_its_budget);
    RUN(a_run_is_freed_by_its_first_block_alone);
    RUN(adjacent_runs_are_told_apart);
    RUN(a_wrong_free_is_refused_and_changes_nothing);
    RUN(a_full_pool_refuses_until_something_is_freed);
    RUN(runs_are_walked_in_order);
    RUN(check_finds_each_kind_of_damage);
    RUN(a_claim_that_is_undone_wakes_who_waits);
    RUN(a_child_marks_what_its_parents_threads_were_about_to);
    RUN(random_calls_do_what_an_array_does);
    RUN(random_calls_of_a_serial_pool_do_the_same);
    RUN(a_block_of_a_serial_pool_comes_back_once);
    RUN(threads_never_share_a_block_and_leave_the_pool_empty);
    RUN(threads_in_one_word_never_share_a_block);
    RUN(threads_that_take_turns_never_share_a_block);
    RUN(of_two_who_free_at_once_one_succeeds);
    RUN(a_waiter_gets_what_another_frees);
    RUN(a_waiter_who_is_not_served_gives_up);
    return check_end();
}
