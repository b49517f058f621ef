/* bench_core.c: what the core costs, as ratios and as times scaled to this machine.
 *
 * A ratio is the median of interleaved pairs (A B A B …) of one run, with the least and the greatest beside it, so that
 * anything that slows the machine down slows both. A time is given as measured, and scaled: what it would be where two
 * uncontended locked instructions take 10 ns, which is how docs/explanation/design.md states its targets.
 *
 *     bench_core [--json FILE] [--pairs N]
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "os/thread.h"
#include "os/wait.h"
#include "private/private_pool.h"

#define MOST_PAIRS 101u
#define LOOP 100000u
#define BLOCKS (UINT64_C(1) << 20)

static unsigned pairs = 21;
static double pair_ns; /* two uncontended locked instructions, measured first */
static FILE *json;
static const char *json_comma = "";
static unsigned missed;

/* --- numbers --- */

struct spread {
    double median, min, max;
};

static struct spread spread_of(const double *values) {
    double sorted[MOST_PAIRS];
    memcpy(sorted, values, pairs * sizeof *values);
    qsort(sorted, pairs, sizeof *sorted, by_value);
    return (struct spread){sorted[pairs / 2], sorted[0], sorted[pairs - 1]};
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random_below(uint64_t limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

static void keep(uint64_t value) { __asm__ volatile("" : : "r"(value) : "memory"); }

/* --- reports --- */

/* One line of text and one object of JSON. A target of 0 is none; `least` tells targets to reach from limits to stay
 * under. */
static void report(const char *name, const char *unit, struct spread is, double target, bool least) {
    bool met = target == 0 || (least ? is.median >= target : is.median <= target);
    missed += !met;
    char aim[40] = "";
    if (target != 0) {
        snprintf(aim, sizeof aim, "%s %g: %s", least ? ">=" : "<=", target, met ? "met" : "MISSED");
    }
    printf("%-46s %9.3f %-5s (%.3f .. %.3f)  %s\n", name, is.median, unit, is.min, is.max, aim);
    fflush(stdout);
    if (json) {
        fprintf(json,
                "%s\n  {\"name\": \"%s\", \"unit\": \"%s\", \"median\": %.4f, \"min\": %.4f, "
                "\"max\": %.4f",
                json_comma, name, unit, is.median, is.min, is.max);
        if (target != 0) {
            fprintf(json, ", \"target\": %g, \"met\": %s", target, met ? "true" : "false");
        }
        fprintf(json, "}");
        json_comma = ",";
    }
}

static struct spread scaled(struct spread is) {
    double by = 10 / pair_ns;
    return (struct spread){is.median * by, is.min * by, is.max * by};
}

/* --- pools --- */

static void *zeroed(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory) {
        fprintf(stderr, "no memory\n");
        exit(2);
    }
    return memset(memory, 0, bytes);
}

static void make_pool(struct private_pool *pool, uint64_t blocks) {
    private_pool_init(pool, zeroed(private_pool_metadata_bytes(blocks)), NULL, 64, blocks);
}

static void unmake_pool(struct private_pool *pool) { free(pool->continuations); }

/* Leaves each block taken with a chance of `percent`. */
static void fill_at_random(struct bitmap *bitmap, unsigned percent) {
    for (uint64_t bit = 0; bit < bitmap->bits; bit++) {
        if (random_below(100) < percent) {
            (void)bitmap_claim_range(bitmap, bit, 1);
        }
    }
}

/* --- 1: one block against two locked instructions --- */

static double time_locked(void) {
    static _Alignas(64) atomic_word word[8];
    uint64_t wrong = 0;
    unsigned bit = 0;
    double before = os_now();
    for (unsigned i = 0; i < LOOP; i++) {
        __asm__ volatile("" : "+r"(bit));
        wrong += !set_bit_seq(word, bit);
        wrong += !clear_bit_seq(word, bit);
    }
    keep(wrong);
    return (os_now() - before) / LOOP * 1e9;
}

static double time_allocate(struct private_pool *pool) {
    uint64_t wrong = 0;
    double before = os_now();
    for (unsigned i = 0; i < LOOP; i++) {
        __asm__ volatile("" : "+r"(pool));
        uint64_t block = private_pool_allocate(pool);
        wrong += block == BITMAP_NONE;
        wrong += !private_pool_release(pool, block, 1);
    }
    keep(wrong);
    return (os_now() - before) / LOOP * 1e9;
}

static void bench_one_block(void) {
    struct private_pool small, large, serial;
    double locked[MOST_PAIRS], allocate[MOST_PAIRS], ratio[MOST_PAIRS], full[MOST_PAIRS], alone[MOST_PAIRS];
    make_pool(&small, 1000);
    make_pool(&serial, 1000);
    private_pool_make_serial(&serial);
    make_pool(&large, 10000000);
    fill_at_random(&large.bitmap, 99);
    for (unsigned i = 0; i < pairs; i++) {
        locked[i] = time_locked();
        allocate[i] = time_allocate(&small);
        ratio[i] = allocate[i] / locked[i];
        full[i] = time_allocate(&large) / allocate[i];
        alone[i] = time_allocate(&serial) / locked[i];
    }
    pair_ns = spread_of(locked).median;
    report("two locked instructions", "ns", spread_of(locked), 0, false);
    report("allocate and free one block", "ns", spread_of(allocate), 0, false);
    report("  against two locked instructions", "x", spread_of(ratio), 0, false);
    report("  the same in a serial pool", "x", spread_of(alone), 1.15, false);
    report("  at 10^7 blocks, 99 % full, against 10^3, empty", "x", spread_of(full), 2, false);
    unmake_pool(&small);
    unmake_pool(&large);
    unmake_pool(&serial);
}

/* --- 2: finding runs --- */

static void fill_with(struct bitmap *bitmap, const char *filling) {
    uint64_t end = bitmap->bits;
    if (strcmp(filling, "random 50 %") == 0) {
        fill_at_random(bitmap, 50);
    } else if (strcmp(filling, "random 99 %") == 0) {
        fill_at_random(bitmap, 99);
    } else if (strcmp(filling, "packed") == 0) {
        (void)bitmap_claim_range(bitmap, 0, end - 600);
    } else {
        for (uint64_t bit = 0; bit < end - 600; bit += 2) {
            (void)bitmap_claim_range(bitmap, bit, 1);
        }
    }
}

static void make_stale(struct bitmap *bitmap) {
    for (uint64_t chunk = 0; chunk < bitmap->chunk_count; chunk++) {
        bitmap_mark(bitmap, chunk);
    }
}

static void bench_find(void) {
    static const struct {
        const char *name;
        double fresh_target;
    } fillings[] = {{"random 50 %", 100}, {"random 99 %", 100}, {"packed", 1000}, {"checkered", 1000}};
    static const uint64_t lengths[] = {1, 2, 8, 64, 512, 1024}; /* the last cannot be met but in an empty bitmap */
    for (unsigned f = 0; f < sizeof fillings / sizeof *fillings; f++) {
        struct bitmap bitmap;
        void *memory = zeroed(bitmap_bytes(BLOCKS));
        bitmap_init(&bitmap, memory, BLOCKS, true);
        fill_with(&bitmap, fillings[f].name);
        for (unsigned l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            uint64_t n = lengths[l], found = BITMAP_NONE;
            double fresh[MOST_PAIRS], stale[MOST_PAIRS], middle[MOST_PAIRS];
            for (unsigned i = 0; i < pairs; i++) {
                make_stale(&bitmap);
                double before = os_now();
                found = bitmap_find(&bitmap, 0, n);
                stale[i] = (os_now() - before) * 1e9;
                (void)bitmap_find(&bitmap, 0, BLOCKS + 1); /* all up to date */
                const unsigned loop = 1000;
                before = os_now();
                for (unsigned k = 0; k < loop; k++) {
                    keep(bitmap_find(&bitmap, 0, n));
                }
                fresh[i] = (os_now() - before) / loop * 1e9;
                before = os_now();
                for (unsigned k = 0; k < loop; k++) {
                    keep(bitmap_find(&bitmap, bitmap.cursors[1 + k % 15].home, n));
                }
                middle[i] = (os_now() - before) / loop * 1e9;
            }
            char name[80];
            const char *none = found == BITMAP_NONE ? " (none)" : "";
            snprintf(name, sizeof name, "find %4u, %s%s", (unsigned)n, fillings[f].name, none);
            report(name, "ns", scaled(spread_of(fresh)), n <= 512 ? fillings[f].fresh_target : 0, false);
            snprintf(name, sizeof name, "find %4u, %s%s, other homes", (unsigned)n, fillings[f].name, none);
            report(name, "ns", scaled(spread_of(middle)), n <= 512 ? fillings[f].fresh_target : 0, false);
            snprintf(name, sizeof name, "find %4u, %s%s, all stale", (unsigned)n, fillings[f].name, none);
            report(name, "ns", scaled(spread_of(stale)), 200000, false);
        }
        free(memory);
    }
}

/* --- 3: two threads in one pool --- */

static struct {
    struct private_pool *pool;
    pthread_barrier_t barrier;
    _Atomic int stop;
    unsigned running;
    bool end;
} phase;

struct worker {
    pthread_t thread;
    unsigned number;
    double rate;
};

static void pin(pthread_t thread, unsigned cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)pthread_setaffinity_np(thread, sizeof set, &set);
}

