/* slots.h: the processes attached to a shared pool, whether each is alive, and the gate through which they come and go.
 *
 * A process has a slot. LIVENESS is a lock: the slot's byte is locked through an open description of the segment that
 * has no other use. One page is mapped through that description, so that forks do not inherit it, and the descriptor is
 * closed. So the lock ends with this address space, whatever ends that: exit, kill, exec. (A lock held through a
 * descriptor would end when anything closed that; through an inherited mapping, or a descriptor in an unread message,
 * it would last too long.)
 *
 * LOOKING needs no description of its own: the kernel is asked about the bytes through the segment's descriptor, which
 * carries no lock. That must belong to the segment's file before and after; otherwise, or if the kernel refuses, no
 * process is known to be dead. A process is alive, dead or unknown, and only what the dead held may be taken.
 *
 * Taking a slot: first the lock, then the slot's bit, giving the lock back if it was set already. (The other
 * way round, a recovery that looks between the two would take the newcomer for dead.) No process probes its own slot.
 *
 * A process that attaches takes a slot under the gate. A process that forks takes one for its child without it, because
 * a fork must not wait for a gate. So to the holder of the gate, a bit may be set at any time, never cleared.
 * Hence the order: first look which processes are dead, then which slots are used. If all used slots belong to the
 * dead, no child has come meanwhile, because its parent took the slot before dying. And a reference of a slot that
 * seems free is checked again against the slots then in use.
 *
 * THE GATE is one more such lock, through a description opened under the gate mutex. A process may be stopped while it
 * holds the gate, so waiting has a deadline (gate.c), and the holder's pid is recorded beside it.
 *
 * A NUMBER MAY BE LOST while it is used: another thread of the program closes it and opens some other file. So a lock
 * or mapping made through a number counts only if the number still belongs to the segment's file afterwards; if not,
 * the number is left alone.
 *
 * Functions that open a description need the gate mutex (gate.c), which fork takes too: a child that inherited the
 * description would keep its lock alive, or end it by unlocking.
 */
#ifndef BLOCKPOOL_SLOTS_H
#define BLOCKPOOL_SLOTS_H

#include "os/file.h"
#include "shared/layout.h"

#define SLOTS_GATE_BYTE 63u /* in every version of the layout */
#define SLOTS_BYTE(slot) (UINT64_C(64) + (slot))
#define SLOTS_NONE LEDGER_NOBODY

/* Tries to lock the gate of the segment in `file`; returns the descriptor that holds it, -EAGAIN if another process has
 * it, or another negative errno. */
int slots_gate_try(const struct os_descriptor *file, void *memory);

/* Leaves it. */
void slots_gate_leave(const struct os_descriptor *file, int gate);

/* Takes a free slot for this process. For a fork, with `hold` NULL, takes it for a child that will map the page itself;
 * then the descriptor in *description stays open. Returns the slot; or SLOTS_NONE, with *error 0 if all are taken, or a
 * negative errno if the kernel refused. The caller holds the gate, or has a slot and takes one for its child. */
unsigned slots_take(const struct os_descriptor *file, void *memory, const struct layout_geometry *geometry, void **hold,
                    int *description, int *error);

/* Frees the slot; the lock ends with the mapping. The caller holds the gate. */
void slots_free(void *memory, unsigned slot);

/* Records that the process in the slot is at its end, so it no longer keeps the pool's name. It keeps the slot, and
 * what it holds: its other threads may use the memory until its lock ends. Of processes that end at the same time, each
 * still finds the locks of the others, so without this none would be the last. */
void slots_end(void *memory, unsigned slot);

/* Records which process uses the slot, for people to read. */
void slots_sign(void *memory, unsigned slot);

/* Which slots are in use. */
void slots_used(void *memory, const struct layout_geometry *geometry, struct slot_set *used);

/* Whether a slot other than `own` has a process that is neither known to be dead nor at its end. Ends at the first one,
 * so it is quick among many. The caller holds the gate. */
bool slots_have_others(const struct os_descriptor *file, void *memory, const struct layout_geometry *geometry,
                       unsigned own);

/* Puts each used slot whose process is dead into *dead, except the slot `own` (or SLOTS_NONE). If that cannot be known,
 * puts none and returns a negative errno. */
int slots_dead(const struct os_descriptor *file, void *memory, const struct layout_geometry *geometry, unsigned own,
               struct slot_set *dead) __attribute__((warn_unused_result));

#endif
