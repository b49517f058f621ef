/* queue_check.c: see queue_check.h. */
#include "shared/queue_check.h"

#define LOOKS 4
#define CHANGES ((enum shared_pool_fault_kind)101) /* it changed meanwhile: look again */

static uint64_t name_of(const struct pool_run *run) { return run->index << 40 | run->generation; }

static struct pool_run run_of(uint64_t name) {
    return (struct pool_run){.index = name >> 40, .generation = name & MESSAGE_GENERATION};
}

static const struct shared_pool_entry *entry_of(const struct queues *queues, uint64_t block) {
    return shared_pool_entry(&queues->annex, block);
}

static uint64_t word_of(const struct queues *queues, uint64_t block) {
    return load_seq(&entry_of(queues, block)->message);
}

static const struct message *message_at(const struct queues *queues, uint64_t block) {
    return (const struct message *)(const void *)(queues->memory + block * MESSAGE_BLOCK);
}

static bool is_message(uint64_t word) {
    return message_state(word) >= MESSAGE_PUTTING && message_state(word) <= MESSAGE_ENDING;
}

/* What a message's header says, if it is whole: how many runs it lists; else MESSAGE_MOST_RUNS + 1. */
static uint32_t listed(const struct queues *queues, uint64_t block) {
    const struct message *message = message_at(queues, block);
    uint64_t room = shared_pool_length(&queues->annex, block) * MESSAGE_BLOCK, bytes = message->bytes;
    uint32_t most = message->most, count = message->count;
    if (room < sizeof *message || most > MESSAGE_MOST_RUNS || count > most) {
        return MESSAGE_MOST_RUNS + 1;
    }
    uint64_t runs = most * sizeof(struct message_run);
    bool whole = runs <= room - sizeof *message && bytes <= room - sizeof *message - runs;
    return whole ? count : MESSAGE_MOST_RUNS + 1;
}

/* The queue at the run of that name. */
static bool view(const struct queues *queues, uint64_t name, struct queue *queue) {
    struct pool_run run = run_of(name);
    return queue_view((struct queues *)queues, &run, queue) == QUEUE_OK; /* which writes nothing */
}

/* --- messages --- */

/* Whether the run of the pool says that this message carries it. */
static bool is_held(const struct queues *queues, uint64_t block, uint64_t generation, uint64_t name) {
    struct pool_run run = run_of(name);
    if (run.index >= queues->pool->blocks) {
        return false;
    }
    const struct shared_pool_entry *entry = shared_pool_entry(queues->pool, run.index);
    uint64_t head = load_seq(&entry->head);
    return load_seq(&entry->message) == message_carries(block, generation) && ledger_is_run_of(head, run.generation) &&
           ledger_is_live(head) && head & LEDGER_CARRIED;
}

/* Whether what a message says that was published, and is not ENDING, is right. */
static bool is_published_right(const struct queues *queues, uint64_t block, uint64_t word) {
    const struct message *message = message_at(queues, block);
    uint32_t count = listed(queues, block);
    struct queue queue;
    for (uint32_t i = 0; i < count; i++) {
        if (message->runs[i].how == MESSAGE_HOLDS &&
            !is_held(queues, block, message_generation(word), message->runs[i].run)) {
            return false;
        }
    }
    if (message_state(word) == MESSAGE_TAKEN) {
        return true; /* whose queue may be gone */
    }
    if (!view(queues, load_seq(&message->queue), &queue)) {
        return false;
    }
    uint64_t position = load_seq(&message->position);
    bool in_cell = load_seq(&queue.cells[position & (queue.ring - 1)]) == cell_full(position, block);
    return in_cell == (message_state(word) == MESSAGE_QUEUED);
}

/* Whether one whom the word names can be in such a state. */
static bool is_hand_right(const struct queues *queues, uint64_t word, const struct slot_set *used, bool alone) {
    unsigned slot = message_slot(word);
    switch (message_state(word)) {
    case MESSAGE_QUEUED:
    case MESSAGE_RETURNED:
        return slot == LEDGER_NOBODY;
    case MESSAGE_ENDING:
        return slot == LEDGER_RECOVERY ? !alone : slot < queues->annex.slots && slot_set_has(used, slot);
    default:
        return slot < queues->annex.slots && slot_set_has(used, slot);
    }
}

