"""Dask workers of one host exchange arrays, columns and Arrow buffers through one pool.

>>> import blockpool.dask                                           # doctest: +SKIP
>>> client = distributed.Client("tcp://scheduler:8786")             # doctest: +SKIP
>>> blockpool.dask.install(client, nbytes="4GiB")                   # doctest: +SKIP

Workers of one host then pass references to memory that they share. Between hosts nothing changes. Without a client,
``dask worker --preload blockpool.dask`` does the same; the settings are Dask's ``blockpool.nbytes``,
``blockpool.threshold``, ``blockpool.readonly`` and ``blockpool.numpy`` (in the environment
``DASK_BLOCKPOOL__NBYTES="4GiB"``, and so on).
"""

from __future__ import annotations

import contextlib

from blockpool.dask import _versions  # noqa: F401 - before anything of dask is imported

# isort: split
import dask.config
from distributed import Client, Nanny, Worker

from blockpool._core import Pool
from blockpool.dask import _blocks as _blocks
from blockpool.dask import _member
from blockpool.dask._plugin import Exchange, Sweeping
from blockpool.multiprocessing import stats

__all__ = ["dask_setup", "install", "pool", "stats", "uninstall"]

DEFAULT_NBYTES = "1GiB"
DEFAULT_THRESHOLD = "64KiB"


def install(
    client: Client,
    nbytes: str | int = DEFAULT_NBYTES,
    *,
    threshold: str | int = DEFAULT_THRESHOLD,
    readonly: bool = True,
    pool: str | Pool | None = None,
    numpy: bool = False,
) -> None:
    """Have a cluster's workers exchange large data through one pool for each host.

    Holds for all workers, also those that join or are restarted later, until `uninstall`. Installing again replaces
    what was installed.

    Parameters
    ----------
    client : distributed.Client
        A client of the cluster.
    nbytes : int or str
        Size of each host's pool: bytes, or a string such as ``"4GiB"``. All of it is taken when the pool is made. While
        a pool is full, workers exchange as without it.
    threshold : int or str
        Size in bytes, or a string such as ``"64KiB"``. Smaller arrays and buffers travel as without a pool.
    readonly : bool
        Received arrays are read-only, and lie in the pool. With False each receiver gets a writeable copy.
    pool : str or Pool, optional
        A pool with a name, or its name, to be used instead of one for each cluster and host. Every host needs one with
        that name.
    numpy : bool
        NumPy takes the arrays that tasks make from the pool: those of at least half a block (32 KiB in a pool of the
        cluster's own), as long as there is room. They are then sent without being copied, and are read-only from then
        on.

    Raises
    ------
    TypeError, ValueError
        If a size or the pool is none, or `client` is not a client that waits for answers; with `numpy`, if the pool is
        in debug mode, or aligned to less than 16 bytes.
    ImportError
        With `numpy`, if a worker cannot import NumPy.
    PoolExhausted
        If a host has not enough shared memory.
    PoolNotFound
        If a host has no pool with the given name.
    """
    _require_client(client)
    if isinstance(pool, Pool):
        if pool.name is None:
            raise ValueError("the pool has no name, by which workers could find it; make it with Pool.create(name=...)")
        pool = pool.name
    elif not (pool is None or isinstance(pool, str)):
        raise TypeError(f"pool must be a blockpool.Pool or the name of one, not {type(pool).__name__}")
    plugin = Exchange(nbytes, threshold, pool, readonly=readonly, numpy=numpy)
    try:
        client.register_plugin(plugin)
    except BaseException:
        uninstall(client)
        raise
    client.register_plugin(Sweeping())
    client.run(_reconnect)


def _require_client(client: Client) -> None:
    if not isinstance(client, Client):
        raise TypeError(
            f"client must be a distributed.Client, such as Client(cluster) or Client('tcp://scheduler:8786'), "
            f"not {type(client).__name__}"
        )
    if client.asynchronous:
        raise ValueError(
            "the client is asynchronous, so its calls return before they have an effect; "
            "pass a distributed.Client without asynchronous=True, from another thread than that of its event loop"
        )


def _reconnect(dask_worker: Worker) -> None:
    """Close idle connections: what they know of the other side is from before it joined the pool."""
    dask_worker.rpc.collect()


def uninstall(client: Client) -> None:
    """Have a cluster's workers exchange as Dask does. Their pools end when nothing is left in them.

    Does nothing if nothing is installed.

    Parameters
    ----------
    client : distributed.Client
        A client of the cluster.

    Raises
    ------
    TypeError, ValueError
        If `client` is not a client that waits for answers.
    """
    _require_client(client)
    for name, nanny in ((Exchange.name, False), (Sweeping.name, True)):
        with contextlib.suppress(ValueError):  # it is not registered
            client.unregister_worker_plugin(name, nanny=nanny)


def pool() -> Pool | None:
    """Return the pool of this worker's host, for tasks that make their results in it; None where there is none.

    Returns
    -------
    Pool or None
        Arrays that lie in it are sent without being copied, and are read-only from then on.
    """
    member = _member.current
    return None if member is None else member.pool


async def dask_setup(worker: Worker | Nanny) -> None:
    """Install in one worker: what ``dask worker --preload blockpool.dask`` calls.

    Parameters
    ----------
    worker : distributed.Worker or distributed.Nanny
        The worker that starts; or its nanny, with ``--preload-nanny``, which then removes what a worker leaves that it
        has to kill.

    Raises
    ------
    TypeError
        If it is a scheduler.
    """
    if isinstance(worker, Nanny):
        await worker.plugin_add(Sweeping())
        return
    if not isinstance(worker, Worker):
        raise TypeError(f"blockpool.dask is to be preloaded by workers and nannies, not by a {type(worker).__name__}")
    setting = dask.config.get
    plugin = Exchange(
        setting("blockpool.nbytes", DEFAULT_NBYTES),
        setting("blockpool.threshold", DEFAULT_THRESHOLD),
        readonly=bool(setting("blockpool.readonly", default=True)),
        numpy=bool(setting("blockpool.numpy", default=False)),
    )
    await worker.plugin_add(plugin, catch_errors=False)
