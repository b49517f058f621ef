/* Tests of slots.c: real processes and real locks. */
#include "process.h"

#include <stdarg.h>
#include <sys/syscall.h>

#include "os/lock.h"
#include "os/memory.h"
#include "os/process.h"
#include "sets.h"
#include "shared/slots.h"

static struct os_descriptor file;
static void *memory;

static atomic_word *used_word(unsigned slot) { return &((struct layout_header *)memory)->used[slot / 64]; }

/* Makes the slot used, without a process, or free. */
static void use(unsigned slot, bool is) {
    (void)(is ? set_bit_seq(used_word(slot), slot % 64) : clear_bit_seq(used_word(slot), slot % 64));
}

static bool is_used(unsigned slot) { return load_seq(used_word(slot)) >> slot % 64 & 1; }

static struct layout_geometry geometry;

static void make_for(unsigned processes) {
    memset(&geometry, 0, sizeof geometry);
    CHECK(layout_plan(&geometry, 64, 70, processes, 1024), ==, true);
    CHECK(os_keep(os_memfd("blockpool-test"), &file), ==, 0);
    CHECK(os_reserve(file.number, geometry.bytes, geometry.bytes, NULL), ==, 0);
    CHECK(os_map_file(file.number, geometry.bytes, &memory), ==, 0);
    layout_make(memory, &geometry);
}

static void make(void) { make_for(PROCESSES); }

static void unmake(void) {
    os_unmap_file(memory, geometry.bytes);
    os_close_kept(&file);
}

static unsigned take(void **hold) {
    int error = 1;
    unsigned slot = slots_take(&file, memory, &geometry, hold, NULL, &error);
    CHECK(error, ==, 0);
    return slot;
}

static struct slot_set dead_set(unsigned own) {
    struct slot_set found;
    memset(&found, 255, sizeof found);
    CHECK(slots_dead(&file, memory, &geometry, own, &found), ==, 0);
    return found;
}

static uint64_t dead(unsigned own) {
    struct slot_set found = dead_set(own);
    return bits_of(&found);
}

static uint64_t used(void) { return used_in(memory, &geometry); }

static int open_descriptors(void) {
    int count = 0;
    for (int i = 0; i < 256; i++) {
        count += fcntl(i, F_GETFD) >= 0;
    }
    return count;
}

/* --- taking and freeing --- */

/* Each slot has a mapping; the kernel allows some 65,000 of them. */
static void there_are_as_many_slots_as_the_pool_has_and_not_one_more(void) {
    static const unsigned sizes[] = {1, 2, 63, 64, 65, 256, 257, LAYOUT_MOST_PROCESSES};
    static void *holds[LAYOUT_MOST_PROCESSES];
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        unsigned n = sizes[s], middle = n / 2;
        void *none = NULL;
        struct slot_set in_use;
        make_for(n);
        int before = open_descriptors();
        for (unsigned slot = 0; slot < n; slot++) {
            CHECK(take(&holds[slot]), ==, slot);
        }
        CHECK(take(&none), ==, SLOTS_NONE);
        slots_used(memory, &geometry, &in_use);
        CHECK(slot_set_count(&in_use), ==, n);
        CHECK(slot_set_has(&in_use, n - 1), ==, true);
        CHECK(dead(SLOTS_NONE), ==, 0);
        CHECK(open_descriptors(), ==, before); /* the descriptors are closed, the locks stay */
        slots_free(memory, middle);
        CHECK(take(&none), ==, SLOTS_NONE); /* free, but its last process still has the lock */
        os_unpin_lock(holds[middle]);
        CHECK(take(&holds[middle]), ==, middle);
        os_unpin_lock(holds[n - 1]); /* the last one dies */
        struct slot_set gone = dead_set(SLOTS_NONE);
        CHECK(slot_set_count(&gone), ==, 1);
        CHECK(slot_set_has(&gone, n - 1), ==, true);
        gone = dead_set(n - 1);
        CHECK(slot_set_is_empty(&gone), ==, true);
        for (unsigned slot = 0; slot < n; slot++) {
            slots_free(memory, slot);
            if (slot < n - 1) {
                os_unpin_lock(holds[slot]);
            }
        }
        CHECK(used(), ==, 0);
        CHECK(open_descriptors(), ==, before);
        unmake();
    }
}

