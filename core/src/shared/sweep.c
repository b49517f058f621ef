/* sweep.c: pools seen from outside: looking at a name, removing it, sweeping what dead processes left; see
 * attachment.h.
 *
 * A LOOK opens the file, reads copies of its header and of the slots, and probes the locks through that description. It
 * takes no slot, maps nothing and mends nothing, so it has no effect on the pool: no slots are used up, and the last
 * attachment still finds that it is the last and removes the name. Only a slot whose lock is certainly free is dead.
 * The result may be outdated at once; it only decides what is worth a second look.
 *
 * A NAME IS REMOVED under the gate of the very file that has it. Attachments come and go under that gate, and check the
 * name when they have it. So what is true of the slots and the name stays true until the gate is given back.
 *
 * The gate mutex is held from the opening to the closing of a file; otherwise a child forked meanwhile would inherit
 * the description, and with it the gate, or the memory of a removed pool. A caller that waits for a gate lets go of the
 * mutex and the file, and looks again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "os/lock.h"
#include "os/process.h"
#include "os/wait.h"
#include "shared/attachment_parts.h"

#define GATE_POLL 0.001 /* seconds between two tries */
#define STARTS_OVER 100 /* a name that changes hands more often than this is an attack */

/* --- looking --- */

/* A file opened by its name. */
struct looked_at {
    struct os_descriptor file;
    struct os_file status;
    struct layout_geometry geometry;
};

/* Opens the file of that name and validates it. Takes the gate mutex; call look_end afterwards, whatever the result. */
static enum pool_status look(struct looked_at *at, const char *name, struct pool_failure *failure) {
    gate_mutex_lock();
    int number = os_shm_open(name), error = number < 0 ? number : os_keep(number, &at->file);
    if (error) {
        at->file.number = -1;
        return pool_status_from_errno(error, failure);
    }
    return attachment_validate(number, &at->status, &at->geometry, failure);
}

static void look_end(struct looked_at *at) {
    if (at->file.number >= 0) {
        os_close_kept(&at->file);
    }
    gate_mutex_unlock();
}

/* Reads from the file which slots are in use. */
static bool read_used(const struct looked_at *at, struct slot_set *used) {
    bool read = os_read(at->file.number, offsetof(struct layout_header, used), used->words, sizeof used->words) == 0;
    slot_set_keep_first(used, at->geometry.processes);
    return read;
}

/* Whether certainly no process has the pool attached. Reads the slots twice: a process that forks takes one for its
 * child without the gate, and may be dead by the time it is probed. */
static bool is_deserted(const struct looked_at *at) {
    struct slot_set used, again;
    if (!read_used(at, &used)) {
        return false;
    }
    for (unsigned slot = slot_set_next(&used, 0); slot != SLOTS_NONE; slot = slot_set_next(&used, slot + 1)) {
        if (os_is_locked(at->file.number, SLOTS_BYTE(slot)) != 0) {
            return false;
        }
    }
    if (!read_used(at, &again)) {
        return false;
    }
    slot_set_subtract(&again, &used);
    /* otherwise these were locks of a file that another thread opened, see slots.h */
    return slot_set_is_empty(&again) && os_verify(&at->file) == 0;
}

static bool is_leftover(const struct looked_at *at) {
    return !(at->geometry.flags & LAYOUT_PERMANENT) && is_deserted(at);
}

/* --- removing names --- */

static struct pools_swept swept; /* until it is taken; under the gate mutex */
static atomic_word has_swept;    /* whether there is anything in it */

static void note_swept(const char *name, uint64_t bytes) {
    if (swept.count < SWEPT_NAMED) {
        snprintf(swept.names[swept.count], sizeof swept.names[0], "%s", name);
    }
    swept.count++;
    swept.bytes += bytes;
    store_relaxed(&has_swept, 1);
}

bool pools_take_swept(struct pools_swept *taken) {
    if (load_relaxed(&has_swept) == 0) {
        return false;
    }
    gate_mutex_lock();
    *taken = swept;
    swept = (struct pools_swept){0};
    store_relaxed(&has_swept, 0);
    gate_mutex_unlock();
    return taken->count > 0;
}

/* Removes a leftover; POOL_BUSY if its gate is taken. *removed tells whether this call removed it. POOL_OK if the name
 * is free, or was at some time since the call began. */
