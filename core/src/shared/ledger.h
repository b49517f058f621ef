/* ledger.h: who holds each run of a shared pool: the head, one 64-bit word a block, and pure functions on that word.
 *
 *     bits 61-63  state
 *     FREE        the whole word is zero
 *     TAIL        bits 0-23: distance to the head of the run, 1 or more
 *     OPENING     {slot}: that one is making the run
 *     LIVE        {owner or nobody, tickets, flags, generation}
 *     ASKING      {slot}: that one asks whether anybody still holds the run; its owner and tickets are gone
 *     CLOSING     {slot}: that one is freeing the run
 *
 *     bits 48-60  the slot, one up; 0 is nobody, LEDGER_RECOVERY the process that recovers, under the gate
 *     bits 35-47  tickets, references in flight
 *     bit 34      ROW: some slot may have set its bit in the run's row
 *     bit 33      KEPT: the pool's catalog holds the run
 *     bit 32      MARK: see below
 *     bit 31      CARRIED: a message holds the run, see queue.h
 *     bit 30      TIMED: all its tickets have an end, see endings.h; it means nothing if there are none
 *     bits 0-29   the generation's low bits, so that no compare-and-swap takes a later run for this one
 *
 *     FREE ──▶ OPENING{me} ──▶ LIVE{owner} ──▶ LIVE{nobody} ◀──▶ ASKING{me} ──▶ CLOSING{me} ──▶ FREE
 *                                     └──────── nobody else ever held it ───────────▲
 *
 * A RUN IS HELD by its owner, which the head names since it was allocated; by each slot whose bit is set in its row;
 * by its tickets; and by the catalog. The owner has no bit. So nothing but the head changes when a run is allocated and
 * freed that no other process ever held: without ROW, nobody needs to look at the row.
 *
 * HOLDERS OF A ROW ARE NOT COUNTED, so a slot that would free a run looks at every bit. What makes that safe is that
 * both sides set before they look. To hold: set the bit; then see LIVE, the right generation and ROW in the head, and
 * set ROW if need be. To free without ROW: LIVE{me} → CLOSING{me}, and a holder that sets ROW has been quicker or is
 * too late. To free with it: LIVE, held by nobody, and the row is empty; then ASKING{me}; then look at the row again.
 * Either that look finds the bit, or the holder finds ASKING. A holder that does says no: ASKING → LIVE. Therefore
 * ASKING → CLOSING is a compare-and-swap, and the holder waits for nobody.
 *
 * No two threads may ask with the same slot at the same time: the first could take the question of the second for its
 * own, which a holder has answered since. Within a process a lock sees to it (references.c); of recoveries, the gate.
 *
 * Words may come from a damaged segment. A function that does not apply to a word returns LEDGER_REFUSED, never
 * nonsense.
 *
 * TICKETS ARE DROPPED IN TWO STEPS, because a head says how many there are, not which: after the last one is redeemed
 * and a new one made, the word is the same again. So dropping first sets MARK, then looks at the time of the last
 * ticket, and then drops the tickets only if MARK is still there: every new ticket clears it.
 *
 * A run's record is two more words, valid at its head: generation and length; slack and the time of the last ticket.
 */
#ifndef BLOCKPOOL_LEDGER_H
#define BLOCKPOOL_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_MOST_SLOTS 4096u
#define LEDGER_NOBODY UINT32_MAX            /* no slot */
#define LEDGER_RECOVERY (LEDGER_MOST_SLOTS) /* of no process, see above */
#define LEDGER_MOST_TICKETS 8191u
#define LEDGER_MOST_BLOCKS (UINT64_C(1) << 24)

#define LEDGER_FREE UINT64_C(0)
#define LEDGER_ROW (UINT64_C(1) << 34)
#define LEDGER_KEPT (UINT64_C(1) << 33)
#define LEDGER_MARK (UINT64_C(1) << 32)
#define LEDGER_CARRIED (UINT64_C(1) << 31)
#define LEDGER_TICKET (UINT64_C(1) << 35)
#define LEDGER_TIMED (UINT64_C(1) << 30)
#define LEDGER_GENERATION ((UINT64_C(1) << 30) - 1)

