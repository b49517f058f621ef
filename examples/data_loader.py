"""A data loader whose workers fill batches in place, in shared memory, and one of them is killed while it does.

    python examples/data_loader.py        (needs NumPy)

The main process hands out batches as lists of sample numbers. A worker allocates an array for the whole batch in a
shared pool, "decodes" one sample after the other in place, and sends the array through a pipe. Only a ticket of about
120 bytes is sent, and the main process trains on the memory that the worker filled.

One worker is killed (SIGKILL) in the middle of a batch. Another one redoes that batch, `Pool.recover` frees the memory
that the dead worker held, and `Pool.check` finds everything in order. Every batch is compared with what the main
process decodes itself. The exit status is 0 if all batches agreed, in order, and all memory came back.
"""

import contextlib
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait

import numpy as np
from numpy.typing import NDArray

import blockpool
from blockpool.multiprocessing import install, stats

SAMPLES, BATCH = 320, 16
SHAPE = (3, 160, 160)
BATCH_BYTES = BATCH * math.prod(SHAPE) * 4
WORKERS = 2
EACH = 2  # batches per worker that are requested ahead, so that workers go on while the main process trains
AHEAD = WORKERS * EACH
ACCIDENT = 7  # the worker with this batch is killed when it is half done

Batch = NDArray[np.float32]


def decode(sample: int, out: Batch) -> None:
    """Write a sample in place: an image made from its number, with mean 0 and standard deviation 1."""
    np.random.default_rng(sample).random(dtype=np.float32, out=out)
    out -= out.mean()
    out /= out.std()


def samples_of(batch: int) -> range:
    """Return the numbers of the samples of a batch."""
    return range(batch * BATCH, min((batch + 1) * BATCH, SAMPLES))


def work(pool: blockpool.Pool, loader: Connection) -> None:
    """Fill batches until there are no more; then report what was sent, and how."""
    install(pool)  # from now on, arrays of the pool are sent as tickets
    while task := loader.recv():
        samples, accident = task
        batch = pool.empty((len(samples), *SHAPE), np.float32, timeout=30)
        for place, sample in enumerate(samples):
            if accident and place == len(samples) // 2:
                os.kill(os.getpid(), signal.SIGKILL)
            decode(sample, batch[place])
        loader.send(batch)
        del batch  # it is the loader's now
    loader.send(stats())


class Loader:
    """Iterate over batches in order, while workers fill the next ones.

    Each worker has its own pipe: a process that is killed while it uses a shared queue leaves it locked.
    """

    def __init__(self, pool: blockpool.Pool, accidents: set[int]) -> None:
        self._pool = pool
        self._accidents = accidents
        self._workers = {}
        self._dealt: dict[Connection, list[int]] = {}  # requested from each worker, and not received yet
        processes = multiprocessing.get_context("spawn")
        for _ in range(WORKERS):
            ours, theirs = processes.Pipe()
            self._workers[ours] = processes.Process(target=work, args=(pool, theirs), daemon=True)
            self._workers[ours].start()
            self._dealt[ours] = []
            theirs.close()

    def __iter__(self) -> Iterator[Batch]:
        batches = -(-SAMPLES // BATCH)
        todo, done = set(range(batches)), {}
        for batch in range(batches):
            while batch not in done:
                self._deal(todo, before=batch + AHEAD)
                for worker in wait(list(self._workers)):
                    try:
                        done[self._dealt[worker][0]] = worker.recv()
                        del self._dealt[worker][0]
                    except (EOFError, ConnectionResetError):
                        todo.update(self._bury(worker))
            yield done.pop(batch)

    def _deal(self, todo: set[int], before: int) -> None:
        """Give the workers the next batches, the one with the fewest first."""
        while todo and min(todo) < before:
            worker = min(self._dealt, key=lambda each: len(self._dealt[each]))
            if len(self._dealt[worker]) == EACH:
                return
            batch = min(todo)
            todo.remove(batch)
            self._dealt[worker].append(batch)
            with contextlib.suppress(BrokenPipeError):  # it died; its end of the pipe will say so soon
                worker.send((samples_of(batch), batch in self._accidents))
            self._accidents.discard(batch)

    def _bury(self, worker: Connection) -> list[int]:
        """Clear up after a worker that died; return the batches that it leaves undone."""
        process, undone = self._workers.pop(worker), self._dealt.pop(worker)
        process.join()
        dead = self._pool.recover().processes
        print(f"a worker died (exit code {process.exitcode}); done again: batches {undone}")
        print(f"recovered: what {dead} dead process held")
        if not self._workers:
            raise RuntimeError("every worker has died")
        return undone

    def close(self) -> int:
        """Dismiss the workers; return how many batches were copied on the way here."""
        copied = 0
        for worker, process in self._workers.items():
            worker.send(None)
            sent = worker.recv()
            copied += sent.copied + sent.refused
            process.join()
        return copied


def main() -> None:
    """Load everything, and look at every batch."""
    expected = np.empty((BATCH, *SHAPE), np.float32)
    right, start = 0, time.perf_counter()
    # One block per batch: those ahead, the one in use, and one that is lost with the worker.
    with blockpool.Pool.create(BATCH_BYTES, AHEAD + 2) as pool:
        loader = Loader(pool, accidents={ACCIDENT})
        for number, batch in enumerate(loader):
            if number == 0:
                start = time.perf_counter()  # the workers have started
            samples = samples_of(number)
            for place, sample in enumerate(samples):
                decode(sample, expected[place])
            right += np.array_equal(batch, expected[: len(samples)])
        seconds = time.perf_counter() - start
        del batch
        copied = loader.close()

        batches = number + 1
        rate = (batches - 1) * BATCH / seconds
        print(f"batches: {batches} of {BATCH} samples in order, {right} of them right")
        megabytes = rate * BATCH_BYTES / BATCH / 1e6
        print(f"rate: {rate:.0f} samples/s, {megabytes:.0f} MB/s, each checked")
        print(f"copied: {copied}")
        print(f"blocks in the pool: {pool.blocks}, for {batches} batches")
        pool.check()  # raises if anything is wrong
        print(f"blocks not back: {pool.stats().allocated}")
        if right != batches or copied or pool.stats().allocated:
            raise SystemExit("something is wrong; see above")


if __name__ == "__main__":
    main()
