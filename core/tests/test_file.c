/* Tests of file.c: reserving memory on kernels that let signals interrupt it. */
#include "process.h"

#include <sys/syscall.h>

#define PIECE ((off_t)OS_PIECE)

static struct {
    off_t longest;          /* what is asked for beyond it is interrupted, as by a timer that ends sooner */
    unsigned done, refused; /* pieces */
} kernel;

/* Stands in for the C library's. */
int fallocate(int file, int mode, off_t offset, off_t length) {
    if (length > kernel.longest) {
        kernel.refused++;
        errno = EINTR;
        return -1;
    }
    kernel.done++;
    return (int)syscall(SYS_fallocate, file, mode, offset, length);
}

static unsigned asked, allowed;

static bool may_go_on(void *context) {
    (void)context;
    return asked++ < allowed;
}

static const struct os_pause pause_of_test = {may_go_on, NULL};

static void begin(off_t longest, unsigned so_often) {
    kernel.longest = longest;
    kernel.done = kernel.refused = asked = 0;
    allowed = so_often;
}

static off_t reserved(int file) {
    struct stat status;
    return fstat(file, &status) == 0 ? status.st_blocks * 512 : -1;
}

static void memory_is_reserved_in_pieces(void) {
    int file = os_memfd("blockpool-test");
    begin(PIECE, 1000);
    CHECK(os_reserve(file, 2 * OS_PIECE + 12288, &pause_of_test), ==, 0);
    CHECK(kernel.done, ==, 3);
    CHECK(asked, ==, 2); /* not when all is done */
    CHECK(reserved(file), ==, 2 * PIECE + 12288);
    os_close(file);
    file = os_memfd("blockpool-test");
    begin(PIECE, 0);
    CHECK(os_reserve(file, 4096, &pause_of_test), ==, 0);
    CHECK(asked, ==, 0);
    os_close(file);
}

static void it_stops_between_two_pieces(void) {
    int file = os_memfd("blockpool-test");
    begin(PIECE, 1);
    CHECK(os_reserve(file, 4 * OS_PIECE, &pause_of_test), ==, -ECANCELED);
    CHECK(reserved(file), ==, 2 * PIECE);
    os_close(file);
}

static void what_signals_interrupt_is_done_in_smaller_pieces(void) {
    int file = os_memfd("blockpool-test");
    begin(PIECE / 16, 1000);
    CHECK(os_reserve(file, 2 * OS_PIECE, &pause_of_test), ==, 0);
    CHECK(reserved(file), ==, 2 * PIECE);
    CHECK(kernel.refused, ==, 4);
    CHECK(asked, >=, kernel.refused); /* the signal is let through before the next try */
    os_close(file);
}

static void a_stop_comes_through_though_every_piece_is_interrupted(void) {
    int file = os_memfd("blockpool-test");
    begin(0, 100);
    CHECK(os_reserve(file, OS_PIECE, &pause_of_test), ==, -ECANCELED);
    CHECK(kernel.done, ==, 0);
    os_close(file);
}

int main(void) {
    alarm(60); /* what retries for ever fails too */
    RUN(memory_is_reserved_in_pieces);
    RUN(it_stops_between_two_pieces);
    RUN(what_signals_interrupt_is_done_in_smaller_pieces);
    RUN(a_stop_comes_through_though_every_piece_is_interrupted);
    return check_end();
}
