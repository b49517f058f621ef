/* Tests of recovery.c: what killed processes leave behind. */
#include "one_pool.h"

/* --- death --- */

static void hold_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    for (unsigned i = 0; i < 5; i++) {
        (void)allocate_in(&other, 1 + i);
    }
    (void)redeem_told(&other, 0);
    struct pool_run sent = allocate_in(&other, 2);
    fill(&other, &sent, 3);
    CHECK(attachment_share(&other, &sent, 1), ==, POOL_OK);
    tell_run(2, &sent);
    uint32_t wait;
    CHECK(attachment_wait_enter(&other, &wait), ==, POOL_OK);
    reach(1);
    stay();
}

static void what_a_killed_process_held_comes_back_and_the_rest_stays(void) {
    make();
    struct pool_run run = allocate(3), alone = allocate(2);
    fill(&attachment, &run, 1);
    fill(&attachment, &alone, 2);
    tell_run(0, &run);
    CHECK(attachment_share(&attachment, &run, 1), ==, POOL_OK);
    pid_t child = start(hold_and_stay);
    await(1);
    CHECK(recover(), ==, 0);
    CHECK(count(), ==, 3 + 2 + 15 + 2);
    CHECK(__builtin_popcountll(waiting_slots()), ==, 1);
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    CHECK(recover(), ==, 0);
    CHECK(count(), ==, 3 + 2 + 2);
    CHECK(waiting_slots(), ==, 0);
    CHECK(is_mine_alone(&run), ==, true);
    CHECK(is_filled(&attachment, &run, 1) && is_filled(&attachment, &alone, 2), ==, true);
    struct pool_run sent = redeem_told(&attachment, 2); /* was in flight, and waited */
    CHECK(is_filled(&attachment, &sent, 3), ==, true);
    CHECK(drop(&sent) && drop(&run) && drop(&alone), ==, true);
    unmake();
}

/* --- the account --- */

static void hold_seven_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    (void)allocate_in(&other, 5);
    (void)allocate_in(&other, 2);
    (void)redeem_told(&other, 0);
    reach(1);
    stay();
}

static void what_was_recovered_can_be_told_once(void) {
    struct attachment_recovered told_of;
    make();
    struct pool_run run = allocate(3);
    tell_run(0, &run);
    CHECK(attachment_share(&attachment, &run, 1), ==, POOL_OK);
    CHECK(attachment_has_recovered(&attachment), ==, false);
    pid_t child = start(hold_seven_and_stay);
    await(1);
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    CHECK(attachment_has_recovered(&attachment), ==, true);
    attachment_take_recovered(&attachment, &told_of);
    CHECK(told_of.processes, ==, 1);
    CHECK(told_of.blocks, ==, 7); /* not those that this process holds too */
    CHECK(told_of.first[0].process, ==, (uint64_t)child);
    CHECK(strstr(told_of.first[0].command, "test_recovery") != NULL, ==, true);
    CHECK(attachment_has_recovered(&attachment), ==, false);
    attachment_take_recovered(&attachment, &told_of);
    CHECK(told_of.processes, ==, 0);
    CHECK(told_of.blocks, ==, 0);
    CHECK(drop(&run), ==, true);
    unmake();
}

/* Holds a run in each part of a large pool, gives every other one a name, and is killed. */
static void hold_everywhere_and_stay(void) {
    struct pool_run run;
    CHECK(attach(&other), ==, POOL_OK);
    for (unsigned i = 0; attachment_allocate(&other, 7, 0, &run) == POOL_OK; i++) {
        if (i % 50 == 0) {
            char what[24];
            snprintf(what, sizeof what, "n%u", i);
            CHECK(attachment_keep(&other, what, &run, false, PATIENCE, &failure), ==, POOL_OK);
        } else if (i % 50 == 1) { /* as if it had died before it wrote the name */
            CHECK(shared_pool_keep(&other.shared, other.slot, &run), ==, SHARED_POOL_OK);
        }
        tell(2, i + 1);
    }
    reach(1);
    stay();
}

