/* shared_witness.c: see shared_witness.h. */
#include "shared_witness.h"

#include <stddef.h>
#include <string.h>

#include "member_parts.h"

#define MOST_ENTRIES 64u
#define NOBODY PROCESSES
#define PATIENCE 1.0

enum intent { NOTHING, SHARING, REDEEMING };

struct entry {
    struct shared_run run;
    unsigned references[PROCESSES];
    unsigned leaving[PROCESSES]; /* of these, being dropped */
    unsigned taking[PROCESSES];  /* more, being asked for */
    unsigned fewest, most;       /* tickets in flight */
    uint32_t shared, sharing;    /* when its last ticket was made, or begun */
    bool freed;
};

static struct entry book[MOST_ENTRIES];
static unsigned entries;
static struct process {
    struct member member;
    bool born, may_run; /* forked; its parent is through with its half of it, or dead */
    unsigned parent;
    bool settled;       /* dead, and the book knows it */
    bool attaches;      /* by the name */
    enum intent intent; /* what it is about to do, if it is stopped in a call */
    struct entry *entry;
    unsigned amount;
    unsigned turn, turns; /* the thread that has the turn, one up, and how often */
} processes[PROCESSES];
static unsigned gate[KERNEL_FILES]; /* the process that holds it, or NOBODY */
static uint64_t newest[KERNEL_MOST_BLOCKS];
static struct segment_geometry geometry;
static struct shared judges; /* a view of nobody's */
static char birth;           /* where unborn children sleep */
unsigned succeeded;

static struct process *me(void) { return &processes[kernel_process()]; }
static struct member *member(void) { return &me()->member; }
static struct member *resident(void) { return &processes[RESIDENT].member; }
static struct shared *view(void) { return &judges; }

/* --- gate.c and descriptor.c, played --- */

void turn_take(void) {
    struct process *process = me();
    unsigned thread = explore_thread() + 1;
    while (process->turn && process->turn != thread) {
        explore_sleep(&process->turn);
    }
    process->turn = thread;
    process->turns++;
}

bool turn_take_within(double seconds) {
    (void)seconds;
    turn_take();
    return true;
}

void turn_end(void) {
    struct process *process = me();
    if (--process->turns == 0) {
        process->turn = 0;
        explore_wake(&process->turn);
    }
}

void turn_begin_in_child(void) { me()->turn = me()->turns = 0; }

static unsigned file_of(const struct member *of) { return (unsigned)of->file.identity.inode; }

enum member_status gate_enter(struct member *of, double seconds, int *entered, struct member_failure *failure) {
    unsigned file = file_of(of);
    (void)failure;
    explore_step();
    for (;;) {
        turn_take();
        if (gate[file] == NOBODY || kernel_is_dead(gate[file])) {
            break;
        }
        turn_end();
        if (seconds <= 0) {
            return MEMBER_BUSY;
        }
        explore_sleep(&gate);
    }
    gate[file] = kernel_process();
    *entered = (int)file;
    return MEMBER_OK;
}

/* Whoever comes or goes has done so when it leaves the gate. */
void gate_leave(const struct member *of, int entered) {
    (void)of;
    explore_step();
    if (me()->attaches && member()->slot != SLOTS_NONE && (unsigned)entered != kernel_named) {
        explore_fail("process %u attached a pool whose name is another's by now", kernel_process());
    }
    gate[entered] = NOBODY;
    explore_wake(&gate);
    turn_end();
}

enum member_status descriptor_keep(struct member *of, int number, struct member_failure *failure) {
    return number < 0 ? member_refused(number, failure) : (enum member_status)os_keep(number, &of->file);
}

enum member_status descriptor_ready(struct member *of, struct member_failure *failure) {
    (void)of;
    (void)failure;
    return MEMBER_OK;
}

void descriptor_close(struct member *of) {
    if (of->file.number >= 0) {
        os_close_kept(&of->file);
    }
}

/* --- sweep.c, which nobody calls: no scenario creates a pool --- */

