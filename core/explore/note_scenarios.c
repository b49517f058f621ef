/* note_scenarios.c: processes set and read the notes of runs at one block, on the real note.h and notes.c; main.c is
 * the search. A note has two words here: more of them are more of the same.
 *
 * What must hold at every moment: nobody touches a page that was not reserved; what is read is none, or a whole text
 * that was set for that generation; and if nobody was setting the note, it is the text of the last to set it. At the
 * end somebody can set and read the note, also if all others died in it.
 *
 * A thread that is stopped forever is a dead process, which recovery finds, or in some scenarios only a stopped one.
 * The rest of an attachment is replaced by what is at the end of this file.
 */
#include <string.h>

#include "os/process.h"
#include "os/thread.h"
#include "os/wait.h"
#include "scenarios.h"
#include "shared/attachment_parts.h"
#include "shared/notes.h"

#define LAST EXPLORE_THREADS /* the slot of one who looks at the end */
#define TRIES 12             /* how often one that waits looks again */

/* As layout.h has it, but for what notes do not need. */
#define DATA_AT (3 * LAYOUT_PAGE)
static unsigned char segment[DATA_AT + 3 * LAYOUT_PAGE] __attribute__((aligned(4096)));
static struct attachment processes[EXPLORE_THREADS + 1];
static bool reserved;
static bool stopped_are_dead;
static bool in_one_step;

/* --- the witness: plain memory, as threads switch only before atomic accesses --- */

static struct witness {
    uint64_t generation; /* of the note that is set */
    unsigned char text;
} texts[16]; /* that were ever begun */
static unsigned text_count;
static unsigned begun, ended; /* sets */
static uint32_t now, since;   /* a bit a text: which may be the last, and which were set since that was known */

static bool is_in_notes(const volatile void *word) {
    uint64_t at = (uint64_t)((const volatile unsigned char *)word - segment);
    return at < sizeof segment && at >= layout_notes_at(&processes[0].geometry);
}

void explore_access(const volatile void *word) {
    if (is_in_notes(word) && !reserved) {
        explore_fail("thread %u touches a page that is not there", explore_thread());
    }
    if (!in_one_step && (const volatile unsigned char *)word >= segment &&
        (const volatile unsigned char *)word < segment + sizeof segment) {
        explore_step();
    }
}

static struct pool_run run_of(uint64_t generation) { return (struct pool_run){0, 1, generation}; }

static unsigned length_of(unsigned char text) { return text % 2 ? NOTE_MOST : NOTE_MOST - 3; }

/* Sets the note, for that long; returns whether it did. */
static bool set_for(unsigned who, uint64_t generation, unsigned char text, double seconds) {
    unsigned char bytes[NOTE_MOST];
    struct pool_run run = run_of(generation);
    struct pool_failure failure;
    unsigned which = text_count++;
    texts[which] = (struct witness){generation, text};
    memset(bytes, text, sizeof bytes);
    begun++;
    enum pool_status status = attachment_set_note(&processes[who], &run, bytes, length_of(text), seconds, &failure);
    ended++;
    if (status == POOL_OK) {
        since |= 1u << which;
    } else if (status != POOL_BUSY) {
        explore_fail("setting it returns %d", (int)status);
    }
    if (begun == ended && since) {
        now = since;
        since = 0;
    }
    return status == POOL_OK;
}

static void set(uint64_t generation, unsigned char text) {
    if (!set_for(explore_thread(), generation, text, TRIES) && (stopped_are_dead || begun == ended)) {
        explore_fail("thread %u waits for nobody", explore_thread());
    }
}

/* Reads the note of that generation. */
static void read_by(unsigned who, uint64_t generation) {
    unsigned char bytes[NOTE_MOST];
    struct pool_run run = run_of(generation);
    unsigned before = begun;
    bool quiet = begun == ended;
    unsigned length = attachment_note(&processes[who], &run, bytes);
    for (unsigned i = 1; i < length; i++) {
        if (bytes[i] != bytes[0]) {
            explore_fail("a mixture of %c and %c", bytes[0], bytes[i]);
        }
    }
    quiet = quiet && before == begun;
    bool fits = length == 0 && (!quiet || now == 0);
    for (unsigned i = 0; i < text_count; i++) {
        bool may_be = !quiet || now >> i & 1;
        fits = fits || (may_be && length && texts[i].generation == generation && texts[i].text == bytes[0] &&
                        length == length_of(bytes[0]));
        fits = fits || (may_be && length == 0 && texts[i].generation != generation);
    }
    if (!fits) {
        explore_fail("%u bytes of %c are read, for generation %u", length, length ? bytes[0] : '-',
                     (unsigned)generation);
    }
}

