/* Tests of shared_pool.c in one process: rows of all widths; what another process does in the middle of an operation;
 * and what an interrupted step leaves, written by hand. Processes meet in core/explore. */
#include "accesses.h"

#include "shared/shared_pool.c"

#include "check.h"
#include "sets.h"

#define BLOCKS 200u

static struct layout_geometry geometry;
static struct shared_pool shared, annex;
static struct shared_pool_audit audit;
static struct shared_pool_fault faults[4];
static void *memory;

static void make_for(uint64_t block_size, uint64_t blocks, unsigned processes) {
    memset(&geometry, 0, sizeof geometry);
    CHECK(layout_plan(&geometry, block_size, blocks, processes, 16), ==, true);
    memory = aligned_alloc(4096, geometry.data_at); /* nothing here touches the blocks themselves */
    memset(memory, 0, geometry.data_at);
    layout_make(memory, &geometry);
    layout_init(&shared, &annex, memory, &geometry);
}

static void make_of(uint64_t block_size, uint64_t blocks) { make_for(block_size, blocks, 8); }
static void make(void) { make_of(64, BLOCKS); }
static void unmake(void) { free(memory); }

static struct pool_run allocate_for(unsigned slot, uint64_t n) {
    struct pool_run run = {BITMAP_NONE, 0, 0};
    CHECK(shared_pool_allocate(&shared, slot, n, 0, 0, &run), ==, SHARED_POOL_OK);
    CHECK(run.index != BITMAP_NONE, ==, true);
    return run;
}

static bool drop_by(unsigned slot, const struct pool_run *run) {
    bool last;
    CHECK(shared_pool_drop(&shared, slot, run, &last), ==, SHARED_POOL_OK);
    if (last) {
        shared_pool_finish(&shared, run);
    }
    return last;
}

static enum shared_pool_status hold_by(unsigned slot, const struct pool_run *run) {
    struct pool_run found = {run->index, 0, run->generation};
    bool set;
    enum shared_pool_status status = shared_pool_hold(&shared, slot, &found, &set);
    CHECK(set <= (status == SHARED_POOL_OK), ==, true);
    CHECK(status != SHARED_POOL_OK || found.blocks == run->blocks, ==, true);
    return status;
}

static void check_used(bool alone, const struct slot_set *used) {
    shared_pool_check(&shared, used, alone, true, faults, 4, &audit);
}

static void check(bool alone) {
    struct slot_set used = set_of(bit_of(0) | bit_of(1));
    check_used(alone, &used);
}

static void put(uint64_t index, uint64_t word) { store_relaxed(&shared_pool_entry(&shared, index)->head, word); }
static uint64_t get(uint64_t index) { return load_relaxed(&shared_pool_entry(&shared, index)->head); }
static uint64_t holders(const struct pool_run *run) { return holders_at(&shared, run->index); }

static void recover_slots(uint64_t slots) {
    struct slot_set dead = set_of(slots);
    shared_pool_recover(&shared, &dead, LEDGER_RECOVERY, 0, shared.blocks);
}

/* No fault, nothing allocated, no bit in any row. */
static void empty(void) {
    struct slot_set nobody = {{0}};
    check_used(true, &nobody);
    CHECK(audit.faults + audit.in_transit + audit.healed, ==, 0);
    CHECK(bitmap_count(&shared.bitmap), ==, 0);
    for (uint64_t i = 0; i < shared.blocks; i++) {
        CHECK(get(i), ==, LEDGER_FREE);
    }
}

/* --- rows --- */

static const unsigned widths[] = {1, 2, 63, 64, 65, 256, 257, 320, 321, 4096};
#define WIDTHS (sizeof widths / sizeof *widths)

static void an_entry_is_whole_cache_lines_and_has_a_bit_for_each_slot(void) {
    for (unsigned slots = 1; slots <= LEDGER_MOST_SLOTS; slots++) {
        size_t bytes = shared_pool_entry_bytes(slots), row = bytes - sizeof(struct shared_pool_entry);
        CHECK(bytes % 64, ==, 0);
        CHECK(8 * row, >=, slots);
        CHECK(row, >=, shared_pool_row_words(slots) * 8);
        CHECK(shared_pool_row_words(slots) * 64, >=, slots);
        CHECK(bytes < 32 + (slots + 63) / 64 * 8 + 64 || bytes == 64, ==, true); /* and no more */
    }
    CHECK(shared_pool_entry_bytes(1), ==, 64);
    CHECK(shared_pool_entry_bytes(256), ==, 64);
    CHECK(shared_pool_entry_bytes(257), ==, 128);
    CHECK(shared_pool_entry_bytes(LEDGER_MOST_SLOTS), ==, 576);
}

/* Exactly these slots hold the run, and its neighbors' rows are empty. */
static void held_by(const struct pool_run *run, const struct slot_set *wanted) {
    struct slot_set found, nobody = {{0}};
    uint64_t word = get(run->index);
    shared_pool_holders(&shared, run->index, word, &found);
    CHECK(slot_set_equals(&found, wanted), ==, true);
    for (uint64_t i = run->index - 1; i <= run->index + run->blocks; i++) {
        struct slot_set row;
        if (i != run->index) {
            shared_pool_holders(&shared, i, LEDGER_FREE, &row);
            CHECK(slot_set_equals(&row, &nobody), ==, true);
        }
    }
    static const unsigned some[] = {0, 1, 62, 63, 64, 65, 255, 256, 257, 319, 320, 4095};
    for (unsigned s = 0; s < sizeof some / sizeof *some; s++) {
        if (some[s] < shared.slots) {
            struct slot_set rest = *wanted;
            CHECK(shared_pool_is_held(&shared, run->index, word, some[s]), ==, slot_set_has(wanted, some[s]));
            slot_set_remove(&rest, some[s]);
            CHECK(shared_pool_is_held_elsewhere(&shared, run->index, some[s]), ==, !slot_set_is_empty(&rest));
        }
    }
}

