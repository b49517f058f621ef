/* shared_pool.h: the protocol of a shared pool, on memory that several processes map; any of them may die at any
 * instruction.
 *
 * THE LEDGER IS THE TRUTH (ledger.h), THE BITMAP IS AN INDEX THAT HEALS. A set bit only makes others look elsewhere. A
 * run belongs to the process that took its words from FREE.
 *
 *   allocate   claim the bits; head FREE → OPENING{me}; tails FREE → TAIL, front to back; the record, with the next
 *              generation; head OPENING → LIVE{me}. If a word is not FREE, its bit was wrong: that bit stays set, the
 *              rest is undone (tails back to front, then the head, then the other bits), and another place is tried.
 *   last drop  LIVE → CLOSING{me}; tails to FREE, back to front; head to FREE; clear the bits; wake the waiters. Tails
 *              go before their head, so a TAIL always has one. What clearing a bit returns does not matter.
 *   recovery   of a dead slot, by one process at a time (under the gate): every head that names the slot is finished in
 *              the dead process's name, see ledger_recover. Whatever a living process could also be changing, it
 *              changes only by compare-and-swap. It may stop anywhere, and may be started again.
 *   mend       after that: clears bits whose word is FREE, sets bits whose word is not. After setting one it looks at
 *              the word again, and clears the bit if the word became FREE meanwhile. (Without that second look a block
 *              leaks, if its owner cleared the bit before mend set it.) A death can leave any bit wrong, so mend looks
 *              at all of them. A process that leaves alive has left none wrong, and only drops what it holds.
 *
 * A bit that mend clears wrongly, because its owner was between claiming the bit and taking the word, is harmless: the
 * next claim of it fails on the word, and leaves the bit set. So at rest a clear bit under a used word is legal. A set
 * bit over a FREE word at rest is a block that nothing can allocate: a fault.
 *
 * AN AUDIT MEETS OTHERS AT WORK, and a signal, a debugger or a frozen container may stop one of them halfway for hours.
 * What it leaves meanwhile is no fault. Two things look the same whether or not a process is still to finish them:
 *
 *   - a set bit over a FREE word: claimed but not yet taken, or freed but not yet cleared;
 *   - a head OPENING or CLOSING, with some of its tails.
 *
 * The audit counts these blocks as in transit, unless its caller knows that nothing else can be at work: then they are
 * faults. Everything else is certain at once, because every step leaves it in order: a LIVE run has all its tails from
 * before it becomes LIVE until after it ceases to be, and a TAIL has its head throughout. Words read at two moments
 * count together only if the same run, by its generation, lived from the first moment to the last. What changes during
 * a look is in transit too.
 *
 * REDEEMING a name (index, generation): the generation must match; set my holder bit; look at the generation again, and
 * step back if it changed, undoing only what this call set, by the same pure drop; only then take a ticket, if there is
 * one. (Taking it in the same step would rob another run if the process died while stepping back.) A process that dies
 * in between leaves one ticket too many, never one too few.
 *
 * A TICKET'S AGE counts from when the call that made it read the clock. The time is written before the ticket is made,
 * and only ever moves forward, so a call that is held up in between cannot make another's ticket look old. Dropping old
 * tickets sets a mark before it reads the time (ledger.h): a ticket made after that stays.
 *
 * Every index and length read from the segment is checked before use, and every loop is bounded by the number of blocks
 * that this process verified when it attached. SHARED_POOL_CORRUPT reports anything else.
 *
 * REJECTED: a log of intentions per process (two more writes per operation, and torn ones to interpret); holders in one
 * array and counts in another (never both right at one instant); freeing by the process that allocated (it may be
 * dead).
 */
#ifndef BLOCKPOOL_SHARED_POOL_H
#define BLOCKPOOL_SHARED_POOL_H

#include "bitmap/bitmap.h"
#include "shared/ledger.h"

enum shared_pool_status {
    SHARED_POOL_OK,
    SHARED_POOL_STALE,   /* no run of that generation begins there */
    SHARED_POOL_TICKETS, /* too many tickets in flight */
    SHARED_POOL_CORRUPT, /* the segment holds what this library never writes */
};

/* The two record words of a block. A run's slack is less than a block, and a run at most 2^46 bytes. So where blocks
 * exceed 4 GiB, runs are short, and the bits of the slack beyond 32 fit above those of the length. */
struct shared_pool_record {
    atomic_word run;     /* ledger_record_pack; the high bits of the slack lie above the bits that the length needs */
    atomic_word details; /* the slack's low 32 bits << 32 | time of the last ticket, seconds */
};
_Static_assert(sizeof(struct shared_pool_record) == 16, "25 bytes a block in all");

/* The part of the header that waiting needs; one cache line in the segment. */
struct shared_pool_waiting {
    atomic_word slots; /* a bit for each slot with a waiter */
    atomic_half sequence;
    char padding[52];
};
_Static_assert(sizeof(struct shared_pool_waiting) == 64, "one cache line");

/* A view of the segment, private to the process. */
struct shared_pool {
    struct bitmap bitmap;
    atomic_word *ledger;
    struct shared_pool_record *records;
    struct shared_pool_waiting *waiting;
    uint64_t blocks;
    unsigned length_bits; /* of a record's 24; the others are the slack's */
};

struct pool_run {
    uint64_t index;
    uint64_t blocks;
    uint64_t generation;
};

/* Where the parts of a shared pool lie. */
struct shared_pool_parts {
    void *bitmap; /* as bitmap_init wants it, in use or fresh */
    atomic_word *ledger;
    struct shared_pool_record *records;
    struct shared_pool_waiting *waiting;
};

