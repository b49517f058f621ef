/* attachment_parts.h: what the files of an attachment share; no other file includes it.
 *
 *     attachment.c  create, attach, leave
 *     claim.c       who makes the pool of a name
 *     queues.c      queues and messages
 *     references.c  allocate, drop, hold, share, redeem, wait: what the process has
 *     recovery.c    what the dead held; the audit
 *     fork.c        the attachments of this process, and what a forked child gets of them
 *     exit.c        leaving them all when the process ends
 *     sweep.c       pools seen from outside: what has a name, removing it, sweeping
 *     gate.c        the gate, and the mutex of this process that goes with it
 *     reserve.c     memory of the segment that is reserved late
 *     descriptor.c  the descriptor by which an attachment reaches its segment
 */
#ifndef BLOCKPOOL_ATTACHMENT_PARTS_H
#define BLOCKPOOL_ATTACHMENT_PARTS_H

#include "shared/attachment.h"

/* --- gate.c --- */

/* The mutex that a thread of this process holds while it is in a gate, while it opens, closes, maps or unmaps anything
 * of a pool, and while it forks. The thread may take it again. Hold it briefly, never while waiting for another
 * process. The second form returns false if other threads had it all the time. */
void gate_mutex_lock(void);
bool gate_mutex_lock_within(double seconds);
void gate_mutex_unlock(void);
/* In a forked child: frees the mutex, because the threads of its parent are gone. */
void gate_mutex_reset_in_child(void);

/* Takes the gate of the attachment's segment; it needs the attachment's file and memory. On POOL_OK the caller owes a
 * gate_leave, and the thread holds the gate mutex until then. With 0 seconds, only tries. */
enum pool_status gate_enter(struct attachment *attachment, double seconds, int *gate, struct pool_failure *failure);
void gate_leave(const struct attachment *attachment, int gate);

/* Tries to take the gate of a segment that this process has not attached, through the description `file` itself. The
 * caller holds the gate mutex, and on POOL_OK owes a gate_give_back. */
enum pool_status gate_try(int file, struct pool_failure *failure);
void gate_give_back(int file);

/* --- descriptor.c --- */

/* Stores the result of opening a file, a descriptor or a negative errno, as the attachment's descriptor. The caller has
 * held the gate mutex since before it opened the file. */
enum pool_status descriptor_keep(struct attachment *attachment, int number, struct pool_failure *failure);

/* Makes sure that the attachment's descriptor belongs to its segment's file, even if the program closed it. The caller
 * holds the gate mutex. */
enum pool_status descriptor_ready(struct attachment *attachment, struct pool_failure *failure);

/* Closes it, unless the number now belongs to another file. */
void descriptor_close(struct attachment *attachment);

/* --- reserve.c --- */

/* Reserves the memory of a part of the segment, both numbers whole pages, so that touching it cannot fail. A part that
 * is there already stays as it is. POOL_NO_ROOM: there is no memory for it. */
enum pool_status attachment_reserve(struct attachment *attachment, uint64_t at, uint64_t bytes,
                                    struct pool_failure *failure) __attribute__((warn_unused_result));

/* --- claim.c --- */

/* Claims the request's name for the pool that the attachment is about to make; its geometry is planned. Waits while
 * another process makes one of that name, but not for ever, and asks `pause` meanwhile. POOL_EXISTS if the name belongs
 * to something that must stay, as attachment_remove_leftover says. Whatever the result, the caller owes a claim_end. */
enum pool_status claim_name(struct attachment *attachment, const struct attachment_request *request,
                            const struct os_pause *pause, struct pool_failure *failure);
void claim_end(struct attachment *attachment, const char *name);

/* In a forked child: closes what it inherited of its parent's claim, which goes on. The caller holds the gate mutex. */
void claim_forget(struct attachment *attachment);

/* --- attachment.c --- */

/* Makes *attachment an attachment to no pool. */
void attachment_reset(struct attachment *attachment);

/* Removes the name of the pool, unless it is permanent or another living process is attached; under the gate. */
void attachment_end_if_last(struct attachment *attachment);

/* Drops everything the process holds. Needs no gate, as no drop by a living process does. */
void attachment_drop_all(struct attachment *attachment);

/* Gives up the slot; under the gate. */
void attachment_free_slot(struct attachment *attachment);

/* The status for a negative errno. */
enum pool_status pool_status_from_errno(int error, struct pool_failure *failure);

/* Validates an open file and copies its geometry. */
enum pool_status attachment_validate(int file, struct os_file *status, struct layout_geometry *geometry,
                                     struct pool_failure *failure);

/* --- recovery.c --- */

/* The slots whose process is known to be dead. The caller holds the gate mutex. */
void attachment_dead_slots(const struct attachment *attachment, struct slot_set *dead);

/* How many used slots have a process that is not known to be dead. Does not wait or take the gate. */
unsigned attachment_living(struct attachment *attachment);

/* Gives back what these slots held, and frees them; under the gate. Returns how many there were. */
unsigned attachment_recover_slots(struct attachment *attachment, const struct slot_set *dead);

/* Drops the account of what was recovered. The caller holds the gate mutex, or is alone. */
void attachment_forget_recovered(struct attachment *attachment);

/* --- queues.c --- */

/* In a forked child that has a part: it has the queues, and none of the messages that its parent reads. */
void attachment_queues_forked(struct attachment *attachment);

/* --- names.c --- */

/* The catalog of the attachment's segment. */
struct catalog attachment_catalog(const struct attachment *attachment);
enum pool_status attachment_catalog_status(enum catalog_status status);

/* --- sweep.c --- */

/* Removes the pool of that name if it is a leftover. POOL_EXISTS if the name belongs to something that must stay;
 * failure->found tells what. */
enum pool_status attachment_remove_leftover(const char *name, double gate_seconds, struct pool_failure *failure);

/* --- fork.c --- */

/* Makes *attachment an attachment to no pool and adds it to those of this process, so that a fork finds everything it
 * opens from now on. Fails if this process could not install its fork handlers. */
enum pool_status attachment_register(struct attachment *attachment, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Removes it from them. The caller holds the gate mutex. */
void attachment_unregister(const struct attachment *attachment);

/* The first attachment of this process; .next leads to the others. The caller holds the gate mutex. */
struct attachment *attachment_first(void);

/* --- references.c --- */

/* The local lock, held for a few dozen instructions that wait for nothing, or across a fork. False if it did not become
 * free soon. */
bool attachment_lock(struct attachment *attachment);
void attachment_unlock(struct attachment *attachment);

/* Calls `visit` for each group of blocks in which this process may hold a run, with its first block and their number.
 * The group is visited again next time if `visit` says that the process holds something there, or if it gets something
 * meanwhile. */
void attachment_visit_groups(struct attachment *attachment,
                             bool visit(struct attachment *attachment, uint64_t first, uint64_t n, unsigned argument),
                             unsigned argument);

#endif
