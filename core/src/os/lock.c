/* lock.c: see lock.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Lock 0: past the end of any file. */
#define FIRST_LOCK ((off_t)1 << 60)

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

int os_lock_shared_alone(int file, uint64_t byte) {
    int error = lock_control(file, F_OFD_SETLK, F_RDLCK, byte, NULL);
    if (error == 0) {
        int others = os_is_locked(file, byte);
        error = others > 0 ? -EAGAIN : others;
        if (error) {
            (void)os_unlock(file, byte);
        }
    }
    return error;
}

int os_unlock(int file, uint64_t byte) { return lock_control(file, F_OFD_SETLK, F_UNLCK, byte, NULL); }

int os_is_locked(int file, uint64_t byte) {
    short found = F_UNLCK;
    int error = lock_control(file, F_OFD_GETLK, F_WRLCK, byte, &found);
    return error ? error : found != F_UNLCK;
}

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

int os_pin_lock(int file, void **page) {
    *page = mmap(NULL, page_size(), PROT_READ, MAP_SHARED, file, 0);
    if (*page == MAP_FAILED) {
        return -errno;
    }
    if (madvise(*page, page_size(), MADV_DONTFORK) != 0) {
        int error = -errno;
        munmap(*page, page_size());
        return error;
    }
    return 0;
}

void os_unpin_lock(void *page) { munmap(page, page_size()); }
