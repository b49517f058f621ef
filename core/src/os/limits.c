/* limits.c: see limits.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/limits.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN UINT64_MAX

/* --- files --- */

static FILE *open_below(const char *root, const char *path) {
    char whole[3 * PATH_MAX];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    return fopen(whole, "re");
}

/* Finds the lines that start with each of the keys, and the number behind each: UNKNOWN without such a line, or if it
 * says "max". Reads the file once for all keys, because the kernel composes it at each reading. */
static void read_numbers(const char *root, const char *path, unsigned count, const char *const keys[],
                         uint64_t numbers[]) {
    FILE *file = open_below(root, path);
    char line[256];
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++) {
        numbers[i] = UNKNOWN;
    }
    while (file && found < count && fgets(line, sizeof line, file)) {
        for (unsigned i = 0; i < count; i++) {
            if (strncmp(line, keys[i], strlen(keys[i])) == 0) {
                (void)sscanf(line + strlen(keys[i]), "%" SCNu64, &numbers[i]);
                found++;
            }
        }
    }
    if (file) {
        fclose(file);
    }
}

static uint64_t plus(uint64_t a, uint64_t b) { return a > UNKNOWN - b ? UNKNOWN : a + b; }
static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }
static uint64_t known_or(uint64_t number, uint64_t otherwise) { return number == UNKNOWN ? otherwise : number; }

/* --- one cgroup --- */

struct cgroup {
    const char *root, *directory;
    bool first_version;
    bool hides_others; /* there are cgroups above it that this process cannot see */
    uint64_t swap;     /* the machine's */
    struct os_limits *limits;
};

static uint64_t number_of(const struct cgroup *group, const char *file) {
    static const char *const start[] = {""};
    char path[2 * PATH_MAX];
    uint64_t number;
    snprintf(path, sizeof path, "%s/%s", group->directory, file);
    read_numbers(group->root, path, 1, start, &number);
    return number;
}

/* In version 1, "no limit" is a number near 2^63. */
static uint64_t as_limit(uint64_t number) { return number < UINT64_C(1) << 62 ? number : UNKNOWN; }

static void lower(const struct cgroup *group, struct os_limit *limit, uint64_t bytes, const char *file) {
    if (bytes < limit->bytes) {
        limit->bytes = bytes;
        snprintf(limit->by, sizeof limit->by, "%s/%s", group->directory, file);
    }
}

enum { INACTIVE_FILE, ACTIVE_FILE, SLAB, LIMIT_ABOVE, STATS };

static void read_stats(const struct cgroup *group, uint64_t stats[STATS]) {
    static const char *const first[] = {"total_inactive_file ", "total_active_file ", "slab_reclaimable ",
                                        "hierarchical_memory_limit "};
    static const char *const second[] = {"inactive_file ", "active_file ", "slab_reclaimable ",
                                         "hierarchical_memory_limit "};
    char path[2 * PATH_MAX + sizeof "/memory.stat"];
    snprintf(path, sizeof path, "%s/memory.stat", group->directory);
    read_numbers(group->root, path, STATS, group->first_version ? first : second, stats);
}

/* Lowers the limits to those of this cgroup. Reads memory.stat only if it has to: the kernel is slow to compose it. */
static void heed(const struct cgroup *group) {
    const char *limit_file = group->first_version ? "memory.limit_in_bytes" : "memory.max";
    struct os_limits *limits = group->limits;
    uint64_t stats[STATS], limit = as_limit(number_of(group, limit_file)), high = UNKNOWN, both = UNKNOWN;
    if (group->first_version) {
        both = as_limit(number_of(group, "memory.memsw.limit_in_bytes"));
    } else {
        high = as_limit(number_of(group, "memory.high"));
    }
    if (limit == UNKNOWN && high == UNKNOWN && both == UNKNOWN && !(group->first_version && group->hides_others)) {
        return;
    }
    read_stats(group, stats);
    if (as_limit(stats[LIMIT_ABOVE]) < limit && group->hides_others) {
        limit = stats[LIMIT_ABOVE];
    }
    uint64_t freeable = plus(known_or(stats[INACTIVE_FILE], 0), known_or(stats[ACTIVE_FILE], 0));
    freeable = plus(freeable, known_or(stats[SLAB], 0));
    uint64_t used = known_or(number_of(group, group->first_version ? "memory.usage_in_bytes" : "memory.current"), 0);
    used = less(used, freeable);
    if (limit != UNKNOWN) {
        uint64_t swap = group->first_version ? UNKNOWN : number_of(group, "memory.swap.max");
        lower(group, &limits->total, plus(limit, swap < group->swap ? swap : group->swap), limit_file);
        lower(group, &limits->available, less(limit, used), limit_file);
    }
    /* Above memory.high, a process is stalled until memory is reclaimed, and a pool's memory is not. */
    if (high != UNKNOWN) {
        lower(group, &limits->available, less(high, used), "memory.high");
    }
    if (both != UNKNOWN) {
        uint64_t all = less(known_or(number_of(group, "memory.memsw.usage_in_bytes"), 0), freeable);
        lower(group, &limits->total, both, "memory.memsw.limit_in_bytes");
        lower(group, &limits->available, less(both, all), "memory.memsw.limit_in_bytes");
    }
}

/* --- finding the cgroups --- */

