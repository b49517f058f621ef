/* Tests of claim.c: processes and threads that make the pool of one name at the same time, in a directory of shared
 * memory of their own that has room for one such pool only. */
#include "own_directory.h"

#include <pthread.h>

#include "os/lock.h"
#include "shared/attachment.h"

#define BLOCK ((uint64_t)4 << 20)
#define BLOCKS 36u            /* more than two pieces of OS_PIECE: the creator pauses in between */
#define DIRECTORY "size=200m" /* one pool, and a third of another */
#define MAKERS 8u
#define PATIENCE PROCESS_PATIENCE

static char name[96];

static struct attachment_request request_of(bool (*may_go_on)(void *)) {
    return (struct attachment_request){.name = name,
                                       .block_size = BLOCK,
                                       .blocks = BLOCKS,
                                       .processes = 2 * MAKERS,
                                       .gate_seconds = PATIENCE,
                                       .pause = {may_go_on, NULL}};
}

static enum pool_status create(struct attachment *attachment, bool (*may_go_on)(void *)) {
    struct pool_failure failure;
    struct attachment_request request = request_of(may_go_on);
    return attachment_create(attachment, &request, &failure);
}

static void end(struct attachment *attachment) {
    attachment_leave(attachment, PATIENCE);
    attachment_unmap(attachment);
}

enum { GO, MADE, EXISTED, OTHERWISE };

/* One that makes or attaches it, as the callers of Pool.create(exist_ok=True) do. */
static void make_or_attach(void) {
    struct attachment attachment;
    struct pool_failure failure;
    while (!told(GO)) {
        os_sleep(0.0005);
    }
    enum pool_status status = create(&attachment, NULL);
    unsigned which = status == POOL_OK ? MADE : status == POOL_EXISTS ? EXISTED : OTHERWISE;
    if (status == POOL_EXISTS) {
        status = attachment_attach(&attachment, name, PATIENCE, &failure);
    }
    CHECK(status, ==, POOL_OK);
    (void)fetch_add_seq(&page->told[which], 1); /* from now on, others may leave it */
    while (told(MADE) + told(EXISTED) + told(OTHERWISE) < MAKERS) {
        os_sleep(0.0005);
    }
    end(&attachment);
}

static void begin(void) {
    snprintf(name, sizeof name, "%s", process_name());
    for (unsigned i = 0; i <= OTHERWISE; i++) {
        tell(i, 0);
    }
}

static void one_was_made(void) {
    CHECK(told(MADE), ==, 1);
    CHECK(told(EXISTED), ==, MAKERS - 1);
    CHECK(told(OTHERWISE), ==, 0);
}

static void of_processes_that_race_one_reserves(void) {
    pid_t makers[MAKERS];
    uint64_t before = os_shm_available();
    begin();
    for (unsigned i = 0; i < MAKERS; i++) {
        makers[i] = start(make_or_attach);
    }
    tell(GO, 1);
    for (unsigned i = 0; i < MAKERS; i++) {
        CHECK(ended(makers[i]), ==, 0);
    }
    one_was_made();
    CHECK(os_shm_available(), ==, before);
}

static void *make_in_a_thread(void *argument) {
    (void)argument;
    make_or_attach();
    return NULL;
}

static void of_threads_that_race_one_reserves(void) {
    pthread_t makers[MAKERS];
    begin();
    for (unsigned i = 0; i < MAKERS; i++) {
        CHECK(pthread_create(&makers[i], NULL, make_in_a_thread, NULL), ==, 0);
    }
    tell(GO, 1);
    for (unsigned i = 0; i < MAKERS; i++) {
        CHECK(pthread_join(makers[i], NULL), ==, 0);
    }
    one_was_made();
}

/* A pool that exists is found before anything is reserved. */
static void a_taken_name_needs_no_room(void) {
    struct attachment first, second;
    begin();
    CHECK(create(&first, NULL), ==, POOL_OK);
    CHECK(create(&second, NULL), ==, POOL_EXISTS);
    end(&first);
}

static bool stop(void *context) {
    (void)context;
    return false;
}

/* Whether the process that made a pool, or could not, has let go of the name. */
static void a_claim_ends_with_the_making(void) {
    struct attachment first, second;
    struct pool_failure failure;
    struct attachment_request small = request_of(stop), large = request_of(NULL);
    begin();
    small.blocks = 1;
    small.small_blocks = 16;
    large.blocks = 2 * BLOCKS;
    CHECK(attachment_create(&second, &large, &failure), ==, POOL_NO_ROOM);
    CHECK(attachment_create(&first, &small, &failure), ==, POOL_OK); /* did not have to wait */
    CHECK(pools_unlink(name, NULL, PATIENCE, &failure), ==, POOL_OK);
    CHECK(attachment_create(&second, &small, &failure), ==, POOL_OK);
    end(&first);
    end(&second);
}

