/* os.h: all that the library asks of the kernel: memory, waiting, the clock, the number of a thread.
 *
 * Nothing above this file makes a system call. Functions that can fail return 0 or a negative errno.
 * Everything here may be called from any thread.
 */
#ifndef BLOCKPOOL_OS_H
#define BLOCKPOOL_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/atomic.h"

/* Bytes of one page. */
size_t os_page_size(void);

/* Maps `bytes` of zeroed private memory at *memory, on a page boundary, between two guard pages that nobody can
 * touch. With `huge`, on a boundary of huge pages and with the kernel asked to use them (os_residency tells
 * whether it did). */
int os_map_private(size_t bytes, bool huge, void **memory);

/* Gives back what os_map_private mapped. */
void os_unmap(void *memory, size_t bytes);

/* What is asked between two pieces of a long call of the kernel: whether to go on. The call ends with -ECANCELED if not. */
struct os_pause {
    bool (*may_go_on)(void *context);
    void *context;
};

#define OS_PIECE ((uint64_t)64 << 20)
#define OS_SMALLEST_PIECE ((uint64_t)256 << 10)

/* Asks it; without one there is no end before the end. */
static inline bool os_may_go_on(const struct os_pause *pause) {
    return !pause || !pause->may_go_on || pause->may_go_on(pause->context);
}

/* Makes every page of the range present and writable now, piece by piece; the range starts on a page boundary. -EINVAL before
 * Linux 5.14. */
int os_prefault(void *memory, size_t bytes, const struct os_pause *pause);

struct os_residency {
    uint64_t resident_bytes; /* backed by memory at this moment */
    uint64_t huge_bytes;     /* of these, by huge pages */
};

/* Tells what the kernel really gave to the range. A mapping of
 * which the range is a part counts whole; what os_map_private gave is a mapping of its own. */
int os_residency(const void *memory, size_t bytes, struct os_residency *residency);

/* Sleeps until *word is woken, unless it no longer holds `expected`; at most `seconds`. Returns early at will. */
void os_wait(atomic_half *word, uint32_t expected, double seconds);

/* Wakes all that sleep on *word in this process. */
void os_wake_all(atomic_half *word);

/* The same two for a word that several processes map. */
void os_wait_shared(atomic_half *word, uint32_t expected, double seconds);
void os_wake_all_shared(atomic_half *word);

/* Seconds on the monotonic clock. */
double os_now(void);

/* Lets another thread run. */
void os_yield(void);

/* Waits, at most so long, for a moment at which every other thread of this process sleeps: then none is in the midst of something
 * that does not sleep. False when there was none, or the kernel does not say. */
bool os_at_rest(double seconds);

/* How many threads this process has, also those that are just ending; 0 when the kernel does not tell. */
unsigned os_threads(void);

/* A small number that the calling thread keeps for life: 1, 2, 3, … in the order of first calls. Costs a load. */
#ifdef BLOCKPOOL_EXPLORE
uint32_t os_thread_number(void); /* the harness numbers its logical threads */
#else
extern _Thread_local uint32_t os_thread_number_kept __attribute__((tls_model("initial-exec"), visibility("hidden")));
uint32_t os_thread_number_first(void);

static inline uint32_t os_thread_number(void) {
    uint32_t number = os_thread_number_kept;
    return __builtin_expect(number != 0, 1) ? number : os_thread_number_first();
}
#endif

#endif
