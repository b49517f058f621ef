/* Tests of attachment.c: real processes in real pools, some of which are killed. */
#include "process.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "os/thread.h"
#include "shared/attachment.h"

#define BLOCK 64u
#define BLOCKS 200u
#define PATIENCE PROCESS_PATIENCE

static struct attachment attachment, other;
static struct pool_failure failure;
static char name[96];

/* Creates `attachment` in a pool of a new name. */
static void make_as(bool permanent) {
    snprintf(name, sizeof name, "%s", process_name());
    struct attachment_request request = {
        .name = name, .block_size = BLOCK, .blocks = BLOCKS, .permanent = permanent, .gate_seconds = PATIENCE};
    memset(page->told, 0, sizeof page->told);
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
}

static void make(void) { make_as(false); }

static void end(struct attachment *whose) {
    attachment_leave(whose, PATIENCE);
    attachment_unmap(whose);
}

static enum pool_status attach(struct attachment *whose) { return attachment_attach(whose, name, PATIENCE, &failure); }

static bool exists(const char *which) {
    int file = os_shm_open(which);
    if (file >= 0) {
        os_close(file);
    }
    return file >= 0;
}

static uint64_t count(void) { return bitmap_count(&attachment.shared.bitmap); }
static uint64_t word_of(const struct pool_run *run) { return load_seq(&attachment.shared.ledger[run->index]); }

static void sound(void) {
    struct shared_pool_fault fault = {SHARED_POOL_FAULT_NONE, 0};
    struct shared_pool_audit audit;
    CHECK(attachment_check(&attachment, PATIENCE, &fault, 1, &audit, &failure), ==, POOL_OK);
    CHECK(audit.faults, ==, 0);
    if (audit.faults) {
        printf("  first fault: kind %d at %llu\n", (int)fault.kind, (unsigned long long)fault.index);
    }
    CHECK(bitmap_summary_fault(&attachment.shared.bitmap), ==, BITMAP_NONE);
}

static void unmake(void) {
    sound();
    end(&attachment);
    CHECK(exists(name), ==, false);
}

static struct pool_run allocate_in(struct attachment *whose, uint64_t n) {
    struct pool_run run = {BITMAP_NONE, 0, 0};
    CHECK(attachment_allocate(whose, n, 0, &run), ==, POOL_OK);
    CHECK(run.blocks, ==, n);
    return run;
}

static struct pool_run allocate(uint64_t n) { return allocate_in(&attachment, n); }

static bool drop_from(struct attachment *whose, const struct pool_run *run) {
    bool freed = false;
    CHECK(attachment_drop(whose, run, &freed), ==, POOL_OK);
    return freed;
}

static bool drop(const struct pool_run *run) { return drop_from(&attachment, run); }

static enum pool_status free_run(const struct pool_run *run) {
    uint64_t word;
    uint32_t extra;
    return attachment_free(&attachment, run, &word, &extra);
}

static unsigned recover(void) {
    unsigned slots = 99;
    uint64_t tickets = 99;
    CHECK(attachment_recover(&attachment, PATIENCE, -1, &slots, &tickets, &failure), ==, POOL_OK);
    CHECK(tickets, ==, 0);
    return slots;
}

static uint64_t drop_tickets(double seconds) {
    unsigned slots;
    uint64_t tickets = 99;
    CHECK(attachment_recover(&attachment, PATIENCE, seconds, &slots, &tickets, &failure), ==, POOL_OK);
    return tickets;
}

static unsigned char *bytes_of(struct attachment *whose, const struct pool_run *run) {
    return layout_data(whose->memory, &whose->geometry) + run->index * BLOCK;
}

static void fill(struct attachment *whose, const struct pool_run *run, int with) {
    memset(bytes_of(whose, run), with, run->blocks * BLOCK);
}

static bool is_filled(struct attachment *whose, const struct pool_run *run, int with) {
    for (uint64_t i = 0; i < run->blocks * BLOCK; i++) {
        if (bytes_of(whose, run)[i] != with) {
            return false;
        }
    }
    return true;
}

/* A run by way of the page. */
static void tell_run(unsigned place, const struct pool_run *run) {
    tell(place, run->index);
    tell(place + 1, run->generation);
}

static struct pool_run told_run(unsigned place) { return (struct pool_run){told(place), 0, told(place + 1)}; }

static struct pool_run redeem_told(struct attachment *whose, unsigned place) {
    struct pool_run run = told_run(place);
    CHECK(attachment_redeem(whose, &run), ==, POOL_OK);
    return run;
}

