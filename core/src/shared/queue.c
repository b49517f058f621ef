/* queue.c: see queue.h. */
#include "shared/queue.h"

#include <stddef.h>
#include <string.h>

#include "os/wait.h"

_Static_assert(offsetof(struct queues, annex) == 0, "ended() knows the queues by their annex");
_Static_assert(sizeof(struct message) % 8 == 0, "runs follow");

/* --- names of runs, and where things are --- */

static uint64_t name_of(const struct pool_run *run) {
    return run->index << 40 | (run->generation & MESSAGE_GENERATION);
}

static struct pool_run run_of(uint64_t name) {
    return (struct pool_run){.index = name >> 40, .generation = name & MESSAGE_GENERATION};
}

static atomic_word *word_of(const struct queues *queues, uint64_t block) {
    return &shared_pool_entry(&queues->annex, block)->message;
}

static void *memory_of(const struct queues *queues, uint64_t block) { return queues->memory + block * MESSAGE_BLOCK; }

static struct message *message_at(const struct queues *queues, uint64_t block) { return memory_of(queues, block); }

static atomic_word *cell_of(const struct queue *queue, uint64_t position) {
    return &queue->cells[position & (queue->ring - 1)];
}

/* Positions begin at `ring`, so that the one a lap before is a number too. */
static uint64_t counted(const struct queue *queue, uint64_t position) { return position - queue->ring; }

static uint64_t blocks_for(uint64_t bytes) { return (bytes + MESSAGE_BLOCK - 1) / MESSAGE_BLOCK; }

/* Whether the message at the block says that it is for this queue. */
static bool is_for(const struct queue *queue, uint64_t block) {
    return load_relaxed(&message_at(queue->queues, block)->queue) == name_of(&queue->run);
}

/* --- events --- */

uint32_t queue_event_wait(struct queue_event *event) {
    uint32_t sequence = half_load_seq(&event->sequence), waited = half_load_seq(&event->waited);
    /* only upwards: a thread that is slow here must not hide one that sleeps on a later sequence */
    while ((int32_t)(sequence + 1 - waited) > 0 && !half_compare_exchange_seq(&event->waited, &waited, sequence + 1)) {
    }
    return sequence;
}

void queue_event_raise(struct queue_event *event) {
    if (half_load_seq(&event->waited) == half_load_seq(&event->sequence) + 1) {
        (void)os_wake_next_shared(&event->sequence, UINT32_MAX);
    }
}

void queue_event_watch(struct queue_event *event) { half_fetch_add_seq(&event->watched, 1); }

/* --- messages --- */

static bool is_shut_for_all(const struct queue *queue) { return load_seq(&queue->header->shut) & QUEUE_SHUT_FOR_ALL; }

/* Whether what the header says fits in the message's blocks. */
static bool is_whole(const struct message *message, uint64_t blocks) {
    uint64_t room = blocks * MESSAGE_BLOCK;
    if (room < sizeof *message || message->most > MESSAGE_MOST_RUNS || message->count > message->most) {
        return false;
    }
    uint64_t runs = message->most * sizeof(struct message_run);
    return runs <= room - sizeof *message && message->bytes <= room - sizeof *message - runs;
}

/* Fills in *found for a message of so many blocks, which may be a copy; false if its header is damaged. */
static bool describe(struct message *message, const struct pool_run *run, struct queue_message *found) {
    *found = (struct queue_message){.run = *run, .message = message};
    struct message copy = {.kind = message->kind, .most = message->most, .count = message->count};
    copy.bytes = message->bytes;
    if (!is_whole(&copy, run->blocks)) {
        return false;
    }
    found->kind = copy.kind;
    found->count = copy.count;
    found->length = copy.bytes;
    found->bytes = (unsigned char *)&message->runs[copy.most];
    return true;
}

/* The same for the message at that block. */
static bool fill(const struct queues *queues, uint64_t block, uint64_t word, struct queue_message *found) {
    struct pool_run run = {block, shared_pool_length(&queues->annex, block), message_generation(word)};
    bool whole = describe(message_at(queues, block), &run, found);
    found->again = word & MESSAGE_AGAIN;
    return whole;
}

bool queue_carried(const struct queues *queues, const struct queue_message *message, unsigned i, struct pool_run *run) {
    if (i >= message->count) {
        return false;
    }
    *run = run_of(message->message->runs[i].run);
    return run->index < queues->pool->blocks;
}

/* The message no longer holds the run. */
static void let_go(struct queues *queues, unsigned name, const struct queue_message *message, unsigned i) {
    struct message_run *carried = &message->message->runs[i];
    struct pool_run run;
    if (!queue_carried(queues, message, i, &run)) {
        return;
    }
    if (carried->how == MESSAGE_HAS_TICKET) {
        carried->how = MESSAGE_HOLDS_NOT; /* first: who dies here leaves a ticket too many, never one too few */
        shared_pool_drop_ticket(queues->pool, name, &run);
    } else if (carried->how == MESSAGE_HOLDS) {
        shared_pool_unload(queues->pool, name, &run, message_carries(message->run.index, message->run.generation));
    }
}

/* Pushes a counter on from the position. */
static void advance(atomic_word *counter, uint64_t position) {
    if (load_seq(counter) == position) {
        (void)compare_exchange_seq(counter, &position, position + 1);
    }
}

