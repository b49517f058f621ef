"""A memory allocator: a pool is reserved once and cut into blocks; a bitmap says which of them are allocated.

>>> import blockpool
>>> pool = blockpool.Pool("4KiB", 1024)
>>> block = pool.allocate()
>>> block.buf[:5] = b"hello"
>>> block.free()
"""

from __future__ import annotations

from blockpool import _async as _async
from blockpool import _async_queues as _async_queues
from blockpool import _forks as _forks
from blockpool import _receive as _receive
from blockpool._core import (
    TRACEMALLOC_DOMAIN,
    Block,
    Inspector,
    Latest,
    Message,
    Pool,
    Queue,
    Sample,
    Subscription,
    Surveyor,
    Topic,
    redeem,
    sweep,
    unlink,
)
from blockpool._handles import Handle, Ticket
from blockpool._index import IndexPool
from blockpool._looking import inspect, pools
from blockpool._objects import get, put
from blockpool.errors import (
    BlockInUse,
    BlockOverrun,
    BlockPoolError,
    DoubleFree,
    InvalidBlock,
    NameNotFound,
    NameTaken,
    PinFailed,
    PoolBusy,
    PoolClosed,
    PoolCorrupt,
    PoolExhausted,
    PoolExists,
    PoolForbidden,
    PoolNotFound,
    PoolVersion,
    QueueClosed,
    StaleHandle,
    TooManyProcesses,
    TooManyTickets,
    TraceInvalid,
    WriteAfterFree,
    WrongKind,
)

TYPE_CHECKING = False  # importing typing for it would take longer than importing all of blockpool
if TYPE_CHECKING:
    from typing import Any

    from blockpool._executor import BrokenWorker, Executor
    from blockpool._queue_errors import QueueEmpty, QueueFull, QueueShutDown
    from blockpool._recording import Recording
    from blockpool.stats import (
        Audit,
        Damage,
        IndexStats,
        Outstanding,
        PoolCounts,
        PoolMap,
        PoolStats,
        PoolSummary,
        ProcessInfo,
        QueueInfo,
        Recovered,
        Residency,
        Run,
        Survey,
    )

    __version__: str

__all__ = [
    "TRACEMALLOC_DOMAIN",
    "Audit",
    "Block",
    "BlockInUse",
    "BlockOverrun",
    "BlockPoolError",
    "BrokenWorker",
    "Damage",
    "DoubleFree",
    "Executor",
    "Handle",
    "IndexPool",
    "IndexStats",
    "Inspector",
    "InvalidBlock",
    "Latest",
    "Message",
    "NameNotFound",
    "NameTaken",
    "Outstanding",
    "PinFailed",
    "Pool",
    "PoolBusy",
    "PoolClosed",
    "PoolCorrupt",
    "PoolCounts",
    "PoolExhausted",
    "PoolExists",
    "PoolForbidden",
    "PoolMap",
    "PoolNotFound",
    "PoolStats",
    "PoolSummary",
    "PoolVersion",
    "ProcessInfo",
    "Queue",
    "QueueClosed",
    "QueueEmpty",
    "QueueFull",
    "QueueInfo",
    "QueueShutDown",
    "Recording",
    "Recovered",
    "Residency",
    "Run",
    "Sample",
    "StaleHandle",
    "Subscription",
    "Survey",
    "Surveyor",
    "Ticket",
    "TooManyProcesses",
    "TooManyTickets",
    "Topic",
    "TraceInvalid",
    "WriteAfterFree",
    "WrongKind",
    "get",
    "inspect",
    "pools",
    "put",
    "redeem",
    "sweep",
    "unlink",
]


def __getattr__(name: str) -> Any:
    # importing dataclasses takes longer than everything else
    if name in {
        "Audit",
        "Damage",
        "IndexStats",
        "Outstanding",
        "PoolCounts",
        "PoolMap",
        "PoolStats",
        "PoolSummary",
        "ProcessInfo",
        "QueueInfo",
        "Recovered",
        "Residency",
        "Run",
        "Survey",
    }:
        from blockpool import stats

        return getattr(stats, name)
    if name in {"QueueEmpty", "QueueFull", "QueueShutDown"}:
        from blockpool import _queue_errors  # and with it `queue`, which takes long to import

        return getattr(_queue_errors, name)
    if name in {"BrokenWorker", "Executor"}:
        from blockpool import _executor

        return getattr(_executor, name)
    if name == "Recording":
        from blockpool import _recording

        return _recording.Recording
    if name == "__version__":
        from importlib.metadata import version

        return version("blockpool")
    if name in {
        "advice",
        "arrow",
        "classic",
        "dask",
        "doctor",
        "metrics",
        "multiprocessing",
        "observe",
        "plot",
        "ray",
        "replay",
        "shared_memory",
        "torch",
        "traces",
    }:
        raise AttributeError(f"blockpool.{name} is a module; import blockpool.{name}")
    raise AttributeError(f"module 'blockpool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


del annotations, TYPE_CHECKING
