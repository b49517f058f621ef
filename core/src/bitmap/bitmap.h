/* bitmap.h: one bit per block, 1 = allocated; finding, claiming and releasing bits and runs without locks.
 *
 * THE WORDS DECIDE. A bit belongs to the caller that changed it from 0 to 1, until the caller changes it back. Every
 * change of a word is one atomic read-modify-write, and its old value tells what *this* call changed, so:
 *
 *   - no bit has two owners: of two calls that claim a bit at once, one saw it 0;
 *   - a second release of a bit is detected, not guessed: it saw the bit already 0;
 *   - an undo is exact: it gives back the bits that this call saw go from 0 to 1, and no others. (Undoing by the mask
 *     that was *asked for* would release a neighbour's bits; a known allocator does that.)
 *
 * A RUN inside one word is claimed by one compare-and-swap. A run across words claims them in ascending order, and on
 * conflict gives back what it claimed and looks elsewhere. Meanwhile others see those bits taken, so a call may find no
 * room although there is room again a moment later. This is why no call reports exhaustion after a conflict until it
 * has looked again BITMAP_LOOKS times, letting others run in between: otherwise two calls that each want 60 of 100
 * blocks could both fail. A caller that gave up and sleeps until there is room hears of an undo as of a release:
 * `undone` is called after each.
 *
 * ALONE. A locked instruction is most of what a call on one bit costs. A caller that knows that no other call is in
 * progress, because it holds a lock that all callers hold, can do without: bitmap_claim_alone and bitmap_release_alone
 * change the word by a load and a store, and leave nothing behind that the other calls do not know. (Rejected: to keep
 * a few bits at hand, claimed, for the next call. They would be free, but every count, every search, a second release
 * and a fork would have to know of them.)
 *
 * THE SUMMARY ADVISES. A chunk is 512 bits, a group 64 chunks; each has a summary (summary.h) that tells where a run of
 * n may be, so that nothing scans the pool. It may be wrong in either direction; that costs time, never correctness:
 *
 *   - too much room, because a claim does not update it. A search that is led to a place without room recomputes it.
 *   - too little room, because of releases. A release marks its chunk stale, then the group, unless the mark is already
 *     there (one load in every release). A search recomputes a stale summary: it clears the mark, reads the words, and
 *     publishes unless another thread has marked it or begun another version meanwhile. In between, the summary says
 *     that it is begun, so that no group is computed from its old room. Release changes word then reads mark, refresh
 *     changes mark then reads word, all four sequentially consistent: one of the two sees the other. What remains is a
 *     release caught between its word and its mark; because of it, exhaustion is reported only after a look at the
 *     words themselves.
 *
 * WHERE TO LOOK. Single bits: lowest free bit of the chunk in which this thread found the last one (its cursor);
 * recently used memory is warm, and the low part stays packed. Runs: first fit from the chunk where this thread's
 * cursor started. Threads start far apart: two that write to one word run at a quarter of the speed of one, on one
 * cache line at 0.6 ×, in different chunks at 2 ×.
 *
 * REJECTED: a tree of summaries kept exact by every change (70 ns a change, and contended at the root); free counters
 * per chunk (an exact shared counter costs as much as the claim); hazard-free undo by helping (a run would
 * need a descriptor, and a single claim would have to look at it).
 *
 * Layout in memory, which the caller supplies, aligned to 64 and holding bitmap_bytes(bits): the words, rounded up to
 * whole chunks and with the bits past the end permanently taken; a summary per chunk; a summary per group.
 * struct bitmap is a view of it, private to the process.
 */
#ifndef BLOCKPOOL_BITMAP_H
#define BLOCKPOOL_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/atomic.h"
#include "os/thread.h"

