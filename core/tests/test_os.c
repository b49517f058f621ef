/* Tests of os.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/os.h"

#include <errno.h>
#include <pthread.h>
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

static void a_wait_ends_when_the_word_differs_or_time_is_up(void) {
    atomic_half word = 5;
    double before = os_now();
    os_wait(&word, 4, 1000);
    os_wait(&word, 5, 0.001);
    os_wait(&word, 5, 0);
    CHECK(os_now() - before < 100, ==, true);
}

static atomic_half bell;

static void *ring(void *argument) {
    (void)argument;
    half_store_seq(&bell, 1);
    os_wake_all(&bell);
    return NULL;
}

static void a_sleeper_is_woken(void) {
    pthread_t thread;
    double before = os_now();
    pthread_create(&thread, NULL, ring, NULL);
    while (half_load_seq(&bell) == 0) {
        os_wait(&bell, 0, 1000);
    }
    pthread_join(thread, NULL);
    CHECK(os_now() - before < 500, ==, true);
}

static void the_clock_goes_forward(void) {
    double before = os_now();
    atomic_half word = 0;
    os_wait(&word, 0, 0.005);
    CHECK(os_now() - before >= 0, ==, true);
}

static void *number(void *argument) {
    uint32_t *numbers = argument;
    numbers[0] = os_thread_number();
    os_yield();
    numbers[1] = os_thread_number();
    return NULL;
}

static void every_thread_keeps_a_number_of_its_own(void) {
    uint32_t mine = os_thread_number(), numbers[8][2];
    pthread_t threads[8];
    CHECK(mine, >, 0);
    for (unsigned t = 0; t < 8; t++) {
        pthread_create(&threads[t], NULL, number, numbers[t]);
    }
    for (unsigned t = 0; t < 8; t++) {
        pthread_join(threads[t], NULL);
    }
    for (unsigned t = 0; t < 8; t++) {
        CHECK(numbers[t][0], ==, numbers[t][1]);
        CHECK(numbers[t][0], !=, mine);
        for (unsigned other = 0; other < t; other++) {
            CHECK(numbers[t][0], !=, numbers[other][0]);
        }
    }
    CHECK(os_thread_number(), ==, mine);
}

int main(void) {
    RUN(memory_is_zeroed_writable_and_on_a_page);
    RUN(huge_memory_begins_on_a_huge_page);
    RUN(guard_pages_stand_on_both_sides);
    RUN(no_bytes_and_too_many_are_refused);
    RUN(prefaulting_makes_memory_resident_and_keeps_it);
    RUN(a_wait_ends_when_the_word_differs_or_time_is_up);
    RUN(a_sleeper_is_woken);
    RUN(the_clock_goes_forward);
    RUN(every_thread_keeps_a_number_of_its_own);
    return check_end();
}
