/* Tests of descriptor.c and of what the kernel refuses: programs that close the library's descriptors, have none left,
 * no room for a mapping, no /proc, no /dev/shm; and the program's other files, which stay as they are. */
#include "process.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "sets.h"
#include "shared/attachment.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif
#define BLOCKS 8u
#define PATIENCE PROCESS_PATIENCE

static struct attachment attachment, other;
static struct pool_failure failure;
static char name[96];

static void make(bool named) {
    snprintf(name, sizeof name, "%s", process_name());
    struct attachment_request request = {.name = named ? name : NULL,
                                         .block_size = 64,
                                         .blocks = BLOCKS,
                                         .processes = PROCESSES,
                                         .gate_seconds = PATIENCE};
    memset(page->told, 0, sizeof page->told);
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
}

static void end(struct attachment *whose) {
    attachment_leave(whose, PATIENCE);
    attachment_unmap(whose);
}

static bool exists(const char *which) {
    int file = os_shm_open(which);
    if (file >= 0) {
        os_close(file);
    }
    return file >= 0;
}

static enum pool_status recover(unsigned *slots) {
    uint64_t tickets;
    return attachment_recover(&attachment, PATIENCE, -1, slots, &tickets, &failure);
}

static uint64_t count(void) { return bitmap_count(&attachment.shared.bitmap); }

static unsigned open_descriptors(void) {
    unsigned open_now = 0;
    for (int i = 0; i < 1024; i++) {
        open_now += fcntl(i, F_GETFD) >= 0;
    }
    return open_now;
}

/* A file of the program's own, which has room where the locks of a pool would be. */
static int stranger_at(int number) {
    int stranger = os_memfd("stranger");
    if (stranger != number) {
        CHECK(dup2(stranger, number), ==, number);
        os_close(stranger);
    }
    return number;
}

static bool is_stranger(int number) {
    struct os_file found;
    return os_stat(number, &found) == 0 && found.bytes == 0;
}

/* --- numbers that are used again --- */

static void hold_all_and_stay(void) {
    struct pool_run run;
    CHECK(attachment_attach_through(&other, getppid(), (int)told(0), NULL, PATIENCE, &failure), ==, POOL_OK);
    CHECK(attachment_allocate(&other, BLOCKS, 0, &run), ==, POOL_OK);
    if (told(1)) { /* a daemon too: neither its own descriptor nor the one it inherited is left */
        (void)stranger_at(other.file.number);
        (void)stranger_at(attachment.file.number);
    }
    reach(1);
    stay();
}

/* A child that holds every block, and has lost its descriptors too or not. */
static pid_t start_holder(bool closes) {
    tell(0, (uint64_t)attachment.file.number);
    tell(1, closes);
    pid_t child = start(hold_all_and_stay);
    await(1);
    return child;
}

/* The number was closed and used again; the pool is found by its name, or through the other process. */
static void lost_and_found(bool named, bool unlinked) {
    unsigned slots = 99;
    make(named);
    pid_t child = start_holder(false);
    if (unlinked) {
        CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_OK);
    }
    int number = stranger_at(attachment.file.number);
    CHECK(recover(&slots), ==, POOL_OK);
    CHECK(slots, ==, 0); /* it lives */
    CHECK(count(), ==, BLOCKS);
    CHECK(attachment.file.number, !=, number);
    CHECK(is_stranger(number), ==, true);
    kill_and_wait(child);
    CHECK(recover(&slots), ==, POOL_OK);
    CHECK(slots, ==, 1);
    CHECK(count(), ==, 0);
    end(&attachment);
    CHECK(is_stranger(number), ==, true);
    CHECK(exists(name), ==, false);
    os_close(number);
}

static void a_named_pool_is_found_again_by_its_name(void) { lost_and_found(true, false); }
static void a_daemon_alone_removes_the_name_when_it_ends(void) {
    make(true);
    int number = stranger_at(attachment.file.number);
    end(&attachment);
    CHECK(is_stranger(number), ==, true);
    CHECK(exists(name), ==, false);
    os_close(number);
}

static void an_unnamed_pool_is_found_again_through_another_process(void) { lost_and_found(false, false); }
static void so_is_one_whose_name_was_removed(void) { lost_and_found(true, true); }

