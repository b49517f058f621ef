/* Tests of classic.c: what each call promises, and initializations that race with calls of other threads. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* fork, usleep */
#endif
#include "blockpool.h" /* first: it must stand alone */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#ifdef __SANITIZE_THREAD__
#define IN_THREAD_SANITIZER 1
#else
#define IN_THREAD_SANITIZER 0
#endif

#define SIZE BLOCKPOOL_DEFAULT_POOL_SIZE
#define BLOCK BLOCKPOOL_DEFAULT_BLOCK_SIZE
#define BLOCKS (SIZE / BLOCK)

static void start(void) { CHECK(initialize_memory_allocator(SIZE, BLOCK), ==, BLOCKPOOL_OK); }

/* A refused allocation: NULL, and this status. */
static void refused(size_t n, int status) {
    CHECK(allocate_memory_blocks(n) == NULL, ==, true);
    CHECK(blockpool_last_status(), ==, status);
}

/* How many blocks are free: those that can be had singly. Gives them back. */
static unsigned free_blocks(void) {
    void *held[2 * BLOCKS];
    unsigned count = 0, given = 0;
    while (count < 2 * BLOCKS && (held[count] = allocate_memory_blocks(1)) != NULL) {
        count++;
    }
    while (given < count) {
        CHECK(deallocate_memory_blocks(held[given++]), ==, BLOCKPOOL_OK);
    }
    return count;
}

/* --- one thread --- */

static void before_initialisation_every_call_is_refused(void) {
    int local;
    refused(1, BLOCKPOOL_NOT_INITIALIZED);
    refused(0, BLOCKPOOL_NOT_INITIALIZED);
    CHECK(deallocate_memory_blocks(&local), ==, BLOCKPOOL_NOT_INITIALIZED);
    CHECK(deallocate_memory_blocks(NULL), ==, BLOCKPOOL_NOT_INITIALIZED);
}

static void refused_sizes_leave_the_allocator_as_it_was(void) {
    static const struct {
        size_t pool, block;
        int status;
    } wrong[] = {
        {1024, 33, BLOCKPOOL_BAD_BLOCK_SIZE},
        {1024, 4, BLOCKPOOL_BAD_BLOCK_SIZE},
        {1024, 0, BLOCKPOOL_BAD_BLOCK_SIZE},
        {0, 0, BLOCKPOOL_BAD_BLOCK_SIZE},
        {1024, (size_t)-1, BLOCKPOOL_BAD_BLOCK_SIZE},
        {0, 32, BLOCKPOOL_BAD_POOL_SIZE},
        {1025, 32, BLOCKPOOL_BAD_POOL_SIZE},
        {1000, 32, BLOCKPOOL_BAD_POOL_SIZE},
        {16, 32, BLOCKPOOL_BAD_POOL_SIZE},
        {(size_t)-32, 32, BLOCKPOOL_NO_MEMORY},
        {(size_t)-8, 8, BLOCKPOOL_NO_MEMORY},
        {(size_t)1 << 62, 1 << 20, BLOCKPOOL_NO_MEMORY},
    };
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(initialize_memory_allocator(wrong[i].pool, wrong[i].block), ==, wrong[i].status);
        CHECK(blockpool_last_status(), ==, wrong[i].status);
        refused(1, BLOCKPOOL_NOT_INITIALIZED);
    }
    start();
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(initialize_memory_allocator(wrong[i].pool, wrong[i].block), ==, wrong[i].status);
        CHECK(free_blocks(), ==, BLOCKS);
    }
}

static void blocks_are_zero_adjacent_and_aligned(void) {
    static const char zeros[SIZE];
    start();
    char *first = allocate_memory_blocks(BLOCKS);
    CHECK(memcmp(first, zeros, SIZE), ==, 0);
    CHECK((uintptr_t)first % 4096, ==, 0);
    memset(first, 0xff, SIZE);
    CHECK(deallocate_memory_blocks(first), ==, BLOCKPOOL_OK);
    for (unsigned b = 0; b < BLOCKS; b++) {
        CHECK((char *)allocate_memory_blocks(1) - first, ==, b * BLOCK);
    }
    refused(1, BLOCKPOOL_NO_ROOM);
    for (unsigned b = 0; b < BLOCKS; b++) {
        CHECK(deallocate_memory_blocks(first + b * BLOCK), ==, BLOCKPOOL_OK);
    }
}

