/* Tests of fork.c: what a forked child gets, beside threads and from a process that lacks something. */
#include "one_pool.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

static void child_uses_what_it_inherited(void) {
    CHECK(attachment_is_stray(&attachment), ==, false);
    CHECK(is_filled(&attachment, &held, 1), ==, true);
    CHECK(attachment.slot, ==, 1);
    CHECK(load_seq(&attachment.slot_record->process), ==, getpid());
    CHECK(holders_of(&held), ==, 3);
    fill(&attachment, &held, 2);
    struct pool_run own = allocate(2);
    CHECK(recover(), ==, 0); /* the parent lives */
    CHECK(drop(&held), ==, false);
    CHECK(drop(&own), ==, true);
    end(&attachment);
}

static void a_forked_child_is_attached_and_holds_what_its_parent_holds(void) {
    make();
    held = allocate(3);
    fill(&attachment, &held, 1);
    CHECK(ended(fork_with(ON_FORK_SHARE, child_uses_what_it_inherited)), ==, 0);
    CHECK(is_filled(&attachment, &held, 2), ==, true);
    CHECK(recover(), ==, 0); /* it left */
    CHECK(is_mine_alone(&held), ==, true);
    CHECK(drop(&held), ==, true);
    unmake();
}

static void child_keeps_extra_references(void) {
    CHECK(attachment_is_stray(&attachment), ==, false);
    CHECK(drop(&held), ==, false);
    CHECK(drop(&held), ==, false); /* the parent's bit keeps it now */
    _exit(check_failed != 0);      /* without leaving */
}

static void the_count_within_the_process_is_inherited_too(void) {
    make();
    held = allocate(3);
    struct pool_run again = held;
    CHECK(attachment_redeem(&attachment, &again), ==, POOL_OK);
    CHECK(ended(fork_with(ON_FORK_SHARE, child_keeps_extra_references)), ==, 0);
    CHECK(is_mine_alone(&held), ==, true);
    CHECK(drop(&held), ==, false);
    CHECK(drop(&held), ==, true);
    CHECK(recover(), ==, 1);
    unmake();
}

/* Touches the memory at one address; what the process says of it comes into `said`. Returns how it ended. */
__attribute__((no_sanitize("undefined"))) static int touch(const void *address, char *said, size_t size) {
    int pipes[2];
    CHECK(pipe(pipes), ==, 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], STDERR_FILENO);
        *(volatile char *)(uintptr_t)address = 1;
        _exit(0);
    }
    close(pipes[1]);
    ssize_t got = read(pipes[0], said, size - 1);
    said[got > 0 ? got : 0] = 0;
    close(pipes[0]);
    return ended(child);
}

static void child_is_detached(void) {
    struct pool_run run;
    uint32_t extra;
    bool freed;
    char said[512];
    const unsigned char *data = layout_data(attachment.memory, &attachment.geometry);
    CHECK(attachment_why_stray(&attachment), ==, FATE_DETACHED);
    CHECK(touch(data, said, sizeof said), ==, -SIGSEGV);
    const char *shown = name + sizeof POOLS_PREFIX - 1;
    CHECK(strstr(said, shown) && !strstr(said, name) && strstr(said, "detach"), ==, true);
    CHECK(touch(data + BLOCK * BLOCKS - 1, said, sizeof said), ==, -SIGSEGV);
    CHECK(strstr(said, shown) != NULL, ==, true);
    CHECK(touch(NULL, said, sizeof said), ==, -SIGSEGV); /* not the pool's */
    CHECK(said[0], ==, 0);
    CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_STRAY);
    CHECK(attachment_drop(&attachment, &held, &freed), ==, POOL_STRAY);
    CHECK(attachment_free(&attachment, &held, &extra), ==, POOL_STRAY);
    uint32_t wait;
    CHECK(attachment_wait_enter(&attachment, &wait), ==, POOL_STRAY);
    end(&attachment);
    CHECK(attach(&attachment), ==, POOL_OK); /* again */
    CHECK(is_filled(&attachment, &held, 1), ==, true);
    end(&attachment);
}

