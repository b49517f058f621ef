"""A chart of sizes over time as an SVG element, which needs no network and no script.

Text and axes have the colour of the text around it, so it can be read on a light and on a dark background.

>>> chart([(0.5, 100), (1.0, 300)], [Level("pool", 400, "#D55E00", "6 4")], "live bytes").count("<path")
2
"""

from __future__ import annotations

from html import escape
from math import ceil, floor, log2, log10
from typing import TYPE_CHECKING, NamedTuple

from blockpool.report.colours import HUES
from blockpool.report.text import in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Level", "chart", "line_swatch", "ticks_of_bytes", "ticks_of_seconds", "with_room"]

_WIDTH, _HEIGHT = 860, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 12, 10, 40
# About so many marks on an axis.
_TICKS = 5


class Level(NamedTuple):
    """A size that does not change over time, as a line across the chart.

    Attributes
    ----------
    label : str
        What it is.
    nbytes : int
        How many bytes.
    colour : str
        The colour of the line.
    dashes : str
        Lengths of its dashes and gaps.
    """

    label: str
    nbytes: int
    colour: str
    dashes: str


def with_room(most: int) -> int:
    """Return a little more, so that what is highest does not touch the frame."""
    return most * 33 // 32


def ticks_of_bytes(most: int) -> list[int]:
    """Return sizes for the marks of an axis: multiples of a power of two, from 0 to at least `most`.

    >>> [in_bytes(each) for each in ticks_of_bytes(13_000_000)]
    ['0 B', '4 MiB', '8 MiB', '12 MiB', '16 MiB']
    """
    step = 1 << max(0, ceil(log2(max(1, most) / _TICKS)))
    return [at * step for at in range(-(-max(1, most) // step) + 1)]


def ticks_of_seconds(most: float) -> list[float]:
    """Return times for the marks of an axis: multiples of 1, 2 or 5 times a power of ten, from 0 to at most `most`.

    >>> ticks_of_seconds(3.0), ticks_of_seconds(0)
    ([0.0, 1.0, 2.0, 3.0], [0.0])
    """
    if most <= 0:
        return [0.0]
    rough = most / _TICKS
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [at * step for at in range(floor(most / step * 1.000001) + 1)]


def chart(history: Sequence[tuple[float, int]], levels: Iterable[Level], title: str, *, timed: bool = True) -> str:
    """Draw sizes over time, with lines across.

    Parameters
    ----------
    history : sequence of (float, int)
        Seconds since the start, and the most bytes since the point before.
    levels : iterable of Level
        Lines across.
    title : str
        What the picture says, in words.
    timed : bool
        Whether the times mean something; if not, the axis has no numbers.

    Returns
    -------
    str
        An ``svg`` element.
    """
    levels = list(levels)
    heights = ticks_of_bytes(with_room(max([0, *(nbytes for _, nbytes in history), *(each.nbytes for each in levels)])))
    whole = heights[-1]
    end = max((seconds for seconds, _ in history), default=0.0)

    def across(seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (seconds / end if end > 0 else 1.0)

    def down(nbytes: int) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * nbytes / whole

    bottom = down(0)
    line = "".join(f"V{down(nbytes):.1f}H{across(seconds):.1f}" for seconds, nbytes in history)
    area = f'<path fill="{HUES[0]}" fill-opacity=".3" stroke="{HUES[0]}" d="M{_LEFT} {bottom}{line}V{bottom}z"/>'
    lines = "".join(
        f'<path fill="none" stroke="{each.colour}" stroke-width="2" stroke-dasharray="{each.dashes}"'
        f' d="M{_LEFT} {down(each.nbytes):.1f}H{_WIDTH - _RIGHT}"/>'
        for each in levels
    )
    axis = "".join(
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{down(each):.1f}" y2="{down(each):.1f}"/>' for each in heights
    )
    said = "".join(f'<text x="{_LEFT - 8}" y="{down(each) + 4:.1f}">{in_bytes(each)}</text>' for each in heights)
    times = ticks_of_seconds(end) if timed else []
    under = "".join(f'<text x="{across(each):.1f}" y="{bottom + 17}">{each:.6g}</text>' for each in times)
    what = "seconds" if timed else "in order of events; times were not measured"
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
        f' height="{_HEIGHT}" font-size="12" style="display:block;max-width:100%;min-width:36rem;height:auto">'
        f"<title>{escape(title)}</title>"
        f'<g stroke="currentColor" stroke-opacity=".2">{axis}</g>{area}{lines}'
        f'<g fill="currentColor" text-anchor="end">{said}</g><g fill="currentColor" text-anchor="middle">{under}'
        f'<text x="{middle}" y="{bottom + 34}">{what}</text></g></svg>'
    )


def line_swatch(colour: str, dashes: str) -> str:
    """Return a short line as it is in a chart, for a legend."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" aria-hidden="true" width="26" height="11" viewBox="0 0 26 11"'
        f' style="margin-right:.45em"><path stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dashes}"'
        ' d="M0 5.5H26"/></svg>'
    )
