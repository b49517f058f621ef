/* public_block.c: blocks of shared pools for programs in C; see blockpool_shared.h.
 *
 * A struct blockpool_block is the program's, and may be stale, or a copy of one that was released. So each call looks
 * whether the ledger says that this process holds that run before it does anything. The run's length is read from the
 * ledger too.
 */
#include "public/public_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/process.h"
#include "shared/sites.h"

int public_run(const struct blockpool_block *block, struct pool_run *run) {
    struct blockpool_pool *pool = block->pool;
    if (!pool) {
        return BLOCKPOOL_NOT_ALLOCATED;
    }
    if (pool_is_lost(&pool->engine)) {
        return BLOCKPOOL_NO_PART;
    }
    const struct shared_pool *shared = &pool->engine.attachment->shared;
    *run = (struct pool_run){.index = block->index, .generation = block->generation};
    if (!shared_pool_is_live(shared, run) || block->data != pool_address(&pool->engine, run->index)) {
        return BLOCKPOOL_NOT_ALLOCATED;
    }
    run->blocks = shared_pool_length(shared, run->index);
    uint64_t word = load_seq(&shared_pool_entry(shared, run->index)->head);
    bool held = shared_pool_is_held(shared, run->index, word, pool->engine.attachment->slot);
    return held ? BLOCKPOOL_OK : BLOCKPOOL_NOT_ALLOCATED;
}

void public_block(struct blockpool_pool *pool, const struct pool_run *run, struct blockpool_block *block) {
    *block = (struct blockpool_block){.pool = pool,
                                      .data = pool_address(&pool->engine, run->index),
                                      .bytes = pool_run_bytes(&pool->engine, run),
                                      .index = run->index,
                                      .generation = run->generation};
}

/* --- allocating --- */

/* Allocates as soon as there is room; POOL_EXHAUSTED at the deadline. */
static enum pool_status wait_for_room(struct blockpool_pool *pool, uint64_t n, uint64_t slack, double deadline,
                                      struct pool_run *run) {
    struct pool *engine = &pool->engine;
    enum pool_status status;
    uint32_t wait = 0;
    pool_wait_begin(engine, &wait);
    for (;;) {
        uint32_t sequence = pool_free_sequence(engine);
        status = pool_allocate(engine, n, slack, run);
        double seconds = public_slice(deadline);
        if (status != POOL_EXHAUSTED || seconds == 0) {
            break;
        }
        pool_wait_sleep(engine, sequence, seconds);
        if (pool_wait_is_over(engine, wait)) { /* a signal handler forked, and this is the child */
            pool_wait_begin(engine, &wait);
        }
        if (pool_free_sequence(engine) == sequence || pool_has_ended_tickets(engine)) {
            (void)pool_reclaim(engine, true);
        }
    }
    pool_wait_end(engine, wait);
    return status;
}

int blockpool_block_allocate(struct blockpool_pool *pool, size_t bytes, double timeout, struct blockpool_block *block) {
    double deadline;
    struct pool_run run;
    if (block) {
        *block = (struct blockpool_block){0};
    }
    if (!pool || !block) {
        return BLOCKPOOL_NULL;
    }
    if (!public_deadline(timeout, &deadline)) {
        return BLOCKPOOL_BAD_TIMEOUT;
    }
    if (bytes == 0) {
        return BLOCKPOOL_BAD_COUNT;
    }
    struct pool *engine = &pool->engine;
    uint64_t n = (bytes - 1) / engine->block_size + 1;
    if (n > engine->blocks) {
        return BLOCKPOOL_TOO_LARGE;
    }
    uint64_t slack = n * engine->block_size - bytes;
    enum pool_status status = pool_allocate(engine, n, slack, &run);
    if (status == POOL_EXHAUSTED && pool_reclaim(engine, false)) {
        status = pool_allocate(engine, n, slack, &run);
    }
    if (status == POOL_EXHAUSTED && deadline != 0) {
        status = wait_for_room(pool, n, slack, deadline, &run);
    }
    if (status == POOL_EXHAUSTED) {
        pool_count_failure(engine);
    }
    if (status != POOL_OK) {
        return public_status(status, NULL);
    }
    if (sites_are_kept(engine->attachment)) {
        struct site_finding finding;
        if (!sites_issue(engine->attachment, &run, bytes, NULL, &finding)) {
            (void)pool_unclaim(engine, &run);
            return BLOCKPOOL_MISUSED;
        }
    }
    pool_count(engine, n, bytes);
    *block = (struct blockpool_block){pool, pool_address(engine, run.index), bytes, run.index, run.generation};
    return BLOCKPOOL_OK;
}

