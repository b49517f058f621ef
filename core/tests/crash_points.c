/* crash_points.c: for every operation and every k, a process is killed at its k-th atomic access, among living ones.
 *
 * Built from the library's sources with BLOCKPOOL_EXPLORE, so that explore_access stands before every atomic access:
 * there a victim sends itself SIGKILL. Two survivors allocate, fill, check, share, redeem and free all the while. After
 * each death the main process recovers, makes the survivors pause and report what they hold, and compares: the audit
 * finds no fault; every run that a living process or a ticket holds is there, with its generation, its holders and its
 * bytes; every other word is FREE and every other bit clear; only the living have slots; no process waits. One ticket
 * too many is allowed after a redeem.
 *
 * An operation is done when it has completed several times before its k-th access. The survivors affect how many
 * accesses it takes, so the number of points varies.
 *
 * With an argument, only the operations whose names have it in them. With `debug` first, the pool is in debug mode
 * (sites.h). Then also: no death leaves what an allocation would take for misuse; the slack of every run is whole; and
 * every free block that is marked as filled is.
 */
#include "process.h"

#include <pthread.h>

#include "os/thread.h"
#include "sets.h"
#include "shared/notes.h"
#include "shared/recording.h"
#include "shared/sites.h"

#define BLOCK 64u
#define BLOCKS 70u
#define SURVIVORS 2u
#define MOST_RUNS 8u
#define OLD_NOTE "a note of thirty-three characters"
#define NEW_NOTE "one that is longer than the other, so that it takes words that were not there before"
#define LIFETIME 1000 /* seconds */
#define ENOUGH 3      /* completions in a row that end an operation */
#define PATIENCE PROCESS_PATIENCE

/* --- where the sources ask the harness --- */

/* What the processes tell each other; plain atomics, as the wrappers of atomic.h count. */
struct board {
    _Atomic uint32_t pause, paused[SURVIVORS], wrong;
    _Atomic uint32_t call, answered; /* a victim asks the main process to act at this moment */
    _Atomic uint32_t forking, ready, go, completed;
    _Atomic uint32_t slot;
    struct pool_run runs[SURVIVORS][MOST_RUNS];
    uint32_t run_count[SURVIVORS];
    struct pool_run victims; /* a run that the victim of a fork holds alone */
};

static struct board *board;
static uint64_t steps, kill_at, call_at[2];

void explore_access(const volatile void *word);
void explore_access(const volatile void *word) {
    (void)word;
    steps++;
    for (uint32_t i = 0; i < 2; i++) {
        if (steps == call_at[i]) {
            board->call = i + 1;
            while (board->answered != i + 1) {
                usleep(20);
            }
        }
    }
    if (steps == kill_at) {
        kill(getpid(), SIGKILL);
    }
}

uint32_t os_thread_number(void) { return 1; }

/* --- everybody --- */

static struct attachment attachment; /* the main process's */
static struct attachment own;        /* a child's */
static struct pool_failure failure;
static char name[96];
static uint64_t survivors; /* their slots */
static uint64_t slack;     /* bytes at the end of each run; only in debug mode */

