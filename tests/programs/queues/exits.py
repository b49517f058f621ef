"""Ends without shutting an executor down. Arguments: the start method, and how it ends."""

import multiprocessing
import sys
import threading

import blockpool
from calls import double, nap

KEPT = []
BEGUN = threading.Event()


def use(method, long):
    """Use an executor, print some results now and one at the end, and keep the executor."""
    executor = blockpool.Executor(2, mp_context=multiprocessing.get_context(method))
    KEPT.append(executor)
    for result in executor.map(double, range(3)):
        print(result)
    BEGUN.set()
    executor.submit(nap, 1 if long else 0.1).add_done_callback(lambda _: print("done", flush=True))


if __name__ == "__main__":
    method, how = sys.argv[1:]
    if how == "unused":
        KEPT.append(blockpool.Executor(2))
    elif how == "in a child":
        child = multiprocessing.get_context(method).Process(target=use, args=(method, False))
        child.start()
        child.join()
    elif how == "in a thread":
        threading.Thread(target=use, args=(method, False)).start()
        BEGUN.wait()  # from Python 3.12 on, no thread can be started once the main one has ended
    else:
        use(method, how == "with a long task")
