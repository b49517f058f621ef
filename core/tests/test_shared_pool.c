/* Tests of shared_pool.c, one process: what an interrupted step leaves is written by hand. Processes meet in
 * core/explore. */
#include "shared/layout.h"

#include "check.h"

#define BLOCKS 200u

static struct layout_geometry geometry;
static struct shared_pool shared;
static struct shared_pool_audit audit;
static struct shared_pool_fault faults[4];
static void *memory;

static void make_of(uint64_t block_size, uint64_t blocks) {
    CHECK(layout_plan(&geometry, block_size, blocks), ==, true);
    memory = aligned_alloc(4096, geometry.data_at); /* nothing here touches the blocks themselves */
    memset(memory, 0, geometry.data_at);
    layout_make(memory, &geometry);
    layout_init(&shared, memory, &geometry);
}

static void make(void) { make_of(64, BLOCKS); }
static void unmake(void) { free(memory); }

static struct pool_run allocate(unsigned slot, uint64_t n) {
    struct pool_run run;
    CHECK(shared_pool_allocate(&shared, slot, n, 0, &run), ==, SHARED_POOL_OK);
    CHECK(run.index != BITMAP_NONE, ==, true);
    return run;
}

static void drop(unsigned slot, const struct pool_run *run) {
    bool last;
    CHECK(shared_pool_drop(&shared, slot, run, &last), ==, SHARED_POOL_OK);
    if (last) {
        shared_pool_finish(&shared, run);
    }
}

static void check(bool alone) {
    shared_pool_check(&shared, ledger_slot_bit(0) | ledger_slot_bit(1), alone, faults, 4, &audit);
}

static void put(uint64_t index, uint64_t word) { store_relaxed(&shared.ledger[index], word); }

/* --- tickets --- */

static uint32_t time_of(const struct pool_run *run) {
    return (uint32_t)load_relaxed(&shared.records[run->index].details);
}

static void a_sharer_that_was_held_up_makes_no_ticket_look_old(void) {
    make();
    struct pool_run run = allocate(0, 3);
    CHECK(shared_pool_share(&shared, 0, &run, 1, 1060), ==, SHARED_POOL_OK);
    CHECK(shared_pool_share(&shared, 0, &run, 1, 1000), ==, SHARED_POOL_OK); /* it read the clock a minute before */
    CHECK(time_of(&run), ==, 1060);
    CHECK(shared_pool_drop_tickets(&shared, 1030), ==, 0);
    CHECK(shared_pool_share(&shared, 0, &run, 1, 1061), ==, SHARED_POOL_OK);
    CHECK(time_of(&run), ==, 1061);
    CHECK(shared_pool_drop_tickets(&shared, 1061), ==, 3);
    drop(0, &run);
    run = allocate(0, 3); /* the time of an earlier run at this place does not stay */
    CHECK(time_of(&run), ==, 0);
    CHECK(shared_pool_share(&shared, 0, &run, 1, 7), ==, SHARED_POOL_OK);
    CHECK(time_of(&run), ==, 7);
    unmake();
}

static void dropped_tickets_leave_no_mark(void) {
    make();
    struct pool_run kept = allocate(0, 2), alone = allocate(0, 2), fresh = allocate(0, 1);
    CHECK(shared_pool_share(&shared, 0, &kept, 3, 5), ==, SHARED_POOL_OK);
    CHECK(shared_pool_share(&shared, 0, &alone, 2, 5), ==, SHARED_POOL_OK);
    CHECK(shared_pool_share(&shared, 0, &fresh, 1, 6), ==, SHARED_POOL_OK);
    drop(0, &alone);
    CHECK(shared_pool_drop_tickets(&shared, 5), ==, 5);
    CHECK(load_relaxed(&shared.ledger[kept.index]), ==, ledger_live(0));
    CHECK(load_relaxed(&shared.ledger[alone.index]), ==, LEDGER_FREE);
    CHECK(load_relaxed(&shared.ledger[fresh.index]), ==, ledger_share(ledger_live(0), 0, 1));
    CHECK(bitmap_count(&shared.bitmap), ==, 3);
    unmake();
}

/* --- slack --- */