/* A failure anywhere ends the program, with the point at which it came up. */
static const char *operation_name = "none";
static uint64_t point, subpoint[2];

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("FAILED %s: point %llu (%llu, %llu): %s (line %d)\n", operation_name, (unsigned long long)point,    \
                   (unsigned long long)subpoint[0], (unsigned long long)subpoint[1], #condition, __LINE__);            \
            fflush(stdout);                                                                                            \
            board->wrong = 1;                                                                                          \
            (void)process_end();                                                                                       \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static unsigned char *bytes_of(const struct attachment *whose, const struct pool_run *run) {
    return layout_data(whose->memory, &whose->geometry) + run->index * BLOCK;
}

static unsigned char pattern_of(const struct pool_run *run) {
    return (unsigned char)(run->index * 31 + run->generation * 7 + 1);
}

static void fill(struct attachment *whose, const struct pool_run *run) {
    struct site_finding finding;
    if (sites_are_kept(whose)) {
        MUST(sites_issue(whose, run, run->blocks * BLOCK - slack, NULL, &finding));
    }
    memset(bytes_of(whose, run), pattern_of(run), run->blocks * BLOCK - slack);
}

static bool is_filled(const struct attachment *whose, const struct pool_run *run) {
    for (uint64_t i = 0; i < run->blocks * BLOCK; i++) {
        unsigned char wanted = i < run->blocks * BLOCK - slack ? pattern_of(run) : SITE_CANARY;
        if (bytes_of(whose, run)[i] != wanted) {
            return false;
        }
    }
    return true;
}

/* Whether a free block is as debug mode says that it is, and nothing was noted there. */
static bool is_as_marked(const struct attachment *whose, uint64_t index) {
    const struct site *site =
        (const struct site *)(const void *)((char *)whose->memory + layout_site_at(&whose->geometry, index));
    const unsigned char *bytes = layout_data(whose->memory, &whose->geometry) + index * BLOCK;
    bool same = load_seq(&site->damage) == 0;
    for (uint64_t i = 0; load_seq(&site->dead) == SITE_IS_DEAD && i < BLOCK; i++) {
        same = same && bytes[i] == SITE_DEAD;
    }
    return same;
}

static struct pool_run allocate(struct attachment *whose, uint64_t n) {
    struct pool_run run;
    MUST(attachment_allocate(whose, n, slack, &run) == POOL_OK);
    fill(whose, &run);
    return run;
}

static void drop(struct attachment *whose, const struct pool_run *run) {
    bool freed;
    MUST(attachment_drop(whose, run, &freed) == POOL_OK);
}

/* --- survivors --- */

static void survive(unsigned me) {
    struct pool_run *runs = board->runs[me];
    unsigned n = 0;
    check_random_state = (me + 1) * 12345 + 1;
    operation_name = "a survivor";
    MUST(attachment_attach(&own, name, PATIENCE, &failure) == POOL_OK);
    for (unsigned i = 0;; i++) {
        if (board->pause) {
            board->run_count[me] = n;
            board->paused[me] = 1;
            while (board->pause) {
                usleep(50);
            }
            board->paused[me] = 0;
        }
        unsigned which = n ? (unsigned)check_below(n) : 0;
        if (n < MOST_RUNS && check_below(2)) {
            if (attachment_allocate(&own, 1 + check_below(3), slack, &runs[n]) == POOL_OK) {
                fill(&own, &runs[n++]);
            }
        } else if (n > 0 && check_below(4) == 0) {
            struct pool_run again = runs[which];
            MUST(attachment_share(&own, &again, 1) == POOL_OK);
            MUST(attachment_redeem(&own, &again) == POOL_OK);
            MUST(again.blocks == runs[which].blocks);
            drop(&own, &again);
        } else if (n > 0) {
            MUST(is_filled(&own, &runs[which]));
            drop(&own, &runs[which]);
            runs[which] = runs[--n];
        }
        if (i % 16 == 0) {
            usleep(20);
        }
    }
}

static void survive_first(void) { survive(0); }
static void survive_second(void) { survive(1); }

/* --- the judgement --- */

/* What is known of the names: how many there are, and that they lead to runs that nobody else holds. */
static struct {
    unsigned least, most;
} names;

/* The run that main process and victim share. */
static struct {
    struct pool_run run;
    bool there, main_holds;
    uint32_t least, most; /* tickets */
    bool noted;           /* it has a note, which the victim sets */
    bool recorded;        /* somebody may record */
} common;

static uint64_t head_at(uint64_t index) { return load_seq(&shared_pool_entry(&attachment.shared, index)->head); }

/* Whether a name leads to the run. */
static bool is_named(const struct pool_run *run) {
    struct pool_run named;
    unsigned kind;
    char what[CATALOG_NAME_BYTES];
    for (unsigned i = 0; (i = attachment_next_name(&attachment, i, what, &named, &kind)) < CATALOG_NAMES; i++) {
        if (named.index == run->index && named.generation == run->generation) {
            return true;
        }
    }
    return false;
}

static void judge_run(const struct pool_run *run, uint64_t holders, uint64_t least, uint64_t most, bool *expected) {
    uint64_t word = head_at(run->index);
    struct ledger_record record =
        ledger_record_unpack(load_seq(&shared_pool_entry(&attachment.shared, run->index)->run));
    MUST(ledger_is_live(word));
    MUST(holders_at(&attachment.shared, run->index) == holders);
    MUST(ledger_slot(word) == LEDGER_NOBODY || holders & bit_of(ledger_slot(word)));
    MUST(ledger_generation(word) == (run->generation & LEDGER_GENERATION));
    MUST(((word & LEDGER_KEPT) != 0) == is_named(run));
    MUST(ledger_tickets(word) >= least && ledger_tickets(word) <= most);
    MUST(record.generation == run->generation);
    MUST(record.length == run->blocks);
    MUST(is_filled(&attachment, run));
    for (uint64_t d = 0; d < run->blocks; d++) {
        MUST(!expected[run->index + d]);
        expected[run->index + d] = true;
        MUST(d == 0 || head_at(run->index + d) == ledger_tail(d));
    }
}

/* The note of the common run is the old one, the new one or none, whole; and it can be set at once. */
static void judge_note(void) {
    static const char *const texts[] = {"", OLD_NOTE, NEW_NOTE};
    unsigned char bytes[NOTE_MOST];
    unsigned length = attachment_note(&attachment, &common.run, bytes), same = 0;
    for (unsigned i = 0; i < 3; i++) {
        same += strlen(texts[i]) == length && memcmp(texts[i], bytes, length) == 0;
    }
    MUST(same == 1);
    MUST(attachment_set_note(&attachment, &common.run, OLD_NOTE, strlen(OLD_NOTE), 0, &failure) == POOL_OK);
    MUST(attachment_note(&attachment, &common.run, bytes) == strlen(OLD_NOTE));
    MUST(memcmp(bytes, OLD_NOTE, strlen(OLD_NOTE)) == 0);
}

static struct lane_cell cells[RECORDING_LEAST];

/* Takes what is in the lanes; returns how many of the events are of that kind and about that run. */
static uint64_t events_of(unsigned kind, const struct pool_run *run) {
    static atomic_half stop;
    uint64_t found = 0, used = recording_collect(&attachment, cells, RECORDING_LEAST, 0, &stop);
    for (uint64_t i = 0; i < used; i++) {
        uint64_t what = cells[i].what & 0xff, index = cells[i].value & (LEDGER_MOST_BLOCKS - 1);
        MUST(what == LANE_ALLOCATED || what == LANE_FREED || what == LANE_TIME || what == LANE_OWNER ||
             what == LANE_TAKEN || what == LANE_NOW);
        MUST(what != LANE_ALLOCATED || (index < BLOCKS && cells[i].what >> 8 <= 3 * BLOCK));
        MUST(what != LANE_FREED || (index < BLOCKS && cells[i].what == LANE_FREED));
        found += what == kind && cells[i].value == (run->generation << 24 | run->index);
    }
    return found;
}

/* The main process records, or can begin to, and what it puts is taken. */
static void judge_recording(void) {
    struct pool_run run = {BLOCKS, 1, 0};
    if (recording_by(&attachment) != attachment.slot) {
        MUST(recording_by(&attachment) == SLOTS_NONE);
        MUST(load_seq(&((struct layout_header *)attachment.memory)->recording.on) == 0);
        MUST(recording_start(&attachment, PATIENCE, &failure) == POOL_OK);
    }
    MUST(events_of(LANE_ALLOCATED, &run) == 0);
    run = allocate(&attachment, 1);
    MUST(events_of(LANE_ALLOCATED, &run) == 1);
    drop(&attachment, &run);
    MUST(events_of(LANE_FREED, &run) == 1);
    recording_stop(&attachment);
    recording_end(&attachment);
    MUST(recording_by(&attachment) == SLOTS_NONE);
}

/* No ticket ends before somebody looks. */
static void ends_are_known(void) {
    const struct endings *endings = &attachment.shared.endings;
    for (uint64_t i = 0; i < BLOCKS; i++) {
        uint64_t word = load_seq(&shared_pool_entry(&attachment.shared, i)->head),
                 next = load_seq(&endings->head->next);
        MUST(!ledger_is_timed(word) || (next && next <= endings_of(endings, i, word)));
        MUST(!ledger_is_timed(word) || endings_of(endings, i, word) != ENDINGS_NEVER);
    }
}

/* Compares the segment with what the living report. The survivors pause; `participant` is the bit of a living process
 * of the operation, or 0. */
static void judge(uint64_t participant) {
    bool expected[BLOCKS] = {false};
    struct shared_pool_fault fault = {SHARED_POOL_FAULT_NONE, 0};
    struct shared_pool_audit audit;
    uint64_t main_slot = bit_of(attachment.slot), used = 0;
    MUST(attachment_check(&attachment, PATIENCE, &fault, 1, &audit, &failure) == POOL_OK);
    if (audit.faults) {
        printf("check: fault of kind %d at %llu\n", (int)fault.kind, (unsigned long long)fault.index);
    }
    MUST(audit.faults == 0);
    for (unsigned s = 0; s < SURVIVORS; s++) {
        for (unsigned r = 0; r < board->run_count[s]; r++) {
            const struct pool_run *run = &board->runs[s][r];
            uint64_t holders = holders_at(&attachment.shared, run->index);
            MUST((holders & (holders - 1)) == 0 && (holders & survivors));
            judge_run(run, holders, 0, 0, expected);
        }
    }
    if (common.there && (common.main_holds || participant)) {
        judge_run(&common.run, (common.main_holds ? main_slot : 0) | participant, common.least, common.most, expected);
    } else if (common.there) {
        uint64_t word = head_at(common.run.index);
        bool still = ledger_is_live(word) && holders_at(&attachment.shared, common.run.index) == 0;
        MUST(still || common.least == 0);
        if (still) {
            judge_run(&common.run, 0, 1, common.most, expected);
        }
    }
    if (common.noted) {
        judge_note();
    }
    if (participant) {
        judge_run(&board->victims, participant, 0, 0, expected);
    }
    struct pool_run named;
    unsigned kind;
    char what[CATALOG_NAME_BYTES];
    unsigned count = 0;
    for (unsigned i = 0; (i = attachment_next_name(&attachment, i, what, &named, &kind)) < CATALOG_NAMES;
         i++, count++) {
        struct ledger_record record =
            ledger_record_unpack(load_seq(&shared_pool_entry(&attachment.shared, named.index)->run));
        named.blocks = record.length;
        MUST(strcmp(what, "model") == 0);
        judge_run(&named, 0, 0, 0, expected);
    }
    MUST(count >= names.least && count <= names.most);
    for (uint64_t i = 0; i < BLOCKS; i++) {
        MUST((head_at(i) != LEDGER_FREE) == expected[i]);
        MUST(ledger_is_live(head_at(i)) || row_at(&attachment.shared, i) == 0);
        MUST(bitmap_test(&attachment.shared.bitmap, i) == expected[i]);
        MUST(expected[i] || !sites_are_kept(&attachment) || is_as_marked(&attachment, i));
        used += expected[i];
    }
    MUST(bitmap_count(&attachment.shared.bitmap) == used);
    ends_are_known();
    MUST(bitmap_summary_fault(&attachment.shared.bitmap) == BITMAP_NONE);
    MUST(used_in(attachment.memory, &attachment.geometry) == (main_slot | survivors | participant));
    MUST(waiters_of(&attachment.shared) == 0);
}

static void pause_survivors(void) {
    board->pause = 1;
    for (double end = os_now() + PATIENCE; !board->paused[0] || !board->paused[1]; usleep(20)) {
        MUST(os_now() < end);
        MUST(!board->wrong);
    }
}

static void resume_survivors(void) {
    board->pause = 0;
    while (board->paused[0] || board->paused[1]) {
        usleep(20);
    }
}

static uint64_t recover(double ticket_seconds) {
    unsigned slots;
    uint64_t tickets;
    MUST(attachment_recover(&attachment, PATIENCE, ticket_seconds, &slots, &tickets, &failure) == POOL_OK);
    return slots;
}

/* --- what the operations share --- */

static void nothing(void) {}
static void attach(void) { MUST(attachment_attach(&own, name, PATIENCE, &failure) == POOL_OK); }

/* The main process makes the common run, with that many tickets; `holds` tells whether it keeps it itself. */
static void give(uint32_t tickets, bool holds) {
    common.run = allocate(&attachment, 3);
    common.there = true;
    MUST(tickets == 0 || attachment_share(&attachment, &common.run, tickets) == POOL_OK);
    common.main_holds = holds;
    if (!holds) {
        drop(&attachment, &common.run);
    }
}

static void give_held(void) { give(0, true); }
static void give_noted(void) {
    give(0, true);
    common.noted = true;
    MUST(attachment_set_note(&attachment, &common.run, OLD_NOTE, strlen(OLD_NOTE), PATIENCE, &failure) == POOL_OK);
}
static void give_unrecorded(void) { common.recorded = true; }
static void give_recorded(void) {
    common.recorded = true;
    MUST(recording_start(&attachment, PATIENCE, &failure) == POOL_OK);
}
static void give_held_with_ticket(void) { give(1, true); }
static void give_held_with_two(void) { give(2, true); }
static void give_ticket(void) { give(1, false); }
/* A ticket with a lifetime, which is over. */
static void give_ended(void) {
    give(0, true);
    MUST(attachment_share_for(&attachment, &common.run, 1, LIFETIME, &failure) == POOL_OK);
    atomic_word *word = &attachment.shared.endings.words[common.run.index];
    store_seq(word, (load_seq(word) & ~(uint64_t)UINT32_MAX) | 1);
    store_seq(&attachment.shared.endings.head->next, 1);
    common.main_holds = false;
    drop(&attachment, &common.run);
}

/* The main process gives a run a name, and does not hold it itself. */
static void give_named(void) {
    struct pool_run run = allocate(&attachment, 2);
    MUST(attachment_keep(&attachment, "model", &run, false, PATIENCE, &failure) == POOL_OK);
    drop(&attachment, &run);
}

static struct pool_run mine, mine_too; /* the victim's */

static void attach_redeem(void) {
    attach();
    mine = common.run;
    MUST(attachment_redeem(&own, &mine) == POOL_OK);
}

static void attach_allocate_one(void) {
    attach();
    mine = allocate(&own, 1);
}

static void attach_allocate_run(void) {
    attach();
    mine = allocate(&own, 3);
}

/* A run that another reference of the same process held meanwhile, so that its row has to be looked at. */
static void attach_allocate_run_with_row(void) {
    attach_allocate_run();
    struct pool_run again = mine;
    MUST(attachment_redeem(&own, &again) == POOL_OK);
    drop(&own, &again);
}

static void attach_hold_all_kinds(void) {
    attach_redeem();
    mine_too = allocate(&own, 3);
    (void)allocate(&own, 1);
}

/* A dead process, for the victim to recover: it held the common run and one of its own, and died allocating a third. */
static void attach_beside_a_dead_one(void) {
    attach();
    struct attachment first = own;
    pid_t dead = _Fork();
    if (dead == 0) {
        attach_hold_all_kinds();
        steps = 0;
        kill_at = 1 + point % 24;
        if (point % 2) {
            (void)allocate(&own, 3);
        } else {
            drop(&own, &mine_too);
        }
        kill(getpid(), SIGKILL);
    }
    MUST(ended(dead) == -SIGKILL);
    own = first;
}

/* --- the operations --- */

static void act_allocate_one(void) { (void)allocate(&own, 1); }
static void act_allocate_run(void) { (void)allocate(&own, 3); }
static void act_drop(void) { drop(&own, &mine); }
static void act_set_note(void) {
    MUST(attachment_set_note(&own, &mine, NEW_NOTE, strlen(NEW_NOTE), PATIENCE, &failure) == POOL_OK);
}
static void act_share(void) { MUST(attachment_share(&own, &mine, 1) == POOL_OK); }
static void act_share_for(void) { MUST(attachment_share_for(&own, &mine, 1, LIFETIME, &failure) == POOL_OK); }

static void act_record(void) {
    atomic_half stop = 0;
    MUST(recording_start(&own, PATIENCE, &failure) == POOL_OK);
    (void)recording_collect(&own, cells, RECORDING_LEAST, 0, &stop);
    struct pool_run run = allocate(&own, 1);
    drop(&own, &run);
    recording_stop(&own);
    (void)recording_collect(&own, cells, RECORDING_LEAST, 0, &stop);
    recording_end(&own);
}

static void act_free(void) {
    uint32_t extra;
    MUST(attachment_free(&own, &mine, &extra) == POOL_OK);
}

static void act_redeem(void) {
    struct pool_run run = common.run;
    MUST(attachment_redeem(&own, &run) == POOL_OK);
    MUST(run.blocks == 3);
}

static void act_redeem_stale(void) {
    struct pool_run run = common.run;
    run.generation--;
    MUST(attachment_redeem(&own, &run) == POOL_STALE);
}

static void act_redeem_overtaken(void) {
    struct pool_run run = common.run;
    enum pool_status status = attachment_redeem(&own, &run);
    MUST(status == POOL_OK || status == POOL_STALE);
    kill_at = 0;
    for (uint64_t i = 0; status == POOL_STALE && i < BLOCKS;
         i++) { /* it left nothing behind that only its death mends */
        uint64_t holders = holders_at(&own.shared, i);
        MUST(!(holders & bit_of(own.slot)));
        MUST(holders || !ledger_is_loose(load_seq(&shared_pool_entry(&own.shared, i)->head)));
    }
}

static void act_keep(void) { MUST(attachment_keep(&own, "model", &mine, false, PATIENCE, &failure) == POOL_OK); }

static void act_replace(void) { MUST(attachment_keep(&own, "model", &mine, true, PATIENCE, &failure) == POOL_OK); }

static void act_forget(void) { MUST(attachment_forget(&own, "model", PATIENCE, &failure) == POOL_OK); }

static void act_get(void) {
    struct pool_run run;
    MUST(attachment_get(&own, "model", &run) == POOL_OK);
    MUST(run.blocks == 2 && is_filled(&own, &run));
}

static void act_recover(void) {
    unsigned slots;
    uint64_t tickets;
    MUST(attachment_recover(&own, PATIENCE, -1, &slots, &tickets, &failure) == POOL_OK);
    MUST(slots == 1);
}

static void act_drop_tickets(void) {
    unsigned slots;
    uint64_t tickets;
    MUST(attachment_recover(&own, PATIENCE, 0, &slots, &tickets, &failure) == POOL_OK);
    MUST(tickets >= 1); /* perhaps one of a survivor's too: it then redeems a handle */
}

static void act_end_tickets(void) {
    unsigned slots;
    uint64_t tickets;
    MUST(attachment_recover(&own, 0, -1, &slots, &tickets, &failure) == POOL_OK);
    MUST(tickets == 1);
}

static void act_leave(void) { attachment_leave(&own, PATIENCE); }

static void act_wait(void) {
    struct pool_run run;
    uint32_t wait;
    MUST(attachment_wait_enter(&own, &wait) == POOL_OK);
    uint32_t sequence = attachment_wait_sequence(&own);
    if (attachment_allocate(&own, BLOCKS, 0, &run) != POOL_EXHAUSTED) {
        MUST(false);
    }
    attachment_wait_sleep(&own, sequence, 0.00005);
    MUST(attachment_wait_leave(&own, wait) == POOL_OK);
}

enum { CHILD_LIVES = 1, PARENT_LIVES };

/* The process of a fork that stays alive shows what it has, and ends when it is told to. */
static void take_part(uint32_t which) {
    board->slot = own.slot;
    board->ready = which;
    while (!board->go && !board->wrong) {
        usleep(50);
    }
    _exit(0);
}

static void attach_to_fork(void) {
    attach_redeem();
    own.on_fork = ON_FORK_SHARE;
    board->victims = allocate(&own, 3);
}

/* Which of the two lives on, for fork handlers that run closer to the fork than the library's. Between the first and
 * the others the library makes no atomic access. */
static uint32_t lives;

static void before_fork(void) { board->forking = lives != 0; }

static void after_fork_in_parent(void) { kill_at = lives == PARENT_LIVES ? 0 : kill_at; }

static void after_fork_in_child(void) { kill_at = lives == CHILD_LIVES ? 0 : kill_at; }

__attribute__((constructor(101))) static void handle_forks_too(void) {
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* The parent is killed, its child lives on. */
static void act_fork_parent(void) {
    lives = CHILD_LIVES;
    if (fork() == 0) {
        MUST(!attachment_is_stray(&own));
        take_part(CHILD_LIVES);
    }
}

/* The child is killed, its parent lives on. */
static void act_fork_child(void) {
    lives = PARENT_LIVES;
    pid_t child = fork();
    if (child == 0) {
        MUST(!attachment_is_stray(&own));
        struct pool_run run = allocate(&own, 2);
        drop(&own, &board->victims);
        drop(&own, &run);
        _exit(0);
    }
    int end = ended(child);
    MUST(end == 0 || end == -SIGKILL);
    board->completed = end == 0;
    take_part(PARENT_LIVES);
}

struct operation {
    const char *name;
    void (*given)(void);        /* the main process, before there is a victim */
    void (*first)(void);        /* the victim, before it counts */
    void (*act)(void);          /* the victim, counting */
    uint32_t least, most, done; /* tickets of the common run: after a kill, and after it was through */
    bool forks;
    struct {
        unsigned least, most, done; /* names in the same way */
    } names;
};

static const struct operation operations[] = {
    {"attach", nothing, nothing, attach, 0, 0, 0, false, {0, 0, 0}},
    {"allocate one", nothing, attach, act_allocate_one, 0, 0, 0, false, {0, 0, 0}},
    {"allocate run of 3", nothing, attach, act_allocate_run, 0, 0, 0, false, {0, 0, 0}},
    {"drop one", nothing, attach_allocate_one, act_drop, 0, 0, 0, false, {0, 0, 0}},
    {"drop, others hold it", give_held_with_ticket, attach_redeem, act_drop, 0, 0, 0, false, {0, 0, 0}},
    {"drop, last holder of a run", give_ticket, attach_redeem, act_drop, 0, 0, 0, false, {0, 0, 0}},
    {"free run of 3", nothing, attach_allocate_run, act_free, 0, 0, 0, false, {0, 0, 0}},
    {"free run of 3, with a row", nothing, attach_allocate_run_with_row, act_free, 0, 0, 0, false, {0, 0, 0}},
    {"free run of 3, held by a bit", give_ticket, attach_redeem, act_free, 0, 0, 0, false, {0, 0, 0}},
    {"share, others hold it", give_held, attach_redeem, act_share, 0, 1, 1, false, {0, 0, 0}},
    {"share, only holder", give_ticket, attach_redeem, act_share, 0, 1, 1, false, {0, 0, 0}},
    {"share with a lifetime, others hold it", give_held, attach_redeem, act_share_for, 0, 1, 1, false, {0, 0, 0}},
    {"share with a lifetime, only holder", give_ticket, attach_redeem, act_share_for, 0, 1, 1, false, {0, 0, 0}},
    {"redeem, only ticket", give_ticket, attach, act_redeem, 0, 1, 0, false, {0, 0, 0}},
    {"redeem, one of two tickets", give_held_with_two, attach, act_redeem, 1, 2, 1, false, {0, 0, 0}},
    {"redeem, handle", give_held, attach, act_redeem, 0, 0, 0, false, {0, 0, 0}},
    {"redeem, stale", give_held_with_ticket, attach, act_redeem_stale, 1, 1, 1, false, {0, 0, 0}},
    {"set a note", give_noted, attach_redeem, act_set_note, 0, 0, 0, false, {0, 0, 0}},
    {"allocate one, recorded", give_recorded, attach, act_allocate_one, 0, 0, 0, false, {0, 0, 0}},
    {"drop one, recorded", give_recorded, attach_allocate_one, act_drop, 0, 0, 0, false, {0, 0, 0}},
    {"record", give_unrecorded, attach, act_record, 0, 0, 0, false, {0, 0, 0}},
    {"keep", nothing, attach_allocate_run, act_keep, 0, 0, 0, false, {0, 1, 1}},
    {"keep, replacing", give_named, attach_allocate_run, act_replace, 0, 0, 0, false, {1, 1, 1}},
    {"forget", give_named, attach, act_forget, 0, 0, 0, false, {0, 1, 0}},
    {"get", give_named, attach, act_get, 0, 0, 0, false, {1, 1, 1}},
    {"recover", give_held, attach_beside_a_dead_one, act_recover, 0, 0, 0, false, {0, 0, 0}},
    {"recover, dropping tickets", give_ticket, attach, act_drop_tickets, 0, 1, 0, false, {0, 0, 0}},
    {"recover, dropping what has ended", give_ended, attach, act_end_tickets, 0, 1, 0, false, {0, 0, 0}},
    {"leave", give_held, attach_hold_all_kinds, act_leave, 0, 0, 0, false, {0, 0, 0}},
    {"wait", nothing, attach, act_wait, 0, 0, 0, false, {0, 0, 0}},
    {"fork, parent killed", give_held, attach_to_fork, act_fork_parent, 0, 0, 0, true, {0, 0, 0}},
    {"fork, child killed", give_held, attach_to_fork, act_fork_child, 0, 0, 0, true, {0, 0, 0}},
};

/* --- running them --- */

/* What the main process does when an overtaken victim calls: 1, the common run goes, and another begins in its place
 * (the survivors pause, or one of theirs might); 2, that one goes too. */
static bool tickets_for_innocents;

static void answer(uint32_t call) {
    struct pool_run rest[BLOCKS], gap[3], next;
    unsigned n = 0, gaps = 0;
    uint64_t place = common.run.index;
    if (call == 2) {
        if (common.there) {
            drop(&attachment, &common.run);
        }
        common.there = false;
        return;
    }
    pause_survivors();
    drop(&attachment, &common.run);
    common.there = false;
    while (attachment_allocate(&attachment, 1, 0, &next) == POOL_OK) {
        bool there = next.index - place < 3; /* not, if the victim holds the first one */
        common.there |= there;
        (there ? gap : rest)[there ? gaps++ : n++] = next;
    }
    while (gaps > 0) {
        drop(&attachment, &gap[--gaps]);
    }
    if (common.there) { /* the only room there is */
        common.run = allocate(&attachment, 3);
        MUST(common.run.index == place);
        struct pool_run again = common.run; /* so that the one who drops it has to look at its row */
        MUST(attachment_redeem(&attachment, &again) == POOL_OK);
        drop(&attachment, &again);
    }
    while (n > 0) {
        drop(&attachment, &rest[--n]);
    }
    if (common.there && tickets_for_innocents) {
        MUST(attachment_share(&attachment, &common.run, 1) == POOL_OK);
        common.least = common.most = 1;
    }
    resume_survivors();
}

static const struct operation *running;

static void victim(void) {
    operation_name = running->name;
    running->first();
    steps = 0;
    kill_at = point;
    call_at[0] = subpoint[0];
    call_at[1] = subpoint[1];
    running->act();
    kill_at = call_at[0] = call_at[1] = 0;
}

/* One point: a victim that is killed at its k-th access. Returns whether it was through before. */
static bool run_point(const struct operation *operation) {
    running = operation;
    operation_name = operation->name;
    memset(&common, 0, sizeof common);
    board->call = board->answered = board->forking = board->ready = board->go = board->completed = 0;
    operation->given();
    common.least = operation->least;
    common.most = operation->most;
    names.least = operation->names.least;
    names.most = operation->names.most;
    pid_t child = start(victim);
    int status = 0;
    bool alive = true;
    uint64_t participant = 0;
    for (double end = os_now() + PATIENCE; alive && board->ready != PARENT_LIVES; usleep(10)) {
        if (board->call != board->answered) {
            answer(board->call);
            board->answered = board->call;
        }
        alive = waitpid(child, &status, WNOHANG) == 0;
        MUST(os_now() < end);
        MUST(!board->wrong);
    }
    bool through = board->completed;
    if (!alive) {
        await_gone(child);
        MUST(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
        through = WIFEXITED(status);
    }
    if (through && common.there && operation->most) {
        common.least = common.most = operation->done;
    }
    if (through) {
        names.least = names.most = operation->names.done;
    }
    if (operation->forks && board->forking) {
        for (double end = os_now() + PATIENCE; !board->ready; usleep(20)) {
            MUST(os_now() < end);
            MUST(!board->wrong);
        }
        participant = bit_of(board->slot);
    }
    (void)recover(-1);
    pause_survivors();
    judge(participant);
    if (common.recorded) {
        judge_recording();
    }
    if (participant) {
        board->go = 1;
        MUST(waitpid(alive ? child : -1, &status, 0) > 0);
        await_gone(child);
        MUST(recover(-1) == 1);
        judge(0);
    }
    if (common.there && common.main_holds) {
        drop(&attachment, &common.run);
    }
    (void)recover(0); /* the tickets that are left */
    enum pool_status forgotten = attachment_forget(&attachment, "model", PATIENCE, &failure);
    MUST(forgotten == POOL_OK || (forgotten == POOL_NOT_FOUND && names.least == 0));
    names.least = names.most = 0;
    memset(&common, 0, sizeof common);
    judge(0);
    resume_survivors();
    return through;
}

static uint64_t total;

static void done(const char *what, uint64_t points) {
    printf("%s: %llu crash points, all survived\n", what, (unsigned long long)points);
    fflush(stdout);
    total += points;
}

static const char *only = ""; /* operations with this in their names */

static bool is_wanted(const char *operation) { return strstr(operation, only); }

static void run_operation(const struct operation *operation) {
    if (!is_wanted(operation->name)) {
        return;
    }
    uint64_t points = 0;
    int through = 0;
    subpoint[0] = subpoint[1] = 0;
    for (point = 1; through < ENOUGH; point++) {
        if (run_point(operation)) {
            through++;
        } else {
            through = 0;
            points++;
        }
    }
    done(operation->name, points);
}

/* Redeeming while the run goes at access s, and another comes in its place; and goes too, at access t. */
static void run_overtaken(bool goes_too) {
    const struct operation operation = {goes_too ? "redeem, overtaken twice" : "redeem, overtaken",
                                        give_held,
                                        attach,
                                        act_redeem_overtaken,
                                        0,
                                        0,
                                        0,
                                        false,
                                        {0, 0, 0}};
    uint64_t points = 0, accesses = 0;
    if (!is_wanted(operation.name)) {
        return;
    }
    subpoint[0] = subpoint[1] = 0;
    for (point = 1; !run_point(&operation); point++) {
        accesses = point;
    }
    accesses += 4; /* stepping back takes more */
    tickets_for_innocents = !goes_too;
    for (uint64_t s = 1; s <= accesses; s++) {
        for (uint64_t t = goes_too ? s + 1 : 0; t <= (goes_too ? accesses : 0); t++) {
            int through = 0;
            for (point = goes_too ? t : s; through < 1; point++) {
                subpoint[0] = s;
                subpoint[1] = t;
                if (run_point(&operation)) {
                    through++;
                } else {
                    points++;
                }
            }
        }
    }
    subpoint[0] = subpoint[1] = 0;
    tickets_for_innocents = false;
    done(operation.name, points);
}

/* --- a pool of the victim's own: created, and left by its last process --- */

static char own_name[96];
static const struct attachment_request own_request = {
    .name = own_name, .block_size = BLOCK, .blocks = BLOCKS, .processes = PROCESSES, .gate_seconds = PATIENCE};

static void create(void) { MUST(attachment_create(&own, &own_request, &failure) == POOL_OK); }

static void create_and_hold(void) {
    create();
    mine = allocate(&own, 3);
    MUST(attachment_share(&own, &mine, 2) == POOL_OK);
}

static const struct operation alone[] = {
    {"create", nothing, nothing, create, 0, 0, 0, false, {0, 0, 0}},
    {"leave, last process", nothing, create_and_hold, act_leave, 0, 0, 0, false, {0, 0, 0}},
};

static void run_alone(const struct operation *operation) {
    uint64_t points = 0;
    bool through = false;
    if (!is_wanted(operation->name)) {
        return;
    }
    running = operation;
    operation_name = operation->name;
    subpoint[0] = subpoint[1] = 0;
    for (point = 1; !through; point++) {
        struct attachment other;
        snprintf(own_name, sizeof own_name, "%s", process_name());
        int end = ended(start(victim));
        MUST(end == 0 || end == -SIGKILL);
        through = end == 0;
        points += !through;
        if (point % 2) {
            MUST(attachment_attach(&other, own_name, PATIENCE, &failure) == POOL_NOT_FOUND);
        } else { /* or the next one simply takes the name */
            MUST(attachment_create(&other, &own_request, &failure) == POOL_OK);
            MUST(bitmap_count(&other.shared.bitmap) == 0);
            attachment_leave(&other, PATIENCE);
            attachment_unmap(&other);
        }
        MUST(os_shm_open(own_name) == -ENOENT);
    }
    done(operation->name, points);
}

int main(int argc, char **argv) {
    bool debug = argc > 1 && strcmp(argv[1], "debug") == 0;
    if (argc > 1 + debug) {
        only = argv[1 + debug];
    }
    double began = os_now();
    process_begin();
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(board != MAP_FAILED);
    snprintf(name, sizeof name, "%s", process_name());
    struct attachment_request request = {.name = name,
                                         .block_size = BLOCK,
                                         .blocks = BLOCKS,
                                         .processes = PROCESSES,
                                         .debug = debug,
                                         .gate_seconds = PATIENCE};
    slack = debug ? 8 : 0;
    MUST(attachment_create(&attachment, &request, &failure) == POOL_OK);
    pid_t children[SURVIVORS] = {start(survive_first), start(survive_second)};
    while (__builtin_popcountll(used_in(attachment.memory, &attachment.geometry)) < 1 + (int)SURVIVORS) {
        usleep(100);
    }
    survivors = used_in(attachment.memory, &attachment.geometry) & ~bit_of(attachment.slot);
    for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++) {
        run_operation(&operations[i]);
    }
    run_overtaken(false);
    run_overtaken(true);
    for (unsigned i = 0; i < sizeof alone / sizeof *alone; i++) {
        run_alone(&alone[i]);
    }
    for (unsigned i = 0; i < SURVIVORS; i++) {
        kill(children[i], SIGKILL);
        MUST(ended(children[i]) == -SIGKILL);
    }
    MUST(recover(-1) == SURVIVORS);
    MUST(bitmap_count(&attachment.shared.bitmap) == 0);
    attachment_leave(&attachment, PATIENCE);
    attachment_unmap(&attachment);
    MUST(process_end() == 0);
    printf("%llu crash points in %.1f s\n", (unsigned long long)total, os_now() - began);
    return 0;
}
