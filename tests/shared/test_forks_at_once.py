"""Forks at the same time in several threads, and forks while another thread is at work in the pool."""

import pytest


@pytest.mark.parametrize(
    "modules", [[], ["blockpool.multiprocessing", "blockpool._async"]], ids=["core", "with submodules"]
)
def test_threads_that_fork_at_the_same_time(run_program, modules):
    """Children of two threads that fork at the same time have their part; nothing stays locked, no slot is lost."""
    said = run_program("shared/forks_beside_others.py", "fork_in_threads", *modules, timeout=300)
    assert said.split("\n")[:2] == ["[7] 80", "1"]


def test_a_child_of_a_thread_at_work_in_a_debug_pool(run_program):
    """A child forked beside a thread at work in a debug pool never finds that pool's bookkeeping locked."""
    said = run_program("shared/forks_beside_others.py", "fork_beside_debug_mode", timeout=300)
    assert said == ""
