/* Tests of limits.c: on copies of /proc and of cgroups below a directory of the test's own. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/limits.h"

#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#define GIB (UINT64_C(1) << 30)

static char root[] = "/tmp/blockpool-test-XXXXXX";
static struct os_limits limits;

/* Writes a file of the copy, and the directories above it. */
static void put(const char *path, const char *text) {
    char whole[2 * PATH_MAX];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = whole + sizeof root; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        (void)mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    if (!file) {
        abort();
    }
    fputs(text, file);
    fclose(file);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at) {
    (void)status, (void)kind, (void)at;
    return remove(path);
}

/* Starts a new copy: a machine of 16 GiB, 12 of them available, with 2 GiB of swap. */
static void begin(const char *groups, const char *mounts) {
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    (void)mkdir(root, 0700);
    put("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         8388608 kB\nMemAvailable:   12582912 kB\n"
                         "SwapTotal:       2097152 kB\n");
    put("/proc/self/cgroup", groups);
    if (mounts) {
        put("/proc/self/mountinfo", mounts);
    }
}

static void ask(void) { os_limits_below(root, &limits); }

#define V2_MOUNT "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT                                                                                                       \
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"                                                       \
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw shared:9 master:2 - cgroup cgroup rw,cpuset\n"                              \
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

#define CHECK_LIMIT(limit, wanted, file)                                                                               \
    do {                                                                                                               \
        CHECK((limit).bytes, ==, wanted);                                                                              \
        CHECK(strcmp((limit).by, file), ==, 0);                                                                        \
    } while (0)

static void without_limits_the_machine_counts(void) {
    begin("0::/\n", V2_MOUNT);
    ask();
    CHECK_LIMIT(limits.total, 18 * GIB, "");
    CHECK_LIMIT(limits.available, 12 * GIB, "");
    begin("0::/a\n4:memory:/b\n", V2_MOUNT V1_MOUNT);
    put("/sys/fs/cgroup/a/memory.max", "max\n");
    put("/sys/fs/cgroup/a/memory.high", "max\n");
    put("/sys/fs/cgroup/memory/b/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/b/memory.memsw.limit_in_bytes", "9223372036854771712\n");
    ask();
    CHECK_LIMIT(limits.total, 18 * GIB, "");
    CHECK_LIMIT(limits.available, 12 * GIB, "");
}

static void a_limit_of_version_2_counts(void) {
    begin("0::/system/service\n", V2_MOUNT);
    put("/sys/fs/cgroup/system/service/memory.max", "1073741824\n");
    put("/sys/fs/cgroup/system/service/memory.current", "268435456\n");
    put("/sys/fs/cgroup/system/service/memory.swap.max", "0\n");
    ask();
    CHECK_LIMIT(limits.total, GIB, "/sys/fs/cgroup/system/service/memory.max");
    CHECK_LIMIT(limits.available, GIB / 4 * 3, "/sys/fs/cgroup/system/service/memory.max");
    put("/sys/fs/cgroup/system/service/memory.swap.max", "max\n"); /* all swap of the machine */
    ask();
    CHECK(limits.total.bytes, ==, 3 * GIB);
    CHECK(limits.available.bytes, ==, GIB / 4 * 3);
    put("/sys/fs/cgroup/system/service/memory.current", "2000000000\n"); /* the limit was lowered */
    ask();
    CHECK(limits.available.bytes, ==, 0);
}

