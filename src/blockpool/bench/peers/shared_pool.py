"""blockpool, a shared pool: one block for each buffer, and a queue of the pool to hand it over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import blockpool
from blockpool.bench.peers._ends import QueueEnd
from blockpool.bench.peers._many import SMALL
from blockpool.bench.peers._peer import Peer
from blockpool.bench.peers._pools import allocated, blocks_of, filled, grown_in, version, written

if TYPE_CHECKING:
    from blockpool import Pool
    from blockpool.bench.tasks import Statement

__all__ = ["PEER", "create", "grown", "hold", "member", "receiver", "sender", "shared", "version", "write"]

PEER = Peer(
    "shared pool",
    "pool.allocate(), dropped; handed over by pool.queue(spin=0) or pool.queue(spin=1): the block, or up to 512 bytes "
    "in the message itself",
    against="shared_pool",
)

_IN_MESSAGE = 512


def _pool(size: int) -> Pool:
    return blockpool.Pool.create(size, blocks_of(size), prefault=True)


def create(size: int) -> Statement:
    """Allocate a block and drop it."""
    return allocated(_pool(size))


def write(size: int) -> Statement:
    """Allocate a block, write a byte of each page, and drop it."""
    return written(_pool(size), size)


def hold(size: int, count: int) -> object:
    """Allocate as many blocks as the pool has; their size is the next multiple of 8."""
    return filled(blockpool.Pool.create(-(-size // 8) * 8, count, prefault=True), count)


def grown(blocks: int, filling: float) -> Statement:
    """Allocate a block and drop it in a pool that is that full, at random places."""
    return grown_in(blockpool.Pool.create(SMALL, blocks), blocks, filling)


def shared(size: int) -> object:
    """Make the pool of several processes; it is pickled."""
    return _pool(size)


def member(token: Any, size: int) -> Statement:
    """Allocate and drop in the pool of all."""
    del size
    return allocated(token)


class _End(QueueEnd):
    """Both ends of a link: a pool and two queues of it."""

    def __init__(self, token: Any, size: int) -> None:
        self._pool, *queues = token
        super().__init__(queues, size)
        self.token = token
        self._size = size

    def send(self) -> None:
        """Send a new buffer, written at its ends."""
        if self._size <= _IN_MESSAGE:
            message = bytearray(self._size)
            message[0] = message[-1] = 1
            self._there.put(message)
            return
        block = self._pool.allocate()
        with block.buf as view:
            view[0] = view[-1] = 1
        self._there.put(block)

    def receive(self) -> bool:
        """Receive a buffer, and return whether it has what was written."""
        message = self._there.get()
        if self._size <= _IN_MESSAGE:
            return bool(message[0] == message[-1] == 1)
        with message.buf as view:
            return bool(view[0] == view[-1] == 1)


def sender(size: int, waiting: str) -> _End:
    """Make a pool and two queues, whose receivers sleep or spin."""
    pool = blockpool.Pool.create(max(size, _IN_MESSAGE), 8, prefault=True)
    spin = 1 if waiting == "spins" else 0
    return _End((pool, pool.queue(spin=spin), pool.queue(spin=spin)), size)


def receiver(token: Any, size: int, waiting: str) -> _End:
    """Take the other end."""
    del waiting
    return _End(token, size)