/* The same up to the position. */
static void push_to(atomic_word *counter, uint64_t position) {
    uint64_t now = load_seq(counter);
    while (now < position && !compare_exchange_seq(counter, &now, position)) {
    }
}

/* Empties the cell of that position, if it still is `cell`. */
static void empty_cell(const struct queue *queue, uint64_t position, uint64_t cell) {
    (void)compare_exchange_seq(cell_of(queue, position), &cell, cell_empty(position + queue->ring));
    advance(&queue->header->head, position);
}

/* The same for the cell in which a message was published. */
static void empty_cell_of(const struct queue *queue, uint64_t block) {
    uint64_t position = load_seq(&message_at(queue->queues, block)->position), cell = cell_full(position, block);
    if (position != MESSAGE_NOWHERE && load_seq(cell_of(queue, position)) == cell) {
        empty_cell(queue, position, cell);
    }
}

/* Ends a message whose word is `word`, ENDING in the name of the caller. Every step may be taken a second time. */
static void end(struct queues *queues, const struct queue *queue, unsigned name, uint64_t block, uint64_t word) {
    struct queue_message message;
    bool whole = fill(queues, block, word, &message);
    /* without the flag it has let go of everything, and its last reader may have freed it: then this is a later one */
    if (shared_pool_is_carried(&queues->annex, &message.run)) {
        if (queue) {
            empty_cell_of(queue, block);
        }
        for (unsigned i = 0; whole && i < message.count; i++) {
            let_go(queues, name, &message, i);
        }
    }
    shared_pool_end_message(&queues->annex, name, &message.run, word);
}

/* Makes the message that was seen as *word ENDING in that name; *word is the new one. */
static bool begin_end(const struct queues *queues, unsigned name, uint64_t block, uint64_t *word) {
    uint64_t ending = message_change(*word, MESSAGE_ENDING, name);
    bool mine = compare_exchange_seq(word_of(queues, block), word, ending);
    *word = ending;
    return mine;
}

void queue_end(struct queue *queue, unsigned slot, const struct queue_message *message) {
    uint64_t block = message->run.index, word = load_seq(word_of(queue->queues, block));
    enum message_state state = message_state(word);
    if ((state == MESSAGE_PUTTING || state == MESSAGE_TAKEN) && message_slot(word) == slot &&
        message_generation(word) == message->run.generation && begin_end(queue->queues, slot, block, &word)) {
        end(queue->queues, queue, slot, block, word);
        if (state == MESSAGE_TAKEN) {
            queue_event_raise(&queue->header->writable); /* who waits until all is done */
        }
    }
}

/* Says that there is a returned message. */
static void note_returned(struct queue *queue) {
    (void)fetch_add_seq(&queue->header->returned, 1);
    queue_event_raise(&queue->header->readable);
}

void queue_return(struct queue *queue, unsigned slot, const struct queue_message *message) {
    atomic_word *word = word_of(queue->queues, message->run.index);
    uint64_t taken = message_word(MESSAGE_TAKEN, slot, message->run.generation);
    taken |= message->again ? MESSAGE_AGAIN : 0;
    if (!(queue->flags & QUEUE_REDELIVERS) || is_shut_for_all(queue)) {
        queue_end(queue, slot, message);
    } else if (compare_exchange_seq(word, &taken, message_change(taken, MESSAGE_RETURNED, LEDGER_NOBODY))) {
        note_returned(queue);
    }
}

enum queue_status queue_begin(struct queue *queue, unsigned slot, uint32_t kind, unsigned runs, uint64_t bytes,
                              struct queue_message *message) {
    struct queues *queues = queue->queues;
    uint64_t most = queues->annex.blocks * MESSAGE_BLOCK;
    if (runs > MESSAGE_MOST_RUNS || bytes > most) {
        return QUEUE_NO_ROOM;
    }
    uint64_t total = sizeof(struct message) + runs * sizeof(struct message_run) + bytes, n = blocks_for(total);
    if (n > queues->annex.blocks) {
        return QUEUE_NO_ROOM;
    }
    *message = (struct queue_message){.message = NULL};
    if (shared_pool_allocate(&queues->annex, slot, n, n * MESSAGE_BLOCK - total, 0, &message->run) != SHARED_POOL_OK) {
        return QUEUE_CORRUPT;
    }
    if (message->run.index == BITMAP_NONE) {
        return QUEUE_NO_ROOM;
    }
    struct message *made = message_at(queues, message->run.index);
    store_relaxed(&made->position, MESSAGE_NOWHERE);
    store_relaxed(&made->queue, name_of(&queue->run));
    made->kind = kind;
    made->most = runs;
    made->count = 0;
    made->bytes = bytes;
    message->message = made;
    message->kind = kind;
    message->length = bytes;
    message->bytes = (unsigned char *)&made->runs[runs];
    store_seq(word_of(queues, message->run.index), message_word(MESSAGE_PUTTING, slot, message->run.generation));
    shared_pool_leave_to_message(&queues->annex, &message->run);
    return QUEUE_OK;
}

