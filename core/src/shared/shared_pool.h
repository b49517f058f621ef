/* shared_pool.h: the protocol of a shared pool, on memory that several processes map; any of them may die at any
 * instruction.
 *
 * THE LEDGER IS THE TRUTH (ledger.h), THE BITMAP IS AN INDEX THAT HEALS. A set bit only makes others look elsewhere. A
 * run belongs to the process that took its words from FREE.
 *
 *   allocate   claim the bits; head FREE → OPENING{me}; tails FREE → TAIL, front to back; the record, with the next
 *              generation; head OPENING → LIVE{me}. If a word is not FREE, its bit was wrong: that bit stays set, the
 *              rest is undone (tails back to front, then the head, then the other bits), and another place is tried.
 *   hold       by a name (index, generation): set my bit in the row, look at the head, and step back if it is another
 *              run or none. Stepping back is a drop: a slot that looked at the row meanwhile saw the bit, and left
 *              the run to me.
 *   drop       the owner leaves the head, another holder clears its bit; then try to close.
 *   try to     if the run is loose (ledger.h) and its row is empty: LIVE → ASKING{me}; look at the row again; if it is
 *   close      still empty, ASKING → CLOSING{me}, else back to LIVE, and from the start.
 *   free       what CLOSING{me} owes: tails to FREE, back to front; head to FREE; clear the bits; wake the waiters.
 *              Tails go before their head, so a TAIL always has one. What clearing a bit returns does not matter.
 *   recovery   of dead slots, by one process at a time (under the gate), for every block: clear their bits in the row;
 *              a head that names one of them, or an earlier recovery, is finished or becomes what it would be had that
 *              one let go, see ledger_recover; then try to close, as one may have died between its drop and its try.
 *              Whatever a living process could also be changing, it changes only by compare-and-swap. It may stop
 *              anywhere, and may be started again.
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
 *   - a head OPENING or CLOSING, with some of its tails;
 *   - a run that somebody asks about, or that nobody holds.
 *
 * The audit counts these blocks as in transit, unless its caller knows that nothing else can be at work: then they are
 * faults. Everything else is certain at once, because every step leaves it in order: a LIVE run has all its tails from
 * before it becomes LIVE until after it ceases to be, and a TAIL has its head throughout. Words read at two moments
 * count together only if the same run, by its generation, lived from the first moment to the last. What changes during
 * a look is in transit too.
 *
 * REDEEMING a name: hold, and only then take a ticket, if there is one. (Taking it first would rob another run if the
 * process died while stepping back.) A process that dies in between leaves one ticket too many, never one too few.
 *
 * A TICKET'S AGE counts from when the call that made it read the clock. The time is written before the ticket is made,
 * and only ever moves forward, so a call that is held up in between cannot make another's ticket look old. Dropping old
 * tickets sets a mark before it reads the time (ledger.h): a ticket made after that stays. Tickets with a lifetime are
 * dropped in the same way once it is over, see endings.h.
 *
 * Every index and length read from the segment is checked before use, and every loop is bounded by the number of blocks
 * that this process verified when it attached. SHARED_POOL_CORRUPT reports anything else.
 *
 * REJECTED: a log of intentions per process (two more writes per operation, and torn ones to interpret); all holders in
 * the head (48 at most); a count of holders beside the row (never both right at one instant); freeing by the process
 * that allocated (it may be dead); a holder that waits until a question is decided (who asked may be stopped for
 * hours).
 */
#ifndef BLOCKPOOL_SHARED_POOL_H
#define BLOCKPOOL_SHARED_POOL_H

#include "bitmap/bitmap.h"
#include "shared/endings.h"
#include "shared/slot_set.h"

enum shared_pool_status {
    SHARED_POOL_OK,
    SHARED_POOL_STALE,   /* no run of that generation begins there */
    SHARED_POOL_TICKETS, /* too many tickets in flight */
    SHARED_POOL_CORRUPT, /* the segment holds what this library never writes */
};

/* What the segment has of each block; whole cache lines, so that neighbours share none. A run's slack is less than a
 * block, and a run at most 2^46 bytes. So where blocks exceed 4 GiB, runs are short, and the bits of the slack beyond
 * 32 fit above those of the length. */
struct shared_pool_entry {
    atomic_word head;    /* ledger.h */
    atomic_word run;     /* ledger_record_pack; the high bits of the slack lie above the bits that the length needs */
    atomic_word details; /* the slack's low 32 bits << 32 | time of the last ticket, or of the allocation, seconds */
    atomic_word message; /* message.h: which message carries the run, or how far a message is */
    atomic_word row[];   /* a bit for each slot that holds the run without being its owner */
};

#ifndef SHARED_POOL_LEAST_ROW
#define SHARED_POOL_LEAST_ROW 4u /* words: with fewer, an entry would not be smaller than a cache line */
#endif