static void every_part_of_a_large_pool_is_recovered(void) {
    struct attachment_request request = {
        .name = name, .block_size = BLOCK, .blocks = 7 * 300 + 3, .processes = PROCESSES, .gate_seconds = PATIENCE};
    snprintf(name, sizeof name, "%s", process_name());
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
    pid_t child = start(hold_everywhere_and_stay);
    await(1);
    uint64_t runs = told(2), bits = attachment.geometry.blocks;
    CHECK(runs, >, 290);
    for (uint64_t i = 5; i < bits; i += 97) { /* bits that are wrong everywhere, too */
        if (!bitmap_test(&attachment.shared.bitmap, i)) {
            CHECK(bitmap_claim_range(&attachment.shared.bitmap, i, 1), ==, true);
        }
    }
    CHECK(bitmap_claim_range(&attachment.shared.bitmap, bits - 1, 1) ||
              bitmap_test(&attachment.shared.bitmap, bits - 1),
          ==, true);
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    CHECK(count(), ==, 7 * ((runs + 49) / 50)); /* those that have names */
    for (unsigned i = 0; i < runs; i += 50) {
        char what[24];
        snprintf(what, sizeof what, "n%u", i);
        CHECK(attachment_forget(&attachment, what, PATIENCE, &failure), ==, POOL_OK);
    }
    CHECK(count(), ==, 0);
    struct pool_run all = allocate(bits); /* every summary is right */
    CHECK(drop(&all), ==, true);
    unmake();
}

static void attach_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    (void)allocate_in(&other, 7);
    reach(1);
    stay();
}

static void attaching_recovers_the_dead(void) {
    make();
    pid_t child = start(attach_and_stay);
    await(1);
    kill_and_wait(child);
    CHECK(count(), ==, 7);
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(count(), ==, 0);
    end(&other);
    unmake();
}

static void create_and_stay(void) {
    struct attachment_request request = {.name = name,
                                         .block_size = BLOCK,
                                         .blocks = BLOCKS,
                                         .processes = PROCESSES,
                                         .permanent = told(0) != 0,
                                         .gate_seconds = PATIENCE};
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_OK);
    struct pool_run run = allocate_in(&other, 7);
    CHECK(attachment_share(&other, &run, told(1)), ==, POOL_OK);
    tell_run(2, &run);
    reach(1);
    stay();
}

/* Leaves a pool behind whose only process was killed. */
static void leave_behind(bool permanent, uint64_t tickets) {
    snprintf(name, sizeof name, "%s", process_name());
    tell(0, permanent);
    tell(1, tickets);
    pid_t child = start(create_and_stay);
    await(1);
    kill_and_wait(child); /* from here on, whatever program next makes a pool may sweep it */
}

static void what_a_killed_group_leaves_is_swept(void) {
    leave_behind(false, 1);
    CHECK(attach(&other), ==, POOL_NOT_FOUND); /* tickets do not keep it */
    CHECK(exists(name), ==, false);
    leave_behind(false, 0);
    struct attachment_request request = {
        .name = name, .block_size = BLOCK, .blocks = 10, .processes = PROCESSES, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_OK);
    CHECK(other.geometry.blocks, ==, 10);
    end(&other);
    leave_behind(true, 1);
    CHECK(attach(&attachment), ==, POOL_OK); /* permanent: recovered instead */
    CHECK(count(), ==, 7);
    struct pool_run run = redeem_told(&attachment, 2);
    CHECK(drop(&run), ==, true);
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_OK);
    unmake();
}

static void recovery_refreshes_summaries_that_a_dead_process_did_not_mark(void) {
    make();
    struct bitmap *bitmap = &attachment.shared.bitmap;
    struct pool_run run;
    while (attachment_allocate(&attachment, 1, 0, &run) == POOL_OK) {
    }
    CHECK(bitmap_find(bitmap, 0, 1), ==, BITMAP_NONE); /* every summary is fresh, and knows of no room */
    tell(0, 1);
    pid_t child = start(a_process_attaches);
    await(1);
    /* it released block 0, and died before it marked the chunk */
    store_release(&shared_pool_entry(&attachment.shared, 0)->head, LEDGER_FREE);
    (void)fetch_and_seq(&bitmap->words[0], ~UINT64_C(1));
    CHECK(bitmap_summary_fault(bitmap), !=, BITMAP_NONE);
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    CHECK(bitmap_summary_fault(bitmap), ==, BITMAP_NONE);
    unmake();
}

