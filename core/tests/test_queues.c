/* Tests of queues.c with real processes: names, forks, kills, tickets, waits and watches. */
#include "process.h"

#include <poll.h>
#include <pthread.h>

#include "shared/look.h" /* before the pool that the tests share, which it knows nothing of */

#include "one_pool.h"
#include "shared/queues.h"

#define NOTHING(status) (UINT64_MAX - (uint64_t)(status))

static struct queue queue, second;
static bool was_made;

static const struct queue_request plain = {QUEUE_IS_QUEUE, 4, 0}, redelivering = {QUEUE_IS_QUEUE, 4, QUEUE_REDELIVERS},
                                  permanent = {QUEUE_IS_QUEUE, 4, QUEUE_PERMANENT}, topic = {QUEUE_IS_TOPIC, 2, 0};

static enum pool_status open_in(struct attachment *whose, const char *what, const struct queue_request *request,
                                bool may_make, struct queue *opened) {
    return attachment_queue_open(whose, what, request, may_make, PATIENCE, opened, &was_made, &failure);
}

static void open_new(const struct queue_request *request) {
    CHECK(open_in(&attachment, "q", request, true, &queue), ==, POOL_OK);
    CHECK(was_made, ==, true);
}

static enum pool_status close_in(struct attachment *whose, struct queue *opened) {
    return UNLOCKED(attachment_queue_close(whose, opened));
}

/* A message with a number, which carries the run, if there is one. */
static enum pool_status put_in(struct attachment *whose, struct queue *to, uint64_t number,
                               const struct pool_run *run) {
    struct queue_message message;
    enum pool_status status = attachment_message_begin(whose, to, MESSAGE_IS_BYTES, 1, 8, &message);
    if (status != POOL_OK) {
        return status;
    }
    memcpy(message.bytes, &number, 8);
    if (run) {
        CHECK(attachment_message_carry(whose, to, &message, run), ==, POOL_OK);
    }
    status = attachment_message_put(whose, to, &message);
    if (status != POOL_OK) {
        attachment_message_end(whose, to, &message);
    }
    return status;
}

static enum pool_status put(uint64_t number) { return put_in(&attachment, &queue, number, NULL); }

static uint64_t number_in(const struct queue_message *message) {
    uint64_t number = 0;
    memcpy(&number, message->bytes, 8);
    return number;
}

static uint64_t get_in(struct attachment *whose, struct queue *from) {
    struct queue_message message;
    enum pool_status status = attachment_message_take(whose, from, &message);
    if (status != POOL_OK) {
        return NOTHING(status);
    }
    uint64_t number = number_in(&message);
    attachment_message_end(whose, from, &message);
    return number;
}

static uint64_t get(void) { return get_in(&attachment, &queue); }

/* Nothing is left in the annex. */
static void nothing_left(void) {
    sound();
    CHECK(bitmap_count(&attachment.queues.annex.bitmap), ==, 0);
    CHECK(count(), ==, 0);
}

static void close_and_unmake(void) {
    CHECK(close_in(&attachment, &queue), ==, POOL_OK);
    nothing_left();
    unmake();
}

/* --- names --- */

static void fill_the_queue(void) {
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(open_in(&other, "q", &plain, false, &second), ==, POOL_OK);
    CHECK(was_made, ==, false);
    for (uint64_t n = 0; n < 4; n++) {
        struct pool_run run = allocate_in(&other, 1 + n % 2);
        fill(&other, &run, (int)n);
        CHECK(put_in(&other, &second, n, &run), ==, POOL_OK);
        CHECK(drop_from(&other, &run), ==, false);
    }
    CHECK(put_in(&other, &second, 4, NULL), ==, POOL_QUEUE_FULL);
    end(&other);
}

static void blocks_go_from_one_process_to_another(void) {
    make();
    open_new(&plain);
    CHECK(get(), ==, NOTHING(POOL_QUEUE_EMPTY));
    CHECK(ended(start(fill_the_queue)), ==, 0);
    CHECK(count(), ==, 6); /* though their maker is gone */
    sound();
    for (uint64_t n = 0; n < 4; n++) {
        struct queue_message message;
        struct pool_run run, none;
        CHECK(attachment_message_take(&attachment, &queue, &message), ==, POOL_OK);
        CHECK(number_in(&message), ==, n);
        CHECK(UNLOCKED(attachment_message_hold(&attachment, &message, 0, &run)), ==, POOL_OK);
        CHECK(attachment_message_hold(&attachment, &message, 1, &none), ==, POOL_CORRUPT);
        attachment_message_end(&attachment, &queue, &message);
        CHECK(is_filled(&attachment, &run, (int)n), ==, true);
        CHECK(drop(&run), ==, true);
    }
    close_and_unmake();
}

