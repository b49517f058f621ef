"""How much faster is an array of 64 MB from one Ray actor to another, with the pool and without?

One actor returns the array, another gets it as an argument and returns a number. Without the pool, Ray copies the array
into its object store; both actors of that pair never heard of the pool. Ray is started as small as it can be.
"""

from __future__ import annotations

import functools
from typing import Any

import _measure
import numpy as np
import ray

import blockpool as bp
import blockpool.ray

COUNT = 8_000_000


class Part:
    """An actor; it makes arrays in the pool if it was given one."""

    def __init__(self, pool: bp.Pool | None = None) -> None:
        self.pool = pool
        self.kept = self.fill(1.0)

    def fill(self, value: float) -> np.ndarray[Any, Any]:
        """Return a new array."""
        return np.full(COUNT, value) if self.pool is None else self.pool.full(COUNT, value)

    def give(self) -> np.ndarray[Any, Any]:
        """Return the same array each time."""
        return self.kept

    def ends(self, array: np.ndarray[Any, Any]) -> float:
        """Look at the first and last element."""
        return float(array[0] + array[-1])

    def total(self, array: np.ndarray[Any, Any]) -> float:
        """Look at all elements."""
        return float(array.sum())


def passed(one: Any, other: Any) -> None:
    """Pass an array that is there."""
    assert ray.get(other.ends.remote(one.give.remote())) == 2.0


def worked(one: Any, other: Any) -> None:
    """Fill a new array in one actor, and sum it in the other."""
    assert ray.get(other.total.remote(one.fill.remote(1.0))) == COUNT


def argument(array: np.ndarray[Any, Any], other: Any) -> None:
    """Pass an array of this process."""
    assert ray.get(other.ends.remote(array)) == 2.0


def main() -> None:
    """Measure, and print the table."""
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=1 << 30, log_to_driver=False)
    pool = bp.Pool.create("1MiB", 512, prefault=True)
    blockpool.ray.install(pool)
    actor = ray.remote(num_cpus=0)(Part)
    one, other = actor.remote(pool), actor.remote(pool)
    plain_one, plain_other = actor.remote(), actor.remote()
    here, outside = pool.full(COUNT, 1.0), np.full(COUNT, 1.0)
    rows = []
    for what, call, ours, peers in (
        ("an array that is there, actor to actor", passed, (one, other), (plain_one, plain_other)),
        ("a new array, filled by one, summed by the other", worked, (one, other), (plain_one, plain_other)),
        ("an array of the driver, as an argument", argument, (here, other), (outside, plain_other)),
    ):
        with_pool, without = functools.partial(call, *ours), functools.partial(call, *peers)
        with_pool()
        without()
        times = [(_measure.quickest(with_pool, 1), _measure.quickest(without, 1)) for _ in range(_measure.PAIRS)]
        mine, rays = zip(*times, strict=True)
        rows.append(_measure.of_pairs(what, mine, "Ray alone", rays, faster=True))
    _measure.report("64 MB between Ray's processes", rows, {"Ray": ray.__version__})
    ray.shutdown()


if __name__ == "__main__":
    main()
