"""Processes that are killed, one or all, at work or waiting: what they held comes back, what others hold stays."""

import os
import random
import signal
import threading
import time

import pytest

import blockpool as bp
from sweeps import sweep_away


def test_what_a_killed_process_held_comes_back(shared, peer, unchanged):
    """Recover frees what a killed process held in any form; what others hold stays, and so do its tickets."""
    mine = shared.allocate(blocks=2)
    mine.buf[:4] = b"mine"
    other = shared.allocate()
    peer(f"""
        pool = bp.Pool.attach({shared.name!r})
        kept = [pool.allocate(), pool.allocate(blocks=3), pool.allocate().buf, pool.allocate().readonly()]
        both = bp.redeem({str(mine.handle)!r})
        sent = pool.allocate()
    """)
    ticket = peer("sent.buf[:4] = b'sent'; str(sent.share())")
    peer.kill()
    assert shared.stats().allocated == 10
    assert shared.recover() == bp.Recovered(processes=1, tickets=0)
    assert [(run.blocks, run.holders, run.tickets) for run in shared.runs()] == [
        (2, (os.getpid(),), 0), (1, (os.getpid(),), 0), (1, (), 1),
    ]  # fmt: skip
    with unchanged(shared):
        assert shared.recover() == bp.Recovered(processes=0, tickets=0)
    assert bytes(mine.buf[:4]) == b"mine"
    assert bytes(bp.redeem(ticket).buf[:4]) == b"sent"
    mine.free()
    other.free()
    assert shared.check().allocated == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda pool: pool.allocate(),
        lambda pool: pool.allocate(blocks=16),
        lambda pool: pool.allocate_many(16),
        lambda pool: pool.allocate(nbytes=16 * 4096, timeout=10),
    ],
)
def test_exhaustion_looks_for_the_dead(shared, peer, ask):
    """An allocation that finds no room recovers dead processes by itself."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate_many(16)")
    peer.kill()
    got = ask(shared)
    assert shared.stats().processes == 1
    del got


def test_free_looks_for_the_dead(shared, peer):
    """Freeing a block that a killed process also held works without any call of recover."""
    block = shared.allocate()
    peer(f"held = bp.redeem({str(block.handle)!r})")
    peer.kill()
    block.free()
    assert shared.stats().allocated == 0


def test_attaching_looks_for_the_dead(shared, peers):
    """A process that attaches recovers what dead processes left."""
    first, second = peers(), peers()
    first(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate_many(5)")
    first.kill()
    assert second(f"pool = bp.Pool.attach({shared.name!r}); s = pool.stats(); s.allocated, s.processes") == (0, 2)


def test_kills_under_load(shared, peers):
    """Killing busy processes again and again never costs the surviving one a block or its data."""
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    chosen = random.Random(seed)
    mine = shared.allocate_many(3)
    for n, block in enumerate(mine):
        block.buf[:] = bytes([n + 1]) * 4096
    handles = [str(block.handle) for block in mine]
    for _ in range(8):
        several = [peers() for _ in range(2)]
        for each in several:
            each.start(
                f"from shared.peer_work import work_until_killed; work_until_killed({shared.name!r}, {handles!r})"
            )
        time.sleep(0.25 + chosen.random() / 10)
        for each in several:
            each.kill()
        shared.recover()
        shared.recover(tickets_older_than=0)  # a message in the dead one's hand
        assert [bytes(block.buf) for block in mine] == [bytes([n + 1]) * 4096 for n in range(3)]
        assert (shared.stats().allocated, shared.stats().processes) == (3, 1)
        shared.check()
        assert len(shared.allocate_many(13)) == 13
    for block in mine:
        block.free()
    assert len(shared.allocate_many(16)) == 16


def test_a_kill_of_all(pool_name, peers, file_of):
    """After all its processes were killed, a pool is gone: create makes a new one, of any geometry."""
    several = [peers() for _ in range(3)]
    for each in several:
        each(f"pool = bp.Pool.create(64, 8, name={pool_name!r}, exist_ok=True); kept = pool.allocate(); kept.share()")
    for each in several:
        each.kill()
    pool = bp.Pool.create(4096, 5, name=pool_name)
    assert (pool.stats().processes, pool.stats().allocated, pool.blocks) == (1, 0, 5)
    pool.close()
    assert not file_of(pool_name).exists()


def test_attach_to_what_a_killed_group_left(pool_name, peer, file_of):
    """Redeeming and attaching a pool whose processes were all killed is PoolNotFound, and removes its file."""
    peer(f"pool = bp.Pool.create(64, 8, name={pool_name!r})")
    ticket = peer("str(pool.allocate().share())")
    peer.kill()
    with pytest.raises(bp.PoolNotFound):
        bp.redeem(ticket)
    assert not file_of(pool_name).exists()
    with pytest.raises(bp.PoolNotFound):
        bp.Pool.attach(pool_name)


def test_sweep_after_a_kill_of_all(pool_names, peer, file_of):
    """A sweep removes the files of pools whose processes were all killed."""
    names = [pool_names() for _ in range(3)]
    peer(f"pools = [bp.Pool.create('1MiB', 2, name=name) for name in {names!r}]")
    peer.kill()
    sweep_away(*map(file_of, names))


def test_a_permanent_pool_after_a_kill_of_all(pool_name, peer):
    """A permanent pool survives the kill of all its processes with its tickets, and what the dead held is free."""
    peer(f"pool = bp.Pool.create(64, 8, name={pool_name!r}, permanent=True); kept = pool.allocate_many(4)")
    ticket = peer("kept[2].buf[:2] = b'ok'; str(kept[2].share())")
    peer.kill()
    pool = bp.Pool.create(64, 8, name=pool_name, exist_ok=True)
    assert (pool.stats().allocated, pool.stats().processes) == (1, 1)
    assert bytes(bp.redeem(ticket).buf[:2]) == b"ok"
    assert pool.check().allocated == 0
    pool.unlink()


def test_a_pool_without_a_name_after_a_kill_of_all(peer):
    """A pool without a name is gone once all its processes were killed."""
    peer("pool = bp.Pool.create(64, 8)")
    ticket = peer("str(pool.allocate().share())")
    peer.kill()
    with pytest.raises(bp.PoolNotFound):
        bp.redeem(ticket)


def test_a_stopped_process_is_not_dead(shared, peer):
    """A stopped process keeps what it holds, while others allocate, recover and check."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate_many(4)")
    os.kill(peer.pid, signal.SIGSTOP)
    try:
        assert shared.recover() == bp.Recovered(processes=0, tickets=0)
        assert len(shared.allocate_many(12)) == 12
        with pytest.raises(bp.PoolExhausted):
            shared.allocate(blocks=13)
        assert shared.check().allocated == 4
    finally:
        os.kill(peer.pid, signal.SIGCONT)
    peer("kept[0].free()")


