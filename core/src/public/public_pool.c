/* public_pool.c: shared pools for programs in C: create, attach, close; see blockpool_shared.h. */
#include "public/public_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/wait.h"

#define NAME_MOST 180u
#define STARTS_OVER 100 /* a pool may end between creating it, which fails, and attaching it */

bool public_is_name(const char *name) {
    size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    return name[length] == 0 && length >= 1 && length <= NAME_MOST;
}

bool public_deadline(double timeout, double *deadline) {
    *deadline = timeout < 0 ? HUGE_VAL : timeout > 0 ? os_now() + timeout : 0;
    return timeout == timeout;
}

double public_slice(double deadline) {
    double left = deadline == 0 ? 0 : deadline - os_now();
    return left < 0 ? 0 : left < PUBLIC_SLICE ? left : PUBLIC_SLICE;
}

/* The name of the pool's file. */
static void file_name(const char *name, char file[OS_SHM_NAME_MOST + 1]) {
    snprintf(file, OS_SHM_NAME_MOST + 1, POOLS_PREFIX "%s", name);
}

/* --- making --- */

static void leave_all(void) { attachment_exit(PUBLIC_GATE_SECONDS); }

/* Has every pool left when the program ends: then its name goes with the last process. */
static void leave_at_exit(void) {
    static atomic_word registered;
    uint64_t no = 0;
    if (compare_exchange_seq(&registered, &no, 1)) {
        (void)atexit(leave_all); /* if it is refused, other processes clean up as after one that was killed */
    }
}

static int opened(struct blockpool_pool *made, enum pool_status status, const struct pool_failure *failure,
                  struct blockpool_pool **pool) {
    if (status != POOL_OK) {
        free(made);
        return public_status(status, failure);
    }
    pool_set_on_fork(&made->engine, made->engine.attachment->geometry.flags & LAYOUT_DETACH);
    leave_at_exit();
    *pool = made;
    return BLOCKPOOL_OK;
}

static int attach(const char *file, struct blockpool_pool **pool) {
    struct pool_failure failure;
    struct blockpool_pool *made = calloc(1, sizeof *made);
    if (!made) {
        return BLOCKPOOL_NO_MEMORY;
    }
    enum pool_status status = pool_attach(&made->engine, file, PUBLIC_GATE_SECONDS, &failure);
    return opened(made, status, &failure, pool);
}

static int create(const struct attachment_request *request, struct blockpool_pool **pool) {
    struct pool_failure failure;
    struct blockpool_pool *made = calloc(1, sizeof *made);
    if (!made) {
        return BLOCKPOOL_NO_MEMORY;
    }
    enum pool_status status = pool_create(&made->engine, request, &failure);
    return opened(made, status, &failure, pool);
}

static bool are_zero(const uint64_t *reserved, size_t n) {
    uint64_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= reserved[i];
    }
    return any == 0;
}

static int check_options(const char *name, const struct blockpool_pool_options *options) {
    bool good = options->processes <= LAYOUT_MOST_PROCESSES &&
                options->queue_room <= LAYOUT_SMALL * LAYOUT_MOST_SMALL && options->ticket_lifetime >= 0 &&
                options->ticket_lifetime <= ENDINGS_MOST &&
                are_zero(options->reserved, sizeof options->reserved / sizeof *options->reserved) &&
                (name || (!options->permanent && !options->exist_ok));
    return good ? BLOCKPOOL_OK : BLOCKPOOL_BAD_OPTIONS;
}

