/* attachment.h: a process's attachment in a shared pool: attach, allocate, free, pass on, recover, leave, fork.
 *
 * An attachment is private to the process and covers one segment. Its slot's bit in the ledger says that the process has at least one
 * reference to a run; how many more there are within the process is counted here, in `extra`, under `lock`. The lock is
 * held for a few dozen instructions in which nothing blocks, and across a fork; allocation does without it. A call that does
 * not get it soon returns POOL_LOCKED and has done nothing: before the next try the caller may let go of what it holds itself. What
 * several processes decide together (attach, leave, recover, remove the name) they do under the gate, see slots.h.
 *
 * FORK. Every fork() of the process, also one that other code calls, runs the handlers in fork.c, right before the kernel forks and
 * right after; nobody has to call anything. They go through all attachments of the process, those too that another thread is just
 * making or ending. The order of the locks: the process's mutex (gate.c), so that nothing is half opened; then each attachment's lock, so
 * that no count is half changed. Both are held for a few instructions and by threads that wait for nobody; so does whoever drops a
 * reference beside a fork.
 *
 *   before   For each attachment with ON_FORK_SHARE the parent takes a slot for the child, through a description that carries the
 *            slot's lock, and makes the slot a holder of all that the parent holds. So the child is a process like any before it
 *            exists: killed at once, it is a dead one. This needs no gate, see slots.h; only when no slot is free, the gate is tried,
 *            to recover the dead.
 *   parent   closes the description; the child's copy keeps the lock.
 *   child    maps the page that keeps the lock from now on, closes the description, and signs the slot. Nobody waits in it.
 *
 * A child that gets no part (ON_FORK_DETACH, no slot, no descriptor, no memory for the page) keeps the addresses and nothing else:
 * the pages are inaccessible, so that no old pointer reads zeros or what others have there now. `fate` says why, every call is
 * POOL_STRAY, and a line on stderr says so where the program faults. With ON_FORK_NOTHING, which is how an attachment begins, the child
 * unmaps and closes all: nobody can have a pointer yet.
 *
 * vfork() and posix_spawn() run no handlers, and need none: the child shares the memory until it runs another program. A child of a bare
 * clone() is a stray: in it *alive reads zero, and every call is POOL_STRAY; its old pointers we cannot take away. No other thread
 * may be inside attachment_allocate on behalf of the forking one: a run that is handed out between the handlers is not the child's.
 *
 * Functions may be called from any thread, and not after attachment_leave; those that wait say so.
 */
#ifndef BLOCKPOOL_ATTACHMENT_H
#define BLOCKPOOL_ATTACHMENT_H

#include "os/limits.h"
#include "shared/slots.h"

enum pool_status {
    POOL_OK,
    POOL_EXHAUSTED,     /* no such run is free */
    POOL_STALE,         /* the handle's run is no more */
    POOL_IN_USE,        /* others hold the run too */
    POOL_TICKETS,       /* too many tickets of the run are in flight */
    POOL_CORRUPT,       /* the segment holds what this library never writes */
    POOL_STRAY,         /* this process is a fork that the pool does not know */
    POOL_FULL,          /* all slots are taken */
    POOL_BUSY,          /* somebody else had the gate all the time */
    POOL_EXISTS,        /* the name is taken */
    POOL_NOT_FOUND,     /* no pool of that name */
    POOL_FORBIDDEN,     /* another user's, or not to be opened */
    POOL_NO_POOL,       /* the file holds something else */
    POOL_OTHER_VERSION, /* the file is a pool of another layout version, older or newer */
    POOL_TRUNCATED,     /* the file's size is not what its header says */
    POOL_NO_ROOM,       /* not so much memory */
    POOL_NO_DESCRIPTOR, /* the process, or the system, has as many files open as it may */
    POOL_NO_MAPPING,    /* the kernel has no address space or no memory for a mapping */
    POOL_NO_PROC,       /* there is no /proc of this process, by which an open file is opened again */
    POOL_NO_DIRECTORY,  /* there is no directory of shared memory */
    POOL_UNREACHABLE,   /* the program closed the pool's descriptor, and nobody else has the file open */
    POOL_SYSTEM,        /* the kernel refused otherwise: see .error */
    POOL_STOPPED,       /* the request's pause said so */
    POOL_LOCKED,        /* another thread of this process is at it, or forks: let it run, and call again */
};