/* --- creators that are killed or stopped --- */

static unsigned stop_at; /* which pause of the creator is its last */

static bool stay_at_pause(void *context) {
    static unsigned pauses;
    (void)context;
    if (++pauses == stop_at) {
        reach(1);
        stay();
    }
    return true;
}

static void create_and_stay(void) {
    struct attachment attachment;
    (void)create(&attachment, stay_at_pause);
    reach(1);
    stay();
}

static void make_after_another(void) {
    struct attachment attachment;
    CHECK(create(&attachment, NULL), ==, POOL_OK);
    end(&attachment);
}

static bool tell_that_it_waits(void *context) {
    (void)context;
    reach(2);
    return true;
}

static void wait_and_make(void) {
    struct attachment attachment;
    CHECK(create(&attachment, tell_that_it_waits), ==, POOL_OK);
    end(&attachment);
}

/* In the first and second piece, and when it is complete and has its name. */
static void a_creator_that_is_killed_holds_up_nobody(void) {
    uint64_t before = os_shm_available();
    for (stop_at = 1; stop_at <= 3; stop_at++) {
        begin();
        pid_t creator = start(create_and_stay);
        await(1);
        CHECK(os_shm_available(), <, before);
        if (stop_at < 3) {
            pid_t waiter = start(wait_and_make);
            await(2);
            kill_and_wait(creator);
            CHECK(ended(waiter), ==, 0);
        } else {
            kill_and_wait(creator);
            make_after_another();
        }
        CHECK(SOON(os_shm_available() == before), ==, true);
    }
}

static void a_creator_that_is_stopped_holds_up_nobody_for_ever(void) {
    struct attachment attachment;
    struct pool_failure failure;
    begin();
    stop_at = 1;
    pid_t creator = start(create_and_stay);
    await(1);
    CHECK(create(&attachment, stop), ==, POOL_STOPPED); /* the wait can be interrupted */
    struct attachment_request small = request_of(NULL);
    small.blocks = 1;
    small.small_blocks = 16;
    small.gate_seconds = 0.02;
    CHECK(attachment_create(&attachment, &small, &failure), ==, POOL_OK);
    end(&attachment);
    kill_and_wait(creator);
}

/* --- forks --- */

static bool fork_at_the_first_pause(void *context) {
    static pid_t parent;
    (void)context;
    if (!parent) {
        parent = getpid();
        pid_t child = fork();
        if (child > 0) {
            tell(GO, (uint64_t)child);
        }
    }
    return true;
}

static unsigned open_descriptors(void) {
    unsigned open_now = 0;
    for (int i = 0; i < 1024; i++) {
        open_now += fcntl(i, F_GETFD) >= 0;
    }
    return open_now;
}

/* A handler of the pause forks: the child starts over, and its parent's claim is not its own. */
static void a_child_that_is_forked_meanwhile_waits_for_its_parent(void) {
    struct attachment attachment;
    struct pool_failure failure;
    pid_t parent = getpid();
    unsigned descriptors = open_descriptors();
    begin();
    enum pool_status status = create(&attachment, fork_at_the_first_pause);
    if (getpid() != parent) {
        bool good = status == POOL_EXISTS && attachment_attach(&attachment, name, PATIENCE, &failure) == POOL_OK;
        if (good) {
            end(&attachment);
        }
        _exit(good && open_descriptors() == descriptors ? 0 : 7);
    }
    CHECK(status, ==, POOL_OK);
    CHECK(ended((pid_t)told(GO)), ==, 0);
    end(&attachment);
}

int main(void) {
    process_begin();
    RUN_ALONE(of_processes_that_race_one_reserves, DIRECTORY);
    RUN_ALONE(of_threads_that_race_one_reserves, DIRECTORY);
    RUN_ALONE(a_taken_name_needs_no_room, DIRECTORY);
    RUN_ALONE(a_claim_ends_with_the_making, DIRECTORY);
    RUN_ALONE(a_creator_that_is_killed_holds_up_nobody, DIRECTORY);
    RUN_ALONE(a_creator_that_is_stopped_holds_up_nobody_for_ever, DIRECTORY);
    RUN_ALONE(a_child_that_is_forked_meanwhile_waits_for_its_parent, DIRECTORY);
    return check_end();
}
