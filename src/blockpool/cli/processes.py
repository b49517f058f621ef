"""Files are hashed through a shared pool by several processes, any of which may be killed at any time.

This process, the reader, has the kernel read each file into consecutive blocks of the pool, and sends tickets of them
to a worker process, which hashes the blocks where they are. The reader keeps its own part in every block until the
worker has answered. When a worker dies, another takes its seat, and the jobs that were not answered are done again:

- A file of which no piece was answered yet is still there as a whole: the same tickets are sent again. (A ticket that
  the dead one redeemed before acts as a handle; one that it did not redeem is still in flight. Either way none is
  left over.)
- Of a longer file the digest so far died with the worker, and its first blocks are somebody else's by now: it is
  read anew.

Every worker has a connection of its own. With one queue for all, a process killed while it holds the queue's lock
would stop everybody for ever (multiprocessing.Queue is like that); here it breaks nobody's connection but its own.

Why it cannot stand still: the reader waits only while jobs are unanswered; a worker needs no block to answer them. A
file is killed under its worker at most `MOST_LOSSES` times.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
from collections import deque
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

from blockpool import BlockInUse, PoolExhausted, redeem
from blockpool.cli.files import identity, open_regular, reason
from blockpool.cli.hashing import Answer, Job, work
from blockpool.cli.pipeline import STOPPED, Digest, fill_block, left_over
from blockpool.report.results import PoolRun, Rate, Skipped, Snapshot, Waits, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from blockpool import Block, Pool, Ticket
    from blockpool.report.results import Settings

__all__ = ["Processes"]

# Jobs that lie before a worker, at most, and blocks of a job. A worker's share of the pool is some two full jobs.
MOST_JOBS = 32
MOST_BLOCKS = 16
# With `kill`: about so many workers are killed in a run, each some time after a job was sent.
KILLS = 24
DELAY = 0.001
MOST_LOSSES = 3
# How often a wait looks up, to tell of progress.
SLICE = 0.1


class _File:
    """A file on its way: how much of it is read, and what of that is not hashed yet."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.losses = 0
        self.failure: str | None = None
        self.identity: tuple[int, ...] = ()
        self.begin()

    def begin(self) -> None:
        """Nothing is read yet, or nothing any more."""
        self.opened: AbstractContextManager[Any] | None = None
        self.descriptor = -1
        self.left = 0
        self.sent = self.answered = 0  # pieces
        self.nbytes = 0

    def open(self) -> None:
        """Open the file to read it from its beginning."""
        self.opened = open_regular(self.path)
        self.descriptor, status = self.opened.__enter__()
        self.identity = identity(status)
        self.left = status.st_size

    def close(self) -> None:
        """Close it, if it is open."""
        if self.opened is not None:
            self.opened.__exit__(None, None, None)
            self.opened = None


class _Piece:
    """Blocks that lie before a worker, and the tickets that were sent of them."""

    def __init__(self, file: _File, blocks: list[Block], *, first: bool, last: bool) -> None:
        self.file, self.blocks, self.first, self.last = file, blocks, first, last
        self.nbytes = sum(block.nbytes for block in blocks)
        self.tickets: tuple[Ticket, ...] = tuple(block.share() for block in blocks)


class _Seat:
    """A worker process, and what it has to do. Its successor takes the seat."""

    def __init__(self, context: Any, pool: Pool) -> None:
        self.file: _File | None = None  # being read
        self.pieces: deque[_Piece] = deque()
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,), daemon=True)
        try:
            with _interrupts_blocked():
                self.process.start()
            self.send(pool)
        finally:
            theirs.close()

    @property
    def blocks(self) -> int:
        """Blocks that lie before the worker."""
        return sum(len(piece.blocks) for piece in self.pieces)

    def send(self, message: Pool | Job | None) -> None:
        """Send the worker a message. If it is dead, whoever takes its seat gets all that matters."""
        with suppress(ConnectionError):
            self.connection.send(message)

    def hash(self, piece: _Piece) -> None:
        """Give the worker a piece to hash."""
        self.pieces.append(piece)
        self.send(Job(piece.first, piece.last, piece.tickets))

    def end(self) -> None:
        """Close the connection, and wait for the process."""
        self.connection.close()
        self.process.join()
        self.process.close()


