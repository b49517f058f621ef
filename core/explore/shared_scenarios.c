/* shared_scenarios.c: situations in which processes meet in a shared pool; what must hold is in shared_witness.h.
 *
 * Those with stops also run every schedule with one process (or two) stopped forever before any of its accesses. Thread
 * 0 is usually the one that dies; another waits until it has ended or died and recovers, and the end of the schedule
 * recovers any that died later. So recovery meets each half-done step, meets others at work, and is itself cut short
 * anywhere.
 */
#include "shared_bodies.h"
#include "shared_slots.h"

/* --- allocating and dropping --- */

static void set_up_two_blocks(void) { witness_begin(2, 0, FINE); }

static void allocate_drop_allocate(unsigned thread) {
    struct pool_run run;
    (void)thread;
    if (process_allocate(1, &run)) {
        process_drop(&run);
        (void)process_allocate(1, &run);
    }
}

static void set_up_three_blocks(void) { witness_begin(3, 0, COARSE); }
static void set_up_four_blocks(void) { witness_begin(4, 0, COARSE); }
static void set_up_three_fine(void) { witness_begin(3, 0, FINE); }

static void runs_of_two(unsigned thread) {
    (void)thread;
    allocate_and_drop(2);
}

static void run_of_three_or_singles(unsigned thread) {
    if (thread == 0) {
        allocate_and_drop(3);
    } else {
        allocate_and_drop(1);
        allocate_and_drop(1);
    }
}

static void two_one_three(unsigned thread) { allocate_and_drop(thread == 0 ? 2 : thread == 1 ? 1 : 3); }

/* --- wrong bits: a clear bit under a block that the resident uses --- */

static void set_up_wrong_head(void) {
    witness_begin(3, 0, COARSE);
    (void)witness_place(0, 1, 1u << RESIDENT, 0);
    witness_clear_bit(0);
}

static void set_up_wrong_tail(void) {
    witness_begin(4, 0, COARSE);
    (void)witness_place(2, 1, 1u << RESIDENT, 0);
    witness_clear_bit(2);
}

static void set_up_wrong_run(void) {
    witness_begin(6, 0, COARSE);
    (void)witness_place(2, 2, 1u << RESIDENT, 0);
    witness_clear_bit(2);
    witness_clear_bit(3);
}

static void run_and_single(unsigned thread) { allocate_and_drop(thread == 0 ? 3 : 1); }
static void run_and_run(unsigned thread) { allocate_and_drop(thread == 0 ? 3 : 2); }

/* The wrong bit's own user drops the block meanwhile. */
static void set_up_wrong_and_dropped(void) {
    witness_begin(3, 0, COARSE);
    name = witness_place(1, 1, 1u << 1, 0);
    witness_clear_bit(1);
}

static void run_or_drop_wrong(unsigned thread) {
    if (thread == 1) {
        drop_name();
    } else {
        allocate_and_drop(thread == 0 ? 3 : 1);
    }
}

/* --- tickets --- */

static void set_up_to_share(void) {
    no_mail();
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 2, 1u << 0, 0);
}

/* Thread 0 sends a ticket to each of the others, and drops. */
static void share_or_redeem(unsigned thread) {
    if (thread == 0) {
        for (unsigned to = 1; to < EXPLORE_THREADS; to++) {
            process_share(&name, 1);
            mail(to);
        }
        drop_name();
    } else {
        await_mail(thread);
        if (mailed[thread] && process_redeem(name, true)) {
            process_drop_all();
        }
    }
}

static void set_up_one_ticket(void) {
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 2, 1u << 0, 1);
}

/* Two redeem one ticket while its sender drops: one gets the run for sure. */
static void two_redeem(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else if (process_redeem(name, false)) {
        process_drop_all();
    }
}

static void set_up_held(void) {
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 2, 1u << 0, 0);
}

/* The name is redeemed while its last holder drops, and the blocks are used again at once. */
static void drop_or_redeem_or_reuse(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else if (thread == 1) {
        redeem_and_drop();
    } else {
        allocate_and_drop(3);
    }
}

static void set_up_last_holder(void) {
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 1, 1u << 0, 0);
}

/* Thread 0 drops the last reference, takes the same blocks again and shares them with 2, while 1 redeems the old name:
 * 1 has to step back, and 2 must find its ticket. */
static void reuse_or_step_back(unsigned thread) {
    struct pool_run run;
    if (thread == 0) {
        drop_name();
        if (process_allocate(1, &run)) {
            process_share(&run, 1);
            process_drop(&run);
        }
    } else {
        redeem_and_drop();
    }
}

/* A name that was stale before; the run that is there now has one holder and one ticket. */
static void set_up_stale_name(void) {
    witness_begin(2, 0, COARSE);
    name = witness_place(0, 1, 1u << 0, 1);
}

static void stale_name(unsigned thread) {
    struct pool_run run = name;
    if (thread == 0) {
        drop_name();
        allocate_and_drop(1);
    } else if (thread == 1) {
        run.generation--;
        (void)process_redeem(run, false);
    } else {
        (void)process_redeem(name, true);
        process_drop_all();
    }
}

static void free_or_redeem(unsigned thread) {
    if (thread == 0) {
        if (!process_drop_last(&name)) {
            drop_name();
        }
    } else if (thread == 1) {
        redeem_and_drop();
    } else {
        allocate_and_drop(2);
    }
}

static void set_up_old_ticket(void) {
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 2, 1u << 0, 1);
    witness_time(10);
}

/* The ticket of time 0 is dropped while it is redeemed and its sender drops. */
static void drop_tickets_meanwhile(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else if (thread == 1) {
        if (process_redeem(name, true)) {
            process_drop_all();
        }
    } else {
        process_drop_tickets(5);
    }
}

