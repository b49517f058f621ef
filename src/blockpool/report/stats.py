"""The statistics of a pool as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.report.text import in_bytes, table

if TYPE_CHECKING:
    from rich.table import Table

    from blockpool.stats import PoolStats

__all__ = ["stats_rows", "stats_table"]


def stats_rows(stats: PoolStats) -> list[tuple[str, str, str]]:
    """Return name, value and meaning of each figure."""
    return [
        ("blocks", f"{stats.blocks:,}", f"of {in_bytes(stats.block_size)} each"),
        ("allocated", f"{stats.allocated:,}", "blocks"),
        ("free", f"{stats.free:,}", "blocks"),
        ("peak", f"{stats.peak:,}", "most blocks allocated at once"),
        ("largest free run", f"{stats.largest_free_run:,}", "adjacent blocks"),
        (
            "fragmentation",
            f"{stats.fragmentation:.1%}",
            "of the free blocks, outside that run",
        ),
        ("utilization", f"{stats.utilization:.1%}", "of the allocated bytes were asked for"),
        ("allocations", f"{stats.allocations:,}", "since the pool was made"),
        ("frees", f"{stats.frees:,}", ""),
        ("failures", f"{stats.failures:,}", "requests that found no room in time"),
        *_shared_rows(stats),
    ]


def stats_table(stats: PoolStats) -> Table:
    """Draw the figures as a table."""
    grid = table("pool", ">", "")
    for row in stats_rows(stats):
        grid.add_row(*row)
    return grid


def _shared_rows(stats: PoolStats) -> list[tuple[str, str, str]]:
    """Return what only pools of several processes have."""
    if stats.processes == 1 and not stats.tickets:
        return []
    age = (
        ""
        if stats.oldest_ticket is None
        else f"references in flight, the oldest {stats.oldest_ticket:.1f} s"
    )
    return [
        ("tickets", f"{stats.tickets:,}", age),
        ("processes", f"{stats.processes:,}", "attached"),
    ]
