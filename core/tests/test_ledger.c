/* Tests of ledger.h: every function, on every word of a small space, against a model that keeps the parts apart. */
#include "shared/ledger.h"

#include "check.h"

/* A word taken apart. */
struct parts {
    uint64_t state;
    unsigned slot; /* or LEDGER_NOBODY */
    uint64_t tickets;
    bool row, kept, mark, carried, timed;
    uint64_t generation;
};

static const unsigned slots[] = {0, 1, 63, 64, 255, 256, 4095};
#define SLOTS (sizeof slots / sizeof *slots)
/* Whatever can stand in the field: also recovery, and numbers past it. */
static const unsigned fields[] = {LEDGER_NOBODY, 0, 1, 63, 64, 255, 256, 4095, LEDGER_RECOVERY, 4097, 8190};
#define FIELDS (sizeof fields / sizeof *fields)
static const uint64_t ticket_counts[] = {0, 1, 2, 4096, 8190, 8191};
#define TICKETS (sizeof ticket_counts / sizeof *ticket_counts)
static const uint64_t generations[] = {0, 1, 0x12345678, LEDGER_GENERATION};
#define GENERATIONS (sizeof generations / sizeof *generations)

static uint64_t pack(struct parts p) {
    return p.state << 61 | (uint64_t)(p.slot == LEDGER_NOBODY ? 0 : p.slot + 1) << 48 | p.tickets << 35 |
           (uint64_t)p.row << 34 | (uint64_t)p.kept << 33 | (uint64_t)p.mark << 32 | (uint64_t)p.carried << 31 |
           (uint64_t)p.timed << 30 | p.generation;
}

/* In a pool of so many slots. */
static bool expect_valid(struct parts p, unsigned of) {
    bool plain = !p.tickets && !p.row && !p.kept && !p.mark && !p.carried && !p.timed;
    switch (p.state) {
    case LEDGER_IS_FREE:
        return plain && p.slot == LEDGER_NOBODY && p.generation == 0;
    case LEDGER_IS_TAIL:
        return plain && p.slot == LEDGER_NOBODY && p.generation > 0 && p.generation < 1 << 24;
    case LEDGER_IS_OPENING:
    case LEDGER_IS_ASKING:
    case LEDGER_IS_CLOSING:
        return plain && (p.slot < of || p.slot == LEDGER_RECOVERY);
    case LEDGER_IS_LIVE:
        return p.slot < of || p.slot == LEDGER_NOBODY;
    default:
        return false;
    }
}

/* Calls `each` with every combination of the parts above. */
static void for_each_word(void (*each)(struct parts, uint64_t word)) {
    struct parts p;
    for (p.state = 0; p.state < 8; p.state++) {
        for (unsigned f = 0; f < FIELDS; f++) {
            for (unsigned t = 0; t < TICKETS; t++) {
                for (unsigned flags = 0; flags < 32; flags++) {
                    for (unsigned g = 0; g < GENERATIONS; g++) {
                        p.slot = fields[f];
                        p.tickets = ticket_counts[t];
                        p.row = flags & 1;
                        p.kept = flags & 2;
                        p.mark = flags & 4;
                        p.carried = flags & 8;
                        p.timed = flags & 16;
                        p.generation = generations[g];
                        each(p, pack(p));
                    }
                }
            }
        }
    }
}

/* The result is refused or what the model says; and valid, if the word was. */
static void expect(struct parts before, uint64_t result, bool applies, struct parts wanted) {
    CHECK(result, ==, applies ? pack(wanted) : LEDGER_REFUSED);
    CHECK(result == LEDGER_REFUSED || !expect_valid(before, LEDGER_MOST_SLOTS) ||
              ledger_is_valid(result, LEDGER_MOST_SLOTS),
          ==, true);
}

/* --- taking words apart --- */

static void the_parts_of_a_word_do_not_overlap(void) {
    const uint64_t parts[] = {UINT64_C(7) << LEDGER_STATE_AT,
                              LEDGER_SLOT_MASK,
                              LEDGER_TICKETS_MASK,
                              LEDGER_ROW,
                              LEDGER_KEPT,
                              LEDGER_MARK,
                              LEDGER_CARRIED,
                              LEDGER_TIMED,
                              LEDGER_GENERATION};
    uint64_t all = 0;
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        CHECK(all & parts[i], ==, 0);
        all |= parts[i];
    }
    CHECK(~all, ==, 0);
}

static bool is_loose(struct parts p) {
    return p.state == LEDGER_IS_LIVE && p.slot == LEDGER_NOBODY && !p.tickets && !p.kept && !p.carried;
}

