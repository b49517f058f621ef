"""What mypy must refuse: an `ignore` that ignores nothing is an error, so each line here is a test. Never run."""

import copy
from decimal import Decimal

from blockpool import Audit, Block, Pool, PoolStats, Run


def pools() -> None:
    Pool()  # type: ignore[call-arg]
    Pool(4096.0, 16)  # type: ignore[arg-type]
    Pool(None, 16)  # type: ignore[arg-type]
    Pool(b"4KiB", 16)  # type: ignore[arg-type]
    Pool("4KiB", "16")  # type: ignore[arg-type]
    Pool("4KiB", 16.0)  # type: ignore[arg-type]
    Pool("4KiB", 16, bytearray(8))  # type: ignore[call-arg]
    Pool("4KiB", buffer="text")  # type: ignore[arg-type]
    Pool("4KiB", buffer=[1, 2])  # type: ignore[arg-type]
    Pool("4KiB", 16, prefault="yes")  # type: ignore[arg-type]
    Pool("4KiB", 16, name="frames")  # type: ignore[call-arg]


def allocations(pool: Pool) -> None:
    pool.allocate(3)  # type: ignore[call-arg]
    pool.allocate(blocks="3")  # type: ignore[arg-type]
    pool.allocate(blocks=3.0)  # type: ignore[arg-type]
    pool.allocate(nbytes=3.5)  # type: ignore[arg-type]
    pool.allocate(nbytes=Decimal(3))  # type: ignore[arg-type]
    pool.allocate(timeout="1")  # type: ignore[arg-type]
    pool.allocate(size=3)  # type: ignore[call-arg]
    pool.allocate_many()  # type: ignore[call-arg]
    pool.allocate_many("4")  # type: ignore[arg-type]
    pool.allocate_many(4, 1.0)  # type: ignore[call-arg]
    pool.allocate_many(None)  # type: ignore[arg-type]


async def awaited(pool: Pool) -> None:
    await pool.allocate_async(3)  # type: ignore[call-arg]
    await pool.allocate_async(blocks="3")  # type: ignore[arg-type]
    await pool.allocate_async(timeout="1")  # type: ignore[arg-type]
    with pool.allocate_async():  # type: ignore[attr-defined]
        pass


def attributes_are_read_only(pool: Pool, block: Block) -> None:
    pool.name = "frames"  # type: ignore[misc]
    pool.blocks = 1  # type: ignore[misc]
    pool.closed = True  # type: ignore[misc]
    block.index = 1  # type: ignore[misc]
    block.nbytes = 1  # type: ignore[misc]
    block.buf = memoryview(b"")  # type: ignore[misc]


def a_note_is_like_bytes(block: Block) -> None:
    block.note = "camera"  # type: ignore[assignment]
    block.note = None  # type: ignore[assignment]


def a_block_is_no_buffer(block: Block) -> None:
    memoryview(block)  # type: ignore[arg-type]
    bytes(block)  # type: ignore[call-overload]
    len(block)  # type: ignore[arg-type]
    block[0]  # type: ignore[index]


def blocks_come_from_a_pool() -> None:
    Block()  # type: ignore[call-arg]
    Block(1)  # type: ignore[arg-type]


class MyBlock(Block):  # type: ignore[misc]
    """A subclass of Block, which is final."""


def free_takes_nothing(block: Block) -> None:
    block.free(1)  # type: ignore[call-arg]
    block.release(force=True)  # type: ignore[call-arg]
    block.readonly(1)  # type: ignore[call-arg]


def a_context_manager_takes_its_arguments_by_position(pool: Pool, block: Block) -> None:
    pool.__exit__(kind=None, value=None, traceback=None)  # type: ignore[call-arg]
    block.__exit__(kind=None, value=None, traceback=None)  # type: ignore[call-arg]


def results_are_frozen(stats: PoolStats, run: Run, audit: Audit) -> None:
    stats.allocated = 1  # type: ignore[misc]
    run.index = 1  # type: ignore[misc]
    audit.runs = 1  # type: ignore[misc]
    Audit(1, 2, 3)  # type: ignore[call-arg]


def a_copied_block_is_nothing(block: Block) -> None:
    # mypy knows only that copy returns what it was given; calling the method itself never returns
    copy.copy(block).free()
    block.__copy__()
    block.free()  # type: ignore[unreachable]
