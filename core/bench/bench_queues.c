/* bench_queues.c: what a message costs in C: in one process, and from one to another that spins or sleeps; and what it
 * costs to publish one that several read.
 *
 * A line gives the median of some turns, with the least and the greatest. Between two processes it is one way: half of
 * there and back. Times are as measured; the first line says how fast this machine is at the moment.
 *
 *     bench_queues [--pairs N] [--only BLOCK|BYTES --times N]
 *
 * The second form does one thing so many times, for a profiler.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "os/wait.h"
#include "shared/queues.h"

#define MOST_TURNS 101u
#define ALONE 2000u /* messages a turn */
#define BETWEEN 1000u
#define TRIES 5u /* the quickest of which counts: other work on the machine is not the message's */
#define SMALL 32u
#define CAPACITY 64u
#define READERS 4u
#define BLOCK_BYTES (UINT64_C(1) << 20)

static unsigned turns = 21;
static struct attachment pool;

#define MUST(call) insist((call) == POOL_OK, #call)

static void report(const char *name, double *values, double most) {
    qsort(values, turns, sizeof *values, by_value);
    double median = values[turns / 2];
    char aim[40] = "";
    if (most > 0) {
        snprintf(aim, sizeof aim, "<= %g: %s", most, median <= most ? "met" : "MISSED");
    }
    printf("%-46s %9.1f ns (%.1f .. %.1f)  %s\n", name, median, values[0], values[turns - 1], aim);
    fflush(stdout);
}

/* Which function, on which queue, and how. */
struct what {
    double (*function)(struct queue *queue, unsigned how);
    struct queue *queue;
    unsigned how;
    double values[MOST_TURNS];
};

static void measure(struct what *what, unsigned turn) {
    for (unsigned i = 0; i < TRIES; i++) {
        double took = what->function(what->queue, what->how);
        what->values[turn] = i == 0 || took < what->values[turn] ? took : what->values[turn];
    }
}

/* --- one message --- */

static struct queue open_one(enum queue_kind kind, uint64_t capacity) {
    struct queue_request request = {kind, capacity, 0};
    struct pool_failure failure;
    struct queue queue;
    bool made;
    MUST(attachment_queue_open(&pool, NULL, &request, true, 5, &queue, &made, &failure));
    return queue;
}

static struct queue open_queue(void) { return open_one(QUEUE_IS_QUEUE, CAPACITY); }

static void put_block(struct queue *queue, const struct pool_run *run) {
    struct queue_message message;
    MUST(attachment_message_begin(&pool, queue, MESSAGE_IS_BLOCK, 1, 0, &message));
    MUST(attachment_message_carry(&pool, queue, &message, run));
    MUST(attachment_message_put(&pool, queue, &message));
}

static void put_bytes(struct queue *queue, const unsigned char *bytes) {
    struct queue_message message;
    MUST(attachment_message_begin(&pool, queue, MESSAGE_IS_BYTES, 0, SMALL, &message));
    memcpy(message.bytes, bytes, SMALL);
    MUST(attachment_message_put(&pool, queue, &message));
}

enum waiting { SPINS, SLEEPS };

static void take(struct queue *queue, enum waiting waiting, struct queue_message *message) {
    for (;;) {
        uint32_t sequence = waiting == SLEEPS ? attachment_queue_sequence(&pool, queue, QUEUE_READABLE) : 0;
        enum pool_status status = attachment_message_take(&pool, queue, message);
        if (status == POOL_OK) {
            return;
        }
        insist(status == POOL_QUEUE_EMPTY, "attachment_message_take");
        if (waiting == SLEEPS) {
            attachment_queue_sleep(&pool, queue, QUEUE_READABLE, sequence, 1);
        } else {
            (void)attachment_queue_spin(&pool, queue, QUEUE_READABLE, 1);
        }
    }
}

/* Takes a message; of a block, holds the run, ends the message, and returns the run. */
static struct pool_run get(struct queue *queue, enum waiting waiting) {
    struct queue_message message;
    struct pool_run run = {BITMAP_NONE, 0, 0};
    unsigned char bytes[SMALL];
    take(queue, waiting, &message);
    if (message.count) {
        MUST(attachment_message_hold(&pool, &message, 0, &run));
    } else {
        memcpy(bytes, message.bytes, SMALL);
        __asm__ volatile("" : : "m"(bytes));
    }
    attachment_message_end(&pool, queue, &message);
    return run;
}

