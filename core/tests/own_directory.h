/* own_directory.h: tests that have a directory of shared memory to themselves, in a child. */
#ifndef BLOCKPOOL_OWN_DIRECTORY_H
#define BLOCKPOOL_OWN_DIRECTORY_H

#include "process.h"

#include <sched.h>
#include <sys/mount.h>

static void (*own_directory_test)(void);
static const char *own_directory_options;

static inline void with_own_directory(void) {
    if (!((unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
          mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
          mount("tmpfs", "/dev/shm", "tmpfs", 0, own_directory_options) == 0)) {
        printf("skip: no right to mount a /dev/shm of its own\n");
        return;
    }
    own_directory_test();
    CHECK(process_end(), ==, 0);
}

static inline void run_alone(void (*test)(void), const char *options) {
    own_directory_test = test;
    own_directory_options = options;
    CHECK(ended(start(with_own_directory)), ==, 0);
}

/* Runs a test in a directory with these options of mount(), such as its size. */
#define RUN_ALONE(test, options)                                                                                       \
    do {                                                                                                               \
        uint64_t check_before = check_failed;                                                                          \
        run_alone(test, options);                                                                                      \
        printf("%s %s\n", check_failed == check_before ? "ok  " : "FAIL", #test);                                      \
    } while (0)

#endif