#define LEDGER_STATE_AT 61
#define LEDGER_SLOT_AT 48
#define LEDGER_SLOT_MASK (UINT64_C(8191) << LEDGER_SLOT_AT)
#define LEDGER_TICKETS_MASK (LEDGER_MOST_TICKETS * LEDGER_TICKET)

/* No word has this value. */
#define LEDGER_REFUSED UINT64_MAX

enum ledger_state {
    LEDGER_IS_FREE,
    LEDGER_IS_TAIL,
    LEDGER_IS_OPENING,
    LEDGER_IS_LIVE,
    LEDGER_IS_ASKING,
    LEDGER_IS_CLOSING
};

static inline uint64_t ledger_state(uint64_t word) { return word >> LEDGER_STATE_AT; }
static inline uint64_t ledger_tickets(uint64_t word) { return word / LEDGER_TICKET & LEDGER_MOST_TICKETS; }
static inline uint64_t ledger_distance(uint64_t word) { return word & (LEDGER_MOST_BLOCKS - 1); }
static inline uint64_t ledger_generation(uint64_t word) { return word & LEDGER_GENERATION; }

/* The owner of a LIVE run, or who makes, asks or frees; LEDGER_NOBODY without one. */
static inline unsigned ledger_slot(uint64_t word) { return (unsigned)(word >> LEDGER_SLOT_AT & 8191) - 1; }

static inline uint64_t ledger_make(enum ledger_state state, unsigned slot, uint64_t generation) {
    return (uint64_t)state << LEDGER_STATE_AT | (uint64_t)(slot + 1) << LEDGER_SLOT_AT |
           (generation & LEDGER_GENERATION);
}

static inline uint64_t ledger_opening(unsigned slot) { return ledger_make(LEDGER_IS_OPENING, slot, 0); }
static inline uint64_t ledger_live(unsigned owner, uint64_t generation) {
    return ledger_make(LEDGER_IS_LIVE, owner, generation);
}
static inline uint64_t ledger_tail(uint64_t distance) { return (uint64_t)LEDGER_IS_TAIL << LEDGER_STATE_AT | distance; }

static inline bool ledger_is_live(uint64_t word) { return ledger_state(word) == LEDGER_IS_LIVE; }
static inline bool ledger_is_asking(uint64_t word) { return ledger_state(word) == LEDGER_IS_ASKING; }

/* Whether a run is there that somebody may hold. */
static inline bool ledger_is_run(uint64_t word) { return ledger_is_live(word) || ledger_is_asking(word); }

/* Whether it is the run of that generation. */
static inline bool ledger_is_run_of(uint64_t word, uint64_t generation) {
    return ledger_is_run(word) && ledger_generation(word) == (generation & LEDGER_GENERATION);
}

static inline bool ledger_is_owner(uint64_t word, unsigned slot) {
    return ledger_is_live(word) && ledger_slot(word) == slot;
}

/* Whether the word begins a run, in any state. */
static inline bool ledger_is_head(uint64_t word) {
    return ledger_state(word) >= LEDGER_IS_OPENING && ledger_state(word) <= LEDGER_IS_CLOSING;
}

/* Whether the functions here can make this word in a pool of so many slots. */
static inline bool ledger_is_valid(uint64_t word, unsigned slots) {
    unsigned slot = ledger_slot(word);
    bool named = slot < slots || slot == LEDGER_RECOVERY;
    const uint64_t more = LEDGER_TICKETS_MASK | LEDGER_ROW | LEDGER_KEPT | LEDGER_MARK | LEDGER_CARRIED | LEDGER_TIMED;
    switch (ledger_state(word)) {
    case LEDGER_IS_FREE:
        return word == LEDGER_FREE;
    case LEDGER_IS_TAIL:
        return ledger_distance(word) > 0 && word == ledger_tail(ledger_distance(word));
    case LEDGER_IS_LIVE:
        return slot < slots || slot == LEDGER_NOBODY;
    case LEDGER_IS_OPENING:
    case LEDGER_IS_ASKING:
    case LEDGER_IS_CLOSING:
        return named && !(word & more);
    default:
        return false;
    }
}