enum queue_status queue_carry(struct queue *queue, unsigned slot, struct queue_message *message,
                              const struct pool_run *run) {
    struct shared_pool *pool = queue->queues->pool;
    struct message *made = message->message;
    uint64_t free_word = 0;
    if (message->count >= made->most) {
        return QUEUE_NO_ROOM;
    }
    struct message_run *carried = &made->runs[message->count];
    carried->run = name_of(run);
    carried->how = MESSAGE_HOLDS; /* before it is true: letting go looks at the run's word */
    made->count = ++message->count;
    if (compare_exchange_seq(&shared_pool_entry(pool, run->index)->message, &free_word,
                             message_carries(message->run.index, message->run.generation))) {
        return shared_pool_carry(pool, slot, run) == SHARED_POOL_OK ? QUEUE_OK : QUEUE_CORRUPT;
    }
    carried->how = MESSAGE_HOLDS_NOT;
    enum shared_pool_status status = shared_pool_share(pool, slot, run, 1, os_seconds());
    if (status != SHARED_POOL_OK) {
        made->count = --message->count;
        return status == SHARED_POOL_TICKETS ? QUEUE_TICKETS : QUEUE_CORRUPT;
    }
    carried->how = MESSAGE_HAS_TICKET; /* after it is true */
    return QUEUE_OK;
}

/* --- the ring --- */

/* Whether the message that was in the cell at that position is gone, and even the next one may be there. */
static bool cell_is_past(const struct queue *queue, uint64_t cell, uint64_t position) {
    return cell == cell_empty(position + queue->ring) || cell_is_full_at(cell, position + queue->ring);
}

/* Whether a reader that must not miss any has still to read the message at the position, or one before it. */
static bool is_awaited(const struct queue *queue, uint64_t position) {
    bool awaited = false;
    for (uint64_t i = 0; i < queue->cursor_count && !awaited; i++) {
        uint64_t cursor = load_seq(&queue->cursors[i]);
        awaited = cursor && cursor_position(cursor) <= position;
    }
    return awaited;
}

enum cell_look {
    CELL_QUEUED,  /* its message is there to be taken */
    CELL_GONE,    /* its message was taken or dropped; the cell is empty now */
    CELL_CHANGED, /* look again */
    CELL_CORRUPT,
};

/* Looks at the message of a cell that was read as `cell`, FULL at the position; *word is the message's. */
static enum cell_look look_at(const struct queue *queue, uint64_t position, uint64_t cell, uint64_t *word) {
    uint64_t block = cell_block(cell);
    if (block >= queue->queues->annex.blocks) {
        return CELL_CORRUPT;
    }
    *word = load_seq(word_of(queue->queues, block));
    if (load_seq(cell_of(queue, position)) != cell) {
        return CELL_CHANGED; /* the word may be that of a later message */
    }
    switch (message_state(*word)) {
    case MESSAGE_QUEUED:
        return CELL_QUEUED;
    case MESSAGE_PUTTING: { /* it is published, and its sender has not said so yet */
        uint64_t queued = message_change(*word, MESSAGE_QUEUED, LEDGER_NOBODY);
        (void)compare_exchange_seq(word_of(queue->queues, block), word, queued);
        return CELL_CHANGED;
    }
    default:
        empty_cell(queue, position, cell);
        queue_event_raise(&queue->header->writable); /* its receiver may have stopped before it could */
        return CELL_GONE;
    }
}

/* What was claimed. */
struct claim {
    uint64_t block, word, position;
};

/* Claims the oldest message in the ring, if it is no later than `last`: its word becomes `state` in the name of the
 * slot. */
static enum queue_status claim_oldest(struct queue *queue, unsigned slot, enum message_state state, uint64_t last,
                                      struct claim *claim) {
    atomic_word *head = &queue->header->head;
    for (;;) {
        uint64_t at = load_seq(head), cell = load_seq(cell_of(queue, at)), word;
        if (at > last) {
            return QUEUE_EMPTY;
        }
        if (cell_is_full_at(cell, at)) {
            enum cell_look look = look_at(queue, at, cell, &word);
            if (look == CELL_CORRUPT) {
                return QUEUE_CORRUPT;
            }
            uint64_t block = cell_block(cell), mine = message_change(word, state, slot);
            if (look == CELL_QUEUED && compare_exchange_seq(word_of(queue->queues, block), &word, mine)) {
                *claim = (struct claim){block, mine, at};
                empty_cell(queue, at, cell);
                return QUEUE_OK;
            }
        } else if (cell_is_past(queue, cell, at)) {
            advance(head, at);
        } else if (load_seq(head) == at) {
            return cell == cell_empty(at) ? QUEUE_EMPTY : QUEUE_CORRUPT;
        }
    }
}

/* Takes the returned message that was put first; QUEUE_EMPTY if there is none. */
static enum queue_status take_returned(struct queue *queue, unsigned slot, struct claim *claim) {
    struct queues *queues = queue->queues;
    for (;;) {
        uint64_t returned = load_seq(&queue->header->returned), served = load_seq(&queue->header->served);
        *claim = (struct claim){.position = MESSAGE_NOWHERE};
        for (uint64_t i = 0; i < queues->annex.blocks && returned != served; i++) {
            uint64_t found = load_seq(word_of(queues, i));
            if (message_state(found) == MESSAGE_RETURNED && is_for(queue, i)) {
                uint64_t at = load_seq(&message_at(queues, i)->position);
                if (at < claim->position) {
                    *claim = (struct claim){i, found, at};
                }
            }
        }
        if (claim->position == MESSAGE_NOWHERE) {
            if (returned != served) {
                (void)compare_exchange_seq(&queue->header->served, &served, returned);
            }
            return QUEUE_EMPTY;
        }
        uint64_t word = claim->word;
        claim->word = message_change(word, MESSAGE_TAKEN, slot) | MESSAGE_AGAIN;
        if (compare_exchange_seq(word_of(queues, claim->block), &word, claim->word)) {
            return QUEUE_OK;
        }
    }
}

