/* pool.c: see pool.h. */
#include <errno.h>
#include <string.h>

#include "os/limits.h"
#include "os/memory.h"
#include "os/thread.h"
#include "os/wait.h"
#include "pool.h"

#define FAULTS_MOST 64

/* Repeats the call while another thread of this process has the lock. */
#define PATIENTLY(pool, status, call)                                                                                  \
    while ((status = (call)) == POOL_LOCKED) {                                                                         \
        (pool)->yield();                                                                                               \
    }

/* How many forks lie between the first process and this one. */
static uint32_t forks;
/* The private pools of this process in which a thread has waited. */
static struct pool *first_waited;
static atomic_word waited_lock;

/* Held for a few instructions that wait for nothing. A child may be forked while another thread has the lock to read;
 * so a lock tells by the number of forks whether its thread is here. Who changes what it protects has Python's GIL, or
 * is stopped by Python before a fork. */
static void lock(atomic_word *word) {
    uint64_t taken = (uint64_t)forks + 1, found = 0;
    while (!compare_exchange_seq(word, &found, taken)) {
        if (found == taken) {
            os_yield();
            found = 0;
        }
    }
}

static void unlock(atomic_word *word) { store_release(word, 0); }

/* --- making and ending --- */

/* How many bytes a private pool needs with its bookkeeping; UINT64_MAX if that does not fit in 64 bits. */
static uint64_t bytes_needed(uint64_t block_size, uint64_t blocks) {
    uint64_t bytes;
    if (__builtin_mul_overflow(block_size, blocks, &bytes)) {
        return UINT64_MAX;
    }
    uint64_t bookkeeping = blocks <= BITMAP_MOST ? private_pool_metadata_bytes(blocks) : 0;
    return bytes > UINT64_MAX - bookkeeping ? UINT64_MAX : bytes + bookkeeping;
}

static bool fits(const struct pool_request *request, struct pool_failure *failure) {
    struct os_limits machine;
    failure->asked = bytes_needed(request->block_size, request->blocks);
    if (!request->prefault && failure->asked <= OS_MEMORY_SURE) {
        return true;
    }
    os_limits(&machine);
    const struct os_limit *limit = request->prefault ? &machine.available : &machine.total;
    failure->available = limit->bytes;
    memcpy(failure->limit, limit->by, sizeof failure->limit);
    return failure->asked <= limit->bytes && request->blocks <= BITMAP_MOST;
}

/* Whether a pool may have no memory behind its blocks: if its bookkeeping, which is written to at once, is available.
 * POOL_NO_ROOM is for what no machine can have. */
static enum pool_status check_bare(const struct pool_request *request, struct pool_failure *failure) {
    uint64_t asked = bytes_needed(request->block_size, request->blocks);
    if (asked == UINT64_MAX || request->blocks > BITMAP_MOST) {
        return fits(request, failure) ? POOL_OK : POOL_NO_ROOM;
    }
    failure->asked = private_pool_metadata_bytes(request->blocks);
    if (failure->asked > OS_MEMORY_SURE) {
        struct os_limits machine;
        os_limits(&machine);
        return failure->asked <= machine.available.bytes ? POOL_OK : POOL_NO_MAPPING;
    }
    return POOL_OK;
}

static enum pool_status map_data(struct pool *pool, const struct pool_request *request, struct pool_failure *failure) {
    void *data = NULL;
    uint64_t bytes = request->block_size * request->blocks;
    if (!fits(request, failure)) {
        return POOL_NO_ROOM;
    }
    failure->error = os_map_private(bytes, request->huge, &data);
    if (failure->error == 0 && request->prefault) {
        failure->error = os_prefault(data, bytes, &request->pause);
        if (failure->error) {
            os_unmap(data, bytes);
        }
    }
    if (failure->error) {
        return failure->error == -ECANCELED ? POOL_STOPPED : POOL_NO_ROOM;
    }
    pool->data = data;
    return POOL_OK;
}

