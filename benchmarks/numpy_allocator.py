"""Does NumPy compute faster when its temporaries are in a pool, and when does it not?

The work is a step of the Gray-Scott model of two substances that react and diffuse, written as one writes it in NumPy:
some twenty temporaries of the grid's size. glibc asks the kernel for each piece of its mmap threshold or more, and
every page of those faults again. The threshold starts at 128 KiB; it rises to the size of whatever such piece is freed,
up to 32 MiB; and what is free at the end of the heap goes back to the kernel from twice that size on, 128 KiB at the
start. So a process that goes on faults less than one that has just started, except for arrays of more than 32 MiB,
which always fault, and for those just too small to raise the threshold. From 4 MiB on NumPy asks for huge pages, which
makes the faults few; so does this pool. Hence two conditions, each in processes of their own: the first step, and a
step when all has settled.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict

import _measure
import numpy as np
import numpy.typing as npt

import blockpool

Grid = npt.NDArray[np.float64]

SIDES = (16, 128, 362, 1024, 2048, 2560)
TEMPORARIES = 10  # as many of them are alive at once, and a few more


def laplacian(a: Grid) -> Grid:
    """Return how each inner cell differs from its neighbours."""
    return a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] - 4 * a[1:-1, 1:-1]


def step(u: Grid, v: Grid) -> tuple[Grid, Grid]:
    """Return both substances' inner cells a moment later."""
    inner_u, inner_v = u[1:-1, 1:-1], v[1:-1, 1:-1]
    reaction = inner_u * inner_v * inner_v
    return (
        inner_u + 0.16 * laplacian(u) - reaction + 0.035 * (1 - inner_u),
        inner_v + 0.08 * laplacian(v) + reaction - 0.1 * inner_v,
    )


class Work:
    """A grid, the step in NumPy's own memory, and the step in a pool's."""

    def __init__(self, side: int) -> None:
        chance = np.random.default_rng(1)
        self.u, self.v = chance.random((side, side)), chance.random((side, side))
        start = time.perf_counter()
        self.pool = blockpool.Pool(8 * side * side, TEMPORARIES, prefault=True, huge_pages=True, debug=False)
        self.seconds_to_make = time.perf_counter() - start
        self.allocator = self.pool.numpy_allocator()

    def plain(self) -> None:
        """Make a step in NumPy's own memory."""
        step(self.u, self.v)

    def pooled(self) -> None:
        """Make a step in the pool's memory."""
        with self.allocator:
            step(self.u, self.v)

    def check(self) -> None:
        """Compare the results, and see that the pool had room for all."""
        with self.allocator:
            ours = step(self.u, self.v)
        for mine, other in zip(ours, step(self.u, self.v), strict=True):
            assert np.array_equal(mine, other)
        del ours, mine
        stats = self.pool.stats()
        assert stats.allocated == stats.failures == 0 < stats.allocations


def zeros() -> _measure.Comparison:
    """Compare zeros that are hardly used: fresh pages are zero, and a page that is never touched costs nothing."""
    pool = blockpool.Pool("64MiB", 1, prefault=True, huge_pages=True, debug=False)
    make = "np.zeros(1 << 23)[0] = 1"
    names = {"np": np, "allocator": pool.numpy_allocator()}
    return _measure.compare(
        "np.zeros of 64 MiB, one element written",
        f"with allocator: {make}",
        make,
        names,
        peer_name="NumPy's own",
    )


def first(side: int, which: str) -> float:
    """Return the nanoseconds of the first step in this process."""
    call = getattr(Work(side), which)
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start


def settled(side: int) -> dict[str, object]:
    """Compare many steps in this process."""
    work = Work(side)
    work.check()
    found = _measure.compare("", work.pooled, work.plain, {}, pairs=_measure.PAIRS)
    return asdict(found) | {"seconds_to_make": work.seconds_to_make}


def elsewhere(*arguments: object) -> object:
    """Return what a fresh process measures."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main() -> None:
    """Measure, and print the table."""
    if len(sys.argv) > 1:
        kind, side, *which = sys.argv[1:]
        print(json.dumps(first(int(side), *which) if kind == "first" else settled(int(side))))
        return
    rows, facts = [], {}
    for side in SIDES:
        size = 8 * side * side
        label = f"{size / 2**20:.3g} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"
        pairs = [[elsewhere("first", side, which) for which in ("pooled", "plain")] for _ in range(_measure.PAIRS)]
        ours, others = zip(*pairs, strict=True)
        rows.append(_measure.of_pairs(f"arrays of {label}: the first step", ours, "NumPy's own", others))
        found = elsewhere("settled", side)
        facts[f"to make the pool for {label}, ms, once"] = round(1e3 * found.pop("seconds_to_make"), 1)
        found |= {"what": f"arrays of {label}: a step, settled", "peer": "NumPy's own"}
        rows.append(_measure.Comparison(**found))
    rows.append(zeros())
    _measure.report("NumPy's temporaries in a pool", rows, facts)


if __name__ == "__main__":
    main()
