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
    """There is no room: for a block or run in the pool, or for a pool in the machine."""


class InvalidBlock(BlockPoolError, ValueError):
    """The block cannot be used: it was released, freed, or never allocated."""


class DoubleFree(InvalidBlock):
    """The block was freed before."""


class StaleHandle(InvalidBlock):
    """The run that a handle or ticket names was freed; its blocks are free, or belong to another run."""


class BlockInUse(BlockPoolError, BufferError):
    """The block cannot be freed now: a view, another Block or another process still uses it. Nothing was changed."""


class NameTaken(BlockPoolError, ValueError):
    """The pool's catalog has a block of that name already."""


class NameNotFound(BlockPoolError, LookupError):
    """The pool's catalog has no block of that name."""


class PinFailed(BlockPoolError, RuntimeError):
    """The pool's memory cannot be pinned: there is no driver or no device, or the driver refuses."""


class WrongKind(BlockPoolError, TypeError):
    """The name belongs to something of another kind: to a block, a queue, a topic or a latest value."""


class PoolClosed(BlockPoolError, ValueError):
    """The pool was closed, or this process has no part in it. A closed pool's blocks and views stay valid."""


class PoolExists(BlockPoolError, FileExistsError):
    """The name is taken already, by a pool or something else, or by a pool with another geometry."""

    errno = errno.EEXIST


class PoolNotFound(BlockPoolError, FileNotFoundError):
    """There is no such pool, or it no longer exists."""

    errno = errno.ENOENT


class PoolForbidden(BlockPoolError, PermissionError):
    """The pool belongs to another user, or the kernel does not let this process use it."""

    errno = errno.EACCES


class PoolBusy(BlockPoolError, TimeoutError):
    """Another process, perhaps a stopped one, keeps this one from attaching, recovering or checking the pool."""

    errno = errno.ETIMEDOUT


class TooManyProcesses(BlockPoolError):
    """As many processes are attached to the pool as it was created for."""


class TooManyTickets(BlockPoolError):
    """More than 8191 references to one run would be in flight."""


class PoolCorrupt(BlockPoolError):
    """The bookkeeping of the pool contradicts itself, because something wrote over it."""


class PoolVersion(BlockPoolError):
    """The pool was created by another release of blockpool, older or newer, with a different layout."""


class QueueClosed(BlockPoolError, ValueError):
    """The queue, topic or latest value was closed in this process."""


class BlockOverrun(BlockPoolError):
    """Debug mode: something wrote past the bytes that were asked for. The block was freed all the same."""


class TraceInvalid(BlockPoolError, ValueError):
    """The file or the events are not a trace that can be used: truncated, foreign, or without what is needed."""


class WriteAfterFree(BlockPoolError):
    """Debug mode: something wrote to a block after it was freed."""


for _error in [globals()[_name] for _name in __all__]:
    _error.__module__ = "blockpool"
del _error