static void slack_of_any_size_comes_back(void) {
    static const uint64_t sizes[] = {8, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 8, UINT64_C(1) << 40,
                                     UINT64_C(1) << 46};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint64_t most = (UINT64_C(1) << 46) / sizes[s], blocks = most < BLOCKS ? most : BLOCKS;
        uint64_t slacks[] = {0, 1, sizes[s] / 2, sizes[s] - 1}, total = 0;
        make_of(sizes[s], blocks);
        for (unsigned k = 0; k < 4; k++) {
            struct pool_run run, found = {0, 0, 0};
            uint64_t n = k < 2 ? 1 : blocks, word;
            struct shared_pool_totals totals;
            bool set;
            CHECK(shared_pool_allocate(&shared, 0, n, slacks[k], &run), ==, SHARED_POOL_OK);
            CHECK(shared_pool_slack(&shared, run.index), ==, slacks[k]);
            CHECK(run.blocks, ==, n);
            found = run;
            found.blocks = 0;
            CHECK(shared_pool_hold(&shared, 1, &found, &set), ==, SHARED_POOL_OK);
            CHECK(found.blocks, ==, n);
            CHECK(shared_pool_share(&shared, 0, &run, 1, UINT32_MAX), ==, SHARED_POOL_OK);
            CHECK(shared_pool_slack(&shared, run.index), ==, slacks[k]);
            CHECK(shared_pool_next_run(&shared, 0, &found, &word), ==, true);
            CHECK(found.blocks, ==, n);
            CHECK(found.generation, ==, run.generation);
            shared_pool_count(&shared, &totals);
            CHECK(totals.slack, ==, slacks[k]);
            check(true);
            CHECK(audit.faults, ==, 0);
            total += shared_pool_drop_tickets(&shared, UINT32_MAX);
            drop(0, &run);
            drop(1, &run);
        }
        CHECK(total, ==, 4);
        unmake();
    }
}

/* --- waking --- */

static uint32_t sequence(void) { return half_load_seq(&shared.waiting->sequence); }

static void a_claim_that_is_undone_in_the_bitmap_wakes_who_waits(void) {
    make();
    struct pool_run other = allocate(0, 1);
    CHECK(bitmap_claim_range(&shared.bitmap, 66, 1), ==, true);
    CHECK(bitmap_claim_range(&shared.bitmap, 60, 8), ==, false); /* 60 to 63 go back */
    CHECK(sequence(), ==, 0);                                    /* nothing waits */
    store_relaxed(&shared.waiting->slots, 2);
    CHECK(bitmap_claim_range(&shared.bitmap, 60, 8), ==, false);
    CHECK(sequence(), ==, 1);
    CHECK(bitmap_claim_range(&shared.bitmap, other.index, 2), ==,
          false); /* nothing was claimed, and nothing goes back */
    CHECK(sequence(), ==, 1);
    unmake();
}

/* --- audit --- */

/* The undecidable: no fault while others may be at work, a fault when none is. */
static void in_transit(uint64_t blocks, uint64_t half, enum shared_pool_fault_kind kind) {
    check(false);
    CHECK(audit.faults, ==, 0);
    CHECK(audit.in_transit, ==, blocks);
    check(true);
    CHECK(audit.faults, ==, half);
    CHECK(faults[0].kind, ==, kind);
    CHECK(audit.faults + audit.in_transit, ==, blocks);
}

static void what_a_stopped_process_leaves_is_no_fault(void) {
    for (uint64_t tails = 0; tails < 5; tails++) {
        make();
        CHECK(bitmap_claim_range(&shared.bitmap, 60, 5), ==, true); /* a run of five, claimed, and not taken yet */
        in_transit(5, 5, SHARED_POOL_FAULT_LOST);
        put(60, ledger_opening(1));
        for (uint64_t d = 1; d <= tails; d++) {
            put(60 + d, ledger_tail(d));
        }
        in_transit(5, 5 - tails, SHARED_POOL_FAULT_HALF); /* tails belong to their head's fault */
        CHECK(audit.healed, ==, 0);
        put(60, ledger_closing(1));
        in_transit(5, 5 - tails, SHARED_POOL_FAULT_HALF);
        (void)bitmap_release_range(&shared.bitmap, 60, 5); /* as a concurrent mend might */
        check(false);
        CHECK(audit.faults, ==, 0);
        CHECK(audit.in_transit, ==, 1 + tails);
        CHECK(audit.healed, ==, 1 + tails);
        shared_pool_recover(&shared, ledger_slot_bit(1));
        check(true);
        CHECK(audit.faults + audit.in_transit + audit.healed, ==, 0);
        unmake();
    }
}

/* One fault, whether or not others are at work. */
static void fault(enum shared_pool_fault_kind kind, uint64_t index) {
    for (unsigned alone = 0; alone < 2; alone++) {
        check(alone);
        CHECK(audit.faults, ==, 1);
        CHECK(faults[0].kind, ==, kind);
        CHECK(faults[0].index, ==, index);
    }
}

