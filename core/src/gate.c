/* gate.c: taking turns, among processes by the gate and among the threads of this one by a mutex; see member_parts.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "member_parts.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

/* One for all pools: the gate's locks belong to descriptions, and so do not exclude threads. Reentrant, as fork holds it. */
static pthread_mutex_t turn = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

bool turn_take(double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    double whole = (double)until.tv_sec + (double)until.tv_nsec * 1e-9 + seconds;
    until.tv_sec = (time_t)whole;
    until.tv_nsec = (long)((whole - (double)until.tv_sec) * 1e9);
    return pthread_mutex_timedlock(&turn, &until) == 0;
}

void turn_end(void) { pthread_mutex_unlock(&turn); }

void turn_take_for_fork(void) { pthread_mutex_lock(&turn); }

void turn_begin_in_child(void) {
    pthread_mutex_t fresh = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    turn = fresh;
}

enum member_status gate_enter(int file, void *memory, double seconds, int *gate, struct member_failure *failure) {
    struct segment_header *header = memory;
    if (!turn_take(seconds)) {
        failure->process = (uint64_t)os_process();
        return MEMBER_BUSY;
    }
    *gate = slots_gate_enter(file, memory, seconds);
    if (*gate >= 0) {
        return MEMBER_OK;
    }
    turn_end();
    if (*gate == -EAGAIN) {
        failure->process = load_relaxed(&header->gate_process);
        return MEMBER_BUSY;
    }
    failure->error = *gate;
    return MEMBER_SYSTEM;
}

void gate_leave(int gate) {
    slots_gate_leave(gate);
    turn_end();
}
