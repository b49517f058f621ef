"""What a parent and its forked children share of a pool.

The arguments are a case, one of the functions here, and the arguments of that.
"""

import contextlib
import ctypes
import os
import pickle
import random
import resource
import signal
import sys
import threading
import time

import blockpool as bp
from forking import await_child, in_child, steps
from waits import await_true


def become_another_program():
    """Fork a child that allocates and then runs another program: its blocks come back while that runs."""
    pool = bp.Pool.create(64, 8)
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # noqa: FBT003 - its signature
    child = os.fork()
    if child == 0:
        kept = pool.allocate(blocks=3)
        code = f"import os, time; os.write({writing}, b'x'); time.sleep(60)"
        os.execv(sys.executable, [sys.executable, "-c", code])  # noqa: S606 - that is the case
    os.read(reading, 1)
    assert pool.recover().processes == 1
    assert pool.stats().allocated == 0
    os.kill(child, 9)
    os.waitpid(child, 0)


def share_a_block(first, how):
    """End the use of a block in the `first` of parent and child, then in the other; `how` is free, release or drop."""
    pool = bp.Pool.create(64, 8)
    block = pool.allocate(blocks=2)
    block.buf[:4] = b"both"

    def end():
        nonlocal block
        if how == "free":
            try:
                block.free()
            except bp.BlockInUse:
                block.release()
        elif how == "release":
            block.release()
        block = None

    await_parent, tell_child = steps()
    await_first, tell_parent = steps()

    def work():
        if first == "parent":
            await_parent()
        else:
            end()
            tell_parent()
            await_parent()
            return
        assert bytes(block.buf[:4]) == b"both"
        assert [run.holders for run in pool.runs()] == [(os.getpid(),)]
        assert len(pool.allocate_many(6)) == 6
        end()
        assert pool.stats().allocated == 0

    child = in_child(work)
    if first == "parent":
        end()
        tell_child()
        await_child(child)
    else:
        await_first()
        assert [run.holders for run in pool.runs()] == [(os.getpid(),)]
        assert len(pool.allocate_many(6)) == 6
        assert bytes(block.buf[:4]) == b"both"
        end()
        tell_child()
        await_child(child)
    pool.recover()
    assert (pool.stats().allocated, pool.stats().processes) == (0, 1)
    pool.check()


def share_many_things():
    """Let a parent and three children drop blocks, views, arrays and twins, each in an order of its own."""
    import numpy as np

    pool = bp.Pool.create(64, 4096)
    kept = []
    for i in range(300):
        block = pool.allocate(blocks=1 + i % 3)
        block.buf[:4] = i.to_bytes(4, "little")
        kept.append(
            [
                block,
                block.buf[:4],
                block.readonly(),
                np.ndarray(1, "i4", buffer=block.buf),
                bp.redeem(block.handle),
            ][: 1 + i % 5]
            if i % 2
            else [block.buf[:4]]
        )
        del block

    def finish(seed):
        chosen = random.Random(seed)
        order = list(range(300))
        chosen.shuffle(order)
        for i in order:
            things = kept[i]
            while things:
                thing = things[chosen.randrange(len(things))]
                memory = thing.buf if isinstance(thing, bp.Block) else memoryview(thing).cast("B")
                assert bytes(memory[:4]) == i.to_bytes(4, "little")
                del memory
                things.pop(next(n for n, each in enumerate(things) if each is thing))
                del thing
            if i % 10 == 0:
                fresh = pool.allocate(blocks=2)
                fresh.buf[:4] = b"new!"
                del fresh

    children = [in_child(lambda seed=seed: finish(seed)) for seed in range(3)]
    finish(99)
    for child in children:
        await_child(child)
    pool.recover()
    assert pool.stats().allocated == 0
    pool.check()


def fork_beside_threads():
    """Fork while three threads allocate and drop, in a pool that takes a while to look through."""
    pool = bp.Pool.create(8, 1 << 20)
    mine = pool.allocate_many(50)
    for i, block in enumerate(mine):
        block.buf[0] = i
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            kept = pool.allocate_many(40) + [pool.allocate(blocks=2) for _ in range(5)]
            tickets = [block.share() for block in kept[:5]]
            kept += [bp.redeem(ticket) for ticket in tickets] + [pickle.loads(pickle.dumps(kept[7]))]
            while kept:
                kept.pop()

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)

    def work():
        assert [block.buf[0] for block in mine] == list(range(50))
        more = pool.allocate_many(20)
        for block in more:
            block.free()
        mine.clear()

    for _ in range(12):
        await_child(in_child(work))
    stop.set()
    for thread in threads:
        thread.join()
    assert [block.buf[0] for block in mine] == list(range(50))
    pool.recover()
    stats = pool.stats()
    assert (stats.allocated, stats.tickets, stats.processes) == (50, 0, 1), stats
    pool.check()


