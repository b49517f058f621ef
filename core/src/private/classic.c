/* classic.c: the three classic calls of blockpool.h: one private pool for the whole process, which can be replaced.
 *
 * `current` is the address of the pool in use; its lowest bit says that an initialization is about to replace it.
 *
 * REPLACING A POOL UNDER OTHERS' FEET. A thread that allocates or deallocates touches the pool's bookkeeping, which a
 * replacement unmaps. So it counts itself in at one of several entrances, each on its own cache line, and then reads
 * `current`. An initialization sets the bit, then waits until each entrance has been empty once. Of "count, then read"
 * and "set, then look", one sees the other, because all four are sequentially consistent: a thread that counted itself
 * in too late sees the bit, counts itself out, and waits for the new pool. So while the bit is set and the entrances
 * are empty, no thread uses the pool: whether blocks are allocated is then a fact, and the old pool can go at once.
 *
 * No call waits forever. A fork copies the count of a thread that the child does not have, or the bit of an
 * initialization that will never end there; a call that has waited longer than PATIENCE returns BLOCKPOOL_BUSY.
 *
 * REJECTED: claiming every block of the old pool and then publishing the new one (a concurrent second deallocation
 * would take the claim for its own block and free it); keeping replaced pools mapped (a program that initializes in a
 * loop would run out of mappings); one count for all threads (they would share a cache line in every call).
 */
#include "blockpool.h"

#include "os/limits.h"
#include "os/memory.h"
#include "os/thread.h"
#include "os/wait.h"
#include "private/private_pool.h"

#define REPLACING UINT64_C(1)
#define ENTRANCES 16u
#define PATIENCE 1.0 /* seconds */

struct allocator {
    struct private_pool pool;
    size_t bytes;      /* of this structure and the metadata that follows it */
    size_t data_bytes; /* of the blocks */
};

struct entrance {
    atomic_half inside; /* threads */
    char padding[60];
};
_Static_assert(sizeof(struct entrance) == 64, "an entrance fills one cache line");

static _Alignas(64) struct entrance entrances[ENTRANCES];
static atomic_word current;
static _Thread_local int last_status;

static int finish(int status) {
    last_status = status;
    return status;
}

/* --- the pool --- */

static int make(struct allocator **made, size_t pool_size, size_t block_size) {
    uint64_t blocks = pool_size / block_size;
    struct os_limits machine = {{.bytes = OS_MEMORY_SURE}, {.bytes = 0}};
    if (pool_size > OS_MEMORY_SURE) {
        os_limits(&machine);
    }
    if (pool_size > machine.total.bytes || blocks > BITMAP_MOST) {
        return BLOCKPOOL_NO_MEMORY;
    }
    size_t head = (sizeof(struct allocator) + 63) / 64 * 64;
    size_t bytes = head + private_pool_metadata_bytes(blocks);
    void *memory, *data;
    if (os_map_private(bytes, false, &memory) != 0) {
        return BLOCKPOOL_NO_MEMORY;
    }
    if (os_map_private(pool_size, false, &data) != 0) {
        os_unmap(memory, bytes);
        return BLOCKPOOL_NO_MEMORY;
    }
    *made = memory;
    (*made)->bytes = bytes;
    (*made)->data_bytes = pool_size;
    private_pool_init(&(*made)->pool, (char *)memory + head, data, block_size, blocks);
    return BLOCKPOOL_OK;
}

static void unmake(struct allocator *allocator) {
    os_unmap(allocator->pool.data, allocator->data_bytes);
    os_unmap(allocator, allocator->bytes);
}

/* --- entrances --- */

/* Lets others run; false if that has gone on for too long since *begun. *begun is 0 at first. */
static bool patient(double *begun) {
    if (*begun == 0) {
        *begun = os_now();
    }
    os_yield();
    return os_now() - *begun < PATIENCE;
}

static struct entrance *entrance(void) { return &entrances[(os_thread_number() - 1) % ENTRANCES]; }

static void leave(void) { half_fetch_add_seq(&entrance()->inside, UINT32_MAX); }

/* Counts this thread in and gives it the pool until it calls leave. On failure returns why, and the caller must not
 * call leave. */
