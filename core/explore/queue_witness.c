/* queue_witness.c: see queue_witness.h. */
#include "queue_witness.h"

#include <limits.h>
#include <string.h>

#include "os/process.h"
#include "os/wait.h"
#include "shared/queue_check.h"

#define MOST_LETTERS 24u
#define MOST_RUNS 3u
#define POOL_BLOCKS 3u
#define ANNEX_BLOCKS 8u
#define BITMAP_BYTES 256u
#define SLOTS 8u
#define ENTRY_BYTES 64u
#define NOBODY PROCESSES
#define NEVER UINT_MAX
#define MOST_LOOKS 64u /* of one call for something that moves on: more is taken for a loop without end */

_Static_assert(SHARED_POOL_LEAST_ROW == 1, "rows of one word exist only in explorations");

enum doing {
    NOTHING,
    MAKING,
    PUTTING,
    TAKING,
    ENDING,
    RETURNING,
    DROPPING,
    READING,
    CLOSING,
    LEAVING,
    SHUTTING,
    RECOVERING
};

struct letter {
    unsigned sender;
    unsigned runs;                /* of the book, a bit each */
    struct queue_message message; /* as the one who has it sees it */
    unsigned begun, put;          /* when the call that put it began, and ended; or NEVER */
    bool ended;                   /* by its sender, before it was put, or dropped; or about to be */
    unsigned received;            /* how often */
    unsigned receiver;            /* who has it now, or had it last */
    bool taken, ending, done;     /* whether that one has it; ends it; ended it */
    bool returned;                /* or gave it back */
};

struct run {
    struct pool_run run;
    unsigned holders; /* a bit for each process */
};

/* All that a schedule begins with and changes; restored by one copy. */
static struct world {
    struct queues queues;
    struct shared_pool pool;
    struct queue queue;
    unsigned used, holders, left, unborn, may_run; /* a bit for each process */
    unsigned parent[PROCESSES];
    unsigned gate;
    enum doing doing[PROCESSES];
    unsigned excuses; /* letters that the dead may have taken with them */
    unsigned dead;    /* how many */
    bool shutting, shut, shut_all;
    unsigned moment;
    unsigned letters, runs, received;
    unsigned subscribers;        /* that hold publishers back, or may, a bit each */
    unsigned reading[PROCESSES]; /* the letter that a process has open, one up */
    atomic_half *asleep[PROCESSES];
    unsigned woken[2];
    struct letter book[MOST_LETTERS];
    struct run runs_of_the_pool[MOST_RUNS];
    struct shared_pool_waiting waiting;
    _Alignas(64) unsigned char bitmap[BITMAP_BYTES], small_bitmap[BITMAP_BYTES];
    _Alignas(64) unsigned char entries[POOL_BLOCKS][ENTRY_BYTES], small_entries[ANNEX_BLOCKS][ENTRY_BYTES];
    _Alignas(64) unsigned char memory[ANNEX_BLOCKS][MESSAGE_BLOCK];
} world, kept;
static void (*kept_by)(void);
static unsigned acting = RESIDENT; /* outside of all threads */
static bool in_bitmap[EXPLORE_THREADS + 1];
static char birth; /* where unborn children sleep */

static unsigned me(void) { return explore_thread() < EXPLORE_THREADS ? explore_thread() : acting; }

static bool is_dead(unsigned process) {
    unsigned step;
    return process < EXPLORE_THREADS && explore_stopped(process, &step);
}

/* Whether it has died or left: both give back what they had. */
static bool is_gone(unsigned process) { return is_dead(process) || world.left >> process & 1; }

/* --- the places to switch --- */

static bool is_within(const volatile void *word, const void *start, size_t bytes) {
    return (uintptr_t)word - (uintptr_t)start < bytes;
}

void explore_access(const volatile void *word);
void explore_access(const volatile void *word) {
    unsigned thread = explore_thread();
    if (thread == EXPLORE_THREADS) {
        return;
    }
    bool bitmap = is_within(word, world.bitmap, sizeof world.bitmap + sizeof world.small_bitmap);
    bool goes_on = bitmap && in_bitmap[thread];
    bool private = is_within(word, &world, offsetof(struct world, waiting)) || /* views, and the witness's own */
                   is_within(word, &world.waiting, sizeof world.waiting);      /* nobody waits for blocks */
    if (!private) {
        in_bitmap[thread] = bitmap;
        if (!goes_on) {
            explore_step();
        }
    }
}

/* --- the kernel, played --- */

uint32_t os_thread_number(void) { return me() + 1; }
void os_yield(void) { explore_yield(); }
pid_t os_process(void) { return (pid_t)me() + 1; }
uint32_t os_seconds(void) { return explore_thread() < EXPLORE_THREADS ? 10 : 0; }
double os_now(void) { return 0; }

static unsigned side_of(const atomic_half *word) { return word == &world.queue.header->writable.sequence; }

void os_wait_shared(atomic_half *word, uint32_t expected, double seconds) {
    (void)seconds; /* never over: a thread that is not woken sleeps forever */
    explore_step();
    if (*word == expected) {
        world.asleep[me()] = word;
        explore_sleep(word);
        world.asleep[me()] = NULL;
    }
}