static void a_pool_of_one_block_and_a_large_one(void) {
    CHECK(initialize_memory_allocator(8, 8), ==, BLOCKPOOL_OK);
    char *only = allocate_memory_blocks(1);
    refused(1, BLOCKPOOL_NO_ROOM);
    refused(2, BLOCKPOOL_TOO_LARGE);
    CHECK(deallocate_memory_blocks(only + 8), ==, BLOCKPOOL_OUTSIDE);
    CHECK(deallocate_memory_blocks(only), ==, BLOCKPOOL_OK);
    CHECK(initialize_memory_allocator((size_t)64 << 20, 24 << 10), ==, BLOCKPOOL_BAD_POOL_SIZE);
    CHECK(initialize_memory_allocator((size_t)96 << 20, 24 << 10), ==, BLOCKPOOL_OK);
    char *run = allocate_memory_blocks(4096);
    run[0] = run[((size_t)96 << 20) - 1] = 1;
    CHECK(deallocate_memory_blocks(run + ((size_t)96 << 20)), ==, BLOCKPOOL_OUTSIDE);
    CHECK(deallocate_memory_blocks(run + (24 << 10)), ==, BLOCKPOOL_INSIDE_RUN);
    CHECK(deallocate_memory_blocks(run), ==, BLOCKPOOL_OK);
}

static void a_wrong_count_too_many_and_no_room_are_told_apart(void) {
    start();
    refused(0, BLOCKPOOL_BAD_COUNT);
    refused(BLOCKS + 1, BLOCKPOOL_TOO_LARGE);
    refused((size_t)-1, BLOCKPOOL_TOO_LARGE);
    void *run = allocate_memory_blocks(20);
    CHECK(blockpool_last_status(), ==, BLOCKPOOL_OK);
    refused(13, BLOCKPOOL_NO_ROOM);
    refused(0, BLOCKPOOL_BAD_COUNT);
    void *rest = allocate_memory_blocks(12);
    CHECK((char *)rest - (char *)run, ==, 20 * BLOCK);
    CHECK(deallocate_memory_blocks(run), ==, BLOCKPOOL_OK);
    CHECK(deallocate_memory_blocks(rest), ==, BLOCKPOOL_OK);
}

