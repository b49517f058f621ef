/* shared_pool.c: see shared_pool.h. */
#include "shared/shared_pool.h"

#include <stddef.h>

#include "os/wait.h"
#include "shared/lanes.h"

#define CHECK_LOOKS 4

_Static_assert(offsetof(struct shared_pool, bitmap) == 0, "undone() knows the pool by its bitmap");

const atomic_word shared_pool_never = 0, shared_pool_always = 1;
struct endings_head endings_none;

/* --- the one loop in which heads change --- */

static atomic_word *head_of(const struct shared_pool *shared, uint64_t index) {
    return &shared_pool_entry(shared, index)->head;
}

/* The new value of a word, or LEDGER_REFUSED. */
typedef uint64_t change_function(uint64_t word, uint64_t amount);

static uint64_t change_hold(uint64_t word, uint64_t amount) {
    (void)amount;
    return ledger_hold(word);
}

static uint64_t change_leave(uint64_t word, uint64_t slot) { return ledger_leave(word, (unsigned)slot); }

static uint64_t change_disown(uint64_t word, uint64_t slot) { return ledger_disown(word, (unsigned)slot); }
static uint64_t change_share(uint64_t word, uint64_t n) { return ledger_share(word, n); }
static uint64_t change_share_timed(uint64_t word, uint64_t n) { return ledger_share_timed(word, n); }

static uint64_t change_take_ticket(uint64_t word, uint64_t amount) {
    (void)amount;
    return ledger_take_ticket(word);
}

static uint64_t change_keep(uint64_t word, uint64_t amount) {
    (void)amount;
    return ledger_keep(word);
}

static uint64_t change_carry(uint64_t word, uint64_t amount) {
    (void)amount;
    return ledger_carry(word);
}

static uint64_t change_forget(uint64_t word, uint64_t generation) {
    return ledger_is_run_of(word, generation) ? ledger_forget(word) : LEDGER_REFUSED;
}

/* Changes a head; *before and *after tell what it was and is. False when the change does not apply to *before. */
static inline __attribute__((always_inline)) bool ledger_change(atomic_word *word, change_function *change,
                                                                uint64_t amount, uint64_t *before, uint64_t *after) {
    *before = load_seq(word);
    for (;;) {
        *after = change(*before, amount);
        if (*after == LEDGER_REFUSED) {
            return false;
        }
        if (*after == *before || compare_exchange_seq(word, before, *after)) {
            return true;
        }
    }
}

/* --- waking --- */

static inline bool has_waiters(const struct shared_pool *shared) {
    uint64_t any = 0;
#pragma GCC unroll 4 /* no branch in what every free has to pass */
    for (unsigned w = 0; w < SHARED_POOL_LEAST_ROW; w++) {
        any |= load_seq(&shared->waiting->slots[w]);
    }
    for (unsigned w = SHARED_POOL_LEAST_ROW; __builtin_expect(w < shared->row_words, 0); w++) {
        any |= load_seq(&shared->waiting->slots[w]);
    }
    return any != 0;
}

static inline void wake(struct shared_pool *shared) {
    if (__builtin_expect(has_waiters(shared), 0)) {
        half_fetch_add_seq(&shared->waiting->sequence, 1);
        os_wake_all_shared(&shared->waiting->sequence);
    }
}

/* After a failed claim gave bits back: other searches may have seen them taken. */
static void undone(struct bitmap *bitmap) { wake((struct shared_pool *)bitmap); }

void shared_pool_init(struct shared_pool *shared, const struct shared_pool_parts *parts, uint64_t blocks,
                      uint64_t block_size, unsigned slots) {
    shared->entries = parts->entries;
    shared->entry_bytes = shared_pool_entry_bytes(slots);
    shared->waiting = parts->waiting;
    shared->endings = parts->endings.head ? parts->endings : (struct endings){&endings_none, NULL};
    shared->blocks = blocks;
    shared->slots = slots;
    shared->row_words = shared_pool_row_words(slots);
    bitmap_init(&shared->bitmap, parts->bitmap, blocks, false);
    shared->bitmap.undone = undone;
    shared->watch = (struct shared_pool_watch){&shared_pool_never, 0, 0, NULL, NULL};
    shared->length_bits = LEDGER_LENGTH_BITS;
    for (uint64_t high = (block_size - 1) >> 32; high; high >>= 1) {
        shared->length_bits--;
    }
}

/* --- records --- */

static struct ledger_record record_of(const struct shared_pool *shared, uint64_t packed) {
    struct ledger_record record = ledger_record_unpack(packed);
    record.length = ((record.length - 1) & ((UINT64_C(1) << shared->length_bits) - 1)) + 1;
    return record;
}

static struct ledger_record record_at(const struct shared_pool *shared, uint64_t index) {
    return record_of(shared, load_seq(&shared_pool_entry(shared, index)->run));
}

uint64_t shared_pool_length(const struct shared_pool *shared, uint64_t index) {
    uint64_t length = record_at(shared, index).length;
    return length <= shared->blocks - index ? length : 0;
}

/* --- rows --- */

static bool row_set(const struct shared_pool *shared, uint64_t index, unsigned slot) {
    return set_bit_seq(&shared_pool_entry(shared, index)->row[slot / 64], slot % 64);
}

