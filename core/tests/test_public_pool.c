/* Tests of public_pool.c: creating, attaching, closing and unlinking as a program in C does, and every bad argument. */
#include "process.h"

#include <math.h>

#include "blockpool_shared.h"
#include "public/public_parts.h"

static struct blockpool_pool *pool, *other;
static char name[96];

/* A new name, as programs say it. */
static const char *new_name(void) {
    snprintf(name, sizeof name, "%s", process_name() + strlen("blockpool."));
    return name;
}

static void a_pool_has_what_was_asked_for(void) {
    struct blockpool_pool_options options = {.processes = 3, .queue_room = 100000};
    struct blockpool_pool_info info;
    CHECK(blockpool_pool_create(new_name(), 64, 10, &options, &pool), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_stats(pool, &info), ==, BLOCKPOOL_OK);
    CHECK(info.block_size, ==, 64);
    CHECK(info.blocks, ==, 10);
    CHECK(info.allocated, ==, 0);
    CHECK(info.processes, ==, 1);
    CHECK(pool->engine.attachment->geometry.processes, ==, 3);
    CHECK(pool->engine.attachment->geometry.small_blocks, ==, (100000 + 255) / 256);
    CHECK(pool->engine.attachment->on_fork, ==, ON_FORK_SHARE);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_attach(name, &pool), ==, BLOCKPOOL_NOT_FOUND);
    CHECK(pool == NULL, ==, true);
}

