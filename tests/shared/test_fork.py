"""Forks of private pools: a child has a copy of the pool and its blocks; nothing it does reaches the parent."""

import pytest


def test_a_child_has_a_copy(run_program):
    """A child can read, free, allocate and write in its copy of the pool; the parent sees none of it."""
    run_program("shared/forks_of_a_private_pool.py", "use_the_copy")


def test_a_parent_goes_on_without_its_child(run_program):
    """A child does not see what its parent frees and writes after the fork."""
    run_program("shared/forks_of_a_private_pool.py", "use_the_original")


def test_a_grandchild(run_program):
    """Each of six generations of forks has its own copy of the pool."""
    run_program("shared/forks_of_a_private_pool.py", "fork_generations")


def test_a_fork_while_another_thread_waits(run_program):
    """A child forked while another thread waits can free, allocate and wait; the waiting thread is not in it."""
    run_program("shared/forks_of_a_private_pool.py", "fork_beside_a_waiter")


@pytest.mark.usefixtures("bookkeeping")  # the program looks there
def test_nobody_is_thought_to_wait_in_the_child(run_program):
    """A child's copy of the pool counts no waiting threads, so freeing there makes no needless system call."""
    run_program("shared/forks_of_a_private_pool.py", "count_waiters")


def test_forks_while_other_threads_allocate(run_program):
    """A child forked in the middle of other threads' calls can use its copy of the pool."""
    run_program("shared/forks_of_a_private_pool.py", "fork_beside_threads", timeout=300)


def test_multiprocessing_by_fork(run_program):
    """A multiprocessing.Process started by fork gets copies of the blocks and views that are its arguments."""
    run_program("shared/forks_of_a_private_pool.py", "start_a_process")


def test_a_child_that_ends_like_a_program(run_program):
    """A child that ends by the interpreter's exit, with live blocks and views, ends without an error."""
    run_program("shared/forks_of_a_private_pool.py", "end_like_a_program")


def test_the_callers_memory_in_a_child(run_program):
    """A pool over a caller's bytearray is copied into a child together with that bytearray."""
    run_program("shared/forks_of_a_private_pool.py", "copy_a_buffer")