static void what_nobody_at_work_can_leave_is_a_fault(void) {
    make();
    struct pool_run run = allocate(0, 4);
    uint64_t at = run.index;
    put(at + 3, LEDGER_FREE); /* a live run has all its tails */
    (void)bitmap_release(&shared.bitmap, at + 3);
    fault(SHARED_POOL_FAULT_OVERLAP, at);
    put(at + 3, ledger_tail(3));
    put(at + 4, ledger_tail(4)); /* and no more */
    fault(SHARED_POOL_FAULT_TAIL, at + 4);
    put(at + 4, LEDGER_FREE);
    (void)bitmap_release(&shared.bitmap, at + 4);
    put(at + 9, ledger_tail(2)); /* nor are there any without a head */
    fault(SHARED_POOL_FAULT_TAIL, at + 9);
    put(at + 9, ledger_tail(100000));
    fault(SHARED_POOL_FAULT_TAIL, at + 9);
    put(at + 9, ledger_live(0) & ~LEDGER_HOLDERS);
    fault(SHARED_POOL_FAULT_WORD, at + 9);
    put(at + 9, LEDGER_FREE);
    (void)bitmap_release(&shared.bitmap, at + 9);
    put(at, ledger_live(0) | ledger_live(2)); /* no process has slot 2 */
    fault(SHARED_POOL_FAULT_HOLDER, at);
    put(at, ledger_live(0));
    (void)bitmap_release(&shared.bitmap, BLOCKS);
    fault(SHARED_POOL_FAULT_PAST_END, BLOCKS);
    unmake();
}

/* Processor time that an audit takes. */
static double audit_time(void) {
    clock_t began = clock();
    check(true);
    return (double)(clock() - began) / CLOCKS_PER_SEC;
}

static void an_audit_of_damage_takes_not_much_longer(void) {
    make_of(8, 1 << 20);
    double sound = audit_time() + 0.001;
    CHECK(audit.faults, ==, 0);
    for (uint64_t i = 0; i < 1 << 20; i++) {
        put(i, ledger_tail(1 + i / 2));
    }
    double damaged = audit_time();
    CHECK(audit.faults, ==, 1 << 20);
    CHECK(damaged < 40 * sound, ==, true);
    if (damaged >= 40 * sound) {
        printf("sound %.6f s, damaged %.6f s\n", sound, damaged);
    }
    unmake();
}

/* --- recovery --- */

static void one_pass_recovers_all_the_dead(void) {
    make();
    struct pool_run both = allocate(0, 3), one = allocate(1, 2), with_ticket = allocate(0, 1), kept = allocate(5, 2);
    bool set;
    CHECK(shared_pool_hold(&shared, 1, &both, &set), ==, SHARED_POOL_OK);
    CHECK(shared_pool_hold(&shared, 0, &kept, &set), ==, SHARED_POOL_OK);
    CHECK(shared_pool_share(&shared, 0, &with_ticket, 1, 1), ==, SHARED_POOL_OK);
    CHECK(bitmap_claim_range(&shared.bitmap, 100, 8), ==, true);
    put(100, ledger_opening(0));
    put(101, ledger_tail(1));
    put(104, ledger_closing(1));
    put(105, ledger_tail(1));
    put(150, ledger_closing(LEDGER_TICKET_SLOT));
    shared_pool_recover(&shared, ledger_slot_bit(0) | ledger_slot_bit(1) | LEDGER_MARK);
    for (uint64_t i = 0; i < BLOCKS; i++) {
        uint64_t word = load_relaxed(&shared.ledger[i]);
        if (i == kept.index) {
            CHECK(word, ==, ledger_live(5));
        } else if (i == with_ticket.index) {
            CHECK(word, ==, ledger_share(ledger_live(0), 0, 1) & ~ledger_slot_bit(0));
        } else {
            CHECK(word, ==, i == kept.index + 1 ? ledger_tail(1) : LEDGER_FREE);
        }
    }
    (void)one;
    CHECK(shared_pool_mend(&shared), ==, 4); /* what was claimed, and not taken */
    CHECK(bitmap_count(&shared.bitmap), ==, 3);
    unmake();
}

static void mend_finds_each_wrong_bit(void) {
    make();
    struct pool_run runs[] = {allocate(0, 1), allocate(0, 70), allocate(0, 3)};
    for (uint64_t wrong = 0; wrong < BLOCKS; wrong++) {
        bool set = bitmap_test(&shared.bitmap, wrong);
        if (set ? !bitmap_release(&shared.bitmap, wrong) : !bitmap_claim_range(&shared.bitmap, wrong, 1)) {
            CHECK(wrong, ==, BITMAP_NONE);
        }
        CHECK(shared_pool_mend(&shared), ==, 1);
        CHECK(bitmap_test(&shared.bitmap, wrong), ==, set);
        CHECK(shared_pool_mend(&shared), ==, 0);
    }
    for (unsigned r = 0; r < 3; r++) {
        drop(0, &runs[r]);
    }
    CHECK(bitmap_count(&shared.bitmap), ==, 0);
    unmake();
}

int main(void) {
    RUN(a_sharer_that_was_held_up_makes_no_ticket_look_old);
    RUN(dropped_tickets_leave_no_mark);
    RUN(slack_of_any_size_comes_back);
    RUN(a_claim_that_is_undone_in_the_bitmap_wakes_who_waits);
    RUN(what_a_stopped_process_leaves_is_no_fault);
    RUN(what_nobody_at_work_can_leave_is_a_fault);
    RUN(an_audit_of_damage_takes_not_much_longer);
    RUN(one_pass_recovers_all_the_dead);
    RUN(mend_finds_each_wrong_bit);
    return check_end();
}
