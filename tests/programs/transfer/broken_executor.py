"""Break an executor whose tasks carry arrays: its only worker is killed while more are pickled, and more wait.

Arguments: the library. Prints the result of a task, "broken", and how much is allocated and in flight once the lifetime
of the tickets is over. At most as many tasks may have been in flight as the executor writes ahead.
"""

import os
import signal
import sys
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context

import blockpool as bp
import blockpool.multiprocessing as carrier
from waits import await_true

TASKS = 20


def total(array):
    """Return the sum of an array."""
    return float(array.sum())


def die(_):
    """End at once."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    pool = bp.Pool.create("64KiB", 512, ticket_lifetime=2)
    carrier.install(pool)
    array = pool.full(50_000, 1.0)
    if sys.argv[1] == "loky":
        import loky

        executor = loky.ProcessPoolExecutor(1)
    else:
        executor = ProcessPoolExecutor(1, get_context("fork"))
    print(executor.submit(total, array).result())
    futures = [executor.submit(die, array)]
    with suppress(BrokenExecutor):  # it may break before all are submitted
        futures += [executor.submit(total, array) for _ in range(TASKS)]
    assert all(isinstance(future.exception(), BrokenExecutor) for future in futures[:1])
    print("broken")
    executor.shutdown()
    assert pool.stats().tickets < TASKS // 2
    del executor, futures, array

    def is_over():
        """Drop the tickets whose lifetime is over, and return whether nothing is left."""
        pool.recover()
        return (pool.stats().allocated, pool.stats().tickets) == (0, 0)

    await_true(is_over)
    print(pool.stats().allocated, pool.stats().tickets)
