/* message.h: what a message is in memory, and pure functions on the words by which it is passed on; see queue.h.
 *
 * A MESSAGE is a run of the annex, the pool of small blocks in the same segment. It says which queue it is for, carries
 * runs of the pool and some bytes of its own, and belongs to nobody but the queue. Three kinds of words tell all about
 * it. A number in each makes sure that it never comes back: no compare-and-swap takes a later message for this one.
 *
 * THE MESSAGE'S WORD, in the entry of its first block, says how far it is. This word alone decides who has it.
 *
 *     bits 61-63  state
 *     bits 48-60  the slot, one up
 *     bit 47      AGAIN: its receiver died, it is delivered again
 *     bits 0-39   the generation of the message's run
 *
 *     NONE ──▶ PUTTING{sender} ──▶ QUEUED ──▶ TAKEN{receiver} ──▶ ENDING{receiver} ──▶ NONE, and the run is freed
 *                     │               ▲  └──── dropped ───────────────▲
 *                     │               └── RETURNED ◀── TAKEN{dead}    │
 *                     └───────────────────────────────────────────────┘
 *
 * A CELL of the queue's ring says which message was published at a position.
 *
 *     bits 21-63  the position's low bits
 *     bit 20      FULL
 *     bits 0-19   the message's block
 *
 * A CARRIED RUN has the flag CARRIED in its head (ledger.h), and the word in its own entry names the message:
 *
 *     bits 61-63  CARRIED
 *     bits 40-59  the message's block
 *     bits 0-39   its generation
 *
 * A queue is a run of the annex too. Its word is IS_QUEUE.
 */
#ifndef BLOCKPOOL_MESSAGE_H
#define BLOCKPOOL_MESSAGE_H

#include "os/atomic.h"
#include "shared/ledger.h"

enum message_state {
    MESSAGE_NONE,
    MESSAGE_PUTTING,  /* {slot}: being made, or published by that one, who may not know yet that it is */
    MESSAGE_QUEUED,   /* published */
    MESSAGE_TAKEN,    /* {slot}: that one received it and is not done with it */
    MESSAGE_RETURNED, /* its receiver died: it waits for another one, in no cell */
    MESSAGE_ENDING,   /* {slot}: that one lets go of what it carries, and frees it */
    MESSAGE_IS_QUEUE, /* no message: the run is a queue */
    MESSAGE_CARRIES   /* no message: a run of the pool, which a message carries */
};

#define MESSAGE_GENERATION ((UINT64_C(1) << 40) - 1)
#define MESSAGE_AGAIN (UINT64_C(1) << 47)

static inline uint64_t message_word(enum message_state state, unsigned slot, uint64_t generation) {
    return (uint64_t)state << 61 | (uint64_t)(slot + 1) << 48 | (generation & MESSAGE_GENERATION);
}
static inline enum message_state message_state(uint64_t word) { return (enum message_state)(word >> 61); }
static inline unsigned message_slot(uint64_t word) { return (unsigned)(word >> 48 & 8191) - 1; }
static inline uint64_t message_generation(uint64_t word) { return word & MESSAGE_GENERATION; }

/* The word of a run that the message at that block carries. */
static inline uint64_t message_carries(uint64_t block, uint64_t generation) {
    return (uint64_t)MESSAGE_CARRIES << 61 | block << 40 | (generation & MESSAGE_GENERATION);
}
static inline uint64_t message_carrier(uint64_t word) { return word >> 40 & ((UINT64_C(1) << 20) - 1); }

/* The same message in another state. */
static inline uint64_t message_change(uint64_t word, enum message_state state, unsigned slot) {
    return message_word(state, slot, word) | (word & MESSAGE_AGAIN);
}

/* --- cells --- */

#define CELL_FULL (UINT64_C(1) << 20)
#define CELL_BLOCK (CELL_FULL - 1)
#define CELL_POSITION_AT 21

static inline uint64_t cell_empty(uint64_t position) { return position << CELL_POSITION_AT; }
static inline uint64_t cell_full(uint64_t position, uint64_t block) {
    return position << CELL_POSITION_AT | CELL_FULL | block;
}
static inline bool cell_is_full_at(uint64_t cell, uint64_t position) {
    return (cell & ~CELL_BLOCK) == cell_full(position, 0);
}
static inline uint64_t cell_block(uint64_t cell) { return cell & CELL_BLOCK; }

/* --- cursors: a reader's slot, one up, over its position's low bits; 0 for nobody --- */

#define CURSOR_SLOT_AT 48

static inline uint64_t cursor_word(unsigned slot, uint64_t position) {
    return (uint64_t)(slot + 1) << CURSOR_SLOT_AT | (position & ((UINT64_C(1) << CURSOR_SLOT_AT) - 1));
}
static inline unsigned cursor_slot(uint64_t word) { return (unsigned)(word >> CURSOR_SLOT_AT) - 1; }
static inline uint64_t cursor_position(uint64_t word) { return word & ((UINT64_C(1) << CURSOR_SLOT_AT) - 1); }

/* --- in the blocks of a message --- */

#define MESSAGE_BLOCK UINT64_C(256) /* bytes of a block of the annex */

#define MESSAGE_NOWHERE UINT64_MAX
#define MESSAGE_MOST_RUNS 4096u

enum message_how {
    MESSAGE_HOLDS_NOT,
    MESSAGE_HOLDS,     /* the run's word names this message, and its head is CARRIED */
    MESSAGE_HAS_TICKET /* the run was in another message: it has a ticket of it */
};

/* What a message's own bytes are. */
enum message_kind {
    MESSAGE_IS_BYTES = 1,  /* bytes */
    MESSAGE_IS_PICKLE = 2, /* a Python object; runs that it carries are its buffers */
    MESSAGE_IS_BLOCK = 3,  /* the one run that it carries; no bytes */
    MESSAGE_IS_ARRAY = 4,  /* a struct message_array, about the one run that it carries, or the bytes that follow */
};

#define MESSAGE_MOST_DIMENSIONS 8

struct message_array {
    char type[8];        /* as in NumPy's array interface: "<u2", "|u1", "<f4" */
    uint32_t dimensions; /* 0 to MESSAGE_MOST_DIMENSIONS */
    uint32_t readonly;
    uint64_t offset;                                                          /* bytes, from the start of the run */
    int64_t shape[MESSAGE_MOST_DIMENSIONS], strides[MESSAGE_MOST_DIMENSIONS]; /* strides in bytes */
};
_Static_assert(sizeof(struct message_array) == 152, "with one run it fits in a block of the annex");

struct message_run {
    uint64_t run; /* index << 40 | generation */
    uint64_t how; /* enum message_how */
};

struct message {
    atomic_word position; /* where its sender last tried to publish it; MESSAGE_NOWHERE before */
    atomic_word queue;    /* index << 40 | generation, in the annex; read of messages that may have ended */
    uint64_t sent;        /* nanoseconds on the monotonic clock */
    uint32_t process;     /* of the sender */
    uint32_t kind;        /* what the bytes are; for the sender and receiver to know */
    uint32_t most;        /* room for so many runs */
    uint32_t count;       /* runs */
    uint64_t bytes;       /* of its own, after the runs */
    struct message_run runs[];
};

#endif