/* A new ticket, of time 10, is made while those of time 5 and before are dropped: it stays. */
static void new_ticket_meanwhile(unsigned thread) {
    if (thread == 0) {
        process_share(&name, 1);
        drop_name();
    } else {
        process_drop_tickets(5);
    }
}

/* As many tickets as before, but not the same: one is redeemed, a new one made, while old ones are dropped. */
static void redeem_and_share_meanwhile(unsigned thread) {
    if (thread == 0) {
        if (process_redeem(name, true)) {
            drop_name();
        }
        process_share(&name, 1);
        drop_name();
    } else {
        process_drop_tickets(5);
    }
}

/* --- fork --- */

static void set_up_fork(void) {
    witness_begin(4, 1u << 1, COARSE);
    name = witness_place(0, 2, 1u << 0 | 1u << 2, 0);
    (void)witness_place(2, 1, 1u << 0, 0);
}

static void fork_and_drop(unsigned thread) {
    if (thread == 0) {
        process_fork(1);
        process_drop_all();
    } else if (thread == 2) {
        drop_name();
    } else if (process_is_born(0)) {
        process_drop_all();
    }
}

/* The parent's other thread drops what it has, and takes hold of it again. */
static void set_up_fork_beside_a_thread(void) {
    witness_begin(3, 1u << 1 | 1u << 2, COARSE);
    witness_same_process(1, 0);
    name = witness_place(0, 1, 1u << 0 | 1u << RESIDENT, 0);
}

static void fork_beside_a_thread(unsigned thread) {
    if (thread == 0) {
        process_fork(2);
    } else if (thread == 1) {
        drop_name();
        if (process_hold(name)) {
            drop_name();
        }
    } else if (process_is_born(0)) {
        process_drop_all();
    }
}

/* A thread of the parent waits; the child waits for itself. */
static void set_up_fork_while_waiting(void) {
    witness_begin(2, 1u << 1 | 1u << 2, COARSE);
    witness_same_process(1, 0);
    name = witness_place(0, 2, 1u << 0, 0);
}

static void fork_while_waiting(unsigned thread) {
    struct pool_run run;
    if (thread == 0) {
        process_fork(2);
        drop_name();
    } else if (thread == 1) {
        process_wait(1, &run);
        process_drop(&run);
    } else if (process_is_born(0)) {
        process_drop_all();
        process_wait(2, &run);
        process_drop(&run);
    }
}

/* --- death and recovery --- */

static void die_allocating(unsigned thread) {
    if (thread == 0) {
        allocate_and_drop(2);
    } else {
        recover_after_0();
    }
}

static void die_while_others_allocate(unsigned thread) {
    if (thread == 2) {
        allocate_and_drop(2);
        allocate_and_drop(1);
    } else {
        die_allocating(thread);
    }
}

/* A run of four is undone behind its second tail. */
static void set_up_wrong_last_tail(void) {
    witness_begin(4, 0, COARSE);
    (void)witness_place(3, 1, 1u << RESIDENT, 0);
    witness_clear_bit(3);
}

static void die_undoing(unsigned thread) {
    if (thread == 0) {
        allocate_and_drop(4);
    } else if (thread == 1) {
        recover_after_0();
    } else {
        allocate_and_drop(1);
    }
}

/* Mending meets a wrong bit while the block is dropped. */
static void set_up_wrong_beside(void) {
    witness_begin(2, 0, COARSE);
    name = witness_place(0, 1, 1u << 2, 0);
    witness_clear_bit(0);
}

static void die_beside_wrong(unsigned thread) {
    if (thread == 0) {
        allocate_and_drop(1);
    } else if (thread == 1) {
        recover_after_0();
    } else {
        drop_name();
    }
}

static void set_up_three_of_run(void) {
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 3, 1u << 0, 0);
}

/* Thread 0 dies freeing a run of three, which is allocated again meanwhile. */
static void die_freeing(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else if (thread == 1) {
        recover_after_0();
    } else {
        allocate_and_drop(2);
        allocate_and_drop(1);
    }
}

/* The recoverer dies too, and another recovers both. */
static void recoverers_die(unsigned thread) {
    if (thread == 0) {
        allocate_and_drop(2);
    } else if (thread == 1) {
        recover_after_0();
    } else {
        (void)explore_join(0);
        allocate_and_drop(1);
        process_recover();
    }
}

static void set_up_shared_by_two(void) {
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 2, 1u << 0 | 1u << 2, 0);
}

/* Two hold a run; 0 dies with it, 2 drops its share before, during or after recovery. */
static void die_holding(unsigned thread) {
    if (thread == 1) {
        recover_after_0();
    } else {
        drop_name();
    }
}

static void set_up_mail_and_ticket(void) {
    no_mail();
    witness_begin(2, 0, COARSE);
    name = witness_place(0, 1, 1u << RESIDENT, 2);
}

/* Two tickets; 0 dies redeeming one: 2 must still find the other. */
static void die_redeeming(unsigned thread) {
    if (thread == 1) {
        recover_after_0();
    } else if (process_redeem(name, true)) {
        process_drop_all();
    }
}

static void set_up_reused(void) {
    witness_begin(1, 0, COARSE);
    name = witness_place(0, 1, 1u << 1, 0);
    no_mail();
}

/* 1 drops the run whose name 0 has, allocates the block again, shares it with 2, and drops. 0 dies anywhere in
 * redeeming the old name, or in stepping back: the ticket for 2 must stay. */
static void die_stepping_back(unsigned thread) {
    struct pool_run run;
    if (thread == 0) {
        redeem_and_drop();
    } else if (thread == 1) {
        drop_name();
        if (process_allocate(1, &run)) {
            process_share(&run, 1);
            process_drop(&run);
        }
    } else {
        recover_after_0();
    }
}

