/* wait.h: sleeping until a word changes or time has passed, and the clocks.
 *
 * Any thread may call any of these.
 */
#ifndef BLOCKPOOL_OS_WAIT_H
#define BLOCKPOOL_OS_WAIT_H

#include <stdint.h>

#include "os/atomic.h"

/* Sleeps until *word is woken, for at most `seconds`; not at all if it no longer holds `expected`. May return early. */
void os_wait(atomic_half *word, uint32_t expected, double seconds);

/* Wakes every thread of this process that sleeps on *word. */
void os_wake_all(atomic_half *word);

/* The same two for a word that several processes map. */
void os_wait_shared(atomic_half *word, uint32_t expected, double seconds);
void os_wake_all_shared(atomic_half *word);

/* Adds one to *word and wakes at most `most` who sleep on it, in one step of the kernel, in which no signal stops or
 * ends this process. Returns how many it woke; one more than `most`, perhaps, if *word was UINT32_MAX. */
unsigned os_wake_next_shared(atomic_half *word, unsigned most);

/* Sleeps for `seconds`, or less. */
void os_sleep(double seconds);

/* Seconds, and nanoseconds, on the monotonic clock. */
double os_now(void);
uint64_t os_nanoseconds(void);

/* How many nanoseconds of a processor the calling thread has had. */
uint64_t os_processor_time(void);

/* Whole seconds since the machine started, without those it was suspended, the same in every process: for the age of
 * runs and tickets. */
uint32_t os_seconds(void);

#endif
