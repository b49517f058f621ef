/* queue_scenarios.c: senders, receivers and readers of a queue, topic or latest value meet, and any of them dies; what
 * must hold is in queue_witness.h. Processes 0 to 3 are logical threads.
 */
#include "queue_witness.h"
#include "scenarios.h"

#define ALL EVERYBODY
#define P(process) (1u << (process))

static unsigned letters[4]; /* one for each process, made before it begins */
static unsigned run;

/* What a schedule begins with is made once, and then copied. */
#define SET_UP(name, ...)                                                                                              \
    static void name(void) {                                                                                           \
        if (!letters_restore(name)) {                                                                                  \
            __VA_ARGS__                                                                                                \
            letters_keep(name);                                                                                        \
        }                                                                                                              \
    }

static void begin(uint64_t capacity, unsigned flags, unsigned before) {
    letters_begin(&(struct queue_request){QUEUE_IS_QUEUE, capacity, flags}, ALL, before);
}

static void begin_topic(uint64_t history, unsigned before) {
    letters_begin(&(struct queue_request){QUEUE_IS_TOPIC, history, 0}, ALL, before);
}

static void begin_latest(unsigned before) {
    letters_begin(&(struct queue_request){QUEUE_IS_LATEST, 1, 0}, ALL, before);
}

static void make(unsigned process, unsigned runs) { letters[process] = letters_made(process, runs); }

static void put(void) { (void)process_put_or_end(letters[explore_thread()]); }

static void receive_twice(void) {
    (void)process_receive();
    (void)process_receive();
}

/* --- put beside take --- */

SET_UP(one_for_0, begin(1, 0, 0); make(0, 0);)
SET_UP(one_for_0_third_lap, begin(1, 0, 5); make(0, 0);)
SET_UP(one_each, begin(2, 0, 0); make(0, 0); make(1, 0);)
SET_UP(one_each_wrapped, begin(2, 0, 1); make(0, 0); make(1, 0);)
SET_UP(one_each_one_in, begin(2, 0, 3); (void)letters_put(RESIDENT, 0); make(0, 0); make(1, 0);)
SET_UP(one_each_of_1, begin(1, 0, 1); make(0, 0); make(1, 0);)
SET_UP(one_each_full_1, begin(1, 0, 1); (void)letters_put(RESIDENT, 0); make(0, 0); make(1, 0);)
SET_UP(one_each_full_2, begin(2, 0, 1); (void)letters_put(RESIDENT, 0); (void)letters_put(RESIDENT, 0); make(0, 0);
       make(1, 0);)
SET_UP(one_each_full_3, begin(3, 0, 2); (void)letters_put(RESIDENT, 0); (void)letters_put(RESIDENT, 0);
       (void)letters_put(RESIDENT, 0); make(0, 0); make(1, 0);)
SET_UP(two_in, begin(2, 0, 0); (void)letters_put(RESIDENT, 0); (void)letters_put(RESIDENT, 0); make(0, 0);)
SET_UP(two_in_redeliver, begin(2, QUEUE_REDELIVERS, 0); (void)letters_put(RESIDENT, 0); (void)letters_put(RESIDENT, 0);
       make(0, 0);)
SET_UP(one_in, begin(1, 0, 1); (void)letters_put(RESIDENT, 0);)
SET_UP(one_in_redeliver, begin(1, QUEUE_REDELIVERS, 1); (void)letters_put(RESIDENT, 0); make(0, 0); make(2, 0);)
SET_UP(empty_2, begin(2, 0, 1);)

static void put_or_receive(unsigned thread) {
    if (thread == 0) {
        put();
    } else {
        (void)process_receive();
    }
}

static void two_put_one_receives(unsigned thread) {
    if (thread < 2) {
        put();
    } else {
        receive_twice();
    }
}

static void two_put_two_take(unsigned thread) {
    if (thread < 2) {
        put();
    } else {
        (void)process_take();
    }
}

static void all_receive(unsigned thread) {
    (void)thread;
    (void)process_receive();
}

/* Puts, makes another one and puts it. */
static void send_twice_or_take(unsigned thread) {
    if (thread == 0) {
        (void)process_send(0);
        (void)process_send(0);
    } else {
        (void)process_take();
        (void)process_take();
    }
}

/* Blocks of letters are used again while somebody looks at the cells they were in. */
static void send_three_or_receive(unsigned thread) {
    if (thread == 0) {
        (void)process_send(0);
        (void)process_send(0);
        (void)process_send(0);
    } else {
        (void)process_receive();
    }
}

static void send_and_receive(unsigned thread) {
    if (thread < 2) {
        (void)process_send(0);
    } else {
        (void)process_receive();
    }
}

