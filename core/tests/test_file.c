/* Tests of file.c: descriptors, names, and reserving memory on kernels that let signals interrupt it. */
#include "process.h"

#include <sys/syscall.h>

#define PIECE ((off_t)OS_PIECE)

/* --- descriptors --- */

static int stranger_at(int number) {
    int stranger = os_memfd("stranger");
    if (stranger != number) {
        CHECK(dup2(stranger, number), ==, number);
        os_close(stranger);
    }
    return number;
}

static void a_kept_descriptor_knows_whether_it_still_belongs_to_its_file(void) {
    struct os_descriptor file;
    CHECK(os_keep(-1, &file), ==, -EBADF);
    CHECK(os_keep(os_memfd("blockpool-test"), &file), ==, 0);
    int number = file.number;
    CHECK(os_verify(&file), ==, 0);
    os_close(number);
    CHECK(os_verify(&file), ==, -EBADF);
    CHECK(os_reopen(&file), ==, -EBADF);
    (void)stranger_at(number);
    CHECK(os_verify(&file), ==, -ESTALE);
    CHECK(os_reopen(&file), ==, -ESTALE);
    os_close_kept(&file);
    CHECK(file.number, ==, -1);
    CHECK(fcntl(number, F_GETFD), ==, FD_CLOEXEC); /* the stranger's is still open */
    os_close(number);
}

static void a_file_is_opened_again_through_any_descriptor_of_it(void) {
    struct os_descriptor file;
    struct os_file found;
    CHECK(os_keep(os_memfd("blockpool-test"), &file), ==, 0);
    CHECK(os_write(file.number, 0, "text", 4), ==, 0);
    int again[] = {os_reopen(&file), os_open_of(0, file.number), os_open_of(getpid(), file.number),
                   os_find_open(&file.identity)};
    for (unsigned i = 0; i < 4; i++) {
        CHECK(again[i], >, STDERR_FILENO);
        CHECK(fcntl(again[i], F_GETFD), ==, FD_CLOEXEC);
        CHECK(os_stat(again[i], &found), ==, 0);
        CHECK(found.identity.inode, ==, file.identity.inode);
        CHECK(found.bytes, ==, 4);
        os_close(again[i]);
    }
    os_close_kept(&file);
    CHECK(os_find_open(&file.identity), ==, -ENOENT);
    CHECK(os_open_of(0, 1000000), ==, -ENOENT);
}

/* --- names --- */

static bool count_name(const char *name, void *context) {
    (void)name;
    ++*(unsigned *)context;
    return false;
}

static void a_file_gets_a_name_and_loses_it(void) {
    char name[96], other[96];
    snprintf(name, sizeof name, "%s", process_name());
    snprintf(other, sizeof other, "%s", process_name());
    int file = os_shm_unnamed();
    struct os_file found;
    unsigned names = 0;
    CHECK(os_stat(file, &found), ==, 0);
    CHECK(found.links, ==, 0);
    CHECK(found.owner, ==, geteuid());
    CHECK(found.regular, ==, true);
    CHECK(os_shm_look(name, &found), ==, -ENOENT);
    CHECK(os_shm_link(file, name), ==, 0);
    CHECK(os_shm_link(file, name), ==, -EEXIST);
    CHECK(os_shm_link(file, other), ==, 0);
    CHECK(os_shm_look(name, &found), ==, 0);
    CHECK(found.links, ==, 2);
    CHECK(os_shm_names(name, &found.identity), ==, true);
    CHECK(os_shm_list(process_prefix, count_name, &names), ==, 0);
    CHECK(names, ==, 1); /* it was told to stop after the first */
    int again = os_shm_open(name);
    CHECK(again, >=, 0);
    os_close(again);
    CHECK(os_shm_unlink(name), ==, 0);
    CHECK(os_shm_unlink(name), ==, -ENOENT);
    CHECK(os_shm_open(name), ==, -ENOENT);
    CHECK(os_shm_names(name, &found.identity), ==, false);
    int stranger = os_shm_unnamed();
    CHECK(os_shm_link(stranger, name), ==, 0);
    CHECK(os_shm_names(name, &found.identity), ==, false); /* now another file's */
    CHECK(os_shm_unlink(name), ==, 0);
    CHECK(os_shm_unlink(other), ==, 0);
    os_close(stranger);
    os_close(file);
    CHECK(os_shm_available(), >, 0);
}

static void names_that_would_leave_the_directory_are_refused(void) {
    char longest[OS_SHM_NAME_MOST + 2];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    const char *bad[] = {"", ".hidden", "..", "a/b", longest};
    struct os_file found;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(os_shm_open(bad[i]), ==, -EINVAL);
        CHECK(os_shm_unlink(bad[i]), ==, -EINVAL);
        CHECK(os_shm_look(bad[i], &found), ==, -EINVAL);
        CHECK(os_shm_link(0, bad[i]), ==, -EINVAL);
    }
}

/* --- contents --- */

static void a_sealed_file_keeps_its_size(void) {
    int file = os_memfd("blockpool-test");
    CHECK(ftruncate(file, 4096), ==, 0);
    CHECK(os_is_sealed(file), ==, false);
    CHECK(os_seal(file), ==, 0);
    CHECK(os_is_sealed(file), ==, true);
    CHECK(ftruncate(file, 0), ==, -1);
    CHECK(ftruncate(file, 8192), ==, -1);
    os_close(file);
    file = os_shm_unnamed();
    CHECK(os_is_sealed(file), ==, false);
    os_close(file);
}

