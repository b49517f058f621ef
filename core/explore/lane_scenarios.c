/* lane_scenarios.c: threads put events into lanes and a recorder takes them, on the real lanes.c, recording.c and the
 * real taking and freeing of slots; main.c is the search. A lane has four cells here, and there are two lanes; most
 * scenarios leave one free.
 *
 * What must hold at every moment: nobody touches a lane that was not reserved; no two living threads write into one
 * lane; what is taken is an event that was put, whole, once, in the order in which its thread put it, and known as of
 * that thread. And while somebody records all the time, what was taken and what was counted as lost is what was put. At
 * the end somebody can record, also if all others died in it.
 *
 * An event's bytes, index and generation are all its number, which tells the thread and the how-manieth it is. The rest
 * of an attachment is replaced by what is at the end of this file.
 */
#include <string.h>

#include "os/lock.h"
#include "os/process.h"
#include "os/thread.h"
#include "os/wait.h"
#include "scenarios.h"
#include "shared/attachment_parts.h"
#include "shared/recording.h"

#define LAST EXPLORE_THREADS /* the resident's number, process and slot */
#define ACTORS (EXPLORE_THREADS + 1)
#define EVENTS 16u /* the most of a thread */
#define BLOCK 65536u
#define MOST (8 * LANE_CELLS)

#define DATA_AT (3 * LAYOUT_PAGE)
static unsigned char segment[DATA_AT + (BLOCK + 4 * LAYOUT_PAGE)] __attribute__((aligned(4096)));
static struct attachment processes[ACTORS];
static unsigned process_of[ACTORS]; /* which of them an actor uses: a thread, or the resident */
static uint32_t called[ACTORS];     /* by the kernel */
static bool there[ACTORS];          /* began, and has not ended */
static unsigned acting = LAST;      /* outside of threads */
static uint64_t reserved_to;
static bool all_the_time; /* somebody records */

static unsigned actor(void) { return explore_thread() < EXPLORE_THREADS ? explore_thread() : acting; }
static struct attachment *own(void) { return &processes[process_of[actor()]]; }
static bool is_stopped(unsigned thread) {
    unsigned step;
    return thread < EXPLORE_THREADS && explore_stopped(thread, &step);
}

/* --- the witness: plain memory, as threads switch only before atomic accesses --- */

static unsigned begun[ACTORS], done[ACTORS]; /* events put */
static unsigned newest[ACTORS];              /* of those that were taken: no older one comes */
static unsigned taken, lost;
static bool collecting[ACTORS];     /* and if it is stopped then, what it took is nowhere */
static unsigned writer[LANES_MOST]; /* who is writing cells there, one up */
static uint64_t owner[LANES_MOST];  /* as the recording tells it */

void explore_access(const volatile void *word) {
    uint64_t at = (uint64_t)((const volatile unsigned char *)word - segment);
    if (at >= sizeof segment) {
        return;
    }
    if (at >= reserved_to) {
        explore_fail("thread %u touches a lane that is not there", actor());
    }
    uint64_t cells = layout_lane_cells_at(&processes[0].geometry, 0);
    if (at >= cells && there[actor()]) {
        unsigned *who = &writer[(at - cells) / (LANE_CELLS * sizeof(struct lane_cell))];
        if (*who && *who != actor() + 1 && there[*who - 1] && !is_stopped(*who - 1)) {
            explore_fail("threads %u and %u write into one lane", *who - 1, actor());
        }
        *who = actor() + 1;
    }
    explore_step();
}

static void put(void) {
    unsigned me = actor(), number = me * EVENTS + ++begun[me];
    struct shared_pool *shared = &own()->shared;
    struct pool_run run = {number, 1, number};
    if (load_seq(shared->watch.on)) {
        shared->watch.allocated(shared, &run, BLOCK - number);
    }
    for (unsigned i = 0; i < LANES_MOST; i++) {
        writer[i] = writer[i] == me + 1 ? 0 : writer[i];
    }
    done[me]++;
}

static void judge_event(const struct lane_cell *cell, uint64_t whose) {
    uint64_t number = cell->what >> 8;
    unsigned who = (unsigned)(number / EVENTS), which = (unsigned)(number % EVENTS);
    if (cell->value != (number << 24 | number) || who >= ACTORS || which == 0 || which > begun[who]) {
        explore_fail("an event of %llx and %llx", (unsigned long long)cell->what, (unsigned long long)cell->value);
    } else if (which <= newest[who]) {
        explore_fail("event %u of thread %u comes after its event %u", which, who, newest[who]);
    } else if (whose != ((uint64_t)process_of[who] << 32 | called[who]) && (whose || all_the_time)) {
        explore_fail("an event of thread %u is said to be of %llx", who, (unsigned long long)whose);
    } else {
        newest[who] = which;
        taken++;
    }
}