/* --- full --- */

/* overflow="drop_oldest" */
static void put_and_drop(void) {
    unsigned me = explore_thread();
    for (unsigned tries = 0; !process_put(letters[me]); tries++) {
        process_drop_oldest(letters[me]);
        if (tries == 8) {
            explore_fail("process %u finds no room, whatever it drops", me);
        }
    }
}

static void drop_or_take_or_put(unsigned thread) {
    if (thread == 0) {
        put_and_drop();
    } else if (thread == 1) {
        put();
    } else {
        (void)process_take();
    }
}

static void make_room(unsigned thread) {
    if (thread < 2) {
        put_and_drop();
    } else {
        (void)process_take();
    }
}

/* --- sleeping --- */

static void wait_or_put(unsigned thread) {
    if (thread == 0) {
        put();
    } else {
        (void)process_wait_take();
    }
}

static void two_wait_two_put(unsigned thread) {
    if (thread < 2) {
        put();
    } else {
        (void)process_wait_take();
    }
}

static void wait_for_room(unsigned thread) {
    if (thread < 2) {
        process_wait_put(letters[thread]);
    } else {
        (void)process_take();
    }
}

/* Both ends sleep. */
static void wait_on_both_sides(unsigned thread) {
    if (thread < 2) {
        process_wait_put(letters[thread]);
    } else {
        unsigned letter = process_wait_take();
        if (letter != NO_LETTER) {
            process_end(letter);
        }
    }
}

/* 0 may die between what it puts and the wake; 1 puts when it is gone: so 2 does not sleep through that. */
static void wait_beside_the_dead(unsigned thread) {
    if (thread == 0) {
        put();
    } else if (thread == 1) {
        (void)explore_join(0);
        put();
    } else {
        (void)process_wait_take();
    }
}

/* --- runs --- */

SET_UP(one_with_run, begin(1, 0, 0); run = letters_run(P(0)); make(0, 1);)
SET_UP(run_of_0, begin(1, 0, 0); run = letters_run(P(0));)
SET_UP(run_of_1_and_2, begin(2, 0, 0); run = letters_run(P(1) | P(2));)
SET_UP(run_of_two, begin(2, 0, 0); run = letters_run(P(0) | P(1));)
SET_UP(two_with_run_in, begin(2, 0, 0); run = letters_run(P(0)); (void)letters_put(0, 1); (void)letters_put(0, 1);
       make(1, 0);)
SET_UP(three_with_run_in, begin(4, 0, 0); run = letters_run(P(0)); (void)letters_put(0, 1); (void)letters_put(0, 1);
       (void)letters_put(0, 1);)
SET_UP(one_with_run_in, begin(2, 0, 0); run = letters_run(P(0)); (void)letters_put(0, 1);)
SET_UP(one_with_run_in_redeliver, begin(2, QUEUE_REDELIVERS, 0); run = letters_run(P(0)); (void)letters_put(0, 1);)

static void receive_runs(void) {
    unsigned letter = process_take();
    if (letter != NO_LETTER) {
        process_hold_runs(letter);
        process_end(letter);
        process_drop_runs();
    }
}

static void put_run_and_drop(unsigned thread) {
    if (thread == 0) {
        put();
        process_drop_runs();
    } else {
        receive_runs();
    }
}

static void send_run_and_drop(unsigned thread) {
    if (thread == 0) {
        (void)process_send(1);
        process_drop_runs();
    } else {
        receive_runs();
    }
}

/* Two that hold it send the same run. */
static void both_send_run(unsigned thread) {
    if (thread < 2) {
        (void)process_send(1);
        process_drop_runs();
    } else {
        receive_runs();
    }
}

/* Two letters with the same run are received, and its holder drops it. */
static void receive_both(unsigned thread) {
    if (thread == 0) {
        process_drop_runs();
    } else {
        receive_runs();
    }
}

/* Tickets are dropped, but not those of letters. */
static void drop_tickets_or_receive(unsigned thread) {
    if (thread == 0) {
        process_drop_runs();
        process_drop_tickets();
    } else {
        receive_runs();
    }
}

static void drop_tickets_or_send(unsigned thread) {
    if (thread == 0) {
        process_drop_tickets();
    } else {
        both_send_run(thread - 1);
    }
}

/* A run is let go by one letter while another one gets it. */
static void send_again(unsigned thread) {
    if (thread == 0) {
        (void)process_send(1);
        process_drop_runs();
    } else {
        (void)process_receive();
    }
}

static void drop_letter_with_run(unsigned thread) {
    if (thread == 0) {
        process_drop_runs();
    } else if (thread == 1) {
        put_and_drop();
    } else {
        receive_runs();
    }
}

