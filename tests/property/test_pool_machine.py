"""A pool against a plain `set` of blocks: any sequence of calls, with everything compared after each of them."""

import os

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

import blockpool as bp

BLOCK_SIZE = 16


class Run:
    """What the model knows of an allocated run: its blocks, its content, and how many users it has."""

    def __init__(self, index, blocks, nbytes, stamp):
        self.index, self.blocks, self.nbytes, self.stamp = index, blocks, nbytes, stamp
        self.users = 0
        self.indices = range(index, index + blocks)


class User:
    """A Block or a view of a run: one of its users."""

    def __init__(self, run, it):
        self.run, self.it = run, it
        run.users += 1


VIEWS = [
    lambda block: block.buf,
    lambda block: block.buf[1:][:3],
    lambda block: block.buf.obj,
    lambda block: memoryview(block.buf).toreadonly(),
    lambda block: np.frombuffer(block.buf, np.uint8),
    lambda block: np.ndarray((1,), np.uint8, buffer=block.buf),
]


class PoolMachine(RuleBasedStateMachine):
    """Blocks and views are in bundles; finished blocks move to bundles in which all calls must raise errors."""

    blocks = Bundle("blocks")
    views = Bundle("views")
    freed = Bundle("freed")
    released = Bundle("released")

    @initialize(blocks=st.sampled_from([1, 3, 16, 63, 64, 65, 130, 512, 600]), lend=st.booleans())
    def make(self, blocks, lend):
        """Make a pool of its own memory or of a buffer."""
        if lend:
            self.pool = bp.Pool(BLOCK_SIZE, buffer=bytearray(blocks * BLOCK_SIZE))
        else:
            self.pool = bp.Pool(BLOCK_SIZE, blocks, debug=False)
        self.size = blocks
        self.taken = set()
        self.runs = set()
        self.peak = self.allocations = self.frees = self.failures = 0

    def longest(self):
        """Return the length of the longest stretch of free blocks by looking at each block."""
        best = current = 0
        for index in range(self.size):
            current = 0 if index in self.taken else current + 1
            best = max(best, current)
        return best

    def took(self, block):
        """Enter a block that the pool gave, all blocks of which must have been free; fill every other one."""
        run = Run(block.index, block.blocks, block.nbytes, (self.allocations * 7 + 1) % 256)
        assert 0 <= run.index <= run.index + run.blocks <= self.size
        assert self.taken.isdisjoint(run.indices)
        self.taken.update(run.indices)
        self.runs.add(run)
        self.allocations += 1
        self.peak = max(self.peak, len(self.taken))
        user = User(run, block)
        if self.allocations % 2:
            block.buf[:] = bytes([run.stamp]) * run.nbytes
        else:
            run.stamp = None  # leave it without a view until a rule takes one
        return user

    def drop(self, user):
        """Drop a user of a run; the run is free when its last user is gone."""
        user.it = None
        run = user.run
        run.users -= 1
        if not run.users:
            self.taken.difference_update(run.indices)
            self.runs.remove(run)
            self.frees += 1

    def request(self, there_is_room, allocate):
        """Allocate, which must succeed if there is room and raise PoolExhausted otherwise."""
        if there_is_room:
            return allocate()
        with pytest.raises(bp.PoolExhausted):
            allocate()
        self.failures += 1
        return None

    @rule(target=blocks)
    def allocate(self):
        """Allocate a block."""
        block = self.request(len(self.taken) < self.size, self.pool.allocate)
        return multiple() if block is None else self.took(block)

    @rule(target=blocks, n=st.integers(1, 9) | st.integers(1, 700))
    def allocate_run(self, n):
        """Allocate a run of n blocks."""
        block = self.request(n <= self.longest(), lambda: self.pool.allocate(blocks=n))
        if block is None:
            return multiple()
        assert (block.blocks, block.nbytes) == (n, n * BLOCK_SIZE)
        return self.took(block)

    @rule(target=blocks, nbytes=st.integers(1, 5 * BLOCK_SIZE) | st.integers(1, 700 * BLOCK_SIZE))
    def allocate_bytes(self, nbytes):
        """Allocate a run for some number of bytes."""
        n = -(-nbytes // BLOCK_SIZE)
        block = self.request(n <= self.longest(), lambda: self.pool.allocate(nbytes=nbytes))
        if block is None:
            return multiple()
        assert (block.blocks, block.nbytes) == (n, nbytes)
        return self.took(block)

    @rule(target=blocks, n=st.integers(1, 6) | st.integers(1, 700))
    def allocate_many(self, n):
        """Allocate n single blocks."""
        many = self.request(n <= self.size - len(self.taken), lambda: self.pool.allocate_many(n))
        if many is None:
            return multiple()
        assert [block.blocks for block in many] == [1] * n
        return multiple(*[self.took(block) for block in many])

    @rule(target=views, block=blocks, make=st.sampled_from(VIEWS))
    def take_view(self, block, make):
        """Make a view of a block."""
        return User(block.run, make(block.it))

    @rule(target=blocks, block=blocks)
    def readonly(self, block):
        """Make a read-only Block of the same run."""
        twin = block.it.readonly()
        assert (twin.index, twin.blocks, twin.nbytes) == (
            block.it.index,
            block.it.blocks,
            block.it.nbytes,
        )
        assert twin.buf.readonly
        return User(block.run, twin)

    @rule(block=blocks, byte=st.integers(0, 255))
    def write(self, block, byte):
        """Write to a block, which raises TypeError if it is read-only."""
        view = block.it.buf
        if view.readonly:
            with pytest.raises(TypeError):
                view[0] = byte
        else:
            view[:] = bytes([byte]) * block.run.nbytes
            block.run.stamp = byte

    @rule(view=consumes(views))
    def drop_view(self, view):
        """Drop a view."""
        self.drop(view)

    @rule(block=consumes(blocks))
    def drop_block(self, block):
        """Drop a Block without a call."""
        self.drop(block)

    @rule(block=blocks)
    def free_in_use(self, block):
        """Free a block that has other users, which raises BlockInUse."""
        if block.run.users > 1:
            with pytest.raises(bp.BlockInUse):
                block.it.free()

    @rule(target=freed, block=consumes(blocks))
    def free_or_release(self, block):
        """Free a block that has no other users, or release it."""
        finished = block.it
        if block.run.users == 1:
            finished.free()
            self.drop(block)
            return finished
        finished.release()
        self.drop(block)
        return multiple()

    @rule(target=released, block=consumes(blocks), way=st.sampled_from(["release", "with"]))
    def release(self, block, way):
        """Release a block by a call or by a `with`."""
        finished = block.it
        block.it = None
        if way == "release":
            finished.release()
        else:
            with finished:
                pass
        self.drop(block)
        return finished

    @rule(block=freed)
    def free_again(self, block):
        """Free a freed block, which raises DoubleFree, and release it, which does nothing."""
        with pytest.raises(bp.DoubleFree):
            block.free()
        block.release()

    @rule(block=released)
    def free_after_release(self, block):
        """Free a released block, which raises InvalidBlock, and release it again, which does nothing."""
        with pytest.raises(bp.InvalidBlock) as caught:
            block.free()
        assert type(caught.value) is bp.InvalidBlock
        block.release()

    @rule(block=st.one_of(freed, released))
    def use_after_the_end(self, block):
        """Use a freed or released block, which raises InvalidBlock."""
        for use in (lambda: block.buf, lambda: block.address, block.readonly, block.__enter__):
            with pytest.raises(bp.InvalidBlock):
                use()

    @rule(block=blocks)
    def read(self, block):
        """Read a block, which has the bytes that were written last."""
        if block.run.stamp is not None:
            assert bytes(block.it.buf) == bytes([block.run.stamp]) * block.run.nbytes

    @rule(count=st.sampled_from([0, -1, "3", 1.0]))
    def ask_wrongly(self, count):
        """Ask for a number of blocks that is no positive integer, which raises an error."""
        with pytest.raises((ValueError, TypeError)):
            self.pool.allocate(blocks=count)
        with pytest.raises((ValueError, TypeError)):
            self.pool.allocate_many(count)

    @invariant()
    def the_pool_agrees(self):
        """Compare audit, statistics and runs of the pool with the set."""
        if not hasattr(self, "taken"):
            return
        free = self.size - len(self.taken)
        longest = self.longest()
        requested = sum(run.nbytes for run in self.runs)
        allocated_bytes = len(self.taken) * BLOCK_SIZE
        assert self.pool.check() == bp.Audit(blocks=self.size, allocated=len(self.taken), runs=len(self.runs))
        assert self.pool.stats() == bp.PoolStats(
            blocks=self.size,
            block_size=BLOCK_SIZE,
            allocated=len(self.taken),
            free=free,
            peak=self.peak,
            largest_free_run=longest,
            fragmentation=1 - longest / free if free else 0.0,
            requested_bytes=requested,
            allocated_bytes=allocated_bytes,
            utilization=requested / allocated_bytes if allocated_bytes else 1.0,
            allocations=self.allocations,
            frees=self.frees,
            failures=self.failures,
            waits=0,
            waited=0.0,
            tickets=0,
            oldest_ticket=None,
            processes=1,
            max_processes=1,
        )
        expected = sorted((run.index, run.blocks) for run in self.runs)
        assert [(run.index, run.blocks) for run in self.pool.runs()] == expected
        assert {run.holders for run in self.pool.runs()} <= {(os.getpid(),)}


TestPoolMachine = PoolMachine.TestCase
