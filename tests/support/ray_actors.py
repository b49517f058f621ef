"""What the tests run in Ray's processes."""

import os
import signal
from pathlib import Path

import numpy as np
import ray

import blockpool as bp
import blockpool.ray as carrier

GIVEN = {}


@ray.remote(num_cpus=0)
class Actor:
    """Has a pool, if it was given one, and keeps an array if told so."""

    def __init__(self, pool=None):
        self.pool = pool
        self.kept = None

    def pid(self):
        """Return its process."""
        return os.getpid()

    def total(self, array):
        """Return the sum."""
        return float(np.sum(array))

    def add(self, array, number):
        """Add in place, and return what it got."""
        array += number
        return array

    def keep(self, what):
        """Keep it from now on."""
        self.kept = what

    def give(self):
        """Return what it keeps."""
        return self.kept

    def make(self, shape=(4,), value=5.0):
        """Return a new array in its pool."""
        return self.pool.full(shape, value)

    def attach(self, name):
        """Attach a pool by its name, and send by reference."""
        self.pool = bp.Pool.attach(name)
        carrier.install(self.pool)

    def flags(self, array):
        """Return what kind of memory an array has."""
        return array.flags.writeable, array.flags.owndata, type(array.base).__name__, array.flags.c_contiguous

    def write(self, block, data):
        """Write to a block, and return it."""
        block.buf[: len(data)] = data
        return block

    def nothing(self, *_):
        """Return nothing, whatever it got."""

    def sends(self):
        """Return how many pools it sends by reference, and how many arrays it keeps for others."""
        return len(carrier._pools), len(carrier._kept)

    def be_killed_once(self, array, mark):
        """Be killed at the first call, and return the sum at the second."""
        if not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.total(array)

    def lose_sight(self):
        """See no pool from now on, as on another machine."""

        def redeem(handle):
            raise bp.PoolNotFound(f"no pool {handle.pool_id}")

        carrier.redeem = redeem
