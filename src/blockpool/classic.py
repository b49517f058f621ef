"""The three classic calls: one pool for the whole process, for users of the original assembly program.

>>> from blockpool.classic import *
>>> pool = initialize_memory_allocator(1024, 32)    # 1 KiB in 32 blocks; these are the defaults
>>> run = allocate_memory_blocks(3)                 # three adjacent blocks
>>> run.buf[:5] = b"hello"
>>> pool.stats().allocated
3
>>> deallocate_memory_blocks(run)                   # or its address: deallocate_memory_blocks(run.address)
>>> pool.stats().allocated
0
>>> deallocate_memory_blocks(run)
Traceback (most recent call last):
blockpool.DoubleFree: the run of 3 blocks at 0 was freed before; drop this object, and allocate a new one

A block stays allocated until it is deallocated, even if the program forgets it. A call that raises changes nothing.
All three may be called from any thread. A forked child has its own copy of the pool.
"""

from __future__ import annotations

import operator

from blockpool._core import Block, Pool
from blockpool._forks import classic_lock
from blockpool._sizes import parse_size
from blockpool.errors import BlockInUse, DoubleFree, InvalidBlock, PoolClosed

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import SupportsIndex

__all__ = [
    "allocate_memory_blocks",
    "deallocate_memory_blocks",
    "initialize_memory_allocator",
]


def initialize_memory_allocator(
    mem_pool_size: str | SupportsIndex = 1024, block_size: str | SupportsIndex = 32
) -> Pool:
    """Create the pool. It replaces an earlier one, which is closed.

    Parameters
    ----------
    mem_pool_size : int or str
        Size of the pool in bytes, a multiple of the block size: an int, or a string such as ``"1KiB"``.
    block_size : int or str
        Size of a block in bytes, a multiple of 8.

    Returns
    -------
    Pool
        The new pool, for its statistics and anything else that a Pool can do.

    Raises
    ------
    BlockInUse
        If blocks of the earlier pool are allocated.
    TypeError, ValueError
        If a size has the wrong type or is out of range, or one is not a multiple of the other.
    PoolExhausted
        If the machine does not have that much memory.
    """
    return _allocator.initialize(mem_pool_size, block_size)


def allocate_memory_blocks(n: SupportsIndex = 1) -> Block:
    """Allocate a run of n adjacent blocks.

    Parameters
    ----------
    n : int
        Length of the run in blocks, at least 1.

    Returns
    -------
    Block
        It stays allocated until it is deallocated, even if the program drops it.

    Raises
    ------
    PoolClosed
        If there is no pool yet, or it was closed.
    PoolExhausted
        If there is no such run.
    TypeError, ValueError
        If `n` is not an int, or less than 1.
    WriteAfterFree
        In debug mode, if something wrote to the memory after it was freed.
    """
    return _allocator.allocate(n)


def deallocate_memory_blocks(block_or_address: Block | SupportsIndex) -> None:
    """Give back a whole run.

    Parameters
    ----------
    block_or_address : Block or int
        The Block that `allocate_memory_blocks` returned, or its address.

    Raises
    ------
    DoubleFree
        If it was deallocated before.
    BlockInUse
        If there is a view of its memory.
    InvalidBlock
        If it is not in this pool, lies inside a block or a run, or was never allocated.
    PoolClosed
        If there is no pool yet.
    TypeError
        If it is neither a Block nor an int.
    BlockOverrun
        In debug mode, if something wrote past the end. The memory was given back all the same.
    """
    _allocator.deallocate(block_or_address)


