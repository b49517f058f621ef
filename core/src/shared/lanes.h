/* lanes.h: where threads put what they allocate and free while a pool is recorded, and where the recorder takes it.
 *
 * A LANE is a ring of events with one thread that puts and one recorder that takes. So putting an event is three plain
 * stores, without a locked instruction and without a kernel call: recording may cost a tenth of an allocation, and a
 * locked instruction costs more than that.
 *
 *     owner   the thread whose lane it is: its process's slot and what the kernel calls it. A thread takes a
 *             lane by a compare-and-swap: one of nobody, of a slot that is not used, or of a thread that has ended.
 *             A living thread's lane is never taken away, and a stopped process keeps its own; so no event is written
 *             by two threads. A process that gets a slot clears the lanes of its dead predecessor there. Slots and the
 *             kernel's numbers come again, so a number goes up with each taking: who saw that an owner was gone, and
 *             was held up, cannot take the lane from the next one of that name.
 *     head    how many cells were put, ever: stored after the cells, by the owner
 *     tail    how many were taken, ever: stored after they were copied, by the recorder
 *     lost    how many events found no room. An event never waits, and never overwrites one.
 *     told    in which recording the lane last said who its owner is
 *
 * A thread that dies while it puts leaves cells beyond the head, which the next owner overwrites. An owner that reads
 * an old tail sees too little room, never too much; a recorder that reads an old head takes the rest next time.
 *
 * Not every event has a time of its own, because reading a clock costs more than all else. A thread that is in no hurry
 * puts the time before each event, one in a tight loop puts it every few microseconds; the others lie in between.
 *
 * REJECTED: one ring for all threads (a locked instruction an event, and its cache line goes from core to core); a ring
 * that overwrites what nobody took (a slow writer and a fast one a lap later would mix their words).
 */
#ifndef BLOCKPOOL_LANES_H
#define BLOCKPOOL_LANES_H

#include "os/atomic.h"
#include "os/thread.h"

#ifndef LANES_MOST
#define LANES_MOST 64u
#endif
#ifndef LANE_CELLS
#define LANE_CELLS UINT64_C(16384) /* a power of two */
#endif
#ifndef LANE_STAMP_EVERY
#define LANE_STAMP_EVERY 256u /* cells, from one time to the next at most; for so many there is room after a time */
#endif

/* What a cell holds, in the low 8 bits of its first word. */
enum lane_kind {
    LANE_ALLOCATED = 1, /* bytes that were asked for << 8; generation << 24 | first block */
    LANE_FREED,         /* 0; generation << 24 | first block */
    LANE_OWNER,         /* 0; process << 32 | thread, as the kernel numbers them: the events that follow are theirs */
    LANE_TIME,          /* 0; nanoseconds on the monotonic clock, right before the event that follows */
    LANE_STACK,         /* the stack's number << 8; the run that it allocated */
    LANE_TEXT, /* the stack's number << 8; length of its text, which follows in as many LANE_MORE as it takes */
    LANE_MORE, /* 0; 8 bytes of a text */
    /* The recorder itself adds these as it takes. */
    LANE_TAKEN, /* the lane's number << 8; how many cells follow that are from it */
    LANE_NOW,   /* 0; the time when the heads of all lanes had been read that follow */
    LANE_LOST,  /* the lane's number << 8, or LANES_MOST << 8 for threads that had none; events lost there */
};

struct lane_cell {
    atomic_word what, value;
};

struct lane {
    /* written by its owner */
    atomic_word owner; /* see lane_owner */
    atomic_word head, lost;
    atomic_word seen; /* the tail as the owner last saw it */
    atomic_word told;
    atomic_word spare[3];
    /* written by the recorder */
    atomic_word tail;
    atomic_word lost_told;
    atomic_word room[6];
};
_Static_assert(sizeof(struct lane) == 128, "written to shared memory; two whole cache lines");

/* An owner's word: a thread, of 22 bits because Linux has no more of them, its slot, one up, and above them how often
 * the lane was taken. */
#define LANE_THREAD_BITS 22u
#define LANE_SLOT_BITS 13u
#define LANE_TAKEN_ONCE (UINT64_C(1) << (LANE_THREAD_BITS + LANE_SLOT_BITS))

