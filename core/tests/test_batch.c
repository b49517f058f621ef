/* Tests of batch.c: against a plain array of bytes, in memory of exactly the size it asks for. */
#include "bitmap/batch.h"

#include "check.h"

#define MOST_BITS 200000u

static struct bitmap bitmap;
static void *memory, *batch_memory;
static struct batch batch;
static unsigned char taken[MOST_BITS]; /* what the bitmap should hold */
static unsigned char added[MOST_BITS]; /* what the batch should hold */

/* A bitmap with every bit taken, and an empty batch for `most` of them. Odd bytes lie before and behind the batch. */
static void make(uint64_t bits, uint64_t most) {
    memory = aligned_alloc(64, bitmap_bytes(bits));
    bitmap_init(&bitmap, memory, bits, true);
    CHECK(bitmap_claim_range(&bitmap, 0, bits), ==, true);
    memset(taken, 1, bits);
    memset(added, 0, bits);
    size_t bytes = batch_bytes(most);
    CHECK(bytes % 8, ==, 0);
    batch_memory = malloc(bytes + 16);
    memset(batch_memory, 0xa5, bytes + 16); /* nothing may rely on what was there */
    batch_init(&batch, (char *)batch_memory + 8, most, bits);
}

static void unmake(uint64_t most) {
    static const unsigned char odd[8] = {0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5};
    CHECK(memcmp(batch_memory, odd, 8), ==, 0);
    CHECK(memcmp((char *)batch_memory + 8 + batch_bytes(most), odd, 8), ==, 0);
    free(batch_memory);
    free(memory);
}

static uint64_t wrong_bits(void) {
    uint64_t wrong = 0;
    for (uint64_t bit = 0; bit < bitmap.bits; bit++) {
        wrong += bitmap_test(&bitmap, bit) != taken[bit];
    }
    return wrong;
}

static void add(uint64_t bit) {
    CHECK(batch_add(&batch, bit), ==, bit >= bitmap.bits ? BATCH_OUTSIDE : added[bit] ? BATCH_DUPLICATE : BATCH_OK);
    if (bit < bitmap.bits) {
        added[bit] = 1;
    }
}

/* batch_missing and batch_first give a bit of the first collected word that has one; which word that is depends on the
 * order. So the test only checks that it is one of the right bits, or that there is none. */
static void missing_agrees(void) {
    uint64_t missing = batch_missing(&batch, &bitmap), expected = 0;
    for (uint64_t bit = 0; bit < bitmap.bits; bit++) {
        expected += added[bit] && !taken[bit];
    }
    CHECK(missing != BITMAP_NONE, ==, expected > 0);
    if (missing != BITMAP_NONE) {
        CHECK(missing, <, (long long)bitmap.bits);
        CHECK(added[missing] && !taken[missing], ==, true);
    }
}

/* Releases the batch: those that were taken are counted and go, the others are left in it. */
static void release_agrees(void) {
    uint64_t expected = 0, left = 0;
    for (uint64_t bit = 0; bit < bitmap.bits; bit++) {
        expected += added[bit] && taken[bit];
        left += added[bit] && !taken[bit];
    }
    CHECK(batch_release(&batch, &bitmap), ==, expected);
    uint64_t first = batch_first(&batch);
    CHECK(first != BITMAP_NONE, ==, left > 0);
    if (first != BITMAP_NONE) {
        CHECK(first, <, (long long)bitmap.bits);
        CHECK(added[first] && !taken[first], ==, true);
    }
    for (uint64_t bit = 0; bit < bitmap.bits; bit++) {
        taken[bit] = taken[bit] && !added[bit];
    }
    CHECK(wrong_bits(), ==, 0);
    CHECK(bitmap_summary_fault(&bitmap), ==, BITMAP_NONE);
}

static void an_empty_batch_misses_and_releases_nothing(void) {
    make(1000, 0);
    CHECK(batch_missing(&batch, &bitmap), ==, BITMAP_NONE);
    CHECK(batch_first(&batch), ==, BITMAP_NONE);
    release_agrees();
    unmake(0);
}

static void bits_outside_are_refused(void) {
    static const uint64_t sizes[] = {1, 63, 64, 65, 511, 512, 513};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        make(sizes[s], 4);
        add(sizes[s]); /* the bitmap's padding is taken, and yet no bit of it */
        add(sizes[s] + 1);
        for (unsigned shift = 10; shift < 64; shift++) {
            add(UINT64_C(1) << shift);
            add(UINT64_MAX << shift);
        }
        CHECK(batch_first(&batch), ==, BITMAP_NONE);
        add(sizes[s] - 1);
        CHECK(batch_first(&batch), ==, sizes[s] - 1);
        release_agrees();
        unmake(4);
    }
}

