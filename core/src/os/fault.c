/* fault.c: see fault.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

int os_forbid(void *memory, uint64_t bytes) {
    void *at = mmap(memory, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (at != MAP_FAILED) {
        return 0;
    }
    return mprotect(memory, bytes, PROT_NONE) == 0 ? 0 : -errno;
}

static void (*explain_fault)(const void *address);
static struct sigaction first_before; /* the handler before on_fault was first installed */
static struct sigaction last_before;  /* the handler before the last time; it may call on_fault in turn */
static bool is_installed;
/* Faults of different threads are independent. */
static _Thread_local bool has_explained __attribute__((tls_model("initial-exec")));

static void on_fault(int number, siginfo_t *info, void *context) {
    int error = errno;
    (void)context;
    if (info->si_code > 0 && !has_explained) {
        explain_fault(info->si_addr);
    }
    /* On return the access is retried and faults again. If that comes back here, a handler installed in between passed
     * it on; do not give it to that handler again, or the two would loop forever. */
    sigaction(number, has_explained ? &first_before : &last_before, NULL);
    has_explained = true;
    if (info->si_code <= 0) {
        raise(number); /* sent by a process, not a fault */
    }
    errno = error;
}

void os_on_fault(void (*explain)(const void *address)) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK}, now;
    sigemptyset(&action.sa_mask);
    explain_fault = explain;
    has_explained = false;
    if (sigaction(SIGSEGV, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_fault)) {
        last_before = now;
        if (!is_installed) {
            first_before = now;
            is_installed = true;
        }
        (void)sigaction(SIGSEGV, &action, NULL);
    }
}

void os_say(const char *text, size_t length) {
    ssize_t written = write(STDERR_FILENO, text, length);
    (void)written; /* nothing to do about a failure */
}

void os_end(void) { _exit(127); }
