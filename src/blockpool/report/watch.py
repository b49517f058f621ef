"""Lines about a pool, one for each look, under one heading.

>>> columns_for(20)
('used', 'free', 'procs')
>>> heading(columns_for(32))
'    time  used     free alloc/s'
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from blockpool.report.formats import duration, percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockpool.report.documents import Glance

__all__ = ["columns_for", "heading", "line"]


def _rate(glance: Glance, name: str) -> str:
    """Format a rate; in the first line none is known."""
    if glance.rates is None:
        return "-"
    value: float = getattr(glance.rates, name)
    return f"{value:.2f}" if 0 < value < 10 else f"{value:.0f}"  # noqa: PLR2004 - above, nobody needs hundredths


# The columns in their order: the width of each, and what stands in it.
_COLUMNS: dict[str, tuple[int, Callable[[Glance], str]]] = {
    "time": (8, lambda glance: time.strftime("%H:%M:%S", time.localtime(glance.time))),
    "used": (5, lambda glance: percent(glance.counts.allocated, glance.counts.blocks)),
    "free": (8, lambda glance: str(glance.counts.free)),
    "largest": (8, lambda glance: str(glance.counts.largest_free_run)),
    "alloc/s": (7, lambda glance: _rate(glance, "allocations")),
    "fail/s": (6, lambda glance: _rate(glance, "failures")),
    "waits/s": (7, lambda glance: _rate(glance, "waits")),
    "waiting": (7, lambda glance: _rate(glance, "waited")),
    "procs": (5, lambda glance: str(glance.counts.processes)),
    "tickets": (7, lambda glance: str(glance.tickets)),
    "oldest": (9, lambda glance: "-" if glance.oldest_ticket is None else duration(glance.oldest_ticket)),
}
# Which are left out last where there is little room.
_FIRST = ("used", "free", "time", "alloc/s", "procs", "fail/s", "largest", "tickets", "waits/s", "waiting", "oldest")


def columns_for(width: int | None) -> tuple[str, ...]:
    """Return which columns fit; all of them if there is no limit."""
    chosen: set[str] = set()
    room = width
    for name in _FIRST:
        need = _COLUMNS[name][0] + bool(chosen)
        if room is None or need <= room or not chosen:
            chosen.add(name)
            room = None if room is None else room - need
    return tuple(name for name in _COLUMNS if name in chosen)


def heading(columns: tuple[str, ...]) -> str:
    """Return the heading of these columns."""
    return " ".join(f"{name:>{_COLUMNS[name][0]}}" for name in columns)


def line(glance: Glance, columns: tuple[str, ...]) -> str:
    """Return one look at a pool in these columns."""
    return " ".join(f"{_COLUMNS[name][1](glance):>{_COLUMNS[name][0]}}" for name in columns)