static enum shared_pool_fault_kind look_at_message(const struct queues *queues, uint64_t block, uint64_t word,
                                                   const struct slot_set *used, bool alone) {
    uint64_t head = load_seq(&entry_of(queues, block)->head);
    enum message_state state = message_state(word);
    bool published = state == MESSAGE_QUEUED || state == MESSAGE_TAKEN || state == MESSAGE_RETURNED;
    bool lives = ledger_is_run_of(head, message_generation(word)),
         carried = ledger_is_live(head) && head & LEDGER_CARRIED;
    bool right = is_hand_right(queues, word, used, alone) && listed(queues, block) <= MESSAGE_MOST_RUNS;
    right &=
        published ? lives && carried : lives || (state == MESSAGE_ENDING && ledger_state(head) == LEDGER_IS_CLOSING);
    right &= !alone || carried;
    right = right && (!published || is_published_right(queues, block, word));
    if (right) {
        return SHARED_POOL_FAULT_NONE;
    }
    return word_of(queues, block) == word ? SHARED_POOL_FAULT_MESSAGE : CHANGES;
}

/* --- queues --- */

/* Whether the full cell names a message of the queue at that position. */
static bool is_cell_right(const struct queue *queue, uint64_t cell) {
    const struct queues *queues = queue->queues;
    uint64_t block = cell_block(cell);
    if (block >= queues->annex.blocks) {
        return false;
    }
    const struct message *message = message_at(queues, block);
    uint64_t word = word_of(queues, block);
    return is_message(word) && message_state(word) != MESSAGE_RETURNED &&
           load_seq(&message->queue) == name_of(&queue->run) && cell_full(load_seq(&message->position), block) == cell;
}

/* The distance of positions of which only the low bits are known. */
static int64_t distance(uint64_t from, uint64_t to) {
    return (int64_t)((to - from) << CELL_POSITION_AT) >> CELL_POSITION_AT;
}

static enum shared_pool_fault_kind look_at_cell(const struct queue *queue, uint64_t i) {
    uint64_t mask = queue->ring - 1, head = load_seq(&queue->header->head), cell = load_seq(&queue->cells[i]),
             tail = load_seq(&queue->header->tail), position = cell >> CELL_POSITION_AT;
    bool full = cell & CELL_FULL;
    int64_t least = (int64_t)((i - head) & mask), most = distance(head, tail) + (full ? 0 : (int64_t)queue->ring);
    int64_t at = distance(head, position);
    if ((position & mask) != i || at < least || at > most || (!full && cell_block(cell))) {
        return SHARED_POOL_FAULT_CELL;
    }
    if (!full || is_cell_right(queue, cell)) {
        return SHARED_POOL_FAULT_NONE;
    }
    return load_seq(&queue->cells[i]) == cell ? SHARED_POOL_FAULT_CELL : CHANGES;
}

static enum shared_pool_fault_kind check_cell(const struct queue *queue, uint64_t i) {
    enum shared_pool_fault_kind found = CHANGES;
    for (int looks = 0; looks < LOOKS && found == CHANGES; looks++) {
        found = look_at_cell(queue, i);
    }
    return found == CHANGES ? SHARED_POOL_FAULT_NONE : found;
}

static bool has_wrong_cursor(const struct queue *queue, const struct slot_set *used) {
    bool wrong = false;
    for (uint64_t i = 0; i < queue->cursor_count && !wrong; i++) {
        uint64_t cursor = load_seq(&queue->cursors[i]);
        wrong = cursor && !slot_set_has(used, cursor_slot(cursor));
    }
    return wrong;
}

static enum shared_pool_fault_kind look_at_queue(const struct queues *queues, uint64_t block, uint64_t word,
                                                 const struct slot_set *used) {
    uint64_t head = load_seq(&entry_of(queues, block)->head);
    struct pool_run run = {.index = block, .generation = message_generation(word)};
    struct queue queue;
    enum shared_pool_fault_kind found = SHARED_POOL_FAULT_NONE;
    if (!(ledger_is_run_of(head, run.generation) || ledger_state(head) == LEDGER_IS_CLOSING) ||
        !view(queues, name_of(&run), &queue) || has_wrong_cursor(&queue, used)) {
        found = SHARED_POOL_FAULT_QUEUE;
    } else {
        for (uint64_t i = 0; i < queue.ring && found == SHARED_POOL_FAULT_NONE; i++) {
            found = check_cell(&queue, i);
        }
    }
    return found == SHARED_POOL_FAULT_NONE || word_of(queues, block) == word ? found : CHANGES;
}

