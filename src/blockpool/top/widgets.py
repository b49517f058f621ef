"""Widgets that put text on the screen, a changed line at a time.

Textual's own table and footer lay out and style every cell again at each change. Here a line is made once, compared
with the one on the screen, and painted only if it differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from blockpool.top import values
from blockpool.top.colours import style
from blockpool.top.picture import Frame, Painter, Piece

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual import events

    from blockpool.stats import PoolMap
    from blockpool.top.tables import Column, Kind, Row

__all__ = ["Lines", "Picture", "Table", "keys_text"]

_GAP = 2


class Lines(Widget):
    """Lines of pieces of text; none is wrapped."""

    DEFAULT_CSS = "Lines { height: auto; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as Textual calls it
        super().__init__(id=id)
        self._strips: list[Strip] = []

    @property
    def text(self) -> str:
        """The lines as plain text."""
        return "\n".join(strip.text for strip in self._strips)

    def put(self, lines: Sequence[Sequence[Piece]]) -> None:
        """Show these lines; paint those that are new."""
        strips = [_strip(line) for line in lines]
        before, self._strips = self._strips, strips
        if len(before) != len(strips):
            self.refresh(layout=self.styles.height is not None and self.styles.height.is_auto)
            return
        for y, (old, new) in enumerate(zip(before, strips, strict=True)):
            if old != new:
                self.refresh(Region(0, y, self.size.width, 1))

    def get_content_height(self, *_: object) -> int:
        """Return how many lines there are."""
        return len(self._strips)

    def render_line(self, y: int) -> Strip:
        """Return a line."""
        width = self.size.width
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(width)
        return strip.adjust_cell_length(width)


class Picture(Widget):
    """The map of a pool."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as Textual calls it
        super().__init__(id=id)
        self._painter: Painter | None = None
        self._strips: list[Strip] = []

    @property
    def frame(self) -> Frame | None:
        """What the picture is drawn like; None before `draw_like`."""
        return self._painter.frame if self._painter else None

    @property
    def text(self) -> str:
        """The picture as plain text."""
        return "\n".join(strip.text for strip in self._strips)

    def draw_like(self, frame: Frame) -> None:
        """Draw like that from now on."""
        if frame != self.frame:
            self._painter = Painter(frame)
            self._strips = [Strip.blank(frame.width)] * frame.height
            self.refresh()

    def put(self, picture: PoolMap) -> None:
        """Show a map, if it has as many cells as are needed; else the next one will."""
        painter = self._painter
        if painter is None or picture.cells != painter.frame.cells:
            return
        for y in painter.paint(picture):
            self._strips[y] = _strip(painter.rows[y])
            self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """Return a row of the picture."""
        width = self.size.width
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(width)
        return strip.adjust_cell_length(width)


