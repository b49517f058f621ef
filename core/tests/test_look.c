/* Tests of look.c: looking at a pool without taking part in it. */
#include "process.h"

#include <stdarg.h>
#include <sys/syscall.h>

#include "os/memory.h"
#include "shared/look.h"

#define BLOCK 64u
#define BLOCKS 200u
#define PATIENCE PROCESS_PATIENCE

static struct attachment attachment, other, look;
static struct pool_failure failure;
static struct os_file file;
static char name[96];
static uint64_t blocks = BLOCKS; /* of the pools that are created */

static enum pool_status create_for(struct attachment *whose, const char *named, unsigned processes, bool permanent) {
    struct attachment_request request = {.name = named,
                                         .block_size = BLOCK,
                                         .blocks = blocks,
                                         .processes = processes,
                                         .permanent = permanent,
                                         .gate_seconds = PATIENCE};
    return attachment_create(whose, &request, &failure);
}

/* Creates `attachment` in a pool of a new name. */
static void make_for(unsigned processes) {
    snprintf(name, sizeof name, "%s", process_name());
    CHECK(create_for(&attachment, name, processes, false), ==, POOL_OK);
}

static void end(struct attachment *whose) {
    attachment_leave(whose, PATIENCE);
    attachment_unmap(whose);
}

static void begin_look(void) { CHECK(look_open(&look, name, &file, &failure), ==, POOL_OK); }

static struct pool_run allocate_in(struct attachment *whose, uint64_t n) {
    struct pool_run run = {BITMAP_NONE, 0, 0};
    CHECK(attachment_allocate(whose, n, 0, &run), ==, POOL_OK);
    return run;
}

static struct shared_pool_entry *entry_of(uint64_t index) { return shared_pool_entry(&attachment.shared, index); }

/* A copy of the whole file. */
static unsigned char *copy_of_file(void) {
    unsigned char *copy = malloc(attachment.geometry.bytes);
    CHECK(os_read(attachment.file.number, 0, copy, attachment.geometry.bytes), ==, 0);
    return copy;
}

static bool is_as_before(unsigned char *copy) {
    unsigned char *now = copy_of_file();
    bool same = memcmp(copy, now, attachment.geometry.bytes) == 0;
    free(now);
    free(copy);
    return same;
}

static struct shared_pool_fault faults[4];
static struct shared_pool_audit audit;

static void check(void) { look_check(&look, faults, 4, &audit); }

/* Asks everything that can be asked. */
static void ask_everything(void) {
    struct attachment_counts counts;
    struct shared_pool_totals totals;
    struct look_process process;
    struct slot_set used, dead;
    struct pool_run run;
    char text[CATALOG_NAME_BYTES], made_by[LAYOUT_MADE_BY_BYTES];
    uint64_t word, runs = 0;
    bool known;
    attachment_count(&look, &counts);
    shared_pool_count(&look.shared, &totals);
    (void)bitmap_count(&look.shared.bitmap);
    (void)bitmap_longest_free(&look.shared.bitmap);
    for (uint64_t at = 0; shared_pool_next_run(&look.shared, at, &run, &word); at = run.index + run.blocks) {
        shared_pool_holders(&look.shared, run.index, word, &used);
        (void)shared_pool_slack(&look.shared, run.index);
        CHECK(run.index + run.blocks, <=, blocks);
        runs++;
    }
    CHECK(runs, <=, blocks);
    look_slots(&look, &used, &dead, &known);
    for (unsigned slot = slot_set_next(&used, 0); slot != SLOTS_NONE; slot = slot_set_next(&used, slot + 1)) {
        look_slot(&look, slot, &process);
        CHECK(strlen(process.command), <, sizeof process.command);
    }
    unsigned kind;
    for (unsigned at = 0; (at = attachment_next_name(&look, at, text, &run, &kind)) < CATALOG_NAMES; at++) {
        CHECK(strlen(text), <, CATALOG_NAME_BYTES);
    }
    look_made_by(&look, made_by);
    CHECK(strlen(made_by), <, sizeof made_by);
    (void)look_is_whole(&look);
    (void)look_has_name(&look);
    check();
}