/* The words of a row for so many slots. */
static inline unsigned shared_pool_row_words(unsigned slots) {
    unsigned words = (slots + 63) / 64;
    return words < SHARED_POOL_LEAST_ROW ? SHARED_POOL_LEAST_ROW : words;
}

static inline size_t shared_pool_entry_bytes(unsigned slots) {
    return (sizeof(struct shared_pool_entry) + shared_pool_row_words(slots) * sizeof(atomic_word) + 63) / 64 * 64;
}

/* The part of the header that waiting needs, in cache lines of its own. */
struct shared_pool_waiting {
    atomic_half sequence;
    char padding[60];
    atomic_word slots[SLOT_SET_WORDS]; /* a bit for each slot with a waiter */
};
_Static_assert(sizeof(struct shared_pool_waiting) == 64 + LEDGER_MOST_SLOTS / 8, "written to shared memory");

struct pool_run {
    uint64_t index;
    uint64_t blocks;
    uint64_t generation;
};

struct shared_pool;

/* What is called as runs come and go, while the word *on is not 0. */
struct shared_pool_watch {
    const atomic_word *on;
    uint64_t number, block_size; /* of lane_put */
    /* After a run was allocated, before anybody else learns of it; or NULL. */
    void (*allocated)(struct shared_pool *shared, const struct pool_run *run, uint64_t slack);
    /* Before a run of n blocks is freed, whose head is CLOSING. */
    void (*ended)(struct shared_pool *shared, uint64_t index, uint64_t n);
};

/* Words for .on that never change: 0 and 1. */
extern const atomic_word shared_pool_never, shared_pool_always;

/* A view of the segment, private to the process. */
struct shared_pool {
    struct bitmap bitmap;
    unsigned char *entries;
    size_t entry_bytes;
    struct shared_pool_waiting *waiting;
    uint64_t blocks;
    unsigned slots;
    unsigned row_words;
    unsigned length_bits; /* of a record's 24; the others are the slack's */
    struct shared_pool_watch watch;
    struct endings endings;
};

static inline struct shared_pool_entry *shared_pool_entry(const struct shared_pool *shared, uint64_t index) {
    return (struct shared_pool_entry *)(void *)(shared->entries + index * shared->entry_bytes);
}

/* Where the parts of a shared pool lie. */
struct shared_pool_parts {
    void *bitmap; /* as bitmap_init wants it, in use or fresh */
    void *entries;
    struct shared_pool_waiting *waiting;
    struct endings endings; /* zero: no lifetimes */
};

/* Makes *shared a view of a pool of that many blocks of that size, for that many slots. */
void shared_pool_init(struct shared_pool *shared, const struct shared_pool_parts *parts, uint64_t blocks,
                      uint64_t block_size, unsigned slots);

/* Allocates a run of n blocks for the slot. On SHARED_POOL_OK *run is complete, or run->index is BITMAP_NONE if there
 * is no such run. `slack` is how many bytes at its end are unused, less than a block; `now` is the time. */
enum shared_pool_status shared_pool_allocate(struct shared_pool *shared, unsigned slot, uint64_t n, uint64_t slack,
                                             uint32_t now, struct pool_run *run) __attribute__((warn_unused_result));

/* Frees a run that its owner, the slot, shares with nobody, and never did: nobody else has held it, not even another
 * reference of the same process, as a holder counts only once ROW is set. That is one step, which needs no lock.
 * Returns false, having done nothing, for all other runs. */
bool shared_pool_drop_alone(struct shared_pool *shared, unsigned slot, const struct pool_run *run);

/* The slot, which holds the run, no longer does. *last tells whether nobody does; then the caller owes a
 * shared_pool_finish. No other thread may be in this or the next four calls with the same slot. */
enum shared_pool_status shared_pool_drop(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                         bool *last) __attribute__((warn_unused_result));

/* The same, but only if the slot alone holds it. */
enum shared_pool_status shared_pool_drop_last(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                              bool *last) __attribute__((warn_unused_result));

/* Makes the slot a holder of the run of that index and generation. On SHARED_POOL_OK run->blocks is its length, and
 * *set tells whether the slot did not hold it before. */
enum shared_pool_status shared_pool_hold(struct shared_pool *shared, unsigned slot, struct pool_run *run, bool *set)
    __attribute__((warn_unused_result));

/* The same, and takes a ticket of the run if there is one. */
enum shared_pool_status shared_pool_redeem(struct shared_pool *shared, unsigned slot, struct pool_run *run, bool *set)
    __attribute__((warn_unused_result));

/* Makes the slot `child` a holder of what the slot `parent` holds among n blocks from `first` on; returns of how many
 * runs. */