/* --- names --- */

static void a_pool_lives_as_long_as_its_members(void) {
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
    struct attachment_request request = {.name = name, .block_size = BLOCK, .blocks = 10, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_EXISTS);
    CHECK(slots_used(attachment.memory, &attachment.geometry), ==, 1); /* the look at it left nothing behind */
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

static void members_go_on_after_unlink_and_leave_a_new_pool_of_that_name_alone(void) {
    make();
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_OK);
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_NOT_FOUND);
    struct pool_run run = allocate(2);
    struct attachment_request request = {.name = name, .block_size = BLOCK, .blocks = 10, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_OK);
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_NOT_FOUND);
    CHECK(drop(&run), ==, true);
    end(&attachment);
    CHECK(exists(name), ==, true);
    end(&other);
    CHECK(exists(name), ==, false);
}

static void names_that_are_no_names_are_refused(void) {
    char longest[OS_SHM_NAME_MOST + 2];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    const char *bad[] = {"", ".hidden", "a/b", "..", longest};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct attachment_request request = {.name = bad[i], .block_size = BLOCK, .blocks = 10, .gate_seconds = 1};
        CHECK(attachment_attach(&other, bad[i], 1, &failure), ==, POOL_SYSTEM);
        CHECK(failure.error, ==, -EINVAL);
        CHECK(attachment_create(&other, &request, &failure), ==, POOL_SYSTEM);
        CHECK(failure.error, ==, -EINVAL);
    }
}

/* --- what is not to be attached --- */

static void path_of(const char *which, char *path, size_t size) { snprintf(path, size, "/dev/shm/%s", which); }

