"""Submit tasks that carry handles to workers that crash, three times, and then to some that do not.

Prints for each round which tasks succeeded, and how much is allocated and in flight after it.
"""

import multiprocessing
import os
import signal
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import blockpool as bp
from waits import await_true


def work(handle, crash):
    """Redeem a handle; or crash, once the file of that path is there."""
    if crash:
        await_true(crash.exists)
        os.kill(os.getpid(), signal.SIGKILL)
    with bp.redeem(handle) as block:
        return block.nbytes


if __name__ == "__main__":
    pool = bp.Pool.create("4KiB", 3)
    for crash in (True, True, True, False):
        executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        blocks = [pool.allocate(timeout=60) for _ in range(3)]
        with tempfile.TemporaryDirectory() as folder:
            all_are_submitted = Path(folder, "go")  # a broken executor takes no more
            futures = [executor.submit(work, block.handle, all_are_submitted if crash else None) for block in blocks]
            all_are_submitted.touch()
            print(*(future.exception() is None for future in futures))
        executor.shutdown()
        while blocks:
            blocks.pop().free()
        print(pool.stats().allocated, pool.stats().tickets)