enum queue_status queue_take(struct queue *queue, unsigned slot, struct queue_message *message) {
    struct claim claim;
    uint64_t shut = load_seq(&queue->header->shut);
    if (shut & QUEUE_SHUT_FOR_ALL) {
        return QUEUE_SHUT;
    }
    enum queue_status status = QUEUE_EMPTY;
    if (load_seq(&queue->header->returned) != load_seq(&queue->header->served)) {
        status = take_returned(queue, slot, &claim);
    }
    if (status == QUEUE_EMPTY) {
        status = claim_oldest(queue, slot, MESSAGE_TAKEN, UINT64_MAX, &claim);
        if (status == QUEUE_OK) {
            queue_event_raise(&queue->header->writable);
        }
    }
    if (status == QUEUE_OK && !fill(queue->queues, claim.block, claim.word, message)) {
        queue_end(queue, slot, message);
        status = QUEUE_CORRUPT;
    }
    if (status == QUEUE_OK) {
        message->position = counted(queue, claim.position);
    }
    return status == QUEUE_EMPTY && shut ? QUEUE_SHUT : status;
}

void queue_drop_oldest(struct queue *queue, unsigned slot, const struct queue_message *message) {
    struct claim claim;
    if (!is_awaited(queue, load_seq(&queue->header->head)) &&
        claim_oldest(queue, slot, MESSAGE_ENDING, message->position + queue->ring, &claim) == QUEUE_OK) {
        end(queue->queues, queue, slot, claim.block, claim.word);
        (void)fetch_add_seq(&queue->header->lost, 1);
        queue_event_raise(&queue->header->writable);
    }
}

bool queue_is_shut(const struct queue *queue) { return load_seq(&queue->header->shut) != 0; }

bool queue_withdraw(struct queue *queue, unsigned slot, const struct queue_message *message) {
    uint64_t word = message_word(MESSAGE_QUEUED, LEDGER_NOBODY, message->run.generation);
    if (!begin_end(queue->queues, slot, message->run.index, &word)) {
        return false;
    }
    end(queue->queues, queue, slot, message->run.index, word);
    queue_event_raise(&queue->header->writable);
    return true;
}

/* Ends all messages that wait. */
static void clear(struct queue *queue, unsigned slot) {
    struct claim claim;
    while (claim_oldest(queue, slot, MESSAGE_ENDING, UINT64_MAX, &claim) == QUEUE_OK) {
        end(queue->queues, queue, slot, claim.block, claim.word);
    }
    while (take_returned(queue, slot, &claim) == QUEUE_OK) {
        if (begin_end(queue->queues, slot, claim.block, &claim.word)) {
            end(queue->queues, queue, slot, claim.block, claim.word);
        }
    }
}

/* Ends the message of a topic at the position, if it is there. */
static void evict(struct queue *queue, unsigned slot, uint64_t position) {
    struct queues *queues = queue->queues;
    for (;;) {
        uint64_t cell = load_seq(cell_of(queue, position)), word;
        if (!cell_is_full_at(cell, position)) {
            advance(&queue->header->head, position);
            return;
        }
        enum cell_look look = look_at(queue, position, cell, &word);
        if (look == CELL_CORRUPT) {
            return;
        }
        if (look == CELL_QUEUED && begin_end(queues, slot, cell_block(cell), &word)) {
            end(queues, queue, slot, cell_block(cell), word);
        }
    }
}

/* Ends the messages of a topic that are older than its history, now that the one at `newest` is there. */
static void evict_old(struct queue *queue, unsigned slot, uint64_t newest) {
    uint64_t oldest = load_seq(&queue->header->head);
    while (oldest + queue->capacity <= newest && newest - oldest <= queue->ring && !is_awaited(queue, oldest)) {
        evict(queue, slot, oldest);
        uint64_t now = load_seq(&queue->header->head);
        if (now == oldest) {
            break; /* damaged */
        }
        oldest = now;
    }
}

/* Whether there is room for a message at the position: that `capacity` positions before it is gone. */
static enum cell_look look_for_room(const struct queue *queue, uint64_t position) {
    uint64_t before = position - queue->capacity, cell = load_seq(cell_of(queue, before)), word;
    if (queue->kind != QUEUE_IS_QUEUE) {
        return is_awaited(queue, before) ? CELL_QUEUED : CELL_GONE;
    }
    return cell_is_full_at(cell, before) ? look_at(queue, before, cell, &word) : CELL_GONE;
}

/* The message was published at the position. */
static void published(struct queue *queue, unsigned slot, const struct queue_message *message, uint64_t position) {
    uint64_t word = message_word(MESSAGE_PUTTING, slot, message->run.generation);
    advance(&queue->header->tail, position);
    (void)compare_exchange_seq(word_of(queue->queues, message->run.index), &word,
                               message_change(word, MESSAGE_QUEUED, LEDGER_NOBODY));
    queue_event_raise(&queue->header->readable);
    if (queue->kind != QUEUE_IS_QUEUE) {
        evict_old(queue, slot, position);
    }
}

