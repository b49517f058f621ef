/* layout.h: how a shared pool is laid out in memory, and whether a file holds one.
 *
 *     header   one page: what never changes, with a checksum; then the words for waiting and the gate
 *     slots    256 bytes a slot: the processes that are attached
 *     catalog  256 bytes a name, see catalog.h
 *     bitmap   bitmap_bytes(blocks), a multiple of 64
 *     entries  64 bytes a block for up to 256 slots, see shared_pool.h
 *     annex    a second pool, of small blocks, for queues and messages (queue.h): its bitmap, entries and blocks
 *     sites    1 KiB a block, on a page boundary, only in a pool in debug mode: see sites.h
 *     marks    4 bytes a page of notes, up to the data: whether the page is there, see notes.h
 *     data     blocks × block_size, on a page boundary
 *     endings  8 bytes a block, on a page boundary (endings.h), which exist only once a lifetime of tickets was used
 *     notes    pages of LAYOUT_NOTES_A_PAGE notes (note.h) that exist only once they are used: what comes before them
 *              is reserved when the segment is made; this is not, nor are the endings of a pool without a lifetime
 *     lanes    LANES_MOST lanes and their cells (lanes.h), which exist only once the pool is recorded
 *
 * Everything is an offset that follows from block_size, blocks, processes, the blocks of the annex and LAYOUT_DEBUG;
 * the header repeats it as a check. Nothing in a header is trusted: layout_validate recomputes the layout from those
 * numbers and compares it with the header and with the real size of the file. Callers keep the validated copy.
 */
#ifndef BLOCKPOOL_LAYOUT_H
#define BLOCKPOOL_LAYOUT_H

#include "blockpool_version.h"
#include "shared/catalog.h"
#include "shared/lanes.h"
#include "shared/note.h"
#include "shared/queue.h"
#include "shared/shared_pool.h"

#define LAYOUT_MAGIC UINT64_C(0x006c6f6f706b6c62) /* "blkpool" */
#define LAYOUT_VERSION 7u                         /* of the layout */
#define LAYOUT_LIBRARY BLOCKPOOL_VERSION          /* the release that makes such segments */
#define LAYOUT_PAGE UINT64_C(4096)
#define LAYOUT_MOST_PROCESSES LEDGER_MOST_SLOTS
#define LAYOUT_ID_BYTES 16u
#define LAYOUT_MADE_BY_BYTES 24u
#define LAYOUT_MOST_BYTES (UINT64_C(1) << 46)
#define LAYOUT_SMALL MESSAGE_BLOCK /* bytes of a block of the annex */
#define LAYOUT_MOST_SMALL (UINT64_C(1) << 20)
#define LAYOUT_SITE_BYTES 1024u
#define LAYOUT_NOTES_A_PAGE (LAYOUT_PAGE / sizeof(struct note)) /* so that none lies on two pages */

#define LAYOUT_PERMANENT 1u /* flags: stays until it is unlinked */
#define LAYOUT_DETACH 2u    /* what its creator wants for forked children: ON_FORK_DETACH */
#define LAYOUT_DEBUG 4u     /* debug mode: it has sites */

/* What never changes once the segment can be seen. */
struct layout_geometry {
    uint64_t magic;
    uint32_t version;
    uint16_t flags;
    uint16_t processes; /* slots, the most processes that can be attached */
    uint64_t block_size;
    uint64_t blocks;
    uint64_t small_blocks; /* of the annex */
    uint64_t catalog_at, bitmap_at, entries_at, data_at;
    uint64_t bytes;
    unsigned char id[LAYOUT_ID_BYTES];
    uint64_t checksum; /* of all fields before it */
};
_Static_assert(sizeof(struct layout_geometry) == 104, "written to shared memory; made_by follows in every version");