def fork_beside_waiters(name):
    """Fork while threads wait for blocks, and while another one creates and closes pools."""
    pool = bp.Pool.create(64, 8, name=name)
    kept = pool.allocate(blocks=8)
    got = []
    waiters = [threading.Thread(target=lambda: got.append(pool.allocate(timeout=None))) for _ in range(2)]
    stop = threading.Event()

    def come_and_go():
        while not stop.is_set():
            other = bp.Pool.create(64, 8)
            other.allocate().free()
            other.check()
            other.close()
            del other

    churner = threading.Thread(target=come_and_go)
    for thread in (*waiters, churner):
        thread.start()

    def work():
        assert pool.stats().free == 0
        with contextlib.suppress(bp.PoolExhausted):
            pool.allocate(timeout=0.02)
        bp.Pool.create(64, 8).check()
        pool.check()

    for _ in range(20):
        await_child(in_child(work))
    kept.release()
    for thread in waiters:
        thread.join(60)
    assert len(got) == 2
    stop.set()
    churner.join()
    pool.recover()
    assert (pool.stats().allocated, pool.stats().processes) == (2, 1)


def fork_generations():
    """Fork six generations deep; each holds the blocks of all before it."""
    pool = bp.Pool.create(64, 16)
    kept = []

    def descend(generation):
        kept.append(pool.allocate())
        kept[-1].buf[0] = generation
        if generation < 5:
            await_child(in_child(lambda: descend(generation + 1)))
        assert [block.buf[0] for block in kept] == list(range(generation + 1))
        pool.recover()
        assert pool.stats().processes == generation + 1
        assert [len(run.holders) for run in pool.runs()] == list(range(generation + 1, 0, -1))

    descend(0)
    pool.check()


def kill_the_parent():
    """Kill a process right after it has forked, and look at what its child still holds."""
    pool = bp.Pool.create(64, 64)

    def parent(await_word, answer):
        mine = pool.allocate_many(3)
        for block in mine:
            block.buf[:4] = b"mine"
        if os.fork() == 0:
            await_word()
            assert [bytes(block.buf[:4]) for block in mine] == [b"mine"] * 3
            pool.allocate().free()
            answer()
            await_word()
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(15):
        await_answer, answer = steps()
        await_word, word = steps()
        middle = os.fork()
        if middle == 0:
            parent(await_word, answer)
        assert os.waitstatus_to_exitcode(os.waitpid(middle, 0)[1]) == -9
        assert pool.recover().processes == 1
        assert [len(run.holders) for run in pool.runs()] == [1, 1, 1]
        rest = pool.allocate_many(61)
        for block in rest:
            block.buf[:4] = b"rest"
        rest.pop()
        del rest, block
        word()
        await_answer()
        assert pool.recover().processes == 0
        word()
        while pool.stats().allocated:
            pool.recover()
    pool.check()


def exit_at_once():
    """Fork more children than the pool has slots; each exits at once."""
    pool = bp.Pool.create(64, 64, processes=47)
    kept = pool.allocate_many(20)
    for _ in range(100):  # more than there are slots
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    assert pool.stats().processes <= 47  # a fork that finds no place looks for the dead
    pool.recover()
    assert pool.stats().processes == 1
    for block in kept:
        block.free()
    assert pool.check().allocated == 0


def fail_to_fork():
    """Fork at the limit of processes of the user."""
    bp.PoolStats, bp.Recovered, bp.Audit
    os.setgroups([])
    os.setgid(54321)
    os.setuid(54321)
    pool = bp.Pool.create(64, 8)
    block = pool.allocate()
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    for _ in range(60):
        try:
            child = os.fork()
        except BlockingIOError:
            continue
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        sys.exit("forked")
    second = pool.allocate()
    assert pool.recover().processes >= 1
    assert [run.holders for run in pool.runs()] == [(os.getpid(),)] * 2
    block.free()
    second.free()
    assert pool.check().allocated == 0


def fork_in_c():
    """Call fork() of the C library."""
    libc = ctypes.CDLL(None)
    pool = bp.Pool.create(64, 8)
    block = pool.allocate()
    block.buf[:4] = b"mine"
    parent = os.getpid()
    child = libc.fork()
    if child == 0:
        assert pool.runs()[0].holders == (parent, os.getpid())
        assert bytes(block.buf[:4]) == b"mine"
        pool.allocate().free()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    block.free()
    assert pool.stats().processes == 1


def become_a_daemon(name):
    """Fork twice and end, as daemons do; the grandchild prints what it recovers and how many are attached."""
    pool = bp.Pool.create(64, 8, name=name)
    block = pool.allocate()
    block.buf[:2] = b"ok"
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        assert os.read(reading, 1) == b"x"
        sys.exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    await_true(lambda: pool.stats().processes == 2)  # the one between has ended
    assert pool.recover().processes == 1
    os.write(writing, b"x")
    await_true(lambda: pool.stats().processes == 1)
    assert bytes(block.buf[:2]) == b"ok"
    print(pool.recover().processes, pool.stats().processes)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
