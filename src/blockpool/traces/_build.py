"""The one way by which traces are made: frees are paired with allocations by key, and allocations are numbered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from blockpool.errors import TraceInvalid
from blockpool.traces._check import LARGEST, MOST_EVENTS, check
from blockpool.traces.form import ALLOCATE, FREE, Frame, Trace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

__all__ = ["SLACK", "build", "set_read_only"]

# By how many nanoseconds the time of an event may be before that of an earlier row: threads take the time first, and
# then their turn to write it down.
SLACK = 1_000_000_000


def build(
    *,
    kind: ArrayLike,
    size: ArrayLike,
    key: ArrayLike,
    time: ArrayLike | None = None,
    thread: ArrayLike | None = None,
    stack: ArrayLike | None = None,
    threads: Iterable[str] = ("main",),
    stacks: Iterable[Iterable[tuple[str, str, int]]] = (),
    source: str = "",
    timed: bool = True,
    lost: int = 0,
) -> Trace:
    """Make a trace of events.

    A free belongs to the last allocation before it that has the same key. If a key is allocated again without a free,
    the free was not recorded: one is put in right before. Frees without an allocation are left out, and counted. The
    order of the rows is the order of the events.

    Parameters
    ----------
    kind : array of int, (events,)
        0 for an allocation, 1 for a free.
    size : array of int, (events,)
        How many bytes were asked for, from 0 to 2**63 - 1; what is said of frees is ignored.
    key : array of int, (events,)
        What an allocation and its free have in common: the address, or any number of 64 bits.
    time : array of int, (events,), optional
        Nanoseconds since any moment, from 0 to 2**63 - 1. The trace begins with the first. A time up to a second before
        an earlier one is set to that. Without times, events are numbered.
    thread : array of int, (events,), optional
        Which of `threads` made the call; the first if not given.
    stack : array of int, (events,), optional
        Which of `stacks` called for an allocation, or -1; what is said of frees is ignored.
    threads : iterable of str, optional
        What each thread is called.
    stacks : iterable of iterable of (str, str, int), optional
        Function, file and line of the calls that led to allocations, the innermost first.
    source : str, optional
        What the trace was made from, for people.
    timed : bool, optional
        Whether the times were measured.
    lost : int, optional
        How many events were lost while they were recorded.

    Returns
    -------
    Trace
        The events, paired and numbered.

    Raises
    ------
    TraceInvalid
        If a number does not fit, a kind, thread or stack is unknown, times decrease, or columns differ in length. The
        message names the row, the first of which is 0.
    """
    given = _array("kind", kind)
    if len(given) > MOST_EVENTS // 2:
        raise TraceInvalid(f"{len(given):,} events are more than {MOST_EVENTS // 2:,}; record for a shorter time")
    kinds = _column("kind", given, np.uint8, (ALLOCATE, FREE))
    _same_length(kinds, size=size, key=key, time=time, thread=thread, stack=stack)
    names, calls = tuple(threads), tuple(tuple(_frame(each) for each in one) for one in stacks)
    allocates = kinds == ALLOCATE
    sizes = _column("size", size, np.int64, (0, LARGEST), allocates)
    whose = None if thread is None else _column("thread", thread, np.int32, (0, len(names) - 1))
    callers = None if stack is None else _column("stack", stack, np.int32, (-1, len(calls) - 1), allocates)
    times = None if time is None else _since_first(_column("time", time, np.int64, (0, LARGEST)))
    rows, of, frees, unmatched = _paired(_keys(key), allocates)
    trace = Trace(
        time=np.arange(len(rows), dtype=np.int64) if times is None else times[rows],
        kind=frees.view(np.uint8),
        size=sizes[of],
        id=(np.cumsum(allocates, dtype=np.int32) - np.int32(1))[of],
        thread=np.zeros(len(rows), np.int32) if whose is None else whose[rows],
        stack=np.full(len(rows), -1, np.int32) if callers is None else callers[of],
        threads=names,
        stacks=calls,
        source=source,
        timed=timed and time is not None,
        unmatched=unmatched,
        lost=lost,
    )
    del times, rows, of
    set_read_only(trace)
    check(trace)
    return trace


def set_read_only(trace: Trace) -> None:
    """Have nobody write to the columns of a trace."""
    for column in (trace.time, trace.kind, trace.size, trace.id, trace.thread, trace.stack):
        column.flags.writeable = False


class _Paired(NamedTuple):
    """Where the events of a trace come from.

    Attributes: the row of each; the row of its allocation; whether it is a free; and how many frees were left out.
    """

    rows: NDArray[np.int32]
    of: NDArray[np.int32]
    frees: NDArray[np.bool_]
    unmatched: int


def _paired(keys: NDArray[np.uint64], allocates: NDArray[np.bool_]) -> _Paired:
    """Pair frees with allocations.

    A row whose key is still allocated gives two events: the free that is missing, and its own.
    """
    before = _allocated_before(keys, allocates)
    rows = np.flatnonzero(allocates | (before >= 0)).astype(np.int32)
    unmatched = len(keys) - len(rows)
    again = allocates[rows] & (before[rows] >= 0)
    if again.any():
        counts = again.astype(np.int8) + np.int8(1)
        first = (np.cumsum(counts, dtype=np.int64) - counts)[again]
        rows = np.repeat(rows, counts)
        frees = ~allocates[rows]
        frees[first] = True
    else:
        frees = ~allocates[rows]
    return _Paired(rows, np.where(frees, before[rows], rows), frees, unmatched)


def _allocated_before(keys: NDArray[np.uint64], allocates: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return of each row the row before it with the same key if that is an allocation, and -1 if it is not."""
    order = np.argsort(keys, kind="stable").astype(np.int32)
    ordered = keys[order]
    allocated = ordered[1:] == ordered[:-1]
    del ordered
    allocated &= allocates[order[:-1]]
    before = np.full(len(keys), -1, np.int32)
    before[order[1:][allocated]] = order[:-1][allocated]
    return before