enum pool_status pool_open(struct pool *pool, const struct pool_request *request, struct pool_failure *failure) {
    size_t head = (sizeof *pool->private_pool + 63) / 64 * 64;
    void *memory = NULL;
    *pool = (struct pool){.yield = os_yield, .lent = request->memory, .data = request->memory};
    *failure = (struct pool_failure){0};
    enum pool_status status = request->memory ? POOL_OK
                              : request->bare ? check_bare(request, failure)
                                              : map_data(pool, request, failure);
    if (status != POOL_OK) {
        return status;
    }
    pool->block_size = request->block_size;
    pool->blocks = request->blocks;
    size_t bookkeeping = head + private_pool_metadata_bytes(pool->blocks);
    size_t shares = request->serial ? 0 : POOL_SHARES * sizeof(struct pool_share);
    pool->metadata_bytes = bookkeeping + shares + (request->debug ? quarantine_bytes(pool->blocks) : 0);
    failure->error = os_map_private(pool->metadata_bytes, false, &memory);
    if (failure->error) {
        failure->asked = pool->metadata_bytes;
        pool_close(pool, 0);
        return POOL_NO_MAPPING;
    }
    pool->private_pool = memory;
    private_pool_init(pool->private_pool, (char *)memory + head, pool->data, pool->block_size, pool->blocks);
    if (request->serial) {
        private_pool_make_serial(pool->private_pool);
    }
    if (request->debug) {
        quarantine_init(&pool->resting, (char *)memory + bookkeeping + shares, pool->blocks);
    }
    if (shares) {
        pool->shares = (struct pool_share *)(void *)((char *)memory + bookkeeping);
    }
    return POOL_OK;
}

/* Allocates the attachment. */
static enum pool_status begin_attachment(struct pool *pool, struct pool_failure *failure) {
    void *memory = NULL;
    *pool = (struct pool){.yield = os_yield};
    *failure = (struct pool_failure){.error = os_map_scratch(sizeof *pool->attachment, &memory)};
    pool->attachment = memory;
    return failure->error ? POOL_NO_MAPPING : POOL_OK;
}

/* Completes or undoes what begin_attachment began, depending on the status. */
static enum pool_status end_attachment(struct pool *pool, enum pool_status status, double gate_seconds) {
    if (status != POOL_OK) {
        pool_close(pool, gate_seconds);
        return status;
    }
    const struct layout_geometry *geometry = &pool->attachment->geometry;
    pool->data = layout_data(pool->attachment->memory, geometry);
    pool->block_size = geometry->block_size;
    pool->blocks = geometry->blocks;
    pool->sampling = 7;
    while ((pool->sampling + 1) * 8 < pool->blocks) { /* a sample takes time in proportion to the pool's size */
        pool->sampling = pool->sampling * 2 + 1;
    }
    return POOL_OK;
}

enum pool_status pool_create(struct pool *pool, const struct attachment_request *request,
                             struct pool_failure *failure) {
    enum pool_status status = begin_attachment(pool, failure);
    if (status == POOL_OK) {
        status = attachment_create(pool->attachment, request, failure);
    }
    return end_attachment(pool, status, request->gate_seconds);
}

enum pool_status pool_attach(struct pool *pool, const char *name, double gate_seconds, struct pool_failure *failure) {
    enum pool_status status = begin_attachment(pool, failure);
    if (status == POOL_OK) {
        status = attachment_attach(pool->attachment, name, gate_seconds, failure);
    }
    return end_attachment(pool, status, gate_seconds);
}

enum pool_status pool_attach_through(struct pool *pool, pid_t process, int number, const unsigned char *id,
                                     double gate_seconds, struct pool_failure *failure) {
    enum pool_status status = begin_attachment(pool, failure);
    if (status == POOL_OK) {
        status = attachment_attach_through(pool->attachment, process, number, id, gate_seconds, failure);
    }
    return end_attachment(pool, status, gate_seconds);
}

enum pool_status pool_look_at(struct pool *pool, const char *name, struct os_file *file, struct pool_failure *failure) {
    enum pool_status status = begin_attachment(pool, failure);
    if (status == POOL_OK) {
        status = look_open(pool->attachment, name, file, failure);
    }
    return end_attachment(pool, status, 0);
}

