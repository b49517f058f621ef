/* sites.c: see sites.h. */
#include "shared/sites.h"

#include <stddef.h>
#include <string.h>

#include "os/process.h"
#include "os/wait.h"

/* Of the thread that frees something; see sites_set_caller. */
static _Thread_local const struct site_caller *freeing;

static struct site *site_of(const struct attachment *attachment, uint64_t index) {
    return (struct site *)(void *)((char *)attachment->memory + layout_site_at(&attachment->geometry, index));
}

static uint64_t state_of(uint64_t generation, enum site_state state) {
    return (generation & LEDGER_MOST_GENERATION) << 2 | (uint64_t)state;
}

/* --- patterns --- */

static unsigned char *memory_of(const struct attachment *attachment, uint64_t index) {
    return layout_data(attachment->memory, &attachment->geometry) + index * attachment->geometry.block_size;
}

/* The first byte at or after `from`, before `end`, that is not the pattern; `end` if there is none. */
static uint64_t first_other(const unsigned char *memory, uint64_t from, uint64_t end, unsigned pattern) {
    uint64_t whole = UINT64_C(0x0101010101010101) * pattern, word;
    while (from < end && from % 8) {
        if (memory[from] != pattern) {
            return from;
        }
        from++;
    }
    while (end - from >= 8 && from < end) {
        memcpy(&word, memory + from, 8);
        if (word != whole) {
            break;
        }
        from += 8;
    }
    while (from < end && memory[from] == pattern) {
        from++;
    }
    return from;
}

/* Fills a block as a freed one; a process that dies in it leaves it unmarked. */
static void fill_dead(const struct attachment *attachment, uint64_t index) {
    struct site *site = site_of(attachment, index);
    store_seq(&site->dead, 0);
    memset(memory_of(attachment, index), SITE_DEAD, attachment->geometry.block_size);
    store_release(&site->dead, SITE_IS_DEAD);
}

/* How many bytes of n blocks at `index` were asked for, by the ledger. */
static uint64_t bytes_of(const struct attachment *attachment, uint64_t index, uint64_t n) {
    uint64_t size = attachment->geometry.block_size, slack = shared_pool_slack(&attachment->shared, index);
    return n * size - (slack < size ? slack : size - 1);
}

/* --- stories --- */

/* A reader may copy a story while the next one is being written, and looks at its generation before and after. So each
 * part is stored with release, after the generation that says "being written", and loaded with acquire, before the
 * second look. */

static void write_text(atomic_word text[SITE_TEXT_WORDS], const struct site_caller *caller) {
    uint64_t words[SITE_TEXT_WORDS] = {0};
    unsigned length = caller && caller->text ? caller->length : 0;
    memcpy(words, length ? caller->text : "", length);
    for (unsigned w = 0; w * 8 < length; w++) {
        store_release(&text[w], words[w]);
    }
}

static void write_call(struct site_call *call, const struct site_caller *caller) {
    store_release(&call->process, (uint64_t)os_process());
    store_release(&call->thread, caller ? caller->thread : 0);
    store_release(&call->when, os_seconds());
    store_release(&call->length, caller && caller->text ? caller->length : 0);
}

static void copy_call(struct site_call *to, const struct site_call *from) {
    store_relaxed(&to->process, load_relaxed(&from->process));
    store_relaxed(&to->thread, load_relaxed(&from->thread));
    store_relaxed(&to->when, load_relaxed(&from->when));
    store_relaxed(&to->length, load_relaxed(&from->length));
}

static void copy_text(atomic_word *to, const atomic_word *from, uint64_t length) {
    for (unsigned w = 0; w < SITE_TEXT_WORDS && w * 8 < length; w++) {
        store_relaxed(&to[w], load_relaxed(&from[w]));
    }
}

static void copy_story(struct site *to, const struct site *from) {
    store_relaxed(&to->generation, load_relaxed(&from->generation));
    store_relaxed(&to->index, load_relaxed(&from->index));
    store_relaxed(&to->blocks, load_relaxed(&from->blocks));
    store_relaxed(&to->nbytes, load_relaxed(&from->nbytes));
    copy_call(&to->allocated, &from->allocated);
    copy_call(&to->freed, &from->freed);
    copy_text(to->allocated_text, from->allocated_text, load_relaxed(&from->allocated.length));
    copy_text(to->freed_text, from->freed_text, load_relaxed(&from->freed.length));
}

