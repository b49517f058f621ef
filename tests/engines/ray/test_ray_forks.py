"""Forks of a process that uses `blockpool.ray`."""


def test_the_lock_is_free_in_a_child(run_program):
    """A child that is forked while a thread installs a pool can install one, and keeps nothing of its parent's."""
    run_program("shared/fork_while_an_engine_locks.py", "ray")