enum pool_status pool_look_through(struct pool *pool, pid_t process, int number, const unsigned char *id,
                                   struct os_file *file, struct pool_failure *failure) {
    enum pool_status status = begin_attachment(pool, failure);
    if (status == POOL_OK) {
        status = look_open_through(pool->attachment, process, number, id, file, failure);
    }
    return end_attachment(pool, status, 0);
}

enum pool_status pool_look_beside(struct pool *pool, const struct pool *attached, struct pool_failure *failure) {
    enum pool_status status = begin_attachment(pool, failure);
    if (status == POOL_OK) {
        status = look_open_beside(pool->attachment, attached->attachment, failure);
    }
    return end_attachment(pool, status, 0);
}

void pool_begin_close(struct pool *pool) {
    if (pool->attachment) {
        pool->attachment->on_fork = ON_FORK_NOTHING;
    }
    if (pool->waited) {
        lock(&waited_lock);
        struct pool **at = &first_waited;
        while (*at != pool) {
            at = &(*at)->next_waited;
        }
        *at = pool->next_waited;
        pool->waited = false;
        unlock(&waited_lock);
    }
}

void pool_close(struct pool *pool, double gate_seconds) {
    if (pool->attachment) {
        attachment_leave(pool->attachment, gate_seconds);
        attachment_unmap(pool->attachment);
        os_unmap_scratch(pool->attachment, sizeof *pool->attachment);
    } else {
        if (pool->private_pool) {
            os_unmap(pool->private_pool, pool->metadata_bytes);
        }
        if (pool->data && !pool->lent) {
            os_unmap(pool->data, pool->blocks * pool->block_size);
        }
    }
    *pool = (struct pool){0};
}

void pool_forked(void) {
    forks++;
    for (struct pool *pool = first_waited; pool; pool = pool->next_waited) {
        private_pool_wait_reset(pool->private_pool);
    }
}

/* --- allocating and giving back --- */

static enum pool_status allocate_many_private(struct pool *pool, uint64_t n, struct pool_run *runs) {
    uint64_t *indices = (uint64_t *)(void *)runs;
    if (!private_pool_allocate_many(pool->private_pool, n, indices)) {
        return POOL_EXHAUSTED;
    }
    /* In place and from the end: a run is larger than an index, and overwrites only indices that were read. */
    for (uint64_t i = n; i-- > 0;) {
        runs[i].index = indices[i];
        runs[i].blocks = 1;
        runs[i].generation = 0;
    }
    return POOL_OK;
}

enum pool_status pool_allocate_many(struct pool *pool, uint64_t n, struct pool_run *runs) {
    if (!pool->attachment) {
        return allocate_many_private(pool, n, runs);
    }
    for (uint64_t i = 0; i < n; i++) {
        enum pool_status status = attachment_allocate(pool->attachment, 1, 0, &runs[i]);
        if (status != POOL_OK) {
            while (i-- > 0) {
                (void)pool_drop_reference(pool, &runs[i]);
            }
            return status;
        }
    }
    return POOL_OK;
}

/* --- counting in shares --- */

static struct pool_share *share_of_thread(struct pool *pool) {
    return &pool->shares[(os_thread_number() - 1) % POOL_SHARES];
}

/* Takes room for so many blocks from the other shares, and raises the peak by what is lacking. */
static void take_room(struct pool *pool, struct pool_share *share, uint64_t blocks) {
    uint64_t found = fetch_and_seq(&share->room, 0);
    for (unsigned s = 0; s < POOL_SHARES && found < blocks; s++) {
        found += load_relaxed(&pool->shares[s].room) ? fetch_and_seq(&pool->shares[s].room, 0) : 0;
    }
    if (found < blocks) {
        fetch_add_seq(&pool->counts.shared_peak, blocks - found);
    } else if (found > blocks) {
        fetch_add_seq(&share->room, found - blocks);
    }
}

/* Not inlined, as the calls of a serial pool would be slower for it. */
__attribute__((noinline)) void pool_count_in_share(struct pool *pool, uint64_t blocks, uint64_t nbytes) {
    struct pool_share *share = share_of_thread(pool);
    fetch_add_seq(&share->allocations, 1);
    fetch_add_seq(&share->requested, nbytes);
    uint64_t room = load_relaxed(&share->room);
    while (room >= blocks) { /* a failed exchange updates `room` */
        if (compare_exchange_seq(&share->room, &room, room - blocks)) {
            return;
        }
    }
    take_room(pool, share, blocks);
}

