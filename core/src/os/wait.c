/* wait.c: see wait.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/wait.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Seconds; fits any time_t. */
#define LONGEST_WAIT 1e6

static void futex_wait(atomic_half *word, int operation, uint32_t expected, double seconds) {
    struct timespec limit;
    seconds = seconds > 0 ? seconds < LONGEST_WAIT ? seconds : LONGEST_WAIT : 0; /* NaN counts as 0 */
    limit.tv_sec = (time_t)seconds;
    limit.tv_nsec = (long)((seconds - (double)limit.tv_sec) * 1e9);
    syscall(SYS_futex, word, operation, expected, &limit, NULL, 0);
}

void os_wait(atomic_half *word, uint32_t expected, double seconds) {
    futex_wait(word, FUTEX_WAIT_PRIVATE, expected, seconds);
}

void os_wait_shared(atomic_half *word, uint32_t expected, double seconds) {
    futex_wait(word, FUTEX_WAIT, expected, seconds);
}

void os_wake_all(atomic_half *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

void os_wake_all_shared(atomic_half *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); }

unsigned os_wake_next_shared(atomic_half *word, unsigned most) {
    /* the kernel wakes one more if the comparison holds, and has none that never does: this one holds once in 2^32 */
    const int add_one = FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, -1);
    long woken = syscall(SYS_futex, word, FUTEX_WAKE_OP, most < INT_MAX ? (int)most : INT_MAX, NULL, word, add_one);
    if (woken < 0) { /* a kernel without this operation */
        half_fetch_add_seq(word, 1);
        woken = syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
    return woken < 0 ? 0 : (unsigned)woken;
}

void os_sleep(double seconds) {
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

double os_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

uint64_t os_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t os_processor_time(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint32_t os_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* a quarter of what the exact one costs, with every allocation */
    return (uint32_t)now.tv_sec;
}
