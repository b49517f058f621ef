/* Tests of notes.c: the notes of a pool's runs. */
#include "one_pool.h"

#include <pthread.h>

#include "shared/notes.h"

#define A_PAGE LAYOUT_NOTES_A_PAGE
_Static_assert(A_PAGE == 30 && BLOCKS > 3 * A_PAGE, "what these tests count on");

static unsigned char found[NOTE_MOST];

static enum pool_status set_in(struct attachment *whose, const struct pool_run *run, const char *text, double seconds) {
    return attachment_set_note(whose, run, text, (unsigned)strlen(text), seconds, &failure);
}

static void set(const struct pool_run *run, const char *text) {
    CHECK(set_in(&attachment, run, text, PATIENCE), ==, POOL_OK);
}

/* Whether the attachment reads that as the run's note. */
static bool reads(const struct attachment *whose, const struct pool_run *run, const char *text) {
    unsigned length = attachment_note(whose, run, found);
    return length == strlen(text) && memcmp(found, text, length) == 0;
}

static bool has(const struct pool_run *run, const char *text) { return reads(&attachment, run, text); }

static struct note *note_at(const struct attachment *whose, uint64_t index) {
    return (struct note *)(void *)((char *)whose->memory + layout_note_at(&whose->geometry, index));
}

/* How much memory the file has. */
static uint64_t memory_of_file(void) {
    struct stat file;
    CHECK(fstat(attachment.file.number, &file), ==, 0);
    return (uint64_t)file.st_blocks * 512;
}

/* --- a note and its run --- */

static void every_holder_reads_the_note_of_a_run(void) {
    make();
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = allocate(3), single = allocate(1), again = run;
    CHECK(has(&run, ""), ==, true);
    set(&run, "camera 3");
    set(&single, "x");
    CHECK(attachment_add_reference(&other, &again), ==, POOL_OK);
    CHECK(reads(&other, &again, "camera 3"), ==, true);
    CHECK(set_in(&other, &again, "camera 4, later", PATIENCE), ==, POOL_OK);
    CHECK(has(&run, "camera 4, later"), ==, true);
    CHECK(has(&single, "x"), ==, true);
    set(&run, "");
    CHECK(reads(&other, &again, ""), ==, true);
    drop(&run);
    drop(&single);
    CHECK(set_in(&other, &again, "left", PATIENCE), ==, POOL_OK);
    CHECK(reads(&other, &again, "left"), ==, true);
    drop_from(&other, &again);
    end(&other);
    unmake();
}

static void every_block_has_room_for_a_note_of_120_bytes(void) {
    struct pool_run runs[BLOCKS];
    unsigned char bytes[NOTE_MOST];
    CHECK(NOTE_MOST, ==, 120);
    make();
    for (unsigned i = 0; i < BLOCKS; i++) {
        runs[i] = allocate(1);
        memset(bytes, (int)i + 1, sizeof bytes);
        CHECK(attachment_set_note(&attachment, &runs[i], bytes, NOTE_MOST - i % 3, PATIENCE, &failure), ==, POOL_OK);
        fill(&attachment, &runs[i], 0xdd);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        memset(bytes, (int)i + 1, sizeof bytes);
        CHECK(attachment_note(&attachment, &runs[i], found), ==, NOTE_MOST - i % 3);
        CHECK(memcmp(found, bytes, NOTE_MOST - i % 3), ==, 0);
        CHECK(is_filled(&attachment, &runs[i], 0xdd), ==, true);
        drop(&runs[i]);
    }
    CHECK(layout_note_at(&attachment.geometry, BLOCKS - 1) + sizeof(struct note), <=,
          layout_lanes_at(&attachment.geometry));
    unmake();
}

static void a_new_run_has_none(void) {
    make();
    struct pool_run run = allocate(1), next;
    set(&run, "old");
    drop(&run);
    next = allocate(1);
    while (next.index != run.index) { /* allocation goes round */
        drop(&next);
        next = allocate(1);
    }
    CHECK(has(&next, ""), ==, true);
    CHECK(has(&run, "old"), ==, true); /* it is still there, under its generation */
    set(&next, "new");
    CHECK(has(&next, "new") && has(&run, ""), ==, true);
    drop(&next);
    unmake();
}

static void in_child(void) {
    CHECK(reads(&attachment, &held, "before"), ==, true);
    CHECK(set_in(&attachment, &held, "from the child", PATIENCE), ==, POOL_OK);
}

static void a_forked_child_shares_the_note(void) {
    make();
    held = allocate(1);
    set(&held, "before");
    CHECK(ended(fork_with(ON_FORK_SHARE, in_child)), ==, 0);
    CHECK(has(&held, "from the child"), ==, true);
    drop(&held);
    unmake();
}

