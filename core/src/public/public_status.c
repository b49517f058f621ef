/* public_status.c: what statuses say, and which one of the public ones stands for each of the library's own. */
#include "public/public_parts.h"

#include <errno.h>

int public_status(enum pool_status status, const struct pool_failure *failure) {
    if (failure && failure->error) {
        errno = -failure->error;
    }
    switch (status) {
    case POOL_OK:
        return BLOCKPOOL_OK;
    case POOL_EXHAUSTED:
        return BLOCKPOOL_NO_ROOM;
    case POOL_STALE:
        return BLOCKPOOL_STALE;
    case POOL_IN_USE:
        return BLOCKPOOL_IN_USE;
    case POOL_TICKETS:
        return BLOCKPOOL_TOO_MANY_TICKETS;
    case POOL_CORRUPT:
        return BLOCKPOOL_CORRUPT;
    case POOL_STRAY:
        return BLOCKPOOL_NO_PART;
    case POOL_FULL:
        return BLOCKPOOL_TOO_MANY_PROCESSES;
    case POOL_BUSY:
    case POOL_LOCKED:
        return BLOCKPOOL_BUSY;
    case POOL_EXISTS:
        return BLOCKPOOL_EXISTS;
    case POOL_NOT_FOUND:
        return BLOCKPOOL_NOT_FOUND;
    case POOL_FORBIDDEN:
        return BLOCKPOOL_FORBIDDEN;
    case POOL_NO_POOL:
    case POOL_TRUNCATED:
        return BLOCKPOOL_NOT_A_POOL;
    case POOL_OTHER_VERSION:
        return BLOCKPOOL_OTHER_RELEASE;
    case POOL_NO_ROOM:
    case POOL_NO_MAPPING:
        return BLOCKPOOL_NO_MEMORY;
    case POOL_NO_DESCRIPTOR:
        return BLOCKPOOL_NO_DESCRIPTOR;
    case POOL_OTHER_KIND:
        return BLOCKPOOL_OTHER_KIND;
    case POOL_QUEUE_FULL:
        return BLOCKPOOL_QUEUE_FULL;
    case POOL_QUEUE_EMPTY:
        return BLOCKPOOL_QUEUE_EMPTY;
    case POOL_QUEUE_SHUT:
        return BLOCKPOOL_SHUT_DOWN;
    case POOL_NO_PROC:
    case POOL_NO_DIRECTORY:
    case POOL_UNREACHABLE:
    case POOL_SYSTEM:
    case POOL_STOPPED:
        return BLOCKPOOL_SYSTEM;
    }
    return BLOCKPOOL_SYSTEM;
}

const char *blockpool_version(void) { return BLOCKPOOL_VERSION; }