int blockpool_block_release(struct blockpool_block *block) {
    struct pool_run run;
    if (!block) {
        return BLOCKPOOL_NULL;
    }
    int status = public_run(block, &run);
    if (status == BLOCKPOOL_OK) {
        status = public_status(pool_drop_reference(&block->pool->engine, &run), NULL);
    }
    if (status == BLOCKPOOL_OK) {
        *block = (struct blockpool_block){0};
    }
    return status;
}

/* --- tickets --- */

/* blockpool-ticket:<id of the pool>:<index>:<generation>:<process>:<name of the pool, or nothing>, as in Python */
static void write_ticket(const struct blockpool_block *block, char ticket[BLOCKPOOL_TICKET_BYTES]) {
    const struct attachment *attachment = block->pool->engine.attachment;
    char id[2 * LAYOUT_ID_BYTES + 1];
    for (unsigned i = 0; i < LAYOUT_ID_BYTES; i++) {
        snprintf(id + 2 * i, 3, "%02x", attachment->geometry.id[i]);
    }
    size_t prefix = strlen(POOLS_PREFIX);
    const char *name = strlen(attachment->name) > prefix ? attachment->name + prefix : "";
    snprintf(ticket, BLOCKPOOL_TICKET_BYTES, "blockpool-ticket:%s:%" PRIu64 ":%" PRIu64 ":%ld:%.180s", id, block->index,
             block->generation, (long)os_process(), name);
}

/* Reads a number of at most so many digits, and the colon after it. */
static bool read_number(const char **text, unsigned digits, uint64_t *number) {
    *number = 0;
    for (unsigned i = 0; i <= digits; i++) {
        char c = *(*text)++;
        if (c == ':') {
            return i > 0;
        }
        if (c < '0' || c > '9') {
            return false;
        }
        *number = *number * 10 + (uint64_t)(c - '0');
    }
    return false;
}

static bool read_ticket(const char *text, char id[2 * LAYOUT_ID_BYTES + 1], bool *is_ticket, struct pool_run *run) {
    static const char *const kinds[] = {"blockpool-handle:", "blockpool-ticket:"};
    uint64_t process;
    *is_ticket = strncmp(text, kinds[1], strlen(kinds[1])) == 0;
    if (strncmp(text, kinds[*is_ticket], strlen(kinds[*is_ticket])) != 0) {
        return false;
    }
    text += strlen(kinds[*is_ticket]);
    if (strspn(text, "0123456789abcdef") != 2 * LAYOUT_ID_BYTES || text[2 * LAYOUT_ID_BYTES] != ':') {
        return false;
    }
    memcpy(id, text, 2 * LAYOUT_ID_BYTES);
    id[2 * LAYOUT_ID_BYTES] = 0;
    text += 2 * LAYOUT_ID_BYTES + 1;
    return read_number(&text, 8, &run->index) && read_number(&text, 13, &run->generation) &&
           read_number(&text, 10, &process) && (*text == 0 || public_is_name(text));
}

static bool is_id_of(const char *id, const struct attachment *attachment) {
    char byte[3] = {0};
    for (unsigned i = 0; i < LAYOUT_ID_BYTES; i++) {
        memcpy(byte, id + 2 * i, 2);
        if (strtoul(byte, NULL, 16) != attachment->geometry.id[i]) {
            return false;
        }
    }
    return true;
}

