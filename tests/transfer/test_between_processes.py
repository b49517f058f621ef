"""Arrays travel through a pool between processes, however these are started and whatever carries the messages."""

import dataclasses
import multiprocessing

import numpy as np
import pytest

import blockpool.multiprocessing as carrier
from transfers import carry

PROGRAM = "transfer/between_processes.py"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_between_processes(run_program, method):
    """By each start method, pipes, queues, pools and executors carry arrays by the pool, and every block returns."""
    said = run_program(PROGRAM, "everything", method, timeout=600)
    assert said.split() == ["9", "1", "0", "0", "0"]


def test_arguments_of_a_process(run_program):
    """The arguments that a spawned process is started with go through the pool."""
    said = run_program(PROGRAM, "arguments", timeout=600)
    assert said.split() == ["100000.0", "_Lease", "1"]


def test_through_a_manager(run_program):
    """An array goes through the pool to a manager's dict and back."""
    said = run_program(PROGRAM, "manager", timeout=600)
    assert said.split() == ["500000", "_Lease"]


@pytest.mark.parametrize("library", ["loky", "joblib"])
def test_loky_and_joblib(run_program, library):
    """Tasks and results of loky's workers go through the pool, whether loky is used directly or by joblib."""
    said = run_program(PROGRAM, f"with_{library}", timeout=600)
    assert said.split() == ["4", "0", "0"]


def test_a_worker_that_declined_is_not_installed(run_program):
    """A worker that called uninstall sends its results without the pool, though its tasks came through one."""
    said = run_program(PROGRAM, "declined", timeout=600)
    assert said.split()[0] == "_Lease"
    assert said.split()[1] != "_Lease"


def test_a_forked_child_counts_from_zero(carrying):
    """In a forked child all counts of carrier.stats() begin at zero."""
    carrying("16KiB", 256)
    carry(np.ones(100_000))
    assert carrier.stats().copied
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    child = context.Process(target=lambda: there.send(dataclasses.asdict(carrier.stats())))
    child.start()
    assert set(here.recv().values()) == {0}
    child.join()


def test_without_numpy(run_program):
    """Out-of-band buffers go through the pool also where NumPy cannot be imported."""
    said = run_program("transfer/without_numpy.py")
    assert said.split() == ["100000", "1"]
