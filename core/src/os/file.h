/* file.h: files in memory, locks on their bytes, and processes: what shared pools ask of the kernel.
 *
 * A function that can fail returns a negative errno, or else 0 or the descriptor that it opened (close-on-exec, and never one of
 * stdin, stdout and stderr, though the program closed those).
 *
 * LOCKS are open-file-description locks on single bytes far behind the end of the file. They belong to the open
 * description, not to the process or the thread: they end when the last descriptor *and the last mapping* made through
 * the description is gone, whatever ends it: exit, kill, exec. They do not exclude threads that use one description.
 */
#ifndef BLOCKPOOL_FILE_H
#define BLOCKPOOL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/os.h"

#define OS_SHM_DIRECTORY "/dev/shm"
#define OS_SHM_NAME_MOST 200 /* the longest name of a file, without a slash */

/* --- files --- */

/* Which file it is, whatever its name. */
struct os_identity {
    uint64_t device;
    uint64_t inode;
};

/* A descriptor and the file that it is of. A program may close all descriptors, as daemons do, and open others that get the
 * same numbers: what goes by a number that was kept looks first whether it still is of the file. */
struct os_descriptor {
    int number; /* -1: none */
    struct os_identity identity;
};

/* Keeps a number with the file that it is of now. */
int os_keep(int number, struct os_descriptor *file);

/* 0 when the number still is of the file, -EBADF when it was closed, -ESTALE when it is another file's. */
int os_verify(const struct os_descriptor *file);

/* Closes the descriptor if it still is of the file; it is none afterwards. */
void os_close_kept(struct os_descriptor *file);

/* Makes a second open description of the same file, wherever its name went; errors also as of os_verify, and -ENOSYS when
 * there is no /proc of this process. */
int os_reopen(const struct os_descriptor *file);

/* Opens the file again through a descriptor that any process of this user has of it; -ENOENT when there is none. Of pools
 * only: it looks at nothing else's descriptors more closely. Slow. */
int os_find_open(const struct os_identity *identity);

/* Makes a memory file without a name in any directory; /proc shows it as /memfd:LABEL. */
int os_memfd(const char *label);

/* Makes a file without a name in the directory of shared memory, mode 0600, to be linked later. */
int os_shm_unnamed(void);

/* Gives such a file its name; -EEXIST when it is taken, -ENOSYS when there is no /proc of this process. */
int os_shm_link(int file, const char *name);

/* Opens the file of that name for reading and writing; a symbolic link or a directory is refused. */
int os_shm_open(const char *name);

/* Removes the name. */
int os_shm_unlink(const char *name);

/* Calls `each` with the names that begin with `prefix`, until it returns false. */
int os_shm_list(const char *prefix, bool (*each)(const char *name, void *context), void *context);

/* Opens what descriptor `number` of a process refers to; process 0 is this one. */
int os_open_of(pid_t process, int number);

/* Sets the size and reserves every page of it, piece by piece; -ENOSPC when there is not so much room. */
int os_reserve(int file, uint64_t bytes, const struct os_pause *pause);

/* Forbids for ever to change the size of a memfd. */
int os_seal(int file);

/* Whether the file is a memfd whose size cannot change. */
bool os_is_sealed(int file);

struct os_file {
    struct os_identity identity;
    uint64_t bytes;
    uid_t owner;
    uint64_t links;
    bool regular;
};

int os_stat(int file, struct os_file *found);

/* Tells of the file that has the name, without opening it. */
int os_shm_look(const char *name, struct os_file *found);

/* Reads `count` bytes from offset `at`; -EIO when there are not so many. */
int os_read(int file, uint64_t at, void *bytes, size_t count);

/* Writes `count` bytes there. */
int os_write(int file, uint64_t at, const void *bytes, size_t count);

/* Whether the name still is that of the file. */
bool os_shm_names(const char *name, const struct os_identity *identity);

void os_close(int file);

/* Bytes that the directory of shared memory has left. */
uint64_t os_shm_available(void);

/* --- mappings --- */

/* Maps the file from its start, to be shared. */
int os_map_file(int file, uint64_t bytes, void **memory);

/* Gives back what os_map_file mapped. */
void os_unmap_file(void *memory, uint64_t bytes);

/* Maps one page of the file, which a forked child does not inherit: while it is there, so are the locks of `file`, even after
 * os_close. */
int os_pin_lock(int file, void **page);
void os_unpin_lock(void *page);

/* A private page that reads zero in a forked child, however it was forked. */
int os_wiped_on_fork(void **page);
void os_release_wiped(void *page);

/* --- locks --- */

/* Tries to lock the byte for the description of `file`; -EAGAIN when another description has it. */
int os_lock(int file, uint64_t byte);

/* Gives the byte back. */
int os_unlock(int file, uint64_t byte);

/* 1 when another description than that of `file` has locked the byte, 0 when none has. */
int os_is_locked(int file, uint64_t byte);

/* --- processes --- */

pid_t os_process(void);

/* When this process started, in clock ticks since the machine did; 0 without /proc. With the pid, a name. A forked child of a
 * program with threads may call it, and the next one too. */
uint64_t os_process_start(void);

/* The start of its command line, arguments separated by spaces, always ended by a zero. */
void os_process_command(char *command, size_t size);

/* The user this process acts as. */
uid_t os_user(void);

/* Fills the bytes with randomness of the kernel's. */
int os_random(void *bytes, size_t count);

/* Seconds since the machine started, the same for all processes; for the age of tickets. */
uint32_t os_seconds(void);

/* Sleeps so long, or less. */
void os_sleep(double seconds);

#endif