int blockpool_block_share(const struct blockpool_block *block, char ticket[BLOCKPOOL_TICKET_BYTES]) {
    struct pool_run run;
    if (ticket) {
        ticket[0] = 0;
    }
    if (!block || !ticket) {
        return BLOCKPOOL_NULL;
    }
    int status = public_run(block, &run);
    if (status == BLOCKPOOL_OK) {
        status = public_status(pool_share(&block->pool->engine, &run, 1), NULL);
    }
    if (status == BLOCKPOOL_OK) {
        write_ticket(block, ticket);
    }
    return status;
}

int blockpool_block_redeem(struct blockpool_pool *pool, const char *ticket, struct blockpool_block *block) {
    char id[2 * LAYOUT_ID_BYTES + 1];
    struct pool_run run;
    bool is_ticket;
    if (block) {
        *block = (struct blockpool_block){0};
    }
    if (!pool || !ticket || !block) {
        return BLOCKPOOL_NULL;
    }
    if (!read_ticket(ticket, id, &is_ticket, &run)) {
        return BLOCKPOOL_BAD_TICKET;
    }
    if (!is_id_of(id, pool->engine.attachment)) {
        return BLOCKPOOL_OTHER_POOL;
    }
    if (run.index >= pool->engine.blocks) {
        return BLOCKPOOL_BAD_TICKET;
    }
    enum pool_status status = is_ticket ? pool_redeem(&pool->engine, &run) : pool_add_reference(&pool->engine, &run);
    if (status == POOL_OK) {
        public_block(pool, &run, block);
    }
    return public_status(status, NULL);
}

/* --- notes --- */

_Static_assert(BLOCKPOOL_NOTE_BYTES == NOTE_MOST, "the header says how many");

int blockpool_block_set_note(const struct blockpool_block *block, const void *note, size_t length) {
    struct pool_failure failure = {0};
    struct pool_run run;
    enum pool_status status;
    if (!block || (!note && length)) {
        return BLOCKPOOL_NULL;
    }
    int held = public_run(block, &run);
    if (held != BLOCKPOOL_OK) {
        return held;
    }
    if (length > NOTE_MOST) {
        return BLOCKPOOL_NOTE_TOO_LONG;
    }
    PUBLIC_PATIENTLY(
        block->pool, status,
        pool_set_note(&block->pool->engine, &run, length ? note : "", (unsigned)length, PUBLIC_GATE_SECONDS, &failure));
    return public_status(status, &failure);
}

int blockpool_block_note(const struct blockpool_block *block, void *note, size_t *length) {
    unsigned char copy[NOTE_MOST];
    struct pool_run run;
    if (length) {
        *length = 0;
    }
    if (!block || !note || !length) {
        return BLOCKPOOL_NULL;
    }
    int held = public_run(block, &run);
    if (held == BLOCKPOOL_OK) {
        *length = pool_note(&block->pool->engine, &run, copy);
        memcpy(note, copy, *length);
    }
    return held;
}

/* --- names --- */

int blockpool_block_keep(const struct blockpool_block *block, const char *name, int replace) {
    struct pool_failure failure;
    struct pool_run run;
    if (!block || !name) {
        return BLOCKPOOL_NULL;
    }
    int held = public_run(block, &run);
    if (held != BLOCKPOOL_OK) {
        return held;
    }
    if (!public_is_name(name)) {
        return BLOCKPOOL_BAD_NAME;
    }
    enum pool_status status =
        attachment_keep(block->pool->engine.attachment, name, &run, replace != 0, PUBLIC_GATE_SECONDS, &failure);
    return status == POOL_FULL ? BLOCKPOOL_TOO_MANY_NAMES : public_status(status, &failure);
}

int blockpool_block_get(struct blockpool_pool *pool, const char *name, struct blockpool_block *block) {
    struct pool_run run;
    if (block) {
        *block = (struct blockpool_block){0};
    }
    if (!pool || !name || !block) {
        return BLOCKPOOL_NULL;
    }
    if (!public_is_name(name)) {
        return BLOCKPOOL_BAD_NAME;
    }
    enum pool_status status = pool_get(&pool->engine, name, &run);
    if (status == POOL_OK) {
        public_block(pool, &run, block);
    }
    return public_status(status, NULL);
}
