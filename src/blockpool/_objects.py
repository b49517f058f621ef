"""Objects in shared pools: stored by one process, loaded in place by another."""

from __future__ import annotations

from blockpool._core import Pool, get_object, put_object
from blockpool.errors import StaleHandle

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Any

    from blockpool._handles import Ticket


def put(obj: object, pool: Pool, *, lifetime: float | None = None, timeout: float | None = 0) -> Ticket:
    """Store an object in a shared pool, for another process to `get`.

    It is pickled (protocol 5), and the pickle goes into one run, with all large buffers that pickle leaves out, such as
    those of NumPy arrays, Arrow tables and pandas columns. Blocks and arrays of the pool within the object are not
    copied: what gets the object has the same memory. Those of other pools are copied; a Block of another pool is an
    error. Views of the same memory, of the same length, stay views of the same memory.

    Parameters
    ----------
    obj : object
        Anything that pickle takes.
    pool : Pool
        A shared pool.
    lifetime : float, optional
        Seconds after which what was not got may be dropped, as in `Block.share`. The default is the pool's
        `ticket_lifetime`.
    timeout : float or None
        How many seconds to wait for room; None waits for ever.

    Returns
    -------
    Ticket
        It names the run, and can be sent in any way, also as `str` or `bytes`. The memory stays allocated until the
        object was got and nothing of it is left, even if this process ends before that; or until its lifetime is over.
        To take it back, get it here.

    Raises
    ------
    PoolExhausted
        If there is no room for it, before the timeout is over.
    InvalidBlock
        If a Block within the object is of another pool, or was released.
    TooManyTickets
        If more than 8191 references to an array or Block within the object would be in flight.
    PoolClosed, TooManyProcesses, PoolBusy
        If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).
    TypeError, ValueError
        If the pool is private, or an argument is none of the above.
    OSError
        If this is the first lifetime in the pool, and the kernel gives no memory to keep lifetimes.
    Exception
        Whatever pickle raises for an object that cannot be pickled. Nothing stays in the pool then.

    Notes
    -----
    May be called from any thread. A reference in flight is taken to every run within the object, and all of them have
    the same lifetime. So if the object is never got, what is within it is dropped when the object is.
    """
    if not isinstance(pool, Pool):
        raise TypeError(f"pool must be a blockpool.Pool, not {type(pool).__name__}")
    return put_object(obj, pool, lifetime, timeout)


def get(ticket: Ticket | str | bytes) -> Any:
    """Load an object that `put` stored, in any process, attaching its pool if need be.

    Its large buffers are not copied: what is loaded uses the memory of the pool, and keeps it allocated as long as
    anything of it lives. What could be written to before can be written to again.

    Parameters
    ----------
    ticket : Ticket, str or bytes
        What `put` returned, or its text.

    Returns
    -------
    object
        The object.

    Raises
    ------
    InvalidBlock
        If the ticket is of something that `put` did not store, or the object was damaged.
    StaleHandle
        If the object was got before, and a run that it is in is free by now; or its ticket has ended.
    PoolNotFound
        If the pool is gone, another pool has its name, or it is out of this process's sight.
    TypeError, ValueError
        If `ticket` is not a ticket.
    PoolForbidden, PoolVersion, PoolCorrupt, PoolExhausted, TooManyProcesses, PoolBusy, OSError
        If the pool cannot be attached; as for `Pool.attach`.
    Exception
        Whatever unpickling raises, for example because this process cannot import a class.

    Warnings
    --------
    Unpickling can run any code that the process that put the object has chosen. All processes that share a pool trust
    each other, as those that share a multiprocessing.Queue do.

    Notes
    -----
    May be called from any thread. A ticket can be got again while anything of the object is left of every run that it
    is in; both then have the same memory. If this raises, nothing has changed, and the ticket is as good as before.
    """
    try:
        return get_object(ticket)
    except StaleHandle as error:
        raise StaleHandle(
            "the object of this ticket, or a part of it, is gone: it was got before, or its lifetime is over; "
            f"put() it once for each get() ({error})"
        ) from None