unsigned os_wake_next_shared(atomic_half *word, unsigned most) {
    explore_step();
    (*word)++;
    unsigned woken = explore_wake_some(word, most);
    world.woken[side_of(word)] += woken;
    return woken;
}

void os_wake_all_shared(atomic_half *word) {
    explore_step();
    (void)explore_wake_some(word, EXPLORE_THREADS);
}

/* --- what is where --- */

static struct shared_pool *annex(void) { return &world.queues.annex; }
static struct queue *queue(void) { return &world.queue; }
static uint64_t head_of(const struct shared_pool *shared, uint64_t index) {
    return shared_pool_entry(shared, index)->head;
}
static uint64_t word_of(const struct letter *letter) {
    return shared_pool_entry(annex(), letter->message.run.index)->message;
}
static unsigned number_of(const struct letter *letter) { return (unsigned)(letter - world.book); }

/* The state of the letter's word; NONE if its block is another run's by now. */
static enum message_state state_of(const struct letter *letter) {
    uint64_t word = word_of(letter);
    return message_generation(word) == letter->message.run.generation ? message_state(word) : MESSAGE_NONE;
}

/* Counted from the first that was published; of one that was not, more than any. */
static uint64_t position_of(const struct letter *letter) {
    uint64_t position = letter->message.message->position;
    return position == MESSAGE_NOWHERE ? position : position - queue()->ring;
}

/* Which letters are in that state, a bit each. */
static unsigned in_state(enum message_state state) {
    unsigned letters = 0;
    for (unsigned l = 0; l < world.letters; l++) {
        letters |= (unsigned)(state_of(&world.book[l]) == state) << l;
    }
    return letters;
}

static bool is_topic(void) { return queue()->kind != QUEUE_IS_QUEUE; }

/* --- what must hold at any time --- */

static bool is_live(const struct shared_pool *shared, const struct pool_run *run) {
    uint64_t record = shared_pool_entry(shared, run->index)->run;
    return ledger_is_run_of(head_of(shared, run->index), run->generation) &&
           ledger_record_unpack(record).generation == run->generation;
}

static bool has_its_bytes(const struct letter *letter) {
    uint64_t bytes[2], number = number_of(letter);
    memcpy(bytes, letter->message.bytes, sizeof bytes);
    return bytes[0] == number && bytes[1] == ~number;
}

/* Whether the letter is to come, or somebody has it. */
static bool is_certain(const struct letter *letter) {
    enum message_state state = state_of(letter);
    return state == MESSAGE_QUEUED || state == MESSAGE_RETURNED ||
           (letter->taken && !letter->ending && !is_dead(letter->receiver));
}

static void must_be_live(void) {
    for (unsigned r = 0; r < world.runs; r++) {
        const struct run *run = &world.runs_of_the_pool[r];
        unsigned carriers = 0, holders = 0;
        for (unsigned l = 0; l < world.letters; l++) {
            carriers += (world.book[l].runs >> r & 1) && is_certain(&world.book[l]);
        }
        for (unsigned p = 0; p < PROCESSES; p++) {
            holders += (run->holders >> p & 1) && !is_dead(p);
        }
        if ((carriers || holders) && !is_live(&world.pool, &run->run)) {
            explore_fail("run %u is freed, and %u letters and %u processes have it", r, carriers, holders);
        }
    }
    for (unsigned l = 0; l < world.letters; l++) {
        const struct letter *letter = &world.book[l];
        if (is_certain(letter) && (!is_live(annex(), &letter->message.run) || !has_its_bytes(letter))) {
            explore_fail("letter %u is freed, and it is to come, or somebody has it", l);
        }
    }
    for (unsigned p = 0; p < PROCESSES; p++) {
        if (world.holders >> p & 1 && !is_dead(p) && !is_live(annex(), &queue()->run)) {
            explore_fail("process %u lost its queue", p);
        }
    }
}

static void begins(enum doing doing) { world.doing[me()] = doing; }

static void ends(void) {
    world.doing[me()] = NOTHING;
    must_be_live();
}

static void failed(const char *what, enum queue_status status) {
    explore_fail("process %u cannot %s: status %d", me(), what, (int)status);
}

void letters_stopped(void) {
    unsigned process = me();
    enum doing doing = world.doing[process];
    world.excuses += doing == DROPPING || doing == CLOSING || doing == LEAVING ||
                     (doing == TAKING && !(queue()->flags & QUEUE_REDELIVERS));
    for (unsigned l = 0; l < world.letters && doing == PUTTING && !world.shutting; l++) { /* what is published is put */
        struct letter *letter = &world.book[l];
        uint64_t position = letter->message.message->position;
        if (letter->sender == process && letter->put == NEVER && state_of(letter) == MESSAGE_PUTTING &&
            position != MESSAGE_NOWHERE &&
            queue()->cells[position & (queue()->ring - 1)] == cell_full(position, letter->message.run.index)) {
            letter->put = ++world.moment;
        }
    }
    world.dead++;
    explore_wake(&world.gate);
    explore_wake(&birth);
}

/* --- before a schedule --- */

bool letters_restore(void (*set_up)(void)) {
    acting = RESIDENT;
    memset(in_bitmap, 0, sizeof in_bitmap);
    if (kept_by == set_up) {
        memcpy(&world, &kept, sizeof world);
        return true;
    }
    return false;
}

