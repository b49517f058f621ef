"""Many buffers of 64 bytes, with gaps at random places between them: the start of `grown` of a peer."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["SMALL", "thinned"]

SMALL = 64


def thinned(make: Callable[[int], Iterable[Any]], blocks: int, filling: float) -> list[Any]:
    """Make so many, and drop some at random places until that part of them is left, but one at least; none for 0."""
    if not filling:
        return []
    held = list(make(blocks))
    gone = max(1, round(blocks * (1 - filling)))
    for place in random.Random(1).sample(range(blocks), gone):  # noqa: S311 - the same places each time
        held[place] = None
    return held