__attribute__((noinline)) void pool_count_back_in_share(struct pool *pool, uint64_t blocks, uint64_t nbytes) {
    struct pool_share *share = share_of_thread(pool);
    fetch_add_seq(&share->requested, -nbytes);
    fetch_add_seq(&share->room, blocks);
}

/* Not inlined: who counts with plain stores comes here once at most. */
__attribute__((noinline)) uint64_t pool_count_beside(struct pool *pool) {
    uint32_t nobody = 0;
    if (half_compare_exchange_seq(&pool->counting_thread, &nobody, os_thread_number())) {
        return pool_count_alone(pool);
    }
    return fetch_add_seq(&pool->attachment->slot_record->allocations_beside, 1) + 1;
}

void pool_count_wait(struct pool *pool, double seconds) {
    uint64_t nanoseconds = (uint64_t)(seconds * 1e9);
    if (!pool->attachment) {
        fetch_add_seq(&pool->counts.waits, 1);
        fetch_add_seq(&pool->counts.waited, nanoseconds);
    } else if (!pool_is_lost(pool)) {
        pool->attachment->slot_record->waits++;
        pool->attachment->slot_record->waited += nanoseconds;
    }
}

enum pool_status pool_drop_reference(struct pool *pool, const struct pool_run *run) {
    bool freed;
    enum pool_status status;
    PATIENTLY(pool, status, attachment_drop(pool->attachment, run, &freed));
    return status == POOL_CORRUPT ? POOL_CORRUPT : POOL_OK; /* a lost child has nothing to give back */
}

enum pool_status pool_unclaim(struct pool *pool, const struct pool_run *run) {
    if (pool->attachment) {
        return pool_drop_reference(pool, run);
    }
    private_pool_release(pool->private_pool, run->index, run->blocks);
    return POOL_OK;
}

static uint64_t ledger_word(const struct pool *pool, uint64_t index) {
    return load_seq(&shared_pool_entry(&pool->attachment->shared, index)->head);
}

static uint64_t tickets_of(uint64_t word) { return ledger_is_live(word) ? ledger_tickets(word) : 0; }

/* Tells what still uses a run that was not freed. */
static enum pool_status tell_users(const struct pool *pool, const struct pool_run *run, enum pool_status status,
                                   struct pool_users *users) {
    if (status == POOL_IN_USE) {
        uint64_t word = ledger_word(pool, run->index);
        shared_pool_holders(&pool->attachment->shared, run->index, word, &users->holders);
        users->tickets = tickets_of(word);
        users->kept = ledger_is_live(word) && word & LEDGER_KEPT;
        users->carried = ledger_is_live(word) && word & LEDGER_CARRIED;
    }
    return status;
}

enum pool_status pool_free(struct pool *pool, const struct pool_run *run, uint64_t nbytes, struct pool_users *users) {
    enum pool_status status;
    if (!pool->attachment) {
        return pool_release(pool, run, nbytes);
    }
    PATIENTLY(pool, status, attachment_free(pool->attachment, run, &users->local_references));
    return __builtin_expect(status == POOL_OK, 1) ? POOL_OK : tell_users(pool, run, status, users);
}

enum pool_status pool_free_watched(struct pool *pool, const struct pool_run *run, const struct site_caller *caller,
                                   struct pool_users *users, struct site_finding *finding) {
    enum pool_status status;
    PATIENTLY(pool, status, attachment_free_watched(pool->attachment, run, &users->local_references, caller, finding));
    return tell_users(pool, run, status, users);
}

void pool_rest(struct pool *pool, const struct pool_run *run, uint64_t nbytes) {
    pool_count_back(pool, run->blocks, nbytes);
    lock(&pool->resting_lock);
    quarantine_add(&pool->resting, pool->private_pool, run->index, run->blocks);
    unlock(&pool->resting_lock);
}