/* --- dead waiters --- */

static void wait_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    uint32_t wait;
    CHECK(attachment_wait_enter(&other, &wait), ==, POOL_OK);
    CHECK(attachment_wait_enter(&other, &wait), ==, POOL_OK); /* two threads: one bit */
    CHECK(attachment_wait_leave(&other, wait), ==, POOL_OK);
    reach(1);
    attachment_wait_sleep(&other, attachment_wait_sequence(&other), 1000);
    stay();
}

static void the_bit_of_a_killed_waiter_is_cleared(void) {
    make();
    pid_t child = start(wait_and_stay);
    await(1);
    CHECK(waiting_slots(), ==, 2);
    kill_and_wait(child);
    CHECK(waiting_slots(), ==, 2);
    CHECK(recover(), ==, 1);
    CHECK(waiting_slots(), ==, 0);
    unmake();
}

static void look_for_the_dead(void) {
    CHECK(attach(&other), ==, POOL_OK);
    atomic_word *looked = &((struct layout_header *)other.memory)->looked;
    store_relaxed(looked, 0);
    CHECK(attachment_is_looked_after(&other), ==, false);
    unsigned slots;
    uint64_t tickets;
    CHECK(attachment_recover(&other, PATIENCE, -1, &slots, &tickets, &failure), ==, POOL_OK);
    end(&other);
}

/* A look that ends at once is not late: it says when it was. */
static bool is_looked_after(void) {
    CHECK(ended(start(look_for_the_dead)), ==, 0);
    return attachment_is_looked_after(&attachment);
}

static void of_many_that_wait_one_looks_for_the_dead(void) {
    make();
    struct layout_header *header = attachment.memory;
    CHECK(in_some_try(is_looked_after), ==, true);
    store_relaxed(&header->looked, UINT64_MAX); /* whatever stands there */
    CHECK(attachment_is_looked_after(&attachment), ==, false);
    uint64_t now = (uint64_t)(os_now() * 1000);
    store_relaxed(&header->looked, now - 1000);
    CHECK(attachment_is_looked_after(&attachment), ==, false);
    CHECK(recover(), ==, 0); /* who does not wait looks all the same */
    CHECK(load_relaxed(&header->looked), >=, now);
    unmake();
}

static void holder_to_be_killed(void) {
    CHECK(attach(&other), ==, POOL_OK);
    (void)allocate_in(&other, BLOCKS);
    reach(1);
    stay();
}

static void a_waiter_gets_what_a_killed_process_held(void) {
    make();
    pid_t child = start(holder_to_be_killed);
    await(1);
    struct pool_run run;
    uint32_t wait;
    CHECK(attachment_wait_enter(&attachment, &wait), ==, POOL_OK);
    uint32_t sequence = attachment_wait_sequence(&attachment);
    CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_EXHAUSTED);
    kill_and_wait(child);
    attachment_wait_sleep(&attachment, sequence, 0.01); /* nothing wakes it */
    CHECK(recover(), ==, 1);
    CHECK(attachment_wait_sequence(&attachment), !=, sequence); /* other waiters were woken */
    CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_OK);
    CHECK(attachment_wait_leave(&attachment, wait), ==, POOL_OK);
    CHECK(drop(&run), ==, true);
    unmake();
}

int main(void) {
    process_begin();
    RUN(what_a_killed_process_held_comes_back_and_the_rest_stays);
    RUN(what_was_recovered_can_be_told_once);
    RUN(every_part_of_a_large_pool_is_recovered);
    RUN(attaching_recovers_the_dead);
    RUN(what_a_killed_group_leaves_is_swept);
    RUN(recovery_refreshes_summaries_that_a_dead_process_did_not_mark);
    RUN(the_bit_of_a_killed_waiter_is_cleared);
    RUN(of_many_that_wait_one_looks_for_the_dead);
    RUN(a_waiter_gets_what_a_killed_process_held);
    CHECK(process_end(), ==, 0);
    return check_end();
}
