"""Waiting for room in a shared pool: wakes, timeouts, Ctrl-C, and processes that are killed."""

import os
import signal
import statistics
import threading
import time

import pytest

import blockpool as bp
from waits import await_true


@pytest.mark.parametrize(
    ("ask", "taken"),
    [
        ("allocate(timeout=600)", 16),
        ("allocate(blocks=5, timeout=600)", 13),
        ("allocate_many(4, timeout=None)", 13),
    ],
)
def test_a_free_wakes_another_process(shared, peer, await_waiting, ask, taken):
    """A process that waits for a block, a run or a list gets it soon after another process frees enough."""
    kept = shared.allocate_many(taken)
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    peer.start(f"got = pool.{ask}")
    await_waiting(shared.name)
    assert not peer.answers(0.3)
    while kept and not peer.answers(0.02):
        kept.pop().free()
    peer.answer()
    assert shared.check().allocated == len(kept) + peer("len(got) if isinstance(got, list) else got.blocks")
    peer("got = None")


def test_a_wait_expires(shared, peer):
    """A wait ends after its timeout, not before and not much later, and counts as one failure."""
    kept = shared.allocate_many(16)
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    began = time.monotonic()
    with pytest.raises(bp.PoolExhausted):
        peer("pool.allocate(timeout=0.4)")
    assert 0.4 <= time.monotonic() - began < 60
    assert shared.stats().failures == 1
    del kept


def test_a_wait_is_interrupted(shared, peer, await_waiting):
    """Ctrl-C ends a wait; nothing is taken, and the process no longer counts as waiting."""
    kept = shared.allocate_many(16)
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    peer.start("pool.allocate(timeout=None)")
    await_waiting(shared.name)
    os.kill(peer.pid, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        peer.answer()
    await_waiting(shared.name, 0)
    kept.clear()
    assert shared.stats().allocated == 0
    assert peer("pool.allocate().index") == 0


def test_the_blocks_of_the_dead_come_to_who_waits(shared, peers, await_waiting):
    """A waiting process gets the blocks of a killed one, without any call of recover."""
    holder, waiter = peers(), peers()
    holder(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate_many(16)")
    waiter(f"pool = bp.Pool.attach({shared.name!r})")
    waiter.start("pool.allocate(blocks=16, timeout=60).blocks")
    await_waiting(shared.name)
    holder.kill()
    assert waiter.answer() == 16
    assert shared.stats().processes == 2


def test_a_waiter_that_is_killed(shared, peer, await_waiting):
    """Recovering a process that was killed in a wait clears its mark, and later frees go on as before."""
    kept = shared.allocate_many(16)
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    peer.start("pool.allocate(timeout=None)")
    await_waiting(shared.name)
    peer.kill()
    kept.clear()
    assert shared.recover().processes == 1
    await_waiting(shared.name, 0, seconds=1)  # by that call, and nothing else
    assert len(shared.allocate_many(16)) == 16


def time_a_wake(pool, peer, await_waiting):
    """Return how long after the free a waiting process had the block."""
    kept = pool.allocate(blocks=16)
    peer.start("block = pool.allocate(timeout=60); now = time.monotonic(); del block; now")
    await_waiting(pool.name)
    time.sleep(0.02)
    freed = time.monotonic()
    kept.free()
    return peer.answer() - freed


def test_a_wake_is_quick(shared, peer, await_waiting):
    """A free wakes a waiting process at once; it does not notice only at its next look, after a quarter of a second."""
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    # other programs may be at work
    await_true(lambda: statistics.median(time_a_wake(shared, peer, await_waiting) for _ in range(9)) < 0.12, 120)


def test_threads_of_two_processes_wait(shared, peer, await_waiting):
    """Many threads that wait in two processes all get their blocks in the end."""
    kept = shared.allocate_many(16)
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    peer.start("from shared.peer_work import use_in_threads; use_in_threads(pool)")
    await_waiting(shared.name)
    got = []

    def work_here():
        for _ in range(20):
            with shared.allocate(timeout=60) as block:
                got.append(block.index)

    threads = [threading.Thread(target=work_here) for _ in range(4)]
    for thread in threads:
        thread.start()
    await_waiting(shared.name, 2)
    del kept[3:]
    peer.answer()
    for thread in threads:
        thread.join(60)
    assert len(got) == 80
    await_waiting(shared.name, 0)
    assert shared.stats().allocated == 3
