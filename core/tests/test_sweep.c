/* Tests of sweep.c: pools seen from outside, by processes that have a directory of shared memory of their own where
 * that is allowed. */
#include "own_directory.h"

#include <stdarg.h>
#include <sys/syscall.h>

#include "os/lock.h"
#include "os/process.h"
#include "shared/attachment.h"

#define BLOCK 4096u
#define BLOCKS 40u
#define PATIENCE PROCESS_PATIENCE

static struct pool_failure failure;

static enum pool_status create_as(struct attachment *attachment, const char *name, uint64_t blocks, bool permanent) {
    struct attachment_request request = {.name = name,
                                         .block_size = BLOCK,
                                         .blocks = blocks,
                                         .processes = PROCESSES,
                                         .small_blocks = 16, /* the directory is small */
                                         .permanent = permanent,
                                         .gate_seconds = PATIENCE};
    return attachment_create(attachment, &request, &failure);
}

static void end(struct attachment *attachment) {
    attachment_leave(attachment, PATIENCE);
    attachment_unmap(attachment);
}

static bool exists(const char *name) {
    struct os_file found;
    return os_shm_look(name, &found) == 0;
}

static char left_name[96];
static uint64_t left_blocks;
static bool left_permanent;

static void create_and_stay(void) {
    struct attachment attachment;
    CHECK(create_as(&attachment, left_name, left_blocks, left_permanent), ==, POOL_OK);
    reach(1);
    stay();
}

/* Leaves a pool behind whose only process was killed. */
static void leave_behind(const char *name, uint64_t blocks, bool permanent) {
    snprintf(left_name, sizeof left_name, "%s", name);
    left_blocks = blocks;
    left_permanent = permanent;
    pid_t child = start(create_and_stay);
    await(1);
    kill_and_wait(child);
}

static char path[256];

static const char *path_of(const char *name) {
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    return path;
}

static void write_text(const char *name) {
    FILE *text = fopen(path_of(name), "w");
    fputs("no pool\n", text);
    fclose(text);
}

/* Makes the first pool of this process, so that its children do not sweep by themselves. */
static void make_the_first(void) {
    struct attachment attachment;
    CHECK(create_as(&attachment, NULL, 1, false), ==, POOL_OK);
    end(&attachment);
}

/* --- what the library asks of the kernel --- */

static void (*before_probe)(void); /* once, before the library learns which locks are held */
static bool probes_fail;
static unsigned removed, removed_outside_the_gate;

/* Stands in for the C library's. */
int fcntl(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (command == F_OFD_GETLK && before_probe) {
        void (*once)(void) = before_probe;
        before_probe = NULL;
        once();
    }
    if (command == F_OFD_GETLK && probes_fail) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fcntl, file, command, argument);
}

