/* private_pool.h: a private pool: memory cut into blocks of one size, allocated singly, in runs, or many at once.
 *
 * A bitmap (bitmap.h) says which blocks are allocated. A second one marks *continuations*: the blocks of a run after
 * its first. Together they tell where every run begins and ends, so a run can be freed by its first block alone, a
 * block inside a run is recognized, and single blocks never write the second bitmap:
 *
 *     allocated  continuation
 *         0           0        free
 *         1           0        a single block, or the first of a run
 *         1           1        a further block of the run before it
 *         0           1        never, not even for a moment
 *
 * The last line holds because an owner marks continuations after claiming the bits, and clears them before releasing
 * the bits.
 *
 * WAITING. A waiter counts itself in `waiting`, then reads `sequence`, then searches, then sleeps while `sequence` is
 * what it read. A releaser clears the bits, then looks at `waiting`, and if it is not 0, increments `sequence` and
 * wakes all. Of "count, then search" and "clear, then look", one sees the other, because all four are sequentially
 * consistent.
 *
 * SERIAL. A pool may be made for callers that come one at a time because they hold a lock, as threads of Python hold
 * the GIL. Then a single block is claimed and released without a locked instruction. A call that takes long may do
 * without the lock: between private_pool_go_outside and private_pool_come_back, which are called with the lock, all
 * callers use locked instructions. `others` counts these calls, and is never 0 in a pool that is not serial.
 *
 * The caller supplies all memory. struct private_pool is a view, private to the process. Any thread may call any
 * function at any time, except private_pool_init and private_pool_make_serial; those of a serial pool only with the
 * lock, except to read and to sleep.
 */
#ifndef BLOCKPOOL_PRIVATE_POOL_H
#define BLOCKPOOL_PRIVATE_POOL_H

#include "bitmap/bitmap.h"

enum private_pool_status {
    PRIVATE_POOL_OK,
    PRIVATE_POOL_NOT_ALLOCATED, /* the block is free: freed before, or never allocated */
    PRIVATE_POOL_INNER,         /* the block lies inside a run, which is freed by its first block */
    PRIVATE_POOL_OUTSIDE,       /* not a block of this pool */
    PRIVATE_POOL_UNALIGNED,     /* the address is inside a block, not at its start */
};

struct private_pool {
    struct bitmap bitmap;
    atomic_word *continuations;
    unsigned char *data;
    uint64_t block_size;
    uint64_t blocks;
    atomic_half waiting;
    atomic_half sequence;
    atomic_word others; /* how many calls may be in progress besides the caller's */
};

/* Bytes of metadata for `blocks`, a multiple of 64: some 2.13 bits a block; 1 <= blocks <= BITMAP_MOST. */
size_t private_pool_metadata_bytes(uint64_t blocks);

/* Makes *pool a pool of `blocks` free blocks of `block_size` bytes at `data`, with its metadata at `metadata`,
 * which is aligned to 64 and zeroed. */
void private_pool_init(struct private_pool *pool, void *metadata, void *data, uint64_t block_size, uint64_t blocks);

/* Makes a new pool one for callers that come one at a time. */
static inline void private_pool_make_serial(struct private_pool *pool) { store_relaxed(&pool->others, 0); }

/* Around a call that is made without the lock of a serial pool; with the lock. A child that is forked in between has
 * nobody to come back: its calls stay right, and use locked instructions. */
static inline void private_pool_go_outside(struct private_pool *pool) { fetch_add_seq(&pool->others, 1); }
static inline void private_pool_come_back(struct private_pool *pool) { fetch_add_seq(&pool->others, UINT64_MAX); }

/* Allocates one block and returns its index; BITMAP_NONE when none is free. */
static inline uint64_t private_pool_allocate(struct private_pool *pool);

/* Allocates a run of n adjacent blocks and returns the index of its first; BITMAP_NONE when there is no such run. */
uint64_t private_pool_allocate_run(struct private_pool *pool, uint64_t n);

/* Allocates n single blocks, all or nothing, and writes their indices to out. */
bool private_pool_allocate_many(struct private_pool *pool, uint64_t n, uint64_t *out);

