/* fault.h: memory that nobody may touch, and a last word when somebody does.
 *
 * For a forked child before it goes on: nothing here allocates, locks or uses stdio.
 */
#ifndef BLOCKPOOL_FAULT_H
#define BLOCKPOOL_FAULT_H

#include <stddef.h>
#include <stdint.h>

/* Makes a mapping of a file inaccessible, and lets go of the file if it can; the addresses stay taken. 0 or a negative errno. */
int os_forbid(void *memory, uint64_t bytes);

/* Has `explain` called, in a signal handler, with the address of a fault. Then the fault takes the course that it would have taken:
 * what was installed before handles it, or the process ends by SIGSEGV. So it does when others were installed since the first call of
 * this that hand on to what was there before them. */
void os_on_fault(void (*explain)(const void *address));

/* Writes the text to the process's stderr. */
void os_say(const char *text, size_t length);

/* Ends the process at once. */
_Noreturn void os_end(void);

#endif
