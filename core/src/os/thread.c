/* thread.c: see thread.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/thread.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/atomic.h"
#include "os/wait.h"

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

#define LOOKS 10
#define LOOK_SECONDS 0.0002

bool os_is_alone(void) {
    unsigned looks = 1;
    while (os_threads() != 1 && looks++ < LOOKS) {
        os_sleep(LOOK_SECONDS);
    }
    return looks <= LOOKS;
}

uint32_t os_thread_id(void) { return (uint32_t)syscall(SYS_gettid); }

bool os_thread_is_here(uint32_t id) { return syscall(SYS_tgkill, getpid(), (pid_t)id, 0) == 0 || errno != ESRCH; }

/* The letter that /proc has for the state of a thread, or 0. */
static char thread_state(const char *thread) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", thread);
    FILE *file = fopen(path, "re");
    size_t read = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) {
        fclose(file);
    }
    text[read] = 0;
    const char *name_end = strrchr(text, ')'); /* the name may contain anything */
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
        os_sleep(0.001);
    }
    return true;
}

#ifndef BLOCKPOOL_EXPLORE
_Thread_local uint32_t os_thread_number_kept;

uint32_t os_thread_number_first(void) {
    static atomic_half last;
    do { /* 0 means none yet: skip it when the count wraps */
        os_thread_number_kept = half_fetch_add_seq(&last, 1) + 1;
    } while (os_thread_number_kept == 0);
    return os_thread_number_kept;
}
#endif
