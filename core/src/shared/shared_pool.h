/* shared_pool.h: the protocol of a shared pool, on memory that several processes see; any of them may die at any instruction.
 *
 * THE LEDGER IS THE TRUTH (ledger.h), THE BITMAP IS AN INDEX THAT HEALS. A set bit makes others look elsewhere, no more. A
 * run belongs to whoever took its words from FREE.
 *
 *   allocate   claim the bits; head FREE → OPENING{me}; tails FREE → TAIL, front to back; the record, generation one up; head
 *              OPENING → LIVE{me}. A word that turns out not FREE means that its bit had been wrong: that bit stays set, the
 *              rest is undone (tails back to front, then the head, then the other bits), and another place is tried.
 *   last drop  LIVE → CLOSING{me}; tails to FREE, back to front; head to FREE; clear the bits; wake who waits. Tails go before
 *              their head, so a TAIL always has one. What clearing a bit returns is of no interest.
 *   recovery   of a dead slot, by one process at a time (who calls holds the gate): every head that names the slot is finished
 *              in the dead one's name, see ledger_recover. It changes nothing that a living process could be changing but
 *              by compare-and-swap, may stop anywhere, and may be begun again.
 *   mend       after that: clears bits whose word is FREE, sets bits whose word is not. Having set one, it looks at the word
 *              again, and clears it if that became FREE meanwhile. (Without this look a block leaks: its owner cleared the bit
 *              before mend set it.) A death can leave any bit wrong, so mend looks at all of them; one who leaves alive has
 *              left none wrong, and only drops what he holds.
 *
 * A bit that mend clears wrongly, because its owner was between claiming the bit and taking the word, is harmless: whoever
 * claims it next fails on the word, and leaves the bit set. So at rest a clear bit under a used word is legal. A set bit over a
 * FREE word at rest is a block that nobody can have: a fault.
 *
 * AN AUDIT MEETS OTHERS AT WORK, who may be stopped for hours in the midst of it (by a signal, a debugger, a frozen container).
 * What such a one leaves is no fault. Two things look the same whether somebody is still to go on or not:
 *
 *   - a set bit over a FREE word: claimed and not yet taken, or freed and not yet cleared;
 *   - a head OPENING or CLOSING, with some of its tails.
 *
 * The audit counts these blocks as in transit, unless its caller knows that nobody else can be at work: then they are faults.
 * All else is certain at once, because every step leaves it in order: a LIVE run has all its tails from before it is LIVE until
 * after it is not, and a TAIL has its head from before until after. What was read at two moments counts only if the same run
 * lived from the first to the last of them: its generation tells. What changes while it is looked at is in transit too.
 *
 * REDEEMING a name (index, generation): the generation must equal; set my holder bit; look at the generation again, and step
 * back if it changed, undoing only what this call set, by the same pure drop; only then take a ticket if there is one. (Taking
 * it in the same step would rob an innocent when the process dies while stepping back.) A process that dies in between leaves a
 * ticket too many, never one too few.
 *
 * A TICKET IS AS OLD as the call that made it, from when that read the clock. The time is written before the ticket is made, and
 * only ever forward: whoever was held up in between must not make another's ticket look old. Dropping old tickets sets a mark
 * before it reads the time (ledger.h): a ticket made after that stays.
 *
 * Everything that is read from the segment as an index or a length is checked before it is used, and every loop is bounded by
 * the number of blocks that this process verified when it attached. SHARED_POOL_CORRUPT says that something else stood there.
 *
 * REJECTED: a log of intentions per process (two more writes per operation, and a torn one to judge); holders in one array and
 * counts in another (no instant at which both are right); freeing by the process that allocated (it may be dead).
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

/* What the block's two record words hold. A run's slack is less than a block, and a run no more than 2^46 bytes: so where blocks are
 * of more than 4 GiB, runs are short, and the slack's bits beyond 32 find room above the length's. */
struct shared_pool_record {
    atomic_word run;     /* ledger_record_pack, and above the bits that the length needs the high bits of the slack */
    atomic_word details; /* the slack's low 32 bits << 32 | time of the last ticket, seconds */
};
_Static_assert(sizeof(struct shared_pool_record) == 16, "25 bytes a block, everything told");

