"""Forks with hooks around them, registered before or after those of blockpool.

When blockpool is imported matters here, so each case imports it itself. The arguments are a case, one of the functions
here, and the arguments of that.
"""

import asyncio
import contextlib
import gc
import itertools
import os
import signal
import sys
import threading
import time

from forking import await_child, in_child, steps


def allocate():
    """Allocate in hooks before and after the fork, which run outside those of blockpool."""
    import blockpool as bp

    made, at = {}, []

    def hook(where):
        def run():
            if at:
                made.setdefault(where, []).append(at[0].allocate())

        return run

    names = ("before", "after_in_parent", "after_in_child")
    os.register_at_fork(**{name: hook(name) for name in names})
    pool = bp.Pool.create(64, 32)
    at.append(pool)

    def work():
        assert {name: len(blocks) for name, blocks in made.items()} == {"before": 1, "after_in_child": 1}
        assert [os.getpid() in run.holders for run in pool.runs() if run.index == made["before"][0].index] == [True]
        made.clear()

    await_child(in_child(work))
    assert {name: len(blocks) for name, blocks in made.items()} == {"before": 1, "after_in_parent": 1}
    made["before"].clear()
    pool.recover()
    assert pool.stats().allocated == 1
    made.clear()
    pool.check()


def allocate_inside():
    """Allocate in a hook that runs between those of blockpool and the fork."""
    at, made = [], []
    os.register_at_fork(before=lambda: made.extend([each.allocate() for each in at]))
    import blockpool as bp

    at.append(bp.Pool.create(64, 8))
    pool = at[0]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reading, 1)
        made[0].buf[:3] = b"abc"
        assert [run.holders for run in pool.runs() if run.index == made[0].index] == [(os.getpid(),)]
        made.clear()
        assert [run for run in pool.runs() if os.getpid() in run.holders] == []
        os._exit(0)
    made.clear()
    kept = pool.allocate()
    assert kept.index == 1
    os.write(writing, b"x")
    assert os.waitpid(child, 0)[1] == 0
    assert not any(kept.buf)
    kept.free()
    pool.recover()
    assert pool.check().allocated == 0


def view_beside_a_free():
    """Take a view of a block while a free of that block waits for another thread's fork."""
    inside, forks = threading.Event(), threading.Event()

    def hook():  # registered before blockpool's own, so it runs after them: within the fork
        if forks.is_set():
            inside.set()
            time.sleep(0.3)

    os.register_at_fork(before=hook)
    import blockpool as bp

    pool = bp.Pool.create(64, 8)
    block = pool.allocate()

    def fork():
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    def free():
        with contextlib.suppress(bp.BlockInUse):  # the child had its share
            block.free()

    def look():
        with contextlib.suppress(bp.InvalidBlock):
            block.buf

    forks.set()
    threads = [threading.Thread(target=target) for target in (fork, free, look)]
    threads[0].start()
    assert inside.wait(60)
    for thread in threads[1:]:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    print("done")


