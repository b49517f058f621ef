/* Tests of message.h: the words by which messages are passed on, and what lies in a message's blocks. */
#include "os/atomic.h"

#include "shared/message.h"

#include <stddef.h>

#include "check.h"

static const enum message_state states[] = {MESSAGE_NONE,     MESSAGE_PUTTING, MESSAGE_QUEUED,   MESSAGE_TAKEN,
                                            MESSAGE_RETURNED, MESSAGE_ENDING,  MESSAGE_IS_QUEUE, MESSAGE_CARRIES};
#define STATES (sizeof states / sizeof *states)
static const unsigned slots[] = {LEDGER_NOBODY, 0, 1, 63, 64, 255, 256, 4095, LEDGER_RECOVERY};
#define SLOTS (sizeof slots / sizeof *slots)
static const uint64_t generations[] = {0, 1, 0x12345678, UINT64_C(1) << 31, LEDGER_MOST_GENERATION};
#define GENERATIONS (sizeof generations / sizeof *generations)
static const uint64_t blocks[] = {0, 1, 2, 255, 256, 65535, (UINT64_C(1) << 20) - 1};
#define BLOCKS (sizeof blocks / sizeof *blocks)

/* --- a message's word --- */

static void a_word_is_taken_apart(void) {
    for (unsigned i = 0; i < STATES * SLOTS * GENERATIONS; i++) {
        enum message_state state = states[i % STATES];
        unsigned slot = slots[i / STATES % SLOTS];
        uint64_t generation = generations[i / STATES / SLOTS], word = message_word(state, slot, generation);
        CHECK(message_state(word), ==, state);
        CHECK(message_slot(word), ==, slot);
        CHECK(message_generation(word), ==, generation);
        CHECK(word & MESSAGE_AGAIN, ==, 0);
        CHECK(message_slot(word | MESSAGE_AGAIN), ==, slot);
        CHECK(message_state(word | MESSAGE_AGAIN), ==, state);
        CHECK(message_generation(word | MESSAGE_AGAIN), ==, generation);
    }
}

static void no_two_words_are_alike(void) {
    static uint64_t words[STATES * SLOTS * GENERATIONS];
    for (unsigned i = 0; i < STATES * SLOTS * GENERATIONS; i++) {
        words[i] = message_word(states[i % STATES], slots[i / STATES % SLOTS], generations[i / STATES / SLOTS]);
        for (unsigned j = 0; j < i; j++) {
            CHECK(words[i] == words[j], ==, false);
        }
    }
    CHECK(message_word(MESSAGE_NONE, LEDGER_NOBODY, 0), ==, 0); /* as in fresh memory */
}

static void a_generation_too_large_touches_nothing_else(void) {
    uint64_t word = message_word(MESSAGE_TAKEN, 5, UINT64_MAX);
    CHECK(message_state(word), ==, MESSAGE_TAKEN);
    CHECK(message_slot(word), ==, 5);
    CHECK(word & MESSAGE_AGAIN, ==, 0);
    CHECK(message_generation(word), ==, LEDGER_MOST_GENERATION);
}

static void a_change_keeps_the_generation_and_that_it_comes_again(void) {
    for (unsigned i = 0; i < STATES * SLOTS * GENERATIONS * 2; i++) {
        uint64_t generation = generations[i / STATES / SLOTS % GENERATIONS],
                 again = i < STATES * SLOTS * GENERATIONS ? 0 : MESSAGE_AGAIN;
        uint64_t word = message_word(states[i % STATES], slots[i / STATES % SLOTS], generation) | again;
        for (unsigned s = 0; s < STATES; s++) {
            for (unsigned t = 0; t < SLOTS; t++) {
                uint64_t after = message_change(word, states[s], slots[t]);
                CHECK(message_state(after), ==, states[s]);
                CHECK(message_slot(after), ==, slots[t]);
                CHECK(message_generation(after), ==, generation);
                CHECK(after & MESSAGE_AGAIN, ==, again);
            }
        }
    }
}

/* --- the word of a run that is carried --- */

