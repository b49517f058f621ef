/* Tests of references.c: allocating, freeing, passing on and waiting, by the threads and processes of one pool. */
#include "one_pool.h"

#include <pthread.h>

/* --- allocating, freeing, passing on --- */

static void a_full_pool_says_so(void) {
    make();
    struct pool_run all = allocate(BLOCKS), one;
    CHECK(attachment_allocate(&attachment, 1, 0, &one), ==, POOL_EXHAUSTED);
    CHECK(attachment_allocate(&attachment, 2, 0, &one), ==, POOL_EXHAUSTED);
    CHECK(drop(&all), ==, true);
    CHECK(attachment_allocate(&attachment, BLOCKS + 1, 0, &one), ==, POOL_EXHAUSTED);
    one = allocate(1);
    CHECK(attachment_allocate(&attachment, BLOCKS, 0, &all), ==, POOL_EXHAUSTED);
    CHECK(drop(&one), ==, true);
    unmake();
}

static void freeing_needs_the_only_reference(void) {
    make();
    struct pool_run run = allocate(3), again = run;
    uint32_t extra;
    CHECK(attachment_redeem(&attachment, &again), ==, POOL_OK); /* a handle: a second reference of this process */
    CHECK(attachment_free(&attachment, &run, &extra), ==, POOL_IN_USE);
    CHECK(extra, ==, 1);
    CHECK(drop(&again), ==, false);
    CHECK(attachment_share(&attachment, &run, 2), ==, POOL_OK);
    CHECK(attachment_free(&attachment, &run, &extra), ==, POOL_IN_USE);
    CHECK(tickets_of(&run), ==, 2);
    CHECK(drop_tickets(1000), ==, 0); /* younger than that */
    CHECK(drop_tickets(0), ==, 2);
    CHECK(attach(&other), ==, POOL_OK);
    again = (struct pool_run){run.index, 0, run.generation};
    CHECK(attachment_redeem(&other, &again), ==, POOL_OK);
    CHECK(attachment_free(&attachment, &run, &extra), ==, POOL_IN_USE);
    CHECK(holders_of(&run), ==, bit_of(attachment.slot) | bit_of(other.slot));
    CHECK(drop_from(&other, &again), ==, false);
    CHECK(free_run(&run), ==, POOL_OK);
    CHECK(count(), ==, 0);
    CHECK(free_run(&run), ==, POOL_CORRUPT); /* the caller counts its own references, see attachment.h */
    end(&other);
    unmake();
}

static void a_reference_in_flight_is_withdrawn_once(void) {
    make();
    struct pool_run run = allocate(2);
    CHECK(attachment_withdraw(&attachment, &run), ==, false);
    CHECK(attachment_share(&attachment, &run, 2), ==, POOL_OK);
    CHECK(attachment_withdraw(&attachment, &run), ==, true);
    CHECK(tickets_of(&run), ==, 1);
    CHECK(attachment_withdraw(&attachment, &run), ==, true);
    CHECK(attachment_withdraw(&attachment, &run), ==, false);
    CHECK(is_mine_alone(&run), ==, true);
    CHECK(free_run(&run), ==, POOL_OK);
    CHECK(attachment_withdraw(&attachment, &run), ==, false); /* not held, so nothing to withdraw */
    CHECK(head_word(&run), ==, LEDGER_FREE);
    unmake();
}

static void a_stale_handle_is_never_anothers_data(void) {
    make();
    struct pool_run run = allocate(2), old = run;
    CHECK(drop(&run), ==, true);
    CHECK(attachment_redeem(&attachment, &old), ==, POOL_STALE);
    run = allocate(2);
    CHECK(run.index, ==, old.index);
    CHECK(run.generation, ==, old.generation + 1);
    CHECK(attachment_redeem(&attachment, &old), ==, POOL_STALE);
    struct pool_run inner = {run.index + 1, 0, 0}, outside = {BLOCKS, 0, 1}, far = {UINT64_MAX, 0, 1};
    CHECK(attachment_redeem(&attachment, &inner), ==, POOL_STALE);
    CHECK(attachment_redeem(&attachment, &outside), ==, POOL_STALE);
    CHECK(attachment_redeem(&attachment, &far), ==, POOL_STALE);
    CHECK(is_mine_alone(&run), ==, true);
    CHECK(drop(&run), ==, true);
    unmake();
}

static void a_run_has_at_most_8191_tickets(void) {
    make();
    struct pool_run run = allocate(1);
    CHECK(attachment_share(&attachment, &run, 8192), ==, POOL_TICKETS);
    CHECK(attachment_share(&attachment, &run, 8000), ==, POOL_OK);
    CHECK(attachment_share(&attachment, &run, 192), ==, POOL_TICKETS);
    CHECK(attachment_share(&attachment, &run, 191), ==, POOL_OK);
    CHECK(attachment_share(&attachment, &run, 1), ==, POOL_TICKETS);
    CHECK(tickets_of(&run), ==, 8191);
    CHECK(drop(&run), ==, false); /* the tickets keep it */
    for (unsigned i = 0; i < 8191; i++) {
        struct pool_run again = {run.index, 0, run.generation};
        CHECK(attachment_redeem(&attachment, &again), ==, POOL_OK);
        CHECK(drop(&again), ==, i == 8190);
    }
    unmake();
}

