/* bitmap.c: see bitmap.h, which opens with the essay. */
#include "bitmap/bitmap.h"

#include "bitmap/summary.h"

#define ALL UINT64_MAX
#define TURN_TRIES 100000
_Static_assert(BITMAP_GROUP_BITS <= UINT64_C(1) << 15, "summary_may_have is for stretches of that length");

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Bits low .. low + n - 1 of a word; 1 <= n <= 64 - low. */
static uint64_t mask_of(unsigned low, uint64_t n) { return ALL >> (64 - n) << low; }

/* How many of the bits first .. first + n - 1 lie in the word of `first`. */
static uint64_t in_word(uint64_t first, uint64_t n) { return least(n, 64 - first % 64); }

static uint64_t chunks_for(uint64_t bits) { return (bits + BITMAP_CHUNK_BITS - 1) / BITMAP_CHUNK_BITS; }

static uint64_t groups_for(uint64_t bits) { return (bits + BITMAP_GROUP_BITS - 1) / BITMAP_GROUP_BITS; }

size_t bitmap_bytes(uint64_t bits) {
    uint64_t words = chunks_for(bits) * (BITMAP_CHUNK_WORDS + 1) + groups_for(bits);
    return (size_t)((words * sizeof(atomic_word) + 63) / 64 * 64);
}

/* --- summaries --- */

static uint64_t chunk_room(const struct bitmap *bitmap, uint64_t chunk) {
    uint64_t words[BITMAP_CHUNK_WORDS];
    for (unsigned w = 0; w < BITMAP_CHUNK_WORDS; w++) {
        words[w] = load_seq(&bitmap->words[chunk * BITMAP_CHUNK_WORDS + w]);
    }
    return summary_of_words(words, BITMAP_CHUNK_WORDS);
}

/* Begins a computation of *summary: clears the mark, so that a release from here on sets it again. */
static uint64_t begin(atomic_word *summary) {
    uint64_t old = load_relaxed(summary);
    while (!compare_exchange_seq(summary, &old, summary_begin(old))) {
    }
    return summary_begin(old);
}

static uint64_t refresh_chunk(struct bitmap *bitmap, uint64_t chunk) {
    uint64_t begun = begin(&bitmap->chunks[chunk]), room = chunk_room(bitmap, chunk);
    compare_exchange_seq(&bitmap->chunks[chunk], &begun, summary_end(begun, room));
    return room;
}

/* Whether it can be the summary of a chunk. In a damaged segment it may be anything, and sums of it could overflow. */
static bool is_usable(uint64_t summary) {
    return summary_is_known(summary) && summary_prefix(summary) <= BITMAP_CHUNK_BITS &&
           summary_longest(summary) <= BITMAP_CHUNK_BITS && summary_suffix(summary) <= BITMAP_CHUNK_BITS;
}

static uint64_t chunk_summary(struct bitmap *bitmap, uint64_t chunk) {
    uint64_t summary = load_seq(&bitmap->chunks[chunk]);
    return is_usable(summary) ? summary : refresh_chunk(bitmap, chunk);
}

static uint64_t refresh_group(struct bitmap *bitmap, uint64_t group) {
    uint64_t begun = begin(&bitmap->groups[group]), parts[BITMAP_GROUP_CHUNKS];
    uint64_t first = group * BITMAP_GROUP_CHUNKS;
    unsigned count = (unsigned)least(BITMAP_GROUP_CHUNKS, bitmap->chunk_count - first);
    for (unsigned c = 0; c < count; c++) {
        parts[c] = chunk_summary(bitmap, first + c);
    }
    uint64_t room = summary_join(parts, count, BITMAP_CHUNK_BITS);
    compare_exchange_seq(&bitmap->groups[group], &begun, summary_end(begun, room));
    return room;
}

static uint64_t group_summary(struct bitmap *bitmap, uint64_t group) {
    uint64_t summary = load_seq(&bitmap->groups[group]);
    return summary_is_known(summary) ? summary : refresh_group(bitmap, group);
}

void bitmap_mark(struct bitmap *bitmap, uint64_t chunk) {
    fetch_or_seq(&bitmap->chunks[chunk], SUMMARY_STALE);
    atomic_word *group = &bitmap->groups[chunk / BITMAP_GROUP_CHUNKS];
    if (!summary_is_stale(load_seq(group))) {
        fetch_or_seq(group, SUMMARY_STALE);
    }
}

