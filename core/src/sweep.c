/* sweep.c: pools that killed groups left behind; see member.h. */
#include "member_parts.h"

/* Which file has the name; false when there is none that may be opened. */
static bool identify(const char *name, struct os_file *found) {
    turn_take();
    int file = os_shm_open(name);
    bool there = file >= 0 && os_stat(file, found) == 0;
    if (file >= 0) {
        os_close(file);
    }
    turn_end();
    return there;
}

static bool sweep_one(const char *name, void *context) {
    struct member_failure failure;
    unsigned *swept = context;
    struct os_file before, after;
    if (identify(name, &before) && before.owner == os_user() && member_sweep_name(name, 0, &failure) == MEMBER_OK &&
        !(identify(name, &after) && after.identity.inode == before.identity.inode)) {
        ++*swept;
    }
    return true;
}

unsigned member_sweep(void) {
    unsigned swept = 0;
    (void)os_shm_list("blockpool.", sweep_one, &swept);
    return swept;
}
