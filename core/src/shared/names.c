/* names.c: runs that have names; see attachment.h and catalog.h. */
#include "shared/attachment_parts.h"

#define TRIES 1000 /* a name that has another run at each look */

struct catalog attachment_catalog(const struct attachment *attachment) {
    struct attachment *mine = (struct attachment *)attachment;
    return (struct catalog){layout_catalog(mine->memory, &mine->geometry), &mine->shared, &mine->queues.annex};
}

enum pool_status attachment_catalog_status(enum catalog_status status) {
    switch (status) {
    case CATALOG_OK:
        return POOL_OK;
    case CATALOG_UNKNOWN:
        return POOL_NOT_FOUND;
    case CATALOG_TAKEN:
        return POOL_EXISTS;
    case CATALOG_OTHER:
        return POOL_OTHER_KIND;
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
        struct catalog catalog = attachment_catalog(attachment);
        status = attachment_catalog_status(catalog_keep(&catalog, attachment->slot, name, run, 0, true, replace));
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
        struct catalog catalog = attachment_catalog(attachment);
        status = attachment_catalog_status(catalog_forget(&catalog, name));
        gate_leave(attachment, gate);
    }
    return status;
}

enum pool_status attachment_get(struct attachment *attachment, const char *name, struct pool_run *run) {
    if (attachment_is_stray(attachment)) {
        return POOL_STRAY;
    }
    struct catalog catalog = attachment_catalog(attachment);
    for (int tries = 0; tries < TRIES; tries++) {
        unsigned kind = 0;
        enum pool_status status = attachment_catalog_status(catalog_find(&catalog, name, run, &kind));
        if (status == POOL_OK && kind) {
            return POOL_OTHER_KIND;
        }
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
                              struct pool_run *run, unsigned *kind) {
    struct catalog catalog = attachment_catalog(attachment);
    return attachment_is_stray(attachment) ? CATALOG_NAMES : catalog_next(&catalog, from, name, run, kind);
}