uint64_t shared_pool_fork(struct shared_pool *shared, unsigned parent, unsigned child, uint64_t first, uint64_t n);

/* Frees the run after its last drop, and wakes the waiters. */
void shared_pool_finish(struct shared_pool *shared, const struct pool_run *run);

/* Puts n references to a run that the slot holds in flight, at the time `now`. They have no end. */
enum shared_pool_status shared_pool_share(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                          uint64_t n, uint32_t now) __attribute__((warn_unused_result));

/* The same, with an end; the words of the endings are there. */
enum shared_pool_status shared_pool_share_until(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                                uint64_t n, uint32_t now, uint32_t end)
    __attribute__((warn_unused_result));

/* Takes one reference to a run that the slot holds out of flight; returns whether there was one. */
bool shared_pool_withdraw(struct shared_pool *shared, unsigned slot, const struct pool_run *run);

/* Makes the catalog a holder of a run that the slot holds. */
enum shared_pool_status shared_pool_keep(struct shared_pool *shared, unsigned slot, const struct pool_run *run)
    __attribute__((warn_unused_result));

/* Whether the catalog holds the run of that index and generation. */
bool shared_pool_is_kept(const struct shared_pool *shared, const struct pool_run *run);

/* Under the gate: the catalog no longer holds the run of that index and generation, if it did; frees it if nobody else
 * does. */
void shared_pool_forget(struct shared_pool *shared, const struct pool_run *run);

/* A message carries the run, which the slot holds. */
enum shared_pool_status shared_pool_carry(struct shared_pool *shared, unsigned slot, const struct pool_run *run)
    __attribute__((warn_unused_result));

/* The message that carried the run of that index and generation no longer does, if it did: the entry's message word is
 * `mine` as long as that is so. Frees the run, in the name of `name`, if nobody holds it. */
void shared_pool_unload(struct shared_pool *shared, unsigned name, const struct pool_run *run, uint64_t mine);

/* Whether a message carries the run of that index and generation. */
bool shared_pool_is_carried(const struct shared_pool *shared, const struct pool_run *run);

/* Takes one reference to the run of that index and generation out of flight, and frees the run if nobody holds it. */
void shared_pool_drop_ticket(struct shared_pool *shared, unsigned name, const struct pool_run *run);

/* The owner, the slot, leaves a run that nobody else ever held to the message that it is. No other thread or process
 * knows the run yet. */
void shared_pool_leave_to_message(struct shared_pool *shared, const struct pool_run *run);

/* Ends what `name` alone may end: a run that only a message held is freed, if nobody reads it. */
void shared_pool_end_message(struct shared_pool *shared, unsigned name, const struct pool_run *run, uint64_t mine);

/* Gives back what the slots held among n blocks from `first` on. `name` is LEDGER_RECOVERY, under the gate, for slots
 * that are dead; or the one slot itself, the caller's own, once its other threads no longer use the pool. Returns how
 * many blocks were freed. */
uint64_t shared_pool_recover(struct shared_pool *shared, const struct slot_set *gone, unsigned name, uint64_t first,
                             uint64_t n);

/* Makes the slots no waiters. */
void shared_pool_forget_waiters(struct shared_pool *shared, const struct slot_set *gone);

/* Mends the bits of n blocks from `first` on, which begins a chunk of the bitmap, under the gate; returns how many were
 * wrong. */
uint64_t shared_pool_mend(struct shared_pool *shared, uint64_t first, uint64_t n);

/* Drops the tickets of every run whose last one was made at `before` or earlier, under the gate; returns how many. */
uint64_t shared_pool_drop_tickets(struct shared_pool *shared, uint32_t before);

/* Drops the tickets of every run whose tickets have ended by `now`, under the gate; returns how many, and adds the
 * blocks that this freed. */
uint64_t shared_pool_end_tickets(struct shared_pool *shared, uint32_t now, uint64_t *freed);

/* The last ticket of the run at the block counts as made at `now`, or later. */
void shared_pool_renew_tickets(struct shared_pool *shared, uint64_t index, uint32_t now);

/* Whether the run of that index and generation is live. */
bool shared_pool_is_live(const struct shared_pool *shared, const struct pool_run *run);

/* The run that block `index` is part of, if the slot holds it; false if it does not. */
bool shared_pool_held_run(const struct shared_pool *shared, uint64_t index, unsigned slot, struct pool_run *run);

/* The next run at or after `from` that is live, with its head's word; false if there is none. */
bool shared_pool_next_run(const struct shared_pool *shared, uint64_t from, struct pool_run *run, uint64_t *word);