enum member_status member_remove_leftover(const char *name, double gate_seconds, struct member_failure *failure) {
    (void)failure;
    explore_fail("%s is not to be removed (%g)", name, gate_seconds);
    return MEMBER_SYSTEM;
}

unsigned member_sweep(void) { return 0; }

/* --- the book --- */

static uint64_t word_at(uint64_t index) { return view()->ledger[index]; }

static struct ledger_record record_at(uint64_t index) { return ledger_record_unpack(view()->records[index].run); }

static struct entry *find(const struct shared_run *run) {
    for (unsigned e = 0; e < entries; e++) {
        if (book[e].run.index == run->index && book[e].run.generation == run->generation) {
            return &book[e];
        }
    }
    return NULL;
}

/* Which processes hold it: a dead one holds nothing, nor does one that is dropping its last reference. */
static unsigned holders_of(const struct entry *entry) {
    unsigned holders = 0;
    for (unsigned p = 0; p < PROCESSES; p++) {
        holders |= (unsigned)(!processes[p].settled && entry->references[p] > entry->leaving[p]) << p;
    }
    return holders;
}

static bool is_kept(const struct entry *entry) { return holders_of(entry) || entry->fewest; }

static bool overlap(const struct shared_run *a, const struct shared_run *b) {
    return a->index < b->index + b->blocks && b->index < a->index + a->blocks;
}

static struct entry *enter(const struct shared_run *run, unsigned process) {
    struct entry *entry = find(run);
    if (run->blocks < 1 || run->index >= view()->blocks || run->blocks > view()->blocks - run->index) {
        explore_fail("a run of %u at %u is no run", (unsigned)run->blocks, (unsigned)run->index);
    }
    for (unsigned e = 0; e < entries; e++) {
        if (&book[e] != entry && is_kept(&book[e]) && overlap(run, &book[e].run)) {
            explore_fail("twice owned: the run of %u at %u of process %u and that of %u at %u", (unsigned)run->blocks,
                         (unsigned)run->index, process, (unsigned)book[e].run.blocks, (unsigned)book[e].run.index);
        }
    }
    if (!entry) {
        if (entries == MOST_ENTRIES) {
            explore_fail("the book is full");
        }
        entry = &book[entries++];
        *entry = (struct entry){.run = *run};
    }
    entry->references[process]++;
    return entry;
}

/* The holder must have its run: word, record, tails. */
static void must_hold(const struct shared_run *run, unsigned process) {
    unsigned at = (unsigned)run->index;
    if (!ledger_is_held(word_at(at), processes[process].member.slot)) {
        explore_fail("process %u lost its run at %u: the word is %llx", process, at, (unsigned long long)word_at(at));
    }
    struct ledger_record record = record_at(at);
    if (record.generation != run->generation || record.length != run->blocks) {
        explore_fail("process %u lost the record of its run at %u", process, at);
    }
    for (uint64_t d = 1; d < run->blocks; d++) {
        if (word_at(at + d) != ledger_tail(d)) {
            explore_fail("process %u lost tail %u of its run at %u", process, (unsigned)d, at);
        }
    }
}

static void intend(enum intent intent, struct entry *entry, unsigned amount) {
    struct process *process = me();
    process->intent = intent;
    process->entry = entry;
    process->amount = amount;
}

/* The process is dead: it holds nothing any more, and what it was about to do may have happened. */
static void settle(unsigned process) {
    struct process *dead = &processes[process];
    if (!dead->settled) {
        dead->settled = true;
        if (dead->intent == SHARING) {
            dead->entry->most += dead->amount;
        } else if (dead->intent == REDEEMING && dead->entry->fewest) {
            dead->entry->fewest--;
        }
    }
}

void witness_stopped(void) {
    settle(kernel_process());
    kernel_stopped();
    explore_wake(&gate);
    explore_wake(&birth);
}

/* --- before a schedule --- */

