"""Shared pools in programs of several processes: start methods, queues, executors, threads and forks."""

import os
import subprocess

import pytest

import blockpool as bp
from programs import interpreter

METHODS = ["fork", "spawn", "forkserver"]

# --- multiprocessing ---


@pytest.mark.parametrize(
    ("method", "channel"),
    [(method, "Queue") for method in METHODS] + [("fork", "Pipe"), ("spawn", "SimpleQueue"), ("fork", "JoinableQueue")],
)
def test_every_block_put_is_delivered(run_program, pool_name, method, channel):
    """A thousand blocks put into a queue or pipe inside `with` all arrive with their bytes, and nothing is left."""
    named = channel != "SimpleQueue"
    run_program("shared/put_blocks.py", method, channel, pool_name if named else "")


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_is_reached_from_children(run_program, method):
    """A child gets a pool without a name by the pool, a block, a ticket or a handle, and can allocate in it."""
    run_program("shared/pass_a_pool_to_a_child.py", method)


@pytest.mark.parametrize("method", METHODS)
def test_an_executor(run_program, pool_name, method):
    """ProcessPoolExecutor takes and returns blocks, and its results outlive the workers."""
    run_program("shared/use_an_executor.py", method, pool_name)


def test_a_queue_at_the_end_of_the_program(run_program, pool_name, file_of):
    """Blocks put into a queue just before the program ends are delivered, and nothing is left behind."""
    run_program("shared/queue_at_the_end.py", pool_name)
    assert not file_of(pool_name).exists()


def test_a_queue_reference_without_a_name(run_program):
    """A block whose only reference is in a queue is released at the end of `with`; pickling it says so.

    This is a documented limit.
    """
    run_program("shared/queue_the_only_reference.py")