static void a_wrong_deallocation_is_refused_and_changes_nothing(void) {
    int local;
    start();
    char *single = allocate_memory_blocks(1), *run = allocate_memory_blocks(5);
    CHECK(deallocate_memory_blocks(NULL), ==, BLOCKPOOL_NULL);
    CHECK(deallocate_memory_blocks(&local), ==, BLOCKPOOL_OUTSIDE);
    CHECK(deallocate_memory_blocks(single - BLOCK), ==, BLOCKPOOL_OUTSIDE);
    CHECK(deallocate_memory_blocks(single - 1), ==, BLOCKPOOL_OUTSIDE);
    CHECK(deallocate_memory_blocks(single + SIZE), ==, BLOCKPOOL_OUTSIDE);
    CHECK(deallocate_memory_blocks((void *)UINTPTR_MAX), ==, BLOCKPOOL_OUTSIDE);
    CHECK(deallocate_memory_blocks(single + 1), ==, BLOCKPOOL_INSIDE_BLOCK);
    CHECK(deallocate_memory_blocks(single + SIZE - 1), ==, BLOCKPOOL_INSIDE_BLOCK);
    for (unsigned inner = 1; inner < 5; inner++) {
        CHECK(deallocate_memory_blocks(run + inner * BLOCK), ==, BLOCKPOOL_INSIDE_RUN);
    }
    CHECK(deallocate_memory_blocks(run + 5 * BLOCK), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(blockpool_last_status(), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(free_blocks(), ==, BLOCKS - 6);
    CHECK(deallocate_memory_blocks(run), ==, BLOCKPOOL_OK);
    CHECK(deallocate_memory_blocks(run), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(deallocate_memory_blocks(run + BLOCK), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(free_blocks(), ==, BLOCKS - 1);
    CHECK(deallocate_memory_blocks(single), ==, BLOCKPOOL_OK);
    CHECK(deallocate_memory_blocks(single), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(free_blocks(), ==, BLOCKS);
}

static void a_pool_in_use_is_not_replaced(void) {
    start();
    char *held = allocate_memory_blocks(2);
    memcpy(held, "still here", 11);
    CHECK(initialize_memory_allocator(2 * SIZE, BLOCK), ==, BLOCKPOOL_IN_USE);
    CHECK(initialize_memory_allocator(SIZE, BLOCK), ==, BLOCKPOOL_IN_USE);
    CHECK(strcmp(held, "still here"), ==, 0);
    CHECK(free_blocks(), ==, BLOCKS - 2);
    CHECK(deallocate_memory_blocks(held), ==, BLOCKPOOL_OK);
    CHECK(initialize_memory_allocator(2 * SIZE, 2 * BLOCK), ==, BLOCKPOOL_OK);
    char *all = allocate_memory_blocks(BLOCKS);
    all[2 * SIZE - 1] = 1;
    CHECK(deallocate_memory_blocks(all + BLOCK), ==, BLOCKPOOL_INSIDE_BLOCK);
    CHECK(deallocate_memory_blocks(all), ==, BLOCKPOOL_OK);
}

static long mappings(void) {
    long count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    for (int c; (c = fgetc(maps)) != EOF;) {
        count += c == '\n';
    }
    fclose(maps);
    return count;
}

static void replaced_and_refused_pools_leave_nothing_behind(void) {
    start();
    long before = mappings();
    for (int i = 0; i < 500; i++) {
        start();
        void *held = allocate_memory_blocks(1);
        CHECK(initialize_memory_allocator(SIZE, BLOCK), ==, BLOCKPOOL_IN_USE);
        CHECK(deallocate_memory_blocks(held), ==, BLOCKPOOL_OK);
    }
    CHECK(mappings(), <, before + 100);
    CHECK(free_blocks(), ==, BLOCKS);
}

static void a_forked_child_has_a_copy_of_its_own(void) {
    start();
    char *held = allocate_memory_blocks(1);
    *held = 1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bool good = *held == 1 && deallocate_memory_blocks(held) == BLOCKPOOL_OK;
        good = good && initialize_memory_allocator(SIZE, BLOCK) == BLOCKPOOL_OK;
        _exit(!good);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0), ==, child);
    CHECK(status, ==, 0);
    CHECK(initialize_memory_allocator(SIZE, BLOCK), ==, BLOCKPOOL_IN_USE);
    CHECK(*held, ==, 1);
    CHECK(deallocate_memory_blocks(held), ==, BLOCKPOOL_OK);
}

/* A call that is interrupted in the middle and never goes on: until the handler returns. */
static volatile sig_atomic_t interruptions, busy, otherwise;

static void initialise_in_handler(int number) {
    (void)number;
    if (busy == 0) {
        int status = initialize_memory_allocator(SIZE, BLOCK);
        interruptions++;
        busy += status == BLOCKPOOL_BUSY;
        otherwise += status != BLOCKPOOL_BUSY && status != BLOCKPOOL_OK && status != BLOCKPOOL_IN_USE;
    }
}

static void an_initialisation_gives_up_on_a_call_that_does_not_end(void) {
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    start();
    signal(SIGALRM, initialise_in_handler);
    setitimer(ITIMER_REAL, &often, NULL);
    while (busy == 0 && interruptions < 5000) {
        void *block = allocate_memory_blocks(1);
        int status = block ? deallocate_memory_blocks(block) : -1;
        if (status != BLOCKPOOL_OK) {
            CHECK(status, ==, BLOCKPOOL_OK);
        }
    }
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_DFL);
    CHECK(busy, >, 0);
    CHECK(otherwise, ==, 0);
    CHECK(free_blocks(), ==, BLOCKS);
    CHECK(initialize_memory_allocator(SIZE, BLOCK), ==, BLOCKPOOL_OK);
}

/* --- threads --- */

#define THREADS 8
#define ROUNDS 20000

static atomic_int in_time, refusals, running;
static void *contested;
static pthread_barrier_t gate;

static void in_threads(unsigned n, void *(*body)(void *)) {
    pthread_t threads[THREADS];
    for (uintptr_t t = 0; t < n; t++) {
        CHECK(pthread_create(&threads[t], NULL, body, (void *)(t + 1)), ==, 0);
    }
    for (unsigned t = 0; t < n; t++) {
        CHECK(pthread_join(threads[t], NULL), ==, 0);
    }
}

static void *look_at_own_status(void *argument) {
    (void)argument;
    atomic_store(&in_time, blockpool_last_status() == BLOCKPOOL_OK);
    (void)deallocate_memory_blocks(NULL);
    return NULL;
}

static void the_last_status_is_of_this_thread(void) {
    start();
    refused(0, BLOCKPOOL_BAD_COUNT);
    in_threads(1, look_at_own_status);
    CHECK(in_time, ==, true);
    CHECK(blockpool_last_status(), ==, BLOCKPOOL_BAD_COUNT);
}

/* Fills what it gets with its own number, and finds it there later. */
static void use_a_run(unsigned char mine, unsigned round) {
    size_t n = 1 + (round + mine) % 4;
    unsigned char *run = allocate_memory_blocks(n);
    if (run == NULL) {
        int status = blockpool_last_status();
        if (status != BLOCKPOOL_NO_ROOM) {
            CHECK(status, ==, BLOCKPOOL_NO_ROOM);
        }
        return;
    }
    memset(run, mine, n * BLOCK);
    if (round % 64 == 0) {
        sched_yield();
    }
    for (size_t i = 0; i < n * BLOCK; i++) {
        if (run[i] != mine) {
            CHECK(run[i], ==, mine);
        }
    }
    int status = deallocate_memory_blocks(run);
    if (status != BLOCKPOOL_OK) {
        CHECK(status, ==, BLOCKPOOL_OK);
    }
}

static void *use_blocks(void *argument) {
    for (unsigned round = 0; round < ROUNDS; round++) {
        use_a_run((unsigned char)(uintptr_t)argument, round);
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void threads_share_no_block(void) {
    start();
    in_threads(THREADS, use_blocks);
    CHECK(free_blocks(), ==, BLOCKS);
}

static void *deallocate_the_contested(void *argument) {
    (void)argument;
    pthread_barrier_wait(&gate);
    int status = deallocate_memory_blocks(contested);
    atomic_fetch_add(&in_time, status == BLOCKPOOL_OK);
    atomic_fetch_add(&refusals, status == BLOCKPOOL_NOT_ALLOCATED || status == BLOCKPOOL_INSIDE_RUN);
    return NULL;
}

static void of_several_deallocations_one_is_the_first(void) {
    start();
    pthread_barrier_init(&gate, NULL, 4);
    for (unsigned round = 0; round < 500; round++) {
        atomic_store(&in_time, 0);
        atomic_store(&refusals, 0);
        contested = allocate_memory_blocks(1 + round % 3);
        in_threads(4, deallocate_the_contested);
        CHECK(in_time, ==, 1);
        CHECK(refusals, ==, 3);
    }
    pthread_barrier_destroy(&gate);
    CHECK(free_blocks(), ==, BLOCKS);
}

/* Replaces the pool by one of another size whenever nothing is allocated, as long as others use blocks. */
static void *replace_pool(void *argument) {
    (void)argument;
    size_t size = SIZE;
    while (atomic_load(&running) > 0) {
        int status = initialize_memory_allocator(size, BLOCK);
        if (status == BLOCKPOOL_OK) {
            atomic_fetch_add(&in_time, 1);
            size = size == SIZE ? SIZE / 2 : SIZE;
        } else if (status == BLOCKPOOL_IN_USE) {
            atomic_fetch_add(&refusals, 1);
        } else {
            CHECK(status, ==, BLOCKPOOL_IN_USE);
        }
        usleep(20);
    }
    return NULL;
}

/* True until *count is more than 0, after a moment in which the caller holds nothing: busy users may leave none. False
 * too when that never comes. */
static bool still_none(atomic_int *count, unsigned *moments) {
    usleep(100);
    return atomic_load(count) == 0 && (*moments)++ < 100000;
}

static void *use_until_replaced(void *argument) {
    unsigned round = 0, moments = 0;
    do {
        use_a_run((unsigned char)(uintptr_t)argument, round++);
    } while (round < ROUNDS || still_none(&in_time, &moments) || still_none(&refusals, &moments));
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void *use_or_replace(void *argument) {
    return (uintptr_t)argument <= 2 ? replace_pool(argument) : use_until_replaced(argument);
}

static void a_pool_is_replaced_under_threads_that_use_it(void) {
    start();
    atomic_store(&in_time, 0);
    atomic_store(&refusals, 0);
    atomic_store(&running, 3);
    in_threads(5, use_or_replace);
    CHECK(in_time, >, 0);
    CHECK(refusals, >, 0);
    CHECK(initialize_memory_allocator(SIZE, BLOCK), ==, BLOCKPOOL_OK);
    CHECK(free_blocks(), ==, BLOCKS);
}

/* Deallocates what is not allocated, again and again: no block of its own keeps the pool in its place. */
static void *deallocate_strangers(void *argument) {
    (void)argument;
    unsigned round = 0, moments = 0;
    do {
        int status = deallocate_memory_blocks((char *)contested + round++ % BLOCKS * BLOCK);
        if (status != BLOCKPOOL_NOT_ALLOCATED && status != BLOCKPOOL_OUTSIDE && status != BLOCKPOOL_INSIDE_BLOCK) {
            CHECK(status, ==, BLOCKPOOL_NOT_ALLOCATED);
        }
    } while (round < 5 * ROUNDS || still_none(&in_time, &moments));
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void *misuse_or_replace(void *argument) {
    return (uintptr_t)argument == 1 ? replace_pool(argument) : deallocate_strangers(argument);
}

static void a_pool_is_replaced_under_threads_that_misuse_it(void) {
    start();
    contested = allocate_memory_blocks(1);
    CHECK(deallocate_memory_blocks(contested), ==, BLOCKPOOL_OK);
    atomic_store(&in_time, 0);
    atomic_store(&refusals, 0);
    atomic_store(&running, 3);
    in_threads(4, misuse_or_replace);
    CHECK(in_time, >, 0);
    CHECK(refusals, ==, 0);
}

static void *initialise_first(void *argument) {
    size_t size = (uintptr_t)argument * SIZE;
    pthread_barrier_wait(&gate);
    void *block = allocate_memory_blocks(1); /* perhaps too early */
    if (block == NULL) {
        if (blockpool_last_status() != BLOCKPOOL_NOT_INITIALIZED) {
            CHECK(blockpool_last_status(), ==, BLOCKPOOL_NOT_INITIALIZED);
        }
        int status = initialize_memory_allocator(size, BLOCK);
        atomic_fetch_add(&in_time, status == BLOCKPOOL_OK);
        atomic_fetch_add(&refusals, status == BLOCKPOOL_IN_USE);
        block = allocate_memory_blocks(1);
    }
    return (void *)(uintptr_t)(block == NULL || deallocate_memory_blocks(block) != BLOCKPOOL_OK);
}

/* In children, because a process initializes for the first time only once. */
static void threads_that_initialise_first_at_once(void) {
    for (unsigned round = 0; round < 50; round++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            uint64_t failed = check_failed;
            pthread_t threads[4];
            void *bad[4] = {0};
            pthread_barrier_init(&gate, NULL, 4);
            for (uintptr_t t = 0; t < 4; t++) {
                pthread_create(&threads[t], NULL, initialise_first, (void *)(t + 1));
            }
            for (unsigned t = 0; t < 4; t++) {
                pthread_join(threads[t], &bad[t]);
            }
            _exit(bad[0] || bad[1] || bad[2] || bad[3] || atomic_load(&in_time) < 1 || check_failed != failed);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0), ==, child);
        CHECK(status, ==, 0);
    }
}

int main(void) {
    RUN(threads_that_initialise_first_at_once); /* before this process has threads */
    RUN(before_initialisation_every_call_is_refused);
    RUN(refused_sizes_leave_the_allocator_as_it_was);
    RUN(blocks_are_zero_adjacent_and_aligned);
    RUN(a_pool_of_one_block_and_a_large_one);
    RUN(a_wrong_count_too_many_and_no_room_are_told_apart);
    RUN(a_wrong_deallocation_is_refused_and_changes_nothing);
    RUN(a_pool_in_use_is_not_replaced);
    RUN(replaced_and_refused_pools_leave_nothing_behind);
    RUN(a_forked_child_has_a_copy_of_its_own);
    if (!IN_THREAD_SANITIZER) { /* which wants no such handlers */
        RUN(an_initialisation_gives_up_on_a_call_that_does_not_end);
    }
    RUN(the_last_status_is_of_this_thread);
    RUN(threads_share_no_block);
    RUN(of_several_deallocations_one_is_the_first);
    RUN(a_pool_is_replaced_under_threads_that_use_it);
    RUN(a_pool_is_replaced_under_threads_that_misuse_it);
    return check_end();
}
