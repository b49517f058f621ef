/* slots.h: the processes attached to a shared pool, whether each is alive, and the gate through which they come and go.
 *
 * A process has a slot. LIVENESS is a lock: the byte that stands for the slot is locked through an open description of the
 * segment that serves nothing else. One page is mapped through that description, not to be inherited by a fork, and
 * the descriptor closed. So the lock lasts as long as this address space, and ends with it, whatever ends it: exit, kill, exec.
 * (A lock through a descriptor would end with the first close of it; through an inherited mapping, or a descriptor in
 * an unread message, it would last too long.)
 *
 * Taking a slot: first the lock, then the slot's word FREE → USED, giving the lock back if it was not FREE. (The other
 * way round, a recoverer that looks between the two takes the newcomer for dead.) Nobody probes his own slot.
 *
 * THE GATE is one more such lock, through a description opened for the turn, and inside the process a mutex that fork takes
 * too: these locks do not exclude threads, and a forked child's unlock would drop its parent's. Whoever holds the gate may
 * be stopped, so waiting for it has a deadline, and the holder's pid stands beside it.
 */
#ifndef BLOCKPOOL_SLOTS_H
#define BLOCKPOOL_SLOTS_H

#include "os_shm.h"
#include "segment.h"

#define SLOTS_GATE_BYTE 63u
#define SLOTS_NONE UINT32_MAX

/* Locks the gate of the segment in `file` within so many seconds; returns the descriptor that holds it, -EAGAIN when somebody
 * else had it all the time, or another negative errno. */
int slots_gate_enter(int file, void *memory, double seconds);

/* Leaves it. */
void slots_gate_leave(int gate);

/* Takes a free slot for this process (or, for a fork, a child that maps the page itself: then *hold stays NULL and the descriptor
 * in *description stays open). Returns the slot, or SLOTS_NONE when all are taken, *error then 0, or when the kernel
 * refused, *error then a negative errno. For the holder of the gate. */
unsigned slots_take(int file, void *memory, const struct segment_geometry *geometry, void **hold, int *description,
                    int *error);

/* Frees the slot. The lock ends with the mapping. For the holder of the gate. */
void slots_free(void *memory, const struct segment_geometry *geometry, unsigned slot);

/* Writes who uses the slot, for people. */
void slots_sign(void *memory, const struct segment_geometry *geometry, unsigned slot);

/* A bit for each slot in use. */
uint64_t slots_used(void *memory, const struct segment_geometry *geometry);

/* A bit for each slot in use whose process is dead; `own`, or SLOTS_NONE, is not looked at. */
uint64_t slots_dead(int file, void *memory, const struct segment_geometry *geometry, unsigned own);

#endif
