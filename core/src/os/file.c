/* file.c: see file.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Never by the pid: /proc may belong to another PID namespace. */
#define OWN_DESCRIPTORS "/proc/self/fd/"

/* What was just opened, or the negative errno. Never 0, 1 or 2, even if the program has closed those: a later write to
 * stderr would land in a pool's header. */
static int descriptor_or_error(int result) {
    if (result > STDERR_FILENO) {
        return result;
    }
    int above = result < 0 ? -1 : fcntl(result, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error = -errno;
    if (result >= 0) {
        close(result);
    }
    return above < 0 ? error : above;
}

static int error_of(int result) { return result < 0 ? -errno : 0; }

/* The error to report when a path under OWN_DESCRIPTORS failed: -ENOSYS if the path is not there at all. */
static int error_of_own(const char *path, int error) {
    char target[1];
    return readlink(path, target, sizeof target) < 0 ? -ENOSYS : error;
}

/* --- descriptors --- */

static struct os_identity identity_of(const struct stat *status) {
    return (struct os_identity){.device = status->st_dev, .inode = status->st_ino};
}

static bool belongs_to(const struct stat *status, const struct os_identity *identity) {
    return status->st_dev == identity->device && status->st_ino == identity->inode;
}

int os_keep(int number, struct os_descriptor *file) {
    struct stat status;
    if (fstat(number, &status) != 0) {
        return -errno;
    }
    *file = (struct os_descriptor){number, identity_of(&status)};
    return 0;
}

int os_verify(const struct os_descriptor *file) {
    struct stat status;
    return fstat(file->number, &status) != 0 ? -errno : belongs_to(&status, &file->identity) ? 0 : -ESTALE;
}

void os_close(int file) { close(file); }

void os_close_kept(struct os_descriptor *file) {
    if (os_verify(file) == 0) {
        os_close(file->number);
    }
    file->number = -1;
}

/* What was opened through a path, if it is the file; otherwise closes it and returns the error. */
static int opened(int number, const struct os_identity *identity) {
    struct os_descriptor file = {number, *identity};
    int error = os_verify(&file);
    if (error) {
        os_close(number);
    }
    return error ? error : number;
}

int os_reopen(const struct os_descriptor *file) {
    char path[64];
    /* First, because opening some other file may have effects. */
    int error = os_verify(file);
    if (error) {
        return error;
    }
    snprintf(path, sizeof path, OWN_DESCRIPTORS "%d", file->number);
    int again = descriptor_or_error(open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK));
    return again < 0 ? error_of_own(path, again) : opened(again, &file->identity);
}

/* The directory's next entry that is a number, or NULL. */
static const char *next_number(DIR *directory) {
    const struct dirent *entry;
    while ((entry = readdir(directory)) && (entry->d_name[0] < '0' || entry->d_name[0] > '9')) {
    }
    return entry ? entry->d_name : NULL;
}

/* Looks through the descriptors of one process. */
static int find_open_in(const char *process, const struct os_identity *identity) {
    char path[64], target[64];
    struct stat status;
    const char *number;
    int found = -ENOENT;
    snprintf(path, sizeof path, "/proc/%.20s/fd", process);
    DIR *descriptors = opendir(path);
    while (descriptors && found == -ENOENT && (number = next_number(descriptors))) {
        snprintf(path, sizeof path, "/proc/%.20s/fd/%.20s", process, number);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = 0;
        /* Only these: a file elsewhere may be on a file system that does not answer. */
        bool memory =
            strncmp(target, "/memfd:", 7) == 0 || strncmp(target, OS_SHM_DIRECTORY "/", sizeof OS_SHM_DIRECTORY) == 0;
        if (memory && stat(path, &status) == 0 && belongs_to(&status, identity)) {
            int again = descriptor_or_error(open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK));
            again = again < 0 ? again : opened(again, identity);
            /* Any other error: it was closed in the meantime. */
            found = again >= 0 || again == -EMFILE || again == -ENFILE ? again : -ENOENT;
        }
    }
    if (descriptors) {
        closedir(descriptors);
    }
    return found;
}

int os_find_open(const struct os_identity *identity) {
    const char *process;
    int found = -ENOENT;
    DIR *processes = opendir("/proc");
    while (processes && found == -ENOENT && (process = next_number(processes))) {
        found = find_open_in(process, identity);
    }
    if (processes) {
        closedir(processes);
    }
    return found;
}

int os_open_of(pid_t process, int number) {
    char path[64];
    if (process) {
        snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)process, number);
    } else {
        snprintf(path, sizeof path, OWN_DESCRIPTORS "%d", number);
    }
    return descriptor_or_error(open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK));
}

/* --- names in the directory of shared memory --- */

