/* memory.c: see memory.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/atomic.h"

/* Linux 5.14 */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define HUGE_PAGE ((size_t)2 << 20)

size_t os_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* The size of a mapping without its guard pages. */
static size_t whole_pages(size_t bytes) { return (bytes + os_page_size() - 1) / os_page_size() * os_page_size(); }

int os_map_private(size_t bytes, bool huge, void **memory) {
    size_t page = os_page_size(), slack = huge && bytes >= HUGE_PAGE ? HUGE_PAGE : 0;
    if (bytes == 0 || bytes > (size_t)PTRDIFF_MAX - 3 * page - slack) {
        return -ENOMEM;
    }
    size_t rounded = whole_pages(bytes), whole = rounded + 2 * page + slack;
    char *at = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        return -errno;
    }
    if (slack) { /* cut it so that the memory behind the guard page starts on a huge page boundary */
        size_t before = (HUGE_PAGE - (uintptr_t)(at + page) % HUGE_PAGE) % HUGE_PAGE;
        if (before) {
            munmap(at, before);
        }
        if (slack - before) {
            munmap(at + before + rounded + 2 * page, slack - before);
        }
        at += before;
    }
    if (mprotect(at + page, rounded, PROT_READ | PROT_WRITE) != 0) {
        int error = errno;
        munmap(at, rounded + 2 * page);
        return -error;
    }
    if (slack) {
        madvise(at + page, rounded, MADV_HUGEPAGE); /* if refused: ordinary pages, as os_residency will tell */
    }
    *memory = at + page;
    return 0;
}

void os_unmap(void *memory, size_t bytes) {
    munmap((char *)memory - os_page_size(), whole_pages(bytes) + 2 * os_page_size());
}

/* What is kept: addresses, with the number of pages in the bits that a page leaves free; 0: nothing. */
#define SCRATCHES 4
static atomic_word scratches[SCRATCHES];
_Static_assert(OS_SCRATCH_PAGES < 4096, "the number of pages fits below an address");

int os_map_scratch(size_t bytes, void **memory) {
    uint64_t pages = whole_pages(bytes) / os_page_size();
    for (unsigned i = 0; i < SCRATCHES; i++) {
        uint64_t kept = load_seq(&scratches[i]);
        if (kept && kept % os_page_size() == pages && compare_exchange_seq(&scratches[i], &kept, 0)) {
            *memory = (void *)(uintptr_t)(kept - pages);
            return 0;
        }
    }
    return os_map_private(bytes, false, memory);
}

void os_unmap_scratch(void *memory, size_t bytes) {
    uint64_t pages = whole_pages(bytes) / os_page_size(), kept = 0;
    if (pages > OS_SCRATCH_PAGES) {
        os_unmap(memory, bytes);
        return;
    }
    memset(memory, 0, bytes);
    for (unsigned i = 0; i < SCRATCHES; i++, kept = 0) {
        if (compare_exchange_seq(&scratches[i], &kept, (uintptr_t)memory | pages)) {
            return;
        }
    }
    os_unmap(memory, bytes);
}

int os_map_file(int file, uint64_t bytes, void **memory) {
    *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return *memory == MAP_FAILED ? -errno : 0;
}

int os_map_file_readonly(int file, uint64_t bytes, void **memory) {
    *memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file, 0);
    return *memory == MAP_FAILED ? -errno : 0;
}

void os_unmap_file(void *memory, uint64_t bytes) { munmap(memory, bytes); }

static atomic_word wiped; /* the address of the page that is kept, or 0 */

int os_wiped_on_fork(void **page) {
    uint64_t kept = load_seq(&wiped);
    if (kept && compare_exchange_seq(&wiped, &kept, 0)) {
        *page = (void *)(uintptr_t)kept;
        return 0;
    }
    *page = mmap(NULL, os_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*page == MAP_FAILED) {
        return -errno;
    }
    if (madvise(*page, os_page_size(), MADV_WIPEONFORK) != 0) {
        int error = -errno;
        munmap(*page, os_page_size());
        return error;
    }
    return 0;
}

void os_release_wiped(void *page) {
    uint64_t kept = 0;
    memset(page, 0, os_page_size());
    if (!compare_exchange_seq(&wiped, &kept, (uintptr_t)page)) {
        munmap(page, os_page_size());
    }
}

int os_prefault(void *memory, size_t bytes, const struct os_pause *pause) {
    size_t whole = whole_pages(bytes);
    for (size_t at = 0; at < whole;) {
        size_t length = whole - at < OS_PIECE ? whole - at : (size_t)OS_PIECE;
        if (madvise((char *)memory + at, length, MADV_POPULATE_WRITE) == 0) {
            at += length;
        } else if (errno != EINTR && errno != EAGAIN) { /* an interrupted call keeps what it has done */
            return -errno;
        }
        if (at < whole && !os_may_go_on(pause)) {
            return -ECANCELED;
        }
    }
    return 0;
}

int os_residency(const void *memory, size_t bytes, struct os_residency *residency) {
    FILE *maps = fopen("/proc/self/smaps", "re");
    if (!maps) {
        return -errno;
    }
    uintptr_t first = (uintptr_t)memory, end = first + bytes, from = 0, to = 0;
    char line[512];
    residency->resident_bytes = residency->huge_bytes = 0;
    while (fgets(line, sizeof line, maps)) {
        uintptr_t a, b;
        uint64_t kib;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &a, &b) == 2) {
            from = a > first ? a : first;
            to = b < end ? b : end;
        } else if (from < to && sscanf(line, "Rss: %" SCNu64 " kB", &kib) == 1) {
            residency->resident_bytes += kib * 1024;
        } else if (from < to && sscanf(line, "AnonHugePages: %" SCNu64 " kB", &kib) == 1) {
            residency->huge_bytes += kib * 1024;
        }
    }
    fclose(maps);
    return 0;
}