void letters_keep(void (*set_up)(void)) {
    memcpy(&kept, &world, sizeof world);
    kept_by = set_up;
}

static void act_as(unsigned process) { acting = process; }

/* Adds the process to those that hold the run, in the book and by its bit or as its owner. */
static void hold(struct shared_pool *shared, unsigned process, struct pool_run run) {
    bool set;
    if (shared_pool_hold(shared, process, &run, &set) != SHARED_POOL_OK) {
        explore_fail("set-up: no hold");
    }
}

static void drop(struct shared_pool *shared, unsigned process, const struct pool_run *run) {
    bool last;
    if (shared_pool_drop(shared, process, run, &last) != SHARED_POOL_OK) {
        explore_fail("process %u cannot drop the run at %u", process, (unsigned)run->index);
    } else if (last) {
        shared_pool_finish(shared, run);
    }
}

/* The first of the mask. */
static unsigned first(unsigned processes) { return (unsigned)__builtin_ctz(processes); }

void letters_begin(const struct queue_request *request, unsigned holders, unsigned before) {
    memset(&world, 0, sizeof world);
    world.gate = NOBODY;
    world.used = EVERYBODY;
    struct shared_pool_parts parts = {world.bitmap, world.entries, &world.waiting, {NULL, NULL}};
    struct shared_pool_parts small = {world.small_bitmap, world.small_entries, &world.waiting, {NULL, NULL}};
    shared_pool_init(&world.pool, &parts, POOL_BLOCKS, 8, SLOTS);
    shared_pool_init(annex(), &small, ANNEX_BLOCKS, MESSAGE_BLOCK, SLOTS);
    struct bitmap fresh;
    bitmap_init(&fresh, world.bitmap, POOL_BLOCKS, true);
    bitmap_init(&fresh, world.small_bitmap, ANNEX_BLOCKS, true);
    queues_init(&world.queues, &world.pool, world.memory[0]);
    if (bitmap_bytes(ANNEX_BLOCKS) > BITMAP_BYTES || world.pool.entry_bytes != ENTRY_BYTES) {
        explore_fail("set-up: the parts have no room");
    }
    unsigned owner = first(holders);
    if (queue_make(&world.queues, owner, request, queue()) != QUEUE_OK) {
        explore_fail("set-up: no queue");
    }
    for (unsigned p = owner + 1; p < PROCESSES; p++) {
        if (holders >> p & 1) {
            hold(annex(), p, queue()->run);
        }
    }
    world.holders = holders;
    act_as(owner);
    for (unsigned i = 0; i < before; i++) {
        (void)process_send(0);
        if (!is_topic()) {
            (void)process_receive();
        }
    }
    if (!is_topic()) {
        world.letters = world.moment = world.received = 0;
    }
    act_as(RESIDENT);
}

unsigned letters_run(unsigned holders) {
    struct run *run = &world.runs_of_the_pool[world.runs];
    if (shared_pool_allocate(&world.pool, first(holders), 1, 0, 0, &run->run) != SHARED_POOL_OK) {
        explore_fail("set-up: no run");
    }
    for (unsigned p = first(holders) + 1; p < PROCESSES; p++) {
        if (holders >> p & 1) {
            hold(&world.pool, p, run->run);
        }
    }
    run->holders = holders;
    return world.runs++;
}

unsigned letters_made(unsigned process, unsigned runs) {
    act_as(process);
    unsigned letter = process_make(runs);
    act_as(RESIDENT);
    return letter;
}

unsigned letters_put(unsigned process, unsigned runs) {
    unsigned letter = letters_made(process, runs);
    act_as(process);
    if (!process_put(letter)) {
        explore_fail("set-up: the queue is full");
    }
    act_as(RESIDENT);
    return letter;
}

unsigned letters_taken(unsigned process) {
    act_as(process);
    unsigned letter = process_take();
    act_as(RESIDENT);
    return letter;
}

/* --- sending --- */

static struct letter *letter_at(unsigned letter) { return &world.book[letter]; }

unsigned process_make(unsigned runs) {
    if (world.letters == MOST_LETTERS) {
        explore_fail("the book is full");
    }
    begins(MAKING);
    struct queue_message message;
    enum queue_status status =
        queue_begin(queue(), me(), MESSAGE_IS_BYTES, (unsigned)__builtin_popcount(runs), 16, &message);
    if (status == QUEUE_NO_ROOM) {
        ends();
        return NO_LETTER;
    }
    if (status != QUEUE_OK) {
        failed("make a letter", status);
    }
    unsigned number = world.letters++;
    struct letter *letter = letter_at(number);
    *letter = (struct letter){.sender = me(), .message = message, .begun = NEVER, .put = NEVER, .receiver = NOBODY};
    memcpy(message.bytes, (uint64_t[2]){number, ~(uint64_t)number}, 16);
    for (unsigned r = 0; r < world.runs; r++) {
        if (runs >> r & 1) {
            letter->runs |= 1u << r;
            status = queue_carry(queue(), me(), &letter->message, &world.runs_of_the_pool[r].run);
            if (status != QUEUE_OK) {
                failed("let a letter carry a run", status);
            }
        }
    }
    ends();
    return number;
}