static void a_detached_child_gets_nothing_and_may_attach_again(void) {
    make();
    held = allocate(3);
    fill(&attachment, &held, 1);
    CHECK(ended(fork_with(ON_FORK_DETACH, child_is_detached)), ==, 0);
    CHECK(is_filled(&attachment, &held, 1), ==, true);
    CHECK(is_mine_alone(&held), ==, true);
    CHECK(drop(&held), ==, true);
    unmake();
}

/* What runs in a fork after the library's first handler and before its second. */
static void (*between)(void);
static void run_between(void) {
    if (between) {
        between();
    }
}

/* The same for its child. */
static void (*first_in_child)(void);
static void run_first_in_child(void) {
    if (first_in_child) {
        first_in_child();
    }
}

/* Before the library registers its handlers: then these are nearer to the fork. */
__attribute__((constructor(101))) static void handle_forks_too(void) {
    (void)pthread_atfork(run_between, NULL, run_first_in_child);
}

static void wait_for_the_end_of_the_parent(void) {
    alarm(200);
    reach(1);
    await(2);
}

/* Forks, and is killed before the child has come any further. */
static void parent_that_is_killed(void) {
    CHECK(attach(&attachment), ==, POOL_OK);
    attachment.on_fork = ON_FORK_SHARE;
    held = allocate(3);
    fill(&attachment, &held, 8);
    first_in_child = wait_for_the_end_of_the_parent;
    pid_t child = fork();
    if (child == 0) {
        bool right = !attachment_is_stray(&attachment);
        reach(3);
        await(4);
        right = right && is_filled(&attachment, &held, 8) && holders_of(&held) == bit_of(attachment.slot);
        bool freed = false;
        right = right && attachment_drop(&attachment, &held, &freed) == POOL_OK && freed;
        end(&attachment);
        _exit(right ? 0 : 1);
    }
    tell(0, (uint64_t)child);
    stay();
}

static void a_parent_killed_right_after_fork_does_not_take_its_child_along(void) {
    make();
    pid_t parent = start(parent_that_is_killed);
    await(1);
    CHECK(SOON(told(0) != 0), ==, true);
    kill_and_wait(parent);
    CHECK(recover(), ==, 1); /* the parent; the child has not even begun, and counts as alive */
    CHECK(count(), ==, 3);
    reach(2);
    await(3);
    CHECK(recover(), ==, 0);
    CHECK(count(), ==, 3);
    reach(4);
    CHECK(ended((pid_t)told(0)), ==, 0);
    CHECK(recover(), ==, 0);
    CHECK(count(), ==, 0);
    unmake();
}

/* In a namespace of processes whose first process has ended no other can begin. */
static void process_that_cannot_fork(void) {
    CHECK(attach(&attachment), ==, POOL_OK);
    attachment.on_fork = ON_FORK_SHARE;
    held = allocate(3);
    if (unshare(CLONE_NEWPID) != 0) {
        printf("cannot make a fork fail: not tested\n");
        end(&attachment);
        return;
    }
    pid_t first = _Fork();
    if (first == 0) {
        _exit(0);
    }
    CHECK(ended(first), ==, 0);
    CHECK(fork(), ==, -1);
    CHECK(__builtin_popcountll(holders_of(&held)), ==, 2);
    CHECK(recover(), ==, 1);
    CHECK(is_mine_alone(&held), ==, true);
    CHECK(drop(&held), ==, true); /* so no lock stayed locked */
    end(&attachment);
}

static void a_failed_fork_leaves_a_dead_slot(void) {
    make();
    CHECK(ended(start(process_that_cannot_fork)), ==, 0);
    CHECK(recover(), ==, 0);
    unmake();
}

static void nothing(void) {}

static void a_child_that_dies_at_once_is_recovered(void) {
    make();
    held = allocate(3);
    CHECK(ended(fork_with(ON_FORK_SHARE, nothing)), ==, 0);
    CHECK(holders_of(&held), ==, 3);
    CHECK(recover(), ==, 1);
    CHECK(is_mine_alone(&held), ==, true);
    CHECK(drop(&held), ==, true);
    unmake();
}

