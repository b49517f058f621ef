"""A buffer to another process, and a short answer: the sender's process starts the receiver.

Between two turns the receiver does nothing but wait for the next in a pipe of its own, so one that spins costs the
other contenders nothing.
"""

from __future__ import annotations

import multiprocessing
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from types import ModuleType

__all__ = ["Link"]

_START_SECONDS = 60.0


class Link:
    """Both ends of a link of a peer."""

    def __init__(self, peer: ModuleType, size: int, waiting: str) -> None:
        self._end = peer.sender(size, waiting)
        processes = multiprocessing.get_context("spawn")
        self._pipe, theirs = processes.Pipe()
        arguments = (theirs, peer.__name__, self._end.token, size, waiting)
        self._process = processes.Process(target=_receive, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(_START_SECONDS):
            raise TimeoutError("the receiver does not begin")
        try:
            self._pipe.recv()
        except EOFError:
            raise RuntimeError("the receiver did not begin") from None
        if hasattr(self._end, "ready"):
            self._end.ready()

    def run(self, times: int) -> list[int]:
        """Send so many buffers, one after the other; return for each how many nanoseconds its answer took."""
        self._pipe.send(times)
        self._pipe.recv()
        send, wait, clock = self._end.send, self._end.wait, time.perf_counter_ns
        found = []
        for _ in range(times):
            start = clock()
            send()
            wait()
            found.append(clock() - start)
        if not self._pipe.recv():
            raise RuntimeError("what arrived is not what was sent")
        return found

    def close(self) -> None:
        """Have the receiver end, and close both ends."""
        self._pipe.close()
        self._process.join(2)
        self._process.kill()
        self._process.join()
        self._end.close()


def _receive(pipe: Connection[Any, Any], peer: str, token: Any, size: int, waiting: str) -> None:
    """Run as the receiver, until there are no more turns."""
    end = import_module(peer).receiver(token, size, waiting)
    pipe.send("ready")
    receive, answer = end.receive, end.answer
    while True:
        try:
            times = pipe.recv()
        except EOFError:
            break
        pipe.send("begin")
        right = True
        for _ in range(times):
            right &= receive()
            answer()
        pipe.send(right)
