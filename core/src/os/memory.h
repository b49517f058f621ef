/* memory.h: mapping memory, making it present, and how much of it is.
 *
 * A function that can fail returns 0 or a negative errno. Any thread may call any of them.
 */
#ifndef BLOCKPOOL_OS_MEMORY_H
#define BLOCKPOOL_OS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/pause.h"

/* Bytes of one page. */
size_t os_page_size(void);

/* Maps `bytes` of zeroed private memory at *memory, on a page boundary, between two inaccessible guard pages. With
 * `huge`, on a huge page boundary, and the kernel is asked for huge pages (os_residency tells whether it obliged). */
int os_map_private(size_t bytes, bool huge, void **memory);

/* Unmaps what os_map_private mapped. */
void os_unmap(void *memory, size_t bytes);

/* The same without huge pages, for what is needed for a short time, again and again. A few of up to OS_SCRATCH_PAGES
 * that were given back are kept, zeroed, for the next calls: mapping memory, touching and unmapping it takes the kernel
 * some ten times as long. */
#define OS_SCRATCH_PAGES 16u
int os_map_scratch(size_t bytes, void **memory);
void os_unmap_scratch(void *memory, size_t bytes);

/* Maps the file from its start, shared. */
int os_map_file(int file, uint64_t bytes, void **memory);

/* The same for reading only: writing there is a fault. */
int os_map_file_readonly(int file, uint64_t bytes, void **memory);

/* Unmaps what either of these mapped. */
void os_unmap_file(void *memory, uint64_t bytes);

/* Maps a private page that is zero, and reads as zero in a forked child, however it was forked. */
int os_wiped_on_fork(void **page);

/* Gives such a page back; one is kept for the next call. */
void os_release_wiped(void *page);

/* Makes every page of the range present and writable now, piece by piece. The range starts on a page boundary.
 * -EINVAL before Linux 5.14. */
int os_prefault(void *memory, size_t bytes, const struct os_pause *pause);

struct os_residency {
    uint64_t resident_bytes; /* backed by memory now */
    uint64_t huge_bytes;     /* the part of these in huge pages */
};

/* Tells what backs the range now. If the range is part of a larger mapping, the whole mapping counts; each call of
 * os_map_private makes a mapping of its own. */
int os_residency(const void *memory, size_t bytes, struct os_residency *residency);

#endif
