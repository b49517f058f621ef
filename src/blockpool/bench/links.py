"""A buffer to another process, and a short answer: the sender's process starts the receiver."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from blockpool.bench.partners import Partner, requests

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from types import ModuleType

__all__ = ["Link"]


class Link:
    """Both ends of a link of a peer."""

    def __init__(self, peer: ModuleType, size: int, waiting: str) -> None:
        self._end = peer.sender(size, waiting)
        self._receiver = Partner(_receive, peer.__name__, self._end.token, size, waiting)
        self._receiver.await_ready()
        if hasattr(self._end, "ready"):
            self._end.ready()

    def run(self, times: int) -> list[int]:
        """Send so many buffers, one after the other; return for each how many nanoseconds its answer took."""
        self._receiver.ask(times)
        self._receiver.answer()
        send, wait, clock = self._end.send, self._end.wait, time.perf_counter_ns
        found = []
        for _ in range(times):
            start = clock()
            send()
            wait()
            found.append(clock() - start)
        if not self._receiver.answer():
            raise RuntimeError("what arrived is not what was sent")
        return found

    def close(self) -> None:
        """Have the receiver end, and close both ends."""
        self._receiver.close()
        self._end.close()


def _receive(pipe: Connection[Any, Any], peer: str, token: Any, size: int, waiting: str) -> None:
    """Run as the receiver, until there are no more turns."""
    end = import_module(peer).receiver(token, size, waiting)
    pipe.send("ready")
    receive, answer = end.receive, end.answer
    for times in requests(pipe):
        pipe.send("begin")
        right = True
        for _ in range(times):
            right &= receive()
            answer()
        pipe.send(right)