enum queue_status queue_put(struct queue *queue, unsigned slot, struct queue_message *message) {
    atomic_word *tail = &queue->header->tail;
    uint64_t block = message->run.index;
    for (;;) {
        if (load_seq(&queue->header->shut)) {
            return QUEUE_SHUT;
        }
        uint64_t at = load_seq(tail), cell = load_seq(cell_of(queue, at)), word;
        enum cell_look look = CELL_CHANGED;
        if (cell == cell_empty(at)) {
            look = look_for_room(queue, at);
            if (look == CELL_GONE) {
                push_to(&queue->header->head, at + 1 - queue->ring); /* what was in this cell is gone, and all before */
                store_seq(&message->message->position, at);
                if (compare_exchange_seq(cell_of(queue, at), &cell, cell_full(at, block))) {
                    published(queue, slot, message, at);
                    return QUEUE_OK;
                }
            }
        } else if (cell_is_past(queue, cell, at) || cell_is_full_at(cell, at)) {
            advance(tail, at);
        } else if (cell_is_full_at(cell, at - queue->ring)) {
            look = look_at(queue, at - queue->ring, cell, &word);
            if (look == CELL_QUEUED && queue->kind != QUEUE_IS_QUEUE && !is_awaited(queue, at - queue->ring)) {
                evict(queue, slot, at - queue->ring);
                look = CELL_CHANGED;
            }
        } else if (load_seq(tail) == at) {
            look = CELL_CORRUPT;
        }
        if (look == CELL_CORRUPT) {
            return QUEUE_CORRUPT;
        }
        if (look == CELL_QUEUED && load_seq(tail) == at) {
            message->position = counted(queue, at - queue->capacity);
            return QUEUE_FULL;
        }
    }
}

bool queue_has(const struct queue *queue, uint64_t position) {
    uint64_t at = position + queue->ring;
    return load_seq(cell_of(queue, at)) != cell_empty(at) || load_seq(&queue->header->shut);
}

bool queue_is_readable(const struct queue *queue) {
    uint64_t at = load_seq(&queue->header->head);
    return load_seq(cell_of(queue, at)) != cell_empty(at) || load_seq(&queue->header->shut) ||
           load_seq(&queue->header->returned) != load_seq(&queue->header->served);
}

bool queue_is_writable(const struct queue *queue) {
    uint64_t at = load_seq(&queue->header->tail), before = at - queue->capacity;
    bool full = queue->kind == QUEUE_IS_QUEUE ? cell_is_full_at(load_seq(cell_of(queue, before)), before)
                                              : is_awaited(queue, before);
    return !full || load_seq(&queue->header->shut);
}

/* --- topics --- */

uint64_t queue_oldest(const struct queue *queue) { return counted(queue, load_seq(&queue->header->head)); }

/* The position of the next message to be published; the tail may lag behind it. */
static uint64_t next_of(const struct queue *queue) {
    uint64_t at = load_seq(&queue->header->tail), end_at = at + queue->ring;
    for (; at != end_at; at++) {
        uint64_t cell = load_seq(cell_of(queue, at));
        if (!cell_is_full_at(cell, at) && !cell_is_past(queue, cell, at)) {
            break;
        }
    }
    return at;
}

uint64_t queue_next(const struct queue *queue) { return counted(queue, next_of(queue)); }

enum queue_status queue_find(struct queue *queue, uint64_t *position, uint64_t *lost, struct pool_run *run) {
    atomic_word *head = &queue->header->head;
    if (load_seq(&queue->header->shut) & QUEUE_SHUT_FOR_ALL) {
        return QUEUE_SHUT;
    }
    for (;;) {
        uint64_t at = *position + queue->ring, oldest = load_seq(head);
        if (at < oldest) {
            *lost += oldest - at;
            *position = counted(queue, oldest);
            at = oldest;
        }
        uint64_t cell = load_seq(cell_of(queue, at)), word;
        if (cell_is_full_at(cell, at)) {
            enum cell_look look = look_at(queue, at, cell, &word);
            if (look == CELL_CORRUPT) {
                return QUEUE_CORRUPT;
            }
            if (look == CELL_QUEUED) {
                *run = (struct pool_run){.index = cell_block(cell), .generation = message_generation(word)};
                return QUEUE_OK;
            }
            if (look == CELL_GONE && load_seq(head) <= at) { /* in the middle of the ring: damage */
                *lost += 1;
                *position += 1;
            }
        } else if (cell == cell_empty(at) || at >= next_of(queue)) {
            return load_seq(&queue->header->shut) ? QUEUE_SHUT : QUEUE_EMPTY;
        } else if (cell_is_past(queue, cell, at)) {
            advance(head, at);
            if (load_seq(head) <= at) {
                *lost += 1;
                *position += 1;
            }
        } else if (load_seq(cell_of(queue, at)) == cell && load_seq(head) <= at) { /* and did not just change */
            return QUEUE_CORRUPT;
        }
    }
}

enum queue_status queue_open(struct queue *queue, const struct pool_run *run, struct queue_message *message) {
    if (run->index >= queue->queues->annex.blocks || !is_for(queue, run->index) ||
        !fill(queue->queues, run->index, run->generation, message)) {
        return QUEUE_CORRUPT;
    }
    message->position = counted(queue, load_seq(&message->message->position));
    return QUEUE_OK;
}