static void other_things_of_that_name_are_no_pools(void) {
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
        struct attachment_request request = {.name = name, .block_size = BLOCK, .blocks = 10, .gate_seconds = PATIENCE};
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
    end(&attachment); /* nobody has it mapped while it is cut */
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
    struct attachment_request request = {.name = name, .block_size = BLOCK, .blocks = 10, .gate_seconds = PATIENCE};
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
        struct attachment_request request = {
            .name = names[i], .block_size = UINT64_C(1) << 36, .blocks = 512, .gate_seconds = 1}; /* 32 TiB */
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
    struct attachment_request request = {.block_size = BLOCK, .blocks = BLOCKS, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
    struct pool_run run = allocate(4);
    fill(&attachment, &run, 9);
    CHECK(attachment_share(&attachment, &run, 1), ==, POOL_OK);
    tell(0, (uint64_t)getpid());
    tell(1, (uint64_t)attachment.file.number);
    tell_run(2, &run);
    CHECK(ftruncate(attachment.file.number, 0), ==, -1); /* sealed */
    CHECK(ended(start(reach_memfd)), ==, 0);
    CHECK(ledger_tickets(word_of(&run)), ==, 0);
    int file = os_reopen(&attachment.file);
    end(&attachment);
    CHECK(attachment_attach_through(&other, 0, file, NULL, PATIENCE, &failure), ==,
          POOL_NOT_FOUND); /* nobody lives in it */
    os_close(file);
}

/* --- allocating, freeing, passing on --- */

static void a_full_pool_says_so(void) {
    make();
    struct pool_run all = allocate(BLOCKS), one;
    CHECK(attachment_allocate(&attachment, 1, 0, &one), ==, POOL_EXHAUSTED);
    CHECK(attachment_allocate(&attachment, 2, 0, &one), ==, POOL_EXHAUSTED);
    CHECK(drop(&all), ==, true);
    CHECK(attachment_allocate(&attachment, BLOCKS + 1, 0, &one), ==, POOL_EXHAUSTED);
    one = allocate(1);
    CHECK(attachment_allocate(&attachment, BLOCKS, 0, &all), ==, POOL_EXHAUSTED);
    CHECK(drop(&one), ==, true);
    unmake();
}

static void freeing_needs_the_only_reference(void) {
    make();
    struct pool_run run = allocate(3), again = run;
    uint64_t word;
    uint32_t extra;
    CHECK(attachment_redeem(&attachment, &again), ==, POOL_OK); /* a handle: a second reference of this process */
    CHECK(attachment_free(&attachment, &run, &word, &extra), ==, POOL_IN_USE);
    CHECK(extra, ==, 1);
    CHECK(drop(&again), ==, false);
    CHECK(attachment_share(&attachment, &run, 2), ==, POOL_OK);
    CHECK(attachment_free(&attachment, &run, &word, &extra), ==, POOL_IN_USE);
    CHECK(ledger_tickets(word), ==, 2);
    CHECK(drop_tickets(1000), ==, 0); /* younger than that */
    CHECK(drop_tickets(0), ==, 2);
    CHECK(attach(&other), ==, POOL_OK);
    again = (struct pool_run){run.index, 0, run.generation};
    CHECK(attachment_redeem(&other, &again), ==, POOL_OK);
    CHECK(attachment_free(&attachment, &run, &word, &extra), ==, POOL_IN_USE);
    CHECK(ledger_holders(word), ==, ledger_slot_bit(attachment.slot) | ledger_slot_bit(other.slot));
    CHECK(drop_from(&other, &again), ==, false);
    CHECK(free_run(&run), ==, POOL_OK);
    CHECK(count(), ==, 0);
    CHECK(free_run(&run), ==, POOL_CORRUPT); /* whoever calls counts his references, see _core */
    end(&other);
    unmake();
}

static void a_reference_in_flight_is_withdrawn_once(void) {
    make();
    struct pool_run run = allocate(2);
    CHECK(attachment_withdraw(&attachment, &run), ==, false);
    CHECK(attachment_share(&attachment, &run, 2), ==, POOL_OK);
    CHECK(attachment_withdraw(&attachment, &run), ==, true);
    CHECK(ledger_tickets(word_of(&run)), ==, 1);
    CHECK(attachment_withdraw(&attachment, &run), ==, true);
    CHECK(attachment_withdraw(&attachment, &run), ==, false);
    CHECK(word_of(&run), ==, ledger_live(attachment.slot));
    CHECK(free_run(&run), ==, POOL_OK);
    CHECK(attachment_withdraw(&attachment, &run), ==, false); /* not held, so nothing to withdraw */
    CHECK(word_of(&run), ==, LEDGER_FREE);
    unmake();
}

static void a_stale_handle_is_never_anothers_data(void) {
    make();
    struct pool_run run = allocate(2), old = run;
    CHECK(drop(&run), ==, true);
    CHECK(attachment_redeem(&attachment, &old), ==, POOL_STALE);
    run = allocate(2);
    CHECK(run.index, ==, old.index);
    CHECK(run.generation, ==, old.generation + 1);
    CHECK(attachment_redeem(&attachment, &old), ==, POOL_STALE);
    struct pool_run inner = {run.index + 1, 0, 0}, outside = {BLOCKS, 0, 1}, far = {UINT64_MAX, 0, 1};
    CHECK(attachment_redeem(&attachment, &inner), ==, POOL_STALE);
    CHECK(attachment_redeem(&attachment, &outside), ==, POOL_STALE);
    CHECK(attachment_redeem(&attachment, &far), ==, POOL_STALE);
    CHECK(word_of(&run), ==, ledger_live(attachment.slot));
    CHECK(drop(&run), ==, true);
    unmake();
}

static void a_run_has_at_most_8191_tickets(void) {
    make();
    struct pool_run run = allocate(1);
    CHECK(attachment_share(&attachment, &run, 8192), ==, POOL_TICKETS);
    CHECK(attachment_share(&attachment, &run, 8000), ==, POOL_OK);
    CHECK(attachment_share(&attachment, &run, 192), ==, POOL_TICKETS);
    CHECK(attachment_share(&attachment, &run, 191), ==, POOL_OK);
    CHECK(attachment_share(&attachment, &run, 1), ==, POOL_TICKETS);
    CHECK(ledger_tickets(word_of(&run)), ==, 8191);
    CHECK(drop(&run), ==, false); /* the tickets keep it */
    for (unsigned i = 0; i < 8191; i++) {
        struct pool_run again = {run.index, 0, run.generation};
        CHECK(attachment_redeem(&attachment, &again), ==, POOL_OK);
        CHECK(drop(&again), ==, i == 8190);
    }
    unmake();
}

static void only_a_dropped_ticket_frees_what_nobody_holds(void) {
    make();
    struct pool_run run = allocate(5);
    CHECK(attachment_share(&attachment, &run, 3), ==, POOL_OK);
    CHECK(drop(&run), ==, false);
    CHECK(count(), ==, 5);
    sound();
    CHECK(drop_tickets(0), ==, 3);
    CHECK(count(), ==, 0);
    unmake();
}

static void one_process_may_attach_twice(void) {
    make();
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = allocate(2), there = {run.index, 0, run.generation};
    fill(&attachment, &run, 5);
    CHECK(attachment_redeem(&other, &there), ==, POOL_OK);
    CHECK(is_filled(&other, &there, 5), ==, true);
    CHECK(recover(), ==, 0);
    end(&other); /* gives back what it held, and nothing else */
    CHECK(word_of(&run), ==, ledger_live(attachment.slot));
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
    CHECK(load_seq(&attachment.shared.waiting->slots), ==, 0);
    CHECK(slots_used(attachment.memory, &attachment.geometry), ==, ledger_slot_bit(attachment.slot));
    CHECK(drop_tickets(0), ==, 1);
    unmake();
}

/* --- death --- */

static void hold_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    for (unsigned i = 0; i < 5; i++) {
        (void)allocate_in(&other, 1 + i);
    }
    (void)redeem_told(&other, 0);
    struct pool_run sent = allocate_in(&other, 2);
    fill(&other, &sent, 3);
    CHECK(attachment_share(&other, &sent, 1), ==, POOL_OK);
    tell_run(2, &sent);
    uint32_t wait;
    CHECK(attachment_wait_enter(&other, &wait), ==, POOL_OK);
    reach(1);
    stay();
}

