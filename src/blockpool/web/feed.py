"""What pages see of pools: one sampler for each pool that a page shows, shared by all its pages.

Everything here belongs to the event loop; the sampler is a thread. Each page takes the latest update when it is ready
for one. So a slow page skips updates, and nothing is kept for it. A sampler ends with its last page. What happened in
the last minutes is kept for the next.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from blockpool.web.sampler import Point, Sampler

if TYPE_CHECKING:
    from typing import Self

    from blockpool import Inspector

__all__ = ["Feed", "Feeds", "Page"]

REMEMBERED = 600  # points of a feed's history, one a second
_MOST_FEEDS = 64  # that are kept for their history


class Feed:
    """One pool, its sampler, its recent history, and the pages that show it."""

    def __init__(self, pool_id: str, name: str | None) -> None:
        self.pool_id = pool_id
        self.name = name
        self.history: deque[Point] = deque(maxlen=REMEMBERED)
        self.sampler: Sampler | None = None
        self.pages: set[Page] = set()

    def join(self, page: Page, inspector: Inspector) -> None:
        """Add a page. The first starts the sampler with its inspector; those of others are closed."""
        self.pages.add(page)
        if self.sampler is None:
            loop = asyncio.get_running_loop()
            self.sampler = Sampler(inspector, self.history, news=self._wake, lost=self._lost, loop=loop, rate=page.rate)
        else:
            inspector.close()
            page.wake()
            self._set_rate()

    def leave(self, page: Page) -> None:
        """Forget a page; without pages, the sampler ends."""
        self.pages.discard(page)
        if self.pages:
            self._set_rate()
        else:
            self.end()

    def end(self, farewell: bytes = b"") -> None:
        """End the sampler and all pages, with this as their last event."""
        if self.sampler is not None:
            self.sampler.stop()
            self.sampler = None
        for page in self.pages:
            page.end(farewell)
        self.pages.clear()

    def _set_rate(self) -> None:
        """Look as often as the most eager page wants."""
        if self.sampler is not None:
            self.sampler.set_rate(max(page.rate for page in self.pages))

    def _wake(self) -> None:
        for page in self.pages:
            page.wake()

    def _lost(self, sampler: Sampler, farewell: bytes) -> None:
        if self.sampler is sampler:
            self.end(farewell)


class Page:
    """A page that shows a pool: a context manager, and inside an asynchronous iterator of events.

    Parameters
    ----------
    feed : Feed
        What it shows.
    inspector : Inspector
        Sees that pool. It is closed when nothing needs it any more.
    rate : float
        How many updates a second it wants at most.
    """

    def __init__(self, feed: Feed, inspector: Inspector, rate: float) -> None:
        self.rate = rate
        self._feed = feed
        self._inspector = inspector
        self._ready = asyncio.Event()
        self._over = asyncio.Event()
        self._farewell = b""
        self._number = self._drawn = 0
        self._due = 0.0

    def wake(self) -> None:
        """There is an update."""
        self._ready.set()

    def end(self, farewell: bytes) -> None:
        """Nothing comes any more but this event, if it is one."""
        self._farewell = farewell
        self._over.set()
        self._ready.set()

    def __enter__(self) -> Self:
        self._feed.join(self, self._inspector)
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Wait for an update that this page has not had; it is the latest one then, so some may be left out."""
        while True:
            await self._ready.wait()
            if not self._over.is_set():
                await self._until_due()
            if self._over.is_set():
                return self._last()
            self._ready.clear()
            latest = self._feed.sampler.latest if self._feed.sampler is not None else None
            if latest is None or latest.number == self._number:
                continue
            brief = latest.drawn == self._drawn
            self._number, self._drawn = latest.number, latest.drawn
            return latest.brief if brief else latest.whole

    async def _until_due(self) -> None:
        """Let time pass if this page wants fewer updates than others do."""
        now = time.monotonic()
        if self._due > now:
            try:
                await asyncio.wait_for(self._over.wait(), self._due - now)
            except TimeoutError:
                now = time.monotonic()
        # Turns are not all of the same length, so one that came late may be followed by one that comes early.
        turn = 0.95 / self.rate
        self._due = max(self._due + turn, now + turn / 2)

    def _last(self) -> bytes:
        farewell, self._farewell = self._farewell, b""
        if not farewell:
            raise StopAsyncIteration
        return farewell


class Feeds:
    """The feeds of all pools that pages show, or showed in the last minutes."""

    def __init__(self) -> None:
        self._feeds: dict[tuple[str, str | None], Feed] = {}  # a copy of a pool's file has the same id
        self._closed = False

    def page(self, inspector: Inspector, rate: float) -> Page:
        """Return a page of the pool that the inspector sees."""
        key = inspector.pool_id, inspector.name
        feed = self._feeds.get(key)
        if feed is None:
            self._tidy()
            feed = self._feeds[key] = Feed(*key)
        return Page(feed, inspector, rate)

    def history(self, pool_id: str, name: str | None) -> list[Point]:
        """Return what is remembered of a pool; empty if it was not shown."""
        feed = self._feeds.get((pool_id, name))
        return [] if feed is None else list(feed.history)

    def knew(self, pool: str) -> bool:
        """Return whether a pool with that name or id was shown in the last minutes."""
        return any(pool in {feed.pool_id, feed.name} for feed in self._feeds.values())

    @property
    def closed(self) -> bool:
        """Whether all pages were ended."""
        return self._closed

    def sampling(self) -> int:
        """Return how many samplers run."""
        return sum(feed.sampler is not None for feed in self._feeds.values())

    def close(self) -> None:
        """End all pages."""
        self._closed = True
        for feed in self._feeds.values():
            feed.end()

    def _tidy(self) -> None:
        """Forget pools that no page shows, if nothing recent is known of them or they are too many."""
        old = time.time() - REMEMBERED
        for feed in [feed for feed in self._feeds.values() if not feed.pages]:
            if not feed.history or feed.history[-1].time < old or len(self._feeds) >= _MOST_FEEDS:
                del self._feeds[feed.pool_id, feed.name]