class _Allocator:
    """The current pool, and every Block that was allocated from it, by address."""

    def __init__(self) -> None:
        # Reentrant: allocation may run the garbage collector, and with it a destructor that deallocates.
        self.lock = classic_lock
        self.pool: Pool | None = None
        self.blocks: dict[int, Block] = {}
        self.deallocated: set[int] = set()  # addresses; one that is allocated again may stay

    def initialize(self, mem_pool_size: str | SupportsIndex, block_size: str | SupportsIndex) -> Pool:
        nbytes = parse_size(mem_pool_size, "mem_pool_size")
        size = parse_size(block_size, "block_size")
        if size % 8:
            raise ValueError(f"block_size must be a multiple of 8, not {size}; the next one is {size + 8 - size % 8}")
        if nbytes % size:
            raise ValueError(
                f"mem_pool_size must be a multiple of block_size {size}, not {nbytes}; "
                f"the next one is {nbytes + size - nbytes % size}"
            )
        with self.lock:
            pool = Pool(size, nbytes // size)
            in_use = self.in_use()
            if in_use:
                raise BlockInUse(
                    f"{in_use} block{'s are' if in_use > 1 else ' is'} allocated; "
                    "deallocate before you initialize again"
                )
            if self.pool is not None:
                self.pool.close()
            self.pool = pool
            self.blocks = {}
            self.deallocated = set()
            return pool

    def in_use(self) -> int:
        """Return how many blocks are allocated, by these calls or otherwise."""
        if self.pool is None:
            return 0
        if not self.pool.closed:
            return self.pool.stats().allocated
        return sum(block.blocks for block in self.blocks.values() if is_valid(block))

    def allocate(self, n: SupportsIndex) -> Block:
        try:
            count = operator.index(n)
        except TypeError:
            raise TypeError(f"n must be an int, not {type(n).__name__} {n!r:.60}") from None
        if count < 1:
            raise ValueError(f"n must be at least 1, not {count}")
        with self.lock:
            block = self.opened().allocate(blocks=count)
            self.blocks[block.address] = block
            return block

    def deallocate(self, given: Block | SupportsIndex) -> None:
        address = -1 if isinstance(given, Block) else as_address(given)
        with self.lock:
            pool = self.opened()
            if isinstance(given, Block):
                address = address_of(given)
            block = self.blocks.get(address)
            if block is None:
                raise self.why_not(pool, address)
            block.free()
            self.blocks.pop(address, None)
            self.deallocated.add(address)

    def opened(self) -> Pool:
        if self.pool is None:
            raise PoolClosed("there is no pool yet; call initialize_memory_allocator() first")
        return self.pool

    def why_not(self, pool: Pool, address: int) -> InvalidBlock:
        """Return the error for an address that is not one of our blocks."""
        shown = hex(address)[:40]
        if pool.closed:
            return InvalidBlock(f"address {shown} is not of an allocated block, and the pool is closed")
        index, inside = divmod(address - pool.address, pool.block_size)
        if not 0 <= index < pool.blocks:
            return InvalidBlock(
                f"address {shown} is no block of this pool, whose {pool.blocks} blocks of {pool.block_size} bytes "
                f"begin at {pool.address:#x}; deallocate what allocate_memory_blocks() returned"
            )
        if inside:
            return InvalidBlock(
                f"address {shown} is inside block {index}, {inside} bytes from its start; "
                "deallocate the address that was allocated"
            )
        inside_of = next((run for run in pool.runs() if 0 <= index - run.index < run.blocks), None)
        if inside_of is not None and inside_of.index < index:
            return InvalidBlock(
                f"address {shown} is block {index}, inside the run of {inside_of.blocks} blocks at {inside_of.index}; "
                f"deallocate the run by its first address, {pool.address + inside_of.index * pool.block_size:#x}"
            )
        return self.why_not_first(index, address, allocated=inside_of is not None)

    def why_not_first(self, index: int, address: int, *, allocated: bool) -> InvalidBlock:
        """Return the error for a block that is free, or that starts a run which we did not allocate."""
        if allocated:
            return InvalidBlock(
                f"block {index} was not allocated by allocate_memory_blocks(); call the free() of its Block"
            )
        if address in self.deallocated:
            return DoubleFree(f"block {index} was deallocated before; drop its address, and allocate a new one")
        return InvalidBlock(f"block {index} was never allocated; deallocate what allocate_memory_blocks() returned")


def as_address(value: SupportsIndex) -> int:
    if value is None:
        raise InvalidBlock("None is no block; deallocate what allocate_memory_blocks() returned")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"block_or_address must be a Block or its address as an int, not {type(value).__name__} {value!r:.60}"
        ) from None


def address_of(block: Block) -> int:
    """Return the address of a Block; if it is no longer valid, raise the error that says why."""
    try:
        return block.address
    except InvalidBlock:
        block.free()
        raise


def is_valid(block: Block) -> bool:
    try:
        return block.address > 0
    except InvalidBlock:
        return False


_allocator = _Allocator()
