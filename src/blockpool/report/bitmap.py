"""A picture of a pool: rows of cells, with one cell per block or per few blocks.

>>> from blockpool.stats import Run
>>> for row in picture([Run(1, 1, 8, (), 0), Run(3, 3, 24, (), 0)], 8, width=80):
...     print(row)
0 ·■·■□□··
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockpool.stats import Run

__all__ = ["ASCII", "UNICODE", "Glyphs", "legend", "picture"]


class Glyphs(NamedTuple):
    """The characters of a picture.

    Attributes
    ----------
    single : str
        For a cell of one block: free; allocated, the first of its run; a further one of the run.
    shades : str
        For a cell of several blocks: all free, then by the share that is allocated, up to all of them.
    """

    single: str
    shades: str


UNICODE = Glyphs("·■□", "·░▒▓█")
ASCII = Glyphs(".#=", ".:+%#")

_FREE, _FIRST, _FURTHER = range(3)


def picture(runs: Iterable[Run], blocks: int, *, width: int, rows: int = 16, glyphs: Glyphs = UNICODE) -> list[str]:
    """Draw which blocks are allocated, in a limited number of rows of at most `width` characters.

    Each row begins with the index of its first block. Where there are too many blocks for a cell each, a cell stands
    for 2, 4, 8, … of them.
    """
    margin = len(str(blocks - 1)) + 1
    cells = _power_of_two(max(1, width - margin))
    per_cell = _blocks_per_cell(blocks, cells * rows)
    states = _states(runs, blocks)
    drawn = "".join(_cell(states[first : first + per_cell], glyphs) for first in range(0, blocks, per_cell))
    return [f"{first * per_cell:>{margin - 1}} {drawn[first : first + cells]}" for first in range(0, len(drawn), cells)]


def legend(blocks: int, *, width: int, rows: int = 16, glyphs: Glyphs = UNICODE) -> str:
    """Explain the characters of such a picture."""
    margin = len(str(blocks - 1)) + 1
    per_cell = _blocks_per_cell(blocks, _power_of_two(max(1, width - margin)) * rows)
    if per_cell == 1:
        free, first, further = tuple(glyphs.single)
        return f"{free} free   {first} allocated   {further} the rest of its run"
    free, *some, full = tuple(glyphs.shades)
    return f"{per_cell} blocks a cell: {free} free   {' '.join(some)} in part   {full} allocated"


def _power_of_two(limit: int) -> int:
    """Return the largest power of two that is not above the limit."""
    return 1 << limit.bit_length() - 1


def _blocks_per_cell(blocks: int, cells: int) -> int:
    per_cell = 1
    while blocks > cells * per_cell:
        per_cell *= 2
    return per_cell


def _states(runs: Iterable[Run], blocks: int) -> bytearray:
    states = bytearray(blocks)
    for run in runs:
        states[run.index : run.index + run.blocks] = bytes([_FIRST]) + bytes([_FURTHER]) * (run.blocks - 1)
    return states


def _cell(states: bytearray, glyphs: Glyphs) -> str:
    if len(states) == 1:
        return glyphs.single[states[0]]
    used = len(states) - states.count(_FREE)
    between = len(glyphs.shades) - 2
    if used in {0, len(states)}:
        return glyphs.shades[-1 if used else 0]
    return glyphs.shades[1 + used * between // len(states)]
