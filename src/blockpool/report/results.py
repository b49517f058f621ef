"""The demo's setup, progress and results, as frozen dataclasses of plain values."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from blockpool.stats import Run

__all__ = [
    "LOOP",
    "POOL",
    "QUEUE",
    "SHARED_MEMORY",
    "Contestant",
    "DemoResult",
    "Lap",
    "Progress",
    "Setup",
    "Snapshot",
    "Usage",
    "Wrong",
]

_MB = 1_000_000

# The contestants.
POOL = "blockpool"
QUEUE = "Queue, pickled"
SHARED_MEMORY = "SharedMemory each"
LOOP = "loop, one process"


@dataclass(frozen=True, slots=True)
class Wrong:
    """A file for which a contestant found a digest that differs from hashlib's."""

    path: str
    contestant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is hashed, by how many workers, and on what machine.

    A lap goes through the files `passes` times; they have `nbytes` in total, and `omitted` counts those that were left
    out. With `kill`, workers are killed while they work. `cores` is how many this process may use, and `load` is the
    machine's recent load average.
    """

    block_size: int
    blocks: int
    workers: int
    kill: bool
    algorithm: str
    files: int
    nbytes: int
    omitted: int
    passes: int
    cores: int
    load: float


class Usage(NamedTuple):
    """What processes used: page faults, seconds of CPU time, and bytes that went through read() and write()."""

    faults: float
    cpu: float
    moved: float


@dataclass(frozen=True, slots=True)
class Lap:
    """One contestant going through the data once. If processes were killed, what they used is not known."""

    nbytes: int
    seconds: float
    usage: Usage | None = None

    @property
    def rate(self) -> float:
        """MB (1,000,000 bytes) per second."""
        return self.nbytes / _MB / self.seconds


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work, and its laps. All figures are medians of the laps."""

    name: str
    laps: tuple[Lap, ...] = ()

    @property
    def rate(self) -> float:
        """MB per second."""
        return median(lap.rate for lap in self.laps)

    @property
    def spread(self) -> tuple[float, float]:
        """The slowest and the fastest lap, in MB per second."""
        rates = [lap.rate for lap in self.laps]
        return min(rates), max(rates)

    @property
    def copies(self) -> float | None:
        """How often each byte went through read() or write(); None if the system does not count that."""
        moved = self._each("moved")
        return moved / _MB if moved else None

    @property
    def faults(self) -> float | None:
        """Page faults per MB."""
        return self._each("faults")

    @property
    def cpu(self) -> float | None:
        """Seconds of CPU time per MB."""
        return self._each("cpu")

    def _each(self, figure: str) -> float | None:
        known = [getattr(lap.usage, figure) / lap.nbytes * _MB for lap in self.laps if lap.usage]
        return median(known) if known else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was allocated in a pool at one moment."""

    blocks: int
    runs: tuple[Run, ...]

    @property
    def allocated(self) -> int:
        """Blocks allocated."""
        return sum(run.blocks for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a demo: what it is doing, what share of the time is over, who is running, and results so far."""

    doing: str
    share: float
    running: str
    contestants: tuple[Contestant, ...]
    pool: Snapshot
    killed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What a demo found.

    Attributes
    ----------
    setup : Setup
        What was hashed, and by whom.
    contestants : tuple of Contestant
        The pool first, the loop in one process last.
    compared : int
        Digests that were compared with those of hashlib: of each piece of a file, and each contestant.
    wrong : tuple of Wrong
        Files whose digests differ.
    busy, end : Snapshot
        The pool in the middle of a lap, and at the end.
    allocations, frees : int
        What the pool counted.
    problems : tuple of str
        A sentence for each thing that is wrong with the pool; a block that did not come back is one.
    killed, again : int
        Workers that were killed, and messages that others did again because of that.
    """

    setup: Setup
    contestants: tuple[Contestant, ...]
    compared: int
    wrong: tuple[Wrong, ...]
    busy: Snapshot
    end: Snapshot
    allocations: int
    frees: int
    problems: tuple[str, ...]
    killed: int
    again: int

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for each fault that was found; no fault means success."""
        differ = [f"{each.path}: hashlib finds another digest than {each.contestant}" for each in self.wrong]
        return (*differ, *self.problems)
