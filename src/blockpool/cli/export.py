"""``blockpool export``: pools as a page in one file, for a browser without a network, or as JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from blockpool._looking import pools as all_pools
from blockpool.cli.output import write_file
from blockpool.cli.pools import complete_pool, look
from blockpool.errors import BlockPoolError, PoolNotFound
from blockpool.observe import Snapshot, snapshot
from blockpool.report.documents import Exported, fields_of
from blockpool.report.html import page
from blockpool.report.json import document
from blockpool.report.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["export"]

# As many cells as can be told apart in a picture of a thousand pixels; several pools share twice as many.
_CELLS = 16384
_LEAST_CELLS = 1024
_RUNS = 50


@click.command()
@click.argument("pools", metavar="[POOL]...", nargs=-1, shell_complete=complete_pool)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Where to write; - is the standard output.  [default: POOL.html, or blockpool.html for several pools]",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document instead of a page.")
@click.option(
    "--order",
    type=click.Choice(["age", "size"]),
    default="age",
    show_default=True,
    help="Whether to list the oldest or the largest runs.",
)
@click.option("--most", type=click.IntRange(0, 10_000), default=_RUNS, show_default=True, help="How many runs to list.")
def export(pools: tuple[str, ...], *, output: str | None, force: bool, as_json: bool, order: str, most: int) -> None:
    """Write a page about pools: the picture, the numbers, who holds what.

    The page is one HTML file that needs neither a network nor a script. POOL is a name, an id or the start of one (4
    digits or more), or a handle or ticket of one of its blocks; without any, all pools of this user are in it. It only
    looks: no process is held up, and nothing changes.
    """
    seen = _look(pools, order, most)
    path = output or _file_name(seen, "json" if as_json else "html")
    content = document(*fields_of(Exported(snapshots=seen))) + "\n" if as_json else page(seen)
    write_file(path, content.encode("utf-8", "backslashreplace"), force=force)
    if path != "-":
        click.echo(f"wrote {printable(path)}", err=True)


def _look(names: Sequence[str], order: str, most: int) -> tuple[Snapshot, ...]:
    """Look at these pools; at all of them if there is no name."""
    by_size = order == "size"
    if names:
        cells = _cells(len(names))
        asked = []
        for name in names:
            with look(name) as inspector:
                asked.append(snapshot(inspector, cells=cells, most=most, order="size" if by_size else "age"))
        return tuple(asked)
    found = [each for each in all_pools() if each.state == "ok"]
    seen = []
    for each in found:
        try:
            name = each.name or each.pool_id or ""
            seen.append(snapshot(name, cells=_cells(len(found)), most=most, order="size" if by_size else "age"))
        except BlockPoolError as error:  # it is gone meanwhile, or was damaged
            click.echo(f"blockpool: {printable(str(error))}; it is left out", err=True)
    if not seen:
        raise PoolNotFound("there is no pool to export; this user has none that can be looked at")
    return tuple(seen)


def _cells(pools: int) -> int:
    return _CELLS if pools == 1 else max(_LEAST_CELLS, 2 * _CELLS // pools)


def _file_name(seen: Sequence[Snapshot], suffix: str) -> str:
    """Return a name for the file that cannot lead elsewhere: what a pool is called may come from a damaged one."""
    stem = "blockpool" if len(seen) != 1 else seen[0].name or f"pool-{seen[0].pool_id[:8]}"
    return f"{re.sub('[^A-Za-z0-9_.-]', '_', stem).lstrip('.-') or 'blockpool'}.{suffix}"
