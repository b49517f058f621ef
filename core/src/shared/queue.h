/* queue.h: queues, topics and latest values in a shared pool; any of their users may die or stop at any instruction.
 *
 * A QUEUE IS A RUN of the annex: a header and a ring of cells (message.h). Who has it open holds that run; so it lives
 * as long as somebody has it open, or its name is kept, and its messages end with it. A MESSAGE is a run of the annex
 * as well, and carries runs of the pool without copying them.
 *
 *   send      allocate the message; fill in its header; word NONE → PUTTING{me}; the run belongs to the message now.
 *             For each run that it carries: note it in the message, name the message in the run's word, set CARRIED in
 *             its head. A run that is in another message already gets a ticket instead.
 *   publish   at the tail's position: note the position in the message; cell EMPTY{position} → FULL{position, message};
 *             push the tail on; PUTTING{me} → QUEUED; wake the receivers.
 *   take      at the head's position: read the cell, read the word, see the cell unchanged; if the word is PUTTING,
 *             make it QUEUED, as the message is published; word QUEUED → TAKEN{me}: mine. Then empty the cell, push the
 *             head on, wake the senders.
 *   return    word TAKEN{me} → RETURNED, as recovery does for the dead; say that there is a returned message.
 *   end       word → ENDING{me}; empty the cell if it is still full; let go of the runs; free the message.
 *
 * ONE WORD DECIDES. The cells and the two counters only follow: a cell whose message is no longer QUEUED is emptied by
 * anybody who meets it, and anybody pushes a counter on. So nobody who stops in the middle holds up the rest.
 *
 * A CELL IS EMPTIED BEFORE ITS MESSAGE ENDS. So while a cell is FULL, the run it names is still that message, and a
 * word that was read between two looks at the same cell is the word of that message. Its generation does the rest.
 *
 * RECOVERY, before anything else of the dead is touched, for each message: PUTTING{dead}: published if the cell at the
 * noted position names it, and then QUEUED; otherwise it ends. TAKEN{dead}: empty its cell; RETURNED if the queue
 * redelivers, otherwise it ends. ENDING{dead}: again from the start, as each step can be taken twice. Returned messages
 * are in no cell. Receivers look for them before they look at the ring, whenever `returned` says that there are new
 * ones; so returning needs no room in the ring, and old messages come first.
 *
 * TOPICS are rings whose messages are not taken. A reader has a position of its own, holds a message like any run while
 * it reads it, or reads a copy, which was whole if the message's word is the same after it as before; and it learns how
 * many it has missed. A publisher ends the message that is `history` positions back. A reader that must not miss any
 * has a cursor in the queue, and publishers wait for it; recovery frees the cursors of the dead. Both sides set before
 * they look: a publisher pushes the tail on, then looks at the cursors, then ends old messages; a reader sets its
 * cursor, then looks at the tail, and begins no more than `history` before it. A LATEST value is a topic with a history
 * of one: it has two cells, so the old value is there until the new one is.
 *
 * WAITING. Who is about to sleep writes the sequence that it will sleep on, plus one, to `waited`. So an event that
 * nobody waits for costs one look. Raising an event adds one to the sequence and wakes all in one step of the kernel,
 * so one that dies there has done both or neither. One that dies or stops before it leaves others asleep; so recovery
 * wakes all, and no sleep is long.
 *
 * PROMISES. What was put is received once; or, if its receiver died before it was done, once more, marked AGAIN, or
 * not, as the queue says. Messages of one sender come in order, apart from returned ones. Nothing of the dead stays
 * behind after a recovery, except a ticket that was being made or dropped: that one grows old, as all tickets do.
 *
 * No two threads may be at the same time, with the same slot, in functions that may end a message: queue_end,
 * _withdraw, _shut, _drop_oldest and, of a topic, _put; nor in those of shared_pool.h that may free a run (ledger.h
 * says why).
 *
 * Everything read from the segment is checked before it is used. QUEUE_CORRUPT reports what this library never writes.
 *
 * REJECTED: letting the cell decide who has a message (a recoverer cannot tell a message that a living receiver has
 * just taken from one that a dead one left, and loses or doubles it); a slot for each queue as a holder of its messages
 * (bits of two messages that carry the same run are one bit); messages returned through the ring (it may be full);
 * counts of waiters (they die).
 */
#ifndef BLOCKPOOL_QUEUE_H
#define BLOCKPOOL_QUEUE_H

#include "shared/message.h"
#include "shared/shared_pool.h"

enum queue_kind { QUEUE_NONE, QUEUE_IS_QUEUE, QUEUE_IS_TOPIC, QUEUE_IS_LATEST, QUEUE_KINDS };

#define QUEUE_REDELIVERS 1u
#define QUEUE_PERMANENT 2u /* its name keeps it */

#define QUEUE_MOST_CAPACITY (UINT64_C(1) << 20)
#ifndef QUEUE_CURSORS
#define QUEUE_CURSORS 256u /* readers of a topic that publishers wait for */
#endif