/* What a failure was about. */
struct pool_failure {
    int error;                 /* negative errno, of what the kernel refused */
    uint64_t process;          /* who has the gate, of POOL_BUSY; this process when it is another of its threads */
    uint64_t asked;            /* bytes with all bookkeeping, of POOL_NO_ROOM */
    uint64_t available;        /* bytes, of POOL_NO_ROOM */
    char limit[OS_LIMIT_MOST]; /* what leaves no more, of POOL_NO_ROOM: OS_SHM_DIRECTORY, or as in struct os_limit */
    enum pool_status found;    /* what has the name, of POOL_EXISTS: POOL_OK for a pool */
    uint32_t version;          /* of the layout, of POOL_OTHER_VERSION */
    /* the release of the library that made it, of POOL_OTHER_VERSION; empty when it does not say */
    char made_by[LAYOUT_MADE_BY_BYTES];
};

/* What a forked child gets. */
enum attachment_on_fork {
    ON_FORK_NOTHING, /* not even the addresses: nobody has a pointer into the pool */
    ON_FORK_SHARE,   /* a part in the pool, and a reference to all that the parent holds */
    ON_FORK_DETACH,  /* no part */
};

/* Why a process has no part in the pool. */
enum attachment_fate {
    FATE_HAS_PART,
    FATE_LEFT,       /* it left */
    FATE_DETACHED,   /* forked with ON_FORK_DETACH */
    FATE_NO_SLOT,    /* forked while all slots were taken by the living */
    FATE_SLOTS_BUSY, /* the same, and some were dead, but another process kept the gate */
    FATE_REFUSED,    /* the kernel gave its parent no descriptor for it, or the child no mapping: fate_error */
    FATE_UNKNOWN,    /* made by a bare clone() */
};

struct attachment {
    struct shared_pool shared;
    unsigned slot;
    atomic_word *alive; /* reads 1 in the process that is the attachment, 0 in a stray child */
    atomic_word lock;
    uint32_t *local_references; /* per block: references of this process beyond the first */
    void *memory;
    struct layout_geometry geometry;
    struct slot_record *slot_record;
    struct os_descriptor file;
    double seek_again; /* when to look for the file again after a vain search, see descriptor.c */
    void *lock_page;
    unsigned waiters; /* threads of this process that wait; under lock */
    uint32_t forks;   /* since the process that began: tells waits of a parent from those of its child */
    enum attachment_on_fork on_fork;
    enum attachment_fate fate;
    int fate_error;
    struct attachment_child { /* between the two halves of a fork: what the child gets */
        unsigned slot;        /* or SLOTS_NONE */
        int description;
        enum attachment_fate fate;
        int error;
    } child;
    struct attachment *next;         /* of this process */
    char name[OS_SHM_NAME_MOST + 1]; /* empty without one */
};

struct attachment_request {
    const char *name; /* NULL for a pool without one */
    uint64_t block_size, blocks;
    bool permanent;
    bool detach;           /* recorded with the pool, for the processes that attach it */
    double gate_seconds;   /* how long to wait for the gate */
    struct os_pause pause; /* asked while the kernel finds the memory */
};

/* Makes a pool and becomes its first attachment. May wait for the gate of a leftover of that name. The first call of a process
 * sweeps, and so does one for which there is no room. What the request's pause lets in may fork: the child begins again. */
enum pool_status attachment_create(struct attachment *attachment, const struct attachment_request *request,
                                   struct pool_failure *failure) __attribute__((warn_unused_result));

/* Becomes an attachment of the pool of that name. Waits for the gate. */
enum pool_status attachment_attach(struct attachment *attachment, const char *name, double gate_seconds,
                                   struct pool_failure *failure) __attribute__((warn_unused_result));

/* Becomes an attachment of the pool that descriptor `number` of a process is of, process 0 being this one; POOL_NOT_FOUND also when that
 * is another pool than the one of the id, unless it is NULL. Waits for the gate. */
