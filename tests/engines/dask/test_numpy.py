"""Tasks whose arrays NumPy takes from the pool: `install(client, numpy=True)`."""

import numpy as np
import pytest

import blockpool.dask
import dask_clusters as on
from waits import await_true


@pytest.fixture(scope="module")
def taking():
    """Two workers with two threads each, whose tasks take arrays from a pool, which is empty in the end."""
    with on.cluster(threads_per_worker=2) as made:
        blockpool.dask.install(made.client, nbytes="64MiB", numpy=True)
        yield made
        made.wait_until_empty()
    await_true(lambda: not on.pools_named(made.pool_name))


def test_what_tasks_make_is_sent_uncopied(taking):
    """A task's array lies in the pool without its doing, is sent without a copy, and read-only from then on."""
    before = taking.counts()
    arrays = [taking.call(0, on.ones) for _ in range(8)]
    assert all(x.result() for x in [taking.call(0, on.made_in_pool, array) for array in arrays])
    assert taking.call(0, on.writeable, arrays[0]).result()
    sums = [taking.call(1, on.total, array) for array in arrays]
    assert taking.client.gather(sums) == [on.N] * 8
    after = taking.counts()
    assert after[0] == before[0] + 8
    assert after[1] == before[1]
    for worker in (0, 1):
        assert not taking.call(worker, on.writeable, arrays[0]).result()
        failed = taking.call(worker, on.write, arrays[0])
        with pytest.raises(ValueError, match="read-only"):
            failed.result()
        del failed
    assert taking.call(1, on.total, arrays[0]).result() == on.N
    del arrays, sums
    taking.wait_until_empty()


_VIEWS = {
    "a slice": lambda x: x[1000:60_000],
    "every second, from behind": lambda x: x[::-2],
    "transposed": lambda x: x.reshape(256, 512).T,
    "turned in all directions": lambda x: x.reshape(64, 64, 32)[::-1, ::3, ::-2].transpose(2, 0, 1),
    "records": lambda x: x.view([("a", "<f8"), ("b", "<f8")])["b"],
    "Fortran order": lambda x: np.asfortranarray(x.reshape(256, 512)),
}


def _counted(n, kind):
    return _VIEWS[kind](np.arange(float(n)))


@pytest.mark.parametrize("kind", _VIEWS)
def test_views_arrive_as_they_were_sent(taking, kind):
    """A view of an array that NumPy made in the pool is sent by reference, and arrives as it was."""
    before = taking.counts()
    array = taking.call(0, _counted, on.N, kind)
    moved = taking.call(1, on.itself, array)
    assert np.array_equal(moved.result(), _counted(on.N, kind))
    after = taking.counts()
    assert after[0] > before[0]
    assert after[1] == before[1]
    del array, moved
    taking.wait_until_empty()


def test_a_receiver_keeps_what_the_sender_drops(taking):
    """When the sender forgets the array, and makes others, the receiver has it as it was."""
    array = taking.call(0, on.ones)
    moved = taking.call(1, on.itself, array)
    moved.result()
    del array
    others = [taking.call(0, np.zeros, on.N) for _ in range(40)]
    taking.client.gather([taking.call(0, on.total, other) for other in others])
    assert taking.call(1, on.total, moved).result() == on.N
    del moved, others
    taking.wait_until_empty()


def test_tasks_go_on_when_the_pool_is_full(taking):
    """Arrays that find no room are made elsewhere; results are the same."""
    arrays = [taking.call(0, on.ones, (8 << 20) // 8) for _ in range(12)]
    sums = [taking.call(1, on.total, array) for array in arrays]
    assert taking.client.gather(sums) == [1 << 20] * 12
    del arrays, sums
    taking.wait_until_empty()


def test_uninstall_ends_it(taking):
    """After `uninstall` tasks make arrays as without a pool; installed without `numpy`, they do as well."""
    array = taking.call(0, on.ones)
    assert taking.call(0, on.made_in_pool, array).result()
    blockpool.dask.uninstall(taking.client)
    try:
        assert not taking.call(0, on.made_in_pool, taking.call(0, on.ones)).result()
        assert taking.call(0, on.total, array).result() == on.N
        blockpool.dask.install(taking.client, nbytes="64MiB")
        assert not taking.call(0, on.made_in_pool, taking.call(0, on.ones)).result()
    finally:
        blockpool.dask.install(taking.client, nbytes="64MiB", numpy=True)
    assert taking.call(0, on.made_in_pool, taking.call(0, on.ones)).result()
    del array
    taking.wait_until_empty()