enum queue_status queue_copy(struct queue *queue, uint64_t *position, uint64_t *lost, void *copy, uint64_t room,
                             struct queue_message *message) {
    const struct queues *queues = queue->queues;
    for (;;) {
        struct pool_run run;
        enum queue_status status = queue_find(queue, position, lost, &run);
        if (status != QUEUE_OK) {
            return status;
        }
        const atomic_word *from = memory_of(queues, run.index);
        uint64_t *to = copy, queued = message_word(MESSAGE_QUEUED, LEDGER_NOBODY, run.generation);
        run.blocks = shared_pool_length(&queues->annex, run.index);
        bool fits = run.blocks <= room / MESSAGE_BLOCK && run.blocks <= queues->annex.blocks - run.index;
        for (uint64_t i = 0; fits && i < run.blocks * MESSAGE_BLOCK / sizeof *from; i++) {
            to[i] = load_seq(&from[i]);
        }
        /* A later message in these blocks is written after this word has changed, which is seen here then. */
        if (load_seq(word_of(queues, run.index)) != queued) {
            continue;
        }
        if (!fits) {
            *message = (struct queue_message){.run = run};
            return run.blocks <= queues->annex.blocks - run.index ? QUEUE_NO_ROOM : QUEUE_CORRUPT;
        }
        if (!describe(copy, &run, message)) {
            return QUEUE_CORRUPT;
        }
        message->position = *position;
        return QUEUE_OK;
    }
}

enum queue_status queue_subscribe(struct queue *queue, unsigned slot, unsigned *cursor, uint64_t *position) {
    for (unsigned i = 0; i < queue->cursor_count; i++) {
        uint64_t word = load_seq(&queue->cursors[i]), at = load_seq(&queue->header->head);
        if (word == 0 && compare_exchange_seq(&queue->cursors[i], &word, cursor_word(slot, at))) {
            /* publishers that look at the cursors from now on see this one; others end what is older than this: */
            uint64_t next = next_of(queue), kept = next > queue->capacity ? next - queue->capacity : 0;
            if (kept > at) {
                at = kept;
                store_seq(&queue->cursors[i], cursor_word(slot, at));
            }
            *cursor = i;
            *position = counted(queue, at);
            return QUEUE_OK;
        }
    }
    return QUEUE_NO_CURSOR;
}

/* Whether the cursor is the slot's. */
static bool is_cursor_of(const struct queue *queue, unsigned slot, unsigned cursor) {
    uint64_t word = cursor < queue->cursor_count ? load_seq(&queue->cursors[cursor]) : 0;
    return word && cursor_slot(word) == slot;
}

void queue_advance(struct queue *queue, unsigned slot, unsigned cursor, uint64_t position) {
    if (is_cursor_of(queue, slot, cursor)) {
        store_seq(&queue->cursors[cursor], cursor_word(slot, position + queue->ring));
        queue_event_raise(&queue->header->writable);
    }
}

void queue_unsubscribe(struct queue *queue, unsigned slot, unsigned cursor) {
    if (is_cursor_of(queue, slot, cursor)) {
        store_seq(&queue->cursors[cursor], 0);
        queue_event_raise(&queue->header->writable);
    }
}

/* --- making and ending queues --- */

static uint64_t ring_of(const struct queue_request *request) {
    uint64_t least = request->capacity + (request->kind != QUEUE_IS_QUEUE), ring = 1;
    while (ring < least) {
        ring *= 2;
    }
    return ring;
}

static uint64_t cursors_of(enum queue_kind kind) { return kind == QUEUE_IS_TOPIC ? QUEUE_CURSORS : 0; }

uint64_t queue_bytes(const struct queue_request *request) {
    return sizeof(struct queue_header) + (cursors_of(request->kind) + ring_of(request)) * sizeof(atomic_word);
}

enum queue_status queue_make(struct queues *queues, unsigned slot, const struct queue_request *request,
                             struct queue *queue) {
    uint64_t bytes = queue_bytes(request), n = blocks_for(bytes);
    struct pool_run run;
    if (n > queues->annex.blocks) {
        return QUEUE_NO_ROOM;
    }
    if (shared_pool_allocate(&queues->annex, slot, n, n * MESSAGE_BLOCK - bytes, 0, &run) != SHARED_POOL_OK) {
        return QUEUE_CORRUPT;
    }
    if (run.index == BITMAP_NONE) {
        return QUEUE_NO_ROOM;
    }
    struct queue_header *header = memory_of(queues, run.index);
    memset(header, 0, bytes);
    header->kind = request->kind;
    header->flags = request->flags;
    header->capacity = request->capacity;
    header->ring = ring_of(request);
    header->cursors = cursors_of(request->kind);
    store_relaxed(&header->head, header->ring);
    store_relaxed(&header->tail, header->ring);
    atomic_word *cells = (atomic_word *)(header + 1) + header->cursors;
    for (uint64_t i = 0; i < header->ring; i++) {
        store_relaxed(&cells[i], cell_empty(header->ring + i));
    }
    store_seq(word_of(queues, run.index), message_word(MESSAGE_IS_QUEUE, LEDGER_NOBODY, run.generation));
    return queue_view(queues, &run, queue);
}