static bool row_clear(const struct shared_pool *shared, uint64_t index, unsigned slot) {
    return clear_bit_seq(&shared_pool_entry(shared, index)->row[slot / 64], slot % 64);
}

/* Whether the row has the bit of any slot but this one. */
static bool row_has_others(const struct shared_pool *shared, uint64_t index, unsigned slot) {
    const struct shared_pool_entry *entry = shared_pool_entry(shared, index);
    uint64_t any = 0;
    for (unsigned w = 0; w < shared->row_words && !any; w++) {
        any = load_seq(&entry->row[w]) & ~(w == slot / 64 ? UINT64_C(1) << slot % 64 : 0);
    }
    return any != 0;
}

/* Looks again whether nobody holds a run about which `name` asks, apart from a bit of the slot `except`. True: it is
 * CLOSING{name}. False: it is held, or was in between; *word is the head. */
static bool answer(const struct shared_pool *shared, uint64_t index, unsigned except, uint64_t *word) {
    atomic_word *head = head_of(shared, index);
    uint64_t asking = *word;
    bool held = row_has_others(shared, index, except);
    *word = held ? ledger_hold(asking) : ledger_close(asking);
    if (compare_exchange_seq(head, &asking, *word)) {
        return !held;
    }
    *word = asking; /* somebody said no */
    return false;
}

/* Tries to close a run whose head was seen as `word`, as shared_pool.h says. */
static bool try_to_close(const struct shared_pool *shared, uint64_t index, unsigned name, unsigned except,
                         uint64_t word) {
    while (ledger_is_loose(word) && !row_has_others(shared, index, except)) {
        uint64_t asking = ledger_ask(word, name);
        if (compare_exchange_seq(head_of(shared, index), &word, asking)) {
            word = asking;
            if (answer(shared, index, except, &word)) {
                return true;
            }
        }
    }
    return false;
}

/* --- freeing --- */

/* Frees a run whose head is CLOSING and whose tails are the n - 1 that follow it. */
static void finish(struct shared_pool *shared, uint64_t head, uint64_t n) {
    uint64_t on = load_flag(shared->watch.on);
    if (__builtin_expect(on != 0, 0)) {
        uint64_t packed = load_relaxed(&shared_pool_entry(shared, head)->run);
        if (!lane_put(shared->watch.number, on, LANE_FREED, lane_run(head, ledger_record_unpack(packed).generation))) {
            shared->watch.ended(shared, head, n);
        }
    }
    for (uint64_t d = n - 1; d > 0; d--) {
        store_release(head_of(shared, head + d), LEDGER_FREE);
    }
    store_release(head_of(shared, head), LEDGER_FREE);
    if (n == 1) {
        (void)bitmap_release(&shared->bitmap, head);
    } else {
        (void)bitmap_release_range(&shared->bitmap, head, n);
    }
    wake(shared);
}

/* The head and the contiguous TAILs that point at it. */
static uint64_t extent(const struct shared_pool *shared, uint64_t head) {
    uint64_t n = 1;
    while (head + n < shared->blocks && load_seq(head_of(shared, head + n)) == ledger_tail(n)) {
        n++;
    }
    return n;
}

/* --- allocating --- */

/* Takes the words of the run; on conflict undoes what it took and returns which block was in the way. */
static uint64_t take_words(struct shared_pool *shared, unsigned slot, uint64_t head, uint64_t n) {
    uint64_t word = LEDGER_FREE;
    if (!compare_exchange_seq(head_of(shared, head), &word, ledger_opening(slot))) {
        return head;
    }
    for (uint64_t d = 1; d < n; d++) {
        word = LEDGER_FREE;
        if (!compare_exchange_seq(head_of(shared, head + d), &word, ledger_tail(d))) {
            for (uint64_t undo = d - 1; undo > 0; undo--) {
                store_release(head_of(shared, head + undo), LEDGER_FREE);
            }
            store_release(head_of(shared, head), LEDGER_FREE);
            return head + d;
        }
    }
    return BITMAP_NONE;
}

static inline __attribute__((always_inline)) enum shared_pool_status
allocate(struct shared_pool *shared, unsigned slot, uint64_t n, uint64_t slack, uint32_t now, struct pool_run *run) {
    for (;;) {
        uint64_t head = n == 1 ? bitmap_claim(&shared->bitmap) : bitmap_claim_run(&shared->bitmap, n);
        if (head == BITMAP_NONE) {
            run->index = BITMAP_NONE;
            return SHARED_POOL_OK;
        }
        if (head >= shared->blocks || n > shared->blocks - head) {
            return SHARED_POOL_CORRUPT; /* bits past the end had been cleared */
        }
        uint64_t wrong = take_words(shared, slot, head, n);
        if (wrong == BITMAP_NONE) {
            struct shared_pool_entry *entry = shared_pool_entry(shared, head);
            struct ledger_record next = {ledger_record_unpack(load_relaxed(&entry->run)).generation + 1, n};
            uint64_t high = slack >> 32 << shared->length_bits & (LEDGER_MOST_BLOCKS - 1);
            store_relaxed(&entry->run, ledger_record_pack(next) | high);
            store_relaxed(&entry->details, slack << 32 | now);
            store_release(&entry->head, ledger_live(slot, next.generation));
            *run = (struct pool_run){head, n, next.generation & LEDGER_MOST_GENERATION};
            uint64_t on = load_flag(shared->watch.on);
            if (__builtin_expect(on != 0, 0)) {
                if (!lane_put(shared->watch.number, on, (n * shared->watch.block_size - slack) << 8 | LANE_ALLOCATED,
                              lane_run(head, run->generation)) &&
                    shared->watch.allocated) {
                    shared->watch.allocated(shared, run, slack);
                }
            }
            return SHARED_POOL_OK;
        }
        /* its bit was wrong: it stays set, the others go back */
        if (wrong > head) {
            (void)bitmap_release_range(&shared->bitmap, head, wrong - head);
        }
        if (wrong < head + n - 1) {
            (void)bitmap_release_range(&shared->bitmap, wrong + 1, head + n - 1 - wrong);
        }
        wake(shared); /* other searches may have seen them taken */
    }
}

