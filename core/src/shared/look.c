/* look.c: see look.h. */
#include "shared/look.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "os/lock.h"
#include "os/memory.h"
#include "shared/attachment_parts.h"
#include "shared/queue_check.h"

/* How often a fault that a process may have caused by attaching is looked at, with the slots that are in use then. It
 * must be there each time. */
#define CHECK_LOOKS 8

/* --- opening --- */

/* Maps the segment whose file was just opened; under the gate mutex. */
static enum pool_status map(struct attachment *look, const unsigned char *id, struct os_file *file,
                            struct pool_failure *failure) {
    void *page;
    enum pool_status status = attachment_validate(look->file.number, file, &look->geometry, failure);
    if (status == POOL_OK && id && memcmp(id, look->geometry.id, LAYOUT_ID_BYTES) != 0) {
        return POOL_NOT_FOUND;
    }
    if (status != POOL_OK) {
        return status;
    }
    int error = os_map_file_readonly(look->file.number, look->geometry.bytes, &look->memory);
    if (error) {
        look->memory = NULL;
    } else if ((error = os_wiped_on_fork(&page)) == 0) {
        look->alive = page;
        store_relaxed(look->alive, 1);
        layout_init(&look->shared, &look->queues.annex, look->memory, &look->geometry);
        queues_init(&look->queues, &look->shared, layout_small(look->memory, &look->geometry));
    }
    return error ? pool_status_from_errno(error, failure) : POOL_OK;
}

/* Completes a registered look with the result of opening its file; under the gate mutex, which this gives back. */
static enum pool_status complete(struct attachment *look, int number, const unsigned char *id, struct os_file *file,
                                 struct pool_failure *failure) {
    *file = (struct os_file){.bytes = 0};
    enum pool_status status = descriptor_keep(look, number, failure);
    if (status == POOL_OK) {
        status = map(look, id, file, failure);
    }
    gate_mutex_unlock();
    if (status != POOL_OK) {
        attachment_unmap(look);
    }
    return status;
}

/* Registers the look. On POOL_OK the caller has the gate mutex. */
static enum pool_status begin(struct attachment *look, struct pool_failure *failure) {
    enum pool_status status = attachment_register(look, failure);
    if (status == POOL_OK) {
        gate_mutex_lock();
    }
    return status;
}

enum pool_status look_open(struct attachment *look, const char *name, struct os_file *file,
                           struct pool_failure *failure) {
    enum pool_status status = begin(look, failure);
    if (status != POOL_OK) {
        return status;
    }
    snprintf(look->name, sizeof look->name, "%s", name);
    return complete(look, os_shm_open(name), NULL, file, failure);
}

enum pool_status look_open_through(struct attachment *look, pid_t process, int number, const unsigned char *id,
                                   struct os_file *file, struct pool_failure *failure) {
    enum pool_status status = begin(look, failure);
    return status == POOL_OK ? complete(look, os_open_of(process, number), id, file, failure) : status;
}

enum pool_status look_open_beside(struct attachment *look, struct attachment *attachment,
                                  struct pool_failure *failure) {
    struct os_file file;
    enum pool_status status = begin(look, failure);
    if (status != POOL_OK) {
        return status;
    }
    status = attachment_is_stray(attachment) ? POOL_STRAY : descriptor_ready(attachment, failure);
    if (status != POOL_OK) {
        gate_mutex_unlock();
        attachment_unmap(look);
        return status;
    }
    memcpy(look->name, attachment->name, sizeof look->name);
    return complete(look, os_reopen(&attachment->file), attachment->geometry.id, &file, failure);
}

/* --- the file and its name --- */

enum pool_status look_is_whole(const struct attachment *attachment) {
    struct os_file file;
    bool known = os_verify(&attachment->file) == 0 && os_stat(attachment->file.number, &file) == 0 &&
                 os_verify(&attachment->file) == 0;
    return known && file.bytes != attachment->geometry.bytes ? POOL_TRUNCATED : POOL_OK;
}

bool look_has_name(const struct attachment *attachment) {
    return attachment->name[0] && os_shm_names(attachment->name, &attachment->file.identity);
}

void look_made_by(const struct attachment *attachment, char made_by[LAYOUT_MADE_BY_BYTES]) {
    const struct layout_header *header = attachment->memory;
    memcpy(made_by, header->made_by, LAYOUT_MADE_BY_BYTES);
    made_by[LAYOUT_MADE_BY_BYTES - 1] = 0;
    for (char *at = made_by; *at; at++) {
        if (!isgraph((unsigned char)*at)) {
            *made_by = 0;
        }
    }
}

uint64_t look_created(const struct attachment *attachment) {
    return ((const struct layout_header *)attachment->memory)->created;
}

/* --- processes --- */

void look_slots(struct attachment *attachment, struct slot_set *used, struct slot_set *dead, bool *known) {
    struct pool_failure failure;
    *known = false;
    if (gate_mutex_lock_within(0)) {
        *known = descriptor_ready(attachment, &failure) == POOL_OK &&
                 slots_dead(&attachment->file, attachment->memory, &attachment->geometry, attachment->slot, dead) == 0;
        gate_mutex_unlock();
    }
    if (!*known) {
        *dead = (struct slot_set){{0}};
    }
    slots_used(attachment->memory, &attachment->geometry, used);
}

