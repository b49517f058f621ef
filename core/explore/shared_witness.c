/* shared_witness.c: see shared_witness.h. */
#include "shared_witness.h"

#include <string.h>

#define MOST_ENTRIES 64u
#define NOBODY PROCESSES
#define SLOTS 48u

enum intent { NOTHING, SHARING, REDEEMING };

struct entry {
    struct shared_run run;
    unsigned holders;         /* processes */
    unsigned fewest, most;    /* tickets in flight */
    uint32_t shared, sharing; /* when its last ticket was made, or begun */
    bool freed;
};

static struct entry book[MOST_ENTRIES];
static unsigned entries;
static struct process {
    struct shared view;
    unsigned slot;      /* SLOTS without one */
    bool unborn;        /* its slot belongs to its parent */
    bool settled;       /* dead, and the book knows it */
    enum intent intent; /* what it is about to do, if it is stopped in a call */
    struct entry *entry;
    unsigned amount;
} processes[PROCESSES];
static unsigned user[SLOTS]; /* the process that has the slot, or NOBODY */
static unsigned gate;        /* the process that holds it, or NOBODY */
static uint64_t newest[WITNESS_BLOCKS];
static uint32_t now;
static _Alignas(64) unsigned char bitmap_memory[1024];
static atomic_word ledger[WITNESS_BLOCKS];
static struct shared_record records[WITNESS_BLOCKS];
static struct shared_waiting waiting;
static char birth; /* where unborn children sleep */
static enum grain grain;
static bool in_bitmap; /* the access before was one of bitmap.c too */
unsigned succeeded;

/* --- the accesses of shared.c and bitmap.c (shared.cmake renames their explore_step to these) --- */

void explore_step_of_shared(void);
void explore_step_of_bitmap(void);

void explore_step_of_shared(void) {
    in_bitmap = false;
    explore_step();
}

void explore_step_of_bitmap(void) {
    if (grain == FINE || !in_bitmap) {
        explore_step();
    }
    in_bitmap = true;
}

/* --- the kernel's part, played by the search --- */

uint32_t os_thread_number(void) { return explore_thread() + 1; }

void os_yield(void) { explore_yield(); }

void os_wait_shared(atomic_half *word, uint32_t expected, double seconds) {
    (void)seconds; /* never over: who is not woken sleeps for ever, and the search says so */
    explore_step();
    if (*word == expected) {
        explore_sleep(word);
    }
}

void os_wake_all_shared(atomic_half *word) {
    explore_step();
    explore_wake(word);
}

/* --- the book --- */

static struct process *me(void) { return &processes[explore_thread()]; }

struct shared *process_view(void) { return &me()->view; }

static bool is_dead(unsigned process) {
    unsigned step;
    return process < EXPLORE_THREADS && explore_stopped(process, &step);
}

static struct entry *find(const struct shared_run *run) {
    for (unsigned e = 0; e < entries; e++) {
        if (book[e].run.index == run->index && book[e].run.generation == run->generation) {
            return &book[e];
        }
    }
    return NULL;
}

/* Who still counts. */
static unsigned holders_of(const struct entry *entry) {
    unsigned holders = entry->holders;
    for (unsigned p = 0; p < EXPLORE_THREADS; p++) {
        holders &= ~((unsigned)processes[p].settled << p);
    }
    return holders;
}

static bool is_kept(const struct entry *entry) { return holders_of(entry) || entry->fewest; }

static bool overlap(const struct shared_run *a, const struct shared_run *b) {
    return a->index < b->index + b->blocks && b->index < a->index + a->blocks;
}

static struct entry *enter(const struct shared_run *run, unsigned holders) {
    struct entry *entry = find(run);
    if (run->blocks < 1 || run->index >= processes[0].view.blocks ||
        run->blocks > processes[0].view.blocks - run->index) {
        explore_fail("a run of %u at %u is no run", (unsigned)run->blocks, (unsigned)run->index);
    }
    for (unsigned e = 0; e < entries; e++) {
        if (&book[e] != entry && is_kept(&book[e]) && overlap(run, &book[e].run)) {
            explore_fail("twice owned: the run of %u at %u of process %u and that of %u at %u", (unsigned)run->blocks,
                         (unsigned)run->index, explore_thread(), (unsigned)book[e].run.blocks,
                         (unsigned)book[e].run.index);
        }
    }
    if (!entry) {
        entry = &book[entries++];
        *entry = (struct entry){.run = *run};
    }
    entry->holders |= holders;
    return entry;
}