/* Whether somebody who lives slept through all of it, from when the sleepers were `before` and that many had been
 * woken: then nobody was woken for what has happened. */
static unsigned sleepers(const atomic_half *word) {
    unsigned asleep = 0;
    for (unsigned p = 0; p < EXPLORE_THREADS; p++) {
        asleep |= (unsigned)(world.asleep[p] == word && explore_sleeps(p) && !is_dead(p)) << p;
    }
    return asleep;
}

/* At the end, a living process that sleeps has nothing to wait for. */
static void nobody_must_sleep(void) {
    unsigned there = in_state(MESSAGE_QUEUED) | in_state(MESSAGE_RETURNED);
    unsigned asleep = sleepers(&queue()->header->readable.sequence);
    if (world.dead && there && asleep) {
        explore_fail("process %u sleeps after a recovery, and letter %u is there", first(asleep), first(there));
    }
}

static void must_have_woken(const struct queue_event *event, unsigned before, unsigned woken, const char *what) {
    unsigned through = sleepers(&event->sequence) & before;
    if (through && world.woken[side_of(&event->sequence)] == woken) {
        explore_fail("process %u sleeps through a %s", first(through), what);
    }
}

bool process_put(unsigned number) {
    struct letter *letter = letter_at(number);
    unsigned out = 0, subscribers = world.subscribers;
    unsigned before = sleepers(&queue()->header->readable.sequence), woken = world.woken[0];
    bool shut = world.shut;
    for (unsigned l = 0; l < world.letters; l++) { /* which are no longer in the queue */
        enum message_state state = state_of(letter_at(l));
        out |= (unsigned)(state != MESSAGE_QUEUED && state != MESSAGE_PUTTING) << l;
    }
    begins(PUTTING);
    letter->begun = ++world.moment;
    enum queue_status status = queue_put(queue(), me(), &letter->message);
    if (status == QUEUE_OK && queue_is_shut(queue()) && queue_withdraw(queue(), me(), &letter->message)) {
        letter->ended = true;
        ends();
        return false;
    }
    if (status == QUEUE_OK) {
        letter->put = ++world.moment;
        must_have_woken(&queue()->header->readable, before, woken, "put");
        if (shut) {
            explore_fail("process %u put a letter, and the queue was shut", me());
        }
        ends();
        return true;
    }
    letter->begun = NEVER;
    if (status == QUEUE_FULL && is_topic()) {
        if (!subscribers && !world.subscribers) {
            explore_fail("process %u is told that the topic is full, and nobody has a cursor", me());
        }
    } else if (status == QUEUE_FULL) {
        unsigned met = 0;
        for (unsigned l = 0; l < world.letters; l++) {
            met += l != number && letter_at(l)->begun != NEVER && !(out >> l & 1);
        }
        if (met < queue()->capacity) {
            explore_fail("process %u is told that the queue is full, and it met %u letters", me(), met);
        }
    } else if (status != QUEUE_SHUT || !world.shutting) {
        failed("put", status);
    }
    ends();
    return false;
}

bool process_put_or_end(unsigned number) {
    bool put = process_put(number);
    if (!put && !letter_at(number)->ended) {
        process_end(number);
    }
    return put;
}

bool process_send(unsigned runs) {
    unsigned letter = process_make(runs);
    return letter != NO_LETTER && process_put_or_end(letter);
}

void process_wait_put(unsigned letter) {
    for (;;) {
        uint32_t sequence = queue_event_wait(&queue()->header->writable);
        if (process_put(letter)) {
            return;
        }
        os_wait_shared(&queue()->header->writable.sequence, sequence, 1);
    }
}

/* --- receiving --- */

/* The letter that the message is. */
static unsigned recognize(const struct queue_message *message, const char *what) {
    uint64_t bytes[2];
    memcpy(bytes, message->bytes, sizeof bytes);
    if (bytes[0] >= world.letters || bytes[1] != ~bytes[0]) {
        explore_fail("process %u %s what nobody wrote", me(), what);
    }
    unsigned number = (unsigned)bytes[0];
    const struct letter *letter = letter_at(number);
    if (letter->message.run.index != message->run.index || letter->message.run.generation != message->run.generation) {
        explore_fail("process %u %s letter %u in another run", me(), what, number);
    }
    if (letter->begun == NEVER || letter->ended) {
        explore_fail("process %u %s letter %u, which was not put", me(), what, number);
    }
    return number;
}

static void receive(unsigned number, bool again) {
    struct letter *letter = letter_at(number);
    bool redelivers = queue()->flags & QUEUE_REDELIVERS;
    if (letter->received &&
        !(redelivers && (is_gone(letter->receiver) || letter->returned) && !letter->done && again)) {
        explore_fail("letter %u is received twice, by process %u and %u", number, letter->receiver, me());
    }
    if (again && !(redelivers && (world.dead || world.left || letter->returned))) {
        explore_fail("letter %u is marked AGAIN for nothing", number);
    }
    letter->received++;
    letter->receiver = me();
    letter->taken = true;
    letter->ending = letter->done = letter->returned = false;
    world.received++;
}

