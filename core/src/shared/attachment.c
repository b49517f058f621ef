/* attachment.c: see attachment.h. */
#include "shared/attachment_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "os/lock.h"
#include "os/memory.h"
#include "os/process.h"
#include "shared/recording.h"

#define STARTS_OVER 100 /* a name that changes more often than this while it is opened is an attack */

/* --- opening --- */

void attachment_reset(struct attachment *attachment) {
    memset(attachment, 0, sizeof *attachment);
    attachment->file.number = -1;
    attachment->claim.number = -1;
    attachment->slot = SLOTS_NONE;
    attachment->child = (struct attachment_child){SLOTS_NONE, -1, FATE_HAS_PART, 0};
}

static uint64_t groups_of(const struct layout_geometry *geometry) { return (geometry->blocks + 63) / 64; }

/* What an attachment has for itself: a count a block, also of the annex, and a byte a group. */
static uint64_t private_bytes(const struct layout_geometry *geometry) {
    return (geometry->blocks + geometry->small_blocks) * sizeof(uint32_t) + groups_of(geometry);
}

void attachment_unmap(struct attachment *attachment) {
    gate_mutex_lock(); /* so that a fork finds all of it, or nothing */
    if (attachment->memory) {
        os_unmap_file(attachment->memory, attachment->geometry.bytes);
    }
    if (attachment->lock_page && (!attachment_is_stray(attachment) || attachment->slot == SLOTS_NONE)) {
        os_unpin_lock(attachment->lock_page); /* a stray child did not inherit it; something else may be mapped there */
    }
    if (attachment->alive) {
        os_release_wiped(attachment->alive);
    }
    if (attachment->local_references) {
        os_unmap_scratch(attachment->local_references, private_bytes(&attachment->geometry));
    }
    descriptor_close(attachment);
    claim_forget(attachment);
    attachment_unregister(attachment);
    attachment_reset(attachment);
    gate_mutex_unlock();
}

enum pool_status pool_status_from_errno(int error, struct pool_failure *failure) {
    failure->error = error;
    switch (-error) {
    case ENOENT:
        return POOL_NOT_FOUND;
    case EACCES:
    case EPERM:
        return POOL_FORBIDDEN;
    case EEXIST:
        return POOL_EXISTS;
    case ELOOP:
    case EISDIR:
    case ENXIO:
        return POOL_NO_POOL;
    case ECANCELED:
        return POOL_STOPPED;
    case ENOSPC:
        return POOL_NO_ROOM;
    case ENOMEM:
        return POOL_NO_MAPPING;
    case EMFILE:
    case ENFILE:
        return POOL_NO_DESCRIPTOR;
    case ENOSYS:
        return POOL_NO_PROC;
    case EBADF:
    case ESTALE:
        return POOL_UNREACHABLE;
    default:
        return POOL_SYSTEM;
    }
}

/* Makes the views of the mapped segment. */
static void init(struct attachment *attachment) {
    const struct layout_geometry *geometry = &attachment->geometry;
    layout_init(&attachment->shared, &attachment->queues.annex, attachment->memory, geometry);
    queues_init(&attachment->queues, &attachment->shared, layout_small(attachment->memory, geometry));
    recording_watch(attachment);
    attachment->lifetime = endings_whole(endings_seconds(&attachment->shared.endings));
}

/* Maps the segment and what belongs to this process alone. */
static enum pool_status map(struct attachment *attachment, struct pool_failure *failure) {
    void *page = NULL, *counts = NULL;
    gate_mutex_lock();
    int error = os_map_file(attachment->file.number, attachment->geometry.bytes, &attachment->memory);
    if (error) {
        attachment->memory = NULL;
    } else if ((error = os_wiped_on_fork(&page)) == 0) {
        attachment->alive = page;
        error = os_map_scratch(private_bytes(&attachment->geometry), &counts);
        attachment->local_references = counts;
        attachment->queue_references = attachment->local_references + attachment->geometry.blocks;
        attachment->groups = (atomic_byte *)(attachment->queue_references + attachment->geometry.small_blocks);
    }
    gate_mutex_unlock();
    if (error) {
        return pool_status_from_errno(error, failure);
    }
    init(attachment);
    return POOL_OK;
}

