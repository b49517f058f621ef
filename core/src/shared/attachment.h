/* attachment.h: a process's attachment to a shared pool: attach, allocate, free, pass on, recover, leave, fork.
 *
 * An attachment is private to the process and covers one segment. The ledger says whether its slot holds a run, that is
 * whether the process has at least one reference; further references within the process are counted here, in
 * `local_references`, under `lock`. The lock is held for a few dozen instructions in which nothing blocks, and across a
 * fork. Allocating does not need it, nor does freeing a run that had no other holder, see shared_pool_drop_alone. A
 * call that does not get it soon returns POOL_LOCKED and has done nothing, so that before the next try the caller can
 * release locks of its own. What processes must decide together (attach, leave, recover, remove the name) happens under
 * the gate, see slots.h.
 *
 * FORK. Every fork() of the process, including those in other code, runs the handlers in fork.c right before and right
 * after the kernel forks; no caller has to do anything. They visit all attachments of the process, even those that
 * another thread is just making or ending. The order of locks: the gate mutex (gate.c), so that nothing is half opened;
 * then each attachment's lock, so that no count is half changed. Threads hold both for a few instructions and wait for
 * nothing meanwhile.
 *
 *   before   For each attachment with ON_FORK_SHARE the parent takes a slot for the child, through a description that
 *            carries the slot's lock, and makes the slot a holder of everything the parent holds. So even before it
 *            exists the child counts as a process of the pool; if killed at once, it is a dead one. This needs no gate,
 *            see slots.h; only if no slot is free, the parent tries the gate, to recover the dead.
 *   parent   closes the description; the child's copy keeps the lock.
 *   child    maps the page that keeps the lock from now on, closes the description, and signs the slot. It waits
 *            for nothing.
 *
 * A child that gets no part (ON_FORK_DETACH, no slot, no descriptor, no memory for the page) keeps only the addresses:
 * the pages are inaccessible, so no old pointer reads zeros or other processes' data. `fate` says why, every call
 * returns POOL_STRAY, and if the program faults there, a line on stderr explains it. With ON_FORK_NOTHING, the initial
 * setting of an attachment, the child unmaps and closes everything: there can be no pointers yet.
 *
 * vfork() and posix_spawn() run no handlers and need none: the child shares the memory until it runs another program. A
 * child of a bare clone() is a stray: *alive reads zero there, and every call returns POOL_STRAY; but nothing can be
 * done about its old pointers. During a fork, no other thread may be allocating on behalf of the forking one: a run
 * that it gets between the handlers does not belong to the child.
 *
 * Any thread may call these functions, but not after attachment_leave. Those that wait say so.
 */
#ifndef BLOCKPOOL_ATTACHMENT_H
#define BLOCKPOOL_ATTACHMENT_H

#include "os/limits.h"
#include "shared/slots.h"

enum pool_status {
    POOL_OK,
    POOL_EXHAUSTED,     /* no such run is free */
    POOL_STALE,         /* the handle's run no longer exists */
    POOL_IN_USE,        /* others hold the run too */
    POOL_TICKETS,       /* too many tickets of the run are in flight */
    POOL_CORRUPT,       /* the segment holds what this library never writes */
    POOL_STRAY,         /* this process has no part in the pool: see enum attachment_fate */
    POOL_FULL,          /* all slots are taken */
    POOL_BUSY,          /* another process or thread had the gate all the time */
    POOL_EXISTS,        /* the name is taken */
    POOL_NOT_FOUND,     /* no pool of that name */
    POOL_FORBIDDEN,     /* it belongs to another user, or may not be opened */
    POOL_NO_POOL,       /* the file holds something else */
    POOL_OTHER_VERSION, /* the file is a pool of another layout version, older or newer */
    POOL_TRUNCATED,     /* the file does not have the size its header says */
    POOL_NO_ROOM,       /* not enough memory */
    POOL_NO_DESCRIPTOR, /* the process or the system has too many open files */
    POOL_NO_MAPPING,    /* the kernel has no address space or no memory for a mapping */
    POOL_NO_PROC,       /* no /proc of this process, which reopening a file needs */
    POOL_NO_DIRECTORY,  /* no directory of shared memory */
    POOL_UNREACHABLE,   /* the program closed the pool's descriptor, and no other process has the file open */
    POOL_SYSTEM,        /* the kernel refused for another reason: see .error */
    POOL_STOPPED,       /* the request's pause ended it */
    POOL_OTHER_KIND,    /* the name belongs to something of another kind */
    POOL_QUEUE_FULL,    /* the queue has no room for the message */
    POOL_QUEUE_EMPTY,   /* the queue has no message */
    POOL_QUEUE_SHUT,    /* the queue was shut down */
    POOL_LOCKED,        /* another thread of this process is busy with it, or forks: let it run, and call again */
};

