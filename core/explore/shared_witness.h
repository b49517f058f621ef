/* shared_witness.h: a few processes in one shared pool, what they do, and the book that says what each must hold.
 *
 * A PROCESS is an attachment (attachment.h) in a pool of the explored kernel's (kernel.h), with a logical thread or
 * several; RESIDENT holds what it was given and does nothing. What runs is the library: shared_pool, bitmap, catalog,
 * slots, layout, attachment, references, names, recovery and fork. The search provides the kernel and, in place of
 * gate.c, the gate and its mutex (a real mutex would stop all logical threads).
 *
 * THE BOOK is plain memory: an entry for each allocated run, with the references of each process and the tickets in
 * flight. A call that gives a reference is entered when it returns, one that drops a reference before it begins: during
 * the call the run may already belong to another process. A call that a stop cut short may or may not have taken
 * effect: then the book has the fewest and the most tickets. The dead have nothing. Of each name the book has every run
 * that it was given, with when that call began and ended; so it tells which of them a reader may find.
 *
 * What a process does (process_…) looks for faults before and after: a run it gets overlaps no other; a run it holds
 * has its word or its bit in the row, its record and tails; no other process holds a run that it frees; a stale name
 * gives nothing; generations only rise; an audit finds nothing, whatever others are doing. At the end (at_rest) the
 * dead are recovered; heads, rows, bitmap, slots and catalog must say what the book says: no slot has its bit in any
 * other row, that of a free block included, and nothing is about to be made, asked or freed; the audit finds nothing,
 * nor anything in transit; and when all have dropped what they hold, every word is FREE, every bit clear, and one run
 * of all blocks can be had.
 */
#ifndef BLOCKPOOL_SHARED_WITNESS_H
#define BLOCKPOOL_SHARED_WITNESS_H

#include "kernel.h"
#include "shared/attachment.h"
#include "steps.h"

/* How the next witness_begin and its witness_place make a pool and its runs: with ONE_WORD if not told. With rows of
 * one word, process 0, 1, 2 has slot 0, 1, 2; with two words, they lie in both. The first process that holds a run
 * placed is its owner, unless they all hold it by their bits. */
enum rows { ONE_WORD, ONE_WORD_BITS, TWO_WORDS, TWO_WORDS_BITS };
void witness_rows(enum rows rows);

/* Makes a pool of free blocks. Process 0, 1, 2 and RESIDENT have slots, except those of the mask `absent`. `grain` is
 * that of bitmap.c. */
void witness_begin(uint64_t blocks, unsigned absent, enum grain grain);

/* Makes the thread one of that process. */
void witness_same_process(unsigned thread, unsigned process);

/* A run that the processes of the mask already hold, with that many tickets in flight. */
struct pool_run witness_place(uint64_t head, uint64_t n, unsigned holders, unsigned tickets);

/* Gives it a name, see process_keep; and the process drops its reference. */
void witness_name(const struct pool_run *run, unsigned name);
void witness_drop(const struct pool_run *run, unsigned process);

/* Its tickets end then. */
void witness_end(const struct pool_run *run, uint32_t end);

/* Makes the bit of a used block wrong. */
void witness_clear_bit(uint64_t block);

/* Names of two words each: the third begins like the first and ends like the second. */
#define WITNESS_NAMES 3u

/* How many calls got what they wanted: allocations and redemptions. */
extern unsigned succeeded;

/* False when there is no such run. */
bool process_allocate(uint64_t n, struct pool_run *run);
void process_drop(const struct pool_run *run);

/* True when this freed it. */
bool process_drop_last(const struct pool_run *run);
void process_share(const struct pool_run *run, unsigned n);
void process_share_for(const struct pool_run *run, unsigned n, uint32_t lifetime);

/* Redeems a ticket that is in flight for this process, or (`rightful` false) a name. False when it is stale. */
bool process_redeem(struct pool_run run, bool rightful);

/* One reference more, by a name. False when it is stale. */
bool process_hold(struct pool_run run);

/* Gives the name, one of WITNESS_NAMES, to a run that the process holds; false if a run has it, without `replace`. */
bool process_keep(const struct pool_run *run, unsigned name, bool replace);

/* Takes the name away; false if no run has it. */
bool process_forget(unsigned name);

/* One reference to the run that has the name; false if none has. */
bool process_get(unsigned name);

/* Drops everything the process holds. */
void process_drop_all(void);

/* Makes `child`, which has no slot yet, a holder of all that this process holds; it may run from then on. */
void process_fork(unsigned child);

/* Sleeps until this process was forked; false when its parent died before. */
bool process_is_born(unsigned parent);

/* Recovers what the dead hold; the second form as an allocation does that finds no room. */
void process_recover(void);
void process_recover_at_once(void);

/* Recovers, and attaches by the name. False when there is no pool of that name. */
bool process_attach(void);

/* Leaves, with what it holds. */
void process_leave(void);

/* Removes the name, and gives it to another pool. */
void process_replace(void);

/* Drops the tickets that have ended, under the gate. */
void process_end_tickets(void);

/* Drops the tickets made at `before` or earlier, under the gate. */
void process_drop_tickets(uint32_t before);

/* Audits: finds nothing. The second form takes no gate and changes nothing. */
void process_check(void);
void process_look(void);

/* What the clock says from now on. */
void witness_time(uint32_t now);

/* Allocates a run of n, waiting for it without a limit. */
void process_wait(uint64_t n, struct pool_run *run);

void at_rest(void);

/* For exploration.stopped: wakes processes that wait for the gate or to be forked. */
void witness_stopped(void);

#endif