enum pool_status attachment_attach_through(struct attachment *attachment, pid_t process, int number,
                                           const unsigned char *id, double gate_seconds, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Gives back all that the process holds, and then under the gate its slot; the last one to leave a pool that is not permanent
 * removes its name. The memory stays mapped, and the lock in force, until attachment_unmap. Waits for the gate; if in vain, the process
 * counts as dead once it is gone, which comes to the same. No other thread may be at work in the pool. */
void attachment_leave(struct attachment *attachment, double gate_seconds);

/* Unmaps everything. */
void attachment_unmap(struct attachment *attachment);

/* Removes the name, if it still is that of the pool with this id, or, with NULL, whatever has it (a directory excepted:
 * POOL_NO_POOL). Attachments go on. Waits for the gate of a pool. */
enum pool_status pools_unlink(const char *name, const unsigned char *id, double gate_seconds,
                              struct pool_failure *failure) __attribute__((warn_unused_result));

/* Allocates a run of n blocks, with so much slack at its end. */
enum pool_status attachment_allocate(struct attachment *attachment, uint64_t n, uint64_t slack, struct pool_run *run)
    __attribute__((warn_unused_result));

/* One reference of this process less; *freed tells whether that freed the run. */
enum pool_status attachment_drop(struct attachment *attachment, const struct pool_run *run, bool *freed)
    __attribute__((warn_unused_result));

/* Frees the run if this is its only reference anywhere; else POOL_IN_USE, and *word and *extra tell who has others. */
enum pool_status attachment_free(struct attachment *attachment, const struct pool_run *run, uint64_t *word,
                                 uint32_t *extra) __attribute__((warn_unused_result));

/* Puts n references in flight. */
enum pool_status attachment_share(struct attachment *attachment, const struct pool_run *run, uint64_t n)
    __attribute__((warn_unused_result));

/* One reference of this process more, of the run that index and generation name. */
enum pool_status attachment_add_reference(struct attachment *attachment, struct pool_run *run)
    __attribute__((warn_unused_result));

/* The same, and takes one out of flight, if there is one. */
enum pool_status attachment_redeem(struct attachment *attachment, struct pool_run *run)
    __attribute__((warn_unused_result));

/* Takes one reference to a run that this process holds out of flight; says whether there was one. */
bool attachment_withdraw(struct attachment *attachment, const struct pool_run *run);

/* Brings back what dead processes held, and drops tickets older than so many seconds (negative: none). Waits for the gate;
 * 0 seconds only tries. *slots and *tickets tell how many were recovered and dropped. */
enum pool_status attachment_recover(struct attachment *attachment, double gate_seconds, double ticket_seconds,
                                    unsigned *slots, uint64_t *tickets, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Audits, under the gate; see shared_pool_check. */
enum pool_status attachment_check(struct attachment *attachment, double gate_seconds, struct shared_pool_fault *faults,
                                  uint64_t most, struct shared_pool_audit *audit, struct pool_failure *failure)
    __attribute__((warn_unused_result));

struct attachment_counts {
    uint64_t processes; /* attached and not known to be dead */
    uint64_t allocations, failures;
    uint64_t peak; /* the most blocks that any slot has noted */
};

/* Folds what all slots counted, now and before. */
void attachment_count(struct attachment *attachment, struct attachment_counts *counts);

/* The process in a slot, or 0. */
pid_t attachment_process(const struct attachment *attachment, unsigned slot);

/* Reads the id of the pool of that name, without attaching. */
enum pool_status pools_identify(const char *name, unsigned char id[LAYOUT_ID_BYTES])
    __attribute__((warn_unused_result));

/* A waiter's steps, in this order: enter; repeat { sequence; try to allocate; recover now and then; sleep }; leave. *wait is the
 * wait's own. A thread that forked on the way is no waiter in the child: there attachment_wait_is_over says so, and it may enter again;
 * leaving does no harm. */
enum pool_status attachment_wait_enter(struct attachment *attachment, uint32_t *wait)
    __attribute__((warn_unused_result));
uint32_t attachment_wait_sequence(const struct attachment *attachment);
void attachment_wait_sleep(struct attachment *attachment, uint32_t sequence, double seconds);
enum pool_status attachment_wait_leave(struct attachment *attachment, uint32_t wait)
    __attribute__((warn_unused_result));

static inline bool attachment_wait_is_over(const struct attachment *attachment, uint32_t wait) {
    return wait != attachment->forks;
}

/* Leaves every pool, for the end of the process, at which other threads may still be at work in the memory. The last living process
 * removes the name. What this one holds, and its slot, it gives back only if it has no other thread; else they come back when the
 * process has ended. Waits for the gates, so many seconds in all. */
void attachment_exit(double gate_seconds);

/* Removes what killed groups left behind: every pool of this user in the directory of shared memory that is not permanent and
 * has no living process. It looks without joining, see sweep.c. Returns how many. */
unsigned pools_sweep(void);

/* How the files of pools that have names begin; what follows is the name that the program knows. */
#define POOLS_PREFIX "blockpool."

#define POOLS_SURVEYED 3

/* What takes room in the directory of shared memory and was not swept. */
struct pools_survey {
    struct pools_surveyed {
        char name[OS_SHM_NAME_MOST + 1]; /* of the file */
        uint64_t bytes;
        enum pool_status is;   /* POOL_OK, or why nobody can attach it */
        bool used;             /* a process has it, or may have it */
    } largest[POOLS_SURVEYED]; /* the largest first */
    uint64_t count, bytes;     /* of all */
};

/* Looks at all files of this user's that are named as pools are. */
void pools_survey(struct pools_survey *survey);

static inline bool attachment_is_stray(const struct attachment *attachment) {
    return attachment->alive == NULL || load_relaxed(attachment->alive) == 0;
}

/* Why the process is a stray. */
static inline enum attachment_fate attachment_why_stray(const struct attachment *attachment) {
    return attachment->fate == FATE_HAS_PART ? FATE_UNKNOWN : attachment->fate;
}

#endif
