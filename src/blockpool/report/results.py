"""What the demo found, as frozen dataclasses of plain values."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blockpool.stats import Run

__all__ = [
    "LOOP",
    "POOL",
    "QUEUE",
    "SHARED_MEMORY",
    "Contestant",
    "DataSet",
    "DemoResult",
    "Kills",
    "Lap",
    "Progress",
    "Settings",
    "Skipped",
    "Snapshot",
    "Wrong",
]

_MB = 1_000_000
POOL = "blockpool"
QUEUE = "Queue, pickled"
SHARED_MEMORY = "SharedMemory each"
LOOP = "loop, one process"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not compared, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """A file of which a contestant found another digest than hashlib did at the end."""

    path: str
    contestant: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Who takes part in a demo, and with what.

    With `kill` workers are killed while they work; `algorithm` is the name of the hash. `cores` are those that this
    process may use, and `load` is how many programs wanted one of the machine's lately.
    """

    block_size: int
    blocks: int
    workers: int
    algorithm: str
    cores: int
    load: float
    kill: bool = False


@dataclass(frozen=True, slots=True)
class DataSet:
    """What is hashed: files, bytes, messages, how often a lap goes through them, and files that were left out."""

    files: int
    nbytes: int
    messages: int
    passes: int
    omitted: int


@dataclass(frozen=True, slots=True)
class Lap:
    """One contestant going through the data once.

    Attributes
    ----------
    nbytes, seconds
        Bytes hashed, and in how long.
    faults, cpu, moved
        Page faults, seconds of CPU, and bytes that went through read() and write(), of all processes together. None
        where workers were killed, who cannot say.
    """

    nbytes: int
    seconds: float
    faults: int | None = None
    cpu: float | None = None
    moved: int | None = None

    @property
    def rate(self) -> float:
        """MB (1,000,000 bytes) a second."""
        return self.nbytes / _MB / self.seconds


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work, and its laps."""

    name: str
    laps: tuple[Lap, ...] = ()

    @property
    def rate(self) -> float:
        """MB a second: the median of the laps."""
        return median(lap.rate for lap in self.laps)

    @property
    def spread(self) -> tuple[float, float]:
        """The slowest and the quickest lap, in MB a second."""
        rates = [lap.rate for lap in self.laps]
        return min(rates), max(rates)

    @property
    def copies(self) -> float | None:
        """How often each byte went through read() or write()."""
        return self._each("moved", 1)

    @property
    def faults(self) -> float | None:
        """Page faults for each MB."""
        return self._each("faults", _MB)

    @property
    def cpu(self) -> float | None:
        """Milliseconds of CPU for each MB."""
        seconds = self._each("cpu", _MB)
        return None if seconds is None else 1000 * seconds

    def _each(self, figure: str, per: int) -> float | None:
        found = [getattr(lap, figure) for lap in self.laps]
        known = [
            value / lap.nbytes * per
            for value, lap in zip(found, self.laps, strict=True)
            if value is not None
        ]
        return median(known) if known else None

    def times(self, other: Contestant) -> float:
        """How many times faster this one is than the other: the median of the rounds."""
        pairs = zip(self.laps, other.laps, strict=False)
        return median(ours.rate / theirs.rate for ours, theirs in pairs)


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
class Kills:
    """How many workers were killed, and how many messages others did again because of that."""

    killed: int = 0
    again: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a demo is: what it does at this moment, its share of all, who runs, and what is known so far."""

    doing: str
    share: float
    running: str | None
    contestants: tuple[Contestant, ...]
    pool: Snapshot
    kills: Kills


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What a demo found.

    Attributes
    ----------
    settings, data
        Who took part, and what was hashed.
    contestants : tuple of Contestant
        Through the pool first, the loop in one process last.
    compared : int
        Digests that were compared with those of hashlib: of each piece of a file, and each contestant.
    wrong : tuple of Wrong
        Files whose digests differ.
    skipped : tuple of Skipped
        Files that could not be read, or changed meanwhile.
    busy, end : Snapshot
        The pool in the middle of a lap, and at the end.
    allocations, frees : int
        What the pool counted.
    problems : tuple of str
        A sentence for each thing that is wrong with the pool; a block that did not come back is one.
    kills : Kills
        Of workers, with `kill`.
    """

    settings: Settings
    data: DataSet
    contestants: tuple[Contestant, ...]
    compared: int
    wrong: tuple[Wrong, ...]
    skipped: tuple[Skipped, ...]
    busy: Snapshot
    end: Snapshot
    allocations: int
    frees: int
    problems: tuple[str, ...]
    kills: Kills

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for everything that speaks against blockpool; none of them is success."""
        differ = tuple(
            f"{each.path} has another digest than hashlib finds ({each.contestant})"
            for each in self.wrong
        )
        nothing = () if self.compared else ("no file could be compared",)
        return differ + self.problems + nothing