/* --- given back --- */

SET_UP(taken_by_0, begin(2, QUEUE_REDELIVERS, 1); (void)letters_put(RESIDENT, 0); (void)letters_put(RESIDENT, 0);
       letters[0] = letters_taken(0);)

SET_UP(only_one_taken_by_0, begin(1, QUEUE_REDELIVERS, 1); (void)letters_put(RESIDENT, 0);
       letters[0] = letters_taken(0);)

static void give_back_or_take(unsigned thread) {
    if (thread == 0) {
        process_return(letters[0]);
    } else {
        (void)process_take();
    }
}

static void die_giving_back(unsigned thread) {
    if (thread == 0) {
        process_return(letters[0]);
    } else if (thread == 1) {
        process_recover_after(0);
        (void)process_receive();
    } else {
        (void)process_receive();
    }
}

static void give_back_or_wait(unsigned thread) {
    if (thread == 0) {
        process_return(letters[0]);
    } else {
        (void)process_wait_take();
    }
}

/* --- closing, leaving, forks --- */

static void hold_by(unsigned holders, unsigned flags) {
    letters_begin(&(struct queue_request){QUEUE_IS_QUEUE, 2, flags}, holders, 1);
}

SET_UP(closing, hold_by(P(0) | P(1), 0); run = letters_run(P(0)); (void)letters_put(0, 1); (void)letters_put(0, 0);)
SET_UP(closing_taken, hold_by(P(0) | P(1), 0); run = letters_run(P(0)); (void)letters_put(0, 1);
       (void)letters_put(0, 0); letters[0] = letters_taken(0);)
SET_UP(forking, hold_by(P(0) | P(2), 0); (void)letters_put(0, 0);)
SET_UP(leaving, begin(2, QUEUE_REDELIVERS, 0); run = letters_run(P(0)); (void)letters_put(0, 1);
       (void)letters_taken(0);)
SET_UP(leaving_unput, begin(2, 0, 0); run = letters_run(P(0)); make(0, 1);)

static void both_close(unsigned thread) {
    if (thread < 2) {
        process_drop_runs();
        process_close();
    }
}

static void close_or_receive(unsigned thread) {
    if (thread == 0) {
        process_drop_runs();
        process_close();
    } else {
        (void)process_receive();
        process_close();
    }
}

static void close_and_recover(unsigned thread) {
    if (thread < 2) {
        process_drop_runs();
        process_close();
    } else {
        process_recover_after(0);
    }
}

/* 0 dies with the queue or in closing it; 1 closes it while 2 recovers. */
static void die_closing(unsigned thread) {
    if (thread == 0) {
        process_end(letters[0]);
        process_drop_runs();
        process_close();
    } else if (thread == 1) {
        process_close();
    } else {
        process_recover_after(0);
    }
}

static void fork_and_close(unsigned thread) {
    if (thread == 0) {
        process_fork(1);
        process_close();
    } else if (thread == 2) {
        process_close();
    } else if (process_is_born(0)) {
        (void)process_receive();
        process_close();
    }
}

static void leave_or_receive(unsigned thread) {
    if (thread == 0) {
        process_leave();
    } else {
        (void)process_receive();
    }
}

static void shut_or_put(unsigned thread) {
    if (thread == 0) {
        put();
    } else if (thread == 1) {
        process_shut(true);
    } else {
        (void)process_take();
    }
}

static void shut_or_wait(unsigned thread) {
    if (thread == 0) {
        process_shut(false);
    } else {
        (void)process_wait_take();
    }
}

/* --- death: 0 dies in it, 1 recovers and receives, 2 receives meanwhile --- */

SET_UP(die_2, begin(2, 0, 1); make(0, 0); make(1, 0);)
SET_UP(die_2_redeliver, begin(2, QUEUE_REDELIVERS, 1); make(0, 0); make(1, 0);)
SET_UP(die_1_full, begin(1, 0, 1); (void)letters_put(RESIDENT, 0); make(0, 0); make(2, 0);)
SET_UP(die_taking_2, begin(2, 0, 1); (void)letters_put(RESIDENT, 0); (void)letters_put(RESIDENT, 0); make(2, 0);)
SET_UP(die_taking_2_redeliver, begin(2, QUEUE_REDELIVERS, 1); (void)letters_put(RESIDENT, 0);
       (void)letters_put(RESIDENT, 0); make(2, 0);)
SET_UP(die_dropping_2, begin(2, 0, 1); (void)letters_put(RESIDENT, 0); (void)letters_put(RESIDENT, 0); make(0, 0);
       make(2, 0);)
SET_UP(die_taking_full, begin(1, QUEUE_REDELIVERS, 1); (void)letters_put(RESIDENT, 0); make(1, 0); make(2, 0);)