#define BITMAP_CHUNK_WORDS 8u
#define BITMAP_CHUNK_BITS 512u
#define BITMAP_GROUP_CHUNKS 64u
#define BITMAP_GROUP_BITS (BITMAP_CHUNK_BITS * BITMAP_GROUP_CHUNKS)
#define BITMAP_CURSORS 16u
#define BITMAP_LOOKS 32
#define BITMAP_NONE UINT64_MAX
#define BITMAP_MOST (UINT64_C(1) << 48) /* the most bits a bitmap can have */

struct bitmap_cursor {
    atomic_word chunk; /* where its threads look first */
    uint64_t home;     /* where they began */
    char padding[48];  /* one cache line each */
};
_Static_assert(sizeof(struct bitmap_cursor) == 64, "a cursor fills one cache line");

struct bitmap;

/* Called after a failed claim gave bits back: another thread may have found no room because of it, and be asleep. */
typedef void bitmap_undone_function(struct bitmap *bitmap);

struct bitmap {
    atomic_word *words;
    atomic_word *chunks;
    atomic_word *groups;
    uint64_t bits;
    uint64_t chunk_count;
    uint64_t group_count;
    atomic_word conflict_turn;      /* 1 while a thread claims many after a conflict */
    bitmap_undone_function *undone; /* or NULL; for the owner of the view to set */
    struct bitmap_cursor cursors[BITMAP_CURSORS];
};

/* Bytes that a bitmap of `bits` needs, a multiple of 64; 1 <= bits <= BITMAP_MOST. */
size_t bitmap_bytes(uint64_t bits);

/* Makes *bitmap a view of a bitmap at `memory`. With `fresh`, all bits become free first; else they stay. */
void bitmap_init(struct bitmap *bitmap, void *memory, uint64_t bits, bool fresh);

/* Makes the threads of this view start at other places than those of views with other numbers, because each process
 * numbers its threads from 1. Call it before the view is used. */
void bitmap_begin_at(struct bitmap *bitmap, unsigned number);

/* Claims one free bit and returns it; BITMAP_NONE when there is none. */
static inline uint64_t bitmap_claim(struct bitmap *bitmap);

/* The same for a caller that knows that no other call is in progress. */
static inline uint64_t bitmap_claim_alone(struct bitmap *bitmap);

/* Claims n adjacent free bits, returns the first; BITMAP_NONE when there is no such run. n >= 1. */
uint64_t bitmap_claim_run(struct bitmap *bitmap, uint64_t n);

/* Claims n free bits, adjacent or not, all or nothing, and writes them to out in the order found. */
bool bitmap_claim_many(struct bitmap *bitmap, uint64_t n, uint64_t *out);

/* The same in as few runs as the free bits allow: the longest free runs first. */
bool bitmap_claim_packed(struct bitmap *bitmap, uint64_t n, uint64_t *out);

/* Claims the bits first .. first + n - 1, all or nothing; true when this call claimed them. */
bool bitmap_claim_range(struct bitmap *bitmap, uint64_t first, uint64_t n);

/* Releases one bit; true when this call changed it from 1 to 0. */
static inline bool bitmap_release(struct bitmap *bitmap, uint64_t bit);

/* The same for a caller that knows that no other call is in progress. */
static inline bool bitmap_release_alone(struct bitmap *bitmap, uint64_t bit);

/* Releases the bits first .. first + n - 1; returns how many of them this call changed from 1 to 0. */
uint64_t bitmap_release_range(struct bitmap *bitmap, uint64_t first, uint64_t n);

/* Whether the bit is taken now. */
static inline bool bitmap_test(const struct bitmap *bitmap, uint64_t bit);

/* Taken bits, counted from the words. Exact if they do not change meanwhile. */
uint64_t bitmap_count(const struct bitmap *bitmap);

/* The longest run of free bits, measured on the words. Exact if they do not change meanwhile. */
uint64_t bitmap_longest_free(const struct bitmap *bitmap);

/* Where a run of n probably is, from chunk `from` on: bitmap_claim_run asks this first. Reads only summaries where they
 * are fresh. BITMAP_NONE if they know of none. Public so that it can be measured. */
