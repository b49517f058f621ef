/* quarantine.h: where freed runs of a private pool in debug mode wait before they can be allocated again.
 *
 * A ring; the oldest run leaves first. A write through an old address then hits a run without an owner, not the next
 * owner's data. At most one block in eight is in quarantine. A freed run is either here or in the pool at every
 * instant, so a call that is interrupted loses nothing.
 *
 * For one thread at a time.
 */
#ifndef BLOCKPOOL_QUARANTINE_H
#define BLOCKPOOL_QUARANTINE_H

#include "private/private_pool.h"

struct quarantine {
    struct resting_run {
        uint64_t index, blocks;
    } *runs;                     /* a ring in the caller's memory; NULL if there is no quarantine */
    uint64_t room, first, count; /* in runs */
    uint64_t blocks;             /* in all runs together */
    uint64_t most;               /* how many blocks may be here */
};

/* Bytes of memory for the quarantine of a pool of so many blocks. */
size_t quarantine_bytes(uint64_t blocks);

/* Makes *quarantine an empty one. */
void quarantine_init(struct quarantine *quarantine, void *memory, uint64_t blocks);

/* Adds a run, and gives back to the pool the ones that it pushes out. */
void quarantine_add(struct quarantine *quarantine, struct private_pool *pool, uint64_t index, uint64_t blocks);

/* Gives everything back to the pool; returns whether there was anything. */
bool quarantine_release_all(struct quarantine *quarantine, struct private_pool *pool);

#endif
