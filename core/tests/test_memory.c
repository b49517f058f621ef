/* Tests of memory.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/memory.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define HUGE_PAGE ((size_t)2 << 20)

static void memory_is_zeroed_writable_and_on_a_page(void) {
    size_t page = os_page_size(), sizes[] = {1, page - 1, page, page + 1, 10 * page, 3 * HUGE_PAGE + 5};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        void *memory = NULL;
        CHECK(os_map_private(sizes[s], false, &memory), ==, 0);
        CHECK((uintptr_t)memory % page, ==, 0);
        unsigned char *bytes = memory, sum = 0;
        for (size_t i = 0; i < sizes[s]; i++) {
            sum |= bytes[i];
            bytes[i] = 1;
        }
        CHECK(sum, ==, 0);
        os_unmap(memory, sizes[s]);
    }
}

static void huge_memory_begins_on_a_huge_page(void) {
    for (int round = 0; round < 4; round++) {
        size_t bytes = HUGE_PAGE * (size_t)(round + 1) + (size_t)round * 5000;
        void *memory = NULL;
        CHECK(os_map_private(bytes, true, &memory), ==, 0);
        CHECK((uintptr_t)memory % HUGE_PAGE, ==, 0);
        memset(memory, 1, bytes);
        os_unmap(memory, bytes);
    }
    void *memory = NULL;
    CHECK(os_map_private(100, true, &memory), ==, 0); /* too small for one */
    memset(memory, 1, 100);
    os_unmap(memory, 100);
}

/* Whether a process dies of SIGSEGV when it writes there. */
static bool dies_at(volatile char *address) {
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would report it instead */
        *address = 1;
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void guard_pages_stand_on_both_sides(void) {
    for (int huge = 0; huge < 2; huge++) {
        size_t page = os_page_size(), bytes = 2 * HUGE_PAGE + page;
        void *memory = NULL;
        CHECK(os_map_private(bytes, huge, &memory), ==, 0);
        char *first = memory;
        CHECK(dies_at(first - 1), ==, true);
        CHECK(dies_at(first - page), ==, true);
        CHECK(dies_at(first), ==, false);
        CHECK(dies_at(first + bytes - 1), ==, false);
        CHECK(dies_at(first + bytes), ==, true);
        CHECK(dies_at(first + bytes + page - 1), ==, true);
        os_unmap(memory, bytes);
    }
}

static void no_bytes_and_too_many_are_refused(void) {
    size_t absurd[] = {
        0, SIZE_MAX, SIZE_MAX - 1, (size_t)PTRDIFF_MAX, (size_t)PTRDIFF_MAX - HUGE_PAGE, (size_t)1 << 62};
    for (unsigned s = 0; s < sizeof absurd / sizeof *absurd; s++) {
        void *memory = NULL;
        CHECK(os_map_private(absurd[s], false, &memory), <, 0);
        CHECK(os_map_private(absurd[s], true, &memory), <, 0);
        CHECK(memory == NULL, ==, true);
    }
}

static uint64_t resident(const void *memory, size_t bytes) {
    struct os_residency residency = {0, 0};
    CHECK(os_residency(memory, bytes, &residency), ==, 0);
    CHECK(residency.huge_bytes, <=, residency.resident_bytes);
    return residency.resident_bytes;
}

static void prefaulting_makes_memory_resident_and_keeps_it(void) {
    size_t bytes = 4 << 20;
    void *memory = NULL;
    CHECK(os_map_private(bytes, false, &memory), ==, 0);
    CHECK(resident(memory, bytes), ==, 0);
    ((char *)memory)[12345] = 42;
    CHECK(resident(memory, bytes), >, 0);
    CHECK(resident(memory, bytes), <, bytes);
    CHECK(os_prefault(memory, bytes, NULL), ==, 0);
    CHECK(resident(memory, bytes), ==, bytes);
    CHECK(((char *)memory)[12345], ==, 42);
    os_unmap(memory, bytes);
}

/* How often a pause was asked, and how often it says yes. */
struct counter {
    unsigned asked, allowed;
};

static bool may_go_on(void *context) {
    struct counter *counter = context;
    return counter->asked++ < counter->allowed;
}

static void pages_are_made_present_in_pieces(void) {
    void *memory;
    CHECK(os_map_private(2 * OS_PIECE + 4096, false, &memory), ==, 0);
    struct counter counter = {0, 1000};
    const struct os_pause pause = {may_go_on, &counter};
    int error = os_prefault(memory, 2 * OS_PIECE + 4096, &pause);
    if (error == -EINVAL) {
        printf("skip: no MADV_POPULATE_WRITE here\n");
        return;
    }
    CHECK(error, ==, 0);
    CHECK(counter.asked, ==, 2);
    struct os_residency residency;
    CHECK(os_residency(memory, 2 * OS_PIECE + 4096, &residency), ==, 0);
    CHECK(residency.resident_bytes, ==, 2 * OS_PIECE + 4096);
    counter = (struct counter){0, 0};
    CHECK(os_prefault(memory, 2 * OS_PIECE + 4096, &pause), ==, -ECANCELED);
    os_unmap(memory, 2 * OS_PIECE + 4096);
}

/* Whether the bytes are all zero. They are not afterwards. */
static bool are_zero(unsigned char *bytes, size_t count) {
    unsigned char sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum |= bytes[i];
        bytes[i] = 1;
    }
    return sum == 0;
}