/* Whether neither an owner nor a ticket nor the catalog nor a message holds the LIVE run: its row decides. */
static inline bool ledger_is_loose(uint64_t word) {
    return (word & ~(LEDGER_ROW | LEDGER_MARK | LEDGER_TIMED | LEDGER_GENERATION)) ==
           ledger_make(LEDGER_IS_LIVE, LEDGER_NOBODY, 0);
}

/* Whether the owner holds the LIVE run alone, and no other ever did: no row, no tickets, no name, no message. */
static inline bool ledger_is_alone(uint64_t word, unsigned owner) {
    return (word & ~LEDGER_GENERATION) == ledger_make(LEDGER_IS_LIVE, owner, 0);
}

/* The LIVE run gets a row; a run about which somebody asks is held, and so LIVE. */
static inline uint64_t ledger_hold(uint64_t word) {
    if (ledger_is_live(word)) {
        return word | LEDGER_ROW;
    }
    return ledger_is_asking(word) ? ledger_live(LEDGER_NOBODY, word) | LEDGER_ROW : LEDGER_REFUSED;
}

/* The owner no longer holds the run: CLOSING{owner} if nobody else ever did, ASKING{owner} if its row decides, else
 * LIVE without an owner. */
static inline uint64_t ledger_leave(uint64_t word, unsigned owner) {
    if (!ledger_is_owner(word, owner)) {
        return LEDGER_REFUSED;
    }
    uint64_t left = word & ~LEDGER_SLOT_MASK;
    if (!ledger_is_loose(left)) {
        return left;
    }
    return ledger_make(left & LEDGER_ROW ? LEDGER_IS_ASKING : LEDGER_IS_CLOSING, owner, word);
}

/* The owner no longer holds the run as its owner; it has set its bit. */
static inline uint64_t ledger_disown(uint64_t word, unsigned owner) {
    return ledger_is_owner(word, owner) ? (word & ~LEDGER_SLOT_MASK) | LEDGER_ROW : LEDGER_REFUSED;
}

/* The slot asks whether anybody holds the loose run. */
static inline uint64_t ledger_ask(uint64_t word, unsigned slot) {
    return ledger_is_loose(word) ? ledger_make(LEDGER_IS_ASKING, slot, word) : LEDGER_REFUSED;
}

/* Nobody does. */
static inline uint64_t ledger_close(uint64_t word) {
    return ledger_is_asking(word) ? ledger_make(LEDGER_IS_CLOSING, ledger_slot(word), word) : LEDGER_REFUSED;
}

/* Whether it is a LIVE run with references in flight that all have an end. */
static inline bool ledger_is_timed(uint64_t word) {
    return ledger_is_live(word) && word & LEDGER_TIMED && ledger_tickets(word);
}

/* A holder puts n references in flight, which have no end; this clears the mark. */
static inline uint64_t ledger_share(uint64_t word, uint64_t n) {
    uint64_t held = ledger_hold(word);
    if (held == LEDGER_REFUSED || n > LEDGER_MOST_TICKETS - ledger_tickets(held)) {
        return LEDGER_REFUSED;
    }
    return (held & ~(LEDGER_MARK | LEDGER_TIMED)) + n * LEDGER_TICKET;
}

/* The same, for references that have an end: all have one if those that were in flight before had. */
static inline uint64_t ledger_share_timed(uint64_t word, uint64_t n) {
    uint64_t after = ledger_share(word, n);
    if (after == LEDGER_REFUSED) {
        return LEDGER_REFUSED;
    }
    bool first = ledger_tickets(after) == n;
    return first || word & LEDGER_TIMED ? after | LEDGER_TIMED : after;
}

