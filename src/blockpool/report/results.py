"""What the demo found, as frozen dataclasses of plain values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blockpool.stats import PoolStats, Run

__all__ = [
    "DemoResult",
    "Disagreement",
    "PoolRun",
    "Rate",
    "Settings",
    "Skipped",
    "Snapshot",
    "Waits",
    "Workers",
]

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that could not be compared, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A file whose digest through the pool is not that of the plain loop."""

    path: str
    pooled: str
    plain: str


@dataclass(frozen=True, slots=True)
class Rate:
    """How much was hashed in how long."""

    files: int
    nbytes: int
    seconds: float

    @property
    def mib_per_second(self) -> float:
        """MiB hashed per second."""
        return self.nbytes / _MIB / self.seconds if self.seconds else 0.0

    @property
    def files_per_second(self) -> float:
        """Files hashed per second."""
        return self.files / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Waits:
    """How often readers found the pool full, and how long they waited for a block, all together and at most."""

    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def and_one(self, seconds: float) -> Waits:
        """Return these waits and one more."""
        return Waits(self.count + 1, self.seconds + seconds, max(self.longest, seconds))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was allocated in a pool of so many blocks at one moment."""

    blocks: int
    runs: tuple[Run, ...]

    @property
    def allocated(self) -> int:
        """Blocks allocated."""
        return sum(run.blocks for run in self.runs)


@dataclass(frozen=True, slots=True)
class Workers:
    """The worker processes of a run: how many were started and killed, and what was done again because of that.

    `again` counts files, once for each worker that died over them.
    """

    started: int = 0
    killed: int = 0
    again: int = 0
    again_bytes: int = 0

    def and_started(self) -> Workers:
        """Return these and one more that was started."""
        return replace(self, started=self.started + 1)

    def and_killed(self) -> Workers:
        """Return these, one more of them killed."""
        return replace(self, killed=self.killed + 1)

    def and_again(self, files: int, nbytes: int) -> Workers:
        """Return these and what one left undone."""
        return replace(self, again=self.again + files, again_bytes=self.again_bytes + nbytes)


@dataclass(frozen=True, slots=True)
class Settings:
    """The pool of a demo, and who uses it.

    `start_method` is how worker processes are started; without it, readers and workers are threads of one process. With
    `kill` workers are killed while they work.
    """

    block_size: int
    blocks: int
    readers: int
    workers: int
    start_method: str | None = None
    kill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRun:
    """What became of the pool when the files had gone through it.

    Attributes
    ----------
    rate : Rate
        What was hashed, in how long.
    waits : Waits
        How readers waited for blocks.
    busy, end : Snapshot
        The pool when half of the bytes were read, and at the end.
    stats : PoolStats
        At the end.
    problems : tuple of str
        A sentence for each thing that should not have happened; a block that did not come back is one.
    workers : Workers or None
        Of the worker processes, if there were any.
    """

    rate: Rate
    waits: Waits
    busy: Snapshot
    end: Snapshot
    stats: PoolStats
    problems: tuple[str, ...]
    workers: Workers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What a demo found.

    Attributes
    ----------
    settings : Settings
        The pool, and who uses it.
    agreed : int
        Files whose digests are the same both ways.
    disagreements : tuple of Disagreement
        Files whose digests differ.
    skipped : tuple of Skipped
        Files that were not compared.
    omitted : int
        Files left out because of the limit on bytes.
    pool : PoolRun
        The way through the pool.
    plain : Rate
        The plain loop.
    """

    settings: Settings
    agreed: int
    disagreements: tuple[Disagreement, ...]
    skipped: tuple[Skipped, ...]
    omitted: int
    pool: PoolRun
    plain: Rate

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for everything that speaks against blockpool; none of them is success."""
        differ = tuple(
            f"{each.path} has another digest than the plain loop found"
            for each in self.disagreements
        )
        nothing = () if self.agreed or differ else ("no file could be compared",)
        return differ + self.pool.problems + nothing