static void read_call(const struct site_call *call, const atomic_word text[SITE_TEXT_WORDS], struct site_told *told) {
    uint64_t length = load_seq(&call->length), when = load_seq(&call->when), now = os_seconds();
    uint64_t words[SITE_TEXT_WORDS];
    told->process = load_seq(&call->process);
    told->thread = load_seq(&call->thread);
    told->age = when < now ? (double)(now - when) : 0;
    told->length = length <= SITE_TEXT_MOST ? (unsigned)length : 0;
    for (unsigned w = 0; w < SITE_TEXT_WORDS; w++) {
        words[w] = load_seq(&text[w]);
    }
    memcpy(told->text, words, sizeof words);
}

/* Copies a story; false if the run that it tells of does not fit in the pool. */
static bool read_story(const struct attachment *attachment, const struct site *site, struct site_story *story) {
    uint64_t blocks = attachment->geometry.blocks;
    *story = (struct site_story){
        .index = load_seq(&site->index), .blocks = load_seq(&site->blocks), .nbytes = load_seq(&site->nbytes)};
    read_call(&site->allocated, site->allocated_text, &story->allocated);
    read_call(&site->freed, site->freed_text, &story->freed);
    return story->index < blocks && story->blocks > 0 && story->blocks <= blocks - story->index &&
           story->nbytes <= story->blocks * attachment->geometry.block_size;
}

/* Completes a finding about a block; `offset` counts from the start of the block or, if `of_run`, of the story's
 * run. */
static void find(const struct attachment *attachment, uint64_t block, enum site_found found, uint64_t offset,
                 unsigned byte, bool of_run, struct site_finding *finding) {
    finding->found = found;
    finding->block = block;
    finding->at = offset;
    finding->byte = byte;
    struct site_story *story = &finding->story;
    finding->known = read_story(attachment, site_of(attachment, block), story) && story->index <= block &&
                     block - story->index < story->blocks;
    if (finding->known && !of_run) {
        finding->at += (block - story->index) * attachment->geometry.block_size;
    }
}

/* What the hook noted at a block; false if that is nothing. */
static bool read_damage(const struct attachment *attachment, uint64_t block, struct site_finding *finding) {
    uint64_t damage = load_seq(&site_of(attachment, block)->damage);
    if (damage == 0) {
        return false;
    }
    find(attachment, block, SITE_OVERRUN, (damage >> 8) - 1, damage & 0xff, true, finding);
    return true;
}

/* --- allocating --- */

bool sites_issue(struct attachment *attachment, const struct pool_run *run, uint64_t nbytes,
                 const struct site_caller *caller, struct site_finding *finding) {
    uint64_t size = attachment->geometry.block_size, first = run->index, end = first + run->blocks;
    finding->found = SITE_SOUND;
    for (uint64_t block = first; block < end; block++) {
        struct site *site = site_of(attachment, block);
        if (read_damage(attachment, block, finding)) {
            store_seq(&site->damage, 0);
            return false;
        }
        const unsigned char *memory = memory_of(attachment, block);
        uint64_t at = load_seq(&site->dead) == SITE_IS_DEAD ? first_other(memory, 0, size, SITE_DEAD) : size;
        if (at < size) {
            find(attachment, block, SITE_WRITTEN, at, memory[at], false, finding);
            fill_dead(attachment, block);
            return false;
        }
    }
    for (uint64_t block = first; block < end; block++) {
        store_seq(&site_of(attachment, block)->dead, 0);
    }
    unsigned char *memory = memory_of(attachment, first);
    memset(memory, SITE_CLEAN, nbytes);
    memset(memory + nbytes, SITE_CANARY, run->blocks * size - nbytes);
    struct site *site = site_of(attachment, first);
    store_release(&site->generation, 0); /* for a reader: the story is being written */
    store_release(&site->index, first);
    store_release(&site->blocks, run->blocks);
    store_release(&site->nbytes, nbytes);
    write_call(&site->allocated, caller);
    write_text(site->allocated_text, caller);
    store_release(&site->freed.process, 0);
    store_release(&site->freed.length, 0);
    store_release(&site->generation, run->generation);
    store_release(&site->state, state_of(run->generation, SITE_ISSUED));
    return true;
}

