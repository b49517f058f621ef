/* one_pool.h: what the tests of an attachment's files share: one named pool, this process's attachment to it, and room
 * for a second; bodies of children that several tests start; and forks.
 *
 * `make` creates the pool, `unmake` audits it, leaves it and expects the name to be gone.
 */
#ifndef BLOCKPOOL_ONE_POOL_H
#define BLOCKPOOL_ONE_POOL_H

#include "process.h"

#include "os/thread.h"
#include "sets.h"
#include "shared/attachment.h"

#define BLOCK 64u
#define BLOCKS 200u
#define PATIENCE PROCESS_PATIENCE

static struct attachment attachment, other __attribute__((unused));
static struct pool_failure failure;
static char name[96];

/* Creates `attachment` in a pool of a new name. */
static inline void make_as(bool permanent) {
    snprintf(name, sizeof name, "%s", process_name());
    struct attachment_request request = {.name = name,
                                         .block_size = BLOCK,
                                         .blocks = BLOCKS,
                                         .processes = PROCESSES,
                                         .permanent = permanent,
                                         .gate_seconds = PATIENCE};
    memset(page->told, 0, sizeof page->told);
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
}

static inline void make(void) { make_as(false); }

static inline void end(struct attachment *whose) {
    attachment_leave(whose, PATIENCE);
    attachment_unmap(whose);
}

static inline enum pool_status attach(struct attachment *whose) {
    return attachment_attach(whose, name, PATIENCE, &failure);
}

static inline bool exists(const char *which) {
    int file = os_shm_open(which);
    if (file >= 0) {
        os_close(file);
    }
    return file >= 0;
}

static inline uint64_t count(void) { return bitmap_count(&attachment.shared.bitmap); }
static inline uint64_t head_word(const struct pool_run *run) {
    return load_seq(&shared_pool_entry(&attachment.shared, run->index)->head);
}
static inline uint64_t tickets_of(const struct pool_run *run) {
    return ledger_is_live(head_word(run)) ? ledger_tickets(head_word(run)) : 0;
}
static inline uint64_t holders_of(const struct pool_run *run) { return holders_at(&attachment.shared, run->index); }

/* Whether `attachment` alone holds the run, and nothing is in flight. */
static inline bool is_mine_alone(const struct pool_run *run) {
    uint64_t word = head_word(run) & ~LEDGER_ROW;
    return (word == ledger_live(attachment.slot, run->generation) ||
            word == ledger_live(LEDGER_NOBODY, run->generation)) &&
           holders_of(run) == bit_of(attachment.slot);
}

/* Which slots are in use. */
static inline uint64_t used_slots(void) { return used_in(attachment.memory, &attachment.geometry); }

static inline uint64_t waiting_slots(void) { return waiters_of(&attachment.shared); }

static inline void sound(void) {
    struct shared_pool_fault fault = {SHARED_POOL_FAULT_NONE, 0};
    struct shared_pool_audit audit;
    CHECK(attachment_check(&attachment, PATIENCE, &fault, 1, &audit, &failure), ==, POOL_OK);
    CHECK(audit.faults, ==, 0);
    if (audit.faults) {
        printf("  first fault: kind %d at %llu\n", (int)fault.kind, (unsigned long long)fault.index);
    }
    CHECK(bitmap_summary_fault(&attachment.shared.bitmap), ==, BITMAP_NONE);
}

static inline void unmake(void) {
    sound();
    end(&attachment);
    CHECK(exists(name), ==, false);
}

static inline struct pool_run allocate_in(struct attachment *whose, uint64_t n) {
    struct pool_run run = {BITMAP_NONE, 0, 0};
    CHECK(attachment_allocate(whose, n, 0, &run), ==, POOL_OK);
    CHECK(run.blocks, ==, n);
    return run;
}

static inline struct pool_run allocate(uint64_t n) { return allocate_in(&attachment, n); }

static inline bool drop_from(struct attachment *whose, const struct pool_run *run) {
    bool freed = false;
    CHECK(attachment_drop(whose, run, &freed), ==, POOL_OK);
    return freed;
}

static inline bool drop(const struct pool_run *run) { return drop_from(&attachment, run); }

static inline enum pool_status free_run(const struct pool_run *run) {
    uint32_t extra;
    return attachment_free(&attachment, run, &extra);
}

static inline unsigned recover(void) {
    unsigned slots = 99;
    uint64_t tickets = 99;
    CHECK(attachment_recover(&attachment, PATIENCE, -1, &slots, &tickets, &failure), ==, POOL_OK);
    CHECK(tickets, ==, 0);
    return slots;
}

static inline uint64_t drop_tickets(double seconds) {
    unsigned slots;
    uint64_t tickets = 99;
    CHECK(attachment_recover(&attachment, PATIENCE, seconds, &slots, &tickets, &failure), ==, POOL_OK);
    return tickets;
}

static inline unsigned char *bytes_of(struct attachment *whose, const struct pool_run *run) {
    return layout_data(whose->memory, &whose->geometry) + run->index * BLOCK;
}

static inline void fill(struct attachment *whose, const struct pool_run *run, int with) {
    memset(bytes_of(whose, run), with, run->blocks * BLOCK);
}

static inline bool is_filled(struct attachment *whose, const struct pool_run *run, int with) {
    for (uint64_t i = 0; i < run->blocks * BLOCK; i++) {
        if (bytes_of(whose, run)[i] != with) {
            return false;
        }
    }
    return true;
}

/* A run, told through the page. */
static inline void tell_run(unsigned place, const struct pool_run *run) {
    tell(place, run->index);
    tell(place + 1, run->generation);
}

static inline struct pool_run told_run(unsigned place) { return (struct pool_run){told(place), 0, told(place + 1)}; }

static inline struct pool_run redeem_told(struct attachment *whose, unsigned place) {
    struct pool_run run = told_run(place);
    CHECK(attachment_redeem(whose, &run), ==, POOL_OK);
    return run;
}

/* Attaches, says so by the step in told(0), and stays. */
static inline void a_process_attaches(void) {
    CHECK(attach(&other), ==, POOL_OK);
    reach((uint32_t)told(0));
    stay();
}

/* Takes the gate and stays. */
static inline void gate_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(slots_gate_try(&other.file, other.memory), >=, 0);
    reach(1);
    stay();
}

/* Forks, and runs `body` in the child. */
static inline pid_t fork_with(enum attachment_on_fork what, void (*body)(void)) {
    fflush(stdout);
    attachment.on_fork = what;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        uint64_t before = check_failed;
        body();
        fflush(stdout);
        _exit(check_failed != before);
    }
    return child;
}

/* A run that threads and forked children know of. */
static struct pool_run held __attribute__((unused));

/* What a caller does on POOL_LOCKED: lets the other thread run, and calls again. */
#define UNLOCKED(call)                                                                                                 \
    __extension__({                                                                                                    \
        enum pool_status unlocked_status;                                                                              \
        while ((unlocked_status = (call)) == POOL_LOCKED) {                                                            \
            os_yield();                                                                                                \
        }                                                                                                              \
        unlocked_status;                                                                                               \
    })

#endif
