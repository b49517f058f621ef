"""The terminal: what `blockpool top` needs of one, and that its loss ends the program instead of stopping it.

Textual writes to the standard error of a process, in a thread. If that thread fails, the program waits for it for ever;
and if the terminal is gone, the thread that reads keys reads nothing, again and again. Here the first failure of either
ends the program. And Textual begins a second time when a process goes on that was stopped in another way than by
Ctrl-Z; then it can no longer end, nor give the terminal back as it was. Here it only paints again.
"""

from __future__ import annotations

import os
import sys
import termios
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

__all__ = ["Terminal", "why_not"]

# The other screen, no cursor.
_TAKE = "\x1b[?1049h\x1b[?25l"


def why_not() -> str | None:
    """Return why the standard input and output are of no use for a live view; None if they are."""
    for stream, name in ((sys.__stdin__, "input"), (sys.__stdout__, "output")):
        try:
            good = stream is not None and os.isatty(stream.fileno())
        except (OSError, ValueError):  # it is closed
            good = False
        if not good:
            return f"the standard {name} is not a terminal"
    if os.environ.get("TERM", "") in {"", "dumb", "unknown"}:
        return f"TERM={os.environ.get('TERM', '')!r} is not the name of a terminal that can show pictures"
    return None


class _Output:
    """A file that drops what it cannot write, and says so once."""

    def __init__(self, file: IO[str], lost: Callable[[], None]) -> None:
        self._file = file
        self._say_lost = lost
        self._lost = False

    def write(self, text: str) -> None:
        self._unless_lost(lambda: self._file.write(text))

    def flush(self) -> None:
        self._unless_lost(self._file.flush)

    def _unless_lost(self, call: Callable[[], object]) -> None:
        if not self._lost:
            try:
                call()
            except (OSError, ValueError):
                self._lost = True
                self._say_lost()

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        return True


class Terminal(LinuxDriver):
    """The terminal of the standard input and output."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        assert sys.__stdout__ is not None  # noqa: S101 - see why_not
        self._taken: list[Any] | None = None
        self._file = cast("Any", _Output(sys.__stdout__, self._gone))

    def start_application_mode(self) -> None:
        """Take the terminal, and remember how."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        with suppress(termios.error):
            self._taken = termios.tcgetattr(self.fileno)

    def stop_application_mode(self) -> None:
        """Give the terminal back, for good: what goes on after a stop must not take it again."""
        self._taken = None
        super().stop_application_mode()

    def _sigcont_application(self, *_: object) -> None:
        if self._must_signal_resume:  # it was stopped by Ctrl-Z, and gave the terminal back
            super()._sigcont_application()
        else:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._take_again)

    def _take_again(self) -> None:
        """Take the terminal as before, whatever a shell did to it meanwhile."""
        if self._taken is None:
            return
        with suppress(termios.error):
            termios.tcsetattr(self.fileno, termios.TCSANOW, self._taken)
        self.write(_TAKE)
        self._app.screen.refresh()

    def _gone(self) -> None:
        """End the program from another thread."""
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._app.exit, None, 1)

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except (OSError, ValueError, EOFError):
            self._gone()
