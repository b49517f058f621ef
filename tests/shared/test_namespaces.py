"""Containers: PID namespaces with a /proc of their own, of another namespace, or none; shared memory in common."""

import subprocess

import pytest

from programs import interpreter, run_quietly
from unsharing import unshare


@pytest.fixture
def run_apart(pool_name):
    """Run a case of programs/shared/namespaces.py as process 1 of namespaces; further options of unshare say which."""
    tried = subprocess.run([*unshare("--mount-proc"), "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no right to make namespaces: {tried.stderr.strip()}")

    def run(case, *options):
        run_quietly([*unshare(*options), *interpreter("shared/namespaces.py", case, pool_name)])

    return run


@pytest.mark.parametrize("options", [[], ["--mount-proc"]], ids=["proc-of-outside", "proc-of-its-own"])
def test_process_1(run_apart, options):
    """A pool works in a PID namespace, even if /proc shows the processes of the namespace outside."""
    run_apart("use_pools", *options)


def test_a_stranger_of_the_same_number(run_apart):
    """A process takes care not to lock another process's file when /proc shows that one under its own number.

    A process outside that attaches the pool meanwhile finds it in use.
    """
    run_apart("attach_beside_another_process_1", "--mount-proc")


def test_containers_that_share_memory(run_apart):
    """Processes of several PID namespaces see which of them are alive, and what a killed one held comes back."""
    run_apart("share_memory", "--mount-proc")


def test_without_proc(run_apart):
    """Without /proc, creating, attaching, redeeming and residency are an OSError that says that /proc is missing."""
    run_apart("lose_proc", "--mount")
