/* blockpool.h: the three classic calls: a pool of blocks for the whole process, in C, C++ or assembly. Pools and queues
 * that processes share are in blockpool_shared.h, which this header includes; blockpool.hpp has classes for C++.
 *
 *     if (initialize_memory_allocator(BLOCKPOOL_DEFAULT_POOL_SIZE, BLOCKPOOL_DEFAULT_BLOCK_SIZE) != BLOCKPOOL_OK) ...
 *     char *run = allocate_memory_blocks(3);         three adjacent blocks: 96 bytes
 *     if (run == NULL) puts(blockpool_message(blockpool_last_status()));
 *     int status = deallocate_memory_blocks(run);    all three
 *     if (status != BLOCKPOOL_OK) puts(blockpool_message(status));
 *
 * A call that is refused changes nothing. Every function may be called from any thread at any time. Allocating and
 * deallocating take no lock; they wait only while another thread is replacing the pool.
 *
 * A forked child has its own copy of the pool and of what is allocated in it.
 */
#ifndef BLOCKPOOL_PUBLIC_H
#define BLOCKPOOL_PUBLIC_H

#include <stddef.h>

#include "blockpool_version.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BLOCKPOOL_API __attribute__((visibility("default")))

#define BLOCKPOOL_DEFAULT_POOL_SIZE 1024
#define BLOCKPOOL_DEFAULT_BLOCK_SIZE 32

/* How a call ended. The numbers never change; releases to come may add more. */
enum blockpool_status {
    BLOCKPOOL_OK = 0,
    BLOCKPOOL_BAD_BLOCK_SIZE = 1,  /* not a multiple of 8, or 0 */
    BLOCKPOOL_BAD_POOL_SIZE = 2,   /* not a multiple of the block size, or 0 */
    BLOCKPOOL_NO_MEMORY = 3,       /* there is not enough memory */
    BLOCKPOOL_IN_USE = 4,          /* the pool cannot be replaced: blocks are allocated */
    BLOCKPOOL_BUSY = 5,            /* another thread's or process's call does not end */
    BLOCKPOOL_NOT_INITIALIZED = 6, /* there is no pool yet */
    BLOCKPOOL_BAD_COUNT = 7,       /* a run of 0 blocks */
    BLOCKPOOL_TOO_LARGE = 8,       /* more blocks than the whole pool has */
    BLOCKPOOL_NO_ROOM = 9,         /* there is no free run of this length now */
    BLOCKPOOL_NULL = 10,           /* the address is NULL, or another pointer that must not be */
    BLOCKPOOL_OUTSIDE = 11,        /* the address is not in the pool */
    BLOCKPOOL_INSIDE_BLOCK = 12,   /* the address is in a block, but not its first byte */
    BLOCKPOOL_INSIDE_RUN = 13,     /* the address is of a block of a run, but not its first */
    BLOCKPOOL_NOT_ALLOCATED = 14,  /* the block is free: deallocated before, or never allocated */
    /* of shared pools and queues: */
    BLOCKPOOL_BAD_NAME = 15,           /* not 1 to 180 letters, digits, '_', '-' and '.' */
    BLOCKPOOL_BAD_BLOCKS = 16,         /* not 1 to 2^24 blocks */
    BLOCKPOOL_BAD_OPTIONS = 17,        /* an option is out of range, or a reserved field is not 0 */
    BLOCKPOOL_BAD_TIMEOUT = 18,        /* not a number */
    BLOCKPOOL_BAD_ARRAY = 19,          /* no such type or shape, or it does not lie in the block */
    BLOCKPOOL_BAD_TICKET = 20,         /* not a text that blockpool_block_share or Python made */
    BLOCKPOOL_EXISTS = 21,             /* the name is taken */
    BLOCKPOOL_NOT_FOUND = 22,          /* nothing has the name */
    BLOCKPOOL_FORBIDDEN = 23,          /* it belongs to another user */
    BLOCKPOOL_NOT_A_POOL = 24,         /* something else has the name */
    BLOCKPOOL_OTHER_RELEASE = 25,      /* the pool was made by another release, with another layout */
    BLOCKPOOL_CORRUPT = 26,            /* something wrote over the bookkeeping */
    BLOCKPOOL_TOO_MANY_PROCESSES = 27, /* as many are attached as the pool is for */
    BLOCKPOOL_NO_PART = 28,            /* this process is a forked child without a part in the pool */
    BLOCKPOOL_NO_DESCRIPTOR = 29,      /* too many open files */
    BLOCKPOOL_SYSTEM = 30,             /* the kernel refused: errno says what */
    BLOCKPOOL_OTHER_POOL = 31,         /* the block or ticket is of another pool */
    BLOCKPOOL_STALE = 32,              /* what the ticket names was freed */
    BLOCKPOOL_TOO_MANY_TICKETS = 33,   /* more than 8191 references to one block in flight */
    BLOCKPOOL_TOO_MANY_NAMES = 34,     /* the pool has 256 names already */
    BLOCKPOOL_OTHER_KIND = 35,         /* the name belongs to something of another kind */
    BLOCKPOOL_QUEUE_FULL = 36,         /* no room for the message, within the timeout */
    BLOCKPOOL_QUEUE_EMPTY = 37,        /* no message, within the timeout */
    BLOCKPOOL_SHUT_DOWN = 38,          /* the queue was shut down */
    BLOCKPOOL_NO_QUEUE_ROOM = 39,      /* the pool has no room for the queue, or ever for a message of that length */
    BLOCKPOOL_UNFINISHED = 40,         /* queues of the pool are open, or messages of the queue are not done */
    BLOCKPOOL_NOT_RECEIVED = 41,       /* the message was done before, or never received */
    BLOCKPOOL_NOTE_TOO_LONG = 42,      /* more than 120 bytes */
    BLOCKPOOL_MISUSED = 43,            /* debug mode: something wrote to the block while it was free, or past its end */
};

