/* pool.h: one interface to both kinds of pools: private to this process (private_pool.h), or shared by several
 * processes (shared/attachment.h).
 *
 * Code above this file sees one struct and one set of calls. Where the two kinds differ is decided here and nowhere
 * else:
 *
 *                     private                          shared
 *     a run belongs   to one owner                     to every process that holds it, and to references in flight
 *     release         frees it                         drops one reference of this process
 *     reclaim         empties the quarantine           recovers what dead processes held
 *     lost            never                            in a forked child without a part in the pool
 *
 * A call on a shared pool may find its lock taken: another thread of this process is changing the same counts, which
 * takes a few instructions, or is forking, which takes longer. The call then runs `yield` and tries again. The only
 * loop of that kind is in pool.c.
 *
 * Threads: opening and closing are for one thread at a time, and so is all of a serial pool except to look, to sleep,
 * and what pool_go_outside lets out. Everything else may be called from any thread at any time.
 *
 * COUNTING WITHOUT A LOCK. A private pool that is not serial is counted in shares, one cache line each. A thread writes
 * to its own one, so threads that allocate do not meet. Numbers that only add up are summed when asked for. The peak is
 * not a sum, and yet needs no counter that all write to: a share also has *room*, the blocks that may be allocated
 * before the peak rises. The rooms of all shares together are the peak less what is allocated. A thread that gives back
 * puts room into its share, and one that allocates takes it from there; without any, from the others; and only if
 * nobody has enough does the peak rise. So it is exact, unless calls overlap: then it may be more by what was being
 * given back at that moment.
 *
 * A shared pool counts its allocations in the segment, where others read them. A locked instruction for that would be
 * the fifth of a pair that needs four. So one word is written to with plain stores: under the GIL by every thread, else
 * by the first one that counts. The other threads of the process then share another word. If the first one ends, nobody
 * takes its place. A forked child has words of its own, and the first thread's number only if that one forked. (A C
 * signal handler that allocates may take one off the count of the thread that it interrupts.)
 */
#ifndef BLOCKPOOL_POOL_H
#define BLOCKPOOL_POOL_H

#include "private/quarantine.h"
#include "shared/look.h"
#include "shared/notes.h"
#include "shared/sites.h"

/* What the threads of one share have counted of a private pool. */
struct pool_share {
    atomic_word allocations;
    atomic_word requested; /* bytes, modulo 2^64: a run may be given back in another share */
    atomic_word room;      /* blocks */
    char padding[40];
};
_Static_assert(sizeof(struct pool_share) == 64, "a share fills one cache line");
#define POOL_SHARES 16u

struct pool {
    struct attachment *attachment;     /* of a shared pool; NULL: the pool is private */
    struct private_pool *private_pool; /* of a private pool, else NULL */
    unsigned char *data;
    uint64_t block_size, blocks;
    /* Lets other threads run while a call waits for the lock. */
    void (*yield)(void);
    /* Of a shared pool: every how many allocations to sample the peak, less one; a power of two, less one. */
    uint64_t sampling;
    /* Of a shared pool: whether all its threads count with plain stores; otherwise the one that does, or 0. */
    bool serial;
    atomic_half counting_thread;
    /* Of a private pool. */
    struct quarantine resting; /* in debug mode */
    atomic_word resting_lock;
    struct pool_counts {
        atomic_word failures;
        atomic_word waits, waited; /* times, nanoseconds */
        atomic_word shared_peak;   /* blocks; if there are shares */
        /* If there are none. */
        uint64_t allocations;
        uint64_t in_use, peak; /* blocks */
        uint64_t requested;    /* bytes */
    } counts;
    struct pool_share *shares; /* NULL: the pool is serial, or shared */
    /* Whether a thread has waited here. If so, the pool is in the list that pool_forked goes through. */
    bool waited;
    struct pool *next_waited;
    void *lent; /* memory that belongs to the caller, or NULL */
    size_t metadata_bytes;
};

/* --- making and ending --- */