static void *work(void *argument) {
    struct worker *worker = argument;
    pin(pthread_self(), worker->number > 0);
    (void)os_thread_number();
    for (;;) {
        pthread_barrier_wait(&phase.barrier);
        if (phase.end) {
            return NULL;
        }
        if (phase.running >> worker->number & 1) {
            struct private_pool *pool = phase.pool;
            uint64_t times = 0;
            double before = os_now();
            while (!atomic_load_explicit(&phase.stop, memory_order_relaxed)) {
                for (unsigned i = 0; i < 1000; i++) {
                    (void)private_pool_release(pool, private_pool_allocate(pool), 1);
                }
                times += 1000;
            }
            worker->rate = (double)times / (os_now() - before);
        } else {
            worker->rate = 0;
        }
        pthread_barrier_wait(&phase.barrier);
    }
}

/* Together, of the workers whose bits are set. */
static double rate_of(struct worker *workers, unsigned count, struct private_pool *pool, unsigned running) {
    phase.pool = pool;
    phase.running = running;
    phase.stop = 0;
    pthread_barrier_wait(&phase.barrier);
    atomic_half nap = 0;
    os_wait(&nap, 0, 0.02);
    phase.stop = 1;
    pthread_barrier_wait(&phase.barrier);
    double rate = 0;
    for (unsigned w = 0; w < count; w++) {
        rate += workers[w].rate;
    }
    return rate;
}

