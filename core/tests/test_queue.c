/* Tests of queue.c in one process: what queues, topics and latest values promise; what another slot does in the middle
 * of an operation; what a process leaves that dies at any access; and damage. Processes meet in core/explore. */
#include "accesses.h"

#include "shared/queue.c"
#define look_at look_at_block /* both sources have one */
#include "shared/shared_pool.c"
#undef look_at

#include <pthread.h>

#include "check.h"
#include "sets.h"
#include "shared/queue_check.h"

#define BLOCKS 100u
#define SMALL 128u
#define ME 0u
#define YOU 1u
#define THEM 2u

static struct layout_geometry geometry;
static struct shared_pool pool;
static struct queues queues;
static struct queue queue;
static void *memory;

static void make_segment(uint64_t small) {
    memset(&geometry, 0, sizeof geometry);
    CHECK(layout_plan(&geometry, 64, BLOCKS, 8, small), ==, true);
    memory = aligned_alloc(4096, geometry.data_at); /* nothing here touches the pool's blocks themselves */
    memset(memory, 0, geometry.data_at);
    layout_make(memory, &geometry);
    layout_init(&pool, &queues.annex, memory, &geometry);
    queues_init(&queues, &pool, layout_small(memory, &geometry));
}

static void make_in(uint64_t small, enum queue_kind kind, uint64_t capacity, unsigned flags) {
    make_segment(small);
    struct queue_request request = {kind, capacity, flags};
    CHECK(queue_make(&queues, ME, &request, &queue), ==, QUEUE_OK);
}

static void make(uint64_t capacity) { make_in(SMALL, QUEUE_IS_QUEUE, capacity, QUEUE_REDELIVERS); }
static void make_topic(uint64_t history) { make_in(SMALL, QUEUE_IS_TOPIC, history, 0); }

static bool drop_by(struct shared_pool *whose, unsigned slot, const struct pool_run *run) {
    bool last;
    CHECK(shared_pool_drop(whose, slot, run, &last), ==, SHARED_POOL_OK);
    if (last) {
        shared_pool_finish(whose, run);
    }
    return last;
}

static void recover_slots(uint64_t slots) {
    struct slot_set dead = set_of(slots);
    queues_recover(&queues, &dead, LEDGER_RECOVERY);
    shared_pool_recover(&queues.annex, &dead, LEDGER_RECOVERY, 0, queues.annex.blocks);
    (void)shared_pool_mend(&queues.annex, 0, queues.annex.blocks);
    shared_pool_recover(&pool, &dead, LEDGER_RECOVERY, 0, pool.blocks);
    (void)shared_pool_mend(&pool, 0, pool.blocks);
}

/* Nothing is allocated, and no word says anything. */
static void nothing_in(struct shared_pool *shared) {
    struct slot_set nobody = {{0}};
    struct shared_pool_audit audit;
    struct shared_pool_fault fault;
    shared_pool_check(shared, &nobody, true, false, &fault, 1, &audit);
    CHECK(audit.faults + audit.in_transit, ==, 0);
    CHECK(bitmap_count(&shared->bitmap), ==, 0);
    for (uint64_t i = 0; i < shared->blocks; i++) {
        CHECK(load_relaxed(&shared_pool_entry(shared, i)->head), ==, LEDGER_FREE);
        CHECK(load_relaxed(&shared_pool_entry(shared, i)->message), ==, 0);
    }
}

static void unmake(void) {
    nothing_in(&pool);
    nothing_in(&queues.annex);
    free(memory);
}

/* The audit finds nothing. */
static void no_fault(bool alone) {
    const struct slot_set used = set_of(bit_of(ME) | bit_of(YOU) | bit_of(THEM) | bit_of(5));
    struct shared_pool_audit audit = {0};
    struct shared_pool_fault fault = {SHARED_POOL_FAULT_NONE, 0};
    queues_check(&queues, &used, alone, false, &fault, 1, &audit);
    CHECK(audit.faults, ==, 0);
    if (audit.faults) {
        printf("  first fault: kind %d at %llu\n", (int)fault.kind, (unsigned long long)fault.index);
    }
}

/* Closes the queue: the last who has it open ends it. */
static void close_queue(void) {
    no_fault(true);
    CHECK(drop_by(&queues.annex, ME, &queue.run), ==, true);
}

static void close_and_unmake(void) {
    close_queue();
    unmake();
}

static struct pool_run allocate_for(unsigned slot, uint64_t n) {
    struct pool_run run = {BITMAP_NONE, 0, 0};
    CHECK(shared_pool_allocate(&pool, slot, n, 0, 0, &run), ==, SHARED_POOL_OK);
    CHECK(run.index != BITMAP_NONE, ==, true);
    return run;
}

static enum shared_pool_status hold_by(struct shared_pool *whose, unsigned slot, const struct pool_run *run) {
    struct pool_run found = {run->index, 0, run->generation};
    bool set;
    return shared_pool_hold(whose, slot, &found, &set);
}

static uint64_t word_at(uint64_t block) { return load_seq(word_of(&queues, block)); }
static uint64_t pool_head(const struct pool_run *run) { return load_seq(head_of(&pool, run->index)); }

/* A message with a number. */
static enum queue_status begin_number(unsigned slot, uint64_t number, unsigned runs, struct queue_message *message) {
    enum queue_status status = queue_begin(&queue, slot, MESSAGE_IS_BYTES, runs, 8, message);
    if (status == QUEUE_OK) {
        memcpy(message->bytes, &number, 8);
    }
    return status;
}

static enum queue_status put(unsigned slot, uint64_t number) {
    struct queue_message message;
    enum queue_status status = begin_number(slot, number, 0, &message);
    if (status == QUEUE_OK) {
        status = queue_put(&queue, slot, &message);
        if (status != QUEUE_OK) {
            queue_end(&queue, slot, &message);
        }
    }
    return status;
}

static uint64_t number_in(const struct queue_message *message) {
    uint64_t number = 0;
    memcpy(&number, message->bytes, 8);
    return number;
}

#define NOTHING(status) (UINT64_MAX - (uint64_t)(status))

/* Takes a message and is done with it: its number, or NOTHING(status). */
static uint64_t get(unsigned slot) {
    struct queue_message message;
    enum queue_status status = queue_take(&queue, slot, &message);
    if (status != QUEUE_OK) {
        return NOTHING(status);
    }
    uint64_t number = number_in(&message);
    queue_end(&queue, slot, &message);
    return number;
}

/* Ends the oldest message, whichever that is; whether there was one. */
static bool drop_oldest(unsigned slot) {
    const struct queue_message any = {.position = INT64_MAX};
    uint64_t lost = load_seq(&queue.header->lost);
    queue_drop_oldest(&queue, slot, &any);
    return load_seq(&queue.header->lost) != lost;
}

static void counts(uint64_t waiting, uint64_t taken) {
    uint64_t is_waiting, is_taken;
    queue_count(&queue, &is_waiting, &is_taken);
    CHECK(is_waiting, ==, waiting);
    CHECK(is_taken, ==, taken);
    queue_count(&queue, &is_waiting, NULL);
    CHECK(is_waiting, ==, waiting);
}

/* Makes THEM somebody who has the queue open. */
static void open_by_them(void) { CHECK(hold_by(&queues.annex, THEM, &queue.run), ==, SHARED_POOL_OK); }

/* --- making queues --- */

static void a_queue_has_the_capacity_that_was_asked_for(void) {
    static const uint64_t capacities[] = {1, 2, 3, 4, 5, 63, 64, 65, 100, 1000};
    for (unsigned c = 0; c < sizeof capacities / sizeof *capacities; c++) {
        for (unsigned kind = QUEUE_IS_QUEUE; kind < QUEUE_KINDS; kind++) {
            uint64_t capacity = kind == QUEUE_IS_LATEST ? 1 : capacities[c];
            make_in(4096, (enum queue_kind)kind, capacity, QUEUE_PERMANENT);
            CHECK(queue.capacity, ==, capacity);
            CHECK(queue.kind, ==, kind);
            CHECK(queue.flags, ==, QUEUE_PERMANENT);
            CHECK(queue.ring >= capacity + (kind != QUEUE_IS_QUEUE), ==, true);
            CHECK(queue.ring & (queue.ring - 1), ==, 0);
            CHECK(queue_oldest(&queue) + queue_next(&queue), ==, 0);
            counts(0, 0);
            struct queue_request request = {(enum queue_kind)kind, capacity, 0};
            CHECK(queue.run.blocks, ==, (queue_bytes(&request) + LAYOUT_SMALL - 1) / LAYOUT_SMALL);
            CHECK((unsigned char *)(queue.cells + queue.ring) <= queues.memory + 4096 * LAYOUT_SMALL, ==, true);
            struct queue same;
            CHECK(queue_view(&queues, &queue.run, &same), ==, QUEUE_OK);
            CHECK(same.cells == queue.cells && same.cursors == queue.cursors && same.header == queue.header, ==, true);
            close_and_unmake();
        }
    }
}

static void a_queue_that_does_not_fit_is_refused(void) {
    make_segment(64);
    struct queue_request large = {QUEUE_IS_QUEUE, QUEUE_MOST_CAPACITY, 0}, some = {QUEUE_IS_QUEUE, 1024, 0};
    CHECK(queue_make(&queues, ME, &large, &queue), ==, QUEUE_NO_ROOM);
    struct queue first, second;
    CHECK(queue_make(&queues, ME, &some, &first), ==, QUEUE_OK);
    CHECK(queue_make(&queues, ME, &some, &second), ==, QUEUE_NO_ROOM);
    CHECK(drop_by(&queues.annex, ME, &first.run), ==, true);
    CHECK(queue_make(&queues, ME, &some, &second), ==, QUEUE_OK);
    struct queue gone;
    CHECK(queue_view(&queues, &first.run, &gone), ==, QUEUE_CORRUPT);
    CHECK(drop_by(&queues.annex, ME, &second.run), ==, true);
    unmake();
}

static void what_is_no_queue_is_not_viewed_as_one(void) {
    make(4);
    struct queue found;
    CHECK(put(ME, 7), ==, QUEUE_OK);
    for (uint64_t i = 0; i < SMALL + 4; i++) {
        for (uint64_t generation = 0; generation < 4; generation++) {
            struct pool_run run = {i, 0, generation};
            bool is = i == queue.run.index && generation == queue.run.generation;
            CHECK(queue_view(&queues, &run, &found), ==, is ? QUEUE_OK : QUEUE_CORRUPT);
        }
    }
    struct pool_run outside = {UINT64_MAX, 0, 1};
    CHECK(queue_view(&queues, &outside, &found), ==, QUEUE_CORRUPT);
    close_and_unmake();
}

static void all_queues_are_found(void) {
    make_segment(SMALL);
    struct queue made[4], found;
    struct queue_request request = {QUEUE_IS_QUEUE, 3, 0};
    CHECK(queues_next(&queues, 0, &found), ==, false);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(queue_make(&queues, ME, &request, &made[i]), ==, QUEUE_OK);
    }
    queue = made[1];
    CHECK(put(ME, 1), ==, QUEUE_OK);
    unsigned n = 0;
    for (uint64_t from = 0; queues_next(&queues, from, &found); from = found.run.index + found.run.blocks) {
        CHECK(found.header == made[n].header, ==, true);
        CHECK(found.run.generation, ==, made[n].run.generation);
        n++;
    }
    CHECK(n, ==, 4);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(drop_by(&queues.annex, ME, &made[i].run), ==, true);
    }
    unmake();
}