/* Compiled twice, as for a single block no loop is left. */
enum shared_pool_status shared_pool_allocate(struct shared_pool *shared, unsigned slot, uint64_t n, uint64_t slack,
                                             uint32_t now, struct pool_run *run) {
    return n == 1 ? allocate(shared, slot, 1, slack, now, run) : allocate(shared, slot, n, slack, now, run);
}

/* --- holding and dropping --- */

bool shared_pool_drop_alone(struct shared_pool *shared, unsigned slot, const struct pool_run *run) {
    atomic_word *head = head_of(shared, run->index);
    uint64_t word = load_relaxed(head);
    if (__builtin_expect(!ledger_is_alone(word, slot), 0) ||
        !compare_exchange_seq(head, &word, ledger_make(LEDGER_IS_CLOSING, slot, word))) {
        return false;
    }
    finish(shared, run->index, run->blocks);
    return true;
}

enum shared_pool_status shared_pool_drop(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                         bool *last) {
    uint64_t before, after, index = run->index;
    *last = false;
    if (ledger_change(head_of(shared, index), change_leave, slot, &before, &after)) {
        *last = ledger_state(after) == LEDGER_IS_CLOSING;
        if (ledger_is_asking(after)) {
            *last =
                answer(shared, index, LEDGER_NOBODY, &after) || try_to_close(shared, index, slot, LEDGER_NOBODY, after);
        }
        return SHARED_POOL_OK;
    }
    if (!ledger_is_run(before) || !row_clear(shared, index, slot)) {
        return SHARED_POOL_CORRUPT;
    }
    *last = try_to_close(shared, index, slot, LEDGER_NOBODY, load_seq(head_of(shared, index)));
    return SHARED_POOL_OK;
}

enum shared_pool_status shared_pool_drop_last(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                              bool *last) {
    uint64_t before, after, index = run->index;
    atomic_word *head = head_of(shared, index);
    *last = false;
    before = load_seq(head);
    if (!shared_pool_is_held(shared, index, before, slot)) {
        return SHARED_POOL_CORRUPT;
    }
    if (ledger_is_owner(before, slot)) { /* hold it by the bit: a question takes the owner from the head */
        (void)row_set(shared, index, slot);
        (void)ledger_change(head, change_disown, slot, &before, &after);
    }
    do { /* say no to others who ask */
        (void)ledger_change(head, change_hold, 0, &before, &after);
        *last = try_to_close(shared, index, slot, slot, after);
    } while (!*last && ledger_is_asking(load_seq(head)));
    if (*last) {
        (void)row_clear(shared, index, slot);
    }
    return SHARED_POOL_OK;
}

void shared_pool_finish(struct shared_pool *shared, const struct pool_run *run) {
    finish(shared, run->index, run->blocks);
}

/* Looks at the head for a slot whose bit is set: whether the slot holds the run of that generation. */
static bool is_there(const struct shared_pool *shared, const struct pool_run *run) {
    atomic_word *head = head_of(shared, run->index);
    uint64_t word = load_seq(head);
    while (ledger_is_run_of(word, run->generation)) {
        uint64_t held = ledger_hold(word);
        if (held == word || compare_exchange_seq(head, &word, held)) {
            return true;
        }
    }
    return false;
}

/* Takes back the bit, out of whatever run is there now. */
static void step_back(struct shared_pool *shared, unsigned slot, uint64_t index) {
    (void)row_clear(shared, index, slot);
    if (try_to_close(shared, index, slot, LEDGER_NOBODY, load_seq(head_of(shared, index)))) {
        finish(shared, index, extent(shared, index));
    }
}

enum shared_pool_status shared_pool_hold(struct shared_pool *shared, unsigned slot, struct pool_run *run, bool *set) {
    *set = false;
    if (run->index >= shared->blocks) {
        return SHARED_POOL_STALE;
    }
    uint64_t word = load_seq(head_of(shared, run->index));
    if (!ledger_is_run_of(word, run->generation)) {
        return SHARED_POOL_STALE;
    }
    if (!ledger_is_owner(word, slot)) {
        *set = row_set(shared, run->index, slot);
    }
    bool there = is_there(shared, run);
    struct ledger_record found = record_at(shared, run->index);
    bool fits = found.length <= shared->blocks - run->index;
    if (there && fits && found.generation == run->generation) {
        run->blocks = found.length;
        return SHARED_POOL_OK;
    }
    if (*set) {
        *set = false;
        step_back(shared, slot, run->index);
    }
    return there && found.generation == run->generation ? SHARED_POOL_CORRUPT : SHARED_POOL_STALE;
}

