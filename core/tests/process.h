/* process.h: other processes for the tests: starting them, waiting for their end, and a page that they share.
 *
 * A child runs one function and reports failed checks by its exit code. It dies with its parent, so no failed test
 * leaves processes behind. Names in the directory of shared memory are "blockpool.test-<pid>-<n>"; process_end removes
 * what is left of them, and nothing else. Include it before anything else: it enables Linux's additions to POSIX.
 */
#ifndef BLOCKPOOL_PROCESS_H
#define BLOCKPOOL_PROCESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "os/file.h"
#include "os/lock.h"
#include "os/wait.h"

#define PROCESS_PATIENCE 60.0 /* seconds: with sanitizers, on a busy machine */
#define PROCESSES 8u          /* slots of the pools that tests make */

/* The page: a step that the processes reach one after the other, and room for what they tell each other. */
struct process_page {
    atomic_half step;
    atomic_word told[64];
};

static struct process_page *page;
static char process_prefix[64];
static int process_lives = -1; /* a file in which each child has a lock on a byte, as long as it has its memory */

static inline void process_begin(void) {
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        abort();
    }
    snprintf(process_prefix, sizeof process_prefix, "blockpool.test-%ld-", (long)getpid());
    process_lives = os_memfd("lives");
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* to wait for grandchildren too */
}

/* A name that no other test uses. */
static inline const char *process_name(void) {
    static char name[96];
    static unsigned count;
    snprintf(name, sizeof name, "%s%u", process_prefix, ++count);
    return name;
}

static inline bool process_remove(const char *name, void *context) {
    ++*(unsigned *)context;
    printf("left behind: %s\n", name);
    (void)os_shm_unlink(name);
    return true;
}

/* How many names this process's tests left behind; removes them. */
static inline unsigned process_end(void) {
    unsigned left = 0;
    (void)os_shm_list(process_prefix, process_remove, &left);
    return left;
}

static inline void reach(uint32_t step) { half_store_seq(&page->step, step); }

/* Waits until a process has reached the step. */
static inline void await(uint32_t step) {
    for (double end = os_now() + PROCESS_PATIENCE; half_load_seq(&page->step) < step; os_sleep(0.0005)) {
        if (os_now() > end) {
            printf("process %ld: no process reached step %u\n", (long)getpid(), step);
            fflush(stdout);
            _exit(3);
        }
    }
}

static inline void tell(unsigned place, uint64_t value) { store_release(&page->told[place], value); }
static inline uint64_t told(unsigned place) { return load_seq(&page->told[place]); }

/* Waits until the condition holds, or patience ends; whether it did. */
#define SOON(condition)                                                                                                \
    __extension__({                                                                                                    \
        double soon_end = os_now() + PROCESS_PATIENCE;                                                                 \
        while (!(condition) && os_now() < soon_end) {                                                                  \
            os_sleep(0.0005);                                                                                          \
        }                                                                                                              \
        (condition);                                                                                                   \
    })

/* Tries until it is so, or patience ends; whether it was. For what a busy machine may hold up, but not each time. */
static inline bool in_some_try(bool (*is_so)(void)) {
    for (double end = os_now() + PROCESS_PATIENCE; os_now() < end;) {
        if (is_so()) {
            return true;
        }
    }
    return false;
}

/* In a child, locks its byte of the file. */
static inline void process_live(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", process_lives);
    int own = open(path, O_RDWR | O_CLOEXEC);
    void *pin;
    if (own >= 0 && os_lock(own, (uint64_t)getpid()) == 0) {
        (void)os_pin_lock(own, &pin);
    }
    if (own >= 0) {
        close(own);
    }
}

/* Starts a child that runs `body` and ends. No handler of fork() runs: it has no part in what this process has. */
static inline pid_t start(void (*body)(void)) {
    fflush(stdout);
    reach(0);
    pid_t parent = getpid(), child = _Fork();
    if (child == 0) {
        uint64_t before = check_failed;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(3);
        }
        process_live();
        body();
        fflush(stdout);
        _exit(check_failed != before);
    }
    return child;
}

/* Waits until the memory of a child that has ended is gone, with which its locks end. A program that reads its maps in
 * /proc keeps that for a moment longer. */
static inline void await_gone(pid_t child) { (void)SOON(os_is_locked(process_lives, (uint64_t)child) <= 0); }

/* Waits for the end of a child: its exit code, or the signal that killed it, negative. */
static inline int ended(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return 1000;
        }
    }
    await_gone(child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static inline void kill_and_wait(pid_t child) {
    kill(child, SIGKILL);
    CHECK(ended(child), ==, -SIGKILL);
}

/* The last act of a child that is to be killed. */
static inline void stay(void) {
    for (;;) {
        pause();
    }
}

#endif
