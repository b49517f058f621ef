/* bench.h: what the benchmarks of the core have in common. */
#ifndef BLOCKPOOL_BENCH_H
#define BLOCKPOOL_BENCH_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/* Ends the program if what it needs did not work: without it, there is nothing to measure. */
static inline void insist(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "%s: %s failed\n", program_invocation_short_name, what);
        _exit(2);
    }
}

/* For qsort: doubles, the least first. */
static inline int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#endif
