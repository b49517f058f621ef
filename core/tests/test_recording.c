/* Tests of recording.c: one process records what all allocate and free. */
#include "one_pool.h"

#include <pthread.h>
#include <sys/syscall.h>

#include "shared/attachment_parts.h"
#include "shared/recording.h"

#define MOST (8 * LANE_CELLS)

static struct lane_cell cells[MOST];
static atomic_half stop;

static void begin(void) { CHECK(recording_start(&attachment, PATIENCE, &failure), ==, POOL_OK); }

/* Takes what is there; returns how many cells there are. */
static uint64_t collect(void) { return recording_collect(&attachment, cells, MOST, 0, &stop); }

static void finish(void) {
    recording_stop(&attachment);
    (void)collect();
    recording_end(&attachment);
}

static unsigned kind(uint64_t i) { return cells[i].what & 0xff; }

/* How many of the first n cells are of the kind. */
static uint64_t count_of(uint64_t n, unsigned wanted) {
    uint64_t found = 0;
    for (uint64_t i = 0; i < n; i++) {
        found += kind(i) == wanted;
    }
    return found;
}

/* Whether there is an event of that kind for the run among the first n. */
static bool has(uint64_t n, unsigned wanted, const struct pool_run *run, uint64_t bytes) {
    for (uint64_t i = 0; i < n; i++) {
        if (cells[i].what == (bytes << 8 | wanted) && cells[i].value == (run->generation << 24 | run->index)) {
            return true;
        }
    }
    return false;
}

/* Events lost among the first n. */
static uint64_t lost(uint64_t n) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        sum += kind(i) == LANE_LOST ? cells[i].value : 0;
    }
    return sum;
}

static void nothing_is_put_while_nobody_records(void) {
    make();
    struct pool_run run = allocate(2);
    drop(&run);
    CHECK(layout_lanes_ready(attachment.memory), ==, 0);
    CHECK(recording_by(&attachment), ==, SLOTS_NONE);
    begin();
    CHECK(recording_by(&attachment), ==, attachment.slot);
    CHECK(collect(), ==, 0);
    finish();
    CHECK(recording_by(&attachment), ==, SLOTS_NONE);
    run = allocate(2);
    drop(&run);
    begin();
    CHECK(collect(), ==, 0);
    finish();
    unmake();
}

static void each_allocation_and_each_free_is_put(void) {
    struct pool_run tight = {BITMAP_NONE, 0, 0};
    make();
    begin();
    struct pool_run run = allocate(3), single = allocate(1);
    CHECK(attachment_allocate(&attachment, 2, 17, &tight), ==, POOL_OK);
    uint32_t extra;
    CHECK(attachment_free(&attachment, &run, &extra), ==, POOL_OK);
    CHECK(drop(&single), ==, true);
    uint64_t n = collect();
    CHECK(kind(0), ==, LANE_NOW);
    CHECK(kind(1), ==, LANE_TAKEN);
    CHECK(cells[1].value, ==, n - 2);
    CHECK(kind(2), ==, LANE_OWNER);
    CHECK(cells[2].value, ==, (uint64_t)getpid() << 32 | (uint64_t)syscall(SYS_gettid));
    CHECK(kind(3), ==, LANE_TIME);
    CHECK(cells[3].value, <=, cells[0].value);
    CHECK(has(n, LANE_ALLOCATED, &run, 3 * BLOCK) && has(n, LANE_FREED, &run, 0), ==, true);
    CHECK(has(n, LANE_ALLOCATED, &single, BLOCK) && has(n, LANE_FREED, &single, 0), ==, true);
    CHECK(has(n, LANE_ALLOCATED, &tight, 2 * BLOCK - 17), ==, true);
    CHECK(count_of(n, LANE_FREED), ==, 2);
    drop(&tight);
    n = collect();
    CHECK(has(n, LANE_FREED, &tight, 0), ==, true);
    CHECK(count_of(n, LANE_TIME), ==, 1); /* it was a new round */
    finish();
    unmake();
}

static void in_peer(void) {
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = allocate_in(&other, 5);
    tell(0, run.index);
    tell(1, run.generation);
    drop_from(&other, &run);
    end(&other);
}