/* What a failure was about. */
struct pool_failure {
    int error;                 /* negative errno, if the kernel refused */
    uint64_t process;          /* POOL_BUSY: the holder of the gate; this process if another of its threads has it */
    uint32_t processes;        /* POOL_FULL: as many can be attached */
    uint64_t asked;            /* POOL_NO_ROOM: bytes with all bookkeeping */
    uint64_t available;        /* POOL_NO_ROOM: bytes */
    char limit[OS_LIMIT_MOST]; /* POOL_NO_ROOM: what sets the limit: OS_SHM_DIRECTORY, or as in struct os_limit */
    enum pool_status found;    /* POOL_EXISTS: what has the name; POOL_OK for a pool */
    uint32_t version;          /* POOL_OTHER_VERSION: of the layout */
    /* POOL_OTHER_VERSION: the release of the library that made it; empty if unknown */
    char made_by[LAYOUT_MADE_BY_BYTES];
};

#define STACKS_SENT 256u  /* how many stacks a process remembers to have told a recorder */
#define RECOVERED_NAMED 8 /* of how many dead processes the account says which they were */

/* What a forked child gets. */
enum attachment_on_fork {
    ON_FORK_NOTHING, /* not even the addresses: there are no pointers into the pool yet */
    ON_FORK_SHARE,   /* a part in the pool, and a reference to everything the parent holds */
    ON_FORK_DETACH,  /* no part */
};

/* Why a process has no part in the pool. */
enum attachment_fate {
    FATE_HAS_PART,
    FATE_LEFT,       /* it left */
    FATE_DETACHED,   /* forked with ON_FORK_DETACH */
    FATE_NO_SLOT,    /* forked while all slots were taken by the living */
    FATE_SLOTS_BUSY, /* the same, and some were dead, but another process held the gate */
    FATE_REFUSED,    /* the kernel refused its parent a descriptor, or the child a mapping: fate_error */
    FATE_UNKNOWN,    /* made by a bare clone() */
};

