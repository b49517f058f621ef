/* bench_shared.c: what one block of a shared pool costs in C, beside the locked instructions that it cannot do without.
 *
 * A pair allocates a block and drops it, and needs four locked instructions: the bit is claimed, the head taken from
 * FREE, the head taken to CLOSING, the bit cleared. What these take alone, on the same words, with the loads that each
 * needs, is measured in turn with it: A B A B …; a line gives the median of the quickest of some turns.
 *
 *     bench_shared [--pairs N]
 *     bench_shared --times N     allocates and drops so many times, for a profiler
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "os/wait.h"
#include "pool.h"

#define MOST_PAIRS 101u
#define TRIES 5u
#define LOOP 20000u

static unsigned pairs = 21;
static struct pool pool;

static double four_locked(void) {
    static struct {
        _Alignas(64) atomic_word bits;
        _Alignas(64) atomic_word head;
    } words;
    bool good = true;
    double before = os_now();
    for (uint64_t i = 0; i < LOOP; i++) {
        uint64_t taken = load_relaxed(&words.bits), word = LEDGER_FREE;
        good &= compare_exchange_seq(&words.bits, &taken, taken | (taken + 1));
        good &= compare_exchange_seq(&words.head, &word, ledger_opening(1));
        store_release(&words.head, ledger_live(1, i));
        word = load_relaxed(&words.head);
        good &= compare_exchange_seq(&words.head, &word, ledger_make(LEDGER_IS_CLOSING, 1, word));
        store_release(&words.head, LEDGER_FREE);
        (void)clear_bit_seq(&words.bits, 0);
    }
    double took = (os_now() - before) / LOOP * 1e9;
    insist(good, "a locked instruction");
    return took;
}

static double clock_alone(void) {
    uint32_t sum = 0;
    double before = os_now();
    for (unsigned i = 0; i < LOOP; i++) {
        sum += os_seconds();
    }
    double took = (os_now() - before) / LOOP * 1e9;
    __asm__ volatile("" : : "r"(sum));
    return took;
}

static void pair_of(unsigned times) {
    struct pool_run run;
    bool good = true;
    for (unsigned i = 0; i < times; i++) {
        good &= pool_allocate(&pool, 1, 0, &run) == POOL_OK;
        pool_count(&pool, 1, pool.block_size);
        good &= pool_release(&pool, &run, pool.block_size) == POOL_OK;
    }
    insist(good, "a call");
}

static double one_pair(void) {
    double before = os_now();
    pair_of(LOOP);
    return (os_now() - before) / LOOP * 1e9;
}

static double quickest(double function(void)) {
    double least = function();
    for (unsigned i = 1; i < TRIES; i++) {
        double took = function();
        least = took < least ? took : least;
    }
    return least;
}

static void report(const char *name, const char *unit, double *values) {
    qsort(values, pairs, sizeof *values, by_value);
    printf("%-46s %9.2f %-2s (%.2f .. %.2f)\n", name, values[pairs / 2], unit, values[0], values[pairs - 1]);
}

int main(int argc, char **argv) {
    struct attachment_request request = {.block_size = 64, .blocks = 1024, .processes = 64, .gate_seconds = 5};
    struct pool_failure failure;
    insist(pool_create(&pool, &request, &failure) == POOL_OK, "pool_create");
    unsigned times = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--pairs") == 0 && i + 1 < argc) {
            pairs = (unsigned)strtoul(argv[++i], NULL, 10);
            pairs = pairs < 1 ? 1 : pairs > MOST_PAIRS ? MOST_PAIRS : pairs;
        } else if (strcmp(argv[i], "--times") == 0 && i + 1 < argc) {
            times = (unsigned)strtoul(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: bench_shared [--pairs N | --times N]\n");
            return 2;
        }
    }
    if (times) {
        pair_of(times);
    } else {
        double locked[MOST_PAIRS], pair[MOST_PAIRS], seconds[MOST_PAIRS], ratio[MOST_PAIRS];
        for (unsigned i = 0; i < pairs; i++) {
            locked[i] = quickest(four_locked);
            pair[i] = quickest(one_pair);
            seconds[i] = quickest(clock_alone);
            ratio[i] = pair[i] / (locked[i] + seconds[i]);
        }
        report("four locked instructions", "ns", locked);
        report("the clock", "ns", seconds);
        report("allocate and drop one block", "ns", pair);
        report("  against both", "x", ratio);
    }
    pool_close(&pool, 5);
    return 0;
}
