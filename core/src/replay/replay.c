/* replay.c: see replay.h. */
#include "replay/replay.h"

#include "os/wait.h"

#define PAGE 4096u
#define AHEAD 16u /* events */

/* The lowest bits of `where` of a holding tell what it is; the rest is a block and its pool, an address, a thread. */
enum { UNSEEN, WAITS /* in a thread: held, or put off */, LIVE, REFUSED, FREED, STATE = 7 };
#define POOL_SHIFT 3u
#define INDEX_SHIFT 5u
#define THREAD_SHIFT 3u

/* What carrying out an event came to; a replay_status otherwise. */
enum { NO_ROOM = 100, NEVER };

static uint64_t state_of(const struct replay_holding *holding) { return holding->where & STATE; }

uint32_t replay_count_ids(const uint8_t *kind, uint64_t events) {
    uint64_t count = 0;
    for (uint64_t e = 0; e < events; e++) {
        count += kind[e] == 0;
    }
    return count < INT32_MAX ? (uint32_t)count : INT32_MAX;
}

/* --- the memory --- */

static size_t holding_bytes(const struct replay_trace *trace) { return trace->ids * sizeof(struct replay_holding); }

static size_t thread_bytes(const struct replay_trace *trace) { return trace->threads * sizeof(struct replay_thread); }

size_t replay_bytes(const struct replay_trace *trace, bool waits) {
    size_t bytes = holding_bytes(trace) + sizeof(struct replay_holding);
    return waits ? bytes + thread_bytes(trace) + (size_t)trace->events * sizeof(uint32_t) : bytes;
}

void replay_begin(struct replay *replay, void *memory) {
    replay->holdings = memory;
    replay->held_first = replay->held_last = replay->ready_first = replay->ready_last = REPLAY_NONE;
    if (replay->pool_count == 0) {
        replay->wait = 0;
    }
    if (replay->wait == 0) {
        return;
    }
    replay->threads = (struct replay_thread *)(void *)((char *)memory + holding_bytes(&replay->trace));
    replay->next = (uint32_t *)(void *)((char *)replay->threads + thread_bytes(&replay->trace));
    for (uint32_t t = 0; t < replay->trace.threads; t++) {
        replay->threads[t] = (struct replay_thread){REPLAY_NONE, REPLAY_NONE, REPLAY_NONE, REPLAY_NONE, REPLAY_NONE, 0};
    }
}

/* --- one event --- */

struct event {
    bool frees;
    uint32_t id, thread;
    int64_t size;
};

/* Reads an event, each value once. */
static inline enum replay_status read_event(const struct replay_trace *trace, uint64_t at, struct event *event) {
    uint8_t kind = trace->kind[at];
    int32_t id = trace->id[at], thread = trace->thread[at];
    *event = (struct event){.frees = kind, .id = (uint32_t)id, .thread = (uint32_t)thread};
    if (!kind) {
        event->size = trace->size[at];
    }
    return kind > 1                          ? REPLAY_BAD_KIND
           : event->size < 0                 ? REPLAY_BAD_SIZE
           : event->id >= trace->ids         ? REPLAY_BAD_ID
           : event->thread >= trace->threads ? REPLAY_BAD_THREAD
                                             : REPLAY_GOES_ON;
}

/* Writes a byte to each page of the memory, as its owner would sooner or later. */
static void touch(unsigned char *memory, int64_t size) {
    volatile unsigned char *at = memory, *end = memory + size;
    for (uintptr_t page = (uintptr_t)memory / PAGE; at < end; at = memory + (page * PAGE - (uintptr_t)memory)) {
        *at = 1;
        page++;
    }
}

static inline uint64_t blocks_for(const struct private_pool *pool, int64_t size) {
    uint64_t bytes = (uint64_t)size;
    return bytes <= pool->block_size ? 1 : (bytes - 1) / pool->block_size + 1;
}

/* The pool for a request of that size; pool_count if there is none. */
static inline unsigned pool_for(const struct replay *replay, int64_t size) {
    unsigned p = 0;
    while (p < replay->pool_count && (size <= replay->pools[p].above || size > replay->pools[p].up_to)) {
        p++;
    }
    return p;
}

static inline int allocate_in_pool(struct replay *replay, int64_t size, uint64_t *where) {
    unsigned p = pool_for(replay, size);
    if (p == replay->pool_count) {
        return NEVER;
    }
    struct replay_pool *in = &replay->pools[p];
    uint64_t n = blocks_for(in->pool, size);
    if (n > in->longest) {
        in->longest = n;
    }
    if (n > in->pool->blocks) {
        return NEVER;
    }
    uint64_t first = n == 1 ? private_pool_allocate(in->pool) : private_pool_allocate_run(in->pool, n);
    if (first == BITMAP_NONE) {
        return NO_ROOM;
    }
    in->in_use += n;
    in->asked += size;
    if (in->in_use > in->peak) {
        in->peak = in->in_use;
        in->asked_at_peak = in->asked;
    }
    if (replay->touch) {
        touch(private_pool_address(in->pool, first), size);
    }
    *where = first << INDEX_SHIFT | p << POOL_SHIFT;
    return REPLAY_GOES_ON;
}