int blockpool_pool_create(const char *name, size_t block_size, size_t blocks,
                          const struct blockpool_pool_options *options, struct blockpool_pool **pool) {
    static const struct blockpool_pool_options defaults = {0};
    char file[OS_SHM_NAME_MOST + 1];
    if (!pool) {
        return BLOCKPOOL_NULL;
    }
    *pool = NULL;
    options = options ? options : &defaults;
    if (name && !public_is_name(name)) {
        return BLOCKPOOL_BAD_NAME;
    }
    if (block_size == 0 || block_size % 8 != 0) {
        return BLOCKPOOL_BAD_BLOCK_SIZE;
    }
    if (blocks == 0 || blocks > LEDGER_MOST_BLOCKS) {
        return BLOCKPOOL_BAD_BLOCKS;
    }
    int status = check_options(name, options);
    if (status != BLOCKPOOL_OK) {
        return status;
    }
    if (block_size > LAYOUT_MOST_BYTES / blocks) {
        return BLOCKPOOL_NO_MEMORY;
    }
    if (name) {
        file_name(name, file);
    }
    struct attachment_request request = {.name = name ? file : NULL,
                                         .block_size = block_size,
                                         .blocks = blocks,
                                         .processes = options->processes ? options->processes : 256,
                                         .small_blocks = (options->queue_room + LAYOUT_SMALL - 1) / LAYOUT_SMALL,
                                         .permanent = options->permanent != 0,
                                         .detach = options->detach_on_fork != 0,
                                         .lifetime = options->ticket_lifetime,
                                         .gate_seconds = PUBLIC_GATE_SECONDS};
    for (int tries = 0; tries < STARTS_OVER; tries++) {
        status = create(&request, pool);
        if (status != BLOCKPOOL_EXISTS || !options->exist_ok) {
            return status;
        }
        status = attach(file, pool);
        if (status != BLOCKPOOL_NOT_FOUND) {
            break;
        }
    }
    if (status == BLOCKPOOL_OK && ((*pool)->engine.block_size != block_size || (*pool)->engine.blocks != blocks)) {
        (void)blockpool_pool_close(*pool);
        *pool = NULL;
        status = BLOCKPOOL_EXISTS;
    }
    return status == BLOCKPOOL_NOT_FOUND ? BLOCKPOOL_EXISTS : status;
}

int blockpool_pool_attach(const char *name, struct blockpool_pool **pool) {
    char file[OS_SHM_NAME_MOST + 1];
    if (pool) {
        *pool = NULL;
    }
    if (!pool || !name) {
        return BLOCKPOOL_NULL;
    }
    if (!public_is_name(name)) {
        return BLOCKPOOL_BAD_NAME;
    }
    file_name(name, file);
    return attach(file, pool);
}

/* --- ending --- */

int blockpool_pool_close(struct blockpool_pool *pool) {
    if (!pool) {
        return BLOCKPOOL_NULL;
    }
    if (half_load_seq(&pool->queues) != 0) {
        return BLOCKPOOL_UNFINISHED;
    }
    pool_begin_close(&pool->engine);
    pool_close(&pool->engine, PUBLIC_GATE_SECONDS);
    free(pool);
    return BLOCKPOOL_OK;
}

int blockpool_pool_unlink(const char *name) {
    char file[OS_SHM_NAME_MOST + 1];
    struct pool_failure failure;
    if (!name) {
        return BLOCKPOOL_NULL;
    }
    if (!public_is_name(name)) {
        return BLOCKPOOL_BAD_NAME;
    }
    file_name(name, file);
    return public_status(pools_unlink(file, NULL, PUBLIC_GATE_SECONDS, &failure), &failure);
}

/* --- the rest --- */

int blockpool_pool_recover(struct blockpool_pool *pool, unsigned *processes) {
    struct pool_failure failure;
    uint64_t tickets;
    unsigned found = 0;
    if (processes) {
        *processes = 0;
    }
    if (!pool) {
        return BLOCKPOOL_NULL;
    }
    enum pool_status status = pool_recover(&pool->engine, PUBLIC_GATE_SECONDS, -1, &found, &tickets, &failure);
    if (status == POOL_OK && processes) {
        *processes = found;
    }
    return public_status(status, &failure);
}

int blockpool_pool_stats(struct blockpool_pool *pool, struct blockpool_pool_info *info) {
    if (info) {
        *info = (struct blockpool_pool_info){0};
    }
    if (!pool || !info) {
        return BLOCKPOOL_NULL;
    }
    if (pool_is_lost(&pool->engine)) {
        return BLOCKPOOL_NO_PART;
    }
    struct attachment_counts counts;
    attachment_count(pool->engine.attachment, &counts);
    info->block_size = pool->engine.block_size;
    info->blocks = pool->engine.blocks;
    info->allocated = pool_allocated(&pool->engine);
    info->processes = counts.processes;
    return BLOCKPOOL_OK;
}

int blockpool_pool_forget(struct blockpool_pool *pool, const char *name) {
    struct pool_failure failure;
    if (!pool || !name) {
        return BLOCKPOOL_NULL;
    }
    if (!public_is_name(name)) {
        return BLOCKPOOL_BAD_NAME;
    }
    return public_status(attachment_forget(pool->engine.attachment, name, PUBLIC_GATE_SECONDS, &failure), &failure);
}
