"""What replays of a trace cost, as text: a row for the pool and for each malloc."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from blockpool.report.advice_words import per_pair
from blockpool.report.formats import duration
from blockpool.report.listing import Facts, Listing
from blockpool.report.text import count, in_bytes, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from blockpool.replay.results import Comparison, Replayed

__all__ = ["replay_report"]

_HEADINGS = (
    "", ">ns a pair", ">live at most", ">reserved", ">resident", ">per byte live", ">refused", ">waits", ">waited",
)  # fmt: skip
_WAITS = 2  # the last columns, which are left out where nothing waited
_MEANING = (
    "ns a pair: processor time of an allocation and its free, without touching the memory. live at most: bytes that "
    "were asked for. resident: the most memory, measured, with a write to each page; per byte live: that, divided by "
    "the most that was live."
)


def replay_report(found: Comparison) -> RenderableType:
    """Describe replays of one trace."""
    return Group(*_parts(found))


def _parts(found: Comparison) -> Iterator[RenderableType]:
    live = f", {found.live_at_end:,} of them never freed" if found.live_at_end else ""
    facts = [
        ("trace", printable(found.source) or "-"),
        ("events", f"{found.events:,}: {count(found.allocations, 'allocation')}{live}"),
    ]
    for each in found.replays:
        for plan, peak, longest, inner in zip(each.plans, each.peak_blocks, each.longest_run, each.inner, strict=True):
            facts += [
                ("pool", f"{count(plan.blocks, 'block')} of {in_bytes(plan.block_size)}"),
                (
                    "used",
                    f"{count(peak, 'block')} at most, the longest run {longest:,}; {in_bytes(inner)} in their ends",
                ),
            ]
    yield Facts(facts)
    yield Text()
    columns = len(_HEADINGS) - (0 if any(each.waits for each in found.replays) else _WAITS)
    yield Listing(_HEADINGS[:columns], [_row(each)[:columns] for each in found.replays])
    yield Text()
    yield Text(_MEANING, style="dim")
    for each in found.replays:
        if not each.complete:
            yield Text(
                f"{each.allocator}: stopped at the time limit, after {count(each.reached, 'event')}", style="bold"
            )
    refused = [each for each in found.replays if each.failures]
    if refused:
        yield Text("What was refused takes neither memory nor time: its row is not comparable.", style="bold")


def _row(each: Replayed) -> tuple[str, ...]:
    return (
        each.allocator,
        f"{per_pair(each):,.0f}",
        in_bytes(each.peak_bytes),
        in_bytes(each.bytes) if each.plans else "-",
        "-" if each.resident is None else in_bytes(each.resident),
        "-" if each.resident is None or not each.peak_bytes else f"{each.resident / each.peak_bytes:.2f}",
        f"{each.failures:,}",
        f"{each.waits:,}",
        duration(each.waited) if each.waits else "-",
    )
