/* Tests of queue_check.c: each fault that can be written by hand is found where it is, and nothing else; and what
 * others do in the middle of an audit is no fault. That no step of theirs looks like one is tested in test_queue.c. */
#include "accesses.h"

#include "shared/queue_check.c"

#include "check.h"
#include "sets.h"

#define BLOCKS 60u
#define SMALL 64u
#define ME 0u
#define YOU 1u
#define FREE 5u /* a slot that nobody uses */
#define MOST 32u

static struct layout_geometry geometry;
static struct shared_pool pool;
static struct queues queues;
static struct queue queue, topic;
static struct queue_message waiting, taken, returned, made, published;
static struct pool_run carried, in_made, twice;
static struct shared_pool_fault faults[MOST];
static struct shared_pool_audit audit;
static unsigned cursor;
static void *memory;

static atomic_word *word_at(const struct pool_run *run) {
    return &shared_pool_entry(&queues.annex, run->index)->message;
}
static atomic_word *head_of(const struct pool_run *run) { return &shared_pool_entry(&queues.annex, run->index)->head; }
static atomic_word *word_of_run(const struct pool_run *run) { return &shared_pool_entry(&pool, run->index)->message; }
static atomic_word *head_of_run(const struct pool_run *run) { return &shared_pool_entry(&pool, run->index)->head; }
static atomic_word *cell_at(const struct queue *whose, uint64_t position) {
    return &whose->cells[position & (whose->ring - 1)];
}

static struct pool_run allocate(void) {
    struct pool_run run = {BITMAP_NONE, 0, 0};
    CHECK(shared_pool_allocate(&pool, ME, 2, 0, 0, &run), ==, SHARED_POOL_OK);
    return run;
}

static struct queue_message begin(struct queue *whose, unsigned slot, const struct pool_run *run) {
    struct queue_message message;
    CHECK(queue_begin(whose, slot, MESSAGE_IS_BYTES, 3, 8, &message), ==, QUEUE_OK);
    if (run) {
        CHECK(queue_carry(whose, slot, &message, run), ==, QUEUE_OK);
    }
    return message;
}

static struct queue_message put(struct queue *whose, unsigned slot, const struct pool_run *run) {
    struct queue_message message = begin(whose, slot, run);
    CHECK(queue_put(whose, slot, &message), ==, QUEUE_OK);
    return message;
}

/* A queue with a message in every state, and a topic that has been lapped and has a reader. */
static void make(void) {
    uint64_t position;
    bool last;
    memset(&geometry, 0, sizeof geometry);
    CHECK(layout_plan(&geometry, 64, BLOCKS, 8, SMALL), ==, true);
    memory = aligned_alloc(4096, geometry.data_at);
    memset(memory, 0, geometry.data_at);
    layout_make(memory, &geometry);
    layout_init(&pool, &queues.annex, memory, &geometry);
    queues_init(&queues, &pool, layout_small(memory, &geometry));
    struct queue_request of_queue = {QUEUE_IS_QUEUE, 5, QUEUE_REDELIVERS}, of_topic = {QUEUE_IS_TOPIC, 2, 0};
    CHECK(queue_make(&queues, ME, &of_queue, &queue), ==, QUEUE_OK);
    CHECK(queue_make(&queues, ME, &of_topic, &topic), ==, QUEUE_OK);
    carried = allocate();
    in_made = allocate();
    twice = allocate();
    (void)put(&queue, ME, NULL);
    (void)put(&queue, ME, &twice);
    (void)put(&queue, ME, NULL);
    waiting = put(&queue, ME, &carried);
    CHECK(queue_carry(&queue, ME, &waiting, &twice), ==, QUEUE_OK); /* a ticket; in a message that nobody reads yet */
    CHECK(queue_take(&queue, YOU, &returned), ==, QUEUE_OK);
    queue_return(&queue, YOU, &returned);
    CHECK(queue_take(&queue, YOU, &made), ==, QUEUE_OK); /* the returned one */
    queue_return(&queue, YOU, &made);
    struct queue_message second;
    CHECK(queue_take(&queue, ME, &second), ==, QUEUE_OK);
    CHECK(queue_take(&queue, YOU, &taken), ==, QUEUE_OK);
    queue_return(&queue, ME, &second);
    returned = second;
    made = begin(&queue, ME, &in_made);
    for (unsigned i = 0; i < 7; i++) {
        published = put(&topic, YOU, NULL);
    }
    CHECK(queue_subscribe(&topic, YOU, &cursor, &position), ==, QUEUE_OK);
    CHECK(shared_pool_drop(&pool, ME, &carried, &last), ==, SHARED_POOL_OK);
}

