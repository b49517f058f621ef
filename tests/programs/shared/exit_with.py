"""Fork, and end parent and child with things alive.

Arguments: the name of the pool, and what is alive, one of the functions here; each returns the names that the module
shall have at its end.
"""

import os
import sys
import threading
import time
from atexit import register

import blockpool as bp
from forking import await_child


def live_blocks():
    """Keep blocks."""
    return {"blocks": pool.allocate_many(3)}


def live_views():
    """Keep views."""
    return {"views": [pool.allocate().buf for _ in range(3)]}


def released_with_views():
    """Release a block and keep a view of it."""
    block = pool.allocate()
    view = block.buf
    block.release()
    return {"block": block, "view": view}


def closed_with_views():
    """Close the pool and keep a view."""
    view = pool.allocate().buf
    pool.close()
    return {"view": view}


def inside_with():
    """Enter a block and never leave it."""
    return {"block": pool.allocate().__enter__()}


def a_reference_cycle():
    """Keep a cycle with a pool and a view in it."""
    cycle = [pool, pool.allocate().buf]
    cycle.append(cycle)
    return {"cycle": cycle}


def in_a_builtin_module():
    """Keep things where the interpreter clears them last."""
    sys.kept = [pool.allocate(), pool.allocate().buf, pool]
    return {}


def numpy_array():
    """Keep an array over a block."""
    import numpy as np

    return {"array": np.ndarray((8,), buffer=pool.allocate().buf)}


def tickets():
    """Keep a ticket for three."""
    block = pool.allocate()
    return {"block": block, "ticket": block.share(3)}


def two_pools():
    """Keep blocks of two pools."""
    other = bp.Pool.create(64, 8)
    return {"other": other, "kept": [pool.allocate(), other.allocate().readonly()]}


def unlinked():
    """Keep a block of a pool whose name the parent removes."""
    block = pool.allocate()
    if child:
        pool.unlink()
    return {"block": block}


def attached_twice():
    """Keep a block of a Pool object that is closed, beside another one of the same pool."""
    again = bp.Pool.attach(pool.name)
    block = again.allocate()
    again.close()
    return {"again": again, "block": block}


def redeemed_only():
    """Keep a redeemed block, and no Pool object."""
    block = bp.redeem(pool.allocate().share())
    globals().pop("pool").close()
    return {"block": block}


def a_finalizer_that_allocates():
    """Keep an object in a cycle that allocates when it is finalized."""

    class Late:
        def __del__(self, pool=pool):
            block = pool.allocate()
            block.buf[0] = 1
            block.free()

    late = Late()
    late.me = late
    return {"Late": Late, "late": late}


def atexit():
    """Use the pool in a function of atexit."""
    kept = pool.allocate()
    register(lambda: (len(kept.buf), pool.allocate().free(), pool.check(), kept.free()))
    return {"kept": kept}


def a_thread_that_waits():
    """Have a daemon thread that waits for a block."""
    kept = pool.allocate_many(7)
    threading.Thread(target=pool.allocate, kwargs={"timeout": None}, daemon=True).start()
    time.sleep(0.05)
    return {"kept": kept}


def a_thread_at_work():
    """Have a daemon thread that allocates and frees."""

    def churn():
        while True:
            with pool.allocate() as block:
                block.buf[0] = 1

    threading.Thread(target=churn, daemon=True).start()
    time.sleep(0.02)
    return {}


pool = bp.Pool.create(64, 8, name=sys.argv[1])
both = pool.allocate()
child = os.fork()
if child:
    await_child(child)
globals().update(globals()[sys.argv[2]]())
