/* Tests of gate.c: which process waits, for which, and for how long. */
#include "process.h"

#include <pthread.h>

#include "os/thread.h"
#include "shared/attachment.h"
#include "shared/attachment_parts.h"

#define PATIENCE PROCESS_PATIENCE

static struct attachment attachment, second;
static struct pool_failure failure;

static void make(struct attachment *whose) {
    struct attachment_request request = {
        .block_size = 64, .blocks = 70, .processes = PROCESSES, .gate_seconds = PATIENCE};
    CHECK(attachment_create(whose, &request, &failure), ==, POOL_OK);
}

static void end(struct attachment *whose) {
    attachment_leave(whose, PATIENCE);
    attachment_unmap(whose);
}

static atomic_word *oldest(void) { return &((struct layout_header *)attachment.memory)->gate_oldest; }

static int enter(double seconds) {
    int gate;
    CHECK(gate_enter(&attachment, seconds, &gate, &failure), ==, POOL_OK);
    return gate;
}

/* --- a holder that does not go on --- */

static void gate_and_stay(void) {
    (void)enter(PATIENCE);
    reach(1);
    stay();
}

/* A child that has the gate and is stopped. */
static pid_t start_stopped_holder(void) {
    pid_t child = start(gate_and_stay);
    await(1);
    kill(child, SIGSTOP);
    CHECK(waitpid(child, NULL, WUNTRACED), ==, child);
    return child;
}

static void waiting_for_a_stopped_holder_ends_and_tells_who_it_is(void) {
    int gate;
    make(&attachment);
    pid_t child = start_stopped_holder();
    double before = os_now();
    CHECK(gate_enter(&attachment, 0.05, &gate, &failure), ==, POOL_BUSY);
    CHECK(os_now() - before >= 0.05, ==, 1);
    CHECK(failure.process, ==, child);
    CHECK(gate_enter(&attachment, 0, &gate, &failure), ==, POOL_BUSY);
    CHECK(failure.process, ==, child);
    kill_and_wait(child);
    gate_leave(&attachment, enter(0)); /* its lock went with it */
    end(&attachment);
}

static void *wait_for_the_gate(void *status) {
    struct pool_failure own;
    int gate;
    enum pool_status entered = gate_enter(&attachment, PATIENCE, &gate, &own);
    if (entered == POOL_OK) {
        gate_leave(&attachment, gate);
    }
    half_store_seq(status, entered);
    return NULL;
}

static void a_thread_that_waits_keeps_no_other_pool_and_no_fork_waiting(void) {
    atomic_half waited = POOL_SYSTEM;
    int gate;
    pthread_t thread;
    make(&attachment);
    make(&second);
    pid_t child = start_stopped_holder();
    CHECK(pthread_create(&thread, NULL, wait_for_the_gate, &waited), ==, 0);
    CHECK(SOON(load_seq(oldest()) != 0), ==, true);
    for (int i = 0; i < 20; i++) {
        CHECK(gate_enter(&second, PATIENCE / 2, &gate, &failure), ==, POOL_OK);
        gate_leave(&second, gate);
        CHECK(gate_mutex_lock_within(PATIENCE / 2), ==, true); /* as a fork does */
        gate_mutex_unlock();
    }
    CHECK(half_load_seq(&waited), ==, POOL_SYSTEM); /* it has waited all the time */
    kill_and_wait(child);
    CHECK(pthread_join(thread, NULL), ==, 0);
    CHECK(half_load_seq(&waited), ==, POOL_OK);
    end(&second);
    end(&attachment);
}

/* --- whose turn it is --- */

#define ROUNDS 200
static void count_under_the_gate(void) {
    for (int i = 0; i < ROUNDS; i++) {
        int gate = enter(PATIENCE);
        uint64_t was = told(2);
        os_yield();
        tell(2, was + 1);
        gate_leave(&attachment, gate);
    }
}

static void every_waiter_gets_its_turn(void) {
    make(&attachment);
    tell(2, 0);
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = start(count_under_the_gate);
    }
    for (int i = 0; i < 3; i++) {
        CHECK(ended(children[i]), ==, 0);
    }
    CHECK(told(2), ==, 3 * ROUNDS);
    end(&attachment);
}

static void come_back_at_once(void) {
    reach(1);
    for (;;) {
        int gate = enter(PATIENCE);
        tell(3, told(3) + 1);
        os_sleep(0.002);
        gate_leave(&attachment, gate);
    }
}

/* Without order among waiters, this process would find the gate open once in some hundred times. On a busy machine it
 * may now and then not come when it is its turn. */
static bool few_pass_a_waiter(void) {
    uint64_t passed = 0, seen = told(3), often = 0;
    for (int i = 0; i < 10; i++) {
        CHECK(SOON(told(3) > seen), ==, true);
        uint64_t before = told(3);
        int gate = enter(PATIENCE);
        seen = told(3);
        passed += seen - before;
        often += seen - before > 2;
        gate_leave(&attachment, gate);
    }
    printf("  let pass while waiting ten times: %llu\n", (unsigned long long)passed);
    return often <= 2;
}

static void a_process_that_comes_back_at_once_keeps_nobody_out(void) {
    make(&attachment);
    tell(3, 0);
    pid_t child = start(come_back_at_once);
    await(1);
    CHECK(in_some_try(few_pass_a_waiter), ==, true);
    kill_and_wait(child);
    end(&attachment);
}

static void wait_and_stay(void) {
    int gate;
    reach(1);
    (void)gate_enter(&attachment, PATIENCE, &gate, &failure);
    stay();
}

static void an_oldest_waiter_that_is_stopped_or_killed_keeps_nobody_out(void) {
    for (int killed = 0; killed < 2; killed++) {
        make(&attachment);
        int gate = slots_gate_try(&attachment.file,
                                  attachment.memory); /* without the gate mutex, which the child would inherit */
        CHECK(gate, >=, 0);
        pid_t child = start(wait_and_stay);
        CHECK(SOON(load_seq(oldest()) != 0), ==, true);
        if (killed) {
            kill_and_wait(child);
        } else {
            kill(child, SIGSTOP);
            CHECK(waitpid(child, NULL, WUNTRACED), ==, child);
        }
        slots_gate_leave(&attachment.file, gate);
        os_sleep(0.005); /* so that the other one began before this one */
        gate_leave(&attachment, enter(PATIENCE));
        if (!killed) {
            kill_and_wait(child);
        }
        end(&attachment);
    }
}

int main(void) {
    process_begin();
    RUN(waiting_for_a_stopped_holder_ends_and_tells_who_it_is);
    RUN(a_thread_that_waits_keeps_no_other_pool_and_no_fork_waiting);
    RUN(every_waiter_gets_its_turn);
    RUN(a_process_that_comes_back_at_once_keeps_nobody_out);
    RUN(an_oldest_waiter_that_is_stopped_or_killed_keeps_nobody_out);
    CHECK(process_end(), ==, 0);
    return check_end();
}
