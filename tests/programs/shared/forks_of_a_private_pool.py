"""Forks of a process with a private pool.

The arguments are a case, one of the functions here, and the arguments of that.
"""

import contextlib
import gc
import multiprocessing
import os
import sys
import threading

import blockpool as bp
from forking import await_child, in_child

KEPT = []  # to the end of the interpreter


def use_the_copy():
    """Free, allocate and write in a child, and compare what the parent has before and after."""
    pool = bp.Pool(64, 8)
    block = pool.allocate(blocks=2)
    single = pool.allocate()
    view = single.buf
    block.buf[:6] = b"parent"
    before = pool.stats(), pool.runs()

    def work():
        assert bytes(block.buf[:6]) == b"parent"
        assert (pool.stats(), [run.index for run in pool.runs()]) == (before[0], [0, 2])
        assert pool.runs()[0].holders == (os.getpid(),)
        block.buf[:6] = b"child!"
        view[:5] = b"child"
        block.free()
        try:
            single.free()
        except bp.BlockInUse:
            single.release()
        everything = pool.allocate_many(7)
        for each in everything:
            each.buf[:] = b"c" * 64
        pool.check()
        try:
            pool.allocate()
        except bp.PoolExhausted:
            pool.close()

    await_child(in_child(work))
    assert bytes(block.buf[:6]) == b"parent"
    assert bytes(view[:5]) == bytes(5)
    assert (pool.stats(), pool.runs()) == before
    pool.check()
    block.free()
    view = None
    single.free()


def use_the_original():
    """Free, allocate and write in the parent, and look at the child's copy afterwards."""
    pool = bp.Pool(64, 8)
    block = pool.allocate()
    block.buf[:3] = b"old"
    reading, writing = os.pipe()

    def work():
        assert os.read(reading, 1) == b"x"
        assert bytes(block.buf[:3]) == b"old"
        assert pool.stats().allocated == 1
        block.free()

    child = in_child(work)
    block.buf[:3] = b"new"
    block.free()
    kept = pool.allocate_many(8)
    os.write(writing, b"x")
    await_child(child)
    assert pool.stats().allocated == 8


def fork_generations():
    """Fork six generations deep, each with a copy of its own."""
    pool = bp.Pool(64, 8)

    def descend(generation):
        block = pool.allocate()
        block.buf[0] = generation
        if generation < 5:
            await_child(in_child(lambda: descend(generation + 1)))
        assert block.buf[0] == generation
        assert pool.stats().allocated == generation + 1
        block.free()
        pool.check()

    descend(0)


def fork_beside_a_waiter():
    """Fork while another thread waits for a block, and free, allocate and wait in the child."""
    pool = bp.Pool(64, 8)
    kept = pool.allocate(blocks=8)
    waits = threading.Event()
    gc.callbacks.append(lambda *_: waits.set())
    waits.clear()
    got = []
    waiter = threading.Thread(target=lambda: got.append(pool.allocate(timeout=None)))
    waiter.start()
    waits.wait(60)
    gc.callbacks.clear()

    def work():
        kept.free()
        assert pool.stats().allocated == 0
        blocks = pool.allocate_many(8)
        with contextlib.suppress(bp.PoolExhausted):
            pool.allocate(timeout=0.02)
        mine = []
        thread = threading.Thread(target=lambda: mine.append(pool.allocate(timeout=None)))
        thread.start()
        blocks.pop().free()
        thread.join(60)
        assert len(mine) == 1
        pool.check()

    for _ in range(3):
        await_child(in_child(work))
    assert not got
    kept.free()
    waiter.join(60)
    assert len(got) == 1


def count_waiters():
    """Fork beside a thread that waits for a block, and see how many are thought to wait in parent and child."""
    from bookkeeping import Bookkeeping

    pool = bp.Pool(64, 8)
    kept = pool.allocate(blocks=8)
    words = Bookkeeping(pool)
    waiter = threading.Thread(target=lambda: pool.allocate(timeout=None))
    waiter.start()
    words.await_waiting()

    def work():
        assert words.waiting == 0

    await_child(in_child(work))
    assert words.waiting == 1
    kept.free()
    waiter.join(60)


def fork_beside_threads():
    """Fork 30 times while three threads allocate and free."""
    pool = bp.Pool(64, 8)
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            block = pool.allocate()
            view = block.buf
            view[0] = 1
            del view
            block.free()

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()

    def work():
        assert pool.stats().allocated <= 3
        for block in pool.allocate_many(5):
            block.buf[0] = 2
            block.free()
        pool.check()

    for _ in range(30):
        await_child(in_child(work))
    stop.set()
    for thread in threads:
        thread.join()
    assert pool.stats().allocated == 0


def start_a_process():
    """Pass a pool, a block and a view to a Process that is started by fork."""
    pool = bp.Pool(64, 8)

    def work(pool, block, view):
        assert block.pool is pool
        view[:2] = b"ab"
        assert bytes(block.buf[:2]) == b"ab"
        del view
        pool.close()

    block = pool.allocate()
    process = multiprocessing.get_context("fork").Process(target=work, args=(pool, block, block.buf))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert bytes(block.buf[:2]) == bytes(2)
    assert pool.stats().allocated == 1


def end_like_a_program():
    """End a child by the interpreter's exit, with a live block and view."""
    pool = bp.Pool(64, 8)
    block = pool.allocate()
    view = block.buf
    KEPT.extend([pool, block, view])
    child = os.fork()
    if child == 0:
        sys.exit(0)
    await_child(child)
    view[0] = 1


def copy_a_buffer():
    """Fork with a pool over a bytearray, and write in the child."""
    memory = bytearray(512)
    mine = bp.Pool(64, buffer=memory)
    block = mine.allocate()
    block.buf[:4] = b"mine"

    def work():
        assert memory[:4] == b"mine"
        block.buf[:4] = b"your"
        assert memory[:4] == b"your"
        block.free()
        mine.close()

    await_child(in_child(work))
    assert memory[:4] == b"mine"
    assert mine.stats().allocated == 1


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
