"""A trace in a pool that has only its bookkeeping: exactly what real pools would do, without memory for blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool._core import begin_replay
from blockpool.replay.arguments import as_nanoseconds, as_plans, columns_of, ranges_of
from blockpool.replay.results import Replayed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockpool._core import _Replaying
    from blockpool.replay.arguments import Columns
    from blockpool.replay.results import Plan
    from blockpool.traces.form import Trace

__all__ = ["STEP", "begin", "simulate"]

# So many events go by between two looks for Ctrl-C, or at the clock.
STEP = 1 << 18


def simulate(trace: Trace, plans: Iterable[Plan], *, wait: float = 0.0) -> Replayed:
    """Replay a trace against pools that have no memory for their blocks.

    Their bookkeeping is that of real pools, and so is the search for room: a request is refused exactly if they would
    refuse it, provided that the threads of the program call the pool first in the order of `trace.threads`. A request
    of 0 bytes takes a block. One for which there is no plan is refused. The pools may be larger than this machine.

    Parameters
    ----------
    trace : Trace
        What is replayed.
    plans : iterable of Plan
        One to three pools, for different sizes.
    wait : float
        For how many seconds of the trace's time a request waits if there is no room; 0: it is refused at once. Later
        events of its thread wait behind it, and so does a free of what it waits for. Frees serve those that wait first
        come first served; what still waits when the trace ends is refused.

    Returns
    -------
    Replayed
        What happened; with times that include the loop, and without resident memory.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range, as from `blockpool.Pool`; if there are no plans or too
        many, or two take the same size; or if there are more than 2**32 - 2 events or 2**24 threads.
    TraceInvalid
        If the events are not those of a trace: if one frees what was not allocated, for example.
    PoolExhausted
        If no machine can have such a pool, or this one has no memory for its bookkeeping, some 2.13 bits a block.
    MemoryError
        If there is no memory for the replay: some 16 bytes an allocation, 4 more an event with `wait`.

    Examples
    --------
    >>> import numpy as np
    >>> from blockpool.replay import Plan, simulate
    >>> from blockpool.traces.form import Trace
    >>> def column(kind, *values):
    ...     return np.array(values, kind)
    >>> trace = Trace(
    ...     time=column("int64", 0, 10, 20), kind=column("uint8", 0, 0, 1), size=column("int64", 5000, 100, 5000),
    ...     id=column("int32", 0, 1, 0), thread=column("int32", 0, 0, 0), stack=column("int32", -1, -1, -1),
    ...     threads=("main",),
    ... )
    >>> found = simulate(trace, [Plan(4096, 2)])
    >>> found.allocations, found.failures, found.peak_blocks, found.longest_run
    (1, 1, (2,), (2,))
    """
    columns, plans, nanoseconds = columns_of(trace), as_plans(plans), as_nanoseconds("wait", wait)
    replaying = begin(columns, len(trace.threads), plans, nanoseconds)
    while not replaying.go_on(STEP):
        pass
    return Replayed(allocator="pool", plans=plans, **replaying.counts())


def begin(columns: Columns, threads: int, plans: tuple[Plan, ...], wait: int = 0) -> _Replaying:
    """Begin a simulated replay of the columns of a trace; `wait` is in nanoseconds."""
    pools = [(plan.block_size, plan.blocks) for plan in plans]
    return begin_replay(columns, threads, pools, ranges_of(plans), wait)