static inline int allocate_on_heap(struct replay *replay, int64_t size, uint64_t *where) {
    unsigned char *memory = replay->heap.allocate(size ? (size_t)size : 1);
    if (!memory) {
        return NO_ROOM;
    }
    if (replay->touch) {
        touch(memory, size);
    }
    *where = (uintptr_t)memory;
    return REPLAY_GOES_ON;
}

/* Tries an allocation whose id was not allocated before. */
static inline int try_allocation(struct replay *replay, const struct event *event) {
    uint64_t where = 0;
    int found = replay->pool_count ? allocate_in_pool(replay, event->size, &where)
                                   : allocate_on_heap(replay, event->size, &where);
    if (found == REPLAY_GOES_ON) {
        replay->holdings[event->id] = (struct replay_holding){where | LIVE, event->size};
        replay->allocations++;
        replay->asked += event->size;
        if (replay->asked > replay->peak) {
            replay->peak = replay->asked;
        }
    }
    return found;
}

/* Frees what is live. */
static inline void give_back(struct replay *replay, struct replay_holding *holding) {
    uint64_t where = holding->where;
    replay->asked -= holding->size;
    if (replay->pool_count) {
        struct replay_pool *in = &replay->pools[where >> POOL_SHIFT & 3];
        uint64_t n = blocks_for(in->pool, holding->size);
        private_pool_release(in->pool, where >> INDEX_SHIFT, n);
        in->in_use -= n;
        in->asked -= holding->size;
    } else {
        replay->heap.free((void *)(uintptr_t)(where & ~(uint64_t)STATE));
    }
}

/* Carries out a free that does not wait. */
static inline enum replay_status carry_out_free(struct replay *replay, const struct event *event) {
    struct replay_holding *holding = &replay->holdings[event->id];
    uint64_t state = state_of(holding);
    if (state == LIVE) {
        give_back(replay, holding);
    } else if (state != REFUSED) {
        return state == FREED ? REPLAY_FREED : REPLAY_NOT_ALLOCATED;
    }
    holding->where = FREED;
    return REPLAY_GOES_ON;
}

static void refuse(struct replay *replay, uint32_t id) {
    replay->holdings[id].where = REFUSED;
    replay->failures++;
}

/* Has the processor fetch what a later event is about, for frees are of allocations from long ago. */
static inline void look_ahead(const struct replay *replay, uint64_t later) {
    if (later < replay->trace.events) {
        uint32_t id = (uint32_t)replay->trace.id[later];
        if (id < replay->trace.ids) {
            __builtin_prefetch(&replay->holdings[id], 1);
        }
    }
}

/* Lets one event go by where none waits. */
static inline enum replay_status at_once(struct replay *replay, uint64_t at) {
    struct event event;
    look_ahead(replay, at + AHEAD);
    enum replay_status status = read_event(&replay->trace, at, &event);
    if (status != REPLAY_GOES_ON) {
        return status;
    }
    os_thread_pose(event.thread + 1);
    if (event.frees) {
        return carry_out_free(replay, &event);
    }
    if (state_of(&replay->holdings[event.id]) != UNSEEN) {
        return REPLAY_ALLOCATED;
    }
    if (try_allocation(replay, &event) != REPLAY_GOES_ON) {
        refuse(replay, event.id);
    }
    return REPLAY_GOES_ON;
}

/* --- waiting --- */

static bool is_held(const struct replay *replay, uint32_t thread) {
    return replay->threads[thread].request != REPLAY_NONE;
}

/* Puts an event off until the thread is ready and has run what was put off before. */
static void put_off(struct replay *replay, uint32_t thread, uint32_t at) {
    struct replay_thread *to = &replay->threads[thread];
    replay->next[at] = REPLAY_NONE;
    *(to->first == REPLAY_NONE ? &to->first : &replay->next[to->last]) = at;
    to->last = at;
}

/* Adds a thread whose request waits to the line. */
static void hold(struct replay *replay, uint32_t thread, uint32_t request) {
    struct replay_thread *to = &replay->threads[thread];
    to->request = request;
    to->since = replay->now;
    to->before = replay->held_last;
    to->after = REPLAY_NONE;
    *(to->before == REPLAY_NONE ? &replay->held_first : &replay->threads[to->before].after) = thread;
    replay->held_last = thread;
}

