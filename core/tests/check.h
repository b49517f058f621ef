/* check.h: the few lines of test harness that the C tests need.
 *
 * CHECK(a, ==, b) compares two integers and, if it fails, prints the place and both values; the test goes on. A test is
 * a static function named after the behavior it shows; main runs each with RUN and ends with `return check_end();`. The
 * last line printed is "N passed, M failed", counted in checks; the exit code is 1 if any failed. RUN leaves out those
 * that the environment variable CHECK_WITHOUT names, with spaces between them.
 */
#ifndef BLOCKPOOL_CHECK_H
#define BLOCKPOOL_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static _Atomic uint64_t check_passed, check_failed; /* threads check too */

#define CHECK(a, relation, b)                                                                                          \
    do {                                                                                                               \
        long long check_a = (long long)(a), check_b = (long long)(b);                                                  \
        check_count(check_a relation check_b, __FILE__, __LINE__, #a " " #relation " " #b, check_a, check_b);          \
    } while (0)

#define RUN(test)                                                                                                      \
    do {                                                                                                               \
        uint64_t check_before = check_failed;                                                                          \
        bool check_runs = !check_is_left_out(#test);                                                                   \
        if (check_runs) {                                                                                              \
            test();                                                                                                    \
        }                                                                                                              \
        printf("%s %s\n", !check_runs ? "LEFT OUT" : check_failed == check_before ? "ok  " : "FAIL", #test);           \
        fflush(stdout);                                                                                                \
    } while (0)

static inline bool check_is_left_out(const char *test) {
    const char *names = getenv("CHECK_WITHOUT");
    size_t length = strlen(test);
    for (const char *at = names; at && (at = strstr(at, test)); at += length) {
        if ((at == names || at[-1] == ' ') && (at[length] == ' ' || at[length] == 0)) {
            return true;
        }
    }
    return false;
}

static inline void check_count(int holds, const char *file, int line, const char *what, long long a, long long b) {
    if (holds) {
        check_passed++;
    } else if (++check_failed <= 20) {
        printf("%s:%d: %s: %lld, %lld\n", file, line, what, a, b);
    }
}

static inline int check_end(void) {
    printf("%llu passed, %llu failed\n", (unsigned long long)check_passed, (unsigned long long)check_failed);
    return check_failed != 0;
}

/* Random numbers (xorshift*) that a seed repeats. */
static uint64_t check_random_state;

static inline uint64_t check_random(void) {
    check_random_state ^= check_random_state >> 12;
    check_random_state ^= check_random_state << 25;
    check_random_state ^= check_random_state >> 27;
    return check_random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static inline uint64_t check_below(uint64_t limit) { return check_random() % limit; }

/* Takes the seed from the command line, else from the clock, and prints it. */
static inline void check_seed(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    check_random_state = seed * 2 + 1;
    (void)check_random();
}

#endif
