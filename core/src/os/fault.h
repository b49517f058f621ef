/* fault.h: inaccessible memory, and an explanation when something touches it.
 *
 * Safe in a forked child of a program with threads: nothing here allocates, locks or uses stdio.
 */
#ifndef BLOCKPOOL_FAULT_H
#define BLOCKPOOL_FAULT_H

#include <stddef.h>
#include <stdint.h>

/* Makes a mapping of a file inaccessible, and detaches it from the file if possible; its addresses stay taken. 0 or a
 * negative errno. */
int os_forbid(void *memory, uint64_t bytes);

/* Has `explain` called, in a signal handler, with the address of a fault. Then the fault takes its usual course: the
 * handler installed before this one gets it, or the process dies of SIGSEGV. That holds too if other handlers, which
 * pass faults on to their predecessor, were installed since the first call. */
void os_on_fault(void (*explain)(const void *address));

/* Writes the text to stderr. */
void os_say(const char *text, size_t length);

/* Ends the process at once. */
_Noreturn void os_end(void);

#endif