static void read_it(uint64_t generation) { read_by(explore_thread(), generation); }

/* --- the segment; slots come and go in one step, as under the gate --- */

static atomic_word there = 1; /* what `alive` points to */

static void use_slot(unsigned slot, bool used) {
    struct layout_header *header = (void *)segment;
    in_one_step = true;
    uint64_t word = load_relaxed(&header->used[0]) & ~(UINT64_C(1) << slot);
    store_relaxed(&header->used[0], word | (uint64_t)used << slot);
    in_one_step = false;
}

static void take_slot(unsigned who, unsigned slot) {
    processes[who].slot = slot;
    processes[who].slot_record = slot_record(segment, slot);
    use_slot(slot, true);
    store_relaxed(&processes[who].slot_record->noting, 0); /* as slots_sign does */
}

static void set_up(void) {
    const struct layout_geometry geometry = {
        .block_size = 8, .blocks = 1, .processes = LAST + 1, .data_at = DATA_AT, .bytes = sizeof segment};
    memset(segment, 0, sizeof segment);
    for (unsigned i = 0; i <= LAST; i++) {
        processes[i] = (struct attachment){.memory = segment, .geometry = geometry, .alive = &there};
        take_slot(i, i);
    }
    reserved = false;
    stopped_are_dead = true;
    text_count = begun = ended = now = since = 0;
}

/* The note is there, of generation 1. */
static void set_up_note(void) {
    set_up();
    (void)set_for(LAST, 1, 'a', TRIES);
}

static void set_up_to_stop(void) {
    set_up_note();
    stopped_are_dead = false;
}

/* Two have slots; the third takes that of the first. */
static void set_up_two(void) {
    set_up_note();
    use_slot(2, false);
}

static void at_the_end(void) {
    bool was = stopped_are_dead;
    read_by(LAST, 1);
    read_by(LAST, 2);
    stopped_are_dead = true;
    if (!set_for(LAST, 1, 'z', TRIES)) {
        explore_fail("nobody can set the note any more");
    }
    begun = ended; /* the dead do not come back */
    now = 1u << (text_count - 1);
    read_by(LAST, 1);
    stopped_are_dead = was;
}

/* --- what threads do --- */

static void set_twice_and_read(unsigned thread) {
    if (thread == 0) {
        set(1, 'b');
        set(1, 'c');
    } else {
        read_it(1);
    }
}

static void both_set(unsigned thread) {
    if (thread < 2) {
        set(1, (unsigned char)('b' + thread));
    } else {
        read_it(1);
        read_it(1);
    }
}

static void all_set(unsigned thread) {
    set(1, (unsigned char)('b' + thread));
    read_it(1);
}

/* The block has another run, whose note is set. */
static void set_for_the_next(unsigned thread) {
    if (thread == 0) {
        set(2, 'b');
    } else {
        read_it(2);
        read_it(1);
    }
}

static void set_set_for_the_next(unsigned thread) {
    if (thread == 0) {
        set(1, 'b');
        set(2, 'd');
    } else if (thread == 1) {
        set(2, 'c');
    } else {
        read_it(2);
    }
}

/* 0 may be stopped in it; 1 finds out. */
static void one_dies(unsigned thread) {
    if (thread == 0) {
        set(1, 'b');
    } else if (thread == 1) {
        set(1, 'c');
        read_it(1);
    } else {
        read_it(1);
        read_it(1);
    }
}

/* 2 gets the slot of 0 once that was recovered; whether it got one. */
static bool get_the_slot_of_the_dead(void) {
    if (!explore_join(0)) {
        return false;
    }
    use_slot(0, false);
    processes[0].slot = SLOTS_NONE; /* it was recovered */
    take_slot(2, 0);
    return true;
}

static void slot_of_the_dead(unsigned thread) {
    if (thread < 2) {
        set(1, (unsigned char)('b' + thread));
    } else if (get_the_slot_of_the_dead()) {
        read_it(1);
    }
}

/* And 2 sets the note too. */
static void slot_of_the_dead_sets(unsigned thread) {
    if (thread < 2) {
        set(1, (unsigned char)('b' + thread));
    } else if (get_the_slot_of_the_dead()) {
        set(1, 'd');
        read_it(1);
    }
}

