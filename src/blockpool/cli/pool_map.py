"""`blockpool map`: a pool as a picture."""

from __future__ import annotations

import os
import shutil
import sys

import click

from blockpool.cli.output import colourful, open_console, show, show_json
from blockpool.cli.pools import json_option, look, pool_argument
from blockpool.report.documents import MappedPool

__all__ = ["map_"]

_WIDTH = 80
_ROWS = 16
_MOST = 1000


@click.command("map")
@pool_argument
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="Begin at this block.")
@click.option("--blocks", type=click.IntRange(1), help="Draw so many blocks; all that follow if not given.")
@click.option("--rows", type=click.IntRange(1, _MOST), default=_ROWS, show_default=True, help="At most so many rows.")
@click.option("--width", type=click.IntRange(1, _MOST), help="Columns; as many as the terminal has, or 80 in a pipe.")
@json_option
def map_(pool: str | None, *, first: int, blocks: int | None, rows: int, width: int | None, as_json: bool) -> None:
    """Draw which blocks are allocated, and by whom.

    Every cell stands for a block or, in a large pool, for several. Its colour tells who holds the first run in it: of
    several holders the one that allocated it, if it still has it. Where there are no colours, holders have letters, and
    those in small letters hold a part of the cell. The number of a row is that of its first block.

    POOL is a name, an id or the start of one (4 digits or more), or a handle or ticket of one of its blocks.
    """
    from blockpool.report.pool_map import map_report, shape

    if width is None:
        given = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
        width = min(shutil.get_terminal_size().columns, _MOST) if given else _WIDTH
    with look(pool) as at:
        if first >= at.blocks:
            raise click.UsageError(f"--first={first} is not a block of this pool; they are 0 to {at.blocks - 1}")
        length = min(at.blocks - first, blocks or at.blocks)
        laid = shape(length, last=first + length - 1, width=width, rows=rows)
        survey = at.survey(0)
        mapped = MappedPool(
            name=at.name,
            pool_id=at.pool_id,
            block_size=at.block_size,
            blocks=at.blocks,
            allocated=survey.allocated,
            map=at.map(laid.cells, first=first, blocks=length),
            processes=tuple(at.processes()),
            held=survey.held,
            only_kept=survey.only_kept,
            only_messages=survey.only_messages,
            only_tickets=survey.only_tickets,
            nobody=survey.nobody,
        )
    if as_json:
        show_json(mapped)
        return
    console = open_console(width)
    show(map_report(mapped, laid, colours=colourful(console) and not console.options.ascii_only), console)
