"""Plots of advice with Matplotlib: live bytes over time, what pools waste, and sizes. It needs the extra `advise`.

The colours are those of the page that `blockpool advise --html` writes.

>>> import blockpool.advice, blockpool.plot_advice, blockpool.traces              # doctest: +SKIP
>>> advice = blockpool.advice.advise(blockpool.traces.read("capture.bin"))        # doctest: +SKIP
>>> blockpool.plot_advice.figure(advice).savefig("advice.png")                    # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.plot import _axes, _figure
from blockpool.report import advice_words as words
from blockpool.report.charts import ticks_of_bytes, with_room
from blockpool.report.colours import HUES
from blockpool.report.text import in_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from blockpool.advice.results import Advice

__all__ = ["figure", "live", "sizes", "waste"]

# So many candidates can be read in a plot.
_MOST = 8
# What a line of text needs, in inches.
_LINE = 0.14
_STYLES = ("--", ":")


def figure(advice: Advice) -> Figure:
    """Draw all plots of an advice.

    Parameters
    ----------
    advice : Advice
        What `blockpool.advice.advise` returned.

    Returns
    -------
    Figure
        A new figure with three plots: those of `live`, `waste` and `sizes`.

    Raises
    ------
    ImportError
        If Matplotlib is missing.
    """
    whole = _figure()
    tall = _height(advice)
    whole.set_size_inches(9, 6.4 + tall)
    top, middle, bottom = whole.subplots(3, 1, height_ratios=[2.8, tall, 2.4])
    live(advice, top)
    waste(advice, middle)
    sizes(advice, bottom)
    whole.suptitle(words.verdict(advice), fontweight="bold")
    return whole


def live(advice: Advice, ax: Axes | None = None) -> Axes:
    """Draw live bytes over time, with the memory of the recommended pools and that of malloc.

    Parameters
    ----------
    advice : Advice
        What `blockpool.advice.advise` returned.
    ax : Axes or None
        Where to draw; None means in a new figure.

    Returns
    -------
    Axes
        Where it was drawn: bytes over seconds.

    Raises
    ------
    ImportError
        If Matplotlib is missing.
    """
    axes = _axes(ax)
    of = advice.outline
    seconds = [0.0, *(at for at, _ in of.history)]
    nbytes = [float(most) for _, most in (*of.history[:1], *of.history)] or [0.0]
    axes.fill_between(seconds, nbytes, step="pre", color=HUES[0], alpha=0.3, linewidth=0)
    axes.step(seconds, nbytes, where="pre", color=HUES[0], linewidth=1, label="asked for and live")
    levels = words.levels(advice)
    for level, style in zip(levels, _STYLES, strict=False):
        label = f"{level.label}: {in_bytes(level.nbytes)}"
        axes.axhline(level.nbytes, color=level.colour, linestyle=style, linewidth=2, label=label)
    axes.set_ylim(*_of_bytes(axes.yaxis, with_room(max([of.peak_bytes, *(each.nbytes for each in levels)]))))
    axes.margins(x=0)
    axes.set_xlabel("seconds" if of.timed else "in order of events; times were not measured")
    if not of.timed:
        axes.set_xticks([])
    axes.set_title("Live bytes", loc="left")
    _legend(axes)
    return axes


def waste(advice: Advice, ax: Axes | None = None) -> Axes:
    """Draw what the candidates waste, the least wasteful at the top.

    Parameters
    ----------
    advice : Advice
        What `blockpool.advice.advise` returned.
    ax : Axes or None
        Where to draw; None means in a new figure.

    Returns
    -------
    Axes
        Where it was drawn: a bar of inner waste, outer waste and metadata for each of the first eight candidates, in
        bytes. Bars of those that waste many times as much as the best are cut off.

    Raises
    ------
    ImportError
        If Matplotlib is missing.
    """
    if ax is None:
        whole = _figure()
        whole.set_figheight(1 + _height(advice))
        ax = whole.add_subplot()
    axes = ax
    shown = advice.candidates[:_MOST]
    rows = range(len(shown))
    parts = [words.waste(each) for each in shown]
    begin = [0.0] * len(shown)  # not integers: those of NumPy have an end
    for at, (colour, (label, _)) in enumerate(zip(words.COLOURS, words.PARTS, strict=True)):
        lengths = [each[at] for each in parts]
        axes.barh(rows, lengths, left=begin, color=colour, label=label, height=0.7)
        begin = [done + length for done, length in zip(begin, lengths, strict=True)]
    best = advice.recommended
    names = ["\n".join(map(words.pool, each.plans)) for each in shown]
    axes.set_yticks(rows, names, fontsize="small")
    for name, each in zip(axes.get_yticklabels(), shown, strict=True):
        name.set_fontweight("bold" if each == best else "normal")
    axes.invert_yaxis()
    end = words.longest(shown)
    axes.set_xlim(*_of_bytes(axes.xaxis, end))
    for row, length in enumerate(begin):
        if length > end:  # it is cut off
            said = f"{in_bytes(int(length))} ▸ "
            axes.text(axes.get_xlim()[1], row, said, ha="right", va="center", color="white", fontweight="bold")
    axes.set_title("Waste; the recommended in bold", loc="left")
    _legend(axes)
    return axes


def sizes(advice: Advice, ax: Axes | None = None) -> Axes:
    """Draw how many requests each of the most frequent sizes has.

    Parameters
    ----------
    advice : Advice
        What `blockpool.advice.advise` returned.
    ax : Axes or None
        Where to draw; None means in a new figure.

    Returns
    -------
    Axes
        Where it was drawn: requests over sizes, the smallest first.

    Raises
    ------
    ImportError
        If Matplotlib is missing.
    """
    axes = _axes(ax)
    found = sorted(advice.outline.sizes)
    columns = range(len(found))
    axes.bar(columns, [float(requests) for _, requests in found], color=HUES[0], width=0.8)
    axes.set_xticks(columns, [words.exact(size) for size, _ in found], rotation=35, ha="right")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylabel("requests")
    axes.set_title("Frequent sizes", loc="left")
    return axes


def _height(advice: Advice) -> float:
    """Return how many inches the bars of waste need, so that the names of their pools do not overlap."""
    shown = advice.candidates[:_MOST]
    return max(2.4, _LINE * len(shown) * (1 + max((len(each.plans) for each in shown), default=0)))


def _of_bytes(axis: Axis, most: int) -> list[float]:
    """Give an axis marks that are sizes, from 0 to at least that many bytes; return the first and the last."""
    marks = ticks_of_bytes(most)
    axis.set_ticks([float(each) for each in marks], [in_bytes(each) for each in marks])
    return [0.0, float(marks[-1])]


def _legend(axes: Axes) -> None:
    """Put a legend above a plot, where it hides nothing."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize="small", ncols=3, borderaxespad=0.2)