/* The same, and checks whether the gate is held. */
int unlink(const char *removed_path) {
    int file = open(removed_path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct flock gate = {.l_type = F_WRLCK, .l_start = ((off_t)1 << 60) + SLOTS_GATE_BYTE, .l_len = 1};
    if (file >= 0 && syscall(SYS_fcntl, file, F_OFD_GETLK, &gate) == 0) {
        removed++;
        removed_outside_the_gate += gate.l_type == F_UNLCK;
    }
    if (file >= 0) {
        close(file);
    }
    return (int)syscall(SYS_unlinkat, AT_FDCWD, removed_path, 0);
}

/* --- sweeping; with a directory of 1 MiB alone --- */

static void sweep_removes_leftovers_and_nothing_else(void) {
    struct attachment attachment;
    make_the_first();
    CHECK(pools_sweep(), ==, 0);
    leave_behind("blockpool.first", BLOCKS, false);
    leave_behind("blockpool.second", BLOCKS, false);
    leave_behind("blockpool.permanent", 1, true);
    leave_behind("other.pool", 1, false);
    write_text("blockpool.text");
    CHECK(create_as(&attachment, "blockpool.living", 1, false), ==, POOL_OK);
    CHECK(pools_sweep(), ==, 2);
    CHECK(exists("blockpool.first") || exists("blockpool.second"), ==, false);
    CHECK(exists("blockpool.permanent") && exists("blockpool.living") && exists("blockpool.text"), ==, true);
    CHECK(exists("other.pool"), ==, true); /* not named as pools of the package are */
    CHECK(pools_sweep(), ==, 0);
    end(&attachment);
}

static void what_was_swept_can_be_told_once(void) {
    struct attachment attachment;
    struct pools_swept taken;
    make_the_first();
    (void)pools_take_swept(&taken);
    leave_behind("blockpool.first", BLOCKS, false);
    CHECK(pools_sweep(), ==, 1);
    CHECK(pools_take_swept(&taken), ==, true);
    CHECK(taken.count, ==, 1);
    CHECK(taken.bytes, >, 0);
    CHECK(strcmp(taken.names[0], "blockpool.first"), ==, 0);
    CHECK(pools_take_swept(&taken), ==, false);
    leave_behind("blockpool.second", BLOCKS, false);
    CHECK(create_as(&attachment, "blockpool.second", 1, false), ==, POOL_OK); /* which makes room for its name */
    CHECK(pools_take_swept(&taken), ==, true);
    CHECK(taken.count, ==, 1);
    CHECK(strcmp(taken.names[0], "blockpool.second"), ==, 0);
    end(&attachment);
}

static void make_and_leave(void) {
    struct attachment attachment;
    CHECK(create_as(&attachment, "blockpool.other", 1, false), ==, POOL_OK);
    CHECK(exists("blockpool.left"), ==, false);
    leave_behind("blockpool.left", BLOCKS, false);
    end(&attachment);
    CHECK(create_as(&attachment, "blockpool.other", 1, false), ==, POOL_OK);
    CHECK(exists("blockpool.left"), ==, true); /* not at every create: it looks at all files there */
    end(&attachment);
}

static void the_first_create_of_a_process_sweeps(void) {
    leave_behind("blockpool.left", BLOCKS, false);
    CHECK(exists("blockpool.left"), ==, true);
    CHECK(ended(start(make_and_leave)), ==, 0);
}

static void no_room_sweeps_before_it_is_told(void) {
    struct attachment attachment, second;
    CHECK(create_as(&attachment, "blockpool.small", 8, false), ==, POOL_OK);
    for (unsigned round = 0; round < 3; round++) { /* half of the directory and more */
        leave_behind("blockpool.left", 150, false);
        CHECK(create_as(&second, round ? "blockpool.new" : NULL, 150, false), ==, POOL_OK);
        CHECK(exists("blockpool.left"), ==, round == 0); /* one without a name needs no room there */
        end(&second);
    }
    leave_behind("blockpool.kept", 130, true);
    leave_behind("blockpool.left", 20, false);
    CHECK(create_as(&second, "blockpool.new", 180, false), ==, POOL_NO_ROOM);
    CHECK(exists("blockpool.left"), ==, false);
    CHECK(failure.available, <=, 1 << 20);
    CHECK(failure.available, >, 0);
    CHECK(failure.asked, >, 180 * BLOCK);
    end(&attachment);
}

static void a_survey_tells_what_takes_room(void) {
    struct attachment attachment;
    struct pools_survey survey;
    make_the_first();
    pools_survey(&survey);
    CHECK(survey.count + survey.bytes, ==, 0);
    write_text("blockpool.text");
    leave_behind("blockpool.permanent", 30, true);
    leave_behind("blockpool.dead", 3, false);
    CHECK(create_as(&attachment, "blockpool.living", 20, false), ==, POOL_OK);
    leave_behind("blockpool.newer", 40, true);
    int file = os_shm_open("blockpool.newer");
    uint32_t version = LAYOUT_VERSION + 1;
    CHECK(os_write(file, offsetof(struct layout_geometry, version), &version, sizeof version), ==, 0);
    os_close(file);
    pools_survey(&survey);
    CHECK(survey.count, ==, 4);
    CHECK(survey.bytes, >, 93 * BLOCK);
    CHECK(strcmp(survey.largest[0].name, "blockpool.newer"), ==, 0);
    CHECK(survey.largest[0].is, ==, POOL_OTHER_VERSION);
    CHECK(strcmp(survey.largest[1].name, "blockpool.permanent"), ==, 0);
    CHECK(survey.largest[1].is == POOL_OK && !survey.largest[1].used, ==, true);
    CHECK(strcmp(survey.largest[2].name, "blockpool.living"), ==, 0);
    CHECK(survey.largest[2].is == POOL_OK && survey.largest[2].used, ==, true);
    CHECK(survey.largest[2].bytes, ==, layout_endings_at(&attachment.geometry));
    end(&attachment);
}

/* --- looking; beside others --- */

static void sweep_until_told(void) {
    unsigned count = 0;
    do {
        (void)pools_sweep();
        tell(1, ++count);
    } while (!told(0));
}

static pid_t start_sweeper(void) {
    tell(0, 0);
    tell(1, 0);
    pid_t child = start(sweep_until_told);
    CHECK(SOON(told(1) > 0), ==, true);
    return child;
}

static void end_sweeper(pid_t child) {
    tell(0, 1);
    CHECK(ended(child), ==, 0);
}

/* Waits until the sweeper has completed that many rounds. */
static void await_rounds(uint64_t rounds) {
    uint64_t before = told(1);
    CHECK(SOON(told(1) > before + rounds), ==, true);
}

static void a_look_changes_nothing(void) {
    struct attachment attachment;
    static char name[96];
    snprintf(name, sizeof name, "%s", process_name());
    CHECK(create_as(&attachment, name, 1, false), ==, POOL_OK);
    char *before = malloc(attachment.geometry.bytes);
    memcpy(before, attachment.memory, attachment.geometry.bytes);
    pid_t child = start_sweeper();
    for (unsigned i = 0; i < 2000; i++) {
        if (memcmp(before, attachment.memory, attachment.geometry.bytes) != 0) {
            CHECK(0, ==, 1);
            break;
        }
    }
    await_rounds(2);
    CHECK(memcmp(before, attachment.memory, attachment.geometry.bytes), ==, 0);
    end_sweeper(child);
    free(before);
    end(&attachment);
    CHECK(exists(name), ==, false);
}

static void the_last_to_leave_removes_the_name_beside_sweepers(void) {
    pid_t child = start_sweeper();
    for (unsigned i = 0; i < 500; i++) {
        struct attachment attachment;
        static char name[96];
        snprintf(name, sizeof name, "%s", process_name());
        CHECK(create_as(&attachment, name, 1, false), ==, POOL_OK);
        CHECK(exists(name), ==, true);
        end(&attachment);
        CHECK(exists(name), ==, false);
    }
    end_sweeper(child);
}

static void a_process_that_may_live_is_not_dead(void) {
    make_the_first();
    leave_behind("blockpool.unknown", 1, false);
    struct attachment attachment;
    probes_fail = true;
    CHECK(pools_sweep(), ==, 0);
    CHECK(create_as(&attachment, left_name, 1, false), ==, POOL_EXISTS);
    CHECK(exists(left_name), ==, true);
    probes_fail = false;
    CHECK(pools_sweep(), ==, 1);
}

static struct attachment newcomer;
static pid_t last;

static void one_comes_and_the_last_one_dies(void) {
    CHECK(attachment_attach(&newcomer, left_name, PATIENCE, &failure), ==, POOL_OK);
    kill_and_wait(last);
}

static void who_came_since_the_first_look_is_seen(void) {
    snprintf(left_name, sizeof left_name, "blockpool.changing");
    left_blocks = 1;
    left_permanent = false;
    make_the_first();
    last = start(create_and_stay);
    await(1);
    before_probe = one_comes_and_the_last_one_dies; /* after the slots were read */
    CHECK(pools_sweep(), ==, 0);
    CHECK(before_probe == NULL, ==, true);
    CHECK(exists(left_name), ==, true);
    end(&newcomer);
    CHECK(exists(left_name), ==, false);
}

static void names_are_removed_under_the_gate(void) {
    struct attachment attachment;
    make_the_first();
    removed = removed_outside_the_gate = 0;
    leave_behind("blockpool.first", 1, false);
    CHECK(pools_sweep(), ==, 1);
    leave_behind("blockpool.second", 1, false);
    CHECK(create_as(&attachment, "blockpool.second", 1, false), ==, POOL_OK);
    CHECK(pools_unlink("blockpool.second", attachment.geometry.id, PATIENCE, &failure), ==, POOL_OK);
    end(&attachment);
    CHECK(create_as(&attachment, "blockpool.third", 1, false), ==, POOL_OK);
    end(&attachment);
    CHECK(removed, ==, 4);
    CHECK(removed_outside_the_gate, ==, 0);
}

/* --- names --- */

static void gate_and_stay(void) {
    struct attachment attachment;
    CHECK(create_as(&attachment, left_name, 1, false), ==, POOL_OK);
    struct layout_header *header = attachment.memory;
    int file = os_shm_open(left_name);
    CHECK(os_lock(file, SLOTS_GATE_BYTE), ==, 0);
    store_relaxed(&header->gate_process, (uint64_t)os_process());
    attachment_unmap(&attachment); /* and with it the lock of its slot: now the pool is a leftover */
    reach(1);
    stay();
}

static void a_gate_that_stays_shut_is_told(void) {
    struct attachment attachment;
    snprintf(left_name, sizeof left_name, "%s", process_name());
    pid_t child = start(gate_and_stay);
    await(1);
    kill(child, SIGSTOP);
    waitpid(child, NULL, WUNTRACED);
    CHECK(pools_unlink(left_name, NULL, 0.02, &failure), ==, POOL_BUSY);
    CHECK(failure.process, ==, child);
    struct attachment_request request = {
        .name = left_name, .block_size = BLOCK, .blocks = 1, .processes = PROCESSES, .gate_seconds = 0.02};
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_BUSY);
    CHECK(failure.process, ==, child);
    CHECK(exists(left_name), ==, true);
    double before = os_now();
    (void)pools_sweep(); /* which does not wait */
    CHECK(os_now() - before, <, PATIENCE / 2);
    kill_and_wait(child);
    CHECK(create_as(&attachment, left_name, 1, false), ==, POOL_OK);
    end(&attachment);
}

