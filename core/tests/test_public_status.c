/* Tests of public_status.c: each status has words of its own, and each status of the library a public one. */
#include "blockpool.h" /* first: it must stand alone */

#include <errno.h>
#include <stdbool.h>

#include "check.h"
#include "public/public_parts.h"

#define LAST BLOCKPOOL_MISUSED

static void every_status_has_words_of_its_own(void) {
    for (int a = BLOCKPOOL_OK; a <= LAST; a++) {
        CHECK(strlen(blockpool_message(a)), >, 5);
        for (int b = -1; b < a; b++) {
            CHECK(strcmp(blockpool_message(a), blockpool_message(b)) != 0, ==, true);
        }
    }
    CHECK(strcmp(blockpool_message(-1), blockpool_message(LAST + 1)), ==, 0);
}

/* The numbers are compiled into programs. */
static void the_numbers_do_not_change(void) {
    CHECK(BLOCKPOOL_NOT_ALLOCATED, ==, 14);
    CHECK(BLOCKPOOL_BAD_NAME, ==, 15);
    CHECK(BLOCKPOOL_EXISTS, ==, 21);
    CHECK(BLOCKPOOL_CORRUPT, ==, 26);
    CHECK(BLOCKPOOL_STALE, ==, 32);
    CHECK(BLOCKPOOL_QUEUE_FULL, ==, 36);
    CHECK(BLOCKPOOL_NOT_RECEIVED, ==, 41);
    CHECK(BLOCKPOOL_NOTE_TOO_LONG, ==, 42);
    CHECK(BLOCKPOOL_MISUSED, ==, 43);
}

static void every_status_of_the_library_has_a_public_one(void) {
    for (int status = POOL_OK; status <= POOL_LOCKED; status++) {
        int given = public_status((enum pool_status)status, NULL);
        CHECK(given, >=, BLOCKPOOL_OK);
        CHECK(given, <=, LAST);
        CHECK(given == BLOCKPOOL_OK, ==, status == POOL_OK);
    }
    CHECK(public_status(POOL_EXHAUSTED, NULL), ==, BLOCKPOOL_NO_ROOM);
    CHECK(public_status(POOL_STRAY, NULL), ==, BLOCKPOOL_NO_PART);
    CHECK(public_status(POOL_QUEUE_SHUT, NULL), ==, BLOCKPOOL_SHUT_DOWN);
}

static void errno_says_what_the_kernel_refused(void) {
    struct pool_failure failure = {.error = -EMFILE}, none = {0};
    errno = 0;
    CHECK(public_status(POOL_NO_DESCRIPTOR, &failure), ==, BLOCKPOOL_NO_DESCRIPTOR);
    CHECK(errno, ==, EMFILE);
    CHECK(public_status(POOL_NOT_FOUND, &none), ==, BLOCKPOOL_NOT_FOUND);
    CHECK(errno, ==, EMFILE);
}

static void library_and_header_are_of_one_release(void) {
    CHECK(strcmp(blockpool_version(), BLOCKPOOL_VERSION), ==, 0);
    CHECK(strspn(blockpool_version(), "0123456789."), ==, strlen(blockpool_version()));
}

int main(void) {
    RUN(every_status_has_words_of_its_own);
    RUN(the_numbers_do_not_change);
    RUN(every_status_of_the_library_has_a_public_one);
    RUN(errno_says_what_the_kernel_refused);
    RUN(library_and_header_are_of_one_release);
    return check_end();
}
