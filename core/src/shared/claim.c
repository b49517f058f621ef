/* claim.c: one process at a time makes the pool of a name; see attachment_parts.h.
 *
 * A segment is complete before it gets its name, so its memory is reserved before anybody knows that the name is its.
 * If processes that start together all did that, there would be as many pools as processes for a while, and a machine
 * has no memory for that. So a process first claims the name. The others wait until it is done, and find what it made.
 *
 * A CLAIM is a lock on one byte of the directory of shared memory, far past any end; a hash of the name says which. The
 * kernel drops it with its process, there is nothing to clean up, and it reaches every process that sees the directory,
 * in whatever container. A directory cannot be opened for writing, and so can only have shared locks. A process sets
 * one and then asks whether anybody else has one: of two that do so at the same time, at least the second sees the
 * other. One that sees another takes its own back and tries again later. Both may have seen the other; then neither has
 * the claim until they try again, at different moments.
 *
 * REJECTED: a lock file. A process that is killed leaves it, and someone has to sweep it. REJECTED: to name an empty
 * file and make the pool in it under its gate. Then everybody who looks at a name, also earlier releases, can meet a
 * pool without a header. REJECTED: flock() on the directory. It is one lock for all names, and one large pool would
 * hold up all others. REJECTED: an abstract Unix socket. Containers that share the directory may have networks of their
 * own.
 *
 * A CLAIM ONLY DECIDES WHO WAITS. The link gives the name, and fails if it is taken. So a process that cannot claim, or
 * has waited too long for one that is stopped, goes on without. Two names with one hash only take turns. Any user can
 * lock bytes of the directory, and with that delay others, but no more.
 */
#include "shared/attachment_parts.h"

#include <errno.h>

#include "os/lock.h"
#include "os/wait.h"

#define CLAIM_POLL 0.001      /* seconds between two tries */
#define CLAIM_POLL_LATER 0.01 /* the same after CLAIM_SOON */
#define CLAIM_SOON 0.1        /* seconds in which most pools are made */
#define CLAIM_SLOWEST 128e6   /* bytes that a process reserves in a second, at least, even on a busy machine */

/* Which byte; FNV-1a. */
static uint64_t byte_of(const char *name) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) {
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    }
    return hash % OS_LOCK_BYTES;
}

/* Opens the directory for the claim; whether it could. */
static bool begin(struct attachment *attachment) {
    gate_mutex_lock(); /* so that a fork finds it */
    int number = os_shm_directory();
    if (number >= 0 && os_keep(number, &attachment->claim) != 0) {
        os_close(number);
        attachment->claim.number = -1;
    }
    gate_mutex_unlock();
    return attachment->claim.number >= 0;
}

enum pool_status claim_name(struct attachment *attachment, const struct attachment_request *request,
                            const struct os_pause *pause, struct pool_failure *failure) {
    uint64_t byte = byte_of(request->name);
    double began = os_now();
    double patience = request->gate_seconds + (double)attachment->geometry.bytes / CLAIM_SLOWEST;
    if (!begin(attachment)) {
        return POOL_OK;
    }
    for (;;) {
        int error = os_lock_shared_alone(attachment->claim.number, byte);
        enum pool_status status = attachment_remove_leftover(request->name, request->gate_seconds, failure);
        double waited = os_now() - began;
        if (status != POOL_OK || error != -EAGAIN || waited > patience) {
            return status;
        }
        os_sleep(waited < CLAIM_SOON ? CLAIM_POLL : CLAIM_POLL_LATER);
        if (!os_may_go_on(pause)) {
            return POOL_STOPPED;
        }
    }
}

void claim_end(struct attachment *attachment, const char *name) {
    gate_mutex_lock();
    if (attachment->claim.number >= 0 && os_verify(&attachment->claim) == 0) {
        /* also for a child that was forked without the handlers, and has the description */
        (void)os_unlock(attachment->claim.number, byte_of(name));
    }
    claim_forget(attachment);
    gate_mutex_unlock();
}

void claim_forget(struct attachment *attachment) {
    if (attachment->claim.number >= 0) {
        os_close_kept(&attachment->claim);
    }
}