static void any_slots_hold_a_run_until_the_last_drops_it(void) {
    for (unsigned w = 0; w < 4 * WIDTHS; w++) {
        unsigned slots = widths[w / 4], owner = (unsigned)check_below(slots), n = 0;
        static unsigned order[LEDGER_MOST_SLOTS];
        struct slot_set wanted = {{0}};
        make_for(64, BLOCKS, slots);
        (void)allocate_for(owner, 1); /* so that the run has a block before it */
        struct pool_run run = allocate_for(owner, 1 + w % 4);
        slot_set_add(&wanted, owner);
        order[n++] = owner;
        held_by(&run, &wanted);
        for (unsigned slot = 0; slot < slots; slot++) {
            if (slot == owner || (w % 4 && check_below(slots) > 20)) {
                continue; /* all of them, or some */
            }
            struct pool_run found = {run.index, 0, run.generation};
            bool set = false;
            CHECK(shared_pool_hold(&shared, slot, &found, &set), ==, SHARED_POOL_OK);
            CHECK(set, ==, true);
            CHECK(found.blocks, ==, run.blocks);
            CHECK(shared_pool_hold(&shared, slot, &found, &set), ==, SHARED_POOL_OK);
            CHECK(set, ==, false); /* it did already */
            slot_set_add(&wanted, slot);
            order[n++] = slot;
        }
        bool set;
        CHECK(shared_pool_hold(&shared, owner, &run, &set), ==, SHARED_POOL_OK);
        CHECK(set, ==, false);
        held_by(&run, &wanted);
        check_used(true, &wanted);
        CHECK(audit.faults, ==, 0);
        for (unsigned left = n; left > 0; left--) {
            unsigned which = (unsigned)check_below(left), slot = order[which];
            CHECK(drop_by(slot, &run), ==, left == 1);
            slot_set_remove(&wanted, slot);
            order[which] = order[left - 1];
            if (left % 50 == 2 || left < 6) {
                held_by(&run, &wanted);
            }
        }
        CHECK(get(run.index), ==, LEDGER_FREE);
        CHECK(bitmap_count(&shared.bitmap), ==, 1);
        unmake();
    }
}

static void a_run_is_held_by_its_name_only(void) {
    make_for(64, BLOCKS, 257);
    struct pool_run run = allocate_for(0, 3), gone = allocate_for(0, 2);
    CHECK(drop_by(0, &gone), ==, true);
    struct pool_run bad[] = {
        {run.index, 3, run.generation + 1},
        {run.index, 3, run.generation - 1},
        {run.index, 3, run.generation + (UINT64_C(1) << 31)}, /* the head has only its low bits */
        {run.index + 1, 2, 0},
        {run.index + 1, 2, run.generation},
        {gone.index, 2, gone.generation},
        {BLOCKS, 1, 1},
        {UINT64_MAX, 1, 1},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(hold_by(256, &bad[i]), ==, SHARED_POOL_STALE);
        CHECK(hold_by(0, &bad[i]), ==, SHARED_POOL_STALE);
    }
    CHECK(get(run.index) & ~LEDGER_ROW, ==, ledger_live(0, run.generation));
    for (uint64_t i = 0; i < BLOCKS; i++) {
        CHECK(row_at(&shared, i), ==, 0);
    }
    CHECK(drop_by(0, &run), ==, true);
    empty();
    unmake();
}

static void who_does_not_hold_a_run_cannot_drop_it(void) {
    make_for(64, BLOCKS, 257);
    struct pool_run run = allocate_for(0, 3), gone = allocate_for(0, 1);
    bool last = true;
    CHECK(drop_by(0, &gone), ==, true);
    CHECK(hold_by(5, &run), ==, SHARED_POOL_OK);
    for (unsigned round = 0; round < 2; round++) { /* with an owner, and without */
        uint64_t word = get(run.index);
        CHECK(shared_pool_drop(&shared, 256, &run, &last), ==, SHARED_POOL_CORRUPT);
        CHECK(last, ==, false);
        last = true;
        CHECK(shared_pool_drop_last(&shared, 256, &run, &last), ==, SHARED_POOL_CORRUPT);
        CHECK(last, ==, false);
        CHECK(shared_pool_drop_alone(&shared, 256, &run), ==, false);
        CHECK(shared_pool_share(&shared, 256, &run, 1, 1), ==, SHARED_POOL_CORRUPT);
        CHECK(shared_pool_withdraw(&shared, 256, &run), ==, false);
        CHECK(shared_pool_keep(&shared, 256, &run), ==, SHARED_POOL_CORRUPT);
        CHECK(get(run.index), ==, word);
        CHECK(row_at(&shared, run.index), ==, bit_of(5));
        last = true;
        CHECK(shared_pool_drop(&shared, 5, &gone, &last), ==, SHARED_POOL_CORRUPT);
        CHECK(last, ==, false);
        if (round == 0) {
            CHECK(drop_by(0, &run), ==, false);
        }
    }
    CHECK(drop_by(5, &run), ==, true);
    empty();
    unmake();
}

/* --- freeing what may be in use --- */

static bool free_by(unsigned slot, const struct pool_run *run) {
    bool last = false;
    CHECK(shared_pool_drop_last(&shared, slot, run, &last), ==, SHARED_POOL_OK);
    if (last) {
        shared_pool_finish(&shared, run);
    }
    return last;
}

static void only_who_holds_a_run_alone_can_free_it(void) {
    static const unsigned others[] = {1, 63, 64, 256};
    for (unsigned o = 0; o < 4; o++) {
        make_for(64, BLOCKS, 257);
        struct pool_run run = allocate_for(0, 3);
        unsigned slot = others[o];
        CHECK(hold_by(slot, &run), ==, SHARED_POOL_OK);
        CHECK(free_by(0, &run), ==, false); /* the owner; from here on its bit holds the run */
        CHECK(free_by(slot, &run), ==, false);
        CHECK(shared_pool_is_held(&shared, run.index, get(run.index), 0), ==, true);
        CHECK(shared_pool_is_held(&shared, run.index, get(run.index), slot), ==, true);
        CHECK(free_by(0, &run), ==, false);
        CHECK(drop_by(0, &run), ==, false);
        CHECK(shared_pool_share(&shared, slot, &run, 1, 1), ==, SHARED_POOL_OK);
        CHECK(free_by(slot, &run), ==, false); /* a ticket */
        CHECK(shared_pool_withdraw(&shared, slot, &run), ==, true);
        CHECK(shared_pool_keep(&shared, slot, &run), ==, SHARED_POOL_OK);
        CHECK(free_by(slot, &run), ==, false); /* the catalog */
        shared_pool_forget(&shared, &run);
        CHECK(free_by(slot, &run), ==, true);
        run = allocate_for(slot, 2);
        CHECK(free_by(slot, &run), ==, true); /* nobody else ever held it */
        run = allocate_for(slot, 2);
        CHECK(hold_by(0, &run), ==, SHARED_POOL_OK);
        CHECK(drop_by(0, &run), ==, false);
        CHECK(free_by(slot, &run), ==, true); /* nobody else does any more */
        empty();
        unmake();
    }
}

