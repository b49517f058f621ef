/* Tests of slot_set.h: each function on sets of a few members, against a plain array of flags. */
#include "shared/slot_set.h"

#include "check.h"

#define MOST LEDGER_MOST_SLOTS

/* Slots at the borders of words and of the set. */
static const unsigned borders[] = {0, 1, 62, 63, 64, 65, 127, 128, 255, 256, 257, 4031, 4032, 4094, 4095};
#define BORDERS (sizeof borders / sizeof *borders)

static void what_is_added_is_there_until_it_is_removed(void) {
    for (unsigned i = 0; i < BORDERS; i++) {
        struct slot_set set = {{0}};
        CHECK(slot_set_is_empty(&set), ==, true);
        slot_set_add(&set, borders[i]);
        slot_set_add(&set, borders[i]);
        CHECK(slot_set_is_empty(&set), ==, false);
        CHECK(slot_set_count(&set), ==, 1);
        for (unsigned slot = 0; slot < MOST; slot++) {
            CHECK(slot_set_has(&set, slot), ==, slot == borders[i]);
        }
        slot_set_remove(&set, borders[(i + 1) % BORDERS]);
        CHECK(slot_set_has(&set, borders[i]), ==, true);
        slot_set_remove(&set, borders[i]);
        slot_set_remove(&set, borders[i]);
        CHECK(slot_set_is_empty(&set), ==, true);
    }
}

static void what_is_no_slot_is_in_no_set(void) {
    struct slot_set all;
    memset(&all, 255, sizeof all);
    CHECK(slot_set_count(&all), ==, MOST);
    CHECK(slot_set_has(&all, MOST - 1), ==, true);
    CHECK(slot_set_has(&all, MOST), ==, false); /* recovery */
    CHECK(slot_set_has(&all, LEDGER_RECOVERY), ==, false);
    CHECK(slot_set_has(&all, LEDGER_NOBODY), ==, false);
    CHECK(slot_set_next(&all, MOST - 1), ==, MOST - 1);
    CHECK(slot_set_next(&all, MOST), ==, LEDGER_NOBODY);
    CHECK(slot_set_next(&all, MOST + 63), ==, LEDGER_NOBODY);
    CHECK(slot_set_next(&all, LEDGER_NOBODY), ==, LEDGER_NOBODY);
}

/* Members as flags. */
struct flags {
    bool has[MOST];
};

static void random_set(struct slot_set *set, struct flags *flags, unsigned members) {
    memset(set, 0, sizeof *set);
    memset(flags, 0, sizeof *flags);
    for (unsigned i = 0; i < members; i++) {
        unsigned slot = check_below(4) ? (unsigned)check_below(MOST) : borders[check_below(BORDERS)];
        slot_set_add(set, slot);
        flags->has[slot] = true;
    }
}

static void every_set_does_what_an_array_of_flags_does(void) {
    static struct flags a, b;
    for (unsigned round = 0; round < 300; round++) {
        struct slot_set first, second;
        unsigned count = 0, differ = 0;
        random_set(&first, &a, (unsigned)check_below(round % 3 ? 6 : 3000));
        random_set(&second, &b, (unsigned)check_below(round % 5 ? 6 : 3000));
        if (round % 4 == 0) {
            second = first;
            b = a;
        }
        unsigned next = slot_set_next(&first, 0);
        for (unsigned slot = 0; slot < MOST; slot++) {
            count += a.has[slot];
            differ += a.has[slot] != b.has[slot];
            if (a.has[slot]) { /* a walk by `next` meets all members in order, and nothing else */
                CHECK(next, ==, slot);
                next = slot_set_next(&first, slot + 1);
            }
        }
        CHECK(next, ==, LEDGER_NOBODY);
        CHECK(slot_set_count(&first), ==, count);
        CHECK(slot_set_is_empty(&first), ==, count == 0);
        CHECK(slot_set_equals(&first, &second), ==, differ == 0);
        slot_set_subtract(&first, &second);
        for (unsigned slot = 0; slot < MOST; slot++) {
            if (slot_set_has(&first, slot) != (a.has[slot] && !b.has[slot])) {
                CHECK(slot, ==, MOST);
            }
            if (slot_set_has(&second, slot) != b.has[slot]) { /* that one stays as it was */
                CHECK(slot, ==, MOST);
            }
        }
    }
}

static void sets_that_differ_in_one_slot_are_not_equal(void) {
    for (unsigned i = 0; i < BORDERS; i++) {
        struct slot_set a = {{0}}, b = {{0}};
        for (unsigned k = 0; k < BORDERS; k++) {
            slot_set_add(&a, borders[k]);
            slot_set_add(&b, borders[k]);
        }
        CHECK(slot_set_equals(&a, &b), ==, true);
        slot_set_remove(&b, borders[i]);
        CHECK(slot_set_equals(&a, &b), ==, false);
        CHECK(slot_set_equals(&b, &a), ==, false);
    }
}

static void the_next_member_is_found_over_borders_of_words(void) {
    for (unsigned i = 0; i < BORDERS; i++) {
        for (unsigned k = i; k < BORDERS; k++) {
            struct slot_set set = {{0}};
            slot_set_add(&set, borders[k]);
            CHECK(slot_set_next(&set, borders[i]), ==, borders[k]);
            CHECK(slot_set_next(&set, borders[k] + 1), ==, LEDGER_NOBODY);
        }
    }
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(what_is_added_is_there_until_it_is_removed);
    RUN(what_is_no_slot_is_in_no_set);
    RUN(every_set_does_what_an_array_of_flags_does);
    RUN(sets_that_differ_in_one_slot_are_not_equal);
    RUN(the_next_member_is_found_over_borders_of_words);
    return check_end();
}
