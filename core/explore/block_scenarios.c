/* block_scenarios.c: threads that use, free and release one Block, on the real block_state.h; main.c is the search.
 *
 * THE WITNESS is plain memory: threads switch only before atomic accesses, so an entry is made in the same breath as
 * the access that decided. `inside` says which threads are inside by their own account, `deciding` which one decides a
 * free, and `given_back` how often the run went back. What must hold at every moment:
 *
 *   - the run goes back at most once, and never while a thread is inside;
 *   - no thread enters a block whose run went back, or on which a free decides;
 *   - no free decides while a thread is inside or another free decides.
 *
 * At the end nobody is inside, the run went back if and only if a free succeeded or release was called, and a block
 * that was neither freed nor released has the word with which it began.
 *
 * The threads behave as the binding does: free gives the run back before it ends, and a thread that finds the block
 * busy lets others run and tries again, except in free, which fails.
 */
#include <string.h>

#include "block_state.h"
#include "scenarios.h"

#define NOBODY EXPLORE_THREADS

static block_state state;
static bool inside[EXPLORE_THREADS];
static unsigned deciding; /* a thread, or NOBODY */
static unsigned given_back, freed;
static bool released;

void explore_access(const volatile void *word) {
    (void)word;
    explore_step();
}

static void set_up(void) {
    memset(inside, 0, sizeof inside);
    deciding = NOBODY;
    given_back = freed = 0;
    released = false;
    state_open(&state);
}

static void expect_nobody_inside(const char *what) {
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        if (inside[t]) {
            explore_fail("%s while thread %u is inside", what, t);
        }
    }
}

static void give_back(void) {
    expect_nobody_inside("the run goes back");
    if (given_back++) {
        explore_fail("the run goes back twice");
    }
}

static enum state_outcome unless_busy(enum state_outcome (*step)(block_state *state)) {
    enum state_outcome outcome;
    while ((outcome = step(&state)) == STATE_BUSY) {
        explore_yield();
    }
    return outcome;
}

static bool enter(void) {
    enum state_outcome outcome = unless_busy(state_enter);
    if (outcome != STATE_OK) {
        if ((outcome == STATE_FREED) != (freed > 0)) {
            explore_fail("enter says %d, and the block was %sfreed", (int)outcome, freed ? "" : "not ");
        }
        return false;
    }
    if (given_back) {
        explore_fail("thread %u enters a block without its run", explore_thread());
    }
    if (deciding != NOBODY) {
        explore_fail("thread %u enters while a free decides", explore_thread());
    }
    inside[explore_thread()] = true;
    return true;
}

static void leave(void) {
    bool last = state_leave(&state);
    inside[explore_thread()] = false;
    if (last) {
        give_back();
    }
}

static void use(void) {
    if (enter()) {
        leave();
    }
}

/* Frees if nobody is inside; `succeeds` says what the free decides then. Returns whether it came to decide. */
static bool free_block(bool succeeds) {
    if (state_begin_free(&state) != STATE_OK) {
        return false;
    }
    expect_nobody_inside("a free decides");
    if (deciding != NOBODY || given_back) {
        explore_fail("two frees decide, or one about a block without its run");
    }
    deciding = explore_thread();
    explore_step();
    if (succeeds) {
        give_back();
    }
    state_end_free(&state, succeeds);
    freed += succeeds;
    deciding = NOBODY;
    return true;
}

static void release(void) {
    enum state_outcome outcome = unless_busy(state_release);
    released = released || outcome == STATE_OK || outcome == STATE_RELEASED;
    if (outcome == STATE_OK) {
        give_back();
    }
}

static void at_the_end(void) {
    uint64_t word = load_seq(&state.word);
    uint64_t right = STATE_FLAG_OPEN | (freed ? STATE_FLAG_FREED : released ? STATE_FLAG_RELEASED : 0);
    if (word != right) {
        explore_fail("at the end the word is %llx, not %llx", (unsigned long long)word, (unsigned long long)right);
    }
    if (given_back != (freed || released)) {
        explore_fail("the run is lost");
    }
    expect_nobody_inside("all ended");
}