/* Whether `summary` promises at least what `room` says there is. */
static bool promises(uint64_t summary, uint64_t room) {
    return !summary_is_known(summary) ||
           (summary_prefix(summary) >= summary_prefix(room) && summary_longest(summary) >= summary_longest(room) &&
            summary_suffix(summary) >= summary_suffix(room));
}

static uint64_t group_room(const struct bitmap *bitmap, uint64_t group) {
    uint64_t parts[BITMAP_GROUP_CHUNKS], first = group * BITMAP_GROUP_CHUNKS;
    unsigned count = (unsigned)least(BITMAP_GROUP_CHUNKS, bitmap->chunk_count - first);
    for (unsigned c = 0; c < count; c++) {
        parts[c] = chunk_room(bitmap, first + c);
    }
    return summary_join(parts, count, BITMAP_CHUNK_BITS);
}

uint64_t bitmap_summary_fault(const struct bitmap *bitmap) {
    for (uint64_t at = 0; at < bitmap->chunk_count + bitmap->group_count; at++) {
        bool group = at >= bitmap->chunk_count, kept = false;
        const atomic_word *summary = group ? &bitmap->groups[at - bitmap->chunk_count] : &bitmap->chunks[at];
        for (int looks = 0; !kept && looks < 3; looks++) { /* a release may be between its word and its mark */
            if (looks) {
                os_yield();
            }
            uint64_t room = group ? group_room(bitmap, at - bitmap->chunk_count) : chunk_room(bitmap, at);
            kept = promises(load_seq(summary), room);
        }
        if (!kept) {
            return at;
        }
    }
    return BITMAP_NONE;
}

void bitmap_begin_at(struct bitmap *bitmap, unsigned number) {
    store_relaxed(&bitmap->conflict_turn, 0); /* the thread that had it may not exist in a forked child */
    for (uint64_t i = 0; i < BITMAP_CURSORS; i++) {
        /* 0, 8, 4, 12, 2, …: even a few threads begin far apart */
        uint64_t turn = i + number;
        uint64_t place = (turn & 1) << 3 | (turn & 2) << 1 | (turn & 4) >> 1 | (turn & 8) >> 3;
        uint64_t home = bitmap->chunk_count * place / BITMAP_CURSORS;
        bitmap->cursors[i].home = home;
        store_relaxed(&bitmap->cursors[i].chunk, home);
    }
}

void bitmap_init(struct bitmap *bitmap, void *memory, uint64_t bits, bool fresh) {
    bitmap->bits = bits;
    bitmap->undone = NULL;
    bitmap->chunk_count = chunks_for(bits);
    bitmap->group_count = groups_for(bits);
    bitmap->words = memory;
    bitmap->chunks = bitmap->words + bitmap->chunk_count * BITMAP_CHUNK_WORDS;
    bitmap->groups = bitmap->chunks + bitmap->chunk_count;
    bitmap_begin_at(bitmap, 0);
    if (!fresh) {
        return;
    }
    for (uint64_t w = 0; w < bitmap->chunk_count * BITMAP_CHUNK_WORDS; w++) {
        uint64_t first = w * 64;
        store_relaxed(&bitmap->words[w], first >= bits ? ALL : bits - first >= 64 ? 0 : ALL << (bits - first));
    }
    for (uint64_t c = 0; c < bitmap->chunk_count; c++) {
        store_relaxed(&bitmap->chunks[c], chunk_room(bitmap, c));
    }
    for (uint64_t g = 0; g < bitmap->group_count; g++) {
        refresh_group(bitmap, g);
    }
}

/* --- searching: reads only, apart from summaries --- */

/* The first run of n free bits in the words from .. end - 1, by the words alone. */
static uint64_t scan(const struct bitmap *bitmap, uint64_t from, uint64_t end, uint64_t n) {
    uint64_t run = 0; /* free bits directly before the word */
    for (uint64_t w = from; w < end; w++) {
        uint64_t taken = load_seq(&bitmap->words[w]);
        if (taken == ALL) {
            run = 0;
            continue;
        }
        unsigned low = taken ? (unsigned)__builtin_ctzll(taken) : 64;
        if (run + low >= n) {
            return w * 64 - run;
        }
        if (n < 64 && taken) {
            uint64_t starts = summary_starts(~taken, (unsigned)n);
            if (starts) {
                return w * 64 + (unsigned)__builtin_ctzll(starts);
            }
        }
        run = taken ? (unsigned)__builtin_clzll(taken) : run + 64;
    }
    return BITMAP_NONE;
}