/* --- looking at the canary --- */

/* Where the canary of n blocks at `index` is damaged; past the run if it is not. */
static uint64_t damaged_at(const struct attachment *attachment, uint64_t index, uint64_t n) {
    return first_other(memory_of(attachment, index), bytes_of(attachment, index, n),
                       n * attachment->geometry.block_size, SITE_CANARY);
}

bool sites_are_sound(struct attachment *attachment, const struct pool_run *run, struct site_finding *finding) {
    struct site *site = site_of(attachment, run->index);
    uint64_t issued = state_of(run->generation, SITE_ISSUED), state = load_seq(&site->state);
    finding->found = SITE_SOUND;
    if (state != issued && state != state_of(run->generation, SITE_REPORTED)) {
        return true;
    }
    uint64_t at = damaged_at(attachment, run->index, run->blocks);
    if (at == run->blocks * attachment->geometry.block_size) {
        return true;
    }
    find(attachment, run->index, SITE_OVERRUN, at, memory_of(attachment, run->index)[at], true, finding);
    (void)compare_exchange_seq(&site->state, &issued, state_of(run->generation, SITE_REPORTED));
    return false;
}

void sites_take_back(struct attachment *attachment, const struct pool_run *run) {
    uint64_t reported = state_of(run->generation, SITE_REPORTED);
    (void)compare_exchange_seq(&site_of(attachment, run->index)->state, &reported,
                               state_of(run->generation, SITE_ISSUED));
}

/* --- freeing --- */

void sites_set_caller(const struct site_caller *caller) { freeing = caller; }

void sites_end(struct attachment *attachment, uint64_t index, uint64_t n) {
    const struct shared_pool *shared = &attachment->shared;
    struct site *site = site_of(attachment, index);
    uint64_t packed = load_relaxed(&shared_pool_entry(shared, index)->run);
    uint64_t generation = ledger_record_unpack(packed).generation, state = load_seq(&site->state);
    if (state == state_of(generation, SITE_OVER) || state >> 2 != generation) {
        return;
    }
    if (state != state_of(generation, SITE_ENDING)) {
        uint64_t at = damaged_at(attachment, index, n);
        if (at < n * attachment->geometry.block_size && state == state_of(generation, SITE_ISSUED)) {
            store_seq(&site->damage, (at + 1) << 8 | memory_of(attachment, index)[at]);
        }
        write_call(&site->freed, freeing);
        write_text(site->freed_text, freeing);
        store_release(&site->state, state_of(generation, SITE_ENDING));
    }
    for (uint64_t d = 0; d < n; d++) {
        if (d > 0) {
            copy_story(site_of(attachment, index + d), site);
        }
        fill_dead(attachment, index + d);
    }
    store_release(&site->state, state_of(generation, SITE_OVER));
}

/* --- looking --- */

bool sites_story(const struct attachment *attachment, const struct pool_run *run, struct site_story *story) {
    if (!sites_are_kept(attachment) || run->index >= attachment->geometry.blocks) {
        return false;
    }
    const struct site *site = site_of(attachment, run->index);
    uint64_t state = load_seq(&site->state);
    return (state == state_of(run->generation, SITE_ISSUED) || state == state_of(run->generation, SITE_REPORTED)) &&
           load_seq(&site->generation) == run->generation && read_story(attachment, site, story) &&
           story->index == run->index && load_seq(&site->generation) == run->generation;
}

bool sites_next_damage(const struct attachment *attachment, uint64_t from, struct site_finding *finding) {
    for (uint64_t block = from; sites_are_kept(attachment) && block < attachment->geometry.blocks; block++) {
        if (read_damage(attachment, block, finding)) {
            return true;
        }
    }
    return false;
}
