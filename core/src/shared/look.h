/* look.h: looking at a shared pool without taking part in it: for tools, and for audits that change nothing.
 *
 * A LOOK is a struct attachment without a slot. The segment is mapped for reading only, so whatever goes wrong, the
 * pool is not changed. The look holds nothing, counts nowhere, and keeps no process from attaching: `processes` is
 * what it was, and the last process still finds that it is the last. Functions that only read work on a look:
 * attachment_count, attachment_process, attachment_next_name, those of shared_pool.h that take a const pool, and those
 * here. No other may be called with one; attachment_leave does nothing.
 *
 * NOTHING WAITS, AND NOTHING IS RECOVERED. A look needs no gate. What a dead process held counts as held until somebody
 * recovers it, and what it left half done as in transit. Everything may change while it is read; every index and
 * length that comes from the segment is checked, as in shared_pool.h, so damage changes answers and nothing else.
 *
 * WHO IS ALIVE is asked of the kernel, see slots.h. The lock of this process's own attachment belongs to another
 * description than the look's, so it is seen as well.
 *
 * THE POOL MAY END, and another may get its name. The look keeps its file, and says whether the name is still that of
 * the file. A file that is cut short is another matter: no process can read a page that is gone without a SIGBUS. The
 * file of a pool without a name is sealed against that; that of a named pool cannot be, as the kernel has no seals for
 * files with names. Nothing in this library shortens a file, and who does ends all processes that use the pool.
 * look_is_whole asks before each answer, so a file that was cut earlier is noticed; what remains is a file that is cut
 * during an answer.
 *
 * FORK. A look is registered like an attachment with ON_FORK_NOTHING, and everything of it is opened and closed under
 * the gate mutex. So in a child of fork() its mapping and its descriptor are gone before any other code runs, and the
 * child finds that it is a stray; the child of a bare clone() finds that too, by the page at `alive`. The descriptor is
 * close-on-exec.
 *
 * REJECTED: copies made by read(), as sweep.c has them for a few words: an audit must look at a word again to tell
 * damage from change. A mapping that forked children do not inherit (MADV_DONTFORK): the child of a bare clone() might
 * later unmap what else lies there.
 */
#ifndef BLOCKPOOL_LOOK_H
#define BLOCKPOOL_LOOK_H

#include "shared/attachment.h"

/* Looks at the pool of that name. *file is what has the name, all zero if it cannot be opened; also if it is no pool
 * that can be looked at, which the status then says. */
enum pool_status look_open(struct attachment *look, const char *name, struct os_file *file,
                           struct pool_failure *failure) __attribute__((warn_unused_result));

/* Looks at the pool that descriptor `number` of a process refers to; process 0 is this one. POOL_NOT_FOUND also if `id`
 * is not NULL and the pool has another one. */
enum pool_status look_open_through(struct attachment *look, pid_t process, int number, const unsigned char *id,
                                   struct os_file *file, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Looks at the pool of an attachment of this process. */
enum pool_status look_open_beside(struct attachment *look, struct attachment *attachment, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Whether an attachment is a look. */
static inline bool look_is_one(const struct attachment *attachment) {
    return attachment->slot == SLOTS_NONE && !attachment_is_stray(attachment);
}

/* POOL_OK if the file still has the size it should have, or cannot be asked; POOL_TRUNCATED otherwise. */
enum pool_status look_is_whole(const struct attachment *attachment);

/* Whether the name by which the pool was opened is still that of its file. */
bool look_has_name(const struct attachment *attachment);

/* The release of the library that made the pool, for people; empty if that is damaged. */
void look_made_by(const struct attachment *attachment, char made_by[LAYOUT_MADE_BY_BYTES]);

/* What is known of an attached process. Numbers may come from a damaged segment. */
struct look_process {
    uint64_t process, start;                       /* as in struct slot_record */
    uint64_t allocations, failures, waits, waited; /* since it was attached */
    char command[sizeof((struct slot_record *)0)->command];
};

/* The slots in use, and of these the ones whose process is known to be dead. *known is false if that cannot be
 * known. */
void look_slots(struct attachment *attachment, struct slot_set *used, struct slot_set *dead, bool *known);

/* What is known of the process in a slot. */
void look_slot(const struct attachment *attachment, unsigned slot, struct look_process *found);

/* The process that is in the gate now: its id, or 0 if none is or that cannot be known. */
uint64_t look_gate(struct attachment *attachment);

/* When the pool was made, seconds since the epoch; for people. */
uint64_t look_created(const struct attachment *attachment);

/* What is known of a queue, a topic or a latest value. With others at work, the numbers are not of one moment. */
struct look_queue {
    struct pool_run run; /* in the annex */
    enum queue_kind kind;
    unsigned flags;          /* QUEUE_REDELIVERS, QUEUE_PERMANENT */
    uint64_t capacity;       /* of a topic: its history */
    uint64_t waiting, taken; /* messages */
    uint64_t put, lost;      /* so far; dropped for want of room */
    unsigned cursors;        /* readers that publishers wait for */
    bool shut;
    struct slot_set holders; /* which slots have it open */
};

/* The next queue at block `from` of the annex or later, and the next message of a queue at such a block; false if there
 * is none. For attachments and looks. */
bool look_next_queue(struct attachment *attachment, uint64_t from, struct look_queue *found);
bool look_next_message(struct attachment *attachment, const struct pool_run *queue, uint64_t from,
                       struct queue_look *found);

/* Audits as shared_pool_check does while others are at work: heals nothing, recovers nothing, waits for nothing. For
 * attachments and looks. */
void look_check(const struct attachment *attachment, struct shared_pool_fault *faults, uint64_t most,
                struct shared_pool_audit *audit);

#endif
