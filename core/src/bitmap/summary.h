/* summary.h: how much room a stretch of the bitmap has, packed in one 64-bit value; pure functions only.
 *
 * A summary holds three numbers about a stretch of bits: the free bits at its start (prefix), its longest free run, the
 * free bits at its end (suffix). Summaries of neighbours join into the summary of both, so a tree of them answers
 * "where is a run of n" without a look at the bits (Go's page allocator uses the same triple, kept exact under a lock.
 * Here it is only advice, so it also carries a stale mark and a version.)
 *
 *     bit 63      stale: bits were released since it was computed, so there may be more room than it says
 *     bit 62      begun: a thread is recomputing it; until then it holds the room as it was before
 *     bits 48-61  version, incremented each time a computation begins
 *     bits 32-47  suffix
 *     bits 16-31  longest
 *     bits 0-15   prefix
 */
#ifndef BLOCKPOOL_SUMMARY_H
#define BLOCKPOOL_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#define SUMMARY_STALE (UINT64_C(1) << 63)
#define SUMMARY_BEGUN (UINT64_C(1) << 62)
#define SUMMARY_VERSION_ONE (UINT64_C(1) << 48)
#define SUMMARY_VERSION_MASK (UINT64_C(0x3fff) << 48)
#define SUMMARY_ROOM_MASK (SUMMARY_VERSION_ONE - 1)

static inline uint64_t summary_make(uint64_t prefix, uint64_t longest, uint64_t suffix) {
    return prefix | longest << 16 | suffix << 32;
}

static inline uint64_t summary_prefix(uint64_t summary) { return summary & 0xffff; }
static inline uint64_t summary_longest(uint64_t summary) { return summary >> 16 & 0xffff; }
static inline uint64_t summary_suffix(uint64_t summary) { return summary >> 32 & 0xffff; }
static inline bool summary_is_stale(uint64_t summary) { return summary & SUMMARY_STALE; }

/* Whether its room may be used: neither stale nor begun. */
static inline bool summary_is_known(uint64_t summary) { return !(summary & (SUMMARY_STALE | SUMMARY_BEGUN)); }

/* The value with which a computation begins: no longer stale, of a new version, the room as it was. */
static inline uint64_t summary_begin(uint64_t summary) {
    return SUMMARY_BEGUN | (summary & SUMMARY_ROOM_MASK) | ((summary + SUMMARY_VERSION_ONE) & SUMMARY_VERSION_MASK);
}

/* The value with which it ends: the version it began with, and the room it found. */
static inline uint64_t summary_end(uint64_t begun, uint64_t room) { return (begun & SUMMARY_VERSION_MASK) | room; }

/* Whether a stretch of that summary may have a run of n, where `before` < n bits before it are free: one that ends in
 * it, one inside, or one that nobody knows of. For stretches of at most 2^15 bits, n <= 2^15, gauge = summary_gauge(n):
 * then the sums fit in their fields, and reach 2^15 if prefix or longest reaches n. */
static inline uint64_t summary_gauge(uint64_t n) { return ((UINT64_C(1) << 15) - n) * (1 + (UINT64_C(1) << 16)); }
static inline bool summary_may_have(uint64_t summary, uint64_t before, uint64_t gauge) {
    uint64_t reached = (UINT64_C(1) << 15) * (1 + (UINT64_C(1) << 16));
    return (summary + before + gauge) & (SUMMARY_STALE | SUMMARY_BEGUN | reached);
}

/* Bit i of the result is set when bits i .. i + n - 1 of `free` are all set; 1 <= n <= 64. */
static inline uint64_t summary_starts(uint64_t free, unsigned n) {
    unsigned have = 1;
    while (2 * have <= n) {
        free &= free >> have;
        have *= 2;
    }
    return n > have ? free & free >> (n - have) : free;
}

/* The summary of `count` words of the bitmap, where a set bit is taken; count * 64 < 65536. */
static inline uint64_t summary_of_words(const uint64_t *words, unsigned count) {
    uint64_t prefix = 0, longest = 0, run = 0; /* run: free bits directly before the word */
    bool whole = true;                         /* all free so far */
    for (unsigned i = 0; i < count; i++) {
        uint64_t taken = words[i];
        if (taken == 0) {
            run += 64;
            continue;
        }
        run += (uint64_t)__builtin_ctzll(taken);
        if (whole) {
            prefix = run;
            whole = false;
        }
        if (run > longest) {
            longest = run;
        }
        /* inside the word only a run longer than the best so far is of interest */
        if (longest < 62) {
            uint64_t starts = summary_starts(~taken, (unsigned)longest + 1);
            while (starts) {
                longest++;
                starts &= starts >> 1;
            }
        }
        run = (uint64_t)__builtin_clzll(taken);
    }
    if (whole) {
        prefix = run;
    }
    return summary_make(prefix, run > longest ? run : longest, run);
}

/* The summary of `count` neighbours, each a summary of `length` bits; count * length < 65536. */
static inline uint64_t summary_join(const uint64_t *parts, unsigned count, uint64_t length) {
    uint64_t prefix = 0, longest = 0, run = 0;
    bool whole = true;
    for (unsigned i = 0; i < count; i++) {
        if (summary_prefix(parts[i]) == length) {
            run += length;
            continue;
        }
        run += summary_prefix(parts[i]);
        if (whole) {
            prefix = run;
            whole = false;
        }
        if (run > longest) {
            longest = run;
        }
        if (summary_longest(parts[i]) > longest) {
            longest = summary_longest(parts[i]);
        }
        run = summary_suffix(parts[i]);
    }
    if (whole) {
        prefix = run;
    }
    return summary_make(prefix, run > longest ? run : longest, run);
}

#endif
