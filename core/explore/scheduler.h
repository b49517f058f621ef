/* scheduler.h: runs every interleaving of a few logical threads, up to a bound; knows nothing of bitmaps.
 *
 * A logical thread is a coroutine with its own stack; all of them share one real thread. The search may switch away
 * from it at each explore_step(), which stands before each atomic access. The search goes depth first: a schedule is
 * the list of its decisions, and the next schedule is run from the start with the longest prefix of that list that
 * leaves something untried.
 */
#ifndef BLOCKPOOL_SCHEDULER_H
#define BLOCKPOOL_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#ifndef EXPLORE_THREADS
#define EXPLORE_THREADS 3u
#endif
#define EXPLORE_UNBOUNDED 1000u

struct exploration {
    unsigned threads;
    void (*set_up)(void);          /* makes the state, before each schedule */
    void (*body)(unsigned thread); /* what logical thread 0, 1, … does */
    void (*check)(void);           /* looks at the state after each schedule */
    unsigned bound;                /* preemptions in one schedule */
    unsigned stops;                /* threads that may be stopped forever in one schedule */
    void (*stopped)(void);         /* NULL, or what else happens when a thread is stopped */
};

struct explored {
    uint64_t schedules;
    uint64_t steps;       /* atomic accesses in all schedules */
    uint64_t longest;     /* atomic accesses of the longest */
    bool exhaustive;      /* the bound was never in the way */
    bool failed;          /* the last schedule broke something: */
    char message[256];    /* what */
    char decisions[4096]; /* and how: "0*7 1*3 0! 1*5" is seven accesses of thread 0, three of
                             thread 1, thread 0 stopped forever, … */
};

/* Explores until all is done or a schedule fails. */
void explore(const struct exploration *what, struct explored *result);

/* --- for threads and checks --- */

/* Reports what is broken. The first report counts; a thread that makes one does not go on. */
void explore_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The number of the logical thread that runs now. */
unsigned explore_thread(void);

/* Whether any other thread has begun or will, and has not ended; false once the schedule is over. */
bool explore_others(void);

/* Whether the thread was stopped forever, and before which of its atomic accesses (1, 2, …). */
bool explore_stopped(unsigned thread, unsigned *step);

/* Whether the thread sleeps, and nobody has woken it. */
bool explore_sleeps(unsigned thread);

/* Sleeps until the thread has ended or was stopped forever; true when it was stopped. This is what a process can learn
 * about another from a lock that ends with it. */
bool explore_join(unsigned thread);

/* --- what replacements of the kernel call for the code under test --- */

/* Before an atomic access: a switch from here costs one of the bound. */
void explore_step(void);

/* The thread has nothing better to do: going to the next thread is free, anything else costs one. */
void explore_yield(void);

/* Sleeps until explore_wake of the same place. When all that are left sleep, the schedule fails. */
void explore_sleep(const void *place);
void explore_wake(const void *place);

/* Wakes at most so many of those who sleep there; which, the search decides, free of charge. Returns how many. */
unsigned explore_wake_some(const void *place, unsigned most);

#endif
