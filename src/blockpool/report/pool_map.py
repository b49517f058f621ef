"""A picture of a pool in a terminal: a cell for each block, or for a few of them, that tells who holds it.

With colours, a cell has the colour of its holder, and its shade tells how much of it is allocated. Without, a holder is
a letter: a capital if the whole cell is allocated.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group
from rich.text import Text

from blockpool.report.colours import of_holder
from blockpool.report.formats import NOT_HELD, percent, process_name
from blockpool.report.listing import Listing
from blockpool.report.text import count
from blockpool.stats import BY_CATALOG, BY_MESSAGE, BY_NOBODY, BY_TICKETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from blockpool.report.documents import MappedPool
    from blockpool.stats import PoolMap

__all__ = ["Shape", "map_report", "shape"]

_SHADES = "░▒▓█"
_FREE = "·"
_PLAIN_FREE = "."
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Processes beyond the letters share one.
_FURTHER = "@"
_SYMBOLS = {BY_CATALOG: "=", BY_MESSAGE: ">", BY_TICKETS: "~", BY_NOBODY: "?"}
# A row without so much room for cells goes without its number.
_LEAST = 8


class Shape(NamedTuple):
    """How a picture is laid out: its cells, how many are in a row, and the columns for the number of a row."""

    cells: int
    per_row: int
    margin: int


def shape(blocks: int, *, last: int, width: int, rows: int) -> Shape:
    """Lay out a picture of so many blocks, up to the block `last`, in so many columns and rows.

    If each block has a cell, a row has a power of two of them, if all fit in so.
    """
    margin = len(str(last)) + 1
    if width - margin < _LEAST:
        margin = 0
    room = max(1, width - margin)
    even = 1 << room.bit_length() - 1
    per_row = even if blocks <= even * rows else room
    return Shape(min(blocks, per_row * rows), per_row, margin)


def map_report(mapped: MappedPool, laid: Shape, *, colours: bool) -> RenderableType:
    """Draw a pool as it was laid out, and explain the colours or letters."""
    picture = mapped.map
    glyphs = _glyphs(mapped)
    rows = []
    for first in range(0, picture.cells, laid.per_row):
        row = Text(no_wrap=True, overflow="ignore")
        if laid.margin:
            row.append(f"{picture.range_of(first).start:>{laid.margin - 1}} ", style="dim")
        cells = (_cell(mapped, cell, glyphs, colours=colours) for cell in _cells(picture, first, laid.per_row))
        for style, group in groupby(cells, key=itemgetter(1)):
            row.append("".join(glyph for glyph, _ in group), style=style)
        rows.append(row)
    return Group(*rows, Text(_scale(mapped, colours=colours)), *_legend(mapped, glyphs, colours=colours))


def _cells(picture: PoolMap, first: int, number: int) -> range:
    return range(first, min(first + number, picture.cells))


def _cell(mapped: MappedPool, cell: int, glyphs: dict[int, str], *, colours: bool) -> tuple[str, str]:
    """Return the character and the style of a cell."""
    picture = mapped.map
    allocated, holder = picture.allocated[cell], picture.holder[cell]
    if not allocated:
        return _FREE if colours else _PLAIN_FREE, "dim"
    size = len(picture.range_of(cell))
    if colours:
        return _SHADES[min(allocated * len(_SHADES) // size, len(_SHADES) - 1)], of_holder(holder)
    glyph = glyphs.get(holder, _FURTHER)
    return glyph if allocated == size else glyph.lower(), ""


def _glyphs(mapped: MappedPool) -> dict[int, str]:
    """Return the letters of processes, those that hold most first, and the symbols of all other holders."""
    slots = sorted(mapped.held, key=lambda slot: (-mapped.held[slot], slot))
    return dict(zip(slots, _LETTERS, strict=False)) | _SYMBOLS


def _scale(mapped: MappedPool, *, colours: bool) -> str:
    picture = mapped.map
    free = f"{_FREE if colours else _PLAIN_FREE} free"
    used = f"{count(mapped.allocated, 'block')} of {mapped.blocks:,} allocated"
    if picture.cells == picture.blocks:
        return f"{used}; a cell is a block; {free}"
    size = picture.blocks / picture.cells
    number = f"{round(size):,}" if size.is_integer() else f"about {size:,.1f}"
    partly = "paler: less of it is allocated" if colours else "small letters: a part of it is allocated"
    return f"{used}; a cell is {number} blocks; {free}; {partly}"


def _legend(mapped: MappedPool, glyphs: dict[int, str], *, colours: bool) -> Iterator[RenderableType]:
    names = {each.slot: process_name(each) for each in mapped.processes}
    slots = sorted(mapped.held, key=lambda slot: (-mapped.held[slot], slot))
    holders = [(slot, names.get(slot, f"slot {slot}"), mapped.held[slot]) for slot in slots]
    others = {
        BY_CATALOG: mapped.only_kept,
        BY_MESSAGE: mapped.only_messages,
        BY_TICKETS: mapped.only_tickets,
        BY_NOBODY: mapped.nobody,
    }
    holders += [(holder, NOT_HELD[holder], blocks) for holder, blocks in others.items() if blocks]
    rows = []
    for holder, name, blocks in holders:
        mark = Text(_SHADES[-1], style=of_holder(holder)) if colours else Text(glyphs.get(holder, _FURTHER))
        rows.append((mark, name, f"{blocks:,}", percent(blocks, mapped.blocks)))
    if rows:
        yield Listing(("", "~held by", ">blocks", ">of all"), rows)
