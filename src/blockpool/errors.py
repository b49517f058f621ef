"""The exceptions of blockpool: all derive from `BlockPoolError`, and each also from the built-in class that fits it.

They can be pickled. Each message gives the values that it is about, and says what to do.
"""

from __future__ import annotations

import errno

__all__ = [
    "BlockInUse",
    "BlockOverrun",
    "BlockPoolError",
    "DoubleFree",
    "InvalidBlock",
    "NameNotFound",
    "NameTaken",
    "PinFailed",
    "PoolBusy",
    "PoolClosed",
    "PoolCorrupt",
    "PoolExhausted",
    "PoolExists",
    "PoolForbidden",
    "PoolNotFound",
    "PoolVersion",
    "QueueClosed",
    "StaleHandle",
    "TooManyProcesses",
    "TooManyTickets",
    "TraceInvalid",
    "WriteAfterFree",
    "WrongKind",
]


class BlockPoolError(Exception):
    """Base class of all exceptions of blockpool."""


class PoolExhausted(BlockPoolError, MemoryError):
    """There is no room: for a block or run in the pool, or for a pool in the machine.

    Free something, ask for fewer blocks, wait with `timeout=`, or make the pool larger. The message says which limit
    was met, how many blocks are free, how long the longest free run is, and whether only tickets hold blocks.
    """


class InvalidBlock(BlockPoolError, ValueError):
    """The block cannot be used: it was released, freed, or never allocated.

    Allocate another block: this one is no longer this object's.
    """


class DoubleFree(InvalidBlock):
    """The block was freed before.

    Free each block once, and drop the object then.
    """


class StaleHandle(InvalidBlock):
    """The run that a handle or ticket names was freed; its blocks are free, or belong to another run.

    Keep the block of a handle that you send until the receiver is done; or send a ticket, which keeps it by itself.
    """


class BlockInUse(BlockPoolError, BufferError):
    """The block cannot be freed now: a view, another Block or another process still uses it. Nothing was changed.

    The message says what uses it. Drop the views and free it again, or call `release`, which does not insist.
    """


class NameTaken(BlockPoolError, ValueError):
    """The pool's catalog has a block of that name already.

    Pass `replace=True`, or choose another name.
    """


class NameNotFound(BlockPoolError, LookupError):
    """The pool's catalog has no block of that name.

    `Pool.names` lists the names that there are.
    """


class PinFailed(BlockPoolError, RuntimeError):
    """The pool's memory cannot be pinned: there is no driver or no device, or the driver refuses.

    The message has the driver's reason. A pool works without being pinned.
    """


class WrongKind(BlockPoolError, TypeError):
    """The name belongs to something of another kind: to a block, a queue, a topic or a latest value.

    Use the call for what has the name, which the message says, or choose another name.
    """


class PoolClosed(BlockPoolError, ValueError):
    """The pool was closed, or this process has no part in it. A closed pool's blocks and views stay valid.

    Open it again with `Pool.attach`. In a forked child, that is so because of ``on_fork="detach"``.
    """


class PoolExists(BlockPoolError, FileExistsError):
    """The name is taken already, by a pool or something else, or by a pool with another geometry.

    Attach it with `Pool.attach` or ``exist_ok=True`` and its own geometry, which the message gives; or remove its name
    with `unlink`.
    """

    errno = errno.EEXIST


class PoolNotFound(BlockPoolError, FileNotFoundError):
    """There is no such pool, or it no longer exists.

    Create it first, in a process that lives longer than its users; or make it permanent. `blockpool.pools`
    lists the pools that there are.
    """

    errno = errno.ENOENT


class PoolForbidden(BlockPoolError, PermissionError):
    """The pool belongs to another user, or the kernel does not let this process use it.

    Run as the user who made it; containers need the same user too.
    """

    errno = errno.EACCES


class PoolBusy(BlockPoolError, TimeoutError):
    """Another process, perhaps a stopped one, keeps this one from attaching, recovering or checking the pool.

    The message names the process. Continue it (``kill -CONT``) or end it, and try again.
    """

    errno = errno.ETIMEDOUT


class TooManyProcesses(BlockPoolError):
    """As many processes are attached to the pool as it was created for.

    Create the pool with a larger `processes`.
    """


class TooManyTickets(BlockPoolError):
    """More than 8191 references to one run would be in flight.

    Redeem some, give them a lifetime, or send a handle.
    """


class PoolCorrupt(BlockPoolError):
    """The bookkeeping of the pool contradicts itself, because something wrote over it.

    Save what you need, end its processes, remove it with `unlink`, and make it again. The message says what was found
    where.
    """


class PoolVersion(BlockPoolError):
    """The pool was created by another release of blockpool, older or newer, with a different layout.

    Use that release, or remove the pool with `unlink`. The message says which release made it.
    """


class QueueClosed(BlockPoolError, ValueError):
    """The queue, topic or latest value was closed in this process.

    Open it again: `Pool.queue`, `Pool.topic`, `Pool.latest`.
    """


class BlockOverrun(BlockPoolError):
    """Debug mode: something wrote past the bytes that were asked for. The block was freed all the same.

    Mend the writer. The message says how far past the end it wrote, and where the run was allocated.
    """


class TraceInvalid(BlockPoolError, ValueError):
    """The file or the events are not a trace that can be used: truncated, foreign, or without what is needed.

    The message says what is wrong, in which row or line, and what to do.
    """


class WriteAfterFree(BlockPoolError):
    """Debug mode: something wrote to a block after it was freed.

    Mend the writer, and call again. The message says where the block was allocated and freed.
    """


for _error in [globals()[_name] for _name in __all__]:
    _error.__module__ = "blockpool"
del _error