/* The first of the groups `group` .. end - 1 that may have a run of n, or the end of one; `end` if none has. *run < n
 * bits before it are free. n <= BITMAP_GROUP_BITS, so a group whose longest run is shorter is not all free, and what
 * comes before the next one is its suffix alone: no round of the loop waits for the one before. */
static uint64_t pass_groups(const struct bitmap *bitmap, uint64_t group, uint64_t end, uint64_t n, uint64_t *run) {
    uint64_t before = *run, gauge = summary_gauge(n);
    for (; group < end; group++) {
        uint64_t summary = load_seq(&bitmap->groups[group]);
        if (summary_may_have(summary, before, gauge)) {
            break;
        }
        before = summary_suffix(summary);
    }
    *run = least(before, BITMAP_GROUP_BITS); /* more in a damaged one */
    return group;
}

/* bitmap_find without wrapping around: a run that begins in chunk `from` or later, and before chunk `until`. The suffix
 * of a group counts for at most the length of the group: a damaged one would lead to a place before the group, where a
 * search that finds nothing marks other summaries stale, and it would be led there forever. */
static uint64_t find_forward(struct bitmap *bitmap, uint64_t from, uint64_t until, uint64_t n) {
    uint64_t run = 0;      /* free bits directly before the chunk, by the summaries */
    uint64_t walked = ALL; /* the group whose chunks are being walked from its first */
    uint64_t c = from;
    while (c < bitmap->chunk_count && c * BITMAP_CHUNK_BITS < until * BITMAP_CHUNK_BITS + run) {
        if (c % BITMAP_GROUP_CHUNKS == 0) {
            uint64_t group = c / BITMAP_GROUP_CHUNKS, end = least(until, bitmap->chunk_count) / BITMAP_GROUP_CHUNKS;
            if (n <= BITMAP_GROUP_BITS && group < end) {
                group = pass_groups(bitmap, group, end, n, &run);
                c = group * BITMAP_GROUP_CHUNKS;
                if (group == end) {
                    continue;
                }
            }
            uint64_t summary = group_summary(bitmap, group);
            if (run + summary_prefix(summary) < n && summary_longest(summary) < n) {
                run = summary_prefix(summary) == BITMAP_GROUP_BITS ? run + BITMAP_GROUP_BITS
                                                                   : least(summary_suffix(summary), BITMAP_GROUP_BITS);
                c += BITMAP_GROUP_CHUNKS;
                continue;
            }
            walked = group;
        }
        uint64_t summary = chunk_summary(bitmap, c);
        if (run + summary_prefix(summary) >= n) {
            return c * BITMAP_CHUNK_BITS - run;
        }
        if (summary_longest(summary) >= n) {
            uint64_t at = scan(bitmap, c * BITMAP_CHUNK_WORDS, (c + 1) * BITMAP_CHUNK_WORDS, n);
            if (at != BITMAP_NONE) {
                return at;
            }
            summary = refresh_chunk(bitmap, c); /* it promised too much */
        }
        run = summary_prefix(summary) == BITMAP_CHUNK_BITS ? run + BITMAP_CHUNK_BITS : summary_suffix(summary);
        c++;
        if (walked == (c - 1) / BITMAP_GROUP_CHUNKS && (c % BITMAP_GROUP_CHUNKS == 0 || c == bitmap->chunk_count)) {
            refresh_group(bitmap, walked); /* so did this one */
        }
    }
    if (c % BITMAP_GROUP_CHUNKS && walked == c / BITMAP_GROUP_CHUNKS && c < bitmap->chunk_count) {
        refresh_group(bitmap, walked); /* left in its middle: the part from `until` on was searched before */
    }
    return BITMAP_NONE;
}

uint64_t bitmap_find(struct bitmap *bitmap, uint64_t from, uint64_t n) {
    uint64_t at = find_forward(bitmap, from, bitmap->chunk_count, n);
    return at == BITMAP_NONE && from ? find_forward(bitmap, 0, from, n) : at;
}

