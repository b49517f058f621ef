"""What does a NumPy array in a pool cost, created and dropped, compared with one in NumPy's own memory?"""

from __future__ import annotations

from typing import Any

import _measure
import numpy as np

import blockpool

SHAPES = {"4 KiB": (512,), "1 MiB": (131072,)}
LIMITS = {"private": 1.3, "shared": 1.8}


def rows_of(kind: str, pool: blockpool.Pool, size: str, shape: tuple[int, ...]) -> list[_measure.Comparison]:
    """Compare the ways to make such an array in that pool."""
    names: dict[str, Any] = {"np": np, "pool": pool, "shape": shape, "kind": np.float64}
    names["block"] = pool.allocate(nbytes=8 * shape[0])
    empty, zeros = "np.empty(shape, kind)", "np.zeros(shape, kind)"

    def compare(ours: str, peer: str, limit: float | None = None) -> _measure.Comparison:
        what = f"{size}, {kind}: {ours.replace('shape, kind', '…')}"
        return _measure.compare(what, ours, peer, names, limit=limit)

    return [
        compare("pool.empty(shape, kind)", empty, LIMITS[kind]),
        compare("pool.zeros(shape, kind)", zeros),
        compare("block.array(shape, kind)", empty),
        compare("np.ndarray(shape, kind, block.buf)", empty),
    ]


def main() -> None:
    """Measure, and print the table."""
    rows = []
    for size, shape in SHAPES.items():
        rows += rows_of("private", blockpool.Pool(8 * shape[0], 64, prefault=True), size, shape)
        rows += rows_of("shared", blockpool.Pool.create(8 * shape[0], 64, prefault=True), size, shape)
    _measure.report("NumPy arrays, made and dropped", rows)


if __name__ == "__main__":
    main()
