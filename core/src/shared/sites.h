/* sites.h: debug mode of shared pools: patterns in the memory of runs, and who allocated and freed them, kept in the
 * segment, so that every process can tell, also of one that is dead.
 *
 * A pool with LAYOUT_DEBUG has a SITE a block (layout.h). The memory of its runs is filled as by CPython's allocator:
 *
 *     SITE_CLEAN   allocated, not written yet
 *     SITE_CANARY  between the bytes that were asked for and the end of the run's last block
 *     SITE_DEAD    freed
 *
 * WHO FREES A RUN FILLS IT, whichever process that is: sites_end runs while the head is
 * CLOSING, so nobody else has the run, and its site is written by one process at a time. A process may die there at any
 * step; the process that recovers the run goes through the hook once more. So each step is marked in the site:
 *
 *     state     of the run that begins at the block: generation << 2 |
 *               SITE_ISSUED    its owner has it, filled: the process that frees it looks at the canary
 *               SITE_REPORTED  the same, but somebody has been told already that the canary is damaged
 *               SITE_ENDING    the canary was looked at; some of the blocks may be SITE_DEAD by now
 *               SITE_OVER      nothing is left to do
 *     dead      SITE_IS_DEAD: every byte of the block was SITE_DEAD when this was written. Cleared before, and set
 *               after the block is filled.
 *     damage    what the hook found in the canary; kept until an allocation of the block reports it
 *
 * A run whose owner died before it was issued has an older generation in its state: then there is no canary to look at,
 * and its blocks are as they were before. The story (who, where, how large) is copied to the site of every block of the
 * run as it ends, because the blocks may go to different runs later.
 *
 * ALLOCATING in a debug pool is shared_pool_allocate, then sites_issue, before anybody learns of the run. A caller that
 * is told of damage drops the run again, and may try once more: each finding is told once.
 *
 * NOTHING HERE IS TRUSTED: numbers are compared with the pool's size, texts have a bounded length, and their bytes may
 * be anything. Where a run begins, and how long it is, is asked of the ledger.
 *
 * REJECTED: a quarantine, as private pools have (one for all processes would need a lock that a stopped process could
 * hold); a table of stacks that sites refer to (smaller, but who may remove an entry cannot be known without counting,
 * and a process may die between the two).
 */
#ifndef BLOCKPOOL_SITES_H
#define BLOCKPOOL_SITES_H

#include "shared/attachment.h"

#define SITE_CLEAN 0xCDu
#define SITE_CANARY 0xFDu
#define SITE_DEAD 0xDDu

#define SITE_IS_DEAD UINT64_C(0x6465616462797465)
#define SITE_TEXT_WORDS 56u
#define SITE_TEXT_MOST (SITE_TEXT_WORDS * 8u) /* bytes of a stack */

enum site_state { SITE_OVER, SITE_ISSUED, SITE_REPORTED, SITE_ENDING };

/* Who did something, and when. */
struct site_call {
    atomic_word process, thread;
    atomic_word when; /* os_seconds */
    atomic_word length;
};

struct site {
    atomic_word state, dead;
    atomic_word damage; /* 0: none; else (offset in the run, one up) << 8 | the byte */
    atomic_word generation, index, blocks, nbytes;
    struct site_call allocated, freed;
    atomic_word spare;
    atomic_word allocated_text[SITE_TEXT_WORDS], freed_text[SITE_TEXT_WORDS];
};
_Static_assert(sizeof(struct site) == LAYOUT_SITE_BYTES, "written to shared memory");

/* Who calls: a thread, and the text of its stack. Without a text, that is not known. */
struct site_caller {
    uint64_t thread;
    const void *text;
    unsigned length; /* at most SITE_TEXT_MOST */
};

/* A copy of what a site tells of a run. */
struct site_story {
    uint64_t index, blocks, nbytes;
    struct site_told {
        uint64_t process, thread;
        double age; /* seconds */
        unsigned length;
        char text[SITE_TEXT_MOST];
    } allocated, freed; /* .freed.process is 0 while the run lives */
};

struct site_finding {
    enum site_found {
        SITE_SOUND,
        SITE_OVERRUN, /* the canary is damaged */
        SITE_WRITTEN, /* something wrote to it after it was freed */
    } found;
    uint64_t block;
    uint64_t at;   /* byte of the run */
    unsigned byte; /* what is there */
    bool known;    /* whether the story is that of the run; else only the block is known */
    struct site_story story;
};

static inline bool sites_are_kept(const struct attachment *attachment) {
    return attachment->geometry.flags & LAYOUT_DEBUG;
}

/* Does the work of the process that frees a run of n blocks, in a debug pool, while its head is CLOSING. */
void sites_end(struct attachment *attachment, uint64_t index, uint64_t n);

/* Prepares a run that this process has just allocated, and `nbytes` of which were asked for. False: it found damage,
 * and changed nothing else; the caller drops the run. */
bool sites_issue(struct attachment *attachment, const struct pool_run *run, uint64_t nbytes,
                 const struct site_caller *caller, struct site_finding *finding) __attribute__((warn_unused_result));

/* Looks at the canary of a run that this process holds. False: it is damaged, and who frees the run will not report it
 * once more. */
bool sites_are_sound(struct attachment *attachment, const struct pool_run *run, struct site_finding *finding)
    __attribute__((warn_unused_result));

/* The finding was not told after all. */
void sites_take_back(struct attachment *attachment, const struct pool_run *run);

/* What the runs that this thread frees from now on are told of it; the caller keeps it until it sets another, or
 * NULL. */
void sites_set_caller(const struct site_caller *caller);

/* Frees a run as attachment_free does, in the name of the caller; finding->found tells whether its slack was whole. */
enum pool_status attachment_free_watched(struct attachment *attachment, const struct pool_run *run, uint32_t *extra,
                                         const struct site_caller *caller, struct site_finding *finding)
    __attribute__((warn_unused_result));

/* Copies the story of a live run; false if there is none. For attachments and looks. */
bool sites_story(const struct attachment *attachment, const struct pool_run *run, struct site_story *story);

/* The damage found at the end of a run that began at block `from` or later, and not reported yet; false if there is
 * none. For attachments and looks. */
bool sites_next_damage(const struct attachment *attachment, uint64_t from, struct site_finding *finding);

#endif
