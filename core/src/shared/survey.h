/* survey.h: what lies where in a shared pool, for programs that look many times a second.
 *
 * Counting every run of a large pool takes long: 64 bytes are read for each of its blocks. So there are two ways to
 * look that cost less.
 *
 * A MAP is a picture of blocks in a number of cells. It counts the bits of each cell, and says of one run in it, the
 * first, who holds it. Its cost depends on the number of cells, and hardly on the number of blocks.
 *
 * A SURVEY goes through all runs, but as many blocks at a time as its caller likes. It counts, and remembers the runs
 * that are oldest or largest. Blocks whose bit is clear are passed over by the word, without a look at the ledger: at
 * rest a clear bit over a used word is legal, though rare (shared_pool.h), and such a run is missed.
 *
 * Both only read, on attachments and looks alike, and check what they read. With others at work, nothing here is of one
 * moment.
 */
#ifndef BLOCKPOOL_SURVEY_H
#define BLOCKPOOL_SURVEY_H

#include "shared/shared_pool.h"

/* Who holds a run: a slot, or one of these. A slot comes first, the owner before others. */
enum survey_holder {
    SURVEY_KEPT = LEDGER_MOST_SLOTS, /* only the catalog, and perhaps tickets */
    SURVEY_MESSAGE,                  /* only a message */
    SURVEY_TICKETS,                  /* only references in flight */
    SURVEY_NOBODY,                   /* being allocated or freed, or free */
    SURVEY_HOLDERS
};

/* --- maps --- */

struct survey_cell {
    uint32_t allocated; /* blocks, by their bits */
    uint16_t holder;    /* of the first run in the cell */
    uint16_t shared;    /* 1 if it has other holders or tickets too */
    uint32_t since;     /* when it was allocated, or its last ticket was made; 0 if nothing is allocated */
};

/* The first block of cell `cell` when `blocks` blocks from `first` on are drawn in `cells` cells. */
static inline uint64_t survey_cell_at(uint64_t first, uint64_t blocks, uint64_t cells, uint64_t cell) {
    return first + blocks * cell / cells; /* both are below 2^25 */
}

/* Draws n >= 1 blocks from `first` on, which exist, in 1 to n cells. */
void survey_map(const struct shared_pool *shared, uint64_t first, uint64_t n, uint64_t cells, struct survey_cell *map);

/* --- surveys --- */

enum survey_order { SURVEY_BY_AGE, SURVEY_BY_SIZE };

struct survey_found {
    struct pool_run run;
    uint64_t score; /* the more, the older or larger */
};

struct survey {
    uint64_t next; /* the first block that was not looked at yet */
    uint64_t allocated, runs, slack, tickets;
    uint64_t oldest_ticket;        /* as in shared_pool_totals */
    uint64_t held[SURVEY_HOLDERS]; /* blocks by holder; a run that several slots hold counts for each of them */
    enum survey_order order;
    unsigned most, count;
    struct survey_found *found; /* room for `most`; the best so far, as a heap: the least is first */
};

/* Begins. `found` has room for `most` runs. */
void survey_begin(struct survey *survey, enum survey_order order, struct survey_found *found, unsigned most);

/* Looks at some n more blocks; returns whether that was the end. Then `found` is in order, the best first. */
bool survey_go_on(struct survey *survey, const struct shared_pool *shared, uint64_t n);

#endif
