"""Which block sizes and which splits by size are worth a try, from bounds that are quick to compute.

Small blocks waste little and cost time: a run of n blocks takes n bits of the bitmap, to be searched, set and cleared
a word of 64 at a time. So no block size is a choice if the average request of its pool has more than 64 times as many
bytes. (At least half of the requests then take at most 128 blocks.) Neither is one that makes a pool of more than 2**26
blocks, or of more bytes than a process can address.

SPLITS. To judge one block size for one range of sizes takes a pass over the trace, which is too long for all pairs of
them. So the sizes are cut into a few classes, and the trace into stretches that end where much is live. One pass for
each block size then counts by how many blocks each class grew in each stretch. From these tables, the peak of any range
of classes follows at once: not exactly, as it may lie within a stretch, but well enough to choose what to simulate.
"""

from __future__ import annotations

from itertools import combinations, pairwise, zip_longest
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from blockpool.advice.columns import Columns, live_blocks, live_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from blockpool.advice.outline import Sizes

__all__ = ["Range", "allowed", "block_sizes", "bookkeeping", "cuts_of", "ways"]

_SMALLEST = 64
_MOST_SIZES = 24
_LONGEST_AVERAGE = 64
_MOST_BLOCKS = 2**26
_MOST_BYTES = 2**46
_CLASSES = 10
_STRETCHES = 1024
_GAPS = 1.08  # by what pools of runs of different lengths often are larger ...
_GAPS_OF_THREADS = 1.25  # ... and if several threads use them, each of which looks for room elsewhere
_GAIN = 0.99  # a further pool is worth a try if it saves a 100th
_BITS_A_BLOCK = 2.13  # see private_pool.h; replay tells the exact number


class Range(NamedTuple):
    """A pool for a range of sizes: more than `above` bytes and at most `up_to`."""

    above: int
    up_to: int
    block_size: int