static void what_other_processes_do_is_recorded(void) {
    make();
    begin();
    pid_t peer = start(in_peer);
    CHECK(ended(peer), ==, 0);
    struct pool_run run = {told(0), 5, told(1)};
    uint64_t n = collect();
    CHECK(has(n, LANE_ALLOCATED, &run, 5 * BLOCK) && has(n, LANE_FREED, &run, 0), ==, true);
    CHECK(cells[2].value >> 32, ==, peer);
    finish();
    unmake();
}

static void second_recorder(void) {
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(recording_start(&other, PATIENCE, &failure), ==, POOL_EXISTS);
    CHECK(failure.process, ==, getppid());
    end(&other);
}

static void only_one_records(void) {
    make();
    begin();
    CHECK(recording_start(&attachment, PATIENCE, &failure), ==, POOL_EXISTS);
    CHECK(failure.process, ==, getpid());
    CHECK(ended(start(second_recorder)), ==, 0);
    finish();
    begin();
    finish();
    unmake();
}

static void recorder_that_dies(void) {
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(recording_start(&other, PATIENCE, &failure), ==, POOL_OK);
    reach(1);
    stay();
}

static void a_dead_recorder_makes_room_for_the_next(void) {
    make();
    pid_t recorder = start(recorder_that_dies);
    await(1);
    struct pool_run run = allocate(1);
    kill_and_wait(recorder);
    for (unsigned i = 0; i < 2 * LANE_CELLS; i++) { /* more than there is room for */
        drop(&run);
        run = allocate(1);
    }
    CHECK(recover(), ==, 1);
    CHECK(recording_by(&attachment), ==, SLOTS_NONE);
    CHECK(load_seq(&((struct layout_header *)attachment.memory)->recording.on), ==, 0);
    begin();
    drop(&run);
    uint64_t n = collect();
    CHECK(has(n, LANE_FREED, &run, 0), ==, true);
    CHECK(count_of(n, LANE_ALLOCATED), ==, 0); /* what nobody took is gone */
    CHECK(lost(n), ==, 0);
    finish();
    unmake();
}

static void a_recorder_in_a_slot_that_nobody_uses_is_none(void) {
    make();
    ((struct layout_header *)attachment.memory)->recording.recorder = PROCESSES;
    CHECK(recording_by(&attachment), ==, SLOTS_NONE);
    begin();
    finish();
    unmake();
}

/* How many cells among the first n say that what follows is this thread's; none of its events may come before. */
static uint64_t introductions(uint64_t n) {
    uint64_t mine = (uint64_t)getpid() << 32 | (uint64_t)syscall(SYS_gettid), found = 0;
    bool known = false;
    for (uint64_t i = 0; i < n; i++) {
        if (kind(i) == LANE_TAKEN) {
            known = false;
        } else if (kind(i) == LANE_OWNER) {
            known = cells[i].value == mine;
            found += known;
        } else if (kind(i) == LANE_ALLOCATED || kind(i) == LANE_FREED) {
            CHECK(known, ==, true);
        }
    }
    return found;
}

static void *one_pair(void *unused) {
    (void)unused;
    struct pool_run run = allocate(1);
    drop(&run);
    return NULL;
}

static void each_recording_says_whose_events_it_has(void) {
    make();
    for (unsigned i = 0; i < 3; i++) {
        begin();
        one_pair(NULL);
        CHECK(introductions(collect()), ==, 1);
        one_pair(NULL);
        finish();
    }
    unmake();
}

static uint32_t ended_thread;

static void *fill_a_lane(void *unused) {
    (void)unused;
    for (uint64_t i = 0; i < LANE_CELLS; i++) {
        one_pair(NULL);
    }
    ended_thread = os_thread_id();
    return NULL;
}

static void who_takes_a_full_lane_is_named_when_there_is_room(void) {
    pthread_t thread;
    make();
    begin();
    CHECK(pthread_create(&thread, NULL, fill_a_lane, NULL), ==, 0);
    pthread_join(thread, NULL);
    while (os_thread_is_here(ended_thread)) {
        usleep(100);
    }
    one_pair(NULL);
    uint64_t n = collect();
    one_pair(NULL);
    n = collect();
    CHECK(cells[1].what, ==, LANE_TAKEN); /* of lane 0, which was that thread's */
    CHECK(introductions(n), ==, 1);
    finish();
    unmake();
}

