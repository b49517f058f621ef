/* accesses.h: a test that includes the sources it tests, to do something at the k-th atomic access they make.
 *
 * Include it before anything else, then the sources. `at_access(k, act)` calls `act` right before the k-th access from
 * now on, once. With `die` as `act`, an operation under until_death() ends there, as that of a killed process does.
 */
#ifndef BLOCKPOOL_ACCESSES_H
#define BLOCKPOOL_ACCESSES_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define BLOCKPOOL_EXPLORE

#include <setjmp.h>
#include <stddef.h>

#include "os/atomic.h"
#include "os/thread.h"
#include "shared/lanes.h"

struct lane_user lanes_kept[8];

static uint64_t accesses_left;
static void (*access_act)(void);
static jmp_buf access_death;

static inline void at_access(uint64_t k, void (*act)(void)) {
    access_act = act;
    accesses_left = k;
}

/* Whether the access came; if not, it does not come any more. */
static inline bool access_came(void) {
    bool came = accesses_left == 0;
    accesses_left = 0;
    return came;
}

void explore_access(const volatile void *word) {
    (void)word;
    if (accesses_left && --accesses_left == 0) {
        access_act();
    }
}

uint32_t os_thread_number(void) { return 1; } /* such sources ask for it too */

static inline void die(void) { longjmp(access_death, 1); }

/* Runs the operation until it ends, or dies. */
static __attribute__((noinline, unused)) void until_death(void (*operation)(void)) {
    if (setjmp(access_death) == 0) {
        operation();
    }
}

#endif
