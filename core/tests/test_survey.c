/* Tests of survey.c: maps and surveys agree with a look at every block, on pools of random sizes with random holders,
 * and hostile words lead nowhere. */
#include "shared/layout.h"
#include "shared/survey.h"

#include "check.h"

#define SLOTS 70u
#define MOST 2000u

static struct layout_geometry geometry;
static struct shared_pool shared, annex;
static struct pool_run runs[MOST];
static unsigned owners[MOST], count;
static void *memory;

static void make(uint64_t blocks) {
    memset(&geometry, 0, sizeof geometry);
    CHECK(layout_plan(&geometry, 64, blocks, SLOTS, 16), ==, true);
    memory = aligned_alloc(4096, geometry.data_at);
    memset(memory, 0, geometry.data_at);
    layout_make(memory, &geometry);
    layout_init(&shared, &annex, memory, &geometry);
    count = 0;
}

static void unmake(void) { free(memory); }

static uint64_t head_at(uint64_t block) { return load_relaxed(&shared_pool_entry(&shared, block)->head); }

/* Allocates, holds, shares, keeps and carries at random, and frees some again. */
static void fill(void) {
    while (count < MOST) {
        struct pool_run run;
        unsigned owner = (unsigned)check_below(SLOTS);
        uint64_t n = 1 + check_below(check_below(10) ? 3 : 70);
        CHECK(shared_pool_allocate(&shared, owner, n, check_below(64), 1 + (uint32_t)check_below(1000), &run), ==,
              SHARED_POOL_OK);
        if (run.index == BITMAP_NONE) {
            break;
        }
        owners[count] = owner;
        runs[count++] = run;
    }
    for (unsigned i = 0; i < count; i++) {
        bool set, last = false;
        if (check_below(4) == 0) {
            CHECK(shared_pool_hold(&shared, (unsigned)check_below(SLOTS), &runs[i], &set), ==, SHARED_POOL_OK);
        }
        if (check_below(4) == 0) {
            CHECK(shared_pool_share(&shared, owners[i], &runs[i], 1 + check_below(3), 2000), ==, SHARED_POOL_OK);
        }
        if (check_below(6) == 0) {
            CHECK(shared_pool_keep(&shared, owners[i], &runs[i]), ==, SHARED_POOL_OK);
        }
        if (check_below(6) == 0) {
            CHECK(shared_pool_carry(&shared, owners[i], &runs[i]), ==, SHARED_POOL_OK);
        }
        if (check_below(3) == 0) {
            CHECK(shared_pool_drop(&shared, owners[i], &runs[i], &last), ==, SHARED_POOL_OK);
            if (last) {
                shared_pool_finish(&shared, &runs[i]);
            }
        }
    }
}

static struct survey survey_all(enum survey_order order, struct survey_found *found, unsigned most, uint64_t step) {
    static struct survey survey;
    survey_begin(&survey, order, found, most);
    for (uint64_t steps = 0; !survey_go_on(&survey, &shared, step); steps++) {
        CHECK(steps, <=, shared.blocks);
    }
    return survey;
}

static uint64_t score_of(enum survey_order order, const struct pool_run *run) {
    return order == SURVEY_BY_SIZE ? run->blocks : UINT32_MAX - shared_pool_since(&shared, run->index);
}

/* What a look at every block says; who holds how much, by asking each slot. */
static void compare_with_a_look_at_every_block(const struct survey *survey) {
    struct shared_pool_totals totals;
    uint64_t held[SURVEY_HOLDERS] = {0};
    shared_pool_count(&shared, &totals);
    CHECK(survey->allocated, ==, totals.allocated);
    CHECK(survey->runs, ==, totals.runs);
    CHECK(survey->slack, ==, totals.slack);
    CHECK(survey->tickets, ==, totals.tickets);
    CHECK(survey->oldest_ticket == totals.oldest, ==, true);
    struct pool_run run;
    uint64_t word;
    for (uint64_t at = 0; shared_pool_next_run(&shared, at, &run, &word); at = run.index + run.blocks) {
        bool any = false;
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            if (shared_pool_is_held(&shared, run.index, word, slot)) {
                held[slot] += run.blocks;
                any = true;
            }
        }
        if (!any) {
            held[word & LEDGER_KEPT      ? SURVEY_KEPT
                 : word & LEDGER_CARRIED ? SURVEY_MESSAGE
                                         : SURVEY_TICKETS] += run.blocks;
        }
    }
    for (unsigned i = 0; i < SURVEY_HOLDERS; i++) {
        CHECK(survey->held[i], ==, held[i]);
    }
}

