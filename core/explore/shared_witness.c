/* shared_witness.c: see shared_witness.h. */
#include "shared_witness.h"

#include <stddef.h>
#include <string.h>

#include "os/lock.h"
#include "os/memory.h"
#include "shared/attachment_parts.h"

#define MOST_ENTRIES 64u
#define NOBODY PROCESSES
#define PATIENCE 1.0

enum intent { NOTHING, SHARING, REDEEMING };

struct entry {
    struct pool_run run;
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
    struct attachment attachment;
    bool born, may_run; /* forked; its parent is through with its half of it, or dead */
    unsigned parent;
    bool settled;       /* dead, and the book knows it */
    bool attaches;      /* by the name */
    enum intent intent; /* what it was about to do, if it is stopped in a call */
    struct entry *entry;
    unsigned amount;
    unsigned turn, turns; /* the thread that holds the gate mutex, one up, and how often */
} processes[PROCESSES];
static unsigned gate[KERNEL_FILES]; /* the process that holds it, or NOBODY */
static uint64_t newest[KERNEL_MOST_BLOCKS];
static struct layout_geometry geometry;
static struct shared_pool judges; /* a view that belongs to no process */
static char birth;                /* where unborn children sleep */
unsigned succeeded;

static struct process *me(void) { return &processes[kernel_process()]; }
static struct attachment *attachment(void) { return &me()->attachment; }
static struct attachment *resident(void) { return &processes[RESIDENT].attachment; }
static struct shared_pool *view(void) { return &judges; }

/* --- gate.c and descriptor.c, played --- */

void gate_mutex_lock(void) {
    struct process *process = me();
    unsigned thread = explore_thread() + 1;
    while (process->turn && process->turn != thread) {
        explore_sleep(&process->turn);
    }
    process->turn = thread;
    process->turns++;
}

bool gate_mutex_lock_within(double seconds) {
    (void)seconds;
    gate_mutex_lock();
    return true;
}

void gate_mutex_unlock(void) {
    struct process *process = me();
    if (--process->turns == 0) {
        process->turn = 0;
        explore_wake(&process->turn);
    }
}

void gate_mutex_reset_in_child(void) { me()->turn = me()->turns = 0; }

static unsigned file_of(const struct attachment *of) { return (unsigned)of->file.identity.inode; }

enum pool_status gate_enter(struct attachment *of, double seconds, int *entered, struct pool_failure *failure) {
    unsigned file = file_of(of);
    (void)failure;
    explore_step();
    for (;;) {
        gate_mutex_lock();
        if (gate[file] == NOBODY || kernel_is_dead(gate[file])) {
            break;
        }
        gate_mutex_unlock();
        if (seconds <= 0) {
            return POOL_BUSY;
        }
        explore_sleep(&gate);
    }
    gate[file] = kernel_process();
    *entered = (int)file;
    return POOL_OK;
}

/* A process that comes or goes has done so when it leaves the gate. */
void gate_leave(const struct attachment *of, int entered) {
    (void)of;
    explore_step();
    if (me()->attaches && attachment()->slot != SLOTS_NONE && (unsigned)entered != kernel_named) {
        explore_fail("process %u attached a pool whose name is another's by now", kernel_process());
    }
    gate[entered] = NOBODY;
    explore_wake(&gate);
    gate_mutex_unlock();
}

enum pool_status descriptor_keep(struct attachment *of, int number, struct pool_failure *failure) {
    return number < 0 ? pool_status_from_errno(number, failure) : (enum pool_status)os_keep(number, &of->file);
}

enum pool_status descriptor_ready(struct attachment *of, struct pool_failure *failure) {
    (void)of;
    (void)failure;
    return POOL_OK;
}

void descriptor_close(struct attachment *of) {
    if (of->file.number >= 0) {
        os_close_kept(&of->file);
    }
}

/* --- sweep.c, never called: no scenario creates a pool --- */

enum pool_status attachment_remove_leftover(const char *name, double gate_seconds, struct pool_failure *failure) {
    (void)failure;
    explore_fail("%s is not to be removed (%g)", name, gate_seconds);
    return POOL_SYSTEM;
}

unsigned pools_sweep(void) { return 0; }

/* --- the book --- */

static uint64_t word_at(uint64_t index) { return view()->ledger[index]; }

static struct ledger_record record_at(uint64_t index) { return ledger_record_unpack(view()->records[index].run); }