/* Takes a thread out of the line, for its request was answered, and makes it ready. */
static void make_ready(struct replay *replay, uint32_t thread) {
    struct replay_thread *of = &replay->threads[thread];
    *(of->before == REPLAY_NONE ? &replay->held_first : &replay->threads[of->before].after) = of->after;
    *(of->after == REPLAY_NONE ? &replay->held_last : &replay->threads[of->after].before) = of->before;
    of->request = of->after = REPLAY_NONE;
    replay->waits++;
    replay->waited += (uint64_t)(replay->now - of->since);
    *(replay->ready_first == REPLAY_NONE ? &replay->ready_first : &replay->threads[replay->ready_last].after) = thread;
    replay->ready_last = thread;
}

/* Reads the request of a thread that is held, which may have changed since. */
static enum replay_status read_request(struct replay *replay, uint32_t thread, struct event *event) {
    replay->bad = replay->threads[thread].request;
    enum replay_status status = read_event(&replay->trace, replay->bad, event);
    return status == REPLAY_GOES_ON && state_of(&replay->holdings[event->id]) != WAITS ? REPLAY_ALLOCATED : status;
}

/* How long the run of free blocks is that the blocks first .. first + n - 1, which are free, lie in. */
static uint64_t room_around(const struct private_pool *pool, uint64_t first, uint64_t n) {
    const atomic_word *words = pool->bitmap.words;
    uint64_t end = first + n;
    while (first > 0) {
        uint64_t word = (first - 1) / 64, taken = load_relaxed(&words[word]) << (63 - (first - 1) % 64);
        if (taken) {
            first -= (unsigned)__builtin_clzll(taken);
            break;
        }
        first = word * 64;
    }
    while (end < pool->blocks) {
        uint64_t taken = load_relaxed(&words[end / 64]) >> end % 64;
        if (taken) {
            end += (unsigned)__builtin_ctzll(taken);
            break;
        }
        end = (end / 64 + 1) * 64;
    }
    return end - first;
}

/* Tries again what waits for the pool, first come first served, now that there is a free run of `room` blocks. What
 * needs more found no room before, and finds none now. */
static enum replay_status serve(struct replay *replay, unsigned pool, uint64_t room) {
    for (uint32_t thread = replay->held_first, after; thread != REPLAY_NONE; thread = after) {
        struct event event;
        enum replay_status status = read_request(replay, thread, &event);
        after = replay->threads[thread].after;
        if (status != REPLAY_GOES_ON) {
            return status;
        }
        if (pool_for(replay, event.size) == pool && blocks_for(replay->pools[pool].pool, event.size) <= room) {
            os_thread_pose(thread + 1);
            if (try_allocation(replay, &event) == REPLAY_GOES_ON) {
                make_ready(replay, thread);
            }
        }
    }
    return REPLAY_GOES_ON;
}

static enum replay_status free_and_serve(struct replay *replay, const struct event *event) {
    const struct replay_holding holding = replay->holdings[event->id];
    enum replay_status status = carry_out_free(replay, event);
    if (status != REPLAY_GOES_ON || state_of(&holding) != LIVE || replay->held_first == REPLAY_NONE) {
        return status;
    }
    unsigned p = holding.where >> POOL_SHIFT & 3;
    const struct private_pool *pool = replay->pools[p].pool;
    return serve(replay, p, room_around(pool, holding.where >> INDEX_SHIFT, blocks_for(pool, holding.size)));
}

/* Runs an event of a thread that is not held; `expected` is the state of what it would allocate. */
static enum replay_status run(struct replay *replay, uint32_t at, const struct event *event, uint64_t expected) {
    struct replay_holding *holding = &replay->holdings[event->id];
    os_thread_pose(event->thread + 1);
    if (event->frees) {
        if (state_of(holding) == WAITS) {
            put_off(replay, (uint32_t)(holding->where >> THREAD_SHIFT), at);
            return REPLAY_GOES_ON;
        }
        return free_and_serve(replay, event);
    }
    if (state_of(holding) != expected) {
        return REPLAY_ALLOCATED;
    }
    int found = try_allocation(replay, event);
    if (found == NO_ROOM) {
        holding->where = (uint64_t)event->thread << THREAD_SHIFT | WAITS;
        hold(replay, event->thread, at);
    } else if (found == NEVER) {
        refuse(replay, event->id);
    }
    return REPLAY_GOES_ON;
}

/* Whether the columns cannot be what they were when the event was put off: an allocation of another thread, or a free
 * of what is still to be allocated after it. Without this, it could be put off again forever. */
static bool has_changed(const struct replay *replay, uint32_t thread, const struct event *event) {
    const struct replay_holding *holding = &replay->holdings[event->id];
    return event->frees ? state_of(holding) == WAITS && holding->where >> THREAD_SHIFT == thread
                        : event->thread != thread;
}

