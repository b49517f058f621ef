/* queue_check.h: the audit of queues and messages.
 *
 * Others may be at work, or stopped in the middle for hours: what they leave is no fault (shared_pool.h says the same
 * of runs). Certain at once is what no step leaves, even for a moment:
 *
 *     a queue      its header describes it; no free slot has a cursor; every cell has a position that belongs there, no
 *                  earlier than the head that was read before it, no later than the tail that was read after it allows
 *     a full cell  names a message of this queue, for this position, that has not ended
 *     a message    its run is live; it is in the hands of nobody, or of a slot in use; its header is whole. Once it is
 *                  published: it is there as long as its queue is, the cell is full if it is QUEUED, and no longer if
 *                  it was RETURNED, and the words of the runs that it holds name it
 *     a run        with the flag CARRIED: its word names a message that lists it
 *
 * Words that were read at two moments count together only if the message's word, which never comes back, was the same
 * before and after.
 */
#ifndef BLOCKPOOL_QUEUE_CHECK_H
#define BLOCKPOOL_QUEUE_CHECK_H

#include "shared/queue.h"

/* What is wrong with the message or the queue at a block of the annex; `alone` says that nothing else can be at
 * work. */
enum shared_pool_fault_kind queue_check_block(const struct queues *queues, uint64_t block, const struct slot_set *used,
                                              bool alone);

/* What is wrong with what a block of the pool says of the message that carries it. */
enum shared_pool_fault_kind queue_check_run(const struct queues *queues, uint64_t index, bool alone);

/* Audits the annex, and what the pool's blocks say of messages; adds to the audit. Under the gate it may `heal` bits,
 * otherwise it writes nothing. */
void queues_check(struct queues *queues, const struct slot_set *used, bool alone, bool heal,
                  struct shared_pool_fault *faults, uint64_t most, struct shared_pool_audit *audit);

#endif
