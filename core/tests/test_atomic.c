/* Tests of atomic.h: what each access returns, and that those of several threads lose nothing. */
#include "os/atomic.h"

#include <pthread.h>

#include "check.h"

static void changes_return_what_was_there(void) {
    atomic_word word = 0;
    store_relaxed(&word, 5);
    CHECK(load_relaxed(&word), ==, 5);
    store_release(&word, 6);
    CHECK(load_seq(&word), ==, 6);
    CHECK(fetch_or_seq(&word, 9), ==, 6);
    CHECK(fetch_and_seq(&word, 12), ==, 15);
    CHECK(load_seq(&word), ==, 12);
    atomic_half half = UINT32_MAX;
    CHECK(half_fetch_add_seq(&half, 2), ==, UINT32_MAX);
    CHECK(half_load_seq(&half), ==, 1);
    half_store_seq(&half, 7);
    CHECK(half_load_seq(&half), ==, 7);
}

static void a_bit_tells_whether_this_call_changed_it(void) {
    for (unsigned bit = 0; bit < 64; bit++) {
        for (unsigned others = 0; others < 2; others++) {
            uint64_t mask = UINT64_C(1) << bit, rest = others ? ~mask : 0;
            atomic_word word = rest;
            CHECK(clear_bit_seq(&word, bit), ==, false);
            CHECK(set_bit_seq(&word, bit), ==, true);
            CHECK(load_seq(&word) == (rest | mask), ==, true);
            CHECK(set_bit_seq(&word, bit), ==, false);
            CHECK(clear_bit_seq(&word, bit), ==, true);
            CHECK(load_seq(&word) == rest, ==, true);
        }
    }
}

static void a_failed_exchange_tells_the_value_found(void) {
    atomic_word word = 3;
    uint64_t expected = 4;
    CHECK(compare_exchange_seq(&word, &expected, 5), ==, false);
    CHECK(expected, ==, 3);
    CHECK(compare_exchange_seq(&word, &expected, 5), ==, true);
    CHECK(expected, ==, 3);
    CHECK(load_seq(&word), ==, 5);
}

#define ROUNDS 20000u

static atomic_word counter, bits;
static atomic_half half_counter;

/* Adds one by exchange and by addition, and counts how often it was the one that set or cleared a bit. */
static void *work(void *context) {
    int64_t *set = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t old = load_seq(&counter);
        while (!compare_exchange_seq(&counter, &old, old + 1)) {
        }
        (void)half_fetch_add_seq(&half_counter, 1);
        *set += set_bit_seq(&bits, i % 64);
        *set -= clear_bit_seq(&bits, i % 64);
    }
    return NULL;
}

static void nothing_is_lost_among_threads(void) {
    pthread_t threads[3];
    int64_t set[3] = {0};
    for (unsigned t = 0; t < 3; t++) {
        pthread_create(&threads[t], NULL, work, &set[t]);
    }
    for (unsigned t = 0; t < 3; t++) {
        pthread_join(threads[t], NULL);
    }
    CHECK(load_seq(&counter), ==, 3 * ROUNDS);
    CHECK(half_load_seq(&half_counter), ==, 3 * ROUNDS);
    CHECK(set[0] + set[1] + set[2], ==, __builtin_popcountll(load_seq(&bits)));
}

int main(void) {
    RUN(changes_return_what_was_there);
    RUN(a_bit_tells_whether_this_call_changed_it);
    RUN(a_failed_exchange_tells_the_value_found);
    RUN(nothing_is_lost_among_threads);
    return check_end();
}