static void bench_two_threads(void) {
    static const uint64_t sizes[] = {1024, BLOCKS};
    enum { WORKERS = 3 };
    struct worker workers[WORKERS];
    pthread_barrier_init(&phase.barrier, NULL, WORKERS + 1);
    for (unsigned w = 0; w < WORKERS; w++) {
        workers[w].number = w;
        pthread_create(&workers[w].thread, NULL, work, &workers[w]);
        atomic_half nap = 0;
        os_wait(&nap, 0, 0.01); /* so that they are numbered in order */
    }
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct private_pool pool;
        make_pool(&pool, sizes[s]);
        double ratio[MOST_PAIRS], unlucky[MOST_PAIRS];
        for (unsigned i = 0; i < pairs; i++) {
            double one = rate_of(workers, WORKERS, &pool, 1);
            ratio[i] = rate_of(workers, WORKERS, &pool, 1 | 2) / one;
            /* numbers two apart: in a pool of two chunks they have one home */
            unlucky[i] = rate_of(workers, WORKERS, &pool, 1 | 4) / one;
        }
        char name[80];
        snprintf(name, sizeof name, "two threads against one, %u blocks", (unsigned)sizes[s]);
        report(name, "x", spread_of(ratio), 1, true);
        snprintf(name, sizeof name, "  the first and third thread, %u blocks", (unsigned)sizes[s]);
        report(name, "x", spread_of(unlucky), sizes[s] > 1024 ? 1 : 0, true);
        unmake_pool(&pool);
    }
    phase.end = true;
    pthread_barrier_wait(&phase.barrier);
    for (unsigned w = 0; w < WORKERS; w++) {
        pthread_join(workers[w].thread, NULL);
    }
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
            json = fopen(argv[++i], "w");
            if (!json) {
                perror(argv[i]);
                return 2;
            }
        } else if (strcmp(argv[i], "--pairs") == 0 && i + 1 < argc) {
            pairs = (unsigned)strtoul(argv[++i], NULL, 10);
            pairs = pairs < 1 ? 1 : pairs > MOST_PAIRS ? MOST_PAIRS : pairs;
        } else {
            fprintf(stderr, "usage: bench_core [--json FILE] [--pairs N]\n");
            return 2;
        }
    }
    if (json) {
        fprintf(json, "[");
    }
    (void)time_locked(); /* wake the processor up */
    printf("medians of %u, least .. greatest\n", pairs);
    bench_one_block();
    printf("\ntimes from here on scaled by %.3f: as if two locked instructions took 10 ns\n", 10 / pair_ns);
    bench_find();
    bench_two_threads();
    printf("\n%u targets missed\n", missed);
    if (json) {
        fprintf(json, "\n]\n");
        fclose(json);
    }
    return 0;
}