static void set_up_to_share_and_recover(void) {
    no_mail();
    witness_begin(2, 0, COARSE);
    name = witness_place(0, 1, 1u << 0, 0);
}

static void die_sharing(unsigned thread) {
    if (thread == 0) {
        process_share(&name, 1);
        mail(1);
        drop_name();
    } else if (thread == 1) {
        await_mail(1);
        if (mailed[1] && process_redeem(name, true)) {
            process_drop_all();
        }
    } else {
        recover_after_0();
    }
}

static void set_up_only_ticket(void) {
    witness_begin(2, 0, COARSE);
    name = witness_place(0, 2, 0, 1);
    witness_time(10);
}

/* 0 dies dropping the tickets of a run that no process holds: the recovery frees it. */
static void die_dropping_tickets(unsigned thread) {
    if (thread == 0) {
        process_drop_tickets(5);
    } else if (thread == 1) {
        recover_after_0();
    } else {
        allocate_and_drop(2);
    }
}

static void die_forking(unsigned thread) {
    if (thread == 0) {
        process_fork(1);
        process_drop_all();
    } else if (thread == 1) {
        if (process_is_born(0)) {
            process_drop_all();
        }
    } else {
        drop_name();
        recover_after_0();
    }
}

/* Newcomers recover the dead and take slots, the first of them that of 0. */
static void set_up_newcomers(void) { witness_begin(3, 1u << 1 | 1u << 2, COARSE); }

static void attach_after_death(unsigned thread) {
    if (thread == 0) {
        allocate_and_drop(2);
    } else {
        (void)explore_join(0);
        if (process_attach()) {
            allocate_and_drop(thread);
        }
    }
}

/* --- waiting --- */

static void set_up_full(void) {
    witness_begin(2, 0, COARSE);
    name = witness_place(0, 2, 1u << 0, 0);
}

static void drop_or_wait(unsigned thread) {
    struct pool_run run;
    if (thread == 0) {
        drop_name();
    } else {
        process_wait(1, &run);
        process_drop(&run);
    }
}

static void drop_or_wait_for_run(unsigned thread) {
    struct pool_run run;
    if (thread == 0) {
        drop_name();
    } else {
        process_wait(2, &run);
        process_drop(&run);
    }
}

/* One block is free, the next one used under a clear bit: a run of two is tried there and undone while another waits
 * for one. */
static void set_up_wrong_and_one_free(void) {
    witness_begin(2, 0, COARSE);
    (void)witness_place(1, 1, 1u << RESIDENT, 0);
    witness_clear_bit(1);
}

static void undo_or_wait(unsigned thread) {
    struct pool_run run;
    if (thread == 0) {
        allocate_and_drop(2);
    } else {
        process_wait(1, &run);
        process_drop(&run);
    }
}

/* 0 dies holding what 2 waits for: recovery wakes. */
static void die_or_wait(unsigned thread) {
    struct pool_run run;
    if (thread == 0) {
        drop_name();
    } else if (thread == 1) {
        recover_after_0();
    } else {
        process_wait(2, &run);
        process_drop(&run);
        mail(2);
    }
}

static void set_up_full_and_mail(void) {
    no_mail();
    set_up_full();
}

static void the_waiter_got_it(void) {
    unsigned step;
    at_rest();
    if (!mailed[2] && !explore_stopped(2, &step) && !explore_stopped(1, &step)) {
        explore_fail("the waiter sleeps forever, and there is room");
    }
}

/* --- waiting, with every access of bitmap.c: one scenario for each way in which room comes --- */

static void set_up_fine(unsigned holders, unsigned tickets) {
    no_mail();
    witness_begin(2, 0, FINE);
    name = witness_place(0, 2, holders, tickets);
}

static void set_up_fine_held(void) { set_up_fine(1u << 0, 0); }
static void set_up_fine_ticket(void) { set_up_fine(0, 1); }

static void free_or_wait(unsigned thread) {
    if (thread == 1) {
        wait_and_drop(1);
    } else if (!process_drop_last(&name)) {
        explore_fail("the only reference is not the last");
    }
}

static void drop_run_or_wait(unsigned thread) {
    if (thread == 1) {
        wait_and_drop(2);
    } else {
        drop_name();
    }
}

static void redeem_or_wait(unsigned thread) {
    if (thread == 1) {
        wait_and_drop(1);
    } else if (process_redeem(name, true)) {
        process_drop_all();
    }
}

static void drop_tickets_or_wait(unsigned thread) {
    if (thread == 1) {
        wait_and_drop(2);
    } else {
        process_drop_tickets(0);
    }
}

static void leave_or_wait(unsigned thread) {
    if (thread == 1) {
        wait_and_drop(2);
    } else {
        process_leave();
    }
}

static void audit_or_wait(unsigned thread) {
    if (thread == 1) {
        wait_and_drop(1);
    } else if (thread == 0) {
        drop_name();
    } else {
        process_check();
    }
}

/* A run across two words: its claim is undone inside the bitmap, when another has half of it. */
static void set_up_across(void) {
    witness_begin(66, 0, FINE);
    (void)witness_place(0, 62, 1u << RESIDENT, 0);
}

static void across_or_wait(unsigned thread) {
    struct pool_run run;
    if (thread == 0) {
        allocate_and_drop(4);
    } else if (thread == 1) {
        (void)process_allocate(2, &run);
    } else {
        wait_and_drop(1);
    }
}

/* --- an audit beside others --- */

static void allocate_or_check(unsigned thread) {
    if (thread == 0) {
        process_check();
    } else {
        allocate_and_drop(thread + 1);
    }
}

/* The audit sets the bit of a block that is dropped meanwhile. */
static void drop_wrong_or_check(unsigned thread) {
    if (thread == 0) {
        process_check();
    } else if (thread == 2) {
        drop_name();
    } else {
        allocate_and_drop(1);
    }
}

