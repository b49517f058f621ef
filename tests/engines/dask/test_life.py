"""Workers that join, die, are restarted and go; and pools, which end with their cluster."""

import os
import signal

import pytest

import blockpool as bp
import blockpool.dask
import dask_clusters as on
from waits import await_true


@pytest.fixture(scope="module")
def living():
    """Two workers whose pool is gone when they are, however they ended."""
    with on.cluster() as made:
        blockpool.dask.install(made.client, nbytes="64MiB")
        yield made
        for pid in made.client.run(os.getpid).values():
            os.kill(pid, signal.SIGKILL)
    await_true(lambda: not on.pools_named(made.pool_name))


def _wait_for_two_in_the_pool(living, but=()):
    """Wait until two workers are members, none of them a process of `but`."""

    def have_joined():
        if len(living.workers) != 2:
            return False
        try:
            found = living.client.run(_membership).values()
        except (OSError, KeyError):  # a worker that is going
            return False
        return all(member and pid not in but for pid, member in found)

    await_true(have_joined)


def _membership():
    return os.getpid(), blockpool.dask.pool() is not None


def test_a_killed_worker_is_replaced(living):
    """The nanny's new worker joins the pool; what the killed one held and had sent comes back."""
    arrays = [living.call(i, on.ones) for i in (0, 1)]
    both = living.client.submit(lambda *found: sum(map(on.total, found)), *arrays, pure=False)
    assert both.result() == 2 * on.N
    killed = living.client.run(os.getpid)[living.workers[0]]
    os.kill(killed, signal.SIGKILL)
    _wait_for_two_in_the_pool(living, but=(killed,))
    del arrays, both
    on.exchange(living)
    living.wait_until_empty()


def test_restarted_workers_join_again(living):
    """After Client.restart the new workers exchange through a pool."""
    before = set(living.client.run(os.getpid).values())
    living.client.restart()
    _wait_for_two_in_the_pool(living, but=before)
    on.exchange(living)
    living.wait_until_empty()


def test_a_worker_that_joins_later_is_a_member(living):
    """A worker that is started after `install` exchanges through the pool; retiring it moves its data there."""
    living.client.cluster.scale(3)
    living.client.wait_for_workers(3)
    await_true(lambda: all(member for _, member in living.client.run(_membership).values()))
    newest = max(living.client.cluster.scheduler.workers.items(), key=lambda item: item[1].name)[0]
    array = living.client.submit(on.ones, workers=[newest], pure=False)
    array.result()
    living.client.retire_workers([newest])
    living.client.cluster.scale(2)
    await_true(lambda: len(living.workers) == 2)
    assert living.client.submit(on.total, array, pure=False).result() == on.N
    assert living.client.submit(on.lies_in_pool, array, pure=False).result()
    del array
    living.wait_until_empty()


def test_uninstall_leaves_the_data(living):
    """After `uninstall` stored arrays are valid, others go Dask's way, and the pool ends with its last array."""
    array = living.call(0, on.ones)
    living.call(1, on.itself, array).result()
    blockpool.dask.uninstall(living.client)
    try:
        assert set(living.client.run(blockpool.dask.pool).values()) == {None}
        assert living.call(0, on.total, array).result() == on.N
        before = living.counts()
        other = living.call(0, on.ones)
        assert living.call(1, on.total, other).result() == on.N
        assert living.counts() == before
        del array, other
        await_true(lambda: not on.pools_named(living.pool_name))
        blockpool.dask.uninstall(living.client)  # once more does nothing
    finally:
        blockpool.dask.install(living.client, nbytes="64MiB")


def test_another_size_is_another_pool(living):
    """Installing again with another size replaces the pool, also while the old one has data."""
    array = living.call(0, on.ones)
    living.call(1, on.total, array).result()
    blockpool.dask.install(living.client, nbytes="32MiB")
    try:
        assert set(living.client.run(on.nbytes_of_pool).values()) == {32 << 20}
        assert living.call(1, on.total, array).result() == on.N
        on.exchange(living)
    finally:
        blockpool.dask.install(living.client, nbytes="64MiB")


def test_a_pool_of_the_programs_own(living):
    """A pool with a name can be used instead; it stays when it is no longer used."""
    with bp.Pool.create("64KiB", 512, name=f"dask-test-{os.getpid()}") as own:
        blockpool.dask.install(living.client, pool=own)
        try:
            array = living.call(0, on.ones)
            assert living.call(1, on.lies_in_pool, array).result()
            assert own.stats().allocated
            del array
            living.wait_until_empty()
        finally:
            blockpool.dask.install(living.client, nbytes="64MiB")
        assert on.pools_named(own.name) == 1


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (TypeError, {"pool": 7}),
        (ValueError, {"pool": bp.Pool.create("4KiB", 1)}),
        (bp.PoolNotFound, {"pool": "there-is-no-such-pool"}),
        (ValueError, {"nbytes": "lots"}),
        (ValueError, {"nbytes": 0}),
        (ValueError, {"threshold": -1}),
    ],
)
def test_bad_settings_are_refused(living, error, options):
    """What makes no sense raises, and workers go on, with a pool or without."""
    with pytest.raises(error):
        blockpool.dask.install(living.client, **options)
    array = living.call(0, on.ones)
    assert living.call(1, on.total, array).result() == on.N
    del array
    blockpool.dask.install(living.client, nbytes="64MiB")
