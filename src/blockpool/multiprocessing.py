"""Queues between processes, and sending large arrays, through a pool.

`Queue`, `JoinableQueue` and `SimpleQueue` are used like those of `multiprocessing`, so that a program needs to change
no more than its imports. They keep what they hold in a shared pool, and a process that is killed cannot break them.

`install` is for programs that keep the standard queues. After it, whatever `multiprocessing` pickles (for queues,
pipes, pools, executors and managers) carries large arrays as tickets. An array that is already in a shared pool is sent
as a ticket alone. Any other array is copied into the pool, once, and the receiver works on that copy. Out-of-band
buffers (PEP 574) go the same way, for example those of Arrow tables and pandas columns. Smaller arrays, and all arrays
while the pool is full, are sent as without `install`.

An array in the pool is *shared* once it is sent, not copied: sender and receiver see each other's changes. To prevent
that, send it read-only (``view = array.view(); view.flags.writeable = False``), or install with ``readonly=True``.
PyTorch tensors are sent as PyTorch does it. Arrays for which the program registered its own reducer, with `copyreg` or
``ForkingPickler.register``, are sent as that reducer says.

A message puts references to arrays, buffers and blocks in flight. This module takes them back if it knows that the
message is not delivered: the message cannot be pickled, a connection cannot write it because nobody reads any more, or
the process it was an argument of cannot be started. If a message is lost with its receiver, its references stay in
flight: see ``Pool.recover(tickets_older_than=)``.
"""

from __future__ import annotations

from blockpool import (
    _patches,
    _receive_arrays,  # noqa: F401 - it says what pickles of arrays are to call
)
from blockpool._core import Pool, transfers
from blockpool._default_pool import default_pool, set_default_pool
from blockpool._process_queues import JoinableQueue, Queue, SimpleQueue
from blockpool._sending import Route
from blockpool.stats import Transfers

__all__ = [
    "JoinableQueue",
    "Queue",
    "SimpleQueue",
    "default_pool",
    "install",
    "set_default_pool",
    "stats",
    "uninstall",
]


def install(pool: Pool, *, threshold: str | int = "64KiB", readonly: bool = False) -> None:
    """Send this process's large arrays through a pool from now on.

    Processes forked later do the same, and so does every process once it has received an array this way. A worker that
    sends before it receives has to install itself, as in ``Pool(4, install, (pool,))``. Import joblib or loky, if you
    use them, before this call. Installing again replaces what was installed.

    Parameters
    ----------
    pool : Pool
        A shared pool. It stays attached until `uninstall`.
    threshold : int or str
        Size in bytes, or a string such as ``"64KiB"``. Smaller arrays are sent as before, unless they are in a pool
        already.
    readonly : bool
        Whether what receivers get cannot be written to.

    Raises
    ------
    TypeError
        If `pool` is not a Pool, or `threshold` is not a size.
    ValueError
        If the pool is private, or `threshold` is less than 1 or not a size.
    PoolClosed, TooManyProcesses, PoolBusy
        If the pool is closed, or this process is a forked child without a part in it.

    Notes
    -----
    May be called from any thread, and applies to the whole process.
    """
    _patches.install(Route(pool, threshold, readonly=readonly))


def uninstall() -> None:
    """Send arrays as before `install` again.

    This process then no longer installs itself when it receives an array through a pool, even if `install` was never
    called. May be called from any thread.
    """
    _patches.uninstall()


def stats() -> Transfers:
    """Return what this process has sent since it was started or forked.

    Returns
    -------
    Transfers
        Numbers of arrays and buffers, and of bytes.
    """
    return Transfers(*transfers())