static void one_step_frees_what_nobody_else_ever_held(void) {
    make();
    struct pool_run run = allocate_for(1, 3);
    CHECK(shared_pool_drop_alone(&shared, 0, &run), ==, false);
    CHECK(shared_pool_drop_alone(&shared, 1, &run), ==, true);
    CHECK(shared_pool_drop_alone(&shared, 1, &run), ==, false);
    empty();
    for (unsigned how = 0; how < 4; how++) {
        run = allocate_for(1, 1);
        bool set;
        if (how == 0) { /* what is counted within the process is not in the ledger, but leaves its trace there */
            CHECK(shared_pool_hold(&shared, 1, &run, &set), ==, SHARED_POOL_OK);
        } else if (how == 1) {
            CHECK(hold_by(0, &run), ==, SHARED_POOL_OK);
            CHECK(drop_by(0, &run), ==, false);
        } else if (how == 2) {
            CHECK(shared_pool_share(&shared, 1, &run, 1, 1), ==, SHARED_POOL_OK);
            CHECK(shared_pool_withdraw(&shared, 1, &run), ==, true);
        } else {
            CHECK(shared_pool_keep(&shared, 1, &run), ==, SHARED_POOL_OK);
            shared_pool_forget(&shared, &run);
        }
        CHECK(shared_pool_drop_alone(&shared, 1, &run), ==, false);
        CHECK(drop_by(1, &run), ==, true);
    }
    empty();
    unmake();
}

/* --- what another process does in the middle of an operation --- */

static struct pool_run theirs; /* the run in question */
static unsigned me, you;       /* slots in two words of the row */
static enum shared_pool_status your_status;
static bool freed_by_you;

static void you_hold(void) { your_status = hold_by(you, &theirs); }
static void you_drop(void) { freed_by_you = drop_by(you, &theirs); }

static void you_hold_and_drop(void) {
    you_hold();
    if (your_status == SHARED_POOL_OK) {
        you_drop();
    }
}

/* Both of the two slots, in one word of the row and in two. */
static const unsigned pairs[][2] = {{0, 1}, {3, 64}, {200, 5}, {63, 256}, {256, 4095}};
#define PAIRS (sizeof pairs / sizeof *pairs)

static void make_pair_of(unsigned p) {
    make_for(64, BLOCKS, LEDGER_MOST_SLOTS);
    me = pairs[p][0];
    you = pairs[p][1];
    theirs = allocate_for(me, 3);
    freed_by_you = false;
    your_status = SHARED_POOL_STALE;
}

static void either_the_closer_sees_the_bit_or_the_holder_that_it_is_closed(void) {
    for (unsigned p = 0; p < PAIRS; p++) {
        uint64_t kept = 0, freed = 0;
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            for (unsigned how = 0; how < 4; how++) {
                make_pair_of(p);
                if (how % 2) { /* I hold by my bit, and have no part in the head */
                    CHECK(hold_by(7, &theirs), ==, SHARED_POOL_OK);
                    CHECK(drop_by(me, &theirs), ==, false);
                    CHECK(hold_by(me, &theirs), ==, SHARED_POOL_OK);
                    CHECK(drop_by(7, &theirs), ==, false);
                }
                at_access(k, you_hold);
                bool freed_by_me = how < 2 ? drop_by(me, &theirs) : free_by(me, &theirs);
                came = access_came();
                if (your_status == SHARED_POOL_OK) {
                    CHECK(freed_by_me, ==, false);
                    bool mine_too = shared_pool_is_held(&shared, theirs.index, get(theirs.index), me);
                    CHECK(mine_too, ==, how >= 2); /* what is in use was not freed, and I still hold it */
                    CHECK(shared_pool_is_held(&shared, theirs.index, get(theirs.index), you), ==, true);
                    CHECK(get(theirs.index + 2), ==, ledger_tail(2));
                    if (mine_too) {
                        CHECK(drop_by(me, &theirs), ==, false);
                    }
                    CHECK(drop_by(you, &theirs), ==, true);
                    kept++;
                } else {
                    CHECK(freed_by_me, ==, true);
                    freed++;
                }
                empty();
                unmake();
            }
        }
        CHECK(kept > 10 && freed > 10, ==, true);
    }
}

static void one_of_two_that_drop_at_a_time_frees_the_run(void) {
    for (unsigned p = 0; p < PAIRS; p++) {
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            for (unsigned how = 0; how < 3; how++) {
                make_pair_of(p);
                if (how < 2) {
                    CHECK(hold_by(you, &theirs), ==, SHARED_POOL_OK);
                }
                if (how == 1) { /* nobody owns it */
                    CHECK(drop_by(me, &theirs), ==, false);
                    CHECK(hold_by(me, &theirs), ==, SHARED_POOL_OK);
                }
                at_access(k, how < 2 ? you_drop : you_hold_and_drop);
                bool freed_by_me = drop_by(me, &theirs);
                came = access_came();
                CHECK(freed_by_me + freed_by_you, ==, came || how == 2);
                if (!came && how < 2) {
                    you_drop();
                    CHECK(freed_by_you, ==, true);
                }
                empty();
                unmake();
            }
        }
    }
}

/* The run goes, and another one begins at its place. */
static struct pool_run next;
static void overtake(void) {
    if (drop_by(me, &theirs)) { /* otherwise the holder was in time */
        next = allocate_for(7, 3);
        CHECK(next.index, ==, theirs.index);
    }
}

/* And that one goes too, some accesses later; others held it, so its row decides. */
static uint64_t later;
static bool freed_by_others;

static void drop_the_next(void) {
    bool freed_by_owner = drop_by(7, &next);
    freed_by_others = drop_by(9, &next) || freed_by_owner;
}

static void overtake_twice(void) {
    overtake();
    if (next.generation != theirs.generation) {
        CHECK(hold_by(9, &next), ==, SHARED_POOL_OK);
        at_access(later, drop_the_next);
    }
}

static void who_comes_too_late_holds_nothing_of_the_next_run(void) {
    for (unsigned p = 0; p < PAIRS; p++) {
        uint64_t stale = 0;
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            make_pair_of(p);
            next = theirs;
            at_access(k, overtake);
            you_hold();
            came = access_came();
            CHECK(your_status, ==, next.generation != theirs.generation ? SHARED_POOL_STALE : SHARED_POOL_OK);
            if (your_status == SHARED_POOL_STALE) {
                stale++;
                CHECK(row_at(&shared, next.index), ==, 0);
                CHECK(get(next.index) & ~LEDGER_ROW, ==, ledger_live(7, next.generation));
                CHECK(drop_by(7, &next), ==, true);
                empty();
            }
            unmake();
        }
        CHECK(stale, >, 1);
    }
}

