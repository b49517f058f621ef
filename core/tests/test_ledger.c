/* Tests of ledger.h: every function, on every word of a small space, against a model that keeps the parts apart. */
#include "shared/ledger.h"

#include "check.h"

/* A word taken apart. */
struct parts {
    uint64_t state, holders, tickets;
};

static const unsigned slots[] = {0, 1, 46, 47};
#define SLOTS (sizeof slots / sizeof *slots)
static const uint64_t ticket_counts[] = {0, 1, 2, 4096, 8190, 8191};
#define TICKETS (sizeof ticket_counts / sizeof *ticket_counts)
static const uint64_t distances[] = {0, 1, 2, 3, (UINT64_C(1) << 24) - 1, UINT64_C(1) << 24, UINT64_C(1) << 60};
#define DISTANCES (sizeof distances / sizeof *distances)

#define MARK (UINT64_C(1) << 47)

static uint64_t pack(struct parts parts) { return parts.state << 61 | parts.tickets << 48 | parts.holders; }

static bool expect_valid(struct parts parts) {
    int holders = __builtin_popcountll(parts.holders);
    switch (parts.state) {
    case LEDGER_IS_FREE:
        return holders == 0 && parts.tickets == 0;
    case LEDGER_IS_TAIL:
        return parts.tickets == 0 && parts.holders > 0 && parts.holders < 1 << 24;
    case LEDGER_IS_OPENING:
    case LEDGER_IS_CLOSING:
        return holders == 1 && parts.tickets == 0;
    case LEDGER_IS_LIVE:
        return holders > 0 || parts.tickets > 0;
    default:
        return false;
    }
}

/* Calls `each` with every state, every set of the slots above as holders (or as a distance), every count of tickets. */
static void for_each_word(void (*each)(struct parts, uint64_t word)) {
    for (uint64_t state = 0; state < 8; state++) {
        for (unsigned t = 0; t < TICKETS; t++) {
            for (unsigned set = 0; set < 1u << SLOTS; set++) {
                struct parts parts = {state, 0, ticket_counts[t]};
                for (unsigned s = 0; s < SLOTS; s++) {
                    parts.holders |= (uint64_t)(set >> s & 1) << slots[s];
                }
                each(parts, pack(parts));
            }
        }
    }
    for (unsigned d = 0; d < DISTANCES; d++) {
        uint64_t word = UINT64_C(1) << 61 | distances[d];
        each((struct parts){LEDGER_IS_TAIL, word & LEDGER_HOLDERS, word >> 48 & 8191}, word);
    }
}

/* What must hold of any result: refused, or valid if the word was. */
static void sound(uint64_t word, uint64_t result) {
    CHECK(result == LEDGER_REFUSED || !ledger_is_valid(word) || ledger_is_valid(result), ==, true);
}

static void expect(uint64_t word, uint64_t result, bool applies, struct parts wanted) {
    sound(word, result);
    CHECK(result, ==, applies ? pack(wanted) : LEDGER_REFUSED);
}

/* --- taking words apart --- */

static void parts_of(struct parts parts, uint64_t word) {
    CHECK(ledger_state(word), ==, parts.state);
    CHECK(ledger_holders(word), ==, parts.holders);
    CHECK(ledger_tickets(word), ==, parts.tickets);
    CHECK(ledger_is_valid(word), ==, expect_valid(parts));
    CHECK(ledger_is_live(word), ==, parts.state == LEDGER_IS_LIVE);
    CHECK(ledger_is_head(word), ==,
          parts.state == LEDGER_IS_OPENING || parts.state == LEDGER_IS_LIVE || parts.state == LEDGER_IS_CLOSING);
    for (unsigned s = 0; s < SLOTS; s++) {
        CHECK(ledger_is_held(word, slots[s]), ==, parts.state == LEDGER_IS_LIVE && (parts.holders >> slots[s] & 1));
    }
}

static void a_word_is_taken_apart_and_judged(void) {
    for_each_word(parts_of);
    CHECK(ledger_is_valid(LEDGER_REFUSED), ==, false);
}