static void in_stray(void) {
    CHECK(set_in(&attachment, &held, "x", PATIENCE), ==, POOL_STRAY);
    CHECK(set_in(&attachment, &held, "x", 0), ==, POOL_STRAY);
    CHECK(reads(&attachment, &held, ""), ==, true);
}

static void a_child_without_a_part_has_no_notes(void) {
    make();
    held = allocate(1);
    set(&held, "before");
    CHECK(ended(fork_with(ON_FORK_DETACH, in_stray)), ==, 0);
    CHECK(has(&held, "before"), ==, true);
    drop(&held);
    unmake();
}

/* --- memory --- */

static void notes_take_no_memory_until_they_are_set(void) {
    struct pool_run runs[A_PAGE + 1];
    make();
    uint64_t before = memory_of_file();
    CHECK(before, ==, layout_endings_at(&attachment.geometry));
    CHECK(layout_lanes_at(&attachment.geometry) - layout_notes_at(&attachment.geometry), ==,
          (BLOCKS + A_PAGE - 1) / A_PAGE * LAYOUT_PAGE);
    for (unsigned i = 0; i <= A_PAGE; i++) {
        runs[i] = allocate(1);
        CHECK(runs[i].index, ==, i);
        CHECK(has(&runs[i], ""), ==, true);
        set(&runs[i], "");
    }
    CHECK(memory_of_file(), ==, before);
    for (unsigned i = 0; i < A_PAGE; i++) {
        set(&runs[i], "x");
        CHECK(memory_of_file(), ==, before + LAYOUT_PAGE);
    }
    CHECK(has(&runs[A_PAGE], ""), ==, true);
    CHECK(memory_of_file(), ==, before + LAYOUT_PAGE);
    set(&runs[A_PAGE], "x");
    CHECK(memory_of_file(), ==, before + 2 * LAYOUT_PAGE);
    for (unsigned i = 0; i <= A_PAGE; i++) {
        drop(&runs[i]);
    }
    unmake();
}

static void a_quick_set_reserves_nothing(void) {
    make();
    struct pool_run run = allocate(1);
    uint64_t before = memory_of_file();
    CHECK(set_in(&attachment, &run, "x", 0), ==, POOL_LOCKED);
    CHECK(memory_of_file(), ==, before);
    CHECK(has(&run, ""), ==, true);
    set(&run, "x");
    CHECK(set_in(&attachment, &run, "y", 0), ==, POOL_OK);
    CHECK(has(&run, "y"), ==, true);
    drop(&run);
    unmake();
}

static void a_page_is_reserved_though_the_program_closed_the_file(void) {
    char path[200], away[220];
    make();
    snprintf(path, sizeof path, OS_SHM_DIRECTORY "/%s", name);
    snprintf(away, sizeof away, "%s.away", path);
    struct pool_run first = allocate(1), far = {BLOCKS / 2, 1, 1}, farther = {BLOCKS - 1, 1, 1};
    set(&first, "x");
    os_close(attachment.file.number);
    set(&far, "x"); /* it has been opened again by its name */
    CHECK(has(&far, "x"), ==, true);
    CHECK(rename(path, away), ==, 0);
    os_close(attachment.file.number);
    CHECK(set_in(&attachment, &farther, "x", PATIENCE), ==, POOL_UNREACHABLE);
    CHECK(has(&farther, ""), ==, true);
    set(&first, "y"); /* its page is there */
    CHECK(has(&first, "y"), ==, true);
    CHECK(rename(away, path), ==, 0);
    set(&farther, "x");
    CHECK(has(&farther, "x"), ==, true);
    drop(&first);
    unmake();
}

/* --- several that set one --- */

/* What a writer sets next: a letter, that many times. */
static unsigned next_text(unsigned char text[NOTE_MOST], unsigned i) {
    unsigned length = i % 2 ? NOTE_MOST : 1 + i % NOTE_MOST;
    memset(text, 'a' + (int)(i % 26), length);
    return length;
}

/* Whether what was read is one such text, or none. */
static bool is_whole(const unsigned char *bytes, unsigned length) {
    for (unsigned i = 1; i < length; i++) {
        if (bytes[i] != bytes[0]) {
            return false;
        }
    }
    return true;
}

static void set_forever(void) {
    unsigned char text[NOTE_MOST];
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = redeem_told(&other, 1);
    unsigned length = next_text(text, 1);
    CHECK(attachment_set_note(&other, &run, text, length, PATIENCE, &failure), ==, POOL_OK);
    reach(1);
    for (unsigned i = 2;; i++) {
        length = next_text(text, i);
        (void)!attachment_set_note(&other, &run, text, length, PATIENCE, &failure);
    }
}

