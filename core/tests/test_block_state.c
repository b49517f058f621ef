/* Tests of block_state.h: each function on every kind of word, each step against its function, and all among
 * threads. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "block_state.h"

#include <pthread.h>

#include "check.h"
#include "os/thread.h"

#define OPEN STATE_FLAG_OPEN
#define FREEING STATE_FLAG_FREEING
#define FREED STATE_FLAG_FREED
#define RELEASED STATE_FLAG_RELEASED

/* Every word that a block can have with up to two inside, and how usable it is. */
static const struct {
    uint64_t word;
    enum state_outcome why, not_now;
} words[] = {
    {0, STATE_RELEASED, STATE_RELEASED},
    {OPEN, STATE_OK, STATE_OK},
    {OPEN + 1, STATE_OK, STATE_OK},
    {OPEN + 2, STATE_OK, STATE_OK},
    {OPEN | FREEING, STATE_OK, STATE_BUSY},
    {OPEN | FREED, STATE_FREED, STATE_FREED},
    {OPEN | RELEASED, STATE_RELEASED, STATE_RELEASED},
    {(OPEN | RELEASED) + 1, STATE_RELEASED, STATE_RELEASED},
    {(OPEN | RELEASED) + 2, STATE_RELEASED, STATE_RELEASED},
};
#define WORDS (sizeof words / sizeof *words)

static void a_word_says_why_the_block_is_not_to_be_used(void) {
    for (unsigned i = 0; i < WORDS; i++) {
        block_state state = {words[i].word};
        CHECK(state_why(words[i].word), ==, words[i].why);
        CHECK(state_why_not_now(words[i].word), ==, words[i].not_now);
        CHECK(state_is_open(&state), ==, words[i].why == STATE_OK);
    }
}

static void functions_change_what_they_say_and_refuse_the_rest(void) {
    for (unsigned i = 0; i < WORDS; i++) {
        uint64_t word = words[i].word;
        bool usable = words[i].not_now == STATE_OK, nobody = (word & STATE_INSIDE) == 0;
        CHECK(state_entered(word), ==, usable ? word + 1 : STATE_REFUSED);
        CHECK(state_freeing(word), ==, usable && nobody ? word | FREEING : STATE_REFUSED);
        CHECK(state_released(word), ==, usable ? word | RELEASED : STATE_REFUSED);
        if (!nobody) {
            CHECK(state_left(word), ==, word - 1);
        }
        CHECK(state_is_last(word), ==, word == (OPEN | RELEASED) + 1);
    }
    CHECK(state_freed(OPEN | FREEING), ==, OPEN | FREED);
    CHECK(state_kept(OPEN | FREEING), ==, OPEN);
}

/* A step makes of the word what its function makes of it, or leaves it alone and says why. */
static void steps_are_their_functions(void) {
    for (unsigned i = 0; i < WORDS; i++) {
        uint64_t word = words[i].word;
        bool inside = (word & STATE_INSIDE) != 0, usable = words[i].not_now == STATE_OK;
        block_state state = {word};
        CHECK(state_enter(&state), ==, words[i].not_now);
        CHECK(load_seq(&state.word), ==, usable ? state_entered(word) : word);
        state.word = word;
        CHECK(state_begin_free(&state), ==, usable && inside ? STATE_BUSY : words[i].not_now);
        CHECK(load_seq(&state.word), ==, usable && !inside ? state_freeing(word) : word);
        state.word = word;
        CHECK(state_release(&state), ==, usable && inside ? STATE_RELEASED : words[i].not_now);
        CHECK(load_seq(&state.word), ==, usable ? state_released(word) : word);
        if (inside) {
            state.word = word;
            CHECK(state_leave(&state), ==, state_is_last(word));
            CHECK(load_seq(&state.word), ==, word - 1);
        }
    }
}

static void a_block_without_a_run_acts_as_a_released_one(void) {
    block_state state = {0};
    CHECK(state_is_open(&state), ==, false);
    CHECK(state_enter(&state), ==, STATE_RELEASED);
    CHECK(state_begin_free(&state), ==, STATE_RELEASED);
    CHECK(state_release(&state), ==, STATE_RELEASED);
    state_open(&state);
    CHECK(state_is_open(&state), ==, true);
    CHECK(state_enter(&state), ==, STATE_OK);
}

