/* recording.c: see recording.h. */
#include "shared/recording.h"

#include <stddef.h>
#include <string.h>

#include "os/process.h"
#include "os/thread.h"
#include "os/wait.h"
#include "shared/attachment_parts.h"
#include "shared/sites.h"

_Static_assert(offsetof(struct attachment, shared) == 0, "the hooks know the attachment by its pool");

#define ROUND_SECONDS 0.001
#define STAMP_NANOSECONDS 10000u /* about how well the time of an event is known */
#define ROUND_BITS 40    /* of recording.on; above them is which recording it is, so that no round comes again */
#define LANES_AT_ONCE 8u /* how many are reserved, and about how many are kept for threads that have none yet */

static struct layout_header *header_of(const struct attachment *attachment) { return attachment->memory; }

static struct lane *lanes_of(const struct attachment *attachment) {
    return (struct lane *)(void *)((char *)attachment->memory + layout_lanes_at(&attachment->geometry));
}

static struct lane_cell *cells_of(const struct attachment *attachment, unsigned lane) {
    return (struct lane_cell *)(void *)((char *)attachment->memory + layout_lane_cells_at(&attachment->geometry, lane));
}

/* --- putting --- */

void recording_forked(void) {
    lane_kept.pool = lane_kept.round = 0;
    lane_kept.thread = 0;
}

/* Whether this thread has a lane. Nobody takes it away while the thread lives and its process is attached. */
static inline bool has_lane(const struct attachment *attachment) { return lane_kept.pool == attachment->number; }

/* Whether a thread may take the lane of this owner. */
static bool is_left(const struct attachment *attachment, uint64_t owner) {
    unsigned slot = lane_slot(owner);
    if (slot == attachment->slot) {
        return !os_thread_is_here(lane_thread(owner));
    }
    return slot >= attachment->geometry.processes ||
           !(load_seq(&header_of(attachment)->used[slot / 64]) >> slot % 64 & 1);
}

/* From now on this thread uses that lane, which is its own. */
static void keep(struct attachment *attachment, unsigned number) {
    lane_kept.pool = attachment->number;
    lane_kept.until = lane_kept.round = lane_kept.stamped = lane_kept.time = 0;
    lane_kept.lane = &lanes_of(attachment)[number];
    lane_kept.cells = cells_of(attachment, number);
}

/* Finds this thread's lane, or takes one; false if there is none now. */
static __attribute__((noinline)) bool find_lane(struct attachment *attachment, uint64_t round) {
    struct lane *lanes = lanes_of(attachment);
    unsigned ready = layout_lanes_ready(header_of(attachment));
    if (load_relaxed(&attachment->no_lane) == round) {
        return false;
    }
    if (lane_kept.thread == 0) {
        lane_kept.thread = os_thread_id();
    }
    uint64_t me = lane_owner(attachment->slot, lane_kept.thread);
    for (unsigned i = 0; i < ready; i++) { /* its own, unless it was left by an ended thread that was called the same */
        uint64_t owner = load_relaxed(&lanes[i].owner);
        if (lane_whose(owner) == me && lane_pass(&lanes[i], owner, me)) {
            keep(attachment, i);
            return true;
        }
    }
    for (unsigned i = 0; i < ready; i++) {
        uint64_t owner = load_seq(&lanes[i].owner);
        if (is_left(attachment, owner) && lane_pass(&lanes[i], owner, me)) {
            keep(attachment, i);
            store_relaxed(&lane_kept.lane->told, 0);
            store_relaxed(&lane_kept.lane->seen, load_seq(&lane_kept.lane->tail));
            return true;
        }
    }
    store_relaxed(&attachment->no_lane, round); /* the next look is in the next round, when there may be more */
    return false;
}

/* After how many cells the time is put again: about as many as the thread fills in STAMP_NANOSECONDS. */
static uint64_t until_next(uint64_t head, uint64_t now) {
    uint64_t cells = head - lane_kept.stamped;
    return cells < LANE_CELLS ? cells * STAMP_NANOSECONDS / (now - lane_kept.time + 1) + 1 : 1;
}

