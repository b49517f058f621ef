/* catalog.c: see catalog.h. */
#include "shared/catalog.h"

#include <string.h>

#define NAME_WORDS (CATALOG_NAME_BYTES / 8)
#define GENERATION_BITS 40

static uint64_t word_of(const struct pool_run *run) {
    return run->index << GENERATION_BITS | (run->generation & LEDGER_MOST_GENERATION);
}

static struct pool_run run_of(uint64_t word) {
    return (struct pool_run){.index = word >> GENERATION_BITS, .generation = word & LEDGER_MOST_GENERATION};
}

/* A name, padded with zeros. Whatever an entry says, it ends. */
struct words {
    uint64_t words[NAME_WORDS];
};

static struct words words_of(const char *name) {
    struct words name_words = {{0}};
    size_t length = strlen(name);
    memcpy(name_words.words, name, length < CATALOG_NAME_BYTES ? length : CATALOG_NAME_BYTES - 1);
    return name_words;
}

/* What an entry says. */
struct found {
    uint64_t word; /* its run's */
    unsigned kind;
};

static struct shared_pool *pool_of(const struct catalog *catalog, unsigned kind) {
    return kind ? catalog->annex : catalog->pool;
}

/* Whether it belongs to a queue that has ended. */
static bool is_over(const struct catalog *catalog, const struct found *found) {
    struct pool_run run = run_of(found->word);
    return found->kind && !shared_pool_is_live(catalog->annex, &run);
}

/* Copies the entry's name, run and kind; false if it has none, or is about to get another one. */
static bool read_entry(const struct catalog *catalog, unsigned i, struct words *name, struct found *found) {
    const struct catalog_entry *entry = &catalog->entries[i];
    uint64_t sequence = load_seq(&entry->sequence);
    if (sequence & 1) {
        return false;
    }
    for (unsigned w = 0; w < NAME_WORDS; w++) {
        name->words[w] = load_seq(&entry->name[w]);
    }
    *found = (struct found){load_seq(&entry->run), (unsigned)load_seq(&entry->kind)};
    return found->word && load_seq(&entry->sequence) == sequence && !is_over(catalog, found);
}

/* Whether the entry has the name; then *found is what it says. */
static bool is_entry_of(const struct catalog_entry *entry, const struct words *name, struct found *found) {
    uint64_t sequence = load_seq(&entry->sequence);
    if (sequence & 1 || !load_seq(&entry->run)) {
        return false;
    }
    for (unsigned w = 0; w < NAME_WORDS; w++) {
        if (load_seq(&entry->name[w]) != name->words[w]) {
            return false;
        }
    }
    *found = (struct found){load_seq(&entry->run), (unsigned)load_seq(&entry->kind)};
    return found->word && load_seq(&entry->sequence) == sequence;
}

/* The entry of the name, and what it says; NULL and zeros if there is none. */
static struct catalog_entry *entry_of(const struct catalog *catalog, const char *name, struct found *found) {
    struct words wanted = words_of(name);
    for (unsigned i = 0; i < CATALOG_NAMES; i++) {
        if (is_entry_of(&catalog->entries[i], &wanted, found)) {
            return &catalog->entries[i];
        }
    }
    *found = (struct found){0};
    return NULL;
}

/* Whether any name belongs to the run. */
static bool has_name(const struct catalog *catalog, const struct shared_pool *pool, uint64_t word) {
    bool has = false;
    for (unsigned i = 0; i < CATALOG_NAMES && !has; i++) {
        const struct catalog_entry *entry = &catalog->entries[i];
        has = load_seq(&entry->run) == word && pool_of(catalog, (unsigned)load_seq(&entry->kind)) == pool;
    }
    return has;
}

/* The catalog lets go of a run that lost a name, unless it has another one. */
static void let_go(const struct catalog *catalog, struct shared_pool *pool, uint64_t word) {
    struct pool_run run = run_of(word);
    if (!has_name(catalog, pool, word)) {
        shared_pool_forget(pool, &run);
    }
}

/* Writes a name and a kind into an entry that has no run. */
static void write_name(struct catalog_entry *entry, const char *name, unsigned kind) {
    struct words name_words = words_of(name);
    uint64_t sequence = load_seq(&entry->sequence) | 1; /* it is odd if a process died in here */
    store_seq(&entry->sequence, sequence);
    for (unsigned w = 0; w < NAME_WORDS; w++) {
        store_seq(&entry->name[w], name_words.words[w]);
    }
    store_seq(&entry->kind, kind);
    store_seq(&entry->sequence, sequence + 1);
}

