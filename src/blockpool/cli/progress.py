"""How far the demo is: a board that is drawn again and again on a terminal, nothing elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from rich.live import Live

from blockpool.report.demo import board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from blockpool.report.bitmap import Glyphs
    from blockpool.report.results import Progress

__all__ = ["live"]

# Drawing takes a millisecond or two of the process that packs: seldom enough not to matter.
INTERVAL = 0.2


@contextmanager
def live(console: Console, glyphs: Glyphs) -> Iterator[Callable[[Callable[[], Progress]], None]]:
    """Give a function to call, as often as one likes, with one that says how far it is."""
    if not console.is_terminal:
        yield lambda _progress: None
        return
    # Not its own thread: it would take the GIL whenever it likes.
    with Live(console=console, auto_refresh=False, transient=True) as shown:
        due = 0.0

        def show(progress: Callable[[], Progress]) -> None:
            nonlocal due
            if monotonic() >= due:
                shown.update(board(progress(), width=console.width, glyphs=glyphs), refresh=True)
                due = monotonic() + INTERVAL

        yield show
