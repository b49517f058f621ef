/* Tests of public_block.c: blocks as programs in C have them, what they do with them wrongly, and every bad
 * argument. */
#include "process.h"

#include <math.h>
#include <pthread.h>
#include <sys/time.h>

#include "blockpool_shared.h"
#include "public/public_parts.h"

#define BLOCK 64u
#define BLOCKS 10u

static struct blockpool_pool *pool, *other;
static struct blockpool_block block, again;
static char ticket[BLOCKPOOL_TICKET_BYTES];
static char name[96];

static void make(void) {
    snprintf(name, sizeof name, "%s", process_name() + strlen("blockpool."));
    CHECK(blockpool_pool_create(name, BLOCK, BLOCKS, NULL, &pool), ==, BLOCKPOOL_OK);
    memset(page->told, 0, sizeof page->told);
}

static uint64_t allocated(void) {
    struct blockpool_pool_info info;
    CHECK(blockpool_pool_stats(pool, &info), ==, BLOCKPOOL_OK);
    return info.allocated;
}

/* Audits and closes the pool, in which nothing is left. */
static void unmake(void) {
    struct pool_fault fault;
    struct pool_audit audit;
    struct pool_failure failure;
    CHECK(allocated(), ==, 0);
    CHECK(pool_check(&pool->engine, PROCESS_PATIENCE, &fault, 1, &audit, &failure), ==, POOL_OK);
    CHECK(audit.faults, ==, 0);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void allocate(size_t bytes) { CHECK(blockpool_block_allocate(pool, bytes, 0, &block), ==, BLOCKPOOL_OK); }

static bool is_zero(const struct blockpool_block *given) {
    return !given->pool && !given->data && !given->bytes && !given->index && !given->generation;
}

static void a_block_has_what_was_asked_for(void) {
    make();
    allocate(3 * BLOCK - 5);
    CHECK(block.pool == pool, ==, true);
    CHECK(block.bytes, ==, 3 * BLOCK - 5);
    CHECK((uintptr_t)block.data % BLOCK, ==, 0);
    CHECK(allocated(), ==, 3);
    memset(block.data, 7, block.bytes);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(is_zero(&block), ==, true);
    unmake();
}

static void a_wrong_length_or_timeout_is_refused(void) {
    make();
    CHECK(blockpool_block_allocate(pool, 0, 0, &block), ==, BLOCKPOOL_BAD_COUNT);
    CHECK(blockpool_block_allocate(pool, BLOCKS * BLOCK + 1, 0, &block), ==, BLOCKPOOL_TOO_LARGE);
    CHECK(blockpool_block_allocate(pool, SIZE_MAX, BLOCKPOOL_FOREVER, &block), ==, BLOCKPOOL_TOO_LARGE);
    CHECK(blockpool_block_allocate(pool, 8, (double)NAN, &block), ==, BLOCKPOOL_BAD_TIMEOUT);
    CHECK(is_zero(&block), ==, true);
    unmake();
}

static void null_is_refused(void) {
    make();
    allocate(8);
    again.bytes = 7;
    CHECK(blockpool_block_allocate(NULL, 8, 0, &again), ==, BLOCKPOOL_NULL);
    CHECK(again.bytes, ==, 0);
    CHECK(blockpool_block_allocate(pool, 8, 0, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_release(NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_share(NULL, ticket), ==, BLOCKPOOL_NULL);
    CHECK(ticket[0], ==, 0);
    CHECK(blockpool_block_share(&block, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_redeem(NULL, "", &again), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_redeem(pool, NULL, &again), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_redeem(pool, "", NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_keep(NULL, "name", 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_keep(&block, NULL, 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_get(NULL, "name", &again), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_get(pool, NULL, &again), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_get(pool, "name", NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    unmake();
}

static void a_block_that_was_released_is_told_apart(void) {
    make();
    allocate(8);
    struct blockpool_block copy = block;
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(blockpool_block_release(&copy), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(blockpool_block_share(&copy, ticket), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(blockpool_block_keep(&copy, "name", 0), ==, BLOCKPOOL_NOT_ALLOCATED);
    do { /* the same block, but another run */
        allocate(8);
    } while (block.index != copy.index && blockpool_block_release(&block) == BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&copy), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(allocated(), ==, 1);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    unmake();
}

static void a_garbled_block_is_refused(void) {
    make();
    allocate(3 * BLOCK);
    struct blockpool_block wrong[6] = {block, block, block, block, block, block};
    wrong[0].index = BLOCKS;
    wrong[1].index = UINT64_MAX;
    wrong[2].index++; /* in the run, but not where it begins */
    wrong[2].data = (char *)wrong[2].data + BLOCK;
    wrong[3].data = (char *)wrong[3].data + 8;
    wrong[4].generation++;
    wrong[5].generation += UINT64_C(1) << 31; /* the head does not see that */
    for (unsigned i = 0; i < 6; i++) {
        CHECK(blockpool_block_release(&wrong[i]), ==, BLOCKPOOL_NOT_ALLOCATED);
        CHECK(blockpool_block_share(&wrong[i], ticket), ==, BLOCKPOOL_NOT_ALLOCATED);
    }
    CHECK(allocated(), ==, 3);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    unmake();
}

static void allocate_in_another_process(void) {
    CHECK(blockpool_pool_attach(name, &other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_allocate(other, 8, 0, &again), ==, BLOCKPOOL_OK);
    tell(0, again.index);
    tell(1, again.generation);
    reach(1);
    await(2);
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(other), ==, BLOCKPOOL_OK);
}

static void a_block_of_another_process_is_not_released(void) {
    make();
    pid_t child = start(allocate_in_another_process);
    await(1);
    block = (struct blockpool_block){pool, pool_address(&pool->engine, told(0)), 8, told(0), told(1)};
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_NOT_ALLOCATED);
    reach(2);
    CHECK(ended(child), ==, 0);
    unmake();
}

/* --- waiting --- */

static bool says_so_at_once(void) {
    double begun = os_now();
    CHECK(blockpool_block_allocate(pool, 8, 0, &again), ==, BLOCKPOOL_NO_ROOM);
    return os_now() - begun < 0.2;
}

static void a_full_pool_says_so_at_once_or_in_time(void) {
    make();
    allocate(BLOCKS * BLOCK);
    CHECK(in_some_try(says_so_at_once), ==, true);
    double begun = os_now();
    CHECK(blockpool_block_allocate(pool, 8, 0.3, &again), ==, BLOCKPOOL_NO_ROOM);
    CHECK(os_now() - begun >= 0.3, ==, true);
    CHECK(is_zero(&again), ==, true);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    unmake();
}

static void *release_soon(void *argument) {
    os_sleep(0.1);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    return argument;
}

static void a_waiting_call_gets_what_is_released(void) {
    pthread_t thread;
    make();
    allocate(BLOCKS * BLOCK);
    CHECK(pthread_create(&thread, NULL, release_soon, NULL), ==, 0);
    CHECK(blockpool_block_allocate(pool, 8, BLOCKPOOL_FOREVER, &again), ==, BLOCKPOOL_OK);
    CHECK(pthread_join(thread, NULL), ==, 0);
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    unmake();
}

static void allocate_all_and_stay(void) {
    CHECK(blockpool_pool_attach(name, &other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_allocate(other, BLOCKS * BLOCK, 0, &again), ==, BLOCKPOOL_OK);
    reach(1);
    stay();
}

static pid_t victim;

static void *kill_soon(void *argument) {
    os_sleep(0.1);
    kill_and_wait(victim);
    return argument;
}

static void a_waiting_call_takes_back_what_the_dead_held(void) {
    pthread_t thread;
    make();
    victim = start(allocate_all_and_stay);
    await(1);
    CHECK(pthread_create(&thread, NULL, kill_soon, NULL), ==, 0);
    CHECK(blockpool_block_allocate(pool, 8, PROCESS_PATIENCE, &block), ==, BLOCKPOOL_OK);
    CHECK(pthread_join(thread, NULL), ==, 0);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    victim = start(allocate_all_and_stay);
    await(1);
    kill_and_wait(victim);
    CHECK(blockpool_block_allocate(pool, 8, 0, &block), ==, BLOCKPOOL_OK); /* which does not wait */
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    unmake();
}

static void nothing(int number) { (void)number; }

static void signals_do_not_end_a_wait(void) {
    make();
    allocate(BLOCKS * BLOCK);
    struct sigaction action = {.sa_handler = nothing};
    struct itimerval often = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    double begun = os_now();
    CHECK(blockpool_block_allocate(pool, 8, 0.3, &again), ==, BLOCKPOOL_NO_ROOM);
    CHECK(os_now() - begun >= 0.3, ==, true);
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_DFL);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    unmake();
}

/* --- tickets --- */

static void redeem_what_was_told(void) {
    memcpy(ticket, (void *)page->told, sizeof ticket);
    CHECK(blockpool_pool_attach(name, &other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_redeem(other, ticket, &again), ==, BLOCKPOOL_OK);
    CHECK(again.bytes, ==, 70);
    CHECK(again.pool == other, ==, true);
    CHECK(strcmp(again.data, "a message"), ==, 0);
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(other), ==, BLOCKPOOL_OK);
}

static void a_ticket_is_redeemed_by_another_process(void) {
    make();
    allocate(70);
    strcpy(block.data, "a message");
    CHECK(blockpool_block_share(&block, ticket), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(allocated(), ==, 2);
    memcpy((void *)page->told, ticket, sizeof ticket);
    CHECK(ended(start(redeem_what_was_told)), ==, 0);
    CHECK(allocated(), ==, 0);
    CHECK(blockpool_block_redeem(pool, ticket, &again), ==, BLOCKPOOL_STALE);
    CHECK(is_zero(&again), ==, true);
    unmake();
}

static void a_ticket_is_the_text_that_python_knows(void) {
    char expected[BLOCKPOOL_TICKET_BYTES], id[33];
    make();
    allocate(8);
    for (unsigned i = 0; i < 16; i++) {
        snprintf(id + 2 * i, 3, "%02x", pool->engine.attachment->geometry.id[i]);
    }
    snprintf(expected, sizeof expected, "blockpool-ticket:%s:%u:%u:%ld:%s", id, (unsigned)block.index,
             (unsigned)block.generation, (long)getpid(), name);
    CHECK(blockpool_block_share(&block, ticket), ==, BLOCKPOOL_OK);
    CHECK(strcmp(ticket, expected), ==, 0);
    memcpy(ticket, "blockpool-handle", 16); /* which takes nothing out of flight */
    CHECK(blockpool_block_redeem(pool, ticket, &again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(allocated(), ==, 1);
    memcpy(ticket, "blockpool-ticket", 16);
    CHECK(blockpool_block_redeem(pool, ticket, &again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    unmake();
}

static void the_longest_ticket_fits(void) {
    char longest[181];
    memset(longest, 'n', 180);
    longest[180] = 0;
    CHECK(blockpool_pool_create(longest, BLOCK, BLOCKS, NULL, &pool), ==, BLOCKPOOL_OK);
    allocate(8);
    CHECK(blockpool_block_share(&block, ticket), ==, BLOCKPOOL_OK);
    CHECK(strlen(ticket) + 7 + 12 + 9 < sizeof ticket, ==, true); /* the numbers may be longer by that much */
    CHECK(strlen(strrchr(ticket, ':') + 1), ==, 180);
    CHECK(blockpool_block_redeem(pool, ticket, &again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    unmake();
}

static void a_wrong_ticket_is_refused(void) {
    static const char *const wrong[] = {
        "",
        "blockpool-ticket:",
        "blockpool-ticket:00",
        "blockpool-ballot:00000000000000000000000000000000:0:1:1:",
        "blockpool-ticket:0000000000000000000000000000000:0:1:1:",
        "blockpool-ticket:000000000000000000000000000000000:0:1:1:",
        "blockpool-ticket:0000000000000000000000000000000G:0:1:1:",
        "blockpool-ticket:00000000000000000000000000000000:0:1:1",
        "blockpool-ticket:00000000000000000000000000000000:0:1",
        "blockpool-ticket:00000000000000000000000000000000::1:1:",
        "blockpool-ticket:00000000000000000000000000000000:-1:1:1:",
        "blockpool-ticket:00000000000000000000000000000000:123456789:1:1:",
        "blockpool-ticket:00000000000000000000000000000000:0:12345678901234:1:",
        "blockpool-ticket:00000000000000000000000000000000:0:1:1:a/b",
    };
    make();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(blockpool_block_redeem(pool, wrong[i], &again), ==, BLOCKPOOL_BAD_TICKET);
    }
    CHECK(blockpool_block_redeem(pool, "blockpool-ticket:00000000000000000000000000000000:0:1:1:", &again), ==,
          BLOCKPOOL_OTHER_POOL);
    allocate(8);
    CHECK(blockpool_block_share(&block, ticket), ==, BLOCKPOOL_OK);
    for (size_t cut = 0; cut < strlen("blockpool-ticket:") + 33 + 6; cut++) {
        char shorter[BLOCKPOOL_TICKET_BYTES];
        memcpy(shorter, ticket, sizeof shorter);
        shorter[cut] = 0;
        CHECK(blockpool_block_redeem(pool, shorter, &again), ==, BLOCKPOOL_BAD_TICKET);
    }
    char *number = ticket + strlen("blockpool-ticket:") + 33;
    char keep = *number;
    CHECK(keep >= '0' && keep <= '9', ==, true);
    char outside[BLOCKPOOL_TICKET_BYTES];
    snprintf(outside, sizeof outside, "%.50s99999999%s", ticket, strchr(number, ':'));
    CHECK(blockpool_block_redeem(pool, outside, &again), ==, BLOCKPOOL_BAD_TICKET);
    CHECK(blockpool_block_redeem(pool, ticket, &again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    unmake();
}

/* Moves the ends of all tickets to the past. */
static void let_tickets_end(void) {
    const struct endings *endings = &pool->engine.attachment->shared.endings;
    CHECK(load_seq(&endings->head->next), >, 1000);
    for (uint64_t i = 0; i < BLOCKS; i++) {
        store_relaxed(&endings->words[i], load_relaxed(&endings->words[i]) & ~(uint64_t)UINT32_MAX);
    }
    store_seq(&endings->head->next, 1);
}

static void *let_tickets_end_soon(void *argument) {
    os_sleep(0.05);
    let_tickets_end();
    return argument;
}

static void the_tickets_of_a_pool_may_end(void) {
    struct blockpool_pool_options options = {.ticket_lifetime = 1000};
    pthread_t thread;
    snprintf(name, sizeof name, "%s", process_name() + strlen("blockpool."));
    CHECK(blockpool_pool_create(name, BLOCK, BLOCKS, &options, &pool), ==, BLOCKPOOL_OK);
    for (unsigned times = 0; times < 2; times++) {
        allocate(BLOCKS * BLOCK);
        CHECK(blockpool_block_share(&block, ticket), ==, BLOCKPOOL_OK);
        CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
        CHECK(blockpool_block_allocate(pool, BLOCK, 0, &block), ==, BLOCKPOOL_NO_ROOM);
        if (times == 0) {
            let_tickets_end();
            CHECK(blockpool_block_allocate(pool, BLOCK, 0, &block), ==, BLOCKPOOL_OK);
        } else { /* while a call waits */
            CHECK(pthread_create(&thread, NULL, let_tickets_end_soon, NULL), ==, 0);
            CHECK(blockpool_block_allocate(pool, BLOCK, PROCESS_PATIENCE, &block), ==, BLOCKPOOL_OK);
            CHECK(pthread_join(thread, NULL), ==, 0);
        }
        CHECK(blockpool_block_redeem(pool, ticket, &again), ==, BLOCKPOOL_STALE);
        CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    }
    unmake();
}

static void too_many_tickets_are_refused(void) {
    make();
    allocate(8);
    for (unsigned i = 0; i < LEDGER_MOST_TICKETS; i++) {
        int status = blockpool_block_share(&block, ticket);
        if (status != BLOCKPOOL_OK) {
            CHECK(status, ==, BLOCKPOOL_OK);
        }
    }
    CHECK(blockpool_block_share(&block, ticket), ==, BLOCKPOOL_TOO_MANY_TICKETS);
    CHECK(ticket[0], ==, 0);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(allocated(), ==, 1);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK); /* and the pool with them */
}

/* --- notes --- */

static void read_the_note(void) {
    char note[BLOCKPOOL_NOTE_BYTES];
    size_t length;
    CHECK(blockpool_pool_attach(name, &other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_get(other, "noted", &again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_note(&again, note, &length), ==, BLOCKPOOL_OK);
    CHECK(length, ==, 8);
    CHECK(memcmp(note, "camera 7", 8), ==, 0);
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(other), ==, BLOCKPOOL_OK);
}

static void a_note_goes_where_the_block_goes(void) {
    char note[BLOCKPOOL_NOTE_BYTES], longest[BLOCKPOOL_NOTE_BYTES + 1];
    size_t length = 7;
    make();
    allocate(8);
    CHECK(blockpool_block_note(&block, note, &length), ==, BLOCKPOOL_OK);
    CHECK(length, ==, 0);
    CHECK(blockpool_block_set_note(&block, "camera 7", 8), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_keep(&block, "noted", 0), ==, BLOCKPOOL_OK);
    CHECK(ended(start(read_the_note)), ==, 0);
    memset(longest, 'n', sizeof longest);
    CHECK(blockpool_block_set_note(&block, longest, sizeof longest), ==, BLOCKPOOL_NOTE_TOO_LONG);
    CHECK(blockpool_block_set_note(&block, longest, SIZE_MAX), ==, BLOCKPOOL_NOTE_TOO_LONG);
    CHECK(blockpool_block_note(&block, note, &length), ==, BLOCKPOOL_OK);
    CHECK(length, ==, 8);
    CHECK(blockpool_block_set_note(&block, longest, BLOCKPOOL_NOTE_BYTES), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_note(&block, note, &length), ==, BLOCKPOOL_OK);
    CHECK(length, ==, BLOCKPOOL_NOTE_BYTES);
    CHECK(memcmp(note, longest, length), ==, 0);
    CHECK(blockpool_block_set_note(&block, NULL, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_note(&block, note, &length), ==, BLOCKPOOL_OK);
    CHECK(length, ==, 0);
    CHECK(blockpool_block_set_note(NULL, "", 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_set_note(&block, NULL, 1), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_note(NULL, note, &length), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_note(&block, NULL, &length), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_note(&block, note, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_pool_forget(pool, "noted"), ==, BLOCKPOOL_OK);
    struct blockpool_block copy = block;
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    length = 7;
    CHECK(blockpool_block_note(&copy, note, &length), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(length, ==, 0);
    CHECK(blockpool_block_set_note(&copy, "late", 4), ==, BLOCKPOOL_NOT_ALLOCATED);
    unmake();
}

/* --- names --- */

static void get_by_name(void) {
    CHECK(blockpool_pool_attach(name, &other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_get(other, "weights", &again), ==, BLOCKPOOL_OK);
    CHECK(strcmp(again.data, "kept"), ==, 0);
    CHECK(again.bytes, ==, 10);
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(other), ==, BLOCKPOOL_OK);
}

static void a_name_keeps_a_block(void) {
    make();
    allocate(10);
    strcpy(block.data, "kept");
    CHECK(blockpool_block_keep(&block, "weights", 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(ended(start(get_by_name)), ==, 0);
    allocate(20);
    strcpy(block.data, "newer");
    CHECK(blockpool_block_keep(&block, "weights", 0), ==, BLOCKPOOL_EXISTS);
    CHECK(blockpool_block_keep(&block, "weights", 1), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(allocated(), ==, 1);
    CHECK(blockpool_block_get(pool, "weights", &again), ==, BLOCKPOOL_OK);
    CHECK(strcmp(again.data, "newer"), ==, 0);
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_forget(pool, "weights"), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_forget(pool, "weights"), ==, BLOCKPOOL_NOT_FOUND);
    CHECK(blockpool_block_get(pool, "weights", &again), ==, BLOCKPOOL_NOT_FOUND);
    CHECK(is_zero(&again), ==, true);
    unmake();
}

static void wrong_and_too_many_names_are_refused(void) {
    char many[16];
    make();
    allocate(8);
    CHECK(blockpool_block_keep(&block, "", 0), ==, BLOCKPOOL_BAD_NAME);
    CHECK(blockpool_block_keep(&block, "a/b", 0), ==, BLOCKPOOL_BAD_NAME);
    CHECK(blockpool_block_get(pool, "a b", &again), ==, BLOCKPOOL_BAD_NAME);
    for (unsigned i = 0; i < CATALOG_NAMES; i++) {
        snprintf(many, sizeof many, "name-%u", i);
        CHECK(blockpool_block_keep(&block, many, 0), ==, BLOCKPOOL_OK);
    }
    CHECK(blockpool_block_keep(&block, "one-more", 0), ==, BLOCKPOOL_TOO_MANY_NAMES);
    for (unsigned i = 0; i < CATALOG_NAMES; i++) {
        snprintf(many, sizeof many, "name-%u", i);
        CHECK(blockpool_pool_forget(pool, many), ==, BLOCKPOOL_OK);
    }
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    unmake();
}

/* --- threads --- */

#define THREADS 4
#define ROUNDS 5000

static void *use_blocks(void *argument) {
    unsigned char mine = (unsigned char)(uintptr_t)argument;
    char text[BLOCKPOOL_TICKET_BYTES];
    struct blockpool_block own, second;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int status = blockpool_block_allocate(pool, 1 + (round + mine) % (2 * BLOCK), PROCESS_PATIENCE, &own);
        if (status != BLOCKPOOL_OK) {
            CHECK(status, ==, BLOCKPOOL_OK);
            return argument;
        }
        memset(own.data, mine, own.bytes);
        if (round % 3 == 0) {
            bool good = blockpool_block_share(&own, text) == BLOCKPOOL_OK &&
                        blockpool_block_redeem(pool, text, &second) == BLOCKPOOL_OK && second.data == own.data &&
                        blockpool_block_release(&second) == BLOCKPOOL_OK;
            if (!good) {
                CHECK(good, ==, true);
            }
        }
        for (size_t i = 0; i < own.bytes; i++) {
            if (((unsigned char *)own.data)[i] != mine) {
                CHECK(((unsigned char *)own.data)[i], ==, mine);
            }
        }
        status = blockpool_block_release(&own);
        if (status != BLOCKPOOL_OK) {
            CHECK(status, ==, BLOCKPOOL_OK);
        }
    }
    return NULL;
}

static void threads_share_a_pool(void) {
    pthread_t threads[THREADS];
    make();
    for (uintptr_t t = 0; t < THREADS; t++) {
        CHECK(pthread_create(&threads[t], NULL, use_blocks, (void *)(t + 1)), ==, 0);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        void *failed = NULL;
        CHECK(pthread_join(threads[t], &failed), ==, 0);
        CHECK(failed == NULL, ==, true);
    }
    unmake();
}

static void misuse_of_a_pool_in_debug_mode_is_told_once(void) {
    struct attachment maker;
    struct pool_failure failure;
    const char *file = process_name();
    struct attachment_request request = {
        .name = file, .block_size = BLOCK, .blocks = BLOCKS, .processes = 4, .debug = true, .gate_seconds = 5};
    CHECK(attachment_create(&maker, &request, &failure), ==, POOL_OK);
    CHECK(blockpool_pool_attach(file + strlen("blockpool."), &pool), ==, BLOCKPOOL_OK);
    for (unsigned late = 0; late < 2; late++) {
        allocate(10);
        unsigned char *data = block.data;
        CHECK(data[0], ==, 0xCD);
        CHECK(data[10], ==, 0xFD);
        data[10] = late ? 0xFD : 1;
        CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
        CHECK(data[0], ==, 0xDD);
        data[10] = late ? 1 : 0xDD;
        CHECK(blockpool_block_allocate(pool, 10, 0, &block), ==, BLOCKPOOL_MISUSED);
        CHECK(is_zero(&block), ==, true);
        allocate(10);
        CHECK(block.data == data, ==, true);
        CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    }
    attachment_leave(&maker, PROCESS_PATIENCE);
    attachment_unmap(&maker);
    unmake();
}

int main(void) {
    process_begin();
    RUN(a_block_has_what_was_asked_for);
    RUN(a_wrong_length_or_timeout_is_refused);
    RUN(null_is_refused);
    RUN(a_block_that_was_released_is_told_apart);
    RUN(a_garbled_block_is_refused);
    RUN(a_block_of_another_process_is_not_released);
    RUN(a_full_pool_says_so_at_once_or_in_time);
    RUN(a_waiting_call_gets_what_is_released);
    RUN(a_waiting_call_takes_back_what_the_dead_held);
    RUN(signals_do_not_end_a_wait);
    RUN(a_ticket_is_redeemed_by_another_process);
    RUN(a_ticket_is_the_text_that_python_knows);
    RUN(the_longest_ticket_fits);
    RUN(a_wrong_ticket_is_refused);
    RUN(the_tickets_of_a_pool_may_end);
    RUN(too_many_tickets_are_refused);
    RUN(a_note_goes_where_the_block_goes);
    RUN(a_name_keeps_a_block);
    RUN(wrong_and_too_many_names_are_refused);
    RUN(threads_share_a_pool);
    RUN(misuse_of_a_pool_in_debug_mode_is_told_once);
    CHECK(process_end(), ==, 0);
    return check_end();
}