static void unmake(void) { free(memory); }

static void check(bool alone) {
    const struct slot_set used = set_of(bit_of(ME) | bit_of(YOU));
    audit = (struct shared_pool_audit){0};
    queues_check(&queues, &used, alone, false, faults, MOST, &audit);
}

/* Exactly these faults of this kind, at these blocks; whether or not others are at work. */
static void faulty(enum shared_pool_fault_kind kind, uint64_t index) {
    for (unsigned alone = 0; alone < 2; alone++) {
        check(alone);
        bool found = false;
        for (uint64_t i = 0; i < audit.faults && i < MOST; i++) {
            found |= faults[i].kind == kind && faults[i].index == index;
        }
        CHECK(found, ==, true);
        if (!found) {
            printf("  wanted kind %d at %llu; first: kind %d at %llu\n", (int)kind, (unsigned long long)index,
                   (int)faults[0].kind, (unsigned long long)faults[0].index);
        }
    }
}

/* Nothing while others may be at work; this fault if none is. */
static void half(enum shared_pool_fault_kind kind, uint64_t index) {
    check(false);
    CHECK(audit.faults, ==, 0);
    check(true);
    CHECK(audit.faults, >=, 1);
    CHECK(faults[0].kind, ==, kind);
    CHECK(faults[0].index, ==, index);
}

static void sound(void) {
    for (unsigned alone = 0; alone < 2; alone++) {
        check(alone);
        CHECK(audit.faults, ==, 0);
        if (audit.faults) {
            printf("  first fault: kind %d at %llu\n", (int)faults[0].kind, (unsigned long long)faults[0].index);
        }
    }
}

/* Writes the word, expects the fault, and restores it. */
static void with(atomic_word *word, uint64_t value, enum shared_pool_fault_kind kind, uint64_t index) {
    uint64_t was = load_seq(word);
    store_seq(word, value);
    faulty(kind, index);
    store_seq(word, was);
    sound();
}

static void what_is_right_is_no_fault(void) {
    make();
    sound();
    unmake();
}

static void the_ledger_of_the_annex_is_audited(void) {
    make();
    struct shared_pool_entry *free_one = shared_pool_entry(&queues.annex, SMALL - 1);
    with(&free_one->head, ledger_tail(3), SHARED_POOL_FAULT_ANNEX, SMALL - 1);
    with(&free_one->head, ledger_live(FREE, 1), SHARED_POOL_FAULT_ANNEX, SMALL - 1);
    with(&free_one->row[0], bit_of(FREE), SHARED_POOL_FAULT_ANNEX, SMALL - 1);
    CHECK(bitmap_claim_range(&queues.annex.bitmap, SMALL - 1, 1), ==, true);
    half(SHARED_POOL_FAULT_ANNEX, SMALL - 1);
    unmake();
}

