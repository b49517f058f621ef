/* gate.c: taking turns, among processes by the gate and among the threads of this one by a mutex; see
 * attachment_parts.h.
 *
 * THE MUTEX is held while a thread is in a gate, and for the instant in which a descriptor of a pool is opened or
 * closed. Fork takes it too, so a child inherits no description that carries a lock, and finds every descriptor where
 * its attachment says. No thread holds it while it waits for another process; otherwise one busy gate would delay every
 * pool of the process.
 *
 * THE GATE is polled, because the kernel's own waiting for a lock has no deadline. But then the most frequent caller
 * would win, and a process that comes back at once would keep out all others. So the header names the oldest waiter,
 * and younger ones let it go first. It renews its mark at each try; one that is stopped or dead holds up the others no
 * longer than GATE_MARK. The mark is a hint, written without synchronization: a wrong one costs time, and only the lock
 * lets a process in.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "shared/attachment_parts.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "os/lock.h"
#include "os/process.h"
#include "os/wait.h"

#define GATE_POLL 0.001  /* seconds between two tries */
#define GATE_NEXT 0.0001 /* the same for the oldest waiter, which the others let go first */
#define GATE_MARK 50u    /* milliseconds for which the mark of the oldest waiter counts */
#define TURN_LEAST 0.1   /* seconds to wait for other threads even if only trying: they are soon through */

/* One for all pools. Recursive, because fork holds it; not every C library has a static initializer for such a
 * mutex. */
static pthread_mutex_t gate_mutex;

__attribute__((constructor)) static void turn_begin(void) {
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&gate_mutex, &kind);
    pthread_mutexattr_destroy(&kind);
}

void gate_mutex_lock(void) { pthread_mutex_lock(&gate_mutex); }

bool gate_mutex_lock_within(double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    double whole = (double)until.tv_sec + (double)until.tv_nsec * 1e-9 + (seconds < TURN_LEAST ? TURN_LEAST : seconds);
    until.tv_sec = (time_t)whole;
    until.tv_nsec = (long)((whole - (double)until.tv_sec) * 1e9);
    return pthread_mutex_timedlock(&gate_mutex, &until) == 0;
}

void gate_mutex_unlock(void) { pthread_mutex_unlock(&gate_mutex); }

void gate_mutex_reset_in_child(void) { turn_begin(); }

/* The mark of a waiter: since when it has waited, and when it last renewed the mark, in milliseconds that wrap
 * around. */
static uint64_t mark_of(uint32_t since, uint32_t now) { return (uint64_t)since << 32 | now; }

/* Whether the mark is that of a waiter that has waited longer and renewed it a moment ago. */
static bool is_older(uint64_t mark, uint32_t since, uint32_t now) {
    return mark && now - (uint32_t)mark < GATE_MARK && (int32_t)((uint32_t)(mark >> 32) - since) < 0;
}

static uint32_t milliseconds(void) { return (uint32_t)(uint64_t)(os_now() * 1000); }

enum pool_status gate_enter(struct attachment *attachment, double seconds, int *gate, struct pool_failure *failure) {
    struct layout_header *header = attachment->memory;
    double deadline = os_now() + seconds;
    uint32_t since = milliseconds();
    for (;;) {
        if (!gate_mutex_lock_within(deadline - os_now())) {
            failure->process = (uint64_t)os_process();
            return POOL_BUSY;
        }
        enum pool_status status = descriptor_ready(attachment, failure);
        uint32_t now = milliseconds();
        *gate = -EAGAIN;
        uint64_t mark = load_relaxed(&header->gate_oldest);
        if (status == POOL_OK && (seconds <= 0 || !is_older(mark, since, now))) {
            *gate = slots_gate_try(&attachment->file, attachment->memory);
            if (*gate == -EAGAIN && seconds > 0) {
                store_relaxed(&header->gate_oldest, mark_of(since, now));
            } else if (mark >> 32 == since) {
                store_relaxed(&header->gate_oldest, 0);
            }
        }
        if (*gate >= 0) {
            return POOL_OK;
        }
        gate_mutex_unlock();
        if (status != POOL_OK) {
            return status;
        }
        if (*gate != -EAGAIN) {
            return pool_status_from_errno(*gate, failure);
        }
        if (os_now() >= deadline) {
            failure->process = load_relaxed(&header->gate_process);
            return POOL_BUSY;
        }
        os_sleep(load_relaxed(&header->gate_oldest) >> 32 == since ? GATE_NEXT : GATE_POLL);
    }
}

void gate_leave(const struct attachment *attachment, int gate) {
    slots_gate_leave(&attachment->file, gate);
    gate_mutex_unlock();
}

enum pool_status gate_try(int file, struct pool_failure *failure) {
    uint64_t process = (uint64_t)os_process();
    size_t at = offsetof(struct layout_header, gate_process);
    int error = os_lock(file, SLOTS_GATE_BYTE);
    if (error == 0) {
        (void)os_write(file, at, &process, sizeof process);
        return POOL_OK;
    }
    if (error == -EAGAIN) {
        (void)os_read(file, at, &failure->process, sizeof failure->process);
        return POOL_BUSY;
    }
    return pool_status_from_errno(error, failure);
}

void gate_give_back(int file) { (void)os_unlock(file, SLOTS_GATE_BYTE); }
