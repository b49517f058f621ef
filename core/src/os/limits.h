/* limits.h: how much memory this process could have: what the machine has, less what every cgroup above it withholds.
 *
 * Knows cgroups of versions 1 and 2, wherever they are mounted. Memory that the kernel reclaims by itself when it runs
 * short (file pages, freeable slab) does not count as used; otherwise a container that has read files would seem full.
 */
#ifndef BLOCKPOOL_OS_LIMITS_H
#define BLOCKPOOL_OS_LIMITS_H

#include <stdint.h>

#define OS_LIMIT_MOST 200

struct os_limit {
    uint64_t bytes;
    char by[OS_LIMIT_MOST]; /* the cgroup file that sets it; empty for the machine itself */
};

struct os_limits {
    struct os_limit total;     /* the most this process could ever have, swap included */
    struct os_limit available; /* what it could have now without displacing anything */
};

/* Every process can have this much: no program runs under a lower limit. For less, there is no need to ask. */
#define OS_MEMORY_SURE ((uint64_t)4 << 20)

/* Asks the kernel for both. Takes some 0.3 ms. */
void os_limits(struct os_limits *limits);

/* The same from a copy of /proc and of the cgroup mounts below the directory `root`; for tests. */
void os_limits_below(const char *root, struct os_limits *limits);

#endif
