"""A parallel map over one big array: pickled as usual, and through a pool of shared memory.

    python examples/parallel_map.py        (needs NumPy)

`ProcessPoolExecutor.map` pickles each slice of the array for a worker, and each result for the way back: every byte is
copied several times, and goes through a pipe twice. With the array in a shared pool and `blockpool.multiprocessing`
installed, the same call sends a ticket of about 120 bytes for each slice. The workers read the array in place, and
write their results into a second array in the pool.

The program prints how long both ways take (best of three) and their ratio. The exit status is 0 if both agree, to the
last bit, with the same computation in one process, nothing was copied, and all memory came back.
"""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray

import blockpool
from blockpool.multiprocessing import install, stats, uninstall

NUMBERS = 8 * 2**20  # 64 MiB
PARTS = 16
WORKERS = 2
ROUNDS = 3

Array = NDArray[np.float64]


def length(part: Array) -> Array:
    """Compute a function of every number, as a new array."""
    squares = part * part
    squares += 1.0
    return np.sqrt(squares)


def length_into(part: Array, out: Array) -> float:
    """Compute the same straight into the result; return the maximum."""
    np.multiply(part, part, out=out)
    out += 1.0
    return float(np.sqrt(out, out=out).max())


def best_of(call: Callable[[], object]) -> float:
    """Return how many seconds the call takes at best."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def pickled(workers: ProcessPoolExecutor, data: Array) -> Array:
    """Map in the usual way: slices are sent, results come back and are concatenated."""
    return np.concatenate(list(workers.map(length, np.split(data, PARTS))))


def in_place(workers: ProcessPoolExecutor, data: Array, results: Array) -> list[float]:
    """Map over slices of two arrays in the pool. They are views, and each is sent as a ticket."""
    return list(workers.map(length_into, np.split(data, PARTS), np.split(results, PARTS)))


def compare(workers: ProcessPoolExecutor, pool: blockpool.Pool) -> bool:
    """Print how long both ways take; return whether both were right."""
    data = np.random.default_rng(1).random(NUMBERS)
    expected = length(data)
    right = np.array_equal(pickled(workers, data), expected)
    slow = best_of(lambda: pickled(workers, data))

    install(pool)
    start = time.perf_counter()
    shared, results = pool.asarray(data), pool.empty(data.shape)
    once = time.perf_counter() - start
    greatest = max(in_place(workers, shared, results))
    right = right and np.array_equal(results, expected) and greatest == expected.max()
    quick = best_of(lambda: in_place(workers, shared, results))
    uninstall()

    print(f"a map over {data.nbytes >> 20} MiB in {PARTS} slices, {WORKERS} workers")
    print(f"pickled:          {slow * 1e3:6.0f} ms")
    print(f"through the pool: {quick * 1e3:6.0f} ms, after {once * 1e3:.0f} ms to put the array there")
    print(f"ratio: {slow / quick:.1f}")
    print(f"both equal the result of one process: {'yes' if right else 'NO'}")
    return right


def main() -> None:
    """Compare, and check that no block is left."""
    spawn = multiprocessing.get_context("spawn")
    with blockpool.Pool.create("1MiB", 2 * NUMBERS * 8 >> 20) as pool:
        with ProcessPoolExecutor(WORKERS, mp_context=spawn) as workers:
            right = compare(workers, pool)
        sent = stats()
        print(f"slices sent as tickets: {sent.shared}; copied: {sent.copied}, refused: {sent.refused}")
        pool.check()
        print(f"blocks not back: {pool.stats().allocated}")
        if not right or sent.copied or sent.refused or pool.stats().allocated:
            raise SystemExit("something is wrong; see above")


if __name__ == "__main__":
    main()