/* --- what threads do --- */

static void use_twice_or_release(unsigned thread) {
    if (thread == 0) {
        use();
        use();
    } else {
        release();
    }
}

static void use_or_free(unsigned thread) {
    if (thread == 0) {
        use();
        use();
    } else if (!free_block(true)) {
        (void)free_block(true);
    }
}

static void use_or_fail_to_free(unsigned thread) {
    if (thread == 0) {
        use();
        use();
    } else {
        (void)free_block(false);
        (void)free_block(false);
    }
}

/* A free from inside: the thread itself has a view. */
static void free_while_inside(unsigned thread) {
    if (thread == 0 && enter()) {
        if (free_block(true)) {
            explore_fail("a free succeeds from inside");
        }
        leave();
    } else if (thread == 1) {
        use();
    }
}

static void free_twice(unsigned thread) {
    (void)thread;
    if (!free_block(true)) {
        (void)free_block(true);
    }
}

static void free_or_release(unsigned thread) {
    if (thread == 0) {
        (void)free_block(true);
    } else {
        release();
    }
}

static void fail_to_free_or_release(unsigned thread) {
    if (thread == 0) {
        (void)free_block(false);
    } else {
        release();
    }
}

static void release_all(unsigned thread) {
    (void)thread;
    release();
}

static void use_use_release(unsigned thread) {
    if (thread < 2) {
        use();
    } else {
        release();
    }
}

static void use_use_free(unsigned thread) {
    if (thread < 2) {
        use();
    } else {
        (void)free_block(true);
    }
}

static void use_free_release(unsigned thread) {
    if (thread == 0) {
        use();
    } else if (thread == 1) {
        (void)free_block(true);
    } else {
        release();
    }
}

static void use_fail_to_free_release(unsigned thread) {
    if (thread == 0) {
        use();
    } else if (thread == 1) {
        (void)free_block(false);
    } else {
        release();
    }
}

static void use_free_free(unsigned thread) {
    if (thread == 0) {
        use();
    } else {
        (void)free_block(thread == 1);
    }
}

/* A thread that finds the block busy yields, and may find it busy again: without a bound, there is no end. */
#define BLOCK_SCENARIO(threads_, body_, bound_)                                                                        \
    {.threads = threads_, .set_up = set_up, .body = body_, .check = at_the_end, .bound = bound_}

const struct scenario scenarios[] = {
    {"use_release", "one uses the block twice while another releases it",
     BLOCK_SCENARIO(2, use_twice_or_release, EXPLORE_UNBOUNDED), false},
    {"use_free", "one uses it twice while another frees it, in two tries", BLOCK_SCENARIO(2, use_or_free, 12), false},
    {"use_free_fails", "the same, and both frees decide not to", BLOCK_SCENARIO(2, use_or_fail_to_free, 10), false},
    {"free_inside", "a thread with a view frees, beside a user", BLOCK_SCENARIO(2, free_while_inside, 10), false},
    {"free_twice", "two free it, in two tries each", BLOCK_SCENARIO(2, free_twice, EXPLORE_UNBOUNDED), false},
    {"free_release", "one frees it, one releases it", BLOCK_SCENARIO(2, free_or_release, 10), false},
    {"free_fails_release", "the same, and the free decides not to", BLOCK_SCENARIO(2, fail_to_free_or_release, 10),
     false},
    {"release_thrice", "three release it", BLOCK_SCENARIO(3, release_all, EXPLORE_UNBOUNDED), false},
    {"use_use_release", "two use it while a third releases it", BLOCK_SCENARIO(3, use_use_release, 8), false},
    {"use_use_free", "two use it while a third frees it", BLOCK_SCENARIO(3, use_use_free, 7), false},
    {"use_free_release", "one uses, one frees, one releases", BLOCK_SCENARIO(3, use_free_release, 7), false},
    {"use_fail_release", "the same, and the free decides not to", BLOCK_SCENARIO(3, use_fail_to_free_release, 7),
     false},
    {"use_free_free", "one uses, one frees, one begins to free", BLOCK_SCENARIO(3, use_free_free, 7), false},
};

const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;
