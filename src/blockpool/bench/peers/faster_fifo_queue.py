"""faster-fifo: pickled messages in a ring of shared memory."""

from __future__ import annotations

from typing import Any

from blockpool.bench.peers._peer import Peer
from blockpool.bench.peers.shared_memory import sleeps

PEER = Peer(
    "faster-fifo",
    "put(bytearray), get(): the bytes are pickled, and copied into a ring that has room for four messages",
    against="shared_pool",
    needs="faster-fifo>=1.5",
)

_ROOM = 1 << 16


def version() -> str:
    """Return the version of faster-fifo."""
    from importlib.metadata import version as version_of

    import faster_fifo  # noqa: F401 - it must be there

    return version_of("faster-fifo")


class _End:
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
        for queue in self.token:
            queue.close()


def sender(size: int, waiting: str) -> _End:
    """Make two queues."""
    sleeps(waiting)
    import faster_fifo

    return _End((faster_fifo.Queue(4 * size + _ROOM), faster_fifo.Queue(_ROOM)), size)


def receiver(token: Any, size: int, waiting: str) -> _End:
    """Take the other end."""
    del waiting
    import faster_fifo_reduction  # noqa: F401 - as its documentation says, for spawned processes

    return _End(token, size)