static void what_a_killed_process_held_comes_back_and_the_rest_stays(void) {
    make();
    struct pool_run run = allocate(3), alone = allocate(2);
    fill(&attachment, &run, 1);
    fill(&attachment, &alone, 2);
    tell_run(0, &run);
    CHECK(attachment_share(&attachment, &run, 1), ==, POOL_OK);
    pid_t child = start(hold_and_stay);
    await(1);
    CHECK(recover(), ==, 0);
    CHECK(count(), ==, 3 + 2 + 15 + 2);
    CHECK(__builtin_popcountll(load_seq(&attachment.shared.waiting->slots)), ==, 1);
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    CHECK(recover(), ==, 0);
    CHECK(count(), ==, 3 + 2 + 2);
    CHECK(load_seq(&attachment.shared.waiting->slots), ==, 0);
    CHECK(word_of(&run), ==, ledger_live(attachment.slot));
    CHECK(is_filled(&attachment, &run, 1) && is_filled(&attachment, &alone, 2), ==, true);
    struct pool_run sent = redeem_told(&attachment, 2); /* was in flight, and waited */
    CHECK(is_filled(&attachment, &sent, 3), ==, true);
    CHECK(drop(&sent) && drop(&run) && drop(&alone), ==, true);
    unmake();
}

static void attach_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    (void)allocate_in(&other, 7);
    reach(1);
    stay();
}

static void attaching_recovers_the_dead(void) {
    make();
    pid_t child = start(attach_and_stay);
    await(1);
    kill_and_wait(child);
    CHECK(count(), ==, 7);
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(count(), ==, 0);
    end(&other);
    unmake();
}

static void create_and_stay(void) {
    struct attachment_request request = {
        .name = name, .block_size = BLOCK, .blocks = BLOCKS, .permanent = told(0) != 0, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_OK);
    struct pool_run run = allocate_in(&other, 7);
    CHECK(attachment_share(&other, &run, told(1)), ==, POOL_OK);
    tell_run(2, &run);
    reach(1);
    stay();
}

/* Leaves a pool behind whose only process was killed. */
static void leave_behind(bool permanent, uint64_t tickets) {
    snprintf(name, sizeof name, "%s", process_name());
    tell(0, permanent);
    tell(1, tickets);
    pid_t child = start(create_and_stay);
    await(1);
    kill_and_wait(child); /* from here on, whatever program next makes a pool may sweep it */
}

static void what_a_killed_group_leaves_is_swept(void) {
    leave_behind(false, 1);
    CHECK(attach(&other), ==, POOL_NOT_FOUND); /* tickets do not keep it */
    CHECK(exists(name), ==, false);
    leave_behind(false, 0);
    struct attachment_request request = {.name = name, .block_size = BLOCK, .blocks = 10, .gate_seconds = PATIENCE};
    CHECK(attachment_create(&other, &request, &failure), ==, POOL_OK);
    CHECK(other.geometry.blocks, ==, 10);
    end(&other);
    leave_behind(true, 1);
    CHECK(attach(&attachment), ==, POOL_OK); /* permanent: recovered instead */
    CHECK(count(), ==, 7);
    struct pool_run run = redeem_told(&attachment, 2);
    CHECK(drop(&run), ==, true);
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_OK);
    unmake();
}

