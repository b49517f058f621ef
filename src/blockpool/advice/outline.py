"""A trace in numbers: its peak, its mean, its sizes, and how much was live over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from blockpool.advice.columns import slices
from blockpool.advice.results import Outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from blockpool.traces.form import Trace

__all__ = ["Sizes", "outline_of", "sizes_of"]

_POINTS = 512
_FREQUENT = 16


class Sizes(NamedTuple):
    """The different sizes that were asked for, ascending, in bytes, and how many requests each had."""

    values: NDArray[np.int64]
    counts: NDArray[np.int64]

    def at_share(self, share: float) -> int:
        """Return the smallest size for which at least this share of the requests are not larger; share > 0."""
        upto = np.cumsum(self.counts)
        return int(self.values[int(np.searchsorted(upto, share * upto[-1]))])

    def within(self, above: int, up_to: int) -> Sizes:
        """Return the sizes of more than `above` and at most `up_to` bytes; 0 for `above` means from the smallest."""
        chosen = (self.values > (above or -1)) & (self.values <= up_to)
        return Sizes(self.values[chosen], self.counts[chosen])

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return int(self.counts.sum())

    @property
    def total(self) -> float:
        """Bytes asked for in all."""
        return float((self.values * self.counts.astype(np.float64)).sum())

    @property
    def largest(self) -> int:
        """The largest size; at least 1, as a request of 0 bytes takes a block too."""
        return max(int(self.values[-1]), 1)

    @property
    def mean(self) -> float:
        """Bytes of a request, on average; 0 without requests."""
        return self.total / max(self.requests, 1)

    def frequent(self, most: int) -> list[tuple[int, int]]:
        """Return the most frequent sizes and their numbers of requests; of equally frequent ones, larger first."""
        order = np.lexsort((-self.values, -self.counts))[:most]
        return [(int(self.values[i]), int(self.counts[i])) for i in order]


def sizes_of(size: NDArray[np.int64]) -> Sizes:
    """Return the different sizes of requests."""
    ordered = np.sort(size)
    if not len(ordered):
        return Sizes(ordered, np.empty(0, np.int64))
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return Sizes(ordered[starts], np.diff(starts, append=len(ordered)))


def outline_of(trace: Trace, sizes: Sizes, live: NDArray[np.int64], chosen: str = "") -> Outline:
    """Return the trace in numbers.

    Parameters
    ----------
    trace : Trace
        The trace.
    sizes : Sizes
        The sizes of its requests.
    live : ndarray of int64
        The live bytes after each event.
    chosen : str
        What the trace was filtered by.

    Returns
    -------
    Outline
        The numbers.
    """
    events, requests = len(trace), sizes.requests
    return Outline(
        source=trace.source,
        filter=chosen,
        events=events,
        allocations=requests,
        live_at_end=2 * requests - events,
        unmatched=trace.unmatched,
        lost=trace.lost,
        threads=int(np.count_nonzero(np.bincount(trace.thread))) if events else 0,
        seconds=float(trace.time[-1] - trace.time[0]) * 1e-9 if trace.timed and events else 0.0,
        timed=trace.timed,
        peak_bytes=int(live.max()) if events else 0,
        mean_bytes=_mean(trace, live),
        smallest=int(sizes.values[0]) if requests else 0,
        median=sizes.at_share(0.5) if requests else 0,
        largest=int(sizes.values[-1]) if requests else 0,
        sizes=tuple(sizes.frequent(_FREQUENT)),
        history=_history(trace, live),
    )


def _mean(trace: Trace, live: NDArray[np.int64]) -> int:
    """Return the live bytes on average: over time, or over events if there are no times."""
    events = len(trace)
    if not events:
        return 0
    lasted = int(trace.time[-1] - trace.time[0])
    if lasted == 0 or not trace.timed:
        return int(live.mean(dtype=np.float64))
    total = 0.0
    for part in slices(events - 1):
        following = slice(part.start + 1, part.stop + 1)
        # Not np.dot: with floating-point numbers that begins threads, which takes longer than the sum.
        total += float((live[part] * (trace.time[following] - trace.time[part]).astype(np.float64)).sum())
    return int(total / lasted)


def _history(trace: Trace, live: NDArray[np.int64]) -> tuple[tuple[float, int], ...]:
    """Return times, evenly spread, and the most live bytes since the time before each."""
    events = len(trace)
    if not events:
        return ()
    began, ended = int(trace.time[0]), int(trace.time[-1])
    points = min(_POINTS, events)
    if ended == began:
        return ((0.0, int(live.max())),)
    # The last is not computed: it may be as large as an integer of 64 bits can be, but not a float of as many.
    times = np.append(began + (np.arange(1, points) * ((ended - began) / points)).astype(np.int64), ended)
    ends = np.searchsorted(trace.time, times, side="right")
    starts = np.concatenate(([0], ends[:-1]))
    # What was live when a stretch began counts in it too, and is all that counts in one without events.
    most = np.where(starts > 0, live[np.maximum(starts - 1, 0)], 0)
    full = starts < ends
    # The full stretches lie side by side, so each ends where the next begins.
    most[full] = np.maximum(most[full], np.maximum.reduceat(live, starts[full]))
    return tuple((float(t - began) * 1e-9, int(m)) for t, m in zip(times, most, strict=True))