static void every_single_holder_bit_is_told_apart(void) {
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        for (unsigned other = 0; other < LEDGER_SLOTS; other++) {
            CHECK(ledger_is_held(ledger_live(slot), other), ==, slot == other);
            CHECK(ledger_hold(ledger_live(slot), other), ==,
                  ledger_live(slot) | ledger_live(other)); /* the states are the same */
        }
        CHECK(ledger_is_valid(ledger_opening(slot)), ==, true);
        CHECK(ledger_is_valid(ledger_closing(slot)), ==, true);
        CHECK(ledger_state(ledger_opening(slot)), ==, LEDGER_IS_OPENING);
        CHECK(ledger_state(ledger_closing(slot)), ==, LEDGER_IS_CLOSING);
        CHECK(ledger_drop(ledger_live(slot), slot), ==, ledger_closing(slot));
    }
}

static void a_tail_keeps_its_distance(void) {
    for (uint64_t d = 1; d < LEDGER_MOST_BLOCKS; d += d < 100 ? 1 : 99991) {
        CHECK(ledger_is_valid(ledger_tail(d)), ==, true);
        CHECK(ledger_is_head(ledger_tail(d)), ==, false);
        CHECK(ledger_distance(ledger_tail(d)), ==, d);
    }
}

/* --- the steps --- */

static void steps_of(struct parts parts, uint64_t word) {
    bool live = parts.state == LEDGER_IS_LIVE, head = ledger_is_head(word);
    for (unsigned s = 0; s < SLOTS; s++) {
        uint64_t bit = UINT64_C(1) << slots[s];
        bool held = live && (parts.holders & bit);
        struct parts closing = {LEDGER_IS_CLOSING, bit, 0}, after = parts;

        after.holders |= bit;
        expect(word, ledger_hold(word, slots[s]), live, after);

        after = parts;
        after.holders &= ~bit;
        bool last = (after.holders & ~MARK) == 0 && after.tickets == 0; /* a mark keeps nothing */
        expect(word, ledger_drop(word, slots[s]), held, last ? closing : after);
        expect(word, ledger_recover(word, bit), head && (parts.holders & bit), !live || last ? closing : after);
        for (unsigned o = s + 1; o < SLOTS; o++) { /* two are dead */
            uint64_t both = bit | UINT64_C(1) << slots[o], named = parts.holders & both;
            struct parts one = {LEDGER_IS_CLOSING, named & -named, 0}, left = parts;
            left.holders &= ~both;
            bool none = (left.holders & ~MARK) == 0 && left.tickets == 0;
            expect(word, ledger_recover(word, both), head && named, !live || none ? one : left);
        }

        for (unsigned t = 0; t < TICKETS; t++) {
            after = parts;
            after.tickets += ticket_counts[t];
            after.holders = (after.holders & ~MARK) | bit; /* a new ticket takes the mark away */
            expect(word, ledger_share(word, slots[s], ticket_counts[t]), held && after.tickets <= 8191, after);
        }
        CHECK(ledger_share(word, slots[s], UINT64_MAX), ==, LEDGER_REFUSED);
        CHECK(ledger_share(word, slots[s], 8192), ==, LEDGER_REFUSED);

        after = parts;
        after.tickets -= after.tickets > 0;
        expect(word, ledger_take_ticket(word, slots[s]), held, after);
    }
    bool marked = live && parts.holders & MARK;
    struct parts with = parts, without = {parts.state, parts.holders & ~MARK, 0},
                 closing = {LEDGER_IS_CLOSING, MARK, 0};
    with.holders |= MARK;
    expect(word, ledger_mark(word), live && parts.tickets > 0, with);
    expect(word, ledger_drop_tickets(word), marked, without.holders ? without : closing);
}

static void every_step_does_what_the_model_does_or_refuses(void) { for_each_word(steps_of); }

static void drop_undoes_hold_of_a_run_that_others_keep(void) {
    for (unsigned slot = 1; slot < LEDGER_SLOTS; slot++) {
        uint64_t word = ledger_share(ledger_live(0), 0, 3);
        CHECK(ledger_drop(ledger_hold(word, slot), slot), ==, word);
        word = ledger_drop(word, 0); /* only tickets keep it now */
        CHECK(ledger_is_live(word) && ledger_holders(word) == 0, ==, true);
        CHECK(ledger_drop(ledger_hold(word, slot), slot), ==, word);
    }
}

