/* scheduler.c: see scheduler.h. */
#include "scheduler.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STACK_BYTES (64u << 10)
#define MOST_DECISIONS 100000u
#define MOST_STEPS 100000u     /* of one schedule: more is taken for a schedule without end */
#define STOP 7u                /* the choice "stop this one forever"; others are numbers of threads */
#define SEARCH EXPLORE_THREADS /* the coroutine that is no thread: the search itself */

/* --- coroutines: a swap that makes no system call where we have one, else ucontext --- */

static void start(void); /* where each thread begins */

static unsigned char stacks[EXPLORE_THREADS][STACK_BYTES] __attribute__((aligned(64)));

#if defined(__x86_64__)

static void *contexts[EXPLORE_THREADS + 1];

void explore_swap(void **from, void *to);
__asm__(".text\n"
        ".globl explore_swap\n"
        ".type explore_swap, @function\n"
        "explore_swap:\n"
        "    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp\n"
        "    ret\n"
        ".size explore_swap, .-explore_swap\n");

static void prepare(unsigned thread) {
    void **top = (void **)(void *)(stacks[thread] + STACK_BYTES) - 2;
    *top = (void *)(uintptr_t)start; /* `ret` leaves the stack as a call would */
    contexts[thread] = memset(top - 6, 0, 6 * sizeof *top);
}

static void swap(unsigned from, unsigned to) { explore_swap(&contexts[from], contexts[to]); }

#else

#include <ucontext.h>

static ucontext_t contexts[EXPLORE_THREADS + 1];

static void prepare(unsigned thread) {
    getcontext(&contexts[thread]);
    contexts[thread].uc_stack.ss_sp = stacks[thread];
    contexts[thread].uc_stack.ss_size = STACK_BYTES;
    makecontext(&contexts[thread], start, 0);
}

static void swap(unsigned from, unsigned to) { swapcontext(&contexts[from], &contexts[to]); }

#endif

/* --- one schedule --- */

struct decision {
    uint8_t chosen;
    uint8_t left; /* a bit per choice not yet tried */
};

static const struct exploration *what;
static struct explored *result;
static struct decision decisions[MOST_DECISIONS];
static unsigned depth;       /* decisions known */
static unsigned taken;       /* decisions taken so far in this schedule */
static unsigned preemptions; /* paid so far in this schedule */
static unsigned stops;       /* made so far in this schedule */
static unsigned runnable;    /* a bit per thread that can go on */
static unsigned current;     /* the thread that runs, or SEARCH */
static unsigned steps[EXPLORE_THREADS];
static unsigned all_steps;
static unsigned stopped;                   /* a bit per thread stopped forever */
static unsigned ended;                     /* a bit per thread that ended or was stopped */
static const void *place[EXPLORE_THREADS]; /* where a thread sleeps */

/* What happened, for the report: a thread and its accesses, or its stop. */
static struct event {
    uint8_t thread;
    bool stop;
    unsigned steps;
} events[MOST_STEPS];
static unsigned event_count;

static void note(unsigned thread, bool stop) {
    if (!stop && event_count && events[event_count - 1].thread == thread && !events[event_count - 1].stop) {
        events[event_count - 1].steps++;
    } else if (event_count < MOST_STEPS) {
        events[event_count++] = (struct event){(uint8_t)thread, stop, 1};
    }
}

unsigned explore_thread(void) { return current; }

bool explore_others(void) { return current != SEARCH && (ended | 1u << current) != (1u << what->threads) - 1; }

bool explore_stopped(unsigned thread, unsigned *step) {
    *step = steps[thread];
    return stopped >> thread & 1;
}

bool explore_sleeps(unsigned thread) { return place[thread] != NULL; }

static void go_to(unsigned next) {
    unsigned from = current;
    if (next != from) {
        current = next;
        swap(from, next);
    }
}

/* Takes the next decision: `usual` first, the other `free` ones and, while the bound lasts, the `costly` ones
 * in later schedules. */
static unsigned decide(unsigned usual, unsigned free, unsigned costly) {
    if (costly && preemptions >= what->bound) {
        result->exhaustive = false;
        costly = 0;
    }
    unsigned choices = free | costly, chosen = usual;
    if (choices != 1u << usual) {
        if (taken == depth) {
            if (depth == MOST_DECISIONS) {
                explore_fail("too many decisions in one schedule");
                go_to(SEARCH);
            }
            decisions[depth++] = (struct decision){(uint8_t)usual, (uint8_t)(choices & ~(1u << usual))};
        }
        chosen = decisions[taken++].chosen;
    }
    preemptions += costly >> chosen & 1;
    return chosen;
}

static unsigned first_of(unsigned threads) { return (unsigned)__builtin_ctz(threads); }

