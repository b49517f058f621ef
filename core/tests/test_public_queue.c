/* Tests of public_queue.c: messages between programs in C, those that die, garbled messages, and every bad argument. */
#include "process.h"

#include <math.h>
#include <pthread.h>
#include <sys/time.h>

#include "blockpool_shared.h"
#include "public/public_parts.h"
#include "shared/queues.h"

#define BLOCK 256u
#define BLOCKS 64u
#define ROOM (1u << 18) /* bytes for queues and messages */

static struct blockpool_pool *pool, *other;
static struct blockpool_queue *queue, *far; /* in `pool` and in `other` */
static struct blockpool_block block, again;
static struct blockpool_received received;
static struct blockpool_array array;
static char name[96];

static void make_with(const struct blockpool_queue_options *options) {
    snprintf(name, sizeof name, "%s", process_name() + strlen("blockpool."));
    struct blockpool_pool_options room = {.queue_room = ROOM};
    CHECK(blockpool_pool_create(name, BLOCK, BLOCKS, &room, &pool), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_make(pool, "queue", options, &queue), ==, BLOCKPOOL_OK);
    memset(page->told, 0, sizeof page->told);
}

static void make(void) { make_with(NULL); }

static uint64_t allocated(void) {
    struct blockpool_pool_info info;
    CHECK(blockpool_pool_stats(pool, &info), ==, BLOCKPOOL_OK);
    return info.allocated;
}

static struct blockpool_queue_info info_of(struct blockpool_queue *which) {
    struct blockpool_queue_info info;
    CHECK(blockpool_queue_stats(which, &info), ==, BLOCKPOOL_OK);
    return info;
}

/* Blocks of the annex that are in use. */
static uint64_t small_blocks(void) { return bitmap_count(&pool->engine.attachment->queues.annex.bitmap); }

