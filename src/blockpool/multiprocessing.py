"""Queues between processes, and sending large arrays, through a pool.

`Queue`, `JoinableQueue` and `SimpleQueue` are used like those of `multiprocessing`, so that a program needs to change
no more than its imports. They keep what they hold in a shared pool, and a process that is killed cannot break them.

`install` is for programs that keep the standard queues. After it, whatever `multiprocessing` pickles (for queues,
pipes, pools, executors and managers) carries large arrays as tickets. An array that is already in a shared pool is sent
as a ticket alone. Any other array is copied into the pool, once, and the receiver works on that copy. Out-of-band
buffers (PEP 574) go the same way, for example those of Arrow tables and pandas columns. Smaller arrays are sent as
without `install`, and so are all arrays while the pool is full, unless ``on_full=`` says otherwise. joblib, loky and
multiprocess send through the pool as well.

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

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Literal

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


def install(
    pool: Pool,
    *,
    threshold: str | int = "64KiB",
    readonly: bool = False,
    on_full: Literal["copy", "wait", "raise"] = "copy",
    timeout: float | None = None,
) -> None:
    """Send this process's large arrays through a pool from now on.

    Processes that this one starts later, by whatever method, do the same from the beginning, with the same settings.
    So does every other process once it has received an array this way. joblib, loky, multiprocess and pathos send their
    arguments and results like that too, whether they are imported before this call or after it. Installing again
    replaces what was installed.

    Parameters
    ----------
    pool : Pool
        A shared pool. It stays attached until `uninstall`.
    threshold : int or str
        Size in bytes, or a string such as ``"64KiB"``. Smaller arrays are sent as before, unless they are in a pool
        already.
    readonly : bool
        Whether what receivers get cannot be written to.
    on_full : str
        What a send does that finds no room in the pool: ``"copy"`` sends as before, ``"wait"`` waits until there is
        room, and ``"raise"`` raises `PoolExhausted`. A closed pool is not full: then arrays are sent as before.
    timeout : float, optional
        How many seconds ``"wait"`` waits before it raises `PoolExhausted`. The default is as long as it takes. Ctrl-C
        interrupts it.

    Raises
    ------
    TypeError
        If `pool` is not a Pool, `threshold` is not a size, `on_full` not a string, or `timeout` not a number.
    ValueError
        If the pool is private, `threshold` is less than 1 or not a size, `on_full` is another string, or `timeout` is
        negative, or given without ``on_full="wait"``.
    PoolClosed, TooManyProcesses, PoolBusy
        If the pool is closed, or this process is a forked child without a part in it.

    Notes
    -----
    May be called from any thread, and applies to the whole process. A process that cannot attach the pool starts all
    the same, without it; the log says so. A queue pickles in a thread of its own, so there a `PoolExhausted` is handled
    as the queue handles what cannot be pickled: `multiprocessing.Queue` prints it, and an executor sets it as the
    result. A message of several arrays holds the room of the first ones while it waits for the next.
    """
    _patches.install(Route(pool, threshold, readonly=readonly, on_full=on_full, timeout=timeout))


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