static void share_or_check(unsigned thread) {
    if (thread == 0) {
        process_check();
    } else if (thread == 1) {
        process_share(&name, 1);
        drop_name();
        allocate_and_drop(1);
    } else if (process_redeem(name, false)) {
        process_drop_all();
    }
}

static void set_up_shared_by_one(void) {
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 2, 1u << 1, 0);
}

static void die_or_check(unsigned thread) {
    if (thread == 0) {
        allocate_and_drop(2);
    } else if (thread == 1) {
        process_check();
    } else {
        (void)explore_join(0);
        process_check();
        allocate_and_drop(3);
    }
}

/* --- several threads of one process --- */

static void set_up_threads(unsigned tickets) {
    no_mail();
    witness_begin(2, 1u << 1, COARSE);
    witness_same_process(1, 0);
    name = witness_place(0, 1, 1u << 0, tickets);
}

static void set_up_threads_and_name(void) { set_up_threads(0); }
static void set_up_threads_and_tickets(void) { set_up_threads(2); }

/* One thread drops what the other takes hold of; a third process would reuse the block. */
static void drop_or_hold(unsigned thread) {
    if (thread == 0) {
        drop_name();
    } else if (thread == 1) {
        if (process_hold(name)) {
            drop_name();
        }
    } else {
        allocate_and_drop(2);
    }
}

static void drop_or_redeem(unsigned thread) {
    if (thread == 0) {
        drop_name();
    }
    if (thread != 2 && process_redeem(name, true)) {
        drop_name();
    }
}

static void free_or_hold(unsigned thread) {
    if (thread == 0) {
        if (!process_drop_last(&name)) {
            drop_name();
        }
    } else if (process_hold(name)) {
        drop_name();
    }
}

/* Two threads wait in one process, another frees a block at a time. */
static void set_up_threads_that_wait(void) {
    witness_begin(2, 1u << 1, COARSE);
    witness_same_process(1, 0);
    name = witness_place(0, 2, 1u << 2, 0);
}

static void drop_or_both_wait(unsigned thread) {
    if (thread == 2) {
        drop_name();
    } else {
        wait_and_drop(2 - thread);
    }
}

/* --- coming and going --- */

static void set_up_to_leave(void) {
    witness_begin(3, 0, COARSE);
    name = witness_place(0, 2, 1u << 0 | 1u << 1, 1);
}

static void leave_or_redeem(unsigned thread) {
    if (thread == 2) {
        if (process_redeem(name, true)) {
            process_drop_all();
        }
        allocate_and_drop(3);
    } else {
        process_leave();
    }
}

/* The last process to leave removes the name, the dead not counted. */
static void set_up_two_without_resident(void) { witness_begin(2, 1u << 2 | 1u << RESIDENT, COARSE); }

static void leave_last(unsigned thread) {
    if (thread == 0) {
        allocate_and_drop(2);
    } else {
        bool dead = explore_join(0);
        process_leave();
        if (dead != (kernel_named == KERNEL_FILES)) {
            explore_fail("the last one left, and the name is %s", dead ? "still there" : "gone before");
        }
    }
}

static void nothing_more(void) {}

/* The name goes to another pool while a process attaches by it. */
static void set_up_to_replace(void) { witness_begin(2, 1u << 0, COARSE); }

static void attach_or_replace(unsigned thread) {
    if (thread == 1) {
        process_replace();
    } else if (process_attach()) {
        allocate_and_drop(1);
    }
}

/* --- with other rows --- */

