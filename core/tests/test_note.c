/* Tests of note.h: the words of a note. core/explore/note_scenarios.c has those who meet in one. */
#include "shared/note.h"

#include "check.h"

#define GENERATION UINT64_C(0xabcdef0123)

static struct note note;
static unsigned char text[NOTE_MOST], found[NOTE_MOST];

/* The length of the note of that generation; 999 while it is being set. */
static unsigned read_as(uint64_t generation) {
    unsigned length = 998;
    memset(found, 0xee, sizeof found);
    return note_read(&note, generation, found, &length) ? length : 999;
}

static void begin(void) {
    memset(&note, 0, sizeof note);
    for (unsigned i = 0; i < NOTE_MOST; i++) {
        text[i] = (unsigned char)(i + 1);
    }
}

static void zeroed_memory_has_no_note(void) {
    begin();
    CHECK(note_setter(load_seq(&note.state)), ==, LEDGER_NOBODY);
    CHECK(read_as(0), ==, 0);
    CHECK(read_as(GENERATION), ==, 0);
}

static void a_note_of_any_length_is_read_as_it_was_written(void) {
    begin();
    for (unsigned length = NOTE_MOST; length <= NOTE_MOST; length--) { /* the long ones first: no byte of them stays */
        note_write(&note, GENERATION, text, length, note_begun(load_seq(&note.state), 3));
        CHECK(read_as(GENERATION), ==, length);
        CHECK(memcmp(found, text, length), ==, 0);
        CHECK(length < NOTE_MOST ? found[length] : 0xee, ==, 0xee);
    }
}

static void it_belongs_to_one_generation(void) {
    begin();
    note_write(&note, LEDGER_MOST_GENERATION, text, 5, note_begun(0, 3));
    CHECK(read_as(LEDGER_MOST_GENERATION), ==, 5);
    for (unsigned bit = 0; bit < 40; bit++) {
        CHECK(read_as(LEDGER_MOST_GENERATION ^ UINT64_C(1) << bit), ==, 0);
    }
}

static void the_state_names_the_slot_that_sets_it_and_never_comes_back(void) {
    static const uint64_t times[] = {0, 1, 77, (UINT64_C(1) << 51) - 1};
    for (unsigned slot = 0; slot < LEDGER_MOST_SLOTS; slot++) {
        for (unsigned t = 0; t < sizeof times / sizeof *times; t++) {
            uint64_t state = times[t] << NOTE_SLOT_BITS, begun = note_begun(state, slot);
            CHECK(note_setter(state), ==, LEDGER_NOBODY);
            CHECK(note_setter(begun), ==, slot);
            CHECK(note_setter(note_done(begun)), ==, LEDGER_NOBODY);
            CHECK(note_done(begun) >> NOTE_SLOT_BITS, ==, (times[t] + 1) % (UINT64_C(1) << 51));
            CHECK(note_begun(begun, 5) >> NOTE_SLOT_BITS, !=, begun >> NOTE_SLOT_BITS); /* when it is taken over */
        }
    }
}

static void there_is_no_note_while_it_is_being_set(void) {
    begin();
    note_write(&note, GENERATION, text, 7, note_begun(0, 0));
    uint64_t begun = note_begun(load_seq(&note.state), 0);
    store_seq(&note.state, begun);
    CHECK(read_as(GENERATION), ==, 999);
    note_write(&note, GENERATION, text + 1, 6, begun);
    CHECK(read_as(GENERATION), ==, 6);
    CHECK(found[0], ==, 2);
}

static void damage_is_no_note(void) {
    begin();
    for (unsigned length = NOTE_MOST + 1; length < 256; length++) {
        store_seq(&note.what, note_what(GENERATION, length));
        CHECK(read_as(GENERATION), ==, 0);
    }
    memset(&note, 0xff, sizeof note);
    CHECK(read_as(GENERATION), ==, 999); /* of a slot that cannot be */
    CHECK(note_setter(load_seq(&note.state)), >=, LEDGER_MOST_SLOTS);
}

int main(void) {
    RUN(zeroed_memory_has_no_note);
    RUN(a_note_of_any_length_is_read_as_it_was_written);
    RUN(it_belongs_to_one_generation);
    RUN(the_state_names_the_slot_that_sets_it_and_never_comes_back);
    RUN(there_is_no_note_while_it_is_being_set);
    RUN(damage_is_no_note);
    return check_end();
}
