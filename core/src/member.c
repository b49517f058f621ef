/* member.c: see member.h. */
#include "member_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "os.h"

#define STARTS_OVER 100 /* a name that changes more often than this while we open it is somebody's malice */

/* --- opening --- */

void member_reset(struct member *member) {
    memset(member, 0, sizeof *member);
    member->file.number = -1;
    member->slot = SLOTS_NONE;
    member->child = (struct member_child){SLOTS_NONE, -1, MEMBER_HAS_PART, 0};
}

void member_unmap(struct member *member) {
    turn_take(); /* so a fork finds all of it, or nothing */
    if (member->memory) {
        os_unmap_file(member->memory, member->geometry.bytes);
    }
    if (member->hold && (!member_is_stray(member) || member->slot == SLOTS_NONE)) {
        os_release_hold(member->hold); /* a stray child did not inherit it: something else may be there */
    }
    if (member->alive) {
        os_release_wiped(member->alive);
    }
    if (member->extra) {
        os_unmap(member->extra, member->geometry.blocks * sizeof *member->extra);
    }
    descriptor_close(member);
    member_strike(member);
    member_reset(member);
    turn_end();
}

enum member_status member_refused(int error, struct member_failure *failure) {
    failure->error = error;
    switch (-error) {
    case ENOENT:
        return MEMBER_NOT_FOUND;
    case EACCES:
    case EPERM:
        return MEMBER_FORBIDDEN;
    case EEXIST:
        return MEMBER_EXISTS;
    case ELOOP:
    case EISDIR:
    case ENXIO:
        return MEMBER_NO_POOL;
    case ECANCELED:
        return MEMBER_STOPPED;
    case ENOSPC:
        return MEMBER_NO_ROOM;
    case ENOMEM:
        return MEMBER_NO_MAPPING;
    case EMFILE:
    case ENFILE:
        return MEMBER_NO_DESCRIPTOR;
    case ENOSYS:
        return MEMBER_NO_PROC;
    case EBADF:
    case ESTALE:
        return MEMBER_UNREACHABLE;
    default:
        return MEMBER_SYSTEM;
    }
}

/* Maps the segment and what belongs to this process alone. */
static enum member_status map(struct member *member, struct member_failure *failure) {
    void *page = NULL, *counts = NULL;
    turn_take();
    int error = os_map_file(member->file.number, member->geometry.bytes, &member->memory);
    if (error) {
        member->memory = NULL;
    } else if ((error = os_wiped_on_fork(&page)) == 0) {
        member->alive = page;
        error = os_map_private(member->geometry.blocks * sizeof *member->extra, false, &counts);
        member->extra = counts;
    }
    turn_end();
    if (error) {
        return member_refused(error, failure);
    }
    segment_view(&member->shared, member->memory, &member->geometry);
    return MEMBER_OK;
}

/* Takes a slot; under the gate, or with the turn before anybody can see the segment. */
static enum member_status take_slot(struct member *member, struct member_failure *failure) {
    int error;
    member->slot = slots_take(&member->file, member->memory, &member->geometry, &member->hold, NULL, &error);
    if (member->slot == SLOTS_NONE) {
        return error ? member_refused(error, failure) : MEMBER_FULL;
    }
    slots_sign(member->memory, &member->geometry, member->slot);
    bitmap_begin_at(&member->shared.bitmap, member->slot);
    member->place = segment_slot(member->memory, &member->geometry, member->slot);
    store_relaxed(member->alive, 1);
    return MEMBER_OK;
}