static void a_name_belongs_to_one_kind(void) {
    enum queue_kind kind;
    make();
    struct pool_run block = allocate(1);
    CHECK(attachment_keep(&attachment, "block", &block, false, PATIENCE, &failure), ==, POOL_OK);
    CHECK(open_in(&attachment, "none", &plain, false, &queue), ==, POOL_NOT_FOUND);
    CHECK(open_in(&attachment, "block", &plain, true, &queue), ==, POOL_OTHER_KIND);
    open_new(&plain);
    CHECK(open_in(&attachment, "q", &topic, true, &second), ==, POOL_OTHER_KIND);
    CHECK(attachment_keep(&attachment, "q", &block, true, PATIENCE, &failure), ==, POOL_OTHER_KIND);
    struct pool_run got;
    CHECK(attachment_get(&attachment, "q", &got), ==, POOL_OTHER_KIND);
    CHECK(attachment_queue_kind(&attachment, "q", &kind), ==, POOL_OK);
    CHECK(kind, ==, QUEUE_IS_QUEUE);
    CHECK(attachment_queue_kind(&attachment, "block", &kind), ==, POOL_OK);
    CHECK(kind, ==, QUEUE_NONE);
    CHECK(attachment_queue_kind(&attachment, "none", &kind), ==, POOL_NOT_FOUND);
    CHECK(attachment_forget(&attachment, "block", PATIENCE, &failure), ==, POOL_OK);
    CHECK(drop(&block), ==, true);
    close_and_unmake();
}

static void a_name_is_free_again_when_its_queue_has_ended(void) {
    enum queue_kind kind;
    make();
    for (unsigned round = 0; round < 3; round++) {
        open_new(round == 1 ? &topic : &plain);
        if (round != 1) {
            CHECK(put(5), ==, POOL_OK);
        }
        CHECK(close_in(&attachment, &queue), ==, POOL_OK);
        CHECK(attachment_queue_kind(&attachment, "q", &kind), ==, POOL_NOT_FOUND);
        CHECK(open_in(&attachment, "q", &plain, false, &second), ==, POOL_NOT_FOUND);
        nothing_left();
    }
    struct queue many[CATALOG_NAMES];
    char what[16];
    for (unsigned round = 0; round < 2; round++) { /* so are all the entries of the catalog */
        for (unsigned i = 0; i < 200; i++) {
            snprintf(what, sizeof what, "q%u-%u", round, i);
            CHECK(open_in(&attachment, what, &plain, true, &many[i]), ==, POOL_OK);
        }
        for (unsigned i = 0; i < 200; i++) {
            CHECK(close_in(&attachment, &many[i]), ==, POOL_OK);
        }
    }
    nothing_left();
    unmake();
}

static void a_queue_without_a_name_and_one_too_large(void) {
    const struct queue_request huge = {QUEUE_IS_QUEUE, QUEUE_MOST_CAPACITY, 0};
    make();
    CHECK(open_in(&attachment, "q", &huge, true, &queue), ==, POOL_EXHAUSTED);
    CHECK(open_in(&attachment, "q", &plain, false, &queue), ==, POOL_NOT_FOUND);
    CHECK(open_in(&attachment, NULL, &plain, true, &queue), ==, POOL_OK);
    CHECK(was_made, ==, true);
    CHECK(open_in(&attachment, NULL, &plain, true, &second), ==, POOL_OK);
    CHECK(put(1), ==, POOL_OK);
    CHECK(get_in(&attachment, &second), ==, NOTHING(POOL_QUEUE_EMPTY));
    CHECK(close_in(&attachment, &second), ==, POOL_OK);
    CHECK(get(), ==, 1);
    close_and_unmake();
}

static void put_into_it_and_leave(void) {
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(open_in(&other, "q", &permanent, true, &second), ==, POOL_OK);
    CHECK(was_made, ==, true);
    CHECK(put_in(&other, &second, 77, NULL), ==, POOL_OK);
    if (told(0)) {
        reach(1);
        stay();
    }
    end(&other);
}

static void a_permanent_queue_stays_until_its_name_is_taken_away(void) {
    for (unsigned killed = 0; killed < 2; killed++) {
        make();
        tell(0, killed);
        pid_t child = start(put_into_it_and_leave);
        if (killed) {
            await(1);
            kill_and_wait(child);
            CHECK(recover(), ==, 1);
        } else {
            CHECK(ended(child), ==, 0);
        }
        CHECK(open_in(&attachment, "q", &permanent, false, &queue), ==, POOL_OK);
        CHECK(get(), ==, 77);
        CHECK(put(78), ==, POOL_OK);
        CHECK(close_in(&attachment, &queue), ==, POOL_OK);
        CHECK(recover(), ==, 0);
        CHECK(open_in(&attachment, "q", &plain, false, &queue), ==, POOL_OK);
        CHECK(queue.flags, ==, QUEUE_PERMANENT);
        CHECK(get(), ==, 78);
        CHECK(put(79), ==, POOL_OK);
        CHECK(attachment_forget(&attachment, "q", PATIENCE, &failure), ==, POOL_OK);
        CHECK(get(), ==, 79); /* who has it open may use it */
        CHECK(put(80), ==, POOL_OK);
        close_and_unmake();
    }
}

/* --- openings --- */