/* Whether somebody is returning letters: it says so after it has done it. */
static bool somebody_returns(void) {
    bool returns = false;
    for (unsigned p = 0; p < PROCESSES; p++) {
        enum doing doing = world.doing[p];
        returns |= (doing == RETURNING || doing == LEAVING || doing == RECOVERING) && world.used >> p & 1;
    }
    return returns;
}

unsigned process_take(void) {
    unsigned there = in_state(MESSAGE_QUEUED), returned = somebody_returns() ? 0 : in_state(MESSAGE_RETURNED);
    unsigned before = sleepers(&queue()->header->writable.sequence), woken = world.woken[1];
    struct queue_message message;
    begins(TAKING);
    enum queue_status status = queue_take(queue(), me(), &message);
    there &= in_state(MESSAGE_QUEUED);
    returned &= in_state(MESSAGE_RETURNED);
    if (status != QUEUE_OK) {
        if (status != QUEUE_EMPTY && !(status == QUEUE_SHUT && world.shutting)) {
            failed("take", status);
        }
        if ((there || returned) && !world.shut_all) {
            explore_fail("process %u finds nothing, and letter %u is there", me(), first(there ? there : returned));
        }
        ends();
        return NO_LETTER;
    }
    unsigned number = recognize(&message, "takes");
    for (unsigned l = 0; l < world.letters; l++) {
        if (there >> l & 1 && !message.again && letter_at(l)->put < letter_at(number)->begun) {
            explore_fail("process %u takes letter %u before letter %u, which was put before it", me(), number, l);
        }
    }
    receive(number, message.again);
    if (message.position != position_of(letter_at(number))) {
        explore_fail("process %u takes letter %u at %u, and it was put at %u", me(), number, (unsigned)message.position,
                     (unsigned)position_of(letter_at(number)));
    }
    letter_at(number)->message = message;
    must_have_woken(&queue()->header->writable, before, woken, "take");
    ends();
    return number;
}

unsigned process_wait_take(void) {
    for (;;) {
        uint32_t sequence = queue_event_wait(&queue()->header->readable);
        unsigned letter = process_take();
        if (letter != NO_LETTER || world.shutting) {
            return letter;
        }
        os_wait_shared(&queue()->header->readable.sequence, sequence, 1);
    }
}

void process_end(unsigned number) {
    struct letter *letter = letter_at(number);
    must_be_live();
    begins(ENDING);
    bool taken = letter->taken;
    letter->ending = taken;
    letter->ended = !taken;
    queue_end(queue(), me(), &letter->message);
    letter->taken = false;
    letter->done = taken;
    ends();
}

bool process_receive(void) {
    unsigned letter = process_take();
    if (letter != NO_LETTER) {
        process_end(letter);
    }
    return letter != NO_LETTER;
}

void process_drop_oldest(unsigned letter) {
    begins(DROPPING);
    queue_drop_oldest(queue(), me(), &letter_at(letter)->message);
    ends();
}

void process_return(unsigned number) {
    struct letter *letter = letter_at(number);
    must_be_live();
    begins(RETURNING);
    letter->taken = false;
    letter->returned = queue()->flags & QUEUE_REDELIVERS;
    letter->ending = letter->done = !letter->returned;
    queue_return(queue(), me(), &letter->message);
    ends();
}

/* --- runs --- */

void process_hold_runs(unsigned number) {
    struct letter *letter = letter_at(number);
    struct pool_run run;
    unsigned i = 0;
    for (unsigned r = 0; r < world.runs; r++) {
        if (!(letter->runs >> r & 1)) {
            continue;
        }
        struct run *known = &world.runs_of_the_pool[r];
        bool set;
        if (!queue_carried(&world.queues, &letter->message, i++, &run) || run.index != known->run.index ||
            run.generation != known->run.generation) {
            explore_fail("letter %u carries another run", number);
        }
        enum shared_pool_status status = shared_pool_hold(&world.pool, me(), &run, &set);
        if (status != SHARED_POOL_OK && !(status == SHARED_POOL_STALE && is_topic())) {
            explore_fail("process %u cannot hold run %u of letter %u: status %d", me(), r, number, (int)status);
        }
        if (status == SHARED_POOL_OK) {
            known->holders |= 1u << me();
        }
    }
    must_be_live();
}

void process_drop_runs(void) {
    must_be_live();
    for (unsigned r = 0; r < world.runs; r++) {
        struct run *run = &world.runs_of_the_pool[r];
        if (run->holders >> me() & 1) {
            run->holders &= ~(1u << me());
            drop(&world.pool, me(), &run->run);
        }
    }
    must_be_live();
}

/* --- topics --- */

