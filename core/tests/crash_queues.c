/* crash_queues.c: for every operation of a queue, a topic or a latest value and every k, a process is killed at its
 * k-th atomic access, among living ones that use the same queue.
 *
 * Built as crash_points.c is: explore_access stands before every atomic access, and there a victim sends itself
 * SIGKILL. A survivor sends numbered messages, some of which carry a run; another one receives them. After each death
 * the main process recovers, makes the survivors pause, takes what is left, and compares:
 *
 *   - every message of the survivor came once, in order; or it is the one that the victim had, which may be lost, or
 *     comes once more, marked, as the queue says; so with the victim's own messages, for which put had returned;
 *   - nothing is left in the annex but the queues that somebody has open, and nothing in the pool; the audit of the
 *     pool and of its queues finds no fault;
 *   - topics and latest values take new messages and show them, in order.
 *
 * Each operation runs on a queue that redelivers and on one that does not.
 */
#include "process.h"

#include "os/thread.h"
#include "sets.h"
#include "shared/queues.h"

#define BLOCK 64u
#define BLOCKS 40u
#define CAPACITY 6u
#define HISTORY 2u
#define MOST_NUMBERS (1u << 24)
#define ENOUGH 3 /* completions in a row that end an operation */
#define PATIENCE PROCESS_PATIENCE
#define SENDER 1u
#define VICTIM 2u
#define MAIN 3u

/* What the processes tell each other; plain atomics, as the wrappers of atomic.h count. */
struct board {
    _Atomic uint32_t pause, paused[2], wrong, ready;
    _Atomic uint32_t sent;                  /* numbers that the survivor sent */
    _Atomic uint32_t victim_sent;           /* the same, the victim, at this point */
    _Atomic uint32_t had[2], number_had[2]; /* what the victims took: who sent it, and its number, one up */
    _Atomic uint32_t ended[2];              /* whether they began to end it */
    uint8_t received[MOST_NUMBERS];         /* how often each number of the survivor came */
    uint8_t marked[MOST_NUMBERS];           /* and whether it was marked AGAIN */
    uint8_t of_victim[64];                  /* the same, the victim's at this point */
};

static struct board *board;
static uint64_t steps, kill_at;

void explore_access(const volatile void *word);
void explore_access(const volatile void *word) {
    (void)word;
    if (++steps == kill_at) {
        kill(getpid(), SIGKILL);
    }
}

uint32_t os_thread_number(void) { return 1; }

