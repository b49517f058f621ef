/* quarantine.c: see quarantine.h. */
#include "private/quarantine.h"

#define RESTING_SHARE 8 /* at most one block in so many is here */

static uint64_t most_resting(uint64_t blocks) { return blocks < RESTING_SHARE ? 1 : blocks / RESTING_SHARE; }

/* Each run has at least one block, so this is enough for all of them and one that comes in. */
static uint64_t room_for(uint64_t blocks) { return most_resting(blocks) + 1; }

size_t quarantine_bytes(uint64_t blocks) { return room_for(blocks) * sizeof(struct resting_run); }

void quarantine_init(struct quarantine *quarantine, void *memory, uint64_t blocks) {
    *quarantine = (struct quarantine){.runs = memory, .room = room_for(blocks), .most = most_resting(blocks)};
}

/* Gives the oldest run back to the pool. */
static void release_oldest(struct quarantine *quarantine, struct private_pool *pool) {
    struct resting_run run = quarantine->runs[quarantine->first];
    quarantine->first = (quarantine->first + 1) % quarantine->room;
    quarantine->count--;
    quarantine->blocks -= run.blocks;
    private_pool_release(pool, run.index, run.blocks);
}

void quarantine_add(struct quarantine *quarantine, struct private_pool *pool, uint64_t index, uint64_t blocks) {
    uint64_t at = (quarantine->first + quarantine->count) % quarantine->room;
    quarantine->runs[at] = (struct resting_run){index, blocks};
    quarantine->count++;
    quarantine->blocks += blocks;
    while (quarantine->blocks > quarantine->most) {
        release_oldest(quarantine, pool);
    }
}

bool quarantine_release_all(struct quarantine *quarantine, struct private_pool *pool) {
    bool any = quarantine->count > 0;
    while (quarantine->count > 0) {
        release_oldest(quarantine, pool);
    }
    return any;
}
