/* Tests of attachment.c: creating, attaching and leaving pools, by real processes. */
#include "one_pool.h"

#include <sys/resource.h>

/* --- names --- */

static void a_pool_lives_as_long_as_its_attachments(void) {
    make();
    CHECK(exists(name), ==, true);
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(other.slot, !=, attachment.slot);
    end(&attachment);
    CHECK(exists(name), ==, true);
    end(&other);
    CHECK(exists(name), ==, false);
    CHECK(attach(&other), ==, POOL_NOT_FOUND);
}

static void a_taken_name_is_refused(void) {
    make();
    struct attachment_request request = {
        .name = name, .block_size = BLOCK, .blocks = 10, .processes = PROCESSES, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_EXISTS);
    CHECK(used_slots(), ==, 1); /* the look at it left nothing behind */
    unmake();
}

static void a_permanent_pool_stays_until_it_is_unlinked(void) {
    make_as(true);
    struct pool_run run = allocate(3);
    fill(&attachment, &run, 7);
    CHECK(attachment_share(&attachment, &run, 1), ==, POOL_OK);
    end(&attachment);
    CHECK(exists(name), ==, true);
    CHECK(attach(&attachment), ==, POOL_OK);
    struct pool_run again = {run.index, 0, run.generation};
    CHECK(attachment_redeem(&attachment, &again), ==, POOL_OK);
    CHECK(again.blocks, ==, 3);
    CHECK(is_filled(&attachment, &again, 7), ==, true);
    CHECK(drop(&again), ==, true);
    end(&attachment);
    CHECK(exists(name), ==, true);
    CHECK(attach(&attachment), ==, POOL_OK);
    CHECK(count(), ==, 0);
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_OK);
    CHECK(exists(name), ==, false);
    unmake();
}

static void attachments_outlive_unlink_and_leave_a_new_pool_of_that_name_alone(void) {
    make();
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_OK);
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_NOT_FOUND);
    struct pool_run run = allocate(2);
    struct attachment_request request = {
        .name = name, .block_size = BLOCK, .blocks = 10, .processes = PROCESSES, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_OK);
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_NOT_FOUND);
    CHECK(drop(&run), ==, true);
    end(&attachment);
    CHECK(exists(name), ==, true);
    end(&other);
    CHECK(exists(name), ==, false);
}

static void invalid_names_are_refused(void) {
    char longest[OS_SHM_NAME_MOST + 2];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    const char *bad[] = {"", ".hidden", "a/b", "..", longest};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct attachment_request request = {
            .name = bad[i], .block_size = BLOCK, .blocks = 10, .processes = PROCESSES, .gate_seconds = 1};
        CHECK(attachment_attach(&other, bad[i], 1, &failure), ==, POOL_SYSTEM);
        CHECK(failure.error, ==, -EINVAL);
        CHECK(attachment_create(&other, &request, &failure), ==, POOL_SYSTEM);
        CHECK(failure.error, ==, -EINVAL);
    }
}

/* --- what cannot be attached --- */

static void path_of(const char *which, char *path, size_t size) { snprintf(path, size, "/dev/shm/%s", which); }

static void other_files_are_not_taken_for_pools(void) {
    char path[160];
    static const char text[] = "a text that is no pool\n";
    static const size_t lengths[] = {0, 23, 150, 5000};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(name, sizeof name, "%s", process_name());
        path_of(name, path, sizeof path);
        FILE *out = fopen(path, "w");
        for (size_t at = 0; at < lengths[i]; at++) {
            fputc(text[at % (sizeof text - 1)], out);
        }
        fclose(out);
        CHECK(attach(&other), ==, POOL_NO_POOL);
        struct attachment_request request = {
            .name = name, .block_size = BLOCK, .blocks = 10, .processes = PROCESSES, .gate_seconds = PATIENCE};
        CHECK(attachment_create(&other, &request, &failure), ==, POOL_EXISTS);
        CHECK(exists(name), ==, true);
        unlink(path);
    }
    CHECK(mkfifo(path, 0600), ==, 0);
    CHECK(attach(&other), ==, POOL_NO_POOL);
    unlink(path);
    make();
    char link[160];
    path_of(process_name(), link, sizeof link);
    path_of(name, path, sizeof path);
    CHECK(symlink(path, link), ==, 0);
    CHECK(attachment_attach(&other, strrchr(link, '/') + 1, PATIENCE, &failure), ==, POOL_NO_POOL);
    unlink(link);
    CHECK(mkdir(link, 0700), ==, 0);
    CHECK(attachment_attach(&other, strrchr(link, '/') + 1, PATIENCE, &failure), ==, POOL_NO_POOL);
    rmdir(link);
    unmake();
}

