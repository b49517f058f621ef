"""Where the data comes from: looks at one pool, with rates and with the runs of one process."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from blockpool.observe import Observer, Rates, Snapshot, rates

if TYPE_CHECKING:
    from blockpool._core import Inspector
    from blockpool.stats import Run

__all__ = ["LISTED", "SEARCHED", "Feed", "View"]

Order = Literal["age", "size"]

# How many runs are listed, and among how many of the oldest or largest those of one process are searched.
LISTED = 200
SEARCHED = 20_000
# Rates are those of so many seconds.
_SPAN = 2.0
# A search takes long in a large pool: seconds from one to the next, and how many times as long as it took.
_SEARCH_EVERY = 1.0
_REST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the screen of a pool shows.

    Attributes
    ----------
    snapshot : Snapshot
        The pool.
    rates : Rates
        What happened lately, per second.
    order : str
        Whether `runs` are the oldest ("age") or the largest ("size").
    only : int or None
        The process whose runs alone are in `runs`.
    runs : tuple of Run
        The runs to list.
    """

    snapshot: Snapshot
    rates: Rates
    order: Order
    only: int | None
    runs: tuple[Run, ...]


class Feed:
    """Looks at one pool, in whatever thread calls `look`, one at a time. The settings may be changed by another."""

    def __init__(self, inspector: Inspector) -> None:
        self.inspector = inspector
        self.order: Order = "age"
        self.only: int | None = None
        self.cells = 0
        self._observer = Observer(inspector, most=LISTED)
        self._observed: Order = "age"
        self._past: deque[Snapshot] = deque()
        self._searched: tuple[int | None, Order] | None = None
        self._search_at = 0.0
        self._found: tuple[Run, ...] = ()

    def look(self) -> View:
        """Look now. Raises what `Observer.look` raises."""
        order, only = self.order, self.only
        if order != self._observed:
            self._observer = Observer(self.inspector, most=LISTED, order=order)
            self._observed = order
        self._observer.cells = self.cells
        snapshot = self._observer.look()
        past = self._past
        past.append(snapshot)
        while len(past) > 2 and past[1].time <= snapshot.time - _SPAN:  # noqa: PLR2004 - a rate is of two
            past.popleft()
        return View(
            snapshot=snapshot,
            rates=rates(past[0], snapshot),
            order=order,
            only=only,
            runs=snapshot.survey.top if only is None else self._runs_of(only, order),
        )

    def _runs_of(self, process: int, order: Order) -> tuple[Run, ...]:
        now = time.monotonic()
        if self._searched != (process, order) or now >= self._search_at:
            self._searched = process, order
            runs = self.inspector.survey(SEARCHED, order=order).top
            self._found = tuple(run for run in runs if process in run.holders)[:LISTED]
            took = time.monotonic() - now
            self._search_at = now + max(_SEARCH_EVERY, _REST * took)
        return self._found
