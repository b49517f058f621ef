"""Start workers that end by SIGKILL, by os._exit and normally, in turn.

Argument: the start method.
"""

import multiprocessing
import os
import signal
import sys

import blockpool as bp


def work(pool, block, n):
    """Hold two blocks and end."""
    own = pool.allocate()
    again = bp.redeem(block.handle)
    if n % 3 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if n % 3 == 1:
        os._exit(3)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    pool = bp.Pool.create(64, 8)
    block = pool.allocate()
    for n in range(6):
        process = context.Process(target=work, args=(pool, block, n))
        process.start()
        process.join()
        assert process.exitcode == (-9, 3, 0)[n % 3], process.exitcode
    pool.recover(tickets_older_than=0)
    assert [run.holders for run in pool.runs()] == [(os.getpid(),)]
    assert pool.stats().processes == 1
    assert len(pool.allocate_many(7)) == 7