/* The same as put, when more is to be done than to put an event. */
static __attribute__((noinline, cold)) void put_slowly(struct attachment *attachment, uint64_t what, uint64_t value) {
    struct layout_header *header = header_of(attachment);
    uint64_t round = load_relaxed(&header->recording.on);
    if (round >> ROUND_BITS == 0) { /* nobody records; a damaged word must not be that of shared_pool_always */
        return;
    }
    if (!has_lane(attachment) && !find_lane(attachment, round)) {
        (void)fetch_add_seq(&header->recording.unplaced, 1);
        return;
    }
    struct lane *lane = lane_kept.lane;
    uint64_t head = load_relaxed(&lane->head);
    if (!lane_has_room(lane, LANE_STAMP_EVERY)) {
        lane_count_lost(lane);
        return;
    }
    uint64_t now = os_nanoseconds(), end = head + LANE_STAMP_EVERY, more = until_next(head, now);
    lane_kept.round = round;
    if (load_relaxed(&lane->told) != round >> ROUND_BITS) {
        store_relaxed(&lane->told, round >> ROUND_BITS);
        lane_write(lane_kept.cells, head++, LANE_OWNER, (uint64_t)os_process() << 32 | lane_kept.thread);
    }
    lane_write(lane_kept.cells, head++, LANE_TIME, now);
    lane_kept.stamped = head;
    lane_kept.time = now;
    lane_kept.until = head + more < end ? head + more : end;
    lane_put_next(head, what, value);
}

/* Puts an event, if somebody records. */
static inline void put(struct attachment *attachment, uint64_t what, uint64_t value) {
    if (!lane_put(attachment->number, load_relaxed(&header_of(attachment)->recording.on), what, value)) {
        put_slowly(attachment, what, value);
    }
}

static void allocated(struct shared_pool *shared, const struct pool_run *run, uint64_t slack) {
    struct attachment *attachment = (struct attachment *)shared;
    uint64_t bytes = run->blocks * attachment->geometry.block_size - slack;
    put(attachment, bytes << 8 | LANE_ALLOCATED, lane_run(run->index, run->generation));
}

static void ended(struct shared_pool *shared, uint64_t index, uint64_t n) {
    struct attachment *attachment = (struct attachment *)shared;
    uint64_t packed = load_relaxed(&shared_pool_entry(shared, index)->run);
    (void)n;
    put(attachment, LANE_FREED, lane_run(index, ledger_record_unpack(packed).generation));
}

static void ended_in_debug(struct shared_pool *shared, uint64_t index, uint64_t n) {
    ended(shared, index, n);
    sites_end((struct attachment *)shared, index, n);
}

void recording_watch(struct attachment *attachment) {
    static atomic_word last; /* numbers the attachments of this process; one may lie where another one lay */
    attachment->number = fetch_add_seq(&last, 1) + 1;
    bool debug = sites_are_kept(attachment);
    attachment->shared.watch = (struct shared_pool_watch){
        debug ? &shared_pool_always : &header_of(attachment)->recording.on, attachment->number,
        attachment->geometry.block_size, allocated, debug ? ended_in_debug : ended};
}

/* --- stacks --- */

/* FNV-1a, folded to 56 bits: the number of a stack. */
static uint64_t number_of(const unsigned char *text, unsigned length) {
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (unsigned i = 0; i < length; i++) {
        sum = (sum ^ text[i]) * UINT64_C(0x100000001b3);
    }
    return (sum ^ sum >> 56) << 8 >> 8;
}