/* An entry without a run; NULL if there is none. */
static struct catalog_entry *free_entry(const struct catalog *catalog) {
    for (unsigned i = 0; i < CATALOG_NAMES; i++) {
        struct catalog_entry *entry = &catalog->entries[i];
        struct found found = {load_seq(&entry->run), (unsigned)load_seq(&entry->kind)};
        if (found.word && is_over(catalog, &found)) {
            store_seq(&entry->run, 0);
            found.word = 0;
        }
        if (!found.word) {
            return entry;
        }
    }
    return NULL;
}

enum catalog_status catalog_keep(const struct catalog *catalog, unsigned slot, const char *name,
                                 const struct pool_run *run, unsigned kind, bool kept, bool replace) {
    struct found old;
    uint64_t new = word_of(run);
    struct catalog_entry *entry = entry_of(catalog, name, &old);
    if (entry && is_over(catalog, &old)) {
        store_seq(&entry->run, 0);
        entry = NULL;
        old.word = 0;
    }
    if (entry && old.kind != kind) {
        return CATALOG_OTHER;
    }
    if (entry && !replace) {
        return CATALOG_TAKEN;
    }
    if (!entry && !(entry = free_entry(catalog))) {
        return CATALOG_FULL;
    }
    if (kept && shared_pool_keep(pool_of(catalog, kind), slot, run) != SHARED_POOL_OK) {
        return CATALOG_CORRUPT;
    }
    if (!old.word) {
        write_name(entry, name, kind);
    }
    store_seq(&entry->run, new);
    if (old.word && old.word != new) {
        let_go(catalog, pool_of(catalog, kind), old.word);
    }
    return CATALOG_OK;
}

enum catalog_status catalog_find(const struct catalog *catalog, const char *name, struct pool_run *run,
                                 unsigned *kind) {
    struct found found;
    if (!entry_of(catalog, name, &found) || is_over(catalog, &found)) {
        return CATALOG_UNKNOWN;
    }
    *run = run_of(found.word);
    *kind = found.kind;
    return CATALOG_OK;
}

enum catalog_status catalog_forget(const struct catalog *catalog, const char *name) {
    struct found found;
    struct catalog_entry *entry = entry_of(catalog, name, &found);
    if (!entry || is_over(catalog, &found)) {
        return CATALOG_UNKNOWN;
    }
    store_seq(&entry->run, 0);
    let_go(catalog, pool_of(catalog, found.kind), found.word);
    return CATALOG_OK;
}

unsigned catalog_next(const struct catalog *catalog, unsigned from, char name[CATALOG_NAME_BYTES], struct pool_run *run,
                      unsigned *kind) {
    for (unsigned i = from; i < CATALOG_NAMES; i++) {
        struct words words;
        struct found found;
        if (read_entry(catalog, i, &words, &found)) {
            memcpy(name, &words, CATALOG_NAME_BYTES);
            name[CATALOG_NAME_BYTES - 1] = 0;
            *run = run_of(found.word);
            *kind = found.kind;
            return i;
        }
    }
    return CATALOG_NAMES;
}

void catalog_recover(const struct catalog *catalog, struct shared_pool *pool, uint64_t first, uint64_t n) {
    for (uint64_t i = first; i < first + n; i++) {
        uint64_t word = load_seq(&shared_pool_entry(pool, i)->head);
        struct pool_run run;
        if (ledger_is_live(word) && word & LEDGER_KEPT && shared_pool_next_run(pool, i, &run, &word)) {
            let_go(catalog, pool, word_of(&run));
        }
    }
}

unsigned catalog_fault(const struct catalog *catalog, unsigned from) {
    for (unsigned i = from; i < CATALOG_NAMES; i++) {
        const struct catalog_entry *entry = &catalog->entries[i];
        uint64_t word = load_seq(&entry->run);
        struct pool_run run = run_of(word);
        if (word && !load_seq(&entry->kind) && !shared_pool_is_kept(catalog->pool, &run) &&
            load_seq(&entry->run) == word) { /* not just forgotten */
            return i;
        }
    }
    return CATALOG_NAMES;
}