/* --- first in, first out --- */

static void messages_come_out_as_they_went_in(void) {
    static const uint64_t capacities[] = {1, 2, 3, 4, 5, 63, 64, 65};
    for (unsigned c = 0; c < sizeof capacities / sizeof *capacities; c++) {
        uint64_t capacity = capacities[c], in = 0, out = 0;
        make(capacity);
        for (uint64_t lap = 0; lap < 5 * capacity + 7; lap++) {
            while (in - out < capacity) {
                CHECK(put(in % 3 ? ME : YOU, in), ==, QUEUE_OK);
                in++;
                counts(in - out, 0);
            }
            CHECK(put(ME, 99), ==, QUEUE_FULL);
            for (uint64_t n = 1 + lap % capacity; n > 0; n--, out++) {
                struct queue_message message;
                CHECK(queue_take(&queue, THEM, &message), ==, QUEUE_OK);
                CHECK(number_in(&message), ==, out);
                CHECK(message.position, ==, out);
                CHECK(message.again, ==, false);
                CHECK(message.length, ==, 8);
                CHECK(message.kind, ==, MESSAGE_IS_BYTES);
                CHECK(message.count, ==, 0);
                counts(in - out - 1, 1);
                queue_end(&queue, THEM, &message);
            }
        }
        while (out < in) {
            CHECK(get(ME), ==, out++);
        }
        CHECK(get(ME), ==, NOTHING(QUEUE_EMPTY));
        CHECK(queue_oldest(&queue), ==, in);
        CHECK(queue_next(&queue), ==, in);
        close_and_unmake();
    }
}

/* What a queue should do, step by step. */
static void a_queue_does_what_a_list_does(void) {
    static const uint64_t capacities[] = {1, 3, 7, 16, 50};
    for (unsigned round = 0; round < 40; round++) {
        enum { MOST = 20000, HANDS = 12 };
        static uint64_t list[MOST];
        struct queue_message hands[HANDS];
        bool again_of[HANDS];
        unsigned slots[HANDS];
        uint64_t capacity = capacities[round % 5], first = 0, end_of = 0, next = 0, lost = 0;
        unsigned taken = 0;
        make(capacity);
        for (unsigned step = 0; step < 500; step++) {
            unsigned slot = (unsigned)check_below(3);
            uint64_t what = check_below(10);
            if (what < 4) {
                enum queue_status status = put(slot, next);
                CHECK(status, ==, end_of - first < capacity ? QUEUE_OK : QUEUE_FULL);
                if (status == QUEUE_OK) {
                    list[end_of++] = next;
                }
                next++;
            } else if (what < 7) {
                if (taken < HANDS) {
                    enum queue_status status = queue_take(&queue, slot, &hands[taken]);
                    CHECK(status, ==, first < end_of ? QUEUE_OK : QUEUE_EMPTY);
                    if (status == QUEUE_OK) {
                        CHECK(number_in(&hands[taken]), ==, list[first]);
                        CHECK(hands[taken].position, ==, first++);
                        again_of[taken] = false;
                        slots[taken++] = slot;
                    }
                }
            } else if (what < 9) {
                if (taken) {
                    unsigned which = (unsigned)check_below(taken);
                    queue_end(&queue, slots[which], &hands[which]);
                    hands[which] = hands[--taken];
                    slots[which] = slots[taken];
                    again_of[which] = again_of[taken];
                }
            } else {
                bool any = first < end_of;
                CHECK(drop_oldest(slot), ==, any);
                first += any;
                lost += any;
            }
            counts(end_of - first, taken);
            CHECK(load_seq(&queue.header->lost), ==, lost);
        }
        while (taken > 0) {
            taken--;
            queue_end(&queue, slots[taken], &hands[taken]);
        }
        close_and_unmake(); /* with what is in it */
    }
}

static void what_is_in_the_way_is_dropped_and_nothing_else(void) {
    static const uint64_t capacities[] = {1, 3, 4};
    for (unsigned c = 0; c < 3; c++) {
        make(capacities[c]);
        uint64_t next = 0;
        for (unsigned round = 0; round < 20; round++) {
            struct queue_message message;
            while (put(ME, next) == QUEUE_OK) {
                next++;
            }
            CHECK(begin_number(ME, next, 0, &message), ==, QUEUE_OK);
            CHECK(queue_put(&queue, ME, &message), ==, QUEUE_FULL);
            CHECK(message.position, ==, next - queue.capacity);
            uint64_t lost = load_seq(&queue.header->lost);
            if (round % 2) { /* somebody takes it meanwhile: then there is room */
                CHECK(get(YOU), ==, next - queue.capacity);
                queue_drop_oldest(&queue, ME, &message);
                CHECK(load_seq(&queue.header->lost), ==, lost);
                counts(queue.capacity - 1, 0);
            } else {
                queue_drop_oldest(&queue, ME, &message);
                CHECK(load_seq(&queue.header->lost), ==, lost + 1);
                queue_drop_oldest(&queue, ME, &message); /* once */
                CHECK(load_seq(&queue.header->lost), ==, lost + 1);
            }
            CHECK(queue_put(&queue, ME, &message), ==, QUEUE_OK);
            next++;
        }
        for (uint64_t n = next - queue.capacity; n < next; n++) {
            CHECK(get(ME), ==, n);
        }
        close_and_unmake();
    }
}

/* --- room --- */

static void a_message_may_have_any_size_that_fits(void) {
    make(4);
    uint64_t room = SMALL - queue.run.blocks;
    static const uint64_t sizes[] = {0, 1, 207, 208, 209, 464, 465, 5000};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct queue_message message, taken;
        CHECK(queue_begin(&queue, ME, MESSAGE_IS_PICKLE, 0, sizes[s], &message), ==, QUEUE_OK);
        CHECK(message.run.blocks, ==, (sizeof(struct message) + sizes[s] + LAYOUT_SMALL - 1) / LAYOUT_SMALL);
        CHECK(message.run.blocks == 1, ==, sizes[s] <= 208);
        memset(message.bytes, (int)s, sizes[s]);
        CHECK(queue_put(&queue, ME, &message), ==, QUEUE_OK);
        CHECK(queue_take(&queue, YOU, &taken), ==, QUEUE_OK);
        CHECK(taken.length, ==, sizes[s]);
        CHECK(taken.kind, ==, MESSAGE_IS_PICKLE);
        for (uint64_t i = 0; i < sizes[s]; i++) {
            CHECK(taken.bytes[i], ==, s);
        }
        queue_end(&queue, YOU, &taken);
    }
    struct queue_message message;
    uint64_t most = room * LAYOUT_SMALL - sizeof(struct message);
    CHECK(queue_begin(&queue, ME, 1, 0, most + 1, &message), ==, QUEUE_NO_ROOM);
    CHECK(queue_begin(&queue, ME, 1, 0, most, &message), ==, QUEUE_OK);
    CHECK(put(ME, 1), ==, QUEUE_NO_ROOM);
    queue_end(&queue, ME, &message);
    CHECK(queue_begin(&queue, ME, 1, 0, UINT64_MAX, &message), ==, QUEUE_NO_ROOM);
    CHECK(queue_begin(&queue, ME, 1, 0, UINT64_MAX - 40, &message), ==, QUEUE_NO_ROOM);
    CHECK(queue_begin(&queue, ME, 1, MESSAGE_MOST_RUNS + 1, 0, &message), ==, QUEUE_NO_ROOM);
    CHECK(queue_begin(&queue, ME, 1, UINT32_MAX, 0, &message), ==, QUEUE_NO_ROOM);
    CHECK(queue_begin(&queue, ME, 1, 1000, 0, &message), ==, QUEUE_OK);
    queue_end(&queue, ME, &message);
    CHECK(put(ME, 1), ==, QUEUE_OK);
    close_and_unmake();
}

static void a_message_ends_once_and_only_by_whose_it_is(void) {
    make(4);
    struct queue_message message, taken;
    CHECK(begin_number(ME, 5, 0, &message), ==, QUEUE_OK);
    uint64_t used = bitmap_count(&queues.annex.bitmap);
    queue_end(&queue, YOU, &message);
    CHECK(bitmap_count(&queues.annex.bitmap), ==, used);
    CHECK(queue_put(&queue, ME, &message), ==, QUEUE_OK);
    queue_end(&queue, ME, &message); /* the queue's now */
    CHECK(queue_take(&queue, YOU, &taken), ==, QUEUE_OK);
    CHECK(number_in(&taken), ==, 5);
    queue_end(&queue, ME, &taken);
    counts(0, 1);
    queue_end(&queue, YOU, &taken);
    queue_end(&queue, YOU, &taken);
    counts(0, 0);
    CHECK(put(ME, 6), ==, QUEUE_OK); /* at the same place */
    struct queue_message later;
    CHECK(queue_take(&queue, YOU, &later), ==, QUEUE_OK);
    CHECK(later.run.index, ==, taken.run.index);
    queue_end(&queue, YOU, &taken);
    counts(0, 1);
    queue_end(&queue, YOU, &later);
    close_and_unmake();
}

/* --- runs --- */

static uint64_t how_of(const struct queue_message *message, unsigned i) { return message->message->runs[i].how; }

static void a_message_carries_runs_and_lets_go_of_them(void) {
    for (unsigned how = 0; how < 6; how++) {
        make(4);
        struct pool_run runs[] = {allocate_for(ME, 3), allocate_for(ME, 1)}, found = {0};
        struct queue_message message, taken;
        CHECK(begin_number(ME, 1, 2, &message), ==, QUEUE_OK);
        for (unsigned i = 0; i < 2; i++) {
            CHECK(queue_carry(&queue, ME, &message, &runs[i]), ==, QUEUE_OK);
            CHECK(how_of(&message, i), ==, MESSAGE_HOLDS);
            CHECK(load_seq(&shared_pool_entry(&pool, runs[i].index)->message), ==,
                  message_carries(message.run.index, message.run.generation));
            CHECK(pool_head(&runs[i]), ==, ledger_live(ME, runs[i].generation) | LEDGER_CARRIED);
        }
        CHECK(queue_carry(&queue, ME, &message, &runs[0]), ==, QUEUE_NO_ROOM); /* there was room for two */
        if (how == 0) {                                                        /* ended by its sender */
            queue_end(&queue, ME, &message);
            CHECK(drop_by(&pool, ME, &runs[0]), ==, true);
            CHECK(drop_by(&pool, ME, &runs[1]), ==, true);
            close_and_unmake();
            continue;
        }
        CHECK(queue_put(&queue, ME, &message), ==, QUEUE_OK);
        if (how != 5) {
            CHECK(drop_by(&pool, ME, &runs[0]), ==, false);
            CHECK(drop_by(&pool, ME, &runs[1]), ==, false);
            CHECK(pool_head(&runs[0]), ==, ledger_live(LEDGER_NOBODY, runs[0].generation) | LEDGER_CARRIED);
        }
        if (how == 1) { /* ends with the queue */
            close_and_unmake();
            continue;
        }
        if (how == 2) {
            CHECK(drop_oldest(THEM), ==, true);
            close_and_unmake();
            continue;
        }
        CHECK(queue_take(&queue, YOU, &taken), ==, QUEUE_OK);
        for (unsigned i = 0; i < 2; i++) {
            CHECK(queue_carried(&queues, &taken, i, &found), ==, true);
            CHECK(found.index, ==, runs[i].index);
            CHECK(found.generation, ==, runs[i].generation);
        }
        CHECK(queue_carried(&queues, &taken, 2, &found), ==, false);
        CHECK(queue_carried(&queues, &taken, UINT32_MAX, &found), ==, false);
        if (how >= 4) { /* its receiver keeps one */
            CHECK(hold_by(&pool, YOU, &runs[0]), ==, SHARED_POOL_OK);
        }
        queue_end(&queue, YOU, &taken);
        if (how >= 4) {
            CHECK(drop_by(&pool, YOU, &runs[0]), ==, how == 4);
        }
        if (how == 5) { /* its sender still has both */
            CHECK(drop_by(&pool, ME, &runs[0]), ==, true);
            CHECK(drop_by(&pool, ME, &runs[1]), ==, true);
        }
        close_and_unmake();
    }
}