uint64_t shared_pool_fork(struct shared_pool *shared, unsigned parent, unsigned child, uint64_t first, uint64_t n) {
    uint64_t runs = 0;
    for (uint64_t i = first; i < first + n; i++) {
        atomic_word *head = head_of(shared, i);
        uint64_t word = load_relaxed(head);
        /* another thread may free the run meanwhile, and another process get the block: so each word is judged */
        while (shared_pool_is_held(shared, i, word, parent)) {
            if (compare_exchange_seq(head, &word, ledger_hold(word))) {
                (void)row_set(shared, i, child);
                runs++;
                break;
            }
        }
    }
    return runs;
}

/* --- references in flight --- */

void shared_pool_renew_tickets(struct shared_pool *shared, uint64_t index, uint32_t now) {
    struct shared_pool_entry *entry = shared_pool_entry(shared, index);
    uint64_t old = load_relaxed(&entry->details);
    while ((uint32_t)old < now && !compare_exchange_seq(&entry->details, &old, (old & ~(uint64_t)UINT32_MAX) | now)) {
    }
}

/* Compiled twice: with no end, nothing of endings is left. */
static inline __attribute__((always_inline)) enum shared_pool_status
share(struct shared_pool *shared, unsigned slot, const struct pool_run *run, uint64_t n, uint32_t now, uint32_t end) {
    uint64_t before, after;
    struct shared_pool_entry *entry = shared_pool_entry(shared, run->index);
    if (!shared_pool_is_held(shared, run->index, load_seq(&entry->head), slot)) {
        return SHARED_POOL_CORRUPT;
    }
    shared_pool_renew_tickets(shared, run->index, now); /* first: a ticket is never older than it looks */
    if (end != ENDINGS_NEVER) {
        endings_extend(&shared->endings, run->index, run->generation, end); /* nor does it end earlier */
    }
    if (!ledger_change(&entry->head, end != ENDINGS_NEVER ? change_share_timed : change_share, n, &before, &after)) {
        return ledger_is_run(before) ? SHARED_POOL_TICKETS : SHARED_POOL_CORRUPT;
    }
    if (end != ENDINGS_NEVER) {
        endings_lower(&shared->endings, end);
    }
    return SHARED_POOL_OK;
}

enum shared_pool_status shared_pool_share(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                          uint64_t n, uint32_t now) {
    return share(shared, slot, run, n, now, ENDINGS_NEVER);
}

enum shared_pool_status shared_pool_share_until(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                                uint64_t n, uint32_t now, uint32_t end) {
    return share(shared, slot, run, n, now, end);
}

enum shared_pool_status shared_pool_redeem(struct shared_pool *shared, unsigned slot, struct pool_run *run, bool *set) {
    enum shared_pool_status status = shared_pool_hold(shared, slot, run, set);
    if (status == SHARED_POOL_OK) {
        uint64_t before, after;
        (void)ledger_change(head_of(shared, run->index), change_take_ticket, 0, &before, &after);
    }
    return status;
}

bool shared_pool_withdraw(struct shared_pool *shared, unsigned slot, const struct pool_run *run) {
    uint64_t before, after;
    atomic_word *head = head_of(shared, run->index);
    return shared_pool_is_held(shared, run->index, load_seq(head), slot) &&
           ledger_change(head, change_take_ticket, 0, &before, &after) && after != before;
}

/* --- the catalog --- */

enum shared_pool_status shared_pool_keep(struct shared_pool *shared, unsigned slot, const struct pool_run *run) {
    uint64_t before, after;
    atomic_word *head = head_of(shared, run->index);
    return shared_pool_is_held(shared, run->index, load_seq(head), slot) &&
                   ledger_change(head, change_keep, 0, &before, &after)
               ? SHARED_POOL_OK
               : SHARED_POOL_CORRUPT;
}

bool shared_pool_is_kept(const struct shared_pool *shared, const struct pool_run *run) {
    return shared_pool_is_live(shared, run) && load_seq(head_of(shared, run->index)) & LEDGER_KEPT;
}

void shared_pool_forget(struct shared_pool *shared, const struct pool_run *run) {
    uint64_t before, after;
    if (run->index < shared->blocks &&
        ledger_change(head_of(shared, run->index), change_forget, run->generation, &before, &after) &&
        try_to_close(shared, run->index, LEDGER_RECOVERY, LEDGER_NOBODY, after)) {
        finish(shared, run->index, extent(shared, run->index));
    }
}

/* --- messages --- */

enum shared_pool_status shared_pool_carry(struct shared_pool *shared, unsigned slot, const struct pool_run *run) {
    uint64_t before, after;
    atomic_word *head = head_of(shared, run->index);
    return shared_pool_is_held(shared, run->index, load_seq(head), slot) &&
                   ledger_change(head, change_carry, 0, &before, &after)
               ? SHARED_POOL_OK
               : SHARED_POOL_CORRUPT;
}

