/* shared_pool.c: see shared_pool.h. */
#include "shared/shared_pool.h"

#include <stddef.h>

#include "os/wait.h"

#define CHECK_LOOKS 4

_Static_assert(offsetof(struct shared_pool, bitmap) == 0, "undone() knows the pool by its bitmap");

/* --- the one loop in which words of the ledger change --- */

/* The new value of a word, or LEDGER_REFUSED. */
typedef uint64_t change_function(uint64_t word, unsigned slot, uint64_t amount);

static uint64_t change_hold(uint64_t word, unsigned slot, uint64_t amount) {
    (void)amount;
    return ledger_hold(word, slot);
}

static uint64_t change_drop(uint64_t word, unsigned slot, uint64_t amount) {
    (void)amount;
    return ledger_drop(word, slot);
}

static uint64_t change_drop_last(uint64_t word, unsigned slot, uint64_t amount) {
    (void)amount;
    uint64_t dropped = ledger_drop(word, slot);
    return dropped == ledger_closing(slot) ? dropped : LEDGER_REFUSED;
}

static uint64_t change_share(uint64_t word, unsigned slot, uint64_t amount) { return ledger_share(word, slot, amount); }

static uint64_t change_take_ticket(uint64_t word, unsigned slot, uint64_t amount) {
    (void)amount;
    return ledger_take_ticket(word, slot);
}

static uint64_t change_recover(uint64_t word, unsigned slot, uint64_t dead) {
    (void)slot;
    return ledger_recover(word, dead);
}

/* Changes a word; *before and *after tell what it was and is. False when the change does not apply to *before. */
static bool ledger_change(atomic_word *word, change_function *change, unsigned slot, uint64_t amount, uint64_t *before,
                          uint64_t *after) {
    *before = load_seq(word);
    for (;;) {
        *after = change(*before, slot, amount);
        if (*after == LEDGER_REFUSED) {
            return false;
        }
        if (*after == *before || compare_exchange_seq(word, before, *after)) {
            return true;
        }
    }
}

/* --- waking --- */

static void wake(struct shared_pool *shared) {
    if (__builtin_expect(load_seq(&shared->waiting->slots) != 0, 0)) {
        half_fetch_add_seq(&shared->waiting->sequence, 1);
        os_wake_all_shared(&shared->waiting->sequence);
    }
}

/* After a failed claim gave bits back: other searches may have seen them taken. */
static void undone(struct bitmap *bitmap) { wake((struct shared_pool *)bitmap); }

void shared_pool_init(struct shared_pool *shared, const struct shared_pool_parts *parts, uint64_t blocks,
                      uint64_t block_size) {
    shared->ledger = parts->ledger;
    shared->records = parts->records;
    shared->waiting = parts->waiting;
    shared->blocks = blocks;
    bitmap_init(&shared->bitmap, parts->bitmap, blocks, false);
    shared->bitmap.undone = undone;
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
    return record_of(shared, load_seq(&shared->records[index].run));
}

/* --- freeing --- */

/* Frees a run whose head is CLOSING and whose tails are the n - 1 that follow it. */
static void finish(struct shared_pool *shared, uint64_t head, uint64_t n) {
    for (uint64_t d = n - 1; d > 0; d--) {
        store_release(&shared->ledger[head + d], LEDGER_FREE);
    }
    store_release(&shared->ledger[head], LEDGER_FREE);
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
    while (head + n < shared->blocks && load_seq(&shared->ledger[head + n]) == ledger_tail(n)) {
        n++;
    }
    return n;
}

/* --- allocating --- */

/* Takes the words of the run; on conflict undoes what it took and returns which block was in the way. */
static uint64_t take_words(struct shared_pool *shared, unsigned slot, uint64_t head, uint64_t n) {
    uint64_t word = LEDGER_FREE;
    if (!compare_exchange_seq(&shared->ledger[head], &word, ledger_opening(slot))) {
        return head;
    }
    for (uint64_t d = 1; d < n; d++) {
        word = LEDGER_FREE;
        if (!compare_exchange_seq(&shared->ledger[head + d], &word, ledger_tail(d))) {
            for (uint64_t undo = d - 1; undo > 0; undo--) {
                store_release(&shared->ledger[head + undo], LEDGER_FREE);
            }
            store_release(&shared->ledger[head], LEDGER_FREE);
            return head + d;
        }
    }
    return BITMAP_NONE;
}