static void who_comes_too_late_frees_what_was_left_to_it(void) {
    for (unsigned p = 0; p < PAIRS; p++) {
        uint64_t left = 0;
        bool overtaken = true;
        for (uint64_t k = 1; overtaken; k++) {
            bool came = true;
            for (later = 1; came; later++) {
                make_pair_of(p);
                next = theirs;
                freed_by_others = false;
                at_access(k, overtake_twice);
                you_hold();
                came = access_came();
                overtaken = next.generation != theirs.generation;
                came &= overtaken;
                CHECK(your_status, ==, overtaken ? SHARED_POOL_STALE : SHARED_POOL_OK);
                if (overtaken && !came) {
                    drop_the_next();
                }
                if (overtaken) {
                    left += !freed_by_others;
                    empty();
                }
                unmake();
            }
        }
        CHECK(left, >, 0);
    }
}

/* While a process forks, another of its threads frees, and another process allocates. */
static void free_and_let_another_have_it(void) {
    if (shared_pool_drop_alone(&shared, me, &theirs)) {
        next = allocate_for(you, 3);
        CHECK(next.index, ==, theirs.index);
    }
}

static void a_forked_child_holds_nothing_of_other_processes(void) {
    const unsigned child = 300;
    bool came = true;
    uint64_t others = 0;
    for (uint64_t k = 1; came; k++) {
        make_pair_of(1);
        next = theirs;
        at_access(k, free_and_let_another_have_it);
        uint64_t given = shared_pool_fork(&shared, me, child, 0, 64);
        came = access_came();
        struct slot_set wanted = {{0}};
        if (next.generation != theirs.generation) {
            others++;
            slot_set_add(&wanted, you);
            CHECK(given, ==, 0);
        } else {
            slot_set_add(&wanted, me);
            slot_set_add(&wanted, child);
            CHECK(given, ==, 1);
        }
        struct slot_set found;
        shared_pool_holders(&shared, next.index, get(next.index), &found);
        CHECK(slot_set_equals(&found, &wanted), ==, true);
        unmake();
    }
    CHECK(others, >, 1);
}

/* --- tickets --- */

static uint32_t time_of(const struct pool_run *run) {
    return (uint32_t)load_relaxed(&shared_pool_entry(&shared, run->index)->details);
}

static void a_sharer_that_was_held_up_makes_no_ticket_look_old(void) {
    make();
    struct pool_run run = allocate_for(0, 3);
    CHECK(shared_pool_share(&shared, 0, &run, 1, 1060), ==, SHARED_POOL_OK);
    CHECK(shared_pool_share(&shared, 0, &run, 1, 1000), ==, SHARED_POOL_OK); /* it read the clock a minute before */
    CHECK(time_of(&run), ==, 1060);
    CHECK(shared_pool_drop_tickets(&shared, 1030), ==, 0);
    CHECK(shared_pool_share(&shared, 0, &run, 1, 1061), ==, SHARED_POOL_OK);
    CHECK(time_of(&run), ==, 1061);
    CHECK(shared_pool_drop_tickets(&shared, 1061), ==, 3);
    drop_by(0, &run);
    run = allocate_for(0, 3); /* the time of an earlier run at this place does not stay */
    CHECK(time_of(&run), ==, 0);
    CHECK(shared_pool_share(&shared, 0, &run, 1, 7), ==, SHARED_POOL_OK);
    CHECK(time_of(&run), ==, 7);
    unmake();
}

static void dropped_tickets_leave_no_mark(void) {
    make();
    struct pool_run kept = allocate_for(0, 2), alone = allocate_for(0, 2), fresh = allocate_for(0, 1);
    CHECK(shared_pool_share(&shared, 0, &kept, 3, 5), ==, SHARED_POOL_OK);
    CHECK(shared_pool_share(&shared, 0, &alone, 2, 5), ==, SHARED_POOL_OK);
    CHECK(shared_pool_share(&shared, 0, &fresh, 1, 6), ==, SHARED_POOL_OK);
    drop_by(0, &alone);
    CHECK(shared_pool_drop_tickets(&shared, 5), ==, 5);
    CHECK(get(kept.index), ==, ledger_live(0, kept.generation) | LEDGER_ROW);
    CHECK(get(alone.index), ==, LEDGER_FREE);
    CHECK(get(fresh.index), ==, ledger_share(ledger_live(0, fresh.generation), 1));
    CHECK(bitmap_count(&shared.bitmap), ==, 3);
    unmake();
}

/* --- messages --- */

#define MINE UINT64_C(0xe000010000000001) /* what the words of carried runs say */
#define OTHERS UINT64_C(0xe000020000000001)

static uint64_t message_word_of(const struct pool_run *run) {
    return load_seq(&shared_pool_entry(&shared, run->index)->message);
}
static void set_message_word(const struct pool_run *run, uint64_t word) {
    store_seq(&shared_pool_entry(&shared, run->index)->message, word);
}

/* As a message lets a run be carried: the word first, and then the flag. */
static void carry(unsigned slot, const struct pool_run *run) {
    set_message_word(run, MINE);
    CHECK(shared_pool_carry(&shared, slot, run), ==, SHARED_POOL_OK);
}

static void a_message_holds_what_it_carries(void) {
    make_for(64, BLOCKS, 257);
    struct pool_run run = allocate_for(0, 3);
    carry(0, &run);
    CHECK(get(run.index), ==, ledger_live(0, run.generation) | LEDGER_CARRIED);
    CHECK(shared_pool_drop_alone(&shared, 0, &run), ==, false); /* the message has it too */
    CHECK(free_by(0, &run), ==, false);
    CHECK(hold_by(256, &run), ==, SHARED_POOL_OK);
    CHECK(drop_by(0, &run), ==, false);
    CHECK(drop_by(256, &run), ==, false);
    struct slot_set nobody = {{0}};
    check_used(true, &nobody); /* nobody but the message: no fault */
    CHECK(audit.faults + audit.in_transit, ==, 0);
    CHECK(hold_by(5, &run), ==, SHARED_POOL_OK); /* its receiver */
    shared_pool_unload(&shared, 5, &run, MINE);
    CHECK(message_word_of(&run), ==, 0);
    CHECK(get(run.index), ==, ledger_live(LEDGER_NOBODY, run.generation) | LEDGER_ROW);
    CHECK(drop_by(5, &run), ==, true);
    empty();
    unmake();
}

