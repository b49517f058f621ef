"""What pickles call: plain functions, because pickle is faster to name them than those of an extension module."""

from __future__ import annotations

from blockpool._core import _block_on, _receive_block, name_receiver, name_receiver_within

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Any

    from blockpool._core import Block


def block(*parts: Any) -> Block:
    """Take the block whose reference came with the pickle."""
    return _receive_block(*parts)


def block_within(view: memoryview) -> Block:
    """Take the block that came within another object."""
    return _block_on(view)


name_receiver(block)
name_receiver_within(block_within)
