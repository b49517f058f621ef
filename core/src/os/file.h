/* file.h: files in memory: descriptors that stay with their file, memfds, and named files in /dev/shm.
 *
 * A function that can fail returns a negative errno; otherwise 0, or the descriptor it opened. Such a descriptor is
 * close-on-exec, and never 0, 1 or 2, even if the program has closed those. Any thread may call any of these.
 */
#ifndef BLOCKPOOL_OS_FILE_H
#define BLOCKPOOL_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/pause.h"

#define OS_SHM_DIRECTORY "/dev/shm"
#define OS_SHM_NAME_MOST 200 /* the longest name of a file, without a slash */

/* --- descriptors --- */

/* Identifies a file, whatever its name. */
struct os_identity {
    uint64_t device;
    uint64_t inode;
};

/* A descriptor and the file it belongs to. A program may close all its descriptors, as daemons do, and open others that
 * get the same numbers. So anything that uses a stored number first checks that it still belongs to the file. */
struct os_descriptor {
    int number; /* -1: none */
    struct os_identity identity;
};

/* Stores a number with the file it belongs to now. */
int os_keep(int number, struct os_descriptor *file);

/* 0 if the number still belongs to the file, -EBADF if it was closed, -ESTALE if it is another file's. */
int os_verify(const struct os_descriptor *file);

/* Closes the descriptor if it still belongs to the file; afterwards it is none. */
void os_close_kept(struct os_descriptor *file);

/* Makes a second open description of the same file, wherever its name has gone. Fails as os_verify does, and with
 * -ENOSYS without /proc of this process. */
int os_reopen(const struct os_descriptor *file);

/* Opens the file again through a descriptor of any process of this user; -ENOENT if there is none. Looks only at
 * descriptors of files in memory. Slow. */
int os_find_open(const struct os_identity *identity);

/* Opens what descriptor `number` of a process refers to; process 0 is this one. */
int os_open_of(pid_t process, int number);

void os_close(int file);

/* --- names in the directory of shared memory --- */

/* Opens the directory itself, for reading. */
int os_shm_directory(void);

/* Makes a file there that has no name yet, mode 0600, for os_shm_link. */
int os_shm_unnamed(void);

/* Gives such a file its name; -EEXIST if it is taken, -ENOSYS without /proc of this process. */
int os_shm_link(int file, const char *name);

/* Opens the file of that name for reading and writing; refuses symbolic links and directories. */
int os_shm_open(const char *name);

/* Removes the name. */
int os_shm_unlink(const char *name);

/* Calls `each` with every name that starts with `prefix`, until it returns false. */
int os_shm_list(const char *prefix, bool (*each)(const char *name, void *context), void *context);

/* Whether the name is still that of the file. */
bool os_shm_names(const char *name, const struct os_identity *identity);

/* Bytes still available in the directory. */
uint64_t os_shm_available(void);

/* --- contents --- */

/* Makes a memory file without a name anywhere; /proc shows it as /memfd:LABEL. */
int os_memfd(const char *label);

/* Sets the size and reserves every page of its first `reserved` bytes, piece by piece; -ENOSPC if there is not enough
 * room. */
int os_reserve(int file, uint64_t bytes, uint64_t reserved, const struct os_pause *pause);

/* Reserves the pages of `bytes` at offset `at`, a page boundary; those that are there stay as they are, and so does the
 * size. -ENOSPC or -ENOMEM if there is not enough room. */
int os_reserve_part(int file, uint64_t at, uint64_t bytes);

/* Fixes the size of a memfd forever. */
int os_seal(int file);

/* Whether the file is a memfd whose size is fixed. */
bool os_is_sealed(int file);

struct os_file {
    struct os_identity identity;
    uint64_t bytes;
    uint64_t memory; /* bytes that it takes; the rest of it was never written or reserved */
    uid_t owner;
    uint64_t links;
    bool regular;
};

int os_stat(int file, struct os_file *found);

/* The same for the file of that name, without opening it. */
int os_shm_look(const char *name, struct os_file *found);

/* Reads `count` bytes at offset `at`; -EIO if the file ends before. */
int os_read(int file, uint64_t at, void *bytes, size_t count);

/* Writes `count` bytes at offset `at`. */
int os_write(int file, uint64_t at, const void *bytes, size_t count);

/* Sets the file's times to now. */
int os_touch(int file);

/* A new descriptor that becomes readable when somebody touches the file. */
int os_watch(int file);

#endif
