"""What the ends of several links have in common: bytes through a queue each way, and receivers that cannot spin."""

from __future__ import annotations

from typing import Any

from blockpool.bench.tasks import Declined

__all__ = ["QueueEnd", "sleeps"]


class QueueEnd:
    """Both ends of a link that copies a buffer of that size: two queues, there and back."""

    def __init__(self, token: Any, size: int) -> None:
        self.token = token
        self._there, self._back = token
        self._message = bytearray(size)

    def send(self) -> None:
        """Send a buffer, written at its ends."""
        self._message[0] = self._message[-1] = 1
        self._there.put(self._message)

    def receive(self) -> bool:
        """Receive a buffer, and look at its ends."""
        message = self._there.get()
        return bool(message[0] == message[-1] == 1)

    def answer(self) -> None:
        """Answer with a few bytes."""
        self._back.put(b"had it")

    def wait(self) -> None:
        """Await the answer."""
        self._back.get()

    def close(self) -> None:
        """Close the queues."""
        self._there.close()
        self._back.close()


def sleeps(waiting: str) -> None:
    """Have no part where receivers spin."""
    if waiting == "spins":
        raise Declined("it waits in the kernel; it has no call that spins")
