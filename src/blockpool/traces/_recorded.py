"""Reads what a recorder took out of a pool's lanes (core/src/shared/lanes.h) as a trace.

Events come lane by lane, in rounds. A lane has one thread at a time, and its order is that of the thread. Times are
there only now and then; each event lies between the time before it in its lane and the one after it, and not after the
end of the round in which it was taken. In between, events are laid evenly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from blockpool.traces._build import build
from blockpool.traces.form import ALLOCATE, FREE, Frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from blockpool.stats import Run
    from blockpool.traces.form import Trace

__all__ = ["CELL", "recorded"]

CELL = np.dtype([("what", "<u8"), ("value", "<u8")])
# See enum lane_kind.
_ALLOCATED, _FREED, _OWNER, _TIME, _STACK, _TEXT, _MORE, _TAKEN, _NOW, _LOST = range(1, 11)
_STAMP = 10_000  # nanoseconds; see STAMP_NANOSECONDS in recording.c
_LATEST = 2**63 - 1
_BEFORE = "before the recording"


class _Lane(NamedTuple):
    """What came from one lane: its cells in order, and for each the end of the round in which it was taken."""

    cells: NDArray[np.void]
    ends: NDArray[np.int64]


class _Events(NamedTuple):
    """Events in columns; a run is named by its generation << 24 | its first block."""

    time: NDArray[np.int64]
    kind: NDArray[np.uint8]
    size: NDArray[np.int64]
    run: NDArray[np.uint64]
    owner: NDArray[np.uint64]

    def rows(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> _Events:
        """Return some of the rows."""
        return _Events(self.time[rows], self.kind[rows], self.size[rows], self.run[rows], self.owner[rows])


def _joined(parts: Sequence[_Events]) -> _Events:
    """Return the rows of all parts, one part after the other."""
    return _Events(
        np.concatenate([np.empty(0, np.int64), *(part.time for part in parts)]),
        np.concatenate([np.empty(0, np.uint8), *(part.kind for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.size for part in parts)]),
        np.concatenate([np.empty(0, np.uint64), *(part.run for part in parts)]),
        np.concatenate([np.empty(0, np.uint64), *(part.owner for part in parts)]),
    )


def recorded(
    cells: NDArray[np.void], began: int, live: Iterable[Run], source: str, *, before: Iterable[Run] = ()
) -> Trace:
    """Make a trace of what a recorder took.

    Parameters
    ----------
    cells : ndarray of CELL
        All that it took, in order.
    began : int
        When the recording began, nanoseconds on the monotonic clock.
    live : iterable of Run
        The runs that were live right after the beginning.
    source : str
        What was recorded, for people.
    before : iterable of Run, optional
        Those that were live shortly before it. They are in the trace if their free was recorded: others may have ended
        before the beginning.

    Returns
    -------
    Trace
        The events by time. What was live at the beginning is allocated then, by a thread "before the recording".
    """
    lanes, lost = _lanes(cells)
    events = _joined([_events_of(lane, began) for lane in lanes.values()])
    events = _in_order(_with_ends(_without_doubles(_with_live(events, began, live, before))))
    owners, thread = np.unique(events.owner, return_inverse=True)
    texts, numbers = _stacks(lanes.values())
    return build(
        kind=events.kind,
        size=events.size,
        key=events.run,
        time=events.time,
        thread=thread,
        stack=_stack_column(events, numbers) if numbers else None,
        threads=[
            _BEFORE if owner == 0 else f"process {owner >> 32}, thread {owner & 0xFFFFFFFF}"
            for owner in owners.tolist()
        ]
        or [_BEFORE],
        stacks=[_frames(text) for text in texts],
        source=source,
        lost=lost,
    )


def _lanes(cells: NDArray[np.void]) -> tuple[dict[int, _Lane], int]:
    """Sort the cells by lane; also how many events were lost."""
    what, value = cells["what"], cells["value"]
    pieces: dict[int, list[tuple[NDArray[np.void], int]]] = {}
    at = lost = end = 0
    while at < len(cells):
        kind, count = int(what[at]) & 0xFF, int(value[at])
        if kind == _TAKEN:
            pieces.setdefault(int(what[at]) >> 8, []).append((cells[at + 1 : at + 1 + count], end))
            at += count
        elif kind == _NOW:
            end = min(count, _LATEST)
        elif kind == _LOST:
            lost += count
        at += 1
    return {
        number: _Lane(
            np.concatenate([piece for piece, _ in taken]),
            np.repeat(np.array([end for _, end in taken], np.int64), [len(piece) for piece, _ in taken]),
        )
        for number, taken in pieces.items()
    }, lost


def _last(positions: NDArray[np.int64], marks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each position the last marked one up to it, or -1."""
    return np.maximum.accumulate(np.where(marks, positions, -1))


