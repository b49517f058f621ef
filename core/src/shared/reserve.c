/* reserve.c: memory of a segment that is reserved only when it is needed. See attachment_parts.h. */
#include "shared/attachment_parts.h"

#include <errno.h>
#include <string.h>

#include "os/wait.h"

/* Asking how much memory there is takes some 0.3 ms: an answer with plenty counts for a while. */
#define PLENTY (UINT64_C(64) << 20)
#define PLENTY_SECONDS 0.01

/* Whether there is memory for so many bytes; a cgroup that has none might answer with its OOM killer. */
static bool may_reserve(uint64_t bytes, struct pool_failure *failure) {
    static atomic_word plenty_until; /* milliseconds on the monotonic clock */
    uint64_t now = (uint64_t)(os_now() * 1000);
    struct os_limits limits;
    if (now < load_relaxed(&plenty_until) && bytes <= LAYOUT_PAGE) {
        return true;
    }
    os_limits(&limits);
    failure->available = limits.available.bytes;
    memcpy(failure->limit, limits.available.by, sizeof failure->limit);
    if (failure->available >= PLENTY) {
        store_relaxed(&plenty_until, now + (uint64_t)(PLENTY_SECONDS * 1000));
    }
    return failure->available >= bytes;
}

enum pool_status attachment_reserve(struct attachment *attachment, uint64_t at, uint64_t bytes,
                                    struct pool_failure *failure) {
    *failure = (struct pool_failure){.asked = bytes, .available = UINT64_MAX};
    if (!may_reserve(bytes, failure)) {
        return POOL_NO_ROOM;
    }
    gate_mutex_lock();
    enum pool_status status = attachment_is_stray(attachment) ? POOL_STRAY : descriptor_ready(attachment, failure);
    if (status == POOL_OK) {
        int error = os_reserve_part(attachment->file.number, at, bytes);
        int lost = os_verify(&attachment->file); /* then it was another file's memory */
        error = lost ? lost : error == -ENOMEM ? -ENOSPC : error;
        status = error ? pool_status_from_errno(error, failure) : POOL_OK;
    }
    gate_mutex_unlock();
    if (status == POOL_NO_ROOM && attachment->name[0] && os_shm_available() < bytes) {
        failure->available = os_shm_available();
        memcpy(failure->limit, OS_SHM_DIRECTORY, sizeof OS_SHM_DIRECTORY);
    }
    return status;
}
