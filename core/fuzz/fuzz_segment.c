/* fuzz_segment.c: damages a segment and then uses it: whatever it contains, nothing may crash, read or write elsewhere,
 * or take forever.
 *
 *     input    1 byte: which of the three segments; 1 byte: bits 0-2, its size before anything attaches; bit 7, whether
 *              the sum of the header is corrected; then damages of 12 bytes: where (1), what (1), which word (2),
 *              value (8)
 *
 * Each segment has two living attachments, one of which records, and a dead one in the middle of everything; it lies in
 * one memfd that is restored between inputs, except for the cells of lanes, which are copied and nothing else. The
 * library's mappings of it are put between guards (the linker diverts os_map_file); stray writes inside it are found by
 * checking what no call may change: the geometry, all padding, the data. Truncating it *after* attaching is out of
 * scope, see the design.
 *
 * Built for libFuzzer with clang (target `fuzz`), and with driver.c for any compiler.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/memory.h"
#include "shared/notes.h"
#include "shared/queues.h"
#include "shared/recording.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef GUIDED
#define GUIDED 0 /* 1 for libFuzzer */
#endif
#define BLOCK 16u
#define DAMAGE 12u       /* bytes */
#define MOST_DAMAGES 64u /* more are ignored */
#define PATIENCE 5.0

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "fuzz_segment.c:%d: %s\n", __LINE__, #condition);                                          \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* --- what the linker diverts --- */

#define GUARD ((size_t)64 << 20)

int __wrap_os_map_file(int file, uint64_t bytes, void **memory);
void __wrap_os_unmap_file(void *memory, uint64_t bytes);
void __wrap_os_yield(void);
uint64_t __wrap_os_process_start(void);
void __wrap_os_process_command(char *command, size_t size);

/* A mapping is kept for the next input: there is one file of each size. */
static struct {
    void *memory;
    uint64_t bytes;
} kept[8];
#define KEPT (sizeof kept / sizeof *kept)

