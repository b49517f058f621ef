"""The pool that this process uses for queues and executors for which it names none."""

from __future__ import annotations

from blockpool._core import Pool, require_shared

# What it is made of, unless the program sets another.
_BLOCK_SIZE, _BLOCKS, _QUEUE_ROOM = "16KiB", 4096, "16MiB"

_chosen: list[Pool] = []  # the last one counts; a list, as two threads may come at the same time


def default_pool() -> Pool:
    """Return the pool that the queues of this module, and `blockpool.Executor`, use unless they are given one.

    The first call makes it: 64 MiB in blocks of 16 KiB, and 16 MiB for queues and small messages. Forked children have
    it too, and so does a process that is sent such a queue before it needs a pool itself.

    Returns
    -------
    Pool
        It stays attached while this process runs.
    """
    if not _chosen or _chosen[-1].closed:
        _chosen.append(Pool.create(_BLOCK_SIZE, _BLOCKS, queue_room=_QUEUE_ROOM))
    return _chosen[-1]


def set_default_pool(pool: Pool) -> None:
    """Have queues and executors that are made from now on use another pool, for example a larger one.

    Parameters
    ----------
    pool : Pool
        A shared pool.

    Raises
    ------
    TypeError
        If `pool` is not a Pool.
    ValueError
        If it is private.
    """
    if not isinstance(pool, Pool):
        raise TypeError(f"pool must be a blockpool.Pool, not {type(pool).__name__}")
    require_shared(pool)
    _chosen.append(pool)


def adopt(pool: Pool) -> None:
    """Use the pool of a queue that this process was sent, if it has used none so far."""
    if not _chosen:
        _chosen.append(pool)