static void damaged_newer_and_cut_files_are_told_apart(void) {
    make_as(true);
    struct layout_geometry good = attachment.geometry, bad = good;
    int file = os_shm_open(name);
    off_t bytes = (off_t)good.bytes;
    static const uint32_t versions[] = {LAYOUT_VERSION + 1, LAYOUT_VERSION + 100, UINT32_MAX};
    for (unsigned i = 0; i < 3; i++) {
        bad.version = versions[i];
        CHECK(pwrite(file, &bad, sizeof bad, 0), ==, sizeof bad);
        CHECK(attach(&other), ==, POOL_OTHER_VERSION);
        CHECK(failure.version, ==, versions[i]);
        CHECK(strcmp(failure.made_by, LAYOUT_LIBRARY), ==, 0);
    }
    bad = good;
    bad.blocks++;
    CHECK(pwrite(file, &bad, sizeof bad, 0), ==, sizeof bad);
    CHECK(attach(&other), ==, POOL_CORRUPT);
    CHECK(pwrite(file, &good, sizeof good, 0), ==, sizeof good);
    CHECK(ftruncate(file, bytes + 1), ==, 0);
    CHECK(attach(&other), ==, POOL_TRUNCATED);
    CHECK(ftruncate(file, bytes), ==, 0);
    CHECK(attach(&other), ==, POOL_OK);
    end(&other);
    end(&attachment); /* no process has it mapped while it is cut */
    static const off_t cuts[] = {-1, -4096};
    for (unsigned i = 0; i < 2; i++) {
        CHECK(ftruncate(file, bytes + cuts[i]), ==, 0);
        CHECK(attach(&other), ==, POOL_TRUNCATED);
    }
    static const off_t sizes[] = {4096, 4095, 104};
    for (unsigned i = 0; i < 3; i++) {
        CHECK(ftruncate(file, sizes[i]), ==, 0);
        CHECK(attach(&other), ==, POOL_TRUNCATED);
    }
    CHECK(ftruncate(file, 103), ==, 0);
    CHECK(attach(&other), ==, POOL_NO_POOL);
    CHECK(os_shm_unlink(name), ==, 0);
    os_close(file);
}

static void as_another_user(void) {
    CHECK(seteuid(65534), ==, 0);
    CHECK(attach(&other), ==, POOL_FORBIDDEN);
    CHECK(failure.error, ==, -EACCES);
    struct attachment_request request = {
        .name = name, .block_size = BLOCK, .blocks = 10, .processes = PROCESSES, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_FORBIDDEN);
}

static void what_belongs_to_another_user_is_forbidden(void) {
    make();
    char path[160];
    path_of(name, path, sizeof path);
    if (geteuid() == 0) {
        CHECK(chown(path, 12345, 12345), ==, 0);
        CHECK(attach(&other), ==, POOL_FORBIDDEN);
        CHECK(chown(path, 0, 0), ==, 0);
        CHECK(ended(start(as_another_user)), ==, 0);
    } else {
        CHECK(chmod(path, 0), ==, 0);
        CHECK(attach(&other), ==, POOL_FORBIDDEN);
        CHECK(failure.error, ==, -EACCES);
        CHECK(chmod(path, 0600), ==, 0);
        printf("skip: a file of another owner (not running as root)\n");
    }
    struct stat status;
    CHECK(stat(path, &status), ==, 0);
    CHECK(status.st_mode & 0777, ==, 0600);
    unmake();
}

