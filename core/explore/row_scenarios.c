/* row_scenarios.c: who holds a run, when its row decides: questions about it, forks, and what a process notes of what
 * it holds; what must hold is in shared_witness.h.
 */
#include "shared_bodies.h"

/* --- questions --- */

static void set_up_held_by(unsigned holders) {
    no_mail();
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 2, holders, 0);
}

static void set_up_one(void) { set_up_held_by(1u << 0); }
static void set_up_two(void) { set_up_held_by(1u << 0 | 1u << 1); }
static void set_up_three(void) { set_up_held_by(1u << 0 | 1u << 1 | 1u << 2); }
WITH_ROWS(set_up_one_bits, set_up_one, ONE_WORD_BITS)
WITH_ROWS(set_up_one_two_words, set_up_one, TWO_WORDS)
WITH_ROWS(set_up_one_two_words_bits, set_up_one, TWO_WORDS_BITS)
WITH_ROWS(set_up_two_bits, set_up_two, ONE_WORD_BITS)
WITH_ROWS(set_up_two_two_words, set_up_two, TWO_WORDS)
WITH_ROWS(set_up_two_two_words_bits, set_up_two, TWO_WORDS_BITS)
WITH_ROWS(set_up_three_bits, set_up_three, ONE_WORD_BITS)
WITH_ROWS(set_up_three_two_words, set_up_three, TWO_WORDS)

/* 0 lets go of the run and asks; the others take hold of it, so say no, and let go, so ask themselves. */
static void ask_or_hold(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else {
        redeem_and_drop();
    }
}

/* The same, and 0 takes hold again, and asks again. */
static void ask_twice_or_hold(unsigned thread) {
    if (thread == 0) {
        drop_name();
    }
    if (thread < 2) {
        redeem_and_drop();
    }
    if (thread == 1) {
        redeem_and_drop();
    }
}

/* The owner goes while others hold it by their bits, and let go. */
static void all_drop(unsigned thread) {
    (void)thread;
    drop_name();
}

static void two_drop_one_redeems(unsigned thread) {
    if (thread == 2) {
        redeem_and_drop();
    } else {
        drop_name();
    }
}

/* 1 and 2 say no to a process that asks about a run that it took from the other's blocks. */
static void ask_hold_reuse(unsigned thread) {
    if (thread == 0) {
        drop_name();
        allocate_and_drop(2);
    } else {
        redeem_and_drop();
    }
}

/* One frees: both others may hold it for a moment; then it keeps the run. */
static void free_or_hold(unsigned thread) {
    if (thread == 0) {
        if (!process_drop_last(&name)) {
            drop_name();
        }
    } else {
        redeem_and_drop();
    }
}

/* Two have it, and both want to free it. */
static void both_free(unsigned thread) {
    if (thread == 2) {
        redeem_and_drop();
    } else if (!process_drop_last(&name)) {
        drop_name();
    }
}

/* --- two threads of one process ask, in its name --- */

static void set_up_threads(void) {
    no_mail();
    witness_begin(2, 1u << 1, COARSE);
    witness_same_process(1, 0);
    name = witness_place(0, 1, 1u << 0, 0);
}
WITH_ROWS(set_up_threads_bits, set_up_threads, ONE_WORD_BITS)
WITH_ROWS(set_up_threads_two_words, set_up_threads, TWO_WORDS)

static void threads_ask(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else if (thread == 1) {
        hold_and_drop();
    } else {
        redeem_and_drop();
    }
}

/* One frees what nobody else ever had, without the lock; the other takes hold of it. */
static void threads_free_or_hold(unsigned thread) {
    if (thread == 0) {
        if (!process_drop_last(&name)) {
            drop_name();
        }
    } else if (thread == 1) {
        hold_and_drop();
    } else {
        redeem_and_drop();
    }
}

/* --- death --- */

