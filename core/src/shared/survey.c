/* survey.c: see survey.h. */
#include "shared/survey.h"

#include <string.h>

/* --- runs --- */

static uint64_t word_of(const struct shared_pool *shared, uint64_t index) {
    return load_relaxed(&shared_pool_entry(shared, index)->head);
}

/* The lowest slot whose bit is set in the row; LEDGER_NOBODY if none is. */
static unsigned first_in_row(const struct shared_pool *shared, uint64_t index) {
    const struct shared_pool_entry *entry = shared_pool_entry(shared, index);
    for (unsigned w = 0; w < shared->row_words; w++) {
        uint64_t bits = load_relaxed(&entry->row[w]);
        if (bits) {
            unsigned slot = w * 64 + (unsigned)__builtin_ctzll(bits);
            return slot < shared->slots ? slot : LEDGER_NOBODY;
        }
    }
    return LEDGER_NOBODY;
}

/* Who holds the run whose head has this word. */
static unsigned holder_of(const struct shared_pool *shared, uint64_t index, uint64_t word) {
    if (!ledger_is_run(word)) {
        return SURVEY_NOBODY;
    }
    unsigned slot = ledger_is_live(word) ? ledger_slot(word) : LEDGER_NOBODY;
    if (slot >= shared->slots) {
        slot = word & LEDGER_ROW || ledger_is_asking(word) ? first_in_row(shared, index) : LEDGER_NOBODY;
    }
    if (slot != LEDGER_NOBODY) {
        return slot;
    }
    if (!ledger_is_live(word)) {
        return SURVEY_NOBODY;
    }
    return word & LEDGER_KEPT      ? SURVEY_KEPT
           : word & LEDGER_CARRIED ? SURVEY_MESSAGE
           : ledger_tickets(word)  ? SURVEY_TICKETS
                                   : SURVEY_NOBODY;
}

/* --- maps --- */

/* The bits of the word `w` of the bitmap that are of blocks first .. end - 1. */
static uint64_t bits_of(const struct shared_pool *shared, uint64_t w, uint64_t first, uint64_t end) {
    uint64_t bits = load_relaxed(&shared->bitmap.words[w]);
    if (w == first / 64) {
        bits &= ~UINT64_C(0) << first % 64;
    }
    if (w == (end - 1) / 64) {
        bits &= ~UINT64_C(0) >> (63 - (end - 1) % 64);
    }
    return bits;
}

static void draw(const struct shared_pool *shared, uint64_t first, uint64_t end, struct survey_cell *cell) {
    uint64_t at = BITMAP_NONE, allocated = 0;
    for (uint64_t w = first / 64; w <= (end - 1) / 64; w++) {
        uint64_t bits = bits_of(shared, w, first, end);
        allocated += (unsigned)__builtin_popcountll(bits);
        if (bits && at == BITMAP_NONE) {
            at = w * 64 + (unsigned)__builtin_ctzll(bits);
        }
    }
    *cell = (struct survey_cell){.allocated = (uint32_t)allocated, .holder = SURVEY_NOBODY};
    if (at == BITMAP_NONE) {
        return;
    }
    uint64_t word = word_of(shared, at);
    if (ledger_state(word) == LEDGER_IS_TAIL) {
        uint64_t distance = ledger_distance(word);
        at -= distance <= at ? distance : 0;
        word = word_of(shared, at);
    }
    cell->holder = (uint16_t)holder_of(shared, at, word);
    cell->shared = ledger_is_live(word) && word & (LEDGER_ROW | LEDGER_TICKETS_MASK | LEDGER_KEPT | LEDGER_CARRIED);
    cell->since = ledger_is_run(word) ? shared_pool_since(shared, at) : 0;
}

void survey_map(const struct shared_pool *shared, uint64_t first, uint64_t n, uint64_t cells, struct survey_cell *map) {
    for (uint64_t i = 0; i < cells; i++) {
        draw(shared, survey_cell_at(first, n, cells, i), survey_cell_at(first, n, cells, i + 1), &map[i]);
    }
}

/* --- the best so far: a heap whose first is the least; of two alike, the later one is less --- */

