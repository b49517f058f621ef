/* Tests of wait.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/wait.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "os/thread.h"

static void a_wait_ends_when_the_word_differs_or_time_is_up(void) {
    atomic_half word = 5;
    double before = os_now();
    os_wait(&word, 4, 1000);
    os_wait(&word, 5, 0.001);
    os_wait(&word, 5, 0);
    CHECK(os_now() - before < 100, ==, true);
}

static atomic_half bell;

static void *ring(void *argument) {
    (void)argument;
    half_store_seq(&bell, 1);
    os_wake_all(&bell);
    return NULL;
}

static void a_sleeper_is_woken(void) {
    pthread_t thread;
    double before = os_now();
    pthread_create(&thread, NULL, ring, NULL);
    while (half_load_seq(&bell) == 0) {
        os_wait(&bell, 0, 1000);
    }
    pthread_join(thread, NULL);
    CHECK(os_now() - before < 500, ==, true);
}

/* --- waking the next --- */

#define SLEEPERS 5u

static atomic_half *next_word;
static atomic_half asleep, awake;

static void *sleep_once(void *argument) {
    half_fetch_add_seq(&asleep, 1);
    os_wait_shared(next_word, (uint32_t)(uintptr_t)argument, 1000);
    half_fetch_add_seq(&awake, 1);
    return NULL;
}

/* Wakes at most `most` until all have been woken; each time one step further, and no more than asked for. */
static void wake_all_of(uint32_t begin, unsigned most) {
    pthread_t threads[SLEEPERS];
    atomic_half *word = next_word;
    half_store_seq(word, begin);
    half_store_seq(&asleep, 0);
    half_store_seq(&awake, 0);
    for (unsigned i = 0; i < SLEEPERS; i++) {
        pthread_create(&threads[i], NULL, sleep_once, (void *)(uintptr_t)begin);
    }
    while (half_load_seq(&asleep) < SLEEPERS) {
        os_sleep(0.001);
    }
    CHECK(os_at_rest(60), ==, true); /* all are asleep */
    unsigned woken = 0;
    uint32_t steps = 0;
    do {
        bool last = half_load_seq(word) == UINT32_MAX; /* see wait.h */
        unsigned now = os_wake_next_shared(word, most);
        CHECK(now, <=, (uint64_t)most + last);
        CHECK(half_load_seq(word), ==, begin + ++steps);
        woken += now;
        if (now == 0) {
            break;
        }
    } while (woken < SLEEPERS);
    CHECK(woken, >, 0);
    for (unsigned i = 0; i < SLEEPERS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(half_load_seq(&awake), ==, SLEEPERS);
    CHECK(os_wake_next_shared(word, most), ==, 0);
    CHECK(half_load_seq(word), ==, begin + steps + 1);
}

static void so_many_are_woken_and_the_word_is_one_further(void) {
    static atomic_half word;
    static const uint32_t begins[] = {0, 1, 5, INT32_MAX, (uint32_t)INT32_MAX + 1, UINT32_MAX};
    next_word = &word;
    for (unsigned i = 0; i < sizeof begins / sizeof *begins; i++) {
        for (unsigned most = 1; most <= 3; most++) {
            wake_all_of(begins[i], most);
        }
        wake_all_of(begins[i], UINT32_MAX);
    }
}

static void a_process_that_sleeps_on_shared_memory_is_woken(void) {
    double before = os_now();
    next_word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) {
        while (half_load_seq(next_word) == 0) {
            os_wait_shared(next_word, 0, 1000);
        }
        _exit(7);
    }
    os_sleep(0.05);
    CHECK(os_wake_next_shared(next_word, 1), <=, 1);
    int status = 0;
    CHECK(waitpid(child, &status, 0), ==, child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7, ==, true);
    CHECK(os_now() - before < 500, ==, true);
    munmap(next_word, 4096);
}

static void the_clock_goes_forward(void) {
    double before = os_now();
    atomic_half word = 0;
    os_wait(&word, 0, 0.005);
    CHECK(os_now() - before >= 0, ==, true);
}

static void the_clock_of_all_processes_says_the_same_in_each(void) {
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    uint32_t seconds = os_seconds();
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK(seconds + 1, >=, (uint32_t)before.tv_sec); /* it is up to a tick late */
    CHECK(seconds, <=, (uint32_t)after.tv_sec);
}

static void a_sleep_takes_its_time(void) {
    double before = os_now();
    os_sleep(0.02);
    CHECK(os_now() - before >= 0.02, ==, true);
}

int main(void) {
    RUN(a_wait_ends_when_the_word_differs_or_time_is_up);
    RUN(a_sleeper_is_woken);
    RUN(so_many_are_woken_and_the_word_is_one_further);
    RUN(a_process_that_sleeps_on_shared_memory_is_woken);
    RUN(the_clock_goes_forward);
    RUN(the_clock_of_all_processes_says_the_same_in_each);
    RUN(a_sleep_takes_its_time);
    return check_end();
}
