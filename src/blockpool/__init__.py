"""blockpool: a memory allocator. A pool is reserved once and cut into blocks; a bitmap says which are taken.

>>> import blockpool
>>> pool = blockpool.Pool("4KiB", 1024)
>>> block = pool.allocate()
>>> block.buf[:5] = b"hello"
>>> block.free()
"""

from __future__ import annotations

from blockpool._core import Block, Pool
from blockpool._index import IndexPool
from blockpool.errors import (
    BlockInUse,
    BlockPoolError,
    DoubleFree,
    InvalidBlock,
    PoolClosed,
    PoolCorrupt,
    PoolExhausted,
)

TYPE_CHECKING = False  # the one of typing costs more to import than all of blockpool
if TYPE_CHECKING:
    from typing import Any

    from blockpool.stats import Audit, IndexStats, PoolStats, Residency, Run

__version__ = "0.1.0"

__all__ = [
    "Audit",
    "Block",
    "BlockInUse",
    "BlockPoolError",
    "DoubleFree",
    "IndexPool",
    "IndexStats",
    "InvalidBlock",
    "Pool",
    "PoolClosed",
    "PoolCorrupt",
    "PoolExhausted",
    "PoolStats",
    "Residency",
    "Run",
]


def __getattr__(name: str) -> Any:
    # dataclasses take longer to import than all the rest
    if name in {"Audit", "IndexStats", "PoolStats", "Residency", "Run"}:
        from blockpool import stats

        return getattr(stats, name)
    raise AttributeError(f"module 'blockpool' has no attribute {name!r}")