/* Makes *shared a view of a pool of that many blocks of that size. */
void shared_pool_init(struct shared_pool *shared, const struct shared_pool_parts *parts, uint64_t blocks,
                      uint64_t block_size);

/* Allocates a run of n blocks for the slot. On SHARED_POOL_OK *run is complete, or run->index is BITMAP_NONE if there
 * is no such run. `slack` is how many bytes at its end are unused, less than a block. */
enum shared_pool_status shared_pool_allocate(struct shared_pool *shared, unsigned slot, uint64_t n, uint64_t slack,
                                             struct pool_run *run) __attribute__((warn_unused_result));

/* The slot no longer holds the run. *last tells whether it was the last holder; then the caller owes a
 * shared_pool_finish. */
enum shared_pool_status shared_pool_drop(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                         bool *last) __attribute__((warn_unused_result));

/* The same, but only if the slot is the last holder and no ticket is in flight. *word is the ledger's word. */
enum shared_pool_status shared_pool_drop_last(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                              bool *last, uint64_t *word) __attribute__((warn_unused_result));

/* Frees the run after its last drop, and wakes the waiters. */
void shared_pool_finish(struct shared_pool *shared, const struct pool_run *run);

/* Puts n references to a run that the slot holds in flight, at the time `now`. */
enum shared_pool_status shared_pool_share(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                          uint64_t n, uint32_t now) __attribute__((warn_unused_result));

/* Makes the slot a holder of the run of that index and generation. On SHARED_POOL_OK run->blocks is its length, and
 * *set tells whether the slot did not hold it before. */
enum shared_pool_status shared_pool_hold(struct shared_pool *shared, unsigned slot, struct pool_run *run, bool *set)
    __attribute__((warn_unused_result));

/* The same, and takes a ticket of the run if there is one. */
enum shared_pool_status shared_pool_redeem(struct shared_pool *shared, unsigned slot, struct pool_run *run, bool *set)
    __attribute__((warn_unused_result));

/* Takes one reference to a run that the slot holds out of flight; returns whether there was one. */
bool shared_pool_withdraw(struct shared_pool *shared, unsigned slot, const struct pool_run *run);

/* Makes the slot `child` a holder of all that the slot `parent` holds. No other thread of the parent may be at work. */
void shared_pool_fork(struct shared_pool *shared, unsigned parent, unsigned child);

/* Gives back what the slots held, a bit each: dead slots, under the gate; or the caller's own, once its other threads
 * no longer use the pool. */
void shared_pool_recover(struct shared_pool *shared, uint64_t slots);

/* Mends the bitmap, under the gate; returns how many bits were wrong. */
uint64_t shared_pool_mend(struct shared_pool *shared);

/* Drops the tickets of every run whose last one was made at `before` or earlier, under the gate; returns how many. */
uint64_t shared_pool_drop_tickets(struct shared_pool *shared, uint32_t before);

/* The next LIVE head at or after `from`; false if there is none. */
bool shared_pool_next_run(const struct shared_pool *shared, uint64_t from, struct pool_run *run, uint64_t *word);

/* Unused bytes at the end of the run. */
static inline uint64_t shared_pool_slack(const struct shared_pool *shared, uint64_t index) {
    const struct shared_pool_record *record = &shared->records[index];
    uint64_t high = (load_relaxed(&record->run) & (LEDGER_MOST_BLOCKS - 1)) >> shared->length_bits;
    return high << 32 | load_relaxed(&record->details) >> 32;
}

struct shared_pool_totals {
    uint64_t allocated;    /* blocks whose word is not FREE */
    uint64_t runs;         /* live runs */
    uint64_t slack;        /* unused bytes at the ends of live runs */
    uint64_t tickets;      /* references in flight */
    uint64_t only_tickets; /* blocks of runs that only tickets keep */
    /* each run records when its newest ticket was made: the earliest of these times; BITMAP_NONE without tickets */
    uint64_t oldest;
};

/* Counts from the words. With others at work, the numbers are not of one moment. */
void shared_pool_count(const struct shared_pool *shared, struct shared_pool_totals *totals);

/* --- audit --- */

enum shared_pool_fault_kind {
    SHARED_POOL_FAULT_NONE,
    SHARED_POOL_FAULT_WORD,     /* block `index`: an impossible word */
    SHARED_POOL_FAULT_TAIL,     /* block `index`: a TAIL without a head that covers it */
    SHARED_POOL_FAULT_OVERLAP,  /* block `index`: a head inside another run, or an incomplete run */
    SHARED_POOL_FAULT_HOLDER,   /* block `index`: held by a free slot */
    SHARED_POOL_FAULT_LOST,     /* block `index`: its bit is set but its word is FREE */
    SHARED_POOL_FAULT_PAST_END, /* bit `index`, past the last block, is clear */
    SHARED_POOL_FAULT_HALF,     /* block `index`: a run half made or half freed, which nothing can finish */
};

struct shared_pool_fault {
    enum shared_pool_fault_kind kind;
    uint64_t index;
};

struct shared_pool_audit {
    uint64_t faults;
    uint64_t healed;     /* bits that were clear under used words, which is legal, and are set now */
    uint64_t in_transit; /* blocks that were being allocated or freed */
};

/* Audits ledger and bitmap, and writes the first `most` faults to `faults`. `used` has a bit for each slot in use;
 * `alone` says that nothing else can be at work. Takes a few steps per block, whatever it finds. The caller holds the
 * gate. */
void shared_pool_check(struct shared_pool *shared, uint64_t used, bool alone, struct shared_pool_fault *faults,
                       uint64_t most, struct shared_pool_audit *audit);

#endif