static void parts_of(struct parts p, uint64_t word) {
    bool run = p.state == LEDGER_IS_LIVE || p.state == LEDGER_IS_ASKING;
    CHECK(ledger_state(word), ==, p.state);
    CHECK(ledger_slot(word), ==, p.slot);
    CHECK(ledger_tickets(word), ==, p.tickets);
    CHECK(ledger_generation(word), ==, p.generation);
    CHECK(ledger_is_live(word), ==, p.state == LEDGER_IS_LIVE);
    CHECK(ledger_is_asking(word), ==, p.state == LEDGER_IS_ASKING);
    CHECK(ledger_is_run(word), ==, run);
    CHECK(ledger_is_head(word), ==, run || p.state == LEDGER_IS_OPENING || p.state == LEDGER_IS_CLOSING);
    CHECK(ledger_is_loose(word), ==, is_loose(p));
    CHECK(ledger_is_only_carried(word), ==,
          p.state == LEDGER_IS_LIVE && p.slot == LEDGER_NOBODY && p.carried && !p.tickets && !p.row && !p.kept &&
              !p.mark && !p.timed);
    CHECK(ledger_is_timed(word), ==, p.state == LEDGER_IS_LIVE && p.timed && p.tickets > 0);
    static const unsigned sizes[] = {1, 2, 64, 65, 256, 257, 4096};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        CHECK(ledger_is_valid(word, sizes[s]), ==, expect_valid(p, sizes[s]));
    }
    for (unsigned s = 0; s < SLOTS; s++) {
        bool owner = p.state == LEDGER_IS_LIVE && p.slot == slots[s];
        CHECK(ledger_is_owner(word, slots[s]), ==, owner);
        CHECK(ledger_is_alone(word, slots[s]), ==,
              owner && !p.tickets && !p.row && !p.kept && !p.mark && !p.carried && !p.timed);
    }
    for (unsigned g = 0; g < GENERATIONS; g++) { /* the high bits of a generation are not in the head */
        uint64_t generation = generations[g] | UINT64_C(0x55) << 30;
        CHECK(ledger_is_run_of(word, generation), ==, run && p.generation == generations[g]);
    }
}

static void a_word_is_taken_apart_and_judged(void) {
    for_each_word(parts_of);
    CHECK(ledger_is_valid(LEDGER_REFUSED, LEDGER_MOST_SLOTS), ==, false);
    CHECK(ledger_is_valid(LEDGER_FREE, 1), ==, true);
}

static void every_slot_is_told_apart(void) {
    for (unsigned slot = 0; slot <= LEDGER_MOST_SLOTS; slot++) { /* and recovery */
        uint64_t live = ledger_live(slot, 77), opening = ledger_opening(slot);
        CHECK(ledger_slot(opening), ==, slot);
        CHECK(ledger_slot(live), ==, slot);
        CHECK(ledger_is_valid(live, slot), ==, false);
        CHECK(ledger_is_valid(live, slot + 1), ==, true);
        CHECK(ledger_is_valid(opening, slot), ==, slot == LEDGER_RECOVERY);
        CHECK(ledger_is_valid(opening, slot + 1), ==, true);
        CHECK(ledger_is_owner(live, slot), ==, true);
        CHECK(ledger_is_owner(live, slot ^ 1), ==, false);
        CHECK(ledger_leave(live, slot), ==, ledger_make(LEDGER_IS_CLOSING, slot, 77));
        CHECK(ledger_leave(live, slot ^ 64), ==, LEDGER_REFUSED);
    }
    CHECK(ledger_slot(ledger_live(LEDGER_NOBODY, 5)), ==, LEDGER_NOBODY);
}

static void a_tail_keeps_its_distance(void) {
    for (uint64_t d = 1; d < LEDGER_MOST_BLOCKS; d += d < 100 ? 1 : 99991) {
        CHECK(ledger_is_valid(ledger_tail(d), 1), ==, true);
        CHECK(ledger_is_head(ledger_tail(d)), ==, false);
        CHECK(ledger_is_run(ledger_tail(d)), ==, false);
        CHECK(ledger_distance(ledger_tail(d)), ==, d);
    }
    CHECK(ledger_is_valid(ledger_tail(0), 1), ==, false);
    CHECK(ledger_is_valid(ledger_tail(LEDGER_MOST_BLOCKS), 1), ==, false);
    CHECK(ledger_distance(ledger_tail(LEDGER_MOST_BLOCKS - 1)), ==, LEDGER_MOST_BLOCKS - 1);
}

/* --- the steps --- */