/* 0 dies while it lets go or asks; 1 recovers, 2 takes hold of the run meanwhile. */
static void die_asking(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else if (thread == 1) {
        recover_after_0();
    } else {
        redeem_and_drop();
    }
}

/* And uses its blocks again. */
static void die_asking_and_reuse(unsigned thread) {
    die_asking(thread);
    if (thread == 2) {
        allocate_and_drop(2);
    }
}

/* 0 dies while it takes hold of what 2 lets go of, and may say no. */
static void set_up_last_is_2(void) { set_up_held_by(1u << 2); }
WITH_ROWS(set_up_last_is_2_bits, set_up_last_is_2, ONE_WORD_BITS)
WITH_ROWS(set_up_last_is_2_two_words, set_up_last_is_2, TWO_WORDS)

static void die_saying_no(unsigned thread) {
    if (thread == 0) {
        redeem_and_drop();
    } else if (thread == 1) {
        recover_after_0();
    } else {
        drop_name();
    }
}

/* 0 dies with the run; the recoverer may die too, as it asks or frees in no process's name; 2 takes hold of the run,
 * or uses its blocks, and recovers both. */
static void recoverer_dies_and_redeem(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else if (thread == 1) {
        recover_after_0();
    } else {
        redeem_and_drop();
        recover_after_0();
    }
}

static void recoverer_dies_and_reuse(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else if (thread == 1) {
        recover_after_0();
    } else {
        recover_after_0();
        allocate_and_drop(2);
    }
}

/* 0 dies while it frees: it has its bit set, and asks. */
static void die_trying_to_free(unsigned thread) {
    if (thread == 0) {
        if (!process_drop_last(&name)) {
            drop_name();
        }
    } else if (thread == 1) {
        recover_after_0();
    } else {
        redeem_and_drop();
    }
}

/* 0 dies with its bit set in a row; its slot is taken again only when the bit is gone. */
static void set_up_newcomer(void) {
    witness_begin(3, 1u << 1, COARSE);
    name = witness_place(0, 1, 1u << 0 | 1u << 2, 0);
}
WITH_ROWS(set_up_newcomer_bits, set_up_newcomer, ONE_WORD_BITS)

static void die_and_replace(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else if (thread == 1) {
        (void)explore_join(0);
        if (process_attach()) {
            redeem_and_drop();
        }
    } else {
        drop_name();
    }
}

/* --- leaving --- */

static void leave_or_redeem(unsigned thread) {
    if (thread == 0) {
        process_leave();
    } else {
        redeem_and_drop();
    }
}

/* It dies in leaving. */
static void die_leaving(unsigned thread) {
    if (thread == 0) {
        process_leave();
    } else if (thread == 1) {
        recover_after_0();
    } else {
        redeem_and_drop();
    }
}

/* --- forks --- */

/* The parent has two references; then so has the child. */
static void set_up_to_fork(void) {
    witness_begin(4, 1u << 1, COARSE);
    name = witness_place(0, 2, 1u << 0 | 1u << 2, 0);
}
WITH_ROWS(set_up_to_fork_bits, set_up_to_fork, ONE_WORD_BITS)
WITH_ROWS(set_up_to_fork_two_words, set_up_to_fork, TWO_WORDS)

static void fork_with_references(unsigned thread) {
    if (thread == 0) {
        (void)process_hold(name);
        process_fork(1);
        process_drop_all();
    } else if (thread == 2) {
        drop_name();
    } else if (process_is_born(0)) {
        process_drop_all();
    }
}

/* What nobody else ever had is freed by another thread of the parent, without the lock. */
static void set_up_to_fork_and_free(void) {
    witness_begin(3, 1u << 1 | 1u << 2, COARSE);
    witness_same_process(1, 0);
    name = witness_place(0, 1, 1u << 0, 0);
}
WITH_ROWS(set_up_to_fork_and_free_bits, set_up_to_fork_and_free, ONE_WORD_BITS)

