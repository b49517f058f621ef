"""What can be asked of a trace: parts of it, and the live bytes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from blockpool.traces._build import set_read_only
from blockpool.traces.form import ALLOCATE, Trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


__all__ = ["live", "peak", "select"]


def live(trace: Trace) -> NDArray[np.int64]:
    """Return how many bytes were live after each event.

    Parameters
    ----------
    trace : Trace
        The events.

    Returns
    -------
    ndarray of int64, (events,)
        Bytes that were asked for and not yet freed.
    """
    changes = np.where(trace.kind == ALLOCATE, trace.size, -trace.size)
    return np.cumsum(changes, out=changes)


def peak(trace: Trace) -> int:
    """Return the most bytes that were live at a time.

    Parameters
    ----------
    trace : Trace
        The events.

    Returns
    -------
    int
        Bytes that were asked for and not yet freed; 0 of an empty trace.
    """
    return int(live(trace).max(initial=0))


def select(
    trace: Trace,
    *,
    stack: str | re.Pattern[str] | None = None,
    sizes: tuple[int, int | None] | None = None,
    thread: str | re.Pattern[str] | None = None,
) -> Trace:
    """Keep some allocations of a trace, and their frees.

    An allocation stays if it fits all that is given. If none does, the trace is empty.

    Parameters
    ----------
    trace : Trace
        The events.
    stack : str or re.Pattern, optional
        A text that is in the function's name or in ``file:line`` of a call that led to the allocation, or an expression
        that is found there.
    sizes : (int, int or None), optional
        The smallest and the largest size, bytes; None: any from the smallest on.
    thread : str or re.Pattern, optional
        A text that is in the name of the thread that allocated, or an expression that is found there.

    Returns
    -------
    Trace
        Allocations numbered from 0, at the times at which they were; `threads`, `stacks` and counts as they are.

    Raises
    ------
    TypeError
        If `stack` or `thread` is neither a text nor a compiled expression for text, or `sizes` is not two integers.
    ValueError
        If `stack` or `thread` is an empty text, or `sizes` is not from small to large.
    """
    allocates = trace.kind == ALLOCATE
    keep = np.ones(int(np.count_nonzero(allocates)), np.bool_)  # of each allocation
    if stack is not None:
        found = _finder("stack", stack)
        fits = [any(found(each.function) or found(f"{each.file}:{each.line}") for each in one) for one in trace.stacks]
        keep &= np.array([*fits, False])[trace.stack[allocates]]  # the last is for -1
    if thread is not None:
        keep &= np.array(list(map(_finder("thread", thread), trace.threads)), np.bool_)[trace.thread[allocates]]
    if sizes is not None:
        low, high = _range(sizes)
        of = trace.size[allocates]
        keep &= of >= low
        if high is not None:
            keep &= of <= high
    rows = keep[trace.id]
    chosen = replace(
        trace,
        time=trace.time[rows],
        kind=trace.kind[rows],
        size=trace.size[rows],
        id=(np.cumsum(keep, dtype=np.int32) - np.int32(1))[trace.id[rows]],
        thread=trace.thread[rows],
        stack=trace.stack[rows],
    )
    set_read_only(chosen)
    return chosen


def _finder(name: str, wanted: Any) -> Callable[[str], bool]:
    """Return a function that says whether a text has what is wanted."""
    if isinstance(wanted, str):
        if not wanted:
            raise ValueError(f"{name} is an empty text, which is in every one; give None for all")
        return lambda text: wanted in text
    if not isinstance(wanted, re.Pattern) or not isinstance(wanted.pattern, str):
        raise TypeError(f"{name} must be a str or a compiled expression for str, not {wanted!r:.40}")
    return lambda text: wanted.search(text) is not None


def _range(sizes: Any) -> tuple[int, int | None]:
    """Return the smallest and the largest size."""
    try:
        low, high = sizes
    except (TypeError, ValueError):
        raise TypeError(f"sizes must be two integers, the smallest and the largest, not {sizes!r:.40}") from None
    if not isinstance(low, int) or not isinstance(high, int | None):
        raise TypeError(f"sizes must be two integers, the smallest and the largest, not {sizes!r:.40}")
    if low < 0 or (high is not None and high < low):
        raise ValueError(f"sizes must be from a smallest to a largest, neither of them negative, not {sizes!r:.40}")
    return low, high
