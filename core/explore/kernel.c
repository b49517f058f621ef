/* kernel.c: see kernel.h. */
#include "kernel.h"

#include <errno.h>
#include <string.h>

#include "os/fault.h"
#include "os/limits.h"
#include "os/lock.h"
#include "os/memory.h"
#include "os/process.h"
#include "os/thread.h"
#include "shared/layout.h"
#include "steps.h"

#define MOST_DESCRIPTIONS 256

static struct description {
    unsigned file;
    unsigned open, mapped; /* a bit per process */
    uint64_t locked;       /* the byte, one up: a description locks one at most */
} descriptions[MOST_DESCRIPTIONS];
static int made;
static _Alignas(4096) unsigned char files[KERNEL_FILES][KERNEL_FILE_BYTES];
static unsigned process_of[EXPLORE_THREADS];
static unsigned acting;
static bool fine;
static atomic_word pages[PROCESSES];
static _Alignas(64) unsigned char private_memory[PROCESSES][KERNEL_PRIVATE_BYTES];
unsigned kernel_named;
uint32_t kernel_time;

void kernel_set_up(bool fine_) {
    made = 0;
    acting = RESIDENT;
    fine = fine_;
    kernel_named = 0;
    kernel_time = 0;
    steps_private(1, pages, sizeof pages);
    steps_private(2, private_memory, sizeof private_memory);
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        process_of[t] = t;
    }
}

static struct {
    struct description descriptions[PROCESSES];
    int made;
    uint64_t pages[PROCESSES];
} saved;

void kernel_save(void) {
    saved.made = made;
    memcpy(saved.descriptions, descriptions, sizeof saved.descriptions);
    for (unsigned p = 0; p < PROCESSES; p++) {
        saved.pages[p] = pages[p];
    }
}

void kernel_restore(void) {
    made = saved.made;
    memcpy(descriptions, saved.descriptions, sizeof saved.descriptions);
    memset(private_memory, 0, sizeof private_memory);
    for (unsigned p = 0; p < PROCESSES; p++) {
        pages[p] = saved.pages[p];
    }
}

void kernel_thread_is(unsigned thread, unsigned process) { process_of[thread] = process; }

void kernel_act_as(unsigned process) { acting = process; }

unsigned kernel_process(void) {
    unsigned thread = explore_thread();
    return thread < EXPLORE_THREADS ? process_of[thread] : acting;
}

bool kernel_is_dead(unsigned process) {
    unsigned step;
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        if (process_of[t] == process && explore_stopped(t, &step)) {
            return true;
        }
    }
    return false;
}

bool kernel_is_shared(unsigned process) {
    unsigned threads = 0;
    for (unsigned t = 0; t < EXPLORE_THREADS; t++) {
        threads += process_of[t] == process;
    }
    return threads > 1;
}

void kernel_stopped(void) { explore_wake(descriptions); }

unsigned char *kernel_memory(unsigned file) { return files[file]; }

static void step(void) {
    if (fine) {
        steps_of_kernel();
        explore_step();
    }
}

/* --- descriptions --- */

static bool is_there(const struct description *description) {
    for (unsigned left = description->open | description->mapped; left; left &= left - 1) {
        if (!kernel_is_dead((unsigned)__builtin_ctz(left))) {
            return true;
        }
    }
    return false;
}

/* Wakes the threads that sleep for a lock, if there was one. */
static void lock_ended(const struct description *description) {
    if (description->locked) {
        explore_wake(descriptions);
    }
}

bool kernel_is_locked(unsigned file, int number, uint64_t byte) {
    for (int d = 0; d < made; d++) {
        if (descriptions[d].locked == byte + 1 && d != number && descriptions[d].file == file &&
            is_there(&descriptions[d])) {
            return true;
        }
    }
    return false;
}

void *kernel_fork(unsigned child, const void *own_memory, atomic_word **page) {
    *page = &pages[child];
    pages[child] = 1;
    return memcpy(private_memory[child], own_memory, sizeof private_memory[child]);
}

