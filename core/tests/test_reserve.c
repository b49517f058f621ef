/* Tests of reserve.c: memory of a segment that is reserved only when it is needed. */
#include "one_pool.h"

#include <sys/stat.h>

#include "shared/attachment_parts.h"

static uint64_t memory_of_file(void) {
    struct stat file;
    CHECK(fstat(attachment.file.number, &file), ==, 0);
    return (uint64_t)file.st_blocks * 512;
}

static void a_part_is_there_once_it_is_reserved(void) {
    make();
    uint64_t at = layout_lanes_at(&attachment.geometry), before = memory_of_file();
    CHECK(attachment_reserve(&attachment, at, 3 * LAYOUT_PAGE, &failure), ==, POOL_OK);
    CHECK(memory_of_file(), ==, before + 3 * LAYOUT_PAGE);
    memset((char *)attachment.memory + at, 7, 3 * LAYOUT_PAGE);
    CHECK(memory_of_file(), ==, before + 3 * LAYOUT_PAGE);
    CHECK(attachment_reserve(&attachment, at, 4 * LAYOUT_PAGE, &failure), ==, POOL_OK); /* part of it is there */
    CHECK(((unsigned char *)attachment.memory)[at + LAYOUT_PAGE], ==, 7);
    CHECK(memory_of_file(), ==, before + 4 * LAYOUT_PAGE);
    unmake();
}

static void more_than_there_is_is_refused(void) {
    make();
    uint64_t before = memory_of_file();
    CHECK(attachment_reserve(&attachment, layout_lanes_at(&attachment.geometry), UINT64_C(1) << 45, &failure), ==,
          POOL_NO_ROOM);
    CHECK(failure.asked, ==, UINT64_C(1) << 45);
    CHECK(failure.available, <, UINT64_C(1) << 45);
    CHECK(memory_of_file(), ==, before);
    unmake();
}

static void without_a_part_in_the_pool_nothing_is_reserved(void) {
    make();
    attachment_leave(&attachment, PATIENCE);
    CHECK(attachment_reserve(&attachment, layout_lanes_at(&attachment.geometry), LAYOUT_PAGE, &failure), ==,
          POOL_STRAY);
    attachment_unmap(&attachment);
}

int main(void) {
    process_begin();
    RUN(a_part_is_there_once_it_is_reserved);
    RUN(more_than_there_is_is_refused);
    RUN(without_a_part_in_the_pool_nothing_is_reserved);
    CHECK(process_end(), ==, 0);
    return check_end();
}
