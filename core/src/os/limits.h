/* limits.h: how much memory this process could have: what the machine has, and what every cgroup above the process leaves.
 *
 * Cgroups of version 1 and 2, wherever they are mounted. What the kernel takes back by itself when memory is short (file pages,
 * freeable slab) does not count as used: a container that has read files would otherwise have no memory left.
 */
#ifndef BLOCKPOOL_LIMITS_H
#define BLOCKPOOL_LIMITS_H

#include <stdint.h>

#define OS_LIMIT_MOST 200

struct os_limit {
    uint64_t bytes;
    char by[OS_LIMIT_MOST]; /* the file of the cgroup that says so; empty for the machine */
};

struct os_memory {
    struct os_limit total;     /* the most this process could ever have, swap included */
    struct os_limit available; /* what it could have now without pushing anybody out */
};

/* What any process can have: no limit under which a program runs is lower. Whoever wants less need not ask. */
#define OS_MEMORY_SURE ((uint64_t)4 << 20)

/* Asks the kernel for both. Takes some 0.3 ms. */
void os_memory(struct os_memory *memory);

/* The same of a copy of /proc and of the mounted cgroups below the directory `root`; for tests. */
void os_memory_below(const char *root, struct os_memory *memory);

#endif