static enum pool_status try_to_remove(const char *name, bool *removed, struct pool_failure *failure) {
    struct looked_at at;
    enum pool_status status = look(&at, name, failure);
    if (status == POOL_OK && !is_leftover(&at)) {
        failure->found = POOL_OK;
        status = POOL_EXISTS;
    } else if (status == POOL_OK) {
        status = gate_try(at.file.number, failure);
        if (status == POOL_OK) {
            if (os_shm_names(name, &at.status.identity) && is_deserted(&at)) {
                *removed = os_shm_unlink(name) == 0;
                if (*removed) {
                    note_swept(name, at.status.memory);
                }
            }
            gate_give_back(at.file.number);
        }
    } else if (status == POOL_NOT_FOUND) {
        status = POOL_OK;
    } else if (status == POOL_NO_POOL || status == POOL_OTHER_VERSION || status == POOL_TRUNCATED ||
               status == POOL_CORRUPT) {
        failure->found = status;
        status = POOL_EXISTS;
    }
    look_end(&at);
    return status;
}

enum pool_status attachment_remove_leftover(const char *name, double gate_seconds, struct pool_failure *failure) {
    bool removed = false;
    enum pool_status status;
    double deadline = os_now() + gate_seconds;
    while ((status = try_to_remove(name, &removed, failure)) == POOL_BUSY && os_now() < deadline) {
        os_sleep(GATE_POLL);
    }
    return status;
}

/* Removes the name of a file that was looked at; POOL_EXISTS if another file has it by now, POOL_BUSY if the gate is
 * taken. */
static enum pool_status unlink_seen(const struct looked_at *at, enum pool_status judged, const char *name,
                                    const unsigned char *id, struct pool_failure *failure) {
    int error;
    switch (judged) {
    case POOL_NO_POOL:
    case POOL_FORBIDDEN: /* by its mode; the owner is this user */
        if (id) {
            return judged;
        }
        error = os_shm_unlink(name); /* not a pool: there is no gate */
        break;
    case POOL_OK:
    case POOL_OTHER_VERSION:
    case POOL_TRUNCATED:
    case POOL_CORRUPT:
        if (id && memcmp(at->geometry.id, id, LAYOUT_ID_BYTES) != 0) {
            return POOL_NOT_FOUND;
        }
        judged = gate_try(at->file.number, failure);
        if (judged != POOL_OK) {
            return judged;
        }
        error = os_shm_names(name, &at->status.identity) ? os_shm_unlink(name) : -EEXIST;
        gate_give_back(at->file.number);
        break;
    default: /* gone meanwhile, or the kernel refused to open it */
        return judged;
    }
    return error ? pool_status_from_errno(error, failure) : POOL_OK;
}

enum pool_status pools_unlink(const char *name, const unsigned char *id, double gate_seconds,
                              struct pool_failure *failure) {
    struct looked_at at;
    struct os_file seen;
    double deadline = os_now() + gate_seconds;
    for (int tries = 0; tries < STARTS_OVER;) {
        *failure = (struct pool_failure){0};
        int error = os_shm_look(name, &seen); /* what cannot be opened has an owner too */
        if (error) {
            return pool_status_from_errno(error, failure);
        }
        if (seen.owner != os_user()) {
            return POOL_FORBIDDEN;
        }
        enum pool_status status = look(&at, name, failure);
        status = unlink_seen(&at, status, name, id, failure);
        look_end(&at);
        if (status == POOL_BUSY && os_now() < deadline) {
            os_sleep(GATE_POLL);
        } else if (status == POOL_EXISTS) {
            tries++;
        } else {
            return status;
        }
    }
    return POOL_NOT_FOUND;
}

/* --- all of them --- */

static bool sweep_one(const char *name, void *context) {
    struct pool_failure failure = {0};
    unsigned *count = context;
    bool removed = false;
    (void)try_to_remove(name, &removed, &failure); /* the process at its gate takes care of it */
    *count += removed;
    return true;
}

unsigned pools_sweep(void) {
    unsigned count = 0;
    (void)os_shm_list(POOLS_PREFIX, sweep_one, &count);
    return count;
}

static bool survey_one(const char *name, void *context) {
    struct pool_failure failure = {0};
    struct pools_survey *survey = context;
    struct pools_surveyed one = {.bytes = 0};
    struct looked_at at;
    if (strlen(name) >= sizeof one.name) {
        return true;
    }
    one.is = look(&at, name, &failure);
    one.used = one.is == POOL_OK && !is_deserted(&at);
    look_end(&at);
    if (one.is != POOL_OK && one.is != POOL_OTHER_VERSION && one.is != POOL_TRUNCATED && one.is != POOL_CORRUPT) {
        return true;
    }
    memcpy(one.name, name, strlen(name));
    one.bytes = at.status.memory;
    survey->count++;
    survey->bytes += one.bytes;
    for (unsigned i = 0; i < POOLS_SURVEYED; i++) {
        if (one.bytes > survey->largest[i].bytes) {
            struct pools_surveyed smaller = survey->largest[i];
            survey->largest[i] = one;
            one = smaller;
        }
    }
    return true;
}

void pools_survey(struct pools_survey *survey) {
    memset(survey, 0, sizeof *survey);
    (void)os_shm_list(POOLS_PREFIX, survey_one, survey);
}