static int enter(struct allocator **allocator) {
    double begun = 0;
    do {
        half_fetch_add_seq(&entrance()->inside, 1);
        uint64_t word = load_seq(&current);
        if (word != 0 && !(word & REPLACING)) {
            *allocator = (struct allocator *)(uintptr_t)word;
            return BLOCKPOOL_OK;
        }
        leave();
        if (word == 0) {
            return BLOCKPOOL_NOT_INITIALIZED;
        }
        while (load_seq(&current) & REPLACING) { /* count out first: a thread that waits must not be waited for */
            if (!patient(&begun)) {
                return BLOCKPOOL_BUSY;
            }
        }
    } while (patient(&begun));
    return BLOCKPOOL_BUSY;
}

/* Sets the bit, and *old to the pool that it was set on, or NULL; false if another initialization holds it too long. */
static bool begin_replacing(struct allocator **old) {
    double begun = 0;
    do {
        uint64_t word = load_seq(&current);
        if (!(word & REPLACING) && compare_exchange_seq(&current, &word, word | REPLACING)) {
            *old = (struct allocator *)(uintptr_t)word;
            return true;
        }
    } while (patient(&begun));
    return false;
}

/* Clears the bit that was set on `old`, and makes `used` the pool in use. Only the thread that set the bit changes
 * `current`. */
static void end_replacing(struct allocator *old, struct allocator *used) {
    uint64_t word = (uintptr_t)old | REPLACING;
    (void)compare_exchange_seq(&current, &word, (uintptr_t)used);
}

/* Waits until each entrance has been empty once; false if one stays occupied too long. */
static bool everybody_left(void) {
    double begun = 0;
    for (unsigned e = 0; e < ENTRANCES; e++) {
        while (half_load_seq(&entrances[e].inside) != 0) {
            if (!patient(&begun)) {
                return false;
            }
        }
    }
    return true;
}

/* --- the calls --- */

int initialize_memory_allocator(size_t mem_pool_size, size_t block_size) {
    if (block_size == 0 || block_size % 8 != 0) {
        return finish(BLOCKPOOL_BAD_BLOCK_SIZE);
    }
    if (mem_pool_size == 0 || mem_pool_size % block_size != 0) {
        return finish(BLOCKPOOL_BAD_POOL_SIZE);
    }
    struct allocator *made, *old;
    int status = make(&made, mem_pool_size, block_size);
    if (status != BLOCKPOOL_OK) {
        return finish(status);
    }
    if (!begin_replacing(&old)) {
        unmake(made);
        return finish(BLOCKPOOL_BUSY);
    }
    if (!everybody_left()) {
        status = BLOCKPOOL_BUSY;
    } else if (old && bitmap_count(&old->pool.bitmap) != 0) {
        status = BLOCKPOOL_IN_USE;
    }
    bool replaced = status == BLOCKPOOL_OK;
    end_replacing(old, replaced ? made : old);
    struct allocator *useless = replaced ? old : made;
    if (useless) {
        unmake(useless);
    }
    return finish(status);
}

void *allocate_memory_blocks(size_t n) {
    struct allocator *allocator;
    int status = enter(&allocator);
    if (status != BLOCKPOOL_OK) {
        (void)finish(status);
        return NULL;
    }
    struct private_pool *pool = &allocator->pool;
    void *address = NULL;
    if (n == 0) {
        status = BLOCKPOOL_BAD_COUNT;
    } else if (n > pool->blocks) {
        status = BLOCKPOOL_TOO_LARGE;
    } else {
        uint64_t first = n == 1 ? private_pool_allocate(pool) : private_pool_allocate_run(pool, n);
        if (first == BITMAP_NONE) {
            status = BLOCKPOOL_NO_ROOM;
        } else {
            address = private_pool_address(pool, first);
        }
    }
    leave();
    (void)finish(status);
    return address;
}

int deallocate_memory_blocks(void *address) {
    static const int statuses[] = {
        [PRIVATE_POOL_OK] = BLOCKPOOL_OK,
        [PRIVATE_POOL_NOT_ALLOCATED] = BLOCKPOOL_NOT_ALLOCATED,
        [PRIVATE_POOL_INNER] = BLOCKPOOL_INSIDE_RUN,
        [PRIVATE_POOL_OUTSIDE] = BLOCKPOOL_OUTSIDE,
        [PRIVATE_POOL_UNALIGNED] = BLOCKPOOL_INSIDE_BLOCK,
    };
    struct allocator *allocator;
    int status = enter(&allocator);
    if (status != BLOCKPOOL_OK) {
        return finish(status);
    }
    status = address ? statuses[private_pool_free_address(&allocator->pool, address)] : BLOCKPOOL_NULL;
    leave();
    return finish(status);
}

int blockpool_last_status(void) { return last_status; }
