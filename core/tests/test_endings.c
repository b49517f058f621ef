/* Tests of endings.h, and of what shared_pool.c, references.c and recovery.c do by it: tickets end, all of a run
 * together, when the last of them does. Processes meet in core/explore. */
#include "one_pool.h"

#include <sys/stat.h>

#define WHEN 1000u /* seconds on the clock of these tests, which the functions below are given */

static struct endings *endings(void) { return &attachment.shared.endings; }
static uint64_t next_end(void) { return load_seq(&endings()->head->next); }

static uint64_t memory_of_file(void) {
    struct stat file;
    CHECK(fstat(attachment.file.number, &file), ==, 0);
    return (uint64_t)file.st_blocks * 512;
}

/* Creates a pool whose tickets have that lifetime. */
static void make_with(double lifetime) {
    snprintf(name, sizeof name, "%s", process_name());
    struct attachment_request request = {.name = name,
                                         .block_size = BLOCK,
                                         .blocks = BLOCKS,
                                         .processes = PROCESSES,
                                         .lifetime = lifetime,
                                         .gate_seconds = PATIENCE};
    memset(page->told, 0, sizeof page->told);
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
}

static enum shared_pool_status share_until(const struct pool_run *run, uint64_t n, uint32_t end) {
    return shared_pool_share_until(&attachment.shared, attachment.slot, run, n, 1, end);
}

/* Drops what has ended by then. */
static uint64_t end_tickets(uint32_t now) {
    uint64_t freed = 0;
    return shared_pool_end_tickets(&attachment.shared, now, &freed);
}

/* Ages all ends of the pool so that they have come. */
static void let_all_end(void) {
    for (uint64_t i = 0; i < BLOCKS; i++) {
        uint64_t word = load_relaxed(&endings()->words[i]);
        store_relaxed(&endings()->words[i], word ? (word & ~(uint64_t)UINT32_MAX) | 1 : 0);
    }
    store_seq(&endings()->head->next, next_end() ? 1 : 0);
}

static bool is_over(const struct pool_run *run) { return !shared_pool_is_live(&attachment.shared, run); }

/* --- words --- */

static void a_lifetime_is_whole_seconds_and_never_shorter(void) {
    static const struct {
        double seconds;
        uint32_t whole;
    } lifetimes[] = {{0, 0}, {1e-300, 1}, {0.5, 1}, {1, 1}, {1.000001, 2}, {60, 60}, {ENDINGS_MOST, ENDINGS_MOST}};
    for (unsigned i = 0; i < sizeof lifetimes / sizeof *lifetimes; i++) {
        CHECK(endings_whole(lifetimes[i].seconds), ==, lifetimes[i].whole);
    }
    CHECK(endings_end(7, 1), ==, 9); /* the second 7 may be almost over */
    CHECK(endings_end(UINT32_MAX - 5, 60), ==, ENDINGS_NEVER - 1);
    CHECK(endings_end(UINT32_MAX, ENDINGS_MOST), ==, ENDINGS_NEVER - 1);
}

static void whatever_stands_in_the_header_is_a_lifetime_or_none(void) {
    static const double impossible[] = {
        0, -0.0, -1, -1e300, ENDINGS_MOST * 1.5, 1e300, __builtin_inf(), -__builtin_inf()};
    struct endings_head head = {0};
    struct endings some = {&head, NULL};
    for (unsigned i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        head.lifetime = endings_lifetime_word(impossible[i]);
        CHECK(endings_seconds(&some) == 0, ==, true);
    }
    head.lifetime = UINT64_MAX; /* not a number */
    CHECK(endings_seconds(&some) == 0, ==, true);
    head.lifetime = endings_lifetime_word(0.25);
    CHECK(endings_seconds(&some) == 0.25, ==, true);
}

static void an_end_moves_only_forward_within_a_run(void) {
    make_with(60);
    struct pool_run run = allocate(1);
    endings_extend(endings(), run.index, run.generation, 50);
    endings_extend(endings(), run.index, run.generation, 40);
    CHECK((uint32_t)endings()->words[run.index], ==, 50);
    endings_extend(endings(), run.index, run.generation, 60);
    CHECK((uint32_t)endings()->words[run.index], ==, 60);
    endings_extend(endings(), run.index, run.generation + 1, 7); /* a later run */
    CHECK((uint32_t)endings()->words[run.index], ==, 7);
    drop(&run);
    unmake();
}

/* --- a run and its tickets --- */