/* An empty segment in each file. */
static void make_segments(uint64_t blocks) {
    geometry = (struct segment_geometry){0};
    if (!segment_plan(&geometry, 8, blocks)) {
        explore_fail("set-up: no such segment");
    }
    for (unsigned f = 0; f < KERNEL_FILES; f++) {
        memset(kernel_memory(f), 0, KERNEL_FILE_BYTES);
        segment_make(kernel_memory(f), &geometry);
    }
}

static void join(struct member *joining) {
    int error;
    void *page;
    member_reset(joining);
    joining->on_fork = MEMBER_FORK_SHARE;
    joining->geometry = geometry;
    joining->memory = kernel_memory(0);
    segment_view(&joining->shared, joining->memory, &geometry);
    (void)os_keep(-1, &joining->file);
    (void)os_wiped_on_fork(&page);
    joining->alive = page;
    (void)os_map_private(geometry.blocks * sizeof *joining->extra, false, &page);
    joining->extra = page;
    joining->slot = slots_take(&joining->file, joining->memory, &geometry, &joining->hold, NULL, &error);
    joining->place = segment_slot(joining->memory, &geometry, joining->slot);
    memcpy(joining->name, KERNEL_NAME, sizeof KERNEL_NAME);
    store_relaxed(joining->alive, 1);
}

#define SLOT_BYTES (8 * sizeof(struct segment_slot)) /* of those that are ever used */

/* What every schedule of a scenario begins with. */
static struct {
    uint64_t blocks;
    unsigned absent;
    struct process processes[PROCESSES];
    unsigned char slots[SLOT_BYTES];
} start;

static void make_start(uint64_t blocks, unsigned absent) {
    start.blocks = blocks;
    start.absent = absent;
    make_segments(blocks);
    segment_view(&judges, kernel_memory(0), &geometry);
    for (unsigned p = 0; p < PROCESSES; p++) {
        processes[p] = (struct process){.intent = NOTHING};
        kernel_act_as(p);
        join(&processes[p].member);
    }
    for (unsigned p = 0; p < PROCESSES; p++) { /* after all have joined: so that each slot is the process's number */
        if (absent >> p & 1) {
            os_release_hold(processes[p].member.hold);
            slots_free(kernel_memory(0), &geometry, p);
            member_reset(&processes[p].member);
        }
    }
    kernel_save();
    memcpy(start.processes, processes, sizeof processes);
    memcpy(start.slots, kernel_memory(0) + geometry.slots_at, sizeof start.slots);
}

void witness_begin(uint64_t blocks, unsigned absent, enum grain grain) {
    struct segment_header *header = (void *)kernel_memory(0);
    for (unsigned p = 0; p < PROCESSES; p++) {
        member_strike(&processes[p].member);
    }
    kernel_set_up(false);
    steps_set_up(grain, COARSE);
    steps_private(0, processes, sizeof processes);
    if (blocks != start.blocks || absent != start.absent) {
        make_start(blocks, absent);
    } else {
        kernel_restore();
        memcpy(processes, start.processes, sizeof processes);
        memcpy(kernel_memory(0) + geometry.slots_at, start.slots, sizeof start.slots);
        memset(kernel_memory(1) + geometry.slots_at, 0, sizeof start.slots);
        memset(kernel_memory(0) + geometry.ledger_at, 0, geometry.bitmap_at - geometry.ledger_at);
    }
    struct bitmap fresh;
    bitmap_view(&fresh, kernel_memory(0) + geometry.bitmap_at, blocks, true);
    header->waiting.slots = 0;
    header->waiting.sequence = 0;
    memset(newest, 0, sizeof newest);
    entries = succeeded = 0;
    for (unsigned f = 0; f < KERNEL_FILES; f++) {
        gate[f] = NOBODY;
    }
}

void witness_same_process(unsigned thread, unsigned process) { kernel_thread_is(thread, process); }

