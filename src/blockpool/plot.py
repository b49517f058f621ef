"""Plots of pools with Matplotlib: a map of the blocks, and how a pool fills over time. It needs the extra `plot`.

The colours are those of exported pages and of notebooks.

>>> import matplotlib
>>> matplotlib.use("agg")
>>> import blockpool, blockpool.plot
>>> pool = blockpool.Pool.create("4KiB", 100)
>>> axes = blockpool.plot.map(pool)
>>> axes.get_title()
'pool without a name: 0 of 100 blocks allocated'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from blockpool._extras import install_command
from blockpool.report.colours import AGES, HUES, of_age, of_holder
from blockpool.report.notebook import map_of_runs
from blockpool.report.parts import label_of, shown
from blockpool.report.svg import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from blockpool._core import Inspector, Pool
    from blockpool._handles import Handle
    from blockpool.observe import Snapshot
    from blockpool.stats import PoolMap, ProcessInfo

__all__ = ["history", "map"]

_CELLS = 4096
_FREE = "#8A8F98"
_LEAST_OPAQUE = 0.35
_MOST_LABELS = 12


def map(  # noqa: A001 - blockpool.plot.map is what it is
    pool: str | Pool | Handle | Inspector | Snapshot,
    ax: Axes | None = None,
    by: Literal["holder", "age"] = "holder",
) -> Axes:
    """Draw which blocks of a pool are allocated.

    Parameters
    ----------
    pool : str, Pool, Handle, Ticket, Inspector or Snapshot
        The pool: as for `blockpool.inspect`, or a private one, or a snapshot that was taken with a map.
    ax : Axes or None
        Where to draw; None means in a new figure.
    by : str
        "holder" colours each cell by who holds it, "age" by how long it has been allocated.

    Returns
    -------
    Axes
        Where it was drawn.

    Raises
    ------
    ValueError, TypeError
        If an argument is nothing of these, or the snapshot has no map.
    BlockPoolError, OSError
        As `blockpool.inspect` does.
    ImportError
        If Matplotlib is missing.

    Notes
    -----
    The first block is at the upper left, and rows go to the right. A cell stands for a block or, in a pool of more than
    4096 blocks, for several; then it is the paler the more of them are free. In a private pool all cells have the same
    holder, and no age.
    """
    if by not in {"holder", "age"}:
        raise ValueError(f"by={by!r} is neither 'holder' nor 'age'")
    drawn, processes, name, allocated = _seen(pool)
    axes = _axes(ax)
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    columns = columns_of(drawn.cells)
    picture = [[(0.0, 0.0, 0.0, 0.0)] * columns for _ in range(-(-drawn.cells // columns))]
    looks: dict[int, str] = {}
    for cell in range(drawn.cells):
        used, whole = drawn.allocated[cell], len(drawn.range_of(cell))
        row, column = divmod(cell, columns)
        if not used:
            picture[row][column] = to_rgba(_FREE, 0.12)
            continue
        kind = drawn.holder[cell] if by == "holder" else of_age(drawn.age[cell])
        looks[kind] = colour = of_holder(kind) if by == "holder" else AGES[kind].colour
        picture[row][column] = to_rgba(colour, _LEAST_OPAQUE + (1 - _LEAST_OPAQUE) * min(1, used / whole))
    axes.imshow(picture, interpolation="nearest", aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{_plain(name)}: {allocated:,} of {drawn.blocks:,} blocks allocated")
    per_cell = drawn.blocks / drawn.cells
    cell_is = "one block" if per_cell == 1 else f"about {per_cell:,.0f} blocks"
    axes.set_xlabel(f"a cell is {cell_is}, a row {per_cell * columns:,.0f}")
    if processes is not None or by == "age":
        chosen = sorted(looks)[:_MOST_LABELS]
        names = [label_of(kind, processes or ()) if by == "holder" else AGES[kind].label for kind in chosen]
        patches = [Patch(color=looks[kind], label=_plain(said)) for kind, said in zip(chosen, names, strict=True)]
        if patches:
            axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(0, -0.12), frameon=False, fontsize="small")
    return axes


def history(snapshots: Iterable[Snapshot], ax: Axes | None = None) -> Axes:
    """Draw how a pool filled over time.

    Parameters
    ----------
    snapshots : iterable of Snapshot
        Of one pool, the earliest first; for example each `look` of an `blockpool.observe.Observer`.
    ax : Axes or None
        Where to draw; None means in a new figure.

    Returns
    -------
    Axes
        Where it was drawn: blocks over seconds since the first snapshot.

    Raises
    ------
    ValueError
        If there is no snapshot, or they are of several pools.
    ImportError
        If Matplotlib is missing.
    """
    seen = list(snapshots)
    if not seen:
        raise ValueError("there is no snapshot to draw; collect some with blockpool.observe.Observer(pool).look()")
    if len({each.pool_id for each in seen}) > 1:
        raise ValueError("the snapshots are of several pools; call history() for each pool")
    axes = _axes(ax)
    first, last = seen[0], seen[-1]
    seconds = [each.time - first.time for each in seen]
    used = [each.counts.allocated for each in seen]
    axes.fill_between(seconds, used, color=HUES[0], alpha=0.35, linewidth=0)
    axes.plot(seconds, used, color=HUES[0], label="allocated")
    axes.plot(seconds, [each.counts.largest_free_run for each in seen], color=HUES[1], label="largest free run")
    axes.axhline(last.blocks, color=_FREE, linestyle="--", linewidth=1, label="all blocks")
    waits = [
        then
        for before, after, then in zip(seen, seen[1:], seconds[1:], strict=False)
        if after.counts.failures + after.counts.waits > before.counts.failures + before.counts.waits
    ]
    if waits:
        axes.plot(waits, [last.blocks] * len(waits), "v", color=HUES[3], label="no room", clip_on=False)
    axes.set_ylim(0, last.blocks * 1.04)
    axes.margins(x=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("blocks")
    axes.set_title(_plain(_called(last.name)))
    axes.legend(frameon=False, fontsize="small")
    return axes


def _axes(ax: Axes | None) -> Axes:
    """Return where to draw."""
    return _figure().add_subplot() if ax is None else ax


def _figure() -> Figure:
    """Return a new figure."""
    try:
        from matplotlib import pyplot as plt
    except ModuleNotFoundError as error:
        command = install_command("plot")
        raise ImportError(f"blockpool.plot needs {error.name}; install what it needs with: {command}") from error
    return plt.figure(layout="constrained")


def _seen(pool: Any) -> tuple[PoolMap, tuple[ProcessInfo, ...] | None, str, int]:
    """Return the map of a pool, its processes, what it is called, and how many blocks are allocated."""
    import blockpool
    from blockpool.observe import Snapshot

    if isinstance(pool, Snapshot):
        if pool.map is None:
            raise ValueError("the snapshot has no map; take it with cells=4096")
        return pool.map, pool.processes, _called(pool.name), pool.counts.allocated
    if isinstance(pool, blockpool.Inspector):
        return _inspected(pool)
    if isinstance(pool, blockpool.Pool) and _is_private(pool):
        stats = pool.stats()
        return map_of_runs(pool.runs(), stats.blocks, _CELLS), None, "private pool", stats.allocated
    with blockpool.inspect(pool) as inspector:
        return _inspected(inspector)


def _is_private(pool: Pool) -> bool:
    from blockpool.report.notebook import look_at

    inspector = look_at(pool)
    if inspector is not None:
        inspector.close()
    return inspector is None


def _inspected(inspector: Inspector) -> tuple[PoolMap, tuple[ProcessInfo, ...], str, int]:
    drawn = inspector.map(_CELLS)
    return drawn, tuple(inspector.processes()), _called(inspector.name), inspector.counts().allocated


def _called(name: str | None) -> str:
    return f"pool {name}" if name else "pool without a name"


def _plain(said: str) -> str:
    """Return a text that Matplotlib shows as it is, and takes no part of for a formula."""
    return shown(said).replace("$", r"\$")
