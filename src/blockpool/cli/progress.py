"""Live progress: the demo's board, and a line that says what goes on; nothing if the output is not a terminal."""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from blockpool.report.demo import board
from blockpool.report.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockpool.report.bitmap import Glyphs
    from blockpool.report.results import Progress

__all__ = ["doing", "live"]

# Seconds between redraws. One takes a millisecond or two of the packing process, so at this rate it does not matter.
INTERVAL = 0.2


@contextmanager
def live(console: Console, glyphs: Glyphs) -> Iterator[Callable[[Callable[[], Progress]], None]]:
    """Yield a function to call as often as you like, with a function that returns the progress."""
    if not console.is_terminal:
        yield lambda _progress: None
        return
    # No refresh thread: it would take the GIL at any time.
    with Live(console=console, auto_refresh=False, transient=True) as shown:
        due = 0.0

        def show(progress: Callable[[], Progress]) -> None:
            nonlocal due
            if monotonic() >= due:
                shown.update(board(progress(), width=console.width, glyphs=glyphs), refresh=True)
                due = monotonic() + INTERVAL

        yield show


@contextmanager
def doing() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows on stderr what goes on; the line is gone at the end."""
    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        yield lambda _said: None
        return
    with Live(console=console, auto_refresh=False, transient=True) as shown:
        yield lambda said: shown.update(Text(f"{printable(said)} ...", style="dim", overflow="fold"), refresh=True)