/* The same parts, without what names somebody. */
static struct parts of_state(struct parts p, enum ledger_state state, unsigned slot) {
    return (struct parts){.state = state, .slot = slot, .generation = p.generation};
}

static void steps_of(struct parts p, uint64_t word) {
    bool live = p.state == LEDGER_IS_LIVE, asking = p.state == LEDGER_IS_ASKING;
    struct parts held = live ? p : of_state(p, LEDGER_IS_LIVE, LEDGER_NOBODY), after;
    held.row = true;
    expect(p, ledger_hold(word), live || asking, held);

    for (unsigned s = 0; s < SLOTS; s++) {
        bool owner = live && p.slot == slots[s];
        after = p;
        after.slot = LEDGER_NOBODY;
        if (is_loose(after)) {
            after = of_state(p, p.row ? LEDGER_IS_ASKING : LEDGER_IS_CLOSING, slots[s]);
        }
        expect(p, ledger_leave(word, slots[s]), owner, after);

        after = p;
        after.slot = LEDGER_NOBODY;
        after.row = true;
        expect(p, ledger_disown(word, slots[s]), owner, after);
    }
    for (unsigned s = 1; s < FIELDS - 2; s++) { /* the slots, and recovery */
        expect(p, ledger_ask(word, fields[s]), is_loose(p), of_state(p, LEDGER_IS_ASKING, fields[s]));

        bool named = p.state == LEDGER_IS_OPENING || p.state == LEDGER_IS_CLOSING;
        after = named ? of_state(p, LEDGER_IS_CLOSING, fields[s]) : asking ? held : p;
        after.slot = named ? fields[s] : LEDGER_NOBODY;
        expect(p, ledger_recover(word, fields[s]), live || asking || named, after);
    }
    expect(p, ledger_close(word), asking, of_state(p, LEDGER_IS_CLOSING, p.slot));

    for (unsigned t = 0; t < TICKETS; t++) {
        after = held;
        after.tickets += ticket_counts[t];
        after.mark = false; /* a new ticket takes the mark away */
        after.timed = false;
        expect(p, ledger_share(word, ticket_counts[t]), (live || asking) && after.tickets <= 8191, after);
        after.timed = held.timed || held.tickets == 0; /* all have an end, or none counts */
        expect(p, ledger_share_timed(word, ticket_counts[t]), (live || asking) && after.tickets <= 8191, after);
    }
    CHECK(ledger_share(word, 8192), ==, LEDGER_REFUSED);
    CHECK(ledger_share_timed(word, 8192), ==, LEDGER_REFUSED);
    CHECK(ledger_share(word, UINT64_MAX), ==, LEDGER_REFUSED);

    after = p;
    after.tickets -= live && p.tickets > 0;
    expect(p, ledger_take_ticket(word), live || asking, after);

    after = p;
    after.mark = true;
    expect(p, ledger_mark(word), live && p.tickets > 0, after);

    after = p;
    after.mark = false;
    after.tickets = 0;
    after.timed = false;
    expect(p, ledger_drop_tickets(word), live && p.mark, after);

    after = held;
    after.kept = true;
    expect(p, ledger_keep(word), live || asking, after);

    after = p;
    after.kept = false;
    expect(p, ledger_forget(word), live && p.kept, after);

    after = asking ? held : p; /* a live run needs no row for it */
    after.carried = true;
    expect(p, ledger_carry(word), live || asking, after);

    after = p;
    after.carried = false;
    expect(p, ledger_unload(word), live && p.carried, after);
}

static void every_step_does_what_the_model_does_or_refuses(void) { for_each_word(steps_of); }

/* Words of the states by chance, and any words at all. */
static uint64_t random_word(void) {
    struct parts p = {.state = check_below(8),
                      .slot = (unsigned)(check_below(3) ? check_below(257) : check_below(8191)),
                      .tickets = check_below(3) ? 0 : check_below(8192),
                      .generation = check_below(2) ? check_below(4) : check_below(LEDGER_GENERATION + 1)};
    uint64_t flags = check_below(2) ? 0 : check_below(32);
    p.row = flags & 1;
    p.kept = flags & 2;
    p.mark = flags & 4;
    p.carried = flags & 8;
    p.timed = flags & 16;
    p.slot = check_below(3) ? p.slot : LEDGER_NOBODY;
    return check_below(8) ? pack(p) : check_random();
}