static void a_free_with_somebody_inside_changes_nothing(void) {
    block_state state;
    state_open(&state);
    CHECK(state_enter(&state), ==, STATE_OK);
    CHECK(state_begin_free(&state), ==, STATE_BUSY);
    CHECK(load_seq(&state.word), ==, OPEN + 1);
    CHECK(state_leave(&state), ==, false);
    CHECK(state_begin_free(&state), ==, STATE_OK);
    CHECK(state_enter(&state), ==, STATE_BUSY);
    CHECK(state_release(&state), ==, STATE_BUSY);
    CHECK(state_begin_free(&state), ==, STATE_BUSY);
    state_end_free(&state, false);
    CHECK(load_seq(&state.word), ==, OPEN);
    CHECK(state_begin_free(&state), ==, STATE_OK);
    state_end_free(&state, true);
    CHECK(state_enter(&state), ==, STATE_FREED);
    CHECK(state_begin_free(&state), ==, STATE_FREED);
    CHECK(state_release(&state), ==, STATE_FREED);
}

static void the_last_one_inside_a_released_block_gives_its_run_back(void) {
    block_state state;
    state_open(&state);
    CHECK(state_enter(&state), ==, STATE_OK);
    CHECK(state_enter(&state), ==, STATE_OK);
    CHECK(state_release(&state), ==, STATE_RELEASED);
    CHECK(state_enter(&state), ==, STATE_RELEASED);
    CHECK(state_leave(&state), ==, false);
    CHECK(state_leave(&state), ==, true);
    state_open(&state);
    CHECK(state_release(&state), ==, STATE_OK);
    CHECK(state_release(&state), ==, STATE_RELEASED);
}

/* --- among threads --- */

#define THREADS 4u
#define ROUNDS 2000u

static block_state shared;
static atomic_half given_back;
static pthread_barrier_t barrier;

static void give_back(void) { (void)half_fetch_add_seq(&given_back, 1); }

static enum state_outcome unless_busy(enum state_outcome (*step)(block_state *state)) {
    enum state_outcome outcome;
    while ((outcome = step(&shared)) == STATE_BUSY) {
        os_yield();
    }
    return outcome;
}

/* Uses, tries to free, and releases one block after the other, together with the other threads. */
static void *use_free_and_release(void *context) {
    unsigned number = *(unsigned *)context;
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (number == 0) {
            CHECK(half_load_seq(&given_back), ==, round);
            state_open(&shared);
        }
        (void)pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < 3; i++) {
            if (unless_busy(state_enter) == STATE_OK && state_leave(&shared)) {
                give_back();
            }
            if ((i + number + round) % 3 == 0 && state_begin_free(&shared) == STATE_OK) {
                bool frees = (number + round) % 2;
                if (frees) {
                    give_back();
                }
                state_end_free(&shared, frees);
            }
        }
        if (unless_busy(state_release) == STATE_OK) {
            give_back();
        }
        (void)pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void the_run_goes_back_once_whatever_threads_do(void) {
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS), ==, 0);
    for (unsigned t = 0; t < THREADS; t++) {
        numbers[t] = t;
        pthread_create(&threads[t], NULL, use_free_and_release, &numbers[t]);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
    }
    CHECK(half_load_seq(&given_back), ==, ROUNDS);
    pthread_barrier_destroy(&barrier);
}

int main(void) {
    RUN(a_word_says_why_the_block_is_not_to_be_used);
    RUN(functions_change_what_they_say_and_refuse_the_rest);
    RUN(steps_are_their_functions);
    RUN(a_block_without_a_run_acts_as_a_released_one);
    RUN(a_free_with_somebody_inside_changes_nothing);
    RUN(the_last_one_inside_a_released_block_gives_its_run_back);
    RUN(the_run_goes_back_once_whatever_threads_do);
    return check_end();
}
