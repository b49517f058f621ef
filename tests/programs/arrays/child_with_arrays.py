"""Fork a child that uses its parent's array and makes one; what it drops is still there for the parent.

Argument: the kind of the pool: private, debug or shared.
"""

import sys

import blockpool as bp
from forking import await_child, in_child

POOLS = {
    "private": lambda: bp.Pool("4KiB", 4),
    "debug": lambda: bp.Pool("4KiB", 4, debug=True),
    "shared": lambda: bp.Pool.create("4KiB", 4),
}
pool = POOLS[sys.argv[1]]()
arrays = [pool.full(512, 7)]


def use():
    """Read the parent's array, make one, and drop the parent's."""
    assert (arrays[0] == 7).all()
    arrays.append(pool.zeros(512))
    assert pool.stats().allocated == 2
    del arrays[0]
    assert not arrays[0].any()


await_child(in_child(use))
assert (arrays[0] == 7).all()
arrays.clear()
pool.recover()
assert pool.stats().allocated == 0
pool.check()
