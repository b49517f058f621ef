/* pool.h: a pool of either kind: private to this process (private_pool.h), or shared by several (shared/attachment.h).
 *
 * What is above knows one pool and one set of calls. What the two kinds do differently is decided here, and nowhere else:
 *
 *                     private                          shared
 *     a run belongs   to one owner                     to all processes that hold it, and to references in flight
 *     release         frees it                         drops one reference of this process
 *     reclaim         ends the rest of freed runs      brings back what dead processes held
 *     lost            never                            in a forked child that has no part in the pool
 *
 * A call on a shared pool may find that another thread of this process changes the same counts at this moment, which takes
 * a few instructions, or is forking, which takes longer. It then calls `yield`, and tries again: the one loop for that is here.
 *
 * The counts of a private pool, its quarantine and its waits are for one thread at a time; all else may be called from any
 * thread at any time, pool_open, pool_create, pool_attach and pool_close excepted.
 */
#ifndef BLOCKPOOL_POOL_H
#define BLOCKPOOL_POOL_H

#include "private/quarantine.h"
#include "shared/attachment.h"

struct pool {
    struct attachment *attachment;     /* of a shared pool; NULL: the pool is private */
    struct private_pool *private_pool; /* of a private pool, else NULL */
    unsigned char *data;
    uint64_t block_size, blocks;
    void (*yield)(void); /* lets the thread run that has what a call needs */
    /* Of a shared pool: one less than the number of allocations from one look at how full it is to the next. */
    uint64_t sampling;
    /* Of a private pool. */
    struct quarantine resting; /* in debug mode */
    struct pool_counts {
        uint64_t allocations, failures;
        uint64_t in_use, peak; /* blocks */
        uint64_t requested;    /* bytes */
    } counts;
    bool waited;              /* a thread has waited: it is in the list of those */
    struct pool *next_waited; /* see pool_forked */
    void *lent;               /* memory that belongs to the caller, or NULL */
    size_t metadata_bytes;
};

/* --- making and ending --- */

/* How a private pool gets its memory. */
struct pool_request {
    uint64_t block_size, blocks;
    void *memory; /* the caller's, aligned to 8; NULL to map some */
    bool prefault, huge;
    bool debug;            /* freed runs rest before they are used again */
    struct os_pause pause; /* asked while the kernel finds the pages */
};

/* Makes a private pool. POOL_NO_ROOM when the machine or a cgroup has less memory (failure->asked, available, limit), or
 * the kernel refuses it (failure->error as well); POOL_NO_MAPPING when that is so of the bookkeeping; POOL_STOPPED. */
