"""End the interpreter inside numpy_allocator(), with arrays alive in modules, in a cycle and in a thread's context.

Argument: what is done last: nothing, drop, close, exit or fork.
"""

import os
import sys
import threading

import numpy as np

import blockpool as bp

pool = bp.Pool("4KiB", 64, debug=False)
pool.numpy_allocator().__enter__()
array, cycle = np.ones(1024), [np.zeros(5000)]
cycle.append(cycle)
np.kept = np.ones(1024)


def work():
    """Make an array in the context of a thread."""
    with pool.numpy_allocator():
        threading.kept = np.ones(1024)


thread = threading.Thread(target=work)
thread.start()
thread.join()
assert pool.stats().allocations == 4
match sys.argv[1]:
    case "drop":
        del pool
    case "close":
        pool.close()
    case "exit":
        sys.exit()
    case "fork":
        os.fork()
