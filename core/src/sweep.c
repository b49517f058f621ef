/* sweep.c: pools that killed groups left behind; see member.h. */
#include "member_parts.h"

static bool sweep_one(const char *file_name, void *context) {
    struct member_failure failure;
    unsigned *swept = context;
    struct os_file before, after;
    int file = os_shm_open(file_name);
    if (file < 0 || os_stat(file, &before) != 0) {
        if (file >= 0) {
            os_close(file);
        }
        return true;
    }
    os_close(file);
    if (before.owner == os_user() && member_sweep_name(file_name, 0, &failure) == MEMBER_OK &&
        ((file = os_shm_open(file_name)) < 0 || os_stat(file, &after) != 0 || after.inode != before.inode)) {
        ++*swept;
    }
    if (file >= 0) {
        os_close(file);
    }
    return true;
}

unsigned member_sweep(void) {
    unsigned swept = 0;
    (void)os_shm_list("blockpool.", sweep_one, &swept);
    return swept;
}