static void a_run_that_is_in_a_message_already_gets_a_ticket(void) {
    for (unsigned order = 0; order < 6; order++) { /* of the ends of three messages */
        make(4);
        struct pool_run run = allocate_for(ME, 2), found = {0};
        struct queue_message messages[3];
        for (unsigned m = 0; m < 3; m++) {
            CHECK(begin_number(ME, m, 2, &messages[m]), ==, QUEUE_OK);
            CHECK(queue_carry(&queue, ME, &messages[m], &run), ==, QUEUE_OK);
            CHECK(queue_carry(&queue, ME, &messages[m], &run), ==, QUEUE_OK); /* and once more in the same one */
            CHECK(how_of(&messages[m], 0), ==, m == 0 ? MESSAGE_HOLDS : MESSAGE_HAS_TICKET);
            CHECK(how_of(&messages[m], 1), ==, MESSAGE_HAS_TICKET);
            CHECK(ledger_tickets(pool_head(&run)), ==, 2 * m + 1);
            CHECK(queue_put(&queue, ME, &messages[m]), ==, QUEUE_OK);
        }
        CHECK(drop_by(&pool, ME, &run), ==, false);
        static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        struct queue_message taken[3];
        for (unsigned m = 0; m < 3; m++) {
            CHECK(queue_take(&queue, YOU, &taken[m]), ==, QUEUE_OK);
            CHECK(queue_carried(&queues, &taken[m], 1, &found), ==, true);
            CHECK(found.index, ==, run.index);
        }
        for (unsigned m = 0; m < 3; m++) {
            CHECK(ledger_is_run_of(pool_head(&run), run.generation), ==, true);
            queue_end(&queue, YOU, &taken[orders[order][m]]);
        }
        CHECK(pool_head(&run), ==, LEDGER_FREE);
        close_and_unmake();
    }
}

static void a_run_with_too_many_tickets_does_not_go_into_a_second_message(void) {
    make(4);
    struct pool_run run = allocate_for(ME, 2);
    struct queue_message first, second;
    CHECK(begin_number(ME, 1, 1, &first), ==, QUEUE_OK);
    CHECK(queue_carry(&queue, ME, &first, &run), ==, QUEUE_OK);
    CHECK(shared_pool_share(&pool, ME, &run, LEDGER_MOST_TICKETS, 1), ==, SHARED_POOL_OK);
    CHECK(begin_number(ME, 2, 1, &second), ==, QUEUE_OK);
    CHECK(queue_carry(&queue, ME, &second, &run), ==, QUEUE_TICKETS);
    CHECK(second.count + second.message->count, ==, 0);
    CHECK(shared_pool_withdraw(&pool, ME, &run), ==, true);
    CHECK(queue_carry(&queue, ME, &second, &run), ==, QUEUE_OK);
    queue_end(&queue, ME, &second);
    CHECK(ledger_tickets(pool_head(&run)), ==, LEDGER_MOST_TICKETS - 1);
    queue_end(&queue, ME, &first);
    CHECK(shared_pool_drop_tickets(&pool, UINT32_MAX), ==, LEDGER_MOST_TICKETS - 1);
    CHECK(drop_by(&pool, ME, &run), ==, true);
    close_and_unmake();
}

static void who_does_not_hold_a_run_cannot_put_it(void) {
    make(4);
    struct pool_run run = allocate_for(ME, 2), gone = allocate_for(ME, 1);
    struct queue_message message;
    CHECK(drop_by(&pool, ME, &gone), ==, true);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(begin_number(YOU, 1, 4, &message), ==, QUEUE_OK);
        CHECK(queue_carry(&queue, YOU, &message, i == 1 ? &gone : &run), ==, QUEUE_CORRUPT);
        queue_end(&queue, YOU, &message);
        CHECK(pool_head(&run), ==, ledger_live(ME, run.generation));
        CHECK(pool_head(&gone), ==, LEDGER_FREE);
    }
    CHECK(drop_by(&pool, ME, &run), ==, true);
    close_and_unmake();
}

/* --- shutting --- */

static void a_queue_that_is_shut_for_senders_is_emptied_by_its_receivers(void) {
    make(4);
    struct queue_message taken;
    CHECK(put(ME, 1), ==, QUEUE_OK);
    CHECK(put(ME, 2), ==, QUEUE_OK);
    CHECK(queue_take(&queue, YOU, &taken), ==, QUEUE_OK);
    queue_shut(&queue, THEM, false);
    CHECK(put(ME, 3), ==, QUEUE_SHUT);
    counts(1, 1);
    CHECK(get(YOU), ==, 2);
    CHECK(get(YOU), ==, NOTHING(QUEUE_SHUT));
    queue_end(&queue, YOU, &taken);
    counts(0, 0);
    close_and_unmake();
}

static void a_queue_that_is_shut_for_all_has_no_messages(void) {
    make(4);
    struct queue_message taken, made;
    struct pool_run run = allocate_for(ME, 3);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(put(i == 3 ? THEM : ME, i), ==, QUEUE_OK);
    }
    CHECK(queue_take(&queue, THEM, &taken), ==, QUEUE_OK);
    recover_slots(bit_of(THEM)); /* a returned one too */
    CHECK(queue_take(&queue, YOU, &taken), ==, QUEUE_OK);
    CHECK(taken.again, ==, true);
    CHECK(queue_take(&queue, THEM, &made), ==, QUEUE_OK);
    recover_slots(bit_of(THEM));
    CHECK(begin_number(ME, 9, 1, &made), ==, QUEUE_OK);
    CHECK(queue_carry(&queue, ME, &made, &run), ==, QUEUE_OK);
    counts(3, 1);
    queue_shut(&queue, THEM, true);
    counts(0, 1);
    CHECK(get(ME), ==, NOTHING(QUEUE_SHUT));
    CHECK(queue_put(&queue, ME, &made), ==, QUEUE_SHUT);
    queue_end(&queue, ME, &made);
    queue_end(&queue, YOU, &taken);
    CHECK(drop_by(&pool, ME, &run), ==, true);
    queue_shut(&queue, ME, true);
    close_and_unmake();
}

/* --- topics --- */

/* Reads the message at *position or the first after it, which becomes the one after that: its number, or
 * NOTHING(status). */
static uint64_t read_by(unsigned slot, uint64_t *position, uint64_t *lost) {
    struct pool_run run;
    struct queue_message message;
    bool set;
    enum queue_status status = queue_find(&queue, position, lost, &run);
    if (status != QUEUE_OK) {
        return NOTHING(status);
    }
    CHECK(shared_pool_hold(&queues.annex, slot, &run, &set), ==, SHARED_POOL_OK);
    CHECK(queue_open(&queue, &run, &message), ==, QUEUE_OK);
    CHECK(message.position, ==, *position);
    CHECK(message.length, ==, 8);
    uint64_t number = number_in(&message);
    (void)drop_by(&queues.annex, slot, &run);
    ++*position;
    return number;
}

/* The same with a copy, which nobody holds. */
static uint64_t copied_by(uint64_t *position, uint64_t *lost) {
    uint64_t copy[MESSAGE_BLOCK / 8];
    struct queue_message message;
    enum queue_status status = queue_copy(&queue, position, lost, copy, sizeof copy, &message);
    if (status != QUEUE_OK) {
        return NOTHING(status);
    }
    CHECK(message.position, ==, *position);
    CHECK(message.length, ==, 8);
    CHECK((void *)message.message == (void *)copy, ==, true);
    ++*position;
    return number_in(&message);
}

static void each_reader_of_a_topic_gets_all(void) {
    static const uint64_t histories[] = {1, 2, 3, 8, 64, 65};
    for (unsigned h = 0; h < sizeof histories / sizeof *histories; h++) {
        uint64_t positions[3] = {0}, lost = 0;
        make_topic(histories[h]);
        for (uint64_t n = 0; n < 5 * histories[h] + 3; n++) {
            for (unsigned reader = 0; reader < 3; reader++) {
                CHECK(read_by(reader, &positions[reader], &lost), ==, NOTHING(QUEUE_EMPTY));
            }
            CHECK(put(ME, n), ==, QUEUE_OK);
            for (unsigned reader = 0; reader < 3; reader++) {
                uint64_t position = positions[reader];
                CHECK(copied_by(&position, &lost), ==, n);
                CHECK(read_by(reader, &positions[reader], &lost), ==, n);
                CHECK(position, ==, positions[reader]);
            }
        }
        CHECK(lost, ==, 0);
        close_and_unmake();
    }
}

static void a_slow_reader_learns_how_many_it_has_missed(void) {
    static const uint64_t histories[] = {1, 2, 3, 7, 8, 64};
    for (unsigned h = 0; h < sizeof histories / sizeof *histories; h++) {
        uint64_t history = histories[h];
        make_topic(history);
        for (uint64_t behind = 1; behind < 3 * history + 2; behind++) {
            uint64_t position = queue_next(&queue), from = position, lost = 0;
            for (uint64_t i = 0; i < behind; i++) {
                CHECK(put(ME, from + i), ==, QUEUE_OK);
            }
            uint64_t missed = behind > history ? behind - history : 0, copied_at = position, copied_lost = 0;
            CHECK(copied_by(&copied_at, &copied_lost), ==, from + missed);
            CHECK(copied_lost, ==, missed);
            for (uint64_t i = missed; i < behind; i++) {
                CHECK(read_by(YOU, &position, &lost), ==, from + i);
                CHECK(lost, ==, missed);
            }
            CHECK(read_by(YOU, &position, &lost), ==, NOTHING(QUEUE_EMPTY));
            CHECK(position, ==, from + behind);
        }
        close_and_unmake();
    }
}

static void a_late_reader_begins_with_the_history(void) {
    make_topic(3);
    for (uint64_t n = 0; n < 10; n++) {
        uint64_t position = queue_oldest(&queue), lost = 0, kept = n < 3 ? n : 3;
        CHECK(queue_next(&queue) - position, ==, kept);
        counts(kept, 0);
        for (uint64_t i = n - kept; i < n; i++) {
            CHECK(read_by(YOU, &position, &lost), ==, i);
        }
        CHECK(lost, ==, 0);
        CHECK(put(ME, n), ==, QUEUE_OK);
    }
    close_and_unmake();
}