static bool is_less(const struct survey_found *one, const struct survey_found *other) {
    return one->score != other->score ? one->score < other->score : one->run.index > other->run.index;
}

static void sink(struct survey_found *heap, unsigned count, struct survey_found found) {
    unsigned at = 0;
    for (unsigned child = 1; child < count; child = 2 * at + 1) {
        child += child + 1 < count && is_less(&heap[child + 1], &heap[child]);
        if (!is_less(&heap[child], &found)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = found;
}

static void rise(struct survey_found *heap, unsigned at, struct survey_found found) {
    while (at > 0 && is_less(&found, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = found;
}

static void remember(struct survey *survey, const struct survey_found *found) {
    if (survey->count < survey->most) {
        rise(survey->found, survey->count++, *found);
    } else if (survey->most && is_less(&survey->found[0], found)) {
        sink(survey->found, survey->count, *found);
    }
}

/* The best first. */
static void sort(struct survey *survey) {
    for (unsigned rest = survey->count; rest > 1; rest--) {
        struct survey_found least = survey->found[0];
        sink(survey->found, rest - 1, survey->found[rest - 1]);
        survey->found[rest - 1] = least;
    }
}

/* --- surveys --- */

void survey_begin(struct survey *survey, enum survey_order order, struct survey_found *found, unsigned most) {
    *survey = (struct survey){.oldest_ticket = BITMAP_NONE, .order = order, .most = most, .found = found};
}

/* Counts the blocks for all who hold the run. */
static void count_for_holders(struct survey *survey, const struct shared_pool *shared, uint64_t index, uint64_t word,
                              uint64_t blocks) {
    if (!(word & LEDGER_ROW) && !ledger_is_asking(word)) {
        survey->held[holder_of(shared, index, word)] += blocks;
        return;
    }
    struct slot_set holders;
    shared_pool_holders(shared, index, word, &holders);
    unsigned slot = slot_set_next(&holders, 0);
    if (slot >= shared->slots) {
        survey->held[holder_of(shared, index, word)] += blocks;
    }
    for (; slot < shared->slots; slot = slot_set_next(&holders, slot + 1)) {
        survey->held[slot] += blocks;
    }
}

/* Counts the run that begins at the block, whose head has this word; returns its length. */
static uint64_t count_run(struct survey *survey, const struct shared_pool *shared, uint64_t index, uint64_t word) {
    uint64_t record = load_relaxed(&shared_pool_entry(shared, index)->run);
    uint64_t blocks = shared_pool_length(shared, index), since = shared_pool_since(shared, index);
    uint64_t tickets = ledger_is_live(word) ? ledger_tickets(word) : 0;
    if (blocks == 0) {
        return 1; /* damaged */
    }
    survey->runs++;
    survey->slack += shared_pool_slack(shared, index);
    survey->tickets += tickets;
    if (tickets && since < survey->oldest_ticket) {
        survey->oldest_ticket = since;
    }
    count_for_holders(survey, shared, index, word, blocks);
    struct survey_found found = {
        .run = {index, blocks, ledger_record_unpack(record).generation},
        .score = survey->order == SURVEY_BY_AGE ? UINT32_MAX - since : blocks,
    };
    remember(survey, &found);
    return blocks;
}

bool survey_go_on(struct survey *survey, const struct shared_pool *shared, uint64_t n) {
    uint64_t at = survey->next, end = n < shared->blocks - at ? at + n : shared->blocks;
    while (at < end) {
        uint64_t bits = load_relaxed(&shared->bitmap.words[at / 64]) >> at % 64;
        if (bits == 0) {
            at = (at / 64 + 1) * 64;
            continue;
        }
        at += (unsigned)__builtin_ctzll(bits);
        if (at >= shared->blocks) {
            break; /* the bits past the end */
        }
        uint64_t word = word_of(shared, at), blocks = 1;
        if (ledger_is_run(word)) {
            blocks = count_run(survey, shared, at, word);
        } else {
            survey->held[SURVEY_NOBODY]++;
        }
        survey->allocated += blocks;
        at += blocks;
    }
    survey->next = at < shared->blocks ? at : shared->blocks;
    if (survey->next < shared->blocks) {
        return false;
    }
    sort(survey);
    return true;
}
