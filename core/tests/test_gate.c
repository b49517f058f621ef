/* Tests of gate.c: who waits, for whom, and for how long. */
#include "process.h"

#include <pthread.h>

#include "member.h"
#include "member_parts.h"

#define PATIENCE PROCESS_PATIENCE

static struct member member, second;
static struct member_failure failure;

static void make(struct member *whose) {
    struct member_request request = {.block_size = 64, .blocks = 70, .gate_seconds = PATIENCE};
    CHECK(member_create(whose, &request, &failure), ==, MEMBER_OK);
}

static void end(struct member *whose) {
    member_leave(whose, PATIENCE);
    member_unmap(whose);
}

static atomic_word *oldest(void) { return &((struct segment_header *)member.memory)->gate_oldest; }

static int enter(double seconds) {
    int gate;
    CHECK(gate_enter(&member, seconds, &gate, &failure), ==, MEMBER_OK);
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
    make(&member);
    pid_t child = start_stopped_holder();
    double before = os_now();
    CHECK(gate_enter(&member, 0.05, &gate, &failure), ==, MEMBER_BUSY);
    CHECK(os_now() - before >= 0.05, ==, 1);
    CHECK(failure.process, ==, child);
    CHECK(gate_enter(&member, 0, &gate, &failure), ==, MEMBER_BUSY);
    CHECK(failure.process, ==, child);
    kill_and_wait(child);
    gate_leave(&member, enter(0)); /* its lock went with it */
    end(&member);
}

static void *wait_for_the_gate(void *status) {
    struct member_failure own;
    int gate;
    enum member_status entered = gate_enter(&member, PATIENCE, &gate, &own);
    if (entered == MEMBER_OK) {
        gate_leave(&member, gate);
    }
    half_store_seq(status, entered);
    return NULL;
}

static void a_thread_that_waits_keeps_no_other_pool_and_no_fork_waiting(void) {
    atomic_half waited = MEMBER_SYSTEM;
    int gate;
    pthread_t thread;
    make(&member);
    make(&second);
    pid_t child = start_stopped_holder();
    CHECK(pthread_create(&thread, NULL, wait_for_the_gate, &waited), ==, 0);
    CHECK(SOON(load_seq(oldest()) != 0), ==, true);
    for (int i = 0; i < 20; i++) {
        CHECK(gate_enter(&second, PATIENCE / 2, &gate, &failure), ==, MEMBER_OK);
        gate_leave(&second, gate);
        CHECK(turn_take_within(PATIENCE / 2), ==, true); /* as a fork does */
        turn_end();
    }
    CHECK(half_load_seq(&waited), ==, MEMBER_SYSTEM); /* it has waited all the time */
    kill_and_wait(child);
    CHECK(pthread_join(thread, NULL), ==, 0);
    CHECK(half_load_seq(&waited), ==, MEMBER_OK);
    end(&second);
    end(&member);
}

/* --- whose turn it is --- */

#define ROUNDS 200
static void count_under_the_gate(void) {
    for (int i = 0; i < ROUNDS; i++) {
        int gate = enter(PATIENCE);
        uint64_t was = told(2);
        os_yield();
        tell(2, was + 1);
        gate_leave(&member, gate);
    }
}

static void every_waiter_gets_its_turn(void) {
    make(&member);
    tell(2, 0);
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = start(count_under_the_gate);
    }
    for (int i = 0; i < 3; i++) {
        CHECK(ended(children[i]), ==, 0);
    }
    CHECK(told(2), ==, 3 * ROUNDS);
    end(&member);
}

static void come_back_at_once(void) {
    reach(1);
    for (;;) {
        int gate = enter(PATIENCE);
        tell(3, told(3) + 1);
        os_sleep(0.002);
        gate_leave(&member, gate);
    }
}

/* Without order among waiters, this process would find the gate open once in some hundred times. */
static void a_process_that_comes_back_at_once_keeps_nobody_out(void) {
    uint64_t passed = 0;
    make(&member);
    tell(3, 0);
    pid_t child = start(come_back_at_once);
    await(1);
    for (int i = 0; i < 10; i++) {
        CHECK(SOON(told(3) > passed), ==, true);
        uint64_t before = told(3);
        int gate = enter(PATIENCE);
        passed += told(3) - before;
        gate_leave(&member, gate);
    }
    printf("  let pass while waiting ten times: %llu\n", (unsigned long long)passed);
    CHECK(passed, <, 200);
    kill_and_wait(child);
    end(&member);
}

static void wait_and_stay(void) {
    int gate;
    reach(1);
    (void)gate_enter(&member, PATIENCE, &gate, &failure);
    stay();
}

static void an_oldest_waiter_that_is_stopped_or_killed_keeps_nobody_out(void) {
    for (int killed = 0; killed < 2; killed++) {
        make(&member);
        int gate = slots_gate_try(&member.file, member.memory); /* without the turn, which the child would inherit */
        CHECK(gate, >=, 0);
        pid_t child = start(wait_and_stay);
        CHECK(SOON(load_seq(oldest()) != 0), ==, true);
        if (killed) {
            kill_and_wait(child);
        } else {
            kill(child, SIGSTOP);
            CHECK(waitpid(child, NULL, WUNTRACED), ==, child);
        }
        slots_gate_leave(&member.file, gate);
        os_sleep(0.005); /* so that the other one began before this one */
        gate_leave(&member, enter(PATIENCE));
        if (!killed) {
            kill_and_wait(child);
        }
        end(&member);
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