static void tickets_of_a_run_end_together_with_the_last(void) {
    make_with(60);
    struct pool_run run = allocate(3), later = allocate(1);
    CHECK(share_until(&run, 2, WHEN), ==, SHARED_POOL_OK);
    CHECK(share_until(&run, 1, WHEN + 5), ==, SHARED_POOL_OK);
    CHECK(share_until(&run, 1, WHEN + 2), ==, SHARED_POOL_OK); /* held up after it read the clock */
    CHECK(share_until(&later, 1, WHEN + 9), ==, SHARED_POOL_OK);
    drop(&run);
    drop(&later);
    CHECK(next_end(), ==, WHEN);
    CHECK(end_tickets(WHEN + 4), ==, 0);
    CHECK(next_end(), ==, WHEN + 5);
    CHECK(end_tickets(WHEN + 5), ==, 4);
    CHECK(is_over(&run), ==, true);
    CHECK(next_end(), ==, WHEN + 9);
    CHECK(is_over(&later), ==, false);
    CHECK(end_tickets(WHEN + 9), ==, 1);
    CHECK(next_end(), ==, 0);
    CHECK(count(), ==, 0);
    unmake();
}

static void a_ticket_without_a_lifetime_makes_the_end_never(void) {
    make_with(60);
    struct pool_run run = allocate(1);
    CHECK(share_until(&run, 1, WHEN), ==, SHARED_POOL_OK);
    CHECK(attachment_share_for(&attachment, &run, 1, 0, &failure), ==, POOL_OK);
    CHECK(end_tickets(ENDINGS_NEVER - 1), ==, 0);
    CHECK(next_end(), ==, 0);
    CHECK(share_until(&run, 1, WHEN), ==, SHARED_POOL_OK); /* that one is still in flight */
    CHECK(end_tickets(ENDINGS_NEVER - 1), ==, 0);
    CHECK(tickets_of(&run), ==, 3);
    for (unsigned i = 0; i < 3; i++) { /* when none is left, a new one ends as it says */
        struct pool_run again = run;
        CHECK(attachment_redeem(&attachment, &again), ==, POOL_OK);
        drop(&again);
    }
    CHECK(share_until(&run, 1, WHEN), ==, SHARED_POOL_OK);
    CHECK(end_tickets(WHEN), ==, 1);
    drop(&run);
    CHECK(count(), ==, 0);
    unmake();
}

static void a_run_that_somebody_holds_loses_only_its_tickets(void) {
    make_with(60);
    struct pool_run run = allocate(2);
    CHECK(share_until(&run, 5, WHEN), ==, SHARED_POOL_OK);
    uint64_t freed = 0;
    CHECK(shared_pool_end_tickets(&attachment.shared, WHEN, &freed), ==, 5);
    CHECK(freed, ==, 0);
    CHECK(is_mine_alone(&run), ==, true);
    drop(&run);
    run = allocate(2);
    CHECK(share_until(&run, 5, WHEN), ==, SHARED_POOL_OK);
    drop(&run);
    CHECK(shared_pool_end_tickets(&attachment.shared, WHEN, &freed), ==, 5);
    CHECK(freed, ==, 2);
    unmake();
}

static void the_end_of_an_earlier_run_is_not_that_of_the_next(void) {
    make_with(60);
    struct pool_run run = allocate(1);
    CHECK(share_until(&run, 1, WHEN), ==, SHARED_POOL_OK);
    drop(&run);
    CHECK(end_tickets(WHEN), ==, 1);
    run = allocate(1);
    CHECK(share_until(&run, 1, WHEN - 10), ==, SHARED_POOL_OK);
    CHECK(end_tickets(WHEN - 11), ==, 0);
    CHECK(end_tickets(WHEN - 10), ==, 1);
    drop(&run);
    unmake();
}

static void damaged_words_drop_nothing_early_that_a_look_could_tell(void) {
    make_with(60);
    struct pool_run run = allocate(1);
    CHECK(share_until(&run, 1, WHEN), ==, SHARED_POOL_OK);
    store_relaxed(&endings()->words[run.index], UINT64_MAX); /* of no run */
    CHECK(end_tickets(ENDINGS_NEVER - 1), ==, 0);
    store_relaxed(&endings()->head->next, 1); /* too early: one look more */
    CHECK(attachment_has_ended_tickets(&attachment), ==, true);
    CHECK(end_tickets(WHEN), ==, 0);
    CHECK(attachment_has_ended_tickets(&attachment), ==, false);
    CHECK(drop_tickets(0), ==, 1);
    drop(&run);
    unmake();
}

/* --- memory --- */