/* --- the kernel's answers --- */

static bool probes_fail;

/* Stands in for the C library's. */
int fcntl(int number, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (command == F_OFD_GETLK && probes_fail) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fcntl, number, command, argument);
}

/* --- --- */

static void attach_allocate_and_stay(void) {
    CHECK(attachment_attach(&other, name, PATIENCE, &failure), ==, POOL_OK);
    (void)allocate_in(&other, 2);
    reach(1);
    stay();
}

static void a_look_changes_nothing_and_takes_no_slot(void) {
    make_for(2);
    struct pool_run run = allocate_in(&attachment, 3);
    CHECK(attachment_keep(&attachment, "a", &run, false, PATIENCE, &failure), ==, POOL_OK);
    pid_t child = start(attach_allocate_and_stay);
    await(1);
    /* all slots are taken; one process is dead, and a bit is clear under a used word */
    kill_and_wait(child);
    CHECK(bitmap_release(&attachment.shared.bitmap, run.index + 1), ==, true);
    unsigned char *copy = copy_of_file();
    begin_look();
    CHECK(file.bytes, ==, attachment.geometry.bytes);
    ask_everything();
    CHECK(audit.faults, ==, 0);
    CHECK(audit.healed, ==, 0);
    end(&look);
    CHECK(is_as_before(copy), ==, true);
    end(&attachment);
}

static void the_memory_of_a_look_cannot_be_written(void) {
    make_for(2);
    begin_look();
    int child = (int)fork();
    if (child == 0) { /* it has no part; so look again */
        begin_look();
        signal(SIGSEGV, SIG_DFL);
        store_relaxed(&shared_pool_entry(&look.shared, 0)->head, 1);
        _exit(0);
    }
    CHECK(ended(child), ==, -SIGSEGV);
    end(&look);
    end(&attachment);
}

static void counts_are_those_of_an_attachment(void) {
    struct attachment_counts mine, seen;
    struct shared_pool_totals totals, seen_totals;
    make_for(2);
    attachment.slot_record->allocations = 7;
    attachment.slot_record->failures = 3;
    attachment.slot_record->waits = 2;
    attachment.slot_record->waited = 500;
    (void)allocate_in(&attachment, 5);
    begin_look();
    attachment_count(&attachment, &mine);
    attachment_count(&look, &seen);
    CHECK(memcmp(&mine, &seen, sizeof mine), ==, 0);
    CHECK(seen.processes, ==, 1);
    CHECK(seen.allocations, ==, 7);
    shared_pool_count(&attachment.shared, &totals);
    shared_pool_count(&look.shared, &seen_totals);
    CHECK(memcmp(&totals, &seen_totals, sizeof totals), ==, 0);
    CHECK(seen_totals.allocated, ==, 5);
    end(&look);
    end(&attachment);
}

static void processes_are_alive_dead_or_unknown(void) {
    struct slot_set used, dead;
    struct look_process process;
    bool known = false;
    make_for(4);
    pid_t child = start(attach_allocate_and_stay);
    await(1);
    begin_look();
    look_slots(&look, &used, &dead, &known);
    CHECK(known, ==, true);
    CHECK(slot_set_count(&used), ==, 2); /* its own process too, through another description */
    CHECK(slot_set_is_empty(&dead), ==, true);
    look_slot(&look, 1, &process);
    CHECK(process.process, ==, child);
    CHECK(process.start > 0 && strstr(process.command, "look") != NULL, ==, true);
    kill_and_wait(child);
    struct slot_record *record = slot_record(attachment.memory, 1);
    memset(record->command, 'x', sizeof record->command);
    look_slot(&look, 1, &process);
    CHECK(strlen(process.command), ==, sizeof process.command - 1);
    look_slots(&look, &used, &dead, &known);
    CHECK(slot_set_count(&used), ==, 2);
    CHECK(slot_set_count(&dead), ==, 1);
    CHECK(slot_set_has(&dead, 1), ==, true);
    probes_fail = true;
    look_slots(&look, &used, &dead, &known);
    probes_fail = false;
    CHECK(known, ==, false);
    CHECK(slot_set_is_empty(&dead), ==, true);
    end(&look);
    end(&attachment);
}

