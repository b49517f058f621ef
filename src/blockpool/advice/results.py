"""What the advice on a trace consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blockpool.replay.results import Plan, Replayed
    from blockpool.traces.form import Frame

__all__ = ["Advice", "Candidate", "Outline", "Site"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A trace in numbers.

    Attributes
    ----------
    source : str
        What the trace was made from.
    filter : str
        Which part of it was looked at; empty for all.
    events, allocations, live_at_end, unmatched, lost : int
        How many events, allocations, allocations never freed, frees without an allocation, and events lost.
    threads : int
        How many threads allocated or freed.
    seconds : float
        From the first event to the last; 0 if there are no times.
    timed : bool
        Whether times were measured.
    peak_bytes : int
        The most bytes asked for and live at a time.
    mean_bytes : int
        Live bytes on average over time; over events if there are no times.
    smallest, median, largest : int
        Sizes of the requests, bytes.
    sizes : tuple of (int, int)
        The most frequent sizes, and how many requests each had; at most 16, the most frequent first.
    history : tuple of (float, int)
        Seconds since the start, and the most live bytes since the point before; at most 512 points.
    """

    source: str
    filter: str
    events: int
    allocations: int
    live_at_end: int
    unmatched: int
    lost: int
    threads: int
    seconds: float
    timed: bool
    peak_bytes: int
    mean_bytes: int
    smallest: int
    median: int
    largest: int
    sizes: tuple[tuple[int, int], ...]
    history: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One pool, or a few by size, that would serve a trace; simulated with the code of real pools.

    Attributes
    ----------
    plans : tuple of Plan
        The pools, with no more blocks than the trace needs.
    peak_blocks : tuple of int
        The most blocks allocated at a time, of each pool.
    longest_run : tuple of int
        The most blocks of one request, of each pool.
    refusals : int
        How many requests were refused; 0 unless the size of the pool was given.
    bytes : int
        Memory of the pools with their bookkeeping.
    metadata : int
        The bookkeeping, bytes.
    inner : int
        Bytes of allocated blocks that nobody asked for, when most bytes are live.
    outer : int
        Bytes of blocks that are free at that time: because runs need adjacent blocks, or as most blocks are allocated
        at another time.
    waste : int
        `bytes` less the most bytes asked for and live at a time: the sum of `inner`, `outer` and `metadata`.
    nanoseconds : float
        Processor time of an allocation and its free, on average, in the simulation.
    """

    plans: tuple[Plan, ...]
    peak_blocks: tuple[int, ...]
    longest_run: tuple[int, ...]
    refusals: int
    bytes: int
    metadata: int
    inner: int
    outer: int
    waste: int
    nanoseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a program allocates.

    Attributes
    ----------
    where : Frame
        The innermost call that is the user's own: neither in an installed package nor in the standard library; without
        any, the innermost call.
    stack : tuple of Frame
        The most frequent stack with that call, the innermost first.
    allocations : int
        How many.
    total_bytes, peak_bytes : int
        Bytes asked for in all, and the most live at a time.
    smallest, largest : int
        Sizes, bytes.
    seconds : float
        How long an allocation lived, the median; 0 if there are no times.
    plan : Plan or None
        A pool for this site alone, from sizes and numbers, not simulated: it needs more blocks where runs of blocks
        leave gaps. None if malloc is the better choice.
    waste : int
        What that pool would waste, bytes.
    why : str
        Why this is a good site for a pool, or is not.
    """

    where: Frame
    stack: tuple[Frame, ...]
    allocations: int
    total_bytes: int
    peak_bytes: int
    smallest: int
    largest: int
    seconds: float
    plan: Plan | None
    waste: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Which pool a program should use, if any.

    Attributes
    ----------
    outline : Outline
        The trace.
    candidates : tuple of Candidate
        What was simulated, the least wasteful first.
    recommended : Candidate or None
        The least wasteful; None if the trace has no allocations, or if no pool can serve it.
    margin : float
        By which part the recommended call has more blocks than the trace needs.
    call : str
        Python code that makes the recommended pool or pools, with the margin.
    malloc : Replayed or None
        What the same trace costs in malloc, measured; None if it was not.
    pool : Replayed or None
        What it costs in the recommended pools, measured in the same way.
    use : bool
        Whether a pool is the better choice.
    reasons : tuple of str
        Why, as sentences with the numbers.
    sites : tuple of Site
        Where the program allocates, the best sites for a pool first; at most 20.
    """

    outline: Outline
    candidates: tuple[Candidate, ...]
    recommended: Candidate | None
    margin: float
    call: str
    malloc: Replayed | None
    pool: Replayed | None
    use: bool
    reasons: tuple[str, ...]
    sites: tuple[Site, ...]
