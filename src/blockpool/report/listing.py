"""Rows of text under headings: a table or, where it would not fit, a few lines for each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Facts", "Listing", "listings"]

# A column that may be folded has at least so many characters, if a cell has.
_FOLDED = 12
# No terminal is wider.
_ENDLESS = 1 << 16
# Facts have a column for their headings in a terminal that is no narrower.
_NARROW = 40
_HEADING = 12
# So many rows have a heading of their own, as a table is held in memory until its last row is known.
_ROWS = 1000


@dataclass(frozen=True)
class Listing:
    """Rows under headings.

    Attributes
    ----------
    headings : sequence of str
        One that begins with ``>`` is for numbers, aligned to the right; one that begins with ``~`` is for text that may
        be folded.
    rows : sequence of sequences of str or Text
        Their cells.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str | Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._least(console, options) <= options.max_width:
            yield self._table()
        else:
            yield from self._lines()

    def _least(self, console: Console, options: ConsoleOptions) -> int:
        """Return how wide the table is at least."""
        return Measurement.get(console, options.update(width=_ENDLESS), self._table(measured=True)).maximum

    def _table(self, *, measured: bool = False) -> Table:
        """Return the table; `measured` as narrow as it may be."""
        grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for number, heading in enumerate(self.headings):
            folds = heading.startswith("~")
            longest = max((len(row[number]) for row in self.rows), default=0)
            grid.add_column(
                heading.lstrip("~>"),
                justify="right" if heading.startswith(">") else "left",
                no_wrap=not folds,
                overflow="fold",
                min_width=min(longest, _FOLDED) if folds else None,
                max_width=_FOLDED if folds and measured else None,
            )
        for row in self.rows:
            grid.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
        return grid

    def _lines(self) -> Iterable[Text]:
        """Return a line for each cell that says something, and an empty one after each row."""
        for row in self.rows:
            mark: str | Text = ""
            for heading, cell in zip(self.headings, row, strict=True):
                name = heading.lstrip("~>")
                if not name:
                    mark = Text.assemble(cell, " ")
                elif str(cell) not in {"", "-"}:
                    yield Text.assemble(mark, (f"{name}: ", "bold"), cell, overflow="fold")
                    mark = ""
            yield Text()


@dataclass(frozen=True)
class Facts:
    """Sentences with headings, below each other.

    Attributes
    ----------
    pairs : sequence of tuple of str
        The heading and the sentence of each.
    """

    pairs: Sequence[tuple[str, str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width < _NARROW:
            for heading, sentence in self.pairs:
                yield Text.assemble((f"{heading}: ", "bold"), sentence, overflow="fold")
            return
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(style="bold", no_wrap=True, width=_HEADING)
        grid.add_column(overflow="fold")
        for heading, sentence in self.pairs:
            grid.add_row(Text(heading), Text(sentence))
        yield grid


def listings(headings: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> Iterable[Listing]:
    """Return as many listings as so many rows take."""
    for first in range(0, len(rows), _ROWS):
        yield Listing(headings, rows[first : first + _ROWS])