bool pool_reclaim(struct pool *pool, bool waiting) {
    unsigned processes = 0;
    uint64_t tickets;
    struct pool_failure failure;
    if (!pool->attachment) {
        lock(&pool->resting_lock);
        bool any = quarantine_release_all(&pool->resting, pool->private_pool);
        unlock(&pool->resting_lock);
        return any;
    }
    bool left_to_others =
        waiting && attachment_is_looked_after(pool->attachment) && !attachment_has_ended_tickets(pool->attachment);
    return !left_to_others && attachment_recover(pool->attachment, 0, -1, &processes, &tickets, &failure) == POOL_OK &&
           processes + tickets > 0;
}

enum pool_status pool_recover(struct pool *pool, double gate_seconds, double ticket_seconds, unsigned *processes,
                              uint64_t *tickets, struct pool_failure *failure) {
    *processes = 0;
    *tickets = 0;
    return pool->attachment
               ? attachment_recover(pool->attachment, gate_seconds, ticket_seconds, processes, tickets, failure)
               : POOL_OK;
}

/* --- references --- */

enum pool_status pool_add_reference(struct pool *pool, struct pool_run *run) {
    enum pool_status status;
    PATIENTLY(pool, status, attachment_add_reference(pool->attachment, run));
    return status;
}

enum pool_status pool_redeem(struct pool *pool, struct pool_run *run) {
    enum pool_status status;
    PATIENTLY(pool, status, attachment_redeem(pool->attachment, run));
    return status;
}

enum pool_status pool_get(struct pool *pool, const char *name, struct pool_run *run) {
    enum pool_status status;
    PATIENTLY(pool, status, attachment_get(pool->attachment, name, run));
    return status;
}

enum pool_status pool_share(struct pool *pool, const struct pool_run *run, uint64_t n) {
    return n > LEDGER_MOST_TICKETS ? POOL_TICKETS : attachment_share(pool->attachment, run, n);
}

enum pool_status pool_share_for(struct pool *pool, const struct pool_run *run, uint64_t n, uint32_t lifetime,
                                struct pool_failure *failure) {
    return n > LEDGER_MOST_TICKETS ? POOL_TICKETS : attachment_share_for(pool->attachment, run, n, lifetime, failure);
}

bool pool_withdraw(struct pool *pool, const struct pool_run *run) {
    return pool->attachment && attachment_withdraw(pool->attachment, run);
}

uint64_t pool_tickets(const struct pool *pool, uint64_t index) {
    return pool->attachment ? tickets_of(ledger_word(pool, index)) : 0;
}

/* Bytes of the run that were not asked for; less than a block, whatever the segment says. */
static uint64_t slack_of(const struct pool *pool, uint64_t index) {
    uint64_t slack = pool->attachment ? shared_pool_slack(&pool->attachment->shared, index) : 0;
    return slack < pool->block_size ? slack : pool->block_size - 1;
}

uint64_t pool_run_bytes(const struct pool *pool, const struct pool_run *run) {
    return run->blocks * pool->block_size - slack_of(pool, run->index);
}

pid_t pool_process(const struct pool *pool, unsigned slot) { return attachment_process(pool->attachment, slot); }

/* --- waiting for room --- */

void pool_wait_begin(struct pool *pool, uint32_t *wait) {
    enum pool_status status;
    if (pool->attachment) {
        PATIENTLY(pool, status, attachment_wait_enter(pool->attachment, wait));
        return;
    }
    lock(&waited_lock);
    if (!pool->waited) {
        pool->waited = true;
        pool->next_waited = first_waited;
        first_waited = pool;
    }
    unlock(&waited_lock);
    private_pool_wait_enter(pool->private_pool);
    *wait = forks;
}

bool pool_wait_is_over(const struct pool *pool, uint32_t wait) {
    return pool->attachment ? attachment_wait_is_over(pool->attachment, wait) : wait != forks;
}

void pool_wait_end(struct pool *pool, uint32_t wait) {
    enum pool_status status;
    if (pool->attachment) {
        PATIENTLY(pool, status, attachment_wait_leave(pool->attachment, wait));
    } else if (!pool_wait_is_over(pool, wait)) {
        private_pool_wait_leave(pool->private_pool);
    }
}