static void a_carried_run_names_its_message(void) {
    for (unsigned b = 0; b < BLOCKS; b++) {
        for (unsigned g = 0; g < GENERATIONS; g++) {
            uint64_t word = message_carries(blocks[b], generations[g]);
            CHECK(message_state(word), ==, MESSAGE_CARRIES);
            CHECK(message_carrier(word), ==, blocks[b]);
            CHECK(message_generation(word), ==, generations[g]);
        }
        CHECK(message_carrier(message_carries(blocks[b], UINT64_MAX)), ==, blocks[b]);
    }
}

/* --- cells --- */

static void a_cell_knows_its_position_and_what_is_in_it(void) {
    static const uint64_t positions[] = {0, 1, 2, 63, 64, 65, UINT32_MAX, UINT64_C(1) << 40, (UINT64_C(1) << 43) - 1};
    for (unsigned p = 0; p < sizeof positions / sizeof *positions; p++) {
        for (unsigned b = 0; b < BLOCKS; b++) {
            uint64_t full = cell_full(positions[p], blocks[b]), empty = cell_empty(positions[p]);
            CHECK(cell_block(full), ==, blocks[b]);
            CHECK(cell_block(empty), ==, 0);
            for (unsigned q = 0; q < sizeof positions / sizeof *positions; q++) {
                CHECK(cell_is_full_at(full, positions[q]), ==, p == q);
                CHECK(cell_is_full_at(empty, positions[q]), ==, false);
                CHECK(cell_empty(positions[q]) == empty, ==, p == q);
            }
        }
    }
    CHECK(cell_empty(0), ==, 0); /* as in fresh memory */
}

static void a_position_has_43_bits_and_then_begins_again(void) {
    uint64_t laps = UINT64_C(1) << 43;
    CHECK(cell_full(laps + 5, 7), ==, cell_full(5, 7));
    CHECK(cell_empty(laps + 5), ==, cell_empty(5));
    CHECK(cell_is_full_at(cell_full(5, 7), laps + 5), ==, true);
}

static void the_blocks_of_the_largest_annex_fit_in_a_cell(void) {
    CHECK(CELL_BLOCK, ==, (UINT64_C(1) << 20) - 1);
    CHECK(CELL_FULL & CELL_BLOCK, ==, 0);
}

/* --- in memory --- */

static void every_process_finds_the_same_at_the_same_place(void) {
    CHECK(offsetof(struct message, position), ==, 0);
    CHECK(offsetof(struct message, queue), ==, 8);
    CHECK(offsetof(struct message, sent), ==, 16);
    CHECK(offsetof(struct message, process), ==, 24);
    CHECK(offsetof(struct message, kind), ==, 28);
    CHECK(offsetof(struct message, most), ==, 32);
    CHECK(offsetof(struct message, count), ==, 36);
    CHECK(offsetof(struct message, bytes), ==, 40);
    CHECK(offsetof(struct message, runs), ==, 48);
    CHECK(sizeof(struct message_run), ==, 16);
    CHECK(offsetof(struct message_array, offset), ==, 16);
    CHECK(offsetof(struct message_array, shape), ==, 24);
    CHECK(offsetof(struct message_array, strides), ==, 88);
}

static void small_messages_fit_in_one_block_of_the_annex(void) {
    CHECK(sizeof(struct message) + 208, <=, 256); /* bytes, and no run */
    CHECK(sizeof(struct message) + sizeof(struct message_run) + sizeof(struct message_array), <=, 256);
}

int main(void) {
    RUN(a_word_is_taken_apart);
    RUN(no_two_words_are_alike);
    RUN(a_generation_too_large_touches_nothing_else);
    RUN(a_change_keeps_the_generation_and_that_it_comes_again);
    RUN(a_carried_run_names_its_message);
    RUN(a_cell_knows_its_position_and_what_is_in_it);
    RUN(a_position_has_43_bits_and_then_begins_again);
    RUN(the_blocks_of_the_largest_annex_fit_in_a_cell);
    RUN(every_process_finds_the_same_at_the_same_place);
    RUN(small_messages_fit_in_one_block_of_the_annex);
    return check_end();
}
