/* lifetime_scenarios.c: tickets end, while processes share, redeem, drop and reuse the run; what must hold is in
 * shared_witness.h: no ticket is gone whose end has not come, none that has ended stays after a look that nobody
 * disturbed, and the time of the next look is never later than an end.
 */
#include "shared_bodies.h"

#define BEFORE 10u /* what the clock says in the beginning, and later */
#define LATER 100u

/* --- a lifetime that ends --- */

static void set_up_to_share(void) {
    no_mail();
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 2, 1u << 0, 0);
    witness_time(BEFORE);
}

/* 0 sends a ticket to 1 and drops; 2 finds that it has ended. */
static void share_or_redeem_or_end(unsigned thread) {
    if (thread == 0) {
        process_share_for(&name, 1, 5);
        mail(1);
        drop_name();
    } else if (thread == 1) {
        await_mail(1);
        if (mailed[1] && process_redeem(name, true)) {
            process_drop_all();
        }
    } else {
        witness_time(LATER);
        process_end_tickets();
    }
}

/* The receiver never comes, and the blocks are used again. */
static void share_or_reuse_or_end(unsigned thread) {
    if (thread == 0) {
        process_share_for(&name, 1, 5);
        drop_name();
    } else if (thread == 1) {
        allocate_and_drop(3);
    } else {
        witness_time(LATER);
        process_end_tickets();
    }
}

static void set_up_ended(void) {
    no_mail();
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 2, 1u << 0, 1);
    witness_end(&name, LATER - 1);
    witness_time(LATER);
}

/* A ticket with a later end, or with none, is made while the one before it is dropped: it stays. */
static void extend_or_end(unsigned thread) {
    if (thread == 0) {
        process_share_for(&name, 1, 50);
        drop_name();
    } else {
        process_end_tickets();
    }
}

static void share_for_ever_or_end(unsigned thread) {
    if (thread == 0) {
        process_share(&name, 1);
        drop_name();
    } else {
        process_end_tickets();
    }
}

/* As many tickets as before, but not the same. */
static void redeem_and_extend_or_end(unsigned thread) {
    if (thread == 0) {
        if (process_redeem(name, false)) {
            drop_name();
        }
        process_share_for(&name, 1, 50);
        drop_name();
    } else {
        process_end_tickets();
    }
}

/* Two share, one for ever. */
static void set_up_two_holders(void) {
    no_mail();
    witness_begin(2, 0, COARSE);
    name = witness_place(0, 1, 1u << 0 | 1u << 1, 1);
    witness_end(&name, LATER - 1);
    witness_time(LATER);
}

static void two_share_or_end(unsigned thread) {
    if (thread == 2) {
        process_end_tickets();
    } else {
        process_share_for(&name, 1, thread == 0 ? 50 : 0);
        drop_name();
    }
}

static void two_extend_or_end(unsigned thread) {
    if (thread == 2) {
        process_end_tickets();
    } else {
        process_share_for(&name, 1, thread == 0 ? 50 : 40);
        drop_name();
    }
}

/* Two runs: looks at both, while each gets a ticket. */
static struct pool_run second;

static void set_up_two_runs(void) {
    no_mail();
    witness_begin(2, 0, COARSE);
    name = witness_place(0, 1, 1u << 0, 0);
    second = witness_place(1, 1, 1u << 1, 1);
    witness_end(&second, LATER - 1);
    witness_time(LATER);
}

static void share_both_or_end(unsigned thread) {
    if (thread == 2) {
        process_end_tickets();
    } else {
        process_share_for(thread ? &second : &name, 1, thread ? 60 : 50);
        process_drop(thread ? &second : &name);
    }
}

/* The last holder drops, the block is allocated again, and its new ticket lives longer than that of the run before. */
static void set_up_last(void) {
    no_mail();
    witness_begin(1, 0, COARSE);
    name = witness_place(0, 1, 0, 1);
    witness_end(&name, LATER - 1);
    witness_time(LATER);
}

