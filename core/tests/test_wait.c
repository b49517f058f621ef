/* Tests of wait.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/wait.h"

#include <pthread.h>

#include "check.h"

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

static void the_clock_goes_forward(void) {
    double before = os_now();
    atomic_half word = 0;
    os_wait(&word, 0, 0.005);
    CHECK(os_now() - before >= 0, ==, true);
}

static void the_clock_of_all_processes_says_the_same_in_each(void) {
    struct timespec since_boot;
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    CHECK(os_seconds() - (uint32_t)since_boot.tv_sec, <=, 1);
}

static void a_sleep_takes_its_time(void) {
    double before = os_now();
    os_sleep(0.02);
    CHECK(os_now() - before >= 0.02, ==, true);
}

int main(void) {
    RUN(a_wait_ends_when_the_word_differs_or_time_is_up);
    RUN(a_sleeper_is_woken);
    RUN(the_clock_goes_forward);
    RUN(the_clock_of_all_processes_says_the_same_in_each);
    RUN(a_sleep_takes_its_time);
    return check_end();
}
