"""What a run of the benchmarks found, as frozen dataclasses: the data of the report, of the plots and of the JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Asked", "Benchmark", "Contestant", "Gap", "Line", "Machine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the benchmarks ran on.

    Attributes
    ----------
    processor : str
        Its model.
    cores, usable : int
        How many processors the machine has, and how many of them this process may use.
    memory : int
        Bytes of memory.
    shared : int
        Bytes that were free in /dev/shm when it began.
    load : float
        How many processes ran or waited to run, on average of the minute before it began.
    system, libc, python : str
        Versions of the kernel, of the C library and of Python.
    huge_pages, huge_shared_pages : str
        When the kernel gives huge pages to private and to shared memory.
    """

    processor: str
    cores: int
    usable: int
    memory: int
    shared: int
    load: float
    system: str
    libc: str
    python: str
    huge_pages: str
    huge_shared_pages: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A contender: a pool of blockpool, or a peer.

    Attributes
    ----------
    name : str
        Its name in the tables.
    ours : bool
        Whether it is one of blockpool's.
    version : str
        Which version was measured; "" if it could not be had.
    use : str
        How it is used: the way that its documentation recommends for speed.
    absent : str
        Why it could not be had; "" if it could.
    """

    name: str
    ours: bool
    version: str
    use: str
    absent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question that was asked.

    Attributes
    ----------
    name : str
        Its name on the command line.
    asks, how : str
        The question in words, and how it is answered.
    unit : str
        What its values are: "ns" or "bytes".
    axis : str
        What `x` of its lines is.
    done : bool
        Whether all of it was measured.
    """

    name: str
    asks: str
    how: str
    unit: Literal["ns", "bytes"]
    axis: str
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A pool of blockpool beside a peer in one case of a question. The smaller value is the better one.

    Attributes
    ----------
    question, case : str
        The question's name, and the case in words.
    group : str
        Which curve of a plot the case belongs to; "" where there is one.
    x : float
        Where it stands in a plot.
    ours, peer : str
        The names of the two.
    ours_value, peer_value : float
        The medians of what was measured of each.
    ratio : float
        The median of the ratios, ours to the peer's, pair by pair.
    low, high : float
        The ends of an interval in which the median of all such ratios is.
    coverage : float
        How sure that is: 0.95 or more, less if there are fewer than six pairs.
    verdict : str
        "won" if the whole interval is below 1, "lost" if it is above, else "even".
    pairs : tuple of tuple of (float, float)
        What was measured in turn, ours and the peer's.
    """

    question: str
    case: str
    group: str
    x: float
    ours: str
    peer: str
    ours_value: float
    peer_value: float
    ratio: float
    low: float
    high: float
    coverage: float
    verdict: Literal["won", "lost", "even"]
    pairs: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A line that is missing.

    Attributes
    ----------
    question, case : str
        The question's name, and the case in words.
    contender : str
        Who was not measured.
    why : str
        What went wrong, or why it has no part in this.
    failed : bool
        Whether it failed: it crashed, hung, was killed or raised an exception. Otherwise it has no part in this.
    """

    question: str
    case: str
    contender: str
    why: str
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """The output of `blockpool bench`.

    Attributes
    ----------
    version : str
        The version of blockpool.
    time, seconds : float
        When it began, in seconds since the epoch, and how long it took.
    quick : bool
        Whether it ran with few and small cases.
    complete : bool
        Whether it ran to its end; if not, it was interrupted.
    machine : Machine
        What it ran on.
    contestants : tuple of Contestant
        Who was compared, and who was to be.
    questions : tuple of Asked
        What was asked.
    lines : tuple of Line
        Every comparison, won or lost.
    gaps : tuple of Gap
        Every comparison that could not be made.
    """

    version: str
    time: float
    seconds: float
    quick: bool
    complete: bool
    machine: Machine
    contestants: tuple[Contestant, ...]
    questions: tuple[Asked, ...]
    lines: tuple[Line, ...]
    gaps: tuple[Gap, ...]