struct shared_run witness_place(uint64_t head, uint64_t n, unsigned holders, unsigned tickets) {
    struct shared_run run = {head, n, 2};
    if (!bitmap_claim_range(&view()->bitmap, head, n)) {
        explore_fail("set-up: a bit is taken");
    }
    for (uint64_t d = 1; d < n; d++) {
        view()->ledger[head + d] = ledger_tail(d);
    }
    view()->ledger[head] = ledger_make(LEDGER_IS_LIVE, holders, tickets);
    view()->records[head].run = ledger_record_pack((struct ledger_record){run.generation, n});
    newest[head] = run.generation;
    struct entry *entry = &book[entries++];
    *entry = (struct entry){.run = run, .fewest = tickets, .most = tickets};
    for (unsigned p = 0; p < PROCESSES; p++) {
        entry->references[p] = holders >> p & 1;
    }
    return run;
}

struct shared_run witness_stale(uint64_t head) {
    if (newest[head] == 0) {
        newest[head] = 1;
        view()->records[head].run = ledger_record_pack((struct ledger_record){1, 1});
    }
    return (struct shared_run){head, 1, 1};
}

void witness_clear_bit(uint64_t block) { (void)bitmap_release(&view()->bitmap, block); }

void witness_time(uint32_t time) { kernel_time = time; }

/* --- what processes do --- */

static void failed(const char *what, enum member_status status, const struct shared_run *run) {
    explore_fail("process %u cannot %s its run at %u: status %d", kernel_process(), what, (unsigned)run->index,
                 (int)status);
}

bool process_allocate(uint64_t n, struct shared_run *run) {
    enum member_status status = member_allocate(member(), n, 0, run);
    if (status == MEMBER_EXHAUSTED) {
        return false;
    }
    if (status != MEMBER_OK) {
        failed("allocate", status, run);
    }
    if (run->generation <= newest[run->index]) {
        explore_fail("the generation at %u does not rise", (unsigned)run->index);
    }
    newest[run->index] = run->generation;
    (void)enter(run, kernel_process());
    must_hold(run, kernel_process());
    succeeded++;
    return true;
}

/* One reference of the process is no more; `freed` says that with it the run went. */
static void strike(struct entry *entry, bool freed) {
    unsigned process = kernel_process();
    entry->leaving[process]--;
    entry->references[process]--;
    if (freed && is_kept(entry)) {
        explore_fail("the run at %u is freed, and others hold it", (unsigned)entry->run.index);
    }
    entry->freed |= freed;
}

void process_drop(const struct shared_run *run) {
    bool freed;
    enum member_status status;
    struct entry *entry = find(run);
    must_hold(run, kernel_process());
    entry->leaving[kernel_process()]++;
    while ((status = member_drop(member(), run, &freed)) == MEMBER_LOCKED) {
        explore_yield();
    }
    if (status != MEMBER_OK) {
        failed("drop", status, run);
    }
    strike(entry, freed);
}

bool process_drop_last(const struct shared_run *run) {
    uint64_t word;
    uint32_t extra;
    enum member_status status;
    struct entry *entry = find(run);
    must_hold(run, kernel_process());
    entry->leaving[kernel_process()]++;
    while ((status = member_free(member(), run, &word, &extra)) == MEMBER_LOCKED) {
        explore_yield();
    }
    if (status == MEMBER_OK) {
        strike(entry, true);
        return true;
    }
    if (status != MEMBER_IN_USE) {
        failed("free", status, run);
    }
    entry->leaving[kernel_process()]--;
    must_hold(run, kernel_process());
    return false;
}

void process_share(const struct shared_run *run, unsigned n) {
    struct entry *entry = find(run);
    must_hold(run, kernel_process());
    intend(SHARING, entry, n);
    entry->sharing = kernel_time;
    enum member_status status = member_share(member(), run, n);
    if (status != MEMBER_OK) {
        failed("share", status, run);
    }
    intend(NOTHING, NULL, 0);
    entry->fewest += n;
    entry->most += n;
    entry->shared = kernel_time;
}

static void asks(struct entry *entry, bool begins) {
    if (entry) {
        entry->taking[kernel_process()] += begins ? 1u : -1u;
    }
}

