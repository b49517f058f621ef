"""Waiting for room in a pool without blocking: what `Pool.allocate_async` awaits.

A request that finds no room goes to the end of its pool's queue. One thread per pool sleeps on behalf of all its
requests. It has to be a thread: freeing a block, perhaps in another process, wakes a futex but no event loop.

Invariants:

- A request stays in its queue until it is answered, with a block or an error, or withdrawn by its coroutine. Each of
  these removes it, under the lock, so it is answered at most once.
- A block that was claimed for a request belongs to the request until its coroutine takes it. So whatever ends the
  coroutine (it is cancelled before or after the answer, or its loop is closed) only has to drop the request. No frame
  that outlives the answer refers to the block, because `with` counts references.
- A pool is in `_waiters` as long as its queue has requests and its thread runs. The thread reads the pool's sequence,
  looks for room, and sleeps unless the sequence has changed. So a free that comes after a request looked, but before
  it was queued, is not missed. Nor is one missed when the first request is withdrawn: the withdrawal looks for room on
  behalf of the next one.
- Requests are served strictly in order. Serving any request that fits would let single blocks starve a run. It also
  means that each free costs one look, even with a thousand requests in the queue.
- There is one lock for all pools. It is held for a look, never during a sleep. It is reentrant: a finalizer or a signal
  handler may run at any allocation, and end a coroutine or fork. A forked child starts without waiters, see
  blockpool/_forks.py.
- This module is imported with the package. asyncio is imported only where a loop runs, where it has been imported
  already. A child that is forked while another thread imports a module for the first time would wait forever for that
  thread.

Rejected: a thread per call; calling `allocate(timeout=)` in slices, each of which collects garbage before it gives up.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict

from blockpool._core import (
    begin_wait,
    claim,
    collect_if_due,
    count_wait,
    end_wait,
    exhausted,
    free_sequence,
    mapping_of_pool,
    recover_unused,
    sleep_since,
)
from blockpool._forks import async_lock, waiters

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    import asyncio

    from blockpool._core import Block, Pool, _Mapping

# How often the thread looks for requests whose pool or loop has been closed.
_ROUND_SECONDS = 0.25


class _Request:
    """A call that waits for room."""

    __slots__ = ("began", "block", "blocks", "error", "future", "loop", "nbytes", "pool")

    def __init__(self, pool: Pool, blocks: int, nbytes: int) -> None:
        self.pool = pool
        self.blocks = blocks
        self.nbytes = nbytes
        import asyncio

        self.loop = asyncio.get_running_loop()
        # Done when the coroutine should look at this request.
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.began = time.monotonic()
        self.block: Block | None = None
        self.error: Exception | None = None

    def look(self) -> bool:
        """Look for room; return whether there is an answer now."""
        try:
            self.block = claim(self.pool, self.blocks, self.nbytes)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
            self.error = error.with_traceback(None)
        return self.block is not None or self.error is not None

    def wake(self) -> None:
        """Let the coroutine continue; called in its loop."""
        if not self.future.done():
            self.future.set_result(None)

    def take(self) -> Block | None:
        """Return the block, if there is one, or raise the error; keep no reference to either."""
        block, self.block = self.block, None
        if self.error is None:
            return block
        try:
            raise self.error
        finally:
            self.error = None


class _Waiter:
    """The queue of a pool, and its thread."""

    def __init__(self, mapping: _Mapping) -> None:
        self.mapping = mapping
        self.queue: OrderedDict[_Request, None] = OrderedDict()
        self.wait = 0  # what begin_wait returned

    def start(self) -> None:
        """Start the thread; under the lock, so that the first request is queued before the thread looks."""
        self.wait = begin_wait(self.mapping)
        _waiters[self.mapping] = self
        try:
            import threading

            threading.Thread(target=self.run, name="blockpool-waiter", daemon=True).start()
        except BaseException:
            del _waiters[self.mapping]
            end_wait(self.mapping, self.wait)
            raise

    def run(self) -> None:
        """Wait for room and hand it out, until the queue is empty."""
        try:
            began = math.inf  # when the first request's wait began
            freed = False
            rounds = time.monotonic() + _ROUND_SECONDS
            while True:
                sequence = free_sequence(self.mapping)
                self.recover_for_all(began, freed=freed)
                with async_lock:
                    if time.monotonic() >= rounds:
                        self.look_after()
                        rounds = time.monotonic() + _ROUND_SECONDS
                    self.serve()
                    if not self.queue:
                        del _waiters[self.mapping]
                        return
                    began = next(iter(self.queue)).began
                freed = sleep_since(self.mapping, sequence)
        finally:
            end_wait(self.mapping, self.wait)

    def serve(self) -> None:
        """Serve requests in order until there is no room."""
        while self.queue and (first := next(iter(self.queue))).look():
            self.answer(first)

    def look_after(self) -> None:
        """Answer requests whose pool was closed, and drop those whose loop was."""
        for request in list(self.queue):
            if request.loop.is_closed():
                self.queue.pop(request, None)
            elif request.pool.closed and request.look():
                self.answer(request)

    def answer(self, request: _Request) -> None:
        """Tell the coroutine that its request has an answer."""
        self.queue.pop(request, None)
        try:
            request.loop.call_soon_threadsafe(request.wake)
        except RuntimeError:  # the loop is closed
            request.block = None

    def withdraw(self, request: _Request) -> None:
        """Remove the request from the queue, if it is still there; it may have held up the others."""
        with async_lock:
            if request in self.queue:
                first = next(iter(self.queue)) is request
                del self.queue[request]
                if first:
                    self.serve()

    def recover_for_all(self, began: float, *, freed: bool) -> None:
        """Bring back what is no longer used, in the thread; an error goes to the first request."""
        try:
            if not collect_if_due(self.mapping, began, False) and not freed:  # noqa: FBT003 - as below
                recover_unused(self.mapping, True)  # noqa: FBT003 - as above
        except Exception as error:  # noqa: BLE001 - as in _Request.look
            with async_lock:
                if self.queue:
                    first = next(iter(self.queue))
                    first.error = error.with_traceback(None)
                    self.answer(first)


# A forked child has none of these threads, and its tasks are the parent's.
_waiters: dict[_Mapping, _Waiter] = waiters


async def allocate_async(pool: Pool, blocks: int, nbytes: int, seconds: float) -> Block:
    """Do what `Pool.allocate_async` promises; the arguments have been checked."""
    if not seconds:
        return pool.allocate(nbytes=nbytes)
    mapping = mapping_of_pool(pool)
    with async_lock:
        waiter = _waiters.get(mapping)
        if waiter is None and (block := claim(pool, blocks, nbytes)) is not None:
            return block
        request = _Request(pool, blocks, nbytes)
        if waiter is None:
            waiter = _Waiter(mapping)
            waiter.start()
        waiter.queue[request] = None
    timer = None if seconds == math.inf else request.loop.call_later(seconds, request.wake)
    try:
        await request.future
    except BaseException:
        waiter.withdraw(request)
        request.block = None  # the traceback keeps the request
        raise
    finally:
        count_wait(mapping, time.monotonic() - request.began)
        if timer is not None:
            timer.cancel()
    waiter.withdraw(request)
    return request.take() or _last_look(request, waiter)


def _last_look(request: _Request, waiter: _Waiter) -> Block:
    """Allocate after all, or raise: time is up."""
    block = claim(request.pool, request.blocks, request.nbytes)
    if block is None:
        if not collect_if_due(waiter.mapping, request.began, True):  # noqa: FBT003 - C takes no keywords
            recover_unused(waiter.mapping, False)  # noqa: FBT003 - as above
        block = claim(request.pool, request.blocks, request.nbytes)
    if block is None:
        raise exhausted(request.pool, request.blocks)
    return block