static void no_slot_has_the_byte_of_the_gate_or_of_another(void) {
    static bool taken[64 + LAYOUT_MOST_PROCESSES];
    taken[SLOTS_GATE_BYTE] = true;
    for (unsigned slot = 0; slot < LAYOUT_MOST_PROCESSES; slot++) {
        CHECK(SLOTS_BYTE(slot), <, sizeof taken);
        CHECK(taken[SLOTS_BYTE(slot)], ==, false);
        taken[SLOTS_BYTE(slot)] = true;
    }
    make_for(LAYOUT_MOST_PROCESSES); /* a lock on the gate is none on the slots beside it */
    int gate = slots_gate_try(&file, memory);
    CHECK(gate, >=, 0);
    for (unsigned slot = 0; slot < 4; slot++) {
        CHECK(os_is_locked(file.number, SLOTS_BYTE(slot)), ==, 0);
    }
    slots_gate_leave(&file, gate);
    unmake();
}

static void a_slot_is_signed_for_people(void) {
    void *hold;
    make();
    unsigned slot = take(&hold);
    struct slot_record *place = slot_record(memory, slot);
    slots_sign(memory, slot);
    CHECK(load_seq(&place->process), ==, getpid());
    CHECK(load_seq(&place->start), ==, os_process_start());
    CHECK(load_seq(&place->start), >, 0);
    CHECK(strstr(place->command, "test_slots") != NULL, ==, 1);
    slots_free(memory, slot);
    CHECK(load_seq(&place->process), ==, 0);
    os_unpin_lock(hold);
    unmake();
}

static void the_lock_comes_before_the_word(void) {
    void *hold;
    make();
    int other = os_reopen(&file); /* a process that has locked slot 0, but not reached its word yet */
    CHECK(os_lock(other, SLOTS_BYTE(0)), ==, 0);
    CHECK(take(&hold), ==, 1);
    CHECK(is_used(0), ==, false);
    CHECK(dead(SLOTS_NONE), ==, 0);
    os_close(other);
    void *second;
    CHECK(take(&second), ==, 0);
    os_unpin_lock(hold);
    os_unpin_lock(second);
    unmake();
}

static void a_used_slot_is_left_alone_even_if_nobody_has_its_lock(void) {
    void *hold;
    make();
    use(0, true); /* its process died */
    CHECK(take(&hold), ==, 1);
    CHECK(dead(1), ==, 1);
    int probe = os_reopen(&file);
    CHECK(os_is_locked(probe, SLOTS_BYTE(0)), ==, 0);
    CHECK(os_is_locked(probe, SLOTS_BYTE(1)), ==, 1);
    os_close(probe);
    os_unpin_lock(hold);
    unmake();
}

static void nobody_probes_his_own_slot(void) {
    make();
    use(3, true);
    use(5, true);
    CHECK(dead(SLOTS_NONE), ==, 1 << 3 | 1 << 5);
    CHECK(dead(3), ==, 1 << 5);
    CHECK(dead(5), ==, 1 << 3);
    unmake();
}

static bool others(unsigned own) { return slots_have_others(&file, memory, &geometry, own); }

static void only_the_living_count_as_others(void) {
    void *holds[3];
    make_for(257);
    CHECK(others(SLOTS_NONE), ==, false);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(take(&holds[i]), ==, i);
    }
    CHECK(others(0), ==, true);
    os_unpin_lock(holds[2]);
    CHECK(others(0), ==, true);
    os_unpin_lock(holds[1]);
    CHECK(others(0), ==, false); /* the dead do not count, nor does who asks */
    CHECK(others(1), ==, true);
    use(256, true);
    CHECK(others(0), ==, false);
    int lock = os_reopen(&file);
    CHECK(os_lock(lock, SLOTS_BYTE(256)), ==, 0);
    CHECK(others(0), ==, true);
    use(256, false);
    CHECK(others(0), ==, false); /* it is about to take the slot: without the gate, only for a child of another one */
    os_close(lock);
    struct os_descriptor lost = {-1, file.identity};
    CHECK(slots_have_others(&lost, memory, &geometry, 0), ==, true); /* unknown */
    for (unsigned slot = 1; slot < 3; slot++) {
        use(slot, false);
    }
    CHECK(slots_have_others(&lost, memory, &geometry, 0), ==, false); /* there is nothing to know */
    slots_end(memory, 0);
    CHECK(others(SLOTS_NONE), ==, false); /* it lives, but is at its end */
    CHECK(dead(SLOTS_NONE), ==, 0);
    os_unpin_lock(holds[0]);
    slots_free(memory, 0);
    CHECK(take(&holds[0]), ==, 0);
    CHECK(others(SLOTS_NONE), ==, true); /* the next one in the slot is not */
    os_unpin_lock(holds[0]);
    unmake();
}