/* Whether the slot holds the run at the block, whose head's word is given. */
static inline bool shared_pool_is_held(const struct shared_pool *shared, uint64_t index, uint64_t word, unsigned slot) {
    return ledger_is_owner(word, slot) ||
           (ledger_is_run(word) && load_seq(&shared_pool_entry(shared, index)->row[slot / 64]) >> slot % 64 & 1);
}

/* Whether a slot other than this one holds it. */
static inline bool shared_pool_is_held_elsewhere(const struct shared_pool *shared, uint64_t index, unsigned slot);

/* Which slots hold it. */
void shared_pool_holders(const struct shared_pool *shared, uint64_t index, uint64_t word, struct slot_set *holders);

/* The blocks of the run that begins at the block, by its record; 0 if they would not fit in the pool. */
uint64_t shared_pool_length(const struct shared_pool *shared, uint64_t index);

/* When the run was allocated or its last ticket was made, whichever is later: seconds. */
static inline uint32_t shared_pool_since(const struct shared_pool *shared, uint64_t index) {
    return (uint32_t)load_relaxed(&shared_pool_entry(shared, index)->details);
}

/* Unused bytes at the end of the run. */
static inline uint64_t shared_pool_slack(const struct shared_pool *shared, uint64_t index) {
    const struct shared_pool_entry *entry = shared_pool_entry(shared, index);
    uint64_t high = (load_relaxed(&entry->run) & (LEDGER_MOST_BLOCKS - 1)) >> shared->length_bits;
    return high << 32 | load_relaxed(&entry->details) >> 32;
}

struct shared_pool_totals {
    uint64_t allocated;    /* blocks whose word is not FREE */
    uint64_t runs;         /* live runs */
    uint64_t slack;        /* unused bytes at the ends of live runs */
    uint64_t tickets;      /* references in flight */
    uint64_t only_tickets; /* blocks of runs that only tickets keep */
    uint64_t endless;      /* of these, blocks of runs whose tickets do not end */
    uint32_t next_end;     /* when the first tickets of the others end; ENDINGS_NEVER without any */
    /* each run records when its newest ticket was made: the earliest of these times; BITMAP_NONE without tickets */
    uint64_t oldest;
};

/* Counts from the words. With others at work, the numbers are not of one moment. */
void shared_pool_count(const struct shared_pool *shared, struct shared_pool_totals *totals);

bool shared_pool_has_other_holders(const struct shared_pool *shared, uint64_t index, unsigned slot);

static inline bool shared_pool_is_held_elsewhere(const struct shared_pool *shared, uint64_t index, unsigned slot) {
    return !ledger_is_alone(load_relaxed(&shared_pool_entry(shared, index)->head), slot) &&
           shared_pool_has_other_holders(shared, index, slot);
}

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
    SHARED_POOL_FAULT_ROW,      /* block `index`: a free slot has its bit in the row */
    SHARED_POOL_FAULT_NAME,     /* entry `index` of the catalog: its run is not there, or not kept */
    SHARED_POOL_FAULT_CARRIED,  /* block `index`: what it says of a message that carries it is wrong: queue_check.h */
    SHARED_POOL_FAULT_ANNEX,    /* block `index` of the annex: one of the above */
    SHARED_POOL_FAULT_QUEUE,    /* block `index` of the annex: a queue that is damaged */
    SHARED_POOL_FAULT_CELL,     /* the same: a cell of its ring that names no message of it */
    SHARED_POOL_FAULT_MESSAGE,  /* block `index` of the annex: a message that is damaged, or whose queue is gone */
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

/* Audits ledger and bitmap, and writes the first `most` faults to `faults`. `used` has the slots in use; `alone` says
 * that nothing else can be at work. Takes a few steps per block, whatever it finds. Under the gate it may `heal` bits;
 * otherwise it writes nothing. */
void shared_pool_check(struct shared_pool *shared, const struct slot_set *used, bool alone, bool heal,
                       struct shared_pool_fault *faults, uint64_t most, struct shared_pool_audit *audit);

/* The parts of an audit, for callers that have no gate: what is wrong with one block, others being at work;
 * *in_transit tells whether it may be being allocated or freed. */
enum shared_pool_fault_kind shared_pool_check_block(const struct shared_pool *shared, uint64_t index,
                                                    const struct slot_set *used, bool *in_transit);

/* What is wrong past the last block; adds to the audit. */
void shared_pool_check_end(const struct shared_pool *shared, struct shared_pool_fault *faults, uint64_t most,
                           struct shared_pool_audit *audit);

/* Adds a fault to an audit. */
static inline void shared_pool_add_fault(struct shared_pool_audit *audit, struct shared_pool_fault *faults,
                                         uint64_t most, enum shared_pool_fault_kind kind, uint64_t index) {
    if (audit->faults < most) {
        faults[audit->faults] = (struct shared_pool_fault){kind, index};
    }
    audit->faults++;
}

#endif
