"""Workers that are forked from one process, which holds an array.

The arguments are one of the functions here, how many workers there are, and for how many processes the pool is.
"""

import os
import random
import signal
import sys

import numpy as np

import blockpool as bp
from forking import logged

RIGHT, ZEROS, WRONG, NO_TOUCH = 10, 11, 12, -signal.SIGSEGV


def judge(array, expected):
    """Return what an array is."""
    if (array == expected).all():
        return RIGHT
    return ZEROS if not array.any() else WRONG


def fork(work):
    """Fork a worker that ends with what `work` returns."""
    child = os.fork()
    if child == 0:
        os.dup2(null, 2)
        status = 99
        try:
            status = work()
        finally:
            os._exit(status)
    return child


def without_places(workers, places):
    """Fork more workers than there are places; print how many were right, and how many could not touch the array."""
    messages = logged()
    pool = bp.Pool.create("64KiB", 8, processes=places)
    expected = np.arange(8000.0)
    array = pool.asarray(expected)
    reading, writing = os.pipe()

    def work():
        os.close(writing)
        os.read(reading, 1)  # until all were forked
        return judge(array, expected)

    children = [fork(work) for _ in range(workers)]
    os.close(writing)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes.count(RIGHT) + codes.count(NO_TOUCH) == workers, codes
    assert len(messages) == codes.count(NO_TOUCH)
    print(f"{codes.count(RIGHT)} right, {codes.count(NO_TOUCH)} refused")


def read_and_be_killed(workers, places):
    """Fork workers that read the array again and again, and kill some of them."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chosen = random.Random(seed)
    pool = bp.Pool.create(4096, 2000, processes=places)
    expected = np.arange(50_000.0)
    array, kept = pool.asarray(expected), pool.allocate_many(20)
    before = pool.stats().allocated, [(run.index, run.blocks) for run in pool.runs()]
    reading, writing = os.pipe()
    waiting, telling = os.pipe()

    def work():
        os.close(writing)
        if judge(array, expected) != RIGHT or any(not pool.allocate() for _ in range(3)):
            return WRONG
        mine = pool.asarray(expected[:1000])
        os.write(telling, b"x")
        os.read(reading, 1)  # until some were killed
        if judge(mine, expected[:1000]) != RIGHT:
            return WRONG
        return judge(array, expected)

    children = [fork(work) for _ in range(workers)]
    told = 0
    while told < workers:
        told += len(os.read(waiting, 1000))
    assert pool.stats().processes == 1 + workers
    assert all(set(children) < set(run.holders) for run in pool.runs()[: len(before[1])])
    killed = chosen.sample(children, workers // 3)
    for child in killed:
        os.kill(child, signal.SIGKILL)
    for child in killed:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert pool.recover().processes == len(killed)
    audit, living = pool.check(), workers - len(killed)
    assert pool.stats().processes == 1 + living
    assert audit.allocated == before[0] + 2 * living, audit  # each has an array of two blocks
    os.close(writing)
    for child in set(children) - set(killed):
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == RIGHT
    pool.recover()
    assert pool.check().in_transit == 0
    assert (pool.stats().allocated, [(run.index, run.blocks) for run in pool.runs()]) == before
    assert {run.holders for run in pool.runs()} == {(os.getpid(),)}
    assert judge(array, expected) == RIGHT
    kept = array = None
    assert pool.stats().allocated == 0


def use_places_again(workers, places):
    """Fork one worker after the other, each of which is killed while it holds everything that is free."""
    pool = bp.Pool.create(4096, 64, processes=places)
    expected = np.arange(5000.0)
    array = pool.asarray(expected)
    reading, writing = os.pipe()

    def work():
        if judge(array, expected) != RIGHT:
            return WRONG
        kept = [pool.allocate(timeout=60) for _ in range(10)]
        os.write(writing, b"x")
        signal.pause()
        return len(kept)

    for _ in range(workers):
        child = fork(work)
        assert os.read(reading, 1) == b"x"
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert pool.stats().processes == 1
    pool.recover()
    assert pool.check().allocated == pool.runs()[0].blocks == 10


null = os.open(os.devnull, os.O_WRONLY)
globals()[sys.argv[1]](*map(int, sys.argv[2:]))
