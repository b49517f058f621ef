/* blockpool_shared.h: pools and queues that processes share, in C and C++; Python's blockpool is on the other side.
 *
 *     struct blockpool_pool *pool;                                       a camera driver
 *     struct blockpool_queue *queue;
 *     struct blockpool_block frame;
 *     struct blockpool_array image;
 *     int64_t shape[] = {480, 640};
 *     blockpool_pool_create("camera", 1 << 20, 16, NULL, &pool);
 *     blockpool_queue_make(pool, "frames", NULL, &queue);
 *     blockpool_array_init(&image, "<u2", 2, shape);
 *     while (blockpool_block_allocate(pool, 480 * 640 * 2, BLOCKPOOL_FOREVER, &frame) == BLOCKPOOL_OK) {
 *         read_sensor(frame.data);
 *         blockpool_queue_put_array(queue, &frame, &image, BLOCKPOOL_FOREVER);
 *         blockpool_block_release(&frame);
 *     }
 *
 *     pool = blockpool.Pool.attach("camera")                             its peer in Python
 *     for frame in pool.queue("frames"): ...                             a numpy array of uint16
 *
 * STATUSES. Calls return BLOCKPOOL_OK or why not; blockpool_message has the words. What is refused changes nothing,
 * and sets what it would have given to NULL or zero. No call ends the program or prints. Every call may return
 * BLOCKPOOL_NULL, for a NULL that it says nothing about; BLOCKPOOL_NO_PART, in a forked child that has no part in the
 * pool; BLOCKPOOL_CORRUPT, if something wrote over the pool's bookkeeping; and, if it waits for other processes to
 * attach, leave or recover, BLOCKPOOL_BUSY after 5 seconds. With BLOCKPOOL_SYSTEM, errno says what the kernel refused.
 *
 * OWNERSHIP. A block is held, by this process, from when a call gives it to when it is released. Others hold it on
 * their own account: a queue that it was put into, a name, a ticket, other processes. The memory is used again when
 * nobody holds it. What a process held comes back by itself when the process ends, however that happens.
 *
 * THREADS. All calls may be made from any thread at any time, except that no other call may use a pool or queue that is
 * being closed, and that two threads must not use one struct blockpool_block or blockpool_received at the same time.
 *
 * TIMEOUTS are in seconds. 0 does not wait; BLOCKPOOL_FOREVER, like any negative number, waits as long as it takes.
 * While a call waits, it looks now and then whether those are dead who hold what it waits for, and takes that back.
 * Signals do not end a wait; if a handler's flag is to end it, wait for a second at a time.
 *
 * FORK. A forked child has the parent's pools, blocks and queues, as if it had attached, got and opened them itself,
 * unless the pool has detach_on_fork. A message that the parent has received stays the parent's alone.
 *
 * NAMES are 1 to 180 letters, digits, '_', '-' and '.'. Names of pools are for all processes of the user; names of
 * blocks and queues are for one pool, and each belongs to a block or to a queue.
 */
#ifndef BLOCKPOOL_SHARED_H
#define BLOCKPOOL_SHARED_H

#include <stddef.h>
#include <stdint.h>

#include "blockpool.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BLOCKPOOL_FOREVER (-1.0)
#define BLOCKPOOL_TICKET_BYTES 272
#define BLOCKPOOL_NOTE_BYTES 120
#define BLOCKPOOL_MOST_DIMENSIONS 8

struct blockpool_pool;
struct blockpool_queue;

/* --- pools --- */

/* What a new pool is to be. All zero is the default, and so is NULL in place of a pointer to it. */
struct blockpool_pool_options {
    uint32_t processes;      /* the most that can be attached at a time, to 4096; 0: 256 */
    uint32_t exist_ok;       /* attach the pool that has the name, if it has as many blocks of that size */
    uint32_t permanent;      /* it stays until blockpool_pool_unlink; else it ends with its last process */
    uint32_t detach_on_fork; /* forked children have no part in it */
    uint64_t queue_room;     /* bytes for queues and their messages; 0: a 64th of the pool, 128 KiB to 16 MiB */
    double ticket_lifetime;  /* seconds after which a ticket may be dropped if somebody needs room; 0: never */
    uint64_t reserved[3];    /* 0 */
};

/* Creates a pool of that many blocks of that many bytes, all zero, and attaches it. Without a name (NULL), only forked
 * children reach it. Returns BLOCKPOOL_OK, _BAD_NAME, _BAD_BLOCK_SIZE (not a multiple of 8, or 0), _BAD_BLOCKS,
 * _BAD_OPTIONS, _EXISTS, _NO_MEMORY, _NO_DESCRIPTOR, _BUSY or _SYSTEM; with exist_ok, also as blockpool_pool_attach. */