static void what_can_be_freed_is_not_used(void) {
    begin("0::/c\n", V2_MOUNT);
    put("/sys/fs/cgroup/c/memory.max", "1073741824\n");
    put("/sys/fs/cgroup/c/memory.current", "1073733632\n");
    put("/sys/fs/cgroup/c/memory.stat",
        "anon 10485760\nfile 1050000000\nkernel 1234\nshmem 4096\ninactive_anon 5\nactive_anon 6\n"
        "inactive_file 800000000\nactive_file 200000000\nunevictable 0\nslab_reclaimable 50000000\nslab_unreclaimable "
        "7\n");
    ask();
    CHECK(limits.available.bytes, ==, GIB - (1073733632 - 1050000000));
    begin("5:cpu:/\n4:memory:/c\n", V1_MOUNT);
    put("/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "1073741824\n");
    put("/sys/fs/cgroup/memory/c/memory.usage_in_bytes", "1073733632\n");
    put("/sys/fs/cgroup/memory/c/memory.stat",
        "cache 1\nrss 2\ninactive_file 3\nactive_file 4\nhierarchical_memory_limit 1073741824\n"
        "total_cache 1050000000\ntotal_inactive_file 800000000\ntotal_active_file 200000000\n");
    ask();
    CHECK(limits.available.bytes, ==, GIB - (1073733632 - 1000000000));
    put("/sys/fs/cgroup/memory/c/memory.usage_in_bytes", "1000\n"); /* read at another moment than the rest */
    ask();
    CHECK(limits.available.bytes, ==, GIB);
}

static void a_limit_of_version_1_counts(void) {
    begin("11:pids:/x\n4:cpu,memory:/user/x\n0::/\n",
          "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,cpu,memory\n");
    put("/sys/fs/cgroup/memory/user/x/memory.limit_in_bytes", "209715200\n");
    put("/sys/fs/cgroup/memory/user/x/memory.usage_in_bytes", "104857600\n");
    ask();
    CHECK_LIMIT(limits.total, 209715200 + 2 * GIB, "/sys/fs/cgroup/memory/user/x/memory.limit_in_bytes");
    CHECK_LIMIT(limits.available, 104857600, "/sys/fs/cgroup/memory/user/x/memory.limit_in_bytes");
    put("/sys/fs/cgroup/memory/user/x/memory.memsw.limit_in_bytes", "209715200\n");
    put("/sys/fs/cgroup/memory/user/x/memory.memsw.usage_in_bytes", "200000000\n");
    ask();
    CHECK_LIMIT(limits.total, 209715200, "/sys/fs/cgroup/memory/user/x/memory.memsw.limit_in_bytes");
    CHECK_LIMIT(limits.available, 9715200, "/sys/fs/cgroup/memory/user/x/memory.memsw.limit_in_bytes");
}

static void every_level_counts(void) {
    static const char *const levels[] = {"", "/a", "/a/b", "/a/b/c"};
    for (unsigned version = 1; version <= 2; version++) {
        for (unsigned tight = 0; tight < 4; tight++) {
            begin(version == 1 ? "4:memory:/a/b/c\n" : "0::/a/b/c\n", version == 1 ? V1_MOUNT : V2_MOUNT);
            char path[PATH_MAX];
            for (unsigned level = 0; level < 4; level++) {
                snprintf(path, sizeof path, "/sys/fs/cgroup%s%s/memory.%s", version == 1 ? "/memory" : "",
                         levels[level], version == 1 ? "limit_in_bytes" : "max");
                put(path, level == tight ? "1000000\n" : "2000000\n");
            }
            ask();
            snprintf(path, sizeof path, "/sys/fs/cgroup%s%s/memory.%s", version == 1 ? "/memory" : "", levels[tight],
                     version == 1 ? "limit_in_bytes" : "max");
            CHECK_LIMIT(limits.available, 1000000, path);
        }
    }
}

static void throttling_counts_for_now_and_not_for_ever(void) {
    begin("0::/a\n", V2_MOUNT);
    put("/sys/fs/cgroup/a/memory.high", "500000000\n");
    put("/sys/fs/cgroup/a/memory.current", "400000000\n");
    ask();
    CHECK_LIMIT(limits.total, 18 * GIB, "");
    CHECK_LIMIT(limits.available, 100000000, "/sys/fs/cgroup/a/memory.high");
}

static void cgroups_are_found_where_they_are_mounted(void) {
    begin("0::/a b/c\n", "40 1 0:38 / /run/my\\040groups rw - cgroup2 none rw\n");
    put("/run/my groups/a b/c/memory.max", "1000\n");
    ask();
    CHECK_LIMIT(limits.available, 1000, "/run/my groups/a b/c/memory.max");
    /* a container that sees its host's paths: what is mounted is its own cgroup */
    begin("4:memory:/docker/0123\n", "40 1 0:38 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup ro,memory\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9000\n");
    put("/sys/fs/cgroup/memory/memory.stat",
        "hierarchical_memory_limit 7000\n"); /* the limit of a cgroup that cannot be seen */
    ask();
    CHECK_LIMIT(limits.available, 7000, "/sys/fs/cgroup/memory/memory.limit_in_bytes");
    /* a process outside what is mounted */
    begin("0::/../other\n", "40 1 0:38 / /sys/fs/cgroup rw - cgroup2 none rw\n");
    put("/sys/fs/cgroup/memory.max", "5000\n");
    ask();
    CHECK_LIMIT(limits.available, 5000, "/sys/fs/cgroup/memory.max");
    /* no mountinfo: where they always are */
    begin("0::/x\n3:memory:/y\n", NULL);
    put("/sys/fs/cgroup/x/memory.max", "6000\n");
    put("/sys/fs/cgroup/memory/y/memory.limit_in_bytes", "4000\n");
    ask();
    CHECK_LIMIT(limits.available, 4000, "/sys/fs/cgroup/memory/y/memory.limit_in_bytes");
}

static void nonsense_is_no_limit(void) {
    static const char *const mounts[] = {"",
                                         "\n",
                                         " - ",
                                         "1 2 3 - cgroup2 x y\n",
                                         "a b c d e f - cgroup2\n",
                                         " - cgroup2 - cgroup2",
                                         "1 2 3 \\0 \\04 - cgroup2 a b\n"};
    static const char *const groups[] = {"", "\n", "0", "0::", ":", "::::\n", "0::\n", "9:memory:\n", "x:memory,:/a\n"};
    for (unsigned m = 0; m < sizeof mounts / sizeof *mounts; m++) {
        for (unsigned g = 0; g < sizeof groups / sizeof *groups; g++) {
            begin(groups[g], mounts[m]);
            put("/sys/fs/cgroup/memory.max", "what\n");
            put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "\n");
            ask();
            CHECK(limits.available.bytes, ==, 12 * GIB);
        }
    }
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    ask(); /* nothing to be read at all */
    CHECK(limits.available.bytes, >=, UINT64_C(1) << 50);
    CHECK(limits.total.bytes, >=, limits.available.bytes);
    CHECK(limits.total.by[0] + limits.available.by[0], ==, 0);
}