void recording_put_stack(struct attachment *attachment, const struct pool_run *run, const void *text, unsigned length) {
    struct attachment_stacks *sent = &attachment->stacks;
    struct layout_header *header = header_of(attachment);
    if (load_relaxed(&header->recording.on) == 0 || length == 0 || !has_lane(attachment)) {
        return; /* without a lane now, it had none for the allocation either */
    }
    struct lane *lane = lane_kept.lane;
    uint64_t session = load_relaxed(&header->recording.sessions);
    if (load_relaxed(&sent->session) != session) { /* two threads may do this: a text is put twice then */
        for (unsigned i = 0; i < STACKS_SENT; i++) {
            store_relaxed(&sent->numbers[i], 0);
        }
        store_seq(&sent->session, session);
    }
    struct lane_cell *cells = lane_kept.cells;
    uint64_t number = number_of(text, length), head = load_relaxed(&lane->head), words = (length + 7) / 8;
    bool known = load_relaxed(&sent->numbers[number % STACKS_SENT]) == number;
    if (!lane_has_room(lane, known ? 1 : words + 2)) {
        lane_count_lost(lane);
        return;
    }
    lane_kept.until = 0; /* what it puts was not in the plan */
    if (!known) {
        lane_write(cells, head++, number << 8 | LANE_TEXT, length);
        for (uint64_t w = 0; w < words; w++) {
            uint64_t word = 0;
            memcpy(&word, (const char *)text + w * 8, length - w * 8 < 8 ? length - w * 8 : 8);
            lane_write(cells, head++, LANE_MORE, word);
        }
        store_relaxed(&sent->numbers[number % STACKS_SENT], number);
    }
    lane_write(cells, head, number << 8 | LANE_STACK, lane_run(run->index, run->generation));
    store_release(&lane->head, head + 1);
}

/* --- the recorder --- */

unsigned recording_by(const struct attachment *attachment) {
    const struct layout_header *header = header_of(attachment);
    uint64_t slot = load_seq(&header->recording.recorder) - 1;
    bool used = slot < attachment->geometry.processes && load_seq(&header->used[slot / 64]) >> slot % 64 & 1;
    return used ? (unsigned)slot : SLOTS_NONE;
}

/* Whether this process records. A forked child of the recorder does not. */
static bool is_recorder(const struct attachment *attachment) {
    return !attachment_is_stray(attachment) && recording_by(attachment) == attachment->slot;
}

/* Reserves a few more lanes; nobody uses them before the header says that they are there. */
static enum pool_status reserve_lanes(struct attachment *attachment, struct pool_failure *failure) {
    const struct layout_geometry *geometry = &attachment->geometry;
    unsigned ready = layout_lanes_ready(header_of(attachment));
    if (ready >= LANES_MOST) {
        return POOL_OK;
    }
    unsigned more = LANES_MOST - ready < LANES_AT_ONCE ? LANES_MOST - ready : LANES_AT_ONCE;
    uint64_t at = ready ? layout_lane_cells_at(geometry, ready) : layout_lanes_at(geometry);
    enum pool_status status =
        attachment_reserve(attachment, at, layout_lane_cells_at(geometry, ready + more) - at, failure);
    if (status == POOL_OK) {
        layout_set_lanes_ready(header_of(attachment), ready + more);
    }
    return status;
}

/* Whether threads will soon find no lane. */
static bool lanes_are_short(const struct attachment *attachment) {
    const struct lane *lanes = lanes_of(attachment);
    unsigned ready = layout_lanes_ready(header_of(attachment)), left = 0;
    for (unsigned i = 0; i < ready; i++) {
        left += lane_whose(load_relaxed(&lanes[i].owner)) == 0;
    }
    return ready < LANES_MOST && left < LANES_AT_ONCE / 2;
}

enum pool_status recording_start(struct attachment *attachment, double gate_seconds, struct pool_failure *failure) {
    int gate;
    struct slot_set dead;
    *failure = (struct pool_failure){0};
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    enum pool_status status = gate_enter(attachment, gate_seconds, &gate, failure);
    if (status != POOL_OK) {
        return status;
    }
    attachment_dead_slots(attachment, &dead); /* a dead recorder goes first */
    (void)attachment_recover_slots(attachment, &dead);
    struct layout_header *header = header_of(attachment);
    unsigned by = recording_by(attachment);
    if (by != SLOTS_NONE) {
        failure->process = (uint64_t)attachment_process(attachment, by);
        status = POOL_EXISTS;
    } else {
        store_seq(&header->recording.on, 0); /* whatever is there was left by damage */
        status = layout_lanes_ready(header) ? POOL_OK : reserve_lanes(attachment, failure);
    }
    if (status == POOL_OK) {
        struct lane *lanes = lanes_of(attachment);
        for (unsigned i = 0; i < layout_lanes_ready(header); i++) {
            store_release(&lanes[i].tail, load_seq(&lanes[i].head));
            store_relaxed(&lanes[i].lost_told, load_relaxed(&lanes[i].lost));
        }
        uint64_t session = load_relaxed(&header->recording.sessions) + 1;
        store_seq(&header->recording.unplaced, 0);
        store_seq(&header->recording.sessions, session);
        store_seq(&header->recording.recorder, (uint64_t)attachment->slot + 1);
        store_seq(&header->recording.on, session << ROUND_BITS | 1);
    }
    gate_leave(attachment, gate);
    return status;
}

