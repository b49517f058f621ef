/* queues.h: the queues, topics and latest values of an attachment; see queue.h for how they work.
 *
 * A process that has a queue open holds its run, like any other; further openings within the process are counted under
 * the attachment's lock. A forked child has open what its parent had open. A message that a process takes and does not
 * end is TAKEN by its slot; the child of a fork has no part in it, and its calls to end it do nothing.
 *
 * Any thread may call any of these. POOL_LOCKED and POOL_STRAY are as in attachment.h. None waits, except for the gate
 * where it says so, and attachment_queue_sleep.
 */
#ifndef BLOCKPOOL_QUEUES_H
#define BLOCKPOOL_QUEUES_H

#include "shared/attachment.h"

/* --- opening and closing --- */

/* Opens the queue of that name; if there is none, makes it if it may; *made tells. Without a name (NULL), makes one.
 * Waits for the gate. POOL_NOT_FOUND: there is none. POOL_OTHER_KIND: the name belongs to a block or to something of
 * another kind than request->kind. POOL_FULL: the catalog is. POOL_EXHAUSTED: the annex has no room. */
enum pool_status attachment_queue_open(struct attachment *attachment, const char *name,
                                       const struct queue_request *request, bool may_make, double gate_seconds,
                                       struct queue *queue, bool *made, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Opens the queue at the run of that index and generation, and takes one reference to it out of flight if there is
 * one. POOL_STALE: it ended. */
enum pool_status attachment_queue_redeem(struct attachment *attachment, struct pool_run *run, struct queue *queue)
    __attribute__((warn_unused_result));

/* Opens it once more. */
enum pool_status attachment_queue_again(struct attachment *attachment, const struct queue *queue)
    __attribute__((warn_unused_result));

/* Closes it once; the last one in the last process ends it, unless its name keeps it. The caller has ended the messages
 * that it took through it. */
enum pool_status attachment_queue_close(struct attachment *attachment, struct queue *queue)
    __attribute__((warn_unused_result));

/* Puts one reference to the queue in flight, and takes one back. */
enum pool_status attachment_queue_share(struct attachment *attachment, const struct queue *queue)
    __attribute__((warn_unused_result));
bool attachment_queue_withdraw(struct attachment *attachment, const struct queue *queue);

/* Whether the name is a queue's; *kind is which. attachment_forget takes the name away. */
enum pool_status attachment_queue_kind(struct attachment *attachment, const char *name, enum queue_kind *kind)
    __attribute__((warn_unused_result));

/* --- messages --- */

/* As queue_begin, _carry, _put, _take and _end in queue.h. POOL_EXHAUSTED: the annex has no room for the message, as
 * POOL_QUEUE_FULL says of the ring. */
enum pool_status attachment_message_begin(struct attachment *attachment, struct queue *queue, uint32_t kind,
                                          unsigned runs, uint64_t bytes, struct queue_message *message)
    __attribute__((warn_unused_result));
enum pool_status attachment_message_carry(struct attachment *attachment, struct queue *queue,
                                          struct queue_message *message, const struct pool_run *run)
    __attribute__((warn_unused_result));
enum pool_status attachment_message_put(struct attachment *attachment, struct queue *queue,
                                        struct queue_message *message) __attribute__((warn_unused_result));
enum pool_status attachment_message_take(struct attachment *attachment, struct queue *queue,
                                         struct queue_message *message) __attribute__((warn_unused_result));
void attachment_message_end(struct attachment *attachment, struct queue *queue, const struct queue_message *message);

/* As queue_return. */
void attachment_message_return(struct attachment *attachment, struct queue *queue, const struct queue_message *message);

/* Ends the message that was in the way of one that found the queue full, if nobody has taken it since and no reader
 * waits for it; then try again. */
void attachment_queue_drop_oldest(struct attachment *attachment, struct queue *queue,
                                  const struct queue_message *message);

/* Adds a reference of this process to the run of index i that a message carries, which this process took or reads. Of
 * one that is read, POOL_STALE: it was too slow, and the message has ended. */
enum pool_status attachment_message_hold(struct attachment *attachment, const struct queue_message *message, unsigned i,
                                         struct pool_run *run) __attribute__((warn_unused_result));

/* Reads the message of a topic at *position or the first one after it: see queue_find. The caller owes an
 * attachment_message_close. */
enum pool_status attachment_message_read(struct attachment *attachment, struct queue *queue, uint64_t *position,
                                         uint64_t *lost, struct queue_message *message)
    __attribute__((warn_unused_result));
void attachment_message_close(struct attachment *attachment, const struct queue_message *message);

/* As queue_copy. POOL_EXHAUSTED: the copy has too little room. */
enum pool_status attachment_message_copy(const struct attachment *attachment, struct queue *queue, uint64_t *position,
                                         uint64_t *lost, void *copy, uint64_t room, struct queue_message *message)
    __attribute__((warn_unused_result));

/* As queue_subscribe, _advance and _unsubscribe. POOL_FULL: no cursor is free. */
enum pool_status attachment_queue_subscribe(struct attachment *attachment, struct queue *queue, unsigned *cursor,
                                            uint64_t *position) __attribute__((warn_unused_result));
void attachment_queue_advance(struct attachment *attachment, struct queue *queue, unsigned cursor, uint64_t position);
void attachment_queue_unsubscribe(struct attachment *attachment, struct queue *queue, unsigned cursor);

/* As queue_shut and queue_count. */
void attachment_queue_shut(struct attachment *attachment, struct queue *queue, bool for_all);
void attachment_queue_count(const struct attachment *attachment, const struct queue *queue, uint64_t *waiting,
                            uint64_t *taken);

/* --- waiting --- */

enum queue_side { QUEUE_READABLE, QUEUE_WRITABLE };

/* A waiter's steps: try; spin, and try again; then repeat { sequence; try; recover now and then, as who stopped may be
 * dead; sleep }. */

/* Looks at the queue again and again, for at most so long, until there seems to be a message, or room; false if not.
 * Costs its senders nothing. */
bool attachment_queue_spin(const struct attachment *attachment, struct queue *queue, enum queue_side side,
                           double seconds);

/* The same until a topic seems to have a message at that position. */
bool attachment_message_spin(const struct attachment *attachment, struct queue *queue, uint64_t position,
                             double seconds);

/* Sleeps until something changes after `sequence` was asked for, for at most `seconds`; may return early. */
uint32_t attachment_queue_sequence(const struct attachment *attachment, struct queue *queue, enum queue_side side);
void attachment_queue_sleep(const struct attachment *attachment, struct queue *queue, enum queue_side side,
                            uint32_t sequence, double seconds);

/* For event loops: a descriptor that becomes readable when the file of the pool changes, or a negative errno. It is the
 * caller's. It becomes readable for the next message of the queue after attachment_queue_watch, which the caller calls
 * before it looks for messages a last time and then waits. What it reads has no meaning. */
int attachment_watch(struct attachment *attachment);
void attachment_queue_watch(struct attachment *attachment, struct queue *queue);

#endif
