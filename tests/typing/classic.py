"""What mypy must see of the classic calls, right and wrong. Never run."""

from typing import assert_type

from blockpool import Block, Pool
from blockpool.classic import (
    allocate_memory_blocks,
    deallocate_memory_blocks,
    initialize_memory_allocator,
)


def right(block: Block) -> None:
    """Make the classic calls with right arguments."""
    assert_type(initialize_memory_allocator(), Pool)
    assert_type(initialize_memory_allocator(1024, "32B"), Pool)
    assert_type(initialize_memory_allocator(mem_pool_size="1KiB", block_size=32), Pool)
    assert_type(allocate_memory_blocks(), Block)
    assert_type(allocate_memory_blocks(n=3), Block)
    deallocate_memory_blocks(block)
    deallocate_memory_blocks(block.address)


def wrong() -> None:
    """Make the classic calls with wrong arguments: an `ignore` that ignores nothing is an error."""
    initialize_memory_allocator(1024.0)  # type: ignore[arg-type]
    initialize_memory_allocator(b"1KiB", None)  # type: ignore[arg-type]
    allocate_memory_blocks("3")  # type: ignore[arg-type]
    allocate_memory_blocks(None)  # type: ignore[arg-type]
    deallocate_memory_blocks()  # type: ignore[call-arg]
    deallocate_memory_blocks(None)  # type: ignore[arg-type]
    deallocate_memory_blocks(b"block")  # type: ignore[arg-type]
