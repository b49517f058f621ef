/* shared.c: see shared.h. */
#include "shared.h"

#define CHECK_LOOKS 3

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

static uint64_t change_recover(uint64_t word, unsigned slot, uint64_t amount) {
    (void)amount;
    return ledger_recover(word, slot);
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

static void wake(struct shared *shared) {
    if (__builtin_expect(load_seq(&shared->waiting->slots) != 0, 0)) {
        half_fetch_add_seq(&shared->waiting->sequence, 1);
        os_wake_all_shared(&shared->waiting->sequence);
    }
}

/* --- freeing --- */

/* Frees a run whose head is CLOSING and whose tails are the n - 1 that follow it. */
static void finish(struct shared *shared, uint64_t head, uint64_t n) {
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
static uint64_t extent(const struct shared *shared, uint64_t head) {
    uint64_t n = 1;
    while (head + n < shared->blocks && load_seq(&shared->ledger[head + n]) == ledger_tail(n)) {
        n++;
    }
    return n;
}

/* --- allocating --- */

/* Takes the words of the run; on conflict undoes what it took and returns which block was in the way. */
static uint64_t take_words(struct shared *shared, unsigned slot, uint64_t head, uint64_t n) {
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

enum shared_status shared_allocate(struct shared *shared, unsigned slot, uint64_t n, uint32_t slack,
                                   struct shared_run *run) {
    for (;;) {
        uint64_t head = bitmap_claim_run(&shared->bitmap, n);
        if (head == BITMAP_NONE) {
            run->index = BITMAP_NONE;
            return SHARED_OK;
        }
        if (head >= shared->blocks || n > shared->blocks - head) {
            return SHARED_CORRUPT; /* bits past the end had been cleared */
        }
        uint64_t wrong = take_words(shared, slot, head, n);
        if (wrong == BITMAP_NONE) {
            struct shared_record *record = &shared->records[head];
            struct ledger_record next = {ledger_record_unpack(load_relaxed(&record->run)).generation + 1, n};
            store_relaxed(&record->run, ledger_record_pack(next));
            store_relaxed(&record->details, (uint64_t)slack << 32);
            store_release(&shared->ledger[head], ledger_live(slot));
            *run = (struct shared_run){head, n, next.generation & LEDGER_MOST_GENERATION};
            return SHARED_OK;
        }
        /* its bit had been wrong: that one stays set, the others go back */
        if (wrong > head) {
            (void)bitmap_release_range(&shared->bitmap, head, wrong - head);
        }
        if (wrong < head + n - 1) {
            (void)bitmap_release_range(&shared->bitmap, wrong + 1, head + n - 1 - wrong);
        }
        wake(shared); /* who looked meanwhile saw them taken */
    }
}

enum shared_status shared_drop(struct shared *shared, unsigned slot, const struct shared_run *run, bool *last) {
    uint64_t before, after;
    bool dropped = ledger_change(&shared->ledger[run->index], change_drop, slot, 0, &before, &after);
    *last = dropped && after == ledger_closing(slot);
    return dropped ? SHARED_OK : SHARED_CORRUPT;
}

enum shared_status shared_drop_last(struct shared *shared, unsigned slot, const struct shared_run *run, bool *last,
                                    uint64_t *word) {
    uint64_t after;
    *last = ledger_change(&shared->ledger[run->index], change_drop_last, slot, 0, word, &after);
    return *last || ledger_is_held(*word, slot) ? SHARED_OK : SHARED_CORRUPT;
}

void shared_finish(struct shared *shared, const struct shared_run *run) { finish(shared, run->index, run->blocks); }

/* --- references in flight --- */

enum shared_status shared_share(struct shared *shared, unsigned slot, const struct shared_run *run, uint64_t n,
                                uint32_t now) {
    uint64_t before, after;
    /* the time first: a ticket is never older than it looks */
    atomic_word *details = &shared->records[run->index].details;
    store_relaxed(details, (load_relaxed(details) & ~UINT64_C(0xffffffff)) | now);
    if (ledger_change(&shared->ledger[run->index], change_share, slot, n, &before, &after)) {
        return SHARED_OK;
    }
    return ledger_is_held(before, slot) ? SHARED_TICKETS : SHARED_CORRUPT;
}

enum shared_status shared_hold(struct shared *shared, unsigned slot, struct shared_run *run, bool *set) {
    *set = false;
    if (run->index >= shared->blocks) {
        return SHARED_STALE;
    }
    atomic_word *word = &shared->ledger[run->index], *record = &shared->records[run->index].run;
    uint64_t before, after;
    if (ledger_record_unpack(load_seq(record)).generation != run->generation) {
        return SHARED_STALE;
    }
    if (!ledger_change(word, change_hold, slot, 0, &before, &after)) {
        return SHARED_STALE;
    }
    *set = before != after;
    struct ledger_record found = ledger_record_unpack(load_seq(record));
    bool fits = found.length <= shared->blocks - run->index;
    if (found.generation != run->generation || !fits) {
        if (*set) { /* step back: out of the run that is there now */
            *set = false;
            if (ledger_change(word, change_drop, slot, 0, &before, &after) && after == ledger_closing(slot)) {
                finish(shared, run->index, fits ? found.length : 1);
            }
        }
        return found.generation != run->generation ? SHARED_STALE : SHARED_CORRUPT;
    }
    run->blocks = found.length;
    return SHARED_OK;
}

enum shared_status shared_redeem(struct shared *shared, unsigned slot, struct shared_run *run, bool *set) {
    enum shared_status status = shared_hold(shared, slot, run, set);
    if (status == SHARED_OK) {
        uint64_t before, after;
        atomic_word *word = &shared->ledger[run->index];
        (void)ledger_change(word, change_take_ticket, slot, 0, &before, &after);
    }
    return status;
}

bool shared_withdraw(struct shared *shared, unsigned slot, const struct shared_run *run) {
    uint64_t before, after;
    return ledger_change(&shared->ledger[run->index], change_take_ticket, slot, 0, &before, &after) && after != before;
}

void shared_fork(struct shared *shared, unsigned parent, unsigned child) {
    for (uint64_t i = 0; i < shared->blocks; i++) {
        uint64_t before, after;
        if (ledger_is_held(load_relaxed(&shared->ledger[i]), parent)) {
            (void)ledger_change(&shared->ledger[i], change_hold, child, 0, &before, &after);
        }
    }
}

/* --- recovery --- */

void shared_recover(struct shared *shared, unsigned dead) {
    for (uint64_t i = 0; i < shared->blocks; i++) {
        uint64_t before, after;
        uint64_t word = load_relaxed(&shared->ledger[i]);
        if (!ledger_is_head(word) || !(word & ledger_slot_bit(dead))) {
            continue;
        }
        if (ledger_change(&shared->ledger[i], change_recover, dead, 0, &before, &after) &&
            after == ledger_closing(dead)) {
            finish(shared, i, extent(shared, i));
        }
    }
}

uint64_t shared_mend(struct shared *shared) {
    uint64_t wrong = 0;
    for (uint64_t c = 0; c < shared->bitmap.chunk_count; c++) {
        bitmap_mark(&shared->bitmap, c); /* the dead may have released bits and not come to say so */
    }
    for (uint64_t i = 0; i < shared->blocks; i++) {
        bool set = bitmap_test(&shared->bitmap, i), used = load_seq(&shared->ledger[i]) != LEDGER_FREE;
        if (set && !used) {
            wrong += bitmap_release(&shared->bitmap, i);
        } else if (!set && used) {
            wrong += bitmap_claim_range(&shared->bitmap, i, 1);
            if (load_seq(&shared->ledger[i]) == LEDGER_FREE) {
                (void)bitmap_release(&shared->bitmap, i);
            }
        }
    }
    if (wrong) {
        wake(shared);
    }
    return wrong;
}

uint64_t shared_drop_tickets(struct shared *shared, unsigned slot, uint32_t before_time) {
    uint64_t dropped = 0;
    for (uint64_t i = 0; i < shared->blocks; i++) {
        uint64_t word = load_seq(&shared->ledger[i]);
        /* the word first, then its time, and on change both again: a ticket made meanwhile stays */
        while (ledger_is_live(word) && ledger_tickets(word) > 0 &&
               (uint32_t)load_relaxed(&shared->records[i].details) <= before_time) {
            uint64_t after = ledger_drop_tickets(word, slot);
            if (!compare_exchange_seq(&shared->ledger[i], &word, after)) {
                continue;
            }
            dropped += ledger_tickets(word);
            if (after == ledger_closing(slot)) {
                finish(shared, i, extent(shared, i));
            }
            break;
        }
    }
    return dropped;
}

/* --- looking --- */

bool shared_next_run(const struct shared *shared, uint64_t from, struct shared_run *run, uint64_t *word) {
    for (uint64_t i = from; i < shared->blocks; i++) {
        *word = load_seq(&shared->ledger[i]);
        if (ledger_is_live(*word)) {
            struct ledger_record record = ledger_record_unpack(load_seq(&shared->records[i].run));
            uint64_t most = shared->blocks - i;
            *run = (struct shared_run){i, record.length < most ? record.length : most, record.generation};
            return true;
        }
    }
    return false;
}

void shared_count(const struct shared *shared, struct shared_totals *totals) {
    *totals = (struct shared_totals){.oldest = BITMAP_NONE};
    for (uint64_t i = 0; i < shared->blocks; i++) {
        uint64_t word = load_relaxed(&shared->ledger[i]);
        totals->allocated += word != LEDGER_FREE;
        if (!ledger_is_live(word)) {
            continue;
        }
        uint64_t details = load_relaxed(&shared->records[i].details), made = details & UINT32_MAX;
        totals->slack += details >> 32;
        totals->tickets += ledger_tickets(word);
        if (ledger_tickets(word) && made < totals->oldest) {
            totals->oldest = made;
        }
        if (ledger_holders(word) == 0) {
            totals->only_tickets += ledger_record_unpack(load_relaxed(&shared->records[i].run)).length;
        }
    }
}

/* Whether the head at `index` has all its tails. */
static bool is_whole(const struct shared *shared, uint64_t index) {
    uint64_t n = ledger_record_unpack(load_seq(&shared->records[index].run)).length;
    return n <= shared->blocks - index && extent(shared, index) >= n;
}

/* Whether the TAIL at `index` has a head that covers it. */
static bool is_covered(const struct shared *shared, uint64_t index, uint64_t distance) {
    if (distance > index) {
        return false;
    }
    uint64_t head = load_seq(&shared->ledger[index - distance]);
    return ledger_is_head(head) &&
           (!ledger_is_live(head) ||
            distance < ledger_record_unpack(load_seq(&shared->records[index - distance].run)).length);
}

static enum shared_fault_kind fault_at(struct shared *shared, uint64_t index, uint64_t used) {
    uint64_t word = load_seq(&shared->ledger[index]);
    if (!ledger_is_valid(word)) {
        return SHARED_FAULT_WORD;
    }
    if (word == LEDGER_FREE) {
        return bitmap_test(&shared->bitmap, index) ? SHARED_FAULT_LOST : SHARED_FAULT_NONE;
    }
    if (!ledger_is_head(word)) {
        return is_covered(shared, index, ledger_distance(word)) ? SHARED_FAULT_NONE : SHARED_FAULT_TAIL;
    }
    if (ledger_holders(word) & ~used) {
        return SHARED_FAULT_HOLDER;
    }
    return ledger_is_live(word) && !is_whole(shared, index) ? SHARED_FAULT_OVERLAP : SHARED_FAULT_NONE;
}

uint64_t shared_check(struct shared *shared, uint64_t used, struct shared_fault *faults, uint64_t most,
                      uint64_t *healed) {
    uint64_t count = 0;
    *healed = 0;
    for (uint64_t i = 0; i < shared->bitmap.chunk_count * BITMAP_CHUNK_BITS; i++) {
        enum shared_fault_kind kind = SHARED_FAULT_NONE;
        if (i >= shared->blocks) {
            kind = bitmap_test(&shared->bitmap, i) ? SHARED_FAULT_NONE : SHARED_FAULT_PAST_END;
        } else {
            uint64_t word = load_seq(&shared->ledger[i]);
            for (int looks = 0; looks < CHECK_LOOKS; looks++) { /* somebody may be on his way */
                if (looks) {
                    os_yield();
                }
                kind = fault_at(shared, i, used);
                if (load_seq(&shared->ledger[i]) != word) {
                    kind = SHARED_FAULT_NONE; /* what changes is not at rest */
                }
                if (kind == SHARED_FAULT_NONE) {
                    break;
                }
            }
            if (load_seq(&shared->ledger[i]) != LEDGER_FREE && bitmap_claim_range(&shared->bitmap, i, 1)) {
                ++*healed;
                if (load_seq(&shared->ledger[i]) == LEDGER_FREE) {
                    (void)bitmap_release(&shared->bitmap, i);
                    wake(shared);
                }
            }
        }
        if (kind != SHARED_FAULT_NONE) {
            if (count < most) {
                faults[count] = (struct shared_fault){kind, i};
            }
            count++;
        }
    }
    return count;
}