/* Audits and closes the pool, in which nothing is left. */
static void unmake(void) {
    struct pool_fault fault;
    struct pool_audit audit;
    struct pool_failure failure;
    CHECK(blockpool_queue_close(queue), ==, BLOCKPOOL_OK);
    CHECK(allocated(), ==, 0);
    CHECK(small_blocks(), ==, 0);
    CHECK(pool_check(&pool->engine, PROCESS_PATIENCE, &fault, 1, &audit, &failure), ==, POOL_OK);
    CHECK(audit.faults, ==, 0);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void attach_other(void) {
    CHECK(blockpool_pool_attach(name, &other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_open(other, "queue", &far), ==, BLOCKPOOL_OK);
}

static void detach_other(void) {
    CHECK(blockpool_queue_close(far), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(other), ==, BLOCKPOOL_OK);
}

static int put_number(struct blockpool_queue *into, uint64_t number, double timeout) {
    return blockpool_queue_put_bytes(into, &number, sizeof number, timeout);
}

/* The number in the message received from the queue, which is done then; -1 if there is none. */
static int64_t get_number(struct blockpool_queue *from, double timeout) {
    uint64_t number = 0;
    int status = blockpool_queue_get(from, timeout, &received);
    if (status != BLOCKPOOL_OK) {
        return -status;
    }
    CHECK(received.kind, ==, BLOCKPOOL_BYTES);
    CHECK(received.bytes, ==, sizeof number);
    memcpy(&number, received.data, sizeof number);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    return (int64_t)number;
}

static bool is_nothing(const struct blockpool_received *given) {
    static const struct blockpool_received nothing;
    return memcmp(given, &nothing, sizeof nothing) == 0;
}

/* --- what is put is received --- */

static void bytes_are_received(void) {
    make();
    CHECK(blockpool_queue_put_bytes(queue, "hello", 5, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_put_bytes(queue, NULL, 0, 0), ==, BLOCKPOOL_OK);
    CHECK(info_of(queue).waiting, ==, 2);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(received.queue == queue, ==, true);
    CHECK(received.kind, ==, BLOCKPOOL_BYTES);
    CHECK(received.bytes, ==, 5);
    CHECK(memcmp(received.data, "hello", 5), ==, 0);
    CHECK(received.blocks, ==, 0);
    CHECK(received.again, ==, 0);
    CHECK(received.process, ==, getpid());
    CHECK(received.position, ==, 0);
    CHECK(received.sent <= (uint64_t)(os_now() * 1e9), ==, true);
    CHECK(received.sent > (uint64_t)((os_now() - PROCESS_PATIENCE) * 1e9), ==, true);
    CHECK(info_of(queue).unfinished, ==, 1);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    CHECK(is_nothing(&received), ==, true);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(received.bytes, ==, 0);
    CHECK(received.position, ==, 1);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_QUEUE_EMPTY);
    CHECK(is_nothing(&received), ==, true);
    CHECK(allocated(), ==, 0);
    unmake();
}

static void messages_of_all_lengths_are_received(void) {
    static unsigned char text[40000];
    make();
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (unsigned char)(i * 7 + i / 256);
    }
    for (size_t length = 0; length < sizeof text; length += 1 + length / 3) {
        CHECK(blockpool_queue_put_bytes(queue, text, length, 0), ==, BLOCKPOOL_OK);
        CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
        CHECK(received.bytes, ==, length);
        CHECK(memcmp(received.data, text, length), ==, 0);
        CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    }
    unmake();
}

static void a_block_is_received_without_a_copy(void) {
    make();
    CHECK(blockpool_block_allocate(pool, 300, 0, &block), ==, BLOCKPOOL_OK);
    void *data = block.data;
    strcpy(data, "in the block");
    CHECK(blockpool_queue_put_block(queue, &block, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(allocated(), ==, 2);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(received.kind, ==, BLOCKPOOL_BLOCK);
    CHECK(received.data == data, ==, true);
    CHECK(received.bytes, ==, 300);
    CHECK(received.blocks, ==, 1);
    CHECK(allocated(), ==, 2);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    CHECK(allocated(), ==, 0);
    unmake();
}

static void a_receiver_may_keep_the_block(void) {
    make();
    CHECK(blockpool_block_allocate(pool, 300, 0, &block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_put_block(queue, &block, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(blockpool_received_block(&received, 1, &again), ==, BLOCKPOOL_BAD_COUNT);
    CHECK(blockpool_received_block(&received, 0, &again), ==, BLOCKPOOL_OK);
    CHECK(again.data == received.data, ==, true);
    CHECK(again.bytes, ==, 300);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    CHECK(allocated(), ==, 2);
    CHECK(blockpool_queue_put_block(queue, &again, 0), ==, BLOCKPOOL_OK); /* and pass it on */
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    unmake();
}

static void a_block_may_be_in_a_queue_more_than_once(void) {
    make();
    CHECK(blockpool_block_allocate(pool, 8, 0, &block), ==, BLOCKPOOL_OK);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(blockpool_queue_put_block(queue, &block, 0), ==, BLOCKPOOL_OK);
    }
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(allocated(), ==, 1);
        CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
        CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    }
    unmake();
}

static void an_array_keeps_its_description(void) {
    int64_t shape[] = {4, 10};
    make();
    CHECK(blockpool_block_allocate(pool, 100, 0, &block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_array_init(&array, ">u2", 2, shape), ==, BLOCKPOOL_OK);
    array.offset = 20;
    array.readonly = 1;
    CHECK(blockpool_queue_put_array(queue, &block, &array, 0), ==, BLOCKPOOL_OK);
    void *data = block.data;
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(received.kind, ==, BLOCKPOOL_ARRAY);
    CHECK(memcmp(&received.array, &array, sizeof array), ==, 0);
    CHECK((char *)received.data - (char *)data, ==, 20);
    CHECK(received.bytes, ==, 80);
    CHECK(received.blocks, ==, 1);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    unmake();
}

static void an_array_outside_its_block_is_refused(void) {
    int64_t shape[] = {50};
    make();
    CHECK(blockpool_block_allocate(pool, 100, 0, &block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_array_init(&array, "<u2", 1, shape), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_put_array(queue, &block, &array, 0), ==, BLOCKPOOL_OK);
    array.offset = 1; /* past what was asked for, though not past the block */
    CHECK(blockpool_queue_put_array(queue, &block, &array, 0), ==, BLOCKPOOL_BAD_ARRAY);
    memset(&array, 0, sizeof array);
    CHECK(blockpool_queue_put_array(queue, &block, &array, 0), ==, BLOCKPOOL_BAD_ARRAY);
    memset(&array, 255, sizeof array);
    CHECK(blockpool_queue_put_array(queue, &block, &array, 0), ==, BLOCKPOOL_BAD_ARRAY);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(info_of(queue).waiting, ==, 1);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    unmake();
}

/* --- opening and closing --- */

static void a_queue_is_found_by_its_name(void) {
    struct blockpool_queue_options options = {.capacity = 5, .redeliver = 1};
    make_with(&options);
    CHECK(info_of(queue).capacity, ==, 5);
    CHECK(info_of(queue).redeliver, ==, 1);
    CHECK(info_of(queue).permanent, ==, 0);
    options.capacity = 9;
    CHECK(blockpool_queue_make(pool, "queue", &options, &far), ==, BLOCKPOOL_OK);
    CHECK(info_of(far).capacity, ==, 5);
    CHECK(put_number(queue, 7, 0), ==, BLOCKPOOL_OK);
    CHECK(get_number(far, 0), ==, 7);
    CHECK(blockpool_queue_close(far), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_open(pool, "another", &far), ==, BLOCKPOOL_NOT_FOUND);
    CHECK(far == NULL, ==, true);
    unmake();
}

static void a_queue_ends_with_its_last_user_unless_it_is_permanent(void) {
    struct blockpool_queue_options options = {.permanent = 1};
    make();
    CHECK(put_number(queue, 1, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_close(queue), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_open(pool, "queue", &queue), ==, BLOCKPOOL_NOT_FOUND);
    CHECK(blockpool_queue_make(pool, "stays", &options, &queue), ==, BLOCKPOOL_OK);
    CHECK(info_of(queue).permanent, ==, 1);
    CHECK(info_of(queue).capacity, ==, 64);
    CHECK(put_number(queue, 2, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_close(queue), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_open(pool, "stays", &queue), ==, BLOCKPOOL_OK);
    CHECK(get_number(queue, 0), ==, 2);
    CHECK(blockpool_pool_forget(pool, "stays"), ==, BLOCKPOOL_OK);
    unmake();
}

static void names_belong_to_a_block_or_to_a_queue(void) {
    make();
    CHECK(blockpool_block_allocate(pool, 8, 0, &block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_keep(&block, "block", 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_make(pool, "block", NULL, &far), ==, BLOCKPOOL_OTHER_KIND);
    CHECK(blockpool_queue_open(pool, "block", &far), ==, BLOCKPOOL_OTHER_KIND);
    CHECK(blockpool_block_get(pool, "queue", &again), ==, BLOCKPOOL_OTHER_KIND);
    CHECK(blockpool_block_keep(&block, "queue", 0) != BLOCKPOOL_OK, ==, true);
    CHECK(blockpool_pool_forget(pool, "block"), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    unmake();
}

static void wrong_options_are_refused(void) {
    static const struct blockpool_queue_options wrong[] = {
        {.capacity = (UINT64_C(1) << 20) + 1}, {.capacity = UINT64_MAX}, {.reserved = {1}}, {.reserved = {0, 0, 0, 1}}};
    static const struct blockpool_queue_options permanent = {.permanent = 1}, huge = {.capacity = UINT64_C(1) << 20};
    make();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(blockpool_queue_make(pool, "other", &wrong[i], &far), ==, BLOCKPOOL_BAD_OPTIONS);
    }
    CHECK(blockpool_queue_make(pool, NULL, &permanent, &far), ==, BLOCKPOOL_BAD_OPTIONS);
    CHECK(blockpool_queue_make(pool, "other", &huge, &far), ==, BLOCKPOOL_NO_QUEUE_ROOM);
    CHECK(blockpool_queue_make(pool, "a/b", NULL, &far), ==, BLOCKPOOL_BAD_NAME);
    CHECK(blockpool_queue_open(pool, "", &far), ==, BLOCKPOOL_BAD_NAME);
    CHECK(far == NULL, ==, true);
    CHECK(blockpool_queue_spin(queue, -1), ==, BLOCKPOOL_BAD_TIMEOUT);
    CHECK(blockpool_queue_spin(queue, 1), ==, BLOCKPOOL_BAD_TIMEOUT);
    CHECK(blockpool_queue_spin(queue, (double)NAN), ==, BLOCKPOOL_BAD_TIMEOUT);
    CHECK(blockpool_queue_overflow(queue, (enum blockpool_overflow)7), ==, BLOCKPOOL_BAD_OPTIONS);
    unmake();
}

static void null_is_refused(void) {
    struct blockpool_queue_info info = {.capacity = 7};
    make();
    CHECK(blockpool_queue_make(NULL, "name", NULL, &far), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_make(pool, "name", NULL, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_open(NULL, "name", &far), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_open(pool, NULL, &far), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_open(pool, "name", NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_close(NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_shutdown(NULL, 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_spin(NULL, 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_overflow(NULL, BLOCKPOOL_WAIT), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_stats(NULL, &info), ==, BLOCKPOOL_NULL);
    CHECK(info.capacity, ==, 0);
    CHECK(blockpool_queue_stats(queue, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_put_bytes(NULL, "", 0, 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_put_bytes(queue, NULL, 1, 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_allocate(pool, 8, 0, &block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_put_block(NULL, &block, 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_put_block(queue, NULL, 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_put_array(NULL, &block, &array, 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_put_array(queue, NULL, &array, 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_put_array(queue, &block, NULL, 0), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_get(NULL, 0, &received), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_get(queue, 0, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_received_block(NULL, 0, &again), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_received_block(&received, 0, NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_received_done(NULL), ==, BLOCKPOOL_NULL);
    unmake();
}

static void what_was_released_or_is_of_another_pool_is_not_put(void) {
    make();
    int64_t shape[] = {1};
    CHECK(blockpool_array_init(&array, "|u1", 1, shape), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_create(NULL, BLOCK, BLOCKS, NULL, &other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_allocate(other, 8, 0, &block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_put_block(queue, &block, 0), ==, BLOCKPOOL_OTHER_POOL);
    CHECK(blockpool_queue_put_array(queue, &block, &array, 0), ==, BLOCKPOOL_OTHER_POOL);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(other), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_allocate(pool, 8, 0, &block), ==, BLOCKPOOL_OK);
    again = block;
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_put_block(queue, &block, 0), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(blockpool_queue_put_block(queue, &again, 0), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(blockpool_queue_put_array(queue, &again, &array, 0), ==, BLOCKPOOL_NOT_ALLOCATED);
    CHECK(info_of(queue).waiting, ==, 0);
    unmake();
}

static void a_message_that_is_done_is_told_apart(void) {
    make();
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_NOT_RECEIVED);
    CHECK(blockpool_received_block(&received, 0, &again), ==, BLOCKPOOL_NOT_RECEIVED);
    CHECK(put_number(queue, 1, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    struct blockpool_received copy = received;
    CHECK(blockpool_queue_close(queue), ==, BLOCKPOOL_UNFINISHED);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_NOT_RECEIVED);
    CHECK(blockpool_received_done(&copy), ==, BLOCKPOOL_NOT_RECEIVED);
    CHECK(blockpool_received_block(&copy, 0, &again), ==, BLOCKPOOL_NOT_RECEIVED);
    memset(copy.internal, 255, sizeof copy.internal);
    CHECK(blockpool_received_done(&copy), ==, BLOCKPOOL_NOT_RECEIVED);
    unmake();
}

static void a_message_that_is_returned_is_received_again(void) {
    struct blockpool_queue_options options = {.redeliver = 1};
    make_with(&options);
    CHECK(put_number(queue, 1, 0), ==, BLOCKPOOL_OK);
    CHECK(put_number(queue, 2, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    struct blockpool_received copy = received;
    CHECK(blockpool_received_return(&received), ==, BLOCKPOOL_OK);
    CHECK(is_nothing(&received), ==, true);
    CHECK(blockpool_received_return(&received), ==, BLOCKPOOL_NOT_RECEIVED);
    CHECK(blockpool_received_return(&copy), ==, BLOCKPOOL_NOT_RECEIVED);
    CHECK(blockpool_received_return(NULL), ==, BLOCKPOOL_NULL);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(*(uint64_t *)received.data, ==, 1);
    CHECK(received.again, ==, 1);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    CHECK(get_number(queue, 0), ==, 2);
    unmake();
    make(); /* without redelivery */
    CHECK(put_number(queue, 1, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(blockpool_received_return(&received), ==, BLOCKPOOL_OK);
    CHECK(get_number(queue, 0), ==, -BLOCKPOOL_QUEUE_EMPTY);
    unmake();
}

/* --- full, empty, shut --- */

static bool is_full_at_once(void) {
    double begun = os_now();
    CHECK(put_number(queue, 3, 0), ==, BLOCKPOOL_QUEUE_FULL);
    return os_now() - begun < 0.2;
}

static bool is_empty_at_once(void) {
    double begun = os_now();
    CHECK(get_number(queue, 0), ==, -BLOCKPOOL_QUEUE_EMPTY);
    return os_now() - begun < 0.2;
}

static void a_full_queue_says_so_at_once_or_in_time(void) {
    struct blockpool_queue_options options = {.capacity = 3};
    make_with(&options);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(put_number(queue, i, 0), ==, BLOCKPOOL_OK);
    }
    CHECK(in_some_try(is_full_at_once), ==, true);
    double begun = os_now();
    CHECK(put_number(queue, 3, 0.3), ==, BLOCKPOOL_QUEUE_FULL);
    CHECK(os_now() - begun >= 0.3, ==, true);
    CHECK(put_number(queue, 3, (double)NAN), ==, BLOCKPOOL_BAD_TIMEOUT);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(get_number(queue, 0), ==, i);
    }
    CHECK(in_some_try(is_empty_at_once), ==, true);
    begun = os_now();
    CHECK(get_number(queue, 0.3), ==, -BLOCKPOOL_QUEUE_EMPTY);
    CHECK(os_now() - begun >= 0.3, ==, true);
    CHECK(get_number(queue, (double)NAN), ==, -BLOCKPOOL_BAD_TIMEOUT);
    unmake();
}

static void a_full_queue_may_drop_the_oldest(void) {
    struct blockpool_queue_options options = {.capacity = 3};
    make_with(&options);
    CHECK(blockpool_queue_overflow(queue, BLOCKPOOL_DROP_OLDEST), ==, BLOCKPOOL_OK);
    for (unsigned i = 0; i < 10; i++) {
        CHECK(put_number(queue, i, 0), ==, BLOCKPOOL_OK);
    }
    CHECK(info_of(queue).lost, ==, 7);
    CHECK(blockpool_queue_overflow(queue, BLOCKPOOL_WAIT), ==, BLOCKPOOL_OK);
    CHECK(put_number(queue, 10, 0), ==, BLOCKPOOL_QUEUE_FULL);
    for (unsigned i = 7; i < 10; i++) {
        CHECK(get_number(queue, 0), ==, i);
    }
    CHECK(get_number(queue, 0), ==, -BLOCKPOOL_QUEUE_EMPTY);
    unmake();
}

static void what_can_never_fit_is_refused_at_once(void) {
    static char text[1 << 20];
    make();
    CHECK(blockpool_queue_put_bytes(queue, text, sizeof text, BLOCKPOOL_FOREVER), ==, BLOCKPOOL_NO_QUEUE_ROOM);
    CHECK(blockpool_queue_put_bytes(queue, text, ROOM, BLOCKPOOL_FOREVER), ==, BLOCKPOOL_NO_QUEUE_ROOM);
    CHECK(blockpool_queue_put_bytes(queue, text, SIZE_MAX, BLOCKPOOL_FOREVER), ==, BLOCKPOOL_NO_QUEUE_ROOM);
    CHECK(blockpool_queue_put_bytes(queue, text, 200000, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_put_bytes(queue, text, 200000, 0.1), ==, BLOCKPOOL_QUEUE_FULL); /* there is none now */
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_put_bytes(queue, text, 200000, 0), ==, BLOCKPOOL_OK);
    unmake();
}

static void a_queue_that_is_shut_down_is_emptied_first(void) {
    make();
    CHECK(put_number(queue, 1, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_shutdown(queue, 0), ==, BLOCKPOOL_OK);
    CHECK(put_number(queue, 2, BLOCKPOOL_FOREVER), ==, BLOCKPOOL_SHUT_DOWN);
    CHECK(get_number(queue, BLOCKPOOL_FOREVER), ==, 1);
    CHECK(get_number(queue, BLOCKPOOL_FOREVER), ==, -BLOCKPOOL_SHUT_DOWN);
    unmake();
}

static void an_immediate_shutdown_drops_what_is_in_it(void) {
    make();
    CHECK(blockpool_block_allocate(pool, 8, 0, &block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_put_block(queue, &block, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_shutdown(queue, 1), ==, BLOCKPOOL_OK);
    CHECK(get_number(queue, BLOCKPOOL_FOREVER), ==, -BLOCKPOOL_SHUT_DOWN);
    CHECK(allocated(), ==, 0);
    unmake();
}

/* --- between threads and processes --- */

static void *shut_soon(void *argument) {
    os_sleep(0.1);
    CHECK(blockpool_queue_shutdown(queue, 0), ==, BLOCKPOOL_OK);
    return argument;
}

static void a_shutdown_wakes_who_waits(void) {
    pthread_t thread;
    make();
    CHECK(pthread_create(&thread, NULL, shut_soon, NULL), ==, 0);
    CHECK(get_number(queue, BLOCKPOOL_FOREVER), ==, -BLOCKPOOL_SHUT_DOWN);
    CHECK(pthread_join(thread, NULL), ==, 0);
    unmake();
}

#define NUMBERS 20000u

static void put_numbers(void) {
    attach_other();
    for (uint64_t i = 0; i < NUMBERS; i++) {
        int status = put_number(far, i, PROCESS_PATIENCE);
        if (status != BLOCKPOOL_OK) {
            CHECK(status, ==, BLOCKPOOL_OK);
        }
    }
    detach_other();
}

static void get_numbers(void) {
    pid_t child = start(put_numbers);
    for (unsigned i = 0; i < NUMBERS; i++) {
        int64_t number = get_number(queue, PROCESS_PATIENCE);
        if (number != i) {
            CHECK(number, ==, i);
        }
    }
    CHECK(ended(child), ==, 0);
}

static void numbers_of_another_process_come_in_order(void) {
    struct blockpool_queue_options options = {.capacity = 7};
    make_with(&options);
    get_numbers();
    CHECK(blockpool_queue_spin(queue, 0.0001), ==, BLOCKPOOL_OK);
    get_numbers();
    unmake();
}

static atomic_word sum;

static void *add_up(void *argument) {
    struct blockpool_received own;
    int status;
    while ((status = blockpool_queue_get(queue, PROCESS_PATIENCE, &own)) == BLOCKPOOL_OK) {
        (void)fetch_add_seq(&sum, *(uint64_t *)own.data);
        if (blockpool_received_done(&own) != BLOCKPOOL_OK) {
            return queue;
        }
    }
    CHECK(status, ==, BLOCKPOOL_SHUT_DOWN);
    return argument;
}

static void *put_blocks(void *argument) {
    struct blockpool_block own;
    for (uint64_t i = 1; i <= 5000; i++) {
        bool good = blockpool_block_allocate(pool, 8, PROCESS_PATIENCE, &own) == BLOCKPOOL_OK;
        if (good) {
            *(uint64_t *)own.data = i;
            good = blockpool_queue_put_block(queue, &own, PROCESS_PATIENCE) == BLOCKPOOL_OK &&
                   blockpool_block_release(&own) == BLOCKPOOL_OK;
        }
        if (!good) {
            return queue;
        }
    }
    return argument;
}

static void threads_share_a_queue(void) {
    struct blockpool_queue_options options = {.capacity = 5};
    pthread_t threads[4];
    void *failed = NULL;
    make_with(&options);
    store_seq(&sum, 0);
    for (unsigned t = 0; t < 4; t++) {
        CHECK(pthread_create(&threads[t], NULL, t < 2 ? put_blocks : add_up, NULL), ==, 0);
    }
    for (unsigned t = 0; t < 4; t++) {
        if (t == 2) {
            CHECK(blockpool_queue_shutdown(queue, 0), ==, BLOCKPOOL_OK);
        }
        CHECK(pthread_join(threads[t], &failed), ==, 0);
        CHECK(failed == NULL, ==, true);
    }
    CHECK(load_seq(&sum), ==, 2 * 5000 * 5001 / 2);
    unmake();
}

/* --- those that die --- */

static void take_and_stay(void) {
    attach_other();
    CHECK(blockpool_queue_get(far, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(received.again, ==, 0);
    reach(1);
    stay();
}

static void a_message_of_the_dead_is_received_again(void) {
    struct blockpool_queue_options options = {.redeliver = 1};
    make_with(&options);
    CHECK(blockpool_block_allocate(pool, 8, 0, &block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_put_block(queue, &block, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    pid_t child = start(take_and_stay);
    await(1);
    kill_and_wait(child);
    CHECK(blockpool_queue_get(queue, PROCESS_PATIENCE, &received), ==, BLOCKPOOL_OK); /* the wait recovers */
    CHECK(received.kind, ==, BLOCKPOOL_BLOCK);
    CHECK(received.again, ==, 1);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    unmake();
}

static void a_message_of_the_dead_is_dropped_without_redelivery(void) {
    make();
    CHECK(blockpool_block_allocate(pool, 8, 0, &block), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_put_block(queue, &block, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    pid_t child = start(take_and_stay);
    await(1);
    kill_and_wait(child);
    CHECK(blockpool_pool_recover(pool, NULL), ==, BLOCKPOOL_OK);
    CHECK(get_number(queue, 0), ==, -BLOCKPOOL_QUEUE_EMPTY);
    CHECK(allocated(), ==, 0);
    unmake();
}

/* A receiver that always finds a message does not wait, and yet looks for the dead. */
static void who_never_waits_receives_the_messages_of_the_dead_too(void) {
    struct blockpool_queue_options options = {.redeliver = 1};
    make_with(&options);
    CHECK(put_number(queue, 1000000, 0), ==, BLOCKPOOL_OK);
    pid_t child = start(take_and_stay);
    await(1);
    kill_and_wait(child);
    bool came = false;
    for (int64_t i = 0; i < 100000 && !came; i++) {
        CHECK(put_number(queue, (uint64_t)i, 0), ==, BLOCKPOOL_OK);
        came = get_number(queue, 0) == 1000000;
        if (i % 1000 == 0) {
            os_sleep(0.01); /* others that looked a moment ago are trusted */
        }
    }
    CHECK(came, ==, true);
    while (get_number(queue, 0) >= 0) {
    }
    unmake();
}

static void nothing(int number) { (void)number; }

static void signals_do_not_end_a_wait(void) {
    make();
    struct sigaction action = {.sa_handler = nothing};
    struct itimerval often = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    double begun = os_now();
    CHECK(get_number(queue, 0.3), ==, -BLOCKPOOL_QUEUE_EMPTY);
    CHECK(os_now() - begun >= 0.3, ==, true);
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_DFL);
    unmake();
}

/* --- forks --- */

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

static void answer_the_parent(void) {
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_NOT_RECEIVED); /* it is the parent's */
    CHECK(get_number(queue, PROCESS_PATIENCE), ==, 2);
    CHECK(put_number(queue, 3, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_close(queue), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void a_forked_child_has_the_queue_but_not_the_messages(void) {
    make();
    CHECK(put_number(queue, 1, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    pid_t child = fork_with(answer_the_parent);
    CHECK(put_number(queue, 2, 0), ==, BLOCKPOOL_OK);
    CHECK(ended(child), ==, 0);
    CHECK(*(uint64_t *)received.data, ==, 1);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    CHECK(get_number(queue, 0), ==, 3);
    unmake();
}

static void find_no_queue(void) {
    struct blockpool_queue_info info;
    CHECK(put_number(queue, 1, BLOCKPOOL_FOREVER), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_queue_put_block(queue, &block, BLOCKPOOL_FOREVER), ==, BLOCKPOOL_NO_PART);
    CHECK(get_number(queue, BLOCKPOOL_FOREVER), ==, -BLOCKPOOL_NO_PART);
    CHECK(blockpool_queue_stats(queue, &info), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_queue_shutdown(queue, 1), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_queue_close(queue), ==, BLOCKPOOL_OK);
    CHECK(blockpool_pool_close(pool), ==, BLOCKPOOL_OK);
}

static void done_is_refused_without_a_part(void) {
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_NO_PART);
    CHECK(blockpool_received_block(&received, 0, &again), ==, BLOCKPOOL_NO_PART);
    find_no_queue();
}

static void a_child_without_a_part_has_no_queue(void) {
    struct blockpool_pool_options options = {.detach_on_fork = 1};
    CHECK(blockpool_pool_create(NULL, BLOCK, BLOCKS, &options, &pool), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_make(pool, NULL, NULL, &queue), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_allocate(pool, 8, 0, &block), ==, BLOCKPOOL_OK);
    CHECK(put_number(queue, 1, 0), ==, BLOCKPOOL_OK);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(ended(fork_with(done_is_refused_without_a_part)), ==, 0);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    unmake();
}

/* --- garbled messages, from a program that writes over them --- */

/* The queue, as the library sees it; ends with a call of end_view. */
static struct queue view;

static struct attachment *begin_view(void) {
    struct pool_failure failure;
    struct queue_request request = {.kind = QUEUE_IS_QUEUE, .capacity = 1};
    bool made;
    CHECK(attachment_queue_open(pool->engine.attachment, "queue", &request, false, PROCESS_PATIENCE, &view, &made,
                                &failure),
          ==, POOL_OK);
    return pool->engine.attachment;
}

static void end_view(void) { CHECK(attachment_queue_close(pool->engine.attachment, &view), ==, POOL_OK); }

/* Puts a message of that kind with so many blocks and such bytes. */
static void put_garbled(uint32_t kind, unsigned carries, const void *bytes, size_t length) {
    struct queue_message message;
    struct attachment *attachment = begin_view();
    CHECK(attachment_message_begin(attachment, &view, kind, carries, length, &message), ==, POOL_OK);
    if (length) {
        memcpy(message.bytes, bytes, length);
    }
    for (unsigned i = 0; i < carries; i++) {
        CHECK(blockpool_block_allocate(pool, 8, 0, &block), ==, BLOCKPOOL_OK);
        struct pool_run run = {block.index, 1, block.generation};
        CHECK(attachment_message_carry(attachment, &view, &message, &run), ==, POOL_OK);
        CHECK(blockpool_block_release(&block), ==, BLOCKPOOL_OK);
    }
    CHECK(attachment_message_put(attachment, &view, &message), ==, POOL_OK);
    end_view();
}

static void what_this_process_has_not_taken_is_not_its_to_end(void) {
    struct queue_message message;
    make();
    struct attachment *attachment = begin_view();
    CHECK(attachment_message_begin(attachment, &view, MESSAGE_IS_BYTES, 0, 8, &message), ==, POOL_OK);
    received = (struct blockpool_received){.queue = queue};
    memcpy(received.internal, &message, sizeof message); /* its own, but being made */
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_NOT_RECEIVED);
    CHECK(attachment_message_put(attachment, &view, &message), ==, POOL_OK);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_NOT_RECEIVED);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    struct blockpool_received copy = received;
    memcpy(&message, copy.internal, sizeof message);
    message.run.generation--; /* an earlier message at the same place */
    memcpy(copy.internal, &message, sizeof message);
    CHECK(blockpool_received_done(&copy), ==, BLOCKPOOL_NOT_RECEIVED);
    message.run.index = UINT64_C(1) << 34; /* far outside */
    memcpy(copy.internal, &message, sizeof message);
    CHECK(blockpool_received_done(&copy), ==, BLOCKPOOL_NOT_RECEIVED);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    end_view();
    unmake();
}

static void a_garbled_message_is_dropped(void) {
    struct message_array good = {.type = "<u2", .dimensions = 1, .shape = {128}, .strides = {2}}, bad;
    make();
    put_garbled(MESSAGE_IS_ARRAY, 1, &good, sizeof good);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(received.bytes, ==, BLOCK);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    struct {
        struct message_array array;
        uint16_t elements[128];
    } small = {good, {1, 2, 3}};
    put_garbled(MESSAGE_IS_ARRAY, 0, &small, sizeof small);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(received.bytes, ==, sizeof small.elements);
    CHECK(received.blocks, ==, 0);
    CHECK(memcmp(received.data, small.elements, sizeof small.elements), ==, 0);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    put_garbled(MESSAGE_IS_ARRAY, 0, &small, sizeof small - 1);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_CORRUPT);
    CHECK(is_nothing(&received), ==, true);
    for (unsigned i = 0; i < 9; i++) {
        bad = good;
        bad.offset = i == 0 ? 1 : i == 1 ? UINT64_MAX : 0;
        bad.dimensions = i == 2 ? 9 : i == 3 ? UINT32_MAX : 1;
        bad.shape[0] = i == 4 ? 129 : i == 5 ? -1 : i == 6 ? INT64_MAX : 128;
        bad.strides[0] = i == 7 ? -2 : i == 8 ? INT64_MIN : 2;
        put_garbled(MESSAGE_IS_ARRAY, 1, &bad, sizeof bad);
    }
    put_garbled(MESSAGE_IS_ARRAY, 1, &good, sizeof good - 1);
    put_garbled(MESSAGE_IS_ARRAY, 1, NULL, 0);
    put_garbled(MESSAGE_IS_ARRAY, 0, &good, sizeof good);
    put_garbled(MESSAGE_IS_BLOCK, 0, NULL, 0);
    put_garbled(MESSAGE_IS_BLOCK, 2, NULL, 0);
    put_garbled(MESSAGE_IS_ARRAY, 2, &good, sizeof good);
    put_garbled(MESSAGE_IS_BYTES, 1, "bytes", 5);
    put_garbled(0, 0, NULL, 0);
    put_garbled(5, 0, NULL, 0);
    put_garbled(UINT32_MAX, 1, NULL, 0);
    for (unsigned i = 0; i < 19; i++) {
        CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_CORRUPT);
        CHECK(is_nothing(&received), ==, true);
    }
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_QUEUE_EMPTY);
    CHECK(allocated(), ==, 0);
    unmake();
}

static void an_object_of_python_comes_as_its_pickle(void) {
    make();
    put_garbled(MESSAGE_IS_PICKLE, 1, "pickle", 6);
    CHECK(blockpool_queue_get(queue, 0, &received), ==, BLOCKPOOL_OK);
    CHECK(received.kind, ==, BLOCKPOOL_PICKLE);
    CHECK(received.bytes, ==, 6);
    CHECK(memcmp(received.data, "pickle", 6), ==, 0);
    CHECK(received.blocks, ==, 1);
    CHECK(blockpool_received_block(&received, 0, &again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_block_release(&again), ==, BLOCKPOOL_OK);
    CHECK(blockpool_received_done(&received), ==, BLOCKPOOL_OK);
    unmake();
}

int main(void) {
    process_begin();
    RUN(bytes_are_received);
    RUN(messages_of_all_lengths_are_received);
    RUN(a_block_is_received_without_a_copy);
    RUN(a_receiver_may_keep_the_block);
    RUN(a_block_may_be_in_a_queue_more_than_once);
    RUN(an_array_keeps_its_description);
    RUN(an_array_outside_its_block_is_refused);
    RUN(a_queue_is_found_by_its_name);
    RUN(a_queue_ends_with_its_last_user_unless_it_is_permanent);
    RUN(names_belong_to_a_block_or_to_a_queue);
    RUN(wrong_options_are_refused);
    RUN(null_is_refused);
    RUN(what_was_released_or_is_of_another_pool_is_not_put);
    RUN(a_message_that_is_done_is_told_apart);
    RUN(a_message_that_is_returned_is_received_again);
    RUN(a_full_queue_says_so_at_once_or_in_time);
    RUN(a_full_queue_may_drop_the_oldest);
    RUN(what_can_never_fit_is_refused_at_once);
    RUN(a_queue_that_is_shut_down_is_emptied_first);
    RUN(an_immediate_shutdown_drops_what_is_in_it);
    RUN(a_shutdown_wakes_who_waits);
    RUN(numbers_of_another_process_come_in_order);
    RUN(threads_share_a_queue);
    RUN(a_message_of_the_dead_is_received_again);
    RUN(a_message_of_the_dead_is_dropped_without_redelivery);
    RUN(who_never_waits_receives_the_messages_of_the_dead_too);
    RUN(signals_do_not_end_a_wait);
    RUN(a_forked_child_has_the_queue_but_not_the_messages);
    RUN(a_child_without_a_part_has_no_queue);
    RUN(what_this_process_has_not_taken_is_not_its_to_end);
    RUN(a_garbled_message_is_dropped);
    RUN(an_object_of_python_comes_as_its_pickle);
    CHECK(process_end(), ==, 0);
    return check_end();
}