WITH_ROWS(set_up_to_share_bits, set_up_to_share, ONE_WORD_BITS)
WITH_ROWS(set_up_to_share_two, set_up_to_share, TWO_WORDS)
WITH_ROWS(set_up_one_ticket_bits, set_up_one_ticket, ONE_WORD_BITS)
WITH_ROWS(set_up_one_ticket_two, set_up_one_ticket, TWO_WORDS)
WITH_ROWS(set_up_one_ticket_two_bits, set_up_one_ticket, TWO_WORDS_BITS)
WITH_ROWS(set_up_held_bits, set_up_held, ONE_WORD_BITS)
WITH_ROWS(set_up_held_two, set_up_held, TWO_WORDS)
WITH_ROWS(set_up_held_two_bits, set_up_held, TWO_WORDS_BITS)
WITH_ROWS(set_up_last_holder_bits, set_up_last_holder, ONE_WORD_BITS)
WITH_ROWS(set_up_last_holder_two, set_up_last_holder, TWO_WORDS)
WITH_ROWS(set_up_last_holder_two_bits, set_up_last_holder, TWO_WORDS_BITS)
WITH_ROWS(set_up_stale_name_two_bits, set_up_stale_name, TWO_WORDS_BITS)
WITH_ROWS(set_up_old_ticket_bits, set_up_old_ticket, ONE_WORD_BITS)
WITH_ROWS(set_up_old_ticket_two, set_up_old_ticket, TWO_WORDS)
WITH_ROWS(set_up_fork_bits, set_up_fork, ONE_WORD_BITS)
WITH_ROWS(set_up_fork_two, set_up_fork, TWO_WORDS)
WITH_ROWS(set_up_fork_beside_a_thread_bits, set_up_fork_beside_a_thread, ONE_WORD_BITS)
WITH_ROWS(set_up_fork_beside_a_thread_two, set_up_fork_beside_a_thread, TWO_WORDS)
WITH_ROWS(set_up_fork_while_waiting_two, set_up_fork_while_waiting, TWO_WORDS)
WITH_ROWS(set_up_full_two, set_up_full, TWO_WORDS)
WITH_ROWS(set_up_fine_ticket_two, set_up_fine_ticket, TWO_WORDS)
WITH_ROWS(set_up_fine_held_bits, set_up_fine_held, ONE_WORD_BITS)
WITH_ROWS(set_up_fine_held_two_bits, set_up_fine_held, TWO_WORDS_BITS)
WITH_ROWS(set_up_shared_by_one_two_bits, set_up_shared_by_one, TWO_WORDS_BITS)
WITH_ROWS(set_up_three_blocks_two, set_up_three_blocks, TWO_WORDS)
WITH_ROWS(set_up_threads_and_name_bits, set_up_threads_and_name, ONE_WORD_BITS)
WITH_ROWS(set_up_threads_and_name_two_bits, set_up_threads_and_name, TWO_WORDS_BITS)
WITH_ROWS(set_up_threads_and_tickets_bits, set_up_threads_and_tickets, ONE_WORD_BITS)
WITH_ROWS(set_up_threads_and_tickets_two, set_up_threads_and_tickets, TWO_WORDS)
WITH_ROWS(set_up_threads_and_name_two, set_up_threads_and_name, TWO_WORDS)
WITH_ROWS(set_up_threads_that_wait_two, set_up_threads_that_wait, TWO_WORDS)
WITH_ROWS(set_up_to_leave_bits, set_up_to_leave, ONE_WORD_BITS)
WITH_ROWS(set_up_to_leave_two, set_up_to_leave, TWO_WORDS)
WITH_ROWS(set_up_three_of_run_bits, set_up_three_of_run, ONE_WORD_BITS)
WITH_ROWS(set_up_three_of_run_two_bits, set_up_three_of_run, TWO_WORDS_BITS)
WITH_ROWS(set_up_shared_by_two_bits, set_up_shared_by_two, ONE_WORD_BITS)
WITH_ROWS(set_up_shared_by_two_two, set_up_shared_by_two, TWO_WORDS)
WITH_ROWS(set_up_mail_and_ticket_bits, set_up_mail_and_ticket, ONE_WORD_BITS)
WITH_ROWS(set_up_mail_and_ticket_two, set_up_mail_and_ticket, TWO_WORDS)
WITH_ROWS(set_up_reused_bits, set_up_reused, ONE_WORD_BITS)
WITH_ROWS(set_up_reused_two_bits, set_up_reused, TWO_WORDS_BITS)
WITH_ROWS(set_up_to_share_and_recover_bits, set_up_to_share_and_recover, ONE_WORD_BITS)
WITH_ROWS(set_up_to_share_and_recover_two, set_up_to_share_and_recover, TWO_WORDS)
WITH_ROWS(set_up_only_ticket_two, set_up_only_ticket, TWO_WORDS)
WITH_ROWS(set_up_newcomers_two, set_up_newcomers, TWO_WORDS)
WITH_ROWS(set_up_full_and_mail_bits, set_up_full_and_mail, ONE_WORD_BITS)
WITH_ROWS(set_up_full_and_mail_two_bits, set_up_full_and_mail, TWO_WORDS_BITS)

#define SLOTS(stops_, body_, bound_)                                                                                   \
    {.threads = 3,                                                                                                     \
     .set_up = slots_set_up,                                                                                           \
     .body = body_,                                                                                                    \
     .check = slots_at_rest,                                                                                           \
     .bound = bound_,                                                                                                  \
     .stops = stops_,                                                                                                  \
     .stopped = slots_stopped}