struct attachment {
    struct shared_pool shared;
    unsigned slot;
    atomic_word *alive; /* reads 1 in the process that attached, 0 in a stray child */
    atomic_word lock;
    uint32_t *local_references; /* per block: references of this process beyond the first */
    struct queues queues;       /* the annex */
    uint32_t *queue_references; /* the same per block of the annex, for queues and messages that are read */
    /* Whether this process may have anything in the annex. Set right before it opens its first queue. The annex of a
     * large pool has so many blocks that looking at each takes a millisecond. */
    atomic_word uses_queues;
    /* Per group of 64 blocks: whether this process may hold a run that begins there. Set right after it got one,
     * cleared right before it looks whether it still does. So forking and leaving cost what the process holds. */
    atomic_byte *groups;
    void *memory;
    struct layout_geometry geometry;
    struct slot_record *slot_record;
    struct os_descriptor file;
    struct os_descriptor claim; /* while it makes the pool of a name, see claim.c */
    double seek_again;          /* when to look for the file again after a failed search, see descriptor.c */
    void *lock_page;
    uint32_t lifetime;         /* of tickets: the pool's, in whole seconds; 0: none */
    uint64_t number;           /* of this attachment in this process, see recording.c */
    atomic_word no_lane;       /* the last round of a recorder in which a thread found no lane */
    struct attachment_stacks { /* that this process has told a recorder in full */
        atomic_word session;   /* of which recording */
        atomic_word numbers[STACKS_SENT];
    } stacks;
    unsigned waiters; /* threads of this process that wait; under lock */
    uint32_t forks; /* forks between the process that attached and this one: tells a parent's waits from its child's */
    enum attachment_on_fork on_fork;
    enum attachment_fate fate;
    int fate_error;
    struct attachment_child { /* between the two halves of a fork: what the child gets */
        unsigned slot;        /* or SLOTS_NONE */
        int description;
        enum attachment_fate fate;
        int error;
    } child;
    struct attachment_strays { /* children of this process that were to have a part, and have none */
        unsigned count;
        enum attachment_fate fate; /* of the last one */
        int error;
    } strays;
    struct attachment_recovered { /* what this process recovered, until it is taken; under the gate mutex */
        atomic_word processes;
        uint64_t blocks;       /* that were freed */
        atomic_word tickets;   /* that had ended, and were dropped */
        uint64_t their_blocks; /* that this freed */
        struct attachment_dead {
            uint64_t process;                                       /* 0: it was still attaching */
            char command[sizeof((struct slot_record *)0)->command]; /* what the dead process wrote: anything */
        } first[RECOVERED_NAMED];                                   /* of the processes */
    } recovered;
    struct attachment *next;         /* of this process */
    char name[OS_SHM_NAME_MOST + 1]; /* empty without one */
};

struct attachment_request {
    const char *name; /* NULL for a pool without one */
    uint64_t block_size, blocks;
    unsigned processes;    /* the most that can be attached at a time */
    uint64_t small_blocks; /* of the annex; 0: as many as layout_small_blocks says */
    bool permanent;
    bool detach;           /* recorded in the pool for the processes that attach it */
    bool debug;            /* the pool has sites, see sites.h */
    double lifetime;       /* of its tickets: seconds, at most ENDINGS_MOST; 0: they have none */
    double gate_seconds;   /* how long to wait for the gate */
    struct os_pause pause; /* asked while the kernel reserves the memory */
};

/* Creates a pool and attaches it. Waits while another process makes one of that name; then POOL_EXISTS, and nothing was
 * reserved. May wait for the gate of a leftover of that name. The first call of a process sweeps,
 * and so does one that finds no room. Code that runs in the request's pause may fork; the child starts over. */
enum pool_status attachment_create(struct attachment *attachment, const struct attachment_request *request,
                                   struct pool_failure *failure) __attribute__((warn_unused_result));

/* Attaches the pool of that name. Waits for the gate. */
enum pool_status attachment_attach(struct attachment *attachment, const char *name, double gate_seconds,
                                   struct pool_failure *failure) __attribute__((warn_unused_result));

/* Attaches the pool that descriptor `number` of a process refers to; process 0 is this one. POOL_NOT_FOUND also if `id`
 * is not NULL and the pool has another one. Waits for the gate. */
