"""Clusters for the tests of blockpool.dask, and the tasks that run on them; workers import this module."""

import gc
import warnings
from contextlib import contextmanager

import dask
import numpy as np
from distributed import Client, LocalCluster

import blockpool as bp
import blockpool.dask
from blockpool._core import is_in_a_pool, pool_of
from blockpool.dask._plugin import pool_name
from waits import await_true

N = 1 << 17  # elements of an array of 1 MiB

_SETTINGS = {
    # A cluster gives up a nanny whose worker, some time after it was lost, is away once more, as in a restart.
    "distributed.deploy.lost-worker-timeout": "10 hours",
    # The scheduler keeps the last messages to each worker, and so what is in them.
    "distributed.admin.low-level-log-length": 0,
}

_OPTIONS = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}


class Pair:
    """A cluster of two workers, a client, and what the tests ask of both."""

    def __init__(self, client, nbytes=64 << 20):
        self.client = client
        self.pool_name = pool_name(client.scheduler_info()["id"], nbytes)

    @property
    def workers(self):
        """The workers' addresses. The client has a list of its own, which a refresh in the background empties."""
        return sorted(self.client.cluster.scheduler.workers)

    def call(self, worker, function, *arguments):
        """Run a task on worker 0 or 1; return the future."""
        return self.client.submit(function, *arguments, workers=self.workers[worker], pure=False)

    def counts(self):
        """Return the workers' counts, added up: by reference, copied, bytes copied, refused."""
        found = self.client.run(counts).values()
        return [sum(column) for column in zip(*found, strict=True)]

    def left(self):
        """Return how many blocks and tickets the pool has in use."""
        self.client.run(gc.collect)
        return max(self.client.run(in_use).values())

    def wait_until_empty(self):
        """Wait until nothing is left in the pool."""
        await_true(lambda: self.left() == (0, 0))


@contextmanager
def cluster(**options):
    """Make a cluster of two workers, and a client of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            dask.config.set(_SETTINGS),
            LocalCluster(**{**_OPTIONS, **options}) as made,
            Client(made) as client,
        ):
            client.wait_for_workers(2)
            yield Pair(client)


def exchange(pair):
    """Have worker 1 read an array of worker 0 in the pool."""
    array = pair.call(0, ones)
    assert pair.call(1, total, array).result() == N
    assert pair.call(1, lies_in_pool, array).result()


def pools_named(name):
    """Return how many pools have a name."""
    return sum(found.name == name for found in bp.pools())


# --- what runs on workers ---


def counts():
    """Return what this process sent: by reference, copied, bytes copied, refused."""
    found = blockpool.dask.stats()
    return found.shared, found.copied, found.copied_bytes, found.refused


def in_use():
    """Return the pool's blocks and tickets in use."""
    pool = blockpool.dask.pool()
    pool.recover()  # what dead workers held
    found = pool.stats()
    return found.allocated, found.tickets


def ones(n=N):
    """Make an array."""
    return np.ones(n)


def ones_in_pool(n=N):
    """Make an array in the pool."""
    made = blockpool.dask.pool().empty(n)
    made[:] = 1.0
    return made


def itself(x):
    """Return what was given."""
    return x


def total(array):
    """Return the sum."""
    return float(array.sum())


def lies_in_pool(array):
    """Return whether an array lies in the worker's pool."""
    found = pool_of(array)
    return found is not None and found.name == blockpool.dask.pool().name


def made_in_pool(array):
    """Return whether NumPy took an array's memory from a shared pool."""
    return array.flags.owndata and is_in_a_pool(array.__array_interface__["data"][0], array.nbytes)


def writeable(array):
    """Return whether an array can be written to."""
    return array.flags.writeable


def write(array):
    """Write to an array."""
    array[0] = 5


def total_of_block(block):
    """Return the sum of a block's bytes, and give the block back."""
    with block:
        return int(np.asarray(block).sum())


def sum_of_block(block):
    """Return the sum of a block's bytes."""
    return sum(bytes(block.buf))


def name_of_pool():
    """Return the name of this worker's pool."""
    return blockpool.dask.pool().name


def nbytes_of_pool():
    """Return the size of this worker's pool in bytes."""
    return blockpool.dask.pool().nbytes


def ones_in_pool_or_not(n=N):
    """Make an array in the pool, if this worker has one with room."""
    pool = blockpool.dask.pool()
    if pool is None:
        return np.ones(n)
    try:
        made = pool.empty(n)
    except bp.PoolExhausted:
        return np.ones(n)
    made[:] = 1.0
    return made


def sum_of_all(*arrays):
    """Return the sum of all elements."""
    return sum(map(total, arrays))