/* A holder takes one reference out of flight; the same word if there is none. */
static inline uint64_t ledger_take_ticket(uint64_t word) {
    if (!ledger_is_run(word)) {
        return LEDGER_REFUSED;
    }
    return ledger_is_live(word) && ledger_tickets(word) ? word - LEDGER_TICKET : word;
}

/* Marks a run with references in flight. */
static inline uint64_t ledger_mark(uint64_t word) {
    return ledger_is_live(word) && ledger_tickets(word) ? word | LEDGER_MARK : LEDGER_REFUSED;
}

/* Drops all references in flight of a marked run, and the mark. */
static inline uint64_t ledger_drop_tickets(uint64_t word) {
    return ledger_is_live(word) && word & LEDGER_MARK ? word & ~(LEDGER_TICKETS_MASK | LEDGER_TIMED | LEDGER_MARK)
                                                      : LEDGER_REFUSED;
}

/* The catalog holds the run, which a holder gave it; the same word if it already does. */
static inline uint64_t ledger_keep(uint64_t word) {
    uint64_t held = ledger_hold(word);
    return held == LEDGER_REFUSED ? LEDGER_REFUSED : held | LEDGER_KEPT;
}

/* The catalog no longer holds it. */
static inline uint64_t ledger_forget(uint64_t word) {
    return ledger_is_live(word) && word & LEDGER_KEPT ? word & ~LEDGER_KEPT : LEDGER_REFUSED;
}

/* A message carries the run, which a holder put into it. */
static inline uint64_t ledger_carry(uint64_t word) {
    if (ledger_is_live(word)) {
        return word | LEDGER_CARRIED;
    }
    uint64_t held = ledger_hold(word);
    return held == LEDGER_REFUSED ? LEDGER_REFUSED : held | LEDGER_CARRIED;
}

/* The message no longer does. */
static inline uint64_t ledger_unload(uint64_t word) {
    return ledger_is_live(word) && word & LEDGER_CARRIED ? word & ~LEDGER_CARRIED : LEDGER_REFUSED;
}

/* Whether nothing but a message holds the LIVE run, and nobody else ever did but its owner. */
static inline bool ledger_is_only_carried(uint64_t word) {
    return (word & ~LEDGER_GENERATION) == (ledger_make(LEDGER_IS_LIVE, LEDGER_NOBODY, 0) | LEDGER_CARRIED);
}

/* A head that names somebody who is gone. A run that was being made or freed becomes CLOSING{name}, to be freed by the
 * caller; a live one loses its owner; a question is withdrawn. */
static inline uint64_t ledger_recover(uint64_t word, unsigned name) {
    switch (ledger_state(word)) {
    case LEDGER_IS_OPENING:
    case LEDGER_IS_CLOSING:
        return ledger_make(LEDGER_IS_CLOSING, name, word);
    case LEDGER_IS_ASKING:
        return ledger_hold(word);
    case LEDGER_IS_LIVE:
        return word & ~LEDGER_SLOT_MASK;
    default:
        return LEDGER_REFUSED;
    }
}

/* --- the record of a run --- */

struct ledger_record {
    uint64_t generation; /* how many runs have begun at this block, 40 bits */
    uint64_t length;     /* blocks, 1 to 2^24 */
};

#define LEDGER_LENGTH_BITS 24u
#define LEDGER_MOST_GENERATION ((UINT64_C(1) << 40) - 1)

static inline uint64_t ledger_record_pack(struct ledger_record record) {
    return (record.generation & LEDGER_MOST_GENERATION) << 24 | (record.length - 1);
}

static inline struct ledger_record ledger_record_unpack(uint64_t packed) {
    return (struct ledger_record){packed >> 24, (packed & (LEDGER_MOST_BLOCKS - 1)) + 1};
}

#endif
