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

/* Copies the entry's name and run; false if it has none, or is about to get another one. */
static bool read_entry(const struct catalog_entry *entry, struct words *name, uint64_t *word) {
    uint64_t sequence = load_seq(&entry->sequence);
    if (sequence & 1) {
        return false;
    }
    for (unsigned w = 0; w < NAME_WORDS; w++) {
        name->words[w] = load_seq(&entry->name[w]);
    }
    *word = load_seq(&entry->run);
    return *word && load_seq(&entry->sequence) == sequence;
}

/* Whether the entry has the name; then *word is its run. */
static bool is_entry_of(const struct catalog_entry *entry, const struct words *name, uint64_t *word) {
    uint64_t sequence = load_seq(&entry->sequence);
    *word = load_seq(&entry->run);
    if (sequence & 1 || !*word) {
        return false;
    }
    for (unsigned w = 0; w < NAME_WORDS; w++) {
        if (load_seq(&entry->name[w]) != name->words[w]) {
            return false;
        }
    }
    *word = load_seq(&entry->run);
    return *word && load_seq(&entry->sequence) == sequence;
}

/* The entry of the name, and its run; NULL and 0 if there is none. */
static struct catalog_entry *entry_of(const struct catalog_entry *catalog, const char *name, uint64_t *word) {
    struct words wanted = words_of(name);
    for (unsigned i = 0; i < CATALOG_NAMES; i++) {
        if (is_entry_of(&catalog[i], &wanted, word)) {
            return (struct catalog_entry *)&catalog[i];
        }
    }
    *word = 0;
    return NULL;
}

/* Whether any name belongs to the run. */
static bool has_name(const struct catalog_entry *catalog, uint64_t word) {
    bool has = false;
    for (unsigned i = 0; i < CATALOG_NAMES && !has; i++) {
        has = load_seq(&catalog[i].run) == word;
    }
    return has;
}

/* The catalog lets go of a run that lost a name, unless it has another one. */
static void let_go(struct catalog_entry *catalog, struct shared_pool *shared, uint64_t word) {
    struct pool_run run = run_of(word);
    if (!has_name(catalog, word)) {
        shared_pool_forget(shared, &run);
    }
}

/* Writes a name into an entry that has none. */
static void write_name(struct catalog_entry *entry, const char *name) {
    struct words name_words = words_of(name);
    uint64_t sequence = load_seq(&entry->sequence) | 1; /* it is odd if a process died in here */
    store_seq(&entry->sequence, sequence);
    for (unsigned w = 0; w < NAME_WORDS; w++) {
        store_seq(&entry->name[w], name_words.words[w]);
    }
    store_seq(&entry->sequence, sequence + 1);
}

enum catalog_status catalog_keep(struct catalog_entry *catalog, struct shared_pool *shared, unsigned slot,
                                 const char *name, const struct pool_run *run, bool replace) {
    uint64_t old, new = word_of(run);
    struct catalog_entry *entry = entry_of(catalog, name, &old);
    if (entry && !replace) {
        return CATALOG_TAKEN;
    }
    for (unsigned i = 0; i < CATALOG_NAMES && !entry; i++) {
        entry = load_seq(&catalog[i].run) ? NULL : &catalog[i];
    }
    if (!entry) {
        return CATALOG_FULL;
    }
    if (shared_pool_keep(shared, slot, run) != SHARED_POOL_OK) {
        return CATALOG_CORRUPT;
    }
    if (!old) {
        write_name(entry, name);
    }
    store_seq(&entry->run, new);
    if (old && old != new) {
        let_go(catalog, shared, old);
    }
    return CATALOG_OK;
}

enum catalog_status catalog_find(const struct catalog_entry *catalog, const char *name, struct pool_run *run) {
    uint64_t word;
    if (!entry_of(catalog, name, &word)) {
        return CATALOG_UNKNOWN;
    }
    *run = run_of(word);
    return CATALOG_OK;
}

enum catalog_status catalog_forget(struct catalog_entry *catalog, struct shared_pool *shared, const char *name) {
    uint64_t word;
    struct catalog_entry *entry = entry_of(catalog, name, &word);
    if (!entry) {
        return CATALOG_UNKNOWN;
    }
    store_seq(&entry->run, 0);
    let_go(catalog, shared, word);
    return CATALOG_OK;
}

unsigned catalog_next(const struct catalog_entry *catalog, unsigned from, char name[CATALOG_NAME_BYTES],
                      struct pool_run *run) {
    for (unsigned i = from; i < CATALOG_NAMES; i++) {
        struct words found;
        uint64_t word;
        if (read_entry(&catalog[i], &found, &word)) {
            memcpy(name, &found, CATALOG_NAME_BYTES);
            name[CATALOG_NAME_BYTES - 1] = 0;
            *run = run_of(word);
            return i;
        }
    }
    return CATALOG_NAMES;
}

void catalog_recover(struct catalog_entry *catalog, struct shared_pool *shared, uint64_t first, uint64_t n) {
    for (uint64_t i = first; i < first + n; i++) {
        uint64_t word = load_seq(&shared_pool_entry(shared, i)->head);
        struct pool_run run;
        if (ledger_is_live(word) && word & LEDGER_KEPT && shared_pool_next_run(shared, i, &run, &word)) {
            let_go(catalog, shared, word_of(&run));
        }
    }
}

unsigned catalog_fault(const struct catalog_entry *catalog, const struct shared_pool *shared, unsigned from) {
    for (unsigned i = from; i < CATALOG_NAMES; i++) {
        uint64_t word = load_seq(&catalog[i].run);
        struct pool_run run = run_of(word);
        if (word && !shared_pool_is_kept(shared, &run) && load_seq(&catalog[i].run) == word) { /* not just forgotten */
            return i;
        }
    }
    return CATALOG_NAMES;
}