static void a_read_past_the_end_is_an_error(void) {
    char text[8];
    int file = os_memfd("blockpool-test");
    CHECK(os_write(file, 2, "abc", 3), ==, 0);
    CHECK(os_read(file, 2, text, 3), ==, 0);
    CHECK(memcmp(text, "abc", 3), ==, 0);
    CHECK(os_read(file, 2, text, 4), ==, -EIO);
    CHECK(os_read(-1, 0, text, 1), ==, -EBADF);
    CHECK(os_write(-1, 0, text, 1), ==, -EBADF);
    os_close(file);
}

/* --- reserving --- */

static struct {
    off_t longest;          /* longer pieces are interrupted, as if by a timer */
    unsigned done, refused; /* pieces */
} kernel;

/* Replaces the C library's. */
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
    CHECK(os_reserve(file, 2 * OS_PIECE + 12288, 2 * OS_PIECE + 12288, &pause_of_test), ==, 0);
    CHECK(kernel.done, ==, 3);
    CHECK(asked, ==, 2); /* not when all is done */
    CHECK(reserved(file), ==, 2 * PIECE + 12288);
    os_close(file);
    file = os_memfd("blockpool-test");
    begin(PIECE, 0);
    CHECK(os_reserve(file, 4096, 4096, &pause_of_test), ==, 0);
    CHECK(asked, ==, 0);
    os_close(file);
}

static void what_is_not_to_be_reserved_is_not(void) {
    static const struct {
        off_t bytes, wanted;
    } files[] = {
        {4096, 0},         {1 << 20, 4096}, {PIECE + 4096, PIECE}, {3 * PIECE, PIECE + 4096}, {3 * PIECE, 2 * PIECE},
        {2 * PIECE, 8192},
    };
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        int file = os_memfd("blockpool-test");
        struct stat status;
        begin(PIECE, 1000);
        CHECK(os_reserve(file, (uint64_t)files[i].bytes, (uint64_t)files[i].wanted, &pause_of_test), ==, 0);
        CHECK(reserved(file), ==, files[i].wanted);
        CHECK(fstat(file, &status), ==, 0);
        CHECK(status.st_size, ==, files[i].bytes);
        os_close(file);
    }
}

static void it_stops_between_two_pieces(void) {
    int file = os_memfd("blockpool-test");
    begin(PIECE, 1);
    CHECK(os_reserve(file, 4 * OS_PIECE, 4 * OS_PIECE, &pause_of_test), ==, -ECANCELED);
    CHECK(reserved(file), ==, 2 * PIECE);
    os_close(file);
}

static void what_signals_interrupt_is_done_in_smaller_pieces(void) {
    int file = os_memfd("blockpool-test");
    begin(PIECE / 16, 1000);
    CHECK(os_reserve(file, 2 * OS_PIECE, 2 * OS_PIECE, &pause_of_test), ==, 0);
    CHECK(reserved(file), ==, 2 * PIECE);
    CHECK(kernel.refused, ==, 4);
    CHECK(asked, >=, kernel.refused); /* the signal is let through before the next try */
    os_close(file);
}

static void a_stop_comes_through_though_every_piece_is_interrupted(void) {
    int file = os_memfd("blockpool-test");
    begin(0, 100);
    CHECK(os_reserve(file, OS_PIECE, OS_PIECE, &pause_of_test), ==, -ECANCELED);
    CHECK(kernel.done, ==, 0);
    os_close(file);
}

static void a_part_is_reserved_and_the_size_stays(void) {
    int file = os_memfd("blockpool-test");
    struct stat status;
    unsigned char bytes[2] = {1, 2};
    begin(PIECE, 1000);
    CHECK(os_reserve(file, 10 * 4096, 4096, &pause_of_test), ==, 0);
    CHECK(os_seal(file), ==, 0);
    CHECK(os_write(file, 6 * 4096 + 5, bytes, 2), ==, 0);
    CHECK(reserved(file), ==, 2 * 4096);
    CHECK(os_reserve_part(file, 9 * 4096, 4096), ==, 0);
    CHECK(reserved(file), ==, 3 * 4096);
    CHECK(os_reserve_part(file, 6 * 4096, 2 * 4096), ==, 0);
    CHECK(reserved(file), ==, 4 * 4096);
    bytes[0] = bytes[1] = 9;
    CHECK(os_read(file, 6 * 4096 + 5, bytes, 2), ==, 0);
    CHECK(bytes[0] * 10 + bytes[1], ==, 12); /* what was there stays */
    CHECK(fstat(file, &status), ==, 0);
    CHECK(status.st_size, ==, 10 * 4096);
    os_close(file);
    CHECK(os_reserve_part(file, 0, 4096), ==, -EBADF);
    file = os_memfd("blockpool-test");
    CHECK(os_reserve_part(file, 4096, 4096), ==, 0);
    CHECK(fstat(file, &status), ==, 0);
    CHECK(status.st_size, ==, 0);
    os_close(file);
}

int main(void) {
    process_begin();
    alarm(60); /* an endless retry fails too */
    RUN(a_kept_descriptor_knows_whether_it_still_belongs_to_its_file);
    RUN(a_file_is_opened_again_through_any_descriptor_of_it);
    RUN(a_file_gets_a_name_and_loses_it);
    RUN(names_that_would_leave_the_directory_are_refused);
    RUN(a_sealed_file_keeps_its_size);
    RUN(a_read_past_the_end_is_an_error);
    RUN(memory_is_reserved_in_pieces);
    RUN(what_is_not_to_be_reserved_is_not);
    RUN(a_part_is_reserved_and_the_size_stays);
    RUN(it_stops_between_two_pieces);
    RUN(what_signals_interrupt_is_done_in_smaller_pieces);
    RUN(a_stop_comes_through_though_every_piece_is_interrupted);
    CHECK(process_end(), ==, 0);
    return check_end();
}
