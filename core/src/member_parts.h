/* member_parts.h: what the files of a membership share; nobody else includes it.
 *
 *     member.c      create, attach, leave: who is in
 *     references.c  allocate, drop, hold, share, redeem, wait: what the process has
 *     recovery.c    what the dead held; the audit
 *     fork.c        the two halves of a fork
 *     sweep.c       pools that nobody has open any more
 *     gate.c        the gate, and the mutex of this process that goes with it
 */
#ifndef BLOCKPOOL_MEMBER_PARTS_H
#define BLOCKPOOL_MEMBER_PARTS_H

#include "member.h"

/* --- gate.c --- */

/* The mutex that threads of this process take before any gate; fork takes it too. False when it was not to be had in time. */
bool turn_take(double seconds);
void turn_end(void);
/* The same for the forking thread, however long it takes; and for its child, whose threads are gone. */
void turn_take_for_fork(void);
void turn_begin_in_child(void);

/* Takes the gate of a segment; on MEMBER_OK *gate is to be left. */
enum member_status gate_enter(int file, void *memory, double seconds, int *gate, struct member_failure *failure);
void gate_leave(int gate);

/* --- member.c --- */

/* Makes *member a membership in nothing. */
void member_reset(struct member *member);

/* The status that an error of the kernel is. */
enum member_status member_refused(int error, struct member_failure *failure);

/* Removes the pool of that name if it is a leftover: attaching finds that out. */
enum member_status member_sweep_name(const char *name, double gate_seconds, struct member_failure *failure);

/* --- recovery.c --- */

/* A bit for each slot whose process is dead. */
uint64_t member_dead_slots(const struct member *member);

/* Brings back what these slots held, and frees them; under the gate. Returns how many there were. */
unsigned member_recover_slots(struct member *member, uint64_t dead);

/* --- references.c --- */

/* The local lock: a few dozen instructions, in which the holder needs nobody; or a fork. False when it was not to be had soon. */
bool member_lock(struct member *member);
void member_unlock(struct member *member);

#endif
