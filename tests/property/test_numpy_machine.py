"""Arrays made in and out of `numpy_allocator()` against plain lists: equal after each step, and in the right memory."""

import itertools

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import blockpool as bp

BLOCK, BLOCKS = 64, 70
# Up to somewhat more than the whole pool; half a block, a block and the whole pool are likely.
sizes = st.integers(0, (BLOCKS + 10) * BLOCK) | st.sampled_from(
    [BLOCK // 2 - 1, BLOCK // 2, BLOCK, BLOCK + 1, BLOCKS * BLOCK, BLOCKS * BLOCK + 1]
)
values = st.integers(1, 255)


class Arrays(RuleBasedStateMachine):
    """Arrays are made, copied, resized and dropped while the context is entered and left, until the pool is closed."""

    def __init__(self):
        super().__init__()
        self.pool = bp.Pool(BLOCK, BLOCKS, debug=False)
        self.start = self.pool.address
        self.entered = []
        self.numbers = itertools.count()
        self.arrays, self.expected = {}, {}

    def keep(self, array, expected):
        """Keep an array, and the values that it should have."""
        number = next(self.numbers)
        self.arrays[number], self.expected[number] = array, expected

    def is_in(self, array):
        """Say whether an array begins in the pool's memory, also after the pool is closed."""
        return 0 <= array.ctypes.data - self.start < BLOCKS * BLOCK

    def check_place(self, array, size):
        """Check that a new array is not in the pool if it must not be."""
        if not self.entered or size < BLOCK // 2 or size > BLOCKS * BLOCK or self.pool.closed:
            assert not self.is_in(array)

    @precondition(lambda self: not self.pool.closed)
    @rule()
    def enter(self):
        """Enter the context once more."""
        allocator = self.pool.numpy_allocator()
        allocator.__enter__()
        self.entered.append(allocator)

    @precondition(lambda self: self.entered)
    @rule()
    def leave(self):
        """Leave the innermost context."""
        self.entered.pop().__exit__(None, None, None)

    @rule(size=sizes, value=values)
    def full(self, size, value):
        """Make an array of one value, which must be in the pool if there is room for it."""
        room = self.entered and not self.pool.closed and self.pool.stats().largest_free_run
        array = np.empty(size, "u1")
        if room and BLOCK // 2 <= size <= room * BLOCK:
            assert self.is_in(array)
        self.check_place(array, size)
        array[:] = value
        self.keep(array, [value] * size)

    @rule(size=sizes)
    def zeros(self, size):
        """Make an array of zeros."""
        array = np.zeros(size, "u1")
        self.check_place(array, size)
        self.keep(array, [0] * size)

    @precondition(lambda self: self.arrays)
    @rule(data=st.data())
    def copy(self, data):
        """Copy one of the arrays."""
        number = data.draw(st.sampled_from(sorted(self.arrays)))
        self.keep(self.arrays[number].copy(), list(self.expected[number]))

    @precondition(lambda self: self.arrays)
    @rule(data=st.data(), size=sizes)
    def resize(self, data, size):
        """Resize one of the arrays: it is cut off, or filled up with zeros."""
        number = data.draw(st.sampled_from(sorted(self.arrays)))
        old = self.expected[number]
        self.arrays[number].resize(size, refcheck=False)
        self.expected[number] = old[:size] + [0] * (size - len(old))

    @precondition(lambda self: self.arrays)
    @rule(data=st.data())
    def drop(self, data):
        """Drop one of the arrays."""
        number = data.draw(st.sampled_from(sorted(self.arrays)))
        del self.arrays[number], self.expected[number]

    @precondition(lambda self: len(self.arrays) > 5)
    @rule()
    def close(self):
        """Close the pool while there are arrays."""
        self.pool.close()

    @invariant()
    def arrays_are_as_they_should(self):
        """Compare each array with the values that it should have."""
        for number, array in self.arrays.items():
            assert array.tolist() == self.expected[number]

    @invariant()
    def the_books_are_right(self):
        """Compare the pool's runs and statistics with the arrays; each array fills at least half of its run."""
        if self.pool.closed:
            return
        stats, audit = self.pool.stats(), self.pool.check()
        inside = {(a.ctypes.data - self.start) // BLOCK: a.size for a in self.arrays.values() if self.is_in(a)}
        runs = {run.index: run.blocks for run in self.pool.runs()}
        assert inside.keys() == runs.keys()
        assert all(inside[index] <= runs[index] * BLOCK for index in runs)
        assert all(inside[index] * 2 >= runs[index] * BLOCK for index in runs)
        assert stats.allocations - stats.frees == audit.runs == len(runs)
        assert stats.requested_bytes == stats.allocated_bytes == sum(runs.values()) * BLOCK

    def teardown(self):
        """Leave all contexts, drop all arrays, and check that the pool is empty."""
        while self.entered:
            self.leave()
        self.arrays.clear()
        if not self.pool.closed:
            assert self.pool.check().allocated == 0


TestArrays = Arrays.TestCase
