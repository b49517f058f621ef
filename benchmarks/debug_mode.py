"""What does debug mode cost when it is on?

When it is off, it costs the hot calls nothing: a pool in debug mode is one that has no fast path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import _measure

import blockpool

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS: dict[str, Callable[..., blockpool.Pool]] = {"private": blockpool.Pool, "shared": blockpool.Pool.create}


def main() -> None:
    """Measure, and print the table."""
    rows = []
    for kind, make in KINDS.items():
        for size in (64, 4 << 10, 64 << 10):
            names = {"watched": make(size, 256, debug=True), "pool": make(size, 256, debug=False)}
            rows += [
                _measure.compare(
                    f"{kind}, debug on, {size} B: {call}",
                    f"watched.{call}",
                    f"pool.{call}",
                    names,
                    peer_name="debug off",
                )
                for call in ("allocate()", "allocate().free()", "allocate(nbytes=10)")
            ]
    _measure.report("Debug mode", rows)


if __name__ == "__main__":
    main()