static void a_process_attaches(void) {
    CHECK(attach(&other), ==, POOL_OK);
    reach((uint32_t)told(0));
    stay();
}

static void recovery_computes_anew_what_a_dead_process_did_not_mark(void) {
    make();
    struct bitmap *bitmap = &attachment.shared.bitmap;
    struct pool_run run;
    while (attachment_allocate(&attachment, 1, 0, &run) == POOL_OK) {
    }
    CHECK(bitmap_find(bitmap, 0, 1), ==, BITMAP_NONE); /* every summary is fresh, and knows of no room */
    tell(0, 1);
    pid_t child = start(a_process_attaches);
    await(1);
    /* it released block 0, and died before it marked the chunk */
    store_release(&attachment.shared.ledger[0], LEDGER_FREE);
    (void)fetch_and_seq(&bitmap->words[0], ~UINT64_C(1));
    CHECK(bitmap_summary_fault(bitmap), !=, BITMAP_NONE);
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    CHECK(bitmap_summary_fault(bitmap), ==, BITMAP_NONE);
    unmake();
}

/* Forks; in the child runs `body`. */
static pid_t fork_with(enum attachment_on_fork what, void (*body)(void)) {
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

static void child_has_no_slot(void) {
    struct pool_run run;
    CHECK(attachment.fate, ==, FATE_NO_SLOT);
    CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_STRAY);
}

static void the_48th_process_is_refused(void) {
    make();
    pid_t children[LAYOUT_SLOTS - 1];
    for (unsigned i = 0; i < LAYOUT_SLOTS - 1; i++) {
        tell(0, 1);
        children[i] = start(a_process_attaches);
        await(1);
    }
    CHECK(attach(&other), ==, POOL_FULL);
    CHECK(ended(fork_with(ON_FORK_SHARE, child_has_no_slot)), ==, 0);
    kill_and_wait(children[10]);
    CHECK(attach(&other), ==, POOL_OK); /* which recovers the dead one first */
    end(&other);
    for (unsigned i = 0; i < LAYOUT_SLOTS - 1; i++) {
        if (i != 10) {
            kill_and_wait(children[i]);
        }
    }
    CHECK(recover(), ==, LAYOUT_SLOTS - 2);
    unmake();
}

static void gate_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(slots_gate_try(&other.file, other.memory), >=, 0);
    reach(1);
    stay();
}

static void a_stopped_holder_of_the_gate_blocks_nobody_for_ever(void) {
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
    CHECK(attachment_recover(&attachment, 0, -1, &slots, &tickets, &failure), ==, POOL_OK); /* nobody is dead */
    CHECK(pools_unlink(name, attachment.geometry.id, 0.02, &failure), ==, POOL_BUSY);
    CHECK(failure.process, ==, child);
    CHECK(drop(&run), ==, true);
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    unmake();
}

/* --- fork --- */

/* What a caller does who meets another thread: lets it run, and calls again. */
#define UNLOCKED(call)                                                                                                 \
    __extension__({                                                                                                    \
        enum pool_status unlocked_status;                                                                              \
        while ((unlocked_status = (call)) == POOL_LOCKED) {                                                            \
            os_yield();                                                                                                \
        }                                                                                                              \
        unlocked_status;                                                                                               \
    })

static struct pool_run held;

static void child_uses_what_it_inherited(void) {
    CHECK(attachment_is_stray(&attachment), ==, false);
    CHECK(is_filled(&attachment, &held, 1), ==, true);
    CHECK(attachment.slot, ==, 1);
    CHECK(load_seq(&attachment.slot_record->process), ==, getpid());
    CHECK(ledger_holders(word_of(&held)), ==, 3);
    fill(&attachment, &held, 2);
    struct pool_run own = allocate(2);
    CHECK(recover(), ==, 0); /* the parent lives */
    CHECK(drop(&held), ==, false);
    CHECK(drop(&own), ==, true);
    end(&attachment);
}

static void a_forked_child_is_a_member_and_holds_what_its_parent_holds(void) {
    make();
    held = allocate(3);
    fill(&attachment, &held, 1);
    CHECK(ended(fork_with(ON_FORK_SHARE, child_uses_what_it_inherited)), ==, 0);
    CHECK(is_filled(&attachment, &held, 2), ==, true);
    CHECK(recover(), ==, 0); /* it left */
    CHECK(word_of(&held), ==, ledger_live(attachment.slot));
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
    CHECK(word_of(&held), ==, ledger_live(attachment.slot));
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
    uint64_t word;
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
    CHECK(attachment_free(&attachment, &held, &word, &extra), ==, POOL_STRAY);
    uint32_t wait;
    CHECK(attachment_wait_enter(&attachment, &wait), ==, POOL_STRAY);
    end(&attachment);
    CHECK(attach(&attachment), ==, POOL_OK); /* anew */
    CHECK(is_filled(&attachment, &held, 1), ==, true);
    end(&attachment);
}

