"""Forks of a worker's process."""


def test_the_lock_is_free_in_a_child(run_program):
    """A child that is forked while a thread joins a pool can join one itself."""
    run_program("shared/fork_while_an_engine_locks.py", "dask")