static void a_new_ticket_is_safe_from_a_drop_of_older_ones(void) {
    uint64_t word = ledger_mark(ledger_share(ledger_live(0), 0, 1));
    uint64_t again = ledger_share(ledger_take_ticket(word, 0), 0, 1); /* one redeemed, one made: as many as before */
    CHECK(ledger_tickets(again), ==, ledger_tickets(word));
    CHECK(ledger_drop_tickets(word) != LEDGER_REFUSED, ==, true);
    CHECK(again == word, ==, false);
    CHECK(ledger_drop_tickets(again), ==, LEDGER_REFUSED);
}

/* Every word that can be reached from LIVE{0} with few tickets: all are valid, and none is a dead end. */
static void all_reachable_words_are_valid_and_lead_to_closing(void) {
    enum { MOST = 4096 };
    static uint64_t seen[MOST];
    unsigned count = 0;
    seen[count++] = ledger_live(0);
    for (unsigned i = 0; i < count && count < MOST - 64; i++) {
        uint64_t next[64];
        unsigned n = 0;
        for (unsigned slot = 0; slot < 4; slot++) {
            next[n++] = ledger_hold(seen[i], slot);
            next[n++] = ledger_drop(seen[i], slot);
            next[n++] = ledger_tickets(seen[i]) < 4 ? ledger_share(seen[i], slot, 1) : LEDGER_REFUSED;
            next[n++] = ledger_take_ticket(seen[i], slot);
            next[n++] = ledger_recover(seen[i], ledger_slot_bit(slot));
        }
        next[n++] = ledger_mark(seen[i]);
        next[n++] = ledger_drop_tickets(seen[i]);
        next[n++] = ledger_recover(seen[i], LEDGER_MARK);
        bool leads_on = ledger_state(seen[i]) == LEDGER_IS_CLOSING;
        for (unsigned k = 0; k < n; k++) {
            bool known = next[k] == LEDGER_REFUSED;
            leads_on |= next[k] != LEDGER_REFUSED && next[k] != seen[i];
            for (unsigned j = 0; j < count && !known; j++) {
                known = seen[j] == next[k];
            }
            if (!known) {
                CHECK(ledger_is_valid(next[k]), ==, true);
                seen[count++] = next[k];
            }
        }
        CHECK(leads_on, ==, true);
    }
    /* 16 sets of holders with 0 to 4 tickets, except no holder and no ticket, each without and with the mark; CLOSING
     * of four slots and of the mark */
    CHECK(count, ==, 2 * (16 * 5 - 1) + 5);
}

/* --- the record --- */

static void a_record_comes_back_as_it_was_packed(void) {
    static const uint64_t generations[] = {0, 1, 2, (UINT64_C(1) << 40) - 1}, lengths[] = {1, 2, 3, 65536, 1 << 24};
    for (unsigned g = 0; g < 4; g++) {
        for (unsigned l = 0; l < 5; l++) {
            struct ledger_record back =
                ledger_record_unpack(ledger_record_pack((struct ledger_record){generations[g], lengths[l]}));
            CHECK(back.generation, ==, generations[g]);
            CHECK(back.length, ==, lengths[l]);
        }
    }
    struct ledger_record over = {LEDGER_MOST_GENERATION + 1, 7}; /* begins again at 0, and leaves the length alone */
    CHECK(ledger_record_unpack(ledger_record_pack(over)).generation, ==, 0);
    CHECK(ledger_record_unpack(ledger_record_pack(over)).length, ==, 7);
    CHECK(ledger_record_unpack(0).length, ==, 1);                /* a fresh segment */
    CHECK(ledger_record_unpack(UINT64_MAX).length, ==, 1 << 24); /* whatever stands there: never 0, never more */
}

int main(void) {
    RUN(a_word_is_taken_apart_and_judged);
    RUN(every_single_holder_bit_is_told_apart);
    RUN(a_tail_keeps_its_distance);
    RUN(every_step_does_what_the_model_does_or_refuses);
    RUN(drop_undoes_hold_of_a_run_that_others_keep);
    RUN(all_reachable_words_are_valid_and_lead_to_closing);
    RUN(a_new_ticket_is_safe_from_a_drop_of_older_ones);
    RUN(a_record_comes_back_as_it_was_packed);
    return check_end();
}