bool shared_pool_is_carried(const struct shared_pool *shared, const struct pool_run *run) {
    uint64_t word = load_seq(head_of(shared, run->index));
    return ledger_is_live(word) && ledger_is_run_of(word, run->generation) && word & LEDGER_CARRIED;
}

/* Frees the run, whose head was seen as `word`, if nobody holds it. */
static void close_if_loose(struct shared_pool *shared, unsigned name, uint64_t index, uint64_t word) {
    if (try_to_close(shared, index, name, LEDGER_NOBODY, word)) {
        finish(shared, index, extent(shared, index));
    }
}

void shared_pool_unload(struct shared_pool *shared, unsigned name, const struct pool_run *run, uint64_t mine) {
    struct shared_pool_entry *entry = shared_pool_entry(shared, run->index);
    uint64_t word = load_seq(&entry->head);
    while (ledger_is_run_of(word, run->generation) && ledger_unload(word) != LEDGER_REFUSED &&
           load_seq(&entry->message) == mine) {
        uint64_t after = ledger_unload(word);
        if (compare_exchange_seq(&entry->head, &word, after)) {
            close_if_loose(shared, name, run->index, after);
            break;
        }
    }
    /* last, so that until then nobody else lets a message carry it */
    (void)compare_exchange_seq(&entry->message, &mine, 0);
}

void shared_pool_drop_ticket(struct shared_pool *shared, unsigned name, const struct pool_run *run) {
    atomic_word *head = head_of(shared, run->index);
    uint64_t word = load_seq(head);
    while (ledger_is_run_of(word, run->generation)) {
        uint64_t after = ledger_take_ticket(word);
        if (after == word) {
            return;
        }
        if (compare_exchange_seq(head, &word, after)) {
            close_if_loose(shared, name, run->index, after);
            return;
        }
    }
}

void shared_pool_leave_to_message(struct shared_pool *shared, const struct pool_run *run) {
    store_seq(head_of(shared, run->index), ledger_live(LEDGER_NOBODY, run->generation) | LEDGER_CARRIED);
}

void shared_pool_end_message(struct shared_pool *shared, unsigned name, const struct pool_run *run, uint64_t mine) {
    struct shared_pool_entry *entry = shared_pool_entry(shared, run->index);
    uint64_t word = load_seq(&entry->head);
    while (ledger_is_run_of(word, run->generation) && ledger_unload(word) != LEDGER_REFUSED) {
        bool alone = ledger_is_only_carried(word);
        uint64_t after = alone ? ledger_make(LEDGER_IS_CLOSING, name, word) : ledger_unload(word);
        if (compare_exchange_seq(&entry->head, &word, after)) {
            if (alone) {
                finish(shared, run->index, extent(shared, run->index));
                return;
            }
            word = after;
            break;
        }
    }
    /* before the last reader may free it: its word is that of the next run from then on */
    (void)compare_exchange_seq(&entry->message, &mine, 0);
    if (ledger_is_run_of(word, run->generation)) {
        close_if_loose(shared, name, run->index, load_seq(&entry->head));
    }
}

/* --- recovery --- */

static bool is_gone(const struct slot_set *gone, unsigned name, unsigned slot) {
    return slot_set_has(gone, slot) || slot == name;
}

/* Returns how many blocks were freed. */
static uint64_t recover_block(struct shared_pool *shared, const struct slot_set *gone, unsigned name, uint64_t index) {
    atomic_word *head = head_of(shared, index);
    uint64_t word = load_seq(head), after = word;
    while (ledger_is_head(word) && is_gone(gone, name, ledger_slot(word))) {
        after = ledger_recover(word, name);
        if (after == word || compare_exchange_seq(head, &word, after)) {
            break;
        }
        after = word; /* a holder changed it; it may be another run by now */
    }
    if (after == ledger_make(LEDGER_IS_CLOSING, name, after) ||
        try_to_close(shared, index, name, LEDGER_NOBODY, after)) {
        uint64_t blocks = extent(shared, index);
        finish(shared, index, blocks);
        return blocks;
    }
    return 0;
}

uint64_t shared_pool_recover(struct shared_pool *shared, const struct slot_set *gone, unsigned name, uint64_t first,
                             uint64_t n) {
    uint64_t freed = 0;
    unsigned words[SLOT_SET_WORDS], count = 0;
    for (unsigned w = 0; w < shared->row_words; w++) {
        if (gone->words[w]) {
            words[count++] = w;
        }
    }
    for (uint64_t i = first; i < first + n; i++) {
        struct shared_pool_entry *entry = shared_pool_entry(shared, i);
        for (unsigned at = 0; at < count; at++) {
            unsigned w = words[at];
            if (load_relaxed(&entry->row[w]) & gone->words[w]) {
                (void)fetch_and_seq(&entry->row[w], ~gone->words[w]);
            }
        }
        /* not before the bits are cleared: a holder that lets go meanwhile finds them cleared, or is found here */
        if (load_seq(&entry->head) != LEDGER_FREE) {
            freed += recover_block(shared, gone, name, i);
        }
    }
    return freed;
}