static void child_goes_on_with_a_wait(void) {
    uint64_t bit = bit_of(attachment.slot);
    uint32_t wait, parents = (uint32_t)told(0);
    CHECK(attachment_wait_is_over(&attachment, parents), ==, true);
    CHECK(waiting_slots(), ==, 1);
    CHECK(attachment_wait_enter(&attachment, &wait), ==, POOL_OK);
    CHECK(attachment_wait_is_over(&attachment, wait), ==, false);
    CHECK(attachment_wait_leave(&attachment, parents), ==, POOL_OK); /* the wait that was under way ends */
    CHECK(waiting_slots() & bit, ==, bit);
    CHECK(attachment_wait_leave(&attachment, wait), ==, POOL_OK);
    CHECK(attachment.waiters, ==, 0);
    CHECK(waiting_slots(), ==, 1);
    end(&attachment);
}

static void a_fork_within_a_wait_leaves_the_counts_right(void) {
    uint32_t wait;
    make();
    CHECK(attachment_wait_enter(&attachment, &wait), ==, POOL_OK);
    tell(0, wait);
    CHECK(ended(fork_with(ON_FORK_SHARE, child_goes_on_with_a_wait)), ==, 0);
    CHECK(attachment_wait_is_over(&attachment, wait), ==, false);
    CHECK(attachment_wait_leave(&attachment, wait), ==, POOL_OK);
    CHECK(waiting_slots(), ==, 0);
    unmake();
}

static void child_shares(void) {
    CHECK(attachment_is_stray(&attachment), ==, false);
    CHECK(is_filled(&attachment, &held, 1), ==, true);
}

static void a_fork_needs_no_gate(void) {
    make();
    held = allocate(1);
    fill(&attachment, &held, 1);
    pid_t holder = start(gate_and_stay);
    await(1);
    kill(holder, SIGSTOP);
    waitpid(holder, NULL, WUNTRACED);
    CHECK(ended(fork_with(ON_FORK_SHARE, child_shares)), ==, 0);
    kill_and_wait(holder);
    CHECK(recover(), ==, 2);
    CHECK(drop(&held), ==, true);
    unmake();
}

static void a_fork_after_the_program_closed_our_descriptor_finds_the_file_again(void) {
    make();
    held = allocate(1);
    fill(&attachment, &held, 1);
    os_close(attachment.file.number);
    CHECK(ended(fork_with(ON_FORK_SHARE, child_shares)), ==, 0);
    CHECK(recover(), ==, 1);
    CHECK(drop(&held), ==, true);
    unmake();
}

static void child_of_a_full_table(void) {
    char said[512];
    CHECK(attachment_why_stray(&attachment), ==, FATE_REFUSED);
    CHECK(attachment.fate_error, ==, -EMFILE);
    CHECK(touch(layout_data(attachment.memory, &attachment.geometry), said, sizeof said), ==, -SIGSEGV);
}

