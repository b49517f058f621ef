/* shared_witness.c: see shared_witness.h. */
#include "shared_witness.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "os/lock.h"
#include "os/memory.h"
#include "shared/attachment_parts.h"
#include "shared/look.h"
#include "shared/recording.h"

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
    uint32_t ends, ending;       /* the latest end of the tickets made, or begun; ENDINGS_NEVER without a lifetime */
    unsigned shares;             /* how often a ticket was begun */
    bool freed;
};

static struct entry book[MOST_ENTRIES];
static unsigned entries;

#define MOST_NAMINGS 16u
#define NEVER UINT_MAX

/* A call that gave a name to a run, or took it away. */
static struct naming {
    unsigned name;
    struct entry *entry; /* or NULL */
    unsigned begun, ended;
    bool cut_short; /* by a death: it may have had its effect, or not */
} namings[MOST_NAMINGS];
static unsigned named;
static unsigned moment; /* rises with every beginning and end */
static const char *const names[WITNESS_NAMES] = {"this is the first one", "that is the other one",
                                                 "this is the other one"};

static struct process {
    struct attachment attachment;
    bool born, may_run; /* forked; its parent is through with its half of it, or dead */
    unsigned parent;
    bool settled;       /* dead, and the book knows it */
    bool attaches;      /* by the name */
    enum intent intent; /* what it was about to do, if it is stopped in a call */
    struct entry *entry;
    struct naming *naming;
    unsigned amount;
    unsigned turn, turns; /* the thread that holds the gate mutex, one up, and how often */
} processes[PROCESSES];
static unsigned gate[KERNEL_FILES]; /* the process that holds it, or NOBODY */
static uint64_t newest[KERNEL_MOST_BLOCKS];
static struct layout_geometry geometry;
static enum rows rows, rows_wanted; /* of this pool, and of the next one */
static struct shared_pool judges;   /* a view that belongs to no process */
static char birth;                  /* where unborn children sleep */
static uint32_t ended;              /* by when tickets were to be dropped that have ended */
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

/* Nobody records: lane_scenarios.c explores that. */
void recording_watch(struct attachment *of) { (void)of; }
void recording_forked(void) {}

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

/* --- reserve.c: all of the segment is there --- */

enum pool_status attachment_reserve(struct attachment *of, uint64_t at, uint64_t bytes, struct pool_failure *failure) {
    (void)of;
    (void)failure;
    explore_step();
    return at + bytes <= KERNEL_FILE_BYTES ? POOL_OK : POOL_NO_ROOM;
}

/* --- sweep.c, never called: no scenario creates a pool --- */

enum pool_status attachment_remove_leftover(const char *name, double gate_seconds, struct pool_failure *failure) {
    (void)failure;
    explore_fail("%s is not to be removed (%g)", name, gate_seconds);
    return POOL_SYSTEM;
}

unsigned pools_sweep(void) { return 0; }

/* --- the book --- */

static struct shared_pool_entry *entry_at(uint64_t index) { return shared_pool_entry(view(), index); }

static uint64_t word_at(uint64_t index) { return entry_at(index)->head; }

static struct ledger_record record_at(uint64_t index) { return ledger_record_unpack(entry_at(index)->run); }

static bool has_bit(uint64_t index, unsigned slot) {
    return slot != SLOTS_NONE && entry_at(index)->row[slot / 64] >> slot % 64 & 1;
}

static bool is_held(uint64_t index, unsigned slot) {
    uint64_t word = word_at(index);
    return ledger_is_run(word) && (ledger_is_owner(word, slot) || has_bit(index, slot));
}

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

/* Whether the naming was what the name had at some time from `since` on: no other one that began after its end has
 * ended before. */
static bool was_so(const struct naming *naming, unsigned since) {
    for (const struct naming *later = namings; later < namings + named; later++) {
        if (later->name == naming->name && later->begun > naming->ended && later->ended <= since && !later->cut_short) {
            return false;
        }
    }
    return true;
}

/* Whether the name may have had that run, or none, at some time from `since` on. */
static bool may_have_had(unsigned name, const struct entry *entry, unsigned since) {
    bool may = false;
    for (unsigned n = 0; n < named; n++) {
        may |= namings[n].name == name && namings[n].entry == entry && was_so(&namings[n], since);
    }
    return may;
}

/* Whether the name certainly has that run. */
static bool has_name(const struct entry *entry, unsigned name) {
    bool others = false;
    for (unsigned n = 0; n < named; n++) {
        others |= namings[n].name == name && namings[n].entry != entry && was_so(&namings[n], moment);
    }
    return !others && may_have_had(name, entry, moment);
}