static void only_a_dropped_ticket_frees_what_nobody_holds(void) {
    make();
    struct pool_run run = allocate(5);
    CHECK(attachment_share(&attachment, &run, 3), ==, POOL_OK);
    CHECK(drop(&run), ==, false);
    CHECK(count(), ==, 5);
    sound();
    CHECK(drop_tickets(0), ==, 3);
    CHECK(count(), ==, 0);
    unmake();
}

/* --- waiting --- */

static void wait_for_room(void) {
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = {BITMAP_NONE, 0, 0};
    uint32_t wait;
    CHECK(attachment_wait_enter(&other, &wait), ==, POOL_OK);
    for (;;) {
        uint32_t sequence = attachment_wait_sequence(&other);
        if (attachment_allocate(&other, told(0), 0, &run) == POOL_OK) {
            break;
        }
        reach(1);
        attachment_wait_sleep(&other, sequence, 1000); /* only a wake ends it in time */
    }
    CHECK(attachment_wait_leave(&other, wait), ==, POOL_OK);
    CHECK(drop_from(&other, &run), ==, true);
    end(&other);
}

static void a_waiter_wakes_when_another_process_frees(void) {
    for (uint64_t n = 1; n <= 2; n++) {
        make();
        struct pool_run all = allocate(BLOCKS);
        tell(0, n);
        pid_t child = start(wait_for_room);
        await(1);
        CHECK(SOON(waiting_slots() == 2), ==, true);
        os_sleep(0.02); /* asleep, most likely */
        CHECK(drop(&all), ==, true);
        CHECK(ended(child), ==, 0);
        CHECK(waiting_slots(), ==, 0);
        unmake();
    }
}

/* --- all at once --- */

#define THREADS 4u

/* Redeems and drops one run that all have, and allocates and drops its own. Returns how many calls went wrong. */
static void *use_one_attachment(void *context) {
    uint64_t wrong = 0;
    uint32_t wait = 0;
    (void)context;
    for (unsigned i = 0; i < 2000; i++) {
        struct pool_run again = {held.index, 0, held.generation}, own;
        bool freed = true;
        wrong += UNLOCKED(attachment_redeem(&attachment, &again)) != POOL_OK;
        wrong += i % 8 == 0 && UNLOCKED(attachment_wait_enter(&attachment, &wait)) != POOL_OK;
        wrong += attachment_allocate(&attachment, 1 + i % 3, 0, &own) != POOL_OK;
        wrong += i % 4 == 0 && attachment_share(&attachment, &again, 1) != POOL_OK;
        wrong += UNLOCKED(attachment_drop(&attachment, &own, &freed)) != POOL_OK || !freed;
        wrong += i % 8 == 0 && UNLOCKED(attachment_wait_leave(&attachment, wait)) != POOL_OK;
        wrong += UNLOCKED(attachment_drop(&attachment, &again, &freed)) != POOL_OK || freed;
    }
    return (void *)(uintptr_t)wrong;
}

static void threads_count_their_references_to_one_run(void) {
    pthread_t threads[THREADS];
    make();
    held = allocate(2);
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, use_one_attachment, NULL), ==, 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        CHECK((uintptr_t)wrong, ==, 0);
    }
    CHECK(waiting_slots(), ==, 0);
    (void)drop_tickets(0); /* those that a redeem did not take */
    CHECK(is_mine_alone(&held), ==, true);
    CHECK(count(), ==, 2);
    CHECK(drop(&held), ==, true);
    unmake();
}

#define WORKERS 4u
#define STEPS 4000u

/* Allocates, fills, looks, frees; every run is its own as long as it has it. */
static void work(void) {
    struct pool_run runs[16];
    unsigned n = 0;
    check_random_state = (uint64_t)getpid() * 2 + 1;
    int with = (int)(getpid() % 250) + 1;
    CHECK(attach(&other), ==, POOL_OK);
    for (unsigned i = 0; i < STEPS; i++) {
        if (n < 16 && check_below(2) && attachment_allocate(&other, 1 + check_below(4), 0, &runs[n]) == POOL_OK) {
            fill(&other, &runs[n++], with);
        } else if (n > 0) {
            unsigned which = (unsigned)check_below(n);
            CHECK(is_filled(&other, &runs[which], with), ==, true);
            CHECK(drop_from(&other, &runs[which]), ==, true);
            runs[which] = runs[--n];
        }
    }
    if (getpid() % 2) {
        end(&other);
    } /* else it just dies */
}

static void processes_never_share_a_block_by_accident(void) {
    make();
    pid_t children[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        children[i] = start(work);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        CHECK(ended(children[i]), ==, 0);
    }
    (void)recover();
    CHECK(count(), ==, 0);
    unmake();
}

int main(void) {
    process_begin();
    RUN(a_full_pool_says_so);
    RUN(freeing_needs_the_only_reference);
    RUN(a_reference_in_flight_is_withdrawn_once);
    RUN(a_stale_handle_is_never_anothers_data);
    RUN(a_run_has_at_most_8191_tickets);
    RUN(only_a_dropped_ticket_frees_what_nobody_holds);
    RUN(a_waiter_wakes_when_another_process_frees);
    RUN(threads_count_their_references_to_one_run);
    RUN(processes_never_share_a_block_by_accident);
    CHECK(process_end(), ==, 0);
    return check_end();
}
