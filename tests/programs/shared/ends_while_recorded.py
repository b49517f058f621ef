"""A program ends without stopping its recording. The argument is the file."""

import sys

import blockpool as bp

pool = bp.Pool.create(4096, 16)
recording = pool.record(sys.argv[1])
for _ in range(10):
    pool.allocate().free()