/* Where a run of n <= bits is: by the summaries; or by the words, if those know of none or (in a damaged segment) of
 * one outside. */
static uint64_t look(struct bitmap *bitmap, uint64_t from, uint64_t n) {
    uint64_t at = bitmap_find(bitmap, from, n);
    return at > bitmap->bits - n ? scan(bitmap, 0, bitmap->chunk_count * BITMAP_CHUNK_WORDS, n) : at;
}

/* Whether n bits are free, adjacent or not; stops as soon as it knows. Who waits for room marks itself first and looks
 * then, and who releases looks for marks afterwards: one of them must see the other, so these loads are seq, too. */
static bool has_free(const struct bitmap *bitmap, uint64_t from, uint64_t n) {
    uint64_t words = bitmap->chunk_count * BITMAP_CHUNK_WORDS, w = from * BITMAP_CHUNK_WORDS, found = 0;
    for (uint64_t left = words; left > 0; left--) {
        uint64_t taken = load_seq(&bitmap->words[w]);
        found += taken == 0 ? 64 : (unsigned)__builtin_popcountll(~taken);
        if (found >= n) {
            return true;
        }
        w = w + 1 == words ? 0 : w + 1;
    }
    return false;
}

/* Lets the thread that was in the way finish. Threads wait differently long, or two that met once would meet again. */
static void stand_back(void) {
    for (uint32_t times = os_thread_number() % 4 + 1; times > 0; times--) {
        os_yield();
    }
}

/* --- claiming and releasing --- */

/* Claims all bits of the mask in one word, or none. */
static bool claim_mask(atomic_word *word, uint64_t mask) {
    uint64_t old = load_relaxed(word);
    while ((old & mask) == 0) {
        if (compare_exchange_seq(word, &old, old | mask)) {
            return true;
        }
    }
    return false;
}

static void tell_undone(struct bitmap *bitmap) {
    if (bitmap->undone) {
        bitmap->undone(bitmap);
    }
}

/* Claims first .. first + n - 1; returns how many bits from `first` on it got before it met a taken one. */
static uint64_t claim_upto(struct bitmap *bitmap, uint64_t first, uint64_t n) {
    uint64_t done = 0;
    while (done < n) {
        uint64_t at = first + done, here = in_word(at, n - done);
        if (!claim_mask(&bitmap->words[at / 64], mask_of(at % 64, here))) {
            break;
        }
        done += here;
    }
    return done;
}

bool bitmap_claim_range(struct bitmap *bitmap, uint64_t first, uint64_t n) {
    uint64_t done = claim_upto(bitmap, first, n);
    if (done == n) {
        return true;
    }
    if (done) {
        bitmap_release_range(bitmap, first, done);
        tell_undone(bitmap);
    }
    return false;
}

uint64_t bitmap_claim_run(struct bitmap *bitmap, uint64_t n) {
    if (n == 1) {
        return bitmap_claim(bitmap);
    }
    if (n > bitmap->bits) {
        return BITMAP_NONE;
    }
    uint64_t from = bitmap_cursor(bitmap)->home;
    for (int looks = 0; looks < BITMAP_LOOKS;) {
        uint64_t at = look(bitmap, from, n);
        if (at == BITMAP_NONE) {
            if (looks == 0) {
                break; /* nothing was in the way: there is none */
            }
            looks++;
            stand_back();
        } else if (bitmap_claim_range(bitmap, at, n)) {
            return at;
        } else {
            /* wrong advice, or overtaken: have the chunks recomputed, and do not believe the next "none" */
            for (uint64_t c = at / BITMAP_CHUNK_BITS; c <= (at + n - 1) / BITMAP_CHUNK_BITS; c++) {
                bitmap_mark(bitmap, c);
            }
            looks = looks ? looks : 1;
        }
    }
    return BITMAP_NONE;
}

uint64_t bitmap_claim_elsewhere(struct bitmap *bitmap, struct bitmap_cursor *cursor) {
    for (;;) {
        uint64_t at = look(bitmap, load_relaxed(&cursor->chunk), 1);
        if (at == BITMAP_NONE) {
            return BITMAP_NONE;
        }
        uint64_t chunk = at / BITMAP_CHUNK_BITS, bit = bitmap_claim_in_chunk(bitmap, chunk);
        if (bit != BITMAP_NONE) {
            store_relaxed(&cursor->chunk, chunk);
            return bit;
        }
        bitmap_mark(bitmap, chunk);
    }
}

