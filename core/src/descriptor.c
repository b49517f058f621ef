/* descriptor.c: the descriptor by which a member reaches its segment's file: for locks, and for others to find the file by.
 *
 * It is the program's as much as ours: a daemon closes all that it has, and what it opens next gets the numbers. So a member keeps
 * with the number which file it is of, nothing is done through the number before that was compared, and a member whose descriptor
 * is gone opens the file again: by its name, or through another process. Until then nobody's death can be seen, see slots.h.
 */
#include "member_parts.h"

#include <errno.h>

#include "os.h"

#define SEEK_AGAIN 1.0 /* seconds after a vain search, which looks at every process */

enum member_status descriptor_keep(struct member *member, int number, struct member_failure *failure) {
    int error = number < 0 ? number : os_keep(number, &member->file);
    if (error && number >= 0) {
        os_close(number);
    }
    return error ? member_refused(error, failure) : MEMBER_OK;
}

/* Opens the member's file by its name; -ENOENT when that is another's now. */
static int open_by_name(const struct member *member) {
    if (!member->name[0]) {
        return -ENOENT;
    }
    struct os_descriptor found = {os_shm_open(member->name), member->file.identity};
    if (found.number >= 0 && os_verify(&found) != 0) {
        os_close(found.number);
        return -ENOENT;
    }
    return found.number;
}

enum member_status descriptor_ready(struct member *member, struct member_failure *failure) {
    int error = os_verify(&member->file);
    if (error == 0) {
        return MEMBER_OK;
    }
    int found = open_by_name(member);
    if (found == -ENOENT && os_now() >= member->seek_again) {
        found = os_find_open(&member->file.identity);
        member->seek_again = found == -ENOENT ? os_now() + SEEK_AGAIN : 0;
    }
    if (found >= 0) {
        member->file.number = found;
        return MEMBER_OK;
    }
    if (found != -ENOENT) {
        return member_refused(found, failure);
    }
    failure->error = error;
    return MEMBER_UNREACHABLE;
}

void descriptor_close(struct member *member) {
    if (member->file.number >= 0) {
        turn_take();
        os_close_kept(&member->file);
        turn_end();
    }
}