class Processes:
    """One reader and several worker processes around one shared pool; `run` is called once.

    `digests` and `skipped` say afterwards what became of each file. The pool must be made with ``on_fork="detach"``: a
    worker gets its blocks by tickets, not by being forked while the reader holds them.
    """

    def __init__(self, pool: Pool, files: Sequence[str], nbytes: int, settings: Settings) -> None:
        self.digests: dict[str, Digest] = {}
        self.skipped: list[Skipped] = []
        self._pool = pool
        self._settings = settings
        self._context: Any = multiprocessing.get_context(settings.start_method)
        if settings.start_method == "forkserver":
            self._context.set_forkserver_preload(["__main__", work.__module__])
        self._random = random.Random()  # noqa: S311 - chance, not secrets
        self._todo = deque(_File(path) for path in files)
        self._seats: list[_Seat] = []
        self._share = max(1, settings.blocks // settings.workers)
        self._piece_blocks = max(1, min(self._share // 2, MOST_BLOCKS))
        pieces = len(files) + nbytes // (self._piece_blocks * settings.block_size)
        self._kill_chance = min(0.5, KILLS / pieces)
        self._kill_at: float | None = None
        self._half = nbytes // 2
        self._kept = self._most = 0  # blocks that this process holds, and the most it held
        self._room = settings.blocks  # how many it can hold
        self._bytes_read = self._bytes_hashed = 0
        self._workers = Workers()
        self._waits = Waits()
        self._busy: Snapshot | None = None
        self._problems: list[str] = []

    def run(self, watch: Callable[[int], None]) -> PoolRun:
        """Hash all files, and audit the pool. `watch` is told now and then how many bytes are hashed."""
        began = perf_counter()
        try:
            for _ in range(self._settings.workers):
                self._seats.append(self._seat())
            began = perf_counter()
            while self._work():
                watch(self._bytes_hashed)
            seconds = perf_counter() - began
            for seat in self._seats:
                seat.send(None)
                if seat.file is not None:
                    self._todo.append(seat.file)
            for file in self._todo:  # only if there was no room at all
                file.close()
                self.skipped.append(Skipped(file.path, STOPPED))
        except BaseException:
            for seat in self._seats:
                seat.process.kill()
                if seat.file is not None:
                    seat.file.close()
            raise
        finally:
            for seat in self._seats:
                seat.end()
        watch(self._bytes_hashed)
        nbytes = sum(digest.nbytes for digest in self.digests.values())
        return self._audit(Rate(len(self.digests), nbytes, seconds))

    def _audit(self, rate: Rate) -> PoolRun:
        stats, problems = left_over(self._pool)
        end = self._snapshot()
        return PoolRun(
            rate=rate,
            waits=self._waits,
            busy=self._busy or end,
            end=end,
            stats=stats,
            problems=(*self._problems, *problems),
            workers=self._workers,
        )

    def _snapshot(self) -> Snapshot:
        return Snapshot(self._pool.blocks, tuple(self._pool.runs()))

    def _seat(self) -> _Seat:
        self._workers = self._workers.and_started()
        return _Seat(self._context, self._pool)

    # ---- the loop --------------------------------------------------------------------------------

    def _work(self) -> bool:
        """Read as much as there is room for, then wait for answers; False when all is done."""
        self._perhaps_kill()
        while (seat := self._idlest()) is not None:
            self._read_piece(seat)
            self._perhaps_kill()
        if not any(seat.pieces for seat in self._seats):
            return False
        began = perf_counter()
        full = self._kept >= self._room
        self._await()
        if full:
            self._waits = self._waits.and_one(perf_counter() - began)
        return True

    def _idlest(self) -> _Seat | None:
        """Return the seat that should get the next piece, if any can have one now."""
        if self._kept >= self._room:
            return None
        able = [
            seat
            for seat in self._seats
            if seat.blocks < self._share
            and len(seat.pieces) < MOST_JOBS
            and (seat.file is not None or self._todo)
        ]
        return min(able, key=lambda seat: seat.blocks, default=None)

    def _await(self) -> None:
        """Wait for answers and deaths, and see to them."""
        timeout = SLICE
        if self._kill_at is not None:
            timeout = max(0.0, min(timeout, self._kill_at - monotonic()))
        ready = set(
            wait(
                [seat.connection for seat in self._seats]
                + [seat.process.sentinel for seat in self._seats],
                timeout,
            )
        )
        for place, seat in enumerate(self._seats):
            if seat.connection in ready:
                self._answers(seat)
            if seat.process.sentinel in ready:
                self._answers(seat)  # what it said before it died
                self._succeed(place)

    def _answers(self, seat: _Seat) -> None:
        with suppress(EOFError, ConnectionError):  # it is dead, as its sentinel says too
            while seat.connection.poll():
                self._answered(seat, seat.connection.recv())

    def _answered(self, seat: _Seat, answer: Answer) -> None:
        """Take the blocks of a piece back that is hashed."""
        piece = seat.pieces.popleft()
        file = piece.file
        if answer.problem is not None:
            self._problems.append(f"{file.path}: {answer.problem}")
            file.failure = file.failure or "its worker had a problem"
        self._free(piece.blocks)
        file.answered += 1
        file.nbytes += piece.nbytes
        self._bytes_hashed += piece.nbytes
        if not piece.last:
            return
        if file.failure is not None:
            self.skipped.append(Skipped(file.path, file.failure))
        else:
            self.digests[file.path] = Digest(str(answer.hexdigest), file.nbytes, file.identity)

    def _free(self, blocks: list[Block]) -> None:
        for block in blocks:
            self._kept -= 1
            try:
                block.free()
            except BlockInUse as error:
                self._problems.append(str(error))
                self._room -= 1
                block.release()

    # ---- reading ---------------------------------------------------------------------------------

    def _read_piece(self, seat: _Seat) -> None:
        """Read the next piece of the seat's file, or of a new one, and send it."""
        if seat.file is None:
            seat.file = self._todo.popleft()
        file = seat.file
        blocks: list[Block] = []
        try:
            if file.opened is None:
                file.open()
            while file.left and len(blocks) < self._piece_blocks:
                block = self._allocate(min(file.left, self._settings.block_size))
                if block is None:
                    break
                blocks.append(block)
                fill_block(block, file.descriptor)
                file.left -= block.nbytes
        except OSError as error:
            file.failure = reason(error)
            self._free(blocks)
            blocks = []
        last = file.failure is not None or file.left == 0
        if blocks or last:
            seat.hash(_Piece(file, blocks, first=file.sent == 0, last=last))
            file.sent += 1
            self._plan_kill()
        if last:
            file.close()
            seat.file = None

    def _allocate(self, nbytes: int) -> Block | None:
        """Allocate a block; None while this process itself holds all that there are."""
        if self._kept >= self._room:
            return None
        try:
            block = self._pool.allocate(nbytes=nbytes)
        except PoolExhausted as error:  # and yet nobody else allocates
            self._problems.append(f"blocks are lost: {error}")
            self._room = self._kept
            return None
        self._kept += 1
        if self._kept > self._most:
            self._most = self._kept
            self._pool.stats()  # the peak of a shared pool is what somebody saw
        self._bytes_read += nbytes
        if self._busy is None and self._bytes_read >= self._half:
            self._busy = self._snapshot()
        return block

    # ---- killing, and what follows ---------------------------------------------------------------

    def _plan_kill(self) -> None:
        if (
            self._settings.kill
            and self._kill_at is None
            and self._random.random() < self._kill_chance
        ):
            self._kill_at = monotonic() + self._random.expovariate(1 / DELAY)

    def _perhaps_kill(self) -> None:
        """Kill a worker if it is time, whatever it does at this moment."""
        if self._kill_at is None or monotonic() < self._kill_at:
            return
        self._kill_at = None
        victims = [
            seat
            for seat in self._seats
            if seat.process.is_alive()
            and all(piece.file.losses < MOST_LOSSES for piece in seat.pieces)
            and (seat.file is None or seat.file.losses < MOST_LOSSES)
        ]
        if victims:
            self._random.choice(victims).process.kill()
            self._workers = self._workers.and_killed()

    def _succeed(self, place: int) -> None:
        """Put a new worker in the place of a dead one, and have it do what that one left undone."""
        dead = self._seats[place]
        dead.process.join()
        status = dead.process.exitcode
        if status != -signal.SIGKILL or not self._settings.kill:
            self._problems.append(f"a worker ended by itself, with status {status}")
        self._pool.recover()  # what it held is ours alone again
        seat = self._seats[place] = self._seat()
        dead.end()
        files = {id(piece.file): piece.file for piece in dead.pieces}
        if dead.file is not None and dead.file.sent:
            files[id(dead.file)] = dead.file
        lost = [file for file in files.values() if file.answered]  # with their digests so far
        seat.file = None if dead.file in lost else dead.file
        for piece in dead.pieces:
            if piece.file in lost:
                for ticket in piece.tickets:
                    redeem(ticket).release()  # takes it out of flight, if it still is
                self._free(piece.blocks)
            else:
                seat.hash(piece)
        nbytes = sum(piece.nbytes for piece in seat.pieces) + sum(file.nbytes for file in lost)
        self._workers = self._workers.and_again(len(files), nbytes)
        for file in files.values():
            file.losses += 1
        for file in lost:
            self._begin_again(file)

    def _begin_again(self, file: _File) -> None:
        """Forget what is read of a file, and put it back among those to be read."""
        self._bytes_hashed -= file.nbytes
        file.close()
        file.begin()
        if file.failure is None:
            self._todo.appendleft(file)
        else:
            self.skipped.append(Skipped(file.path, file.failure))


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C reaches every process of the terminal; those started inside leave it to the reader."""
    resource_tracker.ensure_running()  # else multiprocessing starts it meanwhile, and then lets Ctrl-C through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
