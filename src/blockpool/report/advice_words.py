"""The words and numbers of advice, for text and pages alike. What comes from a trace is not escaped here.

>>> from blockpool.replay.results import Plan
>>> pool(Plan(65536, 200)), pool(Plan(1500, 3000)), requests(Plan(4096, 10, 0, 4096))
('64 KiB x 200', '1,500 B x 3,000', 'up to 4 KiB')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.report.charts import Level
from blockpool.report.colours import HUES
from blockpool.report.formats import duration, percent
from blockpool.report.text import count, in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockpool.advice.results import Advice, Candidate, Outline, Site
    from blockpool.replay.results import Plan, Replayed
    from blockpool.traces.form import Frame

__all__ = [
    "COLOURS",
    "MEASURED",
    "PARTS",
    "SITES",
    "exact",
    "frame",
    "levels",
    "longest",
    "measured",
    "of_site",
    "outline",
    "per_pair",
    "pool",
    "pools",
    "requests",
    "serves",
    "sites_left",
    "sizes",
    "span",
    "unmeasured",
    "verdict",
    "waste",
    "whose",
]

# What the waste of a pool consists of: the field of a Candidate, and what a legend says.
PARTS = (
    ("inner", "inner: ends of blocks that nobody asked for"),
    ("outer", "outer: blocks that are free even when most bytes are live"),
    ("metadata", "metadata: the bookkeeping"),
)
# What stands for them in pictures.
COLOURS = (HUES[0], HUES[1], HUES[5])
# The headings over what `measured` returns.
MEASURED = ("allocator", ">most resident", ">ns a pair", ">refused", ">waits", ">time with memory")
# What stands below the heading of the sites.
SITES = "Judged by their sizes and numbers alone; the advice above is on all of them together."

# A candidate that wastes so many times as much as the best one.
_HOPELESS = 5
_MOST_SIZES = 6
_NANO = 1_000_000_000


def exact(nbytes: int) -> str:
    """Format a size without rounding it.

    >>> exact(65536), exact(65537), exact(0)
    ('64 KiB', '65,537 B', '0 B')
    """
    rounded = in_bytes(nbytes)
    return f"{nbytes:,} B" if "." in rounded else rounded


def sizes(smallest: int, largest: int) -> str:
    """Format a range of sizes."""
    return exact(smallest) if smallest == largest else f"{exact(smallest)} to {exact(largest)}"


def span(seconds: float) -> str:
    """Format a time span that may be very short.

    >>> span(0.0000005), span(0.00035), span(0.25), span(75)
    ('500 ns', '350 µs', '250 ms', '1m 15s')
    """
    for unit, length in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * length:
            return f"{seconds / length:.3g} {unit}" if seconds > 0 else "0s"
    return duration(seconds)


def pool(plan: Plan) -> str:
    """Return a pool as the size and the number of its blocks."""
    return f"{exact(plan.block_size)} x {plan.blocks:,}"


def pools(plans: Sequence[Plan]) -> str:
    """Return several pools."""
    return " + ".join(map(pool, plans))


def requests(plan: Plan) -> str:
    """Return which requests come to a pool."""
    bounds = [f"above {exact(plan.above)}"] if plan.above else []
    if plan.up_to is not None:
        bounds.append(f"up to {exact(plan.up_to)}")
    return ", ".join(bounds) or "all"


def frame(at: Frame) -> str:
    """Return a call as its function and where it stands."""
    where = f"{at.file}:{at.line}" if at.line else at.file
    return f"{at.function} ({where})" if where else at.function


def verdict(advice: Advice) -> str:
    """Return the advice in a few words."""
    if not advice.outline.allocations:
        return "There is nothing that a pool could serve."
    if advice.use:
        return "Use a pool." if advice.recommended is None or len(advice.recommended.plans) == 1 else "Use pools."
    return "Do not use a pool."


def whose(advice: Advice) -> str:
    """Return what the recommended call is, as what stands before it; empty if there is none."""
    if not advice.call or advice.recommended is None:
        return ""
    made = "These pools have" if len(advice.recommended.plans) > 1 else "This pool has"
    margin = f"{made} {100 * advice.margin:.3g} % more blocks than the trace needs:"
    return margin if advice.use else f"The least wasteful, if you need one all the same. {margin}"


def outline(of: Outline) -> Iterator[tuple[str, str]]:
    """Yield what a trace consists of: a heading and a sentence each."""
    yield "trace", of.source or "without a name"
    if of.filter:
        yield "only", of.filter
    when = f"in {span(of.seconds)}" if of.timed else "at times that were not measured"
    yield "events", f"{of.events:,} {when}, by {count(of.threads, 'thread')}"
    ends = f", {of.live_at_end:,} never freed" if of.live_at_end else ", all freed"
    yield "allocations", f"{of.allocations:,}{ends if of.allocations else ''}"
    yield "live", f"at most {in_bytes(of.peak_bytes)} at a time, {in_bytes(of.mean_bytes)} on average"
    yield "sizes", f"{sizes(of.smallest, of.largest)}, median {exact(of.median)}"
    if of.sizes:
        named = ", ".join(
            f"{exact(size)} ({percent(requests, of.allocations)})" for size, requests in of.sizes[:_MOST_SIZES]
        )
        yield "frequent", named
    left = [count(of.unmatched, "free without its allocation", "frees without their allocations")] * (of.unmatched > 0)
    left += [f"{count(of.lost, 'event')} lost while it was recorded"] * (of.lost > 0)
    if left:
        yield "left out", "; ".join(left)


def levels(advice: Advice) -> list[Level]:
    """Return the memory of the recommended pools, and what malloc took, as lines of a chart."""
    found = []
    if advice.recommended is not None:
        several = len(advice.recommended.plans) > 1
        found.append(Level("the pools" if several else "the pool", advice.recommended.bytes, HUES[2], "7 4"))
    if advice.malloc is not None and advice.malloc.resident is not None:
        found.append(Level("malloc, resident", advice.malloc.resident, HUES[3], "2 3"))
    return found


def waste(candidate: Candidate) -> tuple[int, int, int]:
    """Return the bytes of each of `PARTS`."""
    return candidate.inner, candidate.outer, candidate.metadata


def longest(candidates: Sequence[Candidate]) -> int:
    """Return how long the longest bar of waste is; hopeless ones are cut off, so that the others are seen."""
    lengths = [sum(waste(each)) for each in candidates]
    return max([each for each in lengths if each <= _HOPELESS * min(lengths)], default=0)


def measured(advice: Advice) -> list[tuple[str, ...]]:
    """Return a row for each allocator that the trace was replayed with; see `MEASURED`."""
    return [_measured(each) for each in (advice.pool, advice.malloc) if each is not None]


def unmeasured(advice: Advice) -> str:
    """Return what was not measured, or only in part, as a sentence; empty if all was."""
    if not advice.outline.allocations:
        return ""
    if advice.malloc is None and advice.pool is None:
        return "Nothing was measured: neither malloc nor the pools were tried with memory."
    short = [each.allocator for each in (advice.pool, advice.malloc) if each is not None and not each.complete]
    if not short:
        return ""
    return f"The replay in memory reached its time limit before the end of the trace: {', '.join(short)}."


def per_pair(done: Replayed) -> float:
    """Return the nanoseconds of processor time for an allocation and its free, on average."""
    return done.seconds * _NANO / done.allocations if done.allocations else 0.0


def serves(site: Site) -> str:
    """Return which pool would serve a site, and what it would waste: at least, where requests take runs of blocks."""
    if site.plan is None:
        return "no pool for it alone"
    least = " at least" if site.largest > site.plan.block_size else ""
    return f"{pool(site.plan)}{least}, wastes {in_bytes(site.waste)}"


def of_site(site: Site) -> tuple[str, str]:
    """Return what a site allocates, and why a pool or malloc is the better choice there, as sentences."""
    most = f"{in_bytes(site.total_bytes)} in all, at most {in_bytes(site.peak_bytes)} at a time"
    lived = f"; half lived longer than {span(site.seconds)}" if site.seconds else ""
    return f"{count(site.allocations, 'allocation')} of {sizes(site.smallest, site.largest)}: {most}{lived}", site.why


def sites_left(shown: int, sites: int) -> str:
    """Return that there are more sites than those shown; empty if there are not."""
    return f"{count(sites - shown, 'more site')}; --sites {sites} shows all." if sites > shown else ""


def _measured(done: Replayed) -> tuple[str, ...]:
    waits = f"{done.waits:,}" + (f", {span(done.waited)} in all" if done.waits else "")
    least = "" if done.complete else "at least "
    return (
        done.allocator,
        "-" if done.resident is None else least + in_bytes(done.resident),
        f"{per_pair(done):,.0f}",
        f"{done.failures:,}",
        waits,
        "-" if done.touched_seconds is None else least + span(done.touched_seconds),
    )