unsigned process_read(uint64_t *position) {
    begins(READING);
    for (unsigned looks = 0; looks < MOST_LOOKS; looks++) {
        uint64_t at = *position, missed = 0;
        unsigned there = in_state(MESSAGE_QUEUED), begun = world.moment;
        struct pool_run run;
        bool set;
        enum queue_status status = queue_find(queue(), &at, &missed, &run);
        if (status != QUEUE_OK && status != QUEUE_EMPTY && !(status == QUEUE_SHUT && world.shutting)) {
            failed("find", status);
        }
        there &= in_state(MESSAGE_QUEUED);
        for (unsigned l = 0; l < world.letters; l++) {
            uint64_t p = position_of(letter_at(l));
            if (there >> l & 1 && p >= *position && (status != QUEUE_OK || p < at) && !world.shut_all) {
                explore_fail("process %u does not find letter %u, which is there", me(), l);
            }
        }
        if (status != QUEUE_OK) {
            ends();
            return NO_LETTER;
        }
        if (missed != at - *position) {
            explore_fail("process %u missed %u letters, and is told of %u", me(), (unsigned)(at - *position),
                         (unsigned)missed);
        }
        *position = at;
        run.blocks = 0;
        if (shared_pool_hold(annex(), me(), &run, &set) != SHARED_POOL_OK) {
            continue; /* it ended meanwhile */
        }
        struct queue_message message;
        status = queue_open(queue(), &run, &message);
        if (status != QUEUE_OK) {
            failed("open", status);
        }
        unsigned number = recognize(&message, "reads");
        if (message.position != at) {
            explore_fail("letter %u is read at %u, and says %u", number, (unsigned)at, (unsigned)message.position);
        }
        if (queue()->kind == QUEUE_IS_LATEST) {
            for (unsigned l = 0; l < world.letters; l++) {
                if (letter_at(l)->put <= begun && letter_at(l)->put < letter_at(number)->begun &&
                    position_of(letter_at(l)) > at && state_of(letter_at(l)) == MESSAGE_QUEUED) {
                    explore_fail("process %u finds letter %u, and letter %u is newer", me(), number, l);
                }
            }
        }
        world.reading[me()] = number + 1;
        letter_at(number)->message = message;
        ends();
        return number;
    }
    explore_fail("process %u reads without end", me());
    return NO_LETTER;
}

void process_close_letter(unsigned number) {
    const struct letter *letter = letter_at(number);
    if (!is_live(annex(), &letter->message.run) || !has_its_bytes(letter)) {
        explore_fail("process %u reads letter %u, and it is freed", me(), number);
    }
    world.reading[me()] = 0;
    drop(annex(), me(), &letter->message.run);
    must_be_live();
}

bool process_subscribe(unsigned *cursor, uint64_t *position) {
    world.subscribers |= 1u << me();
    enum queue_status status = queue_subscribe(queue(), me(), cursor, position);
    if (status == QUEUE_NO_CURSOR) {
        world.subscribers &= ~(1u << me());
        return false;
    }
    if (status != QUEUE_OK) {
        failed("subscribe", status);
    }
    return true;
}

void process_advance(unsigned cursor, uint64_t position) {
    unsigned before = sleepers(&queue()->header->writable.sequence), woken = world.woken[1];
    queue_advance(queue(), me(), cursor, position);
    must_have_woken(&queue()->header->writable, before, woken, "step of a cursor");
}

void process_unsubscribe(unsigned cursor) {
    queue_unsubscribe(queue(), me(), cursor);
    world.subscribers &= ~(1u << me());
}

/* --- coming and going --- */

void process_shut(bool for_all) {
    begins(SHUTTING);
    world.shutting = true;
    world.shut_all |= for_all;
    queue_shut(queue(), me(), for_all);
    world.shut = true;
    ends();
}

void process_close(void) {
    must_be_live();
    begins(CLOSING);
    world.holders &= ~(1u << me());
    drop(annex(), me(), &queue()->run);
    ends();
}

void process_fork(unsigned child) {
    world.unborn |= 1u << child;
    world.parent[child] = me();
    queues_fork(&world.queues, me(), child);
    world.holders |= (world.holders >> me() & 1) << child;
    world.unborn &= ~(1u << child);
    world.may_run |= 1u << child;
    explore_wake(&birth);
}

bool process_is_born(unsigned parent) {
    while (!(world.may_run >> me() & 1) && !is_dead(parent)) {
        explore_sleep(&birth);
    }
    return world.may_run >> me() & 1;
}

static void enter_gate(void) {
    explore_step();
    while (world.gate != NOBODY && !is_dead(world.gate)) {
        explore_sleep(&world.gate);
    }
    world.gate = me();
}

static void leave_gate(void) {
    explore_step();
    world.gate = NOBODY;
    explore_wake(&world.gate);
}

void process_recover(void) {
    struct slot_set dead = {{0}};
    unsigned gone = 0;
    begins(RECOVERING);
    enter_gate();
    for (unsigned p = 0; p < EXPLORE_THREADS; p++) {
        bool unborn = world.unborn >> p & 1 && is_dead(world.parent[p]);
        if (world.used >> p & 1 && (is_dead(p) || unborn)) {
            slot_set_add(&dead, p);
            gone |= 1u << p;
        }
    }
    if (gone) {
        /* as in recovery.c */
        queues_recover(&world.queues, &dead, LEDGER_RECOVERY);
        shared_pool_recover(annex(), &dead, LEDGER_RECOVERY, 0, ANNEX_BLOCKS);
        (void)shared_pool_mend(annex(), 0, ANNEX_BLOCKS);
        shared_pool_recover(&world.pool, &dead, LEDGER_RECOVERY, 0, POOL_BLOCKS);
        (void)shared_pool_mend(&world.pool, 0, POOL_BLOCKS);
        explore_step();
        world.used &= ~gone;
    }
    leave_gate();
    ends();
}

