"""A data loader whose workers fill batches in place, in shared memory, and one of them is killed while it does.

    python examples/data_loader.py        (needs NumPy)

The main process puts the numbers of the batches into one queue of a shared pool, and every worker takes from it. A
worker allocates an array for the whole batch in the pool, "decodes" one sample after the other in place, and puts the
array into a second queue. Nothing is copied: the main process trains on the memory that the worker filled.

One worker is killed (SIGKILL) in the middle of a batch. Nothing has to be done about it: the queue was made with
`redeliver=True`, so another worker gets what the dead one had not done, and the memory that it held comes back by
itself. Every batch is compared with what the main process decodes itself. The exit status is 0 if all batches agreed,
in order, and all memory came back.
"""

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import blockpool

SAMPLES, BATCH = 320, 16
SHAPE = (3, 160, 160)
BATCH_BYTES = BATCH * math.prod(SHAPE) * 4
WORKERS = 2
AHEAD = 4  # batches that are requested ahead, so that workers go on while the main process trains
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


def work(todo: blockpool.Queue, done: blockpool.Queue) -> None:
    """Fill batches until the queue is shut down."""
    try:
        while True:
            with todo.receive() as message:  # done at the end; if this process dies before, another one gets it
                fill(message, done)
    except blockpool.QueueShutDown:
        return


def fill(message: blockpool.Message, done: blockpool.Queue) -> None:
    """Fill the batch that the message asks for."""
    samples = samples_of(message.item)
    batch = done.pool.empty((len(samples), *SHAPE), np.float32, timeout=30)
    for place, sample in enumerate(samples):
        if message.item == ACCIDENT and place == len(samples) // 2 and not message.again:
            os.kill(os.getpid(), signal.SIGKILL)
        decode(sample, batch[place])
    done.put((message.item, batch))


class Loader:
    """Iterate over batches in order, while workers fill the next ones."""

    def __init__(self, pool: blockpool.Pool) -> None:
        self._todo, self._done = pool.queue(redeliver=True), pool.queue()
        processes = multiprocessing.get_context("spawn")
        self._workers = [
            processes.Process(target=work, args=(self._todo, self._done), daemon=True) for _ in range(WORKERS)
        ]
        for worker in self._workers:
            worker.start()

    def __iter__(self) -> Iterator[Batch]:
        batches = -(-SAMPLES // BATCH)
        for batch in range(min(AHEAD, batches)):
            self._todo.put(batch)
        done = {}
        for batch in range(batches):
            while batch not in done:
                number, done[number] = self._done.get()
            yield done.pop(batch)
            if batch + AHEAD < batches:
                self._todo.put(batch + AHEAD)

    def close(self) -> list[int | None]:
        """Dismiss the workers; return their exit codes."""
        self._todo.shutdown()
        for worker in self._workers:
            worker.join()
        return [worker.exitcode for worker in self._workers]


def main() -> None:
    """Load everything, and look at every batch."""
    expected = np.empty((BATCH, *SHAPE), np.float32)
    right, start = 0, time.perf_counter()
    # One block per batch: those ahead, the one in use, and one that is lost with the worker until it is recovered.
    with blockpool.Pool.create(BATCH_BYTES, AHEAD + 2) as pool:
        loader = Loader(pool)
        for number, batch in enumerate(loader):
            if number == 0:
                start = time.perf_counter()  # the workers have started
            samples = samples_of(number)
            for place, sample in enumerate(samples):
                decode(sample, expected[place])
            right += np.array_equal(batch, expected[: len(samples)])
            del batch
        seconds = time.perf_counter() - start
        ends = loader.close()

        batches = number + 1
        rate = (batches - 1) * BATCH / seconds
        print(f"batches: {batches} of {BATCH} samples in order, {right} of them right")
        megabytes = rate * BATCH_BYTES / BATCH / 1e6
        print(f"rate: {rate:.0f} samples/s, {megabytes:.0f} MB/s, each checked")
        killed = ends.count(-signal.SIGKILL)
        print(f"workers killed: {killed}; their batches were done by others")
        print(f"blocks in the pool: {pool.blocks}, for {batches} batches")
        pool.recover()
        pool.check()  # raises if anything is wrong
        print(f"blocks not back: {pool.stats().allocated}")
        if right != batches or killed != 1 or pool.stats().allocated:
            raise SystemExit("something is wrong; see above")


if __name__ == "__main__":
    main()
