/* steps.c: see steps.h. */
#include "steps.h"

#include <stddef.h>
#include <string.h>

#include "kernel.h"
#include "shared/layout.h"

enum source { OTHER, BITMAP, SLOTS };

static const struct layout_header *header;
static const struct catalog_entry *catalog;
static enum grain grain_of_bitmap, grain_of_slots;
static enum source last[EXPLORE_THREADS + 1]; /* whose access the thread's last one was */
static unsigned in_a_row[EXPLORE_THREADS + 1];
static uint64_t users[2]; /* which slots are used */

static const char *idle;
static size_t idle_bytes;

#define MOST_RANGES 3

static struct {
    const char *start;
    size_t bytes;
} private_ranges[MOST_RANGES];

void explore_access_of_shared_pool(const volatile void *word);
void explore_access_of_bitmap(const volatile void *word);
void explore_access_of_slots(const volatile void *word);
void explore_access_of_layout(const volatile void *word);
void explore_access_of_attachment(const volatile void *word);
void explore_access_of_references(const volatile void *word);
void explore_access_of_recovery(const volatile void *word);
void explore_access_of_fork(const volatile void *word);
void explore_access_of_names(const volatile void *word);
void explore_access_of_look(const volatile void *word);
void explore_access_of_catalog(const volatile void *word);
void explore_access_of_queue(const volatile void *word);
void explore_access_of_queues(const volatile void *word);
void explore_access_of_queue_check(const volatile void *word);
void explore_access_of_sites(const volatile void *word);
void explore_access_of_lanes(const volatile void *word);

void steps_idle(const void *start, size_t bytes) {
    idle = start;
    idle_bytes = bytes;
}

static bool is_idle(const volatile void *word) { return (uintptr_t)word - (uintptr_t)idle < idle_bytes; }

void steps_private(unsigned range, const void *start, size_t bytes) {
    private_ranges[range].start = start;
    private_ranges[range].bytes = bytes;
}

/* Whether only the thread that runs can see the word. */
static bool is_private(const volatile void *word) {
    bool inside = false;
    for (unsigned r = 0; r < MOST_RANGES; r++) {
        inside |= (uintptr_t)word - (uintptr_t)private_ranges[r].start < private_ranges[r].bytes;
    }
    return inside && !kernel_is_shared(kernel_process());
}

void steps_set_up(enum grain of_bitmap, enum grain of_slots) {
    grain_of_bitmap = of_bitmap;
    grain_of_slots = of_slots;
    memset(last, 0, sizeof last);
    memset(in_a_row, 0, sizeof in_a_row);
    users[0] = users[1] = 0;
}

void steps_pool(const struct layout_header *header_, const struct catalog_entry *catalog_) {
    header = header_;
    catalog = catalog_;
}

void steps_of_kernel(void) { in_a_row[explore_thread()] = 0; }

/* Whether the access before was one of that source too. */
static bool goes_on(enum source source) {
    unsigned me = explore_thread();
    bool same = last[me] == source;
    last[me] = source;
    in_a_row[me] = same ? in_a_row[me] + 1 : 0;
    return same;
}

void explore_access(const volatile void *word) { /* of the witness itself */
    (void)word;
    explore_step();
}

void explore_access_of_shared_pool(const volatile void *word) {
    if (explore_thread() != EXPLORE_THREADS && !is_private(word) && !is_idle(word) && word != &header->looked) {
        (void)goes_on(OTHER);
        explore_step();
    }
}

void explore_access_of_layout(const volatile void *word) { explore_access_of_shared_pool(word); }
void explore_access_of_attachment(const volatile void *word) { explore_access_of_shared_pool(word); }
void explore_access_of_references(const volatile void *word) { explore_access_of_shared_pool(word); }
void explore_access_of_recovery(const volatile void *word) { explore_access_of_shared_pool(word); }
void explore_access_of_fork(const volatile void *word) { explore_access_of_shared_pool(word); }
void explore_access_of_sites(const volatile void *word) { explore_access_of_shared_pool(word); }

void explore_access_of_lanes(const volatile void *word) { explore_access_of_shared_pool(word); }
void explore_access_of_names(const volatile void *word) { explore_access_of_shared_pool(word); }
void explore_access_of_look(const volatile void *word) { explore_access_of_shared_pool(word); }
void explore_access_of_queue(const volatile void *word) { explore_access_of_shared_pool(word); }
void explore_access_of_queues(const volatile void *word) { explore_access_of_shared_pool(word); }
void explore_access_of_queue_check(const volatile void *word) { (void)word; } /* nothing here has a message to audit */

/* Of a name in the catalog, only the first words are ever used. */
void explore_access_of_catalog(const volatile void *word) {
    size_t offset = (size_t)((const char *)word - (const char *)catalog) % sizeof *catalog;
    if (offset < offsetof(struct catalog_entry, name[STEPS_NAME_WORDS])) {
        explore_access_of_shared_pool(word);
    }
}

void explore_access_of_bitmap(const volatile void *word) {
    if (explore_thread() != EXPLORE_THREADS && !is_private(word) && !is_idle(word) &&
        (!goes_on(BITMAP) || grain_of_bitmap == FINE)) {
        explore_step();
    }
}

/* In a walk over all slots, only used ones are worth a step. */
void explore_access_of_slots(const volatile void *word) {
    (void)word;
    if (explore_thread() == EXPLORE_THREADS) {
        return;
    }
    bool same = goes_on(SLOTS);
    if (grain_of_slots == FINE) {
        if (in_a_row[explore_thread()] < EXPLORE_THREADS) {
            explore_step();
        }
        return;
    }
    bool changed = header->used[0] != users[0] || header->used[1] != users[1];
    users[0] = header->used[0];
    users[1] = header->used[1];
    if (!same || changed) {
        explore_step();
    }
}