enum pool_status attachment_attach_through(struct attachment *attachment, pid_t process, int number,
                                           const unsigned char *id, double gate_seconds, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Gives back everything the process holds and then, under the gate, its slot. The last process to leave a pool that is
 * not permanent removes its name. The memory stays mapped, and the lock in force, until attachment_unmap. Waits for the
 * gate; if it does not get it, the process counts as dead once it is gone, which has the same effect. No other thread
 * may be using the pool. */
void attachment_leave(struct attachment *attachment, double gate_seconds);

/* Unmaps everything. */
void attachment_unmap(struct attachment *attachment);

/* Removes the name if it still belongs to the pool with this id; with NULL, whatever it belongs to (except a directory:
 * POOL_NO_POOL). Attachments continue to work. Waits for the gate of a pool. */
enum pool_status pools_unlink(const char *name, const unsigned char *id, double gate_seconds,
                              struct pool_failure *failure) __attribute__((warn_unused_result));

/* Allocates a run of n blocks with `slack` unused bytes at its end. */
enum pool_status attachment_allocate(struct attachment *attachment, uint64_t n, uint64_t slack, struct pool_run *run)
    __attribute__((warn_unused_result));

/* Drops one reference of this process; *freed tells whether that freed the run. */
enum pool_status attachment_drop(struct attachment *attachment, const struct pool_run *run, bool *freed)
    __attribute__((warn_unused_result));

/* Frees the run if this is its only reference anywhere. Otherwise POOL_IN_USE; *extra tells how many more references
 * this process has. */
enum pool_status attachment_free(struct attachment *attachment, const struct pool_run *run, uint32_t *extra)
    __attribute__((warn_unused_result));

/* Puts n references in flight, for as long as the pool says. */
enum pool_status attachment_share(struct attachment *attachment, const struct pool_run *run, uint64_t n)
    __attribute__((warn_unused_result));

/* The same, for so many whole seconds at least, 1 to ENDINGS_MOST; 0: without an end. The first in a pool without a
 * lifetime reserves memory: POOL_NO_ROOM, or as any call of the kernel. */
enum pool_status attachment_share_for(struct attachment *attachment, const struct pool_run *run, uint64_t n,
                                      uint32_t lifetime, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Adds one reference of this process to the run that index and generation name. */
enum pool_status attachment_add_reference(struct attachment *attachment, struct pool_run *run)
    __attribute__((warn_unused_result));

/* The same, and takes one reference out of flight if there is one. */
enum pool_status attachment_redeem(struct attachment *attachment, struct pool_run *run)
    __attribute__((warn_unused_result));

/* Takes one reference to a run that this process holds out of flight; returns whether there was one. */
bool attachment_withdraw(struct attachment *attachment, const struct pool_run *run);

/* Recovers what dead processes held, and drops tickets that have ended or are older than `ticket_seconds` (negative:
 * none are). Waits for the gate; 0 seconds only tries. *slots and *tickets tell how many processes were recovered and
 * tickets dropped. */
enum pool_status attachment_recover(struct attachment *attachment, double gate_seconds, double ticket_seconds,
                                    unsigned *slots, uint64_t *tickets, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Whether tickets may have ended that nobody dropped yet. */
bool attachment_has_ended_tickets(const struct attachment *attachment);

/* Whether some process looked for the dead a moment ago, so that one that waits need not. With many that wait, their
 * looks would take more time than all else: each asks the kernel about every slot. */
bool attachment_is_looked_after(const struct attachment *attachment);

/* Recovers the dead and audits, under the gate; see shared_pool_check. */
enum pool_status attachment_check(struct attachment *attachment, double gate_seconds, struct shared_pool_fault *faults,
                                  uint64_t most, struct shared_pool_audit *audit, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* --- names of runs, see catalog.h --- */

/* Gives the name to a run that this process holds. With `replace` the run that had it loses it; without, POOL_EXISTS.
 * POOL_FULL: the catalog is. Waits for the gate. */
enum pool_status attachment_keep(struct attachment *attachment, const char *name, const struct pool_run *run,
                                 bool replace, double gate_seconds, struct pool_failure *failure)
    __attribute__((warn_unused_result));

/* Takes the name from its run; POOL_NOT_FOUND if there is none. Waits for the gate. */
enum pool_status attachment_forget(struct attachment *attachment, const char *name, double gate_seconds,
                                   struct pool_failure *failure) __attribute__((warn_unused_result));

/* Adds one reference of this process to the run that has the name; POOL_NOT_FOUND if there is none, POOL_OTHER_KIND if
 * it is a queue's. */
enum pool_status attachment_get(struct attachment *attachment, const char *name, struct pool_run *run)
    __attribute__((warn_unused_result));

/* Copies the first name at or after entry `from` of the catalog, which run it has, and 0 if that is a block or the enum
 * queue_kind of a queue; returns the entry, or CATALOG_NAMES. */
unsigned attachment_next_name(const struct attachment *attachment, unsigned from, char name[CATALOG_NAME_BYTES],
                              struct pool_run *run, unsigned *kind);

/* --- */

struct attachment_counts {
    uint64_t processes; /* attached and not known to be dead */
    uint64_t allocations, failures;
    uint64_t waits, waited; /* how often a call waited for room, and how long, nanoseconds */
    uint64_t peak;          /* the most blocks that any slot has recorded */
};

/* Adds up the counts of all slots, current and past. */
void attachment_count(struct attachment *attachment, struct attachment_counts *counts);

/* The process in a slot, or 0. */
pid_t attachment_process(const struct attachment *attachment, unsigned slot);

/* Reads the id of the pool of that name, without attaching. */
enum pool_status pools_identify(const char *name, unsigned char id[LAYOUT_ID_BYTES])
    __attribute__((warn_unused_result));

/* A waiter's steps, in this order: enter; repeat { sequence; try to allocate; recover now and then; sleep }; leave.
 * *wait identifies the wait. If a thread forks during its wait, it is not a waiter in the child:
 * attachment_wait_is_over says so there, and it may enter again; leaving does no harm. */
enum pool_status attachment_wait_enter(struct attachment *attachment, uint32_t *wait)
    __attribute__((warn_unused_result));
uint32_t attachment_wait_sequence(const struct attachment *attachment);
void attachment_wait_sleep(struct attachment *attachment, uint32_t sequence, double seconds);
enum pool_status attachment_wait_leave(struct attachment *attachment, uint32_t wait)
    __attribute__((warn_unused_result));

static inline bool attachment_wait_is_over(const struct attachment *attachment, uint32_t wait) {
    return wait != attachment->forks;
}

/* Leaves every pool when the process ends, at which time other threads may still use the memory. The last process that
 * is neither dead nor at its end removes the name. The process gives back its slot and what it holds only if it has no
 * other thread; otherwise others recover them after its end. Waits for the gates, that many seconds in all. */
void attachment_exit(double gate_seconds);

/* Removes the pools that killed processes left behind: every pool of this user in the directory of shared memory that
 * is not permanent and has no living process. Looks without attaching, see sweep.c. Returns how many. */
unsigned pools_sweep(void);

#define SWEPT_NAMED 8

/* What this process's sweeps removed, including those that creating a pool makes. */
struct pools_swept {
    uint64_t count, bytes;
    char names[SWEPT_NAMED][OS_SHM_NAME_MOST + 1]; /* of the first files */
};

/* Takes the account of that since the last call; returns whether there was anything. */
bool pools_take_swept(struct pools_swept *taken);

/* The prefix of the files of named pools; the name that the program uses follows. */
#define POOLS_PREFIX "blockpool."

#define POOLS_SURVEYED 3

/* What takes up the directory of shared memory after a sweep. */
struct pools_survey {
    struct pools_surveyed {
        char name[OS_SHM_NAME_MOST + 1]; /* of the file */
        uint64_t bytes;
        enum pool_status is;   /* POOL_OK, or why it cannot be attached */
        bool used;             /* a process has it attached, or may have */
    } largest[POOLS_SURVEYED]; /* the largest first */
    uint64_t count, bytes;     /* of all */
};

/* Looks at all files of this user that have names like pools. */
void pools_survey(struct pools_survey *survey);

static inline bool attachment_is_stray(const struct attachment *attachment) {
    return attachment->alive == NULL || load_relaxed(attachment->alive) == 0;
}

/* Which forked children have no part although they should, since the last call. */
struct attachment_strays attachment_take_strays(struct attachment *attachment);

/* Whether this process recovered dead ones, or dropped tickets that had ended, since the last
 * attachment_take_recovered(), by whatever call. */
static inline bool attachment_has_recovered(const struct attachment *attachment) {
    return load_relaxed(&attachment->recovered.processes) != 0 || load_relaxed(&attachment->recovered.tickets) != 0;
}

/* Takes the account of that. */
void attachment_take_recovered(struct attachment *attachment, struct attachment_recovered *recovered);

/* Why the process has no part. */
static inline enum attachment_fate attachment_why_stray(const struct attachment *attachment) {
    return attachment->fate == FATE_HAS_PART ? FATE_UNKNOWN : attachment->fate;
}

#endif