BLOCKPOOL_API int blockpool_pool_create(const char *name, size_t block_size, size_t blocks,
                                        const struct blockpool_pool_options *options, struct blockpool_pool **pool);

/* Attaches the pool of that name, which may have been created in Python. Each attachment counts as a process. Returns
 * BLOCKPOOL_OK, _BAD_NAME, _NOT_FOUND, _FORBIDDEN, _NOT_A_POOL, _OTHER_RELEASE, _TOO_MANY_PROCESSES, _NO_MEMORY,
 * _NO_DESCRIPTOR, _BUSY or _SYSTEM. */
BLOCKPOOL_API int blockpool_pool_attach(const char *name, struct blockpool_pool **pool);

/* Gives back every block that this attachment holds, leaves the pool and unmaps its memory. Returns BLOCKPOOL_OK or
 * _UNFINISHED: close its queues first. */
BLOCKPOOL_API int blockpool_pool_close(struct blockpool_pool *pool);

/* Removes the name of a pool; those that have it attached go on. Returns BLOCKPOOL_OK, _BAD_NAME, _NOT_FOUND,
 * _FORBIDDEN, _NOT_A_POOL, _NO_DESCRIPTOR, _BUSY or _SYSTEM. */
BLOCKPOOL_API int blockpool_pool_unlink(const char *name);

/* Brings back what dead processes held, which calls that wait do by themselves; *processes (or NULL) is how many there
 * were. Returns BLOCKPOOL_OK, _BUSY or _SYSTEM. */
BLOCKPOOL_API int blockpool_pool_recover(struct blockpool_pool *pool, unsigned *processes);

struct blockpool_pool_info {
    uint64_t block_size, blocks;
    uint64_t allocated; /* blocks; with others at work, a moment ago */
    uint64_t processes; /* attached */
    uint64_t reserved[4];
};

BLOCKPOOL_API int blockpool_pool_stats(struct blockpool_pool *pool, struct blockpool_pool_info *info);

/* --- blocks --- */

/* A block or a run of adjacent ones, and the right to use it. Copy it as you like, but release only one of the copies;
 * do not change the fields. */
struct blockpool_block {
    struct blockpool_pool *pool;
    void *data;
    size_t bytes;               /* as many as were asked for */
    uint64_t index, generation; /* in the pool: the first block, and how many runs have begun there */
};

/* Allocates a block of that many bytes, or a run of blocks if one is not enough. The memory holds what its last user
 * left there; in a pool that Python created in debug mode, 0xCD. Returns BLOCKPOOL_OK, _BAD_COUNT (0 bytes), _TOO_LARGE
 * (more than the pool), _NO_ROOM, _BAD_TIMEOUT or, in debug mode, _MISUSED: it was given back, and the call may be
 * repeated. */
BLOCKPOOL_API int blockpool_block_allocate(struct blockpool_pool *pool, size_t bytes, double timeout,
                                           struct blockpool_block *block);

/* Ends the use of a block, and sets the struct to zero. Returns BLOCKPOOL_OK or _NOT_ALLOCATED: it was released before.
 * (A copy that is released a second time is told too, unless this process holds the same block a second time, by
 * blockpool_block_redeem, _get or blockpool_received_block.) */
BLOCKPOOL_API int blockpool_block_release(struct blockpool_block *block);

/* Puts one reference to the block in flight, which keeps it until somebody redeems the ticket, or until its lifetime is
 * over, if the pool's tickets have one. The ticket is a text, ending with a zero, that may be sent to any process of
 * this user. Python's blockpool.redeem takes it too. Returns BLOCKPOOL_OK, _NOT_ALLOCATED or _TOO_MANY_TICKETS. */
BLOCKPOOL_API int blockpool_block_share(const struct blockpool_block *block, char ticket[BLOCKPOOL_TICKET_BYTES]);

/* Gives the block that a ticket names, or a handle from Python. Returns BLOCKPOOL_OK, _BAD_TICKET, _OTHER_POOL or
 * _STALE. */
BLOCKPOOL_API int blockpool_block_redeem(struct blockpool_pool *pool, const char *ticket,
                                         struct blockpool_block *block);

/* Sets the block's note: up to BLOCKPOOL_NOTE_BYTES that all who have the block can read, such as a time or the number
 * of a camera. It goes where the block goes, through queues too. Without bytes, the block has none. A reader gets the
 * old note or the new one, never a part. Returns BLOCKPOOL_OK, _NOT_ALLOCATED, _NOTE_TOO_LONG, _NO_MEMORY,
 * _NO_DESCRIPTOR, _SYSTEM; or _BUSY, if another process is stopped in the middle of setting it. */
