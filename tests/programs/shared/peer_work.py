"""What tests tell peers to do with shared pools when it takes more than a few lines; see tests/programs/peer.py."""

import gc
import os
import pickle
import random
import sys
import threading
import time

import blockpool as bp


class AtWork:
    """A thread that calls a function again and again until it is stopped."""

    def __init__(self, work):
        self.work = work
        self.rounds = 0
        self.stopped = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        """Call the function, and count the calls."""
        while not self.stopped:
            self.work()
            self.rounds += 1

    def await_rounds(self, count):
        """Wait for so many rounds more."""
        before = self.rounds
        while self.rounds < before + count:
            time.sleep(0.001)

    def stop(self):
        """End the thread, and return how many rounds there were."""
        self.stopped = True
        self.thread.join()
        return self.rounds


def use_and_release(pool):
    """Allocate a block, waiting if need be, and write into it."""
    with pool.allocate(timeout=60) as block:
        block.buf[0] = 1


def allocate_and_free(pool):
    """Allocate a run and a single block, and give them back in the two ways there are."""
    pool.allocate(blocks=3).free()
    pool.allocate().release()


def use_in_threads(pool):
    """Allocate and write twenty times in each of four threads."""

    def work():
        for _ in range(20):
            use_and_release(pool)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def create_at(when, name):
    """Create a pool at that time; return whether this process did, and the pool if so."""
    while time.time() < when:
        pass
    try:
        return True, bp.Pool.create(64, 8, name=name)
    except bp.PoolExists:
        return False, None


def find_foreign_bytes(name):
    """Allocate, fill, pass on and free in three threads; return the rounds in which a block had others' bytes."""
    pool = bp.Pool.attach(name)
    wrong = []

    def work(mark):
        chosen = random.Random(mark)
        for i in range(150):
            block = pool.allocate(blocks=chosen.randrange(1, 4), timeout=60)
            view = block.buf
            view[:] = bytes([mark]) * len(view)
            if i % 3 == 0:
                again = pickle.loads(pickle.dumps(block))
                block.release()
                block = again
            if bytes(view) != bytes([mark]) * len(view):
                wrong.append(i)
            del view
            if i % 2:
                block.free()
            else:
                block.release()

    threads = [threading.Thread(target=work, args=(os.getpid() % 100 + n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def work_until_killed(name, handles):
    """Use the pool in two threads in many ways, and redeem these handles."""
    pool = bp.Pool.attach(name)

    def work():
        while True:
            try:
                block = pool.allocate(blocks=1 + os.getpid() % 3, timeout=0.01)
            except bp.PoolExhausted:
                continue
            block.buf[:8] = b"whatever"
            twice = pickle.loads(pickle.dumps(block))
            for text in handles:
                bp.redeem(text).release()
            block.release()
            twice.readonly()
            pool.check()

    threading.Thread(target=work, daemon=True).start()
    work()


def count_stale(handles):
    """Return how many of these handles are stale."""
    stale = 0
    for handle in handles:
        try:
            bp.redeem(handle)
        except bp.StaleHandle:
            stale += 1
    return stale


class Redeemer(AtWork):
    """A thread that redeems the newest of the handles in `seen` all the time; `outcomes` counts what came of it.

    `seen` has pairs of a handle and the bytes with which its block begins.
    """

    def __init__(self):
        self.seen = []
        self.outcomes = {"stale": 0, "right": 0, "WRONG": 0}
        super().__init__(self.redeem_the_newest)

    def redeem_the_newest(self):
        """Redeem the twenty newest."""
        for text, expected in list(self.seen[-20:]):
            self.outcomes[self.redeem(text, expected)] += 1

    @staticmethod
    def redeem(text, expected):
        """Redeem one handle and let go of the block; return the outcome."""
        try:
            block = bp.redeem(text)
        except bp.StaleHandle:
            return "stale"
        return "right" if bytes(block.buf[:8]) == expected else "WRONG"


def use_garbage(name):
    """Do all that can be done with a pool whose bookkeeping is garbage; only typed errors are ignored."""

    def attempt(call):
        try:
            return call()
        except (bp.BlockPoolError, OSError):
            return None

    pool = attempt(lambda: bp.Pool.attach(name))
    if pool is not None:
        for call in (
            pool.check,
            pool.stats,
            pool.runs,
            pool.recover,
            pool.allocate,
            lambda: pool.allocate(blocks=3),
            lambda: pool.allocate_many(2),
            lambda: pool.allocate(timeout=0.01),
            lambda: pool.recover(tickets_older_than=0),
            lambda: pickle.loads(pickle.dumps(pool.allocate())),
            lambda: pool.allocate().free(),
            lambda: pool.allocate(blocks=2).share().index,
            lambda: [bp.redeem(f"blockpool-handle:{'0' * 32}:{i}:1:1:{name}") for i in range(16)],
        ):
            attempt(call)
        pool.close()
    gc.collect()
    bp.sweep()
    sys.unraisablehook = lambda _: None