static void no_room_is_told_before_anything_is_reserved(void) {
    snprintf(name, sizeof name, "%s", process_name());
    const char *names[] = {name, NULL};
    for (unsigned i = 0; i < 2; i++) {
        struct attachment_request request = {.name = names[i],
                                             .block_size = UINT64_C(1) << 36,
                                             .blocks = 512,
                                             .processes = PROCESSES,
                                             .gate_seconds = 1}; /* 32 TiB */
        CHECK(attachment_create(&other, &request, &failure), ==, POOL_NO_ROOM);
        CHECK(failure.available, >, 0);
        CHECK(failure.available, <, UINT64_C(1) << 45);
    }
    CHECK(exists(name), ==, false);
}

/* --- pools without a name --- */

static void reach_memfd(void) {
    unsigned char wrong[LAYOUT_ID_BYTES] = {0};
    pid_t process = (pid_t)told(0);
    int number = (int)told(1);
    CHECK(attachment_attach_through(&other, process, number, wrong, PATIENCE, &failure), ==, POOL_NOT_FOUND);
    CHECK(attachment_attach_through(&other, process, number, attachment.geometry.id, PATIENCE, &failure), ==, POOL_OK);
    CHECK(os_is_sealed(other.file.number), ==, true);
    struct pool_run run = redeem_told(&other, 2);
    CHECK(is_filled(&other, &run, 9), ==, true);
    CHECK(drop_from(&other, &run), ==, false);
    end(&other);
}

static void a_pool_without_a_name_is_reached_through_its_process(void) {
    struct attachment_request request = {
        .block_size = BLOCK, .blocks = BLOCKS, .processes = PROCESSES, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
    struct pool_run run = allocate(4);
    fill(&attachment, &run, 9);
    CHECK(attachment_share(&attachment, &run, 1), ==, POOL_OK);
    tell(0, (uint64_t)getpid());
    tell(1, (uint64_t)attachment.file.number);
    tell_run(2, &run);
    CHECK(ftruncate(attachment.file.number, 0), ==, -1); /* sealed */
    CHECK(ended(start(reach_memfd)), ==, 0);
    CHECK(tickets_of(&run), ==, 0);
    int file = os_reopen(&attachment.file);
    end(&attachment);
    CHECK(attachment_attach_through(&other, 0, file, NULL, PATIENCE, &failure), ==,
          POOL_NOT_FOUND); /* no process is attached */
    os_close(file);
}

/* --- several attachments --- */

static void one_process_may_attach_twice(void) {
    make();
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = allocate(2), there = {run.index, 0, run.generation};
    fill(&attachment, &run, 5);
    CHECK(attachment_redeem(&other, &there), ==, POOL_OK);
    CHECK(is_filled(&other, &there, 5), ==, true);
    CHECK(recover(), ==, 0);
    end(&other); /* gives back what it held, and nothing else */
    CHECK(is_mine_alone(&run), ==, true);
    CHECK(drop(&run), ==, true);
    unmake();
}

static void leaving_gives_everything_back_but_tickets(void) {
    make();
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run kept = allocate_in(&other, 3), shared = allocate_in(&other, 4), again = kept;
    CHECK(attachment_redeem(&other, &again), ==, POOL_OK); /* twice within the process: one bit all the same */
    CHECK(attachment_share(&other, &shared, 1), ==, POOL_OK);
    uint32_t wait;
    CHECK(attachment_wait_enter(&other, &wait), ==, POOL_OK);
    end(&other);
    CHECK(count(), ==, 4);
    CHECK(waiting_slots(), ==, 0);
    CHECK(used_slots(), ==, bit_of(attachment.slot));
    CHECK(drop_tickets(0), ==, 1);
    unmake();
}

static uint64_t page_faults(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_minflt : 0;
}

/* Reading all entries of this annex, 8 MiB of them, is 128 page faults or more. */
static void leaving_costs_what_the_process_used(void) {
    snprintf(name, sizeof name, "%s", process_name());
    struct attachment_request request = {.name = name,
                                         .block_size = BLOCK,
                                         .blocks = BLOCKS,
                                         .processes = PROCESSES,
                                         .small_blocks = 1u << 17,
                                         .gate_seconds = PATIENCE};
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
    struct pool_run run = allocate(1);
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(attachment_add_reference(&other, &run), ==, POOL_OK);
    uint64_t before = page_faults();
    end(&other);
    CHECK(page_faults() - before, <, 40);
    CHECK(is_mine_alone(&run), ==, true);
    CHECK(drop(&run), ==, true);
    unmake();
}

static void child_has_no_slot(void) {
    struct pool_run run;
    CHECK(attachment.fate, ==, FATE_NO_SLOT);
    CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_STRAY);
}

