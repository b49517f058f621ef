/* replay.h: runs the allocations and frees of a trace against pools, or against a malloc.
 *
 * What a pool would do for a program is not computed from a model of it: the events of the program's trace go through
 * the very calls that Pool.allocate and Block.free make. So blocks are where they would be, and a request is refused
 * exactly if the pool would refuse it. The memory of the blocks is touched only if that is asked for; a simulation
 * needs none.
 *
 * THREADS. One thread runs all events, in the order of the trace. Where a pool looks for room depends on which thread
 * asks (bitmap.h), so while the events of thread t of the trace run, the calling thread passes for thread t + 1 of a
 * process. Hence the result does not depend on who calls.
 *
 * WAITING. With `wait`, a request for which there is no room waits, and so do the events of its thread after it; other
 * threads go on. Each free is followed by another try of every request that waits for that pool, first come first
 * served. A request that was served, or whose time is up by the times of the events that go by, lets the events of its
 * thread run, at the time at which that happens. A free of what is still waited for, by any thread, waits behind the
 * request. When the trace is at its end, nobody is left who could serve what still waits, and it is refused, in turn.
 * A request for more blocks than the pool has never waits.
 *
 *     a thread is     free        its events run as they go by
 *                     held        `request` waits, in the line; its events are put off, in order
 *                     ready       its request was answered; its events run before the next one of the trace goes by
 *
 * TIME is measured around many events, never around one: a look at the clock takes longer than an allocation. It
 * includes the loop, which a replay against a heap that does nothing can measure.
 *
 * NOTHING IS TRUSTED. Whatever the columns hold, and even if they change meanwhile, a replay reads and writes only what
 * is its own; each value is checked where it is used. An event that cannot be is a status.
 *
 * The caller supplies all memory. For one thread at a time; the pools must be for this replay alone.
 */
#ifndef BLOCKPOOL_REPLAY_H
#define BLOCKPOOL_REPLAY_H

#include "private/private_pool.h"

#define REPLAY_POOLS 3u                    /* the most pools */
#define REPLAY_EVENTS (UINT32_MAX - 1)     /* the most events */
#define REPLAY_THREADS (UINT32_C(1) << 24) /* the most threads */

/* The events, in order; a column each. */
struct replay_trace {
    const uint8_t *kind;   /* 0: an allocation, 1: a free */
    const int64_t *size;   /* bytes asked for; of a free it is not read */
    const int32_t *id;     /* which allocation, 0 .. ids - 1 */
    const int32_t *thread; /* 0 .. threads - 1 */
    const int64_t *time;   /* nanoseconds, 0 or more; read only if requests may wait */
    uint64_t events;
    uint32_t ids, threads;
};

/* A pool for requests of more than `above` and at most `up_to` bytes; of several, the first gets a request. */
struct replay_pool {
    struct private_pool *pool;
    int64_t above; /* -1: from the smallest */
    int64_t up_to;
    /* What happened. */
    uint64_t in_use, peak, longest; /* blocks: now, at most, and of one request */
    int64_t asked;                  /* bytes that are asked for and live */
    int64_t asked_at_peak;          /* the same when `peak` was first reached */
};

/* A malloc. What it returns is a multiple of 8. */
struct replay_heap {
    void *(*allocate)(size_t bytes);
    void (*free)(void *memory);
};

enum replay_status {
    REPLAY_GOES_ON,
    REPLAY_DONE,
    /* The event `at` or `bad` cannot be; nothing more may be replayed. */
    REPLAY_BAD_KIND,      /* neither an allocation nor a free */
    REPLAY_BAD_SIZE,      /* negative */
    REPLAY_BAD_ID,        /* outside */
    REPLAY_BAD_THREAD,    /* outside */
    REPLAY_BAD_TIME,      /* negative */
    REPLAY_ALLOCATED,     /* there was an allocation of this id before */
    REPLAY_NOT_ALLOCATED, /* a free before the allocation */
    REPLAY_FREED,         /* a free of what was freed before */
};

/* What became of an allocation. */
struct replay_holding {
    uint64_t where; /* see replay.c */
    int64_t size;
};

/* A thread of the trace; only if requests may wait. */
struct replay_thread {
    uint32_t request;       /* the event that waits, or REPLAY_NONE */
    uint32_t first, last;   /* events that were put off, or REPLAY_NONE */
    uint32_t before, after; /* its neighbours among those held, or the next of those ready; or REPLAY_NONE */
    int64_t since;          /* when it began to wait */
};

#define REPLAY_NONE UINT32_MAX

struct replay {
    struct replay_trace trace;
    struct replay_pool pools[REPLAY_POOLS];
    unsigned pool_count; /* 0: the heap is used */
    struct replay_heap heap;
    bool touch;   /* write a byte to each page of what was allocated */
    int64_t wait; /* nanoseconds of the trace's time; 0: requests are refused at once */
    /* What happened. */
    uint64_t at;  /* events that have gone by */
    uint64_t bad; /* the event that cannot be */
    uint64_t allocations, failures, waits;
    uint64_t waited;      /* nanoseconds of the trace's time */
    int64_t asked, peak;  /* bytes that are asked for and live: now, and at most */
    uint64_t nanoseconds; /* processor time */
    /* Its own. */
    int64_t now;
    struct replay_holding *holdings;
    struct replay_thread *threads;
    uint32_t *next; /* the event put off after that event */
    uint32_t held_first, held_last, ready_first, ready_last;
};

/* How many allocations the column has. */
uint32_t replay_count_ids(const uint8_t *kind, uint64_t events);

/* Bytes of memory that a replay of such a trace needs; with `waits` if requests may wait. */
size_t replay_bytes(const struct replay_trace *trace, bool waits);

/* Begins a replay of replay->trace in `memory`, zeroed and aligned to 8, with replay->pools or replay->heap; these,
 * `touch` and `wait` are set by the caller, everything else is zero. With a heap, nothing waits. */
void replay_begin(struct replay *replay, void *memory);

/* Lets at least one and at most so many events go by. */
enum replay_status replay_go_on(struct replay *replay, uint64_t events) __attribute__((warn_unused_result));

/* Frees whatever is live. */
void replay_end(struct replay *replay);

#endif