static void whatever_the_functions_make_of_valid_words_is_valid(void) {
    uint64_t valid = 0, made = 0;
    for (unsigned i = 0; i < 2000000; i++) {
        uint64_t word = random_word();
        unsigned of = check_below(2) ? 256 : 4096, slot = (unsigned)check_below(of),
                 name = check_below(2) ? slot : LEDGER_RECOVERY;
        const uint64_t results[] = {
            ledger_hold(word),
            ledger_leave(word, ledger_slot(word) == LEDGER_NOBODY ? slot : ledger_slot(word)),
            ledger_disown(word, ledger_slot(word) == LEDGER_NOBODY ? slot : ledger_slot(word)),
            ledger_ask(word, name),
            ledger_close(word),
            ledger_share(word, check_below(8192)),
            ledger_share_timed(word, check_below(8192)),
            ledger_take_ticket(word),
            ledger_mark(word),
            ledger_drop_tickets(word),
            ledger_keep(word),
            ledger_forget(word),
            ledger_carry(word),
            ledger_unload(word),
            ledger_recover(word, name),
        };
        if (!ledger_is_valid(word, of)) {
            continue;
        }
        valid++;
        for (unsigned r = 0; r < sizeof results / sizeof *results; r++) {
            made += results[r] != LEDGER_REFUSED;
            CHECK(results[r] == LEDGER_REFUSED || ledger_is_valid(results[r], of), ==, true);
        }
    }
    CHECK(valid, >, 100000);
    CHECK(made, >, 100000);
}

static void the_generation_of_a_run_stays_with_it(void) {
    for (unsigned g = 0; g < GENERATIONS; g++) {
        uint64_t word = ledger_live(3, generations[g]);
        word = ledger_forget(ledger_keep(ledger_take_ticket(ledger_share(word, 1))));
        word = ledger_unload(ledger_carry(word));
        word = ledger_hold(ledger_leave(word, 3)); /* asked, and answered no */
        CHECK(word, ==, ledger_live(LEDGER_NOBODY, generations[g]) | LEDGER_ROW);
        word = ledger_close(ledger_ask(word, 9));
        CHECK(word, ==, ledger_make(LEDGER_IS_CLOSING, 9, generations[g]));
    }
}

static void a_run_that_only_its_owner_ever_held_is_freed_without_a_question(void) {
    CHECK(ledger_leave(ledger_live(2, 5), 2), ==, ledger_make(LEDGER_IS_CLOSING, 2, 5));
    CHECK(ledger_leave(ledger_hold(ledger_live(2, 5)), 2), ==, ledger_make(LEDGER_IS_ASKING, 2, 5));
    CHECK(ledger_leave(ledger_take_ticket(ledger_share(ledger_live(2, 5), 1)), 2), ==,
          ledger_make(LEDGER_IS_ASKING, 2, 5)); /* who took the ticket may hold it */
}

static void a_run_that_a_message_carries_is_freed_by_the_last_to_let_go(void) {
    uint64_t carried = ledger_carry(ledger_live(2, 5));
    CHECK(carried, ==, ledger_live(2, 5) | LEDGER_CARRIED); /* no row: nobody has to look at it */
    CHECK(ledger_is_alone(carried, 2), ==, false);
    CHECK(ledger_leave(carried, 2), ==, ledger_live(LEDGER_NOBODY, 5) | LEDGER_CARRIED);
    CHECK(ledger_is_only_carried(ledger_leave(carried, 2)), ==, true);
    CHECK(ledger_ask(ledger_leave(carried, 2), 2), ==, LEDGER_REFUSED);
    CHECK(ledger_is_only_carried(ledger_hold(ledger_leave(carried, 2))), ==, false); /* who holds it has a bit */
    uint64_t rest = ledger_unload(ledger_leave(carried, 2));
    CHECK(ledger_is_loose(rest), ==, true);
    CHECK(ledger_ask(rest, 4), ==, ledger_make(LEDGER_IS_ASKING, 4, 5));
    CHECK(ledger_leave(ledger_unload(carried), 2), ==, ledger_make(LEDGER_IS_CLOSING, 2, 5));
    CHECK(ledger_recover(carried, LEDGER_RECOVERY), ==, ledger_live(LEDGER_NOBODY, 5) | LEDGER_CARRIED);
}

static void a_new_ticket_is_safe_from_a_drop_of_older_ones(void) {
    uint64_t word = ledger_mark(ledger_share(ledger_live(0, 1), 1));
    uint64_t again = ledger_share(ledger_take_ticket(word), 1); /* one redeemed, one made: as many as before */
    CHECK(ledger_tickets(again), ==, ledger_tickets(word));
    CHECK(ledger_drop_tickets(word) != LEDGER_REFUSED, ==, true);
    CHECK(again == word, ==, false);
    CHECK(ledger_drop_tickets(again), ==, LEDGER_REFUSED);
}

