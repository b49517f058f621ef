"""What can be seen of a shared pool at a moment: the data of the command line, the pages and the metrics.

`snapshot` looks once. An `Observer` looks again and again, cheaply enough for many times a second even at a pool of ten
million blocks. Both look from outside: they take no part in the pool, change nothing and hold nobody up.

>>> import blockpool
>>> from blockpool.observe import Observer
>>> pool = blockpool.Pool.create("4KiB", 16)
>>> with Observer(pool) as observer:
...     observer.look().counts.free
16
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from blockpool._looking import inspect

if TYPE_CHECKING:
    from typing import Any, Self

    from blockpool._core import Inspector, Pool
    from blockpool._handles import Handle
    from blockpool.stats import PoolCounts, PoolMap, ProcessInfo, QueueInfo, Survey

__all__ = ["Description", "Observer", "Rates", "Snapshot", "described", "rates", "snapshot"]

# How many blocks a survey goes on by at each look: some 4 ms at most.
_STEP = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A shared pool at a moment, as far as no look at every run is needed.

    While processes are at work, its parts are of no single moment.

    Attributes
    ----------
    time : float
        When it was taken, in seconds since the epoch.
    name : str or None
        The pool's name.
    pool_id : str
        Its random id: 32 hexadecimal digits.
    block_size, blocks, nbytes, segment_bytes : int
        Size of a block in bytes, number of blocks, size of all blocks together, and size with all bookkeeping.
    made_by : str
        The release of blockpool that made it.
    created : float or None
        When it was made, in seconds since the epoch.
    permanent : bool
        Whether it stays until it is unlinked.
    on_fork : str
        "share" or "detach".
    exists : bool
        Whether it can still be reached.
    counts : PoolCounts
        How much of it is allocated, and what happened so far.
    processes : tuple of ProcessInfo
        Who has it attached.
    queues : tuple of QueueInfo
        Its queues, topics and latest values.
    names : tuple of str
        The names that its catalog has, in alphabetical order.
    gate : int or None
        The process in its gate.
    """

    time: float
    name: str | None
    pool_id: str
    block_size: int
    blocks: int
    nbytes: int
    segment_bytes: int
    made_by: str
    created: float | None
    permanent: bool
    on_fork: str
    exists: bool
    counts: PoolCounts
    processes: tuple[ProcessInfo, ...]
    queues: tuple[QueueInfo, ...]
    names: tuple[str, ...]
    gate: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Description):
    """A shared pool at a moment: what a `Description` has, and who holds what.

    Attributes
    ----------
    survey : Survey
        Who holds how much, and the oldest or largest runs. An `Observer` takes several looks for one of a large pool.
    map : PoolMap or None
        A picture of it; None if none was asked for.
    """

    survey: Survey
    map: PoolMap | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What happened in a pool from one snapshot to a later one, per second.

    Attributes
    ----------
    allocations, failures, waits : float
        Runs allocated, requests that found no room, and requests that waited for room.
    waited : float
        Seconds of waiting: 1 if one request waited all the time.
    """

    allocations: float
    failures: float
    waits: float
    waited: float


def described(inspector: Inspector) -> dict[str, Any]:
    """Look at a pool, without its runs.

    Parameters
    ----------
    inspector : Inspector
        Sees the pool.

    Returns
    -------
    dict
        The fields of a `Description`, for it and for classes that have more.

    Raises
    ------
    PoolClosed
        If the inspector is closed, or was made before this process was forked.
    PoolCorrupt
        If the pool's file was cut short.
    """
    return {
        "time": time.time(),
        "name": inspector.name,
        "pool_id": inspector.pool_id,
        "block_size": inspector.block_size,
        "blocks": inspector.blocks,
        "nbytes": inspector.nbytes,
        "segment_bytes": inspector.segment_bytes,
        "made_by": inspector.made_by,
        "created": inspector.created,
        "permanent": inspector.permanent,
        "on_fork": inspector.on_fork,
        "exists": inspector.exists(),
        "counts": inspector.counts(),
        "processes": tuple(inspector.processes()),
        "queues": tuple(inspector.queues()),
        "names": tuple(inspector.names()),
        "gate": inspector.gate(),
    }


def snapshot(
    pool: str | Pool | Handle | Inspector,
    *,
    cells: int = 0,
    most: int = 100,
    order: Literal["age", "size"] = "age",
) -> Snapshot:
    """Look at a shared pool once.

    Parameters
    ----------
    pool : str, Pool, Handle, Ticket or Inspector
        The pool, as for `blockpool.inspect`.
    cells : int
        How many cells its picture is to have; 0 means no picture.
    most : int
        How many of the oldest or largest runs to list.
    order : str
        "age" or "size".

    Returns
    -------
    Snapshot
        What was seen.

    Raises
    ------
    ValueError, TypeError
        If an argument is nothing of these.
    BlockPoolError, OSError
        As `blockpool.inspect` does.
    """
    with Observer(pool, cells=cells, most=most, order=order) as observer:
        return observer.look()


def rates(before: Snapshot, after: Snapshot) -> Rates:
    """Return what happened from one snapshot of a pool to a later one.

    Parameters
    ----------
    before, after : Snapshot
        Of the same pool.

    Returns
    -------
    Rates
        All zero if no time passed.
    """
    seconds = after.time - before.time
    old, new = before.counts, after.counts

    def per_second(then: float, now: float) -> float:
        return max(0.0, (now - then) / seconds) if seconds > 0 else 0.0

    return Rates(
        allocations=per_second(old.allocations, new.allocations),
        failures=per_second(old.failures, new.failures),
        waits=per_second(old.waits, new.waits),
        waited=per_second(old.waited, new.waited),
    )


class Observer:
    """Looks at a shared pool again and again.

    The first look goes through the whole pool. Later ones continue the survey by 2**18 blocks each, so in a larger
    pool `Snapshot.survey` is some looks old, while all else is new at each look. A context manager.

    Parameters
    ----------
    pool : str, Pool, Handle, Ticket or Inspector
        The pool, as for `blockpool.inspect`. An inspector stays open when the observer is closed.
    cells : int
        How many cells the pictures are to have; 0 means none. May be changed at any time.
    most : int
        How many of the oldest or largest runs to list.
    order : str
        "age" or "size".

    Attributes
    ----------
    inspector : Inspector
        What it looks through.
    cells : int
        See above.

    Raises
    ------
    ValueError, TypeError
        If an argument is nothing of these.
    BlockPoolError, OSError
        As `blockpool.inspect` does.

    Notes
    -----
    Not for several threads at a time.
    """

    def __init__(
        self,
        pool: str | Pool | Handle | Inspector,
        *,
        cells: int = 0,
        most: int = 100,
        order: Literal["age", "size"] = "age",
    ) -> None:
        from blockpool._core import Inspector

        self._own = not isinstance(pool, Inspector)
        self.inspector = pool if isinstance(pool, Inspector) else inspect(pool)
        self.cells = cells
        self._surveyor = self.inspector.surveyor(most, order=order)
        self._survey: Survey | None = None

    def look(self) -> Snapshot:
        """Look now.

        Returns
        -------
        Snapshot
            What was seen.

        Raises
        ------
        PoolClosed
            If the observer is closed, or was made before this process was forked.
        PoolCorrupt
            If the pool's file was cut short.
        """
        at = self.inspector
        found = self._surveyor.go_on(at.blocks if self._survey is None else _STEP)
        survey = self._survey = found or self._survey
        assert survey is not None  # noqa: S101 - the first look goes to the end
        return Snapshot(**described(at), survey=survey, map=at.map(self.cells) if self.cells else None)

    def close(self) -> None:
        """End the looks. Closing it again does nothing."""
        if self._own:
            self.inspector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