static void a_fork_without_a_descriptor_says_so(void) {
    struct rlimit limit, few;
    make();
    CHECK(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    few = limit;
    few.rlim_cur = (rlim_t)os_reopen(&attachment.file); /* the lowest that is free */
    os_close((int)few.rlim_cur);
    CHECK(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    attachment.on_fork = ON_FORK_SHARE;
    pid_t child = fork();
    if (child == 0) {
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        child_of_a_full_table();
        fflush(stdout);
        _exit(check_failed != 0);
    }
    CHECK(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    CHECK(ended(child), ==, 0);
    CHECK(used_slots(), ==, 1);
    unmake();
}

/* --- what a fork costs --- */

static struct pool_run kept_runs[4];
static const uint64_t kept_groups[] = {0, 3, 100, 255};

/* Which of the runs the process holds, as bits; it must be those that it says it may hold, by groups. */
static unsigned held_runs(void) {
    unsigned found = 0;
    for (unsigned i = 0; i < 4; i++) {
        found |= (unsigned)(holders_of(&kept_runs[i]) >> attachment.slot & 1) << i;
    }
    return found;
}

static unsigned marked_groups(void) {
    unsigned marked = 0;
    for (uint64_t group = 0; group < (attachment.geometry.blocks + 63) / 64; group++) {
        marked += attachment.groups[group] != 0;
    }
    return marked;
}

static bool is_marked(unsigned run) { return attachment.groups[kept_runs[run].index / 64] != 0; }

static void child_of_few_groups(void) {
    CHECK(held_runs(), ==, told(0));
    CHECK(marked_groups(), ==, told(1));
    for (unsigned i = 0; i < 4; i++) {
        CHECK(is_marked(i), ==, told(0) >> i & 1);
    }
}

static void grandchild_of_few_groups(void) {
    child_of_few_groups();
    CHECK(ended(fork_with(ON_FORK_SHARE, child_of_few_groups)), ==, 0);
    end(&attachment);
}

static unsigned forks(unsigned runs, unsigned groups) {
    tell(0, runs);
    tell(1, groups);
    int end_of_child = ended(fork_with(ON_FORK_SHARE, grandchild_of_few_groups));
    CHECK(recover(), ==, 1); /* the grandchild did not leave */
    return (unsigned)end_of_child;
}

static void give_one(void) {
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = allocate_in(&other, 1);
    CHECK(attachment_share(&other, &run, 1), ==, POOL_OK);
    tell_run(2, &run);
    reach(1);
    stay();
}

static void a_fork_looks_only_where_the_process_holds_something(void) {
    struct attachment_request request = {
        .name = name, .block_size = BLOCK, .blocks = 256 * 64, .processes = PROCESSES, .gate_seconds = PATIENCE};
    snprintf(name, sizeof name, "%s", process_name());
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
    static struct pool_run runs[256 * 64];
    for (uint64_t i = 0; i < request.blocks; i++) {
        runs[i] = allocate(1);
        for (unsigned k = 0; k < 4; k++) {
            kept_runs[k] = runs[i].index == kept_groups[k] * 64 + 9 ? runs[i] : kept_runs[k];
        }
    }
    CHECK(marked_groups(), ==, 256);
    for (uint64_t i = 0; i < request.blocks; i++) {
        bool kept = false;
        for (unsigned k = 0; k < 4; k++) {
            kept |= runs[i].index == kept_runs[k].index;
        }
        CHECK(kept || drop(&runs[i]), ==, true);
    }
    CHECK(marked_groups(), ==, 256); /* dropping does not look what else there is in the group */
    CHECK(forks(15, 4), ==, 0);
    CHECK(marked_groups(), ==, 4); /* the first fork did */
    CHECK(drop(&kept_runs[1]), ==, true);
    CHECK(forks(13, 3), ==, 0);
    attachment.groups[kept_runs[2].index / 64] = 0; /* in an unmarked group nothing is looked at */
    CHECK(forks(9, 2), ==, 0);
    attachment.groups[kept_runs[2].index / 64] = 1;
    CHECK(drop(&kept_runs[2]), ==, true);
    pid_t keeper = start(give_one);
    await(1);
    kept_runs[1] = redeem_told(&attachment, 2);  /* whatever way it gets a run */
    CHECK(kept_runs[1].index / 64 % 255, !=, 0); /* it lies where this process had nothing */
    CHECK(forks(11, 3), ==, 0);
    kill_and_wait(keeper);
    CHECK(recover(), ==, 1);
    CHECK(held_runs(), ==, 11);
    unmake();
}

/* --- beside threads --- */

static bool done, published;

/* Redeems and drops a run again and again, and says when it has it. */
static void *redeem_and_drop(void *context) {
    uint64_t wrong = 0;
    (void)context;
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        struct pool_run again = {held.index, 0, held.generation};
        bool freed;
        wrong += UNLOCKED(attachment_redeem(&attachment, &again)) != POOL_OK;
        __atomic_store_n(&published, true, __ATOMIC_SEQ_CST);
        os_yield();
        __atomic_store_n(&published, false, __ATOMIC_SEQ_CST);
        wrong += UNLOCKED(attachment_drop(&attachment, &again, &freed)) != POOL_OK || freed;
    }
    return (void *)(uintptr_t)wrong;
}

static void take_a_moment(void) { os_sleep(0.001); }

static void child_holds_what_was_published(void) {
    CHECK(!published || holders_of(&held) & bit_of(attachment.slot), ==, true);
}

static void keep_what_is_redeemed(void) {
    CHECK(attach(&other), ==, POOL_OK);
    held = allocate_in(&other, 1);
    tell_run(0, &held);
    reach(1);
    stay();
}

static void a_fork_beside_a_thread_that_redeems_loses_no_reference(void) {
    pthread_t thread;
    void *wrong;
    make();
    pid_t keeper = start(keep_what_is_redeemed);
    await(1);
    held = told_run(0);
    done = published = false;
    between = take_a_moment;
    CHECK(pthread_create(&thread, NULL, redeem_and_drop, NULL), ==, 0);
    for (unsigned i = 0; i < 100; i++) {
        CHECK(ended(fork_with(ON_FORK_SHARE, child_holds_what_was_published)), ==, 0);
    }
    between = NULL;
    __atomic_store_n(&done, true, __ATOMIC_RELAXED);
    pthread_join(thread, &wrong);
    CHECK((uintptr_t)wrong, ==, 0);
    kill_and_wait(keeper);
    (void)recover();
    unmake();
}

static void check_until_told(void) {
    CHECK(attach(&other), ==, POOL_OK);
    reach(1);
    while (told(0) == 0) {
        struct shared_pool_fault fault;
        struct shared_pool_audit audit;
        CHECK(attachment_check(&other, PATIENCE, &fault, 1, &audit, &failure), ==, POOL_OK);
        CHECK(audit.faults, ==, 0);
    }
    end(&other);
}

static void an_audit_beside_forks_finds_no_fault(void) {
    struct attachment_request request = {
        .name = name, .block_size = BLOCK, .blocks = 1 << 16, .processes = PROCESSES, .gate_seconds = PATIENCE};
    snprintf(name, sizeof name, "%s", process_name());
    tell(0, 0);
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
    (void)allocate(request.blocks - 1); /* so that the audit comes to the other one late */
    held = allocate(1);
    pid_t child = start(check_until_told);
    await(1);
    for (unsigned i = 0; i < 300; i++) {
        CHECK(ended(fork_with(ON_FORK_SHARE, nothing)), ==, 0);
    }
    tell(0, 1);
    CHECK(ended(child), ==, 0);
    end(&attachment);
}

/* Makes, attaches and ends attachments. */
static void *come_and_go(void *context) {
    (void)context;
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        static struct attachment unnamed, again;
        struct pool_failure why;
        struct attachment_request request = {
            .block_size = BLOCK, .blocks = BLOCKS, .processes = PROCESSES, .gate_seconds = PATIENCE};
        CHECK(attachment_create(&unnamed, &request, &why), ==, POOL_OK);
        CHECK(attachment_attach(&again, name, PATIENCE, &why), ==, POOL_OK);
        end(&again);
        end(&unnamed);
    }
    return NULL;
}

static unsigned of_pools_in(const char *directory) {
    char path[320], target[200];
    unsigned found = 0;
    DIR *entries = opendir(directory);
    for (const struct dirent *entry; entries && (entry = readdir(entries));) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = 0;
        found += strstr(target, "blockpool") != NULL || strncmp(target, "/dev/shm/", 9) == 0;
    }
    closedir(entries);
    return found;
}