def test_subprocesses(pool_name):
    """A subprocess redeems a ticket from its command line or stdin, whether or not the pool has a name."""
    for name in (pool_name, None):
        pool = bp.Pool.create(64, 8, name=name)
        blocks = [pool.allocate(nbytes=n) for n in (3, 100)]
        for block in blocks:
            block.buf[:3] = b"abc"
        done = subprocess.run(
            interpreter("shared/redeem_texts.py", str(blocks[0].share())),
            input=f"{blocks[1].share()}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.stdout, done.stderr) == (f"{name} 3\n{name} 100\n", "")
        assert [bytes(block.buf[:3]) for block in blocks] == [b"ABC"] * 2
        for block in blocks:
            block.free()
        assert (pool.stats().processes, pool.check().allocated) == (1, 0)


def test_an_exec_ends_the_membership(run_program):
    """What a process holds is free once the process has replaced itself with another program."""
    run_program("shared/parent_and_child.py", "become_another_program")


def test_threads_in_several_processes(shared, peers):
    """Threads of three processes that allocate, pass on and free blocks never see each other's bytes."""
    several = [peers() for _ in range(2)]
    for each in several:
        each.start(f"from shared.peer_work import find_foreign_bytes; find_foreign_bytes({shared.name!r})")
    for _ in range(150):
        with shared.allocate(blocks=2, timeout=30) as block:
            block.buf[:] = b"m" * 8192
            assert bytes(block.buf) == b"m" * 8192
    for each in several:
        assert each.answer() == []
    assert shared.check().allocated == 0


# --- fork ---


@pytest.mark.parametrize("first", ["parent", "child"])
@pytest.mark.parametrize("end", ["free", "release", "drop"])
def test_parent_and_child_have_a_share_each(run_program, first, end):
    """When parent or child ends its use of a block, the other's data stays; the memory is free after both have."""
    run_program("shared/parent_and_child.py", "share_a_block", first, end)


def test_many_blocks_and_views_across_a_fork(run_program):
    """Parent and children drop blocks, runs, views, arrays, twins and second references each in its own order."""
    run_program("shared/parent_and_child.py", "share_many_things", timeout=300)


def test_a_fork_beside_threads_that_allocate_and_drop(run_program):
    """Forks in the middle of other threads' calls leave parent and child whole, even in a pool of a million blocks."""
    run_program("shared/parent_and_child.py", "fork_beside_threads", timeout=300)


def test_a_fork_while_others_wait_attach_and_leave(run_program, pool_name):
    """A child forked while other threads wait, create and close pools inherits none of their waits and locks."""
    run_program("shared/parent_and_child.py", "fork_beside_waiters", pool_name, timeout=300)


def test_forks_of_forks(run_program):
    """Each of six generations of forks holds the blocks of all generations before it."""
    run_program("shared/parent_and_child.py", "fork_generations")


def test_a_parent_killed_right_after_the_fork(run_program):
    """A child whose parent is killed right after the fork keeps its share; only the parent's share comes back."""
    run_program("shared/parent_and_child.py", "kill_the_parent")


def test_a_child_that_exits_at_once(run_program):
    """Children that exit right after the fork cost nothing that recover does not bring back."""
    run_program("shared/parent_and_child.py", "exit_at_once")


def test_a_fork_that_fails(run_program):
    """When fork fails, the slot taken for the child comes back and the parent goes on."""
    if os.geteuid() != 0:
        pytest.skip("to become a user without other processes takes root")
    run_program("shared/parent_and_child.py", "fail_to_fork")


@pytest.mark.parametrize("how", ["create", "attach"])
def test_detached_children(run_program, pool_name, how):
    """A child under on_fork="detach" gets PoolClosed or a fault, never the memory; it can attach the pool itself."""
    run_program("shared/children_without_a_part.py", "detach", pool_name, how)


@pytest.mark.parametrize("forks", [1, 2])
def test_a_fault_is_explained_once(run_program, forks):
    """When a child faults on memory it has no part in, blockpool and faulthandler each report it exactly once."""
    run_program("shared/children_without_a_part.py", "fault_once", str(forks))


def test_a_fork_without_python(run_program, pool_name):
    """A child of a bare clone() gets PoolClosed, its destructors do nothing, and it can attach the pool itself."""
    run_program("shared/children_without_a_part.py", "clone", pool_name)


def test_a_fork_by_other_code(run_program):
    """A child of a fork() called by C code holds what its parent holds, like any other child."""
    run_program("shared/parent_and_child.py", "fork_in_c")


def test_a_process_forked_without_python_forks(run_program):
    """The children of a process that came from a bare clone() get PoolClosed too."""
    run_program("shared/children_without_a_part.py", "fork_a_clone")


@pytest.mark.parametrize("early", [True, False], ids=["before import", "after import"])
@pytest.mark.parametrize("hook", ["before", "after_in_parent", "after_in_child"])
def test_drops_in_fork_hooks(run_program, hook, early):
    """When a fork hook drops blocks, each side keeps what it still has and nothing is lost."""
    run_program("shared/fork_hooks.py", "drop", hook, "early" if early else "late")


def test_allocating_in_fork_hooks(run_program):
    """Parent and child share what a hook allocates before the fork; hooks after it can allocate on both sides."""
    run_program("shared/fork_hooks.py", "allocate")


def test_allocating_in_a_hook_inside_the_fork(run_program):
    """A child has its share of a block allocated in a hook that runs between blockpool's own hooks and the fork."""
    run_program("shared/fork_hooks.py", "allocate_inside")


def test_daemons(run_program, pool_name, file_of):
    """A program that forks twice and ends, as daemons do, leaves the pool to its grandchild."""
    out = run_program("shared/parent_and_child.py", "become_a_daemon", pool_name)
    assert out.split() == ["0", "1"]
    assert not file_of(pool_name).exists()


def test_a_view_is_taken_while_a_free_waits_for_a_fork(run_program):
    """While a free waits for another thread's fork, a view of the same block can be taken."""
    out = run_program("shared/fork_hooks.py", "view_beside_a_free")
    assert out == "done\n"