/* The runs that it lists are the best, in order, and each is there. */
static void compare_with_all_runs(const struct survey *survey) {
    struct pool_run run;
    uint64_t word, better = 0;
    unsigned all = 0;
    CHECK(survey->count <= survey->most, ==, true);
    for (unsigned i = 0; i < survey->count; i++) {
        struct survey_found *found = &survey->found[i];
        CHECK(found->score, ==, score_of(survey->order, &found->run));
        CHECK(shared_pool_is_live(&shared, &found->run), ==, true);
        CHECK(i == 0 || found[-1].score > found->score ||
                  (found[-1].score == found->score && found[-1].run.index < found->run.index),
              ==, true);
    }
    for (uint64_t at = 0; shared_pool_next_run(&shared, at, &run, &word); at = run.index + run.blocks) {
        all++;
        better += survey->count && score_of(survey->order, &run) > survey->found[survey->count - 1].score;
    }
    CHECK(survey->count, ==, all < survey->most ? all : survey->most);
    CHECK(better < survey->most || survey->most == 0, ==, true);
}

static void a_survey_agrees_with_a_look_at_every_block(void) {
    static struct survey_found found[300];
    for (int round = 0; round < 100; round++) {
        make(1 + check_below(1500));
        fill();
        for (enum survey_order order = SURVEY_BY_AGE; order <= SURVEY_BY_SIZE; order++) {
            unsigned most = (unsigned)check_below(300);
            struct survey survey = survey_all(order, found, most, check_below(3) ? UINT64_MAX : 1 + check_below(200));
            compare_with_a_look_at_every_block(&survey);
            compare_with_all_runs(&survey);
        }
        unmake();
    }
}

/* Cell by cell, from the ledger. */
static void compare_cells(uint64_t first, uint64_t n, uint64_t cells) {
    static struct survey_cell map[2000];
    survey_map(&shared, first, n, cells, map);
    uint64_t end = first;
    for (uint64_t i = 0; i < cells; i++) {
        uint64_t at = survey_cell_at(first, n, cells, i), allocated = 0, found = BITMAP_NONE;
        CHECK(at, ==, end);
        end = survey_cell_at(first, n, cells, i + 1);
        CHECK(end > at, ==, true);
        for (uint64_t block = at; block < end; block++) {
            if (head_at(block) != LEDGER_FREE) {
                allocated++;
                found = found == BITMAP_NONE ? block : found;
            }
        }
        CHECK(map[i].allocated, ==, allocated);
        if (found == BITMAP_NONE) {
            CHECK(map[i].holder, ==, SURVEY_NOBODY);
            CHECK(map[i].since, ==, 0);
            continue;
        }
        uint64_t word = head_at(found);
        found -= ledger_state(word) == LEDGER_IS_TAIL ? ledger_distance(word) : 0;
        word = head_at(found);
        CHECK(map[i].since, ==, shared_pool_since(&shared, found));
        CHECK(map[i].holder < SLOTS             ? shared_pool_is_held(&shared, found, word, map[i].holder)
              : map[i].holder == SURVEY_KEPT    ? (word & LEDGER_KEPT) != 0
              : map[i].holder == SURVEY_MESSAGE ? (word & LEDGER_CARRIED) != 0
                                                : map[i].holder == SURVEY_TICKETS && ledger_tickets(word) > 0,
              ==, true);
        CHECK(ledger_slot(word) == LEDGER_NOBODY || map[i].holder == ledger_slot(word), ==, true);
    }
    CHECK(end, ==, first + n);
}

static void a_map_agrees_with_a_look_at_every_block(void) {
    for (int round = 0; round < 100; round++) {
        uint64_t blocks = 1 + check_below(1500);
        make(blocks);
        fill();
        uint64_t first = check_below(blocks), n = 1 + check_below(blocks - first);
        compare_cells(0, blocks, blocks);
        compare_cells(0, blocks, 1);
        compare_cells(first, n, 1 + check_below(n));
        unmake();
    }
}

static void words_that_nobody_writes_lead_nowhere(void) {
    static struct survey_cell map[2000];
    static struct survey_found found[100];
    for (int round = 0; round < 200; round++) {
        uint64_t blocks = 1 + check_below(500);
        make(blocks);
        fill();
        for (int i = 0; i < 50; i++) {
            struct shared_pool_entry *entry = shared_pool_entry(&shared, check_below(blocks));
            atomic_word *words[] = {&entry->head, &entry->run, &entry->details, &entry->row[check_below(4)]};
            atomic_word *word = words[check_below(4)];
            *word = check_below(2) ? check_random() : load_relaxed(word) ^ UINT64_C(1) << check_below(64);
        }
        shared.bitmap.words[check_below((blocks + 63) / 64)] ^= check_random();
        survey_map(&shared, 0, blocks, blocks, map);
        for (uint64_t i = 0; i < blocks; i++) {
            CHECK(map[i].holder < SLOTS || (map[i].holder >= SURVEY_KEPT && map[i].holder < SURVEY_HOLDERS), ==, true);
        }
        struct survey survey = survey_all(SURVEY_BY_SIZE, found, 100, 1 + check_below(blocks));
        for (unsigned i = 0; i < survey.count; i++) {
            CHECK(found[i].run.index < blocks && found[i].run.blocks <= blocks - found[i].run.index, ==, true);
        }
        unmake();
    }
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(a_survey_agrees_with_a_look_at_every_block);
    RUN(a_map_agrees_with_a_look_at_every_block);
    RUN(words_that_nobody_writes_lead_nowhere);
    return check_end();
}
