/* block_state.h: the word on which using, freeing and releasing one Block meet.
 *
 * No view may be taken of a block that is being freed, with the GIL or without: making a memoryview can run the garbage
 * collector, and so any code, in any thread. So a user of the block *enters* (adds one) and *leaves*. Free succeeds
 * only on an open block with nobody inside. Release marks the word, and the last user inside gives the run back.
 *
 *     bits 0-31  how many are inside
 *     OPEN       the block has a run
 *     FREEING    a free is deciding
 *     FREED      a free succeeded
 *     RELEASED   release was called
 *
 *     OPEN ──enter, leave──▶ OPEN + n
 *       │ ╲
 *       │  release ──▶ OPEN + n, RELEASED ──leave──▶ … ──last leave──▶ OPEN, RELEASED: the run goes back
 *       ▼
 *     OPEN, FREEING ──▶ OPEN, FREED: the run went back
 *                  ╲──▶ OPEN, as it was
 *
 * A word of zero is a Block that never had a run; it behaves like a released one.
 *
 * Each step is one compare-and-swap from a value to what a pure function below makes of it; a function that does not
 * apply to a value returns STATE_REFUSED. So the run goes back exactly once, whatever else happens at the time. Both
 * kinds of pools use this.
 *
 * With BLOCK_STATE_SERIAL, steps come one at a time, because all callers hold the GIL in each of them. (Between two
 * steps they may let it go, and that is what the word is for.) Then a step is a load and a store.
 */
#ifndef BLOCKPOOL_BLOCK_STATE_H
#define BLOCKPOOL_BLOCK_STATE_H

#include "os/atomic.h"

#define STATE_INSIDE UINT64_C(0xffffffff)
#define STATE_FLAG_OPEN (UINT64_C(1) << 32)
#define STATE_FLAG_FREEING (UINT64_C(1) << 33)
#define STATE_FLAG_FREED (UINT64_C(1) << 34)
#define STATE_FLAG_RELEASED (UINT64_C(1) << 35)

#ifndef BLOCK_STATE_SERIAL
#define BLOCK_STATE_SERIAL 0
#endif

/* No word has this value. */
#define STATE_REFUSED UINT64_MAX

typedef struct {
    atomic_word word;
} block_state;

enum state_outcome { STATE_OK, STATE_BUSY, STATE_FREED, STATE_RELEASED };

/* --- pure functions on the word --- */

/* Whether the block was freed or released; STATE_OK if neither. */
static inline enum state_outcome state_why(uint64_t word) {
    if (word & STATE_FLAG_FREED) {
        return STATE_FREED;
    }
    return word & STATE_FLAG_RELEASED || !(word & STATE_FLAG_OPEN) ? STATE_RELEASED : STATE_OK;
}

/* Why the block cannot be used right now: as state_why, and STATE_BUSY while a free decides. */
static inline enum state_outcome state_why_not_now(uint64_t word) {
    enum state_outcome why = state_why(word);
    return why == STATE_OK && word & STATE_FLAG_FREEING ? STATE_BUSY : why;
}

/* One more inside. */
static inline uint64_t state_entered(uint64_t word) {
    return state_why_not_now(word) == STATE_OK ? word + 1 : STATE_REFUSED;
}

/* One fewer inside. */
static inline uint64_t state_left(uint64_t word) { return word - 1; }

/* Whether leaving this word obliges the leaver to give the run back. */
static inline bool state_is_last(uint64_t word) { return (word & STATE_INSIDE) == 1 && word & STATE_FLAG_RELEASED; }

/* A free is deciding. */
static inline uint64_t state_freeing(uint64_t word) {
    return state_why_not_now(word) == STATE_OK && !(word & STATE_INSIDE) ? word | STATE_FLAG_FREEING : STATE_REFUSED;
}

/* It decided to free. */
static inline uint64_t state_freed(uint64_t word) { return (word & ~STATE_FLAG_FREEING) | STATE_FLAG_FREED; }

/* It decided not to: the word is as before. */
static inline uint64_t state_kept(uint64_t word) { return word & ~STATE_FLAG_FREEING; }

/* Nobody enters from now on. */
static inline uint64_t state_released(uint64_t word) {
    return state_why_not_now(word) == STATE_OK ? word | STATE_FLAG_RELEASED : STATE_REFUSED;
}

/* --- steps --- */

/* Replaces the word by what the function makes of it. False if the function refused; *before is the value it saw
 * last. */
static inline bool state_change(block_state *state, uint64_t (*function)(uint64_t word), uint64_t *before) {
    *before = load_seq(&state->word);
    for (;;) {
        uint64_t after = function(*before);
        if (after == STATE_REFUSED) {
            return false;
        }
#if BLOCK_STATE_SERIAL
        store_relaxed(&state->word, after);
        return true;
#else
        if (compare_exchange_seq(&state->word, before, after)) {
            return true;
        }
#endif
    }
}

/* The block has a run from now on. Call it before any other thread sees the block. */
static inline void state_open(block_state *state) { store_relaxed(&state->word, STATE_FLAG_OPEN); }

/* Whether the block still has its run. */
static inline bool state_is_open(const block_state *state) { return state_why(load_relaxed(&state->word)) == STATE_OK; }

/* Enters, unless the block was freed or released. STATE_BUSY while a free decides, which may take as long as a fork:
 * let go of anything it may need, and call again. STATE_OK obliges the caller to state_leave. */
static inline enum state_outcome state_enter(block_state *state) {
    uint64_t before;
    return state_change(state, state_entered, &before) ? STATE_OK : state_why_not_now(before);
}

/* Leaves. True obliges the caller to give the run back: the block was released meanwhile, and this was the last
 * user. */
static inline bool state_leave(block_state *state) {
    uint64_t before;
    (void)state_change(state, state_left, &before);
    return state_is_last(before);
}

/* Begins to free; STATE_OK obliges the caller to state_end_free. STATE_BUSY if a user is inside or another free is
 * deciding; nothing has changed then. */
static inline enum state_outcome state_begin_free(block_state *state) {
    uint64_t before;
    if (state_change(state, state_freeing, &before)) {
        return STATE_OK;
    }
    enum state_outcome why = state_why(before);
    return why == STATE_OK ? STATE_BUSY : why;
}

/* Ends what state_begin_free began: the block is freed, or as it was. */
static inline void state_end_free(block_state *state, bool freed) {
    uint64_t before;
    if (freed) {
        (void)state_change(state, state_freed, &before);
    } else {
        (void)state_change(state, state_kept, &before);
    }
}

/* Marks the block as released. STATE_OK obliges the caller to give the run back now. STATE_BUSY as for state_enter.
 * Otherwise there is nothing to do: the last user inside gives it back, or it went back before. */
static inline enum state_outcome state_release(block_state *state) {
    uint64_t before;
    if (!state_change(state, state_released, &before)) {
        return state_why_not_now(before);
    }
    return before & STATE_INSIDE ? STATE_RELEASED : STATE_OK;
}

#endif
