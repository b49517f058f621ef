/* name_scenarios.c: runs get names, lose them and are found by them, in a shared pool; what must hold is in
 * shared_witness.h: what a name gives is a run that had the name during the call, whole; a run that has a name is
 * there.
 *
 * In each, block 0 is the run in question, and block 1 another one; there is a third block.
 */
#include "shared_bodies.h"

static struct pool_run other;

/* 0 holds both runs. */
static void set_up_both(void) {
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 1, 1u << 0, 0);
    other = witness_place(1, 1, 1u << 0, 0);
}

/* And the first one has name 0. */
static void set_up_named(void) {
    set_up_both();
    witness_name(&name, 0);
}
WITH_ROWS(set_up_named_bits, set_up_named, ONE_WORD_BITS)
WITH_ROWS(set_up_named_two, set_up_named, TWO_WORDS)

/* And nobody but the catalog holds it. */
static void set_up_kept(void) {
    set_up_named();
    witness_drop(&name, 0);
}
WITH_ROWS(set_up_kept_two, set_up_kept, TWO_WORDS)

static void get_and_drop(unsigned number) {
    if (process_get(number)) {
        process_drop_all();
    }
}

static void keep_and_drop(unsigned thread) {
    if (thread == 0) {
        (void)process_keep(&name, 0, false);
        drop_name();
    } else {
        get_and_drop(0);
    }
}

/* The other run gets the name of the first. */
static void replace(unsigned thread) {
    if (thread == 0) {
        (void)process_keep(&other, 0, true);
        process_drop_all();
    } else {
        get_and_drop(0);
    }
}

/* And the first one's block is used again. */
static void replace_and_reuse(unsigned thread) {
    if (thread == 0) {
        (void)process_keep(&other, 0, true);
        allocate_and_drop(1);
    } else {
        get_and_drop(0);
    }
}

static void forget(unsigned thread) {
    if (thread == 0) {
        (void)process_forget(0);
    } else {
        get_and_drop(0);
    }
}

static void forget_and_reuse(unsigned thread) {
    if (thread == 0) {
        (void)process_forget(0);
        allocate_and_drop(1);
        allocate_and_drop(1);
    } else {
        get_and_drop(0);
    }
}

/* The block that lost its name is allocated again, and gets it back. */
static void forget_and_keep_again(unsigned thread) {
    struct pool_run run;
    if (thread == 0) {
        (void)process_forget(0);
        if (process_allocate(1, &run)) {
            (void)process_keep(&run, 0, false);
            process_drop(&run);
        }
    } else {
        get_and_drop(0);
    }
}

/* The entry of the name gets another one; nobody finds the beginning of one with the end of the other. */
static void forget_and_rename(unsigned thread) {
    if (thread == 0) {
        (void)process_forget(0);
        (void)process_keep(&other, 1, false);
    } else if (thread == 1) {
        get_and_drop(2);
    } else {
        get_and_drop(1);
    }
}

/* Two want the same name for different runs. */
static void set_up_one_each(void) {
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 1, 1u << 0, 0);
    other = witness_place(1, 1, 1u << 1, 0);
}

static void both_keep(unsigned thread) {
    if (thread == 2) {
        get_and_drop(0);
    } else {
        (void)process_keep(thread ? &other : &name, 0, false);
        process_drop_all();
    }
}

static void both_replace(unsigned thread) {
    if (thread == 2) {
        get_and_drop(0);
    } else {
        (void)process_keep(thread ? &other : &name, 0, true);
        process_drop_all();
    }
}

static void replace_or_forget(unsigned thread) {
    if (thread == 0) {
        (void)process_keep(&other, 0, true);
        process_drop_all();
    } else if (thread == 1) {
        (void)process_forget(0);
    } else {
        get_and_drop(0);
    }
}

/* The run has two names: it stays until both are gone. */
static void set_up_two_names(void) {
    set_up_named();
    witness_name(&name, 1);
    witness_drop(&name, 0);
}