enum shared_pool_fault_kind queue_check_block(const struct queues *queues, uint64_t block, const struct slot_set *used,
                                              bool alone) {
    enum shared_pool_fault_kind found = CHANGES;
    for (int looks = 0; looks < LOOKS && found == CHANGES; looks++) {
        uint64_t word = word_of(queues, block);
        if (word == 0) {
            return SHARED_POOL_FAULT_NONE;
        }
        found = is_message(word)                          ? look_at_message(queues, block, word, used, alone)
                : message_state(word) == MESSAGE_IS_QUEUE ? look_at_queue(queues, block, word, used)
                                                          : SHARED_POOL_FAULT_MESSAGE;
    }
    return found == CHANGES ? SHARED_POOL_FAULT_NONE : found;
}

/* --- runs --- */

/* Whether the message that the word of the run names has not ended, and lists it. */
static bool is_listed(const struct queues *queues, uint64_t word, const struct pool_run *run) {
    uint64_t block = message_carrier(word);
    if (message_state(word) != MESSAGE_CARRIES || block >= queues->annex.blocks) {
        return false;
    }
    uint64_t carrier = word_of(queues, block);
    uint32_t count = listed(queues, block);
    bool is = false;
    for (uint32_t i = 0; count <= MESSAGE_MOST_RUNS && i < count && !is; i++) {
        const struct message_run *carried = &message_at(queues, block)->runs[i];
        is = carried->run == name_of(run) && carried->how == MESSAGE_HOLDS;
    }
    return is && is_message(carrier) && message_generation(carrier) == message_generation(word);
}

enum shared_pool_fault_kind queue_check_run(const struct queues *queues, uint64_t index, bool alone) {
    const struct shared_pool_entry *entry = shared_pool_entry(queues->pool, index);
    for (int looks = 0; looks < LOOKS; looks++) {
        uint64_t head = load_seq(&entry->head), word = load_seq(&entry->message);
        struct pool_run run = {.index = index, .generation = ledger_record_unpack(load_seq(&entry->run)).generation};
        bool carried = ledger_is_live(head) && head & LEDGER_CARRIED;
        bool right =
            carried ? is_listed(queues, word, &run) : word == 0 || (!alone && message_state(word) == MESSAGE_CARRIES);
        if (right) {
            return SHARED_POOL_FAULT_NONE;
        }
        uint64_t now = load_seq(&entry->head);
        if (load_seq(&entry->message) == word && (ledger_is_live(now) && now & LEDGER_CARRIED) == carried &&
            (!carried || ledger_generation(now) == ledger_generation(head))) {
            return SHARED_POOL_FAULT_CARRIED;
        }
    }
    return SHARED_POOL_FAULT_NONE;
}

/* --- all of it --- */

void queues_check(struct queues *queues, const struct slot_set *used, bool alone, bool heal,
                  struct shared_pool_fault *faults, uint64_t most, struct shared_pool_audit *audit) {
    struct shared_pool_audit annex;
    uint64_t had = audit->faults < most ? audit->faults : most;
    shared_pool_check(&queues->annex, used, alone, heal, faults + had, most - had, &annex);
    for (uint64_t i = 0; i < annex.faults && i < most - had; i++) {
        faults[had + i].kind = SHARED_POOL_FAULT_ANNEX;
    }
    audit->faults += annex.faults;
    for (uint64_t i = 0; i < queues->annex.blocks; i++) {
        enum shared_pool_fault_kind found = queue_check_block(queues, i, used, alone);
        if (found != SHARED_POOL_FAULT_NONE) {
            shared_pool_add_fault(audit, faults, most, found, i);
        }
    }
    for (uint64_t i = 0; i < queues->pool->blocks; i++) {
        enum shared_pool_fault_kind found = queue_check_run(queues, i, alone);
        if (found != SHARED_POOL_FAULT_NONE) {
            shared_pool_add_fault(audit, faults, most, found, i);
        }
    }
}