/* The part of the header that waiting needs; one cache line in the segment. */
struct shared_pool_waiting {
    atomic_word slots; /* a bit for each slot in which somebody waits */
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

/* Makes *shared a view of a pool of so many blocks of that size. */
void shared_pool_init(struct shared_pool *shared, const struct shared_pool_parts *parts, uint64_t blocks,
                      uint64_t block_size);

/* Allocates a run of n blocks for the slot. *run is complete on SHARED_POOL_OK; run->index is BITMAP_NONE when there is no such
 * run. `slack` is what is not asked for of its last bytes, less than a block. */
enum shared_pool_status shared_pool_allocate(struct shared_pool *shared, unsigned slot, uint64_t n, uint64_t slack,
                                             struct pool_run *run) __attribute__((warn_unused_result));

/* The slot holds the run no longer; *last tells whether it was the last: the caller then owes a shared_pool_finish. */
enum shared_pool_status shared_pool_drop(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                         bool *last) __attribute__((warn_unused_result));

/* The same, but only if the slot is the last holder and no ticket is in flight. *word is what stood in the ledger. */
enum shared_pool_status shared_pool_drop_last(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                              bool *last, uint64_t *word) __attribute__((warn_unused_result));

/* Frees the run after its last drop, and wakes who waits for room. */
void shared_pool_finish(struct shared_pool *shared, const struct pool_run *run);

/* Puts n references to a run that the slot holds in flight, at the time `now`. */
enum shared_pool_status shared_pool_share(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                          uint64_t n, uint32_t now) __attribute__((warn_unused_result));

/* Makes the slot a holder of the run of that index and generation. On SHARED_POOL_OK run->blocks is its length, and *set tells
 * whether the slot did not hold it before. */
enum shared_pool_status shared_pool_hold(struct shared_pool *shared, unsigned slot, struct pool_run *run, bool *set)
    __attribute__((warn_unused_result));

/* The same, and takes a ticket of the run if there is one. */
enum shared_pool_status shared_pool_redeem(struct shared_pool *shared, unsigned slot, struct pool_run *run, bool *set)
    __attribute__((warn_unused_result));

/* Takes one reference out of flight, of a run that the slot holds; says whether there was one. */
bool shared_pool_withdraw(struct shared_pool *shared, unsigned slot, const struct pool_run *run);

/* Makes the slot `child` a holder of all that the slot `parent` holds. No other thread of the parent may be at work. */
void shared_pool_fork(struct shared_pool *shared, unsigned parent, unsigned child);

/* Gives back what the slots held, a bit each: dead ones', for the holder of the gate; or the caller's own, when none of its threads
 * does anything else any more. */
void shared_pool_recover(struct shared_pool *shared, uint64_t slots);

/* Mends the bitmap; returns how many bits were wrong. For the holder of the gate. */
uint64_t shared_pool_mend(struct shared_pool *shared);

/* Drops the tickets of every run whose last one was made at `before` or earlier; returns how many. For the holder of the gate. */
uint64_t shared_pool_drop_tickets(struct shared_pool *shared, uint32_t before);

/* The next head at `from` or after it that is LIVE; false when there is none. */
bool shared_pool_next_run(const struct shared_pool *shared, uint64_t from, struct pool_run *run, uint64_t *word);

/* Bytes of the run's last blocks that nobody asked for. */
static inline uint64_t shared_pool_slack(const struct shared_pool *shared, uint64_t index) {
    const struct shared_pool_record *record = &shared->records[index];
    uint64_t high = (load_relaxed(&record->run) & (LEDGER_MOST_BLOCKS - 1)) >> shared->length_bits;
    return high << 32 | load_relaxed(&record->details) >> 32;
}

struct shared_pool_totals {
    uint64_t allocated;    /* blocks whose word is not FREE */
    uint64_t runs;         /* live runs */
    uint64_t slack;        /* bytes of live runs that nobody asked for */
    uint64_t tickets;      /* references in flight */
    uint64_t only_tickets; /* blocks of runs that nobody holds but tickets */
    uint64_t
        oldest; /* when the newest ticket of a run was made, of the run where that is longest ago; or BITMAP_NONE */
};

/* Counts, from the words. Of no single moment, with others at work. */
void shared_pool_count(const struct shared_pool *shared, struct shared_pool_totals *totals);

/* --- audit --- */

enum shared_pool_fault_kind {
    SHARED_POOL_FAULT_NONE,
    SHARED_POOL_FAULT_WORD,     /* block `index`: no word of the ledger looks so */
    SHARED_POOL_FAULT_TAIL,     /* block `index`: a TAIL without a head that covers it */
    SHARED_POOL_FAULT_OVERLAP,  /* block `index`: a head inside another's run, or a run that is not all there */
    SHARED_POOL_FAULT_HOLDER,   /* block `index`: held by a slot that is free */
    SHARED_POOL_FAULT_LOST,     /* block `index`: its bit is set but its word is FREE */
    SHARED_POOL_FAULT_PAST_END, /* bit `index`, past the last block, is clear */
    SHARED_POOL_FAULT_HALF,     /* block `index`: a run half made or half freed, and nobody who could go on */
};

struct shared_pool_fault {
    enum shared_pool_fault_kind kind;
    uint64_t index;
};

struct shared_pool_audit {
    uint64_t faults;
    uint64_t healed;     /* bits that were clear under used words, which is legal, and are set now */
    uint64_t in_transit; /* blocks that somebody was allocating or freeing */
};

/* Audits ledger and bitmap, and writes the first `most` faults to `faults`. `used` has a bit for each slot in use; `alone` tells
 * that nobody else can be at work. Takes a few steps a block, whatever it finds. For the holder of the gate. */
void shared_pool_check(struct shared_pool *shared, uint64_t used, bool alone, struct shared_pool_fault *faults,
                       uint64_t most, struct shared_pool_audit *audit);

#endif