/* Takes a slot; under the gate, or with the gate mutex before any other process can see the segment. */
static enum pool_status take_slot(struct attachment *attachment, struct pool_failure *failure) {
    int error;
    attachment->slot =
        slots_take(&attachment->file, attachment->memory, &attachment->geometry, &attachment->lock_page, NULL, &error);
    if (attachment->slot == SLOTS_NONE) {
        failure->processes = attachment->geometry.processes;
        return error ? pool_status_from_errno(error, failure) : POOL_FULL;
    }
    slots_sign(attachment->memory, attachment->slot);
    bitmap_begin_at(&attachment->shared.bitmap, attachment->slot);
    bitmap_begin_at(&attachment->queues.annex.bitmap, attachment->slot);
    attachment->slot_record = slot_record(attachment->memory, attachment->slot);
    store_relaxed(attachment->alive, 1);
    return POOL_OK;
}

enum pool_status attachment_validate(int file, struct os_file *status, struct layout_geometry *geometry,
                                     struct pool_failure *failure) {
    int error = os_stat(file, status);
    if (error) {
        return pool_status_from_errno(error, failure);
    }
    if (status->owner != os_user()) {
        return POOL_FORBIDDEN;
    }
    if (!status->regular) {
        return POOL_NO_POOL;
    }
    error = os_read(file, 0, geometry, sizeof *geometry);
    if (error) {
        return status->bytes < sizeof *geometry ? POOL_NO_POOL : pool_status_from_errno(error, failure);
    }
    switch (layout_validate(geometry, status->bytes)) {
    case LAYOUT_OK:
        return POOL_OK;
    case LAYOUT_NO_POOL:
        return POOL_NO_POOL;
    case LAYOUT_OTHER:
        failure->version = geometry->version;
        (void)os_read(file, offsetof(struct layout_header, made_by), failure->made_by, sizeof failure->made_by);
        failure->made_by[sizeof failure->made_by - 1] = 0;
        return POOL_OTHER_VERSION;
    case LAYOUT_TRUNCATED:
        return POOL_TRUNCATED;
    default:
        return POOL_CORRUPT;
    }
}

/* Attaches the segment in attachment->file, if `id` is NULL or its own. POOL_NOT_FOUND also if it was a leftover, or if
 * its name now belongs to another file. */
static enum pool_status join(struct attachment *attachment, const unsigned char *id, double gate_seconds,
                             struct pool_failure *failure) {
    int gate;
    struct os_file file;
    enum pool_status status = attachment_validate(attachment->file.number, &file, &attachment->geometry, failure);
    if (status == POOL_OK && id && memcmp(id, attachment->geometry.id, LAYOUT_ID_BYTES) != 0) {
        status = POOL_NOT_FOUND;
    }
    if (status == POOL_OK) {
        status = map(attachment, failure);
    }
    if (status == POOL_OK) {
        status = gate_enter(attachment, gate_seconds, &gate, failure);
    }
    if (status != POOL_OK) {
        return status;
    }
    bool named = attachment->name[0] != 0;
    if (named && !os_shm_names(attachment->name, &attachment->file.identity)) {
        status = POOL_NOT_FOUND;
    } else {
        /* the dead first, see slots.h */
        struct slot_set dead, used;
        attachment_dead_slots(attachment, &dead);
        slots_used(attachment->memory, &attachment->geometry, &used);
        if (slot_set_equals(&dead, &used) && !(attachment->geometry.flags & LAYOUT_PERMANENT)) {
            /* a leftover: its last process is gone */
            if (named) {
                (void)os_shm_unlink(attachment->name);
            }
            status = POOL_NOT_FOUND;
        } else {
            (void)attachment_recover_slots(attachment, &dead);
            status = take_slot(attachment, failure);
        }
    }
    gate_leave(attachment, gate);
    return status;
}