static void two_pools_in_one_thread_are_recorded(void) {
    struct attachment second;
    struct attachment_request request = {
        .block_size = BLOCK, .blocks = BLOCKS, .processes = PROCESSES, .gate_seconds = PATIENCE};
    make();
    begin();
    for (unsigned i = 0; i < 3; i++) { /* each at the addresses of the one before */
        CHECK(attachment_create(&second, &request, &failure), ==, POOL_OK);
        CHECK(recording_start(&second, PATIENCE, &failure), ==, POOL_OK);
        for (unsigned pair = 0; pair < 5; pair++) {
            one_pair(NULL);
            struct pool_run run = allocate_in(&second, 1);
            drop_from(&second, &run);
        }
        uint64_t n = recording_collect(&second, cells, MOST, 0, &stop);
        CHECK(count_of(n, LANE_ALLOCATED) == 5 && count_of(n, LANE_FREED) == 5, ==, true);
        CHECK(introductions(n), ==, 1);
        end(&second); /* and its recording with it */
    }
    uint64_t n = collect();
    CHECK(count_of(n, LANE_ALLOCATED) == 15 && count_of(n, LANE_FREED) == 15, ==, true);
    CHECK(count_of(n, LANE_TAKEN), ==, 1);
    finish();
    unmake();
}

static void what_finds_no_room_is_lost_and_counted(void) {
    make();
    begin();
    uint64_t pairs = LANE_CELLS, put = 0;
    for (uint64_t i = 0; i < pairs; i++) {
        struct pool_run run = allocate(1);
        drop(&run);
    }
    uint64_t n = collect();
    put = count_of(n, LANE_ALLOCATED) + count_of(n, LANE_FREED);
    CHECK(put + count_of(n, LANE_TIME), >, LANE_CELLS - LANE_STAMP_EVERY - 1);
    CHECK(put + lost(n), ==, 2 * pairs);
    CHECK(lost(collect()), ==, 0);
    finish();
    unmake();
}

static void threads_that_end_leave_their_lanes(void) {
    uint64_t events = 0, without = 0;
    make();
    begin();
    for (unsigned i = 0; i < 5 * LANES_MOST; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, one_pair, NULL), ==, 0);
        pthread_join(thread, NULL);
        uint64_t n = collect();
        events += count_of(n, LANE_ALLOCATED) + count_of(n, LANE_FREED);
        without += lost(n);
    }
    CHECK(events + without, ==, 10 * LANES_MOST);
    CHECK(without, <=, 2); /* the kernel may still know a thread that has just been joined */
    CHECK(layout_lanes_ready(attachment.memory), <, LANES_MOST);
    finish();
    unmake();
}

static pthread_barrier_t all_here;

static void *pair_among_many(void *unused) {
    (void)unused;
    pthread_barrier_wait(&all_here);
    (void)one_pair(NULL);
    pthread_barrier_wait(&all_here);
    return NULL;
}

static void more_threads_than_lanes_lose_events_and_nothing_else(void) {
    pthread_t threads[LANES_MOST + 20];
    unsigned count = sizeof threads / sizeof *threads;
    make();
    begin();
    CHECK(pthread_barrier_init(&all_here, NULL, count + 1), ==, 0);
    for (unsigned i = 0; i < count; i++) {
        CHECK(pthread_create(&threads[i], NULL, pair_among_many, NULL), ==, 0);
    }
    pthread_barrier_wait(&all_here);
    pthread_barrier_wait(&all_here);
    uint64_t n = collect();
    CHECK(count_of(n, LANE_ALLOCATED) + count_of(n, LANE_FREED) + lost(n), ==, 2 * count);
    CHECK(lost(n), >, 0);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&all_here);
    finish();
    unmake();
}

static struct pool_run before_fork;

