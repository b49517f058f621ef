"""Clusters that are set up in other ways than by `install` with a client, with processes and without encryption."""

import os
import subprocess

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster, Scheduler
from distributed.security import Security

import blockpool.dask
import dask_clusters as on
from blockpool.dask import _plugin
from waits import await_true


def _security(folder):
    """Make a certificate, and the settings with which everything is encrypted."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    request = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2"
    subprocess.run(
        ["/usr/bin/env", *request.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return Security(
        require_encryption=True,
        tls_ca_file=str(certificate),
        **{
            f"tls_{role}_{what}": str(path)
            for role in ("client", "worker", "scheduler")
            for what, path in (("key", key), ("cert", certificate))
        },
    )


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory):
    """Two workers that preload blockpool, encrypt what they send, and may spill; their pool ends with them."""
    folder = tmp_path_factory.mktemp("preloaded")
    settings = {"blockpool.nbytes": "16MiB", "temporary-directory": str(folder)}
    options = {"preload": ["blockpool.dask"], "security": _security(folder), "memory_limit": "1GiB"}
    with dask.config.set(settings), on.cluster(**options) as made:
        (name,) = set(made.client.run(on.name_of_pool).values())
        yield made
        made.wait_until_empty()
    await_true(lambda: not on.pools_named(name))


def test_preloaded_workers_have_a_pool(preloaded):
    """``--preload blockpool.dask`` does without a client, with settings from Dask's configuration."""
    on.exchange(preloaded)
    assert set(preloaded.client.run(on.nbytes_of_pool).values()) == {16 << 20}


def test_encrypted_connections(preloaded):
    """With TLS between workers, arrays go through the pool as well."""
    assert all(address.startswith("tls://") for address in preloaded.workers)
    on.exchange(preloaded)


def test_data_of_the_pool_can_be_spilled(preloaded):
    """A worker that writes data to disk gives its memory back to the pool, and has the data when it is needed."""
    array = preloaded.call(0, on.ones)
    assert preloaded.call(1, on.lies_in_pool, array).result()
    assert preloaded.left()[0] > 0
    assert sum(preloaded.client.run(_spill).values()) >= 1
    preloaded.wait_until_empty()
    assert np.array_equal(array.result(), np.ones(on.N))
    assert preloaded.call(0, on.total, array).result() == on.N


def _spill(dask_worker):
    """Write everything to disk; return how many keys are there."""
    buffer = dask_worker.data
    while buffer.fast:
        assert buffer.evict() != -1
    return len(buffer.slow)


def test_workers_of_one_host_share_a_pool():
    """The first worker creates the pool of a host, the others attach it, and nothing else is left in /dev/shm."""
    name = f"dask-test-start-{os.getpid()}"
    with _plugin.shared_pool(name, 1 << 20) as first, _plugin.shared_pool(name, 1 << 20) as second:
        assert (first.name, first.nbytes) == (second.name, second.nbytes) == (name, 1 << 20)
    assert not [each for each in os.listdir("/dev/shm") if name in each]  # noqa: S108, PTH208 - where pools are


def test_workers_in_one_process_need_no_pool():
    """In a cluster without processes, objects are passed on as they are."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        blockpool.dask.install(client, nbytes="16MiB")
        made = on.Pair(client)
        assert blockpool.dask.pool() is None
        assert made.call(1, on.total, made.call(0, on.ones)).result() == on.N


def test_a_scheduler_cannot_be_preloaded():
    """The scheduler passes on what it does not load, and is refused."""
    coroutine = blockpool.dask.dask_setup(Scheduler.__new__(Scheduler))
    with pytest.raises(TypeError, match="Scheduler"):
        coroutine.send(None)
    coroutine.close()