static void die_putting(unsigned thread) {
    if (thread == 0) {
        put();
    } else if (thread == 1) {
        process_recover_after(0);
        (void)process_receive();
    } else {
        (void)process_receive();
    }
}

static void die_putting_beside_put(unsigned thread) {
    if (thread == 0 || thread == 2) {
        put();
    } else {
        process_recover_after(0);
        receive_twice();
    }
}

static void die_sending(unsigned thread) {
    if (thread == 0) {
        (void)process_send(0);
    } else if (thread == 1) {
        process_recover_after(0);
        (void)process_send(0);
    } else {
        (void)process_receive();
    }
}

static void die_receiving(unsigned thread) {
    if (thread == 0) {
        (void)process_receive();
    } else if (thread == 1) {
        process_recover_after(0);
        (void)process_receive();
    } else {
        (void)process_take();
    }
}

/* The others put and receive while one is dead, and before it is recovered. */
static void die_receiving_beside_put(unsigned thread) {
    if (thread == 0) {
        (void)process_receive();
    } else if (thread == 1) {
        process_recover_after(0);
        (void)process_receive();
    } else {
        put();
        (void)process_receive();
    }
}

/* 2 takes what comes back. */
static void die_receiving_beside_takes(unsigned thread) {
    if (thread == 0) {
        (void)process_receive();
    } else if (thread == 1) {
        process_recover_after(0);
    } else {
        (void)process_take();
        (void)process_take();
    }
}

/* And makes new letters in the blocks of those that ended. */
static void die_receiving_and_send(unsigned thread) {
    if (thread == 0) {
        (void)process_receive();
    } else if (thread == 1) {
        process_recover_after(0);
        (void)process_send(0);
        (void)process_send(0);
    } else {
        (void)process_receive();
    }
}

static void recoverer_dies(unsigned thread) {
    if (thread == 0) {
        (void)process_receive();
    } else if (thread == 1) {
        process_recover_after(0);
    } else {
        (void)process_receive();
        process_recover_after(0);
        (void)process_receive();
    }
}

static void recoverer_of_sender_dies(unsigned thread) {
    if (thread == 0) {
        put();
    } else if (thread == 1) {
        process_recover_after(0);
    } else {
        (void)process_receive();
        process_recover_after(0);
        (void)process_receive();
    }
}

static void die_dropping(unsigned thread) {
    if (thread == 0) {
        put_and_drop();
    } else if (thread == 1) {
        process_recover_after(0);
        (void)process_receive();
    } else {
        put();
    }
}

static void die_carrying(unsigned thread) {
    if (thread == 0) {
        (void)process_send(1);
        process_drop_runs();
    } else if (thread == 1) {
        process_recover_after(0);
    } else {
        receive_runs();
    }
}

/* 1 holds the run too, and sends it. */
static void die_carrying_what_another_sends(unsigned thread) {
    if (thread == 0) {
        (void)process_send(1);
    } else if (thread == 1) {
        process_recover_after(0);
        (void)process_send(1);
        process_drop_runs();
    } else {
        receive_runs();
    }
}

/* Two other letters carry the run already, and then hold it alone: one by itself, one by a ticket. */
SET_UP(run_of_two_two_in, begin(4, 0, 0); run = letters_run(P(0) | P(2)); (void)letters_put(2, 1);
       (void)letters_put(2, 1);)

SET_UP(run_of_two_one_in, begin(2, 0, 0); run = letters_run(P(0) | P(2)); (void)letters_put(2, 1);)

static void die_carrying_what_is_carried(unsigned thread) {
    if (thread == 0) {
        (void)process_send(1);
    } else if (thread == 1) {
        process_recover_after(0);
    } else {
        process_drop_runs();
        (void)explore_join(1);
        receive_runs();
    }
}

/* 0 dies with a letter whose run others carry too. */
static void die_receiving_runs(unsigned thread) {
    if (thread == 0) {
        process_drop_runs();
        receive_runs();
    } else if (thread == 1) {
        process_recover_after(0);
    } else {
        receive_runs();
    }
}

static void recoverer_of_runs_dies(unsigned thread) {
    if (thread == 0) {
        process_drop_runs();
        (void)process_receive();
    } else if (thread == 1) {
        process_recover_after(0);
    } else {
        process_recover_after(0);
        receive_runs();
    }
}

/* 2 sleeps until what 0 dies with comes back. */
static void die_receiving_beside_wait(unsigned thread) {
    if (thread == 0) {
        (void)process_receive();
        (void)process_send(0);
    } else if (thread == 1) {
        process_recover_after(0);
    } else {
        unsigned letter = process_wait_take();
        if (letter != NO_LETTER) {
            process_end(letter);
        }
    }
}