static void the_last_close_ends_the_queue_and_frees_what_it_carries(void) {
    make();
    open_new(&plain);
    CHECK(UNLOCKED(attachment_queue_again(&attachment, &queue)), ==, POOL_OK);
    CHECK(open_in(&attachment, "q", &plain, false, &second), ==, POOL_OK);
    struct pool_run run = allocate(3);
    CHECK(put_in(&attachment, &queue, 0, &run), ==, POOL_OK);
    CHECK(put_in(&attachment, &queue, 1, &run), ==, POOL_OK); /* with a ticket */
    CHECK(drop(&run), ==, false);
    CHECK(close_in(&attachment, &queue), ==, POOL_OK);
    CHECK(close_in(&attachment, &queue), ==, POOL_OK);
    sound();
    CHECK(count(), ==, 3);
    CHECK(get_in(&attachment, &second), ==, 0);
    CHECK(count(), ==, 3);
    CHECK(close_in(&attachment, &second), ==, POOL_OK);
    nothing_left();
    unmake();
}

static void open_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(open_in(&other, "q", &plain, false, &second), ==, POOL_OK);
    reach(1);
    stay();
}

static void a_queue_ends_with_the_death_of_the_last_who_had_it_open(void) {
    make();
    open_new(&plain);
    struct pool_run run = allocate(2);
    pid_t child = start(open_and_stay);
    await(1);
    CHECK(put_in(&attachment, &queue, 0, &run), ==, POOL_OK);
    CHECK(drop(&run), ==, false);
    CHECK(close_in(&attachment, &queue), ==, POOL_OK);
    CHECK(count(), ==, 2);
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    nothing_left();
    unmake();
}

static void redeem_the_told(void) {
    struct pool_run run = told_run(0);
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(UNLOCKED(attachment_queue_redeem(&other, &run, &second)), ==, POOL_OK);
    CHECK(get_in(&other, &second), ==, 9);
    end(&other);
}

static void a_reference_in_flight_keeps_a_queue(void) {
    make();
    CHECK(open_in(&attachment, NULL, &plain, true, &queue), ==, POOL_OK);
    CHECK(attachment_queue_withdraw(&attachment, &queue), ==, false);
    CHECK(attachment_queue_share(&attachment, &queue), ==, POOL_OK);
    CHECK(attachment_queue_withdraw(&attachment, &queue), ==, true);
    CHECK(put(9), ==, POOL_OK);
    CHECK(attachment_queue_share(&attachment, &queue), ==, POOL_OK);
    struct pool_run run = queue.run;
    tell_run(0, &run);
    CHECK(close_in(&attachment, &queue), ==, POOL_OK);
    CHECK(bitmap_count(&attachment.queues.annex.bitmap), >, 0);
    CHECK(ended(start(redeem_the_told)), ==, 0);
    nothing_left();
    CHECK(UNLOCKED(attachment_queue_redeem(&attachment, &run, &second)), ==, POOL_STALE);
    CHECK(open_in(&attachment, NULL, &plain, true, &queue), ==, POOL_OK); /* one that nobody redeems */
    CHECK(put(9), ==, POOL_OK);
    CHECK(attachment_queue_share(&attachment, &queue), ==, POOL_OK);
    CHECK(close_in(&attachment, &queue), ==, POOL_OK);
    CHECK(drop_tickets(1000), ==, 0);
    CHECK(drop_tickets(0), ==, 1);
    nothing_left();
    unmake();
}

static void what_is_no_queue_cannot_be_redeemed_as_one(void) {
    make();
    open_new(&plain);
    struct queue_message message;
    CHECK(attachment_message_begin(&attachment, &queue, MESSAGE_IS_BYTES, 0, 8, &message), ==, POOL_OK);
    struct pool_run runs[] = {message.run,
                              {message.run.index, 1, message.run.generation + 1},
                              {UINT64_MAX, 1, 1},
                              {attachment.geometry.small_blocks, 1, 1},
                              {0, 1, 77}};
    for (unsigned i = 0; i < 5; i++) {
        CHECK(UNLOCKED(attachment_queue_redeem(&attachment, &runs[i], &second)), ==, i ? POOL_STALE : POOL_CORRUPT);
    }
    attachment_message_end(&attachment, &queue, &message);
    close_and_unmake();
}

/* --- deaths --- */

static void take_two_and_stay(void) {
    struct queue_message message;
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(open_in(&other, "q", &redelivering, false, &second), ==, POOL_OK);
    for (uint64_t n = 0; n < 2; n++) {
        CHECK(attachment_message_take(&other, &second, &message), ==, POOL_OK);
        CHECK(number_in(&message), ==, n);
    }
    if (told(0)) {
        attachment_message_return(&other, &second, &message);
        end(&other); /* with the first one in its hands */
        return;
    }
    reach(1);
    stay();
}