static struct attachment attachment; /* the main process's */
static struct attachment own;        /* a child's */
static struct queue main_queue, main_topic, main_latest, queue;
static struct pool_failure failure;
static char name[96];
static const char *operation_name = "none";
static uint64_t point;
static unsigned flags; /* of the queue */

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("FAILED %s: point %llu, %s: %s (line %d)\n", operation_name, (unsigned long long)point,             \
                   flags ? "redelivering" : "once", #condition, __LINE__);                                             \
            fflush(stdout);                                                                                            \
            board->wrong = 1;                                                                                          \
            (void)process_end();                                                                                       \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

/* --- messages: who sent it, and its number --- */

struct content {
    uint32_t sender, number, again_number, carries;
};

static unsigned char *bytes_of(const struct attachment *whose, const struct pool_run *run) {
    return layout_data(whose->memory, &whose->geometry) + run->index * BLOCK;
}

/* What its sender writes into the run that a message carries: the victim's messages may have the same one. */
static unsigned char pattern_of(const struct content *content) {
    return (unsigned char)(content->sender == VICTIM ? VICTIM : content->number * 7 + content->sender);
}

static void fill(const struct attachment *whose, const struct pool_run *run, const struct content *content) {
    memset(bytes_of(whose, run), pattern_of(content), run->blocks * BLOCK);
}

static void must_be_filled(const struct attachment *whose, const struct pool_run *run, const struct content *content) {
    for (uint64_t i = 0; i < run->blocks * BLOCK; i++) {
        MUST(bytes_of(whose, run)[i] == pattern_of(content));
    }
}

static void drop(struct attachment *whose, const struct pool_run *run) {
    bool freed;
    MUST(attachment_drop(whose, run, &freed) == POOL_OK);
}

static struct pool_run allocate(struct attachment *whose, const struct content *content) {
    struct pool_run run;
    MUST(attachment_allocate(whose, 2, 0, &run) == POOL_OK);
    fill(whose, &run, content);
    return run;
}

/* Makes a message; `run` is NULL or what it carries, `times` of it. */
static struct queue_message make(struct attachment *whose, struct queue *to, uint32_t sender, uint32_t number,
                                 const struct pool_run *run, unsigned times) {
    struct queue_message message;
    struct content content = {sender, number, ~number, times};
    MUST(attachment_message_begin(whose, to, MESSAGE_IS_BYTES, times, sizeof content, &message) == POOL_OK);
    memcpy(message.bytes, &content, sizeof content);
    for (unsigned i = 0; i < times; i++) {
        MUST(attachment_message_carry(whose, to, &message, run) == POOL_OK);
    }
    return message;
}

static struct content content_of(const struct queue_message *message) {
    struct content content;
    MUST(message->length == sizeof content);
    memcpy(&content, message->bytes, sizeof content);
    MUST(content.again_number == ~content.number && content.carries == message->count);
    return content;
}

/* The runs that a message carries are there, with what its sender wrote; of a topic, if it is still there itself. */
static void look_at_runs(struct attachment *whose, const struct queue_message *message, bool may_be_gone) {
    struct content content = content_of(message);
    for (unsigned i = 0; i < message->count; i++) {
        struct pool_run run;
        enum pool_status status = attachment_message_hold(whose, message, i, &run);
        MUST(status == POOL_OK || (may_be_gone && status == POOL_STALE));
        if (status == POOL_OK) {
            must_be_filled(whose, &run, &content);
            drop(whose, &run);
        }
    }
}

static uint32_t last_number; /* of the survivor, that this process received */

/* Notes that a message came, and ends it. */
static void receive(struct attachment *whose, struct queue *from, const struct queue_message *message) {
    struct content content = content_of(message);
    MUST(!message->again || flags & QUEUE_REDELIVERS);
    look_at_runs(whose, message, false);
    if (content.sender == SENDER) {
        MUST(content.number < MOST_NUMBERS);
        MUST(message->again || content.number >= last_number);
        last_number = message->again ? last_number : content.number;
        board->received[content.number]++;
        board->marked[content.number] |= message->again;
    } else if (content.sender == VICTIM) {
        MUST(content.number < sizeof board->of_victim);
        board->of_victim[content.number]++;
    }
    attachment_message_end(whose, from, message);
}

/* --- survivors --- */

static struct queue_request queue_request(void) { return (struct queue_request){QUEUE_IS_QUEUE, CAPACITY, flags}; }
static const struct queue_request topic_request = {QUEUE_IS_TOPIC, HISTORY, 0};
static const struct queue_request latest_request = {QUEUE_IS_LATEST, 1, 0};

static void open_queue(struct attachment *whose, const char *of, const struct queue_request *request,
                       struct queue *opened) {
    bool made;
    MUST(attachment_queue_open(whose, of, request, true, PATIENCE, opened, &made, &failure) == POOL_OK);
}

static void attach(void) { MUST(attachment_attach(&own, name, PATIENCE, &failure) == POOL_OK); }

static void attach_queue(void) {
    struct queue_request request = queue_request();
    attach();
    open_queue(&own, "queue", &request, &queue);
}

/* Pauses while it has nothing in its hands. */
static void pause_if_told(unsigned me) {
    if (board->pause) {
        board->paused[me] = 1;
        while (board->pause) {
            usleep(30);
        }
        board->paused[me] = 0;
    }
}

static void survive_sending(void) {
    operation_name = "the survivor that sends";
    attach_queue();
    board->ready++;
    for (uint32_t number = 0;; pause_if_told(0)) {
        struct content content = {SENDER, number, 0, 0};
        bool carries = number % 3 == 0;
        struct pool_run run;
        if (carries) {
            run = allocate(&own, &content);
        }
        struct queue_message message = make(&own, &queue, SENDER, number, &run, carries);
        enum pool_status status = attachment_message_put(&own, &queue, &message);
        MUST(status == POOL_OK || status == POOL_QUEUE_FULL);
        if (status == POOL_OK) {
            board->sent = ++number;
        } else {
            attachment_message_end(&own, &queue, &message);
            usleep(20);
        }
        if (carries) {
            drop(&own, &run);
        }
    }
}

static void survive_receiving(void) {
    operation_name = "the survivor that receives";
    last_number = 0;
    attach_queue();
    board->ready++;
    for (unsigned i = 0;; i++, pause_if_told(1)) {
        struct queue_message message;
        enum pool_status status = attachment_message_take(&own, &queue, &message);
        MUST(status == POOL_OK || status == POOL_QUEUE_EMPTY);
        if (status == POOL_OK) {
            receive(&own, &queue, &message);
        }
        if (i % 4 == 0 || status != POOL_OK) {
            usleep(20);
        }
    }
}

/* --- operations --- */

static struct queue_message mine;
static struct pool_run my_run;
static unsigned cursor;
static uint64_t position, lost;

static void attach_with_run(void) {
    struct content content = {VICTIM, 0, 0, 0};
    attach_queue();
    my_run = allocate(&own, &content);
}

static void attach_with_message(void) {
    attach_with_run();
    mine = make(&own, &queue, VICTIM, 0, &my_run, 1);
    drop(&own, &my_run);
}

/* Puts the message however long it takes. */
static void put_patiently(void) {
    enum pool_status status;
    while ((status = attachment_message_put(&own, &queue, &mine)) == POOL_QUEUE_FULL) {
        usleep(10);
    }
    MUST(status == POOL_OK);
    board->victim_sent++;
}

static void act_send(void) {
    mine = make(&own, &queue, VICTIM, 0, NULL, 0);
    put_patiently();
}

static void act_send_run(void) {
    mine = make(&own, &queue, VICTIM, 0, &my_run, 1);
    put_patiently();
    drop(&own, &my_run);
}

/* The same run twice in one message and once in another: by tickets. */
static void act_send_run_again(void) {
    mine = make(&own, &queue, VICTIM, 0, &my_run, 2);
    put_patiently();
    mine = make(&own, &queue, VICTIM, 1, &my_run, 1);
    put_patiently();
    drop(&own, &my_run);
}

static void act_put(void) { put_patiently(); }
static void act_end_unput(void) { attachment_message_end(&own, &queue, &mine); }

static void act_put_dropping(void) {
    while (attachment_message_put(&own, &queue, &mine) == POOL_QUEUE_FULL) {
        attachment_queue_drop_oldest(&own, &queue, &mine);
    }
    board->victim_sent++;
}

/* Takes a message, and tells which. */
static void take(unsigned who) {
    enum pool_status status;
    while ((status = attachment_message_take(&own, &queue, &mine)) == POOL_QUEUE_EMPTY) {
        usleep(10);
    }
    MUST(status == POOL_OK);
    struct content content = content_of(&mine);
    board->had[who] = content.sender;
    board->number_had[who] = content.number + 1;
}

static void attach_and_take(void) {
    attach_queue();
    take(0);
}

/* The next one that carries a run. */
static void attach_and_take_run(void) {
    attach_queue();
    for (take(0); mine.count == 0; take(0)) {
        receive(&own, &queue, &mine);
        board->had[0] = 0;
    }
}

static void act_take(void) { take(0); }

static void act_hold(void) { look_at_runs(&own, &mine, false); }

static void end_mine(unsigned who) {
    board->ended[who] = 1;
    attachment_message_end(&own, &queue, &mine);
}

static void act_end(void) { end_mine(0); }

static void act_receive(void) {
    take(0);
    look_at_runs(&own, &mine, false);
    end_mine(0);
}

static void act_return(void) {
    board->ended[0] = !(flags & QUEUE_REDELIVERS);
    attachment_message_return(&own, &queue, &mine);
    board->had[0] = flags & QUEUE_REDELIVERS ? 0 : board->had[0];
}

static void act_leave(void) { attachment_leave(&own, PATIENCE); }

static void act_open(void) {
    struct queue_request request = queue_request();
    open_queue(&own, "queue", &request, &queue);
}

static void act_make(void) {
    struct queue_request request = queue_request();
    open_queue(&own, "another", &request, &queue);
    MUST(attachment_queue_close(&own, &queue) == POOL_OK);
}

static void act_make_permanent(void) {
    struct queue_request request = queue_request();
    request.flags |= QUEUE_PERMANENT;
    open_queue(&own, "permanent", &request, &queue);
    MUST(attachment_queue_close(&own, &queue) == POOL_OK);
}

static void act_forget(void) { MUST(attachment_forget(&own, "permanent", PATIENCE, &failure) == POOL_OK); }

static void attach_permanent(void) {
    attach();
    act_make_permanent();
}

static void act_close(void) { MUST(attachment_queue_close(&own, &queue) == POOL_OK); }

/* A queue of the victim's own, with messages in it that carry runs. */
static void attach_last(void) {
    struct queue_request request = queue_request();
    struct content content = {VICTIM, 0, 0, 0};
    attach();
    open_queue(&own, NULL, &request, &queue);
    my_run = allocate(&own, &content);
    for (uint32_t i = 0; i < 3; i++) {
        mine = make(&own, &queue, VICTIM, i, &my_run, 1);
        MUST(attachment_message_put(&own, &queue, &mine) == POOL_OK);
    }
    drop(&own, &my_run);
}

static void attach_last_shut(void) { attach_last(); }
static void act_shut(void) { attachment_queue_shut(&own, &queue, true); }

static void attach_topic(void) {
    struct content content = {VICTIM, 0, 0, 0};
    attach();
    open_queue(&own, "topic", &topic_request, &queue);
    my_run = allocate(&own, &content);
    mine = make(&own, &queue, VICTIM, 0, &my_run, 1);
}

static void attach_topic_to_read(void) {
    attach();
    open_queue(&own, "topic", &topic_request, &queue);
}

static void act_publish(void) {
    MUST(attachment_message_put(&own, &queue, &mine) == POOL_OK);
    mine = make(&own, &queue, VICTIM, 1, NULL, 0);
    MUST(attachment_message_put(&own, &queue, &mine) == POOL_OK);
}

static void act_read(void) {
    position = 0;
    for (unsigned i = 0; i < HISTORY; i++, position++) {
        MUST(attachment_message_read(&own, &queue, &position, &lost, &mine) == POOL_OK);
        look_at_runs(&own, &mine, true);
        attachment_message_close(&own, &mine);
    }
}

/* A reader is killed while what it reads is pushed out. */
static void attach_reading(void) {
    attach_topic_to_read();
    MUST(attachment_message_read(&own, &queue, &position, &lost, &mine) == POOL_OK);
    struct queue_message next;
    for (uint32_t i = 0; i <= HISTORY; i++) {
        next = make(&own, &queue, VICTIM, i, NULL, 0);
        MUST(attachment_message_put(&own, &queue, &next) == POOL_OK);
    }
}

static void act_close_message(void) { attachment_message_close(&own, &mine); }

static void act_subscribe(void) {
    MUST(attachment_queue_subscribe(&own, &queue, &cursor, &position) == POOL_OK);
    MUST(attachment_message_read(&own, &queue, &position, &lost, &mine) == POOL_OK);
    attachment_message_close(&own, &mine);
    attachment_queue_advance(&own, &queue, cursor, position + 1);
    attachment_queue_unsubscribe(&own, &queue, cursor);
}

static void attach_latest(void) {
    attach();
    open_queue(&own, "latest", &latest_request, &queue);
}

static void act_set(void) {
    for (uint32_t i = 0; i < 2; i++) {
        mine = make(&own, &queue, VICTIM, i, NULL, 0);
        MUST(attachment_message_put(&own, &queue, &mine) == POOL_OK);
    }
}

static void act_get(void) {
    MUST(attachment_message_read(&own, &queue, &position, &lost, &mine) == POOL_OK);
    (void)content_of(&mine);
    attachment_message_close(&own, &mine);
}

/* A dead process for the victim to recover: it died with a message, or in putting one. */
static void attach_beside_a_dead_one(void) {
    attach_queue();
    pid_t dead = _Fork();
    if (dead == 0) {
        attach_with_run();
        steps = 0;
        kill_at = 10 + point % 40;
        if (point % 2) {
            take(1);
            end_mine(1);
        } else {
            act_send_run();
        }
        kill(getpid(), SIGKILL);
    }
    MUST(ended(dead) == -SIGKILL);
}

static void act_recover(void) {
    unsigned slots;
    uint64_t tickets;
    MUST(attachment_recover(&own, PATIENCE, -1, &slots, &tickets, &failure) == POOL_OK);
}

static const struct operation {
    const char *name;
    void (*first)(void); /* the victim, before it counts */
    void (*act)(void);   /* counting */
    bool may_lose;       /* without redelivering: one that dies before it knows what it took */
} operations[] = {
    {"open", attach, act_open, false},
    {"open, making it", attach, act_make, false},
    {"open, making it permanent", attach, act_make_permanent, false},
    {"forget a permanent one", attach_permanent, act_forget, false},
    {"send", attach_queue, act_send, false},
    {"send a run", attach_with_run, act_send_run, false},
    {"send a run twice", attach_with_run, act_send_run_again, false},
    {"put", attach_with_message, act_put, false},
    {"put, dropping the oldest", attach_with_message, act_put_dropping, false},
    {"end, not put", attach_with_message, act_end_unput, false},
    {"take", attach_queue, act_take, true},
    {"hold what is carried", attach_and_take_run, act_hold, false},
    {"end", attach_and_take, act_end, false},
    {"receive", attach_queue, act_receive, true},
    {"give back", attach_and_take, act_return, false},
    {"leave, with a message", attach_and_take, act_leave, false},
    {"leave, with one not put", attach_with_message, act_leave, false},
    {"close", attach_queue, act_close, false},
    {"close, the last one", attach_last, act_close, false},
    {"shut", attach_last_shut, act_shut, false},
    {"publish", attach_topic, act_publish, false},
    {"read", attach_topic_to_read, act_read, false},
    {"close a message that was pushed out", attach_reading, act_close_message, false},
    {"subscribe", attach_topic_to_read, act_subscribe, false},
    {"set a latest value", attach_latest, act_set, false},
    {"get a latest value", attach_latest, act_get, false},
    {"recover", attach_beside_a_dead_one, act_recover, true},
};

/* --- the judgement --- */

static void pause_survivors(void) {
    board->pause = 1;
    for (double end = os_now() + PATIENCE; !board->paused[0] || !board->paused[1]; usleep(10)) {
        MUST(os_now() < end);
        MUST(!board->wrong);
    }
}

static void resume_survivors(void) {
    board->pause = 0;
    while (board->paused[0] || board->paused[1]) {
        usleep(10);
    }
}

static uint64_t recover(double ticket_seconds) {
    unsigned slots;
    uint64_t tickets;
    MUST(attachment_recover(&attachment, PATIENCE, ticket_seconds, &slots, &tickets, &failure) == POOL_OK);
    return slots;
}

/* New messages push out what was there, and are read in order. */
static void topic_must_work(struct queue *topic) {
    struct queue_message message;
    uint64_t at = 0, missed = 0;
    for (uint32_t i = 0; i < HISTORY; i++) {
        message = make(&attachment, topic, MAIN, i, NULL, 0);
        MUST(attachment_message_put(&attachment, topic, &message) == POOL_OK);
    }
    for (uint32_t i = topic->kind == QUEUE_IS_LATEST ? HISTORY - 1 : 0; i < HISTORY; i++, at++) {
        MUST(attachment_message_read(&attachment, topic, &at, &missed, &message) == POOL_OK);
        struct content content = content_of(&message);
        MUST(content.sender == MAIN && content.number == i);
        attachment_message_close(&attachment, &message);
    }
    MUST(attachment_message_read(&attachment, topic, &at, &missed, &message) == POOL_QUEUE_EMPTY);
}

static uint32_t judged; /* numbers below it have been looked at */

/* Compares what came with what was sent. `dropped` messages may be missing, and one more that a victim took. */
static void judge(bool through, bool may_lose, uint64_t dropped) {
    struct queue_message message;
    enum pool_status status;
    last_number = 0;
    while ((status = attachment_message_take(&attachment, &main_queue, &message)) == POOL_OK) {
        receive(&attachment, &main_queue, &message);
    }
    MUST(status == POOL_QUEUE_EMPTY);
    bool redelivers = flags & QUEUE_REDELIVERS;
    for (unsigned v = 0; v < 2; v++) { /* what the victims told that they had: received, if not to come again */
        uint32_t number = board->number_had[v] - 1;
        uint8_t *count = board->had[v] == SENDER ? &board->received[number] : &board->of_victim[number];
        MUST(!board->had[v] || through || !redelivers || board->ended[v] || board->had[v] != SENDER ||
             board->marked[number]);
        if (board->had[v] && (!redelivers || (*count == 0 && board->ended[v]))) {
            ++*count;
        }
    }
    uint64_t missing = 0, may_be_missing = dropped + (may_lose && !redelivers);
    for (; judged < board->sent; judged++) {
        missing += board->received[judged] == 0;
        MUST(board->received[judged] <= 1);
    }
    MUST(missing <= may_be_missing);
    for (uint32_t i = 0; i < sizeof board->of_victim; i++) {
        MUST(board->of_victim[i] <= 1);
        MUST(i >= board->victim_sent || board->of_victim[i] == 1 || may_be_missing);
        MUST(i <= board->victim_sent || board->of_victim[i] == 0);
    }
    MUST(missing == 0 || !through || dropped);
    topic_must_work(&main_topic);
    topic_must_work(&main_latest);
}

static void count_blocks(const struct shared_pool *shared, uint64_t expected) {
    uint64_t used = 0;
    for (uint64_t i = 0; i < shared->blocks; i++) {
        used += load_seq(&shared_pool_entry(shared, i)->head) != LEDGER_FREE;
        MUST(bitmap_test(&shared->bitmap, i) == (load_seq(&shared_pool_entry(shared, i)->head) != LEDGER_FREE));
    }
    MUST(used == expected);
}

static void must_be_sound(void) {
    struct shared_pool_fault fault = {SHARED_POOL_FAULT_NONE, 0};
    struct shared_pool_audit audit;
    MUST(attachment_check(&attachment, PATIENCE, &fault, 1, &audit, &failure) == POOL_OK);
    if (audit.faults) {
        printf("check: fault of kind %d at %llu\n", (int)fault.kind, (unsigned long long)fault.index);
    }
    MUST(audit.faults == 0);
    /* the three queues, and the messages that a topic and a latest value have */
    uint64_t queues = main_queue.run.blocks + main_topic.run.blocks + main_latest.run.blocks;
    count_blocks(&attachment.queues.annex, queues + HISTORY + 1);
    count_blocks(&attachment.shared, 0);
}

/* --- running them --- */

static const struct operation *running;

static void victim(void) {
    operation_name = running->name;
    running->first();
    steps = 0;
    kill_at = point;
    running->act();
    kill_at = 0;
}

/* One point: a victim that is killed at its k-th access. Returns whether it was through before. */
static bool run_point(const struct operation *operation) {
    running = operation;
    operation_name = operation->name;
    board->victim_sent = 0;
    for (unsigned v = 0; v < 2; v++) {
        board->had[v] = board->number_had[v] = board->ended[v] = 0;
    }
    memset(board->of_victim, 0, sizeof board->of_victim);
    uint64_t dropped = load_seq(&main_queue.header->lost);
    pid_t child = start(victim);
    int end = ended(child);
    MUST(!board->wrong);
    MUST(end == 0 || end == -SIGKILL);
    (void)recover(-1);
    pause_survivors();
    dropped = load_seq(&main_queue.header->lost) - dropped;
    bool drops = operation->act == act_put_dropping;
    judge(end == 0, operation->may_lose, dropped + (drops && end != 0));
    enum pool_status forgotten = attachment_forget(&attachment, "permanent", PATIENCE, &failure);
    MUST(forgotten == POOL_OK || forgotten == POOL_NOT_FOUND);
    (void)recover(0); /* a ticket that the victim was making or dropping; no message has any now */
    must_be_sound();
    resume_survivors();
    return end == 0;
}

static uint64_t total;

static void run_operation(const struct operation *operation) {
    uint64_t points = 0;
    int through = 0;
    for (point = 1; through < ENOUGH; point++) {
        bool ended_alive = run_point(operation);
        through = ended_alive ? through + 1 : 0;
        points += !ended_alive;
    }
    printf("%s, %s: %llu crash points, all survived\n", operation->name, flags ? "redelivering" : "once",
           (unsigned long long)points);
    fflush(stdout);
    total += points;
}

static void run_all(const char *only) {
    struct queue_request request = queue_request();
    memset(board, 0, sizeof *board);
    judged = 0;
    open_queue(&attachment, "queue", &request, &main_queue);
    open_queue(&attachment, "topic", &topic_request, &main_topic);
    open_queue(&attachment, "latest", &latest_request, &main_latest);
    topic_must_work(&main_topic);
    topic_must_work(&main_latest);
    pid_t children[2] = {start(survive_sending), start(survive_receiving)};
    while (board->ready < 2) {
        MUST(!board->wrong);
        usleep(100);
    }
    for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (!only || strcmp(only, operations[i].name) == 0) {
            run_operation(&operations[i]);
        }
    }
    pause_survivors();
    for (unsigned i = 0; i < 2; i++) {
        kill(children[i], SIGKILL);
        MUST(ended(children[i]) == -SIGKILL);
    }
    MUST(recover(-1) == 2);
    MUST(attachment_queue_close(&attachment, &main_queue) == POOL_OK);
    MUST(attachment_queue_close(&attachment, &main_topic) == POOL_OK);
    MUST(attachment_queue_close(&attachment, &main_latest) == POOL_OK);
    count_blocks(&attachment.queues.annex, 0);
    count_blocks(&attachment.shared, 0);
    printf("the survivor sent %u messages\n", (unsigned)board->sent);
}

int main(int argc, char **argv) {
    double began = os_now();
    process_begin();
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(board != MAP_FAILED);
    snprintf(name, sizeof name, "%s", process_name());
    struct attachment_request request = {.name = name,
                                         .block_size = BLOCK,
                                         .blocks = BLOCKS,
                                         .small_blocks = 64,
                                         .processes = PROCESSES,
                                         .gate_seconds = PATIENCE};
    MUST(attachment_create(&attachment, &request, &failure) == POOL_OK);
    for (unsigned i = 0; i < 2; i++) {
        flags = i ? QUEUE_REDELIVERS : 0;
        run_all(argc > 1 ? argv[1] : NULL);
    }
    attachment_leave(&attachment, PATIENCE);
    attachment_unmap(&attachment);
    MUST(process_end() == 0);
    printf("%llu crash points in %.1f s\n", (unsigned long long)total, os_now() - began);
    return 0;
}