uint64_t look_gate(struct attachment *attachment) {
    struct pool_failure failure;
    const struct layout_header *header = attachment->memory;
    bool held = false;
    if (gate_mutex_lock_within(0)) {
        held = descriptor_ready(attachment, &failure) == POOL_OK &&
               os_is_locked(attachment->file.number, SLOTS_GATE_BYTE) == 1 && os_verify(&attachment->file) == 0;
        gate_mutex_unlock();
    }
    return held ? load_relaxed(&header->gate_process) : 0;
}

/* How much was counted since the process was attached. */
static uint64_t since(uint64_t counted, const atomic_word *before) {
    uint64_t past = load_relaxed(before);
    return counted > past ? counted - past : 0;
}

void look_slot(const struct attachment *attachment, unsigned slot, struct look_process *found) {
    const struct slot_record *place = slot_record(attachment->memory, slot);
    *found = (struct look_process){
        .process = load_relaxed(&place->process),
        .start = load_relaxed(&place->start),
        .allocations = since(slot_record_allocations(place), &place->past.allocations),
        .failures = since(load_relaxed(&place->failures), &place->past.failures),
        .waits = since(load_relaxed(&place->waits), &place->past.waits),
        .waited = since(load_relaxed(&place->waited), &place->past.waited),
    };
    memcpy(found->command, place->command, sizeof found->command);
    found->command[sizeof found->command - 1] = 0;
}

/* --- the audit --- */

/* What is wrong with a block. A process that attached after *used was read seems to hold without a slot. */
static enum shared_pool_fault_kind check_block(const struct attachment *attachment, uint64_t index,
                                               struct slot_set *used, bool sure, bool *in_transit) {
    enum shared_pool_fault_kind found = shared_pool_check_block(&attachment->shared, index, used, in_transit);
    for (unsigned looks = 1;
         sure && looks < CHECK_LOOKS && (found == SHARED_POOL_FAULT_HOLDER || found == SHARED_POOL_FAULT_ROW);
         looks++) {
        slots_used(attachment->memory, &attachment->geometry, used);
        found = shared_pool_check_block(&attachment->shared, index, used, in_transit);
    }
    return found;
}

static void check_names(const struct attachment *attachment, struct shared_pool_fault *faults, uint64_t most,
                        struct shared_pool_audit *audit) {
    struct catalog catalog = attachment_catalog(attachment);
    for (unsigned i = 0; (i = catalog_fault(&catalog, i)) < CATALOG_NAMES; i++) {
        unsigned looks = 1; /* the same run may just get its name back */
        while (looks < CHECK_LOOKS && catalog_fault(&catalog, i) == i) {
            looks++;
        }
        if (looks == CHECK_LOOKS) {
            shared_pool_add_fault(audit, faults, most, SHARED_POOL_FAULT_NAME, i);
        }
    }
}

void look_check(const struct attachment *attachment, struct shared_pool_fault *faults, uint64_t most,
                struct shared_pool_audit *audit) {
    struct slot_set used;
    *audit = (struct shared_pool_audit){0};
    slots_used(attachment->memory, &attachment->geometry, &used);
    for (uint64_t i = 0; i < attachment->shared.blocks; i++) {
        bool in_transit;
        /* more than can be listed need no second look */
        enum shared_pool_fault_kind found = check_block(attachment, i, &used, audit->faults <= most, &in_transit);
        audit->in_transit += in_transit;
        if (found != SHARED_POOL_FAULT_NONE) {
            shared_pool_add_fault(audit, faults, most, found, i);
        }
    }
    shared_pool_check_end(&attachment->shared, faults, most, audit);
    check_names(attachment, faults, most, audit);
    struct shared_pool_audit before = *audit;
    for (unsigned looks = 0; looks < CHECK_LOOKS && (looks == 0 || audit->faults > before.faults); looks++) {
        *audit = before; /* again with the slots of now, as above */
        slots_used(attachment->memory, &attachment->geometry, &used);
        queues_check((struct queues *)&attachment->queues, &used, false, false, faults, most, audit);
    }
}

/* --- queues --- */

bool look_next_queue(struct attachment *attachment, uint64_t from, struct look_queue *found) {
    struct queue queue;
    if (!queues_next(&attachment->queues, from, &queue)) {
        return false;
    }
    *found = (struct look_queue){
        .run = queue.run,
        .kind = queue.kind,
        .flags = queue.flags,
        .capacity = queue.capacity,
        .put = queue_next(&queue),
        .lost = load_seq(&queue.header->lost),
        .shut = load_seq(&queue.header->shut) != 0,
    };
    queue_count(&queue, &found->waiting, &found->taken);
    for (uint64_t i = 0; i < queue.cursor_count; i++) {
        found->cursors += load_seq(&queue.cursors[i]) != 0;
    }
    const struct shared_pool *annex = &attachment->queues.annex;
    uint64_t head = load_seq(&shared_pool_entry(annex, queue.run.index)->head);
    shared_pool_holders(annex, queue.run.index, head, &found->holders);
    return true;
}

bool look_next_message(struct attachment *attachment, const struct pool_run *queue, uint64_t from,
                       struct queue_look *found) {
    struct queue view;
    return queue_view(&attachment->queues, queue, &view) == QUEUE_OK && queue_next_message(&view, from, found);
}
