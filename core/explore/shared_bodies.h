/* shared_bodies.h: what the scenarios of shared pools have in common: their rows in a table, what threads often do, and
 * the mail by which one tells another that it may go on. */
#ifndef BLOCKPOOL_EXPLORE_SHARED_BODIES_H
#define BLOCKPOOL_EXPLORE_SHARED_BODIES_H

#include "scenarios.h"
#include "shared_witness.h"

extern struct pool_run name; /* of the run in question */
extern bool mailed[EXPLORE_THREADS];

/* Allocates a run of n, and drops it if there was one; the second form waits for it. */
void allocate_and_drop(uint64_t n);
void wait_and_drop(uint64_t n);

/* Drops the reference to the run in question; redeems its name or takes one more reference, and drops what it got. */
void drop_name(void);
void redeem_and_drop(void);
void hold_and_drop(void);

/* Thread 0 has ended or died; recovers the dead. */
void recover_after_0(void);

/* Lets the thread go on; waits for that, or until thread 0 dies. */
void mail(unsigned thread);
void await_mail(unsigned thread);
void no_mail(void);

/* For exploration.stopped. */
void stopped(void);

/* Checks: at_rest, and so many calls succeeded. */
void some_succeeded(void);
void two_succeeded(void);

/* The set-up `set_up` as `named`, with those rows. */
#define WITH_ROWS(named, set_up, rows)                                                                                 \
    static void named(void) {                                                                                          \
        witness_rows(rows);                                                                                            \
        set_up();                                                                                                      \
    }

#define DYING(stops_, threads_, set_up_, body_, check_, bound_)                                                        \
    {.threads = threads_,                                                                                              \
     .set_up = set_up_,                                                                                                \
     .body = body_,                                                                                                    \
     .check = check_,                                                                                                  \
     .bound = bound_,                                                                                                  \
     .stops = stops_,                                                                                                  \
     .stopped = stopped}
#define LIVING(threads_, set_up_, body_, check_, bound_) DYING(0, threads_, set_up_, body_, check_, bound_)

#endif