static void its_name_may_be_another_pools_by_now(void) {
    unsigned slots = 99;
    make(true);
    pid_t child = start_holder(false);
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_OK);
    struct attachment_request request = {
        .name = name, .block_size = 64, .blocks = 1, .processes = PROCESSES, .gate_seconds = PATIENCE};
    static struct attachment second;
    CHECK(attachment_create(&second, &request, &failure), ==, POOL_OK);
    int number = stranger_at(attachment.file.number);
    CHECK(recover(&slots), ==, POOL_OK);
    CHECK(slots, ==, 0);
    CHECK(count(), ==, BLOCKS);
    end(&attachment);
    CHECK(exists(name), ==, true);
    end(&second);
    kill_and_wait(child);
    os_close(number);
}

/* Forks: the child knows why it has no part in the pool. */
static void a_child_has_no_part(int error) {
    attachment.on_fork = ON_FORK_SHARE;
    pid_t child = fork();
    if (child == 0) {
        _exit(attachment_why_stray(&attachment) != FATE_REFUSED || attachment.fate_error != error);
    }
    CHECK(ended(child), ==, 0);
}

/* Another thread closes all descriptors while this one forks, after the child's slot was taken. */
static bool lose;
static int lost;
static void lose_the_description(void) {
    if (lose) {
        lost = stranger_at(attachment.child.description);
    }
}

/* Before the library's own handler is there, so that it runs after that. */
__attribute__((constructor(101))) static void handle_forks_first(void) {
    if (pthread_atfork(lose_the_description, NULL, NULL) != 0) {
        abort();
    }
}

static void a_child_whose_lock_is_lost_has_no_part(void) {
    unsigned slots = 99;
    make(true);
    attachment.on_fork = ON_FORK_SHARE;
    lose = true;
    pid_t child = fork();
    lose = false;
    if (child == 0) {
        _exit(attachment_why_stray(&attachment) != FATE_REFUSED || attachment.fate_error != -ESTALE ||
              !is_stranger(lost));
    }
    CHECK(is_stranger(lost), ==, true);
    CHECK(ended(child), ==, 0);
    CHECK(recover(&slots), ==, POOL_OK);
    CHECK(slots, ==, 1);
    os_close(lost);
    end(&attachment);
}

/* No process has the file open: which are dead cannot be known. */
static void without_any_descriptor(bool closed) {
    unsigned slots = 99;
    uint64_t tickets;
    make(false);
    pid_t child = start_holder(true);
    int number = stranger_at(attachment.file.number);
    if (closed) {
        os_close(number);
    }
    CHECK(recover(&slots), ==, POOL_UNREACHABLE);
    CHECK(failure.error, ==, closed ? -EBADF : -ESTALE);
    CHECK(count(), ==, BLOCKS);
    kill_and_wait(child);
    CHECK(recover(&slots), ==, POOL_UNREACHABLE);
    CHECK(attachment_recover(&attachment, 0, 0, &slots, &tickets, &failure), ==, POOL_UNREACHABLE);
    CHECK(count(), ==, BLOCKS);
    struct shared_pool_fault fault;
    struct shared_pool_audit audit;
    CHECK(attachment_check(&attachment, 0, &fault, 1, &audit, &failure), ==, POOL_UNREACHABLE);
    a_child_has_no_part(closed ? -EBADF : -ESTALE);
    end(&attachment);
    CHECK(is_stranger(number), ==, !closed);
    if (!closed) {
        os_close(number);
    }
}

static void without_any_descriptor_nobody_is_taken_for_dead(void) {
    without_any_descriptor(false);
    without_any_descriptor(true);
}

/* --- no descriptor left --- */