const char *blockpool_message(int status) {
    switch ((enum blockpool_status)status) {
    case BLOCKPOOL_OK:
        return "it went well";
    case BLOCKPOOL_BAD_BLOCK_SIZE:
        return "the block size must be a multiple of 8, and not 0";
    case BLOCKPOOL_BAD_POOL_SIZE:
        return "the pool size must be a multiple of the block size, and not 0";
    case BLOCKPOOL_NO_MEMORY:
        return "the machine has not so much memory; ask for a smaller pool";
    case BLOCKPOOL_IN_USE:
        return "blocks are allocated; deallocate them before you initialize again";
    case BLOCKPOOL_BUSY:
        return "another thread or process is in the middle of a call; try again";
    case BLOCKPOOL_NOT_INITIALIZED:
        return "there is no pool yet; call initialize_memory_allocator first";
    case BLOCKPOOL_BAD_COUNT:
        return "a run has at least 1 block, not 0";
    case BLOCKPOOL_TOO_LARGE:
        return "the pool has not so many blocks; ask for fewer, or make it larger";
    case BLOCKPOOL_NO_ROOM:
        return "there are not so many adjacent free blocks; deallocate some, or ask for fewer";
    case BLOCKPOOL_NULL:
        return "the address is NULL";
    case BLOCKPOOL_OUTSIDE:
        return "the address is not in the pool";
    case BLOCKPOOL_INSIDE_BLOCK:
        return "the address is inside a block; give the one that was allocated";
    case BLOCKPOOL_INSIDE_RUN:
        return "the address is inside a run; give the one that was allocated";
    case BLOCKPOOL_NOT_ALLOCATED:
        return "the block is not allocated: it was deallocated before, or never allocated";
    case BLOCKPOOL_BAD_NAME:
        return "a name has 1 to 180 letters, digits, '_', '-' and '.'";
    case BLOCKPOOL_BAD_BLOCKS:
        return "a shared pool has 1 to 16777216 blocks";
    case BLOCKPOOL_BAD_OPTIONS:
        return "an option is out of range; set what you do not need, and what is reserved, to 0";
    case BLOCKPOOL_BAD_TIMEOUT:
        return "the timeout is not a number of seconds";
    case BLOCKPOOL_BAD_ARRAY:
        return "there is no array of that type and shape, or it does not lie in the block";
    case BLOCKPOOL_BAD_TICKET:
        return "the text is not a ticket; pass what sharing a block gave";
    case BLOCKPOOL_EXISTS:
        return "the name is taken; choose another one, or attach or replace what has it";
    case BLOCKPOOL_NOT_FOUND:
        return "nothing has that name: it was never made, has ended, or its name was removed";
    case BLOCKPOOL_FORBIDDEN:
        return "it belongs to another user, or this process may not use /dev/shm";
    case BLOCKPOOL_NOT_A_POOL:
        return "something has the name that is not a pool, or a damaged one; choose another name, or remove it";
    case BLOCKPOOL_OTHER_RELEASE:
        return "the pool was made by another release of blockpool; use one release in all processes";
    case BLOCKPOOL_CORRUPT:
        return "something wrote over the bookkeeping of the pool; create a new one";
    case BLOCKPOOL_TOO_MANY_PROCESSES:
        return "as many processes are attached as the pool is for; let one leave, or create it for more";
    case BLOCKPOOL_NO_PART:
        return "this process was forked without a part in the pool; attach it again";
    case BLOCKPOOL_NO_DESCRIPTOR:
        return "too many files are open; close some, or raise the limit (ulimit -n)";
    case BLOCKPOOL_SYSTEM:
        return "the kernel refused; errno says what";
    case BLOCKPOOL_OTHER_POOL:
        return "the block or ticket is of another pool";
    case BLOCKPOOL_STALE:
        return "the block that the ticket names was freed; send a ticket for each receiver, and let it live long "
               "enough";
    case BLOCKPOOL_TOO_MANY_TICKETS:
        return "too many references to the block are in flight; have some redeemed first";
    case BLOCKPOOL_TOO_MANY_NAMES:
        return "the pool has as many names as it can; forget some";
    case BLOCKPOOL_OTHER_KIND:
        return "the name belongs to something of another kind";
    case BLOCKPOOL_QUEUE_FULL:
        return "the queue is full; wait, or drop the oldest message";
    case BLOCKPOOL_QUEUE_EMPTY:
        return "the queue is empty";
    case BLOCKPOOL_SHUT_DOWN:
        return "the queue was shut down";
    case BLOCKPOOL_NO_QUEUE_ROOM:
        return "the pool has not so much room for queues and messages; create it with more (queue_room)";
    case BLOCKPOOL_UNFINISHED:
        return "queues of the pool are open, or messages of the queue are not done; finish those first";
    case BLOCKPOOL_NOT_RECEIVED:
        return "the message was done before, or never received";
    case BLOCKPOOL_MISUSED:
        return "something wrote to the block while it was free, or past its end before; the call may be repeated";
    case BLOCKPOOL_NOTE_TOO_LONG:
        return "a note has at most 120 bytes; put more into the block itself";
    }
    return "no such status";
}