/* What a new private pool is to be. */
struct pool_request {
    uint64_t block_size, blocks;
    void *memory; /* the caller's, aligned to 8; NULL: map new memory */
    bool bare;    /* no memory for the blocks, only the bookkeeping: for a simulation, which never uses an address */
    bool prefault, huge;
    bool debug;            /* freed runs go through a quarantine */
    bool serial;           /* calls come one at a time: the caller holds a lock, as Python's GIL */
    struct os_pause pause; /* asked while pages are made present */
};

/* Creates a private pool. POOL_NO_ROOM: the machine or a cgroup has less memory (failure->asked, available, limit), or
 * the kernel refused the mapping (failure->error). POOL_NO_MAPPING: it refused the bookkeeping (failure->asked), or
 * that of a bare pool is more than is available. POOL_STOPPED: the pause said so. A bare pool may be larger than the
 * machine, but not than the numbers that count its blocks and bytes. */
enum pool_status pool_open(struct pool *pool, const struct pool_request *request, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Creates a shared pool and attaches it; see attachment_create. */
enum pool_status pool_create(struct pool *pool, const struct attachment_request *request, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Attaches the shared pool of that name; see attachment_attach. */
enum pool_status pool_attach(struct pool *pool, const char *name, double gate_seconds, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Attaches the shared pool that a descriptor of a process refers to; see attachment_attach_through. */
enum pool_status pool_attach_through(struct pool *pool, pid_t process, int number, const unsigned char *id,
                                     double gate_seconds, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Looks at a shared pool without attaching it, by its name, through a descriptor of a process, or at the one that
 * another struct has attached; see look.h. Of a pool that is looked at, only what follows under "looking" may be
 * called, and the questions; and pool_close. */
enum pool_status pool_look_at(struct pool *pool, const char *name, struct os_file *file, struct pool_failure *failure)
    __attribute__((warn_unused_result));
enum pool_status pool_look_through(struct pool *pool, pid_t process, int number, const unsigned char *id,
                                   struct os_file *file, struct pool_failure *failure)
    __attribute__((warn_unused_result));
enum pool_status pool_look_beside(struct pool *pool, const struct pool *attached, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Sets what children forked from now on get: a part in the shared pool, or none (`detach`). Before this call they get
 * nothing, not even the addresses. */
static inline void pool_set_on_fork(struct pool *pool, bool detach) {
    pool->attachment->on_fork = detach ? ON_FORK_DETACH : ON_FORK_SHARE;
}

/* From now on, who counts in the shared pool holds a lock, as Python's GIL. */
static inline void pool_make_serial(struct pool *pool) { pool->serial = true; }

/* Closing, step one: children forked from now on get nothing of the pool. */
void pool_begin_close(struct pool *pool);

/* Closing, step two: unmaps the memory and leaves a shared pool, waiting at most so long for its gate. Both steps do
 * nothing to a struct that is all zero or could not be opened. */
void pool_close(struct pool *pool, double gate_seconds);

/* For a forked child, before it does anything else: the parent's waiting threads do not exist here. */
void pool_forked(void);

/* --- questions --- */

static inline bool pool_is_shared(const struct pool *pool) { return pool->attachment != NULL; }

/* Whether this process was forked without a part in the shared pool. If so, it must not touch the memory. */
static inline bool pool_is_lost(const struct pool *pool) {
    return pool->attachment && attachment_is_stray(pool->attachment);
}

/* The address of a block. */
static inline void *pool_address(const struct pool *pool, uint64_t index) {
    return pool->data + index * pool->block_size;
}

/* --- allocating --- */

/* Claims a run of n blocks. `slack` is how many of its last bytes were not asked for, less than a block.
 * POOL_EXHAUSTED: there is no free run of that length. */
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

/* Around an allocation that is made without the lock that callers of a serial pool hold; called with the lock. */
static inline void pool_go_outside(struct pool *pool) {
    if (pool->private_pool) {
        private_pool_go_outside(pool->private_pool);
    }
}
static inline void pool_come_back(struct pool *pool) {
    if (pool->private_pool) {
        private_pool_come_back(pool->private_pool);
    }
}

/* Counts an allocation of `blocks`; the program asked for `nbytes` of them. */
static inline void pool_count(struct pool *pool, uint64_t blocks, uint64_t nbytes);

/* Counts a request that found no room. */
static inline void pool_count_failure(struct pool *pool) {
    if (!pool->attachment) {
        fetch_add_seq(&pool->counts.failures, 1);
    } else if (!pool_is_lost(pool)) {
        pool->attachment->slot_record->failures++;
    }
}

/* Counts a request that waited for room so long. */
void pool_count_wait(struct pool *pool, double seconds);

/* --- giving back --- */

/* Ends one ownership of a run that was counted with `nbytes`. POOL_CORRUPT: the segment does not say that this process
 * holds it. */
static inline enum pool_status pool_release(struct pool *pool, const struct pool_run *run, uint64_t nbytes);

/* The same for a run that was claimed but never counted. */
enum pool_status pool_unclaim(struct pool *pool, const struct pool_run *run);

/* What still uses a run that cannot be freed. */
struct pool_users {
    struct slot_set holders;
    uint64_t tickets;          /* references in flight */
    bool kept;                 /* by the pool's catalog */
    bool carried;              /* by a message */
    uint32_t local_references; /* of this process, besides the caller's */
};

/* Frees the run if this is its only reference anywhere. Otherwise POOL_IN_USE, and *users says what else there is. */
enum pool_status pool_free(struct pool *pool, const struct pool_run *run, uint64_t nbytes, struct pool_users *users)
    __attribute__((warn_unused_result));

/* The same for a shared pool in debug mode: frees the run in the name of the caller, and tells in finding->found
 * whether its slack was whole. */
enum pool_status pool_free_watched(struct pool *pool, const struct pool_run *run, const struct site_caller *caller,
                                   struct pool_users *users, struct site_finding *finding)
    __attribute__((warn_unused_result));

/* Releases a run of a private pool in debug mode, through the quarantine. */
void pool_rest(struct pool *pool, const struct pool_run *run, uint64_t nbytes);

/* Takes back blocks that have no user but were not released; returns whether there were any. Never waits. A caller that
 * is `waiting`, and comes back again and again, leaves the dead to others that looked for them a moment ago. */
bool pool_reclaim(struct pool *pool, bool waiting);

/* Whether tickets have ended that the next reclaim may drop. */
static inline bool pool_has_ended_tickets(const struct pool *pool) {
    return pool->attachment && attachment_has_ended_tickets(pool->attachment);
}

/* Recovers what dead processes held, and drops tickets that have ended, or are older than so many seconds (negative:
 * none are). Waits for the gate. */
enum pool_status pool_recover(struct pool *pool, double gate_seconds, double ticket_seconds, unsigned *processes,
                              uint64_t *tickets, struct pool_failure *failure) __attribute__((warn_unused_result));

/* --- references to runs of shared pools --- */

/* Adds a reference of this process to the run that index and generation name. POOL_STALE: that run was freed. */
enum pool_status pool_add_reference(struct pool *pool, struct pool_run *run) __attribute__((warn_unused_result));

/* The same, and takes a reference out of flight if there is one. */
enum pool_status pool_redeem(struct pool *pool, struct pool_run *run) __attribute__((warn_unused_result));

/* Adds a reference of this process to the run that has the name; see attachment_get. */
enum pool_status pool_get(struct pool *pool, const char *name, struct pool_run *run)
    __attribute__((warn_unused_result));

/* Puts n references in flight, for as long as the pool says. POOL_TICKETS: they would be too many. */
enum pool_status pool_share(struct pool *pool, const struct pool_run *run, uint64_t n)
    __attribute__((warn_unused_result));

/* The same for so many seconds, see attachment_share_for. */
enum pool_status pool_share_for(struct pool *pool, const struct pool_run *run, uint64_t n, uint32_t lifetime,
                                struct pool_failure *failure) __attribute__((warn_unused_result));

/* Takes a reference to a run that this process holds out of flight; returns whether there was one. */
bool pool_withdraw(struct pool *pool, const struct pool_run *run);

/* The note of a run of a shared pool, which this process holds; see attachment_set_note and attachment_note. */
static inline enum pool_status pool_set_note(struct pool *pool, const struct pool_run *run, const void *bytes,
                                             unsigned length, double seconds, struct pool_failure *failure) {
    return attachment_set_note(pool->attachment, run, bytes, length, seconds, failure);
}
static inline unsigned pool_note(const struct pool *pool, const struct pool_run *run, unsigned char bytes[NOTE_MOST]) {
    return attachment_note(pool->attachment, run, bytes);
}

/* How many references to the run at block `index` are in flight. */
uint64_t pool_tickets(const struct pool *pool, uint64_t index);

/* Whether the ledger says that another process holds the run; that process may be dead. */
static inline bool pool_is_held_elsewhere(const struct pool *pool, const struct pool_run *run) {
    return pool->attachment &&
           shared_pool_is_held_elsewhere(&pool->attachment->shared, run->index, pool->attachment->slot);
}

/* How many bytes of the run were asked for. */
uint64_t pool_run_bytes(const struct pool *pool, const struct pool_run *run);

/* The process in a slot of a shared pool; 0 while it is still attaching. */
pid_t pool_process(const struct pool *pool, unsigned slot);

/* --- waiting for room --- */

/* A waiter's steps, in this order: begin; repeat { free_sequence; try to allocate; sleep }; end. Each wait has its own
 * *wait. If a waiting thread forks, it is not a waiter in the child: pool_wait_is_over says so there, and it may begin
 * again. */
void pool_wait_begin(struct pool *pool, uint32_t *wait);
void pool_wait_end(struct pool *pool, uint32_t wait);
bool pool_wait_is_over(const struct pool *pool, uint32_t wait);

/* A number that changes when something is freed while a thread waits. */
uint32_t pool_free_sequence(const struct pool *pool);

/* Sleeps until it has changed, for at most so long; may return early. */
void pool_wait_sleep(struct pool *pool, uint32_t sequence, double seconds);

/* --- looking --- */

struct pool_stats {
    uint64_t allocated, peak, longest_free; /* blocks */
    uint64_t runs;
    uint64_t requested; /* bytes */
    uint64_t allocations, failures;
    uint64_t waits, waited; /* for room: how often, and how long in all, nanoseconds */
    uint64_t tickets;
    uint64_t only_tickets; /* blocks of runs that only references in flight hold */
    uint64_t endless;      /* of these, blocks of runs whose tickets do not end */
    double next_end;       /* in how many seconds the first tickets of the others end; negative: none do */
    double
        oldest_ticket; /* seconds since the newest ticket of a run, of the run where that is longest; negative: none */
    uint64_t processes;
};

/* Counts. With others at work, the numbers are not of one moment. */
void pool_stats(struct pool *pool, struct pool_stats *stats);

/* The same without what only a look at every run tells (runs, requested, tickets, only_tickets, oldest_ticket), which
 * stays zero; in a pool of ten million blocks that takes less than a millisecond. */
void pool_counts(struct pool *pool, struct pool_stats *stats);

/* How many blocks are allocated, by their bits. */
uint64_t pool_allocated(const struct pool *pool);

struct pool_look {
    struct pool_run run;
    uint64_t slack;   /* bytes */
    uint64_t tickets; /* in flight */
    bool kept;        /* by the pool's catalog */
    bool carried;     /* by a message */
    uint64_t queue;   /* of that message, a block of the annex; BITMAP_NONE if there is none */
    double age;       /* seconds since it was allocated or its last ticket was made; negative: not known */
    double ends;      /* in how many seconds its tickets end, 0 if they have; negative: they do not, or it has none */
    struct slot_set holders;
};

/* Whether the run of that index and generation of a shared pool is live. */
bool pool_is_live(const struct pool *pool, const struct pool_run *run);

/* The run of a shared pool that block `index` is part of, if this process holds it; false if it does not. */
bool pool_held_run(const struct pool *pool, uint64_t index, struct pool_run *run);

/* Finds the next run that begins at block `from` or later; false if there is none. */
bool pool_next_run(const struct pool *pool, uint64_t from, struct pool_look *look);

/* What an audit finds. `index` is a block unless stated. */
enum pool_fault_kind {
    POOL_FAULT_CONTINUATION_FREE, /* it continues a run, but is free */
    POOL_FAULT_CONTINUATION_LOST, /* it continues a run, but the block before it is free */
    POOL_FAULT_SUMMARY,           /* summary `index` promises less room than there is */
    POOL_FAULT_PAST_END,          /* bit `index`, past the last block, was changed */
    POOL_FAULT_WORD,              /* its word in the ledger is not one that the library writes */
    POOL_FAULT_TAIL,              /* it belongs to a run that does not reach it */
    POOL_FAULT_OVERLAP,           /* its run is incomplete */
    POOL_FAULT_HOLDER,            /* its run is held by a slot that is free */
    POOL_FAULT_LOST,              /* it is marked as allocated, but has no owner */
    POOL_FAULT_HALF,              /* its run was left half made or half freed */
    POOL_FAULT_ROW,               /* a slot that is free has its bit in the block's row */
    POOL_FAULT_NAME,              /* name `index` of the catalog belongs to a run that is not there */
    POOL_FAULT_CARRIED,           /* what it says of a message that carries it is wrong */
    POOL_FAULT_ANNEX,             /* block `index` of the queues' room: its ledger or its bit is wrong */
    POOL_FAULT_QUEUE,             /* the queue at block `index` of the queues' room is damaged */
    POOL_FAULT_CELL,              /* the same: its ring names a message that is not in it */
    POOL_FAULT_MESSAGE,           /* the message at block `index` of the queues' room is damaged, or has no queue */
};

struct pool_fault {
    enum pool_fault_kind kind;
    uint64_t index;
};

struct pool_audit {
    uint64_t faults;
    uint64_t allocated, runs; /* what was audited; the quarantine does not count */
    uint64_t healed;          /* bits that were clear under used words, which is legal, and are set now */
    uint64_t in_transit;      /* blocks that were being allocated or freed; in a private pool, summaries */
};

/* Audits the bookkeeping and writes the first `most` faults to `faults`, 64 at most. Takes the gate of a shared
 * pool. */
enum pool_status pool_check(struct pool *pool, double gate_seconds, struct pool_fault *faults, uint64_t most,
                            struct pool_audit *audit, struct pool_failure *failure) __attribute__((warn_unused_result));

/* The same, but changes nothing and waits for nothing; the dead are not recovered. */
void pool_audit_only(struct pool *pool, struct pool_fault *faults, uint64_t most, struct pool_audit *audit);

/* --- what follows is here to be inlined --- */

enum pool_status pool_drop_reference(struct pool *pool, const struct pool_run *run);
void pool_note_peak(struct pool *pool);
uint64_t pool_count_beside(struct pool *pool);
void pool_count_in_share(struct pool *pool, uint64_t blocks, uint64_t nbytes);
void pool_count_back_in_share(struct pool *pool, uint64_t blocks, uint64_t nbytes);

/* Counts that a run went back. */
static inline void pool_count_back(struct pool *pool, uint64_t blocks, uint64_t nbytes) {
    if (__builtin_expect(pool->shares != NULL, 0)) {
        pool_count_back_in_share(pool, blocks, nbytes);
        return;
    }
    pool->counts.requested -= nbytes;
    pool->counts.in_use -= blocks;
}

static inline bool pool_counts_alone(const struct pool *pool) {
    return __builtin_expect(pool->serial || half_load_seq(&pool->counting_thread) == os_thread_number(), 1);
}

static inline uint64_t pool_count_alone(struct pool *pool) {
    atomic_word *allocations = &pool->attachment->slot_record->allocations;
    uint64_t count = load_relaxed(allocations) + 1;
    store_relaxed(allocations, count);
    return count;
}

static inline void pool_count(struct pool *pool, uint64_t blocks, uint64_t nbytes) {
    if (pool->attachment) {
        uint64_t count = pool_counts_alone(pool) ? pool_count_alone(pool) : pool_count_beside(pool);
        if (__builtin_expect((count & pool->sampling) == 0, 0)) {
            pool_note_peak(pool);
        }
        return;
    }
    if (__builtin_expect(pool->shares != NULL, 0)) {
        pool_count_in_share(pool, blocks, nbytes);
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
    pool_count_back(pool, run->blocks, nbytes);
    return POOL_OK;
}

#endif
