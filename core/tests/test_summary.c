/* Tests of summary.h, against a count bit by bit. */
#include "bitmap/summary.h"

#include "check.h"

#define MOST_WORDS 8u
#define MOST_PARTS 64u

static bool is_free(const uint64_t *words, uint64_t bit) { return !(words[bit / 64] >> bit % 64 & 1); }

/* The summary of `bits` bits, one at a time. */
static uint64_t count(const uint64_t *words, uint64_t bits) {
    uint64_t prefix = 0, longest = 0, run = 0;
    for (uint64_t bit = 0; bit < bits; bit++) {
        run = is_free(words, bit) ? run + 1 : 0;
        longest = run > longest ? run : longest;
        prefix += run == bit + 1;
    }
    return summary_make(prefix, longest, run);
}

/* A word with long and short runs, of any density. */
static uint64_t random_word(void) {
    switch (check_below(8)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return UINT64_MAX << check_below(64);
    case 3:
        return UINT64_MAX >> check_below(64);
    case 4:
        return UINT64_C(1) << check_below(64);
    case 5:
        return UINT64_C(1) << check_below(64) | UINT64_C(1) << check_below(64);
    case 6:
        return check_random() & check_random() & check_random();
    default:
        return check_random();
    }
}

static void three_numbers_are_kept_apart(void) {
    uint64_t summary = summary_make(1, 32768, 512);
    CHECK(summary_prefix(summary), ==, 1);
    CHECK(summary_longest(summary), ==, 32768);
    CHECK(summary_suffix(summary), ==, 512);
    CHECK(summary_is_stale(summary), ==, false);
    CHECK(summary_is_known(summary), ==, true);
}

static void words_are_summed_up_as_bit_by_bit(void) {
    uint64_t words[MOST_WORDS];
    for (int round = 0; round < 100000; round++) {
        unsigned n = 1 + (unsigned)check_below(MOST_WORDS);
        for (unsigned w = 0; w < n; w++) {
            words[w] = random_word();
        }
        CHECK(summary_of_words(words, n), ==, count(words, n * 64));
    }
}

static void every_free_run_inside_a_word_is_measured(void) {
    for (unsigned low = 0; low < 64; low++) {
        for (unsigned n = 1; n <= 64 - low; n++) {
            uint64_t word = ~(UINT64_MAX >> (64 - n) << low);
            CHECK(summary_of_words(&word, 1), ==, count(&word, 64));
        }
    }
}

static void neighbours_join_as_bit_by_bit(void) {
    static uint64_t words[MOST_PARTS * MOST_WORDS], parts[MOST_PARTS];
    for (int round = 0; round < 3000; round++) {
        unsigned n = 1 + (unsigned)check_below(MOST_PARTS);
        for (unsigned p = 0; p < n; p++) {
            uint64_t whole = check_below(3);
            for (unsigned w = 0; w < MOST_WORDS; w++) {
                words[p * MOST_WORDS + w] = whole ? whole == 1 ? 0 : UINT64_MAX : random_word();
            }
            parts[p] = summary_of_words(words + p * MOST_WORDS, MOST_WORDS);
        }
        CHECK(summary_join(parts, n, MOST_WORDS * 64), ==, count(words, n * MOST_WORDS * 64));
    }
}

static void marks_and_versions_do_not_disturb_a_join(void) {
    uint64_t parts[2] = {summary_make(512, 512, 512) | SUMMARY_STALE | SUMMARY_BEGUN | SUMMARY_VERSION_MASK,
                         summary_make(3, 4, 5) | SUMMARY_STALE | SUMMARY_VERSION_ONE};
    CHECK(summary_join(parts, 2, 512), ==, summary_make(515, 515, 5));
}

static void starts_are_the_places_of_a_run_in_a_word(void) {
    for (int round = 0; round < 2000; round++) {
        uint64_t taken = random_word();
        for (unsigned n = 1; n <= 64; n++) {
            uint64_t expected = 0;
            for (unsigned at = 0; at + n <= 64; at++) {
                bool all = true;
                for (unsigned bit = at; bit < at + n; bit++) {
                    all = all && is_free(&taken, bit);
                }
                expected |= (uint64_t)all << at;
            }
            CHECK(summary_starts(~taken, n), ==, expected);
        }
    }
}

static void a_computation_clears_the_mark_and_takes_a_new_version(void) {
    uint64_t room = summary_make(1, 7, 2), begun = summary_begin(room | SUMMARY_STALE);
    CHECK(summary_is_stale(begun), ==, false);
    CHECK(summary_is_known(begun), ==, false);
    CHECK(begun & SUMMARY_ROOM_MASK, ==, room);
    CHECK(begun & SUMMARY_VERSION_MASK, ==, SUMMARY_VERSION_ONE);
    uint64_t ended = summary_end(begun, summary_make(4, 9, 3));
    CHECK(ended, ==, SUMMARY_VERSION_ONE | summary_make(4, 9, 3));
    CHECK(summary_is_known(ended), ==, true);
}

static void versions_wrap_without_touching_the_rest(void) {
    uint64_t room = summary_make(512, 512, 512), begun = summary_begin(room | SUMMARY_VERSION_MASK);
    CHECK(begun, ==, room | SUMMARY_BEGUN);
}

/* A length near an end of its range or near another number, at most `most`. */
static uint64_t length_near(uint64_t other, uint64_t most) {
    uint64_t lengths[] = {0, 1, other, other + 1, other ? other - 1 : 0, most, most - 1, check_below(most + 1)};
    uint64_t length = lengths[check_below(8)];
    return length <= most ? length : most;
}

static void a_gauge_tells_where_a_run_may_be(void) {
    const uint64_t most = 32768;
    for (int round = 0; round < 1000000; round++) {
        uint64_t n = length_near(check_below(most + 1), most), longest = length_near(n, most);
        n = n ? n : 1;
        uint64_t prefix = length_near(longest, longest), suffix = length_near(longest, longest);
        uint64_t before = length_near(n - 1, n - 1), version = check_below(1 << 14) * SUMMARY_VERSION_ONE;
        uint64_t summary = summary_make(prefix, longest, suffix) | version;
        bool has = longest >= n || before + prefix >= n;
        CHECK(summary_may_have(summary, before, summary_gauge(n)), ==, has);
        CHECK(summary_may_have(summary | SUMMARY_STALE, before, summary_gauge(n)), ==, true);
        CHECK(summary_may_have(summary | SUMMARY_BEGUN, before, summary_gauge(n)), ==, true);
    }
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(three_numbers_are_kept_apart);
    RUN(words_are_summed_up_as_bit_by_bit);
    RUN(every_free_run_inside_a_word_is_measured);
    RUN(neighbours_join_as_bit_by_bit);
    RUN(marks_and_versions_do_not_disturb_a_join);
    RUN(starts_are_the_places_of_a_run_in_a_word);
    RUN(a_computation_clears_the_mark_and_takes_a_new_version);
    RUN(versions_wrap_without_touching_the_rest);
    RUN(a_gauge_tells_where_a_run_may_be);
    return check_end();
}