void process_drop_tickets(void) {
    enter_gate();
    uint32_t before = os_seconds() - 1;
    queues_renew_tickets(&world.queues, before + 1); /* as in recovery.c */
    (void)shared_pool_drop_tickets(&world.pool, before);
    leave_gate();
    must_be_live();
}

void process_recover_after(unsigned process) {
    (void)explore_join(process);
    process_recover();
}

void process_leave(void) {
    struct slot_set own = {{0}};
    slot_set_add(&own, me());
    begins(LEAVING);
    world.holders &= ~(1u << me());
    world.left |= 1u << me();
    for (unsigned r = 0; r < world.runs; r++) {
        world.runs_of_the_pool[r].holders &= ~(1u << me());
    }
    for (unsigned l = 0; l < world.letters; l++) {
        struct letter *letter = letter_at(l);
        letter->taken &= letter->receiver != me();
    }
    /* as in attachment.c */
    queues_recover(&world.queues, &own, me());
    shared_pool_recover(annex(), &own, me(), 0, ANNEX_BLOCKS);
    shared_pool_recover(&world.pool, &own, me(), 0, POOL_BLOCKS);
    enter_gate();
    world.used &= ~(1u << me());
    leave_gate();
    ends();
}

/* --- after a schedule --- */

/* No word says that the letter is on its way from one hand to another, or in a dead one's. */
static void words_must_rest(void) {
    for (uint64_t i = 0; i < ANNEX_BLOCKS; i++) {
        uint64_t head = head_of(annex(), i), word = shared_pool_entry(annex(), i)->message;
        if (ledger_is_head(head) && !ledger_is_live(head)) {
            explore_fail("block %u of the annex is about to be made or freed forever", (unsigned)i);
        }
        if (!ledger_is_live(head)) {
            continue;
        }
        const struct letter *letter = NULL;
        for (unsigned l = 0; l < world.letters; l++) {
            if (letter_at(l)->message.run.index == i &&
                letter_at(l)->message.run.generation == message_generation(word)) {
                letter = letter_at(l);
            }
        }
        switch (message_state(word)) {
        case MESSAGE_QUEUED:
            if (letter && letter->begun != NEVER && !letter->ended) {
                continue;
            }
            break;
        case MESSAGE_RETURNED:
            if (letter && queue()->flags & QUEUE_REDELIVERS && !letter->done) {
                continue;
            }
            break;
        case MESSAGE_TAKEN:
            if (letter && letter->taken && !letter->done && message_slot(word) == letter->receiver &&
                !is_dead(letter->receiver)) {
                continue;
            }
            break;
        case MESSAGE_PUTTING:
            if (letter && letter->put == NEVER && !letter->ended && message_slot(word) == letter->sender &&
                !is_dead(letter->sender)) {
                continue;
            }
            break;
        case MESSAGE_IS_QUEUE:
            continue;
        case MESSAGE_NONE: { /* a message that ended, and that somebody still reads */
            unsigned readers = 0;
            for (unsigned p = 0; p < PROCESSES; p++) {
                readers += world.reading[p] && letter_at(world.reading[p] - 1)->message.run.index == i && !is_dead(p);
            }
            if (readers) {
                continue;
            }
            break;
        }
        default:
            break;
        }
        explore_fail("block %u of the annex has the word %llx forever", (unsigned)i, (unsigned long long)word);
    }
}

static void must_be_sound(bool alone) {
    struct slot_set used = {{world.used}};
    struct shared_pool_fault fault;
    struct shared_pool_audit audit = {0};
    if (alone) {
        shared_pool_check(&world.pool, &used, true, true, &fault, 1, &audit);
    }
    queues_check(&world.queues, &used, alone, alone, &fault, 1, &audit);
    if (audit.faults) {
        explore_fail("an audit%s finds a fault of kind %u at %u", alone ? "" : " beside others", (unsigned)fault.kind,
                     (unsigned)fault.index);
    }
    if (alone && audit.in_transit) {
        explore_fail("%u blocks are in transit forever", (unsigned)audit.in_transit);
    }
}

void process_look(void) { must_be_sound(false); }

/* What was put is received, or there, or was dropped, or lost with its receiver. */
static void must_be_complete(void) {
    unsigned missing = 0, in = in_state(MESSAGE_QUEUED) | in_state(MESSAGE_RETURNED), last = 0;
    for (unsigned l = 0; l < world.letters; l++) {
        const struct letter *letter = letter_at(l);
        bool lost = letter->put != NEVER && !letter->received && !(in >> l & 1);
        bool undone = letter->received && !letter->ending && is_dead(letter->receiver) && !(in >> l & 1) &&
                      queue()->flags & QUEUE_REDELIVERS;
        missing += lost || undone;
        last = lost || undone ? l : last;
    }
    if (world.shut_all) {
        return;
    }
    unsigned dropped = (unsigned)queue()->header->lost;
    if (missing < dropped || missing > dropped + world.excuses) {
        explore_fail("%u letters are missing, letter %u among them; %u were dropped, and %u the dead may have had",
                     missing, last, dropped, world.excuses);
    }
}

