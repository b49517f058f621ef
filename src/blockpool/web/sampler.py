"""A thread that looks at one pool again and again, for all pages that show it.

It leaves what it saw, encoded, as the latest update, and says so to the event loop. `latest` and `_told` are all that
it shares with the loop, and `_rate`, which the loop sets. Each is assigned whole. The thread assigns `latest` before it
reads `_told`, and the loop sets `_told` before it reads `latest`, so that no update is left behind.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from blockpool.errors import BlockPoolError
from blockpool.observe import Observer, Rates, rates
from blockpool.report.json import SCHEMA
from blockpool.web.encode import Encoder, Update, event

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from blockpool import Inspector
    from blockpool.observe import Snapshot

__all__ = ["LIVE_CELLS", "Point", "Sampler"]

LIVE_CELLS = 8192

# Rates are those of the last second, and so is a point of the history.
_SECOND = 1.0
# A sampler rests at least this many times as long as it worked.
_REST = 4

_log = logging.getLogger("blockpool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """How a pool was at one second of its history; rates are per second.

    Attributes
    ----------
    time : float
        In seconds since the epoch.
    allocated, largest_free_run : int
        In blocks.
    fragmentation : float
        As in `PoolStats`.
    allocations, failures, waits, waited : float
        As in `Rates`.
    tickets : int
        References in flight.
    """

    time: float
    allocated: int
    largest_free_run: int
    fragmentation: float
    allocations: float
    failures: float
    waits: float
    waited: float
    tickets: int


def _point(snapshot: Snapshot, since: Rates) -> Point:
    counts = snapshot.counts
    return Point(
        time=snapshot.time,
        allocated=counts.allocated,
        largest_free_run=counts.largest_free_run,
        fragmentation=counts.fragmentation,
        tickets=snapshot.survey.tickets,
        **asdict(since),
    )


def _gone(error: str, message: str) -> bytes:
    return event("gone", json.dumps({"schema": SCHEMA, "kind": "gone", "error": error, "message": message}))


class Sampler:
    """Looks at a pool until it is stopped, or the pool vanishes. Started when made, in the event loop.

    Parameters
    ----------
    inspector : Inspector
        What it looks through; closed at the end.
    history : deque of Point
        Where it adds what happened, each second.
    news : callable
        Called in the loop when there is a new update.
    lost : callable
        Called in the loop, with the last event for pages, when the pool vanished or cannot be looked at any more.
    loop : asyncio.AbstractEventLoop
        The loop.
    rate : float
        How many updates a second it is to make.

    Attributes
    ----------
    latest : Update or None
        The latest update.
    """

    def __init__(
        self,
        inspector: Inspector,
        history: deque[Point],
        *,
        news: Callable[[], object],
        lost: Callable[[Sampler, bytes], object],
        loop: asyncio.AbstractEventLoop,
        rate: float,
    ) -> None:
        self.latest: Update | None = None
        self._rate = rate
        self._inspector = inspector
        self._history = history
        self._news = news
        self._lost = lost
        self._loop = loop
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._told = True
        name = f"blockpool-{inspector.pool_id[:8]}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """End the looks; returns at once."""
        self._stop.set()
        self._wake.set()

    def set_rate(self, rate: float) -> None:
        """Make so many updates a second from now on."""
        faster = rate > self._rate
        self._rate = rate
        if faster:
            self._wake.set()

    def _run(self) -> None:
        try:
            farewell = self._look_on()
        except Exception as error:  # noqa: BLE001 - the pages have to hear of it, whatever it is
            if not isinstance(error, (BlockPoolError, OSError)):
                _log.exception("the web page's look at the pool %s failed", self._inspector.pool_id)
            farewell = _gone(type(error).__name__, str(error))
        finally:
            self._inspector.close()
        if not self._stop.is_set():
            self._call(lambda: self._lost(self, farewell))

    def _look_on(self) -> bytes:
        """Look until told to stop, or until the pool vanishes; return the last event."""
        encoder = Encoder()
        observer = Observer(self._inspector, cells=min(self._inspector.blocks, LIVE_CELLS))
        recent: deque[Snapshot] = deque()
        before: Snapshot | None = None  # the last point of the history
        due = time.monotonic()
        while not self._stop.is_set():
            worked = time.thread_time()
            seen = observer.look()
            if not seen.exists:
                return _gone("PoolNotFound", "the pool is gone")
            bare = replace(seen, map=None)
            recent.append(bare)
            while len(recent) > 2 and seen.time - recent[1].time >= _SECOND:  # noqa: PLR2004 - the first and the last
                recent.popleft()
            self.latest = encoder.update(seen, rates(recent[0], seen))
            self._tell()
            if before is None:
                before = bare
            elif not 0 <= seen.time - before.time < _SECOND:
                self._history.append(_point(seen, rates(before, seen)))
                before = bare
            rest = _REST * (time.thread_time() - worked)
            now = time.monotonic()
            due = max(due + 1 / self._rate, now)
            if self._wake.wait(max(due - now, rest)):
                self._wake.clear()
                due = time.monotonic()
        return b""

    def _tell(self) -> None:
        """Say to the loop that there is an update, unless it has not yet come to the one before."""
        if self._told:
            self._told = False
            self._call(self._hear)

    def _hear(self) -> None:
        self._told = True
        self._news()

    def _call(self, function: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed: the server ended
            self._stop.set()