def _since_first(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return nanoseconds since the first event, never decreasing."""
    if not len(times):
        return times
    latest = np.maximum.accumulate(times)
    late = latest - times > SLACK
    if late.any():
        row = int(np.argmax(late))
        raise TraceInvalid(
            f"row {row:,}: time {int(times[row]):,} is {int(latest[row] - times[row]):,} ns before an earlier row's; "
            "sort the rows by time (up to a second is allowed)"
        )
    latest -= int(times[0])
    return np.maximum(latest, 0, out=latest)


def _keys(key: ArrayLike) -> NDArray[np.uint64]:
    """Return keys as numbers of 64 bits, whatever their sign."""
    array = _array("key", key)
    if array.dtype.kind == "i":
        return array.astype(np.int64, copy=False).view(np.uint64)
    return _column("key", array, np.uint64, (0, (1 << 64) - 1))


def _frame(frame: Any) -> Frame:
    """Return a call in a stack as a Frame."""
    try:
        return Frame(*frame)
    except TypeError as error:
        raise TraceInvalid(f"a call in a stack is (function, file, line), not {frame!r:.80}") from error


def _same_length(kinds: NDArray[np.uint8], **columns: Any) -> None:
    """Refuse columns of other lengths than `kind` has."""
    for name, column in columns.items():
        rows = len(kinds) if column is None else len(_array(name, column))
        if rows != len(kinds):
            raise TraceInvalid(f"column {name} has {rows:,} rows, but kind has {len(kinds):,}; give one for each event")


def _array(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return a column as an array of one dimension."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "f" and not isinstance(values, np.ndarray):
            array = np.asarray(
                values, object
            )  # integers may be too large for one type, and are then told from fractions
    except ValueError as error:
        raise TraceInvalid(f"column {name} must be an array of whole numbers, one for each event: {error}") from error
    if array.ndim != 1:
        raise TraceInvalid(f"column {name} must be an array of one dimension, not of {array.ndim}")
    return array


def _column(
    name: str, values: ArrayLike, dtype: type, limits: tuple[int, int], where: NDArray[np.bool_] | None = None
) -> NDArray[Any]:
    """Return a column as an array of `dtype`; refuse what is not a number within the limits, in rows `where`."""
    array = _array(name, values)
    if not len(array):
        return np.empty(0, dtype)
    if array.dtype.kind == "O":
        chosen = array if where is None else np.where(where, array, 0)
        wrong = np.fromiter((type(each) is not int or not _within(each, limits) for each in chosen), np.bool_)
        array = np.where(wrong, 0, chosen) if wrong.any() else chosen
    elif array.dtype.kind in "iub":
        held = np.iinfo(np.uint8 if array.dtype.kind == "b" else array.dtype)
        wrong = np.zeros(len(array), np.bool_)
        if held.min < limits[0]:
            wrong |= array < limits[0]
        if held.max > limits[1]:
            wrong |= array > limits[1]
        if where is not None:
            wrong &= where
    else:
        raise TraceInvalid(f"column {name} must hold whole numbers, not {array.dtype}; convert them first")
    if wrong.any():
        row = int(np.argmax(wrong))
        value = _array(name, values)[row]
        raise TraceInvalid(
            f"row {row:,}: {name} must be a whole number from {limits[0]:,} to {limits[1]:,}, not {value!s:.40}"
        )
    return np.ascontiguousarray(array, dtype)


def _within(number: int, limits: tuple[int, int]) -> bool:
    """Return whether a number is within limits."""
    return limits[0] <= number <= limits[1]
