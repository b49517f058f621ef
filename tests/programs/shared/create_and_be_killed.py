"""Create a pool of blocks of 1 MiB, hold all of them, and be killed.

Arguments: the name, the number of blocks, and anything for a permanent pool.
"""

import os
import signal
import sys

import blockpool as bp

pool = bp.Pool.create("1MiB", int(sys.argv[2]), name=sys.argv[1], permanent=len(sys.argv) > 3)
blocks = pool.allocate_many(pool.blocks)
os.kill(os.getpid(), signal.SIGKILL)