static struct entry *find(const struct pool_run *run) {
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

static bool overlap(const struct pool_run *a, const struct pool_run *b) {
    return a->index < b->index + b->blocks && b->index < a->index + a->blocks;
}

static struct entry *enter(const struct pool_run *run, unsigned process) {
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
static void must_hold(const struct pool_run *run, unsigned process) {
    unsigned at = (unsigned)run->index;
    if (!ledger_is_held(word_at(at), processes[process].attachment.slot)) {
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
    geometry = (struct layout_geometry){0};
    if (!layout_plan(&geometry, 8, blocks)) {
        explore_fail("set-up: no such segment");
    }
    for (unsigned f = 0; f < KERNEL_FILES; f++) {
        memset(kernel_memory(f), 0, KERNEL_FILE_BYTES);
        layout_make(kernel_memory(f), &geometry);
    }
}

static void join(struct attachment *joining) {
    int error;
    void *page;
    attachment_reset(joining);
    joining->on_fork = ON_FORK_SHARE;
    joining->geometry = geometry;
    joining->memory = kernel_memory(0);
    layout_init(&joining->shared, joining->memory, &geometry);
    (void)os_keep(-1, &joining->file);
    (void)os_wiped_on_fork(&page);
    joining->alive = page;
    (void)os_map_private(geometry.blocks * sizeof *joining->local_references, false, &page);
    joining->local_references = page;
    joining->slot = slots_take(&joining->file, joining->memory, &geometry, &joining->lock_page, NULL, &error);
    joining->slot_record = slot_record(joining->memory, &geometry, joining->slot);
    memcpy(joining->name, KERNEL_NAME, sizeof KERNEL_NAME);
    store_relaxed(joining->alive, 1);
}

#define SLOT_BYTES (8 * sizeof(struct slot_record)) /* of those that are ever used */

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
    layout_init(&judges, kernel_memory(0), &geometry);
    for (unsigned p = 0; p < PROCESSES; p++) {
        processes[p] = (struct process){.intent = NOTHING};
        kernel_act_as(p);
        join(&processes[p].attachment);
    }
    for (unsigned p = 0; p < PROCESSES; p++) { /* after all have joined: so that each slot is the process's number */
        if (absent >> p & 1) {
            os_unpin_lock(processes[p].attachment.lock_page);
            slots_free(kernel_memory(0), &geometry, p);
            attachment_reset(&processes[p].attachment);
        }
    }
    kernel_save();
    memcpy(start.processes, processes, sizeof processes);
    memcpy(start.slots, kernel_memory(0) + geometry.slots_at, sizeof start.slots);
}

void witness_begin(uint64_t blocks, unsigned absent, enum grain grain) {
    struct layout_header *header = (void *)kernel_memory(0);
    for (unsigned p = 0; p < PROCESSES; p++) {
        attachment_unregister(&processes[p].attachment);
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
    bitmap_init(&fresh, kernel_memory(0) + geometry.bitmap_at, blocks, true);
    header->waiting.slots = 0;
    header->waiting.sequence = 0;
    memset(newest, 0, sizeof newest);
    entries = succeeded = 0;
    for (unsigned f = 0; f < KERNEL_FILES; f++) {
        gate[f] = NOBODY;
    }
}

void witness_same_process(unsigned thread, unsigned process) { kernel_thread_is(thread, process); }

struct pool_run witness_place(uint64_t head, uint64_t n, unsigned holders, unsigned tickets) {
    struct pool_run run = {head, n, 2};
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

struct pool_run witness_stale(uint64_t head) {
    if (newest[head] == 0) {
        newest[head] = 1;
        view()->records[head].run = ledger_record_pack((struct ledger_record){1, 1});
    }
    return (struct pool_run){head, 1, 1};
}

void witness_clear_bit(uint64_t block) { (void)bitmap_release(&view()->bitmap, block); }

void witness_time(uint32_t time) { kernel_time = time; }

/* --- what processes do --- */

static void failed(const char *what, enum pool_status status, const struct pool_run *run) {
    explore_fail("process %u cannot %s its run at %u: status %d", kernel_process(), what, (unsigned)run->index,
                 (int)status);
}

bool process_allocate(uint64_t n, struct pool_run *run) {
    enum pool_status status = attachment_allocate(attachment(), n, 0, run);
    if (status == POOL_EXHAUSTED) {
        return false;
    }
    if (status != POOL_OK) {
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

/* The process dropped one reference; `freed` says that this freed the run. */
static void strike(struct entry *entry, bool freed) {
    unsigned process = kernel_process();
    entry->leaving[process]--;
    entry->references[process]--;
    if (freed && is_kept(entry)) {
        explore_fail("the run at %u is freed, and others hold it", (unsigned)entry->run.index);
    }
    entry->freed |= freed;
}

void process_drop(const struct pool_run *run) {
    bool freed;
    enum pool_status status;
    struct entry *entry = find(run);
    must_hold(run, kernel_process());
    entry->leaving[kernel_process()]++;
    while ((status = attachment_drop(attachment(), run, &freed)) == POOL_LOCKED) {
        explore_yield();
    }
    if (status != POOL_OK) {
        failed("drop", status, run);
    }
    strike(entry, freed);
}

bool process_drop_last(const struct pool_run *run) {
    uint64_t word;
    uint32_t extra;
    enum pool_status status;
    struct entry *entry = find(run);
    must_hold(run, kernel_process());
    entry->leaving[kernel_process()]++;
    while ((status = attachment_free(attachment(), run, &word, &extra)) == POOL_LOCKED) {
        explore_yield();
    }
    if (status == POOL_OK) {
        strike(entry, true);
        return true;
    }
    if (status != POOL_IN_USE) {
        failed("free", status, run);
    }
    entry->leaving[kernel_process()]--;
    must_hold(run, kernel_process());
    return false;
}

void process_share(const struct pool_run *run, unsigned n) {
    struct entry *entry = find(run);
    must_hold(run, kernel_process());
    intend(SHARING, entry, n);
    entry->sharing = kernel_time;
    enum pool_status status = attachment_share(attachment(), run, n);
    if (status != POOL_OK) {
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
static bool given(enum pool_status status, const struct pool_run *run, struct entry *entry) {
    asks(entry, false);
    if (status != POOL_OK) {
        if (status != POOL_STALE) {
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

bool process_redeem(struct pool_run run, bool rightful) {
    enum pool_status status;
    struct entry *entry = find(&run);
    intend(rightful ? REDEEMING : NOTHING, entry, 1);
    asks(entry, true);
    while ((status = attachment_redeem(attachment(), &run)) == POOL_LOCKED) {
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

bool process_hold(struct pool_run run) {
    enum pool_status status;
    struct entry *entry = find(&run);
    asks(entry, true);
    while ((status = attachment_add_reference(attachment(), &run)) == POOL_LOCKED) {
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
    struct shared_pool_fault fault;
    struct shared_pool_audit audit;
    struct pool_failure failure;
    if (attachment_check(attachment(), PATIENCE, &fault, 1, &audit, &failure) != POOL_OK) {
        explore_fail("process %u cannot audit", kernel_process());
    }
    if (audit.faults) {
        explore_fail("an audit beside others finds a fault of kind %u at %u", (unsigned)fault.kind,
                     (unsigned)fault.index);
    }
}

/* --- waiting --- */

void process_wait(uint64_t n, struct pool_run *run) {
    uint32_t wait;
    while (attachment_wait_enter(attachment(), &wait) != POOL_OK) {
        explore_yield();
    }
    for (;;) {
        uint32_t sequence = attachment_wait_sequence(attachment());
        if (process_allocate(n, run)) {
            break;
        }
        attachment_wait_sleep(attachment(), sequence, 1);
    }
    while (attachment_wait_leave(attachment(), wait) != POOL_OK) {
        explore_yield();
    }
}

/* --- coming, going, and what is done for the dead --- */

static void recover(struct attachment *by, double ticket_seconds) {
    unsigned slots;
    uint64_t tickets;
    struct pool_failure failure;
    if (attachment_recover(by, PATIENCE, ticket_seconds, &slots, &tickets, &failure) != POOL_OK) {
        explore_fail("process %u cannot recover", kernel_process());
    }
}

void process_recover(void) { recover(attachment(), -1); }

bool process_attach(void) {
    struct pool_failure failure;
    me()->attaches = true;
    enum pool_status status = attachment_attach(attachment(), KERNEL_NAME, PATIENCE, &failure);
    me()->attaches = false;
    if (status != POOL_OK && status != POOL_NOT_FOUND) {
        explore_fail("process %u cannot attach: status %d", kernel_process(), (int)status);
    }
    return status == POOL_OK;
}

void process_leave(void) {
    unsigned process = kernel_process();
    for (unsigned e = 0; e < entries; e++) {
        book[e].leaving[process] = book[e].references[process];
    }
    attachment_leave(attachment(), PATIENCE);
    for (unsigned e = 0; e < entries; e++) {
        book[e].leaving[process] = book[e].references[process] = 0;
    }
}

void process_replace(void) {
    struct pool_failure failure;
    int entered;
    if (gate_enter(attachment(), PATIENCE, &entered, &failure) != POOL_OK || os_shm_unlink(KERNEL_NAME) != 0) {
        explore_fail("process %u cannot unlink", kernel_process());
    }
    gate_leave(attachment(), entered);
    explore_step();
    kernel_named = 1 - file_of(attachment());
}

void process_drop_tickets(uint32_t before) {
    for (unsigned e = 0; e < entries; e++) {
        if (book[e].shared <= before) {
            book[e].fewest = 0; /* from here on they may be gone */
        }
    }
    recover(attachment(), (double)kernel_time - (double)before);
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

/* Makes the attachment the only one of the process that runs fork.c's handlers: its list is that of one process. */
static void enlist(struct attachment *only) {
    struct pool_failure failure;
    struct attachment kept = *only;
    unsigned turn = me()->turn, turns = me()->turns; /* no part of the fork */
    me()->turn = me()->turns = 0;
    for (unsigned p = 0; p < PROCESSES; p++) {
        attachment_unregister(&processes[p].attachment);
    }
    if (attachment_register(only, &failure) != POOL_OK) { /* which empties it */
        explore_fail("forks are not taken care of");
    }
    kept.next = NULL;
    *only = kept;
    me()->turn = turn;
    me()->turns = turns;
}

/* The child begins with a copy of its parent's memory. What another thread of the parent was doing has happened in it,
 * or not; the word tells. */
static void copy_memory(unsigned parent, unsigned child) {
    struct attachment *copy = &processes[child].attachment;
    *copy = processes[parent].attachment;
    copy->local_references = kernel_fork(child, copy->local_references, &copy->alive);
    processes[child].turn = processes[parent].turn; /* of a thread that the child does not have */
    processes[child].turns = processes[parent].turns;
    for (unsigned e = 0; e < entries; e++) {
        struct entry *entry = &book[e];
        uint64_t at = entry->run.index;
        bool held = !entry->freed && copy->child.slot != SLOTS_NONE && ledger_is_held(word_at(at), copy->child.slot) &&
                    record_at(at).generation == entry->run.generation;
        unsigned count = held ? copy->local_references[at] + 1 : 0;
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
    enlist(attachment());
    handlers.before();
    int description = attachment()->child.description;
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
        enlist(attachment());
        handlers.child();
        if (attachment_is_stray(attachment())) {
            explore_fail("the forked child has no part: %d", (int)attachment()->fate);
        }
    }
    return child->born;
}

/* --- after a schedule --- */

static void must_agree(void) {
    uint64_t held = 0;
    for (unsigned e = 0; e < entries; e++) {
        const struct pool_run *run = &book[e].run;
        unsigned holders = holders_of(&book[e]);
        for (unsigned p = 0; p < PROCESSES; p++) {
            if (holders >> p & 1) {
                must_hold(run, p);
                held |= ledger_slot_bit(processes[p].attachment.slot);
            }
            if (holders >> p & 1 && processes[p].attachment.local_references[run->index] != book[e].references[p] - 1) {
                explore_fail("process %u has %u references to its run at %u, should have %u", p,
                             processes[p].attachment.local_references[run->index] + 1, (unsigned)run->index,
                             book[e].references[p]);
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
        struct pool_run run = {i, 0, record_at(i).generation};
        const struct entry *entry = find(&run);
        if (!ledger_is_live(word) || !entry) {
            explore_fail("block %u is lost: its word is %llx, and the book does not have it", (unsigned)i,
                         (unsigned long long)word);
            return;
        }
        uint64_t holders = 0;
        for (unsigned p = 0; p < PROCESSES; p++) {
            if (holders_of(entry) >> p & 1) {
                holders |= ledger_slot_bit(processes[p].attachment.slot);
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
        if (processes[p].attachment.waiters && !processes[p].settled) {
            waiting &= ~ledger_slot_bit(processes[p].attachment.slot);
        }
    }
    if (waiting) {
        explore_fail("slots %llx wait, and none of their processes does", (unsigned long long)waiting);
    }
}

static void must_be_sound(void) {
    struct shared_pool_fault fault;
    struct shared_pool_audit audit;
    struct pool_failure failure;
    if (attachment_check(resident(), PATIENCE, &fault, 1, &audit, &failure) != POOL_OK || audit.faults) {
        explore_fail("shared_pool_check finds a fault of kind %u at %u", (unsigned)fault.kind, (unsigned)fault.index);
    }
    if (audit.in_transit) {
        explore_fail("%u blocks are in transit forever", (unsigned)audit.in_transit);
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
                shared_pool_drop(view(), processes[p].attachment.slot, &book[e].run, &last) == SHARED_POOL_OK && last) {
                shared_pool_finish(view(), &book[e].run);
            }
        }
    }
    (void)shared_pool_drop_tickets(view(), UINT32_MAX);
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