static inline __attribute__((always_inline)) enum shared_pool_status
allocate(struct shared_pool *shared, unsigned slot, uint64_t n, uint64_t slack, struct pool_run *run) {
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
            struct shared_pool_record *record = &shared->records[head];
            struct ledger_record next = {ledger_record_unpack(load_relaxed(&record->run)).generation + 1, n};
            uint64_t high = slack >> 32 << shared->length_bits & (LEDGER_MOST_BLOCKS - 1);
            store_relaxed(&record->run, ledger_record_pack(next) | high);
            store_relaxed(&record->details, slack << 32);
            store_release(&shared->ledger[head], ledger_live(slot));
            *run = (struct pool_run){head, n, next.generation & LEDGER_MOST_GENERATION};
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
                                             struct pool_run *run) {
    return n == 1 ? allocate(shared, slot, 1, slack, run) : allocate(shared, slot, n, slack, run);
}

enum shared_pool_status shared_pool_drop(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                         bool *last) {
    uint64_t before, after;
    bool dropped = ledger_change(&shared->ledger[run->index], change_drop, slot, 0, &before, &after);
    *last = dropped && after == ledger_closing(slot);
    return dropped ? SHARED_POOL_OK : SHARED_POOL_CORRUPT;
}

enum shared_pool_status shared_pool_drop_last(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                              bool *last, uint64_t *word) {
    uint64_t after;
    *last = ledger_change(&shared->ledger[run->index], change_drop_last, slot, 0, word, &after);
    return *last || ledger_is_held(*word, slot) ? SHARED_POOL_OK : SHARED_POOL_CORRUPT;
}

void shared_pool_finish(struct shared_pool *shared, const struct pool_run *run) {
    finish(shared, run->index, run->blocks);
}

/* --- references in flight --- */

enum shared_pool_status shared_pool_share(struct shared_pool *shared, unsigned slot, const struct pool_run *run,
                                          uint64_t n, uint32_t now) {
    uint64_t before, after;
    /* the time first: a ticket is never older than it looks */
    atomic_word *details = &shared->records[run->index].details;
    uint64_t old = load_relaxed(details);
    while ((uint32_t)old < now && !compare_exchange_seq(details, &old, (old & ~(uint64_t)UINT32_MAX) | now)) {
    }
    if (ledger_change(&shared->ledger[run->index], change_share, slot, n, &before, &after)) {
        return SHARED_POOL_OK;
    }
    return ledger_is_held(before, slot) ? SHARED_POOL_TICKETS : SHARED_POOL_CORRUPT;
}

enum shared_pool_status shared_pool_hold(struct shared_pool *shared, unsigned slot, struct pool_run *run, bool *set) {
    *set = false;
    if (run->index >= shared->blocks) {
        return SHARED_POOL_STALE;
    }
    atomic_word *word = &shared->ledger[run->index], *record = &shared->records[run->index].run;
    uint64_t before, after;
    if (ledger_record_unpack(load_seq(record)).generation != run->generation) {
        return SHARED_POOL_STALE;
    }
    if (!ledger_change(word, change_hold, slot, 0, &before, &after)) {
        return SHARED_POOL_STALE;
    }
    *set = before != after;
    struct ledger_record found = record_of(shared, load_seq(record));
    bool fits = found.length <= shared->blocks - run->index;
    if (found.generation != run->generation || !fits) {
        if (*set) { /* step back, out of the run that is there now */
            *set = false;
            if (ledger_change(word, change_drop, slot, 0, &before, &after) && after == ledger_closing(slot)) {
                finish(shared, run->index, fits ? found.length : 1);
            }
        }
        return found.generation != run->generation ? SHARED_POOL_STALE : SHARED_POOL_CORRUPT;
    }
    run->blocks = found.length;
    return SHARED_POOL_OK;
}

enum shared_pool_status shared_pool_redeem(struct shared_pool *shared, unsigned slot, struct pool_run *run, bool *set) {
    enum shared_pool_status status = shared_pool_hold(shared, slot, run, set);
    if (status == SHARED_POOL_OK) {
        uint64_t before, after;
        atomic_word *word = &shared->ledger[run->index];
        (void)ledger_change(word, change_take_ticket, slot, 0, &before, &after);
    }
    return status;
}

bool shared_pool_withdraw(struct shared_pool *shared, unsigned slot, const struct pool_run *run) {
    uint64_t before, after;
    return ledger_change(&shared->ledger[run->index], change_take_ticket, slot, 0, &before, &after) && after != before;
}

void shared_pool_fork(struct shared_pool *shared, unsigned parent, unsigned child) {
    for (uint64_t i = 0; i < shared->blocks; i++) {
        uint64_t before, after;
        if (ledger_is_held(load_relaxed(&shared->ledger[i]), parent)) {
            (void)ledger_change(&shared->ledger[i], change_hold, child, 0, &before, &after);
        }
    }
}

/* --- recovery --- */

