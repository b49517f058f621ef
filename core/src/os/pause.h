/* pause.h: a question asked between two pieces of a long kernel call: may it go on?
 *
 * Reserving or touching gigabytes takes seconds. Done in pieces, it can stop for a signal or another thread in between.
 */
#ifndef BLOCKPOOL_OS_PAUSE_H
#define BLOCKPOOL_OS_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

/* The size of a piece, and how small it gets while signals keep interrupting it. */
#define OS_PIECE ((uint64_t)64 << 20)
#define OS_SMALLEST_PIECE ((uint64_t)256 << 10)

/* When may_go_on returns false, the call ends with -ECANCELED. */
struct os_pause {
    bool (*may_go_on)(void *context);
    void *context;
};

/* Asks the question; without a pause the answer is always yes. */
static inline bool os_may_go_on(const struct os_pause *pause) {
    return !pause || !pause->may_go_on || pause->may_go_on(pause->context);
}

#endif