/* --- what ends a lock, and what does not --- */

static void take_and_stay(void) {
    void *hold;
    tell(0, take(&hold));
    reach(1);
    stay();
}

static void take_and_wait(void) {
    void *hold;
    tell(0, take(&hold));
    reach(1);
    await(2);
}

static void take_and_exec(void) {
    void *hold;
    tell(0, take(&hold));
    reach(1);
    await(2);
    char *const words[] = {"sleep", "1000", NULL};
    execvp("sleep", words);
    _exit(9);
}

static void take_and_touch(void) {
    void *hold;
    tell(0, take(&hold));
    for (int i = 0; i < 3; i++) { /* a lock of the POSIX kind would end here */
        os_close(os_reopen(&file));
        void *again;
        CHECK(os_map_file(file.number, 4096, &again), ==, 0);
        os_unmap_file(again, 4096);
    }
    os_close(file.number);
    reach(1);
    stay();
}

static void grandchild_stays(void) {
    void *hold;
    tell(0, take(&hold));
    pid_t child = fork(); /* plain, and it lives on */
    if (child == 0) {
        alarm(100);
        reach(1);
        stay();
    }
    tell(1, (uint64_t)child);
    stay();
}

static void exit_ends_the_lock(void) {
    make();
    pid_t child = start(take_and_wait);
    await(1);
    CHECK(dead(SLOTS_NONE), ==, 0);
    CHECK(used(), ==, 1);
    reach(2);
    CHECK(ended(child), ==, 0);
    CHECK(dead(SLOTS_NONE), ==, bit_of((unsigned)told(0)));
    unmake();
}

static void a_kill_ends_the_lock(void) {
    make();
    pid_t child = start(take_and_stay);
    await(1);
    CHECK(dead(SLOTS_NONE), ==, 0);
    kill_and_wait(child);
    CHECK(dead(SLOTS_NONE), ==, 1);
    unmake();
}

static void a_stopped_process_is_alive(void) {
    make();
    pid_t child = start(take_and_stay);
    await(1);
    kill(child, SIGSTOP);
    waitpid(child, NULL, WUNTRACED);
    CHECK(dead(SLOTS_NONE), ==, 0);
    kill_and_wait(child);
    CHECK(dead(SLOTS_NONE), ==, 1);
    unmake();
}

static void exec_ends_the_lock(void) {
    make();
    pid_t child = start(take_and_exec);
    await(1);
    CHECK(dead(SLOTS_NONE), ==, 0);
    reach(2);
    CHECK(SOON(dead(SLOTS_NONE) == 1), ==, true);
    CHECK(waitpid(child, NULL, WNOHANG), ==, 0); /* the process is still there */
    kill_and_wait(child);
    unmake();
}

static void closing_other_descriptors_does_not_end_it(void) {
    make();
    pid_t child = start(take_and_touch);
    await(1);
    CHECK(dead(SLOTS_NONE), ==, 0);
    kill_and_wait(child);
    unmake();
}

static void a_forked_child_does_not_keep_it(void) {
    make();
    pid_t child = start(grandchild_stays);
    await(1);
    CHECK(SOON(told(1) != 0), ==, true);
    CHECK(dead(SLOTS_NONE), ==, 0);
    kill_and_wait(child);
    CHECK(dead(SLOTS_NONE), ==, 1);
    kill_and_wait((pid_t)told(1));
    tell(1, 0);
    unmake();
}