static void what_a_dead_receiver_had_comes_again_or_ends(void) {
    for (unsigned how = 0; how < 4; how++) {
        bool again = how & 1, leaves = how & 2;
        make();
        open_new(again ? &redelivering : &plain);
        struct pool_run run = allocate(2), got;
        tell(0, leaves);
        for (uint64_t n = 0; n < 3; n++) {
            CHECK(put_in(&attachment, &queue, n, n == 0 ? &run : NULL), ==, POOL_OK);
        }
        CHECK(drop(&run), ==, false);
        pid_t child = start(take_two_and_stay);
        if (leaves) {
            CHECK(ended(child), ==, 0);
        } else {
            await(1);
            uint64_t waiting, taken;
            attachment_queue_count(&attachment, &queue, &waiting, &taken);
            CHECK(waiting, ==, 1);
            CHECK(taken, ==, 2);
            CHECK(recover(), ==, 0); /* it lives */
            attachment_queue_count(&attachment, &queue, &waiting, &taken);
            CHECK(taken, ==, 2);
            kill_and_wait(child);
            CHECK(recover(), ==, 1);
        }
        sound();
        CHECK(count(), ==, again ? 2 : 0);
        struct queue_message message;
        if (again) {
            CHECK(attachment_message_take(&attachment, &queue, &message), ==, POOL_OK);
            CHECK(number_in(&message), ==, 0);
            CHECK(message.again, ==, true);
            CHECK(UNLOCKED(attachment_message_hold(&attachment, &message, 0, &got)), ==, POOL_OK);
            attachment_message_end(&attachment, &queue, &message);
            CHECK(drop(&got), ==, true);
            CHECK(get(), ==, 1);
        }
        CHECK(get(), ==, 2);
        CHECK(get(), ==, NOTHING(POOL_QUEUE_EMPTY));
        close_and_unmake();
    }
}

static void begin_one_and_stay(void) {
    struct queue_message message;
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(open_in(&other, "q", &plain, false, &second), ==, POOL_OK);
    struct pool_run run = allocate_in(&other, 4);
    CHECK(put_in(&other, &second, 5, &run), ==, POOL_OK);
    CHECK(attachment_message_begin(&other, &second, MESSAGE_IS_BYTES, 2, 3000, &message), ==, POOL_OK);
    CHECK(attachment_message_carry(&other, &second, &message, &run), ==, POOL_OK);
    struct pool_run alone = allocate_in(&other, 3);
    CHECK(attachment_message_carry(&other, &second, &message, &alone), ==, POOL_OK);
    reach(1);
    stay();
}

static void of_a_dead_sender_what_it_has_put_stays_and_nothing_else(void) {
    make();
    open_new(&plain);
    pid_t child = start(begin_one_and_stay);
    await(1);
    sound();
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    sound();
    CHECK(count(), ==, 4);
    CHECK(bitmap_count(&attachment.queues.annex.bitmap), ==, queue.run.blocks + 1);
    CHECK(get(), ==, 5);
    close_and_unmake();
}

/* Senders and receivers, killed at any moment. */
#define MESSAGES 3000u
#define AT_WORK 4u
static atomic_half *seen; /* how often each was received */

static void send_all(void) {
    uint64_t from = told(1);
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(open_in(&other, "q", &redelivering, false, &second), ==, POOL_OK);
    for (uint64_t n = from; n < from + MESSAGES / 2;) {
        struct pool_run run = {BITMAP_NONE, 0, 0};
        bool with = n % 3 == 0 && attachment_allocate(&other, 1, 0, &run) == POOL_OK;
        uint32_t sequence = attachment_queue_sequence(&other, &second, QUEUE_WRITABLE);
        enum pool_status status = put_in(&other, &second, n, with ? &run : NULL);
        if (with) {
            (void)drop_from(&other, &run);
        }
        if (status == POOL_OK) {
            n++;
        } else {
            CHECK(status == POOL_QUEUE_FULL || status == POOL_EXHAUSTED, ==, true);
            attachment_queue_sleep(&other, &second, QUEUE_WRITABLE, sequence, 0.05);
        }
    }
    end(&other);
}

static void receive_for_ever(void) {
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(open_in(&other, "q", &redelivering, false, &second), ==, POOL_OK);
    for (;;) {
        struct queue_message message;
        uint32_t sequence = attachment_queue_sequence(&other, &second, QUEUE_READABLE);
        enum pool_status status = attachment_message_take(&other, &second, &message);
        if (status == POOL_OK) {
            half_fetch_add_seq(&seen[number_in(&message)], 1);
            attachment_message_end(&other, &second, &message);
        } else if (status == POOL_QUEUE_EMPTY) {
            attachment_queue_sleep(&other, &second, QUEUE_READABLE, sequence, 0.05);
        } else {
            CHECK(status, ==, POOL_QUEUE_SHUT);
            break;
        }
    }
    end(&other);
}