static void one_process_more_than_there_are_slots_is_refused(void) {
    make();
    pid_t children[PROCESSES - 1];
    for (unsigned i = 0; i < PROCESSES - 1; i++) {
        tell(0, 1);
        children[i] = start(a_process_attaches);
        await(1);
    }
    CHECK(attach(&other), ==, POOL_FULL);
    CHECK(ended(fork_with(ON_FORK_SHARE, child_has_no_slot)), ==, 0);
    kill_and_wait(children[3]);
    CHECK(attach(&other), ==, POOL_OK); /* which recovers the dead one first */
    end(&other);
    for (unsigned i = 0; i < PROCESSES - 1; i++) {
        if (i != 3) {
            kill_and_wait(children[i]);
        }
    }
    CHECK(recover(), ==, PROCESSES - 2);
    unmake();
}

/* --- a gate that stays shut --- */

static void a_stopped_holder_of_the_gate_blocks_nobody_forever(void) {
    make();
    pid_t child = start(gate_and_stay);
    await(1);
    kill(child, SIGSTOP);
    waitpid(child, NULL, WUNTRACED);
    struct pool_run run = allocate(2); /* needs no gate */
    CHECK(attachment_attach(&other, name, 0.02, &failure), ==, POOL_BUSY);
    CHECK(failure.process, ==, child);
    struct shared_pool_fault fault;
    struct shared_pool_audit audit;
    uint64_t tickets;
    unsigned slots;
    CHECK(attachment_check(&attachment, 0.02, &fault, 1, &audit, &failure), ==, POOL_BUSY);
    CHECK(attachment_recover(&attachment, 0, 0, &slots, &tickets, &failure), ==, POOL_BUSY);
    CHECK(attachment_recover(&attachment, 0, -1, &slots, &tickets, &failure), ==, POOL_OK); /* no process is dead */
    CHECK(pools_unlink(name, attachment.geometry.id, 0.02, &failure), ==, POOL_BUSY);
    CHECK(failure.process, ==, child);
    CHECK(drop(&run), ==, true);
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    unmake();
}

int main(void) {
    process_begin();
    RUN(a_pool_lives_as_long_as_its_attachments);
    RUN(a_taken_name_is_refused);
    RUN(a_permanent_pool_stays_until_it_is_unlinked);
    RUN(attachments_outlive_unlink_and_leave_a_new_pool_of_that_name_alone);
    RUN(invalid_names_are_refused);
    RUN(other_files_are_not_taken_for_pools);
    RUN(damaged_newer_and_cut_files_are_told_apart);
    RUN(what_belongs_to_another_user_is_forbidden);
    RUN(no_room_is_told_before_anything_is_reserved);
    RUN(a_pool_without_a_name_is_reached_through_its_process);
    RUN(one_process_may_attach_twice);
    RUN(leaving_gives_everything_back_but_tickets);
    RUN(leaving_costs_what_the_process_used);
    RUN(one_process_more_than_there_are_slots_is_refused);
    RUN(a_stopped_holder_of_the_gate_blocks_nobody_forever);
    CHECK(process_end(), ==, 0);
    return check_end();
}