static void a_detached_child_gets_nothing_and_may_attach_anew(void) {
    make();
    held = allocate(3);
    fill(&attachment, &held, 1);
    CHECK(ended(fork_with(ON_FORK_DETACH, child_is_detached)), ==, 0);
    CHECK(is_filled(&attachment, &held, 1), ==, true);
    CHECK(word_of(&held), ==, ledger_live(attachment.slot));
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
        right = right && is_filled(&attachment, &held, 8) &&
                ledger_holders(word_of(&held)) == ledger_slot_bit(attachment.slot);
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
    CHECK(ledger_holders(word_of(&held)) & (ledger_holders(word_of(&held)) - 1), !=, 0);
    CHECK(recover(), ==, 1);
    CHECK(word_of(&held), ==, ledger_live(attachment.slot));
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
    CHECK(ledger_holders(word_of(&held)), ==, 3);
    CHECK(recover(), ==, 1);
    CHECK(word_of(&held), ==, ledger_live(attachment.slot));
    CHECK(drop(&held), ==, true);
    unmake();
}

static void child_goes_on_with_a_wait(void) {
    uint64_t bit = ledger_slot_bit(attachment.slot);
    uint32_t wait, parents = (uint32_t)told(0);
    CHECK(attachment_wait_is_over(&attachment, parents), ==, true);
    CHECK(load_seq(&attachment.shared.waiting->slots), ==, 1);
    CHECK(attachment_wait_enter(&attachment, &wait), ==, POOL_OK);
    CHECK(attachment_wait_is_over(&attachment, wait), ==, false);
    CHECK(attachment_wait_leave(&attachment, parents), ==, POOL_OK); /* the wait that was under way ends */
    CHECK(load_seq(&attachment.shared.waiting->slots) & bit, ==, bit);
    CHECK(attachment_wait_leave(&attachment, wait), ==, POOL_OK);
    CHECK(attachment.waiters, ==, 0);
    CHECK(load_seq(&attachment.shared.waiting->slots), ==, 1);
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
    CHECK(load_seq(&attachment.shared.waiting->slots), ==, 0);
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
    CHECK(!published || ledger_is_held(word_of(&held), attachment.slot), ==, true);
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
    CHECK(slots_used(attachment.memory, &attachment.geometry), ==, 1);
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
        .name = name, .block_size = BLOCK, .blocks = 1 << 16, .gate_seconds = PATIENCE};
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
        struct attachment_request request = {.block_size = BLOCK, .blocks = BLOCKS, .gate_seconds = PATIENCE};
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

static void child_of_a_stray(void) {
    char said[512];
    CHECK(attachment_is_stray(&attachment), ==, true);
    CHECK(touch(layout_data(attachment.memory, &attachment.geometry), said, sizeof said), ==, -SIGSEGV);
}

static void stray(void) {
    struct pool_run run = {0, 0, 0};
    struct shared_pool_audit audit;
    uint64_t word, tickets;
    uint32_t extra;
    unsigned slots;
    bool freed;
    struct shared_pool_fault fault;
    CHECK(attachment_is_stray(&attachment), ==, true);
    CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_STRAY);
    CHECK(attachment_drop(&attachment, &held, &freed), ==, POOL_STRAY);
    CHECK(attachment_free(&attachment, &held, &word, &extra), ==, POOL_STRAY);
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
    CHECK(load_seq(&attachment.shared.waiting->slots), ==, 0);
    CHECK(recover(), ==, 0);
    CHECK(word_of(&held), ==, ledger_live(attachment.slot));
    CHECK(exists(name), ==, true);
    CHECK(drop(&held), ==, true);
    unmake();
}

/* --- waiting --- */

static void wait_for_room(void) {
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = {BITMAP_NONE, 0, 0};
    uint32_t wait;
    CHECK(attachment_wait_enter(&other, &wait), ==, POOL_OK);
    for (;;) {
        uint32_t sequence = attachment_wait_sequence(&other);
        if (attachment_allocate(&other, told(0), 0, &run) == POOL_OK) {
            break;
        }
        reach(1);
        attachment_wait_sleep(&other, sequence, 1000); /* only a wake ends it in time */
    }
    CHECK(attachment_wait_leave(&other, wait), ==, POOL_OK);
    CHECK(drop_from(&other, &run), ==, true);
    end(&other);
}

