/* Tests of bitmap.c, one thread: against a plain array of bytes. Threads meet in test_private_pool.c and in
 * core/explore. */
#include "bitmap/bitmap.h"

#include "check.h"

static struct bitmap bitmap;
static void *memory;
static unsigned char *model; /* 1 = taken */

static const uint64_t sizes[] = {1,   2,   63,   64,   65,   127,   128,   129,   511,   512,
                                 513, 575, 1023, 1024, 1025, 32767, 32768, 32769, 100000};
#define SIZES (sizeof sizes / sizeof *sizes)

static void make(uint64_t bits) {
    size_t bytes = bitmap_bytes(bits);
    memory = aligned_alloc(64, bytes);
    memset(memory, 0xa5, bytes); /* `fresh` must not rely on what was there */
    model = calloc(bits + 1, 1);
    bitmap_init(&bitmap, memory, bits, true);
}

static void unmake(void) {
    free(memory);
    free(model);
}

static uint64_t model_count(void) {
    uint64_t count = 0;
    for (uint64_t bit = 0; bit < bitmap.bits; bit++) {
        count += model[bit];
    }
    return count;
}

static uint64_t model_longest(void) {
    uint64_t longest = 0, run = 0;
    for (uint64_t bit = 0; bit < bitmap.bits; bit++) {
        run = model[bit] ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* Enters a claim in the model; fails when something of it was taken or is outside. */
static void model_take(uint64_t first, uint64_t n) {
    CHECK(first < bitmap.bits && n <= bitmap.bits - first, ==, true);
    for (uint64_t bit = first; bit < first + n && bit < bitmap.bits; bit++) {
        CHECK(model[bit], ==, 0);
        model[bit] = 1;
    }
}

static void agrees(void) {
    uint64_t wrong = 0;
    for (uint64_t bit = 0; bit < bitmap.bits; bit++) {
        wrong += bitmap_test(&bitmap, bit) != model[bit];
    }
    CHECK(wrong, ==, 0);
    CHECK(bitmap_count(&bitmap), ==, model_count());
    CHECK(bitmap_longest_free(&bitmap), ==, model_longest());
    CHECK(bitmap_summary_fault(&bitmap), ==, BITMAP_NONE);
    for (uint64_t bit = bitmap.bits; bit < bitmap.chunk_count * BITMAP_CHUNK_BITS; bit++) {
        CHECK(bitmap_test(&bitmap, bit), ==, true);
    }
}

static void a_fresh_bitmap_is_free_but_for_its_padding(void) {
    for (unsigned s = 0; s < SIZES; s++) {
        make(sizes[s]);
        agrees();
        CHECK(bitmap_longest_free(&bitmap), ==, sizes[s]);
        CHECK(bitmap_bytes(sizes[s]) % 64, ==, 0);
        unmake();
    }
}

static void singles_fill_every_bit_once_and_then_there_is_none(void) {
    for (unsigned s = 0; s < SIZES; s++) {
        make(sizes[s]);
        for (uint64_t i = 0; i < sizes[s]; i++) {
            model_take(bitmap_claim(&bitmap), 1);
        }
        CHECK(bitmap_claim(&bitmap), ==, BITMAP_NONE);
        CHECK(bitmap_claim_run(&bitmap, 1), ==, BITMAP_NONE);
        agrees();
        for (uint64_t bit = 0; bit < sizes[s]; bit++) {
            CHECK(bitmap_release(&bitmap, bit), ==, true);
            CHECK(bitmap_release(&bitmap, bit), ==, false);
            model[bit] = 0;
        }
        agrees();
        unmake();
    }
}

static void the_last_free_bit_is_found_wherever_it_is(void) {
    make(100000);
    CHECK(bitmap_claim_range(&bitmap, 0, 100000), ==, true);
    for (int round = 0; round < 300; round++) {
        uint64_t bit = check_below(100000);
        CHECK(bitmap_release(&bitmap, bit), ==, true);
        CHECK(bitmap_claim(&bitmap), ==, bit);
        CHECK(bitmap_claim(&bitmap), ==, BITMAP_NONE);
    }
    unmake();
}

static void one_run_takes_the_whole_bitmap(void) {
    for (unsigned s = 0; s < SIZES; s++) {
        make(sizes[s]);
        CHECK(bitmap_claim_run(&bitmap, sizes[s] + 1), ==, BITMAP_NONE);
        CHECK(bitmap_claim_run(&bitmap, sizes[s]), ==, 0);
        model_take(0, sizes[s]);
        CHECK(bitmap_claim_run(&bitmap, sizes[s]), ==, BITMAP_NONE);
        agrees();
        CHECK(bitmap_release_range(&bitmap, 0, sizes[s]), ==, sizes[s]);
        CHECK(bitmap_release_range(&bitmap, 0, sizes[s]), ==, 0);
        memset(model, 0, sizes[s]);
        agrees();
        unmake();
    }
}

static void many_take_the_whole_bitmap_or_nothing(void) {
    uint64_t *out = calloc(100001, sizeof *out);
    for (unsigned s = 0; s < SIZES; s++) {
        make(sizes[s]);
        CHECK(bitmap_claim_many(&bitmap, sizes[s] + 1, out), ==, false);
        agrees();
        CHECK(bitmap_claim_many(&bitmap, sizes[s], out), ==, true);
        for (uint64_t i = 0; i < sizes[s]; i++) {
            model_take(out[i], 1);
        }
        agrees();
        CHECK(bitmap_claim_many(&bitmap, 1, out), ==, false);
        CHECK(bitmap_claim_many(&bitmap, 0, out), ==, true);
        unmake();
    }
    free(out);
}

static void a_run_of_any_length_is_found_at_any_place(void) {
    make(40000);
    static const uint64_t lengths[] = {1, 2, 3, 63, 64, 65, 128, 511, 512, 513, 1500, 32768, 33000};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint64_t n = lengths[i];
        for (int round = 0; round < 40; round++) {
            uint64_t first = round == 0 ? 0 : round == 1 ? 40000 - n : check_below(40000 - n + 1);
            CHECK(bitmap_claim_range(&bitmap, 0, 40000), ==, true);
            CHECK(bitmap_release_range(&bitmap, first, n), ==, n);
            CHECK(bitmap_claim_run(&bitmap, n + 1), ==, BITMAP_NONE);
            CHECK(bitmap_find(&bitmap, check_below(bitmap.chunk_count), n), ==, first);
            CHECK(bitmap_claim_run(&bitmap, n), ==, first);
            CHECK(bitmap_release_range(&bitmap, 0, 40000), ==, 40000);
        }
    }
    unmake();
}

static void a_refused_range_changes_nothing(void) {
    make(1000);
    CHECK(bitmap_claim_range(&bitmap, 300, 1), ==, true);
    CHECK(bitmap_claim_range(&bitmap, 303, 2), ==, true);
    model_take(300, 1);
    model_take(303, 2);
    CHECK(bitmap_claim_range(&bitmap, 10, 291), ==, false);
    CHECK(bitmap_claim_range(&bitmap, 290, 300), ==, false);
    CHECK(bitmap_claim_range(&bitmap, 999, 2), ==, false); /* the padding is taken */
    agrees();
    CHECK(bitmap_claim_range(&bitmap, 301, 2), ==, true);
    model_take(301, 2);
    agrees();
    unmake();
}

static void releasing_a_range_counts_what_was_taken(void) {
    make(1000);
    CHECK(bitmap_claim_range(&bitmap, 100, 200), ==, true);
    CHECK(bitmap_release_range(&bitmap, 50, 100), ==, 50);
    CHECK(bitmap_release_range(&bitmap, 150, 150), ==, 150);
    agrees();
    unmake();
}

static void a_second_view_sees_the_same_bits(void) {
    make(5000);
    CHECK(bitmap_claim_range(&bitmap, 700, 900), ==, true);
    struct bitmap other;
    bitmap_init(&other, memory, 5000, false);
    CHECK(bitmap_count(&other), ==, 900);
    CHECK(bitmap_claim_run(&other, 4000), ==, BITMAP_NONE);
    CHECK(bitmap_claim_run(&other, 3400), ==, 1600);
    CHECK(bitmap_count(&bitmap), ==, 4300);
    unmake();
}

static void cursors_begin_in_chunks_of_their_own(void) {
    make(16 * BITMAP_CHUNK_BITS);
    for (unsigned i = 0; i < BITMAP_CURSORS; i++) {
        for (unsigned j = 0; j < i; j++) {
            CHECK(bitmap.cursors[i].home, !=, bitmap.cursors[j].home);
        }
    }
    unmake();
}

/* Random calls, each compared with what the bytes say must come of it. */
static void random_calls_do_what_bytes_do(void) {
    static uint64_t out[4096];
    for (unsigned s = 0; s < SIZES; s++) {
        uint64_t bits = sizes[s] <= 1025 ? sizes[s] : s % 2 ? 2500 : 1600;
        make(bits);
        for (int step = 0; step < 1500; step++) {
            uint64_t first = check_below(bits), n = 1 + check_below(step % 3 ? 70 : bits);
            n = n > bits ? bits : n;
            switch (check_below(8)) {
            case 0:
            case 1: {
                uint64_t at = bitmap_claim_run(&bitmap, n);
                CHECK(at == BITMAP_NONE, ==, model_longest() < n);
                if (at != BITMAP_NONE) {
                    model_take(at, n);
                }
                break;
            }
            case 2: {
                bool packed = check_below(2);
                bool got = (packed ? bitmap_claim_packed : bitmap_claim_many)(&bitmap, n, out);
                CHECK(got, ==, bits - model_count() >= n);
                for (uint64_t i = 0; got && i < n; i++) {
                    model_take(out[i], 1);
                }
                break;
            }
            case 3: {
                n = n > bits - first ? bits - first : n;
                bool all_free = true;
                for (uint64_t bit = first; bit < first + n; bit++) {
                    all_free = all_free && !model[bit];
                }
                CHECK(bitmap_claim_range(&bitmap, first, n), ==, all_free);
                if (all_free) {
                    model_take(first, n);
                }
                break;
            }
            case 4:
                CHECK(bitmap_release(&bitmap, first), ==, model[first]);
                model[first] = 0;
                break;
            case 5:
                CHECK(bitmap_release_alone(&bitmap, first), ==, model[first]);
                model[first] = 0;
                break;
            case 6: {
                uint64_t at = bitmap_claim_alone(&bitmap);
                CHECK(at == BITMAP_NONE, ==, model_count() == bits);
                if (at != BITMAP_NONE) {
                    model_take(at, 1);
                }
                break;
            }
            default: {
                uint64_t taken = 0;
                n = n > bits - first ? bits - first : n;
                for (uint64_t bit = first; bit < first + n; bit++) {
                    taken += model[bit];
                    model[bit] = 0;
                }
                CHECK(bitmap_release_range(&bitmap, first, n), ==, taken);
            }
            }
            agrees();
        }
        unmake();
    }
}

/* Where two groups meet, and everything else is taken; what is free is found by the summaries alone. */
static void a_run_across_groups_is_found_by_summaries(void) {
    static const uint64_t lengths[] = {2, 3, 64, 511, 512, 513, BITMAP_GROUP_BITS - 1, BITMAP_GROUP_BITS};
    make(5 * BITMAP_GROUP_BITS);
    for (unsigned l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        uint64_t n = lengths[l];
        for (uint64_t group = 1; group < 5; group++) {
            uint64_t first = group * BITMAP_GROUP_BITS - 1 - check_below(n - 1);
            CHECK(bitmap_claim_range(&bitmap, 0, first), ==, true);
            CHECK(bitmap_claim_range(&bitmap, first + n, bitmap.bits - first - n), ==, true);
            for (uint64_t chunk = 0; chunk < bitmap.chunk_count; chunk++) {
                bitmap_mark(&bitmap, chunk);
            }
            for (int looks = 0; looks < 2; looks++) { /* stale, then known */
                CHECK(bitmap_find(&bitmap, 0, n), ==, first);
                CHECK(bitmap_find(&bitmap, first / BITMAP_CHUNK_BITS + 1, n), ==, first);
                CHECK(bitmap_find(&bitmap, 0, n + 1), ==, BITMAP_NONE);
            }
            CHECK(bitmap_release_range(&bitmap, 0, bitmap.bits), ==, bitmap.bits - n);
        }
    }
    unmake();
}

/* How many runs the indices are, as they stand. */
static uint64_t runs_of(const uint64_t *out, uint64_t n) {
    uint64_t runs = 1;
    for (uint64_t i = 1; i < n; i++) {
        runs += out[i] != out[i - 1] + 1;
    }
    return runs;
}

/* The fewest runs that have n free bits: the longest ones. */
static uint64_t fewest_runs(uint64_t n) {
    static uint64_t of_length[2001];
    memset(of_length, 0, sizeof of_length);
    for (uint64_t bit = 0, run = 0; bit <= bitmap.bits; bit++) {
        if (bit < bitmap.bits && !model[bit]) {
            run++;
        } else {
            of_length[run]++;
            run = 0;
        }
    }
    uint64_t runs = 0;
    for (uint64_t length = bitmap.bits; length > 0; length--) {
        for (; of_length[length] && n > 0; of_length[length]--) {
            n -= n < length ? n : length;
            runs++;
        }
    }
    return runs;
}

static void packed_takes_the_fewest_runs_there_are(void) {
    static uint64_t out[2000];
    for (int round = 0; round < 400; round++) {
        uint64_t bits = 1 + check_below(2000), kept = 1 + check_below(40);
        make(bits);
        CHECK(bitmap_claim_run(&bitmap, bits), ==, 0);
        model_take(0, bits);
        for (uint64_t bit = 0; bit < bits; bit++) {
            if (check_below(kept) && bitmap_release(&bitmap, bit)) {
                model[bit] = 0;
            }
        }
        uint64_t free = bits - model_count(), n = free ? 1 + check_below(free) : 0, fewest = fewest_runs(n);
        CHECK(n == 0 || bitmap_claim_packed(&bitmap, n, out), ==, true);
        if (n) {
            CHECK(runs_of(out, n), <=, fewest); /* two may touch across what was wanted of them */
        }
        for (uint64_t i = 0; i < n; i++) {
            model_take(out[i], 1);
        }
        agrees();
        unmake();
    }
}

/* The least processor time of a few tries of taking a quarter of a checkered bitmap, packed. */
static double packed_time(uint64_t bits) {
    uint64_t *out = malloc(bits / 4 * sizeof *out);
    double least = 1e9;
    make(bits);
    CHECK(bitmap_claim_run(&bitmap, bits), ==, 0);
    for (uint64_t bit = 0; bit < bits; bit += 2) {
        (void)bitmap_release(&bitmap, bit);
    }
    for (int tries = 0; tries < 5; tries++) {
        clock_t began = clock();
        CHECK(bitmap_claim_packed(&bitmap, bits / 4, out), ==, true);
        double took = (double)(clock() - began) / CLOCKS_PER_SEC;
        least = took < least ? took : least;
        for (uint64_t i = 0; i < bits / 4; i++) {
            (void)bitmap_release(&bitmap, out[i]);
        }
    }
    unmake();
    free(out);
    return least;
}

static void packed_takes_time_in_proportion_to_what_it_takes(void) {
    double small = packed_time(1 << 16) + 1e-4, large = packed_time(1 << 20);
    CHECK(large < 16 * 6 * small, ==, true); /* 16 times as much; were it squared, 256 times as long */
    if (large >= 16 * 6 * small) {
        printf("small %.6f s, large %.6f s\n", small, large);
    }
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(a_fresh_bitmap_is_free_but_for_its_padding);
    RUN(singles_fill_every_bit_once_and_then_there_is_none);
    RUN(the_last_free_bit_is_found_wherever_it_is);
    RUN(one_run_takes_the_whole_bitmap);
    RUN(many_take_the_whole_bitmap_or_nothing);
    RUN(a_run_of_any_length_is_found_at_any_place);
    RUN(a_refused_range_changes_nothing);
    RUN(releasing_a_range_counts_what_was_taken);
    RUN(a_second_view_sees_the_same_bits);
    RUN(cursors_begin_in_chunks_of_their_own);
    RUN(random_calls_do_what_bytes_do);
    RUN(a_run_across_groups_is_found_by_summaries);
    RUN(packed_takes_the_fewest_runs_there_are);
    RUN(packed_takes_time_in_proportion_to_what_it_takes);
    return check_end();
}