static void ascending_bits_need_no_table(void) {
    make(100000, 100000);
    for (uint64_t bit = 0; bit < 100000; bit++) {
        add(bit);
    }
    CHECK(batch.count, ==, 1563);
    CHECK(batch.log_size, ==, 0);
    add(99999); /* in the word of the last */
    CHECK(batch.log_size, ==, 0);
    release_agrees();
    unmake(100000);
}

static void descending_bits_are_one_part_a_word(void) {
    make(100000, 100000);
    for (uint64_t bit = 100000; bit-- > 0;) {
        add(bit);
    }
    CHECK(batch.count, ==, 1563);
    CHECK(batch.log_size, >, 0);
    add(99999);
    add(0);
    add(50000);
    CHECK(batch.count, ==, 1563);
    release_agrees();
    unmake(100000);
}

/* One bit in each of as many words as the batch has room for: the table is as full as it gets. */
static void a_batch_takes_as_many_words_as_bits(void) {
    for (uint64_t most = 1; most <= 3000; most += most < 40 ? 1 : 491) {
        make(MOST_BITS, most);
        for (uint64_t i = 0; i < most; i++) {
            add((i * 1709 + 5) % 3001 * 64 + i % 64);
        }
        CHECK(batch.count, ==, most);
        for (uint64_t i = 0; i < most; i++) {
            add((i * 1709 + 5) % 3001 * 64 + i % 64);
        }
        CHECK(batch.count, ==, most);
        missing_agrees();
        release_agrees();
        unmake(most);
    }
}

static void what_was_released_in_between_stays_in_the_batch(void) {
    make(1000, 300);
    for (uint64_t bit = 400; bit-- > 100;) {
        add(bit);
    }
    CHECK(batch_missing(&batch, &bitmap), ==, BITMAP_NONE);
    for (uint64_t bit = 130; bit < 140; bit++) {
        CHECK(bitmap_release(&bitmap, bit), ==, true); /* by another caller */
        taken[bit] = 0;
    }
    missing_agrees();
    CHECK(batch_missing(&batch, &bitmap), ==, 130);
    CHECK(batch_release(&batch, &bitmap), ==, 290);
    CHECK(batch_first(&batch), ==, 130);
    uint64_t left = 0;
    for (uint64_t i = 0; i < batch.count; i++) {
        left += (unsigned)__builtin_popcountll(batch.parts[i].mask);
    }
    CHECK(left, ==, 10);
    unmake(300);
}

static void missing_changes_nothing(void) {
    make(1000, 200);
    CHECK(bitmap_release(&bitmap, 77), ==, true);
    taken[77] = 0;
    for (uint64_t bit = 0; bit < 200; bit++) {
        add(bit);
    }
    CHECK(batch_missing(&batch, &bitmap), ==, 77);
    CHECK(batch_missing(&batch, &bitmap), ==, 77);
    CHECK(wrong_bits(), ==, 0);
    unmake(200);
}

/* A million bits at once, shuffled, and one of them again. */
static void a_big_batch(void) {
    uint64_t bits = 1000000;
    uint64_t *order = malloc(bits * sizeof *order);
    memory = aligned_alloc(64, bitmap_bytes(bits));
    bitmap_init(&bitmap, memory, bits, true);
    CHECK(bitmap_claim_range(&bitmap, 0, bits), ==, true);
    batch_memory = malloc(batch_bytes(bits));
    batch_init(&batch, batch_memory, bits, bits);
    for (uint64_t i = 0; i < bits; i++) {
        order[i] = i;
    }
    uint64_t refused = 0;
    for (uint64_t i = bits; i-- > 0;) {
        uint64_t other = check_below(i + 1), bit = order[other];
        order[other] = order[i];
        order[i] = bit;
        refused += batch_add(&batch, bit) != BATCH_OK;
    }
    CHECK(refused, ==, 0);
    CHECK(batch_add(&batch, check_below(bits)), ==, BATCH_DUPLICATE);
    CHECK(batch.count, ==, bits / 64);
    CHECK(batch_missing(&batch, &bitmap), ==, BITMAP_NONE);
    CHECK(bitmap_count(&bitmap), ==, bits);
    CHECK(batch_release(&batch, &bitmap), ==, bits);
    CHECK(bitmap_count(&bitmap), ==, 0);
    CHECK(batch_first(&batch), ==, BITMAP_NONE);
    CHECK(bitmap_longest_free(&bitmap), ==, bits);
    free(order);
    free(batch_memory);
    free(memory);
}