static void a_message_that_is_read_stays_until_its_reader_is_done(void) {
    make_topic(1);
    struct pool_run block = allocate_for(ME, 2), run;
    struct queue_message message;
    uint64_t position = 0, lost = 0;
    bool set;
    CHECK(begin_number(ME, 77, 1, &message), ==, QUEUE_OK);
    CHECK(queue_carry(&queue, ME, &message, &block), ==, QUEUE_OK);
    CHECK(queue_put(&queue, ME, &message), ==, QUEUE_OK);
    CHECK(drop_by(&pool, ME, &block), ==, false);
    CHECK(queue_find(&queue, &position, &lost, &run), ==, QUEUE_OK);
    CHECK(shared_pool_hold(&queues.annex, YOU, &run, &set), ==, SHARED_POOL_OK);
    for (uint64_t n = 0; n < 5; n++) {
        CHECK(put(ME, n), ==, QUEUE_OK);
    }
    CHECK(queue_open(&queue, &run, &message), ==, QUEUE_OK);
    CHECK(number_in(&message), ==, 77);
    CHECK(message.position, ==, 0);
    CHECK(queue_carried(&queues, &message, 0, &run), ==, true);
    CHECK(hold_by(&pool, YOU, &run), ==, SHARED_POOL_STALE); /* the message has let go of it */
    run = message.run;
    CHECK(hold_by(&queues.annex, THEM, &run), ==, SHARED_POOL_OK);
    CHECK(drop_by(&queues.annex, YOU, &run), ==, false);
    CHECK(drop_by(&queues.annex, THEM, &run), ==, true);
    CHECK(queue_find(&queue, &position, &lost, &run), ==, QUEUE_OK);
    CHECK(lost, ==, 5);
    close_and_unmake();
}

static void a_copy_of_a_message_needs_room_for_all_of_it(void) {
    static uint64_t copy[4 * MESSAGE_BLOCK / 8];
    struct queue_message message;
    uint64_t position = 0, lost = 0;
    make_topic(2);
    CHECK(queue_begin(&queue, ME, MESSAGE_IS_BYTES, 0, 700, &message), ==, QUEUE_OK);
    memset(message.bytes, 7, 700);
    CHECK(queue_put(&queue, ME, &message), ==, QUEUE_OK);
    uint64_t blocks = message.run.blocks;
    CHECK(blocks, ==, 3);
    for (uint64_t room = 0; room < blocks * MESSAGE_BLOCK; room += 8) {
        message.run.blocks = 0;
        CHECK(queue_copy(&queue, &position, &lost, copy, room, &message), ==, QUEUE_NO_ROOM);
        CHECK(message.run.blocks, ==, blocks);
    }
    CHECK(copy[0], ==, 0);
    CHECK(queue_copy(&queue, &position, &lost, copy, blocks * MESSAGE_BLOCK, &message), ==, QUEUE_OK);
    CHECK(message.length, ==, 700);
    CHECK(message.bytes[0] == 7 && message.bytes[699] == 7, ==, true);
    CHECK(position + lost, ==, 0);
    close_and_unmake();
}

static void what_a_reader_waits_for_is_not_dropped(void) {
    make_topic(2);
    struct queue_message newest = {.position = INT64_MAX};
    unsigned cursor;
    uint64_t position, oldest;
    CHECK(put(ME, 1), ==, QUEUE_OK);
    CHECK(put(ME, 2), ==, QUEUE_OK);
    CHECK(queue_subscribe(&queue, YOU, &cursor, &position), ==, QUEUE_OK);
    oldest = queue_oldest(&queue);
    queue_drop_oldest(&queue, ME, &newest);
    CHECK(queue_oldest(&queue), ==, oldest);
    queue_advance(&queue, YOU, cursor, oldest + 1);
    queue_drop_oldest(&queue, ME, &newest);
    queue_drop_oldest(&queue, ME, &newest);
    CHECK(queue_oldest(&queue), ==, oldest + 1);
    counts(1, 0);
    close_and_unmake();
}

static void publishers_wait_for_who_must_not_miss_any(void) {
    static const uint64_t histories[] = {1, 2, 3, 8};
    for (unsigned h = 0; h < 4; h++) {
        uint64_t history = histories[h], position, next = 0, lost = 0, n = 0, other = 0, others_lost = 0;
        unsigned cursor;
        make_topic(history);
        CHECK(put(ME, n++), ==, QUEUE_OK);
        CHECK(queue_subscribe(&queue, YOU, &cursor, &position), ==, QUEUE_OK);
        CHECK(position, ==, 0); /* it begins with the history */
        for (unsigned round = 0; round < 20; round++) {
            while (n - position < history) {
                CHECK(put(ME, n++), ==, QUEUE_OK);
            }
            for (unsigned i = 0; i < 3; i++) {
                CHECK(put(ME, n), ==, QUEUE_FULL);
            }
            if (round == 7) { /* another one holds it back more */
                unsigned second;
                uint64_t at;
                CHECK(queue_subscribe(&queue, THEM, &second, &at), ==, QUEUE_OK);
                CHECK(second == cursor, ==, false);
                CHECK(at, ==, position);
                CHECK(read_by(YOU, &position, &lost), ==, next++);
                queue_advance(&queue, YOU, cursor, position);
                CHECK(put(ME, n), ==, QUEUE_FULL);
                queue_advance(&queue, YOU, second, position); /* it is not YOU's */
                queue_unsubscribe(&queue, YOU, second);
                CHECK(put(ME, n), ==, QUEUE_FULL);
                if (h % 2) {
                    queue_unsubscribe(&queue, THEM, second);
                } else {
                    recover_slots(bit_of(THEM)); /* it dies */
                }
                continue;
            }
            CHECK(read_by(YOU, &position, &lost), ==, next++);
            queue_advance(&queue, YOU, cursor, position);
        }
        CHECK(lost, ==, 0);
        queue_unsubscribe(&queue, YOU, cursor);
        for (uint64_t i = 0; i < 3 * history; i++) {
            CHECK(put(ME, n++), ==, QUEUE_OK);
        }
        CHECK(read_by(YOU, &other, &others_lost), ==, n - history);
        CHECK(others_lost, ==, n - history);
        close_and_unmake();
    }
}

static void a_topic_has_so_many_cursors_and_no_more(void) {
    make_topic(2);
    unsigned cursors[QUEUE_CURSORS], one;
    uint64_t position;
    for (unsigned i = 0; i < QUEUE_CURSORS; i++) {
        CHECK(queue_subscribe(&queue, i % 3, &cursors[i], &position), ==, QUEUE_OK);
        CHECK(cursors[i], <, QUEUE_CURSORS);
    }
    CHECK(queue_subscribe(&queue, ME, &one, &position), ==, QUEUE_NO_CURSOR);
    queue_unsubscribe(&queue, 100 % 3, cursors[100]);
    CHECK(queue_subscribe(&queue, YOU, &one, &position), ==, QUEUE_OK);
    CHECK(one, ==, cursors[100]);
    recover_slots(bit_of(THEM));
    for (unsigned i = 0; i < QUEUE_CURSORS / 3; i++) {
        CHECK(queue_subscribe(&queue, ME, &one, &position), ==, QUEUE_OK);
    }
    queue_advance(&queue, ME, QUEUE_CURSORS, 5); /* there is no such cursor */
    queue_unsubscribe(&queue, ME, UINT32_MAX);
    close_and_unmake();
}

static void a_latest_value_is_the_newest_one(void) {
    make_in(SMALL, QUEUE_IS_LATEST, 1, 0);
    CHECK(queue.ring, ==, 2);
    uint64_t position = 0, lost = 0;
    CHECK(read_by(YOU, &position, &lost), ==, NOTHING(QUEUE_EMPTY));
    for (uint64_t n = 0; n < 50; n++) {
        CHECK(put(n % 2 ? ME : THEM, n), ==, QUEUE_OK);
        uint64_t again = queue_oldest(&queue), none = 0;
        CHECK(read_by(YOU, &again, &none), ==, n);
        CHECK(none, ==, 0);
        counts(1, 0);
        if (n % 5 == 4) {
            CHECK(read_by(YOU, &position, &lost), ==, n);
            CHECK(position, ==, n + 1);
            CHECK(lost, ==, n / 5 * 4 + 4);
        }
    }
    recover_slots(bit_of(THEM) | bit_of(ME));
    uint64_t again = queue_oldest(&queue); /* it outlives who wrote it, until nobody has it open */
    CHECK(again, ==, 50);
    unmake();
}

static void a_topic_that_is_shut_has_nothing_more_to_say(void) {
    make_topic(3);
    uint64_t position = 0, lost = 0;
    CHECK(put(ME, 1), ==, QUEUE_OK);
    queue_shut(&queue, ME, false);
    CHECK(put(ME, 2), ==, QUEUE_SHUT);
    CHECK(read_by(YOU, &position, &lost), ==, 1);
    CHECK(read_by(YOU, &position, &lost), ==, NOTHING(QUEUE_SHUT));
    queue_shut(&queue, ME, true);
    position = 0;
    CHECK(read_by(YOU, &position, &lost), ==, NOTHING(QUEUE_SHUT));
    close_and_unmake();
}

/* --- events --- */

static uint32_t sequence_of(struct queue_event *event) { return half_load_seq(&event->sequence); }

static void an_event_that_nobody_waits_for_changes_nothing(void) {
    make(4);
    for (uint64_t i = 0; i < 4; i++) {
        CHECK(put(ME, i), ==, QUEUE_OK);
    }
    CHECK(get(YOU), ==, 0);
    CHECK(sequence_of(&queue.header->readable) + sequence_of(&queue.header->writable), ==, 0);
    uint32_t seen = queue_event_wait(&queue.header->readable);
    CHECK(put(ME, 5), ==, QUEUE_OK);
    CHECK(sequence_of(&queue.header->readable), ==, seen + 1);
    CHECK(put(ME, 5), ==, QUEUE_FULL);
    seen = queue_event_wait(&queue.header->writable);
    CHECK(get(YOU), ==, 1);
    CHECK(sequence_of(&queue.header->writable), ==, seen + 1);
    seen = queue_event_wait(&queue.header->readable);
    queue_shut(&queue, ME, false);
    CHECK(sequence_of(&queue.header->readable), ==, seen + 1);
    close_and_unmake();
}

static void what_changes_raises_its_event(void) {
    static const unsigned kinds[] = {QUEUE_IS_QUEUE, QUEUE_IS_TOPIC};
    for (unsigned what = 0; what < 7; what++) {
        make_in(SMALL, (enum queue_kind)kinds[what == 5 || what == 6], 1, QUEUE_REDELIVERS);
        struct queue_message taken;
        uint64_t position;
        unsigned cursor = 0;
        if (what == 5 || what == 6) {
            CHECK(queue_subscribe(&queue, YOU, &cursor, &position), ==, QUEUE_OK);
        }
        if (what != 0) {
            CHECK(put(ME, 0), ==, QUEUE_OK);
        }
        if (what == 2 || what == 3) {
            CHECK(queue_take(&queue, THEM, &taken), ==, QUEUE_OK);
        }
        uint32_t readable = queue_event_wait(&queue.header->readable),
                 writable = queue_event_wait(&queue.header->writable);
        bool to_read = false, to_write = false;
        switch (what) {
        case 0:
            CHECK(put(ME, 0), ==, QUEUE_OK);
            to_read = true;
            break;
        case 1:
            CHECK(queue_take(&queue, YOU, &taken), ==, QUEUE_OK);
            to_write = sequence_of(&queue.header->writable) != writable;
            CHECK(to_write, ==, true);
            queue_end(&queue, YOU, &taken);
            break;
        case 2:
            queue_end(&queue, THEM, &taken); /* for who waits until all is done */
            to_write = true;
            break;
        case 3:
            recover_slots(bit_of(THEM));
            to_read = true;
            break;
        case 4:
            queue_shut(&queue, ME, true);
            to_read = to_write = true;
            break;
        case 5:
            queue_advance(&queue, YOU, cursor, 1);
            to_write = true;
            break;
        default:
            queue_unsubscribe(&queue, YOU, cursor);
            to_write = true;
        }
        CHECK(sequence_of(&queue.header->readable) != readable, >=, to_read);
        CHECK(sequence_of(&queue.header->writable) != writable, >=, to_write);
        close_and_unmake();
    }
}