/* Claims up to n of the lowest free bits of a word; returns the mask of what it claimed. */
static uint64_t claim_some(atomic_word *word, uint64_t n) {
    uint64_t old = load_relaxed(word), mask;
    do {
        uint64_t free = ~old;
        mask = free;
        if (n < 64 && (unsigned)__builtin_popcountll(free) > n) {
            mask = 0;
            for (uint64_t i = 0; i < n; i++) {
                mask |= free & -free;
                free &= free - 1;
            }
        }
        if (mask == 0) {
            return 0;
        }
    } while (!compare_exchange_seq(word, &old, old | mask));
    return mask;
}

/* Gives back bits in the order in which claim_some found them, one word at a time. */
static void release_some(struct bitmap *bitmap, const uint64_t *out, uint64_t n) {
    for (uint64_t i = 0; i < n;) {
        uint64_t word = out[i] / 64, mask = 0;
        for (; i < n && out[i] / 64 == word; i++) {
            mask |= UINT64_C(1) << out[i] % 64;
        }
        fetch_and_seq(&bitmap->words[word], ~mask);
        bitmap_released(bitmap, word / BITMAP_CHUNK_WORDS);
    }
}

/* Writes the numbers of the bits of the mask to out, lowest first; returns how many. */
static inline uint64_t spread(uint64_t mask, uint64_t first, uint64_t *out) {
    uint64_t n = 0;
    if (mask == ALL) {
        for (; n < 64; n++) {
            out[n] = first + n;
        }
        return n;
    }
    for (; mask; mask &= mask - 1) {
        out[n++] = first + (unsigned)__builtin_ctzll(mask);
    }
    return n;
}

/* bitmap_claim_many without the undo: claims up to n and returns how many. */
static uint64_t claim_upto_many(struct bitmap *bitmap, struct bitmap_cursor *cursor, uint64_t n, uint64_t *out) {
    uint64_t chunk = load_relaxed(&cursor->chunk), done = 0;
    for (;;) {
        for (uint64_t w = chunk * BITMAP_CHUNK_WORDS; w < (chunk + 1) * BITMAP_CHUNK_WORDS && done < n; w++) {
            done += spread(claim_some(&bitmap->words[w], n - done), w * 64, out + done);
        }
        store_relaxed(&cursor->chunk, chunk);
        if (done == n) {
            return done;
        }
        refresh_chunk(bitmap, chunk); /* or its summary, which claims do not touch, would lead back here */
        uint64_t at = look(bitmap, chunk, 1);
        if (at == BITMAP_NONE) {
            return done;
        }
        chunk = at / BITMAP_CHUNK_BITS;
    }
}

/* The longest free run, by the summaries. */
static uint64_t longest_advised(struct bitmap *bitmap) {
    uint64_t longest = 0, run = 0;
    for (uint64_t c = 0; c < bitmap->chunk_count; c++) {
        uint64_t summary = chunk_summary(bitmap, c);
        longest = most(longest, most(run + summary_prefix(summary), summary_longest(summary)));
        run = summary_prefix(summary) == BITMAP_CHUNK_BITS ? run + BITMAP_CHUNK_BITS : summary_suffix(summary);
    }
    return longest;
}

/* One walk of bitmap_claim_packed over the runs that begin in chunks from .. until - 1: claims those of at least
 * `length`, or of what is still wanted if that is less. Returns how many bits it has claimed so far. */
static uint64_t claim_runs(struct bitmap *bitmap, uint64_t from, uint64_t until, uint64_t length, uint64_t n,
                           uint64_t done, uint64_t *out) {
    while (done < n) {
        uint64_t here = least(length, n - done), at = find_forward(bitmap, from, until, here);
        if (at > bitmap->bits - here) {
            break; /* none, or in a damaged segment one outside */
        }
        bool claimed = bitmap_claim_range(bitmap, at, here);
        from = at / BITMAP_CHUNK_BITS;
        for (uint64_t c = from; c <= (at + here - 1) / BITMAP_CHUNK_BITS; c++) {
            refresh_chunk(bitmap, c); /* what was claimed, or wrong advice, must not lead here again */
        }
        for (uint64_t i = 0; claimed && i < here; i++) {
            out[done++] = at + i;
        }
    }
    return done;
}

