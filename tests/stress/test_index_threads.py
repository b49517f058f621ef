"""Threads that race for the indices of an IndexPool: no index has two owners, and in the end all are free."""

import random
from array import array
from contextlib import suppress
from functools import partial

import pytest

import blockpool as bp
from threads import outcomes


class Worker:
    """Allocates and frees at random, and marks its indices as its own in an array that all share."""

    def __init__(self, ids, owners, number, seed):
        self.ids, self.owners, self.number = ids, owners, number
        self.chance = random.Random(seed + number)
        self.held = []

    def get(self, n):
        """Allocate about n indices in a random way."""
        match self.chance.randrange(5):
            case 0:
                return [self.ids.allocate()]
            case 1:
                return self.ids.allocate_many(n)
            case 2:
                got = array("i", [0] * n)
                self.ids.allocate_into(got)
                return got
            case 3:
                return self.ids.allocate_run(min(n, 200))
            case _:
                return self.ids.allocate_many(min(n, 300), packed=True)

    def hand_over(self, indices, before, after):
        """Change the owner of each index, which must be allocated."""
        for index in indices:
            assert self.owners[index] == before
            assert index in self.ids
            self.owners[index] = after

    def give_back(self):
        """Free one of the batches it holds."""
        self.chance.shuffle(self.held)
        back = self.held.pop()
        self.hand_over(back, self.number, 0)
        self.ids.free_many(back)

    def work(self):
        """Allocate and free many times, and in the end free everything."""
        for _ in range(150):
            with suppress(bp.PoolExhausted):
                got = self.get(self.chance.choice((1, 5, 300, 1500, 5000)))
                self.hand_over(got, 0, self.number)
                self.held.append(got)
            while sum(map(len, self.held)) > 16_000 or (self.held and self.chance.random() < 0.3):
                self.give_back()
        while self.held:
            self.give_back()


@pytest.mark.stress
def test_threads_own_what_they_got():
    """No index has two owners at once, whichever calls got it, and in the end all are free."""
    ids = bp.IndexPool(60_000)
    owners = bytearray(60_000)
    seed = random.randrange(2**32)
    workers = [Worker(ids, owners, number, seed) for number in (1, 2, 3, 4)]
    assert outcomes(*[worker.work for worker in workers]) == [None] * 4, f"seed {seed}"
    assert ids.check() == len(ids) == 0
    stats = ids.stats()
    assert stats.allocations == stats.frees
    assert stats.peak <= 60_000


@pytest.mark.stress
def test_threads_that_want_more_than_there_is_for_both():
    """Of two threads that ask for 60 % of the indices at once, one gets all of them and the other none."""
    ids = bp.IndexPool(1_000_000)
    buffers = [array("i", [-1]) * 600_000 for _ in range(2)]
    for _ in range(10):
        found = outcomes(*[partial(ids.allocate_into, buffer) for buffer in buffers])
        assert {type(error) for error in found} == {type(None), bp.PoolExhausted}
        assert ids.check() == 600_000
        ids.free_many(buffers[found.index(None)])
        assert ids.check() == 0


@pytest.mark.stress
@pytest.mark.usefixtures("switch_often")
def test_the_peak_is_at_most_the_capacity():
    """While threads free and allocate runs of a third of the pool, the peak never counts an index twice."""
    ids = bp.IndexPool(60_000)

    def allocate_and_free():
        for _ in range(3000):
            with suppress(bp.PoolExhausted):
                ids.free_many(ids.allocate_run(20_000))

    assert outcomes(*[allocate_and_free] * 6) == [None] * 6
    assert 20_000 <= ids.stats().peak <= 60_000
