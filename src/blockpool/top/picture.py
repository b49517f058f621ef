"""The picture of a pool in characters: how full each place is, and who holds it or for how long.

Three drawings. "dots": a character of 2 × 4 dots, the more of them the fuller; dots go down, then right. "shades": a
character, the darker the fuller. "letters": the letter of the holder or of the age, for terminals without colour. Where
there is room for a character for each block, all but "letters" show blocks one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from blockpool.report.colours import of_age
from blockpool.top.colours import (
    AGES,
    OTHER_HOLDERS,
    age_letter,
    age_style,
    holder_letter,
    holder_style,
    style,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.style import Style

    from blockpool.stats import PoolMap

__all__ = ["COLOURINGS", "DRAWINGS", "Colouring", "Drawing", "Frame", "Painter", "Piece", "legend"]

Drawing = Literal["dots", "shades", "letters"]
Colouring = Literal["holder", "age"]
DRAWINGS: tuple[Drawing, ...] = ("dots", "shades", "letters")
COLOURINGS: tuple[Colouring, ...] = ("holder", "age")

_DOTS = 8
_BRAILLE = 0x2800
# The bits of a character's dots, in the order in which they stand for blocks.
_BITS = (0x01, 0x02, 0x04, 0x40, 0x08, 0x10, 0x20, 0x80)
# A dot is lit if its cell is fuller than this many sixteenths, so that an evenly filled pool has as many dots as it
# is full, spread out.
_THRESHOLDS = (1, 9, 5, 13, 11, 3, 15, 7)
_SHADES = "·░▒▓█"
_BLOCK = "■"


class Piece(NamedTuple):
    """Text of one style."""

    text: str
    style: Style


@dataclass(frozen=True, slots=True)
class Frame:
    """What a picture is to look like: its room in characters, the pool's blocks, its drawing and colours."""

    width: int
    height: int
    blocks: int
    drawing: Drawing = "dots"
    colouring: Colouring = "holder"

    @property
    def margin(self) -> int:
        """How many columns the numbers at the left take."""
        return len(str(max(0, self.blocks - 1))) + 1

    @property
    def columns(self) -> int:
        """How many characters a row of the picture has."""
        return max(1, self.width - self.margin)

    @property
    def places(self) -> int:
        """How many characters the picture has."""
        return self.columns * max(1, self.height)

    @property
    def per_place(self) -> int:
        """How many cells of a map a character shows."""
        return _DOTS if self.drawing == "dots" and self.blocks > self.places else 1

    @property
    def cells(self) -> int:
        """How many cells the map needs to have; never more than there are blocks."""
        return min(self.blocks, self.places * self.per_place)