static void a_pool_may_have_no_name(void) {
    CHECK(blockpool_pool_create(NULL, 64, 10, NULL, &pool), ==, BLOCKPOOL_OK);
    CHECK(pool->engine.attachment->geometry.processes, ==, 256);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void another_process_attaches(void) {
    struct blockpool_pool_info info;
    CHECK(blockpool_pool_attach(name, &other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_stats(other, &info), ==, BLOCKPOOL_OK);
    CHECK(info.processes, ==, 2);
    CHECK(blockpool_pool_close(other), ==, BLOCKPOOL_OK);
}

static void a_pool_is_attached_by_name(void) {
    struct blockpool_pool_info info;
    CHECK(blockpool_pool_create(new_name(), 64, 10, NULL, &pool), ==, BLOCKPOOL_OK);
    CHECK(ended(start(another_process_attaches)), ==, 0);
    CHECK(blockpool_pool_attach(name, &other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_stats(other, &info), ==, BLOCKPOOL_OK);
    CHECK(info.processes, ==, 2);
    CHECK(info.block_size, ==, 64);
    CHECK(blockpool_pool_close(other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void exist_ok_attaches_a_pool_of_the_same_size(void) {
    struct blockpool_pool_options options = {.exist_ok = 1};
    CHECK(blockpool_pool_create(new_name(), 64, 10, &options, &pool), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_create(name, 64, 10, NULL, &other), ==, BLOCKPOOL_EXISTS);
    CHECK(other == NULL, ==, true);
    CHECK(blockpool_pool_create(name, 64, 11, &options, &other), ==, BLOCKPOOL_EXISTS);
    CHECK(blockpool_pool_create(name, 72, 10, &options, &other), ==, BLOCKPOOL_EXISTS);
    CHECK(other == NULL, ==, true);
    CHECK(blockpool_pool_create(name, 64, 10, &options, &other), ==, BLOCKPOOL_OK);
    CHECK(memcmp(pool->engine.attachment->geometry.id, other->engine.attachment->geometry.id, LAYOUT_ID_BYTES), ==, 0);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(other), ==, BLOCKPOOL_OK);
}

static void a_permanent_pool_stays_until_it_is_unlinked(void) {
    struct blockpool_pool_options options = {.permanent = 1};
    CHECK(blockpool_pool_create(new_name(), 64, 10, &options, &pool), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_attach(name, &pool), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_unlink(name), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_unlink(name), ==, BLOCKPOOL_NOT_FOUND);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void wrong_names_are_refused(void) {
    static const char *const wrong[] = {"", "a b", "a/b", "a\n", "\xc3\xa9", "a:b"};
    char longest[182] = {0};
    memset(longest, 'x', 181);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong + 1; i++) {
        const char *bad = i < sizeof wrong / sizeof *wrong ? wrong[i] : longest;
        CHECK(blockpool_pool_create(bad, 64, 10, NULL, &pool), ==, BLOCKPOOL_BAD_NAME);
        CHECK(blockpool_pool_attach(bad, &pool), ==, BLOCKPOOL_BAD_NAME);
        CHECK(blockpool_pool_unlink(bad), ==, BLOCKPOOL_BAD_NAME);
        CHECK(pool == NULL, ==, true);
    }
    snprintf(longest, 181, "%0180ld", (long)getpid());
    CHECK(blockpool_pool_create(longest, 64, 10, NULL, &pool), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static int create(size_t block_size, size_t blocks, const struct blockpool_pool_options *options) {
    return blockpool_pool_create(NULL, block_size, blocks, options, &pool);
}

static void wrong_sizes_are_refused(void) {
    CHECK(create(0, 10, NULL), ==, BLOCKPOOL_BAD_BLOCK_SIZE);
    CHECK(create(12, 10, NULL), ==, BLOCKPOOL_BAD_BLOCK_SIZE);
    CHECK(create(SIZE_MAX, 10, NULL), ==, BLOCKPOOL_BAD_BLOCK_SIZE);
    CHECK(create(64, 0, NULL), ==, BLOCKPOOL_BAD_BLOCKS);
    CHECK(create(64, (1 << 24) + 1, NULL), ==, BLOCKPOOL_BAD_BLOCKS);
    CHECK(create(64, SIZE_MAX, NULL), ==, BLOCKPOOL_BAD_BLOCKS);
    CHECK(create(SIZE_MAX - 7, 1, NULL), ==, BLOCKPOOL_NO_MEMORY);
    CHECK(create((size_t)1 << 40, 1 << 10, NULL), ==, BLOCKPOOL_NO_MEMORY);
    CHECK(create((size_t)1 << 22, 1 << 24, NULL), ==, BLOCKPOOL_NO_MEMORY);
    CHECK(pool == NULL, ==, true);
}

static void wrong_options_are_refused(void) {
    static const struct blockpool_pool_options wrong[] = {
        {.processes = 4097},
        {.queue_room = (UINT64_C(1) << 28) + 1},
        {.queue_room = UINT64_MAX},
        {.permanent = 1},
        {.exist_ok = 1},
        {.reserved = {1}},
        {.reserved = {0, 0, 1}},
        {.ticket_lifetime = -1},
        {.ticket_lifetime = 1e9 + 1},
        {.ticket_lifetime = HUGE_VAL},
        {.ticket_lifetime = NAN},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(create(64, 10, &wrong[i]), ==, BLOCKPOOL_BAD_OPTIONS);
    }
    CHECK(pool == NULL, ==, true);
}

static void null_is_refused(void) {
    unsigned processes = 7;
    struct blockpool_pool_info info = {.blocks = 7};
    CHECK(blockpool_pool_create("name", 64, 10, NULL, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_pool_attach(NULL, &pool), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_pool_attach("name", NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_pool_close(NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_pool_unlink(NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_pool_recover(NULL, &processes), ==, BLOCKPOOL_NULL);
    CHECK(processes, ==, 0);
    CHECK(blockpool_pool_stats(NULL, &info), ==, BLOCKPOOL_NULL);
    CHECK(info.blocks, ==, 0);
    CHECK(blockpool_pool_forget(NULL, "name"), ==, BLOCKPOOL_NULL);
    CHECK(create(64, 1, NULL), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_stats(pool, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_pool_forget(pool, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_pool_forget(pool, "a/b"), ==, BLOCKPOOL_BAD_NAME);
    CHECK(blockpool_pool_forget(pool, "unknown"), ==, BLOCKPOOL_NOT_FOUND);
    CHECK(blockpool_pool_recover(pool, NULL), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void what_is_no_pool_is_told_apart(void) {
    char path[128];
    snprintf(path, sizeof path, "/dev/shm/blockpool.%s", new_name());
    FILE *file = fopen(path, "w");
    CHECK(file != NULL, ==, true);
    fputs("something else, and not even long", file);
    fclose(file);
    CHECK(blockpool_pool_attach(name, &pool), ==, BLOCKPOOL_NOT_A_POOL);
    CHECK(blockpool_pool_create(name, 64, 10, NULL, &pool), ==, BLOCKPOOL_EXISTS);
    CHECK(pool == NULL, ==, true);
    CHECK(blockpool_pool_unlink(name), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_attach(name, &pool), ==, BLOCKPOOL_NOT_FOUND);
}

static void as_many_attach_as_the_pool_is_for(void) {
    struct blockpool_pool_options options = {.processes = 1};
    CHECK(blockpool_pool_create(new_name(), 64, 10, &options, &pool), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_attach(name, &other), ==, BLOCKPOOL_TOO_MANY_PROCESSES);
    CHECK(other == NULL, ==, true);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void attach_and_stay(void) {
    struct blockpool_block block;
    CHECK(blockpool_pool_attach(name, &other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_allocate(other, 3 * 64, 0, &block), ==, BLOCKPOOL_OK);
    reach(1);
    stay();
}

static void recovery_brings_back_what_the_dead_held(void) {
    struct blockpool_pool_info info;
    unsigned processes = 7;
    CHECK(blockpool_pool_create(new_name(), 64, 10, NULL, &pool), ==, BLOCKPOOL_OK);
    pid_t child = start(attach_and_stay);
    await(1);
    CHECK(blockpool_pool_stats(pool, &info), ==, BLOCKPOOL_OK);
    CHECK(info.allocated, ==, 3);
    kill_and_wait(child);
    CHECK(blockpool_pool_recover(pool, &processes), ==, BLOCKPOOL_OK);
    CHECK(processes, ==, 1);
    CHECK(blockpool_pool_stats(pool, &info), ==, BLOCKPOOL_OK);
    CHECK(info.allocated, ==, 0);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

/* Ends by exit(), which leaves every pool. */
static void attach_and_exit(void) {
    uint64_t before = check_failed;
    CHECK(blockpool_pool_create(name, 64, 10, NULL, &other), ==, BLOCKPOOL_OK);
    exit(check_failed != before);
}

static void a_program_that_ends_leaves_its_pools(void) {
    new_name();
    CHECK(ended(start(attach_and_exit)), ==, 0);
    char file[128];
    snprintf(file, sizeof file, "/dev/shm/blockpool.%s", name);
    CHECK(access(file, F_OK), ==, -1); /* before anything sweeps */
}

static pid_t fork_with(void (*body)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        uint64_t before = check_failed;
        body();
        fflush(stdout);
        _exit(check_failed != before);
    }
    return child;
}

static struct blockpool_block held;

static void use_the_part(void) {
    struct blockpool_pool_info info;
    CHECK(blockpool_pool_stats(pool, &info), ==, BLOCKPOOL_OK);
    CHECK(info.processes, ==, 2);
    CHECK(strcmp(held.data, "from the parent"), ==, 0);
    CHECK(blockpool_block_release(&held), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void a_forked_child_has_a_part(void) {
    CHECK(create(64, 10, NULL), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_allocate(pool, 16, 0, &held), ==, BLOCKPOOL_OK);
    strcpy(held.data, "from the parent");
    CHECK(ended(fork_with(use_the_part)), ==, 0);
    CHECK(strcmp(held.data, "from the parent"), ==, 0);
    CHECK(blockpool_block_release(&held), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void find_no_part(void) {
    struct blockpool_pool_info info;
    struct blockpool_queue *queue;
    struct blockpool_block block;
    char ticket[BLOCKPOOL_TICKET_BYTES];
    CHECK(blockpool_pool_stats(pool, &info), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_pool_recover(pool, NULL), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_pool_forget(pool, "name"), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_block_allocate(pool, 8, 0, &block), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_block_allocate(pool, 8, BLOCKPOOL_FOREVER, &block), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_block_share(&held, ticket), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_block_keep(&held, "name", 0), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_block_set_note(&held, "note", 4), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_block_get(pool, "name", &block), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_block_release(&held), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_queue_make(pool, "queue", NULL, &queue), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_queue_open(pool, "queue", &queue), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void a_child_has_no_part_if_the_pool_says_so(void) {
    struct blockpool_pool_options options = {.detach_on_fork = 1};
    CHECK(create(64, 10, &options), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_allocate(pool, 16, 0, &held), ==, BLOCKPOOL_OK);
    CHECK(ended(fork_with(find_no_part)), ==, 0);
    CHECK(blockpool_block_release(&held), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void a_pool_with_open_queues_is_not_closed(void) {
    struct blockpool_queue *queue, *again;
    CHECK(create(64, 10, NULL), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_make(pool, "queue", NULL, &queue), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_open(pool, "queue", &again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_UNFINISHED);
    CHECK(blockpool_queue_close(queue), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_UNFINISHED);
    CHECK(blockpool_queue_close(again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void timeouts_become_deadlines(void) {
    double deadline, now = os_now();
    CHECK(public_deadline(0, &deadline), ==, true);
    CHECK(deadline == 0 && public_slice(deadline) == 0, ==, true);
    CHECK(public_deadline(1000, &deadline), ==, true);
    CHECK(deadline >= now + 1000 && deadline < now + 2000, ==, true);
    CHECK(public_slice(deadline) == PUBLIC_SLICE, ==, true);
    CHECK(public_deadline(0.05, &deadline), ==, true);
    CHECK(public_slice(deadline) <= 0.05, ==, true);
    CHECK(public_slice(now - 1) == 0, ==, true);
    CHECK(public_deadline(BLOCKPOOL_FOREVER, &deadline), ==, true);
    CHECK(public_slice(deadline) == PUBLIC_SLICE, ==, true);
    CHECK(public_deadline(-HUGE_VAL, &deadline) && deadline > 1e300, ==, true);
    CHECK(public_deadline(HUGE_VAL, &deadline) && deadline > 1e300, ==, true);
    CHECK(public_deadline((double)NAN, &deadline), ==, false);
}

int main(void) {
    process_begin();
    RUN(a_pool_has_what_was_asked_for);
    RUN(a_pool_may_have_no_name);
    RUN(a_pool_is_attached_by_name);
    RUN(exist_ok_attaches_a_pool_of_the_same_size);
    RUN(a_permanent_pool_stays_until_it_is_unlinked);
    RUN(wrong_names_are_refused);
    RUN(wrong_sizes_are_refused);
    RUN(wrong_options_are_refused);
    RUN(null_is_refused);
    RUN(what_is_no_pool_is_told_apart);
    RUN(as_many_attach_as_the_pool_is_for);
    RUN(recovery_brings_back_what_the_dead_held);
    RUN(a_program_that_ends_leaves_its_pools);
    RUN(a_forked_child_has_a_part);
    RUN(a_child_has_no_part_if_the_pool_says_so);
    RUN(a_pool_with_open_queues_is_not_closed);
    RUN(timeouts_become_deadlines);
    CHECK(process_end(), ==, 0);
    return check_end();
}
