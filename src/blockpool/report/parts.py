r"""Pieces of HTML that pages and notebooks share: escaped text, tables, swatches, and who holds what.

Whatever comes from a pool (names, command lines, stacks) goes through `text`.

>>> text("<b>\x1b[0m&")
'&lt;b&gt;\\x1b[0m&amp;'
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from blockpool.report.colours import NO_PROCESS, of_holder
from blockpool.report.formats import NOT_HELD, duration, process_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blockpool.stats import ProcessInfo, Survey

__all__ = [
    "Holding",
    "facts",
    "holder_swatch",
    "holdings",
    "label_of",
    "listing",
    "process_label",
    "shown",
    "span",
    "swatch",
    "text",
]

_COMMAND = 60


class Holding(NamedTuple):
    """Who holds how much of a pool.

    Attributes
    ----------
    holder : int
        A slot, or one of the constants of `blockpool.stats`.
    label : str
        What that is.
    blocks : int
        How many blocks it holds.
    """

    holder: int
    label: str
    blocks: int


def text(value: object) -> str:
    """Return a text as HTML: letters that mean something to HTML, and those that cannot be shown, are escaped."""
    return escape(shown(str(value)))


def shown(letters: str) -> str:
    """Return a text in which letters that cannot be shown are escaped, but not those that mean something to HTML."""
    if letters.isprintable():
        return letters
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in letters)


def span(seconds: float | None) -> str:
    """Format a time span as commands do; one that is not known is a dash.

    >>> span(0.25), span(75), span(None)
    ('0.25s', '1m 15s', '-')
    """
    return "-" if seconds is None else duration(seconds)


def process_label(process: ProcessInfo) -> str:
    """Return what a process is called: as commands call it, with more of its command line."""
    return process_name(process, _COMMAND)


def holdings(survey: Survey, processes: Iterable[ProcessInfo]) -> list[Holding]:
    """Return who holds blocks, the most first; then what no process holds."""
    labels = {each.slot: process_label(each) for each in processes}
    found = [
        Holding(slot, labels.get(slot, f"the process in place {slot}, which is gone"), blocks)
        for slot, blocks in sorted(survey.held.items(), key=lambda item: -item[1])
    ]
    left = (survey.only_kept, survey.only_messages, survey.only_tickets, survey.nobody)
    return found + [
        Holding(holder, NOT_HELD[holder], blocks) for holder, blocks in zip(NO_PROCESS, left, strict=True) if blocks
    ]


def label_of(holder: int, processes: Iterable[ProcessInfo]) -> str:
    """Return what the holder of a cell is."""
    if holder in NOT_HELD:
        return NOT_HELD[holder]
    found = next((process_label(each) for each in processes if each.slot == holder), None)
    return found or f"the process in place {holder}, which is gone"


def swatch(colour: str) -> str:
    """Return a small square of a colour."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" aria-hidden="true" width="11" height="11" viewBox="0 0 1 1"'
        f' style="margin-right:.45em"><rect width="1" height="1" rx=".2" fill="{colour}"/></svg>'
    )


def holder_swatch(holder: int) -> str:
    """Return the swatch of a holder."""
    return swatch(of_holder(holder))


def facts(rows: Iterable[tuple[str, str]], *, style: str = "", cell: str = "") -> str:
    """Return a table of a name and a value in each row; the values are HTML.

    `style` is that of the table, and `cell` that of each cell, for places that have no style sheet.
    """
    of_table, of_cell = (f' style="{given}"' if given else "" for given in (style, cell))
    of_row = ' style="background:none"' if cell else ""
    lines = "".join(
        f"<tr{of_row}><th scope=row{of_cell}>{escape(name)}</th><td{of_cell}>{value}</td></tr>" for name, value in rows
    )
    return f"<table{of_table}><tbody>{lines}</tbody></table>"


def listing(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]], *, visible: bool = False) -> str:
    """Return a table; a heading that begins with ``>`` is for numbers. The cells of the rows are HTML.

    A caption that is not visible is for screen readers, where a heading says the same.
    """
    heard = "" if visible else " class=heard"
    names = [heading.lstrip(">") for heading in headings]
    classes = [" class=n" if heading.startswith(">") else "" for heading in headings]
    head = "".join(f"<th scope=col{each}>{escape(name)}</th>" for name, each in zip(names, classes, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{each}>{cell}</td>" for each, cell in zip(classes, row, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class=wide role=region tabindex=0 aria-label="{escape(caption)}"><table class=list>'
        f"<caption{heard}>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