static void killed_receivers_lose_no_message_and_double_none_but_as_promised(void) {
    for (unsigned again = 0; again < 2; again++) {
        make();
        seen = mmap(NULL, MESSAGES * sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        open_new(again ? &redelivering : &plain);
        pid_t senders[2], receivers[2];
        for (unsigned i = 0; i < 2; i++) {
            tell(1, i * MESSAGES / 2);
            senders[i] = start(send_all);
            receivers[i] = start(receive_for_ever);
            os_sleep(0.02); /* until it has read where to begin */
        }
        unsigned kills = 0;
        struct attachment look;
        struct os_file file;
        struct shared_pool_fault fault;
        struct shared_pool_audit audit;
        CHECK(look_open(&look, name, &file, &failure), ==, POOL_OK);
        while (kills < 40) {
            /* neither a look nor an audit finds a fault while they work */
            for (double until = os_now() + 0.002 + (double)check_below(8) * 0.001; os_now() < until;) {
                look_check(&look, &fault, 1, &audit);
                CHECK(audit.faults, ==, 0);
                if (audit.faults) {
                    printf("  a look: kind %d at %llu\n", (int)fault.kind, (unsigned long long)fault.index);
                }
            }
            sound();
            kill_and_wait(receivers[kills % 2]);
            (void)recover();
            receivers[kills % 2] = start(receive_for_ever);
            kills++;
        }
        CHECK(ended(senders[0]), ==, 0);
        CHECK(ended(senders[1]), ==, 0);
        end(&look);
        uint64_t waiting = 1, taken = 1;
        CHECK(SOON((attachment_queue_count(&attachment, &queue, &waiting, &taken), waiting + taken == 0)), ==, true);
        attachment_queue_shut(&attachment, &queue, false);
        CHECK(ended(receivers[0]), ==, 0);
        CHECK(ended(receivers[1]), ==, 0);
        uint64_t lost = 0, doubled = 0;
        for (unsigned n = 0; n < MESSAGES; n++) {
            lost += half_load_seq(&seen[n]) == 0;
            doubled += half_load_seq(&seen[n]) > 1;
        }
        CHECK(lost, <=, again ? 0 : kills);
        CHECK(doubled, <=, again ? kills : 0);
        (void)drop_tickets(0);
        munmap(seen, MESSAGES * sizeof *seen);
        close_and_unmake();
    }
}

/* --- threads --- */

#define THREADS 4u
#define EACH 400u

static atomic_word sent_sum, received, overtaken;

static void *send_some(void *argument) {
    uint64_t from = (uint64_t)(uintptr_t)argument * EACH;
    for (uint64_t n = from; n < from + EACH;) {
        struct queue_message message;
        struct pool_run run = {BITMAP_NONE, 0, 0};
        bool freed, with = n % 2 && UNLOCKED(attachment_allocate(&attachment, 1, 0, &run)) == POOL_OK;
        CHECK(attachment_message_begin(&attachment, &queue, MESSAGE_IS_BYTES, 1, 8, &message), ==, POOL_OK);
        memcpy(message.bytes, &n, 8);
        if (with) {
            CHECK(attachment_message_carry(&attachment, &queue, &message, &run), ==, POOL_OK);
            CHECK(UNLOCKED(attachment_drop(&attachment, &run, &freed)), ==, POOL_OK);
        }
        enum pool_status status = attachment_message_put(&attachment, &queue, &message);
        if (status == POOL_QUEUE_FULL && n % 5 == 0) {
            attachment_queue_drop_oldest(&attachment, &queue, &message);
            status = attachment_message_put(&attachment, &queue, &message);
        }
        if (status == POOL_OK) {
            (void)fetch_add_seq(&sent_sum, 1);
            n++;
        } else {
            CHECK(status, ==, POOL_QUEUE_FULL);
            attachment_message_end(&attachment, &queue, &message);
            os_yield();
        }
    }
    return NULL;
}

static void *receive_some(void *argument) {
    uint64_t last[THREADS] = {0}; /* of each sender, one up */
    (void)argument;
    for (;;) {
        struct queue_message message;
        struct pool_run run;
        bool freed;
        enum pool_status status = attachment_message_take(&attachment, &queue, &message);
        if (status == POOL_QUEUE_SHUT) {
            return NULL;
        }
        if (status != POOL_OK) {
            CHECK(status, ==, POOL_QUEUE_EMPTY);
            os_yield();
            continue;
        }
        uint64_t number = number_in(&message);
        (void)fetch_add_seq(&overtaken, number < last[number / EACH]);
        last[number / EACH] = number + 1;
        if (message.count) {
            CHECK(UNLOCKED(attachment_message_hold(&attachment, &message, 0, &run)), ==, POOL_OK);
        }
        bool has = message.count;
        attachment_message_end(&attachment, &queue, &message);
        if (has) {
            CHECK(UNLOCKED(attachment_drop(&attachment, &run, &freed)), ==, POOL_OK);
            CHECK(freed, ==, true);
        }
        (void)fetch_add_seq(&received, 1);
    }
}

static void threads_share_a_queue(void) {
    pthread_t senders[THREADS], receivers[THREADS];
    make();
    open_new(&redelivering);
    store_seq(&sent_sum, 0);
    store_seq(&received, 0);
    store_seq(&overtaken, 0);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_create(&senders[i], NULL, send_some, (void *)(uintptr_t)i);
        pthread_create(&receivers[i], NULL, receive_some, NULL);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(senders[i], NULL);
    }
    attachment_queue_shut(&attachment, &queue, false);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(receivers[i], NULL);
    }
    CHECK(load_seq(&sent_sum), ==, THREADS * EACH);
    CHECK(load_seq(&received) + load_seq(&queue.header->lost), ==, THREADS * EACH);
    CHECK(load_seq(&overtaken), ==, 0);
    close_and_unmake();
}

/* --- forks --- */

static struct queue_message held_message;

static void in_a_child_with_a_part(void) {
    attachment_message_end(&attachment, &queue, &held_message); /* its parent's */
    CHECK(get(), ==, 1);
    CHECK(put(2), ==, POOL_OK);
    CHECK(close_in(&attachment, &queue), ==, POOL_OK);
    end(&attachment);
}