uint64_t bitmap_find(struct bitmap *bitmap, uint64_t from, uint64_t n);

/* The first summary that promises less than the words have, as a chunk, or for groups chunk_count + group; BITMAP_NONE
 * when there is none, as there should be unless a thread is between a release and its mark. With other threads at work,
 * a fault must persist for three looks. */
uint64_t bitmap_summary_fault(const struct bitmap *bitmap);

/* --- what follows is here to be inlined --- */

uint64_t bitmap_claim_elsewhere(struct bitmap *bitmap, struct bitmap_cursor *cursor);
void bitmap_mark(struct bitmap *bitmap, uint64_t chunk);

static inline struct bitmap_cursor *bitmap_cursor(struct bitmap *bitmap) {
    return &bitmap->cursors[(os_thread_number() - 1) % BITMAP_CURSORS];
}

static inline uint64_t bitmap_claim_in_chunk(struct bitmap *bitmap, uint64_t chunk) {
    atomic_word *words = bitmap->words + chunk * BITMAP_CHUNK_WORDS;
    for (unsigned w = 0; w < BITMAP_CHUNK_WORDS; w++) {
        uint64_t taken = load_relaxed(&words[w]);
        while (~taken) { /* a failed exchange updates `taken` */
            if (compare_exchange_seq(&words[w], &taken, taken | (taken + 1))) {
                return (chunk * BITMAP_CHUNK_WORDS + w) * 64 + (unsigned)__builtin_ctzll(~taken);
            }
        }
    }
    return BITMAP_NONE;
}

static inline uint64_t bitmap_claim(struct bitmap *bitmap) {
    struct bitmap_cursor *cursor = bitmap_cursor(bitmap);
    uint64_t bit = bitmap_claim_in_chunk(bitmap, load_relaxed(&cursor->chunk));
    return __builtin_expect(bit != BITMAP_NONE, 1) ? bit : bitmap_claim_elsewhere(bitmap, cursor);
}

static inline uint64_t bitmap_claim_alone(struct bitmap *bitmap) {
    struct bitmap_cursor *cursor = bitmap_cursor(bitmap);
    uint64_t chunk = load_relaxed(&cursor->chunk);
    for (uint64_t w = chunk * BITMAP_CHUNK_WORDS; w < (chunk + 1) * BITMAP_CHUNK_WORDS; w++) {
        uint64_t taken = load_relaxed(&bitmap->words[w]);
        if (~taken) {
            store_relaxed(&bitmap->words[w], taken | (taken + 1));
            return w * 64 + (unsigned)__builtin_ctzll(~taken);
        }
    }
    return bitmap_claim_elsewhere(bitmap, cursor);
}

/* Notes that bits of the chunk were released. */
static inline void bitmap_released(struct bitmap *bitmap, uint64_t chunk) {
    if (__builtin_expect(!(load_seq(&bitmap->chunks[chunk]) >> 63), 0)) {
        bitmap_mark(bitmap, chunk);
    }
}

static inline bool bitmap_release(struct bitmap *bitmap, uint64_t bit) {
    bool mine = clear_bit_seq(&bitmap->words[bit / 64], bit % 64);
    bitmap_released(bitmap, bit / BITMAP_CHUNK_BITS);
    return mine;
}

static inline bool bitmap_release_alone(struct bitmap *bitmap, uint64_t bit) {
    uint64_t taken = load_relaxed(&bitmap->words[bit / 64]), mask = UINT64_C(1) << bit % 64;
    store_relaxed(&bitmap->words[bit / 64], taken & ~mask);
    bitmap_released(bitmap, bit / BITMAP_CHUNK_BITS);
    return taken & mask;
}

static inline bool bitmap_test(const struct bitmap *bitmap, uint64_t bit) {
    return load_seq(&bitmap->words[bit / 64]) >> bit % 64 & 1;
}

#endif