def drop(when, order):
    """Drop blocks in the hook `when`, registered before (`order` early) or after (late) those of blockpool."""
    blocks, cycles, told = [], [], []

    def hook():
        if told:
            blocks.clear()
            cycles.clear()
            gc.collect()

    if order == "early":
        os.register_at_fork(**{when: hook})
    import blockpool as bp

    if order == "late":
        os.register_at_fork(**{when: hook})

    pool = bp.Pool.create(64, 32)
    other = bp.Pool.create(64, 32)
    for i in range(8):
        block = (pool if i % 2 else other).allocate(blocks=1 + i % 3)
        block.buf[:4] = b"data"
        blocks.append(block)
        if i % 4 == 3:
            blocks.append(bp.redeem(block.handle))
        cycle = [(pool if i % 2 else other).allocate()]
        cycle.append(cycle)
        cycles.append(cycle)
    del block, cycle
    told.append(True)
    parent, (await_parent, tell_child) = os.getpid(), steps()

    def drop_all():
        blocks.clear()
        cycles.clear()
        gc.collect()

    def work():
        await_parent()
        assert all(bytes(block.buf[:4]) == b"data" for block in blocks)
        assert len(blocks) == (0 if when in {"before", "after_in_child"} else 10)
        for each in (pool, other):
            held = sum(os.getpid() in run.holders for run in each.runs())
            assert held == (8 if blocks else 0), each.runs()
        drop_all()
        assert not any(os.getpid() in run.holders for each in (pool, other) for run in each.runs())

    child = in_child(work)
    fill = [each.allocate_many(each.stats().free) for each in (pool, other)]
    for block in itertools.chain.from_iterable(fill):
        block.buf[:4] = b"fill"
    del block
    fill.clear()
    tell_child()
    await_child(child)
    for each in (pool, other):
        each.recover()
        assert sum(parent in run.holders for run in each.runs()) == (0 if not blocks else 8)
    drop_all()
    assert (pool.check().allocated, other.check().allocated) == (0, 0)


def hold_the_locks_of_the_package(first):
    """Fork beside threads that hold the package's locks, one inside the other; `first` is the module imported first."""
    import blockpool as bp

    if first == "async":
        import blockpool._async
    pool = bp.Pool(64, 8, debug=True)
    os.environ["BLOCKPOOL_DEBUG"] = "1"
    import blockpool.multiprocessing
    from blockpool import classic

    classic.initialize_memory_allocator(1024, 32)
    stop = False

    async def one():
        while not stop:
            block = await pool.allocate_async()
            await asyncio.sleep(0)
            del block

    async def many():
        await asyncio.gather(*[one() for _ in range(20)])

    def classics():
        while not stop:
            classic.deallocate_memory_blocks(classic.allocate_memory_blocks(2))

    threads = [
        threading.Thread(target=asyncio.run, args=(many(),), daemon=True),
        threading.Thread(target=classics, daemon=True),
    ]
    for thread in threads:
        thread.start()

    def work():
        signal.alarm(60)
        other = bp.Pool(64, 8, debug=True)
        other.allocate().free()
        classic.allocate_memory_blocks(1)
        blockpool.multiprocessing.uninstall()

        async def take():
            (await other.allocate_async()).free()

        asyncio.run(take())

    for _ in range(60):
        await_child(in_child(work))
    stop = True
    for thread in threads:
        thread.join()


def drop_before_the_hooks():
    """Fork beside a thread that keeps a block for itself, which the child drops, and one that holds a lock for that."""
    import blockpool as bp
    from blockpool._forks import debug_lock

    pool = bp.Pool(64, 8, debug=True)
    kept, ready, stop = threading.local(), threading.Barrier(3), threading.Event()

    def keep():
        kept.block = pool.allocate()
        ready.wait()
        stop.wait()

    def hold():
        with debug_lock:
            ready.wait()
            stop.wait()

    threads = [threading.Thread(target=each, daemon=True) for each in (keep, hold)]
    for thread in threads:
        thread.start()
    ready.wait()

    def work():
        assert pool.stats().allocated == 0
        pool.allocate().free()

    child = in_child(work)
    hangs = threading.Timer(60, os.kill, (child, signal.SIGKILL))
    hangs.start()
    await_child(child)
    hangs.cancel()
    stop.set()
    for thread in threads:
        thread.join()


def drop_under_a_lock():
    """Drop blocks under a lock that a hook, registered before those of blockpool, takes for each fork."""
    lock = threading.Lock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    import blockpool as bp

    pool = bp.Pool.create(4096, 64)
    stop = False

    def churn():
        while not stop:
            with lock:
                block = pool.allocate()
                time.sleep(0)
                del block

    thread = threading.Thread(target=churn, daemon=True)
    thread.start()

    def work():
        pool.allocate().free()

    for _ in range(300):
        await_child(in_child(work))
    stop = True
    thread.join()
    pool.recover()
    assert pool.check().allocated == 0


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