enum pool_status attachment_attach_through(struct attachment *attachment, pid_t process, int number,
                                           const unsigned char *id, double gate_seconds, struct pool_failure *failure) {
    enum pool_status status = attachment_register(attachment, failure);
    if (status != POOL_OK) {
        return status;
    }
    gate_mutex_lock();
    status = descriptor_keep(attachment, os_open_of(process, number), failure);
    gate_mutex_unlock();
    if (status == POOL_OK) {
        status = join(attachment, id, gate_seconds, failure);
    }
    if (status != POOL_OK) {
        attachment_unmap(attachment);
    }
    return status;
}

enum pool_status attachment_attach(struct attachment *attachment, const char *name, double gate_seconds,
                                   struct pool_failure *failure) {
    enum pool_status status = POOL_NOT_FOUND;
    bool opened = true;
    for (int tries = 0; tries < STARTS_OVER && status == POOL_NOT_FOUND && opened; tries++) {
        status = attachment_register(attachment, failure);
        if (status != POOL_OK) {
            return status;
        }
        gate_mutex_lock();
        status = descriptor_keep(attachment, os_shm_open(name), failure);
        gate_mutex_unlock();
        snprintf(attachment->name, sizeof attachment->name, "%s", name);
        opened = status == POOL_OK;
        if (opened) {
            status = join(attachment, NULL, gate_seconds, failure);
        }
        if (status != POOL_OK) {
            attachment_unmap(attachment);
        }
    }
    return status;
}

/* How much memory a new segment can have, and what sets that limit. */
static void find_room(bool named, struct pool_failure *failure) {
    struct os_limits limits;
    os_limits(&limits);
    failure->available = limits.available.bytes;
    memcpy(failure->limit, limits.available.by, sizeof failure->limit);
    uint64_t room = named ? os_shm_available() : UINT64_MAX;
    if (room < failure->available) {
        failure->available = room;
        snprintf(failure->limit, sizeof failure->limit, OS_SHM_DIRECTORY);
    }
}

/* The context of the pause while a new segment is made. */
struct making {
    const struct os_pause *pause;
    const struct attachment *attachment;
    /* Code that ran in the pause forked, and this is the child: it has no part of the segment, nor a descriptor. */
    bool forked;
};

static bool may_go_on_making(void *context) {
    struct making *making = context;
    bool may = os_may_go_on(making->pause);
    making->forked = may && making->attachment->file.number < 0 && making->attachment->claim.number < 0;
    return may && !making->forked;
}

static bool plan(struct layout_geometry *geometry, const struct attachment_request *request) {
    uint64_t small =
        request->small_blocks ? request->small_blocks : layout_small_blocks(request->block_size, request->blocks);
    geometry->flags = (request->permanent ? LAYOUT_PERMANENT : 0) | (request->detach ? LAYOUT_DETACH : 0) |
                      (request->debug ? LAYOUT_DEBUG : 0);
    return layout_plan(geometry, request->block_size, request->blocks, request->processes, small);
}