void shared_pool_forget_waiters(struct shared_pool *shared, const struct slot_set *gone) {
    for (unsigned w = 0; w < shared->row_words; w++) {
        if (gone->words[w]) {
            (void)fetch_and_seq(&shared->waiting->slots[w], ~gone->words[w]);
        }
    }
}

/* Mends one bit; returns whether it was wrong. */
static bool mend(struct shared_pool *shared, uint64_t index) {
    bool wrong = false;
    bool set = bitmap_test(&shared->bitmap, index), used = load_seq(head_of(shared, index)) != LEDGER_FREE;
    if (set && !used) {
        wrong = bitmap_release(&shared->bitmap, index);
    } else if (!set && used) {
        wrong = bitmap_claim_range(&shared->bitmap, index, 1);
        if (load_seq(head_of(shared, index)) == LEDGER_FREE) {
            (void)bitmap_release(&shared->bitmap, index);
        }
    }
    return wrong;
}

uint64_t shared_pool_mend(struct shared_pool *shared, uint64_t first, uint64_t n) {
    uint64_t wrong = 0, end = first + n;
    for (uint64_t at = first; at < end; at += 64) {
        uint64_t some = end - at < 64 ? end - at : 64, used = 0;
        if (at % BITMAP_CHUNK_BITS == 0) { /* a dead process may have released bits without marking the summary */
            bitmap_mark(&shared->bitmap, at / BITMAP_CHUNK_BITS);
        }
        uint64_t taken = load_seq(&shared->bitmap.words[at / 64]) & UINT64_MAX >> (64 - some);
        for (uint64_t i = 0; i < some; i++) {
            used |= (uint64_t)(load_seq(head_of(shared, at + i)) != LEDGER_FREE) << i;
        }
        for (uint64_t differ = taken ^ used; differ; differ &= differ - 1) {
            wrong += mend(shared, at + (unsigned)__builtin_ctzll(differ));
        }
    }
    if (wrong) {
        wake(shared);
    }
    return wrong;
}

/* Whether the word belongs to a run whose tickets are to be dropped: those of that time or before, or ended by then. */
typedef bool due_function(const struct shared_pool *shared, uint64_t index, uint64_t word, uint32_t time);

static bool is_old(const struct shared_pool *shared, uint64_t index, uint64_t word, uint32_t before) {
    return ledger_is_live(word) && ledger_tickets(word) > 0 &&
           (uint32_t)load_seq(&shared_pool_entry(shared, index)->details) <= before;
}

static bool is_ended(const struct shared_pool *shared, uint64_t index, uint64_t word, uint32_t now) {
    return endings_of(&shared->endings, index, word) <= now;
}

/* Drops the tickets of the run at the block if they are due; returns how many, and adds the blocks that this freed. */
static inline uint64_t drop_due(struct shared_pool *shared, uint64_t index, due_function *is_due, uint32_t time,
                                uint64_t *freed) {
    uint64_t dropped = 0;
    atomic_word *head = head_of(shared, index);
    uint64_t word = load_seq(head);
    while (is_due(shared, index, word, time)) {
        bool marked = word & LEDGER_MARK;
        uint64_t after = marked ? ledger_drop_tickets(word) : ledger_mark(word);
        if (!compare_exchange_seq(head, &word, after)) {
            continue;
        }
        dropped += marked ? ledger_tickets(word) : 0;
        word = after; /* if only marked, look at the time again: a ticket made from now on clears the mark */
        if (marked && try_to_close(shared, index, LEDGER_RECOVERY, LEDGER_NOBODY, word)) {
            uint64_t blocks = extent(shared, index);
            finish(shared, index, blocks);
            *freed += blocks;
            break;
        }
    }
    while (ledger_is_live(word) && word & LEDGER_MARK && !compare_exchange_seq(head, &word, word & ~LEDGER_MARK)) {
    }
    return dropped;
}

uint64_t shared_pool_drop_tickets(struct shared_pool *shared, uint32_t before) {
    uint64_t dropped = 0, freed = 0;
    for (uint64_t i = 0; i < shared->blocks; i++) {
        dropped += drop_due(shared, i, is_old, before, &freed);
    }
    return dropped;
}

uint64_t shared_pool_end_tickets(struct shared_pool *shared, uint32_t now, uint64_t *freed) {
    uint64_t dropped = 0;
    uint32_t next = ENDINGS_NEVER;
    store_seq(&shared->endings.head->next, 0); /* first: from now on, who makes a ticket lowers it */
    for (uint64_t i = 0; i < shared->blocks; i++) {
        if (ledger_is_timed(load_seq(head_of(shared, i)))) {
            dropped += drop_due(shared, i, is_ended, now, freed);
            uint32_t end = endings_of(&shared->endings, i, load_seq(head_of(shared, i)));
            next = end < next ? end : next;
        }
    }
    if (next != ENDINGS_NEVER) {
        endings_lower(&shared->endings, next);
    }
    return dropped;
}

/* --- looking --- */

bool shared_pool_is_live(const struct shared_pool *shared, const struct pool_run *run) {
    return run->index < shared->blocks && ledger_is_run_of(load_seq(head_of(shared, run->index)), run->generation) &&
           record_at(shared, run->index).generation == run->generation;
}