void kernel_pass_on(int number, unsigned child) { descriptions[number].open |= 1u << child; }

void kernel_await_lock(void) { explore_sleep(descriptions); }

static int make(unsigned file) {
    if (made == MOST_DESCRIPTIONS) {
        explore_fail("too many descriptions");
    }
    descriptions[made] = (struct description){.file = file, .open = 1u << kernel_process()};
    return made++;
}

static unsigned file_of(int number) { return number < 0 ? 0 : descriptions[number].file; }

int os_reopen(const struct os_descriptor *file) { return make(file_of(file->number)); }

int os_verify(const struct os_descriptor *file) {
    (void)file;
    return 0;
}

int os_keep(int number, struct os_descriptor *file) {
    *file = (struct os_descriptor){number, {0, file_of(number)}};
    return 0;
}

void os_close(int number) {
    step();
    descriptions[number].open &= ~(1u << kernel_process());
    lock_ended(&descriptions[number]);
}

void os_close_kept(struct os_descriptor *file) {
    os_close(file->number);
    file->number = -1;
}

int os_lock(int number, uint64_t byte) {
    step();
    if (kernel_is_locked(file_of(number), number, byte)) {
        return -EAGAIN;
    }
    if (descriptions[number].locked && descriptions[number].locked != byte + 1) {
        explore_fail("two bytes are locked through one description");
    }
    descriptions[number].locked = byte + 1;
    return 0;
}

int os_unlock(int number, uint64_t byte) {
    step();
    lock_ended(&descriptions[number]);
    if (descriptions[number].locked == byte + 1) {
        descriptions[number].locked = 0;
    }
    return 0;
}

int os_is_locked(int number, uint64_t byte) {
    step();
    return kernel_is_locked(file_of(number), number, byte);
}

int os_pin_lock(int number, void **page) {
    step();
    if (!is_there(&descriptions[number])) {
        descriptions[number].locked = 0;
    }
    descriptions[number].mapped |= 1u << kernel_process();
    *page = &descriptions[number];
    return 0;
}

void os_unpin_lock(void *page) {
    step();
    ((struct description *)page)->mapped &= ~(1u << kernel_process());
    lock_ended(page);
}

/* --- names: a look at one is always a step, as its change is --- */

int os_shm_open(const char *name) {
    (void)name;
    explore_step();
    return kernel_named < KERNEL_FILES ? make(kernel_named) : -ENOENT;
}

bool os_shm_names(const char *name, const struct os_identity *identity) {
    (void)name;
    return identity->inode == kernel_named;
}

int os_shm_unlink(const char *name) {
    (void)name;
    explore_step();
    if (kernel_named == KERNEL_FILES) {
        return -ENOENT;
    }
    kernel_named = KERNEL_FILES;
    return 0;
}

uid_t os_user(void) { return 1; }

int os_stat(int number, struct os_file *found) {
    const struct layout_header *header = (const void *)files[file_of(number)];
    *found = (struct os_file){
        .identity = {0, file_of(number)}, .bytes = header->geometry.bytes, .owner = 1, .links = 1, .regular = true};
    return 0;
}

int os_read(int number, uint64_t from, void *bytes, size_t count) {
    memcpy(bytes, files[file_of(number)] + from, count);
    return 0;
}

/* --- memory --- */

int os_map_file(int number, uint64_t bytes, void **memory) {
    if (bytes > KERNEL_FILE_BYTES) {
        explore_fail("the file is larger than the exploration has room for");
    }
    *memory = files[file_of(number)];
    return 0;
}

void os_unmap_file(void *memory, uint64_t bytes) {
    (void)memory;
    (void)bytes;
}

int os_wiped_on_fork(void **page) {
    *page = &pages[kernel_process()];
    pages[kernel_process()] = 0;
    return 0;
}

void os_release_wiped(void *page) { (void)page; }