static void what_a_process_counted_begins_with_it(void) {
    struct look_process process;
    make_for(2);
    for (uint64_t round = 1; round < 4; round++) {
        CHECK(attachment_attach(&other, name, PATIENCE, &failure), ==, POOL_OK);
        CHECK(other.slot, ==, 1);
        other.slot_record->allocations += round;
        other.slot_record->allocations_beside += 5 * round;
        other.slot_record->failures += 10 * round;
        other.slot_record->waits += 100 * round;
        other.slot_record->waited += 1000 * round;
        begin_look();
        look_slot(&look, 1, &process);
        CHECK(process.allocations, ==, 6 * round);
        CHECK(process.failures, ==, 10 * round);
        CHECK(process.waits, ==, 100 * round);
        CHECK(process.waited, ==, 1000 * round);
        end(&look);
        end(&other);
    }
    end(&attachment);
}

/* --- names and files --- */

static void a_look_stays_with_its_file(void) {
    make_for(2);
    begin_look();
    CHECK(look_has_name(&look), ==, true);
    CHECK(os_shm_unlink(name), ==, 0);
    CHECK(look_has_name(&look), ==, false);
    CHECK(create_for(&other, name, 2, false), ==, POOL_OK);
    CHECK(look_has_name(&look), ==, false);
    struct pool_run run = allocate_in(&attachment, 3);
    struct shared_pool_totals totals;
    shared_pool_count(&look.shared, &totals);
    CHECK(totals.allocated, ==, run.blocks);
    CHECK(look_is_whole(&look), ==, POOL_OK);
    end(&attachment);
    shared_pool_count(&look.shared, &totals); /* the memory outlives the pool */
    CHECK(totals.allocated, ==, 0);
    end(&look);
    end(&other);
}

static void a_file_that_was_cut_is_noticed(void) {
    make_for(2);
    begin_look();
    CHECK(look_is_whole(&look), ==, POOL_OK);
    CHECK(ftruncate(attachment.file.number, (off_t)attachment.geometry.bytes - 4096), ==, 0);
    CHECK(look_is_whole(&look), ==, POOL_TRUNCATED);
    CHECK(look_open(&other, name, &file, &failure), ==, POOL_TRUNCATED);
    CHECK(file.bytes, ==, attachment.geometry.bytes - 4096);
    CHECK(ftruncate(attachment.file.number, (off_t)attachment.geometry.bytes), ==, 0);
    CHECK(look_is_whole(&look), ==, POOL_OK);
    end(&look);
    end(&attachment);
}

static void other_files_are_refused(void) {
    char path[128];
    snprintf(name, sizeof name, "%s", process_name());
    CHECK(look_open(&look, name, &file, &failure), ==, POOL_NOT_FOUND);
    CHECK(file.bytes, ==, 0);
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    FILE *text = fopen(path, "w");
    fputs("no pool\n", text);
    fclose(text);
    CHECK(look_open(&look, name, &file, &failure), ==, POOL_NO_POOL);
    CHECK(file.bytes, ==, 8);
    CHECK(os_shm_unlink(name), ==, 0);
    make_for(2);
    struct layout_header *header = attachment.memory;
    header->geometry.version++;
    CHECK(look_open(&look, name, &file, &failure), ==, POOL_OTHER_VERSION);
    CHECK(strcmp(failure.made_by, LAYOUT_LIBRARY), ==, 0);
    header->geometry.version--;
    header->geometry.checksum++;
    CHECK(look_open(&look, name, &file, &failure), ==, POOL_CORRUPT);
    CHECK(attachment_is_stray(&look), ==, true);
    header->geometry.checksum--;
    begin_look();
    char made_by[LAYOUT_MADE_BY_BYTES];
    look_made_by(&look, made_by);
    CHECK(strcmp(made_by, LAYOUT_LIBRARY), ==, 0);
    header->made_by[1] = '\n';
    look_made_by(&look, made_by);
    CHECK(made_by[0], ==, 0);
    memset(header->made_by, 'x', sizeof header->made_by);
    look_made_by(&look, made_by);
    CHECK(strlen(made_by), ==, sizeof made_by - 1);
    end(&look);
    end(&attachment);
}

