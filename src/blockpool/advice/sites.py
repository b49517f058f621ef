"""Which places in a program allocate, and which of them a pool would serve best.

A place is the innermost call that is the user's own: not in an installed package, not in the standard library and not
in code without a file. Allocations with NumPy then count for the line that calls NumPy. Where no call is the user's,
the innermost one counts.

The best place for a pool is the one where malloc would have to bring most memory into the process again: bytes asked
for in large pieces, less what was live at a time and so had to be brought in once by a pool as well, and the less the
more the sizes differ.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from blockpool.advice.choices import allowed, block_sizes, bookkeeping
from blockpool.advice.columns import Columns, live_bytes, need
from blockpool.advice.outline import sizes_of
from blockpool.advice.results import Site
from blockpool.advice.verdict import SMALL, THRESHOLD, bytes_text
from blockpool.replay import Plan
from blockpool.traces import ALLOCATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from blockpool.advice.outline import Sizes
    from blockpool.traces import Frame, Trace

__all__ = ["own_frame", "sites_of"]

_MOST_SITES = 20
_LOOKED_AT = 40
_CHOICES = 8
_FEW = 100
_FOREIGN = re.compile(r"[/\\](site-packages|dist-packages|python3(\.\d+)?t?)[/\\]|^<|^$|^[^/\\]*\.(pyx|pxd|pxi)$")


@dataclass(slots=True)
class _Place:
    """Where allocations come from, by the number of the place; and in which of the trace's stacks."""

    frame: Frame
    stacks: list[int]


def own_frame(stack: tuple[Frame, ...]) -> Frame:
    """Return the innermost call that is the user's own; without any, the innermost call."""
    return next((frame for frame in stack if not _FOREIGN.search(frame.file)), stack[0])


def sites_of(trace: Trace) -> tuple[Site, ...]:
    """Return the places that allocate, at most 20, the best for a pool first."""
    places: dict[Frame, _Place] = {}
    for number, stack in enumerate(trace.stacks):
        if stack:
            frame = own_frame(stack)
            places.setdefault(frame, _Place(frame, [])).stacks.append(number)
    if not places or not len(trace):
        return ()
    numbers = np.full(len(trace.stacks) + 1, -1, np.int32)  # the last is for events without a stack
    for number, place in enumerate(places.values()):
        numbers[place.stacks] = number
    allocations = trace.kind == ALLOCATE
    calls = trace.stack[allocations]
    which, size = numbers[calls], trace.size[allocations]
    large = np.bincount(which + 1, size * (size >= THRESHOLD), len(places) + 1)[1:]
    total = np.bincount(which + 1, size, len(places) + 1)[1:]
    uses = Counter(dict(enumerate(np.bincount(calls + 1)[1:].tolist())))
    ordered = np.lexsort((-total, -large))[:_LOOKED_AT]
    del allocations, calls, which, size
    of_event = numbers[trace.stack]
    named = list(places.values())
    found = []
    for number in ordered:
        place = named[int(number)]
        events = np.flatnonzero(of_event == number)
        if len(events):
            often = max(place.stacks, key=lambda stack: uses[stack])
            found.append(_site(trace, events, place.frame, trace.stacks[often]))
    found.sort(key=lambda pair: pair[0])
    return tuple(site for _, site in found[:_MOST_SITES])


def _site(
    trace: Trace, events: NDArray[np.intp], frame: Frame, stack: tuple[Frame, ...]
) -> tuple[tuple[float, float], Site]:
    """Return a place with its numbers, and by what it is sorted."""
    asked, kind = trace.size[events], trace.kind[events]
    allocations = kind == ALLOCATE
    sizes = sizes_of(asked[allocations])
    columns = Columns(np.maximum(asked, 1), np.where(allocations, np.int8(1), np.int8(-1)))
    peak = int(live_bytes(Columns(asked, columns.sign)).max())
    seconds = _lifetime(trace, events, allocations) if trace.timed else 0.0
    plan, waste, why = _plan(columns, sizes, peak)
    large = sizes.within(THRESHOLD - 1, int(sizes.values[-1]))
    again = max(large.total - peak, 0.0) * sizes.mean / max(int(sizes.values[-1]), 1)
    return (-again, -sizes.total), Site(
        where=frame,
        stack=stack,
        allocations=sizes.requests,
        total_bytes=int(sizes.total),
        peak_bytes=peak,
        smallest=int(sizes.values[0]),
        largest=int(sizes.values[-1]),
        seconds=seconds,
        plan=plan,
        waste=waste,
        why=why,
    )


def _lifetime(trace: Trace, events: NDArray[np.intp], allocations: NDArray[np.bool_]) -> float:
    """Return how long half of the allocations lived at most, in seconds; those never freed, until the trace ended."""
    ids, times = trace.id[events], trace.time[events]
    began = times[allocations]
    ended = np.full(len(began), trace.time[-1])
    # The ids of a place ascend, as those of the trace do, so a free finds its allocation by halving.
    ended[np.searchsorted(ids[allocations], ids[~allocations])] = times[~allocations]
    return float(np.median(ended - began)) * 1e-9


def _plan(columns: Columns, sizes: Sizes, peak: int) -> tuple[Plan | None, int, str]:
    """Return a pool for a place alone, what it would waste, and why it is a good place for a pool or is not."""
    median, requests = sizes.at_share(0.5), sizes.requests
    large = sizes.within(THRESHOLD - 1, int(sizes.values[-1]))
    alone = f"; look at the {large.requests:,} large ones alone, with --sizes 128KiB-" if large.requests >= _FEW else ""
    if median <= SMALL:
        why = f"at least half of the requests are for at most {median:,} bytes: Python's own allocator is best{alone}"
        return None, 0, why
    if requests < _FEW:
        return None, 0, f"only {requests:,} allocations: too few to gain anything"
    if median < THRESHOLD:
        why = (
            f"median {bytes_text(median)}: below {bytes_text(THRESHOLD)} malloc uses its own memory again, as a pool "
            f"does{alone}"
        )
        return None, 0, why
    best: tuple[int, int, int] | None = None
    for block_size in block_sizes(sizes, most=_CHOICES):
        needed = need(columns, block_size)
        if allowed(block_size, needed.blocks, sizes.mean):
            waste = needed.blocks * block_size + bookkeeping(needed.blocks) - peak
            if best is None or (waste, -block_size) < (best[0], -best[1]):
                best = (waste, block_size, needed.blocks)
    if best is None:
        return None, 0, f"a pool of {bytes_text(peak)} and more is too large"
    waste, block_size, blocks = best
    why = (
        f"{bytes_text(sizes.total)} asked for with {bytes_text(peak)} live at most, so the memory of a pool would be "
        f"used about {sizes.total / max(peak, 1):,.0f} times, without page faults"
    )
    return Plan(block_size, blocks), waste, why