static void who_does_not_hold_a_run_cannot_put_it_into_a_message(void) {
    make();
    struct pool_run run = allocate_for(0, 3), gone = allocate_for(0, 2);
    CHECK(drop_by(0, &gone), ==, true);
    CHECK(shared_pool_carry(&shared, 1, &run), ==, SHARED_POOL_CORRUPT);
    CHECK(shared_pool_carry(&shared, 0, &gone), ==, SHARED_POOL_CORRUPT);
    CHECK(get(run.index), ==, ledger_live(0, run.generation));
    CHECK(get(gone.index), ==, LEDGER_FREE);
    CHECK(drop_by(0, &run), ==, true);
    empty();
    unmake();
}

static void a_run_that_only_a_message_carried_is_freed_with_it(void) {
    for (unsigned how = 0; how < 4; how++) { /* dropped by its owner; by a holder; asked about meanwhile; never owned */
        make();
        struct pool_run run = allocate_for(0, 5);
        carry(0, &run);
        if (how == 1 || how == 2) {
            CHECK(hold_by(1, &run), ==, SHARED_POOL_OK);
        }
        CHECK(drop_by(0, &run), ==, false);
        if (how == 1 || how == 2) {
            CHECK(drop_by(1, &run), ==, false);
        }
        shared_pool_unload(&shared, how == 3 ? LEDGER_RECOVERY : 7, &run, MINE);
        CHECK(message_word_of(&run), ==, 0);
        empty();
        shared_pool_unload(&shared, 7, &run, MINE); /* a recovery takes each step again */
        empty();
        unmake();
    }
}

static void a_run_is_unloaded_only_by_the_message_that_carries_it(void) {
    make();
    struct pool_run run = allocate_for(0, 2);
    struct pool_run others[] = {{run.index, 2, run.generation + 1}, {run.index, 2, run.generation - 1}};
    carry(0, &run);
    shared_pool_unload(&shared, 1, &run, OTHERS);
    CHECK(get(run.index), ==, ledger_live(0, run.generation) | LEDGER_CARRIED);
    CHECK(message_word_of(&run), ==, MINE);
    for (unsigned i = 0; i < 2; i++) { /* a run that is gone: only the word goes */
        shared_pool_unload(&shared, 1, &others[i], MINE);
        CHECK(get(run.index), ==, ledger_live(0, run.generation) | LEDGER_CARRIED);
        CHECK(message_word_of(&run), ==, 0);
        set_message_word(&run, MINE);
    }
    shared_pool_unload(&shared, 1, &run, MINE);
    CHECK(get(run.index), ==, ledger_live(0, run.generation));
    CHECK(drop_by(0, &run), ==, true);
    run = allocate_for(0, 2); /* named, but its sender died before the flag */
    set_message_word(&run, MINE);
    shared_pool_unload(&shared, LEDGER_RECOVERY, &run, MINE);
    CHECK(message_word_of(&run), ==, 0);
    CHECK(get(run.index), ==, ledger_live(0, run.generation));
    CHECK(drop_by(0, &run), ==, true);
    empty();
    unmake();
}

/* Carried as `theirs` while somebody else drops it, or holds and drops it, at any access. */
static void either_the_message_frees_the_run_or_who_drops_it(void) {
    for (unsigned p = 0; p < PAIRS; p++) {
        uint64_t by_message = 0, by_you = 0;
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            for (unsigned how = 0; how < 3; how++) {
                make_pair_of(p);
                carry(me, &theirs);
                if (how < 2) {
                    CHECK(hold_by(you, &theirs), ==, SHARED_POOL_OK);
                }
                CHECK(drop_by(me, &theirs), ==, false);
                at_access(k, how < 2 ? you_drop : you_hold_and_drop);
                shared_pool_unload(&shared, me, &theirs, MINE);
                came = access_came();
                if (!came && how < 2) {
                    you_drop();
                }
                by_message += !freed_by_you;
                by_you += freed_by_you;
                CHECK(message_word_of(&theirs), ==, 0);
                empty();
                unmake();
            }
        }
        CHECK(by_message > 2 && by_you > 2, ==, true);
    }
}

/* The same the other way round: the message lets go while somebody drops the run. */
static void the_message_lets_go(void) { shared_pool_unload(&shared, you, &theirs, MINE); }

static void a_drop_meets_a_message_that_lets_go(void) {
    for (unsigned p = 0; p < PAIRS; p++) {
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            for (unsigned how = 0; how < 2; how++) {
                make_pair_of(p);
                carry(me, &theirs);
                if (how) { /* by its row */
                    CHECK(hold_by(7, &theirs), ==, SHARED_POOL_OK);
                    CHECK(drop_by(7, &theirs), ==, false);
                }
                at_access(k, the_message_lets_go);
                (void)drop_by(me, &theirs);
                came = access_came();
                if (!came) {
                    the_message_lets_go();
                }
                empty();
                unmake();
            }
        }
    }
}

static void unload_and_die(void) { shared_pool_unload(&shared, 1, &theirs, MINE); }

static void a_message_that_dies_while_it_lets_go_is_ended_again(void) {
    for (unsigned held = 0; held < 2; held++) {
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            make();
            theirs = allocate_for(1, 3);
            carry(1, &theirs);
            if (held) {
                CHECK(hold_by(0, &theirs), ==, SHARED_POOL_OK);
            }
            CHECK(drop_by(1, &theirs), ==, false);
            at_access(k, die);
            until_death(unload_and_die);
            came = access_came();
            shared_pool_unload(&shared, LEDGER_RECOVERY, &theirs, MINE);
            CHECK(message_word_of(&theirs), ==, 0);
            recover_slots(bit_of(1));
            (void)shared_pool_mend(&shared, 0, BLOCKS);
            if (held) {
                CHECK(holders(&theirs), ==, bit_of(0));
                CHECK(get(theirs.index) & LEDGER_CARRIED, ==, 0);
                CHECK(drop_by(0, &theirs), ==, true);
            }
            empty();
            unmake();
        }
    }
}