bool shared_pool_held_run(const struct shared_pool *shared, uint64_t index, unsigned slot, struct pool_run *run) {
    uint64_t word = load_seq(head_of(shared, index)), at = index;
    if (ledger_state(word) == LEDGER_IS_TAIL) {
        at -= ledger_distance(word) <= index ? ledger_distance(word) : 0;
        word = load_seq(head_of(shared, at));
    }
    struct ledger_record record = record_at(shared, at);
    uint64_t bits = load_seq(&shared_pool_entry(shared, at)->row[slot / 64]);
    bool held = ledger_is_live(word) && (ledger_slot(word) == slot || bits >> slot % 64 & 1);
    if (!held || !ledger_is_run_of(word, record.generation) || record.length > shared->blocks - at ||
        index - at >= record.length) {
        return false;
    }
    *run = (struct pool_run){at, record.length, record.generation};
    return true;
}

bool shared_pool_next_run(const struct shared_pool *shared, uint64_t from, struct pool_run *run, uint64_t *word) {
    for (uint64_t i = from; i < shared->blocks; i++) {
        *word = load_seq(head_of(shared, i));
        if (ledger_is_run(*word)) {
            struct ledger_record record = record_at(shared, i);
            uint64_t most = shared->blocks - i;
            *run = (struct pool_run){i, record.length < most ? record.length : most, record.generation};
            return true;
        }
    }
    return false;
}

bool shared_pool_has_other_holders(const struct shared_pool *shared, uint64_t index, unsigned slot) {
    uint64_t word = load_seq(head_of(shared, index));
    bool owned = ledger_is_live(word) && ledger_slot(word) != slot && ledger_slot(word) != LEDGER_NOBODY;
    return owned || (ledger_is_run(word) && row_has_others(shared, index, slot));
}

void shared_pool_holders(const struct shared_pool *shared, uint64_t index, uint64_t word, struct slot_set *holders) {
    const struct shared_pool_entry *entry = shared_pool_entry(shared, index);
    *holders = (struct slot_set){{0}};
    for (unsigned w = 0; w < shared->row_words; w++) {
        holders->words[w] = load_seq(&entry->row[w]);
    }
    if (ledger_is_live(word) && ledger_slot(word) < shared->slots) {
        slot_set_add(holders, ledger_slot(word));
    }
}

void shared_pool_count(const struct shared_pool *shared, struct shared_pool_totals *totals) {
    *totals = (struct shared_pool_totals){.oldest = BITMAP_NONE, .next_end = ENDINGS_NEVER};
    for (uint64_t i = 0; i < shared->blocks; i++) {
        uint64_t word = load_relaxed(head_of(shared, i));
        totals->allocated += word != LEDGER_FREE;
        if (!ledger_is_run(word)) {
            continue;
        }
        uint64_t details = load_relaxed(&shared_pool_entry(shared, i)->details), made = details & UINT32_MAX;
        totals->runs++;
        totals->slack += shared_pool_slack(shared, i);
        uint64_t tickets = ledger_is_live(word) ? ledger_tickets(word) : 0;
        totals->tickets += tickets;
        if (tickets && made < totals->oldest) {
            totals->oldest = made;
        }
        if (tickets && ledger_slot(word) == LEDGER_NOBODY && !(word & (LEDGER_KEPT | LEDGER_CARRIED)) &&
            !row_has_others(shared, i, LEDGER_NOBODY)) {
            uint64_t length = record_at(shared, i).length;
            uint32_t end = endings_of(&shared->endings, i, word);
            totals->only_tickets += length;
            totals->endless += end == ENDINGS_NEVER ? length : 0;
            totals->next_end = end < totals->next_end ? end : totals->next_end;
        }
    }
}

/* --- audit --- */

/* What a look at a block can find besides faults. */
#define IN_TRANSIT 100 /* it may be being allocated or freed */
#define CHANGES 101    /* it changed meanwhile: look again */

/* Whether the run at a LIVE head whose `record` was read is still LIVE: then it was all the time. */
static bool still_lives(const struct shared_pool *shared, uint64_t head, uint64_t record) {
    return ledger_is_run(load_seq(head_of(shared, head))) && load_seq(&shared_pool_entry(shared, head)->run) == record;
}

/* `word` is that of a head. */
static int look_at_live(const struct shared_pool *shared, uint64_t head, uint64_t word) {
    uint64_t record = load_seq(&shared_pool_entry(shared, head)->run);
    struct ledger_record found = record_of(shared, record);
    bool whole = found.length <= shared->blocks - head && extent(shared, head) >= found.length;
    bool same = ledger_is_run_of(word, found.generation);
    if (whole && same) {
        return SHARED_POOL_FAULT_NONE;
    }
    if (!still_lives(shared, head, record) ||
        !ledger_is_run_of(load_seq(head_of(shared, head)), ledger_generation(word))) {
        return CHANGES;
    }
    return whole ? SHARED_POOL_FAULT_WORD : SHARED_POOL_FAULT_OVERLAP;
}

