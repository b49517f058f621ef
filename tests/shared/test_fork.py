"""fork: a child has a copy of the pool and of all that is allocated in it; nothing it does reaches the parent."""

import inspect

import pytest


@pytest.fixture
def forking(forking):
    """Have such programs begin with a pool."""
    return forking + "pool = bp.Pool(64, 8)\n"


def test_a_child_has_a_copy(run_forking):
    """The child reads what the parent wrote, then frees, allocates and writes; the parent sees nothing of it."""
    run_forking("""
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
        del view
        single.free()
    """)


def test_a_parent_goes_on_without_its_child(run_forking):
    """What the parent frees and writes after the fork, the child does not see."""
    run_forking("""
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
    """)


def test_a_grandchild(run_forking):
    """The same at every generation."""
    run_forking("""
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
    """)


def test_a_fork_while_another_thread_waits(run_forking):
    """The waiting thread does not exist in the child: there, freeing, allocating and waiting work."""
    run_forking("""
        kept = pool.allocate(blocks=8)
        waits = threading.Event()
        gc.callbacks.append(lambda phase, info: waits.set())
        waits.clear()
        got = []
        waiter = threading.Thread(target=lambda: got.append(pool.allocate(timeout=None)))
        waiter.start()
        waits.wait(30)
        gc.callbacks.clear()

        def work():
            kept.free()
            assert pool.stats().allocated == 0
            blocks = pool.allocate_many(8)
            try:
                pool.allocate(timeout=0.02)
            except bp.PoolExhausted:
                pass
            mine = []
            thread = threading.Thread(target=lambda: mine.append(pool.allocate(timeout=None)))
            thread.start()
            blocks.pop().free()
            thread.join(30)
            assert len(mine) == 1
            pool.check()

        for _ in range(3):
            await_child(in_child(work))
        assert not got
        kept.free()
        waiter.join(30)
        assert len(got) == 1
    """)


def test_nobody_is_thought_to_wait_in_the_child(run_python, bookkeeping, forking):
    """A child begins without waiters, so freeing there makes no needless system call."""
    imports = """
import ctypes, struct, time
from contextlib import contextmanager
from pathlib import Path
import numpy as np
"""
    body = """
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
waiter.join(30)
"""
    run_python(imports + inspect.getsource(bookkeeping) + forking + body)


def test_forks_while_other_threads_allocate(run_forking):
    """A fork in the middle of other threads' calls leaves a child that can use its copy."""
    run_forking("""
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
    """)


def test_multiprocessing_by_fork(run_forking):
    """A Process started by fork gets blocks and views as arguments, as copies."""
    run_forking("""
        import multiprocessing

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
    """)


def test_a_child_that_ends_like_a_program(run_forking):
    """A child that runs the interpreter's exit, with live blocks and views, ends well."""
    run_forking("""
        block = pool.allocate()
        view = block.buf
        child = os.fork()
        if child == 0:
            sys.exit(0)
        await_child(child)
        view[0] = 1
    """)


def test_the_callers_memory_in_a_child(run_forking):
    """A pool in a bytearray is copied with it."""
    run_forking("""
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
    """)