uint32_t pool_free_sequence(const struct pool *pool) {
    return pool->attachment ? attachment_wait_sequence(pool->attachment)
                            : private_pool_wait_sequence(pool->private_pool);
}

void pool_wait_sleep(struct pool *pool, uint32_t sequence, double seconds) {
    if (pool->attachment) {
        attachment_wait_sleep(pool->attachment, sequence, seconds);
    } else {
        private_pool_wait_sleep(pool->private_pool, sequence, seconds);
    }
}

/* --- looking --- */

static const struct bitmap *bitmap_of(const struct pool *pool) {
    return pool->attachment ? &pool->attachment->shared.bitmap : &pool->private_pool->bitmap;
}

static void note_peak(struct pool *pool, uint64_t allocated) {
    uint64_t peak = load_relaxed(&pool->attachment->slot_record->peak);
    while (allocated > peak && !compare_exchange_seq(&pool->attachment->slot_record->peak, &peak, allocated)) {
    }
}

void pool_note_peak(struct pool *pool) { note_peak(pool, bitmap_count(bitmap_of(pool))); }

/* Seconds since a time that the segment has, which another process may have written a moment ago. */
static double seconds_since(uint64_t time) {
    uint64_t now = os_seconds();
    return time < now ? (double)(now - time) : 0;
}

/* Seconds until a time of endings.h; negative for never. */
static double seconds_until(uint32_t end) {
    uint32_t now = os_seconds();
    return end == ENDINGS_NEVER ? -1.0 : end > now ? (double)(end - now) : 0;
}

/* The counts of all shares together. */
static void sum_shares(struct pool *pool, struct pool_stats *stats) {
    for (unsigned s = 0; s < POOL_SHARES; s++) {
        stats->allocations += load_relaxed(&pool->shares[s].allocations);
        stats->requested += load_relaxed(&pool->shares[s].requested);
    }
    /* A run is claimed before it is counted, and may go back in a share that was read before it was counted there. */
    uint64_t most = pool->blocks * pool->block_size, peak = load_relaxed(&pool->counts.shared_peak);
    stats->requested = stats->requested <= most ? stats->requested : 0;
    peak = peak > stats->allocated ? peak : stats->allocated;
    stats->peak = peak < pool->blocks ? peak : pool->blocks;
}

/* Takes what rests off the blocks and runs that are allocated. */
static void resting_of(struct pool *pool, uint64_t *blocks, uint64_t *runs) {
    lock(&pool->resting_lock);
    *blocks = pool->resting.blocks < *blocks ? *blocks - pool->resting.blocks : 0;
    *runs = pool->resting.count < *runs ? *runs - pool->resting.count : 0;
    unlock(&pool->resting_lock);
}

static void stats_private(struct pool *pool, struct pool_stats *stats) {
    uint64_t allocated = bitmap_count(bitmap_of(pool)), runs = private_pool_runs(pool->private_pool);
    resting_of(pool, &allocated, &runs);
    *stats = (struct pool_stats){
        .allocated = allocated,
        .peak = pool->counts.peak,
        .runs = runs,
        .requested = pool->counts.requested,
        .allocations = pool->counts.allocations,
        .failures = load_relaxed(&pool->counts.failures),
        .waits = load_relaxed(&pool->counts.waits),
        .waited = load_relaxed(&pool->counts.waited),
        .next_end = -1,
        .oldest_ticket = -1,
        .processes = 1,
    };
    if (pool->shares) {
        sum_shares(pool, stats);
    }
}

static void stats_shared(struct pool *pool, struct pool_stats *stats) {
    struct shared_pool_totals totals;
    struct attachment_counts counts;
    attachment_count(pool->attachment, &counts); /* before the runs, so that these do not outnumber it */
    shared_pool_count(&pool->attachment->shared, &totals);
    if (!look_is_one(pool->attachment)) {
        note_peak(pool, totals.allocated);
    }
    uint64_t bytes = totals.allocated * pool->block_size;
    *stats = (struct pool_stats){
        .allocated = totals.allocated,
        .peak = counts.peak > totals.allocated ? counts.peak : totals.allocated,
        .runs = totals.runs,
        .requested = bytes > totals.slack ? bytes - totals.slack : 0,
        .allocations = counts.allocations,
        .failures = counts.failures,
        .waits = counts.waits,
        .waited = counts.waited,
        .tickets = totals.tickets,
        .only_tickets = totals.only_tickets,
        .endless = totals.endless,
        .next_end = seconds_until(totals.next_end),
        .oldest_ticket = totals.oldest == BITMAP_NONE ? -1 : seconds_since(totals.oldest),
        .processes = counts.processes,
    };
}

