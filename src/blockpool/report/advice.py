"""Advice on pools as text: the verdict first, then the call, the trace, what was simulated and measured, and sites."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, repeat
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from blockpool.report import advice_words as words
from blockpool.report.listing import Facts, Listing
from blockpool.report.text import in_bytes, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from blockpool.advice.results import Advice, Candidate, Site

__all__ = ["advice_report"]

_INDENT = 4
# What stands between code and a comment behind it.
_COMMENT = "  # "
# So many candidates are listed, and the recommended one if it is not among them.
_MOST = 5
_MARK = "*"
# Of a stack, so many calls are named.
_CALLERS = 3


def advice_report(advice: Advice, *, sites: int = 5) -> RenderableType:
    """Describe advice; `sites` is how many sites are listed."""
    return Group(*chain.from_iterable(_parts(advice, sites)))


def _parts(advice: Advice, sites: int) -> Iterator[Iterable[RenderableType]]:
    yield [Text(words.verdict(advice), style="bold green" if advice.use else "bold yellow")]
    yield [_items([("-", Text(printable(each), overflow="fold")) for each in advice.reasons])]
    yield _call(advice)
    facts = [(heading, printable(sentence)) for heading, sentence in words.outline(advice.outline)]
    yield [Text(), Facts(facts)]
    yield _candidates(advice)
    yield _measured(advice)
    yield _sites(advice.sites, sites)


def _call(advice: Advice) -> Iterator[RenderableType]:
    said = words.whose(advice)
    if said:
        yield Text(f"\n{said}\n")
        yield Padding(_Code([printable(each) for each in advice.call.splitlines()]), (0, 0, 0, _INDENT), expand=False)


@dataclass(frozen=True)
class _Code:
    """Lines of Python; a comment that does not fit stands above its line, so that they can be copied as they are."""

    lines: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            code, mark, comment = line.partition(_COMMENT)
            if mark and len(line) > options.max_width:
                indent = code[: len(code) - len(code.lstrip())] + "# "
                for each in wrap(comment, options.max_width, initial_indent=indent, subsequent_indent=indent):
                    yield Text(each, style="dim", overflow="fold")
                yield Text(code, style="cyan", overflow="fold")
            else:
                yield Text.assemble((code, "cyan"), (mark + comment, "dim"), overflow="fold")


def _candidates(advice: Advice) -> Iterator[RenderableType]:
    """Yield two tables, as one would be too wide: what the pools cost, and how they are used."""
    shown = list(advice.candidates[:_MOST])
    if not shown:
        return
    best = advice.recommended
    if best is not None and best not in shown:
        shown.append(best)
    left = len(advice.candidates) - sum(each in shown for each in advice.candidates)
    mark = f"; {_MARK} is recommended" if best is not None else ""
    more = f"; {left:,} more in --html" if left else ""
    yield _heading(f"Simulated, the least wasteful first{mark}{more}")
    costs = ("", "blocks", ">memory", ">waste", ">inner", ">outer", ">metadata")
    yield Listing(costs, [_costs(each, recommended=each == best) for each in shown])
    yield Text("\nHow they are used\n", style="bold")
    uses = ("", "blocks", "~requests", ">at most", ">longest run", ">refused", ">ns a pair")
    yield Listing(uses, list(chain.from_iterable(_uses(each, recommended=each == best) for each in shown)))


def _costs(candidate: Candidate, *, recommended: bool) -> Sequence[str]:
    return (
        _MARK if recommended else "",
        "\n".join(map(words.pool, candidate.plans)),
        in_bytes(candidate.bytes),
        in_bytes(candidate.waste),
        in_bytes(candidate.inner),
        in_bytes(candidate.outer),
        in_bytes(candidate.metadata),
    )


def _uses(candidate: Candidate, *, recommended: bool) -> Iterator[Sequence[str]]:
    """Yield a row for each pool of a candidate; what is of all of them stands in the first."""
    whole = chain([(f"{candidate.refusals:,}", f"{candidate.nanoseconds:,.0f}")], repeat(("", "")))
    marks = chain([_MARK if recommended else ""], repeat(""))
    each = zip(candidate.plans, candidate.peak_blocks, candidate.longest_run, strict=True)
    for (plan, peak, longest), mark, ends in zip(each, marks, whole, strict=False):
        yield mark, words.pool(plan), words.requests(plan), f"{peak:,}", f"{longest:,}", *ends


def _measured(advice: Advice) -> Iterator[RenderableType]:
    rows = words.measured(advice)
    if rows:
        yield _heading("Measured, the same trace")
        yield Listing(words.MEASURED, [[printable(cell) for cell in row] for row in rows])
    missing = words.unmeasured(advice)
    if missing:
        yield Text(f"\n{missing}", style="dim")


def _sites(sites: Sequence[Site], most: int) -> Iterator[RenderableType]:
    if not sites or not most:
        return
    yield _heading("Sites, the best for a pool first")
    yield Text(f"{words.SITES}\n", style="dim")
    yield _items([(f"{number}.", _site(site)) for number, site in enumerate(sites[:most], 1)])
    left = words.sites_left(most, len(sites))
    if left:
        yield Text(left, style="dim")


def _site(site: Site) -> Text:
    """Return what is known of a site, in a few lines."""
    lines = [
        f": {words.serves(site)}",
        *words.of_site(site),
        f"called from {', '.join(map(words.frame, site.stack[1 : 1 + _CALLERS]))}" if site.stack[1:] else "",
    ]
    said = "\n".join(printable(each) for each in lines if each)
    return Text.assemble((printable(words.frame(site.where)), "bold"), said, overflow="fold")


def _heading(said: str) -> Text:
    return Text(f"\n{said}\n", style="bold")


def _items(items: Sequence[tuple[str, Text]]) -> RenderableType:
    """Return a list with a mark before each item."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    for mark, said in items:
        grid.add_row(Text(mark), said)
    return grid
