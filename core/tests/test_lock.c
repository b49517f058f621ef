/* Tests of lock.c: locks of descriptions, and the page that keeps them. */
#include "process.h"

#include "os/lock.h"

static struct os_descriptor first;
static int second;

static void make(void) {
    int number = os_memfd("blockpool-test");
    CHECK(os_reserve(number, 4096, 4096, NULL), ==, 0);
    CHECK(os_keep(number, &first), ==, 0);
    second = os_reopen(&first);
    CHECK(second, >=, 0);
}

static void unmake(void) {
    os_close_kept(&first);
    os_close(second);
}

static void a_lock_excludes_other_descriptions_alone(void) {
    make();
    CHECK(os_lock(first.number, 3), ==, 0);
    CHECK(os_lock(first.number, 3), ==, 0); /* its own */
    CHECK(os_is_locked(first.number, 3), ==, 0);
    CHECK(os_lock(second, 3), ==, -EAGAIN);
    CHECK(os_is_locked(second, 3), ==, 1);
    CHECK(os_lock(second, 4), ==, 0); /* another byte */
    CHECK(os_is_locked(first.number, 4), ==, 1);
    CHECK(os_unlock(first.number, 3), ==, 0);
    CHECK(os_is_locked(second, 3), ==, 0);
    CHECK(os_lock(second, 3), ==, 0);
    unmake();
}

static void a_lock_ends_with_the_last_descriptor(void) {
    make();
    CHECK(os_lock(first.number, 3), ==, 0);
    int copy = dup(first.number);
    os_close_kept(&first);
    CHECK(os_is_locked(second, 3), ==, 1);
    os_close(copy);
    CHECK(os_is_locked(second, 3), ==, 0);
    unmake();
}

static void a_pinned_lock_outlives_its_descriptor(void) {
    void *pin;
    make();
    CHECK(os_lock(first.number, 3), ==, 0);
    CHECK(os_pin_lock(first.number, &pin), ==, 0);
    os_close_kept(&first);
    CHECK(os_is_locked(second, 3), ==, 1);
    os_unpin_lock(pin);
    CHECK(os_is_locked(second, 3), ==, 0);
    unmake();
}

static void a_shared_lock_alone_excludes_the_same(void) {
    int one = os_shm_directory(), two = os_shm_directory();
    uint64_t byte = OS_LOCK_BYTES - (uint64_t)getpid(); /* no other test's */
    CHECK(os_lock_shared_alone(one, byte), ==, 0);
    CHECK(os_lock_shared_alone(one, byte), ==, 0); /* its own */
    CHECK(os_lock_shared_alone(two, byte), ==, -EAGAIN);
    CHECK(os_is_locked(one, byte), ==, 0); /* the one that failed has let go */
    CHECK(os_lock_shared_alone(two, byte - 1), ==, 0);
    CHECK(os_unlock(one, byte), ==, 0);
    CHECK(os_lock_shared_alone(two, byte), ==, 0);
    os_close(two);
    CHECK(os_lock_shared_alone(one, byte), ==, 0);
    os_close(one);
    CHECK(os_lock_shared_alone(-1, byte), ==, -EBADF);
}

static void hold_what_was_inherited(void) {
    os_close_kept(&first);
    reach(1);
    await(2);
}

static void a_forked_child_does_not_inherit_the_pin(void) {
    void *pin;
    make();
    CHECK(os_lock(first.number, 3), ==, 0);
    CHECK(os_pin_lock(first.number, &pin), ==, 0);
    pid_t child = start(hold_what_was_inherited);
    await(1);
    os_close_kept(&first);
    CHECK(os_is_locked(second, 3), ==, 1);
    os_unpin_lock(pin);
    CHECK(os_is_locked(second, 3), ==, 0); /* though the child lives */
    reach(2);
    CHECK(ended(child), ==, 0);
    unmake();
}

static void an_error_is_no_lock(void) {
    CHECK(os_lock(-1, 0), ==, -EBADF);
    CHECK(os_unlock(-1, 0), ==, -EBADF);
    CHECK(os_is_locked(-1, 0), ==, -EBADF);
    void *pin;
    CHECK(os_pin_lock(-1, &pin), ==, -EBADF);
}

int main(void) {
    process_begin();
    RUN(a_lock_excludes_other_descriptions_alone);
    RUN(a_lock_ends_with_the_last_descriptor);
    RUN(a_pinned_lock_outlives_its_descriptor);
    RUN(a_shared_lock_alone_excludes_the_same);
    RUN(a_forked_child_does_not_inherit_the_pin);
    RUN(an_error_is_no_lock);
    return check_end();
}