static void a_waiter_wakes_when_another_process_frees(void) {
    for (uint64_t n = 1; n <= 2; n++) {
        make();
        struct pool_run all = allocate(BLOCKS);
        tell(0, n);
        pid_t child = start(wait_for_room);
        await(1);
        CHECK(SOON(load_seq(&attachment.shared.waiting->slots) == 2), ==, true);
        os_sleep(0.02); /* asleep, most likely */
        CHECK(drop(&all), ==, true);
        CHECK(ended(child), ==, 0);
        CHECK(load_seq(&attachment.shared.waiting->slots), ==, 0);
        unmake();
    }
}

static void wait_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    uint32_t wait;
    CHECK(attachment_wait_enter(&other, &wait), ==, POOL_OK);
    CHECK(attachment_wait_enter(&other, &wait), ==, POOL_OK); /* two threads: one bit */
    CHECK(attachment_wait_leave(&other, wait), ==, POOL_OK);
    reach(1);
    attachment_wait_sleep(&other, attachment_wait_sequence(&other), 1000);
    stay();
}

static void the_bit_of_a_killed_waiter_is_cleared(void) {
    make();
    pid_t child = start(wait_and_stay);
    await(1);
    CHECK(load_seq(&attachment.shared.waiting->slots), ==, 2);
    kill_and_wait(child);
    CHECK(load_seq(&attachment.shared.waiting->slots), ==, 2);
    CHECK(recover(), ==, 1);
    CHECK(load_seq(&attachment.shared.waiting->slots), ==, 0);
    unmake();
}

static void holder_to_be_killed(void) {
    CHECK(attach(&other), ==, POOL_OK);
    (void)allocate_in(&other, BLOCKS);
    reach(1);
    stay();
}

static void a_waiter_gets_what_a_killed_process_held(void) {
    make();
    pid_t child = start(holder_to_be_killed);
    await(1);
    struct pool_run run;
    uint32_t wait;
    CHECK(attachment_wait_enter(&attachment, &wait), ==, POOL_OK);
    uint32_t sequence = attachment_wait_sequence(&attachment);
    CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_EXHAUSTED);
    kill_and_wait(child);
    attachment_wait_sleep(&attachment, sequence, 0.01); /* nobody wakes it */
    CHECK(recover(), ==, 1);
    CHECK(attachment_wait_sequence(&attachment), !=, sequence); /* other waiters were woken */
    CHECK(attachment_allocate(&attachment, 1, 0, &run), ==, POOL_OK);
    CHECK(attachment_wait_leave(&attachment, wait), ==, POOL_OK);
    CHECK(drop(&run), ==, true);
    unmake();
}

/* --- all at once --- */

#define THREADS 4u

/* Redeems and drops one run that all have, and allocates and drops its own. Returns how many calls went wrong. */
static void *use_one_membership(void *context) {
    uint64_t wrong = 0;
    uint32_t wait = 0;
    (void)context;
    for (unsigned i = 0; i < 2000; i++) {
        struct pool_run again = {held.index, 0, held.generation}, own;
        bool freed = true;
        wrong += UNLOCKED(attachment_redeem(&attachment, &again)) != POOL_OK;
        wrong += i % 8 == 0 && UNLOCKED(attachment_wait_enter(&attachment, &wait)) != POOL_OK;
        wrong += attachment_allocate(&attachment, 1 + i % 3, 0, &own) != POOL_OK;
        wrong += i % 4 == 0 && attachment_share(&attachment, &again, 1) != POOL_OK;
        wrong += UNLOCKED(attachment_drop(&attachment, &own, &freed)) != POOL_OK || !freed;
        wrong += i % 8 == 0 && UNLOCKED(attachment_wait_leave(&attachment, wait)) != POOL_OK;
        wrong += UNLOCKED(attachment_drop(&attachment, &again, &freed)) != POOL_OK || freed;
    }
    return (void *)(uintptr_t)wrong;
}

static void threads_count_their_references_to_one_run(void) {
    pthread_t threads[THREADS];
    make();
    held = allocate(2);
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, use_one_membership, NULL), ==, 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        CHECK((uintptr_t)wrong, ==, 0);
    }
    CHECK(load_seq(&attachment.shared.waiting->slots), ==, 0);
    (void)drop_tickets(0); /* those that a redeem did not take */
    CHECK(word_of(&held), ==, ledger_live(attachment.slot));
    CHECK(count(), ==, 2);
    CHECK(drop(&held), ==, true);
    unmake();
}

