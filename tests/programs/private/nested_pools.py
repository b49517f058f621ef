"""Make pools in blocks of pools, a thousand deep, and drop them all at once."""

import blockpool as bp

pool = bp.Pool(64, 1)
for _ in range(1000):
    pool = bp.Pool(64, buffer=pool.allocate().buf)
del pool