BLOCKPOOL_API int blockpool_block_set_note(const struct blockpool_block *block, const void *note, size_t length);

/* Copies the block's note, and *length, which is 0 if it has none. Returns BLOCKPOOL_OK or _NOT_ALLOCATED. */
BLOCKPOOL_API int blockpool_block_note(const struct blockpool_block *block, void *note, size_t *length);

/* Gives the block a name. The pool holds it until the name is forgotten or replaced, or as long as the pool exists.
 * With `replace`, a block that has the name loses it in the same step. Returns BLOCKPOOL_OK, _NOT_ALLOCATED, _BAD_NAME,
 * _EXISTS, _OTHER_KIND, _TOO_MANY_NAMES or _BUSY. */
BLOCKPOOL_API int blockpool_block_keep(const struct blockpool_block *block, const char *name, int replace);

/* Gives the block that has the name. Returns BLOCKPOOL_OK, _BAD_NAME, _NOT_FOUND or _OTHER_KIND. */
BLOCKPOOL_API int blockpool_block_get(struct blockpool_pool *pool, const char *name, struct blockpool_block *block);

/* Takes the name from a block or queue, which ends when nobody else uses it. Returns BLOCKPOOL_OK, _BAD_NAME,
 * _NOT_FOUND or _BUSY. */
BLOCKPOOL_API int blockpool_pool_forget(struct blockpool_pool *pool, const char *name);

/* --- queues --- */

/* What a new queue is to be. All zero is the default, and so is NULL. */
struct blockpool_queue_options {
    uint64_t capacity;    /* messages, to 2^20; 0: 64 */
    uint32_t redeliver;   /* a message whose receiver dies before it is done with it is received once more */
    uint32_t permanent;   /* its name keeps it until it is forgotten; else it ends when nobody has it open */
    uint64_t reserved[4]; /* 0 */
};

/* Opens the queue of that name, or makes it if there is none; the options are then for a new one only. Without a name
 * (NULL), always makes one, which only forked children reach. Returns BLOCKPOOL_OK, _BAD_NAME, _BAD_OPTIONS,
 * _OTHER_KIND, _TOO_MANY_NAMES, _NO_QUEUE_ROOM, _NO_MEMORY or _BUSY. */
BLOCKPOOL_API int blockpool_queue_make(struct blockpool_pool *pool, const char *name,
                                       const struct blockpool_queue_options *options, struct blockpool_queue **queue);

/* Opens the queue of that name. Returns BLOCKPOOL_OK, _BAD_NAME, _NOT_FOUND, _OTHER_KIND, _NO_MEMORY or _BUSY. */
BLOCKPOOL_API int blockpool_queue_open(struct blockpool_pool *pool, const char *name, struct blockpool_queue **queue);

/* Closes the queue for this process. Returns BLOCKPOOL_OK or _UNFINISHED: blockpool_received_done first. */
BLOCKPOOL_API int blockpool_queue_close(struct blockpool_queue *queue);

/* Shuts the queue down for everybody: nothing more can be put, and when what is in it was received, blockpool_queue_get
 * returns BLOCKPOOL_SHUT_DOWN. If `immediate`, what is in it is dropped. Wakes all who wait. */
BLOCKPOOL_API int blockpool_queue_shutdown(struct blockpool_queue *queue, int immediate);

/* For how many seconds, less than 1, this process's calls that wait on the queue look without sleeping before they
 * sleep; 0 at first. Costs a processor for that long, and saves some microseconds. Returns BLOCKPOOL_OK or
 * _BAD_TIMEOUT. */
BLOCKPOOL_API int blockpool_queue_spin(struct blockpool_queue *queue, double seconds);

enum blockpool_overflow { BLOCKPOOL_WAIT, BLOCKPOOL_DROP_OLDEST };

/* What this process's calls that put do when the queue is full: wait (at first), or drop the oldest message. Returns
 * BLOCKPOOL_OK or _BAD_OPTIONS. */
BLOCKPOOL_API int blockpool_queue_overflow(struct blockpool_queue *queue, enum blockpool_overflow overflow);

struct blockpool_queue_info {
    uint64_t capacity;
    uint64_t waiting;    /* messages in it; with others at work, a moment ago */
    uint64_t unfinished; /* messages that were received and are not done */
    uint64_t lost;       /* messages that were dropped for want of room, since it was made */
    uint32_t redeliver, permanent;
    uint64_t reserved[4];
};

