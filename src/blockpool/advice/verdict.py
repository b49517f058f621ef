"""Whether a pool is the better choice, and why: a pure function of the numbers.

A pool is *not* recommended if any of these holds. Each is said with its numbers, so each can be checked.

- Few: fewer than 100 allocations, or fewer than 2 for each block of the pool. Then hardly any memory is used again, and
  the pool saves nothing.
- Small: at least half of the requests are for at most 512 bytes. Python's own allocator serves those in about the time
  in which an object is made at all.
- Short peak: on average less than an eighth of the peak is live. A pool keeps the memory of the peak all the time;
  malloc gives large pieces back to the kernel.
- Incomplete: more than 1 % of the events were lost while they were recorded.
- Wasteful: the pool takes more than 1.5 times what is asked for at the peak.
- Measured, malloc is better: the pool neither wins at least 10 % of the time nor at least 10 % of the memory; or it
  wins one and loses more than 10 % of the time, or more than half again of the memory. A few percent decide nothing,
  as what malloc takes varies by as much from run to run; up to 5 % are called about the same.
- Not measured: less than half of the requests are for 128 KiB or more. From that size on, malloc asks the kernel for
  memory and gives it back, at first at least, so each use pays page faults; below, it uses its own memory again, as a
  pool does.

Time is processor time of the allocations and frees, each page written to once, with page faults. The replay calls the
C code, so to that of the pool comes what its calls cost in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from blockpool.advice.results import Candidate, Outline
    from blockpool.replay import Replayed

__all__ = ["SMALL", "THRESHOLD", "CallCosts", "bytes_text", "verdict"]

SMALL = 512  # bytes; up to here, Python's objects come from Python's own allocator
THRESHOLD = 128 * 1024  # bytes; from here on, glibc's malloc asks the kernel
_FEW = 100
_USES = 2
_SHORT_PEAK = 1 / 8
_LOST = 0.01
_WASTE = 1.5
_WINS_TIME, _LOSES_TIME = 0.9, 1.1
_WINS_MEMORY, _LOSES_MEMORY = 0.9, 1.5
_SAME = 0.05  # what malloc takes varies by some percent


class CallCosts(NamedTuple):
    """What calls cost in Python, nanoseconds.

    Attributes
    ----------
    pool : float
        To allocate a block and free it.
    python : float
        To make an object of 256 bytes, with Python's own allocator, and drop it.
    """

    pool: float
    python: float


def verdict(
    outline: Outline, candidate: Candidate | None, malloc: Replayed | None, pool: Replayed | None, costs: CallCosts
) -> tuple[bool, tuple[str, ...]]:
    """Say whether the pool of a candidate is the better choice, and why.

    Parameters
    ----------
    outline : Outline
        The trace in numbers.
    candidate : Candidate or None
        The recommended pool.
    malloc, pool : Replayed or None
        The trace replayed against malloc and against the pool, measured; None if that was not done.
    costs : CallCosts
        What calls cost.

    Returns
    -------
    (bool, tuple of str)
        Whether to use a pool, and sentences that say why, or why not.
    """
    if not outline.allocations:
        return False, (_nothing(outline),)
    if candidate is None:
        peak, smallest, largest = map(bytes_text, (outline.peak_bytes, outline.smallest, outline.largest))
        asked = f"at its peak the trace asks for {peak}, in sizes from {smallest} to {largest}"
        return False, (f"No pool can serve this: {asked}.",)
    against = _objections(outline, candidate, costs)
    measured, compared = _compared(outline.events, malloc, pool, costs)
    reasons = list(compared)
    use = not against
    if measured is None:
        use = use and outline.median >= THRESHOLD
        reasons.append(_by_sizes(outline))
    else:
        use = use and measured
    if use and outline.median < THRESHOLD <= outline.largest:
        reasons.append(
            f"Half of the requests are for at most {bytes_text(outline.median)}, which malloc may serve as well. Ask "
            f"for the large ones alone too: {_at_least(THRESHOLD)}."
        )
    return use, (*against, *reasons, *_remarks(outline, candidate))


def _nothing(outline: Outline) -> str:
    """Say that there is nothing to serve."""
    if outline.filter:
        return f"No allocation of the trace fits this: {outline.filter}."
    return "The trace has no allocations, so there is nothing that a pool could serve."


def _objections(outline: Outline, candidate: Candidate, costs: CallCosts) -> list[str]:
    """Return what speaks against any pool, whatever was measured."""
    said = []
    blocks = sum(candidate.peak_blocks)
    if outline.allocations < _FEW:
        said.append(f"There are only {outline.allocations:,} allocations, too few to gain anything.")
    elif sum(candidate.longest_run) == len(candidate.plans) and outline.allocations < _USES * blocks:
        said.append(
            f"{outline.allocations:,} allocations need {blocks:,} blocks at a time, so hardly any memory is used again."
        )
    if outline.median <= SMALL:
        said.append(
            f"At least half of the requests are for at most {outline.median:,} bytes. Up to {SMALL} bytes, Python has "
            f"an allocator of its own: it makes and drops an object of 256 bytes in {costs.python:.0f} ns. To allocate "
            f"a block from a pool and free it takes {costs.pool:.0f} ns, without an object."
        )
        if outline.largest > SMALL:
            least = THRESHOLD if outline.largest >= THRESHOLD else SMALL + 1
            said.append(f"Larger requests can be looked at alone: {_at_least(least)}.")
    if outline.mean_bytes < outline.peak_bytes * _SHORT_PEAK:
        said.append(
            f"The peak is short: {bytes_text(outline.mean_bytes)} are live on average, "
            f"{bytes_text(outline.peak_bytes)} at the peak. A pool keeps the memory of the peak all the time; malloc "
            f"gives most of it back."
        )
    if outline.lost > _LOST * (outline.events + outline.lost):
        said.append(
            f"{outline.lost:,} events were lost while {outline.events:,} were recorded, so the trace does not show "
            f"enough of what the program needs."
        )
    if candidate.bytes > _WASTE * outline.peak_bytes:
        said.append(
            f"Even the least wasteful pool takes {bytes_text(candidate.bytes)} for {bytes_text(outline.peak_bytes)} "
            f"that are asked for at the peak."
        )
    return said


def _compared(
    events: int, malloc: Replayed | None, pool: Replayed | None, costs: CallCosts
) -> tuple[bool | None, list[str]]:
    """Return whether the pool was better where both were measured, or None; and what was measured."""
    if malloc is None or pool is None:
        return None, ["Malloc was not measured, so this rests on the simulation alone."]
    if not (malloc.complete and pool.complete):
        stopped = malloc if not malloc.complete else pool
        text = (
            f"The replay in memory against {stopped.allocator} reached its time limit after {stopped.reached:,} of "
            f"{events:,} events, so memory and time are not compared, and this rests on the simulation alone."
        )
        return None, [text]
    if not malloc.resident or pool.resident is None or not malloc.touched_seconds or pool.touched_seconds is None:
        return None, ["Memory and time of malloc could not be measured, so this rests on the simulation alone."]
    in_python = costs.pool * 1e-9 * pool.allocations
    seconds = pool.touched_seconds + in_python
    time, memory = seconds / malloc.touched_seconds, pool.resident / malloc.resident
    said = [
        (
            f"Memory: {bytes_text(pool.resident)} resident at most with the pool, {bytes_text(malloc.resident)} with "
            f"malloc ({_change(memory)})."
        ),
        (
            f"Processor time to allocate, write to each page once and free: {_seconds(seconds)} with the pool, "
            f"{_seconds(in_python)} of it for calls from Python, and {_seconds(malloc.touched_seconds)} with malloc "
            f"({_change(time)})."
        ),
    ]
    wins = time <= _WINS_TIME or memory <= _WINS_MEMORY
    loses = time > _LOSES_TIME or memory > _LOSES_MEMORY
    if not wins or loses:
        said.append(
            f"Malloc is the better choice: a pool should take at least {_percent(1 - _WINS_TIME)} less time or "
            f"{_percent(1 - _WINS_MEMORY)} less memory, and neither more than {_percent(_LOSES_TIME - 1)} more time "
            f"nor more than {_percent(_LOSES_MEMORY - 1)} more memory."
        )
    return wins and not loses, said


def _by_sizes(outline: Outline) -> str:
    """Say what the sizes promise."""
    if outline.median >= THRESHOLD:
        return (
            f"At least half of the requests are for {bytes_text(outline.median)} or more. From "
            f"{bytes_text(THRESHOLD)} on, malloc may return memory to the kernel at each free, and then pays page "
            f"faults at each use; a pool keeps its pages."
        )
    return (
        f"Half of the requests are for at most {bytes_text(outline.median)}; below {bytes_text(THRESHOLD)}, malloc "
        f"uses its own memory again as a pool does, so a pool gains little."
    )


def _remarks(outline: Outline, candidate: Candidate) -> list[str]:
    """Return what else a reader should know."""
    said = [
        f"The pool takes {bytes_text(candidate.bytes)} for {bytes_text(outline.peak_bytes)} asked for at the peak: "
        f"{100 * candidate.waste / outline.peak_bytes:.1f} % more."
        if outline.peak_bytes
        else f"The pool takes {bytes_text(candidate.bytes)}; the trace asks for 0 bytes."
    ]
    if outline.lost and outline.lost <= _LOST * (outline.events + outline.lost):
        said.append(f"{outline.lost:,} events were lost while the trace was recorded; the true peak may be higher.")
    if outline.unmatched:
        frees = "1 free is" if outline.unmatched == 1 else f"{outline.unmatched:,} frees are"
        said.append(f"{frees} left out: the memory was allocated before the trace began, so its size is not known.")
    if outline.live_at_end:
        were = "1 allocation was" if outline.live_at_end == 1 else f"{outline.live_at_end:,} allocations were"
        said.append(f"{were} not freed before the trace ended. The pool has room for them to stay.")
    said.append(
        "A trace does not show what sharing saves: other processes that share the pool need no copies of their own."
    )
    return said


def bytes_text(value: float) -> str:
    """Return so many bytes for people."""
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.0f} byte" if value == 1 else f"{value:.0f} bytes"


def _change(ratio: float) -> str:
    if abs(ratio - 1) <= _SAME:
        return "about the same"
    return f"{_percent(abs(ratio - 1))} {'less' if ratio < 1 else 'more'}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _at_least(size: int) -> str:
    """Return how to ask for requests of so many bytes and more, in the command line and in Python."""
    asked = f"{size // 1024}KiB" if size % 1024 == 0 else size
    return f"--sizes {asked}-, or sizes=({size}, None) in Python"


def _seconds(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
