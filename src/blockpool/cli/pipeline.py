"""Files are hashed through a pool: readers read them into blocks, workers hash the blocks and free them.

Nothing is copied: a reader has the kernel write into the block, a worker's hash reads it there.

Why it cannot stand still, even with one block: a reader holds at most the block that it fills, and fills it without
waiting for anybody; a filled block lies in the queue of its file, and a file whose queue is not empty is either on the
list of ready files or in the hands of exactly one worker, who needs no block to go on. So some block always comes back,
and the blocks of one file are hashed one after the other, in order, though by different workers.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from queue import SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from blockpool import BlockInUse, Pool, PoolCorrupt, PoolExhausted
from blockpool.cli.files import identity, open_regular, reason
from blockpool.report.results import PoolRun, Rate, Skipped, Snapshot, Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockpool import Block, PoolStats
    from blockpool.report.results import Settings

__all__ = ["Digest", "Pipeline", "fill_block", "hash_block", "left_over"]

# How often whoever waits looks up: for an interrupt, for lost blocks, to tell of progress.
SLICE = 0.1
# Readers wait this long for a block that nobody has before they call it lost.
PATIENCE = 2.0

STOPPED = "not read: the run was stopped"


class Hash(Protocol):
    """What is used of the objects of hashlib."""

    def update(self, data: memoryview, /) -> None:
        """Go on with these bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""


class Digest(NamedTuple):
    """The digest of a file, and which state of the file it is of."""

    hexdigest: str
    nbytes: int
    identity: tuple[int, ...]


class _File:
    """A file on its way: its filled blocks, in order, until they are hashed. Guarded by the pipeline's lock."""

    __slots__ = ("blocks", "failure", "finished", "hash", "identity", "nbytes", "path", "scheduled")

    def __init__(self, path: str) -> None:
        self.path = path
        self.hash = hashlib.sha256()
        self.blocks: deque[Block] = deque()
        self.scheduled = False  # on the list of ready files, or in a worker's hands
        self.finished = False  # nothing more will be read
        self.nbytes = 0
        self.identity: tuple[int, ...] = ()
        self.failure: str | None = None