static void a_forked_child_has_the_queues_and_not_the_messages(void) {
    make();
    CHECK(open_in(&attachment, NULL, &redelivering, true, &queue), ==, POOL_OK);
    CHECK(put(0), ==, POOL_OK);
    CHECK(put(1), ==, POOL_OK);
    CHECK(attachment_message_take(&attachment, &queue, &held_message), ==, POOL_OK);
    CHECK(ended(fork_with(ON_FORK_SHARE, in_a_child_with_a_part)), ==, 0);
    uint64_t waiting, taken;
    attachment_queue_count(&attachment, &queue, &waiting, &taken);
    CHECK(waiting, ==, 1);
    CHECK(taken, ==, 1);
    attachment_message_end(&attachment, &queue, &held_message);
    CHECK(get(), ==, 2);
    close_and_unmake();
}

static void in_a_stray_child(void) {
    uint64_t waiting = 9, taken = 9, position = 0, lost = 0;
    struct queue_message message;
    struct pool_run run = queue.run;
    enum queue_kind kind;
    unsigned cursor;
    CHECK(put(1), ==, POOL_STRAY);
    CHECK(attachment_message_take(&attachment, &queue, &message), ==, POOL_STRAY);
    CHECK(attachment_message_read(&attachment, &queue, &position, &lost, &message), ==, POOL_STRAY);
    CHECK(attachment_message_hold(&attachment, &held_message, 0, &run), ==, POOL_STRAY);
    CHECK(open_in(&attachment, "q", &plain, true, &second), ==, POOL_STRAY);
    CHECK(open_in(&attachment, NULL, &plain, true, &second), ==, POOL_STRAY);
    CHECK(attachment_queue_redeem(&attachment, &run, &second), ==, POOL_STRAY);
    CHECK(attachment_queue_again(&attachment, &queue), ==, POOL_STRAY);
    CHECK(attachment_queue_share(&attachment, &queue), ==, POOL_STRAY);
    CHECK(attachment_queue_withdraw(&attachment, &queue), ==, false);
    CHECK(attachment_queue_close(&attachment, &queue), ==, POOL_STRAY);
    CHECK(attachment_queue_kind(&attachment, "q", &kind), ==, POOL_STRAY);
    CHECK(attachment_queue_subscribe(&attachment, &queue, &cursor, &position), ==, POOL_STRAY);
    attachment_queue_count(&attachment, &queue, &waiting, &taken);
    CHECK(waiting + taken, ==, 0);
    attachment_message_end(&attachment, &queue, &held_message);
    attachment_message_return(&attachment, &queue, &held_message);
    attachment_queue_drop_oldest(&attachment, &queue, &held_message);
    attachment_queue_shut(&attachment, &queue, true);
    attachment_queue_sleep(&attachment, &queue, QUEUE_READABLE,
                           attachment_queue_sequence(&attachment, &queue, QUEUE_READABLE), 10);
    attachment_queue_watch(&attachment, &queue);
    CHECK(attachment_queue_spin(&attachment, &queue, QUEUE_READABLE, 10), ==, true);
    CHECK(attachment_watch(&attachment), <, 0);
    end(&attachment);
}

static void a_stray_child_changes_nothing(void) {
    make();
    open_new(&redelivering);
    CHECK(put(0), ==, POOL_OK);
    CHECK(put(1), ==, POOL_OK);
    CHECK(attachment_message_take(&attachment, &queue, &held_message), ==, POOL_OK);
    CHECK(ended(fork_with(ON_FORK_DETACH, in_a_stray_child)), ==, 0);
    uint64_t waiting, taken;
    attachment_queue_count(&attachment, &queue, &waiting, &taken);
    CHECK(waiting, ==, 1);
    CHECK(taken, ==, 1);
    attachment_message_end(&attachment, &queue, &held_message);
    CHECK(get(), ==, 1);
    close_and_unmake();
}

/* --- topics --- */

static enum pool_status read_in(struct attachment *whose, struct queue *from, uint64_t *position, uint64_t *lost,
                                uint64_t *number) {
    struct queue_message message;
    enum pool_status status = UNLOCKED(attachment_message_read(whose, from, position, lost, &message));
    if (status == POOL_OK) {
        *number = number_in(&message);
        attachment_message_close(whose, &message);
        ++*position;
    }
    return status;
}

static void subscribe_and_stay(void) {
    unsigned cursor;
    uint64_t position;
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(open_in(&other, "q", &topic, false, &second), ==, POOL_OK);
    CHECK(attachment_queue_subscribe(&other, &second, &cursor, &position), ==, POOL_OK);
    CHECK(position, ==, 0);
    reach(1);
    stay();
}

static void a_reader_that_dies_holds_no_publisher_up(void) {
    uint64_t position = 0, lost = 0, number = 0;
    make();
    open_new(&topic);
    pid_t child = start(subscribe_and_stay);
    await(1);
    CHECK(put(0), ==, POOL_OK);
    CHECK(put(1), ==, POOL_OK);
    CHECK(put(2), ==, POOL_QUEUE_FULL);
    kill_and_wait(child);
    CHECK(put(2), ==, POOL_QUEUE_FULL);
    CHECK(recover(), ==, 1);
    CHECK(put(2), ==, POOL_OK);
    CHECK(read_in(&attachment, &queue, &position, &lost, &number), ==, POOL_OK);
    CHECK(number, ==, 1);
    CHECK(lost, ==, 1);
    close_and_unmake();
}