/* Takes what there is, for that recorder. */
static void collect_for(struct attachment *recorder) {
    static struct lane_cell cells[ACTORS][MOST];
    static atomic_half stop;
    struct lane_cell *mine = cells[actor()];
    collecting[actor()] = true;
    uint64_t used = recording_collect(recorder, mine, MOST, 0, &stop), left = 0;
    unsigned lane = 0;
    for (uint64_t i = 0; i < used; i++) {
        unsigned kind = mine[i].what & 0xff;
        if (left == 0 && kind == LANE_TAKEN) {
            left = mine[i].value + 1;
            lane = (unsigned)(mine[i].what >> 8);
        } else if (left == 0 && kind == LANE_LOST) {
            lost += (unsigned)mine[i].value;
        } else if (left && kind == LANE_OWNER) {
            owner[lane] = mine[i].value;
        } else if (left && kind == LANE_ALLOCATED) {
            judge_event(&mine[i], owner[lane]);
        } else if (kind != (left ? LANE_TIME : LANE_NOW)) {
            explore_fail("a cell of kind %u", kind);
        }
        left -= left != 0;
    }
    if (left) {
        explore_fail("%u cells of a lane are missing", (unsigned)left);
    }
    collecting[actor()] = false;
}

static void collect(void) { collect_for(own()); }

/* Whether it is the recorder now. */
static bool begin(void) {
    struct pool_failure failure;
    enum pool_status status = recording_start(own(), 1, &failure);
    if (status == POOL_OK) {
        memset(owner, 0, sizeof owner);
    } else if (status != POOL_EXISTS) {
        explore_fail("recording it returns %d", (int)status);
    }
    return status == POOL_OK;
}

static void finish(void) {
    recording_stop(own());
    collect();
    recording_end(own());
}

/* --- the segment --- */

static void take_slot(unsigned process) {
    int description, error;
    struct attachment *attachment = &processes[process];
    attachment->slot = slots_take(&attachment->file, segment, &attachment->geometry, NULL, &description, &error);
}

/* Each thread is a process of its own, and the resident too. */
static void set_up(void) {
    const struct layout_geometry geometry = {.block_size = BLOCK, .blocks = 1, .processes = ACTORS, .data_at = DATA_AT};
    memset(segment, 0, sizeof segment);
    reserved_to = layout_lanes_at(&geometry);
    memset(begun, 0, sizeof begun);
    memset(done, 0, sizeof done);
    memset(newest, 0, sizeof newest);
    memset(writer, 0, sizeof writer);
    memset(there, 0, sizeof there);
    memset(collecting, 0, sizeof collecting);
    taken = lost = 0;
    all_the_time = false;
    static atomic_word one = 1;
    for (acting = 0; acting < ACTORS; acting++) {
        processes[acting] = (struct attachment){.memory = segment, .geometry = geometry, .alive = &one};
        process_of[acting] = acting;
        called[acting] = 100 + acting;
        take_slot(acting);
        recording_watch(&processes[acting]);
        recording_forked(); /* forgets what it knew in the last schedule */
    }
    acting = LAST;
}

/* Thread 2 records, from here on. */
static void set_up_recorded(void) {
    set_up();
    acting = 2;
    (void)begin();
    acting = LAST;
    all_the_time = true;
}

/* The same, and one lane is the resident's, so that one is left. */
static void set_up_one_lane(void) {
    set_up_recorded();
    there[LAST] = true;
    put();
}

/* The same, and threads 0 and 1 are of one process. */
static void set_up_one_process(void) {
    set_up_one_lane();
    process_of[1] = 0;
}

/* The resident records, all three are of one process, and the second is called as the first was. */
static void set_up_one_name(void) {
    set_up();
    (void)begin();
    all_the_time = there[LAST] = true;
    put();
    process_of[1] = process_of[2] = 0;
    called[1] = called[0];
}

/* The same, but each in a process of its own, and the second has none yet. */
static void set_up_one_slot(void) {
    set_up_one_name();
    process_of[1] = 1;
    process_of[2] = 2;
    slots_free(segment, processes[1].slot);
    processes[1].slot = SLOTS_NONE;
    set_bit_seq(&((struct layout_header *)(void *)segment)->used[0], 1); /* so that it does not get that one */
}