static void die_forked(unsigned thread) {
    if (thread == 0) {
        process_fork(1);
        process_close();
    } else if (thread == 1) {
        if (process_is_born(0)) {
            process_close();
        }
    } else {
        process_close();
        process_recover_after(0);
        process_recover_after(1);
    }
}

/* --- topics --- */

SET_UP(topic_1, begin_topic(1, 1); make(0, 0); make(1, 0);)
SET_UP(topic_2, begin_topic(2, 0); make(0, 0); make(1, 0);)
SET_UP(topic_2_full, begin_topic(2, 3); make(0, 0); make(1, 0);)
SET_UP(topic_with_run, begin_topic(1, 0); run = letters_run(P(0)); (void)letters_put(0, 1); make(0, 0);)
SET_UP(latest, begin_latest(2); make(0, 0); make(1, 0);)

static void read_some(unsigned n) {
    uint64_t position = 0;
    for (unsigned i = 0; i < n; i++, position++) {
        unsigned letter = process_read(&position);
        if (letter == NO_LETTER) {
            break;
        }
        explore_step();
        process_close_letter(letter);
    }
}

static void publish_or_read(unsigned thread) {
    if (thread == 0) {
        put();
    } else {
        read_some(3);
    }
}

static void two_publish_one_reads(unsigned thread) {
    if (thread < 2) {
        put();
    } else {
        read_some(3);
    }
}

static void publish_twice_or_read(unsigned thread) {
    if (thread == 0) {
        put();
        (void)process_send(0);
    } else {
        read_some(2);
    }
}

/* The reader holds the letter, and then its run, which the letter may have let go of. */
static void publish_or_read_run(unsigned thread) {
    if (thread == 0) {
        process_drop_runs();
        put();
    } else {
        uint64_t position = 0;
        unsigned letter = process_read(&position);
        if (letter != NO_LETTER) {
            process_hold_runs(letter);
            process_close_letter(letter);
            process_drop_runs();
        }
    }
}

/* A reader that misses none. */
static void publish_or_follow(unsigned thread) {
    unsigned cursor;
    uint64_t position;
    if (thread < 2) {
        put();
    } else if (process_subscribe(&cursor, &position)) {
        for (unsigned i = 0; i < 3; i++) {
            uint64_t at = position;
            unsigned letter = process_read(&position);
            if (letter == NO_LETTER) {
                break;
            }
            if (position != at) {
                explore_fail("process %u has a cursor, and misses letters", thread);
            }
            process_close_letter(letter);
            process_advance(cursor, ++position);
        }
        process_unsubscribe(cursor);
    }
}

static void wait_to_publish(unsigned thread) {
    if (thread < 2) {
        process_wait_put(letters[thread]);
    } else {
        publish_or_follow(thread);
    }
}

/* Always finds a value. */
static void set_or_get(unsigned thread) {
    uint64_t position = 0;
    if (thread < 2) {
        put();
    } else {
        for (unsigned i = 0; i < 2; i++) {
            uint64_t last = position;
            unsigned letter = process_read(&position);
            if (letter == NO_LETTER) {
                explore_fail("process %u finds no value, and there is always one", thread);
            }
            if (position < last) {
                explore_fail("process %u finds an older value", thread);
            }
            process_close_letter(letter);
        }
    }
}

static void two_read(unsigned thread) {
    if (thread == 0) {
        put();
        (void)process_send(0);
    } else {
        read_some(2);
    }
}

static void die_publishing(unsigned thread) {
    if (thread == 0) {
        put();
    } else if (thread == 1) {
        process_recover_after(0);
        put();
    } else {
        read_some(2);
    }
}

/* A letter that was pushed out by one who died ends with its last reader, and its block is used again while the dead is
 * recovered. */
static void die_pushing_out(unsigned thread) {
    if (thread == 0) {
        put();
    } else if (thread == 1) {
        process_recover_after(0);
    } else {
        uint64_t position = 0;
        unsigned letter = process_read(&position);
        if (letter != NO_LETTER) {
            (void)explore_join(0);
            process_close_letter(letter);
            (void)process_send(0);
        }
    }
}

static void die_reading(unsigned thread) {
    if (thread == 0) {
        read_some(2);
    } else if (thread == 1) {
        put();
    } else {
        process_recover_after(0);
    }
}

static void die_setting(unsigned thread) {
    if (thread == 0) {
        put();
    } else if (thread == 1) {
        process_recover_after(0);
    } else {
        set_or_get(2);
    }
}

SET_UP(topic_1_other, begin_topic(1, 1); make(1, 0); make(2, 0);)