/* What is left is `attachment`: its descriptor, its memory and the page that keeps its lock; and it can attach. */
static void child_keeps_nothing_else(void) {
    unsigned mappings = 0;
    char line[512];
    CHECK(of_pools_in("/proc/self/fd"), ==, 1);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        mappings += strstr(line, "/memfd:blockpool-") || strstr(line, "/dev/shm/");
    }
    fclose(maps);
    CHECK(mappings, ==, 2);
    CHECK(attach(&other), ==, POOL_OK);
    end(&other);
    end(&attachment);
}

static void a_fork_beside_threads_that_come_and_go_takes_nothing_of_theirs_along(void) {
    pthread_t thread;
    make();
    done = false;
    CHECK(pthread_create(&thread, NULL, come_and_go, NULL), ==, 0);
    for (unsigned i = 0; i < 300; i++) {
        CHECK(ended(fork_with(ON_FORK_SHARE, child_keeps_nothing_else)), ==, 0);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    unmake();
}

/* --- children the library did not see forked --- */

static void child_of_a_stray(void) {
    char said[512];
    CHECK(attachment_is_stray(&attachment), ==, true);
    CHECK(touch(layout_data(attachment.memory, &attachment.geometry), said, sizeof said), ==, -SIGSEGV);
}

static void stray(void) {
    struct pool_run run = {0, 0, 0};
    struct shared_pool_audit audit;
    uint64_t tickets;
    uint32_t extra;
    unsigned slots;
    bool freed;
    struct shared_pool_fault fault;
    CHECK(attachment_is_stray(&attachment), ==, true);
    CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_STRAY);
    CHECK(attachment_drop(&attachment, &held, &freed), ==, POOL_STRAY);
    CHECK(attachment_free(&attachment, &held, &extra), ==, POOL_STRAY);
    CHECK(attachment_share(&attachment, &held, 1), ==, POOL_STRAY);
    CHECK(attachment_redeem(&attachment, &held), ==, POOL_STRAY);
    CHECK(attachment_recover(&attachment, 0, 0, &slots, &tickets, &failure), ==, POOL_STRAY);
    CHECK(attachment_check(&attachment, 0, &fault, 1, &audit, &failure), ==, POOL_STRAY);
    uint32_t wait;
    CHECK(attachment_wait_enter(&attachment, &wait), ==, POOL_STRAY);
    CHECK(attachment_why_stray(&attachment), ==, FATE_UNKNOWN);
    CHECK(ended(fork_with(ON_FORK_SHARE, child_of_a_stray)), ==, 0);
    end(&attachment);
}

