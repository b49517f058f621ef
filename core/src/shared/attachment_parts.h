/* attachment_parts.h: what the files of an attachment share; nobody else includes it.
 *
 *     attachment.c      create, attach, leave: who is in
 *     references.c  allocate, drop, hold, share, redeem, wait: what the process has
 *     recovery.c    what the dead held; the audit
 *     fork.c        the attachments of this process, and what a forked child gets of them
 *     exit.c        leaving them all when the process ends
 *     sweep.c       pools seen from outside: what has a name, removing it, sweeping
 *     gate.c        the gate, and the mutex of this process that goes with it
 *     descriptor.c  the descriptor by which an attachment reaches its segment
 */
#ifndef BLOCKPOOL_ATTACHMENT_PARTS_H
#define BLOCKPOOL_ATTACHMENT_PARTS_H

#include "shared/attachment.h"

/* --- gate.c --- */

/* The mutex that a thread of this process holds while it is in a gate, or opens, closes, maps or unmaps anything of a pool; and while it
 * forks. Its thread may take it again. For short work: never while it waits for another process. The second form is false when others had it all the time. */
void gate_mutex_lock(void);
bool gate_mutex_lock_within(double seconds);
void gate_mutex_unlock(void);
/* The forked child's mutex is free, as the threads of its parent are gone. */
void gate_mutex_reset_in_child(void);

/* Takes the gate of the attachment's segment, which needs its file and memory; on POOL_OK *gate is to be left, and until then the
 * thread holds the gate mutex. 0 seconds only tries. */
enum pool_status gate_enter(struct attachment *attachment, double seconds, int *gate, struct pool_failure *failure);
void gate_leave(const struct attachment *attachment, int gate);

/* Tries to take the gate of a segment through the description `file` itself, for who holds the gate mutex and looks at it from outside; on
 * POOL_OK it is to be given back. */
enum pool_status gate_try(int file, struct pool_failure *failure);
void gate_give_back(int file);

/* --- descriptor.c --- */

/* Makes what was opened, or an error of opening, the attachment's descriptor; for who holds the gate mutex since before it was opened. */
enum pool_status descriptor_keep(struct attachment *attachment, int number, struct pool_failure *failure);

/* Sees to it that the attachment's descriptor is of its segment's file, though the program closed it; for who holds the gate mutex. */
enum pool_status descriptor_ready(struct attachment *attachment, struct pool_failure *failure);

/* Closes it, unless the number is another file's now. */
void descriptor_close(struct attachment *attachment);

/* --- attachment.c --- */

/* Makes *attachment an attachment in nothing. */
void attachment_reset(struct attachment *attachment);

/* Removes the name of the pool if no other process lives that has it, and it is not permanent; under the gate. */
void attachment_end_if_last(struct attachment *attachment);

/* Drops all that the process holds. Needs no gate: so does any living process. */
void attachment_drop_all(struct attachment *attachment);

/* Gives up the slot; under the gate. */
void attachment_free_slot(struct attachment *attachment);

/* The status that an error of the kernel is. */
enum pool_status pool_status_from_errno(int error, struct pool_failure *failure);

/* Judges an open file and copies its geometry. */
enum pool_status attachment_validate(int file, struct os_file *status, struct layout_geometry *geometry,
                                     struct pool_failure *failure);

/* --- recovery.c --- */

/* A bit for each slot whose process is known to be dead; for who holds the gate mutex. */
uint64_t attachment_dead_slots(const struct attachment *attachment);

/* A bit for each slot whose process is not known to be dead. Waits for nobody, and does not take the gate. */
uint64_t attachment_living_slots(struct attachment *attachment);

/* Brings back what these slots held, and frees them; under the gate. Returns how many there were. */
unsigned attachment_recover_slots(struct attachment *attachment, uint64_t dead);

/* --- sweep.c --- */

/* Removes the pool of that name if it is a leftover. POOL_EXISTS when something has the name that is to stay: failure->found
 * tells what. */
enum pool_status attachment_remove_leftover(const char *name, double gate_seconds, struct pool_failure *failure);

/* --- fork.c --- */

/* Makes *attachment an attachment in nothing, and one of those of this process, so that a fork finds whatever it opens from now on. Fails
 * when this process cannot take care of its forks. */
enum pool_status attachment_register(struct attachment *attachment, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* It is none of them any more. The mutex is held. */
void attachment_unregister(const struct attachment *attachment);

/* The first attachment of this process; .next leads to the others. The mutex is held. */
struct attachment *attachment_first(void);

/* --- references.c --- */

/* The local lock: a few dozen instructions, in which the holder needs nobody; or a fork. False when it was not to be had soon. */
bool attachment_lock(struct attachment *attachment);
void attachment_unlock(struct attachment *attachment);

#endif