const struct scenario scenarios[] = {
    {"singles", "two allocate, drop, allocate; two blocks; bitmap.c step by step",
     LIVING(2, set_up_two_blocks, allocate_drop_allocate, two_succeeded, 5), false},
    {"runs", "two want two of three blocks", LIVING(2, set_up_three_blocks, runs_of_two, some_succeeded, 7), false},
    {"runs_fine", "the same, bitmap.c step by step", LIVING(2, set_up_three_fine, runs_of_two, some_succeeded, 4),
     false},
    {"run_and_singles", "a run of three against singles; three blocks",
     LIVING(2, set_up_three_blocks, run_of_three_or_singles, some_succeeded, 5), false},
    {"three_sizes", "runs of two, one and three in four blocks",
     LIVING(3, set_up_four_blocks, two_one_three, some_succeeded, 4), false},
    {"wrong_head", "a clear bit under a used block: where the run would begin",
     LIVING(2, set_up_wrong_head, run_and_single, at_rest, 6), false},
    {"wrong_tail", "the same where its tail would be: undo", LIVING(2, set_up_wrong_tail, run_and_single, at_rest, 5),
     false},
    {"wrong_run", "the same, two bits wrong, against another run", LIVING(2, set_up_wrong_run, run_and_run, at_rest, 5),
     false},
    {"wrong_and_dropped", "the same, and the block is dropped meanwhile",
     LIVING(3, set_up_wrong_and_dropped, run_or_drop_wrong, at_rest, 4), false},
    {"share", "one sends two tickets and drops, two redeem and drop",
     LIVING(3, set_up_to_share, share_or_redeem, two_succeeded, 4), false},
    {"share_bits", "the same, held by bits", LIVING(3, set_up_to_share_bits, share_or_redeem, two_succeeded, 3), false},
    {"share_two", "the same, rows of two words", LIVING(3, set_up_to_share_two, share_or_redeem, two_succeeded, 3),
     false},
    {"redeem_twice", "two redeem one ticket while its sender drops",
     LIVING(3, set_up_one_ticket, two_redeem, some_succeeded, 4), false},
    {"redeem_twice_bits", "the same, held by bits", LIVING(3, set_up_one_ticket_bits, two_redeem, some_succeeded, 3),
     false},
    {"redeem_twice_two", "the same, rows of two words", LIVING(3, set_up_one_ticket_two, two_redeem, some_succeeded, 3),
     false},
    {"redeem_twice_two_bits", "the same, held by bits in rows of two words",
     LIVING(3, set_up_one_ticket_two_bits, two_redeem, some_succeeded, 3), false},
    {"drop_redeem_reuse", "the last holder drops, another redeems, a third reuses",
     LIVING(3, set_up_held, drop_or_redeem_or_reuse, at_rest, 4), false},
    {"drop_redeem_reuse_bits", "the same, held by bits",
     LIVING(3, set_up_held_bits, drop_or_redeem_or_reuse, at_rest, 4), false},
    {"drop_redeem_reuse_two", "the same, rows of two words",
     LIVING(3, set_up_held_two, drop_or_redeem_or_reuse, at_rest, 4), false},
    {"drop_redeem_reuse_two_bits", "the same, held by bits in rows of two words",
     LIVING(3, set_up_held_two_bits, drop_or_redeem_or_reuse, at_rest, 3), false},
    {"step_back", "an old name is redeemed while its block is used again and shared",
     LIVING(2, set_up_last_holder, reuse_or_step_back, at_rest, 6), false},
    {"step_back_bits", "the same, held by bits", LIVING(2, set_up_last_holder_bits, reuse_or_step_back, at_rest, 5),
     false},
    {"step_back_two", "the same, rows of two words", LIVING(2, set_up_last_holder_two, reuse_or_step_back, at_rest, 5),
     false},
    {"step_back_twice", "two redeem the old name", LIVING(3, set_up_last_holder, reuse_or_step_back, at_rest, 4),
     false},
    {"step_back_twice_bits", "the same, held by bits",
     LIVING(3, set_up_last_holder_bits, reuse_or_step_back, at_rest, 3), false},
    {"step_back_twice_two_bits", "the same, held by bits in rows of two words",
     LIVING(3, set_up_last_holder_two_bits, reuse_or_step_back, at_rest, 3), false},
    {"stale_name", "a stale name takes no other run's ticket", LIVING(3, set_up_stale_name, stale_name, at_rest, 4),
     false},
    {"stale_name_two_bits", "the same, held by bits in rows of two words",
     LIVING(3, set_up_stale_name_two_bits, stale_name, at_rest, 3), false},
    {"free_or_redeem", "shared_pool_drop_last against redeeming, and reuse",
     LIVING(3, set_up_held, free_or_redeem, at_rest, 4), false},
    {"free_or_redeem_bits", "the same, held by bits", LIVING(3, set_up_held_bits, free_or_redeem, at_rest, 4), false},
    {"free_or_redeem_two", "the same, rows of two words", LIVING(3, set_up_held_two, free_or_redeem, at_rest, 4),
     false},
    {"free_or_redeem_two_bits", "the same, held by bits in rows of two words",
     LIVING(3, set_up_held_two_bits, free_or_redeem, at_rest, 3), false},
    {"drop_tickets", "a ticket is dropped while it is redeemed and its sender drops",
     LIVING(3, set_up_old_ticket, drop_tickets_meanwhile, at_rest, 4), false},
    {"drop_tickets_bits", "the same, held by bits",
     LIVING(3, set_up_old_ticket_bits, drop_tickets_meanwhile, at_rest, 3), false},
    {"drop_tickets_two", "the same, rows of two words",
     LIVING(3, set_up_old_ticket_two, drop_tickets_meanwhile, at_rest, 3), false},
    {"new_ticket", "a new ticket is made while old ones are dropped",
     LIVING(2, set_up_old_ticket, new_ticket_meanwhile, at_rest, EXPLORE_UNBOUNDED), false},
    {"new_ticket_bits", "the same, held by bits",
     LIVING(2, set_up_old_ticket_bits, new_ticket_meanwhile, at_rest, EXPLORE_UNBOUNDED), false},
    {"new_ticket_two", "the same, rows of two words",
     LIVING(2, set_up_old_ticket_two, new_ticket_meanwhile, at_rest, EXPLORE_UNBOUNDED), false},
    {"tickets_overtaken", "the last ticket is redeemed and a new one made while old ones are dropped",
     LIVING(2, set_up_old_ticket, redeem_and_share_meanwhile, at_rest, 5), false},
    {"tickets_overtaken_bits", "the same, held by bits",
     LIVING(2, set_up_old_ticket_bits, redeem_and_share_meanwhile, at_rest, 5), false},
    {"tickets_overtaken_two", "the same, rows of two words",
     LIVING(2, set_up_old_ticket_two, redeem_and_share_meanwhile, at_rest, 5), false},
    {"fork", "a parent of two runs forks; all drop, and a third one drops its share",
     LIVING(3, set_up_fork, fork_and_drop, at_rest, 3), false},
    {"fork_bits", "the same, held by bits", LIVING(3, set_up_fork_bits, fork_and_drop, at_rest, 2), false},
    {"fork_two", "the same, rows of two words", LIVING(3, set_up_fork_two, fork_and_drop, at_rest, 3), false},
    {"fork_beside_a_thread", "the same while another thread of the parent drops and takes hold",
     LIVING(3, set_up_fork_beside_a_thread, fork_beside_a_thread, at_rest, 4), false},
    {"fork_beside_a_thread_bits", "the same, held by bits",
     LIVING(3, set_up_fork_beside_a_thread_bits, fork_beside_a_thread, at_rest, 3), false},
    {"fork_beside_a_thread_two", "the same, rows of two words",
     LIVING(3, set_up_fork_beside_a_thread_two, fork_beside_a_thread, at_rest, 3), false},
    {"fork_while_waiting", "the same while another thread of the parent waits, and then the child does",
     LIVING(3, set_up_fork_while_waiting, fork_while_waiting, at_rest, 3), false},
    {"fork_while_waiting_two", "the same, rows of two words",
     LIVING(3, set_up_fork_while_waiting_two, fork_while_waiting, at_rest, 2), false},
    {"wait", "two wait for the blocks that one drops", LIVING(3, set_up_full, drop_or_wait, at_rest, 3), false},
    {"wait_two", "the same, rows of two words", LIVING(3, set_up_full_two, drop_or_wait, at_rest, 3), false},
    {"wait_for_run", "one waits for the run that another drops",
     LIVING(2, set_up_full, drop_or_wait_for_run, at_rest, 6), false},
    {"wait_for_run_two", "the same, rows of two words", LIVING(2, set_up_full_two, drop_or_wait_for_run, at_rest, 5),
     false},
    {"wait_and_undo", "one waits for a block that another claims and gives back",
     LIVING(2, set_up_wrong_and_one_free, undo_or_wait, at_rest, 6), false},
    {"wait_free_fine", "one waits for the run that another frees; bitmap.c step by step",
     LIVING(2, set_up_fine_held, free_or_wait, at_rest, 3), false},
    {"wait_drop_fine", "the same, for the whole run, which another drops",
     LIVING(2, set_up_fine_held, drop_run_or_wait, at_rest, 3), false},
    {"wait_redeem_fine", "the same, which another redeems and drops",
     LIVING(2, set_up_fine_ticket, redeem_or_wait, at_rest, 3), false},
    {"wait_redeem_fine_two", "the same, rows of two words",
     LIVING(2, set_up_fine_ticket_two, redeem_or_wait, at_rest, 3), false},
    {"wait_tickets_fine", "the same, and another drops the tickets",
     LIVING(2, set_up_fine_ticket, drop_tickets_or_wait, at_rest, 3), false},
    {"wait_leave_fine", "the same, whose holder leaves", LIVING(2, set_up_fine_held, leave_or_wait, at_rest, 3), false},
    {"wait_leave_fine_bits", "the same, held by bits", LIVING(2, set_up_fine_held_bits, leave_or_wait, at_rest, 3),
     false},
    {"wait_leave_fine_two_bits", "the same, held by bits in rows of two words",
     LIVING(2, set_up_fine_held_two_bits, leave_or_wait, at_rest, 3), false},
    {"wait_audit_fine", "the same, dropped beside an audit", LIVING(3, set_up_fine_held, audit_or_wait, at_rest, 2),
     false},
    {"wait_undo_fine", "one waits for a block of a claim across words that is undone in the bitmap",
     LIVING(3, set_up_across, across_or_wait, at_rest, 2), false},
    {"audit", "an audit beside two that allocate and drop",
     LIVING(3, set_up_three_blocks, allocate_or_check, at_rest, 3), false},
    {"audit_and_wrong", "the same, and a wrong bit whose block is dropped",
     LIVING(3, set_up_wrong_beside, drop_wrong_or_check, at_rest, 3), false},
    {"audit_and_share", "the same beside sharing and redeeming",
     LIVING(3, set_up_shared_by_one, share_or_check, at_rest, 3), false},
    {"audit_and_share_two_bits", "the same, held by bits in rows of two words",
     LIVING(3, set_up_shared_by_one_two_bits, share_or_check, at_rest, 3), false},
    {"audit_and_die", "a death beside two audits", DYING(1, 3, set_up_three_blocks, die_or_check, at_rest, 2), false},
    {"audit_and_die_two", "the same, rows of two words", DYING(1, 3, set_up_three_blocks_two, die_or_check, at_rest, 1),
     false},
    {"threads_hold", "two threads of a process: one drops, one takes hold; another process reuses",
     LIVING(3, set_up_threads_and_name, drop_or_hold, at_rest, 3), false},
    {"threads_hold_bits", "the same, held by bits", LIVING(3, set_up_threads_and_name_bits, drop_or_hold, at_rest, 3),
     false},
    {"threads_hold_two_bits", "the same, held by bits in rows of two words",
     LIVING(3, set_up_threads_and_name_two_bits, drop_or_hold, at_rest, 3), false},
    {"threads_redeem", "the same, and each redeems a ticket",
     LIVING(2, set_up_threads_and_tickets, drop_or_redeem, at_rest, 4), false},
    {"threads_redeem_bits", "the same, held by bits",
     LIVING(2, set_up_threads_and_tickets_bits, drop_or_redeem, at_rest, 4), false},
    {"threads_redeem_two", "the same, rows of two words",
     LIVING(2, set_up_threads_and_tickets_two, drop_or_redeem, at_rest, 4), false},
    {"threads_free", "the same: one frees, one takes hold",
     LIVING(2, set_up_threads_and_name, free_or_hold, at_rest, 5), false},
    {"threads_free_bits", "the same, held by bits", LIVING(2, set_up_threads_and_name_bits, free_or_hold, at_rest, 5),
     false},
    {"threads_free_two", "the same, rows of two words",
     LIVING(2, set_up_threads_and_name_two, free_or_hold, at_rest, 5), false},
    {"threads_free_two_bits", "the same, held by bits in rows of two words",
     LIVING(2, set_up_threads_and_name_two_bits, free_or_hold, at_rest, 4), false},
    {"threads_wait", "two threads of a process wait for what another process drops",
     LIVING(3, set_up_threads_that_wait, drop_or_both_wait, at_rest, 3), false},
    {"threads_wait_two", "the same, rows of two words",
     LIVING(3, set_up_threads_that_wait_two, drop_or_both_wait, at_rest, 3), false},
    {"leave", "two that hold a run leave, a third redeems a ticket of it",
     LIVING(3, set_up_to_leave, leave_or_redeem, at_rest, 3), false},
    {"leave_bits", "the same, held by bits", LIVING(3, set_up_to_leave_bits, leave_or_redeem, at_rest, 3), false},
    {"leave_two", "the same, rows of two words", LIVING(3, set_up_to_leave_two, leave_or_redeem, at_rest, 3), false},
    {"leave_last", "one dies or not, the other leaves: the name goes with the last living one",
     DYING(1, 2, set_up_two_without_resident, leave_last, nothing_more, 4), false},
    {"attach_and_replace", "one attaches by the name while another pool gets it",
     LIVING(2, set_up_to_replace, attach_or_replace, at_rest, EXPLORE_UNBOUNDED), false},
    {"die_allocating", "a death in allocating or dropping a run, and recovery",
     DYING(1, 2, set_up_three_blocks, die_allocating, at_rest, EXPLORE_UNBOUNDED), false},
    {"die_among_others", "the same, and a third allocates meanwhile",
     DYING(1, 3, set_up_three_blocks, die_while_others_allocate, at_rest, 2), false},
    {"die_undoing", "a death in undoing, beside a single", DYING(1, 3, set_up_wrong_last_tail, die_undoing, at_rest, 3),
     false},
    {"die_beside_wrong", "a death, and mending a wrong bit whose block is dropped",
     DYING(1, 3, set_up_wrong_beside, die_beside_wrong, at_rest, 3), false},
    {"die_freeing", "a death in freeing a run, which is allocated meanwhile",
     DYING(1, 3, set_up_three_of_run, die_freeing, at_rest, 3), false},
    {"die_freeing_bits", "the same, held by bits", DYING(1, 3, set_up_three_of_run_bits, die_freeing, at_rest, 2),
     false},
    {"die_freeing_two_bits", "the same, held by bits in rows of two words",
     DYING(1, 3, set_up_three_of_run_two_bits, die_freeing, at_rest, 2), false},
    {"recoverers_die", "the recoverer dies too, and a third recovers both",
     DYING(2, 3, set_up_three_blocks, recoverers_die, at_rest, 2), false},
    {"recoverers_die_two", "the same, rows of two words",
     DYING(2, 3, set_up_three_blocks_two, recoverers_die, at_rest, 1), false},
    {"die_holding", "a death with a run that another holds too",
     DYING(1, 3, set_up_shared_by_two, die_holding, at_rest, 4), false},
    {"die_holding_bits", "the same, held by bits", DYING(1, 3, set_up_shared_by_two_bits, die_holding, at_rest, 4),
     false},
    {"die_holding_two", "the same, rows of two words", DYING(1, 3, set_up_shared_by_two_two, die_holding, at_rest, 3),
     false},
    {"die_redeeming", "a death in redeeming, and another's ticket",
     DYING(1, 3, set_up_mail_and_ticket, die_redeeming, at_rest, 3), false},
    {"die_redeeming_bits", "the same, held by bits",
     DYING(1, 3, set_up_mail_and_ticket_bits, die_redeeming, at_rest, 3), false},
    {"die_redeeming_two", "the same, rows of two words",
     DYING(1, 3, set_up_mail_and_ticket_two, die_redeeming, at_rest, 3), false},
    {"die_stepping_back", "a death in redeeming an old name; the innocent's ticket stays",
     DYING(1, 3, set_up_reused, die_stepping_back, at_rest, 3), false},
    {"die_stepping_back_bits", "the same, held by bits", DYING(1, 3, set_up_reused_bits, die_stepping_back, at_rest, 2),
     false},
    {"die_stepping_back_two_bits", "the same, held by bits in rows of two words",
     DYING(1, 3, set_up_reused_two_bits, die_stepping_back, at_rest, 2), false},
    {"die_sharing", "a death in sharing and dropping",
     DYING(1, 3, set_up_to_share_and_recover, die_sharing, at_rest, 3), false},
    {"die_sharing_bits", "the same, held by bits",
     DYING(1, 3, set_up_to_share_and_recover_bits, die_sharing, at_rest, 3), false},
    {"die_sharing_two", "the same, rows of two words",
     DYING(1, 3, set_up_to_share_and_recover_two, die_sharing, at_rest, 3), false},
    {"die_dropping_tickets", "a death in dropping tickets of a run that no process holds",
     DYING(1, 3, set_up_only_ticket, die_dropping_tickets, at_rest, 2), false},
    {"die_dropping_tickets_two", "the same, rows of two words",
     DYING(1, 3, set_up_only_ticket_two, die_dropping_tickets, at_rest, 2), false},
    {"die_forking", "a death in a fork, before or after", DYING(1, 3, set_up_fork, die_forking, at_rest, 2), false},
    {"die_forking_bits", "the same, held by bits", DYING(1, 3, set_up_fork_bits, die_forking, at_rest, 2), false},
    {"die_forking_two", "the same, rows of two words", DYING(1, 3, set_up_fork_two, die_forking, at_rest, 2), false},
    {"attach_after_death", "two newcomers recover, and take the dead one's slot",
     DYING(2, 3, set_up_newcomers, attach_after_death, at_rest, 1), false},
    {"attach_after_death_two", "the same, rows of two words",
     DYING(2, 3, set_up_newcomers_two, attach_after_death, at_rest, 1), false},
    {"die_or_wait", "a death with the run that a third waits for",
     DYING(1, 3, set_up_full_and_mail, die_or_wait, the_waiter_got_it, 3), false},
    {"die_or_wait_bits", "the same, held by bits",
     DYING(1, 3, set_up_full_and_mail_bits, die_or_wait, the_waiter_got_it, 2), false},
    {"die_or_wait_two_bits", "the same, held by bits in rows of two words",
     DYING(1, 3, set_up_full_and_mail_two_bits, die_or_wait, the_waiter_got_it, 2), false},
    {"attach_and_probe", "two take slots while they and a third look for the dead, all without the gate",
     SLOTS(0, slots_take_and_probe, 4), false},
    {"attach_and_leave", "three come and go through the gate, two may die", SLOTS(2, slots_come_and_go, 1), false},
};

const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;
