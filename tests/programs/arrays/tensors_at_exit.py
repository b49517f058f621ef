"""End the interpreter while arrays and capsules of a block are alive: in modules, in globals and in a cycle.

Argument: the kind of the pool: private or shared.
"""

import sys

import numpy as np

import blockpool as bp

pool = bp.Pool(4096, 4) if sys.argv[1] == "private" else bp.Pool.create(4096, 4)
block = pool.allocate()
sys.array = np.from_dlpack(block)
sys.capsule = block.__dlpack__()
array, capsule = sys.array, sys.capsule
cycle = [np.from_dlpack(block), block.__dlpack__(max_version=(1, 0))]
cycle.append(cycle)
