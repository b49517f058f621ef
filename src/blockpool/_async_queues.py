"""Waiting for queues in an event loop, without a thread: what `Queue.get_async` and the like await.

A process that puts an item wakes a futex, which an event loop cannot wait for; but if the queue is watched, it also
touches the pool's file, which wakes a descriptor. One descriptor serves all that wait for one queue in one loop, as
long as any does. A coroutine that waits first joins the others, then arms the watch, then looks once more; so an item
that comes in between is not missed. An item wakes all of them, and each tries to take it.

Room in a queue wakes no descriptor: a coroutine that waits for that looks again and again, at first each millisecond.

As in `blockpool._async`, asyncio is imported only where a loop runs.
"""

from __future__ import annotations

import math
import os
import time
from _weakref import ref
from contextlib import suppress

from blockpool._core import arm_queue, watch_queue
from blockpool._forks import queue_watches
from blockpool.errors import PoolExhausted

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable
    from typing import Any, TypeAlias, TypeVar

    from blockpool._core import Latest, Message, Queue, Sample, Subscription, Topic

    _T = TypeVar("_T")
    _Readable: TypeAlias = Queue | Subscription | Latest

# The longest wait before another look: a process that died may have left an item, or nobody woken.
_SLICE = 0.5
# Seconds between two looks for room: at first, and at most.
_SOON, _LATER = 0.001, 0.05


class _Watch:
    """The coroutines of one loop that wait for one queue."""

    __slots__ = ("__weakref__", "descriptor", "futures", "loop", "queue")

    def __init__(self, loop: asyncio.AbstractEventLoop, queue: _Readable) -> None:
        self.loop = loop
        self.queue = queue
        self.futures: set[asyncio.Future[None]] = set()
        self.descriptor = watch_queue(queue)
        try:
            loop.add_reader(self.descriptor, self.wake)
        except BaseException:
            os.close(self.descriptor)
            raise

    def wake(self) -> None:
        """Let everyone look."""
        with suppress(BlockingIOError):
            os.read(self.descriptor, 65536)
        for future in self.futures:
            if not future.done():
                future.set_result(None)

    def leave(self, future: asyncio.Future[None]) -> None:
        """Take one out; the last one ends the watch."""
        self.futures.discard(future)
        if not self.futures:
            _watches.pop((id(self.loop), id(self.queue)), None)
            if not self.loop.is_closed():
                self.loop.remove_reader(self.descriptor)
            os.close(self.descriptor)


# Weak references, by the ids of loop and queue: only the coroutines that wait keep a watch, so a loop that is closed
# under them takes it along. A forked child has none: the loops, and what waits in them, are its parent's.
_watches: dict[tuple[int, int], ref[_Watch]] = queue_watches


def _watch_of(loop: asyncio.AbstractEventLoop, queue: _Readable) -> _Watch:
    found = _watches.get((id(loop), id(queue)))
    watch = None if found is None else found()
    if watch is None:
        watch = _Watch(loop, queue)
        _watches[id(loop), id(queue)] = ref(watch)
    return watch


async def _wait(queue: _Readable, look: Callable[[], _T], nothing: type[Exception], seconds: float) -> _T:
    """Return what `look` does, as soon as it no longer raises `nothing`."""
    try:
        return look()
    except nothing:
        if not seconds:
            raise
    import asyncio

    loop = asyncio.get_running_loop()
    deadline = time.monotonic() + seconds
    while True:
        watch = _watch_of(loop, queue)
        future = loop.create_future()
        watch.futures.add(future)
        timer = None
        try:
            arm_queue(queue)
            try:
                return look()
            except nothing:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
            timer = loop.call_later(min(left, _SLICE), _finish, future)
            await future
        finally:
            if timer is not None:
                timer.cancel()
            watch.leave(future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def get_async(queue: Queue | Subscription, seconds: float) -> Any:
    """Do what `Queue.get_async` and `Subscription.get_async` promise."""
    from blockpool._queue_errors import QueueEmpty

    return await _wait(queue, queue.get_nowait, QueueEmpty, seconds)


async def receive_async(queue: Queue, seconds: float) -> Message:
    """Do what `Queue.receive_async` promises."""
    from blockpool._queue_errors import QueueEmpty

    return await _wait(queue, lambda: queue.receive(block=False), QueueEmpty, seconds)


async def put_async(queue: Queue, item: Any, seconds: float) -> None:
    """Do what `Queue.put_async` promises."""
    from blockpool._queue_errors import QueueFull

    deadline = time.monotonic() + seconds
    pause = _SOON
    while True:
        last = time.monotonic() >= deadline
        # each try pickles the item, or copies it; so the queue is asked first
        if last or queue.overflow != "wait" or not queue.full():
            try:
                return queue.put_nowait(item)
            except (QueueFull, PoolExhausted):
                if last or queue.overflow != "wait":
                    raise
        pause = await _pause(pause, deadline)


async def publish_async(topic: Topic, item: Any, seconds: float) -> None:
    """Do what `Topic.publish_async` promises."""
    from blockpool._queue_errors import QueueFull

    deadline = time.monotonic() + seconds
    pause = _SOON
    while True:
        last = time.monotonic() >= deadline
        if last or not topic.full():
            try:
                return topic.publish_nowait(item)
            except (QueueFull, PoolExhausted):
                if last:
                    raise
        pause = await _pause(pause, deadline)


async def newer_async(latest: Latest, newer_than: Sample | int | None, seconds: float) -> Sample:
    """Do what `Latest.wait_async` promises."""
    from blockpool._queue_errors import QueueEmpty

    return await _wait(latest, lambda: latest.wait(newer_than, timeout=0), QueueEmpty, seconds)


async def join_async(queue: Queue, seconds: float) -> None:
    """Do what `Queue.join_async` promises."""
    deadline = time.monotonic() + seconds
    pause = _SOON
    while queue.unfinished:
        if time.monotonic() >= deadline:
            return queue.join(timeout=0)
        pause = await _pause(pause, deadline)
    return None


async def _pause(seconds: float, deadline: float) -> float:
    import asyncio

    await asyncio.sleep(min(seconds, max(0, deadline - time.monotonic())))
    return min(seconds * 1.5, _LATER)


async def items_async(queue: Queue) -> AsyncIterator[Any]:
    """Yield the items of a queue until it is shut down; one is done when the next one is asked for."""
    from blockpool._queue_errors import QueueShutDown

    while True:
        try:
            message = await receive_async(queue, math.inf)
        except QueueShutDown:
            return
        with message:
            yield message.item


async def read_async(subscription: Subscription) -> AsyncIterator[Any]:
    """Yield the items of a subscription until its topic is shut down."""
    from blockpool._queue_errors import QueueShutDown

    while True:
        try:
            item = await get_async(subscription, math.inf)
        except QueueShutDown:
            return
        yield item