/* Makes the segment, as it is planned, in a file that no other process can see yet. */
static enum pool_status build(struct attachment *attachment, const struct attachment_request *request,
                              const struct os_pause *pause, struct pool_failure *failure) {
    struct layout_geometry *geometry = &attachment->geometry;
    uint64_t reserved = layout_reserved(geometry, request->lifetime > 0);
    failure->asked = reserved;
    int error = os_random(geometry->id, sizeof geometry->id);
    if (error) {
        return pool_status_from_errno(error, failure);
    }
    char label[64];
    int used = snprintf(label, sizeof label, "blockpool-");
    for (unsigned i = 0; i < LAYOUT_ID_BYTES; i++) {
        used += snprintf(label + used, sizeof label - (size_t)used, "%02x", geometry->id[i]);
    }
    gate_mutex_lock();
    enum pool_status status = descriptor_keep(attachment, request->name ? os_shm_unnamed() : os_memfd(label), failure);
    gate_mutex_unlock();
    if (status != POOL_OK) {
        return status == POOL_NOT_FOUND ? POOL_NO_DIRECTORY : status;
    }
    find_room(request->name != NULL, failure);
    if (reserved > failure->available) { /* reserving them might wake the OOM killer instead of failing */
        return POOL_NO_ROOM;
    }
    error = os_reserve(attachment->file.number, geometry->bytes, reserved, pause);
    if (error == 0 && !request->name) {
        error = os_seal(attachment->file.number);
    }
    if (error == -ENOSPC) { /* another process was quicker */
        find_room(request->name != NULL, failure);
    }
    if (error) {
        return pool_status_from_errno(error == -ENOMEM ? -ENOSPC : error, failure);
    }
    status = map(attachment, failure);
    if (status == POOL_OK) {
        layout_make(attachment->memory, geometry);
        struct layout_header *header = attachment->memory;
        header->created = (uint64_t)time(NULL);
        if (request->lifetime > 0) {
            store_relaxed(&header->endings.lifetime, endings_lifetime_word(request->lifetime));
            store_seq(&header->endings.ready, ENDINGS_READY);
        }
        init(attachment);
        gate_mutex_lock();
        status = take_slot(attachment, failure);
        gate_mutex_unlock();
    }
    return status;
}

/* Begins an attachment to a new segment; starts over in a child that was forked meanwhile. */
static enum pool_status begin_and_build(struct attachment *attachment, const struct attachment_request *request,
                                        struct pool_failure *failure) {
    struct making making = {&request->pause, attachment, false};
    struct os_pause pause = {may_go_on_making, &making};
    enum pool_status status;
    do {
        making.forked = false;
        status = attachment_register(attachment, failure);
        if (status == POOL_OK && !plan(&attachment->geometry, request)) {
            status = POOL_NO_ROOM;
        }
        if (status == POOL_OK && request->name) {
            status = claim_name(attachment, request, &pause, failure);
        }
        if (status == POOL_OK) {
            status = build(attachment, request, &pause, failure);
        }
    } while (making.forked);
    return status;
}

/* Names the file that is complete; POOL_EXISTS if another has the name. */
static enum pool_status take_name(struct attachment *attachment, const struct attachment_request *request,
                                  struct pool_failure *failure) {
    enum pool_status status = POOL_OK;
    for (int tries = 0; status == POOL_OK && tries < STARTS_OVER; tries++) {
        int error = os_shm_link(attachment->file.number, request->name);
        if (error == 0) {
            snprintf(attachment->name, sizeof attachment->name, "%s", request->name);
            return POOL_OK;
        }
        status = error == -EEXIST ? attachment_remove_leftover(request->name, request->gate_seconds, failure)
                                  : pool_status_from_errno(error, failure);
    }
    return status == POOL_OK ? POOL_EXISTS : status;
}

/* Gives up what was made so far. */
static void end_making(struct attachment *attachment, const struct attachment_request *request) {
    if (request->name) {
        claim_end(attachment, request->name);
    }
    attachment_unmap(attachment);
}

enum pool_status attachment_create(struct attachment *attachment, const struct attachment_request *request,
                                   struct pool_failure *failure) {
    static atomic_word swept; /* whether this process, or one that it was forked from, has swept */
    if (load_relaxed(&swept) == 0) {
        store_relaxed(&swept, 1);
        (void)pools_sweep();
    }
    enum pool_status status = begin_and_build(attachment, request, failure);
    if (status == POOL_NO_ROOM) {
        end_making(attachment, request);
        (void)pools_sweep();
        status = begin_and_build(attachment, request, failure);
    }
    if (status == POOL_OK && request->name) {
        status = take_name(attachment, request, failure);
        claim_end(attachment, request->name);
    }
    if (status != POOL_OK) {
        end_making(attachment, request);
    }
    return status;
}

/* --- leaving --- */

