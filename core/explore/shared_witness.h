/* shared_witness.h: a few processes in one shared pool, what they do, and the book that says who must hold what.
 *
 * A PROCESS is a logical thread with a slot and a view of its own. One that is stopped for ever is dead; others find that out as
 * by its lock (explore_join, explore_stopped). RESIDENT is a process that holds what it was given and does nothing.
 *
 * THE BOOK is plain memory: an entry for each run that anybody was given, with its holders and the tickets in flight. Threads
 * switch only before atomic accesses, so an entry is made in the same breath as the access that decided. A call that a stop
 * cut short may have taken effect or not: then the book knows the fewest and the most tickets.
 *
 * What a process does (process_…) looks for faults before and after: a run given to it overlaps nobody's; a run that it holds has
 * its word, record and tails; a run that it frees is held by nobody else; a stale name gives nothing; generations only rise.
 * At the end (at_rest) the dead are recovered, ledger and bitmap must say what the book says, shared_check finds nothing;
 * and when all have dropped what they hold, every word is FREE, every bit clear, and one run of all blocks can be had.
 */
#ifndef BLOCKPOOL_SHARED_WITNESS_H
#define BLOCKPOOL_SHARED_WITNESS_H

#include "scheduler.h"
#include "shared.h"

#define RESIDENT EXPLORE_THREADS /* the process that is no thread; its slot is the same number */
#define PROCESSES (EXPLORE_THREADS + 1)
#define WITNESS_BLOCKS 128u

/* How fine a call of bitmap.c is cut: into all its accesses, or one step before it. The bitmap is explored by itself (main.c), so
 * most scenarios here leave it whole. */
enum grain { COARSE, FINE };

/* Makes a pool of free blocks; process 0, 1, 2 has slot 0, 1, 2, except those of the mask `absent`, which have none. */
void witness_begin(uint64_t blocks, unsigned absent, enum grain grain);

/* A run that the processes of the mask hold since before, with so many tickets in flight. */
struct shared_run witness_place(uint64_t head, uint64_t n, unsigned holders, unsigned tickets);

/* The name of a run that was at the block before: stale. */
struct shared_run witness_stale(uint64_t head);

/* Makes the bit of a used block wrong. */
void witness_clear_bit(uint64_t block);

/* How many calls got what they wanted: allocations and redemptions. */
extern unsigned succeeded;

/* False when there is no such run. */
bool process_allocate(uint64_t n, struct shared_run *run);
void process_drop(const struct shared_run *run);

/* True when this freed it. */
bool process_drop_last(const struct shared_run *run);
void process_share(const struct shared_run *run, unsigned n);

/* Redeems a ticket that is in flight for this process, or (`rightful` false) a name. False when it is stale. */
bool process_redeem(struct shared_run run, bool rightful);

/* Drops all that the process holds. */
void process_drop_all(void);

/* Makes `child`, which has no slot yet, a holder of all that this process holds; it may run from then on. */
void process_fork(unsigned child);

/* Sleeps until this process was forked; false when its parent died before. */
bool process_is_born(unsigned parent);

/* Brings back what the dead hold, as recover_slots of member.c does, under the gate. */
void process_recover(void);

/* Recovers, and takes the first free slot, as join of member.c does. */
void process_attach(void);

/* Drops the tickets made at `before` or earlier, under the gate. */
void process_drop_tickets(uint32_t before);

/* Tickets that the process shares from now on are of that time. */
void witness_time(uint32_t now);

/* Allocates a run of n, waiting for it without a limit. */
void process_wait(uint64_t n, struct shared_run *run);

/* The view of the process that runs now. */
struct shared *process_view(void);

void at_rest(void);

/* For exploration.stopped: who waits for the gate or to be born looks again. */
void witness_stopped(void);

#endif
