"""Plots of what `blockpool bench` found, with Matplotlib: a picture for each question. It needs the extra `bench`."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from blockpool.plot import _figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from blockpool.bench.results import Asked, Benchmark, Line

__all__ = ["figure"]

_AXES = {"ns": "ns", "bytes": "bytes for each byte asked for"}
_MARKERS = "osD^vP<>X*"
_PERCENTILE = "percentile"


def figure(found: Benchmark, question: Asked) -> Figure | None:
    """Draw what was found for a question: a curve of each contender, blockpool's in thick lines.

    Parameters
    ----------
    found : Benchmark
        What `blockpool bench` found.
    question : Asked
        One of its questions.

    Returns
    -------
    Figure or None
        A new figure, with axes for each group of cases; None if there is nothing to draw.

    Raises
    ------
    ImportError
        If Matplotlib is missing.
    """
    lines = [line for line in found.lines if line.question == question.name]
    if not lines:
        return None
    groups = list(dict.fromkeys(line.group for line in lines))
    whole = _figure()
    columns = min(2, len(groups))
    rows = ceil(len(groups) / columns)
    whole.set_size_inches(5.2 * columns + 2.6, 3.6 * rows + 0.9)
    axes = whole.subplots(rows, columns, squeeze=False, sharey=True)
    styles = _styles(lines)
    for place, group in enumerate(groups):
        _draw(
            axes[place // columns][place % columns], [line for line in lines if line.group == group], question, styles
        )
        axes[place // columns][place % columns].set_title(group, fontsize=10)
    for place in range(len(groups), rows * columns):
        axes[place // columns][place % columns].set_axis_off()
    for row in axes:
        row[0].set_ylabel(_AXES[question.unit])
    handles = {
        label: handle for each in axes.flat for handle, label in zip(*each.get_legend_handles_labels(), strict=True)
    }
    names = [name for name in styles if name in handles]
    whole.legend([handles[name] for name in names], names, loc="outside right upper", fontsize=8, frameon=False)
    whole.suptitle(question.asks, fontsize=11)
    return whole


def _styles(lines: list[Line]) -> dict[str, dict[str, object]]:
    """Return how each contender is drawn; blockpool's first."""
    import matplotlib as mpl

    ours = list(dict.fromkeys(line.ours for line in lines))
    peers = list(dict.fromkeys(line.peer for line in lines))
    hues = mpl.colormaps["tab20"].colors  # type: ignore[attr-defined]
    thick = {
        name: {"color": colour, "linewidth": 2.8, "marker": "o", "zorder": 3}
        for name, colour in zip(ours, ("black", "#b5121b", "#0b4f9e"), strict=False)
    }
    thin = {
        name: {
            "color": hues[place % len(hues)],
            "linewidth": 1.1,
            "marker": _MARKERS[place % len(_MARKERS)],
            "markersize": 4,
        }
        for place, name in enumerate(peers)
    }
    return thick | thin


def _draw(axes: Axes, lines: list[Line], question: Asked, styles: dict[str, dict[str, object]]) -> None:
    """Draw the curves of a group of cases."""
    curves: dict[str, dict[float, float]] = {}
    for line in lines:
        curves.setdefault(line.ours, {})[line.x] = line.ours_value
        curves.setdefault(line.peer, {})[line.x] = line.peer_value
    places = sorted({line.x for line in lines})
    even = question.axis == _PERCENTILE  # as far from 99 to 99.9 as from 90 to 99
    for name, points in curves.items():
        at = sorted(points)
        x = [places.index(each) for each in at] if even else at
        axes.plot(x, [points[each] for each in at], label=name, **styles[name])  # type: ignore[arg-type]
    axes.set_yscale("log")
    if even:
        axes.set_xticks(range(len(places)), [f"{each:g}" for each in places])
    else:
        axes.set_xscale("log", base=10 if question.axis == "blocks" else 2)
    axes.set_xlabel(question.axis)
    axes.grid(visible=True, which="major", alpha=0.25)
