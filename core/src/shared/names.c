/* names.c: runs that have names; see attachment.h and catalog.h. */
#include "shared/attachment_parts.h"

#define TRIES 1000 /* a name that has another run at each look */

static struct catalog_entry *catalog_of(const struct attachment *attachment) {
    return layout_catalog(attachment->memory, &attachment->geometry);
}

static enum pool_status status_of(enum catalog_status status) {
    switch (status) {
    case CATALOG_OK:
        return POOL_OK;
    case CATALOG_UNKNOWN:
        return POOL_NOT_FOUND;
    case CATALOG_TAKEN:
        return POOL_EXISTS;
    case CATALOG_FULL:
        return POOL_FULL;
    default:
        return POOL_CORRUPT;
    }
}

enum pool_status attachment_keep(struct attachment *attachment, const char *name, const struct pool_run *run,
                                 bool replace, double gate_seconds, struct pool_failure *failure) {
    int gate;
    *failure = (struct pool_failure){0};
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    enum pool_status status = gate_enter(attachment, gate_seconds, &gate, failure);
    if (status == POOL_OK) {
        status =
            status_of(catalog_keep(catalog_of(attachment), &attachment->shared, attachment->slot, name, run, replace));
        gate_leave(attachment, gate);
    }
    return status;
}

enum pool_status attachment_forget(struct attachment *attachment, const char *name, double gate_seconds,
                                   struct pool_failure *failure) {
    int gate;
    *failure = (struct pool_failure){0};
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    enum pool_status status = gate_enter(attachment, gate_seconds, &gate, failure);
    if (status == POOL_OK) {
        status = status_of(catalog_forget(catalog_of(attachment), &attachment->shared, name));
        gate_leave(attachment, gate);
    }
    return status;
}

enum pool_status attachment_get(struct attachment *attachment, const char *name, struct pool_run *run) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    for (int tries = 0; tries < TRIES; tries++) {
        enum pool_status status = status_of(catalog_find(catalog_of(attachment), name, run));
        if (status == POOL_OK) {
            status = attachment_add_reference(attachment, run);
        }
        if (status != POOL_STALE) {
            return status;
        }
    }
    return POOL_CORRUPT;
}

unsigned attachment_next_name(const struct attachment *attachment, unsigned from, char name[CATALOG_NAME_BYTES],
                              struct pool_run *run) {
    return attachment_is_stray(attachment) ? CATALOG_NAMES : catalog_next(catalog_of(attachment), from, name, run);
}
