"""What pickles call: plain functions, because pickle is faster to name them than those of an extension module."""

from __future__ import annotations

from blockpool._core import _receive_block, name_receiver

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Any

    from blockpool._core import Block


def block(*parts: Any) -> Block:
    """Take the block whose reference came with the pickle."""
    return _receive_block(*parts)


name_receiver(block)