static void reuse_and_share_or_end(unsigned thread) {
    struct pool_run run;
    if (thread == 1) {
        process_end_tickets();
    } else if (process_allocate(1, &run)) {
        process_share_for(&run, 1, 50);
        process_drop(&run);
    }
}

/* The first lifetime in a pool. */
static void set_up_first(void) {
    no_mail();
    witness_begin(2, 0, COARSE);
    name = witness_place(0, 1, 1u << 0, 1);
    second = witness_place(1, 1, 1u << 1, 0);
    witness_time(BEFORE);
}

static void first_or_end(unsigned thread) {
    if (thread == 2) {
        witness_time(LATER);
        process_end_tickets();
    } else {
        process_share_for(thread ? &second : &name, 1, 5); /* that of the other has no end */
        process_drop(thread ? &second : &name);
    }
}

/* --- deaths --- */

/* 0 dies sharing: what it made has an end, and those who need room come to know it. */
static void die_sharing(unsigned thread) {
    if (thread == 0) {
        process_share_for(&name, 1, 50);
        drop_name();
    } else if (thread == 1) {
        recover_after_0();
    } else {
        process_end_tickets();
    }
}

/* The same, and an allocation that finds no room recovers it. */
static void die_sharing_or_allocate(unsigned thread) {
    if (thread == 0) {
        process_share_for(&name, 1, 50);
    } else {
        (void)explore_join(0);
        process_recover_at_once();
    }
}

/* 0 dies dropping what has ended. */
static void die_ending(unsigned thread) {
    if (thread == 0) {
        process_end_tickets();
    } else if (thread == 1) {
        process_share_for(&second, 1, 50);
        process_drop(&second);
    } else {
        recover_after_0();
    }
}

static void set_up_to_die_ending(void) {
    no_mail();
    witness_begin(2, 0, COARSE);
    name = witness_place(0, 1, 0, 1);
    second = witness_place(1, 1, 1u << 1, 1);
    witness_end(&second, LATER + 20);
    witness_end(&name, LATER - 1);
    witness_time(LATER);
}

const struct scenario scenarios[] = {
    {"end", "a ticket ends, while it is made and redeemed",
     LIVING(3, set_up_to_share, share_or_redeem_or_end, at_rest, 2), false},
    {"end_and_reuse", "a ticket ends, and its blocks are allocated",
     LIVING(3, set_up_to_share, share_or_reuse_or_end, at_rest, 2), false},
    {"extend", "a ticket with a later end is made while the one before is dropped",
     LIVING(2, set_up_ended, extend_or_end, at_rest, 5), false},
    {"for_ever", "the same, and it has no end", LIVING(2, set_up_ended, share_for_ever_or_end, at_rest, 5), false},
    {"as_many", "the same, and one is redeemed before", LIVING(2, set_up_ended, redeem_and_extend_or_end, at_rest, 4),
     false},
    {"one_for_ever", "two share, one without an end", LIVING(3, set_up_two_holders, two_share_or_end, at_rest, 2),
     false},
    {"two_extend", "two share, with different ends", LIVING(3, set_up_two_holders, two_extend_or_end, at_rest, 2),
     false},
    {"two_runs", "two runs are shared while a look goes over them",
     LIVING(3, set_up_two_runs, share_both_or_end, at_rest, 2), false},
    {"reuse", "a run ends, and the next one at its block is shared",
     LIVING(2, set_up_last, reuse_and_share_or_end, at_rest, 5), false},
    {"first", "two are the first to use a lifetime, one of a run with a ticket that has none",
     LIVING(3, set_up_first, first_or_end, at_rest, 2), false},
    {"die_sharing", "a death in sharing", DYING(1, 3, set_up_ended, die_sharing, at_rest, 2), false},
    {"die_telling", "the same, and another finds no room",
     DYING(1, 2, set_up_to_share, die_sharing_or_allocate, at_rest, 4), false},
    {"die_ending", "a death in dropping what has ended", DYING(1, 3, set_up_to_die_ending, die_ending, at_rest, 2),
     false},
};

const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;