void shared_pool_recover(struct shared_pool *shared, uint64_t dead) {
    for (uint64_t i = 0; i < shared->blocks; i++) {
        uint64_t before, after;
        uint64_t word = load_relaxed(&shared->ledger[i]);
        if (ledger_is_head(word) && word & dead &&
            ledger_change(&shared->ledger[i], change_recover, 0, dead, &before, &after) &&
            ledger_state(after) == LEDGER_IS_CLOSING) {
            finish(shared, i, extent(shared, i));
        }
    }
}

/* Mends one bit; returns whether it was wrong. */
static bool mend(struct shared_pool *shared, uint64_t index) {
    bool wrong = false;
    bool set = bitmap_test(&shared->bitmap, index), used = load_seq(&shared->ledger[index]) != LEDGER_FREE;
    if (set && !used) {
        wrong = bitmap_release(&shared->bitmap, index);
    } else if (!set && used) {
        wrong = bitmap_claim_range(&shared->bitmap, index, 1);
        if (load_seq(&shared->ledger[index]) == LEDGER_FREE) {
            (void)bitmap_release(&shared->bitmap, index);
        }
    }
    return wrong;
}

uint64_t shared_pool_mend(struct shared_pool *shared) {
    uint64_t wrong = 0;
    for (uint64_t c = 0; c < shared->bitmap.chunk_count; c++) {
        bitmap_mark(&shared->bitmap, c); /* a dead process may have released bits without marking the summary */
    }
    for (uint64_t first = 0; first < shared->blocks; first += 64) {
        uint64_t n = shared->blocks - first < 64 ? shared->blocks - first : 64, used = 0;
        uint64_t taken = load_seq(&shared->bitmap.words[first / 64]) & UINT64_MAX >> (64 - n);
        for (uint64_t i = 0; i < n; i++) {
            used |= (uint64_t)(load_seq(&shared->ledger[first + i]) != LEDGER_FREE) << i;
        }
        for (uint64_t differ = taken ^ used; differ; differ &= differ - 1) {
            wrong += mend(shared, first + (unsigned)__builtin_ctzll(differ));
        }
    }
    if (wrong) {
        wake(shared);
    }
    return wrong;
}

/* Whether the word belongs to a run whose tickets are to be dropped. */
static bool is_old(const struct shared_pool *shared, uint64_t index, uint64_t word, uint32_t before) {
    return ledger_is_live(word) && ledger_tickets(word) > 0 &&
           (uint32_t)load_seq(&shared->records[index].details) <= before;
}

uint64_t shared_pool_drop_tickets(struct shared_pool *shared, uint32_t before) {
    uint64_t dropped = 0;
    for (uint64_t i = 0; i < shared->blocks; i++) {
        atomic_word *at = &shared->ledger[i];
        uint64_t word = load_seq(at);
        while (is_old(shared, i, word, before)) {
            bool marked = word & LEDGER_MARK;
            uint64_t after = marked ? ledger_drop_tickets(word) : ledger_mark(word);
            if (!compare_exchange_seq(at, &word, after)) {
                continue;
            }
            if (!marked) {
                word = after; /* and look at the time again: a ticket made from now on clears the mark */
                continue;
            }
            dropped += ledger_tickets(word);
            if (ledger_state(after) == LEDGER_IS_CLOSING) {
                finish(shared, i, extent(shared, i));
            }
            word = LEDGER_FREE;
        }
        while (ledger_is_held(word, LEDGER_TICKET_SLOT) && !compare_exchange_seq(at, &word, word & ~LEDGER_MARK)) {
        }
    }
    return dropped;
}

/* --- looking --- */

bool shared_pool_next_run(const struct shared_pool *shared, uint64_t from, struct pool_run *run, uint64_t *word) {
    for (uint64_t i = from; i < shared->blocks; i++) {
        *word = load_seq(&shared->ledger[i]);
        if (ledger_is_live(*word)) {
            struct ledger_record record = record_at(shared, i);
            uint64_t most = shared->blocks - i;
            *run = (struct pool_run){i, record.length < most ? record.length : most, record.generation};
            return true;
        }
    }
    return false;
}

void shared_pool_count(const struct shared_pool *shared, struct shared_pool_totals *totals) {
    *totals = (struct shared_pool_totals){.oldest = BITMAP_NONE};
    for (uint64_t i = 0; i < shared->blocks; i++) {
        uint64_t word = load_relaxed(&shared->ledger[i]);
        totals->allocated += word != LEDGER_FREE;
        if (!ledger_is_live(word)) {
            continue;
        }
        uint64_t details = load_relaxed(&shared->records[i].details), made = details & UINT32_MAX;
        totals->runs++;
        totals->slack += shared_pool_slack(shared, i);
        totals->tickets += ledger_tickets(word);
        if (ledger_tickets(word) && made < totals->oldest) {
            totals->oldest = made;
        }
        if (ledger_holders(word) == 0) {
            totals->only_tickets += record_at(shared, i).length;
        }
    }
}

/* --- audit --- */