static void drop(const struct pool_run *run) {
    bool freed;
    if (run->index != BITMAP_NONE) {
        MUST(attachment_drop(&pool, run, &freed));
    }
}

/* --- in one process --- */

static double alone_for(struct queue *queue, bool block, unsigned times) {
    struct pool_run run = {BITMAP_NONE, 0, 0}, got;
    unsigned char bytes[SMALL] = {1};
    if (block) {
        MUST(attachment_allocate(&pool, 1, 0, &run));
    }
    double before = os_now();
    for (unsigned i = 0; i < times; i++) {
        if (block) {
            put_block(queue, &run);
        } else {
            put_bytes(queue, bytes);
        }
        got = get(queue, SPINS);
        drop(&got);
    }
    double took = os_now() - before;
    drop(&run);
    return took / times * 1e9;
}

static double alone(struct queue *queue, unsigned block) { return alone_for(queue, block, ALONE); }

/* --- topics and latest values, in one process --- */

/* Publishes bytes, which so many readers read; a latest value is read once. */
static double published(struct queue *queue, unsigned readers) {
    uint64_t positions[READERS] = {0}, lost = 0;
    unsigned char bytes[SMALL] = {1};
    for (unsigned r = 0; r < readers; r++) {
        positions[r] = queue_next(queue);
    }
    double before = os_now();
    for (unsigned i = 0; i < ALONE; i++) {
        put_bytes(queue, bytes);
        for (unsigned r = 0; r < readers; r++) {
            struct queue_message message;
            MUST(attachment_message_read(&pool, queue, &positions[r], &lost, &message));
            memcpy(bytes, message.bytes, SMALL);
            attachment_message_close(&pool, &message);
            positions[r]++;
        }
    }
    double took = os_now() - before;
    insist(lost == 0, "reading every message");
    return took / ALONE * 1e9;
}

/* --- from one to the other --- */

#define WITH_BLOCK 1u
#define ASLEEP 2u

static void pin(unsigned number) {
    cpu_set_t mine, one;
    if (sched_getaffinity(0, sizeof mine, &mine) != 0) {
        return;
    }
    CPU_ZERO(&one);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &mine) && number-- == 0) {
            CPU_SET(cpu, &one);
            (void)sched_setaffinity(0, sizeof one, &one);
        }
    }
}

/* There and back: a block, or bytes, each time answered by bytes. Who spins has a processor of its own. */
static double between(struct queue *queue, unsigned how) {
    bool block = how & WITH_BLOCK;
    enum waiting waiting = how & ASLEEP ? SLEEPS : SPINS;
    cpu_set_t before_all;
    (void)queue;
    insist(sched_getaffinity(0, sizeof before_all, &before_all) == 0, "sched_getaffinity");
    struct queue there = open_queue(), back = open_queue();
    unsigned char bytes[SMALL] = {1};
    struct pool_run run = {BITMAP_NONE, 0, 0};
    pid_t child = fork();
    insist(child >= 0, "fork");
    if (waiting == SPINS) {
        pin(child == 0);
    }
    if (child == 0) {
        for (unsigned i = 0; i < BETWEEN; i++) {
            run = get(&there, waiting);
            put_bytes(&back, bytes);
            drop(&run);
        }
        attachment_leave(&pool, 5);
        _exit(0);
    }
    if (block) {
        MUST(attachment_allocate(&pool, 1, 0, &run));
    }
    double before = os_now();
    for (unsigned i = 0; i < BETWEEN; i++) {
        if (block) {
            put_block(&there, &run);
        } else {
            put_bytes(&there, bytes);
        }
        (void)get(&back, waiting);
    }
    double took = os_now() - before;
    (void)sched_setaffinity(0, sizeof before_all, &before_all);
    int status;
    insist(waitpid(child, &status, 0) == child && status == 0, "the receiver");
    drop(&run);
    MUST(attachment_queue_close(&pool, &there));
    MUST(attachment_queue_close(&pool, &back));
    return took / BETWEEN / 2 * 1e9;
}