/* Lets the process open that many more files, and no others. */
static struct rlimit before_limit;
static void leave_descriptors(unsigned n) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &before_limit), ==, 0);
    int lowest = 3;
    for (unsigned more = 0;; lowest++) {
        if (fcntl(lowest, F_GETFD) < 0 && ++more > n) {
            break;
        }
    }
    limit = (struct rlimit){(rlim_t)lowest, before_limit.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

static void restore_descriptors(void) { CHECK(setrlimit(RLIMIT_NOFILE, &before_limit), ==, 0); }

static void without_a_descriptor_every_call_says_so(void) {
    struct shared_pool_fault fault;
    struct shared_pool_audit audit;
    uint64_t tickets;
    unsigned slots = 99;
    struct pool_run run;
    char second[96];
    make(true);
    pid_t child = start_holder(false);
    snprintf(second, sizeof second, "%s", process_name());
    unsigned descriptors = open_descriptors();
    for (unsigned n = 0; n < 2; n++) { /* one is for the file, one more for the lock */
        struct attachment_request
            named = {.name = second, .block_size = 64, .blocks = 1, .processes = PROCESSES, .gate_seconds = PATIENCE},
            unnamed = {.block_size = 64, .blocks = 1, .processes = PROCESSES, .gate_seconds = PATIENCE};
        leave_descriptors(n);
        CHECK(attachment_create(&other, &named, &failure), ==, POOL_NO_DESCRIPTOR);
        CHECK(failure.error, ==, -EMFILE);
        CHECK(attachment_create(&other, &unnamed, &failure), ==, POOL_NO_DESCRIPTOR);
        CHECK(attachment_attach(&other, name, PATIENCE, &failure), ==, POOL_NO_DESCRIPTOR);
        CHECK(attachment_attach_through(&other, child, attachment.file.number, NULL, PATIENCE, &failure), ==,
              POOL_NO_DESCRIPTOR);
        restore_descriptors();
        CHECK(open_descriptors(), ==, descriptors);
        CHECK(exists(second), ==, false);
        CHECK(used_in(attachment.memory, &attachment.geometry), ==, 3);
    }
    leave_descriptors(0);
    CHECK(attachment_check(&attachment, PATIENCE, &fault, 1, &audit, &failure), ==, POOL_NO_DESCRIPTOR);
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_NO_DESCRIPTOR);
    CHECK(attachment_recover(&attachment, PATIENCE, 0, &slots, &tickets, &failure), ==, POOL_NO_DESCRIPTOR);
    CHECK(recover(&slots), ==, POOL_OK); /* to look needs none */
    CHECK(slots, ==, 0);
    kill_and_wait(child);
    CHECK(recover(&slots), ==, POOL_NO_DESCRIPTOR);
    CHECK(count(), ==, BLOCKS);
    a_child_has_no_part(-EMFILE);
    CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_EXHAUSTED);
    restore_descriptors();
    CHECK(recover(&slots), ==, POOL_OK);
    CHECK(slots, ==, 1);
    CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_OK);
    leave_descriptors(0);
    end(&attachment); /* cannot leave: is dead once the mapping is gone, and swept */
    restore_descriptors();
    CHECK(open_descriptors(), ==, descriptors - 1);
    CHECK(attachment_attach(&other, name, PATIENCE, &failure), ==, POOL_NOT_FOUND);
    CHECK(exists(name), ==, false);
}

/* --- no room for a mapping --- */

static void where_no_mapping_fits(void) {
    struct rlimit limit;
    unsigned descriptors = open_descriptors();
    CHECK(getrlimit(RLIMIT_AS, &limit), ==, 0);
    struct attachment_request request = {
        .block_size = 4096, .blocks = 1 << 14, .processes = PROCESSES, .gate_seconds = PATIENCE};
    limit.rlim_cur = 32 << 20;
    CHECK(setrlimit(RLIMIT_AS, &limit), ==, 0);
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_NO_MAPPING);
    CHECK(failure.error, ==, -ENOMEM);
    CHECK(open_descriptors(), ==, descriptors);
    request.blocks = 4;
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_OK);
    end(&other);
}

static void a_mapping_that_does_not_fit_is_not_called_a_full_machine(void) {
    if (SANITIZED) {
        printf("skip: a limit of address space (the sanitizers need more)\n");
    } else {
        CHECK(ended(start(where_no_mapping_fits)), ==, 0);
    }
}

/* --- no /proc, no /dev/shm --- */

/* A file system of this process's own, with an empty directory in the place of `path`. */
static bool hide(const char *path) {
    return (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("tmpfs", path, "tmpfs", 0, "size=1m") == 0;
}

static void where_no_proc_is(void) {
    unsigned slots = 99, descriptors = open_descriptors();
    if (!hide("/proc")) {
        tell(10, 1);
        return;
    }
    struct attachment_request request = {
        .name = name, .block_size = 64, .blocks = 1, .processes = PROCESSES, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_EXISTS);
    request.name = process_name();
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_NO_PROC);
    request.name = NULL;
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_NO_PROC);
    CHECK(attachment_attach(&other, name, PATIENCE, &failure), ==, POOL_NO_PROC);
    CHECK(open_descriptors(), ==, descriptors);
    attachment.slot = SLOTS_NONE; /* the parent's: that it is alive can be seen */
    store_relaxed(attachment.alive, 1);
    CHECK(recover(&slots), ==, POOL_OK);
    CHECK(slots, ==, 0);
}