static void unlink_removes_whatever_has_the_name(void) {
    static char name[96];
    struct attachment attachment;
    snprintf(name, sizeof name, "%s", process_name());
    CHECK(pools_unlink(name, NULL, PATIENCE, &failure), ==, POOL_NOT_FOUND);

    write_text(name);
    CHECK(pools_unlink(name, NULL, PATIENCE, &failure), ==, POOL_OK);
    write_text(name);
    CHECK(chmod(path_of(name), 0), ==, 0);
    CHECK(pools_unlink(name, NULL, PATIENCE, &failure), ==, POOL_OK);
    CHECK(mkfifo(path_of(name), 0600), ==, 0);
    CHECK(pools_unlink(name, NULL, PATIENCE, &failure), ==, POOL_OK);
    CHECK(symlink("/dev/null", path_of(name)), ==, 0);
    CHECK(pools_unlink(name, NULL, PATIENCE, &failure), ==, POOL_OK);
    CHECK(exists(name), ==, false);

    static const uint32_t versions[] = {0, LAYOUT_VERSION + 1};
    for (unsigned i = 0; i < 4; i++) { /* damaged, newer, cut, and as it should be */
        CHECK(create_as(&attachment, name, 1, false), ==, POOL_OK);
        CHECK(i >= 2 || os_write(attachment.file.number, 8, &versions[i], sizeof versions[i]) == 0, ==, true);
        CHECK(i != 2 || ftruncate(attachment.file.number, (off_t)attachment.geometry.bytes + 4096) == 0, ==, true);
        CHECK(pools_unlink(name, NULL, PATIENCE, &failure), ==, POOL_OK);
        CHECK(exists(name), ==, false);
        struct pool_run run;
        CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_OK); /* attachments go on */
        end(&attachment);
    }

    CHECK(mkdir(path_of(name), 0700), ==, 0);
    CHECK(pools_unlink(name, NULL, PATIENCE, &failure), ==, POOL_NO_POOL);
    CHECK(rmdir(path_of(name)), ==, 0);
    if (geteuid() == 0) {
        write_text(name);
        CHECK(chown(path_of(name), 12345, 12345), ==, 0);
        CHECK(pools_unlink(name, NULL, PATIENCE, &failure), ==, POOL_FORBIDDEN);
        CHECK(exists(name), ==, true);
        CHECK(unlink(path_of(name)), ==, 0);
    } else {
        printf("skip: a file of another owner (not running as root)\n");
    }
}

