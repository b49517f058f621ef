"""Pictures of pools as SVG elements: a map with a cell for each block or few blocks, and bars of shares.

They are drawn in the colours of `blockpool.report.colours`; what is free has a faint tint of the text's colour, so they
can be read on a light and on a dark background. They refer to nothing outside themselves.

>>> bar([Part("#0072B2", 3)], 12, "3 of 12").count("<rect")
2
"""

from __future__ import annotations

from collections import defaultdict
from html import escape
from typing import TYPE_CHECKING, Literal, NamedTuple

from blockpool.report.colours import AGES, of_age, of_holder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blockpool.stats import PoolMap

__all__ = ["Part", "bar", "columns_of", "map_picture"]

# Opacities of cells that are allocated in part: up to a third, up to two thirds, more; and of those that are full.
_SHADES = (0.45, 0.65, 0.85, 1.0)
# More cells than this have no gaps between them.
_MOST_APART = 4096
_GAP = 0.12
# How many times as wide as high a map is, about.
_ASPECT = 3
# The largest cell, in pixels.
_LARGEST = 18


class Part(NamedTuple):
    """A part of a bar: its colour and its length, in whatever the bar's whole length is given in."""

    colour: str
    length: float


def columns_of(cells: int) -> int:
    """Return how many cells a row of a map has: a power of two, if there are so many.

    >>> columns_of(1), columns_of(64), columns_of(1000), columns_of(16384)
    (1, 16, 64, 256)
    """
    columns = 1
    while columns * columns < cells * _ASPECT and columns < cells:
        columns *= 2
    return min(columns, cells)


def map_picture(
    drawn: PoolMap,
    title: str,
    *,
    by: Literal["holder", "age"] = "holder",
    width: int = 640,
    mark: range | None = None,
) -> str:
    """Draw a map, with a text for those who cannot see it.

    Parameters
    ----------
    drawn : PoolMap
        What to draw.
    title : str
        What the picture says, in words.
    by : str
        Whether a cell has the colour of its holder or of its age.
    width : int
        The most pixels that it is wide.
    mark : range or None
        Cells to outline.

    Returns
    -------
    str
        An ``svg`` element.
    """
    columns = columns_of(drawn.cells)
    rows = -(-drawn.cells // columns)
    size = min(_LARGEST, width / columns)
    apart = drawn.cells <= _MOST_APART
    strokes = "".join(
        f'<path stroke="{colour}"{_opacity(shade)} d="{"".join(path)}"/>'
        for (colour, shade), path in sorted(_segments(drawn, by, columns).items())
    )
    dashes = f' stroke-width="{1 - _GAP}" stroke-dasharray="{1 - _GAP} {_GAP}"' if apart else ""
    outline, edge = "", 0.0
    if mark is not None:
        edges = "".join(
            f'<rect x="{begin}" y="{row}" width="{end - begin - _GAP}" height="{1 - _GAP}"/>'
            for row, begin, end in _rows_of(mark, columns)
        )
        edge = 0.2
        outline = f'<g fill="none" stroke="currentColor" stroke-width=".3">{edges}</g>'
    view = f"{0 - edge:g} {0 - edge:g} {columns + 2 * edge:g} {rows + 2 * edge:g}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="{view}"'
        f' width="{columns * size:.0f}" height="{rows * size:.0f}" style="display:block;max-width:100%;height:auto">'
        f"<title>{escape(title)}</title>"
        f'<path fill="currentColor" fill-opacity=".09" d="{_ground(drawn.cells, columns)}"/>'
        f'<g fill="none" transform="translate(0 {(1 - _GAP) / 2 if apart else 0.5})"{dashes}>{strokes}</g>'
        f"{outline}</svg>"
    )


def bar(parts: Iterable[Part], whole: float, title: str, *, width: int = 640, height: int = 14) -> str:
    """Draw a bar of parts, one after the other; what is left of the whole has the tint of what is free.

    Parameters
    ----------
    parts : iterable of Part
        The parts.
    whole : float
        The length of the whole bar.
    title : str
        What the picture says, in words.
    width, height : int
        Its size in pixels.

    Returns
    -------
    str
        An ``svg`` element.
    """
    at = 0.0
    drawn = []
    for colour, length in parts:
        long = min(100 * length / whole, 100 - at) if whole else 0.0
        if long > 0:
            drawn.append(f'<rect x="{at:.6g}" width="{long:.6g}" height="1" fill="{colour}"/>')
            at += long
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 100 1" preserveAspectRatio="none"'
        f' width="{width}" height="{height}" style="display:block;max-width:100%"><title>{escape(title)}</title>'
        f'<rect width="100" height="1" fill="currentColor" fill-opacity=".12"/>{"".join(drawn)}</svg>'
    )


def _segments(drawn: PoolMap, by: Literal["holder", "age"], columns: int) -> dict[tuple[str, int], Sequence[str]]:
    """Return lines of an SVG path for cells that look the same, by colour and shade."""
    found: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    begin, look = 0, None
    for cell in range(drawn.cells + 1):
        now = _look(drawn, by, cell) if cell < drawn.cells else None
        if now != look or not cell % columns:
            if look is not None:
                row, column = divmod(begin, columns)
                found[look].append(f"M{column} {row}h{cell - begin}")
            begin, look = cell, now
    return {look: "".join(lines) for look, lines in found.items()}


def _look(drawn: PoolMap, by: Literal["holder", "age"], cell: int) -> tuple[str, int] | None:
    """Return the colour and shade of a cell; None if all of it is free."""
    used = drawn.allocated[cell]
    if not used:
        return None
    colour = of_holder(drawn.holder[cell]) if by == "holder" else AGES[of_age(drawn.age[cell])].colour
    blocks = len(drawn.range_of(cell))
    full = len(_SHADES) - 1
    return colour, full if used >= blocks else min(full * used // blocks, full - 1)


def _opacity(shade: int) -> str:
    return "" if _SHADES[shade] == 1 else f' stroke-opacity="{_SHADES[shade]}"'


def _ground(cells: int, columns: int) -> str:
    """Return the outline of all cells; the last row may not be full."""
    rows, rest = divmod(cells, columns)
    full = f"M0 0h{columns}v{rows}h-{columns}z" if rows else ""
    return full + (f"M0 {rows}h{rest}v1h-{rest}z" if rest else "")


def _rows_of(cells: range, columns: int) -> Iterable[tuple[int, int, int]]:
    """Return a stretch of cells as pieces of rows: row, first column, column after the last."""
    at = cells.start
    while at < cells.stop:
        row, begin = divmod(at, columns)
        end = min(columns, begin + cells.stop - at)
        yield row, begin, end
        at += end - begin