static bool has_a_name(const struct entry *entry) {
    bool has = false;
    for (unsigned name = 0; name < WITNESS_NAMES; name++) {
        has |= has_name(entry, name);
    }
    return has;
}

static bool is_kept(const struct entry *entry) { return holders_of(entry) || entry->fewest || has_a_name(entry); }

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
    if (!is_held(at, processes[process].attachment.slot)) {
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
        if (dead->naming) {
            dead->naming->ended = ++moment;
            dead->naming->cut_short = true;
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

#define USED_SLOTS (2 * PROCESSES) /* of each word, more than are ever used */

/* An empty segment in each file. */
static void make_segments(uint64_t blocks) {
    geometry = (struct layout_geometry){0};
    if (!layout_plan(&geometry, 8, blocks, rows >= TWO_WORDS ? 64 + USED_SLOTS : USED_SLOTS, 1)) {
        explore_fail("set-up: no such segment");
    }
    for (unsigned f = 0; f < KERNEL_FILES; f++) {
        memset(kernel_memory(f), 0, KERNEL_FILE_BYTES);
        layout_make(kernel_memory(f), &geometry);
    }
}

/* Slots in the first word are left for those who come. */
static const unsigned slots_in_two_words[PROCESSES] = {64, 0, 65, 2};

static void join(struct attachment *joining, unsigned slot) {
    int error;
    void *page;
    attachment_reset(joining);
    joining->on_fork = ON_FORK_SHARE;
    joining->geometry = geometry;
    joining->memory = kernel_memory(0);
    layout_init(&joining->shared, &joining->queues.annex, joining->memory, &geometry);
    queues_init(&joining->queues, &joining->shared, layout_small(joining->memory, &geometry));
    (void)os_keep(-1, &joining->file);
    (void)os_wiped_on_fork(&page);
    joining->alive = page;
    (void)os_map_private((geometry.blocks + geometry.small_blocks) * sizeof *joining->local_references +
                             (geometry.blocks + 63) / 64,
                         false, &page);
    joining->local_references = page;
    joining->queue_references = joining->local_references + geometry.blocks;
    joining->groups = (atomic_byte *)(joining->queue_references + geometry.small_blocks);
    struct layout_header *header = joining->memory;
    uint64_t used[2] = {header->used[0], header->used[1]};
    for (unsigned s = 0; s < slot; s++) { /* the first free slot is taken */
        header->used[s / 64] |= UINT64_C(1) << s % 64;
    }
    joining->slot = slots_take(&joining->file, joining->memory, &geometry, &joining->lock_page, NULL, &error);
    used[slot / 64] |= UINT64_C(1) << slot % 64;
    header->used[0] = used[0];
    header->used[1] = used[1];
    if (joining->slot != slot) {
        explore_fail("set-up: the slot is taken");
    }
    joining->slot_record = slot_record(joining->memory, joining->slot);
    memcpy(joining->name, KERNEL_NAME, sizeof KERNEL_NAME);
    store_relaxed(joining->alive, 1);
}

/* What every schedule of a scenario begins with. */
static struct {
    uint64_t blocks;
    unsigned absent, processes_at_most;
    struct process processes[PROCESSES];
    uint64_t used[2];
} start;

static void make_start(uint64_t blocks, unsigned absent) {
    start.blocks = blocks;
    start.absent = absent;
    make_segments(blocks);
    start.processes_at_most = geometry.processes;
    struct shared_pool annex;
    layout_init(&judges, &annex, kernel_memory(0), &geometry);
    for (unsigned p = 0; p < PROCESSES; p++) {
        processes[p] = (struct process){.intent = NOTHING};
        kernel_act_as(p);
        join(&processes[p].attachment, rows >= TWO_WORDS ? slots_in_two_words[p] : p);
    }
    for (unsigned p = 0; p < PROCESSES; p++) { /* after all have joined: so that each slot is the process's number */
        if (absent >> p & 1) {
            os_unpin_lock(processes[p].attachment.lock_page);
            slots_free(kernel_memory(0), processes[p].attachment.slot);
            attachment_reset(&processes[p].attachment);
        }
    }
    kernel_save();
    memcpy(start.processes, processes, sizeof processes);
    for (unsigned w = 0; w < 2; w++) {
        start.used[w] = ((struct layout_header *)(void *)kernel_memory(0))->used[w];
    }
}

void witness_begin(uint64_t blocks, unsigned absent, enum grain grain) {
    struct layout_header *header = (void *)kernel_memory(0);
    for (unsigned p = 0; p < PROCESSES; p++) {
        attachment_unregister(&processes[p].attachment);
    }
    rows = rows_wanted;
    rows_wanted = ONE_WORD;
    kernel_set_up(false);
    steps_set_up(grain, COARSE);
    steps_private(0, processes, sizeof processes);
    if (blocks != start.blocks || absent != start.absent || (rows >= TWO_WORDS) != (start.processes_at_most > 64)) {
        make_start(blocks, absent);
    } else {
        kernel_restore();
        memcpy(processes, start.processes, sizeof processes);
        for (unsigned w = 0; w < 2; w++) {
            header->used[w] = start.used[w];
            ((struct layout_header *)(void *)kernel_memory(1))->used[w] = 0;
        }
        memset(kernel_memory(0) + geometry.catalog_at, 0, CATALOG_NAMES * sizeof(struct catalog_entry));
        memset(kernel_memory(0) + geometry.entries_at, 0, blocks * judges.entry_bytes);
    }
    steps_pool((const void *)kernel_memory(0), layout_catalog(kernel_memory(0), &geometry));
    steps_idle(kernel_memory(0) + layout_small_bitmap_at(&geometry),
               geometry.data_at - layout_small_bitmap_at(&geometry));
    struct bitmap fresh;
    bitmap_init(&fresh, kernel_memory(0) + geometry.bitmap_at, blocks, true);
    header->waiting.slots[0] = header->waiting.slots[1] = 0;
    header->waiting.sequence = 0;
    header->endings = (struct endings_head){0};
    memset(kernel_memory(0) + layout_endings_at(&geometry), 0, blocks * sizeof(atomic_word));
    memset(newest, 0, sizeof newest);
    entries = named = moment = succeeded = 0;
    ended = 0;
    for (unsigned f = 0; f < KERNEL_FILES; f++) {
        gate[f] = NOBODY;
    }
    for (unsigned name = 0; name < WITNESS_NAMES; name++) {
        namings[named++] = (struct naming){name, NULL, moment, moment, false};
    }
}

void witness_same_process(unsigned thread, unsigned process) { kernel_thread_is(thread, process); }

void witness_rows(enum rows wanted) { rows_wanted = wanted; }

struct pool_run witness_place(uint64_t head, uint64_t n, unsigned holders, unsigned tickets) {
    struct pool_run run = {head, n, 2};
    if (!bitmap_claim_range(&view()->bitmap, head, n)) {
        explore_fail("set-up: a bit is taken");
    }
    for (uint64_t d = 1; d < n; d++) {
        entry_at(head + d)->head = ledger_tail(d);
    }
    bool bits = rows == ONE_WORD_BITS || rows == TWO_WORDS_BITS;
    unsigned owner = LEDGER_NOBODY;
    uint64_t row = tickets ? LEDGER_ROW : 0;
    for (unsigned p = 0; p < PROCESSES; p++) {
        struct attachment *holder = &processes[p].attachment;
        if (!(holders >> p & 1)) {
            continue;
        }
        holder->groups[head / 64] = 1;
        if (!bits && owner == LEDGER_NOBODY) {
            owner = holder->slot;
        } else {
            entry_at(head)->row[holder->slot / 64] |= UINT64_C(1) << holder->slot % 64;
            row = LEDGER_ROW;
        }
    }
    entry_at(head)->head = ledger_live(owner, run.generation) | row | tickets * LEDGER_TICKET;
    entry_at(head)->run = ledger_record_pack((struct ledger_record){run.generation, n});
    newest[head] = run.generation;
    struct entry *entry = &book[entries++];
    *entry = (struct entry){.run = run, .fewest = tickets, .most = tickets};
    entry->ends = entry->ending = tickets ? ENDINGS_NEVER : 0;
    for (unsigned p = 0; p < PROCESSES; p++) {
        entry->references[p] = holders >> p & 1;
    }
    return run;
}

void witness_clear_bit(uint64_t block) { (void)bitmap_release(&view()->bitmap, block); }

void witness_time(uint32_t time) { kernel_time = time; }

void witness_end(const struct pool_run *run, uint32_t end) {
    struct entry *entry = find(run);
    view()->endings.head->ready = ENDINGS_READY;
    view()->endings.head->next = end;
    view()->endings.words[run->index] = (run->generation & LEDGER_GENERATION) << 32 | end;
    entry_at(run->index)->head |= LEDGER_TIMED;
    entry->ends = entry->ending = end;
}

static struct naming *begin_naming(unsigned name, struct entry *entry) {
    if (named == MOST_NAMINGS) {
        explore_fail("too many names are given");
    }
    namings[named] = (struct naming){name, entry, ++moment, NEVER, false};
    me()->naming = &namings[named];
    return &namings[named++];
}

static void end_naming(struct naming *naming) {
    naming->ended = ++moment;
    me()->naming = NULL;
}

void witness_name(const struct pool_run *run, unsigned name) {
    struct entry *entry = find(run);
    struct catalog catalog = attachment_catalog(resident());
    for (unsigned p = 0; p < PROCESSES; p++) {
        if (entry->references[p]) {
            if (catalog_keep(&catalog, processes[p].attachment.slot, names[name], run, 0, true, true) != CATALOG_OK) {
                explore_fail("set-up: no name");
            }
            end_naming(begin_naming(name, entry));
            return;
        }
    }
    explore_fail("set-up: nobody holds the run");
}

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
    uint32_t extra;
    enum pool_status status;
    struct entry *entry = find(run);
    must_hold(run, kernel_process());
    entry->leaving[kernel_process()]++;
    while ((status = attachment_free(attachment(), run, &extra)) == POOL_LOCKED) {
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

void process_share_for(const struct pool_run *run, unsigned n, uint32_t lifetime) {
    struct entry *entry = find(run);
    struct pool_failure failure;
    must_hold(run, kernel_process());
    intend(SHARING, entry, n);
    entry->sharing = kernel_time;
    uint32_t end = lifetime ? endings_end(kernel_time, lifetime) : ENDINGS_NEVER;
    entry->ending = end > entry->ending ? end : entry->ending;
    entry->shares++;
    enum pool_status status = attachment_share_for(attachment(), run, n, lifetime, &failure);
    if (status != POOL_OK) {
        failed("share", status, run);
    }
    intend(NOTHING, NULL, 0);
    entry->fewest += end > ended ? n : 0; /* what has ended meanwhile may be gone */
    entry->most += n;
    entry->shared = kernel_time;
    entry->ends = end > entry->ends ? end : entry->ends;
}

void process_share(const struct pool_run *run, unsigned n) { process_share_for(run, n, 0); }

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

/* The call had no effect: with the status `refused`, right if the name may have had a run, or none. */
static void nothing_named(struct naming *naming, enum pool_status status, enum pool_status refused) {
    unsigned name = naming->name, begun = naming->begun;
    bool right = false;
    end_naming(naming);
    naming->name = WITNESS_NAMES; /* of no name */
    for (unsigned e = 0; e < entries; e++) {
        right |= refused == POOL_EXISTS && may_have_had(name, &book[e], begun);
    }
    right |= refused == POOL_NOT_FOUND && may_have_had(name, NULL, begun);
    if (status != refused || !right) {
        explore_fail("process %u cannot change a name: status %d", kernel_process(), (int)status);
    }
}

bool process_keep(const struct pool_run *run, unsigned name, bool replace) {
    struct pool_failure failure;
    must_hold(run, kernel_process());
    struct naming *naming = begin_naming(name, find(run));
    enum pool_status status = attachment_keep(attachment(), names[name], run, replace, PATIENCE, &failure);
    if (status != POOL_OK) {
        nothing_named(naming, status, replace ? POOL_OK : POOL_EXISTS);
        return false;
    }
    end_naming(naming);
    return true;
}

bool process_forget(unsigned name) {
    struct pool_failure failure;
    struct naming *naming = begin_naming(name, NULL);
    enum pool_status status = attachment_forget(attachment(), names[name], PATIENCE, &failure);
    if (status != POOL_OK) {
        nothing_named(naming, status, POOL_NOT_FOUND);
        return false;
    }
    end_naming(naming);
    return true;
}

bool process_get(unsigned name) {
    enum pool_status status;
    struct pool_run run;
    unsigned begun = ++moment;
    while ((status = attachment_get(attachment(), names[name], &run)) == POOL_LOCKED) {
        explore_yield();
    }
    if (status != POOL_OK && status != POOL_NOT_FOUND) {
        failed("get", status, &run);
    }
    struct entry *entry = status == POOL_OK ? find(&run) : NULL;
    if (!may_have_had(name, entry, begun) || (status == POOL_OK && !entry)) {
        explore_fail("process %u got the wrong run by name, or none: status %d, block %u", kernel_process(),
                     (int)status, (unsigned)run.index);
    }
    if (status != POOL_OK) {
        return false;
    }
    asks(entry, true);
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

void witness_drop(const struct pool_run *run, unsigned process) {
    kernel_act_as(process);
    process_drop(run);
    kernel_act_as(RESIDENT);
}

void process_look(void) {
    struct shared_pool_fault fault;
    struct shared_pool_audit audit;
    look_check(attachment(), &fault, 1, &audit);
    if (audit.faults) {
        explore_fail("a look beside others finds a fault of kind %u at %u", (unsigned)fault.kind,
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

static void recover_at_once(struct attachment *by) {
    unsigned slots;
    uint64_t tickets;
    struct pool_failure failure;
    if (attachment_recover(by, 0, -1, &slots, &tickets, &failure) != POOL_OK) {
        explore_fail("process %u cannot recover at once", kernel_process());
    }
}

void process_recover(void) { recover(attachment(), -1); }
void process_recover_at_once(void) { recover_at_once(attachment()); }

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

void process_end_tickets(void) {
    unsigned shares[MOST_ENTRIES];
    ended = kernel_time > ended ? kernel_time : ended;
    for (unsigned e = 0; e < entries; e++) {
        shares[e] = book[e].shares;
        if (book[e].ends <= ended) {
            book[e].fewest = 0;
        }
    }
    unsigned known = entries;
    uint32_t now = kernel_time;
    recover(attachment(), -1);
    for (unsigned e = 0; e < known; e++) {
        if (book[e].ending <= now && shares[e] == book[e].shares) {
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
 * or not; the word tells. What it got since the fork began (entries from `known` on) the child need not have. */
static void copy_memory(unsigned parent, unsigned child, unsigned known) {
    struct attachment *copy = &processes[child].attachment;
    *copy = processes[parent].attachment;
    copy->local_references = kernel_fork(child, copy->local_references, &copy->alive);
    copy->queue_references = copy->local_references + geometry.blocks;
    copy->groups = (atomic_byte *)(copy->queue_references + geometry.small_blocks);
    processes[child].turn = processes[parent].turn; /* of a thread that the child does not have */
    processes[child].turns = processes[parent].turns;
    for (unsigned e = 0; e < entries; e++) {
        struct entry *entry = &book[e];
        uint64_t at = entry->run.index;
        bool held = !entry->freed && copy->child.slot != SLOTS_NONE && is_held(at, copy->child.slot) &&
                    record_at(at).generation == entry->run.generation;
        unsigned count = held ? copy->local_references[at] + 1 : 0;
        unsigned fewest = e < known ? entry->references[parent] - entry->leaving[parent] : 0;
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
    unsigned known = entries;
    handlers.before();
    int description = attachment()->child.description;
    copy_memory(parent, child, known);
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

static bool somebody_died(void) {
    bool died = false;
    for (unsigned p = 0; p < EXPLORE_THREADS; p++) {
        died |= processes[p].settled;
    }
    return died;
}

static const struct catalog *catalog(void) {
    static struct catalog of_resident;
    of_resident = attachment_catalog(resident());
    return &of_resident;
}

/* The entry of the run that has the name; NULL without one. */
static struct entry *entry_named(unsigned name) {
    struct pool_run run;
    unsigned kind;
    return catalog_find(catalog(), names[name], &run, &kind) == CATALOG_OK ? find(&run) : NULL;
}

/* The catalog holds exactly what has a name. */
static void must_be_named(const struct entry *entry, bool kept) {
    unsigned has = 0;
    for (unsigned name = 0; name < WITNESS_NAMES; name++) {
        has += entry_named(name) == entry;
    }
    if (kept != (has > 0)) {
        explore_fail("the run at %u has %u names, and the catalog %s it", (unsigned)entry->run.index, has,
                     kept ? "holds" : "does not hold");
    }
}

/* Whether any name was ever given. */
static bool some_have_names(void) { return named > WITNESS_NAMES; }

/* Every name has a run that it may have. */
static void names_must_agree(void) {
    struct pool_run run;
    unsigned kind;
    for (unsigned name = 0; name < WITNESS_NAMES; name++) {
        bool has = catalog_find(catalog(), names[name], &run, &kind) == CATALOG_OK;
        if (!may_have_had(name, has ? find(&run) : NULL, moment) || (has && !find(&run))) {
            explore_fail("the name \"%s\" has %s", names[name], has ? "another run" : "no run");
        }
    }
    if (catalog_fault(catalog(), 0) != CATALOG_NAMES) {
        explore_fail("a name has a run that the catalog does not hold");
    }
}

/* A full pool looks in time for what will have ended. */
static void ends_must_be_known(void) {
    for (uint64_t i = 0; i < view()->blocks; i++) {
        uint32_t end = endings_of(&view()->endings, i, word_at(i));
        uint64_t next = view()->endings.head->next;
        if (ledger_is_timed(word_at(i)) && (end == ENDINGS_NEVER || next == 0 || next > end)) {
            explore_fail("the tickets of the run at %u end at %u, and a full pool looks at %u", (unsigned)i, end,
                         (unsigned)next);
        }
    }
}

static void must_agree(void) {
    struct slot_set held = {{0}}, used;
    for (unsigned e = 0; e < entries; e++) {
        const struct pool_run *run = &book[e].run;
        unsigned holders = holders_of(&book[e]);
        for (unsigned p = 0; p < PROCESSES; p++) {
            if (holders >> p & 1) {
                must_hold(run, p);
                slot_set_add(&held, processes[p].attachment.slot);
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
    slots_used(kernel_memory(0), &geometry, &used);
    slot_set_subtract(&held, &used);
    if (!slot_set_is_empty(&held)) {
        explore_fail("the slot of a process that holds a run is free");
    }
    for (uint64_t i = 0; i < view()->blocks; i++) {
        uint64_t word = word_at(i);
        bool set = bitmap_test(&view()->bitmap, i);
        if (set && word == LEDGER_FREE) {
            explore_fail("block %u is lost: its bit is set, its word is FREE", (unsigned)i);
        }
        struct slot_set holders = {{0}}, found;
        shared_pool_holders(view(), i, word, &found);
        if (word == LEDGER_FREE || ledger_state(word) == LEDGER_IS_TAIL) { /* the audit looks at tails */
            if (!slot_set_is_empty(&found)) {
                explore_fail("slot %u has its bit in the row of block %u, where no run begins",
                             slot_set_next(&found, 0), (unsigned)i);
            }
            continue;
        }
        struct pool_run run = {i, 0, record_at(i).generation};
        const struct entry *entry = find(&run);
        if (!ledger_is_live(word) || !entry) {
            explore_fail("block %u is lost: its word is %llx, and the book does not have it", (unsigned)i,
                         (unsigned long long)word);
            return;
        }
        for (unsigned p = 0; p < PROCESSES; p++) {
            if (holders_of(entry) >> p & 1) {
                slot_set_add(&holders, processes[p].attachment.slot);
            }
        }
        if (!slot_set_equals(&holders, &found) || ledger_tickets(word) > entry->most) {
            explore_fail("the run at %u has %u holders and %u tickets, should have %u and at most %u: the word is %llx",
                         (unsigned)i, slot_set_count(&found), (unsigned)ledger_tickets(word), slot_set_count(&holders),
                         entry->most, (unsigned long long)word);
        }
        if (has_bit(i, ledger_slot(word))) {
            explore_fail("the owner of the run at %u has its bit in the row", (unsigned)i);
        }
        if (ledger_is_loose(word) && slot_set_is_empty(&found)) {
            explore_fail("nobody holds the run at %u, and it is not free", (unsigned)i);
        }
        if (word & LEDGER_MARK && !somebody_died()) {
            explore_fail("the run at %u is marked forever", (unsigned)i);
        }
        if (word & LEDGER_KEPT || some_have_names()) {
            must_be_named(entry, word & LEDGER_KEPT);
        }
    }
    struct slot_set waiting = {{view()->waiting->slots[0], view()->waiting->slots[1]}};
    for (unsigned p = 0; p < EXPLORE_THREADS; p++) {
        if (processes[p].attachment.waiters && !processes[p].settled) {
            slot_set_remove(&waiting, processes[p].attachment.slot);
        }
    }
    if (!slot_set_is_empty(&waiting)) {
        explore_fail("slot %u waits, and its process does not", slot_set_next(&waiting, 0));
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
    if (!somebody_died()) {
        ends_must_be_known(); /* before anybody looks at all */
    }
    recover_at_once(resident());
    ends_must_be_known();
    must_agree();
    if (some_have_names()) {
        names_must_agree();
    }
    must_be_sound();
    for (unsigned name = 0; name < WITNESS_NAMES && some_have_names(); name++) {
        (void)!catalog_forget(catalog(), names[name]);
    }
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