enum queue_status queue_view(struct queues *queues, const struct pool_run *run, struct queue *queue) {
    uint64_t word = message_word(MESSAGE_IS_QUEUE, LEDGER_NOBODY, run->generation);
    if (run->index >= queues->annex.blocks || load_seq(word_of(queues, run->index)) != word) {
        return QUEUE_CORRUPT;
    }
    struct queue_header *header = memory_of(queues, run->index);
    uint64_t blocks = shared_pool_length(&queues->annex, run->index);
    struct queue_request said = {(enum queue_kind)header->kind, header->capacity, header->flags};
    if (said.kind <= QUEUE_NONE || said.kind >= QUEUE_KINDS || said.capacity < 1 ||
        said.capacity > QUEUE_MOST_CAPACITY || header->ring != ring_of(&said) ||
        header->cursors != cursors_of(said.kind) || blocks_for(queue_bytes(&said)) != blocks) {
        return QUEUE_CORRUPT;
    }
    *queue = (struct queue){
        .queues = queues,
        .header = header,
        .cursors = (atomic_word *)(header + 1),
        .cells = (atomic_word *)(header + 1) + cursors_of(said.kind),
        .run = {run->index, blocks, run->generation},
        .ring = ring_of(&said),
        .capacity = said.capacity,
        .cursor_count = cursors_of(said.kind),
        .kind = said.kind,
        .flags = said.flags,
    };
    return QUEUE_OK;
}

/* Ends every message of the queue that is in nobody's hands, or in those of `name`. */
static void end_all(struct queue *queue, unsigned name) {
    struct queues *queues = queue->queues;
    for (uint64_t i = 0; i < queues->annex.blocks; i++) {
        uint64_t word = load_seq(word_of(queues, i));
        enum message_state state = message_state(word);
        bool nobodys = state == MESSAGE_QUEUED || state == MESSAGE_RETURNED;
        if ((nobodys || ((state == MESSAGE_PUTTING || state == MESSAGE_TAKEN) && message_slot(word) == name)) &&
            is_for(queue, i) && begin_end(queues, name, i, &word)) {
            end(queues, queue, name, i, word);
        }
    }
}

/* A run of the annex is about to be freed; if it is a queue, its messages end first. */
static void ended(struct shared_pool *annex, uint64_t block, uint64_t n) {
    (void)n;
    struct queues *queues = (struct queues *)annex;
    uint64_t word = load_seq(word_of(queues, block));
    struct queue queue;
    if (word == 0) {
        return;
    }
    if (message_state(word) == MESSAGE_IS_QUEUE) {
        struct pool_run run = {.index = block, .generation = message_generation(word)};
        if (queue_view(queues, &run, &queue) == QUEUE_OK) {
            end_all(&queue, ledger_slot(load_seq(&shared_pool_entry(annex, block)->head)));
        }
    }
    store_seq(word_of(queues, block), 0);
}

void queues_init(struct queues *queues, struct shared_pool *pool, unsigned char *memory) {
    queues->pool = pool;
    queues->memory = memory;
    queues->annex.watch = (struct shared_pool_watch){&shared_pool_always, 0, 0, NULL, ended};
}

/* Wakes all, also those on whose account somebody was to raise an event, who died. */
static void wake_all(struct queue *queue) {
    (void)os_wake_next_shared(&queue->header->readable.sequence, UINT32_MAX);
    (void)os_wake_next_shared(&queue->header->writable.sequence, UINT32_MAX);
}

void queue_shut(struct queue *queue, unsigned slot, bool for_all) {
    (void)fetch_or_seq(&queue->header->shut, QUEUE_SHUT_FOR_SENDERS | (for_all ? QUEUE_SHUT_FOR_ALL : 0));
    if (for_all) {
        clear(queue, slot);
    }
    wake_all(queue);
}

void queue_count(const struct queue *queue, uint64_t *waiting, uint64_t *taken) {
    const struct queues *queues = queue->queues;
    uint64_t head = load_seq(&queue->header->head), next = next_of(queue);
    bool returned = load_seq(&queue->header->returned) != load_seq(&queue->header->served);
    *waiting = 0;
    for (uint64_t steps = 0; head < next && steps < queue->ring; head++, steps++) {
        uint64_t cell = load_seq(cell_of(queue, head)), block = cell_block(cell);
        *waiting += cell_is_full_at(cell, head) && block < queues->annex.blocks &&
                    message_state(load_seq(word_of(queues, block))) <= MESSAGE_QUEUED;
    }
    if (taken) {
        *taken = 0;
    }
    for (uint64_t i = 0; i < queues->annex.blocks && (taken || returned); i++) {
        enum message_state state = message_state(load_seq(word_of(queues, i)));
        if (state == MESSAGE_RETURNED && is_for(queue, i)) {
            *waiting += 1;
        } else if (taken && state == MESSAGE_TAKEN && is_for(queue, i)) {
            *taken += 1;
        }
    }
}

bool queues_next(struct queues *queues, uint64_t from, struct queue *queue) {
    for (uint64_t i = from; i < queues->annex.blocks; i++) {
        uint64_t word = load_seq(word_of(queues, i));
        struct pool_run run = {.index = i, .generation = message_generation(word)};
        if (message_state(word) == MESSAGE_IS_QUEUE && queue_view(queues, &run, queue) == QUEUE_OK) {
            return true;
        }
    }
    return false;
}

/* --- looking --- */

