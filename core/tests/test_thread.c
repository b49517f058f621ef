/* Tests of thread.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/thread.h"

#include <pthread.h>

#include "check.h"
#include "os/wait.h"

static void *number(void *argument) {
    uint32_t *numbers = argument;
    numbers[0] = os_thread_number();
    os_yield();
    numbers[1] = os_thread_number();
    return NULL;
}

static void every_thread_keeps_a_number_of_its_own(void) {
    uint32_t mine = os_thread_number(), numbers[8][2];
    pthread_t threads[8];
    CHECK(mine, >, 0);
    for (unsigned t = 0; t < 8; t++) {
        pthread_create(&threads[t], NULL, number, numbers[t]);
    }
    for (unsigned t = 0; t < 8; t++) {
        pthread_join(threads[t], NULL);
    }
    for (unsigned t = 0; t < 8; t++) {
        CHECK(numbers[t][0], ==, numbers[t][1]);
        CHECK(numbers[t][0], !=, mine);
        for (unsigned other = 0; other < t; other++) {
            CHECK(numbers[t][0], !=, numbers[other][0]);
        }
    }
    CHECK(os_thread_number(), ==, mine);
}

static atomic_half told, spins;

static void *sleep_until_told(void *argument) {
    (void)argument;
    while (!half_load_seq(&told)) {
        os_wait(&told, 0, 1000);
    }
    return NULL;
}

static void *spin_until_told(void *argument) {
    (void)argument;
    half_store_seq(&spins, 1);
    while (!half_load_seq(&told)) {
    }
    return NULL;
}

/* Runs `body` beside one more thread. */
static void beside(void *(*other)(void *), void (*body)(void)) {
    pthread_t thread;
    half_store_seq(&told, 0);
    pthread_create(&thread, NULL, other, NULL);
    body();
    half_store_seq(&told, 1);
    os_wake_all(&told);
    pthread_join(thread, NULL);
}

static unsigned alone;

static void expect_one_more(void) {
    CHECK(os_threads(), ==, alone + 1);
    CHECK(os_is_alone(), ==, false);
}

static void threads_are_counted(void) {
    alone = os_threads(); /* a sanitizer may have one of its own */
    CHECK(alone, >=, 1);
    CHECK(os_is_alone(), ==, alone == 1);
    beside(sleep_until_told, expect_one_more);
}

static void expect_rest(void) { CHECK(os_at_rest(60), ==, true); }

/* The other may happen to wait for a processor, which counts as running. */
static void expect_no_rest(void) {
    while (!half_load_seq(&spins)) {
        os_yield();
    }
    CHECK(os_at_rest(0.05), ==, false);
}

static void a_process_is_at_rest_when_its_other_threads_sleep(void) {
    expect_rest();
    beside(sleep_until_told, expect_rest);
    beside(spin_until_told, expect_no_rest);
}

int main(void) {
    RUN(every_thread_keeps_a_number_of_its_own);
    RUN(threads_are_counted);
    RUN(a_process_is_at_rest_when_its_other_threads_sleep);
    return check_end();
}
