"""Prints the process ids of three workers, two of them busy, and waits to be killed. Argument: the start method."""

import multiprocessing
import sys
import time

import blockpool
from calls import nap, pid

if __name__ == "__main__":
    executor = blockpool.Executor(3, mp_context=multiprocessing.get_context(sys.argv[1]))
    workers = set()
    while len(workers) < 3:
        list(executor.map(nap, [0.05] * 6))
        workers |= set(executor.map(pid, range(6)))
    busy = [executor.submit(nap, 600) for _ in range(2)]
    print(*workers, flush=True)
    time.sleep(600)