/* The path of a name; false if the name is too long or would leave the directory. */
static bool path_of(const char *name, char path[static PATH_MAX]) {
    if (name[0] == 0 || strlen(name) > OS_SHM_NAME_MOST || strchr(name, '/') || name[0] == '.') {
        return false;
    }
    snprintf(path, PATH_MAX, OS_SHM_DIRECTORY "/%s", name);
    return true;
}

int os_shm_directory(void) { return descriptor_or_error(open(OS_SHM_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }

int os_shm_unnamed(void) {
    return descriptor_or_error(open(OS_SHM_DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR));
}

int os_shm_link(int file, const char *name) {
    char from[64], to[PATH_MAX];
    if (!path_of(name, to)) {
        return -EINVAL;
    }
    snprintf(from, sizeof from, OWN_DESCRIPTORS "%d", file);
    return linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0 ? 0 : error_of_own(from, -errno);
}

int os_shm_open(const char *name) {
    char path[PATH_MAX];
    if (!path_of(name, path)) {
        return -EINVAL;
    }
    /* O_NONBLOCK: do not wait if the name is a FIFO. */
    return descriptor_or_error(open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

int os_shm_unlink(const char *name) {
    char path[PATH_MAX];
    return path_of(name, path) ? error_of(unlink(path)) : -EINVAL;
}

int os_shm_list(const char *prefix, bool (*each)(const char *name, void *context), void *context) {
    DIR *directory = opendir(OS_SHM_DIRECTORY);
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

bool os_shm_names(const char *name, const struct os_identity *identity) {
    struct os_file found;
    return os_shm_look(name, &found) == 0 && found.identity.inode == identity->inode &&
           found.identity.device == identity->device;
}

uint64_t os_shm_available(void) {
    struct statvfs room;
    return statvfs(OS_SHM_DIRECTORY, &room) == 0 ? (uint64_t)room.f_bavail * room.f_frsize : 0;
}

/* --- contents --- */

int os_memfd(const char *label) { return descriptor_or_error(memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING)); }

int os_reserve(int file, uint64_t bytes, uint64_t reserved, const struct os_pause *pause) {
    if (bytes > INT64_MAX / 2) {
        return -ENOSPC;
    }
    if (ftruncate(file, (off_t)bytes) != 0) {
        return -errno;
    }
    /* In pieces: Linux before 2024 undoes an interrupted call, so a program with a timer might never finish the whole.
     * The pieces get smaller until one fits between two signals. */
    uint64_t piece = OS_PIECE;
    for (uint64_t at = 0; at < reserved;) {
        uint64_t length = reserved - at < piece ? reserved - at : piece;
        if (fallocate(file, 0, (off_t)at, (off_t)length) == 0) {
            at += length;
        } else if (errno != EINTR) {
            return -errno;
        } else if (piece > OS_SMALLEST_PIECE) {
            piece /= 2;
        }
        if (at < reserved && !os_may_go_on(pause)) {
            return -ECANCELED;
        }
    }
    return 0;
}

int os_reserve_part(int file, uint64_t at, uint64_t bytes) {
    int error;
    do {
        error = error_of(fallocate(file, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)bytes));
    } while (error == -EINTR);
    return error;
}

int os_seal(int file) { return error_of(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)); }

bool os_is_sealed(int file) {
    int seals = fcntl(file, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) && (seals & F_SEAL_GROW);
}

static void file_of(const struct stat *status, struct os_file *found) {
    *found = (struct os_file){
        .identity = identity_of(status),
        .bytes = status->st_size < 0 ? 0 : (uint64_t)status->st_size,
        .memory = status->st_blocks < 0 ? 0 : (uint64_t)status->st_blocks * 512,
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

int os_shm_look(const char *name, struct os_file *found) {
    char path[PATH_MAX];
    struct stat status;
    if (!path_of(name, path)) {
        return -EINVAL;
    }
    if (lstat(path, &status) != 0) {
        return -errno;
    }
    file_of(&status, found);
    return 0;
}

int os_read(int file, uint64_t at, void *bytes, size_t count) {
    ssize_t got = pread(file, bytes, count, (off_t)at);
    return got < 0 ? -errno : (size_t)got == count ? 0 : -EIO;
}

int os_write(int file, uint64_t at, const void *bytes, size_t count) {
    ssize_t got = pwrite(file, bytes, count, (off_t)at);
    return got < 0 ? -errno : (size_t)got == count ? 0 : -EIO;
}

int os_touch(int file) { return futimens(file, NULL) == 0 ? 0 : -errno; }

/* Not on writes: the kernel tells nobody of those to a memfd through its first descriptor. */
int os_watch(int file) {
    char path[32];
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch < 0) {
        return -errno;
    }
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (inotify_add_watch(watch, path, IN_ATTRIB) < 0) {
        int error = -errno;
        os_close(watch);
        return error;
    }
    return watch;
}