static void fork_beside_free(unsigned thread) {
    if (thread == 0) {
        process_fork(2);
    } else if (thread == 1) {
        drop_name();
    } else if (process_is_born(0)) {
        process_drop_all();
    }
}

/* And another process gets its block. */
static void set_up_to_fork_free_reuse(void) {
    witness_begin(1, 1u << 1, COARSE);
    witness_same_process(1, 0);
    name = witness_place(0, 1, 1u << 0, 0);
}

static void fork_beside_free_and_reuse(unsigned thread) {
    if (thread == 0) {
        process_fork(1);
        witness_same_process(0, 1); /* and goes on as the child */
        if (process_is_born(0)) {
            process_drop_all();
        }
    } else if (thread == 1) {
        drop_name();
    } else {
        allocate_and_drop(1);
    }
}

/* Another thread of the parent allocates during the fork; what it gets the parent gives back when it leaves. */
static void set_up_to_fork_and_allocate(void) {
    witness_begin(3, 1u << 1 | 1u << 2, COARSE);
    witness_same_process(1, 0);
    name = witness_place(0, 1, 1u << 0, 0);
}
WITH_ROWS(set_up_to_fork_and_allocate_two_words, set_up_to_fork_and_allocate, TWO_WORDS)

static void fork_beside_allocation(unsigned thread) {
    struct pool_run run;
    if (thread == 0) {
        drop_name();
        process_fork(2);
        (void)explore_join(1);
        process_leave();
    } else if (thread == 1) {
        (void)process_allocate(1, &run);
    } else if (process_is_born(0)) {
        process_leave();
    }
}

/* What the other thread got just before the fork, the child holds too. */
static void set_up_to_allocate_and_fork(void) {
    no_mail();
    witness_begin(66, 1u << 1 | 1u << 2, COARSE);
    witness_same_process(1, 0);
    (void)witness_place(0, 64, 1u << RESIDENT, 0);
}

static void allocate_then_fork(unsigned thread) {
    if (thread == 1) {
        (void)process_allocate(1, &name);
        mail(0);
    } else if (thread == 0) {
        await_mail(0);
        process_fork(2);
        process_drop_all();
    } else if (process_is_born(0)) {
        if (succeeded != 1) {
            explore_fail("nothing was allocated");
        }
        drop_name();
    }
}

/* A child that dies at once, while another drops the last other reference. */
static void die_forked(unsigned thread) {
    if (thread == 0) {
        process_fork(1);
        process_drop_all();
    } else if (thread == 1) {
        if (process_is_born(0)) {
            process_drop_all();
        }
    } else {
        redeem_and_drop();
        (void)explore_join(1);
        process_recover();
    }
}

/* --- batches: pool_allocate_many, all or nothing --- */

static void set_up_three_blocks(void) { witness_begin(3, 0, COARSE); }

static void allocate_many(uint64_t n) {
    struct pool_run runs[3];
    uint64_t got = 0;
    while (got < n && process_allocate(1, &runs[got])) {
        got++;
    }
    while (got > 0) {
        process_drop(&runs[--got]);
    }
}

static void many_or_many(unsigned thread) { allocate_many(thread + 2); }

static void die_in_a_batch(unsigned thread) {
    if (thread == 0) {
        allocate_many(2);
    } else {
        recover_after_0();
        allocate_many(2);
    }
}

/* --- waiting --- */

static void set_up_waiting_for_row(void) {
    witness_begin(2, 0, COARSE);
    name = witness_place(0, 2, 1u << 0 | 1u << 1, 0);
}
WITH_ROWS(set_up_waiting_for_row_two_words, set_up_waiting_for_row, TWO_WORDS)
WITH_ROWS(set_up_waiting_for_row_bits, set_up_waiting_for_row, ONE_WORD_BITS)

/* The last of two holders frees what another waits for; one redeems it meanwhile. */
static void drop_or_wait(unsigned thread) {
    if (thread == 2) {
        wait_and_drop(2);
    } else {
        drop_name();
    }
}

