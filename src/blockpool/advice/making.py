"""Advice on a trace, put together: the outline, the candidates, what was measured, and the verdict."""

from __future__ import annotations

import re
import time
import timeit
from itertools import zip_longest
from typing import TYPE_CHECKING

from blockpool import Pool
from blockpool.advice.call import call_of, with_margin
from blockpool.advice.choices import Range, rounded, ways
from blockpool.advice.columns import Columns, live_at, live_bytes
from blockpool.advice.exact import Search
from blockpool.advice.outline import outline_of, sizes_of
from blockpool.advice.results import Advice
from blockpool.advice.sites import sites_of
from blockpool.advice.verdict import CallCosts, verdict
from blockpool.doctor.machine import look_at_machine
from blockpool.errors import BlockPoolError, PoolExhausted
from blockpool.replay import measure as measured
from blockpool.replay import simulate
from blockpool.traces import ALLOCATE, select

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from blockpool.advice.outline import Sizes
    from blockpool.advice.results import Candidate
    from blockpool.replay import Plan, Replayed
    from blockpool.traces import Trace

__all__ = ["advise"]

_SEARCH = 10.0  # seconds of processor time for simulations: for each 10,000,000 events, or fewer ...
_REFINE = 3.0  # ... and more, to find out exactly how many blocks the best candidate needs
_EVENTS = 10_000_000
_MOST_CANDIDATES = 12
_MOST_POOLS = 3
_MOST_MARGIN = 100
_SECONDS = 10.0  # for each of four replays that are measured
_MEMORY = 0.75  # of what is available may be used for that
_CALLS = 2000
_MORE_ROOM = 10


def advise(
    trace: Trace,
    *,
    measure: bool = True,
    margin: float = 0.1,
    stack: str | re.Pattern[str] | None = None,
    sizes: tuple[int, int | None] | None = None,
    thread: str | re.Pattern[str] | None = None,
    pools: int = 3,
) -> Advice:
    """Find out which pool would serve a trace best, and whether it is better than malloc.

    Block sizes, and splits in pools by size, are chosen by quick bounds. Then each pool is simulated with the code of
    real pools to find how many blocks it needs. The recommended one wastes least among those simulated; of equally good
    ones, it is that with the fewest pools, and then the largest blocks.

    Parameters
    ----------
    trace : Trace
        Allocations and frees.
    measure : bool
        Replay the trace against malloc and against the recommended pools, in processes of their own, and compare.
        Otherwise the verdict rests on the simulation alone.
    margin : float
        By which part the recommended call has more blocks than the trace needs: 0.1 for a tenth.
    stack : str or re.Pattern, optional
        Look only at allocations with that call; see `blockpool.traces.select`.
    sizes : (int, int or None), optional
        Look only at requests of so many bytes: the smallest and the largest; None: any from the smallest on.
    thread : str or re.Pattern, optional
        Look only at allocations of threads with that name.
    pools : int
        In how many pools, by size, the requests may be split; 1 to 3.

    Returns
    -------
    Advice
        The advice.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `margin` is negative or more than 100, `pools` is not from 1 to 3, or a filter is empty.
    TraceInvalid
        If the events are not a trace; see `blockpool.traces.check`.
    """
    if not isinstance(margin, int | float):
        raise TypeError(f"margin must be a number, such as 0.1 for a tenth more blocks, not {margin!r:.60}")
    if not 0 <= margin <= _MOST_MARGIN:
        raise ValueError(
            f"margin must be from 0 to {_MOST_MARGIN}, such as 0.1 for a tenth more blocks, not {margin!s:.60}"
        )
    margin = float(margin)
    if not isinstance(pools, int):
        raise TypeError(f"pools must be an int from 1 to {_MOST_POOLS}, not {pools!r:.60}")
    if not 1 <= pools <= _MOST_POOLS:
        raise ValueError(f"pools must be from 1 to {_MOST_POOLS}, not {pools}")
    if stack is not None or sizes is not None or thread is not None:
        trace = select(trace, stack=stack, sizes=sizes, thread=thread)
    asked = sizes_of(trace.size[trace.kind == ALLOCATE])
    columns = Columns.of(trace)
    live = live_bytes(Columns(trace.size, columns.sign))
    outline = outline_of(trace, asked, live, _filter_text(stack, sizes, thread))
    candidates: tuple[Candidate, ...] = ()
    if asked.requests:
        found = ways(columns, live, asked, pools, outline.threads)
        top = int(live.argmax())
        del live
        candidates = _candidates(trace, columns, asked, live_at(trace, top), found)
    del columns
    recommended = candidates[0] if candidates else None
    call = ""
    malloc = pool = None
    if recommended is not None:
        call = call_of(recommended, _with_room(trace, recommended, margin), margin)
        if measure:
            malloc, pool = _measured(trace, recommended)
    use, reasons = verdict(outline, recommended, malloc, pool, _call_costs())
    return Advice(
        outline=outline,
        candidates=candidates,
        recommended=recommended,
        margin=margin,
        call=call,
        malloc=malloc,
        pool=pool,
        use=use,
        reasons=reasons,
        sites=sites_of(trace),
    )