def _events_of(lane: _Lane, began: int) -> _Events:
    """Return the events of a lane, with their times and owners."""
    what, value = lane.cells["what"], lane.cells["value"]
    kinds = (what & 0xFF).astype(np.uint8)
    positions = np.arange(len(kinds), dtype=np.int64)
    marks = kinds == _TIME
    before = _last(positions, marks)
    after = len(kinds) - 1 - _last(positions, marks[::-1])[::-1]  # len(kinds) if there is none
    times = np.append(value, np.uint64(0)).astype(np.int64)
    lower = np.where(before < 0, began, times[before])
    upper = np.where(after == len(kinds), lane.ends, np.minimum(times[np.minimum(after, len(kinds))], lane.ends))
    # A thread means to put the next time _STAMP later. If that came much later, it paused: likely after these events.
    paused = (before >= 0) & (upper - lower > 2 * _STAMP)
    upper = np.where(paused, lower + _STAMP, upper)
    share = (positions - before - 1) / np.maximum(after - before - 1, 1)  # the first is right after its time
    time = lower + (np.maximum(upper - lower, 0) * share).astype(np.int64)
    owner_at = _last(positions, kinds == _OWNER)
    owner = np.where(owner_at < 0, np.uint64(0), np.append(value, np.uint64(0))[owner_at])
    events = np.flatnonzero((kinds == _ALLOCATED) | (kinds == _FREED))
    return _Events(
        np.maximum.accumulate(time[events]),
        np.where(kinds[events] == _ALLOCATED, ALLOCATE, FREE).astype(np.uint8),
        (what[events] >> 8).astype(np.int64),
        value[events],
        owner[events],
    )


def _with_live(events: _Events, began: int, live: Iterable[Run], before: Iterable[Run]) -> _Events:
    """Add the allocations of runs that were live at the beginning."""
    allocated, freed = (events.run[events.kind == kind] for kind in (ALLOCATE, FREE))
    sure = _bytes_of(live)
    known = _bytes_of(before) | sure
    runs = np.array(list(known), np.uint64)
    new = ~_among(runs, allocated)
    new &= _among(runs, np.array(list(sure), np.uint64)) | _among(runs, freed)
    count = int(new.sum())
    sizes = np.array(list(known.values()), np.int64)[new]
    added = _Events(
        np.full(count, began, np.int64),
        np.full(count, ALLOCATE, np.uint8),
        sizes,
        runs[new],
        np.zeros(count, np.uint64),
    )
    return _joined([added, events])


