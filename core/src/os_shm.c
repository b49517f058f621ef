/* os_shm.c: see os_shm.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os_shm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY "/dev/shm"
#define FIRST_LOCK ((off_t)1 << 60) /* byte 0 of the locks: behind any file */

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static int descriptor_or_error(int result) { return result < 0 ? -errno : result; }

static int error_of(int result) { return result < 0 ? -errno : 0; }

/* --- files --- */

/* The path of a name; false when it is too long, or would leave the directory. */
static bool path_of(const char *name, char path[static PATH_MAX]) {
    if (name[0] == 0 || strlen(name) > OS_SHM_NAME_MOST || strchr(name, '/') || name[0] == '.') {
        return false;
    }
    snprintf(path, PATH_MAX, DIRECTORY "/%s", name);
    return true;
}

int os_memfd(const char *label) { return descriptor_or_error(memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING)); }

int os_shm_unnamed(void) {
    return descriptor_or_error(open(DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR));
}

int os_shm_link(int file, const char *name) {
    char from[64], to[PATH_MAX];
    if (!path_of(name, to)) {
        return -EINVAL;
    }
    snprintf(from, sizeof from, "/proc/self/fd/%d", file);
    return error_of(linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW));
}

int os_shm_open(const char *name) {
    char path[PATH_MAX];
    if (!path_of(name, path)) {
        return -EINVAL;
    }
    /* O_NONBLOCK: a FIFO of that name must not make us wait */
    return descriptor_or_error(open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

int os_shm_unlink(const char *name) {
    char path[PATH_MAX];
    return path_of(name, path) ? error_of(unlink(path)) : -EINVAL;
}

int os_shm_list(const char *prefix, bool (*each)(const char *name, void *context), void *context) {
    DIR *directory = opendir(DIRECTORY);
    if (!directory) {
        return -errno;
    }
    const struct dirent *entry;
    while ((entry = readdir(directory)) &&
           (strncmp(entry->d_name, prefix, strlen(prefix)) != 0 || each(entry->d_name, context))) {
    }
    closedir(directory);
    return 0;
}

int os_reopen(int file) { return os_open_of(getpid(), file); }

int os_open_of(pid_t process, int number) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)process, number);
    return descriptor_or_error(open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK));
}

int os_reserve(int file, uint64_t bytes) {
    if (bytes > INT64_MAX / 2) {
        return -ENOSPC;
    }
    if (ftruncate(file, (off_t)bytes) != 0) {
        return -errno;
    }
    while (fallocate(file, 0, 0, (off_t)bytes) != 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int os_seal(int file) { return error_of(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)); }

bool os_is_sealed(int file) {
    int seals = fcntl(file, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) && (seals & F_SEAL_GROW);
}

static void file_of(const struct stat *status, struct os_file *found) {
    *found = (struct os_file){
        .bytes = status->st_size < 0 ? 0 : (uint64_t)status->st_size,
        .inode = status->st_ino,
        .device = status->st_dev,
        .owner = status->st_uid,
        .links = status->st_nlink,
        .regular = S_ISREG(status->st_mode),
    };
}

int os_stat(int file, struct os_file *found) {
    struct stat status;
    if (fstat(file, &status) != 0) {
        return -errno;
    }
    file_of(&status, found);
    return 0;
}

int os_read(int file, void *bytes, size_t count) {
    ssize_t got = pread(file, bytes, count, 0);
    return got < 0 ? -errno : (size_t)got == count ? 0 : -EIO;
}

bool os_shm_names(const char *name, const struct os_file *file) {
    char path[PATH_MAX];
    struct stat status;
    return path_of(name, path) && lstat(path, &status) == 0 && status.st_ino == file->inode &&
           status.st_dev == file->device;
}

void os_close(int file) { close(file); }

uint64_t os_shm_available(void) {
    struct statvfs room;
    return statvfs(DIRECTORY, &room) == 0 ? (uint64_t)room.f_bavail * room.f_frsize : 0;
}

/* --- mappings --- */

int os_map_file(int file, uint64_t bytes, void **memory) {
    *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return *memory == MAP_FAILED ? -errno : 0;
}

void os_unmap_file(void *memory, uint64_t bytes) { munmap(memory, bytes); }

int os_map_over(void *memory, uint64_t bytes) {
    void *at =
        mmap(memory, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? -errno : 0;
}

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static int map_advised(void **page, int protection, int flags, int file, int advice) {
    *page = mmap(NULL, page_size(), protection, flags, file, 0);
    if (*page == MAP_FAILED) {
        return -errno;
    }
    if (madvise(*page, page_size(), advice) != 0) {
        int error = -errno;
        munmap(*page, page_size());
        return error;
    }
    return 0;
}

int os_hold(int file, void **page) { return map_advised(page, PROT_READ, MAP_SHARED, file, MADV_DONTFORK); }

void os_release_hold(void *page) { munmap(page, page_size()); }

int os_wiped_on_fork(void **page) {
    return map_advised(page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, MADV_WIPEONFORK);
}

void os_release_wiped(void *page) { munmap(page, page_size()); }

/* --- locks --- */

static int lock_control(int file, int command, short type, uint64_t byte, short *found) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = FIRST_LOCK + (off_t)byte, .l_len = 1};
    while (fcntl(file, command, &lock) != 0) {
        if (errno != EINTR) {
            return errno == EACCES ? -EAGAIN : -errno;
        }
    }
    if (found) {
        *found = lock.l_type;
    }
    return 0;
}

int os_lock(int file, uint64_t byte) { return lock_control(file, F_OFD_SETLK, F_WRLCK, byte, NULL); }

int os_unlock(int file, uint64_t byte) { return lock_control(file, F_OFD_SETLK, F_UNLCK, byte, NULL); }

int os_is_locked(int file, uint64_t byte) {
    short found = F_UNLCK;
    int error = lock_control(file, F_OFD_GETLK, F_WRLCK, byte, &found);
    return error ? error : found != F_UNLCK;
}

/* --- processes --- */

pid_t os_process(void) { return getpid(); }

uint64_t os_process_start(pid_t process) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)process);
    FILE *file = fopen(path, "re");
    if (!file) {
        return 0;
    }
    size_t got = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[got] = 0;
    char *at = strrchr(line, ')'); /* the name may hold anything, parentheses too */
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

void os_process_command(pid_t process, char *command, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/cmdline", (long)process);
    FILE *file = fopen(path, "re");
    size_t got = file ? fread(command, 1, size - 1, file) : 0;
    if (file) {
        fclose(file);
    }
    for (size_t i = 0; i + 1 < got; i++) {
        if (command[i] == 0) {
            command[i] = ' ';
        }
    }
    command[got] = 0;
}

uid_t os_user(void) { return geteuid(); }

int os_random(void *bytes, size_t count) { return getrandom(bytes, count, 0) == (ssize_t)count ? 0 : -EIO; }

uint32_t os_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint32_t)now.tv_sec;
}

void os_sleep(double seconds) {
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}