/* And a reader that misses none goes on. */
static void die_publishing_beside_cursor(unsigned thread) {
    if (thread == 0) {
        put();
    } else if (thread == 1) {
        process_recover_after(0);
        put();
    } else {
        publish_or_follow(2);
    }
}

static void die_shutting(unsigned thread) {
    if (thread == 0) {
        process_shut(true);
    } else if (thread == 1) {
        process_recover_after(0);
        put();
    } else {
        (void)process_receive();
    }
}

/* 0 dies with a cursor; then 1 need not wait for it. */
static void die_subscribed(unsigned thread) {
    unsigned cursor;
    uint64_t position;
    if (thread == 0) {
        if (process_subscribe(&cursor, &position)) {
            process_unsubscribe(cursor);
        }
    } else if (thread == 1) {
        process_recover_after(0);
        put();
    } else {
        put();
    }
}

/* --- an audit beside others --- */

SET_UP(look_at_run, begin(1, QUEUE_REDELIVERS, 1); run = letters_run(P(0)); make(0, 1);)

static void look_or_put(unsigned thread) {
    if (thread == 0) {
        put();
    } else if (thread == 1) {
        (void)process_receive();
    } else {
        process_look();
    }
}

static void look_or_send_run(unsigned thread) {
    if (thread == 0) {
        (void)process_send(1);
        process_drop_runs();
        (void)process_receive();
    } else {
        process_look();
    }
}

static void look_or_publish(unsigned thread) {
    if (thread == 0) {
        put();
        (void)process_send(0);
    } else {
        process_look();
    }
}

static void look_or_recover(unsigned thread) {
    if (thread == 0) {
        (void)process_receive();
    } else if (thread == 1) {
        process_recover_after(0);
    } else {
        process_look();
    }
}

#define DYING(stops_, threads_, set_up_, body_, bound_)                                                                \
    {.threads = threads_,                                                                                              \
     .set_up = set_up_,                                                                                                \
     .body = body_,                                                                                                    \
     .check = letters_at_rest,                                                                                         \
     .bound = bound_,                                                                                                  \
     .stops = stops_,                                                                                                  \
     .stopped = letters_stopped}
#define LIVING(threads_, set_up_, body_, bound_) DYING(0, threads_, set_up_, body_, bound_)