static void through_a_descriptor_only_the_pool_with_the_id_is_found(void) {
    CHECK(create_for(&attachment, NULL, 1, false), ==, POOL_OK);
    unsigned char id[LAYOUT_ID_BYTES];
    memcpy(id, attachment.geometry.id, sizeof id);
    CHECK(look_open_through(&look, getpid(), attachment.file.number, id, &file, &failure), ==, POOL_OK);
    CHECK(file.links, ==, 0);
    CHECK(look_has_name(&look), ==, false);
    end(&look);
    CHECK(look_open_through(&look, 0, attachment.file.number, NULL, &file, &failure), ==, POOL_OK);
    end(&look);
    id[3]++;
    CHECK(look_open_through(&look, 0, attachment.file.number, id, &file, &failure), ==, POOL_NOT_FOUND);
    CHECK(look_open_through(&look, 0, 1 << 20, NULL, &file, &failure), ==, POOL_NOT_FOUND);
    end(&attachment);
}

static void beside_an_attachment_its_own_pool_is_found(void) {
    make_for(1);
    CHECK(look_open_beside(&look, &attachment, &failure), ==, POOL_OK);
    CHECK(memcmp(look.geometry.id, attachment.geometry.id, LAYOUT_ID_BYTES), ==, 0);
    CHECK(look_has_name(&look), ==, true);
    end(&look);
    os_close(attachment.file.number); /* as a daemon does */
    CHECK(look_open_beside(&look, &attachment, &failure), ==, POOL_OK);
    os_close(look.file.number);
    struct slot_set used, dead;
    bool known = false;
    look_slots(&look, &used, &dead, &known); /* it is opened again by its name */
    CHECK(known, ==, true);
    end(&look);
    CHECK(os_shm_unlink(name), ==, 0);
    os_close(attachment.file.number);
    CHECK(look_open_beside(&look, &attachment, &failure), ==, POOL_UNREACHABLE);
    end(&attachment);
    CHECK(look_open_beside(&look, &attachment, &failure), ==, POOL_STRAY);
}

/* --- forks and the end --- */

static unsigned descriptors_of_the_pool(void) {
    unsigned found = 0;
    for (int number = 3; number < 64; number++) {
        struct os_descriptor one = {number, attachment.file.identity};
        found += os_verify(&one) == 0;
    }
    return found;
}

static bool is_mapped(const void *address) {
    unsigned char in_core;
    return mincore((void *)((uintptr_t)address & ~(uintptr_t)4095), 1, &in_core) == 0;
}

static void a_forked_child_has_nothing_of_a_look(void) {
    make_for(4);
    attachment.on_fork = ON_FORK_DETACH;
    begin_look();
    CHECK(descriptors_of_the_pool(), ==, 2);
    const void *memory = look.memory;
    pid_t child = fork();
    if (child == 0) {
        uint64_t before = check_failed;
        CHECK(attachment_is_stray(&look), ==, true);
        CHECK(look_is_one(&look), ==, false);
        CHECK(is_mapped(memory), ==, false);
        CHECK(descriptors_of_the_pool(), ==, 0);
        end(&look);
        begin_look(); /* it can look by itself */
        struct attachment_counts counts;
        attachment_count(&look, &counts);
        CHECK(counts.processes, ==, 1);
        end(&look);
        fflush(stdout);
        _exit(check_failed != before);
    }
    CHECK(ended(child), ==, 0);
    CHECK(look_is_one(&look), ==, true);
    CHECK(look_is_whole(&look), ==, POOL_OK);
    ask_everything();
    end(&look);
    end(&attachment);
}

