"""Allocate and free at random, without asyncio. Arguments: the pool's name, a seed, and for how many seconds."""

import sys
import time

import blockpool as bp
from async_waits import take_and_give

pool = bp.Pool.attach(sys.argv[1])
take_and_give(pool, int(sys.argv[2]), time.monotonic() + float(sys.argv[3]))
pool.close()
