"""Make segments before a fork, and after it in parent and child; write the names of all, a line each, and sleep.

Arguments: the sizes of the segments that are made each time. Those from before the fork are named by both processes.
"""

import os
import sys
import time

from blockpool.shared_memory import SharedMemory

kept = [SharedMemory(create=True, size=int(size)) for size in sys.argv[1:]]
os.fork()
kept += [SharedMemory(create=True, size=int(size)) for size in sys.argv[1:]]
os.write(1, "".join(one.name + "\n" for one in kept).encode())
time.sleep(120)