static void a_run_and_the_message_that_carries_it_must_agree(void) {
    make();
    with(word_of_run(&carried), 0, SHARED_POOL_FAULT_CARRIED, carried.index);
    with(word_of_run(&carried), message_carries(SMALL, 1), SHARED_POOL_FAULT_CARRIED, carried.index);
    with(word_of_run(&carried), message_carries(waiting.run.index, waiting.run.generation + 1),
         SHARED_POOL_FAULT_CARRIED, carried.index);
    with(word_of_run(&carried), message_carries(taken.run.index, taken.run.generation), SHARED_POOL_FAULT_CARRIED,
         carried.index); /* which does not list it */
    with(word_of_run(&carried), message_carries(queue.run.index, queue.run.generation), SHARED_POOL_FAULT_CARRIED,
         carried.index);
    with(word_of_run(&carried), message_word(MESSAGE_QUEUED, LEDGER_NOBODY, 1), SHARED_POOL_FAULT_CARRIED,
         carried.index);
    with(head_of_run(&carried), load_seq(head_of_run(&carried)) ^ LEDGER_CARRIED, SHARED_POOL_FAULT_MESSAGE,
         waiting.run.index); /* it lists a run that it does not hold */
    with(head_of_run(&twice), load_seq(head_of_run(&twice)) ^ LEDGER_CARRIED, SHARED_POOL_FAULT_MESSAGE,
         taken.run.index);
    struct pool_run other = allocate();
    with(head_of_run(&other), load_seq(head_of_run(&other)) | LEDGER_CARRIED, SHARED_POOL_FAULT_CARRIED, other.index);
    with(word_of_run(&other), message_word(MESSAGE_TAKEN, ME, 1), SHARED_POOL_FAULT_CARRIED, other.index);
    store_seq(word_of_run(&other),
              message_carries(made.run.index, made.run.generation)); /* named, and not carried yet */
    half(SHARED_POOL_FAULT_CARRIED, other.index);
    unmake();
}

static void a_message_must_be_whole_and_in_hands_that_are_there(void) {
    make();
    const struct queue_message *all[] = {&waiting, &taken, &returned, &made, &published};
    for (unsigned i = 0; i < 5; i++) {
        uint64_t word = load_seq(word_at(&all[i]->run)), block = all[i]->run.index;
        struct message *message = all[i]->message;
        with(word_at(&all[i]->run), word + 1, SHARED_POOL_FAULT_MESSAGE, block); /* another generation */
        with(word_at(&all[i]->run), message_carries(1, 1), SHARED_POOL_FAULT_MESSAGE, block);
        with(word_at(&all[i]->run), message_change(word, message_state(word), FREE), SHARED_POOL_FAULT_MESSAGE, block);
        with(word_at(&all[i]->run), message_change(word, message_state(word), 8), SHARED_POOL_FAULT_MESSAGE, block);
        with(head_of(&all[i]->run), LEDGER_FREE, SHARED_POOL_FAULT_MESSAGE, block);
        uint32_t most = message->most, count = message->count;
        uint64_t bytes = message->bytes;
        message->most = MESSAGE_MOST_RUNS + 1;
        faulty(SHARED_POOL_FAULT_MESSAGE, block);
        message->most = most;
        message->count = most + 1;
        faulty(SHARED_POOL_FAULT_MESSAGE, block);
        message->count = count;
        message->bytes = 4096;
        faulty(SHARED_POOL_FAULT_MESSAGE, block);
        message->bytes = UINT64_MAX;
        faulty(SHARED_POOL_FAULT_MESSAGE, block);
        message->bytes = bytes;
        sound();
        if (i < 3) {
            with(head_of(&all[i]->run), load_seq(head_of(&all[i]->run)) ^ LEDGER_CARRIED, SHARED_POOL_FAULT_MESSAGE,
                 block);
        }
    }
    store_seq(word_at(&made.run), message_word(MESSAGE_ENDING, LEDGER_RECOVERY, made.run.generation));
    half(SHARED_POOL_FAULT_MESSAGE, made.run.index); /* a recovery that died: the next one ends it */
    unmake();
}

static void a_message_must_have_a_queue_and_a_place(void) {
    make();
    with(&waiting.message->queue, 0, SHARED_POOL_FAULT_MESSAGE, waiting.run.index);
    with(&waiting.message->queue, queue.run.index << 40 | (queue.run.generation + 1), SHARED_POOL_FAULT_MESSAGE,
         waiting.run.index);
    with(&returned.message->queue, UINT64_MAX, SHARED_POOL_FAULT_MESSAGE, returned.run.index);
    with(&waiting.message->position, 3, SHARED_POOL_FAULT_MESSAGE, waiting.run.index);
    with(&waiting.message->position, MESSAGE_NOWHERE, SHARED_POOL_FAULT_MESSAGE, waiting.run.index);
    uint64_t at = load_seq(&waiting.message->position), before = load_seq(&returned.message->position);
    with(cell_at(&queue, at), cell_empty(at + queue.ring), SHARED_POOL_FAULT_MESSAGE, waiting.run.index);
    store_seq(&queue.header->head, before); /* as it was when the returned one was in the ring */
    with(cell_at(&queue, before), cell_full(before, returned.run.index), SHARED_POOL_FAULT_MESSAGE, returned.run.index);
    unmake();
}

