"""What does a recording cost those who allocate, while it goes on?

While nobody records, an allocation and its free each look at one more word. What that costs is told by a comparison
with an older release, not here.
"""

from __future__ import annotations

import _measure

import blockpool

CALLS = ("allocate().free()", "allocate(blocks=3).free()", "allocate(nbytes=10).free()")
MOST = 1.10


def main() -> None:
    """Measure, and print the table."""
    rows = []
    for size in (64, 64 << 10):
        recorded, pool = (blockpool.Pool.create(size, 1024, debug=False) for _ in range(2))
        names = {"recorded": recorded, "pool": pool}
        with recorded.record() as recording:
            rows += [
                _measure.compare(
                    f"recorded, {size} B: {call}",
                    f"recorded.{call}",
                    f"pool.{call}",
                    names,
                    peer_name="not recorded",
                    limit=MOST,
                )
                for call in CALLS
            ]
        trace = recording.stop()
        print(f"{len(trace):,} events were recorded, {trace.lost:,} were lost")
    _measure.report("Recording", rows)


if __name__ == "__main__":
    main()