static void a_ticket_of_a_message_goes_with_it(void) {
    make();
    struct pool_run run = allocate_for(0, 3), gone = run;
    CHECK(shared_pool_share(&shared, 0, &run, 2, 1), ==, SHARED_POOL_OK);
    gone.generation--;
    shared_pool_drop_ticket(&shared, 1, &gone);
    CHECK(ledger_tickets(get(run.index)), ==, 2);
    CHECK(drop_by(0, &run), ==, false);
    shared_pool_drop_ticket(&shared, 1, &run);
    CHECK(ledger_tickets(get(run.index)), ==, 1);
    shared_pool_drop_ticket(&shared, 1, &run); /* the last one */
    CHECK(get(run.index), ==, LEDGER_FREE);
    shared_pool_drop_ticket(&shared, 1, &run);
    empty();
    run = allocate_for(0, 3);
    CHECK(shared_pool_share(&shared, 0, &run, 1, 1), ==, SHARED_POOL_OK);
    shared_pool_drop_ticket(&shared, 1, &run); /* held by its owner */
    CHECK(get(run.index), ==, ledger_live(0, run.generation) | LEDGER_ROW);
    shared_pool_drop_ticket(&shared, 1, &run); /* there is none any more */
    CHECK(get(run.index), ==, ledger_live(0, run.generation) | LEDGER_ROW);
    CHECK(drop_by(0, &run), ==, true);
    empty();
    unmake();
}

/* A message's own run. */
static struct pool_run left_to_message(unsigned slot, uint64_t n) {
    struct pool_run run = allocate_for(slot, n);
    set_message_word(&run, MINE);
    shared_pool_leave_to_message(&shared, &run);
    CHECK(ledger_is_only_carried(get(run.index)), ==, true);
    CHECK(ledger_generation(get(run.index)), ==, run.generation);
    return run;
}

static void a_message_is_freed_when_it_ends_or_by_its_last_reader(void) {
    make();
    struct pool_run run = left_to_message(0, 3);
    struct slot_set nobody = {{0}};
    check_used(true, &nobody);
    CHECK(audit.faults + audit.in_transit, ==, 0);
    shared_pool_end_message(&shared, 1, &run, MINE);
    empty();
    shared_pool_end_message(&shared, LEDGER_RECOVERY, &run, MINE);
    empty();
    run = left_to_message(0, 3);
    CHECK(hold_by(1, &run), ==, SHARED_POOL_OK); /* who reads it */
    shared_pool_end_message(&shared, 2, &run, MINE);
    CHECK(message_word_of(&run), ==, 0);
    CHECK(get(run.index), ==, ledger_live(LEDGER_NOBODY, run.generation) | LEDGER_ROW);
    CHECK(drop_by(1, &run), ==, true);
    empty();
    run = left_to_message(0, 3);
    CHECK(hold_by(1, &run), ==, SHARED_POOL_OK); /* who has read it */
    CHECK(drop_by(1, &run), ==, false);
    shared_pool_end_message(&shared, 2, &run, MINE);
    CHECK(message_word_of(&run), ==, 0);
    empty();
    unmake();
}

static void a_message_ends_while_somebody_reads_it(void) {
    for (unsigned p = 0; p < PAIRS; p++) {
        uint64_t read = 0, stale = 0;
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            for (unsigned how = 0; how < 3; how++) {
                make_pair_of(p);
                CHECK(drop_by(me, &theirs), ==, true);
                theirs = left_to_message(me, 2);
                if (how == 1) {
                    CHECK(hold_by(you, &theirs), ==, SHARED_POOL_OK);
                }
                at_access(k, how == 0 ? you_hold : how == 1 ? you_drop : you_hold_and_drop);
                shared_pool_end_message(&shared, me, &theirs, MINE);
                came = access_came();
                if (how == 1 && !came) {
                    you_drop();
                } else if (how == 0) {
                    read += your_status == SHARED_POOL_OK;
                    stale += your_status != SHARED_POOL_OK;
                    if (your_status == SHARED_POOL_OK) {
                        CHECK(shared_pool_is_held(&shared, theirs.index, get(theirs.index), you), ==, true);
                        CHECK(message_word_of(&theirs), ==, 0);
                        you_drop();
                        CHECK(freed_by_you, ==, true);
                    }
                }
                empty();
                unmake();
            }
        }
        CHECK(read > 0 && stale > 2, ==, true);
    }
}

static void end_and_die(void) { shared_pool_end_message(&shared, 1, &theirs, MINE); }

static void a_message_whose_end_dies_is_ended_again(void) {
    for (unsigned held = 0; held < 2; held++) {
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            make();
            theirs = left_to_message(1, 3);
            if (held) {
                CHECK(hold_by(0, &theirs), ==, SHARED_POOL_OK);
            }
            at_access(k, die);
            until_death(end_and_die);
            came = access_came();
            shared_pool_end_message(&shared, LEDGER_RECOVERY, &theirs, MINE);
            recover_slots(bit_of(1));
            (void)shared_pool_mend(&shared, 0, BLOCKS);
            if (held) {
                CHECK(holders(&theirs), ==, bit_of(0));
                CHECK(drop_by(0, &theirs), ==, true);
            }
            empty();
            unmake();
        }
    }
}

/* Called before a run is freed. */
static uint64_t ended_at, ended_count;
static void ended(struct shared_pool *pool, uint64_t index, uint64_t n) {
    CHECK(n, ==, 3);
    ended_at = index;
    ended_count++;
    CHECK(ledger_state(load_seq(&shared_pool_entry(pool, index)->head)), ==, LEDGER_IS_CLOSING);
}

static void who_frees_a_run_ends_it_first(void) {
    make();
    shared.watch = (struct shared_pool_watch){&shared_pool_always, 0, 0, NULL, ended};
    ended_count = 0;
    for (unsigned how = 0; how < 6; how++) {
        struct pool_run run = how == 3 ? left_to_message(0, 3) : allocate_for(0, 3);
        CHECK(ended_count, ==, how);
        switch (how) {
        case 0:
            CHECK(shared_pool_drop_alone(&shared, 0, &run), ==, true);
            break;
        case 1:
            CHECK(hold_by(1, &run), ==, SHARED_POOL_OK);
            CHECK(drop_by(0, &run), ==, false);
            CHECK(drop_by(1, &run), ==, true);
            break;
        case 2:
            CHECK(shared_pool_keep(&shared, 0, &run), ==, SHARED_POOL_OK);
            CHECK(drop_by(0, &run), ==, false);
            shared_pool_forget(&shared, &run);
            break;
        case 3:
            shared_pool_end_message(&shared, 0, &run, MINE);
            break;
        case 4:
            recover_slots(bit_of(0));
            break;
        default:
            CHECK(shared_pool_share(&shared, 0, &run, 1, 1), ==, SHARED_POOL_OK);
            CHECK(drop_by(0, &run), ==, false);
            CHECK(shared_pool_drop_tickets(&shared, 1), ==, 1);
        }
        CHECK(ended_count, ==, how + 1);
        CHECK(ended_at, ==, run.index);
    }
    empty();
    unmake();
}