/* What somebody can wait for. */
struct queue_event {
    atomic_half sequence;
    atomic_half waited;  /* the sequence on which somebody sleeps, plus one */
    atomic_half watched; /* how often somebody began to watch the file instead */
    atomic_half told;    /* what `watched` was when they were told */
};

struct queue_header {
    /* never changed */
    uint32_t kind, flags;
    uint64_t capacity; /* of a topic: its history */
    uint64_t ring;     /* cells: a power of two */
    uint64_t cursors;
    char padding1[32];
    atomic_word head; /* no message before it is in the ring */
    char padding2[56];
    atomic_word tail; /* the next message's position, or less */
    char padding3[56];
    struct queue_event readable; /* there may be a message */
    char padding4[48];
    struct queue_event writable; /* there may be room, or one message fewer is unfinished */
    char padding5[48];
    atomic_word shut; /* QUEUE_SHUT_* */
    atomic_word returned,
        served;       /* returned messages: how many there have been, and for how many somebody has looked */
    atomic_word lost; /* messages dropped for want of room */
    char padding6[32];
};
_Static_assert(sizeof(struct queue_header) == 384, "written to shared memory");

#define QUEUE_SHUT_FOR_SENDERS 1u
#define QUEUE_SHUT_FOR_ALL 2u

enum queue_status {
    QUEUE_OK,
    QUEUE_FULL,      /* no room in the ring */
    QUEUE_EMPTY,     /* no message */
    QUEUE_SHUT,      /* it was shut down */
    QUEUE_NO_ROOM,   /* no room in the annex for the message */
    QUEUE_TICKETS,   /* a run that is in another message has too many tickets */
    QUEUE_NO_CURSOR, /* a topic has as many waiting readers as it can */
    QUEUE_CORRUPT,
};

/* The pool and its annex, as one process sees them. */
struct queues {
    struct shared_pool annex; /* first: its `ended` knows this struct by it */
    struct shared_pool *pool;
    unsigned char *memory; /* of the annex's blocks */
};

/* A queue, as one process sees it. */
struct queue {
    struct queues *queues;
    struct queue_header *header;
    atomic_word *cursors;
    atomic_word *cells;
    struct pool_run run;
    uint64_t ring, capacity, cursor_count;
    enum queue_kind kind;
    unsigned flags;
};

/* A message that the slot is making, has taken, or reads. */
struct queue_message {
    struct pool_run run; /* in the annex */
    struct message *message;
    unsigned char *bytes; /* its own */
    /* Of one that was taken or is read, counted from the first that was put; of one that found no room, the position of
     * the message in its way. */
    uint64_t position;
    bool again; /* delivered before to somebody who died */
    /* copies of what its header says, checked */
    uint32_t kind, count;
    uint64_t length; /* of `bytes` */
    uint32_t forks;  /* for attachments: which process has it, see attachment.h */
};

/* What a new queue is to be. */
struct queue_request {
    enum queue_kind kind;
    uint64_t capacity; /* 1 to QUEUE_MOST_CAPACITY; of a topic, its history; of a latest value, 1 */
    unsigned flags;    /* QUEUE_REDELIVERS, QUEUE_PERMANENT */
};

/* Makes *queues a view of the pool and its annex, which layout_init has made. */
void queues_init(struct queues *queues, struct shared_pool *pool, unsigned char *memory);

/* How many bytes such a queue takes in the annex. */
uint64_t queue_bytes(const struct queue_request *request);

/* Makes a queue; the slot is the owner of its run. QUEUE_NO_ROOM: no such run is free. */
enum queue_status queue_make(struct queues *queues, unsigned slot, const struct queue_request *request,
                             struct queue *queue) __attribute__((warn_unused_result));

/* Makes *queue a view of the queue at that run, which the caller holds or looks at. QUEUE_CORRUPT: it is none. */
enum queue_status queue_view(struct queues *queues, const struct pool_run *run, struct queue *queue)
    __attribute__((warn_unused_result));

/* Makes a message with room for that many runs and bytes; its sender is the slot. It is the caller's until queue_put or
 * queue_end. */
enum queue_status queue_begin(struct queue *queue, unsigned slot, uint32_t kind, unsigned runs, uint64_t bytes,
                              struct queue_message *message) __attribute__((warn_unused_result));

/* The message carries another run, which the slot holds. */
enum queue_status queue_carry(struct queue *queue, unsigned slot, struct queue_message *message,
                              const struct pool_run *run) __attribute__((warn_unused_result));

/* Publishes the message: from then on it is the queue's. QUEUE_FULL or _SHUT: it still is the caller's. Who has
 * published it and then finds queue_is_shut owes a queue_withdraw: nobody may be left to receive it. */
enum queue_status queue_put(struct queue *queue, unsigned slot, struct queue_message *message)
    __attribute__((warn_unused_result));

/* Ends the message that was in the way of one that found no room, if nobody has taken it since, and no reader of a
 * topic waits for it. */
void queue_drop_oldest(struct queue *queue, unsigned slot, const struct queue_message *message);

/* Takes the oldest message of a queue: it is the caller's until queue_end. QUEUE_EMPTY or _SHUT: there is none. */
enum queue_status queue_take(struct queue *queue, unsigned slot, struct queue_message *message)
    __attribute__((warn_unused_result));

