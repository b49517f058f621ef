/* process.h: what the kernel says about this process, and random bytes.
 *
 * Any thread may call any of these, and so may a forked child of a program with threads: nothing here locks or uses
 * stdio.
 */
#ifndef BLOCKPOOL_OS_PROCESS_H
#define BLOCKPOOL_OS_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

pid_t os_process(void);

/* When this process started, in clock ticks since the machine did; 0 without /proc. Pids are reused; together with its
 * start, a pid names one process. */
uint64_t os_process_start(void);

/* Such a start as seconds since the epoch, by the clock of this moment. */
double os_start_time(uint64_t start);

/* The start of this process's command line, arguments separated by spaces, always zero-terminated. */
void os_process_command(char *command, size_t size);

/* The user this process acts as. */
uid_t os_user(void);

/* Fills the bytes with randomness from the kernel. 0 or -EIO. */
int os_random(void *bytes, size_t count);

#endif