/* A word that each of two processes, on a processor of its own, changes when the other did; one way. */
static double cache_line(struct queue *queue, unsigned how) {
    cpu_set_t mine;
    atomic_word *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)queue;
    insist(word != MAP_FAILED && sched_getaffinity(0, sizeof mine, &mine) == 0, "a word of two processes");
    pid_t child = fork();
    insist(child >= 0, "fork");
    pin(child == 0);
    double before = os_now();
    for (uint64_t i = child == 0; i < 2 * BETWEEN; i += 2) {
        while (load_seq(word) != i) {
        }
        store_release(word, i + 1);
    }
    double took = os_now() - before;
    if (child == 0) {
        _exit((int)how);
    }
    (void)sched_setaffinity(0, sizeof mine, &mine);
    int status;
    insist(waitpid(child, &status, 0) == child && status == 0, "the other process");
    munmap(word, 4096);
    return took / BETWEEN / 2 * 1e9;
}

static double two_locked(struct queue *queue, unsigned how) {
    static _Alignas(64) atomic_word word;
    uint64_t sum = how;
    (void)queue;
    double before = os_now();
    for (unsigned i = 0; i < ALONE; i++) {
        sum += fetch_add_seq(&word, 1);
        sum += fetch_add_seq(&word, UINT64_MAX);
    }
    __asm__ volatile("" : : "r"(sum));
    return (os_now() - before) / ALONE * 1e9;
}

int main(int argc, char **argv) {
    const char *only = NULL;
    unsigned times = 1000;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--pairs") == 0) {
            turns = (unsigned)strtoul(value, NULL, 10);
            turns = turns < 1 ? 1 : turns > MOST_TURNS ? MOST_TURNS : turns;
        } else if (strcmp(argv[i], "--only") == 0) {
            only = value;
        } else if (strcmp(argv[i], "--times") == 0) {
            times = (unsigned)strtoul(value, NULL, 10);
        } else {
            fprintf(stderr, "usage: bench_queues [--pairs N] [--only BLOCK|BYTES --times N]\n");
            return 2;
        }
    }
    struct attachment_request request = {.block_size = BLOCK_BYTES, .blocks = 16, .processes = 64, .gate_seconds = 5};
    struct pool_failure failure;
    MUST(attachment_create(&pool, &request, &failure));
    pool.on_fork = ON_FORK_SHARE;
    struct queue queue = open_queue();
    if (only) {
        (void)alone_for(&queue, strcmp(only, "BLOCK") == 0, times);
        return 0;
    }
    struct queue topic = open_one(QUEUE_IS_TOPIC, 8), latest = open_one(QUEUE_IS_LATEST, 1);
    struct {
        const char *name;
        double most;
        struct what what;
    } rows[] = {
        {"two locked instructions", 0, {.function = two_locked}},
        {"a cache line, one way", 0, {.function = cache_line}},
        {"put and get a block of 1 MiB, one process", 1000, {.function = alone, .queue = &queue, .how = 1}},
        {"put and get 32 bytes, one process", 0, {.function = alone, .queue = &queue}},
        {"publish 32 bytes to a topic, 4 read them", 0, {.function = published, .queue = &topic, .how = READERS}},
        {"set and get a latest value of 32 bytes", 0, {.function = published, .queue = &latest, .how = 1}},
        {"32 bytes, one way, spinning", 0, {.function = between}},
        {"a block of 1 MiB, one way, spinning", 0, {.function = between, .how = WITH_BLOCK}},
        {"32 bytes, one way, asleep", 0, {.function = between, .how = ASLEEP}},
        {"a block of 1 MiB, one way, asleep", 0, {.function = between, .how = ASLEEP | WITH_BLOCK}},
    };
    const unsigned count = sizeof rows / sizeof *rows;
    for (unsigned turn = 0; turn < turns; turn++) {
        for (unsigned row = 0; row < count; row++) {
            measure(&rows[row].what, turn);
        }
    }
    for (unsigned row = 0; row < count; row++) {
        report(rows[row].name, rows[row].what.values, rows[row].most);
    }
    attachment_leave(&pool, 5);
    return 0;
}
