/* private_pool.c: see private_pool.h. */
#include "private/private_pool.h"

#include "os/thread.h"
#include "os/wait.h"

#define ALL UINT64_MAX
#define CHECK_LOOKS 8
#define SUMMARY_LOOKS 3
#define REST_SECONDS 0.3 /* how long to wait for one look that the other threads of this process sleep */

/* Bytes of the second bitmap: like the first, without summaries. */
static size_t continuation_bytes(uint64_t blocks) {
    return (size_t)((blocks + BITMAP_CHUNK_BITS - 1) / BITMAP_CHUNK_BITS * (BITMAP_CHUNK_BITS / 8));
}

size_t private_pool_metadata_bytes(uint64_t blocks) { return bitmap_bytes(blocks) + continuation_bytes(blocks); }

_Static_assert(offsetof(struct private_pool, bitmap) == 0, "undone() knows the pool by its bitmap");

static void wake_waiting(struct private_pool *pool) {
    if (half_load_seq(&pool->waiting)) {
        private_pool_wake(pool);
    }
}

static void undone(struct bitmap *bitmap) { wake_waiting((struct private_pool *)bitmap); }

void private_pool_init(struct private_pool *pool, void *metadata, void *data, uint64_t block_size, uint64_t blocks) {
    pool->continuations = metadata;
    pool->data = data;
    pool->block_size = block_size;
    pool->blocks = blocks;
    half_store_seq(&pool->waiting, 0);
    half_store_seq(&pool->sequence, 0);
    store_relaxed(&pool->others, 1);
    bitmap_init(&pool->bitmap, (char *)metadata + continuation_bytes(blocks), blocks, true);
    pool->bitmap.undone = undone;
}

/* Sets or clears the marks of first + 1 .. first + n - 1, a word at a time in ascending order. */
static void continuations_change(struct private_pool *pool, uint64_t first, uint64_t n, bool set) {
    for (uint64_t at = first + 1, end = first + n; at < end;) {
        uint64_t here = 64 - at % 64 < end - at ? 64 - at % 64 : end - at, mask = ALL >> (64 - here) << at % 64;
        atomic_word *word = &pool->continuations[at / 64];
        (void)(set ? fetch_or_seq(word, mask) : fetch_and_seq(word, ~mask));
        at += here;
    }
}

/* Clears the marks of first + 1 .. first + n - 1 if it finds all of those in the first word set; otherwise changes
 * nothing. So if several threads free one run at once, one clears all of the marks and the others none. */
static bool continuations_win(struct private_pool *pool, uint64_t first, uint64_t n) {
    uint64_t at = first + 1, here = 64 - at % 64 < n - 1 ? 64 - at % 64 : n - 1, mask = ALL >> (64 - here) << at % 64;
    atomic_word *word = &pool->continuations[at / 64];
    uint64_t old = load_seq(word);
    do {
        if ((old & mask) != mask) {
            return false;
        }
    } while (!compare_exchange_seq(word, &old, old & ~mask));
    continuations_change(pool, first + here, n - here, false);
    return true;
}

static bool continues(const struct private_pool *pool, uint64_t index) {
    return load_seq(&pool->continuations[index / 64]) >> index % 64 & 1;
}

/* Blocks of the run that begins at `first`: itself and the continuations that follow. */
static uint64_t run_length(const struct private_pool *pool, uint64_t first) {
    for (uint64_t at = first + 1; at < pool->blocks;) {
        uint64_t ends = ~load_seq(&pool->continuations[at / 64]) >> at % 64;
        if (ends) {
            uint64_t end = at + (unsigned)__builtin_ctzll(ends);
            return (end < pool->blocks ? end : pool->blocks) - first;
        }
        at = (at / 64 + 1) * 64;
    }
    return pool->blocks - first;
}

uint64_t private_pool_allocate_run(struct private_pool *pool, uint64_t n) {
    uint64_t first = bitmap_claim_run(&pool->bitmap, n);
    if (first != BITMAP_NONE && n > 1) {
        continuations_change(pool, first, n, true);
    }
    return first;
}

bool private_pool_allocate_many(struct private_pool *pool, uint64_t n, uint64_t *out) {
    return bitmap_claim_many(&pool->bitmap, n, out);
}

uint64_t private_pool_release_long(struct private_pool *pool, uint64_t first, uint64_t n) {
    continuations_change(pool, first, n, false);
    return bitmap_release_range(&pool->bitmap, first, n);
}

enum private_pool_status private_pool_free(struct private_pool *pool, uint64_t first) {
    if (first >= pool->blocks) {
        return PRIVATE_POOL_OUTSIDE;
    }
    if (!bitmap_test(&pool->bitmap, first)) {
        return PRIVATE_POOL_NOT_ALLOCATED;
    }
    if (continues(pool, first)) {
        return PRIVATE_POOL_INNER;
    }
    uint64_t n = run_length(pool, first);
    if (n > 1 && !continuations_win(pool, first, n)) {
        return PRIVATE_POOL_NOT_ALLOCATED;
    }
    uint64_t released = bitmap_release_range(&pool->bitmap, first, n);
    wake_waiting(pool);
    return released == n ? PRIVATE_POOL_OK : PRIVATE_POOL_NOT_ALLOCATED;
}

enum private_pool_status private_pool_free_address(struct private_pool *pool, const void *address) {
    uintptr_t at = (uintptr_t)address, start = (uintptr_t)pool->data;
    if (at < start || (at - start) / pool->block_size >= pool->blocks) {
        return PRIVATE_POOL_OUTSIDE;
    }
    return (at - start) % pool->block_size ? PRIVATE_POOL_UNALIGNED
                                           : private_pool_free(pool, (at - start) / pool->block_size);
}