/* Batches of bits that go up, go down, stay near or jump, with duplicates and bits outside, of a bitmap with holes. */
static void random_batches_do_what_bytes_do(void) {
    for (int round = 0; round < 1500; round++) {
        uint64_t bits = 1 + check_below(check_below(4) ? 700 : 20000), most = check_below(600);
        make(bits, most);
        for (uint64_t i = check_below(4) ? 0 : check_below(bits); i-- > 0;) {
            uint64_t bit = check_below(bits);
            CHECK(bitmap_release(&bitmap, bit), ==, taken[bit]);
            taken[bit] = 0;
        }
        uint64_t at = check_below(bits), way = check_below(4);
        for (uint64_t i = 0; i < most; i++) {
            at = way == 0   ? at + 1 + check_below(3)
                 : way == 1 ? at - 1 - check_below(3)
                 : way == 2 ? at + check_below(200) - 100
                            : check_below(bits + 1);
            if (check_below(20) == 0) {
                way = check_below(4);
            }
            if (at >= bits && check_below(8)) {
                at = check_below(bits);
            }
            add(at);
        }
        missing_agrees();
        release_agrees();
        unmake(most);
    }
}

/* From anywhere to anywhere, with at most one bit that was released before: the bits outside stay. */
static void a_range_is_released_whole(void) {
    for (uint64_t first = 0; first < 200; first += 7) {
        for (uint64_t n = 1; first + n <= 1000; n += n < 70 ? 1 : 63) {
            uint64_t hole = check_below(3) ? check_below(1000) : BITMAP_NONE, inside = BITMAP_NONE, left = 7;
            make(1000, 1);
            if (hole != BITMAP_NONE) {
                CHECK(bitmap_release(&bitmap, hole), ==, true);
                inside = first <= hole && hole < first + n ? hole : BITMAP_NONE;
            }
            CHECK(batch_missing_range(&bitmap, first, n), ==, inside);
            CHECK(batch_release_range(&bitmap, first, n, &left), ==, n - (inside != BITMAP_NONE));
            CHECK(left, ==, inside);
            for (uint64_t bit = 0; bit < 1000; bit++) {
                CHECK(bitmap_test(&bitmap, bit), ==, (bit < first || bit >= first + n) && bit != hole);
            }
            unmake(1);
        }
    }
}

/* Integers of both widths: stretches that count up, from anywhere to anywhere, with at most one thing wrong. */
static void integers_are_added_as_if_one_by_one(void) {
    static int64_t wide[1000];
    static int32_t narrow[1000];
    static unsigned char seen[2100];
    for (int round = 0; round < 4000; round++) {
        uint64_t bits = 1 + check_below(2000), n = 0, at = 0, refused = 7;
        memset(seen, 0, sizeof seen);
        while (n < 900 && check_below(12)) {
            at = check_below(3) ? at : check_below(bits);
            for (uint64_t left = check_below(check_below(2) ? 200 : 3); left > 0 && n < 900; left--) {
                if (at < bits && !seen[at]) {
                    seen[at] = 1;
                    wide[n++] = (int64_t)at;
                }
                at++;
            }
            at += check_below(4);
        }
        enum batch_status expected = BATCH_OK;
        if (check_below(2)) {
            uint64_t place = check_below(n + 1);
            static const int64_t outside[] = {-1, INT32_MIN, INT32_MAX};
            int64_t wrong = (int64_t)bits;
            if (n > 0 && check_below(2)) {
                wrong = wide[check_below(n)];
                expected = BATCH_DUPLICATE;
            } else {
                wrong = check_below(2) ? outside[check_below(3)] : wrong;
                expected = BATCH_OUTSIDE;
            }
            memmove(wide + place + 1, wide + place, (n - place) * sizeof *wide);
            wide[place] = wrong;
            n++;
            refused = (uint64_t)wrong;
        }
        for (unsigned width = 4; width <= 8; width += 4) {
            make(bits, n);
            uint64_t found = 7;
            for (uint64_t i = 0; i < n; i++) {
                narrow[i] = (int32_t)wide[i];
            }
            const void *integers = width == 4 ? (const void *)narrow : (const void *)wide;
            CHECK(batch_add_integers(&batch, integers, width, n, &found), ==, expected);
            CHECK(found, ==, refused);
            if (expected == BATCH_OK) {
                memcpy(added, seen, bits);
                CHECK(batch_missing(&batch, &bitmap), ==, BITMAP_NONE);
                release_agrees();
            }
            unmake(n);
        }
    }
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(an_empty_batch_misses_and_releases_nothing);
    RUN(bits_outside_are_refused);
    RUN(ascending_bits_need_no_table);
    RUN(descending_bits_are_one_part_a_word);
    RUN(a_batch_takes_as_many_words_as_bits);
    RUN(what_was_released_in_between_stays_in_the_batch);
    RUN(missing_changes_nothing);
    RUN(a_big_batch);
    RUN(a_range_is_released_whole);
    RUN(integers_are_added_as_if_one_by_one);
    RUN(random_batches_do_what_bytes_do);
    return check_end();
}
