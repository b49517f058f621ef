/* endings.h: when the tickets of a run end, if they have a lifetime.
 *
 * Tickets of one run are not told apart, so a run has one end: the latest that any of its tickets ever had. It is a
 * word a block, {the run's generation, seconds}, in memory that exists only once a lifetime was used in the pool. The
 * head of a run says whether that word counts (TIMED in ledger.h): a ticket without a lifetime takes the end from all
 * of them, in the step that makes the ticket. So who knows nothing of lifetimes needs no look at these words.
 *
 *   share   move the word forward; then make the ticket, which clears MARK; then lower `next`.
 *   drop    `next` is 0; then for each run that is TIMED: MARK, look at the word, and drop its tickets if their end has
 *           come and MARK is still there (ledger.h); lower `next` to the earliest end that is left. Under the gate.
 *
 * `next` is when somebody should look: the earliest end that is known, or 0. A ticket that is made during a look is
 * found by it, or its maker lowers `next` afterwards. Who dies in between leaves `next` too late; so recovering a dead
 * process looks at all runs, whatever `next` says. One that is stopped there still holds its run.
 *
 * An end is in whole seconds, and never early: a ticket lives at least as long as was asked for, and up to two seconds
 * longer. Until somebody needs the room, it lives on after its end.
 *
 * REJECTED: a time for each ticket (a list a run, with undo paths); the age of a run and one lifetime for all runs (no
 * lifetimes of their own, and allocating would have to know of them); a word that says never (a ticket that is made
 * while the words are reserved would be overlooked).
 */
#ifndef BLOCKPOOL_ENDINGS_H
#define BLOCKPOOL_ENDINGS_H

#include "os/atomic.h"
#include "shared/ledger.h"

#define ENDINGS_READY UINT64_C(0x7364656e64656874) /* one that damage does not make */
#define ENDINGS_NEVER UINT32_MAX
#define ENDINGS_MOST 1000000000u /* seconds: the longest lifetime */

/* In the header of the segment. */
struct endings_head {
    atomic_word ready;    /* ENDINGS_READY: the words are there */
    atomic_word next;     /* see above */
    atomic_word lifetime; /* the pool's, as endings_seconds reads it; never changes */
};

struct endings {
    struct endings_head *head;
    atomic_word *words; /* one a block */
};

/* A pool without lifetimes, such as the annex. */
extern struct endings_head endings_none;

static inline bool endings_are_ready(const struct endings *endings) {
    return load_seq(&endings->head->ready) == ENDINGS_READY;
}

/* The lifetime in seconds that the header has; 0 if it has none, or none that is possible. */
static inline double endings_seconds(const struct endings *endings) {
    union {
        uint64_t word;
        double seconds;
    } lifetime = {.word = load_relaxed(&endings->head->lifetime)};
    return lifetime.seconds > 0 && lifetime.seconds <= ENDINGS_MOST ? lifetime.seconds : 0;
}
static inline uint64_t endings_lifetime_word(double seconds) {
    union {
        double seconds;
        uint64_t word;
    } lifetime = {.seconds = seconds};
    return lifetime.word;
}

/* A lifetime in whole seconds, not shorter; 0 for 0. */
static inline uint32_t endings_whole(double seconds) {
    uint32_t whole = (uint32_t)seconds;
    return whole + (whole < seconds);
}

/* When a ticket ends that is made during the second `now`. */
static inline uint32_t endings_end(uint32_t now, uint32_t lifetime) {
    return now < ENDINGS_NEVER - 2 - ENDINGS_MOST ? now + 1 + lifetime : ENDINGS_NEVER - 1;
}

/* The tickets of the run of that generation, which the caller holds, end at `end` or later. */
static inline void endings_extend(const struct endings *endings, uint64_t index, uint64_t generation, uint32_t end) {
    atomic_word *word = &endings->words[index];
    uint64_t mine = (generation & LEDGER_GENERATION) << 32, old = load_relaxed(word);
    while ((old >> 32 != mine >> 32 || (uint32_t)old < end) && !compare_exchange_seq(word, &old, mine | end)) {
    }
}

/* When the tickets end of the run at the block, whose head's word is given; ENDINGS_NEVER if they do not, or if there
 * are none. */
static inline uint32_t endings_of(const struct endings *endings, uint64_t index, uint64_t word) {
    if (!ledger_is_timed(word) || !endings_are_ready(endings)) {
        return ENDINGS_NEVER;
    }
    uint64_t end = load_seq(&endings->words[index]);
    return end >> 32 == ledger_generation(word) ? (uint32_t)end : ENDINGS_NEVER;
}

/* Somebody should look at `end`, or earlier. */
static inline void endings_lower(const struct endings *endings, uint32_t end) {
    uint64_t next = load_seq(&endings->head->next);
    while ((next == 0 || end < next) && !compare_exchange_seq(&endings->head->next, &next, end)) {
    }
}

/* Whether tickets may have ended. */
static inline bool endings_are_due(const struct endings *endings, uint32_t now) {
    uint64_t next = load_relaxed(&endings->head->next);
    return next != 0 && next <= now;
}

#endif