BLOCKPOOL_API int blockpool_queue_stats(struct blockpool_queue *queue, struct blockpool_queue_info *info);

/* --- putting --- */

/* An array in a block, as NumPy describes one. */
struct blockpool_array {
    char type[8];        /* byte order, kind and bytes, as "<u2", "|u1", "<f4"; kinds are b i u f c m M S U V */
    uint32_t dimensions; /* 0 to BLOCKPOOL_MOST_DIMENSIONS */
    uint32_t readonly;   /* receivers are not to write to it */
    uint64_t offset;     /* bytes, from the start of the block to the first element */
    int64_t shape[BLOCKPOOL_MOST_DIMENSIONS];
    int64_t strides[BLOCKPOOL_MOST_DIMENSIONS]; /* bytes */
};

/* Describes an array in row-major order at the start of a block. Returns BLOCKPOOL_OK or _BAD_ARRAY. */
BLOCKPOOL_API int blockpool_array_init(struct blockpool_array *array, const char *type, unsigned dimensions,
                                       const int64_t *shape);

/* How many bytes its elements take; 0 if it is none. */
BLOCKPOOL_API size_t blockpool_array_bytes(const struct blockpool_array *array);

/* Whether its elements lie in row-major order, without gaps. */
BLOCKPOOL_API int blockpool_array_is_contiguous(const struct blockpool_array *array);

/* Put a message into the queue: a copy of some bytes, a block, or an array in a block. The queue holds the block from
 * then on, besides the caller, who still has to release it. Return BLOCKPOOL_OK, _QUEUE_FULL (also if, meanwhile, all
 * queues of the pool together have no room for the message), _SHUT_DOWN, _NO_QUEUE_ROOM, _BAD_TIMEOUT; of blocks,
 * _NOT_ALLOCATED, _OTHER_POOL, _TOO_MANY_TICKETS; of arrays, _BAD_ARRAY. `bytes` may be NULL if there are none. */
BLOCKPOOL_API int blockpool_queue_put_bytes(struct blockpool_queue *queue, const void *bytes, size_t length,
                                            double timeout);
BLOCKPOOL_API int blockpool_queue_put_block(struct blockpool_queue *queue, const struct blockpool_block *block,
                                            double timeout);
BLOCKPOOL_API int blockpool_queue_put_array(struct blockpool_queue *queue, const struct blockpool_block *block,
                                            const struct blockpool_array *array, double timeout);

/* --- getting --- */

enum blockpool_kind {
    BLOCKPOOL_BYTES = 1,
    BLOCKPOOL_PICKLE = 2, /* an object of Python: its pickle; the blocks are its buffers */
    BLOCKPOOL_BLOCK = 3,
    BLOCKPOOL_ARRAY = 4,
};

/* A message that was received; it is this process's until blockpool_received_done. */
struct blockpool_received {
    struct blockpool_queue *queue;
    enum blockpool_kind kind;
    uint32_t again;               /* delivered before, to a process that died */
    void *data;                   /* of an array, its first element; may be NULL if there are no bytes */
    size_t bytes;                 /* of an array, of all elements together */
    struct blockpool_array array; /* of an array: checked, it lies in its block */
    uint32_t blocks;              /* how many the message has */
    uint32_t process;             /* that sent it */
    uint64_t sent;                /* when, in nanoseconds on CLOCK_MONOTONIC */
    uint64_t position;            /* how many messages were put before it */
    uint64_t internal[12];
};

/* Receives the oldest message. Returns BLOCKPOOL_OK, _QUEUE_EMPTY, _SHUT_DOWN, _BAD_TIMEOUT; or _CORRUPT, if the
 * message is garbled: then it is dropped. */
BLOCKPOOL_API int blockpool_queue_get(struct blockpool_queue *queue, double timeout,
                                      struct blockpool_received *received);

/* Gives block number i of the message, which the caller then holds beyond the message. Returns BLOCKPOOL_OK,
 * _NOT_RECEIVED or _BAD_COUNT: it has not so many. */
BLOCKPOOL_API int blockpool_received_block(const struct blockpool_received *received, unsigned i,
                                           struct blockpool_block *block);

/* Ends the use of the message and of the memory that came with it, and sets the struct to zero. Returns BLOCKPOOL_OK or
 * _NOT_RECEIVED. */
BLOCKPOOL_API int blockpool_received_done(struct blockpool_received *received);

/* The same, but gives the message back to its queue, for another receiver; if the queue does not redeliver, it is
 * dropped. */
BLOCKPOOL_API int blockpool_received_return(struct blockpool_received *received);

#ifdef __cplusplus
}
#endif

#endif