/* Removes the name if it still belongs to this segment; under the gate. */
static int remove_name(const struct attachment *attachment) {
    return attachment->name[0] && os_shm_names(attachment->name, &attachment->file.identity)
               ? os_shm_unlink(attachment->name)
               : -ENOENT;
}

void attachment_end_if_last(struct attachment *attachment) {
    if (!(attachment->geometry.flags & LAYOUT_PERMANENT) &&
        !slots_have_others(&attachment->file, attachment->memory, &attachment->geometry, attachment->slot)) {
        (void)remove_name(attachment);
    }
}

static bool drop_group(struct attachment *attachment, uint64_t first, uint64_t n, unsigned argument) {
    struct slot_set own = {{0}};
    (void)argument;
    slot_set_add(&own, attachment->slot);
    shared_pool_recover(&attachment->shared, &own, attachment->slot, first, n);
    return false;
}

void attachment_drop_all(struct attachment *attachment) {
    struct slot_set own = {{0}};
    slot_set_add(&own, attachment->slot);
    gate_mutex_lock(); /* or a fork might give a child half of it */
    if (load_seq(&attachment->uses_queues)) {
        queues_recover(&attachment->queues, &own, attachment->slot);
        shared_pool_recover(&attachment->queues.annex, &own, attachment->slot, 0, attachment->queues.annex.blocks);
    }
    attachment_visit_groups(attachment, drop_group, 0);
    shared_pool_forget_waiters(&attachment->shared, &own);
    gate_mutex_unlock();
}

void attachment_free_slot(struct attachment *attachment) {
    slots_free(attachment->memory, attachment->slot);
    attachment->slot = SLOTS_NONE;
    attachment->fate = FATE_LEFT;
    store_relaxed(attachment->alive, 0);
}

void attachment_leave(struct attachment *attachment, double gate_seconds) {
    struct pool_failure failure;
    int gate;
    if (attachment_is_stray(attachment) || attachment->slot == SLOTS_NONE) {
        return;
    }
    gate_mutex_lock();
    attachment->on_fork = ON_FORK_NOTHING; /* there can be no pointers any more */
    gate_mutex_unlock();
    attachment_drop_all(attachment);
    if (gate_enter(attachment, gate_seconds, &gate, &failure) == POOL_OK) {
        attachment_end_if_last(attachment);
        attachment_free_slot(attachment);
        gate_leave(attachment, gate);
    }
}

/* --- looking --- */

void attachment_count(struct attachment *attachment, struct attachment_counts *counts) {
    *counts = (struct attachment_counts){.processes = attachment_living(attachment)};
    for (unsigned slot = 0; slot < attachment->geometry.processes; slot++) {
        const struct slot_record *place = slot_record(attachment->memory, slot);
        uint64_t peak = load_relaxed(&place->peak);
        counts->allocations += slot_record_allocations(place);
        counts->failures += load_relaxed(&place->failures);
        counts->waits += load_relaxed(&place->waits);
        counts->waited += load_relaxed(&place->waited);
        counts->peak = peak > counts->peak && peak <= attachment->geometry.blocks ? peak : counts->peak;
    }
}

pid_t attachment_process(const struct attachment *attachment, unsigned slot) {
    return slot < attachment->geometry.processes ? (pid_t)load_relaxed(&slot_record(attachment->memory, slot)->process)
                                                 : 0;
}

enum pool_status pools_identify(const char *name, unsigned char id[LAYOUT_ID_BYTES]) {
    struct layout_geometry geometry;
    gate_mutex_lock();
    int file = os_shm_open(name), error = file;
    if (file >= 0) {
        error = os_read(file, 0, &geometry, sizeof geometry);
        os_close(file);
    }
    gate_mutex_unlock();
    if (file < 0) {
        return POOL_NOT_FOUND;
    }
    if (error || geometry.magic != LAYOUT_MAGIC) {
        return POOL_NO_POOL;
    }
    memcpy(id, geometry.id, LAYOUT_ID_BYTES);
    return POOL_OK;
}
