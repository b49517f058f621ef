"""pandas' columns that lie in a pool: sent without pandas' own copies, and never changed by those that share them.

Two things are sent in another way than pandas would, by all that multiprocessing pickles and by the pool's queues and
`put`:

- Columns that are backed by Arrow. pandas joins their chunks before it pickles them, so it copies even a single chunk.
- The blocks of a frame. The receiver has the same memory, but pandas takes what it has unpickled for its own, and
  writes in place. A block with another user is copied before it is written to (copy-on-write, since pandas 3), so both
  sides note that it has one, for ever. pandas has no public way to say that; what is used here is checked at import.

This module is imported when the first frame is put into a pool with `blockpool.arrow`, and where the first object is
received that may be one.
"""

from __future__ import annotations

from typing import Any

import pandas as pd  # type: ignore[import-untyped]

from blockpool import _sending
from blockpool._core import is_in_a_pool

_OLDEST = 3

try:
    from pandas._libs.internals import Block, BlockValuesRefs  # type: ignore[import-untyped]
    from pandas.core.internals import blocks  # type: ignore[import-untyped]

    _KNOWN = int(pd.__version__.partition(".")[0]) >= _OLDEST and hasattr(BlockValuesRefs, "add_reference")
except ImportError:
    _KNOWN = False
if not _KNOWN:
    raise ImportError(
        f"frames in a pool need pandas {_OLDEST} or a later one that copies on write in the same way, and this is "
        f"pandas {pd.__version__}; update it, or put a pyarrow.Table into the pool: pyarrow.Table.from_pandas(frame)"
    )

# Stands for the other user of what is shared.
_another = pd.Series([0])._mgr.blocks[0]  # noqa: SLF001

# Where pandas' arrays keep those of NumPy that they consist of.
_PARTS = ("_ndarray", "_data", "_mask", "_left", "_right")


def _is_array_in_pool(array: Any) -> bool:
    interface = getattr(array, "__array_interface__", None)
    return interface is not None and array.size > 0 and is_in_a_pool(interface["data"][0], 1)


def _is_column_in_pool(values: Any) -> bool:
    """Return whether NumPy arrays of a column are in a shared pool."""
    if _is_array_in_pool(values):
        return True
    return any(_is_column_in_pool(getattr(values, name, None)) for name in _PARTS if hasattr(values, name))


def _mark(block: Any) -> None:
    """Have pandas copy the block before it writes to it."""
    if not any(ref() is _another for ref in block.refs.referenced_blocks):
        block.refs.add_reference(_another)


def _send_block(block: Any, _sent: Any) -> tuple[Any, ...] | None:
    if not _is_column_in_pool(block.values):
        return None
    _mark(block)
    make, arguments = block.__reduce__()[:2]
    return receive_block, (make, arguments)


def receive_block(make: Any, arguments: tuple[Any, ...]) -> Any:
    """Unpickle a block that others have too."""
    block = make(*arguments)
    _mark(block)
    return block


def _send_arrow(column: Any, _sent: Any) -> tuple[Any, ...] | None:
    data = column.__arrow_array__()
    buffers = [buffer for chunk in data.chunks for buffer in chunk.buffers() if buffer is not None and buffer.size]
    if not any(is_in_a_pool(buffer.address, buffer.size) for buffer in buffers):
        return None
    return receive_arrow, (column.dtype, data)


def receive_arrow(dtype: Any, data: Any) -> Any:
    """Unpickle a column backed by Arrow."""
    return dtype.__from_arrow__(data)


for _kind in {kind for kind in vars(blocks).values() if isinstance(kind, type) and issubclass(kind, Block)}:
    _sending.adapt(_kind, _send_block)
for _kind in (pd.arrays.ArrowExtensionArray, pd.arrays.ArrowStringArray):
    _sending.adapt(_kind, _send_arrow)
