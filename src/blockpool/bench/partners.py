"""Processes that a contender's process starts, as it needs several: each waits for requests in a pipe of its own.

So between two turns it costs the other contenders nothing. It ends when nobody is there to ask, and, in whatever it is
just then, with the process that started it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

__all__ = ["Partner", "die_with_parent", "requests"]

_START_SECONDS = 60.0
_END_SECONDS = 2.0
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


class Partner:
    """A process that runs a function, which gets the other end of a pipe and these arguments.

    It says that it is ready by an answer, before the first request.
    """

    def __init__(self, function: Callable[..., None], *arguments: Any) -> None:
        processes = multiprocessing.get_context("spawn")
        self._pipe, theirs = processes.Pipe()
        self._process = processes.Process(target=_run, args=(theirs, function, arguments), daemon=True)
        self._process.start()
        theirs.close()

    def await_ready(self) -> None:
        """Wait until it is ready."""
        if not self._pipe.poll(_START_SECONDS):
            raise TimeoutError("a process does not begin")
        self.answer()

    def ask(self, request: Any) -> None:
        """Make a request, and wait for no answer; that one says so if the process ended."""
        with suppress(BrokenPipeError):
            self._pipe.send(request)

    def answer(self) -> Any:
        """Return what it answers.

        Raises
        ------
        RuntimeError
            If it ended instead.
        """
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise RuntimeError("a process that it started ended") from None

    def close(self) -> None:
        """Have it end, and see to it that it does."""
        self._pipe.close()
        self._process.join(_END_SECONDS)
        self._process.kill()
        self._process.join()


def requests(pipe: Connection[Any, Any]) -> Iterator[Any]:
    """Yield what a partner is asked for, until nobody is there to ask."""
    while True:
        try:
            yield pipe.recv()
        except EOFError:
            return


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


def _run(pipe: Connection[Any, Any], function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    die_with_parent()
    function(pipe, *arguments)