/* The current thread does not go on for now: any other may, free of charge. */
static void go_elsewhere(void) {
    if (!runnable) {
        for (unsigned t = 0; t < what->threads; t++) {
            if (place[t] && !stopped) {
                explore_fail("thread %u sleeps forever", t);
            }
        }
        go_to(SEARCH);
    } else {
        go_to(decide(first_of(runnable), runnable, 0));
    }
}

/* The current thread goes no further: threads that wait for that may go on. */
static void end(void) {
    ended |= 1u << current;
    runnable &= ~(1u << current);
    explore_wake(&steps[current]);
}

static void start(void) {
    what->body(current);
    end();
    go_elsewhere();
    abort(); /* nothing switches back to a thread that ended */
}

void explore_step(void) {
    if (current == SEARCH) {
        return;
    }
    unsigned me = current;
    steps[me]++;
    if (++all_steps > MOST_STEPS) {
        explore_fail("no end after %u steps", MOST_STEPS);
    }
    unsigned others = runnable & ~(1u << me);
    if (others || stops < what->stops) {
        unsigned free = 1u << me | (stops < what->stops ? 1u << STOP : 0);
        unsigned chosen = decide(me, free, others);
        if (chosen == STOP) {
            stops++;
            stopped |= 1u << me;
            end();
            if (what->stopped) {
                what->stopped();
            }
            note(me, true);
            go_elsewhere();
        }
        go_to(chosen);
    }
    note(me, false);
}

void explore_yield(void) {
    unsigned me = current, others = me == SEARCH ? 0 : runnable & ~(1u << me);
    if (others) {
        unsigned later = others >> me << me, next = first_of(later ? later : others);
        go_to(decide(next, 1u << next, runnable & ~(1u << next)));
    }
}

void explore_sleep(const void *at) {
    place[current] = at;
    runnable &= ~(1u << current);
    go_elsewhere();
}

void explore_wake(const void *at) {
    for (unsigned t = 0; t < what->threads; t++) {
        if (place[t] == at) {
            place[t] = NULL;
            runnable |= 1u << t;
        }
    }
}

unsigned explore_wake_some(const void *at, unsigned most) {
    unsigned woken = 0;
    for (; woken < most; woken++) {
        unsigned sleep_here = 0;
        for (unsigned t = 0; t < what->threads; t++) {
            sleep_here |= (unsigned)(place[t] == at) << t;
        }
        if (!sleep_here) {
            break;
        }
        unsigned next = current == SEARCH ? first_of(sleep_here) : decide(first_of(sleep_here), sleep_here, 0);
        place[next] = NULL;
        runnable |= 1u << next;
    }
    return woken;
}

bool explore_join(unsigned thread) {
    while (!(ended >> thread & 1)) {
        explore_sleep(&steps[thread]);
    }
    return stopped >> thread & 1;
}

void explore_fail(const char *format, ...) {
    if (!result->failed) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(result->message, sizeof result->message, format, arguments);
        va_end(arguments);
        result->failed = true;
    }
    if (current != SEARCH) {
        go_to(SEARCH);
    }
}

static void run(void) {
    taken = preemptions = stops = stopped = ended = all_steps = event_count = 0;
    current = SEARCH;
    what->set_up();
    for (unsigned t = 0; t < what->threads; t++) {
        prepare(t);
        steps[t] = 0;
        place[t] = NULL;
    }
    runnable = (1u << what->threads) - 1;
    go_to(decide(0, runnable, 0));
    result->schedules++;
    result->steps += all_steps;
    result->longest = all_steps > result->longest ? all_steps : result->longest;
    if (!result->failed) {
        what->check();
    }
}

static void tell_decisions(void) {
    size_t length = 0, room = sizeof result->decisions;
    for (unsigned e = 0; e < event_count && length < room; e++) {
        const char *space = e ? " " : "";
        int more = events[e].stop
                       ? snprintf(result->decisions + length, room - length, "%s%u!", space, events[e].thread)
                       : snprintf(result->decisions + length, room - length, "%s%u*%u", space, events[e].thread,
                                  events[e].steps);
        length += (size_t)more;
    }
}

void explore(const struct exploration *exploration, struct explored *explored) {
    what = exploration;
    result = explored;
    *result = (struct explored){.exhaustive = true};
    depth = 0;
    do {
        run();
        if (result->failed) {
            tell_decisions();
            return;
        }
        while (depth && !decisions[depth - 1].left) {
            depth--;
        }
        if (depth) {
            struct decision *last = &decisions[depth - 1];
            last->chosen = (uint8_t)first_of(last->left);
            last->left &= (uint8_t)~(1u << last->chosen);
        }
    } while (depth);
}