enum member_status member_judge(int file, struct os_file *status, struct segment_geometry *geometry,
                                struct member_failure *failure) {
    int error = os_stat(file, status);
    if (error) {
        return member_refused(error, failure);
    }
    if (status->owner != os_user()) {
        return MEMBER_FORBIDDEN;
    }
    if (!status->regular) {
        return MEMBER_NO_POOL;
    }
    error = os_read(file, 0, geometry, sizeof *geometry);
    if (error) {
        return status->bytes < sizeof *geometry ? MEMBER_NO_POOL : member_refused(error, failure);
    }
    switch (segment_judge(geometry, status->bytes)) {
    case SEGMENT_OK:
        return MEMBER_OK;
    case SEGMENT_NO_POOL:
        return MEMBER_NO_POOL;
    case SEGMENT_OTHER:
        failure->version = geometry->version;
        (void)os_read(file, offsetof(struct segment_header, made_by), failure->made_by, sizeof failure->made_by);
        failure->made_by[sizeof failure->made_by - 1] = 0;
        return MEMBER_OTHER_VERSION;
    case SEGMENT_TRUNCATED:
        return MEMBER_TRUNCATED;
    default:
        return MEMBER_CORRUPT;
    }
}

/* Joins the segment in member->file, if it is the one of the id or that is NULL. MEMBER_NOT_FOUND also when it was a leftover, or its
 * name went to another one meanwhile. */
static enum member_status join(struct member *member, const unsigned char *id, double gate_seconds,
                               struct member_failure *failure) {
    int gate;
    struct os_file file;
    enum member_status status = member_judge(member->file.number, &file, &member->geometry, failure);
    if (status == MEMBER_OK && id && memcmp(id, member->geometry.id, SEGMENT_ID_BYTES) != 0) {
        status = MEMBER_NOT_FOUND;
    }
    if (status == MEMBER_OK) {
        status = map(member, failure);
    }
    if (status == MEMBER_OK) {
        status = gate_enter(member, gate_seconds, &gate, failure);
    }
    if (status != MEMBER_OK) {
        return status;
    }
    bool named = member->name[0] != 0;
    if (named && !os_shm_names(member->name, &member->file.identity)) {
        status = MEMBER_NOT_FOUND;
    } else {
        /* the dead first, see member_end_if_last */
        uint64_t dead = member_dead_slots(member), used = slots_used(member->memory, &member->geometry);
        if (dead == used && !(member->geometry.flags & SEGMENT_PERMANENT)) {
            /* a leftover: its last process is gone */
            if (named) {
                (void)os_shm_unlink(member->name);
            }
            status = MEMBER_NOT_FOUND;
        } else {
            (void)member_recover_slots(member, dead);
            status = take_slot(member, failure);
        }
    }
    gate_leave(member, gate);
    return status;
}

enum member_status member_attach_through(struct member *member, pid_t process, int number, const unsigned char *id,
                                         double gate_seconds, struct member_failure *failure) {
    enum member_status status = member_begin(member, failure);
    if (status != MEMBER_OK) {
        return status;
    }
    turn_take();
    status = descriptor_keep(member, os_open_of(process, number), failure);
    turn_end();
    if (status == MEMBER_OK) {
        status = join(member, id, gate_seconds, failure);
    }
    if (status != MEMBER_OK) {
        member_unmap(member);
    }
    return status;
}

enum member_status member_attach(struct member *member, const char *name, double gate_seconds,
                                 struct member_failure *failure) {
    enum member_status status = MEMBER_NOT_FOUND;
    bool opened = true;
    for (int tries = 0; tries < STARTS_OVER && status == MEMBER_NOT_FOUND && opened; tries++) {
        status = member_begin(member, failure);
        if (status != MEMBER_OK) {
            return status;
        }
        turn_take();
        status = descriptor_keep(member, os_shm_open(name), failure);
        turn_end();
        snprintf(member->name, sizeof member->name, "%s", name);
        opened = status == MEMBER_OK;
        if (opened) {
            status = join(member, NULL, gate_seconds, failure);
        }
        if (status != MEMBER_OK) {
            member_unmap(member);
        }
    }
    return status;
}