static void without_proc_that_is_what_is_said(void) {
    make(true);
    CHECK(ended(start(where_no_proc_is)), ==, 0);
    if (told(10)) {
        printf("skip: no /proc (no right to mount over it)\n");
    }
    CHECK(used_in(attachment.memory, &attachment.geometry), ==, 1);
    end(&attachment);
}

static void where_no_directory_is(void) {
    if (!hide("/dev")) {
        tell(10, 1);
        return;
    }
    struct attachment_request request = {
        .name = name, .block_size = 64, .blocks = 1, .processes = PROCESSES, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_NO_DIRECTORY);
    CHECK(attachment_attach(&other, name, PATIENCE, &failure), ==, POOL_NOT_FOUND);
    CHECK(pools_sweep(), ==, 0);
    request.name = NULL; /* needs none */
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_OK);
    end(&other);
}

static void without_a_directory_of_shared_memory_pools_have_no_names(void) {
    tell(10, 0);
    CHECK(ended(start(where_no_directory_is)), ==, 0);
    if (told(10)) {
        printf("skip: no /dev/shm (no right to mount over /dev)\n");
    }
}

/* --- the program's other files --- */

static atomic_half busy;

/* Every descriptor that this thread opens stays its own until it closes it. */
static void *use_files(void *failed) {
    while (half_load_seq(&busy)) {
        int ends[2];
        char byte = 'x';
        bool right = pipe(ends) == 0 && write(ends[1], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1;
        right &= close(ends[0]) == 0;
        right &= close(ends[1]) == 0;
        *(unsigned *)failed += !right;
    }
    return NULL;
}

static void nothing_closes_a_file_of_another_thread(void) {
    unsigned failed = 0, slots;
    struct shared_pool_audit audit;
    uint64_t tickets;
    struct shared_pool_fault fault;
    pthread_t thread;
    make(true);
    half_store_seq(&busy, 1);
    CHECK(pthread_create(&thread, NULL, use_files, &failed), ==, 0);
    for (unsigned i = 0; i < 200; i++) {
        struct attachment_request
            taken = {.name = name, .block_size = 64, .blocks = 1, .processes = PROCESSES, .gate_seconds = PATIENCE},
            unnamed = {.block_size = 64, .blocks = 1, .processes = PROCESSES, .gate_seconds = PATIENCE};
        unsigned char id[LAYOUT_ID_BYTES] = "another pool's";
        CHECK(attachment_create(&other, &taken, &failure), ==, POOL_EXISTS);
        CHECK(attachment_create(&other, &unnamed, &failure), ==, POOL_OK);
        end(&other);
        CHECK(attachment_attach(&other, name, PATIENCE, &failure), ==, POOL_OK);
        end(&other);
        CHECK(attachment_attach_through(&other, 0, attachment.file.number, id, PATIENCE, &failure), ==, POOL_NOT_FOUND);
        CHECK(pools_identify(name, id), ==, POOL_OK);
        CHECK(attachment_recover(&attachment, PATIENCE, 1000, &slots, &tickets, &failure), ==, POOL_OK);
        CHECK(attachment_check(&attachment, PATIENCE, &fault, 1, &audit, &failure), ==, POOL_OK);
        attachment.on_fork = ON_FORK_SHARE;
        pid_t child = fork();
        if (child == 0) {
            _exit(0);
        }
        CHECK(ended(child), ==, 0);
        CHECK(recover(&slots), ==, POOL_OK);
        CHECK(slots, ==, 1);
    }
    half_store_seq(&busy, 0);
    CHECK(pthread_join(thread, NULL), ==, 0);
    CHECK(failed, ==, 0);
    end(&attachment);
}

/* Pools in a directory of this process alone, so that sweeping touches no others. */
static void sweep_alone(void) {
    unsigned failed = 0;
    pthread_t thread;
    if (!hide("/dev/shm")) {
        tell(10, 1);
        return;
    }
    make(true); /* in use, so sweeping looks at it each time */
    half_store_seq(&busy, 1);
    CHECK(pthread_create(&thread, NULL, use_files, &failed), ==, 0);
    for (unsigned i = 0; i < 2000; i++) {
        CHECK(pools_sweep(), ==, 0);
    }
    half_store_seq(&busy, 0);
    CHECK(pthread_join(thread, NULL), ==, 0);
    CHECK(failed, ==, 0);
    end(&attachment);
}

static void sweeping_closes_no_file_of_another_thread(void) {
    tell(10, 0);
    CHECK(ended(start(sweep_alone)), ==, 0);
    if (told(10)) {
        printf("skip: sweep (no right to mount a /dev/shm of its own)\n");
    }
}

static struct {
    int number; /* of the file that was being made */
    pid_t child;
} forked;

static bool fork_once(void *context) {
    (void)context;
    if (forked.child < 0) {
        forked.number = other.file.number;
        forked.child = fork();
        if (forked.child == 0) {
            (void)stranger_at(forked.number);
        }
    }
    return true;
}

/* As the handler of a signal may. */
static void a_child_forked_in_the_midst_of_create_makes_a_pool_of_its_own(void) {
    for (unsigned named = 0; named < 2; named++) {
        snprintf(name, sizeof name, "%s", process_name());
        struct attachment_request request = {.name = named ? name : NULL,
                                             .block_size = 4096,
                                             .blocks = (OS_PIECE + OS_PIECE / 4) / 4096,
                                             .processes = PROCESSES,
                                             .gate_seconds = PATIENCE,
                                             .pause = {fork_once, NULL}};
        struct pool_run run;
        forked.child = -1;
        enum pool_status status = attachment_create(&other, &request, &failure);
        if (status == POOL_NO_ROOM && forked.child < 0) {
            printf("skip: a fork during create (no room for %llu bytes)\n", (unsigned long long)failure.asked);
            continue;
        }
        if (forked.child == 0) {
            bool right = named && status == POOL_EXISTS; /* its parent was quicker */
            if (status == POOL_OK) {
                right =
                    used_in(other.memory, &other.geometry) == 1 && attachment_allocate(&other, 2, 0, &run) == POOL_OK;
                end(&other);
            }
            _exit(!right || !is_stranger(forked.number));
        }
        CHECK(ended(forked.child), ==, 0);
        if (status == POOL_OK) {
            CHECK(used_in(other.memory, &other.geometry), ==, 1);
            CHECK(attachment_allocate(&other, 2, 0, &run), ==, POOL_OK);
            end(&other);
        } else {
            CHECK(named && status == POOL_EXISTS, ==, true); /* its child was */
        }
    }
}

/* A program that has closed stdin, stdout and stderr, where libraries still write to them. */
static void without_standard_streams(void) {
    bool named = told(10);
    for (int number = 0; number < 3; number++) {
        (void)close(number);
    }
    make(named);
    bool right = attachment_attach_through(&other, 0, attachment.file.number, NULL, PATIENCE, &failure) == POOL_OK;
    int gate = slots_gate_try(&attachment.file, attachment.memory);
    for (int number = 0; number < 3; number++) {
        right &= write(number, "x", 1) < 0 && errno == EBADF;
    }
    right &= gate >= 3;
    slots_gate_leave(&attachment.file, gate);
    int closed = attachment.file.number;
    os_close(closed);
    unsigned slots;
    right &= recover(&slots) == POOL_OK && slots == 0 && attachment.file.number >= 3;
    end(&other);
    end(&attachment);
    _exit(!right);
}

static void no_pool_takes_the_number_of_a_standard_stream(void) {
    for (unsigned named = 0; named < 2; named++) {
        tell(10, named);
        CHECK(ended(start(without_standard_streams)), ==, 0);
    }
}

int main(void) {
    process_begin();
    RUN(a_named_pool_is_found_again_by_its_name);
    RUN(a_daemon_alone_removes_the_name_when_it_ends);
    RUN(an_unnamed_pool_is_found_again_through_another_process);
    RUN(so_is_one_whose_name_was_removed);
    RUN(its_name_may_be_another_pools_by_now);
    RUN(without_any_descriptor_nobody_is_taken_for_dead);
    RUN(a_child_whose_lock_is_lost_has_no_part);
    RUN(without_a_descriptor_every_call_says_so);
    RUN(a_mapping_that_does_not_fit_is_not_called_a_full_machine);
    RUN(without_proc_that_is_what_is_said);
    RUN(without_a_directory_of_shared_memory_pools_have_no_names);
    RUN(nothing_closes_a_file_of_another_thread);
    RUN(sweeping_closes_no_file_of_another_thread);
    RUN(a_child_forked_in_the_midst_of_create_makes_a_pool_of_its_own);
    RUN(no_pool_takes_the_number_of_a_standard_stream);
    CHECK(process_end(), ==, 0);
    return check_end();
}
