"""Blocks as arguments and results of tasks.

Dask pickles more often than it loads. Each pickle of a block puts a reference in flight; so no pickle is made where
another way will do.
"""

from __future__ import annotations

import pickle

from dask.base import normalize_token
from dask.hashing import hash_buffer_hex
from dask.sizeof import sizeof
from distributed.protocol import dask_deserialize, dask_serialize

from blockpool import _receive
from blockpool._core import Block, send_block
from blockpool.errors import StaleHandle

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Any


def token_of(block: Block) -> tuple[object, ...]:
    """Return what makes a task's key: which block it is, and what it holds now."""
    handle = block.handle
    return "blockpool.Block", handle.pool_id, handle.index, handle.generation, hash_buffer_hex(block.buf)


def size_of(block: Block) -> int:
    """Return what the block takes from its pool, in bytes."""
    return block.nbytes


def serialize(block: Block, context: Any = None) -> tuple[dict[str, Any], list[Any]]:
    """Serialize a block for another process.

    Raises
    ------
    TypeError
        If it is for a disk: a reference in a file may never be loaded, or be loaded when its lifetime is over.
    """
    if context is None:
        raise TypeError(
            f"{block!r} cannot be written to disk, as it is memory that processes share; store a copy (bytes, an "
            "array) or free the block"
        )
    return {}, [pickle.dumps(send_block(block, [])[1])]


def deserialize(_header: dict[str, Any], frames: list[Any]) -> Block:
    """Take the block that was serialized; raise EOFError, so that Dask asks again, if its reference is over."""
    try:
        return _receive.block(*pickle.loads(frames[0]))  # noqa: S301 - as everything that Dask sends
    except StaleHandle as error:
        raise EOFError(f"the reference to a block in this message is over: {error}") from error


normalize_token.register(Block)(token_of)
sizeof.register(Block)(size_of)
dask_serialize.register(Block)(serialize)
dask_deserialize.register(Block)(deserialize)
