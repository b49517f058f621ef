"""Fork a child that has no part in the installed pool, and have it send arrays of its own and of the pool."""

from multiprocessing.reduction import ForkingPickler

import numpy as np

import blockpool as bp
import blockpool.multiprocessing as carrier
from forking import await_child, in_child

pool = bp.Pool.create("16KiB", 64, on_fork="detach")
carrier.install(pool)
inside, block = pool.zeros(10_000), pool.allocate()


def refusal(message):
    """Return what PoolClosed says when a message is sent."""
    try:
        ForkingPickler.dumps(message)
    except bp.PoolClosed as error:
        return str(error)
    return ""


def send():
    """Send what is the child's own as a copy, and fail to send what is the pool's."""
    array = np.arange(10_000)
    for message in (array, [array]):
        assert (ForkingPickler.loads(ForkingPickler.dumps(message)) == array).all()
    assert carrier.stats() == type(carrier.stats())(0, 0, 0, 2)
    for message in (inside, [array, inside], block, [inside[5:]]):
        assert "on_fork='detach'" in refusal(message)


await_child(in_child(send))
assert pool.stats().tickets == 0
