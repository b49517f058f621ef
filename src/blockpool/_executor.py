"""`Executor`: calls functions in worker processes; a worker that dies costs the one task that it had.

Every worker has a queue of its own, and gets its next task when it has answered the last one. So the executor knows who
has what, whenever a worker dies: the task that this one had is lost (or run again), and no other. Tasks that no worker
has yet can be cancelled.

Two threads serve an executor:

- the *manager* gives tasks to workers, takes their answers and settles futures. Nothing else changes what it knows. It
  waits for one queue. To wake it, others put a message there; or if there is no room for one, they give a message back
  that was put there once, the bell.
- the *keeper* starts workers and waits for the end of each of them, and gives back what they had of the pool. Then it
  tells the manager, which first handles what the worker has sent.

`submit` and `shutdown` only leave word. They are called in threads where Ctrl-C or a finalizer may come in at any
point, or from a callback of the manager, so they do nothing that could be left half done, and hold no lock that these
two threads need.

Rejected: one queue of tasks for all workers (the executor does not know which task a dead worker took, and a task that
kills its worker while it is unpickled kills them all); giving a worker its next task before it has answered (a task
would wait behind a long one while other workers are idle).
"""

from __future__ import annotations

import operator
import os
import pickle
import signal
import threading
import time
import weakref
from collections import deque
from concurrent import futures
from contextlib import suppress
from functools import partial
from itertools import islice
from multiprocessing import connection, get_context, util
from queue import Empty, Full

from blockpool import _worker
from blockpool._core import Pool, id_of_pool, require_shared
from blockpool._default_pool import default_pool
from blockpool._log import ERROR, WARNING, tell
from blockpool.errors import (
    BlockPoolError,
    PoolClosed,
    PoolCorrupt,
    PoolExhausted,
    QueueClosed,
    TooManyProcesses,
)

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.context import BaseContext
    from types import TracebackType
    from typing import Any, ParamSpec, TypeVar

    from blockpool._core import Message
    from blockpool._worker import Parcel

    _P = ParamSpec("_P")
    _T = TypeVar("_T")

# How many starts of workers may fail one after the other, while no worker runs.
_MOST_FAILURES = 10
# Errors of a start that may pass. Any other, such as an initializer that cannot be pickled, comes again each time.
_PASSING = (OSError, MemoryError, RuntimeError)
# But somebody may be killing workers at random; then one will live some time.
_KILLED = (-signal.SIGKILL, -signal.SIGTERM)
_KILLED_SECONDS = 30.0
# How long a worker may take to exit when there is nothing left to do.
_EXIT_SECONDS = 10.0
# How often the threads look again at what no event tells: room in the pool, an exit code.
_LOOK_SECONDS = 0.02
# How long no task is given after Ctrl-C ended one.
_HOLD_SECONDS = 0.5

# What no further call would be spared.
_FATAL = (PoolClosed, PoolCorrupt, QueueClosed, TooManyProcesses)

_numbers = iter(range(1 << 62))


class BrokenWorker(BlockPoolError, futures.BrokenExecutor):
    """The worker that had the task died; or, if there is no process id, no worker can be started.

    Parameters
    ----------
    message : str
        What happened.
    pid : int, optional
        The process id of the worker.
    exit_code : int, optional
        As in ``multiprocessing.Process.exitcode``.

    Attributes
    ----------
    pid : int or None
        The process id of the worker.
    exit_code : int or None
        As in ``multiprocessing.Process.exitcode``: negative for a signal; None if it is not known.
    """

    def __init__(self, message: str, pid: int | None = None, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.pid, self.exit_code)


BrokenWorker.__module__ = "blockpool"