static void unlink_with_an_id_removes_that_pool_alone(void) {
    static char name[96];
    struct attachment first, second;
    snprintf(name, sizeof name, "%s", process_name());
    CHECK(create_as(&first, name, 1, false), ==, POOL_OK);
    unsigned char id[LAYOUT_ID_BYTES];
    memcpy(id, first.geometry.id, sizeof id);
    CHECK(pools_unlink(name, id, PATIENCE, &failure), ==, POOL_OK);
    CHECK(pools_unlink(name, id, PATIENCE, &failure), ==, POOL_NOT_FOUND);
    CHECK(create_as(&second, name, 1, false), ==, POOL_OK);
    CHECK(pools_unlink(name, id, PATIENCE, &failure), ==, POOL_NOT_FOUND);
    end(&first);
    CHECK(exists(name), ==, true);
    CHECK(pools_unlink(name, second.geometry.id, PATIENCE, &failure), ==, POOL_OK);
    write_text(name);
    CHECK(pools_unlink(name, id, PATIENCE, &failure), ==, POOL_NO_POOL);
    CHECK(exists(name), ==, true);
    CHECK(unlink(path_of(name)), ==, 0);
    end(&second);
}

static void a_name_that_is_taken_says_by_what(void) {
    static char name[96];
    struct attachment attachment, other;
    snprintf(name, sizeof name, "%s", process_name());
    write_text(name);
    CHECK(create_as(&other, name, 1, false), ==, POOL_EXISTS);
    CHECK(failure.found, ==, POOL_NO_POOL);
    CHECK(unlink(path_of(name)), ==, 0);
    CHECK(create_as(&attachment, name, 1, false), ==, POOL_OK);
    CHECK(create_as(&other, name, 1, false), ==, POOL_EXISTS);
    CHECK(failure.found, ==, POOL_OK);
    uint32_t version = LAYOUT_VERSION + 1;
    CHECK(os_write(attachment.file.number, 8, &version, sizeof version), ==, 0);
    CHECK(create_as(&other, name, 1, false), ==, POOL_EXISTS);
    CHECK(failure.found, ==, POOL_OTHER_VERSION);
    CHECK(failure.version, ==, version);
    end(&attachment);
}

int main(void) {
    process_begin();
    /* First, while this process has made none: its children inherit that. */
    RUN_ALONE(the_first_create_of_a_process_sweeps, "size=1m");
    RUN_ALONE(sweep_removes_leftovers_and_nothing_else, "size=1m");
    RUN_ALONE(what_was_swept_can_be_told_once, "size=1m");
    RUN_ALONE(no_room_sweeps_before_it_is_told, "size=1m");
    RUN_ALONE(a_survey_tells_what_takes_room, "size=1m");
    RUN_ALONE(a_process_that_may_live_is_not_dead, "size=1m");
    RUN_ALONE(who_came_since_the_first_look_is_seen, "size=1m");
    RUN_ALONE(names_are_removed_under_the_gate, "size=1m");
    RUN(a_look_changes_nothing);
    RUN(the_last_to_leave_removes_the_name_beside_sweepers);
    RUN(a_gate_that_stays_shut_is_told);
    RUN(unlink_removes_whatever_has_the_name);
    RUN(unlink_with_an_id_removes_that_pool_alone);
    RUN(a_name_that_is_taken_says_by_what);
    CHECK(process_end(), ==, 0);
    return check_end();
}
