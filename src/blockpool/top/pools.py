"""The screen that lists all pools."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

import blockpool
from blockpool.report.text import count, printable
from blockpool.top.colours import style
from blockpool.top.filtered import Filtered
from blockpool.top.lines import name_of
from blockpool.top.picture import Piece
from blockpool.top.pool import PoolScreen
from blockpool.top.tables import POOLS, arranged, pool_rows
from blockpool.top.widgets import Lines, Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from blockpool.stats import PoolSummary

__all__ = ["PoolsScreen"]

# All pools are listed about once a second: that takes a look at all processes of the user.
_EVERY = 1.0
# ... and at most this part of a processor.
_REST = 20


class PoolsScreen(Filtered):
    """All pools of this user."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", show=False)]
    DEFAULT_CSS = "PoolsScreen #title { height: 1; }"

    def __init__(self) -> None:
        super().__init__(POOLS)
        self._title_line = Lines(id="title")
        self._pools: list[PoolSummary] | None = None
        self._resumed = asyncio.Event()

    def content(self) -> Iterable[Widget]:
        """Return the title and the table."""
        return [self._title_line, self.table, self.filter_line]

    def keys(self) -> list[tuple[str, str]]:
        """Return the keys."""
        if self.typing:
            return [("Enter", "keep the filter"), ("Esc", "all rows")]
        return [
            ("Enter", "open"),
            ("/", "filter"),
            ("s", "sort by next column"),
            ("S", "reverse"),
            ("q", "quit"),
        ]

    def on_mount(self) -> None:
        """Begin to look."""
        self.table.focus()
        self.rearrange()
        self.run_worker(self._watch(), exclusive=True)

    def on_screen_resume(self) -> None:
        """Look at once."""
        self._resumed.set()

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            took = 0.0
            if self.app.screen is self:
                start = clock()
                try:
                    self._pools = await asyncio.to_thread(blockpool.pools)
                except (blockpool.BlockPoolError, OSError) as error:
                    self.say(printable(str(error)))
                took = clock() - start
                self.rearrange()
            self._resumed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(_EVERY, _REST * took)):
                    await self._resumed.wait()

    def rearrange(self) -> None:
        """Fill the table again."""
        table, pools = self.table, self._pools or []
        rows = pool_rows(pools)
        shown = arranged(rows, by=table.by, down=table.down, containing=self.containing)
        empty = "no row has that" if rows else "looking …" if self._pools is None else "there is no pool"
        table.put(POOLS, shown, by=table.by, down=table.down, empty=empty)
        title = [Piece("blockpool top", style("bold cyan")), Piece(f"  {count(len(pools), 'pool')}", style("bold"))]
        self._title_line.put([title])

    def on_table_opened(self, event: Table.Opened) -> None:
        """Open a pool."""
        pool: PoolSummary = event.row.about
        name = name_of(pool.name, pool.pool_id)
        which = pool.name if pool.name is not None else pool.pool_id
        if pool.state != "ok" or which is None:
            made = f", made by blockpool {printable(pool.made_by)}" if pool.made_by else ""
            self.say(f"{name} cannot be opened: {pool.state}{made}")
            return
        self.open(which)

    def open(self, which: str) -> None:
        """Open the pool that has a name or an id."""
        try:
            inspector = blockpool.inspect(which)
        except (blockpool.BlockPoolError, OSError) as error:
            self.say(f"{printable(which)} cannot be opened: {printable(str(error))}")
            return
        self.say("")
        self.app.push_screen(PoolScreen(inspector))

    def action_back(self) -> None:
        """Show all rows."""
        self.clear_filter()
