/* shared_bodies.c: see shared_bodies.h. */
#include "shared_bodies.h"

struct pool_run name;
bool mailed[EXPLORE_THREADS];

void allocate_and_drop(uint64_t n) {
    struct pool_run run;
    if (process_allocate(n, &run)) {
        process_drop(&run);
    }
}

void wait_and_drop(uint64_t n) {
    struct pool_run run;
    process_wait(n, &run);
    process_drop(&run);
}

void drop_name(void) { process_drop(&name); }

void redeem_and_drop(void) {
    if (process_redeem(name, false)) {
        process_drop(&name);
    }
}

void hold_and_drop(void) {
    if (process_hold(name)) {
        process_drop(&name);
    }
}

void recover_after_0(void) {
    (void)explore_join(0);
    process_recover();
}

void mail(unsigned thread) {
    mailed[thread] = true;
    explore_wake(&mailed[thread]);
}

void await_mail(unsigned thread) {
    unsigned step;
    while (!mailed[thread] && !explore_stopped(0, &step)) {
        explore_sleep(&mailed[thread]);
    }
}

void no_mail(void) {
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        mailed[t] = false;
    }
}

void stopped(void) {
    witness_stopped();
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        explore_wake(&mailed[t]);
    }
}

static void at_least_succeeded(unsigned least) {
    at_rest();
    if (succeeded < least) {
        explore_fail("%u calls succeeded", succeeded);
    }
}

void some_succeeded(void) { at_least_succeeded(1); }
void two_succeeded(void) { at_least_succeeded(2); }
