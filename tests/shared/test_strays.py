"""What a parent logs when a forked child has no part in a shared pool."""

import logging
import os
import resource
import subprocess
import sys

import pytest

import blockpool as bp


def fork():
    """Fork a child that ends at once; return when it has."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def test_a_fork_without_a_place_is_logged(caplog):
    """A child for which there is no place makes a warning in the parent, which says why and what to do."""
    pool = bp.Pool.create(64, 8, processes=1)
    with caplog.at_level(logging.WARNING, "blockpool"):
        fork()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("blockpool", logging.WARNING)
    assert record.getMessage().startswith("a forked child has no part in the pool: 1 processes, as many as it was")
    assert "processes=" in record.getMessage()
    pool.check()


def test_a_fork_without_a_descriptor_is_logged(caplog, pool_name):
    """A child for which there is no file descriptor makes a warning that names the pool and the limit."""
    pool = bp.Pool.create(64, 8, name=pool_name)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with caplog.at_level(logging.WARNING, "blockpool"):
            fork()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert f"no part in pool {pool_name!r}: when it was forked, Too many open files" in caplog.text
    pool.check()


def test_what_is_not_logged(caplog):
    """A child that has a part, or is not meant to have one, makes no warning; nor do private and closed pools."""
    shared = bp.Pool.create(64, 8, processes=4)
    detached = bp.Pool.create(64, 8, processes=1, on_fork="detach")
    private = bp.Pool(64, 8)
    bp.Pool.create(64, 8, processes=1).close()
    with caplog.at_level(logging.DEBUG, "blockpool"):
        fork()
        fork()
    assert caplog.records == []
    assert (shared.recover().processes, detached.recover().processes) == (2, 0)
    private.check()


def test_each_child_is_logged_once(caplog):
    """Two forks without a place make two warnings."""
    pool = bp.Pool.create(64, 8, processes=1)
    with caplog.at_level(logging.WARNING, "blockpool"):
        fork()
        fork()
    assert len(caplog.records) == 2
    pool.check()


def test_the_log_is_free_again_when_a_fork_is_logged(run_program):
    """A handler of another thread may ask for loggers while the fork is logged: neither waits for the other."""
    run_program("shared/fork_while_a_handler_logs.py")


@pytest.mark.parametrize("late", [False, True], ids=["not imported", "imported later"])
def test_a_program_that_does_not_log_gets_a_line(late):
    """Without `logging`, or if its lock for the fork is still held, the warning is a line on stderr."""
    code = f"""
import os, sys
import blockpool as bp
pool = bp.Pool.create(64, 8, processes=1)
assert "logging" not in sys.modules
if {late}:
    import logging
before = set(sys.modules)
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
assert set(sys.modules) == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.startswith("blockpool: a forked child has no part in the pool: 1 processes, as many as it was")
    assert done.stderr.count("\n") == 1