def _measured(trace: Trace, candidate: Candidate) -> tuple[Replayed | None, Replayed | None]:
    """Replay the trace in memory against malloc and against the pools; None if there is not enough memory for it."""
    if candidate.bytes > _available() * _MEMORY:
        return None, None
    try:
        malloc = measured(trace, None, allocator="malloc", seconds=_SECONDS)
        return malloc, measured(trace, candidate.plans, allocator="pool", seconds=_SECONDS)
    except (BlockPoolError, MemoryError):  # the process died, or had no memory; the advice is worth having all the same
        return None, None


def _available() -> int:
    """Return how many bytes of memory this process can get, by the machine and by its control groups."""
    machine = look_at_machine()
    return min([machine.available or 0, *(group.limit - group.used for group in machine.groups)])


def _candidates(
    trace: Trace,
    columns: Columns,
    sizes: Sizes,
    at_peak: NDArray[np.int64],
    found: list[tuple[float, tuple[Range, ...]]],
) -> tuple[Candidate, ...]:
    """Simulate the most promising ways to serve a trace, and return those that work, the least wasteful first."""
    scale = max(len(trace) / _EVENTS, 1.0)
    search = Search(trace, columns, sizes, at_peak, time.process_time() + _SEARCH * scale)
    # A block for each request: the pool that is easiest to understand, and needs but one simulation.
    simple = (Range(0, sizes.largest, rounded(sizes.largest)),)
    by_pools = [[ranges for _, ranges in found if len(ranges) == count] for count in range(1, _MOST_POOLS + 1)]
    taking_turns = [ranges for turn in zip_longest(*by_pools) for ranges in turn if ranges is not None]
    first = found[0][1] if found else simple
    tried: dict[tuple[Range, ...], Candidate] = {}
    for ranges in list(dict.fromkeys([simple, first, *taking_turns]))[:_MOST_CANDIDATES]:
        candidate = None if tried and time.process_time() > search.until else search.candidate(ranges)
        if candidate is not None:
            tried[ranges] = candidate
    if tried:
        best = min(tried, key=lambda ranges: _order(tried[ranges]))
        tried[best] = search.refined(best, time.process_time() + _REFINE * scale) or tried[best]
    return tuple(sorted(tried.values(), key=_order))


def _order(candidate: Candidate) -> tuple[int, int, tuple[int, ...]]:
    """Return by what candidates are sorted: less waste, then fewer pools, then larger blocks."""
    return candidate.waste, len(candidate.plans), tuple(-plan.block_size for plan in candidate.plans)


def _with_room(trace: Trace, candidate: Candidate, margin: float) -> tuple[Plan, ...]:
    """Return the candidate's pools with a margin, and make sure that they refuse nothing.

    A pool with more blocks has its threads begin elsewhere. So where it takes runs, it may refuse one that a smaller
    pool served, although that is rare; then it gets still more.
    """
    if margin:
        for more in range(_MORE_ROOM):
            plans = with_margin(candidate.plans, margin + more / 20)
            try:
                if not simulate(trace, plans).failures:
                    return plans
            except PoolExhausted:  # no memory for the bookkeeping of so many more blocks; another machine may have it
                break
    return with_margin(candidate.plans, margin)


def _filter_text(
    stack: str | re.Pattern[str] | None, sizes: tuple[int, int | None] | None, thread: str | re.Pattern[str] | None
) -> str:
    """Say which part of a trace was looked at."""
    said = [
        f"{name} matching {wanted.pattern!r}" if isinstance(wanted, re.Pattern) else f"{name} {wanted!r}"
        for name, wanted in (("stack", stack), ("thread", thread))
        if wanted is not None
    ]
    if sizes is not None:
        low, high = sizes
        said.append(f"sizes {low:,} " + ("bytes and more" if high is None else f"to {high:,} bytes"))
    return ", ".join(said)


def _call_costs() -> CallCosts:
    """Measure what calls cost in Python: those of a pool, and to make an object with Python's own allocator."""
    with Pool(64, 64) as pool:
        names = {"allocate": pool.allocate, "data": bytes(300)}
        timers = [timeit.Timer(statement, globals=names) for statement in ("allocate().free()", "data[:256]")]
        pool_ns, python_ns = (min(timer.repeat(repeat=5, number=_CALLS)) / _CALLS * 1e9 for timer in timers)
    return CallCosts(pool_ns, python_ns)