/* What a look at a block can find besides faults. */
#define IN_TRANSIT 100 /* it may be being allocated or freed */
#define CHANGES 101    /* it changed meanwhile: look again */

/* Whether the run at a LIVE head whose `record` was read is still LIVE: then it was all the time. */
static bool still_lives(const struct shared_pool *shared, uint64_t head, uint64_t record) {
    return ledger_is_live(load_seq(&shared->ledger[head])) && load_seq(&shared->records[head].run) == record;
}

static int look_at_live(const struct shared_pool *shared, uint64_t head) {
    uint64_t record = load_seq(&shared->records[head].run), n = record_of(shared, record).length;
    if (n <= shared->blocks - head && extent(shared, head) >= n) {
        return SHARED_POOL_FAULT_NONE;
    }
    return still_lives(shared, head, record) ? SHARED_POOL_FAULT_OVERLAP : CHANGES;
}

static int look_at_tail(const struct shared_pool *shared, uint64_t index, uint64_t word) {
    uint64_t distance = ledger_distance(word);
    if (distance > index) {
        return SHARED_POOL_FAULT_TAIL;
    }
    uint64_t at = index - distance, head = load_seq(&shared->ledger[at]);
    if (ledger_is_live(head)) {
        uint64_t record = load_seq(&shared->records[at].run);
        if (distance < record_of(shared, record).length) {
            return SHARED_POOL_FAULT_NONE;
        }
        bool same = load_seq(&shared->ledger[index]) == word;
        return same && still_lives(shared, at, record) ? SHARED_POOL_FAULT_TAIL : CHANGES;
    }
    if (ledger_is_head(head)) {
        return IN_TRANSIT; /* if that is a fault, it is the head's */
    }
    return load_seq(&shared->ledger[index]) == word ? SHARED_POOL_FAULT_TAIL : CHANGES;
}

static int look_at(const struct shared_pool *shared, uint64_t index, uint64_t used) {
    uint64_t word = load_seq(&shared->ledger[index]);
    if (!ledger_is_valid(word)) {
        return SHARED_POOL_FAULT_WORD;
    }
    if (word == LEDGER_FREE) {
        if (!bitmap_test(&shared->bitmap, index)) {
            return SHARED_POOL_FAULT_NONE;
        }
        return load_seq(&shared->ledger[index]) == LEDGER_FREE ? SHARED_POOL_FAULT_LOST : CHANGES;
    }
    if (!ledger_is_head(word)) {
        return look_at_tail(shared, index, word);
    }
    if (ledger_holders(word) & ~used) {
        return SHARED_POOL_FAULT_HOLDER;
    }
    return ledger_is_live(word) ? look_at_live(shared, index) : SHARED_POOL_FAULT_HALF;
}

/* Audits a block: a fault, or IN_TRANSIT. A TAIL without a head must be found at every look: otherwise it cannot be
 * told from a run that came and went between two reads. */
static int audit_block(const struct shared_pool *shared, uint64_t index, uint64_t used, bool alone) {
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

static void report(struct shared_pool_audit *audit, struct shared_pool_fault *faults, uint64_t most, int kind,
                   uint64_t index) {
    if (audit->faults < most) {
        faults[audit->faults] = (struct shared_pool_fault){(enum shared_pool_fault_kind)kind, index};
    }
    audit->faults++;
}

void shared_pool_check(struct shared_pool *shared, uint64_t used, bool alone, struct shared_pool_fault *faults,
                       uint64_t most, struct shared_pool_audit *audit) {
    *audit = (struct shared_pool_audit){0};
    for (uint64_t i = 0; i < shared->blocks; i++) {
        int found = audit_block(shared, i, used, alone);
        if (load_seq(&shared->ledger[i]) != LEDGER_FREE && bitmap_claim_range(&shared->bitmap, i, 1)) {
            audit->healed++;
            if (load_seq(&shared->ledger[i]) == LEDGER_FREE) {
                (void)bitmap_release(&shared->bitmap, i);
                wake(shared);
            }
        }
        if (found == IN_TRANSIT) {
            audit->in_transit++;
        } else if (found != SHARED_POOL_FAULT_NONE) {
            report(audit, faults, most, found, i);
        }
    }
    for (uint64_t w = shared->blocks / 64; w < shared->bitmap.chunk_count * BITMAP_CHUNK_WORDS; w++) {
        uint64_t past = w == shared->blocks / 64 ? UINT64_MAX << shared->blocks % 64 : UINT64_MAX;
        for (uint64_t clear = past & ~load_seq(&shared->bitmap.words[w]); clear; clear &= clear - 1) {
            report(audit, faults, most, SHARED_POOL_FAULT_PAST_END, w * 64 + (unsigned)__builtin_ctzll(clear));
        }
    }
}
