"""Submit tasks that carry blocks to workers that crash; with a lifetime, the pool has all its room afterwards.

Prints that all went well.
"""

import multiprocessing
import os
import signal
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import blockpool as bp
from endings import pass_time
from waits import await_true


def work(block, crash):
    """Use the block; or crash, once the file of that path is there."""
    if crash:
        await_true(crash.exists)
        os.kill(os.getpid(), signal.SIGKILL)
    with block:
        return block.nbytes


if __name__ == "__main__":
    pool = bp.Pool.create("4KiB", 8, name=f"test-{os.getpid()}-executor", ticket_lifetime=1000)
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            all_are_submitted = Path(folder, "go")  # a broken executor takes no more
            executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            futures = []
            for task in range(3):
                block = pool.allocate()
                futures.append(executor.submit(work, block, all_are_submitted if task == 0 else None))
                del block
            all_are_submitted.touch()
            assert all(future.exception() for future in futures)
        executor.shutdown()
        del futures, executor
    pass_time(pool, 2000)
    with pool.allocate(blocks=8, timeout=60):
        assert pool.stats().tickets == 0
    pool.check()
    print("well")