static pid_t start_setter(const struct pool_run *run) {
    tell_run(1, run);
    CHECK(attachment_share(&attachment, run, 1), ==, POOL_OK);
    pid_t child = start(set_forever);
    await(1);
    return child;
}

/* Whether a process is in the middle of setting the note. */
static bool is_being_set(const struct pool_run *run) {
    return note_setter(load_seq(&note_at(&attachment, run->index)->state)) != LEDGER_NOBODY;
}

static void nobody_reads_a_mixture(void) {
    make();
    struct pool_run run = allocate(1);
    pid_t first = start_setter(&run), second = start_setter(&run);
    unsigned torn = 0, none = 0, looks = 0;
    for (double now = os_now(), began = now; now < began + (none < looks ? 0.5 : PATIENCE); looks++, now = os_now()) {
        unsigned length = attachment_note(&attachment, &run, found);
        torn += !is_whole(found, length);
        none += length == 0;
    }
    CHECK(torn, ==, 0);
    CHECK(none, <, looks);
    kill_and_wait(first);
    kill_and_wait(second);
    CHECK(recover(), ==, 2);
    drop(&run);
    unmake();
}

/* Stopped or killed at whatever moment: the note is whole or not there, others set it, and nothing of it comes
 * later. */
static void whoever_stops_or_dies_leaves_none_or_a_whole_one(void) {
    unsigned in_the_middle = 0;
    make();
    struct pool_run run = allocate(1);
    for (unsigned i = 0; i < 60 || (in_the_middle < 3 && i < 600); i++) {
        pid_t child = start_setter(&run);
        os_sleep(0.0001 * (double)(i % 7));
        kill(child, SIGSTOP);
        int status;
        CHECK(waitpid(child, &status, WUNTRACED), ==, child);
        bool middle = is_being_set(&run);
        unsigned length = attachment_note(&attachment, &run, found);
        CHECK(is_whole(found, length), ==, true);
        CHECK((length == 0), ==, middle);
        CHECK(set_in(&attachment, &run, "mine", 0.002), ==, middle ? POOL_BUSY : POOL_OK);
        CHECK(middle ? (pid_t)failure.process : child, ==, child);
        in_the_middle += middle;
        kill(child, SIGCONT);
        kill_and_wait(child);
        length = attachment_note(&attachment, &run, found);
        CHECK((length == 4 && memcmp(found, "mine", 4) == 0) || is_whole(found, length), ==, true);
        CHECK((length == 0), ==, is_being_set(&run));
        set(&run, "mine");
        CHECK(has(&run, "mine"), ==, true);
        (void)recover();
    }
    printf("  stopped in the middle: %u\n", in_the_middle);
    drop(&run);
    unmake();
}

/* In the middle of setting: has named itself, and written half. */
static void begin_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = redeem_told(&other, 1);
    struct note *note = note_at(&other, run.index);
    store_release(&other.slot_record->noting, run.index + 1);
    store_seq(&note->state, note_begun(load_seq(&note->state), other.slot));
    store_release(&note->words[0], 0x2121212121212121);
    reach(1);
    await(2);
    note_write(note, run.generation, "from the child", 14, load_seq(&note->state));
    store_release(&other.slot_record->noting, 0);
    reach(3);
    stay();
}

static pid_t start_in_the_middle(const struct pool_run *run) {
    tell_run(1, run);
    CHECK(attachment_share(&attachment, run, 1), ==, POOL_OK);
    pid_t child = start(begin_and_stay);
    await(1);
    return child;
}

static void one_that_is_setting_it_is_waited_for(void) {
    make();
    struct pool_run run = allocate(1), next = allocate(1);
    set(&run, "a long note that was there before");
    pid_t child = start_in_the_middle(&run);
    CHECK(has(&run, ""), ==, true);
    CHECK(set_in(&attachment, &run, "x", 0), ==, POOL_LOCKED);
    CHECK(set_in(&attachment, &run, "x", 0.01), ==, POOL_BUSY);
    CHECK(failure.process, ==, child);
    CHECK(load_seq(&attachment.slot_record->noting), ==, 0);
    set(&next, "the neighbour's"); /* is not in the way */
    reach(2);
    await(3);
    CHECK(has(&run, "from the child"), ==, true);
    set(&run, "x");
    CHECK(has(&run, "x"), ==, true);
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    drop(&run);
    drop(&next);
    unmake();
}