static void two_readers_of_a_process_hold_a_message_each(void) {
    uint64_t positions[2] = {0, 0}, lost = 0;
    struct queue_message messages[2];
    struct pool_run run, got;
    make();
    run = allocate(1);
    open_new(&topic);
    CHECK(put_in(&attachment, &queue, 5, &run), ==, POOL_OK);
    CHECK(drop(&run), ==, false);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(UNLOCKED(attachment_message_read(&attachment, &queue, &positions[i], &lost, &messages[i])), ==, POOL_OK);
    }
    CHECK(UNLOCKED(attachment_message_hold(&attachment, &messages[0], 0, &got)), ==, POOL_OK);
    attachment_message_close(&attachment, &messages[0]);
    for (uint64_t n = 0; n < 6; n++) {
        CHECK(put(n), ==, POOL_OK);
    }
    CHECK(number_in(&messages[1]), ==, 5); /* though it has ended */
    CHECK(drop(&got), ==, true);
    CHECK(UNLOCKED(attachment_message_hold(&attachment, &messages[1], 0, &got)), ==, POOL_STALE);
    attachment_message_close(&attachment, &messages[1]);
    close_and_unmake();
}

/* --- the audit --- */

static bool has_fault(const struct shared_pool_fault *faults, uint64_t count, enum shared_pool_fault_kind kind,
                      uint64_t index) {
    bool has = false;
    for (uint64_t i = 0; i < count && i < 4; i++) {
        has |= faults[i].kind == kind && faults[i].index == index;
    }
    return has;
}

/* Both audits find it. */
static void found(const struct attachment *look, enum shared_pool_fault_kind kind, uint64_t index) {
    struct shared_pool_fault faults[4];
    struct shared_pool_audit audit;
    CHECK(attachment_check(&attachment, PATIENCE, faults, 4, &audit, &failure), ==, POOL_OK);
    CHECK(has_fault(faults, audit.faults, kind, index), ==, true);
    look_check(look, faults, 4, &audit);
    CHECK(has_fault(faults, audit.faults, kind, index), ==, true);
}

static void the_audits_of_a_pool_look_at_queues_too(void) {
    struct attachment look;
    struct os_file file;
    struct queue_message message;
    make();
    open_new(&plain);
    struct pool_run run = allocate(2);
    for (uint64_t n = 0; n < 2; n++) {
        CHECK(put_in(&attachment, &queue, n, n ? &run : NULL), ==, POOL_OK);
    }
    CHECK(attachment_message_take(&attachment, &queue, &message), ==, POOL_OK);
    CHECK(look_open(&look, name, &file, &failure), ==, POOL_OK);
    sound();
    struct {
        atomic_word *word;
        uint64_t value;
        enum shared_pool_fault_kind kind;
        uint64_t index;
    } plants[] = {
        {&shared_pool_entry(&attachment.shared, run.index)->message, 0, SHARED_POOL_FAULT_CARRIED, run.index},
        {&shared_pool_entry(&attachment.queues.annex, 500)->head, 3, SHARED_POOL_FAULT_ANNEX, 500},
        {(atomic_word *)&queue.header->capacity, 0, SHARED_POOL_FAULT_QUEUE, queue.run.index},
        {&queue.cells[3], 3, SHARED_POOL_FAULT_CELL, queue.run.index},
        {&shared_pool_entry(&attachment.queues.annex, message.run.index)->message,
         message_word(MESSAGE_TAKEN, 7, message.run.generation), SHARED_POOL_FAULT_MESSAGE, message.run.index},
    };
    for (unsigned i = 0; i < sizeof plants / sizeof *plants; i++) {
        uint64_t was = load_seq(plants[i].word);
        store_seq(plants[i].word, plants[i].value);
        found(&look, plants[i].kind, plants[i].index);
        store_seq(plants[i].word, was);
        (void)bitmap_release(&attachment.queues.annex.bitmap, 500); /* healing has set it */
        sound();
    }
    end(&look);
    attachment_message_end(&attachment, &queue, &message);
    CHECK(get(), ==, 1);
    CHECK(drop(&run), ==, true);
    close_and_unmake();
}

/* --- waiting --- */

static void put_later(void) {
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(open_in(&other, "q", &plain, false, &second), ==, POOL_OK);
    await(1);
    os_sleep(0.05);
    CHECK(put_in(&other, &second, 3, NULL), ==, POOL_OK);
    await(2);
    os_sleep(0.05);
    CHECK(get_in(&other, &second), ==, 3);
    end(&other);
}