/* Runs what was put off for threads that are ready. */
static enum replay_status run_ready(struct replay *replay) {
    while (replay->ready_first != REPLAY_NONE) {
        uint32_t thread = replay->ready_first;
        struct replay_thread *of = &replay->threads[thread];
        replay->ready_first = of->after;
        of->after = REPLAY_NONE;
        while (of->first != REPLAY_NONE && !is_held(replay, thread)) {
            struct event event;
            uint32_t at = of->first;
            of->first = replay->next[at];
            look_ahead(replay, of->first); /* REPLAY_NONE is no event */
            replay->bad = at;
            enum replay_status status = read_event(&replay->trace, at, &event);
            if (status == REPLAY_GOES_ON && has_changed(replay, thread, &event)) {
                status = REPLAY_NOT_ALLOCATED;
            }
            if (status == REPLAY_GOES_ON) {
                status = run(replay, at, &event, WAITS);
            }
            if (status != REPLAY_GOES_ON) {
                return status;
            }
        }
    }
    return REPLAY_GOES_ON;
}

/* Refuses the request that has waited longest, and lets its thread go on. */
static enum replay_status refuse_first(struct replay *replay) {
    uint32_t thread = replay->held_first;
    struct event event;
    enum replay_status status = read_request(replay, thread, &event);
    if (status != REPLAY_GOES_ON) {
        return status;
    }
    refuse(replay, event.id);
    make_ready(replay, thread);
    return run_ready(replay);
}

/* Refuses requests whose time is up before `time`. All wait equally long, so the first in the line is the next. */
static enum replay_status pass_time(struct replay *replay, int64_t time) {
    enum replay_status status = REPLAY_GOES_ON;
    while (status == REPLAY_GOES_ON && replay->held_first != REPLAY_NONE &&
           time - replay->threads[replay->held_first].since > replay->wait) {
        replay->now = replay->threads[replay->held_first].since + replay->wait;
        status = refuse_first(replay);
    }
    replay->now = time > replay->now ? time : replay->now;
    return status;
}

/* Lets one event go by where requests may wait. */
static enum replay_status in_turn(struct replay *replay, uint32_t at) {
    struct event event;
    look_ahead(replay, (uint64_t)at + AHEAD);
    int64_t time = replay->trace.time[at];
    enum replay_status status = time < 0 ? REPLAY_BAD_TIME : pass_time(replay, time);
    if (status != REPLAY_GOES_ON) {
        replay->bad = time < 0 ? at : replay->bad;
        return status;
    }
    replay->bad = at;
    status = read_event(&replay->trace, at, &event);
    if (status != REPLAY_GOES_ON) {
        return status;
    }
    if (is_held(replay, event.thread)) {
        struct replay_holding *holding = &replay->holdings[event.id];
        if (!event.frees && state_of(holding) != UNSEEN) {
            return REPLAY_ALLOCATED;
        }
        if (!event.frees) {
            holding->where = (uint64_t)event.thread << THREAD_SHIFT | WAITS;
        }
        put_off(replay, event.thread, at);
        return REPLAY_GOES_ON;
    }
    status = run(replay, at, &event, UNSEEN);
    return status == REPLAY_GOES_ON ? run_ready(replay) : status;
}

/* --- all events --- */

static enum replay_status go_by(struct replay *replay, uint64_t end) {
    enum replay_status status = REPLAY_GOES_ON;
    uint64_t at = replay->at;
    if (replay->wait == 0) {
        for (; at < end && (status = at_once(replay, at)) == REPLAY_GOES_ON; at++) {
        }
        replay->bad = at;
    } else {
        for (; at < end && (status = in_turn(replay, (uint32_t)at)) == REPLAY_GOES_ON; at++) {
        }
    }
    replay->at = at;
    if (status != REPLAY_GOES_ON || at < replay->trace.events) {
        return status;
    }
    while (status == REPLAY_GOES_ON && replay->held_first != REPLAY_NONE) {
        status = refuse_first(replay);
    }
    return status == REPLAY_GOES_ON ? REPLAY_DONE : status;
}

enum replay_status replay_go_on(struct replay *replay, uint64_t events) {
    uint64_t left = replay->trace.events - replay->at, began = os_processor_time();
    uint32_t own = os_thread_number();
    enum replay_status status = go_by(replay, replay->at + (events < left ? events : left));
    os_thread_pose(own);
    replay->nanoseconds += os_processor_time() - began;
    return status;
}

void replay_end(struct replay *replay) {
    for (uint32_t id = 0; id < replay->trace.ids; id++) {
        if (state_of(&replay->holdings[id]) == LIVE) {
            give_back(replay, &replay->holdings[id]);
            replay->holdings[id].where = FREED;
        }
    }
}
