"""Children whose waits for room are counted. The arguments are one of the functions here, and its arguments."""

import os
import signal
import sys
import time
from contextlib import suppress

import blockpool as bp
from forking import await_child, in_child


def wait(pool, seconds):
    """Wait for room that does not come."""
    with suppress(bp.PoolExhausted):
        pool.allocate(timeout=seconds)


def wait_in_the_child():
    """Wait in a parent and in its child, in a shared and in a private pool."""
    shared, private = bp.Pool.create(64, 4), bp.Pool(64, 4)
    kept = [pool.allocate(blocks=4) for pool in (shared, private)]

    def work():
        for pool, waited in before.items():
            wait(pool, 0.1)
            assert pool.stats().waits == 2
            assert pool.stats().waited > waited

    for pool in (shared, private):
        wait(pool, 0.05)
    before = {pool: pool.stats().waited for pool in (shared, private)}
    assert min(before.values()) > 0
    await_child(in_child(work))
    assert [pool.stats().waits for pool in (shared, private)] == [2, 1]
    assert shared.stats().waited > before[shared]
    assert private.stats().waited == before[private]
    for block in kept:
        block.free()


def fork_while_waiting(on_fork):
    """Fork in a signal handler while the main thread waits."""
    pool = bp.Pool.create(64, 4, on_fork=on_fork)
    kept = pool.allocate(blocks=4)
    children = []

    def fork(*_):
        if not children:
            child = os.fork()
            children.append(child)

    began = time.monotonic()
    signal.signal(signal.SIGALRM, fork)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    ended = None
    try:
        pool.allocate(timeout=0.5)
    except (bp.PoolExhausted, bp.PoolClosed) as error:
        ended = type(error)
    if children == [0]:
        os._exit(0 if ended is (bp.PoolExhausted if on_fork == "share" else bp.PoolClosed) else 1)
    await_child(children[0])
    assert ended is bp.PoolExhausted
    stats = pool.stats()
    assert stats.waits == (2 if on_fork == "share" else 1)
    assert 0 < stats.waited <= stats.waits * (time.monotonic() - began)
    kept.free()


globals()[sys.argv[1]](*sys.argv[2:])
