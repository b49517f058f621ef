/* driver.c: runs a fuzz target without libFuzzer: random damage from a seed, as fast as it can.
 *
 *     fuzz_segment [--seconds S | --inputs N] [--seed SEED]      all have defaults; prints the seed
 *     fuzz_segment FILE...                                       runs saved inputs, from this driver or libFuzzer
 *
 * An input that kills the process, or takes more than five seconds, can be reproduced: a signal handler prints its
 * number, and --seed SEED --inputs NUMBER ends with it. Most values are plausible ones: words of the ledger, summaries,
 * lengths near the ends.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 5u /* seconds for one input */
#define DAMAGE 12u
#define MOST (2 + 24 * DAMAGE)

static uint64_t state, seed, number;

static uint64_t random_word(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t below(uint64_t limit) { return random_word() % limit; }

/* Each input has a seed of its own, so that any of them can be made without those before it. */
static void seed_input(void) {
    state = (seed * UINT64_C(0x9e3779b97f4a7c15)) ^ (number * UINT64_C(0xbf58476d1ce4e5b9));
    state = state ? state : 1;
    (void)random_word();
    (void)random_word();
}

static uint64_t value(void) {
    static const uint64_t numbers[] = {0,
                                       1,
                                       2,
                                       3,
                                       63,
                                       64,
                                       69,
                                       70,
                                       71,
                                       511,
                                       512,
                                       513,
                                       1499,
                                       1500,
                                       8191,
                                       32768,
                                       39999,
                                       0xffff,
                                       1 << 24,
                                       (1 << 24) - 1,
                                       UINT64_C(1) << 40,
                                       UINT64_MAX,
                                       INT64_MAX};
    uint64_t number_of = numbers[below(sizeof numbers / sizeof *numbers)];
    switch (below(8)) {
    case 0:
        return random_word();
    case 1:
        return number_of;
    case 2: /* a word of the ledger */
        return below(8) << 61 |
               (below(2)   ? 0
                : below(4) ? below(10)
                           : below(8192))
                   << 48 |
               (below(3) ? 0 : below(8192)) << 35 | (below(2) ? 2 * below(2) : below(8)) << 32 |
               (below(2) ? below(4) : random_word() & UINT32_MAX);
    case 6: /* one bit, of a row */
        return UINT64_C(1) << below(below(2) ? 10 : 64);
    case 7: /* the run of a name */
        return (below(4) ? below(80) : number_of & 0xffffff) << 40 | below(4);
    case 3: /* a tail */
        return UINT64_C(1) << 61 | (below(2) ? below(8) : number_of & 0xffffff);
    case 4: /* a record */
        return below(4) << 24 | (below(2) ? below(100) : number_of & 0xffffff);
    default: /* a summary */
        return below(4) << 62 | below(3) << 48 | (number_of & 0xffff) << 32 |
               (numbers[below(sizeof numbers / sizeof *numbers)] & 0xffff) << 16 |
               (numbers[below(sizeof numbers / sizeof *numbers)] & 0xffff);
    }
}

static size_t make(uint8_t *data) {
    size_t damages = below(4) ? 1 + below(4) : below(25), size = 2;
    unsigned place = (unsigned)below(9);
    data[0] = (uint8_t)random_word();
    data[1] = (uint8_t)(below(10) ? random_word() & 0x83 : random_word());
    for (size_t i = 0; i < damages; i++, size += DAMAGE) {
        uint64_t which = below(3) ? below(80) : below(65536), word = value();
        place = below(3) ? place : (unsigned)below(9);
        place = place == 0 && below(8) ? 3 : place;     /* the header is soon explored */
        place = data[0] >= 248 && below(2) ? 6 : place; /* the largest segment is there for its summaries */
        data[size] = (uint8_t)place;
        data[size + 1] = (uint8_t)(below(3) ? 0 : below(8));
        data[size + 2] = (uint8_t)which;
        data[size + 3] = (uint8_t)(which >> 8);
        memcpy(data + size + 4, &word, 8);
    }
    return size;
}

static void last_words(int signal_number) {
    char text[160];
    int length = snprintf(text, sizeof text, "\nsignal %d at --seed %llu --inputs %llu\n", signal_number,
                          (unsigned long long)seed, (unsigned long long)number + 1);
    if (write(STDERR_FILENO, text, (size_t)length) < 0) {
        _exit(2);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int run_file(const char *path) {
    static uint8_t data[1 << 16];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    alarm(LIMIT);
    LLVMFuzzerTestOneInput(data, size);
    return 0;
}

int main(int argc, char **argv) {
    static uint8_t data[MOST];
    double seconds = 5, last = 0;
    uint64_t inputs = UINT64_MAX, from = 0;
    seed = (uint64_t)time(NULL);
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (run_file(argv[i])) {
                return 1;
            }
            last = -1;
        } else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
            seconds = strtod(argv[++i], NULL);
        } else if (i + 1 < argc && strcmp(argv[i], "--inputs") == 0) {
            inputs = strtoull(argv[++i], NULL, 10);
            seconds = 1e9;
        } else if (i + 1 < argc && strcmp(argv[i], "--from") == 0) {
            from = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "%s: what is %s?\n", argv[0], argv[i]);
            return 2;
        }
    }
    if (last < 0) {
        return 0;
    }
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    static const int fatal[] = {SIGALRM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (unsigned i = 0; i < sizeof fatal / sizeof *fatal; i++) {
        signal(fatal[i], last_words);
    }
    double began = now();
    for (number = from; number < inputs; number++) {
        seed_input();
        size_t size = make(data);
        alarm(LIMIT);
        LLVMFuzzerTestOneInput(data, size);
        if (number % 64 == 0 && now() - began >= seconds) {
            number++;
            break;
        }
    }
    alarm(0);
    last = now() - began;
    printf("%llu inputs in %.1f s, %.0f a second, nothing found\n", (unsigned long long)(number - from), last,
           (double)(number - from) / last);
    return 0;
}