static void find_a_stray(void) {
    CHECK(attachment_is_stray(&look), ==, true);
    end(&look);
}

static void the_child_of_a_bare_clone_finds_a_stray(void) {
    make_for(4);
    begin_look();
    CHECK(ended(start(find_a_stray)), ==, 0);
    CHECK(look_is_one(&look), ==, true);
    end(&look);
    end(&attachment);
}

static void look_and_exit(void) {
    begin_look();
    attachment_exit(PATIENCE);
    CHECK(look_is_one(&look), ==, true);
}

static void a_process_that_looks_ends_without_a_trace(void) {
    make_for(2);
    CHECK(attachment_attach(&other, name, PATIENCE, &failure), ==, POOL_OK);
    (void)allocate_in(&other, 1);
    unsigned char *copy = copy_of_file();
    CHECK(ended(start(look_and_exit)), ==, 0);
    CHECK(is_as_before(copy), ==, true);
    CHECK(os_shm_names(name, &attachment.file.identity), ==, true);
    begin_look(); /* the last to leave removes the name, also while others look */
    end(&other);
    end(&attachment);
    CHECK(look_has_name(&look), ==, false);
    end(&look);
}

/* --- audits --- */

/* Plants one fault in the word; it must be found, at this index. */
static void plant(atomic_word *word, uint64_t value, enum shared_pool_fault_kind kind, uint64_t index) {
    uint64_t before = load_seq(word);
    store_seq(word, value);
    check();
    CHECK(audit.faults, ==, 1);
    CHECK(faults[0].kind, ==, kind);
    CHECK(faults[0].index, ==, index);
    store_seq(word, before);
    check();
    CHECK(audit.faults, ==, 0);
}

static void planted_faults_are_found(void) {
    make_for(4);
    struct pool_run run = allocate_in(&attachment, 3);
    CHECK(attachment_keep(&attachment, "a", &run, false, PATIENCE, &failure), ==, POOL_OK);
    begin_look();
    check();
    CHECK(audit.faults + audit.in_transit, ==, 0);
    uint64_t at = run.index;
    plant(&entry_of(120)->head, UINT64_C(7) << 61, SHARED_POOL_FAULT_WORD, 120);
    plant(&entry_of(at + 2)->head, LEDGER_FREE, SHARED_POOL_FAULT_OVERLAP, at);
    plant(&entry_of(100)->head, ledger_tail(1), SHARED_POOL_FAULT_TAIL, 100);
    plant(&entry_of(at)->row[0], 1 << 2, SHARED_POOL_FAULT_ROW, at);
    plant(&entry_of(at)->head, ledger_live(3, run.generation) | LEDGER_ROW | LEDGER_KEPT, SHARED_POOL_FAULT_HOLDER, at);
    plant(&entry_of(at)->head, ledger_live(0, run.generation), SHARED_POOL_FAULT_NAME, 0);
    atomic_word *last = &attachment.shared.bitmap.words[BLOCKS / 64];
    plant(last, load_seq(last) & ~(UINT64_C(1) << BLOCKS % 64), SHARED_POOL_FAULT_PAST_END, BLOCKS);
    end(&look);
    end(&attachment);
}

static void what_is_half_done_is_in_transit(void) {
    make_for(4);
    begin_look();
    CHECK(bitmap_claim_range(&attachment.shared.bitmap, 50, 1), ==, true);
    store_seq(&entry_of(60)->head, ledger_opening(0));
    check();
    CHECK(audit.faults, ==, 0);
    CHECK(audit.in_transit, ==, 2);
    store_seq(&entry_of(60)->head, LEDGER_FREE);
    end(&look);
    end(&attachment);
}