int __wrap_os_map_file(int file, uint64_t bytes, void **memory) {
    for (unsigned i = 0; i < KEPT; i++) {
        if (kept[i].memory && kept[i].bytes == bytes) {
            *memory = kept[i].memory;
            kept[i].memory = NULL;
            return 0;
        }
    }
    char *at = mmap(NULL, bytes + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(at != MAP_FAILED);
    *memory = mmap(at + GUARD, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
    MUST(*memory == at + GUARD);
    return 0;
}

void __wrap_os_unmap_file(void *memory, uint64_t bytes) {
    unsigned i = 0;
    while (kept[i].memory) {
        i++;
        MUST(i < KEPT);
    }
    kept[i].memory = memory;
    kept[i].bytes = bytes;
}

void __wrap_os_yield(void) {} /* nothing else is at work */

/* Reading /proc costs more than all the rest of an input. */
uint64_t __wrap_os_process_start(void) { return 1; }
void __wrap_os_process_command(char *command, size_t size) { snprintf(command, size, "fuzz"); }

/* --- the segments --- */

/* One chunk; some, and rows in two cache lines; two groups. */
static const struct {
    uint64_t blocks;
    unsigned processes;
    uint64_t small; /* blocks of the annex */
} sizes[] = {{70, 8, 70}, {1500, 300, 600}, {40000, 256, 1024}};
#define SEGMENTS (sizeof sizes / sizeof *sizes)

static struct segment {
    struct os_descriptor file;
    struct layout_geometry geometry;
    unsigned char *memory; /* shared, as an attachment maps it */
    unsigned char *good;   /* what it holds when an input begins */
    unsigned char *damaged;
    uint64_t bytes; /* of these: up to the cells of lanes */
    struct attachment living;
    void *hold;
} segments[SEGMENTS];

static atomic_word *head_of(const struct shared_pool *shared, const struct pool_run *run) {
    return &shared_pool_entry(shared, run->index)->head;
}

/* Runs with names, one of them with two, held by the living, by the dead, or by nobody; one that is kept without a
 * name; and a name written halfway. */
static void populate_catalog(struct segment *segment, unsigned me, unsigned dead) {
    struct shared_pool *shared = &segment->living.shared;
    struct catalog catalog = {layout_catalog(segment->memory, &segment->geometry), shared,
                              &segment->living.queues.annex};
    static const char *const names[] = {"n0", "n1", "a name of many bytes, which fills more than one word", "n3"};
    struct pool_run run = {0, 0, 0};
    bool done;
    for (unsigned i = 0; i < 4; i++) {
        if (i != 1) { /* the run before has this name too */
            MUST(shared_pool_allocate(shared, me, 1 + i, 3, 0, &run) == SHARED_POOL_OK);
        }
        MUST(catalog_keep(&catalog, me, names[i], &run, 0, true, false) == CATALOG_OK);
        if (i == 2) {
            MUST(shared_pool_hold(shared, dead, &run, &done) == SHARED_POOL_OK && done);
        }
        if (i > 1) {
            MUST(shared_pool_drop(shared, me, &run, &done) == SHARED_POOL_OK && !done);
        }
    }
    MUST(shared_pool_allocate(shared, dead, 2, 0, 0, &run) == SHARED_POOL_OK);
    MUST(shared_pool_keep(shared, dead, &run) == SHARED_POOL_OK);
    store_relaxed(&catalog.entries[4].sequence, 7);
    store_relaxed(&catalog.entries[4].name[0], 0x6861);
}

/* A queue, a topic and a latest value: the living has the first open, the dead the others; with messages in
 * every state, some of which carry a run. The first two have names. */
static void populate_queues(struct segment *segment, unsigned me, unsigned dead) {
    struct queues *queues = &segment->living.queues;
    struct catalog catalog = {layout_catalog(segment->memory, &segment->geometry), queues->pool, &queues->annex};
    static const char *const names[] = {"queue", "topic"};
    static const struct queue_request requests[] = {
        {QUEUE_IS_QUEUE, 6, QUEUE_REDELIVERS | QUEUE_PERMANENT}, {QUEUE_IS_TOPIC, 3, 0}, {QUEUE_IS_LATEST, 1, 0}};
    for (unsigned q = 0; q < 3; q++) {
        struct queue queue;
        struct pool_run run;
        struct queue_message message;
        bool done;
        unsigned owner = q ? dead : me, cursor;
        uint64_t position;
        MUST(queue_make(queues, owner, &requests[q], &queue) == QUEUE_OK);
        if (q < 2) {
            MUST(catalog_keep(&catalog, owner, names[q], &queue.run, requests[q].kind, q == 0, false) == CATALOG_OK);
        }
        if (q == 1) {
            MUST(queue_subscribe(&queue, dead, &cursor, &position) == QUEUE_OK);
            MUST(queue_subscribe(&queue, me, &cursor, &position) == QUEUE_OK);
        }
        for (unsigned i = 0; i < (q == 2 ? 3 : 9); i++) {
            unsigned sender = i % 2 ? dead : me;
            MUST(queue_begin(&queue, sender, MESSAGE_IS_BYTES, i % 3 == 0 ? 2 : 0, 8 + 100 * (i % 4), &message) ==
                 QUEUE_OK);
            if (i % 3 == 0) {
                MUST(shared_pool_allocate(queues->pool, sender, 1, 0, 0, &run) == SHARED_POOL_OK);
                MUST(queue_carry(&queue, sender, &message, &run) == QUEUE_OK);
                MUST(queue_carry(&queue, sender, &message, &run) == QUEUE_OK); /* a ticket */
                MUST(shared_pool_drop(queues->pool, sender, &run, &done) == SHARED_POOL_OK && !done);
            }
            atomic_word *word = &shared_pool_entry(&queues->annex, message.run.index)->message;
            uint64_t putting = load_relaxed(word);
            if (q == 0 && (i == 7 || i == 8)) {
                if (i == 8) {
                    store_relaxed(word, message_change(putting, MESSAGE_ENDING, LEDGER_RECOVERY));
                }
                continue; /* never published, or ended by a recovery that died */
            }
            enum queue_status status = queue_put(&queue, sender, &message);
            MUST(status == QUEUE_OK || (q == 1 && status == QUEUE_FULL));
            if (status != QUEUE_OK) {
                queue_end(&queue, sender, &message);
                break;
            }
            if (i == 5) { /* its sender has not said so */
                store_relaxed(word, putting);
            }
            if (q == 0 && i < 3) {
                MUST(queue_take(&queue, i ? me : dead, &message) == QUEUE_OK);
                if (i == 1) { /* a receiver died */
                    store_relaxed(word, message_change(putting, MESSAGE_RETURNED, LEDGER_NOBODY));
                    store_relaxed(&queue.header->returned, 1);
                }
            }
        }
    }
}

/* Runs in every state, held by the living, by the dead slot 2, by both and by tickets alone. */
static void populate(struct segment *segment) {
    struct shared_pool *shared = &segment->living.shared;
    struct pool_run run = {0, 0, 0}, last = run;
    unsigned me = segment->living.slot, dead = 2;
    bool done;
    for (unsigned i = 0; i < 9; i++) {
        MUST(shared_pool_allocate(shared, i % 3 == 2 ? dead : me, 1 + i % 4, 5, 0, &run) == SHARED_POOL_OK);
        if (i == 4) {
            MUST(shared_pool_share(shared, me, &run, 3, 1) == SHARED_POOL_OK);
            MUST(shared_pool_drop(shared, me, &run, &done) == SHARED_POOL_OK && !done);
        }
        if (i == 6) {
            MUST(shared_pool_redeem(shared, dead, &run, &done) == SHARED_POOL_OK && done);
            MUST(shared_pool_share(shared, me, &run, 2, 2) == SHARED_POOL_OK);
        }
        if (i == 3) {
            last = run;
        }
    }
    MUST(shared_pool_drop(shared, me, &last, &done) == SHARED_POOL_OK && done); /* CLOSING, and not finished */
    store_relaxed(head_of(shared, &last), ledger_make(LEDGER_IS_CLOSING, dead, last.generation));
    for (unsigned i = 0; i < 3; i++) { /* ASKING; the last one is held all the same */
        MUST(shared_pool_allocate(shared, dead, 2, 1, 0, &run) == SHARED_POOL_OK);
        if (i == 2) {
            MUST(shared_pool_hold(shared, me, &run, &done) == SHARED_POOL_OK && done);
        }
        store_relaxed(head_of(shared, &run), ledger_make(LEDGER_IS_ASKING, i ? dead : LEDGER_RECOVERY, run.generation));
    }
    populate_catalog(segment, me, dead);
    populate_queues(segment, me, dead);
    if (shared->blocks > 1000) {
        MUST(shared_pool_allocate(shared, me, 600, 0, 0, &run) == SHARED_POOL_OK);
        MUST(shared_pool_allocate(shared, dead, 300, 0, 0, &run) == SHARED_POOL_OK);
    }
    MUST(shared_pool_allocate(shared, dead, 4, 0, 0, &run) == SHARED_POOL_OK); /* OPENING, and not all there */
    store_relaxed(head_of(shared, &run), ledger_opening(dead));
    store_relaxed(&shared_pool_entry(shared, run.index + 3)->head, LEDGER_FREE);
    struct slot_record *place = slot_record(segment->memory, dead);
    (void)set_bit_seq(&((struct layout_header *)segment->memory)->used[dead / 64], dead % 64);
    store_relaxed(&place->process, 1);
    store_relaxed(&shared->waiting->slots[0], UINT64_C(1) << dead | 1);
}

static void prepare(struct segment *segment, uint64_t blocks, unsigned processes, uint64_t small) {
    struct layout_geometry *geometry = &segment->geometry;
    struct pool_failure failure;
    void *memory, *hold;
    int error;
    MUST(layout_plan(geometry, BLOCK, blocks, processes, small));
    MUST(os_keep(os_memfd("blockpool-fuzz"), &segment->file) == 0);
    MUST(os_reserve(segment->file.number, geometry->bytes, geometry->bytes, NULL) == 0);
    MUST(os_map_file(segment->file.number, geometry->bytes, &memory) == 0);
    segment->memory = memory;
    layout_make(memory, geometry);
    MUST(slots_take(&segment->file, memory, geometry, &hold, NULL, &error) == 0);
    segment->hold = hold;
    MUST(attachment_attach_through(&segment->living, 0, segment->file.number, NULL, PATIENCE, &failure) == POOL_OK);
    MUST(recording_start(&segment->living, PATIENCE, &failure) == POOL_OK);
    populate(segment);
    memset(segment->memory + geometry->data_at, 0x5a, blocks * BLOCK);
    segment->bytes = layout_lane_cells_at(geometry, 0);
    segment->good = malloc(segment->bytes);
    segment->damaged = malloc(segment->bytes);
    MUST(segment->good && segment->damaged);
    memcpy(segment->good, segment->memory, segment->bytes);
}

/* --- damaging --- */

static uint64_t sum_of(const struct layout_geometry *geometry) {
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < offsetof(struct layout_geometry, checksum); i++) {
        sum = (sum ^ ((const unsigned char *)geometry)[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static void damage(struct segment *segment, const uint8_t *bytes) {
    const struct layout_geometry *geometry = &segment->geometry;
    uint64_t words = (geometry->blocks + 511) / 512 * 8, summaries = bitmap_bytes(geometry->blocks) / 8 - words;
    uint64_t entry = shared_pool_entry_bytes(geometry->processes), small = geometry->small_blocks;
    const struct {
        uint64_t at, words, step;
    } places[] = {
        {0, sizeof(struct layout_geometry) / 8, 8},
        {offsetof(struct layout_header, waiting),
         (offsetof(struct layout_header, padding) - offsetof(struct layout_header, waiting)) / 8, 8},
        {LAYOUT_PAGE, geometry->processes * sizeof(struct slot_record) / 8, 8},
        {geometry->entries_at, geometry->blocks, entry},         /* heads */
        {geometry->entries_at, geometry->blocks * entry / 8, 8}, /* with their records and rows */
        {geometry->bitmap_at, words, 8},
        {geometry->bitmap_at + 8 * words, summaries, 8},
        {geometry->catalog_at, CATALOG_NAMES * sizeof(struct catalog_entry) / 8, 8},
        {geometry->entries_at + offsetof(struct shared_pool_entry, message), geometry->blocks, entry},
        {layout_note_marks_at(geometry), layout_note_marks_bytes(geometry) / 8, 8},
        {layout_endings_at(geometry), geometry->blocks, 8},
        {layout_notes_at(geometry), layout_note_pages(geometry) * LAYOUT_PAGE / 8, 8},
        {layout_small_entries_at(geometry), small, entry}, /* the annex: the same */
        {layout_small_entries_at(geometry) + offsetof(struct shared_pool_entry, message), small, entry},
        {layout_small_entries_at(geometry), small * entry / 8, 8},
        {layout_small_bitmap_at(geometry), bitmap_bytes(small) / 8, 8},
        {layout_small_at(geometry), small * LAYOUT_SMALL / 8, 8}, /* queues and messages */
        {layout_small_at(geometry), 96, 8},                       /* the first queue */
        {layout_small_at(geometry) + 8 * (bytes[2] % 8), small, LAYOUT_SMALL},
        {LAYOUT_PAGE, (geometry->data_at - LAYOUT_PAGE) / 8, 8},
        {offsetof(struct layout_header, recording), sizeof(struct layout_recording) / 8, 8},
        {layout_lanes_at(geometry), LANES_MOST * sizeof(struct lane) / 8, 8},
    };
    uint64_t which, value, word, n;
    unsigned place = bytes[0] % (sizeof places / sizeof *places), number = bytes[2] | (unsigned)bytes[3] << 8;
    memcpy(&value, bytes + 4, 8);
    /* small numbers name the first words, large ones any of them */
    which = (number < 256 ? number : (uint64_t)number * places[place].words >> 16) % places[place].words;
    unsigned char *at = segment->memory + places[place].at + places[place].step * which;
    memcpy(&word, at, 8);
    n = 1;
    switch (bytes[1] % 8) {
    case 0:
        word = value;
        break;
    case 1:
        word ^= UINT64_C(1) << value % 64;
        break;
    case 2:
        word += value;
        break;
    case 3:
        word &= value;
        break;
    case 4:
        word |= value;
        break;
    case 5: /* another word of the same place: valid, but not here */
        memcpy(&word, segment->memory + places[place].at + places[place].step * (value % places[place].words), 8);
        break;
    case 6: /* many words alike */
        word = value;
        n = places[place].words - which;
        break;
    default: /* some */
        n = 1 + value % 8;
        word = (value >> 8 & 7) << LEDGER_STATE_AT | (value >> 16 & 8191) << LEDGER_SLOT_AT |
               (value >> 40 & 7) * LEDGER_MARK | (value >> 43 & 3) * LEDGER_TICKET | (value >> 32 & 0xff);
        n = n < places[place].words - which ? n : places[place].words - which;
    }
    for (uint64_t i = 0; i < n; i++) {
        memcpy(at + places[place].step * i, &word, 8);
    }
}

/* Whether everything that no call may change is unchanged. The geometry is the one that the attachment accepted: with a
 * corrected checksum, it may have one block more than the segment had. */
static void look_for_stray_writes(const struct segment *segment, const struct layout_geometry *geometry) {
    const struct {
        uint64_t from, to;
    } unchanged[] = {
        {0, offsetof(struct layout_header, waiting)},
        {offsetof(struct layout_header, waiting.padding), offsetof(struct layout_header, waiting.slots)},
        {offsetof(struct layout_header, recording.apart), offsetof(struct layout_header, recording.on)},
        {offsetof(struct layout_header, more), offsetof(struct layout_header, used)},
        {offsetof(struct layout_header, padding), LAYOUT_PAGE},
        {LAYOUT_PAGE + geometry->processes * sizeof(struct slot_record), geometry->catalog_at},
        {geometry->catalog_at + CATALOG_NAMES * sizeof(struct catalog_entry), geometry->bitmap_at},
        {geometry->bitmap_at + bitmap_bytes(geometry->blocks), geometry->entries_at},
        {layout_small_bitmap_at(geometry) + bitmap_bytes(geometry->small_blocks), layout_small_entries_at(geometry)},
        {layout_small_at(geometry) + geometry->small_blocks * LAYOUT_SMALL, layout_note_marks_at(geometry)},
        {geometry->data_at, layout_endings_at(geometry)},
    };
    for (unsigned i = 0; i < sizeof unchanged / sizeof *unchanged; i++) {
        uint64_t from = unchanged[i].from;
        MUST(memcmp(segment->memory + from, segment->damaged + from, unchanged[i].to - from) == 0);
    }
    for (unsigned slot = 0; slot < geometry->processes; slot++) {
        const struct slot_record *is = slot_record(segment->memory, slot), *was = slot_record(segment->damaged, slot);
        MUST(memcmp(is->padding, was->padding, sizeof is->padding) == 0);
    }
    struct shared_pool pools[4];
    layout_init(&pools[0], &pools[1], segment->memory, geometry);
    layout_init(&pools[2], &pools[3], segment->damaged, geometry);
    for (unsigned which = 0; which < 2; which++) {
        const struct shared_pool *now = &pools[which], *then = &pools[which + 2];
        for (uint64_t i = 0; i < now->blocks; i++) {
            const struct shared_pool_entry *is = shared_pool_entry(now, i), *was = shared_pool_entry(then, i);
            uint64_t words = (now->entry_bytes - sizeof *is) / 8, slots = geometry->processes;
            for (uint64_t w = slots / 64; w < words; w++) { /* bits of no slot */
                uint64_t past = w == slots / 64 ? UINT64_MAX << slots % 64 : UINT64_MAX;
                MUST(((load_relaxed(&is->row[w]) ^ load_relaxed(&was->row[w])) & past) == 0);
            }
        }
    }
}

/* --- using it --- */

static void in_bounds(const struct attachment *attachment, const struct pool_run *run) {
    MUST(run->blocks >= 1 && run->index < attachment->geometry.blocks);
    MUST(run->blocks <= attachment->geometry.blocks - run->index);
}

/* What a message says that was taken or is read lies in the annex. */
static void message_in_bounds(struct attachment *attachment, const struct queue_message *message) {
    unsigned char *from = attachment->queues.memory, *to = from + attachment->geometry.small_blocks * LAYOUT_SMALL;
    struct pool_run run;
    MUST(message->run.index < attachment->geometry.small_blocks);
    MUST(message->bytes >= from && message->bytes <= to && message->length <= (uint64_t)(to - message->bytes));
    for (unsigned i = 0; i < 3; i++) {
        if (queue_carried(&attachment->queues, message, i, &run)) {
            MUST(run.index < attachment->geometry.blocks);
        }
    }
}

static void use_queue(struct attachment *attachment, struct queue *queue) {
    unsigned char *to = attachment->queues.memory + attachment->geometry.small_blocks * LAYOUT_SMALL;
    struct queue_message messages[4], message;
    uint64_t waiting, taken, position = queue_oldest(queue), lost = 0;
    struct pool_run run;
    struct queue_look look;
    unsigned cursor, n = 0;
    bool freed;
    MUST((unsigned char *)(queue->cells + queue->ring) <= to && queue->capacity <= queue->ring);
    for (unsigned i = 0; i < 9; i++) {
        attachment_queue_count(attachment, queue, &waiting, &taken);
        MUST(waiting <= queue->ring + attachment->geometry.small_blocks && taken <= attachment->geometry.small_blocks);
        if (n < 4 && queue->kind == QUEUE_IS_QUEUE && i % 2 == 0 &&
            attachment_message_take(attachment, queue, &messages[n]) == POOL_OK) {
            message_in_bounds(attachment, &messages[n]);
            if (attachment_message_hold(attachment, &messages[n], 0, &run) == POOL_OK) {
                (void)!attachment_drop(attachment, &run, &freed);
            }
            n++;
        }
        if (queue->kind != QUEUE_IS_QUEUE &&
            attachment_message_read(attachment, queue, &position, &lost, &message) == POOL_OK) {
            message_in_bounds(attachment, &message);
            if (attachment_message_hold(attachment, &message, 0, &run) == POOL_OK) {
                (void)!attachment_drop(attachment, &run, &freed);
            }
            attachment_message_close(attachment, &message);
            position++;
        }
        if (attachment_message_begin(attachment, queue, MESSAGE_IS_BYTES, 1, i * 90, &message) == POOL_OK) {
            message_in_bounds(attachment, &message);
            if (attachment_allocate(attachment, 1, 0, &run) == POOL_OK) {
                (void)!attachment_message_carry(attachment, queue, &message, &run);
                (void)!attachment_drop(attachment, &run, &freed);
            }
            enum pool_status status = attachment_message_put(attachment, queue, &message);
            if (status == POOL_QUEUE_FULL) {
                attachment_queue_drop_oldest(attachment, queue, &message);
                status = attachment_message_put(attachment, queue, &message);
            }
            if (status != POOL_OK) {
                attachment_message_end(attachment, queue, &message);
            }
        }
    }
    if (queue->kind == QUEUE_IS_TOPIC && attachment_queue_subscribe(attachment, queue, &cursor, &position) == POOL_OK) {
        attachment_queue_advance(attachment, queue, cursor, position + 1);
        if (n % 2) {
            attachment_queue_unsubscribe(attachment, queue, cursor);
        }
    }
    for (uint64_t at = 0, looks = 0; queue_next_message(queue, at, &look); at = look.block + 1) {
        MUST(look.block >= at && look.block < attachment->geometry.small_blocks);
        MUST(looks++ < attachment->geometry.small_blocks);
    }
    while (n > 0) {
        attachment_message_end(attachment, queue, &messages[--n]);
    }
}

static void use_queues(struct attachment *attachment) {
    static const char *const names[] = {"queue", "topic", "new", "n0"};
    struct pool_failure failure;
    struct queue queue;
    unsigned used = 0;
    bool made;
    for (unsigned i = 0; i < 4; i++) {
        struct queue_request request = {i == 1 ? QUEUE_IS_TOPIC : QUEUE_IS_QUEUE, 5, i % 2 ? 0 : QUEUE_PERMANENT};
        enum queue_kind kind;
        (void)!attachment_queue_kind(attachment, names[i], &kind);
        if (attachment_queue_open(attachment, names[i], &request, i != 1, PATIENCE, &queue, &made, &failure) ==
            POOL_OK) {
            use_queue(attachment, &queue);
            if (attachment_queue_share(attachment, &queue) == POOL_OK && i % 2) {
                (void)attachment_queue_withdraw(attachment, &queue);
            }
            if (i != 2) {
                (void)!attachment_queue_close(attachment, &queue);
            }
        }
    }
    for (uint64_t at = 0; used < 5 && queues_next(&attachment->queues, at, &queue); at = queue.run.index + 1, used++) {
        MUST(queue.run.index >= at && queue.run.index + queue.run.blocks <= attachment->geometry.small_blocks);
        struct pool_run run = queue.run;
        if (attachment_queue_redeem(attachment, &run, &queue) == POOL_OK) {
            use_queue(attachment, &queue);
            if (used == 2) {
                attachment_queue_shut(attachment, &queue, true);
            }
            (void)!attachment_queue_close(attachment, &queue);
        }
    }
}

#define RUNS 24u

static void use(struct attachment *attachment) {
    struct pool_run runs[RUNS], run = {0, 0, 0};
    struct shared_pool_fault faults[4];
    struct shared_pool_totals totals;
    struct shared_pool_audit audit;
    struct attachment_counts counts;
    struct pool_failure failure;
    uint64_t blocks = attachment->geometry.blocks, word = 0, tickets, n = 0;
    char name[CATALOG_NAME_BYTES];
    uint32_t extra;
    unsigned slots, kind;
    bool freed;
    static const uint64_t lengths[] = {1, 3, 1, 2, 65, 1, 520, 4};
    for (unsigned i = 0; i < 8; i++) {
        uint64_t length = lengths[i] < blocks ? lengths[i] : blocks;
        if (attachment_allocate(attachment, length, 0, &runs[n]) == POOL_OK) {
            MUST(runs[n].blocks == length);
            in_bounds(attachment, &runs[n++]);
        }
    }
    for (uint64_t i = 0, looked = 0; looked < 20 && shared_pool_next_run(&attachment->shared, i, &run, &word);
         looked++) {
        MUST(run.index >= i);
        in_bounds(attachment, &run);
        i = run.index + 1;
        if (n < RUNS && attachment_redeem(attachment, &run) == POOL_OK) {
            in_bounds(attachment, &run);
            runs[n++] = run;
        }
    }
    static const uint64_t beyond[] = {0, 1, UINT64_C(1) << 40, UINT64_MAX / 16};
    for (uint64_t i = 0; i < 4; i++) { /* invented names: outside, and inside */
        for (uint64_t generation = 0; generation < 2; generation++) {
            struct pool_run outside = {blocks + beyond[i], 0, generation};
            MUST(attachment_redeem(attachment, &outside) == POOL_STALE);
        }
    }
    for (uint64_t i = 0; i < 24; i++) {
        struct pool_run made_up = {i < 20 ? i : blocks - 24 + i, 0, 1 + i % 2};
        if (n < RUNS && attachment_redeem(attachment, &made_up) == POOL_OK) {
            in_bounds(attachment, &made_up);
            runs[n++] = made_up;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        unsigned char note[NOTE_MOST];
        MUST(attachment_note(attachment, &runs[i], note) <= NOTE_MOST);
        memset(note, (int)i, sizeof note);
        enum pool_status status = attachment_set_note(attachment, &runs[i], note, NOTE_MOST - i % 9, 0.001, &failure);
        MUST(status == POOL_OK || status == POOL_BUSY);
        MUST(status == POOL_BUSY || attachment_note(attachment, &runs[i], note) == NOTE_MOST - i % 9);
    }
    for (unsigned i = 0, looks = 0; (i = attachment_next_name(attachment, i, name, &run, &kind)) < CATALOG_NAMES; i++) {
        MUST(looks++ < CATALOG_NAMES && memchr(name, 0, sizeof name));
        if (n < RUNS && looks < 8) {
            enum pool_status got = attachment_get(attachment, name, &run);
            if (got == POOL_OK) {
                in_bounds(attachment, &run);
                runs[n++] = run;
            }
        }
    }
    for (unsigned i = 0; i < 6 && n > 0; i++) {
        snprintf(name, sizeof name, "n%u", i);
        enum pool_status status = attachment_keep(attachment, name, &runs[i % n], i % 2, PATIENCE, &failure);
        MUST(status == POOL_OK || status == POOL_EXISTS || status == POOL_FULL || status == POOL_CORRUPT ||
             status == POOL_OTHER_KIND);
        if (i == 1 || i == 5) {
            status = attachment_forget(attachment, name, PATIENCE, &failure);
            MUST(status == POOL_OK || status == POOL_NOT_FOUND);
        }
    }
    for (uint64_t i = 0; i < 12; i++) {
        struct slot_set holders;
        shared_pool_holders(&attachment->shared, i, load_seq(&shared_pool_entry(&attachment->shared, i)->head),
                            &holders);
        MUST(slot_set_count(&holders) <= attachment->shared.row_words * 64);
        (void)shared_pool_is_held_elsewhere(&attachment->shared, i, attachment->slot);
    }
    shared_pool_count(&attachment->shared, &totals);
    MUST(totals.allocated <= blocks);
    attachment_count(attachment, &counts);
    MUST(counts.processes <= attachment->geometry.processes && counts.peak <= blocks);
    use_queues(attachment);
    uint32_t wait;
    if (attachment_wait_enter(attachment, &wait) == POOL_OK) {
        attachment_wait_sleep(attachment, attachment_wait_sequence(attachment) + 1, 0.001);
        MUST(attachment_wait_leave(attachment, wait) == POOL_OK);
    }
    for (unsigned i = 0; i < n; i++) {
        if (i % 3 == 0) {
            (void)!attachment_share(attachment, &runs[i], i % 2 ? 1 : 8000);
            (void)!attachment_share_for(attachment, &runs[i], 1, i % 2 ? 60 : 0, &failure);
        }
        if (i % 4 == 3) {
            (void)!attachment_free(attachment, &runs[i], &extra);
        } else {
            (void)!attachment_drop(attachment, &runs[i], &freed);
        }
    }
    MUST(attachment_recover(attachment, PATIENCE, -1, &slots, &tickets, &failure) == POOL_OK);
    MUST(attachment_check(attachment, PATIENCE, faults, 4, &audit, &failure) == POOL_OK);
    MUST(audit.healed <= blocks && audit.in_transit <= blocks);
    MUST(attachment_recover(attachment, PATIENCE, 0, &slots, &tickets, &failure) == POOL_OK);
    (void)bitmap_count(&attachment->shared.bitmap);
    (void)bitmap_longest_free(&attachment->shared.bitmap);
    (void)bitmap_summary_fault(&attachment->shared.bitmap);
    while (n > 0) { /* again, after the repairs */
        n--;
        if (attachment_allocate(attachment, 1 + n % 5, 0, &run) == POOL_OK) {
            in_bounds(attachment, &run);
        }
    }
}

/* Takes what is in the lanes: no more than there is room for. */
static void take_events(struct attachment *recorder) {
    static struct lane_cell cells[RECORDING_LEAST + 1];
    atomic_half stop = 0;
    store_relaxed(&cells[RECORDING_LEAST].what, 77);
    MUST(recording_collect(recorder, cells, RECORDING_LEAST, 0, &stop) <= RECORDING_LEAST);
    MUST(load_relaxed(&cells[RECORDING_LEAST].what) == 77);
}

/* The living takes what the newcomer put. The newcomer records if the living, by its damaged words, does not. */
static void use_recording(struct attachment *living, struct attachment *attachment) {
    struct pool_failure failure;
    struct pool_run run = {0, 1, 1};
    MUST(recording_by(attachment) == SLOTS_NONE || recording_by(attachment) < attachment->geometry.processes);
    recording_put_stack(attachment, &run, "a stack of some length", 22);
    take_events(living);
    enum pool_status status = recording_start(attachment, PATIENCE, &failure);
    MUST(status == POOL_OK || status == POOL_EXISTS);
    if (attachment_allocate(attachment, 1, 0, &run) == POOL_OK) {
        recording_put_stack(attachment, &run, "another", 7);
    }
    take_events(attachment);
    recording_stop(attachment);
    take_events(attachment);
    recording_end(attachment);
    MUST(status == POOL_EXISTS || recording_by(attachment) == SLOTS_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t off[] = {0, 0, 0, 0, -1, 1, -4096, 4096};
    struct attachment attachment;
    struct pool_failure failure;
    if (size < 2) {
        return 0;
    }
    /* the largest is slow, and libFuzzer, which finds it interesting, would do nothing else */
    struct segment *segment = &segments[data[0] >= 248 && !GUIDED ? 2 : data[0] >= 160];
    struct layout_geometry *geometry = &segment->geometry;
    if (!segment->memory) {
        prepare(segment, sizes[segment - segments].blocks, sizes[segment - segments].processes,
                sizes[segment - segments].small);
    }
    memcpy(segment->memory, segment->good, segment->bytes);
    for (size_t i = 0; i < MOST_DAMAGES && 2 + (i + 1) * DAMAGE <= size; i++) {
        damage(segment, data + 2 + i * DAMAGE);
    }
    struct layout_geometry *header = (void *)segment->memory;
    if (data[1] & 0x80) {
        header->checksum = sum_of(header);
    }
    memcpy(segment->damaged, segment->memory, segment->bytes);
    uint64_t bytes = geometry->bytes + (uint64_t)off[data[1] % 8];
    MUST(bytes == geometry->bytes || ftruncate(segment->file.number, (off_t)bytes) == 0);
    enum pool_status status = attachment_attach_through(&attachment, 0, segment->file.number, NULL, PATIENCE, &failure);
    if (bytes != geometry->bytes) {
        MUST(status != POOL_OK);
        MUST(ftruncate(segment->file.number, (off_t)geometry->bytes) == 0);
    }
    if (status == POOL_OK) {
        MUST(attachment.geometry.bytes == geometry->bytes);
        struct layout_geometry judged = attachment.geometry;
        use(&attachment);
        use_recording(&segment->living, &attachment);
        attachment_leave(&attachment, PATIENCE);
        attachment_unmap(&attachment);
        look_for_stray_writes(segment, &judged);
    } else {
        MUST(status == POOL_NO_POOL || status == POOL_OTHER_VERSION || status == POOL_TRUNCATED ||
             status == POOL_CORRUPT || status == POOL_NOT_FOUND || status == POOL_FULL);
    }
    return 0;
}
