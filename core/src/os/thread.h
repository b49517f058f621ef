/* thread.h: the threads of this process: a number for each, how many there are, and whether the others sleep.
 *
 * Any thread may call any of these.
 */
#ifndef BLOCKPOOL_OS_THREAD_H
#define BLOCKPOOL_OS_THREAD_H

#include <stdbool.h>
#include <stdint.h>

/* Lets another thread run. */
void os_yield(void);

/* Waits for a few instructions, in a way that leaves the core to its other thread. */
static inline void os_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* How many threads this process has, including those that are just ending; 0 if the kernel does not tell. */
unsigned os_threads(void);

/* Whether this process has no other thread. Takes a moment if it has, as one that was joined may still be ending. */
bool os_is_alone(void);

/* What the kernel calls the calling thread, and whether it calls a thread of this process so. */
uint32_t os_thread_id(void);
bool os_thread_is_here(uint32_t id);

/* Waits up to `seconds` for a moment in which every other thread of this process sleeps: then none of them is in the
 * middle of an operation that does not sleep. False if no such moment came, or the kernel does not tell. */
bool os_at_rest(double seconds);

/* A small number that the calling thread keeps for life: 1, 2, 3, … in the order of first calls. Costs one load. */
#ifdef BLOCKPOOL_EXPLORE
uint32_t os_thread_number(void); /* the harness numbers its logical threads */
#else
extern _Thread_local uint32_t os_thread_number_kept __attribute__((tls_model("initial-exec"), visibility("hidden")));
uint32_t os_thread_number_first(void);

static inline uint32_t os_thread_number(void) {
    uint32_t number = os_thread_number_kept;
    return __builtin_expect(number != 0, 1) ? number : os_thread_number_first();
}

/* Lets the calling thread pass for the one of that number, not 0, until it does so again: a replay has one thread for
 * all threads of a program. */
static inline void os_thread_pose(uint32_t number) { os_thread_number_kept = number; }
#endif

#endif