int os_map_private(size_t bytes, bool huge, void **memory) {
    (void)huge;
    if (bytes > KERNEL_PRIVATE_BYTES) {
        explore_fail("the pool has more blocks than the exploration has room for");
    }
    *memory = memset(private_memory[kernel_process()], 0, bytes);
    return 0;
}

int os_map_scratch(size_t bytes, void **memory) { return os_map_private(bytes, false, memory); }

void os_unmap_scratch(void *memory, size_t bytes) { os_unmap_file(memory, bytes); }

void os_unmap(void *memory, size_t bytes) { os_unmap_file(memory, bytes); }

/* --- processes, threads, time --- */

uint32_t os_thread_number(void) { return explore_thread() + 1; }

void os_yield(void) { explore_yield(); }

bool os_at_rest(double seconds) {
    (void)seconds;
    return !explore_others();
}

pid_t os_process(void) { return (pid_t)kernel_process() + 1; }

uint64_t os_process_start(void) { return 1; }

void os_process_command(char *command, size_t size) { memset(command, 0, size); }

uint32_t os_seconds(void) { return kernel_time; }

double os_now(void) { return 0; }

uint64_t os_nanoseconds(void) { return 0; }

void os_wait_shared(atomic_half *word, uint32_t expected, double seconds) {
    (void)seconds; /* never over: a thread that is not woken sleeps forever, and the search says so */
    explore_step();
    if (*word == expected) {
        explore_sleep(word);
    }
}

void os_wake_all_shared(atomic_half *word) {
    explore_step();
    explore_wake(word);
}

/* One step: that is what the kernel promises. */
unsigned os_wake_next_shared(atomic_half *word, unsigned most) {
    explore_step();
    (*word)++;
    return explore_wake_some(word, most);
}

/* --- what no scenario does: make a pool, find one by its id --- */

static int nobody_does(const char *what) {
    explore_fail("%s is not played", what);
    return -ENOSYS;
}

int os_map_file_readonly(int number, uint64_t bytes, void **memory) {
    return nobody_does(memory ? "os_map_file_readonly" : "") + 0 * number + 0 * (int)bytes;
}
int os_shm_directory(void) { return nobody_does("os_shm_directory"); }
int os_lock_shared_alone(int number, uint64_t byte) {
    return nobody_does("os_lock_shared_alone") + 0 * number + 0 * (int)byte;
}
void os_sleep(double seconds) { (void)nobody_does(seconds > 0 ? "os_sleep" : ""); }
int os_shm_unnamed(void) { return nobody_does("os_shm_unnamed"); }
int os_memfd(const char *label) { return nobody_does(label); }
int os_open_of(pid_t process, int number) { return nobody_does("os_open_of") + 0 * (process + number); }
int os_shm_link(int number, const char *name) { return nobody_does(name) + 0 * number; }
int os_reserve(int number, uint64_t bytes, uint64_t reserved, const struct os_pause *pause) {
    return nobody_does("os_reserve") + 0 * number + 0 * (int)(bytes + reserved) + (pause ? 0 : 0);
}
int os_touch(int number) { return nobody_does("os_touch") + 0 * number; }
int os_watch(int number) { return nobody_does("os_watch") + 0 * number; }
int os_seal(int number) { return nobody_does("os_seal") + 0 * number; }
int os_random(void *bytes, size_t count) { return nobody_does("os_random") + (bytes ? 0 : (int)count); }
uint64_t os_shm_available(void) { return (uint64_t)nobody_does("os_shm_available"); }
void os_limits(struct os_limits *limits) { memset(limits, nobody_does("os_limits"), sizeof *limits); }
int os_forbid(void *memory, uint64_t bytes) { return nobody_does("os_forbid") + 0 * (memory == NULL) + 0 * (int)bytes; }
void os_on_fault(void (*explain)(const void *address)) { (void)explain; }
void os_say(const char *text, size_t length) { (void)nobody_does(length ? text : ""); }

void os_end(void) {
    for (;;) {
        (void)nobody_does("os_end");
    }
}
