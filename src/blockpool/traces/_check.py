"""Whether a trace keeps what its form promises: looked at before C code relies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from blockpool.errors import TraceInvalid
from blockpool.traces.form import ALLOCATE, FREE, Frame, Trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["COLUMNS", "LARGEST", "MOST_EVENTS", "check"]

# The columns of a trace, and what they hold.
COLUMNS: dict[str, np.dtype[Any]] = {
    "time": np.dtype(np.int64),
    "kind": np.dtype(np.uint8),
    "size": np.dtype(np.int64),
    "id": np.dtype(np.int32),
    "thread": np.dtype(np.int32),
    "stack": np.dtype(np.int32),
}

# The largest size, time, and sum of live sizes.
LARGEST = (1 << 63) - 1

# Events are numbered with 32 bits.
MOST_EVENTS = (1 << 31) - 1

_PART = 1 << 18  # rows

_REMEDY = "make traces with blockpool.traces.build(...), which pairs and numbers the events"


def check(trace: Trace) -> None:
    """Refuse a trace that does not keep what its form promises.

    What `build` and `read` return was checked. A trace of other origin should be checked before it is replayed: code in
    C relies on it.

    Parameters
    ----------
    trace : Trace
        Any trace.

    Raises
    ------
    TypeError
        If it is not a Trace.
    TraceInvalid
        If its columns or names contradict each other or the description of `Trace`. The message names the row.
    """
    if not isinstance(trace, Trace):
        raise TypeError(f"a Trace is needed, not {type(trace).__name__}; {_REMEDY}")
    _columns(trace)
    _names(trace)
    _events(trace)


def _columns(trace: Trace) -> None:
    """Refuse columns of the wrong type, form or length."""
    for name, dtype in COLUMNS.items():
        column: Any = getattr(trace, name)
        if not isinstance(column, np.ndarray) or column.dtype != dtype or column.ndim != 1:
            held = (
                f"{column.dtype} of shape {column.shape}" if isinstance(column, np.ndarray) else type(column).__name__
            )
            raise TraceInvalid(f"column {name} must be a one-dimensional array of {dtype}, not {held}; {_REMEDY}")
        if column.shape != trace.time.shape:
            raise TraceInvalid(f"column {name} has {len(column):,} rows, but time has {len(trace.time):,}; {_REMEDY}")
        if column.flags.writeable or not column.flags.c_contiguous:
            raise TraceInvalid(f"column {name} must be contiguous, and must not be writable; {_REMEDY}")
    if len(trace) > MOST_EVENTS:
        raise TraceInvalid(f"{len(trace):,} events are more than {MOST_EVENTS:,}; record for a shorter time")


def _names(trace: Trace) -> None:
    """Refuse names and counts of the wrong type."""
    for name, number in (("unmatched", trace.unmatched), ("lost", trace.lost)):
        if type(number) is not int or not 0 <= number <= LARGEST:
            raise TraceInvalid(f"{name} must be a count, from 0 to 2**63 - 1, not {number!r:.40}")
    if type(trace.source) is not str or type(trace.timed) is not bool:
        raise TraceInvalid(f"source must be a str and timed a bool, not {trace.source!r:.40} and {trace.timed!r:.40}")
    if type(trace.threads) is not tuple or any(type(each) is not str for each in trace.threads):
        raise TraceInvalid("threads must be a tuple of str")
    if type(trace.stacks) is not tuple:
        raise TraceInvalid("stacks must be a tuple of tuples of Frame")
    for number, stack in enumerate(trace.stacks):
        if type(stack) is not tuple or not all(map(_is_frame, stack)):
            raise TraceInvalid(f"stack {number:,} must be a tuple of Frame(function, file, line), not {stack!r:.80}")


def _is_frame(frame: object) -> bool:
    """Return whether this is a Frame of two texts and a number."""
    return type(frame) is Frame and type(frame[0]) is str and type(frame[1]) is str and type(frame[2]) is int


def _events(trace: Trace) -> None:
    """Refuse rows that contradict each other. Part after part is looked at, which needs little memory."""
    made = np.flatnonzero(trace.kind == ALLOCATE).astype(np.int32)  # the row of each allocation
    freed = np.full(len(made), -1, np.int32)  # the row of its free
    before, count, live = 0, 0, 0
    for start in range(0, len(trace), _PART):
        part = _Part(trace, slice(start, start + _PART))
        part.refuse(part.time < 0, "time", "is negative")
        part.refuse(part.time < np.concatenate([[before], part.time[:-1]]), "time", "is before that of the row above")
        part.refuse(part.kind > FREE, "kind", f"is neither {ALLOCATE} (allocate) nor {FREE} (free)")
        part.refuse(part.size < 0, "size", "is negative")
        part.refuse((part.thread < 0) | (part.thread >= len(trace.threads)), "thread", "is not one of `threads`")
        part.refuse((part.stack < -1) | (part.stack >= len(trace.stacks)), "stack", "is neither -1 nor one of `stacks`")
        _pairs(part, made, freed, count)
        live = _sums(part, live)
        count += int(np.count_nonzero(part.kind == ALLOCATE))
        before = int(part.time[-1])


class _Part:
    """Some rows of a trace."""

    def __init__(self, trace: Trace, rows: slice) -> None:
        self.trace = trace
        self.start = rows.start
        self.time, self.kind, self.size = trace.time[rows], trace.kind[rows], trace.size[rows]
        self.id, self.thread, self.stack = trace.id[rows], trace.thread[rows], trace.stack[rows]

    def refuse(self, wrong: NDArray[np.bool_], name: str, why: str) -> None:
        """Raise TraceInvalid if there is a wrong row."""
        if wrong.any():
            row = int(np.argmax(wrong))
            value = int(getattr(self, name)[row])
            raise TraceInvalid(f"row {row + self.start:,}: {name} {value:,} {why}; {_REMEDY}")


def _pairs(part: _Part, made: NDArray[np.int32], freed: NDArray[np.int32], count: int) -> None:
    """Refuse ids that are not numbered by allocation, and frees that belong to no live allocation.

    There were `count` allocations before this part.
    """
    allocates = part.kind == ALLOCATE
    numbers = np.cumsum(allocates, dtype=np.int64) + count  # how many allocations there were, up to each row
    part.refuse(~allocates & ((part.id < 0) | (part.id >= numbers)), "id", "is freed without an allocation before it")
    part.refuse(allocates & (part.id != numbers - 1), "id", "of an allocation is not the next number")
    rows = np.flatnonzero(~allocates)
    ids = part.id[rows]
    again = np.zeros(len(part.id), np.bool_)
    again[rows] = freed[ids] >= 0
    freed[ids[::-1]] = rows[::-1]  # of two frees of one id in this part, the first stays
    again[rows] |= freed[ids] != rows
    part.refuse(again, "id", "is freed twice")
    for name in ("size", "stack"):
        wrong = np.zeros(len(part.id), np.bool_)
        wrong[rows] = getattr(part, name)[rows] != getattr(part.trace, name)[made[ids]]
        part.refuse(wrong, name, "is not that of the allocation")


def _sums(part: _Part, live: int) -> int:
    """Refuse live bytes that do not fit; return how many are live after this part."""
    sums = np.where(part.kind == ALLOCATE, part.size, -part.size)
    sums[:1] += live
    # Both numbers in an addition are less than 2**63. The first sum that does not fit turns negative.
    part.refuse(np.cumsum(sums, out=sums) < 0, "size", "brings the live bytes to 2**63 or more")
    return int(sums[-1])