static void the_sequence_of_an_event_may_begin_again(void) {
    make(1);
    struct queue_event *event = &queue.header->readable;
    static const uint32_t begins[] = {UINT32_MAX - 2, INT32_MAX - 2};
    for (unsigned b = 0; b < 2; b++) {
        half_store_seq(&event->sequence, begins[b]);
        half_store_seq(&event->waited, begins[b]);
        for (unsigned i = 0; i < 6; i++) {
            uint32_t seen = queue_event_wait(event);
            CHECK(seen, ==, begins[b] + i);
            queue_event_raise(event);
            CHECK(sequence_of(event), ==, seen + 1);
            queue_event_raise(event); /* nobody waits now */
            CHECK(sequence_of(event), ==, seen + 1);
        }
    }
    close_and_unmake();
}

#define SLEEPERS 4u
static atomic_half slept;

static void *sleep_until_it_changes(void *argument) {
    struct queue_event *event = argument;
    uint32_t seen = queue_event_wait(event);
    half_fetch_add_seq(&slept, 1);
    while (sequence_of(event) == seen) {
        os_wait_shared(&event->sequence, seen, 100);
    }
    return NULL;
}

static void one_raise_wakes_all(void) {
    make(1);
    pthread_t threads[SLEEPERS];
    struct queue_event *event = &queue.header->readable;
    half_store_seq(&slept, 0);
    for (unsigned i = 0; i < SLEEPERS; i++) {
        pthread_create(&threads[i], NULL, sleep_until_it_changes, event);
    }
    while (half_load_seq(&slept) < SLEEPERS) {
        os_sleep(0.001);
    }
    os_sleep(0.05);
    double began = os_now();
    queue_event_raise(event);
    for (unsigned i = 0; i < SLEEPERS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(os_now() - began < 50, ==, true);
    close_and_unmake();
}

static void a_recovery_wakes_those_whom_the_dead_left_asleep(void) {
    make(1);
    open_by_them();
    uint32_t readable = queue_event_wait(&queue.header->readable), writable = queue_event_wait(&queue.header->writable);
    half_store_seq(&queue.header->readable.waited, readable); /* who was to raise it has looked, and died */
    recover_slots(bit_of(THEM));
    CHECK(sequence_of(&queue.header->readable), ==, readable + 1);
    CHECK(sequence_of(&queue.header->writable), ==, writable + 1);
    close_and_unmake();
}

/* --- recovery: what somebody leaves who dies, written by hand --- */

static void set_word(const struct queue_message *message, uint64_t word) {
    store_seq(word_of(&queues, message->run.index), word);
}

static void set_cell(uint64_t position, uint64_t cell) { store_seq(cell_of(&queue, position + queue.ring), cell); }

static void a_message_that_was_not_published_ends(void) {
    for (unsigned how = 0; how < 4; how++) {
        make(4);
        open_by_them();
        struct pool_run runs[] = {allocate_for(THEM, 3), allocate_for(ME, 2)};
        struct queue_message message;
        CHECK(begin_number(THEM, 1, 3, &message), ==, QUEUE_OK);
        CHECK(hold_by(&pool, THEM, &runs[1]), ==, SHARED_POOL_OK);
        if (how != 2) {
            CHECK(queue_carry(&queue, THEM, &message, &runs[0]), ==, QUEUE_OK);
            CHECK(queue_carry(&queue, THEM, &message, &runs[1]), ==, QUEUE_OK);
            CHECK(queue_carry(&queue, THEM, &message, &runs[1]), ==, QUEUE_OK); /* a ticket */
        }
        if (how == 1) { /* it noted a position, and another was quicker */
            store_seq(&message.message->position, queue.ring);
            CHECK(put(ME, 5), ==, QUEUE_OK);
        } else if (how == 2) { /* the run is not the message's yet, which carries nothing */
            store_seq(head_of(&queues.annex, message.run.index), ledger_live(THEM, message.run.generation));
        } else if (how == 3) {
            set_word(&message, message_word(MESSAGE_ENDING, THEM, message.run.generation));
        }
        recover_slots(bit_of(THEM));
        counts(how == 1, 0);
        CHECK(pool_head(&runs[0]), ==, LEDGER_FREE);
        CHECK(pool_head(&runs[1]) & (LEDGER_CARRIED | LEDGER_TICKETS_MASK), ==, 0);
        CHECK(drop_by(&pool, ME, &runs[1]), ==, true);
        close_and_unmake();
    }
}

static void a_message_that_was_published_stays_though_its_sender_did_not_say_so(void) {
    for (unsigned how = 0; how < 3; how++) {
        make(4);
        open_by_them();
        struct pool_run run = allocate_for(THEM, 3);
        struct queue_message message, taken;
        CHECK(begin_number(THEM, 7, 1, &message), ==, QUEUE_OK);
        CHECK(queue_carry(&queue, THEM, &message, &run), ==, QUEUE_OK);
        CHECK(queue_put(&queue, THEM, &message), ==, QUEUE_OK);
        set_word(&message, message_word(MESSAGE_PUTTING, THEM, message.run.generation));
        if (how) {
            store_seq(&queue.header->tail, queue.ring); /* nor pushed the tail on */
        }
        if (how != 2) {
            recover_slots(bit_of(THEM));
        } /* else it is still at work */
        counts(1, 0);
        CHECK(put(ME, 8), ==, QUEUE_OK);
        CHECK(queue_take(&queue, YOU, &taken), ==, QUEUE_OK);
        CHECK(number_in(&taken), ==, 7);
        CHECK(taken.again, ==, false);
        recover_slots(bit_of(THEM)); /* the receiver keeps it */
        counts(1, 1);
        CHECK(pool_head(&run) & LEDGER_CARRIED, !=, 0);
        queue_end(&queue, YOU, &taken);
        CHECK(pool_head(&run), ==, LEDGER_FREE);
        CHECK(get(YOU), ==, 8);
        close_and_unmake();
    }
}

static void messages_of_the_dead_come_again_first_and_in_their_order(void) {
    make(4);
    open_by_them();
    struct queue_message hands[3], taken;
    for (unsigned i = 0; i < 4; i++) {
        CHECK(put(ME, i), ==, QUEUE_OK);
    }
    for (unsigned i = 0; i < 3; i++) {
        CHECK(queue_take(&queue, i == 1 ? YOU : THEM, &hands[i]), ==, QUEUE_OK);
    }
    for (unsigned i = 4; i < 7; i++) {
        CHECK(put(ME, i), ==, QUEUE_OK);
    }
    CHECK(put(ME, 9), ==, QUEUE_FULL);
    counts(4, 3);
    recover_slots(bit_of(THEM));
    counts(6, 1); /* they need no room in the ring */
    CHECK(put(ME, 9), ==, QUEUE_FULL);
    recover_slots(bit_of(YOU)); /* the one between them too */
    static const uint64_t order[] = {0, 1, 2, 3, 4, 5, 6};
    for (unsigned i = 0; i < 7; i++) {
        CHECK(queue_take(&queue, ME, &taken), ==, QUEUE_OK);
        CHECK(number_in(&taken), ==, order[i]);
        CHECK(taken.position, ==, order[i]);
        CHECK(taken.again, ==, i < 3);
        if (i == 0) {
            struct queue_message second;
            recover_slots(bit_of(YOU)); /* nothing of YOU's */
            CHECK(queue_take(&queue, YOU, &second), ==, QUEUE_OK);
            recover_slots(bit_of(YOU)); /* and a third time */
            counts(6, 1);
        }
        queue_end(&queue, ME, &taken);
    }
    CHECK(get(ME), ==, NOTHING(QUEUE_EMPTY));
    CHECK(load_seq(&queue.header->returned), ==, load_seq(&queue.header->served));
    close_and_unmake();
}

static void without_redelivery_messages_end_with_their_receivers(void) {
    make_in(SMALL, QUEUE_IS_QUEUE, 4, 0);
    open_by_them();
    struct pool_run run = allocate_for(ME, 3);
    struct queue_message message, taken;
    CHECK(begin_number(ME, 0, 1, &message), ==, QUEUE_OK);
    CHECK(queue_carry(&queue, ME, &message, &run), ==, QUEUE_OK);
    CHECK(queue_put(&queue, ME, &message), ==, QUEUE_OK);
    CHECK(drop_by(&pool, ME, &run), ==, false);
    CHECK(put(ME, 1), ==, QUEUE_OK);
    CHECK(queue_take(&queue, THEM, &taken), ==, QUEUE_OK);
    recover_slots(bit_of(THEM));
    CHECK(pool_head(&run), ==, LEDGER_FREE);
    counts(1, 0);
    CHECK(get(ME), ==, 1);
    close_and_unmake();
}

/* The word says that the message was taken, but it still is in the ring. */
static void a_receiver_that_dies_before_it_empties_the_cell_leaves_the_others_going(void) {
    for (unsigned how = 0; how < 4; how++) {
        make_in(SMALL, QUEUE_IS_QUEUE, 3, how & 1 ? QUEUE_REDELIVERS : 0);
        open_by_them();
        struct queue_message taken;
        for (unsigned i = 0; i < 3; i++) {
            CHECK(put(ME, i), ==, QUEUE_OK);
        }
        CHECK(queue_take(&queue, THEM, &taken), ==, QUEUE_OK);
        set_cell(0, cell_full(queue.ring, taken.run.index));
        store_seq(&queue.header->head, queue.ring);
        if (how & 2) { /* others first */
            counts(2, 1);
            CHECK(put(ME, 3), ==, QUEUE_OK);
            CHECK(get(ME), ==, 1);
            recover_slots(bit_of(THEM));
            counts(how & 1 ? 3 : 2, 0);
            CHECK(get(ME), ==, how & 1 ? 0 : 2);
            close_and_unmake();
            continue;
        }
        recover_slots(bit_of(THEM));
        counts(how & 1 ? 3 : 2, 0);
        CHECK(put(ME, 3), ==, QUEUE_OK);
        for (uint64_t i = how & 1 ? 0 : 1; i < 4; i++) {
            CHECK(get(ME), ==, i);
        }
        close_and_unmake();
    }
}

static void an_end_that_was_begun_is_finished(void) {
    static const unsigned names[] = {THEM, LEDGER_RECOVERY}; /* a process, and a recovery that died */
    for (unsigned how = 0; how < 8; how++) {
        make(4);
        open_by_them();
        struct pool_run runs[] = {allocate_for(ME, 3), allocate_for(ME, 2)};
        struct queue_message message;
        CHECK(begin_number(ME, 0, 3, &message), ==, QUEUE_OK);
        for (unsigned i = 0; i < 3; i++) {
            CHECK(queue_carry(&queue, ME, &message, &runs[i == 1]), ==, QUEUE_OK);
        }
        CHECK(queue_put(&queue, ME, &message), ==, QUEUE_OK);
        CHECK(drop_by(&pool, ME, &runs[0]), ==, false);
        CHECK(drop_by(&pool, ME, &runs[1]), ==, false);
        uint64_t ending = message_word(MESSAGE_ENDING, names[how & 1], message.run.generation);
        set_word(&message, ending);
        for (unsigned i = 0; i < how / 2; i++) {
            let_go(&queues, names[how & 1], &message, i);
        }
        recover_slots(bit_of(THEM));
        CHECK(pool_head(&runs[0]), ==, LEDGER_FREE);
        CHECK(pool_head(&runs[1]), ==, LEDGER_FREE);
        counts(0, 0);
        CHECK(get(ME), ==, NOTHING(QUEUE_EMPTY));
        close_and_unmake();
    }
}

static void what_the_living_have_is_left_to_them(void) {
    make(8);
    struct queue_message made, taken;
    CHECK(put(ME, 0), ==, QUEUE_OK);
    CHECK(put(ME, 1), ==, QUEUE_OK);
    CHECK(queue_take(&queue, YOU, &taken), ==, QUEUE_OK);
    CHECK(begin_number(YOU, 2, 0, &made), ==, QUEUE_OK);
    uint64_t words[] = {word_at(taken.run.index), word_at(made.run.index)};
    recover_slots(bit_of(THEM));
    CHECK(word_at(taken.run.index), ==, words[0]);
    CHECK(word_at(made.run.index), ==, words[1]);
    CHECK(queue_put(&queue, YOU, &made), ==, QUEUE_OK);
    queue_end(&queue, YOU, &taken);
    CHECK(get(ME), ==, 1);
    CHECK(get(ME), ==, 2);
    close_and_unmake();
}

static void a_recovery_that_died_before_it_told_of_a_returned_message_is_made_up_for(void) {
    make(4);
    open_by_them();
    struct queue_message taken;
    CHECK(put(ME, 5), ==, QUEUE_OK);
    CHECK(queue_take(&queue, THEM, &taken), ==, QUEUE_OK);
    set_word(&taken, message_word(MESSAGE_RETURNED, LEDGER_NOBODY, taken.run.generation));
    recover_slots(bit_of(THEM));
    counts(1, 0);
    CHECK(queue_take(&queue, YOU, &taken), ==, QUEUE_OK);
    CHECK(number_in(&taken), ==, 5);
    CHECK(taken.again, ==, true);
    queue_end(&queue, YOU, &taken);
    close_and_unmake();
}

static void messages_outlive_their_queue_only_in_the_hands_of_who_took_them(void) {
    for (unsigned how = 0; how < 2; how++) {
        make(4);
        struct queue_message first, second;
        CHECK(put(ME, 0), ==, QUEUE_OK);
        CHECK(put(ME, 1), ==, QUEUE_OK);
        CHECK(put(ME, 2), ==, QUEUE_OK);
        CHECK(queue_take(&queue, YOU, &first), ==, QUEUE_OK);
        CHECK(queue_take(&queue, THEM, &second), ==, QUEUE_OK);
        close_queue();
        CHECK(bitmap_count(&queues.annex.bitmap), ==, 2);
        recover_slots(bit_of(THEM));
        CHECK(bitmap_count(&queues.annex.bitmap), ==, 1);
        if (how) {
            recover_slots(bit_of(YOU));
        } else {
            struct slot_set own = set_of(bit_of(YOU)); /* it leaves alive */
            queues_recover(&queues, &own, YOU);
        }
        unmake();
    }
}

static void a_queue_of_the_dead_ends_with_its_messages(void) {
    make(4);
    struct pool_run run = allocate_for(ME, 3);
    struct queue_message message;
    CHECK(begin_number(ME, 0, 1, &message), ==, QUEUE_OK);
    CHECK(queue_carry(&queue, ME, &message, &run), ==, QUEUE_OK);
    CHECK(queue_put(&queue, ME, &message), ==, QUEUE_OK);
    CHECK(put(ME, 1), ==, QUEUE_OK);
    recover_slots(bit_of(ME));
    unmake();
}

static void a_fork_gives_the_child_the_queues_and_no_messages(void) {
    make(4);
    struct queue_message taken, made;
    CHECK(put(ME, 0), ==, QUEUE_OK);
    CHECK(put(ME, 1), ==, QUEUE_OK);
    CHECK(queue_take(&queue, ME, &taken), ==, QUEUE_OK);
    CHECK(begin_number(ME, 2, 0, &made), ==, QUEUE_OK);
    queues_fork(&queues, ME, YOU);
    queues_fork(&queues, THEM, 5); /* who has nothing */
    CHECK(holders_at(&queues.annex, queue.run.index), ==, bit_of(ME) | bit_of(YOU));
    CHECK(holders_at(&queues.annex, taken.run.index), ==, 0);
    CHECK(holders_at(&queues.annex, made.run.index), ==, 0);
    CHECK(get(YOU), ==, 1);
    recover_slots(bit_of(ME));
    CHECK(get(YOU), ==, 0);
    CHECK(get(YOU), ==, NOTHING(QUEUE_EMPTY));
    recover_slots(bit_of(YOU));
    unmake();
}

/* --- death at any access --- */

static struct pool_run dying_runs[2];
static struct queue_message dying_message;
static enum queue_status dying_status; /* of what was done before the death; QUEUE_KINDS if nothing was */
static bool dying_began_end;
#define UNDONE ((enum queue_status)99)

static void do_put(void) {
    CHECK(begin_number(THEM, 100, 2, &dying_message), ==, QUEUE_OK);
    CHECK(queue_carry(&queue, THEM, &dying_message, &dying_runs[0]), ==, QUEUE_OK);
    CHECK(queue_carry(&queue, THEM, &dying_message, &dying_runs[1]), ==, QUEUE_OK);
    dying_status = queue_put(&queue, THEM, &dying_message);
}

static void do_take_and_end(void) {
    enum queue_status status = queue_take(&queue, THEM, &dying_message);
    dying_status = status;
    dying_began_end = true;
    queue_end(&queue, THEM, &dying_message);
}

static void do_drop(void) {
    dying_began_end = true;
    dying_status = drop_oldest(THEM) ? QUEUE_OK : QUEUE_EMPTY;
}

static void do_shut(void) {
    queue_shut(&queue, THEM, true);
    dying_status = QUEUE_OK;
}

static void (*const dying[])(void) = {do_put, do_take_and_end, do_drop, do_shut};

static void recovery_that_dies(void) { recover_slots(bit_of(THEM)); }

/* A queue of four, in which ME has put 0, 1 and 2; the first message carries a run, and THEM takes part. */
static void make_to_die(unsigned flags) {
    make_in(SMALL, QUEUE_IS_QUEUE, 4, flags);
    open_by_them();
    dying_runs[0] = allocate_for(THEM, 3);
    dying_runs[1] = allocate_for(ME, 2);
    CHECK(hold_by(&pool, THEM, &dying_runs[1]), ==, SHARED_POOL_OK);
    struct queue_message message;
    CHECK(begin_number(ME, 0, 1, &message), ==, QUEUE_OK);
    CHECK(queue_carry(&queue, ME, &message, &dying_runs[1]), ==, QUEUE_OK);
    CHECK(shared_pool_share(&pool, ME, &dying_runs[1], 1, 1), ==, SHARED_POOL_OK); /* nobody may take this ticket */
    CHECK(drop_by(&pool, ME, &dying_runs[1]), ==, false);
    CHECK(queue_put(&queue, ME, &message), ==, QUEUE_OK);
    CHECK(put(ME, 1), ==, QUEUE_OK);
    CHECK(put(ME, 2), ==, QUEUE_OK);
    dying_status = UNDONE;
    dying_began_end = false;
}

/* What is in the queue now is what may be there, in order. */
static void drain_after(unsigned what, unsigned flags) {
    uint64_t found[8], n = 0, number;
    while (n < 8 && (number = get(ME)) < 1000) {
        found[n++] = number;
    }
    bool shut = load_seq(&queue.header->shut);
    CHECK(number, ==, NOTHING(shut ? QUEUE_SHUT : QUEUE_EMPTY));
    if (what == 3) {
        CHECK(shut && n > 0, ==, false);
        return; /* the messages have ended, or some have */
    }
    uint64_t at = 0;
    bool gone = false; /* the first one */
    if (found[0] == 1) {
        gone = true;
        CHECK(what == 1 ? dying_began_end || !(flags & QUEUE_REDELIVERS) : what == 2, ==, true);
    }
    CHECK(what != 0 || !gone, ==, true);
    for (uint64_t i = gone; i < 3; i++) {
        CHECK(at < n && found[at] == i, ==, true);
        at++;
    }
    if (what == 0) {
        bool there = at < n && found[at] == 100;
        at += there;
        CHECK(there, >=, dying_status == QUEUE_OK);
    }
    CHECK(at, ==, n);
}

static void a_death_at_any_access_loses_nothing_and_leaves_nothing(void) {
    uint64_t deaths = 0, recoveries = 0;
    for (unsigned what = 0; what < sizeof dying / sizeof *dying; what++) {
        for (unsigned flags = 0; flags <= QUEUE_REDELIVERS; flags++) {
            bool came = true;
            for (uint64_t k = 1; came; k++) {
                bool recovery_came = true;
                for (uint64_t j = 1; recovery_came; j += 1 + j / 16) { /* and the recovery dies, too */
                    make_to_die(flags);
                    at_access(k, die);
                    until_death(dying[what]);
                    came = access_came();
                    deaths += came;
                    no_fault(false);
                    at_access(j, die);
                    until_death(recovery_that_dies);
                    recovery_came = access_came();
                    recoveries += recovery_came;
                    if (recovery_came) {
                        recover_slots(bit_of(THEM));
                    }
                    CHECK(holders_at(&queues.annex, queue.run.index), ==, bit_of(ME));
                    drain_after(what, flags);
                    CHECK(shared_pool_drop_tickets(&pool, UINT32_MAX), >=, 1);
                    close_and_unmake();
                }
            }
        }
    }
    CHECK(deaths, >, 1000);
    CHECK(recoveries, >, 1000);
}

/* If a process stops there, others find nothing wrong. */
static void look_for_faults(void) { no_fault(false); }

static void nothing_that_an_operation_leaves_for_a_moment_looks_like_a_fault(void) {
    for (unsigned what = 0; what < sizeof dying / sizeof *dying; what++) {
        for (unsigned flags = 0; flags <= QUEUE_REDELIVERS; flags++) {
            bool came = true;
            for (uint64_t k = 1; came; k++) {
                make_to_die(flags);
                at_access(k, look_for_faults);
                dying[what]();
                came = access_came();
                at_access(k, die); /* nor what a recovery leaves that dies */
                until_death(recovery_that_dies);
                came |= access_came();
                no_fault(false);
                recover_slots(bit_of(THEM));
                CHECK(shared_pool_drop_tickets(&pool, UINT32_MAX), >=, 1);
                close_and_unmake();
            }
        }
    }
}

/* The last one who has the queue open closes it, or makes one, and dies. */
static void do_close(void) { (void)drop_by(&queues.annex, THEM, &queue.run); }
static void do_make(void) {
    struct queue_request request = {QUEUE_IS_QUEUE, 70, 0};
    struct queue made;
    if (queue_make(&queues, THEM, &request, &made) == QUEUE_OK) {
        (void)drop_by(&queues.annex, THEM, &made.run);
    }
}

static void a_queue_that_is_half_made_or_half_closed_goes(void) {
    for (unsigned what = 0; what < 2; what++) {
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            make_to_die(QUEUE_REDELIVERS);
            if (what == 0) {
                CHECK(drop_by(&queues.annex, ME, &queue.run), ==, false);
            }
            at_access(k, die);
            until_death(what == 0 ? do_close : do_make);
            came = access_came();
            no_fault(false);
            recover_slots(bit_of(THEM));
            if (what == 1) {
                drain_after(0, 0);
                close_queue();
            }
            CHECK(shared_pool_drop_tickets(&pool, UINT32_MAX), ==, 1);
            unmake();
        }
    }
}

