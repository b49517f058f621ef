"""What do the hot calls of a private pool cost, compared with the cheapest call in Python?"""

from __future__ import annotations

import random

import _measure

import blockpool


def nearly_full(blocks: int, filling: float) -> tuple[blockpool.Pool, list[blockpool.Block]]:
    """Return a pool with that share of its blocks allocated, at random places."""
    pool = blockpool.Pool(8, blocks)
    held = pool.allocate_many(blocks)
    chance = random.Random(1)
    for i in chance.sample(range(blocks), int(blocks * (1 - filling))):
        held[i].free()
    return pool, held


def main() -> None:
    """Measure, and print the table."""
    small = blockpool.Pool(64, 1000)
    rows = [
        _measure.compare("allocate and drop", "pool.allocate()", "object()", {"pool": small}, limit=1.3),
        _measure.compare(
            "with pool.allocate() as block: pass",
            "with pool.allocate() as block: pass",
            "object()",
            {"pool": small},
            limit=3.5,
        ),
        _measure.compare("allocate and free", "pool.allocate().free()", "object()", {"pool": small}),
        _measure.compare("allocate a run of 3 and drop", "pool.allocate(blocks=3)", "object()", {"pool": small}),
        _measure.compare(
            "allocate, take a view, drop",
            "pool.allocate().buf",
            "memoryview(b)",
            {"pool": small, "b": b"x"},
        ),
        _measure.compare(
            "allocate_many(256) and drop",
            "pool.allocate_many(256)",
            "[object() for _ in range(256)]",
            {"pool": small},
        ),
    ]
    full, held = nearly_full(10**7, 0.99)
    rows.append(
        _measure.compare(
            "allocate and drop, 10⁷ blocks, 99 % full",
            "full.allocate()",
            "empty.allocate()",
            {"full": full, "empty": small},
            peer_name="10³ blocks, empty",
            limit=2,
        )
    )
    del held
    _measure.report("Hot calls of a private pool", rows)


if __name__ == "__main__":
    main()