class Pipeline:
    """Readers and workers around one pool; `run` is called once.

    `digests` and `skipped` say afterwards what became of each file.
    """

    def __init__(self, pool: Pool, files: Sequence[str], nbytes: int, settings: Settings) -> None:
        self.digests: dict[str, Digest] = {}
        self.skipped: list[Skipped] = []
        self._pool = pool
        self._half = nbytes // 2
        self._settings = settings
        self._todo = deque(files)
        self._ready: SimpleQueue[_File | None] = SimpleQueue()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        # Below: guarded by the lock.
        self._reading = settings.readers
        self._in_flight = 0
        self._bytes_read = self._bytes_hashed = 0
        self._waits = Waits()
        self._busy: Snapshot | None = None
        self._problems: list[str] = []
        self._crash: BaseException | None = None

    def run(self, watch: Callable[[int], None]) -> PoolRun:
        """Hash all files, and audit the pool. `watch` is told now and then how many bytes are hashed."""
        began = perf_counter()
        threads = [
            threading.Thread(target=self._guarded, args=[self._read])
            for _ in range(self._settings.readers)
        ]
        threads += [
            threading.Thread(target=self._guarded, args=[self._hash])
            for _ in range(self._settings.workers)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(SLICE)
                    watch(self._bytes_hashed)
        except BaseException:
            self._stop.set()
            self._end_workers()
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        seconds = perf_counter() - began
        watch(self._bytes_hashed)
        if self._crash is not None:
            raise self._crash
        self.skipped += [Skipped(path, STOPPED) for path in self._todo]
        rate = Rate(
            len(self.digests), sum(digest.nbytes for digest in self.digests.values()), seconds
        )
        return self._audit(rate)

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
        )

    def _snapshot(self) -> Snapshot:
        return Snapshot(self._pool.blocks, tuple(self._pool.runs()))

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do a thread's work; an error that nobody foresaw ends the run, and is raised by `run`."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - run() raises it, in its own thread
            self._crash = error
            self._stop.set()
            self._end_workers()

    def _end_workers(self) -> None:
        for _ in range(self._settings.workers):
            self._ready.put(None)

    # ---- readers ---------------------------------------------------------------------------------

    def _read(self) -> None:
        """Read files until there are none; the last reader sends the workers home."""
        try:
            while not self._stop.is_set():
                try:
                    path = self._todo.popleft()
                except IndexError:
                    break
                self._read_file(_File(path))
        finally:
            with self._lock:
                self._reading -= 1
                last = self._reading == 0
            if last:
                self._end_workers()

    def _read_file(self, file: _File) -> None:
        try:
            with open_regular(file.path) as (descriptor, status):
                file.identity = identity(status)
                left = status.st_size
                while left:
                    block = self._allocate(min(left, self._settings.block_size))
                    if block is None:
                        file.failure = STOPPED
                        break
                    try:
                        fill_block(block, descriptor)
                    except BaseException:
                        block.release()
                        with self._lock:
                            self._in_flight -= 1
                        raise
                    left -= block.nbytes
                    if left:
                        self._pass_on(file, block)
                    else:
                        self._pass_on(file, block, last=True)
                        return
        except OSError as error:
            file.failure = reason(error)
        self._pass_on(file, None, last=True)

    def _allocate(self, nbytes: int) -> Block | None:
        """Allocate a block, waiting for one as long as it takes; None if the run is stopped meanwhile."""
        full = self._in_flight >= self._settings.blocks
        began = last_sign = perf_counter()
        hashed = self._bytes_hashed
        while not self._stop.is_set():
            try:
                block = self._pool.allocate(nbytes=nbytes, timeout=SLICE)
                break
            except PoolExhausted:
                full = True
            if self._in_flight or self._bytes_hashed != hashed:
                hashed, last_sign = self._bytes_hashed, perf_counter()
            elif perf_counter() - last_sign > PATIENCE:
                self._problem("no block is in use, and yet none is free: blocks are lost")
                self._stop.set()
        else:
            return None
        waited = perf_counter() - began
        with self._lock:
            self._in_flight += 1
            self._bytes_read += nbytes
            if full:
                self._waits = self._waits.and_one(waited)
            if self._busy is None and self._bytes_read >= self._half:
                self._busy = self._snapshot()
        return block

    def _pass_on(self, file: _File, block: Block | None, *, last: bool = False) -> None:
        """Queue a block for hashing, and say whether it was the last."""
        with self._lock:
            if block is not None:
                file.blocks.append(block)
            file.finished = last
            idle = not file.scheduled
            file.scheduled = True
        if idle:
            self._ready.put(file)

    # ---- workers ---------------------------------------------------------------------------------

    def _hash(self) -> None:
        """Hash the blocks of files that are ready, until told that there will be no more."""
        while (file := self._ready.get()) is not None:
            hashed = 0
            while (block := self._next(file, hashed)) is not None:
                hashed = block.nbytes
                self._hash_block(file, block)

    def _hash_block(self, file: _File, block: Block) -> None:
        if self._stop.is_set():
            file.failure = STOPPED
        if file.failure is not None:
            block.release()
            return
        try:
            hash_block(file.hash, block)
        except BlockInUse as error:
            self._problem(str(error))
            block.release()

    def _next(self, file: _File, hashed: int) -> Block | None:
        """Count the last block as done, if it had any bytes, and take the next of the file.

        If there is none, the file is out of this worker's hands.
        """
        with self._lock:
            if hashed:
                self._in_flight -= 1
                self._bytes_hashed += hashed
                file.nbytes += hashed
            if file.blocks:
                return file.blocks.popleft()
            file.scheduled = False
            if file.finished and file.failure is None:
                self.digests[file.path] = Digest(file.hash.hexdigest(), file.nbytes, file.identity)
            elif file.finished:
                self.skipped.append(Skipped(file.path, str(file.failure)))
        return None

    # ---- both ------------------------------------------------------------------------------------

    def _problem(self, sentence: str) -> None:
        with self._lock:
            self._problems.append(sentence)


def left_over(pool: Pool) -> tuple[PoolStats, list[str]]:
    """Audit a pool at the end of a run; return its statistics, and what should not be."""
    problems = []
    try:
        pool.recover()
        pool.check()
    except PoolCorrupt as error:
        problems.append(str(error))
    stats = pool.stats()
    if stats.allocated or stats.allocations != stats.frees:
        problems.append(
            f"{stats.allocated} of {stats.blocks} blocks did not come back: "
            f"{stats.allocations} allocations, {stats.frees} frees"
        )
    if stats.tickets:
        problems.append(f"{stats.tickets} tickets are left over")
    return stats, problems


def fill_block(block: Block, descriptor: int) -> None:
    """Have the kernel write the next `block.nbytes` bytes of the file into the block; if it ends, an OSError."""
    done = 0
    with block.buf as view:
        while done < block.nbytes:
            with view[done:] as rest:
                count = os.readv(descriptor, [rest])
            if not count:
                raise OSError("became shorter while it was read")
            done += count


def hash_block(digest: Hash, block: Block) -> None:
    """Feed the block to the digest, which leaves the GIL meanwhile, and free it."""
    with block.buf as view:
        digest.update(view)
    block.free()