void pool_stats(struct pool *pool, struct pool_stats *stats) {
    if (pool->attachment) {
        stats_shared(pool, stats);
    } else {
        stats_private(pool, stats);
    }
    uint64_t longest = bitmap_longest_free(bitmap_of(pool));
    stats->longest_free = longest < pool->blocks ? longest : pool->blocks;
}

void pool_counts(struct pool *pool, struct pool_stats *stats) {
    if (!pool->attachment) {
        pool_stats(pool, stats);
        return;
    }
    struct attachment_counts counts;
    attachment_count(pool->attachment, &counts);
    uint64_t allocated = bitmap_count(bitmap_of(pool)), longest = bitmap_longest_free(bitmap_of(pool));
    *stats = (struct pool_stats){
        .allocated = allocated < pool->blocks ? allocated : pool->blocks,
        .peak = counts.peak > allocated ? counts.peak : allocated,
        .longest_free = longest < pool->blocks ? longest : pool->blocks,
        .allocations = counts.allocations,
        .failures = counts.failures,
        .waits = counts.waits,
        .waited = counts.waited,
        .next_end = -1,
        .oldest_ticket = -1,
        .processes = counts.processes,
    };
}

uint64_t pool_allocated(const struct pool *pool) {
    uint64_t allocated = bitmap_count(bitmap_of(pool));
    return allocated < pool->blocks ? allocated : pool->blocks;
}

bool pool_is_live(const struct pool *pool, const struct pool_run *run) {
    return shared_pool_is_live(&pool->attachment->shared, run);
}

bool pool_held_run(const struct pool *pool, uint64_t index, struct pool_run *run) {
    return shared_pool_held_run(&pool->attachment->shared, index, pool->attachment->slot, run);
}

bool pool_next_run(const struct pool *pool, uint64_t from, struct pool_look *look) {
    uint64_t word = 0;
    if (!pool->attachment) {
        *look = (struct pool_look){.age = -1, .ends = -1};
        return private_pool_next_run(pool->private_pool, from, &look->run.index, &look->run.blocks);
    }
    if (!shared_pool_next_run(&pool->attachment->shared, from, &look->run, &word)) {
        return false;
    }
    look->slack = slack_of(pool, look->run.index);
    look->tickets = tickets_of(word);
    look->kept = word & LEDGER_KEPT;
    look->carried = ledger_is_live(word) && word & LEDGER_CARRIED;
    struct queue queue;
    bool known = look->carried && queue_of_run(&pool->attachment->queues, look->run.index, &queue);
    look->queue = known ? queue.run.index : BITMAP_NONE;
    look->age = seconds_since(shared_pool_since(&pool->attachment->shared, look->run.index));
    look->ends = seconds_until(endings_of(&pool->attachment->shared.endings, look->run.index, word));
    shared_pool_holders(&pool->attachment->shared, look->run.index, word, &look->holders);
    return true;
}

static const enum pool_fault_kind private_kinds[] = {
    [PRIVATE_POOL_FAULT_CONTINUATION_FREE] = POOL_FAULT_CONTINUATION_FREE,
    [PRIVATE_POOL_FAULT_CONTINUATION_LOST] = POOL_FAULT_CONTINUATION_LOST,
    [PRIVATE_POOL_FAULT_PAST_END] = POOL_FAULT_PAST_END,
    [PRIVATE_POOL_FAULT_SUMMARY] = POOL_FAULT_SUMMARY,
};

