"""What the demo is about to do, how far it is, and what it found, as frozen dataclasses of plain values."""

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
    """A file of which a contestant found another digest than hashlib."""

    path: str
    contestant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is hashed, by whom, and on what machine.

    A lap goes `passes` times through the files, of which there are `nbytes` in all; `omitted` counts those that were
    left out. With `kill` workers are killed while they work. `cores` are those that this process may
    use, and `load` is how many programs wanted one of the machine's lately.
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
    """What processes have used: page faults, seconds of CPU, and bytes that went through read() and write()."""

    faults: float
    cpu: float
    moved: float


@dataclass(frozen=True, slots=True)
class Lap:
    """One contestant going through the data once. What all processes used is not known where some were killed."""

    nbytes: int
    seconds: float
    usage: Usage | None = None

    @property
    def rate(self) -> float:
        """MB (1,000,000 bytes) a second."""
        return self.nbytes / _MB / self.seconds


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work, and its laps. All figures are medians of the laps."""

    name: str
    laps: tuple[Lap, ...] = ()

    @property
    def rate(self) -> float:
        """MB a second."""
        return median(lap.rate for lap in self.laps)

    @property
    def spread(self) -> tuple[float, float]:
        """The slowest and the quickest lap, in MB a second."""
        rates = [lap.rate for lap in self.laps]
        return min(rates), max(rates)

    @property
    def copies(self) -> float | None:
        """How often each byte went through read() or write(); None where the system does not count that."""
        moved = self._each("moved")
        return moved / _MB if moved else None

    @property
    def faults(self) -> float | None:
        """Page faults for each MB."""
        return self._each("faults")

    @property
    def cpu(self) -> float | None:
        """Seconds of CPU for each MB."""
        return self._each("cpu")

    def _each(self, figure: str) -> float | None:
        known = [getattr(lap.usage, figure) / lap.nbytes * _MB for lap in self.laps if lap.usage]
        return median(known) if known else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was allocated in a pool of so many blocks at one moment."""

    blocks: int
    runs: tuple[Run, ...]

    @property
    def allocated(self) -> int:
        """Blocks allocated."""
        return sum(run.blocks for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a demo is: what it does at this moment, its share of the time, who runs, and what is known so far."""

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
        """A sentence for everything that speaks against blockpool; none of them is success."""
        differ = [f"{each.path}: hashlib finds another digest than {each.contestant}" for each in self.wrong]
        return (*differ, *self.problems)