/* What comes of asking for a reference by a name. */
static bool given(enum member_status status, const struct shared_run *run, struct entry *entry) {
    asks(entry, false);
    if (status != MEMBER_OK) {
        if (status != MEMBER_STALE) {
            failed("redeem", status, run);
        }
        return false;
    }
    if (!entry || entry->freed) {
        explore_fail("process %u redeemed a stale name at %u", kernel_process(), (unsigned)run->index);
    }
    (void)enter(run, kernel_process());
    must_hold(run, kernel_process());
    succeeded++;
    return true;
}

bool process_redeem(struct shared_run run, bool rightful) {
    enum member_status status;
    struct entry *entry = find(&run);
    intend(rightful ? REDEEMING : NOTHING, entry, 1);
    asks(entry, true);
    while ((status = member_redeem(member(), &run)) == MEMBER_LOCKED) {
        explore_yield();
    }
    intend(NOTHING, NULL, 0);
    if (!given(status, &run, entry)) {
        if (rightful && entry->fewest) {
            explore_fail("process %u cannot redeem its ticket at %u", kernel_process(), (unsigned)run.index);
        }
        return false;
    }
    entry->fewest -= entry->fewest > 0;
    entry->most -= entry->most > 0;
    return true;
}

bool process_hold(struct shared_run run) {
    enum member_status status;
    struct entry *entry = find(&run);
    asks(entry, true);
    while ((status = member_hold(member(), &run)) == MEMBER_LOCKED) {
        explore_yield();
    }
    return given(status, &run, entry);
}

void process_drop_all(void) {
    for (unsigned e = 0; e < entries; e++) {
        while (book[e].references[kernel_process()]) {
            process_drop(&book[e].run);
        }
    }
}

void process_check(void) {
    struct shared_fault fault;
    struct shared_audit audit;
    struct member_failure failure;
    if (member_check(member(), PATIENCE, &fault, 1, &audit, &failure) != MEMBER_OK) {
        explore_fail("process %u cannot audit", kernel_process());
    }
    if (audit.faults) {
        explore_fail("an audit beside others finds a fault of kind %u at %u", (unsigned)fault.kind,
                     (unsigned)fault.index);
    }
}

/* --- waiting --- */

void process_wait(uint64_t n, struct shared_run *run) {
    uint32_t wait;
    while (member_wait_enter(member(), &wait) != MEMBER_OK) {
        explore_yield();
    }
    for (;;) {
        uint32_t sequence = member_wait_sequence(member());
        if (process_allocate(n, run)) {
            break;
        }
        member_wait_sleep(member(), sequence, 1);
    }
    while (member_wait_leave(member(), wait) != MEMBER_OK) {
        explore_yield();
    }
}

/* --- coming, going, and what is done for the dead --- */

static void recover(struct member *by, double ticket_seconds) {
    unsigned slots;
    uint64_t tickets;
    struct member_failure failure;
    if (member_recover(by, PATIENCE, ticket_seconds, &slots, &tickets, &failure) != MEMBER_OK) {
        explore_fail("process %u cannot recover", kernel_process());
    }
}

void process_recover(void) { recover(member(), -1); }

bool process_attach(void) {
    struct member_failure failure;
    me()->attaches = true;
    enum member_status status = member_attach(member(), KERNEL_NAME, PATIENCE, &failure);
    me()->attaches = false;
    if (status != MEMBER_OK && status != MEMBER_NOT_FOUND) {
        explore_fail("process %u cannot attach: status %d", kernel_process(), (int)status);
    }
    return status == MEMBER_OK;
}

void process_leave(void) {
    unsigned process = kernel_process();
    for (unsigned e = 0; e < entries; e++) {
        book[e].leaving[process] = book[e].references[process];
    }
    member_leave(member(), PATIENCE);
    for (unsigned e = 0; e < entries; e++) {
        book[e].leaving[process] = book[e].references[process] = 0;
    }
}

void process_replace(void) {
    struct member_failure failure;
    int entered;
    if (gate_enter(member(), PATIENCE, &entered, &failure) != MEMBER_OK || os_shm_unlink(KERNEL_NAME) != 0) {
        explore_fail("process %u cannot unlink", kernel_process());
    }
    gate_leave(member(), entered);
    explore_step();
    kernel_named = 1 - file_of(member());
}