static void one_that_died_in_it_is_not(void) {
    make();
    struct pool_run run = allocate(1);
    set(&run, "before");
    kill_and_wait(start_in_the_middle(&run));
    CHECK(has(&run, ""), ==, true);
    CHECK(set_in(&attachment, &run, "after", 0), ==, POOL_LOCKED); /* it takes a look at who is dead */
    double began = os_now();
    set(&run, "after");
    CHECK(has(&run, "after"), ==, true);
    CHECK(os_now() - began < PATIENCE / 2, ==, true);
    drop(&run);
    unmake();
}

/* The slot of one that died in it belongs to another process now. */
static void another_process_in_its_slot_is_not_waited_for(void) {
    make();
    struct pool_run run = allocate(1);
    set(&run, "before");
    kill_and_wait(start_in_the_middle(&run));
    unsigned slot = note_setter(load_seq(&note_at(&attachment, run.index)->state));
    CHECK(recover(), ==, 1);
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(other.slot, ==, slot);
    CHECK(has(&run, ""), ==, true);
    CHECK(set_in(&attachment, &run, "after", 0), ==, POOL_OK);
    CHECK(has(&run, "after"), ==, true);
    end(&other);
    drop(&run);
    unmake();
}

static void *set_many(void *seed) {
    unsigned char text[NOTE_MOST], read[NOTE_MOST];
    struct pool_failure its_failure;
    for (unsigned i = 0; i < 20000; i++) {
        unsigned length = next_text(text, i + (unsigned)(uintptr_t)seed);
        CHECK(attachment_set_note(&attachment, &held, text, length, PATIENCE, &its_failure), ==, POOL_OK);
        CHECK(is_whole(read, attachment_note(&attachment, &held, read)), ==, true);
    }
    return NULL;
}

static void threads_take_turns(void) {
    pthread_t threads[2];
    unsigned char bytes[NOTE_MOST];
    unsigned torn = 0;
    make();
    held = allocate(1);
    for (uintptr_t t = 0; t < 2; t++) {
        CHECK(pthread_create(&threads[t], NULL, set_many, (void *)(t * 13)), ==, 0);
    }
    for (unsigned i = 0; i < 100000; i++) {
        torn += !is_whole(bytes, attachment_note(&attachment, &held, bytes));
    }
    for (unsigned t = 0; t < 2; t++) {
        CHECK(pthread_join(threads[t], NULL), ==, 0);
    }
    CHECK(torn, ==, 0);
    drop(&held);
    unmake();
}

/* --- damage --- */

static void damage_is_written_over(void) {
    make();
    struct pool_run run = allocate(1);
    struct note *note = note_at(&attachment, run.index);
    atomic_half *mark = (atomic_half *)(void *)((char *)attachment.memory + layout_note_marks_at(&attachment.geometry));
    set(&run, "x");
    uint32_t right = half_load_seq(mark);
    for (unsigned i = 0; i < 4; i++) {
        static const uint32_t wrong[] = {0, 1, UINT32_MAX, 0x6e6f7464};
        half_store_seq(mark, wrong[i]); /* the page seems to be gone */
        CHECK(has(&run, ""), ==, true);
        CHECK(set_in(&attachment, &run, "y", 0), ==, POOL_LOCKED);
        CHECK(half_load_seq(mark), ==, wrong[i]);
        set(&run, "y");
        CHECK(has(&run, "y"), ==, true);
        CHECK(half_load_seq(mark), ==, right);
    }
    for (unsigned slot = 0; slot <= 8191; slot += slot < 16 ? 1 : 511) { /* none of them is setting it */
        store_seq(&note->state, UINT64_MAX << NOTE_SLOT_BITS | slot);
        store_seq(&note->what, UINT64_MAX);
        CHECK(has(&run, ""), ==, true);
        CHECK(set_in(&attachment, &run, "z", 0), ==, POOL_OK);
        CHECK(has(&run, "z"), ==, true);
    }
    drop(&run);
    unmake();
}

int main(void) {
    process_begin();
    RUN(every_holder_reads_the_note_of_a_run);
    RUN(every_block_has_room_for_a_note_of_120_bytes);
    RUN(a_new_run_has_none);
    RUN(a_forked_child_shares_the_note);
    RUN(a_child_without_a_part_has_no_notes);
    RUN(notes_take_no_memory_until_they_are_set);
    RUN(a_quick_set_reserves_nothing);
    RUN(a_page_is_reserved_though_the_program_closed_the_file);
    RUN(nobody_reads_a_mixture);
    RUN(whoever_stops_or_dies_leaves_none_or_a_whole_one);
    RUN(one_that_is_setting_it_is_waited_for);
    RUN(one_that_died_in_it_is_not);
    RUN(another_process_in_its_slot_is_not_waited_for);
    RUN(threads_take_turns);
    RUN(damage_is_written_over);
    CHECK(process_end(), ==, 0);
    return check_end();
}