static void a_cell_must_name_a_message_of_its_queue_and_position(void) {
    make();
    uint64_t at = load_seq(&waiting.message->position), next = load_seq(&queue.header->tail);
    static const uint64_t laps[] = {2, 3,
                                    1000}; /* one is what a sender leaves that stopped before it pushed the tail */
    with(cell_at(&queue, at), cell_full(at, SMALL), SHARED_POOL_FAULT_CELL, queue.run.index);
    with(cell_at(&queue, at), cell_full(at, SMALL - 1), SHARED_POOL_FAULT_CELL, queue.run.index);
    with(cell_at(&queue, at), cell_full(at, queue.run.index), SHARED_POOL_FAULT_CELL, queue.run.index);
    with(cell_at(&queue, at), cell_full(at, published.run.index), SHARED_POOL_FAULT_CELL, queue.run.index);
    with(cell_at(&queue, at), cell_full(at, returned.run.index), SHARED_POOL_FAULT_CELL, queue.run.index);
    with(cell_at(&queue, at), cell_full(at + 1, waiting.run.index), SHARED_POOL_FAULT_CELL, queue.run.index);
    with(cell_at(&queue, at), cell_empty(at + queue.ring) | 3, SHARED_POOL_FAULT_CELL, queue.run.index);
    with(cell_at(&queue, at), UINT64_MAX, SHARED_POOL_FAULT_CELL, queue.run.index);
    with(cell_at(&queue, at), 0, SHARED_POOL_FAULT_CELL, queue.run.index);
    for (unsigned i = 0; i < 3; i++) {
        with(cell_at(&queue, next), cell_empty(next + laps[i] * queue.ring), SHARED_POOL_FAULT_CELL, queue.run.index);
        with(cell_at(&topic, 0), cell_empty(laps[i] * 1000 * topic.ring), SHARED_POOL_FAULT_CELL, topic.run.index);
    }
    with(cell_at(&queue, next), cell_empty(next - queue.ring), SHARED_POOL_FAULT_CELL, queue.run.index);
    with(cell_at(&queue, next), cell_full(next, waiting.run.index), SHARED_POOL_FAULT_CELL, queue.run.index);
    unmake();
}

static void a_queue_must_be_what_its_header_says(void) {
    make();
    struct queue *both[] = {&queue, &topic};
    for (unsigned i = 0; i < 2; i++) {
        struct queue_header *header = both[i]->header, was = {0};
        uint64_t block = both[i]->run.index;
        memcpy(&was, header, sizeof was);
        header->kind = QUEUE_KINDS;
        faulty(SHARED_POOL_FAULT_QUEUE, block);
        header->kind = was.kind;
        header->capacity = 0;
        faulty(SHARED_POOL_FAULT_QUEUE, block);
        header->capacity = UINT64_MAX;
        faulty(SHARED_POOL_FAULT_QUEUE, block);
        header->capacity = was.capacity;
        header->ring *= 2;
        faulty(SHARED_POOL_FAULT_QUEUE, block);
        header->ring = was.ring;
        header->cursors += 1;
        faulty(SHARED_POOL_FAULT_QUEUE, block);
        header->cursors = was.cursors;
        sound();
        with(head_of(&both[i]->run), LEDGER_FREE, SHARED_POOL_FAULT_QUEUE, block);
        with(word_at(&both[i]->run), load_seq(word_at(&both[i]->run)) + 1, SHARED_POOL_FAULT_QUEUE, block);
        with(&header->head, load_seq(&header->head) + 3 * both[i]->ring, SHARED_POOL_FAULT_CELL, block);
        with(&header->tail, load_seq(&header->tail) - 3 * both[i]->ring, SHARED_POOL_FAULT_CELL, block);
    }
    with(&topic.cursors[7], cursor_word(FREE, 5), SHARED_POOL_FAULT_QUEUE, topic.run.index);
    with(&topic.cursors[cursor], UINT64_MAX, SHARED_POOL_FAULT_QUEUE, topic.run.index);
    unmake();
}

