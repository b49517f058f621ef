/* quarantine.h: where freed runs of a private pool in debug mode rest before they can be allocated again.
 *
 * A ring, the oldest run out first. A write through an old address then meets a run that nobody owns, and not the next
 * owner's data. At most one block in eight rests. A run on its way from its owner to the pool is in the one place or the
 * other at every instant, so a call that is interrupted loses nothing.
 *
 * For one thread at a time.
 */
#ifndef BLOCKPOOL_QUARANTINE_H
#define BLOCKPOOL_QUARANTINE_H

#include "private/private_pool.h"

struct quarantine {
    struct resting_run {
        uint64_t index, blocks;
    } *runs;                     /* a ring, of the caller's memory; NULL when nothing rests here */
    uint64_t room, first, count; /* in runs */
    uint64_t blocks;             /* of all runs in it */
    uint64_t most;               /* blocks that may rest */
};

/* Bytes of memory for the quarantine of a pool of so many blocks. */
size_t quarantine_bytes(uint64_t blocks);

/* Makes *quarantine one with nothing in it. */
void quarantine_init(struct quarantine *quarantine, void *memory, uint64_t blocks);

/* Lets a run rest, and gives the pool those that it pushes out. */
void quarantine_add(struct quarantine *quarantine, struct private_pool *pool, uint64_t index, uint64_t blocks);

/* Gives the pool all that rests; says whether there was any. */
bool quarantine_release_all(struct quarantine *quarantine, struct private_pool *pool);

#endif