#define WORKERS 4u
#define STEPS 4000u

/* Allocates, fills, looks, frees; every run is its own as long as it has it. */
static void work(void) {
    struct pool_run runs[16];
    unsigned n = 0;
    check_random_state = (uint64_t)getpid() * 2 + 1;
    int with = (int)(getpid() % 250) + 1;
    CHECK(attach(&other), ==, POOL_OK);
    for (unsigned i = 0; i < STEPS; i++) {
        if (n < 16 && check_below(2) && attachment_allocate(&other, 1 + check_below(4), 0, &runs[n]) == POOL_OK) {
            fill(&other, &runs[n++], with);
        } else if (n > 0) {
            unsigned which = (unsigned)check_below(n);
            CHECK(is_filled(&other, &runs[which], with), ==, true);
            CHECK(drop_from(&other, &runs[which]), ==, true);
            runs[which] = runs[--n];
        }
    }
    if (getpid() % 2) {
        end(&other);
    } /* else it just dies */
}

static void processes_never_share_a_block_by_accident(void) {
    make();
    pid_t children[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        children[i] = start(work);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        CHECK(ended(children[i]), ==, 0);
    }
    (void)recover();
    CHECK(count(), ==, 0);
    unmake();
}

int main(void) {
    process_begin();
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would end the process in its own way */
    RUN(a_pool_lives_as_long_as_its_members);
    RUN(a_taken_name_is_refused);
    RUN(a_permanent_pool_stays_until_it_is_unlinked);
    RUN(members_go_on_after_unlink_and_leave_a_new_pool_of_that_name_alone);
    RUN(names_that_are_no_names_are_refused);
    RUN(other_things_of_that_name_are_no_pools);
    RUN(damaged_newer_and_cut_files_are_told_apart);
    RUN(what_belongs_to_another_user_is_forbidden);
    RUN(no_room_is_told_before_anything_is_reserved);
    RUN(a_pool_without_a_name_is_reached_through_its_process);
    RUN(a_full_pool_says_so);
    RUN(freeing_needs_the_only_reference);
    RUN(a_reference_in_flight_is_withdrawn_once);
    RUN(a_stale_handle_is_never_anothers_data);
    RUN(a_run_has_at_most_8191_tickets);
    RUN(only_a_dropped_ticket_frees_what_nobody_holds);
    RUN(one_process_may_attach_twice);
    RUN(leaving_gives_everything_back_but_tickets);
    RUN(what_a_killed_process_held_comes_back_and_the_rest_stays);
    RUN(attaching_recovers_the_dead);
    RUN(what_a_killed_group_leaves_is_swept);
    RUN(recovery_computes_anew_what_a_dead_process_did_not_mark);
    RUN(the_48th_process_is_refused);
    RUN(a_stopped_holder_of_the_gate_blocks_nobody_for_ever);
    RUN(a_forked_child_is_a_member_and_holds_what_its_parent_holds);
    RUN(the_count_within_the_process_is_inherited_too);
    RUN(a_detached_child_gets_nothing_and_may_attach_anew);
    RUN(a_parent_killed_right_after_fork_does_not_take_its_child_along);
    RUN(a_failed_fork_leaves_a_dead_slot);
    RUN(a_child_that_dies_at_once_is_recovered);
    RUN(a_fork_within_a_wait_leaves_the_counts_right);
    RUN(a_fork_needs_no_gate);
    RUN(a_fork_without_a_descriptor_says_so);
    RUN(a_fork_after_the_program_closed_our_descriptor_finds_the_file_again);
    RUN(a_fork_beside_a_thread_that_redeems_loses_no_reference);
    RUN(an_audit_beside_forks_finds_no_fault);
    RUN(a_fork_beside_threads_that_come_and_go_takes_nothing_of_theirs_along);
    RUN(a_stray_child_can_do_nothing_to_the_pool);
    RUN(a_waiter_wakes_when_another_process_frees);
    RUN(the_bit_of_a_killed_waiter_is_cleared);
    RUN(a_waiter_gets_what_a_killed_process_held);
    RUN(threads_count_their_references_to_one_run);
    RUN(processes_never_share_a_block_by_accident);
    CHECK(process_end(), ==, 0);
    return check_end();
}