static void forget_both(unsigned thread) {
    if (thread == 2) {
        get_and_drop(1);
    } else {
        (void)process_forget(thread);
    }
}

/* The catalog's hold is the last one, or a holder's: the run in question loses its name, its holder and a ticket. */
static void forget_or_drop_or_redeem(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else if (thread == 1) {
        (void)process_forget(0);
    } else {
        redeem_and_drop();
    }
}

static void free_or_forget(unsigned thread) {
    if (thread == 0) {
        if (!process_drop_last(&name)) {
            drop_name();
        }
    } else if (thread == 1) {
        (void)process_forget(0);
    } else {
        get_and_drop(0);
    }
}

static void replace_or_look(unsigned thread) {
    if (thread == 0) {
        (void)process_keep(&other, 0, true);
        (void)process_forget(0);
        (void)process_keep(&other, 0, false);
    } else {
        process_look();
    }
}

/* --- forks, leaving --- */

static void set_up_kept_and_child(void) {
    witness_begin(3, 1u << 1, COARSE);
    name = witness_place(0, 1, 1u << 0, 0);
    other = witness_place(1, 1, 1u << 2, 0);
    witness_name(&name, 0);
}

static void fork_or_replace(unsigned thread) {
    if (thread == 0) {
        process_fork(1);
        process_drop_all();
    } else if (thread == 2) {
        (void)process_keep(&other, 0, true);
        process_drop_all();
    } else if (process_is_born(0)) {
        process_drop_all();
    }
}

static void leave_or_get(unsigned thread) {
    if (thread == 0) {
        process_leave();
    } else {
        get_and_drop(0);
    }
}

/* --- death: 0 dies in it, 1 recovers and looks, 2 looks meanwhile --- */

static void die_and_get(unsigned thread) {
    if (thread == 1) {
        recover_after_0();
    }
    get_and_drop(0);
}

static void die_keeping(unsigned thread) {
    if (thread == 0) {
        (void)process_keep(&name, 0, false);
        drop_name();
    } else {
        die_and_get(thread);
    }
}

static void die_replacing(unsigned thread) {
    if (thread == 0) {
        (void)process_keep(&other, 0, true);
        process_drop_all();
    } else {
        die_and_get(thread);
    }
}

static void die_forgetting(unsigned thread) {
    if (thread == 0) {
        (void)process_forget(0);
    } else {
        die_and_get(thread);
    }
}

/* 0 dies naming a run; 1 gives its own run a name, in the entry that 0 was writing. */
static void die_keeping_and_keep(unsigned thread) {
    if (thread == 0) {
        (void)process_keep(&name, 0, false);
    } else if (thread == 1) {
        recover_after_0();
        (void)process_keep(&other, 1, false);
        process_drop_all();
    } else {
        get_and_drop(1);
    }
}

/* The recoverer dies too. */
static void recoverer_dies(unsigned thread) {
    if (thread == 0) {
        (void)process_forget(0);
    } else if (thread == 1) {
        recover_after_0();
    } else {
        get_and_drop(0);
        recover_after_0();
    }
}

static void recoverer_of_keeper_dies(unsigned thread) {
    if (thread == 0) {
        (void)process_keep(&name, 0, false);
    } else if (thread == 1) {
        recover_after_0();
    } else {
        get_and_drop(0);
        recover_after_0();
    }
}

