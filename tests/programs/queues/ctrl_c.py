"""Waits for tasks, until Ctrl-C, and prints what became of them.

Arguments: the start method, and a folder for the files with which tasks tell that they have begun.
"""

import multiprocessing
import sys

import blockpool
from blockpool import _executor
from calls import nap, pid, tell_and_sleep

if __name__ == "__main__":
    futures = []
    _executor._HOLD_SECONDS = 60  # a busy machine may be late with the interrupt of this process
    try:
        with blockpool.Executor(2, mp_context=multiprocessing.get_context(sys.argv[1])) as executor:
            workers = set()
            while len(workers) < 2:
                list(executor.map(nap, [0.05] * 4))
                workers |= set(executor.map(pid, range(4)))
            print(*workers, flush=True)
            futures = [executor.submit(tell_and_sleep, f"{sys.argv[2]}/{n}") for n in range(10)]
            print("waits", flush=True)
            futures[0].result()
    except KeyboardInterrupt:
        print("interrupted")
    print([type(future.exception()).__name__ for future in futures if not future.cancelled()])
