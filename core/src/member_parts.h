/* member_parts.h: what the files of a membership share; nobody else includes it.
 *
 *     member.c      create, attach, leave: who is in
 *     references.c  allocate, drop, hold, share, redeem, wait: what the process has
 *     recovery.c    what the dead held; the audit
 *     fork.c        the memberships of this process, and what a forked child gets of them
 *     exit.c        leaving them all when the process ends
 *     sweep.c       pools seen from outside: what has a name, removing it, sweeping
 *     gate.c        the gate, and the mutex of this process that goes with it
 *     descriptor.c  the descriptor by which a member reaches its segment
 */
#ifndef BLOCKPOOL_MEMBER_PARTS_H
#define BLOCKPOOL_MEMBER_PARTS_H

#include "member.h"

/* --- gate.c --- */

/* The mutex that a thread of this process holds while it is in a gate, or opens, closes, maps or unmaps anything of a pool; and while it
 * forks. Its thread may take it again. For short work: never while it waits for another process. The second form is false when others had it all the time. */
void turn_take(void);
bool turn_take_within(double seconds);
void turn_end(void);
/* The forked child's mutex is free, as the threads of its parent are gone. */
void turn_begin_in_child(void);

/* Takes the gate of the member's segment, which needs its file and memory; on MEMBER_OK *gate is to be left, and until then the
 * thread has the turn. 0 seconds only tries. */
enum member_status gate_enter(struct member *member, double seconds, int *gate, struct member_failure *failure);
void gate_leave(const struct member *member, int gate);

/* Tries to take the gate of a segment through the description `file` itself, for who has the turn and looks at it from outside; on
 * MEMBER_OK it is to be given back. */
enum member_status gate_try(int file, struct member_failure *failure);
void gate_give_back(int file);

/* --- descriptor.c --- */

/* Makes what was opened, or an error of opening, the member's descriptor; for who has the turn since before it was opened. */
enum member_status descriptor_keep(struct member *member, int number, struct member_failure *failure);

/* Sees to it that the member's descriptor is of its segment's file, though the program closed it; for who has the turn. */
enum member_status descriptor_ready(struct member *member, struct member_failure *failure);

/* Closes it, unless the number is another file's now. */
void descriptor_close(struct member *member);

/* --- member.c --- */

/* Makes *member a membership in nothing. */
void member_reset(struct member *member);

/* Removes the name of the pool if no other process lives that has it, and it is not permanent; under the gate. */
void member_end_if_last(struct member *member);

/* Drops all that the process holds. Needs no gate: so does any living process. */
void member_drop_all(struct member *member);

/* Gives up the slot; under the gate. */
void member_free_slot(struct member *member);

/* The status that an error of the kernel is. */
enum member_status member_refused(int error, struct member_failure *failure);

/* Judges an open file and copies its geometry. */
enum member_status member_judge(int file, struct os_file *status, struct segment_geometry *geometry,
                                struct member_failure *failure);

/* --- recovery.c --- */

/* A bit for each slot whose process is known to be dead; for who has the turn. */
uint64_t member_dead_slots(const struct member *member);

/* A bit for each slot whose process is not known to be dead. Waits for nobody, and does not take the gate. */
uint64_t member_living_slots(struct member *member);

/* Brings back what these slots held, and frees them; under the gate. Returns how many there were. */
unsigned member_recover_slots(struct member *member, uint64_t dead);

/* --- sweep.c --- */

/* Removes the pool of that name if it is a leftover. MEMBER_EXISTS when something has the name that is to stay: failure->found
 * tells what. */
enum member_status member_remove_leftover(const char *name, double gate_seconds, struct member_failure *failure);

/* --- fork.c --- */

/* Makes *member a membership in nothing, and one of those of this process, so that a fork finds whatever it opens from now on. Fails
 * when this process cannot take care of its forks. */
enum member_status member_begin(struct member *member, struct member_failure *failure)
    __attribute__((warn_unused_result));

/* It is none of them any more. The mutex is held. */
void member_strike(const struct member *member);

/* The first membership of this process; .next leads to the others. The mutex is held. */
struct member *member_first(void);

/* --- references.c --- */

/* The local lock: a few dozen instructions, in which the holder needs nobody; or a fork. False when it was not to be had soon. */
bool member_lock(struct member *member);
void member_unlock(struct member *member);

#endif
