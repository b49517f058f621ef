"""What the commands say, as frozen dataclasses: the data of a text, and of a JSON document of the same kind."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from blockpool.observe import Description, Rates, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockpool.doctor.findings import Finding
    from blockpool.stats import PoolCounts, PoolMap, PoolSummary, ProcessInfo, QueueInfo, Recovered, Run, Survey

__all__ = [
    "KINDS",
    "DescribedPool",
    "Diagnosed",
    "Exported",
    "Glance",
    "ListedPools",
    "ListedProcesses",
    "ListedQueues",
    "ListedRuns",
    "MappedPool",
    "RecordedPool",
    "RecoveredPool",
    "SweptPools",
    "UnlinkedPool",
    "all_kinds",
    "fields_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPools:
    """The output of `blockpool ls`.

    Attributes
    ----------
    time : float
        When it was looked, in seconds since the epoch.
    pools : tuple of PoolSummary
        All shared pools of this user, and files that have the name of one.
    """

    time: float
    pools: tuple[PoolSummary, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedPool(Description):
    """The output of `blockpool info`: what a `blockpool.observe.Description` has, and who holds how much.

    Attributes
    ----------
    survey : Survey or None
        Who holds how much, without runs. None if it was not asked for in a pool of more than 2**20 blocks.
    """

    survey: Survey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedPool:
    """The output of `blockpool map`.

    Attributes
    ----------
    name : str or None
        The pool's name.
    pool_id : str
        Its random id: 32 hexadecimal digits.
    block_size, blocks : int
        Size of a block in bytes, and number of blocks.
    allocated : int
        Number of blocks that are allocated.
    map : PoolMap
        The picture.
    processes : tuple of ProcessInfo
        Who has it attached.
    held : dict of int to int
        Number of blocks by slot of the process that holds them.
    only_kept, only_messages, only_tickets, nobody : int
        Number of blocks that no process holds, as in `Survey`.
    """

    name: str | None
    pool_id: str
    block_size: int
    blocks: int
    allocated: int
    map: PoolMap
    processes: tuple[ProcessInfo, ...]
    held: dict[int, int]
    only_kept: int
    only_messages: int
    only_tickets: int
    nobody: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRuns:
    """The output of `blockpool runs`.

    Attributes
    ----------
    name : str or None
        The pool's name.
    pool_id : str
        Its random id: 32 hexadecimal digits.
    block_size : int
        Size of a block in bytes.
    order : str
        "age", the oldest first, or "size", the largest first.
    total : int
        How many runs there are.
    runs : tuple of Run
        Those that are listed.
    processes : tuple of ProcessInfo
        Who has the pool attached.
    queues : tuple of QueueInfo
        Its queues, topics and latest values.
    """

    name: str | None
    pool_id: str
    block_size: int
    order: Literal["age", "size"]
    total: int
    runs: tuple[Run, ...]
    processes: tuple[ProcessInfo, ...]
    queues: tuple[QueueInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedProcesses:
    """The output of `blockpool processes`.

    Attributes
    ----------
    time : float
        When it was looked, in seconds since the epoch.
    name : str or None
        The pool's name.
    pool_id : str
        Its random id: 32 hexadecimal digits.
    max_processes : int
        The most processes that can be attached.
    processes : tuple of ProcessInfo
        Who has it attached.
    held : dict of int to int
        Number of blocks by slot of the process that holds them.
    gate : int or None
        The process in its gate.
    """

    time: float
    name: str | None
    pool_id: str
    max_processes: int
    processes: tuple[ProcessInfo, ...]
    held: dict[int, int]
    gate: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedQueues:
    """The output of `blockpool queues`.

    Attributes
    ----------
    name : str or None
        The pool's name.
    pool_id : str
        Its random id: 32 hexadecimal digits.
    queues : tuple of QueueInfo
        Its queues, topics and latest values.
    processes : tuple of ProcessInfo
        Who has the pool attached.
    """

    name: str | None
    pool_id: str
    queues: tuple[QueueInfo, ...]
    processes: tuple[ProcessInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """A line of `blockpool watch`.

    Attributes
    ----------
    time : float
        When it was looked, in seconds since the epoch.
    name : str or None
        The pool's name.
    pool_id : str
        Its random id: 32 hexadecimal digits.
    counts : PoolCounts
        How much of it is allocated, and what happened so far.
    rates : Rates or None
        What happened since the line before, per second; None in the first line.
    tickets : int
        References in flight between processes. In a pool of more than 2**18 blocks this may be some lines old.
    oldest_ticket : float or None
        As in `PoolStats`.
    exists : bool
        Whether the pool can still be reached; if not, this is the last line.
    """

    time: float
    name: str | None
    pool_id: str
    counts: PoolCounts
    rates: Rates | None
    tickets: int
    oldest_ticket: float | None
    exists: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredPool:
    """The output of `blockpool recover`.

    Attributes
    ----------
    name : str or None
        The pool's name.
    pool_id : str
        Its random id: 32 hexadecimal digits.
    recovered : Recovered
        What came back.
    """

    name: str | None
    pool_id: str
    recovered: Recovered


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptPools:
    """The output of `blockpool sweep`.

    Attributes
    ----------
    found : tuple of PoolSummary
        The pools that nobody alive had attached, before they were removed.
    removed : int
        How many pools were removed. It differs from the number found if another process did it, or another pool was
        left behind meanwhile.
    """

    found: tuple[PoolSummary, ...]
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlinkedPool:
    """The output of `blockpool unlink`.

    Attributes
    ----------
    name : str
        The name that was removed.
    was : PoolSummary or None
        What had it.
    """

    name: str
    was: PoolSummary | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The output of `blockpool export`.

    Attributes
    ----------
    snapshots : tuple of Snapshot
        One of each pool.
    """

    snapshots: tuple[Snapshot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPool:
    """The output of `blockpool record`.

    Attributes
    ----------
    name : str or None
        The pool's name.
    pool_id : str
        Its random id: 32 hexadecimal digits.
    path : str
        The file that was written.
    events, lost : int
        How many events are in it, and how many were lost.
    seconds : float
        From the beginning to the last event.
    ended : str
        What ended the recording: "time", "interrupt", or "pool" if no other process had the pool any more.
    """

    name: str | None
    pool_id: str
    path: str
    events: int
    lost: int
    seconds: float
    ended: Literal["time", "interrupt", "pool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosed:
    """The output of `blockpool doctor`.

    Attributes
    ----------
    pool : str or None
        The pool that it was asked about; None for all.
    healthy : bool
        Whether there is neither a warning nor an error.
    findings : tuple of Finding
        What is wrong, or worth knowing.
    """

    pool: str | None
    healthy: bool
    findings: tuple[Finding, ...]


# Every kind of document about pools, with its fields.
KINDS: dict[str, type] = {
    "doctor": Diagnosed,
    "pools": ListedPools,
    "pool": DescribedPool,
    "map": MappedPool,
    "runs": ListedRuns,
    "processes": ListedProcesses,
    "queues": ListedQueues,
    "glance": Glance,
    "recovered": RecoveredPool,
    "recorded": RecordedPool,
    "swept": SweptPools,
    "unlinked": UnlinkedPool,
    "snapshot": Snapshot,
    "export": Exported,
}
_KIND_OF = {shape: kind for kind, shape in KINDS.items()}


def all_kinds() -> dict[str, type]:
    """Return every kind of document, with its fields: those about pools, and those about traces, which need NumPy."""
    from blockpool.advice.results import Advice
    from blockpool.bench.results import Benchmark
    from blockpool.replay.results import Comparison

    return KINDS | {"advice": Advice, "replay": Comparison, "benchmark": Benchmark}


def fields_of(value: Any) -> tuple[str, Mapping[str, object]]:
    """Return the kind of document that such a value makes, and its fields."""
    shape = type(value)
    kind = _KIND_OF.get(shape) or next(kind for kind, each in all_kinds().items() if each is shape)
    return kind, {each.name: getattr(value, each.name) for each in fields(value)}