/* What living processes have, they can end. */
static void end_all(void) {
    for (unsigned p = 0; p < PROCESSES; p++) {
        act_as(p);
        if (is_dead(p) || !(world.used >> p & 1)) {
            continue;
        }
        if (world.reading[p]) {
            process_close_letter(world.reading[p] - 1);
        }
        for (unsigned l = 0; l < world.letters; l++) {
            const struct letter *letter = letter_at(l);
            bool mine = letter->taken ? letter->receiver == p
                                      : letter->put == NEVER && !letter->ended && letter->sender == p &&
                                            state_of(letter) == MESSAGE_PUTTING;
            if (mine && !letter->done) {
                process_end(l);
            }
        }
    }
}

/* All that is there comes; then there is room for as many letters as there should be, and they come in order. */
static void queue_must_work(unsigned process) {
    act_as(process);
    while (process_receive()) {
    }
    if (!world.shut_all && (in_state(MESSAGE_QUEUED) | in_state(MESSAGE_RETURNED))) {
        explore_fail("letter %u never comes", first(in_state(MESSAGE_QUEUED) | in_state(MESSAGE_RETURNED)));
    }
    if (world.shutting) {
        return;
    }
    uint64_t fits = 0;
    unsigned letter = process_make(0), oldest = letter;
    while (process_put(letter)) {
        fits++;
        letter = process_make(0);
    }
    process_end(letter);
    if (fits != queue()->capacity) {
        explore_fail("the queue has room for %u letters, and should have for %u", (unsigned)fits,
                     (unsigned)queue()->capacity);
    }
    for (uint64_t i = 0; i < fits; i++) {
        unsigned next = process_take();
        if (next != oldest + i) {
            explore_fail("letter %u comes for letter %u", next, (unsigned)(oldest + i));
        }
        process_end(next);
    }
}

/* Later letters push out all that were there; readers from the beginning find as many as there should be. */
static void topic_must_work(unsigned process) {
    act_as(process);
    for (unsigned p = 0; p < EXPLORE_THREADS; p++) {
        world.subscribers &= ~((unsigned)is_dead(p) << p);
    }
    for (unsigned c = 0; c < queue()->cursor_count; c++) {
        if (queue()->cursors[c] && !world.subscribers) {
            explore_fail("cursor %u is nobody's, and taken", c);
        }
    }
    if (world.shutting || world.subscribers) {
        return;
    }
    unsigned old = world.letters;
    for (uint64_t i = 0; i < queue()->capacity; i++) {
        if (!process_send(0)) {
            explore_fail("nothing can be published");
        }
    }
    for (unsigned l = 0; l < old; l++) {
        if (state_of(letter_at(l)) == MESSAGE_QUEUED) {
            explore_fail("letter %u is never pushed out", l);
        }
    }
    uint64_t position = 0;
    for (uint64_t i = 0; i < queue()->capacity; i++, position++) {
        unsigned letter = process_read(&position);
        if (letter != old + i) {
            explore_fail("letter %u is read for letter %u", letter, (unsigned)(old + i));
        }
        process_close_letter(letter);
    }
}

static void must_be_free(const struct shared_pool *shared, const char *which) {
    for (uint64_t i = 0; i < shared->blocks; i++) {
        const struct shared_pool_entry *entry = shared_pool_entry(shared, i);
        bool set = ((const atomic_word *)shared->bitmap.words)[0] >> i & 1;
        if (entry->head != LEDGER_FREE || entry->message || entry->row[0] || set) {
            explore_fail(
                "all let go, and block %u of the %s has the head %llx, the word %llx, the row %llx, the bit %d",
                (unsigned)i, which, (unsigned long long)entry->head, (unsigned long long)entry->message,
                (unsigned long long)entry->row[0], (int)set);
        }
    }
}

/* But for one that each of the dead was making or dropping. */
static void tickets_must_be_gone(void) {
    uint64_t tickets = 0;
    for (uint64_t i = 0; i < POOL_BLOCKS; i++) {
        tickets += ledger_is_live(head_of(&world.pool, i)) ? ledger_tickets(head_of(&world.pool, i)) : 0;
    }
    if (tickets > world.dead) {
        explore_fail("%u tickets are left that are no letter's", (unsigned)tickets);
    }
    (void)shared_pool_drop_tickets(&world.pool, UINT32_MAX);
}

void letters_at_rest(void) {
    act_as(RESIDENT);
    process_recover();
    must_be_live();
    words_must_rest();
    nobody_must_sleep();
    must_be_sound(true);
    unsigned living = world.holders;
    for (unsigned p = 0; p < PROCESSES; p++) {
        living &= ~((unsigned)is_dead(p) << p);
    }
    end_all();
    if (living && !is_topic()) {
        must_be_complete();
        queue_must_work(first(living));
        must_be_complete();
    } else if (living) {
        topic_must_work(first(living));
    }
    for (unsigned p = 0; p < PROCESSES; p++) {
        if (!is_dead(p) && world.used >> p & 1) {
            act_as(p);
            process_drop_runs();
            if (world.holders >> p & 1) {
                process_close();
            }
        }
    }
    tickets_must_be_gone();
    must_be_free(&world.pool, "pool");
    must_be_free(annex(), "annex");
}

unsigned letters_received(void) { return world.received; }
