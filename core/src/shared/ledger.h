/* ledger.h: the holders of each run of a shared pool: one 64-bit word per block, and pure functions on that word.
 *
 *     bits 61-63  state
 *     FREE        the whole word is zero
 *     TAIL        bits 0-23: distance to the head of the run, 1 or more
 *     OPENING     bits 0-47: the one slot that is making the run
 *     LIVE        bits 0-47: holders, a bit for each slot with at least one reference
 *                 bits 48-60: tickets, references in flight
 *     CLOSING     bits 0-47: the one slot that is freeing the run
 *
 *     FREE ──▶ OPENING{me} ──▶ LIVE{holders, tickets} ──▶ CLOSING{last} ──▶ FREE
 *
 * Holders and tickets are in one word, so every step (hold, drop, share, take a ticket) is one compare-and-swap from a
 * value to what one of these functions makes of it, and there is no moment at which a count and its owner disagree. The
 * caller that takes both to nothing finds CLOSING{its own slot} in the value it is about to store, and must free the
 * run.
 *
 * Words may come from a damaged segment. A function that does not apply to a word returns LEDGER_REFUSED, never
 * nonsense.
 *
 * TICKETS ARE DROPPED IN TWO STEPS, because a word says how many there are, not which: after the last one is redeemed
 * and a new one made, the word is the same again. So dropping first sets a mark, then looks at the time of the last
 * ticket, and then drops the tickets only if the mark is still there: every new ticket clears it. The mark is the bit
 * of a slot that no process has. It holds nothing, and recovery treats it as dead.
 *
 * A run's record is two more words, valid at its head: generation and length; slack and the time of the last ticket.
 */
#ifndef BLOCKPOOL_LEDGER_H
#define BLOCKPOOL_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_SLOTS 48u       /* holder bits */
#define LEDGER_TICKET_SLOT 47u /* of no process: a mark, see ledger_drop_tickets */
#define LEDGER_MOST_TICKETS 8191u
#define LEDGER_MOST_BLOCKS (UINT64_C(1) << 24)

#define LEDGER_FREE UINT64_C(0)
#define LEDGER_HOLDERS ((UINT64_C(1) << 48) - 1)
#define LEDGER_TICKET (UINT64_C(1) << 48)

/* No word has this value. */
#define LEDGER_REFUSED UINT64_MAX

enum ledger_state { LEDGER_IS_FREE, LEDGER_IS_TAIL, LEDGER_IS_OPENING, LEDGER_IS_LIVE, LEDGER_IS_CLOSING };

static inline uint64_t ledger_state(uint64_t word) { return word >> 61; }
static inline uint64_t ledger_holders(uint64_t word) { return word & LEDGER_HOLDERS; }
static inline uint64_t ledger_tickets(uint64_t word) { return word >> 48 & LEDGER_MOST_TICKETS; }
static inline uint64_t ledger_distance(uint64_t word) { return word & (LEDGER_MOST_BLOCKS - 1); }
static inline uint64_t ledger_slot_bit(unsigned slot) { return UINT64_C(1) << slot; }

#define LEDGER_MARK (UINT64_C(1) << LEDGER_TICKET_SLOT)

static inline uint64_t ledger_make(enum ledger_state state, uint64_t holders, uint64_t tickets) {
    return (uint64_t)state << 61 | tickets << 48 | holders;
}

static inline uint64_t ledger_opening(unsigned slot) {
    return ledger_make(LEDGER_IS_OPENING, ledger_slot_bit(slot), 0);
}
static inline uint64_t ledger_live(unsigned slot) { return ledger_make(LEDGER_IS_LIVE, ledger_slot_bit(slot), 0); }
static inline uint64_t ledger_closing(unsigned slot) {
    return ledger_make(LEDGER_IS_CLOSING, ledger_slot_bit(slot), 0);
}
static inline uint64_t ledger_tail(uint64_t distance) { return (uint64_t)LEDGER_IS_TAIL << 61 | distance; }

static inline bool ledger_is_live(uint64_t word) { return ledger_state(word) == LEDGER_IS_LIVE; }

