"""Close a pool under a live array, and go on with the array and a slice of it.

Argument: the name of the pool.
"""

import gc
import sys

import numpy as np

import blockpool as bp

pool = bp.Pool.create("1MiB", 4, name=sys.argv[1])
block = pool.allocate()
array = np.ndarray((1024, 128), "f8", buffer=block.buf)
array[:] = 1.5
block.release()
pool.close()
del block, pool
gc.collect()
assert array.sum() == 1024 * 128 * 1.5
array[0, 0] = 7
row = array[3:5]
del array
gc.collect()
row += 1
assert row[0, 0] == 2.5