/* The same of topics. */
static uint64_t dying_position, dying_lost;
static unsigned dying_cursor;

static void do_publish(void) { dying_status = put(THEM, 100); }
static void do_subscribe(void) {
    if (queue_subscribe(&queue, THEM, &dying_cursor, &dying_position) == QUEUE_OK) {
        queue_advance(&queue, THEM, dying_cursor, dying_position + 1);
        queue_unsubscribe(&queue, THEM, dying_cursor);
    }
}
static void do_read(void) { (void)read_by(THEM, &dying_position, &dying_lost); }

static void a_death_at_any_access_holds_up_no_topic(void) {
    static void (*const steps[])(void) = {do_publish, do_subscribe, do_read};
    for (unsigned what = 0; what < 3; what++) {
        bool came = true;
        for (uint64_t k = 1; came; k++) {
            for (unsigned recovered = 0; recovered < 2; recovered++) {
                make_topic(2);
                open_by_them();
                for (uint64_t n = 0; n < 3; n++) {
                    CHECK(put(ME, n), ==, QUEUE_OK);
                }
                dying_status = UNDONE;
                dying_position = 0;
                at_access(k, die);
                until_death(steps[what]);
                came = access_came();
                no_fault(false);
                if (recovered || what == 1) { /* a cursor of the dead holds others up until then */
                    recover_slots(bit_of(THEM));
                }
                uint64_t position = 0, lost = 0, next = queue_next(&queue), number;
                CHECK(next == 3 || (what == 0 && next == 4), ==, true);
                CHECK(next == 4, >=, what == 0 && dying_status == QUEUE_OK);
                for (uint64_t n = 0; n < 4; n++) {
                    CHECK(put(ME, 10 + n), ==, QUEUE_OK);
                }
                number = read_by(YOU, &position, &lost);
                CHECK(number, ==, 12);
                CHECK(position, ==, next + 3);
                CHECK(lost, ==, next + 2);
                CHECK(read_by(YOU, &position, &lost), ==, 13);
                CHECK(read_by(YOU, &position, &lost), ==, NOTHING(QUEUE_EMPTY));
                if (!recovered) {
                    recover_slots(bit_of(THEM));
                }
                close_and_unmake();
            }
        }
    }
}