/* Makes a pool of mem_pool_size bytes, all zero, cut into blocks of block_size bytes. The block size is a multiple of
 * 8, the pool size a multiple of the block size. An earlier pool is replaced, unless blocks of it are allocated.
 * Returns BLOCKPOOL_OK, _BAD_BLOCK_SIZE, _BAD_POOL_SIZE, _NO_MEMORY, _IN_USE or _BUSY. */
BLOCKPOOL_API int initialize_memory_allocator(size_t mem_pool_size, size_t block_size);

/* Allocates a run of n adjacent blocks and returns the address of its first byte, a multiple of the largest power of
 * two that divides the block size (at most a page). It contains what its last user left there. NULL on failure; then
 * blockpool_last_status is BLOCKPOOL_NOT_INITIALIZED, _BAD_COUNT, _TOO_LARGE, _NO_ROOM or _BUSY. */
BLOCKPOOL_API void *allocate_memory_blocks(size_t n);

/* Gives back the whole run that begins at `address`. A second time is refused, unless the block was allocated again
 * meanwhile: then it has a new owner, and nothing tells the two apart. Returns BLOCKPOOL_OK, _NOT_INITIALIZED, _NULL,
 * _OUTSIDE, _INSIDE_BLOCK, _INSIDE_RUN, _NOT_ALLOCATED or _BUSY. */
BLOCKPOOL_API int deallocate_memory_blocks(void *address);

/* How this thread's last call of the three above ended. */
BLOCKPOOL_API int blockpool_last_status(void);

/* The status in words: a sentence without a period. Never NULL; do not free it. */
BLOCKPOOL_API const char *blockpool_message(int status);

/* The release of the library; BLOCKPOOL_VERSION is that of this header. */
BLOCKPOOL_API const char *blockpool_version(void);

#ifdef __cplusplus
}
#endif

#include "blockpool_shared.h"

#endif
