"""The worker processes of the demo, as the packing process sees them: their jobs, and what happens if one dies.

Every worker has its own queue and pipe. With one queue for all, a worker killed while it holds the queue's lock would
block the others forever. Like this, it only takes its own queue with it, and its successor gets the same jobs through
a new one.
"""

from __future__ import annotations

import multiprocessing
import selectors
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from blockpool.cli import interrupts
from blockpool.cli.worker import work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockpool import Pool
    from blockpool.cli.worker import Answer, Job
    from blockpool.report.results import Usage

__all__ = ["Crew", "WorkerDied"]

# How often a wait is interrupted, to report progress and to notice Ctrl-C.
SLICE = 0.1

# The queues of workers that ended. A queue's semaphores are removed, and then taken off the list of the resource
# tracker, by the thread that drops them last. That must be the main thread: the queue's own is cut off in between if
# the process ends meanwhile, and the tracker then warns of semaphores that are gone.
_ended: list[Any] = []


class WorkerDied(Exception):
    """A worker ended although the demo did not kill it."""


class Seat:
    """A worker process and the jobs that it has not answered yet."""

    def __init__(self, context: Any, pool: Pool, algorithm: str) -> None:
        self.jobs: dict[int, Job] = {}
        self.killed = False
        self.queue = context.Queue()
        self.answers, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=work, args=(self.queue, theirs, pool, algorithm), daemon=True)
        try:
            with interrupts.blocked():
                self.process.start()
        finally:
            theirs.close()

    def send(self, job: Job) -> None:
        """Give the worker a job."""
        self.jobs[job.number] = job
        self.queue.put(job)

    def receive(self) -> tuple[Job, Answer]:
        """Return the next answer and its job."""
        answer = self.answers.recv()
        return self.jobs.pop(answer.number), answer

    def kill(self) -> None:
        """Kill the worker, whatever it is doing."""
        self.killed = True
        self.process.kill()

    def close(self) -> None:
        """Wait for the process to end, and close its queue and pipe."""
        self.process.join()
        self.process.close()
        self.queue.cancel_join_thread()
        self.queue.close()
        _ended.append(self.queue)
        self.answers.close()


class Crew:
    """Worker processes that share a pool, take jobs and answer them."""

    def __init__(self, pool: Pool, workers: int, window: int, algorithm: str) -> None:
        self._pool = pool
        self._window = window
        self._algorithm = algorithm
        # Not fork: the workers would have this process's memory, and share its page faults.
        self._context: Any = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([work.__module__])
        self._selector = selectors.DefaultSelector()
        self._seats: list[Seat] = []
        try:
            for _ in range(workers):
                self._seats.append(self._seat())
        except BaseException:
            self.close(kill=True)
            raise

    @property
    def busy(self) -> bool:
        """Whether some job has no answer yet."""
        return any(seat.jobs for seat in self._seats)

    @property
    def seats(self) -> list[Seat]:
        """The current workers."""
        return list(self._seats)

    def free(self) -> Seat | None:
        """Return the worker with the fewest jobs, if it can have another one."""
        seat = min(self._seats, key=lambda seat: len(seat.jobs))
        return seat if len(seat.jobs) < self._window else None

    def answers(self) -> Iterator[tuple[Job, Answer]]:
        """Wait a moment for answers. A dead worker is replaced, and the new one gets its remaining jobs."""
        for key, _ in self._selector.select(SLICE):
            seat: Seat = key.data
            if seat not in self._seats:
                continue  # replaced just now
            if key.fileobj is seat.answers:
                with suppress(EOFError, ConnectionError):  # it is dead, as its sentinel says too
                    yield seat.receive()
            else:
                self._replace(seat)

    def usages(self) -> list[Usage]:
        """Ask all workers what they have used; none may have a job."""
        for seat in self._seats:
            seat.queue.put(True)  # noqa: FBT003 - a message, not a flag
        try:
            return [seat.answers.recv() for seat in self._seats]
        except (EOFError, ConnectionError) as error:
            raise WorkerDied("a worker process ended on its own, between two laps") from error

    def close(self, *, kill: bool) -> None:
        """End all workers, and wait for them."""
        for seat in self._seats:
            if kill:
                seat.kill()
            else:
                seat.queue.put(False)  # noqa: FBT003 - a message, not a flag
        while self._seats:
            self._seats.pop().close()
        self._selector.close()

    def _seat(self) -> Seat:
        seat = Seat(self._context, self._pool, self._algorithm)
        self._selector.register(seat.answers, selectors.EVENT_READ, seat)
        self._selector.register(seat.process.sentinel, selectors.EVENT_READ, seat)
        return seat

    def _replace(self, dead: Seat) -> None:
        """Put a new worker in the place of a dead one; it gets the jobs that are not answered."""
        dead.process.join()
        status = dead.process.exitcode
        if not dead.killed or status != -signal.SIGKILL:
            raise WorkerDied(f"a worker process ended on its own, with exit code {status}")
        self._selector.unregister(dead.answers)
        self._selector.unregister(dead.process.sentinel)
        self._pool.recover()  # what it held is ours alone again
        seat = self._seat()
        self._seats[self._seats.index(dead)] = seat
        dead.close()
        for job in dead.jobs.values():
            seat.send(job)
