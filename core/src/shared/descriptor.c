/* descriptor.c: the descriptor through which an attachment reaches its segment's file: for locks, and so that others
 * can find the file.
 *
 * The program can close it as well: a daemon closes all its descriptors, and files it opens next get those numbers. So
 * an attachment remembers which file its number belongs to and compares that before each use. If the descriptor is
 * gone, the attachment opens the file again: by its name, or through another process. Until then it cannot tell which
 * processes are dead, see slots.h.
 */
#include "shared/attachment_parts.h"

#include <errno.h>

#include "os/wait.h"

#define SEEK_AGAIN 1.0 /* seconds after a failed search, which looks at every process */

enum pool_status descriptor_keep(struct attachment *attachment, int number, struct pool_failure *failure) {
    int error = number < 0 ? number : os_keep(number, &attachment->file);
    if (error && number >= 0) {
        os_close(number);
    }
    return error ? pool_status_from_errno(error, failure) : POOL_OK;
}

/* Opens the attachment's file by its name; -ENOENT if the name now belongs to another file. */
static int open_by_name(const struct attachment *attachment) {
    if (!attachment->name[0]) {
        return -ENOENT;
    }
    struct os_descriptor found = {os_shm_open(attachment->name), attachment->file.identity};
    if (found.number >= 0 && os_verify(&found) != 0) {
        os_close(found.number);
        return -ENOENT;
    }
    return found.number;
}

enum pool_status descriptor_ready(struct attachment *attachment, struct pool_failure *failure) {
    int error = os_verify(&attachment->file);
    if (error == 0) {
        return POOL_OK;
    }
    int found = open_by_name(attachment);
    if (found == -ENOENT && os_now() >= attachment->seek_again) {
        found = os_find_open(&attachment->file.identity);
        attachment->seek_again = found == -ENOENT ? os_now() + SEEK_AGAIN : 0;
    }
    if (found >= 0) {
        attachment->file.number = found;
        return POOL_OK;
    }
    if (found != -ENOENT) {
        return pool_status_from_errno(found, failure);
    }
    failure->error = error;
    return POOL_UNREACHABLE;
}

void descriptor_close(struct attachment *attachment) {
    if (attachment->file.number >= 0) {
        gate_mutex_lock();
        os_close_kept(&attachment->file);
        gate_mutex_unlock();
    }
}
