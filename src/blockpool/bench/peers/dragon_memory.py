"""DragonHPC: allocations of a memory pool, and messages through channels, without its runtime.

Channels and pools are the layer below its queues, and the one that its documentation names for speed. A message is
allocated in the pool, filled in place, and sent with its ownership, so nothing is copied.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

from blockpool.bench.peers._peer import Peer, own_name
from blockpool.bench.tasks import Statement, marks

PEER = Peer(
    "DragonHPC",
    "MemoryPool.alloc(size), free(); handed over as a Message of the pool through a Channel with its ownership, "
    "waiting with IDLE_WAIT or SPIN_WAIT",
    against="shared_pool",
    needs="dragonhpc>=0.12",
)

_ROOM = 64 << 20
_SMALLEST = 64
_MOST = 1 << 16
_LEAST = 8 << 20  # fewer bytes are refused
_NUMBERS = itertools.count(1)
_KEPT: list[object] = []


def version() -> str:
    """Return the version of DragonHPC."""
    from importlib.metadata import version as version_of

    from dragon import managed_memory  # noqa: F401 - it must be there

    return version_of("dragonhpc")


class _Pool:
    """A pool that ends with this object."""

    def __init__(self, nbytes: int) -> None:
        from dragon.managed_memory import MemoryPool

        number = next(_NUMBERS)
        name, uid = f"{own_name()}{number}", (os.getpid() << 8) + number
        self.pool = MemoryPool(nbytes, name, uid, min_block_size=_SMALLEST, max_allocations=_MOST)

    def __del__(self) -> None:
        self.pool.destroy()


def create(size: int) -> Statement:
    """Allocate memory and free it."""
    own = _Pool(max(_ROOM, 4 * size))
    return Statement("alloc(size).free()", {"alloc": own.pool.alloc, "size": size, "own": own})


def write(size: int) -> Statement:
    """Allocate memory, write a byte of each page, and free it."""
    own = _Pool(max(_ROOM, 4 * size))
    names = {"alloc": own.pool.alloc, "size": size, "own": own, "marks": marks(size)}
    code = "memory = alloc(size); memory.get_memview()[:size:4096] = marks; memory.free()"
    return Statement(code, names)


def hold(size: int, count: int) -> object:
    """Keep so many, written; the pool is as large as they need, at its sizes, which are powers of two."""
    own = _Pool(max(_LEAST, 2 * (1 << (max(size, _SMALLEST) - 1).bit_length()) * count))
    found = [own.pool.alloc(size) for _ in range(count)]
    for each in found:
        each.get_memview()[:size:4096] = marks(size)
    return own, found


def shared(size: int) -> object:
    """Make the pool of several processes."""
    own = _Pool(max(_ROOM, 4 * size))
    _KEPT[:] = [own]
    return own.pool.serialize()


def member(token: Any, size: int) -> Statement:
    """Allocate memory and free it in the pool of all."""
    from dragon.managed_memory import MemoryPool

    pool = MemoryPool.attach(token)
    return Statement("alloc(size).free()", {"alloc": pool.alloc, "size": size, "pool": pool})


class _End:
    """Both ends: a pool, and a channel each way."""

    def __init__(self, pool: Any, out: Any, back: Any, size: int, *, spins: bool) -> None:
        from dragon import channels

        self._message, self._pool, self._size = channels.Message, pool, size
        mode = channels.SPIN_WAIT if spins else channels.IDLE_WAIT
        self._send = out.sendh(wait_mode=mode)
        self._receive = back.recvh(wait_mode=mode)
        self._send.open()
        self._receive.open()
        self._ownership = channels.OwnershipOnSend.transfer_ownership_on_send

    def _put(self, size: int) -> None:
        message = self._message.create_alloc(self._pool, size)
        view = message.bytes_memview()
        view[0] = view[size - 1] = 1
        self._send.send(message, ownership=self._ownership)

    def send(self) -> None:
        """Send a message, written at its ends."""
        self._put(self._size)

    def receive(self) -> bool:
        """Receive a message, look at its ends, and free it."""
        message = self._receive.recv()
        view = message.bytes_memview()
        found = bool(view[0] == view[self._size - 1] == 1)
        del view
        message.destroy()
        return found

    def answer(self) -> None:
        """Answer with a few bytes."""
        self._put(8)

    def wait(self) -> None:
        """Await the answer."""
        self._receive.recv().destroy()


class _Sender(_End):
    def __init__(self, size: int, *, spins: bool) -> None:
        from dragon.channels import Channel

        self._own = _Pool(max(_ROOM, 4 * size))
        pool = self._own.pool
        channels = Channel(pool, 2 * os.getpid()), Channel(pool, 2 * os.getpid() + 1)
        self.token = pool.serialize(), *(channel.serialize() for channel in channels)
        super().__init__(pool, *channels, size, spins=spins)

    def close(self) -> None:
        """Close the channels."""
        self._send.close()
        self._receive.close()


def sender(size: int, waiting: str) -> _Sender:
    """Make a pool and two channels."""
    return _Sender(size, spins=waiting == "spins")


def receiver(token: Any, size: int, waiting: str) -> _End:
    """Take the other end."""
    from dragon.channels import Channel
    from dragon.managed_memory import MemoryPool

    pool, there, back = token
    attached = MemoryPool.attach(pool)
    return _End(attached, Channel.attach(back), Channel.attach(there), size, spins=waiting == "spins")