/* A version of cgroups, and this process's place in it. */
struct version {
    const char *kind, *usual; /* type of file system, and where it is usually mounted */
    char group[PATH_MAX];     /* this process's cgroup, or empty */
    bool usual_heeded;
};

/* Heeds the cgroup and each one above it that can be seen. */
static void climb(struct cgroup each, const char *mount, const char *group, bool all_seen) {
    char directory[2 * PATH_MAX];
    each.directory = directory;
    snprintf(directory, sizeof directory, "%s%s", mount, strcmp(group, "/") == 0 ? "" : group);
    for (;;) {
        char *slash = strrchr(directory, '/');
        bool top = strlen(directory) <= strlen(mount) || !slash;
        each.hides_others = top && !all_seen;
        heed(&each);
        if (top) {
            return;
        }
        *slash = 0;
    }
}

/* Undoes mountinfo's escapes, such as \040. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from;) {
        unsigned code;
        if (*from == '\\' && sscanf(from + 1, "%3o", &code) == 1) {
            *to++ = (char)code;
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *to = 0;
}

static bool is_in_list(const char *word, const char *list) {
    for (size_t length = strlen(word); *list; list += strcspn(list, ","), list += *list == ',') {
        if (strncmp(list, word, length) == 0 && (list[length] == ',' || list[length] == 0)) {
            return true;
        }
    }
    return false;
}

/* Finds this process's cgroup of each version. */
static void find_groups(const char *root, struct version versions[2]) {
    FILE *file = open_below(root, "/proc/self/cgroup");
    char *line = NULL;
    size_t size = 0;
    while (file && getline(&line, &size, file) > 0) { /* "4:memory:/path", "0::/path" */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (path) {
            *path++ = 0;
            if (is_in_list("memory", controllers + 1)) {
                snprintf(versions[0].group, sizeof versions[0].group, "%s", path);
            } else if (strcmp(line, "0:") == 0) {
                snprintf(versions[1].group, sizeof versions[1].group, "%s", path);
            }
        }
    }
    free(line);
    if (file) {
        fclose(file);
    }
}

/* Parses a line of mountinfo: which version's memory hierarchy it mounts (NULL: none), where, and the cgroup at its
 * top. */
static struct version *mounted(char *line, struct version versions[2], char **top, char **mount) {
    line[strcspn(line, "\n")] = 0;
    char *rest = strstr(line, " - "), *kept = NULL;
    if (!rest) {
        return NULL;
    }
    *rest = 0;
    char *kind = strtok_r(rest + 3, " ", &kept), *source = strtok_r(NULL, " ", &kept),
         *options = strtok_r(NULL, " ", &kept);
    bool first = kind && source && options && strcmp(kind, versions[0].kind) == 0 && is_in_list("memory", options);
    if (!first && !(kind && strcmp(kind, versions[1].kind) == 0)) {
        return NULL;
    }
    *top = *mount = NULL;
    char *word = strtok_r(line, " ", &kept);
    for (unsigned field = 1; word && field <= 5; field++) {
        *top = field == 4 ? word : *top;
        *mount = word;
        word = field < 5 ? strtok_r(NULL, " ", &kept) : word;
    }
    if (!word || !*top) {
        return NULL;
    }
    unescape(*top);
    unescape(*mount);
    return &versions[first ? 0 : 1];
}

/* The part of the cgroup's path below the top of the mount: a container often sees paths of its host. */
static const char *below_top(const char *group, const char *top) {
    size_t length = strcmp(top, "/") == 0 ? 0 : strlen(top);
    bool below = strncmp(group, top, length) == 0 && (group[length] == '/' || group[length] == 0);
    return below && !strstr(group, "/..") ? group + length : "";
}

void os_limits_below(const char *root, struct os_limits *limits) {
    static const char *const keys[] = {"MemTotal:", "MemAvailable:", "SwapTotal:"};
    uint64_t kib[3];
    read_numbers(root, "/proc/meminfo", 3, keys, kib);
    kib[0] = known_or(kib[0], UINT64_MAX >> 12);
    kib[2] = known_or(kib[2], 0);
    *limits = (struct os_limits){{.bytes = (kib[0] + kib[2]) * 1024}, {.bytes = known_or(kib[1], kib[0]) * 1024}};

    struct version versions[2] = {{"cgroup", "/sys/fs/cgroup/memory", "", false},
                                  {"cgroup2", "/sys/fs/cgroup", "", false}};
    struct cgroup each = {.root = root, .swap = kib[2] * 1024, .limits = limits};
    find_groups(root, versions);
    FILE *file = open_below(root, "/proc/self/mountinfo");
    char *line = NULL, *top, *mount;
    size_t size = 0;
    while (file && getline(&line, &size, file) > 0) {
        struct version *version = mounted(line, versions, &top, &mount);
        if (version && version->group[0]) {
            each.first_version = version == versions;
            climb(each, mount, below_top(version->group, top), strcmp(top, "/") == 0);
            version->usual_heeded |= strcmp(mount, version->usual) == 0;
        }
    }
    free(line);
    if (file) {
        fclose(file);
    }
    for (unsigned i = 0; i < 2; i++) { /* mountinfo may be missing, or describe another namespace */
        if (versions[i].group[0] && !versions[i].usual_heeded) {
            each.first_version = i == 0;
            climb(each, versions[i].usual, below_top(versions[i].group, "/"), true);
        }
    }
}

void os_limits(struct os_limits *limits) { os_limits_below("", limits); }