def rounded(size: int) -> int:
    """Return the size rounded up to whole 64 bytes."""
    return max(-(-size // _SMALLEST) * _SMALLEST, _SMALLEST)


def bookkeeping(blocks: int) -> int:
    """Return about how many bytes of bookkeeping a pool needs besides its blocks."""
    return int(blocks * _BITS_A_BLOCK / 8)


def allowed(block_size: int, blocks: int, mean: float) -> bool:
    """Whether a pool of so many blocks is a choice for requests of `mean` bytes on average."""
    return 0 < blocks <= _MOST_BLOCKS and blocks * block_size <= _MOST_BYTES and mean <= _LONGEST_AVERAGE * block_size


def block_sizes(sizes: Sizes, cuts: Iterable[int] = (), most: int = _MOST_SIZES) -> list[int]:
    """Return block sizes to try for these requests, ascending; none without requests.

    First come those that fit one request: the largest, the most frequent, and those in which most bytes are asked for;
    then halves and quarters of the large ones. Then come those that fit the parts of the sizes between the cuts: the
    largest size of each, and powers of two, the nearest to the middle of each part first.
    """
    if not sizes.requests:
        return []
    largest = rounded(sizes.largest)
    heaviest = np.argsort(-(sizes.values.astype(np.float64) * sizes.counts), kind="stable")[:3]
    fitting = [rounded(size) for size, _ in sizes.frequent(3)] + [rounded(int(sizes.values[i])) for i in heaviest]
    fitting = list(dict.fromkeys([largest, *fitting]))
    parts = [rounded(-(-size // n)) for n in (2, 4) for size in fitting[:3] if size >= _SMALLEST * 64]
    pieces = [sizes.within(*pair) for pair in pairwise([0, *cuts, sizes.largest])]
    columns = [_near(piece) for piece in pieces if piece.requests]
    in_turn = [size for row in zip_longest(*columns) for size in row if size is not None]
    return sorted(list(dict.fromkeys([*fitting, *parts, *in_turn]))[:most])


def _near(sizes: Sizes) -> list[int]:
    """Return the largest size, and powers of two that are neither larger nor make the average request too long."""
    largest = rounded(sizes.largest)
    least = sizes.mean / _LONGEST_AVERAGE
    powers = [1 << i for i in range(_SMALLEST.bit_length() - 1, 63) if least <= 1 << i < largest]
    middle = np.log2(max(sizes.at_share(0.5), _SMALLEST))
    return [largest, *sorted(powers, key=lambda size: abs(np.log2(size) - middle))]


def cuts_of(sizes: Sizes) -> list[int]:
    """Return sizes in bytes at which requests may be parted between pools, ascending: at most 9.

    They stand where neighbouring sizes differ by the largest factors, and where they part the requests or the bytes
    into shares. Each is rounded up to whole 64 bytes where that parts the same sizes.
    """
    values = sizes.values
    if len(values) < 2:  # noqa: PLR2004 - one size cannot be parted
        return []
    places: list[int] = [int(i) for i in np.argsort(-(values[1:] / np.maximum(values[:-1], 1)), kind="stable")[:3]]
    for weights in (sizes.counts.astype(np.float64), values.astype(np.float64) * sizes.counts):
        upto = np.cumsum(weights)
        places += [int(np.searchsorted(upto, share * upto[-1])) for share in (0.5, 0.75, 0.25, 0.9)]
    chosen = list(dict.fromkeys(place for place in places if place < len(values) - 1))[: _CLASSES - 1]
    return sorted(min(rounded(int(values[i])), int(values[i + 1]) - 1) for i in chosen)


def ways(
    columns: Columns, live: NDArray[np.int64], sizes: Sizes, pools: int, threads: int = 1
) -> list[tuple[float, tuple[Range, ...]]]:
    """Return ways to serve the requests by one pool of each block size, or part them between 2 to `pools` pools.

    Parameters
    ----------
    columns : Columns
        The events.
    live : ndarray of int64
        The live bytes after each event.
    sizes : Sizes
        The sizes of the requests.
    pools : int
        At most how many pools.
    threads : int
        How many threads allocate.

    Returns
    -------
    list of (float, tuple of Range)
        The ways, each with about how many bytes it takes, those with the least bytes first.
    """
    cuts = cuts_of(sizes) if pools > 1 else []
    gaps = _GAPS if threads == 1 else _GAPS_OF_THREADS
    edges = [0, *cuts, sizes.largest]
    groups = list(combinations(range(len(edges)), 2))
    parts = {pair: sizes.within(edges[pair[0]], edges[pair[1]]) for pair in groups}
    means = {pair: part.mean for pair, part in parts.items()}
    classes = _classes(columns, live, cuts)
    found: list[tuple[float, tuple[Range, ...]]] = []
    best: dict[tuple[int, int], tuple[float, Range]] = {}
    for block_size in block_sizes(sizes, cuts):
        upto = np.cumsum([[0] * len(classes[0].ends), *(_allocated(one, block_size) for one in classes)], axis=0)
        for first, last in groups:
            blocks = int((upto[last] - upto[first]).max())
            if not allowed(block_size, blocks, means[first, last]):
                continue
            pool = Range(edges[first], edges[last], block_size)
            cost = blocks * block_size * _room_for_runs(parts[first, last], block_size, gaps) + bookkeeping(blocks)
            if last - first == len(classes):
                found.append((cost, (pool,)))
            elif (first, last) not in best or cost <= best[first, last][0]:
                best[first, last] = (cost, pool)
    enough = min((cost for cost, _ in found), default=float(_MOST_BYTES))
    for count in range(2, min(pools, len(classes)) + 1):
        more = [way for way in _splits(best, len(classes), count) if way[0] <= enough * _GAIN]
        enough = min((cost for cost, _ in more), default=enough)
        found += more
    return sorted(found, key=lambda way: (way[0], len(way[1])))


def _room_for_runs(sizes: Sizes, block_size: int, gaps: float) -> float:
    """Return about how many times as many blocks are needed; runs of different lengths leave gaps between them."""
    shortest, longest = (-(-max(int(size), 1) // block_size) for size in (sizes.values[0], sizes.largest))
    return 1.0 if shortest == longest else gaps


def _splits(
    best: dict[tuple[int, int], tuple[float, Range]], classes: int, count: int
) -> list[tuple[float, tuple[Range, ...]]]:
    """Return all ways to part the classes between so many pools, from the best pool for each range of classes."""
    found = []
    for inner in combinations(range(1, classes), count - 1):
        parts = [best.get(pair) for pair in pairwise((0, *inner, classes))]
        chosen = [part for part in parts if part is not None]
        if len(chosen) == count:
            found.append((sum(cost for cost, _ in chosen), tuple(pool for _, pool in chosen)))
    return found


class _Class(NamedTuple):
    """The events of a class of sizes, and how many of them there are up to the end of each stretch."""

    events: Columns
    ends: NDArray[np.intp]


def _classes(columns: Columns, live: NDArray[np.int64], cuts: list[int]) -> list[_Class]:
    """Return the events of each class of sizes.

    Stretches end where most bytes are live, of all classes in each of some parts of the trace, and of each class.
    """
    which = np.searchsorted(np.array(cuts, np.int64), columns.size).astype(np.uint8)
    count = len(cuts) + 1
    found: list[tuple[Columns, NDArray[np.int32]]] = []
    at: list[NDArray[np.int64]] = [_tops(live, _STRETCHES // 2)]
    for one in range(count):
        events = np.flatnonzero(which == one).astype(np.int32)
        part = Columns(columns.size[events], columns.sign[events])
        at.append(events[_tops(live_bytes(part), _STRETCHES // 2 // count)].astype(np.int64))
        found.append((part, events))
    ends = np.unique(np.concatenate(at))
    return [_Class(part, np.searchsorted(events, ends, side="right")) for part, events in found]


def _tops(values: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """Return where the largest value of each part is."""
    edges = np.linspace(0, len(values), min(parts, len(values)) + 1).astype(np.int64)
    return np.array([start + values[start:end].argmax() for start, end in pairwise(edges)], np.int64)


def _allocated(events: _Class, block_size: int) -> NDArray[np.int64]:
    """Return how many blocks a class has allocated at the end of each stretch."""
    found = np.zeros(len(events.ends), np.int64)
    for part, allocated in live_blocks(events.events, block_size):
        first, last = np.searchsorted(events.ends, (part.start + 1, part.stop + 1))
        found[first:last] = allocated[events.ends[first:last] - 1 - part.start]
    return found
