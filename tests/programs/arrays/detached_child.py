"""Fork a child that has no part in a shared pool: every way to make an array there raises PoolClosed."""

import blockpool as bp
from forking import await_child, in_child

pool = bp.Pool.create("4KiB", 4, on_fork="detach")
array, block = pool.zeros(512), pool.allocate()


def refuses(call):
    """Say whether a call raises PoolClosed."""
    try:
        call(3)
    except bp.PoolClosed:
        return True
    return False


def make():
    """Try to make arrays."""
    assert all(map(refuses, (pool.empty, pool.zeros, pool.asarray, block.array)))


await_child(in_child(make))
assert not array.any()
pool.empty(3)
