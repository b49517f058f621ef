"""Lists of pools, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from blockpool.report.formats import aged, naming, percent
from blockpool.report.listing import listings
from blockpool.report.text import in_bytes, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from blockpool.report.documents import ListedPools
    from blockpool.stats import PoolSummary

__all__ = ["pool_list", "state_of", "summary_rows"]

_HEADINGS = ("~pool", ">blocks", ">each", ">size", ">used", ">processes", ">age", "state")


def pool_list(listed: ListedPools) -> RenderableType:
    """List all pools."""
    if not listed.pools:
        return Text("This user has no pools.")
    return Group(*summary_rows(listed.pools, listed.time))


def summary_rows(pools: Sequence[PoolSummary], now: float) -> list[RenderableType]:
    """Return a row for each pool."""
    return list(listings(_HEADINGS, [_row(each, now) for each in pools]))


def state_of(pool: PoolSummary) -> str:
    """Return the state of a pool in words."""
    if pool.state != "ok":
        return f"{pool.state} ({printable(pool.made_by)})" if pool.made_by else pool.state
    words = [
        "permanent" if pool.permanent else "",
        "left behind" if pool.leftover else "",
        "" if pool.name else "no name",
    ]
    return ", ".join(filter(None, words)) or "ok"


def _row(pool: PoolSummary, now: float) -> tuple[str, ...]:
    if pool.blocks is None or pool.block_size is None or pool.nbytes is None or pool.allocated is None:
        return naming(pool.name, None), "-", "-", in_bytes(pool.segment_bytes), "-", "-", "-", state_of(pool)
    dead = sum(each.alive is False for each in pool.processes)
    return (
        naming(pool.name, pool.pool_id),
        f"{pool.blocks:,}",
        in_bytes(pool.block_size),
        in_bytes(pool.nbytes),
        percent(pool.allocated, pool.blocks),
        f"{len(pool.processes) - dead}" + (f" + {dead} dead" if dead else ""),
        aged(pool.created, now),
        state_of(pool),
    )
