"""What mypy must see: the type of everything public. Never run."""

import asyncio
from types import TracebackType
from typing import assert_type, final

import blockpool
from blockpool import (
    Audit,
    Block,
    BlockInUse,
    BlockOverrun,
    BlockPoolError,
    DoubleFree,
    InvalidBlock,
    Outstanding,
    Pool,
    PoolClosed,
    PoolCorrupt,
    PoolExhausted,
    PoolStats,
    Residency,
    Run,
    WriteAfterFree,
)


class Index:
    """An object with __index__, which will do for a count."""

    def __index__(self) -> int:
        return 3


def pools() -> None:
    assert_type(Pool("4KiB", 16), Pool)
    assert_type(Pool(64, blocks=Index()), Pool)
    assert_type(Pool(block_size=Index(), blocks=2, prefault=True, huge_pages=True), Pool)
    assert_type(Pool(64, buffer=bytearray(640)), Pool)
    assert_type(Pool(64, 2, buffer=memoryview(bytearray(640))), Pool)
    assert_type(Pool(64, None, buffer=None), Pool)
    assert_type(Pool(64, 2, debug=True), Pool)
    assert_type(Pool(64, 2, debug=None), Pool)


def pool_attributes(pool: Pool) -> None:
    assert_type(pool.name, str | None)
    assert_type(pool.block_size, int)
    assert_type(pool.blocks, int)
    assert_type(pool.nbytes, int)
    assert_type(pool.address, int)
    assert_type(pool.alignment, int)
    assert_type(pool.closed, bool)
    assert_type(pool.debug, bool)


def pool_methods(pool: Pool) -> None:
    assert_type(pool.allocate(), Block)
    assert_type(pool.allocate(blocks=3), Block)
    assert_type(pool.allocate(blocks=Index(), timeout=None), Block)
    assert_type(pool.allocate(nbytes="10 kB", timeout=2.5), Block)
    assert_type(pool.allocate(nbytes=10, timeout=2), Block)
    assert_type(pool.allocate_many(4), list[Block])
    assert_type(pool.allocate_many(count=4, timeout=None), list[Block])
    assert_type(pool.stats(), PoolStats)
    assert_type(pool.runs(), list[Run])
    assert_type(pool.check(), Audit)
    assert_type(pool.residency(), Residency)
    with pool.numpy_allocator() as nothing:
        assert_type(nothing, None)
    assert_type(pool.outstanding(), list[Outstanding])
    pool.close()
    with pool as same:
        assert_type(same, Pool)


async def awaited(pool: Pool) -> None:
    assert_type(await pool.allocate_async(), Block)
    assert_type(await pool.allocate_async(blocks=Index(), timeout=None), Block)
    assert_type(await pool.allocate_async(nbytes="10 kB", timeout=2.5), Block)
    assert_type(asyncio.create_task(pool.allocate_async(nbytes=10)), asyncio.Task[Block])
    with await pool.allocate_async() as block:
        assert_type(block, Block)


class MyPool(Pool):
    """A subclass of Pool, which is allowed."""


def subclasses(pool: MyPool) -> None:
    with pool as same:
        assert_type(same, MyPool)


def exits_swallow_nothing(pool: Pool, block: Block) -> int:
    """Return inside each `with`: no return is missing, as no `with` swallows exceptions."""
    with pool, block, pool.numpy_allocator():
        return 1


def exits_called(pool: Pool, block: Block, traceback: TracebackType) -> None:
    pool.__exit__(None, None, None)
    block.__exit__(ValueError, ValueError(), traceback)


def blocks(block: Block) -> None:
    assert_type(block.index, int)
    assert_type(block.blocks, int)
    assert_type(block.nbytes, int)
    assert_type(block.address, int)
    assert_type(block.pool, Pool)
    assert_type(block.buf, memoryview)
    assert_type(block.readonly(), Block)
    block.free()
    block.release()
    with block as same:
        assert_type(same, Block)
    block.buf[:5] = b"hello"
    assert_type(block.note, bytes)
    block.note = b"camera"
    block.note = memoryview(b"camera")
    block.note = bytearray(3)


@final
class Seen:
    """What a function may do with each result."""

    def stats(self, stats: PoolStats) -> None:
        assert_type(stats.blocks, int)
        assert_type(stats.block_size, int)
        assert_type(stats.allocated, int)
        assert_type(stats.free, int)
        assert_type(stats.peak, int)
        assert_type(stats.largest_free_run, int)
        assert_type(stats.fragmentation, float)
        assert_type(stats.requested_bytes, int)
        assert_type(stats.allocated_bytes, int)
        assert_type(stats.utilization, float)
        assert_type(stats.allocations, int)
        assert_type(stats.frees, int)
        assert_type(stats.failures, int)
        assert_type(stats.tickets, int)
        assert_type(stats.oldest_ticket, float | None)
        assert_type(stats.processes, int)

    def run(self, run: Run) -> None:
        assert_type(run.index, int)
        assert_type(run.blocks, int)
        assert_type(run.nbytes, int)
        assert_type(run.holders, tuple[int | None, ...])
        assert_type(run.tickets, int)

    def outstanding(self, run: Outstanding) -> None:
        assert_type(run.index, int)
        assert_type(run.blocks, int)
        assert_type(run.nbytes, int)
        assert_type(run.stack, str)

    def audit(self, audit: Audit) -> None:
        assert_type(audit.blocks, int)
        assert_type(audit.allocated, int)
        assert_type(audit.runs, int)

    def residency(self, residency: Residency) -> None:
        assert_type(residency.resident_bytes, int)
        assert_type(residency.huge_page_bytes, int)


def errors() -> None:
    base: list[type[BlockPoolError]] = [
        PoolExhausted,
        InvalidBlock,
        DoubleFree,
        BlockInUse,
        PoolClosed,
        PoolCorrupt,
        BlockOverrun,
        WriteAfterFree,
    ]
    invalid: list[type[InvalidBlock]] = [DoubleFree]
    memory: type[MemoryError] = PoolExhausted
    values: list[type[ValueError]] = [InvalidBlock, PoolClosed]
    buffers: type[BufferError] = BlockInUse
    del base, invalid, memory, values, buffers


assert_type(blockpool.TRACEMALLOC_DOMAIN, int)
assert_type(blockpool.__version__, str)
assert_type(blockpool.__all__, list[str])
