"""Waits for tasks, until Ctrl-C, and prints what became of them. Argument: the start method."""

import multiprocessing
import sys

import blockpool
from calls import nap, pid

if __name__ == "__main__":
    futures = []
    try:
        with blockpool.Executor(2, mp_context=multiprocessing.get_context(sys.argv[1])) as executor:
            workers = set()
            while len(workers) < 2:
                list(executor.map(nap, [0.05] * 4))
                workers |= set(executor.map(pid, range(4)))
            print(*workers, flush=True)
            futures = [executor.submit(nap, 30) for _ in range(10)]
            print("waits", flush=True)
            futures[0].result()
    except KeyboardInterrupt:
        print("interrupted")
    print([type(future.exception()).__name__ for future in futures if not future.cancelled()])
