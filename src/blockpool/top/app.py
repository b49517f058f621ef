"""The program of `blockpool top`: it opens the screens, and ends when a key or a signal says so."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from blockpool.top.pool import PoolScreen
from blockpool.top.pools import PoolsScreen

if TYPE_CHECKING:
    from textual.driver import Driver

    from blockpool._core import Inspector

__all__ = ["Top"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# As a shell reports a process that a signal ended.
_BY_SIGNAL = 128


class Top(App[None]):
    """Pools, live.

    Parameters
    ----------
    inspector : Inspector or None
        The pool to open; None for the list of all.
    driver_class : type of Driver or None
        The terminal.
    """

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit_well", show=False),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
        Binding("ctrl+q", "quit_well", show=False, priority=True),
    ]

    def __init__(self, inspector: Inspector | None = None, *, driver_class: type[Driver] | None = None) -> None:
        # The terminal's own sixteen colours, which are readable on its own background.
        super().__init__(driver_class=driver_class, ansi_color=True)
        self.theme = "ansi-dark"
        self.animation_level = "none"
        self._inspector = inspector
        self.list = PoolsScreen()

    def on_mount(self) -> None:
        """Open the screens, and take signals as an end."""
        loop = asyncio.get_running_loop()
        if not self.is_headless:
            for number in _SIGNALS:
                loop.add_signal_handler(number, self.exit, None, _BY_SIGNAL + number)
        self.push_screen(self.list)
        if self._inspector is not None:
            self.push_screen(PoolScreen(self._inspector))

    def action_quit_well(self) -> None:
        """End."""
        self.exit(None, 0)

    def action_interrupt(self) -> None:
        """End as by Ctrl-C."""
        self.exit(None, _BY_SIGNAL + signal.SIGINT)

    async def on_pool_screen_left(self, event: PoolScreen.Left) -> None:
        """Go back to the list, and say there why."""
        while self.screen is not self.list and len(self.screen_stack) > 1:
            await self.pop_screen()
        self.list.say(event.sentence)
