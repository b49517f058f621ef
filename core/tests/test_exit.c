/* Tests of exit.c: leaving every pool when the process ends, alone or beside other threads. */
#include "one_pool.h"

#include <pthread.h>

static void hold_and_exit(void) {
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run kept = allocate_in(&other, 3), sent = allocate_in(&other, 2);
    CHECK(kept.blocks, ==, 3);
    CHECK(attachment_share(&other, &sent, 1), ==, POOL_OK);
    attachment_exit(PATIENCE);
}

static void a_process_with_one_thread_gives_everything_back_but_tickets(void) {
    make();
    CHECK(ended(start(hold_and_exit)), ==, 0);
    CHECK(used_slots(), ==, bit_of(attachment.slot)); /* without any recovery */
    CHECK(count(), ==, 2);
    CHECK(recover(), ==, 0);
    CHECK(drop_tickets(0), ==, 1);
    unmake();
}

static void *sleep_on(void *context) {
    (void)context;
    stay();
    return NULL;
}

static void hold_and_exit_beside_a_thread(void) {
    pthread_t thread;
    CHECK(attach(&other), ==, POOL_OK);
    (void)allocate_in(&other, 3);
    CHECK(pthread_create(&thread, NULL, sleep_on, NULL), ==, 0);
    attachment_exit(PATIENCE);
    reach(1);
    await(2);
}

static void beside_other_threads_memory_stays_the_processs_until_it_ends(void) {
    make();
    pid_t child = start(hold_and_exit_beside_a_thread);
    await(1);
    CHECK(count(), ==, 3);
    CHECK(recover(), ==, 0); /* it still lives, and its other thread may use the run */
    CHECK(count(), ==, 3);
    reach(2);
    CHECK(ended(child), ==, 0);
    CHECK(recover(), ==, 1);
    CHECK(count(), ==, 0);
    unmake();
}

static void create_and_exit(void) {
    struct attachment_request request = {.name = name,
                                         .block_size = BLOCK,
                                         .blocks = BLOCKS,
                                         .processes = PROCESSES,
                                         .permanent = told(0) != 0,
                                         .gate_seconds = PATIENCE};
    pthread_t thread;
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_OK);
    if (told(1)) {
        CHECK(pthread_create(&thread, NULL, sleep_on, NULL), ==, 0);
    }
    attachment_exit(PATIENCE);
}

static void the_last_process_removes_the_name_unless_it_is_permanent(void) {
    for (unsigned threads = 0; threads < 2; threads++) {
        for (unsigned permanent = 0; permanent < 2; permanent++) {
            snprintf(name, sizeof name, "%s", process_name());
            tell(0, permanent);
            tell(1, threads);
            CHECK(ended(start(create_and_exit)), ==, 0);
            CHECK(exists(name), ==, permanent);
            if (permanent) {
                CHECK(pools_unlink(name, NULL, PATIENCE, &failure), ==, POOL_OK);
            }
        }
    }
}

static void attach_and_exit_when_told(void) {
    pthread_t thread;
    uint32_t step = (uint32_t)told(0);
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(pthread_create(&thread, NULL, sleep_on, NULL), ==, 0);
    reach(1);
    await(step);
    attachment_exit(PATIENCE);
    reach(step + 1);
    stay();
}

static void of_processes_that_end_at_the_same_time_the_last_removes_the_name(void) {
    pid_t children[2];
    make();
    for (unsigned i = 0; i < 2; i++) {
        tell(0, 2 + 2 * i);
        reach(0);
        children[i] = start(attach_and_exit_when_told);
        await(1);
    }
    end(&attachment);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(exists(name), ==, true);
        reach(2 + 2 * i);
        await(3 + 2 * i);
    }
    CHECK(exists(name), ==, false); /* while both are still there */
    kill_and_wait(children[0]);
    kill_and_wait(children[1]);
}

static void exit_of_a_detached_child(void) {
    CHECK(attachment_is_stray(&attachment), ==, true);
    attachment_exit(PATIENCE);
}

static void a_process_without_a_part_leaves_nothing(void) {
    make();
    held = allocate(3);
    CHECK(ended(fork_with(ON_FORK_DETACH, exit_of_a_detached_child)), ==, 0);
    CHECK(exists(name), ==, true);
    CHECK(is_mine_alone(&held), ==, true);
    CHECK(drop(&held), ==, true);
    unmake();
}

static struct attachment three[3];

static void gates_and_stay(void) {
    for (unsigned i = 0; i < 3; i++) {
        CHECK(slots_gate_try(&three[i].file, three[i].memory), >=, 0);
    }
    reach(1);
    stay();
}

static bool exits_in_time(void) {
    double before = os_now();
    attachment_exit(1);
    double took = os_now() - before;
    CHECK(took >= 1, ==, true);
    return took < 2.5; /* three times one second would be 3 */
}

static void busy_gates_share_the_time_that_an_exit_may_take(void) {
    struct attachment_request request = {
        .block_size = BLOCK, .blocks = BLOCKS, .processes = PROCESSES, .gate_seconds = PATIENCE};
    for (unsigned i = 0; i < 3; i++) {
        CHECK(attachment_create(&three[i], &request, &failure), ==, POOL_OK);
    }
    pid_t child = start(gates_and_stay);
    await(1);
    CHECK(in_some_try(exits_in_time), ==, true);
    kill_and_wait(child);
    for (unsigned i = 0; i < 3; i++) {
        attachment_unmap(&three[i]);
    }
}

int main(void) {
    process_begin();
    RUN(a_process_with_one_thread_gives_everything_back_but_tickets);
    RUN(beside_other_threads_memory_stays_the_processs_until_it_ends);
    RUN(the_last_process_removes_the_name_unless_it_is_permanent);
    RUN(of_processes_that_end_at_the_same_time_the_last_removes_the_name);
    RUN(a_process_without_a_part_leaves_nothing);
    RUN(busy_gates_share_the_time_that_an_exit_may_take);
    CHECK(process_end(), ==, 0);
    return check_end();
}