static inline uint64_t lane_owner(unsigned slot, uint32_t thread) {
    return ((uint64_t)slot + 1) << LANE_THREAD_BITS | (thread & ((1u << LANE_THREAD_BITS) - 1));
}

/* Of whom the word is, as lane_owner has it; 0: of nobody. */
static inline uint64_t lane_whose(uint64_t owner) { return owner & (LANE_TAKEN_ONCE - 1); }

static inline uint32_t lane_thread(uint64_t owner) { return (uint32_t)owner & ((1u << LANE_THREAD_BITS) - 1); }
static inline unsigned lane_slot(uint64_t owner) { return (unsigned)(lane_whose(owner) >> LANE_THREAD_BITS) - 1; }

/* Gives the lane from the owner that was seen to another, or to nobody (0); false if it is no longer that one's. */
static inline bool lane_pass(struct lane *lane, uint64_t owner, uint64_t to) {
    return compare_exchange_seq(&lane->owner, &owner, owner - lane_whose(owner) + LANE_TAKEN_ONCE + to);
}

/* Whether there is room for n more cells; for the owner. */
static inline bool lane_has_room(struct lane *lane, uint64_t n) {
    uint64_t end = load_relaxed(&lane->head) + n;
    if (__builtin_expect(end - load_relaxed(&lane->seen) > LANE_CELLS, 0)) {
        store_relaxed(&lane->seen, load_seq(&lane->tail));
        return end - load_relaxed(&lane->seen) <= LANE_CELLS;
    }
    return true;
}

/* Writes cell number `at`, for which there is room; the owner stores the head when all are written. */
static inline void lane_write(struct lane_cell *cells, uint64_t at, uint64_t what, uint64_t value) {
    struct lane_cell *cell = &cells[at & (LANE_CELLS - 1)];
    store_relaxed(&cell->what, what);
    store_relaxed(&cell->value, value);
}

static inline void lane_count_lost(struct lane *lane) { store_relaxed(&lane->lost, load_relaxed(&lane->lost) + 1); }

/* What a thread knows of the lane that it used last. */
struct lane_user {
    uint64_t pool;  /* which attachment of this process that was, see recording_watch; 0: none */
    uint64_t round; /* the recorder's round in which the time was put last */
    uint64_t until; /* the head at which it is time to look for room, or to put the time */
    struct lane *lane;
    struct lane_cell *cells;
    uint64_t stamped, time; /* the head after that, and that time */
    uint32_t thread;        /* what the kernel calls this thread; 0: not asked yet */
};
#ifdef BLOCKPOOL_EXPLORE /* its logical threads are one */
extern struct lane_user lanes_kept[8];
#define lane_kept lanes_kept[os_thread_number() % 8]
#else
extern _Thread_local struct lane_user lane_kept __attribute__((tls_model("initial-exec"), visibility("hidden")));
#endif

/* Puts an event at the head, for which there is room. */
static inline void lane_put_next(uint64_t head, uint64_t what, uint64_t value) {
    lane_write(lane_kept.cells, head, what, value);
    store_release(&lane_kept.lane->head, head + 1);
}

/* Puts an event of this thread in that attachment. False if there is more to do first. */
static inline bool lane_put(uint64_t pool, uint64_t round, uint64_t what, uint64_t value) {
    if (__builtin_expect(lane_kept.pool != pool || lane_kept.round != round, 0)) {
        return false;
    }
    uint64_t head = load_relaxed(&lane_kept.lane->head);
    if (__builtin_expect(head >= lane_kept.until, 0)) {
        return false;
    }
    lane_put_next(head, what, value);
    return true;
}

static inline uint64_t lane_run(uint64_t index, uint64_t generation) { return generation << 24 | index; }

/* Copies at most `most` cells up to `head`, which the recorder has read before, and gives their room back; returns how
 * many. A lane whose numbers no owner writes is emptied. */
uint64_t lane_take(struct lane *lane, const struct lane_cell *cells, uint64_t head, struct lane_cell *out,
                   uint64_t most);

#endif
