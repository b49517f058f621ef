"""As many processes as a pool was created for, and those beyond: no byte is lost, and none reads zeros."""

import os

import pytest

import blockpool as bp

# --- how many may attach ---


@pytest.mark.parametrize("processes", [1, 47, 64, 65, 256, 257, 4096])
def test_any_number_of_places(processes):
    """A pool can be for one process, or for any number up to 4,096, and works the same."""
    with bp.Pool.create(64, 70, processes=processes) as pool:
        block = pool.allocate(blocks=3)
        again = bp.redeem(block.share())
        assert (pool.stats().processes, pool.runs()[0].holders) == (1, (os.getpid(),))
        again.release()
        block.free()
        assert pool.check() == bp.Audit(blocks=70, allocated=0, runs=0)


@pytest.mark.parametrize("processes", [0, -1, 4097, 2**16, 2**64, -(2**64)])
def test_numbers_out_of_range(processes):
    """A number of processes that no pool can be for is a ValueError that tells the number and what is allowed."""
    with pytest.raises(ValueError, match=f"processes must be .*1.*, not {processes}$"):
        bp.Pool.create(64, 8, processes=processes)


@pytest.mark.parametrize("processes", ["47", 47.0, 47.5, None, b"47", [47], float("inf")], ids=repr)
def test_what_is_no_number_of_processes(processes):
    """What is no int is a TypeError that names the argument, its type and its value."""
    with pytest.raises(TypeError, match=f"processes must be an int, not {type(processes).__name__}"):
        bp.Pool.create(64, 8, processes=processes)


def test_a_bool_is_an_int():
    """As everywhere in Python, True is 1 and False is 0."""
    bp.Pool.create(64, 8, processes=True).close()
    with pytest.raises(ValueError, match="processes must be at least 1"):
        bp.Pool.create(64, 8, processes=False)


def test_a_private_pool_is_for_one_process():
    """The constructor of private pools takes no `processes`; the error names Pool.create."""
    with pytest.raises(TypeError, match=r"processes.*Pool\.create"):
        bp.Pool(64, 8, processes=47)


def test_an_existing_pool_keeps_its_number(peers, pool_name):
    """With exist_ok, another number of processes attaches the pool all the same, and changes nothing about it."""
    pool = bp.Pool.create(64, 8, name=pool_name, processes=2)
    block = pool.allocate()
    second, third = peers(), peers()
    attach = f"pool = bp.Pool.create(64, 8, name={pool_name!r}, exist_ok=True, processes=4096)"
    second(attach)
    assert second("pool.stats().allocated, pool.stats().processes") == (1, 2)
    with pytest.raises(bp.TooManyProcesses, match="2 processes attached, as many as it was created for; let one leave"):
        third(attach)
    second("pool.close()")
    third(attach)
    block.free()


def test_places_of_the_dead(peers, pool_name):
    """Attaching finds the places of killed processes, again and again, and what these held comes back."""
    pool = bp.Pool.create(64, 8, name=pool_name, processes=2)
    for _ in range(5):
        other = peers()
        other(f"pool = bp.Pool.attach({pool_name!r}); kept = pool.allocate_many(8)")
        other.kill()
    assert pool.allocate(blocks=8, timeout=60).index == 0
    pool.recover()
    assert pool.stats().processes == 1
    assert pool.check().allocated == 0


# --- fork ---

FAULTS = "read", "read_all", "compute", "write", "write_array"
CALLS = "pass_to_the_kernel", "call", "attach", "close", "leave_by_exit", "fork_again"


@pytest.mark.parametrize("on_fork", ["share", "detach"])
@pytest.mark.parametrize("use", [*FAULTS, *CALLS])
def test_a_child_without_a_place(run_program, pool_name, on_fork, use):
    """A child that has no part in the pool never reads zeros: what it does with the pool is an error, or ends it.

    Touching inherited memory is SIGSEGV, with one line on stderr that says why; a call says what is wrong; closing the
    pool and ending are no errors. Its parent notices nothing of it.
    """
    pytest.importorskip("numpy")
    run_program("shared/beyond_the_last_place.py", pool_name, on_fork, use)


def test_an_argument_that_forks(run_program):
    """If the number of blocks forks when it is asked for, a child without a part learns that, and does not crash."""
    run_program(
        """
        import os

        import blockpool as bp

        class Forks:
            def __index__(self):
                self.child = os.fork()
                return 9

        pool, number = bp.Pool.create(64, 8, processes=1, on_fork="detach"), Forks()
        try:
            pool.allocate(blocks=number)
        except (bp.PoolExhausted if number.child else bp.PoolClosed):
            pass
        if number.child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(number.child, 0)[1]) == 7
        assert pool.stats().failures == 1
        """
    )


def test_no_worker_computes_with_zeros(run_program):
    """Of more forked workers than there are places, those with a place get the right sum, and the others no sum."""
    pytest.importorskip("numpy")
    assert run_program("shared/crowd_of_workers.py", "without_places", "20", "8") == "7 right, 13 refused\n"


def test_three_hundred_workers(run_program):
    """Three hundred forked workers read their parent's array, and when a third of them was killed, nothing is lost."""
    pytest.importorskip("numpy")
    run_program("shared/crowd_of_workers.py", "read_and_be_killed", "300", "512", timeout=300)


def test_places_of_dead_children(run_program):
    """Forking finds the places of dead children, without any call of recover."""
    run_program("shared/crowd_of_workers.py", "use_places_again", "60", "3", timeout=300)