static int look_at_tail(const struct shared_pool *shared, uint64_t index, uint64_t word) {
    uint64_t distance = ledger_distance(word);
    if (distance > index) {
        return SHARED_POOL_FAULT_TAIL;
    }
    uint64_t at = index - distance, head = load_seq(head_of(shared, at));
    if (ledger_is_run(head)) {
        uint64_t record = load_seq(&shared_pool_entry(shared, at)->run);
        if (distance < record_of(shared, record).length) {
            return SHARED_POOL_FAULT_NONE;
        }
        bool same = load_seq(head_of(shared, index)) == word;
        return same && still_lives(shared, at, record) ? SHARED_POOL_FAULT_TAIL : CHANGES;
    }
    if (ledger_is_head(head)) {
        return IN_TRANSIT; /* if that is a fault, it is the head's */
    }
    return load_seq(head_of(shared, index)) == word ? SHARED_POOL_FAULT_TAIL : CHANGES;
}

/* Whether a slot that nobody uses has its bit in the row. */
static bool row_is_wrong(const struct shared_pool *shared, uint64_t index, const struct slot_set *used) {
    const struct shared_pool_entry *entry = shared_pool_entry(shared, index);
    uint64_t wrong = 0;
    for (unsigned w = 0; w < shared->row_words; w++) {
        wrong |= load_seq(&entry->row[w]) & ~used->words[w];
    }
    return wrong != 0;
}

static int look_at(const struct shared_pool *shared, uint64_t index, const struct slot_set *used) {
    uint64_t word = load_seq(head_of(shared, index));
    if (!ledger_is_valid(word, shared->slots)) {
        return SHARED_POOL_FAULT_WORD;
    }
    if (row_is_wrong(shared, index, used)) {
        return SHARED_POOL_FAULT_ROW;
    }
    if (word == LEDGER_FREE) {
        if (!bitmap_test(&shared->bitmap, index)) {
            return SHARED_POOL_FAULT_NONE;
        }
        return load_seq(head_of(shared, index)) == LEDGER_FREE ? SHARED_POOL_FAULT_LOST : CHANGES;
    }
    if (!ledger_is_head(word)) {
        return look_at_tail(shared, index, word);
    }
    unsigned slot = ledger_slot(word);
    if (slot < shared->slots && !slot_set_has(used, slot)) {
        return SHARED_POOL_FAULT_HOLDER;
    }
    if (!ledger_is_live(word) || (ledger_is_loose(word) && !row_has_others(shared, index, LEDGER_NOBODY))) {
        return SHARED_POOL_FAULT_HALF;
    }
    return look_at_live(shared, index, word);
}

/* Audits a block: a fault, or IN_TRANSIT. A TAIL without a head must be found at every look: otherwise it cannot be
 * told from a run that came and went between two reads. */
static int audit_block(const struct shared_pool *shared, uint64_t index, const struct slot_set *used, bool alone) {
    int found = CHANGES;
    for (int looks = 0; looks < CHECK_LOOKS && (looks == 0 || found == CHANGES || found == SHARED_POOL_FAULT_TAIL);
         looks++) {
        found = look_at(shared, index, used);
    }
    if (found == CHANGES) {
        return IN_TRANSIT;
    }
    if (found == SHARED_POOL_FAULT_LOST || found == SHARED_POOL_FAULT_HALF) {
        return alone ? found : IN_TRANSIT;
    }
    return found;
}

enum shared_pool_fault_kind shared_pool_check_block(const struct shared_pool *shared, uint64_t index,
                                                    const struct slot_set *used, bool *in_transit) {
    int found = audit_block(shared, index, used, false);
    *in_transit = found == IN_TRANSIT;
    return *in_transit ? SHARED_POOL_FAULT_NONE : (enum shared_pool_fault_kind)found;
}

void shared_pool_check_end(const struct shared_pool *shared, struct shared_pool_fault *faults, uint64_t most,
                           struct shared_pool_audit *audit) {
    for (uint64_t w = shared->blocks / 64; w < shared->bitmap.chunk_count * BITMAP_CHUNK_WORDS; w++) {
        uint64_t past = w == shared->blocks / 64 ? UINT64_MAX << shared->blocks % 64 : UINT64_MAX;
        for (uint64_t clear = past & ~load_seq(&shared->bitmap.words[w]); clear; clear &= clear - 1) {
            shared_pool_add_fault(audit, faults, most, SHARED_POOL_FAULT_PAST_END,
                                  w * 64 + (unsigned)__builtin_ctzll(clear));
        }
    }
}

void shared_pool_check(struct shared_pool *shared, const struct slot_set *used, bool alone, bool heal,
                       struct shared_pool_fault *faults, uint64_t most, struct shared_pool_audit *audit) {
    *audit = (struct shared_pool_audit){0};
    for (uint64_t i = 0; i < shared->blocks; i++) {
        int found = audit_block(shared, i, used, alone);
        if (heal && load_seq(head_of(shared, i)) != LEDGER_FREE && bitmap_claim_range(&shared->bitmap, i, 1)) {
            audit->healed++;
            if (load_seq(head_of(shared, i)) == LEDGER_FREE) {
                (void)bitmap_release(&shared->bitmap, i);
                wake(shared);
            }
        }
        if (found == IN_TRANSIT) {
            audit->in_transit++;
        } else if (found != SHARED_POOL_FAULT_NONE) {
            shared_pool_add_fault(audit, faults, most, (enum shared_pool_fault_kind)found, i);
        }
    }
    shared_pool_check_end(shared, faults, most, audit);
}
