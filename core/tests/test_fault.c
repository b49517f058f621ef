/* Tests of fault.c: inaccessible memory, and the explanation when something touches it. */
#include "process.h"

#include "os/fault.h"
#include "os/memory.h"

#define BYTES ((uint64_t)3 * 4096)

static unsigned char *memory;
static int file;

static void make(void) {
    void *mapped;
    file = os_memfd("blockpool-test");
    CHECK(os_reserve(file, BYTES, BYTES, NULL), ==, 0);
    CHECK(os_map_file(file, BYTES, &mapped), ==, 0);
    memory = mapped;
    memset(memory, 7, BYTES);
}

static void unmake(void) {
    os_unmap_file(memory, BYTES);
    os_close(file);
}

static unsigned mappings_of_the_file(void) {
    char line[512];
    unsigned found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        found += strstr(line, "/memfd:blockpool-test") != NULL;
    }
    fclose(maps);
    return found;
}

/* Runs `body` in a child with its stderr in `said`. Returns how it ended. */
static int listen(void (*body)(void), char said[static 256]) {
    int pipes[2];
    CHECK(pipe(pipes), ==, 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would report it */
        dup2(pipes[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(pipes[1]);
    size_t length = 0;
    for (ssize_t got = 1; got > 0; length += (size_t)(got > 0 ? got : 0)) {
        got = read(pipes[0], said + length, 255 - length);
    }
    said[length] = 0;
    close(pipes[0]);
    return ended(child);
}

static void forbid(void) {
    if (os_forbid(memory, BYTES) != 0) {
        os_say("not forbidden", 13);
        os_end();
    }
}

static void touch(void) { *(volatile unsigned char *)(memory + 5000) = 1; }

static void explain(const void *address) {
    if (address == memory + 5000) {
        os_say("explained;", 10);
    } else {
        os_say("elsewhere;", 10);
    }
}

static void forbid_and_touch(void) {
    forbid();
    touch();
}

static void forbid_and_look_at_the_map(void) {
    forbid();
    unsigned char present[BYTES / 4096];
    if (mappings_of_the_file() != 0 || mincore(memory, BYTES, present) != 0) {
        os_say("the file is mapped, or the addresses are free", 45);
    }
}

static void forbidden_memory_keeps_its_addresses_and_not_its_file(void) {
    char said[256];
    make();
    CHECK(mappings_of_the_file(), ==, 1);
    CHECK(listen(forbid_and_touch, said), ==, -SIGSEGV);
    CHECK(said[0], ==, 0);
    CHECK(listen(forbid_and_look_at_the_map, said), ==, 0);
    CHECK(said[0], ==, 0);
    CHECK(memory[5000], ==, 7);
    unmake();
}

static void touch_with_an_explanation(void) {
    forbid();
    os_on_fault(explain);
    os_on_fault(explain); /* once is enough */
    touch();
}

static void touch_elsewhere(void) {
    volatile unsigned char *elsewhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    os_on_fault(explain);
    *elsewhere = 1;
}

static void a_fault_is_explained_once_and_kills_as_before(void) {
    char said[256];
    make();
    CHECK(listen(touch_with_an_explanation, said), ==, -SIGSEGV);
    CHECK(strcmp(said, "explained;"), ==, 0);
    CHECK(listen(touch_elsewhere, said), ==, -SIGSEGV);
    CHECK(strcmp(said, "elsewhere;"), ==, 0);
    unmake();
}

static void handle(int number) {
    (void)number;
    os_say("theirs;", 7);
    os_end();
}

static void touch_with_an_earlier_handler(void) {
    signal(SIGSEGV, handle);
    touch_with_an_explanation();
}

static void the_handler_from_before_gets_the_fault(void) {
    char said[256];
    make();
    CHECK(listen(touch_with_an_earlier_handler, said), ==, 127);
    CHECK(strcmp(said, "explained;theirs;"), ==, 0);
    unmake();
}

static struct sigaction predecessor;

static void pass_on(int number, siginfo_t *info, void *context) {
    os_say("passed on;", 10);
    predecessor.sa_sigaction(number, info, context);
}

static void touch_with_a_later_handler(void) {
    forbid();
    os_on_fault(explain);
    struct sigaction action = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, &predecessor);
    os_on_fault(explain); /* again, as after another fork */
    touch();
}

static void two_handlers_that_pass_a_fault_on_do_not_go_round_forever(void) {
    char said[256];
    make();
    CHECK(listen(touch_with_a_later_handler, said), ==, -SIGSEGV);
    CHECK(strcmp(said, "explained;passed on;"), ==, 0);
    unmake();
}

static void be_sent_the_signal(void) {
    os_on_fault(explain);
    kill(getpid(), SIGSEGV);
    pause();
}

static void a_signal_that_was_sent_is_not_explained(void) {
    char said[256];
    CHECK(listen(be_sent_the_signal, said), ==, -SIGSEGV);
    CHECK(said[0], ==, 0);
}

int main(void) {
    process_begin();
    RUN(forbidden_memory_keeps_its_addresses_and_not_its_file);
    RUN(a_fault_is_explained_once_and_kills_as_before);
    RUN(the_handler_from_before_gets_the_fault);
    RUN(two_handlers_that_pass_a_fault_on_do_not_go_round_forever);
    RUN(a_signal_that_was_sent_is_not_explained);
    return check_end();
}