enum pool_status pool_open(struct pool *pool, const struct pool_request *request, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Makes a shared pool and attaches it; see attachment_create. */
enum pool_status pool_create(struct pool *pool, const struct attachment_request *request, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Attaches the shared pool of that name; see attachment_attach. */
enum pool_status pool_attach(struct pool *pool, const char *name, double gate_seconds, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Attaches the shared pool that a descriptor of a process refers to; see attachment_attach_through. */
enum pool_status pool_attach_through(struct pool *pool, pid_t process, int number, const unsigned char *id,
                                     double gate_seconds, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Says whether children that are forked from now on have a part in the shared pool. Until then they get nothing of it, not even
 * the addresses. */
static inline void pool_set_on_fork(struct pool *pool, bool detach) {
    pool->attachment->on_fork = detach ? ON_FORK_DETACH : ON_FORK_SHARE;
}

/* The first step of closing: children that are forked from now on get nothing of the pool. For one thread at a time. */
void pool_begin_close(struct pool *pool);

/* The second: unmaps the memory, and leaves a shared pool, for whose gate it waits so long at most. Both steps do no harm to
 * a pool that is all zero, or could not be opened. */
void pool_close(struct pool *pool, double gate_seconds);

/* For a forked child, before anything else is done in it: threads of the parent wait for no private pool here. */
void pool_forked(void);

/* --- questions --- */

static inline bool pool_is_shared(const struct pool *pool) { return pool->attachment != NULL; }

/* Whether this process was forked without a part in the shared pool: it must not touch the memory. */
static inline bool pool_is_lost(const struct pool *pool) {
    return pool->attachment && attachment_is_stray(pool->attachment);
}

/* The address of a block. */
static inline void *pool_address(const struct pool *pool, uint64_t index) {
    return pool->data + index * pool->block_size;
}

/* --- allocating --- */

/* Claims a run of n blocks. `slack` is how many of its last bytes nobody asked for, less than a block. POOL_EXHAUSTED when
 * there is no such run. */
static inline enum pool_status pool_allocate(struct pool *pool, uint64_t n, uint64_t slack, struct pool_run *run) {
    if (pool->attachment) {
        return attachment_allocate(pool->attachment, n, slack, run);
    }
    run->index = n == 1 ? private_pool_allocate(pool->private_pool) : private_pool_allocate_run(pool->private_pool, n);
    run->blocks = n;
    run->generation = 0;
    return run->index == BITMAP_NONE ? POOL_EXHAUSTED : POOL_OK;
}

/* Claims n single blocks, all or nothing. */
enum pool_status pool_allocate_many(struct pool *pool, uint64_t n, struct pool_run *runs)
    __attribute__((warn_unused_result));

/* Counts an allocation of so many blocks, of whose bytes so many were asked for. */
static inline void pool_count(struct pool *pool, uint64_t blocks, uint64_t nbytes);

/* Counts a request that was not met. */
static inline void pool_count_failure(struct pool *pool) {
    if (pool->attachment) {
        pool->attachment->slot_record->failures++;
    } else {
        pool->counts.failures++;
    }
}

/* --- giving back --- */

/* One owner less of a run that was counted with so many bytes. POOL_CORRUPT when the segment does not say that this process
 * has it. */
static inline enum pool_status pool_release(struct pool *pool, const struct pool_run *run, uint64_t nbytes);

/* The same of a run that was never counted. */
enum pool_status pool_unclaim(struct pool *pool, const struct pool_run *run);

/* Who uses a run that cannot be freed. */
struct pool_users {
    uint64_t holders;          /* a bit for each slot */
    uint64_t tickets;          /* references in flight */
    uint32_t local_references; /* of this process, beyond the one that was to be freed */
};

/* Frees the run if this is its only reference anywhere; else POOL_IN_USE, and *users tells who has others. */
enum pool_status pool_free(struct pool *pool, const struct pool_run *run, uint64_t nbytes, struct pool_users *users)
    __attribute__((warn_unused_result));

/* In debug mode, for pool_release: the run rests first. */
void pool_rest(struct pool *pool, const struct pool_run *run, uint64_t nbytes);

/* Takes back what nobody uses but nobody has returned; says whether there may be some. Waits for nobody. */
bool pool_reclaim(struct pool *pool);

/* Brings back what dead processes held, and drops tickets older than so many seconds (negative: none). Waits for the gate. */
enum pool_status pool_recover(struct pool *pool, double gate_seconds, double ticket_seconds, unsigned *processes,
                              uint64_t *tickets, struct pool_failure *failure) __attribute__((warn_unused_result));

/* --- references to runs of shared pools --- */

/* One reference of this process more, of the run that index and generation name. POOL_STALE when it is no more. */
enum pool_status pool_add_reference(struct pool *pool, struct pool_run *run) __attribute__((warn_unused_result));

/* The same, and takes one out of flight, if there is one. */
enum pool_status pool_redeem(struct pool *pool, struct pool_run *run) __attribute__((warn_unused_result));

/* Puts n references in flight; POOL_TICKETS when they would be too many. */
enum pool_status pool_share(struct pool *pool, const struct pool_run *run, uint64_t n)
    __attribute__((warn_unused_result));

/* Takes one reference to a run that this process holds out of flight; says whether there was one. */
bool pool_withdraw(struct pool *pool, const struct pool_run *run);

/* How many references are in flight to the run that begins at block `index`. */
uint64_t pool_tickets(const struct pool *pool, uint64_t index);

/* Whether another process holds the run, as far as the ledger says; it may be dead. */
bool pool_is_held_elsewhere(const struct pool *pool, const struct pool_run *run);

/* Bytes that the run has for its owner: its blocks, but for what nobody asked for. */
uint64_t pool_run_bytes(const struct pool *pool, const struct pool_run *run);

/* The process in a slot of a shared pool; 0 when it is still attaching. */
pid_t pool_process(const struct pool *pool, unsigned slot);

/* --- waiting for room --- */

/* A waiter's steps, in this order: begin; repeat { free_sequence; try to allocate; sleep }; end. *wait is the wait's own. A
 * thread that forked on the way is no waiter in the child, where pool_wait_is_over says so; it may begin again there. */
void pool_wait_begin(struct pool *pool, uint32_t *wait);
void pool_wait_end(struct pool *pool, uint32_t wait);
bool pool_wait_is_over(const struct pool *pool, uint32_t wait);

/* A number that is another one after something was freed. */
uint32_t pool_free_sequence(const struct pool *pool);

/* Sleeps until it is another one; so long at most, or less. */
void pool_wait_sleep(struct pool *pool, uint32_t sequence, double seconds);

/* --- looking --- */

struct pool_stats {
    uint64_t allocated, peak, longest_free; /* blocks */
    uint64_t runs;
    uint64_t requested; /* bytes */
    uint64_t allocations, failures;
    uint64_t tickets;
    uint64_t only_tickets; /* blocks of runs that only references in flight hold */
    double
        oldest_ticket; /* seconds since the newest ticket of a run, of the run where that is longest; negative: none */
    uint64_t processes;
};

/* Counts. Of no single moment, with others at work. */
void pool_stats(struct pool *pool, struct pool_stats *stats);

/* How many blocks are allocated. */
uint64_t pool_allocated(const struct pool *pool);

struct pool_look {
    struct pool_run run;
    uint64_t slack;   /* bytes */
    uint64_t tickets; /* in flight */
    uint64_t holders; /* a bit for each slot */
};

/* The next run that begins at block `from` or after it; false when there is none. */
bool pool_next_run(const struct pool *pool, uint64_t from, struct pool_look *look);

/* What an audit finds. The first ones are of private pools, the others of shared ones; `index` is a block's, if not said. */
enum pool_fault_kind {
    POOL_FAULT_CONTINUATION_FREE, /* it continues a run, but is free */
    POOL_FAULT_CONTINUATION_LOST, /* it continues a run, but the block before it is free */
    POOL_FAULT_SUMMARY,           /* summary `index` promises less room than there is */
    POOL_FAULT_PAST_END,          /* bit `index`, past the last block, was changed; of both kinds */
    POOL_FAULT_WORD,              /* no word of the ledger looks so */
    POOL_FAULT_TAIL,              /* it belongs to a run that does not reach it */
    POOL_FAULT_OVERLAP,           /* its run is not all there */
    POOL_FAULT_HOLDER,            /* its run is held by a slot that is free */
    POOL_FAULT_LOST,              /* it is marked as allocated, but nobody has it */
    POOL_FAULT_HALF,              /* its run was left half made or half freed */
};

struct pool_fault {
    enum pool_fault_kind kind;
    uint64_t index;
};

struct pool_audit {
    uint64_t faults;
    uint64_t allocated, runs; /* what was looked at; blocks that rest do not count */
    uint64_t healed;          /* bits that were clear under used words, which is legal, and are set now */
    uint64_t in_transit;      /* blocks that somebody was allocating or freeing; in a private pool, summaries */
};

/* Audits the bookkeeping, and writes the first `most` faults to `faults`, 64 at most. A shared pool's under its gate. */
enum pool_status pool_check(struct pool *pool, double gate_seconds, struct pool_fault *faults, uint64_t most,
                            struct pool_audit *audit, struct pool_failure *failure) __attribute__((warn_unused_result));

/* --- what follows is here to be inlined --- */

enum pool_status pool_drop_reference(struct pool *pool, const struct pool_run *run);
void pool_note_peak(struct pool *pool);

static inline void pool_count(struct pool *pool, uint64_t blocks, uint64_t nbytes) {
    if (pool->attachment) {
        uint64_t count = ++pool->attachment->slot_record->allocations;
        if (__builtin_expect((count & pool->sampling) == 0, 0)) {
            pool_note_peak(pool);
        }
        return;
    }
    pool->counts.allocations++;
    pool->counts.requested += nbytes;
    pool->counts.in_use += blocks;
    if (pool->counts.in_use > pool->counts.peak) {
        pool->counts.peak = pool->counts.in_use;
    }
}

static inline enum pool_status pool_release(struct pool *pool, const struct pool_run *run, uint64_t nbytes) {
    if (pool->attachment) {
        return pool_drop_reference(pool, run);
    }
    private_pool_release(pool->private_pool, run->index, run->blocks);
    pool->counts.requested -= nbytes;
    pool->counts.in_use -= run->blocks;
    return POOL_OK;
}

#endif
