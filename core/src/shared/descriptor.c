/* descriptor.c: the descriptor by which an attachment reaches its segment's file: for locks, and for others to find the file by.
 *
 * It is the program's as much as ours: a daemon closes all that it has, and what it opens next gets the numbers. So an attachment keeps
 * with the number which file it is of, nothing is done through the number before that was compared, and an attachment whose descriptor
 * is gone opens the file again: by its name, or through another process. Until then nobody's death can be seen, see slots.h.
 */
#include "shared/attachment_parts.h"

#include <errno.h>

#include "os/wait.h"

#define SEEK_AGAIN 1.0 /* seconds after a vain search, which looks at every process */

enum pool_status descriptor_keep(struct attachment *attachment, int number, struct pool_failure *failure) {
    int error = number < 0 ? number : os_keep(number, &attachment->file);
    if (error && number >= 0) {
        os_close(number);
    }
    return error ? pool_status_from_errno(error, failure) : POOL_OK;
}

/* Opens the attachment's file by its name; -ENOENT when that is another's now. */
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
