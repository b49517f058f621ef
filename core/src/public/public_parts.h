/* public_parts.h: what the files behind blockpool_shared.h share; no other file includes it.
 *
 *     public_status.c  statuses and their words
 *     public_pool.c    create, attach, close
 *     public_block.c   allocate, release, share, redeem, keep
 *     public_array.c   what is an array, and lies in a block
 *     public_queue.c   queues and messages
 *
 * They check what a program passes, call pool.h and shared/queues.h, and wait. All of it is in the process; what
 * processes share is below.
 */
#ifndef BLOCKPOOL_PUBLIC_PARTS_H
#define BLOCKPOOL_PUBLIC_PARTS_H

#include "blockpool_shared.h"
#include "pool.h"

#define PUBLIC_GATE_SECONDS 5.0 /* how long to wait for a process that keeps others from attaching, ... */
#define PUBLIC_SLICE 0.25       /* who waits longer looks for the dead */

struct blockpool_pool {
    struct pool engine;
    atomic_half queues; /* open */
};

/* Repeats the call while another thread of this process has the attachment's lock. */
#define PUBLIC_PATIENTLY(pool, status, call)                                                                           \
    while ((status = (call)) == POOL_LOCKED) {                                                                         \
        (pool)->engine.yield();                                                                                        \
    }

/* The public status; sets errno to what the kernel refused, if `failure` (or NULL) says so. */
int public_status(enum pool_status status, const struct pool_failure *failure);

/* Whether something may have that name. */
bool public_is_name(const char *name);

/* When to stop waiting; 0 for a timeout of 0. False if the timeout is not a number. */
bool public_deadline(double timeout, double *deadline);

/* How many more seconds to sleep at once; 0 at the deadline. */
double public_slice(double deadline);

/* BLOCKPOOL_OK if this process holds the block; then *run is its run. */
int public_run(const struct blockpool_block *block, struct pool_run *run);

/* Fills in a block of which the caller has a reference. */
void public_block(struct blockpool_pool *pool, const struct pool_run *run, struct blockpool_block *block);

/* Whether it is an array that lies in so many bytes. */
bool public_array_fits(const struct blockpool_array *array, uint64_t bytes);

#endif
