"""Forks while a program does other things: pools that come and go, locks, signals, destructors, full tables."""

import os
import pickle
import subprocess
import sys

import pytest

import blockpool as bp


def test_a_child_inherits_no_lock_and_no_pool_that_comes_or_goes(run_program, pool_name):
    """A child forked beside threads that create and close pools has none of their locks or pools, and can attach."""
    run_program("shared/forks_beside_others.py", "find_nothing_inherited", pool_name, timeout=300)


def test_children_do_not_keep_the_memory_of_pools_that_come_and_go(run_program):
    """Children that are forked while another thread makes and drops large pools do not keep the memory of these."""
    run_program("shared/forks_beside_others.py", "keep_no_memory", timeout=300)


def test_a_destructor_under_a_lock_that_fork_takes(run_program):
    """A thread may drop blocks while it holds a lock that a fork hook registered before blockpool's takes."""
    run_program("shared/fork_hooks.py", "drop_under_a_lock", timeout=300)


@pytest.mark.parametrize("first", ["async", "debug"])
def test_forks_beside_the_locks_of_the_package(run_program, first):
    """No fork waits for threads that hold the package's locks one inside the other, and the child can use them all."""
    run_program("shared/fork_hooks.py", "hold_the_locks_of_the_package", first, timeout=300)


def test_what_a_child_drops_before_its_hooks(run_program):
    """A child drops a block that only another thread of its parent had, though a third one held the lock for that."""
    run_program("shared/fork_hooks.py", "drop_before_the_hooks", timeout=300)


def test_ctrl_c_in_the_middle_of_forks(run_program):
    """An exception that a signal handler raises anywhere in a fork leaves nothing locked in parent or child."""
    run_program("shared/forks_and_signals.py", "interrupt", timeout=300)


def test_a_fork_from_a_signal_handler_within_a_fork(run_program):
    """A fork from a signal handler during another fork uses up no slots, and the pool stays usable."""
    run_program("shared/forks_and_signals.py", "nest", timeout=300)


def test_a_fork_without_a_free_descriptor(run_program):
    """A child forked without a free file descriptor has no part in the pool, says why, and touches nothing in it."""
    run_program("shared/children_without_a_part.py", "lack_a_descriptor")


def test_threads_that_attach_one_pool_at_once_are_one_membership(run_program, shared):
    """Threads that attach one pool at the same time take one slot for their process and get the same mapping."""
    run_program("shared/forks_beside_others.py", "attach_in_threads", shared.name, timeout=300)


def test_sixty_forked_workers_and_places_for_forty_six(run_program):
    """Of sixty forked workers 46 can use the pool; the others get TooManyProcesses at their first call."""
    told = run_program("shared/forks_beside_others.py", "fork_sixty_workers")
    assert told == "46 14\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_that_crash(run_program, method):
    """What workers hold comes back, however they are started and however they die, and the others go on."""
    run_program("shared/crash_in_workers.py", method)


def test_subprocesses_with_a_function_before_exec(shared):
    """A program started with a preexec_fn that used the pool holds nothing of it."""
    block = shared.allocate()

    def use():
        shared.allocate().free()
        assert os.getpid() in shared.runs()[0].holders

    for _ in range(60):
        subprocess.run([sys.executable, "-c", ""], preexec_fn=use, check=True)
    shared.recover()
    assert shared.runs()[0].holders == (os.getpid(),)
    assert shared.stats().processes == 1
    block.free()


@pytest.mark.parametrize("kind", ["private", "shared"])
def test_a_fork_within_a_wait(run_program, kind):
    """When a signal handler forks while the thread waits for a block, parent and child go on waiting, and get one."""
    run_program("shared/forks_and_signals.py", "fork_within_a_wait", kind)


def test_a_fork_without_a_part_within_a_wait(run_program):
    """When the thread forks inside a wait, under on_fork="detach", the child's wait ends with PoolClosed."""
    run_program("shared/forks_and_signals.py", "fork_without_a_part_within_a_wait")


@pytest.mark.parametrize("on_fork", ["share", "detach"])
@pytest.mark.parametrize("named", [True, False])
def test_a_fork_in_the_midst_of_create(run_program, pool_name, on_fork, named):
    """When a signal handler forks inside create, the child makes its own pool, unless it has a name that is taken.

    The files that the child opens stay as they are, though they have the numbers of its parent's descriptors.
    """
    run_program("shared/forks_and_signals.py", "fork_within_create", pool_name if named else "", on_fork)


def test_a_fork_is_not_held_up_by_a_stopped_process(run_program, pool_name):
    """A child has its part at once while a stopped process holds the gate of the pool."""
    run_program("shared/forks_beside_others.py", "fork_beside_a_stopped_process", pool_name)


@pytest.mark.parametrize("what", ["pool", "block", "handle", "ticket"])
@pytest.mark.parametrize("how", ["share", "detach"])
def test_on_fork_travels_with_what_is_pickled(run_program, how, what):
    """A process that gets a pool by a pickled pool, block, handle or ticket forks as the pool was created to."""
    pool = bp.Pool.create(64, 4, on_fork=how)
    block = pool.allocate()
    sent = {"pool": pool, "block": block, "handle": block.handle, "ticket": block.share()}[what]
    run_program("shared/fork_what_came.py", how, pickle.dumps(sent).hex())


def test_on_fork_of_a_pool_that_the_process_has_already(pool_name):
    """Attaching with another on_fork than the process has is a ValueError and changes nothing; without one it stays."""
    pool = bp.Pool.create(64, 4, name=pool_name, on_fork="detach")
    for attach in (
        lambda: bp.Pool.attach(pool_name, on_fork="share"),
        lambda: bp.Pool.create(64, 4, name=pool_name, exist_ok=True, on_fork="share"),
    ):
        with pytest.raises(ValueError, match=f"{pool_name}.*already.*'detach'.*'share'"):
            attach()
    for again in (
        bp.Pool.attach(pool_name),
        bp.Pool.attach(pool_name, on_fork="detach"),
        bp.Pool.create(64, 4, name=pool_name, exist_ok=True),
    ):
        assert again.address == pool.address
    with pytest.raises(ValueError, match="on_fork"):
        bp.Pool.attach(pool_name, on_fork="copy")