bool queue_next_message(const struct queue *queue, uint64_t from, struct queue_look *look) {
    const struct queues *queues = queue->queues;
    for (uint64_t i = from; i < queues->annex.blocks; i++) {
        uint64_t word = load_seq(word_of(queues, i));
        enum message_state state = message_state(word);
        struct queue_message message;
        if (state == MESSAGE_NONE || state >= MESSAGE_IS_QUEUE || !is_for(queue, i) ||
            !fill(queues, i, word, &message)) {
            continue;
        }
        *look = (struct queue_look){
            .block = i,
            .state = state,
            .slot = message_slot(word),
            .again = message.again,
            .process = message.message->process,
            .sent = load_seq(&message.message->position) == MESSAGE_NOWHERE ? 0 : message.message->sent,
            .length = message.length,
            .carried = message.count,
        };
        if (load_seq(word_of(queues, i)) == word) {
            return true;
        }
    }
    return false;
}

/* The queue that the message at the block is for; false if there is none. */
static bool queue_of(struct queues *queues, uint64_t block, struct queue *queue) {
    struct pool_run run = run_of(load_relaxed(&message_at(queues, block)->queue));
    return queue_view(queues, &run, queue) == QUEUE_OK;
}

bool queue_of_run(struct queues *queues, uint64_t index, struct queue *queue) {
    uint64_t word = load_seq(&shared_pool_entry(queues->pool, index)->message), block = message_carrier(word);
    return message_state(word) == MESSAGE_CARRIES && block < queues->annex.blocks && queue_of(queues, block, queue);
}

/* --- recovery and fork --- */

/* Whether a cell names the message. */
static bool is_published(const struct queue *queue, uint64_t block) {
    uint64_t position = load_seq(&message_at(queue->queues, block)->position);
    return position != MESSAGE_NOWHERE && load_seq(cell_of(queue, position)) == cell_full(position, block);
}

/* Gives back the message of a slot that is gone. */
static void recover_message(struct queues *queues, unsigned name, uint64_t block, uint64_t word) {
    struct queue queue;
    bool has_queue = queue_of(queues, block, &queue);
    uint64_t after;
    switch (message_state(word)) {
    case MESSAGE_PUTTING:
        if (has_queue && is_published(&queue, block)) {
            after = message_change(word, MESSAGE_QUEUED, LEDGER_NOBODY);
            if (compare_exchange_seq(word_of(queues, block), &word, after)) {
                queue_event_raise(&queue.header->readable);
            }
            return;
        }
        break;
    case MESSAGE_TAKEN:
        if (has_queue && queue.flags & QUEUE_REDELIVERS && !is_shut_for_all(&queue)) {
            empty_cell_of(&queue, block);
            after = message_change(word, MESSAGE_RETURNED, LEDGER_NOBODY);
            if (compare_exchange_seq(word_of(queues, block), &word, after)) {
                note_returned(&queue);
            }
            return;
        }
        break;
    default: /* ENDING */
        break;
    }
    if (begin_end(queues, name, block, &word)) {
        end(queues, has_queue ? &queue : NULL, name, block, word);
        if (has_queue) {
            wake_all(&queue);
        }
    }
}

/* Frees the cursors of slots that are gone, and wakes all, as one that died may have taken a wake for itself. */
static void recover_queue(struct queue *queue, const struct slot_set *gone) {
    for (uint64_t i = 0; i < queue->cursor_count; i++) {
        uint64_t word = load_seq(&queue->cursors[i]);
        if (word && slot_set_has(gone, cursor_slot(word))) {
            (void)compare_exchange_seq(&queue->cursors[i], &word, 0);
        }
    }
    wake_all(queue);
}

void queues_recover(struct queues *queues, const struct slot_set *gone, unsigned name) {
    for (uint64_t i = 0; i < queues->annex.blocks; i++) {
        uint64_t word = load_seq(word_of(queues, i));
        unsigned slot = message_slot(word);
        struct pool_run run = {.index = i, .generation = message_generation(word)};
        struct queue queue;
        switch (message_state(word)) {
        case MESSAGE_PUTTING:
        case MESSAGE_TAKEN:
        case MESSAGE_ENDING:
            if (slot_set_has(gone, slot) || slot == name) {
                recover_message(queues, name, i, word);
            }
            break;
        case MESSAGE_RETURNED: /* an earlier recovery may not have said so */
            if (queue_of(queues, i, &queue)) {
                note_returned(&queue);
            }
            break;
        case MESSAGE_IS_QUEUE:
            if (queue_view(queues, &run, &queue) == QUEUE_OK) {
                recover_queue(&queue, gone);
            }
            break;
        default:
            break;
        }
    }
}

void queues_renew_tickets(struct queues *queues, uint32_t now) {
    for (uint64_t i = 0; i < queues->annex.blocks; i++) {
        uint64_t word = load_seq(word_of(queues, i));
        struct queue_message message;
        if (message_state(word) == MESSAGE_NONE || message_state(word) >= MESSAGE_IS_QUEUE ||
            !fill(queues, i, word, &message)) {
            continue;
        }
        for (unsigned r = 0; r < message.count; r++) {
            struct pool_run run;
            if (message.message->runs[r].how == MESSAGE_HAS_TICKET && queue_carried(queues, &message, r, &run)) {
                shared_pool_renew_tickets(queues->pool, run.index, now); /* of a later run, it does no harm */
            }
        }
    }
}

void queues_fork(struct queues *queues, unsigned parent, unsigned child) {
    for (uint64_t i = 0; i < queues->annex.blocks; i++) {
        if (message_state(load_seq(word_of(queues, i))) == MESSAGE_IS_QUEUE) {
            (void)shared_pool_fork(&queues->annex, parent, child, i, 1);
        }
    }
}