bool private_pool_next_run(const struct private_pool *pool, uint64_t from, uint64_t *first, uint64_t *n) {
    for (uint64_t at = from; at < pool->blocks;) {
        uint64_t word = at / 64;
        uint64_t heads = load_seq(&pool->bitmap.words[word]) & ~load_seq(&pool->continuations[word]);
        heads &= ALL << at % 64;
        if (heads) {
            *first = word * 64 + (unsigned)__builtin_ctzll(heads);
            if (*first >= pool->blocks) {
                return false;
            }
            *n = run_length(pool, *first);
            return true;
        }
        at = (word + 1) * 64;
    }
    return false;
}

uint64_t private_pool_runs(const struct private_pool *pool) {
    uint64_t runs = 0, words = (pool->blocks + 63) / 64;
    for (uint64_t w = 0; w < words; w++) {
        runs += (unsigned)__builtin_popcountll(load_relaxed(&pool->bitmap.words[w]) &
                                               ~load_relaxed(&pool->continuations[w]));
    }
    return runs - (words * 64 - pool->blocks); /* the bits past the end count as taken */
}

void private_pool_wait_enter(struct private_pool *pool) { half_fetch_add_seq(&pool->waiting, 1); }

uint32_t private_pool_wait_sequence(const struct private_pool *pool) { return half_load_seq(&pool->sequence); }

void private_pool_wait_sleep(struct private_pool *pool, uint32_t sequence, double seconds) {
    os_wait(&pool->sequence, sequence, seconds);
}

void private_pool_wait_leave(struct private_pool *pool) { half_fetch_add_seq(&pool->waiting, UINT32_MAX); }

void private_pool_wait_reset(struct private_pool *pool) {
    half_store_seq(&pool->waiting, 0);
    for (uint64_t c = 0; c < pool->bitmap.chunk_count; c++) {
        bitmap_mark(&pool->bitmap, c);
    }
}

void private_pool_wake(struct private_pool *pool) {
    half_fetch_add_seq(&pool->sequence, 1);
    os_wake_all(&pool->sequence);
}

static void report(struct private_pool_fault *faults, uint64_t most, uint64_t *count, enum private_pool_fault_kind kind,
                   uint64_t at) {
    if (*count < most) {
        faults[*count] = (struct private_pool_fault){kind, at};
    }
    ++*count;
}

/* Bits of a word that are taken, and of the last one of the word before. */
static uint64_t taken_in(const struct private_pool *pool, uint64_t word, uint64_t *before) {
    *before |= word ? load_seq(&pool->bitmap.words[word - 1]) >> 63 : 0;
    return load_seq(&pool->bitmap.words[word]);
}

/* The bits of a word that wrongly continue a run: because they are free, or the block before them is. A marked block is
 * taken before it is marked and until after it is not, so the bits are read before and after the marks; and again,
 * because a run may come and go between two reads. */
static void wrong_continuations(const struct private_pool *pool, uint64_t word, uint64_t *not_allocated,
                                uint64_t *lost) {
    *not_allocated = *lost = ALL;
    for (int looks = 0; looks < CHECK_LOOKS && (*not_allocated | *lost); looks++) {
        uint64_t before = 0, taken = taken_in(pool, word, &before), marks = load_seq(&pool->continuations[word]);
        taken |= taken_in(pool, word, &before);
        *not_allocated &= marks & ~taken;
        *lost &= marks & ~(taken << 1 | before);
    }
}

uint64_t private_pool_check(struct private_pool *pool, struct private_pool_fault *faults, uint64_t most,
                            uint64_t *in_transit) {
    uint64_t count = 0, words = pool->bitmap.chunk_count * BITMAP_CHUNK_WORDS;
    for (uint64_t w = 0; w < words; w++) {
        uint64_t inside = w * 64 >= pool->blocks ? 0 : pool->blocks - w * 64 >= 64 ? ALL : ~(ALL << pool->blocks % 64);
        uint64_t not_allocated, lost;
        wrong_continuations(pool, w, &not_allocated, &lost);
        uint64_t past = ~inside & (~load_seq(&pool->bitmap.words[w]) | load_seq(&pool->continuations[w]));
        not_allocated &= inside;
        lost &= inside;
        for (uint64_t bad = not_allocated | lost | past; bad; bad &= bad - 1) {
            uint64_t bit = bad & -bad, at = w * 64 + (unsigned)__builtin_ctzll(bad);
            enum private_pool_fault_kind kind = past & bit            ? PRIVATE_POOL_FAULT_PAST_END
                                                : not_allocated & bit ? PRIVATE_POOL_FAULT_CONTINUATION_FREE
                                                                      : PRIVATE_POOL_FAULT_CONTINUATION_LOST;
            report(faults, most, &count, kind, at);
        }
    }
    uint64_t summary = BITMAP_NONE;
    bool at_rest = true;
    for (unsigned looks = 0; looks < SUMMARY_LOOKS && at_rest; looks++) {
        summary = bitmap_summary_fault(&pool->bitmap);
        if (summary == BITMAP_NONE) {
            break;
        }
        at_rest = os_at_rest(REST_SECONDS); /* if another thread was about to mark it, the next look finds nothing */
    }
    *in_transit = !at_rest;
    if (summary != BITMAP_NONE && at_rest) {
        report(faults, most, &count, PRIVATE_POOL_FAULT_SUMMARY, summary);
    }
    return count;
}
