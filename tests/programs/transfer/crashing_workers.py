"""Submit tasks that carry handles to workers that crash, three times, and then to some that do not.

Prints for each round which tasks succeeded, and how much is allocated and in flight after it.
"""

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor

import blockpool as bp


def work(handle, crash):
    """Redeem a handle, or crash."""
    if crash:
        os.kill(os.getpid(), signal.SIGKILL)
    with bp.redeem(handle) as block:
        return block.nbytes


if __name__ == "__main__":
    pool = bp.Pool.create("4KiB", 3)
    for crash in (True, True, True, False):
        executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        blocks = [pool.allocate(timeout=60) for _ in range(3)]
        futures = [executor.submit(work, block.handle, crash) for block in blocks]
        print(*(future.exception() is None for future in futures))
        executor.shutdown()
        while blocks:
            blocks.pop().free()
        print(pool.stats().allocated, pool.stats().tickets)