static void what_a_message_carries_is_not_kept_by_tickets_only(void) {
    make();
    struct shared_pool_totals totals;
    struct pool_run run = allocate_for(0, 3);
    carry(0, &run);
    CHECK(shared_pool_share(&shared, 0, &run, 1, 1), ==, SHARED_POOL_OK);
    CHECK(drop_by(0, &run), ==, false);
    shared_pool_count(&shared, &totals);
    CHECK(totals.tickets, ==, 1);
    CHECK(totals.only_tickets, ==, 0);
    shared_pool_unload(&shared, 0, &run, MINE);
    shared_pool_count(&shared, &totals);
    CHECK(totals.only_tickets, ==, 3);
    CHECK(shared_pool_drop_tickets(&shared, 1), ==, 1);
    empty();
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
            CHECK(shared_pool_allocate(&shared, 0, n, slacks[k], 0, &run), ==, SHARED_POOL_OK);
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
            drop_by(0, &run);
            drop_by(1, &run);
        }
        CHECK(total, ==, 4);
        unmake();
    }
}

/* --- waking --- */

static uint32_t sequence(void) { return half_load_seq(&shared.waiting->sequence); }

static void a_claim_that_is_undone_in_the_bitmap_wakes_who_waits(void) {
    make();
    struct pool_run other = allocate_for(0, 1);
    CHECK(bitmap_claim_range(&shared.bitmap, 66, 1), ==, true);
    CHECK(bitmap_claim_range(&shared.bitmap, 60, 8), ==, false); /* 60 to 63 go back */
    CHECK(sequence(), ==, 0);                                    /* nothing waits */
    store_relaxed(&shared.waiting->slots[0], 2);
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

static uint64_t closing(unsigned slot) { return ledger_make(LEDGER_IS_CLOSING, slot, 1); }

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
        put(60, closing(1));
        in_transit(5, 5 - tails, SHARED_POOL_FAULT_HALF);
        (void)bitmap_release_range(&shared.bitmap, 60, 5); /* as a concurrent mend might */
        check(false);
        CHECK(audit.faults, ==, 0);
        CHECK(audit.in_transit, ==, 1 + tails);
        CHECK(audit.healed, ==, 1 + tails);
        recover_slots(bit_of(1));
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
    struct pool_run run = allocate_for(0, 4);
    uint64_t at = run.index, live = get(at);
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
    static const uint64_t words[] = {UINT64_C(1) << 61, UINT64_C(1), UINT64_C(6) << 61, UINT64_MAX};
    for (unsigned i = 0; i < 4; i++) {
        put(at + 9, words[i]);
        fault(SHARED_POOL_FAULT_WORD, at + 9);
    }
    put(at + 9, ledger_opening(8)); /* there is no slot 8 in this pool */
    fault(SHARED_POOL_FAULT_WORD, at + 9);
    put(at + 9, LEDGER_FREE);
    (void)bitmap_release(&shared.bitmap, at + 9);
    const uint64_t strangers[] = {ledger_live(2, run.generation), ledger_opening(2), closing(2),
                                  ledger_make(LEDGER_IS_ASKING, 2, run.generation)};
    for (unsigned i = 0; i < 4; i++) { /* no process has slot 2 */
        put(at, strangers[i]);
        fault(SHARED_POOL_FAULT_HOLDER, at);
    }
    put(at, live);
    static const uint64_t rows[] = {2, 7, 63, 64, 255}; /* nor one of these */
    for (unsigned i = 0; i < 5; i++) {
        static const uint64_t blocks[] = {0, 1, 9, 100}; /* a head, a tail, free ones */
        for (unsigned b = 0; b < 4; b++) {
            atomic_word *word = &shared_pool_entry(&shared, at + blocks[b])->row[rows[i] / 64];
            (void)set_bit_seq(word, rows[i] % 64);
            fault(SHARED_POOL_FAULT_ROW, at + blocks[b]);
            (void)clear_bit_seq(word, rows[i] % 64);
        }
    }
    (void)bitmap_release(&shared.bitmap, BLOCKS);
    fault(SHARED_POOL_FAULT_PAST_END, BLOCKS);
    unmake();
}

static void a_run_that_nobody_holds_is_in_transit_or_a_fault(void) {
    make();
    struct pool_run run = allocate_for(0, 3);
    const uint64_t words[] = {ledger_live(LEDGER_NOBODY, run.generation) | LEDGER_ROW,
                              ledger_live(LEDGER_NOBODY, run.generation),
                              ledger_make(LEDGER_IS_ASKING, 1, run.generation),
                              ledger_make(LEDGER_IS_ASKING, LEDGER_RECOVERY, run.generation)};
    for (unsigned i = 0; i < 4; i++) {
        put(run.index, words[i]);
        check(false);
        CHECK(audit.faults, ==, 0);
        CHECK(audit.in_transit, ==, 1);
        check(true);
        CHECK(audit.faults, ==, 1);
        CHECK(faults[0].kind, ==, SHARED_POOL_FAULT_HALF);
        (void)set_bit_seq(&shared_pool_entry(&shared, run.index)->row[0], 1); /* somebody's bit holds it */
        check(true);
        CHECK(audit.faults, ==, i >= 2);
        (void)clear_bit_seq(&shared_pool_entry(&shared, run.index)->row[0], 1);
    }
    const uint64_t held[] = {words[0] | LEDGER_TICKET, words[0] | LEDGER_KEPT};
    for (unsigned i = 0; i < 2; i++) {
        put(run.index, held[i]);
        check(true);
        CHECK(audit.faults + audit.in_transit, ==, 0);
    }
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
    struct pool_run both = allocate_for(0, 3), one = allocate_for(1, 2), with_ticket = allocate_for(0, 1),
                    kept = allocate_for(5, 2), others = allocate_for(0, 2), loose = allocate_for(5, 2),
                    asked = allocate_for(5, 2), earlier = allocate_for(5, 1), named = allocate_for(1, 1);
    CHECK(hold_by(1, &both), ==, SHARED_POOL_OK);
    CHECK(hold_by(0, &kept), ==, SHARED_POOL_OK);
    CHECK(hold_by(5, &others), ==, SHARED_POOL_OK);
    CHECK(shared_pool_share(&shared, 0, &with_ticket, 1, 1), ==, SHARED_POOL_OK);
    CHECK(shared_pool_keep(&shared, 1, &named), ==, SHARED_POOL_OK);
    put(loose.index, ledger_live(LEDGER_NOBODY, loose.generation) | LEDGER_ROW); /* dropped, and not tried to close */
    put(asked.index, ledger_make(LEDGER_IS_ASKING, 1, asked.generation));
    put(earlier.index, ledger_make(LEDGER_IS_ASKING, LEDGER_RECOVERY, earlier.generation)); /* a recovery that died */
    CHECK(bitmap_claim_range(&shared.bitmap, 100, 8), ==, true);
    put(100, ledger_opening(0));
    put(101, ledger_tail(1));
    put(104, closing(1));
    put(105, ledger_tail(1));
    put(150, closing(LEDGER_RECOVERY));
    (void)set_bit_seq(&shared_pool_entry(&shared, 120)->row[0], 1); /* stepping back from a free block */
    recover_slots(bit_of(0) | bit_of(1));
    for (uint64_t i = 0; i < BLOCKS; i++) {
        uint64_t word = get(i);
        CHECK(row_at(&shared, i), ==, i == others.index ? bit_of(5) : 0);
        if (i == kept.index) {
            CHECK(word, ==, ledger_live(5, kept.generation) | LEDGER_ROW);
        } else if (i == with_ticket.index) {
            CHECK(word, ==, ledger_share(ledger_live(LEDGER_NOBODY, with_ticket.generation), 1));
        } else if (i == named.index) {
            CHECK(word, ==, ledger_keep(ledger_live(LEDGER_NOBODY, named.generation)));
        } else if (i == others.index) {
            CHECK(word, ==, ledger_live(LEDGER_NOBODY, others.generation) | LEDGER_ROW);
        } else {
            CHECK(word, ==, i == kept.index + 1 || i == others.index + 1 ? ledger_tail(1) : LEDGER_FREE);
        }
    }
    (void)one;
    CHECK(shared_pool_mend(&shared, 0, BLOCKS), ==, 4); /* what was claimed, and not taken */
    CHECK(bitmap_count(&shared.bitmap), ==, 6);
    unmake();
}