const struct scenario scenarios[] = {
    {"put_take", "one puts, one receives", LIVING(2, one_for_0, put_or_receive, 5), false},
    {"put_take_lap", "the same in the third lap", LIVING(2, one_for_0_third_lap, put_or_receive, 5), false},
    {"put_two_take", "one puts, two receive", LIVING(3, one_for_0, put_or_receive, 3), false},
    {"two_put_take", "two put, one receives twice", LIVING(3, one_each, two_put_one_receives, 3), false},
    {"two_put_take_wrapped", "the same, across the end of the ring",
     LIVING(3, one_each_wrapped, two_put_one_receives, 3), false},
    {"two_put_take_one_in", "the same, with room for one of them", LIVING(3, one_each_one_in, two_put_one_receives, 2),
     false},
    {"two_put_of_1", "the same, capacity 1", LIVING(3, one_each_of_1, two_put_one_receives, 3), false},
    {"two_put_full_1", "the same, and it is full", LIVING(3, one_each_full_1, two_put_one_receives, 3), false},
    {"two_put_full_2", "the same, capacity 2", LIVING(3, one_each_full_2, two_put_one_receives, 2), false},
    {"two_put_full_3", "the same, capacity 3 in a ring of 4", LIVING(3, one_each_full_3, two_put_one_receives, 2),
     false},
    {"two_two", "two put, two take", LIVING(4, one_each, two_put_two_take, 2), false},
    {"two_two_full", "the same, capacity 1, and it is full", LIVING(4, one_each_full_1, two_put_two_take, 2), false},
    {"two_receive", "two receive what is there", LIVING(2, two_in, all_receive, 3), false},
    {"three_receive", "three receive two letters", LIVING(3, two_in, all_receive, 3), false},
    {"three_receive_again", "the same, redelivering", LIVING(3, two_in_redeliver, all_receive, 2), false},
    {"laps", "one sends twice, one takes twice, capacity 1", LIVING(2, one_in, send_twice_or_take, 3), false},
    {"laps_2", "the same, capacity 2", LIVING(2, empty_2, send_twice_or_take, 4), false},
    {"send_three", "one makes and puts three, two receive", LIVING(3, empty_2, send_three_or_receive, 2), false},
    {"send_receive", "two make and put, two receive", LIVING(4, empty_2, send_and_receive, 1), false},
    {"drop_take_put", "one drops the oldest, one takes, one puts", LIVING(3, one_each_full_2, drop_or_take_or_put, 2),
     false},
    {"make_room", "two drop the oldest until there is room, one takes", LIVING(3, one_each_full_1, make_room, 2),
     false},
    {"wait", "one waits, one puts", LIVING(2, one_for_0, wait_or_put, 6), false},
    {"two_wait_two_put", "two wait, two put", LIVING(4, one_each, two_wait_two_put, 2), false},
    {"two_wait_two_put_1", "the same, capacity 1: both sides wait", LIVING(4, one_each_of_1, wait_on_both_sides, 1),
     false},
    {"wait_for_room", "two wait for room, two take", LIVING(4, one_each_full_2, wait_for_room, 2), false},
    {"put_run", "a letter carries a run that its sender drops", LIVING(2, one_with_run, put_run_and_drop, 4), false},
    {"put_run_two", "the same, two receive", LIVING(3, one_with_run, put_run_and_drop, 2), false},
    {"send_run", "the same from the start", LIVING(2, run_of_0, send_run_and_drop, 4), false},
    {"both_send_run", "two send the same run, one receives it", LIVING(3, run_of_two, both_send_run, 2), false},
    {"receive_both", "two receive the same run, its holder drops it", LIVING(3, two_with_run_in, receive_both, 2),
     false},
    {"receive_three", "three letters carry the same run", LIVING(4, three_with_run_in, receive_both, 1), false},
    {"old_tickets", "tickets are dropped, two receive letters that have one",
     LIVING(3, two_with_run_in, drop_tickets_or_receive, 2), false},
    {"old_tickets_sent", "tickets are dropped, two send the same run",
     LIVING(3, run_of_1_and_2, drop_tickets_or_send, 2), false},
    {"send_again", "a letter lets go of a run while another one gets it", LIVING(2, one_with_run_in, send_again, 4),
     false},
    {"drop_run", "a letter with a run is dropped, another one received",
     LIVING(3, two_with_run_in, drop_letter_with_run, 2), false},
    {"give_back", "one gives a letter back, two take", LIVING(3, taken_by_0, give_back_or_take, 3), false},
    {"give_back_one", "the same, and there is no other", LIVING(3, only_one_taken_by_0, give_back_or_take, 3), false},
    {"give_back_wait", "the same, two wait", LIVING(3, taken_by_0, give_back_or_wait, 3), false},
    {"die_giving_back", "a death in giving a letter back", DYING(1, 3, taken_by_0, die_giving_back, 2), false},
    {"both_close", "two close the queue, with letters in it", LIVING(2, closing, both_close, 4), false},
    {"close_or_receive", "one closes it, one receives and closes it", LIVING(2, closing, close_or_receive, 4), false},
    {"fork", "one forks and closes, its child and another close", LIVING(3, forking, fork_and_close, 2), false},
    {"leave", "one leaves with a letter that it took, another receives", LIVING(2, leaving, leave_or_receive, 3),
     false},
    {"leave_unput", "one leaves with a letter that it made", LIVING(2, leaving_unput, leave_or_receive, 3), false},
    {"shut", "one puts, one shuts for all, one takes", LIVING(3, one_each_one_in, shut_or_put, 3), false},
    {"shut_wait", "one shuts, two wait", LIVING(3, one_for_0, shut_or_wait, 3), false},
    {"topic", "one publishes, one reads", LIVING(2, topic_1, publish_or_read, 3), false},
    {"topic_two_read", "one publishes twice, two read", LIVING(3, topic_2, two_read, 2), false},
    {"topic_two_publish", "two publish, one reads", LIVING(3, topic_2_full, two_publish_one_reads, 2), false},
    {"topic_two_publish_1", "the same, a history of one", LIVING(3, topic_1, two_publish_one_reads, 2), false},
    {"topic_twice", "one publishes twice, one reads", LIVING(2, topic_2_full, publish_twice_or_read, 3), false},
    {"topic_run", "one publishes, one reads a letter and holds its run",
     LIVING(2, topic_with_run, publish_or_read_run, 3), false},
    {"cursor", "two publish, a reader misses none", LIVING(3, topic_2, publish_or_follow, 2), false},
    {"cursor_full", "the same, and the history is full", LIVING(3, topic_2_full, publish_or_follow, 2), false},
    {"cursor_wait", "two wait to publish, a reader misses none", LIVING(3, topic_1, wait_to_publish, 2), false},
    {"latest", "two set a value, one gets it", LIVING(3, latest, set_or_get, 2), false},
    {"look_put", "an audit beside one that puts and one that receives", LIVING(3, look_at_run, look_or_put, 2), false},
    {"look_send_run", "an audit beside one that sends a run, and receives it", LIVING(2, run_of_0, look_or_send_run, 2),
     false},
    {"look_publish", "an audit beside one that publishes", LIVING(2, topic_1, look_or_publish, 2), false},
    {"look_latest", "the same, a latest value", LIVING(2, latest, look_or_publish, 2), false},
    {"look_recover", "an audit beside a death in receiving, and its recovery",
     DYING(1, 3, one_in_redeliver, look_or_recover, 1), false},
    {"die_putting", "a death in putting", DYING(1, 3, die_2, die_putting, 2), false},
    {"die_putting_again", "the same, redelivering", DYING(1, 3, die_2_redeliver, die_putting, 2), false},
    {"die_putting_put", "the same, and another puts", DYING(1, 3, die_1_full, die_putting_beside_put, 1), false},
    {"die_sending", "a death in making and putting", DYING(1, 3, empty_2, die_sending, 1), false},
    {"die_receiving", "a death in receiving", DYING(1, 3, die_taking_2, die_receiving, 2), false},
    {"die_receiving_again", "the same, redelivering", DYING(1, 3, die_taking_2_redeliver, die_receiving, 2), false},
    {"die_receiving_put", "the same, full, and another puts and receives",
     DYING(1, 3, die_taking_full, die_receiving_beside_put, 1), false},
    {"die_receiving_send", "the same, and blocks are used again", DYING(1, 3, die_taking_2, die_receiving_and_send, 1),
     false},
    {"die_receiving_twice", "the same, another takes twice",
     DYING(1, 3, one_in_redeliver, die_receiving_beside_takes, 2), false},
    {"die_dropping", "a death in dropping the oldest", DYING(1, 3, die_dropping_2, die_dropping, 1), false},
    {"die_carrying", "a death in sending a run", DYING(1, 3, run_of_0, die_carrying, 1), false},
    {"die_carrying_again", "the same, and another sends it",
     DYING(1, 3, run_of_two, die_carrying_what_another_sends, 1), false},
    {"die_carrying_carried", "the same, and another letter has it",
     DYING(1, 3, run_of_two_one_in, die_carrying_what_is_carried, 1), false},
    {"die_carrying_twice", "the same, and two other letters have it",
     DYING(1, 3, run_of_two_two_in, die_carrying_what_is_carried, 1), false},
    {"die_with_run", "a death in receiving a run, which others receive too",
     DYING(1, 3, three_with_run_in, die_receiving_runs, 1), false},
    {"die_with_run_again", "the same, redelivering", DYING(1, 3, one_with_run_in_redeliver, die_receiving_runs, 1),
     false},
    {"die_closing", "a death in receiving and closing, another closes", DYING(1, 3, closing_taken, die_closing, 1),
     false},
    {"close_recover", "a death in closing, beside another's", DYING(1, 3, closing, close_and_recover, 1), false},
    {"die_forked", "a death in a fork, or of the child", DYING(1, 3, forking, die_forked, 1), false},
    {"die_waking", "a death beside one that waits, another puts", DYING(1, 3, one_each, wait_beside_the_dead, 2),
     false},
    {"die_waited_for", "a death with a letter, another sleeps until it comes back",
     DYING(1, 3, one_in_redeliver, die_receiving_beside_wait, 1), false},
    {"die_publishing", "a death in publishing", DYING(1, 3, topic_1, die_publishing, 1), false},
    {"die_publishing_cursor", "the same, beside a reader that misses none",
     DYING(1, 3, topic_2_full, die_publishing_beside_cursor, 1), false},
    {"die_shutting", "a death in shutting for all", DYING(1, 3, one_each_one_in, die_shutting, 1), false},
    {"die_pushing_out", "a death in pushing out what another reads", DYING(1, 3, topic_1, die_pushing_out, 1), false},
    {"die_reading", "a death in reading", DYING(1, 3, topic_1, die_reading, 1), false},
    {"die_subscribed", "a death with a cursor", DYING(1, 3, topic_1_other, die_subscribed, 2), false},
    {"die_setting", "a death in setting a latest value", DYING(1, 3, latest, die_setting, 2), false},
    {"recoverer_dies", "a death in receiving, and of the recoverer", DYING(2, 3, die_taking_2, recoverer_dies, 0),
     false},
    {"recoverer_dies_again", "the same, redelivering", DYING(2, 3, die_taking_2_redeliver, recoverer_dies, 0), false},
    {"senders_recoverer_dies", "a death in putting, and of the recoverer",
     DYING(2, 3, die_2, recoverer_of_sender_dies, 0), false},
    {"runs_recoverer_dies", "a death with runs, and of the recoverer",
     DYING(2, 3, two_with_run_in, recoverer_of_runs_dies, 0), false},
};

const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;