static void faults_past_those_that_fit_are_counted(void) {
    make();
    const uint64_t many = 20;
    for (uint64_t i = 0; i < many; i++) {
        store_seq(&shared_pool_entry(&queues.annex, SMALL - 1 - i)->message, message_carries(1, 1));
        store_seq(&shared_pool_entry(&queues.annex, SMALL - 1 - i)->head, ledger_tail(100 + i));
    }
    check(false);
    CHECK(audit.faults, ==, 2 * many);
    audit.faults = MOST - 1;
    const struct slot_set used = set_of(bit_of(ME) | bit_of(YOU));
    queues_check(&queues, &used, false, false, faults, MOST, &audit);
    CHECK(audit.faults, ==, MOST - 1 + 2 * many);
    queues_check(&queues, &used, false, false, faults, MOST, &audit);
    CHECK(audit.faults, ==, MOST - 1 + 4 * many);
    unmake();
}

/* --- what others do meanwhile --- */

static void a_message_comes(void) { (void)put(&queue, ME, &carried); }
static void messages_go(void) {
    struct queue_message message;
    for (unsigned i = 0; i < 3 && queue_take(&queue, YOU, &message) == QUEUE_OK; i++) {
        queue_end(&queue, YOU, &message);
    }
}
static void a_message_comes_back(void) { queue_return(&queue, YOU, &taken); }
static void messages_come_and_go(void) { /* at the same places, for more than a lap */
    for (unsigned i = 0; i < 12; i++) {
        messages_go();
        (void)put(&queue, ME, i % 2 ? &in_made : NULL);
        (void)put(&queue, YOU, NULL);
    }
}
static void a_topic_goes_on(void) {
    uint64_t at = load_seq(&topic.header->tail) - topic.ring;
    queue_advance(&topic, YOU, cursor, at);
    for (unsigned i = 0; i < 9; i++) {
        queue_advance(&topic, YOU, cursor, at + i);
        (void)put(&topic, ME, &in_made);
    }
}
static void a_queue_goes_and_another_comes(void) {
    struct queue_request request = {QUEUE_IS_QUEUE, 3, 0};
    bool last;
    CHECK(shared_pool_drop(&queues.annex, ME, &topic.run, &last), ==, SHARED_POOL_OK);
    CHECK(last, ==, true);
    shared_pool_finish(&queues.annex, &topic.run);
    CHECK(queue_make(&queues, ME, &request, &topic), ==, QUEUE_OK);
    (void)put(&topic, ME, NULL);
}
static void messages_end(void) {
    queue_end(&queue, YOU, &taken);
    queue_end(&queue, ME, &made);
    messages_go();
}

static void what_others_do_during_an_audit_is_no_fault(void) {
    static void (*const acts[])(void) = {
        a_message_comes, messages_go,  a_message_comes_back,          messages_come_and_go,
        a_topic_goes_on, messages_end, a_queue_goes_and_another_comes};
    for (unsigned a = 0; a < sizeof acts / sizeof *acts; a++) {
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            make();
            struct pool_run held = carried;
            bool set;
            CHECK(shared_pool_hold(&pool, ME, &held, &set), ==, SHARED_POOL_OK); /* to put it again */
            at_access(k, acts[a]);
            check(false);
            came = access_came();
            CHECK(audit.faults, ==, 0);
            if (audit.faults) {
                printf("  act %u at access %llu: kind %d at %llu\n", a, (unsigned long long)k, (int)faults[0].kind,
                       (unsigned long long)faults[0].index);
            }
            unmake();
        }
    }
}

int main(void) {
    RUN(what_is_right_is_no_fault);
    RUN(the_ledger_of_the_annex_is_audited);
    RUN(a_run_and_the_message_that_carries_it_must_agree);
    RUN(a_message_must_be_whole_and_in_hands_that_are_there);
    RUN(a_message_must_have_a_queue_and_a_place);
    RUN(a_cell_must_name_a_message_of_its_queue_and_position);
    RUN(a_queue_must_be_what_its_header_says);
    RUN(what_others_do_during_an_audit_is_no_fault);
    RUN(faults_past_those_that_fit_are_counted);
    return check_end();
}