static void scratch_memory_is_kept_and_zero_again(void) {
    size_t page = os_page_size(), sizes[] = {1, page, page + 1, OS_SCRATCH_PAGES * page};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        void *first = NULL, *second = NULL;
        CHECK(os_map_scratch(sizes[s], &first), ==, 0);
        CHECK(are_zero(first, sizes[s]), ==, true);
        os_unmap_scratch(first, sizes[s]);
        CHECK(os_map_scratch(sizes[s], &second), ==, 0);
        CHECK(second == first, ==, true);
        CHECK(are_zero(second, sizes[s]), ==, true);
        CHECK(dies_at((char *)second + (sizes[s] + page - 1) / page * page), ==, true);
        os_unmap_scratch(second, sizes[s]);
    }
}

static void no_more_scratch_memory_is_kept_than_a_little(void) {
    size_t page = os_page_size(), large = OS_SCRATCH_PAGES * page + 1;
    void *memory = NULL, *many[20];
    CHECK(os_map_scratch(large, &memory), ==, 0);
    CHECK(are_zero(memory, large), ==, true);
    os_unmap_scratch(memory, large);
    CHECK(dies_at(memory), ==, true);
    for (unsigned i = 0; i < 20; i++) {
        CHECK(os_map_scratch(page, &many[i]), ==, 0);
        CHECK(are_zero(many[i], page), ==, true); /* so nobody has it twice */
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < 20; i++) {
        os_unmap_scratch(many[i], page);
    }
    for (unsigned i = 0; i < 20; i++) {
        kept += !dies_at(many[i]);
    }
    CHECK(kept, >, 0);
    CHECK(kept, <, 10);
}

/* Whether the page is zero in a child that is forked now. */
static bool is_zero_in_a_child(unsigned char *page) {
    pid_t child = fork();
    if (child == 0) {
        _exit(!are_zero(page, os_page_size()));
    }
    int status = 1;
    waitpid(child, &status, 0);
    return status == 0;
}

static void a_page_that_forks_wipe_is_kept_and_zero_again(void) {
    void *first = NULL, *second = NULL, *third = NULL;
    CHECK(os_wiped_on_fork(&first), ==, 0);
    CHECK(are_zero(first, os_page_size()), ==, true);
    CHECK(is_zero_in_a_child(first), ==, true);
    os_release_wiped(first);
    CHECK(os_wiped_on_fork(&second), ==, 0);
    CHECK(second == first, ==, true);
    CHECK(os_wiped_on_fork(&third), ==, 0);
    CHECK(third != second, ==, true);
    CHECK(are_zero(second, os_page_size()), ==, true);
    CHECK(is_zero_in_a_child(second), ==, true);
    os_release_wiped(third);
    os_release_wiped(second);
}

int main(void) {
    RUN(memory_is_zeroed_writable_and_on_a_page);
    RUN(huge_memory_begins_on_a_huge_page);
    RUN(guard_pages_stand_on_both_sides);
    RUN(no_bytes_and_too_many_are_refused);
    RUN(prefaulting_makes_memory_resident_and_keeps_it);
    RUN(pages_are_made_present_in_pieces);
    RUN(scratch_memory_is_kept_and_zero_again);
    RUN(no_more_scratch_memory_is_kept_than_a_little);
    RUN(a_page_that_forks_wipe_is_kept_and_zero_again);
    return check_end();
}
