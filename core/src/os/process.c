/* process.c: see process.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "os/atomic.h"
#include "os/memory.h"

pid_t os_process(void) { return getpid(); }

/* Reads the start of a file of /proc and returns its length. No stdio: in a forked child, its locks may be held
 * forever. */
static size_t read_start(const char *path, char *text, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? 0 : read(file, text, size - 1);
    if (file >= 0) {
        close(file);
    }
    text[got > 0 ? got : 0] = 0;
    return got > 0 ? (size_t)got : 0;
}

/* A word of this process that a forked child finds 0, however it was forked; NULL if there is no memory for it. */
static atomic_word *own_word(void) {
    static atomic_word address;
    uint64_t known = load_seq(&address);
    void *page;
    if (!known && os_wiped_on_fork(&page) == 0) {
        if (compare_exchange_seq(&address, &known, (uintptr_t)page)) {
            return page;
        }
        os_release_wiped(page);
    }
    return (atomic_word *)(uintptr_t)known;
}

static uint64_t read_process_start(void) {
    char line[1024];
    (void)read_start("/proc/self/stat", line, sizeof line);
    char *at = strrchr(line, ')'); /* the name may contain anything, even parentheses */
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

uint64_t os_process_start(void) {
    atomic_word *own = own_word();
    uint64_t start = own ? load_relaxed(own) : 0;
    if (start == 0) {
        start = read_process_start();
        if (own) {
            store_relaxed(own, start);
        }
    }
    return start;
}

static double seconds_by(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double os_start_time(uint64_t start) {
    return seconds_by(CLOCK_REALTIME) - seconds_by(CLOCK_BOOTTIME) + (double)start / (double)sysconf(_SC_CLK_TCK);
}

void os_process_command(char *command, size_t size) {
    size_t got = read_start("/proc/self/cmdline", command, size);
    for (size_t i = 0; i + 1 < got; i++) {
        if (command[i] == 0) {
            command[i] = ' ';
        }
    }
}

uid_t os_user(void) { return geteuid(); }

int os_random(void *bytes, size_t count) { return getrandom(bytes, count, 0) == (ssize_t)count ? 0 : -EIO; }
