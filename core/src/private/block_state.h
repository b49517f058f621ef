/* block_state.h: the word of a Block on which taking a view, freeing and releasing meet.
 *
 * A view must never be taken of a block that is being freed, with the GIL or without: making a memoryview can run the garbage
 * collector, and so any code of any thread. So whoever uses the block *enters* (adds one) and *leaves*; free goes on
 * only from "open, nobody inside"; release marks the word, and the last one inside finishes it.
 *
 *     bits 0-31  how many are inside
 *     OPEN       the block has its run
 *     FREEING    free is deciding
 *     FREED      free succeeded
 *     RELEASED   release was called
 *
 * A word of zero is a Block that never had a run; it acts as a released one.
 */
#ifndef BLOCKPOOL_BLOCK_STATE_H
#define BLOCKPOOL_BLOCK_STATE_H

#include "os/atomic.h"

#define STATE_INSIDE UINT64_C(0xffffffff)
#define STATE_FLAG_OPEN (UINT64_C(1) << 32)
#define STATE_FLAG_FREEING (UINT64_C(1) << 33)
#define STATE_FLAG_FREED (UINT64_C(1) << 34)
#define STATE_FLAG_RELEASED (UINT64_C(1) << 35)

typedef struct {
    atomic_word word;
} block_state;

enum state_outcome { STATE_OK, STATE_BUSY, STATE_FREED, STATE_RELEASED };

/* Why the word cannot be used; STATE_OK when it can. */
static inline enum state_outcome state_why(uint64_t word) {
    return word & STATE_FLAG_FREED                                     ? STATE_FREED
           : (word & STATE_FLAG_RELEASED) || !(word & STATE_FLAG_OPEN) ? STATE_RELEASED
                                                                       : STATE_OK;
}

/* The block has a run from now on. For its maker, before anybody else sees it. */
static inline void state_open(block_state *state) { store_relaxed(&state->word, STATE_FLAG_OPEN); }

/* Whether the block still has its run. */
static inline bool state_is_open(const block_state *state) { return state_why(load_relaxed(&state->word)) == STATE_OK; }

/* One more inside, unless freed or released. STATE_BUSY while free decides, which may wait for a fork: let go of whatever that
 * may need, and call again. */
static inline enum state_outcome state_enter(block_state *state) {
    uint64_t old = load_seq(&state->word);
    do {
        if (state_why(old) != STATE_OK) {
            return state_why(old);
        }
        if (old & STATE_FLAG_FREEING) {
            return STATE_BUSY;
        }
    } while (!compare_exchange_seq(&state->word, &old, old + 1));
    return STATE_OK;
}

/* One less inside; true when a release waits for this one to give the run back. */
static inline bool state_leave(block_state *state) {
    uint64_t old = load_seq(&state->word);
    while (!compare_exchange_seq(&state->word, &old, old - 1)) {
    }
    return (old & STATE_INSIDE) == 1 && old & STATE_FLAG_RELEASED;
}

/* Begins to free; STATE_OK obliges the caller to state_end_free. */
static inline enum state_outcome state_begin_free(block_state *state) {
    uint64_t old = load_seq(&state->word);
    for (;;) {
        if (state_why(old) != STATE_OK) {
            return state_why(old);
        }
        if (old & (STATE_INSIDE | STATE_FLAG_FREEING)) {
            return STATE_BUSY;
        }
        if (compare_exchange_seq(&state->word, &old, old | STATE_FLAG_FREEING)) {
            return STATE_OK;
        }
    }
}

/* Ends what state_begin_free began: freed, or as it was. */
static inline void state_end_free(block_state *state, bool freed) {
    uint64_t old = load_seq(&state->word), next;
    do {
        next = (old & ~STATE_FLAG_FREEING) | (freed ? STATE_FLAG_FREED : 0);
    } while (!compare_exchange_seq(&state->word, &old, next));
}

/* Marks the block as released. STATE_OK obliges the caller to give the run back now; STATE_BUSY as for state_enter; anything else
 * means that there is nothing to do. */
static inline enum state_outcome state_release(block_state *state) {
    uint64_t old = load_seq(&state->word);
    do {
        if (state_why(old) != STATE_OK) {
            return state_why(old);
        }
        if (old & STATE_FLAG_FREEING) {
            return STATE_BUSY;
        }
    } while (!compare_exchange_seq(&state->word, &old, old | STATE_FLAG_RELEASED));
    return old & STATE_INSIDE ? STATE_RELEASED : STATE_OK;
}

#endif
