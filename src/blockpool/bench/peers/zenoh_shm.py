"""Zenoh: buffers of its shared-memory provider, published from one session to another.

In Python its buffers have no buffer protocol: they are written by assigning bytes, and read by copying them.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from blockpool.bench.peers._ends import sleeps
from blockpool.bench.peers._peer import Peer
from blockpool.bench.tasks import Statement

PEER = Peer(
    "Zenoh SHM",
    "ShmProvider.alloc(size, GarbageCollect()), dropped; handed over by put() between two sessions that are connected "
    "by a Unix socket, to a subscriber with a channel; the receiver copies, as it can do nothing else",
    against="shared_pool",
    needs="eclipse-zenoh>=1.10",
)

_ROOM = 64 << 20
_MOST_SECONDS = 10
_HEAD, _SLACK = 64, 1 << 20


def version() -> str:
    """Return the version of Zenoh."""
    from importlib.metadata import version as version_of

    import zenoh  # noqa: F401 - it must be there

    return version_of("eclipse-zenoh")


def _provider(size: int) -> Any:
    import zenoh

    return zenoh.shm.ShmProvider.default_backend(max(_ROOM, 4 * size))


def create(size: int) -> Statement:
    """Allocate a buffer and drop it."""
    import zenoh

    names = {"alloc": _provider(size).alloc, "size": size, "policy": zenoh.shm.GarbageCollect()}
    return Statement("alloc(size, policy)", names)


def write(size: int) -> Statement:
    """Allocate a buffer, write a byte of each page, and drop it."""
    import zenoh

    names = {"alloc": _provider(size).alloc, "size": size, "policy": zenoh.shm.GarbageCollect()}
    # slices with a step are not understood, so page by page
    code = "buffer = alloc(size, policy)\nfor page in pages: buffer[page] = 1"
    return Statement(code, names | {"pages": range(0, size, 4096)})


def hold(size: int, count: int) -> object:
    """Keep so many, written."""
    import zenoh

    provider = zenoh.shm.ShmProvider.default_backend((size + _HEAD) * count + _SLACK)
    found = [provider.alloc(size) for _ in range(count)]
    for each in found:
        for page in range(0, size, 4096):
            each[page] = 1
    return provider, found


class _End:
    """A session that publishes on a key, and has what is published on another."""

    def __init__(self, address: str, out: str, back: str, size: int, *, listens: bool) -> None:
        import zenoh

        config = zenoh.Config()
        config.insert_json5("mode", '"peer"')
        config.insert_json5("scouting/multicast/enabled", "false")
        config.insert_json5("transport/shared_memory/enabled", "true")
        config.insert_json5("listen/endpoints", f'["{address}"]' if listens else "[]")
        config.insert_json5("connect/endpoints", "[]" if listens else f'["{address}"]')
        self._session = zenoh.open(config)
        self._size = size
        self._policy = zenoh.shm.GarbageCollect()
        self._alloc = _provider(size).alloc
        self._publisher = self._session.declare_publisher(out)
        self._subscriber = self._session.declare_subscriber(back, zenoh.handlers.FifoChannel(4))

    def send(self) -> None:
        """Send a buffer, written at its ends."""
        buffer = self._alloc(self._size, self._policy)
        buffer[0] = 1
        buffer[self._size - 1] = 1
        self._publisher.put(buffer)

    def receive(self) -> bool:
        """Receive a buffer, and look at its ends."""
        message = bytes(self._subscriber.recv().payload)
        return message[0] == message[-1] == 1

    def answer(self) -> None:
        """Answer with a few bytes."""
        self._publisher.put(b"had it")

    def wait(self) -> None:
        """Await the answer."""
        self._subscriber.recv()

    def close(self) -> None:
        """End the session; it may never do so while the other one is there."""
        closing = threading.Thread(target=self._session.close, daemon=True)
        closing.start()
        closing.join(1)


class _Sender(_End):
    def __init__(self, size: int) -> None:
        self.token = f"unixsock-stream/{Path(tempfile.gettempdir(), f'{os.getpid()}.sock')}"
        super().__init__(self.token, "blockpool/there", "blockpool/back", size, listens=True)

    def ready(self) -> None:
        """Wait until the two sessions know of each other."""
        end = time.monotonic() + _MOST_SECONDS
        while not self._publisher.matching_status.matching:
            if time.monotonic() > end:
                raise TimeoutError("the sessions do not find each other")
            time.sleep(0.01)


class _Receiver(_End):
    def __init__(self, token: str, size: int) -> None:
        super().__init__(token, "blockpool/back", "blockpool/there", size, listens=False)


def sender(size: int, waiting: str) -> _Sender:
    """Open a session that listens."""
    sleeps(waiting)
    return _Sender(size)


def receiver(token: Any, size: int, waiting: str) -> _Receiver:
    """Open a session that connects."""
    del waiting
    return _Receiver(token, size)
