/* kernel.h: the kernel as the code under exploration sees it: files in memory, descriptions of them with locks, one clock, sleep.
 *
 * A PROCESS has one logical thread or several; RESIDENT has none, and lives for ever. It is dead when one of its threads was stopped
 * for ever: then its descriptions are gone, open or mapped. What is done outside of any thread (set-up, judgement) is done by the
 * process that kernel_act_as names.
 *
 * Files are two pieces of memory, which may have the name or not.
 */
#ifndef BLOCKPOOL_EXPLORE_KERNEL_H
#define BLOCKPOOL_EXPLORE_KERNEL_H

#include "os/file.h"
#include "os/wait.h"
#include "scheduler.h"

#define RESIDENT EXPLORE_THREADS
#define PROCESSES (EXPLORE_THREADS + 1)
#define KERNEL_FILES 2
#define KERNEL_FILE_BYTES (UINT64_C(1) << 16)
#define KERNEL_NAME "blockpool.explored"
#define KERNEL_MOST_BLOCKS 128u

/* Before a schedule: no descriptions, thread 0, 1, 2 is that of process 0, 1, 2, the clock says 0. `fine`: each call of the kernel is a
 * step; else only those are of which another process can see something. */
void kernel_set_up(bool fine);

/* Keeps the descriptions and private pages as they are, and brings them back. */
void kernel_save(void);
void kernel_restore(void);

/* The thread is one of that process. */
void kernel_thread_is(unsigned thread, unsigned process);

/* The process of the thread that runs. */
unsigned kernel_process(void);

/* Which process sets up or judges from here on. */
void kernel_act_as(unsigned process);

bool kernel_is_dead(unsigned process);

/* Whether the process has several threads. */
bool kernel_is_shared(unsigned process);

/* For exploration.stopped: who waits for a lock looks again. */
void kernel_stopped(void);

/* The memory of a file, and which file has the name, or KERNEL_FILES. */
unsigned char *kernel_memory(unsigned file);
extern unsigned kernel_named;

/* What os_seconds says. */
extern uint32_t kernel_time;

/* Whether another description of the file than `number` has locked the byte. */
bool kernel_is_locked(unsigned file, int number, uint64_t byte);

/* A fork: the child's copies of this process's counts and of its page that a fork wipes. */
uint32_t *kernel_fork(unsigned child, const uint32_t *own_counts, atomic_word **page);

/* A fork: the description is the child's too. */
void kernel_pass_on(int number, unsigned child);

/* Sleeps until some lock ends. */
void kernel_await_lock(void);

#endif