const struct scenario scenarios[] = {
    {"keep", "one gives a run a name and drops it, two get it", LIVING(3, set_up_both, keep_and_drop, at_rest, 3),
     false},
    {"replace", "another run gets the name, two get it", LIVING(3, set_up_named, replace, at_rest, 3), false},
    {"replace_bits", "the same, held by bits", LIVING(3, set_up_named_bits, replace, at_rest, 3), false},
    {"replace_two", "the same, rows of two words", LIVING(3, set_up_named_two, replace, at_rest, 3), false},
    {"replace_and_reuse", "the same, and the first one's block is used again",
     LIVING(3, set_up_kept, replace_and_reuse, at_rest, 3), false},
    {"forget", "a run that only its name keeps loses it, two get it", LIVING(3, set_up_kept, forget, at_rest, 3),
     false},
    {"forget_two", "the same, rows of two words", LIVING(3, set_up_kept_two, forget, at_rest, 3), false},
    {"forget_and_reuse", "the same, and its block is used again", LIVING(3, set_up_kept, forget_and_reuse, at_rest, 3),
     false},
    {"forget_and_keep_again", "the same, and the new run gets its name",
     LIVING(3, set_up_kept, forget_and_keep_again, at_rest, 2), false},
    {"forget_and_rename", "the entry of a name gets another one, two look for similar ones",
     LIVING(3, set_up_kept, forget_and_rename, at_rest, 2), false},
    {"both_keep", "two want one name for their runs, a third gets it",
     LIVING(3, set_up_one_each, both_keep, at_rest, 3), false},
    {"both_replace", "the same, each replacing the other", LIVING(3, set_up_one_each, both_replace, at_rest, 3), false},
    {"replace_or_forget", "one gives the name to another run, one takes it away, a third gets it",
     LIVING(3, set_up_named, replace_or_forget, at_rest, 3), false},
    {"forget_both", "a run loses both its names, a third gets one",
     LIVING(3, set_up_two_names, forget_both, at_rest, 3), false},
    {"forget_or_drop", "a run loses its name and its holder, a third redeems",
     LIVING(3, set_up_named, forget_or_drop_or_redeem, at_rest, 3), false},
    {"forget_or_drop_bits", "the same, held by bits",
     LIVING(3, set_up_named_bits, forget_or_drop_or_redeem, at_rest, 3), false},
    {"forget_or_drop_two", "the same, rows of two words",
     LIVING(3, set_up_named_two, forget_or_drop_or_redeem, at_rest, 3), false},
    {"free_or_forget", "shared_pool_drop_last of a run that loses its name, a third gets it",
     LIVING(3, set_up_named, free_or_forget, at_rest, 3), false},
    {"replace_or_look", "a look while another run gets the name, loses it, and gets it again",
     LIVING(2, set_up_kept, replace_or_look, at_rest, 4), false},
    {"fork_or_replace", "a holder forks while another run gets its name",
     LIVING(3, set_up_kept_and_child, fork_or_replace, at_rest, 3), false},
    {"leave_or_get", "the holder of a run that has a name leaves, two get it",
     LIVING(3, set_up_named, leave_or_get, at_rest, 3), false},
    {"die_keeping", "a death in giving a name", DYING(1, 3, set_up_both, die_keeping, at_rest, 2), false},
    {"die_replacing", "a death in giving it to another run", DYING(1, 3, set_up_named, die_replacing, at_rest, 2),
     false},
    {"die_replacing_kept", "the same, and nobody else holds the first one",
     DYING(1, 3, set_up_kept, die_replacing, at_rest, 2), false},
    {"die_forgetting", "a death in taking a name away", DYING(1, 3, set_up_kept, die_forgetting, at_rest, 2), false},
    {"die_forgetting_two", "the same, rows of two words", DYING(1, 3, set_up_kept_two, die_forgetting, at_rest, 2),
     false},
    {"die_keeping_and_keep", "a death in giving a name, and another gives one in the same entry",
     DYING(1, 3, set_up_one_each, die_keeping_and_keep, at_rest, 2), false},
    {"recoverer_dies", "a death in taking a name away, and of the recoverer",
     DYING(2, 3, set_up_kept, recoverer_dies, at_rest, 1), false},
    {"keepers_recoverer_dies", "a death in giving a name, and of the recoverer",
     DYING(2, 3, set_up_both, recoverer_of_keeper_dies, at_rest, 1), false},
};

const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;
