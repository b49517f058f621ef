/* slots.h: the processes attached to a shared pool, whether each is alive, and the gate through which they come and go.
 *
 * A process has a slot. LIVENESS is a lock: the byte that stands for the slot is locked through an open description of the
 * segment that serves nothing else. One page is mapped through that description, not to be inherited by a fork, and
 * the descriptor closed. So the lock lasts as long as this address space, and ends with it, whatever ends it: exit, kill, exec.
 * (A lock through a descriptor would end with the first close of it; through an inherited mapping, or a descriptor in
 * an unread message, it would last too long.)
 *
 * LOOKING needs no description: the segment's own descriptor, which carries no lock, is asked who has the bytes. It must be of
 * the segment's file before and after; else, or when the kernel refuses, nobody is known to be dead: a process is alive, dead or
 * unknown, and only what the dead held may be taken.
 *
 * Taking a slot: first the lock, then the slot's word FREE → USED, giving the lock back if it was not FREE. (The other
 * way round, a recoverer that looks between the two takes the newcomer for dead.) Nobody probes his own slot.
 *
 * A slot is taken under the gate by a process that attaches, and without it by one that forks, for its child: forking must not
 * wait for a gate. So for the holder of the gate a word may go FREE → USED at any time, never the other way. Hence in this order:
 * look who is dead, then who is there. If all that are there are dead, then no child came meanwhile: its parent had taken its slot
 * before it died. And what looks like a holder without a slot is looked at again with the slots of that moment.
 *
 * THE GATE is one more such lock, through a description opened for the gate mutex. A process may be stopped while it holds the gate, so
 * waiting for it has a deadline (gate.c), and the holder's pid stands beside it.
 *
 * A NUMBER MAY BE LOST while it is used: another thread of the program closes it, and opens a file of its own. So what was locked or mapped
 * through a number counts only if that is of the segment's file afterwards too; else it was another file's, and the number is left
 * alone.
 *
 * What opens a description here is called with the process's mutex held (gate.c), which fork takes too: a child that inherited the
 * description would keep its lock, or end it with its own unlock.
 */
#ifndef BLOCKPOOL_SLOTS_H
#define BLOCKPOOL_SLOTS_H

#include "os/file.h"
#include "shared/layout.h"

#define SLOTS_GATE_BYTE 63u
#define SLOTS_NONE UINT32_MAX

/* Tries to lock the gate of the segment in `file`; returns the descriptor that holds it, -EAGAIN when another has it, or another
 * negative errno. */
int slots_gate_try(const struct os_descriptor *file, void *memory);

/* Leaves it. */
void slots_gate_leave(const struct os_descriptor *file, int gate);

/* Takes a free slot for this process (or, for a fork, a child that maps the page itself: then *hold stays NULL and the descriptor
 * in *description stays open). Returns the slot, or SLOTS_NONE when all are taken, *error then 0, or when the kernel
 * refused, *error then a negative errno. For the holder of the gate, or a process that has a slot and takes one for its child. */
unsigned slots_take(const struct os_descriptor *file, void *memory, const struct layout_geometry *geometry, void **hold,
                    int *description, int *error);

/* Frees the slot. The lock ends with the mapping. For the holder of the gate. */
void slots_free(void *memory, const struct layout_geometry *geometry, unsigned slot);

/* Writes who uses the slot, for people. */
void slots_sign(void *memory, const struct layout_geometry *geometry, unsigned slot);

/* A bit for each slot in use. */
uint64_t slots_used(void *memory, const struct layout_geometry *geometry);

/* Sets a bit in *dead for each slot in use whose process is dead; `own`, or SLOTS_NONE, is not looked at. When that is unknown it
 * sets none, and returns a negative errno. */
int slots_dead(const struct os_descriptor *file, void *memory, const struct layout_geometry *geometry, unsigned own,
               uint64_t *dead) __attribute__((warn_unused_result));

#endif