/* The holder must have its run: word, record, tails. */
static void must_hold(const struct shared_run *run, unsigned process) {
    unsigned at = (unsigned)run->index;
    if (!ledger_is_held(ledger[at], processes[process].slot)) {
        explore_fail("process %u lost its run at %u: the word is %llx", process, at, (unsigned long long)ledger[at]);
    }
    struct ledger_record record = ledger_record_unpack(records[at].run);
    if (record.generation != run->generation || record.length != run->blocks) {
        explore_fail("process %u lost the record of its run at %u", process, at);
    }
    for (uint64_t d = 1; d < run->blocks; d++) {
        if (ledger[at + d] != ledger_tail(d)) {
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

/* The process is dead and is being recovered: it holds nothing any more, and what it was about to do may have happened. */
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

/* --- before a schedule --- */

void witness_begin(uint64_t blocks, unsigned absent, enum grain cut) {
    memset(bitmap_memory, 0, sizeof bitmap_memory);
    memset(processes, 0, sizeof processes);
    memset(newest, 0, sizeof newest);
    for (unsigned b = 0; b < blocks; b++) {
        ledger[b] = 0;
        records[b].run = records[b].details = 0;
    }
    waiting.slots = 0;
    waiting.sequence = 0;
    entries = succeeded = 0;
    gate = NOBODY;
    now = 0;
    grain = cut;
    in_bitmap = false;
    for (unsigned s = 0; s < SLOTS; s++) {
        user[s] = NOBODY;
    }
    struct bitmap fresh;
    struct shared_parts parts = {bitmap_memory, ledger, records, &waiting};
    bitmap_view(&fresh, bitmap_memory, blocks, true);
    for (unsigned p = 0; p < PROCESSES; p++) {
        shared_view(&processes[p].view, &parts, blocks, 8);
        processes[p].slot = absent >> p & 1 ? SLOTS : p;
        if (processes[p].slot != SLOTS) {
            user[p] = p;
        }
    }
}

struct shared_run witness_place(uint64_t head, uint64_t n, unsigned holders, unsigned tickets) {
    struct shared_run run = {head, n, 2};
    if (!bitmap_claim_range(&processes[0].view.bitmap, head, n)) {
        explore_fail("set-up: a bit is taken");
    }
    for (uint64_t d = 1; d < n; d++) {
        ledger[head + d] = ledger_tail(d);
    }
    ledger[head] = ledger_make(LEDGER_IS_LIVE, holders, tickets);
    records[head].run = ledger_record_pack((struct ledger_record){run.generation, n});
    newest[head] = run.generation;
    struct entry *entry = enter(&run, holders);
    entry->fewest = entry->most = tickets;
    return run;
}

struct shared_run witness_stale(uint64_t head) {
    if (newest[head] == 0) {
        newest[head] = 1;
        records[head].run = ledger_record_pack((struct ledger_record){1, 1});
    }
    return (struct shared_run){head, 1, 1};
}

void witness_clear_bit(uint64_t block) { (void)bitmap_release(&processes[0].view.bitmap, block); }

void witness_time(uint32_t time) { now = time; }

/* --- what processes do --- */

bool process_allocate(uint64_t n, struct shared_run *run) {
    if (shared_allocate(&me()->view, me()->slot, n, 0, run) != SHARED_OK) {
        explore_fail("shared_allocate finds the segment corrupt");
    }
    if (run->index == BITMAP_NONE) {
        return false;
    }
    if (run->generation <= newest[run->index]) {
        explore_fail("the generation at %u does not rise", (unsigned)run->index);
    }
    newest[run->index] = run->generation;
    (void)enter(run, 1u << explore_thread());
    must_hold(run, explore_thread());
    succeeded++;
    return true;
}

/* Strikes the process out, in the breath in which it dropped. */
static void strike(const struct shared_run *run, bool last) {
    struct entry *entry = find(run);
    entry->holders &= ~(1u << explore_thread());
    if (last && is_kept(entry)) {
        explore_fail("the run at %u is freed, and others hold it", (unsigned)run->index);
    }
    entry->freed |= last;
}

void process_drop(const struct shared_run *run) {
    bool last;
    must_hold(run, explore_thread());
    if (shared_drop(&me()->view, me()->slot, run, &last) != SHARED_OK) {
        explore_fail("process %u cannot drop its run at %u", explore_thread(), (unsigned)run->index);
    }
    strike(run, last);
    if (last) {
        shared_finish(&me()->view, run);
    }
}

bool process_drop_last(const struct shared_run *run) {
    bool last;
    uint64_t word;
    must_hold(run, explore_thread());
    if (shared_drop_last(&me()->view, me()->slot, run, &last, &word) != SHARED_OK) {
        explore_fail("process %u cannot free its run at %u", explore_thread(), (unsigned)run->index);
    }
    if (last) {
        strike(run, last);
        shared_finish(&me()->view, run);
    } else {
        must_hold(run, explore_thread());
    }
    return last;
}

void process_share(const struct shared_run *run, unsigned n) {
    struct entry *entry = find(run);
    must_hold(run, explore_thread());
    intend(SHARING, entry, n);
    entry->sharing = now;
    if (shared_share(&me()->view, me()->slot, run, n, now) != SHARED_OK) {
        explore_fail("process %u cannot share its run at %u", explore_thread(), (unsigned)run->index);
    }
    intend(NOTHING, NULL, 0);
    entry->fewest += n;
    entry->most += n;
    entry->shared = now;
}

bool process_redeem(struct shared_run run, bool rightful) {
    bool set;
    struct entry *entry = find(&run);
    intend(rightful ? REDEEMING : NOTHING, entry, 1);
    enum shared_status status = shared_redeem(&me()->view, me()->slot, &run, &set);
    intend(NOTHING, NULL, 0);
    if (status == SHARED_CORRUPT) {
        explore_fail("shared_redeem finds the segment corrupt");
    }
    if (status == SHARED_STALE) {
        if (rightful && entry->fewest) {
            explore_fail("process %u cannot redeem its ticket at %u", explore_thread(), (unsigned)run.index);
        }
        return false;
    }
    if (!entry || entry->freed) {
        explore_fail("process %u redeemed a stale name at %u", explore_thread(), (unsigned)run.index);
    }
    (void)enter(&run, 1u << explore_thread());
    entry->fewest -= entry->fewest > 0;
    entry->most -= entry->most > 0;
    must_hold(&run, explore_thread());
    succeeded++;
    return true;
}

void process_drop_all(void) {
    for (unsigned e = 0; e < entries; e++) {
        if (book[e].holders >> explore_thread() & 1) {
            process_drop(&book[e].run);
        }
    }
}

/* --- waiting --- */

void process_wait(uint64_t n, struct shared_run *run) {
    explore_step();
    waiting.slots |= ledger_slot_bit(me()->slot);
    for (;;) {
        explore_step();
        uint32_t sequence = waiting.sequence;
        if (process_allocate(n, run)) {
            break;
        }
        os_wait_shared(&waiting.sequence, sequence, 1);
    }
    explore_step();
    waiting.slots &= ~ledger_slot_bit(me()->slot);
}

/* --- the gate, slots, and what is done under it --- */

static void gate_enter(void) {
    explore_step();
    while (gate != NOBODY && !is_dead(gate)) {
        explore_sleep(&gate);
    }
    gate = explore_thread();
}

static void gate_leave(void) {
    explore_step();
    gate = NOBODY;
    explore_wake(&gate);
}

void witness_stopped(void) {
    explore_wake(&gate);
    explore_wake(&birth);
}

/* Slots whose process is dead. An unborn child's belongs to its parent. */
static uint64_t dead_slots(void) {
    uint64_t dead = 0;
    for (unsigned s = 0; s < SLOTS; s++) {
        dead |= (uint64_t)(user[s] != NOBODY && is_dead(user[s])) << s;
    }
    return dead;
}

static void recover(struct shared *view) {
    uint64_t dead = dead_slots();
    if (dead == 0) {
        return;
    }
    for (uint64_t left = dead; left; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);
        settle(user[slot]);
        if (slot < EXPLORE_THREADS && processes[slot].unborn) {
            processes[slot].settled = true;
        }
    }
    shared_recover(view, dead | LEDGER_MARK);
    (void)shared_mend(view);
    explore_step();
    waiting.slots &= ~dead;
    for (uint64_t left = dead; left; left &= left - 1) {
        explore_step();
        user[__builtin_ctzll(left)] = NOBODY;
    }
}

void process_recover(void) {
    gate_enter();
    recover(&me()->view);
    gate_leave();
}

void process_attach(void) {
    gate_enter();
    recover(&me()->view);
    unsigned slot = 0;
    while (user[slot] != NOBODY) {
        slot++;
    }
    explore_step();
    user[slot] = explore_thread();
    me()->slot = slot;
    gate_leave();
}

void process_drop_tickets(uint32_t before) {
    gate_enter();
    for (unsigned e = 0; e < entries; e++) {
        if (book[e].shared <= before) {
            book[e].fewest = 0; /* from here on they may be gone */
        }
    }
    (void)shared_drop_tickets(&me()->view, before);
    for (unsigned e = 0; e < entries; e++) {
        if (book[e].sharing <= before) {
            book[e].most = 0;
        }
    }
    gate_leave();
}

void process_fork(unsigned child) {
    gate_enter();
    unsigned parent = explore_thread();
    explore_step();
    user[child] = parent; /* the parent holds the child's lock */
    processes[child].slot = child;
    processes[child].unborn = true;
    shared_fork(&me()->view, me()->slot, child);
    for (unsigned e = 0; e < entries; e++) {
        book[e].holders |= (book[e].holders >> parent & 1) << child;
    }
    gate_leave();
    explore_step();
    user[child] = child;
    processes[child].unborn = false;
    explore_wake(&birth);
}

bool process_is_born(unsigned parent) {
    unsigned child = explore_thread();
    while (user[child] != child && !is_dead(parent)) {
        explore_sleep(&birth);
    }
    return user[child] == child;
}

/* --- after a schedule --- */

static void must_agree(void) {
    uint64_t blocks = processes[0].view.blocks;
    for (unsigned e = 0; e < entries; e++) {
        const struct shared_run *run = &book[e].run;
        unsigned holders = holders_of(&book[e]);
        for (unsigned p = 0; p < PROCESSES; p++) {
            if (holders >> p & 1) {
                must_hold(run, p);
            }
        }
        if (book[e].fewest && (ledger_tickets(ledger[run->index]) < book[e].fewest ||
                               ledger_record_unpack(records[run->index].run).generation != run->generation)) {
            explore_fail("a ticket of the run at %u is gone: %u are left", (unsigned)run->index,
                         (unsigned)ledger_tickets(ledger[run->index]));
        }
    }
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t word = ledger[i];
        bool set = bitmap_test(&processes[0].view.bitmap, i);
        if (set && word == LEDGER_FREE) {
            explore_fail("block %u is lost: its bit is set, its word is FREE", (unsigned)i);
        }
        if (word == LEDGER_FREE || ledger_state(word) == LEDGER_IS_TAIL) {
            continue; /* shared_check looks at tails */
        }
        struct shared_run run = {i, 0, ledger_record_unpack(records[i].run).generation};
        const struct entry *entry = find(&run);
        if (!ledger_is_live(word) || !entry) {
            explore_fail("block %u is lost: its word is %llx, and nobody knows of it", (unsigned)i,
                         (unsigned long long)word);
            return;
        }
        uint64_t holders = 0;
        for (unsigned p = 0; p < PROCESSES; p++) {
            if (holders_of(entry) >> p & 1) {
                holders |= ledger_slot_bit(processes[p].slot);
            }
        }
        if (ledger_holders(word) != holders || ledger_tickets(word) > entry->most) {
            explore_fail("the run at %u has holders %llx and %u tickets, should have %llx and at most %u", (unsigned)i,
                         (unsigned long long)ledger_holders(word), (unsigned)ledger_tickets(word),
                         (unsigned long long)holders, entry->most);
        }
    }
}

static void must_be_sound(void) {
    struct shared_fault fault;
    struct shared_audit audit;
    uint64_t used = LEDGER_MARK;
    for (unsigned s = 0; s < SLOTS; s++) {
        used |= (uint64_t)(user[s] != NOBODY) << s;
    }
    shared_check(&processes[RESIDENT].view, used, true, &fault, 1, &audit);
    if (audit.faults) {
        explore_fail("shared_check finds a fault of kind %u at %u", (unsigned)fault.kind, (unsigned)fault.index);
    }
}

void at_rest(void) {
    struct shared *view = &processes[RESIDENT].view;
    recover(view);
    must_agree();
    must_be_sound();
    for (unsigned e = 0; e < entries; e++) {
        for (unsigned p = 0; p < PROCESSES; p++) {
            bool last;
            if (holders_of(&book[e]) >> p & 1 &&
                shared_drop(view, processes[p].slot, &book[e].run, &last) == SHARED_OK && last) {
                shared_finish(view, &book[e].run);
            }
        }
    }
    (void)shared_drop_tickets(view, UINT32_MAX);
    for (uint64_t i = 0; i < view->blocks; i++) {
        if (ledger[i] != LEDGER_FREE || bitmap_test(&view->bitmap, i)) {
            explore_fail("all dropped, and block %u has the word %llx and the bit %d", (unsigned)i,
                         (unsigned long long)ledger[i], (int)bitmap_test(&view->bitmap, i));
        }
    }
    if (bitmap_claim_run(&view->bitmap, view->blocks) != 0) {
        explore_fail("all is free, and no run of all can be had");
    }
}