static void a_stray_child_can_do_nothing_to_the_pool(void) {
    make();
    held = allocate(3);
    CHECK(ended(start(stray)), ==, 0);
    CHECK(waiting_slots(), ==, 0);
    CHECK(recover(), ==, 0);
    CHECK(is_mine_alone(&held), ==, true);
    CHECK(exists(name), ==, true);
    CHECK(drop(&held), ==, true);
    unmake();
}

int main(void) {
    process_begin();
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would end the process in its own way */
    RUN(a_forked_child_is_attached_and_holds_what_its_parent_holds);
    RUN(the_count_within_the_process_is_inherited_too);
    RUN(a_detached_child_gets_nothing_and_may_attach_again);
    RUN(a_parent_killed_right_after_fork_does_not_take_its_child_along);
    RUN(a_failed_fork_leaves_a_dead_slot);
    RUN(a_child_that_dies_at_once_is_recovered);
    RUN(a_fork_within_a_wait_leaves_the_counts_right);
    RUN(a_fork_needs_no_gate);
    RUN(a_fork_without_a_descriptor_says_so);
    RUN(a_fork_after_the_program_closed_our_descriptor_finds_the_file_again);
    RUN(a_fork_looks_only_where_the_process_holds_something);
    RUN(a_fork_beside_a_thread_that_redeems_loses_no_reference);
    RUN(an_audit_beside_forks_finds_no_fault);
    RUN(a_fork_beside_threads_that_come_and_go_takes_nothing_of_theirs_along);
    RUN(a_stray_child_can_do_nothing_to_the_pool);
    CHECK(process_end(), ==, 0);
    return check_end();
}
