"""The exceptions of blockpool: one family, each also of the built-in kind that fits it.

All can be pickled, and each message gives the values it is about and what to do.
"""

from __future__ import annotations

import errno

__all__ = [
    "BlockInUse",
    "BlockOverrun",
    "BlockPoolError",
    "DoubleFree",
    "InvalidBlock",
    "PoolBusy",
    "PoolClosed",
    "PoolCorrupt",
    "PoolExhausted",
    "PoolExists",
    "PoolForbidden",
    "PoolNotFound",
    "PoolVersion",
    "StaleHandle",
    "TooManyProcesses",
    "TooManyTickets",
    "WriteAfterFree",
]


class BlockPoolError(Exception):
    """The base of every error that is particular to blockpool."""


class PoolExhausted(BlockPoolError, MemoryError):
    """There is no room: in the pool for a block or run, or in the machine for a pool."""


class InvalidBlock(BlockPoolError, ValueError):
    """The block is not one that can be used: released, freed, or never allocated."""


class DoubleFree(InvalidBlock):
    """The block was freed before."""


class StaleHandle(InvalidBlock):
    """The run that the handle or ticket names is no more; its blocks are free, or somebody else's."""


class BlockInUse(BlockPoolError, BufferError):
    """The block cannot be freed now: a view, another Block, or somebody else still uses it. Nothing was changed."""


class PoolClosed(BlockPoolError, ValueError):
    """The pool was closed; blocks and views that it gave stay valid, but it gives no more."""


class PoolExists(BlockPoolError, FileExistsError):
    """A pool of that name exists already, or one of another geometry."""

    errno = errno.EEXIST


class PoolNotFound(BlockPoolError, FileNotFoundError):
    """There is no such pool, or no longer."""

    errno = errno.ENOENT


class PoolForbidden(BlockPoolError, PermissionError):
    """The pool is another user's, or the kernel does not let this process have it."""

    errno = errno.EACCES


class PoolBusy(BlockPoolError, TimeoutError):
    """Another process keeps everybody from attaching, leaving and recovering; a stopped one perhaps."""

    errno = errno.ETIMEDOUT


class TooManyProcesses(BlockPoolError):
    """47 processes are attached to the pool, and there is no place for more."""


class TooManyTickets(BlockPoolError):
    """More than 8191 references to one run would be in flight."""


class PoolCorrupt(BlockPoolError):
    """The bookkeeping of the pool contradicts itself: something wrote over it."""


class PoolVersion(BlockPoolError):
    """The pool was made by another release of blockpool, older or newer, whose pools are laid out differently."""


class BlockOverrun(BlockPoolError):
    """Debug mode: somebody wrote past the bytes that were asked for. The block was freed all the same."""


class WriteAfterFree(BlockPoolError):
    """Debug mode: somebody wrote to a block after it was freed."""


for _error in [globals()[_name] for _name in __all__]:
    _error.__module__ = "blockpool"
del _error