struct layout_header {
    struct layout_geometry geometry;
    char made_by[LAYOUT_MADE_BY_BYTES]; /* the release of the library, for people; empty in the oldest */
    struct shared_pool_waiting waiting;
    /* in a cache line of their own */
    atomic_word gate_process; /* pid of the holder of the gate, or of its last one; for people */
    atomic_word gate_oldest;  /* its oldest waiter, see gate.c */
    atomic_word looked;       /* when a process last looked for the dead, milliseconds; a hint */
    uint64_t created;         /* when the segment was made: seconds since the epoch, for people */
    struct layout_recording { /* see recording.h */
        atomic_word unplaced; /* events of threads without a lane that were lost */
        char apart[24];
        /* in a cache line of their own: every allocation and every free reads `on` */
        atomic_word on;       /* 0: nobody records; else the recorder's round */
        atomic_word recorder; /* its slot, one up; 0: nobody records */
        atomic_word lanes;    /* how many are there, see layout_lanes_ready */
        atomic_word sessions; /* how often recording began */
    } recording;
    char more[32];
    atomic_word used[SLOT_SET_WORDS]; /* a bit for each slot in use; cleared only under the gate */
    struct endings_head endings;      /* see endings.h */
    char padding[LAYOUT_PAGE - 1344 - 24];
};
_Static_assert(sizeof(struct endings_head) == 24, "written to shared memory");
_Static_assert(sizeof(struct layout_header) == LAYOUT_PAGE, "one page");
_Static_assert(offsetof(struct layout_header, waiting) == 128, "a cache line of its own");
_Static_assert(offsetof(struct layout_header, recording.on) % 64 == 0, "apart from words that are often written");
_Static_assert(offsetof(struct layout_header, used) - offsetof(struct layout_header, recording.on) == 64, "the same");
_Static_assert(LEDGER_MOST_SLOTS < 1u << LANE_SLOT_BITS, "a lane names a slot, one up");

struct slot_record {
    atomic_word process;
    atomic_word start; /* os_process_start */
    char command[112]; /* for people */
    /* counted by the slot's own process; in a cache line of their own */
    atomic_word allocations;        /* with plain stores: by one of its threads, or by each in turn; see pool.h */
    atomic_word allocations_beside; /* by others */
    atomic_word failures, peak;
    atomic_word waits, waited; /* for room: how often, and how long in nanoseconds */
    struct slot_past {         /* the counts when this process got the slot */
        atomic_word allocations, failures, waits, waited;
    } past;
    atomic_word noting; /* the block whose note the process is setting, one up; 0: none */
    atomic_word ending; /* 1: the process is at its end and attaches no more; see slots_end */
    char padding[32];
};
_Static_assert(sizeof(struct slot_record) == 256, "whole cache lines");
_Static_assert(offsetof(struct slot_record, allocations) == 128, "apart from what others read");

enum layout_verdict {
    LAYOUT_OK,
    LAYOUT_NO_POOL,   /* no magic: something else */
    LAYOUT_OTHER,     /* another version of the layout */
    LAYOUT_DAMAGED,   /* checksum or numbers do not agree */
    LAYOUT_TRUNCATED, /* the file is shorter or longer than it should be */
};

/* Fills in the layout for the four numbers, and for the flags that *geometry has; false when they are out of range.
 * block_size is a multiple of 8, 1 <= blocks <= 2^24, 1 <= processes <= LAYOUT_MOST_PROCESSES, 1 <= small_blocks <=
 * LAYOUT_MOST_SMALL. */
bool layout_plan(struct layout_geometry *geometry, uint64_t block_size, uint64_t blocks, unsigned processes,
                 uint64_t small_blocks);

/* How many blocks the annex of a pool of that size has if nobody says: a 64th of it, at least 128 KiB and at most
 * 16 MiB. */
uint64_t layout_small_blocks(uint64_t block_size, uint64_t blocks);

/* Makes a segment in zeroed memory of geometry->bytes: everything free. Completes the checksum. */
void layout_make(void *memory, struct layout_geometry *geometry);

/* Validates a copy of the first bytes of a file of `file_bytes`. */
enum layout_verdict layout_validate(const struct layout_geometry *geometry, uint64_t file_bytes);

/* Makes *shared and *annex views of a segment with a validated geometry. */
void layout_init(struct shared_pool *shared, struct shared_pool *annex, void *memory,
                 const struct layout_geometry *geometry);

static inline struct slot_record *slot_record(void *memory, unsigned slot) {
    return (struct slot_record *)((char *)memory + LAYOUT_PAGE) + slot;
}

/* How many allocations the processes that had the slot have counted. */
static inline uint64_t slot_record_allocations(const struct slot_record *record) {
    return load_relaxed(&record->allocations) + load_relaxed(&record->allocations_beside);
}

static inline struct catalog_entry *layout_catalog(void *memory, const struct layout_geometry *geometry) {
    return (struct catalog_entry *)(void *)((char *)memory + geometry->catalog_at);
}

