/* Tests of process.c. */
#include "process.h"

#include "os/process.h"

static void tell_of_itself(void) {
    tell(0, (uint64_t)os_process());
    tell(1, os_process_start());
}

static void a_process_is_named_by_its_pid_and_start(void) {
    CHECK(os_process(), ==, getpid());
    CHECK(os_process_start(), >, 0);
    CHECK(os_process_start(), ==, os_process_start());
    os_sleep(5.0 / (double)sysconf(_SC_CLK_TCK));
    pid_t child = start(tell_of_itself);
    CHECK(ended(child), ==, 0);
    CHECK(told(0), ==, child);
    CHECK(told(1), >, os_process_start()); /* in clock ticks */
}

static void a_start_is_a_time_of_the_day(void) {
    double now = (double)time(NULL), started = os_start_time(os_process_start());
    CHECK(started >= now - PROCESS_PATIENCE && started <= now + 1, ==, true);
    pid_t child = start(tell_of_itself);
    CHECK(ended(child), ==, 0);
    CHECK(os_start_time(told(1)) >= started - 0.001, ==, true);
    CHECK(os_start_time(100 * (uint64_t)sysconf(_SC_CLK_TCK)) - os_start_time(0) > 99.9, ==, true);
}

/* Its name is in /proc/self/stat, before the start. */
static void with_a_confusing_name(void) {
    uint64_t before = os_process_start();
    CHECK(prctl(PR_SET_NAME, "a) R 1 (b"), ==, 0);
    CHECK(os_process_start(), ==, before);
}

static void a_name_with_parentheses_does_not_matter(void) { CHECK(ended(start(with_a_confusing_name)), ==, 0); }

static void the_command_is_cut_to_fit_and_has_spaces(void) {
    char whole[4096], part[8];
    os_process_command(whole, sizeof whole);
    CHECK(strstr(whole, "test_process") != NULL, ==, true);
    memset(part, 'x', sizeof part);
    os_process_command(part, sizeof part);
    CHECK(part[7], ==, 0);
    CHECK(strncmp(whole, part, 7), ==, 0);
    CHECK(os_user(), ==, geteuid());
}

static void randomness_fills_all_bytes(void) {
    unsigned char seen[64] = {0};
    for (unsigned i = 0; i < 20; i++) {
        unsigned char bytes[64] = {0};
        CHECK(os_random(bytes, sizeof bytes), ==, 0);
        for (unsigned at = 0; at < sizeof bytes; at++) {
            seen[at] |= bytes[at];
        }
    }
    for (unsigned at = 0; at < sizeof seen; at++) { /* zero twenty times: once in 10^48 */
        CHECK(seen[at], !=, 0);
    }
}

/* The arguments are for `the_command_is_cut_to_fit_and_has_spaces`. */
int main(int argc, char **argv) {
    if (argc == 1) {
        execl("/proc/self/exe", argv[0], "one", "two", (char *)NULL);
    }
    process_begin();
    char whole[4096];
    os_process_command(whole, sizeof whole);
    const char *end = strstr(whole, " one two");
    CHECK(end && strlen(end) == 8, ==, true);
    RUN(a_process_is_named_by_its_pid_and_start);
    RUN(a_start_is_a_time_of_the_day);
    RUN(a_name_with_parentheses_does_not_matter);
    RUN(the_command_is_cut_to_fit_and_has_spaces);
    RUN(randomness_fills_all_bytes);
    return check_end();
}