/* Every word that can be reached from LIVE{0} with few tickets: all are valid, and none is a dead end. */
static void all_reachable_words_are_valid_and_lead_to_closing(void) {
    enum { MOST = 4096 };
    static uint64_t seen[MOST];
    static const unsigned names[] = {0, 1, 4095, LEDGER_RECOVERY};
    unsigned count = 0;
    seen[count++] = ledger_live(0, 6);
    for (unsigned i = 0; i < count && count < MOST - 64; i++) {
        uint64_t next[64];
        unsigned n = 0;
        next[n++] = ledger_hold(seen[i]);
        next[n++] = ledger_leave(seen[i], 0);
        next[n++] = ledger_disown(seen[i], 0);
        next[n++] = ledger_close(seen[i]);
        next[n++] = ledger_tickets(seen[i]) < 4 ? ledger_share(seen[i], 1) : LEDGER_REFUSED;
        next[n++] = ledger_tickets(seen[i]) < 4 ? ledger_share_timed(seen[i], 1) : LEDGER_REFUSED;
        next[n++] = ledger_take_ticket(seen[i]);
        next[n++] = ledger_mark(seen[i]);
        next[n++] = ledger_drop_tickets(seen[i]);
        next[n++] = ledger_keep(seen[i]);
        next[n++] = ledger_forget(seen[i]);
        next[n++] = ledger_carry(seen[i]);
        next[n++] = ledger_unload(seen[i]);
        for (unsigned k = 0; k < 4; k++) {
            next[n++] = ledger_ask(seen[i], names[k]);
            next[n++] = ledger_recover(seen[i], names[k]);
        }
        bool leads_on = ledger_state(seen[i]) == LEDGER_IS_CLOSING;
        for (unsigned k = 0; k < n; k++) {
            bool known = next[k] == LEDGER_REFUSED;
            leads_on |= next[k] != LEDGER_REFUSED && next[k] != seen[i];
            for (unsigned j = 0; j < count && !known; j++) {
                known = seen[j] == next[k];
            }
            if (!known) {
                CHECK(ledger_is_valid(next[k], LEDGER_MOST_SLOTS), ==, true);
                CHECK(ledger_generation(next[k]), ==, 6);
                seen[count++] = next[k];
            }
        }
        CHECK(leads_on, ==, true);
    }
    /* LIVE with the owner and without, carried or not: 0 to 4 tickets, timed or not, kept or not, marked or not, all
     * with ROW; and bare. ASKING and CLOSING of the four names. */
    CHECK(count, ==, 2 * 2 * (5 * 2 * 2 * 2 + 1) + 4 + 4);
}

/* --- the record --- */

static void a_record_comes_back_as_it_was_packed(void) {
    static const uint64_t numbers[] = {0, 1, 2, (UINT64_C(1) << 40) - 1}, lengths[] = {1, 2, 3, 65536, 1 << 24};
    for (unsigned g = 0; g < 4; g++) {
        for (unsigned l = 0; l < 5; l++) {
            struct ledger_record back =
                ledger_record_unpack(ledger_record_pack((struct ledger_record){numbers[g], lengths[l]}));
            CHECK(back.generation, ==, numbers[g]);
            CHECK(back.length, ==, lengths[l]);
        }
    }
    struct ledger_record over = {LEDGER_MOST_GENERATION + 1, 7}; /* begins again at 0, and leaves the length alone */
    CHECK(ledger_record_unpack(ledger_record_pack(over)).generation, ==, 0);
    CHECK(ledger_record_unpack(ledger_record_pack(over)).length, ==, 7);
    CHECK(ledger_record_unpack(0).length, ==, 1);                /* a fresh segment */
    CHECK(ledger_record_unpack(UINT64_MAX).length, ==, 1 << 24); /* whatever stands there: never 0, never more */
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(the_parts_of_a_word_do_not_overlap);
    RUN(a_word_is_taken_apart_and_judged);
    RUN(every_slot_is_told_apart);
    RUN(a_tail_keeps_its_distance);
    RUN(every_step_does_what_the_model_does_or_refuses);
    RUN(whatever_the_functions_make_of_valid_words_is_valid);
    RUN(the_generation_of_a_run_stays_with_it);
    RUN(a_run_that_only_its_owner_ever_held_is_freed_without_a_question);
    RUN(a_run_that_a_message_carries_is_freed_by_the_last_to_let_go);
    RUN(a_new_ticket_is_safe_from_a_drop_of_older_ones);
    RUN(all_reachable_words_are_valid_and_lead_to_closing);
    RUN(a_record_comes_back_as_it_was_packed);
    return check_end();
}