/* How much memory a new segment can have, and what leaves no more. */
static void find_room(bool named, struct member_failure *failure) {
    struct os_memory memory;
    os_memory(&memory);
    failure->available = memory.available.bytes;
    memcpy(failure->limit, memory.available.by, sizeof failure->limit);
    uint64_t room = named ? os_shm_available() : UINT64_MAX;
    if (room < failure->available) {
        failure->available = room;
        snprintf(failure->limit, sizeof failure->limit, OS_SHM_DIRECTORY);
    }
}

/* What is asked while the kernel finds the memory of a new segment. */
struct making {
    const struct os_pause *pause;
    const struct member *member;
    bool
        forked; /* a signal's handler did, and this is the child: it has nothing of the segment, nor the number of its file */
};

static bool may_go_on_making(void *context) {
    struct making *making = context;
    bool may = os_may_go_on(making->pause);
    making->forked = may && making->member->file.number < 0;
    return may && !making->forked;
}

/* Makes the segment in a file that nobody can see yet. */
static enum member_status build(struct member *member, const struct member_request *request,
                                const struct os_pause *pause, struct member_failure *failure) {
    struct segment_geometry *geometry = &member->geometry;
    if (!segment_plan(geometry, request->block_size, request->blocks)) {
        return MEMBER_NO_ROOM;
    }
    failure->asked = geometry->bytes;
    geometry->flags = (request->permanent ? SEGMENT_PERMANENT : 0) | (request->detach ? SEGMENT_DETACH : 0);
    int error = os_random(geometry->id, sizeof geometry->id);
    if (error) {
        return member_refused(error, failure);
    }
    char label[64];
    int used = snprintf(label, sizeof label, "blockpool-");
    for (unsigned i = 0; i < SEGMENT_ID_BYTES; i++) {
        used += snprintf(label + used, sizeof label - (size_t)used, "%02x", geometry->id[i]);
    }
    turn_take();
    enum member_status status = descriptor_keep(member, request->name ? os_shm_unnamed() : os_memfd(label), failure);
    turn_end();
    if (status != MEMBER_OK) {
        return status == MEMBER_NOT_FOUND ? MEMBER_NO_DIRECTORY : status;
    }
    find_room(request->name != NULL, failure);
    if (geometry->bytes >
        failure->available) { /* to reserve them may wake the killer of processes instead of failing */
        return MEMBER_NO_ROOM;
    }
    error = os_reserve(member->file.number, geometry->bytes, pause);
    if (error == 0 && !request->name) {
        error = os_seal(member->file.number);
    }
    if (error == -ENOSPC) { /* others were quicker */
        find_room(request->name != NULL, failure);
    }
    if (error) {
        return member_refused(error == -ENOMEM ? -ENOSPC : error, failure);
    }
    status = map(member, failure);
    if (status == MEMBER_OK) {
        segment_make(member->memory, geometry);
        segment_view(&member->shared, member->memory, geometry);
        turn_take();
        status = take_slot(member, failure);
        turn_end();
    }
    return status;
}

/* Begins a membership in a new segment, and again in a child that was forked on the way. */
static enum member_status begin_and_build(struct member *member, const struct member_request *request,
                                          struct member_failure *failure) {
    struct making making = {&request->pause, member, false};
    struct os_pause pause = {may_go_on_making, &making};
    enum member_status status;
    do {
        making.forked = false;
        status = member_begin(member, failure);
        if (status == MEMBER_OK) {
            status = build(member, request, &pause, failure);
        }
    } while (making.forked);
    return status;
}

