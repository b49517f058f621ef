/* kernel.h: the kernel as the code under exploration sees it: files in memory, descriptions of them with locks, one
 * clock, sleep.
 *
 * A PROCESS has one logical thread or several; RESIDENT has none, and lives forever. It is dead if one of its threads
 * was stopped forever: then its descriptions are gone, open or mapped. Work outside of any thread (set-up, checks) is
 * done by the process that kernel_act_as names.
 *
 * There are two files, pieces of memory, and one name, which belongs to either or none.
 */
#ifndef BLOCKPOOL_EXPLORE_KERNEL_H
#define BLOCKPOOL_EXPLORE_KERNEL_H

#include "os/file.h"
#include "os/wait.h"
#include "scheduler.h"

#define RESIDENT EXPLORE_THREADS
#define PROCESSES (EXPLORE_THREADS + 1)
#define KERNEL_FILES 2
#define KERNEL_FILE_BYTES (UINT64_C(1) << 17)
#define KERNEL_NAME "blockpool.explored"
#define KERNEL_MOST_BLOCKS 128u
#define KERNEL_PRIVATE_BYTES (KERNEL_MOST_BLOCKS * sizeof(uint32_t) + 64) /* an attachment's counts and groups */

/* Before a schedule: no descriptions, thread 0, 1, 2 belongs to process 0, 1, 2, the clock says 0. With `fine`, each
 * kernel call is a step; otherwise only those whose effect another process can see. */
void kernel_set_up(bool fine);

/* Saves the descriptions and private pages, and restores them. */
void kernel_save(void);
void kernel_restore(void);

/* Makes the thread one of that process. */
void kernel_thread_is(unsigned thread, unsigned process);

/* The process of the thread that runs. */
unsigned kernel_process(void);

/* Which process acts in set-up and checks from here on. */
void kernel_act_as(unsigned process);

bool kernel_is_dead(unsigned process);

/* Whether the process has several threads. */
bool kernel_is_shared(unsigned process);

/* For exploration.stopped: wakes the threads that wait for a lock. */
void kernel_stopped(void);

/* The memory of a file, and which file has the name, or KERNEL_FILES. */
unsigned char *kernel_memory(unsigned file);
extern unsigned kernel_named;

/* What os_seconds returns. */
extern uint32_t kernel_time;

/* Whether another description of the file than `number` has locked the byte. */
bool kernel_is_locked(unsigned file, int number, uint64_t byte);

/* A fork: the child's copies of this process's private memory and of its page that a fork wipes. */
void *kernel_fork(unsigned child, const void *own_memory, atomic_word **page);

/* A fork: the description is the child's too. */
void kernel_pass_on(int number, unsigned child);

/* Sleeps until some lock ends. */
void kernel_await_lock(void);

#endif