static const enum pool_fault_kind shared_kinds[] = {
    [SHARED_POOL_FAULT_WORD] = POOL_FAULT_WORD,       [SHARED_POOL_FAULT_TAIL] = POOL_FAULT_TAIL,
    [SHARED_POOL_FAULT_OVERLAP] = POOL_FAULT_OVERLAP, [SHARED_POOL_FAULT_HOLDER] = POOL_FAULT_HOLDER,
    [SHARED_POOL_FAULT_LOST] = POOL_FAULT_LOST,       [SHARED_POOL_FAULT_PAST_END] = POOL_FAULT_PAST_END,
    [SHARED_POOL_FAULT_HALF] = POOL_FAULT_HALF,       [SHARED_POOL_FAULT_ROW] = POOL_FAULT_ROW,
    [SHARED_POOL_FAULT_NAME] = POOL_FAULT_NAME,       [SHARED_POOL_FAULT_CARRIED] = POOL_FAULT_CARRIED,
    [SHARED_POOL_FAULT_ANNEX] = POOL_FAULT_ANNEX,     [SHARED_POOL_FAULT_QUEUE] = POOL_FAULT_QUEUE,
    [SHARED_POOL_FAULT_CELL] = POOL_FAULT_CELL,       [SHARED_POOL_FAULT_MESSAGE] = POOL_FAULT_MESSAGE,
};

static void check_private(struct pool *pool, struct pool_fault *faults, uint64_t most, struct pool_audit *audit) {
    struct private_pool_fault found[FAULTS_MOST];
    audit->faults = private_pool_check(pool->private_pool, found, most, &audit->in_transit);
    for (uint64_t i = 0; i < audit->faults && i < most; i++) {
        faults[i] = (struct pool_fault){private_kinds[found[i].kind], found[i].index};
    }
    audit->allocated = bitmap_count(bitmap_of(pool));
}

/* What an audit of a shared pool found. */
static void report_shared(const struct pool *pool, const struct shared_pool_fault *found,
                          const struct shared_pool_audit *counts, struct pool_fault *faults, uint64_t most,
                          struct pool_audit *audit) {
    for (uint64_t i = 0; i < counts->faults && i < most; i++) {
        faults[i] = (struct pool_fault){shared_kinds[found[i].kind], found[i].index};
    }
    audit->faults = counts->faults;
    audit->healed = counts->healed;
    audit->in_transit = counts->in_transit;
    struct shared_pool_totals totals;
    shared_pool_count(&pool->attachment->shared, &totals);
    audit->allocated = totals.allocated;
}

static void count_runs(struct pool *pool, struct pool_audit *audit) {
    struct pool_look look;
    for (uint64_t at = 0; pool_next_run(pool, at, &look); at = look.run.index + look.run.blocks) {
        audit->runs++;
    }
    if (!pool->attachment) {
        resting_of(pool, &audit->allocated, &audit->runs);
    }
}

enum pool_status pool_check(struct pool *pool, double gate_seconds, struct pool_fault *faults, uint64_t most,
                            struct pool_audit *audit, struct pool_failure *failure) {
    struct shared_pool_fault found[FAULTS_MOST];
    struct shared_pool_audit counts;
    *audit = (struct pool_audit){0};
    most = most < FAULTS_MOST ? most : FAULTS_MOST;
    if (!pool->attachment) {
        check_private(pool, faults, most, audit);
    } else {
        enum pool_status status = attachment_check(pool->attachment, gate_seconds, found, most, &counts, failure);
        if (status != POOL_OK) {
            return status;
        }
        report_shared(pool, found, &counts, faults, most, audit);
    }
    count_runs(pool, audit);
    return POOL_OK;
}

void pool_audit_only(struct pool *pool, struct pool_fault *faults, uint64_t most, struct pool_audit *audit) {
    struct shared_pool_fault found[FAULTS_MOST];
    struct shared_pool_audit counts;
    *audit = (struct pool_audit){0};
    most = most < FAULTS_MOST ? most : FAULTS_MOST;
    if (!pool->attachment) {
        check_private(pool, faults, most, audit);
    } else {
        look_check(pool->attachment, found, most, &counts);
        report_shared(pool, found, &counts, faults, most, audit);
    }
    count_runs(pool, audit);
}
