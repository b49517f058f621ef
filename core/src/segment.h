/* segment.h: the layout of a shared pool in memory, and the judgement whether a file holds one.
 *
 *     header   one page: what never changes, with a checksum; then the words that waiting and the gate need
 *     slots    47 × 256 bytes: the processes that are attached
 *     ledger   8 bytes a block
 *     records  16 bytes a block
 *     bitmap   bitmap_bytes(blocks)
 *     data     blocks × block_size, on a page boundary
 *
 * Everything is an offset, and follows from block_size and blocks; the header repeats it to be checked. Nothing that a header
 * says is believed: segment_read computes the layout anew from the two numbers, compares it with the header and with
 * the real size of the file, and hands out the private copy.
 */
#ifndef BLOCKPOOL_SEGMENT_H
#define BLOCKPOOL_SEGMENT_H

#include "shared.h"

#define SEGMENT_MAGIC UINT64_C(0x006c6f6f706b6c62) /* "blkpool" */
#define SEGMENT_VERSION 2u                         /* of the layout */
#define SEGMENT_LIBRARY "0.1.0" /* the release that makes such segments; a test compares it with the package's */
#define SEGMENT_PAGE UINT64_C(4096)
#define SEGMENT_SLOTS 47u /* for processes */
#define SEGMENT_ID_BYTES 16u
#define SEGMENT_MADE_BY_BYTES 24u
#define SEGMENT_MOST_BYTES (UINT64_C(1) << 46)

#define SEGMENT_PERMANENT 1u /* flags: stays until it is unlinked */
#define SEGMENT_DETACH 2u    /* what its maker wants for forked children, for those who attach it: MEMBER_FORK_DETACH */

/* What never changes once the segment can be seen. */
struct segment_geometry {
    uint64_t magic;
    uint32_t version;
    uint32_t flags;
    uint64_t block_size;
    uint64_t blocks;
    uint64_t slots_at, ledger_at, records_at, bitmap_at, data_at;
    uint64_t bytes;
    unsigned char id[SEGMENT_ID_BYTES];
    uint64_t checksum; /* of all before */
};
_Static_assert(sizeof(struct segment_geometry) == 104, "written to shared memory");

struct segment_header {
    struct segment_geometry geometry;
    char made_by[SEGMENT_MADE_BY_BYTES]; /* the release of the library, for people; empty in the oldest */
    struct shared_waiting waiting;
    atomic_word gate_process; /* who holds the gate, or held it last; for people */
    atomic_word gate_oldest;  /* who has waited for it longest, see gate.c */
    char rest[SEGMENT_PAGE - 208];
};
_Static_assert(sizeof(struct segment_header) == SEGMENT_PAGE, "one page");
_Static_assert(offsetof(struct segment_header, waiting) == 128, "a cache line of its own");

struct segment_slot {
    atomic_word used; /* 0 free, 1 used; becomes free only under the gate */
    atomic_word process;
    atomic_word start; /* os_process_start */
    char command[104]; /* for people */
    /* counted by the slot's own process, with plain stores; a line of their own */
    atomic_word allocations, unused, failures, peak;
    char rest[96];
};
_Static_assert(sizeof(struct segment_slot) == 256, "whole cache lines");
_Static_assert(offsetof(struct segment_slot, allocations) == 128, "apart from what others read");

enum segment_verdict {
    SEGMENT_OK,
    SEGMENT_NO_POOL,   /* no magic: something else */
    SEGMENT_OTHER,     /* of another version of the layout */
    SEGMENT_DAMAGED,   /* checksum or numbers contradict */
    SEGMENT_TRUNCATED, /* the file is shorter or longer than it should be */
};

/* Fills in the layout for the two numbers; false when they are out of range. block_size is a multiple of 8, 1 <= blocks <= 2^24. */
bool segment_plan(struct segment_geometry *geometry, uint64_t block_size, uint64_t blocks);

/* Makes a segment in zeroed memory of geometry->bytes: everything free. Completes the checksum. */
void segment_make(void *memory, struct segment_geometry *geometry);

/* Judges a copy of the first bytes of a file of `file_bytes`. */
enum segment_verdict segment_judge(const struct segment_geometry *geometry, uint64_t file_bytes);

/* Makes *shared a view of a segment whose geometry was judged. */
void segment_view(struct shared *shared, void *memory, const struct segment_geometry *geometry);

static inline struct segment_slot *segment_slot(void *memory, const struct segment_geometry *geometry, unsigned slot) {
    return (struct segment_slot *)((char *)memory + geometry->slots_at) + slot;
}

static inline unsigned char *segment_data(void *memory, const struct segment_geometry *geometry) {
    return (unsigned char *)memory + geometry->data_at;
}

#endif