class _Task:
    __slots__ = ("arguments", "function", "future", "given", "keywords", "retries")

    def __init__(
        self, retries: int, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> None:
        self.future: futures.Future[Any] = futures.Future()
        self.function = function
        self.arguments = arguments
        self.keywords = keywords
        self.retries = retries
        self.given = False  # its future says that it is running


class _Worker:
    calls: Any = None  # its queue
    process: Any = None

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = None
        self.end = -1  # a descriptor that becomes readable when it ends
        self.error: BaseException | None = None  # why it was not started
        self.exit_code: int | None = None
        self.ready = False
        self.task: _Task | None = None
        self.spilled = -1  # the file with parts of its task

    def kill(self) -> None:
        if self.process is not None and self.process.pid is not None:
            self.process.kill()

    def close_spilled(self) -> None:
        """Drop what its task spilled; it has read it, or never will."""
        if self.spilled >= 0:
            os.close(self.spilled)
            self.spilled = -1

    def forget(self) -> None:
        """Close its queue."""
        self.close_spilled()
        if self.calls is not None:
            self.calls.close()


class _Crew:
    """The workers of an executor, and what the two threads know of them. It does not refer to the executor."""

    pool: Pool
    answers: Any  # the queue from the workers to the manager

    def __init__(
        self,
        most: int,
        pool: Pool | None,
        context: BaseContext,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
    ) -> None:
        self.process = os.getpid()
        self.most = most
        self.given_pool = pool
        self.context: Any = context
        self.initializer = initializer
        self.initargs = initargs
        self.starting = threading.Lock()
        self.manager: threading.Thread | None = None

        # What others leave for the manager, and the message that they give back to its queue to wake it.
        self.bell: list[Message] = []
        self.pending: deque[_Task] = deque()
        self.gone: deque[_Worker] = deque()
        self.wants_tasks = True  # it has to be woken for a task
        self.closing = False
        self.cancelling = False

        # What only the manager changes.
        self.over = False  # it takes no more tasks
        self.broken: BrokenWorker | None = None
        self.idle: list[_Worker] = []
        self.busy = 0
        self.ready = 0
        self.refused: tuple[_Task, Parcel, float] | None = None  # there was no room to give it; until when to try
        self.held_until = 0.0  # no tasks are given before
        self.failures = 0
        self.failing_since = 0.0
        self.cause: BaseException | None = None

        # What the manager and the keeper tell each other.
        self.workers: dict[int, _Worker] = {}  # the keeper puts them in, the manager takes them out
        self.wanted = 0
        self.ending = False
        self.failed: BaseException | None = None  # why there is no keeper

        # What only the keeper changes.
        self.alive: dict[int, _Worker] = {}

    # --- from other threads ---

    def start(self) -> None:
        """Start the threads. Workers that are forked are all forked first, as that is safest in a single thread."""
        with self.starting:
            if self.manager is not None:
                return
            if not self.alive:
                self.pool = default_pool() if self.given_pool is None else self.given_pool
                self.answers = self.pool.queue(capacity=4 * self.most + 64, redeliver=True, spin=0)
                self.answers.put(None)
                self.bell.append(self.answers.receive())
                self.word, self.leave_word = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            if self.context.get_start_method() == "fork":
                self.wanted = self.most
                self.start_missing()
            self.manager = threading.Thread(target=self.manage, name="blockpool-executor-manager", daemon=True)
            self.finalizer = util.Finalize(None, self.finish, exitpriority=100)
            try:
                self.manager.start()
            except RuntimeError:
                self.manager = None
                self.finalizer.cancel()
                raise
        if self.closing:
            self.wake()

    def wake(self) -> None:
        """Have the manager look at what was left for it.

        If there is no room for a message, give the bell back to the queue. That needs no room, but receiving it takes
        longer. If there is no bell, the manager has been woken, and has not looked yet.
        """
        try:
            self.answers.put_nowait(None)
        except Full:
            pass  # there is something to wake it already
        except BlockPoolError:
            self.bell.clear()

    def tell_keeper(self) -> None:
        """Have the keeper look at what was left for it."""
        with suppress(BlockingIOError):  # it has not even read what it was told before
            os.write(self.leave_word, b"!")

    def close(self) -> None:
        """Have the threads end when all tasks are done. A finalizer may call this anywhere."""
        if os.getpid() == self.process:
            self.closing = True
            if self.manager is not None and not self.over:
                self.wake()

    def finish(self) -> None:
        """Finish all tasks, as the interpreter exits; if that is interrupted, kill the workers."""
        if os.getpid() != self.process:
            return
        try:
            self.close()
            if self.manager is not None:
                self.manager.join()
        finally:
            for worker in list(self.workers.values()):
                worker.kill()

    # --- the manager ---

    def manage(self) -> None:
        """Give tasks to workers and settle futures, until there is nothing left to do."""
        keeper = threading.Thread(target=self.keep, name="blockpool-executor-keeper", daemon=True)
        try:
            keeper.start()
            while not self.is_over():
                self.handle(self.next_message())
        except BaseException as error:  # noqa: BLE001 - the pool was closed, perhaps; no future may be left waiting
            self.end_for(error)
        for worker in list(self.workers.values()):
            self.dismiss(worker)
        self.ending = True
        self.tell_keeper()
        if keeper.ident is not None:
            keeper.join()
        for worker in [*self.workers.values(), *self.gone]:
            worker.forget()
        self.workers.clear()
        self.gone.clear()
        self.idle.clear()
        self.bell.clear()
        self.answers.close()
        os.close(self.word)
        os.close(self.leave_word)
        self.finalizer.cancel()

    def is_over(self) -> bool:
        """Do what was left to do; return whether there is nothing more."""
        if self.failed is not None:
            raise self.failed
        self.settle_gone()
        if self.cancelling:
            self.cancel_pending()
        self.give()
        if self.closing and not (self.pending or self.busy or self.refused):
            self.over = True
            if not self.pending:  # after `over` is set, so that `submit` sees the one or we the other
                return True
            self.over = False
        return False

    def next_message(self) -> Any:
        """Wait for a message; None if there is none, or nothing in it."""
        self.wants_tasks = bool(self.idle) or len(self.workers) < self.most
        timeout = None
        held = self.held_until - time.monotonic() if self.held_until else 0.0
        if self.refused is not None:
            timeout = _LOOK_SECONDS
        elif held > 0 and not self.cancelling:
            timeout = held
        elif self.gone or (self.pending and (self.cancelling or self.wants_tasks)):
            timeout = 0.0
        try:
            return self.receive(timeout)
        except Empty:
            return None
        finally:
            self.wants_tasks = False

    def receive(self, timeout: float | None) -> Any:
        """Receive what a worker sent; None if the message is only to wake."""
        message = self.answers.receive(timeout=timeout)
        if message.item is None and message.again:
            self.bell.append(message)
        else:
            message.done()
        return message.item

    def handle(self, message: Any) -> None:
        """Do what a message asks for."""
        if message is None:
            return
        kind, number, *parcel = message
        worker = self.workers.get(number)
        if worker is None:
            return
        if kind == _worker.READY:
            worker.ready = True
            self.ready += 1
            self.failures = 0
            self.idle.append(worker)
        elif kind == _worker.FAILED:
            self.cause = _worker.unpack_error(*parcel)
        elif worker.task is not None:
            try:
                parcel = _worker.fetch((parcel[0], parcel[1], parcel[2]))
            except FileNotFoundError:
                worker.kill()  # if it is not dead already; that settles the task
                return
            except (OSError, MemoryError) as error:
                kind, parcel = _worker.ERROR, _worker.pack_error(error)
            task, worker.task = worker.task, None
            worker.close_spilled()
            self.busy -= 1
            self.idle.append(worker)
            raised = _worker.unpack_error(*parcel) if kind == _worker.ERROR else None
            if isinstance(raised, KeyboardInterrupt):  # Ctrl-C, for all: this program may be about to drop its tasks
                self.held_until = time.monotonic() + _HOLD_SECONDS
            try:
                self.give()  # first, so that the worker can go on
            finally:
                if raised is not None:
                    _fail(task, raised)
                else:
                    _settle(task, parcel)

    def give(self) -> None:
        """Give pending tasks to idle workers, and have more workers started if there are too few."""
        if self.held_until > time.monotonic():
            return
        self.held_until = 0.0
        while self.idle:
            refused, self.refused = self.refused, None
            if refused is None:
                task = self.next_task()
                if task is None:
                    return
                try:
                    parcel = _worker.pack((task.function, task.arguments, task.keywords))
                except BaseException as error:  # noqa: BLE001 - whatever an argument's class raises
                    _fail(task, error)
                    continue
                refused = task, parcel, time.monotonic() + _worker.ROOM_SECONDS
            if not self.give_to(self.idle[-1], *refused):
                return
        if self.pending:
            starting = len(self.workers) - self.ready
            wanted = min(self.most, len(self.workers) + len(self.pending) - starting)
            if wanted > self.wanted:
                self.wanted = wanted
                self.tell_keeper()

    def give_to(self, worker: _Worker, task: _Task, parcel: Parcel, until: float) -> bool:
        """Give a task to an idle worker; return False if there is no room for it now."""
        try:
            try:
                worker.calls.put(parcel, block=False)
            except PoolExhausted:
                spilled, worker.spilled = _worker.spill(parcel)
                worker.calls.put(spilled, block=False)
        except (Full, PoolExhausted) as error:
            worker.close_spilled()
            if time.monotonic() < until:
                self.refused = task, parcel, until
                return False
            _fail(task, error)
        except _FATAL as error:
            _fail(task, error)
            raise
        except BaseException as error:  # noqa: BLE001 - a part that cannot be put
            worker.close_spilled()
            _fail(task, error)
        else:
            worker.task = task
            self.busy += 1
            self.idle.remove(worker)
        return True

    def next_task(self) -> _Task | None:
        """Return the next task that is not cancelled; None if there is none."""
        while self.pending:
            task = self.pending.popleft()
            if task.given or task.future.set_running_or_notify_cancel():
                task.given = True
                return task
        return None

    def cancel_pending(self) -> None:
        """Cancel the tasks that no worker has yet."""
        while self.pending:
            task = self.pending.popleft()
            if task.given:
                _fail(task, BrokenWorker("the worker that had the task died, and the executor was shut down"))
            elif task.future.cancel():
                task.future.set_running_or_notify_cancel()

    def settle_gone(self) -> None:
        """Settle what dead workers had, once all that they sent is handled."""
        while self.gone:
            worker = self.gone.popleft()
            try:
                while True:
                    self.handle(self.receive(0.0))
            except Empty:
                pass
            self.workers.pop(worker.number, None)
            if worker in self.idle:
                self.idle.remove(worker)
            fate = "it had no task"
            if worker.task is not None:
                task, worker.task = worker.task, None
                self.busy -= 1
                fate = self.settle_lost(worker, task)
            self.tell_of_death(worker, fate)
            worker.forget()
            if worker.ready:
                self.ready -= 1
            else:
                self.count_failure(worker)

    def settle_lost(self, worker: _Worker, task: _Task) -> str:
        """Fail the task that a dead worker had, or have it run again; return which of them, in words."""
        if worker.calls.qsize():
            self.pending.appendleft(task)
            return "another one gets its task, which it had not taken"
        if task.retries:
            task.retries -= 1
            self.pending.appendleft(task)
            return f"its task is run again ({task.retries} more retries)"
        what = f"worker {worker.pid} {_ended(worker.exit_code)} while it had this task"
        _fail(task, BrokenWorker(what, worker.pid, worker.exit_code))
        return "its task is lost"

    def tell_of_death(self, worker: _Worker, fate: str) -> None:
        """Log that a worker died, or could not be started."""
        if worker.error is not None:
            what = f"a worker could not be started: {type(worker.error).__name__}: {worker.error}"
        else:
            when = "" if worker.ready else " before it was ready"
            what = f"worker {worker.pid} {_ended(worker.exit_code)}{when}; {fate}"
        tell(
            WARNING,
            "worker_died",
            f"executor: {what}",
            self.pool.name,
            id_of_pool(self.pool),
            pid=worker.pid,
            exit_code=worker.exit_code,
            fate=fate,
        )

    def count_failure(self, worker: _Worker) -> None:
        """Count a worker that was never ready; after too many, fail all tasks, and take no more."""
        now = time.monotonic()
        if self.failures == 0:
            self.failing_since = now
        self.failures += 1
        self.cause = worker.error or self.cause
        is_hopeless = worker.error is not None and not isinstance(worker.error, _PASSING)
        if self.ready or (self.failures < _MOST_FAILURES and not is_hopeless):
            return
        if worker.exit_code in _KILLED and now - self.failing_since < _KILLED_SECONDS:
            return
        if self.cause is not None:
            why = f"the last error was {type(self.cause).__name__}: {self.cause}"
        else:
            why = f"the last one {_ended(worker.exit_code)}; see what it wrote to stderr"
        failed = f"{self.failures} failed, one after the other; " if self.failures > 1 else ""
        self.end_for(self.cause, f"no worker can be started: {failed}{why}")

    def end_for(self, cause: BaseException | None, what: str = "") -> None:
        """Fail all tasks, and take no more."""
        self.broken = BrokenWorker(what or f"the executor ended because of {type(cause).__name__}: {cause}")
        self.broken.__cause__ = cause
        self.closing = self.over = True
        tasks = [worker.task for worker in self.workers.values() if worker.task is not None]
        if self.refused is not None:
            tasks.append(self.refused[0])
        self.refused = None
        self.busy = 0
        for worker in self.workers.values():
            worker.task = None
        for task in tasks:
            _fail(task, self.broken)
        while self.pending:
            task = self.pending.popleft()
            if task.given or task.future.set_running_or_notify_cancel():
                _fail(task, self.broken)
        tell(ERROR, "executor_broken", f"executor: {self.broken}", self.pool.name, id_of_pool(self.pool))

    def dismiss(self, worker: _Worker) -> None:
        """Tell a worker to end; kill it if it cannot be told."""
        try:
            if worker.calls is not None:
                worker.calls.put_nowait(None)
        except (Full, BlockPoolError):
            worker.kill()

    # --- the keeper ---

    def keep(self) -> None:
        """Keep the workers, until the last has ended; if that fails, have the manager end."""
        try:
            self.keep_workers()
        except BaseException as error:  # noqa: BLE001 - no memory, perhaps; no future may be left waiting
            for worker in self.alive.values():
                worker.kill()
            self.failed = error
            self.wake()

    def keep_workers(self) -> None:
        """Start workers and wait for their ends, until the last has ended."""
        until = 0.0
        failed = 0
        while True:
            timeout = None
            if self.ending:
                until = until or time.monotonic() + _EXIT_SECONDS
                timeout = until - time.monotonic()
                if timeout < 0:
                    timeout = None
                    for worker in self.alive.values():
                        worker.kill()
                if not self.alive:
                    return
            elif self.start_missing():
                failed = 0
            else:
                failed += 1
                timeout = min(5.0, _LOOK_SECONDS * 2**failed)
            ends = {worker.end: worker for worker in self.alive.values()}
            for ready in connection.wait([self.word, *ends], timeout):
                if not isinstance(ready, int) or ready == self.word:
                    os.read(self.word, 4096)
                else:
                    self.bury(ends[ready])

    def start_missing(self) -> bool:
        """Start the workers that are wanted; return False if one cannot be started."""
        while len(self.alive) < self.wanted:
            worker = self.start_worker()
            if worker.error is not None:
                self.gone.append(worker)
                if self.manager is not None:
                    self.wake()
                return False
        return True

    def start_worker(self) -> _Worker:
        """Start a worker; if that fails, it says why."""
        worker = _Worker(next(_numbers))
        self.workers[worker.number] = worker
        try:
            worker.calls = self.pool.queue(capacity=2, spin=0)
            channels = _names(worker.calls, self.answers)
            worker.process = self.context.Process(
                target=_worker.work,
                name=f"blockpool-worker-{worker.number}",
                args=(channels, worker.number, self.process, self.initializer, self.initargs),
            )
            worker.process.start()
            worker.pid = worker.process.pid
            try:
                # not the sentinel of multiprocessing, a pipe that children of the worker may keep open
                worker.end = os.pidfd_open(worker.pid)
            except OSError:  # it has ended, or this is a sandbox where that is not permitted
                worker.end = os.dup(worker.process.sentinel)
        except Exception as error:  # noqa: BLE001 - no room, no process, or an initializer that cannot be pickled
            worker.error = error
        else:
            self.alive[worker.number] = worker
        return worker

    def bury(self, worker: _Worker) -> None:
        """Give back what a worker had that has ended, and tell the manager."""
        until = time.monotonic() + 1
        while worker.process.exitcode is None and time.monotonic() < until:
            time.sleep(0.001)  # who waits for the process may be another one, the fork server
        worker.exit_code = worker.process.exitcode
        os.close(worker.end)
        del self.alive[worker.number]
        with suppress(BlockPoolError, OSError):  # others recover too
            self.pool.recover()
        self.gone.append(worker)
        self.wake()


def _names(calls: Any, answers: Any) -> bytes:
    """Return the pickle of two queues, which works as long as they are open here.

    A pickle comes with one reference for its receiver, who may die before he takes it. It is taken here.
    """
    pickled = pickle.dumps((calls, answers))
    for queue in pickle.loads(pickled):  # noqa: S301 - ours
        queue.close()
    return pickled


def _ended(exit_code: int | None) -> str:
    """Say how a worker ended."""
    if exit_code is None:
        return "ended"
    if exit_code == _worker.NO_ROOM:
        return "found no room in the pool for its result, nor for an error, and ended"
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"was killed by {name}"


def _settle(task: _Task, parcel: Parcel) -> None:
    """Set the result of a task."""
    try:
        result = _worker.unpack(*parcel)
    except BaseException as error:  # noqa: BLE001 - whatever the result's class raises
        _fail(task, error)
        return
    with suppress(futures.InvalidStateError):  # the program has set one itself
        task.future.set_result(result)


def _fail(task: _Task, error: BaseException) -> None:
    """Set the error of a task."""
    with suppress(futures.InvalidStateError):  # the same
        task.future.set_exception(error)


def _call_many(function: Callable[..., _T], calls: list[tuple[Any, ...]]) -> list[_T]:
    """Call a function many times; a task of `map` with a chunk size."""
    return [function(*arguments) for arguments in calls]


class Executor(futures.Executor):
    """Calls functions in worker processes, as `concurrent.futures.ProcessPoolExecutor` does, and goes on when one dies.

    A worker that dies costs the task that it had: its future gets a `BrokenWorker`, or the task is run again, as often
    as `retries` says. Another worker takes its place. Arguments and results go through a pool. Arrays that are in it
    already are not copied: the worker has the same memory. Others are copied into it once, and their receiver works on
    that copy.

    Parameters
    ----------
    max_workers : int, optional
        The most workers that run at a time. The default is the number of CPUs that this process may use.
    pool : Pool, optional
        A shared pool. The default is ``blockpool.multiprocessing.default_pool()``.
    mp_context : multiprocessing context, optional
        How workers are started. The default is the method ``"forkserver"``, since a worker that takes a dead one's
        place is started while this process has several threads, where ``"fork"`` is not safe. So the main module must
        be importable, as with ``"spawn"``.
    initializer : callable, optional
        What each worker calls before its first task.
    initargs : tuple
        The arguments of the initializer.
    retries : int
        How often a task is run again because its worker died.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range, or the pool is private.

    Notes
    -----
    Results that are arrays take room in the pool until they are dropped here. What finds no room in the pool is copied
    from process to process without it. If there is no room for a message either (`queue_room` of `Pool.create`), for 10
    seconds, the future gets a `PoolExhausted`.

    If ten workers fail before they have called the initializer, one after the other and while no other worker runs, the
    executor ends: all tasks get a `BrokenWorker`, whose cause is the error of the initializer if it raised one. If they
    are killed, new ones are started for 30 seconds. It ends at once if the initializer cannot be pickled, or the pool
    is closed.

    Ctrl-C ends the task that a worker is calling, with a KeyboardInterrupt; it does not end the worker. When this
    process dies, its workers end at once. When the interpreter exits, all tasks are finished first.

    A forked child of this process cannot use the executor.

    Thread safety: all methods may be called from any thread.

    Examples
    --------
    >>> import blockpool
    >>> with blockpool.Executor(2) as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        pool: Pool | None = None,
        mp_context: BaseContext | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        retries: int = 0,
    ) -> None:
        if max_workers is None:
            max_workers = len(os.sched_getaffinity(0))
        max_workers, retries = operator.index(max_workers), operator.index(retries)
        if max_workers <= 0:
            raise ValueError(f"max_workers must be greater than 0, not {max_workers!r:.60}")
        if retries < 0:
            raise ValueError(f"retries must be 0 or more, not {retries!r:.60}")
        if pool is not None:
            if not isinstance(pool, Pool):
                raise TypeError(f"pool must be a blockpool.Pool, not {type(pool).__name__}")
            require_shared(pool)
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, not {type(initializer).__name__}")
        context = get_context("forkserver") if mp_context is None else mp_context
        self._retries = retries
        self._crew = _Crew(max_workers, pool, context, initializer, tuple(initargs))
        weakref.finalize(self, self._crew.close).atexit = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> futures.Future[_T]:
        """Have a worker call a function.

        Parameters
        ----------
        fn : callable
            What to call. It is pickled, so it must be found by its name in a module that workers can import.
        *args, **kwargs
            Its arguments.

        Returns
        -------
        concurrent.futures.Future
            Gets what the function returns or raises. If the call or its result cannot be pickled, it gets the error
            in that; if the worker dies, `BrokenWorker`; if there is no room, `PoolExhausted`. It can be cancelled until
            a worker has it.

        Raises
        ------
        RuntimeError
            If the executor was shut down, or belongs to the parent of this process.
        BrokenWorker
            If no worker can be started.
        """
        crew = self._crew
        if crew.process != os.getpid():
            raise RuntimeError(
                f"this executor belongs to process {crew.process}, which forked this one; make one in this process"
            )
        _refuse_if_closing(crew)
        task = _Task(self._retries, fn, args, kwargs)
        if crew.manager is None:
            crew.start()
        crew.pending.append(task)
        if crew.wants_tasks:
            crew.wake()
        if crew.over and _take_back(crew.pending, task):
            _refuse_if_closing(crew)
        return task.future

    def map(
        self, fn: Callable[..., _T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[_T]:
        """Call a function with the items of iterables, as the built-in `map` does, but in workers and all at once.

        Parameters
        ----------
        fn : callable
            What to call, with an item of each iterable.
        *iterables
            They are read at once.
        timeout : float, optional
            Seconds from this call after which the iterator raises `TimeoutError` instead of waiting for more.
        chunksize : int
            How many calls make one task.

        Returns
        -------
        iterator
            Gives the results in the order of the items. If a call fails, it raises the error, and cancels the rest.
        """
        if chunksize < 1:
            raise ValueError(f"chunksize must be 1 or more, not {chunksize!r:.60}")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        chunks = _chunks(zip(*iterables, strict=False), chunksize)
        return _each(super().map(partial(_call_many, fn), chunks, timeout=timeout))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - its shape
        """Take no more tasks, and end the workers when all are done.

        Parameters
        ----------
        wait : bool
            Wait for that. Otherwise the interpreter waits for it when it exits.
        cancel_futures : bool
            Cancel the tasks that no worker has yet.
        """
        crew = self._crew
        if crew.process != os.getpid():
            return
        if cancel_futures:
            crew.cancelling = True
        crew.close()
        if wait and crew.manager is not None and crew.manager is not threading.current_thread():
            crew.manager.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # After Ctrl-C, nobody wants to wait for what has not even begun.
        self.shutdown(cancel_futures=kind is not None and issubclass(kind, KeyboardInterrupt))


def _refuse_if_closing(crew: _Crew) -> None:
    if crew.broken is not None:
        raise BrokenWorker(str(crew.broken)) from crew.broken.__cause__
    if crew.closing:
        raise RuntimeError("cannot schedule new futures after shutdown of the executor")


def _take_back(pending: deque[_Task], task: _Task) -> bool:
    """Return whether the task was still pending; it no longer is."""
    try:
        pending.remove(task)
    except ValueError:
        return False
    return True


def _chunks(items: Iterable[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    """Cut what an iterable gives into lists of so many items."""
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


def _each(chunks: Iterator[list[_T]]) -> Iterator[_T]:
    """Give the results of each chunk, and refer to none that was given."""
    for chunk in chunks:
        chunk.reverse()
        while chunk:
            yield chunk.pop()