/* --- what another slot does in the middle of an operation --- */

static enum queue_status your_status;
static uint64_t your_number;

static void you_put(void) { your_status = put(YOU, 200); }
static void you_get(void) { your_number = get(YOU); }
static void you_drop(void) { your_status = drop_oldest(YOU) ? QUEUE_OK : QUEUE_EMPTY; }
static void you_put_and_get(void) {
    you_put();
    you_get();
}
static void you_lap(void) { /* the whole ring, and the slots of all messages, are used again */
    for (unsigned i = 0; i < 3; i++) {
        uint64_t number = get(YOU);
        if (number > 1000 || put(YOU, number) != QUEUE_OK) {
            your_number = number;
            return;
        }
    }
}
static void recovery_of_nobody(void) { recover_slots(bit_of(5)); }

static void an_operation_that_another_interrupts_does_all_or_nothing(void) {
    static void (*const acts[])(void) = {you_put, you_get, you_drop, you_put_and_get, you_lap, recovery_of_nobody};
    for (uint64_t capacity = 1; capacity <= 3; capacity++) {
        for (uint64_t before = 0; before <= capacity; before++) {
            for (unsigned what = 0; what < 3; what++) {
                for (unsigned a = 0; a < sizeof acts / sizeof *acts; a++) {
                    bool came = true;
                    for (uint64_t k = 1; came; k++) {
                        make(capacity);
                        for (uint64_t n = 0; n < before; n++) {
                            CHECK(put(ME, n), ==, QUEUE_OK);
                        }
                        uint64_t in = before, out = 0, seen[300] = {0}, mine = UINT64_MAX, number;
                        your_status = UNDONE;
                        your_number = UINT64_MAX;
                        at_access(k, acts[a]);
                        if (what == 0) {
                            enum queue_status status = put(ME, 100);
                            CHECK(status == QUEUE_OK || status == QUEUE_FULL, ==, true);
                            CHECK(before + (a == 0 || a == 3) < capacity && status != QUEUE_OK, ==, false);
                            in += status == QUEUE_OK;
                        } else if (what == 1) {
                            mine = get(ME);
                            CHECK(mine < 1000 || mine == NOTHING(QUEUE_EMPTY), ==, true);
                            out += mine < 1000;
                        } else {
                            (void)drop_oldest(ME);
                        }
                        came = access_came();
                        out += load_seq(&queue.header->lost);
                        in += came && (a == 0 || a == 3) && your_status == QUEUE_OK;
                        out += came && (a == 1 || a == 3 || a == 4) && your_number < 1000;
                        if (mine < 1000) {
                            seen[mine]++;
                        }
                        if (your_number < 1000) {
                            seen[your_number]++;
                        }
                        counts(in - out, 0);
                        uint64_t last = 0;
                        for (; (number = get(ME)) < 1000; out++) {
                            CHECK(seen[number]++, ==, 0);
                            if (number < 100 && a != 4) { /* in the order of their sender */
                                CHECK(number, >=, last);
                                last = number;
                            }
                        }
                        CHECK(number, ==, NOTHING(QUEUE_EMPTY));
                        CHECK(in, ==, out);
                        close_and_unmake();
                    }
                }
            }
        }
    }
}

static uint64_t your_position, your_lost;
static void you_publish(void) { your_status = put(YOU, queue_next(&queue)); }
static void you_publish_four(void) {
    for (unsigned i = 0; i < 4; i++) {
        you_publish();
    }
}
static void you_read(void) { your_number = read_by(YOU, &your_position, &your_lost); }

/* A reader's copy is whole, whatever others do at any of its accesses: they may end the message and make another one in
 * the same blocks. */
static void a_copy_is_of_one_message(void) {
    static void (*const acts[])(void) = {you_publish, you_publish_four, recovery_of_nobody};
    for (uint64_t history = 1; history <= 3; history++) {
        for (uint64_t before = 1; before <= 2 * history; before++) {
            for (unsigned a = 0; a < sizeof acts / sizeof *acts; a++) {
                bool came = true;
                for (uint64_t k = 1; came; k++) {
                    make_topic(history);
                    for (uint64_t n = 0; n < before; n++) {
                        CHECK(put(ME, n), ==, QUEUE_OK);
                    }
                    uint64_t position = 0, lost = 0;
                    at_access(k, acts[a]);
                    uint64_t number = copied_by(&position, &lost);
                    came = access_came();
                    CHECK(number, ==, position - 1);
                    CHECK(lost, ==, number);
                    close_and_unmake();
                }
            }
        }
    }
}

/* Publishes the number that is its position, also if others come between. */
static enum queue_status publish_next(unsigned slot) {
    struct queue_message message;
    CHECK(begin_number(slot, queue_next(&queue), 0, &message), ==, QUEUE_OK);
    uint64_t number = queue_next(&queue);
    memcpy(message.bytes, &number, 8);
    enum queue_status status = queue_put(&queue, slot, &message);
    if (status != QUEUE_OK) {
        queue_end(&queue, slot, &message);
    }
    return status;
}

static void a_reader_that_publishers_wait_for_misses_none(void) {
    static void (*const acts[])(void) = {you_publish, you_publish_four, you_read, recovery_of_nobody};
    for (uint64_t history = 1; history <= 3; history++) {
        for (uint64_t before = 0; before <= 2 * history; before++) {
            for (unsigned a = 0; a < sizeof acts / sizeof *acts; a++) {
                for (unsigned what = 0; what < 3; what++) {
                    bool came = true;
                    for (uint64_t k = 1; came; k++) {
                        make_topic(history);
                        for (uint64_t n = 0; n < before; n++) {
                            CHECK(publish_next(ME), ==, QUEUE_OK);
                        }
                        unsigned cursor;
                        uint64_t position, lost = 0, last;
                        your_position = your_lost = 0;
                        if (what) {
                            CHECK(queue_subscribe(&queue, THEM, &cursor, &position), ==, QUEUE_OK);
                        }
                        at_access(k, acts[a]);
                        if (what == 0) {
                            CHECK(queue_subscribe(&queue, THEM, &cursor, &position), ==, QUEUE_OK);
                        } else if (what == 1) {
                            (void)publish_next(ME);
                        } else {
                            uint64_t number = read_by(THEM, &position, &lost);
                            CHECK(number < 1000 || number == NOTHING(QUEUE_EMPTY), ==, true);
                            queue_advance(&queue, THEM, cursor, position);
                        }
                        came = access_came();
                        uint64_t from = position, number;
                        CHECK(queue_next(&queue) - position <= history + (what == 0), ==, true);
                        for (unsigned more = 0; more < 3; more++) {
                            for (unsigned n = 0; n < 20 && put(ME, 0) == QUEUE_OK; n++) {
                            }
                            CHECK(queue_next(&queue) - from <= history + 1, ==, true);
                            CHECK(queue_next(&queue) - from >= history, ==, true);
                            for (last = from; (number = read_by(THEM, &position, &lost)) < 1000; last = position) {
                                CHECK(position, ==, last + 1);
                            }
                            CHECK(number, ==, NOTHING(QUEUE_EMPTY));
                            queue_advance(&queue, THEM, cursor, position);
                            from = position;
                        }
                        CHECK(lost, ==, 0);
                        CHECK(your_lost + history >= your_position - 1 || your_position == 0, ==, true);
                        queue_unsubscribe(&queue, THEM, cursor);
                        close_and_unmake();
                    }
                }
            }
        }
    }
}

/* --- damage --- */

/* No operation makes so many accesses, whatever it meets. */
#define MOST_ACCESSES UINT64_C(3000000)

static void that_takes_too_long(void) {
    printf("an operation does not end\n");
    CHECK(true, ==, false);
    (void)check_end();
    fflush(stdout);
    abort();
}

static void bounded(void) { at_access(MOST_ACCESSES, that_takes_too_long); }

static void a_cell_that_names_no_block_or_no_position_is_corrupt(void) {
    const uint64_t cells[] = {cell_full(4, SMALL), cell_full(4, CELL_BLOCK), cell_empty(5), cell_full(5, 1),
                              cell_empty(4 + 12),  cell_full(4 + 8, 1),      UINT64_MAX,    0};
    for (unsigned i = 0; i < sizeof cells / sizeof *cells; i++) {
        make(4);
        struct pool_run run;
        uint64_t position = 0, lost = 0;
        store_seq(&queue.cells[0], cells[i]);
        CHECK(get(ME), ==, NOTHING(QUEUE_CORRUPT));
        CHECK(drop_oldest(ME), ==, false);
        if (i > 1) {
            CHECK(put(ME, 1), ==, QUEUE_CORRUPT);
        }
        enum queue_status found = queue_find(&queue, &position, &lost, &run);
        CHECK(found == QUEUE_CORRUPT || (found == QUEUE_EMPTY && i > 1), ==, true);
        queue_shut(&queue, ME, true);
        CHECK(get(ME), ==, NOTHING(QUEUE_SHUT));
        CHECK(drop_by(&queues.annex, ME, &queue.run), ==, true);
        unmake();
    }
}