static void a_slot_for_a_child_is_locked_as_long_as_its_descriptor(void) {
    make();
    int description = -1, error = 1;
    CHECK(slots_take(&file, memory, &geometry, NULL, &description, &error), ==, 0);
    CHECK(error, ==, 0);
    CHECK(fcntl(description, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    CHECK(dead(SLOTS_NONE), ==, 0);
    void *hold;
    CHECK(os_pin_lock(description, &hold), ==, 0);
    os_close(description);
    CHECK(dead(SLOTS_NONE), ==, 0);
    os_unpin_lock(hold);
    CHECK(dead(SLOTS_NONE), ==, 1);
    unmake();
}

/* --- the gate --- */

static void the_gate_lets_one_in(void) {
    make();
    int gate = slots_gate_try(&file, memory);
    CHECK(gate, >=, 0);
    CHECK(load_seq(&((struct layout_header *)memory)->gate_process), ==, getpid());
    CHECK(slots_gate_try(&file, memory), ==, -EAGAIN);
    CHECK(dead(SLOTS_NONE), ==, 0); /* it is no slot */
    slots_gate_leave(&file, gate);
    gate = slots_gate_try(&file, memory);
    CHECK(gate, >=, 0);
    slots_gate_leave(&file, gate);
    unmake();
}

/* --- numbers that another thread takes meanwhile --- */

static struct {
    int after; /* after that many calls of fcntl() for a lock */
    bool reused;
    int lost; /* the number */
} thief;

static void fork_and_die(void);

/* Replaces the C library's: during a call, another thread closes the descriptor, and may open another file. */
int fcntl(int number, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (command == F_OFD_GETLK) {
        fork_and_die();
    }
    if (command == F_OFD_SETLK && thief.after >= 0 && thief.after-- == 0) {
        thief.lost = number;
        close(number);
        if (thief.reused) {
            CHECK(os_memfd("log"), ==, number);
        }
    }
    return (int)syscall(SYS_fcntl, number, command, argument);
}

/* Right before the kernel is asked about a slot, its process takes one for its child, and dies. */
static int child_slot = -1;

static void fork_and_die(void) {
    if (child_slot >= 0) {
        use((unsigned)child_slot, true);
        child_slot = -1;
    }
}

static void a_process_that_forks_and_dies_meanwhile_has_a_child_that_counts(void) {
    make();
    use(1, true); /* and nobody has its lock */
    CHECK(others(0), ==, false);
    child_slot = 3;
    CHECK(others(0), ==, true);
    CHECK(child_slot, ==, -1);
    unmake();
}

static void a_lock_of_another_file_is_no_lock(void) {
    for (int reused = 0; reused < 2; reused++) {
        void *hold = NULL;
        struct slot_set found;
        make();
        int before = open_descriptors();
        thief.reused = reused;
        thief.after = 0;
        CHECK(slots_gate_try(&file, memory), ==, -EAGAIN);
        CHECK(open_descriptors(), ==, before + reused); /* the other file is still open */
        thief.after = 0;
        unsigned slot = take(&hold);
        CHECK(used(), ==, bit_of(slot));
        CHECK(os_is_locked(file.number, SLOTS_BYTE(slot)), ==, 1);
        CHECK(slots_dead(&file, memory, &geometry, SLOTS_NONE, &found), ==, 0);
        CHECK(slot_set_is_empty(&found), ==, true);
        CHECK(open_descriptors(), ==, before + 2 * reused);
        int gate = slots_gate_try(&file, memory);
        CHECK(gate, >=, 0);
        close(gate);
        if (reused) {
            CHECK(os_memfd("log"), ==, gate);
        }
        slots_gate_leave(&file, gate);
        CHECK(open_descriptors(), ==, before + 3 * reused);
        os_unpin_lock(hold);
        unmake();
    }
    thief.after = -1;
}

int main(void) {
    thief.after = -1;
    process_begin();
    RUN(there_are_as_many_slots_as_the_pool_has_and_not_one_more);
    RUN(no_slot_has_the_byte_of_the_gate_or_of_another);
    RUN(a_slot_is_signed_for_people);
    RUN(the_lock_comes_before_the_word);
    RUN(a_used_slot_is_left_alone_even_if_nobody_has_its_lock);
    RUN(nobody_probes_his_own_slot);
    RUN(only_the_living_count_as_others);
    RUN(a_process_that_forks_and_dies_meanwhile_has_a_child_that_counts);
    RUN(exit_ends_the_lock);
    RUN(a_kill_ends_the_lock);
    RUN(a_stopped_process_is_alive);
    RUN(exec_ends_the_lock);
    RUN(closing_other_descriptors_does_not_end_it);
    RUN(a_forked_child_does_not_keep_it);
    RUN(a_slot_for_a_child_is_locked_as_long_as_its_descriptor);
    RUN(the_gate_lets_one_in);
    RUN(a_lock_of_another_file_is_no_lock);
    return check_end();
}