/* Offsets of the parts of the annex, of the sites, of the endings and of the notes. */
static inline uint64_t layout_small_bitmap_at(const struct layout_geometry *geometry) {
    return geometry->entries_at + geometry->blocks * shared_pool_entry_bytes(geometry->processes);
}
static inline uint64_t layout_small_entries_at(const struct layout_geometry *geometry) {
    return layout_small_bitmap_at(geometry) + bitmap_bytes(geometry->small_blocks);
}
static inline uint64_t layout_small_at(const struct layout_geometry *geometry) {
    return layout_small_entries_at(geometry) + geometry->small_blocks * shared_pool_entry_bytes(geometry->processes);
}
static inline uint64_t layout_sites_at(const struct layout_geometry *geometry) {
    return (layout_small_at(geometry) + geometry->small_blocks * LAYOUT_SMALL + LAYOUT_PAGE - 1) / LAYOUT_PAGE *
           LAYOUT_PAGE;
}
static inline uint64_t layout_site_at(const struct layout_geometry *geometry, uint64_t block) {
    return layout_sites_at(geometry) + block * LAYOUT_SITE_BYTES;
}
static inline uint64_t layout_note_pages(const struct layout_geometry *geometry) {
    return (geometry->blocks + LAYOUT_NOTES_A_PAGE - 1) / LAYOUT_NOTES_A_PAGE;
}
static inline uint64_t layout_note_marks_bytes(const struct layout_geometry *geometry) {
    return (layout_note_pages(geometry) * sizeof(atomic_half) + 63) / 64 * 64;
}
static inline uint64_t layout_note_marks_at(const struct layout_geometry *geometry) {
    return geometry->data_at - layout_note_marks_bytes(geometry);
}
static inline uint64_t layout_endings_at(const struct layout_geometry *geometry) {
    return (geometry->data_at + geometry->blocks * geometry->block_size + LAYOUT_PAGE - 1) / LAYOUT_PAGE * LAYOUT_PAGE;
}
static inline uint64_t layout_notes_at(const struct layout_geometry *geometry) {
    uint64_t bytes = geometry->blocks * sizeof(atomic_word);
    return layout_endings_at(geometry) + (bytes + LAYOUT_PAGE - 1) / LAYOUT_PAGE * LAYOUT_PAGE;
}
/* The bytes of the segment without what exists only once it is used: its notes, lanes and, until they are, endings. */
static inline uint64_t layout_reserved(const struct layout_geometry *geometry, bool endings) {
    return endings ? layout_notes_at(geometry) : layout_endings_at(geometry);
}
static inline uint64_t layout_note_at(const struct layout_geometry *geometry, uint64_t block) {
    return layout_notes_at(geometry) + block / LAYOUT_NOTES_A_PAGE * LAYOUT_PAGE +
           block % LAYOUT_NOTES_A_PAGE * sizeof(struct note);
}

/* Offsets of the lanes and of their cells. */
static inline uint64_t layout_lanes_at(const struct layout_geometry *geometry) {
    return layout_notes_at(geometry) + layout_note_pages(geometry) * LAYOUT_PAGE;
}
static inline uint64_t layout_lane_cells_at(const struct layout_geometry *geometry, unsigned lane) {
    return (layout_lanes_at(geometry) + LANES_MOST * sizeof(struct lane) + LAYOUT_PAGE - 1) / LAYOUT_PAGE *
               LAYOUT_PAGE +
           lane * LANE_CELLS * sizeof(struct lane_cell);
}

/* How many lanes are there. The word that says so is one that damage does not make. */
#define LAYOUT_LANES_WORD UINT64_C(0x6c616e6573006c00)
static inline unsigned layout_lanes_ready(const struct layout_header *header) {
    uint64_t ready = load_flag(&header->recording.lanes) ^ LAYOUT_LANES_WORD;
    return ready <= LANES_MOST ? (unsigned)ready : 0;
}
static inline void layout_set_lanes_ready(struct layout_header *header, unsigned ready) {
    store_seq(&header->recording.lanes, LAYOUT_LANES_WORD ^ ready);
}

/* The blocks of the annex. */
static inline unsigned char *layout_small(void *memory, const struct layout_geometry *geometry) {
    return (unsigned char *)memory + layout_small_at(geometry);
}

static inline unsigned char *layout_data(void *memory, const struct layout_geometry *geometry) {
    return (unsigned char *)memory + geometry->data_at;
}

#endif