class Painter:
    """Draws maps one after the other, and only those characters of them that can have changed."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.rows: list[list[Piece]] = [[] for _ in range(frame.height)]
        self._seen: list[tuple[bytes, ...]] = [()] * frame.height
        self._drawn: list[list[tuple[str, Style]]] = [[] for _ in range(frame.height)]

    def paint(self, picture: PoolMap) -> list[int]:
        """Bring `rows` up to date; return which of them are different now."""
        frame = self.frame
        step = frame.columns * frame.per_place
        fields = [memoryview(picture.allocated), memoryview(picture.holder), memoryview(picture.age)]
        if frame.colouring == "holder":
            fields.pop()
        changed = []
        for row in range(frame.height):
            first, end = row * step, min((row + 1) * step, picture.cells)
            if first >= end:
                break
            seen = tuple(field[first:end].tobytes() for field in fields)
            if seen == self._seen[row]:
                continue
            if self._draw(picture, row, seen, range(first, end, frame.per_place)):
                label = f"{picture.range_of(first).start:>{frame.margin - 1}} "
                self.rows[row] = [Piece(label, style("bright_black")), *_joined(self._drawn[row])]
                changed.append(row)
            self._seen[row] = seen
        return changed

    def _draw(self, picture: PoolMap, row: int, seen: tuple[bytes, ...], cells: range) -> bool:
        """Draw those characters of a row whose cells are not as they were; return whether any is different."""
        drawn = self._drawn[row] = self._drawn[row] or [("", style(""))] * len(cells)
        before = self._seen[row] or (b"",) * len(seen)
        sizes = [len(field) // (min(cells.stop, picture.cells) - cells.start) * cells.step for field in seen]
        parts = list(zip(seen, before, sizes, strict=True))
        different = False
        for place, at in enumerate(cells):
            if all(now[place * n : (place + 1) * n] == old[place * n : (place + 1) * n] for now, old, n in parts):
                continue
            new = self._place(picture, at, min(at + cells.step, cells.stop))
            if new != drawn[place]:
                drawn[place] = new
                different = True
        return different

    def _place(self, picture: PoolMap, at: int, to: int) -> tuple[str, Style]:
        """Return the character that shows some cells, and its style."""
        frame = self.frame
        by_age = frame.colouring == "age"
        allocated = picture.allocated[at:to]
        used = sum(allocated)
        if not used:
            return (chr(_BRAILLE) if frame.per_place > 1 else "·"), style("bright_black")
        key = of_age(max(picture.age[at:to])) if by_age else _main_holder(picture, at, to)
        if frame.drawing == "letters":
            letter = age_letter(key) if by_age else holder_letter(key)
        elif frame.blocks <= frame.places:
            letter = _BLOCK
        else:
            room = picture.range_of(to - 1).stop - picture.range_of(at).start
            letter = _dots(allocated, used, room) if frame.per_place > 1 else _shade(used, room)
        return letter, age_style(key) if by_age else holder_style(key)


def legend(
    colouring: Colouring, slots: Sequence[tuple[int, str]], others: Sequence[int], *, letters: bool
) -> list[tuple[Piece, str]]:
    """Return what the colours mean: a sign, and its meaning.

    `slots` are processes, those of most blocks first, and `others` the holders that are none.
    """
    if colouring == "age":
        return [
            (Piece(age_letter(i) if letters else _BLOCK, age_style(i)), meaning) for i, (meaning, _) in enumerate(AGES)
        ]
    holders = [*slots, *((other, OTHER_HOLDERS[other][0]) for other in others)]
    return [
        (Piece(holder_letter(holder) if letters else _BLOCK, holder_style(holder)), meaning)
        for holder, meaning in holders
    ]


def _joined(places: Iterable[tuple[str, Style]]) -> Iterable[Piece]:
    """Join neighbours of one style."""
    text: list[str] = []
    last: Style | None = None
    for letter, of in places:
        if of is not last:
            if last is not None:
                yield Piece("".join(text), last)
            text, last = [], of
        text.append(letter)
    if last is not None:
        yield Piece("".join(text), last)


def _main_holder(picture: PoolMap, at: int, to: int) -> int:
    """Return who holds the most of some cells that are not all free."""
    if to == at + 1:
        return picture.holder[at]
    weights: dict[int, int] = {}
    for holder, allocated in zip(picture.holder[at:to], picture.allocated[at:to], strict=True):
        if allocated:
            weights[holder] = weights.get(holder, 0) + allocated
    return max(weights, key=weights.__getitem__)


def _dots(allocated: Sequence[int], used: int, room: int) -> str:
    """Return a character of dots: none only if all is free, and all only if nothing is."""
    cells = len(allocated)
    if used == room:
        return chr(_BRAILLE + sum(_BITS[:cells]))
    per_cell = room / cells
    lit = [16 * n > threshold * per_cell for n, threshold in zip(allocated, _THRESHOLDS, strict=False)]
    if not any(lit):
        lit[max(range(cells), key=allocated.__getitem__)] = True
    elif all(lit):
        lit[min(range(cells), key=allocated.__getitem__)] = False
    return chr(_BRAILLE + sum(bit for bit, on in zip(_BITS, lit, strict=False) if on))


def _shade(used: int, room: int) -> str:
    return _SHADES[-1] if used == room else _SHADES[1 + used * (len(_SHADES) - 2) // room]