static void at_the_end(void) {
    unsigned ever = 0, least = 0;
    memset(there, 0, sizeof there);
    for (acting = 0; acting < LAST; acting++) {
        if (all_the_time && !is_stopped(acting) && recording_by(own()) == own()->slot) {
            break; /* it is the recorder */
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        collect();
    }
    for (unsigned i = 0; i < ACTORS; i++) {
        least += done[i];
        ever += begun[i];
    }
    if (all_the_time && !is_stopped(2) && !(collecting[1] && is_stopped(1)) &&
        (taken + lost < least || taken + lost > ever)) {
        explore_fail("%u events are taken and %u lost, of %u", taken, lost, least);
    }
    finish();
    acting = LAST;
    all_the_time = false;
    if (!begin()) {
        explore_fail("nobody can record any more");
    }
    memset(owner, 0, sizeof owner);
    taken = lost = 0;
    there[LAST] = true;
    put();
    collect();
    if (taken + lost != 1) {
        explore_fail("%u events are taken and %u lost, of 1", taken, lost);
    }
}

/* --- what threads do --- */

static void puts_so_many(unsigned n) {
    there[actor()] = true;
    for (unsigned i = 0; i < n; i++) {
        put();
    }
    there[actor()] = false;
}

static void two_put(unsigned thread) {
    if (thread < 2) {
        puts_so_many(2);
    } else {
        collect();
        collect();
    }
}

/* Its second thread is the recorder, so that they go deeper. */
static void deep(unsigned thread) {
    if (thread == 0) {
        puts_so_many(5);
    } else {
        collect();
        collect();
        collect();
    }
}

static void set_up_deep(void) {
    set_up();
    acting = 1;
    (void)begin();
    acting = LAST;
    all_the_time = true;
}

static void next_of_the_name(unsigned thread) {
    if (thread == 1) {
        (void)explore_join(0);
        collect_for(&processes[LAST]); /* so that there is room */
        puts_so_many(2);
    } else {
        puts_so_many(1);
    }
}

/* The first process ends or dies, and the second gets its slot. */
static void next_of_the_slot(unsigned thread) {
    if (thread == 1) {
        bool died = explore_join(0);
        slots_free(segment, processes[0].slot);
        processes[0].slot = SLOTS_NONE;
        take_slot(1);
        if (processes[1].slot != 0) {
            explore_fail("thread 1 gets slot %u (%d)", processes[1].slot, (int)died);
        }
        collect_for(&processes[LAST]);
        puts_so_many(2);
    } else {
        puts_so_many(1);
    }
}

/* One records, and another takes over if it dies. */
static void next_recorder(unsigned thread) {
    if (thread == 0) {
        puts_so_many(3);
    } else if (thread == 1) {
        (void)explore_join(2);
        all_the_time = false;
        if (begin()) {
            collect();
            finish();
        }
    } else {
        if (begin()) {
            collect();
            finish();
        }
    }
}

static void on_and_off(unsigned thread) {
    if (thread == 0) {
        puts_so_many(4);
    } else {
        for (unsigned i = 0; i < 2; i++) {
            if (begin()) {
                collect();
                finish();
            }
        }
    }
}

#define LANE_SCENARIO(threads_, set_up_, body_, bound_, stops_)                                                        \
    {.threads = threads_, .set_up = set_up_, .body = body_, .check = at_the_end, .bound = bound_, .stops = stops_}

const struct scenario scenarios[] = {
    {"put_take", "two put, a third records", LANE_SCENARIO(3, set_up_recorded, two_put, 2, 0), false},
    {"deep", "one puts more than there is room for, another records", LANE_SCENARIO(2, set_up_deep, deep, 3, 0), false},
    {"one_lane", "two processes have one lane", LANE_SCENARIO(3, set_up_one_lane, two_put, 2, 0), false},
    {"one_process", "and they are threads of one process", LANE_SCENARIO(3, set_up_one_process, two_put, 2, 0), false},
    {"one_name", "a thread is called as one that has ended", LANE_SCENARIO(3, set_up_one_name, next_of_the_name, 3, 0),
     false},
    {"one_slot", "a process gets the slot of another", LANE_SCENARIO(3, set_up_one_slot, next_of_the_slot, 3, 0),
     false},
    {"one_slot_of_the_dead", "the same, and the other died", LANE_SCENARIO(3, set_up_one_slot, next_of_the_slot, 1, 1),
     false},
    {"dies", "a death while events are put and taken", LANE_SCENARIO(3, set_up_one_lane, two_put, 1, 1), false},
    {"next_recorder", "one records, then another", LANE_SCENARIO(3, set_up, next_recorder, 2, 0), false},
    {"next_recorder_of_the_dead", "the same, and the first may die", LANE_SCENARIO(3, set_up, next_recorder, 1, 1),
     false},
    {"on_and_off", "one records twice", LANE_SCENARIO(2, set_up, on_and_off, 3, 0), false},
    {"both_record", "two would record", LANE_SCENARIO(3, set_up, on_and_off, 2, 0), false},
};

const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;

/* --- what the rest of the library and the kernel do here --- */

const atomic_word shared_pool_always = 1;

static double clock_now;
static unsigned gate; /* who is in it, one up */

uint32_t os_thread_number(void) { return actor() + 1; }
uint32_t os_thread_id(void) { return called[actor()]; }
pid_t os_process(void) { return (pid_t)process_of[actor()]; }
uint64_t os_process_start(void) { return 1; }
void os_process_command(char *command, size_t size) { memset(command, 0, size); }
double os_now(void) { return clock_now += 1; }
uint64_t os_nanoseconds(void) { return 1; }
void os_wait(atomic_half *word, uint32_t while_it_is, double seconds) {
    (void)word, (void)while_it_is, (void)seconds;
    explore_yield();
}

bool os_thread_is_here(uint32_t id) {
    bool here = false;
    explore_step();
    for (unsigned i = 0; i < ACTORS; i++) {
        here = here || (there[i] && process_of[i] == process_of[actor()] && called[i] == id);
    }
    return here;
}

/* Each descriptor is fine, and no lock is taken: who takes a slot that is not used gets it. */
int os_reopen(const struct os_descriptor *file) { return (void)file, 3; }
void os_close_kept(struct os_descriptor *file) { (void)file; }
int os_verify(const struct os_descriptor *file) { return (void)file, 0; }
int os_lock(int file, uint64_t byte) { return (void)file, (void)byte, 0; }
int os_unlock(int file, uint64_t byte) { return (void)file, (void)byte, 0; }
int os_is_locked(int file, uint64_t byte) { return (void)file, (void)byte, 1; }
void os_close(int number) { (void)number; }
void os_unpin_lock(void *page) { (void)page; }
int os_pin_lock(int file, void **page) { return (void)file, (void)page, 0; }

enum pool_status attachment_reserve(struct attachment *attachment, uint64_t at, uint64_t bytes,
                                    struct pool_failure *failure) {
    (void)attachment, (void)failure;
    explore_step();
    if (at == layout_lanes_at(&processes[0].geometry) && at + bytes <= sizeof segment) {
        reserved_to = at + bytes;
    }
    return POOL_OK;
}

enum pool_status gate_enter(struct attachment *attachment, double seconds, int *entered, struct pool_failure *failure) {
    (void)attachment, (void)seconds, (void)failure, (void)entered;
    explore_step();
    while (gate && !is_stopped(gate - 1)) {
        explore_yield();
    }
    gate = actor() + 1;
    return POOL_OK;
}

void gate_leave(const struct attachment *attachment, int entered) {
    (void)attachment, (void)entered;
    explore_step();
    gate = 0;
}

pid_t attachment_process(const struct attachment *attachment, unsigned slot) { return (void)attachment, (pid_t)slot; }

void attachment_dead_slots(const struct attachment *attachment, struct slot_set *dead) {
    (void)attachment;
    *dead = (struct slot_set){{0}};
    for (unsigned i = 0; i < EXPLORE_THREADS; i++) {
        if (is_stopped(i) && processes[i].slot != SLOTS_NONE) {
            slot_set_add(dead, processes[i].slot);
        }
    }
}

unsigned attachment_recover_slots(struct attachment *attachment, const struct slot_set *dead) {
    (void)attachment;
    for (unsigned i = 0; i < EXPLORE_THREADS; i++) {
        if (processes[i].slot != SLOTS_NONE && slot_set_has(dead, processes[i].slot)) {
            slots_free(segment, processes[i].slot);
            processes[i].slot = SLOTS_NONE;
        }
    }
    return slot_set_count(dead);
}

void sites_end(struct attachment *attachment, uint64_t index, uint64_t n) { (void)attachment, (void)index, (void)n; }