static void a_forked_child_has_a_lane_of_its_own(void) {
    make();
    attachment.on_fork = ON_FORK_SHARE;
    begin();
    before_fork = allocate(1);
    pid_t child = fork();
    if (child == 0) {
        uint64_t before = check_failed;
        struct pool_run run = allocate(4);
        drop(&run);
        attachment_leave(&attachment, PATIENCE);
        _exit(check_failed != before);
    }
    CHECK(ended(child), ==, 0);
    drop(&before_fork);
    uint64_t n = collect(), owners = 0;
    for (uint64_t i = 0; i < n; i++) {
        owners |= kind(i) == LANE_OWNER ? (cells[i].value >> 32 == (uint64_t)child ? 2 : 1) : 0;
    }
    CHECK(owners, ==, 3);
    CHECK(count_of(n, LANE_TAKEN), ==, 2);
    finish();
    unmake();
}

static void in_child_of_recorder(void) {
    CHECK(recording_by(&attachment), !=, attachment.slot);
    one_pair(NULL);
    CHECK(collect(), ==, 0);
    recording_stop(&attachment);
    recording_end(&attachment);
    CHECK(recording_start(&attachment, PATIENCE, &failure), ==, POOL_EXISTS);
    CHECK(failure.process, ==, getppid());
}

static void a_forked_child_of_the_recorder_does_not_record(void) {
    make();
    begin();
    CHECK(ended(fork_with(ON_FORK_SHARE, in_child_of_recorder)), ==, 0);
    CHECK(recording_by(&attachment), ==, attachment.slot);
    one_pair(NULL);
    uint64_t n = collect();
    CHECK(count_of(n, LANE_ALLOCATED) == 2 && count_of(n, LANE_FREED) == 2, ==, true);
    finish();
    unmake();
}

static void in_stray(void) {
    CHECK(recording_start(&attachment, PATIENCE, &failure), ==, POOL_STRAY);
    CHECK(collect(), ==, 0);
    recording_stop(&attachment);
    recording_end(&attachment);
}

static void a_child_without_a_part_does_not_record(void) {
    make();
    begin();
    CHECK(ended(fork_with(ON_FORK_DETACH, in_stray)), ==, 0);
    one_pair(NULL);
    CHECK(count_of(collect(), LANE_FREED), ==, 1);
    finish();
    unmake();
}

static void garbled_words_do_no_harm(void) {
    make();
    begin();
    struct layout_header *header = attachment.memory;
    struct lane *lanes = (struct lane *)(void *)((char *)attachment.memory + layout_lanes_at(&attachment.geometry));
    check_random_state = 77;
    for (unsigned i = 0; i < 2000; i++) {
        struct pool_run run = allocate(1);
        atomic_word *words = i % 2 ? (atomic_word *)&lanes[check_below(8)] : (atomic_word *)&header->recording;
        words[check_below(i % 2 ? 16 : 8)] = check_random() >> check_below(64);
        drop(&run);
        (void)collect();
    }
    memset(&header->recording, 0, sizeof header->recording);
    begin();
    one_pair(NULL);
    uint64_t n = collect();
    CHECK(count_of(n, LANE_ALLOCATED) + count_of(n, LANE_FREED) + lost(n), ==, 2);
    finish();
    unmake();
}

int main(void) {
    process_begin();
    RUN(nothing_is_put_while_nobody_records);
    RUN(each_allocation_and_each_free_is_put);
    RUN(what_other_processes_do_is_recorded);
    RUN(only_one_records);
    RUN(a_dead_recorder_makes_room_for_the_next);
    RUN(a_recorder_in_a_slot_that_nobody_uses_is_none);
    RUN(each_recording_says_whose_events_it_has);
    RUN(who_takes_a_full_lane_is_named_when_there_is_room);
    RUN(two_pools_in_one_thread_are_recorded);
    RUN(what_finds_no_room_is_lost_and_counted);
    RUN(threads_that_end_leave_their_lanes);
    RUN(more_threads_than_lanes_lose_events_and_nothing_else);
    RUN(a_forked_child_has_a_lane_of_its_own);
    RUN(a_forked_child_of_the_recorder_does_not_record);
    RUN(a_child_without_a_part_does_not_record);
    RUN(garbled_words_do_no_harm);
    CHECK(process_end(), ==, 0);
    return check_end();
}