#define NOTE_SCENARIO(threads_, set_up_, body_, bound_, stops_)                                                        \
    {.threads = threads_, .set_up = set_up_, .body = body_, .check = at_the_end, .bound = bound_, .stops = stops_}

const struct scenario scenarios[] = {
    {"set_read_read", "one sets the note twice, two read it", NOTE_SCENARIO(3, set_up_note, set_twice_and_read, 4, 0),
     false},
    {"set_read", "the same, one reads it", NOTE_SCENARIO(2, set_up_note, set_twice_and_read, 6, 0), false},
    {"first", "one sets it twice where there is no page yet", NOTE_SCENARIO(3, set_up, set_twice_and_read, 4, 0),
     false},
    {"both_first", "two set it where there is no page yet", NOTE_SCENARIO(3, set_up, both_set, 4, 0), false},
    {"both_set", "two set it, a third reads it", NOTE_SCENARIO(3, set_up_note, both_set, 4, 0), false},
    {"all_set", "three set and read it", NOTE_SCENARIO(3, set_up_note, all_set, 3, 0), false},
    {"next_run", "the note of the next run at the block is set", NOTE_SCENARIO(3, set_up_note, set_for_the_next, 4, 0),
     false},
    {"next_run_twice", "the notes of two runs are set at once",
     NOTE_SCENARIO(3, set_up_note, set_set_for_the_next, 4, 0), false},
    {"dies", "a death while the note is set or read", NOTE_SCENARIO(3, set_up_note, one_dies, 2, 2), false},
    {"dies_first", "the same, where there is no page yet", NOTE_SCENARIO(3, set_up, one_dies, 2, 2), false},
    {"stops", "the same, but it is only stopped", NOTE_SCENARIO(3, set_up_to_stop, one_dies, 2, 1), false},
    {"slot_of_the_dead", "another process gets the slot of the dead",
     NOTE_SCENARIO(3, set_up_two, slot_of_the_dead, 2, 1), false},
    {"slot_of_the_dead_sets", "the same, and sets the note too",
     NOTE_SCENARIO(3, set_up_two, slot_of_the_dead_sets, 2, 1), false},
};

const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;

/* --- what the rest of the library and the kernel do here --- */

static double clock_now;

double os_now(void) { return clock_now += 1; }
void os_yield(void) { explore_yield(); }
void os_sleep(double seconds) {
    (void)seconds;
    explore_yield();
}

void os_limits(struct os_limits *limits) { limits->available.bytes = UINT64_MAX; }
uint64_t os_shm_available(void) { return UINT64_MAX; }
int os_verify(const struct os_descriptor *file) { return (void)file, 0; }

int os_reserve_part(int file, uint64_t at, uint64_t bytes) {
    (void)file;
    explore_step();
    reserved = at == layout_notes_at(&processes[0].geometry) && bytes == LAYOUT_PAGE;
    return 0;
}

void gate_mutex_lock(void) {}
void gate_mutex_unlock(void) {}
bool attachment_lock(struct attachment *attachment) { return (void)attachment, true; }
void attachment_unlock(struct attachment *attachment) { (void)attachment; }
bool attachment_is_looked_after(const struct attachment *attachment) { return (void)attachment, false; }
pid_t attachment_process(const struct attachment *attachment, unsigned slot) { return (void)attachment, (pid_t)slot; }

enum pool_status descriptor_ready(struct attachment *attachment, struct pool_failure *failure) {
    return (void)attachment, (void)failure, POOL_OK;
}

enum pool_status pool_status_from_errno(int error, struct pool_failure *failure) {
    return (void)error, (void)failure, POOL_SYSTEM;
}

enum pool_status attachment_recover(struct attachment *attachment, double gate_seconds, double ticket_seconds,
                                    unsigned *slots, uint64_t *tickets, struct pool_failure *failure) {
    unsigned step;
    (void)attachment, (void)gate_seconds, (void)ticket_seconds, (void)failure;
    *slots = 0;
    *tickets = 0;
    for (unsigned i = 0; i < EXPLORE_THREADS && stopped_are_dead; i++) {
        if (processes[i].slot != SLOTS_NONE && explore_stopped(i, &step)) {
            use_slot(processes[i].slot, false);
            processes[i].slot = SLOTS_NONE;
            ++*slots;
        }
    }
    return POOL_OK;
}
