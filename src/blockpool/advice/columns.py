"""Passes over the events of a trace: live bytes, and how many blocks of a size they need at most.

Each pass goes over the events a slice at a time, so that temporary arrays stay small and in the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from blockpool.traces.form import ALLOCATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from blockpool.traces.form import Trace

__all__ = ["Columns", "Need", "blocks_for", "live_at", "live_blocks", "live_bytes", "need", "slices"]

_SLICE = 1 << 16


class Columns(NamedTuple):
    """Sizes of the events in bytes, at least 1, and +1 for an allocation or -1 for a free."""

    size: NDArray[np.int64]
    sign: NDArray[np.int8]

    @classmethod
    def of(cls, trace: Trace) -> Columns:
        """Return the columns of a trace; a request of 0 bytes takes a block, as one of 1 byte does."""
        size = trace.size
        if len(size) and int(size.min()) < 1:
            size = np.maximum(size, 1)
        return cls(size, np.int8(1) - np.int8(2) * trace.kind.astype(np.int8))

    def within(self, above: int, up_to: int) -> Columns:
        """Return the events whose sizes are more than `above` and at most `up_to` bytes, which is at least 1."""
        if above == 0 and int(self.size.max()) <= up_to:
            return self
        chosen = (self.size > above) & (self.size <= up_to)
        return Columns(self.size[chosen], self.sign[chosen])


@dataclass(frozen=True, slots=True)
class Need:
    """What a trace needs of a pool without fragmentation: a lower bound.

    Attributes
    ----------
    blocks : int
        The most blocks allocated at a time.
    inner : int
        Bytes at the ends of blocks that nobody asked for, at that moment.
    """

    blocks: int
    inner: int


def slices(length: int) -> Iterator[slice]:
    """Return slices that cover so many events."""
    return (slice(start, min(start + _SLICE, length)) for start in range(0, length, _SLICE))


def blocks_for(size: NDArray[np.int64], block_size: int) -> NDArray[np.int64]:
    """Return how many blocks each request needs; sizes are at least 1."""
    blocks = size - 1
    if block_size & (block_size - 1):
        blocks //= block_size
    else:
        blocks >>= block_size.bit_length() - 1
    blocks += 1
    return blocks


def live_bytes(columns: Columns) -> NDArray[np.int64]:
    """Return the bytes that are live after each event."""
    live = np.multiply(columns.size, columns.sign, dtype=np.int64)
    return np.cumsum(live, out=live)


def live_at(trace: Trace, event: int) -> NDArray[np.int64]:
    """Return the sizes of what is live after that event."""
    until = slice(event + 1)
    made = trace.kind[until] == ALLOCATE
    size: NDArray[np.int64] = trace.size[until][made]
    alive = np.ones(len(size), np.bool_)  # allocations are numbered in their order
    alive[trace.id[until][~made]] = False
    return np.asarray(size[alive])


def live_blocks(columns: Columns, block_size: int) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Return, a slice of the events at a time, how many blocks of that size are allocated after each event."""
    before = 0
    for part in slices(len(columns.size)):
        allocated = blocks_for(columns.size[part], block_size)
        allocated *= columns.sign[part]
        allocated[0] += before
        np.cumsum(allocated, out=allocated)
        before = int(allocated[-1])
        yield part, allocated


def need(columns: Columns, block_size: int) -> Need:
    """Return what the events need of a pool with blocks of that size."""
    most = at = 0
    for part, allocated in live_blocks(columns, block_size):
        here = int(allocated.argmax())
        if int(allocated[here]) > most:
            most, at = int(allocated[here]), part.start + here
    asked = sum(int(np.dot(columns.size[part], columns.sign[part])) for part in slices(at + 1)) if most else 0
    return Need(most, most * block_size - asked)
