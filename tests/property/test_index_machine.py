"""IndexPool against a plain set: the two agree after each call of any sequence."""

import struct
from array import array

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import blockpool as bp

CAPACITIES = [1, 2, 63, 64, 65, 127, 511, 512, 513, 1100, 2600]
KINDS = {
    "list": list,
    "tuple": tuple,
    "int32": lambda indices: array("i", indices),
    "int64": lambda indices: array("q", indices),
}
kinds = st.sampled_from(sorted(KINDS))
counts = st.one_of(st.integers(1, 70), st.integers(1, 2700))


def runs_of(indices):
    """Return the lengths of the runs of adjacent numbers, longest first."""
    lengths, last = [], None
    for index in sorted(indices):
        if last is not None and index == last + 1:
            lengths[-1] += 1
        else:
            lengths.append(1)
        last = index
    return sorted(lengths, reverse=True)


def fewest_runs(lengths, n):
    """Return how many of the runs, taken longest first, it takes to hold n indices."""
    taken = 0
    while n > 0:
        n -= lengths[taken]
        taken += 1
    return taken


class IndexMachine(RuleBasedStateMachine):
    """Each rule makes one call of an IndexPool and does the same to a set."""

    @initialize(capacity=st.sampled_from(CAPACITIES), full=st.booleans())
    def make(self, capacity, full):
        """Make a pool that is empty or full."""
        self.ids = bp.IndexPool(capacity)
        self.bitmap = self.ids.bitmap
        self.taken = set()
        self.allocations = self.frees = self.failures = self.peak = 0
        if full:
            self.enter(self.ids.allocate_run(capacity))

    def free_runs(self):
        """Return the lengths of the free runs, longest first."""
        return runs_of(set(range(self.ids.capacity)) - self.taken)

    def enter(self, indices):
        """Add allocated indices to the set; they must be free before, and each occur once."""
        fresh = set(indices)
        assert len(fresh) == len(indices)
        assert not fresh & self.taken
        assert 0 <= min(fresh) <= max(fresh) < self.ids.capacity
        self.taken |= fresh
        self.allocations += len(fresh)
        self.peak = max(self.peak, len(self.taken))

    def strike(self, indices):
        """Remove freed indices from the set."""
        self.taken -= set(indices)
        self.frees += len(indices)

    def some(self, data):
        """Draw some of the allocated indices, sorted or shuffled."""
        held = sorted(self.taken)
        chosen = data.draw(
            st.one_of(
                st.lists(st.sampled_from(held), unique=True, max_size=40),
                st.slices(len(held)).map(lambda part: held[part]),
                st.integers(2, 9).map(lambda step: [i for i in held if i % step]),
            )
        )
        if data.draw(st.booleans()):
            data.draw(st.randoms(use_true_random=False)).shuffle(chosen)
        return chosen

    @rule()
    def allocate(self):
        """Allocate one index, which raises PoolExhausted if none is free."""
        if len(self.taken) < self.ids.capacity:
            self.enter([self.ids.allocate()])
        else:
            with pytest.raises(bp.PoolExhausted):
                self.ids.allocate()
            self.failures += 1

    @rule(n=counts, packed=st.booleans(), kind=st.sampled_from(["", "i", "q"]))
    def allocate_many(self, n, packed, kind):
        """Allocate n indices or none; packed, they are in as few runs as possible."""
        before = self.free_runs()
        buffer = array(kind, [-9] * n) if kind else None
        try:
            if kind:
                self.ids.allocate_into(buffer, packed=packed)
                found = list(buffer)
            else:
                found = self.ids.allocate_many(n, packed=packed)
        except bp.PoolExhausted:
            assert n > sum(before)
            assert buffer is None or set(buffer) == {-9}
            self.failures += 1
        else:
            assert len(found) == n <= sum(before)
            self.enter(found)
            if packed:
                assert len(runs_of(found)) == fewest_runs(before, n)

    @rule(n=counts)
    def allocate_run(self, n):
        """Allocate a run, which raises PoolExhausted if no free run is long enough."""
        longest = max(self.free_runs(), default=0)
        if n <= longest:
            run = self.ids.allocate_run(n)
            assert (len(run), run.step) == (n, 1)
            self.enter(run)
        else:
            with pytest.raises(bp.PoolExhausted):
                self.ids.allocate_run(n)
            self.failures += 1

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def free(self, data):
        """Free one allocated index."""
        index = data.draw(st.sampled_from(sorted(self.taken)))
        self.ids.free(index)
        self.strike([index])

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), kind=kinds)
    def free_many(self, data, kind):
        """Free some allocated indices in any order, given as any kind of sequence."""
        chosen = self.some(data)
        if chosen:
            self.ids.free_many(KINDS[kind](chosen))
            self.strike(chosen)

    @rule(start=st.integers(-3, 2700), stop=st.integers(-3, 2700), step=st.integers(-70, 70))
    def free_range(self, start, stop, step):
        """Free a range, which raises an error unless all of it is allocated."""
        indices = range(start, stop, step or 1)
        inside = set(range(self.ids.capacity)).issuperset(indices)
        if self.taken.issuperset(indices):
            self.ids.free_many(indices)
            self.strike(indices)
        else:
            with pytest.raises(bp.InvalidBlock) as caught:
                self.ids.free_many(indices)
            assert caught.type is (bp.DoubleFree if inside else bp.InvalidBlock)

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), kind=kinds, fault=st.sampled_from(["free", "twice", "outside"]))
    def free_wrongly(self, data, kind, fault):
        """Free allocated indices with a wrong one among them: an error is raised and none is freed."""
        chosen = self.some(data)
        free = sorted(set(range(self.ids.capacity)) - self.taken)
        if fault == "outside":
            wrong = data.draw(st.sampled_from([-1, self.ids.capacity, -(2**31), 2**31 - 1]))
        elif fault == "twice" and chosen:
            wrong = data.draw(st.sampled_from(chosen))
        elif fault == "free" and free:
            wrong = data.draw(st.sampled_from(free))
        else:
            return
        chosen.insert(data.draw(st.integers(0, len(chosen))), wrong)
        with pytest.raises(bp.InvalidBlock, match=f"index {wrong} ") as caught:
            self.ids.free_many(KINDS[kind](chosen))
        assert caught.type is (bp.InvalidBlock if fault == "outside" else bp.DoubleFree)

    @rule(data=st.data())
    def free_one_wrongly(self, data):
        """Free an index that is not allocated, which raises InvalidBlock."""
        index = data.draw(st.integers(-2, self.ids.capacity + 2))
        if index not in self.taken:
            with pytest.raises(bp.InvalidBlock):
                self.ids.free(index)

    @invariant()
    def agree(self):
        """Compare audit, length, membership, bitmap and statistics with the set."""
        assert self.ids.check() == len(self.ids) == len(self.taken)
        capacity = self.ids.capacity
        assert {i for i in range(-2, capacity + 70) if i in self.ids} == self.taken
        words = -(-capacity // 64)
        bits = sum(1 << i for i in self.taken) | -1 << capacity
        assert self.bitmap.tobytes() == struct.pack(f"={words}Q", *(bits >> 64 * w & 2**64 - 1 for w in range(words)))
        longest, free = max(self.free_runs(), default=0), capacity - len(self.taken)
        assert self.ids.stats() == bp.IndexStats(
            capacity=capacity,
            allocated=len(self.taken),
            free=free,
            peak=self.peak,
            largest_free_run=longest,
            fragmentation=1 - longest / free if free else 0.0,
            allocations=self.allocations,
            frees=self.frees,
            failures=self.failures,
        )


TestIndexMachine = IndexMachine.TestCase
