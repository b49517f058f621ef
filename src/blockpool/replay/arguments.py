"""What a replay is given, checked: a trace, plans of pools, and for how long requests wait."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import isnan
from typing import TYPE_CHECKING, NamedTuple

from blockpool.errors import TraceInvalid
from blockpool.replay.results import Plan

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from blockpool.traces.form import Trace

__all__ = ["Columns", "as_nanoseconds", "as_plans", "columns_of", "ranges_of"]

MOST_POOLS = 3
_LARGEST = 2**63 - 1


class Columns(NamedTuple):
    """The columns of a trace that a replay reads; each has one element an event."""

    kind: NDArray[Any]
    size: NDArray[Any]
    id: NDArray[Any]
    thread: NDArray[Any]
    time: NDArray[Any]


_TYPES = ("uint8", "int64", "int32", "int32", "int64")


def columns_of(trace: Trace) -> Columns:
    """Return the columns of a trace as contiguous arrays.

    Parameters
    ----------
    trace : Trace
        The trace.

    Returns
    -------
    Columns
        Its arrays, or copies of those that are not contiguous.

    Raises
    ------
    TypeError
        If it is not a Trace.
    TraceInvalid
        If a column has another type or another length than it should.
    ImportError
        If NumPy or pyarrow is missing.
    """
    from blockpool.traces.form import Trace  # it imports NumPy, which the process of `measure` does without

    if not isinstance(trace, Trace):
        raise TypeError(f"a Trace is needed, not {type(trace).__name__}; blockpool.traces.read() reads one")
    import numpy as np

    found = []
    for name, kind in zip(Columns._fields, _TYPES, strict=True):
        column = getattr(trace, name)
        if not isinstance(column, np.ndarray) or column.dtype != kind or column.shape != trace.kind.shape[:1]:
            given = f"{column.dtype} {column.shape}" if isinstance(column, np.ndarray) else type(column).__name__
            raise TraceInvalid(f"the column {name} must have one {kind} an event, and is {given}")
        found.append(np.ascontiguousarray(column))
    return Columns(*found)


def as_plans(plans: Iterable[Plan]) -> tuple[Plan, ...]:
    """Return the plans of pools.

    Parameters
    ----------
    plans : iterable of Plan
        One to three.

    Returns
    -------
    tuple of Plan
        The same, in the same order.

    Raises
    ------
    TypeError
        If they are not plans.
    ValueError
        If there are none or too many, if one takes no sizes, or if two take the same size.
    """
    if not isinstance(plans, Iterable):
        raise TypeError(f"plans must be some Plan objects, not {type(plans).__name__}")
    found = tuple(plans)
    for plan in found:
        if not isinstance(plan, Plan):
            raise TypeError(f"plans must be Plan objects, not {type(plan).__name__} {plan!r:.60}")
    if not 1 <= len(found) <= MOST_POOLS:
        raise ValueError(f"a replay takes 1 to {MOST_POOLS} plans, not {len(found)}")
    ranges = sorted(ranges_of(found))
    for (_, before), (above, _) in pairwise(ranges):
        if above < before:
            raise ValueError(f"two plans take requests of {above + 1} bytes; set `above` and `up_to` so that one does")
    return found


def ranges_of(plans: tuple[Plan, ...]) -> list[tuple[int, int]]:
    """Return the sizes that each plan takes: more than the first number, at most the second.

    Parameters
    ----------
    plans : tuple of Plan
        The plans.

    Returns
    -------
    list of tuple of (int, int)
        Bytes; -1 and 2**63 - 1 where there is no limit.

    Raises
    ------
    TypeError
        If a limit is not an int.
    ValueError
        If a plan takes no sizes.
    """
    ranges = []
    for plan in plans:
        above, up_to = plan.above, _LARGEST if plan.up_to is None else plan.up_to
        for limit in (above, up_to):
            if not isinstance(limit, int):
                raise TypeError(f"a limit of a Plan must be an int, not {type(limit).__name__} {limit!r:.60}")
        if not 0 <= above < up_to:
            raise ValueError(f"a Plan with above={above} and up_to={plan.up_to} takes no requests")
        ranges.append((min(above, _LARGEST) or -1, min(up_to, _LARGEST)))
    return ranges


def as_nanoseconds(what: str, seconds: float) -> int:
    """Return a time span in whole nanoseconds.

    Parameters
    ----------
    what : str
        What messages call it.
    seconds : float
        Seconds; may be infinite.

    Returns
    -------
    int
        Nanoseconds, at most 2**62; 0 only for 0.

    Raises
    ------
    TypeError
        If it is not a number.
    ValueError
        If it is negative or not a number of seconds.
    """
    try:
        given = float(seconds)
    except OverflowError:
        raise ValueError(f"{what} must be a number of seconds that a float can hold, or infinite") from None
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be a number of seconds, not {type(seconds).__name__} {seconds!r:.60}") from None
    if isnan(given) or given < 0:
        raise ValueError(f"{what} must be 0 or more seconds, not {given}")
    return max(int(min(given * 1e9, 2.0**62)), 1) if given else 0