/* --- a look without the gate, beside others --- */

static void look_or_redeem(unsigned thread) {
    if (thread == 2) {
        process_look();
    } else if (thread == 0) {
        drop_name();
    } else {
        redeem_and_drop();
    }
}

static void look_or_leave(unsigned thread) {
    if (thread == 2) {
        process_look();
    } else if (thread == 0) {
        process_leave();
    } else {
        redeem_and_drop();
    }
}

static void look_or_reuse(unsigned thread) {
    if (thread == 2) {
        process_look();
    } else if (thread == 0) {
        drop_name();
        allocate_and_drop(1);
    } else {
        allocate_and_drop(3);
    }
}

/* A process that attaches after the look at the slots holds what the look then sees. */
static void look_or_attach(unsigned thread) {
    if (thread == 0) {
        process_look();
    } else if (thread == 1) {
        if (process_attach() && process_redeem(name, false)) {
            explore_step();
            drop_name();
        }
    } else {
        drop_name();
    }
}

static void look_or_recover(unsigned thread) {
    if (thread == 2) {
        process_look();
    } else if (thread == 0) {
        drop_name();
    } else {
        recover_after_0();
    }
}

const struct scenario scenarios[] = {
    {"ask_or_hold", "one asks, two take hold, say no and ask themselves",
     LIVING(3, set_up_one, ask_or_hold, at_rest, 3), false},
    {"ask_or_hold_bits", "the same, held by bits", LIVING(3, set_up_one_bits, ask_or_hold, at_rest, 3), false},
    {"ask_or_hold_two", "the same, rows of two words", LIVING(3, set_up_one_two_words, ask_or_hold, at_rest, 3), false},
    {"ask_or_hold_two_bits", "the same, held by bits in rows of two words",
     LIVING(3, set_up_one_two_words_bits, ask_or_hold, at_rest, 3), false},
    {"ask_twice", "one asks twice in its name, another says no twice",
     LIVING(2, set_up_one_bits, ask_twice_or_hold, at_rest, 5), false},
    {"ask_twice_two", "the same, rows of two words",
     LIVING(2, set_up_one_two_words_bits, ask_twice_or_hold, at_rest, 5), false},
    {"ask_hold_reuse", "one asks and uses the blocks again, two redeem the old name",
     LIVING(3, set_up_one_bits, ask_hold_reuse, at_rest, 3), false},
    {"owner_leaves", "an owner and two others drop", LIVING(3, set_up_three, all_drop, at_rest, 5), false},
    {"owner_leaves_bits", "the same, held by bits", LIVING(3, set_up_three_bits, all_drop, at_rest, 5), false},
    {"owner_leaves_two", "the same, rows of two words", LIVING(3, set_up_three_two_words, all_drop, at_rest, 5), false},
    {"owner_and_redeem", "an owner and one more drop, a third redeems",
     LIVING(3, set_up_two, two_drop_one_redeems, at_rest, 4), false},
    {"owner_and_redeem_bits", "the same, held by bits", LIVING(3, set_up_two_bits, two_drop_one_redeems, at_rest, 3),
     false},
    {"owner_and_redeem_two", "the same, rows of two words",
     LIVING(3, set_up_two_two_words, two_drop_one_redeems, at_rest, 3), false},
    {"free_two_redeem", "shared_pool_drop_last against two that redeem",
     LIVING(3, set_up_one, free_or_hold, at_rest, 3), false},
    {"free_two_redeem_bits", "the same, held by bits", LIVING(3, set_up_one_bits, free_or_hold, at_rest, 3), false},
    {"free_two_redeem_two", "the same, held by bits in rows of two words",
     LIVING(3, set_up_one_two_words_bits, free_or_hold, at_rest, 3), false},
    {"both_free", "two that hold it free, a third redeems", LIVING(3, set_up_two, both_free, at_rest, 3), false},
    {"both_free_bits", "the same, held by bits", LIVING(3, set_up_two_bits, both_free, at_rest, 3), false},
    {"both_free_two", "the same, held by bits in rows of two words",
     LIVING(3, set_up_two_two_words_bits, both_free, at_rest, 3), false},
    {"threads_ask", "two threads of a process ask in its name, another process says no",
     LIVING(3, set_up_threads, threads_ask, at_rest, 3), false},
    {"threads_ask_bits", "the same, held by bits", LIVING(3, set_up_threads_bits, threads_ask, at_rest, 4), false},
    {"threads_ask_two", "the same, rows of two words", LIVING(3, set_up_threads_two_words, threads_ask, at_rest, 3),
     false},
    {"threads_free_or_hold", "one thread frees without the lock, another takes hold, another process redeems",
     LIVING(3, set_up_threads, threads_free_or_hold, at_rest, 3), false},
    {"threads_free_or_hold_bits", "the same, held by bits",
     LIVING(3, set_up_threads_bits, threads_free_or_hold, at_rest, 3), false},
    {"die_asking", "a death in dropping or asking, and another redeems",
     DYING(1, 3, set_up_one_bits, die_asking, at_rest, 3), false},
    {"die_asking_owner", "the same of the owner", DYING(1, 3, set_up_one, die_asking, at_rest, 3), false},
    {"die_asking_two", "the same, held by bits in rows of two words",
     DYING(1, 3, set_up_one_two_words_bits, die_asking, at_rest, 3), false},
    {"die_asking_and_reuse", "the same, and uses the blocks again",
     DYING(1, 3, set_up_one_bits, die_asking_and_reuse, at_rest, 2), false},
    {"die_saying_no", "a death in redeeming what another drops",
     DYING(1, 3, set_up_last_is_2, die_saying_no, at_rest, 3), false},
    {"die_saying_no_bits", "the same, held by bits", DYING(1, 3, set_up_last_is_2_bits, die_saying_no, at_rest, 3),
     false},
    {"die_saying_no_two", "the same, rows of two words",
     DYING(1, 3, set_up_last_is_2_two_words, die_saying_no, at_rest, 3), false},
    {"recoverer_and_redeem", "a holder and its recoverer die, another redeems and recovers",
     DYING(2, 3, set_up_one_bits, recoverer_dies_and_redeem, at_rest, 2), false},
    {"recoverer_and_redeem_two", "the same, rows of two words",
     DYING(2, 3, set_up_one_two_words_bits, recoverer_dies_and_redeem, at_rest, 1), false},
    {"recoverer_and_reuse", "the same, and another recovers and uses the blocks",
     DYING(2, 3, set_up_one_bits, recoverer_dies_and_reuse, at_rest, 2), false},
    {"die_trying_to_free", "a death in shared_pool_drop_last, and another redeems",
     DYING(1, 3, set_up_one, die_trying_to_free, at_rest, 3), false},
    {"die_trying_to_free_two", "the same, held by bits in rows of two words",
     DYING(1, 3, set_up_one_two_words_bits, die_trying_to_free, at_rest, 2), false},
    {"die_and_replace", "a newcomer takes the slot of a dead holder, and redeems",
     DYING(1, 3, set_up_newcomer, die_and_replace, at_rest, 2), false},
    {"die_and_replace_bits", "the same, held by bits", DYING(1, 3, set_up_newcomer_bits, die_and_replace, at_rest, 2),
     false},
    {"leave_or_redeem", "the last holder leaves, two redeem", LIVING(3, set_up_one, leave_or_redeem, at_rest, 3),
     false},
    {"leave_or_redeem_bits", "the same, held by bits", LIVING(3, set_up_one_bits, leave_or_redeem, at_rest, 3), false},
    {"leave_or_redeem_two", "the same, rows of two words", LIVING(3, set_up_one_two_words, leave_or_redeem, at_rest, 3),
     false},
    {"die_leaving", "a death in leaving, and another redeems", DYING(1, 3, set_up_one, die_leaving, at_rest, 2), false},
    {"fork_with_references", "a parent of two references forks; all drop, and a third one drops its share",
     LIVING(3, set_up_to_fork, fork_with_references, at_rest, 3), false},
    {"fork_with_references_bits", "the same, held by bits",
     LIVING(3, set_up_to_fork_bits, fork_with_references, at_rest, 3), false},
    {"fork_with_references_two", "the same, rows of two words",
     LIVING(3, set_up_to_fork_two_words, fork_with_references, at_rest, 3), false},
    {"fork_beside_free", "a fork, while another thread of the parent frees without the lock",
     LIVING(3, set_up_to_fork_and_free, fork_beside_free, at_rest, 4), false},
    {"fork_beside_free_bits", "the same, held by bits",
     LIVING(3, set_up_to_fork_and_free_bits, fork_beside_free, at_rest, 4), false},
    {"fork_beside_free_and_reuse", "the same, and another process gets the block",
     LIVING(3, set_up_to_fork_free_reuse, fork_beside_free_and_reuse, at_rest, 3), false},
    {"fork_beside_allocation", "a fork, while another thread of the parent allocates; then all leave",
     LIVING(3, set_up_to_fork_and_allocate, fork_beside_allocation, at_rest, 3), false},
    {"fork_beside_allocation_two", "the same, rows of two words",
     LIVING(3, set_up_to_fork_and_allocate_two_words, fork_beside_allocation, at_rest, 3), false},
    {"allocate_then_fork", "a fork right after another thread of the parent allocated",
     LIVING(3, set_up_to_allocate_and_fork, allocate_then_fork, at_rest, 4), false},
    {"die_forked", "a death in a fork or of its child, and another redeems",
     DYING(1, 3, set_up_to_fork, die_forked, at_rest, 2), false},
    {"die_forked_two", "the same, rows of two words", DYING(1, 3, set_up_to_fork_two_words, die_forked, at_rest, 2),
     false},
    {"many", "two want two and three blocks, one by one, all or nothing",
     LIVING(2, set_up_three_blocks, many_or_many, at_rest, 4), false},
    {"die_in_a_batch", "a death in such a batch", DYING(1, 2, set_up_three_blocks, die_in_a_batch, at_rest, 4), false},
    {"look_or_redeem", "a look while one drops and another redeems",
     LIVING(3, set_up_one_bits, look_or_redeem, at_rest, 3), false},
    {"look_or_leave", "a look while one leaves and another redeems", LIVING(3, set_up_one, look_or_leave, at_rest, 3),
     false},
    {"look_or_leave_two", "the same, held by bits in rows of two words",
     LIVING(3, set_up_one_two_words_bits, look_or_leave, at_rest, 2), false},
    {"look_or_reuse", "a look while blocks are dropped and used again",
     LIVING(3, set_up_one, look_or_reuse, at_rest, 3), false},
    {"look_or_attach", "a look while one attaches and redeems, and another drops",
     LIVING(3, set_up_newcomer, look_or_attach, at_rest, 3), false},
    {"look_or_recover", "a look beside a death and its recovery",
     DYING(1, 3, set_up_two_bits, look_or_recover, at_rest, 2), false},
    {"wait_for_row", "one waits for a run that two drop", LIVING(3, set_up_waiting_for_row, drop_or_wait, at_rest, 3),
     false},
    {"wait_for_row_bits", "the same, held by bits", LIVING(3, set_up_waiting_for_row_bits, drop_or_wait, at_rest, 3),
     false},
    {"wait_for_row_two", "the same, rows of two words",
     LIVING(3, set_up_waiting_for_row_two_words, drop_or_wait, at_rest, 3), false},
};

const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;