static void long_paths_are_cut_and_not_overrun(void) {
    static char group[3 * PATH_MAX], text[7 * PATH_MAX];
    for (unsigned length = 100; length < sizeof group - 10; length = length * 3 / 2) {
        memset(group, 'g', length);
        group[0] = '/';
        group[length] = 0;
        snprintf(text, sizeof text, "0::%s\n4:memory:%s\n", group, group);
        begin(text, V2_MOUNT V1_MOUNT);
        put("/sys/fs/cgroup/memory.max", "1000\n");
        ask();
        CHECK(limits.available.bytes, ==, 1000);
    }
}

static void this_machine_is_plausible(void) {
    os_limits(&limits);
    CHECK(limits.total.bytes, >, 1 << 20);
    CHECK(limits.available.bytes, >, 0);
    CHECK(limits.available.bytes, <=, limits.total.bytes);
    CHECK(limits.total.bytes, <, UINT64_C(1) << 50);
}

int main(void) {
    if (!mkdtemp(root)) {
        return 1;
    }
    RUN(without_limits_the_machine_counts);
    RUN(a_limit_of_version_2_counts);
    RUN(what_can_be_freed_is_not_used);
    RUN(a_limit_of_version_1_counts);
    RUN(every_level_counts);
    RUN(throttling_counts_for_now_and_not_for_ever);
    RUN(cgroups_are_found_where_they_are_mounted);
    RUN(nonsense_is_no_limit);
    RUN(long_paths_are_cut_and_not_overrun);
    RUN(this_machine_is_plausible);
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return check_end();
}