/* Gives back a run of n blocks. Only its owner may call this. Returns how many of them were still allocated: n, unless
 * the caller was not the owner. */
static inline uint64_t private_pool_release(struct private_pool *pool, uint64_t first, uint64_t n);

/* Frees the run that begins at block `first`, whatever its length. Detects a double free and a block inside a run, even
 * if two threads free at once; but not a double free that comes after the block was allocated again. */
enum private_pool_status private_pool_free(struct private_pool *pool, uint64_t first)
    __attribute__((warn_unused_result));

/* The same, given the address of the run's first byte. */
enum private_pool_status private_pool_free_address(struct private_pool *pool, const void *address)
    __attribute__((warn_unused_result));

/* The next allocated run that begins at `from` or after it; false when there is none. */
bool private_pool_next_run(const struct private_pool *pool, uint64_t from, uint64_t *first, uint64_t *n);

/* How many runs are allocated. */
uint64_t private_pool_runs(const struct private_pool *pool);

/* Address of a block. */
static inline void *private_pool_address(const struct private_pool *pool, uint64_t index) {
    return pool->data + index * pool->block_size;
}

/* A waiter's steps, in this order: enter; repeat { sequence; try to allocate; sleep }; leave. */
void private_pool_wait_enter(struct private_pool *pool);
uint32_t private_pool_wait_sequence(const struct private_pool *pool);
void private_pool_wait_sleep(struct private_pool *pool, uint32_t sequence, double seconds);
void private_pool_wait_leave(struct private_pool *pool);

/* Forgets all waiters, and what other threads were about to mark. For a forked child, which has none of those
 * threads. */
void private_pool_wait_reset(struct private_pool *pool);

enum private_pool_fault_kind {
    PRIVATE_POOL_FAULT_CONTINUATION_FREE, /* block `index` continues a run, but is not allocated */
    PRIVATE_POOL_FAULT_CONTINUATION_LOST, /* block `index` continues a run, but the block before it is not allocated */
    PRIVATE_POOL_FAULT_PAST_END,          /* bit `index`, past the last block, is not as it was made */
    PRIVATE_POOL_FAULT_SUMMARY,           /* summary `index` promises less room than there is */
};

struct private_pool_fault {
    enum private_pool_fault_kind kind;
    uint64_t index;
};

/* Audits the pool: writes the first `most` faults to `faults` and returns how many there are. A thread that is held up
 * between a release and its mark leaves a summary that promises too little. That is counted in *in_transit, and is a
 * fault only if it persists while all other threads sleep. Bits and continuation marks are never out of order, wherever
 * a thread is held up. */
uint64_t private_pool_check(struct private_pool *pool, struct private_pool_fault *faults, uint64_t most,
                            uint64_t *in_transit);

/* --- what follows is here to be inlined --- */

uint64_t private_pool_release_long(struct private_pool *pool, uint64_t first, uint64_t n);
void private_pool_wake(struct private_pool *pool);

/* Costs the exploration no step: who has the lock sees it as it is, and who has not is counted in it. */
static inline bool private_pool_is_alone(const struct private_pool *pool) { return load_flag(&pool->others) == 0; }

static inline uint64_t private_pool_allocate(struct private_pool *pool) {
    return private_pool_is_alone(pool) ? bitmap_claim_alone(&pool->bitmap) : bitmap_claim(&pool->bitmap);
}

static inline bool private_pool_release_one(struct private_pool *pool, uint64_t block) {
    return private_pool_is_alone(pool) ? bitmap_release_alone(&pool->bitmap, block)
                                       : bitmap_release(&pool->bitmap, block);
}

static inline uint64_t private_pool_release(struct private_pool *pool, uint64_t first, uint64_t n) {
    uint64_t released = n == 1 ? private_pool_release_one(pool, first) : private_pool_release_long(pool, first, n);
    if (__builtin_expect(half_load_seq(&pool->waiting) != 0, 0)) {
        private_pool_wake(pool);
    }
    return released;
}

#endif