/* Damages a word or some at a random place of the annex and the pool. */
static void damage(void) {
    uint64_t *words, which, value = check_random(), count, step = 1;
    switch (check_below(9)) {
    case 0: /* the queue's header */
    case 1:
        words = (uint64_t *)queue.header;
        count = sizeof *queue.header / 8;
        break;
    case 2: /* cells */
    case 3:
        words = (uint64_t *)queue.cells;
        count = queue.ring;
        break;
    case 4: /* messages and queues, and what they carry */
        words = (uint64_t *)queues.memory;
        count = SMALL;
        step = LAYOUT_SMALL / 8;
        words += check_below(16);
        break;
    case 5: /* the words of messages */
        words = (uint64_t *)word_of(&queues, 0);
        count = SMALL;
        step = queues.annex.entry_bytes / 8;
        break;
    case 6: /* entries of the annex */
        words = (uint64_t *)queues.annex.entries;
        count = SMALL * queues.annex.entry_bytes / 8;
        break;
    case 7: /* cursors */
        words = (uint64_t *)queue.cursors;
        count = queue.cursor_count;
        break;
    default: /* entries of the pool */
        words = (uint64_t *)pool.entries;
        count = 16 * pool.entry_bytes / 8;
    }
    if (count == 0) {
        return;
    }
    which = check_below(2) ? check_below(count) : check_below(count < 16 ? count : 16);
    uint64_t *word = words + which * step;
    switch (check_below(8)) {
    case 0:
        *word = value;
        break;
    case 1:
        *word ^= UINT64_C(1) << value % 64;
        break;
    case 2:
        *word += value % 8 - 4;
        break;
    case 3:
        *word = words[value % count * step]; /* another one of that place: valid, but not here */
        break;
    case 4:
        *word = message_word((enum message_state)(value % 8), (unsigned)(value >> 3 & 3) - (value >> 5 & 1),
                             value >> 8 & 3) |
                (value >> 12 & 1) * MESSAGE_AGAIN;
        break;
    case 5:
        *word = cell_full(queue.ring + (value & 7), (value >> 16 & 3 ? 0 : SMALL - 1) + (value >> 8 & 15));
        break;
    case 6:
        *word = message_carries(value & 15, value >> 8 & 3);
        break;
    default: /* many */
        for (uint64_t i = which; i < count; i++) {
            words[i * step] = value & (value >> 7 & 1 ? 7 : UINT64_MAX);
        }
    }
}

/* What a message says that was taken or read lies in the annex. */
static void in_bounds(const struct queue_message *message) {
    unsigned char *end_of = queues.memory + SMALL * LAYOUT_SMALL;
    CHECK(message->run.index < SMALL, ==, true);
    CHECK(message->bytes >= queues.memory && message->bytes <= end_of, ==, true);
    CHECK(message->length <= (uint64_t)(end_of - message->bytes), ==, true);
    struct pool_run run;
    for (unsigned i = 0; i < 3; i++) {
        if (queue_carried(&queues, message, i, &run)) {
            CHECK(run.index < BLOCKS, ==, true);
        }
    }
}

static void use_what_is_damaged(void) {
    struct queue_message messages[4], message;
    struct pool_run run;
    struct queue found;
    unsigned taken = 0, cursor;
    uint64_t position = check_below(4), lost = 0, waiting, in_hands;
    for (unsigned step = 0; step < 24; step++) {
        unsigned slot = (unsigned)check_below(3);
        bounded();
        switch (check_below(10)) {
        case 0:
        case 1:
            (void)put(slot, step);
            break;
        case 2:
        case 3:
            if (taken < 4 && queue_take(&queue, slot, &messages[taken]) == QUEUE_OK) {
                in_bounds(&messages[taken++]);
            }
            break;
        case 4:
            if (taken) {
                queue_end(&queue, slot, &messages[--taken]);
            }
            break;
        case 5:
            (void)drop_oldest(slot);
            break;
        case 6:
            queue_count(&queue, &waiting, &in_hands);
            CHECK(waiting <= queue.ring + SMALL && in_hands <= SMALL, ==, true);
            (void)queue_oldest(&queue);
            (void)queue_next(&queue);
            break;
        case 7: {
            bool set;
            if (queue_find(&queue, &position, &lost, &run) == QUEUE_OK) {
                CHECK(run.index < SMALL, ==, true);
                if (shared_pool_hold(&queues.annex, slot, &run, &set) == SHARED_POOL_OK) {
                    if (queue_open(&queue, &run, &message) == QUEUE_OK) {
                        in_bounds(&message);
                    }
                    bool last;
                    if (shared_pool_drop(&queues.annex, slot, &run, &last) == SHARED_POOL_OK && last) {
                        shared_pool_finish(&queues.annex, &run);
                    }
                }
                position++;
            }
            break;
        }
        case 8:
            if (queue_subscribe(&queue, slot, &cursor, &position) == QUEUE_OK) {
                queue_advance(&queue, slot, cursor, position + 1);
                if (step % 2) {
                    queue_unsubscribe(&queue, slot, cursor);
                }
            }
            break;
        default:
            for (uint64_t from = 0; queues_next(&queues, from, &found); from = found.run.index + 1) {
                CHECK(found.run.index >= from && found.run.index + found.run.blocks <= SMALL, ==, true);
            }
            if (queue_view(&queues, &queue.run, &found) == QUEUE_OK) {
                CHECK((unsigned char *)(found.cells + found.ring) <= queues.memory + SMALL * LAYOUT_SMALL, ==, true);
            }
        }
    }
    bounded();
    queues_fork(&queues, ME, 5);
    bounded();
    recover_slots(bit_of(1 + (unsigned)check_below(2)));
    bounded();
    queue_shut(&queue, ME, check_below(2));
    bounded();
    struct pool_run own = queue.run;
    bool last;
    if (shared_pool_drop(&queues.annex, ME, &own, &last) == SHARED_POOL_OK && last) {
        shared_pool_finish(&queues.annex, &own);
    }
    bounded();
    recover_slots(bit_of(ME) | bit_of(YOU) | bit_of(THEM) | bit_of(5));
    (void)access_came();
}

static void whatever_is_damaged_all_calls_end_and_stay_in_bounds(void) {
    for (unsigned round = 0; round < 4000; round++) {
        static const struct {
            enum queue_kind kind;
            uint64_t capacity;
        } kinds[] = {{QUEUE_IS_QUEUE, 4}, {QUEUE_IS_TOPIC, 3}, {QUEUE_IS_LATEST, 1}, {QUEUE_IS_QUEUE, 1}};
        make_in(SMALL, kinds[round % 4].kind, kinds[round % 4].capacity, (unsigned)check_below(2));
        struct pool_run run = allocate_for(ME, 3);
        struct queue_message message;
        CHECK(begin_number(ME, 1, 2, &message), ==, QUEUE_OK);
        CHECK(queue_carry(&queue, ME, &message, &run), ==, QUEUE_OK);
        CHECK(queue_put(&queue, ME, &message), ==, QUEUE_OK);
        if (check_below(2) && queue.capacity > 1) {
            CHECK(put(YOU, 2), ==, QUEUE_OK);
            if (queue.kind == QUEUE_IS_QUEUE) {
                CHECK(queue_take(&queue, THEM, &message), ==, QUEUE_OK);
            }
        }
        for (uint64_t n = 1 + check_below(3); n > 0; n--) {
            damage();
        }
        use_what_is_damaged();
        free(memory);
    }
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(a_queue_has_the_capacity_that_was_asked_for);
    RUN(a_queue_that_does_not_fit_is_refused);
    RUN(what_is_no_queue_is_not_viewed_as_one);
    RUN(all_queues_are_found);
    RUN(messages_come_out_as_they_went_in);
    RUN(a_queue_does_what_a_list_does);
    RUN(what_is_in_the_way_is_dropped_and_nothing_else);
    RUN(a_message_may_have_any_size_that_fits);
    RUN(a_message_ends_once_and_only_by_whose_it_is);
    RUN(a_message_carries_runs_and_lets_go_of_them);
    RUN(a_run_that_is_in_a_message_already_gets_a_ticket);
    RUN(a_run_with_too_many_tickets_does_not_go_into_a_second_message);
    RUN(who_does_not_hold_a_run_cannot_put_it);
    RUN(a_queue_that_is_shut_for_senders_is_emptied_by_its_receivers);
    RUN(a_queue_that_is_shut_for_all_has_no_messages);
    RUN(each_reader_of_a_topic_gets_all);
    RUN(a_slow_reader_learns_how_many_it_has_missed);
    RUN(a_late_reader_begins_with_the_history);
    RUN(a_message_that_is_read_stays_until_its_reader_is_done);
    RUN(publishers_wait_for_who_must_not_miss_any);
    RUN(a_copy_of_a_message_needs_room_for_all_of_it);
    RUN(what_a_reader_waits_for_is_not_dropped);
    RUN(a_topic_has_so_many_cursors_and_no_more);
    RUN(a_latest_value_is_the_newest_one);
    RUN(a_topic_that_is_shut_has_nothing_more_to_say);
    RUN(an_event_that_nobody_waits_for_changes_nothing);
    RUN(what_changes_raises_its_event);
    RUN(the_sequence_of_an_event_may_begin_again);
    RUN(one_raise_wakes_all);
    RUN(a_recovery_wakes_those_whom_the_dead_left_asleep);
    RUN(a_message_that_was_not_published_ends);
    RUN(a_message_that_was_published_stays_though_its_sender_did_not_say_so);
    RUN(messages_of_the_dead_come_again_first_and_in_their_order);
    RUN(without_redelivery_messages_end_with_their_receivers);
    RUN(a_receiver_that_dies_before_it_empties_the_cell_leaves_the_others_going);
    RUN(an_end_that_was_begun_is_finished);
    RUN(what_the_living_have_is_left_to_them);
    RUN(a_recovery_that_died_before_it_told_of_a_returned_message_is_made_up_for);
    RUN(messages_outlive_their_queue_only_in_the_hands_of_who_took_them);
    RUN(a_queue_of_the_dead_ends_with_its_messages);
    RUN(a_fork_gives_the_child_the_queues_and_no_messages);
    RUN(a_death_at_any_access_loses_nothing_and_leaves_nothing);
    RUN(nothing_that_an_operation_leaves_for_a_moment_looks_like_a_fault);
    RUN(a_queue_that_is_half_made_or_half_closed_goes);
    RUN(a_death_at_any_access_holds_up_no_topic);
    RUN(an_operation_that_another_interrupts_does_all_or_nothing);
    RUN(a_copy_is_of_one_message);
    RUN(a_reader_that_publishers_wait_for_misses_none);
    RUN(a_cell_that_names_no_block_or_no_position_is_corrupt);
    RUN(whatever_is_damaged_all_calls_end_and_stay_in_bounds);
    return check_end();
}