/* Ends a message that is the caller's: one that the slot makes, or took. */
void queue_end(struct queue *queue, unsigned slot, const struct queue_message *message);

/* Gives a message that the slot took back to the queue, to be taken again; ends it if the queue does not redeliver. */
void queue_return(struct queue *queue, unsigned slot, const struct queue_message *message);

/* The run of index i that the message carries; false if there is none. */
bool queue_carried(const struct queues *queues, const struct queue_message *message, unsigned i, struct pool_run *run);

/* The message of a topic at *position or after it, to be held (shared_pool_hold on the annex) and then opened by
 * queue_open. *lost grows by how many were missed, and *position is that of the message. QUEUE_EMPTY: there is none
 * yet. */
enum queue_status queue_find(struct queue *queue, uint64_t *position, uint64_t *lost, struct pool_run *run)
    __attribute__((warn_unused_result));

/* Opens a message that the caller holds. */
enum queue_status queue_open(struct queue *queue, const struct pool_run *run, struct queue_message *message)
    __attribute__((warn_unused_result));

/* Both in one step, for readers that change nothing in the segment: copies the message to `copy`, which is aligned for
 * words and has room for so many bytes; *message is of the copy. The runs that it carries may end at any time.
 * QUEUE_NO_ROOM: it takes message->run.blocks blocks of MESSAGE_BLOCK bytes. */
enum queue_status queue_copy(struct queue *queue, uint64_t *position, uint64_t *lost, void *copy, uint64_t room,
                             struct queue_message *message) __attribute__((warn_unused_result));

/* The position of the oldest message that is there, and of the next one that will be. */
uint64_t queue_oldest(const struct queue *queue);
uint64_t queue_next(const struct queue *queue);

/* Takes a cursor of a topic at *position, the oldest message; the reader sets it after each message that it has read,
 * and gives it back. QUEUE_NO_CURSOR: there is none free. */
enum queue_status queue_subscribe(struct queue *queue, unsigned slot, unsigned *cursor, uint64_t *position)
    __attribute__((warn_unused_result));
void queue_advance(struct queue *queue, unsigned slot, unsigned cursor, uint64_t position);
void queue_unsubscribe(struct queue *queue, unsigned slot, unsigned cursor);

bool queue_is_shut(const struct queue *queue);

/* Ends a message that was put; false if somebody has taken it. */
bool queue_withdraw(struct queue *queue, unsigned slot, const struct queue_message *message);

/* Shuts the queue for senders; for all: its messages end. */
void queue_shut(struct queue *queue, unsigned slot, bool for_all);

/* How many messages are in it, and how many were taken and are not done. With others at work, not of one moment. */
void queue_count(const struct queue *queue, uint64_t *waiting, uint64_t *taken);

/* Whether a topic seems to have a message at that position, or a later one. */
bool queue_has(const struct queue *queue, uint64_t position);

/* Whether there seems to be a message to take, or room for one. */
bool queue_is_readable(const struct queue *queue);
bool queue_is_writable(const struct queue *queue);

/* --- looking, which changes nothing --- */

/* What there is to know of a message. */
struct queue_look {
    uint64_t block;   /* in the annex */
    unsigned state;   /* enum message_state */
    unsigned slot;    /* whose it is: of one that is being made, taken or ended; else LEDGER_NOBODY */
    bool again;       /* its receiver died before it was done */
    uint32_t process; /* of its sender */
    uint64_t sent;    /* nanoseconds on the monotonic clock; 0 if it is not put yet */
    uint64_t length;  /* bytes of its own */
    uint32_t carried; /* runs */
};

/* The next message of the queue at block `from` of the annex or later; false if there is none. */
bool queue_next_message(const struct queue *queue, uint64_t from, struct queue_look *look);

/* The queue of the message that carries the run of the pool at that block; false if none does. */
bool queue_of_run(struct queues *queues, uint64_t index, struct queue *queue);

/* --- events --- */

/* The sequence to sleep on: read it, look for what you wait for, and then sleep on it. */
uint32_t queue_event_wait(struct queue_event *event);

/* Raises the event: wakes all who wait. */
void queue_event_raise(struct queue_event *event);

/* The next raise is to be told to those who watch the file, too. */
void queue_event_watch(struct queue_event *event);

/* --- recovery --- */

/* Gives back what the slots had of messages and cursors; `name` as in shared_pool_recover, which is to follow for both
 * pools. */
void queues_recover(struct queues *queues, const struct slot_set *gone, unsigned name);

/* Under the gate, before shared_pool_drop_tickets: of runs that a message has by a ticket, the last ticket counts as
 * made at `now`. So the tickets of messages do not grow old, however long they wait. */
void queues_renew_tickets(struct queues *queues, uint32_t now);

/* The child's slot holds the queues that the parent's holds. */
void queues_fork(struct queues *queues, unsigned parent, unsigned child);

/* The next queue at block `from` of the annex or later; false if there is none. */
bool queues_next(struct queues *queues, uint64_t from, struct queue *queue);

#endif