/* bitmap_claim_packed without the undo: claims up to n and returns how many. It walks over the bitmap once for each
 * length, longest first; there are at most √(2 · bits) lengths. */
static uint64_t claim_upto_packed(struct bitmap *bitmap, struct bitmap_cursor *cursor, uint64_t n, uint64_t *out) {
    uint64_t done = 0, longest, home = cursor->home;
    int misses = 0;
    while (done < n && misses < BITMAP_LOOKS && (longest = longest_advised(bitmap)) > 0) {
        uint64_t before = done;
        done = claim_runs(bitmap, home, bitmap->chunk_count, longest, n, done, out);
        done = claim_runs(bitmap, 0, home, longest, n, done, out);
        misses = done == before ? misses + 1 : 0; /* some summary promised too much; the search has corrected it */
    }
    return done;
}

typedef uint64_t claim_upto_function(struct bitmap *, struct bitmap_cursor *, uint64_t n, uint64_t *out);

/* Waits until no other thread of this view claims after a conflict; but not forever, because in a forked child that
 * thread may not exist. True if it is now this thread's turn, which it must end. */
static bool take_turn(struct bitmap *bitmap) {
    for (int tries = 0; tries < TURN_TRIES; tries++) {
        uint64_t nobody = 0;
        if (compare_exchange_seq(&bitmap->conflict_turn, &nobody, 1)) {
            return true;
        }
        os_yield();
    }
    return false;
}

/* Makes a function that claims up to n all or nothing. Two threads that claim half each would both fail, and large
 * claims would meet again and again. So after a conflict a thread continues only when it is its turn. */
static bool claim_all(struct bitmap *bitmap, claim_upto_function *claim, uint64_t n, uint64_t *out) {
    struct bitmap_cursor *cursor = bitmap_cursor(bitmap);
    bool all = false, my_turn = false;
    for (int looks = 0; looks < BITMAP_LOOKS; looks++) {
        if (has_free(bitmap, load_relaxed(&cursor->chunk), n)) {
            uint64_t done = claim(bitmap, cursor, n, out);
            all = done == n;
            if (all) {
                break;
            }
            release_some(bitmap, out, done);
            tell_undone(bitmap);
        } else if (looks == 0) {
            break; /* nothing was in the way */
        }
        my_turn = my_turn || take_turn(bitmap);
        stand_back();
    }
    if (my_turn) {
        store_release(&bitmap->conflict_turn, 0);
    }
    return all;
}

bool bitmap_claim_many(struct bitmap *bitmap, uint64_t n, uint64_t *out) {
    return claim_all(bitmap, claim_upto_many, n, out);
}

bool bitmap_claim_packed(struct bitmap *bitmap, uint64_t n, uint64_t *out) {
    return claim_all(bitmap, claim_upto_packed, n, out);
}

uint64_t bitmap_release_range(struct bitmap *bitmap, uint64_t first, uint64_t n) {
    uint64_t changed = 0;
    for (uint64_t done = 0; done < n;) {
        uint64_t at = first + done, here = in_word(at, n - done), mask = mask_of(at % 64, here);
        changed += (unsigned)__builtin_popcountll(fetch_and_seq(&bitmap->words[at / 64], ~mask) & mask);
        bitmap_released(bitmap, at / BITMAP_CHUNK_BITS);
        done += here;
    }
    return changed;
}

/* --- counting --- */

uint64_t bitmap_count(const struct bitmap *bitmap) {
    uint64_t words = bitmap->chunk_count * BITMAP_CHUNK_WORDS, taken = 0;
    for (uint64_t w = 0; w < words; w++) {
        taken += (unsigned)__builtin_popcountll(load_relaxed(&bitmap->words[w]));
    }
    return taken - (words * 64 - bitmap->bits); /* the bits past the end count as taken */
}

uint64_t bitmap_longest_free(const struct bitmap *bitmap) {
    uint64_t longest = 0, run = 0;
    for (uint64_t c = 0; c < bitmap->chunk_count; c++) {
        uint64_t room = chunk_room(bitmap, c);
        longest = most(longest, most(run + summary_prefix(room), summary_longest(room)));
        run = summary_prefix(room) == BITMAP_CHUNK_BITS ? run + BITMAP_CHUNK_BITS : summary_suffix(room);
    }
    return longest;
}
