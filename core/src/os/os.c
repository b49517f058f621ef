/* os.c: see os.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/os.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_PAGE ((size_t)2 << 20)
#define LONGEST_WAIT 1e6 /* seconds: what any time_t holds */

size_t os_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* What a mapping of `bytes` takes without its guard pages. */
static size_t whole_pages(size_t bytes) { return (bytes + os_page_size() - 1) / os_page_size() * os_page_size(); }

int os_map_private(size_t bytes, bool huge, void **memory) {
    size_t page = os_page_size(), slack = huge && bytes >= HUGE_PAGE ? HUGE_PAGE : 0;
    if (bytes == 0 || bytes > (size_t)PTRDIFF_MAX - 3 * page - slack) {
        return -ENOMEM;
    }
    size_t rounded = whole_pages(bytes), whole = rounded + 2 * page + slack;
    char *at = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        return -errno;
    }
    if (slack) { /* cut it so that what follows the guard page starts on a huge page */
        size_t before = (HUGE_PAGE - (uintptr_t)(at + page) % HUGE_PAGE) % HUGE_PAGE;
        if (before) {
            munmap(at, before);
        }
        if (slack - before) {
            munmap(at + before + rounded + 2 * page, slack - before);
        }
        at += before;
    }
    if (mprotect(at + page, rounded, PROT_READ | PROT_WRITE) != 0) {
        int error = errno;
        munmap(at, rounded + 2 * page);
        return -error;
    }
    if (slack) {
        madvise(at + page, rounded, MADV_HUGEPAGE); /* refused: ordinary pages, and os_residency says so */
    }
    *memory = at + page;
    return 0;
}

void os_unmap(void *memory, size_t bytes) {
    munmap((char *)memory - os_page_size(), whole_pages(bytes) + 2 * os_page_size());
}

int os_prefault(void *memory, size_t bytes, const struct os_pause *pause) {
    size_t whole = whole_pages(bytes);
    for (size_t at = 0; at < whole;) {
        size_t length = whole - at < OS_PIECE ? whole - at : (size_t)OS_PIECE;
        if (madvise((char *)memory + at, length, MADV_POPULATE_WRITE) == 0) {
            at += length;
        } else if (errno != EINTR && errno != EAGAIN) { /* interrupted, it keeps what it has made present */
            return -errno;
        }
        if (at < whole && !os_may_go_on(pause)) {
            return -ECANCELED;
        }
    }
    return 0;
}

int os_residency(const void *memory, size_t bytes, struct os_residency *residency) {
    FILE *maps = fopen("/proc/self/smaps", "re");
    if (!maps) {
        return -errno;
    }
    uintptr_t first = (uintptr_t)memory, end = first + bytes, from = 0, to = 0;
    char line[512];
    residency->resident_bytes = residency->huge_bytes = 0;
    while (fgets(line, sizeof line, maps)) {
        uintptr_t a, b;
        uint64_t kib;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &a, &b) == 2) {
            from = a > first ? a : first;
            to = b < end ? b : end;
        } else if (from < to && sscanf(line, "Rss: %" SCNu64 " kB", &kib) == 1) {
            residency->resident_bytes += kib * 1024;
        } else if (from < to && sscanf(line, "AnonHugePages: %" SCNu64 " kB", &kib) == 1) {
            residency->huge_bytes += kib * 1024;
        }
    }
    fclose(maps);
    return 0;
}

static void futex_wait(atomic_half *word, int operation, uint32_t expected, double seconds) {
    struct timespec limit;
    seconds = seconds > 0 ? seconds < LONGEST_WAIT ? seconds : LONGEST_WAIT : 0; /* NaN is no time at all */
    limit.tv_sec = (time_t)seconds;
    limit.tv_nsec = (long)((seconds - (double)limit.tv_sec) * 1e9);
    syscall(SYS_futex, word, operation, expected, &limit, NULL, 0);
}

void os_wait(atomic_half *word, uint32_t expected, double seconds) {
    futex_wait(word, FUTEX_WAIT_PRIVATE, expected, seconds);
}

void os_wait_shared(atomic_half *word, uint32_t expected, double seconds) {
    futex_wait(word, FUTEX_WAIT, expected, seconds);
}

void os_wake_all(atomic_half *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

void os_wake_all_shared(atomic_half *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); }

double os_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The letter that the kernel has for what a thread does, or 0. */
static char thread_state(const char *thread) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", thread);
    FILE *file = fopen(path, "re");
    size_t read = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) {
        fclose(file);
    }
    text[read] = 0;
    const char *name_end = strrchr(text, ')'); /* the name may hold anything */
    return name_end && name_end[1] == ' ' ? name_end[2] : 0;
}

static bool others_sleep(void) {
    char own[24];
    bool sleep = false;
    snprintf(own, sizeof own, "%ld", syscall(SYS_gettid));
    DIR *threads = opendir("/proc/self/task");
    if (threads) {
        const struct dirent *thread;
        sleep = true;
        while (sleep && (thread = readdir(threads)) != NULL) {
            char state = 'S';
            if (thread->d_name[0] != '.' && strcmp(thread->d_name, own) != 0) {
                state = thread_state(thread->d_name);
            }
            sleep = state == 'S' || state == 'Z' || state == 'X'; /* asleep, or gone */
        }
        closedir(threads);
    }
    return sleep;
}

bool os_at_rest(double seconds) {
    double end = os_now() + seconds;
    while (!others_sleep()) {
        if (os_now() >= end) {
            return false;
        }
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return true;
}

void os_yield(void) { sched_yield(); }

unsigned os_threads(void) {
    unsigned count = 0;
    DIR *threads = opendir("/proc/self/task");
    for (const struct dirent *entry; threads && (entry = readdir(threads));) {
        count += entry->d_name[0] != '.';
    }
    if (threads) {
        closedir(threads);
    }
    return count;
}

#ifndef BLOCKPOOL_EXPLORE
_Thread_local uint32_t os_thread_number_kept;

uint32_t os_thread_number_first(void) {
    static atomic_half last;
    do { /* zero means none yet: skip it when the count wraps */
        os_thread_number_kept = half_fetch_add_seq(&last, 1) + 1;
    } while (os_thread_number_kept == 0);
    return os_thread_number_kept;
}
#endif
