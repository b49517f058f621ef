"""`Queue`, `JoinableQueue` and `SimpleQueue` in the shape of those of `multiprocessing`, on queues of a pool.

A queue without a maximum size takes everything that is put, as the standard one does. What finds no room in the pool
waits in the process that put it, and a thread passes it on as room comes. The thread exists only while something waits,
and nothing overtakes what waits.

A joinable queue has to know of what waits in other processes as well, as `join` waits for it. For this it has a second
queue with some marks in it. A process in which items begin to wait takes a mark, and gives it back when none waits any
more. If the process dies, the mark comes back too, as its message was not done. Taking a mark needs no room in the
pool, which may be what is missing.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections import deque
from contextlib import suppress
from multiprocessing import util
from pickle import PickleBuffer
from queue import Full
from types import GenericAlias

from blockpool._core import pool_of
from blockpool._default_pool import adopt, default_pool
from blockpool.errors import BlockPoolError, PoolExhausted, QueueClosed

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Any

    from blockpool._core import Message, Pool
    from blockpool._core import Queue as PoolQueue

# How many items wait in the pool, at most, of a queue without a maximum size.
_ROOM = 4096
# How many processes can have items that wait for room in one joinable queue; `put` waits in others.
_MARKS = 16
# How often `join` looks for marks, and for dead processes that had one.
_LOOK_SECONDS, _RECOVER_SECONDS = 0.01, 0.5


class _Waiting:
    """Items that found no room, in the order in which they were put, and the thread that passes them on."""

    def __init__(self, queue: PoolQueue, marks: PoolQueue | None) -> None:
        self.queue = queue
        self.marks = marks
        self.mark: Message | None = None
        self.items: deque[Any] = deque()
        self.process = os.getpid()
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.closing = False
        self.finalizer: util.Finalize | None = None
        self.not_joined = False

    def add(self, item: object) -> None:
        """Add an item, and start the thread if there is none."""
        with self.lock:
            if self.thread is None:
                if self.marks is not None:
                    self.mark = self.marks.receive()
                thread = threading.Thread(target=self.pass_on, name="blockpool-queue", daemon=True)
                self.items.append(item)
                try:
                    thread.start()
                except RuntimeError:
                    self.items.pop()
                    raise
                self.thread = thread
                if not self.not_joined:
                    self.finalizer = util.Finalize(None, thread.join, exitpriority=-5)
            else:
                self.items.append(item)

    def pass_on(self) -> None:
        """Put the items into the queue as there is room, and end when none is left."""
        while True:
            try:
                self.queue.put(self.items[0])
            except Exception:  # noqa: BLE001 - whatever the item's class raises; its `put` returned long ago
                traceback.print_exc()
            with self.lock:
                self.items.popleft()
                if not self.items:
                    self.thread = None
                    self.mark = None  # which gives it back
                    if self.finalizer is not None:
                        self.finalizer.cancel()
                    if self.closing:
                        self.queue.close()
                    return

    def close(self) -> None:
        """Close the queue when nothing waits any more."""
        with self.lock:
            self.closing = True
            if self.thread is None:
                self.queue.close()

    def join(self) -> None:
        """Wait until nothing waits any more."""
        thread = self.thread
        if thread is not None:
            thread.join()

    def forget_thread(self) -> None:
        """Let the process exit without waiting for the thread."""
        with self.lock:
            self.not_joined = True
            if self.finalizer is not None:
                self.finalizer.cancel()


def _size(item: object) -> int:
    """Return how much room an item takes in the pool."""
    from blockpool import _worker

    pickled, parts, _ = _worker.pack(item)
    buffers = [part.raw() for part in (pickled, *parts) if type(part) is PickleBuffer]
    return sum(buffer.nbytes for buffer in buffers if pool_of(buffer) is None)


class Queue:
    """A queue between processes, used like `multiprocessing.Queue`, which a killed process cannot break.

    Large arrays and buffers go through the pool, copied once or, if they are in it already, not at all. Otherwise it
    differs from the standard one in this: `put` pickles at once, and raises what pickle raises. What was put can be
    received as soon as `put` has returned. The queue can be pickled at any time, and sent to any process.

    Parameters
    ----------
    maxsize : int
        How many items can wait in it. With 0, any number: what finds no room in the pool waits in the process that
        put it.
    ctx : multiprocessing context, optional
        Not used: the queue works with each start method.
    pool : Pool, optional
        A shared pool. The default is ``blockpool.multiprocessing.default_pool()``.

    Raises
    ------
    PoolExhausted
        If the pool has no room for the queue.
    TypeError, ValueError
        If an argument has the wrong type, or `maxsize` is too large.

    Notes
    -----
    An item that is larger than the pool cannot be put: `put` raises `PoolExhausted`. Use a larger pool for such items.
    If others wait for room already, an item that is too large, or cannot be pickled, is left out when its turn comes,
    and the error is printed, as the standard queue does it.

    Thread safety: all methods may be called from any thread.

    Examples
    --------
    >>> from blockpool.multiprocessing import Queue
    >>> queue = Queue()
    >>> queue.put([1, 2, 3])
    >>> queue.get()
    [1, 2, 3]
    """

    _redelivers = False

    def __init__(self, maxsize: int = 0, *, ctx: object = None, pool: Pool | None = None) -> None:
        del ctx
        if pool is None:
            pool = default_pool()
        queue = pool.queue(capacity=maxsize if maxsize > 0 else _ROOM, redeliver=self._redelivers)
        marks = None
        if self._redelivers and maxsize <= 0:
            marks = pool.queue(capacity=_MARKS, redeliver=True)
            for _ in range(_MARKS):
                marks.put(None)
        self._begin(maxsize, queue, marks)

    def _begin(self, maxsize: int, queue: PoolQueue, marks: PoolQueue | None) -> None:
        self._maxsize = maxsize
        self._queue = queue
        self._marks = marks
        self._closed = False
        self._used = False
        self._waiting = _Waiting(queue, marks)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._maxsize, self._queue, self._marks

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._begin(*state)
        adopt(self._queue.pool)

    def put(self, obj: object, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - shape
        """Put an item into the queue.

        Parameters
        ----------
        obj : object
            Anything that can be pickled; a Block or array of the pool.
        block : bool
            Wait while the queue is full.
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        queue.Full
            If it stays full, or there is no room in the pool.
        PoolExhausted
            If the item is larger than the pool.
        ValueError
            If the queue was closed.
        """
        self._require_open()
        self._used = True
        if self._maxsize > 0:
            self._queue.put(obj, block, timeout)
            return
        waiting = self._waiting
        if waiting.process != os.getpid():  # of the parent, which puts it
            waiting = self._waiting = _Waiting(self._queue, self._marks)
        if not waiting.items:
            try:
                self._queue.put_nowait(obj)
            except Full:
                pass
            except PoolExhausted:
                if _size(obj) > self._queue.pool.nbytes:  # it would wait for ever
                    raise
            else:
                return
        waiting.add(obj)

    def put_nowait(self, obj: object) -> None:
        """Put an item into the queue without waiting.

        Parameters
        ----------
        obj : object
            As for `put`.
        """
        self.put(obj, block=False)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - its shape
        """Receive the oldest item.

        Parameters
        ----------
        block : bool
            Wait for an item.
        timeout : float, optional
            Seconds to wait at most.

        Returns
        -------
        object
            What was put.

        Raises
        ------
        queue.Empty
            If no item comes.
        ValueError
            If the queue was closed.
        """
        self._require_open()
        return self._queue.get(block, timeout if timeout is None or timeout > 0 else 0)

    def get_nowait(self) -> Any:
        """Receive the oldest item without waiting.

        Returns
        -------
        object
            What was put.
        """
        return self.get(block=False)

    def qsize(self) -> int:
        """Return how many items wait in the queue, and for room in this process.

        Returns
        -------
        int
            With other processes at work, it may be another number by now.
        """
        return self._queue.qsize() + len(self._waiting.items)

    def empty(self) -> bool:
        """Return whether no item waits in the queue.

        Returns
        -------
        bool
            With other processes at work, it may be otherwise by now.
        """
        try:
            return self._queue.qsize() == 0
        except QueueClosed:
            raise OSError("the queue is closed") from None

    def full(self) -> bool:
        """Return whether `put` would have to wait.

        Returns
        -------
        bool
            Never true if the queue has no maximum size.
        """
        return 0 < self._maxsize <= self._queue.qsize()

    def close(self) -> None:
        """Put and get no more in this process. What waits for room is passed on before the queue is let go of."""
        self._closed = True
        if self._used:
            self._waiting.close()

    def join_thread(self) -> None:
        """Wait until nothing waits for room in this process; only after `close`. The process does it when it exits."""
        if not self._closed:
            raise AssertionError(f"{self!r} is not closed; close it first")
        self._waiting.join()

    def cancel_join_thread(self) -> None:
        """Have the process exit although something waits for room, which is lost then."""
        self._waiting.forget_thread()

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self!r} is closed")

    __class_getitem__: Any = classmethod(GenericAlias)


class JoinableQueue(Queue):
    """A `Queue` that knows which of its items are done, used like `multiprocessing.JoinableQueue`.

    It differs from the standard one in this: if a process dies, or ends, without having called `task_done` for an item
    that it received, another one receives it. So such a process does not keep `join` waiting for ever.

    Parameters
    ----------
    maxsize : int
        As for `Queue`.
    ctx : multiprocessing context, optional
        Not used.
    pool : Pool, optional
        As for `Queue`.

    Examples
    --------
    >>> from blockpool.multiprocessing import JoinableQueue
    >>> queue = JoinableQueue()
    >>> queue.put("task")
    >>> queue.get()
    'task'
    >>> queue.task_done()
    >>> queue.join()
    """

    _redelivers = True

    def task_done(self) -> None:
        """Say that the oldest item that this thread, or else this process, has received is done.

        Raises
        ------
        ValueError
            If it has received no item that is not done.
        """
        self._queue.task_done()

    def join(self) -> None:
        """Wait until every item that was put is done."""
        while True:
            self._queue.join()
            if self._marks is None:
                return
            self._await_marks(self._marks)
            if not self._queue.unfinished:  # what waited for room has been put by now
                return

    def _await_marks(self, marks: PoolQueue) -> None:
        """Wait until no process has a mark."""
        recover = time.monotonic() + _RECOVER_SECONDS
        while marks.qsize() < _MARKS:
            time.sleep(_LOOK_SECONDS)
            if time.monotonic() > recover:
                with suppress(BlockPoolError):  # another process does it
                    marks.pool.recover()
                recover = time.monotonic() + _RECOVER_SECONDS


class SimpleQueue:
    """A queue between processes, used like `multiprocessing.SimpleQueue`: `put` waits while there is no room.

    Parameters
    ----------
    ctx : multiprocessing context, optional
        Not used.
    pool : Pool, optional
        As for `Queue`.

    Examples
    --------
    >>> from blockpool.multiprocessing import SimpleQueue
    >>> queue = SimpleQueue()
    >>> queue.put(1)
    >>> queue.get()
    1
    """

    def __init__(self, *, ctx: object = None, pool: Pool | None = None) -> None:
        del ctx
        self._queue: PoolQueue = (default_pool() if pool is None else pool).queue(capacity=_ROOM)

    def __getstate__(self) -> PoolQueue:
        return self._queue

    def __setstate__(self, queue: PoolQueue) -> None:
        self._queue = queue
        adopt(queue.pool)

    def put(self, obj: object) -> None:
        """Put an item into the queue; wait while there is no room.

        Parameters
        ----------
        obj : object
            Anything that can be pickled; a Block or array of the pool.
        """
        try:
            self._queue.put(obj)
        except QueueClosed:
            raise OSError("the queue is closed") from None

    def get(self) -> Any:
        """Wait for the oldest item and receive it.

        Returns
        -------
        object
            What was put.
        """
        try:
            return self._queue.get()
        except QueueClosed:
            raise OSError("the queue is closed") from None

    def empty(self) -> bool:
        """Return whether no item waits in the queue.

        Returns
        -------
        bool
            With other processes at work, it may be otherwise by now.
        """
        try:
            return self._queue.empty()
        except QueueClosed:
            raise OSError("the queue is closed") from None

    def close(self) -> None:
        """Put and get no more in this process."""
        self._queue.close()

    __class_getitem__: Any = classmethod(GenericAlias)


for _class in (Queue, JoinableQueue, SimpleQueue):
    _class.__module__ = "blockpool.multiprocessing"
del _class