static void a_pool_without_lifetimes_has_no_memory_for_them(void) {
    make();
    struct pool_run run = allocate(1);
    struct shared_pool_totals totals;
    uint64_t before = memory_of_file();
    CHECK(before, ==, layout_endings_at(&attachment.geometry));
    CHECK(attachment.lifetime, ==, 0);
    CHECK(attachment_share(&attachment, &run, 1), ==, POOL_OK);
    shared_pool_count(&attachment.shared, &totals);
    CHECK(recover(), ==, 0);
    CHECK(attachment_has_ended_tickets(&attachment), ==, false);
    sound();
    CHECK(next_end(), ==, 0);
    CHECK(memory_of_file(), ==, before);
    CHECK(attachment_share_for(&attachment, &run, 1, 60, &failure), ==, POOL_OK); /* the first */
    CHECK(memory_of_file(), ==, layout_notes_at(&attachment.geometry));
    CHECK(tickets_of(&run), ==, 2);
    let_all_end();
    CHECK(recover(), ==, 0); /* the one before it has no end */
    CHECK(tickets_of(&run), ==, 2);
    CHECK(drop_tickets(0), ==, 2);
    drop(&run);
    unmake();
}

static void the_lifetime_of_a_pool_is_known_to_all_who_attach_it(void) {
    make_with(2.5);
    CHECK(memory_of_file(), ==, layout_notes_at(&attachment.geometry));
    CHECK(attachment.lifetime, ==, 3);
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(other.lifetime, ==, 3);
    CHECK(endings_seconds(&other.shared.endings) == 2.5, ==, true);
    uint32_t before = os_seconds();
    struct pool_run run = allocate_in(&other, 1);
    CHECK(attachment_share(&other, &run, 1), ==, POOL_OK);
    CHECK(next_end(), >=, before + 4);
    CHECK(next_end(), <=, os_seconds() + 4);
    end(&other);
    CHECK(tickets_of(&run), ==, 1);
    let_all_end();
    CHECK(attachment_has_ended_tickets(&attachment), ==, true);
    CHECK(drop_tickets(-1), ==, 1);
    CHECK(attachment_has_recovered(&attachment), ==, true);
    static struct attachment_recovered told_of;
    attachment_take_recovered(&attachment, &told_of);
    CHECK(told_of.tickets, ==, 1);
    CHECK(told_of.their_blocks, ==, 1);
    CHECK(told_of.processes, ==, 0);
    CHECK(attachment_has_recovered(&attachment), ==, false);
    unmake();
}

/* --- deaths --- */

static void share_and_forget_to_say_when(void) {
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = allocate_in(&other, 7);
    CHECK(attachment_share(&other, &run, 3), ==, POOL_OK);
    tell_run(2, &run);
    store_seq(&other.shared.endings.head->next, 0); /* as if it had died before it lowered that */
    reach(1);
    stay();
}

static void recovering_a_dead_sharer_finds_the_end_that_it_did_not_tell(void) {
    make_with(1000);
    pid_t child = start(share_and_forget_to_say_when);
    await(1);
    kill_and_wait(child);
    CHECK(attachment_has_ended_tickets(&attachment), ==, false);
    CHECK(recover(), ==, 1);
    CHECK(next_end(), >, os_seconds());
    struct pool_run run = told_run(2);
    CHECK(tickets_of(&run), ==, 3);
    let_all_end();
    CHECK(drop_tickets(-1), ==, 3);
    CHECK(count(), ==, 0);
    unmake();
}

static void who_cannot_wait_leaves_ended_tickets_while_another_has_the_gate(void) {
    make_with(1000);
    struct pool_run run = allocate(1);
    CHECK(attachment_share(&attachment, &run, 1), ==, POOL_OK);
    let_all_end();
    pid_t child = start(gate_and_stay);
    await(1);
    unsigned slots;
    uint64_t tickets;
    CHECK(attachment_recover(&attachment, 0, -1, &slots, &tickets, &failure), ==, POOL_BUSY);
    CHECK(tickets_of(&run), ==, 1);
    kill_and_wait(child);
    CHECK(attachment_recover(&attachment, 0, -1, &slots, &tickets, &failure), ==, POOL_OK);
    CHECK(tickets, ==, 1);
    drop(&run);
    unmake();
}

int main(void) {
    process_begin();
    RUN(a_lifetime_is_whole_seconds_and_never_shorter);
    RUN(whatever_stands_in_the_header_is_a_lifetime_or_none);
    RUN(an_end_moves_only_forward_within_a_run);
    RUN(tickets_of_a_run_end_together_with_the_last);
    RUN(a_ticket_without_a_lifetime_makes_the_end_never);
    RUN(a_run_that_somebody_holds_loses_only_its_tickets);
    RUN(the_end_of_an_earlier_run_is_not_that_of_the_next);
    RUN(damaged_words_drop_nothing_early_that_a_look_could_tell);
    RUN(a_pool_without_lifetimes_has_no_memory_for_them);
    RUN(the_lifetime_of_a_pool_is_known_to_all_who_attach_it);
    RUN(recovering_a_dead_sharer_finds_the_end_that_it_did_not_tell);
    RUN(who_cannot_wait_leaves_ended_tickets_while_another_has_the_gate);
    CHECK(process_end(), ==, 0);
    return check_end();
}