def test_a_zombie_is_dead(shared, peer):
    """A killed process holds nothing, even before its parent has waited for it."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate_many(4)")
    peer.doomed = True
    os.kill(peer.pid, signal.SIGKILL)
    os.waitid(os.P_PID, peer.pid, os.WEXITED | os.WNOWAIT)
    assert shared.recover() == bp.Recovered(processes=1, tickets=0)
    assert shared.stats().allocated == 0


def test_a_killed_process_whose_descriptors_live_on(run_program):
    """A killed process is dead even if a child outside the pool still has all of its descriptors."""
    run_program("shared/leave_descriptors_to_a_stray.py")


def test_recovery_by_many_at_once(shared, peers):
    """When many threads and processes recover at once, each dead process is recovered at most once, and all are."""
    dead, living = [peers() for _ in range(3)], [peers() for _ in range(2)]
    for each in dead + living:
        each(f"pool = bp.Pool.attach({shared.name!r})")
    for each in dead:
        each("kept = pool.allocate_many(4)")
    for each in dead:
        each.kill()
    for each in living:
        each.start("pool.recover().processes")
    found = []
    threads = [threading.Thread(target=lambda: found.append(shared.recover().processes)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # a sweep elsewhere on the machine may have been the one that recovered some
    assert sum(found) + sum(each.answer() for each in living) <= 3
    assert shared.check().allocated == 0
    assert shared.stats().processes == 3
