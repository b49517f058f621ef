/* main.c: explores the library's real sources; this is the search's command.
 *
 * WHAT IS EXPLORED. The sources that ship are compiled with BLOCKPOOL_EXPLORE: then each atomic access (atomic.h) first
 * calls explore_access(), where the search (scheduler.h) may let another logical thread run. The search also provides
 * the thread's number, yielding, waiting and waking (scenarios.c). For every scenario all interleavings of its threads
 * up to a bound are executed, each from the start, and its invariants checked after each.
 *
 * THE BOUND is on preemptions: switches away from a thread that could go on. Switching when a thread ends, sleeps or
 * yields is free, so that each schedule runs to its end however low the bound. (Bugs need few preemptions: this is the
 * observation behind CHESS, Musuvathi and Qadeer 2007.) A yield goes to the next thread in turn; going anywhere else
 * costs one; otherwise two threads that yield to each other would have infinitely many schedules. A scenario is
 * "exhaustive" if the bound left out no switch: then every interleaving was seen, except those unfair yields.
 *
 * THE MEMORY MODEL is sequential consistency, whatever order the source asks for. That the orders
 * suffice is argued in bitmap.h and watched by ThreadSanitizer (core/tests); here it is about the logic.
 * What lies between two atomic accesses is one step, so plain memory is not explored either.
 *
 * A SCENARIO is a struct in scenarios.c: set-up, what each thread does, what must hold at the end, and the bound that
 * the default run can afford (together a minute or two). To add one: few free bits, threads that do one or two things
 * each, own/disown around what they hold, at_rest at the end. Look at its line in the table: a few
 * hundred thousand schedules take a second or less. Then see it fail: break the source, or, if no planted fault
 * in CMakeLists.txt is for it, plant one.
 *
 *     explore                      all scenarios, with their bounds
 *     explore --deep               all bounds one higher: minutes
 *     explore --scenario NAME      only this one
 *     explore --bound N            this bound for all
 *     explore --stops              one thread per schedule may also be stopped forever before any access; only
 *                                  scenarios whose check knows what a stopped thread may leave behind take part
 *     explore --list               names, and what they are about
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scenarios.h"

/* --- the search itself: does it count right, and does it find what it must? --- */

static unsigned shared, seen;

static void reset(void) { shared = 0; }
static void nothing(void) {}

static void three_steps(unsigned thread) {
    (void)thread;
    for (int i = 0; i < 3; i++) {
        explore_step();
    }
}

static void lost_update(unsigned thread) {
    (void)thread;
    explore_step();
    seen = shared;
    unsigned mine = seen;
    explore_step();
    shared = mine + 1;
}

static void both_counted(void) {
    if (shared != 2) {
        explore_fail("an update was lost");
    }
}

static bool expect(bool holds, const char *what) {
    if (!holds) {
        printf("the search itself is broken: %s\n", what);
    }
    return holds;
}

static bool search_works(void) {
    struct explored got;
    struct exploration steps = {
        .threads = 2, .set_up = reset, .body = three_steps, .check = nothing, .bound = EXPLORE_UNBOUNDED};
    explore(&steps, &got); /* four pieces of two threads: 8 over 4 orders */
    bool ok = expect(got.schedules == 70 && got.exhaustive, "2 threads of 3 accesses have 70 orders");
    steps.bound = 0;
    explore(&steps, &got);
    ok &= expect(got.schedules == 2 && !got.exhaustive, "without preemptions they have 2");
    steps.threads = 1;
    steps.stops = 1;
    explore(&steps, &got);
    ok &= expect(got.schedules == 4, "1 thread of 3 accesses has 3 places to stop, or none");
    struct exploration race = {.threads = 2, .set_up = reset, .body = lost_update, .check = both_counted, .bound = 1};
    explore(&race, &got);
    ok &= expect(got.failed && strcmp(got.decisions, "0*1 1*2 0*1") == 0, "it finds a lost update in one preemption");
    return ok;
}

/* --- the command --- */

static double seconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int usage(void) {
    fprintf(stderr, "usage: explore [--deep] [--stops] [--scenario NAME] [--bound N] [--list]\n");
    return 2;
}

int main(int argc, char **argv) {
    bool deep = false, stops = false;
    const char *only = NULL, *bound = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--deep") == 0) {
            deep = true;
        } else if (strcmp(argv[i], "--stops") == 0) {
            stops = true;
        } else if (strcmp(argv[i], "--scenario") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else if (strcmp(argv[i], "--bound") == 0 && i + 1 < argc) {
            bound = argv[++i];
        } else if (strcmp(argv[i], "--list") == 0) {
            for (unsigned s = 0; s < scenario_count; s++) {
                printf("%-22s %s\n", scenarios[s].name, scenarios[s].about);
            }
            return 0;
        } else {
            return usage();
        }
    }
    if (!search_works()) {
        return 1;
    }
    printf("%-22s %7s %5s %12s %8s %7s  %s\n", "scenario", "threads", "bound", "schedules", "longest", "seconds",
           "exhaustive");
    uint64_t all_schedules = 0, all_steps = 0;
    double all_began = seconds();
    unsigned explored = 0;
    for (unsigned s = 0; s < scenario_count; s++) {
        const struct scenario *scenario = &scenarios[s];
        if ((only && strcmp(only, scenario->name) != 0) || stops != scenario->stops_only) {
            continue;
        }
        struct exploration exploration = scenario->exploration;
        exploration.stops += stops ? 1 : 0;
        if (bound) {
            exploration.bound = (unsigned)strtoul(bound, NULL, 10);
        } else if (deep) {
            exploration.bound++;
        }
        struct explored got;
        double began = seconds();
        explore(&exploration, &got);
        char limit[12] = "none";
        if (exploration.bound < EXPLORE_UNBOUNDED) {
            snprintf(limit, sizeof limit, "%u", exploration.bound);
        }
        printf("%-22s %7u %5s %12llu %8llu %7.2f  %s\n", scenario->name, exploration.threads, limit,
               (unsigned long long)got.schedules, (unsigned long long)got.longest, seconds() - began,
               got.failed       ? "FAILED"
               : got.exhaustive ? "yes"
                                : "no");
        fflush(stdout);
        if (got.failed) {
            printf("\n%s: %s\nschedule (thread*accesses): %s\n", scenario->name, got.message, got.decisions);
            return 1;
        }
        all_schedules += got.schedules;
        all_steps += got.steps;
        explored++;
    }
    if (!explored) {
        fprintf(stderr, "no such scenario%s\n", stops ? " for --stops" : "");
        return 2;
    }
    printf("%u scenarios, %llu schedules, %llu atomic accesses, %.1f s\n", explored, (unsigned long long)all_schedules,
           (unsigned long long)all_steps, seconds() - all_began);
    return 0;
}