class Table(Widget, can_focus=True):
    """A table with a selected row, sorted by one of its columns. Only rows in view are made into text."""

    class Opened(Message):
        """Enter was pressed on a row, or it was clicked twice."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    class Sort(Message):
        """The heading of a column was clicked."""

        def __init__(self, column: int) -> None:
            super().__init__()
            self.column = column

    def __init__(self, kind: Kind, *, id: str | None = None) -> None:  # noqa: A002 - as Textual calls it
        super().__init__(id=id)
        self.kind = kind
        self.by, self.down = kind.by, kind.down
        self.rows: list[Row] = []
        self.at = 0
        self._empty = ""
        self._first = 0
        self._widths: list[int] = []
        self._shown: list[tuple[int, int]] = []  # which columns, and how wide
        self._painted: list[Strip] = []

    # --- what it shows ---

    @property
    def columns_shown(self) -> list[int]:
        """The numbers of the columns for which there is room."""
        return [at for at, _ in self._shown]

    @property
    def selected(self) -> Row | None:
        """The selected row."""
        return self.rows[self.at] if self.rows else None

    @property
    def text(self) -> str:
        """What is in view, as plain text."""
        return "\n".join(strip.text for strip in self._lines())

    def put(self, kind: Kind, rows: list[Row], *, by: int, down: bool, empty: str) -> None:
        """Show these rows, which are in order already. The selected row stays selected while it is there."""
        if kind is not self.kind:
            self.kind, self._widths, self.at, self._first = kind, [], 0, 0
        elif self.rows and self.at < len(self.rows):
            key = self.rows[self.at].key
            self.at = next((at for at, row in enumerate(rows) if row.key == key), self.at)
        self.rows, self.by, self.down, self._empty = rows, by, down, empty
        self.at = max(0, min(self.at, len(rows) - 1))
        self._measure()
        self._paint()

    def _measure(self) -> None:
        """Give each column its width. Widths never shrink, or the table would be restless."""
        columns = self.kind.columns
        widths = [len(column.heading) + 1 for column in columns]
        for at, before in enumerate(self._widths):
            widths[at] = max(widths[at], before)
        for row in self.rows:
            for at, cell in enumerate(row.cells):
                widths[at] = max(widths[at], len(cell))
        self._widths = widths
        self._shown = _fitting(columns, widths, self.size.width - _GAP)

    # --- lines ---

    def _paint(self) -> None:
        strips = self._lines()
        before, self._painted = self._painted, strips
        if len(before) != len(strips):
            self.refresh()
            return
        for y, (old, new) in enumerate(zip(before, strips, strict=True)):
            if old != new:
                self.refresh(Region(0, y, self.size.width, 1))

    def _lines(self) -> list[Strip]:
        height = max(0, self.size.height - 1)
        if self.at < self._first:
            self._first = self.at
        elif self.at >= self._first + height:
            self._first = self.at - height + 1
        self._first = max(0, min(self._first, len(self.rows) - height))
        strips = [self._heading()]
        if not self.rows:
            strips.append(_strip([Piece("  " + self._empty, style("bright_black"))]))
        shown = range(self._first, min(self._first + height, len(self.rows)))
        return strips + [self._row(self.rows[at], selected=at == self.at) for at in shown]

    def _heading(self) -> Strip:
        pieces = [Piece("  ", style("bold"))]
        for at, width in self._shown:
            column = self.kind.columns[at]
            sign = ("▼" if self.down else "▲") if at == self.by else ""
            text = values.fit(f"{column.heading}{sign}", width, right=column.right)
            pieces.append(Piece(text, style("bold cyan" if sign else "bold")))
            pieces.append(Piece(" " * _GAP, style("bold")))
        return _strip(pieces)

    def _row(self, row: Row, *, selected: bool) -> Strip:
        text = (" " * _GAP).join(
            values.fit(row.cells[at], width, right=self.kind.columns[at].right) for at, width in self._shown
        )
        look = style("reverse" if selected and self.has_focus else "bold" if selected else "")
        sign, sign_style = row.mark or (" ", style(""))
        if sign != " " and not self.app.no_color:
            sign = "■"
        return _strip([Piece(sign, sign_style), Piece(">" if selected else " ", look), Piece(text, look)])

    def render_line(self, y: int) -> Strip:
        """Return a line of the table."""
        width = self.size.width
        return (self._painted[y] if y < len(self._painted) else Strip.blank(width)).adjust_cell_length(width)

    # --- moving ---

    def move(self, by: int) -> None:
        """Select the row that is so many further down."""
        self.at = max(0, min(self.at + by, len(self.rows) - 1))
        self._paint()

    def key_down(self) -> None:
        """Select the next row."""
        self.move(1)

    def key_up(self) -> None:
        """Select the row before."""
        self.move(-1)

    def key_pagedown(self) -> None:
        """Go down by what fits on the screen."""
        self.move(max(1, self.size.height - 2))

    def key_pageup(self) -> None:
        """Go up by what fits on the screen."""
        self.move(-max(1, self.size.height - 2))

    def key_home(self) -> None:
        """Select the first row."""
        self.move(-len(self.rows))

    def key_end(self) -> None:
        """Select the last row."""
        self.move(len(self.rows))

    def key_enter(self, event: events.Key) -> None:
        """Open the selected row."""
        event.stop()  # the key is not for the screen that opens
        self.open()

    def open(self) -> None:
        """Open the selected row."""
        if self.selected is not None:
            self.post_message(self.Opened(self.selected))

    def on_mouse_scroll_down(self) -> None:
        """Go down."""
        self.move(3)

    def on_mouse_scroll_up(self) -> None:
        """Go up."""
        self.move(-3)

    def on_click(self, event: events.Click) -> None:
        """Select a row, open it at the second click, or sort by a column."""
        if event.y == 0:
            left = _GAP
            for at, width in self._shown:
                if left <= event.x < left + width + _GAP:
                    self.post_message(self.Sort(at))
                left += width + _GAP
            return
        at = self._first + event.y - 1
        if at < len(self.rows):
            again = at == self.at and event.chain > 1
            self.at = at
            self._paint()
            if again:
                self.open()

    def on_resize(self) -> None:
        """Lay the columns out for the new width."""
        self._measure()
        self._paint()
        self.refresh()

    def on_focus(self) -> None:
        """Show that keys come here."""
        self._paint()

    def on_blur(self) -> None:
        """Show that keys go elsewhere."""
        self._paint()


def keys_text(keys: Iterable[tuple[str, str]], width: int) -> list[list[Piece]]:
    """Return lines with each key and what it does, in as many lines as it takes."""
    lines: list[list[Piece]] = [[]]
    used = 0
    for key, what in keys:
        needed = len(key) + 1 + len(what) + (_GAP if used else 0)
        if used and used + needed > width:
            lines.append([])
            used, needed = 0, needed - _GAP
        if used:
            lines[-1].append(Piece(" " * _GAP, style("")))
        lines[-1] += [Piece(key, style("bold cyan")), Piece(f" {what}", style(""))]
        used += needed
    return lines


def _fitting(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Return which columns are shown and how wide: spare ones are left out first, and the last one takes the rest."""
    shown = list(range(len(columns)))

    def total() -> int:
        last = shown[-1]
        return sum(min(widths[at], 30) + _GAP for at in shown[:-1]) + min(
            widths[last], 12 if columns[last].right else 18
        )

    while total() > room:
        spare = [at for at in shown if columns[at].spare]
        if not spare:
            break
        shown.remove(max(spare, key=lambda at: columns[at].spare))
    found = [(at, min(widths[at], max(4, room // 2), 40)) for at in shown[:-1]]
    rest = room - sum(width + _GAP for _, width in found)
    last = shown[-1]
    return [*found, (last, max(4, min(rest, widths[last]) if columns[last].right else rest))]


def _strip(pieces: Iterable[Piece]) -> Strip:
    return Strip([Segment(text, of) for text, of in pieces if text])