static void add(struct lane_cell *cells, uint64_t *used, uint64_t what, uint64_t value) {
    store_relaxed(&cells[*used].what, what);
    store_relaxed(&cells[*used].value, value);
    ++*used;
}

/* Takes what one lane has. */
static void take(struct attachment *attachment, unsigned number, uint64_t head, struct lane_cell *cells, uint64_t most,
                 uint64_t *used) {
    struct lane *lane = &lanes_of(attachment)[number];
    if (head != load_relaxed(&lane->tail) && most - *used > 2) {
        uint64_t n = lane_take(lane, cells_of(attachment, number), head, cells + *used + 1, most - *used - 2);
        add(cells, used, (uint64_t)number << 8 | LANE_TAKEN, n);
        *used += n;
    }
    uint64_t lost = load_relaxed(&lane->lost), told = load_relaxed(&lane->lost_told);
    if (lost != told && *used < most) {
        add(cells, used, (uint64_t)number << 8 | LANE_LOST, lost - told);
        store_relaxed(&lane->lost_told, lost);
    }
}

/* Looks at all lanes once. */
static void go_round(struct attachment *attachment, struct lane_cell *cells, uint64_t most, uint64_t *used) {
    struct layout_header *header = header_of(attachment);
    struct lane *lanes = lanes_of(attachment);
    unsigned ready = layout_lanes_ready(header);
    uint64_t heads[LANES_MOST];
    for (unsigned i = 0; i < ready; i++) {
        heads[i] = load_seq(&lanes[i].head);
    }
    uint64_t before = *used;
    add(cells, used, LANE_NOW, os_nanoseconds());
    for (unsigned i = 0; i < ready; i++) {
        take(attachment, i, heads[i], cells, most, used);
    }
    uint64_t unplaced = load_seq(&header->recording.unplaced);
    if (unplaced && *used < most) {
        (void)fetch_add_seq(&header->recording.unplaced, 0 - unplaced);
        add(cells, used, (uint64_t)LANES_MOST << 8 | LANE_LOST, unplaced);
    }
    if (*used == before + 1) {
        *used = before; /* nothing happened */
    }
}

uint64_t recording_collect(struct attachment *attachment, struct lane_cell *cells, uint64_t most, double seconds,
                           atomic_half *stop) {
    struct layout_header *header = header_of(attachment);
    struct pool_failure failure;
    uint64_t used = 0, before = 0;
    double end = os_now() + seconds, wait = ROUND_SECONDS;
    for (;; before = used) {
        if (!is_recorder(attachment)) {
            return used;
        }
        go_round(attachment, cells, most, &used);
        if (lanes_are_short(attachment)) {
            (void)reserve_lanes(attachment, &failure); /* without memory, threads without a lane lose events */
        }
        uint64_t round = load_relaxed(&header->recording.on);
        if (round == 0) {
            return used;
        }
        (void)compare_exchange_seq(&header->recording.on, &round, round + 1); /* unless another thread stops it */
        if (used > most / 2 || os_now() >= end || half_load_seq(stop)) {
            return used;
        }
        /* a thread in a tight loop fills its lane in less than a round */
        wait = used - before > LANE_CELLS / 4 ? wait / 4 : 2 * wait < ROUND_SECONDS ? 2 * wait : ROUND_SECONDS;
        os_wait(stop, 0, wait);
    }
}

void recording_stop(struct attachment *attachment) {
    if (is_recorder(attachment)) {
        store_seq(&header_of(attachment)->recording.on, 0);
    }
}

void recording_end(struct attachment *attachment) {
    uint64_t me = (uint64_t)attachment->slot + 1;
    if (is_recorder(attachment)) {
        (void)compare_exchange_seq(&header_of(attachment)->recording.recorder, &me, 0);
    }
}