def _among(runs: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which runs are among the others. np.isin has a hash table, which takes seconds for names like these."""
    if not len(runs) or not len(others):
        return np.zeros(len(runs), np.bool_)
    ordered = np.sort(others)
    at = np.minimum(np.searchsorted(ordered, runs), len(ordered) - 1)
    return np.asarray(ordered[at] == runs)


def _bytes_of(runs: Iterable[Run]) -> dict[int, int]:
    """Return how many bytes were asked for, by the name of the run."""
    return {run.handle.generation << 24 | run.index: run.nbytes for run in runs if run.handle is not None}


def _without_doubles(events: _Events) -> _Events:
    """Leave out a free that was put twice, as its process died in it; and have no free before its allocation."""
    kept = np.zeros(len(events.kind), bool)
    for kind in (ALLOCATE, FREE):
        rows = np.flatnonzero(events.kind == kind)
        kept[rows[np.unique(events.run[rows], return_index=True)[1]]] = True
    events = events.rows(kept)
    made, freed = _pairs(events)
    events.time[freed] = np.maximum(events.time[freed], events.time[made])
    return events


def _pairs(events: _Events) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the two events of the runs are that have both."""
    made, freed = np.flatnonzero(events.kind == ALLOCATE), np.flatnonzero(events.kind == FREE)
    _, of_made, of_freed = np.intersect1d(events.run[made], events.run[freed], assume_unique=True, return_indices=True)
    return made[of_made], freed[of_freed]


def _with_ends(events: _Events) -> _Events:
    """Add a free that was lost: its run had ended when its first block was allocated again."""
    made = np.flatnonzero(events.kind == ALLOCATE)
    runs = events.run[made]
    order = np.lexsort((runs >> np.uint64(24), runs & np.uint64(0xFFFFFF)))
    made, runs = made[order], runs[order]
    again = np.flatnonzero((runs[1:] & np.uint64(0xFFFFFF)) == (runs[:-1] & np.uint64(0xFFFFFF)))
    lost = again[~_among(runs[again], events.run[events.kind == FREE])]
    added = _Events(
        np.maximum(events.time[made[lost]], events.time[made[lost + 1]]),
        np.full(len(lost), FREE, np.uint8),
        np.zeros(len(lost), np.int64),
        runs[lost],
        events.owner[made[lost + 1]],
    )
    # first, so that of equal times the free is before the allocation that tells of it
    return _joined([added, events])


def _in_order(events: _Events) -> _Events:
    """Sort by time; of equal times, an allocation is before its own free."""
    order = np.argsort(events.time, kind="stable")
    events = events.rows(order)
    made, freed = _pairs(events)
    late = made > freed
    rank = np.arange(len(events.kind), dtype=np.float64)
    rank[freed[late]] = made[late] + 0.5
    order = np.argsort(rank, kind="stable")
    return events.rows(order)


# --- stacks ---


def _stacks(lanes: Iterable[_Lane]) -> tuple[list[str], dict[int, int]]:
    """Return the texts of all stacks, and for each run that has one which of them."""
    texts: dict[int, str] = {}
    of: dict[int, int] = {}
    for lane in lanes:
        what, value = lane.cells["what"], lane.cells["value"]
        kinds = what & np.uint64(0xFF)
        for at in np.flatnonzero(kinds == _TEXT).tolist():
            length = int(value[at])
            words = value[at + 1 : at + 1 + (length + 7) // 8]
            texts[int(what[at]) >> 8] = words.tobytes()[:length].decode("utf-8", "replace")
        for at in np.flatnonzero(kinds == _STACK).tolist():
            of[int(value[at])] = int(what[at]) >> 8
    numbers = {number: index for index, number in enumerate(texts)}
    return list(texts.values()), {run: numbers[number] for run, number in of.items() if number in numbers}


def _stack_column(events: _Events, numbers: dict[int, int]) -> NDArray[np.int32]:
    return np.array([numbers.get(run, -1) for run in events.run.tolist()], np.int32)


def _frames(text: str) -> Sequence[Frame]:
    """Return the frames of a stack, the innermost first; a line is ``file:line function``, the innermost last."""
    return [frame for line in reversed(text.splitlines()) for frame in _frame(line)]


def _frame(line: str) -> Iterator[Frame]:
    place, _, function = line.rpartition(" ")
    file, _, number = place.rpartition(":")
    if file and number.isdecimal():
        yield Frame(function, file, int(number))
