"""Many threads in one pool for a while: no thread finds another's bytes, and in the end every block is free.

BLOCKPOOL_STRESS_SECONDS says how long each case runs (1 without it), BLOCKPOOL_STRESS_SEED repeats one.
"""

import contextlib
import os
import random
import threading
import time

import numpy as np
import pytest

import blockpool as bp

SECONDS = float(os.environ.get("BLOCKPOOL_STRESS_SECONDS", "1"))


class Worker(threading.Thread):
    """Allocates in every way, stamps its blocks, and looks at the stamps again before it gives a block back."""

    def __init__(self, pool, number, seed, until):
        super().__init__()
        self.pool, self.number, self.until = pool, number, until
        self.random = random.Random(seed * 1000 + number)
        self.held = []
        self.error = None
        self.steps = self.runs = 0

    def run(self):
        """Work until the time is over, then give back the rest."""
        try:
            while time.monotonic() < self.until:
                for _ in range(50):
                    self.step()
            while self.held:
                self.give_back()
        except BaseException as error:
            self.error = error
            raise

    def step(self):
        """Take or give back, at random."""
        self.steps += 1
        choice = self.random.random()
        if choice < 0.5 and len(self.held) < 40:
            with contextlib.suppress(bp.PoolExhausted):
                self.take(choice)
        elif self.held:
            self.give_back()

    def take(self, choice):
        """Allocate in one of the ways, and stamp it."""
        timeout = 0.001 if choice < 0.02 else 0
        if choice < 0.25:
            blocks = [self.pool.allocate(timeout=timeout)]
        elif choice < 0.35:
            blocks = [self.pool.allocate(blocks=self.random.choice((2, 3, 8, 63, 65, 130)), timeout=timeout)]
        elif choice < 0.4:
            blocks = [self.pool.allocate(nbytes=self.random.randrange(1, 600), timeout=timeout)]
        else:
            blocks = self.pool.allocate_many(self.random.randrange(1, 12), timeout=timeout)
        for block in blocks:
            self.runs += 1
            stamp = (self.number << 40 | self.runs).to_bytes(8, "little")
            view = block.buf
            filled = (stamp * (len(view) // 8 + 1))[: len(view)]
            view[:] = filled
            self.held.append((block, filled))

    def give_back(self):
        """Look at the stamp, and end a block in one of the ways."""
        block, filled = self.held.pop(self.random.randrange(len(self.held)))
        view = block.buf
        assert bytes(view) == filled, f"another thread wrote to block {block.index}"
        way = self.random.randrange(6)
        if way == 0:
            with pytest.raises(bp.BlockInUse):
                block.free()
        del view
        if way <= 1:
            block.free()
            with pytest.raises(bp.DoubleFree):
                block.free()
        elif way == 2:
            array = np.frombuffer(block.buf, np.uint8)
            block.release()
            assert bytes(array) == filled
        elif way == 3:
            twin = block.readonly()
            block.release()
            assert bytes(twin.buf) == filled
            twin.free()
        elif way == 4:
            with block:
                pass
        # else: it just goes


@pytest.mark.stress
@pytest.mark.usefixtures("switch_often")
@pytest.mark.parametrize("blocks", [64, 700, 70_000])
def test_threads_share_a_pool(blocks):
    """Blocks of busy threads keep their stamps, audits find nothing meanwhile, and in the end the pool is empty."""
    seed = int(os.environ.get("BLOCKPOOL_STRESS_SEED", random.randrange(1 << 30)))
    print(f"BLOCKPOOL_STRESS_SEED={seed}")  # noqa: T201 - pytest shows it when the test fails
    pool = bp.Pool(64, blocks)
    until = time.monotonic() + SECONDS
    workers = [Worker(pool, number, seed, until) for number in range(6)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        pool.check()
        stats = pool.stats()
        assert stats.allocated + stats.free == blocks
        assert stats.largest_free_run <= blocks
        time.sleep(0.02)
    for worker in workers:
        worker.join()
    assert [worker.error for worker in workers] == [None] * 6
    stats = pool.stats()
    assert (stats.allocated, stats.requested_bytes, stats.largest_free_run) == (0, 0, blocks)
    assert stats.allocations == stats.frees == sum(worker.runs for worker in workers)
    assert stats.peak <= blocks
    assert pool.check().runs == 0
    assert pool.allocate(blocks=blocks).index == 0