static void who_waits_is_woken_by_another_process(void) {
    make();
    open_new(&plain);
    pid_t child = start(put_later);
    double began = os_now();
    struct queue_message message;
    reach(1);
    for (unsigned tries = 0;; tries++) {
        uint32_t sequence = attachment_queue_sequence(&attachment, &queue, QUEUE_READABLE);
        uint64_t waiting, taken;
        attachment_queue_count(&attachment, &queue, &waiting, &taken);
        if (waiting || tries > 1000) {
            break;
        }
        attachment_queue_sleep(&attachment, &queue, QUEUE_READABLE, sequence, 1000);
    }
    CHECK(attachment_queue_spin(&attachment, &queue, QUEUE_READABLE, 0), ==, true);
    for (uint64_t n = 0; n < 3; n++) {
        CHECK(put(n), ==, POOL_OK);
    }
    CHECK(attachment_queue_spin(&attachment, &queue, QUEUE_WRITABLE, 0.001), ==, false);
    CHECK(attachment_message_begin(&attachment, &queue, MESSAGE_IS_BYTES, 0, 8, &message), ==, POOL_OK);
    reach(2);
    for (unsigned tries = 0; tries < 1000; tries++) {
        uint32_t sequence = attachment_queue_sequence(&attachment, &queue, QUEUE_WRITABLE);
        if (attachment_message_put(&attachment, &queue, &message) == POOL_OK) {
            break;
        }
        attachment_queue_sleep(&attachment, &queue, QUEUE_WRITABLE, sequence, 1000);
    }
    CHECK(ended(child), ==, 0);
    CHECK(os_now() - began < 500, ==, true);
    close_and_unmake();
}

static bool is_readable(int watch, int milliseconds) {
    struct pollfd poller = {watch, POLLIN, 0};
    return poll(&poller, 1, milliseconds) == 1 && poller.revents & POLLIN;
}

static void empty_watch(int watch) {
    char bytes[4096];
    while (read(watch, bytes, sizeof bytes) > 0) {
    }
}

static void put_when_told(void) { /* of a fork: it has the pool and the queue already */
    for (uint32_t step = 1; step <= 3; step++) {
        await(step);
        CHECK(put(step), ==, POOL_OK);
    }
    end(&attachment);
}

static void a_watch_tells_of_the_next_message(void) {
    for (unsigned named = 0; named < 2; named++) {
        if (named) {
            make();
        } else {
            struct attachment_request request = {
                .block_size = BLOCK, .blocks = BLOCKS, .processes = PROCESSES, .gate_seconds = PATIENCE};
            CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
        }
        CHECK(open_in(&attachment, NULL, &plain, true, &queue), ==, POOL_OK);
        reach(0);
        pid_t child = fork_with(ON_FORK_SHARE, put_when_told);
        int watch = attachment_watch(&attachment);
        CHECK(watch >= 0, ==, true);
        empty_watch(watch);
        CHECK(is_readable(watch, 0), ==, false);
        reach(1); /* nobody asked to be told */
        CHECK(SOON(attachment_queue_spin(&attachment, &queue, QUEUE_READABLE, 0.01)), ==, true);
        CHECK(get(), ==, 1);
        CHECK(is_readable(watch, 20), ==, false);
        attachment_queue_watch(&attachment, &queue);
        CHECK(get(), ==, NOTHING(POOL_QUEUE_EMPTY));
        CHECK(is_readable(watch, 0), ==, false);
        reach(2);
        CHECK(is_readable(watch, 60000), ==, true);
        CHECK(SOON(attachment_queue_spin(&attachment, &queue, QUEUE_READABLE, 0.01)), ==, true);
        CHECK(get(), ==, 2);
        empty_watch(watch);
        reach(3); /* told once */
        CHECK(SOON(attachment_queue_spin(&attachment, &queue, QUEUE_READABLE, 0.01)), ==, true);
        CHECK(is_readable(watch, 20), ==, false);
        CHECK(ended(child), ==, 0);
        attachment_queue_watch(&attachment, &queue); /* this process itself */
        CHECK(get(), ==, 3);
        CHECK(put(4), ==, POOL_OK);
        CHECK(is_readable(watch, 0), ==, true);
        empty_watch(watch);
        attachment_queue_watch(&attachment, &queue);
        attachment_queue_shut(&attachment, &queue, false);
        CHECK(is_readable(watch, 0), ==, true);
        os_close(watch);
        if (named) {
            close_and_unmake();
        } else {
            CHECK(close_in(&attachment, &queue), ==, POOL_OK);
            nothing_left();
            end(&attachment);
        }
    }
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    process_begin();
    RUN(blocks_go_from_one_process_to_another);
    RUN(a_name_belongs_to_one_kind);
    RUN(a_name_is_free_again_when_its_queue_has_ended);
    RUN(a_queue_without_a_name_and_one_too_large);
    RUN(a_permanent_queue_stays_until_its_name_is_taken_away);
    RUN(the_last_close_ends_the_queue_and_frees_what_it_carries);
    RUN(a_queue_ends_with_the_death_of_the_last_who_had_it_open);
    RUN(a_reference_in_flight_keeps_a_queue);
    RUN(what_is_no_queue_cannot_be_redeemed_as_one);
    RUN(what_a_dead_receiver_had_comes_again_or_ends);
    RUN(of_a_dead_sender_what_it_has_put_stays_and_nothing_else);
    RUN(killed_receivers_lose_no_message_and_double_none_but_as_promised);
    RUN(threads_share_a_queue);
    RUN(a_forked_child_has_the_queues_and_not_the_messages);
    RUN(a_stray_child_changes_nothing);
    RUN(a_reader_that_dies_holds_no_publisher_up);
    RUN(two_readers_of_a_process_hold_a_message_each);
    RUN(the_audits_of_a_pool_look_at_queues_too);
    RUN(who_waits_is_woken_by_another_process);
    RUN(a_watch_tells_of_the_next_message);
    CHECK(process_end(), ==, 0);
    return check_end();
}