static void come_and_go(void) {
    while (told(0) == 0) {
        CHECK(attachment_attach(&other, name, PATIENCE, &failure), ==, POOL_OK);
        for (int i = 0; i < 40; i++) {
            struct pool_run run = {0, 0, 0};
            bool freed;
            if (attachment_allocate(&other, 1 + (uint64_t)i % 3, 0, &run) == POOL_OK && i % 2) {
                CHECK(attachment_share(&other, &run, 1), ==, POOL_OK);
                CHECK(attachment_redeem(&other, &run), ==, POOL_OK);
                CHECK(attachment_drop(&other, &run, &freed), ==, POOL_OK);
            }
        }
        struct pool_run kept = {0, 0, 0};
        if (attachment_allocate(&other, 1, 0, &kept) == POOL_OK) {
            CHECK(attachment_keep(&other, "b", &kept, true, PATIENCE, &failure), ==, POOL_OK);
        }
        end(&other);
    }
}

static void processes_that_come_and_go_are_no_fault(void) {
    blocks = 50000; /* so that many come during one audit */
    make_for(8);
    blocks = BLOCKS;
    tell(0, 0);
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = start(come_and_go);
    }
    begin_look();
    uint64_t found = 0, in_transit = 0;
    double until = os_now() + 2;
    while (os_now() < until || (in_transit == 0 && os_now() < until + PATIENCE)) {
        check();
        found += audit.faults;
        in_transit += audit.in_transit;
    }
    CHECK(found, ==, 0);
    CHECK(in_transit, >, 0); /* it was looked at while they worked */
    tell(0, 1);
    for (int i = 0; i < 3; i++) {
        CHECK(ended(children[i]), ==, 0);
    }
    end(&look);
    end(&attachment);
}

static void no_damage_makes_a_look_fail(void) {
    make_for(70);
    struct pool_run run = allocate_in(&attachment, 3);
    CHECK(attachment_keep(&attachment, "a", &run, false, PATIENCE, &failure), ==, POOL_OK);
    begin_look();
    unsigned char *copy = copy_of_file(), *memory = attachment.memory;
    uint64_t from = offsetof(struct layout_header, made_by), to = attachment.geometry.data_at, found = 0;
    for (int round = 0; round < 300; round++) {
        /* a few bytes, or a whole stretch, anywhere behind the geometry */
        uint64_t at = from + check_below(to - from), n = 1 + check_below(round % 3 ? 16 : to - at);
        for (uint64_t i = at; i < to && i < at + n; i++) {
            memory[i] = (unsigned char)check_random();
        }
        ask_everything();
        found += audit.faults > 0;
        if (round % 10 == 9) {
            memcpy(memory, copy, to);
        }
    }
    CHECK(found, >, 100);
    memcpy(memory, copy, to);
    free(copy);
    end(&look);
    end(&attachment);
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    process_begin();
    RUN(a_look_changes_nothing_and_takes_no_slot);
    RUN(the_memory_of_a_look_cannot_be_written);
    RUN(counts_are_those_of_an_attachment);
    RUN(processes_are_alive_dead_or_unknown);
    RUN(what_a_process_counted_begins_with_it);
    RUN(a_look_stays_with_its_file);
    RUN(a_file_that_was_cut_is_noticed);
    RUN(other_files_are_refused);
    RUN(through_a_descriptor_only_the_pool_with_the_id_is_found);
    RUN(beside_an_attachment_its_own_pool_is_found);
    RUN(a_forked_child_has_nothing_of_a_look);
    RUN(the_child_of_a_bare_clone_finds_a_stray);
    RUN(a_process_that_looks_ends_without_a_trace);
    RUN(planted_faults_are_found);
    RUN(what_is_half_done_is_in_transit);
    RUN(processes_that_come_and_go_are_no_fault);
    RUN(no_damage_makes_a_look_fail);
    CHECK(process_end(), ==, 0);
    return check_end();
}