void process_drop_tickets(uint32_t before) {
    for (unsigned e = 0; e < entries; e++) {
        if (book[e].shared <= before) {
            book[e].fewest = 0; /* from here on they may be gone */
        }
    }
    recover(member(), (double)kernel_time - (double)before);
    for (unsigned e = 0; e < entries; e++) {
        if (book[e].sharing <= before) {
            book[e].most = 0;
        }
    }
}

static struct {
    void (*before)(void), (*parent)(void), (*child)(void);
} handlers;

/* What fork.c calls when the program begins (shared.cmake renames its pthread_atfork). */
int witness_atfork(void (*before)(void), void (*parent)(void), void (*child)(void));

int witness_atfork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
    handlers.before = before;
    handlers.parent = parent;
    handlers.child = child;
    return 0;
}

/* Makes the member the only one of the process that runs fork.c's handlers: its list is that of one process. */
static void enlist(struct member *only) {
    struct member_failure failure;
    struct member kept = *only;
    unsigned turn = me()->turn, turns = me()->turns; /* no part of the fork */
    me()->turn = me()->turns = 0;
    for (unsigned p = 0; p < PROCESSES; p++) {
        member_strike(&processes[p].member);
    }
    if (member_begin(only, &failure) != MEMBER_OK) { /* which empties it */
        explore_fail("forks are not taken care of");
    }
    kept.next = NULL;
    *only = kept;
    me()->turn = turn;
    me()->turns = turns;
}

/* The child begins with a copy of its parent's memory. What another thread of the parent is in the midst of has happened in it, or
 * not; the word tells. */
static void copy_memory(unsigned parent, unsigned child) {
    struct member *copy = &processes[child].member;
    *copy = processes[parent].member;
    copy->extra = kernel_fork(child, copy->extra, &copy->alive);
    processes[child].turn = processes[parent].turn; /* of a thread that the child does not have */
    processes[child].turns = processes[parent].turns;
    for (unsigned e = 0; e < entries; e++) {
        struct entry *entry = &book[e];
        uint64_t at = entry->run.index;
        bool held = !entry->freed && copy->child.slot != SLOTS_NONE && ledger_is_held(word_at(at), copy->child.slot) &&
                    record_at(at).generation == entry->run.generation;
        unsigned count = held ? copy->extra[at] + 1 : 0;
        unsigned fewest = entry->references[parent] - entry->leaving[parent];
        if (count < fewest || count > entry->references[parent] + entry->taking[parent]) {
            explore_fail("a forked child has %u references to the run at %u, its parent has %u", count, (unsigned)at,
                         entry->references[parent]);
        }
        entry->references[child] = count;
    }
}

void process_fork(unsigned child) {
    unsigned parent = kernel_process();
    enlist(member());
    handlers.before();
    int description = member()->child.description;
    copy_memory(parent, child);
    if (description >= 0) {
        kernel_pass_on(description, child);
    }
    processes[child].born = true;
    processes[child].parent = parent;
    handlers.parent();
    processes[child].may_run = true;
    explore_wake(&birth);
}

bool process_is_born(unsigned parent) {
    struct process *child = me();
    while (!child->may_run && !kernel_is_dead(parent)) {
        explore_sleep(&birth);
    }
    if (child->born) {
        enlist(member());
        handlers.child();
        if (member_is_stray(member())) {
            explore_fail("the forked child has no part: %d", (int)member()->fate);
        }
    }
    return child->born;
}

/* --- after a schedule --- */