enum member_status member_create(struct member *member, const struct member_request *request,
                                 struct member_failure *failure) {
    static atomic_word swept; /* whether this process, or the one that it was forked from, has */
    if (load_relaxed(&swept) == 0) {
        store_relaxed(&swept, 1);
        (void)member_sweep();
    }
    enum member_status status = begin_and_build(member, request, failure);
    if (status == MEMBER_NO_ROOM) {
        member_unmap(member);
        (void)member_sweep();
        status = begin_and_build(member, request, failure);
    }
    for (int tries = 0; status == MEMBER_OK && request->name && tries < STARTS_OVER; tries++) {
        int error = os_shm_link(member->file.number, request->name);
        if (error == 0) {
            snprintf(member->name, sizeof member->name, "%s", request->name);
            return MEMBER_OK;
        }
        status = error == -EEXIST ? member_remove_leftover(request->name, request->gate_seconds, failure)
                                  : member_refused(error, failure);
    }
    if (status == MEMBER_OK && !request->name) {
        return MEMBER_OK;
    }
    member_unmap(member);
    return status == MEMBER_OK ? MEMBER_EXISTS : status;
}

/* --- leaving --- */

/* Removes the name, if it is still that of this segment; under the gate. */
static int remove_name(const struct member *member) {
    return member->name[0] && os_shm_names(member->name, &member->file.identity) ? os_shm_unlink(member->name)
                                                                                 : -ENOENT;
}

void member_end_if_last(struct member *member) {
    /* the dead first: a process that forks takes its child's slot without the gate, but while it lives */
    uint64_t dead = member_dead_slots(member),
             others = slots_used(member->memory, &member->geometry) & ~dead & ~ledger_slot_bit(member->slot);
    if (others == 0 && !(member->geometry.flags & SEGMENT_PERMANENT)) {
        (void)remove_name(member);
    }
}

void member_drop_all(struct member *member) {
    uint64_t own = ledger_slot_bit(member->slot);
    turn_take(); /* or a fork might give a child half of it */
    shared_recover(&member->shared, own);
    (void)fetch_and_seq(&member->shared.waiting->slots, ~own);
    turn_end();
}

void member_free_slot(struct member *member) {
    slots_free(member->memory, &member->geometry, member->slot);
    member->slot = SLOTS_NONE;
    member->fate = MEMBER_LEFT;
    store_relaxed(member->alive, 0);
}

void member_leave(struct member *member, double gate_seconds) {
    struct member_failure failure;
    int gate;
    if (member_is_stray(member) || member->slot == SLOTS_NONE) {
        return;
    }
    turn_take();
    member->on_fork = MEMBER_FORK_NOTHING; /* nobody can have a pointer any more */
    turn_end();
    member_drop_all(member);
    if (gate_enter(member, gate_seconds, &gate, &failure) == MEMBER_OK) {
        member_end_if_last(member);
        member_free_slot(member);
        gate_leave(member, gate);
    }
}

/* --- looking --- */

void member_count(struct member *member, struct member_counts *counts) {
    *counts = (struct member_counts){.processes = (unsigned)__builtin_popcountll(member_living_slots(member))};
    for (unsigned slot = 0; slot < SEGMENT_SLOTS; slot++) {
        const struct segment_slot *place = segment_slot(member->memory, &member->geometry, slot);
        uint64_t peak = load_relaxed(&place->peak);
        counts->allocations += load_relaxed(&place->allocations);
        counts->failures += load_relaxed(&place->failures);
        counts->peak = peak > counts->peak && peak <= member->geometry.blocks ? peak : counts->peak;
    }
}

pid_t member_process(const struct member *member, unsigned slot) {
    return slot < SEGMENT_SLOTS ? (pid_t)load_relaxed(&segment_slot(member->memory, &member->geometry, slot)->process)
                                : 0;
}

enum member_status member_identify(const char *name, unsigned char id[SEGMENT_ID_BYTES]) {
    struct segment_geometry geometry;
    turn_take();
    int file = os_shm_open(name), error = file;
    if (file >= 0) {
        error = os_read(file, 0, &geometry, sizeof geometry);
        os_close(file);
    }
    turn_end();
    if (file < 0) {
        return MEMBER_NOT_FOUND;
    }
    if (error || geometry.magic != SEGMENT_MAGIC) {
        return MEMBER_NO_POOL;
    }
    memcpy(id, geometry.id, SEGMENT_ID_BYTES);
    return MEMBER_OK;
}
