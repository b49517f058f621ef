/* queue_witness.h: a few processes with one queue, topic or latest value, what they do, and the book that says what
 * must come of it.
 *
 * A PROCESS is a logical thread with a slot of its own; RESIDENT has none, holds the queue unless told otherwise, and
 * looks at everything in the end. What runs is the library: queue.c, shared_pool.c and bitmap.c, on two small pools,
 * the pool and its annex. The kernel (sleeping and waking), the gate, and the order of a recovery (recovery.c) are
 * played.
 *
 * A STEP is each access to the heads, rows and words of the two pools, to messages, cells and events; of the bitmap,
 * only the first of a call. A process that is stopped forever is dead, and its slot may be recovered.
 *
 * THE BOOK is plain memory: an entry for each message, called a letter here, and for each run of the pool. Each letter
 * has its number in its bytes. What processes do (process_…) looks for faults before and after:
 *
 *   - what is taken was put, and by nobody taken before; or its receiver is dead, the queue redelivers, and it says
 *     AGAIN;
 *   - a letter that stays QUEUED during a whole take is not overtaken by one that was put after it, and the take does
 *     not say EMPTY; a put that says FULL met as many letters as there is room for;
 *   - a letter that is taken or read keeps its bytes and its generation until it is ended or closed;
 *   - a run that a living process holds, or a letter that is to come, is live, and the same;
 *   - a reader finds the next letter that is there, learns exactly how many it has missed, and with a cursor misses
 *     none;
 *   - of a latest value, what a reader finds is no older than what was set before it began to look;
 *   - a put or a take that somebody slept through has woken somebody.
 *
 * At the end (letters_at_rest) the dead are recovered; no word names a dead process, no letter is between two states;
 * both pools are audited; what was put and not received is still there, apart from one letter for each process that
 * died in a call that takes or drops; the queue has exactly as much room as it should; and when all have let go of all,
 * every block of both pools is free.
 */
#ifndef BLOCKPOOL_QUEUE_WITNESS_H
#define BLOCKPOOL_QUEUE_WITNESS_H

#include "scheduler.h"
#include "shared/queue.h"

#define RESIDENT EXPLORE_THREADS
#define PROCESSES (EXPLORE_THREADS + 1)
#define NO_LETTER UINT32_MAX
#define EVERYBODY ((1u << PROCESSES) - 1)

/* --- before a schedule: what every schedule of a scenario begins with --- */

/* Restores what was kept under that name; false when something else was, or nothing. */
bool letters_restore(void (*set_up)(void));
void letters_keep(void (*set_up)(void));

/* An empty queue, which the processes of the mask hold; after `before` letters came and went. */
void letters_begin(const struct queue_request *request, unsigned holders, unsigned before);

/* A run of the pool, which the processes of the mask hold; returns its number. */
unsigned letters_run(unsigned holders);

/* A letter made by the process, which carries the runs of the mask; and put, or not yet. */
unsigned letters_made(unsigned process, unsigned runs);
unsigned letters_put(unsigned process, unsigned runs);

/* A letter that the process took. */
unsigned letters_taken(unsigned process);

/* --- what processes do --- */

/* Makes a letter that carries the runs of the mask. NO_LETTER if the annex has no room. */
unsigned process_make(unsigned runs);

/* Puts it; false if there is no room, and then it is still the caller's. The second form ends it then; the third makes
 * it first. */
bool process_put(unsigned letter);
bool process_put_or_end(unsigned letter);
bool process_send(unsigned runs);

/* Puts it when there is room, sleeping until then. */
void process_wait_put(unsigned letter);

/* NO_LETTER if there is none. */
unsigned process_take(void);

/* Takes a letter, sleeping until there is one. */
unsigned process_wait_take(void);

/* Ends a letter that the process made or took. */
void process_end(unsigned letter);

/* Takes one and ends it; whether there was one. */
bool process_receive(void);

/* Gives a letter that the process took back to the queue. */
void process_return(unsigned letter);

/* Drops what was in the way of the letter, which found no room. */
void process_drop_oldest(unsigned letter);

/* Holds the runs that the letter carries, which the process took or reads; of one that is read, those that are still
 * there. Drops all runs that the process holds. */
void process_hold_runs(unsigned letter);
void process_drop_runs(void);

/* The next letter of a topic at *position or later, held until process_close_letter; NO_LETTER if there is none. */
unsigned process_read(uint64_t *position);
void process_close_letter(unsigned letter);

/* A reader that misses none; false if there are as many as can be. */
bool process_subscribe(unsigned *cursor, uint64_t *position);
void process_advance(unsigned cursor, uint64_t position);
void process_unsubscribe(unsigned cursor);

void process_shut(bool for_all);

/* No longer holds the queue. */
void process_close(void);

/* Makes `child`, which has no part in anything yet, a holder of the queue; it may run from then on. */
void process_fork(unsigned child);

/* Sleeps until this process was forked; false when its parent died before. */
bool process_is_born(unsigned parent);

/* Recovers the dead, under the gate. */
void process_recover(void);

/* Drops the tickets that are older than a second, under the gate: those of letters are not. */
void process_drop_tickets(void);

/* Sleeps until the process has ended or died; then recovers. */
void process_recover_after(unsigned process);

/* Gives back all that the process has, as one that leaves alive. */
void process_leave(void);

/* Audits queues and letters, beside others: finds nothing. */
void process_look(void);

void letters_at_rest(void);

/* For exploration.stopped. */
void letters_stopped(void);

/* How many letters were received, by processes that got to know. */
unsigned letters_received(void);

#endif