static void must_agree(void) {
    uint64_t held = 0;
    for (unsigned e = 0; e < entries; e++) {
        const struct shared_run *run = &book[e].run;
        unsigned holders = holders_of(&book[e]);
        for (unsigned p = 0; p < PROCESSES; p++) {
            if (holders >> p & 1) {
                must_hold(run, p);
                held |= ledger_slot_bit(processes[p].member.slot);
            }
            if (holders >> p & 1 && processes[p].member.extra[run->index] != book[e].references[p] - 1) {
                explore_fail("process %u has %u references to its run at %u, should have %u", p,
                             processes[p].member.extra[run->index] + 1, (unsigned)run->index, book[e].references[p]);
            }
        }
        if (book[e].fewest && (ledger_tickets(word_at(run->index)) < book[e].fewest ||
                               record_at(run->index).generation != run->generation)) {
            explore_fail("a ticket of the run at %u is gone: %u are left", (unsigned)run->index,
                         (unsigned)ledger_tickets(word_at(run->index)));
        }
    }
    if (held & ~slots_used(kernel_memory(0), &resident()->geometry)) {
        explore_fail("the slot of a process that holds a run is free");
    }
    for (uint64_t i = 0; i < view()->blocks; i++) {
        uint64_t word = word_at(i);
        bool set = bitmap_test(&view()->bitmap, i);
        if (set && word == LEDGER_FREE) {
            explore_fail("block %u is lost: its bit is set, its word is FREE", (unsigned)i);
        }
        if (word == LEDGER_FREE || ledger_state(word) == LEDGER_IS_TAIL) {
            continue; /* the audit looks at tails */
        }
        struct shared_run run = {i, 0, record_at(i).generation};
        const struct entry *entry = find(&run);
        if (!ledger_is_live(word) || !entry) {
            explore_fail("block %u is lost: its word is %llx, and nobody knows of it", (unsigned)i,
                         (unsigned long long)word);
            return;
        }
        uint64_t holders = 0;
        for (unsigned p = 0; p < PROCESSES; p++) {
            if (holders_of(entry) >> p & 1) {
                holders |= ledger_slot_bit(processes[p].member.slot);
            }
        }
        if (ledger_holders(word) != holders || ledger_tickets(word) > entry->most) {
            explore_fail("the run at %u has holders %llx and %u tickets, should have %llx and at most %u", (unsigned)i,
                         (unsigned long long)ledger_holders(word), (unsigned)ledger_tickets(word),
                         (unsigned long long)holders, entry->most);
        }
    }
    uint64_t waiting = view()->waiting->slots;
    for (unsigned p = 0; p < EXPLORE_THREADS; p++) {
        if (processes[p].member.waiters && !processes[p].settled) {
            waiting &= ~ledger_slot_bit(processes[p].member.slot);
        }
    }
    if (waiting) {
        explore_fail("slots %llx wait, and nobody is there who does", (unsigned long long)waiting);
    }
}

static void must_be_sound(void) {
    struct shared_fault fault;
    struct shared_audit audit;
    struct member_failure failure;
    if (member_check(resident(), PATIENCE, &fault, 1, &audit, &failure) != MEMBER_OK || audit.faults) {
        explore_fail("shared_check finds a fault of kind %u at %u", (unsigned)fault.kind, (unsigned)fault.index);
    }
    if (audit.in_transit) {
        explore_fail("%u blocks are in transit for ever", (unsigned)audit.in_transit);
    }
}

void at_rest(void) {
    kernel_act_as(RESIDENT);
    recover(resident(), -1);
    must_agree();
    must_be_sound();
    for (unsigned e = 0; e < entries; e++) {
        for (unsigned p = 0; p < PROCESSES; p++) {
            bool last;
            if (holders_of(&book[e]) >> p & 1 &&
                shared_drop(view(), processes[p].member.slot, &book[e].run, &last) == SHARED_OK && last) {
                shared_finish(view(), &book[e].run);
            }
        }
    }
    (void)shared_drop_tickets(view(), UINT32_MAX);
    for (uint64_t i = 0; i < view()->blocks; i++) {
        if (word_at(i) != LEDGER_FREE || bitmap_test(&view()->bitmap, i)) {
            explore_fail("all dropped, and block %u has the word %llx and the bit %d", (unsigned)i,
                         (unsigned long long)word_at(i), (int)bitmap_test(&view()->bitmap, i));
        }
    }
    if (bitmap_claim_run(&view()->bitmap, view()->blocks) != 0) {
        explore_fail("all is free, and no run of all can be had");
    }
}