static void a_process_that_leaves_gives_back_what_it_holds_and_nothing_else(void) {
    make_for(64, BLOCKS, 257);
    struct pool_run mine = allocate_for(256, 3), shared_run = allocate_for(256, 2), others = allocate_for(0, 2),
                    made = allocate_for(0, 1);
    struct slot_set gone = {{0}};
    slot_set_add(&gone, 256);
    CHECK(hold_by(0, &shared_run), ==, SHARED_POOL_OK);
    CHECK(hold_by(256, &others), ==, SHARED_POOL_OK);
    put(made.index, ledger_opening(0)); /* another process is in the middle of making it, or of asking */
    shared_pool_recover(&shared, &gone, 256, 0, BLOCKS);
    CHECK(get(made.index), ==, ledger_opening(0));
    put(made.index, ledger_make(LEDGER_IS_ASKING, 0, made.generation));
    shared_pool_recover(&shared, &gone, 256, 0, BLOCKS);
    CHECK(get(made.index), ==, ledger_make(LEDGER_IS_ASKING, 0, made.generation));
    CHECK(get(mine.index), ==, LEDGER_FREE);
    CHECK(holders(&shared_run), ==, bit_of(0));
    CHECK(holders(&others), ==, bit_of(0));
    CHECK(bitmap_count(&shared.bitmap), ==, 5);
    unmake();
}

static void mend_finds_each_wrong_bit(void) {
    make();
    struct pool_run runs[] = {allocate_for(0, 1), allocate_for(0, 70), allocate_for(0, 3)};
    for (uint64_t wrong = 0; wrong < BLOCKS; wrong++) {
        bool set = bitmap_test(&shared.bitmap, wrong);
        if (set ? !bitmap_release(&shared.bitmap, wrong) : !bitmap_claim_range(&shared.bitmap, wrong, 1)) {
            CHECK(wrong, ==, BITMAP_NONE);
        }
        CHECK(shared_pool_mend(&shared, 0, BLOCKS), ==, 1);
        CHECK(bitmap_test(&shared.bitmap, wrong), ==, set);
        CHECK(shared_pool_mend(&shared, 0, BLOCKS), ==, 0);
    }
    for (unsigned r = 0; r < 3; r++) {
        drop_by(0, &runs[r]);
    }
    CHECK(bitmap_count(&shared.bitmap), ==, 0);
    unmake();
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(an_entry_is_whole_cache_lines_and_has_a_bit_for_each_slot);
    RUN(any_slots_hold_a_run_until_the_last_drops_it);
    RUN(a_run_is_held_by_its_name_only);
    RUN(who_does_not_hold_a_run_cannot_drop_it);
    RUN(only_who_holds_a_run_alone_can_free_it);
    RUN(one_step_frees_what_nobody_else_ever_held);
    RUN(either_the_closer_sees_the_bit_or_the_holder_that_it_is_closed);
    RUN(one_of_two_that_drop_at_a_time_frees_the_run);
    RUN(who_comes_too_late_holds_nothing_of_the_next_run);
    RUN(who_comes_too_late_frees_what_was_left_to_it);
    RUN(a_forked_child_holds_nothing_of_other_processes);
    RUN(a_sharer_that_was_held_up_makes_no_ticket_look_old);
    RUN(dropped_tickets_leave_no_mark);
    RUN(a_message_holds_what_it_carries);
    RUN(who_does_not_hold_a_run_cannot_put_it_into_a_message);
    RUN(a_run_that_only_a_message_carried_is_freed_with_it);
    RUN(a_run_is_unloaded_only_by_the_message_that_carries_it);
    RUN(either_the_message_frees_the_run_or_who_drops_it);
    RUN(a_drop_meets_a_message_that_lets_go);
    RUN(a_message_that_dies_while_it_lets_go_is_ended_again);
    RUN(a_ticket_of_a_message_goes_with_it);
    RUN(a_message_is_freed_when_it_ends_or_by_its_last_reader);
    RUN(a_message_ends_while_somebody_reads_it);
    RUN(a_message_whose_end_dies_is_ended_again);
    RUN(who_frees_a_run_ends_it_first);
    RUN(what_a_message_carries_is_not_kept_by_tickets_only);
    RUN(slack_of_any_size_comes_back);
    RUN(a_claim_that_is_undone_in_the_bitmap_wakes_who_waits);
    RUN(what_a_stopped_process_leaves_is_no_fault);
    RUN(what_nobody_at_work_can_leave_is_a_fault);
    RUN(a_run_that_nobody_holds_is_in_transit_or_a_fault);
    RUN(an_audit_of_damage_takes_not_much_longer);
    RUN(one_pass_recovers_all_the_dead);
    RUN(a_process_that_leaves_gives_back_what_it_holds_and_nothing_else);
    RUN(mend_finds_each_wrong_bit);
    return check_end();
}