static inline bool ledger_is_held(uint64_t word, unsigned slot) {
    return ledger_is_live(word) && word & ledger_slot_bit(slot);
}

/* Whether the word begins a run, in any state. */
static inline bool ledger_is_head(uint64_t word) {
    return ledger_state(word) >= LEDGER_IS_OPENING && ledger_state(word) <= LEDGER_IS_CLOSING;
}

/* Whether the functions here can make this word. */
static inline bool ledger_is_valid(uint64_t word) {
    uint64_t holders = ledger_holders(word), tickets = ledger_tickets(word);
    switch (ledger_state(word)) {
    case LEDGER_IS_FREE:
        return word == LEDGER_FREE;
    case LEDGER_IS_TAIL:
        return ledger_distance(word) > 0 && word == ledger_tail(ledger_distance(word));
    case LEDGER_IS_LIVE:
        return holders || tickets;
    case LEDGER_IS_OPENING:
    case LEDGER_IS_CLOSING:
        return holders && (holders & (holders - 1)) == 0 && tickets == 0;
    default:
        return false;
    }
}

/* The slot holds the run too; the same word if it already does. */
static inline uint64_t ledger_hold(uint64_t word, unsigned slot) {
    return ledger_is_live(word) ? word | ledger_slot_bit(slot) : LEDGER_REFUSED;
}

/* Whether a holder or a ticket keeps the LIVE run. */
static inline bool ledger_is_kept(uint64_t word) {
    return (ledger_holders(word) & ~LEDGER_MARK) || ledger_tickets(word);
}

/* The slot no longer holds the run; CLOSING{slot} if it was the last holder and no ticket is in flight. */
static inline uint64_t ledger_drop(uint64_t word, unsigned slot) {
    if (!ledger_is_held(word, slot)) {
        return LEDGER_REFUSED;
    }
    uint64_t left = word & ~ledger_slot_bit(slot);
    return ledger_is_kept(left) ? left : ledger_closing(slot);
}

/* A holder puts n references in flight; this clears the mark. */
static inline uint64_t ledger_share(uint64_t word, unsigned slot, uint64_t n) {
    if (!ledger_is_held(word, slot) || n > LEDGER_MOST_TICKETS - ledger_tickets(word)) {
        return LEDGER_REFUSED;
    }
    return ((word & ~LEDGER_MARK) | ledger_slot_bit(slot)) + n * LEDGER_TICKET;
}

/* A holder takes one reference out of flight; the same word if there is none. */
static inline uint64_t ledger_take_ticket(uint64_t word, unsigned slot) {
    if (!ledger_is_held(word, slot)) {
        return LEDGER_REFUSED;
    }
    return ledger_tickets(word) ? word - LEDGER_TICKET : word;
}

/* Marks a run with references in flight. */
static inline uint64_t ledger_mark(uint64_t word) {
    return ledger_is_live(word) && ledger_tickets(word) ? word | LEDGER_MARK : LEDGER_REFUSED;
}

/* Drops all references in flight of a marked run, and the mark; CLOSING{the mark} if no slot holds the run. */
static inline uint64_t ledger_drop_tickets(uint64_t word) {
    if (!ledger_is_held(word, LEDGER_TICKET_SLOT)) {
        return LEDGER_REFUSED;
    }
    uint64_t holders = ledger_holders(word) & ~LEDGER_MARK;
    return holders ? ledger_make(LEDGER_IS_LIVE, holders, 0) : ledger_closing(LEDGER_TICKET_SLOT);
}

/* Recovers a head that names any of the dead slots, a bit each. A run that was being made or freed becomes CLOSING in
 * the name of a dead slot; a live one becomes what it would be had the dead dropped it. LEDGER_REFUSED if the word
 * names none of them. */
static inline uint64_t ledger_recover(uint64_t word, uint64_t dead) {
    uint64_t named = ledger_holders(word) & dead;
    if (!ledger_is_head(word) || !named) {
        return LEDGER_REFUSED;
    }
    return ledger_is_live(word) && ledger_is_kept(word & ~named) ? word & ~named
                                                                 : ledger_make(LEDGER_IS_CLOSING, named & -named, 0);
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
